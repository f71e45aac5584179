// Arrays to pixels and lines. Sheets are canvases at the image's own size, painted only when what they show has changed.

const PREDICTION = [86, 180, 233]; // Okabe and Ito's sky blue, orange and reddish purple: told apart with any colour vision
const REFERENCE = [230, 159, 0];
const DOUBT = [204, 121, 167];
const BOTH = [255, 255, 255];

const word = ([r, g, b], alpha = 255) => ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
const css = (colour) => `rgb(${colour.join(" ")})`;

function newSheet() {
  const canvas = document.createElement("canvas");
  return { canvas, context: canvas.getContext("2d"), data: null, words: null, key: null };
}

// Paint a sheet unless it shows `key` already. `fill` writes 32-bit pixels.
function paint(sheet, key, width, height, fill) {
  if (sheet.key === key) return;
  if (sheet.canvas.width !== width || sheet.canvas.height !== height || !sheet.data) {
    sheet.canvas.width = width;
    sheet.canvas.height = height;
    sheet.data = sheet.context.createImageData(width, height);
    sheet.words = new Uint32Array(sheet.data.data.buffer);
  }
  fill(sheet.words);
  sheet.context.putImageData(sheet.data, 0, 0);
  sheet.key = key;
}

const greys = new Uint32Array(256);
let greysFor = "";

// Grey levels of a window from `low` (black) to `high` (white), both in the 8-bit levels that were sent.
function greysOf({ low, high }) {
  const key = `${low}/${high}`;
  if (key !== greysFor) {
    greysFor = key;
    for (let v = 0; v < 256; v++) {
      const g = Math.min(255, Math.max(0, Math.round(((v - low) / Math.max(high - low, 1)) * 255)));
      greys[v] = word([g, g, g]);
    }
  }
  return greys;
}

// Uncertainty min(p, 1 - p) as more or less of one colour: nothing at 0, nearly full at one half.
const doubts = Uint32Array.from({ length: 256 }, (_, l) => word(DOUBT, Math.round((Math.min(l, LEVELS - l) / 127) * 235)));

// The edges between a mask and what is outside it, as one path along pixel borders; neighbours in a row are one line.
function outlineOf(mask, width, height) {
  const path = new Path2D();
  let first = height, last = -1;
  for (let i = 0; i < mask.length; i++)
    if (mask[i]) {
      const y = (i / width) | 0;
      if (first === height) first = y;
      last = y;
    }
  for (let y = first; y <= last + 1; y++) {
    let start = -1;
    for (let x = 0; x <= width; x++) {
      const edge = x < width && (y > 0 ? mask[(y - 1) * width + x] : 0) !== (y < height ? mask[y * width + x] : 0);
      if (edge && start < 0) start = x;
      if (!edge && start >= 0) {
        path.moveTo(start, y);
        path.lineTo(x, y);
        start = -1;
      }
    }
  }
  const since = new Int32Array(width + 1).fill(-1); // where the upright line at each border began
  for (let y = first; y <= last + 1; y++)
    for (let x = 0; x <= width; x++) {
      const row = y * width;
      const edge = y <= last && (x > 0 ? mask[row + x - 1] : 0) !== (x < width ? mask[row + x] : 0);
      if (edge && since[x] < 0) since[x] = y;
      if (!edge && since[x] >= 0) {
        path.moveTo(x, since[x]);
        path.lineTo(x, y);
        since[x] = -1;
      }
    }
  return path;
}

// From a picture's pixels to a canvas': scale and shift for a zoom around a centre given in shares of the picture.
function placing(canvas, picture, zoom, centre) {
  const scaleX = (canvas.width / picture.width) * zoom;
  const scaleY = (canvas.height / picture.height) * zoom;
  return {
    scaleX, scaleY,
    left: canvas.width / 2 - centre.x * picture.width * scaleX,
    top: canvas.height / 2 - centre.y * picture.height * scaleY,
  };
}

// A picture is {width, height, parts}: parts are drawn one over the other, each {sheet, alpha} or {path, colour, line},
// and may have a `clip` {from, to} in shares of the canvas' width.
function compose(canvas, picture, zoom, centre, ratio) {
  const context = canvas.getContext("2d");
  const { scaleX, scaleY, left, top } = placing(canvas, picture, zoom, centre);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalAlpha = 1;
  context.fillStyle = "black";
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const part of picture.parts) {
    context.save();
    if (part.clip) {
      context.beginPath();
      context.rect(part.clip.from * canvas.width, 0, (part.clip.to - part.clip.from) * canvas.width, canvas.height);
      context.clip();
    }
    context.setTransform(scaleX, 0, 0, scaleY, left, top);
    if (part.sheet) {
      context.globalAlpha = part.alpha ?? 1;
      context.imageSmoothingEnabled = !!part.smooth && zoom < 6; // so close, one wants to see the pixels
      context.imageSmoothingQuality = "medium";
      context.drawImage(part.sheet.canvas, 0, 0);
    } else {
      context.strokeStyle = css(part.colour);
      if (scaleX === scaleY) {
        context.lineWidth = (part.line * ratio) / scaleX;
        context.stroke(part.path);
      } else {
        const whole = new Path2D(); // a line as wide upright as across, whatever the shape of a pixel
        whole.addPath(part.path, new DOMMatrix([scaleX, 0, 0, scaleY, left, top]));
        context.setTransform(1, 0, 0, 1, 0, 0);
        context.lineWidth = part.line * ratio;
        context.stroke(whole);
      }
    }
    context.restore();
  }
}

// The strip under the slice slider: a bar for the tumour's area in each slice, above it how unsure the model is; unsure
// slices have a dot, so that no colour has to be told.
function drawStrip(canvas, slices, place, colours, ratio) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const middle = Math.round(height * 0.4);
  const most = Math.max(1, ...slices.map((s) => Math.max(s.area, s.reference ?? 0)));
  // As high as a fifth of the largest area at least, so that a calm lesion does not look like a doubtful one.
  const doubt = Math.max(1, DOUBT_OF_AREA * most, ...slices.map((s) => s.doubt));
  const step = width / slices.length;
  context.clearRect(0, 0, width, height);
  context.fillStyle = colours.current;
  context.fillRect(Math.floor(place * step), 0, Math.max(Math.ceil(step), 2 * ratio), height);
  slices.forEach((s, n) => {
    const x = n * step, wide = Math.max(step - (step > 4 * ratio ? ratio : 0), 1);
    const up = (s.doubt / doubt) * (middle - 7 * ratio);
    context.fillStyle = css(DOUBT);
    context.fillRect(x, middle - up, wide, up);
    if (s.unsure) {
      context.beginPath();
      context.arc(x + step / 2, 3 * ratio, 2.2 * ratio, 0, 2 * Math.PI);
      context.fillStyle = colours.text;
      context.fill();
    }
    const down = (s.area / most) * (height - middle - 2 * ratio);
    context.fillStyle = colours.bar;
    context.fillRect(x, height - down, wide, down);
    if (s.reference != null) {
      const mark = (s.reference / most) * (height - middle - 2 * ratio);
      context.fillStyle = colours.reference;
      if (s.reference) context.fillRect(x, height - mark - ratio, Math.max(step, 1), 2 * ratio);
    }
  });
  context.fillStyle = colours.line;
  context.fillRect(0, middle, width, ratio);
  context.fillRect(0, height - ratio, width, ratio);
}

// Dice against threshold: `whole` of all scored slices, `own` of this one (or null). Marks are thresholds with a label.
function drawCurve(canvas, whole, own, marks, colours, ratio) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const pad = { left: 26 * ratio, right: 8 * ratio, top: 16 * ratio, bottom: 16 * ratio };
  const at = (t, d) => [pad.left + t * (width - pad.left - pad.right), height - pad.bottom - d * (height - pad.top - pad.bottom)];
  context.clearRect(0, 0, width, height);
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  context.fillStyle = colours.text;
  context.strokeStyle = colours.line;
  context.lineWidth = ratio;
  context.textBaseline = "middle";
  for (const value of [0, 0.5, 1]) {
    context.beginPath();
    context.moveTo(...at(0, value));
    context.lineTo(...at(1, value));
    context.stroke();
    context.textAlign = "right";
    context.fillText(colours.number(value), pad.left - 4 * ratio, at(0, value)[1]);
    context.textAlign = "center";
    context.fillText(colours.number(value), at(value, 0)[0], height - pad.bottom / 2 + ratio);
  }
  const line = (values, thick, colour) => {
    context.beginPath();
    values.forEach((d, k) => context[k ? "lineTo" : "moveTo"](...at((k + 1) / 100, d)));
    context.strokeStyle = colour;
    context.lineWidth = thick * ratio;
    context.stroke();
  };
  if (own) line(own, 1, colours.text);
  line(whole, 2.2, colours.bar);
  for (const { threshold, label, dashed, strong } of marks) {
    const [x] = at(threshold, 0);
    context.setLineDash(dashed ? [3 * ratio, 3 * ratio] : []);
    context.lineWidth = (strong ? 2 : 1) * ratio;
    context.strokeStyle = colours.text;
    context.beginPath();
    context.moveTo(x, pad.top - 2 * ratio);
    context.lineTo(x, height - pad.bottom);
    context.stroke();
    context.setLineDash([]);
    if (strong) {
      const k = Math.min(98, Math.max(0, Math.round(threshold * 100) - 1));
      context.beginPath();
      context.arc(...at(threshold, whole[k]), 4 * ratio, 0, 2 * Math.PI);
      context.fillStyle = colours.bar;
      context.fill();
      context.stroke();
    }
    if (label) {
      const half = context.measureText(label).width / 2;
      context.fillStyle = colours.text;
      context.textAlign = "center";
      context.fillText(label, Math.min(width - half, Math.max(half, x)), pad.top / 2);
    }
  }
}

// The threshold under a point of the curve, 0.01 to 0.99; x in CSS pixels from its left, of a curve `width` wide.
const curveThreshold = (x, width) => Math.min(99, Math.max(1, Math.round(((x - 26) / (width - 34)) * 100))) / 100;
