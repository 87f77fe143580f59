/** Present: one expression in large type for a class, asked first and then answered. */

import { expression, sentences } from "./detail.js";
import { ICONS, el, icon } from "./dom.js";
import { coded, markdown } from "./markdown.js";
import { Notes } from "./notes.js";
import { given, resultRow, taken } from "./stage.js";
import { isCard } from "./story.js";
import { clip, languageOf } from "./text.js";
import { say } from "./words.js";

const NEXT = new Set(["ArrowRight", "ArrowDown", "PageDown", " ", "Enter", "n"]);
const PREVIOUS = new Set(["ArrowLeft", "ArrowUp", "PageUp", "Backspace", "p"]);
const BLANK = new Set(["b", "B", "."]);
const LEAST_SCALE = 0.4;
const REST_MILLISECONDS = 1_500;

/** The slides of a run as it is folded: `{kind, item, title, number}`, a step asked before it is
 * shown, each chapter with a title of its own. */
export function slidesOf({ chapters, tops }, list) {
  const slides = [];
  const left = chapters.map(({ title, start }, index) => ({ title, at: tops[start].at, number: index + 1 }));
  for (const item of list.flatMap((entry) => entry.items ?? [entry])) {
    while (left.length && left[0].at <= (item.end ?? item.at) && !isCard(item)) {
      slides.push({ kind: "chapter", item, ...left.shift() });
    }
    if (isCard(item)) slides.push({ kind: item.kind, item });
    else if (item.error !== null) slides.push({ kind: "failure", item });
    else {
      if (item.outputs.length) slides.push({ kind: "ask", item });
      slides.push({ kind: "show", item });
    }
  }
  return slides;
}

export class Present {
  /** Begins where `player` is, and lets it follow. */
  constructor(player) {
    const { stage, model, walk, transport, address } = player;
    Object.assign(this, { player, stage, model });
    this.kind = "present";
    this.name = say("Presentation");
    transport.play(false);
    address.write({ present: "1" });
    this.slides = slidesOf(model, walk.list);
    const first = this.slides.findIndex(({ item }) => item.at >= walk.item.at);
    this.index = Math.max(first, 0);
    this.isBlank = false;
    this.dot = el("div", { class: "pointer-dot", "aria-hidden": "true", hidden: true });
    this.controls = this.bar();
    this.notes = new Notes((event) => this.onKey(event));
    this.listening = new AbortController();
    const { signal } = this.listening;
    stage.open(this);
    stage.node.addEventListener("click", (event) => this.onClick(event), { signal });
    stage.node.addEventListener("pointermove", (event) => this.point(event), { signal });
    window.addEventListener("resize", () => this.fit(), { signal });
    this.draw();
  }

  onLeft() {
    this.listening.abort();
    clearTimeout(this.resting);
    this.notes.close();
    if (document.fullscreenElement) document.exitFullscreen();
    this.player.address.write({ present: null });
  }

  bar() {
    const control = (name, drawing, act) =>
      el("button", { type: "button", class: "control", "aria-label": name, title: name, onclick: act }, drawing);
    return el(
      "div",
      { class: "controls", role: "group", "aria-label": say("transport") },
      control(say("previous"), icon(ICONS.previous), () => this.go(this.index - 1)),
      control(say("next"), icon(ICONS.next), () => this.go(this.index + 1)),
      control(say("notes in a second window (s)"), icon(ICONS.notes), () => this.openNotes()),
      control(say("full screen (f)"), icon(ICONS.whole), () => this.fill()),
      control(say("leave (Esc)"), "×", () => this.stage.close()),
    );
  }

  // --- What the teacher does ---

  onKey({ key, target }) {
    if (this.isBlank && key !== "Escape") {
      this.blank(false);
      if (BLANK.has(key)) return true;
    }
    if (target.matches("button") && (key === "Enter" || key === " ")) return false;
    if (NEXT.has(key)) this.go(this.index + 1);
    else if (PREVIOUS.has(key)) this.go(this.index - 1);
    else if (key === "Home") this.go(0);
    else if (key === "End") this.go(this.slides.length - 1);
    else if (BLANK.has(key)) this.blank(true);
    else if (key === "f") this.fill();
    else if (key === "s") this.openNotes();
    else return false;
    return true;
  }

  /** A click goes on, one at the left edge back. */
  onClick(event) {
    if (event.target.closest("button, a") || String(getSelection())) return;
    if (this.isBlank) this.blank(false);
    else this.go(this.index + (event.clientX < window.innerWidth / 5 ? -1 : 1));
  }

  go(index) {
    if (index < 0 || index >= this.slides.length) return;
    this.index = index;
    this.draw();
  }

  blank(on) {
    this.isBlank = on;
    this.stage.node.classList.toggle("blank", on);
  }

  openNotes() {
    this.notes.open(this.player.node);
    this.notes.draw(this.slides, this.index, this.player);
  }

  async fill() {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else await this.stage.room.requestFullscreen();
    } catch (error) {
      // A frame may not be allowed to.
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
    }
  }

  /** A point that all can see follows the mouse. */
  point({ clientX, clientY, movementX, movementY, pointerType }) {
    if (pointerType !== "mouse" || !(movementX || movementY)) return;
    this.dot.hidden = false;
    this.dot.style.translate = `${clientX}px ${clientY}px`;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => (this.dot.hidden = true), REST_MILLISECONDS);
  }

  // --- Drawing ---

  draw() {
    const slide = this.slides[this.index];
    const scene = this.player.sceneOf(slide.item);
    const body = el("div", { class: `slide ${slide.kind}`, "aria-live": "polite" }, this.body(slide, scene));
    this.stage.draw(body, this.controls, this.dot);
    this.fit();
    this.notes.draw(this.slides, this.index, this.player);
    const { act, walk } = this.player;
    if (slide.item !== walk.item) act.goto(slide.item.path);
  }

  body(slide, scene) {
    const { kind, item } = slide;
    if (kind === "chapter") return chapterSlide(slide);
    if (kind === "opening") return titleSlide(item.story);
    if (kind === "ending") return endSlide(item.story, scene);
    if (kind === "failure") return [expression(item), taken(scene), failed(this.model)];
    if (kind === "ask") return [expression(item), taken(scene), unknown(scene)];
    return [expression(item), taken(scene), given(scene), el("div", { class: "said" }, sentences(scene))];
  }

  /** As large as it may be with all of it on screen. */
  fit() {
    const { room, node } = this.stage;
    for (let scale = 1; scale >= LEAST_SCALE; scale *= 0.92) {
      room.style.setProperty("--scale", scale.toFixed(3));
      const isTall = room.scrollHeight > node.clientHeight;
      if (!isTall && room.scrollWidth <= node.clientWidth) return;
    }
  }
}

function chapterSlide({ title, number }) {
  return [el("p", { class: "ordinal" }, say("Chapter {number}", { number })), el("h2", { class: "title" }, title)];
}

function titleSlide({ title, post, author, paper }) {
  const beside = [post, author].filter(Boolean).join(" · ");
  return [
    el("h2", { class: "title" }, title),
    beside ? el("p", { lang: languageOf(beside) }, beside) : "",
    paper ? el("p", { lang: languageOf(paper) || "en" }, paper) : "",
  ];
}

function endSlide({ seen }, { model }) {
  const rows = seen.map((text) => el("li", { lang: languageOf(text) }, markdown(text, model)));
  return [el("h2", { class: "title" }, say("What you have seen")), el("ol", { class: "seen" }, rows)];
}

/** In the place of the result. */
function unknown(scene) {
  return el("div", { class: "given" }, resultRow(scene, el("span", { class: "cell plain question" }, "?")));
}

function failed({ trace: { failure } }) {
  const text = failure?.reason || failure?.message || "";
  return el("div", { class: "said failed" }, el("p", {}, failure?.rule ?? ""), el("p", {}, coded(clip(text, 400))));
}
