// What is drawn over a picture in the canvas' own pixels: the brush, the cross, the letters of the sides, the divider.
// Each is {id, draw}, where `id` changes with what is drawn.
import { heightOf } from "./corrections.js";
import { crossIn } from "./geometry.js";
import { REFERENCE, css } from "./paint.js";
import { frameNow, series, state } from "./state.js";
import { say } from "./words.js";

// Which way is right and left, where the file says it: radiological, the patient's right on the left.
const SIDES_OF = {
  axial: ["side_right", "side_left"], coronal: ["side_right", "side_left"], sagittal: ["side_front", "side_back"],
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
  const pair = SIDES_OF[plane].map((key) => say(key));
  const draw = (context, canvas, ratio) => {
    Object.assign(context, {
      font: letterFont(ratio), fillStyle: "white", strokeStyle: "black", lineWidth: 3 * ratio, textBaseline: "middle",
    });
    pair.forEach((text, k) => {
      context.textAlign = k ? "right" : "left";
      const x = k ? canvas.width - 5 * ratio : 5 * ratio;
      context.strokeText(text, x, canvas.height * 0.62); // below the middle, where the cross often is
      context.fillText(text, x, canvas.height * 0.62);
    });
  };
  return { id: `letters/${pair}`, draw };
}

export function swipeDivider() {
  const { swipe } = state;
  const draw = (context, canvas, ratio) => {
    context.fillStyle = "white";
    context.fillRect(swipe * canvas.width - ratio, 0, 2 * ratio, canvas.height);
  };
  return { id: `swipe/${swipe}`, draw };
}
