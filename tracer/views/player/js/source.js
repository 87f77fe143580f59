/** The source of one function on screen, with shapes, notes and signs at its lines. */

import { heading } from "./chapters.js";
import { formulaNodes, paintDimension } from "./dimensions.js";
import { ICONS, el, icon } from "./dom.js";
import { itemAt, namedBy, nearest } from "./frames.js";
import { LIMIT } from "./limits.js";
import { markdown } from "./markdown.js";
import { codeNodes, tokensOf } from "./python.js";
import { times } from "./rounds.js";
import { clamp, clip, describeNote, languageOf, leftOpen } from "./text.js";
import { say } from "./words.js";

const CHUNK = 80;

/**
 * The text of one function, built once; frames of it come and go.
 *
 * Its lines and notes stand in chunks.  Those of a long function are built when they are first
 * needed or scrolled near, so that a function of any length costs what is looked at.
 */
export class SourceView {
  /** `panel` is the element that it is scrolled in; `goto(path)` is asked for by a line's sign. */
  constructor(source, model, { panel, light, goto }) {
    Object.assign(this, { source, model, panel, lamp: light, goto });
    this.face = "numbers";
    this.frame = null;
    this.time = 0;
    this.marked = [];
    this.records = new Map();
    this.blocks = [];
    this.chunks = new Map();
    const indents = source.lines
      .filter((line) => line.trim())
      .slice(0, 500)
      .map((line) => line.length - line.trimStart().length);
    this.indent = indents.length ? Math.min(...indents) : 0;
    this.node = el("div", { class: "code" });
    const digits = String(source.first + source.lines.length).length;
    this.node.style.setProperty("--digits", digits);
    this.near = new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries) if (isIntersecting) this.ensure(target);
      },
      { root: panel, rootMargin: "500px" },
    );
    this.cut();
  }

  /** Lay the lines out in chunks, the notes in the place of the comments they were. */
  cut() {
    const { source } = this;
    const comments = new Map();
    let reached = source.first;
    for (const comment of [...source.comments].sort((a, b) => a.first - b.first)) {
      const inside = comment.first >= reached && comment.last >= comment.first;
      if (!inside || comment.last - source.first >= source.lines.length) continue;
      comments.set(comment.first, comment);
      reached = comment.last + 1;
    }
    let chunk = null;
    for (let index = 0; index < source.lines.length; index += 1) {
      const number = source.first + index;
      if (chunk === null || chunk.entries.length >= CHUNK) {
        chunk = el("div", { class: "chunk" });
        chunk.entries = [];
        this.node.append(chunk);
      }
      const comment = comments.get(number);
      this.chunks.set(number, chunk);
      // A note brings its own space: the empty line above it is not shown.
      const isGap = !source.lines[index].trim() && comments.has(number + 1);
      if (!isGap) chunk.entries.push(comment ?? number);
      if (comment) index += comment.last - comment.first;
    }
    if (source.cut) {
      this.node.append(el("p", { class: "cut" }, say("The rest of this source is not shown.")));
    }
    for (const node of new Set(this.chunks.values())) {
      if (source.lines.length <= 2 * CHUNK) this.ensure(node);
      else {
        node.style.height = `calc(${node.entries.length} * 1.62em)`;
        this.near.observe(node);
      }
    }
  }

  ensure(chunk) {
    if (!chunk?.entries) return;
    const { entries } = chunk;
    chunk.entries = null;
    this.near.unobserve(chunk);
    chunk.style.height = "";
    const tokens = tokensOf(this.source);
    const records = [];
    const blocks = [];
    for (const entry of entries) {
      const index = (entry.first ?? entry) - this.source.first;
      const whole = this.source.lines[index];
      if (typeof entry === "number") {
        const record = this.line(entry, whole, tokens[index]);
        records.push(record);
        this.records.set(entry, record);
        chunk.append(record.node);
      } else {
        const block = { comment: entry, text: null, node: el("div", { class: "note" }) };
        const lead = whole.length - whole.trimStart().length - this.indent;
        block.node.style.setProperty("--indent", clamp(lead, 0, 40));
        blocks.push(block);
        chunk.append(block.node);
      }
    }
    this.blocks.push(...blocks);
    if (this.frame) this.fill(records, blocks, true);
  }

  at(line) {
    this.ensure(this.chunks.get(line));
    return this.records.get(line);
  }

  line(number, whole, tokens) {
    const text = clip(whole, LIMIT.lineLength);
    const code = el("span", { class: "text", translate: "no" });
    const node = el(
      "div",
      { class: "line", "data-line": String(number) },
      el("span", { class: "number", "aria-hidden": "true" }, String(number)),
      code,
    );
    const lead = text.length - text.trimStart().length - this.indent;
    if (lead > 0) code.style.setProperty("--lead", Math.min(lead, 40));
    const record = { number, text, tokens, node, code, shape: null, shown: null, words: [] };
    this.write(record, null);
    return record;
  }

  /** The line's text, with `hot` (start and end column) as the current expression. */
  write(record, hot) {
    const { text, tokens } = record;
    record.words = [];
    const onName = (node, token, index) => {
      node.classList.add("name");
      node.dataset.token = index;
      record.words.push({ node, token });
    };
    const from = Math.min(this.indent, text.length);
    const part = (start, end) => codeNodes(text, tokens, start, end, onName);
    const nodes = [];
    if (hot) {
      const start = clamp(hot[0], from, text.length);
      const end = clamp(hot[1], start, text.length);
      nodes.push(...part(from, start), el("mark", {}, part(start, end)), ...part(end, text.length));
    } else nodes.push(...part(from, text.length));
    record.code.replaceChildren(...nodes, ...(record.shape ? [record.shape] : []));
  }

  /** Show this function as it ran in `item`'s frame, at `item`. */
  show(item, frame, face) {
    const isNew = frame !== this.frame;
    const isTurned = face !== this.face;
    this.frame = frame;
    this.face = face;
    this.time = item.at;
    this.fill(this.records.values(), this.blocks, isNew, isTurned);
    this.mark(item);
    this.light(this.marked);
  }

  /** Bring the shapes, notes and lights of these lines to the present. */
  fill(records, blocks, isNew, isTurned = false) {
    for (const record of records) {
      const entries = this.frame?.ends.get(record.number);
      const shown = entries ? entries[nearest(entries, this.time)].shown : null;
      if (isNew) this.markRun(record);
      if (shown !== record.shown || (isTurned && shown)) {
        record.shown = shown;
        record.shape?.remove();
        record.shape = shown?.length ? this.shapes(shown) : null;
        if (record.shape) record.code.append(record.shape);
        this.light([record]);
      } else if (isNew) this.light([record]);
    }
    for (const block of blocks) this.writeNote(block);
  }

  markRun(record) {
    const runs = this.frame?.statements.has(record.number) || this.frame?.ends.has(record.number);
    record.node.classList.toggle("runs", Boolean(runs));
    record.flag?.remove();
    record.flag = this.flag(this.frame?.flags?.get(record.number), record.number);
    if (record.flag) record.node.insertBefore(record.flag, record.code);
    this.markParts(record);
  }

  /** Where a chapter begins its title, above the line's note; at a loop how many rounds are alike. */
  markParts(record) {
    const { node, number } = record;
    record.heading?.remove();
    record.times?.remove();
    const chapter = this.frame?.headings?.get(number);
    const loop = this.frame?.loops?.get(number);
    record.heading = chapter ? heading(chapter, this.goto) : null;
    record.times = loop ? times(loop, this.goto) : null;
    const above = node.previousElementSibling;
    if (record.heading) (above?.matches(".note") ? above : node).before(record.heading);
    if (record.times) node.append(record.times);
  }

  /** The sign beside a line's number, the gravest where there are several. */
  flag(flags, number) {
    const gravest = ["failed", "root", "warned"].map((k) => flags?.find(({ kind }) => kind === k));
    const first = gravest.find(Boolean);
    if (!first) return null;
    const title = clip(flags.map(({ title }) => title).join("\n"), 600);
    const go = (event) => {
      event.stopPropagation();
      this.goto(first.path);
    };
    return el(
      "button",
      {
        type: "button",
        class: `flag flag-${first.kind}`,
        title,
        "aria-label": say("Line {number}: {title}. Go there.", { number, title }),
        onclick: go,
      },
      icon(ICONS[first.kind]),
    );
  }

  /** The note as filled by the execution nearest in time, or with open gaps if it never ran. */
  writeNote(block) {
    const groups = this.frame?.statements.get(block.comment.line);
    const filled = groups ? groups[nearest(groups, this.time)].note : "";
    const text = filled || leftOpen(block.comment.text);
    if (text === block.text) return;
    block.text = text;
    block.node.lang = languageOf(text);
    block.node.replaceChildren(...markdown(text.replace(/^#+ ?/gm, ""), this.model));
  }

  shapes(notes) {
    const shown = notes.slice(0, notes.length > 3 ? 2 : 3);
    const parts = shown.flatMap((note, index) => [index ? ", " : "", this.shape(note)]);
    if (notes.length > shown.length) parts.push(`, +${notes.length - shown.length}`);
    const hasFormulas = notes.some(({ dims }) => dims?.length);
    return el(
      "span",
      {
        class: hasFormulas && this.face !== "numbers" ? "shape symbolic" : "shape",
        title: notes.slice(0, 6).map(describeNote).join("\n"),
      },
      parts,
    );
  }

  shape(note) {
    const labels = this.model.labels.get(note.id) ?? [];
    const sizes = note.shape.slice(0, LIMIT.rank).flatMap((size, index) => {
      const node = el("span", { class: "size" }, this.size(note, index));
      paintDimension(node, this.model, note, index, labels[index]);
      return index ? [", ", node] : [node];
    });
    const end = note.shape.length > LIMIT.rank ? ", …)" : note.shape.length === 1 ? ",)" : ")";
    return el("span", {}, "(", sizes, end);
  }

  size(note, axis) {
    const { face } = this;
    const number = String(note.shape[axis]);
    const formula = face === "numbers" ? null : note.dims?.[axis];
    if (!formula) return [number];
    const symbols = el("span", { class: "formula" }, formulaNodes(formula.text, this.model, 40));
    if (face === "formulas" || formula.text === number) return [symbols];
    return [symbols, el("small", {}, clip(number, 12))];
  }

  mark({ span, statement, place, source }) {
    for (const record of this.marked) {
      record.node.classList.remove("current", "stated");
      if (record.hot) this.write(record, null);
      record.hot = false;
    }
    this.marked = [];
    const each = (from, to, use) => {
      for (let line = from; line <= Math.min(to, from + 200); line += 1) {
        const record = this.at(line);
        if (record) use(record, line);
      }
    };
    const whole = statement ?? span;
    if (whole) {
      each(whole.line, whole.end_line, (record) => {
        record.node.classList.add("stated");
        this.marked.push(record);
      });
    }
    if (span) {
      each(span.line, span.end_line, (record, line) => {
        const start = line === span.line ? span.column : record.text.match(/^\s*/)[0].length;
        const end = line === span.end_line ? span.end_column : record.text.length;
        this.write(record, [start, end]);
        record.hot = true;
        record.node.classList.add("current");
        if (!this.marked.includes(record)) this.marked.push(record);
      });
    } else if (source === this.source) {
      const record = this.at(place.line);
      record?.node.classList.add("current", "stated");
      if (record) this.marked.push(record);
    }
  }

  currentRecord() {
    return this.marked.find(({ node }) => node.classList.contains("current"));
  }

  /** Whether the current line can be seen; where there is none, none is missed. */
  isInSight() {
    const line = this.currentRecord()?.node.getBoundingClientRect();
    const { top, bottom } = this.panel.getBoundingClientRect();
    return !line || (line.bottom > top && line.top < bottom);
  }

  /** Bring the current expression into view by scrolling its panel alone. */
  reveal() {
    const { panel: scroller } = this;
    const record = this.currentRecord();
    // Before the first step there is nothing to point at: the reader begins at the top.
    if (this.time < 0) scroller.scrollTop = 0;
    if (!record) return;
    if (this.scrolled !== undefined && this.isBack) scroller.scrollTop = this.scrolled;
    this.isBack = false;
    const height = scroller.clientHeight;
    const above = record.node.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
    if (above < height * 0.12 || above > height * 0.78) scroller.scrollTop += above - height * 0.4;
  }

  /** The ids of the tensors that a word stands for. */
  resolve(record, token) {
    return this.frame ? namedBy(this.frame, record.number, token, this.time) : [];
  }

  itemAt(line, column) {
    return this.frame && itemAt(this.frame, line, column, this.time);
  }

  light(records) {
    const { lit } = this.lamp;
    for (const record of records) {
      for (const { node, token } of record.words) {
        const on = lit.size > 0 && this.resolve(record, token).some((id) => lit.has(id));
        if (on !== node.classList.contains("lit")) node.classList.toggle("lit", on);
      }
    }
  }
}
