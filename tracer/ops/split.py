"""A tensor taken apart: split, chunk, unbind."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tracer.ops.algebra import ceil_div, differ, known
from tracer.ops.axes import axis_in
from tracer.ops.bound import (
    ANY_MORE,
    PIECE,
    Bound,
    Dim,
    all_marks,
    kept,
    mark,
    refuse,
    too_small,
)
from tracer.ops.call import At, Call, Size, need
from tracer.ops.cells import Along, Cells, Scene, by_dims
from tracer.ops.refusal import Refusal, Report, said
from tracer.ops.say import (
    Spoken,
    Told,
)
from tracer.ops.spec import operation
from tracer.sentences import ShapeOf

# --- in pieces ------------------------------------------------------------------------------------


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
    least, rank = _LEAST.get(call.op, 1), call.first.rank
    if rank < least:
        raise refuse("rank", *all_marks(call, 0), rank=least, ranks=(least, ANY_MORE), at=0)
    if call.op in _LEAST:
        return {"hsplit": min(rank - 1, 1), "vsplit": 0, "dsplit": 2}[call.op]
    return axis_in(call, call.whole("dim", default=0))


_LEAST = {"hsplit": 1, "vsplit": 2, "dsplit": 3}


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
    return _at_places(call, _divided_axis(call))


def _h_v_d_split(call: Call) -> Bound:
    """Along a dimension that the name says, in equal parts where they are counted."""
    axis = _divided_axis(call)
    parts, size = call.get("sections"), call.first.shape[axis]
    if known(parts) and known(size) and parts > 0 and size % parts:
        raise refuse("divide", mark(call, At(0, axis)), parts=parts, size=size, dim=axis)
    return _at_places(call, axis)


def _at_places(call: Call, axis: int) -> Bound:
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
    axis = _divided_axis(step.call)
    sizes = [out[axis] for out in step.outs]
    if len(sizes) == 1:
        return Told(said("Shape kept: one piece, nothing to split"))
    if len(set(sizes)) == 1:
        parts = f"{len(sizes)} × {sizes[0]}"
    else:
        parts = " + ".join(map(str, sizes)) if len(sizes) <= 6 else ""
    return Told(
        said(
            "Dim {axis} cut into {n} pieces: {size} = {parts}"
            # As formulas the two are often one: `H + W = H + W` says nothing.
            if parts not in ("", str(step.x[axis]))
            else "Dim {axis} cut into {n} pieces: {size} in all",
            axis=axis,
            n=len(sizes),
            size=step.x[axis],
            parts=parts,
        )
    )


def _divided_report(refusal: Refusal) -> Report | None:
    kind, x = refusal.violation.kind, refusal.name(0)
    if kind == "rank" and refusal.call.op not in _LEAST:
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
    return Report(
        said(
            "split needs sizes that add up to dimension {dim}: {sizes} = {total} ≠ {size}.",
            **values,
        ),
        (
            said(
                "Dimension {dim} of {x} {shape} is {size}, and the parts asked for take {total}: "
                "{off} too many."
                if facts["wanted"] > facts["found"]
                else "Dimension {dim} of {x} {shape} is {size}, and the parts asked for take "
                "{total}: {off} too few.",
                **values,
            ),
        ),
    )


for _names, _bind in (
    ("split split_with_sizes unsafe_split unsafe_split_with_sizes", _split),
    ("chunk unsafe_chunk", _chunk),
    ("tensor_split", _tensor_split),
    ("hsplit vsplit dsplit", _h_v_d_split),
):
    operation(
        _names,
        bind=_bind,
        words=_divided_words,
        report=_divided_report,
        shares=True,
        scene=Scene("join"),
    )


def _unbind(call: Call) -> Bound:
    axis = _divided_axis(call)
    count = call.first.shape[axis]
    need(known(count) and count <= _MOST)
    dims = kept(call)
    return Bound(call, ((*dims[:axis], *dims[axis + 1 :]),) * count)


def _unbind_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.whole("dim", default=0))
    rest = (*step.x[:axis], *step.x[axis + 1 :])
    return Told(
        said(
            "Dim {axis} taken apart: {n} tensors of {shape}",
            axis=axis,
            n=step.x[axis],
            shape=ShapeOf(rest),
        )
    )


def _unbind_cells(bound: Bound, number: int) -> Cells:
    """Of result number n those at n."""
    return by_dims(bound, number, {At(0, _divided_axis(bound.call)): Along(start=number)})


operation(
    "unbind iter",
    bind=_unbind,
    words=_unbind_words,
    report=_divided_report,
    shares=True,
    scene=Scene("join", cells=_unbind_cells),
)
