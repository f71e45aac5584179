// Counts and scores of slices. No document and no drawing: node tests it alone.
//
// The arithmetic is that of lgg_demo/measure and lgg_demo/output/report.py, in whole numbers: the page shows what `predict`
// writes. A frame is one slice: probability (Uint8Array, quantised: 255 stands for 1), reference (Uint8Array, or null where
// none is known), edits (Uint8Array of UNTOUCHED, ADDED, REMOVED, or null), and `of`, the geometry of its case.

export const QUANTA = 255; // a quantised probability is a whole number of 255ths
export const UNTOUCHED = 0, ADDED = 1, REMOVED = 2;

// A slice is unsure where the mask at 0.5 is expected to be wrong in at least 1/4096 of its pixels (16 of 256 x 256: twice
// the noise of an empty slice) and in at least a fifth of the expected area. A margin alone is less than that: on the 22
// validation patients 6 % of the slices are unsure, mostly the first and last of a lesion.
const DOUBT_OF_SLICE = 1 / 4096;
export const DOUBT_OF_AREA = 0.2;

// The cutoff of a threshold: the smallest quantised probability that reaches it.
export const cutoffOf = (threshold) => Math.ceil(threshold * QUANTA);

// Count the pixels of a frame that reach each cutoff, in all and inside the reference: any threshold's counts are then a
// look-up. Pixels corrected by hand are held apart, because no threshold moves them.
export function tally(frame) {
  const { probability, reference, edits } = frame;
  const all = new Uint32Array(QUANTA + 2);
  const inside = new Uint32Array(QUANTA + 2);
  const weight = new Float64Array(QUANTA + 2); // sum of quantised probabilities: exact in 53 bits
  const addedAt = new Uint32Array(QUANTA + 2);
  const removedAt = new Uint32Array(QUANTA + 2);
  let added = 0, addedInside = 0, removed = 0, known = 0;
  for (let i = 0; i < probability.length; i++) {
    const p = probability[i];
    const hit = reference !== null && reference[i] !== 0;
    const edit = edits === null ? UNTOUCHED : edits[i];
    if (hit) known++;
    if (edit === ADDED) {
      added++;
      addedAt[p]++;
      if (hit) addedInside++;
    } else if (edit === REMOVED) {
      removed++;
      removedAt[p]++;
    } else {
      all[p]++;
      if (hit) inside[p]++;
    }
  }
  let mass = 0, doubt = 0;
  for (let p = QUANTA; p >= 0; p--) {
    const here = all[p] + addedAt[p] + removedAt[p];
    mass += here * p;
    doubt += here * Math.min(p, QUANTA - p);
    weight[p] = weight[p + 1] + all[p] * p;
    for (const counts of [all, inside, addedAt, removedAt]) counts[p] += counts[p + 1];
  }
  Object.assign(frame, { all, inside, weight, addedAt, removedAt, added, addedInside, known, mass, doubt });
  frame.touched = added + removed > 0;
  frame.version = (frame.version ?? 0) + 1;
}

export const predictedOf = (frame, cutoff) => frame.all[cutoff] + frame.added;
const hitOf = (frame, cutoff) => frame.inside[cutoff] + frame.addedInside;
// Where the corrected mask differs from the threshold's.
const correctedOf = (frame, cutoff) => frame.added - frame.addedAt[cutoff] + frame.removedAt[cutoff];
// Expected number of wrong pixels of the mask at 0.5: the sum of min(p, 1 - p).
export const doubtOf = (frame) => frame.doubt / QUANTA;
export const isUnsure = (frame) =>
  frame.doubt >= DOUBT_OF_SLICE * QUANTA * frame.probability.length && frame.doubt >= DOUBT_OF_AREA * frame.mass;

const sum = (frames, count) => frames.reduce((total, frame) => total + count(frame), 0);

// A figure as it is shown anywhere: half away from zero, step by step as lgg_demo/rounding.py does it.
export const rounded = (value, digits) => (Math.sign(value) * Math.floor(Math.abs(value) * 10 ** digits + 0.5)) / 10 ** digits + 0;

// 1 where two masks of so many pixels are empty, as the report has it.
const diceOf = (hit, both) => (both ? (2 * hit) / both : 1);

// Figures of some frames together at a cutoff. Areas and volumes as the report rounds them; never a volume of several cases,
// which may be visits of one patient.
export function figuresOf(frames, cutoff) {
  const predicted = sum(frames, (f) => predictedOf(f, cutoff));
  const figures = { predicted };
  const { of } = frames[0];
  if (of.pixel_mm2 && frames.length === 1) figures.area = rounded(predicted * of.pixel_mm2, 2);
  else if (of.pixel_mm2 && frames.every((f) => f.of === of)) Object.assign(figures, volumesOf(frames, predicted, of));
  const touched = frames.filter((f) => f.touched);
  if (touched.length) figures.corrected = sum(touched, (f) => correctedOf(f, cutoff));
  // The model's expected Dice of its own mask; of one corrected by hand its probabilities say nothing, nor of no mask at all.
  const both = QUANTA * predicted + sum(frames, (f) => f.mass);
  figures.expected = touched.length || !predicted ? null : diceOf(sum(frames, (f) => f.weight[cutoff]), both);
  const scored = frames.filter((f) => f.reference !== null);
  return scored.length ? Object.assign(figures, scoresOf(scored, cutoff)) : figures;
}

// The volume of a case in mL, and where every slice has a reference, that one's and the difference.
function volumesOf(frames, predicted, { voxel_ml: one }) {
  const volume = predicted * one;
  if (frames.some((f) => f.reference === null)) return { volume: rounded(volume, 4) };
  const reference = sum(frames, (f) => f.known) * one;
  return {
    volume: rounded(volume, 4), reference_volume: rounded(reference, 4), volume_difference: rounded(volume - reference, 4),
  };
}

function scoresOf(scored, cutoff) {
  const predicted = sum(scored, (f) => predictedOf(f, cutoff));
  const hit = sum(scored, (f) => hitOf(f, cutoff));
  const reference = sum(scored, (f) => f.known);
  const both = predicted + reference;
  return {
    reference,
    dice: diceOf(hit, both),
    iou: both ? hit / (both - hit) : 1,
    precision: predicted ? hit / predicted : null,
    recall: reference ? hit / reference : null,
  };
}

// Dice at the thresholds 0.01 to 0.99 of the frames that have a reference; null where none has.
export function curveOf(frames) {
  const scored = frames.filter((f) => f.reference !== null);
  if (!scored.length) return null;
  const known = sum(scored, (f) => f.known);
  return Array.from({ length: 99 }, (_, k) => {
    const cutoff = cutoffOf((k + 1) / 100);
    return diceOf(sum(scored, (f) => hitOf(f, cutoff)), sum(scored, (f) => predictedOf(f, cutoff)) + known);
  });
}

// Whether pixel i of a frame is in the mask: its probability reaches the cutoff, or it was added by hand.
export function inMask({ probability, edits }, i, cutoff) {
  const edit = edits === null ? UNTOUCHED : edits[i];
  return edit === ADDED || (edit === UNTOUCHED && probability[i] >= cutoff);
}

// The mask of a frame, 0 or 1 for each pixel.
export function maskOf(frame, cutoff) {
  const mask = new Uint8Array(frame.probability.length);
  for (let i = 0; i < mask.length; i++) mask[i] = inMask(frame, i, cutoff) ? 1 : 0;
  return mask;
}
