"""Tensors joined, taken apart and repeated."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from tracer.document import TensorAt
from tracer.ops.algebra import ceil_div, differ, is_one, known, product
from tracer.ops.axes import axis_in
from tracer.ops.bound import (
    JOINED,
    NEW,
    PIECE,
    SAME,
    Bound,
    Dim,
    Dims,
    Mark,
    all_marks,
    kept,
    mark,
    new,
    refuse,
    same,
    too_small,
)
from tracer.ops.call import At, Call, Size, Unclear, need
from tracer.ops.names import shape_text
from tracer.ops.refusal import Count, Refusal, Report, Said, ShapeOf, said
from tracer.ops.say import Spoken, Told, capital, many, ordinal, some_shapes
from tracer.ops.spec import operation

# --- one after the other -------------------------------------------------------------------------


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
        return Told("Shape kept: a single tensor, nothing to join")
    sizes = [part[axis].size for part in parts]
    text = " + ".join(map(str, sizes)) if len(sizes) <= 6 else f"{len(sizes)} parts"
    return Told(
        f"Dim {axis} grows to {step.out[axis]}: {len(parts)} tensors joined end to end",
        [f"concatenated along dim {axis}: {text} = {step.out[axis]}"],
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
        "a": refusal.name(first, "the first"),
        "name": refusal.name(other, f"tensor {place}"),
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
        text = (
            "A difference this small comes from an odd size that was halved and doubled again, or "
            "from a convolution without padding."
        )
        return (said(text),) if small else ()
    if len(fits) == 1:
        text = "They differ in dimension {dim} alone: along that one they can be joined."
        return (said(text, dim=fits[0]),)
    turned = [side.size for side in parts[1]]
    a, b = fits
    turned[a], turned[b] = turned[b], turned[a]
    text = "With its dimensions {a} and {b} exchanged the second would be {turned}, which fits."
    return (said(text, a=a, b=b, turned=ShapeOf(tuple(turned))),)


def _empty_report(op: str) -> Report:
    return Report(
        said("{op} needs at least one tensor: the list is empty.", op=op),
        (said("Nothing was put into the list before this line."),),
    )


def _rank_report(refusal: Refusal) -> Report:
    at, op = refusal.facts["at"], refusal.call.op
    if "rank" not in refusal.facts:
        a = refusal.name(at, "the first" if at == 0 else f"tensor {at + 1}")
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
        "a": refusal.name(first, "the first"),
        "name": refusal.name(at, f"tensor {place}"),
        "few": refusal.name(few, "The smaller one"),
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


operation("cat concat concatenate", bind=_cat, words=_joined_words, report=_joined_report)
operation(
    "hstack vstack row_stack dstack column_stack",
    bind=_stacked,
    words=_joined_words,
    report=_joined_report,
)

# --- side by side --------------------------------------------------------------------------------


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
    count = step.out[axis]
    text = f"{many(count, 'tensor')} of {shape_text(step.x)} side by side"
    return Told(
        f"A new dim {axis} of {count}: {text}",
        [f"dim {axis}: new, one entry for each of {count} tensors"],
    )


def _stack_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind not in ("join", "rank"):
        return None
    if not refusal.violation.facts:
        return _empty_report("stack")
    first, other = refusal.facts["first"], refusal.facts["at"]
    place = refusal.call.tensors("tensors").index(other) + 1
    values = {
        "a": refusal.name(first, "the first"),
        "name": refusal.name(other, f"tensor {place}"),
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


operation("stack", bind=_stack, words=_stack_words, report=_stack_report)

# --- taken apart ---------------------------------------------------------------------------------


_MOST = 100_000  # of more results than this nothing is said


def _pieces(call: Call, axis: int, sizes: Sequence[Size]) -> Bound:
    """The dimension `axis` in pieces of these sizes, one after the other."""
    starts = itertools.accumulate(sizes, initial=0)
    return _stretches(
        call, axis, [(start, start + n) for start, n in zip(starts, sizes, strict=False)]
    )


def _stretches(call: Call, axis: int, stretches: Sequence[tuple[Size, Size]]) -> Bound:
    dims = kept(call)
    whole = dims[axis].size
    results = []
    for start, stop in stretches:
        full = known(start) and start == 0 and not differ(stop, whole)
        piece = Dim(stop - start, PIECE, (At(0, axis),), start=start, stop=stop)
        results.append((*dims[:axis], dims[axis] if full else piece, *dims[axis + 1 :]))
    return Bound(call, tuple(results))


def _divided_axis(call: Call) -> int:
    if not call.first.shape:
        raise refuse("rank", rank=1, at=0)
    return axis_in(call, call.whole("dim", default=0))


def _split(call: Call) -> Bound:
    axis = _divided_axis(call)
    size = call.first.shape[axis]
    asked = call.get("split_size", "split_sizes")
    if isinstance(asked, tuple):
        sizes = call.sizes("split_size", "split_sizes") or ()
        total = sum(sizes)
        negative = any(known(part) and part < 0 for part in sizes)
        if negative or differ(total, size):
            raise refuse(
                "split",
                mark(call, At(0, axis), total),
                wanted=total,
                found=size,
                sizes=sizes,
                dim=axis,
            )
        return _pieces(call, axis, sizes)
    need(known(asked) and known(size) and size <= _MOST * max(asked, 1))
    if asked < 0 or (asked == 0 and size):
        raise too_small("split_size", asked, 0 if asked < 0 else 1)
    return _pieces(call, axis, _by(size, asked) if asked else [0])


def _by(size: int, part: int) -> list[int]:
    """`size` in parts, the last one what is left."""
    count = max(ceil_div(size, part), 1)
    return [part] * (count - 1) + [size - part * (count - 1)]


def _chunk(call: Call) -> Bound:
    axis = _divided_axis(call)
    size, count = call.first.shape[axis], call.size("chunks")
    need(known(size) and known(count) and count <= _MOST)
    if count < 1:
        raise too_small("chunks", count, 1)
    part = ceil_div(size, count)
    return _pieces(call, axis, _by(size, part) if part else [0] * count)


def _tensor_split(call: Call) -> Bound:
    axis = _divided_axis(call)
    size = call.first.shape[axis]
    asked = call.get("sections", "indices", "tensor_indices_or_sections", "indices_or_sections")
    need(known(size))
    if isinstance(asked, tuple):
        need(all(map(known, asked)))
        cuts = [max(cut + size, 0) if cut < 0 else min(cut, size) for cut in asked]
        ends = [0, *cuts, size]
        pairs = itertools.pairwise(ends)
        return _stretches(call, axis, [(start, max(start, stop)) for start, stop in pairs])
    need(known(asked) and asked <= _MOST)
    if asked < 1:
        raise too_small("sections", asked, 1)
    part, longer = divmod(size, asked)
    return _pieces(call, axis, [part + (n < longer) for n in range(asked)])


def _divided_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.whole("dim", default=0))
    sizes = [out[axis] for out in step.outs]
    if len(sizes) == 1:
        return Told("Shape kept: one piece, nothing to split")
    if len(set(sizes)) == 1:
        text = f"{len(sizes)} × {sizes[0]}"
    else:
        text = " + ".join(map(str, sizes)) if len(sizes) <= 6 else f"{len(sizes)} pieces"
    whole = step.x[axis]
    return Told(
        f"Dim {axis} cut into {len(sizes)} pieces: {whole} = {text}",
        [f"dim {axis}: {whole} → {text}"],
    )


def _divided_report(refusal: Refusal) -> Report | None:
    kind, x = refusal.violation.kind, refusal.name(0)
    if kind == "rank":
        return Report(
            said("{op} needs at least 1 dimension: {x} has none.", op=refusal.call.op, x=x),
            (said("{x} is a single number and has no parts.", x=x),),
        )
    if kind != "split":
        return None
    facts = refusal.facts
    values = {
        "x": x,
        "shape": refusal.shape(0),
        "dim": facts["dim"],
        "sizes": " + ".join(map(str, facts["sizes"])),
        "total": facts["wanted"],
        "size": refusal.size(At(0, facts["dim"])),
        "off": abs(facts["wanted"] - facts["found"]),
    }
    reason = (
        "Dimension {dim} of {x} {shape} is {size}, and the parts asked for take {total}: {off} "
    )
    reason += "too many." if facts["wanted"] > facts["found"] else "too few."
    return Report(
        said(
            "split needs sizes that add up to dimension {dim}: {sizes} = {total} ≠ {size}.",
            **values,
        ),
        (said(reason, **values),),
    )


for _names, _bind in (
    ("split split_with_sizes unsafe_split unsafe_split_with_sizes", _split),
    ("chunk unsafe_chunk", _chunk),
    ("tensor_split", _tensor_split),
):
    operation(_names, bind=_bind, words=_divided_words, report=_divided_report, shares=True)


def _unbind(call: Call) -> Bound:
    axis = _divided_axis(call)
    count = call.first.shape[axis]
    need(known(count) and count <= _MOST)
    dims = kept(call)
    return Bound(call, ((*dims[:axis], *dims[axis + 1 :]),) * count)


def _unbind_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.whole("dim", default=0))
    count, rest = step.x[axis], (*step.x[:axis], *step.x[axis + 1 :])
    return Told(
        f"Dim {axis} taken apart: {many(count, 'tensor')} of {shape_text(rest)}",
        [f"dim {axis} ({count}) removed, one tensor for each entry"],
    )


operation("unbind iter", bind=_unbind, words=_unbind_words, report=_divided_report, shares=True)

# --- repeated ------------------------------------------------------------------------------------

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
            lines.append(f"dim {dim}: new, {count} copies")
        elif count != 1:
            old = step.x[dim - ahead]
            lines.append(f"dim {dim}: {old} repeated {count} times = {step.out[dim]}")
    return Told(f"{step.arrow}: the whole tensor copied side by side", lines)


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


operation("repeat tile", bind=_repeat, words=_repeat_words, report=_repeat_report)


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


def _of_kind(call: Call, operand: int, wanted: str) -> Exception:
    found = call.operands[operand].dtype
    return refuse("dtype", operand=TensorAt(operand), found_dtype=found, wanted_dtype=wanted)


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
        raise _of_kind(call, counts, "int64")
    number = given.shape[0] if given.rank else 1
    if not is_one(number) and differ(number, size):
        met = (mark(call, At(0, axis), number),) if axis is not None and call.first.shape else ()
        raise refuse(
            "index", mark(call, At(counts, 0), size), *met, wanted=size, found=number, at=counts
        )
    if call.results:
        return call.results[0].shape[0 if axis is None else axis]
    if given.values is None:
        raise Unclear
    total = given.values.total()
    return total * size if is_one(number) else total


def _repeat_interleave_words(step: Spoken) -> Told:
    repeats = step.call.whole("repeats") if step.call.tensor("repeats") is None else None
    how = "each entry repeated by its own number"
    if repeats is not None:
        how = f"each entry repeated {repeats} times in a row"
    if step.call.get("dim") is None:
        return Told(f"{step.arrow}: all values in one row, {how}")
    axis = axis_in(step.call, step.call.whole("dim"))
    line = f"dim {axis}: {step.x[axis] if step.x else 1} → {step.out[axis]}, {how}"
    return Told(capital(line), [line])


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


operation(
    "repeat_interleave",
    bind=_repeat_interleave,
    words=_repeat_interleave_words,
    report=_repeat_interleave_report,
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
            raise _of_kind(call, operand, call.operands[found[0]].dtype)
    dims = tuple(same(call, At(o, 0)) if call.operands[o].rank else new(1) for o in order)
    return Bound(call, (dims,) * len(found))


def _meshgrid_words(step: Spoken) -> Told:
    names = list(map(ordinal, range(len(step.ins))))
    if step.call.get("indexing") == "xy":
        names[:2] = names[:2][::-1]
    return Told(
        f"{some_shapes(step.ins)} → {some_shapes(step.outs)}: every combination of the values",
        [f"dim {axis}: the values of the {name}" for axis, name in enumerate(names)],
    )


operation("meshgrid", bind=_meshgrid, words=_meshgrid_words)
