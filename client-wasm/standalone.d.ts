/** All of it in one file, `<whos-here>` too. */
import "./element.js";

export * from "./index.js";
