/** The stage: one step in large type over everything else, for who predicts it or shows it to a
 * class. */

import { chapterOf } from "./chapters.js";
import { operands } from "./detail.js";
import { el } from "./dom.js";
import { LIMIT } from "./limits.js";
import { sizeCell } from "./tensors.js";
import { clip, isOwned, shapeText } from "./text.js";
import { say } from "./words.js";

const MOST_ROWS = 5;

/** A dialog as large as the window; `act` is told of each of its keys, and when it is left. */
export class Stage {
  constructor(signal) {
    this.room = el("div", { class: "room" });
    this.node = el("dialog", { class: "stage" }, this.room);
    this.show = null;
    const on = (type, act) => this.node.addEventListener(type, act, { signal });
    on("close", () => this.node.open || this.left());
    on("keydown", (event) => {
      const isShortcut = event.ctrlKey || event.metaKey || event.altKey || event.isComposing;
      if (!isShortcut && this.show?.onKey(event)) event.preventDefault();
      // Keys are the stage's alone: neither the player nor the page around it hears them.
      if (!isShortcut && event.key !== "Escape" && event.key !== "Tab") event.stopPropagation();
    });
  }

  get isOpen() {
    return this.node.open;
  }

  /** Give the stage to `show`, which has a `name`, and is told of keys and of its end. */
  open(show) {
    this.show = show;
    this.node.setAttribute("aria-label", show.name);
    this.node.dataset.show = show.kind;
    if (!this.node.open) this.node.showModal();
  }

  draw(...nodes) {
    this.room.replaceChildren(...nodes.flat().filter(Boolean));
  }

  close() {
    this.node.close();
    this.left();
  }

  left() {
    const { show } = this;
    this.show = null;
    this.room.replaceChildren();
    show?.onLeft();
  }
}

/** The title of the chapter that an item is in, empty where there is none. */
export function chapterTitle(model, item) {
  return model.chapters[chapterOf(model, item)]?.title ?? "";
}

/** What the step takes, each a row of its own; weights after the rest. */
export function taken(scene) {
  const { inputs } = operands(scene);
  const ordered = [...inputs].sort((a, b) => isOwned(a.note.kind) - isOwned(b.note.kind));
  const rows = ordered.slice(0, MOST_ROWS).map((entry) => row(scene, entry));
  const rest = ordered.length - rows.length;
  if (rest > 0) rows.push(el("p", { class: "more" }, say("and {rest} more", { rest })));
  return el("div", { class: "taken", role: "group", "aria-label": say("before") }, rows);
}

/** What the step gives. */
export function given(scene) {
  const { outputs } = operands(scene);
  const rows = outputs.slice(0, MOST_ROWS).map((entry) => row(scene, entry));
  return el("div", { class: "given", role: "group", "aria-label": say("after") }, rows);
}

/** The name of the step's first result. */
export const resultName = (scene) => operands(scene).outputs[0]?.name ?? "";

/** The names of all that it takes, in the order of the operands. */
export const takenNames = (scene) => operands(scene).inputs.map(({ name }) => name);

/** The first result's name before `cells`, which stand for its sizes. */
export function resultRow(scene, ...cells) {
  const name = clip(resultName(scene), 60);
  return el("div", { class: "tensor-row" }, el("span", { class: "tensor-name", translate: "no" }, name), cells);
}

function row(scene, { note, labels, name }) {
  const cells = note.shape.slice(0, LIMIT.rank).map((_, axis) => sizeCell(scene, note, axis, labels));
  if (!cells.length) cells.push(el("span", { class: "cell plain" }, say("scalar")));
  return el(
    "div",
    { class: isOwned(note.kind) ? "tensor-row owned" : "tensor-row" },
    el("span", { class: "tensor-name", translate: "no" }, clip(name, 60)),
    el("span", { class: "spoken" }, ` ${shapeText(note, scene.face)}`),
    el("span", { class: "cells", "aria-hidden": "true" }, cells),
  );
}
