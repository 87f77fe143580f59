"""Quantiles of values, the area under them and their slope."""

from __future__ import annotations

from dataclasses import replace

from tracer.ops.algebra import below, differ, known
from tracer.ops.axes import axes_in, axis_in
from tracer.ops.bound import (
    ANY_MORE,
    Bound,
    Dims,
    all_marks,
    kept,
    mark,
    moved,
    other_dtype,
    refuse,
    resized,
)
from tracer.ops.call import At, Call, need
from tracer.ops.reduce import along, along_report
from tracer.ops.say import (
    Spoken,
    Told,
)
from tracer.ops.spec import operation
from tracer.sentences import said


def _quantile(call: Call) -> Bound:
    """As a reduction, with a dimension in front for each quantile where several are asked for.

    Raises:
        Refused: kinds `dtype`, `rank`, `axis`, `range`, or `other` of the quantile of nothing.
    """
    x, several = call.first, call.tensor("q")
    if x.dtype not in ("float32", "float64"):
        raise other_dtype(call, 0, "float32")
    front: Dims = ()
    if several is not None:
        q = call.operands[several]
        if q.rank > 1:
            raise refuse("rank", *all_marks(call, several), rank=1, ranks=(0, 1), at=several)
        if q.dtype != x.dtype:
            raise other_dtype(call, several, x.dtype)
        front = kept(call, several)
        span = q.values.span() if q.values is not None else None
    else:
        span = (call.get("q"),) * 2
        need(isinstance(span[0], int | float))
    if span is not None and not 0 <= span[0] <= span[1] <= 1:
        raise refuse("range", low=span[0], high=span[1])
    found = along(call)
    return replace(found, results=((*front, *found.results[0]),))


def _quantile_words(step: Spoken) -> Told:
    value = step.call.get("dim")
    return Told(
        said(
            "{arrow}: the values below which given parts of all lie"
            if value is None
            else "{arrow}: the values below which given parts of all lie along dim {axis}",
            arrow=step.arrow,
            axis=None if value is None else axis_in(step.call, value),
        )
    )


operation("quantile nanquantile", bind=_quantile, words=_quantile_words, report=along_report)


def _area(call: Call) -> Bound:
    """The area under `y` along `dim`; the distances of its values may be places `x`.

    Raises:
        Refused: kinds `rank`, `axis`, `broadcast`.
    """
    y, x = call.position("y"), call.tensor("x")
    shape = call.operands[y].shape
    if not shape:
        raise refuse("rank", rank=1, ranks=tuple(range(1, ANY_MORE + 1)), at=y)
    axis = axis_in(call, call.get("dim", default=-1), y)
    ties: tuple[tuple[At, At], ...] = ()
    if x is not None:
        have = call.operands[x].shape
        if len(have) == 1:
            if differ(have[0], shape[axis]):
                marks = mark(call, At(x, 0), shape[axis]), mark(call, At(y, axis), have[0])
                raise refuse("broadcast", *marks, wanted=shape[axis], found=have[0])
            ties = ((At(y, axis), At(x, 0)),)
        else:
            need(len(have) == len(shape) and not any(map(differ, have, shape)))
            ties = tuple((At(y, dim), At(x, dim)) for dim in range(len(shape)))
    dims = list(kept(call, y))
    if call.op.startswith("cumulative"):
        size = shape[axis] - 1
        dims[axis] = resized(call, At(y, axis), max(size, 0) if known(size) else size)
    else:
        del dims[axis]
    return Bound(call, (tuple(dims),), ties)


def _area_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.get("dim", default=-1))
    return Told(
        said(
            "{arrow}: the area under the values along dim {axis} up to each place"
            if step.name.startswith("cumulative")
            else "{arrow}: the area under the values along dim {axis}",
            arrow=step.arrow,
            axis=axis,
        )
    )


operation("trapezoid trapz cumulative_trapezoid", bind=_area, words=_area_words)


def _gradient(call: Call) -> Bound:
    """One result for each dimension, all of the shape of the input.

    Raises:
        Refused: kinds `axis`, or `kernel` of a dimension with too few values for a slope.
    """
    value, order = call.get("dim"), call.whole("edge_order", default=1)
    need(bool(call.operands) and len(call.operands) == 1 and known(order))
    if not call.first.rank:
        if value is not None:
            raise refuse("rank", rank=1, ranks=tuple(range(1, ANY_MORE + 1)), at=0)
        return Bound(call)
    axes = tuple(range(call.first.rank)) if value is None else axes_in(call, value)
    spacing = call.get("spacing")
    if isinstance(spacing, tuple | list) and len(spacing) != len(axes):
        raise refuse("arguments", argument="spacing", given=tuple(spacing), count=len(axes))
    results = []
    for axis in axes:
        if below(call.first.shape[axis], (order or 1) + 1):
            raise refuse("kernel", mark(call, At(0, axis)), least=(order or 1) + 1)
        results.append(tuple(moved(d) if n == axis else d for n, d in enumerate(kept(call))))
    return Bound(call, tuple(results))


operation(
    "gradient",
    bind=_gradient,
    words=lambda step: Told(said("{n} tensors: the slope along each dim", n=len(step.outs))),
)
