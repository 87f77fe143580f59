/** Numbers and names as a reader sees them. */

import { LIMIT } from "./limits.js";
import { say } from "./words.js";

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** At most `length` characters, without those that would reorder the text around them. */
export function clip(text, length = LIMIT.text) {
  const whole = String(text ?? "").replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  return whole.length > length ? `${whole.slice(0, length - 1)}…` : whole;
}

/** For the choice of a font and of a voice: notes in Chinese are told by their characters. */
export const languageOf = (text) => (/[\u4e00-\u9fff]/.test(text) ? "zh" : "");

export const isOwned = (kind) => kind === "parameter" || kind === "buffer";

export const isWhole = (value) => Number.isInteger(value) && Math.abs(value) < 1e9;

export function figure(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(digits - 2).replace("e+", "e");
  return String(Number(value.toPrecision(digits)));
}

/** The shortest decimal that names exactly this float32. */
export function exactly(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "−Inf";
  for (let digits = 1; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds < 1e-3) return `${figure(seconds * 1e6, 3)} µs`;
  if (seconds < 1) return `${figure(seconds * 1e3, 3)} ms`;
  return `${figure(seconds, 3)} s`;
}

/** `1.2 GFLOP`, `23.7 MB`: a count in thousands of thousands. */
export function amount(count, unit) {
  const prefixes = ["", "k", "M", "G", "T", "P"];
  if (!Number.isFinite(count) || count < 0) return "–";
  let level = 0;
  let value = count;
  // What would round to 1000 of this is 1 of the next.
  while (Number(value.toPrecision(3)) >= 1000 && level < prefixes.length - 1) {
    value /= 1000;
    level += 1;
  }
  const plain = level === 0 && unit === "B" ? (count === 1 ? say("byte") : say("bytes")) : unit;
  return `${figure(value, 3)} ${prefixes[level]}${plain}`;
}

/** `(2, 64, 14800)`, or as formulas `(B, C, H·W)`, or with both `(B = 2, C = 64, H·W = 14800)`. */
export function shapeText({ shape, dims }, face = "numbers") {
  const shown = shape.slice(0, LIMIT.rank).map((size, axis) => {
    const text = face === "numbers" || !dims?.length ? null : clip(dims[axis].text, LIMIT.formula);
    if (text === null || text === String(size)) return clip(size, 40);
    return face === "formulas" ? text : `${text} = ${clip(size, 40)}`;
  });
  if (shape.length > LIMIT.rank) shown.push("…");
  return `(${shown.join(", ")}${shape.length === 1 ? "," : ""})`;
}

export function describeNote(note) {
  const words = [clip(note.name, 60) || say("unnamed"), shapeText(note)];
  const formulas = shapeText(note, "formulas");
  if (formulas !== words[1]) words.push("=", formulas);
  words.push(note.dtype);
  if (note.device !== "cpu") words.push(note.device);
  return words.map((word) => clip(word, 120)).join(" ");
}

const GAP = /\{[\p{L}_][\p{L}\p{N}_]*(?:\.[\p{L}_][\p{L}\p{N}_]*)*(?:\[-?\d+\])?\}/gu;

/** A note of which nothing ran that could fill its gaps; braces within a formula are its own. */
export const leftOpen = (note) =>
  note
    .split(/(\$\$.+?\$\$|\$.+?\$)/su)
    .map((part) => (part.startsWith("$") ? part : part.replace(GAP, "…")))
    .join("");

export const fileName = (file) => clip(file.split(/[\\/]/).at(-1), 80);

export const oneLine = (text) => text.replace(/\s+/g, " ");

/** `line 12`, with the file where that is not the one of `here`. */
export function whereIs({ file, line }, here) {
  if (!(line > 0)) return "";
  return file === here.file ? say("line {line}", { line }) : `${fileName(file)}:${line}`;
}

/** The text in three parts: what both begin with, what `text` has alone, what both end with. */
export function difference(text, other) {
  const parts = (whole) => whole.match(/[\p{L}\p{N}_]+|\s+|./gsu) ?? [];
  const [mine, theirs] = [parts(text), parts(other)];
  let start = 0;
  while (start < mine.length && mine[start] === theirs[start]) start += 1;
  let end = 0;
  const most = Math.min(mine.length, theirs.length) - start;
  while (end < most && mine.at(-1 - end) === theirs.at(-1 - end)) end += 1;
  const stop = mine.length - end;
  return [mine.slice(0, start), mine.slice(start, stop), mine.slice(stop)].map((p) => p.join(""));
}
