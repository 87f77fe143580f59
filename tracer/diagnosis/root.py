"""Where the wrong size was born, when that is not where the run stopped: by the way of the
offending dimension, to a step, an argument in `__init__`, the caller or the input."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from tracer.diagnosis import built
from tracer.diagnosis.blame import (
    Suspect,
    culprit,
    elsewhere,
    shortcut,
    suspect,
    swallow,
    swallowed,
    swallowed_beside,
)
from tracer.diagnosis.finding import Finding, Mark
from tracer.diagnosis.lineage import Birth, Hop, ancestors, back, birth, made_by, size_at
from tracer.diagnosis.places import (
    Search,
    code,
    deed,
    dims,
    finished,
    maker,
    shape,
    short_op,
    size,
    size_arguments,
)
from tracer.document import Failure, Root, Slice, Step, TensorNote
from tracer.ops.bound import GROUPED, MIXED, NEW
from tracer.ops.flow import permutes, strides
from tracer.ops.norm import other_layer
from tracer.ops.table import bound_step
from tracer.record.crash import Crash
from tracer.sentences import Filling, Said, said


def root(crash: Crash, finding: Finding, failure: Failure) -> Root | None:
    """The birth of the wrong size; None when it is the failing expression itself, or not known."""
    seek = _SEEKERS.get(finding.kind)
    found = seek(Search(crash, finding, failure)) if seek is not None else None
    if found is None:
        return None
    here = (found.place.file, found.place.span) == (failure.place.file, failure.place.span)
    return None if found.kind == "step" and here else finished(crash.trace, found)


# --- a layer's own size against its input ---------------------------------------------------------


def _of_layer(s: Search) -> Root | None:
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
    return _of_constructor(s, mark, found) or _of_weight(s) or _best(s)


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
    """A sample without its batch dimension, whose first dimension was taken for it."""
    if math.prod(note.shape) != wanted or len(note.shape) != 2:
        return None
    last = note
    for _, _, before in ancestors(s.trace, note):
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


# --- two tensors against each other ---------------------------------------------------------------


def _best(s: Search) -> Root | None:
    """Of the tensors at odds, the one whose size has the most suspicious birth."""
    facts = s.finding.facts
    if facts.get("transposed") or facts.get("reordered"):
        return None  # the sizes would fit the other way round: it is this line
    if "target" in facts and (target := _written_to(s)) is not None:
        return target
    marks = s.finding.marks[:1] if facts.get("in_place") else s.finding.marks
    found = [each for mark in marks if (each := suspect(s, mark)) is not None]
    best = max(reversed(found), key=lambda each: each.score) if found else None
    if s.finding.kind != "broadcast":
        return best.root if best is not None else None
    return shortcut(s) or _of_broadcast(s, marks, best)


def _of_broadcast(s: Search, marks: Sequence[Mark], best: Suspect | None) -> Root | None:
    if best is None or best.score >= _CERTAIN:
        return best.root if best is not None else None
    if (short := _too_short(s, marks)) is not None:
        return short
    shorter = _shorter(s, marks)
    batches = [s.is_batch(s.note(m), m.dim) for m in marks]
    if shorter is not None or (any(batches) and not all(batches)):
        # Not a size is wrong, but the place where it is laid.
        return shorter
    return best.root


_CERTAIN = 70  # the score of a suspect against which no more is looked for


def _written_to(s: Search) -> Root | None:
    """What is written to was made for this, with sizes that were written down."""
    if not s.failure.operands:
        return None
    into = s.failure.operands[0].note
    first = [step for step, _, _ in ancestors(s.trace, into)]
    made = made_by(s.trace, first[-1].inputs[0] if first else into)
    if made is None or made.inputs:
        return None
    return s.step(made, said("{shape} is made here, to be written to.", shape=shape(into)))


def _too_short(s: Search, marks: Sequence[Mark]) -> Root | None:
    """A table that was cut to a length it does not reach: `pe[:120]` of 50 rows gives 50."""
    for mark in marks:
        found = birth(s.trace, s.note(mark), mark.dim)
        if found.last is not None or found.note.kind not in ("parameter", "buffer"):
            continue
        cut = next((hop for hop in found.hops if _asks_for(hop.step, mark.wanted)), None)
        if cut is not None:
            because = said(
                "{tensor} is made with {rows} rows here, {shape}, and `{code}` asks for {wanted}.",
                tensor=found.note.name,
                rows=size(found.note, found.dim),
                shape=shape(found.note),
                code=code(cut.step.expression),
                wanted=mark.wanted,
            )
            return s.parameter(found.note, found.dim, because)
    return None


def _asks_for(step: Step, wanted: int | None) -> bool:
    """Whether one of the step's slices ends there."""
    ends = [
        item.stop
        for value in step.bound.values()
        for item in (value if isinstance(value, tuple) else (value,))
        if isinstance(item, Slice)
    ]
    return wanted is not None and wanted in ends


def _shorter(s: Search, marks: Sequence[Mark]) -> Root | None:
    """Where the tensor with fewer dimensions comes from; nowhere else when both have as many."""
    notes = sorted((s.note(mark) for mark in marks), key=lambda note: len(note.shape))
    if len(notes) < 2 or len(notes[0].shape) == len(notes[-1].shape):
        return None
    note = notes[0]
    if note.kind == "input":
        because = said(
            "The input {x} is {shape}: it lacks dimensions.", x=note.name, shape=shape(note)
        )
        return s.input(note, because)
    made = made_by(s.trace, note)
    if made is not None and made.place.statement_span == s.failure.place.statement_span:
        origin = birth(s.trace, note, len(note.shape) - 1).note
        if origin.kind in ("parameter", "buffer") and len(origin.shape) == len(note.shape):
            return s.parameter(origin)
    return _made_here(s, note)


def _made_here(s: Search, note: TensorNote) -> Root | None:
    made = made_by(s.trace, note)
    return s.step(made, said("{shape} is made here.", shape=shape(note))) if made else None


# --- the number of dimensions ---------------------------------------------------------------------


def _rank(s: Search) -> Root | None:
    if not s.finding.marks:
        return None
    mark = s.finding.marks[0]
    note, have = s.note(mark), len(s.note(mark).shape)
    made, wanted = made_by(s.trace, note), _wanted_rank(s)
    if made is not None and made.op.startswith("nn.") and _suits_another(s, have):
        # A layer gives this many dimensions on purpose: the norm was chosen for others.
        return _norm(s, mark)
    reshaped = _reshaped(s, note, wanted)
    if reshaped is not None:
        return reshaped
    if _suits_another(s, have) and (norm := _norm(s, mark)) is not None:
        return norm
    if wanted is not None and have > wanted and made is not None:
        because = said("{shape}, with {count}, is made here.", shape=shape(note), count=dims(have))
        return s.step(made, because)
    if wanted is not None and have < wanted and _of_list(s):
        return _longer(s, wanted)
    return _first_rank(s, mark, wanted)


def _wanted_rank(s: Search) -> int | None:
    wanted, dim = s.finding.facts.get("rank"), s.finding.facts.get("dim")
    if s.finding.kind == "axis" and isinstance(dim, int):
        return dim + 1 if dim >= 0 else -dim
    return wanted if isinstance(wanted, int) else None


def _reshaped(s: Search, note: TensorNote, wanted: int | None) -> Root | None:
    """The step that made as many dimensions of fewer or more, as it would have to be undone."""
    have = len(note.shape)
    changes = [
        (step, after, before)
        for step, after, before in ancestors(s.trace, note)
        if len(before.shape) != len(after.shape)
    ][:1]
    for step, after, before in changes:
        towards = wanted is None or (len(before.shape) > have) == (wanted > have)
        if towards or s.finding.kind == "axis":
            because = said(
                "This {op} makes {count} of {rank}: {before} became {after}.",
                op=deed(step),
                count=dims(have),
                rank=len(before.shape),
                before=shape(before),
                after=shape(after),
            )
            return s.step(step, because)
    return None


def _first_rank(s: Search, mark: Mark, wanted: int | None) -> Root | None:
    """Where a tensor begins that had this many dimensions all the way."""
    note = s.note(mark)
    last, have = note, len(note.shape)
    for _, after, before in ancestors(s.trace, note):
        last = before
        if len(after.shape) != have:
            break
    if last.kind == "input" and len(last.shape) == have:
        return s.input(last, _input_rank(s, mark, last, wanted))
    made = _made_here(s, last)
    if made is not None:
        return made
    written = {"shape", "times"} & s.finding.facts.keys()  # the line says how many it wants
    return s.parameter(last) if last.kind == "parameter" and not written else None


def _input_rank(s: Search, mark: Mark, note: TensorNote, wanted: int | None) -> Said:
    have = len(note.shape)
    values: dict[str, Filling] = {
        "x": note.name or s.name(mark.operand),
        "shape": shape(note),
        "count": dims(have),
        "wanted": wanted,
    }
    if wanted is None or wanted == have:
        return said("The input {x} {shape} has {count}.", **values)
    values["number"] = abs(wanted - have)
    if wanted > have:
        return said("The input {x} {shape} has {count}, {number} fewer than {wanted}.", **values)
    return said("The input {x} {shape} has {count}, {number} more than {wanted}.", **values)


def _suits_another(s: Search, rank: int) -> bool:
    """Whether a norm of another number of dimensions is the right one."""
    layer = s.finding.facts.get("layer")
    return isinstance(layer, str) and other_layer(layer, rank) is not None


def _norm(s: Search, mark: Mark) -> Root | None:
    note = s.note(mark)
    if s.path is None:
        return None
    because = said(
        "{layer} is chosen here, and {x} {shape} has {count}.",
        layer=s.finding.facts.get("layer"),
        x=s.name(mark.operand),
        shape=shape(note),
        count=dims(len(note.shape)),
    )
    return s.constructor(s.path, "", because)


def _of_list(s: Search) -> bool:
    """Whether the failing call was given a list of tensors, to be joined."""
    step = s.failure.step
    return step is not None and "tensors" in step.bound


def _longer(s: Search, wanted: int) -> Root | None:
    """Of tensors to be joined the one with more dimensions, when none was taken from the rest."""
    for index, operand in enumerate(s.failure.operands):
        note = operand.note
        if len(note.shape) == wanted:
            because = said(
                "{x} {shape} has {count}.",
                x=s.name(index),
                shape=shape(note),
                count=dims(wanted),
            )
            if note.kind == "input":
                return s.input(note, because)
            made = made_by(s.trace, note)
            return s.step(made, because) if made is not None else None
    return None


# --- batches, states and masks --------------------------------------------------------------------


def _hidden(s: Search) -> Root | None:
    facts = s.finding.facts
    wanted, found = facts.get("wanted"), facts.get("found")
    if (turned := _batch_last(s)) is not None:
        return turned
    if isinstance(wanted, tuple) and isinstance(found, tuple) and len(wanted) != len(found):
        return _rank(s)
    for mark in s.made:
        note = s.note(mark)
        if mark.dim >= len(note.shape) or tuple(note.shape) != found:
            continue
        operand = s.failure.operands[mark.operand]
        if operand.note.kind == "constant":
            because = said(
                "{x} is made here, once, as {shape}: for a batch of {batch}.",
                x=s.name(mark.operand),
                shape=shape(note),
                batch=size(note, len(note.shape) - 2),
            )
            if (kept := s.kept(operand, because)) is not None:
                return kept
        # The state may be as large as the batch, and the input a slice along another dimension.
        given = s.failure.operands[0].note
        for dim in (d for d, found in enumerate(given.shape) if found == mark.wanted):
            wrong = culprit(s, birth(s.trace, given, dim), mark.size)
            if wrong is not None:
                return wrong.root
        suspected = suspect(s, mark)
        if suspected is not None:
            return suspected.root
    return None


def _batch_last(s: Search) -> Root | None:
    """A layer that was built to take the batch as its second dimension."""
    facts = s.finding.facts
    if not facts.get("turned") or s.path is None or facts.get("batch_first"):
        return None
    because = said("The layer is built with batch_first=False here.")
    return s.constructor(s.path, "batch_first", because)


def _batch(s: Search) -> Root | None:
    if (turned := _batch_last(s)) is not None:
        return turned
    flagged = s.finding.facts.get("batch_first")
    if flagged is not None and s.finding.kind == "batch" and len(s.made) == 2:
        one, other = s.made
        note, dim = s.note(one), 1 - one.dim
        last = birth(s.trace, note, dim).last if len(note.shape) == 3 else None
        if last is not None and last.fresh and note.shape[dim] == other.size:
            because = said(
                "The batch of {batch} is put into dimension {dim} here.",
                batch=size(note, dim),
                dim=dim,
            )
            return s.step(last.step, because)
    best = _best(s)
    if s.finding.kind == "mask" and (best is None or best.kind == "input") and s.made:
        return _mask(s) or best
    return best


def _mask(s: Search) -> Root | None:
    """Its sizes are those of the data: it is where the mask was made that its axes were chosen."""
    note = s.note(s.made[0])
    makers = [made_by(s.trace, note), *(step for step, _, _ in ancestors(s.trace, note))]
    for step in makers:
        if step is not None and step.place.statement_span != s.failure.place.statement_span:
            because = said("The mask is made here, as {shape}.", shape=shape(step.outputs[0]))
            return s.step(step, because)
    return None


def _target(s: Search) -> Root | None:
    layout = s.finding.facts.get("layout")
    if layout in ("classes_last", "same_numbers", "batch_first"):
        return None
    if layout not in ("extra", "one_hot") or not s.made:
        return _best(s)
    note = s.note(s.made[0])
    for _, after, before in ancestors(s.trace, note):
        if before.shape != after.shape:
            break
        note = before  # a cast, say
    if note.kind == "input":
        return _given(s, note)
    return _made_here(s, note)


def _given(s: Search, note: TensorNote) -> Root:
    return s.input(note, said("The input {x} is {shape}.", x=note.name, shape=shape(note)))


# --- numbers that are written down ----------------------------------------------------------------


def _written(s: Search) -> Root | None:
    """A size that the failing expression takes from an attribute: where that was set."""
    for mark in s.made:
        hop = swallowed(s, birth(s.trace, s.note(mark), mark.dim))
        if hop is not None:
            return swallow(s, hop)
    owner, path = _owner(s)
    names = _whole_names(s, owner) if owner is not None else []
    if s.finding.kind == "numel" and (layer := _from_these(s, names)) is not None:
        return layer
    facts = s.finding.facts
    numbers = {facts.get("parts"), facts.get("each"), *facts.get("shape", ())}
    for name in names:
        assert owner is not None
        if vars(owner).get(name, None) in numbers or s.crash.frames[-1].scope.get(name) in numbers:
            found = _setting(s, owner, path, name)
            if found is not None:
                return found
    for mark in s.made:
        last = birth(s.trace, s.note(mark), mark.dim).last
        if last is not None and last.changed and not strides(last.bound):
            because = said(
                "{before} become {size} here.",
                before=tuple(size(*source) for source in last.sources),
                size=size(s.note(mark), mark.dim),
            )
            return s.step(last.step, because)
    given = s.note(s.made[0]) if s.made else None
    if given is not None and given.kind == "input" and s.finding.kind == "numel":
        return _given(s, given)
    return None


def _from_these(s: Search, names: list[str]) -> Root | None:
    """The layer that made the size, when it was built from numbers that this line uses too: what
    differs is how they are put together."""
    for mark in s.made:
        last = birth(s.trace, s.note(mark), mark.dim).last
        weight = last.sources[0][0] if last is not None and last.how == MIXED else None
        if last is None or weight is None or not last.step.op.startswith("nn."):
            continue
        because = said(
            "{maker} gives {size} here.",
            maker=maker(last.step),
            size=size(s.note(mark), mark.dim),
        )
        made = s.parameter(weight, because=because)
        if made is not None and set(re.findall(r"\w+", made.place.expression)) & set(names):
            return made
    return None


def _owner(s: Search) -> tuple[nn.Module | None, str]:
    """The user's module whose code failed: also of a lambda or helper that it called."""
    for running in reversed(s.crash.running):
        if not type(running.layer).__module__.startswith("torch.nn"):
            return running.layer, running.path
    return None, ""


def _whole_names(s: Search, owner: nn.Module) -> list[str]:
    """What the failing expression takes from `self`, or from the constructor: through a name of
    the same spelling, or one that a lambda keeps from there."""
    frame = s.crash.frames[-1] if s.crash.frames else None
    if frame is None:
        return []
    names = re.findall(r"\bself\.(\w+)\b", frame.place.statement)
    names += re.findall(r"\b[A-Za-z_]\w*\b", frame.place.expression)
    if s.finding.kind == "heads":
        parts = s.finding.facts.get("parts")
        names += [key for key, value in vars(owner).items() if value == parts]

    def whole(name: str) -> bool:
        held = vars(owner).get(name)
        kept = frame.scope.get(name) if name in frame.code.co_freevars else None
        return any(type(value) is int for value in (held, kept))

    return [name for name in dict.fromkeys(names) if whole(name)]


def _setting(s: Search, owner: nn.Module, path: str, name: str) -> Root | None:
    """Where a number that a module keeps was chosen: the call that built the module, the default
    of its constructor, or the assignment."""
    place = built.attribute(owner, name)
    values: dict[str, Filling] = {
        "name": name,
        "value": vars(owner).get(name, s.crash.frames[-1].scope.get(name)),
    }
    argument = place.expression if place is not None else name
    above = built.built(s.crash.model, path) if path else None
    if above is not None and argument in above.arguments:
        because = said(
            "{name} is {value} by `{code}`.", code=code(above.place.expression), **values
        )
        return Root("constructor", above.place, above.path, None, because)
    default = built.default(owner, argument)
    if default is not None:
        because = said("{name} is {value} by default: `{code}`.", code=default.expression, **values)
        return Root("constructor", default, path, None, because)
    if place is None:
        return None
    because = said("self.{name} is set to {value} here.", **values)
    return Root("constructor", place, path, None, because)


# --- other kinds ----------------------------------------------------------------------------------


def _kernel(s: Search) -> Root | None:
    if not s.made:
        return None
    mark = s.made[0]
    origin, way = s.note(mark), [size(s.note(mark), mark.dim)]
    for hop in back(s.trace, s.note(mark), mark.dim):
        if hop.how in (MIXED, GROUPED) or hop.fresh:
            because = said("The size {size} is made here.", size=size(hop.note, hop.dim))
            return s.step(hop.step, because)
        if hop.sources:
            origin, dim = hop.sources[0]
            if origin.shape[dim] != way[-1].size:
                way.append(size(origin, dim))
    if origin.kind != "input":
        return None
    values = {"x": origin.name, "shape": shape(origin)}
    if len(way) == 1:
        return s.input(origin, said("The input {x} {shape} is too small.", **values))
    because = said(
        "The input {x} {shape} is too small: {way}.",
        way=" → ".join(str(each.size) for each in reversed(way)),
        **values,
    )
    return s.input(origin, because)


_WHOLE = ("one_hot", "argmax", "argmin", "argsort", "nonzero", "bincount", "multinomial")


def _dtype(s: Search) -> Root | None:
    kind, first = s.finding.facts.get("found_dtype"), s.finding.facts.get("operand")
    if not isinstance(kind, str):
        return None
    operands = s.failure.operands
    for operand in operands[first : first + 1] if isinstance(first, int) else operands:
        note = operand.note
        if note.dtype == kind and note.kind not in ("parameter", "buffer"):
            return _typed(s, note, kind)
    return None


def _typed(s: Search, note: TensorNote, kind: str) -> Root | None:
    """Where a tensor got its dtype."""
    last, first_use = note, None
    for step, _, before in ancestors(s.trace, note):
        if short_op(step) in _WHOLE and kind == "int64":
            because = said(
                "{op} gives whole numbers ({dtype}) here.", op=short_op(step), dtype=kind
            )
            return s.step(step, because)
        if before.dtype != kind:
            because = said(
                "{x} is {before} and becomes {dtype} here.",
                x=before.name or said("The tensor"),
                before=before.dtype,
                dtype=kind,
            )
            return s.step(step, because)
        last, first_use = before, step
    if last.kind == "input":
        return s.input(last, said("The input {x} is {dtype}.", x=last.name, dtype=kind))
    made = made_by(s.trace, last)
    if made is not None:
        return s.step(made, said("It is made as {dtype} here.", dtype=kind))
    if last.kind == "constant" and first_use is not None:
        # As torch.from_numpy, which says nothing to the recorder.
        because = said("What is made in this line is {dtype} from the start.", dtype=kind)
        return s.step(first_use, because)
    return None


def _device(s: Search) -> Root | None:
    for operand in s.failure.operands:
        step = made_by(s.trace, operand.note)
        if step is not None and all(n.device != operand.note.device for n in step.inputs):
            because = said("It is made on {device} here.", device=operand.note.device)
            return s.step(step, because)
    for frame in reversed(s.crash.frames):
        owner = frame.scope.get("self")
        for name in re.findall(r"\bself\.(\w+)\b", frame.place.statement):
            value = vars(owner).get(name) if isinstance(owner, nn.Module) else None
            if isinstance(owner, nn.Module) and isinstance(value, Tensor):
                place = built.attribute(owner, name)
                if place is not None:
                    because = said(
                        "self.{name} is a plain attribute: it stays on {device}.",
                        name=name,
                        device=str(value.device),
                    )
                    return Root("constructor", place, frame.module or "", None, because)
    return None


def _range(s: Search) -> Root | None:
    if isinstance(s.layer, nn.Embedding) and s.path is not None:
        because = said("The table is made with {rows} rows here.", rows=s.layer.num_embeddings)
        return s.constructor(s.path, size_arguments(s.layer).reads, because)
    return _best(s)


def _type(s: Search) -> Root | None:
    """The call that gave a tuple, or nothing, where a tensor was meant."""
    if s.finding.facts.get("given") == "None":
        return _without_return(s)
    given = [o.note for o in s.failure.operands if o.note.kind not in ("parameter", "buffer")]
    ids = {note.id for note in given}
    for call in reversed(s.trace.calls[1:]):
        if len(call.outputs) > 1 and ids <= {note.id for note in call.outputs} and ids:
            because = said(
                "{path} gives {count} tensors, not one.",
                path=call.module,
                count=len(call.outputs),
            )
            return Root("call", call.place, call.module, None, because)
    if given and all(note.kind == "input" for note in given):
        return s.input(given[0], said("The model is given several tensors in one here."))
    for operand in s.failure.operands:
        step = made_by(s.trace, operand.note)
        if step is not None and ("[" in operand.note.name or len(step.outputs) > 1):
            return s.step(step, _several(step))
    steps = [step for step in s.trace.steps if len(step.outputs) > 1 and not step.error]
    if not steps:
        return None
    because = said(
        "`{code}` gives {count} tensors.",
        code=code(steps[-1].expression),
        count=len(steps[-1].outputs),
    )
    return s.step(steps[-1], because)


def _several(step: Step) -> Said:
    if short_op(step) in ("lstm", "gru", "rnn"):
        return said(
            "`{code}` gives the pair (output, state), not one tensor.", code=code(step.expression)
        )
    return said(
        "`{code}` gives {count} tensors, not one tensor.",
        code=code(step.expression),
        count=len(step.outputs),
    )


def _without_return(s: Search) -> Root | None:
    for call in reversed(s.trace.calls[1:]):
        running = {each.path for each in s.crash.running}
        done = not call.outputs and call.stop <= len(s.trace.steps) and call.place.file
        if done and call.module not in running:
            because = said(
                "{path} ({type}) gives nothing back here: its forward has no `return`.",
                path=call.module,
                type=call.type,
            )
            return Root("call", call.place, call.module, None, because)
    return None


def _stride(s: Search) -> Root | None:
    for operand in s.failure.operands[:1]:
        for step, after, before in ancestors(s.trace, operand.note):
            if permutes(bound_step(step)):
                because = said(
                    "This {op} leaves the elements where they are in memory: {before} became "
                    "{after}.",
                    op=deed(step),
                    before=shape(before),
                    after=shape(after),
                )
                return s.step(step, because)
    return None


def _divide(s: Search) -> Root | None:
    if s.path is not None and isinstance(s.layer, nn.GroupNorm):
        because = said("It is built with {groups} groups.", groups=s.layer.num_groups)
        made = s.constructor(s.path, "num_groups", because)
        if made is not None:
            return made
    return _best(s)


def _arguments(s: Search) -> Root | None:
    """The model itself was called with other inputs than its forward names; of an operation's own
    arguments it is the call that is wrong, where it stands."""
    missing, given = s.finding.facts.get("missing", ()), s.finding.facts.get("given")
    if s.finding.facts.get("path") or not isinstance(given, int):
        return None
    if missing:
        names = ", ".join(missing)
        return s.inputs(said("The model is called without {names}.", names=names))
    return s.inputs(said("The model is called with {count} inputs.", count=given))


def _padding(s: Search) -> Root | None:
    if s.path is None:
        return None
    return s.constructor(s.path, "", said("The padding is chosen here."))


_Seeker = Callable[[Search], Root | None]
_SEEKERS: dict[str, _Seeker] = {
    **dict.fromkeys(("width", "channels", "features"), _of_layer),
    **dict.fromkeys(("matmul", "square", "einsum", "broadcast", "join", "index", "split"), _best),
    "single": _best,
    **dict.fromkeys(("rank", "axis", "permute", "unpack"), _rank),
    **dict.fromkeys(("numel", "heads"), _written),
    **dict.fromkeys(("batch", "mask"), _batch),
    "hidden": _hidden,
    "target": _target,
    "kernel": _kernel,
    "dtype": _dtype,
    "device": _device,
    "range": _range,
    "type": _type,
    "stride": _stride,
    "divide": _divide,
    "padding": _padding,
    "arguments": _arguments,
}
