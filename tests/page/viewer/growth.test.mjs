import assert from "node:assert/strict";
import test from "node:test";
import { categoryOf, isMeasurable, lineThrough, meanDiameter, volumeChange } from "../../../lgg_demo/page/viewer/growth.js";
import { roundTicks } from "../../../lgg_demo/page/viewer/growth_chart.js";

const near = (value, wanted, within = 1e-9) => assert.ok(Math.abs(value - wanted) <= within, `${value} is not ${wanted}`);

test("a mean diameter is the cube root of twice the volume in mm³", () => {
  near(meanDiameter(4), 20);
  assert.equal(meanDiameter(0), 0);
});

test("the line goes through visits with a time and a volume, in mm a year", () => {
  const visit = (months, mm) => ({ months, volume: mm ** 3 / 2000 });
  const line = lineThrough([visit(0, 20), visit(6, 22), visit(null, 90), visit(12, 24), { months: 3, volume: null }]);
  near(line.slope, 4);
  near(line.at, 20);
  assert.equal(lineThrough([visit(0, 20), visit(null, 22)]), null);
  assert.equal(lineThrough([visit(3, 20), visit(3, 22)]), null, "all at one time");
});

test("a change is measurable where its interval leaves out zero, and without repeatability nobody knows", () => {
  const repeatability = { relative: 0.05, absolute_ml: 0.2 };
  const reach = 1.96 * Math.hypot(0.05 * 20, 0.2, 0.05 * 30, 0.2);
  const change = volumeChange(20, 30, repeatability);
  near(change.ml, 10);
  near(change.percent, 50);
  near(change.interval[0], 10 - reach);
  near(change.percentInterval[1], (100 * (10 + reach)) / 20);
  assert.equal(change.measurable, true);
  assert.equal(volumeChange(20, 22, repeatability).measurable, false);
  assert.equal(volumeChange(20, 10, repeatability).measurable, true);
  assert.deepEqual(volumeChange(20, 30, null).measurable, null);
  assert.equal(volumeChange(0, 3, repeatability).percent, null);
});

test("progression is told from the smallest volume, response from the first, a new lesion counts at once", () => {
  const cases = [
    [[10, 14], "progressive_disease"], [[10, 13.99], "stable_disease"], [[10, 3.5], "partial_response"], [[10, 3.51], "stable_disease"],
    [[10, 0], "complete_response"], [[10, 4, 5.6], "progressive_disease"], [[10, 4, 5.5], "stable_disease"], [[0, 5], null],
    [[10, null], null], [[10, null, 3], "partial_response"], [[0.1 + 0.2, 0.42], "progressive_disease"],
  ];
  for (const [volumes, category] of cases) assert.equal(categoryOf(volumes), category, String(volumes));
  assert.equal(categoryOf([10, 10], true), "progressive_disease");
});

test("a lesion is measurable from 10 mm in both diameters and two slices on", () => {
  const lesion = { longest: 12, perpendicular: 10, height: 10, first: 3, last: 4 };
  assert.ok(isMeasurable(lesion));
  assert.ok(!isMeasurable({ ...lesion, perpendicular: 9.99 }) && !isMeasurable({ ...lesion, last: 3 }) && !isMeasurable({ ...lesion, height: null }));
});

test("ticks enclose what is drawn, and a small change stays small", () => {
  for (const values of [[0], [0.4, 0.5], [25.9, 33.1], [100, 101], [3, 900]]) {
    const ticks = roundTicks(values), span = ticks.at(-1) - ticks[0];
    assert.ok(ticks[0] <= Math.min(...values) && ticks.at(-1) >= Math.max(...values), `${values}: ${ticks}`);
    assert.ok(ticks.length >= 2 && ticks.length <= 6 && span >= 0.2 * Math.max(...values) - 1e-9, `${values}: ${ticks}`);
  }
});
