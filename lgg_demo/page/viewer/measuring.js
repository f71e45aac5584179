// Lines on the pictures that measure: those of the ruler, and the two diameters of the lesions.
import { refresh, tell } from "./dom.js";
import { diametersIn } from "./lesions.js";
import { lesionsIn } from "./measures.js";
import { inWhite, outlinedText } from "./overlays.js";
import { lengthOf } from "./ruler.js";
import { frameNow, series, state } from "./state.js";
import { number, say } from "./words.js";

const SHORTEST = 1; // pixel: less is a click, and no line
const MOST_DRAWN = 6; // lesions of a slice whose diameters are drawn
const BARE = ["reference", "later", "change", "flicker"]; // panels that show no outline of this case, or little room beside it
const LINES = { ruler: "#ffe14d", longest: "#ffffff", shorter: "#b9c4ce" };

const rulers = { shown: null, lines: [], last: 0 };
let drawn = null; // the line that is being drawn
let whenChanged = () => {};

export function rulersWith(act) {
  whenChanged = act;
}

// The place of a plane: which of its kind is on screen.
const placeOf = (plane) => ({ axial: frameNow().slice, coronal: state.cross.y, sagittal: state.cross.x })[plane];

// Those of the result on screen, each {id, plane, of (its case), at (its place in that plane's direction), from, to}.
export function linesNow() {
  if (rulers.shown !== state.shown) Object.assign(rulers, { shown: state.shown, lines: [] });
  return rulers.lines;
}

export const textOf = ({ plane, from, to }, frame) => {
  const { value, unit } = lengthOf(plane, frame.spacing, from, to);
  return `${number(value, 1)} ${say(unit === "mm" ? "unit_length" : "pixels")}`;
};

// The ruler

// Begin a line at a pixel of a plane; null, and a sentence, where nothing can be measured.
export function beginLine(plane, at) {
  const { spacing, case: of } = frameNow();
  if (!lengthOf(plane, spacing, at, at)) {
    tell(say("ruler_unknown"));
    return null;
  }
  drawn = { plane, of, at: placeOf(plane), from: at, to: at };
  refresh();
  return drawn;
}

export function stretchLine(to) {
  if (drawn) drawn.to = to;
  refresh();
}

// Keep the line that is being drawn, or drop it where it is none.
export function endLine(keep = true) {
  const line = drawn;
  drawn = null;
  refresh();
  if (!line || !keep || Math.hypot(line.to.x - line.from.x, line.to.y - line.from.y) < SHORTEST) return;
  linesNow().push({ ...line, id: ++rulers.last });
  whenChanged();
  tell(textOf(line, frameNow()));
}

// Without a mouse: the first point, then the second.
export function markPoint(plane, at) {
  if (drawn?.plane !== plane) {
    beginLine(plane, at);
    return;
  }
  stretchLine(at);
  endLine();
}

export function removeLine(id) {
  rulers.lines = linesNow().filter((line) => line.id !== id);
  whenChanged();
  refresh();
}

// What is drawn

// A line from one point of a picture to another, in the canvas' own pixels.
function drawLine(context, ratio, [x1, y1], [x2, y2], colour) {
  const long = Math.hypot(x2 - x1, y2 - y1) || 1, [nx, ny] = [(-(y2 - y1) / long) * 5 * ratio, ((x2 - x1) / long) * 5 * ratio];
  for (const [style, wide] of [["rgb(0 0 0 / 0.75)", 3.2], [colour, 1.4]]) {
    Object.assign(context, { strokeStyle: style, lineWidth: wide * ratio });
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    for (const [x, y] of [[x1, y1], [x2, y2]]) {
      context.moveTo(x - nx, y - ny);
      context.lineTo(x + nx, y + ny);
    }
    context.stroke();
  }
}

function drawText(context, { width, height }, ratio, text, [x, y], colour) {
  inWhite(context, ratio);
  Object.assign(context, { fillStyle: colour, textAlign: "left" });
  const wide = context.measureText(text).width, edge = 4 * ratio;
  const left = Math.min(Math.max(x + 8 * ratio, edge), width - wide - edge), top = Math.min(Math.max(y, 10 * ratio), height - 10 * ratio);
  outlinedText(context, text, left, top);
}

const onCanvas = ({ scaleX, scaleY, left, top }) => ({ x, y }) => [left + x * scaleX, top + y * scaleY];

function rulerPart(line, frame) {
  const text = textOf(line, frame);
  return {
    id: `ruler/${line.from.x}/${line.from.y}/${line.to.x}/${line.to.y}/${text}`,
    draw(context, canvas, ratio, placed) {
      const [from, to] = [line.from, line.to].map(onCanvas(placed));
      drawLine(context, ratio, from, to, LINES.ruler);
      drawText(context, canvas, ratio, text, from[0] > to[0] ? from : to, LINES.ruler);
    },
  };
}

function diametersPart({ ends }, text, colour) {
  // A pixel's middle is a whole number there, and lies at one half on the canvas.
  const lines = ends.map((line) => line.map(([row, column]) => ({ x: column + 0.5, y: row + 0.5 })));
  return {
    id: `diameters/${ends}/${text}/${colour}`,
    draw(context, canvas, ratio, placed) {
      const at = onCanvas(placed);
      for (const [from, to] of lines) drawLine(context, ratio, at(from), at(to), colour);
      const right = lines[0].map(at).reduce((a, b) => (a[0] > b[0] ? a : b));
      drawText(context, canvas, ratio, text, right, colour);
    },
  };
}

const known = { of: null, parts: [] }; // those of a slice, which several panels show

// The diameters on this slice of each lesion that is there, bright where it is the one on which that is longest.
function diametersNow() {
  const found = lesionsIn(series()), frame = frameNow();
  if (!state.diameters || state.blink || !found?.isFresh) return [];
  const of = `${found.key}/${frame.slice}/${props.language}`;
  if (known.of === of) return known.parts;
  const unit = say(frame.spacing ? "unit_length" : "pixels"), parts = [];
  for (const [k, lesion] of found.lesions.entries()) {
    if (parts.length === MOST_DRAWN) break;
    const lines = diametersIn(lesion, frame.slice, frame);
    if (!lines) continue;
    const size = `${number(lines.longest, 1)} × ${number(lines.perpendicular, 1)} ${unit}`;
    const colour = lesion.slice === frame.slice ? LINES.longest : LINES.shorter;
    parts.push(diametersPart(lines, found.lesions.length > 1 ? `${k + 1}: ${size}` : size, colour));
  }
  Object.assign(known, { of, parts });
  return parts;
}

// What is drawn over a panel.
export function measuringParts(panel, plane) {
  const frame = frameNow();
  if (frame.pending) return [];
  const there = (line) => line.of === frame.case && line.plane === plane && line.at === placeOf(plane);
  const lines = [...linesNow(), ...(drawn ? [drawn] : [])].filter(there).map((line) => rulerPart(line, frame));
  return plane === "axial" && !BARE.includes(panel) ? [...diametersNow(), ...lines] : lines;
}
