// A series as a volume: its spacing, and its coronal and sagittal planes. No document: node tests it alone.

// Proportions of a series whose spacing nobody knows: as high as 0.6 of its width, as the head in such a series mostly is.
const GUESSED_HEIGHT = 0.6;

// Millimetres between slices, of a row and of a column; relative ones where the series does not say them.
export function spacingOf(frames) {
  const { spacing, width } = frames[0];
  return spacing ?? [(GUESSED_HEIGHT * width) / frames.length, 1, 1];
}

export const acrossOf = (plane, { width, height }) => (plane === "coronal" ? width : height);

// Pixels of a coronal plane (row `at` of each slice) or a sagittal one (column `at`), head up; `value` gives a frame's
// pixel i.
export function sliceAcross(frames, plane, at, value) {
  const { width } = frames[0];
  const across = acrossOf(plane, frames[0]);
  const [first, step] = plane === "coronal" ? [at * width, 1] : [at, width];
  const pixels = new Uint8Array(across * frames.length);
  frames.forEach((frame, s) => {
    const row = (frames.length - 1 - s) * across;
    for (let k = 0, i = first; k < across; k++, i += step) pixels[row + k] = value(frame, i);
  });
  return pixels;
}
