/** The failure: what was raised, the operands at odds, where the cause was born, and the fixes. */

import { ICONS, el, hop, icon } from "./dom.js";
import { fixList } from "./fixes.js";
import { LIMIT } from "./limits.js";
import { coded } from "./markdown.js";
import { chainList, historyLists } from "./origins.js";
import { codeNodes, freshState, tokenizeLine } from "./python.js";
import { nameOf, sizeCell } from "./tensors.js";
import { clamp, clip, fileName, oneLine, shapeText, whereIs } from "./text.js";
import { hasSteps } from "./walk.js";
import { counted, say } from "./words.js";

const origins = () =>
  new Map([
    ["input", say("input")],
    ["made", say("made inside torch")],
    ["constant", say("from outside the run")],
    ["parameter", say("parameter")],
    ["buffer", say("buffer")],
  ]);

const isFailure = ({ failing }, item) => item.error !== null && (item.last ?? item) === failing;

function operandsOf({ trace, notes }) {
  return trace.failure.operands
    .map((operand) => ({ ...operand, note: notes.get(operand.note) }))
    .filter(({ note }) => note);
}

/** Whether the panel of `item` shows the operands itself. */
export const showsOperands = (model, item) =>
  isFailure(model, item) && operandsOf(model).length > 0;

/** The diagnosis at the failing step; at a step inside it what that one raised. */
export function failurePanel(scene) {
  const { model, item, act } = scene;
  if (item.error === null) return [];
  const { failing, trace } = model;
  const { failure } = trace;
  const isIt = isFailure(model, item);
  const crash = el(
    "div",
    { class: "crash", role: "alert" },
    el("strong", {}, isIt ? clip(failure.type, 80) : say("It failed")),
    el("p", {}, clip(isIt ? failure.message : item.error, LIMIT.message)),
  );
  const panel = (...parts) =>
    el("section", { class: "failure", "aria-label": say("failure") }, crash, parts);
  if (!isIt) {
    return [panel(failing ? hop(clip(failure.headings?.why, 80), () => act.reach(failing)) : "")];
  }
  const { rule, reason, root, fixes = [], code = "", headings = {} } = failure;
  return [
    panel(
      operandRows(scene),
      rule ? el("p", { class: "rule" }, coded(rule)) : "",
      reason ? el("p", { class: "reason" }, coded(reason)) : "",
      code
        ? el("p", { class: "more" }, `${clip(headings.more, 80)} docs/errors/${clip(code, 40)}.md`)
        : "",
      root ? rootPanel(scene, root) : "",
      chainList(scene, failure, quoted),
      historyLists(scene, failure, quoted),
      fixList(scene, fixes),
    ),
  ];
}

/** The operands under each other, aligned by their last dimension, what is at odds marked. */
function operandRows(scene) {
  const operands = operandsOf(scene.model);
  if (!operands.length) return "";
  const shown = operands.slice(0, LIMIT.tensors);
  const rank = Math.max(1, ...shown.map(({ note }) => Math.min(note.shape.length, LIMIT.rank)));
  const rows = shown.map((operand) => operandRow(scene, operand, rank));
  const rest = operands.length - shown.length;
  if (rest > 0) rows.push(el("li", { class: "more" }, counted(rest, "and {n} more operand", "and {n} more operands")));
  const list = el("ul", { class: "operands", "aria-label": say("operands") }, rows);
  list.style.setProperty("--rank", rank);
  return list;
}

function operandRow(scene, operand, rank) {
  const { model, light } = scene;
  const { note } = operand;
  const name = nameOf(model, note, model.failing);
  const origin = originOf(scene, operand);
  const tags = [clip(note.dtype, 20)];
  if (note.device !== "cpu") tags.push(clip(note.device, 20));
  if (!origin) tags.push(origins().get(note.kind) ?? clip(note.kind, 20));
  const row = el(
    "li",
    { class: "operand" },
    el(
      "span",
      { class: "tensor-name" },
      // A long path breaks behind its dots.
      clip(name, 80)
        .split(/(?<=\.)/)
        .map((part) => [part, el("wbr")]),
      el("span", { class: "spoken" }, ` ${spokenShape(operand, scene.face)} `),
      tags.map((tag) => el("i", {}, tag)),
    ),
    places(scene, operand, rank),
    origin,
  );
  light.tie(row, [note.id]);
  return row;
}

function spokenShape({ note, marks = [] }, face) {
  const dimensions = marks
    .slice(0, LIMIT.rank)
    .filter((axis) => axis in note.shape)
    .map((axis) => `${say("dimension {axis}", { axis })}, ${clip(note.shape[axis], 40)}`);
  const said = [shapeText(note, face)];
  if (dimensions.length) said.push(say("at odds: {dimensions}", { dimensions: dimensions.join("; ") }));
  return said.join(", ");
}

/** The sizes of an operand, each in the column of its dimension counted from the last. */
function places(scene, { note, marks = [] }, rank) {
  const labels = scene.model.labels.get(note.id) ?? [];
  const skipped = Math.max(0, note.shape.length - LIMIT.rank);
  const nodes = note.shape.slice(skipped).map((_, index) => {
    const axis = index + skipped;
    const odd = marks.includes(axis);
    const title = say("dimension {axis}", { axis });
    const cell = sizeCell(scene, note, axis, labels, { odd, title });
    const place = el("span", { class: "place" }, cell, odd ? el("b", {}, "▲") : "");
    place.style.gridColumn = String(rank - note.shape.length + axis + 2);
    return place;
  });
  const scalar = () =>
    el("span", { class: "place" }, el("span", { class: "cell plain" }, say("scalar")));
  return el(
    "span",
    { class: "places", "aria-hidden": "true" },
    skipped ? el("span", { class: "more" }, "…") : "",
    nodes.length ? nodes : scalar(),
  );
}

/** The expression that an operand comes from, with the way to its step; null where it has none. */
function originOf({ model, act }, { note, expression, file, line }) {
  const { failing, makers } = model;
  const maker = makers.get(note.id);
  const code = el("code", {}, clip(oneLine(maker?.place.expression || expression), 120));
  if (maker && maker !== failing) {
    const where = whereIs(maker.place, failing.place);
    return el(
      "button",
      {
        type: "button",
        class: "origin link",
        title: say("Go to where it was made."),
        onclick: () => act.visit(note, maker),
      },
      `${say("from")} `,
      code,
      where ? `, ${where}` : "",
    );
  }
  const where = line === null ? "" : whereIs({ file, line }, failing.place);
  return where && expression ? el("span", { class: "origin" }, `${say("from")} `, code, `, ${where}`) : null;
}

/** Where the wrong size was born. */
function rootPanel({ model, act }, root) {
  const { kind, place, why } = root;
  const path = rootPath(model, root);
  const file = place.file && place.line > 0 ? `${fileName(place.file)}:${place.line}` : "";
  const where = path ? whereIs(place, model.failing.place) : file;
  const words = [where, clip(place.function, 80)].filter(Boolean).join(`, ${say("in")} `);
  const link = { type: "button", class: "link", onclick: () => act.goto(path) };
  return el(
    "div",
    { class: "root" },
    el("h3", {}, icon(ICONS.root), clip(model.trace.failure.headings?.root, 80)),
    why ? el("p", {}, coded(why)) : "",
    quoted(place),
    path
      ? el("button", link, words ? say("Go there: {words}", { words }) : say("Go there"))
      : el("span", { class: "where" }, words),
  );
}

/** The path of the item at which the cause was born, if it is one. */
function rootPath({ tops, calls }, { kind, place, module, step }) {
  if (kind === "step" && tops[step]) return String(step);
  if (kind !== "call") return null;
  const isIt = ({ callee, place: other }) =>
    callee.module === module && other.line === place.line && other.file === place.file;
  return calls.find((call) => call.callee.parent !== null && isIt(call) && hasSteps(call))?.path;
}

/** A statement as it is written, with its expression marked. */
function quoted({ statement, statement_span: whole, span, expression }) {
  const lines = clip(statement || expression, 2_000).split("\n").slice(0, 12);
  if (!lines[0]) return "";
  const state = freshState();
  const nodes = lines.flatMap((line, index) => {
    const tokens = tokenizeLine(line, state);
    const shift = index === 0 ? (whole?.column ?? 0) : 0;
    const number = (whole?.line ?? NaN) + index;
    let [from, to] = [0, 0];
    if (span && number >= span.line && number <= span.end_line) {
      from = number === span.line ? span.column - shift : line.length - line.trimStart().length;
      to = number === span.end_line ? span.end_column - shift : line.length;
    }
    from = clamp(from, 0, line.length);
    to = clamp(to, from, line.length);
    const part = (start, end) => codeNodes(line, tokens, start, end);
    return [
      index ? "\n" : "",
      part(0, from),
      to > from && to - from < line.length ? el("mark", {}, part(from, to)) : part(from, to),
      part(to, line.length),
    ];
  });
  return el("pre", { class: "quoted", translate: "no" }, el("code", {}, nodes));
}
