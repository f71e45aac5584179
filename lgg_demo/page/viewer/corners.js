// The texts in the corners of each panel: which slice and where, window and zoom, and what is under the pointer.
import { QUANTA } from "./counts.js";
import { create, figures, setText } from "./dom.js";
import { channelOn, frameNow, imageOf, series, state, windowNow } from "./state.js";
import { laterSource, showsLater } from "./visit_pictures.js";
import { framesOfCase, isForeign, laterFrame } from "./visits.js";
import { number, say } from "./words.js";

const CORNER_TEXTS = ["place", "window", "cursor"];
const ACROSS = { coronal: "y", sagittal: "x" };

export function buildCorners() {
  for (const figure of figures)
    for (const corner of CORNER_TEXTS) {
      const text = create("span", { className: "lgg-corner" });
      text.dataset.corner = corner;
      figure.append(text);
    }
}

// Millimetres of a voxel (slice, row, column), right, front and up; null where the file does not say.
function millimetresOf({ of }, slice, row, column) {
  if (!of.affine || !of.oriented) return null;
  return of.affine.map(([s, r, c, shift]) => s * slice + r * row + c * column + shift);
}

function placeText(panel) {
  const frame = frameNow(), { cross } = state;
  if (panel === "change") return "";
  if (showsLater(panel)) {
    const { slice, case: of } = laterFrame();
    return `${isForeign(panel) ? "" : "≈ "}${slice + 1} / ${framesOfCase(of).length}`;
  }
  if (panel === "surface") return "";
  if (panel in ACROSS) {
    const most = panel === "coronal" ? frame.height : frame.width;
    return `${cross[ACROSS[panel]] + 1} / ${most}`;
  }
  const at = millimetresOf(frame, frame.slice, frame.height / 2, frame.width / 2);
  const lines = [`${frame.slice + 1} / ${series().length}`];
  if (at) lines.push(say("position_up", { mm: number(at[2], 1) }));
  return lines.join("\n");
}

// Window and level as the scan has them, not as the 8 bits that were sent of it.
function windowText(panel) {
  if (panel === "surface") return "";
  const channel = channelOn(panel), later = showsLater(panel) ? laterSource() : null;
  const { range } = (later?.frame ?? frameNow()).of;
  const { low, high } = later?.window ?? windowNow(channel), [least, most] = range[channel] ?? range.flair;
  const own = (grey) => least + (grey / 255) * (most - least);
  const digits = most - least < 20 ? 2 : 0;
  const figures = { width: number(own(high) - own(low), digits), level: number((own(high) + own(low)) / 2, digits) };
  return [say("window_text", figures), say("zoom_text", { percent: number(100 * state.view.zoom, 0) })].join("\n");
}

function cursorText(panel) {
  const { pointer } = state, frame = frameNow();
  if (!pointer || pointer.frame !== frame || isForeign(panel)) return "";
  const i = pointer.row * frame.width + pointer.column, channel = channelOn(panel);
  const { image, probability, frame: { of } } = showsLater(panel) ? laterSource() : { ...frame, image: imageOf(frame, channel), frame };
  const [least, most] = of.range[channel] ?? of.range.flair;
  const value = least + (image[i] / 255) * (most - least);
  const lines = [say("value_text", { value: number(value, most - least < 20 ? 2 : 0) })];
  if (!frame.pending) lines.push(say("probability_text", { probability: number(probability[i] / QUANTA, 2) }));
  const at = millimetresOf(frame, frame.slice, pointer.row, pointer.column);
  if (at) lines.push(at.map((mm) => number(mm, 0)).join("  "));
  return lines.join("\n");
}

const TEXTS = { place: placeText, window: windowText, cursor: cursorText };

export function writeCorners() {
  for (const figure of figures) {
    if (figure.hidden) continue;
    for (const text of figure.querySelectorAll(".lgg-corner")) setText(text, TEXTS[text.dataset.corner](figure.dataset.panel));
  }
}
