/** Python, coloured: the tokens of its lines, and which of them name variables. */

import { breakable, el } from "./dom.js";
import { LIMIT } from "./limits.js";

const KEYWORDS = new Set(
  `False None True and as assert async await break case class continue def del elif else except
   finally for from global if import in is lambda match nonlocal not or pass raise return try while
   with yield`.split(/\s+/),
);
const TOKEN = new RegExp(
  [
    String.raw`(?<comment>#.*)`,
    String.raw`(?<triple>[rRbBuUfFtT]{0,2}(?:"""|'''))`,
    String.raw`(?<string>[rRbBuUfFtT]{0,2}(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?))`,
    String.raw`(?<number>0[xXbBoO][\da-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?[jJ]?)`,
    String.raw`(?<word>[\p{L}_][\p{L}\p{N}_]*)`,
    String.raw`(?<operator>(?:\*\*|\/\/|<<|>>|[-+*\/%@&|^:])?=(?!=)|[<>!=]=|.)`,
  ].join("|"),
  "uy",
);

/**
 * The tokens of each line: `{start, end, kind, chain, target}`.  `chain` is the dotted name that
 * ends with this word (`self.gamma`), null when the word names no variable; `target` is true when
 * the statement assigns to it.
 */
export function tokenize(lines) {
  const state = freshState();
  return lines.map((line) => tokenizeLine(line.slice(0, LIMIT.lineLength), state));
}

/** What one line leaves to the next: an open string, open brackets, names that may be assigned. */
export const freshState = () => ({ closing: null, depth: 0, pending: [] });

export function tokenizeLine(text, state) {
  const tokens = [];
  let at = 0;
  const closeTriple = () => {
    const found = text.indexOf(state.closing, at);
    const end = found < 0 ? text.length : found + 3;
    if (found >= 0) state.closing = null;
    return end;
  };
  if (state.closing) {
    at = closeTriple();
    tokens.push({ start: 0, end: at, kind: "string", chain: null, target: false });
  }
  if (state.depth === 0) state.pending = [];
  let previous = null;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) break;
    const [whole] = match;
    const start = at;
    at += whole.length;
    const token = { start, end: at, kind: "operator", chain: null, target: false };
    const { comment, triple, string, number, word } = match.groups;
    if (comment) token.kind = "comment";
    else if (triple) {
      token.kind = "string";
      state.closing = triple.slice(-3);
      token.end = at = closeTriple();
    } else if (string) token.kind = "string";
    else if (number) token.kind = "number";
    else if (word) nameWord(token, word, previous, text, state);
    else if (whole.trim() === "") continue;
    else nameOperator(token, whole, previous, state);
    token.text = whole;
    tokens.push(token);
    previous = token;
  }
  return tokens;
}

function nameWord(token, word, previous, text, state) {
  token.kind = KEYWORDS.has(word) ? "keyword" : "word";
  if (token.kind === "keyword") return;
  if (previous?.kind === "keyword" && /^(def|class)$/.test(previous.text)) {
    token.kind = "defined";
    return;
  }
  if (word === "self") token.kind = "self";
  const isArgumentName = state.depth > 0 && /^\s*=(?!=)/.test(text.slice(token.end));
  if (isArgumentName) return;
  if (previous?.text === "." && previous.end === token.start) {
    if (previous.owner) token.chain = `${previous.owner}.${word}`;
  } else token.chain = word;
  if (state.depth === 0 && token.chain) state.pending.push(token);
}

function nameOperator(token, operator, previous, state) {
  if (operator === ".") token.owner = previous?.chain;
  else if (/^[([{]$/.test(operator)) state.depth += 1;
  else if (/^[)\]}]$/.test(operator)) state.depth = Math.max(0, state.depth - 1);
  else if (operator === ":=" && previous) previous.target = true;
  else if (/=$/.test(operator) && !/^[<>!=]=$/.test(operator) && state.depth === 0) {
    for (const assigned of state.pending) assigned.target = true;
  } else if (operator === ";" && state.depth === 0) state.pending = [];
}

export const tokensOf = (source) => (source.tokens ??= tokenize(source.lines));

/** Text `text.slice(start, end)` of a line as nodes, words that name variables as elements. */
export function codeNodes(text, tokens, start, end, onName) {
  const nodes = [];
  let at = start;
  tokens.forEach((token, index) => {
    const from = Math.max(token.start, start);
    const to = Math.min(token.end, end);
    if (from >= to || (token.kind === "operator" && !token.chain)) return;
    if (token.kind === "word" && !token.chain) return;
    if (from > at) nodes.push(...breakable(text, at, from));
    const node = el("span", { class: `t-${token.kind}` }, breakable(text, from, to));
    if (token.chain) onName?.(node, token, index);
    nodes.push(node);
    at = to;
  });
  if (at < end) nodes.push(...breakable(text, at, end));
  return nodes;
}
