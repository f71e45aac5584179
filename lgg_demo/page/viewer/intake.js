// How files come in: dropped on the page or chosen.
import { create, find, label, root, setText } from "./dom.js";
import { say } from "./words.js";

const PLACES = ["scan", "reference"];
const PATIENTS = ["patient_growing", "patient_two_lesions", "patient_healthy"]; // synthetic ones

export function buildIntake() {
  for (const place of PLACES) {
    const button = create("button", { type: "button" });
    button.dataset.take = place;
    button.addEventListener("click", () => document.querySelector(`#${place} input[type=file]`).click());
    find(".lgg-files").append(button);
  }
  find(".lgg-files").append(create("p", { className: "lgg-small" }));
  const patients = create("div", { className: "lgg-patients", role: "group" }, create("p", { className: "lgg-small" }));
  for (const patient of PATIENTS) {
    const button = create("button", { type: "button" });
    button.dataset.patient = patient;
    button.addEventListener("click", () => document.querySelector(`#${patient}`).click());
    patients.append(button);
  }
  find(".lgg-files").append(patients);
  root.addEventListener("lgg-messages", ({ detail }) => {
    find(".lgg-messages").innerHTML = detail ?? "";
  });
}

export function writeIntake() {
  for (const place of PLACES) setText(find(`[data-take="${place}"]`), say(place));
  setText(find(".lgg-files > p"), say("hint"));
  const patients = find(".lgg-patients");
  setText(patients.firstChild, say("examples"));
  label(patients, say("examples"));
  for (const patient of PATIENTS) setText(find(`[data-patient="${patient}"]`), say(patient));
}
