/**
 * Reading a trace: all that is looked up while stepping, computed once.
 *
 *   items   every step (children included) and every module call, in the order of time;
 *   frames  one run of one function: the items written in it, grouped by statement execution.
 */

import { addHeadings, readChapters } from "./chapters.js";
import { nameDimensions } from "./dimensions.js";
import { addSignatures, append, checkedSpan, indexFrames } from "./frames.js";
import { LIMIT } from "./limits.js";
import { readRounds } from "./rounds.js";
import { readStory } from "./story.js";
import { clip, isWhole } from "./text.js";
import { say } from "./words.js";

export const NO_EXPLANATION = { summary: "", changes: [], inputs: [], outputs: [], children: [] };

/** The model of a payload: see the head of this file, and what is returned. */
export function readTrace(payload) {
  const { trace } = payload;
  const notes = new Map(payload.tensors.map((note) => [note.id, note]));
  const sources = trace.sources.map(readSource);
  const known = (ids) => ids.map((id) => notes.get(id)).filter(Boolean);
  const { nodes, tops } = readSteps(payload, sources, known);
  const calls = readCalls(trace, sources, known, tops, nodes.length);
  const failing = failedStep(trace, tops) ?? failureItem(trace, sources, known, nodes.length);

  const items = [...nodes, ...calls.filter((item) => item.callee.parent !== null)];
  if (failing?.kind === "failure") items.push(failing);
  // A call begins with its first step: in its caller's frame only the call is seen.
  items.sort((a, b) => a.at - b.at || (a.kind === "call" ? -1 : 0) - (b.kind === "call" ? -1 : 0));

  const frames = indexFrames(items);
  const read = (part) => readItem(part, sources, known);
  const model = {
    payload,
    trace,
    notes,
    sources,
    nodes,
    tops,
    calls,
    failing,
    frames,
    ...readStory(trace, known, { frames, after: nodes.length + 1 }),
    chapters: readChapters(trace, tops),
    rounds: readRounds(payload.rounds, tops, read),
    labels: new Map(),
    colours: new Map(),
    makers: makersOf(nodes),
    math: payload.math ?? {},
    graph: payload.graph ?? null,
    symbols: new Map((trace.symbols ?? []).map(({ name, value }) => [name, value])),
    hasFormulas: payload.tensors.some(({ dims }) => dims?.length),
    formulas: new Map(),
    warnings: new Map(),
  };
  addSignatures(model);
  nameDimensions(model);
  addFlags(model);
  addHeadings(model);
  for (const loop of model.rounds) {
    const frame = frames.get(`${loop.place.source}/${loop.owner}`);
    if (frame) (frame.loops ??= new Map()).set(loop.place.line, loop);
  }
  return model;
}

function readSource(source) {
  const lines = source.text.split("\n");
  return {
    file: source.file,
    function: source.function,
    first: isWhole(source.first) ? source.first : 1,
    lines: lines.slice(0, LIMIT.lines),
    cut: lines.length > LIMIT.lines,
    comments: source.comments,
    tokens: null,
  };
}

/** What all items have in common: where they are written and which tensors they touch. */
function readItem({ place, targets, note, inputs, outputs }, sources, known) {
  const source = sources[place.source] ?? null;
  return {
    position: -1,
    place,
    source,
    span: checkedSpan(place.span, source),
    statement: checkedSpan(place.statement_span, source),
    targets,
    names: [],
    note,
    error: null,
    inputs: known(inputs),
    outputs: known(outputs),
    children: [],
    group: null,
  };
}

/** Every step as a node with its children behind it, and those that stand in no other. */
function readSteps({ trace, explanations, said }, sources, known) {
  const nodes = [];
  const add = (step, explanation, spoken, parent, path) => {
    const at = nodes.length;
    const node = {
      ...readItem(step, sources, known),
      kind: "step",
      step,
      path,
      parent,
      explanation: explanation ?? NO_EXPLANATION,
      // The same sentences with formulas in the place of numbers.
      said: spoken ?? explanation ?? NO_EXPLANATION,
      at,
      end: at,
      call: step.call,
      owner: parent ? `s${parent.at}` : `c${step.call}`,
      names: step.names,
      error: step.error,
    };
    nodes.push(node);
    node.children = step.children.map((child, index) =>
      add(
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
    add(step, explanations[index], said?.[index], null, String(index)),
  );
  return { nodes, tops };
}

function readCalls(trace, sources, known, tops, after) {
  const startOf = (index) => (index < tops.length ? tops[index].at : after);
  return trace.calls.map((call) => {
    const at = startOf(call.start);
    return {
      ...readItem(call, sources, known),
      kind: "call",
      callee: call,
      path: `c${call.index}`,
      parent: null,
      at,
      end: Math.max(at, startOf(call.stop) - 1),
      call: call.parent,
      owner: `c${call.parent}`,
    };
  });
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
  let call = 0;
  for (const candidate of trace.calls) {
    if (candidate.module === failure.module) call = candidate.index;
  }
  const { step, place } = failure;
  const inputs = failure.operands.map((operand) => operand.note);
  const note = step ? step.note : "";
  return {
    ...readItem({ place, targets: [], note, inputs, outputs: [] }, sources, known),
    kind: "failure",
    step,
    path: "failure",
    parent: null,
    explanation: NO_EXPLANATION,
    at,
    end: at,
    call,
    owner: `c${call}`,
    names: step ? step.names : [],
    error: failure.message,
  };
}

/** For each tensor the first item, outermost first, that put it out. */
function makersOf(nodes) {
  const makers = new Map();
  for (const node of nodes) {
    for (const { id } of node.outputs) if (!makers.has(id)) makers.set(id, node);
  }
  return makers;
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
  if (failing) flag(failing, "failed", say("the run failed here"));
  const origin = tops[rootStep(trace)];
  if (origin && origin !== failing) flag(origin, "root", say("the cause of the failure"));
  for (const { step, reason, name } of trace.warnings ?? []) {
    if (!tops[step]) continue;
    append(model.warnings, step, { name, reason });
    if (model.warnings.size <= LIMIT.warnings) {
      flag(tops[step], "warned", say("suspicious: {reason}", { reason: clip(reason) }));
    }
  }
}

/** The step at which what went wrong was born, null where that is no step. */
export function rootStep({ failure }) {
  return failure?.root?.kind === "step" ? failure.root.step : null;
}

/** Whether two payloads are of one run, which may have got formulas or another language since. */
export function isSameRun(one, other) {
  const mark = ({ trace, tensors }) =>
    [trace.name, trace.seconds, trace.steps.length, tensors.length].join("\n");
  return mark(one) === mark(other);
}

/** Whether the same is said in two payloads of one run. */
export function saysTheSame(one, other) {
  const mark = ({ trace, tensors }) => {
    const formulas = tensors.filter(({ dims }) => dims?.length);
    const { symbols, constraints, costs, warnings, failure, sources } = trace;
    const lists = [symbols, constraints, costs, warnings, failure?.fixes, formulas];
    const notes = sources.map(({ comments }) => comments[0]?.text ?? "");
    return [...lists.map((list) => list?.length ?? 0), ...notes].join("\n");
  };
  return mark(one) === mark(other);
}
