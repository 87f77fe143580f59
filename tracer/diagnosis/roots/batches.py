"""Batches, states, masks and targets."""

from __future__ import annotations

from tracer.diagnosis.roots.blame import (
    culprit,
    suspect,
)
from tracer.diagnosis.roots.lineage import ancestors, birth, made_by
from tracer.diagnosis.roots.pairs import most_suspicious
from tracer.diagnosis.roots.places import (
    Search,
    shape,
    size,
)
from tracer.diagnosis.roots.ranks import of_rank
from tracer.document import Root
from tracer.sentences import said


def of_state(s: Search) -> Root | None:
    facts = s.finding.facts
    wanted, found = facts.get("wanted"), facts.get("found")
    if (turned := _batch_last(s)) is not None:
        return turned
    if isinstance(wanted, tuple) and isinstance(found, tuple) and len(wanted) != len(found):
        return of_rank(s)
    for mark in s.made:
        note = s.note(mark)
        if mark.dim >= len(note.shape) or tuple(note.shape) != found:
            continue
        operand = s.failure.operands[mark.operand]
        if operand.note.kind == "constant":
            because = said(
                "{x} is made here, once, as {shape}: for a batch of {batch}.",
                x=s.name(mark.operand),
                shape=shape(note),
                batch=size(note, len(note.shape) - 2),
            )
            if (kept := s.kept(operand, because)) is not None:
                return kept
        # The state may be as large as the batch, and the input a slice along another dimension.
        given = s.failure.operands[0].note
        for dim in (d for d, found in enumerate(given.shape) if found == mark.wanted):
            wrong = culprit(s, birth(s.trace, given, dim), mark.size)
            if wrong is not None:
                return wrong.root
        suspected = suspect(s, mark)
        if suspected is not None:
            return suspected.root
    return None


def _batch_last(s: Search) -> Root | None:
    """A layer that was built to take the batch as its second dimension."""
    facts = s.finding.facts
    if not facts.get("turned") or s.path is None or facts.get("batch_first"):
        return None
    because = said("The layer is built with batch_first=False here.")
    return s.constructor(s.path, "batch_first", because)


def of_batch(s: Search) -> Root | None:
    if (turned := _batch_last(s)) is not None:
        return turned
    flagged = s.finding.facts.get("batch_first")
    if flagged is not None and s.finding.kind == "batch" and len(s.made) == 2:
        one, other = s.made
        note, dim = s.note(one), 1 - one.dim
        last = birth(s.trace, note, dim).last if len(note.shape) == 3 else None
        if last is not None and last.fresh and note.shape[dim] == other.size:
            because = said(
                "The batch of {batch} is put into dimension {dim} here.",
                batch=size(note, dim),
                dim=dim,
            )
            return s.step(last.step, because)
    best = most_suspicious(s)
    if s.finding.kind == "mask" and (best is None or best.kind == "input") and s.made:
        return _mask(s) or best
    return best


def _mask(s: Search) -> Root | None:
    """Its sizes are those of the data: it is where the mask was made that its axes were chosen."""
    note = s.note(s.made[0])
    makers = [made_by(s.trace, note), *(step for step, _, _ in ancestors(s.trace, note))]
    for step in makers:
        if step is not None and step.place.statement_span != s.failure.place.statement_span:
            because = said("The mask is made here, as {shape}.", shape=shape(step.outputs[0]))
            return s.step(step, because)
    return None


def of_target(s: Search) -> Root | None:
    layout = s.finding.facts.get("layout")
    if layout in ("classes_last", "same_numbers", "batch_first"):
        return None
    if layout not in ("extra", "one_hot") or not s.made:
        return most_suspicious(s)
    note = s.note(s.made[0])
    for _, after, before in ancestors(s.trace, note):
        if before.shape != after.shape:
            break
        note = before  # a cast, say
    if note.kind == "input":
        return s.given(note)
    return s.made_here(note)
