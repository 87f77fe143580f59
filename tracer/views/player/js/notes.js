/** The teacher's notes to a presentation: a second window, which shows the answer, what the lesson
 * says of the step, and what comes next. */

import { expression, sentences } from "./detail.js";
import { el } from "./dom.js";
import { markdown } from "./markdown.js";
import { chapterTitle, given } from "./stage.js";
import { isCard } from "./story.js";
import { languageOf } from "./text.js";
import { say } from "./words.js";

const NOTES_NAME = "shapewalk-notes";
const NOTES_LOOKS = "popup,width=760,height=720";

export class Notes {
  /** `onKey(event)` is told of the window's keys: it steers as the first one does. */
  constructor(onKey) {
    this.onKey = onKey;
    this.window = null;
  }

  /** Open the window, or bring it to the front; `root` is the player, whose looks it takes. */
  open(root) {
    if (!this.window || this.window.closed) {
      this.window = window.open("", NOTES_NAME, NOTES_LOOKS);
      // A browser may refuse, and a frame without an origin may not write into it.
      if (!this.document) return;
      this.dress(root);
    }
    this.window.focus();
  }

  get document() {
    try {
      return this.window && !this.window.closed ? this.window.document : null;
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      return null;
    }
  }

  dress(root) {
    const { document } = this;
    const sheet = new this.window.CSSStyleSheet();
    sheet.replaceSync(rulesOf(root.getRootNode()).join("\n"));
    document.adoptedStyleSheets = [sheet];
    document.title = say("Notes");
    document.documentElement.lang = root.lang;
    this.place = el("main", { class: "notes" });
    const look = getComputedStyle(root);
    const node = el("div", { class: "shapewalk notes-window", lang: root.lang }, this.place);
    for (const name of ["--paper", "--text", "--key"]) node.style.setProperty(name, look.getPropertyValue(name));
    node.dataset.theme = root.dataset.theme;
    document.body.style.margin = "0";
    document.body.replaceChildren(node);
    document.onkeydown = (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.altKey && this.onKey(event)) event.preventDefault();
    };
  }

  /** Show what belongs to slide number `index`. */
  draw(slides, index, player) {
    if (!this.document || !this.place) return;
    const slide = slides[index];
    const { item } = slide;
    const { model } = player;
    const scene = player.sceneOf(item);
    const place = say("{at} of {all}", { at: index + 1, all: slides.length });
    this.place.replaceChildren(
      el("p", { class: "where" }, [place, chapterTitle(model, item)].filter(Boolean).join(" · ")),
      ...notesHeading(slide),
      ...(isStepSlide(slide) && item.error === null ? [given(scene), ...sentences(scene)] : []),
      item.note ? el("div", { class: "note", lang: languageOf(item.note) }, markdown(item.note, model)) : "",
      ...nextSlide(slides, index),
    );
  }

  close() {
    this.window?.close();
    this.window = null;
  }
}

const isStepSlide = ({ kind, item }) => !isCard(item) && kind !== "chapter";

function notesHeading({ kind, item, title }) {
  if (kind === "chapter") return [el("h2", { class: "title" }, title)];
  if (isCard(item)) return [el("h2", { class: "title" }, item.story.title)];
  return [expression(item)];
}

/** The next slide that is another one than the answer to this. */
function nextSlide(slides, index) {
  const { item, kind } = slides[index];
  const after = slides.slice(index + 1).find((each) => each.item !== item || kind === "chapter");
  if (!after) return [el("h3", {}, say("This is the end."))];
  return [el("h3", {}, say("Next")), el("div", { class: "next" }, notesHeading(after))];
}

/** The texts of the style sheets that `root`, a document or a shadow, is drawn by. */
function rulesOf(root) {
  return [...root.styleSheets, ...root.adoptedStyleSheets].flatMap((sheet) => {
    try {
      return [...sheet.cssRules].map(({ cssText }) => cssText).filter((text) => text.includes("shapewalk"));
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      return [];
    }
  });
}
