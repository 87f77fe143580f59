"""A target in the folder one is in: read here, and run apart with the files beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tracer import worker
from tracer.document import Trace
from tracer.source import files

_APART = frozenset(("__pycache__", "node_modules", "site-packages", "build", "dist"))


def run(
    target: str,
    inputs: Sequence[str] | None,
    arguments: dict[str, str] | None,
    sizes: dict[str, int] | None,
    train: bool,
    formulas: bool,
    values: bool = False,
) -> tuple[Trace | None, str]:
    """The trace of a target, None where nothing ran, and what came in the way, in one sentence, or
    nothing.  Its files are named as seen from the folder one is in.

    Args:
        target: `FILE.py:NAME`, `FILE.py` (a script), or the dotted name of an installed class.
        inputs, sizes: as `tracer.inputs.make` takes them; found by trying where there are none.
        arguments: of the constructor, as Python text by name.
        train: training mode.
        formulas: sizes are symbols as well.
        values: with statistics and heatmaps.
    """
    asked = job(target, inputs, arguments, sizes, train)
    if isinstance(asked, str):
        return None, asked
    asked = replace(asked, formulas=formulas, values=values)
    found = worker.run(asked)
    told = problem(found, asked)
    return found.trace, told or ("" if found.trace is not None else "Nothing ran.")


def job(
    target: str,
    inputs: Sequence[str] | None,
    arguments: dict[str, str] | None,
    sizes: dict[str, int] | None,
    train: bool,
) -> worker.Job | str:
    """What is to be run of a target (`run`), or why it cannot be read, in one sentence."""
    try:
        source, file, name, others = _read(target)
    except files.FilesError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return f"{target} cannot be read: {error}."
    return worker.Job(
        source=source,
        name=name,
        arguments=dict(arguments or {}),
        inputs=tuple(inputs or ()),
        sizes=dict(sizes or {}),
        training=train,
        values=False,
        file=file,
        files=others,
    )


def problem(found: worker.Answer, asked: worker.Job) -> str:
    """What came in the way of a run, in one sentence with its place, or nothing."""
    if found.problem is None:
        return ""
    line = f"{asked.file}:{found.problem.line}: " if found.problem.line is not None else ""
    return f"{line}{found.problem.sentence}"


def _read(target: str) -> tuple[str, str, str, dict[str, str]]:
    """Source, path and name of a target, and the other files of its folder."""
    place, colon, name = target.partition(".py:")
    if not colon and not target.endswith(".py"):
        return "", "model.py", target, {}
    path = Path(f"{place}.py" if colon else target)
    if not path.resolve().is_relative_to(Path.cwd()):
        raise ValueError("it lies outside the folder in which the server was started")
    file = os.path.relpath(path)
    texts = files.taken(Path.cwd().name, _beside(), whole=True)
    text = path.read_text(encoding="utf-8")
    texts.pop(file, None)
    return text, file, name, texts


def _beside() -> Iterator[tuple[str, bytes]]:
    """The program's files in the folder of the server, as those of an archive."""
    for folder, names, here in os.walk("."):
        names[:] = sorted(
            name
            for name in names
            if name not in _APART
            and not name.startswith(".")
            and not Path(folder, name, "pyvenv.cfg").exists()
        )
        for name in sorted(here):
            if name.endswith(".py"):
                path = Path(folder, name)
                yield os.path.relpath(path), path.read_bytes()
