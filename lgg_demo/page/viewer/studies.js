// The list of what was loaded: each study with its series, their roles to be corrected there.
import { go } from "./actions.js";
import { create, find, label, setText } from "./dom.js";
import { enter } from "./run.js";
import { render } from "./render.js";
import { cutoff, frameNow, root_choice, state } from "./state.js";
import { say } from "./words.js";
