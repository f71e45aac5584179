// Whose each study is and when it was, in the list of studies: those of one patient together, in order of time, and each of
// these can be set right in place.
import { create, find, label } from "./dom.js";
import { iconOf } from "./icons.js";
import { state } from "./state.js";
import { visitTitle } from "./visits.js";
import { number, say } from "./words.js";

const FIELDS = ["patient", "visit", "date", "months"];
let editing = null; // the study whose fields are open
let send = null; // given by viewer.js: what starts a run imports studies.js, which imports this module

// Where a study is among the visits of a patient: {of, visit, number}; null where it is the only one.
function visitOf(n) {
  for (const of of state.followUp) {
    const place = of.visits.findIndex((visit) => visit.case === n);
    if (place >= 0) return { of, visit: of.visits[place], number: place };
  }
  return null;
}

// What is known of a study: patient, visit, date (YYYY-MM-DD) and months since the first visit; null what nobody has said.
export function saidOf(n) {
  const { patient, visit, date } = state.studies[n], known = visitOf(n);
  const day = known?.visit.date ?? date ?? (isDay(visit) ? visit : null);
  return {
    patient: known?.of.patient ?? patient ?? null, visit: known?.visit.visit ?? (visit === day ? null : visit ?? null),
    date: day, months: day === null ? known?.visit.months ?? null : null,
  };
}

// The same as it is told again when another study's is set right. Files of one name that nobody takes for one patient's do
// not become one by that.
function told(k, n) {
  const said = saidOf(k), alike = (other, j) => j !== k && j !== n && !visitOf(j) && saidOf(j).patient === said.patient;
  return !visitOf(k) && state.studies.some(alike) ? { ...said, patient: null } : said;
}

const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text ?? "");

// What a study is called in the list: below its patient the visit alone.
export function nameOf(n) {
  const known = visitOf(n);
  if (known) return visitTitle(known.visit, known.number);
  const { patient, visit } = state.studies[n], who = patient ?? say("study_number", { number: n + 1 });
  return visit ? say("study_visit", { patient: who, visit }) : who;
}

// What the list depends on, beside the studies.
export const visitsNow = () => [state.followUp, editing];

// The entries of a list of studies; visits of one patient below its name, in order of time.
export function groupsOf(studies, entryOf) {
  const done = new Set(), entries = [];
  studies.forEach((study, n) => {
    if (done.has(n)) return;
    const known = visitOf(n);
    if (!known) return entries.push(entryOf(study, n));
    const own = known.of.visits.map((visit) => visit.case).filter((k) => studies[k]);
    own.forEach((k) => done.add(k));
    entries.push(create("li", { className: "lgg-patient" }, create("h3", {}, known.of.patient),
      create("ol", {}, ...own.map((k) => entryOf(studies[k], k)))));
  });
  return entries;
}

// The first row of an entry: its title with a pencil, or the fields that this opens.
export function visitRow(n, title) {
  if (editing === n) return formOf(n);
  const pencil = create("button", { type: "button", className: "lgg-pencil", title: say("visit_edit") }, iconOf("edit"));
  label(pencil, say("line", { what: say("visit_edit"), values: nameOf(n) }));
  pencil.dataset.edit = n;
  return create("div", { className: "lgg-visit-row" }, title, pencil);
}

function formOf(n) {
  const said = saidOf(n), form = create("form", { className: "lgg-visit-form" });
  form.dataset.study = n;
  for (const name of FIELDS) {
    const input = create("input", { name, type: name === "date" ? "date" : "text", autocomplete: "off", maxLength: 64 });
    input.value = name === "months" && said.months !== null ? number(said.months, said.months % 1 ? 1 : 0) : said[name] ?? "";
    if (name === "months") input.inputMode = "decimal";
    form.append(create("label", {}, create("span", {}, say(`visit_${name}`)), input));
  }
  form.append(create("p", { className: "lgg-small" }, say("visit_hint")), create("div", {},
    create("button", { type: "submit", className: "lgg-primary" }, say("visit_save")),
    Object.assign(create("button", { type: "button" }, say("ask_cancel")), { onclick: () => openFields(null, n) })));
  return form;
}

let write = () => {};

// Open the fields of a study, or close them; the focus goes along.
function openFields(n, from = n) {
  editing = n;
  write();
  (find(".lgg-visit-form input") ?? find(`[data-edit="${from}"]`))?.focus({ preventScroll: true });
}

// Months from text, with a decimal point or comma; null where it is empty, undefined where it is none.
export function monthsFrom(text) {
  if (!text.trim()) return null;
  return /^\s*\d{1,4}([.,]\d+)?\s*$/.test(text) ? Number(text.replace(",", ".")) : undefined;
}

function submit(form) {
  const n = Number(form.dataset.study), { patient, visit, date, months } = form.elements, count = monthsFrom(months.value);
  months.setCustomValidity(count === undefined ? say("visit_no_months") : "");
  if (!form.reportValidity()) return;
  const text = (field) => field.value.trim() || null;
  const now = { case: n, patient: text(patient), visit: text(visit), date: date.value || null, months: date.value ? null : count };
  const all = state.studies.map((_, k) => (k === n ? now : { case: k, ...told(k, n) }));
  openFields(null, n);
  send(all, now);
}

// write: writes the list anew; send: has the server group the studies by what is said of them, {case, patient, visit, date, months}.
export function listenToVisits(writing, sending) {
  write = writing;
  send = sending;
  const place = find(".lgg-studies");
  place.addEventListener("click", ({ target }) => {
    const pencil = target.closest(".lgg-pencil");
    if (pencil) openFields(Number(pencil.dataset.edit));
  });
  place.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(event.target);
  });
  place.addEventListener("input", ({ target }) => target.name === "months" && target.setCustomValidity(""));
  place.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !event.target.closest(".lgg-visit-form")) return;
    event.stopPropagation();
    openFields(null, Number(event.target.closest("form").dataset.study));
  });
}
