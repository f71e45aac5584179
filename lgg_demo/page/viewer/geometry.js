// Where things are: window and level, zoom, planes, the way from a pointer to a pixel. No document: node tests it alone.

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// A window by its width and level, kept where it shows anything: which of the 8-bit greys sent are black and white.
export function windowOf(width, level) {
  const half = clamp(width, 1, 510) / 2, middle = clamp(level, -128, 383);
  return { low: middle - half, high: middle + half };
}

// A view is its zoom and the centre (x, y) of what is seen, in shares of the picture. A panel's `reach` is how much of the
// picture its canvas would hold unzoomed, across and down, in shares: more than 1 where there is black beside the picture.
const WHOLE = { x: 1, y: 1 };
const WORTH_A_GAP = 1.35;

// What is seen stays within the picture; where all of it is, it stays in the middle.
const within = (at, seen) => (seen >= 1 ? 0.5 : clamp(at, seen / 2, 1 - seen / 2));

// Move the picture by shares of the canvas.
export function panned({ zoom, x, y }, dx, dy, reach = WHOLE) {
  const across = reach.x / zoom, down = reach.y / zoom;
  return { zoom, x: within(x - dx * across, across), y: within(y - dy * down, down) };
}

// Zoom by a factor, keeping the point (x, y), in shares of the canvas, where it is.
export function zoomed(view, factor, x, y, reach = WHOLE) {
  const zoom = clamp(view.zoom * factor, 1, 16);
  const shift = 1 / view.zoom - 1 / zoom;
  return panned({ zoom, x: view.x + (x - 0.5) * shift * reach.x, y: view.y + (y - 0.5) * shift * reach.y }, 0, 0, reach);
}

// From a picture's pixels to a canvas', as large as it fits in true proportion: scale and shift for a zoom around a centre
// given in shares of the picture. aspect: width to height of the picture as it is shown.
export function placing(canvas, picture, zoom, centre, aspect = picture.width / picture.height) {
  const wide = Math.min(canvas.width, canvas.height * aspect);
  const scaleX = (wide / picture.width) * zoom, scaleY = (wide / aspect / picture.height) * zoom;
  return {
    scaleX, scaleY,
    left: canvas.width / 2 - centre.x * picture.width * scaleX,
    top: canvas.height / 2 - centre.y * picture.height * scaleY,
    reach: { x: canvas.width / wide, y: (canvas.height * aspect) / wide },
  };
}

// In how many columns so many panels of one proportion are largest on a stage; an empty place in the last row has to be worth
// it.
export function columnsFor(panels, aspect, width, height) {
  const worth = (columns) => {
    const size = Math.min(width / columns, (height / Math.ceil(panels / columns)) * aspect);
    return panels % columns ? size / WORTH_A_GAP : size;
  };
  const all = Array.from({ length: panels }, (_, k) => k + 1);
  return all.reduce((best, columns) => (worth(columns) > worth(best) * 1.001 ? columns : best), 1);
}

// A length in mm that is easy to read, at most so many mm long: 1, 2 or 5 times a power of ten.
export function barLength(most) {
  const ten = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].map((n) => n * ten).find((mm) => mm <= most);
}

// Where a pointer is, in shares of the box (a DOMRect) of a canvas.
export const shareOf = (box, { clientX, clientY }) => ({ x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height });

// From a share of a canvas back to a pixel of the picture `placing` has put there.
export const pixelOf = (share, canvas, placed) => ({
  x: (share.x * canvas.width - placed.left) / placed.scaleX, y: (share.y * canvas.height - placed.top) / placed.scaleY,
});

// The cross is a voxel of the series: column x, row y, and the slice that is on screen. Its middle in a plane's pixels,
// where coronal and sagittal planes have the head up.
export function crossIn(plane, { x, y }, slice, slices) {
  if (plane === "axial") return { x: x + 0.5, y: y + 0.5 };
  return { x: (plane === "coronal" ? x : y) + 0.5, y: slices - 1 - slice + 0.5 };
}

// The voxel that a pixel of a plane stands for: the cross moved there, and the slice, clamped to the series.
export function crossFrom(plane, at, cross, slice, { width, height, slices }) {
  const within = (value, most) => clamp(Math.floor(value), 0, most - 1);
  if (plane === "axial") return { x: within(at.x, width), y: within(at.y, height), slice };
  const up = slices - 1 - within(at.y, slices);
  if (plane === "coronal") return { x: within(at.x, width), y: cross.y, slice: up };
  return { x: cross.x, y: within(at.x, height), slice: up };
}

// The centre of a zoomed plane: as close to a point of it (in pixels) as its edges allow.
export function centredOn(point, { width, height }, zoom, reach = WHOLE) {
  return { x: within(point.x / width, reach.x / zoom), y: within(point.y / height, reach.y / zoom) };
}

// Width to height of what each panel shows, by the size (mm) of a voxel: between slices, of a row, of a column.
export function aspectOf(panel, { width, height, slices }, [between, row, column]) {
  if (panel === "coronal") return (width * column) / (slices * between);
  if (panel === "sagittal") return (height * row) / (slices * between);
  return (width * column) / (height * row);
}

// An angle (radians) kept within half a turn to either side.
export const wrappedAngle = (angle) => Math.atan2(Math.sin(angle), Math.cos(angle));

// The threshold under a point of the curve, 0.01 to 0.99; x in CSS pixels from its left, of a curve `width` wide.
export const curveThreshold = (x, width) => clamp(Math.round(((x - 26) / (width - 34)) * 100), 1, 99) / 100;
