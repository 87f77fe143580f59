"""The number of dimensions: where it was changed, or given."""

from __future__ import annotations

from tracer.diagnosis.finding import Mark
from tracer.diagnosis.roots.lineage import ancestors, made_by
from tracer.diagnosis.roots.places import (
    Search,
    deed,
    dims,
    shape,
)
from tracer.document import Root, TensorNote
from tracer.ops.norm import other_layer
from tracer.sentences import Filling, Said, said


def of_rank(s: Search) -> Root | None:
    if not s.finding.marks:
        return None
    mark = s.finding.marks[0]
    note, have = s.note(mark), len(s.note(mark).shape)
    made, wanted = made_by(s.trace, note), _wanted_rank(s)
    if made is not None and made.op.startswith("nn.") and _suits_another(s, have):
        # A layer gives this many dimensions on purpose: the norm was chosen for others.
        return _norm(s, mark)
    reshaped = _reshaped(s, note, wanted)
    if reshaped is not None:
        return reshaped
    if _suits_another(s, have) and (norm := _norm(s, mark)) is not None:
        return norm
    if wanted is not None and have > wanted and made is not None:
        because = said("{shape}, with {count}, is made here.", shape=shape(note), count=dims(have))
        return s.step(made, because)
    if wanted is not None and have < wanted and _of_list(s):
        return _longer(s, wanted)
    return _first_rank(s, mark, wanted)


def _wanted_rank(s: Search) -> int | None:
    wanted, dim = s.finding.facts.get("rank"), s.finding.facts.get("dim")
    if s.finding.kind == "axis" and isinstance(dim, int):
        return dim + 1 if dim >= 0 else -dim
    return wanted if isinstance(wanted, int) else None


def _reshaped(s: Search, note: TensorNote, wanted: int | None) -> Root | None:
    """The step that made as many dimensions of fewer or more, as it would have to be undone."""
    have = len(note.shape)
    changes = [
        (step, after, before)
        for step, after, before in ancestors(s.trace, note)
        if len(before.shape) != len(after.shape)
    ][:1]
    for step, after, before in changes:
        towards = wanted is None or (len(before.shape) > have) == (wanted > have)
        if towards or s.finding.kind == "axis":
            because = said(
                "This {op} makes {count} of {rank}: {before} became {after}.",
                op=deed(step),
                count=dims(have),
                rank=len(before.shape),
                before=shape(before),
                after=shape(after),
            )
            return s.step(step, because)
    return None


def _first_rank(s: Search, mark: Mark, wanted: int | None) -> Root | None:
    """Where a tensor begins that had this many dimensions all the way."""
    note = s.note(mark)
    last, have = note, len(note.shape)
    for _, after, before in ancestors(s.trace, note):
        last = before
        if len(after.shape) != have:
            break
    if last.kind == "input" and len(last.shape) == have:
        return s.input(last, _input_rank(s, mark, last, wanted))
    made = s.made_here(last)
    if made is not None:
        return made
    written = {"shape", "times"} & s.finding.facts.keys()  # the line says how many it wants
    return s.parameter(last) if last.kind == "parameter" and not written else None


def _input_rank(s: Search, mark: Mark, note: TensorNote, wanted: int | None) -> Said:
    have = len(note.shape)
    values: dict[str, Filling] = {
        "x": note.name or s.name(mark.operand),
        "shape": shape(note),
        "count": dims(have),
        "wanted": wanted,
    }
    if wanted is None or wanted == have:
        return said("The input {x} {shape} has {count}.", **values)
    values["number"] = abs(wanted - have)
    if wanted > have:
        return said("The input {x} {shape} has {count}, {number} fewer than {wanted}.", **values)
    return said("The input {x} {shape} has {count}, {number} more than {wanted}.", **values)


def _suits_another(s: Search, rank: int) -> bool:
    """Whether a norm of another number of dimensions is the right one."""
    layer = s.finding.facts.get("layer")
    return isinstance(layer, str) and other_layer(layer, rank) is not None


def _norm(s: Search, mark: Mark) -> Root | None:
    note = s.note(mark)
    if s.path is None:
        return None
    because = said(
        "{layer} is chosen here, and {x} {shape} has {count}.",
        layer=s.finding.facts.get("layer"),
        x=s.name(mark.operand),
        shape=shape(note),
        count=dims(len(note.shape)),
    )
    return s.constructor(s.path, "", because)


def _of_list(s: Search) -> bool:
    """Whether the failing call was given a list of tensors, to be joined."""
    step = s.failure.step
    return step is not None and "tensors" in step.bound


def _longer(s: Search, wanted: int) -> Root | None:
    """Of tensors to be joined the one with more dimensions, when none was taken from the rest."""
    for index, operand in enumerate(s.failure.operands):
        note = operand.note
        if len(note.shape) == wanted:
            because = said(
                "{x} {shape} has {count}.", x=s.name(index), shape=shape(note), count=dims(wanted)
            )
            if note.kind == "input":
                return s.input(note, because)
            made = made_by(s.trace, note)
            return s.step(made, because) if made is not None else None
    return None
