/** Chapters: the parts of a run that have names, as a bar at the transport and as headings in the
 * code. */

import { el } from "./dom.js";
import { LIMIT } from "./limits.js";
import { callsAround } from "./walk.js";
import { say } from "./words.js";

/** Each `{title, start, stop}`, of steps of the run. */
export function readChapters({ chapters }, tops) {
  return (chapters ?? []).filter(({ start }) => tops[start]).slice(0, LIMIT.chapters);
}

/** The chapter that an item belongs to; -1 before the first, their number behind the last. */
export function chapterOf({ chapters, tops }, { at }) {
  if (at > (tops.at(-1)?.end ?? -1)) return chapters.length;
  return chapters.findLastIndex(({ start }) => tops[start].at <= at);
}

/** The step to go to from `item`: where a chapter begins, the next one or the one before. */
export function chapterFrom(model, item, direction) {
  const { chapters, tops } = model;
  const here = chapterOf(model, item);
  // The way back leads to the beginning of the chapter first, as in a book that is read aloud.
  const isInside = chapters[here] && item.at > tops[chapters[here].start].at;
  const index = direction > 0 ? here + 1 : here - (isInside ? 0 : 1);
  return chapters[index] ? tops[chapters[index].start] : null;
}

/** Write the titles into the frames: above the line where each begins, and above the calls that
 * begin with it. */
export function addHeadings({ chapters, tops, calls, rounds }) {
  for (const { title, start } of chapters) {
    const loop = rounds.find((each) => each.start === start);
    const around = [...callsAround({ calls }, tops[start].call)];
    for (const item of [tops[start], ...around.filter(({ callee }) => callee.start === start)]) {
      const { frame, line } = item.group ?? {};
      if (!frame) continue;
      frame.headings ??= new Map();
      const isLoop = loop && frame.source === loop.source;
      frame.headings.set(isLoop ? loop.place.line : line, { title, path: tops[start].path });
    }
  }
}

/** A heading above a line of the source. */
export function heading({ title, path }, goto) {
  const go = { type: "button", title: say("go to this chapter"), onclick: () => goto(path) };
  return el("h2", { class: "chapter" }, el("button", go, title));
}

/** The bar: a segment for each chapter, as wide as it is long. */
export class ChapterBar {
  /** It asks by `act`: `goto` a path. */
  constructor(act) {
    this.act = act;
    this.list = el("ol");
    this.node = el("nav", { class: "chapters", "aria-label": say("chapters"), hidden: true }, this.list);
  }

  begin({ chapters, tops }) {
    this.node.hidden = chapters.length === 0;
    this.list.replaceChildren(
      ...chapters.map(({ title, start, stop }, index) => {
        const attributes = {
          type: "button",
          title: `${title} (PageUp, PageDown)`,
          onclick: () => this.act.goto(tops[start].path),
        };
        const ordinal = el("span", { class: "ordinal" }, `${index + 1}`);
        const button = el("button", attributes, ordinal, el("span", { class: "word" }, title));
        const segment = el("li", {}, button);
        segment.style.setProperty("--steps", String(stop - start));
        return segment;
      }),
    );
  }

  draw(model, item) {
    const here = chapterOf(model, item);
    [...this.list.children].forEach((segment, index) => {
      segment.classList.toggle("past", index < here);
      if (index === here) segment.firstChild.setAttribute("aria-current", "step");
      else segment.firstChild.removeAttribute("aria-current");
    });
  }
}
