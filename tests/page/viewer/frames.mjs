// Frames for the tests: what loading.js makes of what the server sends, in small.
import { tally } from "../../../lgg_demo/page/viewer/counts.js";

// The same numbers in [0, 1) for the same seed (mulberry32).
export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const geometry = { pixel_mm2: 0.9375 ** 2, voxel_ml: (0.9375 ** 2 * 5) / 1000 };

// A counted frame; its arrays are drawn by chance where they are not given.
export function frameOf({ seed = 1, width = 12, height = 10, of = geometry, spacing = null, known = true, ...given } = {}) {
  const next = random(seed);
  const pixels = (value) => Uint8Array.from({ length: width * height }, value);
  const probability = pixels(() => 256 * next());
  const frame = {
    case: 0, slice: 0, width, height, of, spacing, probability, reference: known ? pixels(() => (next() < 0.4 ? 1 : 0)) : null,
    edits: null, ...given,
  };
  tally(frame);
  return frame;
}
