import assert from "node:assert/strict";
import test from "node:test";
import { lesionsOf, whole } from "../../../lgg_demo/page/viewer/lesions.js";
import { matchedLesions } from "../../../lgg_demo/page/viewer/matching.js";
import { frameOf } from "./frames.mjs";

const IDENTITY = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
const SPACING = [5, 1, 1], [WIDTH, HEIGHT, SLICES] = [60, 50, 6];

// A visit with boxes [slices, rows, columns], each from and to, inclusive, moved by so many rows.
function visitWith(boxes, moved = 0) {
  const inside = (s, y, x) => boxes.some(([[a, b], [c, d], [e, f]]) => s >= a && s <= b && y - moved >= c && y - moved <= d && x >= e && x <= f);
  const frames = Array.from({ length: SLICES }, (_, slice) => frameOf({
    slice, width: WIDTH, height: HEIGHT, spacing: SPACING, known: false, of: { pixel_mm2: 1, voxel_ml: 0.005 },
    probability: Uint8Array.from({ length: WIDTH * HEIGHT }, (_, i) => (inside(slice, Math.floor(i / WIDTH), i % WIDTH) ? 255 : 0)),
  }));
  const to = [...IDENTITY];
  to[7] = moved;
  return { frames, to, lesions: whole(lesionsOf(frames, 128)).lesions };
}

const counts = (groups) => groups.map(({ parts }) => parts.map((part) => part.length));
const A = [[1, 3], [10, 20], [10, 20]], B = [[2, 3], [30, 40], [40, 50]], C = [[0, 1], [5, 9], [45, 50]];

test("the same lesion is found where the later scan lies otherwise; new and gone ones are alone", () => {
  const groups = whole(matchedLesions([visitWith([A, C]), visitWith([A, B], 4)]));
  assert.deepEqual(counts(groups), [[1, 1], [0, 1], [1, 0]], "the largest first");
  assert.deepEqual(groups.map(({ isNew }) => isNew), [false, true, false]);
  const size = 3 * 11 * 11 * 0.005;
  for (const volume of groups[0].volumes) assert.ok(Math.abs(volume - size) < 1e-9);
});

test("two that are 3 mm apart are one, 4 mm apart are two, and slices 5 mm apart are beside nothing", () => {
  const beside = (columns, slices = [1, 3]) => whole(matchedLesions([visitWith([A]), visitWith([[slices, [10, 20], columns]])])).length;
  assert.deepEqual([beside([23, 30]), beside([24, 30]), beside([10, 20], [4, 5])], [1, 2, 2]);
});

test("what splits or merges is one lesion, through a third visit too", () => {
  const halves = [[[1, 3], [10, 14], [10, 20]], [[1, 3], [17, 20], [10, 20]]];
  assert.deepEqual(counts(whole(matchedLesions([visitWith([A]), visitWith(halves)]))), [[1, 2]]);
  assert.deepEqual(counts(whole(matchedLesions([visitWith(halves), visitWith([A])]))), [[2, 1]]);
  const far = [[1, 3], [10, 20], [24, 30]], bridge = [[1, 3], [10, 20], [10, 30]];
  assert.deepEqual(counts(whole(matchedLesions([visitWith([A]), visitWith([far]), visitWith([bridge])]))), [[1, 1, 1]]);
});

test("nothing in a visit matches nothing", () => {
  assert.deepEqual(counts(whole(matchedLesions([visitWith([]), visitWith([A])]))), [[0, 1]]);
  assert.deepEqual(whole(matchedLesions([visitWith([]), visitWith([])])), []);
});
