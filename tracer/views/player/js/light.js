/** Light: one tensor everywhere it stands, while it is pointed at or held. */

export class Light {
  /** `draw` is called after a change of what is lit. */
  constructor(draw) {
    this.draw = draw;
    this.lit = new Set();
    this.held = null;
  }

  /** Nothing is lit or held any more; nothing is drawn. */
  reset() {
    this.lit = new Set();
    this.held = null;
  }

  /** Light the tensors with these ids; null for those that are held. */
  show(ids) {
    const next = new Set(ids ?? this.held ?? []);
    if (next.size === this.lit.size && [...next].every((id) => this.lit.has(id))) return;
    this.lit = next;
    this.draw();
  }

  hold(ids) {
    this.held = ids;
    this.show(ids);
  }

  holds(ids) {
    return this.held !== null && ids.some((id) => this.held.includes(id));
  }

  /** Make `element` light up with the tensors `ids`, and the tensors with it. */
  tie(element, ids) {
    element.dataset.note = ids[0];
    element.addEventListener("pointerenter", () => this.show(ids));
    element.addEventListener("pointerleave", () => this.show(null));
    element.addEventListener("focus", () => this.show(ids));
    element.addEventListener("blur", () => this.show(null));
    this.apply(element);
  }

  apply(element) {
    const { note } = element.dataset;
    element.classList.toggle("lit", note !== undefined && this.lit.has(Number(note)));
  }
}
