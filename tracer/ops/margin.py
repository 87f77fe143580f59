"""Losses with margins, with several labels, and with a variance of their own."""

from __future__ import annotations

from dataclasses import replace

from tracer.ops.algebra import below, differ, is_one, known, product
from tracer.ops.bound import Bound, Dims, all_marks, broadcast, mark, refuse, same
from tracer.ops.call import At, Call, Shape
from tracer.ops.loss import left, scores_and_target
from tracer.ops.say import (
    Words,
    loss_told,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layers
from tracer.sentences import Said, said


def _words(what: Said) -> Words:
    return lambda step: loss_told(step, what)


def _cut(call: Call, operands: tuple[int, ...], axis: int) -> Call:
    """The call as if these operands had no dimension `axis`."""
    return replace(
        call,
        operands=tuple(
            replace(each, shape=(*each.shape[:axis], *each.shape[axis + 1 :]))
            if index in operands
            else each
            for index, each in enumerate(call.operands)
        ),
    )


# --- two vectors ---------------------------------------------------------------------------------


def _cosine(call: Call) -> Bound:
    """Rows (N, D) with (N,) targets, or two vectors with one."""
    first, second, target = (call.position(n) for n in ("input1", "input2", "target"))
    rank = call.operands[target].rank
    if rank > 1:
        raise refuse("rank", *all_marks(call, target), rank=1, ranks=(0, 1), at=target)
    for each in (first, second):
        if call.operands[each].rank != rank + 1:
            marks = all_marks(call, each)
            raise refuse("rank", *marks, rank=rank + 1, ranks=(rank + 1,), at=each)
    _, ties = broadcast(call, (first, second))
    dims, more = broadcast(_cut(call, (first, second), rank), (first, second, target))
    return Bound(call, left(call, dims), ties + more)


operation(
    "cosine_embedding_loss",
    bind=_cosine,
    words=_words(said("how far the angles are from near and far")),
)

# --- classes -------------------------------------------------------------------------------------


def _scores(call: Call) -> tuple[int, int]:
    """(N, C) or (C,), with at least one class."""
    x, target = scores_and_target(call)
    operand = call.operands[x]
    if operand.rank > 2:
        raise refuse("rank", *all_marks(call, x), rank=2, ranks=(1, 2), at=x)
    if operand.rank and below(operand.shape[-1], 1):
        raise refuse("kernel", mark(call, At(x, operand.rank - 1)), empty=True)
    return x, target


def _check_classes(call: Call, x: int, target: int, least: int) -> None:
    """Raises:
    Refused: kinds `dtype`, `range`, the target does not name classes."""
    named, shape = call.operands[target], call.operands[x].shape
    if named.dtype != "int64":
        raise refuse("dtype", *(), found_dtype=named.dtype, wanted_dtype="int64")
    classes = shape[-1] if shape else 1
    span = named.values.span() if named.values is not None else None
    if span is not None and known(classes) and (span[0] < least or span[1] >= classes):
        marks = (mark(call, At(x, len(shape) - 1), span[1] + 1),) if shape else ()
        raise refuse("range", *marks, wanted=span[1] + 1, found=classes)


def _multi_margin(call: Call) -> Bound:
    x, target = _scores(call)
    scores, have = call.operands[x].shape, call.operands[target].shape
    samples = scores[0] if len(scores) == 2 else 1
    if len(have) > 1:
        raise refuse("rank", *all_marks(call, target), rank=1, ranks=(0, 1), at=target)
    if differ(product(have), samples):
        marks = [mark(call, At(target, 0), samples)] if have else []
        marks += [mark(call, At(x, 0), have[0] if have else 1)] if len(scores) == 2 else []
        raise refuse("target", *marks, wanted=scores[:-1], found=have, layout="")
    weight, classes = call.tensor("weight"), scores[-1] if scores else 1
    if weight is not None:
        shape = call.operands[weight].shape
        if len(shape) != 1 or differ(shape[0], classes):
            raise refuse("features", *all_marks(call, weight), weight=weight)
    _check_classes(call, x, target, 0)
    dims: Dims = ()
    if have:
        pair = (At(target, 0), At(x, 0)) if len(scores) == 2 else (At(target, 0),)
        dims = (same(call, *pair),)
    return Bound(call, left(call, dims))


def _multi_label(call: Call) -> Bound:
    """The target names the right classes of each sample, and ends with -1."""
    x, target = _scores(call)
    scores, have = call.operands[x].shape, call.operands[target].shape
    alike = len(scores) == len(have) and not any(map(differ, scores, have))
    if not alike and (max(len(scores), len(have)) > 1 or differ(product(scores), product(have))):
        raise refuse("target", *all_marks(call, target), wanted=scores, found=have, layout="")
    _check_classes(call, x, target, -1)
    ties = tuple((At(x, dim), At(target, dim)) for dim in range(min(len(scores), len(have))))
    return Bound(call, left(call, (same(call, *ties[0]),) if len(scores) == 2 else ()), ties)


def _soft_margin(call: Call) -> Bound:
    """A number for each class, put together along the classes, the last dimension."""
    x, target = scores_and_target(call)
    rank = call.operands[x].rank
    if not rank:
        raise refuse("rank", rank=1, at=x)
    weight = call.tensor("weight")
    operands = (x, target) if weight is None else (x, target, weight)
    dims, ties = broadcast(call, operands)
    return Bound(call, left(call, (*dims[: rank - 1], *dims[rank:])), ties)


operation("multi_margin_loss", bind=_multi_margin, words=_words(said("how badly the scores fit")))
operation(
    "multilabel_margin_loss",
    bind=_multi_label,
    words=_words(said("how badly the scores fit the classes of each sample")),
)
operation(
    "multilabel_soft_margin_loss",
    bind=_soft_margin,
    words=_words(said("how badly the scores fit yes or no for each class")),
)

# --- a variance ----------------------------------------------------------------------------------


def _gaussian(call: Call) -> Bound:
    """The variance has the input's shape, or 1 in one dimension, or lacks the last."""
    x, target = scores_and_target(call)
    variance = call.tensor("var")
    operands: tuple[int, ...] = (x, target)
    if variance is not None:
        _check_variance(call, x, variance)
        shape, have = call.operands[x].shape, call.operands[variance].shape
        if len(have) == len(shape):
            operands = (x, target, variance)
    dims, ties = broadcast(call, operands)
    if variance is not None and variance not in operands:
        have = call.operands[variance].shape
        ties += tuple((At(x, dim), At(variance, dim)) for dim in range(len(have)))
    return Bound(call, left(call, dims), ties)


def _check_variance(call: Call, x: int, variance: int) -> None:
    shape, have = call.operands[x].shape, call.operands[variance].shape
    if _equal(shape, have) or (shape and _equal(shape[:-1], have)):
        return
    if len(shape) == len(have):
        odd = [dim for dim, (a, b) in enumerate(zip(shape, have, strict=True)) if differ(a, b)]
        if sum(1 for dim in odd if is_one(have[dim])) == 1 and all(
            is_one(have[dim]) or not differ(have[dim], 0) for dim in odd
        ):
            return
        raise refuse("target", *(mark(call, At(variance, d), shape[d]) for d in odd))
    raise refuse("rank", *all_marks(call, variance), rank=len(shape), at=variance)


def _equal(one: Shape, two: Shape) -> bool:
    return len(one) == len(two) and not any(map(differ, one, two))


operation(
    "gaussian_nll_loss",
    bind=_gaussian,
    words=_words(said("how unlikely the targets are under normal distributions")),
)
layers(
    cosine_embedding_loss="CosineEmbeddingLoss",
    multi_margin_loss="MultiMarginLoss",
    multilabel_margin_loss="MultiLabelMarginLoss",
    multilabel_soft_margin_loss="MultiLabelSoftMarginLoss",
    gaussian_nll_loss="GaussianNLLLoss",
)
