// What lies between two slices that were corrected by hand: their shapes, one turning into the other. No document: node tests
// it alone. Shapes are masks (Uint8Array of a slice).
import { ADDED, REMOVED, UNTOUCHED, inMask, maskOf } from "./counts.js";
import { envelope } from "./envelope.js";

// A function that replaces the values of lines of one length, squared distances already, by the least with distances along the
// line added, where neighbours are `step` apart.
function alongLines(length, step) {
  const at = new Float64Array(length), up = new Float64Array(length), asked = Float64Array.from(at, (_, k) => k * step);
  return (values) => {
    let count = 0;
    for (let k = 0; k < length; k++)
      if (values[k] !== Infinity) {
        at[count] = asked[k];
        up[count++] = values[k];
      }
    envelope(at, up, count, asked, (k, value) => (values[k] = value));
  };
}

// The distance of every pixel to the next one that is (or is not) in a shape, in widths of a pixel that is `tall` high.
function distances(shape, wanted, width, height, tall) {
  const all = new Float64Array(shape.length);
  for (let i = 0; i < shape.length; i++) all[i] = (shape[i] !== 0) === wanted ? 0 : Infinity;
  const column = new Float64Array(height), down = alongLines(height, tall), across = alongLines(width, 1);
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) column[y] = all[y * width + x];
    down(column);
    for (let y = 0; y < height; y++) all[y * width + x] = column[y];
  }
  for (let y = 0; y < height; y++) across(all.subarray(y * width, (y + 1) * width));
  return all;
}

// The signed distance of every pixel from the border of a shape, negative inside; of an empty one everything is outside.
export function signedDistances(shape, width, height, tall) {
  const outside = distances(shape, true, width, height, tall), inside = distances(shape, false, width, height, tall);
  return outside.map((far, i) => (far ? Math.sqrt(far) : -Math.sqrt(inside[i])) + (far ? -0.5 : 0.5));
}

// The connected areas of a shape (by side or corner) that contain a pixel for which touches(i) holds.
function areasWith(shape, width, height, touches) {
  const kept = new Uint8Array(shape.length), seen = new Uint8Array(shape.length);
  for (let i = 0; i < shape.length; i++) {
    if (!shape[i] || seen[i]) continue;
    const area = [i];
    let wanted = false;
    seen[i] = 1;
    for (let n = 0; n < area.length; n++) {
      const k = area[n], x = k % width, y = (k - x) / width;
      wanted ||= touches(k);
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++)
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
          const near = v * width + u;
          if (!shape[near] || seen[near]) continue;
          seen[near] = 1;
          area.push(near);
        }
    }
    if (wanted) for (const k of area) kept[k] = 1;
  }
  return kept;
}

const isEmpty = (shape) => !shape.some((v) => v);

function centreOf(shape, width) {
  let x = 0, y = 0, n = 0;
  shape.forEach((v, i) => {
    if (!v) return;
    x += i % width;
    y += Math.floor(i / width);
    n++;
  });
  return { x: x / n, y: y / n };
}

// A function of t from 0 to 1 that gives the shape so far on the way from one to another. Where they do not overlap, the
// shape wanders from one's middle to the other's; towards an empty one it shrinks to nothing.
export function shapesBetween(first, second, { width, height, tall }) {
  const [from, to] = [first, second].map((shape) => signedDistances(shape, width, height, tall));
  const none = [isEmpty(first), isEmpty(second)];
  if (none[0] && none[1]) return () => new Uint8Array(first.length);
  // An empty shape is the other one shrunk by its depth.
  const shrunk = (distance) => {
    const depth = -distance.reduce((a, b) => Math.min(a, b));
    return distance.map((far) => far + depth);
  };
  if (none[0]) from.set(shrunk(to));
  if (none[1]) to.set(shrunk(from));
  const apart = !none[0] && !none[1] && !first.some((v, i) => v && second[i]);
  const [a, b] = apart ? [centreOf(first, width), centreOf(second, width)] : [{ x: 0, y: 0 }, { x: 0, y: 0 }];
  return (t) => {
    const shift = (by) => [Math.round((a.x - b.x) * by), Math.round((a.y - b.y) * by)];
    const [fx, fy] = shift(t), [sx, sy] = shift(t - 1);
    const at = (distance, x, y) => (x < 0 || y < 0 || x >= width || y >= height ? Infinity : distance[y * width + x]);
    const shape = new Uint8Array(first.length);
    for (let y = 0, i = 0; y < height; y++)
      for (let x = 0; x < width; x++, i++) if ((1 - t) * at(from, x + fx, y + fy) + t * at(to, x + sx, y + sy) < 0) shape[i] = 1;
    return shape;
  };
}

// Of a corrected slice: the areas that a hand was at, as they are now, and as they were with what it removed.
function correctedAreas(frame, cutoff) {
  const { width, height, edits } = frame, mask = maskOf(frame, cutoff);
  const was = mask.map((v, i) => (v || edits[i] === REMOVED ? 1 : 0));
  const touched = areasWith(was, width, height, (i) => edits[i] !== UNTOUCHED);
  return { now: mask.map((v, i) => v & touched[i]), touched };
}

// The part of a slice that some shapes lie in, with a margin of two pixels.
function partAround(shapes, width, height) {
  let left = width, right = -1, top = height, bottom = -1;
  for (const shape of shapes)
    for (let i = 0; i < shape.length; i++) {
      if (!shape[i]) continue;
      const x = i % width, y = (i - x) / width;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      if (y > bottom) bottom = y;
    }
  [left, top, right, bottom] = [Math.max(0, left - 2), Math.max(0, top - 2), Math.min(width - 1, right + 2), Math.min(height - 1, bottom + 2)];
  return { left, top, width: Math.max(0, right - left + 1), height: Math.max(0, bottom - top + 1) };
}

function cutOut(shape, part, width) {
  const small = new Uint8Array(part.width * part.height);
  for (let y = 0; y < part.height; y++) {
    const from = (part.top + y) * width + part.left;
    small.set(shape.subarray(from, from + part.width), y * part.width);
  }
  return small;
}

function putBack(small, part, { width, height }) {
  const shape = new Uint8Array(width * height);
  for (let y = 0; y < part.height; y++)
    shape.set(small.subarray(y * part.width, (y + 1) * part.width), (part.top + y) * width + part.left);
  return shape;
}

// The masks of the slices between each two that were corrected by hand and have uncorrected ones between them: a Map of
// frame to its new mask. Areas that have nothing to do with what was corrected stay as they are.
export function filledBetween(frames, cutoff, tall) {
  const { width, height } = frames[0], size = { width, height };
  const corrected = frames.flatMap((frame, s) => (frame.byHand > 0 && frame.touched ? [s] : []));
  const areas = corrected.map((s) => correctedAreas(frames[s], cutoff));
  const filled = new Map();
  corrected.slice(1).forEach((end, k) => {
    const begin = corrected[k];
    if (end - begin < 2) return;
    const [first, second] = [areas[k], areas[k + 1]];
    const part = partAround([first.touched, second.touched], width, height);
    const way = (kind) => shapesBetween(cutOut(first[kind], part, width), cutOut(second[kind], part, width), { ...part, tall });
    const [now, touched] = [way("now"), way("touched")];
    for (let s = begin + 1; s < end; s++) {
      const t = (s - begin) / (end - begin), frame = frames[s];
      const [shape, concerned] = [now(t), touched(t)].map((small) => putBack(small, part, size));
      const mask = maskOf(frame, cutoff);
      const replaced = areasWith(mask, width, height, (i) => shape[i] === 1 || concerned[i] === 1);
      for (let i = 0; i < mask.length; i++) if (shape[i] !== replaced[i]) mask[i] = shape[i];
      filled.set(frame, mask);
    }
  });
  return filled;
}

// Have the edits of a frame give a mask: only where it differs from what is there.
export function fitEdits(edits, frame, mask, cutoff) {
  for (let i = 0; i < mask.length; i++) if (inMask(frame, i, cutoff) !== (mask[i] === 1)) edits[i] = mask[i] ? ADDED : REMOVED;
}
