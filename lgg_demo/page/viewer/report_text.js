// What a radiologist can paste into a report: sentences on the series that is on screen. Nothing that nobody knows (a
// diagnosis), and no file name, which may be a patient's. No document: node tests it alone.
import { figuresOf } from "./counts.js";
import { number, say } from "./words.js";
import { categoryText, changeText, intervalText, signed, velocityText } from "./growth_text.js";
import { sideOf } from "./ruler.js";
import { visitNumbered } from "./visits.js";

const SIDES_SAID = { right: "text_side_right", left: "text_side_left" };
const MOST_SENTENCES = 10; // lesions that a report names

// The size of a lesion in a line: two diameters and the height in mm, or what there is in pixels.
export function sizeText({ longest, perpendicular, height }, digits = 1) {
  const values = [longest, perpendicular, ...(height === null ? [] : [height])].map((v) => number(v, digits));
  return `${values.join(" × ")} ${say(height === null ? "pixels" : "unit_length")}`;
}
export const amountText = ({ volume, pixels }) =>
  volume === null ? `${number(pixels, 0)} ${say("pixels")}` : `${number(volume, volume < 1 ? 2 : 1)} ${say("unit_volume")}`;

function lesionSentence(lesion, n, frames) {
  const side = sideOf(frames, lesion);
  const one = frames.length === 1;
  return say(one ? "text_lesion_alone" : "text_lesion", {
    lesion: side ? say(SIDES_SAID[side], { number: n }) : say("lesion_number", { number: n }),
    size: sizeText(lesion, 0), amount: amountText(lesion), slice: lesion.slice + 1, slices: frames.length,
  });
}

// The change from one visit to another, and how fast it was; visits go by their number, no name and no date.
function growthSentences({ from, to, change, line, category, isNew }) {
  const values = {
    from: visitNumbered(from, from.number), to: visitNumbered(to, to.number), before: number(from.volume, 1),
    after: number(to.volume, 1), change: changeText(change), interval: intervalText(change),
  };
  return [
    say(change.measurable === false ? "text_growth_none" : "text_growth", values),
    ...(line ? [say("text_velocity", { velocity: velocityText(line) })] : []),
    ...(category ? [say("text_category", { category: categoryText({ category, isNew }) })] : []),
  ];
}

// How the outline agrees with the ground truth, where there is one.
function scoreSentences({ dice, iou, reference_volume: volume, volume_difference: difference }, surfaces) {
  if (dice === undefined) return [];
  const said = [say("text_scores", { dice: number(dice, 3), iou: number(iou, 3) })];
  if (surfaces && surfaces.hd95 !== null)
    said.push(say("text_surfaces", { hd95: number(surfaces.hd95, 1), surface_dice: number(surfaces.surface_dice, 3) }));
  if (volume !== undefined) said.push(say("text_reference", { volume: number(volume, 1), difference: signed(difference, 1) }));
  return said;
}

// The lines of the text. frames: the series; cutoff, threshold; found: what `lesionsOf` says of it; surfaces: what
// `surfacesOf` does, where there is a reference; model: its name; site: what the radiologist has written of it, or nothing;
// tuned: whether the threshold was chosen with the reference in view; growth: what `growthNow` says, where there are several
// visits.
export function reportLines({ frames, cutoff, threshold, found, surfaces, model, site, tuned, usual, growth = null }) {
  const figures = figuresOf(frames, cutoff), at = number(threshold, 2);
  const whole = { volume: figures.volume ?? null, pixels: figures.predicted };
  return [
    say(model ? "text_title" : "text_title_alone", { model }),
    ...(site ? [say("text_site", { site })] : []),
    ...(found.lesions.length ? [] : [say("nothing_found", { threshold: at })]),
    ...(found.found > 1 ? [say("text_count", { count: number(found.found, 0), amount: amountText(whole) })] : []),
    ...found.lesions.slice(0, MOST_SENTENCES).map((lesion, k) => lesionSentence(lesion, k + 1, frames)),
    ...(found.found > MOST_SENTENCES ? [say("lesions_more", { more: number(found.found - MOST_SENTENCES, 0) })] : []),
    ...(found.lesions.length ? [say(frames[0].spacing ? "text_measured" : "text_measured_pixels")] : []),
    ...(threshold === usual ? [] : [say("text_threshold", { threshold: at, usual: number(usual, 2) })]),
    ...(figures.corrected === undefined ? [] : [say("text_corrected", { pixels: number(figures.corrected, 0) })]),
    ...(growth ? growthSentences(growth) : []),
    ...scoreSentences(figures, surfaces),
    ...(tuned ? [say("caution")] : []),
    say("not_for_diagnosis"),
  ];
}
