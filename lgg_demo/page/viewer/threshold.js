// The threshold's slider is Gradio's, because the server needs its value too.
import { refresh } from "./dom.js";
import { clamp } from "./geometry.js";
import { state } from "./state.js";

const LOWEST = 0.01, HIGHEST = 0.99;
const isThreshold = (value) => value >= LOWEST && value <= HIGHEST;

const box = () => document.querySelector("#threshold input[type=number]");

// What the slider shows; null where there is none.
export function sliderNow() {
  const now = Number(box()?.value);
  return isThreshold(now) ? now : null;
}

function useThreshold(value) {
  state.threshold = value;
  refresh();
}

// Set the slider as well: it hears of a new value as if typed.
export function setThreshold(value) {
  state.threshold = clamp(Math.round(value * 100) / 100, LOWEST, HIGHEST);
  const slider = box();
  if (slider) {
    slider.value = state.threshold;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
  refresh();
}

// The slider is heard itself: its own event comes some milliseconds later, and only then if the page is idle. That one is
// for the values nobody drags to, such as the reset button's. It lies outside of the viewer: `signal` ends the listening.
export function listenToThreshold(signal) {
  document.addEventListener("input", ({ target }) => {
    const value = target.closest?.("#threshold") && Number(target.value);
    if (isThreshold(value)) useThreshold(value);
  }, { signal });
  element.addEventListener("lgg-threshold", (event) => {
    useThreshold(sliderNow() ?? event.detail); // the event may be older than what the slider shows
  });
}
