// The least of many parabolas, of which distances in two and three dimensions are made (Felzenszwalb and Huttenlocher 2012). No
// document: node tests it through between.js and distances.js.

const begins = [], whose = []; // where each parabola of the envelope begins, and which it is; kept from one line to the next

// `at`: places of `count` parabolas, in order; `up`: their heights. Writes the least of all, by its number, at each asked place,
// in order. No place is written where there is no parabola.
export function envelope(at, up, count, asked, write) {
  if (!count) return;
  let n = -1;
  for (let k = 0; k < count; k++) {
    let meet = -Infinity;
    while (n >= 0) {
      const v = whose[n];
      meet = (up[k] - up[v] + at[k] * at[k] - at[v] * at[v]) / (2 * (at[k] - at[v]));
      if (meet > begins[n]) break;
      n--;
      meet = -Infinity;
    }
    n++;
    whose[n] = k;
    begins[n] = meet;
  }
  for (let a = 0, k = 0; a < asked.length; a++) {
    while (k < n && begins[k + 1] < asked[a]) k++;
    write(a, up[whose[k]] + (asked[a] - at[whose[k]]) ** 2);
  }
}
