"""Where each of two sizes at odds comes from, as expressions down to what somebody wrote, and
where the two part."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import math
from collections import deque
from collections.abc import Iterator

from tracer.diagnosis.finding import Finding
from tracer.diagnosis.histories.made import Sizes
from tracer.diagnosis.histories.parting import parting
from tracer.diagnosis.histories.written import Written
from tracer.document import Failure, History, TensorNote, Term
from tracer.record.crash import Crash
from tracer.source.text import text_of

MOST_TERMS = 120  # of one history


def histories(crash: Crash, finding: Finding, failure: Failure) -> tuple[History, ...]:
    """The histories of the two sizes at odds; nothing where there are no two."""
    found = list(_sides(crash, finding, failure))
    if len(found) != 2 or found[0].term.value == found[1].term.value:
        return ()
    left, right = parting(found[0].term, found[1].term)
    return (
        History(found[0].term, found[0].operand, found[0].dim, left),
        History(found[1].term, found[1].operand, found[1].dim, right),
    )


def _sides(crash: Crash, finding: Finding, failure: Failure) -> Iterator[History]:
    sizes = Sizes(crash)
    first = next((mark for mark in finding.marks if mark.wanted is not None), None)
    first = first or next(iter(finding.marks), None)
    if first is None or first.operand >= len(failure.operands):
        return
    note = failure.operands[first.operand].note
    if finding.kind == "numel" and "numel" in finding.facts:
        asked = _asked(crash, sizes, finding)
        if asked is not None:
            yield History(_pruned(_elements(sizes, note, failure)), first.operand, None)
            yield History(_pruned(asked), None, None)
        return
    yield History(_pruned(sizes.term(note, first.dim)), first.operand, first.dim)
    if finding.kind == "range" and first.wanted is not None:
        text = f"{finding.facts.get('index')} + 1"
        place = failure.place
        yield History(Term("data", first.wanted, text, place, failure.module), None, None)
        return
    for mark in finding.marks:
        note = failure.operands[mark.operand].note
        if mark.operand == first.operand:
            continue
        layer = note.kind == "parameter" and finding.kind in ("channels", "width", "features")
        if layer and first.wanted is not None:
            path, _, leaf = note.name.rpartition(".")
            term = sizes.of_layer(path, first.wanted, leaf, mark.dim)
            if term is not None:
                yield History(_pruned(term), mark.operand, mark.dim)
                return
        if mark.size != first.size:
            yield History(_pruned(sizes.term(note, mark.dim)), mark.operand, mark.dim)
            return
    if finding.kind == "hidden" and first.dim == 0 and crash.running:
        states = sizes.states(crash.running[-1].path)
        if states is not None:
            yield History(_pruned(states), None, None)
            return
    asked = _asked(crash, sizes, finding)
    if asked is not None:
        yield History(_pruned(asked), None, None)


def _asked(crash: Crash, sizes: Sizes, finding: Finding) -> Term | None:
    """The number that the failing expression itself asks for, where that is what does not fit."""
    wanted = finding.facts.get("parts")
    frame = crash.frames[-1] if crash.frames else None
    text = text_of(frame.place.file) if frame is not None else None
    call = text.at(frame.place.span) if text is not None and frame is not None else None
    if text is None or not isinstance(call, ast.Call):
        return None
    here = Written(call, crash.frames, text)
    if finding.kind == "numel":
        return _shape(sizes, here, finding.facts.get("product"))
    if type(wanted) is not int:
        return None
    each = finding.facts.get("each")
    first_of = finding.facts.get("dim")
    split = _shape(sizes, here, wanted * each, first_of) if type(each) is int else None
    if split is not None:
        return split
    for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
        found = here.to(argument)
        number = found.number()
        if number == wanted:
            return sizes.numbers.term(found)
        if number is not None and number > 1 and number**2 == wanted:
            term = sizes.numbers.term(found)
            return dataclasses.replace(term, kind="product", value=wanted, parts=(term, term))
    return sizes.setting(crash.running[-1].path, wanted) if crash.running else None


def _elements(sizes: Sizes, note: TensorNote, failure: Failure) -> Term:
    """How many elements a tensor has, as the product of its sizes."""
    parts = tuple(sizes.term(note, dim) for dim in range(len(note.shape)))
    name = note.name or "the tensor"
    return Term("product", math.prod(note.shape), name, failure.place, failure.module, None, parts)


def _shape(sizes: Sizes, here: Written, product: object, first: object = None) -> Term | None:
    """The shape that a view asks for, as the product of its sizes; of those that give the product
    the ones from position `first` on, where that is known."""
    assert isinstance(here.node, ast.Call)
    given = [here.to(each) for each in here.node.args]
    for position, each in enumerate(given):
        inner = sizes.numbers.followed(each)
        if isinstance(inner.node, ast.Tuple | ast.List):
            given[position : position + 1] = [inner.to(item) for item in inner.node.elts]
            break
    terms = [sizes.numbers.term(each) for each in given]
    known = [term for term in terms if term.value is not None and term.value > 0]
    # `torch.reshape(x, ...)` has more arguments than sizes, `unflatten` a dimension first, and of
    # a split of one dimension only some are meant.
    windows = itertools.combinations(range(len(known) + 1), 2)
    for start, end in sorted(windows, key=lambda window: window[0] != first):
        parts = tuple(known[start:end])
        if len(parts) > 1 and math.prod(part.value or 0 for part in parts) == product:
            whole = sizes.numbers.term(here)
            return dataclasses.replace(whole, kind="product", value=product, parts=parts)
    return None


def _pruned(term: Term) -> Term:
    """The term without what is too much to be shown: what lies deepest."""
    kept: set[tuple[int, ...]] = set()
    waiting: deque[tuple[tuple[int, ...], Term]] = deque([((), term)])
    while waiting and len(kept) < MOST_TERMS:
        path, each = waiting.popleft()
        kept.add(path)
        waiting.extend(((*path, number), part) for number, part in enumerate(each.parts))

    def rebuilt(each: Term, path: tuple[int, ...]) -> Term:
        parts = [
            rebuilt(part, (*path, number))
            for number, part in enumerate(each.parts)
            if (*path, number) in kept
        ]
        return dataclasses.replace(each, parts=tuple(parts))

    return rebuilt(term, ())
