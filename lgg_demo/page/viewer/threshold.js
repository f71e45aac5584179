// The threshold: one slider and one box to type in, which say the same.
import { find, note, refresh, setText } from "./dom.js";
import { clamp } from "./geometry.js";
import { thresholdFrom } from "./numbers.js";
import { FIRST_THRESHOLD, state } from "./state.js";
import { number, say } from "./words.js";

const LOWEST = 0.01, HIGHEST = 0.99;
const slider = () => find('.lgg-threshold input[type="range"]');
const box = () => find('.lgg-threshold input[type="text"]');

export function writeThreshold() {
  const text = number(state.threshold, 2);
  setText(find(".lgg-threshold label"), say("threshold"));
  slider().value = state.threshold;
  slider().setAttribute("aria-label", say("threshold"));
  const typed = thresholdFrom(box().value, LOWEST, HIGHEST);
  // What is being typed stays, unless the threshold has been set elsewhere in the meantime.
  if (box() !== document.activeElement || (typed !== null && typed !== state.threshold)) box().value = text;
  note("threshold", state.threshold === FIRST_THRESHOLD ? say("threshold_info") : say("threshold_moved", { threshold: text }));
}

export function setThreshold(value) {
  state.threshold = clamp(Math.round(value * 100) / 100, LOWEST, HIGHEST);
  writeThreshold();
  refresh();
}

export function buildThreshold() {
  slider().addEventListener("input", ({ target }) => setThreshold(Number(target.value)));
  // What is being typed acts as soon as it is a threshold; "7" or "0" is none yet, and leaves all as it is.
  box().addEventListener("input", ({ target }) => {
    const typed = thresholdFrom(target.value, LOWEST, HIGHEST);
    if (typed !== null) setThreshold(typed);
  });
  box().addEventListener("change", ({ target }) => {
    target.value = number(state.threshold, 2);
  });
}
