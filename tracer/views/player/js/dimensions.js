/** The letters and formulas of dimensions, and their colours. */

import { DIMENSION_COLOURS } from "./colours.js";
import { el } from "./dom.js";
import { LIMIT } from "./limits.js";
import { clip } from "./text.js";
import { say } from "./words.js";

const LETTERS = /\p{L}[\p{L}\p{N}_]*/gu;

/** Which colour each letter has, and the letters of each tensor as first explained. */
export function nameDimensions(model) {
  const seen = new Set();
  const look = (notes, rows) => {
    notes.forEach((note, index) => {
      const labels = rows[index] ?? [];
      if (!model.labels.has(note.id)) model.labels.set(note.id, labels);
      labels.forEach((label, axis) => {
        const key = `${label}\n${note.dims?.[axis]?.text ?? ""}`;
        if (seen.has(key)) return;
        seen.add(key);
        for (const letter of dimensionLetters(model, note, axis, label)) {
          if (model.colours.has(letter)) continue;
          const next = DIMENSION_COLOURS[model.colours.size % DIMENSION_COLOURS.length];
          model.colours.set(letter, next);
        }
      });
    });
  };
  for (const node of model.nodes) {
    look(node.inputs, node.explanation.inputs);
    look(node.outputs, node.explanation.outputs);
  }
}

const lettersOf = (text, letters = LETTERS) => [...new Set(clip(text).match(letters) ?? [])];

// In a formula `H²` is H: other digits that are no decimal ones belong to a name.
const NAMES = /\p{L}[\p{L}\p{Nd}₀-₉_]*/gu;

/** What a dimension is made of: the symbols of its formula, else the letters of its label. */
export function dimensionLetters(model, note, axis, label) {
  const formula = note.dims?.[axis];
  const names = formula ? lettersOf(formula.text, NAMES) : [];
  const symbols = names.filter((name) => model.symbols.has(name));
  return symbols.length ? symbols : lettersOf(label ?? "");
}

/** Equal dimensions have equal colours: one, two for a product, none for a plain number. */
export function paintDimension(node, model, note, axis, label) {
  const letters = dimensionLetters(model, note, axis, label);
  if (!letters.length) return;
  const [first, second] = letters.map((letter) => model.colours.get(letter) ?? "transparent");
  node.style.setProperty("--dim", first);
  node.style.setProperty("--dim-end", second ?? first);
  const formula = note.dims?.[axis];
  const isResized = formula && model.symbols.has(letters[0])
    ? !/^[\p{L}\p{N}_]+(·[\p{L}\p{N}_]+)*$/u.test(formula.text)
    : /[′″‴']/.test(clip(label));
  node.classList.toggle("derived", isResized);
}

const FORMULA_PARTS = /\p{L}[\p{L}\p{Nd}₀-₉_]*|[·+−,]\s?|[^\p{L}·+−,]+/gu;

/** A formula as in print: names of one letter slanted, a line may end behind an operator. */
export function formulaNodes(text, model, length = LIMIT.formula) {
  const short = clip(text, length);
  let template = model.formulas.get(short);
  if (!template) {
    template = document.createDocumentFragment();
    for (const [part] of short.matchAll(FORMULA_PARTS)) {
      const isLetter = /^\p{L}[₀-₉]*$/u.test(part);
      template.append(isLetter ? el("var", {}, part) : part);
      if (/^[·+−,]/.test(part)) template.append(el("wbr"));
    }
    model.formulas.set(short, template);
  }
  return template.cloneNode(true);
}

/** `H·W = 14800, called N in the source`: what a formula's place says when pointed at. */
export function formulaTitle({ text, aliases }, size) {
  const names = aliases.slice(0, 4).map((name) => clip(name, 40));
  const called = names.length ? say(", called {names} in the source", { names: names.join(", ") }) : "";
  const value = text === String(size) ? "" : ` = ${clip(size, 40)}`;
  return `${clip(text, 600)}${value}${called}`;
}
