/** Formulas of sizes: what they are written in, what a run demands of them, what a step costs. */

import { formulaNodes } from "./dimensions.js";
import { el } from "./dom.js";
import { LIMIT } from "./limits.js";
import { amount, clip } from "./text.js";
import { counted, say } from "./words.js";

function formulaNode(model, { text }) {
  const nodes = formulaNodes(text, model);
  return el("span", { class: "formula", title: clip(text, 600) }, nodes);
}

/** What the formulas are written in, as a list; nothing where there are none. */
export function legend(model) {
  const entries = letters(model);
  return entries.length ? [el("ul", { class: "legend", "aria-label": say("sizes") }, entries)] : [];
}

function letters(model) {
  const value = (size) => [" = ", el("span", { class: "length" }, clip(size, 40))];
  const symbols = [...model.symbols].slice(0, 40).map(([name, size]) => {
    const symbol = el("span", { class: "formula size" }, formulaNodes(name, model, 40));
    const colour = model.colours.get(name);
    if (colour) {
      symbol.style.setProperty("--dim", colour);
      symbol.style.setProperty("--dim-end", colour);
    }
    return el("li", {}, symbol, value(size));
  });
  const named = aliases(model).map(([name, formula, size]) => {
    const code = el("code", {}, clip(name, 40));
    return el("li", {}, code, " = ", formulaNode(model, formula), value(size));
  });
  return [...symbols, ...named];
}

/** Names that the source gives to formulas, each `[name, formula, size]`. */
export function aliases({ notes, symbols }) {
  const found = new Map();
  for (const { dims, shape } of notes.values()) {
    for (const [axis, formula] of (dims ?? []).entries()) {
      for (const name of formula.aliases) {
        // `b = x.shape[0]` tells a reader of B nothing.
        const isPlain = symbols.has(formula.text) || formula.text === name;
        const key = `${name} ${formula.text}`;
        if (!isPlain && !found.has(key)) found.set(key, [name, formula, shape[axis]]);
        if (found.size >= LIMIT.aliases) return [...found.values()];
      }
    }
  }
  return [...found.values()];
}

/** What the run demands of its sizes, with the way to each step that does; nothing if nothing. */
export function demandList(model, act) {
  const constraints = model.trace.constraints ?? [];
  if (!constraints.length) return [];
  const broken = constraints.filter(({ holds }) => !holds).length;
  const rows = constraints
    .slice(0, LIMIT.constraints)
    .map((constraint) => el("li", {}, demand(model, constraint, act)));
  const rest = constraints.length - rows.length;
  if (rest > 0) rows.push(el("li", { class: "more" }, say("and {rest} more", { rest })));
  return [
    el(
      "details",
      { class: "demands", open: true },
      el(
        "summary",
        {},
        counted(constraints.length, "{n} demand on the sizes", "{n} demands on the sizes"),
        broken ? el("strong", {}, say(", {broken} not met", { broken })) : "",
      ),
      el("ul", {}, rows),
    ),
  ];
}

/** A sign, the formula, the sentence; with `act` also the way to the step that demands it. */
function demand(model, { formula, words, step, holds }, act = null) {
  const maker = act && step !== null ? model.tops[step] : null;
  const name = holds ? say("met") : say("not met");
  const link = {
    type: "button",
    class: "link",
    title: say("Go to operation {number}.", { number: step + 1 }),
    onclick: () => act.goto(String(step)),
  };
  const written = maker && clip(maker.place.expression.replace(/\s+/g, " "), 60);
  return el(
    "div",
    { class: holds ? "constraint" : "constraint broken" },
    el("span", { class: "sign", role: "img", "aria-label": name }, holds ? "✓" : "✗"),
    el(
      "div",
      {},
      formulaNode(model, formula),
      holds ? "" : el("strong", {}, ` ${say("not met")}`),
      el("span", { class: "words" }, clip(words)),
      maker ? el("button", link, el("code", {}, written || step + 1)) : "",
    ),
  );
}

/** What these steps demand of the sizes. */
export function demands(model, steps) {
  const { constraints = [] } = model.trace;
  const here = new Set(steps);
  return constraints
    .filter(({ step }) => step !== null && here.has(step))
    .slice(0, LIMIT.rank)
    .map((constraint) => demand(model, constraint));
}

/** Whether all that is demanded of the sizes is demanded by these steps, which say so themselves. */
export function areSaid(model, steps) {
  const { constraints = [] } = model.trace;
  const here = new Set(steps);
  return constraints.every(({ step }) => step !== null && here.has(step));
}

/** What letters stand for is said where formulas are, and with what is demanded of the sizes at the
 * beginning: a step says what it demands itself. */
export function aboutSizes({ legend: entries, demands: list }, face, isFirst) {
  const shown = [...(isFirst || face !== "numbers" ? entries : []), ...(isFirst ? list : [])];
  return shown.length ? [el("div", { class: "sizes" }, shown)] : [];
}

/** Elements, bytes and floating-point operations, as `[term, nodes]`. */
export function costs(model, steps) {
  const found = steps.map((step) => model.trace.costs?.[step]).filter(Boolean);
  if (!found.length) return [];
  const total = (name) => found.reduce((sum, cost) => sum + Number(cost[name]), 0);
  const only = found.length === 1 ? found[0] : {};
  const row = (number, formula, growth) => [
    el("span", { class: "count-of" }, number),
    // `12 = 12` says nothing.
    formula && /\p{L}/u.test(formula.text) ? [" = ", formulaNode(model, formula)] : "",
    growth ? [" ", growthNode(model, growth)] : "",
  ];
  const [elements, bytes, flops] = ["elements", "bytes", "flops"].map(total);
  const rows = [];
  if (elements || bytes) {
    rows.push([say("elements"), row(elements.toLocaleString("en"), only.elements_formula)]);
    rows.push([say("memory"), row(amount(bytes, "B"), only.bytes_formula, only.memory_growth)]);
  } else rows.push([say("memory"), say("none that is new")]);
  const count = row(amount(flops, "FLOP"), only.flops_formula, only.flops_growth);
  rows.push(["FLOPs", flops ? count : say("none that torch counts")]);
  return rows;
}

function growthNode(model, growth) {
  const attributes = { class: "growth", title: say("how it grows") };
  return el("span", attributes, "O(", formulaNode(model, growth), ")");
}
