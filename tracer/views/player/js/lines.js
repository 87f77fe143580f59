/** Items as lines: what a statement, a call or a step of the visible list stands for. */

import { contains } from "./frames.js";

/**
 * The statements among the visible items: neighbours written in one execution of one statement
 * become one entry with the operands that came from outside and the results that left.
 */
export function byLine(visible) {
  const lines = [];
  for (const item of visible) {
    const last = lines.at(-1);
    if (last && item.group !== null && last.group === item.group) last.items.push(item);
    else lines.push({ kind: "line", group: item.group, items: [item], position: lines.length });
  }
  return lines.map((line) => (line.items.length === 1 ? line.items[0] : joined(line)));
}

/** What a row of items takes from outside, and what of its results is not used up in it. */
export function through(items) {
  const last = items.at(-1);
  const made = new Set(items.flatMap((item) => item.outputs.map((note) => note.id)));
  const used = new Set(items.flatMap((item) => item.inputs.map((note) => note.id)));
  const unique = (notes) => [...new Map(notes.map((note) => [note.id, note])).values()];
  const inputs = unique(items.flatMap((item) => item.inputs)).filter((note) => !made.has(note.id));
  const outputs = unique(items.flatMap((item) => item.outputs)).filter(
    (note) => !used.has(note.id) || last.outputs.includes(note),
  );
  return { inputs, outputs };
}

function joined(line) {
  const { items } = line;
  const last = items.at(-1);
  return {
    ...last,
    ...through(items),
    kind: "line",
    items,
    last,
    span: last.statement ?? last.span,
    error: items.find((item) => item.error !== null)?.error ?? null,
    note: items.find((item) => item.note)?.note ?? "",
    targets: items.flatMap((item) => item.targets),
  };
}

/** Where in its expression the part begins that earlier steps of the statement had not computed. */
export function donePart(item) {
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

const between = (start, stop) => Array.from({ length: stop - start }, (_, index) => start + index);

/** The operations of the run that an item stands for. */
export function stepsOf(item) {
  if (item.kind === "line") return item.items.flatMap(stepsOf);
  if (item.kind === "call") return between(item.callee.start, item.callee.stop);
  if (item.kind === "rounds") return between(item.first, item.stop);
  return item.kind === "step" && !item.parent ? [item.step.index] : [];
}

/** What is suspicious of the operation that an item stands for or is a part of. */
export function warningsOf({ warnings }, item) {
  if (!warnings.size) return [];
  let top = item;
  while (top.parent) top = top.parent;
  return stepsOf(top).flatMap((step) => warnings.get(step) ?? []);
}

/** The first suspicious step behind the one at `here`; behind the last the first. */
export function nextWarning({ warnings }, here) {
  const steps = [...warnings.keys()].sort((a, b) => a - b);
  return steps.find((step) => step > here) ?? steps[0];
}
