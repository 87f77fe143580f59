"""Edits of source: what lies between two texts, and the lines that a trace needs to show them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence

from tracer.document import Edit, Source, Span, Trace
from tracer.source.text import text_of


def shared(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """How many lines, or characters, two texts share at their start, and at their end behind it."""
    most = min(len(old), len(new))
    head = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), most)
    ends = zip(reversed(old), reversed(new), strict=False)
    tail = next((n for n, (a, b) in enumerate(ends) if a != b), most)
    return head, min(tail, most - head)


def between(file: str, old: str, new: str) -> tuple[Edit, ...]:
    """Edits that turn `old` into `new`, as few characters as lines allow."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    head, tail = shared(before, after)
    old_part, new_part = before[head : len(before) - tail], after[head : len(after) - tail]
    found: list[Edit] = []
    matcher = difflib.SequenceMatcher(None, old_part, new_part, autojunk=False)
    for tag, *places in matcher.get_opcodes():
        i, j, k, m = (place + head for place in places)
        if tag == "equal":
            continue
        if tag == "replace" and j - i == m - k:
            for row in range(j - i):
                found.append(_line_edit(file, i + row, before[i + row], after[k + row]))
        else:
            column = 0
            start = Span(i + 1, column, j + 1, 0)
            if j == len(before) and before:
                start = Span(i + 1, 0, len(before), len(before[-1])) if i < j else start
            found.append(Edit(file, start, "".join(after[k:m])))
    return tuple(found)


def _line_edit(file: str, row: int, old: str, new: str) -> Edit:
    head, tail = shared(old, new)
    span = Span(row + 1, head, row + 1, len(old) - tail)
    return Edit(file, span, new[head : len(new) - tail])


def with_edited_lines(found: Trace) -> Trace:
    """The trace with the text of functions that did not run and that a fix edits (`__init__`), so
    that a fix can be shown with its lines wherever the trace is read."""
    added: list[Source] = []
    for fix in found.failure.fixes if found.failure is not None else ():
        for edit in fix.edits:
            known = (
                source.file == edit.file
                and source.first <= edit.span.line <= source.first + source.text.count("\n")
                for source in (*found.sources, *added)
            )
            file = text_of(edit.file)
            if any(known) or file is None:
                continue
            line = min(edit.span.line, len(file.lines))
            statement = file.statement_on(line)
            first, last = file.enclosing(statement) if statement is not None else (line, line)
            lines = "".join(file.lines[first - 1 : last]).rstrip("\n")
            added.append(Source(edit.file, "", first, lines, ()))
    return dataclasses.replace(found, sources=(*found.sources, *added))
