import assert from "node:assert/strict";
import test from "node:test";
import { ADDED, REMOVED } from "../../../lgg_demo/page/viewer/counts.js";
import { surfacesOf } from "../../../lgg_demo/page/viewer/distances.js";
import { MOST_LESIONS, lesionsOf, whole } from "../../../lgg_demo/page/viewer/lesions.js";
import { frameOf } from "./frames.mjs";

// A case of slices drawn as they look: "#" is 255, "+" is 140.
function caseOf(slices, given = {}) {
  return slices.map((rows, slice) => {
    const probability = Uint8Array.from([...rows.join("")], (c) => ({ "#": 255, "+": 140 })[c] ?? 0);
    return frameOf({ slice, width: rows[0].length, height: rows.length, probability, known: false, ...given });
  });
}
const find = (frames, cutoff = 128) => whole(lesionsOf(frames, cutoff)).lesions;
const said = ({ pixels, first, last, slice, longest, perpendicular, x, y }) => [pixels, first, last, slice, longest, perpendicular, x, y];

test("voxels that touch by a corner only are one abnormality, in three dimensions", () => {
  const frames = caseOf([["#....", ".....", "....."], [".#...", "..###", "....."], [".....", ".....", "#...."]]);
  assert.deepEqual(find(frames).map(said), [[5, 0, 1, 1, 4.12, 1.59, 3, 1], [1, 2, 2, 2, 1, 1, 0, 2]]);
  assert.deepEqual(find([frames[2]]).map(({ pixels }) => pixels), [1]);
});

test("diameters, height and volume are in millimetres where the spacing is known", () => {
  const of = { pixel_mm2: 6, voxel_ml: 0.024 };
  const [one] = find(caseOf([["####"], ["##.."]], { of, spacing: [4, 2, 3] }));
  assert.deepEqual([one.longest, one.perpendicular, one.height, one.volume], [12, 2, 8, 0.144]);
  const [bare] = find(caseOf([["####"]], { of: { pixel_mm2: null, voxel_ml: null } }));
  assert.deepEqual([bare.longest, bare.height, bare.volume], [4, null, null]);
});

test("the threshold and corrections decide what is connected", () => {
  const frames = caseOf([["##+##"]]);
  assert.deepEqual(find(frames).map(({ pixels }) => pixels), [5]);
  assert.deepEqual(find(frames, 200).map(({ pixels, x }) => [pixels, x]), [[2, 1], [2, 4]]);
  frames[0].edits = Uint8Array.of(0, 0, REMOVED, 0, 0);
  assert.equal(find(frames).length, 2);
  frames[0].edits = Uint8Array.of(0, 0, ADDED, 0, 0);
  assert.equal(find(frames, 200).length, 1);
});

test("the middle is a pixel of the lesion, though its mean is not", () => {
  const [ring] = find(caseOf([["#####", "#...#", "#...#", "#...#", "#####"]]));
  assert.ok([0, 4].includes(ring.x) || [0, 4].includes(ring.y), `${ring.x}, ${ring.y}`);
});

test("noise is counted, and the largest of it measured", () => {
  const frames = caseOf([Array.from({ length: 60 }, (_, y) => (y % 2 ? "." : "#.").repeat(60).slice(0, 60))]);
  const { lesions, found } = whole(lesionsOf(frames, 128));
  assert.deepEqual([found, lesions.length], [900, MOST_LESIONS]);
  assert.deepEqual([lesions[0].y, lesions[0].x, lesions[1].x], [0, 0, 2]);
});

// A study of 155 slices of 240 x 240 with two balls and a rim of low probability, as a hand may drag the threshold over it.
function study() {
  const spots = [[70, 90, 100, 28], [75, 150, 140, 15]];
  return Array.from({ length: 155 }, (_, slice) => {
    const probability = new Uint8Array(240 * 240);
    for (const [z, y, x, radius] of spots)
      for (let i = 0; i < probability.length; i++) {
        const far = Math.hypot(slice - z, Math.floor(i / 240) - y, (i % 240) - x);
        probability[i] = Math.max(probability[i], 255 / (1 + Math.exp((far - radius) / 3)));
      }
    const reference = probability.map((p) => (p > 100 ? 1 : 0));
    return frameOf({ slice, width: 240, height: 240, probability, reference, spacing: [1, 1, 1] });
  });
}

// Time of the processor, so that a loaded machine measures the same.
function timed(make) {
  const steps = [], all = process.cpuUsage();
  const generator = make();
  for (let done = false; !done; ) {
    const before = process.cpuUsage();
    ({ done } = generator.next());
    steps.push(process.cpuUsage(before).user / 1000);
  }
  return { total: process.cpuUsage(all).user / 1000, steps: steps.sort((a, b) => a - b) };
}

test("a study of 155 slices is labelled in 100 ms, its surfaces are compared in 500, in steps that hold up no frame", () => {
  const frames = study();
  for (const [make, most] of [[() => lesionsOf(frames, 128), 100], [() => surfacesOf(frames, 128, [1, 1, 1]), 500]]) {
    timed(make); // compiled
    const tries = [1, 2, 3].map(() => timed(make));
    assert.ok(Math.min(...tries.map(({ total }) => total)) < most, `${tries.map(({ total }) => total)}`);
    assert.ok(Math.min(...tries.map(({ steps }) => steps.at(-1))) < 16, `${tries.map(({ steps }) => steps.at(-1))}`);
  }
});
