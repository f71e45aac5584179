import assert from "node:assert/strict";
import test from "node:test";

test("every name that a module imports is exported where it says", async () => {
  // Node links all modules before it runs the first: what then stops is the page that is not there.
  await assert.rejects(import("../../../lgg_demo/page/viewer/viewer.js"), ReferenceError);
});
