"""Where a dimension of a tensor comes from, step by step back through a recorded run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tracer.document import Step, TensorNote, Trace
from tracer.ops.names import op_name
from tracer.ops.table import Bound, bound_step

MAX_HOPS = 4000


@dataclass(frozen=True)
class Hop:
    """What `step` did to make dimension `dim` of `note`.

    `how` is `same` (the size was handed on), `changed` (worked out from the sources: a convolution
    without padding, a slice, cat), `merged`, `split` and `regrouped` (by a view), `weight` (a
    parameter's size), `new` (made by the step) or `unknown`.  `sources` are what it was made of.
    """

    note: TensorNote
    dim: int
    step: Step
    how: str
    sources: tuple[tuple[TensorNote, int], ...]


@dataclass(frozen=True)
class Birth:
    """Where a size was born: at the last of `hops` when that is not `same`, else in `note`, which
    no step made: an input, a parameter or a constant."""

    hops: tuple[Hop, ...]
    note: TensorNote
    dim: int

    @property
    def last(self) -> Hop | None:
        return self.hops[-1] if self.hops and self.hops[-1].how != "same" else None


def birth(trace: Trace, note: TensorNote, dim: int) -> Birth:
    """Follow a size back for as long as it is only handed on."""
    hops: list[Hop] = []
    for _ in range(MAX_HOPS):
        step = made_by(trace, note)
        if step is None:
            break
        how, sources = _made(step, note, dim)
        hops.append(Hop(note, dim, step, how, tuple(sources)))
        if how != "same" or not sources:
            break
        note, dim = sources[0]
    return Birth(tuple(hops), note, dim)


def back(trace: Trace, note: TensorNote, dim: int) -> Iterator[Hop]:
    """Every hop on the way to the origin, also beyond steps that changed the size."""
    for _ in range(MAX_HOPS):
        step = made_by(trace, note)
        if step is None:
            return
        how, sources = _made(step, note, dim)
        yield Hop(note, dim, step, how, tuple(sources))
        if not sources or how == "weight":
            return
        note, dim = sources[0]


def ancestors(trace: Trace, note: TensorNote) -> Iterator[tuple[Step, TensorNote, TensorNote]]:
    """(step, what it made, its main operand) back along the main operand of each step."""
    for _ in range(MAX_HOPS):
        step = made_by(trace, note)
        if step is None:
            return
        inputs = [n for n in step.inputs if n.kind not in ("parameter", "buffer")]
        if not inputs:
            return
        main = max(inputs, key=lambda n: len(n.shape)) if _joins(step) else inputs[0]
        yield step, note, main
        note = main


def made_by(trace: Trace, note: TensorNote) -> Step | None:
    if note.born is None or not 0 <= note.born < len(trace.steps):
        return None
    step = trace.steps[note.born]
    return None if any(n.id == note.id for n in step.inputs) else step


def short_op(step: Step) -> str:
    """`conv2d` of `F.conv2d` and `nn.Conv2d`, `add` of `Tensor.__iadd__`."""
    return op_name(step.op).lower()


def numbers(step: Step, *names: str) -> list[int]:
    """The whole numbers among a step's arguments: those named so, and those without a name."""
    found: list[int] = []
    for text in step.arguments:
        match = re.match(r"(\w+)=(.*)", text, re.DOTALL)
        if match is not None and match[1] not in names:
            continue
        try:
            value = ast.literal_eval(match[2] if match is not None else text)
        except (ValueError, SyntaxError):
            continue
        found += _ints(value)
    return found


def _ints(value: object) -> list[int]:
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [value]
    if isinstance(value, list | tuple):
        return [number for item in value for number in _ints(item)]
    return []


def flag(step: Step, name: str) -> bool:
    return f"{name}=True" in step.arguments


_Made = tuple[str, list[tuple[TensorNote, int]]]


def _joins(step: Step) -> bool:
    return short_op(step) in ("add", "sub", "mul", "div", "truediv", "where", "cat", "stack")


def _made(step: Step, note: TensorNote, dim: int) -> _Made:
    """How `step` made dimension `dim` of `note`, and of what."""
    bound = bound_step(step)
    if bound is not None:
        return _by_table(bound, step, note, dim)
    op = short_op(step)
    rank = len(note.shape)
    weights = [n for n in step.inputs if n.kind == "parameter"]
    given = [n for n in step.inputs if n.kind not in ("parameter", "buffer")]
    if not step.inputs:
        return "new", []
    x = given[0] if given else step.inputs[0]

    if op in ("embedding", "embeddingbag"):
        table = next((n for n in step.inputs if len(n.shape) == 2 and n.kind == "parameter"), None)
        index = next((n for n in step.inputs if n is not table), x)
        if dim == rank - 1 and table is not None:
            return "weight", [(table, 1)]
        return ("same", [(index, dim)]) if dim < len(index.shape) else ("unknown", [])
    if op in ("lstm", "gru", "rnn"):
        return _recurrent(step, x, note, dim, weights)
    if op == "multiheadattention":
        if step.outputs and note.id == step.outputs[0].id and len(x.shape) == rank:
            return "same", [(x, dim)]
        return "unknown", [(x, min(dim, len(x.shape) - 1))]
    return _elementwise(step, note, dim, given or list(step.inputs))


def _by_table(bound: Bound, step: Step, note: TensorNote, dim: int) -> _Made:
    result = next((n for n, each in enumerate(step.outputs) if each.id == note.id), 0)
    made = bound.results[result][dim]
    sources = [(step.inputs[at.operand], at.dim) for at in made.sources]
    if made.how == "same":  # of what met, a parameter was made to fit the other
        sources.sort(key=lambda source: source[0].kind in ("parameter", "buffer"))
    if made.how == "resized":
        sources = sources[:1]  # what follows is a kernel's size
    if made.how in ("resized", "piece", "joined"):
        kept = len(sources) == 1 and sources[0][0].shape[sources[0][1]] == made.size
        if kept and not made.moved:
            return "same", sources
        return ("new" if made.given else "changed"), sources
    if made.how == "grouped":
        whole = "merged" if len(made.group) == 1 else "split"
        return (whole if len(sources) == 1 or whole == "merged" else "regrouped"), sources
    return {"same": "same", "mixed": "weight"}.get(made.how, "new"), sources


def _recurrent(
    step: Step, x: TensorNote, note: TensorNote, dim: int, weights: list[TensorNote]
) -> _Made:
    if step.outputs and note.id == step.outputs[0].id and len(x.shape) == len(note.shape):
        if dim == len(note.shape) - 1:
            return "weight", [(w, 0) for w in weights[:1]]
        return "same", [(x, dim)]
    batch = 0 if flag(step, "batch_first") else 1
    if len(note.shape) == 3 and dim == 1 and len(x.shape) == 3:
        return "same", [(x, batch)]
    return "weight", [(w, 0) for w in weights[:1]]


def _elementwise(step: Step, note: TensorNote, dim: int, given: list[TensorNote]) -> _Made:
    """Shapes laid against each other from the right: add, norms, activations, and what is not known
    better."""
    backwards = len(note.shape) - dim
    stretched: list[tuple[TensorNote, int]] = []
    for n in [*given, *step.inputs]:
        at = len(n.shape) - backwards
        if at >= 0:
            if n.shape[at] == note.shape[dim]:
                return "same", [(n, at)]
            stretched.append((n, at))
    if stretched and any(len(n.shape) == len(note.shape) for n, _ in stretched):
        return "changed", stretched[:1]
    return "unknown", []
