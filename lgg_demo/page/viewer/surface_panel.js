// The panel of the surface: made a moment after the last change, because it needs every mask of the series.
import { maskOf } from "./counts.js";
import { ratioNow, refresh } from "./dom.js";
import { letterFont } from "./overlays.js";
import { PREDICTION, REFERENCE, blackened, newSheet, paint } from "./paint.js";
import { cutoff, frameNow, layersNow, series, state, versionsOf } from "./state.js";
import { boxOf, shade, surfaceOf } from "./surface.js";
import { spacingOf } from "./volume.js";
import { say } from "./words.js";

const DELAY = 120; // ms
const SIDES = {
  side_right: [-1.12, 0, 0], side_left: [1.12, 0, 0], side_front: [0, -1.12, 0], side_back: [0, 1.12, 0], side_up: [0, 0, 1.12],
};

const surface = { key: null, wanted: null, prediction: null, reference: null, timer: 0 };
const sheet = newSheet();
let depth = new Float32Array(0);

export function forgetSurface() {
  Object.assign(surface, { key: null, prediction: null, reference: null });
}

function makeSurface() {
  if (state.layout !== "planes" || !state.frames.length) return;
  const own = series();
  const { width, height } = own[0];
  const made = (masks) => surfaceOf(masks, width, height, spacingOf(own));
  surface.key = surface.wanted;
  surface.prediction = made(own.map((f) => maskOf(f, cutoff())));
  const known = own.map((f) => f.reference ?? new Uint8Array(width * height));
  surface.reference = own.some((f) => f.reference) ? made(known) : null;
  refresh();
}

export function drawSurface(canvas) {
  const own = series();
  surface.wanted = `${state.shown}/${own[0].case}/${cutoff()}/${versionsOf(own)}`;
  if (surface.wanted !== surface.key) {
    clearTimeout(surface.timer);
    surface.timer = setTimeout(makeSurface, surface.key === null ? 0 : DELAY);
  }
  const spacing = spacingOf(own);
  const size = [own.length * spacing[0], own[0].height * spacing[1], own[0].width * spacing[2]];
  const { width, height } = canvas;
  const { pose, blink } = state;
  const scale = (state.view.zoom * Math.min(width, height)) / Math.hypot(...size) / 1.02;
  const context = blackened(canvas);
  const box = boxOf(size, pose, scale, width, height);
  drawBox(context, box);
  if (blink) return;
  const on = layersNow();
  const show = (one, colour, hatch) => {
    if (one) drawShaded(context, canvas, (words) => shade(one, words, depth, width, height, pose, scale, colour, hatch));
  };
  if (on.prediction) show(surface.prediction, PREDICTION, 0);
  if (on.reference) show(surface.reference, REFERENCE, on.prediction && surface.prediction ? Math.round(12 * ratioNow()) : 0);
  if (frameNow().of.oriented) drawSides(context, box);
}

function drawBox(context, box) {
  context.strokeStyle = "rgb(255 255 255 / 0.3)";
  context.lineWidth = ratioNow();
  context.beginPath();
  for (const [from, to] of box.lines) {
    context.moveTo(...from);
    context.lineTo(...to);
  }
  context.stroke();
}

function drawShaded(context, { width, height }, fill) {
  if (depth.length !== width * height) depth = new Float32Array(width * height);
  sheet.key = null;
  paint(sheet, "surface", width, height, (words) => {
    words.fill(0);
    fill(words);
  });
  context.drawImage(sheet.canvas, 0, 0);
}

function drawSides(context, box) {
  Object.assign(context, { font: letterFont(ratioNow()), fillStyle: "white", textAlign: "center", textBaseline: "middle" });
  for (const [key, at] of Object.entries(SIDES)) context.fillText(say(key), ...box.at(at));
}
