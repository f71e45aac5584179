// What is on screen and how it is shown. Whatever changes it has the pictures drawn again.
import { cutoffOf } from "./counts.js";
import { newHistory } from "./history.js";

export const PANELS = ["image", "prediction", "reference", "agreement", "uncertainty"]; // side by side, each a layer
export const PLANES = ["axial", "coronal", "sagittal"];
export const TOOLS = ["object", "brush", "smart", "lasso", "eraser"]; // that correct the outline
export const CHANNELS = ["pre", "flair", "post"];
export const FIRST_THRESHOLD = 0.5; // of every new study
export const NARROW = 860; // CSS pixels, as in viewer.css: one column
const FEWEST_FOR_PLANES = 9; // slices: fewer are no volume

const newLayers = () => ({ image: true, prediction: true, reference: true, agreement: false, uncertainty: false });

export const state = {
  frames: [], // one a slice, over all cases
  studies: [], // of each case what page/listing.py says of it
  followUp: [], // patients with several visits, each {patient, visits, warnings}
  said: null, // {case, patient, visit, date, months}: what its user has said of a study, until the server has answered
  repeatability: null, // how well one volume repeats, {relative, absolute_ml}; null where nobody has measured it
  compared: null, // which two visits of whom: {of (what the server sent of the patient), earlier, later}
  // Which of the two is seen where they lie one over the other, "earlier" or "later"; null where they lie side by side.
  flicker: globalThis.innerWidth <= NARROW ? "earlier" : null,
  flickers: false, // whether they alternate by themselves
  place: 0, // the frame on screen
  threshold: FIRST_THRESHOLD,
  best: null, // the threshold that was best in cross-validation, where the model's record has one
  model: null,
  synthetic: false, // whether no real person is on screen
  shown: null, // identity of the result on screen
  history: newHistory(), // of corrections, for undo and redo
  layout: globalThis.innerWidth <= NARROW ? "overlay" : "side", // a phone has room for one picture
  layers: { side: newLayers(), over: newLayers() }, // "over": one over the other, in all other layouts
  large: null, // the panel that fills the stage
  fill: false,
  invert: false,
  diameters: true, // drawn on the picture
  opacity: 0.6,
  channel: "flair",
  tool: null, // one of TOOLS, or "ruler"
  removing: false, // whether brush, smart brush and lasso remove
  brush: 9, // columns of the axial slice across
  cursor: null, // where the tool is: {plane, x, y}, in pixels of the plane
  drawn: null, // the line of a lasso or a cut: {plane, points}
  pointer: null, // {frame, row, column} under the mouse
  blink: false,
  gesture: null,
  cross: { x: 0, y: 0 },
};

// Zoom, swipe and pose as they are at first; `of` of a frame holds its case's windows, and those that were sent.
export function resetView() {
  Object.assign(state, { view: { zoom: 1, x: 0.5, y: 0.5 }, swipe: 0.5, pose: { turn: 0.6, tilt: 0.3, zoom: 1 } });
  setWindows((sent) => sent);
}

// Each sequence's window, made of the one that was sent.
export function setWindows(made) {
  for (const of of new Set(state.frames.map((f) => f.of)))
    of.windows = Object.fromEntries(Object.entries(of.sent).map(([channel, sent]) => [channel, { ...made(sent) }]));
}
resetView();

// Which plane and which sequence a panel shows: most show the axial slice of the chosen sequence.
export const planeOn = (panel) => (PLANES.includes(panel) ? panel : "axial");
export const channelOn = (panel) => (CHANNELS.includes(panel) ? panel : state.channel);

export const frameNow = () => state.frames[state.place];
export const cutoff = () => cutoffOf(state.threshold);
export const layersNow = () => state.layers[state.layout === "side" ? "side" : "over"];
export const series = () => state.frames.filter((f) => f.of === frameNow().of);
export const isVolume = () => series().length >= FEWEST_FOR_PLANES;
export const hasReference = () => state.frames.some((f) => f.reference !== null);
export const isTuned = () => state.threshold !== FIRST_THRESHOLD && hasReference(); // a threshold chosen with a view to the reference
export const imageOf = (frame, channel = state.channel) => frame.image[channel] ?? frame.image.flair;
export const windowNow = (channel = state.channel) => {
  const { windows } = frameNow().of;
  return windows[channel] ?? windows.flair;
};
export const versionsOf = (frames) => frames.reduce((sum, f) => sum + f.version, 0);
