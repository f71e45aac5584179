// Which lesions of several visits are one, as lgg_demo/measure/lesion_matching.py finds them. No document: node tests it alone.
//
// All are looked at in the grid of the first visit, the later ones resampled into it to the nearest voxel. Lesions of two
// visits are one where voxels of theirs are near each other, through others too: what splits or merges is summed.
import { inverted, through } from "./reslice.js";

const NEAR = 3, ROUNDING = 1e-9; // mm
const HERE = [[0, 0, 0]];

// The lesions of a visit as numbers from 1 on, an array for each slice that has any, in its own grid.
function numbered(lesions, width, height) {
  const slices = new Map();
  lesions.forEach(({ areas }, k) => {
    for (const { slice, row, from, to } of areas.flat()) {
      if (!slices.has(slice)) slices.set(slice, new Uint8Array(width * height));
      slices.get(slice).fill(k + 1, row * width + from, row * width + to + 1);
    }
  });
  return slices;
}

// The box in the first grid that holds all that a visit's lesions reach: [low, high] along slices, rows, columns.
function boxOf(lesions, m, { slices, height, width }) {
  const back = inverted(m), low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (const { areas } of lesions)
    for (const { slice, row, from, to } of areas.flat())
      for (const column of [from, to])
        through(back, slice, row, column).forEach((v, a) => {
          low[a] = Math.min(low[a], Math.floor(v) - 1);
          high[a] = Math.max(high[a], Math.ceil(v) + 1);
        });
  const most = [slices - 1, height - 1, width - 1];
  return [low.map((v) => Math.max(0, v)), high.map((v, a) => Math.min(most[a], v))];
}

// The same in the first grid.
function* resampled(lesions, frames, m, grid) {
  const own = { width: frames[0].width, height: frames[0].height };
  const labels = numbered(lesions, own.width, own.height), slices = new Map();
  if (!m) return labels; // the first visit itself
  const [low, high] = boxOf(lesions, m, grid);
  for (let s = low[0]; s <= high[0]; s++) {
    const slice = new Uint8Array(grid.width * grid.height);
    for (let y = low[1]; y <= high[1]; y++) {
      let [z, v, u] = through(m, s, y, low[2]);
      for (let x = low[2]; x <= high[2]; x++, z += m[2], v += m[6], u += m[10]) {
        const row = Math.round(v), column = Math.round(u);
        if (row < 0 || column < 0 || row >= own.height || column >= own.width) continue;
        slice[y * grid.width + x] = labels.get(Math.round(z))?.[row * own.width + column] ?? 0;
      }
    }
    if (slice.some((n) => n)) slices.set(s, slice);
    yield;
  }
  return slices;
}

// Steps (slices, rows, columns) to all voxels whose middles are at most so many mm away.
function stepsWithin(mm, spacing) {
  const reach = spacing.map((step) => Math.floor(mm / step + ROUNDING)), steps = [];
  for (let s = -reach[0]; s <= reach[0]; s++)
    for (let y = -reach[1]; y <= reach[1]; y++)
      for (let x = -reach[2]; x <= reach[2]; x++)
        if (Math.hypot(s * spacing[0], y * spacing[1], x * spacing[2]) <= mm + ROUNDING) steps.push([s, y, x]);
  return steps;
}

// Which lesions of one visit touch which of another, as pairs of numbers.
function* touching(one, other, steps, { width, height }) {
  const found = new Set();
  for (const [s, slice] of one) {
    const below = one.get(s - 1), above = one.get(s + 1);
    for (let i = 0; i < slice.length; i++) {
      const own = slice[i];
      if (!own) continue;
      const x = i % width, y = (i - x) / width;
      // What lies outside is nearest to a voxel of the surface.
      const inner = x > 0 && x < width - 1 && slice[i - 1] && slice[i + 1] && slice[i - width] && slice[i + width] &&
        below?.[i] && above?.[i];
      for (const [ds, dy, dx] of inner ? HERE : steps) {
        const v = y + dy, u = x + dx;
        if (v < 0 || u < 0 || v >= height || u >= width) continue;
        const there = other.get(s + ds)?.[v * width + u];
        if (there) found.add(own * 256 + there);
      }
    }
    yield;
  }
  return [...found].map((pair) => [pair >> 8, pair & 255]);
}

// The lesions of all visits together: a generator that yields between its steps and returns a list, the largest first, each
// {parts: of each visit the lesions that belong to it, volumes: their sums in mL, isNew: whether the first visit has nothing
// of it, though it has its place}. visits: each {frames, lesions (see
// `lesionsOf`), to (the matrix from the first visit's voxels to its own)}, in order of time.
export function* matchedLesions(visits) {
  const [{ frames }] = visits, { width, height, spacing } = frames[0];
  const grid = { slices: frames.length, width, height }, steps = stepsWithin(NEAR, spacing), labels = [];
  for (const [n, { lesions, frames: own, to }] of visits.entries()) labels.push(yield* resampled(lesions, own, n ? to : null, grid));
  const owner = new Map(visits.flatMap(({ lesions }, n) => lesions.map((_, k) => [`${n}/${k + 1}`, `${n}/${k + 1}`])));
  const rootOf = (name) => {
    while (owner.get(name) !== name) name = owner.get(name);
    return name;
  };
  for (let a = 0; a < visits.length; a++)
    for (let b = a + 1; b < visits.length; b++)
      for (const [own, other] of yield* touching(labels[a], labels[b], steps, grid)) owner.set(rootOf(`${b}/${other}`), rootOf(`${a}/${own}`));
  const groups = new Map();
  for (const [n, { lesions }] of visits.entries())
    for (const [k, lesion] of lesions.entries()) {
      const name = rootOf(`${n}/${k + 1}`);
      if (!groups.has(name)) groups.set(name, { parts: visits.map(() => []) });
      groups.get(name).parts[n].push(lesion);
    }
  const seen = labels.map((slices) => new Set([...slices.values()].flatMap((slice) => [...new Set(slice)])));
  const found = [...groups.values()].map(({ parts }) => ({
    parts, volumes: parts.map((part, n) => part.reduce((sum, { pixels }) => sum + pixels, 0) * visits[n].frames[0].of.voxel_ml),
    isNew: !parts[0].length && parts.some((part, n) => part.some((lesion) => seen[n].has(visits[n].lesions.indexOf(lesion) + 1))),
  }));
  return found.sort((a, b) => Math.max(...b.volumes) - Math.max(...a.volumes));
}
