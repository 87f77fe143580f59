/** Two runs beside each other, stepped through together: what each does at the same place, and the
 * dimensions in which they differ. */

import { expression, operands, sentences } from "./detail.js";
import { ICONS, el, icon } from "./dom.js";
import { Figures } from "./figure.js";
import { Pictures } from "./heatmap.js";
import { Keyboard } from "./keyboard.js";
import { Light } from "./light.js";
import { flow } from "./tensors.js";
import { clamp, clip, shapeText } from "./text.js";
import { themeOf } from "./theme.js";
import { readTrace } from "./trace.js";
import { counted, say, speak } from "./words.js";

const MOST_PAIRS = 5_000;

/** One of the two runs: its model, and what drawing a step of it reads. */
class Side {
  constructor(payload, act) {
    this.model = readTrace(payload);
    this.pictures = new Pictures();
    this.light = new Light(() => act.drawLight());
    this.act = act;
  }

  sceneOf(item, odd) {
    const { model, pictures, light, act } = this;
    return { model, item, operation: item, index: 0, face: "numbers", pictures, light, act, fix: null, odd };
  }
}

class Comparing {
  constructor(root, language) {
    this.index = 0;
    this.listening = new AbortController();
    this.list = el("ol", { class: "pairs", "aria-label": say("steps") });
    this.titles = el("div", { class: "titles" });
    this.columns = ["one", "other"].map(() => el("section", { class: "detail side" }));
    this.figures = null;
    this.pictures = el("div", { class: "both-figures" });
    this.said = el("p", { class: "verdict", "aria-live": "polite" });
    this.count = el("span", { class: "count" });
    this.bar = this.buttons();
    const both = el("div", { class: "both" }, this.said, el("div", { class: "sides" }, this.columns), this.pictures);
    const room = el("div", { class: "layout comparing", "data-graph": "none" }, this.titles, el("div", { class: "room" }, this.list, both), this.bar);
    this.node = el("div", { class: "shapewalk", lang: language }, room);
    root.append(this.node);
    this.keyboard = new Keyboard({
      place: this.node,
      slider: null,
      isResting: () => !this.pairs?.length,
      actions: () => this.keys(),
      signal: this.listening.signal,
    });
    this.node.addEventListener("pointerdown", () => this.keyboard.claim());
    this.node.addEventListener("focusin", () => this.keyboard.claim());
  }

  buttons() {
    const control = (drawing, name, key, act) => {
      const title = `${name} (${key})`;
      const named = { type: "button", class: "control", "aria-label": name, title, onclick: act };
      return el("button", named, icon(drawing));
    };
    const next = { type: "button", class: "differing", onclick: () => this.goToDifference(1) };
    this.differing = el("button", next);
    return el(
      "footer",
      { class: "transport", role: "group", "aria-label": say("transport") },
      el(
        "div",
        { class: "controls" },
        el(
          "div",
          { class: "buttons" },
          control(ICONS.first, say("first"), "Home", () => this.go(0)),
          control(ICONS.previous, say("previous"), "←", () => this.go(this.index - 1)),
          control(ICONS.next, say("next"), "→", () => this.go(this.index + 1)),
          control(ICONS.last, say("last"), "End", () => this.go(Infinity)),
        ),
        this.count,
        this.differing,
      ),
    );
  }

  keys() {
    return {
      ArrowRight: () => this.go(this.index + 1),
      ArrowDown: () => this.go(this.index + 1),
      ArrowLeft: () => this.go(this.index - 1),
      ArrowUp: () => this.go(this.index - 1),
      Home: () => this.go(0),
      End: () => this.go(Infinity),
      n: () => this.goToDifference(1),
      p: () => this.goToDifference(-1),
    };
  }

  adopt({ theme, height }) {
    if (height) this.node.style.setProperty("--height", String(height));
    this.node.dataset.theme = themeOf(this.node, theme);
  }

  /** Show `{one, other, pairs, names}`: the pairs are `{one, other, outputs}`, steps by number. */
  show({ one, other, pairs, names }) {
    this.pairs = pairs.slice(0, MOST_PAIRS);
    this.names = names;
    const act = this.acts();
    this.sides = [new Side(one, act), new Side(other, act)];
    const titles = names.map((name) => el("h2", {}, clip(name, 80)));
    this.titles.replaceChildren(...titles);
    this.figures = new Figures(this.sides.map(({ light }) => light), [say("after"), say("after")]);
    this.pictures.replaceChildren(this.figures.node);
    const rows = this.pairs.map((pair, index) => this.row(pair, index));
    this.list.replaceChildren(...rows);
    const differences = this.pairs.filter((pair) => !isSame(pair)).length;
    const words = differences
      ? counted(differences, "Next of {n} difference", "Next of {n} differences")
      : say("No difference in shapes and types");
    this.differing.replaceChildren(words, ...(differences ? [" ", el("kbd", {}, "n")] : []));
    this.differing.disabled = !differences;
    this.go(clamp(this.index, 0, Math.max(this.pairs.length - 1, 0)));
  }

  /** What a part that is drawn can ask for. */
  acts() {
    const nothing = () => {};
    return {
      drawLight: () => this.drawLight(),
      visit: (note, maker) => maker && this.reach(maker),
      toggle: nothing,
      enter: nothing,
      reach: nothing,
      goto: nothing,
    };
  }

  row(pair, index) {
    const cells = ["one", "other"].map((which, side) => {
      const node = this.stepOf(pair, which, side);
      if (!node) return el("span", { class: "part none" }, el("span", { class: "spoken" }, say("no such step")));
      const written = node.place.expression.replace(/\s+/g, " ") || node.step.op;
      return el(
        "span",
        { class: "part" },
        el("code", { translate: "no" }, clip(written, 60)),
        el("small", {}, node.outputs.map((note) => shapeText(note)).join(" ")),
      );
    });
    const mark = el("span", { class: "sign", "aria-hidden": "true" }, isSame(pair) ? "=" : signOf(pair));
    const spoken = el("span", { class: "spoken" }, wordOf(pair));
    const go = { type: "button", onclick: () => this.go(index) };
    return el("li", { class: isSame(pair) ? "" : "differs" }, el("button", go, cells[0], mark, spoken, cells[1]));
  }

  stepOf(pair, which, side) {
    const number = pair[which];
    return number === null ? null : (this.sides[side].model.tops[number] ?? null);
  }

  /** To the pair that the step of one of the runs belongs to. */
  reach(maker) {
    let top = maker;
    while (top.parent) top = top.parent;
    const side = this.sides.findIndex(({ model }) => model.tops.includes(top));
    const which = side === 0 ? "one" : "other";
    const index = this.pairs.findIndex((pair) => pair[which] === top.step.index);
    if (index >= 0) this.go(index);
  }

  go(index) {
    if (!this.pairs.length) return;
    this.index = clamp(index, 0, this.pairs.length - 1);
    this.draw();
  }

  goToDifference(direction) {
    const { length } = this.pairs;
    for (let away = 1; away <= length; away += 1) {
      const index = (this.index + direction * away + length * (away + 1)) % length;
      if (!isSame(this.pairs[index])) {
        this.go(index);
        return;
      }
    }
  }

  draw() {
    const pair = this.pairs[this.index];
    const shown = ["one", "other"].map((which, side) => this.drawSide(pair, which, side));
    this.said.textContent = verdict(pair, shown);
    this.said.classList.toggle("differs", !isSame(pair));
    this.count.textContent = say("{at} of {all}", { at: this.index + 1, all: this.pairs.length });
    this.figures.showBoth(shown, say("no such step"));
    [...this.list.children].forEach((row, index) => {
      const current = index === this.index;
      row.classList.toggle("current", current);
      if (current) row.firstChild.setAttribute("aria-current", "step");
      else row.firstChild.removeAttribute("aria-current");
    });
    this.reveal();
  }

  /** Draws one run's step; the scene and what comes out of it, null where it has none here. */
  drawSide(pair, which, side) {
    const item = this.stepOf(pair, which, side);
    const heading = el("p", { class: "whose" }, clip(this.names[side], 80));
    if (!item) {
      this.columns[side].replaceChildren(heading, el("p", { class: "absent" }, say("no such step")));
      return null;
    }
    const scene = this.sides[side].sceneOf(item);
    const { inputs, outputs } = operands(scene);
    const marked = outputs.map((entry, index) => ({ ...entry, odd: pair.outputs[index] ?? [] }));
    this.columns[side].replaceChildren(heading, expression(item), flow(scene, inputs, marked), ...sentences(scene));
    return { scene, outputs, item };
  }

  /** The list alone scrolls, never the page. */
  reveal() {
    const row = this.list.children[this.index];
    const [frame, box] = [this.list.getBoundingClientRect(), row.getBoundingClientRect()];
    if (box.top < frame.top || box.bottom > frame.bottom) {
      this.list.scrollTop += (box.top + box.bottom - frame.top - frame.bottom) / 2;
    }
  }

  drawLight() {
    this.columns.forEach((column, side) => {
      for (const element of column.querySelectorAll("[data-note]")) this.sides[side].light.apply(element);
    });
  }

  destroy() {
    this.listening.abort();
    this.keyboard.release();
    this.node.remove();
  }
}

/** Both runs have the step, and it gives the same shapes and types. */
export function isSame({ one, other, outputs }) {
  return one !== null && other !== null && outputs.every((odd) => odd?.length === 0);
}

function signOf({ one, other }) {
  if (one === null) return "+";
  return other === null ? "−" : "≠";
}

function wordOf(pair) {
  if (isSame(pair)) return say("the same");
  if (pair.one === null) return say("only on the right");
  return pair.other === null ? say("only on the left") : say("differ");
}

/** In a sentence, what is the same and what is not. */
function verdict(pair, shown) {
  if (pair.one === null) return say("Only the run on the right has this step.");
  if (pair.other === null) return say("Only the run on the left has this step.");
  if (isSame(pair)) return say("Both give the same shape and type.");
  const parts = pair.outputs.map((odd, index) => {
    const [mine, yours] = shown.map(({ outputs }) => outputs[index]?.note);
    if (!mine || !yours) return say("One gives more results than the other.");
    if (odd === null) {
      if (mine.dtype !== yours.dtype) {
        return say("They differ in type: {mine}, {yours}.", { mine: mine.dtype, yours: yours.dtype });
      }
      return say("One has {mine}, the other {yours}.", {
        mine: counted(mine.shape.length, "{n} dimension", "{n} dimensions"),
        yours: counted(yours.shape.length, "{n} dimension", "{n} dimensions"),
      });
    }
    return odd
      .map((axis) => {
        const label = shown[0].outputs[index].labels[axis];
        const dim = label && !/^\d*$/.test(label) ? clip(label, 14) : say("dim {axis}", { axis });
        return say("They differ in {dim}: {mine}, {yours}.", { dim, mine: mine.shape[axis], yours: yours.shape[axis] });
      })
      .join(" ");
  });
  return parts.filter(Boolean).join(" ");
}

/** Mount a comparison in `root`; `options` are `theme` and `height` as of a player. */
export function compare(root, payload, options = {}) {
  let comparing = null;
  let language = null;
  const begin = (shown, given) => {
    ({ language } = shown.one);
    speak(shown.one.words);
    comparing = new Comparing(root, language);
    comparing.adopt({ theme: "auto", ...given });
    comparing.show(shown);
  };
  begin(payload, options);
  return {
    update: (next, given = {}) => {
      if (next.one.language !== language) {
        comparing.destroy();
        begin(next, given);
        return;
      }
      comparing.adopt({ theme: "auto", ...given });
      comparing.show(next);
    },
    destroy: () => comparing.destroy(),
  };
}
