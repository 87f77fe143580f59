"""The rounds of a run's loops that do the same: who steps through one has seen them all."""

from __future__ import annotations

import ast
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracer.document import Place, Source, Span, Step, Trace
from tracer.syntax import parsed

FEWEST = 3
"""Rounds from which on a loop is worth folding: two would only hide one."""

_MOST_PERIODS = 100


@dataclass(frozen=True)
class Rounds:
    """`count` rounds of a loop that do the same to the same shapes, each `length` steps, the first
    from `start` on.  `place` is that of the loop's head, and `call` the call that it runs in."""

    start: int
    length: int
    count: int
    call: int
    place: Place

    @property
    def stop(self) -> int:
        return self.start + self.length * self.count


def rounds(trace: Trace) -> tuple[Rounds, ...]:
    """The loops of the run that go round at least `FEWEST` times alike, outer before inner."""
    loops = [_loops(source) for source in trace.sources]
    inside: dict[tuple[int, int, int], list[int]] = {}
    if any(loops):
        for step in trace.steps:
            for source, call, line in _lines(trace, step):
                for number, (_, first, last) in enumerate(loops[source]):
                    if first <= line <= last:
                        inside.setdefault((source, call, number), []).append(step.index)
    marks = [_mark(step) for step in trace.steps] if inside else []
    found: dict[tuple[int, int], Rounds] = {}
    for (source, call, number), steps in sorted(inside.items()):
        head, *_ = loops[source][number]
        for start, stop in _stretches(steps):
            length, count = _repeated(marks[start:stop])
            if count >= FEWEST:
                place = _head(trace.sources[source], source, head)
                # Of a loop that holds nothing but another the inner one is kept.
                found[start, length * count] = Rounds(start, length, count, call, place)
    return tuple(sorted(found.values(), key=lambda each: (each.start, -each.stop)))


def _loops(source: Source) -> list[tuple[Span, int, int]]:
    """Of each loop in the text: its head, the first line and the last that run in each round."""
    try:
        tree = parsed(textwrap.dedent(source.text))
    except (SyntaxError, ValueError, RecursionError):
        return []
    indent = min(
        (len(line) - len(line.lstrip()) for line in source.text.split("\n") if line.strip()),
        default=0,
    )
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.AsyncFor | ast.While):
            end: ast.expr = node.test if isinstance(node, ast.While) else node.iter
            first, last = node.body[0].lineno, node.body[-1].end_lineno
        elif isinstance(node, ast.ListComp | ast.GeneratorExp):
            end = node
            first, last = node.lineno, node.end_lineno
        else:
            continue
        assert last is not None
        assert end.end_lineno is not None
        assert end.end_col_offset is not None
        before = source.first - 1
        head = Span(
            node.lineno + before,
            node.col_offset + indent,
            end.end_lineno + before,
            end.end_col_offset + indent,
        )
        found.append((head, first + before, last + before))
    return sorted(found, key=lambda loop: (loop[1], -loop[2]))


def _head(source: Source, index: int, span: Span) -> Place:
    lines = source.text.split("\n")[span.line - source.first : span.end_line - source.first + 1]
    lines[-1] = lines[-1][: span.end_column]
    text = "\n".join([lines[0][span.column :], *lines[1:]])
    return Place(source.file, span.line, source.function, index, span, text, text, span)


def _lines(trace: Trace, step: Step) -> Iterator[tuple[int, int, int]]:
    """Where the step was written and the calls around it: the source, the call that ran it, the
    line."""
    call: int | None = step.call
    place = step.place
    while call is not None:
        if place.source is not None:
            yield place.source, call, place.line
        place, call = trace.calls[call].place, trace.calls[call].parent


def _stretches(steps: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The unbroken stretches of a rising list of indices."""
    for _, group in itertools.groupby(enumerate(steps), lambda pair: pair[1] - pair[0]):
        indices = [index for _, index in group]
        yield indices[0], indices[-1] + 1


def _mark(step: Step) -> object:
    """What two steps have in common that do the same at the same place."""
    shapes = tuple(note.shape for note in (*step.inputs, *step.outputs))
    return step.place.source, step.place.span, step.place.line, step.op, shapes, step.error


def _repeated(marks: Sequence[object]) -> tuple[int, int]:
    """The period at the beginning that explains most, and how often it comes."""
    best = (len(marks), 1)
    again = [at for at, mark in enumerate(marks) if at and mark == marks[0]]
    for length in again[:_MOST_PERIODS]:
        count = 1
        while marks[count * length : (count + 1) * length] == marks[:length]:
            count += 1
        if count > 1 and (best[1] == 1 or length * count > best[0] * best[1]):
            best = (length, count)
    return best
