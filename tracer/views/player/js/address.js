/** The page's address, which keeps the step as `?step=`, the face of the sizes as `dims=`, with
 * `present=1` that the run is shown to a class, and with `scene=1` that a step shows how it works.
 * `exercise=` is what a teacher asks. */

import { OPENING } from "./story.js";

const URL_MILLISECONDS = 250;

/** A path of steps, counted from 0, as the address says it: counted from 1, as everywhere else on
 * the page.  Other paths (`c3`, `failure`) are said as they are. */
export function spoken(path) {
  return /^\d/.test(path) ? path.replace(/\d+/g, (number) => String(Number(number) + 1)) : path;
}

/** The path that an address asks for; beyond the first, 0 is the first too. */
export function understood(text) {
  const back = (number) => String(Math.max(Number(number) - 1, 0));
  return /^\d{1,9}(\.\d{1,9})*$/.test(text) ? text.replace(/\d+/g, back) : text;
}

/** Nothing of the opening: an address without a step begins there. */
const stepSaid = (path) => (path === OPENING ? null : spoken(path));

export class Address {
  /** One that is not `isKept` says nothing and is left alone. */
  constructor(isKept) {
    this.isKept = isKept;
    this.writing = null;
  }

  /** The path of the step that the address asks for, or null. */
  askedStep() {
    const text = this.asked("step");
    return text === null ? null : understood(text);
  }

  /** What is to be shown over everything else, or null. */
  askedShow({ exercise }, hasScenes) {
    if (exercise || this.asked("exercise")) return "predict";
    return ["present", "scene"].find((show) => this.asked(show) === "1" && (show !== "scene" || hasScenes)) ?? null;
  }

  /** What the address says of `name`, or null. */
  asked(name) {
    return this.isKept ? new URL(location.href).searchParams.get(name) : null;
  }

  /** Browsers refuse it too often in a row, so only once stepping pauses. */
  keep(path, face) {
    if (!this.isKept) return;
    clearTimeout(this.writing);
    this.writing = setTimeout(() => {
      this.write({ step: stepSaid(path), dims: face === "numbers" ? null : face });
    }, URL_MILLISECONDS);
  }

  /** Write each name with its value; null for none. */
  write(values) {
    if (!this.isKept) return;
    const url = new URL(location.href);
    for (const [name, value] of Object.entries(values)) {
      if (value === null) url.searchParams.delete(name);
      else url.searchParams.set(name, value);
    }
    try {
      history.replaceState(history.state, "", url);
    } catch (error) {
      // A document without an address of its own (a sandboxed frame) keeps none.
      if (!(error instanceof DOMException)) throw error;
    }
  }

  stop() {
    clearTimeout(this.writing);
  }
}
