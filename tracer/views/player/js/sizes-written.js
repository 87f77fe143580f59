/** Sizes as a reader writes them: numbers, letters, and what is worked out of these. */

const SIZE_TOKEN = /\s*(\d+|\p{L}[\p{L}\p{Nd}_₀-₉]*[′″‴']*|\/\/|\*\*|[-+*·×/÷^()²³⌊⌋])/uy;
const LIKE = { "−": "-", "–": "-", "×": "*", "·": "*", "∗": "*", "⋅": "*", "•": "*", "÷": "/", "**": "^" };
const MOST = 2 ** 53;

/** The number that `text` stands for, with `letters` (a Map of names to sizes); null where it
 * stands for none: `14800`, `H*W`, `H·W`, `2(C + 1)`, `H // 2`, `H²` and `HW` do. */
export function sizeOf(text, letters) {
  const tokens = split(text, letters);
  if (!tokens?.length) return null;
  const reader = { tokens, at: 0 };
  const value = sum(reader);
  const isSize = reader.at === tokens.length && Number.isInteger(value) && value >= 0;
  return isSize && value < MOST ? value : null;
}

/** Numbers and signs; null where something is neither, or is called by a name that is not known. */
function split(text, letters) {
  // A keyboard for Chinese writes wide signs; a number in thousands has commas.
  const plain = text
    .replace(/[\uff01-\uff5e]/g, (wide) => String.fromCharCode(wide.charCodeAt(0) - 0xfee0))
    .replace(/(\d),(?=\d{3}(\D|$))/g, "$1")
    .replace(/[−–∗⋅•]/g, (sign) => LIKE[sign])
    .trim();
  const found = [];
  SIZE_TOKEN.lastIndex = 0;
  while (SIZE_TOKEN.lastIndex < plain.length) {
    const token = SIZE_TOKEN.exec(plain)?.[1];
    if (token === undefined || found.length > 60) return null;
    if (/^\d/.test(token)) found.push(Number(token));
    else if (!/^\p{L}/u.test(token)) found.push(LIKE[token] ?? token);
    else if (letters.has(token)) found.push("(", letters.get(token), ")");
    else {
      // Letters without a sign between them are multiplied.
      const parts = [...token.matchAll(/\p{L}[₀-₉]*[′″‴']*/gu)].map(([part]) => part);
      if (parts.join("") !== token || !parts.every((part) => letters.has(part))) return null;
      found.push(...parts.flatMap((part) => ["(", letters.get(part), ")"]));
    }
  }
  return found;
}

function sum(reader) {
  let value = term(reader);
  for (let sign = peek(reader); sign === "+" || sign === "-"; sign = peek(reader)) {
    reader.at += 1;
    const next = term(reader);
    value = sign === "+" ? value + next : value - next;
  }
  return value;
}

function term(reader) {
  let value = power(reader);
  for (;;) {
    const sign = peek(reader);
    const isNext = sign === "(" || sign === "⌊";
    if (!isNext && sign !== "*" && sign !== "/" && sign !== "//") return value;
    if (!isNext) reader.at += 1;
    const next = power(reader);
    if (sign === "/") value /= next;
    else if (sign === "//") value = Math.floor(value / next);
    else value *= next;
  }
}

function power(reader) {
  let value = factor(reader);
  for (let sign = peek(reader); sign === "^" || sign === "²" || sign === "³"; sign = peek(reader)) {
    reader.at += 1;
    value **= sign === "^" ? factor(reader) : { "²": 2, "³": 3 }[sign];
  }
  return value;
}

function factor(reader) {
  const token = reader.tokens[reader.at];
  reader.at += 1;
  if (typeof token === "number") return token;
  if (token === "-") return -factor(reader);
  const closing = { "(": ")", "⌊": "⌋" }[token];
  if (!closing) return NaN;
  const value = sum(reader);
  const isClosed = reader.tokens[reader.at] === closing;
  reader.at += 1;
  if (!isClosed) return NaN;
  return token === "⌊" ? Math.floor(value) : value;
}

const peek = ({ tokens, at }) => tokens[at];

/** The letters that a reader knows at `node`: of the sizes that he chose, and of all tensors up to
 * what the step takes. */
export function lettersAt(model, node) {
  const found = new Map(model.symbols);
  const add = (notes, rows) => {
    notes.forEach(({ shape }, index) => {
      (rows[index] ?? []).forEach((label, axis) => {
        if (/^\p{L}[\p{L}\p{Nd}_₀-₉]*[′″‴']*$/u.test(label) && !found.has(label)) {
          found.set(label, shape[axis]);
        }
      });
    });
  };
  for (const each of model.nodes) {
    if (each.at > node.at) break;
    add(each.inputs, each.explanation.inputs);
    if (each !== node && each.end < node.at) add(each.outputs, each.explanation.outputs);
  }
  return found;
}
