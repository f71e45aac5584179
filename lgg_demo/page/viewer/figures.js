// In the right rail: the headline, the table of figures, the curve of Dice against the threshold, the strip of all slices, the notes.
import { curveOf, doubtOf, figuresOf, isUnsure, predictedOf } from "./counts.js";
import { canvasOf, create, find, note, ratioNow, setText } from "./dom.js";
import { drawCurve, drawStrip } from "./graphs.js";
import { surfacesIn } from "./measures.js";
import { PREDICTION, REFERENCE, css } from "./paint.js";
import { FIRST_THRESHOLD, cutoff, frameNow, isTuned, series, state, versionsOf } from "./state.js";
import { placesNow } from "./visits.js";
import { number, say } from "./words.js";

const COLOURS = {
  text: "#e6eaee", line: "#39434e", bar: css(PREDICTION), reference: css(REFERENCE), current: "rgb(255 255 255 / 0.28)",
};
// Name of a figure, its decimals, the keys of its label and of its unit.
const ROWS = [
  ["dice", 3, "dice"], ["iou", 3, "iou"], ["volume", 2, "predicted_volume", "unit_volume"],
  ["reference_volume", 2, "reference_volume", "unit_volume"], ["volume_difference", 2, "volume_difference", "unit_volume"],
  ["hd95", 1, "hd95", "unit_length"], ["surface_dice", 3, "surface_dice"], ["precision", 3, "precision"],
  ["recall", 3, "recall"], ["expected", 3, "expected"], ["area", 0, "area", "unit_area"], ["predicted", 0, "area", "pixels"],
  ["reference", 0, "reference_area", "pixels"], ["corrected", 0, "corrected_area", "pixels"],
];

let written = ""; // which rows and columns the table has
const cells = new Map();

// The rows that have a value in some column.
export const rowsOf = (columns) =>
  ROWS.filter(([name]) => columns.some(({ values }) => values[name] !== undefined)).map(([name, digits, key, unit]) => ({
    name, digits, label: unit ? `${say(key)} (${say(unit)})` : say(key),
  }));

// Hausdorff 95 and surface Dice of a whole case; MEASURING while they are on their way.
const MEASURING = "…";

function surfacesOfSome(frames) {
  if (frames.length < series().length || frames.some((f) => f.of !== frames[0].of)) return {};
  const found = surfacesIn(frames);
  if (found === undefined) return {};
  return found ? { hd95: found.hd95, surface_dice: found.surface_dice } : { hd95: MEASURING, surface_dice: MEASURING };
}

export function columnsNow() {
  const { frames } = state;
  const columns = [["slice", "this_slice", [frameNow()]]];
  // Two patients at once: each has a score of its own beside the one of all slices.
  if (frames.some((f) => f.case) && frames.some((f) => f.slice)) columns.push(["series", "this_series", series()]);
  if (frames.length > 1) columns.push(["all", "all_slices", frames]);
  return columns.map(([name, key, some]) => ({ name, key, values: { ...figuresOf(some, cutoff()), ...surfacesOfSome(some) } }));
}

function buildTable(rows, columns) {
  cells.clear();
  find("tbody").replaceChildren(...rows.map(({ name, label }) => create("tr", {},
    create("th", { scope: "row" }, label),
    ...columns.map((column) => {
      const cell = create("td");
      Object.assign(cell.dataset, { figure: name, of: column.name });
      cells.set(`${name}/${column.name}`, cell);
      return cell;
    }))));
  for (const head of element.querySelectorAll("[data-column]")) {
    const column = columns.find(({ name }) => name === head.dataset.column);
    head.hidden = !column;
    head.textContent = column ? say(column.key) : "";
  }
}

export function writeFigures() {
  writeStrip();
  if (frameNow().pending) return;
  const columns = columnsNow();
  const rows = rowsOf(columns);
  const form = [props.language, ...rows.map((r) => r.name), ...columns.map((c) => c.name)].join();
  if (form !== written) {
    written = form;
    buildTable(rows, columns);
  }
  for (const { name, digits } of rows)
    for (const column of columns) {
      const cell = cells.get(`${name}/${column.name}`);
      const value = column.values[name], isKnown = value !== MEASURING;
      cell.dataset.exact = isKnown ? value : undefined;
      cell.textContent = isKnown ? number(value, digits) : MEASURING;
    }
  writeHeadline(columns);
  note("caution", isTuned() ? say("caution") : "");
  const { corrected } = columns.at(-1).values;
  note("corrected", corrected === undefined ? "" : say("corrected_note", { pixels: number(corrected, 0) }));
  writeCurve();
}

// Dice as the largest figure where there is a ground truth; else how much was found, or that nothing was.
function writeHeadline(columns) {
  const { key, values } = columns.at(-1);
  const threshold = number(state.threshold, 2), moved = state.threshold !== FIRST_THRESHOLD;
  setText(find(".lgg-headline"), values.predicted ? "" : say("nothing_found", { threshold }));
  const box = find(".lgg-dice");
  box.hidden = values.dice === undefined;
  if (box.hidden) return;
  setText(box.querySelector("span"), say("dice"));
  setText(box.querySelector("output"), number(values.dice, 3));
  setText(box.querySelector("small"), moved ? say("of_at", { of: say(key), threshold }) : say(key));
}

const curve = { key: null, whole: null, own: null };

function writeCurve() {
  const { frames, place, shown, best, threshold } = state;
  const figure = find(".lgg-curve");
  const key = `${shown}/${place}/${versionsOf(frames)}`;
  if (curve.key !== key)
    Object.assign(curve, { key, whole: curveOf(frames), own: frames.length > 1 ? curveOf([frames[place]]) : null });
  figure.hidden = !curve.whole;
  if (!curve.whole) return;
  const marks = [{ threshold: FIRST_THRESHOLD, label: "", dashed: true }];
  if (best !== null) marks.push({ threshold: best, label: say("best_mark", { threshold: number(best, 2) }), dashed: true });
  marks.push({ threshold, label: "", strong: true });
  const style = { ...COLOURS, number: (v) => number(v, v % 1 ? 1 : 0) };
  drawCurve(canvasOf(figure), curve.whole, curve.own, marks, style, ratioNow());
}

// Which frames there is something to see in.
export const findings = () => state.frames.map((f) => predictedOf(f, cutoff()) > 0 || isUnsure(f));

function writeStrip() {
  const { frames, place } = state;
  if (frames.length < 2) return;
  const canvas = find(".lgg-strip");
  const slices = frames.map((f) => ({
    area: predictedOf(f, cutoff()), doubt: doubtOf(f), unsure: isUnsure(f), reference: f.reference && f.known, of: f.case,
  }));
  drawStrip(canvas, slices, placesNow(), COLOURS, ratioNow());
  const filled = slices.filter((s) => s.area).length, unsure = slices.filter((s) => s.unsure).length;
  const label = frames[place].pending ? say("slice") : say("strip", { filled, unsure, slices: slices.length });
  if (canvas.title === label) return;
  canvas.setAttribute("aria-label", label);
  canvas.title = label;
}
