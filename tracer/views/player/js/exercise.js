/** An exercise: the steps that a teacher asks, with notes and questions, and the code that a student
 * hands in.  All of it is in the address or in the file, and answers stay in this browser. */

import { el } from "./dom.js";
import { markdown } from "./markdown.js";
import { ruleNames } from "./prediction.js";
import { clip } from "./text.js";
import { say } from "./words.js";

const MOST_STEPS = 100;
const MOST_WORDS = 2_000;
const TITLE_LENGTH = 120;

/** A value as a text that an address may hold. */
export function packedText(value) {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The value of such a text; null where it is damaged. */
export function unpackedText(text) {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof SyntaxError)) throw error;
    return null;
  }
}

/** The exercise of a text, `{title, steps: Map of {note, question}, mark}`; null where there is none. */
export function exerciseOf(text) {
  const found = text ? unpackedText(text) : null;
  if (!Array.isArray(found?.steps)) return null;
  const known = found.steps.slice(0, MOST_STEPS).filter((each) => Number.isInteger(each?.[0]));
  const words = (value) => (typeof value === "string" ? clip(value, MOST_WORDS) : "");
  const steps = new Map(known.map(([step, note, question]) => [String(step), { note: words(note), question: words(question) }]));
  return steps.size ? { title: clip(words(found.title), TITLE_LENGTH), steps, mark: text.slice(-12) } : null;
}

/** The steps that an exercise asks. */
export const stepsAsked = ({ tops, payload }, exercise) =>
  tops.filter(({ path, error }, index) => exercise.steps.has(path) && payload.rules?.[index] && error === null);

/** What a student has done, as the code that the teacher's page reads: of each step whether it was
 * right at first, in the end, shown or not answered, the rules that were missed, and the answer. */
export function handedIn(exercise, name, questions, score) {
  const names = ruleNames();
  const steps = questions.map(({ path }) => {
    const { first, done, missed, answer } = score.of(path);
    const state = first === null ? "none" : first ? "first" : done && !score.wasShown(path) ? "later" : "missed";
    const rules = Object.keys(missed).filter((rule) => Object.hasOwn(names, rule)).map((rule) => names[rule]);
    return [Number(path), state, rules, clip(answer ?? "", MOST_WORDS)];
  });
  return packedText({ exercise: exercise.mark, name: clip(name, TITLE_LENGTH), steps });
}

/** What the teacher says of a step, and a field for the answer to the question. */
export function teachersWords({ note, question }, model, score, path) {
  const field = el("textarea", { rows: "2", "aria-label": question, maxlength: String(MOST_WORDS) });
  field.value = score.of(path).answer ?? "";
  field.addEventListener("input", () => score.answer(path, field.value));
  return el(
    "div",
    { class: "teachers" },
    note ? el("div", { class: "clue" }, markdown(note, model)) : "",
    question ? el("label", {}, el("span", {}, markdown(question, model)), field) : "",
  );
}

/** Where a student hands in: a name, and the code that is made of it. */
export function handIn(exercise, questions, score) {
  const name = el("input", { type: "text", autocomplete: "name", "aria-label": say("your name") });
  const code = el("textarea", { readonly: true, rows: "4", hidden: true, "aria-label": say("the code to hand in") });
  const make = () => {
    code.value = handedIn(exercise, name.value.trim(), questions, score);
    code.hidden = false;
    code.focus();
    code.select();
  };
  return el(
    "div",
    { class: "hand-in" },
    el("h3", {}, say("Hand in")),
    el("p", {}, say("Your answers are in this browser alone. The code holds them for your teacher: copy it and send it.")),
    el("div", { class: "answers" }, name, el("button", { type: "button", onclick: make }, say("Make the code"))),
    code,
  );
}
