import assert from "node:assert/strict";
import test from "node:test";
import { thresholdFrom } from "../../../lgg_demo/page/viewer/numbers.js";

test("a threshold is taken with a point or a comma, and a slip is none", () => {
  const read = (text) => thresholdFrom(text, 0.01, 0.99);
  assert.deepEqual(["0.7", "0,7", ".35", " 0,05 ", "0.999", "0.555"].map(read), [0.7, 0.7, 0.35, 0.05, null, 0.56]);
  assert.deepEqual(["7", "70", "-1", "0", "", "0.", "1.0", "0.001", "07", "abc", "0.5.1", "NaN"].map(read), Array(12).fill(null));
});
