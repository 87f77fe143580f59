/** What a reader has predicted so far: kept in the browser where it lets itself be asked, else as
 * long as the page is open. */

const KEY = "shapewalk.predictions";
const MOST_RUNS = 40;

/** Of pages whose browser keeps nothing, such as a sandboxed frame. */
let kept = null;

function readAll() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return typeof found === "object" && found !== null && !Array.isArray(found) ? found : {};
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof SyntaxError)) throw error;
    return kept ?? {};
  }
}

function writeAll(all) {
  kept = all;
  try {
    localStorage.setItem(KEY, JSON.stringify(all));
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
}

const isCount = (value) => Number.isInteger(value) && value >= 0;

export class Score {
  /** The score of the run called `name`: for each step `{first, done, missed: {rule: times}}`. */
  constructor(name) {
    this.name = name;
    const found = readAll()[name];
    this.steps = new Map(Object.entries(found ?? {}).filter(([path, each]) => isEntry(path, each)));
  }

  /** What is known of a step. */
  of(path) {
    return this.steps.get(path) ?? { first: null, done: false, missed: {} };
  }

  /** An answer was given: the rules that it missed, none if it was right; a step that was `shown`
   * has not been predicted. */
  note(path, missed, shown = false) {
    const before = this.of(path);
    if (before.done) return;
    const rules = { ...before.missed };
    for (const rule of new Set(missed)) rules[rule] = (rules[rule] ?? 0) + 1;
    const isRight = missed.length === 0 && !shown;
    const now = { first: before.first ?? isRight, done: isRight || shown, missed: rules };
    this.steps.set(path, { ...before, ...now, ...(shown && { shown }) });
    this.keep();
  }

  /** What was written to a question of the teacher's. */
  answer(path, answer) {
    this.steps.set(path, { ...this.of(path), answer });
    this.keep();
  }

  /** Whether the reader gave up. */
  wasShown(path) {
    return this.of(path).shown === true;
  }

  /** `{asked, first}`: how many steps were asked, and how many right at the first answer. */
  get counts() {
    const done = [...this.steps.values()].filter((each) => typeof each.first === "boolean");
    return { asked: done.length, first: done.filter(({ first }) => first).length };
  }

  /** The rules that were missed, the one missed most first: `[rule, times, paths]`. */
  get missed() {
    const found = new Map();
    for (const [path, { missed }] of this.steps) {
      for (const [rule, times] of Object.entries(missed)) {
        const [before, paths] = found.get(rule) ?? [0, []];
        found.set(rule, [before + times, [...paths, path]]);
      }
    }
    return [...found].map(([rule, [times, paths]]) => [rule, times, paths]).sort((a, b) => b[1] - a[1]);
  }

  forget() {
    this.steps.clear();
    this.keep();
  }

  keep() {
    const all = readAll();
    delete all[this.name];
    if (this.steps.size) all[this.name] = Object.fromEntries(this.steps);
    // The oldest go first.
    writeAll(Object.fromEntries(Object.entries(all).slice(-MOST_RUNS)));
  }
}

function isEntry(path, each) {
  const isKnown = /^\d{1,9}$/.test(path) && typeof each?.done === "boolean";
  return isKnown && Object.values(each.missed ?? { "": -1 }).every(isCount);
}
