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
  thumbnails: 8,
  side: 4_096,
  panels: 60,
  pictures: 300,
};
const SPEEDS = [0.5, 1, 2, 4, 8];
const PLAY_MILLISECONDS = 1_400;
const URL_MILLISECONDS = 250;

// Okabe and Ito's colours, without black, which is the text's own.
const DIMENSION_COLOURS = [
  '#E69F00',
  '#56B4E9',
  '#009E73',
  '#CC79A7',
  '#0072B2',
  '#D55E00',
  '#F0E442',
];

// --- Small tools ------------------------------------------------------------------------------

/** An element; strings among the children become text nodes. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'class') node.className = value;
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== '') node.append(child);
  }
  return node;
}

const SVG = 'http://www.w3.org/2000/svg';
const MATHML = 'http://www.w3.org/1998/Math/MathML';

function icon(path) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('aria-hidden', 'true');
  const shape = document.createElementNS(SVG, 'path');
  shape.setAttribute('d', path);
  svg.append(shape);
  return svg;
}

const ICONS = {
  first: 'M3 3h1.8v10H3zM13 3v10L6 8z',
  previous: 'M11 3v10L4 8z',
  play: 'M4.5 2.5v11l9-5.5z',
  pause: 'M4 3h3v10H4zM9 3h3v10H9z',
  next: 'M5 3v10l7-5z',
  last: 'M11.200 3H13v10h-1.800zM3 3v10l7-5z',
};

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function clip(text, length = LIMIT.text) {
  const whole = String(text ?? '');
  return whole.length > length ? `${whole.slice(0, length - 1)}…` : whole;
}

const isWhole = (value) => Number.isInteger(value);

function plural(count, noun) {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

function figure(value, digits = 4) {
  if (value === null || value === undefined) return '–';
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(digits - 2).replace('e+', 'e');
  return String(Number(value.toPrecision(digits)));
}

/** The shortest decimal that names exactly this float32. */
function exactly(value) {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '−Inf';
  for (let digits = 1; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return '–';
  if (seconds < 1e-3) return `${figure(seconds * 1e6, 3)} µs`;
  if (seconds < 1) return `${figure(seconds * 1e3, 3)} ms`;
  return `${figure(seconds, 3)} s`;
}

function shapeText(shape) {
  const shown = shape.slice(0, LIMIT.rank).map(String);
  if (shape.length > LIMIT.rank) shown.push('…');
  return `(${shown.join(', ')}${shape.length === 1 ? ',' : ''})`;
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

const NO_EXPLANATION = { summary: '', changes: [], inputs: [], outputs: [], children: [] };

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
    lines: source.text.split('\n', LIMIT.lines),
    cut: source.text.split('\n').length > LIMIT.lines,
    comments: source.comments,
    tokens: null,
  }));
  const known = (ids) => ids.map((id) => notes.get(id)).filter(Boolean);

  const nodes = [];
  const addStep = (step, explanation, parent, path) => {
    const source = sources[step.place.source] ?? null;
    const node = {
      kind: 'step',
      step,
      path,
      parent,
      explanation: explanation ?? NO_EXPLANATION,
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
      addStep(child, node.explanation.children[index], node, `${path}.${index}`),
    );
    node.end = nodes.length - 1;
    return node;
  };
  const tops = trace.steps.map((step, index) =>
    addStep(step, payload.explanations[index], null, String(index)),
  );

  const after = nodes.length;
  const startOf = (index) => (index < tops.length ? tops[index].at : after);
  const calls = trace.calls.map((call) => {
    const source = sources[call.place.source] ?? null;
    const at = startOf(call.start);
    return {
      kind: 'call',
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

  const failing = failureItem(trace, sources, known, after);
  if (failing && nodes.some((node) => node.error !== null)) failing.inSteps = true;

  const items = [...nodes, ...calls.filter((item) => item.callee.parent !== null)];
  if (failing && !failing.inSteps) items.push(failing);
  // A call begins with its first step: in its caller's frame only the call is seen.
  items.sort((a, b) => a.at - b.at || (a.kind === 'call' ? -1 : 0) - (b.kind === 'call' ? -1 : 0));

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
  };
  addSignatures(model);
  nameDimensions(model);
  return model;
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
    kind: 'failure',
    inSteps: false,
    step,
    path: 'failure',
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
    note: step ? step.note : '',
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
  group.note = '';
  group.targets = new Map();
  const ends = new Map();
  for (const item of group.items) {
    ends.set(item.span?.end_line ?? group.line, item);
    group.note ||= item.note;
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
  for (const [name, ids] of group.targets) append(frame.definitions, name, { at: group.at, ids });
}

/** The arguments at the `def` line and the results at the only `return` of a module's forward. */
function addSignatures(model) {
  const main = new Map();
  for (const frame of model.frames.values()) {
    const owner = frame.key.slice(frame.key.indexOf('/') + 1);
    if (!owner.startsWith('c')) continue;
    const call = model.trace.calls[Number(owner.slice(1))];
    if (!call) continue;
    const before = main.get(call);
    const isForward = /(^|\.)forward$/.test(frame.source.function);
    if (!before || (isForward && !/(^|\.)forward$/.test(before.source.function))) {
      main.set(call, frame);
    }
  }
  for (const [call, frame] of main) {
    const item = model.calls[call.index];
    frame.call = item;
    const at = item.at - 0.5;
    for (const note of item.inputs) {
      const list = frame.definitions.get(note.name) ?? [];
      frame.definitions.set(note.name, [{ at, ids: [note.id] }, ...list]);
    }
    const { first, lines } = frame.source;
    const define = lines.findIndex((line) => /^\s*(async\s+)?def\s/.test(line));
    if (define >= 0 && !frame.ends.has(first + define)) {
      frame.ends.set(first + define, [{ at, shown: item.inputs }]);
    }
    const returns = lines.flatMap((line, index) => (/^\s*return\b/.test(line) ? [index] : []));
    if (returns.length === 1 && !frame.ends.has(first + returns[0])) {
      frame.ends.set(first + returns[0], [{ at, shown: item.outputs }]);
    }
  }
}

const LETTERS = /\p{L}[\p{L}\p{N}_]*/gu;

/** Which colour each letter has, and the letters of each tensor as first explained. */
function nameDimensions(model) {
  const seen = new Set();
  const look = (notes, rows) => {
    notes.forEach((note, index) => {
      const labels = rows[index] ?? [];
      if (!model.labels.has(note.id)) model.labels.set(note.id, labels);
      for (const label of labels) {
        if (seen.has(label)) continue;
        seen.add(label);
        for (const letter of clip(label).match(LETTERS) ?? []) {
          if (model.colours.has(letter)) continue;
          const next = DIMENSION_COLOURS[model.colours.size % DIMENSION_COLOURS.length];
          model.colours.set(letter, next);
        }
      }
    });
  };
  for (const node of model.nodes) {
    look(node.inputs, node.explanation.inputs);
    look(node.outputs, node.explanation.outputs);
  }
}

/** The colours of a label: one, two for a product, none for a plain number. */
function labelColours(model, label) {
  const letters = [...new Set(clip(label ?? '').match(LETTERS) ?? [])];
  return letters.slice(0, 2).map((letter) => model.colours.get(letter) ?? 'transparent');
}

function paintLabel(node, model, label) {
  const [first, second] = labelColours(model, label);
  if (!first) return;
  node.style.setProperty('--dim', first);
  node.style.setProperty('--dim-end', second ?? first);
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
    String.raw`(?<number>(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?[jJ]?|0[xXbBoO][\da-fA-F_]+)`,
    String.raw`(?<word>[\p{L}_][\p{L}\p{N}_]*)`,
    String.raw`(?<operator>(?:\*\*|\/\/|<<|>>|[-+*\/%@&|^:])?=(?!=)|[<>!=]=|.)`,
  ].join('|'),
  'uy',
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
    tokens.push({ start: 0, end: at, kind: 'string', chain: null, target: false });
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
    const token = { start, end: at, kind: 'operator', chain: null, target: false };
    const { comment, triple, string, number, word } = match.groups;
    if (comment) token.kind = 'comment';
    else if (triple) {
      token.kind = 'string';
      state.closing = triple.slice(-3);
      token.end = at = closeTriple();
    } else if (string) token.kind = 'string';
    else if (number) token.kind = 'number';
    else if (word) nameWord(token, word, previous, text, state);
    else if (whole.trim() === '') continue;
    else track(whole, previous, state);
    token.text = whole;
    tokens.push(token);
    previous = token;
  }
  return tokens;
}

function nameWord(token, word, previous, text, state) {
  token.kind = KEYWORDS.has(word) ? 'keyword' : 'word';
  if (token.kind === 'keyword') return;
  if (previous?.kind === 'keyword' && /^(def|class)$/.test(previous.text)) {
    token.kind = 'defined';
    return;
  }
  if (word === 'self') token.kind = 'self';
  const isArgumentName = state.depth > 0 && /^\s*=(?!=)/.test(text.slice(token.end));
  if (isArgumentName) return;
  if (previous?.text === '.' && previous.end === token.start) {
    if (previous.owner) token.chain = `${previous.owner}.${word}`;
  } else token.chain = word;
  if (state.depth === 0 && token.chain) state.pending.push(token);
}

function track(operator, previous, state) {
  if (/^[([{]$/.test(operator)) state.depth += 1;
  else if (/^[)\]}]$/.test(operator)) state.depth = Math.max(0, state.depth - 1);
  else if (operator === ':=' && previous) previous.target = true;
  else if (/=$/.test(operator) && !/^[<>!=]=$/.test(operator) && state.depth === 0) {
    for (const token of state.pending) token.target = true;
  } else if (operator === ';' && state.depth === 0) state.pending = [];
}
