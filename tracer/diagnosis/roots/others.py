"""What is no size, or one of a kernel: dtypes, devices, ranges, tuples, memory, settings."""

from __future__ import annotations

import re

from torch import Tensor, nn

from tracer.diagnosis.roots import constructors
from tracer.diagnosis.roots.lineage import ancestors, back, made_by
from tracer.diagnosis.roots.pairs import most_suspicious
from tracer.diagnosis.roots.places import (
    Search,
    code,
    deed,
    shape,
    short_op,
    size,
    size_arguments,
)
from tracer.document import Root, Step, TensorNote
from tracer.ops.bound import GROUPED, MIXED
from tracer.ops.flow import permutes
from tracer.ops.table import bound_step, entry_of
from tracer.sentences import Said, said


def of_kernel(s: Search) -> Root | None:
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


def of_dtype(s: Search) -> Root | None:
    kind, first = s.finding.facts.get("found_dtype"), s.finding.facts.get("operand")
    if not isinstance(kind, str):
        return None
    operands = s.failure.operands
    for operand in operands[first : first + 1] if isinstance(first, int) else operands:
        note = operand.note
        if note.dtype == kind and note.kind not in ("parameter", "buffer"):
            return _typed(s, note, kind)
    return None


_ROUNDS = ("floor", "ceil", "round", "trunc", "floor_divide", "floordiv")


def _typed(s: Search, note: TensorNote, kind: str) -> Root | None:
    """Where a tensor got its dtype."""
    last, first_use = note, None
    for step, _, before in ancestors(s.trace, note):
        entry = entry_of(step)
        if kind.startswith("float") and short_op(step) in _ROUNDS:
            because = said(
                "{op} gives whole numbers as {dtype} here: to count or to point they have to be "
                "made integers.",
                op=short_op(step),
                dtype=kind,
            )
            return s.step(step, because)
        if entry is not None and entry.whole and kind == "int64":
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


def of_device(s: Search) -> Root | None:
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
                place = constructors.attribute(owner, name)
                if place is not None:
                    because = said(
                        "self.{name} is a plain attribute: it stays on {device}.",
                        name=name,
                        device=str(value.device),
                    )
                    return Root("constructor", place, frame.module or "", None, because)
    return None


def of_range(s: Search) -> Root | None:
    if isinstance(s.layer, nn.Embedding) and s.path is not None:
        rows = s.layer.num_embeddings
        because = said("The table is made with {rows} rows here.", rows=rows)
        # One row too few: a number that is right elsewhere was not counted up for the table.
        argument = "" if s.finding.facts.get("index") == rows else size_arguments(s.layer).reads
        return s.constructor(s.path, argument, because)
    return most_suspicious(s)


def of_type(s: Search) -> Root | None:
    """The call that gave a tuple, or nothing, where a tensor was meant."""
    if s.finding.facts.get("given") == "None":
        return _without_return(s)
    given = [o.note for o in s.failure.operands if o.note.kind not in ("parameter", "buffer")]
    ids = {note.id for note in given}
    for call in reversed(s.trace.calls[1:]):
        if len(call.outputs) > 1 and ids <= {note.id for note in call.outputs} and ids:
            because = said(
                "{path} gives {count} tensors, not one.", path=call.module, count=len(call.outputs)
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
    entry, shown = entry_of(step), code(step.expression)
    if entry is not None and entry.returns:
        return said(
            "`{code}` gives the pair ({parts}), not one tensor.", code=shown, parts=entry.returns
        )
    count = len(step.outputs)
    return said("`{code}` gives {count} tensors, not one tensor.", code=shown, count=count)


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


def of_stride(s: Search) -> Root | None:
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


def of_divide(s: Search) -> Root | None:
    if s.path is not None and isinstance(s.layer, nn.GroupNorm):
        because = said("It is built with {groups} groups.", groups=s.layer.num_groups)
        made = s.constructor(s.path, "num_groups", because)
        if made is not None:
            return made
    return most_suspicious(s)


def of_arguments(s: Search) -> Root | None:
    """The model itself was called with other inputs than its forward names; of an operation's own
    arguments it is the call that is wrong, where it stands."""
    missing, given = s.finding.facts.get("missing", ()), s.finding.facts.get("given")
    if s.finding.facts.get("path") or not isinstance(given, int):
        return None
    if missing:
        names = ", ".join(missing)
        return s.inputs(said("The model is called without {names}.", names=names))
    return s.inputs(said("The model is called with {count} inputs.", count=given))


def of_padding(s: Search) -> Root | None:
    if s.path is None:
        return None
    return s.constructor(s.path, "", said("The padding is chosen here."))
