// The panel of the surface: the lesion, framed, with the head faint behind it. Made a moment after the last change, because
// it needs every mask of the series.
import { maskOf } from "./counts.js";
import { ratioNow, refresh } from "./dom.js";
import { clamp } from "./geometry.js";
import { letterFont } from "./overlays.js";
import { PREDICTION, REFERENCE, blackened, newSheet, paint } from "./paint.js";
import { cutoff, frameNow, layersNow, series, state, versionsOf } from "./state.js";
import { extentOf, placeOn, shade, surfaceOf } from "./surface.js";
import { spacingOf } from "./volume.js";
import { say } from "./words.js";

const DELAY = 120; // ms
const HEAD_COLOUR = [150, 165, 180], FAINT = 0.22;
const HEAD_SHARE = 0.16; // of the greys that were sent: what is brighter is head, for a contour good enough
const LESION_SHARE = 0.4; // of the panel, where that takes no more than CLOSEST times the zoom that shows the whole head
const CLOSEST = 2.2;
const SIDES = {
  side_right: [-1.12, 0, 0], side_left: [1.12, 0, 0], side_front: [0, -1.12, 0], side_back: [0, 1.12, 0],
  side_up: [0, 0, 1.12], side_down: [0, 0, -1.12],
};

const surface = { key: null, wanted: null, prediction: null, reference: null, timer: 0 };
const heads = { key: null, head: null };
const sheet = newSheet();
let depth = new Float32Array(0);

export function forgetSurface() {
  Object.assign(surface, { key: null, prediction: null, reference: null });
  Object.assign(heads, { key: null, head: null });
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
  const key = `${state.shown}/${own[0].case}`;
  if (heads.key !== key) Object.assign(heads, { key, head: made(own.map(({ image }) => image.flair.map(isHead))) });
  refresh();
}

const isHead = (grey) => (grey > HEAD_SHARE * 255 ? 1 : 0);

export function drawSurface(canvas) {
  const own = series();
  surface.wanted = `${state.shown}/${own[0].case}/${cutoff()}/${versionsOf(own)}`;
  if (surface.wanted !== surface.key) {
    clearTimeout(surface.timer);
    surface.timer = setTimeout(makeSurface, surface.key === null ? 0 : DELAY);
  }
  const spacing = spacingOf(own);
  const size = [own.length * spacing[0], own[0].height * spacing[1], own[0].width * spacing[2]];
  const context = blackened(canvas);
  const view = viewOf(canvas, size);
  if (heads.head) drawShaded(context, canvas, (to) => shade(heads.head, to, view, HEAD_COLOUR), FAINT);
  if (state.blink) return;
  const on = layersNow();
  const show = (one, colour, hatch) => {
    if (one) drawShaded(context, canvas, (to) => shade(one, to, view, colour, hatch));
  };
  if (on.prediction) show(surface.prediction, PREDICTION, 0);
  if (on.reference) show(surface.reference, REFERENCE, on.prediction && surface.prediction ? Math.round(12 * ratioNow()) : 0);
  if (frameNow().of.oriented) drawSides(context, canvas, size, view);
}

// The lesion in the middle, as large as the head allows; without one, the whole head.
function viewOf({ width, height }, size) {
  const room = Math.min(width, height), { pose } = state;
  const whole = room / Math.hypot(...size) / 1.02;
  const lesion = surface.prediction ?? surface.reference;
  if (!lesion) return { pose, scale: whole * pose.zoom, about: [0, 0, 0] };
  const { about, longest } = extentOf(lesion);
  return { pose, scale: clamp((LESION_SHARE * room) / longest, whole, CLOSEST * whole) * pose.zoom, about };
}

function drawShaded(context, { width, height }, fill, alpha = 1) {
  if (depth.length !== width * height) depth = new Float32Array(width * height);
  sheet.key = null;
  paint(sheet, "surface", width, height, (words) => {
    words.fill(0);
    fill({ words, depth, width, height });
  });
  context.globalAlpha = alpha;
  context.drawImage(sheet.canvas, 0, 0);
  context.globalAlpha = 1;
}

function drawSides(context, canvas, size, view) {
  Object.assign(context, { font: letterFont(ratioNow()), fillStyle: "white", textAlign: "center", textBaseline: "middle" });
  for (const [key, place] of Object.entries(SIDES)) {
    const [x, y] = placeOn(canvas, size, place, view), edge = 10 * ratioNow();
    context.fillText(say(key), clamp(x, edge, canvas.width - edge), clamp(y, edge, canvas.height - edge));
  }
}
