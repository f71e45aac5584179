// The tools without a pointer: moved by arrows, used by a key.
import { refresh } from "./dom.js";
import { clamp } from "./geometry.js";
import { markPoint, stretchLine } from "./measuring.js";
import { planeNow } from "./planes.js";
import { mustWait } from "./run.js";
import { state } from "./state.js";
import { beginStroke, endsStroke, keep } from "./tools.js";

// Where a tool is in its plane; the cross, or the middle of the picture, before it was moved.
export function cursorNow() {
  if (state.cursor && (state.cursor.plane === "axial" || state.layout === "planes")) return state.cursor;
  const { width, height } = planeNow("axial"), { x, y } = state.cross;
  return { plane: "axial", ...(state.layout === "planes" ? { x: x + 0.5, y: y + 0.5 } : { x: width / 2, y: height / 2 }) };
}

export function moveCursor(dx, dy) {
  const { x, y, plane } = cursorNow(), { width, height } = planeNow(plane);
  state.cursor = { plane, x: clamp(x + dx, 0.5, width - 0.5), y: clamp(y + dy, 0.5, height - 0.5) };
  if (state.tool === "ruler") stretchLine(state.cursor);
  refresh();
}

export function dropDrawn() {
  state.drawn = null;
  refresh();
}

// Use the tool where it is. Outlines and cuts are set point by point: the lasso's corners, and with `ends` its last one, or
// one after the other both ends of a cut.
export function useTool(ends) {
  const { plane, ...at } = cursorNow(), { tool, drawn } = state;
  if (tool === "ruler") return markPoint(plane, at);
  if (mustWait()) return;
  const points = drawn?.plane === plane ? [...drawn.points, at] : [at];
  const isPoint = tool === "lasso" ? !ends : tool === "object" && ends && points.length < 2;
  if (isPoint) {
    state.drawn = { plane, points };
    return refresh();
  }
  const stroke = beginStroke(at, plane);
  if (endsStroke(stroke) && (ends || tool === "lasso")) stroke.points = points;
  keep(stroke);
}
