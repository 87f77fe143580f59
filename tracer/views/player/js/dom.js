/** Elements, and the icons and small parts that many of them share. */

/** An element; strings among the children become text nodes. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== "") node.append(child);
  }
  return node;
}

const BREAKS = /(?<=[A-Za-z0-9]_)(?=[A-Za-z])|(?<=[\w)\]]\.|[([{=])(?=[A-Za-z_])/g;

/** The part of a line of code from `start` to `end`, which may be broken between the words of its
 * names and behind what opens, before it is broken anywhere. */
export function breakable(text, start = 0, end = text.length) {
  const nodes = [];
  const before = Math.max(start - 2, 0);
  let at = start;
  for (const found of text.slice(before, end).matchAll(BREAKS)) {
    const index = before + found.index;
    if (index < start) continue;
    if (index > at) nodes.push(text.slice(at, index));
    nodes.push(el("wbr"));
    at = index;
  }
  return [...nodes, text.slice(at, end)];
}

const SVG = "http://www.w3.org/2000/svg";
export const MATHML = "http://www.w3.org/1998/Math/MathML";

/** An element of a drawing; strings among the children become text nodes. */
export function drawn(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.flat(Infinity));
  return node;
}

/** The drawing of an SVG path in a square of 16. */
export function icon(path) {
  const shape = drawn("path", { d: path, "fill-rule": "evenodd" });
  return drawn("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, shape);
}

export const ICONS = {
  first: "M3 3h1.8v10H3zM13 3v10L6 8z",
  previous: "M11 3v10L4 8z",
  play: "M4.5 2.5v11l9-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  next: "M5 3v10l7-5z",
  last: "M11.200 3H13v10h-1.800zM3 3v10l7-5z",
  graph: "M5.500 1h5v4h-5zM1 11h5v4H1zM10 11h5v4h-5zM7.400 5h1.200v2.400h4.500V11h-1.200V8.600H4.100V11H2.900V7.400h4.500z",
  predict: "M2 4h4v1.500H3.500v5H6V12H2zM10 4h4v8h-4v-1.500h2.500v-5H10zM7.200 5h1.600v1.800h1.500v1.400H8.800V11H7.200V8.200H5.700V6.800h1.500z",
  present: "M1 2h14v1.500h-1v7H9v1.200l2.600 2.800H9.800L8.600 13.200V14.500H7.400v-1.300L6.200 14.500H4.400L7 11.700v-1.200H2v-7H1zM3.500 3.500v5.500h9V3.500zM6.500 4.500v3.500l3.200-1.750z",
  notes: "M2 2h12v9H9l-3 3v-3H2zM3.500 3.500v6h9v-6zM4.500 4.700h7v1.200h-7zM4.500 7h5v1.200h-5z",
  moves: "M1 2h6v6H1zM9 2h6v6H9zM2 10.500h8V9l4.500 3-4.500 3v-1.500H2z",
  closer: "M7 3h2v4h4v2H9v4H7V9H3V7h4z",
  farther: "M3 7h10v2H3z",
  whole: "M2 2h4v1.500H3.500V6H2zM10 2h4v4h-1.500V3.500H10zM2 10h1.500v2.500H6V14H2zM12.500 10H14v4h-4v-1.500h2.500z",
  warned: "M8 1l7.700 13.500H.3zM7.200 5.500l.2 5h1.200l.2-5zM7.200 11.600h1.600v1.500H7.200z",
  failed: "M3.400 2L8 6.600 12.600 2 14 3.400 9.400 8 14 12.600 12.600 14 8 9.400 3.400 14 2 12.600 6.600 8 2 3.400z",
  root: "M8 1l7 7-7 7-7-7zM8 4.500L4.500 8 8 11.500 11.500 8z",
};

export const sign = (text) => el("span", { class: "sign", "aria-hidden": "true" }, text);

/** A button that reads like a link out of the panel that it stands in. */
export function hop(words, act, ...rest) {
  return el("button", { type: "button", class: "hop", onclick: act }, words, rest);
}

/** Put the text on the clipboard; a sandboxed frame may only do it the old way. */
export async function copied(text, holder) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
  }
  const field = el("textarea", { class: "spoken", "aria-hidden": "true" });
  field.value = text;
  holder.append(field);
  const before = holder.getRootNode().activeElement;
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  before?.focus();
  return isDone;
}
