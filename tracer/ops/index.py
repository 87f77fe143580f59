"""What stands between brackets, `x[...]`, and what masks choose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tracer.document import Slice, TensorAt
from tracer.ops.algebra import clash, differ, is_one, known, product
from tracer.ops.bound import (
    PIECE,
    SAME,
    Bound,
    Dim,
    Dims,
    all_marks,
    kept,
    mark,
    new,
    other_dtype,
    refuse,
    same,
    too_small,
)
from tracer.ops.call import At, Call, Shape, Size, Unclear, need
from tracer.ops.cells import Along, Cells, Scene, by_dims, everything
from tracer.ops.elementwise import masked, masked_report
from tracer.ops.refusal import Count, Refusal, Report, ShapeOf, said
from tracer.ops.say import (
    Spoken,
    Told,
    by_text,
    count_text,
    cut_out,
    dims_text,
    entry_taken,
)
from tracer.ops.spec import operation
from tracer.sentences import Filling, Said

# --- reading what stands between the brackets -----------------------------------------------------


@dataclass(frozen=True)
class _Picks:
    """A tensor or list of positions, or a mask: which entries to take along `axes` dimensions.

    `operand` is None for a list, which has a `span` of its own.  A mask picks as many as it has
    entries that are True: `count`, None where nobody knows.
    """

    shape: Shape
    operand: int | None
    axes: int = 1
    masks: bool = False
    count: Size | None = None
    span: tuple[int, int] | None = None

    @property
    def picked(self) -> Shape:
        """The shape of the positions, a mask's being a list."""
        return (self.count,) if self.masks else self.shape


_Item = Any
"""`None`, `...`, a number, a `Slice`, `_Picks`, or a `TensorAt` that stands for one number."""

_WHOLE = ("uint8", "int8", "int16", "int32", "int64")


def _items(call: Call) -> list[_Item]:
    if call.op == "index_put":  # here None stands for a whole dimension
        indices: Any = call.arguments.get("indices")
        need(isinstance(indices, tuple))
        return [_EVERYTHING if each is None else _item(call, each) for each in indices]
    index: Any = call.arguments.get("index")
    need(isinstance(index, tuple))
    return [_item(call, each) for each in index]


def _item(call: Call, value: Any) -> _Item:
    if value is None or value is Ellipsis:
        return value
    if isinstance(value, bool):
        return _Picks((), None, 0, True, int(value))
    if known(value):
        return value
    if isinstance(value, Slice):
        need(all(part is None or known(part) for part in (value.start, value.stop, value.step)))
        return value
    if isinstance(value, TensorAt) and value.index is not None:
        need(value.index < len(call.operands))
        return _tensor_item(call, value.index)
    if isinstance(value, tuple):
        return _list_item(value)
    raise Unclear


def _tensor_item(call: Call, operand: int) -> _Item:
    note = call.operands[operand]
    if note.dtype in ("bool", "uint8"):
        asked = note.dtype == "bool" and note.values is not None
        count = note.values.total() if asked and note.values is not None else None
        return _Picks(note.shape, operand, note.rank, True, count)
    if not note.rank and note.dtype in _WHOLE:
        return TensorAt(operand)
    if note.dtype not in ("int32", "int64"):
        raise refuse("dtype", operand=TensorAt(operand), found_dtype=note.dtype, index=True)
    return _Picks(note.shape, operand, span=note.values.span() if note.values else None)


def _list_item(value: tuple[Any, ...]) -> _Picks:
    shape: list[int] = []
    row: list[Any] = [value]
    while row and all(isinstance(each, tuple) for each in row):
        shape.append(len(row[0]))
        need(all(len(each) == shape[-1] for each in row))
        row = [part for each in row for part in each]
    if row and all(isinstance(each, bool) for each in row):
        return _Picks(tuple(shape), None, len(shape), True, sum(row))
    need(all(known(each) and not isinstance(each, bool) for each in row))
    return _Picks(tuple(shape), None, span=(min(row), max(row)) if row else None)


def _axes(item: _Item) -> int:
    """How many dimensions an entry of the index stands for."""
    if item is None or item is Ellipsis:
        return 0
    return item.axes if isinstance(item, _Picks) else 1


_EVERYTHING = Slice(None, None, None)


def _spread(call: Call) -> list[_Item]:
    """The index with whole slices for what it leaves out.

    Raises:
        Refused: kind `axis`, it names more dimensions than there are.
    """
    items, rank = _items(call), call.first.rank
    used = sum(map(_axes, items))
    if used > rank:
        raise refuse("axis", *all_marks(call, 0), dim=used - 1, rank=rank, named=used, at=0)
    if Ellipsis not in items:
        items = [*items, Ellipsis]
    need(items.count(Ellipsis) == 1)
    position = items.index(Ellipsis)
    return [*items[:position], *[_EVERYTHING] * (rank - used), *items[position + 1 :]]


@dataclass(frozen=True)
class _Taken:
    """What an index takes: the dimensions without the picks, and each of these with the first
    dimension that it picks along and its place among the others."""

    dims: Dims
    picks: tuple[tuple[_Picks, int, int], ...]

    @property
    def place(self) -> int:
        """The picks stand where the dimensions stood that they pick along, or in front if those are
        apart."""
        places = {place for _, _, place in self.picks}
        return min(places) if len(places) == 1 else 0


def _taken(call: Call) -> _Taken:
    dims: list[Dim] = []
    picks: list[tuple[_Picks, int, int]] = []
    axis = 0
    for item in _spread(call):
        if item is None:
            dims.append(new(1))
        elif isinstance(item, _Picks):
            if item.masks:
                _check_mask(call, item, axis)
            picks.append((item, axis, len(dims)))
        elif isinstance(item, Slice):
            dims.append(_cut(call, item, axis))
        elif known(item):
            check_entry(call, item, axis)
        else:
            check_span(call, axis, item.index)
        axis += _axes(item)
    return _Taken(tuple(dims), tuple(picks))


def _cut(call: Call, item: Slice, axis: int) -> Dim:
    at = At(0, axis)
    size, whole = call.first.shape[axis], same(call, At(0, axis))
    if item == _EVERYTHING:
        return whole
    by: Any = item.step
    if by is not None and by < 1:
        raise too_small("step", by, 1)
    need(known(size))
    start, stop, step = slice(item.start, item.stop, by).indices(size)
    length = max(0, -((start - stop) // step))
    if length == size:
        return whole
    return Dim(length, PIECE, (at,), start=start, stop=stop, step=step) if length else new(0)


def check_entry(call: Call, entry: int, axis: int) -> None:
    size = call.first.shape[axis]
    if known(size) and not -size <= entry < size:
        raise refuse("range", mark(call, At(0, axis)), dim=axis, index=entry)


def _check_mask(call: Call, item: _Picks, axis: int) -> None:
    for dim, have in enumerate(item.shape):
        want = call.first.shape[axis + dim]
        if differ(have, want):
            marks = [mark(call, At(0, axis + dim), have)]
            if item.operand is not None:
                marks.insert(0, mark(call, At(item.operand, dim), want))
            raise refuse("mask", *marks, wanted=want, found=have, dim=axis + dim, at=item.operand)


def check_span(
    call: Call,
    axis: int,
    operand: int | None,
    span: tuple[int, int] | None = None,
    least: int | None = None,
) -> None:
    """The positions that an operand holds, or a list between `span`, are there.

    Args:
        least: the lowest position, where they are not counted from the end as well.

    Raises:
        Refused: kind `range`.
    """
    shape = call.first.shape
    values = call.operands[operand].values if operand is not None else None
    span = span or (values.span() if values is not None else None)
    size = shape[axis] if shape else 1
    if span is None or not known(size):
        return
    low, high = (int(end) for end in span)
    if (-size if least is None else least) <= low and high < size:
        return
    wanted = high + 1 if high >= size else None
    marks = (mark(call, At(0, axis), wanted),) if shape else ()
    facts = {"dim": axis, "at": operand, "low": low, "high": high}
    raise refuse(
        "range", *marks, wanted=high + 1, found=size, index=high if wanted else low, **facts
    )


# --- x[...] ---------------------------------------------------------------------------------------


def _paired(call: Call, taken: _Taken) -> Dims:
    """The dimensions of the picks, which name positions together and so are broadcast."""
    picks = [(item, axis) for item, axis, _ in taken.picks]
    for number, (first, _) in enumerate(picks):
        for second, _ in picks[number + 1 :]:
            met = clash(first.picked, second.picked) if _known_counts(first, second) else None
            if met is not None:
                raise _unpaired(call, first, second, met)
    dims = []
    for back in range(max(len(item.picked) for item, _ in picks), 0, -1):
        met_here = [(item, axis) for item, axis in picks if len(item.picked) >= back]
        sizes = [_picked_size(call, taken, item, back) for item, _ in met_here]
        size = next((size for size in sizes if not is_one(size)), 1)
        ats = tuple(
            At(item.operand, len(item.shape) - back)
            for (item, _), own in zip(met_here, sizes, strict=True)
            if item.operand is not None and not item.masks and not differ(own, size)
        )
        chosen = tuple(
            At(0, axis + n) for item, axis in met_here if item.masks for n in range(item.axes)
        )
        dims.append(Dim(size, SAME, ats) if ats else new(size, sources=chosen))
    return tuple(dims)


def _known_counts(*picks: _Picks) -> bool:
    return all(item.count is not None or not item.masks for item in picks)


def _picked_size(call: Call, taken: _Taken, item: _Picks, back: int) -> Size:
    size = item.picked[-back]
    if size is not None:
        return size
    if not call.results:
        raise Unclear
    rank = max(len(each.picked) for each, _, _ in taken.picks)
    shape = call.results[0].shape
    need(len(shape) == rank + len(taken.dims))
    return shape[taken.place + rank - back]


def _unpaired(call: Call, first: _Picks, second: _Picks, met: tuple[int, int]) -> Exception:
    sizes = first.picked[met[0]], second.picked[met[1]]
    marks = [
        mark(call, At(item.operand, dim), other)
        for item, dim, other in ((first, met[0], sizes[1]), (second, met[1], sizes[0]))
        if item.operand is not None and not item.masks
    ]
    return refuse(
        "index", *marks, wanted=sizes[0], found=sizes[1], pair=(first.operand, second.operand)
    )


def _getitem(call: Call) -> Bound:
    taken = _taken(call)
    if not taken.picks:
        return Bound(call, (taken.dims,))
    ties = tuple(
        (At(0, axis + dim), At(item.operand, dim))
        for item, axis, _ in taken.picks
        if item.masks and item.operand is not None
        for dim in range(item.axes)
    )
    paired, place = _paired(call, taken), taken.place
    _check_positions(call, taken, paired)
    return Bound(call, ((*taken.dims[:place], *paired, *taken.dims[place:]),), ties)


def _check_positions(call: Call, taken: _Taken, paired: Dims) -> None:
    """The picks are there, unless nothing is taken."""
    if any(not differ(dim.size, 0) for dim in paired):
        return
    shape, nothing = call.first.shape, any(not differ(dim.size, 0) for dim in taken.dims)
    for item, axis, _ in taken.picks:
        if item.masks:
            continue
        if known(shape[axis]) and shape[axis] == 0:
            raise refuse("range", mark(call, At(0, axis)), dim=axis, index=0)
        if not nothing:
            check_span(call, axis, item.operand, item.span)


def _lines(call: Call, items: Sequence[_Item]) -> Iterator[Said]:
    """A line for each entry of the index that changes a dimension, picks left out; the dimensions
    of size 1 that it adds have one line."""
    axis = place = 0
    shape = call.first.shape
    added: list[int] = []
    for item in items:
        if item is None:
            added.append(place)
        elif isinstance(item, Slice):
            dim = _cut(call, item, axis)
            if dim.how != SAME:
                yield cut_out(dim, axis, shape[axis])
        elif not isinstance(item, _Picks):
            yield entry_taken(axis, shape[axis], item if known(item) else None)
        place += item is None or isinstance(item, Slice)
        axis += _axes(item)
    if added:
        yield said("{dims} of size 1 added", dims=dims_text(added))


def _getitem_words(step: Spoken) -> Told:
    items = _spread(step.call)
    lines = list(_lines(step.call, items))
    taken = _taken(step.call)
    if taken.picks:
        return _picked_words(step, taken, lines)
    if not lines:
        return Told(said("Shape kept: everything taken"))
    if len(lines) == 1:
        return Told(lines[0])
    parts: list[Filling] = []
    single = sum(known(item) or isinstance(item, TensorAt) for item in items)
    if single:
        parts.append(
            said("one entry taken" if single == 1 else "one entry of {n} dims taken", n=single)
        )
    cuts = sum(isinstance(item, Slice) and item != _EVERYTHING for item in items)
    if cuts:
        parts.append(
            said("a stretch cut out" if cuts == 1 else "a stretch cut out of {n} dims", n=cuts)
        )
    added = items.count(None)
    if added:
        parts.append(
            said("a dim of size 1 added" if added == 1 else "{n} dims of size 1 added", n=added)
        )
    return Told(said("{arrow}: {parts}", arrow=step.arrow, parts=tuple(parts)), lines)


def _picked_words(step: Spoken, taken: _Taken, lines: list[Said]) -> Told:
    shape, masked = step.x, [item.masks for item, _, _ in taken.picks]
    rank = len(step.out) - len(taken.dims)
    picked = step.out[taken.place : taken.place + rank]
    for item, axis, _ in taken.picks:
        if item.masks and item.axes:
            lines.append(
                said(
                    "{dims}: {kept} of {all} kept, where the mask is True",
                    dims=dims_text(range(axis, axis + item.axes)),
                    kept=picked[-1],
                    all=count_text(item.shape),
                )
            )
    axes = [axis for item, axis, _ in taken.picks if not item.masks]
    if axes:
        lines.append(
            said(
                "{dims}: {before} → {picked} picks" if picked else "{dims}: {before} → one pick",
                dims=dims_text(axes),
                before=by_text(shape[axis] for axis in axes),
                picked=by_text(picked),
            )
        )
    if all(masked):
        return Told(said("{arrow}: only what the mask marks True is kept", arrow=step.arrow), lines)
    return Told(said("{arrow}: entries picked by index", arrow=step.arrow), lines)


def range_report(refusal: Refusal) -> Report | None:
    """Of violations of kind `range`: a number, or a tensor of numbers, outside a dimension."""
    facts = refusal.facts
    if "dim" not in facts:
        return None
    dim, index = facts["dim"], facts["index"]
    shape = refusal.call.first.shape
    size = shape[dim] if shape else 1
    values = {
        "index": index,
        "dim": dim,
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "size": refusal.size(At(0, dim)) if shape else 1,
        "least": -size,
        "last": size - 1,
    }
    if "low" not in facts:
        return Report(
            said(
                "Index {index} is outside dimension {dim} of {x} {shape}: legal are {least} to "
                "{last}.",
                **values,
            ),
            (said("Dimension {dim} has {size} entries, counted from 0.", **values),),
        )
    at = facts["at"]
    values |= {
        "i": refusal.name(at, said("The index")),
        "low": facts["low"],
        "high": facts["high"],
    }
    return Report(
        said(
            "Index {index} is outside dimension {dim} of {x} {shape}: legal are 0 to {last}.",
            **values,
        ),
        (
            said(
                "{i} holds numbers from {low} to {high}, and dimension {dim} of {x} has {size} "
                "entries.",
                **values,
            ),
        ),
    )


def _getitem_report(refusal: Refusal) -> Report | None:
    kind = refusal.violation.kind
    if kind == "axis":
        return _named_report(refusal)
    if kind == "range":
        return range_report(refusal)
    if kind == "mask":
        return _mask_report(refusal)
    if kind == "dtype" and "index" in refusal.facts:
        i = refusal.name(refusal.facts["operand"].index, said("the index"))
        return Report(
            said(
                "An index must be whole numbers or a mask: {i} is {dtype}.",
                i=i,
                dtype=refusal.facts["found_dtype"],
            ),
            (
                said(
                    "Positions are counted, so torch takes long, int, bool or uint8. `.long()` "
                    "turns floats into whole numbers by cutting them off."
                ),
            ),
        )
    if kind == "index":
        return _unpaired_report(refusal)
    return _assigned_report(refusal) if kind == "broadcast" else None


def _named_report(refusal: Refusal) -> Report:
    rank, named = refusal.call.first.rank, refusal.facts["named"]
    values = {
        "named": Count(named, "dimension"),
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "rank": rank,
        "more": named - rank,
    }
    return Report(
        said("Indexing names {named}: {x} {shape} has only {rank}.", **values),
        (
            said(
                "Each part of the index stands for one dimension of {x}, and there are {more} too "
                "many. A dimension is missing that was there when this line was thought of.",
                **values,
            ),
        ),
    )


def _mask_report(refusal: Refusal) -> Report:
    at, facts = refusal.facts["at"], refusal.facts
    values = {
        "have": facts["found"],
        "want": refusal.size(At(0, facts["dim"])),
        "dim": facts["dim"],
        "mask": refusal.name(at, said("the mask")),
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "mask_shape": refusal.shape(at) if at is not None else "",
    }
    return Report(
        said(
            "A mask must have the sizes of what it is laid on: {have} ≠ {want} in dimension {dim}.",
            **values,
        ),
        (
            said(
                "{mask} chooses among the entries of {x} {shape}, and does not broadcast."
                if at is None
                else "{mask} {mask_shape} chooses among the entries of {x} {shape}, and does not "
                "broadcast.",
                **values,
            ),
        ),
    )


def _unpaired_report(refusal: Refusal) -> Report:
    first, second = refusal.facts["pair"]
    values: dict[str, Any] = {
        "one": refusal.facts["wanted"],
        "two": refusal.facts["found"],
        "first": refusal.name(first, said("one index")),
        "second": refusal.name(second, said("the other")),
    }
    for name, operand in (("shape_first", first), ("shape_second", second)):
        values[name] = refusal.shape(operand) if operand is not None else said("(a list)")
    return Report(
        said("Index tensors are paired element by element: {one} ≠ {two}.", **values),
        (
            said(
                "{first} {shape_first} and {second} {shape_second} name positions together, so "
                "their sizes must be equal or 1.",
                **values,
            ),
        ),
    )


def _getitem_cells(bound: Bound, number: int) -> Cells:
    """Slices step by step, numbers at their place, one index tensor by what it names."""
    call, axis, own = bound.call, 0, {}
    picks = 0
    for item in _spread(call):
        at = At(0, axis)
        if isinstance(item, _Picks):
            picks += 1
            if item.masks or item.operand is None or picks > 1:
                return everything(bound, number)
            own[at] = Along("named", by=item.operand)
        elif isinstance(item, TensorAt):
            own[at] = Along("named", by=item.index)
        elif item is not None and not isinstance(item, Slice):
            own[at] = Along(start=item + call.first.shape[axis] if item < 0 else item)
        axis += _axes(item)
    return by_dims(bound, number, own)


operation(
    "getitem",
    bind=_getitem,
    words=_getitem_words,
    report=_getitem_report,
    shares=True,
    scene=Scene("lookup", cells=_getitem_cells),
)


def _setitem(call: Call) -> Bound:
    index: Any = call.arguments.get("index")
    if isinstance(index, tuple) and len(index) == 1 and index[0] is False:
        return Bound(call, (kept(call),))  # nothing is written, and torch looks no further
    taken = _taken(call)
    place, target = taken.place, [dim.size for dim in taken.dims]
    if taken.picks:
        need(_known_counts(*(item for item, _, _ in taken.picks)))
        paired = _paired(call, taken)
        _check_positions(call, taken, paired)
        target[place:place] = [dim.size for dim in paired]
    value = call.tensor("value", "values")
    if value is not None:
        _check_assigned(call, value, tuple(target))
        other = call.operands[value]
        if taken.picks and other.rank and other.dtype != call.first.dtype:
            raise other_dtype(call, value, call.first.dtype)
    return Bound(call, (kept(call),))


def _check_assigned(call: Call, value: int, target: Shape) -> None:
    whole = call.operands[value].shape
    have = whole
    while call.op == "setitem" and len(have) > len(target) and is_one(have[0]):
        have = have[1:]
    cut = len(whole) - len(have)
    if len(have) > len(target):
        marks = (mark(call, At(value, dim)) for dim in range(len(whole) - len(target)))
        raise refuse("broadcast", *marks, target=target, value=value)
    for back in range(1, len(have) + 1):
        if not is_one(have[-back]) and differ(have[-back], target[-back]):
            raise refuse(
                "broadcast",
                mark(call, At(value, len(have) - back + cut), target[-back]),
                wanted=target[-back],
                found=have[-back],
                target=target,
                value=value,
            )


def _assigned_report(refusal: Refusal) -> Report:
    value, facts = refusal.facts["value"], refusal.facts
    values = {
        "target": ShapeOf(facts["target"]),
        "v": refusal.name(value, said("the value")),
        "given": refusal.shape(value),
        "count": Count(refusal.call.operands[value].rank, "dimension"),
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "have": facts.get("found"),
        "want": facts.get("wanted"),
    }
    if "wanted" not in facts:
        return Report(
            said(
                "What is assigned must fit the place {target}: {v} {given} has {count}.", **values
            ),
            (
                said(
                    "The index chooses {target} of {x} {shape}, and {v} {given} has more "
                    "dimensions than that.",
                    **values,
                ),
            ),
        )
    return Report(
        said("What is assigned must fit the place {target}: {have} ≠ {want}.", **values),
        (
            said(
                "The index chooses {target} of {x} {shape}, and {v} is {given}. Sizes must be "
                "equal, or 1 in what is assigned.",
                **values,
            ),
        ),
    )


operation(
    "setitem",
    bind=_setitem,
    words=lambda step: Told(said("Shape kept: part of the tensor overwritten in place")),
    report=_getitem_report,
)

operation(
    "index_put",
    bind=_setitem,
    words=lambda step: Told(
        said("Shape kept: the places that the index names overwritten or added to")
    ),
    report=_getitem_report,
)

# --- what a mask or the values choose -------------------------------------------------------------


def _counted(call: Call, known_before: Size | None = None) -> Size:
    """The number of entries chosen, as the run had it.

    Raises:
        Unclear: nobody has looked.
    """
    if call.results and call.results[0].rank:
        return call.results[0].shape[0]
    if known_before is None:
        raise Unclear
    return known_before


def _masked_select(call: Call) -> Bound:
    found = masked(call)
    (dims,) = found.results
    mask = call.operands[call.tensor("mask") or 0]
    here = mask.values.total() if mask.values is not None else None
    if here is not None:
        shape = tuple(dim.size for dim in dims)
        here = here * product(shape) // product(mask.shape) if 0 not in shape else 0
    count = _counted(call, here)
    sources = tuple(at for dim in dims for at in dim.sources)
    return Bound(call, ((new(count, sources=sources),),), found.ties)


def _masked_select_words(step: Spoken) -> Told:
    return Told(said("{arrow}: only what the mask marks True is kept", arrow=step.arrow))


operation("masked_select", bind=_masked_select, words=_masked_select_words, report=masked_report)


def _nonzero(call: Call) -> Bound:
    x = call.first
    here = x.values.total() if x.values is not None and x.dtype == "bool" else None
    rows = new(_counted(call, here), sources=tuple(At(0, dim) for dim in range(x.rank)))
    if call.op == "nonzero" and call.get("as_tuple"):
        return Bound(call, ((rows,),) * max(x.rank, 1))
    return Bound(call, ((rows, new(x.rank)),))


def _nonzero_words(step: Spoken) -> Told:
    positions = said("{arrow}: the positions of the non-zero values", arrow=step.arrow)
    if len(step.out) == 1:
        line = said("dim 0: new, one for each of {n} non-zero values", n=step.out[0])
        return Told(positions, [line])
    count, rank = step.out
    return Told(
        positions,
        [
            said("dim 0: new, one row for each of {n} non-zero values", n=count),
            said("dim 1: new, {n} coordinates", n=rank),
        ],
    )


operation("nonzero argwhere", bind=_nonzero, words=_nonzero_words, whole=True)
