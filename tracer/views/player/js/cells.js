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

/** Where a window of `count` taps is over `size` places, as pairs `[tap, place]`; `isBack` from a
 * place to those whose windows reach it. */
function walked({ start = 0, step = 1, count = 1, spread = 1 }, i, size, isBack) {
  const found = [];
  for (let k = 0; k < Math.min(count, LONGEST); k += 1) {
    const place = isBack ? (start + i - k * spread) / step : start + step * i + k * spread;
    if (Number.isInteger(place) && place >= 0 && place < size) found.push([k, place]);
  }
  return found;
}

const tapsIn = (pairs) => pairs.map(([tap]) => tap);
const placesIn = (pairs) => pairs.map(([, place]) => place);

/** The places from `first` on that are there. */
const every = (first, count, size) => placesIn(walked({ start: first, count }, 0, size, false));

const PLACES = {
  line: (along, i, size) => placesIn(walked(along, i, size, false)),
  whole: (along, i, size) => every(0, size, size),
  wrap: ({ start = 0 }, i, size) => (size ? [(((start + i) % size) + size) % size] : []),
  part: ({ count = 1, over = 1 }, i, size) => every(Math.floor(i / over) * count, count, size),
  back: (along, i, size) => placesIn(walked(along, i, size, true)),
  taps: (along, i) => tapsIn(walked(along, i, along.size, false)),
  untaps: (along, i) => tapsIn(walked(along, i, along.size, true)),
  bins: ({ over = 1 }, i, size) => {
    const first = Math.floor((i * size) / over);
    return every(first, Math.ceil(((i + 1) * size) / over) - first, size);
  },
  until: (along, i, size) => every(0, i + 1, size),
};

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
