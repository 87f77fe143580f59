/** The transport: first, previous, play, next, last, the slider and the speed. */

import { ICONS, el, icon } from "./dom.js";
import { isCard } from "./story.js";
import { counted, say } from "./words.js";

const SPEEDS = [0.5, 1, 2, 4, 8];
const PLAY_MILLISECONDS = 1_400;

function control(drawing, name, key, act) {
  const title = `${name} (${key})`;
  const attributes = { type: "button", class: "control", "aria-label": name, title, onclick: act };
  return el("button", attributes, icon(drawing));
}

export class Transport {
  /** It shows the place in `walk` and asks for another by `act`: `go`, `stepBy`, `nextWarning`.
   * `chapters` is the bar of chapters, which stands over its own controls. */
  constructor(walk, act, signal, chapters) {
    Object.assign(this, { walk, act });
    this.playing = false;
    this.ticking = null;
    this.speed = 1;
    this.first = control(ICONS.first, say("first"), "Home", () => act.go(0));
    this.previous = control(ICONS.previous, say("previous"), "←", () => act.go(walk.index - 1));
    this.playButton = control(ICONS.play, say("play"), say("space"), () => this.play(!this.playing));
    this.next = control(ICONS.next, say("next"), "→", () => act.go(walk.index + 1));
    this.last = control(ICONS.last, say("last"), "End", () => act.go(Infinity));
    this.slider = el("input", {
      type: "range",
      class: "slider",
      min: "0",
      value: "0",
      "aria-label": say("position"),
    });
    this.count = el("span", { class: "count" });
    this.warned = el("button", {
      type: "button",
      class: "warned",
      hidden: true,
      onclick: () => act.nextWarning(),
    });
    this.units = [say("operation"), say("line")].map((text, index) =>
      el("button", { type: "button", onclick: () => act.stepBy(index === 1) }, text),
    );
    this.drawUnits();
    this.speeds = el(
      "select",
      { class: "speed", "aria-label": say("speed"), title: say("speed") },
      SPEEDS.map((speed) =>
        el("option", { value: String(speed), selected: speed === 1 }, `${speed}×`),
      ),
    );
    this.node = this.bar(chapters);
    this.listen(signal);
  }

  bar(chapters) {
    return el(
      "footer",
      { class: "transport", role: "group", "aria-label": say("transport") },
      chapters,
      el("div", { class: "controls" }, this.parts()),
    );
  }

  parts() {
    const { first, previous, playButton, next, last } = this;
    return [
      el("div", { class: "buttons" }, first, previous, playButton, next, last),
      this.slider,
      this.count,
      this.warned,
      el("div", { class: "units", role: "group", "aria-label": say("step by") }, this.units),
      this.speeds,
    ];
  }

  listen(signal) {
    const on = (target, type, act) => target.addEventListener(type, act, { signal });
    on(this.slider, "input", () => this.act.go(Number(this.slider.value)));
    // A speed chosen by hand gives the keyboard back; one chosen by keys keeps it.
    let byHand = false;
    on(this.speeds, "pointerdown", () => (byHand = true));
    on(this.speeds, "keydown", () => (byHand = false));
    on(this.speeds, "change", () => {
      this.speed = Number(this.speeds.value);
      if (byHand) this.speeds.blur();
    });
  }

  /** Go on by itself, from the beginning where the end is reached; or rest. */
  play(on) {
    const { walk, act } = this;
    const isAtEnd = () => walk.index >= walk.list.length - 1;
    if (on && isAtEnd()) act.go(0);
    this.playing = on;
    clearTimeout(this.ticking);
    const wait = () => {
      this.ticking = setTimeout(tick, PLAY_MILLISECONDS / this.speed);
    };
    const tick = () => {
      act.go(walk.index + 1);
      if (isAtEnd()) this.play(false);
      else wait();
    };
    if (on) wait();
    const name = on ? say("pause") : say("play");
    this.playButton.replaceChildren(icon(on ? ICONS.pause : ICONS.play));
    this.playButton.setAttribute("aria-label", name);
    this.playButton.title = `${name} (${say("space")})`;
  }

  draw() {
    const { walk } = this;
    const end = walk.list.length - 1;
    this.slider.max = String(Math.max(0, end));
    this.slider.value = String(walk.index);
    this.slider.setAttribute("aria-valuetext", walk.position);
    const unit = isCard(walk.item) ? "" : el("span", { class: "unit" }, `${walk.unit} `);
    this.count.replaceChildren(unit, walk.place);
    this.first.disabled = this.previous.disabled = walk.index === 0;
    this.last.disabled = this.next.disabled = walk.index >= end;
    this.drawUnits();
  }

  drawUnits() {
    this.units.forEach((unit, index) => {
      unit.setAttribute("aria-pressed", String((index === 1) === this.walk.byLine));
    });
  }

  /** How many suspicious steps the run has. */
  drawWarned(warnings) {
    const count = [...warnings.values()].flat().length;
    const words = counted(count, "{n} warning: go to the next", "{n} warnings: go to the next");
    this.warned.hidden = count === 0;
    this.warned.title = `${words} (w)`;
    this.warned.setAttribute("aria-label", words);
    this.warned.replaceChildren(icon(ICONS.warned), count.toLocaleString("en"));
  }

  /** For a run in which there is nowhere to go. */
  drawEmpty() {
    this.count.textContent = say("no operations");
    for (const each of this.controls("")) each.disabled = true;
  }

  enable() {
    for (const each of this.controls(":disabled")) each.disabled = false;
  }

  controls(state) {
    return this.node.querySelectorAll(`:is(button, input, select)${state}`);
  }
}
