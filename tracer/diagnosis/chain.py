"""The way of a wrong size as links that one can walk: where a number was written, the constructor
it was given to, the step that made a size of it, the expression where it does not fit."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracer.diagnosis.histories.written import Numbers, Written
from tracer.diagnosis.roots.handed import caller, helper, kept, renamed
from tracer.diagnosis.roots.lineage import made_by
from tracer.diagnosis.roots.places import Search, code, finished, shape
from tracer.diagnosis.roots.returned import Handed, handed_over
from tracer.document import Failure, History, Place, Root, TensorNote, Term
from tracer.ops.flow import adds_dimension, permutes
from tracer.ops.table import bound_step
from tracer.sentences import Said, said
from tracer.source.text import text_of

_ROOT, _PARTING, _HANDED, _MADE, _WRITTEN, _NUMBER = 75, 60, 45, 35, 30, 25
_ON_THE_WAY = 20
_KEPT, _CALLED, _TAKEN = 60, 25, 40
_RETURNED, _IN_HELPER, _ALONE, _PASSED, _FARTHER = 70, 30, 10, 15, 4
_TOLD, _OTHER, _GIVEN = 30, 20, 10
BESIDES = 2  # links beside the failing expression
"""How much speaks for a place: where the root was found, where the histories part, what returned or
made an operand, what else was worked out or written; more on the way to the root.  What handed a
value over counts by how near it is, more in a helper, and most where that does nothing else."""


Statement = tuple[str, int]
"""A file and the line in which a statement begins."""


@dataclass(frozen=True)
class Candidate:
    """A link with how much speaks for it, and the name of what found it."""

    score: float
    link: Root
    name: str = ""


def chain(s: Search) -> tuple[Root, ...]:
    """The links from the first to the failing expression, which is the last: of the places where a
    number was written or handed on and of the steps those two that most speaks for."""
    failing = Root("failure", s.failure.place, s.failure.module, _step(s.failure), _meeting(s))
    taken = {statement_of(failing)}
    told = marked(s)
    kept: list[Root] = []
    found = [each for each in candidates(s) if each.link.line]
    while len(kept) < BESIDES:
        left = [each for each in found if statement_of(each.link) not in taken]
        if not left:
            break
        best = max(left, key=lambda each: _worth(s, each, told, kept))
        kept.append(best.link)
        taken.add(statement_of(best.link))
    return links(s, kept, finished(s.trace, failing))


def links(s: Search, kept: Sequence[Root], failing: Root) -> tuple[Root, ...]:
    """The links in the order in which they led to the failing one."""
    first = sorted(kept, key=_in_forward)
    known = (s.failure.root, *s.failure.chain)
    return (*(link if link in known else finished(s.trace, link) for link in first), failing)


def _worth(s: Search, each: Candidate, told: set[Statement], kept: Sequence[Root]) -> float:
    """How much a candidate adds: less where the histories mark its place anyway, more where it is
    of another kind than what is kept."""
    if each.link is s.failure.root:
        return 2 * _ROOT
    if statement_of(each.link) in told:
        return each.score - _TOLD
    other = bool(kept) and _in_forward(kept[0]) is not _in_forward(each.link)
    return each.score + _OTHER * other - _GIVEN * (each.link.kind == "input")


def _in_forward(link: Root) -> bool:
    return link.kind in ("call", "step")


def _step(failure: Failure) -> int | None:
    return failure.step.index if failure.step is not None else None


def statement_of(link: Root | Term) -> Statement:
    span = link.place.statement_span or link.place.span
    return link.place.file, span.line if span is not None else link.place.line


def _meeting(s: Search) -> Said:
    """What happens at the failing expression."""
    left, right = [h.term.value for h in s.failure.histories] or [None, None]
    if left is None or right is None:
        return said("Here it stops.")
    return said("Here {left} and {right} meet.", left=left, right=right)


def candidates(s: Search) -> Iterator[Candidate]:
    found = [*_of_sizes(s), *_of_handing_on(s)]
    if not s.failure.histories:
        found += _of_numbers(s)
    yield from found
    yield from map(_returned, handed_over(s))
    here = helper(s.failure.place)
    if (above := caller(s.crash, s.failure.place)) is not None:
        yield Candidate(_NUMBER, _called(s, above, s.failure.place), "calls what fails")
    told = marked(s)
    for each in found:
        inside = helper(each.link.place) if each.link.kind in ("step", "call") else here
        above = caller(s.crash, each.link.place) if inside != here else None
        if above is not None:
            # What is marked in a helper is right there, and wrong for who called it.
            less = _CALLED * (statement_of(each.link) not in told)
            yield Candidate(each.score - less, _called(s, above, each.link.place), "calls")


def _returned(each: Handed) -> Candidate:
    """What a function gave back, or was given, as a link."""
    score = _RETURNED - _FARTHER * each.depth - _PASSED * (each.kind == "call")
    score += _IN_HELPER * bool(helper(each.place)) + _ALONE * (each.length <= 1)
    if each.kind == "call":
        because = said("It is handed to {name} here.", name=each.by)
    else:
        because = said("{name} returns here what the failing expression is made of.", name=each.by)
    root = Root("call", each.place, each.module, None, because)
    return Candidate(score, root, "passed" if each.kind == "call" else "returned")


def marked(s: Search) -> set[Statement]:
    """The statements where the histories part; none where both begin with inputs, which have no
    statement of their own."""
    found = [h.parting for h in s.failure.histories if h.parting is not None]
    if all(each.kind == "input" for each in found):
        return set()
    return {statement_of(each) for each in found}


def _called(s: Search, above: tuple[Place, str], place: Place) -> Root:
    """The call of a helper as a link."""
    where, module = above
    return Root("call", where, module, None, said("{name} is called here.", name=helper(place)))


def _of_handing_on(s: Search) -> Iterator[Candidate]:
    """Where the operands were put into a list or given another name: no operation, and the place
    where the wrong tensor was taken."""
    for operand in s.failure.operands:
        name = operand.note.name or said("the tensor")
        values = {"x": name, "shape": shape(operand.note)}
        if (put := kept(s, operand.note)) is not None:
            because = said("{x} {shape} is kept here.", **values)
            yield Candidate(_KEPT, Root("call", *put, None, because), "kept")
        if (other := renamed(s, operand)) is not None:
            because = said("{x} {shape} gets its name here.", **values)
            yield Candidate(_KEPT, Root("call", *other, None, because), "named")


def _of_numbers(s: Search) -> Iterator[Candidate]:
    """Where the numbers come from that the failing expression itself asks for."""
    frame = s.crash.frames[-1] if s.crash.frames else None
    text = text_of(frame.place.file) if frame is not None else None
    node = text.at(frame.place.span) if text is not None and frame is not None else None
    if frame is None or text is None or node is None:
        return
    numbers = Numbers(s.crash)
    for each in ast.walk(node):
        if not isinstance(each, ast.Name | ast.Attribute):
            continue
        here = Written(each, s.crash.frames, text)
        if here.number() is None:
            continue
        for depth, term in _with_depth(numbers.term(here)):
            if depth and term.kind in ("number", "written", "sum", "product"):
                yield Candidate(_WRITTEN - depth, _link(s, term), "asked")


def _of_sizes(s: Search) -> Iterator[Candidate]:
    if s.failure.root is not None:
        yield Candidate(_ROOT, s.failure.root, "root")
    sides = [history for history in s.failure.histories if _has_root(s, history)]
    for history in s.failure.histories:
        # The way leads to the root, where that is on one of the two.
        more = _ON_THE_WAY * (sides == [history])
        for each in _of_history(s, history):
            yield Candidate(each.score + more, each.link, each.name)
    for operand in s.failure.operands:
        yield from _of_operand(s, operand.note)


def _has_root(s: Search, history: History) -> bool:
    root = s.failure.root
    steps = (term.step for term in history.term.walk())
    return root is not None and root.step is not None and root.step in steps


def _of_history(s: Search, history: History) -> Iterator[Candidate]:
    parting = history.parting
    for depth, term in _with_depth(history.term):
        if term is parting:
            chosen = term.kind in ("written", "sum", "product", "number", "name", "count")
            # Of a number of elements every size may be the wrong one.
            score = _WRITTEN if s.finding.kind == "numel" else _PARTING
            yield Candidate(score + chosen * 5, _link(s, term), "parting")
        elif term.kind == "layer" and parting is not None and _inside(parting, term):
            yield Candidate(_HANDED + 1 - depth, _link(s, term), "layer")
        elif term.kind == "layer" and parting is not None and _inside(term, parting):
            yield Candidate(_HANDED - depth, _link(s, term), "layer")
        elif term.kind == "name" and parting is not None and _inside(parting, term):
            yield Candidate(_TAKEN - depth, _link(s, term), "taken")
        elif term.step is None and term.kind in ("written", "sum", "product"):
            yield Candidate(_WRITTEN - depth, _link(s, term), "written")
        elif term.kind in ("number", "input"):
            yield Candidate(_NUMBER - depth, _link(s, term), "number")


def _with_depth(term: Term, depth: int = 0) -> Iterator[tuple[int, Term]]:
    yield depth, term
    for part in term.parts:
        yield from _with_depth(part, depth + 1)


def _inside(term: Term, other: Term) -> bool:
    return any(each is other for each in term.walk())


def _link(s: Search, term: Term) -> Root:
    """A term of a history as a link."""
    kind = "number"
    if term.kind == "input":
        kind = "input"
    elif term.step is not None:
        kind = "step"
    elif term.kind == "layer" or term.place.function.endswith("__init__"):
        kind = "constructor"
    return Root(kind, term.place, term.module, term.step, _because(term))


def _because(term: Term) -> Said:
    text = code(term.text)
    if term.kind == "layer":
        return said(
            "{layer} is built with {size} here.", layer=term.module or text, size=term.value
        )
    parts = [part.value for part in term.operands if part.value is not None]
    if term.kind in ("sum", "product") and len(parts) > 1:
        sign = " + " if term.kind == "sum" else "·"
        return said(
            "`{code}` is {size}: {parts}.",
            code=text,
            size=term.value,
            parts=sign.join(map(str, parts)),
        )
    if term.step is not None and parts and parts[0] != term.value:
        return said(
            "`{code}` makes {size} of {before}.", code=text, size=term.value, before=parts[0]
        )
    if term.value is None:
        return said("`{code}` is written here.", code=text)
    if term.kind == "number" and text == str(term.value):
        statement = code(term.place.statement)
        return said("{size} is written here: `{code}`.", size=term.value, code=statement)
    return said("`{code}` is {size} here.", code=text, size=term.value)


def _elsewhere(s: Search, note: TensorNote) -> bool:
    """Whether an operand has the size that is wanted of it in another dimension."""
    return any(
        s.note(mark).id == note.id and mark.wanted in note.shape[1:] and mark.wanted != mark.size
        for mark in s.finding.marks
    )


def _of_operand(s: Search, note: TensorNote) -> Iterator[Candidate]:
    """What made an operand, and what returned it; of a tensor with fewer dimensions than another
    it is likelier to be at fault."""
    most = max((len(each.note.shape) for each in s.failure.operands), default=0)
    facts = s.finding.facts
    turned = facts.get("transposed") or facts.get("layout") in ("axis", "last")
    score = _MADE + 2 * (len(note.shape) < most) + 30 * bool(turned) + 5 * _elsewhere(s, note)
    if note.kind == "input":
        yield Candidate(score, s.given(note), "given")
    made = made_by(s.trace, note)
    if made is not None:
        bound = bound_step(made)
        before = {len(each.shape) for each in made.inputs}
        shaped = permutes(bound) or adds_dimension(bound) or len(note.shape) not in before
        link = s.made_here(note)
        if link is not None:
            yield Candidate(score + 3 * shaped, link, "made")
    for call in s.trace.calls[1:]:
        if any(each.id == note.id for each in call.outputs) and call.place.line:
            because = said(
                "{path} returns {shape} here.", path=call.module or call.type, shape=shape(note)
            )
            root = Root("call", call.place, call.module, None, because)
            yield Candidate(score + 1, root, "module returns")
            return
