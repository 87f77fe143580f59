"""Rules for operations that put the same elements into another shape, join or split them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tracer.ops.names import shape_text
from tracer.views.dimensions import Dim, Dims, Shape
from tracer.views.rules.case import (
    Case,
    Told,
    axes_of,
    by_text,
    capital,
    dims_text,
    dtype_of,
    listed,
    many,
    need,
    ordinal,
    read,
    some_shapes,
    tells,
)

# --- the same elements in another shape ----------------------------------------------------------

_Block = tuple[list[int], list[int]]


def _blocks(before: Shape, after: Shape) -> list[_Block]:
    """The smallest groups of dimensions, without those of size 1, that hold the same elements
    before and after a row-major reshape."""
    blocks: list[_Block] = []
    sources = [axis for axis, size in enumerate(before) if size != 1]
    targets = [axis for axis, size in enumerate(after) if size != 1]
    i = j = 0
    while i < len(sources) and j < len(targets):
        left, right = before[sources[i]], after[targets[j]]
        block: _Block = ([sources[i]], [targets[j]])
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                need(i < len(sources))
                left *= before[sources[i]]
                block[0].append(sources[i])
                i += 1
            else:
                need(j < len(targets))
                right *= after[targets[j]]
                block[1].append(targets[j])
                j += 1
        blocks.append(block)
    need(i == len(sources) and j == len(targets))
    return blocks


def _reshaped(case: Case) -> Told:
    before, after = case.x, case.out
    need(len(case.outs) == 1 and dtype_of(case.step.inputs[0]) == dtype_of(case.step.outputs[0]))
    if before == after:
        return Told("Shape kept: the same values", (), [case.dims()])
    need(0 not in before and 0 not in after)
    blocks = _blocks(before, after)
    dims: list[Dim] = [()] * len(after)
    lines: list[str] = []
    for sources, targets in blocks:
        found = case.atoms.regroup(
            [case.dims()[axis] for axis in sources], [after[axis] for axis in targets]
        )
        if len(sources) == len(targets) == 1:
            found = [case.dims()[sources[0]]]
        for place, axis in enumerate(targets):
            dims[axis] = found[place] if found is not None else case.atoms.new(after[axis])
        lines += _block_line(before, after, sources, targets)
    lines += _ones_lines(case, before, after, blocks, dims)
    words = "the same values in the same order, grouped differently"
    return Told(f"{case.arrow}: {words}", lines, [tuple(dims)])


def _block_line(before: Shape, after: Shape, sources: list[int], targets: list[int]) -> list[str]:
    old, new = [before[axis] for axis in sources], [after[axis] for axis in targets]
    if len(sources) == len(targets) == 1:
        return []
    if len(targets) == 1:
        return [f"{dims_text(sources)}: {listed(old)} merged into {new[0]}"]
    if len(sources) == 1:
        return [f"dim {sources[0]} split: {old[0]} → {by_text(new)}"]
    return [f"{dims_text(sources)}: {by_text(old)} read row by row as {by_text(new)}"]


def _ones_lines(
    case: Case, before: Shape, after: Shape, blocks: list[_Block], dims: list[Dim]
) -> list[str]:
    """Dimensions of size 1 stand between the blocks; where their number changes, some came or
    went, where it does not, they are the same."""
    removed: list[int] = []
    added: list[int] = []
    moved: list[str] = []
    left = right = -1
    for sources, targets in [*blocks, ([len(before)], [len(after)])]:
        old = list(range(left + 1, sources[0]))
        new = list(range(right + 1, targets[0]))
        left, right = sources[-1], targets[-1]
        if len(old) == len(new):
            for axis, place in zip(old, new, strict=True):
                dims[place] = case.dims()[axis]
        elif not new:
            removed += old
        elif not old:
            added += new
        else:
            moved.append(f"{len(old)} dims of size 1 → {len(new)}")
    if len(blocks) == 0 and removed and len(removed) == len(before):
        return [f"{dims_text(removed)} of size 1 removed"]
    return [
        *([f"{dims_text(removed)} of size 1 removed"] if removed else []),
        *([f"{dims_text(added)} of size 1 added"] if added else []),
        *moved,
    ]


tells("view reshape view_as reshape_as flatten unflatten ravel _unsafe_view")(_reshaped)


@tells("view_as_complex")
def _as_complex(case: Case) -> Told:
    need((*case.out, 2) == case.x)
    line = f"dim {len(case.out)} (2) removed, pairs read as complex numbers"
    return Told(capital(line), [line], [case.dims()[:-1]])


@tells("view_as_real")
def _as_real(case: Case) -> Told:
    need(case.out == (*case.x, 2))
    line = f"dim {len(case.x)}: new, 2 for real and imaginary part"
    return Told(capital(line), [line], [(*case.dims(), case.atoms.new(2))])


@tells("unsqueeze", "dim")
def _unsqueeze(case: Case) -> Told:
    axis = case.args.axis(len(case.x) + 1)
    need(case.out == (*case.x[:axis], 1, *case.x[axis:]))
    dims = case.dims()
    return Told(
        f"A dim of size 1 added at {axis}",
        [f"dim {axis} of size 1 added"],
        [(*dims[:axis], (), *dims[axis:])],
    )


@tells("squeeze", "dim")
def _squeeze(case: Case) -> Told:
    axes = case.args.axes(len(case.x))
    if axes is None:
        axes = tuple(range(len(case.x)))
    gone = [axis for axis in axes if case.x[axis : axis + 1] == (1,)]
    kept = [axis for axis in range(len(case.x)) if axis not in gone]
    need(case.out == tuple(case.x[axis] for axis in kept))
    dims = tuple(case.dims()[axis] for axis in kept)
    if not gone:
        return Told("Shape kept: no dim of size 1 to remove", (), [dims])
    text = f"{dims_text(gone)} of size 1 removed"
    return Told(capital(text), [text], [dims])


def _permuted(case: Case, order: Sequence[int]) -> Told:
    shape = case.x
    need(sorted(order) == list(range(len(shape))))
    need(case.out == tuple(shape[axis] for axis in order))
    dims = tuple(case.dims()[axis] for axis in order)
    moved = [axis for axis in range(len(shape)) if order[axis] != axis]
    if not moved:
        return Told("Shape kept: the dims stay in order", (), [dims])
    if len(moved) == 2:
        text = f"dims {moved[0]} and {moved[1]} swapped"
        return Told(f"{capital(text)}: {case.arrow}", [text], [dims])
    return Told(
        f"Dims put in the order {', '.join(map(str, order))}: {case.arrow}",
        [f"dim {axis}: was dim {order[axis]} ({shape[order[axis]]})" for axis in moved],
        [dims],
    )


@tells("permute", "dims")
def _permute(case: Case) -> Told:
    rank = len(case.x)
    value = case.args.get("dims")
    if isinstance(value, int) and case.args.plain:
        value = [read(text) for text in case.args.plain]
    order = axes_of(value, rank)
    return _permuted(case, order)


@tells("transpose swapaxes swapdims", "dim0 dim1")
def _transpose(case: Case) -> Told:
    rank = len(case.x)
    first = case.args.axis(rank, "dim0", "axis0")
    second = case.args.axis(rank, "dim1", "axis1")
    order = list(range(rank))
    if rank:
        order[first], order[second] = order[second], order[first]
    return _permuted(case, order)


@tells("T t mT H mH adjoint")
def _turned(case: Case) -> Told:
    rank = len(case.x)
    if case.name == "T":
        return _permuted(case, range(rank)[::-1])
    need(rank >= 2 or case.name == "t")
    order = list(range(rank))
    return _permuted(case, [*order[:-2], *order[-2:][::-1]])


@tells("movedim moveaxis", "source destination")
def _movedim(case: Case) -> Told:
    rank = len(case.x)
    sources = axes_of(case.args.get("source"), rank)
    targets = axes_of(case.args.get("destination"), rank)
    need(len(sources) == len(targets) and rank > 0)
    rest = iter(axis for axis in range(rank) if axis not in sources)
    to = dict(zip(targets, sources, strict=True))
    return _permuted(case, [to[axis] if axis in to else next(rest) for axis in range(rank)])


# --- more of the same ----------------------------------------------------------------------------


@tells("expand expand_as broadcast_to")
def _expand(case: Case) -> Told:
    if len(case.ins) > 1:
        need(case.out == case.shape(1))
    before, after = case.x, case.out
    new = len(after) - len(before)
    need(new >= 0)
    lines: list[str] = []
    dims: list[Dim] = []
    for axis, size in enumerate(after):
        old = before[axis - new] if axis >= new else None
        need(old is None or old in (size, 1))
        if old == size:
            dims.append(case.dims()[axis - new])
        else:
            dims.append(case.dims(1)[axis] if len(case.ins) > 1 else case.atoms.new(size))
            lines.append(
                f"dim {axis}: new, {size} times the same values"
                if old is None
                else f"dim {axis}: 1 stretched to {size} (no copy)"
            )
    if not lines:
        return Told("Shape kept: nothing to stretch", (), [tuple(dims)])
    return Told(
        f"{case.arrow}: the same values seen again and again, not copied",
        lines,
        [tuple(dims)],
    )


@tells("repeat tile")
def _repeat(case: Case) -> Told:
    before, after = case.x, case.out
    new = len(after) - len(before)
    need(new >= 0 and len(case.ins) == 1 and 0 not in before)
    lines: list[str] = []
    dims: list[Dim] = []
    for axis, size in enumerate(after):
        if axis < new:
            dims.append(case.atoms.new(size))
            lines.append(f"dim {axis}: new, {size} copies")
            continue
        old = before[axis - new]
        need(size % old == 0)
        times = size // old
        dim = case.dims()[axis - new]
        if times == 1:
            dims.append(dim)
        else:
            whole = 1 < times <= 4 and old > 1
            dims.append(case.atoms.total([dim] * times) if whole else case.atoms.new(size))
            lines.append(f"dim {axis}: {old} repeated {times} times = {size}")
    words = "the whole tensor copied side by side"
    return Told(f"{case.arrow}: {words}", lines, [tuple(dims)])


@tells("repeat_interleave", "repeats dim")
def _repeat_interleave(case: Case) -> Told:
    axis = case.args.axis(len(case.x))
    after = case.out
    need(len(after) == len(case.x) > 0 and len(case.outs) == 1)
    need(after == (*case.x[:axis], after[axis], *case.x[axis + 1 :]))
    repeats = case.args.whole("repeats")
    how = "each entry repeated by its own number"
    if repeats is not None:
        need(case.x[axis] * repeats == after[axis])
        how = f"each entry repeated {repeats} times in a row"
    dims = list(case.dims())
    if after[axis] != case.x[axis]:
        dims[axis] = case.atoms.new(after[axis])
    line = f"dim {axis}: {case.x[axis]} → {after[axis]}, {how}"
    return Told(capital(line), [line], [tuple(dims)])


# --- joining and splitting -----------------------------------------------------------------------


@tells("cat concat concatenate", "dim")
def _cat(case: Case) -> Told:
    return _joined(case, case.args.axis(len(case.out), default=0))


@tells("hstack")
def _hstack(case: Case) -> Told:
    need(len(case.x) > 0)
    return _joined(case, 0 if len(case.x) == 1 else 1)


@tells("vstack")
def _vstack(case: Case) -> Told:
    need(len(case.x) > 1)
    return _joined(case, 0)


def _joined(case: Case, axis: int) -> Told:
    out = case.out
    used = [i for i, shape in enumerate(case.ins) if shape != (0,) or len(out) == 1]
    need(bool(out) and bool(used) and len(case.outs) == 1)
    for i in used:
        shape = case.ins[i]
        need(len(shape) == len(out))
        need(all(a == b for k, (a, b) in enumerate(zip(shape, out, strict=True)) if k != axis))
    sizes = [case.ins[i][axis] for i in used]
    if len(used) == 1 and 0 < sizes[0] <= out[axis] and out[axis] % sizes[0] == 0:
        used *= min(out[axis] // sizes[0], 100)  # one tensor, several times
        sizes = [case.ins[i][axis] for i in used]
    need(sum(sizes) == out[axis])
    dims = list(case.dims(used[0]))
    for i in used:
        for k, dim in enumerate(case.dims(i)):
            if k != axis:
                case.atoms.same(dims[k], dim)
                dims[k] = dims[k] or dim
    dims[axis] = case.atoms.total([case.dims(i)[axis] for i in used])
    parts = " + ".join(map(str, sizes)) if len(sizes) <= 6 else f"{len(sizes)} parts"
    line = f"concatenated along dim {axis}: {parts} = {out[axis]}"
    if len(used) == 1:
        return Told("Shape kept: a single tensor, nothing to join", (), [tuple(dims)])
    return Told(
        f"Dim {axis} grows to {out[axis]}: {len(used)} tensors joined end to end",
        [line],
        [tuple(dims)],
    )


@tells("stack", "dim")
def _stack(case: Case) -> Told:
    out = case.out
    axis = case.args.axis(len(out), default=0)
    need(bool(out) and bool(case.ins) and out[axis] >= len(case.ins))
    need(all(shape == (*out[:axis], *out[axis + 1 :]) for shape in case.ins))
    # A tensor given twice is recorded once, so two different ones are what can be compared.
    dims = case.dims()
    for i in range(len(case.ins)):
        for first, second in zip(dims, case.dims(i), strict=True):
            case.atoms.same(first, second)
    dims = (*dims[:axis], case.atoms.new(out[axis]), *dims[axis:])
    text = f"{many(out[axis], 'tensor')} of {shape_text(case.x)} side by side"
    return Told(
        f"A new dim {axis} of {out[axis]}: {text}",
        [f"dim {axis}: new, one entry for each of {out[axis]} tensors"],
        [dims],
    )


@tells("split split_with_sizes tensor_split", "split_size dim")
def _split(case: Case) -> Told:
    return _divided(case, case.args.axis(len(case.x), default=0))


@tells("chunk unsafe_chunk", "chunks dim")
def _chunk(case: Case) -> Told:
    return _divided(case, case.args.axis(len(case.x), default=0))


def _divided(case: Case, axis: int) -> Told:
    shape = case.x
    need(bool(shape))
    sizes = []
    for out in case.outs:
        need(len(out) == len(shape))
        need(out == (*shape[:axis], out[axis], *shape[axis + 1 :]))
        sizes.append(out[axis])
    need(sum(sizes) == shape[axis])
    dims = case.dims()
    outputs: list[Dims] = []
    for start, size in zip(itertools.accumulate(sizes, initial=0), sizes, strict=False):
        piece = case.atoms.piece(dims[axis], start, start + size)
        outputs.append((*dims[:axis], piece, *dims[axis + 1 :]))
    if len(sizes) == 1:
        return Told("Shape kept: one piece, nothing to split", (), outputs)
    if len(set(sizes)) == 1:
        parts = f"{len(sizes)} × {sizes[0]}"
    else:
        parts = " + ".join(map(str, sizes)) if len(sizes) <= 6 else f"{len(sizes)} pieces"
    return Told(
        f"Dim {axis} cut into {len(sizes)} pieces: {shape[axis]} = {parts}",
        [f"dim {axis}: {shape[axis]} → {parts}"],
        outputs,
    )


@tells("unbind iter", "dim")
def _unbind(case: Case) -> Told:
    shape = case.x
    axis = case.args.axis(len(shape), default=0)
    need(bool(shape) and len(case.outs) == shape[axis])
    rest = (*shape[:axis], *shape[axis + 1 :])
    need(all(out == rest for out in case.outs))
    dims = case.dims()
    line = f"dim {axis} ({shape[axis]}) removed, one tensor for each entry"
    return Told(
        f"Dim {axis} taken apart: {many(shape[axis], 'tensor')} of {shape_text(rest)}",
        [line],
        case.every((*dims[:axis], *dims[axis + 1 :])),
    )


@tells("meshgrid")
def _meshgrid(case: Case) -> Told:
    need(len(case.ins) == len(case.outs) and case.args.get("indexing") in (None, "ij"))
    need(all(len(shape) == 1 for shape in case.ins))
    need(all(out == tuple(size for (size,) in case.ins) for out in case.outs))
    dims = tuple(case.dims(i)[0] for i in range(len(case.ins)))
    sides = [f"dim {axis}: the values of the {ordinal(axis)}" for axis in range(len(dims))]
    return Told(
        f"{some_shapes(case.ins)} → {some_shapes(case.outs)}: every combination of the values",
        sides,
        case.every(dims),
    )
