// A plane of a series as a hand works in it. No document: node tests it alone.
import { frameNow, series, state } from "./state.js";
import { acrossOf, spacingOf } from "./volume.js";

// The plane through the cross (or of `frame`, where it is axial): width and height in pixels; the `wide` of a column of the
// axial slices in its pixels' widths, and how `tall` a pixel is in these; the frame of a row, the place of a pixel in it,
// and where in the plane voxel i of slice s is shown.
export function planeOf(name, frames, frame, cross) {
  const [between, row, column] = spacingOf(frames);
  const { width } = frame, last = frames.length - 1;
  if (name === "axial")
    return {
      name, width, height: frame.height, wide: 1, tall: row / column,
      frameAt: () => frame, indexAt: (x, y) => y * width + x, shown: (s, i) => [i % width, Math.floor(i / width)],
    };
  const coronal = name === "coronal", across = coronal ? column : row;
  const indexAt = coronal ? (x) => cross.y * width + x : (x) => x * width + cross.x;
  return {
    name, width: acrossOf(name, frame), height: frames.length, wide: column / across, tall: between / across,
    frameAt: (y) => frames[last - y], indexAt,
    shown: coronal ? (s, i) => [i % width, last - s] : (s, i) => [Math.floor(i / width), last - s],
  };
}

// That of what is on screen.
export const planeNow = (name) => planeOf(name, series(), frameNow(), state.cross);
