// Growth in words, for the page and for a report. No document: node tests it alone.
import { PARTIAL, PROGRESSION } from "./growth.js";
import { number, say } from "./words.js";

export const signed = (value, digits) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${number(Math.abs(value), digits)}`;

export const percentText = (value, digits = 0) => say("percent", { value: signed(value, digits) });

export function changeText({ ml, percent }) {
  const amount = `${signed(ml, 1)} ${say("unit_volume")}`;
  return percent === null ? amount : `${amount} (${percentText(percent)})`;
}

// The interval of a change in words, or in as few as the page has room for; why there is none.
export function intervalText({ interval, percentInterval }, isShort = false) {
  if (!interval) return say("interval_unknown");
  const [low, high] = interval.map((v) => signed(v, 1));
  if (!percentInterval) return say("interval_ml", { low, high });
  const [least, most] = percentInterval.map((v) => signed(v, 0));
  return say(isShort ? "interval_short" : "interval_both", { low, high, least, most });
}

// By which criterion a category was found.
const CRITERIA = {
  progressive_disease: "rano_by_progression", partial_response: "rano_by_partial", complete_response: "rano_by_complete",
  stable_disease: "rano_by_stable",
};

export function criterionText({ category, isNew }) {
  const shares = { up: signed(100 * PROGRESSION, 0), down: signed(100 * PARTIAL, 0) };
  return say(isNew ? "rano_by_new" : CRITERIA[category], shares);
}

export const categoryText = (found) =>
  say("rano_category", { category: say(`rano_${found.category}`), criterion: criterionText(found) });

export const velocityText = ({ slope }) => say("velocity_value", { velocity: signed(slope, 1) });
