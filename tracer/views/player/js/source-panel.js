/** The panel of the source: the function of the current step, and what is pointed at in it. */

import { el } from "./dom.js";
import { LIMIT } from "./limits.js";
import { SourceView } from "./source.js";
import { clip } from "./text.js";
import { say } from "./words.js";

export class SourcePanel {
  /** It asks by `act`: `goto` a path, `toggle` a light, `choose` an item that was clicked. */
  constructor(light, act, signal) {
    Object.assign(this, { light, act });
    this.views = new Map();
    this.view = null;
    const named = { class: "source", "aria-label": say("source"), tabindex: "0" };
    this.node = el("section", named);
    const on = (type, react) => this.node.addEventListener(type, react, { signal });
    on("scroll", () => {
      if (!this.view) return;
      this.view.scrolled = this.node.scrollTop;
      this.isFollowing = this.view.isInSight();
    });
    // A panel that gets lower or narrower loses no line that was in sight.
    this.isFollowing = true;
    this.sized = new ResizeObserver(() => this.isFollowing && this.view?.reveal());
    this.sized.observe(this.node);
    signal.addEventListener("abort", () => this.sized.disconnect());
    on("click", (event) => this.onClick(event));
    on("pointerover", (event) => {
      const ids = this.named(event.target);
      if (ids.length) light.show(ids);
    });
    on("pointerout", (event) => {
      if (event.target.closest?.(".name")) light.show(null);
    });
  }

  forget() {
    for (const view of this.views.values()) view.near.disconnect();
    this.views = new Map();
    this.view = null;
  }

  draw({ item, model, face }) {
    const { source } = item;
    if (!source) {
      this.view = null;
      const text = item.place.expression || item.place.function;
      this.node.replaceChildren(
        el("p", { class: "cut" }, say("The source of this step was not recorded.")),
        text ? el("pre", {}, clip(text, 2_000)) : "",
      );
      return;
    }
    let view = this.views.get(source);
    if (!view) {
      if (this.views.size >= LIMIT.panels) this.forget();
      const { node: panel, light, act } = this;
      view = new SourceView(source, model, { panel, light, goto: act.goto });
      this.views.set(source, view);
    }
    if (this.view !== view) {
      this.node.replaceChildren(view.node);
      this.view = view;
      view.isBack = true;
    }
    const frame = model.frames.get(`${item.place.source}/${item.owner}`) ?? null;
    view.show(item, frame, face);
  }

  drawLight() {
    this.view?.light(this.view.records.values());
  }

  reveal() {
    this.isFollowing = true;
    this.view?.reveal();
  }

  /** The ids of the tensors that the word under `target` stands for. */
  named(target) {
    const word = target.closest?.(".name");
    const line = word?.closest(".line");
    if (!line || !this.view) return [];
    const record = this.view.records.get(Number(line.dataset.line));
    const token = record?.tokens[Number(word.dataset.token)];
    return token ? this.view.resolve(record, token) : [];
  }

  onClick(event) {
    const line = event.target.closest?.(".line");
    if (!line || !this.view) return;
    const ids = this.named(event.target);
    if (ids.length) {
      this.act.toggle(ids);
      return;
    }
    const number = Number(line.dataset.line);
    const item = this.view.itemAt(number, this.columnAt(event, this.view.records.get(number)));
    if (item) this.act.choose(item);
  }

  /** The column of the source under the pointer, or one beyond the line. */
  columnAt(event, record) {
    const range = document.caretPositionFromPoint?.(event.clientX, event.clientY, {
      shadowRoots: [this.node.getRootNode()].filter((node) => node instanceof ShadowRoot),
    });
    const node = range?.offsetNode;
    if (!node || !record.code.contains(node) || record.shape?.contains(node)) return Infinity;
    const before = document.createRange();
    before.setStart(record.code, 0);
    before.setEnd(node, range.offset);
    return Math.min(this.view.indent, record.text.length) + before.toString().length;
  }
}
