// The pictures on the buttons: strokes in a box of 24 by 24.
const STROKES = {
  side: "M3 5h5.3v14H3zM9.3 5h5.3v14H9.3zM15.7 5H21v14h-5.3z",
  sequences: "M3 4h11v11H3zM7 8h11v11M10.5 11.5H21.5V21",
  overlay: "M4 4h16v16H4zM12 8.5a3.5 3.5 0 1 0 .01 0",
  swipe: "M4 4h16v16H4zM12 4v16M9 12H6.5m1.5-2-2 2 2 2M15 12h2.5m-1.5-2 2 2-2 2",
  visits: "M3 5h7v14H3zM14 5h7v14h-7zM5 14.5l1.500-2 1.500 2M15.500 15.500l2-5 2 5",
  flicker: "M4 4h11v11H4zM9 9h11v11H9zM17.5 3.500l2.500 2-2.500 2M6.500 16.500l-2.500 2 2.500 2",
  edit: "M4 20l1-4.500L16 4.500 19.500 8 8.500 19zM13.500 7l3.500 3.500", play: "M8 5l11 7-11 7z", pause: "M8 5v14M16 5v14",
  planes: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 16.5l3.5-3 3.5 3v2.5l-3.5 1.5-3.5-1.5z",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4",
  prediction: "M12 5c4 0 7 2.5 7 6.5S16 19 12 19s-7-3.5-7-7.5S8 5 12 5",
  reference: "M5 12.5 10 18 19.5 6.5",
  agreement: "M9 6a6 6 0 1 0 0 12A6 6 0 0 0 9 6M15 6a6 6 0 1 0 0 12 6 6 0 0 0 0-12",
  uncertainty: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5v.01",
  fill: "M12 5c4 0 7 2.5 7 6.5S16 19 12 19s-7-3.5-7-7.5S8 5 12 5M7 9l8 8M6 13l5 5M10 6l8 8",
  invert: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  auto: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4",
  contrast: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16M12 4v16M12 7.5h5.5M12 10.5h7.5M12 13.5h7.5M12 16.5h5.5",
  full: "M3 8h18v8H3zM7.5 8v8M12 8v8M16.5 8v8",
  brush: "M14 4.5 19.5 10 11 17.5 6.5 13zM6 14c-2 1-1 4-3.5 5.5 3 1 6.5 0 7-3",
  object: "M12 6c3.5 0 6 2.2 6 5.5S15.5 17 12 17s-6-2.2-6-5.5S8.5 6 12 6M12 9v5M9.5 11.5h5M3 3l3 3M21 3l-3 3M3 21l3-3M21 21l-3-3",
  smart: "M14 4.5 19.5 10 11 17.5 6.5 13zM6 14c-2 1-1 4-3.5 5.5 3 1 6.5 0 7-3M16 20.5h6M19 17.5v6",
  lasso: "M12 4c4.7 0 8.5 2.2 8.5 5.5S16.7 15 12 15s-8.5-2.2-8.5-5.5S7.300 4 12 4M8 14.5c-2.5 1-3 3-1.5 4s2 2 1 3",
  removing: "M4 4h16v16H4zM8 12h8",
  between: "M5 4h14M5 20h14M8 9h8M7 12h10M8 15h8",
  redo: "M16 5l4 4-4 4M20 9h-9a6 6 0 0 0 0 12h2",
  eraser: "M8 19 3.5 14.5 13 5l6.5 6.5L12 19zM8 10l6 6M12 19h8",
  ruler: "M3.5 15.5 15.5 3.5l5 5-12 12zM7 12l2 2M10 9l2.5 2.5M13 6l2 2",
  diameters: "M5 19 19 5M9 9l6 6M4 17l3 3M17 4l3 3",
  remove: "M6 6l12 12M18 6 6 18",
  undo: "M8 5 4 9l4 4M4 9h9a6 6 0 0 1 0 12h-2",
  save: "M12 4v11M7.5 11 12 15.5 16.5 11M4 19h16",
  copy: "M8 8h11v12H8zM5 16V4h10",
  reset: "M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5",
  help: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5v.01M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  theme: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5",
  previous: "M13 6l-6 6 6 6M19 6l-6 6 6 6", back: "M15 6l-6 6 6 6", on: "M9 6l6 6-6 6", next: "M5 6l6 6-6 6M11 6l6 6-6 6",
  half: "M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5",
};

const SVG = "http://www.w3.org/2000/svg";

export function iconOf(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", STROKES[name]);
  svg.append(path);
  return svg;
}
