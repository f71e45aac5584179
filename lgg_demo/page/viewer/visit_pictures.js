// What the panels of two visits show: the earlier one as it is, the later one in its slices, what was gained and lost.
import { maskOf, ADDED, QUANTA, REMOVED } from "./counts.js";
import { layered, outlined, parts, sourceOf } from "./layers.js";
import { create } from "./dom.js";
import { newSheet, paint, word } from "./paint.js";
import { resliced, through } from "./reslice.js";
import { cutoff, frameNow, imageOf, state, versionsOf, windowNow } from "./state.js";
import { comparedNow, laterFrame } from "./visits.js";

// Okabe and Ito's vermilion and bluish green, told apart by the way of their stripes too.
export const GAINED = [213, 94, 0], LOST = [0, 158, 115];
const STRIPE = 6; // CSS pixels from one stripe to the next
const DIMMED = 0.55; // colour carries the message
const KEPT = [255, 255, 255];

const kept = new Map(); // arrays by what they are of: {key, value}

function once(name, key, make) {
  const known = kept.get(name);
  if (known?.key === key) return known.value;
  const value = make();
  kept.set(name, { key, value });
  return value;
}

// The probability of a frame with its corrections in it, which no threshold moves.
function corrected({ probability, edits }) {
  if (!edits) return probability;
  return probability.map((p, i) => (edits[i] === ADDED ? QUANTA : edits[i] === REMOVED ? 0 : p));
}

// The window of the later visit: its own as it was sent, changed as the hand has changed the earlier one's.
function windowLike(frame, channel) {
  const own = frame.of.sent[channel] ?? frame.of.sent.flair, first = frameNow().of.sent[channel] ?? frameNow().of.sent.flair;
  const now = windowNow(channel), scale = (own.high - own.low) / (first.high - first.low);
  return { low: own.low + (now.low - first.low) * scale, high: own.high + (now.high - first.high) * scale };
}

// The later visit's frame that is nearest, as a source for layers.js: where the two are not linked.
function unlinked(channel) {
  const frame = laterFrame(), { width, height, probability, reference } = frame;
  const where = `${state.shown}/later/${frame.case}/${frame.slice}`, fixed = `${where}/${versionsOf([frame])}`;
  return {
    plane: "later", channel, frame, width, height, probability, reference, image: imageOf(frame, channel),
    key: `${where}/${channel}`, fixed, masked: `${fixed}/${cutoff()}`, window: windowLike(frame, channel),
    mask: maskOf(frame, cutoff()),
  };
}

// The later visit in the slice of the earlier one that is on screen, as a source for layers.js.
export function laterSource(channel = state.channel) {
  const { earlier, later, link } = comparedNow();
  if (!link) return unlinked(channel);
  const { width, height, slice } = frameNow(), { frames } = later, [first] = frames;
  const where = `${state.shown}/later/${earlier.visit.case}/${later.visit.case}/${slice}/${link}`;
  const fixed = `${where}/${versionsOf(frames)}`, masked = `${fixed}/${cutoff()}`;
  const cut = (arrays) => resliced(arrays, first, link, slice, width, height);
  const stack = (name, array) => once(`${name}/stack`, `${state.shown}/${later.visit.case}/${versionsOf(frames)}`, () => frames.map(array));
  const probability = once("probability", fixed, () => cut(stack("probability", corrected)));
  const reach = cutoff();
  return {
    plane: "later", channel, frame: laterFrame(), width, height, probability, key: `${where}/${channel}`, fixed, masked,
    window: windowLike(first, channel),
    image: once("image", `${where}/${channel}`, () => cut(frames.map((f) => imageOf(f, channel)))),
    reference: frames.every((f) => f.reference) ? once("reference", fixed, () => halved(cut(stack("reference", scaled)))) : null,
    mask: once("mask", masked, () => probability.map((p) => (p >= reach ? 1 : 0))),
  };
}

// A mask is interpolated as a probability is, and cut at one half.
const scaled = ({ reference }) => reference.map((on) => (on ? QUANTA : 0));
const halved = (values) => values.map((v) => (v > QUANTA / 2 ? 1 : 0));

// The voxel of the later visit at a pixel of the earlier one's slice; null outside of it.
export function laterVoxel(row, column) {
  const { later, link } = comparedNow();
  if (!link) return null;
  const [s, v, u] = through(link, frameNow().slice, row, column).map(Math.round), frame = later.frames[s];
  return frame && v >= 0 && u >= 0 && v < frame.height && u < frame.width ? { frame, row: v, column: u } : null;
}

const changeSheets = { gained: newSheet(), lost: newSheet() };
const tiles = new Map();

// Stripes that rise to the right (1) or fall (-1), over a fainter ground of their colour.
function stripes(context, colour, way, ratio) {
  const size = Math.round(STRIPE * ratio), name = `${colour}/${way}/${size}`;
  if (!tiles.has(name)) {
    const tile = create("canvas", { width: size, height: size }), on = tile.getContext("2d");
    Object.assign(on, { fillStyle: `rgb(${colour.join(" ")} / 0.7)`, strokeStyle: `rgb(${colour.join(" ")})`, lineWidth: size / 2.6 });
    on.fillRect(0, 0, size, size);
    for (const shift of [-size, 0, size]) {
      on.beginPath();
      on.moveTo(shift - size * 0.5, way > 0 ? size * 1.5 : -size * 0.5);
      on.lineTo(shift + size * 1.5, way > 0 ? -size * 0.5 : size * 1.5);
      on.stroke();
    }
    tiles.set(name, tile);
  }
  return context.createPattern(tiles.get(name), "repeat");
}

let film = null; // as large as the panel, for what is striped

// The box around what is inside of a picture, in its pixels; null where nothing is.
function boxAroundInside(inside, width, height) {
  const box = { left: width, top: height, right: -1, bottom: -1 };
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      if (!inside(i)) continue;
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x);
      box.top = Math.min(box.top, y);
      box.bottom = y;
    }
  return box.right < 0 ? null : box;
}

function stripedPart(name, key, { width, height }, inside, colour, way) {
  const sheet = changeSheets[name], on = word(colour);
  paint(sheet, key, width, height, (words) => {
    for (let i = 0; i < words.length; i++) words[i] = inside(i) ? on : 0;
  });
  const box = once(name, key, () => boxAroundInside(inside, width, height));
  return {
    id: key,
    draw(context, canvas, ratio, { scaleX, scaleY, left, top }) {
      if (!box) return;
      film ??= create("canvas");
      if (film.width !== canvas.width || film.height !== canvas.height) Object.assign(film, { width: canvas.width, height: canvas.height });
      const own = film.getContext("2d"), at = [Math.floor(left + box.left * scaleX), Math.floor(top + box.top * scaleY)];
      const size = [Math.ceil((box.right - box.left + 1) * scaleX) + 1, Math.ceil((box.bottom - box.top + 1) * scaleY) + 1];
      own.save();
      own.beginPath();
      own.rect(...at, ...size);
      own.clip();
      own.imageSmoothingEnabled = false;
      own.globalCompositeOperation = "copy";
      own.drawImage(sheet.canvas, left, top, width * scaleX, height * scaleY);
      own.globalCompositeOperation = "source-in";
      own.fillStyle = stripes(own, colour, way, ratio);
      own.fillRect(...at, ...size);
      own.restore();
      context.beginPath();
      context.rect(...at, ...size);
      context.clip();
      context.drawImage(film, 0, 0);
    },
  };
}

// What was gained and lost from the earlier to the later visit, with the outline of the earlier one.
function changeParts(source, later) {
  if (state.blink) return layered(source, { image: true });
  const all = parts.image(source, DIMMED);
  const key = `${source.masked}/${later.masked}`;
  return [
    ...all,
    stripedPart("gained", `${key}/gained`, source, (i) => later.mask[i] && !source.mask[i], GAINED, 1),
    stripedPart("lost", `${key}/lost`, source, (i) => source.mask[i] && !later.mask[i], LOST, -1),
    outlined(source, "mask", source.masked, KEPT, 1.2),
  ];
}

export const showsLater = (panel) => panel === "later" || (panel === "flicker" && state.flicker === "later");

// The source of a panel and its parts, for `compose`.
export function visitPicture(panel) {
  if (showsLater(panel)) {
    const source = laterSource();
    return { source, all: layered(source) };
  }
  const source = sourceOf("axial");
  return { source, all: panel === "change" ? changeParts(source, laterSource()) : layered(source) };
}
