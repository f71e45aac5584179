// The lesions of every case in the left rail: a click goes to one, a tick takes it out of the result and back.
import { create, find, refresh, tell } from "./dom.js";
import { keepStep } from "./history.js";
import { casesNow, lesionsIn, lesionsNow, measuredWith } from "./measures.js";
import { bringBack, isOut, takeOut } from "./removal.js";
import { amountText, sizeText } from "./report_text.js";
import { cutoff, frameNow, state } from "./state.js";
import { writeTools } from "./toolbar.js";
import { number, say } from "./words.js";

const MOST_ROWS = 30; // of a case

const out = { shown: null, removals: [] }; // those of the result on screen that were taken out
let showPlace = null; // given by viewer.js: what shows a place imports this module
let listed = "";

// Those that are out now: undo may have brought one back, redo taken it out again.
function removalsIn(frames) {
  if (out.shown !== state.shown) Object.assign(out, { shown: state.shown, removals: [] });
  return out.removals.filter((removal) => removal.case === frames[0].case && isOut(removal));
}

// The rows of a case, the largest first: lesions of the result, numbered, and those that were taken out.
function rowsOfCase(frames) {
  const found = lesionsIn(frames);
  if (!found) return null;
  const inside = found.lesions.map((lesion, k) => ({ lesion, number: k + 1 }));
  const outside = removalsIn(frames).map((removal) => ({ lesion: removal.lesion, removal }));
  const rows = [...inside, ...outside].sort((a, b) => b.lesion.pixels - a.lesion.pixels);
  return { rows: rows.slice(0, MOST_ROWS), more: rows.length + found.found - found.lesions.length - MOST_ROWS };
}

const lesionName = ({ number: n }) => (n ? say("lesion_number", { number: n }) : say("lesion_out"));

function changeResult(step, text) {
  keepStep(state.history, step);
  writeTools();
  refresh();
  tell(text);
}

function toggle(frames, row) {
  if (row.removal) return changeResult(bringBack(row.removal), say("lesion_back"));
  const before = out.removals.filter(isOut);
  // The list is as it was measured last: the threshold may have moved since, and the lesion with it.
  const lesions = lesionsNow(frames), lesion = sameLesion(lesions, row.lesion);
  if (!lesion) return refresh();
  const { step, removal } = takeOut(frames, lesions, lesion, cutoff());
  // One that was back in the result and is out again with this one is this one.
  out.removals = [...out.removals.filter((other) => before.includes(other) || !isOut(other)), { ...removal, case: frames[0].case }];
  changeResult(step, say("lesion_gone", { lesion: lesionName(row) }));
}

// The lesion that one of an earlier threshold is now: the first that shares a pixel with it, or none.
const sameLesion = (lesions, { areas }) => {
  const runs = areas.flat();
  const meets = (a, b) => a.slice === b.slice && a.row === b.row && a.from <= b.to && b.from <= a.to;
  return lesions.find((lesion) => lesion.areas.flat().some((own) => runs.some((run) => meets(own, run))));
};

function goToLesion(frames, { slice, x, y }) {
  const { width, height } = frames[0], { view } = state;
  const centred = view.zoom > 1 ? { view: { ...view, x: (x + 0.5) / width, y: (y + 0.5) / height } } : {};
  showPlace({ place: state.frames.indexOf(frames[slice]), cross: { x, y }, ...centred });
}

function rowOf(frames, row) {
  const { lesion, removal } = row, name = lesionName(row);
  const key = [frames[0].case, lesion.slice, lesion.x, lesion.y].join("/");
  const tick = create("input", { type: "checkbox", checked: !removal, title: say("lesion_tick") });
  tick.setAttribute("aria-label", say("lesion_in", { lesion: name }));
  tick.dataset.lesion = `tick/${key}`;
  tick.addEventListener("change", () => toggle(frames, row));
  const place = frames.length > 1 ? say("lesion_slice", { slice: lesion.slice + 1 }) : "";
  const button = create("button", { type: "button", title: say("lesion_go") },
    create("b", {}, row.number ? number(row.number, 0) : "–"), create("span", {}, amountText(lesion)),
    create("span", { className: "lgg-size" }, sizeText(lesion)), create("span", {}, place));
  button.dataset.lesion = `go/${key}`;
  button.setAttribute("aria-label", [name, amountText(lesion), sizeText(lesion), place].filter(Boolean).join(", "));
  button.addEventListener("click", () => goToLesion(frames, lesion));
  return create("li", { className: removal ? "lgg-out" : "" }, tick, button);
}

function groupOf(frames, isOne) {
  const found = rowsOfCase(frames);
  const label = frames[0].label.replace(/ \[1\]$/, "");
  const head = isOne ? [] : [create("h3", { title: label }, label)];
  if (!found) return [...head, create("p", { className: "lgg-small" }, "…")];
  const inside = found.rows.some((row) => !row.removal);
  return [
    ...head,
    ...(inside ? [] : [create("p", { className: "lgg-none" }, say("nothing_found", { threshold: number(state.threshold, 2) }))]),
    ...(found.rows.length ? [create("ul", {}, ...found.rows.map((row) => rowOf(frames, row)))] : []),
    ...(found.more > 0 ? [create("p", { className: "lgg-small" }, say("lesions_more", { more: number(found.more, 0) }))] : []),
  ];
}

// Written anew once what has changed is measured; the focus stays on the same lesion.
export function writeLesions() {
  const place = find(".lgg-lesion-list"), frame = frameNow();
  if (!frame || frame.pending) {
    listed = "";
    return place.replaceChildren();
  }
  const cases = casesNow(), found = cases.map(lesionsIn);
  const form = `${state.shown}/${cases.length}/${props.language}/`;
  if (listed.startsWith(form) && found.some((one) => one && !one.isFresh)) return;
  const key = form + cases.map((frames, k) => `${found[k]?.key}/${removalsIn(frames).length}`).join();
  if (key === listed) return;
  listed = key;
  const focused = document.activeElement?.dataset?.lesion;
  place.replaceChildren(
    create("h2", {}, say("lesions")), ...cases.flatMap((frames) => groupOf(frames, cases.length === 1)),
  );
  if (focused) [...place.querySelectorAll("[data-lesion]")].find((one) => one.dataset.lesion === focused)?.focus({ preventScroll: true });
}

export function buildLesions(showing) {
  showPlace = showing;
  find(".lgg-lesions").append(create("div", { className: "lgg-lesion-list" }));
  measuredWith(writeLesions);
}
