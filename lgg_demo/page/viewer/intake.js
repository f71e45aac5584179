// How files come in: dropped anywhere on the page, chosen one by one or as a folder.
import { guardLeaving, mayGo } from "./asking.js";
import { create, find, label, root, setText, tell } from "./dom.js";
import { abandonRuns, buildRun, enter, writeRun } from "./run.js";
import { state } from "./state.js";
import { say } from "./words.js";
import { isHidden } from "./zip.js";

const PLACES = ["scan", "reference"];
const PATIENTS = ["patient_growing", "patient_two_lesions", "patient_healthy"]; // synthetic ones

// One of the ways in: a button over a file input, for files or for a folder.
function wayIn(place, folder) {
  const input = create("input", { type: "file", multiple: true, hidden: true, webkitdirectory: folder });
  input.dataset[folder ? "folder" : "choose"] = place;
  const button = create("button", { type: "button" });
  button.dataset[folder ? "takeFolder" : "take"] = place;
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    takeIn(place, [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
    input.value = ""; // the same files may be chosen again
  });
  return [button, input];
}

export function buildIntake(signal) {
  buildRun();
  for (const place of PLACES) {
    const box = create("div", { className: "lgg-way" }, create("p"), ...wayIn(place, false), ...wayIn(place, true));
    box.dataset.drop = place;
    box.setAttribute("role", "group");
    find(".lgg-files").append(box);
  }
  find(".lgg-files").append(create("p", { className: "lgg-small" }));
  const patients = create("div", { className: "lgg-patients", role: "group" }, create("p", { className: "lgg-small" }));
  for (const patient of PATIENTS) {
    const button = create("button", { type: "button" });
    button.dataset.patient = patient;
    button.addEventListener("click", () => openPatient(patient, button.textContent));
    patients.append(button);
  }
  find(".lgg-files").append(patients);
  root.append(create("div", { className: "lgg-drop", hidden: true }, ...PLACES.map(dropPlace)));
  listenToDrops(signal);
  guardLeaving(signal);
  root.addEventListener("lgg-messages", ({ detail }) => {
    find(".lgg-messages").innerHTML = detail ?? "";
  });
}

const openPatient = (patient, what) =>
  enter({ what, replaces: true, begin: () => document.querySelector(`#${patient}`).click() });

export async function clearAll() {
  if (!(await mayGo())) return;
  abandonRuns();
  trigger("clear");
}

function dropPlace(place) {
  const box = create("div", {}, create("p"));
  box.dataset.drop = place;
  return box;
}

function takeIn(place, found) {
  const files = found.filter(({ path }) => !isHidden(path));
  if (!files.length) return tell(say("nothing_dropped"));
  const what = files[0].path.includes("/") ? files[0].path.split("/")[0] : files[0].file.name;
  const begin = place === "scan" ? () => trigger("scan") : () => trigger("reference");
  return enter({ what, files, replaces: place === "scan", begin });
}

// Drops

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
const showDrop = (on) => {
  find(".lgg-drop").hidden = !on;
};

// Wherever files are dropped, the browser never leaves the page for them.
function listenToDrops(signal) {
  let inside = 0; // `dragleave` comes for each element that is left
  const on = (name, act) => window.addEventListener(name, (event) => hasFiles(event) && act(event), { signal });
  on("dragenter", () => showDrop(++inside > 0));
  on("dragleave", () => {
    inside = Math.max(0, inside - 1);
    if (!inside) showDrop(false);
  });
  on("dragover", (event) => {
    event.preventDefault();
    const over = event.target.closest?.("[data-drop]");
    for (const box of find(".lgg-drop").children) box.classList.toggle("lgg-over", box.dataset.drop === (over?.dataset.drop ?? "scan"));
  });
  on("drop", async (event) => {
    event.preventDefault();
    inside = 0;
    const place = event.target.closest?.("[data-drop]")?.dataset.drop ?? "scan";
    const found = dropped(event.dataTransfer); // asked at once: it is emptied after the event
    showDrop(false);
    try {
      await takeIn(place, await found);
    } catch {
      tell(say("files_unreadable"));
    }
  });
}

function dropped({ items, files }) {
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return Promise.resolve([...files].map((file) => ({ path: file.name, file })));
  return Promise.all(entries.map(filesOf)).then((all) => all.flat());
}

// The files of an entry, through all folders.
async function filesOf(entry) {
  const path = entry.fullPath.replace(/^\//, "");
  if (isHidden(path)) return [];
  if (entry.isFile) return [{ path, file: await new Promise((done, fail) => entry.file(done, fail)) }];
  const reader = entry.createReader(), found = [];
  for (;;) { // it gives a hundred at a time
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return found;
    for (const one of some) found.push(...await filesOf(one));
  }
}

export function writeIntake() {
  const open = state.frames.length > 0;
  find(".lgg-files").classList.toggle("lgg-open", open);
  for (const place of PLACES) {
    const box = find(`.lgg-files [data-drop="${place}"]`);
    label(box, say(place));
    setText(box.querySelector("p"), say(`drop_${place}`));
    const chosen = box.querySelector("[data-take]"), folder = box.querySelector("[data-take-folder]");
    setText(chosen, say(open ? `again_${place}` : `choose_${place}`));
    setText(folder, say("choose_folder"));
    label(folder, say(`folder_${place}`));
    for (const input of box.querySelectorAll("input")) label(input, say(place));
    setText(find(`.lgg-drop [data-drop="${place}"] p`), say(`drop_${place}`));
  }
  setText(find(".lgg-files > .lgg-small"), say("hint"));
  const patients = find(".lgg-patients");
  setText(patients.firstChild, say("examples"));
  label(patients, say("examples"));
  for (const patient of PATIENTS) setText(find(`[data-patient="${patient}"]`), say(patient));
  writeRun();
}
