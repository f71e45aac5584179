import assert from "node:assert/strict";
import test from "node:test";
import * as geometry from "../../../lgg_demo/page/viewer/geometry.js";

const { aspectOf, barLength, centredOn, columnsFor, crossFrom, crossIn, curveThreshold, panned, pixelOf, placing, shareOf, windowOf, wrappedAngle, zoomed } = geometry;
const close = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`);

test("a window has its width and level, and always shows something", () => {
  assert.deepEqual(windowOf(100, 60), { low: 10, high: 110 });
  assert.deepEqual(windowOf(-5, 60), { low: 59.5, high: 60.5 });
  assert.deepEqual(windowOf(1000, 999), { low: 128, high: 638 });
  assert.deepEqual(windowOf(10, -999), { low: -133, high: -123 });
});

test("a zoom keeps the point under the pointer, between 1 and 16 times, and the edge outside", () => {
  const view = { zoom: 4, x: 0.4, y: 0.6 };
  const at = ({ zoom, x, y }, share) => [x + (share[0] - 0.5) / zoom, y + (share[1] - 0.5) / zoom];
  for (const share of [[0.3, 0.7], [0.9, 0.1]])
    for (const factor of [1.25, 0.8]) {
      const now = zoomed(view, factor, ...share);
      assert.equal(now.zoom, 4 * factor);
      at(view, share).forEach((v, k) => close(at(now, share)[k], v));
    }
  assert.deepEqual(zoomed(view, 0.01, 0, 0), { zoom: 1, x: 0.5, y: 0.5 });
  assert.equal(zoomed(view, 100, 0.5, 0.5).zoom, 16);
  assert.deepEqual(panned(view, 9, -9), { zoom: 4, x: 0.125, y: 0.875 });
  close(panned(view, 0.2, 0).x, 0.35);
});

test("from a pixel to the canvas and back", () => {
  const canvas = { width: 400, height: 300 }, picture = { width: 96, height: 64 }, box = { left: 7, top: 9, width: 200, height: 150 };
  const placed = placing(canvas, picture, 3, { x: 0.4, y: 0.55 });
  const pixel = { x: 40.25, y: 33.5 };
  const client = {
    clientX: 7 + (placed.left + pixel.x * placed.scaleX) / 2, clientY: 9 + (placed.top + pixel.y * placed.scaleY) / 2,
  };
  const back = pixelOf(shareOf(box, client), canvas, placed);
  close(back.x, pixel.x);
  close(back.y, pixel.y);
  const whole = placing(canvas, picture, 1, { x: 0.5, y: 0.5 });
  // In true proportion, black above and below.
  [[whole.left, 0], [whole.top, 150 - 400 / 3], [96 * whole.scaleX, 400], [64 * whole.scaleY, 800 / 3]].forEach(([a, b]) => close(a, b));
  close(whole.reach.x, 1);
  close(whole.reach.y, 300 / (800 / 3));
});

test("a picture with black beside it stays in the middle until it is zoomed beyond the panel", () => {
  const reach = { x: 2, y: 1 };
  assert.deepEqual(panned({ zoom: 1, x: 0.5, y: 0.5 }, 0.3, 0.3, reach), { zoom: 1, x: 0.5, y: 0.5 });
  assert.equal(panned({ zoom: 1.9, x: 0.5, y: 0.5 }, 0.3, 0, reach).x, 0.5);
  assert.equal(panned({ zoom: 4, x: 0.5, y: 0.5 }, 9, 0, reach).x, 0.25);
  // What is under the pointer stays there.
  const view = { zoom: 4, x: 0.5, y: 0.5 }, now = zoomed(view, 1.5, 0.7, 0.4, reach);
  close(view.x + (0.2 * reach.x) / view.zoom, now.x + (0.2 * reach.x) / now.zoom);
  assert.deepEqual(centredOn({ x: 1, y: 20 }, { width: 60, height: 40 }, 1, reach), { x: 0.5, y: 0.5 });
});

test("panels are as large as the stage allows, without a gap where that costs little", () => {
  assert.equal(columnsFor(3, 1, 1260, 860), 3); // two columns would be 2 % larger
  assert.equal(columnsFor(3, 1, 800, 800), 2);
  assert.equal(columnsFor(4, 1, 900, 850), 2);
  assert.equal(columnsFor(1, 1, 900, 850), 1);
  assert.equal(columnsFor(2, 1, 300, 900), 1);
});

test("a scale bar has a round length", () => {
  assert.deepEqual([7, 19.9, 20, 64, 130].map(barLength), [5, 10, 20, 50, 100]);
});

test("the cross is one voxel in all three planes, the head up", () => {
  const cross = { x: 30, y: 12 }, size = { width: 40, height: 20, slices: 9 };
  assert.deepEqual(crossIn("axial", cross, 2, 9), { x: 30.5, y: 12.5 });
  assert.deepEqual(crossIn("coronal", cross, 2, 9), { x: 30.5, y: 6.5 });
  assert.deepEqual(crossIn("sagittal", cross, 2, 9), { x: 12.5, y: 6.5 });
  for (const plane of ["axial", "coronal", "sagittal"])
    assert.deepEqual(crossFrom(plane, crossIn(plane, cross, 2, 9), cross, 2, size), { ...cross, slice: 2 });
  assert.deepEqual(crossFrom("coronal", { x: 99, y: -5 }, cross, 2, size), { x: 39, y: 12, slice: 8 });
  assert.deepEqual(crossFrom("sagittal", { x: -1, y: 99 }, cross, 2, size), { x: 30, y: 0, slice: 0 });
});

test("a zoomed plane is centred on the cross as far as its edges allow", () => {
  assert.deepEqual(centredOn({ x: 30, y: 1 }, { width: 60, height: 40 }, 2), { x: 0.5, y: 0.25 });
  assert.deepEqual(centredOn({ x: 3, y: 1 }, { width: 60, height: 40 }, 1), { x: 0.5, y: 0.5 });
});

test("a panel is as wide and high as what it shows, in millimetres", () => {
  const size = { width: 60, height: 40, slices: 10 }, spacing = [5, 2, 1];
  assert.deepEqual(
    ["image", "axial", "coronal", "sagittal"].map((panel) => aspectOf(panel, size, spacing)), [0.75, 0.75, 1.2, 1.6],
  );
});

test("angles stay within half a turn, thresholds of the curve within 0.01 and 0.99", () => {
  close(wrappedAngle(Math.PI + 0.1), 0.1 - Math.PI);
  close(wrappedAngle(-0.3), -0.3);
  assert.deepEqual([0, 26 + 83, 26 + 166, 999].map((x) => curveThreshold(x, 200)), [0.01, 0.5, 0.99, 0.99]);
});
