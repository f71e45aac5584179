// What the benchmark does in the page. Each function takes a number of steps and returns milliseconds.

const frame = () => new Promise(requestAnimationFrame);

function setSlider(input, step) {
  input.value = (2 + ((step * 7) % 97)) / 100;
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

// A step in each frame, as a hand drags: how long the viewer works at it, from the event to the last pixel of its canvases
// (`work`), and how far apart the frames are, which counts everything else in the tab too (`frames`).
async function timed(steps, viewer, act) {
  const work = [], frames = [];
  let last = await frame();
  for (let step = 0; step < steps; step++) {
    const draws = viewer.dataset.draws, started = performance.now();
    act(step);
    const handled = performance.now() - started;
    const now = await frame();
    if (viewer.dataset.draws === draws) await frame();
    work.push(handled + Number(viewer.dataset.milliseconds));
    frames.push(now - last);
    last = now;
  }
  return { work, frames };
}

function dragThreshold(steps) {
  const input = document.querySelector("#viewer .lgg-threshold input[type=range]");
  return timed(steps, document.querySelector("#viewer .lgg-viewer"), (step) => setSlider(input, step));
}

function scrollSlices(steps) {
  const viewer = document.querySelector("#viewer .lgg-viewer");
  const press = (key) => viewer.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  press("Home");
  return timed(steps, viewer, () => press("ArrowDown"));
}

async function stepThroughServer(steps) {
  const input = document.querySelector("#step input[type=range]");
  const shown = () => document.querySelector("#picture img");
  const times = [];
  for (let step = 0; step < steps; step++) {
    const before = shown()?.src, started = performance.now();
    setSlider(input, step);
    while (!shown() || shown().src === before || !shown().complete) await frame();
    times.push(performance.now() - started);
  }
  return times;
}
