"""Which rule is broken: what the operation table says of the failed call, else what Python's own
errors come from.

A rule beside the table is a function that takes a `Case` and returns a `Finding`, or None when it
has nothing to say; `any_rule` enters it.  The exception's text is the last resort, and the finding
then says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from tracer.diagnosis.finding import Finding, Mark
from tracer.diagnosis.refused import by_table, layer_by_table
from tracer.document import Trace
from tracer.ops.names import op_name
from tracer.ops.refusal import THE_TENSOR, Report
from tracer.record.crash import Crash, Running
from tracer.record.tensors import settings_of
from tracer.sentences import Said, ShapeOf, as_written, said
from tracer.strict import tolerant

Rule: TypeAlias = "Callable[[Case], Finding | None]"

LAST: list[Rule] = []


def any_rule(function: Rule) -> Rule:
    """Enter a rule that looks at every crash that the table does not explain, in order of entry."""
    LAST.append(function)
    return function


def explain(crash: Crash) -> Finding:
    """The broken rule; of kind `other`, with the exception's own words, when none is known."""
    case = Case(crash)
    for found in _candidates(case):
        if found is not None:
            return found
    words = " ".join(crash.words.split())
    first = words.split(". ")[0][:300].rstrip(".") or type(crash.error).__name__
    return Finding(
        "other",
        report(
            said("{error}: {words}", error=type(crash.error).__name__, words=first),
            said("No rule of Shapewalk covers this error, so these are the exception's own words."),
            said("Compare the shapes and types of the operands with what the call expects."),
        ),
    )


def report(
    rule: str | Said, reason: str | Said | tuple[Said, ...], check: str | Said = ""
) -> Report:
    return Report(
        as_written(rule) if isinstance(rule, str) else rule,
        reason if isinstance(reason, tuple) else (_sentence(reason),),
        _sentence(check) if check else None,
    )


def _sentence(text: str | Said) -> Said:
    return as_written(text) if isinstance(text, str) else text


def _candidates(case: Case) -> Iterable[Finding | None]:
    crash = case.crash
    for running in reversed(crash.running):
        if not type(running.layer).__module__.startswith("torch.nn"):
            break
        yield _tried(layer_by_table, Case(crash, running))
    yield _tried(by_table, case)
    for last in LAST:
        yield _tried(last, case)


def _tried(rule: Rule, case: Case) -> Finding | None:
    with tolerant():
        return rule(case)
    return None


@dataclass(frozen=True)
class Case:
    """A crash, and how its tensors and layers are called in a sentence."""

    crash: Crash
    inside: Running | None = None

    @property
    def running(self) -> Running | None:
        """The module of torch that the operation belongs to, if there is one."""
        if self.inside is not None:
            return self.inside
        last = self.crash.running[-1] if self.crash.running else None
        if last is None or not type(last.layer).__module__.startswith("torch.nn"):
            return None
        return None if isinstance(last.layer, CONTAINERS) else last

    @property
    def layer(self) -> nn.Module | None:
        return self.running.layer if self.running is not None else None

    @property
    def written(self) -> str:
        """The operation as the author wrote it: `mse_loss`, where torch broke off in its
        `broadcast_tensors`."""
        step = self.crash.trace.failure.step if self.crash.trace.failure is not None else None
        if self.crash.op == "broadcast_tensors" and step is not None:
            return op_name(step.op)
        return self.crash.op or "the operation"

    def position(self, tensor: Any, taken: int = 0) -> int | None:
        """Which of the failure's operands this is; the one after `taken` others when a tensor is
        used several times."""
        same = [i for i, operand in enumerate(self.crash.operands) if operand is tensor]
        if same:
            return same[min(taken, len(same) - 1)]
        if isinstance(tensor, Tensor):
            # Inside torch's own code an operand is passed on as a view or a copy of itself.
            alike = [i for i, o in enumerate(self.crash.operands) if o.shape == tensor.shape]
            if len(alike) == 1:
                return alike[0]
        return None

    def name(self, tensor: Any, otherwise: str | Said = THE_TENSOR) -> str | Said:
        """What the author calls this tensor, or words for it."""
        return self.own_name(tensor) or otherwise

    def own_name(self, tensor: Any) -> str | Said:
        """What the author calls this tensor, empty where he does not."""
        for index, operand in enumerate(self.crash.operands):
            if operand is tensor and self.crash.trace.failure is not None:
                name = called(self.crash.trace, index)
                if name and len(str(name)) <= 40:
                    return name
        return ""

    def shape(self, tensor: Tensor) -> ShapeOf:
        """The tensor's shape in a sentence, with formulas where its sizes have them."""
        return ShapeOf(tuple(map(int, tensor.shape)), self.position(tensor))

    def who(self, otherwise: str = "") -> str:
        """What refused, as the subject of a sentence: `fc1`, the layer's path, or the operation."""
        running = self.running
        if running is not None:
            kind = f"nn.{type(running.layer).__name__}"
            if running.path.rpartition(".")[2].isdigit():
                return f"{running.path} ({kind})"
            return running.path or kind
        return otherwise or self.crash.op

    def built(self) -> str:
        """The layer as it was built: `nn.Linear(400, 120)`; empty for a plain operation."""
        layer = self.layer
        if layer is None:
            return ""
        shown: list[str] = []
        for part in outer_parts(settings_of(layer)):
            name, equals, value = part.partition("=")
            if equals and shown and name != "out_features":
                break
            shown.append(value if name in ("in_features", "out_features") else part)
        return f"nn.{type(layer).__name__}({', '.join(shown)})"

    def found(
        self,
        kind: str,
        rule: str | Said,
        reason: str | Said | tuple[Said, ...],
        *marks: tuple[Any, int, int | None],
        check: str | Said = "",
        **facts: Any,
    ) -> Finding:
        """A finding whose marks are written as (tensor, dimension, wanted size)."""
        made: list[Mark] = []
        used: dict[tuple[int, int], int] = {}
        for tensor, dim, wanted in marks:
            # One tensor on both sides of an operator is two operands.
            taken = len({d for (t, d) in used if t == id(tensor) and d != dim})
            used[id(tensor), dim] = taken
            index = self.position(tensor, taken)
            if index is not None and isinstance(tensor, Tensor):
                rank = self.crash.operands[index].dim()
                if -rank <= dim < rank:
                    dim %= rank
                    size = int(self.crash.operands[index].shape[dim])
                    mark = Mark(index, dim, size, wanted)
                    if mark not in made:
                        made.append(mark)
        return Finding(kind, report(rule, reason, check), tuple(made), facts)


def called(trace: Trace, operand: int) -> str | Said:
    """What a reader calls an operand of the failure: its name in the failing line, its own, or the
    expression that made it; inside a container it is what the layer before gave."""
    failure = trace.failure
    assert failure is not None
    found = failure.operands[operand]
    here = (
        [name for name, note in failure.step.names if note == found.note.id]
        if (failure.step is not None and found.note.kind == "made")
        else []
    )
    plain = [name for name in here if name.isidentifier()]
    if plain:
        return plain[0]
    made = found.note.born
    if made is not None and made < len(trace.steps) and not found.note.name:
        step = trace.steps[made]
        here_too = (step.place.file, step.place.span) == (failure.place.file, failure.place.span)
        if here_too and step.module.rpartition(".")[2].isdigit() and step is not failure.step:
            return said("what {module} gives", module=step.module)
    return found.note.name or " ".join(found.expression.split())


CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def broadcast_break(
    first: tuple[int, ...], second: tuple[int, ...]
) -> tuple[int, int, int, int] | None:
    """The last place where two shapes do not broadcast: (dim of first, its size, dim of second, its
    size), None if they do."""
    for back in range(1, min(len(first), len(second)) + 1):
        a, b = first[-back], second[-back]
        if a != b and 1 not in (a, b):
            return len(first) - back, a, len(second) - back, b
    return None


def outer_parts(text: str) -> list[str]:
    """`3, 64, kernel_size=(3, 3)` at its outer commas."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def pairs(value: Any, number: int) -> tuple[int, ...]:
    """`3` and `(3, 5)` as one size for each spatial dimension."""
    if isinstance(value, int):
        return (value,) * number
    sizes = tuple(int(size) for size in value)
    return sizes * number if len(sizes) == 1 else sizes


def kind_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
