"""A trace as a graph in Graphviz's language: steps as nodes, tensors as edges, modules as frames.

Every node carries an id by which a page can find it: `step-<index>` for a step,
`call-<index>-<start>-<stop>` for a module call drawn as one node (with the steps inside it).
Colours are left to the page's style sheet, which goes by the classes `given`, `step`, `learned`,
`call`, `failed` and `result`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracer.document import Call, Step, TensorNote, Trace
from tracer.ops.names import op_name
from tracer.sentences import Translate, render, said

if TYPE_CHECKING:
    import graphviz

MAX_NODES = 300
"""More than these are neither readable nor quickly laid out: show one module's level at a time."""

_LONGEST = 34


@dataclass(frozen=True)
class Node:
    """`lines` are written in it; it stands for the steps from `start` to before `stop`, None for
    what is given and what results."""

    lines: tuple[str, ...]
    kind: str
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True)
class Edge:
    """From and to nodes by their keys; `note` is the id of the tensor that goes along."""

    tail: str
    head: str
    note: int


@dataclass(frozen=True)
class Drawing:
    """What a graph shows: nodes by their keys, in the order of the run, and edges."""

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]


def dot(
    trace: Trace, call: int | None = None, symbols: bool = False, translate: Translate = str
) -> str:
    """The DOT source of the whole run, or of the inside of one module call.

    Args:
        call: index in `trace.calls`.  The calls inside it are drawn as one node each.  None draws
            every step, with a frame around each module's.
        symbols: write the shapes as formulas where the trace has them.
        translate: gives what is said in another language (`tracer.language.translator`).

    Raises:
        IndexError: there is no such call.
    """
    return _Drawing(trace, call, symbols, translate).source()


def drawing(trace: Trace, call: int | None = None) -> Drawing:
    """What `dot` draws, as data.

    Raises:
        IndexError: there is no such call.
    """
    draft = _Drawing(trace, call, symbols=False)
    draft.collect()
    edges = tuple(Edge(tail, head, note) for (tail, head, _), note in draft.edges.items())
    return Drawing(draft.nodes, edges)


def readable(trace: Trace) -> Drawing | None:
    """The whole run, or where that is too large the outermost module's parts as one node each; None
    where these are too many as well, or there are none."""
    for call in (0,) if too_large(trace) else (None, 0):
        found = drawing(trace, call) if call is None or trace.calls else None
        if found is not None and 0 < len(found.nodes) <= MAX_NODES:
            return found
    return None


def too_large(trace: Trace) -> bool:
    """Whether the whole run has more steps than a graph can show."""
    return len(trace.steps) > MAX_NODES


def levels(trace: Trace) -> tuple[Call, ...]:
    """The calls whose inside is worth a graph of its own: those that ran more than one step."""
    return tuple(call for call in trace.calls if call.stop - call.start > 1)


def shape_text(note: TensorNote, symbols: bool = False) -> str:
    """`(2, 64, 14800)`, or with `symbols` `(B, C, H·W)` where the formulas are known."""
    if symbols and note.dims:
        return f"({', '.join(_clip(dim.text) for dim in note.dims)})"
    return f"({', '.join(map(str, note.shape))})"


class _Drawing:
    """Collects nodes and edges while it walks the steps in the order in which they ran."""

    def __init__(
        self, trace: Trace, call: int | None, symbols: bool, translate: Translate = str
    ) -> None:
        self.trace = trace
        self.translate = translate
        self.symbols = symbols
        self.level = call
        self.start, self.stop = 0, len(trace.steps)
        if call is not None:
            self.start, self.stop = trace.calls[call].start, trace.calls[call].stop
        self.shown = self._calls_as_nodes()
        self.node_attributes: dict[str, dict[str, str]] = {}
        self.nodes: dict[str, Node] = {}
        self.home: dict[str, int] = {}
        self.edges: dict[tuple[str, str, str], int] = {}
        self.maker: dict[int, str] = {}

    def _calls_as_nodes(self) -> dict[int, Call]:
        """For each step inside a call that is drawn as one node, that call."""
        shown: dict[int, Call] = {}
        if self.level is None:
            return shown
        for call in self.trace.calls:
            if call.parent == self.level and call.index != self.level:
                shown.update(dict.fromkeys(range(call.start, call.stop), call))
        return shown

    def collect(self) -> None:
        for note in self._given():
            self._give(note)
        for step in self.trace.steps[self.start : self.stop]:
            self._step(step)
        for position, note in enumerate(self._results()):
            self._result(position, note)

    def source(self) -> str:
        import graphviz  # the app needs it: what is drawn otherwise does not

        self.collect()
        graph = graphviz.Digraph("trace")
        graph.attr("graph", rankdir="TB", bgcolor="transparent", nodesep="0.25", ranksep="0.35")
        graph.attr("graph", fontname="Helvetica", fontsize="10", margin="0.1")
        graph.attr("node", fontname="Helvetica", fontsize="11", shape="box", style="rounded")
        graph.attr("node", height="0.35", margin="0.12,0.06")
        graph.attr("edge", fontname="Helvetica", fontsize="9.5", arrowsize="0.6")
        outer = self.level if self.level is not None else 0
        self._frame(graph, outer, self._parents())
        for tail, head, label in self.edges:
            graph.edge(tail, head, label=graphviz.escape(f" {label} "))
        return str(graph.source)

    # --- nodes ---

    def _given(self) -> tuple[TensorNote, ...]:
        calls = self.trace.calls
        return self.trace.inputs if self.level is None else calls[self.level].inputs

    def _results(self) -> tuple[TensorNote, ...]:
        calls = self.trace.calls
        return self.trace.outputs if self.level is None else calls[self.level].outputs

    def _node(self, key: str, node: Node, **more: str) -> None:
        self.nodes[key] = node
        self.node_attributes[key] = {"id": key, "class": node.kind, **more}

    def _give(self, note: TensorNote) -> str:
        key = f"given-{note.id}"
        lines = (_clip(note.name or "tensor"), self._shape(note))
        self._node(key, Node(lines, "given"), shape="ellipse")
        self.maker[note.id] = key
        return key

    def _step(self, step: Step) -> None:
        call = self.shown.get(step.index)
        if call is None:
            key = f"step-{step.index}"
            learned = any(note.kind == "parameter" for note in step.inputs)
            kind = "step failed" if step.error is not None else "step"
            kind += " learned" if learned else ""
            lines = _lines(step, self.trace.calls[step.call].module)
            self._node(key, Node(lines, kind, step.index, step.index + 1))
            self.home[key] = step.call
        else:
            key = f"call-{call.index}-{call.start}-{call.stop}"
            if key not in self.node_attributes:
                lines = (_clip(call.module), _clip(call.type))
                node = Node(lines, "call", call.start, call.stop)
                self._node(key, node, shape="box3d", style="solid")
        for note in step.inputs:
            if note.kind in ("parameter", "buffer"):
                continue
            tail = self.maker.get(note.id)
            if tail is None:
                tail = self._give(note) if note.kind != "constant" else None
            if tail is not None and tail != key:
                self.edges.setdefault((tail, key, self._shape(note)), note.id)
        for note in step.outputs:
            self.maker[note.id] = key

    def _result(self, position: int, note: TensorNote) -> None:
        tail = self.maker.get(note.id)
        if tail is None:
            return
        key = f"result-{position}"
        word = render(said("output"), self.translate)
        label = f"{word} {position}" if len(self._results()) > 1 else word
        self._node(key, Node((label,), "result"), shape="ellipse")
        self.edges.setdefault((tail, key, self._shape(note)), note.id)

    def _shape(self, note: TensorNote) -> str:
        return shape_text(note, self.symbols)

    # --- frames ---

    def _parents(self) -> dict[int, list[Call]]:
        inside: dict[int, list[Call]] = {}
        for call in self.trace.calls:
            if call.parent is not None and call.stop > call.start:
                inside.setdefault(call.parent, []).append(call)
        return inside

    def _frame(self, graph: graphviz.Digraph, call: int, inside: dict[int, list[Call]]) -> None:
        """Nodes are written where they belong: each in the innermost module that ran it."""
        import graphviz

        outermost = call == (self.level if self.level is not None else 0)
        for key, attributes in self.node_attributes.items():
            home = self.home.get(key)
            if home == call or (outermost and (home is None or self.level is not None)):
                label = graphviz.escape("\n".join(self.nodes[key].lines))
                graph.node(key, label=label, **attributes)
        if self.level is not None:
            return
        for part in inside.get(call, ()):
            title = f"{_clip(part.module)} · {_clip(part.type)}"
            with graph.subgraph(name=f"cluster_{part.index}") as frame:
                frame.attr(label=graphviz.escape(title), id=f"frame-{part.index}", style="rounded")
                self._frame(frame, part.index, inside)


def _lines(step: Step, within: str) -> tuple[str, ...]:
    """What the step made, over how: names that the frame around it already says are left out."""
    operation = _clip(op_name(step.op))
    if step.op.startswith("nn.") and step.module:
        inner = step.module.removeprefix(f"{within}.") if within else step.module
        operation = f"{_clip(inner)} · {operation}"
    made = [note.name for note in step.outputs if note.name] or list(step.targets)
    # What is overwritten keeps its name, and has the one that it is given now as well.
    names = (list(step.targets) or made) if step.writes else made
    return (_clip(", ".join(names)), operation) if names else (operation,)


def _clip(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
