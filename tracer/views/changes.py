"""What each step did to the shapes, in words, with a letter for each dimension.

The words come from `words`, the letters from `dimensions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tracer.document import Step, TensorNote, Trace, with_notes
from tracer.sentences import Said, Translate, render
from tracer.views.dimensions import Dims, Known, Shape
from tracer.views.words import Told, tell


@dataclass(frozen=True)
class Explanation:
    """`summary` says what one step did in a sentence; `changes` has a line for each dimension
    that changed; `inputs` and `outputs` hold one label per dimension of each tensor."""

    summary: str
    changes: tuple[str, ...]
    inputs: tuple[tuple[str, ...], ...]
    outputs: tuple[tuple[str, ...], ...]
    children: tuple[Explanation, ...]


def explain(
    trace: Trace,
    dims: Mapping[str, str] | None = None,
    symbols: bool = False,
    translate: Translate = str,
) -> tuple[Explanation, ...]:
    """One explanation for each of `trace.steps`.

    `dims` names the dimensions of inputs, as `{"x": "B C H W"}`; None as the trace does.  With
    `symbols` the sentences name sizes by their formulas where the trace has them; `translate` puts
    them into another language.
    """
    if symbols:
        trace = with_notes(trace, {id: _said(note) for id, note in trace.tensors().items()})
    known = Known(trace, dims)
    drafts = [_read(step, known) for step in trace.steps]
    labels = known.labels()

    def finished(draft: _Draft) -> Explanation:
        step = draft.step
        return Explanation(
            summary=_sentence(draft.told.summary, translate),
            changes=tuple(render(line, translate) for line in draft.told.changes),
            inputs=tuple(labels[note.id, note.shape] for note in step.inputs),
            outputs=tuple(labels[note.id, note.shape] for note in step.outputs),
            children=tuple(finished(child) for child in draft.children),
        )

    return tuple(finished(draft) for draft in drafts)


def labels(trace: Trace, dims: Mapping[str, str] | None = None) -> dict[int, tuple[str, ...]]:
    """One label per dimension of every tensor of the trace, by note id, as in `explain`."""
    known = Known(trace, dims)
    for step in trace.steps:
        _read(step, known)
    for note in trace.tensors().values():
        known.dims(note)
    return {note: texts for (note, _), texts in known.labels().items()}


def _sentence(summary: Said, translate: Translate) -> str:
    """A summary as it begins a line."""
    text = render(summary, translate)
    return text[:1].upper() + text[1:]


class _Size(int):
    """A size that is written as its formula."""

    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)


def _said(note: TensorNote) -> TensorNote:
    if not note.dims:
        return note
    sizes = []
    for number, formula in zip(note.shape, note.dims, strict=True):
        size = _Size(number)
        size.text = formula.text
        sizes.append(size)
    return replace(note, shape=tuple(sizes))


@dataclass
class _Draft:
    step: Step
    told: Told
    children: list[_Draft]


def _read(step: Step, known: Known) -> _Draft:
    """Follow the dimensions through one step; steps must come in order."""
    told = tell(step, known)
    for note, dims in zip(step.outputs, told.outputs, strict=False):
        known.settle(note, dims)
    children = [_read(child, known) for child in step.children]
    for note in step.outputs:
        if note not in known:
            known.settle(note, _guess(step, note.shape, known))
    for note in step.inputs:
        known.dims(note)
    return _Draft(step, told, children)


def _guess(step: Step, shape: Shape, known: Known) -> Dims:
    """An operation that is not known but keeps the shape is taken to keep the dimensions, except
    those that it could have swapped."""
    if not step.inputs or step.inputs[0].shape != shape:
        return known.fresh(shape)
    return tuple(
        dim if size == 1 or shape.count(size) == 1 else known.atoms.new(size)
        for dim, size in zip(known.dims(step.inputs[0]), shape, strict=True)
    )
