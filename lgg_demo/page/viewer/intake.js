// How files come in: dropped on the page or chosen.
import { create, find, root, setText } from "./dom.js";
import { say } from "./words.js";

const PLACES = ["scan", "reference"];
const EXAMPLES = ["phantom_single", "phantom_series", "phantom_healthy"];

export function buildIntake() {
  for (const place of PLACES) {
    const button = create("button", { type: "button" });
    button.dataset.take = place;
    button.addEventListener("click", () => document.querySelector(`#${place} input[type=file]`).click());
    find(".lgg-files").append(button);
  }
  find(".lgg-files").append(create("p", { className: "lgg-small" }));
  for (const example of EXAMPLES) {
    const button = create("button", { type: "button" });
    button.dataset.example = example;
    button.addEventListener("click", () => document.querySelector(`#${example}`).click());
    find(".lgg-files").append(button);
  }
  root.addEventListener("lgg-messages", ({ detail }) => {
    find(".lgg-messages").innerHTML = detail ?? "";
  });
}

export function writeIntake() {
  for (const place of PLACES) setText(find(`[data-take="${place}"]`), say(place));
  setText(find(".lgg-files p"), say("hint"));
  for (const example of EXAMPLES) setText(find(`[data-example="${example}"]`), props.strings[props.language][example] ?? example);
}
