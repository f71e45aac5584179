import assert from "node:assert/strict";
import test from "node:test";
import { lengthOf, sideOf } from "../../../lgg_demo/page/viewer/ruler.js";
import { lesionsOf, whole } from "../../../lgg_demo/page/viewer/lesions.js";
import { frameOf } from "./frames.mjs";

test("a distance is in millimetres of its plane, in pixels of a slice, and none across slices of unknown spacing", () => {
  const spacing = [5, 2, 1], from = { x: 1.5, y: 2 }, to = { x: 4.5, y: 6 };
  assert.deepEqual(lengthOf("axial", spacing, from, to), { value: 8.5, unit: "mm" });
  assert.deepEqual(lengthOf("coronal", spacing, from, to), { value: 20.2, unit: "mm" });
  assert.deepEqual(lengthOf("sagittal", spacing, from, to), { value: 20.9, unit: "mm" });
  assert.deepEqual(lengthOf("axial", null, from, to), { value: 5, unit: "pixels" });
  assert.equal(lengthOf("coronal", null, from, to), null);
});

// A head from column 10 to 89 of 100, with a lesion from one column to another.
function headWith(from, to, of) {
  const [width, height] = [100, 60];
  const pixels = (inside) => Uint8Array.from({ length: width * height }, (_, i) => inside(i % width, Math.floor(i / width)));
  const probability = pixels((x, y) => (x >= from && x <= to && y > 20 && y < 26 ? 255 : 0));
  const image = { flair: pixels((x) => (x >= 10 && x <= 89 ? 120 : 5)) };
  const frame = frameOf({ width, height, probability, image, known: false, spacing: [5, 1, 1], of: { pixel_mm2: 1, voxel_ml: 0.005, ...of } });
  return { frames: [frame], lesion: whole(lesionsOf([frame], 128)).lesions[0] };
}

test("a side is said only where the file says it, and the lesion lies well on that side of the head", () => {
  const side = (from, to, of = { oriented: true }) => {
    const { frames, lesion } = headWith(from, to, of);
    return sideOf(frames, lesion);
  };
  assert.deepEqual([side(15, 25), side(70, 80)], ["right", "left"]);
  assert.deepEqual([side(15, 25, { oriented: false }), side(46, 54), side(38, 46), side(20, 60)], [null, null, null, null]);
  const { frames, lesion } = headWith(15, 25, { oriented: true });
  frames[0].spacing = null;
  assert.equal(sideOf(frames, lesion), null);
});
