/** Tensors as chips: a name, and a cell for each dimension. */

import { dimensionLetters, formulaNodes, formulaTitle, paintDimension } from "./dimensions.js";
import { breakable, el } from "./dom.js";
import { LIMIT } from "./limits.js";
import { clip, describeNote, isOwned, shapeText } from "./text.js";
import { counted, say } from "./words.js";

/** A tensor's name; one without is called by the expression that `item`'s statement has for it,
 * else by the one that made it. */
export function nameOf({ makers }, note, item = null) {
  if (note.name) return note.name;
  const here = item?.group?.items.findLast(
    (other) => other.at < item.at && other.outputs.includes(note),
  );
  return (here ?? makers.get(note.id))?.place.expression || say("tensor");
}

/** What an item's statement calls a tensor that it reads, which may have come by another name. */
export function readAs({ names }, { id, name }) {
  const read = names.flatMap(([text, of]) => (of === id ? [text] : []));
  return read.includes(name) ? name : (read[0] ?? name);
}

/** Each `{note, labels, name}`, with `name(note, index)` before the tensor's own name. */
export function entries({ model, item }, notes, labels, name) {
  return notes.map((note, index) => ({
    note,
    labels: labels?.[index] ?? model.labels.get(note.id) ?? [],
    name: name?.(note, index) || nameOf(model, note, item),
  }));
}

/** What an operation takes beside what it gives. */
export function flow(scene, inputs, outputs) {
  const [taken, given] = [parted(inputs), parted(outputs)];
  // What is said of a step stays in sight: beyond so many rows the rest is a click away.
  const room = Math.max(LIMIT.rows - given.large.length, LIMIT.rows >> 1);
  const rows = Math.min(taken.large.length, room);
  const isFull = taken.large.length + taken.small.length + given.large.length > LIMIT.rows;
  return el("div", { class: "flow" }, [
    chips(scene, taken, { side: "before", room, isFull }, say("before"), say("no operands")),
    chips(scene, given, { side: "after", room: LIMIT.rows - rows, isFull }, say("after"), say("no result")),
  ]);
}

/** Weights stand together in small, unless they are all there is. */
function parted(shown) {
  const large = shown.filter(({ note }) => !isOwned(note.kind));
  if (!large.length) return { large: shown, small: [] };
  return { large, small: shown.filter(({ note }) => isOwned(note.kind)) };
}

function chips(scene, { large, small }, { side, room, isFull }, spoken, absent) {
  const nodes = large.slice(0, room).map((entry) => chip(scene, entry));
  const rest = large.slice(room);
  if (rest.length) nodes.push(folded(scene, rest, counted(rest.length, "and {n} more tensor", "and {n} more tensors")));
  if (small.length && isFull) nodes.push(folded(scene, small, counted(small.length, "and {n} weight", "and {n} weights")));
  else if (small.length) nodes.push(el("div", { class: "owned" }, small.map((entry) => chip(scene, entry))));
  if (!large.length) nodes.push(el("p", { class: "more" }, absent));
  const many = isFull || nodes.length > LIMIT.tall ? " many" : "";
  return el("div", { class: `tensors ${side}${many}`, role: "group", "aria-label": spoken }, nodes);
}

/** Tensors that are shown when they are asked for. */
function folded(scene, shown, words) {
  const owned = shown.slice(0, LIMIT.owned).map((entry) => chip(scene, entry));
  return el("details", { class: "more" }, el("summary", {}, words), el("div", { class: "owned" }, owned));
}

const ownedWords = () => ({ parameter: say("parameter"), buffer: say("buffer") });

/** One tensor; `odd` are dimensions to be marked. */
function chip(scene, { note, labels, name, odd = [] }) {
  const { model, face, light, act } = scene;
  const isOwn = isOwned(note.kind);
  const tags = isOwn ? [ownedWords()[note.kind]] : [];
  // It came by a name of its own, under which it is found in the source.
  if (!isOwn && note.name && note.name !== name) tags.push(`= ${clip(note.name, 40)}`);
  if (note.dtype !== "float32") tags.push(clip(note.dtype, 20));
  if (note.device !== "cpu") tags.push(clip(note.device, 20));
  const maker = model.makers.get(note.id) ?? null;
  const spoken = [shapeText(note, face), maker ? say("Go to where it was made.") : ""];
  const node = el(
    "button",
    {
      type: "button",
      class: "tensor",
      title: describeNote(note),
      onclick: () => act.visit(note, maker),
    },
    el(
      "span",
      { class: "tensor-name" },
      breakable(clip(name, 80)),
      tags.map((tag) => el("i", {}, tag)),
    ),
    el("span", { class: "spoken" }, ` ${spoken.filter(Boolean).join(say(". "))}`),
    el("span", { class: "cells", "aria-hidden": "true" }, cells(scene, note, labels, odd)),
  );
  light.tie(node, [note.id]);
  return node;
}

function cells(scene, note, labels, odd) {
  const { rank } = LIMIT;
  const nodes = note.shape.slice(0, rank).map((_, axis) =>
    sizeCell(scene, note, axis, labels, { odd: odd.includes(axis) }),
  );
  if (!nodes.length) {
    const space = el("span", { class: "letter" }, "\u00a0");
    nodes.push(el("span", { class: "cell plain" }, space, say("scalar")));
  }
  if (note.shape.length > rank) nodes.push(el("span", { class: "more" }, "…"));
  return nodes;
}

/** One dimension: its letter over its number, its formula, or that over the number. */
export function sizeCell({ model, face }, note, axis, labels, { odd = false, title = null } = {}) {
  const label = labels[axis] ?? "";
  const size = note.shape[axis];
  const formula = note.dims?.[axis];
  const isPlain = !dimensionLetters(model, note, axis, label).length;
  const node = el(
    "span",
    {
      class: `cell${isPlain ? " plain" : ""}${odd ? " odd" : ""}`,
      title: formula ? formulaTitle(formula, size) : title,
    },
    sizeNodes(model, face, size, label, formula),
  );
  paintDimension(node, model, note, axis, label);
  return node;
}

function sizeNodes(model, face, size, label, formula) {
  const number = el("span", { class: "length" }, clip(size, 12));
  if (face === "numbers" || !formula) {
    const letter = /^\d*$/.test(label) ? "\u00a0" : clip(label, 14);
    return [el("span", { class: "letter" }, letter), number];
  }
  const symbols = el("span", { class: "formula" }, formulaNodes(formula.text, model));
  const isNumber = formula.text === String(size);
  return face === "formulas" || isNumber ? [symbols] : [symbols, number];
}
