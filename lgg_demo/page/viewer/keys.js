// The keyboard.
import { beginStroke, blink, cycleChannel, cycleLayout, go, keep, pan, reset, setBrush, setTool, show, undo, zoomAt } from "./actions.js";
import { COMMANDS } from "./commands.js";
import { moveWindow } from "./dials.js";
import { find, refresh, root } from "./dom.js";
import { clamp } from "./geometry.js";
import { markPoint, stretchLine } from "./measuring.js";
import { frameNow, state } from "./state.js";
import { setThreshold } from "./threshold.js";

const ARROWS = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] };
const PAGES = {
  PageDown: () => go(state.place + 10), PageUp: () => go(state.place - 10), Home: () => go(0), End: () => go(state.frames.length - 1),
};
const KEYS = {
  1: COMMANDS.image, 2: COMMANDS.prediction, 3: COMMANDS.reference, 4: COMMANDS.agreement, 5: COMMANDS.uncertainty,
  "+": () => zoomAt(1.25), "=": () => zoomAt(1.25), "-": () => zoomAt(0.8), "−": () => zoomAt(0.8),
  ",": () => setThreshold(state.threshold - 0.01), ".": () => setThreshold(state.threshold + 0.01),
  "[": () => setBrush(state.brush - 2), "]": () => setBrush(state.brush + 2),
  n: COMMANDS.next, p: COMMANDS.previous, v: cycleLayout, f: COMMANDS.fill, a: COMMANDS.auto, i: COMMANDS.invert, c: cycleChannel,
  b: COMMANDS.brush, e: COMMANDS.eraser, m: COMMANDS.ruler, d: COMMANDS.diameters, z: undo, s: COMMANDS.save, t: COMMANDS.copy, r: reset, "?": COMMANDS.help,
};

function arrow(event) {
  const [dx, dy] = ARROWS[event.key];
  if (event.ctrlKey || event.metaKey) return pan(-dx * 0.05, -dy * 0.05);
  if (state.tool) return moveCursor(dx, dy, event.shiftKey ? 10 : 1);
  if (event.shiftKey) return moveWindow(dx * 8, dy * 8);
  go(state.place + dx + dy);
}

function moveCursor(dx, dy, step) {
  const { width, height } = frameNow();
  const { x, y } = state.cursor ?? { x: width / 2, y: height / 2 };
  state.cursor = { x: clamp(x + dx * step, 0.5, width - 0.5), y: clamp(y + dy * step, 0.5, height - 0.5) };
  if (state.tool === "ruler") stretchLine(state.cursor);
  refresh();
}

// Space shows the image alone while it is held; Enter is a dab of the brush.
function onSpaceOrEnter(key) {
  if (key === " ") blink(true);
  else if (state.tool === "ruler") markPoint(state.cursor);
  else if (state.tool && state.cursor) keep(beginStroke(state.cursor));
}

function onKey(event) {
  const { target, key } = event;
  if (target.matches('input[type="text"], select, textarea')) return;
  const withAlt = event.altKey && !"[]".includes(key); // Alt types [ on a Mac
  if (!state.frames.length || withAlt || find("dialog[open]")) return;
  if (key === " " || key === "Enter") {
    if (target.matches("input, button")) return;
    event.preventDefault();
    return onSpaceOrEnter(key);
  }
  if (key === "Escape" && state.tool) return setTool(state.tool);
  if (key === "Escape" && state.large) return show({ large: null });
  if (key in ARROWS || key in PAGES) {
    if (target.matches("input")) return;
    event.preventDefault();
    return key in ARROWS ? arrow(event) : PAGES[key]();
  }
  // Of a French keyboard the row of digits gives & é " ' ( without shift: the key counts, not what stands on it.
  const act = KEYS[key.toLowerCase()] ?? KEYS[/^Digit([1-5])$/.exec(event.code)?.[1]];
  if (!act || ((event.ctrlKey || event.metaKey) && key.toLowerCase() !== "z")) return;
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
