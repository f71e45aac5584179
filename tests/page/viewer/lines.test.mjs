import assert from "node:assert/strict";
import test from "node:test";
import { edgeAmong, newEdge, smoothIn, stops, withinEdge } from "../../../lgg_demo/page/viewer/edges.js";
import { crossed, enclosed } from "../../../lgg_demo/page/viewer/lasso.js";
import { random } from "./frames.mjs";

const pairs = (pixels) => Array.from({ length: pixels.length / 2 }, (_, n) => [pixels[2 * n], pixels[2 * n + 1]]);
const disc = (x, y, radius) => {
  const pixels = [];
  for (let v = 0; v < 60; v++)
    for (let u = 0; u < 60; u++) if (Math.hypot(u + 0.5 - x, v + 0.5 - y) <= radius) pixels.push(u, v);
  return pixels;
};

test("a closed outline encloses the pixels whose middles are in it", () => {
  const size = { width: 60, height: 60 };
  const round = Array.from({ length: 200 }, (_, k) => ({ x: 30 + 20 * Math.cos(k / 31.83), y: 25 + 20 * Math.sin(k / 31.83) }));
  const found = new Set(pairs(enclosed(round, size)).map(String));
  const wanted = new Set(pairs(disc(30, 25, 20)).map(String));
  const differ = [...wanted].filter((p) => !found.has(p)).length + [...found].filter((p) => !wanted.has(p)).length;
  assert.ok(differ < 10, `${differ}`);
  assert.deepEqual(pairs(enclosed([{ x: 1, y: 1 }, { x: 3, y: 1 }, { x: 3, y: 2 }, { x: 1, y: 2 }], size)), [[1, 1], [2, 1]]);
  const beyond = enclosed([{ x: -50, y: -50 }, { x: 200, y: -50 }, { x: 200, y: 200 }, { x: -50, y: 200 }], size);
  assert.equal(beyond.length / 2, 3600, "of one beyond the edges what is in the picture");
  assert.equal(enclosed([{ x: 5, y: 5 }], size).length, 0);
  const ring = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0], [3, 3], [3, 7], [7, 7], [7, 3], [3, 3]].map(([x, y]) => ({ x, y }));
  assert.equal(enclosed(ring, size).length / 2, 100 - 16, "what it goes round twice is out again");
});

test("a line is a chain of pixels that share sides, from its one end to the other", () => {
  const next = random(5), size = { width: 60, height: 60 };
  for (let k = 0; k < 200; k++) {
    const [from, to] = [0, 1].map(() => ({ x: 60 * next(), y: 60 * next() }));
    const line = pairs(crossed(from, to, size));
    assert.deepEqual(line[0], [Math.floor(from.x), Math.floor(from.y)]);
    assert.deepEqual(line.at(-1), [Math.floor(to.x), Math.floor(to.y)]);
    line.slice(1).forEach(([x, y], n) => assert.equal(Math.abs(x - line[n][0]) + Math.abs(y - line[n][1]), 1));
    for (const [x, y] of line) { // no pixel farther from the line than its corner is
      const far = Math.abs((to.x - from.x) * (y + 0.5 - from.y) - (to.y - from.y) * (x + 0.5 - from.x)) / Math.hypot(to.x - from.x, to.y - from.y);
      assert.ok(far < 0.7072, `${far}`);
    }
  }
  assert.deepEqual(pairs(crossed({ x: -3.5, y: 2.5 }, { x: 1.5, y: 2.5 }, size)), [[0, 2], [1, 2]]);
});

test("an edge is told from noise and from a slope", () => {
  const next = random(3), noise = () => 8 * (next() + next() + next() - 1.5);
  const greys = (value) => Array.from({ length: 300 }, (_, k) => value(k) + noise());
  assert.equal(edgeAmong(greys(() => 100)), null);
  assert.equal(edgeAmong(greys((k) => 60 + k / 5)), null);
  const cut = edgeAmong(greys((k) => (k % 3 ? 90 : 160)));
  assert.ok(cut > 100 && cut < 155, `${cut}`);
});

test("the brush stops at an edge, on whichever side it began, and does not leap over a wall", () => {
  const next = random(4);
  const grey = (x) => (x < 30 ? 160 : x < 33 ? 80 : 160);
  const noisy = new Map();
  const value = (x, y) => noisy.get(`${x},${y}`) ?? noisy.set(`${x},${y}`, grey(x) + 10 * (next() - 0.5)).get(`${x},${y}`);
  const calm = smoothIn({ width: 60, height: 60, tall: 1 }, value);
  const edge = newEdge(calm(26, 30));
  const marked = pairs(withinEdge(disc(26, 30, 10), { x: 26, y: 30 }, calm, edge));
  assert.ok(marked.length > 150 && marked.every(([x]) => x <= 30));
  // Drawn on over the wall, it does not paint it; in the open without an edge it knows its side.
  assert.deepEqual(withinEdge(disc(31.5, 30, 10), { x: 31.5, y: 30 }, calm, edge), []);
  assert.ok(pairs(withinEdge(disc(15, 30, 8), { x: 15, y: 30 }, calm, edge)).length > 180);
  const flat = newEdge(100);
  const all = disc(30, 30, 5);
  assert.equal(withinEdge(all, { x: 30, y: 30 }, () => 100, flat), all, "where there is no edge it is a plain brush");
});

test("tall pixels are not smoothed with those above, and a fast hand leaves no gap", () => {
  const striped = (x, y) => (y % 2 ? 200 : 0);
  assert.equal(smoothIn({ width: 9, height: 9, tall: 5 }, striped)(4, 4), 0);
  assert.ok(smoothIn({ width: 9, height: 9, tall: 1 }, striped)(4, 4) > 100);
  const way = stops({ x: 0, y: 0 }, { x: 30, y: 0 }, { tall: 1 }, 6);
  assert.ok(way.every(({ x }, k) => x - (way[k - 1]?.x ?? 0) <= 3) && way.at(-1).x === 30);
  assert.equal(stops({ x: 1, y: 1 }, { x: 1, y: 1 }, { tall: 1 }, 6).length, 1);
});
