/** The help: which keys there are, and what is known of the run. */

import { el } from "./dom.js";
import { clip, duration } from "./text.js";

const KEYS = [
  ["← →", "previous, next operation"],
  ["↑ ↓", "previous, next line"],
  ["Enter", "go into the call or the operation"],
  ["Esc", "go out to the call"],
  ["Home End", "first, last"],
  ["Space", "play, pause"],
  ["f", "sizes as numbers, formulas, both"],
  ["w", "next warning"],
  ["?", "this help"],
];

export function helpForm({ trace, hasFormulas, warnings }) {
  const keys = KEYS.filter(
    ([key]) => (key !== "f" || hasFormulas) && (key !== "w" || warnings.size),
  );
  const facts = [
    ["module", clip(trace.name, 80)],
    ["operations", trace.steps.length.toLocaleString("en")],
    ["parameters", Number(trace.parameters).toLocaleString("en")],
    ["mode", trace.training ? "train" : "eval"],
    ["time", duration(trace.seconds)],
    ["torch", clip(trace.torch, 40)],
  ];
  const rows = (list) => list.map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]);
  const shown = keys.map(([key, words]) => [key.split(" ").map((k) => el("kbd", {}, k)), words]);
  return el(
    "form",
    { method: "dialog" },
    el("h2", {}, "Keys"),
    el("dl", {}, rows(shown)),
    el("h2", {}, "This run"),
    el("dl", {}, rows(facts)),
    trace.remarks.slice(0, 20).map((remark) => el("p", {}, clip(remark, 600))),
    el("button", { type: "submit", class: "close" }, "Close"),
  );
}
