"""The two histories of a failure as lines: what each size is made of, step by step down to what was
written, and where the two part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tracer.document import Failure, History, Place, Term
from tracer.sentences import Said, said

MOST_LINES = 14  # of one history
_MOST_PARTS = 6
_DEEPEST = 3  # but on the way to where they part
_NAMES = 60

Path = tuple[int, ...]


@dataclass(frozen=True)
class Line:
    """One term: `value` and what it is `made_of` (`12 + 12 + 12`) or `made_from` (`64`, of which a
    window or a slice made it), both empty where that is nothing, the `code` that says so, and
    where.  `depth` is from 0, `times` how often the same stands there.  `apart` is true where the
    histories part."""

    depth: int
    value: str
    made_of: str
    code: str
    place: Place
    module: str
    step: int | None
    times: int = 1
    apart: bool = False
    made_from: str = ""


def heading(failure: Failure, history: History) -> Said:
    """Which size a history is of."""
    size = history.term.value
    if history.operand is None or history.operand >= len(failure.operands):
        return said("{size} is what is asked for here", size=size)
    operand = failure.operands[history.operand]
    name = operand.note.name or " ".join(operand.expression.split())[:_NAMES]
    if history.dim is None:
        if not name:
            return said("{size} are the elements of the tensor", size=size)
        return said("{size} are the elements of `{tensor}`", size=size, tensor=name)
    if not name:
        return said("{size} is dimension {dim} of a tensor", size=size, dim=history.dim)
    return said("{size} is dimension {dim} of `{tensor}`", size=size, dim=history.dim, tensor=name)


def lines(history: History) -> list[Line]:
    """A history from the size down to where its numbers come from.  Names that only hand a number
    on are left out, and equal parts stand there once."""
    found = list(_lines(history.term, (), 0, history.apart))
    if len(found) == 1:
        return [replace(found[0], apart=False)]  # what else would it be
    if len(found) > MOST_LINES:
        deep = sorted(
            (line for line in found if not line.apart), key=lambda line: line.depth, reverse=True
        )
        dropped = {id(line) for line in deep[: len(found) - MOST_LINES]}
        found = [line for line in found if id(line) not in dropped]
    return found


def _lines(term: Term, path: Path, depth: int, apart: Path | None) -> Iterator[Line]:
    marked = apart == path
    shown = term
    while _passes(shown) and not marked:
        shown, path = shown.parts[0], (*path, 0)
        marked = apart == path
    seen = [number for number, part in enumerate(shown.parts) if _is_seen(part, shown)]
    marked = marked or apart in [(*path, number) for number in seen]
    # What it parts at is of interest down to where it was written.
    on_way = apart is not None and apart[: len(path)] == path[: len(apart)]
    yield Line(
        depth,
        "" if shown.value is None else str(shown.value),
        _made_of(shown),
        _code(shown),
        shown.place,
        shown.module,
        shown.step,
        apart=marked,
        made_from=_made_from(shown),
    )
    if depth >= (_DEEPEST + 2 if on_way else _DEEPEST):
        return
    for number, times in _groups(shown, path, apart):
        if number not in seen:
            first, *below = _lines(shown.parts[number], (*path, number), depth + 1, apart)
            yield replace(first, times=times)
            yield from below


def _code(term: Term) -> str:
    """What is written; of a bare number the statement around it, of a layer's call which one."""
    text = " ".join(term.text.split())
    if term.kind == "number" and text == str(term.value):
        return " ".join(term.place.statement.split())
    if term.step is not None and term.module and term.kind == "step":
        return f"{text} ({term.module})"
    return text


def _passes(term: Term) -> bool:
    """Whether a term only hands on what its part says."""
    only = term.parts[0] if len(term.parts) == 1 else None
    if only is None or term.kind not in ("name", "layer", "step"):
        return False
    literal = only.kind == "number" and only.value is not None and not only.text.isidentifier()
    same = only.value == term.value and term.value is not None
    # A name says what a bare number means, a step what it is a size of.
    return same and not (literal and term.kind in ("name", "step"))


def _made_of(term: Term) -> str:
    values = [part.value for part in term.operands]
    if len(values) < 2 or None in values or term.kind not in ("sum", "product"):
        return ""
    sign = " + " if term.kind == "sum" else " · "
    texts = [str(value) for value in values]
    if len(texts) > _MOST_PARTS:
        texts = [*texts[: _MOST_PARTS - 2], "…", texts[-1]]
    return sign.join(texts)


def _made_from(term: Term) -> str:
    before = term.operands[0].value if term.kind == "step" and term.operands else None
    return "" if before in (None, term.value) else str(before)


def _groups(term: Term, path: Path, apart: Path | None) -> Iterator[tuple[int, int]]:
    """The parts, those that look alike once: (its number, how many)."""
    number = 0
    while number < len(term.parts):
        first, end = term.parts[number], number + 1
        while end < len(term.parts) and _alike(first, term.parts[end]):
            if apart is not None and apart[: len(path) + 1] in ((*path, end), (*path, number)):
                break
            end += 1
        yield number, end - number
        number = end


def _alike(left: Term, right: Term) -> bool:
    return (left.value, left.text, left.place.line) == (right.value, right.text, right.place.line)


def _is_seen(part: Term, whole: Term) -> bool:
    """Whether a part is a number that stands in the whole's own expression."""
    return part.kind == "number" and part.place.statement_span == whole.place.statement_span
