import js from "@eslint/js";
import globals from "globals";

const given = { element: "readonly", props: "readonly", watch: "readonly", trigger: "readonly" }; // by gr.HTML, to the script it runs

export default [
  { ignores: ["**/*", "!lgg_demo/**", "!tests/**", "!*.js"] }, // an environment or the data beside the code is not ours
  js.configs.recommended,
  {
    files: ["lgg_demo/page/viewer/*.js"],
    languageOptions: { globals: { ...globals.browser, ...given } },
    rules: { "max-lines": ["error", 450], "max-lines-per-function": ["error", 60], "prefer-const": "error", eqeqeq: ["error", "smart"] },
  },
  {
    files: ["lgg_demo/experiments/*.js"], // scripts whose functions Playwright calls
    languageOptions: { sourceType: "script", globals: globals.browser },
    rules: { "no-unused-vars": ["error", { vars: "local" }] },
  },
  { files: ["tests/**/*.mjs", "*.js"], languageOptions: { globals: globals.nodeBuiltin } },
];
