// The heads of the panels of two visits: which visit, chosen where there are several; which of two that lie one over the
// other is seen; what the colours of gained and lost mean.
import { create, figures, label, refresh, setText } from "./dom.js";
import { iconOf } from "./icons.js";
import { state } from "./state.js";
import { GAINED, LOST } from "./visit_pictures.js";
import { compare, comparedNow, isVisitPanel, visitNumbered, visitTitle } from "./visits.js";
import { say } from "./words.js";

const PAIR = ["earlier", "later"];

// What a panel shows, in words that may leave the page.
export function visitText(name) {
  if (name === "change") return say("panel_change");
  const { visit, number } = comparedNow()[name === "flicker" ? state.flicker : name];
  return visitNumbered(visit, number);
}

const CAPTIONS = {
  earlier: () => titleIn("earlier"), later: () => titleIn("later"), change: () => say("panel_change"), flicker: () => "",
};

function titleIn(side) {
  const { visit, number } = comparedNow()[side];
  return visitTitle(visit, number);
}

// A select of all visits but those that leave no other on its side.
function selectOf(side, whenChosen) {
  const { of, [side]: own } = comparedNow(), last = of.visits.length - 1;
  const select = create("select", { className: "lgg-visit-choice" });
  of.visits.forEach((visit, n) => {
    if (n === (side === "earlier" ? last : 0)) return;
    select.append(create("option", { value: n, defaultSelected: n === own.number }, visitTitle(visit, n)));
  });
  label(select, say(`visit_${side}`));
  select.addEventListener("change", () => {
    compare(side, Number(select.value));
    whenChosen();
  });
  return select;
}

function legendOf() {
  const entry = (key, colour, way) => {
    const box = create("span", { className: `lgg-swatch lgg-striped-${way}` });
    box.style.setProperty("--colour", `rgb(${colour.join(" ")})`);
    return create("li", {}, box, say(key));
  };
  return create("ul", { className: "lgg-change-legend" }, entry("gained", GAINED, "up"), entry("lost", LOST, "down"),
    create("li", {}, create("span", { className: "lgg-swatch lgg-lined" }), say("change_outline")));
}

// Two buttons, one for each visit, and one that has them alternate by themselves.
function switchOf(hands) {
  const box = create("div", { className: "lgg-visit-switch" });
  box.setAttribute("role", "group");
  label(box, say("flicker"));
  for (const side of PAIR) {
    const button = create("button", { type: "button" }, titleIn(side));
    button.dataset.side = side;
    button.addEventListener("click", () => hands.alternate(side));
    box.append(button);
  }
  const play = create("button", { type: "button" });
  play.dataset.play = "";
  play.addEventListener("click", () => hands.togglePlay());
  box.append(play);
  return box;
}

let hands = null; // what a click does, given by viewer.js: it imports this module
const headed = new Map(); // figure to what its head was made of

export function visitHeadsWith(given) {
  hands = given;
}

function visitHead(name) {
  const { of, link } = comparedNow();
  if (name === "change") return [legendOf()];
  if (name === "flicker") return [switchOf(hands)];
  const choice = of.visits.length > 2 ? [selectOf(name, hands.render)] : [];
  return name === "later" && !link ? [...choice, create("p", { className: "lgg-unlinked" }, say("visits_unlinked"))] : choice;
}

export function writeVisitHeads() {
  for (const figure of figures) {
    const name = figure.dataset.panel;
    if (!isVisitPanel(name) || figure.hidden) continue;
    const { of, earlier, later, link } = comparedNow();
    const key = JSON.stringify([props.language, of, earlier.number, later.number, !link]);
    if (headed.get(figure) !== key) {
      headed.set(figure, key);
      const had = figure.contains(document.activeElement);
      figure.querySelector(".lgg-visit-head")?.remove();
      figure.append(create("div", { className: "lgg-visit-head" }, ...visitHead(name)));
      if (had) figure.querySelector(".lgg-visit-head select, .lgg-visit-head button")?.focus({ preventScroll: true });
    }
    const isChosen = of.visits.length > 2 && PAIR.includes(name);
    setText(figure.querySelector("figcaption"), isChosen ? "" : CAPTIONS[name]());
    if (name === "flicker") writeSwitch(figure);
  }
  refresh();
}

function writeSwitch(figure) {
  for (const button of figure.querySelectorAll("[data-side]"))
    button.setAttribute("aria-pressed", String(button.dataset.side === state.flicker));
  const play = figure.querySelector("[data-play]"), name = state.flickers ? "flicker_pause" : "flicker_play";
  play.title = say(name);
  label(play, say(name));
  if (play.dataset.play !== name) play.replaceChildren(iconOf(state.flickers ? "pause" : "play"));
  play.dataset.play = name;
}
