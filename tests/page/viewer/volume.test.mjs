import assert from "node:assert/strict";
import test from "node:test";
import { extentOf, placeOn, shade, surfaceOf, turned } from "../../../lgg_demo/page/viewer/surface.js";
import { sliceAcross, spacingOf } from "../../../lgg_demo/page/viewer/volume.js";
import { greysOf } from "../../../lgg_demo/page/viewer/paint.js";

// A ball of a radius (mm) in 20 slices of 40 x 40 pixels, 2 mm apart.
const ball = (radius) => Array.from({ length: 20 }, (_, z) => Uint8Array.from({ length: 1600 }, (_, i) =>
  Math.hypot((z - 9.5) * 2, Math.floor(i / 40) - 19.5, (i % 40) - 19.5) < radius ? 1 : 0));

test("planes take a row or a column of each slice, the last slice on top", () => {
  const frames = [0, 1, 2].map((z) => ({ width: 4, height: 3, data: Array.from({ length: 12 }, (_, i) => 20 * z + i) }));
  const value = (frame, i) => frame.data[i];
  assert.deepEqual([...sliceAcross(frames, "coronal", 1, value)], [44, 45, 46, 47, 24, 25, 26, 27, 4, 5, 6, 7]);
  assert.deepEqual([...sliceAcross(frames, "sagittal", 3, value)], [43, 47, 51, 23, 27, 31, 3, 7, 11]);
});

test("spacing is the file's; where it has none, the head is 0.6 of its width high", () => {
  assert.deepEqual(spacingOf([{ width: 100, spacing: [5, 1, 1] }]), [5, 1, 1]);
  assert.deepEqual(spacingOf(Array(12).fill({ width: 100, spacing: null })), [5, 1, 1]);
});

test("a surface faces outwards and has its size", () => {
  const { vertices, normals, faces } = surfaceOf(ball(15), 40, 40, [2, 1, 1]);
  let radius = 0, outward = 0;
  for (let p = 0; p < vertices.length; p += 3) {
    const [vertex, normal] = [vertices.subarray(p, p + 3), normals.subarray(p, p + 3)];
    const far = Math.hypot(...vertex);
    radius += (3 * far) / vertices.length;
    outward += (3 * vertex.reduce((sum, v, d) => sum + v * normal[d], 0)) / far / vertices.length;
  }
  assert.ok(Math.abs(radius - 15) < 0.7 && outward > 0.95, `${radius}, ${outward}`);
  assert.ok(faces.every((vertex) => vertex < vertices.length / 3));
  assert.equal(surfaceOf([new Uint8Array(4)], 2, 2, [1, 1, 1]), null);
  const dot = new Uint8Array(4);
  dot[1] = 1;
  assert.ok(surfaceOf([dot], 2, 2, [1, 1, 1]).faces.length > 0, "a single voxel does not vanish");
});

test("the box around a surface has its middle and its longest side", () => {
  assert.deepEqual(extentOf({ vertices: Float32Array.from([0, 0, 0, 4, 2, -2, 1, 6, 0]) }), { about: [2, 3, -1], longest: 6 });
});

test("a shaded surface is lit, hides what lies behind, and leaves stripes where it is hatched", () => {
  const surface = surfaceOf(ball(15), 40, 40, [2, 1, 1]), pose = { turn: 0, tilt: 0 };
  const painted = (hatch) => {
    const words = new Uint32Array(3600), depth = new Float32Array(3600);
    shade(surface, { words, depth, width: 60, height: 60 }, { pose, scale: 1, about: [0, 0, 0] }, [100, 0, 0], hatch);
    return { words, depth, lit: words.filter((w) => w).length };
  };
  const { words, depth, lit } = painted(0);
  assert.ok(Math.abs(lit / (Math.PI * 15 ** 2) - 1) < 0.1 && words[0] === 0);
  assert.ok(Math.abs(depth[30 * 60 + 30] + 15) < 0.7, "the side towards the reader");
  const share = painted(12).lit / lit;
  assert.ok(share > 0.2 && share < 0.5, `${share}`);
});

test("the patient's left is at the right, the head up, and a quarter turn shows the side", () => {
  const rounded = (point, pose) => turned(...point, pose).map((v) => Math.round(v) + 0);
  assert.deepEqual([[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((p) => rounded(p, { turn: 0, tilt: 0 })), [[1, 0, 0], [0, 0, 1], [0, -1, 0]]);
  assert.deepEqual(rounded([1, 0, 0], { turn: Math.PI / 2, tilt: 0 }), [0, 0, 1]);
  const at = (place, about) => placeOn({ width: 100, height: 80 }, [10, 20, 40], place, { pose: { turn: 0, tilt: 0 }, scale: 2, about });
  assert.deepEqual([at([1, 0, 1], [0, 0, 0]), at([-1, 0, -1], [0, 0, 0]), at([0, 0, 0], [5, 0, 0])], [[90, 30], [10, 50], [40, 40]]);
});

test("greys run from black at the low end of the window to white at its high end", () => {
  const grey = greysOf({ low: 50, high: 150 });
  assert.deepEqual([0, 50, 100, 150, 255].map((v) => grey[v] & 255), [0, 0, 128, 255, 255]);
  assert.equal(greysOf({ low: 50, high: 50 })[51] & 255, 255);
});
