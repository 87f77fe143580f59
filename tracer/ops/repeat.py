"""The same elements several times: expand, repeat, meshgrid."""

from __future__ import annotations

from typing import Any

from tracer.ops.algebra import (
    differ,
    is_one,
    is_open,
    known,
    product,
)
from tracer.ops.axes import axis_in
from tracer.ops.bound import (
    JOINED,
    Bound,
    Dim,
    all_marks,
    kept,
    mark,
    new,
    other_dtype,
    reduced,
    refuse,
    same,
    too_small,
)
from tracer.ops.call import At, Call, Size, Unclear, need
from tracer.ops.cells import Along, Cells, Scene, by_dims, everything
from tracer.ops.refusal import Count, Refusal, Report, ShapeOf, said
from tracer.ops.say import (
    Spoken,
    Told,
    arrow,
    joined,
    ordinal,
    size_changed,
    some_shapes,
    told,
)
from tracer.ops.spec import operation

# --- what was repeated, summed back --------------------------------------------------------------


def _sum_to_size(call: Call) -> Bound:
    """The reverse of a broadcast: dimensions in front go, others shrink to 1.

    Raises:
        Refused: kind `broadcast`, the input is no such shape repeated.
    """
    before, after = call.first.shape, call.sizes("size")
    if after is None:
        raise Unclear
    ahead = len(before) - len(after)
    if ahead < 0:
        raise refuse("broadcast", *all_marks(call, 0), onto=after)
    dims = []
    for axis, size in enumerate(after, start=ahead):
        at = At(0, axis)
        if not differ(before[axis], size):
            dims.append(same(call, at))
            continue
        if not is_one(size):
            found = mark(call, at, size)
            raise refuse("broadcast", found, wanted=size, found=before[axis], onto=after)
        dims.append(reduced(at))
    return Bound(call, (tuple(dims),))


operation(
    "sum_to_size",
    bind=_sum_to_size,
    words=lambda step: Told(said("{arrow}: summed over what was repeated", arrow=step.arrow)),
)

# --- the same elements seen again and again -------------------------------------------------------


def _expand(call: Call) -> Bound:
    before = call.first.shape
    other = call.tensor("other")
    after = call.operands[other].shape if other is not None else call.sizes("size")
    if after is None:
        raise Unclear
    ahead = len(after) - len(before)
    if ahead < 0:
        marks = (mark(call, At(0, dim)) for dim in range(-ahead))
        raise refuse("rank", *marks, rank=len(after), shape=after)
    if any(is_open(size) for size in after[:ahead]) or any(known(s) and s < -1 for s in after):
        raise refuse("arguments", shape=after)
    dims: list[Dim] = []
    for axis in range(len(after) - 1, -1, -1):
        at, size = At(0, axis - ahead), after[axis]
        if axis >= ahead and (is_open(size) or not differ(before[at.dim], size)):
            dims.append(same(call, at))
            continue
        partner = At(other, axis) if other is not None else None
        if axis >= ahead and not is_one(before[at.dim]):
            have = before[at.dim]
            met = (mark(call, partner, have),) if partner is not None else ()
            raise refuse(
                "broadcast", mark(call, at, size), *met, wanted=size, found=have, shape=after
            )
        sources = (at,) if axis >= ahead else ()
        dims.append(same(call, partner) if partner is not None else new(size, sources=sources))
    return Bound(call, (tuple(reversed(dims)),))


def _expand_words(step: Spoken) -> Told:
    ahead = len(step.out) - len(step.x)
    lines = []
    for axis, size in enumerate(step.out):
        if axis < ahead:
            lines.append(said("dim {axis}: new, {n} times the same values", axis=axis, n=size))
        elif step.x[axis - ahead] != size:
            lines.append(said("dim {axis}: 1 stretched to {size}", axis=axis, size=size))
    if not lines:
        return Told(said("Shape kept: nothing to stretch"))
    return Told(
        said("{arrow}: the same values seen again and again, not copied", arrow=step.arrow), lines
    )


# long: one text for each way in which the call is wrong
def _expand_report(refusal: Refusal) -> Report | None:
    facts, rank = refusal.facts, refusal.call.first.rank
    if refusal.violation.kind not in ("rank", "broadcast", "arguments"):
        return None
    values: dict[str, Any] = {
        "op": refusal.call.op,
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "written": ShapeOf(facts["shape"]),
        "rank": rank,
        "given": len(facts["shape"]),
        "count": Count(rank, "dimension"),
    }
    if refusal.violation.kind == "rank":
        return Report(
            said(
                "{op} cannot take dimensions away: {x} has {rank} and {written} only {given}.",
                **values,
            ),
            (
                said(
                    "{x} is {shape}. {op} repeats dimensions of size 1 and adds new ones on the "
                    "left; it never drops one.",
                    **values,
                ),
            ),
        )
    if refusal.violation.kind == "arguments":
        return Report(
            said("{op} needs sizes of 0 or more, or -1 for one that stays: {written}.", **values),
            (
                said(
                    "-1 keeps a size of {x} {shape}; for a new dimension in front there is none to "
                    "keep.",
                    **values,
                ),
            ),
        )
    first = refusal.violation.marks[0]
    values |= {
        "have": refusal.size(At(0, first.dim)),
        "want": facts["wanted"],
        "dim": first.dim,
    }
    return Report(
        said(
            "{op} repeats dimensions of size 1 only: {have} cannot become {want} in dimension "
            "{dim}.",
            **values,
        ),
        (
            said(
                "{x} {shape} is laid against {written} from the right, and there {have} meets "
                "{want}. Only a size of 1 can be repeated; with {count} against {given}, a "
                "dimension of 1 may be missing on the right."
                if rank < len(facts["shape"])
                else "{x} {shape} is laid against {written} from the right, and there {have} meets "
                "{want}. Only a size of 1 can be repeated.",
                **values,
            ),
        ),
    )


def _expanded_cells(bound: Bound, number: int) -> Cells:
    """The same entry along what is stretched; another tensor gives its shape alone."""
    before, after = bound.call.first.shape, bound.shapes[number]
    ahead = len(after) - len(before)
    own = {
        At(0, dim): Along() if is_one(size) else Along(dim=ahead + dim)
        for dim, size in enumerate(before)
    }
    cells = by_dims(bound, number, own)
    return Cells((cells.reaches[0], *(None for _ in cells.reaches[1:])))


operation(
    "expand expand_as broadcast_to",
    bind=_expand,
    words=_expand_words,
    report=_expand_report,
    shares=True,
    scene=Scene("copy", cells=_expanded_cells),
)

# --- repeated -------------------------------------------------------------------------------------

_FEW = 4  # up to how many copies of a dimension are counted by its letter


def _times(call: Call) -> tuple[Size, ...]:
    """How often each dimension of the result is repeated."""
    rank, times = len(call.first.shape), call.sizes("repeats", "dims")
    if times is None:
        raise Unclear
    if call.op == "tile":
        return (1,) * (rank - len(times)) + times
    return times


def _repeat(call: Call) -> Bound:
    shape, times = call.first.shape, _times(call)
    ahead = len(times) - len(shape)
    if ahead < 0:
        marks = (mark(call, At(0, dim)) for dim in range(-ahead))
        raise refuse("rank", *marks, rank=len(times), times=times)
    negative = next((count for count in times if known(count) and count < 0), None)
    if negative is not None:
        raise too_small("repeats", negative, 0)
    dims = [new(count) for count in times[:ahead]]
    for dim, (size, count) in enumerate(zip(shape, times[ahead:], strict=True)):
        at = At(0, dim)
        if is_one(count):
            dims.append(same(call, at))
        elif known(count) and 1 < count <= _FEW and not is_one(size):
            dims.append(Dim(size * count, JOINED, (at,) * count))
        else:
            dims.append(new(size * count, sources=(at,)))
    return Bound(call, (tuple(dims),))


def _repeat_words(step: Spoken) -> Told:
    times = _times(step.call)
    ahead = len(times) - len(step.x)
    lines = []
    for dim, count in enumerate(times):
        if dim < ahead:
            lines.append(said("dim {axis}: new, {n} copies", axis=dim, n=count))
        elif count != 1:
            lines.append(
                said(
                    "dim {axis}: {before} repeated {n} times = {after}",
                    axis=dim,
                    before=step.x[dim - ahead],
                    n=count,
                    after=step.out[dim],
                )
            )
    return Told(said("{arrow}: the whole tensor copied side by side", arrow=step.arrow), lines)


def _repeat_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "rank":
        return None
    times = refusal.facts["times"]
    values = {
        "times": ShapeOf(times),
        "given": len(times),
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "count": Count(refusal.call.first.rank, "dimension"),
    }
    return Report(
        said(
            "repeat needs a number for each dimension: {times} has {given} and {x} {shape} has "
            "{count}.",
            **values,
        ),
        (
            said(
                "Each number says how often to repeat one dimension of {x}; write 1 for those that "
                "stay.",
                **values,
            ),
        ),
    )


def _repeat_cells(bound: Bound, number: int) -> Cells:
    """Round and round along every dimension."""
    rank = bound.call.first.rank
    ahead = len(bound.results[number]) - rank
    own = {At(0, dim): Along("wrap", ahead + dim) for dim in range(rank)}
    return by_dims(bound, number, own)


operation(
    "repeat tile",
    bind=_repeat,
    words=_repeat_words,
    report=_repeat_report,
    scene=Scene("copy", cells=_repeat_cells),
)


def _repeat_interleave(call: Call) -> Bound:
    shape, counts = call.first.shape, call.tensor("repeats")
    dim = call.get("dim")
    axis = None if dim is None else axis_in(call, call.whole("dim"))
    size = product(shape) if axis is None else (shape[axis] if shape else 1)
    if counts is None:
        repeats = call.whole("repeats")
        if repeats is None:
            raise Unclear
        if known(repeats) and repeats < 0:
            raise too_small("repeats", repeats, 0)
        grown = size * repeats
    else:
        grown = _sum_of(call, counts, axis, size)
    output = call.whole("output_size")
    if output is not None and counts is not None:
        grown = output
    sources = tuple(At(0, d) for d in range(len(shape)) if axis in (None, d))
    if counts is not None and call.operands[counts].rank:
        sources = (*sources, At(counts, 0))
    dims = list(kept(call)) or [new(1)]
    whole = new(grown, sources=sources)
    return Bound(call, ((whole,) if axis is None else (*dims[:axis], whole, *dims[axis + 1 :]),))


def _sum_of(call: Call, counts: int, axis: int | None, size: Size) -> Size:
    """How many entries there are when each is repeated by its own number.

    Raises:
        Refused: there is not one number for each.
        Unclear: nobody has looked at the numbers.
    """
    given = call.operands[counts]
    if given.rank > 1:
        raise refuse("rank", *all_marks(call, counts), rank=1, at=counts)
    if given.dtype not in ("int32", "int64"):
        raise other_dtype(call, counts, "int64")
    number = given.shape[0] if given.rank else 1
    if not is_one(number) and differ(number, size):
        met = (mark(call, At(0, axis), number),) if axis is not None and call.first.shape else ()
        raise refuse(
            "index", mark(call, At(counts, 0), size), *met, wanted=size, found=number, at=counts
        )
    if call.results:
        need(call.results[0].rank > (axis or 0))
        return call.results[0].shape[axis or 0]
    if given.values is None:
        raise Unclear
    total = given.values.total()
    return total * size if is_one(number) else total


def _repeat_interleave_words(step: Spoken) -> Told:
    repeats = step.call.whole("repeats") if step.call.tensor("repeats") is None else None
    how = said("each entry repeated by its own number")
    if repeats is not None:
        how = said("each entry repeated {n} times in a row", n=repeats)
    if step.call.get("dim") is None:
        return Told(said("{arrow}: all values in one row, {how}", arrow=step.arrow, how=how))
    axis = axis_in(step.call, step.call.whole("dim"))
    return Told(joined([size_changed(axis, step.x, step.out), how]))


def _repeat_interleave_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "index":
        return None
    at = refusal.facts["at"]
    values = {
        "size": refusal.facts["wanted"],
        "number": refusal.facts["found"],
        "r": refusal.name(at, "repeats"),
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "shape_r": refusal.shape(at),
    }
    return Report(
        said(
            "repeat_interleave needs a number for each of the {size} entries: {number} ≠ {size}.",
            **values,
        ),
        (said("{r} {shape_r} says how often to repeat each entry of {x} {shape}.", **values),),
    )


def _interleaved_cells(bound: Bound, number: int) -> Cells:
    """Each entry so many times in a row."""
    call = bound.call
    times, dim = call.get("repeats"), call.get("dim")
    if call.tensor("repeats") is not None or dim is None or not call.first.rank:
        return everything(bound, number)
    axis = axis_in(call, dim)
    return by_dims(bound, number, {At(0, axis): Along("part", axis, over=times)})


operation(
    "repeat_interleave",
    bind=_repeat_interleave,
    words=_repeat_interleave_words,
    report=_repeat_interleave_report,
    scene=Scene("copy", cells=_interleaved_cells),
)


def _meshgrid(call: Call) -> Bound:
    found = call.tensors("tensors")
    if not found:
        raise refuse("join")
    crossed = call.get("indexing", default="ij") == "xy" and len(found) > 1
    order = [found[1], found[0], *found[2:]] if crossed else list(found)
    for operand in found:
        if call.operands[operand].rank > 1:
            raise refuse("rank", *all_marks(call, operand), rank=1, ranks=(0, 1), at=operand)
        if call.operands[operand].dtype != call.operands[found[0]].dtype:
            raise other_dtype(call, operand, call.operands[found[0]].dtype)
    dims = tuple(same(call, At(o, 0)) if call.operands[o].rank else new(1) for o in order)
    return Bound(call, (dims,) * len(found))


def _meshgrid_words(step: Spoken) -> Told:
    names = list(map(ordinal, range(len(step.ins))))
    if step.call.get("indexing") == "xy":
        names[:2] = names[:2][::-1]
    how = said("every combination of the values")
    return Told(
        told(arrow(some_shapes(step.ins), some_shapes(step.outs)), how),
        [
            said("dim {axis}: the values of the {which}", axis=axis, which=name)
            for axis, name in enumerate(names)
        ],
    )


def _mesh_cells(bound: Bound, number: int) -> Cells:
    """Result number n repeats vector number n."""
    own = bound.call.tensors("tensors")[number]
    reaches = by_dims(bound, number).reaches
    return Cells(tuple(each if index == own else None for index, each in enumerate(reaches)))


operation("meshgrid", bind=_meshgrid, words=_meshgrid_words, scene=Scene("copy", cells=_mesh_cells))
