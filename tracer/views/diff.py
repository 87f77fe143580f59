"""What a fix changes, as lines: the old ones and the new ones, as far as the trace has the text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tracer.document import Edit, Failure, Fix, Source, with_edits

_MOST_EDITS = 50  # of one fix: a trace may come from anyone

Lines = Mapping[str, Mapping[int, str]]
"""Lines of source by file and number."""


@dataclass(frozen=True)
class Change:
    """The lines `old` of `file`, from `line` on, become `new`.

    Where the trace does not hold these lines, `old` is empty, `new` is the replacement alone and
    `column` is where it goes; else `column` is None.
    """

    file: str
    line: int
    column: int | None
    old: tuple[str, ...]
    new: tuple[str, ...]


def known_lines(failure: Failure | None, sources: Iterable[Source]) -> Lines:
    """The lines that a trace holds: its sources, and the statements that failed or are to blame,
    which need not have been part of the forward."""
    found: dict[str, dict[int, str]] = {}
    roots = [failure.root.place] if failure is not None and failure.root is not None else []
    for place in [failure.place, *roots] if failure is not None else []:
        span = place.statement_span
        if place.statement and span is not None:
            first, *rest = place.statement.split("\n")
            lines = found.setdefault(place.file, {})
            lines[span.line] = " " * min(max(span.column, 0), 400) + first
            lines.update(enumerate(rest, span.line + 1))
    for source in sources:
        text = source.text.removesuffix("\n").split("\n")
        found.setdefault(source.file, {}).update(enumerate(text, source.first))
    return found


def changes(fix: Fix, known: Lines) -> Iterator[Change]:
    """What `fix` changes, one stretch of lines after the other."""
    edits = sorted(fix.edits[:_MOST_EDITS], key=lambda e: (e.file, e.span.line, e.span.column))
    while edits:
        group, last = [edits[0]], edits[0].span.end_line
        for edit in edits[1:]:
            if edit.file != group[0].file or edit.span.line > last:
                break
            group.append(edit)
            last = max(last, edit.span.end_line)
        edits = edits[len(group) :]
        yield from _stretch(group, last, known.get(group[0].file, {}))


def _stretch(group: Sequence[Edit], last: int, lines: Mapping[int, str]) -> Iterator[Change]:
    file, first = group[0].file, group[0].span.line
    old = _at(lines, first, last)
    new = _edited(old, group, first) if old is not None else None
    if old is None or new is None:
        for edit in group:
            span = edit.span
            # Whole lines that are put between others need no column to be understood.
            is_whole = span.column == 0 and edit.replacement.endswith("\n")
            empty = (span.line, span.column) == (span.end_line, span.end_column)
            added = tuple(edit.replacement.strip("\n").split("\n"))
            column = None if is_whole and empty else max(span.column, 0)
            yield Change(file, span.line, column, (), added)
        return
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    while old and new and old[0] == new[0]:
        old, new, first = old[1:], new[1:], first + 1
    yield Change(file, first, None, tuple(old), tuple(new))


def _edited(lines: Sequence[str], edits: Sequence[Edit], first: int) -> list[str] | None:
    """`lines`, of which the first is number `first` of its file, with the edits made; None where
    they do not fit."""
    moved = (
        replace(
            edit,
            span=replace(
                edit.span,
                line=edit.span.line - first + 1,
                end_line=edit.span.end_line - first + 1,
            ),
        )
        for edit in edits
    )
    try:
        return with_edits("\n".join(lines), moved).split("\n")
    except ValueError:
        return None


def _at(lines: Mapping[int, str], first: int, last: int) -> list[str] | None:
    found = []
    for number in range(first, last + 1):
        if number not in lines:
            return None
        found.append(lines[number])
    return found or None
