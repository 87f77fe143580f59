"""Pictures made larger or smaller: interpolation, pixel and channel shuffling, padding."""

from __future__ import annotations

import math
from typing import Any

from tracer.ops.algebra import below, known
from tracer.ops.bound import RESIZED, SAME, Bound, Dim, all_marks, kept, mark, refuse
from tracer.ops.call import At, Call, Shape, Size, is_size, need
from tracer.ops.cells import WHOLE, Along, Cells, Scene, by_dims, loosely
from tracer.ops.refusal import Count, Refusal, Report, ShapeOf, said
from tracer.ops.reports import setting_report
from tracer.ops.say import (
    Spoken,
    Told,
    dims_text,
    effect_text,
    told,
    with_values,
)
from tracer.ops.space import CHANNELS, NAMES, at_least, full, handed, kernel_report, placed
from tracer.ops.spec import operation
from tracer.ops.steps import layers
from tracer.sentences import Said

# --- interpolation -------------------------------------------------------------------------------

_RANK_OF = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}
_MODES = (*_RANK_OF, "nearest", "nearest-exact", "area")


def _interpolate(call: Call) -> Bound:
    need(bool(call.operands))
    mode, rank = _mode(call), call.operands[0].rank
    if mode in _RANK_OF and rank != _RANK_OF[mode]:
        wanted = _RANK_OF[mode]
        raise refuse("rank", *all_marks(call, 0), rank=wanted, ranks=(wanted,), at=0, mode=mode)
    if not 3 <= rank <= 5:
        raise refuse("rank", *all_marks(call, 0), rank=4, ranks=(3, 4, 5), at=0)
    if mode not in _RANK_OF and call.get("align_corners") is not None:
        raise refuse("arguments", argument="align_corners", mode=mode)
    size, factor = call.get("size", "output_size"), call.get("scale_factor", "scale_factors")
    for value, argument in ((size, "size"), (factor, "scale_factor")):
        if isinstance(value, tuple | list) and len(value) != rank - 2:
            raise refuse("arguments", argument=argument, given=tuple(value), count=rank - 2)
    if (size is None) == (factor is None):
        raise refuse("arguments", argument="", both=size is not None)
    full(call, 0, 1)
    places = []
    for k, own in enumerate(call.operands[0].shape[2:]):
        at = At(0, 2 + k)
        if size is not None:
            made = size[k] if isinstance(size, tuple | list) else size
            need(is_size(made))
            places.append(placed(call, at, made))
        else:
            made = _scaled(own, factor[k] if isinstance(factor, tuple | list) else factor)
            places.append(Dim(made, RESIZED, (at,), kind="place"))
        least = 0 if mode == "area" else 1
        if below(made, least):
            raise refuse("arguments", mark(call, at), argument="size", value=made, least=least)
    return Bound(call, ((*handed(call, 0, 2), *places),))


def _mode(call: Call) -> str:
    mode = call.get("mode")
    if mode is None and call.op == "upsample_bilinear":
        mode = "bilinear"
    need(mode is None or isinstance(mode, str))
    return mode or "nearest"


_LARGE = 2**63  # what torch has no number for


def _scaled(size: Size, factor: Any) -> Size:
    """⌊size · factor⌋, as torch works it out in floating point."""
    need(isinstance(factor, int | float) and not isinstance(factor, bool))
    need(abs(factor) < _LARGE)
    if factor == int(factor):
        return size * int(factor)
    need(known(size) and size < _LARGE)
    return math.floor(float(size) * factor)


def _interpolate_words(step: Spoken) -> Told:
    mode = step.call.get("mode") or ("bilinear" if step.name == "upsample_bilinear" else None)
    how = said(
        "every channel resized ({mode})" if mode in _MODES else "every channel resized", mode=mode
    )
    return Told(told(effect_text(step.x[2:], step.out[2:], NAMES[len(step.x) - 2]), how))


# long: one text for each way in which the call is wrong
def _interpolate_report(refusal: Refusal) -> Report | None:
    facts, rank = refusal.facts, refusal.call.operands[0].rank
    values: dict[str, Any] = {
        "x": refusal.name(0, said("the input")),
        "shape": refusal.shape(0),
        "rank": rank,
        "has": Count(rank, "dimension"),
        "space": Count(rank - 2, "dimension"),
        "count": rank - 2,
    }
    if refusal.violation.kind == "rank" and "mode" in facts:
        fitting = next((mode for mode, each in _RANK_OF.items() if each == rank), "nearest")
        values |= {
            "mode": facts["mode"],
            "wanted": Count(facts["rank"], "dimension"),
            "over": Count(facts["rank"] - 2, "dimension"),
            "fitting": fitting,
        }
        return Report(
            said(
                "interpolate with mode='{mode}' needs {wanted}: {x} {shape} has {rank}.", **values
            ),
            (
                said("'{mode}' works on {over} after batch and channels.", **values),
                said("For {has} the mode is '{fitting}'.", **values),
            ),
        )
    if refusal.violation.kind == "rank":
        return Report(
            said(
                "interpolate needs 3 to 5 dimensions, (N, C, ...): {x} {shape} has {rank}.",
                **values,
            ),
            (said("Batch and channels come first; only what follows them is resized."),),
        )
    if refusal.violation.kind == "kernel":
        return kernel_report(refusal)
    if "given" in facts:
        values |= {
            "argument": facts["argument"],
            "given": ShapeOf(facts["given"]),
            "many": len(facts["given"]),
        }
        return Report(
            said(
                "interpolate needs one {argument} for each spatial dimension: {many} ≠ {count}.",
                **values,
            ),
            (
                said(
                    "{x} {shape} has {space} after batch and channels, and {argument} is {given}. "
                    "Take `.shape[2:]` of a tensor, not its whole shape.",
                    **values,
                ),
            ),
        )
    if "both" in facts and not facts["both"]:
        return Report(
            said("interpolate needs a size or a scale_factor: neither is given."),
            (said("One of the two says how large the result is to be."),),
        )
    if "both" in facts:
        return Report(
            said("interpolate needs a size or a scale_factor: both are given."),
            (said("One of the two says how large the result is to be."),),
        )
    return setting_report(refusal) if "value" in facts else None


def _interpolated_cells(bound: Bound, number: int) -> Cells:
    """Along a dimension that a whole number stretches each place so many times; else all of it may
    count."""
    call = bound.call
    before, after = call.operands[0].shape, bound.shapes[number]
    mode = "nearest" if call.op == "upsample_nearest" else call.get("mode", default="nearest")
    own = {At(0, dim): WHOLE for dim in range(2, len(before))}
    exact = mode == "nearest" and all(map(known, (*before, *after)))
    if not exact or any(new % old for new, old in zip(after[2:], before[2:], strict=True)):
        return loosely(lambda found, n: by_dims(found, n, own))(bound, number)
    for dim in range(2, len(before)):
        own[At(0, dim)] = Along("part", dim, over=after[dim] // before[dim])
    return by_dims(bound, number, own)


operation(
    "interpolate upsample upsample_nearest upsample_bilinear",
    bind=_interpolate,
    words=_interpolate_words,
    report=_interpolate_report,
    scene=Scene("copy", cells=_interpolated_cells),
)
layers(interpolate="Upsample UpsamplingNearest2d UpsamplingBilinear2d")

# --- pixels from channels and back ---------------------------------------------------------------


def _pixel_shuffle(call: Call) -> Bound:
    r, c = _pixels(call, "upscale_factor")
    channels = call.operands[0].shape[c]
    if known(channels) and known(r) and channels % (r * r):
        raise refuse("divide", mark(call, At(0, c)), parts=r * r, size=channels)
    return _shuffled(call, c, channels // (r * r), lambda size: size * r)


def _pixel_unshuffle(call: Call) -> Bound:
    r, c = _pixels(call, "downscale_factor")
    for dim in (c + 1, c + 2):
        size = call.operands[0].shape[dim]
        if known(size) and known(r) and size % r:
            raise refuse("divide", mark(call, At(0, dim)), parts=r, size=size)
    return _shuffled(call, c, call.operands[0].shape[c] * r * r, lambda size: size // r)


def _pixels(call: Call, name: str) -> tuple[Size, int]:
    """The factor, and the dimension of the channels."""
    need(bool(call.operands))
    r, rank = call.size(name), call.operands[0].rank
    if rank < 3:
        raise refuse("rank", *all_marks(call, 0), rank=4, ranks=(3, 4), at=0)
    if below(r, 1):
        raise refuse("arguments", argument=name, value=r, least=1)
    return r, rank - 3


def _shuffled(call: Call, channel: int, channels: Size, resized: Any) -> Bound:
    shape = call.operands[0].shape
    return Bound(
        call,
        (
            (
                *handed(call, 0, channel),
                Dim(channels, RESIZED, (At(0, channel),), kind="channel"),
                *(
                    Dim(resized(shape[dim]), RESIZED, (At(0, dim),), kind="place")
                    for dim in (channel + 1, channel + 2)
                ),
            ),
        ),
    )


def _pixel_words(step: Spoken) -> Told:
    if step.name == "pixel_shuffle":
        r = step.call.size("upscale_factor")
        how = said("every {n} channels become a patch of {r}×{r}", n=r * r, r=r)
    else:
        r = step.call.size("downscale_factor")
        how = said("every patch of {r}×{r} becomes {n} channels", n=r * r, r=r)
    return Told(told(effect_text(step.x[-3:], step.out[-3:], (CHANNELS, *NAMES[2])), how))


def _pixel_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind == "arguments":
        return setting_report(refusal)
    if refusal.violation.kind != "divide":
        return None
    dim = refusal.violation.marks[0].dim
    parts, size = refusal.facts["parts"], refusal.facts["size"]
    values: dict[str, Any] = {
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "parts": parts,
        "size": refusal.size(At(0, dim)),
        "rest": size % parts,
        "factor": math.isqrt(parts),
        "dim": dim,
    }
    if refusal.call.op == "pixel_unshuffle":
        return Report(
            said(
                "pixel_unshuffle needs a height and a width that divide by {parts}: {size} % "
                "{parts} = {rest}.",
                **values,
            ),
            (
                said(
                    "It turns each patch of {parts} × {parts} of {x} {shape} into channels, and "
                    "dimension {dim} is {size}.",
                    **values,
                ),
            ),
        )
    return Report(
        said(
            "pixel_shuffle needs channels that divide by {factor}² = {parts}: {size} % {parts} = "
            "{rest}.",
            **values,
        ),
        (
            said(
                "It turns each {parts} channels of {x} {shape} into a patch of {factor} × "
                "{factor}.",
                **values,
            ),
        ),
    )


operation("pixel_shuffle", bind=_pixel_shuffle, words=_pixel_words, report=_pixel_report)
operation("pixel_unshuffle", bind=_pixel_unshuffle, words=_pixel_words, report=_pixel_report)
layers(pixel_shuffle="PixelShuffle", pixel_unshuffle="PixelUnshuffle")

# --- channels in another order -------------------------------------------------------------------


def _channel_shuffle(call: Call) -> Bound:
    need(bool(call.operands))
    if call.operands[0].rank < 3:
        raise refuse("rank", *all_marks(call, 0), rank=4, ranks=(3, 4), at=0)
    at_least(call, 1, "groups")
    groups, channels = call.size("groups"), call.operands[0].shape[1]
    if known(groups) and known(channels) and channels % groups:
        raise refuse("divide", mark(call, At(0, 1)), parts=groups, size=channels)
    dims = list(kept(call))
    dims[1] = Dim(channels, SAME, (At(0, 1),), moved=True)
    return Bound(call, (tuple(dims),))


def _channel_words(step: Spoken) -> Told:
    return Told(said("Shape kept: the channels interleaved group by group"))


def _channel_report(refusal: Refusal) -> Report | None:
    return setting_report(refusal) if refusal.violation.kind == "arguments" else None


operation(
    "channel_shuffle native_channel_shuffle",
    bind=_channel_shuffle,
    words=_channel_words,
    report=_channel_report,
)
layers(channel_shuffle="ChannelShuffle")

# --- padding -------------------------------------------------------------------------------------

_MODE_OF = {"Reflection": "reflect", "Replication": "replicate", "Circular": "circular"}


def _pad(call: Call) -> Bound:
    need(bool(call.operands))
    rank, amounts, mode = call.operands[0].rank, _amounts(call), _pad_mode(call)
    pairs = [(rank - 1 - k, *amounts[2 * k : 2 * k + 2]) for k in range(len(amounts) // 2)]
    need(all(map(is_size, amounts)))
    if len(amounts) % 2 or len(pairs) > rank:
        raise refuse("arguments", argument="pad", count=len(amounts))
    if mode != "constant":
        _check_border(call, len(pairs), mode)
    dims = list(kept(call))
    for dim, before, after in pairs:
        size = call.operands[0].shape[dim]
        for amount in (before, after):
            _check_amount(call, At(0, dim), amount, mode)
        made = size + before + after
        cut = sum(amount for amount in (before, after) if known(amount) and amount < 0)
        if below(size + cut, 0) or below(made, 0 if mode in ("constant", "circular") else 1):
            raise refuse("padding", mark(call, At(0, dim)), amount=min(before, after), mode=mode)
        if not (known(before) and known(after)) or before or after:
            moved = not known(made) or made == size
            dims[dim] = Dim(made, RESIZED, (At(0, dim),), kind="place", moved=moved)
    return Bound(call, (tuple(dims),))


def _amounts(call: Call) -> Shape:
    """Pairs (before, after), from the last dimension on."""
    value = call.get("pad", "padding")
    if isinstance(value, tuple | list):
        need(all(map(is_size, value)))
        return tuple(value)
    need(bool(call.layer))
    return (call.size("padding"),) * (2 * int(call.layer[-2]))


def _pad_mode(call: Call) -> str:
    if call.layer:
        kind = call.layer.partition("Pad")[0]
        return _MODE_OF.get(kind, "constant")
    mode = call.get("mode", default="constant")
    need(isinstance(mode, str))
    return str(mode)


def _check_border(call: Call, pairs: int, mode: str) -> None:
    """Padding with what is there goes over the last dimensions of a picture."""
    rank = call.operands[0].rank
    if mode not in _MODE_OF.values():
        raise refuse("arguments", argument="mode", mode=mode)
    if rank not in (pairs + 1, pairs + 2) or not 1 <= pairs <= 3:
        raise refuse("arguments", argument="pad", border=mode, count=2 * pairs)
    if mode != "circular":
        full(call, 0, rank - pairs - 1)


def _check_amount(call: Call, at: At, amount: Size, mode: str) -> None:
    size = call.operands[at.operand].shape[at.dim]
    short = (mode == "reflect" and not below(amount, size)) or (
        mode == "circular" and below(size, amount)
    )
    if short:
        raise refuse("padding", mark(call, at), amount=amount, mode=mode)


def _pad_words(step: Spoken) -> Told:
    rank, amounts = len(step.x), _amounts(step.call)
    changed: list[int] = []
    lines: list[Said] = []
    for pair in range(len(amounts) // 2):
        axis = rank - 1 - pair
        before, after = amounts[2 * pair : 2 * pair + 2]
        if before or after:
            changed.append(axis)
            dim = dims_text([axis])
            how = said(
                "{dim}: {before} before and {after} after", dim=dim, before=before, after=after
            )
            lines.insert(0, how)
    if not changed:
        return Told(said("Shape kept: nothing to pad"))
    return Told(told(step.arrow, _padded(step, dims_text(sorted(changed)), amounts)), lines)


_BORDERS = {
    "reflect": said("{dims} padded with their mirror image"),
    "replicate": said("{dims} padded with the values at their ends"),
    "circular": said("{dims} padded with the values of their other end"),
}


def _padded(step: Spoken, dims: Said, amounts: Shape) -> Said:
    """With what the dimensions are padded."""
    mode, value = _pad_mode(step.call), step.call.get("value")
    if mode in _BORDERS:
        return with_values(_BORDERS[mode], dims=dims)
    if any(known(amount) and amount < 0 for amount in amounts):
        return said("{dims} padded or cut", dims=dims)
    if value is None or value == 0:
        return said("{dims} padded with zeros", dims=dims)
    return said("{dims} padded with {value}", dims=dims, value=value)


def _pad_report(refusal: Refusal) -> Report | None:
    facts, rank = refusal.facts, refusal.call.operands[0].rank
    values: dict[str, Any] = {
        **facts,
        "x": refusal.name(0, said("the input")),
        "shape": refusal.shape(0),
        "has": Count(rank, "dimension"),
    }
    if refusal.violation.kind == "arguments" and "border" in facts:
        return Report(
            said(
                "pad with mode='{border}' takes two numbers for each of the last one, two or three "
                "dimensions, all but one or two: {count} for {has} of {x}.",
                **values,
            ),
            (said("{x} is {shape}; the batch and the channels are not padded so.", **values),),
        )
    if refusal.violation.kind == "arguments" and "count" in facts:
        return Report(
            said(
                "pad takes two numbers for each dimension, from the last one on: {count} for {has} "
                "of {x}.",
                **values,
            ),
            (
                said(
                    "{x} is {shape}; (left, right) pads its last dimension, (left, right, top, "
                    "bottom) the last two.",
                    **values,
                ),
            ),
        )
    if refusal.violation.kind == "kernel":
        return kernel_report(refusal)
    if refusal.violation.kind != "padding":
        return None
    at = At(0, refusal.violation.marks[0].dim)
    values |= {"dim": at.dim, "size": refusal.size(at), "cut": -facts["amount"]}
    return _amount_report(facts["mode"], values)


def _amount_report(mode: str, values: dict[str, Any]) -> Report:
    if mode == "reflect" and values["amount"] > 0:
        return Report(
            said(
                "Reflection pads by less than the size: {amount} ≥ {size} in dimension {dim}.",
                **values,
            ),
            (
                said(
                    "It mirrors the {size} entries of dimension {dim} of {x} {shape} without "
                    "repeating the edge, so there are not enough of them.",
                    **values,
                ),
            ),
        )
    if mode == "circular" and values["amount"] > 0:
        return Report(
            said(
                "Circular padding goes round once: {amount} > {size} in dimension {dim}.", **values
            ),
            (
                said(
                    "It repeats the {size} entries of dimension {dim} of {x} {shape}, so there are "
                    "not enough of them.",
                    **values,
                ),
            ),
        )
    return Report(
        said("pad cuts off {cut} of dimension {dim}, which has only {size}.", **values),
        (said("A negative padding cuts; {x} is {shape}.", **values),),
    )


def _pad_cells(bound: Bound, number: int) -> Cells:
    """So many places before; at the border, but for a constant, others of the dimension."""
    call = bound.call
    rank, amounts = call.operands[0].rank, _amounts(call)
    own = {
        At(0, rank - 1 - k): Along(dim=rank - 1 - k, start=-amounts[2 * k])
        for k in range(len(amounts) // 2)
    }
    if _pad_mode(call) == "constant":
        return by_dims(bound, number, own)
    return loosely(lambda found, n: by_dims(found, n, dict.fromkeys(own, WHOLE)))(bound, number)


operation(
    "pad",
    bind=_pad,
    words=_pad_words,
    report=_pad_report,
    scene=Scene("copy", cells=_pad_cells),
)
layers(
    pad=" ".join(
        f"{kind}Pad{n}d"
        for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular")
        for n in (1, 2, 3)
    )
)
