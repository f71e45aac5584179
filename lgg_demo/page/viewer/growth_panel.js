// In the right rail: is it growing? Volume of each visit, its change with an interval, velocity, category, chart and table by lesion.
import { create, find, label } from "./dom.js";
import { categoryOf, volumeChange, isMeasurable, NORMAL_95, lineThrough, meanDiameter, spreadOf } from "./growth.js";
import { growthChart } from "./growth_chart.js";
import { changeText, criterionText, intervalText, percentText, signed } from "./growth_text.js";
import { matchedNow } from "./measures.js";
import { cutoff, state, versionsOf } from "./state.js";
import { comparedNow, framesOfCase, monthsText, patientNow, visitName, visitNumbered, visitTitle, volumeOf } from "./visits.js";
import { number, say } from "./words.js";

const MOST_COLUMNS = 3, MOST_LESIONS_SHOWN = 8;

// All figures of the patient on screen: {of, visits (each with months, volume, number, frames), from and to (two of these),
// change, line and category (of all until the later one), isNew (whether that has a new lesion), matched (null until it is found, undefined where nothing can be matched)}; null where volumes are unknown.
export function growthNow(matchedOf = matchedNow) {
  const { of, earlier, later } = comparedNow();
  const visits = of.visits.map((visit, n) => {
    const frames = framesOfCase(visit.case);
    return { ...visit, number: n, frames, volume: volumeOf(frames) };
  });
  if (visits.some(({ volume }) => volume === null)) return null;
  const [from, to] = [visits[earlier.number], visits[later.number]], matched = matchedOf(of);
  const until = visits.slice(0, to.number + 1);
  const isNew = !!matched?.lesions.some((lesion) => lesion.isNew && lesion.parts[to.number].some(isMeasurable));
  return {
    of, visits, from, to, matched, line: lineThrough(until),
    change: volumeChange(from.volume, to.volume, state.repeatability),
    category: matched === null ? null : categoryOf(until.map(({ volume }) => volume), isNew), isNew,
  };
}

function headline({ from, to, change }) {
  const small = say("growth_between", { from: visitTitle(from, from.number), to: visitTitle(to, to.number) });
  const main = change.measurable === false ? say("growth_none") : changeText(change);
  const box = create("p", { className: "lgg-change" }, create("strong", {}, main), create("small", {}, small));
  Object.assign(box.dataset, { growth: "change", exact: change.ml, percent: change.percent ?? "", measurable: String(change.measurable) });
  const said = change.measurable === false ? `${changeText(change)}, ${intervalText(change, true)}` : intervalText(change, true);
  return [box, create("p", { className: "lgg-small", title: say("interval_tip") }, said)];
}

// The category with its criterion, and that it is no assessment.
function rano({ category, matched, isNew }) {
  const text = matched === null ? "…" : category === null ? "–" : say(`rano_${category}`);
  const box = create("p", { className: "lgg-rano" }, say("growth_category"), " ", create("strong", {}, text));
  if (category) box.append(create("small", {}, criterionText({ category, isNew })));
  box.append(create("small", {}, say("growth_no_assessment")));
  Object.assign(box.dataset, { growth: "category", exact: category ?? "" });
  return box;
}

function growthCharts({ visits, to, line }) {
  const dated = visits.every(({ months }) => months !== null), x = (visit) => (dated ? visit.months : visit.number);
  const reach = (volume) => {
    const spread = spreadOf(volume, state.repeatability);
    return spread === null ? [null, null] : [Math.max(0, volume - NORMAL_95 * spread), volume + NORMAL_95 * spread];
  };
  const points = (of) => visits.map((visit) => {
    const [low, high] = reach(visit.volume);
    return { x: x(visit), y: of(visit.volume), low: low === null ? null : of(low), high: high === null ? null : of(high) };
  });
  const first = visits[0], last = visits.at(-1);
  const ends = dated && line
    ? [first, to].map(({ months }) => ({ x: months, y: Math.max(0, line.at + (line.slope * months) / 12) })) : null;
  const unit = (visit) => say("chart_months", { months: monthsText(visit.months) });
  const marks = visits.map((visit) => ({
    x: x(visit), text: !dated ? `${visit.number + 1}` : visit === last ? unit(visit) : monthsText(visit.months),
  }));
  const said = visits.map((visit) => `${visitNumbered(visit, visit.number)}: ${number(visit.volume, 1)} ${say("unit_volume")}`).join("; ");
  const charts = [
    { title: say("chart_volume"), points: points((v) => v), ends: null, marks, text: number },
    { title: say("chart_diameter"), points: points(meanDiameter), ends, marks, text: number },
  ];
  return growthChart(charts, say("chart_label", { values: said }));
}

// What became of a lesion from one visit to another; one beyond the first scan may have been there.
function fateOf(before, after, isNew, atFirst) {
  if (!before && !after) return "";
  if (!before && isNew) return say("lesion_new");
  if (!before) return atFirst ? "–" : say("lesion_outside");
  if (!after) return say("lesion_disappeared");
  return percentText((100 * (after - before)) / before);
}

function row(key, name, values, last) {
  const cells = values.map((value) => create("td", {}, value));
  const made = create("tr", {}, create("th", { scope: "row" }, name), ...cells, create("td", {}, last));
  made.dataset.growth = key;
  return made;
}

function growthTable({ visits, from, to, matched, change, line }) {
  const shown = visits.length > MOST_COLUMNS ? [from, to] : visits;
  const name = (visit) => visitName(visit, visit.number);
  const head = create("tr", {}, create("td"), ...shown.map((visit) => create("th", { scope: "col", title: name(visit) }, name(visit))),
    create("th", { scope: "col" }, say("growth_change")));
  const one = (value) => number(value, value < 1 && value > 0 ? 2 : 1);
  const mm = shown.map(({ volume }) => meanDiameter(volume)), difference = meanDiameter(to.volume) - meanDiameter(from.volume);
  const found = matched?.lesions ?? [], isWhole = found.length === 1 && found[0].parts.every((part) => part.length);
  const lesions = (isWhole ? [] : found.slice(0, MOST_LESIONS_SHOWN)).map(({ volumes, isNew }, k) => row(
    "lesion", say("lesion_volume", { number: k + 1 }),
    shown.map(({ number: n }) => (volumes[n] ? one(volumes[n]) : "–")), fateOf(volumes[from.number], volumes[to.number], isNew, volumes[0] > 0),
  ));
  const body = [
    row("volume", say("growth_volume"), shown.map(({ volume }) => one(volume)), change.percent === null ? signed(change.ml, 1) : percentText(change.percent)),
    row("diameter", say("growth_diameter"), mm.map((value) => number(value, 1)), signed(difference, 1)),
    row("velocity", say("growth_velocity"), shown.map(() => ""), line ? signed(line.slope, 1) : "–"),
    ...(matched === null ? [row("lesion", say("growth_lesions"), shown.map(() => "…"), "…")] : lesions),
  ];
  const made = create("table", { className: "lgg-figures" }, create("thead", {}, head), create("tbody", {}, ...body));
  Object.assign(made.querySelector('[data-growth="velocity"]'), { title: say("growth_velocity_tip") }).dataset.exact = line?.slope ?? "";
  return made;
}

// What is to be known of the figures: whether visits could be matched, what the server warns of, that it is no assessment.
function notes({ of, matched, visits }) {
  const said = [...of.warnings];
  if (matched === undefined && !said.length) said.push(say("lesions_unmatched"));
  if (visits.some(({ months }) => months === null)) said.push(say("months_unknown"));
  return [
    ...said.map((text) => create("p", { className: "lgg-small lgg-caution" }, text)),
  ];
}

let growthWritten = "";

const keyNow = (of) => JSON.stringify([
  state.shown, props.language, state.layout === "visits", of, state.compared, cutoff(), versionsOf(state.frames),
  matchedNow(of)?.key ?? matchedNow(of) === null, state.repeatability,
]);

// In another layout a line that leads to this one.
function shortOf({ from, to, change }) {
  const text = change.measurable === false ? say("growth_none") : changeText(change);
  const button = create("button", { type: "button", className: "lgg-short" }, create("span", {}, say("growth")), create("b", {}, text),
    create("small", {}, say("growth_between", { from: visitTitle(from, from.number), to: visitTitle(to, to.number) })));
  button.dataset.do = "visits";
  return [button];
}

export function writeGrowth() {
  const place = find(".lgg-growth"), of = patientNow(), isOpen = state.layout === "visits";
  place.hidden = !of;
  label(place, say("growth"));
  if (isOpen) place.tabIndex = 0; // keys scroll what has no room
  else place.removeAttribute("tabindex");
  find(".lgg-result").classList.toggle("lgg-grows", isOpen);
  if (!of) {
    growthWritten = "";
    return;
  }
  const key = keyNow(of);
  if (key === growthWritten) return;
  growthWritten = key;
  const now = growthNow();
  if (!now) return place.replaceChildren(create("p", { className: "lgg-small" }, say("growth_no_volumes")));
  if (!isOpen) return place.replaceChildren(...shortOf(now));
  place.replaceChildren(...headline(now), growthCharts(now), growthTable(now), rano(now), ...notes(now));
}
