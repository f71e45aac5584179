// The brush that stops at edges of the image. No document: node tests it alone.

const CLEAR = 0.8; // share of the variance between dark and bright: 0.64 in even noise, 0.75 in a slope, near 1 at an edge
const CONTRAST = 12; // grey levels between dark and bright that are no noise

// Grey values of a plane without their noise: the mean of three by three pixels; of three side by side where pixels are so
// tall that those above and below are other anatomy.
export function smoothIn({ width, height, tall }, grey) {
  const rows = tall < 2 ? 1 : 0;
  return (x, y) => {
    let sum = 0, n = 0;
    for (let v = Math.max(0, y - rows); v <= Math.min(height - 1, y + rows); v++)
      for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
        sum += grey(u, v);
        n++;
      }
    return sum / n;
  };
}

// The value that parts some greys best in dark and bright (Otsu), where they are clearly two kinds; else null.
export function edgeAmong(greys) {
  const counts = new Uint32Array(256);
  let sum = 0, squares = 0;
  for (const grey of greys) {
    counts[Math.round(grey)]++;
    sum += grey;
    squares += grey * grey;
  }
  const all = greys.length, variance = squares / all - (sum / all) ** 2;
  let best = { between: 0 }, below = 0, dark = 0;
  for (let cut = 1; cut < 256; cut++) {
    below += counts[cut - 1];
    dark += counts[cut - 1] * (cut - 1);
    if (!below || below === all) continue;
    const apart = (sum - dark) / (all - below) - dark / below;
    const between = (below / all) * (1 - below / all) * apart * apart;
    if (between > best.between) best = { between, apart, cut };
  }
  return best.between >= CLEAR * variance && best.apart >= CONTRAST ? best.cut : null;
}

// A stroke of that brush: the grey it began on, and the value of the last edge it has met.
export const newEdge = (grey) => ({ grey, cut: null });

// Of the pixels under the brush (x and y by turns) those that are joined with its middle, `at`, on the side of the edge that
// the stroke began on. grey: see `smoothIn`.
export function withinEdge(pixels, at, grey, edge) {
  const greys = [];
  for (let n = 0; n < pixels.length; n += 2) greys.push(grey(pixels[n], pixels[n + 1]));
  edge.cut = edgeAmong(greys) ?? edge.cut;
  if (edge.cut === null) return pixels;
  const bright = edge.grey >= edge.cut;
  const key = (x, y) => y * 65536 + x;
  const open = new Set();
  greys.forEach((value, n) => {
    if (value >= edge.cut === bright) open.add(key(pixels[2 * n], pixels[2 * n + 1]));
  });
  const kept = [], next = [[Math.floor(at.x), Math.floor(at.y)]];
  while (next.length) {
    const [x, y] = next.pop();
    if (!open.delete(key(x, y))) continue;
    kept.push(x, y);
    next.push([x - 1, y], [x + 1, y], [x, y - 1], [x, y + 1]);
  }
  return kept;
}

// Where a brush stands on its way, from one point to the next, so close that nothing is left out between.
export function stops(from, to, { tall }, radius) {
  const far = Math.hypot(to.x - from.x, (to.y - from.y) * tall);
  const steps = Math.max(1, Math.ceil(far / Math.max(1, radius / 2)));
  return Array.from({ length: steps }, (_, k) => {
    const t = (k + 1) / steps;
    return { x: from.x + (to.x - from.x) * t, y: from.y + (to.y - from.y) * t };
  });
}
