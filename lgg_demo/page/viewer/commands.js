// What each button does, by its name.
import { goFinding, reset, show, toggleLayer } from "./actions.js";
import { find, root } from "./dom.js";
import { copyReport, savePicture } from "./saving.js";
import { CHANNELS, PANELS, TOOLS } from "./state.js";
import { LAYOUTS } from "./toolbar.js";
import { fillBetween, redo, setTool, toggleRemoving, undo } from "./tools.js";

const each = (names, entry) => Object.fromEntries(names.map(entry));

export const COMMANDS = {
  ...each(LAYOUTS, (layout) => [layout, () => show({ layout })]),
  ...each(PANELS, (name) => [name, () => toggleLayer(name)]),
  ...each(CHANNELS, (channel) => [`channel-${channel}`, () => show({ channel })]),
  fill: () => show({ fill: true }), outline: () => show({ fill: false }),
  ...each(TOOLS, (tool) => [tool, () => setTool(tool)]), removing: toggleRemoving, between: fillBetween, undo, redo,
  save: savePicture, copy: copyReport, reset,
  help: () => find(".lgg-help").showModal(), close: () => find(".lgg-help").close(),
  previous: () => goFinding(-1), next: () => goFinding(1),
};

export function listenToButtons() {
  element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-do]");
    if (!button) return;
    COMMANDS[button.dataset.do]();
    // After a click the keys belong to the pictures: space would press the same button once more. Who tabs to it stays.
    if (event.detail && !find(".lgg-help").open) root.focus({ preventScroll: true });
  });
}
