/** Tensors as chips: a name, and a cell for each dimension. */

import { dimensionLetters, formulaNodes, formulaTitle, paintDimension } from "./dimensions.js";
import { el } from "./dom.js";
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
  return el("div", { class: "flow" }, [
    chips(scene, inputs, "before", say("before"), say("no operands")),
    chips(scene, outputs, "after", say("after"), say("no result")),
  ]);
}

function chips(scene, shown, side, spoken, absent) {
  const others = shown.filter(({ note }) => !isOwned(note.kind));
  // Weights stand together in small, unless they are all there is.
  const large = others.length ? others : shown;
  const small = others.length ? shown.filter(({ note }) => isOwned(note.kind)) : [];
  const nodes = large.slice(0, LIMIT.tensors).map((entry) => chip(scene, entry));
  const rest = large.length - nodes.length;
  if (rest > 0) nodes.push(el("p", { class: "more" }, counted(rest, "and {n} more tensor", "and {n} more tensors")));
  if (small.length) {
    const owned = small.slice(0, LIMIT.owned).map((entry) => chip(scene, entry));
    nodes.push(el("div", { class: "owned" }, owned));
  }
  if (!shown.length) nodes.push(el("p", { class: "more" }, absent));
  const many = nodes.length > LIMIT.tall ? " many" : "";
  return el("div", { class: `tensors ${side}${many}`, role: "group", "aria-label": spoken }, nodes);
}

const ownedWords = () => ({ parameter: say("parameter"), buffer: say("buffer") });

function chip(scene, { note, labels, name }) {
  const { model, face, light, act } = scene;
  const tags = isOwned(note.kind) ? [ownedWords()[note.kind]] : [];
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
      clip(name, 80),
      tags.map((tag) => el("i", {}, tag)),
    ),
    el("span", { class: "spoken" }, ` ${spoken.filter(Boolean).join(". ")}`),
    el("span", { class: "cells", "aria-hidden": "true" }, cells(scene, note, labels)),
  );
  light.tie(node, [note.id]);
  return node;
}

function cells(scene, note, labels) {
  const { rank } = LIMIT;
  const nodes = note.shape.slice(0, rank).map((_, axis) => sizeCell(scene, note, axis, labels));
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
