/** How a step makes its result, as data: a frame for each cell of the result, with the cells of the
 * operands that it is made of and their numbers. Nothing here draws, so that a test reads it. */

import { isFollowable, placeOf, product, reached } from "./cells.js";
import { isOwned } from "./text.js";

const MOST_OPERANDS = 4;
const MOST_RESULTS = 3;
const MOST_TERMS = 20_000;
export const MOST_SHOWN = 4;

/** A step as a scene; null where there is nothing to show.
 *
 * `rule` is that of `payload.cells`, `inputs` and `outputs` are notes, `numbers` knows their values,
 * `side` is how many cells a tensor is drawn wide and high at most. */
export function sceneModel(rule, inputs, outputs, numbers, side = 8) {
  const results = (rule?.results ?? []).slice(0, MOST_RESULTS);
  if (!results.length || !outputs[0] || ![...inputs, ...outputs].every(({ shape }) => isFollowable(shape))) return null;
  const shapes = inputs.map(({ shape }) => shape);
  if (results.some(({ reaches }) => reaches.length !== shapes.length)) return null;
  if (outputs.slice(0, results.length).some(({ shape }) => product(shape) === 0)) return null;
  const model = { kind: rule.scene, becomes: rule.becomes, rule, inputs, outputs, shapes, numbers, side, lit: new Map() };
  model.results = results.map((_, number) => resultView(model, number));
  model.frames = framesOf(model);
  const used = inputs.map((_, operand) => operand).filter((operand) => results.some(({ reaches }) => reaches[operand]));
  const ordered = used.sort((a, b) => isOwned(inputs[a].kind) - isOwned(inputs[b].kind) || a - b);
  model.operands = ordered.slice(0, MOST_OPERANDS).map((operand) => operandView(model, operand));
  model.left = ordered.length - model.operands.length;
  return model;
}

/** The last two dimensions with more than one place, as rows and columns; null where there is none.
 * One alone is the rows if another stands behind it. */
function longAxes(shape) {
  const long = shape.map((_, axis) => axis).filter((axis) => shape[axis] > 1);
  const last = shape.length ? shape.length - 1 : null;
  if (long.length === 1 && long[0] !== last) return [long[0], last];
  return [long.at(-2) ?? null, long.at(-1) ?? last];
}

function resultView({ outputs, numbers, side, rule }, number) {
  const note = outputs[number];
  const axes = longAxes(note.shape);
  const kept = numbers.of(note)?.shape;
  const room = Math.max(2, Math.floor(side / Math.min(rule.results.length, MOST_RESULTS)));
  const counts = axes.map((axis, place) => {
    if (axis === null) return 1;
    const own = place === 1 && rule.results.length > 1 ? room : side;
    return Math.min(own, note.shape[axis], Math.max(kept?.[axis] ?? own, 1));
  });
  return { note, number, axes, firsts: [0, 0], counts };
}

/** A cell of each result after the other, row by row. */
function framesOf({ results }) {
  return results.flatMap(({ note, number, axes, counts: [rows, columns] }) =>
    Array.from({ length: rows * columns }, (_, place) => {
      const index = note.shape.map(() => 0);
      const at = [Math.floor(place / columns), place % columns];
      axes.forEach((axis, k) => {
        if (axis !== null) index[axis] = at[k];
      });
      return { number, index };
    }),
  );
}

// --- operands ------------------------------------------------------------------------------------

/** Which of an operand's dimensions are drawn, and from which place on. */
function operandView(model, operand) {
  const note = model.inputs[operand];
  const axes = operandAxes(model, operand);
  const spans = axes.map((axis) => (axis === null ? null : spanOf(model, operand, axis)));
  const counts = spans.map((span) => (span ? Math.min(span.to - span.from + 1, span.limit) : 1));
  return { note, operand, axes, spans, counts };
}

/** Dimensions that are gone through for one cell come before those that follow the result's drawn
 * ones, and these before all others; the last of each first. */
function operandAxes({ rule, results, inputs }, operand) {
  const { shape } = inputs[operand];
  const { reaches, met } = rule.results[0];
  const reach = reaches[operand];
  if (!reach || reach.order) return longAxes(shape);
  const drawn = results[0].axes.filter((axis) => axis !== null);
  const several = new Set(met.flat().filter(([each]) => each === operand).map(([, axis]) => axis));
  const rank = (axis) => {
    if (several.has(axis)) return 3;
    if (drawn.includes(reach.axes[axis].dim) || reach.axes[axis].how === "named") return 2;
    return shape[axis] > 1 ? 1 : 0;
  };
  const chosen = shape
    .map((_, axis) => axis)
    .filter((axis) => shape[axis] > 1)
    .sort((a, b) => rank(b) - rank(a) || b - a)
    .slice(0, 2)
    .sort((a, b) => a - b);
  return chosen.length < 2 ? longAxes(shape) : chosen;
}

/** From where to where a dimension is looked at over all frames, padding included. */
function spanOf(model, operand, axis) {
  const { frames, rule, inputs, side } = model;
  const size = inputs[operand].shape[axis];
  let from = Infinity;
  let to = -Infinity;
  for (const frame of frames) {
    const along = rule.results[frame.number].reaches[operand]?.axes?.[axis];
    const places = [...(litOf(model, frame)[operand]?.[axis] ?? []), ...padded(along, frame.index)];
    from = Math.min(from, ...places);
    to = Math.max(to, ...places);
  }
  if (from > to) return { from: 0, to: size - 1, size, limit: side };
  const hasPadding = from < 0 || to >= size;
  const limit = hasPadding ? side + 2 : side;
  // What stands around is shown as well, where there is room.
  while (to - from + 1 < limit && (to < size - 1 || from > 0)) {
    if (to < size - 1) to += 1;
    else from -= 1;
  }
  return { from, to, size, limit };
}

/** The places of a window, also those in the padding. */
function padded(along, index) {
  if (along?.how !== "line" || !along.count || along.dim === null) return [];
  const { start = 0, step = 1, count, spread = 1 } = along;
  const first = start + step * index[along.dim];
  return [first, first + (count - 1) * spread];
}

function litOf({ rule, shapes, outputs, inputs, numbers, lit }, frame) {
  if (!lit.has(frame)) {
    const valueOf = (operand, index) => numbers.at(inputs[operand], index);
    const { number, index } = frame;
    lit.set(frame, reached(rule.results[number], shapes, index, outputs[number].shape, valueOf));
  }
  return lit.get(frame);
}

// --- a frame -------------------------------------------------------------------------------------

/** All that is drawn of frame `at`: `result` and `operands` as grids of cells, and how the numbers of
 * the lit ones become the result's. */
export function frameAt(model, at) {
  const frame = model.frames[at];
  const lit = litOf(model, frame);
  return {
    ...frame,
    lit,
    value: model.numbers.at(model.outputs[frame.number], frame.index),
    results: model.results.map((view) => resultGrid(model, view, at)),
    operands: model.operands.map((view) => operandGrid(model, view, frame, lit)),
    sum: sumOf(model, frame, lit),
  };
}

function resultGrid({ frames, numbers }, view, at) {
  const { note, number, axes, firsts, counts } = view;
  const before = frames.findIndex((frame) => frame.number === number);
  const cells = [];
  for (let row = 0; row < counts[0]; row += 1) {
    for (let column = 0; column < counts[1]; column += 1) {
      const place = before + row * counts[1] + column;
      const { index } = frames[place];
      const state = place === at ? "now" : place < at ? "done" : "open";
      cells.push({ row, column, index, value: numbers.at(note, index), flat: placeOf(index, note.shape), state });
    }
  }
  return { note, axes, firsts, counts, fixed: fixedOf(note.shape, axes, frames[before]?.index ?? []), cells };
}

function operandGrid({ numbers, inputs }, { note, operand, axes, spans, counts }, frame, lit) {
  const places = lit[operand];
  const firsts = spans.map((span, k) => firstShown(span, places?.[axes[k]]));
  const fixed = note.shape.map((_, axis) => places?.[axis]?.[0] ?? 0);
  const isLit = places ? note.shape.map((_, axis) => new Set(places[axis])) : null;
  const cells = [];
  for (let row = 0; row < counts[0]; row += 1) {
    for (let column = 0; column < counts[1]; column += 1) {
      const index = [...fixed];
      if (axes[0] !== null) index[axes[0]] = firsts[0] + row;
      if (axes[1] !== null) index[axes[1]] = firsts[1] + column;
      const isThere = index.every((each, axis) => each >= 0 && each < note.shape[axis]);
      cells.push({
        row,
        column,
        index,
        value: isThere ? numbers.at(inputs[operand], index) : null,
        flat: isThere ? placeOf(index, note.shape) : null,
        state: !isThere ? "padding" : isLit?.every((set, axis) => set.has(index[axis])) ? "lit" : "plain",
      });
    }
  }
  return { note, operand, axes, firsts, counts, fixed: fixedOf(note.shape, axes, fixed), cells, count: countOf(places) };
}

const countOf = (places) => (places ? product(places.map((each) => each.length)) : 0);

/** A window that stands still where all fits into it, else begins at what is lit. */
function firstShown(span, places) {
  if (!span) return 0;
  const { from, to, limit } = span;
  if (to - from + 1 <= limit) return from;
  const first = places?.length ? Math.min(...places) : from;
  return Math.max(from, Math.min(first, to - limit + 1));
}

/** `[dimension, index]` of each dimension that is not drawn and has more than one place. */
function fixedOf(shape, axes, index) {
  return shape.map((size, axis) => [axis, index[axis] ?? 0, size]).filter(([axis, , size]) => size > 1 && !axes.includes(axis));
}

// --- the numbers ---------------------------------------------------------------------------------

/** The cells that come together, each with its number, as terms; `factors` in each belong to
 * different operands. `isAll` says whether every term's numbers are known. */
export function termsOf(model, frame, lit) {
  const { met, reaches } = model.rule.results[frame.number];
  const factors = reaches.map((_, operand) => operand).filter((operand) => lit[operand]);
  const inGroup = new Map();
  met.forEach((group, place) => group.forEach(([operand, axis]) => inGroup.set(`${operand}/${axis}`, place)));
  const isFactor = (operand) => [...inGroup.keys()].some((key) => key.startsWith(`${operand}/`));
  const summed = factors.filter(isFactor);
  const added = summed.length ? factors.filter((operand) => !isFactor(operand)) : [];
  const lengths = met.map((group) => Math.min(...group.map(([operand, axis]) => lit[operand]?.[axis]?.length ?? 0)));
  const count = product(lengths);
  const used = summed.length ? summed : factors;
  const cellAt = (operand, at) =>
    lit[operand].map((places, axis) => places[at[inGroup.get(`${operand}/${axis}`)] ?? 0] ?? places[0]);
  const terms = [];
  for (let place = 0; place < Math.min(count, MOST_TERMS); place += 1) {
    const at = unravelled(place, lengths);
    const cells = used.map((operand) => ({ operand, index: cellAt(operand, at) }));
    const values = cells.map(({ operand, index }) => model.numbers.at(model.inputs[operand], index));
    terms.push({ cells, values });
  }
  const known = terms.filter(({ values }) => values.every((value) => value !== null));
  return { known, count, isAll: known.length === count, added: added.map((operand) => addedTerm(model, operand, lit)) };
}

function addedTerm({ numbers, inputs }, operand, lit) {
  const index = lit[operand].map(([each]) => each);
  return { operand, index, value: numbers.at(inputs[operand], index) };
}

function unravelled(place, lengths) {
  const at = new Array(lengths.length);
  let rest = place;
  for (let axis = lengths.length - 1; axis >= 0; axis -= 1) {
    at[axis] = rest % lengths[axis];
    rest = Math.floor(rest / lengths[axis]);
  }
  return at;
}

const productOf = (values) => values.reduce((all, value) => all * value, 1);
const summedUp = (values) => values.reduce((all, value) => all + value, 0);

/** What is worked out of the terms: for each its part, and of these the whole. */
const WAYS = {
  sum: { part: productOf, whole: summedUp, isSum: true },
  mean: { part: productOf, whole: (parts, count) => summedUp(parts) / count, isSum: true },
  prod: { part: productOf, whole: productOf },
  max: { part: (values) => Math.max(...values), whole: (parts) => Math.max(...parts) },
  min: { part: (values) => Math.min(...values), whole: (parts) => Math.min(...parts) },
  add: { part: summedUp, whole: summedUp, isPair: true },
  sub: { part: ([a, b]) => a - b, whole: summedUp, isPair: true },
  mul: { part: productOf, whole: summedUp, isPair: true },
  div: { part: ([a, b]) => a / b, whole: summedUp, isPair: true },
};

/** How the lit numbers become the result's, as far as that is so: null where nothing can be said.
 * `rest` is what the terms whose numbers were not kept come to. */
function sumOf(model, frame, lit) {
  const value = model.numbers.at(model.outputs[frame.number], frame.index);
  if (value === null || !Number.isFinite(value)) return null;
  const terms = termsOf(model, frame, lit);
  if (model.kind !== "product" && model.kind !== "window" && terms.added.length) return null;
  if (!terms.known.length) return null;
  if (model.becomes === "exp") return shareOf(model, frame, terms, value);
  const way = WAYS[model.becomes];
  if (!way) return terms.count === 1 && terms.known[0].values[0] === value ? { ways: "same", terms: terms.known, value } : null;
  if (way.isPair && terms.known[0].values.length !== 2) return null;
  const parts = terms.known.map(({ values }) => way.part(values));
  const added = terms.added.map((each) => each.value);
  if (added.includes(null)) return null;
  const told = { ways: model.becomes, terms: terms.known, parts, added, count: terms.count, value };
  const found = way.whole(parts, terms.count) + summedUp(added);
  const scale = summedUp(parts.map(Math.abs)) + summedUp(added.map(Math.abs)) + Math.abs(value);
  if (terms.isAll) return Math.abs(found - value) <= 1e-4 * scale + 1e-6 ? { ...told, rest: null } : null;
  if (!way.isSum || terms.count > MOST_TERMS) return null;
  const total = (value - summedUp(added)) * (model.becomes === "mean" ? terms.count : 1);
  return { ...told, rest: total - summedUp(parts) };
}

/** Its share of the sum of exponentials; the row is one of the operand's. */
function shareOf(model, frame, terms, value) {
  const own = terms.known.find(({ cells: [{ index }] }) => index.every((each, axis) => each === frame.index[axis]));
  if (!own || terms.known[0].values.length !== 1) return null;
  const most = Math.max(...terms.known.map(({ values: [each] }) => each));
  const parts = terms.known.map(({ values: [each] }) => Math.exp(each - most));
  const mine = Math.exp(own.values[0] - most);
  const told = { ways: "exp", terms: terms.known, own: own.values[0], parts, count: terms.count, value, added: [] };
  const total = summedUp(parts);
  if (!terms.isAll) return { ...told, rest: null, isPart: true };
  return Math.abs(mine / total - value) <= 1e-4 ? { ...told, rest: null, isPart: false } : null;
}
