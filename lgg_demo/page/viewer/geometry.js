// Where things are: window and level, zoom, planes, the way from a pointer to a pixel. No document: node tests it alone.

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// A window by its width and level, kept where it shows anything: which of the 8-bit greys sent are black and white.
export function windowOf(width, level) {
  const half = clamp(width, 1, 510) / 2, middle = clamp(level, -128, 383);
  return { low: middle - half, high: middle + half };
}

// A view is its zoom and the centre (x, y) of what is seen, in shares of the picture.

// Move the picture by shares of the canvas; its edge stays outside.
export function panned({ zoom, x, y }, dx, dy) {
  const half = 0.5 / zoom;
  return { zoom, x: clamp(x - dx / zoom, half, 1 - half), y: clamp(y - dy / zoom, half, 1 - half) };
}

// Zoom by a factor, keeping the point (x, y), in shares of the canvas, where it is.
export function zoomed(view, factor, x, y) {
  const zoom = clamp(view.zoom * factor, 1, 16);
  const shift = 1 / view.zoom - 1 / zoom;
  return panned({ zoom, x: view.x + (x - 0.5) * shift, y: view.y + (y - 0.5) * shift }, 0, 0);
}

// From a picture's pixels to a canvas': scale and shift for a zoom around a centre given in shares of the picture.
export function placing(canvas, picture, zoom, centre) {
  const scaleX = (canvas.width / picture.width) * zoom;
  const scaleY = (canvas.height / picture.height) * zoom;
  return {
    scaleX, scaleY,
    left: canvas.width / 2 - centre.x * picture.width * scaleX,
    top: canvas.height / 2 - centre.y * picture.height * scaleY,
  };
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
export function centredOn(point, { width, height }, zoom) {
  const half = 0.5 / zoom;
  return { x: clamp(point.x / width, half, 1 - half), y: clamp(point.y / height, half, 1 - half) };
}

// Width to height of what each panel shows, by the size (mm) of a voxel: between slices, of a row, of a column.
export function aspectOf(panel, { width, height, slices }, [between, row, column]) {
  if (panel === "coronal") return (width * column) / (slices * between);
  if (panel === "sagittal") return (height * row) / (slices * between);
  return panel === "surface" ? 1.25 : (width * column) / (height * row);
}

// An angle (radians) kept within half a turn to either side.
export const wrappedAngle = (angle) => Math.atan2(Math.sin(angle), Math.cos(angle));

// The threshold under a point of the curve, 0.01 to 0.99; x in CSS pixels from its left, of a curve `width` wide.
export const curveThreshold = (x, width) => clamp(Math.round(((x - 26) / (width - 34)) * 100), 1, 99) / 100;
