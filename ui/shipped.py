"""What is shipped of the lessons, so that home and a lesson at its defaults need neither torch nor
a run: what each says of itself, its picture, and its run with formulas.

`python -m ui.ship` makes it.  With it stands what it was made of: the lessons' files, torch, and
the schema of traces.  It is used only while all these are the same; else lessons are run, as at any
other settings.  What else may change what a run records is seen by a test, which runs them anew.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import logging
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modules.lesson import Description, Lesson
from tracer import Trace
from tracer.document import SCHEMA

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(__file__).parent / "shipped"
INDEX = FOLDER / "lessons.json"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A lesson in the index: what it `says` of itself, the `file` that it is written in, by its
    path from the top, of each size that the others limit at its defaults the `legal` values, and of
    each of its `operations` the first step that is one."""

    says: Description
    file: str
    legal: dict[str, Sequence[int]]
    operations: dict[str, int]


def picture(key: str) -> Path:
    """The file of a lesson's picture."""
    return FOLDER / f"{key}.png"


def run_file(key: str) -> Path:
    """The file of a lesson's run at its defaults."""
    return FOLDER / f"{key}.json.gz"


# --- whether it may be used -------------------------------------------------------------------


def made_of() -> dict[str, str]:
    """What decides what a lesson shows, as it is now: the lessons' files by their content, and
    versions."""
    files = [path for ending in ("py", "json") for path in ROOT.glob(f"modules/*.{ending}")]
    known = {path.relative_to(ROOT).as_posix(): _fingerprint(path) for path in sorted(files)}
    # The same version built for other machines computes the same, but for rounding.
    version = importlib.metadata.version("torch").partition("+")[0]
    return {"torch": version, "schema": str(SCHEMA), **known}


def _fingerprint(path: Path) -> str:
    # A checkout may end its lines otherwise.
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()[:16]


@functools.cache
def outdated() -> tuple[str, ...]:
    """What has changed since the lessons were shipped."""
    before, now = _index()["made_of"], made_of()
    changed = tuple(n for n in {**before, **now} if before.get(n) != now.get(n))
    if changed:
        logging.getLogger(__name__).warning("%s", said(changed))
    return changed


def said(changed: Sequence[str]) -> str:
    """What is to be done when this has changed."""
    return (
        f"What is shipped of the lessons was made before {', '.join(changed)} changed, so they are "
        "run when they are opened: `python -m ui.ship` makes it anew."
    )


# --- what lessons say of themselves -----------------------------------------------------------


def _index() -> Any:
    return json.loads(INDEX.read_text(encoding="utf-8")) if INDEX.exists() else {"made_of": {}}


@functools.cache
def _entries() -> dict[str, Entry]:
    """Each lesson by its key, in the posts' order."""
    if outdated():
        import modules

        found = [Entry(each, written_in(each), {}, {}) for each in modules.LESSONS]
    else:
        found = [entry(each) for each in _index()["lessons"]]
    return {each.says.key: each for each in found}


def entry(body: dict[str, Any]) -> Entry:
    """An entry of the index, as it is read."""
    legal: dict[str, Sequence[int]] = {
        name: range(*values["range"]) if isinstance(values, dict) else tuple(values)
        for name, values in body["legal"].items()
    }
    return Entry(_read(Description, body["says"]), body["file"], legal, body.get("operations", {}))


def _read(hint: Any, value: Any) -> Any:
    """Plain data as what a type hint says."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{name: _read(each, value[name]) for name, each in hints.items()})
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_read(inner, each) for each in value)
    return value


def written_in(known: Lesson) -> str:
    """The file of a lesson's module, by its path from the top."""
    file = inspect.getsourcefile(known.build)
    assert file is not None
    return Path(file).resolve().relative_to(ROOT).as_posix()


LESSONS = tuple(each.says for each in _entries().values())


def lesson(key: str) -> Description:
    """What the lesson of this key says of itself.

    Raises:
        LookupError: there is none.
    """
    if key in _entries():
        return _entries()[key].says
    raise LookupError(f"There is no lesson {key!r}: choose one of {', '.join(_entries())}.")


def source(key: str) -> Path:
    """The file that the lesson of this key is written in."""
    return ROOT / _entries()[key].file


def legal(key: str) -> dict[str, Sequence[int]]:
    """Of each size that the others limit at the lesson's defaults: which values they allow; empty
    while what is shipped is out of date."""
    return _entries()[key].legal


def uses(op: str) -> list[tuple[Description, int]]:
    """The lessons that use an operation of the table, each with the first step that does; none
    while what is shipped is out of date."""
    return [(e.says, e.operations[op]) for e in _entries().values() if op in e.operations]


# --- their runs -------------------------------------------------------------------------------


def default(key: str) -> Trace | None:
    """A lesson's run at its defaults, with formulas; None when that is not what would be made
    now."""
    return None if outdated() else unpacked(run_file(key).read_bytes())


def unpacked(file: bytes) -> Trace:
    """The trace that `ui.ship` has packed, with the folders of this machine."""
    text = gzip.decompress(file).decode("ascii")
    for name, folder in places().items():
        text = text.replace(name, folder)
    return Trace.from_json(text)


def places() -> dict[str, str]:
    """The folders of this machine that a trace names, as JSON writes them, by what stands for them
    in a file: that of the lessons and that of torch."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    folders = {"<lessons>/": ROOT / "modules", "<torch>/": Path(spec.origin).parent}
    return {name: json.dumps(f"{path.as_posix()}/")[1:-1] for name, path in folders.items()}
