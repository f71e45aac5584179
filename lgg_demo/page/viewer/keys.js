// The keyboard.
import { blink, cycleChannel, cycleLayout, go, goOn, pan, reset, show, zoomAt } from "./actions.js";
import { COMMANDS } from "./commands.js";
import { moveWindow } from "./dials.js";
import { find, refresh, root } from "./dom.js";
import { alternate, leaveFlicker } from "./flicker.js";
import { crossIn } from "./geometry.js";
import { PLANES, frameNow, series, state } from "./state.js";
import { setThreshold } from "./threshold.js";
import { cursorNow, dropDrawn, moveCursor, useTool } from "./tool_keys.js";
import { redo, setBrush, setTool, undo } from "./tools.js";

const ARROWS = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] };
const PAGES = {
  PageDown: () => goOn(10), PageUp: () => goOn(-10), Home: () => go(0), End: () => go(state.frames.length - 1),
};
const KEYS = {
  1: COMMANDS.image, 2: COMMANDS.prediction, 3: COMMANDS.reference, 4: COMMANDS.agreement, 5: COMMANDS.uncertainty,
  "+": () => zoomAt(1.25), "=": () => zoomAt(1.25), "-": () => zoomAt(0.8), "−": () => zoomAt(0.8),
  ",": () => setThreshold(state.threshold - 0.01), ".": () => setThreshold(state.threshold + 0.01),
  "[": () => setBrush(state.brush - 2), "]": () => setBrush(state.brush + 2),
  k: () => alternate(), n: COMMANDS.next, p: COMMANDS.previous, v: cycleLayout, f: COMMANDS.fill, a: COMMANDS.auto, i: COMMANDS.invert, c: cycleChannel,
  o: COMMANDS.object, b: COMMANDS.brush, g: COMMANDS.smart, l: COMMANDS.lasso, e: COMMANDS.eraser, x: COMMANDS.removing,
  w: COMMANDS.between, m: COMMANDS.ruler, d: COMMANDS.diameters, q: nextPlane, z: undo, y: redo, s: COMMANDS.save, t: COMMANDS.copy, r: reset, "?": COMMANDS.help,
};

function arrow(event) {
  const [dx, dy] = ARROWS[event.key];
  if (event.ctrlKey || event.metaKey) return pan(-dx * 0.05, -dy * 0.05);
  if (state.tool) {
    const step = event.shiftKey ? 10 : 1;
    return moveCursor(dx * step, dy * step);
  }
  if (event.shiftKey) return moveWindow(dx * 8, dy * 8);
  goOn(dx + dy);
}

// A tool without a pointer goes on to the next plane, where the cross is.
function nextPlane() {
  if (!state.tool || state.layout !== "planes") return;
  const plane = PLANES[(PLANES.indexOf(cursorNow().plane) + 1) % PLANES.length];
  state.cursor = { plane, ...crossIn(plane, state.cross, frameNow().slice, series().length) };
  refresh();
}

// Space shows the image alone while it is held; Enter uses the tool where it is.
function onSpaceOrEnter({ key, shiftKey }) {
  if (key === " ") blink(true);
  else if (state.tool) useTool(shiftKey);
}

// Undo and redo as everywhere: Ctrl or Cmd with Z, with Shift and Z, with Y.
function onControl({ key, shiftKey }) {
  const act = { z: shiftKey ? redo : undo, y: redo }[key.toLowerCase()];
  act?.();
  return !!act;
}

function onKey(event) {
  const { target, key } = event;
  if (target.matches('input[type="text"], input[type="date"], select, textarea')) return;
  const withAlt = event.altKey && !"[]".includes(key); // Alt types [ on a Mac
  if (!state.frames.length || withAlt || find("dialog[open]")) return;
  if (key === " " || key === "Enter") {
    if (target.matches("input, button")) return;
    event.preventDefault();
    return onSpaceOrEnter(event);
  }
  if (key === "Escape" && state.drawn) return dropDrawn();
  if (key === "Escape" && state.tool) return setTool(state.tool);
  if (key === "Escape" && state.large) return show({ large: null });
  if (key === "Escape" && state.layout === "visits" && state.flicker) return leaveFlicker();
  if (key in ARROWS || key in PAGES) {
    if (target.matches("input")) return;
    event.preventDefault();
    return key in ARROWS ? arrow(event) : PAGES[key]();
  }
  // Of a French keyboard the row of digits gives & é " ' ( without shift: the key counts, not what stands on it.
  const act = KEYS[key.toLowerCase()] ?? KEYS[/^Digit([1-5])$/.exec(event.code)?.[1]];
  if (event.ctrlKey || event.metaKey) {
    if (onControl(event)) event.preventDefault();
    return;
  }
  if (!act) return;
  event.preventDefault();
  act();
}

export function listenToKeys() {
  element.addEventListener("keydown", onKey);
  element.addEventListener("keyup", (event) => {
    if (event.key === " ") blink(false);
  });
  root.addEventListener("blur", () => blink(false));
}
