// The arithmetic of the viewer: counts, scores, corrections. No document, no drawing, so that it can be tested alone.
//
// It is that of lgg_demo/metrics.py and lgg_demo/report.py, in whole numbers: what is shown equals what `predict` writes.
// A frame is one slice: probability (Uint8Array, 255 for 1), reference (Uint8Array, or null where none is known), edits
// (Uint8Array of UNTOUCHED, ADDED, REMOVED, or null), and the geometry of its case.

const LEVELS = 255;
const UNTOUCHED = 0, ADDED = 1, REMOVED = 2;

// A slice is unsure where the outline at 0.5 is expected to be wrong in at least as many pixels as 1/4096 of the slice
// (16 of 256 x 256: twice the noise of an empty slice) and in at least a fifth of the area expected there. A margin alone
// is less than that: on the 22 validation patients 6 % of the slices are unsure, mostly first and last ones of a lesion.
const DOUBT_OF_SLICE = 1 / 4096;
const DOUBT_OF_AREA = 0.2;

const levelOf = (threshold) => Math.ceil(threshold * LEVELS);

// How many pixels reach each level, in all and inside the reference: any threshold's counts are then a look-up. Pixels
// corrected by hand are held apart, because no threshold moves them.
function tally(frame) {
  const { probability, reference, edits } = frame;
  const all = new Uint32Array(LEVELS + 2);
  const inside = new Uint32Array(LEVELS + 2);
  const weight = new Float64Array(LEVELS + 2); // sum of levels: exact in 53 bits
  const addedAt = new Uint32Array(LEVELS + 2);
  const removedAt = new Uint32Array(LEVELS + 2);
  let added = 0, addedInside = 0, removed = 0, known = 0;
  for (let i = 0; i < probability.length; i++) {
    const level = probability[i];
    const hit = reference !== null && reference[i] !== 0;
    if (hit) known++;
    const edit = edits === null ? UNTOUCHED : edits[i];
    if (edit === ADDED) {
      added++;
      addedAt[level]++;
      if (hit) addedInside++;
    } else if (edit === REMOVED) {
      removed++;
      removedAt[level]++;
    } else {
      all[level]++;
      if (hit) inside[level]++;
    }
  }
  let mass = 0, doubt = 0;
  for (let l = LEVELS; l >= 0; l--) {
    const here = all[l] + addedAt[l] + removedAt[l];
    mass += here * l;
    doubt += here * Math.min(l, LEVELS - l);
    weight[l] = weight[l + 1] + all[l] * l;
    all[l] += all[l + 1];
    inside[l] += inside[l + 1];
    addedAt[l] += addedAt[l + 1];
    removedAt[l] += removedAt[l + 1];
  }
  Object.assign(frame, { all, inside, weight, addedAt, removedAt, added, addedInside, known, mass, doubt });
  frame.touched = added + removed > 0;
  frame.version = (frame.version ?? 0) + 1;
}

const predictedOf = (frame, level) => frame.all[level] + frame.added;
// Where the corrected mask differs from the threshold's.
const correctedOf = (frame, level) => frame.added - frame.addedAt[level] + frame.removedAt[level];
// Expected number of wrong pixels of the outline at 0.5: the sum of min(p, 1 - p).
const doubtOf = (frame) => frame.doubt / LEVELS;
const isUnsure = (frame) =>
  frame.doubt >= DOUBT_OF_SLICE * LEVELS * frame.probability.length && frame.doubt >= DOUBT_OF_AREA * frame.mass;

// A figure as it is shown anywhere: half away from zero, step by step as `rounded` of metrics.py does it.
const rounded = (value, digits) => (Math.sign(value) * Math.floor(Math.abs(value) * 10 ** digits + 0.5)) / 10 ** digits + 0;

// Figures of some frames together at a level. Areas and volumes as the report rounds them: a volume for each case.
function figuresOf(frames, level) {
  let predicted = 0, scoredPredicted = 0, hit = 0, reference = 0, scored = 0, corrected = 0, weight = 0, mass = 0;
  let touched = false;
  const byCase = new Map();
  for (const f of frames) {
    const own = predictedOf(f, level);
    predicted += own;
    weight += f.weight[level];
    mass += f.mass;
    touched ||= f.touched;
    if (f.touched) corrected += correctedOf(f, level);
    byCase.set(f.of, (byCase.get(f.of) ?? 0) + own);
    if (f.reference === null) continue;
    scored++;
    scoredPredicted += own;
    hit += f.inside[level] + f.addedInside;
    reference += f.known;
  }
  const figures = { predicted };
  if (frames.every((f) => f.of.pixel_mm2)) {
    if (frames.length === 1) figures.area = rounded(predicted * frames[0].of.pixel_mm2, 2);
    else figures.volume = rounded([...byCase].reduce((ml, [one, n]) => ml + rounded(n * one.voxel_ml, 4), 0), 4);
  }
  if (touched) figures.corrected = corrected;
  // What the model itself expects of its outline; of one drawn by hand its probabilities say nothing.
  figures.expected = touched ? null : LEVELS * predicted + mass ? (2 * weight) / (LEVELS * predicted + mass) : 1;
  if (scored) {
    const both = scoredPredicted + reference;
    Object.assign(figures, {
      reference,
      dice: both ? (2 * hit) / both : 1,
      iou: both ? hit / (both - hit) : 1,
      precision: scoredPredicted ? hit / scoredPredicted : null,
      recall: reference ? hit / reference : null,
    });
  }
  return figures;
}

// Dice at the thresholds 0.01 to 0.99 of the frames that have a reference; null where none has.
function curveOf(frames) {
  const scored = frames.filter((f) => f.reference !== null);
  if (!scored.length) return null;
  const known = scored.reduce((n, f) => n + f.known, 0);
  return Array.from({ length: 99 }, (_, k) => {
    const level = levelOf((k + 1) / 100);
    let predicted = 0, hit = 0;
    for (const f of scored) {
      predicted += predictedOf(f, level);
      hit += f.inside[level] + f.addedInside;
    }
    return predicted + known ? (2 * hit) / (predicted + known) : 1;
  });
}

// The mask of a frame into an array of its own size: 1 where the level is reached or a hand has added.
function maskInto(mask, frame, level) {
  const { probability, edits } = frame;
  if (edits === null) for (let i = 0; i < mask.length; i++) mask[i] = probability[i] >= level ? 1 : 0;
  else
    for (let i = 0; i < mask.length; i++)
      mask[i] = edits[i] === ADDED || (edits[i] === UNTOUCHED && probability[i] >= level) ? 1 : 0;
}

// One straight piece of a stroke, from (x0, y0) to (x1, y1) in pixels, round and `size` pixels wide; `tall` is the height
// of a pixel in widths. Pixels are marked even where the mask has them already: so they stay when the threshold moves.
// `before` remembers what each was, for undo.
function dab(frame, mark, x0, y0, x1, y1, size, tall, before) {
  const { width, height } = frame;
  frame.edits ??= new Uint8Array(width * height);
  const radius = Math.max(size / 2, 0.5);
  const along = (x1 - x0) ** 2 + ((y1 - y0) * tall) ** 2;
  const reach = radius / tall;
  for (let y = Math.max(0, Math.floor(Math.min(y0, y1) - reach)); y <= Math.min(height - 1, Math.max(y0, y1) + reach); y++)
    for (let x = Math.max(0, Math.floor(Math.min(x0, x1) - radius)); x <= Math.min(width - 1, Math.max(x0, x1) + radius); x++) {
      const dx = x + 0.5 - x0, dy = (y + 0.5 - y0) * tall;
      const t = along ? Math.min(1, Math.max(0, (dx * (x1 - x0) + dy * (y1 - y0) * tall) / along)) : 0;
      const far = (dx - t * (x1 - x0)) ** 2 + (dy - t * (y1 - y0) * tall) ** 2;
      const i = y * width + x;
      // A brush of one pixel marks the pixel it is in, wherever in it.
      if (far > radius * radius && !(Math.floor(x1) === x && Math.floor(y1) === y)) continue;
      if (frame.edits[i] === mark) continue;
      if (!before.has(i)) before.set(i, frame.edits[i]);
      frame.edits[i] = mark;
    }
}

async function pipe(bytes, through) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(through)).arrayBuffer());
}

const inflate = (base64) => pipe(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), new DecompressionStream("deflate"));

async function deflate(bytes) {
  const packed = await pipe(bytes, new CompressionStream("deflate"));
  let text = "";
  for (let i = 0; i < packed.length; i += 32768) text += String.fromCharCode(...packed.subarray(i, i + 32768));
  return btoa(text);
}

// The corrections of a result for the server: JSON, empty where nothing was corrected. See render.read_corrections.
async function packCorrections(id, frames) {
  const cases = [];
  for (const of of new Set(frames.map((f) => f.of))) {
    const own = frames.filter((f) => f.of === of && f.touched);
    if (!own.length) continue;
    const pixels = own[0].width * own[0].height;
    const bytes = new Uint8Array(own.length * pixels);
    own.forEach((f, n) => bytes.set(f.edits, n * pixels));
    cases.push({ case: own[0].case, slices: own.map((f) => f.slice), edits: await deflate(bytes) });
  }
  return cases.length ? JSON.stringify({ id, cases }) : "";
}
