/** The panel of one step: its expression, what happens in it, and what is known of it. */

import { ICONS, el, hop, icon } from "./dom.js";
import { failurePanel, showsOperands } from "./failure.js";
import { LIMIT } from "./limits.js";
import { donePart, stepsOf, warningsOf } from "./lines.js";
import { coded, markdown } from "./markdown.js";
import { codeNodes, freshState, tokenizeLine } from "./python.js";
import { roundsSaid } from "./rounds.js";
import { costs, demands } from "./sizes.js";
import { cardFacts, cardSaid, isCard } from "./story.js";
import { entries, flow, readAs } from "./tensors.js";
import { clamp, clip, duration, isOwned, languageOf } from "./text.js";
import { NO_EXPLANATION, rootStep } from "./trace.js";
import { counted, say } from "./words.js";

/** What the current item takes and gives, each `{note, labels, name}`. */
export function operands(scene) {
  const { item } = scene;
  const explanation = item.kind === "step" ? item.explanation : NO_EXPLANATION;
  const names = item.targets.length === item.outputs.length ? item.targets : [];
  // In `conv1` the tensor `conv1.weight` is just the weight.
  const inner = item.step?.module ? `${item.step.module}.` : "";
  const inputs = entries(scene, item.inputs, explanation.inputs, (note) => {
    const { kind, name } = note;
    return isOwned(kind) && inner && name.startsWith(inner) ? name.slice(inner.length) : readAs(item, note);
  });
  const outputs = entries(
    scene,
    item.outputs,
    explanation.outputs,
    (note, index) => names[index] || note.name || say("result"),
  );
  return { inputs, outputs };
}

/** What happens in the current item. */
export function happening(scene, { inputs, outputs }) {
  const { model, item } = scene;
  if (isCard(item)) return [...cardSaid(scene), flow(scene, inputs, outputs)];
  return [
    expression(item),
    // A failure shows its operands itself, under each other.
    showsOperands(model, item) ? "" : flow(scene, inputs, outputs),
    ...sentences(scene),
    ...warnings(scene),
    ...failurePanel(scene),
    ...cause(scene),
    ...demands(model, stepsOf(item)),
    ...inside(scene),
  ];
}

/** What is known of the current item. */
export function background({ model, item }) {
  if (isCard(item)) return cardFacts(item);
  const { note } = item;
  // Beside the code it is said already, where there is room for both.
  const kind = standsInCode(item) ? "note in-code" : "note";
  const nodes = note ? [el("div", { class: kind, lang: languageOf(note) }, markdown(note, model))] : [];
  return [...nodes, facts(model, item)];
}

function standsInCode({ source, statement, place }) {
  const line = statement?.line ?? place.line;
  return Boolean(source?.comments.some((comment) => comment.line === line));
}

/** The expression of an item, as it is written. */
export function expression(item) {
  const text = clip(item.kind === "line" ? item.place.statement : item.place.expression, 600);
  const fallback = item.step?.op ?? item.callee?.module ?? "";
  const lines = flowing((text || fallback).split("\n"));
  const indents = lines.slice(1).map((line) => line.length - line.trimStart().length);
  const indent = Math.min(...indents, 40);
  const done = item.kind === "line" ? 0 : donePart(item);
  const state = freshState();
  const nodes = lines.flatMap((whole, index) => {
    const line = index ? whole.slice(indent) : whole;
    const tokens = tokenizeLine(line, state);
    const split = index === 0 ? clamp(done, 0, line.length) : 0;
    return [
      index ? "\n" : "",
      split ? el("span", { class: "done" }, line.slice(0, split)) : "",
      ...codeNodes(line, tokens, split, line.length),
    ];
  });
  return el("h2", { class: "expression" }, el("code", { translate: "no" }, nodes));
}

/** A call of many lines runs on, and is cut off: beside it stands the source as it is written. */
function flowing(lines) {
  if (lines.length <= LIMIT.callLines) return lines;
  const text = lines.map((line) => line.trim()).filter((line) => !line.startsWith("#")).join(" ");
  return [clip(text.replace(/([([{]) /g, "$1").replace(/,? ([)\]}])/g, "$1"), LIMIT.call)];
}

/** What is said of a step, in numbers or in formulas. */
export function told(item, face) {
  return face === "numbers" ? item.explanation : (item.said ?? item.explanation);
}

/** What happens in an item, in a sentence, and what it does not say in a list. */
export function sentences({ item, face }) {
  if (item.kind === "call") return [el("p", { class: "summary" }, callSummary(item))];
  if (item.kind === "rounds") return [el("p", { class: "summary" }, roundsSaid(item))];
  if (item.kind === "line") {
    const rows = item.items.slice(0, 30).map((part) => {
      const words = partSummary(part, face);
      const name = el("code", {}, clip(part.step?.op ?? part.callee?.module, 60));
      return el("li", {}, name, `: ${clip(words)}`);
    });
    return [el("ol", { class: "parts" }, rows)];
  }
  if (item.error !== null) return [];
  const { summary, changes } = told(item, face);
  const rest = changes.filter((change) => change !== summary);
  const rows = rest.slice(0, LIMIT.rank).map((change) => el("li", {}, clip(change)));
  return [
    summary ? el("p", { class: "summary" }, clip(summary, 400)) : "",
    rest.length ? el("ul", { class: "changes" }, rows) : "",
  ];
}

function partSummary(part, face) {
  if (part.kind === "call") return callSummary(part);
  return part.kind === "rounds" ? roundsSaid(part) : told(part, face).summary;
}

function callSummary({ callee }) {
  const { parameters } = callee;
  const operations = counted(callee.stop - callee.start, "{n} operation", "{n} operations");
  const type = clip(callee.type, 60);
  if (!(parameters > 0)) return say("{type}: {operations} inside.", { type, operations });
  const owned = counted(parameters, "{n} parameter", "{n} parameters");
  return say("{type}: {operations} inside, {owned}.", { type, operations, owned });
}

function inside({ operation, act }) {
  const { kind, callee, children, first, stop } = operation;
  const counts = { call: () => callee.stop - callee.start, rounds: () => stop - first };
  const count = counts[kind]?.() ?? children.length;
  if (!count) return [];
  const words = counted(count, "Go in: {n} operation", "Go in: {n} operations");
  return [hop(words, () => act.enter(), el("kbd", {}, "Enter"))];
}

function warnings({ model, item }) {
  const found = warningsOf(model, item);
  const shown = found.slice(0, LIMIT.rank).map(({ name, reason }) => {
    const words = el("p", {}, el("strong", {}, `${clip(name, 80)}: `), coded(reason));
    return el("div", { class: "warning", role: "note" }, icon(ICONS.warned), words);
  });
  const rest = found.length - shown.length;
  return rest > 0 ? [...shown, el("p", { class: "more" }, say("and {rest} more", { rest }))] : shown;
}

/** At the step where what failed later was born: why, and the way back. */
function cause({ model, item, act }) {
  const { trace, failing } = model;
  const step = rootStep(trace);
  const isHere = step !== null && item.error === null && failing && stepsOf(item).includes(step);
  if (!isHere) return [];
  const name = el("strong", {}, `${say("The failure begins here:")} `);
  return [
    el(
      "div",
      { class: "warning cause", role: "note" },
      icon(ICONS.root),
      el(
        "div",
        {},
        el("p", {}, name, coded(trace.failure.root.why)),
        hop(say("Back to the failure"), () => act.reach(failing)),
      ),
    ),
  ];
}

const squeezed = (text) => text.replace(/\s+/g, "");

function facts(model, item) {
  const { step, callee, place } = item;
  const isLine = item.kind === "line";
  const code = (text) => el("code", { translate: "no" }, clip(text, 200));
  const found = [];
  if (step && !isLine) found.push([say("operation"), code(step.op)]);
  if (callee) found.push([say("module"), code(`${callee.module}: ${callee.type}`)]);
  const settings = step ? step.arguments.join(", ") : (callee?.settings ?? "");
  const isWritten = squeezed(place.expression ?? "").includes(squeezed(settings));
  if (settings && !isLine && !isWritten) found.push([say("arguments"), code(settings)]);
  if (step?.writes && !isLine) found.push([say("in place"), say("it overwrites its first operand")]);
  const file = place.file.split(/[\\/]/).at(-1);
  if (file) found.push([say("written in"), code(`${file}:${place.line}`)]);
  const times = (item.items ?? [item])
    .map((part) => (part.step ?? part.callee)?.seconds)
    .filter((each) => each !== undefined);
  // Shapes alone are found without the work: how long that took says nothing of the operation.
  if (model.trace.values && times.length) {
    found.push([say("time"), duration(times.reduce((sum, each) => sum + each, 0))]);
  }
  found.push(...costs(model, stepsOf(item)));
  const rows = found.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]);
  return el("dl", { class: "facts" }, rows);
}
