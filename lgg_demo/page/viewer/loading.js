// What the server sends: images, probability and reference of each case, 8-bit and deflated.
import { inflate } from "./corrections.js";
import { tally } from "./counts.js";
import { find, tell } from "./dom.js";
import { newHistory } from "./history.js";
import { endLine } from "./measuring.js";
import { render } from "./render.js";
import { isBusy } from "./run.js";
import { FIRST_THRESHOLD, NARROW, frameNow, resetView, state } from "./state.js";
import { resetRoles } from "./studies.js";
import { forgetSurface } from "./surface_panel.js";

// A stack (S * pixels) as an array for each slice; null where nothing was sent.
async function slicesOf(sent, pixels) {
  if (!sent) return null;
  const stack = await inflate(sent);
  return Array.from({ length: stack.length / pixels }, (_, s) => stack.subarray(s * pixels, (s + 1) * pixels));
}

async function framesOf(sent, index) {
  const { labels, width, height, spacing, oriented, affine, pixel_mm2, voxel_ml } = sent;
  const images = {}, windows = {}, range = {};
  for (const [name, { image, window, range: own }] of Object.entries({ flair: sent, ...sent.channels })) {
    images[name] = await slicesOf(image, width * height);
    windows[name] = { low: window[0], high: window[1] };
    range[name] = own;
  }
  const of = { sent: windows, windows: structuredClone(windows), range, oriented, affine, pixel_mm2, voxel_ml };
  return labels.map((label, slice) => ({
    case: index, slice, label, of, width, height, spacing, reference: null, edits: null,
    image: Object.fromEntries(Object.entries(images).map(([name, stack]) => [name, stack[slice]])),
    // A study is shown while the network still runs: nothing is predicted yet.
    probability: new Uint8Array(width * height), pending: true,
  }));
}

// The prediction where it was still awaited, and a reference, of each case.
async function attach(cases, frames) {
  for (const [c, sent] of cases.entries()) {
    const own = frames.filter((f) => f.case === c);
    const pixels = own[0].width * own[0].height; // a reference that comes later is sent without them
    const references = await slicesOf(sent.reference, pixels);
    const probabilities = own[0].pending ? await slicesOf(sent.probability, pixels) : null;
    own.forEach((f, s) => {
      f.reference = references && sent.referenced[s] ? references[s] : null;
      if (probabilities) Object.assign(f, { probability: probabilities[s], pending: false });
      tally(f);
    });
  }
}

const isPending = ({ cases }) => cases.some((sent) => sent.probability === null);
const isStopped = (value) => isPending(value) && !isBusy(); // early pictures of a run that has ended without a result
let before = null; // what was shown before the pictures of a run that has no result yet

// What was shown comes back where a run ends without a result.
export function restore(ok) {
  if (!ok) state.said = null;
  if (before && !ok) {
    forgetSurface();
    Object.assign(state, before);
    before = null;
  }
  resetRoles();
  render();
}

async function open({ id, cases, synthetic = false }) {
  const frames = [];
  for (const [c, sent] of cases.entries()) frames.push(...await framesOf(sent, c));
  await attach(cases, frames);
  if (isStopped({ cases })) return; // while they were unpacked
  if (frameNow()?.pending !== true) before = isPending({ cases }) ? { ...state } : null;
  // All at once, and only now: what draws in the meantime draws the case before, whole.
  clear();
  const first = frames.filter((f) => f.case === 0);
  const place = (frames[0].pending ? frames : first).length >> 1; // a stack's ends show the least of a head
  const studies = cases.map(({ study }) => study);
  Object.assign(state, { shown: id, frames, place, studies, synthetic, threshold: FIRST_THRESHOLD }); // a threshold is chosen for one study
  goMost();
  resetView();
}

// Nothing of a case is left for the next one: no stroke to undo, no brush in the hand, no half-drawn line, no surface.
function clear() {
  endLine(false);
  Object.assign(state, { frames: [], studies: [], followUp: [], history: newHistory(), shown: null, large: null, gesture: null, pointer: null });
  Object.assign(state, { tool: null, removing: false, cursor: null, drawn: null });
  forgetSurface();
  tell("");
}

// Begin where most is segmented; where nothing is, stay.
function goMost() {
  const { frames } = state;
  state.place = frames.reduce((most, f, i) => (f.all[128] > frames[most].all[128] ? i : most), state.place);
  crossToMiddle(frameNow());
}

// The planes begin at the middle of what is segmented, or of the picture.
function crossToMiddle({ probability, width, height }) {
  let x = 0, y = 0, n = 0;
  probability.forEach((p, i) => {
    if (p < 128) return;
    x += i % width;
    y += Math.floor(i / width);
    n++;
  });
  state.cross = n ? { x: Math.round(x / n), y: Math.round(y / n) } : { x: width >> 1, y: height >> 1 };
}

// A study that was looked at while the network ran stays as the hand has left it, zoom and slice and all.
async function complete({ cases }) {
  before = null;
  const { place, frames: known } = state, frames = [...known];
  const unmoved = frameNow().pending && place === known.length >> 1;
  for (const [c, sent] of cases.entries()) // the pictures may have been of the first ones only
    if (!known.some((f) => f.case === c)) frames.push(...await framesOf(sent, c));
  await attach(cases, frames);
  Object.assign(state, { frames, studies: cases.map(({ study }, c) => study ?? state.studies[c]) });
  if (unmoved && state.place === place) goMost();
}

async function load(value) {
  if (value?.cases && isStopped(value)) return;
  const fresh = value?.cases && value.id !== state.shown;
  // The synthetic patient comes late where a user was quicker: their own pictures stay.
  if (fresh && value.synthetic && frameNow()?.pending && !isPending(value)) return;
  if (!value?.cases) {
    clear();
    before = null;
  } else {
    state.best = value.best_threshold ?? state.best;
    state.model = value.model ?? state.model;
    await (fresh ? open(value) : complete(value));
    state.followUp = value.follow_up ?? (fresh ? [] : state.followUp);
    if (state.said && !fresh) state.studies = state.studies.map((study, c) => (c === state.said.case ? { ...study, ...state.said } : study));
    state.said = null;
    state.repeatability = value.repeatability ?? null;
    if (!(state.channel in frameNow().image)) state.channel = "flair";
  }
  render();
  // One column: the result lies below the fold, and nothing else would tell that it is there.
  if (fresh && !state.synthetic && window.innerWidth <= NARROW) find(".lgg-centre").scrollIntoView();
}

let loading = Promise.resolve();

// Show a value after the ones before, since unpacking takes its time; one that cannot be unpacked keeps no other out.
export function loadNext(value) {
  const next = () => load(value);
  loading = loading.then(next, next);
  return loading;
}
