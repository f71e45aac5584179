// What is drawn over a picture in the canvas' own pixels: the brush, the cross, the letters of the sides, the divider.
// Each is {id, draw}, where `id` changes with what is drawn.
import { heightOf } from "./corrections.js";
import { barLength, crossIn } from "./geometry.js";
import { REFERENCE, css } from "./paint.js";
import { frameNow, series, state } from "./state.js";
import { number, say } from "./words.js";

// Which way is right and left, where the file says it: radiological, the patient's right on the left.
// Left, right, top and bottom of each plane.
const SIDES_OF = {
  axial: ["side_right", "side_left", "side_front", "side_back"],
  coronal: ["side_right", "side_left", "side_up", "side_down"],
  sagittal: ["side_front", "side_back", "side_up", "side_down"],
};

export const letterFont = (ratio) => `600 ${12 * ratio}px system-ui, sans-serif`;

export function brushRing() {
  const { tool, cursor, brush } = state;
  const tall = heightOf(frameNow());
  const draw = (context, canvas, ratio, { scaleX, scaleY, left, top }) => {
    context.strokeStyle = tool === "brush" ? "white" : css(REFERENCE);
    context.lineWidth = 1.5 * ratio;
    if (tool === "eraser") context.setLineDash([4 * ratio, 3 * ratio]);
    context.beginPath();
    const radius = Math.max(brush / 2, 0.5);
    context.ellipse(
      left + cursor.x * scaleX, top + cursor.y * scaleY, radius * scaleX, (radius / tall) * scaleY, 0, 0, 2 * Math.PI,
    );
    context.stroke();
  };
  return { id: `ring/${cursor.x}/${cursor.y}/${brush}/${tool}`, draw };
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
    const edge = 10 * ratio;
    // Left and right lie below the middle, where the cross often is.
    const places = [[edge, height * 0.62], [width - edge, height * 0.62], [width / 2, edge], [width / 2, height - edge]];
    inWhite(context, ratio);
    letters.forEach((text, k) => outlinedText(context, text, ...places[k]));
  };
  return { id: `letters/${letters}`, draw };
}

function inWhite(context, ratio) {
  Object.assign(context, {
    font: letterFont(ratio), fillStyle: "white", strokeStyle: "black", lineWidth: 3 * ratio, textAlign: "center",
    textBaseline: "middle",
  });
}

function outlinedText(context, text, x, y) {
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

// A bar of a round length, at the lower edge beside the middle.
export function scaleBar(plane) {
  const [, row, column] = frameNow().spacing;
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

export function swipeDivider() {
  const { swipe } = state;
  const draw = (context, canvas, ratio) => {
    context.fillStyle = "white";
    context.fillRect(swipe * canvas.width - ratio, 0, 2 * ratio, canvas.height);
  };
  return { id: `swipe/${swipe}`, draw };
}
