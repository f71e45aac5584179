// The connected abnormalities of a case, as lgg_demo/measure/lesions.py finds them. No document: node tests it alone.
//
// Voxels are connected that share a side, an edge or a corner. A mask is taken as runs (pixels of one row side by side),
// numbered in the order of the stack, so that only what is inside costs anything; the work is done in small steps, between
// which the page can draw.
import { ADDED, REMOVED, predictedOf, rounded } from "./counts.js";
import { edgeMiddles, exceeds, hullOf, linesAcross } from "./diameters.js";

export const MOST_LESIONS = 100; // measured, the largest; more are noise
const AT_FIRST = 1024; // runs there is room for

// The runs of all slices: of run k its row, slice and columns (`from` to `to`, inclusive), and, each with the lowest number
// that is known to be of the same `whole` or of the same `area` in its slice.
const COLUMNS = ["row", "from", "to", "slice", "whole", "area"];

function newRuns() {
  return { count: 0, ...Object.fromEntries(COLUMNS.map((name) => [name, new Int32Array(AT_FIRST)])) };
}

function add(runs, slice, row, from, to) {
  const k = runs.count++;
  if (k === runs.row.length)
    for (const name of COLUMNS) {
      const longer = new Int32Array(2 * k);
      longer.set(runs[name]);
      runs[name] = longer;
    }
  runs.row[k] = row;
  runs.from[k] = from;
  runs.to[k] = to;
  runs.slice[k] = slice;
  runs.whole[k] = runs.area[k] = k;
}

// Add the runs of a slice's mask at a cutoff.
function addSlice(runs, slice, { probability, edits, width, height }, cutoff) {
  for (let row = 0, i = 0; row < height; row++) {
    let from = -1;
    for (let column = 0; column < width; column++, i++) {
      let on = probability[i] >= cutoff;
      if (edits !== null) on = (on && edits[i] !== REMOVED) || edits[i] === ADDED;
      if (on === from >= 0) continue;
      if (!on) add(runs, slice, row, from, column - 1);
      from = on ? column : -1;
    }
    if (from >= 0) add(runs, slice, row, from, width - 1);
  }
}

function lowest(links, k) {
  while (links[k] !== k) k = links[k] = links[links[k]];
  return k;
}

function join(links, a, b) {
  const [first, second] = [lowest(links, a), lowest(links, b)];
  links[Math.max(first, second)] = Math.min(first, second);
}

// Join runs from `begin` to `end` with those from `first` to `last` that lie `apart` rows above and touch them by side or
// corner.
function joinRows({ row, from, to }, links, begin, end, first, last, apart) {
  for (let k = begin, next = first; k < end; k++) {
    const above = row[k] - apart, left = from[k] - 1, right = to[k] + 1;
    while (next < last && (row[next] < above || (row[next] === above && to[next] < left))) next++;
    for (let n = next; n < last && row[n] === above && from[n] <= right; n++) join(links, k, n);
  }
}

// All runs of the stack, each linked to the first of its whole and of its area.
function* linkedRuns(frames, cutoff) {
  const runs = newRuns();
  let first = 0; // of the slice before
  for (const [slice, frame] of frames.entries()) {
    const begin = runs.count;
    if (predictedOf(frame, cutoff)) addSlice(runs, slice, frame, cutoff);
    const end = runs.count;
    joinRows(runs, runs.area, begin, end, begin, end, 1);
    joinRows(runs, runs.whole, begin, end, begin, end, 1);
    for (const apart of [1, 0, -1]) joinRows(runs, runs.whole, begin, end, first, begin, apart);
    first = begin;
    yield;
  }
  for (const links of [runs.whole, runs.area]) for (let k = 0; k < runs.count; k++) links[k] = links[links[k]]; // a lower one is final
  return runs;
}

// The parts of a mask, the largest first: {first, pixels, members}, the last filled for those that are measured alone.
function partsOf({ count, whole, from, to }) {
  const pixels = new Int32Array(count);
  for (let k = 0; k < count; k++) pixels[whole[k]] += to[k] - from[k] + 1;
  const parts = [];
  for (let k = 0; k < count; k++) if (whole[k] === k) parts.push({ first: k, pixels: pixels[k], members: [] });
  parts.sort((a, b) => b.pixels - a.pixels || a.first - b.first);
  const measuredOnes = new Map(parts.slice(0, MOST_LESIONS).map((part) => [part.first, part.members]));
  for (let k = 0; k < count; k++) measuredOnes.get(whole[k])?.push(k);
  return parts;
}

// No line in an area is longer than the diagonal of the box around it.
function diagonalOf(area, [tall, wide]) {
  let left = Infinity, right = -1;
  for (const { from, to } of area) {
    left = Math.min(left, from);
    right = Math.max(right, to);
  }
  return Math.hypot((area.at(-1).row - area[0].row + 1) * tall, (right - left + 1) * wide);
}

// The pixel of some runs of one slice that is closest to their mean.
function middleOf(runs) {
  let x = 0, y = 0, pixels = 0;
  for (const { row, from, to } of runs) {
    const n = to - from + 1;
    x += ((from + to) / 2) * n;
    y += row * n;
    pixels += n;
  }
  let best = { far: Infinity };
  for (const { row, from, to } of runs) {
    const column = Math.min(to, Math.max(from, Math.round(x / pixels)));
    const far = (column - x / pixels) ** 2 + (row - y / pixels) ** 2;
    if (far < best.far) best = { far, x: column, y: row };
  }
  return { x: best.x, y: best.y };
}

function areasOf(members, runs) {
  const areas = new Map();
  for (const k of members) {
    const run = { slice: runs.slice[k], row: runs.row[k], from: runs.from[k], to: runs.to[k] };
    const own = areas.get(runs.area[k]);
    if (own) own.push(run);
    else areas.set(runs.area[k], [run]);
  }
  return [...areas.values()];
}

// The longest of some areas: {longest, perpendicular, ends, slice}, not rounded.
function* longestOf(areas, plane) {
  let best = null;
  for (const area of areas) {
    if (best && diagonalOf(area, plane) <= best.longest) continue;
    const found = linesAcross(hullOf(edgeMiddles(area)), plane);
    if (!best || exceeds(found, best)) best = { ...found, slice: area[0].slice };
    yield;
  }
  return best;
}

const stepsInPlane = ({ spacing }) => (spacing ? spacing.slice(1) : [1, 1]); // mm of a row and of a column; pixels

// The two diameters of a lesion in one slice, rounded, with their ends; null where it is not there.
export function diametersIn({ areas }, slice, frame) {
  const own = areas.filter((area) => area[0].slice === slice);
  if (!own.length) return null;
  const { longest, perpendicular, ends } = whole(longestOf(own, stepsInPlane(frame)));
  return { longest: rounded(longest, 2), perpendicular: rounded(perpendicular, 2), ends };
}

function* measured({ members, pixels }, runs, frame) {
  const { of, spacing } = frame;
  const areas = areasOf(members, runs);
  const { longest, perpendicular, slice, ends } = yield* longestOf(areas, stepsInPlane(frame));
  const first = runs.slice[members[0]], last = runs.slice[members.at(-1)];
  return {
    pixels, first, last, slice, ends, areas,
    longest: rounded(longest, 2), perpendicular: rounded(perpendicular, 2),
    volume: of.voxel_ml ? rounded(pixels * of.voxel_ml, 4) : null,
    height: spacing ? rounded((last - first + 1) * spacing[0], 2) : null,
    ...middleOf(areas.filter((area) => area[0].slice === slice).flat()),
  };
}

// The abnormalities of a case (its frames, in order) at a cutoff, the largest first: a generator that yields between its
// steps and returns {lesions, found}, where `found` counts those as well that are too many to be measured. Of equally large
// ones that comes first whose first voxel does. A lesion: pixels, volume (mL) or null; longest, perpendicular and height
// (craniocaudal) in mm where the spacing is known, else the two in pixels and height null; first, last and longest slice
// (from 0); the ends of its lines, its middle (x, y) there; and its areas, each a list of runs {slice, row, from, to}.
export function* lesionsOf(frames, cutoff) {
  const runs = yield* linkedRuns(frames, cutoff);
  const parts = partsOf(runs);
  const lesions = [];
  for (const part of parts.slice(0, MOST_LESIONS)) lesions.push(yield* measured(part, runs, frames[0]));
  return { lesions, found: parts.length };
}

// The result of a generator, all at once.
export function whole(steps) {
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}
