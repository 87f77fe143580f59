"""Makes what is shipped of the lessons: `python -m ui.ship`.

It writes the folder that `ui.shipped` reads.  The run of a lesson stays as it was written before
where a fresh one differs by rounding alone, so that another machine changes nothing.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import modules
from modules.lesson import Description, Lesson, known_solution
from tracer import TensorNote, Trace, TraceFileError
from tracer.ops.steps import call_of
from tracer.ops.table import TABLE
from ui import pictures, shipped
from ui import run as runs
from ui.controls import legal_values
from ui.view import default_view

ROUNDING = 1e-3
"""How far numbers of two machines may be apart, as a share of the largest that a tensor has or was
made of.  Sums are taken in another order there, and where zero should be left is the rounding of
what went in."""


def made(key: str) -> Trace:
    """A lesson's run at its defaults, with formulas.

    Raises:
        CannotRun: it cannot be built, or memory ran out.
    """
    view = default_view(key)
    run = runs.values(view) if view.values else runs.outline(view)
    return runs.with_formulas(view, run).trace


def packed(trace: Trace) -> bytes:
    """As a file."""
    text = trace.to_json()
    for name, folder in shipped.places().items():
        text = text.replace(folder, name)
    return gzip.compress(text.encode("ascii"), mtime=0)


def index() -> str:
    """What all lessons say of themselves, and what it was made of, as a file."""
    body = {"made_of": shipped.made_of(), "lessons": [entry(each) for each in modules.LESSONS]}
    return json.dumps(body, ensure_ascii=False, indent=1) + "\n"


def entry(lesson: Lesson) -> dict[str, Any]:
    """What `shipped.entry` reads.  The lesson's formulas have been found before."""
    says, names = (
        dataclasses.asdict(lesson),
        [each.name for each in dataclasses.fields(Description)],
    )
    view = default_view(lesson.key)
    solution = known_solution(lesson, dict(view.settings), view.training)
    assert solution is not None
    legal = {size.name: legal_values(view, size, solution) for size in lesson.sizes}
    return {
        "says": {name: says[name] for name in names},
        "file": shipped.written_in(lesson),
        "legal": {name: _short(values) for name, values in legal.items() if values is not None},
        "operations": _operations(lesson.key),
    }


def _operations(key: str) -> dict[str, int]:
    """Of each operation of the table the first step of the shipped run that is one."""
    found: dict[str, int] = {}
    for step in shipped.unpacked(shipped.run_file(key).read_bytes()).steps:
        call = call_of(step)
        if call is not None and call.op in TABLE:
            found.setdefault(call.op, step.index)
    return found


def _short(values: Sequence[int]) -> Any:
    step = values[1] - values[0] if len(values) > 1 else 1
    regular = range(values[0], values[-1] + 1, step) if values else range(0)
    same = len(regular) > 2 and list(values) == list(regular)
    return {"range": [regular.start, regular.stop, step]} if same else list(values)


# --- what is the same but for rounding --------------------------------------------------------


def differences(before: Trace, after: Trace) -> list[str]:
    """Where two runs are not the same, but for times, torch's build and rounding."""
    found = list(_apart(_document(before), _document(after), "trace"))
    if found:
        return found
    old, new, scales = before.tensors(), after.tensors(), _scales(after)
    return [f"tensor {i}" for i in new if not _alike(old[i], new[i], scales[i])]


def _document(trace: Trace) -> Any:
    """All but what is measured."""
    body = json.loads(trace.to_json())
    for note in body["tensors"]:
        if note["stats"] is not None:
            note["stats"] = {name: note["stats"][name] for name in ("nan", "inf", "count")}
        if note["heatmap"] is not None:
            for name in ("cells", "low", "high", "signed"):
                del note["heatmap"][name]
        if note["corner"] is not None:
            del note["corner"]["cells"]
    return body


def _apart(before: Any, after: Any, where: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        for name in before:
            if name not in ("seconds", "torch"):
                yield from _apart(before[name], after[name], f"{where}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _apart(one, other, f"{where}[{number}]")
    elif before != after:
        yield where


def _scales(trace: Trace) -> dict[int, float]:
    """Of each tensor the largest number in it and in those that it was made of."""
    scales: dict[int, float] = {}
    for note in trace.tensors().values():
        stats = note.stats
        ends = () if stats is None else (stats.minimum, stats.maximum)
        scales[note.id] = max((abs(end) for end in ends if end is not None), default=0.0)
    for step in trace.walk():
        # Along the steps: what was small and was made of large numbers is still their rounding.
        largest = max((scales[note.id] for note in step.inputs), default=0.0)
        for note in step.outputs:
            scales[note.id] = max(scales[note.id], largest)
    return scales


def _alike(before: TensorNote, after: TensorNote, scale: float) -> bool:
    def near(one: Any, other: Any) -> bool:
        return bool(np.allclose(one, other, rtol=0, atol=ROUNDING * scale, equal_nan=True))

    one, other = before.stats, after.stats
    if one is not None and other is not None:
        for name in ("minimum", "maximum", "mean", "std"):
            ends = getattr(one, name), getattr(other, name)
            if None in ends:
                if ends != (None, None):
                    return False
            elif not near(*ends):
                return False
    kept = (before.heatmap, after.heatmap), (before.corner, after.corner)
    for pair in kept:
        cells = [np.frombuffer(each.cells, "<f4") for each in pair if each is not None]
        if cells and not near(*cells):
            return False
    return True


# --- the script -------------------------------------------------------------------------------


def main() -> None:
    shipped.FOLDER.mkdir(exist_ok=True)
    for each in modules.LESSONS:
        fresh, file = made(each.key), shipped.run_file(each.key)
        if not _as_before(file, fresh):
            file.write_bytes(packed(fresh))
            shipped.picture(each.key).write_bytes(pictures.drawn(each.key))
            print(f"{each.key}: made anew")
    shipped.INDEX.write_text(index(), encoding="utf-8")
    size = sum(file.stat().st_size for file in shipped.FOLDER.iterdir())
    print(f"{len(modules.LESSONS)} lessons, {size:,} bytes")


def _as_before(file: Path, fresh: Trace) -> bool:
    if not file.exists():
        return False
    try:
        return not differences(shipped.unpacked(file.read_bytes()), fresh)
    except TraceFileError:  # of another schema
        return False


if __name__ == "__main__":
    main()
