/** What a scene shows, in words: the same as its drawing, for whom cannot see it. */

import { MOST_SHOWN } from "./scene-model.js";
import { clip, figure } from "./text.js";
import { counted, say } from "./words.js";

const kindWords = () => ({
  each: say("Cell by cell: a cell of the result is made of what stands at its place."),
  product: say("A row meets a column and becomes a cell."),
  window: say("A window slides: what it covers becomes a cell."),
  order: say("The elements stay as they are and are read in another order."),
  collapse: say("An axis collapses: what stands along it becomes a cell."),
  copy: say("Cells are copied: one of the operand can stand at many places of the result."),
  join: say("Pieces are cut out and joined."),
  share: say("Each cell is measured against all that it stands with."),
  lookup: say("Cells are looked up by their place."),
  whole: say("Every cell may count: of this operation no more is known than that."),
});

/** What kind of operation it is, in a sentence. */
export function kindSaid({ kind, becomes }) {
  if (becomes === "exp") return say("A row is shared out: each cell gets its share, and all shares are 1 together.");
  return kindWords()[kind] ?? kindWords().whole;
}

const number = (value) => figure(value, 3).replace("-", "−");
const within = (value) => (value < 0 ? `(${number(value)})` : number(value));
const placeText = (index) => (index.length ? `[${index.join(", ")}]` : "");

/** What the numbers come to: `0.5·2 + 0.25·(−1) + … = 0.75`; empty where nothing is known. */
export function sumText(sum) {
  if (!sum || sum.ways === "same") return "";
  const shown = sum.terms.slice(0, MOST_SHOWN);
  const isCut = sum.count > shown.length;
  const result = number(sum.value);
  const added = (sum.added ?? []).map((value) => ` + ${within(value)}`).join("");
  const listed = (texts, mark) => texts.join(mark) + (isCut ? `${mark}…` : "");
  const ways = {
    sum: () => `${listed(shown.map(({ values }) => values.map(within).join("·")), " + ")}${added} = ${result}`,
    mean: () => `(${listed(shown.map(({ values: [value] }) => within(value)), " + ")}) / ${sum.count} = ${result}`,
    prod: () => `${listed(shown.map(({ values: [value] }) => within(value)), "·")} = ${result}`,
    max: () => `max(${listed(shown.map(({ values }) => values.map(number).join(", ")), ", ")}) = ${result}`,
    min: () => `min(${listed(shown.map(({ values }) => values.map(number).join(", ")), ", ")}) = ${result}`,
    exp: () => `exp(${number(sum.own)}) / (${listed(shown.map(({ values: [value] }) => `exp(${number(value)})`), " + ")}) = ${result}`,
  };
  const signs = { add: "+", sub: "−", mul: "·", div: "/" };
  if (signs[sum.ways]) return `${shown[0].values.map(within).join(` ${signs[sum.ways]} `)} = ${result}`;
  return ways[sum.ways]();
}

/** What is said of a frame: which cells the result's is made of, and how. */
export function frameSaid(model, frame, names) {
  const { results } = model.rule;
  const { reaches } = results[frame.number];
  const own = `${names.outputs[frame.number]}${placeText(frame.index)}`;
  const cell = frame.value === null ? own : say("{cell} = {value}", { cell: own, value: number(frame.value) });
  const parts = frame.lit.flatMap((places, operand) => (places ? [madeOf(places, names.inputs[operand])] : []));
  if (!parts.length) return [say("{cell} is made of no cell.", { cell })];
  const isLoose = frame.lit.some((places, operand) => places && !reaches[operand].exact);
  const cells = parts.join(say(", "));
  const words = isLoose ? say("{cell} is made of these at most: {cells}.", { cell, cells }) : say("{cell} is made of {cells}.", { cell, cells });
  return [words, ...restSaid(frame.sum)];
}

function madeOf(places, name) {
  const count = places.reduce((all, each) => all * each.length, 1);
  if (count === 1) return `${clip(name, 40)}${placeText(places.map(([each]) => each))}`;
  return say("{n} cells of {name}", { n: count.toLocaleString("en"), name: clip(name, 40) });
}

/** What is not seen of a sum. */
function restSaid(sum) {
  if (!sum || sum.ways === "same") return [];
  const known = sum.terms.length;
  const left = sum.count - known;
  if (sum.rest === null || !left) return [];
  const parts = counted(left, "The number of {n} more is not kept: it comes to {rest}.", "The numbers of {n} more are not kept: they come to {rest}.");
  return [parts.replace("{rest}", number(sum.rest))];
}

/** Where a grid stands in its tensor: `rows 0–7 of 100, columns 0–7 of 148, dim 1 at 3`. */
export function gridSaid({ note, axes, firsts, counts, fixed }, labels = []) {
  const named = (axis) => {
    const label = clip(labels[axis] ?? "", 12);
    return /^\d*$/.test(label) ? say("dim {axis}", { axis }) : label;
  };
  const spans = axes.flatMap((axis, k) => {
    if (axis === null) return [];
    const size = note.shape[axis];
    const first = Math.max(firsts[k], 0);
    const last = Math.min(firsts[k] + counts[k], size) - 1;
    if (first === 0 && last === size - 1) return [say("{name}: all {size}", { name: named(axis), size })];
    return [say("{name}: {first}–{last} of {size}", { name: named(axis), first, last, size })];
  });
  const rest = fixed.map(([axis, index, size]) => say("{name} = {index} of {size}", { name: named(axis), index, size }));
  return [...spans, ...rest].join(" · ");
}
