"""Normalisation: by the batch, the sample, groups of channels, the last dimensions, neighbours."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.ops.algebra import differ, is_one, known, product
from tracer.ops.bound import ANY_MORE, Bound, all_marks, kept, mark, moved, refuse
from tracer.ops.call import At, Call, Shape, Size, Unclear, need
from tracer.ops.cells import WHOLE, Along, Cells, Scene, by_dims
from tracer.ops.elementwise import alone
from tracer.ops.refusal import Refusal, Report
from tracer.ops.say import (
    Spoken,
    Told,
    by_text,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layer_sizes, layers
from tracer.sentences import Count, Said, ShapeOf, said

_OR_MORE = tuple(range(2, ANY_MORE + 1))
_LAYOUTS: dict[str, tuple[tuple[int, ...], str]] = {
    "BatchNorm1d": ((2, 3), "(N, C) or (N, C, L)"),
    "BatchNorm2d": ((4,), "(N, C, H, W)"),
    "BatchNorm3d": ((5,), "(N, C, D, H, W)"),
    "InstanceNorm1d": ((2, 3), "(N, C, L)"),
    "InstanceNorm2d": ((3, 4), "(N, C, H, W)"),
    "InstanceNorm3d": ((4, 5), "(N, C, D, H, W)"),
}
"""The numbers of dimensions that a layer takes, and what these are; an instance norm takes a sample
alone as well."""


def other_layer(layer: str, rank: int) -> str | None:
    """The layer of the same family that takes `rank` dimensions: `BatchNorm1d` where `layer` is
    `BatchNorm2d` and rank 3; None where this one does, or none."""
    if layer not in _LAYOUTS or rank in _LAYOUTS[layer][0]:
        return None
    family = layer[:-2]
    return next((each for n in (1, 2, 3) if rank in _LAYOUTS[each := f"{family}{n}d"][0]), None)


_VECTORS = ("running_mean", "running_var", "weight", "bias")

# --- by channels ---------------------------------------------------------------------------------


def _checked_rank(call: Call) -> None:
    """Raises:
    Refused: kind `rank`."""
    need(bool(call.operands))
    ranks, _ = _LAYOUTS.get(call.layer, (_OR_MORE, ""))
    if call.operands[0].rank not in ranks:
        layer = {"layer": call.layer} if call.layer in _LAYOUTS else {}
        rank = ranks[-1] if layer else 2
        raise refuse("rank", *all_marks(call, 0), rank=rank, ranks=ranks, at=0, **layer)


def _vectors(call: Call) -> list[int]:
    return [index for name in _VECTORS for index in call.tensors(name)]


def _checked_channels(call: Call, vectors: Iterable[int], channel: int = 1) -> None:
    """Each of the vectors has a number for each channel.

    Raises:
        Refused: kind `features`.
    """
    vectors = list(vectors)
    found = call.operands[0].shape[channel]
    for vector in vectors:
        wanted = product(call.operands[vector].shape)
        if differ(wanted, found):
            raise refuse(
                "features",
                mark(call, At(0, channel), wanted),
                *(mark(call, At(v, 0), found) for v in vectors if call.operands[v].rank),
                wanted=wanted,
                found=found,
                layout=_layout(call.operands[0].shape, wanted),
            )


def _layout(shape: Shape, wanted: Size) -> str:
    """`axis` where the wanted channels are there, as the last dimension."""
    if len(shape) < 3 or differ(shape[-1], wanted):
        return ""
    # A map whose width happens to be the wanted number has its channels where they belong.
    return "axis" if len(shape) != 4 or not differ(shape[1], shape[2]) else ""


def _by_channel(call: Call, vectors: Iterable[int], channel: int = 1) -> Bound:
    return Bound(
        call,
        (kept(call),),
        tuple((At(0, channel), At(v, 0)) for v in vectors if call.operands[v].rank),
    )


def _batch_norm(call: Call) -> Bound:
    """Channels are dimension 1.

    Raises:
        Refused: kind `rank`, `features`, `single` in training, or `arguments` where no mean and
            variance are stored.
    """
    _checked_rank(call)
    vectors = _vectors(call)
    _checked_channels(call, vectors)
    shape = call.operands[0].shape
    if _of_this_batch(call):
        _checked_single(call, (shape[0], *shape[2:]))
    elif call.tensor("running_mean") is None or call.tensor("running_var") is None:
        raise refuse("arguments")
    return _by_channel(call, vectors)


def _of_this_batch(call: Call) -> bool:
    """Whether mean and variance are those of this batch, not the stored ones."""
    if call.flag("training", default=True):
        return True
    nothing_kept = call.tensor("running_mean") is None and call.tensor("running_var") is None
    return bool(call.layer) and nothing_kept


def _checked_single(call: Call, averaged: Iterable[Size]) -> None:
    """Raises:
    Refused: kind `single`, there is nothing to average over."""
    count = product(averaged)
    if known(count) and is_one(count):
        raise refuse("single", mark(call, At(0, 0)))


def _batch_norm_words(step: Spoken) -> Told:
    which = (
        said("the one channel normalised")
        if str(step.x[1]) == "1"
        else said("each of the {n} channels normalised", n=step.x[1])
    )
    by = (
        said("with one mean and one variance for the whole batch")
        if _of_this_batch(step.call)
        else said("with its stored mean and variance, not those of this batch")
    )
    return Told(said("Shape kept: {which}, {by}", which=which, by=by))


def _instance_norm(call: Call) -> Bound:
    """A layer takes a sample alone too, whose channels are dimension 0.

    Raises:
        Refused: kind `rank`, `features` or `single`.
    """
    _checked_rank(call)
    shape = call.operands[0].shape
    unbatched = call.layer in _LAYOUTS and len(shape) == _LAYOUTS[call.layer][0][0]
    channel = 0 if unbatched else 1
    vectors = _vectors(call)
    _checked_channels(call, vectors, channel)
    if call.layer:
        own = call.flag("training", default=True) or not call.flag("track_running_stats")
    else:
        own = call.flag("use_input_stats", default=True)
    if own:
        _checked_single(call, shape[channel + 1 :])
    elif call.tensor("running_mean") is None or call.tensor("running_var") is None:
        raise refuse("arguments")
    return _by_channel(call, vectors, channel)


def _instance_norm_words(step: Spoken) -> Told:
    return Told(
        said("Shape kept: each channel normalised on its own")
        if step.call.get("track_running_stats") is True
        else said("Shape kept: each channel of each sample normalised on its own")
    )


def _group_norm(call: Call) -> Bound:
    """Raises:
    Refused: kind `rank`, `features`, `divide`, or `single`."""
    _checked_rank(call)
    shape = call.operands[0].shape
    groups = call.whole("num_groups")
    if groups is None:
        raise Unclear
    vectors = _vectors(call)
    _checked_channels(call, vectors)
    if known(groups) and groups < 1:
        raise refuse("arguments")
    channels = shape[1]
    if known(channels) and known(groups):
        if channels % groups:
            raise refuse("divide", mark(call, At(0, 1)), parts=groups, size=channels, dim=1)
        _checked_single(call, (shape[0] * channels // groups, *shape[2:]))
    return _by_channel(call, vectors)


def _group_norm_words(step: Spoken) -> Told:
    groups = step.call.get("num_groups")
    return Told(
        said(
            "Shape kept: the {n} channels normalised in {groups} groups of {each}, sample by "
            "sample",
            n=step.x[1],
            groups=groups,
            each=step.x[1] // groups,
        )
    )


# --- why they refuse -----------------------------------------------------------------------------


def _channel_report(refusal: Refusal) -> Report | None:
    writers = {"rank": _rank_report, "features": _features_report, "single": _single_report}
    writer = writers.get(refusal.violation.kind)
    if refusal.violation.kind == "divide":
        return _divide_report(refusal)
    return writer(refusal) if writer is not None else None


def _rank_report(refusal: Refusal) -> Report | None:
    x, rank = refusal.name(0, said("the input")), refusal.call.operands[0].rank
    values: dict[str, object] = {
        "who": refusal.who,
        "x": x,
        "shape": refusal.shape(0),
        "have": rank,
    }
    layer = refusal.facts.get("layer")
    if layer is None:
        return _too_few_report(refusal, values)
    ranks, layout = _LAYOUTS[layer]
    family = layer[:-2]
    values |= {
        "count": Count(rank, "dimension"),
        "kind": f"nn.{layer}",
        "family": f"nn.{family}",
        "layout": layout,
        "few": ranks[0],
        "many": ranks[-1],
    }
    reason = [said("{x} is {shape}, with {count}.", **values)]
    other = other_layer(layer, rank) if family == "BatchNorm" else None
    if other is not None:
        reason.append(said("For {count} there is {other}.", other=f"nn.{other}", **values))
    reason.append(said("{who} is {kind} and wants {layout}.", **values))
    return Report(
        said(
            "{kind} needs {few} or {many} dimensions {layout}: {x} has {have}."
            if len(ranks) > 1
            else "{kind} needs {few} dimensions {layout}: {x} has {have}.",
            **values,
        ),
        tuple(reason),
        said(
            "Choose the kind of {family} for {count}, or keep the dimension that {x} lost.",
            **values,
        ),
    )


def _too_few_report(refusal: Refusal, values: dict[str, object]) -> Report:
    reason = said(
        "It takes mean and variance for each channel over the batch, so both dimensions must be "
        "there."
    )
    if refusal.call.op == "group_norm":
        groups = refusal.call.get("num_groups")
        reason = said("It cuts the channels, dimension 1, into {groups} groups.", groups=groups)
    return Report(
        said("{who} needs at least 2 dimensions (N, C): {x} {shape} has {have}.", **values),
        (reason,),
    )


def _features_report(refusal: Refusal) -> Report:
    wanted, found = refusal.facts["wanted"], refusal.facts["found"]
    channel = refusal.violation.marks[0].dim
    shape = refusal.call.operands[0].shape
    values = {
        "who": refusal.who,
        "x": refusal.name(0, said("the input")),
        "shape": refusal.shape(0),
        "channels": Count(wanted, "channel"),
        "wanted": wanted,
        "found": found,
        "dim": channel,
        "path": refusal.path or said("the layer"),
        "built": refusal.built or said("a layer"),
    }
    grouped = refusal.call.op == "group_norm"
    reason: list[Said] = [
        said(
            "{path} is {built}, made for {channels}, and dimension {dim} of {x}, where channels "
            "are, is {found}."
            if grouped
            else "{path} is {built}, with one mean and variance for each of {channels}, and "
            "dimension {dim} of {x} {shape}, where channels are, is {found}.",
            **values,
        )
    ]
    if refusal.facts["layout"] and not grouped:
        reason.append(
            said(
                "The size {wanted} is there, as the last one: (N, L, C) is not (N, C, L)."
                if len(shape) == 3
                else "The size {wanted} is there, as the last one.",
                **values,
            )
        )
    return Report(
        said(
            "{who} needs {channels} in dimension {dim} of its input: {found} ≠ {wanted} "
            "({x} {shape}).",
            **values,
        ),
        tuple(reason),
        said(
            "See whether {x} should have {channels}, or {who} should take {found}."
            if grouped
            else "See whether {x} should have {channels}, or {who} should be made for {found}.",
            **values,
        ),
    )


def _single_report(refusal: Refusal) -> Report:
    values = {
        "who": refusal.who,
        "x": refusal.name(0, said("the input")),
        "shape": refusal.shape(0),
        "samples": Count(refusal.call.operands[0].shape[0], "sample"),
    }
    if refusal.call.op == "group_norm":
        return Report(
            said("{who} needs more than 1 value for each group: {x} {shape} has 1.", **values),
            (
                said(
                    "{who} subtracts the mean of a group of channels and divides by its spread; "
                    "the spread of a single value is 0.",
                    **values,
                ),
            ),
            said("Choose fewer groups, so that each holds several channels."),
        )
    return Report(
        said(
            "{who} needs more than 1 value for each channel when training: {x} {shape} has 1.",
            **values,
        ),
        (
            said(
                "In training, {who} subtracts the mean of a channel over batch and positions and "
                "divides by its spread. With {samples} and nothing else to average over there is "
                "only one value, and its spread is 0.",
                **values,
            ),
        ),
        said(
            "Give at least 2 samples, or call `model.eval()`, which takes the running mean and "
            "variance. In a DataLoader, drop_last=True leaves no batch of one at the end."
        ),
    )


def _divide_report(refusal: Refusal) -> Report:
    size, parts = refusal.facts["size"], refusal.facts["parts"]
    values = {
        "who": refusal.who,
        "x": refusal.name(0, said("the input")),
        "shape": refusal.shape(0),
        "channels": Count(size, "channel"),
        "size": size,
        "parts": parts,
        "rest": size % parts,
    }
    return Report(
        said(
            "{who} needs channels that divide by its {parts} groups: {size} % {parts} = {rest}.",
            **values,
        ),
        (
            said(
                "{x} {shape} has {channels}, which cannot be cut into {parts} groups of one size.",
                **values,
            ),
        ),
        said("Choose a number of groups that divides {size}.", **values),
    )


def _batch_norm_cells(bound: Bound, number: int) -> Cells:
    """In training the whole channel of the batch, else the one value; the stored mean and variance
    count in the latter alone."""
    call = bound.call
    if not _of_this_batch(call):
        return by_dims(bound, number)
    rest = {At(0, dim): WHOLE for dim in range(call.operands[0].rank) if dim != 1}
    kept_on = call.tensors("running_mean") + call.tensors("running_var")
    cells = by_dims(bound, number, rest)
    return Cells(
        tuple(None if n in kept_on else each for n, each in enumerate(cells.reaches)), cells.met
    )


def _group_norm_cells(bound: Bound, number: int) -> Cells:
    """The channels of one group, at all places of the sample."""
    call = bound.call
    shape, groups = call.operands[0].shape, call.whole("num_groups", default=1)
    part = shape[1] // groups
    own = {At(0, dim): WHOLE for dim in range(2, len(shape))}
    own[At(0, 1)] = Along("part", 1, count=part, over=part)
    return by_dims(bound, number, own)


operation(
    "batch_norm",
    bind=_batch_norm,
    words=_batch_norm_words,
    report=_channel_report,
    scene=Scene("share", cells=_batch_norm_cells),
)
operation("instance_norm", bind=_instance_norm, words=_instance_norm_words, report=_channel_report)
operation(
    "group_norm",
    bind=_group_norm,
    words=_group_norm_words,
    report=_channel_report,
    scene=Scene("share", cells=_group_norm_cells),
)
_BATCH = "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm"
_INSTANCE = "InstanceNorm1d InstanceNorm2d InstanceNorm3d"
layers(batch_norm=_BATCH, instance_norm=_INSTANCE, group_norm="GroupNorm")
layer_sizes(f"{_BATCH} {_INSTANCE}", reads="num_features")
layer_sizes("GroupNorm", reads="num_channels")

# --- by the last dimensions ----------------------------------------------------------------------


def _wanted_shape(call: Call) -> Shape:
    wanted = call.sizes("normalized_shape")
    if wanted is None:
        raise Unclear
    return wanted


def _layer_norm(call: Call) -> Bound:
    """Raises:
    Refused: kind `rank`, `features` where the input or a weight does not end in
        `normalized_shape`, or `arguments` where that is empty."""
    need(bool(call.operands))
    wanted, shape = _wanted_shape(call), call.operands[0].shape
    if not wanted:
        raise refuse("arguments")
    if len(shape) < len(wanted):
        raise refuse("rank", *all_marks(call, 0), rank=len(wanted), at=0)
    start = len(shape) - len(wanted)
    own = [index for name in ("weight", "bias") for index in call.tensors(name)]
    off = [n for n, size in enumerate(wanted) if differ(shape[start + n], size)]
    if off:
        raise refuse(
            "features",
            *(mark(call, At(0, start + n), wanted[n]) for n in off),
            *(
                mark(call, At(index, n), shape[start + n])
                for index in own[:1]
                for n in off
                if call.operands[index].rank == len(wanted)
            ),
            wanted=wanted[-1],
            found=shape[-1],
            layout="axis" if len(wanted) == 1 and wanted[0] in shape[:-1] else "",
        )
    for index in own:
        given = call.operands[index].shape
        if len(given) != len(wanted) or any(map(differ, given, wanted)):
            raise refuse("features", *all_marks(call, index), of=index)
    ties = tuple((At(0, start + n), At(index, n)) for index in own for n in range(len(wanted)))
    return Bound(call, (kept(call),), ties)


def _layer_norm_words(step: Spoken) -> Told:
    shape = step.x[len(step.x) - len(_wanted_shape(step.call)) :]
    return Told(
        said(
            "Shape kept: every {sizes} values normalised by its root mean square"
            if step.name == "rms_norm"
            else "Shape kept: every {sizes} values normalised by its own mean and variance",
            sizes=by_text(shape),
        )
    )


def _layer_norm_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind not in ("rank", "features") or "of" in refusal.facts:
        return None
    wanted, shape = _wanted_shape(refusal.call), refusal.call.operands[0].shape
    have = shape[-len(wanted) :]
    values = {
        "who": refusal.who,
        "family": "RMSNorm" if refusal.call.op == "rms_norm" else "LayerNorm",
        "x": refusal.name(0, said("the input")),
        "shape": refusal.shape(0),
        "rank": len(shape),
        "count": Count(len(wanted), "dimension"),
        "wanted": ShapeOf(wanted),
        "have": ShapeOf(have),
    }
    if refusal.violation.kind == "rank":
        return Report(
            said(
                "{who} normalises the last {count} {wanted}: {x} {shape} has only {rank}.",
                **values,
            ),
            (said("{who} is made for inputs that end in {wanted}.", **values),),
        )
    reason = [
        said(
            "{family} works on the last dimension; {who} was made for {wanted}, and {x} {shape} "
            "ends in {have}."
            if len(wanted) == 1
            else "{family} works on the last {count}; {who} was made for {wanted}, and {x} {shape} "
            "ends in {have}.",
            **values,
        )
    ]
    if refusal.facts["layout"]:
        at = max(n for n, size in enumerate(shape[:-1]) if size == wanted[0])
        reason.append(
            said(
                "The size {size} is there, in dimension {at}: that is another axis.",
                size=wanted[0],
                at=at,
            )
        )
    return Report(
        said("{who} needs an input that ends in {wanted}: {x} ends in {have}.", **values),
        tuple(reason),
        said("See over which dimension of {x} it should normalise.", **values),
    )


def _layer_norm_cells(bound: Bound, number: int) -> Cells:
    """All along the last dimensions."""
    rank = bound.call.operands[0].rank
    start = rank - len(_wanted_shape(bound.call))
    return by_dims(bound, number, {At(0, dim): WHOLE for dim in range(start, rank)})


operation(
    "layer_norm rms_norm",
    bind=_layer_norm,
    words=_layer_norm_words,
    report=_layer_norm_report,
    scene=Scene("share", cells=_layer_norm_cells),
)
layers(layer_norm="LayerNorm", rms_norm="RMSNorm")
layer_sizes("LayerNorm RMSNorm", reads="normalized_shape")

# --- by neighbours -------------------------------------------------------------------------------


def _local_response_norm(call: Call) -> Bound:
    """The order of the channels counts.

    Raises:
        Refused: kind `rank`, there is nothing behind the channels.
    """
    need(bool(call.operands))
    if call.operands[0].rank < 3:
        raise refuse("rank", *all_marks(call, 0), rank=3, ranks=_OR_MORE[1:], at=0)
    (dims,) = alone(call).results
    return Bound(call, ((dims[0], moved(dims[1]), *dims[2:]),))


operation(
    "local_response_norm",
    bind=_local_response_norm,
    words=lambda step: Told(
        said("Shape kept: each value divided by the strength of its neighbouring channels")
    ),
)
layers(local_response_norm="LocalResponseNorm")
