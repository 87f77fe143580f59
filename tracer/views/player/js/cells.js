/** Cells of a tensor, and which of an operand belong to which of a result: the rules are Python's
 * operation table's, here they are gone by. Nothing here draws. */

import { LIMIT } from "./limits.js";

/** How long a dimension may be whose cells are followed, and a window. */
const LONGEST = 1 << 22;

export const product = (sizes) => sizes.reduce((all, size) => all * size, 1);

export const placeOf = (index, shape) => index.reduce((place, each, axis) => place * shape[axis] + each, 0);

export function indexOf(place, shape) {
  const index = new Array(shape.length);
  let rest = place;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    index[axis] = rest % shape[axis];
    rest = Math.floor(rest / shape[axis]);
  }
  return index;
}

/** Whether these are sizes whose cells can be followed: a file may say anything. */
export function isFollowable(shape) {
  return shape.length <= LIMIT.rank && shape.every((size) => Number.isInteger(size) && size >= 0 && size <= LONGEST);
}

/** The places from `first` on that are there. */
function every(first, count, spread, size) {
  const found = [];
  for (let k = 0; k < Math.min(count, LONGEST); k += 1) {
    const place = first + k * spread;
    if (place >= 0 && place < size) found.push(place);
  }
  return found;
}

/** The places of a kernel whose window, over `size` places, is there. */
function taps({ start = 0, step = 1, count = 1, spread = 1, size }, i, isBack) {
  const found = [];
  for (let k = 0; k < Math.min(count, LONGEST); k += 1) {
    const place = isBack ? (start + i - k * spread) / step : start + step * i + k * spread;
    if (Number.isInteger(place) && place >= 0 && place < size) found.push(k);
  }
  return found;
}

const PLACES = {
  line: ({ start = 0, step = 1, count = 1, spread = 1 }, i, size) => every(start + step * i, count, spread, size),
  whole: (along, i, size) => every(0, size, 1, size),
  wrap: ({ start = 0 }, i, size) => (size ? [(((start + i) % size) + size) % size] : []),
  part: ({ count = 1, over = 1 }, i, size) => every(Math.floor(i / over) * count, count, 1, size),
  back: (along, i, size) => backwards(along, i, size),
  taps: (along, i) => taps(along, i, false),
  untaps: (along, i) => taps(along, i, true),
  bins: ({ over = 1 }, i, size) => {
    const first = Math.floor((i * size) / over);
    return every(first, Math.ceil(((i + 1) * size) / over) - first, 1, size);
  },
  until: (along, i, size) => every(0, i + 1, 1, size),
};

function backwards({ start = 0, step = 1, count = 1, spread = 1 }, i, size) {
  const found = [];
  for (let k = 0; k < Math.min(count, LONGEST); k += 1) {
    const place = (start + i - k * spread) / step;
    if (Number.isInteger(place) && place >= 0 && place < size) found.push(place);
  }
  return found;
}

/** The indices along a dimension of `size` for a cell of the result; `named` looks a value up. */
export function alongOf(along, index, size, named = () => null) {
  if (along.how === "named") {
    const value = named(along.by);
    const place = value < 0 ? value + size : value;
    return Number.isInteger(place) && place >= 0 && place < size ? [place] : PLACES.whole(along, 0, size);
  }
  const way = PLACES[along.how] ?? PLACES.whole;
  return way(along, along.dim === null ? 0 : index[along.dim], size);
}

/** For one cell of a result the indices along each dimension of each operand; null of an operand
 * of which no cell counts. `valueOf(operand, index)` is a number of an operand, null if unknown. */
export function reached({ reaches }, shapes, index, shape, valueOf = () => null) {
  const found = new Array(reaches.length).fill(undefined);
  const look = (operand) => {
    if (found[operand] !== undefined) return found[operand];
    const reach = reaches[operand];
    found[operand] = null;
    if (!reach || (reach.only && index[reach.only[0]] !== reach.only[1])) return null;
    if (reach.order) {
      found[operand] = indexOf(placeOf(index, shape), shapes[operand]).map((each) => [each]);
      return found[operand];
    }
    const named = (by) => {
      const places = look(by);
      if (!places || places.some((each) => each.length !== 1)) return null;
      return valueOf(by, places.map(([each]) => each));
    };
    found[operand] = reach.axes.map((along, axis) => alongOf(along, index, shapes[operand][axis], named));
    return found[operand];
  };
  return reaches.map((_, operand) => {
    const places = look(operand);
    return places && places.every((each) => each.length) ? places : null;
  });
}

/** The rule by which a step's cells are made, null where there is none. */
export function ruleOf({ payload }, node) {
  const number = payload.cells?.of[node.at];
  return Number.isInteger(number) ? (payload.cells.kinds[number] ?? null) : null;
}
