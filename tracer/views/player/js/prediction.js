/**
 * A predicted shape against the rule that Python's operation table has of the step: what is wrong
 * with it, and which rule was missed.  Nothing here draws; what is said is true of the run whatever
 * the reader thought.
 *
 * A question is `{rule, shapes, names, result}`: the step's rule (`tracer/views/rules.py`), the
 * shapes of its operands and what they are called, and the shape that comes out.
 */

import { clip } from "./text.js";
import { say } from "./words.js";

const FEW = 6;

const multiplied = (sizes) => sizes.reduce((all, size) => all * size, 1);
const total = (sizes) => sizes.reduce((all, size) => all + size, 0);
const isSame = (one, other) => one.length === other.length && one.every((each, n) => each === other[n]);
const sorted = (sizes) => [...sizes].sort((a, b) => a - b);
const sizeAt = ({ shapes }, [operand, dim]) => shapes[operand]?.[dim];
const listed = (texts) => texts.join(say(", "));
const timesOf = (sizes) => sizes.join(" · ");

/** The general words of each rule, for who missed it. */
export const ruleNames = () => ({
  rank: say("how many dimensions there are"),
  same: say("a dimension is handed on, or meets one of its size"),
  mixed: say("a weight makes one dimension of another"),
  resized: say("windows, strides and padding count the places"),
  grouped: say("a reshape keeps the product of the sizes"),
  joined: say("sizes of what is joined are added"),
  piece: say("a piece is as long as what is taken"),
  reduced: say("one value is left of a dimension"),
  new: say("an operation makes dimensions of its own"),
});

/** `` `x` ``, as `coded` shows it. */
function called({ names }, operand) {
  const name = clip(names[operand] ?? "", 40).replace(/`/g, "'");
  return name ? `\`${name}\`` : say("operand {number}", { number: operand + 1 });
}

/** `dim 2 of x` */
function dimOf(question, [operand, dim]) {
  return say("dim {dim} of {name}", { dim, name: called(question, operand) });
}

/** `dims 2, 3 of x`, or each by itself where they are of several tensors. */
function dimsOf(question, places) {
  const operands = new Set(places.map(([operand]) => operand));
  if (places.length < 2 || operands.size > 1) {
    const shown = places.slice(0, FEW).map((place) => dimOf(question, place));
    return listed(places.length > FEW ? [...shown, "…"] : shown);
  }
  const name = called(question, places[0][0]);
  return say("dims {dims} of {name}", { dims: places.map(([, dim]) => dim).join(", "), name });
}

/**
 * What is wrong with `answer`, a list of sizes: nothing if it is right, else a reason for each
 * dimension that is wrong, or a single one where their number is, `{axis, rule, clue, text}`.
 * `rule` names the rule that was missed, `clue` is what the number given stands for, if anything,
 * and `text` is the rule.
 */
export function reasons(question, answer) {
  const { result, rule } = question;
  if (isSame(result, answer)) return [];
  if (answer.length !== result.length) {
    return [{ axis: null, rule: "rank", clue: elements(question, answer), text: rankText(question, answer.length) }];
  }
  const isOrder = isSame(sorted(answer), sorted(result));
  const found = [];
  answer.forEach((size, axis) => {
    if (size === result[axis]) return;
    const dim = rule.dims[axis];
    const clue = isOrder
      ? say("The sizes are right, their order is not.")
      : clueOf(question, axis, size) || (dim.how === "grouped" ? elements(question, answer) : "");
    found.push({ axis, rule: dim.how, clue, text: ruleText(question, axis) });
  });
  return found;
}

// --- the rule -------------------------------------------------------------------------------------

/** What makes dimension `axis` of the result, without saying how large it is. */
export function ruleText(question, axis) {
  const dim = question.rule.dims[axis];
  const sources = dim.sources ?? [];
  const from = dimsOf(question, sources);
  const text = {
    same: () => handedText(question, axis, dim, from),
    mixed: () => mixedText(question, axis, dim),
    resized: () => resizedText(question, axis, dim),
    grouped: () => groupedText(question, axis, dim, from),
    joined: () => say("Dim {axis} has {from} one after the other: their sizes are added.", { axis, from }),
    piece: () => say("Dim {axis} is a piece of {from}: it is as long as what is taken.", { axis, from }),
    reduced: () => say("Dim {axis} stands where {from} stood, of which one value is left.", { axis, from }),
    new: () =>
      sources.length
        ? say("Dim {axis} is made anew from {from}.", { axis, from })
        : say("Dim {axis} is new: no dimension of an operand is handed on to it.", { axis }),
  }[dim.how];
  return text();
}

function handedText(question, axis, dim, from) {
  if (dim.stretched?.length) {
    const thin = dimsOf(question, dim.stretched);
    return say("Dim {axis} is {from}; {thin}, of size 1, is stretched to it.", { axis, from, thin });
  }
  return dim.sources.length > 1
    ? say("Dim {axis} is where {from} meet: they are one.", { axis, from })
    : say("Dim {axis} is {from}, handed on.", { axis, from });
}

function mixedText(question, axis, dim) {
  const weight = (dim.sources ?? []).find((place) => sizeAt(question, place) === dim.size);
  const old = dim.replaces ? dimOf(question, dim.replaces) : "";
  if (!old && !weight) return say("Dim {axis} is made by a weight.", { axis });
  if (!old) return say("Dim {axis} is read off a table: it is {from}.", { axis, from: dimOf(question, weight) });
  return weight
    ? say("Dim {axis} takes the place of {old}: a weight makes it, and it is as large as {from}.", {
        axis,
        old,
        from: dimOf(question, weight),
      })
    : say("Dim {axis} takes the place of {old}: a weight makes it, and the layer says how large it is.", { axis, old });
}

function resizedText(question, axis, dim) {
  const { window } = dim;
  const from = dimOf(question, dim.sources[0]);
  if (!window) {
    return dim.given
      ? say("Dim {axis} comes from {from}; the arguments say how many places it has.", { axis, from })
      : say("Dim {axis} comes from {from}; how many places it has is worked out from it.", { axis, from });
  }
  const values = { axis, from, ...window };
  return window.back
    ? say(
        "Dim {axis} undoes a window along {from}: kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}.",
        values,
      )
    : say(
        "Dim {axis} counts the places of a window along {from}: kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}.",
        values,
      );
}

function groupedText({ rule }, axis, dim, from) {
  const { op } = rule;
  if (dim.inner?.length) {
    return say("Dim {axis} holds {from} times what a window covers: sizes are multiplied.", { axis, from });
  }
  return (dim.group ?? []).length > 1
    ? say("Dim {axis} is cut out of {from}: `{op}` keeps the elements, so what is cut out multiplies to what was there.", {
        axis,
        from,
        op,
      })
    : say("Dim {axis} is {from} read as one: `{op}` keeps the elements, so their sizes are multiplied.", {
        axis,
        from,
        op,
      });
}

/** How many dimensions there are, and what each of them is. */
function rankText(question, given) {
  const { rule, result } = question;
  const { dims } = rule;
  const placesIn = (dim) => (dim.replaces ? [dim.replaces] : (dim.sources ?? []));
  const isSingle = (dim) => dim.how !== "new" && !isPart(dim) && placesIn(dim).length === 1;
  const isNext = (one, other) =>
    (isSingle(one) && isSingle(other) && placesIn(one)[0][0] === placesIn(other)[0][0]) || isPartOfSame(one, other);
  const origins = runs(dims, isNext).map((axes) => {
    const dim = dims[axes[0]];
    const isSeveral = axes.length > 1;
    if (isPart(dim)) {
      const from = dimsOf(question, dim.sources);
      return isSeveral ? say("{n} parts of {from}", { n: axes.length, from }) : say("a part of {from}", { from });
    }
    const sources = isSeveral ? axes.map((axis) => placesIn(dims[axis])[0]) : placesIn(dim);
    if (dim.how === "new" || !sources.length) return say("a new one");
    const from = dimsOf(question, sources);
    return dim.how === "grouped" ? say("{from} as one", { from }) : from;
  });
  const head = result.length
    ? say("The result has {all} dimensions, not {given}: {origins}.", {
        all: result.length,
        given,
        origins: origins.join(say("; ")),
      })
    : say("The result is a single number: it has no dimension, not {given}.", { given });
  return [head, goneText(question)].filter(Boolean).join(" ");
}

/** What of the operands is in no dimension of the result. */
function goneText(question) {
  const { met, gone } = question.rule;
  const texts = met.map(([a, b, c, d]) =>
    say("{one} and {other} meet, and are summed over.", {
      one: dimOf(question, [a, b]),
      other: dimOf(question, [c, d]),
    }),
  );
  if (!met.length && gone.length) {
    texts.push(say("In none of them: {from}.", { from: dimsOf(question, gone) }));
  }
  return texts.join(" ");
}

/** The rule of the whole step, which says nothing of how large anything is: what is handed on as it
 * is, and what is cut out of one dimension, in one line. */
export function stepText(question) {
  const { dims, op } = question.rule;
  const isHanded = ({ how, sources, stretched }) => how === "same" && sources.length === 1 && !stretched;
  const isNext = (one, other) =>
    (isHanded(one) && isHanded(other) && one.sources[0][0] === other.sources[0][0]) || isPartOfSame(one, other);
  const texts = runs(dims, isNext).map((places) => {
    const [first] = places;
    if (places.length === 1) return ruleText(question, first);
    const axes = places.join(", ");
    if (isHanded(dims[first])) {
      const from = dimsOf(question, places.map((axis) => dims[axis].sources[0]));
      return say("Dims {axes} are {from}, handed on.", { axes, from });
    }
    const from = dimsOf(question, dims[first].sources);
    return say(
      "Dims {axes} are cut out of {from}: `{op}` keeps the elements, so what is cut out multiplies to what was there.",
      { axes, from, op },
    );
  });
  return [...texts, goneText(question)].filter(Boolean);
}

const isPart = ({ how, group }) => how === "grouped" && group?.length > 1;

const isPartOfSame = (one, other) =>
  isPart(one) && isPart(other) && one.sources.flat().join() === other.sources.flat().join();

/** The places of a list, in groups of those that follow each other and are alike. */
function runs(list, isAlike) {
  const found = [];
  list.forEach((each, place) => {
    if (place && isAlike(list[place - 1], each)) found.at(-1).push(place);
    else found.push([place]);
  });
  return found;
}

/** What makes the result of the step, with the numbers that it is worked out from. */
export function stepWorked(question) {
  const equations = question.rule.dims.map((dim) => equationOf(question, dim));
  const worked = runs(equations, (one, other) => one === other).map((axes) => [axes, equations[axes[0]]]);
  const texts = worked.map(([axes, equation]) =>
    axes.length > 1
      ? say("Dims {axes}: {equation}.", { axes: axes.join(", "), equation })
      : say("Dim {axis}: {equation}.", { axis: axes[0], equation }),
  );
  return [...stepText(question), ...texts.filter((_, index) => worked[index][1])];
}

// --- the numbers ----------------------------------------------------------------------------------

/** Dimension `axis` worked out. */
export function workedText(question, axis) {
  const equation = equationOf(question, question.rule.dims[axis]);
  return equation
    ? say("Dim {axis}: {equation}.", { axis, equation })
    : say("Dim {axis}: {size}.", { axis, size: question.result[axis] });
}

/** How the size is worked out, empty where it is not from numbers that are known here. */
function equationOf(question, dim) {
  const sizes = (dim.sources ?? []).map((place) => sizeAt(question, place));
  if (dim.how === "joined" && sizes.length > 1 && sizes.length <= FEW && total(sizes) === dim.size) return `${sizes.join(" + ")} = ${dim.size}`;
  if (dim.how === "grouped") return groupedEquation(dim, sizes);
  const { window } = dim;
  if (!window || placesOf(sizes[0], window) !== dim.size) return "";
  const { kernel, stride, padding, dilation, extra, back, ceil } = window;
  const spread = `2·${padding} ${back ? "+" : "−"} ${dilation}·(${kernel} − 1)`;
  if (back) return `(${sizes[0]} − 1)·${stride} − ${spread} + ${extra} + 1 = ${dim.size}`;
  const [open, close] = ceil ? ["⌈", "⌉"] : ["⌊", "⌋"];
  return `${open}(${sizes[0]} + ${spread} − 1) / ${stride}${close} + 1 = ${dim.size}`;
}

function groupedEquation({ inner = [], group = [], size }, sizes) {
  const factors = [...sizes, ...inner.map(([, each]) => each)];
  if (group.length > 1) return multiplied(group) === multiplied(factors) ? `${timesOf(group)} = ${timesOf(factors)}` : "";
  return factors.length > 1 && multiplied(factors) === size ? `${timesOf(factors)} = ${size}` : "";
}

/** How many places a window finds among `size`; null where rounding up ends outside. */
function placesOf(size, { kernel, stride, padding, dilation, extra, back, ceil }) {
  const span = dilation * (kernel - 1);
  if (back) return (size - 1) * stride - 2 * padding + span + extra + 1;
  const room = size + 2 * padding - span - 1;
  return (ceil ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1;
}

// --- what a wrong number stands for ---------------------------------------------------------------

function clueOf(question, axis, given) {
  const dim = question.rule.dims[axis];
  const sources = dim.sources ?? [];
  const sizes = sources.map((place) => sizeAt(question, place));
  const special = {
    grouped: () => insteadOfProduct(question, given, sizes),
    joined: () => insteadOfSum(given, sizes),
    resized: () => withoutSetting(dim, given, sizes[0]),
    piece: () => !dim.step && given === dim.size + 1 && say("{given} counts the end with it, which is not taken.", { given }),
    reduced: () => given !== 1 && sizes.includes(given) && say("{given} is what there was before; one value is left of it.", { given }),
    same: () => given === 1 && dim.stretched?.length && say("A size of 1 is stretched; it is the other that stays."),
  }[dim.how];
  return special?.() || standsFor(question, dim, given);
}

function insteadOfProduct({ rule: { op } }, given, sizes) {
  if (sizes.length < 2 || total(sizes) !== given) return "";
  return say("{given} is {sum}: `{op}` does not add the sizes, it multiplies them.", { given, sum: sizes.join(" + "), op });
}

function insteadOfSum(given, sizes) {
  if (sizes.length < 2 || multiplied(sizes) !== given) return "";
  return say("{given} is {product}: joining adds the sizes, it does not multiply them.", { given, product: timesOf(sizes) });
}

/** The number of places that there would be with one of the window's settings left out. */
function withoutSetting(dim, given, size) {
  const { window } = dim;
  if (!window) return "";
  const without = (changes) => given > 0 && placesOf(size, { ...window, ...changes }) === given;
  if (placesOf(size, window) !== dim.size) return "";
  if (given === size) return say("{given} is what went in, before any window.", { given });
  if (window.padding && without({ padding: 0 })) return say("{given} is what there would be without the padding.", { given });
  if (window.stride > 1 && without({ stride: 1 })) return say("{given} is what there would be with a stride of 1.", { given });
  if (window.dilation > 1 && without({ dilation: 1 })) return say("{given} is what there would be without the dilation.", { given });
  if (given === dim.size - 1) return say("{given} is one too few: a window stands at the beginning too.", { given });
  return "";
}

/** Which dimension of an operand the number is, if any; those that the rule speaks of first. */
function standsFor(question, { sources = [], replaces }, given) {
  const all = question.shapes.flatMap((shape, operand) => shape.map((_, dim) => [operand, dim]));
  const near = replaces ? [replaces, ...sources] : sources;
  const place = [...near, ...all].find((each) => sizeAt(question, each) === given);
  return place ? say("{given} is {from}.", { given, from: dimOf(question, place) }) : "";
}

/** Whether a reshape would keep the number of elements; empty where it would, or is none. */
function elements(question, answer) {
  const { rule, shapes, result } = question;
  const kept = multiplied(shapes[0] ?? []);
  const isReshape = rule.dims.some(({ how, inner }) => how === "grouped" && !inner?.length);
  if (!isReshape || multiplied(result) !== kept || multiplied(answer) === kept) return "";
  return say("A shape of these sizes has {given} elements, {name} has {kept}: `{op}` keeps all of them.", {
    given: multiplied(answer),
    name: called(question, 0),
    kept,
    op: rule.op,
  });
}
