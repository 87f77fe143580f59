/** The panel of the graph: what each step gives to which, with the current step lit and followed. */

import { paintDimension } from "./dimensions.js";
import { ICONS, drawn, el, icon } from "./dom.js";
import { LIMIT } from "./limits.js";
import { stepsOf } from "./lines.js";
import { clamp, clip } from "./text.js";
import { say } from "./words.js";

// Of the letters in a drawing, as it was laid out with them: see tracer/views/layout.py.
const LETTER = 6;
/** The letters of a shape in formulas for which there is room; a longer one stays in numbers. */
const MOST_LETTERS = 36;
const FARTHEST = 0.08;
const CLOSEST = 4;
/** How large a drawing is shown that does not fit in whole: its letters can still be read. */
const READABLE = 0.95;
const SMALLEST = 0.72;
const ZOOM_STEP = 1.3;
const MARGIN = 14;

/** How large a drawing may be to fit into a frame, and no larger than it was made. */
export function fitting(drawing, frame) {
  const room = (side) => (frame[side] - 2 * MARGIN) / Math.max(drawing[side], 1);
  return clamp(Math.min(room("width"), room("height")), FARTHEST, 1.25);
}

/** Where a drawing of this length begins in a frame of that, so that its point `at` is in the middle
 * and no more is empty than has to be. */
export function centred(at, length, frame) {
  if (length <= frame) return (frame - length) / 2;
  return clamp(frame / 2 - at, frame - MARGIN - length, MARGIN);
}

/** The view `{scale, x, y}` with another scale, in which the point at `px`, `py` stays. */
export function zoomed({ scale, x, y }, wanted, px, py) {
  const next = clamp(wanted, FARTHEST, CLOSEST);
  const grown = next / scale;
  return { scale: next, x: px - (px - x) * grown, y: py - (py - y) * grown };
}

export class GraphPanel {
  /** It asks by `act.goto` for the step of a node; what is lit is `light`'s. */
  constructor(light, act, signal) {
    Object.assign(this, { light, act, model: null, plan: null, nodes: [], edges: [] });
    this.face = "numbers";
    this.shapes = drawn("g");
    this.view = { scale: 1, x: 0, y: 0 };
    this.isFit = true;
    // "auto" is beside the rest where there is room; "shown" and "hidden" are the reader's wish.
    this.wanted = "auto";
    this.here = new Set();
    this.place = drawn("g", { class: "place" });
    this.paper = drawn("svg", { class: "paper", role: "group", "aria-label": say("graph") }, this.place);
    const tool = (name, words, run) => {
      const look = { type: "button", class: "control", "aria-label": words, title: words };
      return el("button", { ...look, onclick: run }, icon(ICONS[name]));
    };
    this.tools = el(
      "div",
      { class: "tools" },
      tool("farther", say("smaller (-)"), () => this.smaller()),
      tool("closer", say("larger (+)"), () => this.larger()),
      tool("whole", say("all of it (0)"), () => this.fit()),
    );
    this.node = el("section", { class: "graph", "aria-label": say("graph") }, this.paper, this.tools);
    this.sized = new ResizeObserver(() => this.resize());
    this.sized.observe(this.node);
    signal.addEventListener("abort", () => this.sized.disconnect());
    this.listen(signal);
  }

  get isShown() {
    return this.node.clientWidth > 0;
  }

  /** Another trace; it is drawn once the panel is on screen. */
  begin(model) {
    this.model = model;
    this.plan = null;
    this.place.replaceChildren();
    this.node.parentElement.dataset.graph = model.graph ? this.wanted : "none";
    if (this.isShown) this.resize();
  }

  /** Show it, or hide it; where there is no room beside the source, in its place. */
  turn() {
    if (!this.model?.graph) return;
    this.wanted = this.isShown ? "hidden" : "shown";
    this.node.parentElement.dataset.graph = this.wanted;
  }

  /** What each key does now. */
  keys() {
    const shown = (does) => this.isShown && does;
    return {
      g: this.model?.graph && (() => this.turn()),
      "+": shown(() => this.larger()),
      "=": shown(() => this.larger()),
      "-": shown(() => this.smaller()),
      0: shown(() => this.fit()),
    };
  }

  /** The panel came on screen or has another size. */
  resize() {
    const { graph } = this.model ?? {};
    if (!this.isShown || !graph) return;
    if (this.plan !== graph) {
      this.sketch(graph);
      this.mark();
      this.open();
    } else if (this.isFit) this.fit();
    else this.follow(false);
  }

  // --- The drawing ---

  sketch(graph) {
    this.plan = graph;
    const frames = graph.frames.map(({ x, y, width, height }) =>
      drawn("rect", { class: "frame", x, y, width, height, rx: 6 }),
    );
    // Over the edges, which may have to pass there.
    const titles = graph.frames.map(({ x, y, title }) =>
      drawn("text", { class: "title", x: x + 8, y: y + 14 }, clip(title, 60)),
    );
    this.edges = graph.edges.map((edge) => ({ ...edge, node: this.edge(edge) }));
    this.nodes = graph.nodes.map((each, index) => ({ ...each, node: this.box(each, index) }));
    this.writeShapes();
    const [edges, nodes] = [this.edges, this.nodes].map((parts) => parts.map(({ node }) => node));
    this.place.replaceChildren(...frames, ...edges, ...titles, ...nodes, this.shapes);
  }

  /** Write the shapes as numbers, or as formulas. */
  turnTo(face) {
    if (face === this.face) return;
    this.face = face;
    if (this.plan) this.writeShapes();
  }

  writeShapes() {
    this.shapes.replaceChildren(...this.plan.shapes.map((shape) => this.shape(shape)));
  }

  box({ x, y, width, height, lines, kind, start }, index) {
    const isResult = kind === "result";
    const words = isResult ? lines.map((line) => line.replace("output", say("output"))) : lines;
    const rows = words.map((line, row) => {
      const at = { x, y: y + 4 + 13 * (row - (words.length - 1) / 2), "text-anchor": "middle" };
      return drawn("text", { ...at, class: `row-${row}` }, clip(line, 60));
    });
    const rx = start === null ? height / 2 : 5;
    const corner = { x: x - width / 2, y: y - height / 2 };
    const rect = drawn("rect", { ...corner, width, height, rx });
    const node = drawn("g", { class: `node ${kind}` }, rect, rows);
    if (start !== null) {
      node.setAttribute("role", "button");
      node.setAttribute("tabindex", "-1");
      node.setAttribute("aria-label", this.told(index, start, words));
    }
    return node;
  }

  /** What a node says to who does not see the drawing: its step, and whence its tensors come. */
  told(index, start, words) {
    const before = this.plan.edges
      .filter(({ to }) => to === index)
      .map(({ from }) => this.plan.nodes[from].lines[0]);
    const what = clip(words.join(", "), 120);
    const told = { number: start + 1, what, before: clip([...new Set(before)].join(", "), 200) };
    return before.length
      ? say("operation {number}: {what}, from {before}", told)
      : say("operation {number}: {what}", told);
  }

  edge({ path, tip, note }) {
    const line = drawn("path", { d: path });
    const node = drawn("g", { class: "edge" }, line, drawn("polygon", { points: tip }));
    this.tie(node, note);
    return node;
  }

  /** As light's own, but for the focus: listening for it makes what is drawn a stop of Tab. */
  tie(node, id) {
    node.dataset.note = id;
    node.addEventListener("pointerenter", () => this.light.show([id]));
    node.addEventListener("pointerleave", () => this.light.show(null));
    this.light.apply(node);
  }

  /** The sizes of a tensor, and its shape. */
  written({ shape, dims }) {
    const shown = shape.slice(0, LIMIT.rank);
    const more = shape.length > shown.length ? ", …" : "";
    const whole = (sizes) => `(${sizes.join(", ")}${sizes.length === 1 ? "," : ""}${more})`;
    const formulas = shown.map((size, axis) => dims?.[axis]?.text ?? String(size));
    const isFormulas = this.face === "formulas" && whole(formulas).length <= MOST_LETTERS;
    const sizes = isFormulas ? formulas : shown.map((size) => clip(size, 12));
    return [sizes, whole(sizes)];
  }

  /** `(2, 64, 14800)` under the node that gives it, each size over its dimension's colour. */
  shape({ note: id, x, y }) {
    const note = this.model.notes.get(id);
    if (!note) return drawn("g");
    const labels = this.model.labels.get(id) ?? [];
    const [sizes, text] = this.written(note);
    let left = x - (text.length * LETTER) / 2 + LETTER;
    const bars = sizes.map((size, axis) => {
      const bar = drawn("g", { class: "bar-of" });
      const half = (size.length * LETTER) / 2;
      for (const [index, name] of ["first", "second"].entries()) {
        const at = { x: left + index * half, y: y + 4, width: half, height: 2.5 };
        bar.append(drawn("rect", { class: name, ...at }));
      }
      left += (size.length + 2) * LETTER;
      paintDimension(bar, this.model, note, axis, labels[axis]);
      return bar;
    });
    const wide = text.length * LETTER;
    const ground = { class: "ground", x: x - wide / 2 - 2, y: y - 7, width: wide + 4, height: 14 };
    const at = { x, y: y + 2, "text-anchor": "middle", textLength: wide };
    const words = drawn("text", at, text);
    const node = drawn("g", { class: "shape-of" }, drawn("rect", ground), words, bars);
    this.tie(node, id);
    return node;
  }

  // --- The current step ---

  draw({ item, face }) {
    this.turnTo(face);
    let top = item;
    while (top.parent) top = top.parent;
    this.here = new Set(stepsOf(top));
    if (!this.isShown || this.plan !== this.model.graph) return;
    this.mark();
    this.follow(true);
  }

  isHere({ start, stop }) {
    for (const step of this.here) if (start !== null && start <= step && step < stop) return true;
    return false;
  }

  mark() {
    for (const each of this.nodes) {
      const isHere = this.isHere(each);
      each.node.classList.toggle("current", isHere);
      if (each.start !== null) each.node.setAttribute("tabindex", isHere ? "0" : "-1");
      if (isHere) each.node.setAttribute("aria-current", "step");
      else each.node.removeAttribute("aria-current");
    }
    for (const { node, from, to } of this.edges) {
      const ends = [this.nodes[from], this.nodes[to]];
      node.classList.toggle("current", ends.some((end) => this.isHere(end)));
    }
  }

  /** Bring the current step into the middle where it is not well inside the panel. */
  follow(isSmooth) {
    const current = this.nodes.find((each) => this.isHere(each));
    if (!current || this.isFit) return;
    const { clientWidth: width, clientHeight: height } = this.node;
    const { scale, x, y } = this.view;
    const [px, py] = [current.x * scale + x, current.y * scale + y];
    const [side, above] = [(current.width * scale) / 2 + MARGIN, height * 0.22];
    const isInside = px > side && px < width - side && py > above && py < height - above;
    if (isInside) return;
    this.look(this.around(current, scale), isSmooth);
  }

  // --- The view ---

  /** All of it where its letters can be read then, else the neighbourhood of the current step. */
  open() {
    const { clientWidth: width, clientHeight: height } = this.node;
    if (fitting(this.plan, { width, height }) > SMALLEST) this.fit();
    else this.near();
  }

  /** As wide as the panel where that can be read, around the current step. */
  near() {
    const current = this.nodes.find((each) => this.isHere(each)) ?? this.nodes[0];
    const { clientWidth: width } = this.node;
    this.isFit = false;
    if (!current) return;
    const scale = clamp(fitting(this.plan, { width, height: Infinity }), SMALLEST, READABLE);
    this.look(this.around(current, scale));
  }

  /** The view with the node in the middle, or where the drawing begins or ends before it is. */
  around(current, scale) {
    const { clientWidth: width, clientHeight: height } = this.node;
    const { plan } = this;
    const x = centred(current.x * scale, plan.width * scale, width);
    return { scale, x, y: centred(current.y * scale, plan.height * scale, height) };
  }

  fit() {
    if (!this.plan) return;
    const { clientWidth: width, clientHeight: height } = this.node;
    const scale = fitting(this.plan, { width, height });
    this.isFit = true;
    const x = (width - this.plan.width * scale) / 2;
    this.look({ scale, x, y: (height - this.plan.height * scale) / 2 });
  }

  zoom(factor, px = this.node.clientWidth / 2, py = this.node.clientHeight / 2) {
    this.isFit = false;
    this.look(zoomed(this.view, this.view.scale * factor, px, py));
  }

  larger() {
    this.zoom(ZOOM_STEP);
  }

  smaller() {
    this.zoom(1 / ZOOM_STEP);
  }

  look(view, isSmooth = false) {
    this.view = view;
    this.place.classList.toggle("gliding", isSmooth);
    this.place.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  }

  // --- Hands ---

  listen(signal) {
    const on = (type, react, more = {}) =>
      this.paper.addEventListener(type, react, { signal, ...more });
    const point = (event) => {
      const { left, top } = this.paper.getBoundingClientRect();
      return [event.clientX - left, event.clientY - top];
    };
    on(
      "wheel",
      (event) => {
        event.preventDefault();
        // A pinch on a touchpad comes as a small wheel with the Ctrl key.
        const speed = event.ctrlKey ? 0.01 : event.deltaMode ? 0.05 : 0.0015;
        this.zoom(Math.exp(-event.deltaY * speed), ...point(event));
      },
      { passive: false },
    );
    on("dblclick", (event) => {
      if (event.target.closest(".node")) return;
      if (this.isFit) this.near();
      else this.fit();
    });
    on("click", (event) => {
      const chosen = this.nodes.find(({ node }) => node.contains(event.target));
      if (!this.dragged && chosen && chosen.start !== null) this.act.goto(String(chosen.start));
    });
    on("keydown", (event) => {
      const chosen = this.nodes.find(({ node }) => node === event.target);
      if (!chosen || (event.key !== "Enter" && event.key !== " ")) return;
      event.preventDefault();
      event.stopPropagation();
      this.act.goto(String(chosen.start));
    });
    this.drag(on, point);
  }

  /** One pointer moves the drawing, two pinch it. */
  drag(on, point) {
    const hands = new Map();
    const spread = () => {
      const [[ax, ay], [bx, by]] = hands.values();
      return [Math.hypot(ax - bx, ay - by), (ax + bx) / 2, (ay + by) / 2];
    };
    on("pointerdown", (event) => {
      hands.set(event.pointerId, point(event));
      if (hands.size === 1) this.dragged = false;
    });
    on("pointermove", (event) => {
      const before = hands.get(event.pointerId);
      if (!before) return;
      const now = point(event);
      const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
      if (!this.dragged && hands.size === 1 && Math.hypot(dx, dy) < 4) return;
      if (!this.dragged) this.paper.setPointerCapture(event.pointerId);
      this.dragged = true;
      this.isFit = false;
      if (hands.size === 1) this.look({ ...this.view, x: this.view.x + dx, y: this.view.y + dy });
      const [wide] = hands.size === 2 ? spread() : [0];
      hands.set(event.pointerId, now);
      if (hands.size === 2 && wide > 0) {
        const [wider, px, py] = spread();
        this.zoom(wider / wide, px, py);
      }
    });
    for (const type of ["pointerup", "pointercancel"]) {
      on(type, (event) => hands.delete(event.pointerId));
    }
  }
}
