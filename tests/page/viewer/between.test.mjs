import assert from "node:assert/strict";
import test from "node:test";
import { filledBetween, fitEdits, shapesBetween, signedDistances } from "../../../lgg_demo/page/viewer/between.js";
import { ADDED, REMOVED, maskOf, tally } from "../../../lgg_demo/page/viewer/counts.js";
import { frameOf, random } from "./frames.mjs";

const WIDE = 40, HIGH = 36, CUTOFF = 128;
const shape = (inside) => Uint8Array.from({ length: WIDE * HIGH }, (_, i) => (inside(i % WIDE, Math.floor(i / WIDE)) ? 1 : 0));
const disc = (cx, cy, r) => shape((x, y) => Math.hypot(x - cx, y - cy) <= r);
const areaOf = (mask) => mask.reduce((sum, v) => sum + v, 0);
const dice = (a, b) => (2 * a.filter((v, i) => v && b[i]).length) / (areaOf(a) + areaOf(b));

test("signed distances are those to the nearest pixel of the other kind, in widths", () => {
  const next = random(2), tall = 1.7;
  const mask = Uint8Array.from({ length: 12 * 10 }, () => (next() < 0.3 ? 1 : 0));
  signedDistances(mask, 12, 10, tall).forEach((distance, i) => {
    let nearest = Infinity;
    mask.forEach((v, k) => {
      if (v !== mask[i]) nearest = Math.min(nearest, Math.hypot((k % 12) - (i % 12), (Math.floor(k / 12) - Math.floor(i / 12)) * tall));
    });
    assert.ok(Math.abs(Math.abs(distance) - (nearest - 0.5)) < 1e-9 && distance < 0 === (mask[i] === 1));
  });
});

test("half-way between two shapes lies the one between, also where they do not overlap; towards nothing it shrinks", () => {
  const size = { width: WIDE, height: HIGH, tall: 1 };
  const grown = shapesBetween(disc(18, 18, 4), disc(18, 18, 12), size);
  assert.ok(dice(grown(0.5), disc(18, 18, 8)) > 0.97);
  assert.ok(dice(grown(0.25), disc(18, 18, 6)) > 0.95);
  const moved = shapesBetween(disc(8, 10, 5), disc(30, 26, 5), size);
  assert.ok(dice(moved(0.5), disc(19, 18, 5)) > 0.9);
  const ends = shapesBetween(disc(18, 18, 10), disc(0, 0, -1), size);
  assert.deepEqual([0.25, 0.5, 0.75].map((t) => Math.round(Math.sqrt(areaOf(ends(t)) / Math.PI))), [8, 5, 3]);
  assert.equal(areaOf(shapesBetween(disc(0, 0, -1), disc(0, 0, -1), size)(0.5)), 0);
});

// Nine slices in which the network has found a disc of radius 3, and something else in a corner.
function series() {
  const found = disc(18, 18, 3).map((v, i) => v | disc(34, 5, 2)[i]);
  return Array.from({ length: 9 }, (_, slice) =>
    frameOf({ slice, width: WIDE, height: HIGH, known: false, probability: found.map((v) => v * 200) }));
}
const correct = (frame, mask, mark) => {
  frame.edits ??= new Uint8Array(WIDE * HIGH);
  mask.forEach((v, i) => {
    if (v) frame.edits[i] = mark;
  });
  frame.byHand = 1;
  tally(frame);
};
const apply = (filled) => {
  for (const [frame, mask] of filled) {
    frame.edits ??= new Uint8Array(WIDE * HIGH);
    fitEdits(frame.edits, frame, mask, CUTOFF);
    tally(frame);
  }
};

test("only slices between two that were corrected by hand are filled, and other objects in them stay", () => {
  const frames = series();
  correct(frames[2], disc(18, 18, 6), ADDED);
  assert.equal(filledBetween(frames, CUTOFF, 1).size, 0, "one alone has nothing to go to");
  correct(frames[6], disc(18, 18, 10), ADDED);
  frames[7].edits = disc(18, 18, 9).map((v) => v * ADDED); // by a click, not by hand
  tally(frames[7]);
  const filled = filledBetween(frames, CUTOFF, 1);
  assert.deepEqual([...filled.keys()].map((f) => f.slice), [3, 4, 5]);
  apply(filled);
  const corner = disc(34, 5, 2);
  assert.ok(dice(maskOf(frames[4], CUTOFF), disc(18, 18, 8).map((v, i) => v | corner[i])) > 0.97);
  assert.ok(!frames[4].edits.some((edit, i) => edit && corner[i]), "what was not concerned is not touched");
  assert.equal(frames[1].edits, null);
});

test("what was taken away in both goes between them too, and what is filled again follows a later correction", () => {
  const frames = series(), corner = disc(34, 5, 2);
  for (const s of [1, 7]) correct(frames[s], corner, REMOVED);
  apply(filledBetween(frames, CUTOFF, 1));
  for (const s of [2, 4, 6]) assert.deepEqual(maskOf(frames[s], CUTOFF), disc(18, 18, 3), `${s}`);
  correct(frames[1], disc(18, 18, 8), ADDED);
  correct(frames[7], disc(18, 18, 8), ADDED);
  apply(filledBetween(frames, CUTOFF, 1));
  assert.ok(dice(maskOf(frames[4], CUTOFF), disc(18, 18, 8)) > 0.97);
  correct(frames[4], disc(18, 18, 12), ADDED);
  apply(filledBetween(frames, CUTOFF, 1));
  assert.ok(dice(maskOf(frames[3], CUTOFF), disc(18, 18, 10.7)) > 0.95);
});
