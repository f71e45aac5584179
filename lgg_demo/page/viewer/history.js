// What was corrected by hand, step by step, to be undone and redone. No document: node tests it alone.
import { tally } from "./counts.js";

const MOST_STEPS = 200;
const MOST_CHANGES = 4_000_000; // pixels of all steps that are kept, six bytes each

// `done` and `undone`: steps, the last one on top. `changes`: pixels of all of them. `base`: what was done before the first
// that is still kept. `packed`, `saved`: after which step the corrections were last packed for a download, and downloaded.
export const newHistory = () => ({ done: [], undone: [], changes: 0, steps: 0, base: 0, packed: 0, saved: 0 });

// A step while the hand is at it: for every frame it has touched, the edits that it found there. byHand: it corrects the
// slice that is looked at, stroke by stroke, where other steps take whole objects or fill what lies between.
export const newStep = (byHand = false) => ({ found: new Map(), byHand });

// The edits of a frame, to be changed by a step.
export function editsIn(step, frame) {
  frame.edits ??= new Uint8Array(frame.probability.length);
  if (!step.found.has(frame)) step.found.set(frame, frame.edits.slice());
  return frame.edits;
}

// Take back a step that is still going on.
export function dropStep({ found }) {
  for (const [frame, edits] of found) {
    frame.edits.set(edits);
    tally(frame);
  }
}

// What a step has changed in a frame: pixels, their edits before and after.
function changeOf(frame, found) {
  const { edits } = frame;
  const at = [];
  for (let i = 0; i < edits.length; i++) if (edits[i] !== found[i]) at.push(i);
  return { frame, at: Uint32Array.from(at), was: Uint8Array.from(at, (i) => found[i]), is: Uint8Array.from(at, (i) => edits[i]) };
}

// Remember a finished step, unless it changed nothing; says which. The oldest go where there are too many.
export function keepStep(history, { found, byHand }) {
  const changed = [...found].map(([frame, edits]) => changeOf(frame, edits)).filter(({ at }) => at.length);
  if (!changed.length) return false;
  const size = changed.reduce((sum, { at }) => sum + at.length, 0);
  const { done, undone } = history;
  history.changes += size - undone.reduce((sum, step) => sum + step.size, 0);
  undone.length = 0;
  done.push({ id: ++history.steps, changed, size, byHand });
  if (byHand) for (const { frame } of changed) frame.byHand = (frame.byHand ?? 0) + 1;
  while (done.length > MOST_STEPS || (history.changes > MOST_CHANGES && done.length > 1)) {
    const oldest = done.shift();
    history.changes -= oldest.size;
    history.base = oldest.id;
  }
  return true;
}

function turn(from, to, edits, counts) {
  const step = from.pop();
  if (!step) return null;
  for (const change of step.changed) {
    const { frame, at } = change, values = change[edits];
    at.forEach((i, n) => {
      frame.edits[i] = values[n];
    });
    if (step.byHand) frame.byHand += counts;
    tally(frame);
  }
  to.push(step);
  return step.changed.map(({ frame }) => frame);
}

// Undo or redo one step: the frames it is in, or null where there is none.
export const undoStep = ({ done, undone }) => turn(done, undone, "was", -1);
export const redoStep = ({ done, undone }) => turn(undone, done, "is", 1);

// Which corrections are there now, as a number: the last step that is done.
export const editionOf = ({ done, base }) => done.at(-1)?.id ?? base;
