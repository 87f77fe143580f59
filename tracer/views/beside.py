"""What stands beside the lines of a source: the shapes that their statements made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tracer.document import Call, Step, TensorNote, Trace


def beside(trace: Trace, file: str, shape: Callable[[TensorNote], str]) -> dict[int, list[str]]:
    """By the line of `file` on which a statement ends, what it made last, once for each call of its
    function that made something else; `shape` writes a tensor."""
    last: dict[tuple[int, int], str] = {}
    for caller, made in _made(trace):
        if made.place.file == file and made.outputs:
            span = made.place.statement_span or made.place.span
            line = span.end_line if span is not None else made.place.line
            last[line, caller] = ", ".join(map(shape, made.outputs))
    found: dict[int, list[str]] = {}
    for (line, _), text in last.items():
        texts = found.setdefault(line, [])
        if text not in texts:
            texts.append(text)
    return found


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
