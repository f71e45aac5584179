// What a user can do, by key, button or pointer alike.
import { changed } from "./dials.js";
import { canvasOf, figures, refresh, root, tell } from "./dom.js";
import { placedOn } from "./drawing.js";
import { findings } from "./figures.js";
import { clamp, crossFrom, panned, windowOf, zoomed } from "./geometry.js";
import { render } from "./render.js";
import { frameNow, layersNow, resetView, series, setWindows, state } from "./state.js";
import { buttons, layouts } from "./toolbar.js";
import { reachNow } from "./visits.js";
import { say } from "./words.js";

// Set something that texts or buttons depend on.
export function show(changes) {
  Object.assign(state, changes);
  render();
}

const after = (names, name) => names[(names.indexOf(name) + 1) % names.length];
export const cycleLayout = () => show({ layout: after(layouts(), state.layout) });
export const cycleChannel = () => show({ channel: after(Object.keys(frameNow().image), state.channel) });

export function toggleLayer(name) {
  if (buttons.get(name).disabled) return;
  layersNow()[name] = !layersNow()[name];
  render();
}

export function reset() {
  resetView();
  render();
}

// One panel over the whole stage, or all of them again.
export const enlarge = (panel) => show({ large: state.large === panel ? null : panel });

export const invert = () => show({ invert: !state.invert });

// Windows of every sequence, made of those that were sent: from the darkest to the brightest of what is no outlier.
const PRESETS = {
  auto: (sent) => sent,
  contrast: ({ low, high }) => windowOf((high - low) / 2, (low + high) / 2),
  full: () => ({ low: 0, high: 255 }),
};

export function presetWindow(name) {
  setWindows(PRESETS[name]);
  changed();
}

export function blink(on) {
  if (state.blink === on) return;
  state.blink = on;
  refresh();
}

// Slices

export function go(to) {
  const { frames, cross } = state;
  if (!frames.length) return;
  state.place = clamp(to, 0, frames.length - 1);
  const { width, height, image } = frameNow();
  Object.assign(cross, { x: Math.min(cross.x, width - 1), y: Math.min(cross.y, height - 1) });
  if (!(state.channel in image)) state.channel = "flair";
  render();
}

// So many slices on; two visits side by side have no end at which one turns into the other.
export const goOn = (by) => go(clamp(state.place + by, ...reachNow()));

export function goFinding(step) {
  const { frames, place } = state, [first, last] = reachNow();
  if (frames[place].pending) return;
  const there = findings();
  for (let to = place + step; to >= first && to <= last; to += step) if (there[to]) return go(to);
  tell(say("no_finding"));
}

// Move the cross to a pixel of a plane: the place goes along.
export function moveCross(plane, at) {
  const { width, height, slice } = frameNow();
  const own = series();
  const { x, y, slice: to } = crossFrom(plane, at, state.cross, slice, { width, height, slices: own.length });
  show({ cross: { x, y }, place: state.frames.indexOf(own[to]) });
}

// The next or previous coronal or sagittal plane.
export function stepAcross(plane, step) {
  const { cross } = state, { width, height } = frameNow();
  if (plane === "coronal") cross.y = clamp(cross.y + step, 0, height - 1);
  else cross.x = clamp(cross.x + step, 0, width - 1);
  changed();
}

// The view

// How far a panel reaches beyond its picture; without one, the first on screen.
const reachOf = (canvas) => placedOn(canvas ?? canvasOf(figures.find((f) => !f.hidden)))?.reach;

export function zoomAt(factor, x = 0.5, y = 0.5, canvas = null) {
  state.view = zoomed(state.view, factor, x, y, reachOf(canvas));
  root.classList.toggle("lgg-zoomed", state.view.zoom > 1);
  refresh();
}

export function pan(dx, dy, canvas = null) {
  state.view = panned(state.view, dx, dy, reachOf(canvas));
  refresh();
}
