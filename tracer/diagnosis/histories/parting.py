"""Where two histories part: the first term of each that the other does not have."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from tracer.document import Term

Path = tuple[int, ...]

_CHOSEN = ("name", "written", "sum", "product", "count")


def parting(left: Term, right: Term) -> tuple[Path | None, Path | None]:
    """The paths to the terms where two histories part."""
    found = _apart(left, (), right, ())
    if found is None and left.value != right.value:
        # Items of one list, and which of them is not known: where each is still a number.
        found = _known(left), _known(right)
    return _one_call(left, right, *found) if found is not None else (None, None)


def _known(term: Term) -> Path:
    """The last of those that hand a number on."""
    path: Path = ()
    while len(term.parts) == 1 and term.parts[0].value == term.value:
        term, path = term.parts[0], (*path, 0)
    return path


def _one_call(left: Term, right: Term, at: Path, to: Path) -> tuple[Path, Path]:
    """Where both were taken from one list for one call, they part where the one or the other was
    taken; what a function works out, where it does so."""
    one, other = _term(left, at), _term(right, to)
    items = one.kind == other.kind == "name" and one.text.isidentifier() and _in_loop(one)
    listed = items or one.kind == other.kind == "written"
    while listed and len(at) > 1 and len(to) > 1 and _in_one(_term(left, at), _term(right, to)):
        at, to = at[:-1], to[:-1]
    return _worked_out(left, at, right), _worked_out(right, to, left)


def _in_loop(term: Term) -> bool:
    """Whether the name is one that a loop in its own statement gives values."""
    return bool(
        re.search(rf"\bfor\b[^:]*\b{re.escape(term.text)}\b[^:]*\bin\b", term.place.statement)
    )


def _worked_out(term: Term, path: Path, other: Term) -> Path:
    """Down into the function that works the number out, but for one that works out other
    numbers of the two histories as well: it is right there, and what it was given is wrong."""
    found = _term(term, path)
    while found.kind == "written" and found.parts:
        last = found.parts[-1]
        if last.kind != "written" or last.place.function == found.place.function:
            break
        whole = (each for side in (term, other) for each in side.walk())
        asked = {each.place for each in whole if last.place in [part.place for part in each.parts]}
        if len(asked) > 1:
            break
        path, found = (*path, len(found.parts) - 1), last
    return path


def _term(term: Term, path: Path) -> Term:
    for number in path:
        term = term.parts[number]
    return term


def core(term: Term, path: Path = ()) -> tuple[Term, Path]:
    """The term that a size is first worked out in, or written: what hands it on is left out.  A
    constant of the file is chosen where its name is given."""
    while len(term.parts) == 1 and term.kind != "written":
        part = term.parts[0]
        handed = part.value is None and term.kind == "name"
        same = part.value == term.value or (term.value, part.value) == _negated(term)
        if not (same or handed) or _is_constant(term, part):
            break
        term, path = part, (*path, 0)
    return term, path


def _negated(term: Term) -> tuple[int, int] | None:
    """The two values of `-self.size`."""
    minus = term.text.startswith("-") and term.value is not None
    return (term.value, -term.value) if minus and term.value is not None else None


def _is_constant(term: Term, part: Term) -> bool:
    named = term.kind == "name" and part.kind == "number" and term.text.isidentifier()
    return named and re.match(rf"{term.text}\b", part.place.statement) is not None


def _apart(left: Term, at: Path, right: Term, to: Path) -> tuple[Path, Path] | None:
    first, second = _used(left, at), _used(right, to)
    left, at = core(left, at)
    right, to = core(right, to)
    if _same(left, right):
        return None
    # Where one was made of the other it is the last that was done to it.
    if _holds(left, right):
        return _decisive(left, at), second
    if _holds(right, left):
        return first, _decisive(right, to)
    if left.kind in ("sum", "product") and left.kind == right.kind:
        return _of_parts(left, at, right, to)
    if left.kind == "sum":
        return _of_sum(left, at, right, to, second)
    if right.kind == "sum":
        return _of_sum(right, to, left, at, first)[::-1]
    in_one = _in_one(left, right) and left.place.line == right.place.line
    if left.kind == right.kind == "number" and in_one and at and to:
        # Not the numbers of one list are at odds, but which of them was taken.
        return at[:-1], to[:-1]
    return _decisive(left, at), _decisive(right, to)


def _in_one(left: Term, right: Term) -> bool:
    mine, theirs = left.place, right.place
    return (mine.file, mine.statement_span) == (theirs.file, theirs.statement_span)


def _used(term: Term, path: Path) -> Path:
    """Where a number becomes a size: the number in the step's own expression."""
    only = term.parts[0] if len(term.parts) == 1 else None
    number = term.kind == "step" and only is not None and only.kind in ("name", "written")
    return (*path, 0) if number and only is not None and only.value == term.value else path


def _same(left: Term, right: Term) -> bool:
    return left.value == right.value and left.place == right.place and left.step == right.step


def _holds(term: Term, other: Term) -> bool:
    return any(_same(each, other) for part in term.parts for each in part.walk())


def _of_parts(left: Term, at: Path, right: Term, to: Path) -> tuple[Path, Path]:
    """Of two sums or two products the parts that have no partner."""
    mine, theirs = list(_spread(left, at, left.kind)), list(_spread(right, to, right.kind))
    for pair in list(mine):
        partner = next((other for other in theirs if other[1].value == pair[1].value), None)
        if partner is not None:
            mine.remove(pair)
            theirs.remove(partner)
    if len(mine) == len(theirs) == 1:
        (path, a), (other, b) = mine[0], theirs[0]
        first, second = core(a)[0], core(b)[0]
        if left.kind == "sum" and first.kind == second.kind == "input":
            return at, to  # inputs of other sizes: which of them were joined
        if first.kind == "step" or second.kind == "step" or left.kind == "product":
            inner = _apart(a, path, b, other)
            if inner is not None:
                return inner
    return _written(mine[0]) if mine else at, _written(theirs[0]) if theirs else to


def _written(part: tuple[Path, Term]) -> Path:
    """A part, or the number that a layer was given for it."""
    path, term = part
    found, inner = core(term, path)
    return inner if term.kind == "step" and found.kind == "number" else path


def _spread(term: Term, path: Path, kind: str) -> Iterator[tuple[Path, Term]]:
    """The parts of a sum or product, those of parts that are the same in turn."""
    for number, part in enumerate(term.operands):
        inner, below = core(part, (*path, number))
        if inner.kind == kind:
            yield from _spread(inner, below, kind)
        else:
            yield (*path, number), part


def _of_sum(total: Term, at: Path, other: Term, to: Path, used: Path) -> tuple[Path, Path]:
    """A sum against what is none: equal parts are counted by a factor of a product; where one of
    them is all of the other, the rest is what is missing there: where that was written as a
    number, or where it is `used` when it was worked out."""
    values = [part.value for part in total.operands]
    if other.value in values:
        rest = [number for number, value in enumerate(values) if value != other.value]
        worked_out = other.kind in ("written", "product")
        return (*at, rest[0]) if rest else at, used if worked_out else to
    for number, factor in enumerate(other.parts if other.kind == "product" else ()):
        size = math.prod(p.value or 0 for i, p in enumerate(other.parts) if i != number)
        if factor.value == len(values) == len(total.parts) and set(values) == {values[0]}:
            inner = _apart(total.parts[0], (*at, 0), other.parts[1 - number], (*to, 1 - number))
            if inner is not None and len(other.parts) == 2:
                return inner
        if factor.value is not None and values.count(size) >= 1:
            if len(total.parts) > len(values) != factor.value:
                return (*at, len(values)), (*to, number)  # there the two are counted
            odd = next((i for i, value in enumerate(values) if value != size), factor.value)
            if odd >= len(values):
                return at, (*to, number)
            return _decisive(total.parts[odd], (*at, odd)), (*to, number)
    return at, to


def _decisive(term: Term, path: Path) -> Path:
    """A setting that somebody worked out, or wrote elsewhere, says more than the step that it is
    given to."""
    for number, factor in reversed(list(enumerate(term.parts if term.kind == "product" else ()))):
        found, inner = core(factor, (*path, number))
        if (deeper := _decisive(found, inner)) != inner:
            return deeper
    settings = [(n, p) for n, p in enumerate(term.parts) if p.step is None and p.kind in _CHOSEN]
    for number, part in reversed(settings if term.kind == "step" else []):
        found, inner = core(part, (*path, number))
        chosen = found.kind in ("written", "sum", "product") or len(inner) > len(path) + 1
        if chosen and found.step is None and found.kind != "input":
            return inner
    return path
