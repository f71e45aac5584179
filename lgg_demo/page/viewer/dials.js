// The sliders: opacity, window and brush above the pictures; swipe, planes and pose under the pictures they turn.
import { create, find, label, refresh, setText } from "./dom.js";
import { windowOf } from "./geometry.js";
import { frameNow, state, windowNow } from "./state.js";
import { say } from "./words.js";

const DEGREE = Math.PI / 180;
const TOP = [
  ["opacity", "opacity", 0, 100], ["width", "window_width", 1, 510], ["level", "window_level", -128, 383],
  ["brush", "brush_size", 1, 60],
]; // name, key of its label, range

const windowSize = (channel = state.channel) => {
  const { low, high } = windowNow(channel);
  return { width: high - low, level: (high + low) / 2 };
};
const setWindow = (changed, channel = state.channel) => {
  const { width, level } = { ...windowSize(channel), ...changed };
  Object.assign(windowNow(channel), windowOf(width, level));
};

const DIALS = {
  opacity: { get: () => state.opacity * 100, set: (value) => { state.opacity = value / 100; } },
  width: { get: () => windowSize().width, set: (width) => setWindow({ width }) },
  level: { get: () => windowSize().level, set: (level) => setWindow({ level }) },
  brush: { get: () => state.brush, set: (value) => { state.brush = value; } },
  swipe: { get: () => state.swipe * 100, set: (value) => { state.swipe = value / 100; } },
  coronal: { get: () => state.cross.y, set: (value) => { state.cross.y = value; }, max: () => frameNow().height - 1 },
  sagittal: { get: () => state.cross.x, set: (value) => { state.cross.x = value; }, max: () => frameNow().width - 1 },
  turn: { get: () => state.pose.turn / DEGREE, set: (value) => { state.pose.turn = value * DEGREE; } },
  tilt: { get: () => state.pose.tilt / DEGREE, set: (value) => { state.pose.tilt = value * DEGREE; } },
};

export function buildDials() {
  for (const [name, , min, max] of TOP) {
    const input = create("input", { type: "range", min, max, step: 1 });
    input.dataset.dial = name;
    find(".lgg-dials").append(create("label", {}, create("span"), input));
  }
}

const dial = (name) => find(`[data-dial="${name}"]`);

export function writeDials() {
  for (const [name, key] of TOP) {
    const { parentElement } = dial(name);
    setText(parentElement.firstChild, say(key));
    parentElement.title = say(`tip_${key}`);
  }
  for (const input of element.querySelectorAll("figure [data-dial]")) label(input, say(`dial_${input.dataset.dial}`));
  for (const [name, { get, max }] of Object.entries(DIALS)) {
    if (max) dial(name).max = max();
    dial(name).value = Math.round(get());
  }
  dial("brush").disabled = !state.tool; // there all the same: the pictures must not move when a brush is taken
}

// A change that the sliders follow.
export function changed() {
  writeDials();
  refresh();
}

export function turnDial(name, value) {
  DIALS[name]?.set(value);
  changed();
}

// Right is wider, up is brighter: a lower level lets more reach white, as OHIF and Slicer have it.
export function moveWindow(dx, dy, channel = state.channel) {
  const { width, level } = windowSize(channel);
  setWindow({ width: width + dx, level: level + dy }, channel);
  changed();
}
