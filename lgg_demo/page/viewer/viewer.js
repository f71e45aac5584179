// The viewer of LGG Demo. It runs inside gr.HTML, which gives `element`, `props` and `watch`; counts.js, paint.js and
// volume.js stand before it in the same script (ui.py puts them together).
//
// The server sends each case once: 8-bit images, 8-bit probability and reference mask, deflated. From then on everything
// that can be seen or counted is made here, so that no hand waits for a network. Pictures are drawn on animation frames
// only, and only those of which something has changed.

const find = (selector) => element.querySelector(selector);
const root = find(".lgg-viewer");
const SIDE = ["image", "prediction", "reference", "agreement", "uncertainty"];
const PLANES = ["axial", "coronal", "sagittal"];
const FEWEST_FOR_PLANES = 9; // slices: fewer are no volume
const MOST_STROKES = 200; // kept for undo
const POSE = { turn: 0.6, tilt: 0.3 };
const WHEEL_NOTCH = 50;

let frames = []; // one a slice, over all cases
let place = 0;
let threshold = 0.5;
let best = null; // the threshold that was best in cross-validation, where the model's record has one
let model = null;
let shown = null; // identity of the result on screen
let strokes = [];

let layout = "side";
// Side by side a layer is a panel of its own; in the other layouts it lies over the image.
const layers = {
  side: { image: true, prediction: true, reference: true, agreement: false, uncertainty: false },
  over: { image: true, prediction: true, reference: true, agreement: false, uncertainty: false },
};
let fill = true;
let opacity = 0.6;
let channel = "flair";
let tool = null; // "brush", "eraser"
let brush = 9; // pixels across
let swipe = 0.5;
let blink = false;
const view = { zoom: 1, x: 0.5, y: 0.5 };
const cross = { x: 0, y: 0 };
let pose = { ...POSE };
let cursor = null; // where the brush is, in pixels of the slice

const level = () => levelOf(threshold);
const lit = () => layers[layout === "side" ? "side" : "over"];
const series = () => frames.filter((f) => f.of === frames[place].of);
const hasReference = () => frames.some((f) => f.reference !== null);
const windowNow = () => {
  const { windows } = frames[place].of;
  return windows[channel] ?? windows.flair;
};

const say = (key, values = {}) => {
  const strings = props.strings[props.language] ?? props.strings.en;
  const alone = props.language === "fr" ? ["0", "1"] : ["1"]; // as `_Written` of messages.py has it
  return strings[key].replace(/\{(\w+)(?::(.*?)\|(.*?))?\}/g, (_, name, one, several) =>
    several === undefined ? values[name] : `${values[name]} ${alone.includes(values[name]) ? one : several}`);
};
const formats = new Map(); // making one takes longer than drawing a slice
const number = (value, digits) => {
  if (value == null) return "–";
  const key = `${props.language}/${digits}`;
  if (!formats.has(key))
    formats.set(key, new Intl.NumberFormat(props.language, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  return formats.get(key).format(rounded(value, digits));
};

// What the server sends

const slicesOf = (data, pixels, n) => Array.from({ length: n }, (_, s) => data.subarray(s * pixels, (s + 1) * pixels));

async function open(value) {
  const opened = [];
  for (const [c, one] of value.cases.entries()) {
    const pixels = one.width * one.height;
    const n = one.labels.length;
    const sent = { flair: one, ...one.channels };
    const images = {}, windows = {};
    for (const [name, { image, window }] of Object.entries(sent)) {
      images[name] = slicesOf(await inflate(image), pixels, n);
      windows[name] = { low: window[0], high: window[1] };
    }
    // A study is shown while the network still runs: nothing is predicted yet.
    const probability = slicesOf(one.probability ? await inflate(one.probability) : new Uint8Array(n * pixels), pixels, n);
    const of = { windows, sent: structuredClone(windows), oriented: one.oriented, pixel_mm2: one.pixel_mm2, voxel_ml: one.voxel_ml };
    one.labels.forEach((label, s) =>
      opened.push({
        case: c, slice: s, label, of, width: one.width, height: one.height, spacing: one.spacing,
        image: Object.fromEntries(Object.entries(images).map(([name, stack]) => [name, stack[s]])),
        probability: probability[s], pending: !one.probability, reference: null, edits: null,
      }));
  }
  await attach(value.cases, opened);
  // All at once, and only now: what draws in the meantime draws the case before, whole.
  begone();
  shown = value.id;
  frames = opened;
  place = frames[0].pending ? frames.length >> 1 : 0;
  goMost();
  resetView();
}

// Nothing of a case is left for the next one: no stroke to undo, no brush in the hand, no surface.
function begone() {
  frames = [];
  strokes = [];
  shown = null;
  tool = cursor = gesture = null;
  Object.assign(surface, { key: null, prediction: null, reference: null });
  tell("");
}

// Begin where there is most to see; where nothing is, stay.
function goMost() {
  place = frames.reduce((most, f, i) => (f.all[128] > frames[most].all[128] ? i : most), place);
  crossToMiddle(frames[place]);
}

// The planes begin at the middle of what is outlined, or of the picture.
function crossToMiddle(frame) {
  let x = 0, y = 0, n = 0;
  frame.probability.forEach((p, i) => {
    if (p < 128) return;
    x += i % frame.width;
    y += Math.floor(i / frame.width);
    n++;
  });
  cross.x = n ? Math.round(x / n) : frame.width >> 1;
  cross.y = n ? Math.round(y / n) : frame.height >> 1;
}

// A reference, and the prediction where it was still awaited.
async function attach(cases, to) {
  for (const [c, one] of cases.entries()) {
    const own = to.filter((f) => f.case === c);
    const unpacked = async (stack) => (stack ? slicesOf(await inflate(stack), own[0].width * own[0].height, own.length) : null);
    const masks = await unpacked(one.reference);
    const levels = own[0].pending ? await unpacked(one.probability) : null;
    own.forEach((f, s) => {
      f.reference = masks && one.referenced[s] ? masks[s] : null;
      if (levels) Object.assign(f, { probability: levels[s], pending: false });
      tally(f);
    });
  }
}

async function load(value) {
  let fresh = false;
  if (!value || !value.cases) begone();
  else {
    best = value.best_threshold ?? best;
    model = value.model ?? model;
    const known = value.id === shown;
    if (known) {
      // A study that was looked at while the network ran stays as the hand has left it, zoom and slice and all.
      const unmoved = frames[0].pending && place === frames.length >> 1;
      await attach(value.cases, frames);
      if (unmoved && place === frames.length >> 1) goMost();
    } else await open(value);
    fresh = !known;
    threshold = sliderNow() ?? value.threshold; // it may have been moved since the server was asked
    if (!(channel in frames[place].image)) channel = "flair";
  }
  render();
  // One column: the result lies far below the box, and nothing else would tell that it is there.
  if (fresh && window.innerWidth <= 700) document.querySelector("#threshold")?.scrollIntoView();
}

// Pictures

const sheets = {}; // by plane and what they show
const paths = {};
const sources = {};
const mask = { axial: null };

// What a plane shows: arrays of its own pixels. `key` changes with the place and the channel, `fixed` with the place and
// with corrections or a new reference, `masked` with the threshold as well.
function axialSource() {
  const frame = frames[place];
  const key = `${shown}/${place}/${frame.image[channel] ? channel : "flair"}`;
  const masked = `${shown}/${place}/${level()}/${frame.version}`;
  if (sources.axial?.masked === masked && sources.axial.key === key) return sources.axial;
  const pixels = frame.width * frame.height;
  if (mask.axial?.length !== pixels) mask.axial = new Uint8Array(pixels);
  maskInto(mask.axial, frame, level());
  sources.axial = {
    plane: "axial", key, masked, fixed: `${shown}/${place}/${frame.version}`, width: frame.width, height: frame.height, image: frame.image[channel] ?? frame.image.flair,
    mask: mask.axial, reference: frame.reference, probability: frame.probability,
  };
  return sources.axial;
}

function acrossSource(plane) {
  const own = series();
  const at = plane === "coronal" ? cross.y : cross.x;
  const versions = own.reduce((sum, f) => sum + f.version, 0);
  const key = `${shown}/${own[0].case}/${at}/${channel}`;
  const masked = `${shown}/${own[0].case}/${at}/${level()}/${versions}`;
  if (sources[plane]?.masked === masked && sources[plane].key === key) return sources[plane];
  const width = plane === "coronal" ? own[0].width : own[0].height;
  const arrays = Array.from({ length: 5 }, () => new Uint8Array(width * own.length));
  const reach = level();
  sliceAcross(arrays[0], own, plane, at, (f, i) => (f.image[channel] ?? f.image.flair)[i]);
  sliceAcross(arrays[1], own, plane, at, (f, i) => {
    const edit = f.edits === null ? UNTOUCHED : f.edits[i];
    return edit === ADDED || (edit === UNTOUCHED && f.probability[i] >= reach) ? 1 : 0;
  });
  sliceAcross(arrays[2], own, plane, at, (f, i) => (f.reference === null ? 0 : f.reference[i]));
  sliceAcross(arrays[3], own, plane, at, (f, i) => f.probability[i]);
  sliceAcross(arrays[4], own, plane, at, (f) => (f.reference === null ? 0 : 1));
  const [image, masked1, reference, probability, known] = arrays;
  sources[plane] = {
    plane, key, masked, fixed: `${shown}/${own[0].case}/${at}/${versions}`, width, height: own.length, image, mask: masked1, probability,
    reference: own.some((f) => f.reference !== null) ? reference : null, known,
  };
  return sources[plane];
}

function sheet(source, what, key, paintWords) {
  const own = (sheets[`${source.plane}/${what}`] ??= newSheet());
  paint(own, key, source.width, source.height, paintWords);
  return own;
}

const tinted = (array, colour) => {
  const on = word(colour);
  return (words) => {
    for (let i = 0; i < words.length; i++) words[i] = array[i] ? on : 0;
  };
};

function outlined(source, what, key, colour, line) {
  const own = (paths[`${source.plane}/${what}`] ??= {});
  if (own.key !== key) Object.assign(own, { key, path: outlineOf(source[what], source.width, source.height) });
  return { path: own.path, colour, line, id: key };
}

const parts = {
  image(source, alpha = 1) {
    const window = windowNow();
    const key = `${source.key}/${window.low}/${window.high}`;
    const own = sheet(source, "image", key, (words) => {
      const grey = greysOf(window);
      for (let i = 0; i < words.length; i++) words[i] = grey[source.image[i]];
    });
    return [{ sheet: own, alpha, smooth: true, id: key }];
  },
  prediction(source) {
    if (!fill) return [outlined(source, "mask", source.masked, PREDICTION, 1.4)];
    const own = sheet(source, "prediction", source.masked, tinted(source.mask, PREDICTION));
    return [{ sheet: own, alpha: opacity, id: source.masked }];
  },
  // Outlined, the reference is the wider line below, so that both show where they run together, in grey too.
  reference(source, filled = fill) {
    if (!source.reference) return [];
    const key = `${source.fixed}/reference`;
    if (!filled) return [outlined(source, "reference", key, REFERENCE, 4)];
    return [{ sheet: sheet(source, "reference", key, tinted(source.reference, REFERENCE)), alpha: opacity, id: key }];
  },
  agreement(source) {
    if (!source.reference) return [];
    if (!fill) return [...parts.reference(source), ...parts.prediction(source)];
    const key = `${source.masked}/agreement`;
    const [neither, missed, extra, hit] = [0, word(REFERENCE), word(PREDICTION), word(BOTH)];
    const own = sheet(source, "agreement", key, (words) => {
      const { mask: ours, reference, known } = source; // known: which rows of a plane are of slices with a reference
      const judged = (i) => (ours[i] ? (reference[i] ? hit : extra) : reference[i] ? missed : neither);
      for (let i = 0; i < words.length; i++) words[i] = known && !known[i] ? neither : judged(i);
    });
    return [{ sheet: own, alpha: opacity, id: key }];
  },
  uncertainty(source) {
    const key = `${source.fixed}/uncertainty`;
    const own = sheet(source, "uncertainty", key, (words) => {
      for (let i = 0; i < words.length; i++) words[i] = doubts[source.probability[i]];
    });
    return [{ sheet: own, alpha: Math.min(1, opacity + 0.35), id: key }];
  },
};

// The layers that are on, over one image.
function over(source, on = lit()) {
  if (frames[place].pending || blink) return on.image ? parts.image(source) : [];
  const all = on.image ? parts.image(source) : [];
  if (on.uncertainty) all.push(...parts.uncertainty(source));
  if (on.agreement && source.reference) return [...all, ...parts.agreement(source)];
  // Two fills would mix to a third colour: the reference lies over a filled prediction as a line.
  const known = on.reference ? parts.reference(source, fill && !on.prediction) : [];
  const ours = on.prediction ? parts.prediction(source) : [];
  return fill ? [...all, ...ours, ...known] : [...all, ...known, ...ours];
}

const line = (id, draw) => ({ id, draw });

function panelParts(name) {
  if (name === "coronal" || name === "sagittal") {
    const source = acrossSource(name);
    return [source, [...over(source), crossLines(name, source)]];
  }
  const source = axialSource();
  const ring = tool && cursor ? [brushRing()] : [];
  if (name === "axial") return [source, [...over(source), crossLines(name, source), ...ring]];
  if (name === "main") {
    if (layout === "overlay") return [source, [...over(source), ...ring]];
    const on = lit();
    const right = over(source, { ...on, reference: false, agreement: false });
    const left = over(source, { ...on, prediction: false, agreement: false, uncertainty: false });
    const part = (list, from, to) => list.map((p) => ({ ...p, clip: { from, to }, id: `${p.id}/${from}/${to}` }));
    const divider = line(`swipe/${swipe}`, (context, canvas, ratio) => {
      context.fillStyle = "white";
      context.fillRect(swipe * canvas.width - ratio, 0, 2 * ratio, canvas.height);
    });
    return [source, [...part(left, 0, swipe), ...part(right, swipe, 1), divider, ...ring]];
  }
  if (name === "image" || blink || frames[place].pending) return [source, [...parts.image(source), ...ring]];
  // Dimmed, where colour carries the message.
  const dim = (name === "agreement" && fill) || name === "uncertainty" ? 0.55 : 1;
  return [source, [...parts.image(source, dim), ...parts[name](source), ...ring]];
}

function brushRing() {
  const { spacing } = frames[place];
  const tall = spacing ? spacing[1] / spacing[2] : 1;
  const colour = tool === "brush" ? "white" : css(REFERENCE);
  return line(`ring/${cursor.x}/${cursor.y}/${brush}/${tool}`, (context, canvas, ratio, placed) => {
    context.strokeStyle = colour;
    context.lineWidth = 1.5 * ratio;
    if (tool === "eraser") context.setLineDash([4 * ratio, 3 * ratio]);
    context.beginPath();
    const x = placed.left + cursor.x * placed.scaleX, y = placed.top + cursor.y * placed.scaleY;
    const radius = Math.max(brush / 2, 0.5);
    context.ellipse(x, y, radius * placed.scaleX, (radius / tall) * placed.scaleY, 0, 0, 2 * Math.PI);
    context.stroke();
  });
}

function crossAt(name, source) {
  const up = source.height - 1 - frames[place].slice;
  if (name === "axial") return [cross.x + 0.5, cross.y + 0.5];
  return [(name === "coronal" ? cross.x : cross.y) + 0.5, up + 0.5];
}

function crossLines(name, source) {
  const [x, y] = crossAt(name, source);
  return line(`cross/${x}/${y}`, (context, canvas, ratio, placed) => {
    context.strokeStyle = "rgb(255 255 255 / 0.55)";
    context.lineWidth = ratio;
    context.beginPath();
    const sx = Math.round(placed.left + x * placed.scaleX) + 0.5, sy = Math.round(placed.top + y * placed.scaleY) + 0.5;
    context.moveTo(sx, 0);
    context.lineTo(sx, canvas.height);
    context.moveTo(0, sy);
    context.lineTo(canvas.width, sy);
    context.stroke();
  });
}

// Which way is right and left, where the file says it: radiological, the patient's right on the left.
const SIDES = {
  axial: ["side_right", "side_left"], coronal: ["side_right", "side_left"], sagittal: ["side_front", "side_back"],
};

function letters(plane) {
  const pair = SIDES[plane].map((key) => say(key));
  return line(`letters/${pair}`, (context, canvas, ratio) => {
    context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
    context.fillStyle = "white";
    context.strokeStyle = "black";
    context.lineWidth = 3 * ratio;
    context.textBaseline = "middle";
    pair.forEach((text, k) => {
      context.textAlign = k ? "right" : "left";
      const x = k ? canvas.width - 5 * ratio : 5 * ratio;
      context.strokeText(text, x, canvas.height * 0.62); // below the middle, where the cross often is
      context.fillText(text, x, canvas.height * 0.62);
    });
  });
}

const panels = new Map(); // canvas to what it shows: {key, placed, source}
const figures = [...element.querySelectorAll(".lgg-panels figure")];
const canvasOf = (figure) => figure.querySelector("canvas");
const ratioNow = () => Math.min(2, window.devicePixelRatio || 1);

function centreOf(name, source) {
  if (layout !== "planes") return view;
  if (view.zoom === 1) return { x: 0.5, y: 0.5 };
  const [x, y] = crossAt(name, source);
  const half = 0.5 / view.zoom;
  const within = (v) => Math.min(1 - half, Math.max(half, v));
  return { x: within(x / source.width), y: within(y / source.height) };
}

function drawPanel(figure) {
  const name = figure.dataset.panel;
  const canvas = canvasOf(figure);
  const ratio = ratioNow();
  if (name === "surface") return drawSurface(canvas);
  const [source, all] = panelParts(name);
  if (frames[place].of.oriented) all.push(letters(PLANES.includes(name) ? name : "axial"));
  const centre = centreOf(name, source);
  const key = [canvas.width, canvas.height, view.zoom, centre.x, centre.y, opacity, ...all.map((p) => `${p.id}:${p.alpha}:${p.line}`)].join();
  const panel = panels.get(canvas) ?? {};
  if (panel.key === key) return;
  const placed = placing(canvas, source, view.zoom, centre);
  compose(canvas, { width: source.width, height: source.height, parts: all.filter((p) => !p.draw) }, view.zoom, centre, ratio);
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  for (const part of all) {
    if (!part.draw) continue;
    context.save();
    part.draw(context, canvas, ratio, placed);
    context.restore();
  }
  panels.set(canvas, { key, placed, source });
}

// The surface, made a moment after the last change: it needs every mask of the series.
const surface = { key: null, wanted: null, prediction: null, reference: null, timer: 0 };
const surfaceSheet = newSheet();
let surfaceDepth = new Float32Array(0);

function makeSurface() {
  if (layout !== "planes" || !frames.length) return;
  const own = series();
  const { width, height } = own[0];
  const reach = level();
  surface.key = surface.wanted;
  const masks = own.map((f) => {
    const one = new Uint8Array(width * height);
    maskInto(one, f, reach);
    return one;
  });
  const spacing = spacingOf(own);
  surface.prediction = surfaceOf(masks, width, height, spacing);
  const known = own.map((f) => f.reference ?? new Uint8Array(width * height));
  surface.reference = own.some((f) => f.reference) ? surfaceOf(known, width, height, spacing) : null;
  refresh();
}

function drawSurface(canvas) {
  const own = series();
  surface.wanted = `${shown}/${own[0].case}/${level()}/${own.reduce((sum, f) => sum + f.version, 0)}`;
  if (surface.wanted !== surface.key) {
    clearTimeout(surface.timer);
    surface.timer = setTimeout(makeSurface, surface.key === null ? 0 : 120);
  }
  const spacing = spacingOf(own);
  const size = [own.length * spacing[0], own[0].height * spacing[1], own[0].width * spacing[2]];
  const { width, height } = canvas;
  const scale = (view.zoom * Math.min(width, height)) / Math.hypot(...size) / 1.02;
  const context = canvas.getContext("2d");
  const ratio = ratioNow();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalAlpha = 1;
  context.fillStyle = "black";
  context.fillRect(0, 0, width, height);
  const box = boxOf(size, pose, scale, width, height);
  context.strokeStyle = "rgb(255 255 255 / 0.3)";
  context.lineWidth = ratio;
  context.stroke(box.path);
  if (surfaceDepth.length !== width * height) surfaceDepth = new Float32Array(width * height);
  const on = lit();
  const show = (one, colour, hatch) => {
    if (!one) return;
    surfaceSheet.key = null;
    paint(surfaceSheet, "surface", width, height, (words) => {
      words.fill(0);
      shade(one, words, surfaceDepth, width, height, pose, scale, colour, hatch);
    });
    context.drawImage(surfaceSheet.canvas, 0, 0);
  };
  if (blink) return;
  if (on.prediction) show(surface.prediction, PREDICTION, 0);
  if (on.reference) show(surface.reference, REFERENCE, on.prediction && surface.prediction ? Math.round(12 * ratio) : 0);
  if (!frames[place].of.oriented) return;
  context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
  context.fillStyle = "white";
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const [key, at] of [["side_right", [-1.12, 0, 0]], ["side_left", [1.12, 0, 0]], ["side_front", [0, -1.12, 0]], ["side_back", [0, 1.12, 0]], ["side_up", [0, 0, 1.12]]])
    context.fillText(say(key), ...box.at(at));
}

let asked = false;
function refresh() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
  });
}

function draw() {
  if (!frames[place]) return;
  const started = performance.now();
  for (const figure of figures) if (!figure.hidden) drawPanel(figure);
  write();
  root.dataset.milliseconds = (performance.now() - started).toFixed(2);
  root.dataset.draws = Number(root.dataset.draws ?? 0) + 1;
}

// Figures, curve, strip

let written = ""; // which rows and columns the table has
const cells = new Map();

function rowsOf(columns) {
  return [
    ["dice", say("dice"), 3], ["iou", say("iou"), 3], ["precision", say("precision"), 3], ["recall", say("recall"), 3],
    ["expected", say("expected"), 3],
    ["predicted", `${say("area")} (${say("pixels")})`, 0], ["reference", `${say("reference_area")} (${say("pixels")})`, 0],
    ["corrected", `${say("corrected_area")} (${say("pixels")})`, 0],
    ["area", `${say("area")} (${say("unit_area")})`, 0], ["volume", `${say("predicted_volume")} (${say("unit_volume")})`, 2],
  ].filter(([name]) => columns.some(([, , values]) => values[name] !== undefined));
}

function columnsNow() {
  const frame = frames[place];
  const columns = [["slice", "this_slice", [frame]]];
  // Two patients at once: each has a score of its own beside the one of all slices.
  if (frames.some((f) => f.case) && frames.some((f) => f.slice)) columns.push(["series", "this_series", series()]);
  if (frames.length > 1) columns.push(["all", "all_slices", frames]);
  return columns.map(([name, key, some]) => [name, key, figuresOf(some, level())]);
}

function write() {
  drawStripNow();
  if (frames[place].pending) return;
  const columns = columnsNow();
  const rows = rowsOf(columns);
  const form = [props.language, ...rows.map((r) => r[0]), ...columns.map((c) => c[0])].join();
  if (form !== written) {
    written = form;
    cells.clear();
    const body = find("tbody");
    body.replaceChildren(...rows.map(([name, label]) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = label;
      row.append(head);
      for (const [of] of columns) {
        const cell = document.createElement("td");
        cell.dataset.figure = name;
        cell.dataset.of = of;
        cells.set(`${name}/${of}`, cell);
        row.append(cell);
      }
      return row;
    }));
    for (const head of element.querySelectorAll("[data-column]")) {
      const column = columns.find(([name]) => name === head.dataset.column);
      head.hidden = !column;
      head.textContent = column ? say(column[1]) : "";
    }
  }
  for (const [name, , digits] of rows)
    for (const [of, , values] of columns) {
      const cell = cells.get(`${name}/${of}`);
      cell.dataset.exact = values[name];
      cell.textContent = number(values[name], digits);
    }
  const tuned = threshold !== 0.5 && hasReference();
  note("caution", tuned ? say("caution") : "");
  const corrected = columns.at(-1)[2].corrected;
  note("corrected", corrected === undefined ? "" : say("corrected_note", { pixels: number(corrected, 0) }));
  drawCurveNow();
}

function note(name, text) {
  const target = find(`[data-note="${name}"]`);
  if (target.textContent !== text) target.textContent = text;
}

const curve = { key: null, whole: null, own: null };

function drawCurveNow() {
  const figure = find(".lgg-curve");
  const key = `${shown}/${place}/${frames.reduce((sum, f) => sum + f.version, 0)}`;
  if (curve.key !== key) {
    curve.key = key;
    curve.whole = curveOf(frames);
    curve.own = frames.length > 1 ? curveOf([frames[place]]) : null;
  }
  figure.hidden = !curve.whole;
  if (!curve.whole) return;
  const marks = [{ threshold: 0.5, label: "", dashed: true }];
  if (best !== null) marks.push({ threshold: best, label: say("best_mark", { threshold: number(best, 2) }), dashed: true });
  marks.push({ threshold, label: "", strong: true });
  const canvas = canvasOf(figure);
  drawCurve(canvas, curve.whole, curve.own, marks, { ...STAGE, number: (v) => number(v, v % 1 ? 1 : 0) }, ratioNow());
}

const STAGE = {
  text: "#e6eaee", line: "#39434e", bar: css(PREDICTION), reference: css(REFERENCE), current: "rgb(255 255 255 / 0.28)",
};

const findings = () => frames.map((f) => predictedOf(f, level()) > 0 || isUnsure(f));

function drawStripNow() {
  const canvas = find(".lgg-strip");
  if (frames.length < 2) return;
  const slices = frames.map((f) => ({
    area: predictedOf(f, level()), doubt: doubtOf(f), unsure: isUnsure(f), reference: f.reference === null ? null : f.known,
  }));
  drawStrip(canvas, slices, place, STAGE, ratioNow());
  const filled = slices.filter((s) => s.area).length, unsure = slices.filter((s) => s.unsure).length;
  const label = frames[place].pending ? say("slice") : say("strip", { filled, unsure, slices: slices.length });
  if (canvas.getAttribute("aria-label") !== label) {
    canvas.setAttribute("aria-label", label);
    canvas.title = label;
  }
}

// Texts, buttons, sizes: everything but what a threshold moves

const LAYOUTS = [["side", "layout_side"], ["overlay", "layout_overlay"], ["swipe", "layout_swipe"], ["planes", "layout_planes"]];
const GROUPS = [
  ["tools_layout", LAYOUTS.map(([name, key]) => ({ name, key, shortcut: "V" }))],
  ["tools_layers", SIDE.map((name, k) => ({ name, key: `panel_${name}`, shortcut: `${k + 1}` }))],
  ["tools_style", [{ name: "fill", key: "style_fill", shortcut: "F" }, { name: "outline", key: "style_outline", shortcut: "F" }]],
  ["tools_channel", ["pre", "flair", "post"].map((name) => ({ name: `channel-${name}`, key: `channel_${name}`, shortcut: "C" }))],
  ["tools_correct", [
    { name: "brush", key: "brush", shortcut: "B" }, { name: "eraser", key: "eraser", shortcut: "E" },
    { name: "undo", key: "undo", shortcut: "Z" }]],
  ["tools_out", [
    { name: "save", key: "save", shortcut: "S" }, { name: "copy", key: "copy", shortcut: "T" },
    { name: "reset", key: "reset", shortcut: "R" }, { name: "help", key: "help", shortcut: "?" }]],
];
const ONE_OF = ["tools_layout", "tools_style", "tools_channel"]; // one of each is on, always
const EXPLAINED = ["prediction", "agreement", "uncertainty", "swipe", "planes", "brush", "eraser", "reset"];
const DIALS = [
  ["opacity", "opacity", 0, 100], ["width", "window_width", 1, 510], ["level", "window_level", -128, 383],
  ["brush", "brush_size", 1, 60],
];
const HELP = [
  "help_slices", "help_findings", "help_layers", "help_blink", "help_layout", "help_style", "help_threshold", "help_zoom",
  "help_window", "help_brush", "help_out", "help_mouse", "help_touch",
];
const buttons = new Map();
const dials = new Map();

function build() {
  for (const [group, members] of GROUPS) {
    const box = document.createElement("div");
    box.className = "lgg-group";
    box.dataset.group = group;
    box.setAttribute("role", "group");
    box.classList.toggle("lgg-one-of", ONE_OF.includes(group));
    for (const { name, shortcut } of members) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.do = name;
      button.setAttribute("aria-keyshortcuts", shortcut);
      buttons.set(name, button);
      box.append(button);
    }
    find(".lgg-tools").append(box);
  }
  for (const [name, , low, high] of DIALS) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "range", min: low, max: high, step: 1 });
    input.dataset.dial = name;
    label.append(document.createElement("span"), input);
    dials.set(name, label);
    find(".lgg-dials").append(label);
  }
}

const press = (name, on) => buttons.get(name).setAttribute("aria-pressed", String(on));
const setText = (target, text) => {
  if (target.textContent !== text) target.textContent = text;
};

function writeTools() {
  const frame = frames[place];
  for (const [group, members] of GROUPS) {
    find(`[data-group="${group}"]`).setAttribute("aria-label", say(group));
    for (const { name, key, shortcut } of members) {
      const button = buttons.get(name);
      setText(button, name === "help" ? "?" : say(key));
      button.title = `${say(EXPLAINED.includes(name) ? `tip_${name}` : key)} (${shortcut})`;
      if (name === "help") button.setAttribute("aria-label", say(key));
    }
  }
  for (const [name] of LAYOUTS) press(name, layout === name);
  buttons.get("planes").hidden = series().length < FEWEST_FOR_PLANES;
  const known = frame.reference !== null;
  for (const name of SIDE) {
    const absent =
      ((name === "reference" || name === "agreement") && !known) || (frame.pending && name !== "image") ||
      (layout === "swipe" && name === "agreement"); // its two sides are what agrees or not
    press(name, lit()[name] && !absent);
    buttons.get(name).disabled = absent;
  }
  press("fill", fill);
  press("outline", !fill);
  const channels = Object.keys(frame.image);
  find('[data-group="tools_channel"]').hidden = channels.length < 2;
  for (const name of ["pre", "flair", "post"]) {
    press(`channel-${name}`, channel === name);
    buttons.get(`channel-${name}`).hidden = !channels.includes(name);
  }
  for (const name of ["brush", "eraser"]) press(name, tool === name);
  for (const name of ["brush", "eraser", "copy"]) buttons.get(name).disabled = frame.pending;
  buttons.get("undo").disabled = !strokes.length;
  writeDials();
}

function writeDials() {
  const { low, high } = windowNow();
  const values = { opacity: opacity * 100, width: high - low, level: (high + low) / 2, brush };
  for (const [name, key] of DIALS) {
    const label = dials.get(name);
    setText(label.firstChild, say(key));
    label.title = say(`tip_${key}`);
    label.lastChild.value = Math.round(values[name]);
  }
  dials.get("brush").lastChild.disabled = !tool; // there all the same: the pictures must not move when a brush is taken
  const across = { swipe: swipe * 100, coronal: cross.y, sagittal: cross.x, turn: (pose.turn * 180) / Math.PI, tilt: (pose.tilt * 180) / Math.PI };
  for (const input of element.querySelectorAll("figure [data-dial]")) {
    const name = input.dataset.dial;
    if (name === "coronal") input.max = frames[place].height - 1;
    if (name === "sagittal") input.max = frames[place].width - 1;
    input.value = Math.round(across[name]);
    input.setAttribute("aria-label", say(`dial_${name}`));
  }
}

function panelText(name) {
  if (name === "main") {
    if (layout === "overlay") return SIDE.filter((n) => lit()[n] && !buttons.get(n).disabled).map((n) => say(`panel_${n}`)).join(" + ");
    return say("swipe_sides", {
      left: say(lit().reference && frames[place].reference ? "panel_reference" : "panel_image"),
      right: say(lit().prediction && !frames[place].pending ? "panel_prediction" : "panel_image"),
    });
  }
  return say(name === "agreement" && !fill ? "panel_outlines" : `panel_${name}`);
}

function visiblePanels(frame) {
  if (layout === "planes") return [...PLANES, "surface"];
  if (layout !== "side") return ["main"];
  const on = SIDE.filter((name) => layers.side[name] && !buttons.get(name).disabled);
  return on.length ? on : ["image"];
}

let helped = null; // the language the help is in

function writeHelp() {
  if (helped === props.language) return;
  helped = props.language;
  find(".lgg-help").setAttribute("aria-label", say("help"));
  setText(find(".lgg-help h2"), say("help"));
  setText(find(".lgg-help button"), say("close"));
  find(".lgg-help ul").replaceChildren(...HELP.map((key) => {
    const item = document.createElement("li");
    const [, keys, what] = say(key).match(/^(.*?)\s?:\s(.*)$/);
    for (const [tag, text] of [["b", keys], ["span", what]]) {
      const part = document.createElement(tag);
      part.textContent = text;
      item.append(part);
    }
    return item;
  }));
}

function render() {
  const frame = frames[place];
  root.setAttribute("aria-label", say("viewer"));
  setText(find(".lgg-empty"), say("nothing_yet"));
  find(".lgg-empty").hidden = !!frame;
  find(".lgg-body").hidden = !frame;
  writeHelp();
  if (!frame) return;
  if (layout === "planes" && series().length < FEWEST_FOR_PLANES) layout = "side";
  writeTools();
  setText(find(".lgg-name"), frame.label);
  find(".lgg-scroll").hidden = frames.length < 2;
  setText(find(".lgg-scroll-label"), say("slice"));
  const slider = find(".lgg-scroll input");
  slider.max = frames.length;
  slider.value = place + 1;
  setText(find(".lgg-scroll output"), `${place + 1} / ${frames.length}`);
  for (const [name, text] of [["previous", "◂"], ["next", "▸"]]) {
    const button = find(`[data-do="${name}"]`);
    setText(button, text);
    button.title = say(`${name}_finding`);
    button.setAttribute("aria-label", say(`${name}_finding`));
    button.disabled = frame.pending;
  }
  const visible = visiblePanels(frame);
  const stage = find(".lgg-panels");
  stage.dataset.layout = layout;
  stage.style.setProperty("--columns", layout === "planes" ? 2 : visible.length > 4 ? 3 : visible.length);
  root.classList.toggle("lgg-tool-on", !!tool);
  root.classList.toggle("lgg-zoomed", view.zoom > 1);
  for (const figure of figures) {
    const name = figure.dataset.panel;
    figure.hidden = !visible.includes(name);
    if (figure.hidden) continue;
    const title = panelText(name);
    setText(figure.querySelector("figcaption"), title);
    canvasOf(figure).setAttribute("aria-label", say("picture_of", { panel: title, label: frame.label }));
  }
  const dialOfSwipe = find('[data-dial="swipe"]');
  dialOfSwipe.hidden = layout !== "swipe";
  find(".lgg-under").hidden = frame.pending;
  const swatch = (colour, key) => {
    const item = document.createElement("li");
    const box = document.createElement("span");
    box.className = "lgg-swatch";
    box.style.background = css(colour);
    item.append(box, say(key));
    return item;
  };
  const agreeing = frame.reference && fill && lit().agreement;
  find(".lgg-legend").replaceChildren(...[
    [PREDICTION, agreeing ? "extra" : "panel_prediction", true],
    [REFERENCE, agreeing ? "missed" : "panel_reference", !!frame.reference],
    [BOTH, "hit", agreeing],
    [DOUBT, "panel_uncertainty", frames.length > 1 || lit().uncertainty],
  ].filter(([, , on]) => on).map(([colour, key]) => swatch(colour, key)));
  setText(find(".lgg-curve figcaption"), say("curve"));
  canvasOf(find(".lgg-curve")).setAttribute("aria-label", say("curve_label"));
  note("convention", hasReference() ? say("convention") : "");
  note("expected", say("expected_note"));
  note("proportions", layout === "planes" && !frame.spacing ? say("proportions_note") : "");
  write();
  measure();
  refresh();
}

// Canvases as large as they are shown, in true proportion: a voxel need not be as high as it is wide.
function measure() {
  const frame = frames[place];
  if (!frame) return;
  const ratio = ratioNow();
  const [between, row, column] = frame.spacing ?? spacingOf(series());
  const n = series().length;
  const shapes = {
    coronal: (frame.width * column) / (n * between), sagittal: (frame.height * row) / (n * between), surface: 1.25,
  };
  const flat = (frame.width * column) / (frame.height * row);
  for (const figure of figures) {
    if (figure.hidden) continue;
    const aspect = shapes[figure.dataset.panel] ?? flat;
    figure.style.setProperty("--aspect", aspect);
    const canvas = canvasOf(figure);
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    size(canvas, width, Math.max(1, Math.round(width / aspect)));
  }
  for (const canvas of [find(".lgg-strip"), canvasOf(find(".lgg-curve"))])
    if (canvas.clientWidth) size(canvas, Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio));
}

function size(canvas, width, height) {
  if (canvas.width === width && canvas.height === height) return;
  canvas.width = width;
  canvas.height = height;
  if (panels.has(canvas)) panels.get(canvas).key = null; // empty now, but a hand on it still knows where it is
}

// What a hand can do

function go(to) {
  if (!frames.length) return;
  place = Math.min(frames.length - 1, Math.max(0, to));
  cross.x = Math.min(cross.x, frames[place].width - 1);
  cross.y = Math.min(cross.y, frames[place].height - 1);
  if (!(channel in frames[place].image)) channel = "flair";
  render();
}

function goFinding(step) {
  if (frames[place].pending) return;
  const there = findings();
  for (let to = place + step; to >= 0 && to < frames.length; to += step) if (there[to]) return go(to);
  tell(say("no_finding"));
}

function resetView() {
  Object.assign(view, { zoom: 1, x: 0.5, y: 0.5 });
  swipe = 0.5;
  pose = { ...POSE };
  for (const of of new Set(frames.map((f) => f.of))) of.windows = structuredClone(of.sent);
}

// Zoom by a factor, keeping the point (x, y), in shares of the canvas, where it is.
function zoomAt(factor, x = 0.5, y = 0.5) {
  const zoom = Math.min(16, Math.max(1, view.zoom * factor));
  const shift = 1 / view.zoom - 1 / zoom;
  view.x += (x - 0.5) * shift;
  view.y += (y - 0.5) * shift;
  view.zoom = zoom;
  pan(0, 0);
  root.classList.toggle("lgg-zoomed", zoom > 1);
}

// Move the picture by shares of the canvas; its edge stays outside.
function pan(dx, dy) {
  const half = 0.5 / view.zoom;
  view.x = Math.min(1 - half, Math.max(half, view.x - dx / view.zoom));
  view.y = Math.min(1 - half, Math.max(half, view.y - dy / view.zoom));
  refresh();
}

function setWindow(width, centre) {
  const wide = Math.min(510, Math.max(1, width)), middle = Math.min(383, Math.max(-128, centre));
  Object.assign(windowNow(), { low: middle - wide / 2, high: middle + wide / 2 });
  writeDials();
  refresh();
}

const moveWindow = (dx, dy) => {
  const { low, high } = windowNow();
  setWindow(high - low + dx, (high + low) / 2 + dy);
};

// The threshold's slider is Gradio's, because the server needs its value too; it hears of a new value as if typed.
function setThreshold(value) {
  threshold = Math.min(0.99, Math.max(0.01, Math.round(value * 100) / 100));
  const box = document.querySelector("#threshold input[type=number]");
  if (box) {
    box.value = threshold;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  }
  refresh();
}

function setTool(next) {
  tool = tool === next || frames[place].pending ? null : next;
  if (!tool) cursor = null;
  render();
}

function mark(x0, y0, x1, y1, stroke) {
  const frame = stroke.frame;
  if (frame !== frames[place]) return; // the wheel or a key went on to another slice
  const tall = frame.spacing ? frame.spacing[1] / frame.spacing[2] : 1;
  dab(frame, tool === "brush" ? ADDED : REMOVED, x0, y0, x1, y1, brush, tall, stroke.before);
  tally(frame);
  refresh();
}

function keep(stroke) {
  if (!stroke.before.size) return;
  strokes.push(stroke);
  if (strokes.length > MOST_STROKES) strokes.shift();
  writeTools();
}

function undo() {
  const stroke = strokes.pop();
  if (stroke) takeBack(stroke);
}

function takeBack(stroke) {
  for (const [i, was] of stroke.before) stroke.frame.edits[i] = was;
  tally(stroke.frame);
  go(frames.indexOf(stroke.frame));
}

function tell(text) {
  find(".lgg-said").textContent = text;
}

const setLayout = (name) => {
  layout = name;
  render();
};
const cycleLayout = () => {
  const names = LAYOUTS.map(([name]) => name).filter((name) => name !== "planes" || series().length >= FEWEST_FOR_PLANES);
  setLayout(names[(names.indexOf(layout) + 1) % names.length]);
};
const toggleLayer = (name) => {
  if (buttons.get(name).disabled) return;
  lit()[name] = !lit()[name];
  render();
};
const setChannel = (name) => {
  channel = name;
  render();
};
const cycleChannel = () => {
  const names = Object.keys(frames[place].image);
  setChannel(names[(names.indexOf(channel) + 1) % names.length]);
};
const setFill = (on) => {
  fill = on;
  render();
};
const reset = () => {
  resetView();
  render();
};

const DO = {
  ...Object.fromEntries(LAYOUTS.map(([name]) => [name, () => setLayout(name)])),
  ...Object.fromEntries(SIDE.map((name) => [name, () => toggleLayer(name)])),
  fill: () => setFill(true), outline: () => setFill(false),
  "channel-pre": () => setChannel("pre"), "channel-flair": () => setChannel("flair"), "channel-post": () => setChannel("post"),
  brush: () => setTool("brush"), eraser: () => setTool("eraser"), undo,
  save: () => savePicture(), copy: () => copyReport(), reset,
  help: () => find(".lgg-help").showModal(), close: () => find(".lgg-help").close(),
  previous: () => goFinding(-1), next: () => goFinding(1),
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (!button) return;
  DO[button.dataset.do]();
  // After a click the keys belong to the pictures: space would press the same button once more. Who tabs to it stays.
  if (event.detail && !find(".lgg-help").open) root.focus({ preventScroll: true });
});

element.addEventListener("input", (event) => {
  const value = Number(event.target.value);
  if (event.target.closest(".lgg-scroll")) return go(Math.round(value) - 1);
  const { low, high } = windowNow();
  const turn = {
    opacity: () => { opacity = value / 100; }, width: () => setWindow(value, (high + low) / 2), level: () => setWindow(high - low, value),
    brush: () => { brush = value; }, swipe: () => { swipe = value / 100; }, coronal: () => { cross.y = value; },
    sagittal: () => { cross.x = value; }, turn: () => { pose.turn = (value * Math.PI) / 180; }, tilt: () => { pose.tilt = (value * Math.PI) / 180; },
  };
  turn[event.target.dataset.dial]?.();
  refresh();
});

// The threshold is heard at Gradio's slider itself: its own event comes some milliseconds later, and only then if the
// page is idle. That one is for the values nobody drags to, such as the reset button's.
document.addEventListener("input", (event) => {
  const value = event.target.closest?.("#threshold") && Number(event.target.value);
  if (value >= 0.01 && value <= 0.99) useThreshold(value);
});
element.addEventListener("lgg-threshold", (event) => {
  useThreshold(sliderNow() ?? event.detail); // the event may be older than what the slider shows
});

function sliderNow() {
  const now = Number(document.querySelector("#threshold input[type=number]")?.value);
  return now >= 0.01 && now <= 0.99 ? now : null;
}

function useThreshold(value) {
  threshold = value;
  refresh();
}

// Pointers

const pointers = new Map();
let gesture = null;

const figureAt = (target) => {
  const canvas = target.closest?.(".lgg-panels canvas");
  return canvas ? canvas.parentElement : null;
};

function pixelAt(canvas, event) {
  const panel = panels.get(canvas);
  if (!panel) return null;
  const box = canvas.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * canvas.width, y = ((event.clientY - box.top) / box.height) * canvas.height;
  const { placed } = panel;
  return { x: (x - placed.left) / placed.scaleX, y: (y - placed.top) / placed.scaleY };
}

const shareAt = (canvas, event) => {
  const box = canvas.getBoundingClientRect();
  return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
};

function moveCross(name, at) {
  const { x, y } = at;
  const frame = frames[place];
  const within = (value, most) => Math.min(most - 1, Math.max(0, Math.floor(value)));
  const own = series();
  if (name === "axial") Object.assign(cross, { x: within(x, frame.width), y: within(y, frame.height) });
  else {
    if (name === "coronal") cross.x = within(x, frame.width);
    else cross.y = within(x, frame.height);
    const slice = own.length - 1 - within(y, own.length);
    place = frames.indexOf(own[slice]);
  }
  render();
}

function begin(event, figure) {
  const canvas = canvasOf(figure);
  const name = figure.dataset.panel;
  const at = pixelAt(canvas, event);
  if (event.button === 2) return { kind: "window" };
  if (event.button === 1) return { kind: name === "surface" ? "turn" : "pan" };
  if (event.button !== 0) return null;
  if (name === "surface") return { kind: "turn" };
  if (!at) return null; // not drawn yet
  if (layout === "planes" && !(tool && name === "axial")) return { kind: "cross", name };
  if (tool) {
    const stroke = { frame: frames[place], before: new Map() };
    cursor = at;
    mark(at.x, at.y, at.x, at.y, stroke);
    return { kind: "stroke", stroke, at };
  }
  if (layout === "swipe" && Math.abs(shareAt(canvas, event).x - swipe) < 20 / canvas.clientWidth) return { kind: "swipe" };
  if (view.zoom > 1) return { kind: "pan" };
  return null;
}

element.addEventListener("pointerdown", (event) => {
  const graph = event.target.closest?.(".lgg-strip, .lgg-curve canvas");
  if (graph) {
    if (event.button !== 0) return;
    gesture = { kind: graph.matches(".lgg-strip") ? "strip" : "curve", canvas: graph, id: event.pointerId };
    graph.setPointerCapture(event.pointerId);
    return start(event);
  }
  const figure = figureAt(event.target);
  if (!figure || !frames.length) return;
  root.focus({ preventScroll: true });
  const canvas = canvasOf(figure);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  canvas.setPointerCapture(event.pointerId); // or a button let go outside would count as a finger for ever
  if (pointers.size >= 2) {
    // A second finger: what the first has painted in the meantime was no stroke.
    if (gesture?.kind === "stroke") takeBack(gesture.stroke);
    gesture = { kind: "pinch", canvas };
    return;
  }
  gesture = begin(event, figure);
  if (!gesture) return;
  Object.assign(gesture, { canvas, id: event.pointerId });
  if (event.button === 1 || gesture.kind === "cross") event.preventDefault();
  start(event);
});

// A finger that comes down may be about to scroll the page. What would jump there at once (the cross, the slice, the
// threshold) waits until it is lifted where it came down, or goes sideways; scrolling cancels it.
const WAITING = ["cross", "strip", "curve"];
const SIDEWAYS = 8; // CSS pixels

function start(event) {
  if (event.pointerType === "touch" && WAITING.includes(gesture.kind)) gesture.from = { x: event.clientX, y: event.clientY };
  else follow(event, 0, 0);
}

function waits(event) {
  if (!gesture.from) return false;
  const dx = Math.abs(event.clientX - gesture.from.x), dy = Math.abs(event.clientY - gesture.from.y);
  // Where a finger scrolls nothing (a zoomed picture), it may go anywhere.
  const free = getComputedStyle(gesture.canvas).touchAction === "none";
  if (free ? Math.max(dx, dy) < SIDEWAYS : dx < Math.max(SIDEWAYS, dy)) return true;
  delete gesture.from;
  return false;
}

element.addEventListener("pointermove", (event) => {
  const figure = figureAt(event.target);
  if (tool && figure && !["coronal", "sagittal", "surface"].includes(figure.dataset.panel) && event.pointerType !== "touch") {
    cursor = pixelAt(canvasOf(figure), event);
    refresh();
  }
  const last = pointers.get(event.pointerId);
  if (gesture?.kind === "pinch" && last) return pinch(event);
  if (!gesture || gesture.id !== event.pointerId || waits(event)) return;
  follow(event, last ? event.clientX - last.x : 0, last ? event.clientY - last.y : 0);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
});

function follow(event, dx, dy) {
  const { canvas } = gesture;
  const wide = canvas.clientWidth, high = canvas.clientHeight;
  const act = {
    // Right is wider, up is brighter: a lower level lets more reach white, as OHIF and Slicer have it.
    window: () => moveWindow(dx, dy),
    pan: () => pan(dx / wide, dy / high),
    turn: () => {
      const turn = pose.turn + dx * 0.01;
      pose = { turn: Math.atan2(Math.sin(turn), Math.cos(turn)), tilt: Math.min(Math.PI / 2, Math.max(-Math.PI / 2, pose.tilt + dy * 0.01)) };
      writeDials();
      refresh();
    },
    cross: () => moveCross(gesture.name, pixelAt(canvas, event)),
    swipe: () => {
      swipe = Math.min(1, Math.max(0, shareAt(canvas, event).x));
      writeDials();
      refresh();
    },
    stroke: () => {
      const to = pixelAt(canvas, event);
      mark(gesture.at.x, gesture.at.y, to.x, to.y, gesture.stroke);
      gesture.at = to;
      cursor = to;
    },
    strip: () => go(Math.floor(shareAt(canvas, event).x * frames.length)),
    curve: () => setThreshold(curveThreshold(event.clientX - canvas.getBoundingClientRect().left, wide)),
  };
  act[gesture.kind]();
}

function pinch(event) {
  const [id] = [...pointers.keys()].filter((other) => other !== event.pointerId);
  const other = pointers.get(id), last = pointers.get(event.pointerId);
  const { canvas } = gesture;
  const box = canvas.getBoundingClientRect();
  const before = Math.hypot(last.x - other.x, last.y - other.y), after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
  const middle = { x: (event.clientX + other.x) / 2, y: (event.clientY + other.y) / 2 };
  if (before > 0) zoomAt(after / before, (middle.x - box.left) / box.width, (middle.y - box.top) / box.height);
  pan((event.clientX - last.x) / 2 / box.width, (event.clientY - last.y) / 2 / box.height);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
}

function end(event) {
  pointers.delete(event.pointerId);
  if (gesture?.id === event.pointerId) {
    if (gesture.kind === "stroke") keep(gesture.stroke);
    if (gesture.from && event.type === "pointerup") follow(event, 0, 0); // a tap
  }
  if (gesture && (gesture.id === event.pointerId || pointers.size < 2)) gesture = null;
}
element.addEventListener("pointerup", end);
element.addEventListener("pointercancel", end);
element.addEventListener("pointerout", (event) => {
  if (cursor && !gesture && figureAt(event.target)) {
    cursor = null;
    refresh();
  }
});
element.addEventListener("contextmenu", (event) => {
  if (figureAt(event.target)) event.preventDefault(); // the right button is for the window
});
element.addEventListener("dblclick", (event) => {
  if (figureAt(event.target) && !tool) reset();
});

// A notch of a mouse is one slice; the stream of small steps from a trackpad is slowed down to something to look at.
let wheeled = 0, stepped = 0;
element.addEventListener("wheel", (event) => {
  const figure = figureAt(event.target);
  if (!figure || !frames.length) return;
  const by = (event.deltaY || event.deltaX) * (event.deltaMode ? 33 : 1); // with shift some systems turn it sideways
  if (event.ctrlKey || event.shiftKey) {
    event.preventDefault();
    const { x, y } = shareAt(canvasOf(figure), event);
    return zoomAt(Math.exp(-Math.max(-100, Math.min(100, by)) * 0.004), x, y);
  }
  const name = figure.dataset.panel;
  if (frames.length < 2 || name === "surface") return;
  event.preventDefault();
  wheeled += by;
  if (Math.abs(wheeled) < WHEEL_NOTCH && event.timeStamp - stepped < 80) return;
  const step = Math.sign(wheeled);
  if (name === "coronal" || name === "sagittal") {
    const axis = name === "coronal" ? "y" : "x";
    cross[axis] = Math.min((axis === "y" ? frames[place].height : frames[place].width) - 1, Math.max(0, cross[axis] + step));
    writeDials();
    refresh();
  } else go(place + step);
  wheeled = 0;
  stepped = event.timeStamp;
}, { passive: false });

// Keys

const ARROWS = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] };
const KEYS = {
  1: DO.image, 2: DO.prediction, 3: DO.reference, 4: DO.agreement, 5: DO.uncertainty,
  "+": () => zoomAt(1.25), "=": () => zoomAt(1.25), "-": () => zoomAt(0.8), "−": () => zoomAt(0.8),
  ",": () => setThreshold(threshold - 0.01), ".": () => setThreshold(threshold + 0.01),
  "[": () => setBrush(brush - 2), "]": () => setBrush(brush + 2),
  n: DO.next, p: DO.previous, v: cycleLayout, f: () => setFill(!fill), c: cycleChannel, b: DO.brush, e: DO.eraser,
  z: undo, s: DO.save, t: DO.copy, r: reset, "?": DO.help,
  PageDown: () => go(place + 10), PageUp: () => go(place - 10), Home: () => go(0), End: () => go(frames.length - 1),
};

function setBrush(to) {
  brush = Math.min(60, Math.max(1, to));
  writeDials();
  refresh();
}

function arrow(event) {
  const [dx, dy] = ARROWS[event.key];
  if (event.ctrlKey || event.metaKey) return pan(-dx * 0.05, -dy * 0.05);
  if (tool) {
    const frame = frames[place];
    const step = event.shiftKey ? 10 : 1;
    cursor ??= { x: frame.width / 2, y: frame.height / 2 };
    cursor = {
      x: Math.min(frame.width - 0.5, Math.max(0.5, cursor.x + dx * step)), y: Math.min(frame.height - 0.5, Math.max(0.5, cursor.y + dy * step)),
    };
    return refresh();
  }
  if (event.shiftKey) return moveWindow(dx * 8, dy * 8);
  go(place + dx + dy);
}

element.addEventListener("keydown", (event) => {
  if (!frames.length || (event.altKey && !"[]".includes(event.key)) || find(".lgg-help").open) return; // Alt types [ on a Mac
  const { target, key } = event;
  const onControl = target.matches("input, button");
  if (key === " " || key === "Enter") {
    if (onControl) return;
    event.preventDefault();
    if (key === " " && !blink) {
      blink = true;
      refresh();
    } else if (key === "Enter" && tool && cursor) {
      const stroke = { frame: frames[place], before: new Map() };
      mark(cursor.x, cursor.y, cursor.x, cursor.y, stroke);
      keep(stroke);
    }
    return;
  }
  if (key === "Escape" && tool) return setTool(tool);
  if (key in ARROWS || ["PageDown", "PageUp", "Home", "End"].includes(key)) {
    if (target.matches("input")) return;
    event.preventDefault();
    return key in ARROWS ? arrow(event) : KEYS[key]();
  }
  // Of a French keyboard the row of digits gives & é " ' ( without shift: the key counts, not what stands on it.
  const act = KEYS[key.toLowerCase()] ?? KEYS[/^Digit([1-5])$/.exec(event.code)?.[1]];
  if (!act || ((event.ctrlKey || event.metaKey) && key.toLowerCase() !== "z")) return;
  event.preventDefault();
  act();
});
element.addEventListener("keyup", (event) => {
  if (event.key === " " && blink) {
    blink = false;
    refresh();
  }
});
root.addEventListener("blur", () => {
  blink = false;
  refresh();
});

// What goes out. No file name: it may be a patient's.

function sentences() {
  const columns = columnsNow();
  const rows = rowsOf(columns);
  const several = columns.length > 1;
  return rows.flatMap(([name, label, digits]) => {
    const said = columns
      .filter(([, , values]) => values[name] != null)
      .map(([, key, values]) => `${several ? `${say(key)} ` : ""}${number(values[name], digits)}`);
    return said.length ? [say("line", { what: label, values: said.join(", ") })] : [];
  });
}

const placeText = () => say("slice_of", { slice: place + 1, slices: frames.length });
const thresholdText = () => say("report_threshold", { threshold: number(threshold, 2) });

async function savePicture() {
  draw();
  const stage = find(".lgg-panels");
  const outer = stage.getBoundingClientRect();
  const ratio = ratioNow();
  const visible = figures.filter((f) => !f.hidden);
  const boxes = visible.map((f) => canvasOf(f).getBoundingClientRect());
  const right = Math.max(...boxes.map((b) => b.right)), bottom = Math.max(...boxes.map((b) => b.bottom));
  const left = Math.min(...boxes.map((b) => b.left)), top = Math.min(...boxes.map((b) => b.top), outer.top);
  const width = Math.max(360, right - left) * ratio;
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const font = `${13 * ratio}px system-ui, sans-serif`;
  context.font = font;
  const title = [say("report_title"), placeText(), thresholdText()];
  if (model) title.push(model);
  const named = layout === "side" || layout === "planes" ? visible.map((f) => panelText(f.dataset.panel)).join(", ") : panelText("main");
  const texts = [title.join(" · "), say("line", { what: say("tools_layers"), values: named })];
  if (!frames[place].pending) texts.push(sentences().join(" · "));
  if (threshold !== 0.5 && hasReference()) texts.push(say("caution"));
  texts.push(say("not_for_diagnosis"));
  const lines = texts.flatMap((text) => wrapped(context, text, width - 20 * ratio));
  const under = (lines.length * 18 + 14) * ratio;
  canvas.width = Math.round(width);
  canvas.height = Math.round((bottom - top) * ratio + under);
  context.fillStyle = "#0b0f14";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.font = font;
  context.textBaseline = "top";
  visible.forEach((f, k) => {
    const b = boxes[k];
    const x = (b.left - left) * ratio, y = (b.top - top) * ratio;
    context.drawImage(canvasOf(f), x, y, b.width * ratio, b.height * ratio);
    const caption = panelText(f.dataset.panel);
    context.fillStyle = "rgb(0 0 0 / 0.65)";
    context.fillRect(x, y, context.measureText(caption).width + 12 * ratio, 21 * ratio);
    context.fillStyle = "#e6eaee";
    context.fillText(caption, x + 6 * ratio, y + 4 * ratio);
  });
  context.fillStyle = "#e6eaee";
  lines.forEach((text, k) => context.fillText(text, 10 * ratio, (bottom - top) * ratio + (8 + 18 * k) * ratio));
  root.caption = lines; // for whoever has to know what the picture says without reading it
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `lgg-demo-${place + 1}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  tell(say("saved"));
}

function wrapped(context, text, width) {
  const lines = [];
  for (const one of text.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${one}` : one;
    if (lines.length && context.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(one);
  }
  return lines;
}

async function copyReport() {
  if (frames[place].pending) return;
  const lines = [say("report_title"), placeText(), thresholdText()];
  if (best !== null) lines.push(say("best_mark", { threshold: number(best, 2) }));
  if (model) lines.push(say("line", { what: say("model"), values: model }));
  lines.push(...sentences());
  if (threshold !== 0.5 && hasReference()) lines.push(say("caution"));
  lines.push(say("not_for_diagnosis"));
  const text = `${lines.join("\n")}\n`;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A frame without the right to the clipboard, as a Space may be: the old way asks nobody.
    const box = document.createElement("textarea");
    box.value = text;
    root.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
    root.focus({ preventScroll: true });
  }
  tell(say("copied"));
}

root.corrections = () => packCorrections(shown, frames);

build();
let loading = load(props.value); // one value after the other: unpacking takes its time
watch("value", () => {
  const value = props.value;
  const next = () => load(value);
  loading = loading.then(next, next); // one that cannot be unpacked does not keep the next one out
});
watch("language", () => {
  tell(""); // said in the other language
  render();
});
new ResizeObserver(() => {
  measure();
  refresh();
}).observe(element);
