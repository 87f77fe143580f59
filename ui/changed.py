"""Two texts of a file, as the lines that differ."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from html import escape

from ui.language import say

_KINDS = {"-": "del", "+": "ins", " ": "div"}
_MARKS = {"-": "−", "+": "+", " ": ""}


def lines(before: str, after: str) -> Iterator[tuple[str, str]]:
    """The lines that differ, with one line around them, moved to the left as far as they go; each
    with what it is: `-`, `+`, a blank, or `@` where lines are left out."""
    found = difflib.unified_diff(before.split("\n"), after.split("\n"), n=1, lineterm="")
    shown = list(found)[3:]
    margin = min((_indent(line[1:]) for line in shown if _is_code(line)), default=0)
    for line in shown:
        yield ("@", "") if line.startswith("@@") else (line[0], line[1 + margin :])


def _is_code(line: str) -> bool:
    return line[1:].strip() != "" and not line.startswith("@@")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def shown(before: str, after: str) -> str:
    """The lines that differ, as HTML: what is taken away and what is added is told by sign, by
    colour, and to who hears it."""
    spoken = {"-": say("removed:"), "+": say("added:")}

    def row(kind: str, text: str) -> str:
        if kind == "@":
            return '<div aria-hidden="true">⋮</div>'
        told = f'<span class="spoken">{escape(spoken[kind])} </span>' if kind in spoken else ""
        mark = f'<span aria-hidden="true">{_MARKS[kind]}</span>'
        return f"<{_KINDS[kind]}>{told}{mark}<code>{escape(text)}\n</code></{_KINDS[kind]}>"

    rows = "".join(row(kind, text) for kind, text in lines(before, after))
    return f'<div class="changed-lines" translate="no">{rows}</div>'
