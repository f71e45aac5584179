// Drawing: every panel, and the figures under them. Only what has changed is drawn.
import { canvasOf, drawWith, figures, ratioNow, root } from "./dom.js";
import { writeCorners } from "./corners.js";
import { writeFigures } from "./figures.js";
import { writeGrowth } from "./growth_panel.js";
import { aspectOf, centredOn, panned, placing } from "./geometry.js";
import { layered, parts, sourceOf } from "./layers.js";
import { followMeasures } from "./measures.js";
import { measuringParts } from "./measuring.js";
import { crossLines, crossOn, drawnLine, pointedAt, scaleBar, sideLetters, swipeDivider, toolRing } from "./overlays.js";
import { compose } from "./paint.js";
import { CHANNELS, PLANES, channelOn, frameNow, layersNow, planeOn, series, state } from "./state.js";
import { drawSurface } from "./surface_panel.js";
import { visitPicture } from "./visit_pictures.js";
import { isForeign, isVisitPanel } from "./visits.js";
import { spacingOf } from "./volume.js";

const panels = new Map(); // canvas to what it shows: {key, placed}

export const placedOn = (canvas) => panels.get(canvas)?.placed;

export function size(canvas, width, height) {
  if (canvas.width === width && canvas.height === height) return;
  Object.assign(canvas, { width, height });
  if (panels.has(canvas)) panels.get(canvas).key = null; // empty now, but a hand on it still knows where it is
}

function swipeParts(source) {
  const on = layersNow();
  const part = (layers, from, to) => layers.map((p) => ({ ...p, clip: { from, to }, id: `${p.id}/${from}/${to}` }));
  const left = layered(source, { ...on, prediction: false, agreement: false, uncertainty: false });
  const right = layered(source, { ...on, reference: false, agreement: false });
  return [...part(left, 0, state.swipe), ...part(right, state.swipe, 1), swipeDivider()];
}

function panelParts(name, source) {
  if (PLANES.includes(name)) return [...layered(source), crossLines(name)];
  if (CHANNELS.includes(name)) return layered(source);
  if (name === "main") return state.layout === "swipe" ? swipeParts(source) : layered(source);
  if (name === "image" || state.blink || frameNow().pending) return parts.image(source);
  const dimmed = (name === "agreement" && state.fill) || name === "uncertainty"; // colour carries the message
  return [...parts.image(source, dimmed ? 0.55 : 1), ...parts[name](source)];
}

// Width to height of a plane of the series on screen, in true proportion: a voxel need not be as high as it is wide.
export function aspectNow(plane) {
  const frame = frameNow(), own = series();
  return aspectOf(plane, { width: frame.width, height: frame.height, slices: own.length }, frame.spacing ?? spacingOf(own));
}

function pictureIn(name, plane) {
  if (isVisitPanel(name)) return visitPicture(name);
  const source = sourceOf(plane, channelOn(name));
  return { source, all: panelParts(name, source) };
}

// What a hand measures, draws or points at in the slice on screen.
function handParts(name, plane) {
  const all = measuringParts(name, plane), { pointer } = state;
  if (isVisitPanel(name) && pointer?.frame === frameNow() && pointer.panel !== name) all.push(pointedAt(pointer));
  if (name === "later" || name === "change" || name === "flicker") return all;
  if (state.tool && state.cursor?.plane === plane) all.push(toolRing(plane));
  if (state.drawn?.plane === plane) all.push(drawnLine());
  return all;
}

function drawPanel(figure) {
  const name = figure.dataset.panel;
  const canvas = canvasOf(figure);
  if (name === "surface") return drawSurface(canvas);
  const plane = planeOn(name), { source, all } = pictureIn(name, plane);
  const frame = isForeign(name) ? source.frame : frameNow();
  if (frame === frameNow()) all.push(...handParts(name, plane));
  if (frame.of.oriented) all.push(sideLetters(plane));
  const { zoom } = state.view, aspect = frame === frameNow() ? aspectNow(plane) : aspectOf("axial", frame, frame.spacing ?? [1, 1, 1]);
  const { reach } = placing(canvas, source, 1, { x: 0.5, y: 0.5 }, aspect);
  const centre = state.layout === "planes" ? centredOn(crossOn(name), source, zoom, reach) : panned(state.view, 0, 0, reach);
  if (frame.spacing) all.push(scaleBar(plane, frame));
  const key = [canvas.width, canvas.height, zoom, centre.x, centre.y, ...all.map((p) => `${p.id}:${p.alpha}:${p.line}`)].join();
  if (panels.get(canvas)?.key === key) return;
  const placed = placing(canvas, source, zoom, centre, aspect);
  const ratio = ratioNow();
  compose(canvas, all.filter((p) => !p.draw), placed, zoom, ratio);
  const context = canvas.getContext("2d");
  for (const part of all.filter((p) => p.draw)) {
    context.save();
    part.draw(context, canvas, ratio, placed);
    context.restore();
  }
  panels.set(canvas, { key, placed });
}

export function draw() {
  if (!frameNow()) return;
  const started = performance.now();
  for (const figure of figures) if (!figure.hidden) drawPanel(figure);
  writeCorners();
  writeFigures();
  writeGrowth();
  followMeasures();
  root.dataset.milliseconds = (performance.now() - started).toFixed(2);
  root.dataset.draws = Number(root.dataset.draws ?? 0) + 1;
}
drawWith(draw);
