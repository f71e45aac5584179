import assert from "node:assert/strict";
import test from "node:test";
import * as counts from "../../../lgg_demo/page/viewer/counts.js";
import { frameOf, geometry, random } from "./frames.mjs";

const { ADDED, REMOVED, UNTOUCHED, curveOf, cutoffOf, doubtOf, figuresOf, isUnsure, maskOf, rounded } = counts;
const close = (a, b) => assert.ok(Math.abs(a - b) < 1e-12, `${a} is not ${b}`);
const count = (array) => array.reduce((n, v) => n + (v ? 1 : 0), 0);
const together = (a, b) => count(a.map((v, i) => v && b[i]));

function corrected(frame, seed) {
  const next = random(seed);
  const edits = frame.probability.map(() => [UNTOUCHED, UNTOUCHED, ADDED, REMOVED][Math.floor(4 * next())]);
  return frameOf({ ...frame, edits });
}

test("a mask holds what reaches the threshold, and what was added, and not what was removed", () => {
  assert.deepEqual([0, 0.01, 0.5, 1].map(cutoffOf), [0, 3, 128, 255]);
  const edits = Uint8Array.of(UNTOUCHED, UNTOUCHED, ADDED, REMOVED);
  const frame = frameOf({ width: 4, height: 1, probability: Uint8Array.of(127, 128, 0, 255), edits });
  assert.deepEqual([...maskOf(frame, cutoffOf(0.5))], [0, 1, 1, 0]);
});

test("figures are those of the masks, pixel by pixel, corrected or not", () => {
  const frames = [1, 2, 3].map((seed) => frameOf({ seed }));
  for (const some of [frames, frames.map((f, k) => (k ? f : corrected(f, 9))), frames.slice(0, 1)])
    for (const threshold of [0.01, 0.2, 0.5, 0.77, 0.99]) {
      const cutoff = cutoffOf(threshold);
      const masks = some.map((f) => maskOf(f, cutoff));
      const total = (value) => masks.reduce((sum, mask, k) => sum + value(mask, some[k]), 0);
      const predicted = total(count), reference = total((_, f) => count(f.reference));
      const hit = total((mask, f) => together(mask, f.reference));
      const changed = total((mask, f) => count(mask.map((v, i) => v !== (f.probability[i] >= cutoff ? 1 : 0))));
      const found = figuresOf(some, cutoff);
      const { dice, iou, precision, recall } = found;
      assert.deepEqual([found.predicted, found.reference, found.corrected ?? 0], [predicted, reference, changed]);
      assert.deepEqual([dice, iou], [(2 * hit) / (predicted + reference), hit / (predicted + reference - hit)]);
      assert.deepEqual([precision, recall], [hit / predicted, hit / reference]);
      if (some.length === 1) assert.equal(found.area, rounded(predicted * geometry.pixel_mm2, 2));
      else assert.equal(found.volume, rounded(predicted * geometry.voxel_ml, 4));
    }
});

test("expected Dice and uncertainty are what they are defined as", () => {
  for (const seed of [1, 2, 3]) {
    const frame = frameOf({ seed });
    const p = [...frame.probability].map((value) => value / 255);
    const sum = (values) => values.reduce((a, b) => a + b, 0);
    close(doubtOf(frame), sum(p.map((v) => Math.min(v, 1 - v))));
    for (const threshold of [0.3, 0.5, 0.8]) {
      const inside = p.filter((v) => v >= threshold);
      close(figuresOf([frame], cutoffOf(threshold)).expected, (2 * sum(inside)) / (inside.length + sum(p)));
    }
    assert.equal(figuresOf([corrected(frame, 4)], 128).expected, null); // a hand's mask is not the model's
  }
  const doubtful = (n, sure) => frameOf({ width: 64, height: 64, probability: new Uint8Array(4096).fill(128, 0, n).fill(255, 9, 9 + sure) });
  assert.deepEqual([doubtful(1, 0), doubtful(3, 0), doubtful(3, 9)].map(isUnsure), [false, true, false]);
});

test("the curve is Dice at each threshold, of slices with a reference alone", () => {
  const frames = [frameOf({ seed: 1 }), frameOf({ seed: 2, known: false }), corrected(frameOf({ seed: 3 }), 5)];
  const curve = curveOf(frames);
  assert.equal(curve.length, 99);
  for (const percent of [1, 37, 50, 99]) assert.equal(curve[percent - 1], figuresOf(frames, cutoffOf(percent / 100)).dice);
  assert.equal(curveOf([frames[1]]), null);
});

test("nothing predicted, nothing known: agreement, and no ratio of nothing", () => {
  const empty = frameOf({ probability: new Uint8Array(120), reference: new Uint8Array(120) });
  const { dice, iou, precision, recall, expected, corrected: none } = figuresOf([empty], 128);
  assert.deepEqual([dice, iou, precision, recall, expected, none], [1, 1, null, null, null, undefined]);
  assert.equal(figuresOf([frameOf({ known: false })], 128).dice, undefined);
});

test("a volume is of one case alone, with its reference's where every slice has one", () => {
  const other = { pixel_mm2: 1, voxel_ml: 0.0031 }, none = { pixel_mm2: null, voxel_ml: null };
  const [one, two, picture] = [frameOf({ seed: 1 }), frameOf({ seed: 2, of: other }), frameOf({ seed: 3, of: none })];
  assert.equal(figuresOf([one, two], 128).volume, undefined, "they may be two visits of one patient");
  assert.equal(figuresOf([one, picture], 128).volume, undefined);
  assert.equal(figuresOf([picture], 128).area, undefined);
  const next = frameOf({ seed: 4, slice: 1 });
  const { volume, reference_volume, volume_difference, predicted, reference } = figuresOf([one, next], 128);
  const ml = (pixels) => rounded(pixels * geometry.voxel_ml, 4);
  assert.deepEqual([volume, reference_volume], [ml(predicted), ml(reference)]);
  close(volume_difference, ml(predicted - reference));
  const part = figuresOf([one, frameOf({ seed: 4, known: false })], 128);
  assert.deepEqual([part.reference_volume, part.volume > 0], [undefined, true]);
});
