// What the server is asked to do with files, one thing at a time: sending them, waiting, how far it is, and stopping it.
import { ask, mayGo } from "./asking.js";
import { create, find, label, root, setText, tell } from "./dom.js";
import { editionOf } from "./history.js";
import { state } from "./state.js";
import { Broken, Refused, filesSent, secondsLeft, sendFiles } from "./uploads.js";
import { number, say } from "./words.js";
import { zipName, zipParts } from "./zip.js";

// phase: "packing", "sending", "running", null where nothing is; progress: {done, total, since, files} of it.
export const run = { phase: null, progress: null, waiting: [], stop: null, job: null };
export const isBusy = () => run.phase !== null;

// Whether what is on screen is about to go, so that nothing may be drawn on it; says so.
export function mustWait() {
  const leaves = run.phase === "running" && run.job?.replaces === true;
  if (leaves) tell(say("tool_waits"));
  return leaves;
}

let settle = () => {};

// What is to be done when a run has ended, or was not begun after all; it hears whether all went well.
export function whenSettled(act) {
  settle = act;
}

// A job is {event, what, files: [{path, file}], given}: what the page is told by `event` of the files, or of `given`.
export async function enter(job) {
  if (!isBusy()) return startJob(job);
  const answer = await ask(say("ask_busy", { file: job.what }), ["ask_after", "ask_instead", "ask_cancel"]);
  if (answer === "ask_cancel") return settle(true);
  if (!isBusy()) return startJob(job);
  if (answer === "ask_after") run.waiting.push(job);
  else {
    run.waiting.unshift(job);
    stopRun();
  }
  writeRun();
}

async function startJob(job) {
  Object.assign(run, { phase: "packing", progress: null, stop: new AbortController(), job });
  if (job.replaces && !(await mayGo())) return finish();
  const asked = editionOf(state.history);
  tell("");
  writeRun();
  try {
    if (job.files) root.uploads = await sendFiles(address(), await packed(job.files), sending(job.files), run.stop.signal);
    // What was drawn while the files went out was in no question yet.
    if (job.replaces && editionOf(state.history) !== asked && !(await mayGo())) run.stop.abort();
    run.stop.signal.throwIfAborted();
  } catch (error) {
    if (error.name !== "AbortError") tell(sentenceOf(error));
    return finish();
  }
  Object.assign(run, { phase: "running", progress: null });
  writeRun();
  job.begin();
  await waitInLine();
}

const address = () => `${window.gradio_config?.root ?? ""}${window.gradio_config?.api_prefix ?? "/gradio_api"}/upload`;

function sentenceOf(error) {
  if (error instanceof Refused && error.message) return error.message;
  if (error instanceof RangeError) return say("files_too_many");
  return say(error instanceof Broken ? "upload_failed" : "files_unreadable");
}

// Files without folders go as they are.
async function packed(files) {
  if (!files.some(({ path }) => path.includes("/"))) return files.map(({ file }) => file);
  const parts = await zipParts(files, (done, total) => {
    run.stop.signal.throwIfAborted();
    progress(done, total, total);
  });
  return [new File(parts, zipName(files.map(({ path }) => path)))];
}

function sending(files) {
  const sizes = files.map(({ file }) => file.size);
  return (sent, total) => {
    if (run.phase === "packing") Object.assign(run, { phase: "sending", progress: null });
    // The form around the files is sent too: it counts as theirs.
    const bytes = (sent / total) * sizes.reduce((a, b) => a + b, 0);
    progress(sent, total, sizes.length, sent === total ? sizes.length : filesSent(sizes, bytes));
  };
}

function progress(done, total, files, sent = done) {
  run.progress = { since: performance.now(), ...run.progress, done, total, files, sent };
  writeRun();
}

// Before it begins, Gradio says on a component of the page how many wait; nobody else is told.
async function waitInLine() {
  const { job } = run;
  while (run.job === job && !run.progress) {
    writeRun();
    await new Promise((done) => setTimeout(done, 300));
  }
}

const lineNow = () => document.querySelector("#told .meta-text-center, #told .progress-text")?.textContent.trim();

// What the server tells of the run: "16/155" slices.
function hear(told) {
  const [done, total] = (told ?? "").split("/").map(Number);
  if (run.phase === "running" && total) progress(done, total);
}

function stopRun() {
  const { phase, stop } = run;
  if (phase === "running") trigger("stop"); // then the page says that it has ended
  stop?.abort();
}

// Neither this run nor those that wait are wanted any more.
export function abandonRuns() {
  run.waiting.length = 0;
  stopRun();
}

// Nothing runs any more; what was looked at before it is back where no result has come.
function finish(ok = false) {
  Object.assign(run, { phase: null, progress: null, stop: null, job: null });
  root.uploads = [];
  settle(ok);
  writeRun();
  const next = run.waiting.shift();
  if (next) startJob(next);
}

function sentence() {
  const { phase, progress: now, job } = run;
  if (!now) return (phase === "running" && lineNow()) || say(phase === "running" ? "run_reading" : "run_sending", { file: job?.what ?? "" });
  const { done, total, files, sent, since } = now;
  const values = { percent: number((100 * done) / total, 0), done: sent, total: phase === "running" ? total : files };
  const left = secondsLeft((performance.now() - since) / 1000, done, total);
  return `${say(`run_${phase}_far`, values)}${left === null ? "" : ` ${say("run_left", { seconds: left })}`}`;
}

export function buildRun() {
  const bar = create("progress");
  const stop = create("button", { type: "button" });
  stop.dataset.run = "stop";
  stop.addEventListener("click", abandonRuns);
  find(".lgg-progress").append(create("p"), bar, create("p", { className: "lgg-small" }), stop);
  root.addEventListener("lgg-told", ({ detail }) => hear(detail));
  root.addEventListener("lgg-ended", ({ detail }) => run.phase === "running" && finish(detail));
}

export function writeRun() {
  const place = find(".lgg-progress");
  place.hidden = !isBusy();
  root.classList.toggle("lgg-busy", isBusy());
  if (!isBusy()) return;
  const [text, waiting] = place.querySelectorAll("p");
  const bar = place.querySelector("progress");
  setText(text, sentence());
  setText(waiting, run.waiting.length ? say("run_waiting", { files: run.waiting.map((job) => job.what).join(", ") }) : "");
  label(bar, text.textContent);
  if (run.progress) Object.assign(bar, { max: run.progress.total, value: run.progress.done });
  else bar.removeAttribute("value");
  setText(place.querySelector("button"), say("run_stop"));
}
