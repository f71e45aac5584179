// Growth between visits, as lgg_demo/measure/growth.py computes it. No document: node tests it alone. Volumes are in mL, each
// of its own visit's grid: a registration never touches them.
export const NORMAL_95 = 1.96; // standard deviations around the mean that hold 95 % of a normal distribution

// The mean diameter in mm, (2 V)^(1/3) (Mandonnet 2003).
export const meanDiameter = (ml) => Math.cbrt(2000 * ml);

// The standard deviation of one measured volume; null where nobody has measured how well it repeats.
export const spreadOf = (ml, repeatability) =>
  repeatability ? Math.hypot(repeatability.relative * ml, repeatability.absolute_ml) : null;

// The line of mean diameters against time through visits {months, volume} that have both: {slope (mm a year), at (mm at month
// 0)}; null with less than two, or all at one time.
export function lineThrough(visits) {
  const points = visits.filter(({ months, volume }) => months !== null && volume !== null)
    .map(({ months, volume }) => ({ year: months / 12, mm: meanDiameter(volume) }));
  const mean = (value) => points.reduce((sum, p) => sum + value(p), 0) / points.length;
  const year = mean((p) => p.year), mm = mean((p) => p.mm);
  const spread = points.reduce((sum, p) => sum + (p.year - year) ** 2, 0);
  if (points.length < 2 || spread === 0) return null;
  const slope = points.reduce((sum, p) => sum + (p.year - year) * (p.mm - mm), 0) / spread;
  return { slope, at: mm - slope * year };
}

// What became of a volume: its change in mL and per cent (null where there was none), each with its 95 % interval, and whether
// it is measurable: the interval leaves out zero. All three null where repeatability is unknown.
export function volumeChange(before, after, repeatability) {
  const ml = after - before, percent = before ? (100 * ml) / before : null;
  if (!repeatability) return { ml, percent, interval: null, percentInterval: null, measurable: null };
  const reach = NORMAL_95 * Math.hypot(spreadOf(before, repeatability), spreadOf(after, repeatability));
  const interval = [ml - reach, ml + reach];
  return {
    ml, percent, interval, percentInterval: before ? interval.map((v) => (100 * v) / before) : null,
    measurable: interval[0] > 0 || interval[1] < 0,
  };
}

// Categories of RANO 2.0 for disease that takes up no contrast agent, by volume alone, as lgg_demo/measure/rano.py has them
// (Wen et al. 2023, doi:10.1200/JCO.23.01059): shares from the smallest volume up, and from the first one down.
export const PROGRESSION = 0.4, PARTIAL = -0.65;
const SAME_SHARE = 1e-9; // a share that is the threshold stays so, whatever floats make of it
const MEASURABLE_MM = 10, MEASURABLE_SLICES = 2;

// Whether a lesion (see `lesionsOf`) can be measured by its diameters: one that is new counts as progression then.
export const isMeasurable = ({ longest, perpendicular, height, first, last }) =>
  height !== null && Math.min(longest, perpendicular) >= MEASURABLE_MM && last - first + 1 >= MEASURABLE_SLICES;

// The category of the last of some volumes in order of time; null where there is nothing to compare it with. isNew: there is
// a measurable lesion that the first visit has not.
export function categoryOf(volumes, isNew = false) {
  if (isNew) return "progressive_disease";
  const first = volumes[0], last = volumes.at(-1);
  if (!first || last === null) return null;
  const nadir = Math.min(...volumes.slice(0, -1).filter((volume) => volume !== null));
  if (last > 0 && last >= nadir * (1 + PROGRESSION - SAME_SHARE)) return "progressive_disease";
  if (last === 0) return "complete_response";
  return last / first - 1 <= PARTIAL + SAME_SHARE ? "partial_response" : "stable_disease";
}
