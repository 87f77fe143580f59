/** Predict: the next shape is asked before it is shown. */

import { expression, sentences } from "./detail.js";
import { el } from "./dom.js";
import { exerciseOf, handIn, stepsAsked, teachersWords } from "./exercise.js";
import { coded } from "./markdown.js";
import { reasons, ruleNames, stepText, stepWorked, workedText } from "./prediction.js";
import { holds } from "./rounds.js";
import { Score } from "./score.js";
import { lettersAt, sizeOf } from "./sizes-written.js";
import { chapterTitle, given, resultName, taken, takenNames } from "./stage.js";
import { clip } from "./text.js";
import { counted, say } from "./words.js";

const MOST_DIMENSIONS = 12;
const WAY = "shapewalk-way-to-write";
const SHOWN_PATHS = 6;

/** The steps that are asked: those that do something to a shape, one round of each loop. */
export function questionsOf({ tops, rounds, payload }) {
  const rules = payload.rules ?? [];
  return tops.filter((node, index) => {
    const rule = rules[index];
    const isAsked = rule && !rule.plain && node.outputs[0] && node.error === null;
    return isAsked && !rounds.some((each) => holds(each, node));
  });
}

/** What a score is kept under: another module of the same name, and other sizes, are another run. */
function nameOfRun({ trace }, questions) {
  const text = questions.map(({ place, outputs }) => `${place.expression} ${outputs[0].shape}`).join("\n");
  let mark = 0;
  for (const letter of text) mark = (Math.imul(mark, 31) + letter.codePointAt(0)) >>> 0;
  return `${clip(trace.name, 80)} ${mark.toString(36)}`;
}

export class Predict {
  /** Begins where `player` is, and brings it along when it ends. */
  constructor(player) {
    const { stage, model, walk, transport, address } = player;
    Object.assign(this, { player, stage, model });
    transport.play(false);
    this.kind = "predict";
    const exercise = exerciseOf(model.payload.exercise ?? address.asked("exercise"));
    this.exercise = exercise;
    this.name = exercise?.title || say("Predict the next shape");
    this.questions = exercise ? stepsAsked(model, exercise) : questionsOf(model);
    this.score = new Score(`${nameOfRun(model, this.questions)} ${exercise?.mark ?? ""}`.trim());
    const next = exercise ? 0 : this.questions.findIndex((node) => node.at >= walk.operation.at);
    this.index = next < 0 ? 0 : next;
    this.fields = [];
    stage.open(this);
    this.ask();
  }

  get node() {
    return this.questions[this.index] ?? null;
  }

  onLeft() {
    if (this.node) this.player.act.goto(this.node.path);
  }

  // --- A question ---

  ask() {
    const { node, model } = this;
    if (!node) {
      this.end();
      return;
    }
    this.scene = this.player.sceneOf(node);
    const { shape } = node.outputs[0];
    this.question = {
      rule: model.payload.rules[Number(node.path)],
      shapes: node.inputs.map((note) => note.shape),
      names: takenNames(this.scene),
      result: shape,
    };
    this.letters = lettersAt(model, node);
    this.hints = 0;
    this.isDone = false;
    this.answers = [""];
    this.drawQuestion();
    this.fields[0]?.focus();
  }

  drawQuestion() {
    const { node, model, scene } = this;
    const name = resultName(scene);
    this.row = el("div", { class: "fields", role: "group", "aria-label": say("your prediction") });
    this.said = el("div", { class: "reasons", "aria-live": "polite" });
    this.buttons = el("div", { class: "answers" });
    const example = el("code", { translate: "no" }, this.example());
    this.way = el("p", { class: "way", id: WAY }, say("Numbers or formulas, such as"), " ", example);
    const asked = node.outputs.length > 1 ? say("{name}, the first of {n} results", { name, n: node.outputs.length }) : name;
    this.stage.draw(
      this.head(),
      el("p", { class: "where" }, chapterTitle(model, node)),
      expression(node),
      taken(scene),
      el(
        "div",
        { class: "asked" },
        el("span", { class: "tensor-name", translate: node.outputs.length > 1 ? null : "no" }, clip(asked, 80)),
        this.row,
      ),
      this.way,
      this.buttons,
      this.said,
      this.exercise && teachersWords(this.exercise.steps.get(node.path), model, this.score, node.path),
    );
    this.drawFields();
    this.drawButtons();
  }

  head() {
    const { asked, first } = this.score.counts;
    const at = Math.min(this.index + 1, this.questions.length);
    return el(
      "header",
      { class: "stage-head" },
      el("h2", {}, this.name),
      el("span", { class: "place-of" }, say("{at} of {all}", { at, all: this.questions.length })),
      el("span", { class: "score" }, asked ? say("{first} of {asked} at the first try", { first, asked }) : ""),
      this.button("×", () => this.stage.close(), { class: "leave", "aria-label": say("leave"), title: `${say("leave")} (Esc)` }),
    );
  }

  button(words, act, attributes = {}) {
    return el("button", { type: "button", onclick: act, ...attributes }, words);
  }

  drawFields() {
    const { answers } = this;
    this.fields = answers.map((text, axis) => {
      const field = el("input", {
        type: "text",
        value: text,
        inputmode: "text",
        autocomplete: "off",
        autocapitalize: "off",
        spellcheck: "false",
        "aria-label": say("dimension {axis}", { axis }),
        "aria-describedby": WAY,
      });
      field.addEventListener("input", () => this.onInput(axis, field));
      return field;
    });
    const sign = (text, name, act) => this.button(text, act, { class: "sign-button", "aria-label": name, title: name });
    this.row.replaceChildren(
      ...(this.fields.length ? this.fields : [el("span", { class: "cell plain" }, say("scalar"))]),
      sign("+", say("one dimension more"), () => this.resize(answers.length + 1)),
      sign("−", say("one dimension less"), () => this.resize(answers.length - 1)),
    );
  }

  /** A shape that is written at once, `2, 64, 14800`, goes into a field for each. */
  onInput(axis, field) {
    field.removeAttribute("aria-invalid");
    this.row.classList.remove("wrong");
    const parts = field.value.replace(/^\s*[([（]|[)\]）]\s*$/g, "").split(/[,，;、]\s*/);
    if (parts.length < 2) {
      this.answers[axis] = field.value;
      return;
    }
    const after = this.answers.slice(axis + 1);
    const isPart = parts.length === 2 && parts[1] === "" && after.length;
    this.answers = [...this.answers.slice(0, axis), ...(isPart ? parts.slice(0, 1) : parts), ...after].slice(0, MOST_DIMENSIONS);
    this.drawFields();
    this.fields[Math.min(axis + (isPart ? 1 : parts.length - 1), this.fields.length - 1)]?.focus();
  }

  /** How a size may be written, in letters of the run. */
  example() {
    const letters = [...this.letters].filter(([, size]) => size > 1).slice(-2);
    const [one, other] = letters;
    return other ? `${one[1] * other[1]}, ${one[0]}*${other[0]}` : "64, 8*8";
  }

  resize(length) {
    if (length < 0 || length > MOST_DIMENSIONS || this.isDone) return;
    this.answers = Array.from({ length }, (_, axis) => this.answers[axis] ?? "");
    this.drawFields();
    (this.fields.at(-1) ?? this.row.querySelector("button"))?.focus();
  }

  drawButtons() {
    const { isDone } = this;
    const key = (name) => el("kbd", {}, name);
    const all = this.question.rule.dims.length;
    this.buttons.replaceChildren(
      ...(isDone
        ? [this.button([say("Next"), key("Enter")], () => this.next(), { class: "main" })]
        : [
            this.button([say("Check"), key("Enter")], () => this.check(), { class: "main" }),
            this.button(this.hints ? say("Another hint") : say("Hint"), () => this.hint(), { disabled: this.hints > all }),
            this.button(say("Show"), () => this.reveal(true)),
            this.button(say("Skip"), () => this.next()),
          ]),
    );
  }

  // --- What the reader does ---

  onKey(event) {
    const { target, key } = event;
    const isField = target.matches(".fields input");
    if (key === "Enter" && (isField || target === this.stage.node)) {
      if (!this.node) return false;
      if (this.isDone) this.next();
      else this.check();
      return true;
    }
    const isEmpty = isField && target.value === "" && this.answers.length > 1;
    if (key === "Backspace" && isEmpty && !this.isDone) {
      const axis = this.fields.indexOf(target);
      this.answers.splice(axis, 1);
      this.drawFields();
      this.fields[Math.max(axis - 1, 0)].focus();
      return true;
    }
    return false;
  }

  check() {
    const sizes = this.answers.map((text) => sizeOf(text, this.letters));
    const unread = sizes.findIndex((size) => size === null);
    this.fields.forEach((field, axis) => this.markField(field, sizes[axis] === null));
    if (unread >= 0) {
      this.tell([this.unreadable(this.answers[unread])]);
      this.fields[unread].focus();
      return;
    }
    const found = reasons(this.question, sizes);
    const { path } = this.node;
    this.score.note(path, found.map(({ rule }) => rule));
    if (!found.length) {
      this.reveal(false);
      return;
    }
    const wrong = new Set(found.map(({ axis }) => axis));
    this.fields.forEach((field, axis) => this.markField(field, wrong.has(axis)));
    this.row.classList.toggle("wrong", wrong.has(null));
    this.tell(reasonNodes(found));
    this.fields[found[0].axis ?? 0]?.focus();
  }

  markField(field, isWrong) {
    if (isWrong) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }

  unreadable(text) {
    const known = [...this.letters.keys()].slice(0, 12).join(" ");
    if (!text.trim()) return el("p", {}, say("A dimension has no size yet."));
    const words = say("{text} is no size: write a number, or a formula in {letters}.", { text: clip(text, 40), letters: known || "1 2 3" });
    return el("p", {}, words);
  }

  /** First the step's rule, then one dimension after the other. */
  hint() {
    const { question } = this;
    const all = question.rule.dims.length;
    if (this.hints === 0) {
      this.tell([listedTexts(stepText(question))]);
    } else {
      const axis = this.hints - 1;
      if (this.answers.length !== all) this.answers = Array.from({ length: all }, (_, n) => this.answers[n] ?? "");
      this.answers[axis] = String(question.result[axis]);
      this.drawFields();
      this.tell([el("p", {}, coded(workedText(question, axis)))]);
      this.fields[Math.min(axis + 1, all - 1)]?.focus();
    }
    // Who is told a size has not predicted it.
    if (this.hints === 1) this.score.note(this.node.path, ["hint"]);
    this.hints += 1;
    this.drawButtons();
  }

  /** The result, and what made it; `isShown` where the reader gave up. */
  reveal(isShown) {
    const { question, scene, node } = this;
    if (isShown) this.score.note(node.path, [], true);
    this.isDone = true;
    this.row.parentNode.replaceWith(given(scene));
    this.way.remove();
    this.tell([
      el("p", { class: isShown ? "verdict" : "verdict right" }, isShown ? say("This is what comes out.") : say("Right.")),
      ...sentences(scene).slice(0, isShown ? 1 : 2),
      isShown ? listedTexts(stepWorked(question)) : "",
    ]);
    this.stage.room.firstChild.replaceWith(this.head());
    this.drawButtons();
    this.buttons.firstChild.focus();
  }

  tell(nodes) {
    this.said.replaceChildren(...nodes.filter(Boolean));
  }

  next() {
    this.index += 1;
    this.ask();
  }

  // --- The end ---

  end() {
    const { asked, first } = this.score.counts;
    const names = ruleNames();
    const { missed } = this.score;
    const rows = missed.filter(([rule]) => Object.hasOwn(names, rule)).map(([rule, times, paths]) =>
      el(
        "li",
        {},
        el("span", {}, names[rule]),
        el("span", { class: "often" }, ` · ${counted(times, "missed once", "missed {n} times")} `),
        paths.slice(0, SHOWN_PATHS).map((path) => this.again(path)),
      ),
    );
    const left = this.questions.length - asked;
    this.stage.draw(
      this.head(),
      el("p", { class: "verdict" }, say("{first} of {asked} shapes right at the first try.", { first, asked })),
      left > 0 ? el("p", {}, counted(left, "{n} shape was not asked.", "{n} shapes were not asked.")) : "",
      rows.length ? el("h3", {}, say("Rules that were missed")) : "",
      el("ul", { class: "missed" }, rows),
      this.exercise && handIn(this.exercise, this.questions, this.score),
      el(
        "div",
        { class: "answers" },
        this.button(say("Leave"), () => this.stage.close(), { class: "main" }),
        this.button(say("From the beginning"), () => {
          this.score.forget();
          this.index = 0;
          this.ask();
        }),
      ),
    );
    this.stage.room.querySelector(".main").focus();
  }

  /** A step to be asked again. */
  again(path) {
    const index = this.questions.findIndex((node) => node.path === path);
    if (index < 0) return "";
    const text = clip(this.questions[index].place.expression.replace(/\s+/g, " "), 40);
    const ask = () => {
      this.index = index;
      this.ask();
    };
    return this.button(el("code", { translate: "no" }, text || path), ask, { class: "link" });
  }
}

const listedTexts = (texts) => el("ul", { class: "listed" }, texts.map((text) => el("li", {}, coded(text))));

function reasonNodes(found) {
  const seen = new Set();
  return found.map(({ clue, text }) => {
    const isNew = clue && !seen.has(clue);
    seen.add(clue);
    return el("div", { class: "reason" }, isNew ? el("p", { class: "clue" }, coded(clue)) : "", el("p", {}, coded(text)));
  });
}
