// The viewer of LGG Demo, which `viewer_script` of page/blocks.py makes one script of, for gr.HTML to run.
//
// The server sends each case once: 8-bit images, quantised probability and reference. From then on everything that can be
// seen or counted is made here, so that no hand waits for a network.
import { go, show } from "./actions.js";
import { listenToStudies } from "./choosing.js";
import { listenToButtons } from "./commands.js";
import { buildCorners } from "./corners.js";
import { packCorrections } from "./corrections.js";
import { buildDials, turnDial } from "./dials.js";
import { find, refresh, root, tell } from "./dom.js";
import { alternate, togglePlay } from "./flicker.js";
import { listenToPointers } from "./gestures.js";
import { buildHead } from "./head.js";
import { editionOf } from "./history.js";
import { buildIntake } from "./intake.js";
import { listenToKeys } from "./keys.js";
import { buildLesions } from "./lesion_list.js";
import { loadNext, restore } from "./loading.js";
import { measure, render } from "./render.js";
import { buildRulers } from "./ruler_list.js";
import { whenSettled } from "./run.js";
import { buildSite } from "./site.js";
import { state } from "./state.js";
import { buildStudies } from "./studies.js";
import { buildThreshold } from "./threshold.js";
import { buildTools } from "./toolbar.js";
import { visitHeadsWith } from "./visit_heads.js";

buildHead();
const gone = new AbortController();
buildIntake(gone.signal);
buildStudies();
listenToStudies();
whenSettled(restore);
buildTools();
buildDials();
buildThreshold();
buildCorners();
buildLesions(show);
buildRulers(show);
buildSite();
visitHeadsWith({ alternate, togglePlay, render });
listenToButtons();
listenToPointers();
listenToKeys();
element.addEventListener("input", ({ target }) => {
  const value = Number(target.value);
  if (target.closest(".lgg-scroll")) go(Math.round(value) - 1);
  else if (target.dataset.dial) turnDial(target.dataset.dial, value);
});

// Gradio tells nobody that it has taken the viewer off the page; its size, which is nothing then, does.
const sizes = new ResizeObserver(() => {
  if (!element.isConnected) {
    gone.abort();
    return sizes.disconnect();
  }
  measure();
  refresh();
});
for (const place of [root, find(".lgg-stage")]) sizes.observe(place);

// Asked for by the page's download, which says when they have been saved.
root.corrections = () => {
  state.history.packed = editionOf(state.history);
  return packCorrections(state.shown, state.frames);
};
root.saved = () => {
  state.history.saved = state.history.packed;
};
root.threshold = () => state.threshold;

loadNext(props.value);
watch("value", () => loadNext(props.value));
watch("language", () => {
  tell(""); // said in the other language
  render();
});
