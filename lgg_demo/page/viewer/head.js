// The head of the page: what it is, how good it is, the language, light or dark; and what is known of the network.
import { create, find, label, root, setText } from "./dom.js";
import { number, say } from "./words.js";

const LANGUAGES = { en: "English", fr: "Français" };
const REMEMBERED = "lgg-demo-theme";
const LIMITS = ["limits_small", "limits_other", "limits_followup"];

export function buildHead() {
  for (const [language, name] of Object.entries(LANGUAGES)) {
    const button = create("button", { type: "button", lang: language }, name);
    button.dataset.language = language;
    button.addEventListener("click", () => {
      root.spoken = language; // read by the page when it asks the server
      trigger("select");
    });
    find(".lgg-languages").append(button);
  }
  setTheme(remembered());
}

// Dark unless light was asked for, in this browser; one that keeps nothing begins dark each time.
function remembered() {
  try {
    return localStorage.getItem(REMEMBERED) === "light" ? "light" : "dark";
  } catch {
    return "dark";
  }
}

function setTheme(theme) {
  root.dataset.theme = theme;
  document.body.classList.toggle("dark", theme === "dark"); // what Gradio itself says, errors above all
}

export function toggleTheme() {
  setTheme(root.dataset.theme === "dark" ? "light" : "dark");
  try {
    localStorage.setItem(REMEMBERED, root.dataset.theme);
  } catch { /* it lasts as long as the page, then */ }
  writeTheme();
}

function writeTheme() {
  const button = find('[data-do="theme"]');
  button.title = say(root.dataset.theme === "dark" ? "theme_light" : "theme_dark");
  label(button, button.title);
}

function facts() {
  const { model, validated, licence } = props.about ?? {};
  const figures = validated && {
    patients: number(validated.patients, 0), dice: number(validated.dice, 2), median: number(validated.median, 2),
    low: number(validated.low, 2), high: number(validated.high, 2), smallest: number(validated.smallest, 2),
    false: number(100 * validated.empty_outlined, 1),
  };
  return { model, figures, licence };
}

let headIn = null; // the language the head is in

// Nothing of it changes with a slice: it is written once for a language.
export function writeHead() {
  if (headIn === props.language) return;
  headIn = props.language;
  root.lang = props.language;
  setText(find(".lgg-tagline"), say("tagline"));
  setText(find(".lgg-notice"), say("not_for_diagnosis"));
  const { figures } = facts();
  setText(find(".lgg-quality span"), figures ? say("quality", figures) : "");
  setText(find('[data-do="about"]'), say("about"));
  label(find(".lgg-languages"), say("language"));
  for (const button of find(".lgg-languages").children)
    button.setAttribute("aria-pressed", String(button.dataset.language === props.language));
  writeTheme();
  setText(find(".lgg-privacy"), say("privacy"));
  find(".lgg-messages").dataset.language = props.language;
  writeAbout();
}

function writeAbout() {
  const { model, figures, licence } = facts();
  const rows = [
    ["about_what", say("about_what_text")],
    ...(model ? [["model", model]] : []),
    ["about_data", say("about_data_text")],
    ...(figures ? [["about_quality", say("about_quality_text", figures)]] : []),
    ["about_limits", LIMITS.map((key) => say(key)).join(" ")],
    ...(licence ? [["about_licence", licence]] : []),
  ];
  label(find(".lgg-about"), say("about"));
  setText(find(".lgg-about h2"), say("about"));
  setText(find(".lgg-about button"), say("close"));
  find(".lgg-about dl").replaceChildren(...rows.flatMap(([key, text]) => [create("dt", {}, say(key)), create("dd", {}, text)]));
}
