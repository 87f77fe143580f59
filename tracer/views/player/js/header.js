/** The bar on top: the calls around a step, what is held in light, and how sizes are written. */

import { ICONS, el, icon } from "./dom.js";
import { FACES } from "./limits.js";
import { clip } from "./text.js";
import { callsAround } from "./walk.js";
import { say } from "./words.js";

const faceWords = () => ({
  numbers: [say("numbers"), say("sizes as numbers (f)")],
  formulas: [say("formulas"), say("sizes as formulas (f)")],
  both: [say("both"), say("sizes as both (f)")],
});

const tool = (name, title, drawing, onclick) =>
  el("button", { type: "button", class: "control help", "aria-label": name, title, onclick }, drawing);

export class Header {
  /** It asks by `act`: `reach` an item, `turn` to a face, `letGo` of the light, `predict`,
   * `present`, `graph`, `help`. */
  constructor(act) {
    this.act = act;
    this.crumbs = el("ol", { class: "crumbs" });
    this.crumbMark = null;
    const hidden = true;
    this.pin = el("button", { type: "button", class: "pin", hidden, onclick: () => act.letGo() });
    this.remarks = el(
      "button",
      { type: "button", class: "remarks", hidden, onclick: () => act.help() },
      say("About this run"),
    );
    this.faceButtons = FACES.map((face) => this.faceButton(face));
    this.faces = el(
      "div",
      { class: "units faces", role: "group", "aria-label": say("sizes as"), hidden },
      this.faceButtons,
    );
    this.graph = tool(say("graph"), say("graph (g)"), icon(ICONS.graph), () => act.graph());
    const words = say("predict the next shape (p)");
    this.predict = tool(say("predict"), words, icon(ICONS.predict), () => act.predict());
    const shown = say("present to a class (v)");
    this.present = tool(say("present"), shown, icon(ICONS.present), () => act.present());
    this.present.classList.add("to-class");
    this.node = el(
      "header",
      { class: "top" },
      el("nav", { "aria-label": say("module calls") }, this.crumbs),
      this.pin,
      this.remarks,
      this.faces,
      this.predict,
      this.present,
      this.graph,
      tool(say("help"), say("help (?)"), "?", () => act.help()),
    );
  }

  faceButton(face) {
    const [word, title] = faceWords()[face];
    const letter = el("var", {}, "C");
    const samples = { numbers: ["64"], formulas: [letter], both: [letter, el("small", {}, "64")] };
    return el(
      "button",
      {
        type: "button",
        "aria-label": word,
        "aria-pressed": "false",
        title,
        onclick: () => this.act.turn(face),
      },
      el("span", { class: "word" }, word),
      el("span", { class: "sample" }, samples[face]),
    );
  }

  drawFaces({ hasFormulas }, face) {
    this.faces.hidden = !hasFormulas;
    this.faceButtons.forEach((button, index) => {
      button.setAttribute("aria-pressed", String(FACES[index] === face));
    });
  }

  /** The name of the tensor that is held in light; null for none. */
  drawPin(name) {
    this.pin.hidden = name === null;
    if (name === null) return;
    this.pin.replaceChildren(clip(name, 30), el("span", { "aria-hidden": "true" }, "×"));
    this.pin.title = say("{name} is held in light; click to let go", { name: clip(name, 60) });
  }

  /** Another trace: its crumbs are to be drawn even where they read the same. */
  begin({ trace, graph }, questions) {
    this.graph.hidden = !graph;
    this.predict.hidden = questions === 0;
    this.remarks.hidden = trace.remarks.length === 0;
    this.crumbMark = null;
  }

  drawEmpty({ trace }) {
    this.crumbs.replaceChildren(el("li", {}, clip(trace.name, 80)));
  }

  /** The calls and steps around the current operation, the way out of it. */
  draw({ model, operation }) {
    const levels = [...callsAround(model, operation.call)].reverse();
    const outer = levels.length;
    for (let { parent } = operation; parent; parent = parent.parent) {
      levels.splice(outer, 0, parent);
    }
    const mark = levels.map((level) => level.path).join(" ");
    if (mark === this.crumbMark && this.crumbs.firstChild) return;
    this.crumbMark = mark;
    this.crumbs.replaceChildren(
      ...levels.map((level, index) => {
        const inner = levels[index + 1];
        const attributes = { type: "button", title: inner ? say("go out to here") : null };
        if (!inner) attributes["aria-current"] = "location";
        attributes.onclick = () => inner && this.act.reach(inner);
        return el("li", {}, el("button", attributes, crumb(model, level, index)));
      }),
    );
  }
}

function crumb({ calls, trace }, level, index) {
  if (level.kind === "step") return [el("b", {}, clip(level.step.op, 40))];
  const { module, type } = level.callee;
  if (index === 0) return [el("b", {}, clip(type || trace.name, 60))];
  const outer = calls[level.callee.parent]?.callee.module ?? "";
  const name = outer && module.startsWith(`${outer}.`) ? module.slice(outer.length + 1) : module;
  return [el("b", {}, clip(name || say("root"), 40)), ` ${clip(type, 40)}`];
}
