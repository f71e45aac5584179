// Questions before something is lost, asked in the page.
import { hasUnsavedCorrections } from "./corrections.js";
import { create, label, root } from "./dom.js";
import { say } from "./words.js";

let dialogOpen = null; // the dialog on screen

// Which of some answers, keys of the catalogue, is given to a question; the last of them where it is closed, or another
// question comes. Each has a dialog of its own: `close` is heard later than it happens, and might be the one before's.
export function ask(question, answers) {
  dialogOpen?.close();
  const dialog = create("dialog", { className: "lgg-ask" }, create("p", {}, question), create("div", {}, ...answers.map((key) => {
    const button = create("button", { type: "button" }, say(key));
    button.dataset.answer = key;
    button.addEventListener("click", () => dialog.close(key));
    return button;
  })));
  label(dialog, question);
  dialogOpen = dialog;
  root.append(dialog);
  return new Promise((done) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue || answers.at(-1));
    }, { once: true });
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
