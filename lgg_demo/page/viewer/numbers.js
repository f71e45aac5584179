// Numbers that a hand types. No document: node tests it alone.

// A threshold from text, with a decimal point or comma; null where it is none.
export function thresholdFrom(text, lowest, highest) {
  if (!/^\s*[01]?[.,]\d+\s*$/.test(text)) return null;
  const value = Math.round(Number(text.replace(",", ".")) * 100) / 100;
  return value >= lowest && value <= highest ? value : null;
}
