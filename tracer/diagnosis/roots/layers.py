"""A layer's own size against that of its input."""

from __future__ import annotations

import math

from torch import nn

from tracer.diagnosis.finding import Mark
from tracer.diagnosis.roots.blame import (
    culprit,
    elsewhere,
    swallow,
    swallowed_beside,
)
from tracer.diagnosis.roots.lineage import Birth, Hop, ancestors, birth, size_at
from tracer.diagnosis.roots.pairs import most_suspicious
from tracer.diagnosis.roots.places import (
    Search,
    code,
    maker,
    shape,
    size,
    size_arguments,
)
from tracer.document import Root, TensorNote
from tracer.ops.bound import MIXED, NEW
from tracer.ops.names import op_name
from tracer.ops.space import over_space
from tracer.sentences import Filling, Said, said


def of_layer(s: Search) -> Root | None:
    if not s.made:
        return None
    mark = s.made[0]
    found = birth(s.trace, s.note(mark), mark.dim)
    made = _on_the_way(s, mark, found)
    if made is not None:
        return made
    if _unflattened(s, mark):
        return _stacked(s, s.note(mark))
    if found.last is not None and found.last.fresh:
        because = said("The size {size} is made here.", size=size(s.note(mark), mark.dim))
        return s.step(found.last.step, because)
    made = _by_layout(s, mark, found)
    if made is not None:
        return made
    if s.finding.facts.get("layout") in ("axis", "last"):
        return None  # the size is there, on another axis: what is missing is a permutation here
    return _of_constructor(s, mark, found) or _of_weight(s) or most_suspicious(s)


def _on_the_way(s: Search, mark: Mark, found: Birth) -> Root | None:
    """A step or call before the layer that brought the wrong size there."""
    note, wanted = s.note(mark), mark.wanted
    if (hop := swallowed_beside(s, found)) is not None:
        return swallow(s, hop)
    if wanted is not None and (wrong := culprit(s, found, wanted)) is not None:
        return wrong.root
    if (swapped := _swapped(s, note, mark)) is not None:
        return swapped
    if found.last is None or not found.last.merged:
        return None
    return _unpooled(s, mark, found.last) or _unbatched(s, note, wanted)


def _unpooled(s: Search, mark: Mark, last: Hop) -> Root | None:
    """Channels and positions laid together where the channels alone were wanted."""
    first, *rest = last.sources
    if not rest or mark.wanted != size_at(first):
        return None
    because = said(
        "Here the {channels} channels and their {places} positions become {size} numbers: the "
        "positions were not pooled to one before.",
        channels=size(*first),
        places="×".join(str(size_at(source)) for source in rest),
        size=size(s.note(mark), mark.dim),
    )
    return s.step(last.step, because)


def _unbatched(s: Search, note: TensorNote, wanted: int | None) -> Root | None:
    """A sample without its batch dimension, whose first dimension was taken for it; what a layer
    over space read as a batch is one."""
    if math.prod(note.shape) != wanted or len(note.shape) != 2:
        return None
    last = note
    for step, _, before in ancestors(s.trace, note):
        count = over_space(op_name(step.op))
        if count and len(before.shape) == count + 2:
            return None
        last = before
    if last.kind != "input" or len(last.shape) < 2:
        return None
    because = said(
        "The input {x} {shape} is one sample without a batch dimension: its first dimension was "
        "taken for the batch.",
        x=last.name,
        shape=shape(last),
    )
    return s.input(last, because)


def _swapped(s: Search, note: TensorNote, mark: Mark) -> Root | None:
    """Two inputs of a module that were passed in each other's place."""
    for call in reversed(s.trace.calls[1:]):
        if call.outputs or call.stop < len(s.trace.steps):
            continue
        if note.id not in {n.id for n in call.inputs}:
            continue
        for other in call.inputs:
            if (
                other.id != note.id
                and len(other.shape) == len(note.shape)
                and mark.wanted is not None
                and other.shape[mark.dim] == mark.wanted
            ):
                because = said(
                    "{path} is given {one} {shape} and {other} {shape_other}: in each other's "
                    "place they would fit.",
                    path=call.module,
                    one=note.name or said("one tensor"),
                    shape=shape(note),
                    other=other.name or said("another"),
                    shape_other=shape(other),
                )
                return Root("call", call.place, call.module, None, because)
    return None


def _unflattened(s: Search, mark: Mark) -> bool:
    """A linear layer on a map: what is missing is a flatten before it, and no size is wrong."""
    note, wanted = s.note(mark), mark.wanted
    if not isinstance(s.layer, nn.Linear) or len(note.shape) < 3 or wanted is None:
        return False
    total = math.prod(note.shape[1:])
    return wanted in (total, total * note.shape[0]) and mark.dim == len(note.shape) - 1


def _stacked(s: Search, note: TensorNote) -> Root | None:
    """Parts that were stacked where one behind the other would have made the wanted size, or
    pooled to a size of one."""
    for dim in range(1, len(note.shape)):
        last = birth(s.trace, note, dim).last
        if last is None or not last.fresh:
            continue
        if last.how == NEW and not last.sources and len(last.step.inputs) > 1:
            because = said(
                "stack makes a new dimension of {size} here; cat would join the parts in an "
                "existing one.",
                size=size(note, dim),
            )
            return s.step(last.step, because)
        if note.shape[dim] == 1:
            because = said("The size 1 is made here, as a dimension that stays.")
            return s.step(last.step, because)
    return None


def _by_layout(s: Search, mark: Mark, found: Birth) -> Root | None:
    """Where the dimensions got their order, when it is that which is wrong."""
    layout, wanted, origin = s.finding.facts.get("layout"), mark.wanted, found.note
    values = {"x": origin.name, "shape": shape(origin), "wanted": wanted, "dim": found.dim}
    if layout == "tokens" and origin.kind == "input":
        return s.input(
            origin, said("The input {x} holds tokens, not vectors of {wanted}.", **values)
        )
    if layout in ("axis", "last", "unbatched"):
        other = elsewhere(s, s.note(mark), mark)
        if other is not None:
            return other
    if found.last is not None or origin.kind != "input":
        return None
    because: Said | None = None
    if layout == "last":
        because = said(
            "The input {x} {shape} has its {wanted} channels in the last dimension, and torch "
            "wants them before the spatial ones.",
            **values,
        )
    elif wanted is not None and wanted in origin.shape[1:]:
        because = said(
            "The input {x} {shape} has {wanted} in dimension {there}, not in dimension {dim}.",
            there=origin.shape.index(wanted, 1),
            **values,
        )
    elif layout == "unbatched":
        because = said("The input {x} {shape} has no channel dimension.", **values)
    elif wanted == 1 and isinstance(s.layer, nn.RNNBase) and len(origin.shape) == 2:
        because = said("The input {x} {shape} has no dimension of its features.", **values)
    return s.input(origin, because) if because is not None else None


def _of_constructor(s: Search, mark: Mark, found: Birth) -> Root | None:
    """The layer's own argument that says how large its input must be."""
    if s.path is None or s.layer is None or mark.wanted is None:
        return None
    last = found.last
    producer = last.step.module if last is not None and last.how == MIXED else None
    argument = size_arguments(s.layer).reads
    return s.constructor(s.path, argument, _mismatch(s, mark, found), producer)


def _mismatch(s: Search, mark: Mark, found: Birth) -> Said:
    """For what the layer was made, and where comes from what it gets."""
    wanted, last, origin = mark.wanted, found.last, found.note
    values: dict[str, Filling] = {
        "layer": s.path or type(s.layer).__name__,
        "wanted": wanted,
        "size": size(s.note(mark), mark.dim),
    }
    if last is None:
        return said(
            "{layer} was made for {wanted} here, and gets {size}: that is the size of {x} {shape}, "
            "dimension {dim}.",
            x=origin.name or said("a tensor made elsewhere"),
            shape=shape(origin),
            dim=found.dim,
            **values,
        )
    if last.merged:
        sizes = [size_at(source) for source in last.sources]
        values |= {"product": "·".join(map(str, sizes)), "code": code(last.step.expression)}
        if sizes[0] > 1 and wanted is not None and wanted % sizes[0] == 0:
            return said(
                "{layer} was made for {wanted} here, and gets {size}: {product} after `{code}`, "
                "where {wanted} is {channels}·{rest}.",
                channels=size(*last.sources[0]),
                rest=wanted // sizes[0],
                **values,
            )
        return said(
            "{layer} was made for {wanted} here, and gets {size}: {product} after `{code}`.",
            **values,
        )
    values["maker"] = maker(last.step)
    if last.how == MIXED:
        return said(
            "{layer} was made for {wanted} here, and gets {size}: as many as {maker} gives.",
            **values,
        )
    return said("{layer} was made for {wanted} here, and gets {size} from {maker}.", **values)


def _of_weight(s: Search) -> Root | None:
    """A weight that the forward itself multiplies with."""
    weights = [m for m in s.finding.marks if s.note(m).kind == "parameter"]
    if s.path is not None or not weights:
        return None
    note = s.note(weights[0])
    return s.parameter(note, weights[0].dim if weights[0].wanted not in note.shape else None)
