// The buttons above the pictures, and the help.
import { create, find, label, setText } from "./dom.js";
import { writeDials } from "./dials.js";
import { CHANNELS, PANELS, TOOLS, frameNow, isVolume, layersNow, series, state } from "./state.js";
import { say } from "./words.js";

export const LAYOUTS = ["side", "overlay", "swipe", "planes"];
export const layouts = () => LAYOUTS.filter((name) => name !== "planes" || isVolume());

// Each group: its buttons as [name, shortcut, key of its label].
const GROUPS = {
  tools_layout: LAYOUTS.map((name) => [name, "V", `layout_${name}`]),
  tools_layers: PANELS.map((name, k) => [name, `${k + 1}`, `panel_${name}`]),
  tools_style: [["fill", "F", "style_fill"], ["outline", "F", "style_outline"]],
  tools_channel: CHANNELS.map((name) => [`channel-${name}`, "C", `channel_${name}`]),
  tools_correct: [
    ["object", "O", "object"], ["brush", "B", "brush"], ["smart", "G", "smart"], ["lasso", "L", "lasso"], ["eraser", "E", "eraser"],
    ["removing", "X", "removing"], ["between", "W", "between"], ["undo", "Z", "undo"], ["redo", "Y", "redo"],
  ],
  tools_out: [["save", "S", "save"], ["copy", "T", "copy"], ["reset", "R", "reset"], ["help", "?", "help"]],
};
const ONE_OF = ["tools_layout", "tools_style", "tools_channel"]; // one of each is on, always
const EXPLAINED = ["prediction", "agreement", "uncertainty", "swipe", "planes", "reset", "removing", "between", ...TOOLS];
const HELP = [
  "help_slices", "help_findings", "help_layers", "help_blink", "help_layout", "help_style", "help_threshold", "help_zoom",
  "help_window", "help_object", "help_brush", "help_lasso", "help_undo", "help_out", "help_mouse", "help_touch",
];
export const buttons = new Map();

export function buildTools() {
  for (const [group, members] of Object.entries(GROUPS)) {
    const box = create("div", { className: ONE_OF.includes(group) ? "lgg-group lgg-one-of" : "lgg-group" });
    box.dataset.group = group;
    box.setAttribute("role", "group");
    for (const [name, shortcut] of members) {
      const button = create("button", { type: "button" });
      button.dataset.do = name;
      button.setAttribute("aria-keyshortcuts", shortcut);
      buttons.set(name, button);
      box.append(button);
    }
    find(".lgg-tools").append(box);
  }
}

const press = (name, on) => buttons.get(name).setAttribute("aria-pressed", String(on));
const enable = (name, on) => {
  buttons.get(name).disabled = !on;
};

function writeLabels() {
  for (const [group, members] of Object.entries(GROUPS)) {
    label(find(`[data-group="${group}"]`), say(group));
    for (const [name, shortcut, key] of members) {
      const button = buttons.get(name);
      setText(button, name === "help" ? "?" : say(key));
      button.title = `${say(EXPLAINED.includes(name) ? `tip_${name}` : key)} (${shortcut})`;
      if (name === "help") label(button, say(key));
    }
  }
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
  for (const name of LAYOUTS) press(name, state.layout === name);
  buttons.get("planes").hidden = !isVolume();
  for (const name of PANELS) {
    press(name, layersOn().includes(name));
    enable(name, isThere(name));
  }
  press("fill", state.fill);
  press("outline", !state.fill);
  find('[data-group="tools_channel"]').hidden = Object.keys(frame.image).length < 2;
  for (const name of CHANNELS) {
    press(`channel-${name}`, state.channel === name);
    buttons.get(`channel-${name}`).hidden = !(name in frame.image);
  }
  for (const name of TOOLS) press(name, state.tool === name);
  press("removing", state.removing);
  for (const name of [...TOOLS, "removing", "copy"]) enable(name, !frame.pending);
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
