"""The shapes of runs as a small text that is kept with a project, and what changed of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracer.document import TensorNote, Trace
from tracer.ops.names import shape_text

HEAD = "# Shapes of this project's models, written by `python -m tracer snapshot`."
NAME = "shapes.snapshot"


def lines(trace: Trace) -> list[str]:
    """A line for each module that ran, indented by depth: the end of its path, its class and its
    shapes.

    Modules of one list that follow each other and say the same are one line with `×`.
    """
    below: dict[int | None, list[_Part]] = {}
    for call in trace.calls:
        part = _Part(call.module, call.type, call.inputs, call.outputs, call.start, call.index)
        below.setdefault(call.parent, []).append(part)
    for step in trace.steps:
        if step.op.startswith("nn.") and step.module:
            kind = step.op.removeprefix("nn.")
            part = _Part(step.module, kind, step.inputs, step.outputs, step.index, None)
            below.setdefault(step.call, []).append(part)
    return list(_block(below, None, 0))


def text(runs: Mapping[str, Trace]) -> str:
    """The whole file: the lines of each run under the entry that it belongs to."""
    parts = [f"\n{entry}\n" + "".join(f"  {line}\n" for line in lines(trace))
             for entry, trace in runs.items()]  # fmt: skip
    return f"{HEAD}\n" + "".join(parts)


def read(kept: str) -> dict[str, list[str]]:
    """The lines of each entry of such a file."""
    found: dict[str, list[str]] = {}
    block: list[str] = []
    for line in kept.splitlines():
        if line.startswith("  "):
            block.append(line[2:])
        elif line.strip() and not line.startswith("#"):
            block = found.setdefault(line.strip(), [])
    return found


def changes(before: Sequence[str], after: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """The lines that differ, side by side: what was and what is, None where there is no such line.

    Lines of one module stand beside each other.
    """
    found: list[tuple[str | None, str | None]] = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, b0, b1, a0, a1 in matcher.get_opcodes():
        if tag != "equal":
            found += _paired(before[b0:b1], after[a0:a1])
    return found


@dataclass(frozen=True)
class _Part:
    """A module that ran; `index` is that of its call, None of one of torch's own layers."""

    path: str
    kind: str
    inputs: tuple[TensorNote, ...]
    outputs: tuple[TensorNote, ...]
    start: int
    index: int | None

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def text(self) -> str:
        given = [each for each in self.inputs if each.kind not in ("parameter", "buffer")]
        return " ".join(f"{self.kind}  {_shapes(given)} → {_shapes(self.outputs)}".split("\n"))


def _block(
    below: Mapping[int | None, Sequence[_Part]], parent: int | None, depth: int
) -> Iterator[str]:
    """The lines of what ran in one call."""
    parts = sorted(below.get(parent, ()), key=lambda part: part.start)
    inner = [
        list(_block(below, part.index, depth + 1)) if part.index is not None else []
        for part in parts
    ]
    place = 0
    while place < len(parts):
        part, count = parts[place], 1
        while (
            place + count < len(parts)
            and part.name.isdecimal()
            and parts[place + count].name.isdecimal()
            and (part.text, inner[place]) == (parts[place + count].text, inner[place + count])
        ):
            count += 1
        repeated = f"  × {count}, to {parts[place + count - 1].name}" if count > 1 else ""
        name = f"{part.name} " if part.name else ""
        yield f"{'  ' * depth}{name}{part.text}{repeated}"
        yield from inner[place]
        place += count


def _shapes(notes: Sequence[TensorNote]) -> str:
    return ", ".join(shape_text(note.shape) for note in notes) or "nothing"


def _paired(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str | None, str | None]]:
    was, now = ([_head(line) for line in part] for part in (before, after))
    matcher = difflib.SequenceMatcher(None, was, now, autojunk=False)
    for tag, b0, b1, a0, a1 in matcher.get_opcodes():
        if tag == "equal":
            yield from zip(before[b0:b1], after[a0:a1], strict=True)
        else:
            yield from ((line, None) for line in before[b0:b1])
            yield from ((None, line) for line in after[a0:a1])


def _head(line: str) -> str:
    return line.partition("  (")[0]
