// The layers over one plane: image, prediction, reference, agreement, uncertainty, as parts for `compose`.
import { inMask, maskOf } from "./counts.js";
import { BOTH, PREDICTION, REFERENCE, doubts, greysOf, newSheet, outlineOf, paint, word } from "./paint.js";
import { cutoff, frameNow, imageOf, layersNow, series, state, versionsOf, windowNow } from "./state.js";
import { acrossOf, sliceAcross } from "./volume.js";

const sheets = {}; // by plane and what they show
const paths = {};
const sources = {};

// What a plane shows: arrays of its own pixels. `key` changes with the place and the channel, `fixed` with the place and
// with corrections or a new reference, `masked` with the threshold as well.
export function sourceOf(plane, channel = state.channel) {
  const frame = frameNow(), axial = plane === "axial";
  const frames = axial ? [frame] : series();
  const at = plane === "coronal" ? state.cross.y : state.cross.x;
  const where = axial ? `${state.shown}/${state.place}` : `${state.shown}/${frame.case}/${at}`;
  const fixed = `${where}/${versionsOf(frames)}`;
  const keys = { key: `${where}/${channel}`, fixed, masked: `${fixed}/${cutoff()}` };
  const name = `${plane}/${channel}`, known = sources[name];
  if (known?.masked === keys.masked && known.key === keys.key) return known;
  const pixels = axial ? axialPixels(frame, channel) : pixelsAcross(frames, plane, at, channel);
  sources[name] = { plane, channel, ...keys, ...pixels };
  return sources[name];
}

function axialPixels(frame, channel) {
  const { width, height, reference, probability } = frame;
  return { width, height, image: imageOf(frame, channel), mask: maskOf(frame, cutoff()), reference, probability };
}

function pixelsAcross(frames, plane, at, channel) {
  const reach = cutoff();
  const slice = (value) => sliceAcross(frames, plane, at, value);
  return {
    width: acrossOf(plane, frames[0]), height: frames.length,
    image: slice((f, i) => imageOf(f, channel)[i]),
    mask: slice((f, i) => (inMask(f, i, reach) ? 1 : 0)),
    probability: slice((f, i) => f.probability[i]),
    reference: frames.some((f) => f.reference) ? slice((f, i) => f.reference?.[i] ?? 0) : null,
    known: slice((f) => (f.reference ? 1 : 0)), // which rows are of slices with a reference
  };
}

// A part of 32-bit pixels: `wordOf` gives each from its number.
function painted(source, what, key, alpha, wordOf) {
  const sheet = (sheets[`${source.plane}/${what}`] ??= newSheet());
  paint(sheet, key, source.width, source.height, (words) => {
    for (let i = 0; i < words.length; i++) words[i] = wordOf(i);
  });
  return { sheet, alpha, id: key };
}

function tinted(source, what, key, colour) {
  const array = source[what], on = word(colour);
  return painted(source, what, key, state.opacity, (i) => (array[i] ? on : 0));
}

export function outlined(source, what, key, colour, line) {
  const own = (paths[`${source.plane}/${what}`] ??= {});
  if (own.key !== key) Object.assign(own, { key, path: outlineOf(source[what], source.width, source.height) });
  return { path: own.path, colour, line, id: key };
}

export const parts = {
  image(source, alpha = 1) {
    const window = source.window ?? windowNow(source.channel);
    const grey = greysOf(window, state.invert);
    const key = `${source.key}/${window.low}/${window.high}/${state.invert}`;
    const part = painted(source, `image/${source.channel}`, key, alpha, (i) => grey[source.image[i]]);
    return [{ ...part, smooth: true }];
  },
  prediction(source) {
    if (!state.fill) return [outlined(source, "mask", source.masked, PREDICTION, 1.4)];
    return [tinted(source, "mask", source.masked, PREDICTION)];
  },
  // Outlined, the reference is the wider line below, so that both show where they run together, in grey too.
  reference(source, filled = state.fill) {
    if (!source.reference) return [];
    const key = `${source.fixed}/reference`;
    return [filled ? tinted(source, "reference", key, REFERENCE) : outlined(source, "reference", key, REFERENCE, 4)];
  },
  agreement(source) {
    if (!source.reference) return [];
    if (!state.fill) return [...parts.reference(source), ...parts.prediction(source)];
    const { mask, reference, known } = source;
    const [missed, extra, hit] = [REFERENCE, PREDICTION, BOTH].map((colour) => word(colour));
    const judged = (i) => (mask[i] ? (reference[i] ? hit : extra) : reference[i] ? missed : 0);
    const wordOf = (i) => (known && !known[i] ? 0 : judged(i));
    return [painted(source, "agreement", `${source.masked}/agreement`, state.opacity, wordOf)];
  },
  uncertainty(source) {
    const alpha = Math.min(1, state.opacity + 0.35);
    return [painted(source, "uncertainty", `${source.fixed}/uncertainty`, alpha, (i) => doubts[source.probability[i]])];
  },
};

// The layers that are on, over one image.
export function layered(source, on = layersNow()) {
  const all = on.image ? parts.image(source) : [];
  if (frameNow().pending || state.blink) return all;
  if (on.uncertainty) all.push(...parts.uncertainty(source));
  if (on.agreement && source.reference) return [...all, ...parts.agreement(source)];
  // Two fills would mix to a third colour: the reference lies over a filled prediction as a line.
  const known = on.reference ? parts.reference(source, state.fill && !on.prediction) : [];
  const ours = on.prediction ? parts.prediction(source) : [];
  return state.fill ? [...all, ...ours, ...known] : [...all, ...known, ...ours];
}
