/** Where the reader is: what is opened and folded, the list that follows, and the place in it. */

import { spoken } from "./address.js";
import { foldedAtFirst } from "./depth.js";
import { byLine } from "./lines.js";
import { holds } from "./rounds.js";
import { ENDING, OPENING, cardName, isCard } from "./story.js";
import { clamp } from "./text.js";
import { say } from "./words.js";

export const hasSteps = ({ callee }) => callee.stop > callee.start;

/** The call and those around it, innermost first. */
export function* callsAround(model, index) {
  for (let at = index; at !== null && at !== undefined; at = model.calls[at].callee.parent) {
    yield model.calls[at];
  }
}

/** Whether the path is one of a step behind the last. */
export function isBeyond({ tops }, path) {
  return path !== null && /^\d{1,9}$/.test(path) && Number(path) >= tops.length;
}

/** The item at `'12'`, `'12.3.0'`, `'c2'` (call 2 as one row), `'r5'` (the further rounds of the
 * loop that begins with step 5), `'failure'`, or a card, `'start'` or `'end'`; null if none. */
export function find({ tops, calls, failing, rounds, opening, ending }, path) {
  if (path === "failure") return failing;
  if (path === OPENING) return opening;
  if (path === ENDING) return ending;
  const loop = rounds.find((each) => each.path === path);
  if (loop) return loop;
  const call = /^c(\d{1,9})$/.exec(path);
  if (call) {
    const item = calls[Number(call[1])];
    return item && item.callee.parent !== null && hasSteps(item) ? item : null;
  }
  if (!/^\d{1,9}(\.\d{1,9}){0,50}$/.test(path)) return null;
  const [first, ...rest] = path.split(".").map(Number);
  let node = tops[first] ?? null;
  for (const index of rest) node = node?.children[index] ?? null;
  return node;
}

/**
 * `opened` steps, `closed` calls and `unrolled` loops, by path; `list`, what can be stepped to:
 * leaves, folded steps, calls and rounds, in the order of time, between the cards; `index` and
 * `item`, the place in it.
 *
 * Its methods say whether they went somewhere: then what is on screen is to be drawn anew.
 */
export class Walk {
  constructor() {
    this.model = null;
    this.opened = new Set();
    this.closed = new Set();
    this.unrolled = new Set();
    this.byLine = false;
    this.list = [];
    this.index = 0;
    this.item = null;
  }

  /** Begin with another model; `isSameRoad` keeps what was opened and folded. */
  begin(model, isSameRoad) {
    this.model = model;
    this.item = null;
    if (isSameRoad) return;
    this.opened.clear();
    this.closed = new Set(foldedAtFirst(model).map(({ path }) => path));
    this.unrolled.clear();
  }

  /** The operation that the current entry ends with: a line stands for its last one. */
  get operation() {
    return this.item.last ?? this.item;
  }

  rebuild() {
    const { tops, failing, opening, ending } = this.model;
    const visible = opening ? [opening] : [];
    const add = (node) => {
      if (node.children.length && this.opened.has(node.path)) node.children.forEach(add);
      else visible.push(node);
    };
    for (let index = 0; index < tops.length;) {
      let folded = null;
      for (const call of callsAround(this.model, tops[index].call)) {
        if (this.closed.has(call.path)) folded = call;
      }
      if (folded && folded.callee.stop > index && folded.callee.start <= index) {
        visible.push(folded);
        index = folded.callee.stop;
        continue;
      }
      const rounds = this.rolledAt(index);
      if (rounds) {
        visible.push(rounds);
        index = rounds.stop;
      } else {
        add(tops[index]);
        index += 1;
      }
    }
    if (failing?.kind === "failure") visible.push(failing);
    if (ending) visible.push(ending);
    this.list = this.byLine ? byLine(visible) : visible;
    this.list.forEach((entry, position) => {
      for (const item of entry.items ?? [entry]) item.position = position;
    });
  }

  /** The rounds that are folded from this step on, the outermost of several. */
  rolledAt(index) {
    return this.model.rounds.find(
      ({ first, path }) => first === index && !this.unrolled.has(path),
    );
  }

  go(index) {
    if (!this.list.length) return false;
    this.index = clamp(Math.trunc(index) || 0, 0, this.list.length - 1);
    this.item = this.list[this.index];
    return true;
  }

  /** Fold and open what is needed to make `item` visible, and go to it. */
  reach(item) {
    for (let parent = item.parent; parent; parent = parent.parent) this.opened.add(parent.path);
    for (const call of callsAround(this.model, item.call)) this.closed.delete(call.path);
    for (const rounds of this.model.rounds) {
      if (holds(rounds, item)) this.unrolled.add(rounds.path);
    }
    this.unrolled.delete(item.path);
    if (item.kind === "call") this.closed.add(item.path);
    this.opened.delete(item.path);
    this.rebuild();
    return this.go(item.position);
  }

  goto(path) {
    const item = find(this.model, path);
    return item !== null && this.reach(item);
  }

  /** The visible item that stands for `item`: itself, or the fold that hides it. */
  standIn(item) {
    let found = item;
    for (let parent = item.parent; parent; parent = parent.parent) {
      if (!this.opened.has(parent.path)) found = parent;
    }
    for (const call of callsAround(this.model, item.call)) {
      if (this.closed.has(call.path)) found = call;
    }
    const rolled = this.model.rounds.find(
      (each) => !this.unrolled.has(each.path) && holds(each, found),
    );
    return rolled ?? found;
  }

  stepBy(isLine) {
    if (this.byLine === isLine) return false;
    const { operation } = this;
    this.byLine = isLine;
    this.rebuild();
    return this.go(operation.position);
  }

  goLine(direction) {
    const group = (index) => this.list[index].group ?? this.list[index];
    let index = this.index;
    const inside = (at) => at >= 0 && at < this.list.length;
    while (inside(index) && group(index) === group(this.index)) index += direction;
    if (!inside(index)) return false;
    while (inside(index - 1) && group(index - 1) === group(index)) index -= 1;
    return this.go(index);
  }

  enter() {
    const item = this.operation;
    if (item.kind === "opening") return this.go(this.index + 1);
    if (item.kind === "call") this.closed.delete(item.path);
    else if (item.kind === "rounds") this.unrolled.add(item.path);
    else if (item.children.length) this.opened.add(item.path);
    else return false;
    this.rebuild();
    const index = this.list.findIndex((entry) => (entry.items?.[0] ?? entry).at >= item.at);
    return this.go(index < 0 ? Infinity : index);
  }

  leave() {
    const item = this.operation;
    if (item.parent) return this.reach(item.parent);
    const call = this.model.calls[item.call];
    const canFold = call && call.callee.parent !== null && hasSteps(call);
    const rounds = this.model.rounds.findLast((each) => holds(each, item));
    // Of a call and a loop around a step the inner one folds first.
    if (rounds && !(canFold && call.at >= rounds.at)) return this.reach(rounds);
    return Boolean(canFold) && item.kind !== "failure" && this.reach(call);
  }

  /** What is counted. */
  get unit() {
    return this.byLine ? say("line") : say("operation");
  }

  /** `3 of 12`: what is folded has the numbers that it stands for, and what is opened those of the
   * address, so that a step has one number whatever is folded. */
  get place() {
    const { item, list, index, model } = this;
    if (isCard(item)) return cardName(item);
    const plain = (count) => count.toLocaleString("en");
    if (this.byLine) {
      const before = isCard(list[0]) ? 1 : 0;
      const all = list.filter((entry) => !isCard(entry)).length;
      return say("{at} of {all}", { at: plain(index + 1 - before), all: plain(all) });
    }
    const all = model.tops.length + (model.failing?.kind === "failure" ? 1 : 0);
    return say("{at} of {all}", { at: numberOf(item, all, plain), all: plain(all) });
  }

  /** `operation 3 of 12` */
  get position() {
    return isCard(this.item) ? this.place : `${this.unit} ${this.place}`;
  }
}

function numberOf(item, last, plain) {
  if (item.kind === "failure") return plain(last);
  const { start, stop } = item.callee ?? { start: item.first, stop: item.stop };
  if (item.kind === "step") return item.parent ? spoken(item.path) : plain(item.step.index + 1);
  return stop - start > 1 ? `${plain(start + 1)}–${plain(stop)}` : plain(stop);
}
