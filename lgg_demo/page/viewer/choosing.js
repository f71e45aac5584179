// What the list of studies does: go to one, give a series another role. And the button that registers the sequences of one.
import { go } from "./actions.js";
import { find, root } from "./dom.js";
import { enter } from "./run.js";
import { cutoff, state } from "./state.js";

// The first slice of a study with an outline; of one without, its middle.
function goStudy(n) {
  const { frames } = state;
  const own = frames.flatMap((f, at) => (f.case === n ? [at] : []));
  go(own.find((at) => frames[at].all[cutoff()] > 0) ?? own[own.length >> 1]);
}

function choose({ value, dataset }) {
  const choice = JSON.stringify({ study: Number(dataset.study), series: dataset.series, role: value });
  const begin = () => {
    root.choice = choice;
    trigger("choose");
  };
  return enter({ what: dataset.series, replaces: true, begin });
}

export function listenToStudies() {
  const place = find(".lgg-studies");
  place.addEventListener("click", ({ target }) => {
    const study = target.closest(".lgg-study");
    if (study) goStudy(Number(study.dataset.study));
  });
  place.addEventListener("change", ({ target }) => target.matches("select") && choose(target));
  find(".lgg-messages").addEventListener("click", ({ target }) => {
    if (target.matches("button")) choose({ value: "register", dataset: target.dataset });
  });
}
