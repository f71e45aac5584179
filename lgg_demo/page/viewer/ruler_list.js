// The ruler's lines in the left rail, where each can be found again and deleted.
import { create, find, label, tell } from "./dom.js";
import { iconOf } from "./icons.js";
import { linesNow, removeLine, rulersWith, textOf } from "./measuring.js";
import { frameNow, state } from "./state.js";
import { say } from "./words.js";

let showLine = null; // given by viewer.js: what shows a place imports this module
let listedLines = "";

function removeFrom(id) {
  const place = linesNow().findIndex((line) => line.id === id);
  removeLine(id);
  tell(say("ruler_deleted"));
  const left = find(".lgg-rulers").querySelectorAll("[data-ruler]");
  (left[Math.min(place, left.length - 1)] ?? find('[data-do="ruler"]')).focus({ preventScroll: true });
}

function goToLine({ plane, of, at }) {
  const frames = state.frames.filter((f) => f.case === of);
  if (plane === "axial") return showLine({ place: state.frames.indexOf(frames[at]) });
  const cross = { ...state.cross, [plane === "coronal" ? "y" : "x"]: at };
  return showLine({ cross, layout: "planes", place: state.frames.indexOf(frames.includes(frameNow()) ? frameNow() : frames[0]) });
}

// The list of lines in the left rail.
export function writeRulers() {
  const place = find(".lgg-rulers"), lines = frameNow() && !frameNow().pending ? linesNow() : [];
  const key = `${state.shown}/${props.language}/${lines.map(({ id }) => id)}`;
  if (key === listedLines) return;
  listedLines = key;
  if (!lines.length) return place.replaceChildren();
  place.replaceChildren(create("h2", {}, say("rulers")), create("ul", {}, ...lines.map((line) => {
    const frame = state.frames.find((f) => f.case === line.of);
    const where = say("ruler_place", { plane: say(`panel_${line.plane}`), number: line.at + 1 });
    const text = textOf(line, frame);
    const go = create("button", { type: "button" }, create("b", {}, text), create("span", {}, where));
    go.addEventListener("click", () => goToLine(line));
    const drop = create("button", { type: "button", className: "lgg-delete", title: say("ruler_delete") }, iconOf("remove"));
    label(drop, `${say("ruler_delete")}: ${text}, ${where}`);
    drop.dataset.ruler = line.id;
    drop.addEventListener("click", () => removeFrom(line.id));
    return create("li", {}, go, drop);
  })));
}

export function buildRulers(showing) {
  showLine = showing;
  find(".lgg-lesions").append(create("div", { className: "lgg-rulers" }));
  rulersWith(writeRulers);
}
