/** Sets of cells, and how they go through a step: as a union of boxes, each a mark for every index
 * along each dimension, so that tensors of any size are followed. */

import { alongOf, product, reached } from "./cells.js";

/** How many boxes a set may have: beyond these it is the box around them. */
const MOST_BOXES = 48;
/** How many cells of a box are gone through one by one, where its dimensions hang together. */
const MOST_SINGLES = 256;
/** How many places dimensions may have that are read in another order. */
const MOST_PLACES = 1 << 24;

const allOf = (size) => new Uint8Array(size).fill(1);
const onlyAt = (size, place) => {
  const marks = new Uint8Array(size);
  if (place >= 0 && place < size) marks[place] = 1;
  return marks;
};
const isWithin = (a, b) => a.every((mark, place) => !mark || b[place]);
const countOfMarks = (marks) => marks.reduce((sum, mark) => sum + mark, 0);
const markedPlaces = (marks) => [...marks.keys()].filter((place) => marks[place]);

export class CellSet {
  /** `isExact`: whether each of the cells counts; else these are the most that can. */
  constructor(shape, boxes = [], isExact = true) {
    this.shape = shape;
    this.isExact = isExact;
    this.boxes = [];
    for (const box of boxes) this.take(box);
  }

  static one(shape, index) {
    return new CellSet(shape, [shape.map((size, axis) => onlyAt(size, index[axis]))]);
  }

  static whole(shape, isExact = true) {
    return new CellSet(shape, [shape.map(allOf)], isExact);
  }

  /** Those between the first and the last index of each dimension. */
  static between(shape, firsts, lasts) {
    const marks = shape.map((size, axis) => new Uint8Array(size).fill(1, firsts[axis], lasts[axis] + 1));
    return new CellSet(shape, [marks]);
  }

  get isEmpty() {
    return this.boxes.length === 0;
  }

  take(box) {
    if (box.some((marks) => !marks.includes(1))) return;
    const within = (one, other) => one.every((marks, axis) => isWithin(marks, other[axis]));
    if (this.boxes.some((other) => within(box, other))) return;
    this.boxes = [...this.boxes.filter((other) => !within(other, box)), box];
    if (this.boxes.length <= MOST_BOXES) return;
    this.boxes = [this.shape.map((size, axis) => around(size, this.boxes.map((each) => each[axis])))];
    this.isExact = false;
  }

  /** The cells of both. */
  joined(other) {
    const found = new CellSet(this.shape, this.boxes, this.isExact && other.isExact);
    for (const box of other.boxes) found.take(box);
    return found;
  }

  has(index) {
    return this.boxes.some((box) => box.every((marks, axis) => marks[index[axis]] === 1));
  }

  get count() {
    return cellsIn(this.boxes, this.shape, 0);
  }

  /** The indices along a dimension at which there is a cell. */
  along(axis) {
    return around(this.shape[axis], this.boxes.map((box) => box[axis]));
  }
}

/** What any of them marks. */
function around(size, every) {
  const marks = new Uint8Array(size);
  for (const each of every) for (let place = 0; place < size; place += 1) marks[place] |= each[place];
  return marks;
}

/** How many cells a union has: indices at which the same boxes go on are cellsIn once. */
function cellsIn(boxes, shape, axis) {
  if (!boxes.length) return 0;
  if (boxes.length === 1) return product(boxes[0].slice(axis).map(countOfMarks));
  if (axis === shape.length) return 1;
  const groups = new Map();
  for (let place = 0; place < shape[axis]; place += 1) {
    const here = boxes.map((box) => box[axis][place]).join("");
    groups.set(here, (groups.get(here) ?? 0) + 1);
  }
  let count = 0;
  for (const [here, times] of groups) {
    count += times * cellsIn(boxes.filter((_, number) => here[number] === "1"), shape, axis + 1);
  }
  return count;
}

// --- the same elements in another shape ------------------------------------------------------------

/** Groups of dimensions of two shapes that hold the same elements. */
function blocksOf(before, after) {
  const blocks = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    const block = { from: [], to: [] };
    let [left, right] = [1, 1];
    const takeLeft = () => {
      left *= before[i];
      block.from.push(i);
      i += 1;
    };
    const takeRight = () => {
      right *= after[j];
      block.to.push(j);
      j += 1;
    };
    if (i < before.length) takeLeft();
    if (j < after.length) takeRight();
    while (left !== right) {
      if (left < right && i < before.length) takeLeft();
      else if (j < after.length) takeRight();
      else return null;
    }
    blocks.push(block);
  }
  return blocks;
}

/** Marks along several dimensions as those along one, row by row. */
function asOneRow(marks) {
  return marks.reduce((flat, next) => {
    const made = new Uint8Array(flat.length * next.length);
    for (let place = 0; place < flat.length; place += 1) if (flat[place]) made.set(next, place * next.length);
    return made;
  }, allOf(1));
}

/** Marks along one dimension as boxes of several `sizes`: rows that are alike stand together. */
function inRows(flat, sizes) {
  if (sizes.length === 0) return flat[0] ? [[]] : [];
  if (sizes.length === 1) return [[flat]];
  const [size, ...rest] = sizes;
  const length = product(rest);
  const groups = new Map();
  for (let row = 0; row < size; row += 1) {
    const pattern = flat.subarray(row * length, (row + 1) * length);
    if (!pattern.includes(1)) continue;
    const key = pattern.join("");
    if (!groups.has(key)) groups.set(key, { rows: new Uint8Array(size), pattern });
    groups.get(key).rows[row] = 1;
  }
  return [...groups.values()].flatMap(({ rows, pattern }) => inRows(pattern, rest).map((box) => [rows, ...box]));
}

/** The same elements in another shape. */
export function reshaped(set, shape) {
  const blocks = blocksOf(set.shape, shape);
  const found = new CellSet(shape, [], set.isExact);
  for (const box of set.boxes) {
    let boxes = [shape.map(() => null)];
    for (const { from, to } of blocks ?? []) {
      const parts = regroupedBy(box, from, to.map((axis) => shape[axis]));
      if (!parts || parts.length * boxes.length > 4 * MOST_BOXES) return CellSet.whole(shape, false);
      boxes = boxes.flatMap((made) =>
        parts.map((part) => {
          const next = [...made];
          to.forEach((axis, place) => (next[axis] = part[place]));
          return next;
        }),
      );
    }
    if (!blocks) return CellSet.whole(shape, false);
    for (const made of boxes) found.take(made);
  }
  return found;
}

function regroupedBy(box, from, sizes) {
  if (from.length === 1 && sizes.length === 1) return [[box[from[0]]]];
  const own = from.map((axis) => box[axis]);
  if (own.every((marks) => !marks.includes(0))) return [sizes.map(allOf)];
  if (product(sizes) > MOST_PLACES) return null;
  return inRows(asOneRow(own), sizes);
}

// --- through a step ------------------------------------------------------------------------------

const isFollowing = ({ how, dim }) => how !== "whole" && how !== "named" && dim !== null && dim !== undefined;

/** The dimensions of a result that must be looked at index by index: those that several dimensions
 * of an operand follow, or that a named place depends on. */
function entangled(rule, operand) {
  const { axes } = rule.reaches[operand];
  const dims = axes.filter(isFollowing).map(({ dim }) => dim);
  const found = new Set(dims.filter((dim, place) => dims.indexOf(dim) !== place));
  for (const { how, by } of axes) {
    if (how !== "named") continue;
    for (const along of rule.reaches[by]?.axes ?? []) if (isFollowing(along)) found.add(along.dim);
  }
  return [...found];
}

/** A box cut into those of one index along each of the dimensions, null where there are too many. */
function singles(box, dims) {
  if (product(dims.map((dim) => countOfMarks(box[dim]))) > MOST_SINGLES) return null;
  return dims.reduce(
    (boxes, dim) =>
      boxes.flatMap((each) =>
        markedPlaces(each[dim]).map((place) => each.map((marks, axis) => (axis === dim ? onlyAt(marks.length, place) : marks))),
      ),
    [box],
  );
}

/** The operand's cells that the result's cells of `set` depend on. `valueOf(operand, index)` is a
 * number of an operand, null if it is not known. */
export function pull(rule, operand, shapes, set, valueOf = () => null) {
  const reach = rule.reaches[operand];
  const shape = shapes[operand];
  if (!reach) return new CellSet(shape);
  if (reach.order) return reshaped(set, shape);
  const dims = entangled(rule, operand);
  const found = new CellSet(shape, [], set.isExact && reach.exact);
  for (const box of set.boxes) {
    const kept = reach.only ? box.map((marks, axis) => (axis === reach.only[0] ? meeting(marks, reach.only[1]) : marks)) : box;
    if (kept.some((marks) => !marks.includes(1))) continue;
    const parts = dims.length ? singles(kept, dims) : [kept];
    if (!parts) found.isExact = false;
    for (const part of parts ?? [kept]) found.take(pulledBox(rule, operand, shapes, part, parts ? valueOf : () => null));
  }
  if (reach.axes.some(({ how }) => how === "named") && !isNamed(rule, operand, found)) found.isExact = false;
  return found;
}

/** Whether what is named was known: else it is all of the dimension. */
function isNamed(rule, operand, { boxes, shape }) {
  return rule.reaches[operand].axes.every(
    ({ how }, axis) => how !== "named" || shape[axis] === 1 || !boxes.some((box) => !box[axis].includes(0)),
  );
}

const meeting = (marks, place) => (marks[place] ? onlyAt(marks.length, place) : new Uint8Array(marks.length));

function pulledBox(rule, operand, shapes, box, valueOf) {
  const index = box.map((marks) => Math.max(marks.indexOf(1), 0));
  const shape = box.map((marks) => marks.length);
  return rule.reaches[operand].axes.map((along, axis) => {
    const size = shapes[operand][axis];
    if (along.how === "whole") return allOf(size);
    if (!isFollowing(along)) {
      const places = reached(rule, shapes, index, shape, valueOf)[operand]?.[axis] ?? [];
      return marksAt(size, places);
    }
    const marks = new Uint8Array(size);
    const single = { ...along, dim: 0 };
    for (const place of markedPlaces(box[along.dim])) for (const each of alongOf(single, [place], size)) marks[each] = 1;
    return marks;
  });
}

function marksAt(size, places) {
  const marks = new Uint8Array(size);
  for (const place of places) marks[place] = 1;
  return marks;
}

/** The result's cells that depend on the operand's cells of `set`. */
export function push(rule, operand, shapes, shape, set, valueOf = () => null) {
  const reach = rule.reaches[operand];
  if (!reach) return new CellSet(shape);
  if (reach.order) return reshaped(set, shape);
  const dims = entangled(rule, operand);
  const start = shape.map((size, axis) => (reach.only?.[0] === axis ? onlyAt(size, reach.only[1]) : allOf(size)));
  const found = new CellSet(shape, [], set.isExact && reach.exact);
  const parts = dims.length ? singles(start, dims) : [start];
  if (!parts) found.isExact = false;
  for (const box of set.boxes) {
    for (const part of parts ?? [start]) {
      const made = pushedBox(rule, operand, shapes, box, part, parts ? valueOf : () => null);
      if (made) found.take(made);
    }
  }
  return found;
}

/** Of `part` of the result what depends on a box of the operand, null if nothing does. */
function pushedBox(rule, operand, shapes, box, part, valueOf) {
  const made = [...part];
  const index = part.map((marks) => Math.max(marks.indexOf(1), 0));
  const shape = part.map((marks) => marks.length);
  for (const [axis, along] of rule.reaches[operand].axes.entries()) {
    const marks = box[axis];
    if (along.how === "whole") continue;
    if (!isFollowing(along)) {
      const places = reached(rule, shapes, index, shape, valueOf)[operand]?.[axis] ?? [];
      if (!places.some((place) => marks[place])) return null;
      continue;
    }
    const single = { ...along, dim: 0 };
    made[along.dim] = made[along.dim].map((mark, place) =>
      mark && alongOf(single, [place], marks.length).some((each) => marks[each]) ? 1 : 0,
    );
  }
  return made;
}
