// What is drawn over a picture in the canvas' own pixels: the brush, the cross, the letters of the sides, the divider.
// Each is {id, draw}, where `id` changes with what is drawn.
import { barLength, crossIn } from "./geometry.js";
import { REFERENCE, css } from "./paint.js";
import { planeNow } from "./planes.js";
import { frameNow, series, state } from "./state.js";
import { number, say } from "./words.js";

// Which way is right and left, where the file says it: radiological, the patient's right on the left.
// Left, right, top and bottom of each plane.
const SIDES_OF = {
  axial: ["side_right", "side_left", "side_front", "side_back"],
  coronal: ["side_right", "side_left", "side_up", "side_down"],
  sagittal: ["side_front", "side_back", "side_up", "side_down"],
};

const LETTER_BELOW = 400; // CSS pixels: the panel's own name may reach its middle, and the letter at the top goes under it
export const letterFont = (ratio) => `600 ${12 * ratio}px system-ui, sans-serif`;

// Where the tool is: as large as it marks, dashed where it removes; a small cross for one that marks no round.
export function toolRing(plane) {
  const { tool, cursor, brush } = state;
  const { wide, tall } = planeNow(plane), removes = tool === "eraser" || state.removing;
  const draw = (context, canvas, ratio, { scaleX, scaleY, left, top }) => {
    context.strokeStyle = removes ? css(REFERENCE) : "white";
    context.lineWidth = 1.5 * ratio;
    if (removes) context.setLineDash([4 * ratio, 3 * ratio]);
    context.beginPath();
    const x = left + cursor.x * scaleX, y = top + cursor.y * scaleY;
    if (isRound(tool)) {
      const radius = Math.max((brush * wide) / 2, 0.5);
      context.ellipse(x, y, radius * scaleX, (radius / tall) * scaleY, 0, 0, 2 * Math.PI);
    } else
      for (const [dx, dy] of [[7, 0], [0, 7]]) {
        context.moveTo(x - dx * ratio, y - dy * ratio);
        context.lineTo(x + dx * ratio, y + dy * ratio);
      }
    context.stroke();
  };
  return { id: `ring/${cursor.x}/${cursor.y}/${brush}/${tool}/${removes}`, draw };
}

const isRound = (tool) => ["brush", "smart", "eraser"].includes(tool);

// The line of a lasso or a cut so far; between its corners where it is set by keys, on to where the tool is.
export function drawnLine() {
  const { points } = state.drawn;
  const draw = (context, canvas, ratio, { scaleX, scaleY, left, top }) => {
    context.strokeStyle = "white";
    context.lineWidth = 1.5 * ratio;
    context.beginPath();
    const way = state.tool === "object" ? [points[0], state.cursor ?? points.at(-1)] : [...points, state.cursor ?? points[0]];
    for (const { x, y } of way) context.lineTo(left + x * scaleX, top + y * scaleY);
    context.stroke();
    context.setLineDash([4 * ratio, 3 * ratio]);
    if (state.tool === "lasso") {
      context.lineTo(left + points[0].x * scaleX, top + points[0].y * scaleY);
      context.stroke();
    }
  };
  return { id: `drawn/${points.length}/${state.cursor?.x}/${state.cursor?.y}`, draw };
}

export const crossOn = (plane) => crossIn(plane, state.cross, frameNow().slice, series().length);

export function crossLines(plane) {
  const { x, y } = crossOn(plane);
  const draw = (context, canvas, ratio, { scaleX, scaleY, left, top }) => {
    context.strokeStyle = "rgb(255 255 255 / 0.55)";
    context.lineWidth = ratio;
    context.beginPath();
    const sx = Math.round(left + x * scaleX) + 0.5, sy = Math.round(top + y * scaleY) + 0.5;
    context.moveTo(sx, 0);
    context.lineTo(sx, canvas.height);
    context.moveTo(0, sy);
    context.lineTo(canvas.width, sy);
    context.stroke();
  };
  return { id: `cross/${x}/${y}`, draw };
}

export function sideLetters(plane) {
  const letters = SIDES_OF[plane].map((key) => say(key));
  const draw = (context, { width, height }, ratio) => {
    const edge = 10 * ratio, top = width < LETTER_BELOW * ratio ? 26 * ratio : edge;
    // Left and right lie below the middle, where the cross often is.
    const places = [[edge, height * 0.62], [width - edge, height * 0.62], [width / 2, top], [width / 2, height - edge]];
    inWhite(context, ratio);
    letters.forEach((text, k) => outlinedText(context, text, ...places[k]));
  };
  return { id: `letters/${letters}`, draw };
}

export function inWhite(context, ratio) {
  Object.assign(context, {
    font: letterFont(ratio), fillStyle: "white", strokeStyle: "black", lineWidth: 3 * ratio, textAlign: "center",
    textBaseline: "middle",
  });
}

export function outlinedText(context, text, x, y) {
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

// A bar of a round length, at the lower edge beside the middle.
export function scaleBar(plane, { spacing: [, row, column] }) {
  const across = plane === "sagittal" ? row : column;
  const draw = (context, { width, height }, ratio, { scaleX }) => {
    const mm = barLength((width * 0.22 * across) / scaleX), long = (mm / across) * scaleX;
    const x = width / 2 + 22 * ratio, y = height - 9 * ratio;
    inWhite(context, ratio);
    for (const [colour, wide] of [["black", 4], ["white", 2]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: wide * ratio });
      context.beginPath();
      for (const end of [x, x + long]) {
        context.moveTo(end, y - 4 * ratio);
        context.lineTo(end, y);
      }
      context.moveTo(x, y);
      context.lineTo(x + long, y);
      context.stroke();
    }
    Object.assign(context, { strokeStyle: "black", lineWidth: 3 * ratio });
    outlinedText(context, say("scale_mm", { mm: number(mm, 0) }), x + long / 2, y - 12 * ratio);
  };
  return { id: `scale/${across}/${props.language}`, draw };
}

// The place in another panel that shows the same one.
export function pointedAt({ row, column }) {
  const draw = (context, canvas, ratio, { scaleX, scaleY, left, top }) => {
    const x = left + (column + 0.5) * scaleX, y = top + (row + 0.5) * scaleY;
    for (const [style, wide] of [["rgb(0 0 0 / 0.7)", 3], ["white", 1.2]]) {
      Object.assign(context, { strokeStyle: style, lineWidth: wide * ratio });
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 3 * dx * ratio, y + 3 * dy * ratio);
        context.lineTo(x + 9 * dx * ratio, y + 9 * dy * ratio);
      }
      context.stroke();
    }
  };
  return { id: `pointed/${row}/${column}`, draw };
}

export function swipeDivider() {
  const { swipe } = state;
  const draw = (context, canvas, ratio) => {
    context.fillStyle = "white";
    context.fillRect(swipe * canvas.width - ratio, 0, 2 * ratio, canvas.height);
  };
  return { id: `swipe/${swipe}`, draw };
}
