import assert from "node:assert/strict";
import test from "node:test";
import { dab, inflate, keepStroke, newStroke, packCorrections, takeBack } from "../../../lgg_demo/page/viewer/corrections.js";
import { ADDED, REMOVED, tally } from "../../../lgg_demo/page/viewer/counts.js";
import { frameOf } from "./frames.mjs";

const pixelsOf = ({ edits, width }, mark) => [...edits.keys()].filter((i) => edits[i] === mark).map((i) => [i % width, Math.floor(i / width)]);

test("a stroke is round, as long as its way, and stays in the picture", () => {
  const frame = frameOf({ width: 40, height: 30 });
  const [from, to, size] = [{ x: 10, y: 12 }, { x: 30, y: 20 }, 7];
  dab(newStroke(frame), ADDED, from, to, size);
  const long = Math.hypot(20, 8);
  for (let y = 0; y < 30; y++)
    for (let x = 0; x < 40; x++) {
      const [dx, dy] = [x + 0.5 - from.x, y + 0.5 - from.y];
      const along = Math.min(1, Math.max(0, (dx * 20 + dy * 8) / long ** 2));
      const far = Math.hypot(dx - along * 20, dy - along * 8);
      if (Math.abs(far - size / 2) > 1e-9) assert.equal(frame.edits[y * 40 + x] === ADDED, far < size / 2, `${x}, ${y}`);
    }
  dab(newStroke(frame), REMOVED, { x: -3, y: -3 }, { x: -1, y: 40 }, 5);
  assert.ok(pixelsOf(frame, REMOVED).every(([x]) => x < 2));
});

test("a brush of one pixel marks its own, and pixels twice as high make half as many rows", () => {
  const frame = frameOf();
  dab(newStroke(frame), ADDED, { x: 3.95, y: 4.05 }, { x: 3.95, y: 4.05 }, 1);
  assert.deepEqual(pixelsOf(frame, ADDED), [[3, 4]]);
  const tall = frameOf({ width: 30, height: 30, spacing: [5, 2, 1] });
  dab(newStroke(tall), ADDED, { x: 15, y: 15 }, { x: 15, y: 15 }, 12);
  const marked = pixelsOf(tall, ADDED);
  const extent = (axis) => 1 + Math.max(...marked.map((p) => p[axis])) - Math.min(...marked.map((p) => p[axis]));
  assert.deepEqual([extent(0), extent(1)], [12, 6]);
});

test("undo brings back what each stroke found, the last one first, and counts again", () => {
  const frame = frameOf(), strokes = [];
  const before = { ...frame };
  for (const [mark, x] of [[ADDED, 4], [REMOVED, 6]]) {
    const stroke = newStroke(frame);
    dab(stroke, mark, { x, y: 4 }, { x: x + 3, y: 4 }, 4);
    dab(stroke, mark, { x, y: 4 }, { x: x + 3, y: 4 }, 5); // twice in one stroke: what was first is what comes back
    keepStroke(strokes, stroke);
  }
  assert.ok(frame.touched && frame.added > 0 && pixelsOf(frame, REMOVED).length > 0);
  takeBack(strokes.pop());
  assert.equal(pixelsOf(frame, REMOVED).length, 0);
  assert.equal(frame.added, pixelsOf(frame, ADDED).length);
  takeBack(strokes.pop());
  assert.ok(!frame.touched && frame.edits.every((edit) => edit === 0));
  assert.deepEqual([frame.all, frame.inside, frame.mass], [before.all, before.inside, before.mass]);
});

test("a stroke that changed nothing is not kept, and the oldest of too many goes", () => {
  const frame = frameOf(), strokes = [];
  keepStroke(strokes, newStroke(frame));
  assert.equal(strokes.length, 0);
  for (let k = 0; k < 205; k++) keepStroke(strokes, { frame, before: new Map([[k, 0]]) });
  assert.deepEqual([strokes.length, [...strokes[0].before.keys()]], [200, [5]]);
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
