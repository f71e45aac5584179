// Two visits one over the other, in turn: by hand, or by itself where the reader's system does not ask for calm.
import { refresh } from "./dom.js";
import { render } from "./render.js";
import { state } from "./state.js";
import { writeVisitHeads } from "./visit_heads.js";

const EVERY = 700; // ms: well below three flashes a second
const other = { earlier: "later", later: "earlier" };
let flickering = 0;

const isCalm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

function swap() {
  if (state.layout !== "visits" || state.flicker === null || !element.isConnected) return stopFlicker();
  state.flicker = other[state.flicker];
  writeVisitHeads();
  refresh();
}

function stopFlicker() {
  clearInterval(flickering);
  flickering = 0;
  state.flickers = false;
}

function startFlicker() {
  stopFlicker();
  flickering = setInterval(swap, EVERY);
  state.flickers = true;
}

// One over the other, or side by side again.
export function toggleFlicker() {
  if (state.layout !== "visits") return;
  stopFlicker();
  Object.assign(state, { flicker: state.flicker === null ? "earlier" : null, large: null });
  if (state.flicker && !isCalm()) startFlicker();
  render();
}

export function leaveFlicker() {
  stopFlicker();
  state.flicker = null;
  render();
}

// By hand, whatever went on by itself: the other visit, or the one that is asked for.
export function alternate(to = other[state.flicker] ?? "later") {
  if (state.layout !== "visits") return;
  stopFlicker();
  Object.assign(state, { flicker: to, large: null });
  render();
}

export function togglePlay() {
  if (state.flickers) stopFlicker();
  else startFlicker();
  writeVisitHeads();
}
