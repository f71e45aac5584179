// The buttons above the pictures, and the help.
import { create, find, label, setText } from "./dom.js";
import { writeDials } from "./dials.js";
import { iconOf } from "./icons.js";
import { CHANNELS, PANELS, TOOLS, frameNow, isVolume, layersNow, series, state } from "./state.js";
import { patientNow } from "./visits.js";
import { say } from "./words.js";

export const LAYOUTS = ["side", "overlay", "swipe", "sequences", "planes", "visits"];
const IS_THERE = { planes: () => isVolume(), sequences: () => Object.keys(frameNow().image).length > 1, visits: () => patientNow() !== null };
export const hasLayout = (name) => IS_THERE[name]?.() ?? true;
export const layouts = () => LAYOUTS.filter(hasLayout);

// Each group: its buttons as [name, shortcut, key of its label].
const GROUPS = {
  tools_layout: LAYOUTS.map((name) => [name, "V", `layout_${name}`]),
  tools_layers: PANELS.map((name, k) => [name, `${k + 1}`, `panel_${name}`]),
  tools_style: [["fill", "F", "style_fill"]],
  tools_channel: CHANNELS.map((name) => [`channel-${name}`, "C", `channel_${name}`]),
  tools_window: [["auto", "A", "window_auto"], ["contrast", "", "window_contrast"], ["full", "", "window_full"], ["invert", "I", "window_invert"], ["reset", "R", "reset"]],
  tools_correct: [
    ["object", "O", "object"], ["brush", "B", "brush"], ["smart", "G", "smart"], ["lasso", "L", "lasso"], ["eraser", "E", "eraser"],
    ["removing", "X", "removing"], ["between", "W", "between"], ["undo", "Z", "undo"], ["redo", "Y", "redo"],
  ],
  tools_measure: [["ruler", "M", "ruler"], ["diameters", "D", "diameters_drawn"]],
  tools_visits: [["flicker", "K", "flicker"]], // the last: it comes and goes with its layout
};
// Buttons that stand elsewhere, in their places of viewer.html.
const ELSEWHERE = {
  help: ["?", "help"], save: ["S", "save"], copy: ["T", "copy"], theme: ["", "theme"], half: ["", "threshold_reset"],
  previous: ["P", "previous_finding"], back: ["↑", "previous_slice"], on: ["↓", "next_slice"], next: ["N", "next_finding"],
};
const WORDED = ["save", "copy"]; // an icon and its word
const EXPLAINED = ["prediction", "agreement", "uncertainty", "swipe", "planes", "reset", "removing", "between", "ruler", "diameters", "visits", "flicker", ...TOOLS];
const HELP = [
  "help_slices", "help_findings", "help_layers", "help_blink", "help_layout", "help_visits", "help_style", "help_threshold",
  "help_zoom", "help_window", "help_object", "help_split", "help_brush", "help_lasso", "help_fill", "help_keyboard",
  "help_undo", "help_measure", "help_out", "help_mouse", "help_buttons", "help_touch", "help_finger",
];
export const buttons = new Map();

const letters = (name) => name.startsWith("channel-"); // the sequences have names of their own, and no icon

export function buildTools() {
  for (const [group, members] of Object.entries(GROUPS)) {
    const box = create("div", { className: "lgg-group" });
    box.dataset.group = group;
    box.setAttribute("role", "group");
    for (const [name, shortcut] of members) {
      const button = create("button", { type: "button" }, ...(letters(name) ? [] : [iconOf(name)]));
      button.dataset.do = name;
      if (shortcut) button.setAttribute("aria-keyshortcuts", shortcut);
      buttons.set(name, button);
      box.append(button);
    }
    find(".lgg-tools").append(box);
  }
  for (const [name, [shortcut]] of Object.entries(ELSEWHERE)) {
    const button = find(`[data-do="${name}"]`);
    button.append(iconOf(name), ...(WORDED.includes(name) ? [create("span")] : []));
    if (shortcut) button.setAttribute("aria-keyshortcuts", shortcut);
    buttons.set(name, button);
  }
}

const press = (name, on) => buttons.get(name).setAttribute("aria-pressed", String(on));
const enable = (name, on) => {
  buttons.get(name).disabled = !on;
};

function named(name, shortcut, key) {
  const button = buttons.get(name);
  const text = say(EXPLAINED.includes(name) ? `tip_${name}` : key);
  button.title = shortcut ? `${text} (${shortcut})` : text;
  if (letters(name)) setText(button, say(key));
  else if (WORDED.includes(name)) setText(button.lastChild, say(key));
  else label(button, say(key));
}

function writeLabels() {
  for (const [group, members] of Object.entries(GROUPS)) {
    label(find(`[data-group="${group}"]`), say(group));
    for (const member of members) named(...member);
  }
  for (const [name, rest] of Object.entries(ELSEWHERE)) named(name, ...rest);
}

// Whether there is anything to show of a layer: "swipe" has two sides, which agree or do not.
function isThere(name) {
  const frame = frameNow();
  if (name === "image") return true;
  if (frame.pending || (name === "agreement" && state.layout === "swipe")) return false;
  return frame.reference !== null || (name !== "reference" && name !== "agreement");
}
export const layersOn = () => PANELS.filter((name) => layersNow()[name] && isThere(name));

export function writeTools() {
  const frame = frameNow();
  writeLabels();
  for (const box of find(".lgg-tools").children) box.hidden = !frame;
  if (!frame) return;
  for (const name of LAYOUTS) {
    press(name, state.layout === name);
    buttons.get(name).hidden = !hasLayout(name);
  }
  find('[data-group="tools_visits"]').hidden = state.layout !== "visits";
  press("flicker", state.flicker !== null);
  for (const name of PANELS) {
    press(name, layersOn().includes(name));
    enable(name, isThere(name));
  }
  press("fill", state.fill);
  press("invert", state.invert);
  find('[data-group="tools_channel"]').hidden = Object.keys(frame.image).length < 2;
  for (const name of CHANNELS) {
    press(`channel-${name}`, state.channel === name);
    buttons.get(`channel-${name}`).hidden = !(name in frame.image);
  }
  for (const name of TOOLS) press(name, state.tool === name);
  press("ruler", state.tool === "ruler");
  press("diameters", state.diameters);
  press("removing", state.removing);
  for (const name of [...TOOLS, "removing", "ruler", "copy", "previous", "next"]) enable(name, !frame.pending);
  enable("between", !frame.pending && series().length > 2);
  enable("undo", state.history.done.length > 0);
  enable("redo", state.history.undone.length > 0);
  writeDials();
}

let helped = null; // the language the help is in

export function writeHelp() {
  if (helped === props.language) return;
  helped = props.language;
  label(find(".lgg-help"), say("help"));
  setText(find(".lgg-help h2"), say("help"));
  setText(find(".lgg-help button"), say("close"));
  find(".lgg-help ul").replaceChildren(...HELP.map((key) => {
    const [, keys, what] = say(key).match(/^(.*?)\s?:\s(.*)$/);
    return create("li", {}, create("b", {}, keys), create("span", {}, what));
  }));
}
