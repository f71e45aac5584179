// Whole objects in three dimensions: found from a voxel, cut in two. No document: node tests it
// alone. `frames` are those of one case in order; a voxel is its slice s and its pixel i; voxels are joined that share a
// side, an edge or a corner. An object is a Map of slice to a list of pixels.
import { inMask } from "./counts.js";

export const sizeOf = (object) => [...object.values()].reduce((sum, pixels) => sum + pixels.length, 0);

// All voxels joined with the seeds (s, i by turns) for which inside(frame, i) holds; null where there are more than `most`.
// Those in `seen`, an array of marks by slice, are left out, and marked there.
export function joined(frames, seeds, inside, most = Infinity, seen = []) {
  const { width, height } = frames[0];
  const object = new Map(), next = [];
  let size = 0;
  const look = (s, i) => {
    const marks = (seen[s] ??= new Uint8Array(width * height));
    if (marks[i]) return;
    marks[i] = 1;
    if (!inside(frames[s], i)) return;
    if (!object.has(s)) object.set(s, []);
    object.get(s).push(i);
    next.push(s, i);
    size++;
  };
  for (let n = 0; n < seeds.length; n += 2) look(seeds[n], seeds[n + 1]);
  while (next.length && size <= most) {
    const i = next.pop(), s = next.pop();
    const x = i % width, y = (i - x) / width;
    for (let t = Math.max(0, s - 1); t <= Math.min(frames.length - 1, s + 1); t++)
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++)
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) look(t, v * width + u);
  }
  return size <= most ? object : null;
}

// The object of the mask that a voxel is in; empty where it is in none.
export const objectAt = (frames, s, i, cutoff) => joined(frames, [s, i], (frame, k) => inMask(frame, k, cutoff));

// Cut the objects that a line (pixels of a plane, x and y by turns) runs through, right through the depth of each: what has
// to go, as an object, and how many `parts` are left of them; null where the line parts none.
export function cutThrough(frames, plane, line, cutoff) {
  const knife = new Set(), seen = [], gone = new Map();
  let parts = 0, cut = false;
  for (let n = 0; n < line.length; n += 2) knife.add(line[n + 1] * plane.width + line[n]);
  const isCut = (s, i) => {
    const [x, y] = plane.shown(s, i);
    return knife.has(y * plane.width + x);
  };
  const numbers = new Map(frames.map((frame, s) => [frame, s]));
  for (let n = 0; n < line.length; n += 2) {
    const s = numbers.get(plane.frameAt(line[n + 1])), i = plane.indexAt(line[n], line[n + 1]);
    if (seen[s]?.[i] || !inMask(frames[s], i, cutoff)) continue;
    const object = joined(frames, [s, i], (frame, k) => inMask(frame, k, cutoff), Infinity, seen);
    const pieces = piecesOf(frames, object, isCut);
    if (pieces < 2) continue;
    cut = true;
    parts += pieces;
    for (const [slice, pixels] of object) {
      const own = pixels.filter((k) => isCut(slice, k));
      if (own.length) gone.set(slice, [...(gone.get(slice) ?? []), ...own]);
    }
  }
  return cut ? { gone, parts } : null;
}

// In how many pieces an object is without what is cut.
function piecesOf(frames, object, isCut) {
  const members = frames.map(() => null), numbers = new Map(frames.map((frame, s) => [frame, s])), seen = [];
  for (const [s, pixels] of object) {
    members[s] = new Uint8Array(frames[s].probability.length);
    for (const i of pixels) if (!isCut(s, i)) members[s][i] = 1;
  }
  const inside = (frame, i) => members[numbers.get(frame)]?.[i] === 1;
  let pieces = 0;
  for (const [s, pixels] of object)
    for (const i of pixels) if (members[s][i] && !seen[s]?.[i] && joined(frames, [s, i], inside, Infinity, seen).size) pieces++;
  return pieces;
}
