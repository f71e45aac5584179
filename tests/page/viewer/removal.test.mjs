import assert from "node:assert/strict";
import test from "node:test";
import { ADDED, REMOVED, maskOf, tally } from "../../../lgg_demo/page/viewer/counts.js";
import { keepStep, newHistory, redoStep, undoStep } from "../../../lgg_demo/page/viewer/history.js";
import { lesionsOf, whole } from "../../../lgg_demo/page/viewer/lesions.js";
import { bringBack, isOut, takeOut } from "../../../lgg_demo/page/viewer/removal.js";
import { frameOf } from "./frames.mjs";

// Two lesions in three slices, with a rim that only a low threshold takes in and that touches the other one's.
function study() {
  const row = [0, 20, 90, 200, 250, 90, 20, 20, 90, 240, 90, 20, 0];
  return [0, 1, 2].map((slice) => {
    const width = row.length, probability = Uint8Array.from({ length: 3 * width }, (_, i) => Math.round(row[i % width] * (slice === 1 ? 1 : 0.7)));
    return frameOf({ slice, width, height: 3, probability, known: false });
  });
}
const lesionsAt = (frames, cutoff) => whole(lesionsOf(frames, cutoff)).lesions;
const pixelsAt = (frames, cutoff) => frames.reduce((n, f) => n + maskOf(f, cutoff).reduce((a, b) => a + b, 0), 0);

test("a lesion leaves the result at every threshold, rim and all, and the other one keeps its own", () => {
  const frames = study();
  const lesions = lesionsAt(frames, 128);
  assert.equal(lesions.length, 2);
  const before = pixelsAt(frames, 128), other = lesions[1].pixels;
  const { removal } = takeOut(frames, lesions, lesions[0], 128);
  assert.ok(isOut(removal));
  assert.deepEqual([pixelsAt(frames, 128), before], [other, other + lesions[0].pixels]);
  for (const cutoff of [3, 13, 64, 128, 200]) {
    const left = lesionsAt(frames, cutoff);
    assert.equal(left.length, 1, `${cutoff}`);
    assert.ok(left[0].x > 7);
  }
});

test("it comes back as it was, with what a hand had added, and not over what was drawn since", () => {
  const frames = study();
  frames[1].edits = new Uint8Array(39);
  frames[1].edits[5] = ADDED; // beside the first one: part of it
  tally(frames[1]);
  const was = frames.map((f) => f.edits?.slice());
  const lesions = lesionsAt(frames, 128), before = pixelsAt(frames, 128);
  const { removal } = takeOut(frames, lesions, lesions[0], 128);
  assert.equal(frames[1].edits[5], REMOVED);
  bringBack(removal);
  assert.deepEqual([frames[1].edits, pixelsAt(frames, 128), isOut(removal)], [was[1], before, false]);
  takeOut(frames, lesionsAt(frames, 128), lesionsAt(frames, 128)[0], 128);
  frames[1].edits[4] = ADDED;
  bringBack(removal);
  assert.equal(frames[1].edits[4], ADDED);
});

test("it is one step, which undo takes back and redo does again", () => {
  const frames = study(), history = newHistory();
  const lesions = lesionsAt(frames, 128), before = pixelsAt(frames, 128);
  const { step, removal } = takeOut(frames, lesions, lesions[0], 128);
  assert.ok(keepStep(history, step));
  undoStep(history);
  assert.deepEqual([pixelsAt(frames, 128), isOut(removal)], [before, false]);
  redoStep(history);
  assert.ok(isOut(removal));
  assert.ok(keepStep(history, bringBack(removal)));
  assert.deepEqual([pixelsAt(frames, 128), isOut(removal)], [before, false]);
});
