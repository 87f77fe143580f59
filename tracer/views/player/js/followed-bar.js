/** The bar over the pictures that says which cell is followed, and leads to where it comes from and
 * goes to. */

import { el } from "./dom.js";
import { nameOf } from "./tensors.js";
import { clip } from "./text.js";
import { say } from "./words.js";

const MOST_ENDS = 3;

/** `x[0, :, 4–5, 7]`: an index or several along every dimension. */
export function cellText(name, { shape, boxes }) {
  const [box] = boxes;
  const parts = shape.map((size, axis) => {
    const [first, last] = [box[axis].indexOf(1), box[axis].lastIndexOf(1)];
    if (size > 1 && first === 0 && last === size - 1) return ":";
    return first === last ? String(first) : `${first}–${last}`;
  });
  return parts.length ? `${clip(name, 40)}[${parts.join(", ")}]` : clip(name, 40);
}

export class FollowedBar {
  /** The reader asks by `act` to `goto` a step and to let the cell go. */
  constructor(act) {
    this.act = act;
    this.node = el("div", { class: "followed", role: "group", "aria-label": say("the followed cell"), hidden: true });
  }

  draw(followed) {
    this.node.hidden = !followed;
    if (!followed) {
      this.node.replaceChildren();
      return;
    }
    const { model, note, set, back, onward } = followed;
    const words = el("p", { role: "status" }, say("Followed:"), " ", el("code", { translate: "no" }, cellText(nameOf(model, note), set)));
    const known = (ids, map) => ids.filter((id) => map.has(id) && id !== note.id).slice(0, MOST_ENDS).map((id) => model.notes.get(id));
    const short = (each) => clip(nameOf(model, each), 16);
    const begins = known(model.trace.inputs, back).map((each) =>
      this.leap(`← ${short(each)}`, say("its part of {name}", { name: short(each) }), usersOf(model, each)[0]),
    );
    const ends = known(model.trace.outputs, onward).map((each) =>
      this.leap(`${short(each)} →`, say("what it reaches of {name}", { name: short(each) }), model.makers.get(each.id)),
    );
    const own = this.leap(short(note), say("the cell itself"), model.makers.get(note.id) ?? usersOf(model, note)[0]);
    const free = this.button("×", say("let the cell go (c)"), () => this.act.follow(null));
    this.node.replaceChildren(words, ...[...begins, own, ...ends, free].filter(Boolean));
  }

  leap(words, name, node) {
    return node ? this.button(words, name, () => this.act.goto(node.path)) : null;
  }

  button(words, name, onclick) {
    return el("button", { type: "button", class: "leap", "aria-label": name, title: name, onclick }, words);
  }
}

const usersOf = ({ tops }, note) => tops.filter(({ inputs }) => inputs.includes(note));
