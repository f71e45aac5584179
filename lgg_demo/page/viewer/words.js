// Sentences and numbers in the reader's language, from the catalogue that the server gives in `props`.
import { rounded } from "./counts.js";

// Put values into a sentence: `{mm}`, or `{slices:slice|slices}` for a number and the word that goes with it, which French
// has in the singular below two, English at one alone (CLDR's plural rules, as on the server).
export function fillIn(sentence, values, language) {
  const singular = language === "fr" ? ["0", "1"] : ["1"];
  return sentence.replace(/\{(\w+)(?::(.*?)\|(.*?))?\}/g, (_, name, one, several) =>
    several === undefined ? values[name] : `${values[name]} ${singular.includes(values[name]) ? one : several}`);
}

const formats = new Map(); // making one takes longer than drawing a slice

// A number as text with so many decimals; a dash where there is none.
export function numberIn(language, value, digits) {
  if (value === null || value === undefined) return "–";
  const key = `${language}/${digits}`;
  if (!formats.has(key))
    formats.set(key, new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  return formats.get(key).format(rounded(value, digits));
}

export const say = (key, values = {}) =>
  fillIn((props.strings[props.language] ?? props.strings.en)[key], values, props.language);
export const number = (value, digits) => numberIn(props.language, value, digits);
