import assert from "node:assert/strict";
import test from "node:test";
import { covered, hasUnsavedCorrections, inflate, markPixels, packCorrections } from "../../../lgg_demo/page/viewer/corrections.js";
import { ADDED, REMOVED, tally } from "../../../lgg_demo/page/viewer/counts.js";
import { editionOf, keepStep, newHistory, newStep, redoStep, undoStep } from "../../../lgg_demo/page/viewer/history.js";
import { planeOf } from "../../../lgg_demo/page/viewer/planes.js";
import { state } from "../../../lgg_demo/page/viewer/state.js";
import { frameOf } from "./frames.mjs";

// A stroke on a lone slice.
function dab(frame, mark, from, to, size) {
  const plane = planeOf("axial", [frame], frame, null);
  markPixels(newStep(), plane, covered(plane, from, to, size), mark);
}

const pixelsOf = ({ edits, width }, mark) => [...edits.keys()].filter((i) => edits[i] === mark).map((i) => [i % width, Math.floor(i / width)]);

test("a stroke is round, as long as its way, and stays in the picture", () => {
  const frame = frameOf({ width: 40, height: 30 });
  const [from, to, size] = [{ x: 10, y: 12 }, { x: 30, y: 20 }, 7];
  dab(frame, ADDED, from, to, size);
  const long = Math.hypot(20, 8);
  for (let y = 0; y < 30; y++)
    for (let x = 0; x < 40; x++) {
      const [dx, dy] = [x + 0.5 - from.x, y + 0.5 - from.y];
      const along = Math.min(1, Math.max(0, (dx * 20 + dy * 8) / long ** 2));
      const far = Math.hypot(dx - along * 20, dy - along * 8);
      if (Math.abs(far - size / 2) > 1e-9) assert.equal(frame.edits[y * 40 + x] === ADDED, far < size / 2, `${x}, ${y}`);
    }
  dab(frame, REMOVED, { x: -3, y: -3 }, { x: -1, y: 40 }, 5);
  assert.ok(pixelsOf(frame, REMOVED).every(([x]) => x < 2));
});

test("a brush of one pixel marks its own, and pixels twice as high make half as many rows", () => {
  const frame = frameOf();
  dab(frame, ADDED, { x: 3.95, y: 4.05 }, { x: 3.95, y: 4.05 }, 1);
  assert.deepEqual(pixelsOf(frame, ADDED), [[3, 4]]);
  const tall = frameOf({ width: 30, height: 30, spacing: [5, 2, 1] });
  dab(tall, ADDED, { x: 15, y: 15 }, { x: 15, y: 15 }, 12);
  const marked = pixelsOf(tall, ADDED);
  const extent = (axis) => 1 + Math.max(...marked.map((p) => p[axis])) - Math.min(...marked.map((p) => p[axis]));
  assert.deepEqual([extent(0), extent(1)], [12, 6]);
});

test("a round brush is round in millimetres in every plane, and marks the slices it reaches", () => {
  const frames = Array.from({ length: 9 }, (_, slice) => frameOf({ slice, width: 40, height: 50, spacing: [5, 2, 1] }));
  const cross = { x: 11, y: 23 };
  for (const [name, wide, tall, at, voxel] of [
    ["coronal", 1, 5, { x: 20.5, y: 3.5 }, [5, 23 * 40 + 20]], ["sagittal", 0.5, 2.5, { x: 30.5, y: 2.5 }, [6, 30 * 40 + 11]],
  ]) {
    const plane = planeOf(name, frames, frames[0], cross);
    assert.deepEqual([plane.wide, plane.tall, plane.height], [wide, tall, 9]);
    const pixels = covered(plane, at, at, 20); // 20 columns of 1 mm
    const xs = pixels.filter((_, n) => n % 2 === 0), ys = pixels.filter((_, n) => n % 2);
    const extent = (values) => 1 + Math.max(...values) - Math.min(...values);
    assert.deepEqual([extent(xs), extent(ys)], name === "coronal" ? [21, 5] : [11, 5]);
    markPixels(newStep(), plane, pixels, ADDED);
    const [s, i] = voxel;
    assert.equal(frames[s].edits[i], ADDED);
    assert.deepEqual(plane.shown(s, i), [Math.floor(at.x), Math.floor(at.y)]);
    assert.equal(frames.filter((f) => f.touched).length, 5);
    for (const frame of frames) tally(Object.assign(frame, { edits: null }));
  }
});

test("corrections are unsaved from a step until they are downloaded, and again when the step is taken back", () => {
  const frame = frameOf({ width: 40, height: 30 }), step = newStep();
  Object.assign(state, { frames: [frame], history: newHistory() });
  assert.ok(!hasUnsavedCorrections());
  const plane = planeOf("axial", [frame], frame, null), { history } = state;
  markPixels(step, plane, [3, 4, 5, 6], ADDED);
  keepStep(history, step);
  assert.ok(hasUnsavedCorrections());
  history.saved = editionOf(history);
  assert.ok(!hasUnsavedCorrections());
  const second = newStep();
  markPixels(second, plane, [8, 8], REMOVED);
  keepStep(history, second);
  assert.ok(hasUnsavedCorrections());
  undoStep(history);
  assert.ok(!hasUnsavedCorrections(), "what is there was downloaded");
  redoStep(history);
  assert.ok(hasUnsavedCorrections());
  Object.assign(state, { frames: [], history: newHistory() });
});

test("corrections are packed by case, of corrected slices alone", async () => {
  const of = {};
  const frames = [0, 1, 2].map((slice) => frameOf({ slice })).concat([0, 1].map((slice) => frameOf({ of, case: 1, slice })));
  assert.equal(await packCorrections("one", frames), "");
  for (const [n, mark] of [[1, ADDED], [2, REMOVED], [4, ADDED]]) {
    frames[n].edits = new Uint8Array(120).fill(mark, n, 3 * n);
    tally(frames[n]);
  }
  const { id, cases } = JSON.parse(await packCorrections("one", frames));
  assert.deepEqual([id, cases.map((c) => [c.case, c.slices])], ["one", [[0, [1, 2]], [1, [1]]]]);
  assert.deepEqual(await inflate(cases[0].edits), Uint8Array.of(...frames[1].edits, ...frames[2].edits));
  assert.deepEqual(await inflate(cases[1].edits), frames[4].edits);
});
