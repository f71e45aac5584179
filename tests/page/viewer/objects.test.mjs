import assert from "node:assert/strict";
import test from "node:test";
import { ADDED, REMOVED, inMask, tally } from "../../../lgg_demo/page/viewer/counts.js";
import { grownFrom } from "../../../lgg_demo/page/viewer/growing.js";
import { cutThrough, objectAt, sizeOf } from "../../../lgg_demo/page/viewer/objects.js";
import { crossed } from "../../../lgg_demo/page/viewer/lasso.js";
import { planeOf } from "../../../lgg_demo/page/viewer/planes.js";
import { frameOf, random } from "./frames.mjs";

const CUTOFF = 128, WIDE = 60, HIGH = 50;
const at = (x, y) => y * WIDE + x;

// A head of twelve slices with a made-up grey and probability of each voxel.
function head(greyOf, likelyOf) {
  const next = random(9), of = {};
  return Array.from({ length: 12 }, (_, z) => {
    const flair = new Uint8Array(WIDE * HIGH), probability = new Uint8Array(WIDE * HIGH);
    for (let y = 0; y < HIGH; y++)
      for (let x = 0; x < WIDE; x++) {
        const inHead = Math.hypot((x - 30) / 28, (y - 25) / 23) < 1;
        flair[at(x, y)] = inHead ? Math.max(0, Math.min(255, (greyOf(x, y, z) ?? 90) + 16 * (next() - 0.5))) : 2 * next();
        probability[at(x, y)] = likelyOf(x, y, z) ?? 0;
      }
    return frameOf({ width: WIDE, height: HIGH, slice: z, of, spacing: [3, 1, 1], known: false, probability, image: { flair } });
  });
}
const ball = (cx, cy, cz, radius) => (x, y, z) => Math.hypot(x - cx, y - cy, 3 * (z - cz)) <= radius;
const all = (inside) => {
  let size = 0;
  for (let z = 0; z < 12; z++) for (let y = 0; y < HIGH; y++) for (let x = 0; x < WIDE; x++) if (inside(x, y, z)) size++;
  return size;
};
const shareOf = (object, inside) => {
  let hit = 0;
  for (const [z, pixels] of object) for (const i of pixels) if (inside(i % WIDE, Math.floor(i / WIDE), z)) hit++;
  return (2 * hit) / (sizeOf(object) + all(inside));
};
const markAll = (frames, object, mark) => {
  for (const [s, pixels] of object) {
    frames[s].edits ??= new Uint8Array(WIDE * HIGH);
    for (const i of pixels) frames[s].edits[i] = mark;
    tally(frames[s]);
  }
};

test("an object is all that is joined in three dimensions, corners too, and not what lies apart", () => {
  const [one, two] = [ball(20, 25, 5, 9), ball(42, 25, 5, 6)];
  const frames = head(() => 90, (x, y, z) => (one(x, y, z) || two(x, y, z) ? 200 : 0));
  const object = objectAt(frames, 5, at(20, 25), CUTOFF);
  assert.deepEqual([sizeOf(object), shareOf(object, one), object.size], [all(one), 1, 7]);
  assert.equal(objectAt(frames, 5, at(32, 25), CUTOFF).size, 0);
  const corners = head(() => 90, (x, y, z) => (x === 10 + z && y === 10 + z ? 200 : 0));
  assert.equal(sizeOf(objectAt(corners, 0, at(10, 10), CUTOFF)), 12);
  markAll(frames, object, REMOVED);
  assert.equal(objectAt(frames, 5, at(20, 25), CUTOFF).size, 0);
  assert.equal(sizeOf(objectAt(frames, 5, at(42, 25), CUTOFF)), all(two));
});

test("a missed lesion is added as far as it is likely and as bright as where it was clicked", () => {
  const lesion = ball(25, 25, 6, 10), halo = ball(25, 25, 6, 14), bright = ball(40, 25, 6, 8);
  const frames = head(
    (x, y, z) => (lesion(x, y, z) || bright(x, y, z) ? 170 : 90),
    (x, y, z) => (halo(x, y, z) ? 60 : 0), // less than the cutoff; it goes beyond the edge, which the brightness keeps
  );
  const { object, alone } = grownFrom(frames, 6, at(25, 25), CUTOFF);
  assert.ok(!alone && shareOf(object, lesion) > 0.93, `${shareOf(object, lesion)}`);
  markAll(frames, object, ADDED);
  assert.ok(inMask(frames[6], at(25, 25), CUTOFF));
  assert.equal(sizeOf(objectAt(frames, 6, at(25, 25), CUTOFF)), sizeOf(object), "it is one object");
});

test("where the network sees nothing the brightness alone decides, and says so", () => {
  const lesion = ball(25, 25, 6, 10);
  const { object, alone } = grownFrom(head((x, y, z) => (lesion(x, y, z) ? 170 : 90), () => 0), 6, at(25, 25), CUTOFF);
  assert.ok(alone && shareOf(object, lesion) > 0.9, `${shareOf(object, lesion)}`);
});

test("nothing floods the head, and air gives nothing", () => {
  const frames = head(() => 90, () => 40);
  assert.deepEqual(grownFrom(frames, 6, at(25, 25), CUTOFF), { object: null, alone: false, floods: true });
  assert.deepEqual(grownFrom(frames, 6, at(1, 1), CUTOFF), { object: null, alone: false, floods: false });
});

test("what a hand removed does not come back, unless it is what was clicked", () => {
  const lesion = ball(25, 25, 6, 10);
  const frames = head((x, y, z) => (lesion(x, y, z) ? 170 : 90), (x, y, z) => (lesion(x, y, z) ? 60 : 0));
  const away = new Map([[6, []]]);
  for (let y = 0; y < HIGH; y++) for (let x = 27; x < WIDE; x++) away.get(6).push(at(x, y));
  markAll(frames, away, REMOVED);
  const kept = grownFrom(frames, 6, at(20, 25), CUTOFF).object;
  assert.ok(kept.get(6).every((i) => i % WIDE < 27) && kept.get(5).some((i) => i % WIDE >= 27));
  const again = grownFrom(frames, 6, at(30, 25), CUTOFF).object;
  assert.ok(again.get(6).some((i) => i % WIDE >= 27));
});

test("holes in a slice are filled", () => {
  const lesion = ball(25, 25, 6, 10), vessel = ball(25, 25, 6, 2);
  const frames = head((x, y, z) => (vessel(x, y, z) ? 30 : lesion(x, y, z) ? 170 : 90), (x, y, z) => (lesion(x, y, z) ? 60 : 0));
  const { object } = grownFrom(frames, 6, at(30, 25), CUTOFF);
  assert.ok(object.get(6).includes(at(25, 25)));
});

test("a line right across cuts an object in two, in any plane and through its depth; one that ends within does not", () => {
  const both = (x, y, z) => ball(20, 25, 5, 9)(x, y, z) || ball(38, 25, 5, 9)(x, y, z) || (Math.abs(y - 25) < 3 && x > 20 && x < 38 && Math.abs(z - 5) < 2);
  const apart = ball(30, 8, 5, 3);
  const frames = head(() => 90, (x, y, z) => (both(x, y, z) || apart(x, y, z) ? 200 : 0));
  const axial = planeOf("axial", frames, frames[5], { x: 30, y: 25 });
  const line = (plane, from, to) => crossed({ x: from[0], y: from[1] }, { x: to[0], y: to[1] }, plane);
  assert.equal(cutThrough(frames, axial, line(axial, [10.5, 25.5], [15.5, 25.5]), CUTOFF), null);
  assert.equal(cutThrough(frames, axial, line(axial, [3.5, 3.5], [9.5, 3.5]), CUTOFF), null);
  for (const [name, from, to] of [["axial", [27.2, 15.5], [31.7, 35.5]], ["coronal", [29.5, 0.5], [29.5, 11.5]]]) {
    const plane = planeOf(name, frames, frames[5], { x: 30, y: 25 });
    const { gone, parts } = cutThrough(frames, plane, line(plane, from, to), CUTOFF);
    assert.equal(parts, 2);
    assert.deepEqual([...gone.keys()].sort(), [4, 5, 6], "where the object is met, and nothing else");
    assert.ok(sizeOf(gone) < 60 && !gone.get(5).some((i) => apart(i % WIDE, Math.floor(i / WIDE), 5)));
    markAll(frames, gone, REMOVED);
    const left = objectAt(frames, 5, at(20, 25), CUTOFF), right = objectAt(frames, 5, at(38, 25), CUTOFF);
    assert.ok(left.get(5).every((i) => i % WIDE < 32) && right.get(5).every((i) => i % WIDE > 27));
    assert.equal(sizeOf(left) + sizeOf(right) + sizeOf(gone), all(both));
    for (const frame of frames) tally(Object.assign(frame, { edits: null }));
  }
});
