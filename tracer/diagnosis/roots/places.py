"""Where a wrong size can have been written, and the words for tensors, sizes and steps in what is
said of it."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, replace

from torch import nn

from tracer.diagnosis.finding import Finding, Mark
from tracer.diagnosis.roots import constructors
from tracer.diagnosis.roots.lineage import Sized, birth, made_by
from tracer.diagnosis.rules import called
from tracer.document import Failure, Operand, Place, Root, Step, TensorNote, Trace
from tracer.ops.names import op_name
from tracer.ops.steps import SizeArguments, sizes_of
from tracer.record.crash import Crash
from tracer.sentences import Count, Filling, Said, ShapeOf, SizeAt, at_operands, operands_of, said
from tracer.source.text import code_of, first_line

_LONGEST_NAME = 40
_LONGEST_CODE = 60

# --- words (until `finished`, operands in them are ids of tensors) -------------------------------


def shape(note: TensorNote) -> ShapeOf:
    return ShapeOf(note.shape, note.id)


def size(note: TensorNote, dim: int) -> SizeAt:
    return SizeAt(note.id, dim, note.shape[dim])


def size_of(sized: Sized) -> SizeAt:
    return size(*sized)


def dims(number: int) -> Count:
    return Count(number, "dimension")


def code(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_CODE else text[: _LONGEST_CODE - 3] + "..."


def short_op(step: Step) -> str:
    """`conv2d` of `F.conv2d` and `nn.Conv2d`, `add` of `Tensor.__iadd__`."""
    return op_name(step.op).lower()


def deed(step: Step) -> Filling:
    """What a step does, after "This"."""
    op = short_op(step)
    return said("index") if op == "getitem" else op


def maker(step: Step) -> Said:
    """What made a size: the layer, or the expression."""
    if step.op.startswith("nn.") and step.module:
        sizes = [re.sub(r"^(in|out)_features=", "", text) for text in step.arguments[:2]]
        return said("{path} ({layer})", path=step.module, layer=f"{step.op}({', '.join(sizes)})")
    return said("`{code}`", code=code(step.expression) or short_op(step))


def made_with(name: Filling, note: TensorNote) -> Said:
    return said("{tensor} is made with {shape} here.", tensor=name, shape=shape(note))


def size_arguments(layer: nn.Module) -> SizeArguments:
    return sizes_of(kind.__name__ for kind in type(layer).__mro__)


def finished(trace: Trace, root: Root) -> Root:
    """The root with the tensors that it speaks of, and the text of its place where the trace has
    it."""
    assert trace.failure is not None
    notes = trace.tensors()
    notes |= {operand.note.id: operand.note for operand in trace.failure.operands}
    ids = [each for each in dict.fromkeys(operands_of(root.because)) if each in notes]
    because = at_operands(root.because, {each: number for number, each in enumerate(ids)})
    return replace(
        root,
        place=_with_source(trace, root.place),
        because=because,
        tensors=tuple(notes[each] for each in ids),
    )


def _with_source(trace: Trace, place: Place) -> Place:
    for index, source in enumerate(trace.sources if place.source is None and place.file else ()):
        last = source.first + source.text.count("\n")
        if source.file == place.file and source.first <= place.line <= last:
            return replace(place, source=index)
    return place


# --- places ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Search:
    """A failure whose root is sought: its tensors, and the places where a size can have been
    written."""

    crash: Crash
    finding: Finding
    failure: Failure

    @property
    def trace(self) -> Trace:
        return self.crash.trace

    def note(self, mark: Mark) -> TensorNote:
        return self.failure.operands[mark.operand].note

    def name(self, operand: int) -> Filling:
        text = called(self.trace, operand)
        return text if text and len(str(text)) <= _LONGEST_NAME else said("the tensor")

    @property
    def made(self) -> list[Mark]:
        """The marks on tensors that the forward made or was given."""
        return [m for m in self.finding.marks if self.note(m).kind not in ("parameter", "buffer")]

    @property
    def path(self) -> str | None:
        """The module of torch that refused."""
        last = self.crash.running[-1] if self.crash.running else None
        if last is None or not type(last.layer).__module__.startswith("torch.nn"):
            return None
        return None if isinstance(last.layer, nn.Sequential | nn.ModuleList) else last.path

    @property
    def layer(self) -> nn.Module | None:
        return self.crash.model.get_submodule(self.path) if self.path is not None else None

    def is_batch(self, note: TensorNote, dim: int) -> bool:
        """Whether this size is the first one of an input, handed on unchanged."""
        found = birth(self.trace, note, dim)
        if found.last is not None or found.note.kind != "input" or found.dim != 0:
            return False
        firsts = [n.shape[0] for n in self.trace.inputs if len(n.shape) > 1]
        return len(found.note.shape) > 1 or found.note.shape[0] in firsts

    def step(self, step: Step, because: Said) -> Root:
        return Root("step", step.place, step.module, step.index, because)

    def input(self, note: TensorNote, because: Said) -> Root:
        return Root("input", self._forward(note.name), "", None, because)

    def given(self, note: TensorNote) -> Root:
        because = said("The input {x} is {shape}.", x=note.name, shape=shape(note))
        return self.input(note, because)

    def made_here(self, note: TensorNote) -> Root | None:
        """The step that made the tensor."""
        made = made_by(self.trace, note)
        because = said("{shape} is made here.", shape=shape(note))
        return self.step(made, because) if made is not None else None

    def inputs(self, because: Said) -> Root:
        return Root("input", self._forward(""), "", None, because)

    def _forward(self, name: str) -> Place:
        """The forward of the model, where its inputs are named."""
        kind = type(self.crash.model)
        part = getattr(kind.forward, "__dict__", {}).get("part")  # of lines of a script
        word = re.match(r"\w+", name)
        written: Place | None = None
        if part is not None and word is not None:
            written = part.written(word[0])
        if written is not None:
            return replace(written, expression=name)
        found = code_of(inspect.unwrap(kind.forward))
        place = first_line(found) if found is not None else None
        if place is None or kind.__module__.startswith("torch."):
            return Place("", 0, kind.__name__, None, None, name, "", None)
        return replace(place, expression=name or place.expression)

    def constructor(
        self, path: str, argument: str, because: Said, inside: str | None = None
    ) -> Root | None:
        """Where a layer was built, or its argument was written that was handed on to there;
        `inside` is the path of the module that made the other size."""
        found = constructors.followed(self.crash.model, path, argument, inside)
        if found is None:
            return None
        call, name = found
        if call.path != path:
            because = said(
                "{why} The number was written in `{call}`, as {name}={text}.",
                why=because,
                call=code(call.place.expression),
                name=name,
                text=call.arguments.get(name, ("", None))[0],
            )
        return Root("constructor", call.place, call.path, None, because)

    def parameter(
        self, note: TensorNote, dim: int | None = None, because: Said | None = None
    ) -> Root | None:
        """Where a parameter's size was written: the layer's arguments, or `nn.Parameter(...)`; the
        call of the module that has it when size `dim` is handed on from there."""
        because = because or made_with(note.name, note)
        path, _, leaf = note.name.rpartition(".")
        try:
            owner = self.crash.model.get_submodule(path) if path else self.crash.model
        except AttributeError:
            return None
        if type(owner).__module__.startswith("torch.nn"):
            return self.constructor(path, size_arguments(owner).makes, because)
        place = constructors.attribute(owner, leaf)
        if place is None:
            return None
        handed = (
            constructors.handed_on(self.crash.model, path, place, dim) if dim is not None else None
        )
        if handed is None:
            return Root("constructor", place, path, None, because)
        call, name = handed
        because = said(
            "{tensor} is made with {shape}: {name}={text} here.",
            tensor=note.name,
            shape=shape(note),
            name=name,
            text=call.arguments[name][0],
        )
        return Root("constructor", call.place, call.path, None, because)

    def kept(self, operand: Operand, because: Said) -> Root | None:
        """Where `self.hidden = ...` stands, for a tensor that a module keeps beside its parameters
        and buffers."""
        match = re.match(r"self\.(\w+)", operand.expression or operand.note.name)
        owner = self.crash.frames[-1].scope.get("self") if self.crash.frames else None
        if match is None or not isinstance(owner, nn.Module):
            return None
        place = constructors.attribute(owner, match[1])
        path = self.crash.frames[-1].module or ""
        return Root("constructor", place, path, None, because) if place is not None else None
