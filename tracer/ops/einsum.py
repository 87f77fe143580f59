"""Sums over named dimensions: einsum, whose equation is its pattern, and tensordot."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracer.ops.algebra import differ, is_one, product
from tracer.ops.axes import axes_in
from tracer.ops.bound import (
    SAME,
    Bound,
    Dim,
    Violation,
    all_marks,
    kept,
    mark,
    refuse,
)
from tracer.ops.call import At, Call, Shape, Size, need
from tracer.ops.cells import SUMS
from tracer.ops.refusal import THE_TENSOR, Refusal, Report, said
from tracer.ops.say import (
    Spoken,
    Told,
    arrow,
    joined,
    product_arrow,
    told,
)
from tracer.ops.spec import operation
from tracer.sentences import Count, Filling, ShapeOf

# --- einsum --------------------------------------------------------------------------------------

_EQUATION = re.compile(r"[A-Za-z., ]*(->[A-Za-z. ]*)?")


@dataclass(frozen=True)
class Equation:
    """`bij,bjk->bik`: a term for each operand, and the result's, None where it is left out."""

    text: str
    terms: tuple[str, ...]
    result: str | None


def equation_of(call: Call) -> Equation:
    """Raises:
    Unclear: it is no text, or torch reads no equation in it.
    """
    text = call.get("equation")
    need(isinstance(text, str) and _EQUATION.fullmatch(text) is not None)
    left, arrow, right = text.replace(" ", "").partition("->")
    terms = tuple(left.split(","))
    need(all(re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", term) for term in (*terms, right)))
    return Equation(text, terms, right if arrow else None)


def _spelled(term: str, rank: int) -> list[str]:
    """One letter for each dimension; what `...` stands for is counted from the right: 2, 1, 0."""
    front, dots, back = term.partition("...")
    free = rank - len(front) - len(back)
    return [*front, *(str(free - 1 - k) for k in range(free)), *back] if dots else list(front)


def _einsum(call: Call) -> Bound:
    equation = equation_of(call)
    operands = call.tensors("tensors")
    if len(operands) != len(equation.terms):
        raise refuse("einsum", terms=len(equation.terms), given=len(operands))
    places: dict[str, list[At]] = {}
    for number, (term, index) in enumerate(zip(equation.terms, operands, strict=True)):
        _place(call, term, number, index, places)
    sizes = {letter: _size(call, at[0]) for letter, at in places.items()}
    target = _target(equation, places)
    dims = tuple(Dim(sizes[letter], SAME, _full(call, places[letter])) for letter in target)
    ties = tuple(
        (full[0], other)
        for full in (_full(call, at) for at in places.values())
        for other in full[1:]
    )
    return Bound(call, (dims,), ties, letters=sizes)


def _place(call: Call, term: str, number: int, index: int, places: dict[str, list[At]]) -> None:
    """Note where each letter of an operand's term stands; a size that is not 1 comes first.

    Raises:
        Refused: kind `einsum`: there are more or fewer letters than dimensions, or a letter stands
            for two sizes.
    """
    rank = call.operands[index].rank
    count = len(term.replace("...", ""))
    if count > rank or (count < rank and "..." not in term):
        raise refuse(
            "einsum", *all_marks(call, index), letters=term, count=count, at=index, operand=number
        )
    for dim, letter in enumerate(_spelled(term, rank)):
        at = At(index, dim)
        size, met = _size(call, at), places.setdefault(letter, [])
        other = _at_odds(call, at, met)
        if other is not None:
            known = _size(call, other)
            marks = mark(call, other, size), mark(call, at, known)
            raise refuse("einsum", *marks, letter=letter, wanted=known, found=size)
        known = _size(call, met[0]) if met else size
        met.insert(0 if is_one(known) else len(met), at)


def _at_odds(call: Call, at: At, met: Sequence[At]) -> At | None:
    """Which dimension of the same letter does not go with this one: of another operand they may
    be stretched from 1, of the same one they may not."""
    size = _size(call, at)
    for other in met:
        known = _size(call, other)
        stretches = other.operand != at.operand and (is_one(size) or is_one(known))
        if differ(known, size) and not stretches:
            return other
    return None


def _size(call: Call, at: At) -> Size:
    return call.operands[at.operand].shape[at.dim]


def _full(call: Call, met: Sequence[At]) -> tuple[At, ...]:
    """Those of one letter that have its size, which stands first; others are stretched."""
    return tuple(at for at in met if not differ(_size(call, at), _size(call, met[0])))


def _target(equation: Equation, places: Mapping[str, Any]) -> list[str]:
    """The result's letters: without an arrow, those that stand only once, in their order.

    Raises:
        Refused: kind `einsum`: the result has a letter that no operand has, or one twice.
    """
    free = sorted((int(letter) for letter in places if letter.isdigit()), reverse=True)
    dots = [str(number) for number in free]
    if equation.result is None:
        every = "".join(equation.terms).replace(".", "")
        return dots + sorted(letter for letter in set(every) if every.count(letter) == 1)
    front, written, back = equation.result.partition("...")
    for letter in front + back:
        if letter not in places:
            raise refuse("einsum", missing=letter)
        if (front + back).count(letter) > 1:
            raise refuse("einsum", twice=letter)
    return [*front, *(dots if written else []), *back]


def _clues(call: Call, violation: Violation) -> Mapping[str, Any]:
    """`reordered`: the letters of one operand, in another order, would give each one size."""
    if "letter" not in violation.facts:
        return {}
    shapes = [call.operands[index].shape for index in call.tensors("tensors")]
    return {"reordered": _reordered(equation_of(call).terms, shapes)}


def _reordered(terms: Sequence[str], shapes: Sequence[Shape]) -> bool:
    if any("." in term or len(term) > 6 for term in terms):
        return False
    for changed in range(len(terms)):
        sizes: dict[str, Size] = {}
        for number, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
            if number != changed:
                sizes.update(zip(term, shape, strict=False))
        if any(
            all(
                sizes.get(letter, size) == size
                for letter, size in zip(order, shapes[changed], strict=False)
            )
            for order in itertools.permutations(terms[changed])
        ):
            return True
    return False


def _summed(bound: Bound) -> list[str]:
    """The letters that the result does not have, and what is left out of `...`."""
    kept_on = {at for dim in bound.results[0] for at in dim.sources}
    return [letter for letter, at in _firsts(bound) if at not in kept_on]


def _firsts(bound: Bound) -> Iterator[tuple[str, At]]:
    """Each letter of the equation with the first dimension of its size."""
    seen: set[str] = set()
    operands = bound.call.tensors("tensors")
    for term, index in zip(equation_of(bound.call).terms, operands, strict=True):
        for dim, letter in enumerate(_spelled(term, bound.call.operands[index].rank)):
            at = At(index, dim)
            if letter not in seen and not differ(_size(bound.call, at), bound.letters[letter]):
                seen.add(letter)
                yield letter, at


def _words(step: Spoken) -> Told:
    equation = equation_of(step.call)
    summed = _summed(step.bound)
    over: list[Filling] = [
        said("{letter} ({size})", letter=letter, size=step.bound.letters[letter])
        for letter in summed
        if not letter.isdigit()
    ]
    if len(over) < len(summed):
        over.append(said("the dimensions of ..."))
    result = equation.result
    shown = ",".join(equation.terms) + (f"->{result}" if result is not None else "")
    return Told(
        said(
            "{arrow}: {equation}, summed over {dims}"
            if over
            else "{arrow}: {equation}, nothing summed",
            arrow=arrow(joined([ShapeOf(shape) for shape in step.ins]), ShapeOf(step.out)),
            equation=shown,
            dims=tuple(over),
        )
    )


def _flops(bound: Bound) -> Size:
    """Of the products of two and two, from left to right, as torch makes them: at each combination
    of their letters, where they are summed over one of these."""
    call = bound.call
    terms = [
        dict(zip(_spelled(term, call.operands[i].rank), call.operands[i].shape, strict=True))
        for term, i in zip(equation_of(call).terms, call.tensors("tensors"), strict=True)
    ]
    kept_on = set(bound.letters) - set(_summed(bound))
    done: dict[str, Size] = {}
    total: Size = 0
    for number, term in enumerate(terms):
        later = {letter for each in terms[number + 1 :] for letter in each} | kept_on
        last = (done.keys() | term.keys()) - later
        met = {n for n in last if not is_one(done.get(n, 1)) and not is_one(term.get(n, 1))}
        for side in (done, term):  # what the other has not is summed before
            for letter in last - met:
                side.pop(letter, None)
        wide = {n: size for n, size in term.items() if is_one(done.get(n, 1))}
        done = {**term, **done, **wide}
        total = total + 2 * product(done.values()) if met else total
        done = {letter: size for letter, size in done.items() if letter not in met}
    return total


def _report(refusal: Refusal) -> Report:
    facts = refusal.facts
    if "terms" in facts:
        return _count_report(refusal)
    if "letters" in facts:
        return _letters_report(refusal)
    if "letter" in facts:
        return _letter_report(refusal)
    letters = {
        letter for term in equation_of(refusal.call).terms for letter in term.replace(".", "")
    }
    values = {
        "equation": refusal.call.get("equation"),
        "letter": facts.get("missing", facts.get("twice")),
        "letters": tuple(sorted(letters)),
    }
    if "twice" in facts:
        return Report(
            said("einsum '{equation}' has the letter {letter} twice in its result.", **values),
            (said("Each dimension of the result has a letter of its own.", **values),),
        )
    return Report(
        said(
            "einsum '{equation}' asks for the letter {letter} in its result, which no operand has.",
            **values,
        ),
        (said("The result can only have letters of the operands: {letters}.", **values),),
    )


def _count_report(refusal: Refusal) -> Report:
    return Report(
        said(
            "einsum '{equation}' names {terms}, and is given {given}.",
            equation=refusal.call.get("equation"),
            terms=Count(refusal.facts["terms"], "operand"),
            given=refusal.facts["given"],
        ),
        (said("Each comma in the equation separates the letters of one operand."),),
    )


def _letters_report(refusal: Refusal) -> Report:
    facts, index = refusal.facts, refusal.facts["at"]
    number, rank = facts["operand"] + 1, refusal.call.operands[index].rank
    over = facts["count"] - rank
    values = {
        "equation": refusal.call.get("equation"),
        "number": number,
        "letters": Count(facts["count"], "letter"),
        "term": facts["letters"],
        "name": refusal.name(index),
        "shape": refusal.shape(index),
        "dims": Count(rank, "dimension"),
        "count": facts["count"],
        "over": abs(over),
    }
    if over > 0:
        reason = said(
            "Each letter stands for one dimension. '{term}' has {count} of them, and {name} has "
            "{dims}: {over} too many letters.",
            **values,
        )
    else:
        reason = said(
            "Each letter stands for one dimension. '{term}' has {count} of them, and {name} has "
            "{dims}: {over} too few letters.",
            **values,
        )
    return Report(
        said(
            "einsum '{equation}' gives operand {number} {letters} ('{term}'): {name} {shape} has "
            "{dims}.",
            **values,
        ),
        (reason,),
    )


def _letter_report(refusal: Refusal) -> Report:
    values = refusal.pair(THE_TENSOR, THE_TENSOR) | {
        "equation": refusal.call.get("equation"),
        "letter": refusal.facts["letter"],
    }
    if values["letter"].isdigit():
        return Report(
            said(
                "einsum '{equation}' needs sizes under its dots that are equal or 1: "
                "{one} ≠ {two}.",
                **values,
            ),
            (
                said(
                    "Its dots stand for dimension {dim_a} of {a} {shape_a}, which is {one}, and "
                    "for dimension {dim_b} of {b} {shape_b}, which is {two}.",
                    **values,
                ),
            ),
        )
    return Report(
        said(
            "einsum '{equation}' needs one size for the letter {letter}: {one} ≠ {two}.", **values
        ),
        (
            said(
                "The letter {letter} stands for dimension {dim_a} of {a} {shape_a}, which is "
                "{one}, and for dimension {dim_b} of {b} {shape_b}, which is {two}.",
                **values,
            ),
        ),
    )


operation(
    "einsum",
    bind=_einsum,
    words=_words,
    clues=_clues,
    report=_report,
    flops=_flops,
    scene=SUMS,
)


# --- tensordot -----------------------------------------------------------------------------------


def _axes(call: Call, first: int, second: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The dimensions of both that are summed over, in pairs.

    Raises:
        Refused: kind `rank` or `axis`, there are not as many.
    """
    dims = call.get("dims", default=2)
    if isinstance(dims, int) and not isinstance(dims, bool):
        need(dims >= 0)
        for index in (first, second):
            rank = call.operands[index].rank
            if rank < dims:
                raise refuse("rank", *all_marks(call, index), rank=dims, at=index)
        rank = call.operands[first].rank
        return tuple(range(rank - dims, rank)), tuple(range(dims))
    need(isinstance(dims, tuple) and len(dims) == 2)
    left, right = (each if isinstance(each, tuple) else (each,) for each in dims)
    need(len(left) == len(right))
    for index in (first, second):
        if left and not call.operands[index].rank:
            raise refuse("rank", rank=1, at=index)
    return axes_in(call, left, first), axes_in(call, right, second)


def _tensordot(call: Call) -> Bound:
    first, second = call.position("input"), call.position("other")
    left, right = _axes(call, first, second)
    ties = []
    over: Size = 1
    for i, j in zip(left, right, strict=True):
        one, two = At(first, i), At(second, j)
        a, b = _size(call, one), _size(call, two)
        if differ(a, b) and not (is_one(a) or is_one(b)):
            raise refuse("matmul", mark(call, one, b), mark(call, two, a), wanted=b, found=a)
        over *= b if is_one(a) else a
        ties.append((one, two))
    rows = [dim for axis, dim in enumerate(kept(call, first)) if axis not in left]
    columns = [dim for axis, dim in enumerate(kept(call, second)) if axis not in right]
    return Bound(call, ((*rows, *columns),), tuple(ties), letters={"over": over})


def _tensordot_flops(bound: Bound) -> Size:
    """Where one of a pair has size 1 the other is summed first, and nothing is multiplied."""
    inner: Size = 1
    for one, two in bound.ties:
        a, b = _size(bound.call, one), _size(bound.call, two)
        inner *= 1 if is_one(a) or is_one(b) else a
    return 2 * product(bound.shapes[0]) * inner


def _tensordot_words(step: Spoken) -> Told:
    a, b = step.call.shape("input"), step.call.shape("other")
    lines = [
        said(
            "contracted over {size} (dim {first} of the first, dim {second} of the second)",
            size=max(a[one.dim], b[two.dim]),
            first=one.dim,
            second=two.dim,
        )
        for one, two in step.bound.ties
    ]
    if step.bound.ties:
        how = said("each value sums {n} products", n=step.bound.letters["over"])
    else:
        how = said("every value of the first times every value of the second")
    return Told(told(product_arrow(a, b, step.out), how), lines)


def _tensordot_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind == "rank":
        index = refusal.facts["at"]
        return Report(
            said(
                "tensordot is to sum over {count} of {name} {shape}, which has {rank}.",
                count=Count(refusal.facts["rank"], "dimension"),
                name=refusal.name(index),
                shape=refusal.shape(index),
                rank=refusal.call.operands[index].rank,
            ),
            (
                said(
                    "A number for `dims` says how many dimensions are summed over, the last ones "
                    "of the first with the first ones of the second."
                ),
            ),
        )
    if refusal.violation.kind != "matmul":
        return None
    values = refusal.pair()
    return Report(
        said(
            "tensordot multiplies dimension {dim_a} of the first with dimension {dim_b} of the "
            "second: {one} ≠ {two}.",
            **values,
        ),
        (
            said(
                "{a} is {shape_a} and {b} is {shape_b}; dimensions that are summed over must have "
                "one size.",
                **values,
            ),
        ),
    )


operation(
    "tensordot",
    bind=_tensordot,
    words=_tensordot_words,
    report=_tensordot_report,
    flops=_tensordot_flops,
    scene=SUMS,
)
