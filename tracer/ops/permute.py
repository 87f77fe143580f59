"""Dimensions in another order, entries in another order: permute and its kin, flips, diagonals."""

from __future__ import annotations

from tracer.ops.algebra import known
from tracer.ops.axes import axes_in, axis_in
from tracer.ops.bound import (
    ANY_MORE,
    RESIZED,
    Bound,
    Dim,
    Dims,
    all_marks,
    kept,
    moved,
    refuse,
)
from tracer.ops.call import At, Call, Size, Unclear, need
from tracer.ops.cells import Along, Cells, Scene, by_dims, everything
from tracer.ops.refusal import Count, Refusal, Report, ShapeOf, said
from tracer.ops.say import (
    Spoken,
    Told,
    by_text,
    dims_text,
)
from tracer.ops.spec import operation

# --- another order of the dimensions --------------------------------------------------------------


def _order(call: Call) -> list[int]:
    """For each dimension of the result the operand's."""
    rank = len(call.first.shape)
    order = list(range(rank))
    if call.op == "permute":
        return _permutation(call)
    if call.op in ("movedim", "moveaxis"):
        return _moved_order(call)
    if call.op in ("transpose", "swapaxes", "swapdims"):
        first, second = (axis_in(call, call.whole(name)) for name in ("dim0", "dim1"))
        if rank:
            order[first], order[second] = second, first
        return order
    if call.op == "T":
        return order[::-1]
    legal = {"t": (0, 1, 2), "H": (0, 2)}.get(call.op, (0, *range(2, max(rank, 2) + 1)))
    if rank not in legal:
        raise refuse("rank", *all_marks(call, 0), rank=2, at=0)
    return [*order[:-2], *order[-2:][::-1]]


def _permutation(call: Call) -> list[int]:
    rank, asked = len(call.first.shape), call.sizes("dims")
    if asked is None:
        raise Unclear
    if len(asked) != rank:
        raise refuse("permute", *all_marks(call, 0), rank=len(asked), order=asked)
    order = [axis_in(call, axis) for axis in asked]
    if len(set(order)) != rank:
        raise refuse("permute", order=asked)
    return order


def _moved_order(call: Call) -> list[int]:
    rank = len(call.first.shape)
    sources, targets = (call.sizes(name) for name in ("source", "destination"))
    if sources is None or targets is None:
        raise Unclear
    if len(sources) != len(targets):
        raise refuse("permute", *all_marks(call, 0), source=sources, destination=targets)
    found, to = axes_in(call, sources), axes_in(call, targets)
    if not rank:
        return []
    rest = iter(axis for axis in range(rank) if axis not in found)
    places = dict(zip(to, found, strict=True))
    return [places[axis] if axis in places else next(rest) for axis in range(rank)]


def _permute(call: Call) -> Bound:
    dims = kept(call)
    return Bound(call, (tuple(dims[axis] for axis in _order(call)),))


def _permute_words(step: Spoken) -> Told:
    order = _order(step.call)
    changed = [axis for axis, source in enumerate(order) if source != axis]
    if not changed:
        return Told(said("Shape kept: the dims stay in order"))
    if len(changed) == 2:
        return Told(said("{dims} swapped: {arrow}", dims=dims_text(changed), arrow=step.arrow))
    return Told(
        said(
            "Dims put in the order {order}: {arrow}",
            order=", ".join(map(str, order)),
            arrow=step.arrow,
        ),
        [
            said(
                "dim {axis}: was dim {source} ({size})",
                axis=axis,
                source=order[axis],
                size=step.x[order[axis]],
            )
            for axis in changed
        ],
    )


def _permute_report(refusal: Refusal) -> Report | None:
    kind, facts = refusal.violation.kind, refusal.facts
    rank = refusal.call.first.rank
    values = {
        "op": refusal.call.op,
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "count": Count(rank, "dimension"),
    }
    if kind == "rank":
        return Report(
            said("{op} is for matrices: {x} {shape} has {count}.", **values),
            (
                said(
                    "With {count} it is not clear which two to swap. `transpose(-2, -1)` swaps the "
                    "last two.",
                    **values,
                ),
            ),
        )
    if kind != "permute" or "order" not in facts:
        return None
    order = ShapeOf(facts["order"])
    if "rank" not in facts:
        return Report(
            said("permute needs each dimension once: {order} names one twice.", order=order),
            (said("Each of the {count} of {x} {shape} must be named exactly once.", **values),),
        )
    named = facts["rank"]
    return Report(
        said(
            "permute needs each dimension once: {x} {shape} has {count}, and {order} names "
            "{named}.",
            order=order,
            named=named,
            **values,
        ),
        (
            said(
                "The order {order} is for a tensor with {wanted}; one was lost or never there."
                if named > rank
                else "The order {order} is for a tensor with {wanted}; one more is there than was "
                "thought of.",
                order=order,
                wanted=Count(named, "dimension"),
            ),
        ),
    )


operation(
    "permute transpose swapaxes swapdims movedim moveaxis T t mT H mH adjoint",
    bind=_permute,
    words=_permute_words,
    report=_permute_report,
    shares=True,
    scene=Scene("order"),
)

# --- entries in another order ---------------------------------------------------------------------


def _flip(call: Call) -> Bound:
    rank = len(call.first.shape)
    if call.op == "flip":
        axes = axes_in(call, call.sizes("dims") or ())
    else:
        least = {"flipud": 1, "fliplr": 2}[call.op]
        if rank < least:
            raise refuse("rank", *all_marks(call, 0), rank=least, ranks=(least, ANY_MORE), at=0)
        axes = (least - 1,)
    dims = [moved(dim) if axis in axes else dim for axis, dim in enumerate(kept(call))]
    return Bound(call, (tuple(dims),))


def _flip_words(step: Spoken) -> Told:
    return Told(said("Shape kept: reversed" if step.name == "flip" else "Shape kept: mirrored"))


def _flip_cells(bound: Bound, number: int) -> Cells:
    """Counted from the other end."""
    turned = {
        At(0, axis): Along(dim=axis, start=dim.size - 1, step=-1)
        for axis, dim in enumerate(bound.results[number])
        if dim.moved
    }
    return by_dims(bound, number, turned)


operation(
    "flip flipud fliplr",
    bind=_flip,
    words=_flip_words,
    scene=Scene("order", cells=_flip_cells),
)


def _roll(call: Call) -> Bound:
    shifts, axes = call.sizes("shifts"), call.sizes("dims") or ()
    if not shifts or (len(axes) != len(shifts) and (axes or len(shifts) > 1)):
        raise refuse("arguments", shifts=shifts, dims=axes)
    if not axes:  # all elements as one row
        return Bound(call, (tuple(map(moved, kept(call))),))
    if 0 in call.first.shape:
        return Bound(call, (kept(call),))
    if not call.first.shape:
        raise refuse("rank", rank=1, ranks=(1, ANY_MORE), at=0)
    found = {axis_in(call, axis) for axis in axes}
    dims = [moved(dim) if axis in found else dim for axis, dim in enumerate(kept(call))]
    return Bound(call, (tuple(dims),))


def _roll_words(step: Spoken) -> Told:
    return Told(said("Shape kept: shifted, what falls off comes back at the other end"))


def _roll_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "arguments":
        return None
    values = {name: ShapeOf(refusal.facts[name] or ()) for name in ("shifts", "dims")}
    return Report(
        said("roll needs one shift for each dimension: {shifts} and {dims}.", **values),
        (said("Without dimensions there is one shift, for all elements as one row."),),
    )


def _roll_cells(bound: Bound, number: int) -> Cells:
    """So many places before, round and round."""
    call = bound.call
    shifts, axes = call.sizes("shifts") or (), call.sizes("dims") or ()
    if not axes:
        return everything(bound, number)
    back = {axis_in(call, axis): 0 for axis in axes}
    for shift, axis in zip(shifts, axes, strict=True):
        back[axis_in(call, axis)] -= shift
    rolled = {At(0, axis): Along("wrap", axis, start=start) for axis, start in back.items()}
    return by_dims(bound, number, rolled)


operation(
    "roll",
    bind=_roll,
    words=_roll_words,
    report=_roll_report,
    scene=Scene("order", cells=_roll_cells),
)


def _rot90(call: Call) -> Bound:
    turns, axes = call.whole("k", default=1), call.sizes("dims") or (0, 1)
    rank = len(call.first.shape)
    if len(axes) != 2:
        raise refuse("arguments", dims=axes)
    if rank < 2:
        raise refuse("rank", *all_marks(call, 0), rank=2, ranks=(2, ANY_MORE), at=0)
    first, second = (axis_in(call, axis) for axis in axes)
    if first == second:
        raise refuse("axis", *all_marks(call, 0), twice=first, at=0)
    dims = list(kept(call))
    need(known(turns))
    turns = int(turns or 0) % 4
    if turns % 2:
        dims[first], dims[second] = dims[second], dims[first]
    # A quarter turn puts one of the two in reverse, a half turn both.
    for axis in {0: (), 1: (first,), 2: (first, second), 3: (second,)}[turns]:
        dims[axis] = moved(dims[axis])
    return Bound(call, (tuple(dims),))


def _rot90_words(step: Spoken) -> Told:
    axes = step.call.sizes("dims") or (0, 1)
    turns = int(step.call.whole("k", default=1) or 0) % 4
    if not turns:
        return Told(said("Shape kept: no turn"))
    return Told(
        said(
            "{arrow}: turned by {angle}° in the plane of {dims}",
            arrow=step.arrow,
            angle=90 * turns,
            dims=dims_text(sorted(axis_in(step.call, axis) for axis in axes)),
        )
    )


def _rot90_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "arguments":
        return None
    dims = refusal.facts["dims"]
    return Report(
        said("rot90 turns in a plane, of two dimensions: {dims}.", dims=ShapeOf(dims)),
        (said("It names {count}.", count=Count(len(dims), "dimension")),),
    )


operation("rot90", bind=_rot90, words=_rot90_words, report=_rot90_report)


def _diagonal(call: Call) -> Bound:
    offset = call.whole("offset", default=0)
    first = axis_in(call, call.whole("dim1", default=0))
    second = axis_in(call, call.whole("dim2", default=1))
    return Bound(call, (diagonal_of(call, offset, first, second),))


def diagonal_of(call: Call, offset: Size | None, first: int, second: int) -> Dims:
    """The other dimensions, and behind them the diagonal of two.

    Raises:
        Refused: kind `axis`, they are one.
    """
    shape = call.first.shape
    if first == second:
        raise refuse("axis", *all_marks(call, 0), twice=first, at=0)
    need(known(offset))
    # Of the row or the column that comes to its end first.
    rows = shape[first] + min(offset or 0, 0)
    columns = shape[second] - max(offset or 0, 0)
    need((known(rows) and known(columns)) or rows == columns)
    shorter = known(rows) and columns < rows
    ends = (second, first) if shorter else (first, second)
    length = columns if shorter else rows
    length = max(length, 0) if known(length) else length
    rest = [dim for axis, dim in enumerate(kept(call)) if axis not in (first, second)]
    made = Dim(length, RESIZED, tuple(At(0, axis) for axis in ends), kind="piece")
    return (*rest, made)


def _diagonal_words(step: Spoken) -> Told:
    call = step.call
    axes = sorted(axis_in(call, call.whole(n, default=d)) for d, n in enumerate(("dim1", "dim2")))
    return Told(
        said(
            "{dims}: {before} → {n} values of the diagonal, now the last dim",
            dims=dims_text(axes),
            before=by_text(step.x[axis] for axis in axes),
            n=step.out[-1],
        )
    )


operation("diagonal", bind=_diagonal, words=_diagonal_words, shares=True)
