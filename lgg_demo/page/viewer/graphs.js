// The two graphs: areas and doubt of all slices, and Dice against the threshold.
import { DOUBT_OF_AREA } from "./counts.js";
import { clamp } from "./geometry.js";
import { DOUBT, css } from "./paint.js";

const AXIS = 13, LABEL = 30; // CSS pixels: height of the numbers, and what each needs across

// The strip under the slice slider: a bar for the tumour's area in each slice, above it how unsure the model is; unsure
// slices have a dot, so that no colour has to be told. places: those on screen; `of` of a slice: its case.
export function drawStrip(canvas, slices, places, colours, ratio) {
  const context = canvas.getContext("2d");
  const { width } = canvas, height = canvas.height - AXIS * ratio;
  const middle = Math.round(height * 0.4);
  const most = Math.max(1, ...slices.map((s) => Math.max(s.area, s.reference ?? 0)));
  // As high as a fifth of the largest area at least, so that a calm lesion does not look like a doubtful one.
  const doubt = Math.max(1, DOUBT_OF_AREA * most, ...slices.map((s) => s.doubt));
  const step = width / slices.length;
  context.clearRect(0, 0, width, canvas.height);
  drawAxis(context, slices.length, step, height, colours, ratio);
  context.fillStyle = colours.current;
  for (const place of places) context.fillRect(Math.floor(place * step), 0, Math.max(Math.ceil(step), 2 * ratio), height);
  slices.forEach((s, n) => {
    if (n && s.of !== slices[n - 1].of) drawDivider(context, n * step, canvas.height, colours, ratio);
    const x = n * step, wide = Math.max(step - (step > 4 * ratio ? ratio : 0), 1);
    const up = (s.doubt / doubt) * (middle - 7 * ratio);
    context.fillStyle = css(DOUBT);
    context.fillRect(x, middle - up, wide, up);
    if (s.unsure) {
      context.beginPath();
      context.arc(x + step / 2, 3 * ratio, 2.2 * ratio, 0, 2 * Math.PI);
      context.fillStyle = colours.text;
      context.fill();
    }
    const down = (s.area / most) * (height - middle - 2 * ratio);
    context.fillStyle = colours.bar;
    context.fillRect(x, height - down, wide, down);
    if (s.reference != null) {
      const mark = (s.reference / most) * (height - middle - 2 * ratio);
      context.fillStyle = colours.reference;
      if (s.reference) context.fillRect(x, height - mark - ratio, Math.max(step, 1), 2 * ratio);
    }
  });
  context.fillStyle = colours.line;
  context.fillRect(0, middle, width, ratio);
  context.fillRect(0, height - ratio, width, ratio);
}

// Where one case ends and the next begins.
function drawDivider(context, x, height, colours, ratio) {
  context.fillStyle = colours.text;
  context.fillRect(Math.round(x - ratio), 0, ratio, height);
}

// Numbers of slices below the bars, as many as have room.
function drawAxis(context, slices, step, top, colours, ratio) {
  const every = [1, 2, 5, 10, 20, 50, 100, 200].find((n) => n * step >= LABEL * ratio) ?? slices;
  Object.assign(context, { font: `${10 * ratio}px system-ui, sans-serif`, fillStyle: colours.text, textAlign: "center", textBaseline: "top" });
  for (let n = 0; n < slices; n = n ? n + every : Math.max(1, every - 1)) {
    const half = context.measureText(`${n + 1}`).width / 2;
    context.fillText(`${n + 1}`, Math.max((n + 0.5) * step, half), top + 2 * ratio);
  }
}

// Dice against threshold: `whole` of all scored slices, `own` of this one (or null). Marks are thresholds with a label.
export function drawCurve(canvas, whole, own, marks, colours, ratio) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const pad = { left: 26 * ratio, right: 8 * ratio, top: 16 * ratio, bottom: 16 * ratio };
  const at = (t, d) => [pad.left + t * (width - pad.left - pad.right), height - pad.bottom - d * (height - pad.top - pad.bottom)];
  context.clearRect(0, 0, width, height);
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  context.fillStyle = colours.text;
  context.strokeStyle = colours.line;
  context.lineWidth = ratio;
  context.textBaseline = "middle";
  for (const value of [0, 0.5, 1]) {
    context.beginPath();
    context.moveTo(...at(0, value));
    context.lineTo(...at(1, value));
    context.stroke();
    context.textAlign = "right";
    context.fillText(colours.number(value), pad.left - 4 * ratio, at(0, value)[1]);
    context.textAlign = "center";
    context.fillText(colours.number(value), at(value, 0)[0], height - pad.bottom / 2 + ratio);
  }
  const line = (values, thick, colour) => {
    context.beginPath();
    values.forEach((d, k) => context[k ? "lineTo" : "moveTo"](...at((k + 1) / 100, d)));
    context.strokeStyle = colour;
    context.lineWidth = thick * ratio;
    context.stroke();
  };
  if (own) line(own, 1, colours.text);
  line(whole, 2.2, colours.bar);
  for (const { threshold, label, dashed, strong } of marks) {
    const [x] = at(threshold, 0);
    context.setLineDash(dashed ? [3 * ratio, 3 * ratio] : []);
    context.lineWidth = (strong ? 2 : 1) * ratio;
    context.strokeStyle = colours.text;
    context.beginPath();
    context.moveTo(x, pad.top - 2 * ratio);
    context.lineTo(x, height - pad.bottom);
    context.stroke();
    context.setLineDash([]);
    if (strong) {
      const k = clamp(Math.round(threshold * 100) - 1, 0, 98);
      context.beginPath();
      context.arc(...at(threshold, whole[k]), 4 * ratio, 0, 2 * Math.PI);
      context.fillStyle = colours.bar;
      context.fill();
      context.stroke();
    }
    if (label) {
      const half = context.measureText(label).width / 2;
      context.fillStyle = colours.text;
      context.textAlign = "center";
      context.fillText(label, clamp(x, half, width - half), pad.top / 2);
    }
  }
}
