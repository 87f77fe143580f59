"""Tensors joined: cat, stack and their kin."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from tracer.ops.algebra import differ, known, product
from tracer.ops.axes import axis_in
from tracer.ops.bound import (
    JOINED,
    NEW,
    SAME,
    Bound,
    Dim,
    Dims,
    Mark,
    all_marks,
    mark,
    new,
    refuse,
    same,
    too_small,
)
from tracer.ops.call import At, Call, Size, need
from tracer.ops.cells import Cells, Scene, by_dims, everything
from tracer.ops.refusal import Count, Refusal, Report, Said, ShapeOf, said
from tracer.ops.say import (
    Spoken,
    Told,
)
from tracer.ops.spec import operation

# --- one after the other --------------------------------------------------------------------------


class _Side(NamedTuple):
    """A dimension of a tensor to be joined; `at` is None for one of size 1 that is put there."""

    operand: int
    size: Size
    at: At | None


_Part = tuple[_Side, ...]


def _sides(call: Call, operand: int) -> _Part:
    shape = call.operands[operand].shape
    return tuple(_Side(operand, size, At(operand, dim)) for dim, size in enumerate(shape))


def _lifted(op: str, operand: int, part: _Part) -> _Part:
    """A tensor with the dimensions that vstack and its kin give to smaller ones."""
    one = _Side(operand, 1, None)
    if op == "hstack":
        return part or (one,)
    if op in ("vstack", "row_stack"):
        return (one,) * (2 - len(part)) + part
    if op == "column_stack":
        return part + (one,) * (2 - len(part))
    if len(part) < 2:
        part = (one, *(part or (one,)))
    return (*part, one) if len(part) == 2 else part


def _along(op: str, parts: Sequence[_Part]) -> int:
    if op == "dstack":
        return 2
    return 0 if op in ("vstack", "row_stack") or len(parts[0]) == 1 else 1


def _parts(call: Call) -> list[_Part]:
    found = call.tensors("tensors")
    if not found:
        need(call.arguments.get("tensors") == ())
        raise refuse("join")
    return [_sides(call, operand) for operand in found]


def _cat(call: Call) -> Bound:
    parts = _parts(call)
    first = _used(parts)[0]
    for part, operand in zip(parts, call.tensors("tensors"), strict=True):
        if not part:
            raise refuse("rank", at=operand)
    axis = axis_in(call, call.whole("dim", default=0), first[0].operand)
    return Bound(call, (_joined(call, _used(parts), axis),))


def _stacked(call: Call) -> Bound:
    """hstack and its kin."""
    operands = call.tensors("tensors")
    parts = [_lifted(call.op, *pair) for pair in zip(operands, _parts(call), strict=True)]
    return Bound(call, (_joined(call, _used(parts), _along(call.op, parts)),))


def _used(parts: list[_Part]) -> list[_Part]:
    """torch lets an empty row pass, as the start of a loop that joins."""
    return [part for part in parts if len(part) != 1 or differ(part[0].size, 0)] or parts


def _joined(call: Call, parts: Sequence[_Part], axis: int) -> Dims:
    """
    Raises:
        Refused: kind `rank` or `join`, the first part that does not fit the first of all.
    """
    first = parts[0]
    for part in parts[1:]:
        if len(part) != len(first):
            raise _other_rank(call, first, part)
        for dim, (a, b) in enumerate(zip(first, part, strict=True)):
            if dim != axis and differ(a.size, b.size):
                raise _other_size(call, parts, dim, a, b, axis)
    dims = []
    for dim in range(len(first)):
        ats = tuple(part[dim].at for part in parts)
        placed = tuple(dict.fromkeys(at for at in ats if at is not None))
        if dim != axis:
            dims.append(Dim(first[dim].size, SAME, placed) if placed else new(1))
        elif len(parts) == 1:
            dims.append(same(call, *placed) if placed else new(1))
        else:
            size = sum(part[dim].size for part in parts)
            every = tuple(at for at in ats if at is not None)
            whole = len(every) == len(parts)
            dims.append(Dim(size, JOINED if whole else NEW, every))
    return tuple(dims)


def _other_rank(call: Call, first: _Part, part: _Part) -> Exception:
    other = part[0].operand
    return refuse(
        "rank", *all_marks(call, other), rank=len(first), first=first[0].operand, at=other
    )


def _other_size(
    call: Call, parts: Sequence[_Part], dim: int, a: _Side, b: _Side, axis: int
) -> Exception:
    marks = [
        mark(call, side.at, other.size) for side, other in ((a, b), (b, a)) if side.at is not None
    ]
    return refuse(
        "join",
        *marks,
        wanted=a.size,
        found=b.size,
        dim=axis,
        axis=dim,
        first=a.operand,
        at=b.operand,
        transposed=_would_join(parts, axis) is not None,
    )


def _would_join(parts: Sequence[_Part], axis: int) -> tuple[int, ...] | None:
    """What would make two tensors fit: the other dimension to join along, or the two to exchange in
    the second."""
    if len(parts) != 2 or len(parts[0]) != len(parts[1]):
        return None
    first, second = ([side.size for side in part] for part in parts)
    if not all(map(known, (*first, *second))):
        return None
    unlike = [dim for dim in range(len(first)) if first[dim] != second[dim]]
    if unlike == [len(first) - 1]:
        return (unlike[0],)
    for a, b in itertools.combinations(range(1, len(second)), 2):
        turned = list(second)
        turned[a], turned[b] = turned[b], turned[a]
        if all(turned[dim] == first[dim] for dim in range(len(first)) if dim != axis):
            return a, b
    return None


def _joined_words(step: Spoken) -> Told:
    call = step.call
    parts = [_sides(call, operand) for operand in call.tensors("tensors")]
    if step.name in ("cat", "concat", "concatenate"):
        axis = (call.whole("dim", default=0) or 0) % len(step.out)
    else:
        operands = call.tensors("tensors")
        parts = [_lifted(step.name, *pair) for pair in zip(operands, parts, strict=True)]
        axis = _along(step.name, parts)
    parts = _used(parts)
    if len(parts) == 1:
        return Told(said("Shape kept: a single tensor, nothing to join"))
    sizes = [part[axis].size for part in parts]
    total = " + ".join(map(str, sizes))
    return Told(
        said(
            "Dim {axis} grows to {sum} = {size}: {n} tensors joined end to end"
            # As formulas the two are often one: `H + W = H + W` says nothing.
            if len(sizes) <= 6 and total != str(step.out[axis])
            else "Dim {axis} grows to {size}: {n} tensors joined end to end",
            axis=axis,
            sum=total,
            size=step.out[axis],
            n=len(parts),
        )
    )


def _joined_report(refusal: Refusal) -> Report | None:
    kind, op = refusal.violation.kind, refusal.call.op
    if kind == "join" and not refusal.violation.facts:
        return _empty_report(op)
    if kind == "rank":
        return _rank_report(refusal)
    if kind != "join":
        return None
    facts = refusal.facts
    first, other = facts["first"], facts["at"]
    place = refusal.call.tensors("tensors").index(other) + 1
    values = {
        "op": op,
        "dim": facts["dim"],
        "axis": facts["axis"],
        "x": facts["wanted"],
        "y": facts["found"],
        "a": refusal.name(first, said("the first")),
        "name": refusal.name(other, said("tensor {number}", number=place)),
        "shape_a": refusal.shape(first),
        "shape_b": refusal.shape(other),
    }
    for side, mark_ in zip("xy", refusal.violation.marks, strict=False):
        values[side] = refusal.size(At(mark_.operand, mark_.dim))
    return Report(
        said(
            "{op} along dimension {dim} needs all other sizes equal: {x} ≠ {y} in dimension "
            "{axis}.",
            **values,
        ),
        (
            said(
                "{op} along dimension {dim} lays tensors one behind the other there, so all their "
                "other sizes must agree. In dimension {axis}, {a} {shape_a} has {x} and {name} "
                "{shape_b} has {y}.",
                **values,
            ),
            *_mended(refusal),
        ),
        said("See why {a} has {x} and {name} has {y} in dimension {axis}.", **values),
    )


def _mended(refusal: Refusal) -> tuple[Said, ...]:
    facts, call = refusal.facts, refusal.call
    parts = [_sides(call, operand) for operand in call.tensors("tensors")]
    fits = _would_join(parts, facts["dim"])
    if fits is None:
        small = abs(facts["wanted"] - facts["found"]) <= 2 and len(parts[0]) > 3
        often = said(
            "A difference this small comes from an odd size that was halved and doubled again, or "
            "from a convolution without padding."
        )
        return (often,) if small else ()
    if len(fits) == 1:
        return (
            said(
                "They differ in dimension {dim} alone: along that one they can be joined.",
                dim=fits[0],
            ),
        )
    turned = [side.size for side in parts[1]]
    a, b = fits
    turned[a], turned[b] = turned[b], turned[a]
    return (
        said(
            "With its dimensions {a} and {b} exchanged the second would be {turned}, which fits.",
            a=a,
            b=b,
            turned=ShapeOf(tuple(turned)),
        ),
    )


def _empty_report(op: str) -> Report:
    return Report(
        said("{op} needs at least one tensor: the list is empty.", op=op),
        (said("Nothing was put into the list before this line."),),
    )


def _rank_report(refusal: Refusal) -> Report:
    at, op = refusal.facts["at"], refusal.call.op
    if "rank" not in refusal.facts:
        a = refusal.name(
            at, said("the first") if at == 0 else said("tensor {number}", number=at + 1)
        )
        return Report(
            said("{op} needs at least 1 dimension in each tensor: {a} has none.", op=op, a=a),
            (said("Single numbers are joined with `torch.stack`, which makes a new dimension."),),
        )
    first = refusal.facts["first"]
    one, two = refusal.call.operands[first].rank, refusal.call.operands[at].rank
    place = refusal.call.tensors("tensors").index(at) + 1
    few = (at, first)[two > one]
    values = {
        "op": op,
        "one": one,
        "two": two,
        "a": refusal.name(first, said("the first")),
        "name": refusal.name(at, said("tensor {number}", number=place)),
        "few": refusal.name(few, said("The smaller one")),
        "shape_a": refusal.shape(first),
        "shape_b": refusal.shape(at),
        "count": Count(one, "dimension"),
        "lost": Count(abs(one - two), "dimension"),
    }
    return Report(
        said(
            "{op} needs the same number of dimensions in all: {one} ≠ {two} ({shape_a} and "
            "{shape_b}).",
            **values,
        ),
        (
            said(
                "{a} {shape_a} has {count}, and {name} {shape_b} has {two}. {few} lost or never "
                "got {lost}.",
                **values,
            ),
        ),
    )


operation(
    "cat concat concatenate",
    bind=_cat,
    words=_joined_words,
    report=_joined_report,
    scene=Scene("join"),
)


def _stacked_cells(bound: Bound, number: int) -> Cells:
    """One after the other, where every part has the dimension along which they are joined."""
    whole = any(dim.how == JOINED for dim in bound.results[number])
    return by_dims(bound, number) if whole else everything(bound, number)


operation(
    "hstack vstack row_stack dstack column_stack",
    bind=_stacked,
    words=_joined_words,
    report=_joined_report,
    scene=Scene("join", cells=_stacked_cells),
)

# --- every choice of one from each ----------------------------------------------------------------


def _choices(call: Call) -> Bound:
    """`cartesian_prod`: a row for every choice of one entry of each vector."""
    vectors = call.tensors("tensors")
    need(bool(vectors))
    for index in vectors:
        if call.operands[index].rank != 1:
            raise refuse("rank", *all_marks(call, index), rank=1, ranks=(1,), at=index)
    if len(vectors) == 1:
        return Bound(call, ((same(call, At(vectors[0], 0)),),))
    rows = product(call.operands[index].shape[0] for index in vectors)
    return Bound(call, ((new(rows, sources=[At(i, 0) for i in vectors]), new(len(vectors))),))


def _combinations(call: Call) -> Bound:
    """A row for every choice of `r` entries of one vector."""
    if call.first.rank != 1:
        raise refuse("rank", *all_marks(call, 0), rank=1, ranks=(1,), at=0)
    size, r = call.first.shape[0], call.size("r")
    need(known(size) and known(r))
    if r < 0:
        raise too_small("r", r, 0)
    if r == 0:
        return Bound(call, ((new(0),),))
    again = call.flag("with_replacement")
    rows = math.comb(size + r - 1 if again and size else size, r)
    return Bound(call, ((new(rows, sources=[At(0, 0)]), new(r)),))


def _choices_words(step: Spoken) -> Told:
    return Told(said("{n} rows: every choice of entries, once", n=step.out[0]))


operation("cartesian_prod", bind=_choices, words=_choices_words)
operation("combinations", bind=_combinations, words=_choices_words)

# --- side by side ---------------------------------------------------------------------------------


def _stack(call: Call) -> Bound:
    parts = _parts(call)
    first, *rest = call.tensors("tensors")
    shape = call.operands[first].shape
    for other in rest:
        have = call.operands[other].shape
        if len(have) != len(shape):
            raise refuse("rank", *all_marks(call, other), first=first, at=other)
        unlike = [dim for dim, (a, b) in enumerate(zip(shape, have, strict=True)) if differ(a, b)]
        if unlike:
            marks: list[Mark] = []
            for dim in unlike:
                marks.append(mark(call, At(first, dim), have[dim]))
                marks.append(mark(call, At(other, dim), shape[dim]))
            raise refuse("join", *marks, first=first, at=other)
    axis = axis_in(call, call.whole("dim", default=0), first, extra=1)
    dims = [
        Dim(size, SAME, tuple(dict.fromkeys(At(operand, dim) for operand in (first, *rest))))
        for dim, size in enumerate(shape)
    ]
    return Bound(call, ((*dims[:axis], new(len(parts)), *dims[axis:]),))


def _stack_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.whole("dim", default=0), extra=1)
    return Told(
        said(
            "A new dim {axis} of {n}: {n} tensors of {shape} side by side",
            axis=axis,
            n=step.out[axis],
            shape=ShapeOf(step.x),
        )
    )


def _stack_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind not in ("join", "rank"):
        return None
    if not refusal.violation.facts:
        return _empty_report("stack")
    first, other = refusal.facts["first"], refusal.facts["at"]
    place = refusal.call.tensors("tensors").index(other) + 1
    values = {
        "a": refusal.name(first, said("the first")),
        "name": refusal.name(other, said("tensor {number}", number=place)),
        "shape_a": refusal.shape(first),
        "shape_b": refusal.shape(other),
    }
    return Report(
        said("stack needs tensors of one shape: {shape_a} ≠ {shape_b}.", **values),
        (
            said(
                "stack puts tensors side by side along a new dimension, so {a} {shape_a} and "
                "{name} {shape_b} would have to be alike in every dimension. To join along an "
                "existing one, use cat.",
                **values,
            ),
        ),
    )


def _stack_cells(bound: Bound, number: int) -> Cells:
    """Each part at one place of the new dimension."""
    call, parts = bound.call, bound.call.tensors("tensors")
    cells = by_dims(bound, number)
    axis = axis_in(call, call.whole("dim", default=0), parts[0], extra=1)
    if len(set(parts)) < len(parts):
        return cells
    placed = tuple(
        each and replace(each, only=(axis, parts.index(operand)) if operand in parts else None)
        for operand, each in enumerate(cells.reaches)
    )
    return replace(cells, reaches=placed)


operation(
    "stack",
    bind=_stack,
    words=_stack_words,
    report=_stack_report,
    scene=Scene("join", cells=_stack_cells),
)
