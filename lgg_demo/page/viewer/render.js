// Everything that is written for a place, a layout or a language: texts, buttons, sizes. A threshold moves none of it.
import { canvasOf, create, figures, find, label, note, ratioNow, refresh, root, setText } from "./dom.js";
import { size } from "./drawing.js";
import { writeFigures } from "./figures.js";
import { aspectOf } from "./geometry.js";
import { BOTH, DOUBT, PREDICTION, REFERENCE, css } from "./paint.js";
import { PLANES, frameNow, hasReference, isVolume, layersNow, series, state } from "./state.js";
import { layersOn, writeHelp, writeTools } from "./toolbar.js";
import { spacingOf } from "./volume.js";
import { say } from "./words.js";

export function panelText(name) {
  if (name !== "main") return say(name === "agreement" && !state.fill ? "panel_outlines" : `panel_${name}`);
  const on = layersOn();
  if (state.layout === "overlay") return on.map((layer) => say(`panel_${layer}`)).join(" + ");
  const side = (layer) => say(on.includes(layer) ? `panel_${layer}` : "panel_image");
  return say("swipe_sides", { left: side("reference"), right: side("prediction") });
}

function visiblePanels() {
  if (state.layout === "planes") return [...PLANES, "surface"];
  if (state.layout !== "side") return ["main"];
  const on = layersOn();
  return on.length ? on : ["image"];
}

function writeBar(frame) {
  const { frames, place } = state;
  setText(find(".lgg-name"), frame.label);
  find(".lgg-scroll").hidden = frames.length < 2;
  setText(find(".lgg-scroll-label"), say("slice"));
  Object.assign(find(".lgg-scroll input"), { max: frames.length, value: place + 1 });
  setText(find(".lgg-scroll output"), `${place + 1} / ${frames.length}`);
  for (const [name, text] of [["previous", "◂"], ["next", "▸"]]) {
    const button = find(`[data-do="${name}"]`);
    setText(button, text);
    button.title = say(`${name}_finding`);
    label(button, button.title);
    button.disabled = frame.pending;
  }
}

function writePanels(frame) {
  const visible = visiblePanels();
  const stage = find(".lgg-panels");
  stage.dataset.layout = state.layout;
  stage.style.setProperty("--columns", state.layout === "planes" ? 2 : visible.length > 4 ? 3 : visible.length);
  root.classList.toggle("lgg-tool-on", !!state.tool);
  root.classList.toggle("lgg-zoomed", state.view.zoom > 1);
  for (const figure of figures) {
    const name = figure.dataset.panel;
    figure.hidden = !visible.includes(name);
    if (figure.hidden) continue;
    const panel = panelText(name);
    setText(figure.querySelector("figcaption"), panel);
    label(canvasOf(figure), say("picture_of", { panel, label: frame.label }));
  }
  find('[data-dial="swipe"]').hidden = state.layout !== "swipe";
}

function writeLegend(frame) {
  const on = layersNow();
  const agreeing = frame.reference && state.fill && on.agreement;
  const swatch = ([colour, key]) => {
    const box = create("span", { className: "lgg-swatch" });
    box.style.background = css(colour);
    return create("li", {}, box, say(key));
  };
  find(".lgg-legend").replaceChildren(...[
    [PREDICTION, agreeing ? "extra" : "panel_prediction", true],
    [REFERENCE, agreeing ? "missed" : "panel_reference", frame.reference],
    [BOTH, "hit", agreeing],
    [DOUBT, "panel_uncertainty", state.frames.length > 1 || on.uncertainty],
  ].filter(([, , there]) => there).map(swatch));
}

export function render() {
  const frame = frameNow();
  label(root, say("viewer"));
  setText(find(".lgg-empty"), say("nothing_yet"));
  find(".lgg-empty").hidden = !!frame;
  find(".lgg-body").hidden = !frame;
  writeHelp();
  if (!frame) return;
  if (state.layout === "planes" && !isVolume()) state.layout = "side";
  writeTools();
  writeBar(frame);
  writePanels(frame);
  writeLegend(frame);
  find(".lgg-under").hidden = frame.pending;
  setText(find(".lgg-curve figcaption"), say("curve"));
  label(canvasOf(find(".lgg-curve")), say("curve_label"));
  note("convention", hasReference() ? say("convention") : "");
  note("expected", say("expected_note"));
  note("proportions", state.layout === "planes" && !frame.spacing ? say("proportions_note") : "");
  writeFigures();
  measure();
  refresh();
}

// Canvases as large as they are shown, in true proportion: a voxel need not be as high as it is wide.
export function measure() {
  const frame = frameNow();
  if (!frame) return;
  const ratio = ratioNow();
  const slices = series().length;
  const spacing = frame.spacing ?? spacingOf(series());
  for (const figure of figures) {
    if (figure.hidden) continue;
    const aspect = aspectOf(figure.dataset.panel, { width: frame.width, height: frame.height, slices }, spacing);
    figure.style.setProperty("--aspect", aspect);
    const canvas = canvasOf(figure);
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    size(canvas, width, Math.max(1, Math.round(width / aspect)));
  }
  for (const canvas of [find(".lgg-strip"), canvasOf(find(".lgg-curve"))])
    if (canvas.clientWidth) size(canvas, Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio));
}
