"""Entries taken or written by their positions: narrow, select, gather, scatter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracer.document import TensorAt
from tracer.ops.algebra import differ, is_one, known, product
from tracer.ops.axes import axis_in
from tracer.ops.bound import (
    ANY_MORE,
    PIECE,
    Bound,
    Dim,
    all_marks,
    kept,
    mark,
    moved,
    new,
    other_dtype,
    refuse,
    same,
    too_small,
)
from tracer.ops.call import At, Call, Operand, Shape, Size, Unclear, need
from tracer.ops.cells import Along, Cells, Scene, by_dims
from tracer.ops.index import check_entry, check_span, range_report
from tracer.ops.refusal import Refusal, Report, said
from tracer.ops.say import (
    Spoken,
    Told,
    cut_out,
    entry_taken,
    size_changed,
)
from tracer.ops.spec import operation

# --- one stretch, one entry -----------------------------------------------------------------------


def _narrow(call: Call) -> Bound:
    if not call.first.rank:
        raise refuse("rank", rank=1, ranks=(1, ANY_MORE), at=0)
    axis = axis_in(call, call.whole("dim"))
    start, length = call.size("start"), call.size("length")
    size = call.first.shape[axis]
    if known(start) and known(length) and known(size):
        begin = start + size if start < 0 else start
        if length < 0 or not 0 <= begin <= size - length:
            raise refuse(
                "range",
                mark(call, At(0, axis), start + length),
                start=start,
                end=start + length,
                dim=axis,
            )
        start = begin
    dims = list(kept(call))
    dims[axis] = Dim(length, PIECE, (At(0, axis),), start=start, stop=start + length)
    return Bound(call, (tuple(dims),))


def _narrow_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.whole("dim"))
    return Told(cut_out(step.bound.results[0][axis], axis, step.x[axis]))


def _narrow_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "range":
        return None
    dim = refusal.facts["dim"]
    values = {
        "start": refusal.facts["start"],
        "end": refusal.facts["end"],
        "dim": dim,
        "size": refusal.size(At(0, dim)),
        "x": refusal.name(0),
        "shape": refusal.shape(0),
    }
    return Report(
        said("narrow takes {start} to {end} of dimension {dim}, which has {size}.", **values),
        (said("{x} {shape} ends before that.", **values),),
    )


operation(
    "narrow",
    bind=_narrow,
    words=_narrow_words,
    report=_narrow_report,
    shares=True,
    scene=Scene("join"),
)


def _select(call: Call) -> Bound:
    if not call.first.rank:
        raise refuse("rank", rank=1, ranks=(1, ANY_MORE), at=0)
    axis, index = axis_in(call, call.whole("dim")), call.size("index")
    if known(index):
        check_entry(call, index, axis)
    dims = kept(call)
    return Bound(call, ((*dims[:axis], *dims[axis + 1 :]),))


def _select_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.whole("dim"))
    return Told(entry_taken(axis, step.x[axis], step.call.whole("index")))


def _select_report(refusal: Refusal) -> Report | None:
    return range_report(refusal) if refusal.violation.kind == "range" else None


def _select_cells(bound: Bound, number: int) -> Cells:
    """Those at one index."""
    call = bound.call
    axis, index = axis_in(call, call.whole("dim")), call.size("index")
    place = index + call.first.shape[axis] if known(index) and index < 0 else index
    return by_dims(bound, number, {At(0, axis): Along(start=place)})


operation(
    "select",
    bind=_select,
    words=_select_words,
    report=_select_report,
    shares=True,
    scene=Scene("join", cells=_select_cells),
)

# --- a copy with a stretch or an entry written anew -----------------------------------------------


def _rewritten(call: Call) -> Bound:
    """`src` has the shape of what `select`, or a slice, would take.

    Raises:
        Refused: kinds `rank`, `index`, with its first size that differs.
    """
    if not call.first.rank:
        raise refuse("rank", rank=1, ranks=(1, ANY_MORE), at=0)
    axis, source = axis_in(call, call.whole("dim", default=0)), call.position("src")
    places = list(range(call.first.rank))
    wanted = list(call.first.shape)
    if call.op == "select_scatter":
        check_entry(call, call.size("index"), axis)
        del places[axis], wanted[axis]
    else:
        step, size = call.size("step"), wanted[axis]
        need(known(size) and known(step))
        if step < 1:
            raise too_small("step", step, 1)
        wanted[axis] = len(range(size)[call.whole("start") : call.whole("end") : step])
    have = call.operands[source].shape
    if len(have) != len(wanted):
        raise refuse("rank", *all_marks(call, source), rank=len(wanted), at=source)
    ties = []
    for dim, (a, b) in enumerate(zip(have, wanted, strict=True)):
        if differ(a, b):
            found = mark(call, At(source, dim), b)
            raise refuse("index", found, wanted=b, found=a, source=source)
        ties += [(At(0, places[dim]), At(source, dim))] if places[dim] != axis else []
    dims = tuple(moved(d) if n == axis else d for n, d in enumerate(kept(call)))
    return Bound(call, (dims,), tuple(ties))


operation(
    "select_scatter slice_scatter",
    bind=_rewritten,
    words=lambda step: Told(said("Shape kept: a copy with one part written anew")),
    report=_select_report,
)

# --- an index tensor for one dimension ------------------------------------------------------------


def _index_of(call: Call, name: str, dtypes: Sequence[str]) -> tuple[int, Operand]:
    """The operand that holds positions.

    Raises:
        Refused: kind `dtype`, it holds none.
    """
    at = call.tensor(name)
    if at is None:
        raise Unclear
    if call.operands[at].dtype not in dtypes:
        raise refuse(
            "dtype", operand=TensorAt(at), found_dtype=call.operands[at].dtype, wanted=dtypes
        )
    return at, call.operands[at]


def _row_of(call: Call) -> tuple[int, int, Size]:
    """The dimension and the one row of positions of index_select and its kin, and how many."""
    axis = axis_in(call, call.whole("dim"))
    dtypes = (
        ("int64", "int32")
        if call.op in ("index_select", "index_add", "index_reduce")
        else ("int64",)
    )
    at, index = _index_of(call, "index", dtypes)
    if index.rank > 1:
        raise refuse("rank", *all_marks(call, at), rank=1, dim=call.whole("dim"), at=at)
    check_span(call, axis, at, least=None if call.op in ("index_fill",) else 0)
    return axis, at, index.shape[0] if index.rank else 1


def _index_select(call: Call) -> Bound:
    axis, at, count = _row_of(call)
    dims = list(kept(call))
    if not dims:
        if differ(count, 1):
            raise refuse("index", mark(call, At(at, 0), 1), wanted=1, found=count)
        return Bound(call, ((),))
    dims[axis] = same(call, At(at, 0)) if call.operands[at].rank else new(1)
    return Bound(call, (tuple(dims),))


def _index_select_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.whole("dim"))
    if not step.x:
        return Told(said("Shape kept: the one number picked by index"))
    return Told(said("{change}, picked by index", change=size_changed(axis, step.x, step.out)))


def _index_write(call: Call) -> Bound:
    axis, at, count = _row_of(call)
    source = call.tensor("source")
    if source is not None:
        _check_source(call, axis, at, count, source)
    return Bound(call, (kept(call),))


def _check_source(call: Call, axis: int, at: int, count: Size, source: int) -> None:
    """What is written has a slice for each position, and the sizes of what it is written into."""
    x, given = call.first, call.operands[source]
    if given.dtype != x.dtype:
        raise other_dtype(call, source, call.first.dtype)
    if given.rank != x.rank and max(given.rank, x.rank) > 1:
        raise refuse("rank", *all_marks(call, source), rank=x.rank, at=source)
    rows = given.shape[axis] if given.rank else 1
    if differ(rows, count):
        marks = [mark(call, At(source, axis), count)] if given.rank else []
        marks += [mark(call, At(at, 0), rows)] if call.operands[at].rank else []
        raise refuse("index", *marks, wanted=count, found=rows, source=source)
    for dim, (have, want) in enumerate(zip(given.shape, x.shape, strict=False)):
        if dim != axis and differ(have, want):
            raise _odd_sizes(call, At(source, dim), At(0, dim), source=source, dim=dim)


def _source_report(refusal: Refusal) -> Report:
    """Of what is written there is not just one for each position."""
    facts, source = refusal.facts, refusal.facts["source"]
    values = {
        "op": refusal.call.op,
        "have": facts["found"],
        "want": facts["wanted"],
        "dim": facts.get("dim"),
        "s": refusal.name(source, said("the source")),
        "shape_s": refusal.shape(source),
        "x": refusal.name(0),
        "shape": refusal.shape(0),
    }
    if "dim" in facts:
        return Report(
            said(
                "{op} needs the other sizes of its source as they are in the input: {have} ≠ "
                "{want} in dimension {dim}.",
                **values,
            ),
            (said("{s} {shape_s} is written into {x} {shape} slice by slice.", **values),),
        )
    return Report(
        said("{op} needs as much to write as there are positions: {have} ≠ {want}.", **values),
        (
            said(
                "For each position that the index names, {s} {shape_s} has one entry to write.",
                **values,
            ),
        ),
    )


def _row_report(refusal: Refusal) -> Report | None:
    kind, facts = refusal.violation.kind, refusal.facts
    if kind == "range":
        return range_report(refusal)
    if kind == "index" and "source" in facts:
        return _source_report(refusal)
    if kind == "dtype" and "wanted" in facts:
        at = facts["operand"].index
        i = refusal.name(at, said("the index"))
        return Report(
            said(
                "{op} needs an index of int64 or int32: {i} is {dtype}."
                if "int32" in facts["wanted"]
                else "{op} needs an index of int64: {i} is {dtype}.",
                op=refusal.call.op,
                i=i,
                dtype=facts["found_dtype"],
            ),
            (
                said(
                    "{i} holds positions, which are whole numbers; `.long()` makes them so.",
                    i=i,
                ),
            ),
        )
    if kind != "rank" or "dim" not in facts:
        return None
    at = facts["at"]
    values: dict[str, Any] = {
        "op": refusal.call.op,
        "i": refusal.name(at, said("the index")),
        "shape": refusal.shape(at),
        "rank": refusal.call.operands[at].rank,
        "dim": facts["dim"],
    }
    return Report(
        said("{op} needs an index with 1 dimension: {i} {shape} has {rank}.", **values),
        (
            said(
                "It takes one list of positions for the whole of dimension {dim}. For an index "
                "that differs from row to row, gather is meant.",
                **values,
            ),
        ),
    )


def _index_select_cells(bound: Bound, number: int) -> Cells:
    """The rows that the index names."""
    axis, at, _ = _row_of(bound.call)
    own = {At(0, axis): Along("named", by=at)} if bound.call.first.rank else {}
    return by_dims(bound, number, own)


operation(
    "index_select",
    bind=_index_select,
    words=_index_select_words,
    report=_row_report,
    scene=Scene("lookup", cells=_index_select_cells),
)


def _written_words(step: Spoken) -> Told:
    return Told(said("Shape kept: the places that the index names overwritten or added to"))


operation(
    "index_add index_copy index_fill index_reduce",
    bind=_index_write,
    words=_written_words,
    report=_row_report,
)

# --- an index for each place of the result --------------------------------------------------------


def _gathered(call: Call) -> tuple[int, int]:
    """The dimension of gather and scatter, and their index.

    Raises:
        Refused: kinds `dtype`, `rank`, `index`, `range`.
    """
    axis = axis_in(call, call.whole("dim"))
    if 0 in call.shape("index"):
        return axis, call.tensors("index")[0]
    at, index = _index_of(call, "index", ("int64", "int32"))
    x = call.first
    if max(index.rank, 1) != max(x.rank, 1):
        raise refuse("rank", *all_marks(call, at), rank=x.rank, dim=call.whole("dim"), at=at)
    dim = _beyond(index.shape, x.shape, but=axis)
    if dim is not None:
        raise _odd_sizes(call, At(at, dim), At(0, dim), dim=dim, axis=axis, at=at)
    return axis, at


def _beyond(inner: Shape, outer: Shape, but: int | None = None) -> int | None:
    """The first dimension in which a shape does not lie within another, `but` left out."""
    return next(
        (
            dim
            for dim, (have, most) in enumerate(zip(inner, outer, strict=False))
            if dim != but and known(have) and known(most) and have > most
        ),
        None,
    )


def _odd_sizes(call: Call, found: At, wanted: At, **facts: Any) -> Exception:
    """To be raised: the first of two dimensions should be as the second is."""
    have, want = (call.operands[at.operand].shape[at.dim] for at in (found, wanted))
    marks = mark(call, found, want), mark(call, wanted, have)
    return refuse("index", *marks, wanted=want, found=have, **facts)


def _gather(call: Call) -> Bound:
    axis, at = _gathered(call)
    check_span(call, axis, at, least=0)
    return Bound(call, (kept(call, at),))


def _gather_words(step: Spoken) -> Told:
    if step.call.get("dim") is None:
        return Told(
            said("{arrow}: each place takes the entry that the index names", arrow=step.arrow)
        )
    axis = axis_in(step.call, step.call.whole("dim"))
    lines = [
        said("{change}, the size of the index", change=size_changed(dim, step.x, step.out))
        for dim, (a, b) in enumerate(zip(step.x, step.out, strict=False))
        if a != b
    ]
    return Told(
        said(
            "{arrow}: each place takes the entry that the index names along dim {axis}",
            arrow=step.arrow,
            axis=axis,
        ),
        lines,
    )


# long: one text for each way in which the call is wrong
def _gather_report(refusal: Refusal) -> Report | None:
    kind, facts = refusal.violation.kind, refusal.facts
    if kind == "range":
        return range_report(refusal)
    if kind == "dtype" and "wanted" in facts:
        at = facts["operand"].index
        i = refusal.name(at, said("the index"))
        return Report(
            said(
                "{op} needs an index of int64: {i} is {dtype}.",
                op=refusal.call.op,
                i=i,
                dtype=facts["found_dtype"],
            ),
            (
                said(
                    "{i} says which entries to take, so it must hold whole numbers; `.long()` "
                    "turns it into int64.",
                    i=i,
                ),
            ),
        )
    if kind not in ("rank", "index") or "dim" not in facts:
        return None
    at = facts["at"]
    values: dict[str, Any] = {
        "op": refusal.call.op,
        "dim": facts["dim"],
        "i": refusal.name(at, said("the index")),
        "x": refusal.name(0, said("the input")),
        "shape_i": refusal.shape(at),
        "shape": refusal.shape(0),
        "one": refusal.call.operands[at].rank,
        "two": refusal.call.first.rank,
        "have": facts.get("found"),
        "most": facts.get("wanted"),
        "axis": facts.get("axis"),
    }
    if kind == "rank":
        return Report(
            said(
                "{op} needs an index with as many dimensions as the input: {one} ≠ {two} ({i} "
                "{shape_i}, {x} {shape}).",
                **values,
            ),
            (
                said(
                    "The index names one entry of {x} for each place of the result, so it has the "
                    "result's shape, not one number a row. A dimension of 1 is missing: "
                    "`{i}.unsqueeze({dim})`.",
                    **values,
                ),
            ),
        )
    if "source" in facts:
        source = facts["source"]
        values |= {"s": refusal.name(source, said("the source")), "shape_s": refusal.shape(source)}
        return Report(
            said(
                "{op} needs a source at least as large as the index: {have} < {most} in dimension "
                "{dim}.",
                **values,
            ),
            (said("Each entry of {i} {shape_i} takes one number of {s} {shape_s}.", **values),),
        )
    return Report(
        said(
            "{op} needs an index no larger than the input but in dimension {axis}: {have} > {most} "
            "in dimension {dim}.",
            **values,
        ),
        (
            said(
                "{i} {shape_i} names entries of {x} {shape} along dimension {axis} only; in the "
                "others it runs over the same places.",
                **values,
            ),
        ),
    )


def _gather_cells(bound: Bound, number: int) -> Cells:
    """Along one dimension what the index names at this place, along the others the same place."""
    axis, at = _gathered(bound.call)
    rank = bound.call.first.rank
    own = {At(0, dim): Along(dim=dim) for dim in range(rank) if dim != axis}
    if rank:
        own[At(0, axis)] = Along("named", by=at)
    return by_dims(bound, number, own)


operation(
    "gather",
    bind=_gather,
    words=_gather_words,
    report=_gather_report,
    scene=Scene("lookup", cells=_gather_cells),
)


def _take_along_dim(call: Call) -> Bound:
    flat = call.get("dim") is None
    at, index = _index_of(call, "indices", ("int64", "int32") if flat else ("int64",))
    if flat:
        _check_elements(call, index, least=0)
        row = new(product(index.shape), sources=tuple(At(at, dim) for dim in range(index.rank)))
        return Bound(call, ((row,),))
    axis = axis_in(call, call.whole("dim"))
    x = call.first
    if index.rank != x.rank or not x.rank:
        raise refuse("rank", *all_marks(call, at), rank=x.rank, dim=call.whole("dim"), at=at)
    dims: list[Dim] = []
    for dim, (mine, theirs) in enumerate(zip(x.shape, index.shape, strict=True)):
        if dim == axis:
            dims.append(same(call, At(at, dim)))
            continue
        if differ(mine, theirs) and not is_one(mine) and not is_one(theirs):
            marks = mark(call, At(0, dim), theirs), mark(call, At(at, dim), mine)
            raise refuse("broadcast", *marks, wanted=theirs, found=mine)
        dims.append(same(call, At(at, dim), At(0, dim)))
    return Bound(call, (tuple(dims),))


operation("take_along_dim", bind=_take_along_dim, words=_gather_words, report=_gather_report)


def _scatter(call: Call) -> Bound:
    axis, at = _gathered(call)
    index, source = call.operands[at], call.tensor("src")
    if source is not None and call.operands[source].dtype != call.first.dtype:
        raise other_dtype(call, source, call.first.dtype)
    if source is not None and 0 not in index.shape:
        given = call.operands[source]
        if max(given.rank, 1) != max(index.rank, 1):
            raise refuse("rank", *all_marks(call, source), rank=index.rank, at=source)
        dim = _beyond(index.shape, given.shape)
        if dim is not None:
            facts = {"dim": dim, "axis": axis, "at": at, "source": source}
            raise _odd_sizes(call, At(source, dim), At(at, dim), **facts)
    check_span(call, axis, at, least=0)
    return Bound(call, (kept(call),))


def _scatter_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.whole("dim"))
    return Told(
        said(
            "Shape kept: values added to the places along dim {axis} that the index names"
            if step.name == "scatter_add"
            else "Shape kept: values put into the places along dim {axis} that the index names",
            axis=axis,
        )
    )


operation(
    "scatter scatter_add scatter_reduce",
    bind=_scatter,
    words=_scatter_words,
    report=_gather_report,
)

# --- positions of the elements --------------------------------------------------------------------


def _put(call: Call) -> Bound:
    _, index = _index_of(call, "index", ("int64",))
    source = call.tensor("source")
    if source is not None:
        given = call.operands[source]
        if given.dtype != call.first.dtype:
            raise other_dtype(call, source, call.first.dtype)
        one, two = product(given.shape), product(index.shape)
        if differ(one, two):
            raise refuse("index", *all_marks(call, source), wanted=two, found=one, source=source)
    _check_elements(call, index, least=None)
    return Bound(call, (kept(call),))


def _check_elements(call: Call, index: Operand, least: int | None) -> None:
    """The positions among all elements of the first operand are there.

    Raises:
        Refused: kind `range`.
    """
    span = index.values.span() if index.values is not None else None
    number = product(call.first.shape)
    if span is None or not known(number):
        return
    low, high = (int(end) for end in span)
    if high >= number or low < (-number if least is None else least):
        raise refuse("range", *all_marks(call, 0), found=number, wanted=high + 1)


operation("put", bind=_put, words=_written_words, report=_row_report)
