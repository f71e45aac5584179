// Growth as two small charts side by side: volume and mean diameter against time, with intervals and the line through all visits.
const NS = "http://www.w3.org/2000/svg";
const WIDE = 128, HIGH = 88, GAP = 10; // of one chart, in units of the drawing
const PAD = { left: 25, right: 7, top: 17, bottom: 14 };
const LEAST_SPAN = 0.2; // of the largest value: less would make much of a small change

function svgOf(tag, attributes, text) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Two to five round numbers that enclose some values.
export function roundTicks(values) {
  const most = Math.max(...values, 0.1), low = Math.min(...values);
  const span = Math.max(most - low, LEAST_SPAN * most), middle = (most + low) / 2;
  const ten = 10 ** Math.floor(Math.log10(span / 3)), step = [1, 2, 5, 10].map((n) => n * ten).find((n) => n >= span / 3);
  const first = Math.max(0, Math.floor((middle - span / 2) / step)), ticks = [];
  for (let n = first; ticks.length < 2 || ticks.at(-1) < middle + span / 2; n++) ticks.push(n * step);
  return ticks;
}

// A chart: `points` are {x, y, low, high} (low and high null where there is no interval), `ends` of a line or null, `marks`
// {x, text} below.
function chartOf({ title, points, ends, marks, text }, left) {
  const group = svgOf("g", { transform: `translate(${left} 0)` });
  const ys = points.flatMap(({ y, low, high }) => [y, low ?? y, high ?? y]), xs = points.map(({ x }) => x);
  const ticks = roundTicks(ys), digits = Math.max(0, -Math.floor(Math.log10(ticks[1] - ticks[0]) + 1e-9)), from = ticks[0], to = ticks.at(-1), wide = Math.max(...xs) - Math.min(...xs) || 1;
  const px = (x) => PAD.left + 5 + ((x - Math.min(...xs)) / wide) * (WIDE - PAD.left - PAD.right - 10);
  const py = (y) => HIGH - PAD.bottom - ((y - from) / (to - from)) * (HIGH - PAD.top - PAD.bottom);
  group.append(svgOf("text", { x: 0, y: 9, class: "lgg-chart-title" }, title));
  for (const tick of ticks) {
    group.append(svgOf("line", { x1: PAD.left, x2: WIDE - PAD.right, y1: py(tick), y2: py(tick), class: "lgg-chart-grid" }));
    group.append(svgOf("text", { x: PAD.left - 4, y: py(tick) + 3, "text-anchor": "end" }, text(tick, digits)));
  }
  for (const { x, text: said } of marks) {
    const anchor = said.length < 4 ? "middle" : "end"; // a longer one is the last, with its unit
    group.append(svgOf("text", { x: px(x) + (anchor === "end" ? 10 : 0), y: HIGH - 3, "text-anchor": anchor }, said));
  }
  const line = (points_, of) => group.append(svgOf("polyline", { points: points_.map((p) => `${px(p.x)},${py(p.y)}`).join(" "), class: of }));
  line(ends ?? points, ends ? "lgg-chart-line" : "lgg-chart-way");
  for (const { x, y, low, high } of points) {
    if (low !== null)
      group.append(svgOf("path", { d: `M${px(x)} ${py(high)}V${py(low)}M${px(x) - 3} ${py(high)}h6M${px(x) - 3} ${py(low)}h6`, class: "lgg-chart-bar" }));
    group.append(svgOf("circle", { cx: px(x), cy: py(y), r: 2.6, class: "lgg-chart-point" }));
  }
  return group;
}

export function growthChart(charts, label) {
  const svg = svgOf("svg", { viewBox: `0 0 ${2 * WIDE + GAP} ${HIGH}`, role: "img", class: "lgg-chart", "aria-label": label });
  charts.forEach((chart, k) => svg.append(chartOf(chart, k * (WIDE + GAP))));
  return svg;
}
