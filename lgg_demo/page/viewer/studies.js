// The list of what was loaded: each study with its series, and the role of each, to be corrected there.
import { create, find, label, setText } from "./dom.js";
import { paintGrey } from "./thumbnail.js";
import { frameNow, state } from "./state.js";
import { groupsOf, nameOf, visitRow, visitsNow } from "./visit_list.js";
import { number, say } from "./words.js";

const ROLES = ["flair", "pre", "post", "mask", ""];

export function buildStudies() {
  find(".lgg-studies").append(create("h2"), create("ol"));
}

const roleName = (role) => say(role ? `role_${role}` : "role_ignored");

// A reference that came later is in no list of the server's yet.
function seriesOf(study, own) {
  const known = study.series.some(({ role }) => role === "mask");
  const slices = own.filter((f) => f.reference).length;
  return known || !slices ? study.series : [...study.series, { name: "", says: "", slices, role: "mask", channel: null }];
}

function thumbnailOf(series, own) {
  const canvas = create("canvas", { width: 44, height: 44 });
  const middle = own[own.length >> 1];
  const image = series.role === "mask" ? middle.reference : middle.image[series.channel];
  if (image) paintGrey(canvas, image, middle, series.role === "mask" ? null : middle.of.sent[series.channel]);
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}

// What a series is called: what it says of itself, or its name.
function seriesName({ name, says, role }) {
  if (!name) return roleName(role);
  return says ? `${name} · ${says}` : name;
}

function roleOf(series, study, n) {
  if (!study.open || !series.name) return create("span", { className: "lgg-small" }, roleName(series.role));
  const select = create("select");
  for (const role of ROLES) select.append(create("option", { value: role, defaultSelected: role === series.role }, roleName(role)));
  label(select, say("role_of", { series: seriesName(series) }));
  Object.assign(select.dataset, { study: n, series: series.name });
  return select;
}

function entryOf(series, study, own, n) {
  const slices = say("slices_of", { slices: number(series.slices, 0) });
  const name = seriesName(series);
  return create("li", {}, thumbnailOf(series, own), create("span", { title: name, className: "lgg-series" }, name),
    create("div", { className: "lgg-role" }, create("span", { className: "lgg-small" }, slices), roleOf(series, study, n)));
}

let listedNow = ""; // what the list was made of: it stays as it is, with the focus in it, where nothing of that changes

function studyEntry(study, n) {
  const own = state.frames.filter((f) => f.case === n);
  const title = create("button", { type: "button", className: "lgg-study" }, nameOf(n));
  title.dataset.study = n;
  return create("li", {}, visitRow(n, title), create("ul", {}, ...seriesOf(study, own).map((s) => entryOf(s, study, own, n))));
}

export function writeStudies() {
  const place = find(".lgg-studies"), { studies, frames, shown } = state;
  place.hidden = !studies.length;
  setText(place.querySelector("h2"), say("studies"));
  const references = frames.map((f) => (f.reference ? 1 : 0)).join("");
  const now = JSON.stringify([props.language, shown, studies, references, visitsNow()]);
  if (now !== listedNow) {
    listedNow = now;
    const { study, series } = place.contains(document.activeElement) ? document.activeElement.dataset : {};
    place.querySelector("ol").replaceChildren(...groupsOf(studies, studyEntry));
    const same = [...place.querySelectorAll("[data-study]")].find((e) => e.dataset.study === study && e.dataset.series === series);
    same?.focus({ preventScroll: true });
  }
  for (const button of place.querySelectorAll(".lgg-study"))
    button.setAttribute("aria-current", String(Number(button.dataset.study) === frameNow()?.case));
}

// The list as it was sent, whatever a hand has turned of it.
export function resetRoles() {
  for (const select of find(".lgg-studies").querySelectorAll("select"))
    for (const option of select.options) option.selected = option.defaultSelected;
}
