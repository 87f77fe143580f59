"""Diagonals written into matrices: diag, diag_embed, block_diag and what fills a diagonal."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.ops.algebra import differ, known, product
from tracer.ops.axes import axis_in
from tracer.ops.bound import (
    RESIZED,
    Bound,
    Dim,
    all_marks,
    kept,
    mark,
    moved,
    new,
    refuse,
)
from tracer.ops.call import At, Call, Size, need
from tracer.ops.permute import diagonal_of
from tracer.ops.say import (
    Spoken,
    Told,
)
from tracer.ops.spec import operation
from tracer.sentences import said


def _side(length: Size, sources: Sequence[At]) -> Dim:
    """Rows or columns of a matrix whose diagonal these entries are."""
    if len(sources) == 1:
        return Dim(length, RESIZED, tuple(sources), moved=True)
    return new(length, sources=sources)


def _offset(call: Call, *names: str) -> int:
    offset = call.whole(*names, default=0)
    need(known(offset))
    return abs(int(offset or 0))


def _diag(call: Call) -> Bound:
    """A vector becomes a matrix, of a matrix the diagonal is left."""
    rank = call.first.rank
    if rank == 1:
        side = _side(call.first.shape[0] + _offset(call, "diagonal"), [At(0, 0)])
        return Bound(call, ((side, side),))
    if rank != 2:
        raise refuse("rank", *all_marks(call, 0), rank=1, ranks=(1, 2), at=0)
    return Bound(call, (diagonal_of(call, call.whole("diagonal", default=0), 0, 1),))


def _diag_words(step: Spoken) -> Told:
    if len(step.x) == 1:
        return Told(
            said("{arrow}: the values written along the diagonal of zeros", arrow=step.arrow)
        )
    return Told(said("{arrow}: the values of the diagonal", arrow=step.arrow))


def _diag_embed(call: Call) -> Bound:
    """The last dimension becomes the diagonal of a matrix in dimensions dim1 and dim2."""
    shape = call.first.shape
    first = axis_in(call, call.whole("dim1", default=-2), extra=1)
    second = axis_in(call, call.whole("dim2", default=-1), extra=1)
    if first == second:
        raise refuse("axis", *all_marks(call, 0), twice=first, at=0)
    if not shape:
        raise refuse("rank", rank=1, at=0)
    side = _side(shape[-1] + _offset(call, "offset"), [At(0, len(shape) - 1)])
    rest = iter(kept(call)[:-1])
    places = range(len(shape) + 1)
    return Bound(call, (tuple(side if d in (first, second) else next(rest) for d in places),))


def _diagflat(call: Call) -> Bound:
    shape = call.first.shape
    sources = [At(0, dim) for dim in range(len(shape))]
    side = _side(product(shape) + _offset(call, "offset"), sources)
    return Bound(call, ((side, side),))


def _embedded_words(step: Spoken) -> Told:
    return Told(said("{arrow}: the values written along the diagonals of zeros", arrow=step.arrow))


operation("diag", bind=_diag, words=_diag_words)
operation("diag_embed", bind=_diag_embed, words=_embedded_words)
operation("diagflat", bind=_diagflat, words=_embedded_words)


def _fill(call: Call) -> Bound:
    shape = call.first.shape
    if len(shape) < 2:
        raise refuse("rank", *all_marks(call, 0), rank=2, at=0)
    odd = [dim for dim, size in enumerate(shape) if differ(size, shape[0])]
    if len(shape) > 2 and odd:
        marks = mark(call, At(0, odd[0]), shape[0]), mark(call, At(0, 0), shape[odd[0]])
        raise refuse("square", *marks)
    return Bound(call, (tuple(map(moved, kept(call))),))


operation(
    "fill_diagonal",
    bind=_fill,
    words=lambda step: Told(said("Shape kept: the values of the diagonal set to one number")),
)


def _scatter(call: Call) -> Bound:
    first = axis_in(call, call.whole("dim1", default=0))
    second = axis_in(call, call.whole("dim2", default=1))
    source = call.position("src")
    wanted = diagonal_of(call, call.whole("offset", default=0), first, second)
    have = call.operands[source].shape
    if len(have) != len(wanted):
        raise refuse("rank", *all_marks(call, source), rank=len(wanted), at=source)
    for dim, (size, place) in enumerate(zip(have, wanted, strict=True)):
        if differ(size, place.size):
            found = mark(call, At(source, dim), place.size)
            raise refuse("index", found, wanted=place.size, found=size, source=source)
    ties = tuple((wanted[n].sources[0], At(source, n)) for n in range(len(wanted) - 1))
    dims = tuple(moved(d) if n in (first, second) else d for n, d in enumerate(kept(call)))
    return Bound(call, (dims,), ties)


operation(
    "diagonal_scatter",
    bind=_scatter,
    words=lambda step: Told(said("Shape kept: a copy with other values on the diagonal")),
)


def _blocks(call: Call) -> Bound:
    """Each block follows the one before, to the right and below."""
    rows: list[At] = []
    columns: list[At] = []
    height: Size = 0
    width: Size = 0
    for index in call.tensors("tensors"):
        shape = call.operands[index].shape
        if len(shape) > 2:
            raise refuse("rank", *all_marks(call, index), rank=2, ranks=(0, 1, 2), at=index)
        height = height + (shape[0] if len(shape) == 2 else 1)
        width = width + (shape[-1] if shape else 1)
        rows += [At(index, 0)] if len(shape) == 2 else []
        columns += [At(index, len(shape) - 1)] if shape else []
    need(bool(call.operands))
    return Bound(call, ((new(height, sources=rows), new(width, sources=columns)),))


operation(
    "block_diag",
    bind=_blocks,
    words=lambda step: Told(
        said("{n} blocks along the diagonal of a matrix of zeros", n=len(step.ins))
    ),
)
