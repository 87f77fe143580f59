/** Notes: a little Markdown, and formulas. */

import { MATHML, el } from "./dom.js";
import { LIMIT } from "./limits.js";
import { clip } from "./text.js";

const INLINE = new RegExp(
  [
    "`(?<code>[^`]{1,500})`",
    String.raw`(?<formula>\$\$(?:[^$]{1,500})\$\$|\$(?:[^$\n]|\n(?!\s*\n)){1,500}\$)`,
    String.raw`\*\*(?<strong>[^*]{1,500})\*\*`,
    String.raw`\*(?<em>[^*\s][^*]{0,500})\*`,
    String.raw`\[(?<label>[^\]\n]{1,300})\]\((?<href>https?:\/\/[^\s)]{1,1000})\)`,
  ].join("|"),
  "g",
);

function inline(text, model, depth = 0) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(at, match.index));
    at = match.index + match[0].length;
    const { code, formula, strong, em, label, href } = match.groups;
    const inner = (part) => (depth < 3 ? inline(part, model, depth + 1) : [part]);
    if (code) nodes.push(el("code", {}, code));
    else if (formula) nodes.push(typeset(formula, model));
    else if (strong) nodes.push(el("strong", {}, inner(strong)));
    else if (em) nodes.push(el("em", {}, inner(em)));
    else {
      const link = { href, target: "_blank", rel: "noopener noreferrer" };
      nodes.push(el("a", link, inner(label)));
    }
  }
  nodes.push(text.slice(at));
  return nodes;
}

function typeset(formula, model) {
  const tree = Object.hasOwn(model.math, formula) ? model.math[formula] : null;
  return tree ? mathNode(tree) : el("code", {}, formula);
}

function mathNode([tag, attributes, children]) {
  if (!/^m[a-z]+$/.test(tag)) return document.createTextNode("");
  const node = document.createElementNS(MATHML, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (!/^(on|href|src|style)/i.test(name)) node.setAttribute(name, value);
  }
  node.append(...children.map((child) => (typeof child === "string" ? child : mathNode(child))));
  return node;
}

const MARKS = { ul: String.raw`[-*•]`, ol: String.raw`\d{1,3}\.` };

/** The items of a list with such marks, null where a line is neither an item nor goes on in one. */
function items(block, mark) {
  const isLine = new RegExp(String.raw`^\s*(${mark}\s+|\s{2,})`);
  const isList = new RegExp(String.raw`^\s*${mark}\s`).test(block);
  if (!isList || !block.split("\n").every((line) => isLine.test(line))) return null;
  const begins = new RegExp(String.raw`^\s*${mark}\s+`);
  const parts = block.split(new RegExp(String.raw`\n(?=\s*${mark}\s)`));
  return parts.map((item) => item.replace(begins, ""));
}

/** Paragraphs, and lists by `-` or by numbers; all else is inline. */
export function markdown(text, model) {
  const blocks = [];
  for (const block of clip(text, LIMIT.note).split(/\n[ \t]*\n/)) {
    const tag = Object.keys(MARKS).find((each) => items(block, MARKS[each]));
    if (tag) {
      const nodes = items(block, MARKS[tag]).map((item) => el("li", {}, inline(item, model)));
      blocks.push(el(tag, {}, nodes));
    } else if (block.trim()) blocks.push(el("p", {}, inline(block.trim(), model)));
  }
  return blocks;
}
/** A sentence, what stands in backticks as code. */
export const coded = (text) =>
  clip(text, LIMIT.message)
    .split(/(`[^`]+`)/)
    .map((part) => (/^`.+`$/s.test(part) ? el("code", {}, part.slice(1, -1)) : part));
