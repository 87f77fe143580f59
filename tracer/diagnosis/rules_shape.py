"""Shapes: broadcasting, view and its kin, cat and stack, axes, indexing, splitting."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


@rule("expand", "expand_as", "broadcast_to")
def expand(case: Case, input: Tensor, *sizes: Any, size: Any = None) -> Finding | None:
    other = next(iter(tensors_of(list(sizes))), None)
    wanted = _sizes(sizes if size is None else (size,)) if other is None else tuple(other.shape)
    x, op = case.name(input, "the tensor"), case.crash.op
    if len(wanted) < input.dim():
        return case.found(
            "rank",
            f"{op} cannot take dimensions away: {x} has {input.dim()} and {shape_text(wanted)} "
            f"only {len(wanted)}.",
            f"{x} is {shape_text(input)}. {op} repeats dimensions of size 1 and adds new ones on "
            "the left; it never drops one.",
            *((input, dim, None) for dim in range(input.dim() - len(wanted))),
            rank=len(wanted),
        )
    for back in range(1, input.dim() + 1):
        have, want = int(input.shape[-back]), wanted[-back]
        if want != -1 and have not in (1, want):
            dim = input.dim() - back
            marks: list[tuple[Any, int, int | None]] = [(input, dim, want)]
            if other is not None:
                marks.append((other, other.dim() - back, have))
            return case.found(
                "broadcast",
                f"{op} repeats dimensions of size 1 only: {have} cannot become {want} in dimension "
                f"{dim}.",
                f"{x} {shape_text(input)} is laid against {shape_text(wanted)} from the right, and "
                f"there {have} meets {want}. Only a size of 1 can be repeated"
                + (
                    f"; with {dims(input.dim())} against {len(wanted)}, a dimension of 1 may be "
                    "missing on the right."
                    if input.dim() < len(wanted)
                    else "."
                ),
                *marks,
                wanted=want,
                found=have,
                shape=wanted,
            )
    return None


@rule("view", "reshape", "view_as", "reshape_as", "unflatten")
def view(case: Case, input: Tensor, *sizes: Any, **kwargs: Any) -> Finding | None:
    op = case.crash.op
    if op == "unflatten":
        return _unflatten(case, input, *sizes, **kwargs)
    other = next(iter(tensors_of(list(sizes))), None)
    given = sizes or tuple(kwargs.values())
    flat = tuple(map(int, other.shape)) if other is not None else _sizes(given)
    x = case.name(input, "the tensor")
    wanted = [size for size in flat if size != -1]
    number, product = input.numel(), math.prod(wanted)
    written = shape_text(flat)
    if any(not isinstance(size, int) for size in flat):
        return None
    if flat.count(-1) > 1:
        return case.found(
            "numel",
            f"{op} can work out one size of -1, not {flat.count(-1)}.",
            f"{written} leaves {flat.count(-1)} sizes open, and many shapes would do.",
            shape=flat,
        )
    if any(size < -1 for size in flat):
        return case.found(
            "numel",
            f"{op} needs sizes of 0 or more: {min(flat)} is negative.",
            f"{written} holds a negative size; only -1 has a meaning, the size that is left over.",
            shape=flat,
        )
    if (-1 in flat and product and number % product) or (-1 not in flat and product != number):
        return _numel(case, op, input, x, flat, number, product)
    try:
        with torch.device("meta"):
            fits = torch.empty_strided(input.shape, input.stride()).view(flat)
        del fits
    except RuntimeError:
        return case.found(
            "stride",
            f"view needs neighbouring elements side by side in memory: {x} {shape_text(input)} has "
            f"strides {shape_text(input.stride())} and cannot be seen as {written} without a copy.",
            f"{x} was transposed, permuted or cut out, so its elements lie in memory in another "
            "order than its shape says, and view never copies. `reshape`, or `.contiguous()` "
            "before it, copies where that is needed.",
            shape=flat,
        )
    return None


def _numel(
    case: Case,
    op: str,
    input: Tensor,
    x: str,
    flat: tuple[int, ...],
    number: int,
    product: int,
) -> Finding:
    written = shape_text(flat)
    times = "·".join(str(size) for size in flat if size != -1)
    times = f"{times} = {product}" if sum(size != -1 for size in flat) > 1 else f"{product}"
    if -1 in flat:
        rule_text = (
            f"{op} keeps the number of elements: {x} {shape_text(input)} has {number}, which is no "
            f"multiple of {times}."
        )
    else:
        rule_text = (
            f"{op} keeps the number of elements: {x} {shape_text(input)} has {number}, and "
            f"{written} holds {times}: {number} ≠ {product}."
        )
    heads = _heads(tuple(input.shape), flat)
    kind, facts = "numel", dict[str, Any](shape=flat, numel=number, product=product)
    marks: list[tuple[Any, int, int | None]] = []
    if heads is not None:
        dim, size, parts, each = heads
        kind = "heads"
        reason = (
            f"The {size} of dimension {dim} were to be cut into {parts} parts of {each}, and "
            f"{parts}·{each} is {parts * each}: {size} does not divide by {parts}."
        )
        marks = [(input, dim, None)]
        facts |= {"dim": dim, "size": size, "parts": parts, "each": each}
    elif input.dim() and input.shape[0] not in flat[:1] and -1 not in flat:
        batch = int(input.shape[0])
        reason = f"The sizes {written} are for {product} elements, and {x} has {number}."
        if batch and number % batch == 0 and product == number // batch:
            reason += (
                f" That is one sample: the first dimension of {x}, {batch}, is not among them."
            )
        elif product and number % product == 0:
            reason += f" It has {number // product} times as many."
        marks = [(input, dim, None) for dim in _unmatched(tuple(input.shape), flat)]
    else:
        marks = [(input, dim, None) for dim in _unmatched(tuple(input.shape), flat)]
        rest = [int(input.shape[dim]) for _, dim, _ in marks]
        left = "·".join(map(str, rest)) + (f" = {math.prod(rest)}" if len(rest) > 1 else "")
        asked = [flat[i] for i in _unmatched(flat, tuple(input.shape)) if flat[i] != -1]
        whole = "·".join(map(str, asked)) + (f" = {math.prod(asked)}" if len(asked) > 1 else "")
        alike = "Beside the sizes that agree, " if len(rest) < input.dim() else ""
        if not rest or not asked:
            reason = f"The sizes {written} do not use up the {number} elements of {x}."
        elif -1 in flat:
            reason = (
                f"{alike}{x} {shape_text(input)} has {left}, and {whole} does not go into that "
                "without a remainder."
            )
            batch = int(input.shape[0])
            if flat[0] == -1 and batch > 1 and number % batch == 0 and len(rest) == input.dim():
                reason += f" Each of the {batch} samples has {number // batch} numbers."
        else:
            reason = f"{alike}{x} {shape_text(input)} has {left}, and {written} asks for {whole}."
        reason = reason[0].upper() + reason[1:] if alike else reason
    return case.found(
        kind,
        rule_text,
        reason,
        *marks,
        check=f"See what shape {x} really has before this {op}, and which of the sizes in "
        f"{written} were counted for another input.",
        **facts,
    )


def _heads(shape: tuple[int, ...], flat: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """(dim, its size, parts, size of each) where `dim` was split into two sizes whose product falls
    short of it by the remainder of the division."""
    for dim, size in enumerate(shape):
        before, after = shape[:dim], shape[dim + 1 :]
        start = len(before)
        if len(flat) != len(shape) + 1:
            continue
        a, b = flat[start], flat[start + 1]
        same = all(x in (-1, y) for x, y in zip(flat[:start], before, strict=True)) and all(
            x in (-1, y) for x, y in zip(flat[start + 2 :], after, strict=True)
        )
        if same and a > 1 and b > 1 and a * b < size:
            if size // a == b and size % a:
                return dim, size, a, b
            if size // b == a and size % b:
                return dim, size, b, a
    return None


def _unmatched(shape: tuple[int, ...], other: tuple[int, ...]) -> list[int]:
    """The dimensions left when equal sizes at both ends are struck out."""
    front = 0
    while front < min(len(shape), len(other)) and shape[front] == other[front]:
        front += 1
    back = 0
    while back < min(len(shape), len(other)) - front and shape[-1 - back] == other[-1 - back]:
        back += 1
    return list(range(front, len(shape) - back))


def _unflatten(case: Case, input: Tensor, dim: Any, sizes: Any, **_: Any) -> Finding | None:
    at = dim % input.dim()
    size, product = int(input.shape[at]), math.prod(s for s in sizes if s != -1)
    if (-1 in sizes and size % product) or (-1 not in sizes and size != product):
        x = case.name(input, "the tensor")
        times = "·".join(str(s) for s in sizes if s != -1)
        return case.found(
            "numel",
            f"unflatten needs sizes whose product is the size of dimension {at}: {times} = "
            f"{product} and {size} do not match.",
            f"Dimension {at} of {x} {shape_text(input)} is {size}; it was to be cut into "
            f"{shape_text(sizes)}.",
            (input, at, None),
            shape=tuple(sizes),
        )
    return None


def _sizes(given: Sequence[Any]) -> tuple[Any, ...]:
    """The sizes of `view(2, 3)` and of `view((2, 3))`."""
    if len(given) == 1 and isinstance(given[0], list | tuple):
        given = given[0]
    return tuple(int(size) if hasattr(size, "__index__") else size for size in given)


def _would_join(parts: list[Tensor], dim: int) -> str | None:
    """What would make two tensors fit: another dimension to join along, or one of them turned."""
    if len(parts) != 2 or parts[0].dim() != parts[1].dim():
        return None
    first, second = (tuple(map(int, part.shape)) for part in parts)
    differ = [d for d in range(len(first)) if first[d] != second[d]]
    if len(differ) == 1 and differ[0] == len(first) - 1:
        return f"They differ in dimension {differ[0]} alone: along that one they can be joined."
    for a in range(1, len(second)):
        for b in range(a + 1, len(second)):
            turned = list(second)
            turned[a], turned[b] = turned[b], turned[a]
            if all(turned[d] == first[d] for d in range(len(first)) if d != dim):
                return (
                    f"With its dimensions {a} and {b} exchanged the second would be "
                    f"{shape_text(turned)}, which fits."
                )
    return None


@rule("cat", "concat", "concatenate", "hstack", "vstack", "dstack")
def cat(case: Case, tensors: Any, dim: int = 0, **kwargs: Any) -> Finding | None:
    parts = tensors_of(tensors)
    dim = kwargs.get("axis", dim)
    op = case.crash.op
    if not parts:
        return case.found(
            "join",
            f"{op} needs at least one tensor: the list is empty.",
            "Nothing was put into the list before this line.",
        )
    if op == "hstack":
        dim = 0 if parts[0].dim() <= 1 else 1
    if op == "vstack":
        dim = 0
    if op == "dstack":
        dim = 2
    first = max(parts, key=lambda part: part.dim()) if op == "cat" else parts[0]
    first = parts[0] if parts[0].numel() or parts[0].dim() > 1 else first
    a = case.name(first, "the first")
    if first.dim() == 0:
        return case.found(
            "rank",
            f"{op} needs at least 1 dimension in each tensor: {a} has none.",
            "Single numbers are joined with `torch.stack`, which makes a new dimension.",
        )
    if not -first.dim() <= dim < first.dim():
        return no_axis(case, first, dim)
    for number, part in enumerate(parts, start=1):
        name = case.name(part, f"tensor {number}")
        if part.dim() == 1 and part.numel() == 0:
            continue  # torch lets an empty one pass, as the start of a loop that joins
        if part.dim() != first.dim():
            few, many = (part, first) if part.dim() < first.dim() else (first, part)
            return case.found(
                "rank",
                f"{op} needs the same number of dimensions in all: {first.dim()} ≠ {part.dim()} "
                f"({shape_text(first)} and {shape_text(part)}).",
                f"{a} {shape_text(first)} has {dims(first.dim())}, and {name} {shape_text(part)} "
                f"has {part.dim()}. {case.name(few, 'The smaller one')} lost or never got "
                f"{dims(many.dim() - few.dim())}.",
                *((part, axis, None) for axis in range(part.dim())),
                rank=first.dim(),
            )
        for axis in range(first.dim()):
            if axis != dim % first.dim() and part.shape[axis] != first.shape[axis]:
                x, y = int(first.shape[axis]), int(part.shape[axis])
                reason = (
                    f"{op} along dimension {dim % first.dim()} lays tensors one behind the other "
                    f"there, so all their other sizes must agree. In dimension {axis}, {a} "
                    f"{shape_text(first)} has {x} and {name} {shape_text(part)} has {y}."
                )
                fits = _would_join(parts, dim % first.dim())
                if fits is not None:
                    reason += f" {fits}"
                elif abs(x - y) <= 2 and first.dim() > 3:
                    reason += (
                        " A difference this small comes from an odd size that was halved and "
                        "doubled again, or from a convolution without padding."
                    )
                return case.found(
                    "join",
                    f"{op} along dimension {dim % first.dim()} needs all other sizes equal: {x} ≠ "
                    f"{y} in dimension {axis}.",
                    reason,
                    (first, axis, y),
                    (part, axis, x),
                    check=f"See why {a} has {x} and {name} has {y} in dimension {axis}.",
                    transposed=fits is not None,
                    wanted=x,
                    found=y,
                    dim=dim % first.dim(),
                    axis=axis,
                )
    return None


@rule("stack", "column_stack", "row_stack")
def stack(case: Case, tensors: Any, dim: int = 0, **_: Any) -> Finding | None:
    parts = tensors_of(tensors)
    if not parts:
        return case.found(
            "join",
            "stack needs at least one tensor: the list is empty.",
            "Nothing was put into the list before this line.",
        )
    first = parts[0]
    a = case.name(first, "the first")
    for number, part in enumerate(parts[1:], start=2):
        if part.shape != first.shape:
            name = case.name(part, f"tensor {number}")
            marks: list[tuple[Any, int, int | None]] = []
            if part.dim() == first.dim():
                marks = [
                    each
                    for d in range(part.dim())
                    if part.shape[d] != first.shape[d]
                    for each in (
                        (first, d, int(part.shape[d])),
                        (part, d, int(first.shape[d])),
                    )
                ]
            else:
                marks = [(part, d, None) for d in range(part.dim())]
            return case.found(
                "join" if part.dim() == first.dim() else "rank",
                f"stack needs tensors of one shape: {shape_text(first)} ≠ {shape_text(part)}.",
                f"stack puts tensors side by side along a new dimension, so {a} "
                f"{shape_text(first)} and {name} {shape_text(part)} would have to be alike in "
                "every dimension. To join along an existing one, use cat.",
                *marks,
            )
    if not -first.dim() - 1 <= dim <= first.dim():
        return no_axis(case, first, dim, extra=1)
    return None


# --- axes ----------------------------------------------------------------------------------------


def no_axis(case: Case, tensor: Tensor, dim: int, extra: int = 0) -> Finding:
    x, rank = case.name(tensor, "the tensor"), tensor.dim() + extra
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
    logsumexp cumsum cumprod any all median mode argsort sort unbind select narrow gather
    index_select scatter scatter_add index_add glu softmin size squeeze unsqueeze flip roll chunk
    split tensor_split kthvalue count_nonzero flatten transpose swapaxes swapdims movedim moveaxis
    repeat_interleave diff nansum nanmean aminmax cross take_along_dim logcumsumexp"""
_TOPK = ("topk", "kthvalue")
_DIM_LATER = {"repeat_interleave": 2, "diff": 2, "topk": 2, "kthvalue": 2, "roll": 2, "cross": 2}
_DIM_LATER |= {"split": 2, "chunk": 2, "tensor_split": 2, "norm": 2, "take_along_dim": 2}
_DIM_PAIRS = ("transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "flatten", "diagonal")


@rule(*_DIM_SECOND.split(), *_TOPK, "diagonal")
def axis(case: Case, input: Tensor, *args: Any, **kwargs: Any) -> Finding | None:
    op = case.crash.op
    named = [
        kwargs[n]
        for n in ("dim", "axis", "dims", "dim0", "dim1", "start_dim", "end_dim")
        if n in kwargs
    ]
    at = _DIM_LATER.get(op, 1) - 1
    given = list(args[at : at + (2 if op in _DIM_PAIRS else 1)]) + named
    extra = 1 if op == "unsqueeze" else 0
    if op == "size" and not given:
        return None
    for value in given:
        for dim in value if isinstance(value, list | tuple) else (value,):
            if isinstance(dim, bool) or not isinstance(dim, int):
                continue
            rank = max(input.dim() + extra, 1)
            if not -rank <= dim < rank:
                return no_axis(case, input, dim, extra)
    return None


@rule("permute")
def permute(case: Case, input: Tensor, *order: Any, **kwargs: Any) -> Finding | None:
    wanted = _sizes(order or (kwargs["dims"],))
    x = case.name(input, "the tensor")
    if len(wanted) != input.dim():
        return case.found(
            "permute",
            f"permute needs each dimension once: {x} {shape_text(input)} has {dims(input.dim())}, "
            f"and {shape_text(wanted)} names {len(wanted)}.",
            f"The order {shape_text(wanted)} is for a tensor with {dims(len(wanted))}; "
            + (
                "one was lost or never there."
                if len(wanted) > input.dim()
                else "one more is there than was thought of."
            ),
            *((input, d, None) for d in range(input.dim())),
            rank=len(wanted),
            order=wanted,
        )
    for dim in wanted:
        if not -input.dim() <= dim < input.dim():
            return no_axis(case, input, dim)
    if len({dim % input.dim() for dim in wanted}) != len(wanted):
        return case.found(
            "permute",
            f"permute needs each dimension once: {shape_text(wanted)} names one twice.",
            f"Each of the {dims(input.dim())} of {x} {shape_text(input)} must be named exactly "
            "once.",
            order=wanted,
        )
    return None


@rule("T", "t", "mT", "H", "mH", "adjoint")
def plain_transpose(case: Case, input: Tensor, *_: Any) -> Finding | None:
    if input.dim() == 2:
        return None
    return case.found(
        "rank",
        f"{case.crash.op} is for matrices: {case.sized(input)} has {dims(input.dim())}.",
        f"With {dims(input.dim())} it is not clear which two to swap. `transpose(-2, -1)` swaps "
        "the last two.",
        *((input, d, None) for d in range(input.dim())),
    )


@rule("repeat", "tile")
def repeat(case: Case, input: Tensor, *sizes: Any, **_: Any) -> Finding | None:
    times = _sizes(sizes)
    if case.crash.op == "repeat" and len(times) < input.dim():
        x = case.name(input, "the tensor")
        return case.found(
            "rank",
            f"repeat needs a number for each dimension: {shape_text(times)} has {len(times)} and "
            f"{x} {shape_text(input)} has {dims(input.dim())}.",
            f"Each number says how often to repeat one dimension of {x}; write 1 for those that "
            "stay.",
            *((input, d, None) for d in range(input.dim() - len(times))),
            rank=len(times),
        )
    return None


# --- splitting -----------------------------------------------------------------------------------


@rule("split", "split_with_sizes")
def split(
    case: Case, tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, **kwargs: Any
) -> Finding | None:
    sizes = split_size_or_sections
    if sizes is None:
        sizes = kwargs.get("split_size", kwargs.get("split_sizes"))
    if not isinstance(sizes, list | tuple):
        return None
    at = dim % tensor.dim()
    size = int(tensor.shape[at])
    total = sum(sizes)
    if total == size:
        return None
    x = case.name(tensor, "the tensor")
    return case.found(
        "split",
        f"split needs sizes that add up to dimension {at}: {' + '.join(map(str, sizes))} = {total} "
        f"≠ {size}.",
        f"Dimension {at} of {x} {shape_text(tensor)} is {size}, and the parts asked for take "
        f"{total}: {abs(total - size)} too {'many' if total > size else 'few'}.",
        (tensor, at, total),
        wanted=total,
        found=size,
        sizes=tuple(sizes),
        dim=at,
    )


@rule("chunk", "unbind", "tensor_split", "split", "__iter__", "iter")
def unpack(case: Case, tensor: Tensor, *_: Any, **__: Any) -> Finding | None:
    if tensor.dim() == 0:
        return case.found(
            "rank",
            f"{case.crash.op} needs at least 1 dimension: {case.name(tensor)} has none.",
            f"{case.name(tensor)} is a single number and has no parts.",
        )
    return None


# --- indexing ------------------------------------------------------------------------------------


@rule("getitem", "setitem")
def index(case: Case, tensor: Tensor, key: Any, value: Any = None) -> Finding | None:
    items = key if isinstance(key, tuple) else (key,)
    used = 0
    for item in items:
        if isinstance(item, Tensor) and item.dtype in (torch.bool, torch.uint8):
            used += item.dim()
        elif item is not None and item is not Ellipsis and not isinstance(item, bool):
            used += 1
    x = case.name(tensor, "the tensor")
    if used > tensor.dim():
        return case.found(
            "axis",
            f"Indexing names {dims(used)}: {x} {shape_text(tensor)} has only {tensor.dim()}.",
            f"Each part of the index stands for one dimension of {x}, and there are "
            f"{used - tensor.dim()} too many. A dimension is missing that was there when this line "
            "was thought of.",
            *((tensor, d, None) for d in range(tensor.dim())),
            dim=used - 1,
            rank=tensor.dim(),
        )
    at = 0
    lists: list[tuple[Tensor, int]] = []
    for item in items:
        if item is Ellipsis:
            at += tensor.dim() - used
            continue
        if item is None or isinstance(item, bool):
            continue
        found = _one_index(case, tensor, item, at, x)
        if found is not None:
            return found
        if isinstance(item, Tensor):
            lists.append((item, at))
        masked = isinstance(item, Tensor) and item.dtype in (torch.bool, torch.uint8)
        at += item.dim() if masked else 1
    for number, (first, _) in enumerate(lists):
        for second, _ in lists[number + 1 :]:
            if torch.bool not in (first.dtype, second.dtype):
                broken = broadcast_break(tuple(first.shape), tuple(second.shape))
                if broken is not None:
                    return case.found(
                        "index",
                        f"Index tensors are paired element by element: {broken[1]} ≠ {broken[3]}.",
                        f"{case.sized(first, 'one index')} and {case.sized(second, 'the other')} "
                        "name positions together, so their sizes must be equal or 1.",
                        (first, broken[0], broken[3]),
                        (second, broken[2], broken[1]),
                    )
    if case.crash.op == "setitem" and isinstance(value, Tensor):
        return _assigned(case, tensor, key, value, x)
    return None


def _one_index(case: Case, tensor: Tensor, item: Any, at: int, x: str) -> Finding | None:
    if isinstance(item, int):
        size = int(tensor.shape[at])
        if not -size <= item < size:
            return case.found(
                "range",
                f"Index {item} is outside dimension {at} of {x} {shape_text(tensor)}: legal are "
                f"{-size} to {size - 1}.",
                f"Dimension {at} has {size} entries, counted from 0.",
                (tensor, at, None),
                dim=at,
                index=item,
            )
    if isinstance(item, Tensor) and item.dtype in (torch.bool, torch.uint8):
        for d in range(item.dim()):
            have, want = int(item.shape[d]), int(tensor.shape[at + d])
            if have != want:
                mask = case.name(item, "the mask")
                return case.found(
                    "mask",
                    f"A mask must have the sizes of what it is laid on: {have} ≠ {want} in "
                    f"dimension {at + d}.",
                    f"{mask} {shape_text(item)} chooses among the entries of {x} "
                    f"{shape_text(tensor)}, and does not broadcast.",
                    (item, d, want),
                    (tensor, at + d, have),
                    wanted=want,
                    found=have,
                )
    elif isinstance(item, Tensor):
        if item.is_floating_point():
            return case.found(
                "dtype",
                f"An index must be whole numbers or a mask: {case.name(item, 'the index')} is "
                f"{kind_of(item.dtype)}.",
                "Positions are counted, so torch takes long, int, bool or uint8. `.long()` turns "
                "floats into whole numbers by cutting them off.",
            )
        return _outside(case, tensor, item, at, x)
    return None


def _outside(case: Case, tensor: Tensor, item: Tensor, at: int, x: str) -> Finding | None:
    if item.is_meta or not item.numel():
        return None
    size = int(tensor.shape[at])
    low, high = int(item.min()), int(item.max())
    if -size <= low and high < size:
        return None
    bad = high if high >= size else low
    return case.found(
        "range",
        f"Index {bad} is outside dimension {at} of {x} {shape_text(tensor)}: legal are 0 to "
        f"{size - 1}.",
        f"{case.name(item, 'The index')} holds numbers from {low} to {high}, and dimension {at} of "
        f"{x} has {size} entries.",
        (tensor, at, high + 1 if high >= size else None),
        wanted=high + 1,
        found=size,
        index=bad,
    )


def _assigned(case: Case, tensor: Tensor, key: Any, value: Tensor, x: str) -> Finding | None:
    try:
        with torch.no_grad():
            place = torch.empty(tensor.shape, device="meta")[key]
        target = tuple(place.shape)
    except (RuntimeError, IndexError, TypeError, NotImplementedError):
        try:
            target = tuple(tensor.detach()[key].shape)
        except Exception:  # noqa: BLE001 - the index itself is what fails
            return None
    have = tuple(value.shape)
    while len(have) > len(target) and have and have[0] == 1:
        have = have[1:]
    v = case.name(value, "the value")
    cut = value.dim() - len(have)
    if len(have) > len(target):
        return case.found(
            "broadcast",
            f"What is assigned must fit the place {shape_text(target)}: {v} {shape_text(value)} "
            f"has {dims(value.dim())}.",
            f"The index chooses {shape_text(target)} of {x} {shape_text(tensor)}, and "
            f"{v} {shape_text(value)} has more dimensions than that.",
            *((value, d, None) for d in range(value.dim() - len(target))),
            target=target,
        )
    for back in range(1, len(have) + 1):
        if have[-back] not in (1, target[-back]):
            dim = len(have) - back + cut
            return case.found(
                "broadcast",
                f"What is assigned must fit the place {shape_text(target)}: {have[-back]} ≠ "
                f"{target[-back]}.",
                f"The index chooses {shape_text(target)} of {x} {shape_text(tensor)}, and {v} is "
                f"{shape_text(value)}. Sizes must be equal, or 1 in what is assigned.",
                (value, dim, target[-back]),
                wanted=target[-back],
                found=have[-back],
                target=target,
            )
    return None


@rule("gather", "scatter", "scatter_add", "scatter_reduce", "take_along_dim")
def gather(
    case: Case, input: Tensor, dim: int, index: Any, src: Any = None, *_: Any, **__: Any
) -> Finding | None:
    op = case.crash.op
    if op == "take_along_dim":
        return None
    x, i = case.name(input, "the input"), case.name(index, "the index")
    if index.dtype != torch.int64:
        return case.found(
            "dtype",
            f"{op} needs an index of int64: {i} is {kind_of(index.dtype)}.",
            f"{i} says which entries to take, so it must hold whole numbers; `.long()` turns it "
            "into int64.",
        )
    if index.dim() != input.dim() and index.dim() and input.dim():
        return case.found(
            "rank",
            f"{op} needs an index with as many dimensions as the input: {index.dim()} ≠ "
            f"{input.dim()} ({i} {shape_text(index)}, {x} {shape_text(input)}).",
            f"The index names one entry of {x} for each place of the result, so it has the "
            f"result's shape, not one number a row. A dimension of 1 is missing: "
            f"`{i}.unsqueeze({dim})`.",
            *((index, d, None) for d in range(index.dim())),
            rank=input.dim(),
            dim=dim,
        )
    at = dim % max(input.dim(), 1)
    for d in range(index.dim()):
        if d != at and index.shape[d] > input.shape[d]:
            return case.found(
                "index",
                f"{op} needs an index no larger than the input but in dimension {at}: "
                f"{index.shape[d]} > {input.shape[d]} in dimension {d}.",
                f"{i} {shape_text(index)} names entries of {x} {shape_text(input)} along "
                f"dimension {at} only; in the others it runs over the same places.",
                (index, d, int(input.shape[d])),
                (input, d, int(index.shape[d])),
            )
        if isinstance(src, Tensor) and src.dim() == index.dim() and index.shape[d] > src.shape[d]:
            return case.found(
                "index",
                f"{op} needs a source at least as large as the index: {src.shape[d]} < "
                f"{index.shape[d]} in dimension {d}.",
                f"Each entry of {i} {shape_text(index)} takes one number of "
                f"{case.sized(src, 'the source')}.",
                (src, d, int(index.shape[d])),
                (index, d, int(src.shape[d])),
            )
    return _outside(case, input, index, at, x)


@rule("index_select", "index_add", "index_copy", "index_fill")
def index_select(
    case: Case, input: Tensor, dim: int, index: Tensor, source: Any = None, **_: Any
) -> Finding | None:
    x, i = case.name(input, "the input"), case.name(index, "the index")
    if index.dim() > 1:
        return case.found(
            "rank",
            f"{case.crash.op} needs an index with 1 dimension: {i} {shape_text(index)} has "
            f"{index.dim()}.",
            f"It takes one list of positions for the whole of dimension {dim}. For an index that "
            "differs from row to row, gather is meant.",
            *((index, d, None) for d in range(index.dim())),
        )
    if index.dtype not in (torch.int64, torch.int32):
        return case.found(
            "dtype",
            f"{case.crash.op} needs an index of int64 or int32: {i} is {kind_of(index.dtype)}.",
            f"{i} holds positions, which are whole numbers; `.long()` makes them so.",
        )
    return _outside(case, input, index, dim % input.dim(), x)


@rule("narrow")
def narrow(case: Case, input: Tensor, dim: int, start: int, length: int) -> Finding | None:
    at = dim % input.dim()
    size = int(input.shape[at])
    if start + length > size:
        return case.found(
            "range",
            f"narrow takes {start} to {start + length} of dimension {at}, which has {size}.",
            f"{case.sized(input)} ends before that.",
            (input, at, start + length),
        )
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


@rule("repeat_interleave")
def repeat_interleave(
    case: Case, input: Tensor, repeats: Any, dim: Any = None, **_: Any
) -> Finding | None:
    if not isinstance(repeats, Tensor) or not repeats.dim() or repeats.numel() == 1:
        return None
    size = input.numel() if dim is None else int(input.shape[dim])
    x, r = case.name(input, "the tensor"), case.name(repeats, "repeats")
    if repeats.numel() == size:
        return None
    return case.found(
        "index",
        f"repeat_interleave needs a number for each of the {size} entries: {repeats.numel()} ≠ "
        f"{size}.",
        f"{r} {shape_text(repeats)} says how often to repeat each entry of {x} "
        f"{shape_text(input)}.",
        (repeats, 0, size),
        *(((input, dim, repeats.numel()),) if dim is not None else ()),
    )


@rule("select")
def select(case: Case, input: Tensor, dim: int, index: int) -> Finding | None:
    return _one_index(case, input, index, dim % input.dim(), case.name(input))
