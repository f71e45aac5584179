// The viewer's elements. gr.HTML gives the script `element` (its root), `props` and `watch`.

export const find = (selector) => element.querySelector(selector);
export const root = find(".lgg-viewer");
export const figures = [...element.querySelectorAll(".lgg-panels figure")];
export const canvasOf = (figure) => figure.querySelector("canvas");
export const ratioNow = () => Math.min(2, window.devicePixelRatio || 1);

// A new element: its properties, then its children (elements or texts).
export function create(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Texts are written where they differ only: what reads the page aloud would hear each again.
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
export const label = (target, text) => target.setAttribute("aria-label", text);
export const note = (name, text) => setText(find(`[data-note="${name}"]`), text);
export function tell(text) {
  find(".lgg-said").textContent = text;
}

let drawAll = null;
let asked = false;

export function drawWith(act) {
  drawAll = act;
}

// Have the pictures drawn at the next animation frame.
export function refresh() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    drawAll();
  });
}
