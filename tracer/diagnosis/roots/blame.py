"""Which step on the way of one dimension is to blame for its size, and how likely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.diagnosis.finding import Mark
from tracer.diagnosis.roots.lineage import Birth, Hop, ancestors, back, birth, size_at
from tracer.diagnosis.roots.places import Search, deed, dims, made_with, maker, shape, size
from tracer.diagnosis.rules import broadcast_break
from tracer.document import Root, Step, TensorNote
from tracer.ops.bound import MIXED, NEW, SAME
from tracer.ops.flow import adds_dimension, contracts, joins, kernel, looks_up, permutes, strides
from tracer.ops.table import bound_step
from tracer.sentences import Said, ShapeOf, said


@dataclass(frozen=True)
class Suspect:
    """Where a size may have been born; of several the one with the highest score is named."""

    score: int
    root: Root


def suspect(s: Search, mark: Mark) -> Suspect | None:
    """The most suspicious place on the way of the dimension that a mark names."""
    note = s.note(mark)
    if note.kind in ("parameter", "buffer"):
        # The wanted size is there, on another axis: that was chosen where the parameter was made.
        dim = mark.dim if mark.wanted not in note.shape else None
        return _scored(50, s.parameter(note, dim, made_with(s.name(mark.operand), note)))
    found = birth(s.trace, note, mark.dim)
    if (hop := swallowed(s, found)) is not None:
        return Suspect(100, swallow(s, hop))
    if mark.wanted is not None and (wrong := culprit(s, found, mark.wanted)) is not None:
        # Undone, a permutation must make all sizes fit, not this one alone.
        return wrong if _mends(s, mark, wrong.root) else Suspect(30, wrong.root)
    if s.finding.kind in ("broadcast", "mask") and (fall := _fallen(s, mark)) is not None:
        return Suspect(80, fall)
    if s.finding.kind == "einsum" and (other := elsewhere(s, note, mark)) is not None:
        return Suspect(70, other)
    if found.last is None:
        return _unmade(s, mark, found)
    return _made(s, mark, found, found.last)


def _scored(score: int, root: Root | None) -> Suspect | None:
    return Suspect(score, root) if root is not None else None


def _unmade(s: Search, mark: Mark, found: Birth) -> Suspect | None:
    """No step made the size."""
    origin, dim = found.note, found.dim
    if origin.kind in ("parameter", "buffer"):
        return _scored(50, s.parameter(origin, dim))
    if origin.kind == "input":
        because = said(
            "{size} is dimension {dim} of the input {x} {shape}.",
            size=size(origin, dim),
            dim=dim,
            x=origin.name,
            shape=shape(origin),
        )
        return Suspect(20, s.input(origin, because))
    for index, operand in enumerate(s.failure.operands):
        if operand.note.id == origin.id:
            return _scored(50, s.kept(operand, made_with(s.name(index), s.note(mark))))
    return None


def _made(s: Search, mark: Mark, found: Birth, last: Hop) -> Suspect | None:
    if last.how == MIXED or (last.how == NEW and not last.sources and _is_layer(last.step)):
        return _scored(40, _by_layer(s, mark, last))
    if last.changed:
        return _shrunk(s, mark)
    if last.fresh:
        because = said(
            "Dimension {dim} of {shape} is made here, of size {size}.",
            dim=last.dim,
            shape=shape(last.note),
            size=size(s.note(mark), mark.dim),
        )
        return Suspect(65, s.step(last.step, because))
    if last.made is None:
        return None
    because = said(
        "{before} becomes {after} here: {size} is new.",
        before=shape(last.sources[0][0]),
        after=shape(last.note),
        size=size(s.note(mark), mark.dim),
    )
    return Suspect(45 if last.merged else 55, s.step(last.step, because))


def _by_layer(s: Search, mark: Mark, last: Hop) -> Root:
    """The layer that gives this size, or the weight, where it was built."""
    values = {"maker": maker(last.step), "size": size(s.note(mark), mark.dim)}
    because = said("{maker} gives {size} here.", **values)
    if s.finding.kind == "hidden" and mark.dim == 0:
        because = said("{maker} gives {size} here: its layers times its directions.", **values)
    if last.sources:
        made = s.parameter(last.sources[0][0], because=because)
    else:
        made = s.constructor(last.step.module, "", because) if _is_layer(last.step) else None
    return made or s.step(last.step, said("The size {size} comes from here.", **values))


# --- a batch that a view swallowed ----------------------------------------------------------------


def swallowed(s: Search, found: Birth) -> Hop | None:
    """The view that put the batch and another dimension together."""
    last = found.last
    if last is None or last.how != "grouped" or last.split:
        return None
    real = [source for source in last.sources if size_at(source) != 1]
    return last if len(real) > 1 and any(s.is_batch(*source) for source in real) else None


def swallowed_beside(s: Search, found: Birth) -> Hop | None:
    """The view that made this size and, in the same go, put the batch into another dimension."""
    last = found.last
    if last is None or last.how != "grouped":
        return None
    for dim in range(len(last.note.shape)):
        hop = swallowed(s, birth(s.trace, last.note, dim))
        if hop is not None and hop.step.index == last.step.index:
            return hop
    return None


def swallow(s: Search, hop: Hop) -> Root:
    batch = next((source for source in hop.sources if s.is_batch(*source)), hop.sources[0])
    return s.step(
        hop.step,
        said(
            "This {op} put the batch of {batch} and other dimensions together: {before} became "
            "{after}.",
            op=deed(hop.step),
            batch=size(*batch),
            before=shape(hop.sources[0][0]),
            after=shape(hop.note),
        ),
    )


# --- a step that, done otherwise, would have left the wanted size ---------------------------------


def culprit(s: Search, found: Birth, wanted: int) -> Suspect | None:
    """A permutation, a reduction over the wrong dimension, a cat along another one, a slice."""
    for hop in found.hops:
        if contracts(hop.bound):
            return None  # beyond a product the dimensions mean something else
        given = [n for n in hop.step.inputs if n.kind not in ("parameter", "buffer")]
        if given:
            for judge in (_permuted, _batch_moved, _taken_away, _joined_elsewhere, _cut):
                wrong = judge(s, hop, given, wanted)
                if wrong is not None:
                    return wrong
    return None


def _permuted(s: Search, hop: Hop, given: Sequence[TensorNote], wanted: int) -> Suspect | None:
    x = given[0]
    if (
        not permutes(hop.bound)
        or hop.dim >= len(x.shape)
        or not x.shape[hop.dim] == wanted != hop.size
    ):
        return None
    because = said(
        "Before this {op}, dimension {dim} was {wanted}: {before} became {after}.",
        op=deed(hop.step),
        dim=hop.dim,
        wanted=size(x, hop.dim),
        before=shape(x),
        after=shape(hop.note),
    )
    return Suspect(92, s.step(hop.step, because))


def _batch_moved(s: Search, hop: Hop, given: Sequence[TensorNote], wanted: int) -> Suspect | None:
    x = given[0]
    moved = s.path is not None or (hop.sources and hop.sources[0][1] != hop.dim)
    if (
        not moved
        or not permutes(hop.bound)
        or wanted not in x.shape[1:]
        or x.shape[0] != hop.note.shape[1]
    ):
        return None
    stayed = x.shape.index(wanted, 1)
    because = said(
        "This {op} moves the batch: {before} became {after}, and the {wanted} stay in dimension "
        "{dim} of what it was.",
        op=deed(hop.step),
        before=shape(x),
        after=shape(hop.note),
        wanted=size(x, stayed),
        dim=stayed,
    )
    return Suspect(85, s.step(hop.step, because))


def _taken_away(s: Search, hop: Hop, given: Sequence[TensorNote], wanted: int) -> Suspect | None:
    x = given[0]
    if len(given) != 1 or hop.bound is None or hop.how != SAME or wanted in hop.note.shape:
        return None
    used = {at.dim for dim in hop.bound.results[0] for at in dim.sources}
    gone = [dim for dim, found in enumerate(x.shape) if dim not in used and found == wanted != 1]
    if not gone or len(x.shape) <= len(hop.note.shape):
        return None
    because = said(
        "This {op} took away the dimension of {wanted}: {before} became {after}.",
        op=deed(hop.step),
        wanted=size(x, gone[0]),
        before=shape(x),
        after=shape(hop.note),
    )
    return Suspect(88, s.step(hop.step, because))


def _joined_elsewhere(
    s: Search, hop: Hop, given: Sequence[TensorNote], wanted: int
) -> Suspect | None:
    if not joins(hop.bound) or not hop.kept:
        return None
    if sum(n.shape[hop.dim] for n in given if len(n.shape) > hop.dim) != wanted:
        return None
    because = said(
        "{shapes} are joined along another dimension here: along dimension {dim} they would make "
        "{wanted}.",
        shapes=tuple(shape(n) for n in given[:3]),
        dim=hop.dim,
        wanted=wanted,
    )
    return Suspect(91, s.step(hop.step, because))


def _cut(s: Search, hop: Hop, given: Sequence[TensorNote], wanted: int) -> Suspect | None:
    if not (hop.changed or hop.split) or not hop.sources or size_at(hop.sources[0]) != wanted:
        return None
    if joins(hop.bound) or strides(hop.bound):
        return None
    before = hop.sources[0]
    because = said(
        "This {op} made {size} of {wanted}: {before} became {after}.",
        op=deed(hop.step),
        size=size(hop.note, hop.dim),
        wanted=size(*before),
        before=shape(before[0]),
        after=shape(hop.note),
    )
    return Suspect(90, s.step(hop.step, because))


def _mends(s: Search, mark: Mark, made: Root) -> bool:
    """Whether what a permutation was given would fit where its result does not."""
    step = s.trace.steps[made.step] if made.step is not None else None
    others = [s.note(m) for m in s.finding.marks if m.operand != mark.operand]
    if step is None or not others or not permutes(bound_step(step)):
        return True
    if all(n.id != s.note(mark).id for n in step.outputs):
        return True  # other steps lie between: not worked out
    before, other = step.inputs[0].shape, others[0].shape
    if s.finding.kind == "join":
        differ = [d for d, pair in enumerate(zip(before, other, strict=False)) if len({*pair}) > 1]
        return len(before) == len(other) and len(differ) <= 1
    if s.finding.kind == "broadcast":
        return broadcast_break(before, other) is None
    return True


# --- a wanted size that is there, in another dimension --------------------------------------------


def elsewhere(s: Search, note: TensorNote, mark: Mark) -> Root | None:
    """The step that put the wanted size into another dimension, or the channels there are."""
    for dim in range(len(note.shape) - 1, 0, -1):
        if dim == mark.dim or mark.wanted not in (note.shape[dim], None):
            continue
        last = birth(s.trace, note, dim).last
        if last is not None and last.how == MIXED:
            because = said(
                "The size {size} is made here as dimension {dim} of {shape}; it is wanted in "
                "dimension {other}.",
                size=size(note, dim),
                dim=last.dim,
                shape=shape(last.note),
                other=mark.dim,
            )
            return s.step(last.step, because)
    if s.finding.facts.get("layout") == "unbatched":
        for step, _, _ in ancestors(s.trace, note):
            if looks_up(bound_step(step)):
                because = said("{shape} has no channel dimension.", shape=shape(step.outputs[0]))
                return s.step(step, because)
    return None


# --- a size lost on the way -----------------------------------------------------------------------


def _fallen(s: Search, mark: Mark) -> Root | None:
    """The step where a tensor lost a dimension that its partner still has."""
    note = s.note(mark)
    ranks = [len(s.note(m).shape) for m in s.finding.marks]
    ranks.append(len(s.finding.facts.get("shape", ())))
    if len(note.shape) >= max(ranks):
        return None
    for step, after, before in ancestors(s.trace, note):
        if len(after.shape) != len(note.shape):
            return None
        if after.shape == note.shape and adds_dimension(bound_step(step)):
            because = said(
                "The new dimension of 1 is put here: {before} became {after}, which does not line "
                "up.",
                before=shape(before),
                after=shape(after),
            )
            return s.step(step, because)
        if len(before.shape) > len(after.shape):
            if len(before.shape) > max(ranks):
                return None
            because = said(
                "This {op} takes {count} to {rank}: {before} became {after}.",
                op=deed(step),
                count=dims(len(before.shape)),
                rank=len(after.shape),
                before=shape(before),
                after=shape(after),
            )
            return s.step(step, because)
    return None


def _shrunk(s: Search, mark: Mark) -> Suspect:
    """Where a size was lost on the way: an odd one halved, or a convolution without padding."""
    way = [hop for hop in back(s.trace, s.note(mark), mark.dim) if hop.changed and hop.sources]
    odd = next((hop for hop in way if _halves_odd(hop)), None)
    if odd is not None:
        because = said(
            "{source} is odd and becomes {size} here: doubled again it is {doubled}, not {source}.",
            source=size(*odd.sources[0]),
            size=size(odd.note, odd.dim),
            doubled=2 * odd.size,
        )
        return Suspect(70, s.step(odd.step, because))
    short = _not_restored(mark, way)
    cut = next((hop for hop in way if _unpadded(hop)), None)
    hop = short or cut or way[0]
    score = 60 + 2 * (hop.size > size_at(hop.sources[0]))
    if joins(hop.bound):
        because = said(
            "{parts} are joined to {size} here.",
            parts=tuple(size(*source) for source in hop.sources),
            size=size(hop.note, hop.dim),
        )
        return Suspect(score, s.step(hop.step, because))
    because = _lost(hop, short, cut)
    made = s.constructor(hop.step.module, "", because) if _is_layer(hop.step) else None
    return Suspect(score, made or s.step(hop.step, because))


def _lost(hop: Hop, short: Hop | None, cut: Hop | None) -> Said:
    source, steps = hop.sources[0], strides(hop.bound)
    values = {"source": size(*source), "size": size(hop.note, hop.dim)}
    if hop is short:
        return said(
            "Here {source} becomes {size}, a size that was not there on the way down.", **values
        )
    if hop is cut and _is_layer(hop.step):
        return said(
            "Here {source} becomes {size}: a kernel of {kernel} without enough padding takes "
            "{lost} off.",
            kernel=_kernel_along(hop),
            lost=size_at(source) - hop.size,
            **values,
        )
    if _is_layer(hop.step) and set(steps) - {1}:
        return said(
            "Here {source} becomes {size}: the stride is {stride}.",
            stride=ShapeOf(steps) if len(steps) > 1 else steps[0],
            **values,
        )
    return said("Here {source} becomes {size}.", **values)


def _kernel_along(hop: Hop) -> int:
    """The kernel's size along the dimension."""
    assert hop.made is not None
    note, dim = hop.step.inputs[hop.made.sources[1].operand], hop.made.sources[1].dim
    return note.shape[dim]


def _is_layer(step: Step) -> bool:
    return step.op.startswith("nn.") and bool(step.module)


def _halves_odd(hop: Hop) -> bool:
    source = size_at(hop.sources[0])
    return source > hop.size and bool(source % 2) and hop.size == source // 2


def _unpadded(hop: Hop) -> bool:
    """A convolution that takes every position and loses some at the edges."""
    source = size_at(hop.sources[0])
    dense = bool(kernel(hop.bound)) and set(strides(hop.bound)) == {1}
    return dense and hop.size < source < hop.size + 13


def _not_restored(mark: Mark, way: Sequence[Hop]) -> Hop | None:
    """Of layers that enlarge step by step, the first that misses the size that was there before the
    matching one shrank it."""
    sizes = [(size_at(hop.sources[0]), hop.size) for hop in way]
    grown = 0
    while grown < len(sizes) and sizes[grown][1] > sizes[grown][0]:
        grown += 1
    before = {source for source, _ in sizes[grown:]}
    if grown < 2 or mark.wanted not in before:
        return None
    return next((hop for hop in reversed(way[:grown]) if hop.size not in before), None)


def shortcut(s: Search) -> Root | None:
    """Of two branches that are added, one strides and the other has a layer of its own, a 1×1
    convolution, that could and does not."""
    if len(s.finding.marks) < 2:
        return None
    small, large = sorted(s.finding.marks[:2], key=lambda mark: mark.size)
    strided = [
        hop
        for hop in back(s.trace, s.note(small), small.dim)
        if hop.changed and _is_layer(hop.step) and set(strides(hop.bound)) != {1}
    ]
    for hop in back(s.trace, s.note(large), large.dim):
        if hop.size != large.size:
            return None
        if not _is_layer(hop.step) or not kernel(hop.bound):
            continue
        for other in strided:
            note, dim = other.sources[0]
            if set(kernel(hop.bound)) == {1} and note.id == hop.step.inputs[0].id:
                because = said(
                    "{path} keeps {large}, where {other} makes {small} of it: its stride is "
                    "{stride}.",
                    path=hop.step.module,
                    large=size(s.note(large), large.dim),
                    other=other.step.module,
                    small=size(s.note(small), small.dim),
                    stride=ShapeOf(strides(hop.bound)),
                )
                made = s.constructor(hop.step.module, "", because)
                return made if note.shape[dim] == large.size else None
        return None
    return None
