// Hausdorff 95 and surface Dice of a prediction against its reference, as lgg_demo/measure/surfaces.py computes them. No
// document: node tests it alone. Only the boxes around the two surfaces are looked at, in steps of a few milliseconds.
import { maskOf, predictedOf, rounded } from "./counts.js";
import { envelope } from "./envelope.js";

const TOLERANCE = 2; // mm: two readers' outlines of one lesion lie about this far apart
const SLACK = 1e-9; // mm: a distance that is the tolerance stays so, whatever floats make of it

// The voxels of a mask (an array for each slice, null where it is empty) that have one outside beside a face: x, y and z of
// each, in order.
function* surfaceVoxels(masks, width, height) {
  const found = [];
  for (const [z, mask] of masks.entries()) {
    if (!mask) continue;
    const below = masks[z - 1], above = masks[z + 1];
    for (let i = mask.indexOf(1); i >= 0; i = mask.indexOf(1, i + 1)) {
      const x = i % width, y = (i - x) / width;
      const inside =
        x > 0 && x < width - 1 && y > 0 && y < height - 1 && mask[i - 1] && mask[i + 1] && mask[i - width] && mask[i + width] &&
        below?.[i] && above?.[i];
      if (!inside) found.push(x, y, z);
    }
    yield;
  }
  return Int32Array.from(found);
}

function boxAround(points) {
  const low = [Infinity, Infinity, Infinity], high = [-1, -1, -1];
  for (let k = 0; k < points.length; k++) {
    low[k % 3] = Math.min(low[k % 3], points[k]);
    high[k % 3] = Math.max(high[k % 3], points[k]);
  }
  return { low, size: high.map((h, axis) => h - low[axis] + 1) };
}

// Of each row (y, z) in the box of a surface, the squared distance in x from its nearest voxel to each x of another box.
function alongRows(points, { low, size }, other, [, , wide]) {
  const across = other.size[0], rows = new Float64Array(size[2] * size[1] * across).fill(Infinity);
  for (let k = 0; k < points.length; ) {
    const [y, z] = [points[k + 1], points[k + 2]], base = ((z - low[2]) * size[1] + y - low[1]) * across;
    const first = k;
    while (k < points.length && points[k + 1] === y && points[k + 2] === z) k += 3;
    for (let at = 0, n = first; at < across; at++) {
      const x = at + other.low[0];
      while (n + 3 < k && Math.abs(points[n + 3] - x) <= Math.abs(points[n] - x)) n += 3;
      rows[base + at] = (Math.abs(points[n] - x) * wide) ** 2;
    }
  }
  return rows;
}

// The same for planes: of each slice of the surface's box the least squared distance to each (x, y) of the other box.
function* alongPlanes(rows, { low, size }, other, [, tall]) {
  const [across, down] = other.size, planes = new Float64Array(size[2] * down * across).fill(Infinity);
  const asked = Float64Array.from({ length: down }, (_, k) => (k + other.low[1]) * tall);
  const at = new Float64Array(size[1]), up = new Float64Array(size[1]);
  for (let z = 0; z < size[2]; z++) {
    for (let x = 0; x < across; x++) {
      let count = 0;
      for (let y = 0, i = z * size[1] * across + x; y < size[1]; y++, i += across) {
        if (rows[i] === Infinity) continue;
        at[count] = (y + low[1]) * tall;
        up[count++] = rows[i];
      }
      if (!count) break; // a row reaches every x, or none
      const base = z * down * across + x;
      envelope(at, up, count, asked, (k, value) => (planes[base + k * across] = value));
    }
    yield;
  }
  return planes;
}

// From each voxel of one surface to the nearest of the other, in mm.
function* distancesFrom(points, others, spacing) {
  const own = boxAround(points), there = boxAround(others), [between] = spacing;
  const rows = alongRows(others, there, own, spacing);
  yield;
  const planes = yield* alongPlanes(rows, there, own, spacing);
  const [across, down] = own.size, depth = there.size[2], found = new Float64Array(points.length / 3);
  for (let k = 0; k < points.length; k += 3) {
    const i = (points[k + 1] - own.low[1]) * across + points[k] - own.low[0], z = points[k + 2] - there.low[2];
    const near = Math.min(depth - 1, Math.max(0, z));
    let best = Infinity;
    const look = (at) => {
      const apart = (Math.abs(z - at) * between) ** 2;
      if (apart < best) best = Math.min(best, apart + planes[at * across * down + i]);
      return apart < best; // slices beyond are farther still
    };
    for (let at = near; at >= 0 && look(at); at--);
    for (let at = near + 1; at < depth && look(at); at++);
    found[k / 3] = Math.sqrt(best);
    if (k % 6000 === 0) yield;
  }
  return found;
}

// The 95th percentile, linear between ranks as numpy's.
function percentile95(values) {
  const sorted = values.slice().sort();
  const rank = 0.95 * (sorted.length - 1), low = Math.floor(rank), share = rank - low;
  const a = sorted[low], b = sorted[Math.min(low + 1, sorted.length - 1)];
  return share < 0.5 ? a + (b - a) * share : b - (b - a) * (1 - share);
}

// Both of a case whose every slice has a reference, at a cutoff: a generator that yields between its steps and returns
// {hd95 (mm; null where one of the two is empty), dice}. spacing: mm between slices, rows and columns.
export function* surfacesOf(frames, cutoff, spacing) {
  const { width, height } = frames[0], masks = [];
  for (const frame of frames) {
    masks.push(predictedOf(frame, cutoff) ? maskOf(frame, cutoff) : null);
    yield;
  }
  const predicted = yield* surfaceVoxels(masks, width, height);
  const reference = yield* surfaceVoxels(frames.map((f) => (f.known ? f.reference : null)), width, height);
  if (!predicted.length || !reference.length) {
    const alike = predicted.length === reference.length;
    return { hd95: alike ? 0 : null, surface_dice: alike ? 1 : 0 };
  }
  const there = yield* distancesFrom(predicted, reference, spacing);
  const back = yield* distancesFrom(reference, predicted, spacing);
  const within = (values) => values.reduce((n, v) => n + (v <= TOLERANCE + SLACK ? 1 : 0), 0);
  return {
    hd95: rounded(Math.max(percentile95(there), percentile95(back)), 3),
    surface_dice: (within(there) + within(back)) / (there.length + back.length),
  };
}
