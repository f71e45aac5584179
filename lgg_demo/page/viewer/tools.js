// The tools that correct the outline, by key, button or pointer alike. A stroke is what one does from being pressed to being
// let go: its tool and plane, whether it removes, what it has drawn, and the step that undoes it.
import { go } from "./actions.js";
import { filledBetween, fitEdits } from "./between.js";
import { covered, markPixels } from "./corrections.js";
import { ADDED, REMOVED, inMask, tally } from "./counts.js";
import { changed } from "./dials.js";
import { refresh, tell } from "./dom.js";
import { newEdge, smoothIn, stops, withinEdge } from "./edges.js";
import { clamp } from "./geometry.js";
import { dropStep, editsIn, keepStep, newStep, redoStep, undoStep } from "./history.js";
import { grownFrom } from "./growing.js";
import { crossed, enclosed } from "./lasso.js";
import { cutThrough, objectAt, sizeOf } from "./objects.js";
import { endLine } from "./measuring.js";
import { planeNow } from "./planes.js";
import { render } from "./render.js";
import { mustWait } from "./run.js";
import { cutoff, frameNow, imageOf, series, state } from "./state.js";
import { writeTools } from "./toolbar.js";
import { number, say } from "./words.js";

export const setTool = (name) => {
  if (!frameNow().pending && mustWait()) return;
  const tool = state.tool === name || !frameNow() || frameNow().pending ? null : name;
  endLine(false);
  Object.assign(state, { tool, cursor: tool && state.cursor, drawn: null });
  tell(tool ? say(`use_${tool}`) : "");
  render();
};

export function setBrush(to) {
  state.brush = clamp(to, 1, 60);
  changed();
}

export function toggleRemoving() {
  state.removing = !state.removing;
  writeTools();
  refresh();
}

// Planes

// What a stroke works in must still be on screen: the wheel or a key may have gone on.
function whereNow(name) {
  const { cross, place } = state;
  return name === "axial" ? place : `${frameNow().case}/${name === "coronal" ? cross.y : cross.x}`;
}

const voxelUnder = ({ frameAt, indexAt, width, height }, { x, y }) => {
  const column = clamp(Math.floor(x), 0, width - 1), row = clamp(Math.floor(y), 0, height - 1);
  return { frame: frameAt(row), i: indexAt(column, row) };
};

// Strokes

const markOn = ({ step, plane, removes }, pixels) => markPixels(step, plane, pixels, removes ? REMOVED : ADDED);
const draw2d = (stroke, from, to) => markOn(stroke, covered(stroke.plane, from, to, state.brush));

function drawOn(stroke, from, to) {
  stroke.points.push(to);
  state.drawn = { plane: stroke.plane.name, points: stroke.points };
}

const MOVES = {
  brush: draw2d,
  eraser: draw2d,
  smart(stroke, from, to) {
    const { plane, grey, edge } = stroke;
    for (const at of stops(from, to, plane, (state.brush * plane.wide) / 2))
      markOn(stroke, withinEdge(covered(plane, at, at, state.brush), at, grey, edge));
  },
  lasso: drawOn,
  object: drawOn,
};

const ENDS = {
  lasso: (stroke) => markOn(stroke, enclosed(stroke.points, stroke.plane)),
  object(stroke) {
    const { points } = stroke;
    if (points.length > 1) return cut(stroke, points[0], points.at(-1));
    const { frame, i } = voxelUnder(stroke.plane, points[0]);
    const s = series().indexOf(frame);
    return inMask(frame, i, cutoff()) ? takeAway(stroke, s, i) : add3d(stroke, s, i);
  },
};

// Whether a stroke does what it does only when it is let go.
export const endsStroke = ({ tool }) => tool in ENDS;

// Begin a stroke at a pixel of a plane that shows a sequence.
export function beginStroke(at, name = "axial", removes = false, channel = state.channel) {
  const plane = planeNow(name), { tool } = state;
  const stroke = {
    tool, plane, where: whereNow(name), points: [at], removes: removes || state.removing || tool === "eraser",
    step: newStep(name === "axial" && tool !== "object"),
  };
  if (tool === "smart") {
    stroke.grey = smoothIn(plane, (x, y) => imageOf(plane.frameAt(y), channel)[plane.indexAt(x, y)]);
    stroke.edge = newEdge(stroke.grey(...[at.x, at.y].map((v, k) => clamp(Math.floor(v), 0, (k ? plane.height : plane.width) - 1))));
  }
  if (!endsStroke(stroke)) mark(stroke, at, at);
  return stroke;
}

// Go on from one point of the plane to the next.
export function mark(stroke, from, to) {
  if (stroke.where !== whereNow(stroke.plane.name)) return;
  MOVES[stroke.tool](stroke, from, to);
  refresh();
}

export function keep(stroke) {
  state.drawn = null;
  if (stroke.where === whereNow(stroke.plane.name)) ENDS[stroke.tool]?.(stroke);
  keepStep(state.history, stroke.step);
  writeTools();
  refresh();
}

export function cancel({ step }) {
  state.drawn = null;
  dropStep(step);
  refresh();
}

// Whole objects

function markObject({ step }, object, mark) {
  const own = series();
  for (const [s, pixels] of object) {
    const edits = editsIn(step, own[s]);
    for (const i of pixels) edits[i] = mark;
    tally(own[s]);
  }
}

function sizeSaid(object) {
  const size = sizeOf(object), { voxel_ml } = frameNow().of;
  const amount = voxel_ml ? `${number(size * voxel_ml, 2)} ${say("unit_volume")}` : `${number(size, 0)} ${say("pixels")}`;
  return { size: amount, slices: number(object.size, 0) };
}

function takeAway(stroke, s, i) {
  const object = objectAt(series(), s, i, cutoff());
  markObject(stroke, object, REMOVED);
  tell(say("object_removed", sizeSaid(object)));
}

function add3d(stroke, s, i) {
  const { object, alone, floods } = grownFrom(series(), s, i, cutoff());
  if (!object) return tell(say(floods ? "object_floods" : "object_nothing"));
  markObject(stroke, object, ADDED);
  tell(say(alone ? "object_by_grey" : "object_added", sizeSaid(object)));
}

function cut(stroke, from, to) {
  const { plane } = stroke;
  const done = cutThrough(series(), plane, crossed(from, to, plane), cutoff());
  if (!done) return tell(say("object_uncut"));
  markObject(stroke, done.gone, REMOVED);
  tell(say("object_cut", { parts: number(done.parts, 0) }));
}

export function fillBetween() {
  const step = newStep();
  for (const [frame, mask] of filledBetween(series(), cutoff(), planeNow("axial").tall)) {
    fitEdits(editsIn(step, frame), frame, mask, cutoff());
    tally(frame);
  }
  const filled = keepStep(state.history, step);
  tell(filled ? say("between_filled", { slices: number(state.history.done.at(-1).changed.length, 0) }) : say("between_nothing"));
  render();
}

// Undo and redo

function goTo(frames) {
  if (!frames) return;
  const isSeen = frames.includes(frameNow()) || (state.layout === "planes" && frames[0].of === frameNow().of);
  if (isSeen) render();
  else go(state.frames.indexOf(frames[0]));
}

export const undo = () => goTo(undoStep(state.history));
export const redo = () => goTo(redoStep(state.history));
