// Mouse, pen and fingers on the pictures, the strip and the curve. `state.gesture` is what goes on: its kind, its canvas,
// the id of its pointer.
import { enlarge, go, goOn, moveCross, pan, stepAcross, zoomAt } from "./actions.js";
import { changed, moveWindow } from "./dials.js";
import { canvasOf, refresh, root, tell } from "./dom.js";
import { placedOn } from "./drawing.js";
import { clamp, crossFrom, curveThreshold, pixelOf, shareOf, wrappedAngle } from "./geometry.js";
import { beginLine, endLine, stretchLine } from "./measuring.js";
import { mustWait } from "./run.js";
import { channelOn, frameNow, planeOn, series, state } from "./state.js";
import { setThreshold } from "./threshold.js";
import { beginStroke, cancel, endsStroke, keep, mark } from "./tools.js";
import { isForeign } from "./visits.js";
import { say } from "./words.js";

const NO_TOOLS = ["reference", "surface", "later", "change", "flicker"]; // panels that no tool corrects
const WHEEL_NOTCH = 50;
const WHEEL_PAUSE = 80; // ms
const DIVIDER = 20; // CSS pixels around it take hold of it
const RADIANS = 0.01; // a CSS pixel turns the surface by

const pointers = new Map(); // those that are down, by id: where they were last

const pointOf = ({ clientX, clientY }) => ({ x: clientX, y: clientY });
const shareAt = (canvas, event) => shareOf(canvas.getBoundingClientRect(), event);
const figureAt = (target) => target.closest?.(".lgg-panels canvas")?.parentElement ?? null;

// The pixel under a pointer; null where nothing is drawn yet.
function pixelAt(canvas, event) {
  const placed = placedOn(canvas);
  return placed ? pixelOf(shareAt(canvas, event), canvas, placed) : null;
}

// What a pointer that comes down on a panel begins.
function begin(event, figure) {
  const canvas = canvasOf(figure);
  const { panel } = figure.dataset;
  if (event.button === 2) return { kind: "window", channel: channelOn(panel) };
  if (event.button === 1) return { kind: panel === "surface" ? "turn" : "pan" };
  if (event.button !== 0) return null;
  if (panel === "surface") return { kind: "turn" };
  const at = pixelAt(canvas, event);
  if (!at) return null;
  if (state.tool) return beginTool(event, panel, at);
  if (state.layout === "planes") return { kind: "cross", panel };
  const apart = Math.abs(shareAt(canvas, event).x - state.swipe) * canvas.clientWidth;
  if (state.layout === "swipe" && apart < DIVIDER) return { kind: "swipe" };
  return state.view.zoom > 1 ? { kind: "pan" } : null;
}

function beginTool(event, panel, at) {
  if (state.tool === "ruler" && !isForeign(panel)) return beginLine(planeOn(panel), at) && { kind: "ruler" };
  if (NO_TOOLS.includes(panel)) {
    tell(say(panel === "reference" ? "not_here" : "not_here_visit"));
    return null;
  }
  if (mustWait()) return null;
  const plane = planeOn(panel);
  state.cursor = { plane, ...at };
  return { kind: "stroke", stroke: beginStroke(at, plane, event.altKey, channelOn(panel)), at, down: pointOf(event) };
}

const FOLLOW = {
  window: ({ channel }, event, dx, dy) => moveWindow(dx, dy, channel),
  pan: ({ canvas }, event, dx, dy) => pan(dx / canvas.clientWidth, dy / canvas.clientHeight, canvas),
  turn(gesture, event, dx, dy) {
    const { turn, tilt } = state.pose;
    state.pose = { ...state.pose, turn: wrappedAngle(turn + dx * RADIANS), tilt: clamp(tilt + dy * RADIANS, -Math.PI / 2, Math.PI / 2) };
    changed();
  },
  ruler: ({ canvas }, event) => stretchLine(pixelAt(canvas, event)),
  cross: ({ canvas, panel }, event) => moveCross(panel, pixelAt(canvas, event)),
  swipe({ canvas }, event) {
    state.swipe = clamp(shareAt(canvas, event).x, 0, 1);
    changed();
  },
  stroke(gesture, event) {
    const to = pixelAt(gesture.canvas, event), { stroke, down } = gesture;
    if (stroke.tool === "object" && down && Math.hypot(event.clientX - down.x, event.clientY - down.y) < SIDEWAYS) return; // a click
    delete gesture.down;
    mark(stroke, gesture.at, to);
    gesture.at = to;
    state.cursor = { plane: stroke.plane.name, ...to };
  },
  strip: ({ canvas }, event) => go(Math.floor(shareAt(canvas, event).x * state.frames.length)),
  curve({ canvas }, event) {
    setThreshold(curveThreshold(event.clientX - canvas.getBoundingClientRect().left, canvas.clientWidth));
  },
};
const follow = (event, dx, dy) => FOLLOW[state.gesture.kind](state.gesture, event, dx, dy);

// A finger that comes down may be about to scroll the page. What would jump there at once (the cross, the slice, the
// threshold) waits until it is lifted where it came down, or goes sideways; scrolling cancels it.
const WAITING = ["cross", "strip", "curve"];
const SIDEWAYS = 8; // CSS pixels

function start(event) {
  if (event.pointerType === "touch" && WAITING.includes(state.gesture.kind)) state.gesture.from = pointOf(event);
  else follow(event, 0, 0);
}

function waits(event) {
  const { from, canvas } = state.gesture;
  if (!from) return false;
  const dx = Math.abs(event.clientX - from.x), dy = Math.abs(event.clientY - from.y);
  // Where a finger scrolls nothing (a zoomed picture), it may go anywhere.
  const free = getComputedStyle(canvas).touchAction === "none";
  if (free ? Math.max(dx, dy) < SIDEWAYS : dx < Math.max(SIDEWAYS, dy)) return true;
  delete state.gesture.from;
  return false;
}

function onDown(event) {
  const graph = event.target.closest?.(".lgg-strip, .lgg-curve canvas");
  if (graph) {
    if (event.button !== 0) return;
    state.gesture = { kind: graph.matches(".lgg-strip") ? "strip" : "curve", canvas: graph, id: event.pointerId };
    graph.setPointerCapture(event.pointerId);
    return start(event);
  }
  const figure = figureAt(event.target);
  if (!figure || !state.frames.length) return;
  root.focus({ preventScroll: true });
  const canvas = canvasOf(figure);
  pointers.set(event.pointerId, pointOf(event));
  canvas.setPointerCapture(event.pointerId); // or a button let go outside would count as a finger for ever
  if (pointers.size >= 2) {
    // A second finger: what the first has painted in the meantime was no stroke.
    if (state.gesture?.kind === "stroke") cancel(state.gesture.stroke);
    if (state.gesture?.kind === "ruler") endLine(false);
    state.gesture = { kind: "pinch", canvas };
    return;
  }
  state.gesture = begin(event, figure);
  if (!state.gesture) return;
  Object.assign(state.gesture, { canvas, id: event.pointerId });
  if (event.button === 1 || state.gesture.kind === "cross") event.preventDefault();
  start(event);
}

function onMove(event) {
  const figure = figureAt(event.target);
  if (state.tool && figure && event.pointerType !== "touch" && !state.gesture) {
    const { panel } = figure.dataset, at = NO_TOOLS.includes(panel) ? null : pixelAt(canvasOf(figure), event);
    state.cursor = at && { plane: planeOn(panel), ...at };
    refresh();
  }
  point(figure, event);
  const last = pointers.get(event.pointerId);
  const { gesture } = state;
  if (gesture?.kind === "pinch" && last) return pinch(event, last);
  if (gesture?.id !== event.pointerId || waits(event)) return;
  follow(event, last ? event.clientX - last.x : 0, last ? event.clientY - last.y : 0);
  pointers.set(event.pointerId, pointOf(event));
}

function voxelAt(plane, at) {
  const { width, height, slice } = frameNow(), own = series();
  const axial = plane === "axial";
  if (at.x < 0 || at.y < 0 || at.x >= (plane === "sagittal" ? height : width) || at.y >= (axial ? height : own.length)) return null;
  const { x, y, slice: to } = crossFrom(plane, at, state.cross, slice, { width, height, slices: own.length });
  return { frame: own[to], row: y, column: x };
}

// The voxel under a mouse or pen, whose value and place are written in the corner.
function point(figure, event) {
  if (!state.frames.length || event.pointerType === "touch") return;
  const canvas = figure && canvasOf(figure), panel = figure?.dataset.panel;
  const at = canvas && panel !== "surface" && !isForeign(panel) ? pixelAt(canvas, event) : null;
  state.pointer = at ? voxelAt(planeOn(panel), at) : null;
  if (state.pointer) state.pointer.panel = panel;
  refresh();
}

function pinch(event, last) {
  const [, other] = [...pointers].find(([id]) => id !== event.pointerId);
  const box = state.gesture.canvas.getBoundingClientRect();
  const now = pointOf(event);
  const before = Math.hypot(last.x - other.x, last.y - other.y), after = Math.hypot(now.x - other.x, now.y - other.y);
  const middle = shareOf(box, { clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 });
  const { canvas } = state.gesture;
  if (before > 0) zoomAt(after / before, middle.x, middle.y, canvas);
  pan((now.x - last.x) / 2 / box.width, (now.y - last.y) / 2 / box.height, canvas);
  pointers.set(event.pointerId, now);
}

// A busy browser may end a finger's scrolling without having cancelled it.
const isTap = (event, { from }) => from && Math.hypot(event.clientX - from.x, event.clientY - from.y) < SIDEWAYS;

function onEnd(event) {
  pointers.delete(event.pointerId);
  const { gesture } = state;
  const own = gesture?.id === event.pointerId;
  if (own && gesture.kind === "ruler") endLine(event.type === "pointerup");
  if (own && gesture.kind === "stroke") {
    // What is done when it is let go is not done where the browser has taken the finger away.
    if (event.type === "pointerup" || !endsStroke(gesture.stroke)) keep(gesture.stroke);
    else cancel(gesture.stroke);
  }
  if (own && event.type === "pointerup" && isTap(event, gesture)) follow(event, 0, 0);
  if (own || pointers.size < 2) state.gesture = null;
}

// A notch of a mouse is one slice; the stream of small steps from a trackpad is slowed down to something to look at.
let wheeled = 0, stepped = 0;

// The surface has a zoom of its own: it shows one lesion where the planes show the head.
function zoomSurface(factor) {
  state.pose.zoom = clamp(state.pose.zoom * factor, 0.4, 8);
  refresh();
}

function onWheel(event) {
  const figure = figureAt(event.target);
  if (!figure || !state.frames.length) return;
  const by = (event.deltaY || event.deltaX) * (event.deltaMode ? 33 : 1); // with shift some systems turn it sideways
  if (event.ctrlKey || event.shiftKey) {
    event.preventDefault();
    if (figure.dataset.panel === "surface") return zoomSurface(Math.exp(-clamp(by, -100, 100) * 0.004));
    const { x, y } = shareAt(canvasOf(figure), event);
    return zoomAt(Math.exp(-clamp(by, -100, 100) * 0.004), x, y, canvasOf(figure));
  }
  const { panel } = figure.dataset;
  if (state.frames.length < 2 || panel === "surface") return;
  event.preventDefault();
  wheeled += by;
  if (Math.abs(wheeled) < WHEEL_NOTCH && event.timeStamp - stepped < WHEEL_PAUSE) return;
  const step = Math.sign(wheeled);
  if (panel === "coronal" || panel === "sagittal") stepAcross(panel, step);
  else goOn(step);
  wheeled = 0;
  stepped = event.timeStamp;
}

export function listenToPointers() {
  element.addEventListener("pointerdown", onDown);
  element.addEventListener("pointermove", onMove);
  element.addEventListener("pointerup", onEnd);
  element.addEventListener("pointercancel", onEnd);
  element.addEventListener("pointerout", (event) => {
    if (!state.cursor || state.gesture || !figureAt(event.target)) return;
    state.cursor = null;
    refresh();
  });
  element.addEventListener("contextmenu", (event) => {
    if (figureAt(event.target)) event.preventDefault(); // the right button is for the window
  });
  element.addEventListener("dblclick", (event) => {
    const figure = figureAt(event.target);
    if (figure && !state.tool) enlarge(figure.dataset.panel);
  });
  element.addEventListener("wheel", onWheel, { passive: false });
}
