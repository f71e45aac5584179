// Where in the brain it lies: what the network cannot tell, and a radiologist writes into the text to copy. It stays here.
import { create, find, label, setText } from "./dom.js";
import { frameNow, state } from "./state.js";
import { say } from "./words.js";

const LONGEST = 80; // letters
const sites = { shown: null, of: new Map() }; // by case of the result on screen

function sitesNow() {
  if (sites.shown !== state.shown) Object.assign(sites, { shown: state.shown, of: new Map() });
  return sites.of;
}

export const siteNow = () => sitesNow().get(frameNow().case)?.trim().replace(/\.$/, "") ?? "";

export function buildSite() {
  const input = create("input", { type: "text", autocomplete: "off", spellcheck: true, maxLength: LONGEST });
  input.addEventListener("input", () => sitesNow().set(frameNow().case, input.value));
  find(".lgg-lesions").append(create("label", { className: "lgg-site", hidden: true }, create("span"), input));
}

export function writeSite() {
  const place = find(".lgg-site"), frame = frameNow(), input = place.querySelector("input");
  place.hidden = !frame || frame.pending;
  if (place.hidden) return;
  setText(place.firstChild, say("site"));
  Object.assign(input, { placeholder: say("site_example"), title: say("site_why") });
  label(input, say("line", { what: say("site"), values: say("site_why") }));
  const now = sitesNow().get(frame.case) ?? "";
  if (input.value !== now) input.value = now;
}
