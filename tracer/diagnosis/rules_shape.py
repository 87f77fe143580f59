"""Shapes: broadcasting and axes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rules import (
    Case,
    broadcast_break,
    dims,
    kind_of,
    rule,
    tensors_of,
)
from tracer.ops.names import shape_text


@rule("masked_fill", "masked_scatter", "masked_select")
def masked(case: Case, input: Tensor, mask: Tensor, *_: Any, **__: Any) -> Finding | None:
    x, m = case.name(input, "the input"), case.name(mask, "the mask")
    if mask.dtype != torch.bool:
        return case.found(
            "dtype",
            f"{case.crash.op} needs a mask of bool: {m} is {kind_of(mask.dtype)}.",
            f"A mask says yes or no for each place. `{m}.bool()` makes zeros no and all else yes.",
            mask=case.position(mask),
            operand=case.position(mask),
            found_dtype=kind_of(mask.dtype),
            wanted_dtype="bool",
        )
    broken = broadcast_break(tuple(input.shape), tuple(mask.shape))
    if broken is None:
        return None
    dim_a, size_a, dim_b, size_b = broken
    return case.found(
        "mask",
        f"A mask needs sizes equal to those of what it is laid on, or 1: {size_b} ≠ {size_a} "
        f"({shape_text(mask)} on {shape_text(input)}).",
        f"{m} {shape_text(mask)} is laid on {x} {shape_text(input)} from the right: its dimension "
        f"{dim_b} is {size_b}, where {x} has {size_a}."
        + (
            f" {m} has {dims(mask.dim())} and {x} {input.dim()}; the missing ones are put on the "
            "left, which may not be where they belong."
            if mask.dim() < input.dim()
            else ""
        ),
        (mask, dim_b, size_a),
        (input, dim_a, size_b),
        wanted=size_a,
        found=size_b,
    )


_BINARY = """
    add sub mul div pow floor_divide floordiv remainder mod fmod true_divide
    divide multiply subtract maximum minimum max min fmax fmin eq ne lt gt le
    ge and or xor logical_and logical_or logical_xor bitwise_and bitwise_or
    bitwise_xor atan2 hypot lerp addcmul addcdiv where masked_fill
    masked_scatter broadcast_tensors dist cosine_similarity pairwise_distance
    mse_loss l1_loss smooth_l1_loss huber_loss kl_div isclose allclose copy"""


@rule(*_BINARY.split())
def broadcast(case: Case, *args: Any, **kwargs: Any) -> Finding | None:
    tensors = tensors_of([args, kwargs])
    for number, first in enumerate(tensors):
        for second in tensors[number + 1 :]:
            found = _broadcast(case, first, second)
            if found is not None:
                return found
    name = getattr(case.crash.function, "__name__", "")
    in_place = name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))
    if in_place and len(tensors) > 1:
        target = tensors[0]
        shape = _broadcast_all(tensors)
        if shape != tuple(target.shape):
            return _cannot_grow(case, target, tensors[1], shape)
    return None


def _broadcast(case: Case, first: Tensor, second: Tensor) -> Finding | None:
    broken = broadcast_break(tuple(first.shape), tuple(second.shape))
    if broken is None:
        return None
    dim_a, size_a, dim_b, size_b = broken
    a, b = case.name(first, "the first"), case.name(second, "the second")
    reason = (
        f"Shapes are compared from the right. {a} {shape_text(first)} has {size_a} in dimension "
        f"{dim_a}, and {b} {shape_text(second)} has {size_b} in dimension {dim_b}; only equal "
        "sizes go together, or a size of 1, which is repeated."
    )
    if first.dim() != second.dim():
        few, many = (first, second) if first.dim() < second.dim() else (second, first)
        reason += (
            f" {case.name(few, 'one')} has {dims(few.dim())} and {case.name(many, 'the other')} "
            f"{many.dim()}: torch puts the missing ones on the left."
        )
    elif sorted(first.shape) == sorted(second.shape):
        reason += " Both have the same sizes in another order."
    return case.found(
        "broadcast",
        f"{case.written} needs sizes that are equal or 1: {size_a} ≠ {size_b} "
        f"({shape_text(first)} and {shape_text(second)}).",
        reason,
        (first, dim_a, size_b),
        (second, dim_b, size_a),
        check=f"See why {a} has {size_a} and {b} has {size_b} there.",
        wanted=size_b,
        found=size_a,
    )


def _broadcast_all(tensors: list[Tensor]) -> tuple[int, ...]:
    """The shape of tensors that do broadcast."""
    rank = max(tensor.dim() for tensor in tensors)
    shapes = [(1,) * (rank - tensor.dim()) + tuple(tensor.shape) for tensor in tensors]
    return tuple(next((n for n in sizes if n != 1), 1) for sizes in zip(*shapes, strict=True))


def _cannot_grow(case: Case, target: Tensor, other: Tensor, shape: tuple[int, ...]) -> Finding:
    name, value = case.name(target, "the left side"), case.name(other, "the right side")
    back = next(
        b
        for b in range(1, len(shape) + 1)
        if b > target.dim() or int(target.shape[-b]) != shape[-b]
    )
    marks: list[tuple[Any, int, int | None]] = []
    if back <= target.dim():
        marks.append((target, target.dim() - back, shape[-back]))
    if back <= other.dim():
        marks.append((other, other.dim() - back, None))
    return case.found(
        "broadcast",
        f"An operation in place cannot change the shape of what it writes to: the result would be "
        f"{shape_text(shape)}, and {name} is {shape_text(target)}.",
        f"{value} {shape_text(other)} would stretch {name} {shape_text(target)} to "
        f"{shape_text(shape)}. Written in place there is no room for that.",
        *marks,
        check=f"Write `{name} = {name} + …` if the larger result is meant.",
        in_place=True,
    )


# --- axes ----------------------------------------------------------------------------------------


def no_axis(case: Case, tensor: Tensor, dim: int) -> Finding:
    x, rank = case.name(tensor, "the tensor"), tensor.dim()
    op = case.crash.op or "this"
    legal = f"{-rank} to {rank - 1}" if rank else "none"
    return case.found(
        "axis",
        f"{op} asks for dimension {dim}, and {x} {shape_text(tensor)} has {dims(tensor.dim())}: "
        f"legal are {legal}.",
        f"Dimensions are counted from 0, so the last one of {x} is {rank - 1} (or -1). A dimension "
        "is missing that was there when this line was thought of, or the number is one too high.",
        *((tensor, d, None) for d in range(tensor.dim())),
        check=f"See whether {x} lost a dimension before this line.",
        dim=dim,
        rank=rank,
    )


_DIM_SECOND = """softmax log_softmax argmax argmin sum mean std var prod max min amax amin norm
    logsumexp cumsum cumprod any all median mode argsort sort glu softmin kthvalue count_nonzero
    diff nansum nanmean aminmax cross logcumsumexp"""
_TOPK = ("topk", "kthvalue")
_DIM_LATER = {"diff": 2, "topk": 2, "kthvalue": 2, "cross": 2, "norm": 2}


@rule(*_DIM_SECOND.split(), *_TOPK)
def axis(case: Case, input: Tensor, *args: Any, **kwargs: Any) -> Finding | None:
    op = case.crash.op
    named = [kwargs[n] for n in ("dim", "axis", "dims") if n in kwargs]
    at = _DIM_LATER.get(op, 1) - 1
    for value in (*args[at : at + 1], *named):
        for dim in value if isinstance(value, list | tuple) else (value,):
            if isinstance(dim, bool) or not isinstance(dim, int):
                continue
            rank = max(input.dim(), 1)
            if not -rank <= dim < rank:
                return no_axis(case, input, dim)
    return None


@rule("topk", "kthvalue")
def topk(case: Case, input: Tensor, k: int, dim: int = -1, *_: Any, **__: Any) -> Finding | None:
    if not input.dim() or not -input.dim() <= dim < input.dim():
        return None
    at = dim % input.dim()
    size, x = int(input.shape[at]), case.name(input, "the tensor")
    if k <= size:
        return None
    return case.found(
        "range",
        f"{case.crash.op} takes {k} of dimension {at}, which has {size}: {k} > {size}.",
        f"{x} is {shape_text(input)}, so there are only {size} entries to choose from.",
        (input, at, None),
        check=f"Ask for at most {size}: `min(k, {x}.size({dim}))`.",
        wanted=k,
        found=size,
    )
