"""What stands beside the lines of a source: the shapes that their statements made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tracer.document import Call, Place, Step, TensorNote, Trace


def beside(trace: Trace, file: str, shape: Callable[[TensorNote], str]) -> dict[int, list[str]]:
    """By the line of `file` on which a statement ends, what it made last, once for each call of its
    function that made something else; `shape` writes a tensor.  A statement that did not come to
    its end has made nothing, whatever ran in it before."""
    last: dict[tuple[int, int], str] = {}
    for caller, made in _made(trace):
        if made.place.file == file and made.outputs:
            last[_end(made.place), caller] = ", ".join(map(shape, made.outputs))
    for line, caller in _unfinished(trace, file):
        last.pop((line, caller), None)
    found: dict[int, list[str]] = {}
    for (line, _), text in last.items():
        texts = found.setdefault(line, [])
        if text not in texts:
            texts.append(text)
    return found


def _end(place: Place) -> int:
    span = place.statement_span or place.span
    return span.end_line if span is not None else place.line


def _unfinished(trace: Trace, file: str) -> Iterator[tuple[int, int]]:
    """The lines of `file` at which a run has failed, from the innermost, each with the call that it
    is written in."""
    failure = trace.failure
    if failure is None or not trace.calls:
        return
    inside = [call.index for call in trace.calls if call.module == failure.module]
    at: int | None = failure.step.call if failure.step is not None else max(inside, default=0)
    place = failure.place
    while at is not None:
        if place.file == file:
            yield _end(place), at
        place, at = trace.calls[at].place, trace.calls[at].parent


def _made(trace: Trace) -> Iterator[tuple[int, Step | Call]]:
    """The steps and calls in the order in which they ended, each with the call it is written in."""
    found: list[tuple[tuple[int, int, int], int, Step | Call]] = []
    for step in trace.steps:
        found.append(((step.index, 0, 0), step.call, step))
    for call in trace.calls:
        if call.parent is not None:
            found.append(((call.stop - 1, 1, -call.start), call.parent, call))
    for _, caller, made in sorted(found, key=lambda each: each[0]):
        yield caller, made
