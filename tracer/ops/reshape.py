"""The same elements in another shape: view and its kin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tracer.ops.algebra import blocks, differ, is_one, is_open, known, leftover, product, quotient
from tracer.ops.axes import axes_in, axis_in
from tracer.ops.bound import (
    GROUPED,
    Bound,
    Dim,
    Dims,
    kept,
    mark,
    new,
    other_dtype,
    refuse,
    same,
)
from tracer.ops.call import At, Call, Shape, Size, Unclear, need
from tracer.ops.cells import Cells, Scene, everything, in_order
from tracer.ops.memory import as_dtype
from tracer.ops.refusal import Refusal, Report, Said, ShapeOf, said
from tracer.ops.say import (
    Spoken,
    Told,
    by_text,
    dims_text,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layers

# --- the same elements in another shape -----------------------------------------------------------


def regrouped(call: Call, after: Shape, operand: int = 0) -> Dims:
    """The dimensions of `after`, which holds the operand's elements in the same order."""
    before = call.operands[operand].shape
    if len(before) == len(after) and not any(map(differ, before, after)):
        return kept(call, operand)
    dims = [new(size) for size in after]
    found = blocks(before, after)
    if found is None:  # no elements, or symbols that do not say how
        return tuple(dims)
    for sources, targets in found:
        ats = tuple(At(operand, axis) for axis in sources)
        group = tuple(after[axis] for axis in targets)
        for place, axis in enumerate(targets):
            dims[axis] = (
                same(call, *ats)
                if len(ats) == len(group) == 1
                else Dim(after[axis], GROUPED, ats, group=group, place=place)
            )
    for old, now in _ones(len(before), len(after), found):
        if len(old) == len(now):
            for axis, place in zip(old, now, strict=True):
                dims[place] = same(call, At(operand, axis))
    return tuple(dims)


def _ones(
    before: int, after: int, found: Sequence[tuple[list[int], list[int]]]
) -> Iterator[tuple[list[int], list[int]]]:
    """The dimensions of size 1 that stand between the blocks; where their number changes, some came
    or went, where it does not, they are the same."""
    left = right = -1
    for sources, targets in [*found, ([before], [after])]:
        yield list(range(left + 1, sources[0])), list(range(right + 1, targets[0]))
        left, right = sources[-1], targets[-1]


def _regrouped_words(step: Spoken) -> Told:
    before, after = step.x, step.out
    if step.call.get("dtype") is not None:
        return Told(
            said("{arrow}: the same memory, read as numbers of another type", arrow=step.arrow)
        )
    if before == after:
        return Told(said("Shape kept: the same values"))
    found = blocks(before, after)
    if found is None or 0 in before:
        return Told(step.arrow)
    lines = [line for block in found for line in _block_line(before, after, *block)]
    removed: list[int] = []
    added: list[int] = []
    traded: list[Said] = []
    for old, now in _ones(len(before), len(after), found):
        if not now:
            removed += old
        elif not old:
            added += now
        elif len(old) != len(now):
            traded.append(said("{old} dims of size 1 → {new}", old=len(old), new=len(now)))
    lines += [said("{dims} of size 1 removed", dims=dims_text(removed))] if removed else []
    lines += [said("{dims} of size 1 added", dims=dims_text(added))] if added else []
    is_grouped = any(len(axes) > 1 for block in found for axes in block)
    how = (
        said("{arrow}: the same values in the same order, grouped differently", arrow=step.arrow)
        if is_grouped
        else said("{arrow}: the same values in the same order", arrow=step.arrow)
    )
    return Told(how, [*lines, *traded])


def _block_line(before: Shape, after: Shape, sources: list[int], targets: list[int]) -> list[Said]:
    old, now = [before[axis] for axis in sources], [after[axis] for axis in targets]
    dims = dims_text(sources)
    if len(sources) == len(targets) == 1:
        return []
    if len(targets) == 1:
        return [
            said("{dims}: {sizes} merged into {size}", dims=dims, sizes=tuple(old), size=now[0])
        ]
    if len(sources) == 1:
        return [said("{dims} split: {size} → {sizes}", dims=dims, size=old[0], sizes=by_text(now))]
    return [
        said(
            "{dims}: {old} read row by row as {new}", dims=dims, old=by_text(old), new=by_text(now)
        )
    ]


def _view(call: Call) -> Bound:
    if call.op == "view" and call.get("dtype") is not None:
        return as_dtype(call)
    before = call.first.shape
    other = call.tensor("other")
    asked = call.operands[other].shape if other is not None else call.sizes("size", "shape")
    if asked is None:
        raise Unclear
    after = _inferred(call, asked)
    strides = call.first.strides
    in_place = call.op in ("view", "view_as")
    if in_place and strides is not None and not _seen_as(before, strides, after):
        raise refuse("stride", shape=asked)
    return Bound(call, (regrouped(call, after),))


def _inferred(call: Call, asked: Shape) -> Shape:
    """`asked` with the size that was left open as -1.

    Raises:
        Refused: kind `numel`, or `heads` where a dimension was to be cut into equal parts that fall
            short of it by a remainder.
    """
    number = product(call.first.shape)
    fixed = product(size for size in asked if not is_open(size))
    holes = sum(map(is_open, asked))
    if holes > 1 or any(known(size) and size < -1 for size in asked):
        raise refuse("numel", shape=asked)
    if holes and known(number) and known(fixed):
        fits = fixed != 0 and number % fixed == 0
    else:
        fits = bool(holes) or not differ(number, fixed)
    if not fits:
        raise _other_number(call, asked, number, fixed)
    return tuple(quotient(number, fixed) if is_open(size) else size for size in asked)


def _other_number(call: Call, asked: Shape, number: Size, fixed: Size) -> Exception:
    facts = {"shape": asked, "numel": number, "product": fixed}
    shape = call.first.shape
    cut = _cut(shape, asked)
    if cut is None:
        marks = (mark(call, At(0, dim)) for dim in leftover(shape, asked)[0])
        return refuse("numel", *marks, **facts)
    dim, parts, each = cut
    facts |= {"dim": dim, "size": shape[dim], "parts": parts, "each": each}
    return refuse("heads", mark(call, At(0, dim)), **facts)


def _cut(shape: Shape, asked: Shape) -> tuple[int, int, int] | None:
    """(dimension, parts, size of each) where one dimension was split into two sizes whose product
    falls short of it by the remainder of the division."""
    if not all(map(known, (*shape, *asked))):
        return None
    left, right = leftover(shape, asked, wild=-1)
    if len(left) != 1 or len(right) != 2:
        return None
    size, (a, b) = shape[left[0]], (asked[axis] for axis in right)
    if a > 1 and b > 1 and a * b < size:
        if size // a == b and size % a:
            return left[0], a, b
        if size // b == a and size % b:
            return left[0], b, a
    return None


def _seen_as(shape: Shape, strides: Sequence[int], after: Shape) -> bool:
    """Whether memory with these strides can be seen in another shape without a copy: each run of
    dimensions that lie side by side must be used up by whole dimensions of the new shape (torch's
    computeStride)."""
    if not all(map(known, (*shape, *after))) or not shape or 0 in shape:
        return True
    back = len(after) - 1
    base, old, now = strides[-1], 1, 1
    for dim in range(len(shape) - 1, -1, -1):
        old *= shape[dim]
        if dim == 0 or (shape[dim - 1] != 1 and strides[dim - 1] != old * base):
            while back >= 0 and (now < old or after[back] == 1):
                now *= after[back]
                back -= 1
            if now != old:
                return False
            if dim:
                base, old, now = strides[dim - 1], 1, 1
    return back == -1


def _view_report(refusal: Refusal) -> Report | None:
    kind = refusal.violation.kind
    if kind == "stride":
        return _stride_report(refusal)
    if kind not in ("numel", "heads"):
        return None
    asked = refusal.facts["shape"]
    written = ShapeOf(asked)
    op, holes = refusal.call.op, asked.count(-1)
    if holes > 1:
        return Report(
            said("{op} can work out one size of -1, not {holes}.", op=op, holes=holes),
            (
                said(
                    "{written} leaves {holes} sizes open, and many shapes would do.",
                    written=written,
                    holes=holes,
                ),
            ),
        )
    if min(asked, default=0) < -1:
        return Report(
            said("{op} needs sizes of 0 or more: {least} is negative.", op=op, least=min(asked)),
            (
                said(
                    "{written} holds a negative size; only -1 has a meaning, the size that is "
                    "left over.",
                    written=written,
                ),
            ),
        )
    return _numel_report(refusal)


def _numel_report(refusal: Refusal) -> Report:
    asked, fixed = refusal.facts["shape"], refusal.facts["product"]
    values: dict[str, Any] = {
        "op": refusal.call.op,
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "number": refusal.facts["numel"],
        "product": fixed,
        "written": ShapeOf(asked),
        "times": _times([size for size in asked if size != -1], fixed),
    }
    return Report(
        said(
            "{op} keeps the number of elements: {x} {shape} has {number}, which is no multiple of "
            "{times}."
            if -1 in asked
            else "{op} keeps the number of elements: {x} {shape} has {number}, and {written} holds "
            "{times}: {number} ≠ {product}.",
            **values,
        ),
        _numel_reason(refusal, asked, values),
        said(
            "See what shape {x} really has before this {op}, and which of the sizes in {written} "
            "were counted for another input.",
            **values,
        ),
    )


def _times(sizes: Sequence[int], total: int) -> str:
    """`2·3 = 6`, and `6` of a single size."""
    return "·".join(map(str, sizes)) + f" = {total}" if len(sizes) > 1 else str(total)


# long: one text for each way in which the call is wrong
def _numel_reason(refusal: Refusal, asked: Shape, values: dict[str, Any]) -> tuple[Said, ...]:
    facts, shape = refusal.facts, refusal.call.first.shape
    number, fixed = facts["numel"], facts["product"]
    if "parts" in facts:
        return (
            said(
                "The {size} of dimension {dim} were to be cut into {parts} parts of {each}, and "
                "{parts}·{each} is {made}: {size} does not divide by {parts}.",
                made=facts["parts"] * facts["each"],
                **{name: facts[name] for name in ("size", "dim", "parts", "each")},
            ),
        )
    if shape and shape[0] not in asked[:1] and -1 not in asked:
        reason = [
            said("The sizes {written} are for {product} elements, and {x} has {number}.", **values)
        ]
        if shape[0] and number % shape[0] == 0 and fixed == number // shape[0]:
            reason.append(
                said(
                    "That is one sample: the first dimension of {x}, {batch}, is not among them.",
                    batch=refusal.size(At(0, 0)),
                    **values,
                )
            )
        elif fixed and number % fixed == 0:
            reason.append(said("It has {times} times as many.", times=number // fixed))
        return tuple(reason)
    left, right = leftover(shape, asked)
    rest = [shape[axis] for axis in left]
    wanted = [asked[axis] for axis in right if asked[axis] != -1]
    none_agrees = len(rest) == len(shape)
    if not rest or not wanted:
        return (
            said(
                "The sizes {written} do not use up the {number} elements of {x}."
                if none_agrees
                else "Beside the sizes that agree, the sizes {written} do not use up the {number} "
                "elements of {x}.",
                **values,
            ),
        )
    values = {
        **values,
        "left": _times(rest, product(rest)),
        "whole": _times(wanted, product(wanted)),
    }
    if -1 in asked:
        compared = said(
            "{x} {shape} has {left}, and {whole} does not go into that without a remainder."
            if none_agrees
            else "Beside the sizes that agree, {x} {shape} has {left}, and {whole} does not go "
            "into that without a remainder.",
            **values,
        )
    else:
        compared = said(
            "{x} {shape} has {left}, and {written} asks for {whole}."
            if none_agrees
            else "Beside the sizes that agree, {x} {shape} has {left}, and {written} asks for "
            "{whole}.",
            **values,
        )
    reason = [compared]
    one_each = asked[0] == -1 and shape[0] > 1 and number % shape[0] == 0
    if -1 in asked and one_each and none_agrees:
        reason.append(
            said(
                "Each of the {batch} samples has {each} numbers.",
                batch=refusal.size(At(0, 0)),
                each=number // shape[0],
            )
        )
    return tuple(reason)


def _stride_report(refusal: Refusal) -> Report:
    values = {
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "strides": ShapeOf(refusal.call.first.strides or ()),
        "written": ShapeOf(refusal.facts["shape"]),
    }
    return Report(
        said(
            "view needs neighbouring elements side by side in memory: {x} {shape} has strides "
            "{strides} and cannot be seen as {written} without a copy.",
            **values,
        ),
        (
            said(
                "{x} was transposed, permuted or cut out, so its elements lie in memory in another "
                "order than its shape says, and view never copies. `reshape`, or `.contiguous()` "
                "before it, copies where that is needed.",
                **values,
            ),
        ),
    )


def _as_it_lies(bound: Bound, number: int) -> Cells:
    """The same elements in the same order, if they are read as numbers of the same type."""
    read = in_order if bound.call.get("dtype") is None else everything
    return read(bound, number)


_ORDER = Scene("order", cells=in_order)

operation(
    "view reshape view_as reshape_as _unsafe_view",
    bind=_view,
    words=_regrouped_words,
    report=_view_report,
    shares=True,
    scene=Scene("order", cells=_as_it_lies),
)


def _flatten(call: Call) -> Bound:
    shape = call.first.shape
    first = axis_in(call, call.whole("start_dim", default=0))
    last = axis_in(call, call.whole("end_dim", default=-1))
    if first > last:
        raise refuse("arguments", start=first, stop=last)
    after = (*shape[:first], product(shape[first : last + 1]), *shape[last + 1 :])
    return Bound(call, (regrouped(call, after),))


def _flatten_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "arguments":
        return None
    return Report(
        said("flatten needs start_dim at or before end_dim: {start} > {stop}.", **refusal.facts),
        (said("What lies between the two dimensions becomes one."),),
    )


operation(
    "flatten ravel",
    bind=_flatten,
    words=_regrouped_words,
    report=_flatten_report,
    shares=True,
    scene=_ORDER,
)


def _at_least(call: Call) -> Bound:
    """Dimensions of 1 put around those that there are: (n,) as (1, n) and as (1, n, 1)."""
    least, results = int(call.op[-2]), []
    need(bool(call.operands))
    for index in range(len(call.operands)):
        dims = kept(call, index)
        if least > 1 and len(dims) < 2:
            dims = (new(1), *(dims or (new(1),)))
        if least > 2 and len(dims) < 3:
            dims = (*dims, new(1))
        results.append(dims or (new(1),))
    return Bound(call, tuple(results))


operation(
    "atleast_1d atleast_2d atleast_3d",
    bind=_at_least,
    words=_regrouped_words,
    shares=True,
    scene=_ORDER,
)


def _unflatten(call: Call) -> Bound:
    shape = call.first.shape
    need(bool(shape))
    axis = axis_in(call, call.whole("dim"))
    sizes = call.sizes("sizes", "unflattened_size")
    if sizes is None:
        raise Unclear
    size, fixed = shape[axis], product(part for part in sizes if not is_open(part))
    holes = sum(map(is_open, sizes))
    if holes and known(size) and known(fixed):
        fits = fixed != 0 and size % fixed == 0
    else:
        fits = bool(holes) or not differ(size, fixed)
    if not sizes or holes > 1 or not fits or any(known(s) and s < -1 for s in sizes):
        wanted = fixed if call.layer and not holes else None
        raise refuse("numel", mark(call, At(0, axis), wanted), shape=sizes, product=fixed, dim=axis)
    parts = tuple(quotient(size, fixed) if is_open(part) else part for part in sizes)
    after = (*shape[:axis], *parts, *shape[axis + 1 :])
    return Bound(call, (regrouped(call, after),))


def _unflatten_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "numel":
        return None
    sizes, dim = refusal.facts["shape"], refusal.facts["dim"]
    values = {
        "op": "nn.Unflatten" if refusal.call.layer else "unflatten",
        "dim": dim,
        "times": _times([size for size in sizes if size != -1], refusal.facts["product"]),
        "size": refusal.size(At(0, dim)),
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "written": ShapeOf(sizes),
    }
    return Report(
        said(
            "{op} needs sizes whose product is the size of dimension {dim}: {times} and {size} do "
            "not match."
            if -1 in sizes
            else "{op} needs sizes whose product is the size of dimension {dim}: {times} ≠ {size}.",
            **values,
        ),
        (
            said(
                "Dimension {dim} of {x} {shape} is {size}; it was to be cut into {written}.",
                **values,
            ),
        ),
    )


operation(
    "unflatten",
    bind=_unflatten,
    words=_regrouped_words,
    report=_unflatten_report,
    shares=True,
    scene=_ORDER,
)
layers(flatten="Flatten", unflatten="Unflatten")

# --- dimensions of size 1 -------------------------------------------------------------------------


def _unsqueeze(call: Call) -> Bound:
    axis = axis_in(call, call.whole("dim"), extra=1)
    dims = kept(call)
    return Bound(call, ((*dims[:axis], new(1), *dims[axis:]),))


def _unsqueeze_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.whole("dim"), extra=1)
    return Told(said("A dim of size 1 added at {axis}", axis=axis))


operation("unsqueeze", bind=_unsqueeze, words=_unsqueeze_words, shares=True, scene=_ORDER)


def _squeezed(call: Call) -> list[int]:
    """The dimensions that go."""
    shape = call.first.shape
    given = call.get("dim")
    axes = range(len(shape)) if given is None else axes_in(call, given)
    return sorted(axis for axis in axes if axis < len(shape) and is_one(shape[axis]))


def _squeeze(call: Call) -> Bound:
    gone = _squeezed(call)
    return Bound(call, (tuple(d for axis, d in enumerate(kept(call)) if axis not in gone),))


def _squeeze_words(step: Spoken) -> Told:
    gone = _squeezed(step.call)
    if not gone:
        return Told(said("Shape kept: no dim of size 1 to remove"))
    return Told(said("{dims} of size 1 removed", dims=dims_text(gone)))


operation("squeeze", bind=_squeeze, words=_squeeze_words, shares=True, scene=_ORDER)

# --- numbers as pairs -----------------------------------------------------------------------------

_PAIRS = ("float16", "float32", "float64")


def _as_complex(call: Call) -> Bound:
    x = call.first
    if x.dtype not in _PAIRS:
        raise other_dtype(call, 0, "float32")
    if not x.shape or differ(x.shape[-1], 2):
        marks = (mark(call, At(0, x.rank - 1), 2),) if x.shape else ()
        raise refuse("width", *marks, wanted=2)
    *ahead, last = x.strides or (1,)
    if last != 1 or any(n % 2 for n, size in zip(ahead, x.shape, strict=False) if size != 1):
        raise refuse("stride", shape=x.shape[:-1])
    return Bound(call, (kept(call)[:-1],))


def _as_complex_words(step: Spoken) -> Told:
    return Told(said("dim {axis} (2) removed, pairs read as complex numbers", axis=len(step.out)))


def _as_real(call: Call) -> Bound:
    if not call.first.dtype.startswith("complex"):
        raise other_dtype(call, 0, "complex64")
    return Bound(call, ((*kept(call), new(2)),))


def _as_real_words(step: Spoken) -> Told:
    return Told(said("dim {axis}: new, 2 for real and imaginary part", axis=len(step.x)))


operation("view_as_complex", bind=_as_complex, words=_as_complex_words, shares=True)
operation("view_as_real", bind=_as_real, words=_as_real_words, shares=True)

# --- a question about the shape -------------------------------------------------------------------


def _size(call: Call) -> Bound:
    if call.get("dim") is not None:
        axis_in(call, call.whole("dim"))
    return Bound(call)


operation("size stride", bind=_size)
