"""Convolutions and transposed convolutions, as functions and as layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tracer.ops.algebra import below, differ, known, product
from tracer.ops.bound import (
    MIXED,
    RESIZED,
    Bound,
    Dim,
    Window,
    all_marks,
    mark,
    refuse,
)
from tracer.ops.call import At, Call, Shape, Size, Unclear, need
from tracer.ops.cells import WHOLE, Along, Cells, Scene, by_dims, everything
from tracer.ops.refusal import Count, Refusal, Report, Said, said
from tracer.ops.reports import setting_report
from tracer.ops.say import (
    Spoken,
    Told,
    by_reason,
    effect_text,
    told,
    window_text,
)
from tracer.ops.space import (
    CHANNELS,
    LAYOUTS,
    NAMES,
    ROLES,
    at_least,
    first_place,
    handed,
    kernel_report,
    placed,
    spatial,
    whole_each,
    windowed,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layer_sizes, layers

# --- what comes out ------------------------------------------------------------------------------


def _conv(call: Call) -> Bound:
    n = spatial(call.op)
    x, weight, first = _operands(call, n)
    groups, _, made = _channels(call, x, first - 1, weight, transposed=False)
    kernel = _kernel(call, weight, n)
    at_least(call, 1, "stride", "dilation")
    stride = whole_each(call, "stride", n, 1)
    dilation = whole_each(call, "dilation", n, 1)
    padding = _padding(call, n, kernel, stride, dilation)
    places = tuple(
        windowed(call, _met(x, first, weight, k), kernel[k], stride[k], padding[k], dilation[k])
        if padding is not None
        else placed(call, At(x, first + k), call.operands[x].shape[first + k])
        for k in range(n)
    )
    return _bound(call, n, x, weight, first, made, places, tied=groups == 1)


def _conv_transposed(call: Call) -> Bound:
    n = spatial(call.op)
    x, weight, first = _operands(call, n)
    groups, _, made = _channels(call, x, first - 1, weight, transposed=True)
    kernel = _kernel(call, weight, n)
    at_least(call, 1, "stride", "dilation")
    at_least(call, 0, "padding", "output_padding")
    stride, padding, extra, dilation = (
        whole_each(call, name, n, default)
        for name, default in (
            ("stride", 1),
            ("padding", 0),
            ("output_padding", 0),
            ("dilation", 1),
        )
    )
    asked = call.sizes("output_size")
    places = []
    for k in range(n):
        at = At(x, first + k)
        size = call.operands[x].shape[at.dim]
        if asked is not None:  # of the layer's forward: it works out its output_padding
            need(len(asked) >= n)
            places.append(placed(call, at, asked[k - n]))
            continue
        if not below(extra[k], stride[k]) and not below(extra[k], dilation[k]):
            raise refuse(
                "padding",
                output_padding=extra[k],
                stride=stride[k],
                most=max(stride[k], dilation[k]),
            )
        spread = (size - 1) * stride[k] - 2 * padding[k] + dilation[k] * (kernel[k] - 1)
        spread += extra[k] + 1
        if below(spread, 1):
            raise refuse("kernel", mark(call, at), padding=padding[k], size=spread)
        went = Window(kernel[k], stride[k], padding[k], dilation[k], extra=extra[k], back=True)
        met = _met(x, first, weight, k)
        places.append(Dim(spread, RESIZED, met, kind="place", window=went))
    return _bound(call, n, x, weight, first, made, tuple(places), tied=groups == 1, transposed=True)


def _met(x: int, first: int, weight: int | None, place: int) -> tuple[At, ...]:
    """What a number of places is worked out from: the input's, and the kernel's size."""
    at = At(x, first + place)
    return (at,) if weight is None else (at, At(weight, 2 + place))


def _operands(call: Call, n: int) -> tuple[int, int | None, int]:
    """The input, the weight if it is there, and the first spatial dimension."""
    x, weight = call.tensor("input"), call.tensor("weight")
    if x is None:
        raise Unclear
    if weight is not None and call.operands[weight].rank != n + 2:
        raise refuse("rank", *all_marks(call, weight), rank=n + 2, ranks=(n + 2,), at=weight)
    return x, weight, first_place(call, n, x)


def _channels(
    call: Call, x: int, channel: int, weight: int | None, transposed: bool
) -> tuple[Size, Size, Size]:
    """(groups, how many channels one filter sees, how many come out).

    Raises:
        Refused: the input has not the channels that the weight is made for.
    """
    at_least(call, 1, "groups")
    groups = call.whole("groups", default=1)
    found = call.operands[x].shape[channel]
    if weight is None:
        wanted, made = call.size("in_channels"), call.size("out_channels")
        seen = wanted // groups
    else:
        shape = call.operands[weight].shape
        wanted, made, seen = shape[1] * groups, shape[0], shape[1]
        if transposed:
            wanted, made, seen = shape[0], shape[1] * groups, shape[0] // groups
        if known(shape[0]) and known(groups) and (shape[0] % groups or shape[0] < groups):
            raise refuse("divide", mark(call, At(weight, 0)), size=shape[0], parts=groups)
    if differ(found, wanted):
        raise _wrong_channels(call, At(x, channel), weight, wanted, groups, transposed)
    _check_bias(call, weight, made, 1 if transposed else 0)
    return groups, seen, made


def _wrong_channels(
    call: Call, at: At, weight: int | None, wanted: Size, groups: Size, transposed: bool
) -> Exception:
    shape, n = call.operands[at.operand].shape, spatial(call.op)
    found = shape[at.dim]
    marks = [mark(call, at, wanted)]
    if weight is not None:
        marks.append(mark(call, At(weight, 0 if transposed else 1), found if groups == 1 else None))
    # A picture with channels last; a map whose width happens to be the wanted number is none.
    square = n != 2 or len(shape) != 4 or shape[1] == shape[2]
    layout = ""
    if shape[-1] == wanted and (square or wanted in (1, 3, 4)):
        layout = "last"
    elif len(shape) == n + 1 and shape[0] != wanted:
        layout = "unbatched"
    return refuse("channels", *marks, wanted=wanted, found=found, layout=layout, groups=groups)


def _check_bias(call: Call, weight: int | None, made: Size, dim: int) -> None:
    bias = call.tensor("bias")
    if bias is None or weight is None:
        return
    shape = call.operands[bias].shape
    if len(shape) != 1 or differ(shape[0], made):
        marks = (mark(call, At(bias, 0), made),) if len(shape) == 1 else all_marks(call, bias)
        raise refuse("channels", *marks, mark(call, At(weight, dim)), bias=bias, wanted=made)


def _kernel(call: Call, weight: int | None, n: int) -> Shape:
    if weight is not None:
        kernel = call.operands[weight].shape[2:]
        for dim, size in enumerate(kernel):
            if below(size, 1):
                raise refuse("kernel", mark(call, At(weight, dim + 2)), empty=True)
        return kernel
    return whole_each(call, "kernel_size", n)


def _padding(
    call: Call, n: int, kernel: Shape, stride: Shape, dilation: Shape
) -> tuple[Size, ...] | None:
    """The padding at each end, None for 'same', which keeps the size whatever the kernel."""
    text = call.get("padding")
    if text == "same":
        for step in stride:
            if known(step) and step != 1:
                raise refuse("arguments", argument="stride", value=step, least=1, same=True)
        return None
    if text == "valid":
        return (0,) * n
    need(not isinstance(text, str))
    at_least(call, 0, "padding")
    return whole_each(call, "padding", n, 0)


def _bound(
    call: Call,
    n: int,
    x: int,
    weight: int | None,
    first: int,
    made: Size,
    places: tuple[Dim, ...],
    tied: bool,
    transposed: bool = False,
) -> Bound:
    """The result, and what the weight's dimensions are."""
    channel = At(x, first - 1)
    sources: list[At] = []
    ties: list[tuple[At, At]] = []
    roles: dict[At, str] = {}
    if weight is not None:
        out, inner = At(weight, 1 if transposed else 0), At(weight, 0 if transposed else 1)
        if tied or not transposed:
            sources.append(out)
        if tied or transposed:
            ties.append((channel, inner))
        roles = {At(weight, 2 + k): role for k, role in enumerate(ROLES[n])}
        bias = call.tensor("bias")
        if bias is not None:
            sources.append(At(bias, 0))
    mixed = Dim(made, MIXED, tuple(sources), replaces=channel)
    return Bound(call, ((*handed(call, x, first - 1), mixed, *places),), tuple(ties), roles)


def _conv_flops(bound: Bound) -> Size:
    """Each value that comes out sums a window of the channels seen, two for each product."""
    call, n = bound.call, spatial(bound.call.op)
    x, weight, first = _operands(call, n)
    _, seen, _ = _channels(call, x, first - 1, weight, transposed=False)
    return 2 * product(bound.shapes[0]) * seen * product(_kernel(call, weight, n))


def _transposed_flops(bound: Bound) -> Size:
    """Each value that goes in is spread over a window of all channels of its group."""
    call, n = bound.call, spatial(bound.call.op)
    x, weight, first = _operands(call, n)
    groups, _, made = _channels(call, x, first - 1, weight, transposed=True)
    kernel = product(_kernel(call, weight, n))
    return 2 * product(call.operands[x].shape) * (made // groups) * kernel


# --- what is said --------------------------------------------------------------------------------


def _conv_words(step: Spoken) -> Told:
    call, n = step.call, spatial(step.name)
    x, weight, first = _operands(call, n)
    _, seen, _ = _channels(call, x, first - 1, weight, transposed=False)
    kernel = _kernel(call, weight, n)
    before, after = step.x[first - 1 :], step.out[first - 1 :]
    size = {"count": after[0], "window": window_text(kernel)}
    if seen == 1 and before[0] == after[0] > 1:
        how = said("each channel filtered on its own by one filter {window}", **size)
    elif seen != before[0]:
        how = said(
            "{count} filters {window}, each over {seen} of the {channels} channels",
            seen=seen,
            channels=before[0],
            **size,
        )
    elif before[0] == 1:
        how = said("{count} filters {window} over the single channel", **size)
    else:
        how = said(
            "{count} filters {window} over all {channels} channels", channels=before[0], **size
        )
    whys = _why(call, n, kernel)
    lines = by_reason(before[1:], after[1:], NAMES[n], whys)
    return Told(told(effect_text(before, after, (CHANNELS, *NAMES[n])), how), lines)


def _why(call: Call, n: int, kernel: Shape) -> list[Said]:
    """Why each spatial size changed."""
    stride, dilation = (whole_each(call, name, n, 1) for name in ("stride", "dilation"))
    padding = _padding(call, n, kernel, stride, dilation) or (0,) * n
    found = []
    for place in range(n):
        span = dilation[place] * (kernel[place] - 1) + 1
        if stride[place] > 1:
            found.append(said("one result every {stride}", stride=stride[place]))
        elif padding[place]:
            found.append(
                said(
                    "the places where a window of {span} fits with {padding} padded at each end",
                    span=span,
                    padding=padding[place],
                )
            )
        else:
            found.append(said("the places where a window of {span} fits", span=span))
    return found


def _transposed_words(step: Spoken) -> Told:
    call, n = step.call, spatial(step.name)
    _, weight, first = _operands(call, n)
    before, after = step.x[first - 1 :], step.out[first - 1 :]
    if weight is None:
        how = said("each value spread over a window and the windows added up")
    else:
        window = window_text(_kernel(call, weight, n))
        how = said(
            "each value spread over a window {window} and the windows added up", window=window
        )
    return Told(told(effect_text(before, after, (CHANNELS, *NAMES[n])), how))


# --- why it is refused ---------------------------------------------------------------------------


def _report(refusal: Refusal) -> Report | None:
    kind, facts = refusal.violation.kind, refusal.facts
    if kind == "kernel":
        return _nothing_report(refusal) if "size" in facts else kernel_report(refusal, kernel=True)
    if kind == "rank":
        weight = facts["at"] == refusal.call.tensor("weight")
        return _weight_report(refusal) if weight else _rank_report(refusal)
    if kind == "channels":
        return _bias_report(refusal) if "bias" in facts else _channels_report(refusal)
    if kind == "padding":
        return _output_padding_report(refusal)
    if kind == "arguments" and "same" not in facts:
        return setting_report(refusal)
    return None


def _weight_report(refusal: Refusal) -> Report:
    n, at = spatial(refusal.call.op), refusal.facts["at"]
    values: dict[str, Any] = {
        "op": refusal.call.op,
        "wanted": Count(n + 2, "dimension"),
        "weight": refusal.name(at, said("the weight")),
        "shape": refusal.shape(at),
        "rank": refusal.call.operands[at].rank,
        "n": n,
    }
    return Report(
        said("{op} needs a weight with {wanted}: {weight} {shape} has {rank}.", **values),
        (
            said(
                "The weight holds a kernel for each pair of output and input channel, so {weight} "
                "needs 2 dimensions for the channels and {n} for the kernel.",
                **values,
            ),
        ),
    )


def _rank_report(refusal: Refusal) -> Report:
    n, at = spatial(refusal.call.op), refusal.facts["at"]
    rank = refusal.call.operands[at].rank
    values: dict[str, Any] = {
        "op": refusal.call.op,
        "who": refusal.who,
        "layout": LAYOUTS[n],
        "x": refusal.name(at, said("the input")),
        "shape": refusal.shape(at),
        "rank": rank,
        "has": Count(rank, "dimension"),
        "wanted": n + 2,
        "least": n + 1,
        "over": Count(rank - n - 2, "dimension"),
    }
    if rank == 2 and n == 2:
        reason = said(
            "{x} is {shape}, with 2 dimensions, as after flattening or as a single picture. {who} "
            "looks at neighbours in height and width and wants {layout}.",
            **values,
        )
    elif rank == n:
        reason = said(
            "{x} is {shape}, with {has}. It lacks the channel dimension, and the batch dimension "
            "before it may be left out: {who} wants {layout}.",
            **values,
        )
    elif rank < n:
        reason = said(
            "{x} is {shape}, with {has}. It lacks the channel dimension: {who} wants {layout}.",
            **values,
        )
    else:
        reason = said(
            "{x} is {shape}, with {has}. {who} wants {layout}: {over} too many. Fold or choose "
            "before it.",
            **values,
        )
    return Report(
        said(
            "{op} needs {wanted} dimensions {layout}, or {least} without the batch: {x} has "
            "{rank}.",
            **values,
        ),
        (reason,),
        said("Bring {x} to {layout} before {who}.", **values),
    )


def _channels_report(refusal: Refusal) -> Report:
    facts, n = refusal.facts, spatial(refusal.call.op)
    at = At(refusal.violation.marks[0].operand, refusal.violation.marks[0].dim)
    weight = refusal.call.tensor("weight")
    shape = refusal.call.operands[at.operand].shape
    values: dict[str, Any] = {
        "who": refusal.who,
        "wanted": Count(facts["wanted"], "channel"),
        "number": facts["wanted"],
        "found": refusal.size(at),
        "axis": at.dim,
        "x": refusal.name(at.operand, said("the input")),
        "shape": refusal.shape(at.operand),
        "weight": refusal.shape(weight) if weight is not None else "",
        "is_built": refusal.is_built(),
        "has": Count(len(shape), "dimension"),
    }
    reason: list[Said] = [
        said(
            "{is_built}, made for {wanted}, and dimension {axis} of {x} {shape}, where channels "
            "are, is {found}."
            if refusal.built
            else "The weight {weight} is made for {wanted}, and dimension {axis} of {x} {shape}, "
            "where channels are, is {found}.",
            **values,
        )
    ]
    if facts["layout"] == "last" and n == 2:
        reason.append(
            said(
                "The last dimension is {number}: {x} seems to be (N, H, W, C), and torch wants "
                "channels before the spatial dimensions.",
                **values,
            )
        )
    elif facts["layout"] == "last":
        reason.append(
            said(
                "The last dimension is {number}: {x} seems to be with channels last, and torch "
                "wants channels before the spatial dimensions.",
                **values,
            )
        )
    elif facts["layout"] == "unbatched":
        reason.append(
            said(
                "With {has} the first is taken as channels; if it counts samples, the channel "
                "dimension is missing.",
                **values,
            )
        )
    return Report(
        said(
            "{who} needs {wanted} in dimension {axis} of its input: {found} ≠ {number} ({x} "
            "{shape}, weight {weight}).",
            **values,
        ),
        tuple(reason),
        said("See whether {x} should have {wanted}, or {who} should take {found}.", **values),
    )


def _bias_report(refusal: Refusal) -> Report:
    values: dict[str, Any] = {
        "made": refusal.facts["wanted"],
        "bias": refusal.shape(refusal.facts["bias"]),
        "weight": refusal.shape(refusal.call.tensor("weight") or 0),
    }
    return Report(
        said(
            "The bias needs one number for each of the {made} output channels: it is {bias}.",
            **values,
        ),
        (said("The weight {weight} gives {made} channels.", **values),),
    )


def _nothing_report(refusal: Refusal) -> Report:
    at = refusal.violation.marks[0]
    values: dict[str, Any] = {
        **refusal.facts,
        "who": refusal.who,
        "dim": at.dim,
        "x": refusal.name(at.operand, said("the input")),
        "shape": refusal.shape(at.operand),
    }
    return Report(
        said("{who} would make {size} places of dimension {dim} of {x} {shape}.", **values),
        (
            said(
                "A transposed convolution cuts its padding off, {padding} at each end, and then "
                "nothing is left.",
                **values,
            ),
        ),
    )


def _output_padding_report(refusal: Refusal) -> Report:
    facts = refusal.facts
    values = {**facts, "who": refusal.who, "last": facts["most"] - 1}
    return Report(
        said(
            "output_padding must be smaller than stride or dilation: {output_padding} ≥ {most}.",
            **values,
        ),
        (
            said(
                "output_padding chooses among the {most} output sizes that a stride of {stride} "
                "leaves open, so it can be at most {last}; {who} has {output_padding}.",
                **values,
            ),
        ),
        said("Set output_padding to 0, or to 1 with a stride of 2.", **values),
    )


def _conv_cells(bound: Bound, number: int) -> Cells:
    """A window of the channels that the filter sees, each against its place of the kernel."""
    call, n = bound.call, spatial(bound.call.op)
    x, weight, first = _operands(call, n)
    if weight is None or call.get("padding_mode", default="zeros") != "zeros":
        return everything(bound, number)
    groups, seen, made = _channels(call, x, first - 1, weight, transposed=False)
    channel = At(x, first - 1)
    group = Along("part", first - 1, count=seen, over=made // groups)
    own: dict[At, Along] = {channel: WHOLE if groups == 1 else group}
    pairs = [(channel, At(weight, 1))]
    if call.get("padding") == "same":
        kernel, dilation = _kernel(call, weight, n), whole_each(call, "dilation", n, 1)
        for k in range(n):
            at, tap = At(x, first + k), At(weight, 2 + k)
            before = dilation[k] * (kernel[k] - 1) // 2
            goes = Along(dim=first + k, start=-before, count=kernel[k], spread=dilation[k])
            size = call.operands[x].shape[at.dim]
            own |= {at: goes, tap: replace(goes, how="taps", size=size)}
            pairs.append((at, tap))
    return by_dims(bound, number, own, pairs)


def _transposed_cells(bound: Bound, number: int) -> Cells:
    """The places whose windows reach it."""
    whole = bound.call.whole("groups", default=1) == 1
    return by_dims(bound, number) if whole else everything(bound, number)


operation(
    "conv1d conv2d conv3d",
    bind=_conv,
    words=_conv_words,
    report=_report,
    flops=_conv_flops,
    scene=Scene("window", "sum", _conv_cells),
)
operation(
    "conv_transpose1d conv_transpose2d conv_transpose3d",
    bind=_conv_transposed,
    words=_transposed_words,
    report=_report,
    flops=_transposed_flops,
    scene=Scene("window", "sum", _transposed_cells),
)
for _n in (1, 2, 3):
    _plain, _transposed = f"Conv{_n}d LazyConv{_n}d", f"ConvTranspose{_n}d LazyConvTranspose{_n}d"
    layers(**{f"conv{_n}d": _plain, f"conv_transpose{_n}d": _transposed})
    layer_sizes(f"{_plain} {_transposed}", reads="in_channels", makes="out_channels")
