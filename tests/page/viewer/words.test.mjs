import assert from "node:assert/strict";
import test from "node:test";
import { fillIn, numberIn } from "../../../lgg_demo/page/viewer/words.js";

test("values stand where the sentence has them, and words go with their number", () => {
  assert.equal(fillIn("{a} of {b}", { a: 2, b: "3" }, "en"), "2 of 3");
  const said = (language) => ["0", "1", "2"].map((n) => fillIn("{n:pixel|pixels} corrected", { n }, language));
  assert.deepEqual(said("en"), ["0 pixels corrected", "1 pixel corrected", "2 pixels corrected"]);
  assert.deepEqual(said("fr"), ["0 pixel corrected", "1 pixel corrected", "2 pixels corrected"]);
});

test("numbers are written as the language has them, half away from zero", () => {
  assert.deepEqual([112.5, 1234.5, null, undefined].map((v) => numberIn("en", v, 0)), ["113", "1,235", "–", "–"]);
  assert.deepEqual([numberIn("fr", 0.8725, 3), numberIn("en", 28.125, 2)], ["0,873", "28.13"]);
});
