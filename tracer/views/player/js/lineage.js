/** Where did it go? For a cell of one tensor the cells of every other that it is made of, and those
 * that it reaches. Nothing here draws. */

import { CellSet, pull, push } from "./cell-sets.js";
import { isFollowable, ruleOf } from "./cells.js";
import { indices } from "./heatmap.js";

/** The cells that one cell of a tensor's picture stands for. */
export function cellsAt({ shape, heatmap }, [row, column]) {
  const { rows, columns, row_axis: rowAxis, column_axis: columnAxis } = heatmap;
  const spans = shape.map((size, axis) => {
    if (axis === rowAxis) return indices(row, rows, size);
    if (axis === columnAxis) return indices(column, columns, size);
    // Of the first dimension the picture shows index 0, of all others the mean.
    return [0, axis === 0 ? 0 : size - 1];
  });
  return CellSet.between(shape, spans.map(([first]) => first), spans.map(([, last]) => last));
}

/** Which cells of a tensor's picture stand for cells of `set`: a mark for each. */
export function inPicture({ shape, heatmap }, set) {
  const { rows, columns, row_axis: rowAxis, column_axis: columnAxis } = heatmap;
  const lit = new Uint8Array(rows * columns);
  const within = (marks, cells) =>
    Array.from({ length: cells }, (_, cell) => {
      const [first, last] = indices(cell, cells, marks.length);
      return marks.subarray(first, last + 1).includes(1);
    });
  for (const box of set.boxes) {
    const isShown = shape.every((_, axis) => axis !== 0 || axis === rowAxis || axis === columnAxis || box[axis][0] === 1);
    if (!isShown) continue;
    const along = (axis, cells) => (box[axis] ? within(box[axis], cells) : new Array(cells).fill(true));
    const down = along(rowAxis, rows);
    const across = along(columnAxis, columns);
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; down[row] && column < columns; column += 1) if (across[column]) lit[row * columns + column] = 1;
    }
  }
  return lit;
}

/** A cell followed through a run: `back` and `onward` have the cells of tensors by their ids. */
export class Followed {
  constructor(model, numbers, note, set) {
    Object.assign(this, { model, numbers, note, set });
    // What was written through another tensor of the same memory, by the step that wrote it.
    this.hidden = hiddenNotes(model);
    this.back = this.gone([...model.tops].reverse(), (...step) => this.pulled(...step));
    this.onward = this.gone(model.tops, (...step) => this.pushed(...step));
  }

  gone(nodes, act) {
    const found = new Map([[this.note.id, this.set]]);
    const add = ({ id }, cells) => {
      if (!cells || cells.isEmpty) return;
      const known = found.get(id);
      found.set(id, known ? known.joined(cells) : cells);
    };
    for (const node of nodes) act(node, found, add);
    return found;
  }

  rule(node, number) {
    if (![...node.inputs, ...node.outputs].every(({ shape }) => isFollowable(shape))) return null;
    const result = ruleOf(this.model, node)?.results[number];
    return result?.reaches.length === node.inputs.length ? result : null;
  }

  valueOf(node) {
    return (operand, index) => this.numbers.at(node.inputs[operand], index);
  }

  pulled(node, found, add) {
    const shapes = node.inputs.map(({ shape }) => shape);
    node.outputs.forEach((output, number) => {
      const set = found.get(output.id);
      if (!set) return;
      const rule = this.rule(node, number);
      node.inputs.forEach((input, operand) => {
        if (input.id === output.id) return;
        add(input, rule ? pull(rule, operand, shapes, set, this.valueOf(node)) : wholeOf(input));
      });
    });
    for (const { note, before } of this.hidden.get(node) ?? []) {
      const set = found.get(note.id);
      if (!set) continue;
      for (const input of node.inputs) add(input, wholeOf(input));
      if (before) add(before, new CellSet(before.shape, set.boxes, false));
    }
  }

  pushed(node, found, add) {
    const shapes = node.inputs.map(({ shape }) => shape);
    node.inputs.forEach((input, operand) => {
      const set = found.get(input.id);
      if (!set) return;
      node.outputs.forEach((output, number) => {
        if (input.id === output.id) return;
        const rule = this.rule(node, number);
        add(output, rule ? push(rule, operand, shapes, output.shape, set, this.valueOf(node)) : wholeOf(output));
      });
      for (const { note } of this.hidden.get(node) ?? []) add(note, wholeOf(note));
    });
    for (const { note, before } of this.hidden.get(node) ?? []) {
      const set = before && found.get(before.id);
      if (set) add(note, new CellSet(note.shape, set.boxes, false));
    }
  }

  /** What is known of a tensor: `way` is `self`, `back`, `onward`, or `none`. */
  of({ id }) {
    if (id === this.note.id) return { way: "self", set: this.set };
    if (this.back.has(id)) return { way: "back", set: this.back.get(id) };
    if (this.onward.has(id)) return { way: "onward", set: this.onward.get(id) };
    return { way: "none", set: null };
  }
}

/** All of a tensor, of which nothing is known; null where its size cannot be. */
const wholeOf = ({ shape }) => (isFollowable(shape) ? CellSet.whole(shape, false) : null);

/** Tensors that no step gave although one wrote them: for each step those that it wrote, with what
 * they were before. */
function hiddenNotes({ tops, notes }) {
  const given = new Set(tops.flatMap(({ outputs }) => outputs.map(({ id }) => id)));
  const ordered = [...notes.values()].sort((a, b) => a.id - b.id);
  const found = new Map();
  for (const note of ordered) {
    const node = note.born === null ? null : tops[note.born];
    if (!node || given.has(note.id)) continue;
    const isBefore = (other) => other.id < note.id && other.name === note.name && String(other.shape) === String(note.shape);
    const before = note.name ? (ordered.findLast(isBefore) ?? null) : null;
    found.set(node, [...(found.get(node) ?? []), { note, before }]);
  }
  return found;
}
