// Arrays to pixels and lines. Sheets are canvases at the image's own size, painted only when what they show has changed.
import { QUANTA } from "./counts.js";
import { clamp } from "./geometry.js";

export const PREDICTION = [86, 180, 233]; // Okabe and Ito's sky blue, orange and reddish purple: told apart with any colour vision
export const REFERENCE = [230, 159, 0];
export const DOUBT = [204, 121, 167];
export const BOTH = [255, 255, 255];

export const word = ([r, g, b], alpha = 255) => ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
export const css = (colour) => `rgb(${colour.join(" ")})`;

export function newSheet() {
  const canvas = document.createElement("canvas");
  return { canvas, context: canvas.getContext("2d"), data: null, words: null, key: null };
}

// Paint a sheet unless it shows `key` already. `fill` writes 32-bit pixels.
export function paint(sheet, key, width, height, fill) {
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
export function greysOf({ low, high }, inverted = false) {
  const key = `${low}/${high}/${inverted}`;
  if (key !== greysFor) {
    greysFor = key;
    for (let v = 0; v < 256; v++) {
      const g = clamp(Math.round(((v - low) / Math.max(high - low, 1)) * 255), 0, 255);
      const shown = inverted ? 255 - g : g;
      greys[v] = word([shown, shown, shown]);
    }
  }
  return greys;
}

// Uncertainty min(p, 1 - p) as more or less of one colour: nothing at 0, nearly full at one half.
export const doubts = Uint32Array.from({ length: 256 }, (_, p) => word(DOUBT, Math.round((Math.min(p, QUANTA - p) / 127) * 235)));

// The edges between a mask and what is outside it, as one path along pixel borders; neighbours in a row are one line.
export function outlineOf(mask, width, height) {
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

// Draw the parts of a picture one over the other, each {sheet, alpha} or {path, colour, line},
// and may have a `clip` {from, to} in shares of the canvas' width. placed: what `placing` says of the picture.
export function compose(canvas, parts, placed, zoom, ratio) {
  const context = blackened(canvas);
  for (const part of parts) {
    context.save();
    if (part.clip) {
      context.beginPath();
      context.rect(part.clip.from * canvas.width, 0, (part.clip.to - part.clip.from) * canvas.width, canvas.height);
      context.clip();
    }
    if (part.sheet) drawSheet(context, part, placed, zoom);
    else drawPath(context, part, placed, ratio);
    context.restore();
  }
}

// The context of a canvas, in its own pixels, black all over.
export function blackened(canvas) {
  const context = canvas.getContext("2d");
  context.fillStyle = "black";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return context;
}

function drawSheet(context, { sheet, alpha, smooth }, { scaleX, scaleY, left, top }, zoom) {
  context.setTransform(scaleX, 0, 0, scaleY, left, top);
  context.globalAlpha = alpha;
  context.imageSmoothingEnabled = !!smooth && zoom < 6; // so close, one wants to see the pixels
  context.imageSmoothingQuality = "medium";
  context.drawImage(sheet.canvas, 0, 0);
}

function drawPath(context, { path, colour, line }, { scaleX, scaleY, left, top }, ratio) {
  context.strokeStyle = css(colour);
  context.lineWidth = line * ratio;
  if (scaleX === scaleY) {
    context.setTransform(scaleX, 0, 0, scaleY, left, top);
    context.lineWidth /= scaleX;
    return context.stroke(path);
  }
  const whole = new Path2D(); // a line as wide upright as across, whatever the shape of a pixel
  whole.addPath(path, new DOMMatrix([scaleX, 0, 0, scaleY, left, top]));
  context.stroke(whole);
}
