// A lesion out of the result and back in it, as corrections of its voxels. No document: node tests it alone.
import { REMOVED, UNTOUCHED, tally } from "./counts.js";
import { editsIn, newStep } from "./history.js";

const LOWEST_CUTOFF = 3; // of 255: the cutoff of the lowest threshold there is

// The pixels of a lesion's runs, by slice.
function coreOf({ areas }, width) {
  const core = new Map();
  for (const { slice, row, from, to } of areas.flat()) {
    if (!core.has(slice)) core.set(slice, []);
    for (let x = from; x <= to; x++) core.get(slice).push(row * width + x);
  }
  return core;
}

// What belongs to a lesion at any threshold below this one too: the less likely voxels around it that are reached from it
// sooner than from another lesion. Else its rim would stay, and be a lesion once the threshold is lowered.
function withRim(frames, lesions, lesion, cutoff) {
  const { width, height } = frames[0];
  const owner = frames.map(() => null), reached = coreOf(lesion, width), front = [];
  const take = (slice, i, own) => {
    owner[slice] ??= new Uint8Array(width * height);
    owner[slice][i] = own;
    front.push(slice, i);
  };
  for (const other of lesions) {
    const core = other === lesion ? reached : coreOf(other, width);
    for (const [slice, pixels] of core) for (const i of pixels) take(slice, i, other === lesion ? 1 : 2);
  }
  const isFree = (slice, i) => {
    const { probability: { [i]: p }, edits } = frames[slice];
    return p >= LOWEST_CUTOFF && p < cutoff && !owner[slice]?.[i] && (edits === null || edits[i] === UNTOUCHED);
  };
  for (let n = 0; n < front.length; n += 2) {
    const slice = front[n], i = front[n + 1], own = owner[slice][i];
    const x = i % width, y = (i - x) / width;
    for (let s = Math.max(0, slice - 1); s <= Math.min(frames.length - 1, slice + 1); s++)
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++)
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
          const k = v * width + u;
          if (!isFree(s, k)) continue;
          take(s, k, own);
          if (own !== 1) continue;
          if (reached.has(s)) reached.get(s).push(k);
          else reached.set(s, [k]);
        }
  }
  return reached;
}

// Take a lesion out: the step to keep, and what brings it back.
export function takeOut(frames, lesions, lesion, cutoff) {
  const step = newStep();
  const core = coreOf(lesion, frames[0].width);
  const voxels = [...withRim(frames, lesions, lesion, cutoff)].map(([slice, at]) => {
    const frame = frames[slice], edits = editsIn(step, frame), was = at.map((i) => edits[i]);
    for (const i of at) edits[i] = REMOVED;
    tally(frame);
    return { frame, at, was, core: core.get(slice)?.length ?? 0 }; // its own pixels come first
  });
  return { step, removal: { lesion, voxels } };
}

// Bring one back: the step to keep. What was drawn there since stays.
export function bringBack({ voxels }) {
  const step = newStep();
  for (const { frame, at, was } of voxels) {
    const edits = editsIn(step, frame);
    at.forEach((i, n) => {
      if (edits[i] === REMOVED) edits[i] = was[n];
    });
    tally(frame);
  }
  return step;
}

// Whether most of a lesion is still out: undo, or a brush, may have brought it back.
export function isOut({ lesion, voxels }) {
  let out = 0;
  for (const { frame, at, core } of voxels) for (let n = 0; n < core; n++) if (frame.edits?.[at[n]] === REMOVED) out++;
  return 2 * out > lesion.pixels;
}
