// Visits of one patient: which there are, which two are compared, and where a slice of the one is in the other.
import { predictedOf, rounded } from "./counts.js";
import { clamp } from "./geometry.js";
import { composed, inverted, through } from "./reslice.js";
import { cutoff, frameNow, state } from "./state.js";
import { number, say } from "./words.js";

export const VISIT_PANELS = ["earlier", "later", "change", "flicker"];
export const isVisitPanel = (name) => VISIT_PANELS.includes(name);

export const framesOfCase = (of) => state.frames.filter((f) => f.case === of);

// The patient whose study is on screen, where there are several visits; null else.
export function patientNow() {
  const frame = frameNow();
  if (!frame || frame.pending) return null;
  return state.followUp.find(({ visits }) => visits.some((visit) => visit.case === frame.case)) ?? null;
}

export const monthsText = (months) => number(months, rounded(months, 1) % 1 ? 1 : 0);

// What a visit is called wherever it leaves the page: a number and the months since the first, never a name or a date.
export function visitNumbered({ months }, n) {
  const name = say("visit_number", { number: n + 1 });
  return n && months !== null ? say("visit_after", { visit: name, months: monthsText(months) }) : name;
}

// On the page, by its own name where it has one; with the months since the first.
export function visitName({ visit }, n) {
  return visit !== null && !/^\d+$/.test(visit) ? visit : say("visit_number", { number: visit ?? n + 1 });
}

export function visitTitle(visit, n) {
  const name = visitName(visit, n);
  return n && visit.months !== null ? say("visit_after", { visit: name, months: monthsText(visit.months) }) : name;
}

// The volume of a visit in mL, on its own grid; null where nobody knows the size of a voxel.
export function volumeOf(frames) {
  const { voxel_ml: one } = frames[0].of, reach = cutoff();
  return one ? frames.reduce((sum, f) => sum + predictedOf(f, reach), 0) * one : null;
}

// The two visits that are compared, each {visit, number, frames}: the first and the last, unless others were chosen.
export function comparedNow() {
  const of = patientNow(), last = of.visits.length - 1;
  const { earlier, later } = state.compared?.of === of ? state.compared : { earlier: 0, later: last };
  const one = (n) => ({ visit: of.visits[n], number: n, frames: framesOfCase(of.visits[n].case) });
  return { of, earlier: one(earlier), later: one(later), link: linkOf(of.visits[earlier], of.visits[later]) };
}

// Compare another visit; the other one gives way where it is the same, so that time always goes from left to right.
export function compare(which, n) {
  const { of, earlier, later } = comparedNow();
  const chosen = { of, earlier: earlier.number, later: later.number, [which]: n };
  const last = of.visits.length - 1;
  if (chosen.earlier >= chosen.later) {
    if (which === "earlier") Object.assign(chosen, { earlier: Math.min(n, last - 1), later: Math.min(n + 1, last) });
    else Object.assign(chosen, { earlier: Math.max(0, n - 1), later: Math.max(1, n) });
  }
  state.compared = chosen;
}

// From the voxels of the earlier to those of the later one; null where one of them is not registered.
const linkOf = (earlier, later) => (earlier.to && later.to ? composed(later.to, inverted(earlier.to)) : null);

// The slice of one stack that lies nearest to a slice of another: through a matrix, or as far up in it.
function nearestSlice(slice, from, to, m) {
  const { width, height } = from[0];
  const [at] = m ? through(m, slice, (height - 1) / 2, (width - 1) / 2) : [(slice / Math.max(1, from.length - 1)) * (to.length - 1)];
  return clamp(Math.round(at), 0, to.length - 1);
}

export function laterFrame() {
  const { earlier, later, link } = comparedNow();
  return later.frames[nearestSlice(frameNow().slice, earlier.frames, later.frames, link)];
}

// Side by side, the place is in the earlier visit; one in another visit becomes that which shows the same there.
export function settlePlace() {
  if (state.layout !== "visits") return;
  const { of, earlier } = comparedNow(), frame = frameNow();
  if (frame.case === earlier.visit.case) return;
  const link = linkOf(of.visits.find((visit) => visit.case === frame.case), earlier.visit);
  state.place = state.frames.indexOf(earlier.frames[nearestSlice(frame.slice, framesOfCase(frame.case), earlier.frames, link)]);
}

// The first and last place that steps from slice to slice may reach.
export function reachNow() {
  if (state.layout !== "visits") return [0, state.frames.length - 1];
  const { frames } = comparedNow().earlier;
  return [frames[0], frames.at(-1)].map((frame) => state.frames.indexOf(frame));
}

// Places in the strip: the one on screen and, side by side, the other visit's.
export const placesNow = () =>
  state.layout === "visits" ? [state.place, state.frames.indexOf(laterFrame())] : [state.place];

export function visitPanels() {
  if (state.flicker) return ["flicker"];
  return comparedNow().link ? ["earlier", "later", "change"] : ["earlier", "later"];
}

// Whether a panel shows another grid than the slice on screen: no place on it is a place there.
export const isForeign = (panel) => panel === "later" && comparedNow().link === null;
