// Everything that is written for a place, a layout or a language: texts, buttons, sizes. A threshold moves none of it.
import { canvasOf, create, figures, find, label, note, ratioNow, refresh, root, setText } from "./dom.js";
import { aspectNow, size } from "./drawing.js";
import { writeFigures } from "./figures.js";
import { columnsFor } from "./geometry.js";
import { writeHead } from "./head.js";
import { writeIntake } from "./intake.js";
import { writeLesions } from "./lesion_list.js";
import { BOTH, DOUBT, PREDICTION, REFERENCE, css } from "./paint.js";
import { writeRulers } from "./ruler_list.js";
import { writeSite } from "./site.js";
import { CHANNELS, PLANES, frameNow, hasReference, layersNow, state } from "./state.js";
import { writeStudies } from "./studies.js";
import { writeThreshold } from "./threshold.js";
import { hasLayout, layersOn, writeHelp, writeTools } from "./toolbar.js";
import { visitText, writeVisitHeads } from "./visit_heads.js";
import { isVisitPanel, settlePlace, visitPanels } from "./visits.js";
import { say } from "./words.js";

export function panelText(name) {
  if (isVisitPanel(name)) return visitText(name);
  if (CHANNELS.includes(name)) return say(`channel_${name}`);
  if (name !== "main") return say(name === "agreement" && !state.fill ? "panel_outlines" : `panel_${name}`);
  const on = layersOn();
  if (state.layout === "overlay") return on.map((layer) => say(`panel_${layer}`)).join(" + ");
  const side = (layer) => say(on.includes(layer) ? `panel_${layer}` : "panel_image");
  return say("swipe_sides", { left: side("reference"), right: side("prediction") });
}

function panelsOf(layout) {
  if (layout === "planes") return [...PLANES, "surface"];
  if (layout === "sequences") return CHANNELS.filter((name) => name in frameNow().image);
  if (layout === "visits") return visitPanels();
  if (layout !== "side") return ["main"];
  const on = layersOn();
  return on.length ? on : ["image"];
}

// Those of the layout, or the one that was made large.
function visiblePanels() {
  const all = panelsOf(state.layout);
  return all.includes(state.large) ? [state.large] : all;
}

function writePlace(frame) {
  const { frames, place } = state;
  setText(find(".lgg-name"), frame.label);
  find(".lgg-name").title = frame.label;
  find(".lgg-synthetic").hidden = !state.synthetic;
  setText(find(".lgg-synthetic"), say("synthetic"));
  setText(find(".lgg-scroll-label"), say("slice"));
  Object.assign(find(".lgg-scroll input"), { max: frames.length, value: place + 1, disabled: frames.length < 2 });
  setText(find(".lgg-scroll output"), `${place + 1} / ${frames.length}`);
  find(".lgg-strip").hidden = frames.length < 2;
  setText(find(".lgg-strip-caption"), frames.length > 1 ? say("strip_caption") : "");
}

function writePanels(frame) {
  const visible = visiblePanels();
  find(".lgg-panels").dataset.layout = state.layout;
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
  writeVisitHeads();
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
    [PREDICTION, "panel_prediction", true],
    [REFERENCE, "panel_reference", frame.reference],
    [PREDICTION, "extra", agreeing],
    [REFERENCE, "missed", agreeing],
    [BOTH, "hit", agreeing],
    [DOUBT, "panel_uncertainty", state.frames.length > 1 || on.uncertainty],
  ].filter(([, , there]) => there).map(swatch));
}

const ONLY_WITH_RESULT = [".lgg-panels", ".lgg-scroll", ".lgg-result", ".lgg-threshold", ".lgg-export", '[data-do="clear"]'];

export function render() {
  if (frameNow() && !hasLayout(state.layout)) state.layout = "side";
  settlePlace();
  const frame = frameNow();
  label(root, say("viewer"));
  setText(find(".lgg-empty"), say("nothing_yet"));
  find(".lgg-empty").hidden = !!frame;
  for (const place of ONLY_WITH_RESULT) find(place).hidden = !frame;
  writeHead();
  writeIntake();
  writeStudies();
  writeHelp();
  writeTools();
  writeLesions();
  writeRulers();
  writeSite();
  if (!frame) return;
  writeThreshold();
  writePlace(frame);
  writePanels(frame);
  writeLegend(frame);
  find(".lgg-result").hidden = frame.pending;
  setText(find(".lgg-curve figcaption"), say("curve"));
  label(canvasOf(find(".lgg-curve")), say("curve_label"));
  for (const name of ["download", "clear"]) setText(find(`[data-do="${name}"]`), say(name));
  find('[data-do="download"]').disabled = frame.pending;
  note("convention", hasReference() ? say("convention") : "");
  note("expected", say("expected_note"));
  note("proportions", state.layout === "planes" && !frame.spacing ? say("proportions_note") : "");
  writeFigures();
  measure();
  refresh();
}

// Panels as large as the stage allows, their canvases as large as they are shown.
export function measure() {
  if (!frameNow()) return;
  const ratio = ratioNow(), stage = find(".lgg-panels"), visible = visiblePanels();
  const columns = state.layout === "planes" && visible.length > 1 ? 2 : columnsFor(
    visible.length, aspectNow("axial"), stage.clientWidth, stage.clientHeight,
  );
  stage.style.setProperty("--columns", columns);
  const canvases = figures.filter((f) => !f.hidden).map(canvasOf);
  for (const canvas of [...canvases, find(".lgg-strip"), canvasOf(find(".lgg-curve"))])
    if (canvas.clientWidth)
      size(canvas, Math.round(canvas.clientWidth * ratio), Math.max(1, Math.round(canvas.clientHeight * ratio)));
}
