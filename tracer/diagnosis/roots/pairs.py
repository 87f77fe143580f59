"""Two tensors against each other: the one whose size has the more suspicious birth."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.diagnosis.finding import Mark
from tracer.diagnosis.roots.blame import (
    Suspect,
    shortcut,
    suspect,
)
from tracer.diagnosis.roots.lineage import ancestors, birth, made_by
from tracer.diagnosis.roots.places import (
    Search,
    code,
    shape,
    size,
)
from tracer.document import Root, Slice, Step
from tracer.sentences import said


def most_suspicious(s: Search) -> Root | None:
    """Of the tensors at odds, the one whose size has the most suspicious birth."""
    facts = s.finding.facts
    if facts.get("transposed") or facts.get("reordered"):
        return None  # the sizes would fit the other way round: it is this line
    if "target" in facts and (target := _written_to(s)) is not None:
        return target
    marks = s.finding.marks[:1] if facts.get("in_place") else s.finding.marks
    found = [each for mark in marks if (each := suspect(s, mark)) is not None]
    best = max(reversed(found), key=lambda each: each.score) if found else None
    if s.finding.kind != "broadcast":
        return best.root if best is not None else None
    return shortcut(s) or _of_broadcast(s, marks, best)


def _of_broadcast(s: Search, marks: Sequence[Mark], best: Suspect | None) -> Root | None:
    if best is None or best.score >= _CERTAIN:
        return best.root if best is not None else None
    if (short := _too_short(s, marks)) is not None:
        return short
    shorter = _shorter(s, marks)
    batches = [s.is_batch(s.note(m), m.dim) for m in marks]
    if shorter is not None or (any(batches) and not all(batches)):
        # Not a size is wrong, but the place where it is laid.
        return shorter
    return best.root


_CERTAIN = 70  # the score of a suspect against which no more is looked for


def _written_to(s: Search) -> Root | None:
    """What is written to was made for this, with sizes that were written down."""
    if not s.failure.operands:
        return None
    into = s.failure.operands[0].note
    first = [step for step, _, _ in ancestors(s.trace, into)]
    made = made_by(s.trace, first[-1].inputs[0] if first else into)
    if made is None or made.inputs:
        return None
    return s.step(made, said("{shape} is made here, to be written to.", shape=shape(into)))


def _too_short(s: Search, marks: Sequence[Mark]) -> Root | None:
    """A table that was cut to a length it does not reach: `pe[:120]` of 50 rows gives 50."""
    for mark in marks:
        found = birth(s.trace, s.note(mark), mark.dim)
        if found.last is not None or found.note.kind not in ("parameter", "buffer"):
            continue
        cut = next((hop for hop in found.hops if _asks_for(hop.step, mark.wanted)), None)
        if cut is not None:
            because = said(
                "{tensor} is made with {rows} rows here, {shape}, and `{code}` asks for {wanted}.",
                tensor=found.note.name,
                rows=size(found.note, found.dim),
                shape=shape(found.note),
                code=code(cut.step.expression),
                wanted=mark.wanted,
            )
            return s.parameter(found.note, found.dim, because)
    return None


def _asks_for(step: Step, wanted: int | None) -> bool:
    """Whether one of the step's slices ends there."""
    ends = [
        item.stop
        for value in step.bound.values()
        for item in (value if isinstance(value, tuple) else (value,))
        if isinstance(item, Slice)
    ]
    return wanted is not None and wanted in ends


def _shorter(s: Search, marks: Sequence[Mark]) -> Root | None:
    """Where the tensor with fewer dimensions comes from; nowhere else when both have as many."""
    notes = sorted((s.note(mark) for mark in marks), key=lambda note: len(note.shape))
    if len(notes) < 2 or len(notes[0].shape) == len(notes[-1].shape):
        return None
    note = notes[0]
    if note.kind == "input":
        because = said(
            "The input {x} is {shape}: it lacks dimensions.", x=note.name, shape=shape(note)
        )
        return s.input(note, because)
    made = made_by(s.trace, note)
    if made is not None and made.place.statement_span == s.failure.place.statement_span:
        origin = birth(s.trace, note, len(note.shape) - 1).note
        if origin.kind in ("parameter", "buffer") and len(origin.shape) == len(note.shape):
            return s.parameter(origin)
    return s.made_here(note)
