// The viewer of LGG Demo. It runs inside gr.HTML, which gives `element`, `props` and `watch`.
//
// The server sends each case once: grey image, 8-bit probability and reference mask, deflated. From then on threshold,
// outlines, agreement and scores are computed here, so the slider never waits for the network. The arithmetic is that of
// lgg_demo/metrics.py, in whole numbers: what is shown equals what `predict` writes.

const PREDICTION = [86, 180, 233]; // Okabe and Ito's sky blue and orange: told apart with any colour vision
const REFERENCE = [230, 159, 0];
const BOTH = [255, 255, 255];
const LEVELS = 255;

const find = (selector) => element.querySelector(selector);
let frames = []; // one a slice, over all cases
let place = 0;
let level = Math.ceil(0.5 * LEVELS);
let shown = null; // identity of the result on screen

const say = (key, values = {}) => {
  const strings = props.strings[props.language] ?? props.strings.en;
  return strings[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
};
const number = (value, digits) =>
  value == null ? "–" : value.toLocaleString(props.language, { minimumFractionDigits: digits, maximumFractionDigits: digits });

async function inflate(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// How many pixels reach each level, in all and inside the reference: any threshold's counts are then a look-up.
function tally(frame) {
  const all = new Uint32Array(LEVELS + 2);
  const inside = new Uint32Array(LEVELS + 2);
  const { probability, reference } = frame;
  for (let i = 0; i < probability.length; i++) {
    all[probability[i]]++;
    if (reference && reference[i]) inside[probability[i]]++;
  }
  for (let l = LEVELS; l >= 0; l--) {
    all[l] += all[l + 1];
    inside[l] += inside[l + 1];
  }
  frame.all = all;
  frame.inside = inside;
}

function counts(some) {
  let predicted = 0, scoredPredicted = 0, hit = 0, reference = 0, scored = 0;
  for (const f of some) {
    predicted += f.all[level];
    if (!f.reference) continue;
    scored++;
    scoredPredicted += f.all[level];
    hit += f.inside[level];
    reference += f.inside[0];
  }
  const figures = { predicted };
  if (some.every((f) => f.spacing)) {
    if (some.length === 1) figures.area = predicted * some[0].spacing[1] * some[0].spacing[2];
    else figures.volume = some.reduce((ml, f) => ml + (f.all[level] * f.spacing[0] * f.spacing[1] * f.spacing[2]) / 1000, 0);
  }
  if (scored) {
    const both = scoredPredicted + reference;
    Object.assign(figures, {
      reference,
      dice: both ? (2 * hit) / both : 1,
      iou: both ? hit / (both - hit) : 1,
      precision: scoredPredicted ? hit / scoredPredicted : null,
      recall: reference ? hit / reference : null,
    });
  }
  return figures;
}

function slicesOf(data, pixels, n) {
  return Array.from({ length: n }, (_, s) => data.subarray(s * pixels, (s + 1) * pixels));
}

async function open(value) {
  const opened = [];
  for (const [c, one] of value.cases.entries()) {
    const pixels = one.width * one.height;
    const images = await inflate(one.image);
    // A study is shown while the network still runs: nothing is predicted yet.
    const probabilities = one.probability ? await inflate(one.probability) : new Uint8Array(images.length);
    const image = slicesOf(images, pixels, one.labels.length);
    const probability = slicesOf(probabilities, pixels, one.labels.length);
    one.labels.forEach((label, s) =>
      opened.push({ case: c, slice: s, label, width: one.width, height: one.height, spacing: one.spacing, image: image[s], probability: probability[s], pending: !one.probability, reference: null }));
  }
  shown = value.id;
  frames = opened;
  await attach(value.cases);
  // Begin where there is most to see; in the middle while nothing is known.
  const middle = frames[0].pending ? frames.length >> 1 : 0;
  place = frames.reduce((best, f, i) => (f.all[128] > frames[best].all[128] ? i : best), middle);
}

async function attach(cases) {
  for (const [c, one] of cases.entries()) {
    const own = frames.filter((f) => f.case === c);
    const masks = one.reference ? slicesOf(await inflate(one.reference), own[0].width * own[0].height, own.length) : [];
    own.forEach((f, s) => {
      f.reference = one.reference && one.referenced[s] ? masks[s] : null;
      tally(f);
    });
  }
}

const offscreen = document.createElement("canvas");
const layer = document.createElement("canvas");

function put(canvas, frame, paint) {
  canvas.width = frame.width;
  canvas.height = frame.height;
  const context = canvas.getContext("2d");
  const data = context.createImageData(frame.width, frame.height);
  paint(data.data);
  context.putImageData(data, 0, 0);
}

function outline(frame, inside) {
  const path = new Path2D();
  const { width: w, height: h } = frame;
  for (let y = 0, i = 0; y < h; y++)
    for (let x = 0; x < w; x++, i++) {
      if (!inside(i)) continue;
      if (x === 0 || !inside(i - 1)) { path.moveTo(x, y); path.lineTo(x, y + 1); }
      if (x === w - 1 || !inside(i + 1)) { path.moveTo(x + 1, y); path.lineTo(x + 1, y + 1); }
      if (y === 0 || !inside(i - w)) { path.moveTo(x, y); path.lineTo(x + 1, y); }
      if (y === h - 1 || !inside(i + w)) { path.moveTo(x, y + 1); path.lineTo(x + 1, y + 1); }
    }
  return path;
}

function drawPanel(figure, frame, fill, paths, dim) {
  const canvas = figure.querySelector("canvas");
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(figure.clientWidth * ratio));
  canvas.width = width;
  const [, row, column] = frame.spacing ?? [1, 1, 1]; // millimetres: a voxel need not be square
  canvas.height = Math.round((width * frame.height * row) / (frame.width * column));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.globalAlpha = dim;
  context.drawImage(offscreen, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
  if (fill) {
    put(layer, frame, fill);
    context.imageSmoothingEnabled = false;
    context.drawImage(layer, 0, 0, canvas.width, canvas.height);
  }
  const scale = canvas.width / frame.width;
  context.scale(scale, canvas.height / frame.height);
  for (const { path, colour, width: line } of paths) {
    context.strokeStyle = `rgb(${colour})`;
    context.lineWidth = (line * ratio) / scale;
    context.stroke(path);
  }
}

function draw() {
  const frame = frames[place];
  if (!frame) return;
  const started = performance.now();
  const { probability, reference, image } = frame;
  const predicted = (i) => probability[i] >= level;
  const known = (i) => reference[i] > 0;
  put(offscreen, frame, (rgba) => {
    for (let i = 0, j = 0; i < image.length; i++, j += 4) {
      rgba[j] = rgba[j + 1] = rgba[j + 2] = image[i];
      rgba[j + 3] = 255;
    }
  });
  const tint = (colourOf) => (rgba) => {
    for (let i = 0, j = 0; i < image.length; i++, j += 4) {
      const colour = colourOf(i);
      if (!colour) continue;
      [rgba[j], rgba[j + 1], rgba[j + 2]] = colour;
      rgba[j + 3] = 150;
    }
  };
  const agreement = (i) => (predicted(i) ? (known(i) ? BOTH : PREDICTION) : known(i) ? REFERENCE : null);
  // The reference is the wider line below, so that both show where they run together, in grey too.
  const own = { path: outline(frame, predicted), colour: PREDICTION, width: 1.4 };
  const truth = reference && { path: outline(frame, known), colour: REFERENCE, width: 4 };
  const panel = (name) => find(`[data-panel="${name}"]`);
  for (const name of ["reference", "agreement"]) panel(name).hidden = !reference;
  for (const name of ["prediction", "outlines"]) panel(name).hidden = frame.pending;
  find(".lgg-figures").hidden = frame.pending;
  drawPanel(panel("image"), frame, null, [], 1);
  drawPanel(panel("prediction"), frame, tint((i) => (predicted(i) ? PREDICTION : null)), [], 1);
  drawPanel(panel("outlines"), frame, null, truth ? [truth, own] : [own], 1);
  if (reference) {
    drawPanel(panel("reference"), frame, tint((i) => (known(i) ? REFERENCE : null)), [], 1);
    drawPanel(panel("agreement"), frame, tint(agreement), [], 0.55);
  }
  write(frame);
  find(".lgg-viewer").dataset.milliseconds = (performance.now() - started).toFixed(2);
}

function write(frame) {
  const here = counts([frame]);
  const all = counts(frames);
  const series = counts(frames.filter((f) => f.case === frame.case));
  const rows = [["dice", "Dice", 3], ["iou", "IoU", 3], ["precision", say("precision"), 3], ["recall", say("recall"), 3],
    ["predicted", `${say("area")} (${say("pixels")})`, 0], ["reference", `${say("reference_area")} (${say("pixels")})`, 0],
    ["area", `${say("area")} (mm²)`, 0], ["volume", `${say("predicted_volume")} (mL)`, 2]];
  const several = frames.length > 1;
  // Two patients at once: each has a score of its own beside the one of all slices.
  const severalSeries = frames.some((f) => f.case) && frames.some((f) => f.slice);
  const cell = (name, column, figures, digits) =>
    `<td data-figure="${name}" data-of="${column}" data-exact="${figures[name]}">${number(figures[name], digits)}</td>`;
  find("tbody").innerHTML = rows
    .filter(([name]) => all[name] !== undefined || here[name] !== undefined)
    .map(([name, label, digits]) =>
      `<tr><th scope="row">${label}</th>${cell(name, "slice", here, digits)}${severalSeries ? cell(name, "series", series, digits) : ""}${several ? cell(name, "all", all, digits) : ""}</tr>`)
    .join("");
  find('[data-column="slice"]').textContent = say("this_slice");
  find('[data-column="series"]').textContent = say("this_series");
  find('[data-column="series"]').hidden = !severalSeries;
  find('[data-column="all"]').textContent = say("all_slices");
  find('[data-column="all"]').hidden = !several;
  const swatch = (colour, key) => `<li><span class="lgg-swatch" style="background:rgb(${colour})"></span>${say(key)}</li>`;
  find(".lgg-legend").innerHTML = frame.reference
    ? swatch(BOTH, "hit") + swatch(REFERENCE, "missed") + swatch(PREDICTION, "extra") : swatch(PREDICTION, "panel_prediction");
  find('[data-note="convention"]').textContent = all.dice === undefined ? "" : say("convention");
  const touch = window.matchMedia("(hover: none)").matches;
  find('[data-note="scroll"]').textContent = several && !touch ? say("how_to_scroll") : "";
}

// Everything but the pictures: texts, the slice slider, what is visible.
function render() {
  const frame = frames[place];
  find(".lgg-viewer").setAttribute("aria-label", say("viewer"));
  find(".lgg-empty").textContent = say("nothing_yet");
  find(".lgg-empty").hidden = !!frame;
  find(".lgg-body").hidden = !frame;
  if (!frame) return;
  find(".lgg-name").textContent = frame.label;
  find(".lgg-scroll").hidden = frames.length < 2;
  find(".lgg-scroll-label").textContent = say("slice");
  const slider = find(".lgg-scroll input");
  slider.max = frames.length;
  slider.value = place + 1;
  find(".lgg-scroll output").textContent = `${place + 1} / ${frames.length}`;
  for (const figure of element.querySelectorAll("figure")) {
    const key = figure.dataset.panel === "outlines" && !frame.reference ? "outline" : figure.dataset.panel;
    figure.querySelector("figcaption").textContent = say(`panel_${key}`);
    figure.querySelector("canvas").setAttribute("aria-label", say("picture_of", { panel: say(`panel_${key}`), label: frame.label }));
  }
  draw();
}

function go(to) {
  if (!frames.length) return;
  place = Math.min(frames.length - 1, Math.max(0, to));
  render();
}

async function load(value) {
  if (!value || !value.cases) {
    frames = [];
    shown = null;
  } else {
    level = Math.ceil(value.threshold * LEVELS);
    const known = value.id === shown;
    await (known ? attach(value.cases) : open(value));
    // One column: the result lies far below the box, and nothing else would tell that it is there.
    if (!known && window.innerWidth < 700) document.querySelector("#threshold")?.scrollIntoView();
  }
  render();
}

let loading = Promise.resolve(); // one value after the other: unpacking takes its time
watch("value", () => {
  const value = props.value;
  loading = loading.then(() => load(value));
});
watch("language", render);
element.addEventListener("input", (event) => { if (event.target.closest(".lgg-scroll")) go(Number(event.target.value) - 1); });
element.addEventListener("lgg-threshold", (event) => { level = Math.ceil(event.detail * LEVELS); draw(); });
// A notch of a mouse is one slice; the stream of small steps from a trackpad is slowed down to something to look at.
let wheeled = 0, stepped = 0;
element.addEventListener("wheel", (event) => {
  if (frames.length < 2 || !event.target.closest("canvas") || event.ctrlKey) return;
  event.preventDefault();
  wheeled += event.deltaY * (event.deltaMode ? 33 : 1);
  if (Math.abs(wheeled) < 50 && event.timeStamp - stepped < 80) return;
  go(place + Math.sign(wheeled));
  wheeled = 0;
  stepped = event.timeStamp;
}, { passive: false });
element.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[event.key];
  if (!step || event.target.matches("input") || frames.length < 2) return;
  event.preventDefault();
  go(place + step);
});
new ResizeObserver(() => draw()).observe(element);
load(props.value);
