/**
 * The player of a trace: source, shapes, notes, heatmaps and transport, drawn by the browser alone,
 * in the walkthrough page, in exported HTML and in notebooks.  A trace may come from anyone: its
 * text enters the document as text nodes only, and every number of it is clamped before it is used.
 *
 * Data flow one way.  State is the model of a trace, the walk through it, what is lit and the face
 * of the sizes; `act` changes it and draws; drawing reads a `scene` and changes the document alone.
 */

import { Address } from "./address.js";
import { ChapterBar, chapterFrom } from "./chapters.js";
import { background, happening, operands } from "./detail.js";
import { el } from "./dom.js";
import { Figures } from "./figure.js";
import { GraphPanel } from "./graph.js";
import { Header } from "./header.js";
import { Pictures } from "./heatmap.js";
import { helpForm } from "./help.js";
import { Keyboard } from "./keyboard.js";
import { Followed } from "./lineage.js";
import { Light } from "./light.js";
import { FACES } from "./limits.js";
import { nextWarning, stepsOf } from "./lines.js";
import { Numbers } from "./numbers.js";
import { Predict, questionsOf } from "./predict.js";
import { Present } from "./present.js";
import { aboutSizes, areSaid, demandList, legend } from "./sizes.js";
import { SourcePanel } from "./source-panel.js";
import { SceneShow, sceneStep, scenesOf } from "./scene.js";
import { Stage } from "./stage.js";
import { announce, spokenWords } from "./telling.js";
import { entries, flow, nameOf } from "./tensors.js";
import { themeOf } from "./theme.js";
import { isSameRun, readTrace, saysTheSame } from "./trace.js";
import { Transport } from "./transport.js";
import { Walk, find, hasSteps, isBeyond } from "./walk.js";
import { say, speak } from "./words.js";

class Player {
  constructor(root, options) {
    Object.assign(this, { options, model: null, pictures: null, followed: null, sizes: {} });
    this.walk = new Walk();
    this.light = new Light(() => this.drawLight());
    this.address = new Address(Boolean(options.url));
    const asked = this.address.asked("dims");
    this.face = FACES.includes(asked) ? asked : "numbers";
    this.listening = new AbortController();
    this.act = this.acts();
    this.build(root);
    this.listen();
    this.adopt(this.options);
  }

  /** All that a reader can do. */
  acts() {
    const { walk } = this;
    const walked = (isElsewhere) => isElsewhere && this.draw();
    return {
      go: (index) => walked(walk.go(index)),
      goChapter: (direction) => this.goToChapter(direction),
      goLine: (direction) => walked(walk.goLine(direction)),
      stepBy: (isLine) => walked(walk.stepBy(isLine)),
      enter: () => walked(walk.enter()),
      leave: () => walked(walk.leave()),
      reach: (item) => walked(walk.reach(item)),
      goto: (path) => walked(walk.goto(path)),
      choose: (item) => this.choose(item),
      visit: (note, maker) => this.visit(note, maker),
      toggle: (ids) => this.hold(this.light.holds(ids) ? null : ids),
      letGo: () => this.hold(null),
      nextWarning: () => this.goToNextWarning(),
      turn: (face) => this.turn(face),
      graph: () => this.graph.turn(),
      help: () => this.help(),
      predict: () => new Predict(this),
      present: () => new Present(this),
      scene: () => new SceneShow(this),
      follow: (note, set) => this.follow(note, set),
      say: (...words) => this.spoken.replaceChildren(...words),
    };
  }

  /** All that drawing reads. */
  get scene() {
    const { walk } = this;
    return this.sceneOf(walk.item, walk.item && walk.operation);
  }

  /** The same at any item. */
  sceneOf(item, operation = item) {
    const { model, walk, face, pictures, light, act, options, followed } = this;
    const fix = options.onFix ? (number) => this.options.onFix(number) : null;
    const { lesson } = options;
    return { model, item, operation, index: walk.index, face, pictures, light, act, fix, lesson, followed };
  }

  // --- The page's parts ---

  build(root) {
    const { act, light, walk } = this;
    const { signal } = this.listening;
    this.header = new Header(act);
    this.source = new SourcePanel(light, act, signal);
    this.what = el("div", { class: "what" });
    this.why = el("div", { class: "why" });
    const named = { class: "detail", "aria-label": say("operation") };
    this.detail = el("section", named, this.what, this.why);
    this.figures = new Figures([light, light], [say("before"), say("after")], act);
    this.graph = new GraphPanel(light, act, signal);
    this.chapters = new ChapterBar(act);
    this.transport = new Transport(walk, act, signal, this.chapters.node);
    this.spoken = el("div", { class: "spoken", "aria-live": "polite" });
    this.dialog = el("dialog", { class: "dialog", "aria-label": say("help") });
    this.layout = el(
      "div",
      { class: "layout" },
      this.header.node,
      this.source.node,
      this.graph.node,
      this.detail,
      this.figures.node,
      this.transport.node,
    );
    this.stage = new Stage(signal);
    const { layout, spoken, dialog, stage } = this;
    this.node = el("div", { class: "shapewalk", lang: this.options.language }, layout, spoken, dialog, stage.node);
    root.append(this.node);
  }

  listen() {
    const { signal } = this.listening;
    const on = (target, type, act) => target.addEventListener(type, act, { signal });
    this.keyboard = new Keyboard({
      place: this.layout,
      slider: this.transport.slider,
      isResting: () => !this.walk.list.length || this.dialog.open || this.stage.isOpen,
      actions: () => this.keys(),
      signal,
    });
    on(window, "shapewalk:goto", ({ detail }) => {
      const isOther = detail?.trace && detail.trace !== this.model?.trace.name;
      if (!isOther && detail?.path !== undefined) this.act.goto(String(detail.path));
    });
    on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.adopt({}));
    on(this.node, "pointerdown", () => {
      this.keyboard.claim();
      // In a frame of a notebook the keys come here only once the frame has the focus.
      if (!document.hasFocus()) window.focus();
    });
    on(this.node, "focusin", () => this.keyboard.claim());
    // A click on the transport must not take the keyboard away from stepping.
    for (const bar of [this.transport.node, this.header.faces]) {
      for (const type of ["pointerdown", "mousedown"]) {
        on(bar, type, (event) => {
          if (event.target.closest("button")) event.preventDefault();
        });
      }
    }
    on(this.dialog, "click", (event) => event.target === this.dialog && this.dialog.close());
  }

  /** What each key does now. */
  keys() {
    const { act, walk, transport, model, graph } = this;
    return {
      ArrowRight: () => act.go(walk.index + 1),
      ArrowLeft: () => act.go(walk.index - 1),
      ArrowDown: () => act.goLine(1),
      ArrowUp: () => act.goLine(-1),
      PageDown: model.chapters.length && (() => act.goChapter(1)),
      PageUp: model.chapters.length && (() => act.goChapter(-1)),
      Home: () => act.go(0),
      End: () => act.go(Infinity),
      Enter: act.enter,
      Escape: act.leave,
      " ": () => transport.play(!transport.playing),
      "?": act.help,
      f: model.hasFormulas && (() => act.turn(FACES[(FACES.indexOf(this.face) + 1) % 3])),
      w: model.warnings.size && act.nextWarning,
      p: this.questions && act.predict,
      v: act.present,
      m: this.hasScenes && act.scene,
      c: this.followed && (() => act.follow(null)),
      ...graph.keys(),
    };
  }

  /** Take theme and height from `options`. */
  adopt(options) {
    Object.assign(this.options, options);
    const { height, theme } = this.options;
    if (height) {
      const isNumber = Number.isFinite(height);
      this.node.style.setProperty("--height", isNumber ? `${height}px` : String(height));
    }
    this.node.dataset.theme = themeOf(this.node, theme);
  }

  destroy() {
    this.transport.play(false);
    this.address.stop();
    this.listening.abort();
    this.source.forget();
    this.node.remove();
    this.keyboard.release();
  }

  // --- The trace ---

  /** Show a payload; the position survives if it is the same trace or the same module again. */
  show(payload) {
    const { model: known, walk, source } = this;
    const isSame = known !== null && isSameRun(known.payload, payload);
    if (isSame && saysTheSame(known.payload, payload)) return;
    const shown = this.stage.show?.kind;
    if (shown && !isSame) this.stage.close();
    const before = known?.trace.name === payload.trace.name ? (walk.item?.path ?? null) : null;
    const wasFailing = walk.item !== null && walk.operation === known.failing;
    const scrolled = source.node.scrollTop;
    this.take(readTrace(payload), before !== null && known.nodes.length > 0);
    if (!isSame) {
      this.follow(null);
      this.light.reset();
      this.header.drawPin(null);
    }
    if (this.model.nodes.length === 0 && !this.model.failing) {
      this.showEmpty();
      return;
    }
    this.transport.enable();
    if (!isSame) this.transport.play(false);
    const start = this.startAt(before, wasFailing && !isSame);
    if (start) this.walk.reach(start);
    else {
      this.walk.rebuild();
      this.walk.go(0);
    }
    this.draw();
    const asked = known ? !isSame && before !== null && shown : this.address.askedShow(payload, this.hasScenes);
    if (asked) this.act[asked]();
    if (isSame && source.node.scrollTop !== scrolled) {
      source.node.scrollTop = scrolled;
      source.reveal();
    }
  }

  /** Take over a model, and draw all that is the same at each of its steps. */
  take(model, isSameRoad) {
    const { header, transport } = this;
    this.model = model;
    this.pictures = new Pictures();
    this.numbers = new Numbers();
    this.questions = questionsOf(model).length;
    this.hasScenes = scenesOf(model).length > 0;
    this.sizes = { legend: legend(model), demands: demandList(model, this.act) };
    this.walk.begin(model, isSameRoad);
    this.source.forget();
    // A diagnosis is read: its column is wide at every step, lest it jump between them.
    this.layout.classList.toggle("diagnosed", Boolean(model.trace.failure?.rule));
    this.graph.begin(model);
    header.begin(model, this.questions);
    header.drawFaces(model, this.face);
    transport.drawWarned(model.warnings);
    this.chapters.begin(model);
    const goto = (path) => {
      this.dialog.close();
      this.act.goto(path);
    };
    this.dialog.replaceChildren(helpForm(model, demandList(model, { goto }), this.questions, this.hasScenes));
  }

  /** The item to begin at: where the reader was before or asks to be, else what failed, if any. */
  startAt(before, isFailedBefore) {
    const { model } = this;
    const asked = before ?? this.address.askedStep();
    // Who looks at a failure and runs again wants to see the next one.
    const isRunAgain = isFailedBefore && before !== null;
    return (
      (isRunAgain && model.failing) ||
      (asked !== null && find(model, asked)) ||
      ((isRunAgain || isBeyond(model, asked)) && model.tops.at(-1)) ||
      model.failing
    );
  }

  showEmpty() {
    const { model, scene } = this;
    this.walk.list = [];
    const known = (ids) => ids.map((id) => model.notes.get(id)).filter(Boolean);
    const inputs = entries(scene, known(model.trace.inputs));
    const outputs = entries(scene, known(model.trace.outputs));
    this.source.node.replaceChildren();
    this.header.drawEmpty(model);
    this.what.replaceChildren(
      el("p", { class: "summary" }, say("This run made no tensors: there is nothing to step through.")),
      flow(scene, inputs, outputs),
    );
    this.why.replaceChildren();
    this.figures.show(scene, inputs, outputs, ["", ""]);
    this.transport.drawEmpty();
  }

  // --- What the reader does ---

  /** Go to an item of the source; a call whose steps are inside shows as one row. */
  choose(item) {
    if (item.kind !== "call") this.act.go(this.walk.standIn(item).position);
    else if (hasSteps(item)) this.act.reach(item);
  }

  /** Go to the step that made the tensor and keep it lit; where one is already, hold or let go. */
  visit(note, maker) {
    const { act, walk } = this;
    const stand = maker && walk.standIn(maker);
    if (!stand || stand.position === walk.index) {
      act.toggle([note.id]);
      return;
    }
    this.hold([note.id]);
    act.go(stand.position);
  }

  hold(ids) {
    this.light.hold(ids);
    const note = ids && this.model.notes.get(ids[0]);
    this.header.drawPin(note ? nameOf(this.model, note) : null);
  }

  /** Follow some cells of a tensor through the run; null lets go. */
  follow(note, set = null) {
    this.followed = note && !set.isEmpty ? new Followed(this.model, this.numbers, note, set) : null;
    this.figures.drawFollowed(this.followed);
  }

  /** To where a chapter begins; before the first and behind the last are the ends of the list. */
  goToChapter(direction) {
    const { act, model, walk } = this;
    const target = chapterFrom(model, walk.item, direction);
    if (target) act.goto(target.path);
    else act.go(direction > 0 ? Infinity : 0);
  }

  goToNextWarning() {
    const { item, operation } = this.walk;
    const here = stepsOf(item).at(-1) ?? operation.at;
    const next = nextWarning(this.model, here);
    if (next !== undefined) this.act.goto(String(next));
  }

  help() {
    this.transport.play(false);
    this.dialog.showModal();
  }

  /** Write the sizes with another face, everywhere and from now on. */
  turn(face) {
    if (face === this.face) return;
    this.face = face;
    this.header.drawFaces(this.model, face);
    if (!this.walk.item) return;
    const { scrollTop } = this.detail;
    this.drawDetail(this.scene);
    this.source.draw(this.scene);
    this.graph.turnTo(face);
    this.detail.scrollTop = scrollTop;
    this.source.reveal();
    this.act.say(
      {
        numbers: say("Sizes as numbers."),
        formulas: say("Sizes as formulas."),
        both: say("Sizes as both."),
      }[face],
    );
    this.address.keep(this.walk.operation.path, face);
  }

  // --- Drawing ---

  draw() {
    const { scene } = this;
    this.header.draw(scene);
    this.drawDetail(scene);
    this.transport.draw();
    this.chapters.draw(scene.model, scene.item);
    this.source.draw(scene);
    this.graph.draw(scene);
    this.act.say(...spokenWords(scene, this.walk.position));
    const path = announce(scene);
    this.options.onStep?.(path, scene.operation.step ?? null);
    this.address.keep(scene.operation.path, this.face);
    // Last, because it has the page laid out: once a step, not once a panel.
    this.source.reveal();
    if (this.detail.scrollTop) this.detail.scrollTop = 0;
  }

  drawDetail(scene) {
    const shown = operands(scene);
    this.what.replaceChildren(...happening(scene, shown));
    const told = areSaid(this.model, stepsOf(scene.item)) ? { ...this.sizes, demands: [] } : this.sizes;
    const known = aboutSizes(told, this.face, this.walk.index === 0);
    this.why.replaceChildren(...background(scene), ...known);
    this.figures.offer(sceneStep(scene.model, scene.item) !== null);
    const isFailed = scene.item.error !== null;
    this.figures.show(scene, shown.inputs, shown.outputs, [
      say("It takes no tensor."),
      isFailed ? say("It failed: there is no result.") : say("It gives no tensor."),
    ]);
  }

  drawLight() {
    for (const element of this.layout.querySelectorAll("[data-note]")) this.light.apply(element);
    this.source.drawLight();
  }
}

/**
 * Mount a player in `root`.
 *
 * `options`: `url` keeps `?step=` and `dims=` in the address and starts there; `theme` is 'light',
 * 'dark' or 'auto'; `height` is a number of pixels or a CSS length; `onStep(path, step)` is told
 * every step; with `onFix(index)` each fix of a failure gets a button that asks to apply it.
 * `lesson(key)` is the address of another lesson; without it none is linked.
 * `update(payload, options)` shows another trace and keeps the place where it can.
 */
export function mount(root, payload, options = {}) {
  let player = null;
  const begin = (shown, given) => {
    const { language, words } = shown;
    speak(words);
    player = new Player(root, { ...given, language });
    player.show(shown);
  };
  begin(payload, { theme: "auto", ...options });
  return {
    goto: (path) => player.act.goto(String(path)),
    update: (next, changed = {}) => {
      if (next.language !== player.options.language) {
        // Whatever a player has said it says in the language that it was built in.
        const { path } = player.walk.item ? player.walk.operation : {};
        player.destroy();
        begin(next, { ...player.options, ...changed });
        if (path !== undefined) player.act.goto(path);
      } else {
        player.adopt(changed);
        player.show(next);
      }
    },
    destroy: () => player.destroy(),
  };
}
