// A small grey picture of a slice.
import { aspectOf, placing } from "./geometry.js";
import { greysOf, newSheet, paint } from "./paint.js";

const MASK = { low: 0, high: 1 };

// Draw a slice (8 bits, or a mask where there is no window) into a canvas, whole and in its proportions.
export function paintGrey(canvas, image, { width, height, spacing }, window) {
  const sheet = newSheet(), greys = greysOf(window ?? MASK), picture = { width, height };
  paint(sheet, "thumbnail", width, height, (words) => image.forEach((value, i) => (words[i] = greys[value])));
  const aspect = aspectOf("axial", picture, spacing ?? [1, 1, 1]);
  const { scaleX, scaleY, left, top } = placing(canvas, picture, 1, { x: 0.5, y: 0.5 }, aspect);
  canvas.getContext("2d").drawImage(sheet.canvas, left, top, width * scaleX, height * scaleY);
}
