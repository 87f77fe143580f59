"""The same elements in another shape or order: view and its kin, permutations, expand, flips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tracer.document import TensorAt
from tracer.ops.algebra import blocks, differ, is_one, known, leftover, product, quotient
from tracer.ops.axes import axes_in, axis_in
from tracer.ops.bound import (
    ANY_MORE,
    GROUPED,
    RESIZED,
    Bound,
    Dim,
    Dims,
    all_marks,
    kept,
    mark,
    moved,
    new,
    refuse,
    same,
)
from tracer.ops.call import At, Call, Shape, Size, Unclear, need
from tracer.ops.refusal import Count, Refusal, Report, Said, ShapeOf, said
from tracer.ops.say import Spoken, Told, by_text, capital, dims_text
from tracer.ops.spec import operation
from tracer.ops.steps import layers
from tracer.sentences import listed

# --- the same elements in another shape ----------------------------------------------------------


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
    if before == after:
        return Told("Shape kept: the same values")
    found = blocks(before, after)
    if found is None or 0 in before:
        return Told(step.arrow)
    lines = [line for block in found for line in _block_line(before, after, *block)]
    removed: list[int] = []
    added: list[int] = []
    traded: list[str] = []
    for old, now in _ones(len(before), len(after), found):
        if not now:
            removed += old
        elif not old:
            added += now
        elif len(old) != len(now):
            traded.append(f"{len(old)} dims of size 1 → {len(now)}")
    lines += [f"{dims_text(removed)} of size 1 removed"] if removed else []
    lines += [f"{dims_text(added)} of size 1 added"] if added else []
    words = "the same values in the same order, grouped differently"
    return Told(f"{step.arrow}: {words}", [*lines, *traded])


def _block_line(before: Shape, after: Shape, sources: list[int], targets: list[int]) -> list[str]:
    old, now = [before[axis] for axis in sources], [after[axis] for axis in targets]
    if len(sources) == len(targets) == 1:
        return []
    if len(targets) == 1:
        return [f"{dims_text(sources)}: {listed(old)} merged into {now[0]}"]
    if len(sources) == 1:
        return [f"dim {sources[0]} split: {old[0]} → {by_text(now)}"]
    return [f"{dims_text(sources)}: {by_text(old)} read row by row as {by_text(now)}"]


def _view(call: Call) -> Bound:
    if call.op == "view" and call.get("dtype") is not None:
        raise Unclear  # the same memory read as numbers of another kind
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
    fixed = product(size for size in asked if not _open(size))
    holes = sum(map(_open, asked))
    if holes > 1 or any(known(size) and size < -1 for size in asked):
        raise refuse("numel", shape=asked)
    if holes and known(number) and known(fixed):
        fits = fixed != 0 and number % fixed == 0
    else:
        fits = bool(holes) or not differ(number, fixed)
    if not fits:
        raise _other_number(call, asked, number, fixed)
    return tuple(quotient(number, fixed) if _open(size) else size for size in asked)


def _open(size: Size) -> bool:
    return known(size) and size == -1


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
    rule = "{op} keeps the number of elements: {x} {shape} has {number}, "
    if -1 in asked:
        rule += "which is no multiple of {times}."
    else:
        rule += "and {written} holds {times}: {number} ≠ {product}."
    return Report(
        said(rule, **values),
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
            text = "That is one sample: the first dimension of {x}, {batch}, is not among them."
            reason.append(said(text, batch=refusal.size(At(0, 0)), **values))
        elif fixed and number % fixed == 0:
            reason.append(said("It has {times} times as many.", times=number // fixed))
        return tuple(reason)
    left, right = leftover(shape, asked)
    rest = [shape[axis] for axis in left]
    wanted = [asked[axis] for axis in right if asked[axis] != -1]
    if not rest or not wanted:
        text = "The sizes {written} do not use up the {number} elements of {x}."
        text = text if len(rest) == len(shape) else "Beside the sizes that agree, t" + text[1:]
        return (said(text, **values),)
    text = "{x} {shape} has {left}, and "
    text = text if len(rest) == len(shape) else "Beside the sizes that agree, " + text
    text += (
        "{whole} does not go into that without a remainder."
        if -1 in asked
        else "{written} asks for {whole}."
    )
    values = {**values, "left": _times(rest, product(rest))}
    reason = [said(text, whole=_times(wanted, product(wanted)), **values)]
    one_each = asked[0] == -1 and shape[0] > 1 and number % shape[0] == 0
    if -1 in asked and one_each and len(rest) == len(shape):
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


operation(
    "view reshape view_as reshape_as _unsafe_view",
    bind=_view,
    words=_regrouped_words,
    report=_view_report,
    shares=True,
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
)


def _unflatten(call: Call) -> Bound:
    shape = call.first.shape
    need(bool(shape))
    axis = axis_in(call, call.whole("dim"))
    sizes = call.sizes("sizes", "unflattened_size")
    if sizes is None:
        raise Unclear
    size, fixed = shape[axis], product(part for part in sizes if not _open(part))
    holes = sum(map(_open, sizes))
    if holes and known(size) and known(fixed):
        fits = fixed != 0 and size % fixed == 0
    else:
        fits = bool(holes) or not differ(size, fixed)
    if not sizes or holes > 1 or not fits or any(known(s) and s < -1 for s in sizes):
        wanted = fixed if call.layer and not holes else None
        raise refuse("numel", mark(call, At(0, axis), wanted), shape=sizes, product=fixed, dim=axis)
    parts = tuple(quotient(size, fixed) if _open(part) else part for part in sizes)
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
    rule = "{op} needs sizes whose product is the size of dimension {dim}: "
    rule += "{times} and {size} do not match." if -1 in sizes else "{times} ≠ {size}."
    return Report(
        said(rule, **values),
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
)
layers(flatten="Flatten", unflatten="Unflatten")

# --- dimensions of size 1 ------------------------------------------------------------------------


def _unsqueeze(call: Call) -> Bound:
    axis = axis_in(call, call.whole("dim"), extra=1)
    dims = kept(call)
    return Bound(call, ((*dims[:axis], new(1), *dims[axis:]),))


def _unsqueeze_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.whole("dim"), extra=1)
    return Told(f"A dim of size 1 added at {axis}", [f"dim {axis} of size 1 added"])


operation("unsqueeze", bind=_unsqueeze, words=_unsqueeze_words, shares=True)


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
        return Told("Shape kept: no dim of size 1 to remove")
    text = f"{dims_text(gone)} of size 1 removed"
    return Told(capital(text), [text])


operation("squeeze", bind=_squeeze, words=_squeeze_words, shares=True)

# --- another order of the dimensions -------------------------------------------------------------


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
        return Told("Shape kept: the dims stay in order")
    if len(changed) == 2:
        text = f"dims {changed[0]} and {changed[1]} swapped"
        return Told(f"{capital(text)}: {step.arrow}", [text])
    return Told(
        f"Dims put in the order {', '.join(map(str, order))}: {step.arrow}",
        [f"dim {axis}: was dim {order[axis]} ({step.x[order[axis]]})" for axis in changed],
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
    ending = (
        "one was lost or never there." if named > rank else "one more is there than was thought of."
    )
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
                "The order {order} is for a tensor with {wanted}; " + ending,
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
)

# --- the same elements seen again and again ------------------------------------------------------


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
    if any(_open(size) for size in after[:ahead]) or any(known(s) and s < -1 for s in after):
        raise refuse("arguments", shape=after)
    dims: list[Dim] = []
    for axis in range(len(after) - 1, -1, -1):
        at, size = At(0, axis - ahead), after[axis]
        if axis >= ahead and (_open(size) or not differ(before[at.dim], size)):
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
            lines.append(f"dim {axis}: new, {size} times the same values")
        elif step.x[axis - ahead] != size:
            lines.append(f"dim {axis}: 1 stretched to {size} (no copy)")
    if not lines:
        return Told("Shape kept: nothing to stretch")
    return Told(f"{step.arrow}: the same values seen again and again, not copied", lines)


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
    reason = (
        "{x} {shape} is laid against {written} from the right, and there {have} meets {want}. Only "
        "a size of 1 can be repeated"
    )
    reason += (
        "; with {count} against {given}, a dimension of 1 may be missing on the right."
        if rank < len(facts["shape"])
        else "."
    )
    return Report(
        said(
            "{op} repeats dimensions of size 1 only: {have} cannot become {want} in dimension "
            "{dim}.",
            **values,
        ),
        (said(reason, **values),),
    )


operation(
    "expand expand_as broadcast_to",
    bind=_expand,
    words=_expand_words,
    report=_expand_report,
    shares=True,
)

# --- numbers as pairs ----------------------------------------------------------------------------

_PAIRS = ("float16", "float32", "float64")


def _of_kind(found: str, wanted: str) -> Exception:
    return refuse("dtype", operand=TensorAt(0), found_dtype=found, wanted_dtype=wanted)


def _as_complex(call: Call) -> Bound:
    x = call.first
    if x.dtype not in _PAIRS:
        raise _of_kind(x.dtype, "float32")
    if not x.shape or differ(x.shape[-1], 2):
        marks = (mark(call, At(0, x.rank - 1), 2),) if x.shape else ()
        raise refuse("width", *marks, wanted=2)
    *ahead, last = x.strides or (1,)
    if last != 1 or any(n % 2 for n, size in zip(ahead, x.shape, strict=False) if size != 1):
        raise refuse("stride", shape=x.shape[:-1])
    return Bound(call, (kept(call)[:-1],))


def _as_complex_words(step: Spoken) -> Told:
    line = f"dim {len(step.out)} (2) removed, pairs read as complex numbers"
    return Told(capital(line), [line])


def _as_real(call: Call) -> Bound:
    if not call.first.dtype.startswith("complex"):
        raise _of_kind(call.first.dtype, "complex64")
    return Bound(call, ((*kept(call), new(2)),))


def _as_real_words(step: Spoken) -> Told:
    line = f"dim {len(step.x)}: new, 2 for real and imaginary part"
    return Told(capital(line), [line])


operation("view_as_complex", bind=_as_complex, words=_as_complex_words, shares=True)
operation("view_as_real", bind=_as_real, words=_as_real_words, shares=True)

# --- entries in another order --------------------------------------------------------------------


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
    return Told(f"Shape kept: {'reversed' if step.name == 'flip' else 'mirrored'}")


operation("flip flipud fliplr", bind=_flip, words=_flip_words)


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
    return Told("Shape kept: shifted, what falls off comes back at the other end")


def _roll_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "arguments":
        return None
    values = {name: ShapeOf(refusal.facts[name] or ()) for name in ("shifts", "dims")}
    return Report(
        said("roll needs one shift for each dimension: {shifts} and {dims}.", **values),
        (said("Without dimensions there is one shift, for all elements as one row."),),
    )


operation("roll", bind=_roll, words=_roll_words, report=_roll_report)


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
        return Told("Shape kept: no turn")
    first, second = sorted(axis_in(step.call, axis) for axis in axes)
    angle = 90 * turns
    return Told(f"{step.arrow}: turned by {angle}° in the plane of dims {first} and {second}")


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
    shape = call.first.shape
    offset = call.whole("offset", default=0)
    first = axis_in(call, call.whole("dim1", default=0))
    second = axis_in(call, call.whole("dim2", default=1))
    if first == second:
        raise refuse("axis", *all_marks(call, 0), twice=first, at=0)
    need(known(offset))
    # Of the row or the column that comes to its end first.
    rows = shape[first] + min(offset or 0, 0)
    columns = shape[second] - max(offset or 0, 0)
    shorter = known(rows) and known(columns) and columns < rows
    ends = (second, first) if shorter else (first, second)
    length = columns if shorter else rows
    length = max(length, 0) if known(length) else length
    rest = [dim for axis, dim in enumerate(kept(call)) if axis not in (first, second)]
    made = Dim(length, RESIZED, tuple(At(0, axis) for axis in ends), kind="piece")
    return Bound(call, ((*rest, made),))


def _diagonal_words(step: Spoken) -> Told:
    call = step.call
    axes = sorted(axis_in(call, call.whole(n, default=d)) for d, n in enumerate(("dim1", "dim2")))
    line = (
        f"{dims_text(axes)}: {by_text(step.x[axis] for axis in axes)} → {step.out[-1]} values "
        "of the diagonal, now the last dim"
    )
    return Told(capital(line), [line])


operation("diagonal", bind=_diagonal, words=_diagonal_words, shares=True)

# --- a question about the shape ------------------------------------------------------------------


def _size(call: Call) -> Bound:
    if call.get("dim") is not None:
        axis_in(call, call.whole("dim"))
    return Bound(call)


operation("size stride", bind=_size)
