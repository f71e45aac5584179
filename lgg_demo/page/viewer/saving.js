// What goes out of the page: a picture and a report. No file name: it may be a patient's.
import { canvasOf, create, figures, find, ratioNow, root, tell } from "./dom.js";
import { draw } from "./drawing.js";
import { columnsNow, rowsOf } from "./figures.js";
import { growthNow } from "./growth_panel.js";
import { matchedAtOnce, measuredNow } from "./measures.js";
import { panelText } from "./render.js";
import { reportLines } from "./report_text.js";
import { siteNow } from "./site.js";
import { FIRST_THRESHOLD, cutoff, frameNow, isTuned, series, state } from "./state.js";
import { patientNow } from "./visits.js";
import { number, say } from "./words.js";

const TEXT = "#e6eaee", GROUND = "#0b0f14";
const LINE = 18, FONT = 13; // CSS pixels
const NARROWEST = 360;

function figureSentences() {
  const columns = columnsNow();
  const said = ({ key, values }, name, digits) =>
    `${columns.length > 1 ? `${say(key)} ` : ""}${number(values[name], digits)}`;
  return rowsOf(columns).flatMap(({ name, label, digits }) => {
    const values = columns.filter((c) => Number.isFinite(c.values[name])).map((c) => said(c, name, digits));
    return values.length ? [say("line", { what: label, values: values.join(", ") })] : [];
  });
}

const title = () => [
  ...(state.synthetic ? [say("synthetic")] : []),
  say("report_title"),
  say("slice_of", { slice: state.place + 1, slices: state.frames.length }),
  say("report_threshold", { threshold: number(state.threshold, 2) }),
];
const warnings = () => [...(isTuned() ? [say("caution")] : []), say("not_for_diagnosis")];

function captionOf(visible) {
  const apart = ["side", "planes", "visits"].includes(state.layout);
  const panels = apart ? visible.map((f) => panelText(f.dataset.panel)).join(", ") : panelText("main");
  return [
    [...title(), ...(state.model ? [state.model] : [])].join(" · "),
    say("line", { what: say("tools_layers"), values: panels }),
    ...(frameNow().pending ? [] : [figureSentences().join(" · ")]),
    ...warnings(),
  ];
}

// A text in lines no wider than `width`, in the pixels of a context with its font set.
function wrapped(context, text, width) {
  const lines = [];
  for (const one of text.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${one}` : one;
    if (lines.length && context.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(one);
  }
  return lines;
}

// The panels as they lie on the page, each with its title, and the caption below.
function pictureOf(visible) {
  const ratio = ratioNow();
  const boxes = visible.map((f) => canvasOf(f).getBoundingClientRect());
  const left = Math.min(...boxes.map((b) => b.left)), right = Math.max(...boxes.map((b) => b.right));
  const top = Math.min(...boxes.map((b) => b.top), find(".lgg-panels").getBoundingClientRect().top);
  const high = (Math.max(...boxes.map((b) => b.bottom)) - top) * ratio;
  const width = Math.max(NARROWEST, right - left) * ratio;
  const canvas = create("canvas");
  const context = canvas.getContext("2d");
  const font = `${FONT * ratio}px system-ui, sans-serif`;
  context.font = font;
  const lines = captionOf(visible).flatMap((text) => wrapped(context, text, width - 20 * ratio));
  canvas.width = Math.round(width);
  canvas.height = Math.round(high + (lines.length * LINE + 14) * ratio);
  Object.assign(context, { font, textBaseline: "top", fillStyle: GROUND });
  context.fillRect(0, 0, canvas.width, canvas.height);
  visible.forEach((figure, k) => {
    const x = (boxes[k].left - left) * ratio, y = (boxes[k].top - top) * ratio;
    context.drawImage(canvasOf(figure), x, y, boxes[k].width * ratio, boxes[k].height * ratio);
    const name = panelText(figure.dataset.panel);
    context.fillStyle = "rgb(0 0 0 / 0.65)";
    context.fillRect(x, y, context.measureText(name).width + 12 * ratio, 21 * ratio);
    context.fillStyle = TEXT;
    context.fillText(name, x + 6 * ratio, y + 4 * ratio);
  });
  context.fillStyle = TEXT;
  lines.forEach((text, k) => context.fillText(text, 10 * ratio, high + (8 + LINE * k) * ratio));
  return { canvas, lines };
}

export async function savePicture() {
  draw();
  const { canvas, lines } = pictureOf(figures.filter((f) => !f.hidden));
  root.caption = lines; // for whoever has to know what the picture says without reading it
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const link = create("a", { href: URL.createObjectURL(blob), download: `lgg-demo-${state.place + 1}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  tell(say("saved"));
}

export async function copyReport() {
  if (frameNow().pending) return;
  const { threshold, model } = state, frames = series();
  const lines = reportLines({
    frames, cutoff: cutoff(), threshold, ...measuredNow(frames), model, site: siteNow(), tuned: isTuned(), usual: FIRST_THRESHOLD,
    growth: patientNow() && growthNow(matchedAtOnce),
  });
  await copyText(`${lines.join("\n")}\n`);
  tell(say("copied"));
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A frame without the right to the clipboard, as a Space may be: the old way asks nobody.
    const box = create("textarea", { value: text });
    root.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
    root.focus({ preventScroll: true });
  }
}
