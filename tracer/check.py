"""The models that a project names in its `pyproject.toml`, run one after the other: what fails and
what is suspicious.

    [tool.shapewalk]
    entries = ["net.py:Net --input 2,3,224,224"]

A comment `# shapewalk: ignore[SW-silent-broadcast]` at the end of a line says that this is meant.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import tokenize
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tracer.document import Place, Trace
from tracer.sentences import Translate, render, said
from tracer.views.answer import Finding, findings

UNUSED = "SW-unused-ignore"
"""The code of a comment that ignores what is not there."""

_IGNORED = re.compile(r"#\s*shapewalk:\s*ignore\[([^\]]*)\]")


class ProjectError(Exception):
    """The project's file cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Project:
    """The folder of a `pyproject.toml` and the entries that it names."""

    folder: Path
    entries: tuple[str, ...]


@dataclass(frozen=True)
class Checked:
    """One entry: its run, None where it could not begin (`problem` says why), and what was found
    that no comment ignores."""

    entry: str
    trace: Trace | None
    findings: tuple[Finding, ...]
    problem: str = ""

    @property
    def good(self) -> bool:
        return self.trace is not None and not self.findings


def project(start: Path) -> Project:
    """The nearest project above `start` that names entries.

    Raises:
        ProjectError: there is none, or its table is none of ours.
    """
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file() and (found := _project(file)) is not None:
            return found
    raise ProjectError(
        "No pyproject.toml here or above names models: write entries under [tool.shapewalk], such "
        'as entries = ["net.py:Net --input 2,3,224,224"].'
    )


def _project(file: Path) -> Project | None:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("shapewalk")
    except (OSError, ValueError) as error:
        raise ProjectError(f"{file} cannot be read: {error}.") from error
    if table is None:
        return None
    entries = table.get("entries") if isinstance(table, dict) else None
    if not isinstance(entries, list) or not all(isinstance(each, str) for each in entries):
        raise ProjectError(f"{file}: entries under [tool.shapewalk] should be a list of texts.")
    return Project(file.parent, tuple(entries))


def checked(
    entries: Iterable[str], run: Callable[[str], Trace], translate: Translate = str
) -> list[Checked]:
    """Each entry run; a comment that ignored nothing is a finding of the last entry that saw it.

    `run` raises `ProjectError` where an entry cannot begin.
    """
    found: list[Checked] = []
    last: dict[_Comment, int] = {}
    used: set[_Comment] = set()
    for entry in entries:
        try:
            trace = run(entry)
        except ProjectError as error:
            found.append(Checked(entry, None, (), str(error)))
            continue
        comments = {each for file in _files(trace) for each in _ignored(file)}
        last |= dict.fromkeys(comments, len(found))
        kept = []
        for each in findings(trace, translate):
            comment = _Comment(each.place.file, each.place.line, each.code)
            if comment in comments:
                used.add(comment)
            else:
                kept.append(each)
        found.append(Checked(entry, trace, tuple(kept)))
    for comment in sorted(last.keys() - used):
        before = found[last[comment]]
        found[last[comment]] = dataclasses.replace(
            before, findings=(*before.findings, comment.unused(translate))
        )
    return found


class _Comment(NamedTuple):
    """`code` is ignored at a line."""

    file: str
    line: int
    code: str

    def unused(self, translate: Translate) -> Finding:
        place = Place(self.file, self.line, "", None, None, "", "", None)
        told = said(
            "{code} is ignored here and was not found: leave the comment out.", code=self.code
        )
        return Finding("warning", place, UNUSED, render(told, translate))


def _files(trace: Trace) -> set[str]:
    """Those that it ran through."""
    found = {source.file for source in trace.sources} | {each.place.file for each in trace.steps}
    if trace.failure is not None:
        found.add(trace.failure.place.file)
    return found - {""}


def _ignored(file: str) -> list[_Comment]:
    """What the comments of a file ignore."""
    found: list[_Comment] = []
    with contextlib.suppress(OSError, ValueError, SyntaxError, tokenize.TokenError):
        # A file that is gone, or is no Python, has no comments.
        text = Path(file).read_text(encoding="utf-8")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            match = _IGNORED.search(token.string) if token.type == tokenize.COMMENT else None
            for code in match[1].split(",") if match else ():
                found.append(_Comment(file, token.start[0], code.strip()))
    return found
