"""Where the wrong size was born, when that is not where the run stopped: by the lineage of the
offending dimension, to a step, an argument in `__init__`, the caller or the input."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from tracer.diagnosis import built
from tracer.diagnosis.finding import Finding, Mark
from tracer.diagnosis.lineage import (
    Birth,
    Hop,
    ancestors,
    back,
    birth,
    made_by,
    short_op,
)
from tracer.diagnosis.rules import broadcast_break, called
from tracer.document import Failure, Operand, Place, Root, Slice, Step, TensorNote, Trace
from tracer.ops.names import shape_text
from tracer.ops.norm import other_layer
from tracer.ops.texts import index_of
from tracer.record.crash import Crash
from tracer.source.text import first_line


def root(crash: Crash, finding: Finding, failure: Failure) -> Root | None:
    """The birth of the wrong size; None when it is the failing expression itself, or not known."""
    seek = _SEEKERS.get(finding.kind)
    found = seek(_Search(crash, finding, failure)) if seek is not None else None
    if found is None or (
        found.kind == "step"
        and found.place.file == failure.place.file
        and found.place.span == failure.place.span
    ):
        return None
    if found.place.source is None and found.place.file:
        # The text of the function, where the trace has it.
        for index, source in enumerate(crash.trace.sources):
            last = source.first + source.text.count("\n")
            if source.file == found.place.file and source.first <= found.place.line <= last:
                return replace(found, place=replace(found.place, source=index))
    return found


@dataclass(frozen=True)
class _Search:
    crash: Crash
    finding: Finding
    failure: Failure

    @property
    def trace(self) -> Trace:
        return self.crash.trace

    def note(self, mark: Mark) -> TensorNote:
        return self.failure.operands[mark.operand].note

    def name(self, mark: Mark) -> str:
        return self.called(mark.operand)

    def called(self, operand: int) -> str:
        text = called(self.trace, operand)
        return text if text and len(text) <= 40 else "the tensor"

    @property
    def made(self) -> list[Mark]:
        """The marks on tensors that the forward made or was given."""
        return [m for m in self.finding.marks if self.note(m).kind not in ("parameter", "buffer")]

    def layer_path(self) -> str | None:
        """The module of torch that refused."""
        last = self.crash.running[-1] if self.crash.running else None
        if last is None or not type(last.layer).__module__.startswith("torch.nn"):
            return None
        return None if isinstance(last.layer, nn.Sequential | nn.ModuleList) else last.path

    def is_batch(self, note: TensorNote, dim: int) -> bool:
        """Whether this size is the first one of an input, handed on unchanged."""
        found = birth(self.trace, note, dim)
        if found.last is not None or found.note.kind != "input" or found.dim != 0:
            return False
        firsts = [n.shape[0] for n in self.trace.inputs if len(n.shape) > 1]
        return len(found.note.shape) > 1 or found.note.shape[0] in firsts

    def swallowed(self, found: Birth) -> Hop | None:
        """The view that put the batch and another dimension together."""
        last = found.last
        if last is None or last.how not in ("merged", "regrouped"):
            return None
        real = [(n, d) for n, d in last.sources if n.shape[d] != 1]
        if len(real) > 1 and any(self.is_batch(n, d) for n, d in real):
            return last
        return None

    # --- roots of each kind ---

    def step(self, step: Step, why: str) -> Root:
        return Root("step", step.place, step.module, step.index, why)

    def input(self, note: TensorNote, why: str) -> Root:
        return self.input_place(note.name, why)

    def input_place(self, name: str, why: str) -> Root:
        return Root("input", _forward_place(self.crash, name), "", None, why)

    def constructor(
        self, path: str, argument: str, why: str, inside: str | None = None
    ) -> Root | None:
        """`inside` is the path of the module that made the other size."""
        found = built.followed(self.crash.model, path, argument, inside)
        if found is None:
            return None
        call, name = found
        text = call.arguments.get(name, ("", None))[0]
        if call.path != path:
            why += f" The number was written in `{_line(call.place.expression)}`, as {name}={text}."
        return Root("constructor", call.place, call.path, None, why)

    def parameter(self, note: TensorNote, why: str, dim: int | None = None) -> Root | None:
        """Where a parameter's size was written: the layer's arguments, or `nn.Parameter(...)`; the
        call of the module that has it when size `dim` is handed on from there."""
        path, _, leaf = note.name.rpartition(".")
        try:
            owner = self.crash.model.get_submodule(path) if path else self.crash.model
        except AttributeError:
            return None
        if type(owner).__module__.startswith("torch.nn"):
            return self.constructor(path, _produced(owner), why)
        place = built.attribute(owner, leaf)
        if place is None:
            return None
        handed = built.handed_on(self.crash.model, path, place, dim) if dim is not None else None
        if handed is not None:
            call, name = handed
            why = f"{why.removesuffix(' here.')}: {name}={call.arguments[name][0]} here."
            return Root("constructor", call.place, call.path, None, why)
        return Root("constructor", place, path, None, why)

    def kept(self, operand: Operand, why: str) -> Root | None:
        """Where `self.hidden = ...` stands, for a tensor that a module keeps beside its parameters
        and buffers."""
        match = re.match(r"self\.(\w+)", operand.expression or operand.note.name)
        owner = self.crash.frames[-1].scope.get("self") if self.crash.frames else None
        if match is None or not isinstance(owner, nn.Module):
            return None
        place = built.attribute(owner, match[1])
        path = self.crash.frames[-1].module or ""
        return Root("constructor", place, path, None, why) if place is not None else None

    def swallow(self, hop: Hop) -> Root:
        before = hop.sources[0][0]
        batch = next((n.shape[d] for n, d in hop.sources if self.is_batch(n, d)), 0)
        return self.step(
            hop.step,
            f"This {short_op(hop.step)} put the batch of {batch} and other dimensions together: "
            f"{shape_text(before)} became {shape_text(hop.note)}.",
        )


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def _maker(step: Step) -> str:
    """What made a size: the layer, or the expression."""
    if step.op.startswith("nn.") and step.module:
        sizes = [re.sub(r"^(in|out)_features=", "", text) for text in step.arguments[:2]]
        return f"{step.module} ({step.op}({', '.join(sizes)}))"
    return f"`{_line(step.expression)}`"


def _dims(number: int) -> str:
    return f"{number} dimension{'s' * (number != 1)}"


def _produced(layer: nn.Module) -> str:
    """The argument of a layer that says how large its output is."""
    for name in ("out_features", "out_channels", "embedding_dim", "hidden_size", "embed_dim"):
        if hasattr(layer, name):
            return name
    return ""


def _wanted(layer: nn.Module) -> str:
    """The argument of a layer that says how large its input must be."""
    for name in (
        "in_features",
        "in_channels",
        "num_features",
        "num_channels",
        "normalized_shape",
        "input_size",
        "embed_dim",
        "num_embeddings",
        "d_model",
    ):
        if hasattr(layer, name):
            return name
    return ""


def _forward_place(crash: Crash, name: str) -> Place:
    """The forward of the model, where its inputs are named."""
    code = getattr(inspect.unwrap(type(crash.model).forward), "__code__", None)
    place = first_line(code) if code is not None else None
    if place is None or type(crash.model).__module__.startswith("torch."):
        return Place("", 0, type(crash.model).__name__, None, None, name, "", None)
    return replace(place, expression=name or place.expression)


# --- a layer's own size against its input ---------------------------------------------------------


def _of_layer(s: _Search) -> Root | None:
    marks = s.made
    if not marks:
        return None
    mark = marks[0]
    note, wanted = s.note(mark), mark.wanted
    found = birth(s.trace, note, mark.dim)
    if (hop := _swallow(s, note, found)) is not None:
        return s.swallow(hop)
    if wanted is not None and (culprit := _culprit(s, found, wanted)) is not None:
        return culprit[1]
    if (swapped := _swapped(s, note, mark)) is not None:
        return swapped
    last, path = found.last, s.layer_path()
    layer = s.crash.model.get_submodule(path) if path is not None else None
    if last is not None and last.how == "merged" and wanted is not None:
        sizes = [n.shape[d] for n, d in last.sources]
        if len(sizes) > 1 and wanted == sizes[0]:
            rest = "×".join(map(str, sizes[1:]))
            return s.step(
                last.step,
                f"Here the {sizes[0]} channels and their {rest} positions become "
                f"{mark.size} numbers: the positions were not pooled to one before.",
            )
    if last is not None and last.how == "merged" and (lacking := _unbatched(s, note, wanted)):
        return lacking
    if _unflattened(note, mark, wanted, layer):
        return _stacked(s, note)
    if last is not None and last.how == "new":
        return s.step(last.step, f"The size {mark.size} is made here.")
    layout = s.finding.facts.get("layout")
    if layout == "tokens" and found.note.kind == "input":
        why = f"The input {found.note.name} holds tokens, not vectors of {wanted}."
        return s.input(found.note, why)
    if layout in ("axis", "last", "unbatched") and (elsewhere := _elsewhere(s, note, mark)):
        return elsewhere
    if found.last is None and found.note.kind == "input":
        shape = found.note.shape
        if layout == "last":
            return s.input(
                found.note,
                f"The input {found.note.name} {shape} has its {wanted} channels in the last "
                "dimension, and torch wants them before the spatial ones.",
            )
        if wanted is not None and wanted in shape[1:]:
            return s.input(
                found.note,
                f"The input {found.note.name} {shape} has {wanted} in dimension "
                f"{shape.index(wanted, 1)}, not in dimension {found.dim}.",
            )
        if layout == "unbatched":
            return s.input(
                found.note,
                f"The input {found.note.name} {shape} has no channel dimension.",
            )
    if layout in ("axis", "last"):
        return None  # the size is there, on another axis: what is missing is a permutation here
    if path is not None and layer is not None and wanted is not None:
        why = f"{path or type(layer).__name__} was made for {wanted} here, and gets {mark.size}"
        why += _from_where(s, found, wanted)
        producer = last.step.module if last is not None and last.how == "weight" else None
        made = s.constructor(path, _wanted(layer), why, producer)
        if made is not None:
            return made
    weights = [m for m in s.finding.marks if s.note(m).kind == "parameter"]
    if path is None and weights:
        note, dim = s.note(weights[0]), weights[0].dim
        made = s.parameter(
            note,
            f"{note.name} is made with {shape_text(note)} here.",
            dim if weights[0].wanted not in note.shape else None,
        )
        if made is not None:
            return made
    return _best(s)


def _unflattened(note: TensorNote, mark: Mark, wanted: int | None, layer: nn.Module | None) -> bool:
    """A linear layer on a map: what is missing is a flatten before it, and no size is wrong."""
    if not isinstance(layer, nn.Linear) or len(note.shape) < 3 or wanted is None:
        return False
    total = math.prod(note.shape[1:])
    return wanted in (total, total * note.shape[0]) and mark.dim == len(note.shape) - 1


def _stacked(s: _Search, note: TensorNote) -> Root | None:
    """Parts that were stacked where one behind the other would have made the wanted size, or
    pooled to a size of one."""
    for dim in range(1, len(note.shape)):
        last = birth(s.trace, note, dim).last
        if last is not None and short_op(last.step) == "stack":
            return s.step(
                last.step,
                f"stack makes a new dimension of {note.shape[dim]} here; cat would join the parts "
                "in an existing one.",
            )
        if last is not None and last.how == "new" and note.shape[dim] == 1:
            return s.step(last.step, "The size 1 is made here, as a dimension that stays.")
    return None


def _elsewhere(s: _Search, note: TensorNote, mark: Mark) -> Root | None:
    """The step that put the wanted size into another dimension, or the channels there are."""
    for dim in range(len(note.shape) - 1, 0, -1):
        if dim == mark.dim or mark.wanted not in (note.shape[dim], None):
            continue
        found = birth(s.trace, note, dim)
        if found.last is not None and found.last.how == "weight":
            return s.step(
                found.last.step,
                f"The size {note.shape[dim]} is made here as dimension {found.hops[-1].dim} of "
                f"{shape_text(found.last.note)}; it is wanted in dimension {mark.dim}.",
            )
    if s.finding.facts.get("layout") == "unbatched":
        for step, _, _ in ancestors(s.trace, note):
            if step.op == "nn.Embedding":
                return s.step(step, f"{shape_text(step.outputs[0])} has no channel dimension.")
    return None


def _swallow(s: _Search, note: TensorNote, found: Birth) -> Hop | None:
    """The view that made this size and, in the same go, put the batch into another dimension."""
    last = found.last
    if last is None or last.how not in ("merged", "regrouped", "split"):
        return s.swallowed(found)
    for dim in range(len(last.note.shape)):
        hop = s.swallowed(birth(s.trace, last.note, dim))
        if hop is not None and hop.step.index == last.step.index:
            return hop
    return None


def _unbatched(s: _Search, note: TensorNote, wanted: int | None) -> Root | None:
    """A sample without its batch dimension, whose first dimension was taken for it."""
    if math.prod(note.shape) != wanted or len(note.shape) != 2:
        return None
    last = note
    for _, _, before in ancestors(s.trace, note):
        last = before
    if last.kind != "input" or len(last.shape) < 2:
        return None
    return s.input(
        last,
        f"The input {last.name} {shape_text(last)} is one sample without a batch dimension: its "
        f"first "
        "dimension was taken for the batch.",
    )


def _from_where(s: _Search, found: Birth, wanted: int) -> str:
    last = found.last
    if last is None:
        name = found.note.name or "a tensor made elsewhere"
        return f": that is the size of {name} {shape_text(found.note)}, dimension {found.dim}."
    if last.how == "merged":
        sizes = [n.shape[d] for n, d in last.sources]
        text = f": {'·'.join(map(str, sizes))} after `{_line(last.step.expression)}`"
        channels = sizes[0]
        if channels > 1 and wanted % channels == 0:
            text += f", where {wanted} is {channels}·{wanted // channels}"
        return text + "."
    if last.how == "weight":
        return f": as many as {_maker(last.step)} gives."
    return f" from {_maker(last.step)}."


def _culprit(s: _Search, found: Birth, wanted: int) -> tuple[int, Root] | None:
    """A step on the way that, done otherwise, would have left the wanted size here: a permutation,
    a reduction over the wrong dimension, a cat along another one, a slice."""
    for hop in found.hops:
        op = short_op(hop.step)
        if op in ("matmul", "bmm", "mm", "einsum"):
            return None  # beyond a product the dimensions mean something else
        sources = [n for n in hop.step.inputs if n.kind not in ("parameter", "buffer")]
        if not sources:
            continue
        x = sources[0]
        if (
            op in _PERMUTES
            and hop.dim < len(x.shape)
            and x.shape[hop.dim] == wanted != hop.note.shape[hop.dim]
        ):
            return 92, s.step(
                hop.step,
                f"Before this {op}, dimension {hop.dim} was {wanted}: {shape_text(x)} became "
                f"{shape_text(hop.note)}.",
            )
        moved = s.layer_path() is not None or (hop.sources and hop.sources[0][1] != hop.dim)
        if moved and op in _PERMUTES and wanted in x.shape[1:] and x.shape[0] == hop.note.shape[1]:
            return 85, s.step(
                hop.step,
                f"This {op} moves the batch: {shape_text(x)} became {shape_text(hop.note)}, and "
                f"the "
                f"{wanted} stay in dimension {x.shape.index(wanted, 1)} of what it was.",
            )
        dropped = len(x.shape) - len(hop.note.shape)
        if dropped > 0 and hop.how == "same" and len(sources) == 1 and op not in _REGROUPING:
            kept = [n for n, _ in hop.sources][:1]
            gone = _gone(x.shape, hop.note.shape)
            if kept and wanted in gone and wanted not in hop.note.shape:
                return 88, s.step(
                    hop.step,
                    f"This {_plain(op)} took away the dimension of {wanted}: {shape_text(x)} "
                    f"became "
                    f"{shape_text(hop.note)}.",
                )
        if op in _JOINING and hop.how == "same":
            total = sum(n.shape[hop.dim] for n in sources if len(n.shape) > hop.dim)
            if total == wanted:
                listed = " and ".join(shape_text(n) for n in sources[:3])
                return 91, s.step(
                    hop.step,
                    f"{listed} are joined along another dimension here: along dimension {hop.dim} "
                    f"they would make {wanted}.",
                )
        if hop.how in ("changed", "split") and hop.sources:
            n, d = hop.sources[0]
            if n.shape[d] == wanted and op not in _SPATIAL and op not in _JOINING:
                return 90, s.step(
                    hop.step,
                    f"This {_plain(op)} made {hop.note.shape[hop.dim]} of {wanted}: "
                    f"{shape_text(n)} "
                    f"became {shape_text(hop.note)}.",
                )
    return None


_PERMUTES = ("permute", "transpose", "swapaxes", "movedim", "t", "mt")
_REGROUPING = ("view", "reshape", "flatten", "unflatten", "squeeze")
_JOINING = ("cat", "concat", "concatenate", "hstack", "vstack")
_SPATIAL = ("conv1d", "conv2d", "conv3d", "maxpool2d", "max_pool2d", "avgpool2d", "avg_pool2d")


def _plain(op: str) -> str:
    return "index" if op == "getitem" else op


def _gone(before: tuple[int, ...], after: tuple[int, ...]) -> list[int]:
    rest = list(before)
    for size in after:
        if size in rest:
            rest.remove(size)
    return rest


def _swapped(s: _Search, note: TensorNote, mark: Mark) -> Root | None:
    """Two inputs of a module that were passed in each other's place."""
    for call in reversed(s.trace.calls[1:]):
        if call.outputs or call.stop < len(s.trace.steps):
            continue
        if note.id not in {n.id for n in call.inputs}:
            continue
        for other in call.inputs:
            if (
                other.id != note.id
                and len(other.shape) == len(note.shape)
                and mark.wanted is not None
                and other.shape[mark.dim] == mark.wanted
            ):
                return Root(
                    "call",
                    call.place,
                    call.module,
                    None,
                    f"{call.module} is given {note.name or 'one tensor'} {shape_text(note)} and "
                    f"{other.name or 'another'} {shape_text(other)}: in each other's place they "
                    f"would "
                    "fit.",
                )
    return None


# --- two tensors against each other ---------------------------------------------------------------


def _best(s: _Search) -> Root | None:
    """Of the tensors at odds, the one whose size has the most suspicious birth."""
    facts = s.finding.facts
    if facts.get("transposed") or facts.get("reordered"):
        return None  # the sizes would fit the other way round: it is this line
    if "target" in facts and s.failure.operands:
        # What is written to was made for this, with sizes that were written down.
        into = s.failure.operands[0].note
        first = [step for step, _, _ in ancestors(s.trace, into)]
        maker = made_by(s.trace, first[-1].inputs[0] if first else into)
        if maker is not None and not maker.inputs:
            return s.step(maker, f"{shape_text(into)} is made here, to be written to.")
    scored: list[tuple[int, int, Root]] = []
    marks = s.finding.marks[:1] if facts.get("in_place") else s.finding.marks
    for order, mark in enumerate(marks):
        found = _suspect(s, mark)
        if found is not None:
            scored.append((found[0], order, found[1]))
    if s.finding.kind == "broadcast" and (projection := _projection(s)) is not None:
        return projection
    if s.finding.kind == "broadcast" and scored and max(scored)[0] < 70:
        if (short := _too_short(s, marks)) is not None:
            return short
        shorter = _shorter(s, marks)
        batches = [s.is_batch(s.note(m), m.dim) for m in marks]
        if shorter is not None or (any(batches) and not all(batches)):
            # Not a size is wrong, but the place where it is laid.
            return shorter
    return max(scored, key=lambda item: item[:2])[2] if scored else None


def _projection(s: _Search) -> Root | None:
    """Of two branches that are added, one strides and the other has a layer of its own, a 1×1
    convolution, that could and does not."""
    if len(s.finding.marks) < 2:
        return None
    small, large = sorted(s.finding.marks[:2], key=lambda mark: mark.size)
    strided = [
        hop
        for hop in back(s.trace, s.note(small), small.dim)
        if hop.how == "changed" and not _dense(s, hop.step) and hop.sources
    ]
    for hop in back(s.trace, s.note(large), large.dim):
        layer = _layer_of(s, hop.step)
        if hop.note.shape[hop.dim] != large.size:
            return None
        if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            continue
        for other in strided:
            n, d = other.sources[0]
            if set(layer.kernel_size) == {1} and n.id == hop.step.inputs[0].id:
                there = f"{hop.step.module} keeps {large.size}, where {other.step.module} makes "
                made = s.constructor(
                    hop.step.module, "", f"{there}{small.size} of it: its stride is {layer.stride}."
                )
                return made if n.shape[d] == large.size else None
        return None
    return None


def _too_short(s: _Search, marks: Sequence[Mark]) -> Root | None:
    """A table that was cut to a length it does not reach: `pe[:120]` of 50 rows gives 50."""
    for mark in marks:
        note = s.note(mark)
        found = birth(s.trace, note, mark.dim)
        cut = next((hop for hop in found.hops if short_op(hop.step) == "getitem"), None)
        if cut is None or found.last is not None or found.note.kind not in ("parameter", "buffer"):
            continue
        stops = [each.stop for each in index_of(cut.step) if isinstance(each, Slice)]
        if mark.wanted is not None and mark.wanted in stops:
            return s.parameter(
                found.note,
                f"{found.note.name} is made with {mark.size} rows here, {shape_text(found.note)}, "
                f"and "
                f"`{_line(cut.step.expression)}` asks for {mark.wanted}.",
                found.dim,
            )
    return None


def _shorter(s: _Search, marks: Sequence[Mark]) -> Root | None:
    """Where the tensor with fewer dimensions comes from; nowhere else when both have as many."""
    notes = sorted((s.note(mark) for mark in marks), key=lambda note: len(note.shape))
    if len(notes) < 2 or len(notes[0].shape) == len(notes[-1].shape):
        return None
    note = notes[0]
    if note.kind == "input":
        return s.input(note, f"The input {note.name} is {shape_text(note)}: it lacks dimensions.")
    maker = made_by(s.trace, note)
    if maker is not None and maker.place.statement_span == s.failure.place.statement_span:
        origin = birth(s.trace, note, len(note.shape) - 1).note
        if origin.kind in ("parameter", "buffer") and len(origin.shape) == len(note.shape):
            return s.parameter(origin, f"{origin.name} is made with {shape_text(origin)} here.")
    return s.step(maker, f"{shape_text(note)} is made here.") if maker is not None else None


def _suspect(s: _Search, mark: Mark) -> tuple[int, Root] | None:
    note, name = s.note(mark), s.name(mark)
    if note.kind in ("parameter", "buffer"):
        # The wanted size is there, on another axis: that was chosen where the parameter was made.
        dim = mark.dim if mark.wanted not in note.shape else None
        made = s.parameter(note, f"{name} is made with {shape_text(note)} here.", dim)
        return (50, made) if made is not None else None
    found = birth(s.trace, note, mark.dim)
    if (hop := s.swallowed(found)) is not None:
        return 100, s.swallow(hop)
    if mark.wanted is not None and (culprit := _culprit(s, found, mark.wanted)) is not None:
        score, made = culprit
        # Undone, a permutation must make all sizes fit, not this one alone.
        return (score, made) if _mends(s, mark, made) else (30, made)
    if s.finding.kind in ("broadcast", "mask") and (fall := _fallen(s, mark)) is not None:
        return 80, fall
    if s.finding.kind == "einsum" and (elsewhere := _elsewhere(s, note, mark)) is not None:
        return 70, elsewhere
    last = found.last
    if last is None:
        if found.note.kind in ("parameter", "buffer"):
            why = f"{found.note.name} is made with {shape_text(found.note)} here."
            made = s.parameter(found.note, why, found.dim)
            return (50, made) if made is not None else None
        if found.note.kind == "input":
            return 20, s.input(
                found.note,
                f"{mark.size} is dimension {found.dim} of the input {found.note.name} "
                f"{shape_text(found.note)}.",
            )
        for index, operand in enumerate(s.failure.operands):
            if operand.note.id == found.note.id:
                why = f"{s.called(index)} is made with {shape_text(note)} here."
                kept = s.kept(operand, why)
                return (50, kept) if kept is not None else None
        return None
    if last.how == "weight":
        weight = last.sources[0][0] if last.sources else None
        why = f"{_maker(last.step)} gives {mark.size} here."
        if s.finding.kind == "hidden" and mark.dim == 0:
            why = f"{why.removesuffix('.')}: its layers times its directions."
        made = s.parameter(weight, why) if weight is not None else None
        if made is None:
            made = s.step(last.step, f"The size {mark.size} comes from here.")
        return 40, made
    if last.how == "changed":
        return _shrunk(s, mark, note)
    if last.how == "new":
        at, shape = found.hops[-1].dim, shape_text(last.note)
        why = f"Dimension {at} of {shape} is made here, of size {mark.size}."
        return 65, s.step(last.step, why)
    if last.how in ("merged", "split", "regrouped"):
        before = last.sources[0][0]
        return 45 if last.how == "merged" else 55, s.step(
            last.step,
            f"{shape_text(before)} becomes {shape_text(last.note)} here: {mark.size} is new.",
        )
    return None


def _mends(s: _Search, mark: Mark, made: Root) -> bool:
    """Whether what a permutation was given would fit where its result does not."""
    step = s.trace.steps[made.step] if made.step is not None else None
    others = [s.note(m) for m in s.finding.marks if m.operand != mark.operand]
    if step is None or short_op(step) not in _PERMUTES or not step.inputs or not others:
        return True
    if all(n.id != s.note(mark).id for n in step.outputs):
        return True  # other steps lie between: not worked out
    before, other = step.inputs[0].shape, others[0].shape
    if s.finding.kind == "join":
        differ = [d for d, pair in enumerate(zip(before, other, strict=False)) if len({*pair}) > 1]
        return len(before) == len(other) and len(differ) <= 1
    if s.finding.kind == "broadcast":
        return broadcast_break(before, other) is None
    return True


def _fallen(s: _Search, mark: Mark) -> Root | None:
    """The step where a tensor lost a dimension that its partner still has."""
    note = s.note(mark)
    ranks = [len(s.note(m).shape) for m in s.finding.marks]
    ranks.append(len(s.finding.facts.get("shape", ())))
    if len(note.shape) >= max(ranks):
        return None
    for step, after, before in ancestors(s.trace, note):
        if len(after.shape) != len(note.shape):
            return None
        added = short_op(step) == "unsqueeze" or (
            short_op(step) == "getitem" and any(entry is None for entry in index_of(step))
        )
        if added and after.shape == note.shape:
            return s.step(
                step,
                f"The new dimension of 1 is put here: {shape_text(before)} became "
                f"{shape_text(after)}, "
                "which does not line up.",
            )
        if len(before.shape) > len(after.shape):
            if len(before.shape) > max(ranks):
                return None
            return s.step(
                step,
                f"This {_plain(short_op(step))} takes {_dims(len(before.shape))} to "
                f"{len(after.shape)}: {shape_text(before)} became {shape_text(after)}.",
            )
    return None


def _shrunk(s: _Search, mark: Mark, note: TensorNote) -> tuple[int, Root]:
    """Where a size was lost on the way: an odd one halved, or a convolution without padding."""
    first, odd, cut = None, None, None
    for hop in back(s.trace, note, mark.dim):
        if hop.how != "changed" or not hop.sources:
            continue
        n, d = hop.sources[0]
        size, source = hop.note.shape[hop.dim], n.shape[d]
        op = short_op(hop.step)
        first = first or hop
        if source > size and source % 2 and size == source // 2:
            odd = odd or hop
        elif "conv" in op and size < source < size + 13 and _dense(s, hop.step):
            cut = cut or hop
    short = _not_restored(s, mark, note) if odd is None else None
    found = odd or short or cut or first
    assert found is not None
    hop = found
    size, source = hop.note.shape[hop.dim], hop.sources[0][0].shape[hop.sources[0][1]]
    if hop is odd:
        return 70, s.step(
            hop.step,
            f"{source} is odd and becomes {size} here: doubled again it is {2 * size}, not "
            f"{source}.",
        )
    why = f"Here {source} becomes {size}"
    if hop is short:
        why += ", a size that was not there on the way down"
    if short_op(hop.step) in _JOINING:
        parts = " and ".join(str(n.shape[d]) for n, d in hop.sources)
        return 60 + 2 * (size > source), s.step(hop.step, f"{parts} are joined to {size} here.")
    layer = _layer_of(s, hop.step)
    if hop is cut and layer is not None:
        kernel = getattr(layer, "kernel_size", ("?",))[-1]
        why += f": a kernel of {kernel} without enough padding takes {source - size} off"
    elif (
        layer is not None
        and hop is not short
        and getattr(layer, "stride", (1,)) not in ((1,), (1, 1), 1)
    ):
        why += f": the stride is {layer.stride}"
    if layer is not None and hop.step.module:
        made = s.constructor(hop.step.module, "", why + ".")
        if made is not None:
            return 60 + 2 * (size > source), made
    return 60 + 2 * (size > source), s.step(hop.step, why + ".")


def _not_restored(s: _Search, mark: Mark, note: TensorNote) -> Hop | None:
    """Of layers that enlarge step by step, the first that misses the size that was there before the
    matching one shrank it."""
    way = [hop for hop in back(s.trace, note, mark.dim) if hop.how == "changed" and hop.sources]
    sizes = [(hop.sources[0][0].shape[hop.sources[0][1]], hop.note.shape[hop.dim]) for hop in way]
    grown = 0
    while grown < len(sizes) and sizes[grown][1] > sizes[grown][0]:
        grown += 1
    before = {source for source, _ in sizes[grown:]}
    if grown < 2 or mark.wanted not in before:
        return None
    for hop, (_, size) in reversed(list(zip(way[:grown], sizes[:grown], strict=True))):
        if size not in before:
            return hop
    return None


def _dense(s: _Search, step: Step) -> bool:
    """Whether a convolution takes every position: a stride shrinks on purpose."""
    layer = _layer_of(s, step)
    return layer is None or set(getattr(layer, "stride", (1,))) == {1}


def _layer_of(s: _Search, step: Step) -> nn.Module | None:
    if not step.op.startswith("nn.") or not step.module:
        return None
    try:
        return s.crash.model.get_submodule(step.module)
    except AttributeError:
        return None


# --- the number of dimensions ---------------------------------------------------------------------


def _rank(s: _Search) -> Root | None:
    marks = s.finding.marks
    if not marks:
        return None
    note, name = s.note(marks[0]), s.name(marks[0])
    wanted, dim = s.finding.facts.get("rank"), s.finding.facts.get("dim")
    if s.finding.kind == "axis" and isinstance(dim, int):
        wanted = dim + 1 if dim >= 0 else -dim
    have = len(note.shape)
    last, maker = note, made_by(s.trace, note)
    if maker is not None and maker.op.startswith("nn.") and _norm_for(s, have):
        # A layer gives this many dimensions on purpose: the norm was chosen for others.
        return _norm(s, note, name)
    for step, after, before in ancestors(s.trace, note):
        last = before
        if len(after.shape) != have:
            break
        if len(before.shape) != have and (
            not isinstance(wanted, int) or (len(before.shape) > have) == (wanted > have)
        ):
            return _reshaped(s, step, before, after)
    if s.finding.kind == "axis":
        for step, after, before in ancestors(s.trace, note):
            if len(before.shape) != len(after.shape) == have:
                return _reshaped(s, step, before, after)
    if _norm_for(s, have) and (made := _norm(s, note, name)) is not None:
        return made
    if isinstance(wanted, int) and have > wanted and maker is not None:
        return s.step(maker, f"{shape_text(note)}, with {_dims(have)}, is made here.")
    joins = s.finding.kind == "rank" and s.crash.op in ("cat", "stack")
    if joins and isinstance(wanted, int) and have < wanted:
        return _longer(s, wanted)
    if last.kind == "input" and len(last.shape) == have:
        lacks = ""
        if isinstance(wanted, int) and wanted != have:
            lacks = f", {abs(wanted - have)} {'fewer' if wanted > have else 'more'} than {wanted}"
        return s.input(
            last, f"The input {last.name or name} {shape_text(last)} has {_dims(have)}{lacks}."
        )
    first = made_by(s.trace, last)
    if first is not None:
        return s.step(first, f"{shape_text(last)} is made here.")
    if last.kind == "parameter" and s.crash.op not in ("expand", "repeat"):
        return s.parameter(last, f"{last.name} is made with {shape_text(last)} here.")
    return None


def _norm_for(s: _Search, rank: int) -> bool:
    layer = s.finding.facts.get("layer")
    return isinstance(layer, str) and other_layer(layer, rank) is not None


def _norm(s: _Search, note: TensorNote, name: str) -> Root | None:
    path, family = s.layer_path(), s.finding.facts.get("layer")
    if path is None:
        return None
    has = f"{name} {shape_text(note)} has {_dims(len(note.shape))}"
    return s.constructor(path, "", f"{family} is chosen here, and {has}.")


def _reshaped(s: _Search, step: Step, before: TensorNote, after: TensorNote) -> Root:
    return s.step(
        step,
        f"This {_plain(short_op(step))} makes {_dims(len(after.shape))} of {len(before.shape)}: "
        f"{shape_text(before)} became {shape_text(after)}.",
    )


# The ranks for which a norm of another number of dimensions is the right one.
def _longer(s: _Search, wanted: int) -> Root | None:
    """Of tensors to be joined the one with more dimensions, when none was taken from the rest."""
    for index, operand in enumerate(s.failure.operands):
        if len(operand.note.shape) == wanted:
            note = operand.note
            why = f"{s.called(index)} {shape_text(note)} has {_dims(wanted)}."
            if note.kind == "input":
                return s.input(note, why)
            maker = made_by(s.trace, note)
            return s.step(maker, why) if maker is not None else None
    return None


# --- other kinds ----------------------------------------------------------------------------------


def _hidden(s: _Search) -> Root | None:
    path = s.layer_path()
    wanted, found = s.finding.facts.get("wanted"), s.finding.facts.get("found")
    states = [m for m in s.made if m.dim < len(s.note(m).shape)]
    flagged = s.finding.facts.get("batch_first")
    if s.finding.facts.get("turned") and path is not None and not flagged:
        made = s.constructor(
            path, "batch_first", f"The layer is built with batch_first={flagged} here."
        )
        if made is not None:
            return made
    if isinstance(wanted, tuple) and isinstance(found, tuple) and len(wanted) != len(found):
        return _rank(s)
    for mark in states:
        if tuple(s.note(mark).shape) == found:
            operand, shape = s.failure.operands[mark.operand], shape_text(s.note(mark))
            if operand.note.kind == "constant":
                batch = s.note(mark).shape[-2]
                why = f"{s.name(mark)} is made here, once, as {shape}: for a batch of {batch}."
                if (kept := s.kept(operand, why)) is not None:
                    return kept
            # The state may be as large as the batch, and the input a slice along another dimension.
            given = s.failure.operands[0].note
            for dim in (d for d, size in enumerate(given.shape) if size == mark.wanted):
                culprit = _culprit(s, birth(s.trace, given, dim), mark.size)
                if culprit is not None:
                    return culprit[1]
            suspect = _suspect(s, mark)
            if suspect is not None:
                return suspect[1]
    return None


def _batch(s: _Search) -> Root | None:
    path = s.layer_path()
    flagged = s.finding.facts.get("batch_first")
    if s.finding.facts.get("turned") and path is not None and not flagged:
        made = s.constructor(path, "batch_first", "The layer is built with batch_first=False here.")
        if made is not None:
            return made
    if flagged is not None and s.finding.kind == "batch" and len(s.made) == 2:
        (one, other) = s.made
        note, dim = s.note(one), 1 - one.dim
        found = birth(s.trace, note, dim).last if len(note.shape) == 3 else None
        if found is not None and found.how == "new" and note.shape[dim] == other.size:
            return s.step(
                found.step, f"The batch of {other.size} is put into dimension {dim} here."
            )
    best = _best(s)
    if s.finding.kind == "mask" and (best is None or best.kind == "input") and s.made:
        # Its sizes are those of the data: it is where the mask was made that its axes were chosen.
        note = s.note(s.made[0])
        makers = [made_by(s.trace, note), *(step for step, _, _ in ancestors(s.trace, note))]
        for step in makers:
            if step is not None and step.place.statement_span != s.failure.place.statement_span:
                return s.step(step, f"The mask is made here, as {shape_text(step.outputs[0])}.")
    return best


def _target(s: _Search) -> Root | None:
    layout = s.finding.facts.get("layout")
    if layout == "classes_last":
        return None
    if layout in ("same_numbers", "batch_first"):
        return None
    if layout in ("extra", "one_hot") and s.made:
        note = s.note(s.made[0])
        for _, after, before in ancestors(s.trace, note):
            if before.shape != after.shape:
                break
            note = before  # a cast, say
        if note.kind == "input":
            return s.input(note, f"The input {note.name} is {shape_text(note)}.")
        maker = made_by(s.trace, note)
        return s.step(maker, f"{shape_text(note)} is made here.") if maker is not None else None
    return _best(s)


def _written(s: _Search) -> Root | None:
    """A size that the failing expression takes from an attribute: where that was set."""
    for mark in s.made:
        hop = s.swallowed(birth(s.trace, s.note(mark), mark.dim))
        if hop is not None:
            return s.swallow(hop)
    facts = s.finding.facts
    numbers = {facts.get("parts"), facts.get("each"), *facts.get("shape", ())}
    owner, path = _owner(s)
    names = _whole_names(s, owner) if owner is not None else []
    if s.finding.kind == "numel" and (layer := _from_these(s, names)) is not None:
        return layer
    for name in names:
        assert owner is not None
        if vars(owner).get(name, None) in numbers or s.crash.frames[-1].scope.get(name) in numbers:
            found = _setting(s, owner, path, name)
            if found is not None:
                return found
    for mark in s.made:
        last = birth(s.trace, s.note(mark), mark.dim).last
        if last is not None and last.how == "changed" and not _spatial_step(last.step):
            size = s.note(mark).shape[mark.dim]
            before = " and ".join(str(n.shape[d]) for n, d in last.sources)
            return s.step(last.step, f"{before} become {size} here.")
    given = s.made[0] if s.made else None
    if given is not None and s.note(given).kind == "input" and s.finding.kind == "numel":
        note = s.note(given)
        return s.input(note, f"The input {note.name} is {shape_text(note)}.")
    return None


def _from_these(s: _Search, names: list[str]) -> Root | None:
    """The layer that made the size, when it was built from numbers that this line uses too: what
    differs is how they are put together."""
    for mark in s.made:
        last = birth(s.trace, s.note(mark), mark.dim).last
        weight = last.sources[0][0] if last is not None and last.how == "weight" else None
        if last is None or weight is None or not last.step.op.startswith("nn."):
            continue
        made = s.parameter(weight, f"{_maker(last.step)} gives {mark.size} here.")
        if made is not None and set(re.findall(r"\w+", made.place.expression)) & set(names):
            return made
    return None


def _owner(s: _Search) -> tuple[nn.Module | None, str]:
    """The user's module whose code failed: also of a lambda or helper that it called."""
    for running in reversed(s.crash.running):
        if not type(running.layer).__module__.startswith("torch.nn"):
            return running.layer, running.path
    return None, ""


def _whole_names(s: _Search, owner: nn.Module) -> list[str]:
    """What the failing expression takes from `self`, or from the constructor: through a name of
    the same spelling, or one that a lambda keeps from there."""
    frame = s.crash.frames[-1] if s.crash.frames else None
    if frame is None:
        return []
    names = re.findall(r"\bself\.(\w+)\b", frame.place.statement)
    names += re.findall(r"\b[A-Za-z_]\w*\b", frame.place.expression)
    if s.finding.kind == "heads":
        parts = s.finding.facts.get("parts")
        names += [key for key, value in vars(owner).items() if value == parts]

    def whole(name: str) -> bool:
        held = vars(owner).get(name)
        kept = frame.scope.get(name) if name in frame.code.co_freevars else None
        return any(type(value) is int for value in (held, kept))

    return [name for name in dict.fromkeys(names) if whole(name)]


def _setting(s: _Search, owner: nn.Module, path: str, name: str) -> Root | None:
    """Where a number that a module keeps was chosen: the call that built the module, the default
    of its constructor, or the assignment."""
    place = built.attribute(owner, name)
    value = vars(owner).get(name, s.crash.frames[-1].scope.get(name))
    argument = place.expression if place is not None else name
    above = built.built(s.crash.model, path) if path else None
    if above is not None and argument in above.arguments:
        why = f"{name} is {value} by `{_line(above.place.expression)}`."
        return Root("constructor", above.place, above.path, None, why)
    default = built.default(owner, argument)
    if default is not None:
        why = f"{name} is {value} by default: `{default.expression}`."
        return Root("constructor", default, path, None, why)
    if place is None:
        return None
    return Root("constructor", place, path, None, f"self.{name} is set to {value} here.")


def _spatial_step(step: Step) -> bool:
    op = short_op(step)
    return "conv" in op or "pool" in op


def _kernel(s: _Search) -> Root | None:
    if not s.made:
        return None
    mark = s.made[0]
    sizes = [mark.size]
    origin: TensorNote | None = None
    for hop in back(s.trace, s.note(mark), mark.dim):
        if hop.how in ("weight", "new", "merged", "split", "regrouped"):
            return s.step(hop.step, f"The size {hop.note.shape[hop.dim]} is made here.")
        if hop.sources:
            origin, dim = hop.sources[0]
            if origin.shape[dim] != sizes[-1]:
                sizes.append(origin.shape[dim])
    origin = origin or s.note(mark)
    if origin.kind != "input":
        return None
    way = " → ".join(map(str, reversed(sizes)))
    why = f"The input {origin.name} {shape_text(origin)} is too small"
    return s.input(origin, f"{why}: {way}." if len(sizes) > 1 else f"{why}.")


_WHOLE = ("one_hot", "argmax", "argmin", "argsort", "nonzero", "bincount", "multinomial")


def _dtype(s: _Search) -> Root | None:
    kind = s.finding.facts.get("found_dtype")
    if not isinstance(kind, str):
        return None
    first = s.finding.facts.get("operand")
    operands = list(s.failure.operands)
    if isinstance(first, int):
        operands = operands[first : first + 1]
    for operand in operands:
        note = operand.note
        if note.dtype != kind or note.kind in ("parameter", "buffer"):
            continue
        last, first_use = note, None
        for step, _, before in ancestors(s.trace, note):
            if short_op(step) in _WHOLE and kind == "int64":
                return s.step(step, f"{short_op(step)} gives whole numbers ({kind}) here.")
            if before.dtype != kind:
                return s.step(
                    step,
                    f"{before.name or 'The tensor'} is {before.dtype} and becomes {kind} here.",
                )
            last, first_use = before, step
        if last.kind == "input":
            return s.input(last, f"The input {last.name} is {kind}.")
        maker = made_by(s.trace, last)
        if maker is None and last.kind == "constant" and first_use is not None:
            # As torch.from_numpy, which says nothing to the recorder.
            return s.step(first_use, f"What is made in this line is {kind} from the start.")
        return s.step(maker, f"It is made as {kind} here.") if maker is not None else None
    return None


def _device(s: _Search) -> Root | None:
    for operand in s.failure.operands:
        for step in [made_by(s.trace, operand.note)]:
            if step is not None and all(n.device != operand.note.device for n in step.inputs):
                return s.step(step, f"It is made on {operand.note.device} here.")
    for frame in reversed(s.crash.frames):
        owner = frame.scope.get("self")
        for name in re.findall(r"\bself\.(\w+)\b", frame.place.statement):
            value = vars(owner).get(name) if isinstance(owner, nn.Module) else None
            if isinstance(owner, nn.Module) and isinstance(value, Tensor):
                place = built.attribute(owner, name)
                if place is not None:
                    why = f"self.{name} is a plain attribute: it stays on {value.device}."
                    return Root("constructor", place, frame.module or "", None, why)
    return None


def _range(s: _Search) -> Root | None:
    path = s.layer_path()
    layer = s.crash.model.get_submodule(path) if path is not None else None
    if isinstance(layer, nn.Embedding) and path is not None:
        why = f"The table is made with {layer.num_embeddings} rows here."
        return s.constructor(path, "num_embeddings", why)
    return _best(s)


def _type(s: _Search) -> Root | None:
    """The call that gave a tuple, or nothing, where a tensor was meant."""
    if s.finding.facts.get("given") == "None":
        for call in reversed(s.trace.calls[1:]):
            if not call.outputs and call.stop <= len(s.trace.steps) and call.place.file:
                if call.module in {r.path for r in s.crash.running}:
                    continue
                return Root(
                    "call",
                    call.place,
                    call.module,
                    None,
                    f"{call.module} ({call.type}) gives nothing back here: its forward has no "
                    "`return`.",
                )
        return None
    given = [o.note for o in s.failure.operands if o.note.kind not in ("parameter", "buffer")]
    ids = {note.id for note in given}
    for call in reversed(s.trace.calls[1:]):
        if len(call.outputs) > 1 and ids <= {note.id for note in call.outputs} and ids:
            what = f"{call.module} gives {len(call.outputs)} tensors, not one."
            return Root("call", call.place, call.module, None, what)
    if given and all(note.kind == "input" for note in given):
        return s.input(given[0], "The model is given several tensors in one here.")
    for operand in s.failure.operands:
        step = made_by(s.trace, operand.note)
        if step is not None and ("[" in operand.note.name or len(step.outputs) > 1):
            what = f"{len(step.outputs)} tensors"
            if short_op(step) in ("lstm", "gru", "rnn"):
                what = "the pair (output, state)"
            return s.step(step, f"`{_line(step.expression)}` gives {what}, not one tensor.")
    steps = [st for st in s.trace.steps if len(st.outputs) > 1 and not st.error]
    if steps:
        last = steps[-1]
        return s.step(last, f"`{_line(last.expression)}` gives {len(last.outputs)} tensors.")
    return None


def _stride(s: _Search) -> Root | None:
    for operand in s.failure.operands[:1]:
        for step, after, before in ancestors(s.trace, operand.note):
            if short_op(step) in ("permute", "transpose", "t", "mt", "swapaxes", "movedim"):
                return s.step(
                    step,
                    f"This {short_op(step)} leaves the elements where they are in memory: "
                    f"{shape_text(before)} became {shape_text(after)}.",
                )
    return None


def _divide(s: _Search) -> Root | None:
    path = s.layer_path()
    layer = s.crash.model.get_submodule(path) if path is not None else None
    if path is not None and isinstance(layer, nn.GroupNorm):
        made = s.constructor(path, "num_groups", f"It is built with {layer.num_groups} groups.")
        if made is not None:
            return made
    return _best(s)


def _arguments(s: _Search) -> Root | None:
    """The model itself was called with other inputs than its forward names; of an operation's own
    arguments it is the call that is wrong, where it stands."""
    missing, given = s.finding.facts.get("missing", ()), s.finding.facts.get("given")
    if s.finding.facts.get("path") or not isinstance(given, int):
        return None
    what = f"without {', '.join(missing)}" if missing else f"with {given} inputs"
    return s.input_place("", f"The model is called {what}.")


def _padding(s: _Search) -> Root | None:
    path = s.layer_path()
    return s.constructor(path, "", "The padding is chosen here.") if path is not None else None


_Seeker = Callable[[_Search], Root | None]
_SEEKERS: dict[str, _Seeker] = {
    **dict.fromkeys(("width", "channels", "features"), _of_layer),
    **dict.fromkeys(("matmul", "square", "broadcast", "join", "einsum", "index", "split"), _best),
    **dict.fromkeys(("rank", "axis", "permute", "unpack"), _rank),
    **dict.fromkeys(("numel", "heads"), _written),
    "single": _best,
    **dict.fromkeys(("batch", "mask"), _batch),
    "hidden": _hidden,
    "target": _target,
    "kernel": _kernel,
    "dtype": _dtype,
    "device": _device,
    "range": _range,
    "type": _type,
    "stride": _stride,
    "divide": _divide,
    "padding": _padding,
    "arguments": _arguments,
}
