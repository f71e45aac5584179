// Questions before something is lost, asked in the page.
import { hasUnsavedCorrections } from "./corrections.js";
import { create, find, label, root } from "./dom.js";
import { say } from "./words.js";

export function buildAsking() {
  root.append(create("dialog", { className: "lgg-ask" }, create("p"), create("div")));
}

// Which of some answers, keys of the catalogue, is given to a question; the last of them where it is closed.
export function ask(question, answers) {
  const dialog = find(".lgg-ask");
  if (dialog.open) dialog.close();
  label(dialog, question);
  dialog.querySelector("p").textContent = question;
  return new Promise((done) => {
    const buttons = answers.map((key) => {
      const button = create("button", { type: "button" }, say(key));
      button.dataset.answer = key;
      button.addEventListener("click", () => dialog.close(key));
      return button;
    });
    dialog.querySelector("div").replaceChildren(...buttons);
    dialog.returnValue = "";
    dialog.addEventListener("close", () => done(dialog.returnValue || answers.at(-1)), { once: true });
    dialog.showModal();
  });
}

// Whether what is shown may go: its corrections are in a download, or may be lost.
export async function mayGo() {
  return !hasUnsavedCorrections() || (await ask(say("ask_corrections"), ["ask_discard", "ask_keep"])) === "ask_discard";
}

// A reload or a closed tab is asked about by the browser, in its own words.
export function guardLeaving(signal) {
  window.addEventListener("beforeunload", (event) => {
    if (hasUnsavedCorrections()) event.preventDefault();
  }, { signal });
}
