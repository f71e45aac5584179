// What each button does, by its name.
import { goFinding, goOn, invert, presetWindow, reset, show, toggleLayer } from "./actions.js";
import { find, root } from "./dom.js";
import { toggleFlicker } from "./flicker.js";
import { toggleTheme } from "./head.js";
import { clearAll } from "./intake.js";
import { copyReport, savePicture } from "./saving.js";
import { CHANNELS, FIRST_THRESHOLD, PANELS, TOOLS, state } from "./state.js";
import { setThreshold } from "./threshold.js";
import { LAYOUTS } from "./toolbar.js";
import { fillBetween, redo, setTool, toggleRemoving, undo } from "./tools.js";

const each = (names, entry) => Object.fromEntries(names.map(entry));

// A dialog at its top: a browser would scroll to the button that it focuses.
function openDialog(name) {
  const dialog = find(`[data-dialog="${name}"]`);
  dialog.showModal();
  dialog.scrollTop = 0;
}

export const COMMANDS = {
  ...each(LAYOUTS, (layout) => [layout, () => show({ layout, large: null })]),
  ...each(PANELS, (name) => [name, () => toggleLayer(name)]),
  ...each(CHANNELS, (channel) => [`channel-${channel}`, () => show({ channel })]),
  fill: () => show({ fill: !state.fill }), invert,
  ...each(["auto", "contrast", "full"], (name) => [name, () => presetWindow(name)]),
  ...each(TOOLS, (tool) => [tool, () => setTool(tool)]), removing: toggleRemoving, between: fillBetween, undo, redo,
  ruler: () => setTool("ruler"), diameters: () => show({ diameters: !state.diameters }),
  flicker: toggleFlicker, save: savePicture, copy: copyReport, reset,
  help: () => openDialog("help"), about: () => openDialog("about"), close: () => find("dialog[open]")?.close(),
  previous: () => goFinding(-1), next: () => goFinding(1), back: () => goOn(-1), on: () => goOn(1),
  half: () => setThreshold(FIRST_THRESHOLD), theme: toggleTheme,
  download: () => trigger("download"), clear: clearAll,
};

export function listenToButtons() {
  element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-do]");
    if (!button) return;
    COMMANDS[button.dataset.do]();
    // After a click the keys belong to the pictures: space would press the same button once more. Who tabs to it stays.
    if (event.detail && !find("dialog[open]")) root.focus({ preventScroll: true });
  });
}
