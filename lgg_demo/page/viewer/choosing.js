// What the list of studies does: go to one, give a series another role, say whose a study is and when it was. And the button
// that registers the sequences of one.
import { go } from "./actions.js";
import { find, root } from "./dom.js";
import { enter } from "./run.js";
import { cutoff, state } from "./state.js";
import { writeStudies } from "./studies.js";
import { listenToVisits, nameOf } from "./visit_list.js";

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

// Have the studies grouped by what is said of them now; nothing that is shown goes.
function regroup(visits, said) {
  const begin = () => {
    root.visits = JSON.stringify(visits);
    state.said = said;
    trigger("visits");
  };
  return enter({ what: nameOf(said.case), replaces: false, begin });
}

export function listenToStudies() {
  listenToVisits(writeStudies, regroup);
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
