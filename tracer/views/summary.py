"""A run in few lines: its modules as a tree, each with its shapes, parameters, operations and
memory, and what all take together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tracer.document import Call, Step, TensorNote, Trace
from tracer.ops.names import shape_text
from tracer.ops.table import flops, shares_memory


@dataclass(frozen=True)
class Part:
    """A module of the run, all its calls together.

    `path` is its qualified name (`''` for the root), `depth` how many modules are around it,
    `calls` how often it ran.  `inputs` and `outputs` are the tensors of its first call.
    `parameters` counts the elements of its parameters, those of the modules inside included and
    each once.  `flops` and `bytes` are those of all that ran inside it: floating-point operations
    (two for each product that is summed), and the bytes of what is new memory.
    """

    path: str
    type: str
    depth: int
    calls: int
    inputs: tuple[TensorNote, ...]
    outputs: tuple[TensorNote, ...]
    parameters: int
    flops: int
    bytes: int


@dataclass(frozen=True)
class Summary:
    """The parts of a run, outermost first in the order of their first calls; `str` is a table.

    `parameters`, `flops` and `bytes` are those of the whole: what several modules share counts
    once, and so does what a forward computes outside any of its modules.  `unknown` are the steps
    whose floating-point operations are not known: they count for none.
    """

    parts: tuple[Part, ...]
    parameters: int
    flops: int
    bytes: int
    unknown: tuple[int, ...] = ()

    def __str__(self) -> str:
        rows = [
            ("module", "input", "output", "parameters", "FLOPs", "memory"),
            *map(_row, self.parts),
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
        total = f"{self.parameters:,} parameters, {self.flops:,} FLOPs, {in_bytes(self.bytes)}"
        shared = sum(part.parameters for part in self.parts if part.depth == 1) > self.parameters
        notes = ["Parameters that modules share are counted once in the total."] * shared
        if self.unknown:
            steps = ", ".join(map(str, self.unknown[:5])) + ", …" * (len(self.unknown) > 5)
            notes.append(f"The FLOPs of these steps are not known and not counted: {steps}.")
        return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:], "", f"total: {total}", *notes])

    __repr__ = __str__


def summary(trace: Trace, depth: int | None = None) -> Summary:
    """The modules of the run down to `depth` below the root, all of them if None."""
    costs = [(flops(step), new_bytes(step)) for step in trace.steps]
    parts = [part for part in _parts(trace, costs) if depth is None or part.depth <= depth]
    return Summary(
        parts=tuple(parts),
        parameters=trace.parameters,
        flops=sum(_whole(each) for each, _ in costs),
        bytes=sum(each for _, each in costs),
        unknown=tuple(
            step.index for step, (each, _) in zip(trace.steps, costs, strict=True) if each is None
        ),
    )


def _whole(size: object) -> int:
    return int(size) if isinstance(size, int) else 0


@dataclass
class _Draft:
    type: str
    depth: int
    first: Call | Step
    parameters: int
    calls: int = 0
    flops: int = 0
    bytes: int = 0


def _parts(trace: Trace, costs: Sequence[tuple[object, int]]) -> Iterator[Part]:
    """Calls and layers of torch.nn, which are steps, by the order in which they began."""
    begun = [(call.start, -1, call.index, call) for call in trace.calls]
    begun += [(step.index, 0, step.index, step) for step in trace.steps if is_layer(step)]  # type: ignore[misc]
    depths = _depths(trace)
    drafts: dict[str, _Draft] = {}
    for _, _, _, each in sorted(begun, key=lambda entry: entry[:3]):
        if isinstance(each, Call):
            kind, depth, own = each.type, depths[each.index], each.parameters
            covered = range(each.start, each.stop)
        else:
            kind, depth = each.op.rpartition(".")[2], depths[each.call] + 1
            own, covered = _elements(each.inputs), range(each.index, each.index + 1)
        draft = drafts.setdefault(each.module, _Draft(kind, depth, each, own))
        draft.calls += 1
        draft.flops += sum(_whole(costs[index][0]) for index in covered)
        draft.bytes += sum(costs[index][1] for index in covered)
    for path, draft in drafts.items():
        given = tuple(
            note for note in draft.first.inputs if note.kind not in ("parameter", "buffer")
        )
        yield Part(
            path, draft.type, draft.depth, draft.calls, given, draft.first.outputs,
            draft.parameters, draft.flops, draft.bytes,
        )  # fmt: skip


def _depths(trace: Trace) -> list[int]:
    depths: list[int] = []
    for call in trace.calls:
        depths.append(0 if call.parent is None else depths[call.parent] + 1)
    return depths


def is_layer(step: Step) -> bool:
    """Whether a step is the call of a torch.nn module, which then is `step.module`."""
    return step.op.startswith("nn.")


def _elements(notes: Iterable[TensorNote]) -> int:
    return sum(
        {note.id: math.prod(note.shape) for note in notes if note.kind == "parameter"}.values()
    )


# --- memory --------------------------------------------------------------------------------------


def new_bytes(step: Step) -> int:
    """The bytes of a step's outputs that are new memory: none of a view or what is written in
    place.  What is nearly always a view, as a `reshape` is, counts as one."""
    if step.writes or shares_memory(step):
        return 0
    made = {note.id: note for note in step.outputs if note.born == step.index}
    given = {note.id for note in step.inputs}
    return sum(size_in_bytes(note) for id, note in made.items() if id not in given)


def size_in_bytes(note: TensorNote) -> int:
    return math.prod(note.shape) * itemsize(note.dtype)


def itemsize(dtype: str) -> int:
    """The bytes of one element: its name ends in its bits, or in what says how they are shared."""
    if dtype == "bool":
        return 1
    bits = re.search(r"\d+", dtype)
    return max(1, int(bits[0]) // 8) if bits else 1


def in_bytes(count: float) -> str:
    """`1.5 MB`, in powers of 1,000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


# --- the table -----------------------------------------------------------------------------------


def _row(part: Part) -> tuple[str, ...]:
    name = part.path.rpartition(".")[2]
    title = f"{name}: {part.type}" if name else part.type
    times = f" ×{part.calls}" if part.calls > 1 else ""
    return (
        "  " * part.depth + title + times,
        _shapes(part.inputs),
        _shapes(part.outputs),
        f"{part.parameters:,}" if part.parameters else "–",
        f"{part.flops:,}" if part.flops else "–",
        in_bytes(part.bytes) if part.bytes else "–",
    )


def _shapes(notes: Sequence[TensorNote]) -> str:
    more = f" and {len(notes) - 2} more" if len(notes) > 2 else ""
    return ", ".join(shape_text(note.shape) for note in notes[:2]) + more


def _cells(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.ljust(width) if number < 3 else cell.rjust(width)
