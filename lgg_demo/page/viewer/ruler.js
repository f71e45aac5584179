// Distances that a hand measures, and where in a head something lies. No document: node tests it alone.
import { rounded } from "./counts.js";

// The steps of a plane's pixels across and down, in mm; null where the file does not say them.
function stepsOf(plane, spacing) {
  if (!spacing) return null;
  const [between, row, column] = spacing;
  return { axial: [column, row], coronal: [column, between], sagittal: [row, between] }[plane];
}

// The length of a line in a plane's pixels, as {value, unit}: millimetres, or pixels of a slice whose spacing nobody knows;
// null in a plane across such slices, where a pixel is no length.
export function lengthOf(plane, spacing, from, to) {
  const steps = stepsOf(plane, spacing);
  if (!steps && plane !== "axial") return null;
  const [across, down] = steps ?? [1, 1];
  return { value: rounded(Math.hypot((to.x - from.x) * across, (to.y - from.y) * down), 1), unit: steps ? "mm" : "pixels" };
}

const ABOVE_AIR = 25; // grey level above the air around
const FEW = 0.05; // share of a column that noise may fill
const NEAR_MIDDLE = 15; // mm from the middle of the head, within which no side is said: heads lie turned

// On which side of a head a lesion lies, "right" or "left": only where the file says which is which, and where the lesion's
// whole longest slice lies on that side, well away from the middle of the head there; else null.
export function sideOf(frames, lesion) {
  const frame = frames[lesion.slice], { of, spacing, width, height, image } = frame;
  if (!of.oriented || !spacing) return null;
  const filled = new Uint32Array(width);
  for (let i = 0; i < image.flair.length; i++) if (image.flair[i] > ABOVE_AIR) filled[i % width]++;
  const first = filled.findIndex((n) => n > FEW * height), last = filled.findLastIndex((n) => n > FEW * height);
  if (first < 0) return null;
  const middle = (first + last) / 2;
  const own = lesion.areas.filter(([{ slice }]) => slice === lesion.slice).flat();
  const [left, right] = [Math.min(...own.map((run) => run.from)), Math.max(...own.map((run) => run.to))];
  if (Math.abs(lesion.x - middle) * spacing[2] < NEAR_MIDDLE || (left < middle && right > middle)) return null;
  return lesion.x < middle ? "right" : "left"; // a picture's left is the patient's right
}
