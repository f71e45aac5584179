// Corrections by hand: strokes of a brush, and what goes to the server. No document: node tests it alone.
import { tally } from "./counts.js";
import { editionOf, editsIn } from "./history.js";
import { state } from "./state.js";

// The pixels of a plane that a straight piece of a stroke covers, `from` to `to`, round and `size` columns of the axial
// slice wide, as the numbers x and y by turns. plane: see planes.js. The one that `to` lies in always counts.
export function covered({ width, height, wide, tall }, from, to, size) {
  const radius = Math.max((size * wide) / 2, 0.5), reach = radius / tall;
  const [alongX, alongY] = [to.x - from.x, (to.y - from.y) * tall];
  const along = alongX ** 2 + alongY ** 2;
  const [left, right] = [Math.max(0, Math.floor(Math.min(from.x, to.x) - radius)), Math.min(width - 1, Math.max(from.x, to.x) + radius)];
  const [top, bottom] = [Math.max(0, Math.floor(Math.min(from.y, to.y) - reach)), Math.min(height - 1, Math.max(from.y, to.y) + reach)];
  const pixels = [];
  for (let y = top; y <= bottom; y++)
    for (let x = left; x <= right; x++) {
      const dx = x + 0.5 - from.x, dy = (y + 0.5 - from.y) * tall;
      const t = along ? Math.min(1, Math.max(0, (dx * alongX + dy * alongY) / along)) : 0;
      const far = (dx - t * alongX) ** 2 + (dy - t * alongY) ** 2;
      if (far <= radius * radius || (Math.floor(to.x) === x && Math.floor(to.y) === y)) pixels.push(x, y);
    }
  return pixels;
}

// Mark pixels of a plane (x and y by turns), and count the slices anew that this changes. Pixels are marked even where the
// mask has them already: so they stay when the threshold moves.
export function markPixels(step, plane, pixels, mark) {
  const changed = new Set();
  for (let n = 0; n < pixels.length; n += 2) {
    const frame = plane.frameAt(pixels[n + 1]), i = plane.indexAt(pixels[n], pixels[n + 1]);
    const edits = editsIn(step, frame);
    if (edits[i] === mark) continue;
    edits[i] = mark;
    changed.add(frame);
  }
  for (const frame of changed) tally(frame);
}

// Whether there are corrections that no download has taken yet.
export const hasUnsavedCorrections = () =>
  state.frames.some((f) => f.touched) && editionOf(state.history) !== state.history.saved;

async function pipe(bytes, through) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(through)).arrayBuffer());
}

export const inflate = (base64) =>
  pipe(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), new DecompressionStream("deflate"));

async function deflate(bytes) {
  const packed = await pipe(bytes, new CompressionStream("deflate"));
  let text = "";
  for (let i = 0; i < packed.length; i += 32768) text += String.fromCharCode(...packed.subarray(i, i + 32768));
  return btoa(text);
}

// The corrections of a result for the server: JSON, empty where nothing was corrected. See payload.read_corrections.
export async function packCorrections(id, frames) {
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
