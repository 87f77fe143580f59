"""A target in the folder one is in: read here, and run apart with the files beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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
    try:
        source, file, name, others = _read(target)
    except files.FilesError as error:
        return None, str(error)
    except (OSError, ValueError) as error:
        return None, f"{target} cannot be read: {error}."
    found = worker.run(
        worker.Job(
            source=source,
            name=name,
            arguments=dict(arguments or {}),
            inputs=tuple(inputs or ()),
            sizes=dict(sizes or {}),
            training=train,
            values=values,
            file=file,
            files=others,
            formulas=formulas,
        )
    )
    problem = found.problem
    if problem is None:
        return found.trace, "" if found.trace is not None else "Nothing ran."
    line = f"{file}:{problem.line}: " if problem.line is not None else ""
    return found.trace, f"{line}{problem.sentence}"


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
