"""Notes above statements: what they ask of a run, and how they are filled."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"(\$\$.+?\$\$|\$.+?\$)", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{([^\W\d]\w*(?:\.[^\W\d]\w*)*)((?:\[-?\d+\])?)\}")


def placeholders(note: str) -> dict[str, tuple[tuple[str, ...], int | None]]:
    """What a note asks of the run: `{x.shape[1]}` gives ("x", "shape") and 1.  Braces inside
    `$...$` belong to the formula."""
    wanted: dict[str, tuple[tuple[str, ...], int | None]] = {}
    for part in _FORMULA.split(note):
        if not part.startswith("$"):
            for match in _PLACEHOLDER.finditer(part):
                index = match[2]
                wanted[match[0]] = (tuple(match[1].split(".")), int(index[1:-1]) if index else None)
    return wanted


def filled(note: str, values: dict[str, str]) -> str:
    """The note with each placeholder that has a value replaced by it."""
    if not values:
        return note
    return "".join(
        part
        if part.startswith("$")
        else _PLACEHOLDER.sub(lambda match: values.get(match[0], match[0]), part)
        for part in _FORMULA.split(note)
    )
