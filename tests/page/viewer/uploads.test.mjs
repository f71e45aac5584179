// How far an upload is.
import assert from "node:assert/strict";
import test from "node:test";
import { filesSent, secondsLeft } from "../../../lgg_demo/page/viewer/uploads.js";

test("a file counts as sent once all of it is", () => {
  assert.deepEqual([0, 9, 10, 29, 30, 31].map((bytes) => filesSent([10, 20], bytes)), [0, 0, 1, 1, 2, 2]);
});

test("the time left goes by the pace so far, once there is one", () => {
  assert.equal(secondsLeft(4, 20, 100), 16);
  assert.equal(secondsLeft(0.5, 20, 100), null);
  assert.equal(secondsLeft(4, 0, 100), null);
  assert.equal(secondsLeft(4, 100, 100), 0);
});
