// What each button does, by its name.
import { goFinding, reset, setTool, show, toggleLayer, undo } from "./actions.js";
import { find, root } from "./dom.js";
import { copyReport, savePicture } from "./saving.js";
import { CHANNELS, PANELS } from "./state.js";
import { LAYOUTS } from "./toolbar.js";

const each = (names, entry) => Object.fromEntries(names.map(entry));

export const COMMANDS = {
  ...each(LAYOUTS, (layout) => [layout, () => show({ layout })]),
  ...each(PANELS, (name) => [name, () => toggleLayer(name)]),
  ...each(CHANNELS, (channel) => [`channel-${channel}`, () => show({ channel })]),
  fill: () => show({ fill: true }), outline: () => show({ fill: false }),
  brush: () => setTool("brush"), eraser: () => setTool("eraser"), undo,
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
