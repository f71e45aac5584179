// The object that a click adds where the network has missed one. No document: node tests it alone. Objects and voxels: see
// objects.js.
import { REMOVED, inMask } from "./counts.js";
import { joined, sizeOf } from "./objects.js";

const LEAST = 3; // of 255: a lower probability is none
const LARGEST = 1 / 8; // of the head: what grows beyond is no lesion but the brain
const AIR = 25; // grey level that is above the air around
const AROUND = 3; // pixels to each side, in which the greys are measured that the object may have
const NARROWER = [1, 0.6, 0.35]; // how near to the grey and the probability of the click, one after the other
const SMALLEST = 5; // voxels

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

const headSizes = new WeakMap(); // by geometry of the case

function headOf(frames) {
  const { of } = frames[0];
  if (!headSizes.has(of)) {
    let size = 0;
    for (const { image } of frames) for (let i = 0; i < image.flair.length; i++) if (image.flair[i] > AIR) size++;
    headSizes.set(of, size);
  }
  return headSizes.get(of);
}

// A pixel's grey without its noise: the mean of its row's and column's neighbours and itself.
function calm({ image, width }, i) {
  const { flair } = image;
  let sum = 0, n = 0;
  for (const row of [i - width, i, i + width])
    for (let k = row - 1; k <= row + 1; k++)
      if (k >= 0 && k < flair.length) {
        sum += flair[k];
        n++;
      }
  return sum / n;
}

// What is around a click, outside of the mask: the median of the greys, how far they spread, and the highest probability
// beside it.
function aroundOf(frame, i, cutoff) {
  const { width, height, probability } = frame;
  const x = i % width, y = (i - x) / width, greys = [];
  let likely = 0;
  for (let v = Math.max(0, y - AROUND); v <= Math.min(height - 1, y + AROUND); v++)
    for (let u = Math.max(0, x - AROUND); u <= Math.min(width - 1, x + AROUND); u++) {
      const k = v * width + u;
      if (inMask(frame, k, cutoff)) continue;
      greys.push(calm(frame, k));
      if (Math.abs(u - x) < 2 && Math.abs(v - y) < 2) likely = Math.max(likely, probability[k]);
    }
  const grey = median(greys);
  return { grey, spread: 1.4826 * median(greys.map((g) => Math.abs(g - grey))), likely };
}

// The object that the mask lacks where a voxel outside of it was clicked: what is joined with it, as likely as at least half
// of its probability, and as bright as what is around it. Where the network sees nothing (`alone`) the brightness decides,
// within narrower bounds. Narrower again where it would flood the head; where it does even so, or where there is nothing,
// `object` is null, and `floods` says which. What was removed by hand stays so, unless it was clicked.
export function grownFrom(frames, s, i, cutoff) {
  const frame = frames[s];
  const { grey, spread, likely } = aroundOf(frame, i, cutoff);
  const alone = likely < LEAST, again = frame.edits?.[i] === REMOVED;
  const reach = alone ? Math.min(25, Math.max(10, 2.5 * spread)) : Math.min(40, Math.max(16, 3 * spread));
  const most = headOf(frames) * LARGEST;
  if (grey <= AIR) return { object: null, alone, floods: false }; // air
  for (const narrow of NARROWER) {
    const least = alone ? 0 : Math.max(LEAST, likely * (1 - narrow / 2)), [low, high] = [grey - reach * narrow, grey + 2 * reach * narrow];
    const mayBe = (f, k, own) =>
      f.probability[k] >= least && !inMask(f, k, cutoff) && (again || f.edits?.[k] !== REMOVED) && own >= low && own <= high;
    const object = joined(frames, seedsBeside(frame, s, i), (f, k) => mayBe(f, k, calm(f, k)), most);
    if (object === null) continue;
    if (sizeOf(object) < SMALLEST) return { object: null, alone, floods: false };
    for (const [slice, pixels] of object) {
      addRim(frames[slice], pixels, mayBe);
      fillHoles(frames[slice], pixels, again);
    }
    return { object, alone, floods: false };
  }
  return { object: null, alone, floods: true };
}

// A hand is not that exact: the voxel and the eight beside it.
function seedsBeside({ width, height }, s, i) {
  const x = i % width, y = (i - x) / width, seeds = [];
  for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++)
    for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) seeds.push(s, v * width + u);
  return seeds;
}

// Add to the pixels of an area those at its edge that belong to it by their own grey: the mean with what is beyond has none
// there.
function addRim(frame, pixels, mayBe) {
  const { width, height, image } = frame, own = new Set(pixels);
  for (let n = 0, inner = pixels.length; n < inner; n++) {
    const i = pixels[n], x = i % width, y = (i - x) / width;
    for (const [u, v] of [[x - 1, y], [x + 1, y], [x, y - 1], [x, y + 1]]) {
      const k = v * width + u;
      if (u < 0 || v < 0 || u >= width || v >= height || own.has(k) || !mayBe(frame, k, image.flair[k])) continue;
      own.add(k);
      pixels.push(k);
    }
  }
}

// Add to the pixels of an area what it goes round; what was removed by hand only where that is asked for.
function fillHoles({ width, height, edits }, pixels, again) {
  const xs = pixels.map((i) => i % width), ys = pixels.map((i) => Math.floor(i / width));
  const least = (values) => values.reduce((a, b) => Math.min(a, b)), greatest = (values) => values.reduce((a, b) => Math.max(a, b));
  const [left, right] = [Math.max(0, least(xs) - 1), Math.min(width - 1, greatest(xs) + 1)];
  const [top, bottom] = [Math.max(0, least(ys) - 1), Math.min(height - 1, greatest(ys) + 1)];
  const wide = right - left + 1, tall = bottom - top + 1;
  const marks = new Uint8Array(wide * tall), next = [];
  for (const i of pixels) marks[(Math.floor(i / width) - top) * wide + (i % width) - left] = 1;
  const look = (x, y) => {
    if (x < 0 || y < 0 || x >= wide || y >= tall || marks[y * wide + x]) return;
    marks[y * wide + x] = 2;
    next.push(x, y);
  };
  for (let x = 0; x < wide; x++) [0, tall - 1].forEach((y) => look(x, y));
  for (let y = 0; y < tall; y++) [0, wide - 1].forEach((x) => look(x, y));
  while (next.length) {
    const y = next.pop(), x = next.pop();
    look(x - 1, y);
    look(x + 1, y);
    look(x, y - 1);
    look(x, y + 1);
  }
  marks.forEach((mark, k) => {
    const i = (top + Math.floor(k / wide)) * width + left + (k % wide);
    if (!mark && (again || edits?.[i] !== REMOVED)) pixels.push(i);
  });
}
