"""Rules for `x[...]` and its relatives."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence
from types import EllipsisType
from typing import NamedTuple

from tracer.views.dimensions import Dim, Dims, Shape
from tracer.views.rules.case import (
    Case,
    Told,
    Unclear,
    by_text,
    capital,
    count_text,
    dims_text,
    dtype_of,
    is_integer,
    many,
    need,
    tells,
)


class _Slice(NamedTuple):
    start: int | None
    stop: int | None
    step: int | None


class _Mask(NamedTuple):
    shape: Shape


class _Picks(NamedTuple):
    """A tensor or list of whole numbers."""

    shape: Shape
    dims: Dims


_Item = int | None | EllipsisType | _Slice | _Mask | _Picks
_EVERYTHING = _Slice(None, None, None)


def _index(case: Case) -> list[_Item]:
    """The entries of `x[...]`, read from the recorded text; tensors in it are later operands."""
    need(len(case.step.arguments) == 1 and len(case.step.arguments[0]) <= 400)
    try:
        tree = ast.parse(f"_{case.step.arguments[0]}", mode="eval").body
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise Unclear from None
    if not isinstance(tree, ast.Subscript):
        raise Unclear
    nodes = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
    count = sum(isinstance(node, ast.Name) for node in nodes)
    if count == len(case.ins) - 1:
        operands = iter(range(1, count + 1))
    else:  # a tensor that stands twice in the index is recorded once
        need(count > 1 and len(case.ins) == 2)
        operands = iter([1] * count)
    return [_item(node, case, operands) for node in nodes]


def _item(node: ast.expr, case: Case, operands: Iterator[int]) -> _Item:
    if isinstance(node, ast.Slice):
        bounds = (node.lower, node.upper, node.step)
        return _Slice(*(None if part is None else _whole(part) for part in bounds))
    if isinstance(node, ast.Name) and node.id == "tensor":
        operand = next(operands)
        note = case.step.inputs[operand]
        if dtype_of(note) == "bool":
            return _Mask(note.shape)
        need(is_integer(note))
        return _Picks(note.shape, case.dims(operand))
    if isinstance(node, ast.List):
        shape = (len([_whole(part) for part in node.elts]),)
        return _Picks(shape, case.known.fresh(shape))
    if isinstance(node, ast.Constant) and (node.value is None or node.value is Ellipsis):
        return node.value
    return _whole(node)


def _whole(node: ast.expr) -> int:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_whole(node.operand)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    raise Unclear


def _spread(items: list[_Item], rank: int) -> list[_Item]:
    """The index with whole slices for what it leaves out."""
    used = 0
    for item in items:
        used += len(item.shape) if isinstance(item, _Mask) else item not in (None, ...)
    if ... not in items:
        items = [*items, ...]
    need(items.count(...) == 1 and used <= rank)
    position = items.index(...)
    return [*items[:position], *[_EVERYTHING] * (rank - used), *items[position + 1 :]]


@tells("getitem")
def _getitem(case: Case) -> Told:
    shape = case.x
    items = _spread(_index(case), len(shape))
    need(len(case.outs) == 1)
    if any(isinstance(item, _Mask) for item in items):
        return _masked(case, items)
    lines: list[str] = []
    dims: list[Dim] = []
    sizes: list[int] = []
    picks: list[tuple[int, int, _Picks]] = []
    axes = iter(range(len(shape)))
    for item in items:
        if item is None:
            lines.append(f"dim {len(sizes)} of size 1 added")
            dims.append(())
            sizes.append(1)
            continue
        axis = next(axes)
        if isinstance(item, _Picks):
            picks.append((axis, len(sizes), item))
        elif isinstance(item, _Slice):
            size, dim, words = _cut(case, item, axis)
            sizes.append(size)
            dims.append(dim)
            lines += words
        else:
            assert isinstance(item, int)
            need(-shape[axis] <= item < shape[axis])
            lines.append(f"dim {axis} ({shape[axis]}) removed, entry {item} taken")
    if picks:
        return _picked(case, picks, sizes, dims, lines)
    need(case.out == tuple(sizes))
    if not lines:
        return Told("Shape kept: everything taken", (), [tuple(dims)])
    return Told(f"{case.arrow}: {_words(items)}", lines, [tuple(dims)])


def _cut(case: Case, item: _Slice, axis: int) -> tuple[int, Dim, list[str]]:
    size, dim = case.x[axis], case.dims()[axis]
    need(item.step is None or item.step > 0)
    start, stop, step = slice(*item).indices(size)
    length = max(0, -((start - stop) // step))
    if length == size:
        return size, dim, []
    if not length:
        return 0, case.atoms.new(0), [f"dim {axis}: {size} → 0, nothing taken"]
    words = f"dim {axis}: {size} → {length}, from {start} to {start + (length - 1) * step}"
    if step == 1:
        return length, case.atoms.piece(dim, start, stop), [words]
    return length, case.atoms.derive(dim, length, "piece"), [f"{words} in steps of {step}"]


def _words(items: Sequence[_Item]) -> str:
    parts = []
    if any(isinstance(item, int) for item in items):
        parts.append("one entry taken")
    if any(isinstance(item, _Slice) and item != _EVERYTHING for item in items):
        parts.append("a stretch cut out")
    if None in items:
        parts.append("a dim of size 1 added")
    return " and ".join(parts)


def _masked(case: Case, items: Sequence[_Item]) -> Told:
    """`x[mask]`: the masked dimensions become one."""
    place, mask = next((i, item) for i, item in enumerate(items) if isinstance(item, _Mask))
    need(all(item == _EVERYTHING for i, item in enumerate(items) if i != place))
    stop = place + len(mask.shape)
    need(bool(mask.shape) and mask.shape == case.x[place:stop])
    need(len(case.out) == len(items))
    count = case.out[place]
    need(case.out == (*case.x[:place], count, *case.x[stop:]) and count <= math.prod(mask.shape))
    line = f"{dims_text(range(place, stop))}: {count} of {count_text(mask.shape)} kept"
    dims = case.dims()
    return Told(
        f"{case.arrow}: only what the mask marks True is kept",
        [f"{line}, where the mask is True"],
        [(*dims[:place], case.atoms.new(count), *dims[stop:])],
    )


def _picked(
    case: Case,
    picks: Sequence[tuple[int, int, _Picks]],
    sizes: Sequence[int],
    dims: Sequence[Dim],
    lines: Sequence[str],
) -> Told:
    """The picks, broadcast together, stand where the indexed dimensions stood, or in front if
    those are apart."""
    places = {place for _, place, _ in picks}
    result: list[int] = []
    result_dims: list[Dim] = []
    for back in range(max(len(item.shape) for _, _, item in picks), 0, -1):
        options = [
            (item.shape[-back], item.dims[-back]) for _, _, item in picks if len(item.shape) >= back
        ]
        size = next((size for size, _ in options if size != 1), 1)
        need(all(own in (size, 1) for own, _ in options))
        result.append(size)
        result_dims.append(next((dim for own, dim in options if own == size), ()))
    at = min(places) if len(places) == 1 else 0
    need(case.out == (*sizes[:at], *result, *sizes[at:]))
    axes = [axis for axis, _, _ in picks]
    taken = f"{by_text(result)} picks" if result else "one pick"
    return Told(
        f"{case.arrow}: entries picked by index",
        [*lines, f"{dims_text(axes)}: {by_text(case.x[axis] for axis in axes)} → {taken}"],
        [(*dims[:at], *result_dims, *dims[at:])],
    )


@tells("setitem")
def _setitem(case: Case) -> Told:
    return Told("Shape kept: part of the tensor overwritten in place", (), [case.keeps()])


@tells("narrow", "dim start length")
def _narrow(case: Case) -> Told:
    axis = case.args.axis(len(case.x))
    start, length = case.args.whole("start"), case.args.whole("length")
    if start is None or length is None:
        raise Unclear
    shape = case.x
    need(bool(shape))
    start %= max(shape[axis], 1)
    need(case.out == (*shape[:axis], length, *shape[axis + 1 :]))
    need(start + length <= shape[axis])
    dims = list(case.dims())
    dims[axis] = case.atoms.piece(dims[axis], start, start + length)
    line = f"dim {axis}: {shape[axis]} → {length}, from {start} to {start + length - 1}"
    return Told(capital(line), [line], [tuple(dims)])


@tells("select", "dim index")
def _select(case: Case) -> Told:
    axis = case.args.axis(len(case.x))
    index = case.args.whole("index")
    shape = case.x
    if index is None or not shape:
        raise Unclear
    need(-shape[axis] <= index < shape[axis])
    need(case.out == (*shape[:axis], *shape[axis + 1 :]))
    dims = case.dims()
    line = f"dim {axis} ({shape[axis]}) removed, entry {index} taken"
    return Told(capital(line), [line], [(*dims[:axis], *dims[axis + 1 :])])


@tells("index_select", "dim")
def _index_select(case: Case) -> Told:
    axis = case.args.axis(len(case.x))
    shape, index = case.x, case.shape(1)
    need(bool(shape) and len(index) <= 1)
    count = index[0] if index else 1
    need(case.out == (*shape[:axis], count, *shape[axis + 1 :]))
    dims = list(case.dims())
    dims[axis] = case.dims(1)[0] if index else ()
    line = f"dim {axis}: {shape[axis]} → {count}, picked by index"
    return Told(capital(line), [line], [tuple(dims)])


@tells("gather take_along_dim", "dim")
def _gather(case: Case) -> Told:
    axis = case.args.axis(len(case.x))
    index = case.ins[-1]
    need(case.out == index and len(index) == len(case.x))
    how = "takes the entry that the index names"
    return Told(
        f"{case.arrow}: each place {how} along dim {axis}",
        [
            f"dim {k}: {a} → {b}, the size of the index"
            for k, (a, b) in enumerate(zip(case.x, case.out, strict=True))
            if a != b
        ],
        [case.dims(len(case.ins) - 1)],
    )


@tells("scatter scatter_add scatter_reduce", "dim")
def _scatter(case: Case) -> Told:
    axis = case.args.axis(len(case.x))
    verb = "added to" if case.name == "scatter_add" else "put into"
    return Told(
        f"Shape kept: values {verb} the places along dim {axis} that the index names",
        (),
        [case.keeps()],
    )


@tells("index_add index_copy index_fill index_put put put_along_dim", "dim")
def _index_write(case: Case) -> Told:
    return Told(
        "Shape kept: the places that the index names overwritten or added to", (), [case.keeps()]
    )


@tells("masked_select")
def _masked_select(case: Case) -> Told:
    need(len(case.out) == 1)
    line = f"all dims: {case.out[0]} values kept, where the mask is True"
    return Told(
        f"{case.arrow}: only what the mask marks True is kept",
        [line],
        [case.known.fresh(case.out)],
    )


@tells("nonzero argwhere")
def _nonzero(case: Case) -> Told:
    need(len(case.outs) == 1 and len(case.out) == 2 and case.out[1] == len(case.x))
    count, rank = case.out
    return Told(
        f"{case.arrow}: the positions of the non-zero values",
        [
            f"dim 0: new, one row for each of {count} non-zero values",
            f"dim 1: new, {many(rank, 'coordinate')}",
        ],
        [case.known.fresh(case.out)],
    )
