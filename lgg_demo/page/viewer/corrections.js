// Corrections by hand: strokes of a brush, undone and packed for the server. No document: node tests it alone.
import { tally } from "./counts.js";

const MOST_STROKES = 200; // kept for undo

// `before`: pixel to what its edit was before the stroke.
export const newStroke = (frame) => ({ frame, before: new Map() });

// The height of a pixel in widths.
export const heightOf = ({ spacing }) => (spacing ? spacing[1] / spacing[2] : 1);

// One straight piece of a stroke, `from` to `to` in pixels, round and `size` pixels wide. Pixels are marked even where the
// mask has them already: so they stay when the threshold moves.
export function dab({ frame, before }, mark, from, to, size) {
  const { width, height } = frame;
  const tall = heightOf(frame);
  frame.edits ??= new Uint8Array(width * height);
  const radius = Math.max(size / 2, 0.5);
  const reach = radius / tall;
  const [alongX, alongY] = [to.x - from.x, (to.y - from.y) * tall];
  const along = alongX ** 2 + alongY ** 2;
  const rows = [Math.max(0, Math.floor(Math.min(from.y, to.y) - reach)), Math.min(height - 1, Math.max(from.y, to.y) + reach)];
  const columns = [Math.max(0, Math.floor(Math.min(from.x, to.x) - radius)), Math.min(width - 1, Math.max(from.x, to.x) + radius)];
  for (let y = rows[0]; y <= rows[1]; y++)
    for (let x = columns[0]; x <= columns[1]; x++) {
      const dx = x + 0.5 - from.x, dy = (y + 0.5 - from.y) * tall;
      const t = along ? Math.min(1, Math.max(0, (dx * alongX + dy * alongY) / along)) : 0;
      const far = (dx - t * alongX) ** 2 + (dy - t * alongY) ** 2;
      // A brush of one pixel marks the pixel it is in, wherever in it.
      if (far > radius * radius && !(Math.floor(to.x) === x && Math.floor(to.y) === y)) continue;
      const i = y * width + x;
      if (frame.edits[i] === mark) continue;
      if (!before.has(i)) before.set(i, frame.edits[i]);
      frame.edits[i] = mark;
    }
  tally(frame);
}

// Remember a stroke for undo, unless it changed nothing.
export function keepStroke(strokes, stroke) {
  if (!stroke.before.size) return;
  strokes.push(stroke);
  if (strokes.length > MOST_STROKES) strokes.shift();
}

export function takeBack({ frame, before }) {
  for (const [i, was] of before) frame.edits[i] = was;
  tally(frame);
}

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
