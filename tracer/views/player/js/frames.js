/** Frames of a run: the items written in one run of one function, by statement execution. */

import { clamp, isWhole } from "./text.js";

const WORDS = /[\p{L}_][\p{L}\p{N}_]*/gu;

/** The position of the last entry of the sorted `list` with `at` not after `time`, or 0. */
export function nearest(list, time) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].at <= time) low = middle + 1;
    else high = middle;
  }
  return Math.max(low - 1, 0);
}

/** The span if it lies inside the source, else null: a file may say anything. */
export function checkedSpan(span, source) {
  if (!span || !source) return null;
  const last = source.first + source.lines.length - 1;
  const whole = [span.line, span.column, span.end_line, span.end_column].every(isWhole);
  if (!whole || span.line < source.first || span.end_line > last) return null;
  if (span.column < 0 || span.end_column < 0 || span.end_line < span.line) return null;
  if (span.end_line === span.line && span.end_column <= span.column) return null;
  return span;
}

const spanKey = (span) => `${span.line}:${span.column}:${span.end_line}:${span.end_column}`;

export function contains(outer, inner) {
  const starts =
    inner.line > outer.line || (inner.line === outer.line && inner.column >= outer.column);
  const ends =
    inner.end_line < outer.end_line ||
    (inner.end_line === outer.end_line && inner.end_column <= outer.end_column);
  return starts && ends;
}

/**
 * Frames by key `source/owner`.  A group is one execution of one statement: consecutive items of a
 * frame on the same statement, until the same operation of the same expression comes again.
 */
export function indexFrames(items) {
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

export function append(map, key, value) {
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
export function addSignatures(model) {
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

/** The execution, nearest in time, of the smallest statement over a line; null if none ran. */
function groupAt(frame, line, time) {
  frame.covering ??= coveringStatements(frame);
  const groups = frame.statements.get(frame.covering.get(line));
  return groups ? groups[nearest(groups, time)] : null;
}

/** The ids of the tensors that a token of a line stands for, as of the execution nearest in time. */
export function namedBy(frame, number, token, time) {
  if (!token.chain) return [];
  const group = groupAt(frame, number, time);
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
  const line = frame.source.lines[number - frame.source.first];
  const when = group ? group.at - 0.5 : isDefinition(line) ? -1 : Infinity;
  const entry = seen[nearest(seen, when)];
  return group && entry.at > when ? [] : entry.ids;
}

/** The innermost item written at a position of the source, else the last of its line. */
export function itemAt(frame, line, column, time) {
  const group = groupAt(frame, line, time);
  if (!group) return null;
  const at = { line, column, end_line: line, end_column: column + 1 };
  const around = group.items.filter(({ span }) => span && contains(span, at));
  const size = ({ span }) => (span.end_line - span.line) * 10_000 + span.end_column - span.column;
  around.sort((a, b) => size(a) - size(b));
  return around[0] ?? group.items.at(-1);
}
