/** It moves: a stage over the heatmaps that shows how a step makes its result, cell by cell, on the
 * run's own numbers. */

import { ruleOf } from "./cells.js";
import { expression, operands } from "./detail.js";
import { ICONS, el, icon } from "./dom.js";
import { Drawing, coloursOf } from "./scene-drawing.js";
import { frameAt, sceneModel } from "./scene-model.js";
import { frameSaid, gridSaid, kindSaid, sumText } from "./scene-words.js";
import { clamp, clip, shapeText } from "./text.js";
import { say } from "./words.js";

const FLIGHT_MILLISECONDS = 900;
const PAUSE_MILLISECONDS = 700;
const NARROW = 600;

/** The steps that have a scene. */
export const scenesOf = (model) => model.tops.filter((node) => isScene(model, node));

function isScene(model, node) {
  return node.kind === "step" && node.error === null && ruleOf(model, node) !== null;
}

/** The step whose scene is shown at an item: its own, or the last of what it stands for. */
export function sceneStep(model, item) {
  if (!item) return null;
  if (isScene(model, item)) return item;
  if (item.kind === "step") return null;
  const within = scenesOf(model).filter(({ at }) => at >= item.at && at <= (item.end ?? item.at));
  return within.at(item.kind === "line" ? -1 : 0) ?? null;
}

export class SceneShow {
  /** Begins where `player` is, and brings it along when it ends. */
  constructor(player) {
    const { stage, model, walk, transport, address } = player;
    Object.assign(this, { player, stage, model });
    transport.play(false);
    address.write({ scene: "1" });
    this.kind = "scene";
    this.name = say("How it works");
    this.numbers = player.numbers;
    this.steps = scenesOf(model);
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.isPlaying = false;
    this.listening = new AbortController();
    window.addEventListener("resize", () => this.take(), { signal: this.listening.signal });
    this.node = sceneStep(model, walk.item) ?? this.steps[0];
    stage.open(this);
    this.begin(this.node);
  }

  onLeft() {
    this.play(false);
    cancelAnimationFrame(this.flying);
    this.listening.abort();
    this.player.address.write({ scene: null });
    if (this.node !== this.player.walk.item && this.steps.includes(this.node)) this.player.act.goto(this.node.path);
  }

  // --- A step ---

  begin(node) {
    this.node = node;
    this.at = 0;
    this.share = 1;
    const scene = this.player.sceneOf(node);
    const { inputs, outputs } = operands(scene);
    this.names = { inputs: inputs.map(({ name }) => clip(name, 60)), outputs: outputs.map(({ name }) => clip(name, 60)) };
    this.labels = { inputs: inputs.map(({ labels }) => labels), outputs: outputs.map(({ labels }) => labels) };
    this.canvas = el("canvas", { class: "scene-canvas", role: "img" });
    this.drawing = new Drawing(this.canvas);
    this.said = el("div", { class: "scene-said", "aria-live": "polite" });
    this.where = el("ul", { class: "scene-where" });
    this.count = el("span", { class: "place-of" });
    this.room = el("div", { class: "scene-room" }, this.canvas);
    this.controls = this.bar();
    this.stage.draw(
      this.head(),
      el("div", { class: "scene-top" }, expression(node), el("p", { class: "scene-kind" }, this.kindText())),
      this.room,
      this.controls,
      this.said,
      this.where,
    );
    this.take();
    this.controls.querySelector(".main").focus();
  }

  kindText() {
    const rule = ruleOf(this.model, this.node);
    return kindSaid({ kind: rule.scene, becomes: rule.becomes });
  }

  /** Take the room that there is. */
  take() {
    const side = this.stage.node.clientWidth < NARROW ? 6 : 8;
    const { inputs, outputs } = this.node;
    this.scene = sceneModel(ruleOf(this.model, this.node), inputs, outputs, this.numbers, side);
    this.at = clamp(this.at, 0, Math.max((this.scene?.frames.length ?? 1) - 1, 0));
    this.show();
  }

  head() {
    const leave = { type: "button", class: "leave", "aria-label": say("leave"), title: `${say("leave")} (Esc)`, onclick: () => this.stage.close() };
    return el("header", { class: "stage-head" }, el("h2", {}, this.name), el("span", { class: "score" }), el("button", leave, "×"));
  }

  bar() {
    const control = (name, drawing, act, main = "") =>
      el("button", { type: "button", class: `control ${main}`, "aria-label": name, title: name, onclick: act }, drawing);
    this.playButton = control(say("play (Space)"), icon(ICONS.play), () => this.play(!this.isPlaying), "main");
    const other = (step, name, drawing) => {
      const button = control(name, drawing, () => this.goStep(step));
      button.disabled = this.stepFrom(step) === null;
      return button;
    };
    return el(
      "div",
      { class: "scene-controls", role: "group", "aria-label": say("transport") },
      other(-1, say("the step before (PageUp)"), icon(ICONS.first)),
      control(say("the cell before (←)"), icon(ICONS.previous), () => this.go(this.at - 1)),
      this.playButton,
      control(say("the next cell (→)"), icon(ICONS.next), () => this.go(this.at + 1, true)),
      other(1, say("the next step (PageDown)"), icon(ICONS.last)),
      this.count,
    );
  }

  // --- What the reader does ---

  onKey({ key, target }) {
    if (target.matches("button") && (key === "Enter" || key === " ") && target !== this.playButton) return false;
    if (key === "ArrowRight" || key === "ArrowDown") this.go(this.at + (key === "ArrowDown" ? this.columns : 1), true);
    else if (key === "ArrowLeft" || key === "ArrowUp") this.go(this.at - (key === "ArrowUp" ? this.columns : 1));
    else if (key === " " || (key === "Enter" && target === this.playButton)) this.play(!this.isPlaying);
    else if (key === "Home") this.go(0);
    else if (key === "End") this.go(Infinity);
    else if (key === "PageDown") this.goStep(1);
    else if (key === "PageUp") this.goStep(-1);
    else return false;
    return true;
  }

  get columns() {
    return this.scene?.results[0].counts[1] ?? 1;
  }

  go(at, isForward = false) {
    this.play(false);
    this.move(at, isForward);
  }

  stepFrom(by) {
    const index = this.steps.indexOf(this.node);
    if (index >= 0) return this.steps[index + by] ?? null;
    const near = by > 0 ? this.steps.find(({ at }) => at > this.node.at) : this.steps.findLast(({ at }) => at < this.node.at);
    return near ?? null;
  }

  goStep(by) {
    const next = this.stepFrom(by);
    if (!next) return;
    this.play(false);
    this.begin(next);
  }

  play(isPlaying) {
    clearTimeout(this.resting);
    this.isPlaying = isPlaying;
    this.playButton?.replaceChildren(icon(isPlaying ? ICONS.pause : ICONS.play));
    const name = isPlaying ? say("pause (Space)") : say("play (Space)");
    this.playButton?.setAttribute("aria-label", name);
    this.playButton?.setAttribute("title", name);
    // While it plays a screen reader would never come to an end.
    this.said?.setAttribute("aria-live", isPlaying ? "off" : "polite");
    if (isPlaying) this.onward();
  }

  onward() {
    if (!this.isPlaying || !this.scene) return;
    const last = this.scene.frames.length - 1;
    this.move(this.at >= last ? 0 : this.at + 1, true, () => {
      if (this.at >= last) this.play(false);
      else this.resting = setTimeout(() => this.onward(), PAUSE_MILLISECONDS);
    });
  }

  /** To a frame, its cells on their way where things may move; then `done`. */
  move(at, isForward, done = () => {}) {
    if (!this.scene) return;
    cancelAnimationFrame(this.flying);
    this.at = clamp(at, 0, this.scene.frames.length - 1);
    if (!isForward || this.still.matches) {
      this.share = 1;
      this.show();
      if (this.still.matches && this.isPlaying) this.resting = setTimeout(done, FLIGHT_MILLISECONDS);
      else done();
      return;
    }
    this.share = 0;
    this.show();
    let begun = null;
    const fly = (now) => {
      begun ??= now;
      this.share = clamp((now - begun) / FLIGHT_MILLISECONDS, 0, 1);
      this.paint();
      if (this.share < 1) this.flying = requestAnimationFrame(fly);
      else done();
    };
    this.flying = requestAnimationFrame(fly);
  }

  // --- Drawing ---

  show() {
    if (!this.scene) {
      this.said.replaceChildren(el("p", {}, say("There is nothing to show of this step: its tensors have no cells.")));
      this.room.hidden = true;
      return;
    }
    this.frame = frameAt(this.scene, this.at);
    const { scene, frame, names, labels } = this;
    const words = frameSaid(scene, frame, names);
    const sum = sumText(frame.sum);
    this.said.replaceChildren(...words.map((text) => el("p", {}, text)), sum ? el("p", { class: "scene-sum", translate: "no" }, sum) : "");
    this.count.textContent = say("cell {at} of {all}", { at: this.at + 1, all: scene.frames.length });
    const rows = [
      ...frame.operands.map((grid) => [names.inputs[grid.operand], grid, labels.inputs[grid.operand]]),
      ...frame.results.map((grid, number) => [names.outputs[number], grid, labels.outputs[number]]),
    ].map(([name, grid, own]) => el("li", {}, el("code", { translate: "no" }, `${name} ${shapeText(grid.note)}`), " ", gridSaid(grid, own)));
    this.where.replaceChildren(...rows, scene.left > 0 ? el("li", {}, say("and {rest} more", { rest: scene.left })) : "");
    this.canvas.setAttribute("aria-label", [this.kindText(), ...words, sum].filter(Boolean).join(" "));
    this.paint(true);
  }

  paint(isNew = false) {
    if (isNew) {
      const height = Math.max(this.stage.node.clientHeight - 330, 240);
      this.drawing.fit(this.frame, this.room.clientWidth, height, coloursOf(this.room));
    }
    this.drawing.draw(this.frame, this.names, this.share, this.scene.kind === "order");
  }
}
