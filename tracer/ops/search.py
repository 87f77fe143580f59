"""Places and counts: searchsorted and bucketize, isin, take, bins, and numbers drawn."""

from __future__ import annotations

from tracer.document import TensorAt
from tracer.ops.algebra import below, differ, known, product
from tracer.ops.bound import (
    Bound,
    all_marks,
    kept,
    mark,
    new,
    other_dtype,
    refuse,
    same,
    too_small,
)
from tracer.ops.call import At, Call, Operand, need
from tracer.ops.say import (
    Spoken,
    Told,
)
from tracer.ops.spec import operation
from tracer.sentences import said

_WHOLE = ("uint8", "int8", "int16", "int32", "int64")
_FLOATS = ("float16", "bfloat16", "float32", "float64")

# --- among sorted numbers ------------------------------------------------------------------------


def _searchsorted(call: Call) -> Bound:
    """Each value finds its place among the last dimension of the sorted ones: one row for all, or
    one for each row of values."""
    sorted_, values = call.position("sorted_sequence"), call.tensor("input")
    have = call.operands[sorted_].shape
    sorter = call.tensor("sorter")
    if sorter is not None:
        _check_sorter(call, sorter, sorted_)
    if not have:
        raise refuse("rank", rank=1, at=sorted_)
    if values is None:
        if len(have) != 1:
            raise refuse("rank", *all_marks(call, sorted_), rank=1, at=sorted_)
        return Bound(call, ((),))
    shape = call.operands[values].shape
    if len(have) > 1 and len(have) != len(shape):
        marks = all_marks(call, values)
        raise refuse("rank", *marks, rank=len(have), ranks=(len(have),), at=values)
    ties = []
    for dim in range(len(have) - 1):
        one, two = At(sorted_, dim), At(values, dim)
        if differ(have[dim], shape[dim]):
            marks = mark(call, one, shape[dim]), mark(call, two, have[dim])
            raise refuse("batch", *marks, wanted=shape[dim], found=have[dim])
        ties.append((two, one))
    return Bound(call, (kept(call, values),), tuple(ties))


def _check_sorter(call: Call, sorter: int, sorted_: int) -> None:
    have, want = call.operands[sorter], call.operands[sorted_]
    if have.dtype != "int64":
        raise other_dtype(call, sorter, "int64")
    if have.rank != want.rank or any(map(differ, have.shape, want.shape)):
        raise refuse("index", *all_marks(call, sorter), wanted=want.shape, found=have.shape)


def _bucketize(call: Call) -> Bound:
    boundaries, values = call.position("boundaries"), call.tensor("input")
    if call.operands[boundaries].rank != 1:
        raise refuse("rank", *all_marks(call, boundaries), rank=1, at=boundaries)
    if values is None:
        return Bound(call, ((),))
    return Bound(call, (kept(call, values),))


def _found_words(step: Spoken) -> Told:
    return Told(said("Each value replaced by its place among the sorted ones"))


operation("searchsorted", bind=_searchsorted, words=_found_words, whole=True)
operation("bucketize", bind=_bucketize, words=_found_words, whole=True)


def _isin(call: Call) -> Bound:
    values = call.tensor("elements")
    return Bound(call, (kept(call, values) if values is not None else (),))


operation(
    "isin",
    bind=_isin,
    words=lambda step: Told(said("True where a value is one of the others")),
    whole=True,
)

# --- by number -----------------------------------------------------------------------------------


def _take(call: Call) -> Bound:
    """Positions among all elements, in the order of memory.

    Raises:
        Refused: kinds `dtype`, `range`.
    """
    at = call.position("index")
    index = call.operands[at]
    if index.dtype != "int64":
        raise refuse("dtype", operand=TensorAt(at), found_dtype=index.dtype, wanted_dtype="int64")
    number, span = product(call.first.shape), _span(index)
    if known(number) and span is not None and (span[0] < -number or span[1] >= number):
        raise refuse("range", *all_marks(call, 0), wanted=span[1] + 1, found=number)
    need(not known(number) or number > 0 or 0 in index.shape)
    return Bound(call, (tuple(same(call, At(at, dim)) for dim in range(index.rank)),))


def _span(operand: Operand) -> tuple[int, int] | None:
    return operand.values.span() if operand.values is not None else None


operation(
    "take",
    bind=_take,
    words=lambda step: Told(
        said("{arrow}: entries picked by their number among all", arrow=step.arrow)
    ),
)


def _unravel(call: Call) -> Bound:
    shape = call.sizes("shape")
    need(shape is not None and all(map(known, shape)))
    return Bound(call, (kept(call, call.position("indices")),) * len(shape or ()))


operation(
    "unravel_index",
    bind=_unravel,
    words=lambda step: Told(said("Each number among all elements as positions in every dimension")),
    whole=True,
)

# --- counts --------------------------------------------------------------------------------------


def _bincount(call: Call) -> Bound:
    """As many bins as the largest number needs, which the values alone say."""
    x, weights = call.first, call.tensor("weights")
    if x.rank != 1:
        raise refuse("rank", *all_marks(call, 0), rank=1, at=0)
    if x.dtype not in _WHOLE:
        raise other_dtype(call, 0, "int64")
    least = call.whole("minlength", default=0)
    if below(least, 0):
        raise too_small("minlength", least, 0)
    if weights is not None:
        shape = call.operands[weights].shape
        if len(shape) != 1 or differ(shape[0], x.shape[0]):
            raise refuse("index", *all_marks(call, weights), wanted=x.shape[0], found=shape)
    ties = ((At(0, 0), At(weights, 0)),) if weights is not None else ()
    if x.values is None:
        need(bool(call.results) and call.results[0].rank == 1)
        return Bound(call, (tuple(map(new, call.results[0].shape)),), ties)
    span = _span(x)
    if span is not None and span[0] < 0:
        raise refuse("range", mark(call, At(0, 0)), wanted=0, found=span[0])
    return Bound(call, ((new(max(least or 0, span[1] + 1 if span else 0)),),), ties)


operation(
    "bincount",
    bind=_bincount,
    words=lambda step: Told(said("{n} bins: how often each whole number occurs", n=step.out[0])),
)


def _histc(call: Call) -> Bound:
    bins = call.whole("bins", default=100)
    if below(bins, 1):
        raise too_small("bins", bins, 1)
    return Bound(call, ((new(bins),),))


operation(
    "histc",
    bind=_histc,
    words=lambda step: Told(said("{n} bins: how many values fall into each", n=step.out[0])),
)


def _multinomial(call: Call) -> Bound:
    """Numbers of classes, drawn with the weights of a row."""
    x, count = call.first, call.size("num_samples")
    if x.rank not in (1, 2):
        raise refuse("rank", *all_marks(call, 0), rank=1, ranks=(1, 2), at=0)
    if x.dtype not in _FLOATS:
        raise other_dtype(call, 0, "float32")
    if below(count, 1):
        raise too_small("num_samples", count, 1)
    if not call.flag("replacement") and below(x.shape[-1], count):
        at = At(0, x.rank - 1)
        raise refuse("range", mark(call, at, count), wanted=count, found=x.shape[-1])
    return Bound(call, ((*kept(call)[:-1], new(count)),))


operation(
    "multinomial",
    bind=_multinomial,
    words=lambda step: Told(
        said("{arrow}: {n} classes drawn for each row of weights", arrow=step.arrow, n=step.out[-1])
    ),
    whole=True,
)
