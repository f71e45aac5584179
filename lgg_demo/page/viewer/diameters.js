// The two diameters of an area, as lgg_demo/measure/diameters.py computes them: the same steps on the same numbers, so that
// page and report agree to the last digit. No document: node tests it alone.

const SAME = 1e-9; // of a length: what differs by less is equally long, and floats alone tell it apart

// Whether the longest line of one is longer, or as long and the other one longer.
export function exceeds(one, other) {
  if (Math.abs(one.longest - other.longest) > SAME * one.longest) return one.longest > other.longest;
  return one.perpendicular > other.perpendicular * (1 + SAME);
}

// Middles of the outermost pixel edges of each row and column of an area, given as runs {row, from, to} (columns, both
// inside): [row, column] in halves of a pixel, so that they are whole numbers, each once, in order.
export function edgeMiddles(runs) {
  const points = [], firstRow = runs[0].row, rows = runs.at(-1).row - firstRow + 1; // runs are in order
  const first = runs.reduce((least, { from }) => Math.min(least, from), Infinity);
  const columns = runs.reduce((most, { to }) => Math.max(most, to), 0) - first + 1;
  const left = new Int32Array(rows).fill(-1), right = new Int32Array(rows);
  const top = new Int32Array(columns).fill(-1), bottom = new Int32Array(columns);
  for (const { row, from, to } of runs) {
    if (left[row - firstRow] < 0) left[row - firstRow] = from;
    right[row - firstRow] = to;
    for (let k = from - first; k <= to - first; k++) {
      if (top[k] < 0) top[k] = row;
      bottom[k] = row;
    }
  }
  for (let k = 0; k < rows; k++) points.push([2 * (firstRow + k), 2 * left[k] - 1], [2 * (firstRow + k), 2 * right[k] + 1]);
  for (let k = 0; k < columns; k++) points.push([2 * top[k] - 1, 2 * (first + k)], [2 * bottom[k] + 1, 2 * (first + k)]);
  return points.sort((a, b) => a[0] - b[0] || a[1] - b[1]); // a row's are odd in the column, a column's even: none is twice
}

// Above 0 where the way from a over b to c turns as the hull does.
const turnOf = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);

// The corners of the convex hull of ordered points, in order around it from the first row on.
export function hullOf(points) {
  const half = (way) => {
    const chain = [];
    for (const point of way) {
      while (chain.length > 1 && turnOf(chain.at(-2), chain.at(-1), point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(points), ...half([...points].reverse())];
}

// The longest line across a hull, and the longest at a right angle to it: {longest, perpendicular, ends}, where `ends` are
// those of both lines, each [row, column] in pixels, a pixel's middle being a whole number. spacing: of rows and columns.
export function linesAcross(hull, [tall, wide]) {
  const squareOf = (a, b) => {
    const y = ((a[0] - b[0]) / 2) * tall, x = ((a[1] - b[1]) / 2) * wide;
    return y * y + x * x;
  };
  let most = 0;
  for (let i = 0; i < hull.length; i++) for (let j = i + 1; j < hull.length; j++) most = Math.max(most, squareOf(hull[i], hull[j]));
  let best = null;
  for (let i = 0; i < hull.length; i++)
    for (let j = i + 1; j < hull.length; j++) {
      const square = squareOf(hull[i], hull[j]);
      if (square < most * (1 - SAME)) continue;
      const { width, ends } = longestAcross(hull, i, j, tall, wide);
      const line = [i, j].map((k) => [hull[k][0] / 2, hull[k][1] / 2]);
      const found = { longest: Math.sqrt(square), perpendicular: width, ends: [line, ends] };
      if (!best || exceeds(found, best)) best = found;
    }
  return best;
}

// Linear between points of rising x, as numpy.interp has it.
function between(x, xs, ys) {
  let k = 0;
  while (k < xs.length - 1 && xs[k + 1] <= x) k++;
  if (k === xs.length - 1 || x <= xs[0]) return ys[k];
  return ((ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k])) * (x - xs[k]) + ys[k];
}

// Length and ends of the longest line inside a hull at a right angle to that from corner `first` to `second`, its longest.
// The width of a convex polygon is concave along the line, so it is largest at a corner.
function longestAcross(hull, first, second, tall, wide) {
  const [origin, n] = [hull[first], hull.length];
  const points = hull.map(([row, column]) => ({ y: ((row - origin[0]) / 2) * tall, x: ((column - origin[1]) / 2) * wide }));
  const { y: down, x: right } = points[second];
  const square = down * down + right * right;
  const place = points.map(({ y, x }) => y * down + x * right), height = points.map(({ y, x }) => x * down - y * right);
  const way = (step) => {
    const corners = [];
    for (let k = first; ; k = (k + step + n) % n) {
      corners.push(k);
      if (k === second) return { xs: corners.map((c) => place[c]), ys: corners.map((c) => height[c]) };
    }
  };
  const ways = [way(1), way(-1)];
  let widest = { width: -1 };
  for (const at of place) {
    const [there, back] = ways.map(({ xs, ys }) => between(at, xs, ys));
    const width = Math.abs(there - back);
    if (width > widest.width) widest = { width, at, sides: [there, back] };
  }
  const { width, at, sides } = widest;
  const ends = sides.map((side) => [
    origin[0] / 2 + ((at * down - side * right) / square) / tall, origin[1] / 2 + ((at * right + side * down) / square) / wide,
  ]);
  return { width: width / Math.sqrt(square), ends };
}
