import assert from "node:assert/strict";
import test from "node:test";
import { composed, inverted, resliced, through } from "../../../lgg_demo/page/viewer/reslice.js";
import { random } from "./frames.mjs";

const IDENTITY = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

test("a matrix and its way back undo each other", () => {
  const m = [0.9, 0.1, -0.2, 3, -0.05, 1.1, 0.3, -7, 0.2, -0.25, 0.8, 11, 0, 0, 0, 1];
  for (const both of [composed(inverted(m), m), composed(m, inverted(m))])
    both.forEach((value, k) => assert.ok(Math.abs(value - IDENTITY[k]) < 1e-12));
  const [s, y, x] = through(composed(m, IDENTITY), 1, 2, 3);
  assert.ok(Math.abs(s - (0.9 + 0.2 - 0.6 + 3)) < 1e-12 && Math.abs(y - (-0.05 + 2.2 + 0.9 - 7)) < 1e-12 && Math.abs(x - (0.2 - 0.5 + 2.4 + 11)) < 1e-12);
});

const stack = (slices, width, height, seed = 4) => {
  const next = random(seed);
  return Array.from({ length: slices }, () => Uint8Array.from({ length: width * height }, () => 256 * next()));
};

test("unmoved, a slice is what it was; moved by whole voxels too, and 0 outside", () => {
  const size = { width: 7, height: 5 }, arrays = stack(3, 7, 5);
  assert.deepEqual(resliced(arrays, size, IDENTITY, 1, 7, 5), arrays[1]);
  const moved = [1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1]; // a slice on, two columns on
  const found = resliced(arrays, size, moved, 1, 7, 5);
  for (let i = 0; i < 35; i++) assert.equal(found[i], i % 7 < 5 ? arrays[2][i + 2] : 0);
  assert.ok(resliced(arrays, size, moved, 2, 7, 5).every((v) => v === 0), "there is no slice beyond the last");
});

test("between voxels it is linear in all three directions, and another grid is filled", () => {
  const arrays = [0, 1].map((s) => Uint8Array.from({ length: 12 }, (_, i) => 100 * s + 10 * Math.floor(i / 4) + 4 * (i % 4)));
  const half = [1, 0, 0, 0.5, 0, 0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 1]; // half a slice on; rows and columns twice as fine
  const found = resliced(arrays, { width: 4, height: 3 }, half, 0, 7, 5);
  for (let y = 0; y < 5; y++) for (let x = 0; x < 7; x++) assert.equal(found[y * 7 + x], Math.round(50 + 5 * y + 2 * x));
});
