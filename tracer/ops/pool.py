"""Pooling: over windows, in bins, at random places, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracer.ops.algebra import below, is_one, known
from tracer.ops.bound import ANY_MORE, RESIZED, Bound, Dim, Dims, all_marks, mark, refuse
from tracer.ops.call import At, Call, Shape, Size, Unclear, is_size, need
from tracer.ops.cells import Along, Cells, Scene, by_dims
from tracer.ops.refusal import Count, Refusal, Report, Said, said
from tracer.ops.reports import setting_report
from tracer.ops.say import (
    Spoken,
    Told,
    by_reason,
    effect_text,
    times_text,
    told,
    with_values,
)
from tracer.ops.space import (
    LAYOUTS,
    NAMES,
    at_least,
    first_place,
    full,
    handed,
    kernel_report,
    placed,
    spatial,
    whole_each,
    windowed,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layers


def _start(call: Call) -> tuple[int, int]:
    """(number of spatial dimensions, the first of them)"""
    n = spatial(call.op)
    return n, first_place(call, n)


def _bound(call: Call, places: tuple[Dim, ...]) -> Bound:
    """Batch and channels stay; where places of the largest are asked for, they have its shape."""
    dims: Dims = (*handed(call, 0, call.operands[0].rank - len(places)), *places)
    both = call.op.endswith("_with_indices") or call.flag("return_indices")
    return Bound(call, (dims,) * (1 + both))


# --- windows -------------------------------------------------------------------------------------


def _pool(call: Call) -> Bound:
    n, first = _start(call)
    at_least(call, 1, "kernel_size", "stride", "dilation")
    at_least(call, 0, "padding")
    full(call, 0, first - 1)
    kernel, stride, padding, dilation = _settings(call, n)
    ceil = call.flag("ceil_mode")
    places = []
    for k in range(n):
        if below(kernel[k], 2 * padding[k]):
            raise refuse("padding", padding=padding[k], kernel=kernel[k])
        at = At(0, first + k)
        if call.op in ("avg_pool3d", "lp_pool3d"):  # these do not count the padding
            windowed(call, (at,), kernel[k])
        places.append(windowed(call, (at,), kernel[k], stride[k], padding[k], dilation[k], ceil))
    return _bound(call, tuple(places))


def _settings(call: Call, n: int) -> tuple[Shape, Shape, Shape, Shape]:
    """(kernel, stride, padding, dilation); a stride that is not given is the kernel."""
    kernel = whole_each(call, "kernel_size", n)
    padding, dilation = whole_each(call, "padding", n, 0), whole_each(call, "dilation", n, 1)
    return kernel, call.each("stride", n) or kernel, padding, dilation


def _fractional(call: Call) -> Bound:
    n, first = _start(call)
    at_least(call, 1, "kernel_size")
    full(call, 0, first - 1)
    kernel = whole_each(call, "kernel_size", n)
    sizes = call.operands[0].shape[first:]
    given = call.each("output_size", n)
    places = []
    for k in range(n):
        made = given[k] if given is not None else _part(sizes[k], call.get("output_ratio"), k)
        at = At(0, first + k)
        # Over volumes torch wants one place more than the windows need.
        if below(made, 0) or below(sizes[k], kernel[k] + made - 1 + (n == 3)):
            raise refuse("kernel", mark(call, at), kernel=kernel[k], made=made)
        places.append(placed(call, at, made) if given else Dim(made, RESIZED, (at,), kind="place"))
    return _bound(call, tuple(places))


def _part(size: Size, ratio: Any, place: int) -> Size:
    each = ratio if isinstance(ratio, tuple | list) else (ratio,) * (place + 1)
    need(place < len(each) and isinstance(each[place], float | int) and known(size))
    return int(size * each[place])


# --- bins ----------------------------------------------------------------------------------------


def _adaptive(call: Call) -> Bound:
    value = call.get("output_size")
    if call.op in ("adaptive_avg_pool2d", "adaptive_avg_pool3d") and _is_one_bin(call, value):
        return _whole_average(call, several=not is_size(value))
    n, first = _start(call)
    full(call, 0, first - 1)
    each = value if isinstance(value, tuple | list) else (value,) * n
    need(len(each) in (1, n))
    need(all(part is None or is_size(part) for part in each))
    each = tuple(each) * (n // len(each))
    sizes = call.operands[0].shape[first:]
    places = []
    for k, own in enumerate(sizes):
        made = own if each[k] is None else each[k]
        if below(made, 0):
            raise refuse("arguments", argument="output_size", value=made, least=0)
        places.append(placed(call, At(0, first + k), made))
    return _bound(call, tuple(places))


def _is_one_bin(call: Call, value: Any) -> bool:
    """Bins that are left open are as many as there are entries."""
    if not isinstance(value, tuple | list):
        return is_one(value)
    sizes = call.operands[0].shape[-len(value) :]
    return all(is_one(s if bins is None else bins) for s, bins in zip(sizes, value, strict=False))


def _whole_average(call: Call, several: bool) -> Bound:
    """One bin is a mean over the last dimensions, for which torch asks how many there are in front
    only where the bins are given one by one."""
    n, rank = spatial(call.op), call.operands[0].rank
    least = n + several
    if rank < least:
        raise refuse("rank", *all_marks(call, 0), rank=least, ranks=(least, ANY_MORE), at=0)
    places = tuple(placed(call, At(0, dim), 1) for dim in range(rank - n, rank))
    return _bound(call, places)


# --- back ----------------------------------------------------------------------------------------


def _unpool(call: Call) -> Bound:
    n, first = _start(call)
    indices = call.tensor("indices")
    if indices is None:
        raise Unclear
    shape = call.operands[0].shape
    if call.operands[indices].shape != shape:
        raise refuse("index", *all_marks(call, indices), at=indices)
    kernel, stride, padding, _ = _settings(call, n)
    given = call.sizes("output_size")
    if given is not None:
        given = given[2:] if len(given) == n + 2 else given
        need(len(given) == n)
    places = []
    for k in range(n):
        at = At(0, first + k)
        usual = (shape[at.dim] - 1) * stride[k] - 2 * padding[k] + kernel[k]
        made = usual if given is None else given[k]
        near = below(usual - stride[k], made) and below(made, usual + stride[k])
        if below(made, 0) or not near:
            raise refuse("arguments", mark(call, at), usual=usual, made=made, stride=stride[k])
        places.append(Dim(made, RESIZED, (at,), kind="place"))
    return Bound(
        call,
        ((*handed(call, 0, first), *places),),
        tuple((At(0, dim), At(indices, dim)) for dim in range(len(shape))),
    )


# --- what is said --------------------------------------------------------------------------------

_WORDS = {
    "max": (
        said("the largest of every window kept"),
        said("the largest of every window of {kernel} kept"),
    ),
    "avg": (said("every window averaged"), said("every window of {kernel} averaged")),
    "lp": (
        said("the norm of every window taken"),
        said("the norm of every window of {kernel} taken"),
    ),
    "fractional": (said("the largest of windows kept"),) * 2,
}


def _pool_words(step: Spoken) -> Told:
    n = spatial(step.name)
    first = len(step.x) - n
    kind = step.name.partition("_")[0]
    plain, sized = _WORDS[kind]
    before, after, how = step.x[first:], step.out[first:], plain
    lines: list[Said] = []
    if not step.name.startswith("fractional"):
        kernel, stride, padding, _ = _settings(step.call, n)
        how = with_values(sized, kernel=times_text(kernel))
        if kernel == before and after == (1,) * n and not any(padding):
            how = _over_bins(kind, _bins(before, after, NAMES[n]))
        whys = [
            said("one window every {stride}", stride=every) if size != every else None
            for size, every in zip(kernel, stride, strict=True)
        ]
        lines = by_reason(before, after, NAMES[n], whys)
    return Told(told(effect_text(before, after, NAMES[n]), how), lines)


def _adaptive_words(step: Spoken) -> Told:
    n = spatial(step.name)
    first = len(step.x) - n
    before, after = step.x[first:], step.out[first:]
    kind = step.name.removeprefix("adaptive_").partition("_")[0]
    how = _over_bins(kind, _bins(before, after, NAMES[n]))
    return Told(told(effect_text(before, after, NAMES[n]), how))


def _over_bins(kind: str, where: Said) -> Said:
    """What pooling of that kind makes of values that lie in no windows."""
    if kind == "lp":
        return said("the norm taken {where}", where=where)
    return said(
        "the values averaged {where}" if kind == "avg" else "the largest value kept {where}",
        where=where,
    )


def _bins(before: Shape, after: Shape, names: Sequence[Said]) -> Said:
    """Over what each value was taken."""
    sides = list(zip(names, before, after, strict=True))
    if all(b == 1 for b in after):
        return said("over each whole channel")
    whole = tuple(name for name, a, b in sides if b == 1 and a != 1)
    if not whole:
        return said("in {bins} bins", bins=times_text(after))
    cut = [(name, b) for name, a, b in sides if b != 1 and a != b]
    return said(
        "over the whole {whole}, in {bins} bins along the {rest}"
        if cut
        else "over the whole {whole}",
        whole=whole,
        bins=times_text([b for _, b in cut]),
        rest=tuple(name for name, _ in cut),
    )


def _unpool_words(step: Spoken) -> Told:
    n = spatial(step.name)
    first = len(step.x) - n
    how = said("every value put back where it was the largest, zeros elsewhere")
    return Told(told(effect_text(step.x[first:], step.out[first:], NAMES[n]), how))


# --- why it is refused ---------------------------------------------------------------------------


def _report(refusal: Refusal) -> Report | None:
    kind, facts = refusal.violation.kind, refusal.facts
    if kind == "kernel":
        return _fraction_report(refusal) if "made" in facts else kernel_report(refusal)
    if kind == "arguments":
        return _output_report(refusal) if "made" in facts else setting_report(refusal)
    report = {"rank": _rank_report, "padding": _padding_report}.get(kind)
    return report(refusal) if report is not None else None


def _rank_report(refusal: Refusal) -> Report:
    n, rank = spatial(refusal.call.op), refusal.call.operands[0].rank
    values: dict[str, Any] = {
        "who": refusal.who,
        "layout": LAYOUTS[n],
        "x": refusal.name(0, said("the input")),
        "shape": refusal.shape(0),
        "rank": rank,
        "has": Count(rank, "dimension"),
        "wanted": n + 2,
        "least": n + 1,
        "n": n,
        "space": Count(n, "dimension"),
        "other": rank - 2,
    }
    reason: list[Said] = [
        said("{x} is {shape}. Pooling in {space} goes over the last {n} of {layout}.", **values)
    ]
    if rank < n + 1:
        reason.append(said("It may have been flattened before it was pooled."))
    elif rank - 2 <= 3:
        reason.append(said("nn.…Pool{other}d would be the one for {has}.", **values))
    return Report(
        said(
            "{who} needs {wanted} dimensions {layout}, or {least} without the batch: {x} has "
            "{rank}.",
            **values,
        ),
        tuple(reason),
        said("Keep the spatial dimensions of {x} until here.", **values),
    )


def _padding_report(refusal: Refusal) -> Report:
    return Report(
        said(
            "{who} pads by at most half of its kernel: {padding} > {kernel} / 2.",
            who=refusal.who,
            **refusal.facts,
        ),
        (
            said(
                "With more padding a window of {kernel} could lie in the padding alone.",
                **refusal.facts,
            ),
        ),
    )


def _fraction_report(refusal: Refusal) -> Report:
    at = refusal.violation.marks[0]
    values: dict[str, Any] = {
        **refusal.facts,
        "who": refusal.who,
        "size": refusal.size(At(at.operand, at.dim)),
        "dim": at.dim,
        "x": refusal.name(0, said("the input")),
        "shape": refusal.shape(0),
    }
    return Report(
        said(
            "{who} needs room for {made} windows of {kernel}, each one place further at least: "
            "dimension {dim} of {x} is {size}.",
            **values,
        ),
        (said("{x} is {shape}. Ask for fewer windows, or for smaller ones.", **values),),
    )


def _output_report(refusal: Refusal) -> Report:
    facts = refusal.facts
    values: dict[str, Any] = {
        **facts,
        "who": refusal.who,
        "least": facts["usual"] - facts["stride"] + 1,
        "most": facts["usual"] + facts["stride"] - 1,
        "dim": refusal.violation.marks[0].dim,
        "x": refusal.name(0, said("the input")),
    }
    return Report(
        said(
            "{who} can make {least} to {most} of dimension {dim} of {x}: {made} was asked.",
            **values,
        ),
        (said("The pooling before it could have come from these sizes only.", **values),),
    )


def _bin_cells(bound: Bound, number: int) -> Cells:
    """Along every dimension that is cut into bins those of one."""
    n = spatial(bound.call.op)
    start = len(bound.results[number]) - n
    sizes = bound.shapes[number]
    bins = {At(0, dim): Along("bins", dim, over=sizes[dim]) for dim in range(start, start + n)}
    return by_dims(bound, number, bins)


for _n in (1, 2, 3):
    for _kind, _becomes in (("max", "max"), ("avg", "mean"), ("lp", "")):
        _indices = f" max_pool{_n}d_with_indices" if _kind == "max" else ""
        operation(
            f"{_kind}_pool{_n}d{_indices}",
            bind=_pool,
            words=_pool_words,
            report=_report,
            scene=Scene("window", _becomes),
        )
    for _kind, _becomes in (("max", "max"), ("avg", "mean")):
        _indices = f" adaptive_max_pool{_n}d_with_indices" if _kind == "max" else ""
        operation(
            f"adaptive_{_kind}_pool{_n}d{_indices}",
            bind=_adaptive,
            words=_adaptive_words,
            report=_report,
            scene=Scene("window", _becomes, _bin_cells),
        )
    operation(f"max_unpool{_n}d", bind=_unpool, words=_unpool_words, report=_report)
    layers(
        **{
            f"max_pool{_n}d": f"MaxPool{_n}d",
            f"avg_pool{_n}d": f"AvgPool{_n}d",
            f"lp_pool{_n}d": f"LPPool{_n}d",
            f"adaptive_avg_pool{_n}d": f"AdaptiveAvgPool{_n}d",
            f"adaptive_max_pool{_n}d": f"AdaptiveMaxPool{_n}d",
            f"max_unpool{_n}d": f"MaxUnpool{_n}d",
        }
    )
for _n in (2, 3):
    operation(
        f"fractional_max_pool{_n}d fractional_max_pool{_n}d_with_indices",
        bind=_fractional,
        words=_pool_words,
        report=_report,
    )
    layers(**{f"fractional_max_pool{_n}d": f"FractionalMaxPool{_n}d"})
