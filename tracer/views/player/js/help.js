/** The help: which keys there are, and what is known of the run. */

import { el } from "./dom.js";
import { coded } from "./markdown.js";
import { clip, duration } from "./text.js";
import { say } from "./words.js";

const keyWords = () => [
  ["← →", say("previous, next operation")],
  ["↑ ↓", say("previous, next line")],
  ["Enter", say("go into the call or the operation")],
  ["Esc", say("go out to the call")],
  ["Home End", say("first, last")],
  ["Space", say("play, pause")],
  ["f", say("sizes as numbers, formulas, both")],
  ["w", say("next warning")],
  ["p", say("predict the next shape before it is shown")],
  ["v", say("present it to a class, one step at a time")],
  ["b f s", say("while presenting: a black screen, the full screen, notes in a second window")],
  ["m", say("how the step works, cell by cell")],
  ["Enter c", say("on a picture: follow a cell through the run; let it go")],
  ["g", say("the graph: show or hide it")],
  ["+ - 0", say("in the graph: larger, smaller, all of it")],
  ["?", say("this help")],
];

/** `demands`: what the run demands of its sizes, as nodes; `questions`: how many shapes can be
 * predicted; `hasScenes`: whether a step shows how it works. */
export function helpForm({ trace, hasFormulas, warnings, graph }, demands, questions, hasScenes) {
  const offered = { f: hasFormulas, w: warnings.size, p: questions, m: hasScenes, g: graph, "+ - 0": graph };
  const keys = keyWords().filter(([key]) => !(key in offered) || offered[key]);
  const facts = [
    [say("module"), clip(trace.name, 80)],
    [say("operations"), trace.steps.length.toLocaleString("en")],
    [say("parameters"), Number(trace.parameters).toLocaleString("en")],
    [say("mode"), trace.training ? "train" : "eval"],
    ...(trace.values && trace.seconds !== undefined ? [[say("time"), duration(trace.seconds)]] : []),
    ["torch", clip(trace.torch, 40)],
  ];
  const rows = (list) => list.map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]);
  const shown = keys.map(([key, words]) => [key.split(" ").map((k) => el("kbd", {}, k)), words]);
  return el(
    "form",
    { method: "dialog" },
    el("h2", {}, say("Keys")),
    el("dl", {}, rows(shown)),
    el("h2", {}, say("This run")),
    el("dl", {}, rows(facts)),
    demands,
    trace.remarks.slice(0, 20).map((remark) => el("p", {}, coded(clip(remark, 600)))),
    el("button", { type: "submit", class: "close" }, say("Close")),
  );
}
