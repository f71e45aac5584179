import assert from "node:assert/strict";
import test from "node:test";
import { ADDED, REMOVED, tally } from "../../../lgg_demo/page/viewer/counts.js";
import { dropStep, editionOf, editsIn, keepStep, newHistory, newStep, redoStep, undoStep } from "../../../lgg_demo/page/viewer/history.js";
import { frameOf } from "./frames.mjs";

// A step that marks pixels of some frames: {frame, at, mark}.
function stepOf(...marks) {
  const step = newStep(true);
  for (const { frame, at, mark } of marks) {
    for (const i of at) editsIn(step, frame)[i] = mark;
    tally(frame);
  }
  return step;
}
const editsOf = (frames) => frames.map((f) => [...(f.edits ?? [])].map((edit, i) => edit && [i, edit]).filter((e) => e));

test("undo and redo go through steps over several slices, and count again", () => {
  const frames = [1, 2, 3].map((seed) => frameOf({ seed })), [a, b, c] = frames, history = newHistory();
  const counted = () => frames.map(({ added, all, mass }) => [added, [...all], mass]);
  const states = [[editsOf(frames), counted()]];
  for (const marks of [
    [{ frame: a, at: [1, 2], mark: ADDED }, { frame: b, at: [5], mark: REMOVED }],
    [{ frame: b, at: [5, 6], mark: ADDED }, { frame: c, at: [7], mark: ADDED }],
  ]) {
    assert.ok(keepStep(history, stepOf(...marks)));
    states.push([editsOf(frames), counted()]);
  }
  assert.deepEqual(undoStep(history), [b, c]);
  assert.deepEqual(editsOf([a, b]), states[1][0].slice(0, 2));
  assert.deepEqual(counted(), states[1][1]);
  undoStep(history);
  assert.deepEqual([editsOf(frames).flat(), counted()], [[], states[0][1]]);
  assert.equal(undoStep(history), null);
  assert.deepEqual([redoStep(history), redoStep(history), redoStep(history)], [[a, b], [b, c], null]);
  assert.deepEqual([editsOf(frames), counted()], states[2]);
});

test("a new step ends what could be redone, one that changes nothing is none, and one that is dropped leaves nothing", () => {
  const frame = frameOf(), history = newHistory();
  keepStep(history, stepOf({ frame, at: [1], mark: ADDED }));
  undoStep(history);
  assert.ok(!keepStep(history, stepOf({ frame, at: [], mark: ADDED })));
  assert.equal(history.undone.length, 1);
  keepStep(history, stepOf({ frame, at: [2], mark: ADDED }));
  assert.deepEqual([redoStep(history), editsOf([frame])], [null, [[[2, ADDED]]]]);
  assert.ok(!keepStep(history, stepOf({ frame, at: [2], mark: ADDED })), "it was marked already");
  const step = stepOf({ frame, at: [3], mark: REMOVED });
  dropStep(step);
  assert.deepEqual([editsOf([frame]), frame.added], [[[[2, ADDED]]], 1]);
});

test("which corrections are there has a number, and slices know how many steps a hand made in them", () => {
  const frame = frameOf(), history = newHistory();
  const numbers = [editionOf(history)];
  for (const i of [1, 2]) {
    keepStep(history, stepOf({ frame, at: [i], mark: ADDED }));
    numbers.push(editionOf(history));
  }
  assert.equal(new Set(numbers).size, 3);
  undoStep(history);
  assert.deepEqual([editionOf(history), frame.byHand], [numbers[1], 1]);
  keepStep(history, stepOf({ frame, at: [4], mark: ADDED }));
  assert.ok(!numbers.includes(editionOf(history)) && frame.byHand === 2);
});

test("what is kept for undo is bounded in steps and in pixels", () => {
  const frame = frameOf({ width: 20, height: 20 }), history = newHistory();
  for (let k = 0; k < 205; k++) keepStep(history, stepOf({ frame, at: [k], mark: ADDED }));
  assert.deepEqual([history.done.length, history.changes], [200, 200]);
  while (undoStep(history)); // the five oldest stay
  assert.equal(frame.added, 5);
  assert.equal(editionOf(history), 5);
  const large = frameOf({ width: 1500, height: 1500 }), many = newHistory();
  for (const mark of [ADDED, REMOVED, ADDED]) {
    const step = newStep();
    editsIn(step, large).fill(mark);
    keepStep(many, step);
  }
  assert.deepEqual([many.done.length, many.changes], [1, 2_250_000]);
});
