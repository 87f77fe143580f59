/**
 * The player of a trace: source, shapes, notes, heatmaps and transport, drawn by the browser alone.
 *
 * One module without dependencies, mounted in the walkthrough page, in the exported HTML file and
 * in notebooks.  A trace may come from anyone, so its text enters the document as text nodes only,
 * and every number of it is clamped before it is used.
 *
 * What is indexed once when a trace arrives:
 *   items   every step (children included) and every module call, in the order of time;
 *   frames  one run of one function: the items written in it, grouped by statement execution.
 * What changes with the reader: `opened` steps and `closed` calls, from which the visible list
 * follows; a step of the player moves along that list and touches only what differs.
 */

const LIMIT = {
  lines: 20_000,
  lineLength: 1_000,
  text: 300,
  note: 8_000,
  message: 4_000,
  rank: 12,
  tensors: 8,
  owned: 16,
  thumbnails: 8,
  side: 4_096,
  panels: 40,
  pictures: 300,
  formula: 160,
  constraints: 40,
  aliases: 12,
  fixes: 8,
  changes: 12,
  changedLines: 40,
  warnings: 200,
};
/** How the sizes of a trace with formulas are written. */
const FACES = ["numbers", "formulas", "both"];
const SPEEDS = [0.5, 1, 2, 4, 8];
const PLAY_MILLISECONDS = 1_400;
const URL_MILLISECONDS = 250;
const CHUNK = 80;

// Okabe and Ito's colours, without black, which is the text's own.
const DIMENSION_COLOURS = [
  "#E69F00",
  "#56B4E9",
  "#009E73",
  "#CC79A7",
  "#0072B2",
  "#D55E00",
  "#F0E442",
];

// --- Small tools ------------------------------------------------------------------------------

/** An element; strings among the children become text nodes. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== "") node.append(child);
  }
  return node;
}

const SVG = "http://www.w3.org/2000/svg";
const MATHML = "http://www.w3.org/1998/Math/MathML";

function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  shape.setAttribute("fill-rule", "evenodd");
  svg.append(shape);
  return svg;
}

const ICONS = {
  first: "M3 3h1.8v10H3zM13 3v10L6 8z",
  previous: "M11 3v10L4 8z",
  play: "M4.5 2.5v11l9-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  next: "M5 3v10l7-5z",
  last: "M11.200 3H13v10h-1.800zM3 3v10l7-5z",
  warned: "M8 1l7.700 13.500H.3zM7.200 5.500l.2 5h1.200l.2-5zM7.200 11.600h1.600v1.500H7.200z",
  failed: "M3.400 2L8 6.600 12.600 2 14 3.400 9.400 8 14 12.600 12.600 14 8 9.400 3.400 14 2 12.600 6.600 8 2 3.400z",
  root: "M8 1l7 7-7 7-7-7zM8 4.500L4.500 8 8 11.500 11.500 8z",
};

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** At most `length` characters, without those that would reorder the text around them. */
function clip(text, length = LIMIT.text) {
  const whole = String(text ?? "").replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  return whole.length > length ? `${whole.slice(0, length - 1)}…` : whole;
}

/** For the choice of a font and of a voice: notes in Chinese are told by their characters. */
const languageOf = (text) => (/[\u4e00-\u9fff]/.test(text) ? "zh" : "");

const isOwned = (kind) => kind === "parameter" || kind === "buffer";

const isWhole = (value) => Number.isInteger(value) && Math.abs(value) < 1e9;

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

function figure(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(digits - 2).replace("e+", "e");
  return String(Number(value.toPrecision(digits)));
}

/** The shortest decimal that names exactly this float32. */
function exactly(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "−Inf";
  for (let digits = 1; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds < 1e-3) return `${figure(seconds * 1e6, 3)} µs`;
  if (seconds < 1) return `${figure(seconds * 1e3, 3)} ms`;
  return `${figure(seconds, 3)} s`;
}

/** `1.2 GFLOP`, `23.7 MB`: a count in thousands of thousands. */
function amount(count, unit) {
  const prefixes = ["", "k", "M", "G", "T", "P"];
  if (!Number.isFinite(count) || count < 0) return "–";
  let level = 0;
  let value = count;
  // What would round to 1000 of this is 1 of the next.
  while (Number(value.toPrecision(3)) >= 1000 && level < prefixes.length - 1) {
    value /= 1000;
    level += 1;
  }
  const plain = level === 0 && unit === "B" ? (count === 1 ? "byte" : "bytes") : unit;
  return `${figure(value, 3)} ${prefixes[level]}${plain}`;
}

/** `(2, 64, 14800)`, or as formulas `(B, C, H·W)`, or with both `(B = 2, C = 64, H·W = 14800)`. */
function shapeText({ shape, dims }, face = "numbers") {
  const shown = shape.slice(0, LIMIT.rank).map((size, axis) => {
    const text = face === "numbers" || !dims?.length ? null : clip(dims[axis].text, LIMIT.formula);
    if (text === null || text === String(size)) return clip(size, 40);
    return face === "formulas" ? text : `${text} = ${clip(size, 40)}`;
  });
  if (shape.length > LIMIT.rank) shown.push("…");
  return `(${shown.join(", ")}${shape.length === 1 ? "," : ""})`;
}

/** The position of the last entry of the sorted `list` with `at` not after `time`, or 0. */
function nearest(list, time) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].at <= time) low = middle + 1;
    else high = middle;
  }
  return Math.max(low - 1, 0);
}

// --- Reading a trace --------------------------------------------------------------------------

const NO_EXPLANATION = { summary: "", changes: [], inputs: [], outputs: [], children: [] };

/** The span if it lies inside the source, else null: a file may say anything. */
function checkedSpan(span, source) {
  if (!span || !source) return null;
  const last = source.first + source.lines.length - 1;
  const whole = [span.line, span.column, span.end_line, span.end_column].every(isWhole);
  if (!whole || span.line < source.first || span.end_line > last) return null;
  if (span.column < 0 || span.end_column < 0 || span.end_line < span.line) return null;
  if (span.end_line === span.line && span.end_column <= span.column) return null;
  return span;
}

const spanKey = (span) => `${span.line}:${span.column}:${span.end_line}:${span.end_column}`;

function contains(outer, inner) {
  const starts =
    inner.line > outer.line || (inner.line === outer.line && inner.column >= outer.column);
  const ends =
    inner.end_line < outer.end_line ||
    (inner.end_line === outer.end_line && inner.end_column <= outer.end_column);
  return starts && ends;
}

/** All that is looked up while stepping, computed once. */
function readTrace(payload) {
  const { trace } = payload;
  const notes = new Map(payload.tensors.map((note) => [note.id, note]));
  const sources = trace.sources.map((source) => ({
    file: source.file,
    function: source.function,
    first: isWhole(source.first) ? source.first : 1,
    lines: source.text.split("\n", LIMIT.lines),
    cut: source.text.split("\n").length > LIMIT.lines,
    comments: source.comments,
    tokens: null,
  }));
  const known = (ids) => ids.map((id) => notes.get(id)).filter(Boolean);

  const nodes = [];
  const addStep = (step, explanation, said, parent, path) => {
    const source = sources[step.place.source] ?? null;
    const node = {
      kind: "step",
      step,
      path,
      parent,
      explanation: explanation ?? NO_EXPLANATION,
      // The same sentences with formulas in the place of numbers.
      said: said ?? explanation ?? NO_EXPLANATION,
      at: nodes.length,
      end: nodes.length,
      position: -1,
      call: step.call,
      owner: parent ? `s${parent.at}` : `c${step.call}`,
      place: step.place,
      source,
      span: checkedSpan(step.place.span, source),
      statement: checkedSpan(step.place.statement_span, source),
      targets: step.targets,
      names: step.names,
      note: step.note,
      error: step.error,
      inputs: known(step.inputs),
      outputs: known(step.outputs),
      children: [],
      group: null,
    };
    nodes.push(node);
    node.children = step.children.map((child, index) =>
      addStep(
        child,
        node.explanation.children[index],
        node.said.children[index],
        node,
        `${path}.${index}`,
      ),
    );
    node.end = nodes.length - 1;
    return node;
  };
  const tops = trace.steps.map((step, index) =>
    addStep(step, payload.explanations[index], payload.said?.[index], null, String(index)),
  );

  const after = nodes.length;
  const startOf = (index) => (index < tops.length ? tops[index].at : after);
  const calls = trace.calls.map((call) => {
    const source = sources[call.place.source] ?? null;
    const at = startOf(call.start);
    return {
      kind: "call",
      callee: call,
      path: `c${call.index}`,
      parent: null,
      at,
      end: Math.max(at, startOf(call.stop) - 1),
      position: -1,
      call: call.parent,
      owner: `c${call.parent}`,
      place: call.place,
      source,
      span: checkedSpan(call.place.span, source),
      statement: checkedSpan(call.place.statement_span, source),
      targets: call.targets,
      names: [],
      note: call.note,
      error: null,
      inputs: known(call.inputs),
      outputs: known(call.outputs),
      children: [],
      group: null,
    };
  });

  const failing = failedStep(trace, tops) ?? failureItem(trace, sources, known, after);

  const items = [...nodes, ...calls.filter((item) => item.callee.parent !== null)];
  if (failing?.kind === "failure") items.push(failing);
  // A call begins with its first step: in its caller's frame only the call is seen.
  items.sort((a, b) => a.at - b.at || (a.kind === "call" ? -1 : 0) - (b.kind === "call" ? -1 : 0));

  const model = {
    payload,
    trace,
    notes,
    sources,
    nodes,
    tops,
    calls,
    failing,
    frames: indexFrames(items),
    labels: new Map(),
    colours: new Map(),
    math: payload.math ?? {},
    symbols: new Map((trace.symbols ?? []).map(({ name, value }) => [name, value])),
    hasFormulas: payload.tensors.some(({ dims }) => dims?.length),
    formulas: new Map(),
    warnings: new Map(),
  };
  addSignatures(model);
  nameDimensions(model);
  addFlags(model);
  return model;
}

/** Signs for the lines of a frame: what failed, where its cause was born, what is suspicious. */
function addFlags(model) {
  const { trace, tops, failing } = model;
  const flag = (node, kind, title) => {
    const { frame, line } = node?.group ?? {};
    if (!frame) return;
    frame.flags ??= new Map();
    append(frame.flags, node.span?.line ?? line, { kind, title, path: node.path });
  };
  if (failing) flag(failing, "failed", "the run failed here");
  const origin = tops[rootStep(trace)];
  if (origin && origin !== failing) flag(origin, "root", "the cause of the failure");
  for (const { step, reason, kind } of trace.warnings ?? []) {
    if (!tops[step]) continue;
    append(model.warnings, step, { kind, reason });
    if (model.warnings.size <= LIMIT.warnings) flag(tops[step], "warned", `suspicious: ${clip(reason)}`);
  }
}

/** The step at which what went wrong was born, null where that is no step. */
function rootStep({ failure }) {
  return failure?.root?.kind === "step" ? failure.root.step : null;
}

/** The step that the run failed at. */
function failedStep({ failure }, tops) {
  const node = failure?.step ? tops[failure.step.index] : null;
  return node && node.error !== null ? node : null;
}

/** A failure that no recorded step stands for, as an item of its own at the end. */
function failureItem(trace, sources, known, at) {
  const { failure } = trace;
  if (!failure) return null;
  const source = sources[failure.place.source] ?? null;
  let call = 0;
  for (const candidate of trace.calls) {
    if (candidate.module === failure.module) call = candidate.index;
  }
  const step = failure.step;
  return {
    kind: "failure",
    step,
    path: "failure",
    parent: null,
    explanation: NO_EXPLANATION,
    at,
    end: at,
    position: -1,
    call,
    owner: `c${call}`,
    place: failure.place,
    source,
    span: checkedSpan(failure.place.span, source),
    statement: checkedSpan(failure.place.statement_span, source),
    targets: [],
    names: step ? step.names : [],
    note: step ? step.note : "",
    error: failure.message,
    inputs: known(failure.operands.map((operand) => operand.note)),
    outputs: [],
    children: [],
    group: null,
  };
}

/**
 * Frames by key `source/owner`.  A group is one execution of one statement: consecutive items of a
 * frame on the same statement, until the same operation of the same expression comes again.
 */
function indexFrames(items) {
  const frames = new Map();
  for (const item of items) {
    if (item.source === null) continue;
    const key = `${item.place.source}/${item.owner}`;
    let frame = frames.get(key);
    if (!frame) {
      frame = {
        key,
        source: item.source,
        groups: [],
        ends: new Map(),
        statements: new Map(),
        definitions: new Map(),
        call: null,
      };
      frames.set(key, frame);
    }
    const last = item.source.first + item.source.lines.length - 1;
    const line = item.statement?.line ?? clamp(item.place.line, item.source.first, last);
    const mark = `${item.span ? spanKey(item.span) : item.path} ${item.step?.op ?? item.kind}`;
    let group = frame.groups.at(-1);
    if (!group || group.line !== line || group.marks.has(mark)) {
      group = { frame, line, at: item.at, span: item.statement, items: [], marks: new Set() };
      frame.groups.push(group);
      append(frame.statements, line, group);
    }
    group.marks.add(mark);
    group.items.push(item);
    item.group = group;
  }
  for (const frame of frames.values()) {
    for (const group of frame.groups) finishGroup(frame, group);
  }
  return frames;
}

function append(map, key, value) {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

function finishGroup(frame, group) {
  delete group.marks;
  group.names = new Map();
  group.note = "";
  group.targets = new Map();
  group.written = new Map();
  const ends = new Map();
  for (const item of group.items) {
    ends.set(item.span?.end_line ?? group.line, item);
    group.note ||= item.note;
    if (item.step?.writes && item.inputs.length && item.outputs.length) {
      group.written.set(item.inputs[0].id, item.outputs[0].id);
    }
    for (const [name, id] of item.names) if (!group.names.has(name)) group.names.set(name, id);
    item.targets.forEach((target, index) => {
      const { outputs } = item;
      const ids = item.targets.length === 1 ? outputs : outputs.slice(index, index + 1);
      group.targets.set(
        target,
        ids.map((note) => note.id),
      );
    });
  }
  for (const [line, item] of ends) {
    append(frame.ends, line, { at: group.at, shown: item.outputs });
  }
  // What each name stood for, as it was seen: an argument shows at its first use.
  for (const [name, id] of group.names) {
    const known = frame.definitions.get(name)?.at(-1);
    if (!known?.ids.includes(id)) {
      append(frame.definitions, name, { at: group.at - 0.5, ids: [id] });
    }
  }
  for (const [name, ids] of group.targets) append(frame.definitions, name, { at: group.at, ids });
}

/** What comes in at the `def` line, and what goes out at the only `return` of a module's forward. */
function addSignatures(model) {
  const main = new Map();
  for (const frame of model.frames.values()) {
    const owner = frame.key.slice(frame.key.indexOf("/") + 1);
    const call = owner.startsWith("c") ? model.calls[Number(owner.slice(1))] : null;
    if (!call) continue;
    const isForward = /(^|\.)forward$/.test(frame.source.function);
    if (!main.has(call) || isForward) main.set(call, frame);
  }
  const forwards = new Map([...main].map(([call, frame]) => [frame, call]));
  for (const frame of model.frames.values()) {
    const { first, lines } = frame.source;
    const call = forwards.get(frame);
    const at = (call?.at ?? frame.groups[0].at) - 1;
    const define = lines.findIndex(isDefinition);
    if (define >= 0 && !frame.ends.has(first + define)) {
      const names = lines[define].match(WORDS) ?? [];
      const ids = names.flatMap((name) => frame.definitions.get(name)?.[0].ids ?? []);
      const shown = call?.inputs ?? [...new Set(ids)].map((id) => model.notes.get(id));
      frame.ends.set(first + define, [{ at, shown: shown.filter(Boolean) }]);
    }
    const returns = lines.flatMap((line, index) => (/^\s*return\b/.test(line) ? [index] : []));
    if (call && returns.length === 1 && !frame.ends.has(first + returns[0])) {
      frame.ends.set(first + returns[0], [{ at, shown: call.outputs }]);
    }
  }
}

const isDefinition = (line) => /^\s*(async\s+)?def\s/.test(line);

const WORDS = /[\p{L}_][\p{L}\p{N}_]*/gu;
const LETTERS = /\p{L}[\p{L}\p{N}_]*/gu;

/** Which colour each letter has, and the letters of each tensor as first explained. */
function nameDimensions(model) {
  const seen = new Set();
  const look = (notes, rows) => {
    notes.forEach((note, index) => {
      const labels = rows[index] ?? [];
      if (!model.labels.has(note.id)) model.labels.set(note.id, labels);
      labels.forEach((label, axis) => {
        const key = `${label}\n${note.dims?.[axis]?.text ?? ""}`;
        if (seen.has(key)) return;
        seen.add(key);
        for (const letter of dimensionLetters(model, note, axis, label)) {
          if (model.colours.has(letter)) continue;
          const next = DIMENSION_COLOURS[model.colours.size % DIMENSION_COLOURS.length];
          model.colours.set(letter, next);
        }
      });
    });
  };
  for (const node of model.nodes) {
    look(node.inputs, node.explanation.inputs);
    look(node.outputs, node.explanation.outputs);
  }
}

const lettersOf = (text, letters = LETTERS) => [...new Set(clip(text).match(letters) ?? [])];

// In a formula `H²` is H: other digits that are no decimal ones belong to a name.
const NAMES = /\p{L}[\p{L}\p{Nd}₀-₉_]*/gu;

/** What a dimension is made of: the symbols of its formula, else the letters of its label. */
function dimensionLetters(model, note, axis, label) {
  const formula = note.dims?.[axis];
  const names = formula ? lettersOf(formula.text, NAMES) : [];
  const symbols = names.filter((name) => model.symbols.has(name));
  return symbols.length ? symbols : lettersOf(label ?? "");
}

/** Equal dimensions have equal colours: one, two for a product, none for a plain number. */
function paintDimension(node, model, note, axis, label) {
  const letters = dimensionLetters(model, note, axis, label);
  if (!letters.length) return;
  const [first, second] = letters.map((letter) => model.colours.get(letter) ?? "transparent");
  node.style.setProperty("--dim", first);
  node.style.setProperty("--dim-end", second ?? first);
  const formula = note.dims?.[axis];
  const isResized = formula && model.symbols.has(letters[0])
    ? !/^[\p{L}\p{N}_]+(·[\p{L}\p{N}_]+)*$/u.test(formula.text)
    : /[′″‴']/.test(clip(label));
  node.classList.toggle("derived", isResized);
}

const FORMULA_PARTS = /\p{L}[\p{L}\p{Nd}₀-₉_]*|[·+−,]\s?|[^\p{L}·+−,]+/gu;

/** A formula as in print: names of one letter slanted, a line may end behind an operator. */
function formulaNodes(text, model, length = LIMIT.formula) {
  const short = clip(text, length);
  let template = model.formulas.get(short);
  if (!template) {
    template = document.createDocumentFragment();
    for (const [part] of short.matchAll(FORMULA_PARTS)) {
      const isLetter = /^\p{L}[₀-₉]*$/u.test(part);
      template.append(isLetter ? el("var", {}, part) : part);
      if (/^[·+−,]/.test(part)) template.append(el("wbr"));
    }
    model.formulas.set(short, template);
  }
  return template.cloneNode(true);
}

/** `H·W = 14800, called N in the source`: what a formula's place says when pointed at. */
function formulaTitle({ text, aliases }, size) {
  const names = aliases.slice(0, 4).map((name) => clip(name, 40));
  const called = names.length ? `, called ${names.join(", ")} in the source` : "";
  const value = text === String(size) ? "" : ` = ${clip(size, 40)}`;
  return `${clip(text, 600)}${value}${called}`;
}

// --- Python, coloured -------------------------------------------------------------------------

const KEYWORDS = new Set(
  `False None True and as assert async await break case class continue def del elif else except
   finally for from global if import in is lambda match nonlocal not or pass raise return try while
   with yield`.split(/\s+/),
);
const TOKEN = new RegExp(
  [
    String.raw`(?<comment>#.*)`,
    String.raw`(?<triple>[rRbBuUfFtT]{0,2}(?:"""|'''))`,
    String.raw`(?<string>[rRbBuUfFtT]{0,2}(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?))`,
    String.raw`(?<number>0[xXbBoO][\da-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?[jJ]?)`,
    String.raw`(?<word>[\p{L}_][\p{L}\p{N}_]*)`,
    String.raw`(?<operator>(?:\*\*|\/\/|<<|>>|[-+*\/%@&|^:])?=(?!=)|[<>!=]=|.)`,
  ].join("|"),
  "uy",
);

/**
 * The tokens of each line: `{start, end, kind, chain, target}`.  `chain` is the dotted name that
 * ends with this word (`self.gamma`), null when the word names no variable; `target` is true when
 * the statement assigns to it.
 */
function tokenize(lines) {
  const state = { closing: null, depth: 0, pending: [] };
  return lines.map((line) => tokenizeLine(line.slice(0, LIMIT.lineLength), state));
}

function tokenizeLine(text, state) {
  const tokens = [];
  let at = 0;
  const closeTriple = () => {
    const found = text.indexOf(state.closing, at);
    const end = found < 0 ? text.length : found + 3;
    if (found >= 0) state.closing = null;
    return end;
  };
  if (state.closing) {
    at = closeTriple();
    tokens.push({ start: 0, end: at, kind: "string", chain: null, target: false });
  }
  if (state.depth === 0) state.pending = [];
  let previous = null;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) break;
    const [whole] = match;
    const start = at;
    at += whole.length;
    const token = { start, end: at, kind: "operator", chain: null, target: false };
    const { comment, triple, string, number, word } = match.groups;
    if (comment) token.kind = "comment";
    else if (triple) {
      token.kind = "string";
      state.closing = triple.slice(-3);
      token.end = at = closeTriple();
    } else if (string) token.kind = "string";
    else if (number) token.kind = "number";
    else if (word) nameWord(token, word, previous, text, state);
    else if (whole.trim() === "") continue;
    else nameOperator(token, whole, previous, state);
    token.text = whole;
    tokens.push(token);
    previous = token;
  }
  return tokens;
}

function nameWord(token, word, previous, text, state) {
  token.kind = KEYWORDS.has(word) ? "keyword" : "word";
  if (token.kind === "keyword") return;
  if (previous?.kind === "keyword" && /^(def|class)$/.test(previous.text)) {
    token.kind = "defined";
    return;
  }
  if (word === "self") token.kind = "self";
  const isArgumentName = state.depth > 0 && /^\s*=(?!=)/.test(text.slice(token.end));
  if (isArgumentName) return;
  if (previous?.text === "." && previous.end === token.start) {
    if (previous.owner) token.chain = `${previous.owner}.${word}`;
  } else token.chain = word;
  if (state.depth === 0 && token.chain) state.pending.push(token);
}

function nameOperator(token, operator, previous, state) {
  if (operator === ".") token.owner = previous?.chain;
  else if (/^[([{]$/.test(operator)) state.depth += 1;
  else if (/^[)\]}]$/.test(operator)) state.depth = Math.max(0, state.depth - 1);
  else if (operator === ":=" && previous) previous.target = true;
  else if (/=$/.test(operator) && !/^[<>!=]=$/.test(operator) && state.depth === 0) {
    for (const assigned of state.pending) assigned.target = true;
  } else if (operator === ";" && state.depth === 0) state.pending = [];
}

const tokensOf = (source) => (source.tokens ??= tokenize(source.lines));

/** Text `text.slice(start, end)` of a line as nodes, words that name variables as elements. */
function codeNodes(text, tokens, start, end, onName) {
  const nodes = [];
  let at = start;
  tokens.forEach((token, index) => {
    const from = Math.max(token.start, start);
    const to = Math.min(token.end, end);
    if (from >= to || (token.kind === "operator" && !token.chain)) return;
    if (token.kind === "word" && !token.chain) return;
    if (from > at) nodes.push(text.slice(at, from));
    const node = el("span", { class: `t-${token.kind}` }, text.slice(from, to));
    if (token.chain) onName?.(node, token, index);
    nodes.push(node);
    at = to;
  });
  if (at < end) nodes.push(text.slice(at, end));
  return nodes;
}

// --- Notes: a little Markdown, and formulas ----------------------------------------------------

const INLINE = new RegExp(
  [
    "`(?<code>[^`]{1,500})`",
    String.raw`(?<formula>\$\$(?:[^$]{1,500})\$\$|\$(?:[^$\n]|\n(?!\s*\n)){1,500}\$)`,
    String.raw`\*\*(?<strong>[^*]{1,500})\*\*`,
    String.raw`\*(?<em>[^*\s][^*]{0,500})\*`,
    String.raw`\[(?<label>[^\]\n]{1,300})\]\((?<href>https?:\/\/[^\s)]{1,1000})\)`,
  ].join("|"),
  "g",
);

function inline(text, model, depth = 0) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(at, match.index));
    at = match.index + match[0].length;
    const { code, formula, strong, em, label, href } = match.groups;
    const inner = (part) => (depth < 3 ? inline(part, model, depth + 1) : [part]);
    if (code) nodes.push(el("code", {}, code));
    else if (formula) nodes.push(formulaNode(formula, model));
    else if (strong) nodes.push(el("strong", {}, inner(strong)));
    else if (em) nodes.push(el("em", {}, inner(em)));
    else {
      const link = { href, target: "_blank", rel: "noopener noreferrer" };
      nodes.push(el("a", link, inner(label)));
    }
  }
  nodes.push(text.slice(at));
  return nodes;
}

function formulaNode(formula, model) {
  const tree = Object.hasOwn(model.math, formula) ? model.math[formula] : null;
  return tree ? mathNode(tree) : el("code", {}, formula);
}

function mathNode([tag, attributes, children]) {
  if (!/^m[a-z]+$/.test(tag)) return document.createTextNode("");
  const node = document.createElementNS(MATHML, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (!/^(on|href|src|style)/i.test(name)) node.setAttribute(name, value);
  }
  node.append(...children.map((child) => (typeof child === "string" ? child : mathNode(child))));
  return node;
}

/** Paragraphs and `-` lists; all else is inline. */
function markdown(text, model) {
  const blocks = [];
  for (const block of clip(text, LIMIT.note).split(/\n[ \t]*\n/)) {
    const lines = block.split("\n");
    if (lines.every((line) => /^\s*([-*•]\s+|\s{2,})/.test(line)) && /^\s*[-*•]\s/.test(block)) {
      const items = block.split(/\n(?=\s*[-*•]\s)/).map((item) => item.replace(/^\s*[-*•]\s+/, ""));
      blocks.push(
        el(
          "ul",
          {},
          items.map((item) => el("li", {}, inline(item, model))),
        ),
      );
    } else if (block.trim()) blocks.push(el("p", {}, inline(block.trim(), model)));
  }
  return blocks;
}

// --- Heatmaps ---------------------------------------------------------------------------------

function ramp(stops) {
  const table = new Uint32Array(256);
  for (let level = 0; level < 256; level += 1) {
    const place = (level / 255) * (stops.length - 1);
    const left = Math.min(Math.floor(place), stops.length - 2);
    const [from, to] = [stops[left], stops[left + 1]];
    const channel = (index) => Math.round(from[index] + (to[index] - from[index]) * (place - left));
    table[level] = rgb(channel(0), channel(1), channel(2));
  }
  return table;
}

const rgb = (red, green, blue) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;

const DIVERGING = ramp([
  [18, 52, 120],
  [52, 120, 190],
  [150, 196, 226],
  [250, 250, 250],
  [244, 170, 138],
  [204, 70, 60],
  [116, 12, 34],
]);
const SEQUENTIAL = ramp([
  [20, 22, 62],
  [44, 62, 116],
  [60, 112, 134],
  [88, 158, 120],
  [170, 196, 92],
  [250, 236, 140],
]);
const MAGENTA = rgb(230, 0, 160);
const BLACK = rgb(0, 0, 0);
const GREEN = rgb(90, 255, 90);
const VIOLET = rgb(120, 60, 255);

/** The picture of a tensor as float32 cells, decoded when first looked at; null if it has none. */
class Pictures {
  constructor() {
    this.decoded = new Map();
  }

  cells(note) {
    const { heatmap } = note;
    if (!heatmap || !this.fits(heatmap)) return null;
    const known = this.decoded.get(note);
    if (known) return known;
    let cells = null;
    try {
      const text = atob(heatmap.cells);
      if (text.length === 4 * heatmap.rows * heatmap.columns) {
        const bytes = new Uint8Array(text.length);
        for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
        cells = new Float32Array(bytes.buffer);
      }
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
    }
    if (this.decoded.size >= LIMIT.pictures) this.decoded.clear();
    this.decoded.set(note, cells);
    return cells;
  }

  fits({ rows, columns }) {
    return [rows, columns].every((side) => isWhole(side) && side > 0 && side <= LIMIT.side);
  }
}

/**
 * Paint cells at one pixel each, or at many where some are not finite and need a pattern: NaN is
 * magenta, +Inf green and −Inf violet, each hatched with black.
 */
function paint(canvas, heatmap, cells) {
  const { rows, columns, signed } = heatmap;
  const strange = cells.some((value) => !Number.isFinite(value));
  const zoom = (side) => (strange && side <= 256 ? Math.ceil(320 / side) : 1);
  const [wide, high] = [zoom(columns), zoom(rows)];
  canvas.width = columns * wide;
  canvas.height = rows * high;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = signed ? DIVERGING : SEQUENTIAL;
  const reach = Math.max(Math.abs(heatmap.low ?? 0), Math.abs(heatmap.high ?? 0));
  const low = signed ? -reach : (heatmap.low ?? 0);
  const spread = (signed ? reach : (heatmap.high ?? 0)) - low;
  const scale = spread > 0 ? 255 / spread : 0;
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const value = cells[row * columns + column];
      const finite = Number.isFinite(value);
      const level = scale ? clamp(Math.round((value - low) * scale), 0, 255) : 128;
      const colour = finite ? colours[level] : strangeColour(value);
      for (let y = row * high; y < (row + 1) * high; y += 1) {
        for (let x = column * wide; x < (column + 1) * wide; x += 1) {
          pixels[y * canvas.width + x] = !finite && (x + y) % 7 < 2 ? BLACK : colour;
        }
      }
    }
  }
  context.putImageData(image, 0, 0);
}

function strangeColour(value) {
  if (Number.isNaN(value)) return MAGENTA;
  return value > 0 ? GREEN : VIOLET;
}

/** Width over height at which the picture is shown: the tensor's own, null to fill the room. */
function aspect(note) {
  const { rows, columns, row_axis: rowAxis, column_axis: columnAxis } = note.heatmap;
  if (rows === 1 || columns === 1) return rows === columns ? 1 : null;
  const height = note.shape[rowAxis] ?? rows;
  const width = note.shape[columnAxis] ?? columns;
  return width / height > 4 || width / height < 0.25 ? null : width / height;
}

/** One heatmap with its caption, scale and figures. */
class Figure {
  constructor(title, player) {
    this.player = player;
    this.note = null;
    this.cell = null;
    this.title = el("span", { class: "figure-title" }, title);
    this.name = el("span", { class: "figure-name" });
    this.choices = el("div", {
      class: "thumbnails",
      role: "group",
      "aria-label": `${title}: choose`,
    });
    this.canvas = el("canvas", { tabindex: "0", role: "img" });
    this.cursor = el("div", { class: "cell-cursor", hidden: true });
    this.frame = el("div", { class: "picture-frame" }, this.canvas, this.cursor);
    this.missing = el("p", { class: "picture-missing" });
    this.readout = el("p", { class: "readout" });
    this.low = el("span");
    this.high = el("span");
    this.bar = el("div", { class: "bar" });
    this.scale = el("div", { class: "scale" }, this.low, this.bar, this.high);
    this.stats = el("dl", { class: "stats" });
    this.node = el(
      "figure",
      { class: "figure" },
      el("figcaption", {}, this.title, this.name),
      this.choices,
      el("div", { class: "picture" }, this.frame, this.missing),
      this.scale,
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
      if (this.cells) this.player.pointAt(this, locate(event));
    };
    canvas.addEventListener("pointermove", follow);
    canvas.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      follow(event);
    });
    frame.addEventListener("pointerenter", () => this.note && this.player.light([this.note.id]));
    frame.addEventListener("pointerleave", () => {
      this.player.light(null);
      this.player.pointAt(this, null);
    });
    frame.addEventListener("click", () => this.note && this.player.toggleLock([this.note.id]));
    // Spoken only while the keys read the cells: at each step it would be noise.
    canvas.addEventListener("focus", () => this.readout.setAttribute("aria-live", "polite"));
    canvas.addEventListener("blur", () => {
      this.readout.removeAttribute("aria-live");
      this.player.pointAt(this, null);
    });
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      if (!(event.key in move) || !this.cells) return;
      event.preventDefault();
      event.stopPropagation();
      const { rows, columns } = this.note.heatmap;
      const [row, column] = this.cell ?? [0, 0];
      const [down, right] = this.cell ? move[event.key] : [0, 0];
      const to = [clamp(row + down, 0, rows - 1), clamp(column + right, 0, columns - 1)];
      this.player.pointAt(this, to);
    });
  }

  /** Show one of `notes`, each `{note, labels, name}`. */
  show(notes, absent) {
    const withPicture = notes.filter(({ note }) => note.heatmap);
    const shown = withPicture.slice(0, LIMIT.thumbnails);
    const chosen = shown.find(({ note }) => !isOwned(note.kind)) ?? shown[0] ?? notes[0];
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
    const cells = this.player.pictures.cells(note);
    if (cells) paint(canvas, note.heatmap, cells);
    const button = el(
      "button",
      {
        type: "button",
        class: "thumbnail",
        title: `${clip(name, 60)} ${shapeText(note, this.player.face)}`,
        "aria-label": `show ${clip(name, 60)}`,
        "data-note": String(note.id),
        onclick: choose,
      },
      canvas,
      el("span", {}, clip(name, 24)),
    );
    this.player.lights(button, [note.id]);
    return button;
  }

  display(entry, absent) {
    const note = entry?.note ?? null;
    this.note = note;
    this.labels = entry?.labels ?? [];
    this.cell = null;
    this.cursor.hidden = true;
    this.cells = note ? this.player.pictures.cells(note) : null;
    const face = this.player.face === "formulas" ? "formulas" : "numbers";
    this.name.textContent = note ? `${clip(entry.name, 60)} ${shapeText(note, face)}` : "";
    this.name.title = note?.dims?.length ? describeNote(note) : "";
    this.frame.hidden = this.cells === null;
    this.missing.hidden = this.cells !== null;
    this.scale.hidden = this.cells === null;
    if (note) this.frame.dataset.note = note.id;
    else delete this.frame.dataset.note;
    this.player.applyLight(this.frame);
    if (this.cells === null) this.missing.textContent = note ? this.why(note) : absent;
    else {
      const { heatmap } = note;
      paint(this.canvas, heatmap, this.cells);
      const shape = aspect(note);
      this.frame.classList.toggle("fill", shape === null);
      this.frame.style.setProperty("--aspect", shape ?? 1);
      const reach = Math.max(Math.abs(heatmap.low ?? 0), Math.abs(heatmap.high ?? 0));
      this.bar.dataset.scale = heatmap.signed ? "diverging" : "sequential";
      this.low.textContent = figure(heatmap.signed ? -reach : heatmap.low, 3);
      this.high.textContent = figure(heatmap.signed ? reach : heatmap.high, 3);
      this.canvas.setAttribute("aria-label", this.spoken(entry.name, note));
    }
    this.caption();
    this.stats.replaceChildren(...(note?.stats ? statistics(note.stats) : []));
  }

  why(note) {
    if (!note.heatmap && note.shape.includes(0)) return "An empty tensor: it has no values.";
    if (!this.player.model.trace.values) return "Only shapes were recorded.";
    return "No values were kept of this tensor.";
  }

  spoken(name, note) {
    const { stats } = note;
    const range = stats ? `, from ${figure(stats.minimum)} to ${figure(stats.maximum)}` : "";
    const shape = shapeText(note, this.player.face);
    return `Heatmap of ${clip(name, 60)} ${shape}${range}. Arrow keys read the cells.`;
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
      isMean ? "mean " : "",
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
    const short = clip(text).replace(/, means over [\d,]+ in ([\d,]+) cells/g, " in $1 cells");
    return short.replace(/\bdim (\d+)/g, (words, axis) => this.letter(Number(axis)) ?? words);
  }

  letter(axis) {
    const label = clip(this.labels[axis] ?? "", 12);
    return /^\d*$/.test(label) ? null : label;
  }

  /** The indices along an axis that a cell stands for: several where the picture averages. */
  index(axis, cell, cells) {
    if (axis === null || axis === undefined) return "";
    const size = this.note.shape[axis] ?? cells;
    const first = Math.floor((cell * size) / cells);
    const last = Math.ceil(((cell + 1) * size) / cells) - 1;
    const name = this.letter(axis) ?? `dim ${axis}`;
    return last > first ? `${name} ${first}–${last}` : `${name} ${first}`;
  }
}

function statistics(stats) {
  const entry = (term, value, whole, kind = null) =>
    el(
      "div",
      { class: kind ? "strange" : null, title: `${term} ${whole}` },
      el("dt", {}, kind ? el("i", { class: `swatch ${kind}` }) : "", term),
      el("dd", {}, value),
    );
  const number = (term, value) => entry(term, figure(value, 3), String(value ?? "unknown"));
  const share = Number.isFinite(100 * stats.zeros) ? `${figure(100 * stats.zeros, 3)}%` : "–";
  const count = (term, value) => entry(term, figure(value, 3), String(value), term.toLowerCase());
  return [
    number("min", stats.minimum),
    number("max", stats.maximum),
    number("mean", stats.mean),
    number("std", stats.std),
    entry("zeros", share, share),
    ...(stats.nan > 0 ? [count("NaN", stats.nan)] : []),
    ...(stats.inf > 0 ? [count("Inf", stats.inf)] : []),
    ...(stats.nan > 0 || stats.inf > 0 ? [] : [entry("NaN, Inf", "0", "0")]),
  ];
}

// --- The source -------------------------------------------------------------------------------

/**
 * The text of one function, built once; frames of it come and go.
 *
 * Its lines and notes stand in chunks.  Those of a long function are built when they are first
 * needed or scrolled near, so that a function of any length costs what is looked at.
 */
class SourceView {
  constructor(source, model, player) {
    Object.assign(this, { source, model, player });
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
      { root: player.sourcePanel, rootMargin: "500px" },
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
      this.node.append(el("p", { class: "cut" }, "The rest of this source is not shown."));
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
    const code = el("span", { class: "text" });
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
  show(item, frame) {
    const isNew = frame !== this.frame;
    const isTurned = this.face !== this.player.face;
    this.frame = frame;
    this.face = this.player.face;
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
  }

  /** The sign beside a line's number, the gravest where there are several. */
  flag(flags, number) {
    const gravest = ["failed", "root", "warned"].map((k) => flags?.find(({ kind }) => kind === k));
    const first = gravest.find(Boolean);
    if (!first) return null;
    const title = clip(flags.map(({ title }) => title).join("\n"), 600);
    const go = (event) => {
      event.stopPropagation();
      this.player.goto(first.path);
    };
    return el(
      "button",
      {
        type: "button",
        class: `flag flag-${first.kind}`,
        title,
        "aria-label": `Line ${number}: ${title}. Go there.`,
        onclick: go,
      },
      icon(ICONS[first.kind]),
    );
  }

  /** The note as filled by the execution nearest in time, or as written if it never ran. */
  writeNote(block) {
    const groups = this.frame?.statements.get(block.comment.line);
    const filled = groups ? groups[nearest(groups, this.time)].note : "";
    const text = filled || block.comment.text;
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
        class: hasFormulas && this.player.face !== "numbers" ? "shape symbolic" : "shape",
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
    const { face } = this.player;
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

  /** Bring the current expression into view by scrolling `scroller` alone. */
  reveal(scroller) {
    const record = this.marked.find(({ node }) => node.classList.contains("current"));
    if (!record) return;
    if (this.scrolled !== undefined && this.isBack) scroller.scrollTop = this.scrolled;
    this.isBack = false;
    const height = scroller.clientHeight;
    const above = record.node.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
    if (above < height * 0.12 || above > height * 0.78) scroller.scrollTop += above - height * 0.4;
  }

  /** The ids of the tensors that a word stands for, as of the execution nearest in time. */
  resolve(record, token) {
    const { frame } = this;
    if (!frame || !token.chain) return [];
    const group = this.groupAt(record.number);
    if (group) {
      const assigned = token.target ? group.targets.get(token.chain) : null;
      if (assigned?.length) return assigned;
      const id = group.names.get(token.chain);
      // A tensor that is overwritten here is both: the one before and the one after.
      if (id !== undefined) return group.written.has(id) ? [id, group.written.get(id)] : [id];
    }
    const seen = frame.definitions.get(token.chain);
    if (!seen) return [];
    // Where nothing ran, a `def` names what came in and any other line what was there at last.
    const line = this.source.lines[record.number - this.source.first];
    const time = group ? group.at - 0.5 : isDefinition(line) ? -1 : Infinity;
    const entry = seen[nearest(seen, time)];
    return group && entry.at > time ? [] : entry.ids;
  }

  groupAt(line) {
    this.frame.covering ??= coveringStatements(this.frame);
    const groups = this.frame.statements.get(this.frame.covering.get(line));
    return groups ? groups[nearest(groups, this.time)] : null;
  }

  light(records) {
    const { lit } = this.player;
    for (const record of records) {
      for (const { node, token } of record.words) {
        const on = lit.size > 0 && this.resolve(record, token).some((id) => lit.has(id));
        if (on !== node.classList.contains("lit")) node.classList.toggle("lit", on);
      }
    }
  }

  /** The innermost item written at a position of the source, else the last of its line. */
  itemAt(line, column) {
    const group = this.frame && this.groupAt(line);
    if (!group) return null;
    const at = { line, column, end_line: line, end_column: column + 1 };
    const around = group.items.filter(({ span }) => span && contains(span, at));
    const size = ({ span }) => (span.end_line - span.line) * 10_000 + span.end_column - span.column;
    around.sort((a, b) => size(a) - size(b));
    return around[0] ?? group.items.at(-1);
  }
}

/** For each line, the first line of the smallest executed statement over it. */
function coveringStatements(frame) {
  const covering = new Map();
  const spans = [...frame.statements].map(([line, [group]]) => ({
    line,
    last: Math.min(group.span?.end_line ?? line, line + 500),
  }));
  spans.sort((a, b) => b.last - b.line - (a.last - a.line));
  for (const { line, last } of spans) {
    for (let covered = line; covered <= last; covered += 1) covering.set(covered, line);
  }
  return covering;
}

function describeNote(note) {
  const words = [clip(note.name, 60) || "unnamed", shapeText(note)];
  const formulas = shapeText(note, "formulas");
  if (formulas !== words[1]) words.push("=", formulas);
  words.push(note.dtype);
  if (note.device !== "cpu") words.push(note.device);
  return words.map((word) => clip(word, 120)).join(" ");
}

// --- What a step is, in words -----------------------------------------------------------------

/**
 * The statements among the visible items: neighbours written in one execution of one statement
 * become one entry with the operands that came from outside and the results that left.
 */
function byLine(visible) {
  const lines = [];
  for (const item of visible) {
    const last = lines.at(-1);
    if (last && item.group !== null && last.group === item.group) last.items.push(item);
    else lines.push({ kind: "line", group: item.group, items: [item], position: lines.length });
  }
  return lines.map((line) => (line.items.length === 1 ? line.items[0] : joined(line)));
}

function joined(line) {
  const { items } = line;
  const last = items.at(-1);
  const made = new Set(items.flatMap((item) => item.outputs.map((note) => note.id)));
  const used = new Set(items.flatMap((item) => item.inputs.map((note) => note.id)));
  const unique = (notes) => [...new Map(notes.map((note) => [note.id, note])).values()];
  const inputs = unique(items.flatMap((item) => item.inputs)).filter((note) => !made.has(note.id));
  const outputs = unique(items.flatMap((item) => item.outputs)).filter(
    (note) => !used.has(note.id) || last.outputs.includes(note),
  );
  return {
    ...last,
    kind: "line",
    items,
    last,
    inputs,
    outputs,
    span: last.statement ?? last.span,
    error: items.find((item) => item.error !== null)?.error ?? null,
    note: items.find((item) => item.note)?.note ?? "",
    targets: items.flatMap((item) => item.targets),
  };
}

/** Where in its expression the part begins that earlier steps of the statement had not computed. */
function donePart(item) {
  const { span, group } = item;
  if (!span || !group || span.line !== span.end_line) return 0;
  const before = group.items.filter(
    (other) =>
      other !== item &&
      other.at < item.at &&
      other.span &&
      contains(span, other.span) &&
      other.span.line === span.line &&
      other.span.column === span.column,
  );
  return Math.max(0, ...before.map((other) => other.span.end_column - span.column));
}

const KEYS = [
  ["← →", "previous, next operation"],
  ["↑ ↓", "previous, next line"],
  ["Enter", "go into the call or the operation"],
  ["Esc", "go out to the call"],
  ["Home End", "first, last"],
  ["Space", "play, pause"],
  ["f", "sizes as numbers, formulas, both"],
  ["w", "next warning"],
  ["?", "this help"],
];

const EDITED = `input, textarea, select, [contenteditable=""], [contenteditable="true"],
  [role="textbox"], [role="combobox"], [role="listbox"], [role="option"], [role="slider"],
  [role="spinbutton"], [role="menu"], [role="menuitem"], [role="tab"], [role="radio"],
  [role="grid"], [role="gridcell"], [role="tree"], [role="dialog"]`;
const PRESSED = 'button, a[href], summary, [role="button"]';

const SUSPICIONS = new Map([
  ["broadcast", "A broadcast that may not be meant"],
  ["squeeze", "A squeeze that can take the batch away"],
  ["batch", "A batch size written into the code"],
  ["view", "Sizes that agree by chance"],
  ["batchnorm", "Statistics of too little"],
]);
const ROOTS = new Map([
  ["step", "Where it begins"],
  ["constructor", "Where it begins: in the constructor"],
  ["call", "Where it begins: in the caller"],
  ["input", "Where it begins: with the input"],
]);
const ORIGINS = new Map([
  ["input", "input"],
  ["made", "made inside torch"],
  ["constant", "from outside the run"],
]);

const fileName = (file) => clip(file.split(/[\\/]/).at(-1), 80);

/** A sentence, what stands in backticks as code. */
const coded = (text) =>
  clip(text, LIMIT.message)
    .split(/(`[^`]+`)/)
    .map((part) => (/^`.+`$/s.test(part) ? el("code", {}, part.slice(1, -1)) : part));

const oneLine = (text) => text.replace(/\s+/g, " ");

const sign = (text) => el("span", { class: "sign", "aria-hidden": "true" }, text);

/** `line 12`, with the file where that is not the one of `here`. */
function whereIs({ file, line }, here) {
  if (!(line > 0)) return "";
  return file === here.file ? `line ${line}` : `${fileName(file)}:${line}`;
}

/** The text in three parts: what both begin with, what `text` has alone, what both end with. */
function difference(text, other) {
  const parts = (whole) => whole.match(/[\p{L}\p{N}_]+|\s+|./gsu) ?? [];
  const [mine, theirs] = [parts(text), parts(other)];
  let start = 0;
  while (start < mine.length && mine[start] === theirs[start]) start += 1;
  let end = 0;
  const most = Math.min(mine.length, theirs.length) - start;
  while (end < most && mine.at(-1 - end) === theirs.at(-1 - end)) end += 1;
  const stop = mine.length - end;
  return [mine.slice(0, start), mine.slice(start, stop), mine.slice(stop)].map((p) => p.join(""));
}

/** Put the text on the clipboard; a sandboxed frame may only do it the old way. */
async function copied(text, holder) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
  }
  const field = el("textarea", { class: "spoken", "aria-hidden": "true" });
  field.value = text;
  holder.append(field);
  const before = holder.getRootNode().activeElement;
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  before?.focus();
  return isDone;
}

/** The player that was used or mounted last: it alone hears the keyboard. */
let active = null;

class Player {
  constructor(root, options) {
    this.options = options;
    this.pictures = new Pictures();
    this.lit = new Set();
    this.locked = null;
    this.opened = new Set();
    this.closed = new Set();
    this.byLine = false;
    this.speed = 1;
    this.face = this.faceAsked();
    this.list = [];
    this.index = 0;
    this.listening = new AbortController();
    this.build(root);
    this.listen();
    active = this;
  }

  // --- The page's parts ---

  build(root) {
    const button = (name, key, act) =>
      el(
        "button",
        {
          type: "button",
          class: "control",
          "aria-label": name,
          title: `${name} (${key})`,
          onclick: act,
        },
        icon(ICONS[name] ?? ""),
      );
    this.crumbs = el("ol", { class: "crumbs" });
    this.pin = el("button", {
      type: "button",
      class: "pin",
      hidden: true,
      onclick: () => this.lock(null),
    });
    this.remarks = el(
      "button",
      { type: "button", class: "remarks", hidden: true, onclick: () => this.showHelp() },
      "About this run",
    );
    const samples = { numbers: ["64"], formulas: [el("var", {}, "C")] };
    samples.both = [el("var", {}, "C"), el("small", {}, "64")];
    this.faceButtons = FACES.map((face) =>
      el(
        "button",
        {
          type: "button",
          "aria-label": face,
          "aria-pressed": "false",
          title: `sizes as ${face} (f)`,
          onclick: () => this.turn(face),
        },
        el("span", { class: "word" }, face),
        el("span", { class: "sample" }, samples[face]),
      ),
    );
    this.faces = el(
      "div",
      { class: "units faces", role: "group", "aria-label": "sizes as", hidden: true },
      this.faceButtons,
    );
    this.help = el(
      "button",
      {
        type: "button",
        class: "control help",
        "aria-label": "help",
        title: "help (?)",
        onclick: () => this.showHelp(),
      },
      "?",
    );
    this.sourcePanel = el("section", { class: "source", "aria-label": "source", tabindex: "0" });
    this.what = el("div", { class: "what" });
    this.why = el("div", { class: "why" });
    this.detail = el(
      "section",
      { class: "detail", "aria-label": "operation" },
      this.what,
      this.why,
    );
    this.before = new Figure("before", this);
    this.after = new Figure("after", this);
    this.figures = el(
      "section",
      { class: "figures", "aria-label": "values" },
      this.before.node,
      this.after.node,
    );
    this.playButton = button("play", "space", () => this.play(!this.playing));
    this.slider = el("input", {
      type: "range",
      class: "slider",
      min: "0",
      value: "0",
      "aria-label": "position",
    });
    this.count = el("span", { class: "count" });
    this.warned = el("button", {
      type: "button",
      class: "warned",
      hidden: true,
      onclick: () => this.nextWarning(),
    });
    this.speedChoice = el(
      "select",
      { class: "speed", "aria-label": "speed", title: "speed" },
      SPEEDS.map((speed) =>
        el("option", { value: String(speed), selected: speed === 1 }, `${speed}×`),
      ),
    );
    const unit = (text, isLine) =>
      el(
        "button",
        { type: "button", "aria-pressed": String(!isLine), onclick: () => this.stepBy(isLine) },
        text,
      );
    this.units = [unit("operation", false), unit("line", true)];
    this.first = button("first", "Home", () => this.go(0));
    this.previous = button("previous", "←", () => this.go(this.index - 1));
    this.next = button("next", "→", () => this.go(this.index + 1));
    this.last = button("last", "End", () => this.go(Infinity));
    this.transport = el(
      "footer",
      { class: "transport", role: "group", "aria-label": "transport" },
      el(
        "div",
        { class: "buttons" },
        this.first,
        this.previous,
        this.playButton,
        this.next,
        this.last,
      ),
      this.slider,
      this.count,
      this.warned,
      el("div", { class: "units", role: "group", "aria-label": "step by" }, this.units),
      this.speedChoice,
    );
    this.spoken = el("div", { class: "spoken", "aria-live": "polite" });
    this.dialog = el("dialog", { class: "dialog", "aria-label": "help" });
    this.layout = el(
      "div",
      { class: "layout" },
      el(
        "header",
        { class: "top" },
        el("nav", { "aria-label": "module calls" }, this.crumbs),
        this.pin,
        this.remarks,
        this.faces,
        this.help,
      ),
      this.sourcePanel,
      this.detail,
      this.figures,
      this.transport,
    );
    this.node = el("div", { class: "shapewalk" }, this.layout, this.spoken, this.dialog);
    root.append(this.node);
    this.adopt(this.options);
  }

  /** Take theme and height from `options`. */
  adopt(options) {
    Object.assign(this.options, options);
    const { height } = this.options;
    if (height) {
      const isNumber = Number.isFinite(height);
      this.node.style.setProperty("--height", isNumber ? `${height}px` : String(height));
    }
    this.node.dataset.theme = this.theme();
  }

  theme() {
    const { theme } = this.options;
    if (theme === "light" || theme === "dark") return theme;
    // The page around may set its colours by Streamlit's variables: judge by them.
    const colour = getComputedStyle(this.node).getPropertyValue("--st-background-color").trim();
    if (colour) {
      const probe = el("canvas", { width: "1", height: "1" }).getContext("2d");
      probe.fillStyle = colour;
      probe.fillRect(0, 0, 1, 1);
      const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
      return red * 0.3 + green * 0.59 + blue * 0.11 < 128 ? "dark" : "light";
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }

  listen() {
    const { signal } = this.listening;
    const on = (target, type, act) => target.addEventListener(type, act, { signal });
    on(document, "keydown", (event) => this.onKey(event));
    on(window, "shapewalk:goto", ({ detail }) => {
      const isOther = detail?.trace && detail.trace !== this.model?.trace.name;
      if (!isOther && detail?.path !== undefined) this.goto(String(detail.path));
    });
    on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.adopt({}));
    on(this.slider, "input", () => this.go(Number(this.slider.value)));
    // A speed chosen by hand gives the keyboard back; one chosen by keys keeps it.
    let byHand = false;
    on(this.speedChoice, "pointerdown", () => (byHand = true));
    on(this.speedChoice, "keydown", () => (byHand = false));
    on(this.speedChoice, "change", () => {
      this.speed = Number(this.speedChoice.value);
      if (byHand) this.speedChoice.blur();
    });
    on(this.node, "pointerdown", () => {
      active = this;
      // In a frame of a notebook the keys come here only once the frame has the focus.
      if (!document.hasFocus()) window.focus();
    });
    on(this.node, "focusin", () => (active = this));
    // A click on the transport must not take the keyboard away from stepping.
    for (const bar of [this.transport, this.faces]) {
      for (const type of ["pointerdown", "mousedown"]) {
        on(bar, type, (event) => {
          if (event.target.closest("button")) event.preventDefault();
        });
      }
    }
    on(this.dialog, "click", (event) => event.target === this.dialog && this.dialog.close());
    on(this.sourcePanel, "scroll", () => {
      if (this.view) this.view.scrolled = this.sourcePanel.scrollTop;
    });
    on(this.sourcePanel, "click", (event) => this.onSourceClick(event));
    on(this.sourcePanel, "pointerover", (event) => {
      const ids = this.named(event.target);
      if (ids.length) this.light(ids);
    });
    on(this.sourcePanel, "pointerout", (event) => {
      if (event.target.closest?.(".name")) this.light(null);
    });
  }

  destroy() {
    this.play(false);
    clearTimeout(this.writing);
    this.listening.abort();
    this.forgetViews();
    this.node.remove();
    if (active === this) active = null;
  }

  // --- The trace ---

  /** Show a payload; the position survives if it is the same trace or the same module again. */
  show(payload) {
    const mark = ({ trace, tensors }) =>
      [trace.name, trace.seconds, trace.steps.length, tensors.length].join("\n");
    // The formulas of a run may come after its numbers, its notes in another language.
    const said = ({ trace, tensors }) =>
      [
        trace.symbols,
        trace.constraints,
        trace.costs,
        trace.warnings,
        trace.failure?.fixes,
        tensors.filter(({ dims }) => dims?.length),
      ]
        .map((list) => list?.length ?? 0)
        .concat(trace.sources.map(({ comments }) => comments[0]?.text ?? ""))
        .join("\n");
    const isSameRun = Boolean(this.model) && mark(this.model.payload) === mark(payload);
    if (isSameRun && said(this.model.payload) === said(payload)) return;
    const before = this.model?.trace.name === payload.trace.name ? this.item?.path : null;
    const isSameRoad = this.model && before !== null && this.model.nodes.length;
    const scrolled = this.sourcePanel.scrollTop;
    const wasFailing = Boolean(this.item) && this.operation === this.model.failing;
    this.model = readTrace(payload);
    this.pictures = new Pictures();
    this.forgetViews();
    this.item = null;
    this.crumbMark = null;
    if (!isSameRun) {
      this.locked = null;
      this.pin.hidden = true;
      this.lit = new Set();
    }
    if (!isSameRoad) {
      this.opened.clear();
      this.closed.clear();
    }
    // A diagnosis is read: its column is wide at every step, lest it jump between them.
    this.layout.classList.toggle("diagnosed", Boolean(this.model.trace.failure?.rule));
    this.describeRun();
    this.describeSizes();
    this.renderFaces();
    if (this.model.nodes.length === 0 && !this.model.failing) {
      this.showEmpty();
      return;
    }
    for (const control of this.transport.querySelectorAll(":disabled")) control.disabled = false;
    const asked =
      before ?? (this.options.url ? new URL(location.href).searchParams.get("step") : null);
    // Who looks at a failure and runs again wants to see the next one.
    const isRunAgain = wasFailing && !isSameRun && before !== null;
    const start =
      (isRunAgain && this.model.failing) ||
      (asked !== null && this.find(asked)) ||
      (isRunAgain && this.model.tops.at(-1));
    if (!isSameRun) this.play(false);
    if (start) {
      this.reach(start);
      if (isSameRun && this.sourcePanel.scrollTop !== scrolled) {
        this.sourcePanel.scrollTop = scrolled;
        this.view?.reveal(this.sourcePanel);
      }
    } else {
      if (this.model.failing) this.reach(this.model.failing);
      else {
        this.rebuild();
        this.go(0);
      }
    }
  }

  forgetViews() {
    for (const view of this.views?.values() ?? []) view.near.disconnect();
    this.views = new Map();
    this.view = null;
  }

  showEmpty() {
    this.list = [];
    const { inputs, outputs } = this.model.trace;
    const notes = (ids) => ids.map((id) => this.model.notes.get(id)).filter(Boolean);
    this.sourcePanel.replaceChildren();
    this.crumbs.replaceChildren(el("li", {}, clip(this.model.trace.name, 80)));
    this.what.replaceChildren(
      el("p", { class: "summary" }, "This run made no tensors: there is nothing to step through."),
      this.flow(this.entries(notes(inputs)), this.entries(notes(outputs))),
    );
    this.why.replaceChildren();
    this.before.show(this.entries(notes(inputs)), "");
    this.after.show(this.entries(notes(outputs)), "");
    this.count.textContent = "no operations";
    for (const control of this.transport.querySelectorAll("button, input, select")) {
      control.disabled = true;
    }
  }

  /** The item at `'12'`, `'12.3.0'`, `'c2'` (call 2 as one row) or `'failure'`; null if none. */
  find(path) {
    const { tops, calls, failing } = this.model;
    if (path === "failure") return failing;
    const call = /^c(\d{1,9})$/.exec(path);
    if (call) {
      const item = calls[Number(call[1])];
      return item && item.callee.parent !== null && this.hasSteps(item) ? item : null;
    }
    if (!/^\d{1,9}(\.\d{1,9}){0,50}$/.test(path)) return null;
    const [first, ...rest] = path.split(".").map(Number);
    let node = tops[first] ?? null;
    for (const index of rest) node = node?.children[index] ?? null;
    return node;
  }

  hasSteps({ callee }) {
    return callee.stop > callee.start;
  }

  /** The call and those around it, innermost first. */
  *callsAround(index) {
    for (let at = index; at !== null && at !== undefined; at = this.model.calls[at].callee.parent) {
      yield this.model.calls[at];
    }
  }

  /** What can be stepped to: leaves, folded steps and folded calls, in the order of time. */
  rebuild() {
    const { tops, failing } = this.model;
    const visible = [];
    const addNode = (node) => {
      if (node.children.length && this.opened.has(node.path)) node.children.forEach(addNode);
      else visible.push(node);
    };
    for (let index = 0; index < tops.length;) {
      let folded = null;
      for (const call of this.callsAround(tops[index].call)) {
        if (this.closed.has(call.path)) folded = call;
      }
      if (folded && folded.callee.stop > index && folded.callee.start <= index) {
        visible.push(folded);
        index = folded.callee.stop;
      } else {
        addNode(tops[index]);
        index += 1;
      }
    }
    if (failing?.kind === "failure") visible.push(failing);
    this.list = this.byLine ? byLine(visible) : visible;
    this.list.forEach((entry, position) => {
      for (const item of entry.items ?? [entry]) item.position = position;
    });
    this.slider.max = String(Math.max(0, this.list.length - 1));
  }

  /** Fold and open what is needed to make `item` visible, and go to it. */
  reach(item) {
    for (let parent = item.parent; parent; parent = parent.parent) this.opened.add(parent.path);
    for (const call of this.callsAround(item.call)) this.closed.delete(call.path);
    if (item.kind === "call") this.closed.add(item.path);
    this.opened.delete(item.path);
    this.rebuild();
    this.go(item.position);
  }

  /** The visible item that stands for `item`: itself, or the fold that hides it. */
  standIn(item) {
    let found = item;
    for (let parent = item.parent; parent; parent = parent.parent) {
      if (!this.opened.has(parent.path)) found = parent;
    }
    for (const call of this.callsAround(item.call)) if (this.closed.has(call.path)) found = call;
    return found;
  }

  goto(path) {
    const item = this.find(path);
    if (item) this.reach(item);
  }

  go(index) {
    if (!this.list.length) return;
    this.index = clamp(Math.trunc(index) || 0, 0, this.list.length - 1);
    if (index === Infinity) this.index = this.list.length - 1;
    this.item = this.list[this.index];
    this.render();
  }

  /** The operation that the current entry ends with: a line stands for its last one. */
  get operation() {
    return this.item.last ?? this.item;
  }

  stepBy(isLine) {
    if (this.byLine === isLine) return;
    const { operation } = this;
    this.byLine = isLine;
    this.units.forEach((unit, index) =>
      unit.setAttribute("aria-pressed", String((index === 1) === isLine)),
    );
    this.rebuild();
    this.go(operation.position);
  }

  goLine(direction) {
    const group = (index) => this.list[index].group ?? this.list[index];
    let index = this.index;
    const inside = (at) => at >= 0 && at < this.list.length;
    while (inside(index) && group(index) === group(this.index)) index += direction;
    if (!inside(index)) return;
    while (inside(index - 1) && group(index - 1) === group(index)) index -= 1;
    this.go(index);
  }

  enter() {
    const item = this.operation;
    if (item.kind === "call") this.closed.delete(item.path);
    else if (item.children.length) this.opened.add(item.path);
    else return;
    this.rebuild();
    const index = this.list.findIndex((entry) => (entry.items?.[0] ?? entry).at >= item.at);
    this.go(index < 0 ? Infinity : index);
  }

  leave() {
    const item = this.operation;
    if (item.parent) this.reach(item.parent);
    else {
      const call = this.model.calls[item.call];
      const canFold = call && call.callee.parent !== null && this.hasSteps(call);
      if (canFold && item.kind !== "failure") this.reach(call);
    }
  }

  play(on) {
    if (on && this.index >= this.list.length - 1) this.go(0);
    this.playing = on;
    clearTimeout(this.ticking);
    const tick = () => {
      this.go(this.index + 1);
      if (this.index < this.list.length - 1)
        this.ticking = setTimeout(tick, PLAY_MILLISECONDS / this.speed);
      else this.play(false);
    };
    if (on) this.ticking = setTimeout(tick, PLAY_MILLISECONDS / this.speed);
    const name = on ? "pause" : "play";
    this.playButton.replaceChildren(icon(ICONS[name]));
    this.playButton.setAttribute("aria-label", name);
    this.playButton.title = `${name} (space)`;
  }

  // --- Keys ---

  onKey(event) {
    if (event.defaultPrevented || event.isComposing || !this.hears()) return;
    if (event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key !== "?"))
      return;
    const elements = event.composedPath().filter((node) => node instanceof Element);
    const [target] = elements;
    if (target !== this.slider && elements.some((node) => node.matches(EDITED))) return;
    const isPressed = elements.some((node) => node.matches(PRESSED));
    if (isPressed && (event.key === "Enter" || event.key === " ")) return;
    const act = {
      ArrowRight: () => this.go(this.index + 1),
      ArrowLeft: () => this.go(this.index - 1),
      ArrowDown: () => this.goLine(1),
      ArrowUp: () => this.goLine(-1),
      Home: () => this.go(0),
      End: () => this.go(Infinity),
      Enter: () => this.enter(),
      Escape: () => this.leave(),
      " ": () => this.play(!this.playing),
      "?": () => this.showHelp(),
      f: this.model.hasFormulas && (() => this.turn(FACES[(FACES.indexOf(this.face) + 1) % 3])),
      w: this.model.warnings.size && (() => this.nextWarning()),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** Whether keys are meant for this player: the last used, on screen, with no dialog over it. */
  hears() {
    if ((active !== null && active !== this) || !this.list.length || this.dialog.open) return false;
    const { top, bottom, width } = this.layout.getBoundingClientRect();
    return width > 0 && bottom > 60 && top < window.innerHeight - 60;
  }

  showHelp() {
    this.play(false);
    this.dialog.showModal();
  }

  keys() {
    const { hasFormulas, warnings } = this.model;
    return KEYS.filter(([key]) => (key !== "f" || hasFormulas) && (key !== "w" || warnings.size));
  }

  /** Go to the next suspicious step, behind the last to the first. */
  nextWarning() {
    const steps = [...this.model.warnings.keys()].sort((a, b) => a - b);
    const here = this.stepsOf(this.item).at(-1) ?? this.operation.at;
    const next = steps.find((step) => step > here) ?? steps[0];
    if (next !== undefined) this.goto(String(next));
  }

  describeRun() {
    const { trace, warnings } = this.model;
    this.remarks.hidden = trace.remarks.length === 0;
    const count = [...warnings.values()].flat().length;
    const words = `${plural(count, "warning")}: go to the next`;
    this.warned.hidden = count === 0;
    this.warned.title = `${words} (w)`;
    this.warned.setAttribute("aria-label", words);
    this.warned.replaceChildren(icon(ICONS.warned), count.toLocaleString("en"));
    const facts = [
      ["module", clip(trace.name, 80)],
      ["operations", trace.steps.length.toLocaleString("en")],
      ["parameters", Number(trace.parameters).toLocaleString("en")],
      ["mode", trace.training ? "train" : "eval"],
      ["time", duration(trace.seconds)],
      ["torch", clip(trace.torch, 40)],
    ];
    const rows = (list) => list.map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]);
    this.dialog.replaceChildren(
      el(
        "form",
        { method: "dialog" },
        el("h2", {}, "Keys"),
        el(
          "dl",
          {},
          rows(this.keys().map(([key, words]) => [key.split(" ").map((k) => el("kbd", {}, k)), words])),
        ),
        el("h2", {}, "This run"),
        el("dl", {}, rows(facts)),
        trace.remarks.slice(0, 20).map((remark) => el("p", {}, clip(remark, 600))),
        el("button", { type: "submit", class: "close" }, "Close"),
      ),
    );
  }

  // --- Light: the same tensor everywhere ---

  named(target) {
    const word = target.closest?.(".name");
    const line = word?.closest(".line");
    if (!line || !this.view) return [];
    const record = this.view.records.get(Number(line.dataset.line));
    const token = record?.tokens[Number(word.dataset.token)];
    return token ? this.view.resolve(record, token) : [];
  }

  /** Make `element` light up with the tensors `ids`, and the tensors with it. */
  lights(element, ids) {
    element.dataset.note = ids[0];
    element.addEventListener("pointerenter", () => this.light(ids));
    element.addEventListener("pointerleave", () => this.light(null));
    element.addEventListener("focus", () => this.light(ids));
    element.addEventListener("blur", () => this.light(null));
    this.applyLight(element);
  }

  light(ids) {
    const next = new Set(ids ?? this.locked ?? []);
    if (next.size === this.lit.size && [...next].every((id) => this.lit.has(id))) return;
    this.lit = next;
    for (const element of this.layout.querySelectorAll("[data-note]")) this.applyLight(element);
    this.view?.light(this.view.records.values());
  }

  applyLight(element) {
    const { note } = element.dataset;
    element.classList.toggle("lit", note !== undefined && this.lit.has(Number(note)));
  }

  toggleLock(ids) {
    const isLocked = this.locked !== null && ids.some((id) => this.locked.includes(id));
    this.lock(isLocked ? null : ids);
  }

  lock(ids) {
    this.locked = ids;
    this.light(ids);
    this.pin.hidden = ids === null;
    const note = ids && this.model.notes.get(ids[0]);
    if (!note) return;
    const name = this.nameOf(note);
    this.pin.replaceChildren(clip(name, 30), el("span", { "aria-hidden": "true" }, "×"));
    this.pin.title = `${clip(name, 60)} is held in light; click to let go`;
  }

  onSourceClick(event) {
    const line = event.target.closest?.(".line");
    if (!line || !this.view) return;
    const ids = this.named(event.target);
    if (ids.length) {
      this.toggleLock(ids);
      return;
    }
    const number = Number(line.dataset.line);
    const item = this.view.itemAt(number, this.columnAt(event, this.view.records.get(number)));
    if (!item) return;
    // A call whose steps are inside shows as one row: the click asked for this line.
    if (item.kind === "call") {
      if (this.hasSteps(item)) this.reach(item);
    } else this.go(this.standIn(item).position);
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

  // --- Drawing one step ---

  render() {
    const { item, operation } = this;
    this.renderCrumbs();
    this.renderDetail();
    this.renderTransport();
    this.renderSource();
    const position = this.position();
    const words = [position, clip(item.place.expression, 120), this.told(item)?.summary ?? ""];
    for (const { reason } of this.warningsOf(item).slice(0, 3)) words.push(`Suspicious: ${clip(reason)}`);
    this.spoken.textContent = `${words.filter(Boolean).join(". ")}.`;
    const { path } = operation;
    // Others know steps: a folded call is its first, a failure before any operation the last.
    const call = operation.kind === "call" ? operation.callee.index : null;
    const last = String(Math.max(0, this.model.tops.length - 1));
    const shown =
      operation.kind === "call"
        ? String(operation.callee.start)
        : operation.kind === "failure"
          ? last
          : path;
    window.dispatchEvent(
      new CustomEvent("shapewalk:step", {
        detail: { path: shown, trace: this.model.trace.name, call },
      }),
    );
    this.options.onStep?.(shown, operation.step ?? null);
    this.writeUrl(path);
    // Last, because it has the page laid out: once a step, not once a panel.
    this.view?.reveal(this.sourcePanel);
    if (this.detail.scrollTop) this.detail.scrollTop = 0;
  }

  // --- Numbers and formulas ---

  faceAsked() {
    const asked = this.options.url ? new URL(location.href).searchParams.get("dims") : null;
    return FACES.includes(asked) ? asked : "numbers";
  }

  /** Write the sizes with another face, everywhere and from now on. */
  turn(face) {
    if (face === this.face) return;
    this.face = face;
    this.renderFaces();
    if (!this.item) return;
    const { scrollTop } = this.detail;
    this.renderDetail();
    this.renderSource();
    this.detail.scrollTop = scrollTop;
    this.view?.reveal(this.sourcePanel);
    this.spoken.textContent = `Sizes as ${face}.`;
    this.writeUrl(this.operation.path);
  }

  renderFaces() {
    this.faces.hidden = !this.model.hasFormulas;
    this.faceButtons.forEach((button, index) => {
      button.setAttribute("aria-pressed", String(FACES[index] === this.face));
    });
  }

  formula({ text }) {
    return el("span", { class: "formula", title: clip(text, 600) }, formulaNodes(text, this.model));
  }

  /** What the formulas are written in and what the run demands: the same below every step. */
  describeSizes() {
    const { model } = this;
    const { trace } = model;
    const constraints = trace.constraints ?? [];
    this.sizes = null;
    if (!model.symbols.size && !constraints.length) return;
    const pair = (...parts) => el("li", {}, parts);
    const value = (size) => [" = ", el("span", { class: "length" }, clip(size, 40))];
    const entries = [...model.symbols].slice(0, 40).map(([name, size]) => {
      const symbol = el("span", { class: "formula size" }, formulaNodes(name, model, 40));
      const colour = model.colours.get(name);
      if (colour) {
        symbol.style.setProperty("--dim", colour);
        symbol.style.setProperty("--dim-end", colour);
      }
      return pair(symbol, value(size));
    });
    for (const [name, formula, size] of this.aliases()) {
      const code = el("code", {}, clip(name, 40));
      entries.push(pair(code, " = ", this.formula(formula), value(size)));
    }
    const broken = constraints.filter(({ holds }) => !holds).length;
    const summary = `${plural(constraints.length, "demand")} on the sizes`;
    const rows = constraints
      .slice(0, LIMIT.constraints)
      .map((constraint) => el("li", {}, this.constraint(constraint, true)));
    const rest = constraints.length - rows.length;
    if (rest > 0) rows.push(el("li", { class: "more" }, `and ${rest} more`));
    this.sizes = el(
      "div",
      { class: "sizes" },
      entries.length ? el("ul", { class: "legend", "aria-label": "sizes" }, entries) : "",
      constraints.length
        ? el(
            "details",
            { class: "demands", open: true },
            el(
              "summary",
              {},
              summary,
              broken ? el("strong", {}, `, ${broken} not met`) : "",
            ),
            el("ul", {}, rows),
          )
        : "",
    );
  }

  /** Names that the source gives to formulas, each `[name, formula, size]`. */
  aliases() {
    const found = new Map();
    for (const { dims, shape } of this.model.notes.values()) {
      for (const [axis, formula] of (dims ?? []).entries()) {
        for (const name of formula.aliases) {
          // `b = x.shape[0]` tells a reader of B nothing.
          const isPlain = this.model.symbols.has(formula.text) || formula.text === name;
          const key = `${name} ${formula.text}`;
          if (!isPlain && !found.has(key)) found.set(key, [name, formula, shape[axis]]);
          if (found.size >= LIMIT.aliases) return [...found.values()];
        }
      }
    }
    return [...found.values()];
  }

  /** A sign, the formula, the sentence; `isLinked` adds the way to the step that demands it. */
  constraint({ formula, words, step, holds }, isLinked) {
    const maker = isLinked && step !== null ? this.model.tops[step] : null;
    const sign = holds ? "✓" : "✗";
    return el(
      "div",
      { class: holds ? "constraint" : "constraint broken" },
      el("span", { class: "sign", role: "img", "aria-label": holds ? "met" : "not met" }, sign),
      el(
        "div",
        {},
        this.formula(formula),
        holds ? "" : el("strong", {}, " not met"),
        el("span", { class: "words" }, clip(words)),
        maker
          ? el(
              "button",
              {
                type: "button",
                class: "link",
                title: `Go to operation ${step + 1}.`,
                onclick: () => this.goto(String(step)),
              },
              el("code", {}, clip(maker.place.expression.replace(/\s+/g, " "), 60) || step + 1),
            )
          : "",
      ),
    );
  }

  /** The operations of the run that an item stands for. */
  stepsOf(item) {
    if (item.kind === "line") return item.items.flatMap((part) => this.stepsOf(part));
    if (item.kind === "call") {
      const { start, stop } = item.callee;
      return Array.from({ length: stop - start }, (_, index) => start + index);
    }
    return item.kind === "step" && !item.parent ? [item.step.index] : [];
  }

  /** What this step demands of the sizes. */
  demands(steps) {
    const { constraints = [] } = this.model.trace;
    if (!constraints.length) return [];
    const here = new Set(steps);
    return constraints
      .filter(({ step }) => step !== null && here.has(step))
      .slice(0, LIMIT.rank)
      .map((constraint) => this.constraint(constraint, false));
  }

  /** Elements, bytes and floating-point operations, as `[term, nodes]`. */
  costs(steps) {
    const costs = steps.map((step) => this.model.trace.costs?.[step]).filter(Boolean);
    if (!costs.length) return [];
    const total = (name) => costs.reduce((sum, cost) => sum + Number(cost[name]), 0);
    const only = costs.length === 1 ? costs[0] : {};
    const row = (number, formula, growth) => [
      el("span", { class: "count-of" }, number),
      // `12 = 12` says nothing.
      formula && /\p{L}/u.test(formula.text) ? [" = ", this.formula(formula)] : "",
      growth ? " " : "",
      growth
        ? el("span", { class: "growth", title: "how it grows" }, "O(", this.formula(growth), ")")
        : "",
    ];
    const [elements, bytes, flops] = ["elements", "bytes", "flops"].map(total);
    const rows = [];
    if (elements || bytes) {
      rows.push(["elements", row(elements.toLocaleString("en"), only.elements_formula)]);
      rows.push(["memory", row(amount(bytes, "B"), only.bytes_formula, only.memory_growth)]);
    } else rows.push(["memory", "none that is new"]);
    rows.push([
      "FLOPs",
      flops
        ? row(amount(flops, "FLOP"), only.flops_formula, only.flops_growth)
        : "none that torch counts",
    ]);
    return rows;
  }

  /** Keep `?step=` and `dims=`; browsers refuse it too often in a row, so only once stepping
   * pauses. */
  writeUrl(path) {
    if (!this.options.url) return;
    clearTimeout(this.writing);
    this.writing = setTimeout(() => {
      const url = new URL(location.href);
      url.searchParams.set("step", path);
      if (this.face === "numbers") url.searchParams.delete("dims");
      else url.searchParams.set("dims", this.face);
      try {
        history.replaceState(history.state, "", url);
      } catch (error) {
        // A document without an address of its own (a sandboxed frame) keeps none.
        if (!(error instanceof DOMException)) throw error;
      }
    }, URL_MILLISECONDS);
  }

  position() {
    const unit = this.byLine ? "line" : "operation";
    return `${unit} ${(this.index + 1).toLocaleString("en")} of ${this.list.length.toLocaleString("en")}`;
  }

  renderTransport() {
    const end = this.list.length - 1;
    this.slider.value = String(this.index);
    this.slider.setAttribute("aria-valuetext", this.position());
    const [unit, ...words] = this.position().split(" ");
    this.count.replaceChildren(el("span", { class: "unit" }, `${unit} `), words.join(" "));
    this.first.disabled = this.previous.disabled = this.index === 0;
    this.last.disabled = this.next.disabled = this.index >= end;
  }

  renderCrumbs() {
    const item = this.operation;
    const levels = [];
    for (const call of this.callsAround(item.call)) levels.unshift(call);
    const parents = [];
    for (let parent = item.parent; parent; parent = parent.parent) parents.unshift(parent);
    levels.push(...parents);
    const mark = levels.map((level) => level.path).join(" ");
    if (mark === this.crumbMark && this.crumbs.firstChild) return;
    this.crumbMark = mark;
    this.crumbs.replaceChildren(
      ...levels.map((level, index) => {
        const inner = levels[index + 1];
        const title = this.crumb(level, index);
        const attributes = { type: "button", title: inner ? "go out to here" : null };
        if (!inner) attributes["aria-current"] = "location";
        return el(
          "li",
          {},
          el("button", { ...attributes, onclick: () => inner && this.reach(inner) }, title),
        );
      }),
    );
  }

  crumb(level, index) {
    if (level.kind === "step") return [el("b", {}, clip(level.step.op, 40))];
    const { module, type } = level.callee;
    if (index === 0) return [el("b", {}, clip(type || this.model.trace.name, 60))];
    const outer = this.model.calls[level.callee.parent]?.callee.module ?? "";
    const name = outer && module.startsWith(`${outer}.`) ? module.slice(outer.length + 1) : module;
    return [el("b", {}, clip(name || "root", 40)), ` ${clip(type, 40)}`];
  }

  /** A tensor's name; one without is called by the expression that `item`'s statement has for it,
   * else by the one that made it. */
  nameOf(note, item = null) {
    if (note.name) return note.name;
    const here = item?.group?.items.findLast(
      (other) => other.at < item.at && other.outputs.includes(note),
    );
    return (here ?? this.maker(note))?.place.expression || "tensor";
  }

  /** The first item, outermost first, that put this tensor out. */
  maker(note) {
    const { model } = this;
    if (!model.makers) {
      model.makers = new Map();
      for (const node of model.nodes) {
        for (const { id } of node.outputs) if (!model.makers.has(id)) model.makers.set(id, node);
      }
    }
    return model.makers.get(note.id) ?? null;
  }

  entries(notes, labels, name) {
    return notes.map((note, index) => ({
      note,
      labels: labels?.[index] ?? this.model.labels.get(note.id) ?? [],
      name: name?.(note, index) || this.nameOf(note, this.item),
    }));
  }

  renderDetail() {
    const { item, model } = this;
    const isStep = item.kind === "step";
    const explanation = isStep ? item.explanation : NO_EXPLANATION;
    const names = item.targets.length === item.outputs.length ? item.targets : [];
    // In `conv1` the tensor `conv1.weight` is just the weight.
    const inner = item.step?.module ? `${item.step.module}.` : "";
    const inputs = this.entries(item.inputs, explanation.inputs, ({ kind, name }) =>
      isOwned(kind) && inner && name.startsWith(inner) ? name.slice(inner.length) : name,
    );
    const outputs = this.entries(
      item.outputs,
      explanation.outputs,
      (note, index) => names[index] || note.name || "result",
    );
    const steps = this.stepsOf(item);
    this.what.replaceChildren(
      this.expression(item),
      // A failure shows its operands itself, under each other.
      this.hasOperands(item) ? "" : this.flow(inputs, outputs),
      ...this.sentences(item),
      ...this.warnings(item),
      ...this.failure(item),
      ...this.cause(item),
      ...this.demands(steps),
      ...this.inside(item),
    );
    this.why.replaceChildren(
      ...(item.note
        ? [
            el(
              "div",
              { class: "note", lang: languageOf(item.note) },
              markdown(item.note, model),
            ),
          ]
        : []),
      this.facts(item, steps),
      ...(this.sizes ? [this.sizes] : []),
    );
    this.before.show(inputs, "It takes no tensor.");
    this.after.show(
      outputs,
      item.error !== null ? "It failed: there is no result." : "It gives no tensor.",
    );
    const choosing = !this.before.choices.hidden || !this.after.choices.hidden;
    this.figures.classList.toggle("choosing", choosing);
  }

  expression(item) {
    const text = clip(item.kind === "line" ? item.place.statement : item.place.expression, 600);
    const fallback = item.step?.op ?? item.callee?.module ?? "";
    const lines = (text || fallback).split("\n").slice(0, 12);
    const indent = Math.min(
      ...lines.slice(1).map((line) => line.length - line.trimStart().length),
      40,
    );
    const done = item.kind === "line" ? 0 : donePart(item);
    const state = { closing: null, depth: 0, pending: [] };
    const nodes = lines.flatMap((whole, index) => {
      const line = index ? whole.slice(indent) : whole;
      const tokens = tokenizeLine(line, state);
      const split = index === 0 ? clamp(done, 0, line.length) : 0;
      return [
        index ? "\n" : "",
        split ? el("span", { class: "done" }, line.slice(0, split)) : "",
        ...codeNodes(line, tokens, split, line.length),
      ];
    });
    return el("h2", { class: "expression" }, el("code", {}, nodes));
  }

  flow(inputs, outputs) {
    const rows = (entries, side) => {
      const others = entries.filter(({ note }) => !isOwned(note.kind));
      // Weights stand together in small, unless they are all there is.
      const large = others.length ? others : entries;
      const small = others.length ? entries.filter(({ note }) => isOwned(note.kind)) : [];
      const chips = large.slice(0, LIMIT.tensors).map((entry) => this.tensor(entry));
      const rest = large.length - chips.length;
      if (rest > 0) chips.push(el("p", { class: "more" }, `and ${plural(rest, "more tensor")}`));
      if (small.length) {
        const shown = small.slice(0, LIMIT.owned).map((entry) => this.tensor(entry));
        chips.push(el("div", { class: "owned" }, shown));
      }
      if (!entries.length) {
        chips.push(el("p", { class: "more" }, side === "before" ? "no operands" : "no result"));
      }
      return el("div", { class: `tensors ${side}`, role: "group", "aria-label": side }, chips);
    };
    return el("div", { class: "flow" }, rows(inputs, "before"), rows(outputs, "after"));
  }

  /** A tensor as a chip: its name, and a cell for each dimension. */
  tensor({ note, labels, name }) {
    const shown = note.shape.slice(0, LIMIT.rank);
    const cells = shown.map((size, axis) => {
      const label = labels[axis] ?? "";
      const letters = dimensionLetters(this.model, note, axis, label);
      const formula = note.dims?.[axis];
      const cell = el(
        "span",
        {
          class: letters.length ? "cell" : "cell plain",
          title: formula ? formulaTitle(formula, size) : null,
        },
        this.sizeOf(size, label, formula),
      );
      paintDimension(cell, this.model, note, axis, label);
      return cell;
    });
    if (!cells.length)
      cells.push(
        el("span", { class: "cell plain" }, el("span", { class: "letter" }, "\u00a0"), "scalar"),
      );
    if (note.shape.length > shown.length) cells.push(el("span", { class: "more" }, "…"));
    const tags = isOwned(note.kind) ? [note.kind] : [];
    if (note.dtype !== "float32") tags.push(clip(note.dtype, 20));
    if (note.device !== "cpu") tags.push(clip(note.device, 20));
    const maker = this.maker(note);
    const wayBack = maker ? "Go to where it was made." : "";
    const chip = el(
      "button",
      {
        type: "button",
        class: "tensor",
        title: describeNote(note),
        "aria-label": `${clip(name, 60)} ${shapeText(note, this.face)} ${tags.join(" ")}. ${wayBack}`,
        onclick: () => this.onChip(note, maker),
      },
      el(
        "span",
        { class: "tensor-name" },
        clip(name, 80),
        tags.map((tag) => el("i", {}, tag)),
      ),
      el("span", { class: "cells" }, cells),
    );
    this.lights(chip, [note.id]);
    return chip;
  }

  /** One dimension of a chip: its letter over its number, its formula, or that over the number. */
  sizeOf(size, label, formula) {
    const number = el("span", { class: "length" }, clip(size, 12));
    if (this.face === "numbers" || !formula) {
      const letter = /^\d*$/.test(label) ? "\u00a0" : clip(label, 14);
      return [el("span", { class: "letter" }, letter), number];
    }
    const symbols = el("span", { class: "formula" }, formulaNodes(formula.text, this.model));
    const isNumber = formula.text === String(size);
    return this.face === "formulas" || isNumber ? [symbols] : [symbols, number];
  }

  /** Go to the step that made the tensor and keep it lit; where one is already, hold or let go. */
  onChip(note, maker) {
    const stand = maker && this.standIn(maker);
    if (!stand || stand.position === this.index) {
      this.toggleLock([note.id]);
      return;
    }
    this.lock([note.id]);
    this.go(stand.position);
  }

  /** What is said of a step, in numbers or in formulas. */
  told(item) {
    return this.face === "numbers" ? item.explanation : (item.said ?? item.explanation);
  }

  sentences(item) {
    if (item.kind === "call") return [el("p", { class: "summary" }, this.callSummary(item))];
    if (item.kind === "line") {
      const rows = item.items
        .slice(0, 30)
        .map((part) =>
          el(
            "li",
            {},
            el("code", {}, clip(part.step?.op ?? part.callee?.module, 60)),
            `: ${clip(part.kind === "call" ? this.callSummary(part) : this.told(part).summary)}`,
          ),
        );
      return [el("ol", { class: "parts" }, rows)];
    }
    if (item.error !== null) return [];
    const { summary, changes } = this.told(item);
    const rest = changes.filter((change) => change !== summary);
    return [
      summary ? el("p", { class: "summary" }, clip(summary, 400)) : "",
      rest.length
        ? el(
            "ul",
            { class: "changes" },
            rest.slice(0, LIMIT.rank).map((c) => el("li", {}, clip(c))),
          )
        : "",
    ];
  }

  callSummary({ callee }) {
    const count = plural(callee.stop - callee.start, "operation");
    const parameters = callee.parameters > 0 ? `, ${plural(callee.parameters, "parameter")}` : "";
    return `${clip(callee.type, 60)}: ${count} inside${parameters}.`;
  }

  inside(item) {
    const operation = item.last ?? item;
    const count =
      operation.kind === "call"
        ? operation.callee.stop - operation.callee.start
        : operation.children.length;
    const buttons = [];
    if (count) {
      const words = `Go in: ${plural(count, "operation")}`;
      buttons.push(this.hop(words, () => this.enter(), el("kbd", {}, "Enter")));
    }
    return buttons;
  }

  // --- What is wrong with a step ---

  warningsOf(item) {
    const { warnings } = this.model;
    if (!warnings.size) return [];
    let top = item;
    while (top.parent) top = top.parent;
    return this.stepsOf(top).flatMap((step) => warnings.get(step) ?? []);
  }

  warnings(item) {
    const found = this.warningsOf(item);
    const shown = found.slice(0, LIMIT.rank).map(({ kind, reason }) =>
      el(
        "div",
        { class: "warning", role: "note" },
        icon(ICONS.warned),
        el(
          "p",
          {},
          el("strong", {}, `${SUSPICIONS.get(kind) ?? "Suspicious"}: `),
          coded(reason),
        ),
      ),
    );
    const rest = found.length - shown.length;
    return rest > 0 ? [...shown, el("p", { class: "more" }, `and ${rest} more`)] : shown;
  }

  isFailure(item) {
    return item.error !== null && (item.last ?? item) === this.model.failing;
  }

  hasOperands(item) {
    return this.isFailure(item) && this.operands().length > 0;
  }

  operands() {
    const { model } = this;
    return model.trace.failure.operands
      .map((operand) => ({ ...operand, note: model.notes.get(operand.note) }))
      .filter(({ note }) => note);
  }

  /** The diagnosis at the failing step; at a step inside it what that one raised. */
  failure(item) {
    if (item.error === null) return [];
    const { failing, trace } = this.model;
    const { failure } = trace;
    const isIt = this.isFailure(item);
    const crash = el(
      "div",
      { class: "crash", role: "alert" },
      el("strong", {}, isIt ? clip(failure.type, 80) : "It failed"),
      el("p", {}, clip(isIt ? failure.message : item.error, LIMIT.message)),
    );
    if (!isIt) {
      const back = failing ? this.hop("Why the run failed", () => this.reach(failing)) : "";
      return [el("section", { class: "failure", "aria-label": "failure" }, crash, back)];
    }
    const { rule, reason, root, fixes = [] } = failure;
    const shown = fixes.slice(0, LIMIT.fixes);
    const rest = fixes.length - shown.length;
    return [
      el(
        "section",
        { class: "failure", "aria-label": "failure" },
        crash,
        this.operandRows(),
        rule ? el("p", { class: "rule" }, coded(rule)) : "",
        reason ? el("p", { class: "reason" }, coded(reason)) : "",
        root ? this.root(root) : "",
        shown.length
          ? [
              el("h3", {}, shown.length === 1 ? "A fix" : "Fixes, the best first"),
              el("ol", { class: "fixes" }, shown.map((fix, index) => this.fix(fix, index))),
            ]
          : "",
        rest > 0 ? el("p", { class: "more" }, `and ${rest} more`) : "",
      ),
    ];
  }

  hop(words, act, ...rest) {
    return el("button", { type: "button", class: "hop", onclick: act }, words, rest);
  }

  /** The operands under each other, aligned by their last dimension, what is at odds marked. */
  operandRows() {
    const operands = this.operands();
    if (!operands.length) return "";
    const shown = operands.slice(0, LIMIT.tensors);
    const rank = Math.max(1, ...shown.map(({ note }) => Math.min(note.shape.length, LIMIT.rank)));
    const rows = shown.map((operand) => this.operandRow(operand, rank));
    const rest = operands.length - shown.length;
    if (rest > 0) rows.push(el("li", { class: "more" }, `and ${plural(rest, "more operand")}`));
    const list = el("ul", { class: "operands", "aria-label": "operands" }, rows);
    list.style.setProperty("--rank", rank);
    return list;
  }

  operandRow(operand, rank) {
    const { note, marks = [] } = operand;
    const odd = new Set(marks);
    const labels = this.model.labels.get(note.id) ?? [];
    const name = this.nameOf(note, this.model.failing);
    const skipped = Math.max(0, note.shape.length - LIMIT.rank);
    const cells = note.shape.slice(skipped).map((size, index) => {
      const axis = index + skipped;
      const isOdd = odd.has(axis);
      const formula = note.dims?.[axis];
      const letters = dimensionLetters(this.model, note, axis, labels[axis] ?? "");
      const cell = el(
        "span",
        {
          class: `cell${letters.length ? "" : " plain"}${isOdd ? " odd" : ""}`,
          title: formula ? formulaTitle(formula, size) : `dimension ${axis}`,
        },
        this.sizeOf(size, labels[axis] ?? "", formula),
      );
      paintDimension(cell, this.model, note, axis, labels[axis]);
      const place = el("span", { class: "place" }, cell, isOdd ? el("b", {}, "▲") : "");
      place.style.gridColumn = String(rank - note.shape.length + axis + 2);
      return place;
    });
    const sizes = marks.slice(0, LIMIT.rank).filter((axis) => axis in note.shape);
    const dimensions = sizes.map((axis) => `dimension ${axis}, ${clip(note.shape[axis], 40)}`);
    const said = [shapeText(note, this.face)];
    if (dimensions.length) said.push(`at odds: ${dimensions.join("; ")}`);
    const origin = this.origin(operand);
    const tags = [clip(note.dtype, 20)];
    if (note.device !== "cpu") tags.push(clip(note.device, 20));
    if (!origin) tags.push(ORIGINS.get(note.kind) ?? clip(note.kind, 20));
    const row = el(
      "li",
      { class: "operand" },
      el(
        "span",
        { class: "tensor-name" },
        // A long path breaks behind its dots.
        clip(name, 80).split(/(?<=\.)/).map((part) => [part, el("wbr")]),
        el("span", { class: "spoken" }, ` ${said.join(", ")} `),
        tags.map((tag) => el("i", {}, tag)),
      ),
      el(
        "span",
        { class: "places", "aria-hidden": "true" },
        skipped ? el("span", { class: "more" }, "…") : "",
        cells.length ? cells : el("span", { class: "place" }, el("span", { class: "cell plain" }, "scalar")),
      ),
      origin,
    );
    this.lights(row, [note.id]);
    return row;
  }

  /** The expression that an operand comes from, with the way to its step; null where it has none. */
  origin({ note, expression, file, line }) {
    const { failing } = this.model;
    const maker = this.maker(note);
    const code = el("code", {}, clip(oneLine(maker?.place.expression || expression), 120));
    if (maker && maker !== failing) {
      const where = whereIs(maker.place, failing.place);
      return el(
        "button",
        {
          type: "button",
          class: "origin link",
          title: "Go to where it was made.",
          onclick: () => this.onChip(note, maker),
        },
        "from ",
        code,
        where ? `, ${where}` : "",
      );
    }
    const where = line === null ? "" : whereIs({ file, line }, failing.place);
    return where && expression ? el("span", { class: "origin" }, "from ", code, `, ${where}`) : null;
  }

  /** Where the wrong size was born. */
  root(root) {
    const { model } = this;
    const { kind, place, module, why } = root;
    let path = null;
    if (kind === "step" && model.tops[root.step]) path = String(root.step);
    if (kind === "call") {
      const isIt = ({ callee, place: other }) =>
        callee.module === module && other.line === place.line && other.file === place.file;
      path = model.calls.find((call) => call.callee.parent !== null && isIt(call) && this.hasSteps(call))?.path;
    }
    const file = place.file && place.line > 0 ? `${fileName(place.file)}:${place.line}` : "";
    const where = path ? whereIs(place, model.failing.place) : file;
    const words = [where, clip(place.function, 80)].filter(Boolean).join(", in ");
    return el(
      "div",
      { class: "root" },
      el("h3", {}, icon(ICONS.root), ROOTS.get(kind) ?? "The cause"),
      why ? el("p", {}, coded(why)) : "",
      this.quoted(place),
      path
        ? el(
            "button",
            { type: "button", class: "link", onclick: () => this.goto(path) },
            words ? `Go there: ${words}` : "Go there",
          )
        : el("span", { class: "where" }, words),
    );
  }

  /** A statement as it is written, with its expression marked. */
  quoted({ statement, statement_span: whole, span, expression }) {
    const lines = clip(statement || expression, 2_000).split("\n").slice(0, 12);
    if (!lines[0]) return "";
    const state = { closing: null, depth: 0, pending: [] };
    const nodes = lines.flatMap((line, index) => {
      const tokens = tokenizeLine(line, state);
      const shift = index === 0 ? (whole?.column ?? 0) : 0;
      const number = (whole?.line ?? NaN) + index;
      let [from, to] = [0, 0];
      if (span && number >= span.line && number <= span.end_line) {
        from = number === span.line ? span.column - shift : line.length - line.trimStart().length;
        to = number === span.end_line ? span.end_column - shift : line.length;
      }
      from = clamp(from, 0, line.length);
      to = clamp(to, from, line.length);
      const part = (start, end) => codeNodes(line, tokens, start, end);
      return [
        index ? "\n" : "",
        part(0, from),
        to > from && to - from < line.length ? el("mark", {}, part(from, to)) : part(from, to),
        part(to, line.length),
      ];
    });
    return el("pre", { class: "quoted" }, el("code", {}, nodes));
  }

  fix({ summary, verified, output_shapes: shapes, caveat, edits }, index) {
    const changes = (this.model.payload.diffs?.[index] ?? []).slice(0, LIMIT.changes);
    const outputs = shapes
      .slice(0, LIMIT.tensors)
      .map((shape) => (shape.length ? shapeText({ shape }) : "a scalar"));
    if (shapes.length > outputs.length) outputs.push("…");
    const gives = outputs.length ? `, gives ${outputs.join(", ")}` : "";
    const state = verified
      ? [sign("✓"), `It was run with this change${gives}.`]
      : [sign("?"), "It was not run with this change."];
    const added = changes.flatMap((change) => change.new).join("\n");
    const copy = this.hop("Copy", () => this.copy(copy, added));
    copy.setAttribute("aria-label", "Copy the new lines");
    return el(
      "li",
      { class: "fix" },
      el("p", { class: "fix-summary" }, coded(summary)),
      changes.map((change) => this.change(change)),
      edits.length && !changes.length ? el("p", { class: "more" }, "Its change is not shown.") : "",
      caveat ? el("p", { class: "caveat" }, el("strong", {}, "But: "), coded(caveat)) : "",
      el(
        "div",
        { class: "acts" },
        el("p", { class: verified ? "verified" : "unverified" }, state),
        this.options.onFix
          ? this.hop("Apply and run again", () => this.options.onFix(index))
          : "",
        added.trim() ? copy : "",
      ),
    );
  }

  /** Some lines of the source before and after, with what differs in a line emphasised. */
  change({ file, line, column, old, new: fresh }) {
    const cut = (lines) => lines.slice(0, LIMIT.changedLines).map((each) => clip(each, LIMIT.lineLength));
    const [before, after] = [cut(old), cut(fresh)];
    const margin = Math.min(
      ...[...before, ...after].filter((each) => each.trim()).map((each) => each.length - each.trimStart().length),
      LIMIT.lineLength,
    );
    const isPaired = before.length === after.length;
    const row = (tag, mark, spoken, text, other) => {
      const [head, middle, tail] = isPaired ? difference(text.slice(margin), other.slice(margin)) : [text.slice(margin), "", ""];
      return el(
        tag,
        {},
        el("span", { class: "spoken" }, spoken),
        el("span", { "aria-hidden": "true" }, mark),
        el("code", {}, head, middle ? el("b", {}, middle) : "", tail, "\n"),
      );
    };
    const more = Math.max(old.length - before.length, 0) + Math.max(fresh.length - after.length, 0);
    const where = `${fileName(file) || "line"}:${line}${column === null ? "" : `, column ${column + 1}`}`;
    return el(
      "figure",
      { class: "diff" },
      el("div", { class: "where" }, clip(where, 120)),
      before.map((text, index) => row("del", "−", "removed: ", text, after[index])),
      after.map((text, index) => row("ins", "+", "added: ", text, before[index])),
      more ? el("div", { class: "where" }, `and ${plural(more, "more line")}`) : "",
    );
  }

  async copy(button, text) {
    const isDone = await copied(text, this.node);
    button.textContent = isDone ? "Copied" : "Not allowed here: select the lines";
    this.spoken.textContent = button.textContent;
  }

  /** At the step where what failed later was born: why, and the way back. */
  cause(item) {
    const { trace, failing } = this.model;
    const step = rootStep(trace);
    if (step === null || item.error !== null || !failing || !this.stepsOf(item).includes(step)) return [];
    return [
      el(
        "div",
        { class: "warning cause", role: "note" },
        icon(ICONS.root),
        el(
          "div",
          {},
          el("p", {}, el("strong", {}, "The failure begins here: "), coded(trace.failure.root.why)),
          this.hop("Back to the failure", () => this.reach(failing)),
        ),
      ),
    ];
  }

  facts(item, steps) {
    const { step, callee, place } = item;
    const call = this.model.trace.calls[item.call];
    const file = place.file.split(/[\\/]/).at(-1);
    const code = (text) => el("code", {}, clip(text, 200));
    const facts = [];
    const isLine = item.kind === "line";
    if (step && !isLine) facts.push(["operation", code(step.op)]);
    if (callee) facts.push(["module", code(`${callee.module}: ${callee.type}`)]);
    const settings = step ? step.arguments.join(", ") : (callee?.settings ?? "");
    if (settings && !isLine) facts.push(["arguments", code(settings)]);
    if (step) facts.push(["in module", code(step.module || call?.type || "root")]);
    if (step?.writes && !isLine) facts.push(["in place", "it overwrites its first operand"]);
    if (file) facts.push(["written in", code(`${file}:${place.line}`)]);
    const seconds = item.items
      ? item.items.reduce((sum, part) => sum + ((part.step ?? part.callee)?.seconds ?? 0), 0)
      : (step ?? callee)?.seconds;
    if (seconds !== undefined) facts.push(["time", duration(seconds)]);
    facts.push(...this.costs(steps));
    const rows = facts.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]);
    return el("dl", { class: "facts" }, rows);
  }

  renderSource() {
    const { item, model } = this;
    const { source } = item;
    if (!source) {
      this.view = null;
      const text = item.place.expression || item.place.function;
      this.sourcePanel.replaceChildren(
        el("p", { class: "cut" }, "The source of this step was not recorded."),
        text ? el("pre", {}, clip(text, 2_000)) : "",
      );
      return;
    }
    const key = `${item.place.source}/${item.owner}`;
    let view = this.views.get(source);
    if (!view) {
      if (this.views.size >= LIMIT.panels) this.forgetViews();
      view = new SourceView(source, model, this);
      this.views.set(source, view);
    }
    if (this.view !== view) {
      this.sourcePanel.replaceChildren(view.node);
      this.view = view;
      view.isBack = true;
    }
    view.show(item, model.frames.get(key) ?? null);
  }
}

/**
 * Mount a player in `root`.
 *
 * `options`: `url` keeps `?step=` and `dims=` in the address and starts there; `theme` is 'light',
 * 'dark' or 'auto'; `height` is a number of pixels or a CSS length; `onStep(path, step)` is told
 * every step; with `onFix(index)` each fix of a failure gets a button that asks to apply it.
 * `update(payload, options)` shows another trace and keeps the place where it can.
 */
export function mount(root, payload, options = {}) {
  const player = new Player(root, { theme: "auto", ...options });
  player.show(payload);
  return {
    goto: (path) => player.goto(String(path)),
    update: (next, changed = {}) => {
      player.adopt(changed);
      player.show(next);
    },
    destroy: () => player.destroy(),
  };
}
