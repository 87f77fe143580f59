/** A heatmap with its caption, its scale, its figures and the choice among several tensors. */

import { ICONS, el, icon } from "./dom.js";
import { isFollowable } from "./cells.js";
import { FollowedBar } from "./followed-bar.js";
import { aspect, ends, indices, paint } from "./heatmap.js";
import { LIMIT } from "./limits.js";
import { cellsAt, inPicture } from "./lineage.js";
import { clamp, clip, describeNote, exactly, figure, isOwned, shapeText } from "./text.js";
import { say } from "./words.js";

/** What a picture's text says, part by part, and how it is told here. */
const AXES = [
  [/^rows: dim (?<dim>\d+) \((?<size>\d+)\)$/, (found) => say("rows: {dim} ({size})", found)],
  [
    /^rows: dim (?<dim>\d+) \((?<size>\d+), means over \d+ in (?<cells>\d+) cells\)$/,
    (found) => say("rows: {dim} ({size} in {cells} cells)", found),
  ],
  [/^columns: dim (?<dim>\d+) \((?<size>\d+)\)$/, (found) => say("columns: {dim} ({size})", found)],
  [
    /^columns: dim (?<dim>\d+) \((?<size>\d+), means over \d+ in (?<cells>\d+) cells\)$/,
    (found) => say("columns: {dim} ({size} in {cells} cells)", found),
  ],
  [/^dim (?<dim>\d+): index 0 of (?<size>\d+)$/, (found) => say("{dim}: index 0 of {size}", found)],
  [/^dim (?<dim>\d+): mean over (?<size>\d+)$/, (found) => say("{dim}: mean over {size}", found)],
  [/^a single value$/, (found) => say("a single value", found)],
  [/^magnitude of complex values$/, (found) => say("magnitude of complex values", found)],
];

/** One heatmap with its caption, scale and figures. */
class Figure {
  /** `light` is shared; `pointAt(figure, cell)` is told which cell is pointed at, null for none. */
  constructor(title, light, pointAt) {
    Object.assign(this, { light, pointAt });
    this.scene = null;
    this.note = null;
    this.cell = null;
    this.title = el("span", { class: "figure-title" }, title);
    this.name = el("span", { class: "figure-name" });
    this.choices = el("div", {
      class: "thumbnails",
      role: "group",
      "aria-label": say("{title}: choose", { title }),
    });
    this.canvas = el("canvas", { tabindex: "0", role: "img" });
    this.cursor = el("div", { class: "cell-cursor", hidden: true });
    this.litBox = el("div", { class: "lit-box", hidden: true });
    this.frame = el("div", { class: "picture-frame" }, this.canvas, this.litBox, this.cursor);
    this.part = el("p", { class: "part", "aria-live": "polite", hidden: true });
    this.missing = el("p", { class: "picture-missing" });
    this.readout = el("p", { class: "readout" });
    this.low = el("span");
    this.high = el("span");
    this.bar = el("div", { class: "bar" });
    this.scale = el("div", { class: "scale" }, this.low, this.bar, this.high);
    this.level = el("p", { class: "level" });
    this.stats = el("dl", { class: "stats" });
    this.heading = el("figcaption", {}, this.title, this.name);
    this.node = el(
      "figure",
      { class: "figure" },
      this.heading,
      this.choices,
      el("div", { class: "picture" }, this.frame, this.missing),
      this.scale,
      this.level,
      this.part,
      this.readout,
      this.stats,
    );
    this.listen();
  }

  listen() {
    const { canvas, frame } = this;
    const locate = (event) => {
      const box = canvas.getBoundingClientRect();
      const { rows, columns } = this.note.heatmap;
      const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
      const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
      return [clamp(row, 0, rows - 1), clamp(column, 0, columns - 1)];
    };
    const follow = (event) => {
      if (this.cells) this.pointAt(this, locate(event));
    };
    canvas.addEventListener("pointermove", follow);
    canvas.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      follow(event);
    });
    frame.addEventListener("pointerenter", () => this.note && this.light.show([this.note.id]));
    frame.addEventListener("pointerleave", () => {
      this.light.show(null);
      this.pointAt(this, null);
    });
    frame.addEventListener("click", () => this.follow());
    // Spoken only while the keys read the cells: at each step it would be noise.
    canvas.addEventListener("focus", () => this.readout.setAttribute("aria-live", "polite"));
    canvas.addEventListener("blur", () => {
      this.readout.removeAttribute("aria-live");
      this.pointAt(this, null);
    });
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && this.cell) {
        event.preventDefault();
        event.stopPropagation();
        this.follow();
      }
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      if (!(event.key in move) || !this.cells) return;
      event.preventDefault();
      event.stopPropagation();
      const { rows, columns } = this.note.heatmap;
      const [row, column] = this.cell ?? [0, 0];
      const [down, right] = this.cell ? move[event.key] : [0, 0];
      const to = [clamp(row + down, 0, rows - 1), clamp(column + right, 0, columns - 1)];
      this.pointAt(this, to);
    });
  }

  /** Follow the cell that is pointed at through the run; where none is followed, hold the tensor. */
  follow() {
    const { note, cell, scene } = this;
    if (!note || !this.cells) return;
    if (!scene.act.follow) scene.act.toggle([note.id]);
    else if (cell && isFollowable(note.shape)) scene.act.follow(note, cellsAt(note, cell));
  }

  /** Show one of `notes`, each `{note, labels, name}`; without any say `absent`. */
  show(scene, notes, absent) {
    this.scene = scene;
    const withPicture = notes.filter(({ note }) => note.heatmap);
    const shown = withPicture.slice(0, LIMIT.thumbnails);
    const others = shown.filter(({ note }) => !isOwned(note.kind));
    const hasPart = ({ note }) => scene.followed && scene.followed.of(note).way !== "none";
    const chosen = others.find(hasPart) ?? others[0] ?? shown[0] ?? notes[0];
    this.choices.replaceChildren();
    this.choices.hidden = shown.length < 2;
    if (shown.length > 1) {
      const buttons = shown.map((entry) => this.thumbnail(entry, () => pick(entry)));
      const pick = (entry) => {
        this.display(entry, absent);
        shown.forEach((other, index) => {
          buttons[index].setAttribute("aria-pressed", String(other === entry));
        });
      };
      this.choices.append(...buttons);
      pick(chosen);
    } else this.display(chosen ?? null, absent);
  }

  thumbnail({ note, name }, choose) {
    const canvas = el("canvas", { "aria-hidden": "true" });
    const cells = this.scene.pictures.cells(note);
    if (cells) paint(canvas, note.heatmap, cells);
    const button = el(
      "button",
      {
        type: "button",
        class: cells ? "thumbnail drawn" : "thumbnail",
        title: `${clip(name, 60)} ${shapeText(note, this.scene.face)}`,
        "aria-label": say("show {name}", { name: clip(name, 60) }),
        "data-note": String(note.id),
        onclick: choose,
      },
      canvas,
      el("span", {}, clip(name, 24)),
    );
    this.light.tie(button, [note.id]);
    return button;
  }

  display(entry, absent) {
    const note = entry?.note ?? null;
    this.note = note;
    this.labels = entry?.labels ?? [];
    this.cell = null;
    this.cursor.hidden = true;
    this.cells = note ? this.scene.pictures.cells(note) : null;
    const face = this.scene.face === "formulas" ? "formulas" : "numbers";
    const named = () => el("span", { class: "figure-called" }, clip(entry.name, 60));
    const shape = () => el("span", { class: "figure-shape" }, shapeText(note, face));
    this.name.replaceChildren(...(note ? [named(), " ", shape()] : []));
    this.name.title = note ? describeNote(note) : "";
    this.node.classList.toggle("blank", this.cells === null);
    this.frame.hidden = this.cells === null;
    this.missing.hidden = this.cells !== null;
    this.scale.hidden = this.cells === null || note.heatmap.level;
    this.level.hidden = this.cells === null || !note.heatmap.level;
    this.level.textContent = this.level.hidden ? "" : levelText(note.heatmap);
    if (note) this.frame.dataset.note = note.id;
    else delete this.frame.dataset.note;
    this.light.apply(this.frame);
    if (this.cells === null) this.missing.textContent = note ? this.why(note) : absent;
    else this.picture(note, entry.name);
    this.caption();
    this.stats.replaceChildren(...(note?.stats ? statistics(note.stats) : []));
  }

  picture(note, name) {
    const { heatmap } = note;
    this.drawFollowed(this.scene.followed);
    const shape = aspect(note);
    this.frame.classList.toggle("fill", shape === null);
    this.frame.style.setProperty("--aspect", shape ?? 1);
    const { low, high } = ends(heatmap);
    this.bar.dataset.scale = heatmap.signed ? "diverging" : "sequential";
    this.low.textContent = figure(low, 3);
    this.high.textContent = figure(high, 3);
    this.canvas.setAttribute("aria-label", this.spoken(name, note));
  }

  /** Light the cells that have to do with the one that is followed. */
  drawFollowed(followed) {
    this.scene = { ...this.scene, followed };
    const { note, cells } = this;
    if (!note?.heatmap || !cells) return;
    const { way, set } = followed?.of(note) ?? { way: null };
    const lit = set ? inPicture(note, set) : way === "none" ? new Uint8Array(cells.length) : null;
    paint(this.canvas, note.heatmap, cells, lit);
    this.part.hidden = way === null;
    this.part.textContent = way === null ? "" : partText(way, set, lit);
    this.frameLit(lit, note.heatmap);
  }

  /** A frame around what is lit, so that a single cell is found. */
  frameLit(lit, { rows, columns }) {
    const at = lit ? [...lit.keys()].filter((place) => lit[place]) : [];
    this.litBox.hidden = at.length === 0 || at.length === rows * columns;
    if (this.litBox.hidden) return;
    const across = at.map((place) => place % columns);
    const [top, bottom] = [Math.floor(at[0] / columns), Math.floor(at.at(-1) / columns)];
    const [left, right] = [Math.min(...across), Math.max(...across)];
    const { style } = this.litBox;
    style.left = `${(100 * left) / columns}%`;
    style.top = `${(100 * top) / rows}%`;
    style.width = `${(100 * (right - left + 1)) / columns}%`;
    style.height = `${(100 * (bottom - top + 1)) / rows}%`;
  }

  /** Why there is no picture. */
  why(note) {
    if (!note.heatmap && note.shape.includes(0)) return say("An empty tensor: it has no values.");
    if (!this.scene.model.trace.values) return say("Only shapes were recorded.");
    return say("No values were kept of this tensor.");
  }

  spoken(name, note) {
    const { stats } = note;
    const what = { name: clip(name, 60), shape: shapeText(note, this.scene.face) };
    if (note.heatmap.level) {
      return `${say("Heatmap of {name} {shape}. Arrow keys read the cells.", what)} ${levelText(note.heatmap)}`;
    }
    if (!stats) return say("Heatmap of {name} {shape}. Arrow keys read the cells.", what);
    const [low, high] = [figure(stats.minimum), figure(stats.maximum)];
    return say("Heatmap of {name} {shape}, from {low} to {high}. Arrow keys read the cells.", {
      ...what,
      low,
      high,
    });
  }

  /** Below the picture: what the axes are, or the value of the cell that is pointed at. */
  caption() {
    const { note, cell, cells } = this;
    this.cursor.hidden = cell === null;
    if (!cell || !cells) {
      this.readout.textContent = cells ? this.axes(note.heatmap.text) : "";
      this.readout.classList.remove("reading");
      return;
    }
    const { rows, columns, row_axis: rowAxis, column_axis: columnAxis } = note.heatmap;
    const [row, column] = cell;
    const places = [this.index(rowAxis, row, rows), this.index(columnAxis, column, columns)].filter(
      Boolean,
    );
    const isMean =
      places.some((place) => place.includes("–")) || /mean over/.test(note.heatmap.text);
    const value = exactly(cells[row * columns + column]);
    this.readout.replaceChildren(
      places.length ? `${places.join(", ")}: ` : "",
      isMean ? `${say("mean")} ` : "",
      el("strong", {}, value),
    );
    this.readout.classList.add("reading");
    this.cursor.style.left = `${(100 * column) / columns}%`;
    this.cursor.style.top = `${(100 * row) / rows}%`;
    this.cursor.style.width = `${100 / columns}%`;
    this.cursor.style.height = `${100 / rows}%`;
  }

  /** What the axes are, with the letters that the reader knows them by. */
  axes(text) {
    return clip(text)
      .split("; ")
      .map((part) => this.axis(part))
      .join(say("; "));
  }

  axis(part) {
    for (const [pattern, words] of AXES) {
      const match = pattern.exec(part);
      if (match) {
        const found = match.groups ?? {};
        const dim = found.dim === undefined ? "" : this.named(Number(found.dim));
        return words({ ...found, dim });
      }
    }
    return part;
  }

  /** The letter of an axis, its number where it has none. */
  named(axis) {
    const label = clip(this.labels[axis] ?? "", 20);
    return /^\d*$/.test(label) ? say("dim {axis}", { axis }) : label;
  }

  /** The indices along an axis that a cell stands for: several where the picture averages. */
  index(axis, cell, cells) {
    if (axis === null || axis === undefined) return "";
    const [first, last] = indices(cell, cells, this.note.shape[axis] ?? cells);
    const name = this.named(axis);
    return last > first ? `${name} ${first}–${last}` : `${name} ${first}`;
  }
}

/** What a tensor has to do with the cell that is followed. */
function partText(way, set, lit) {
  if (way === "none") return say("It has no part in the followed cell.");
  if (way === "self") return say("The followed cell.");
  const all = set.shape.reduce((total, size) => total * size, 1).toLocaleString("en");
  const found = { n: set.count.toLocaleString("en"), all };
  const words = {
    back: set.isExact ? say("{n} of {all} cells make it.", found) : say("At most {n} of {all} cells make it.", found),
    onward: set.isExact ? say("It reaches {n} of {all} cells.", found) : say("It reaches at most {n} of {all} cells.", found),
  }[way];
  return lit.includes(1) ? words : `${words} ${say("None of them is in this picture.")}`;
}

/** What is said instead of a scale where all cells are one. */
function levelText({ low, high }) {
  return low === high
    ? say("All cells equal: {value}", { value: figure(low, 3) })
    : say("All cells equal, but for rounding");
}

function statistics(stats) {
  const entry = (term, value, whole, kind = null) =>
    el(
      "div",
      { class: kind ? "strange" : null, title: `${term} ${whole}` },
      el("dt", {}, kind ? el("i", { class: `swatch ${kind}` }) : "", term),
      el("dd", {}, value),
    );
  const number = (term, value) => entry(term, figure(value, 3), String(value ?? say("unknown")));
  const share = Number.isFinite(100 * stats.zeros) ? `${figure(100 * stats.zeros, 3)}%` : "–";
  const count = (term, value) => entry(term, figure(value, 3), String(value), term.toLowerCase());
  return [
    number(say("min"), stats.minimum),
    number(say("max"), stats.maximum),
    number(say("mean"), stats.mean),
    number(say("std"), stats.std),
    entry(say("zeros"), share, share),
    ...(stats.nan > 0 ? [count("NaN", stats.nan)] : []),
    ...(stats.inf > 0 ? [count("Inf", stats.inf)] : []),
    ...(stats.nan > 0 || stats.inf > 0 ? [] : [entry("NaN, Inf", "0", "0")]),
  ];
}

/** The pictures of what a step takes and gives, side by side. */
export class Figures {
  /** `lights` of the two, and their `titles`; by `act`, if it is given, the reader asks for the scene
   * of the step. */
  constructor(lights, titles, act = null) {
    const pointAt = (figureShown, cell) => this.pointAt(figureShown, cell);
    this.before = new Figure(titles[0], lights[0], pointAt);
    this.after = new Figure(titles[1], lights[1], pointAt);
    const asked = {
      type: "button",
      class: "moves",
      title: say("how the step works, cell by cell (m)"),
      "aria-label": say("How it works"),
      onclick: () => act.scene(),
    };
    this.bar = new FollowedBar(act);
    this.moves = el("button", asked, icon(ICONS.moves), el("span", {}, say("How it works")));
    if (act) this.before.heading.append(this.moves);
    this.node = el(
      "section",
      { class: "figures", "aria-label": say("values") },
      this.bar.node,
      this.before.node,
      this.after.node,
    );
  }

  /** Light what has to do with the cell that is followed, in both pictures. */
  drawFollowed(followed) {
    this.bar.draw(followed);
    this.before.drawFollowed(followed);
    this.after.drawFollowed(followed);
  }

  /** Whether the step shows how it works. */
  offer(hasScene) {
    this.moves.hidden = !hasScene;
  }

  /** `absent`: what is said where there is no input, and where there is no output. */
  show(scene, inputs, outputs, absent) {
    this.before.show(scene, inputs, absent[0]);
    this.after.show(scene, outputs, absent[1]);
    this.level();
  }

  /** What two runs give, each `{scene, outputs}` or null where one has no such step. */
  showBoth(shown, absent) {
    const there = shown.find(Boolean);
    [this.before, this.after].forEach((figureShown, side) => {
      const { scene, outputs } = shown[side] ?? { scene: there.scene, outputs: [] };
      figureShown.show(scene, outputs, absent);
    });
    this.level();
  }

  level() {
    // Where one has a choice the other leaves room for it, so that the pictures stand level.
    const choosing = !this.before.choices.hidden || !this.after.choices.hidden;
    this.node.classList.toggle("choosing", choosing);
  }

  pointAt(figureShown, cell) {
    figureShown.cell = cell;
    figureShown.caption();
    // The same cell of the other picture, where both show the same axes at the same size.
    const other = figureShown === this.before ? this.after : this.before;
    const [mine, theirs] = [figureShown.note, other.note];
    const isAlike =
      mine?.heatmap &&
      theirs?.heatmap &&
      other.cells &&
      shapeText(mine) === shapeText(theirs) &&
      mine.heatmap.rows === theirs.heatmap.rows &&
      mine.heatmap.columns === theirs.heatmap.columns;
    if (isAlike) {
      other.cell = cell;
      other.caption();
    }
  }
}
