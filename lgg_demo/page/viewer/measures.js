// Lesions and distances between surfaces of what is on screen, measured in the background: a moment after the last change,
// in steps that are short enough for the pictures to be drawn between them.
import { surfacesOf } from "./distances.js";
import { refresh } from "./dom.js";
import { lesionsOf, whole } from "./lesions.js";
import { matchedLesions } from "./matching.js";
import { cutoff, frameNow, state, versionsOf } from "./state.js";
import { framesOfCase, patientNow } from "./visits.js";

const PAUSE = 120; // ms after the last change
const WORK = 6; // ms of work between two chances to draw

const results = new Map(); // by what is measured: {key, value}
let wanted = "";
let timer = 0;
let whenMeasured = () => {};

export function measuredWith(act) {
  whenMeasured = act;
}

// The frames of each case.
export function casesNow() {
  const cases = new Map();
  for (const frame of state.frames) {
    if (cases.has(frame.of)) cases.get(frame.of).push(frame);
    else cases.set(frame.of, [frame]);
  }
  return [...cases.values()];
}

const keyOf = (frames) => `${state.shown}/${frames[0].case}/${cutoff()}/${versionsOf(frames)}`;

// Whether the report compares surfaces: a series in millimetres, every slice of which has a reference.
const isCompared = (frames) => !!frames[0].spacing && frames.every((f) => f.reference !== null);

function tasksNow() {
  const now = frameNow().case;
  const cases = casesNow().sort((a, b) => (b[0].case === now) - (a[0].case === now)); // what is looked at comes first
  const all = cases.flatMap((frames) => {
    const of = frames[0].case, key = keyOf(frames), reach = cutoff();
    const lesions = { name: `lesions/${of}`, key, make: () => lesionsOf(frames, reach) };
    const surfaces = { name: `surfaces/${of}`, key, make: () => surfacesOf(frames, reach, frames[0].spacing) };
    return of === now && isCompared(frames) ? [lesions, surfaces] : [lesions];
  });
  const patient = patientNow();
  return patient && isMatched(patient) ? [...all, matchingTask(patient)] : all; // last: it needs all their lesions
}

// Whether the lesions of a patient's visits can be told to be one: all visits are registered.
const isMatched = ({ visits }) => visits.every(({ to }) => to) && !!framesOfCase(visits[0].case)[0].spacing;

const matchingKey = (patient) => patient.visits.map((visit) => `${keyOf(framesOfCase(visit.case))}/${visit.to}`).join();

function matchingTask(patient) {
  return { name: "matching", key: matchingKey(patient), make: () => matching(patient, (frames) => lesionsIn(frames).lesions) };
}

function* matching(patient, lesionsFor) {
  const visits = patient.visits.map(({ case: of, to }) => ({ frames: framesOfCase(of), to, lesions: lesionsFor(framesOfCase(of)) }));
  return { patient, lesions: yield* matchedLesions(visits) };
}

// The lesions of all visits of a patient as they were matched last; null before the first time, undefined where nothing can be.
export function matchedNow(patient) {
  if (!isMatched(patient)) return undefined;
  const result = results.get("matching");
  return result?.value.patient === patient ? { lesions: result.value.lesions, key: result.key } : null;
}

// The same for who cannot wait.
export function matchedAtOnce(patient) {
  const known = matchedNow(patient);
  if (known === undefined || known?.key === matchingKey(patient)) return known;
  return whole(matching(patient, (frames) => measuredNow(frames).found.lesions));
}

// Measure anew where something has changed; called whenever the pictures are drawn.
export function followMeasures() {
  if (frameNow().pending) return;
  const tasks = tasksNow();
  const all = tasks.map(({ name, key }) => `${name}:${key}`).join();
  if (all === wanted) return;
  const isFirst = !wanted.includes(`:${state.shown}/`);
  wanted = all;
  if (isFirst) results.clear(); // another study's
  clearTimeout(timer);
  timer = setTimeout(() => work(tasks.filter(({ name, key }) => results.get(name)?.key !== key)), isFirst ? 0 : PAUSE);
}

function work([task, ...rest]) {
  if (!task || !element.isConnected) return;
  const steps = task.make();
  const goOn = () => {
    const until = performance.now() + WORK;
    let step;
    do step = steps.next();
    while (!step.done && performance.now() < until);
    if (!step.done) {
      timer = setTimeout(goOn);
      return;
    }
    results.set(task.name, { key: task.key, value: step.value });
    whenMeasured();
    refresh();
    timer = setTimeout(() => work(rest));
  };
  goOn();
}

function resultOf(name, frames) {
  const result = results.get(name);
  return result ? { ...result.value, key: result.key, isFresh: result.key === keyOf(frames) } : null;
}

// The lesions of a case as they were measured last, see `lesionsOf`, and whether they still are so; null before the first.
export const lesionsIn = (frames) => resultOf(`lesions/${frames[0].case}`, frames);

// Those at this very moment, for who cannot wait: measured on the spot where something has just changed.
const foundNow = (frames) => {
  const lesions = lesionsIn(frames);
  return lesions?.isFresh ? lesions : whole(lesionsOf(frames, cutoff()));
};
export const lesionsNow = (frames) => foundNow(frames).lesions;

// Lesions and surfaces of a case at once.
export function measuredNow(frames) {
  const surfaces = surfacesIn(frames);
  return {
    found: foundNow(frames),
    surfaces: surfaces === null ? whole(surfacesOf(frames, cutoff(), frames[0].spacing)) : surfaces,
  };
}

// HD95 and surface Dice of a case, see `surfacesOf`; null while they are measured, undefined where they are none.
export function surfacesIn(frames) {
  if (!isCompared(frames)) return undefined;
  const found = resultOf(`surfaces/${frames[0].case}`, frames);
  return found?.isFresh ? found : null;
}
