"""A change that somebody proposes: read from a unified diff and made in texts, and what was found
of it when it was run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tracer.sentences import Said, ToldError, said
from tracer.syntax import parsed

LARGEST = 500_000
"""Characters of one diff."""

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")
_NOWHERE = "/dev/null"


class PatchError(ToldError):
    """The diff cannot be made in these texts; the message is one sentence for its author."""


@dataclass(frozen=True)
class Outcome:
    """One check of a change: `passed` is None where it could not be made, `words` say what it asks,
    `why` what is wrong or came in the way, or None."""

    name: str
    words: Said
    passed: bool | None
    why: Said | None = None


@dataclass(frozen=True)
class Checked:
    """What a change has shown in the place of a program that fails: `ran` on the same inputs, and
    the outcomes of the checks that were made.  `verified` is as for a repair of our own.
    `unproven` is set where nothing could be proven, and says why."""

    ran: bool
    verified: bool
    outcomes: tuple[Outcome, ...] = ()
    unproven: Said | None = None


def applied(diff: str, texts: Mapping[str, str]) -> dict[str, str]:
    """The new texts of the files that a unified diff changes or adds, by their paths in `texts`.

    Where a hunk belongs is found by the lines that it says are there; of several such places it is
    the nearest to its number.

    Raises:
        PatchError: it is none, does not fit, or changes nothing.
    """
    if len(diff) > LARGEST:
        raise PatchError(
            said("The diff has more than {most} characters: give less.", most=f"{LARGEST:,}")
        )
    found: dict[str, str] = {}
    for part in _parts(diff):
        path = _path(part, texts)
        lines = found.get(path, texts.get(path, "")).split("\n")
        moved = 0  # lines that the hunks before have added
        for number, hunk in enumerate(part.hunks, 1):
            moved += _make(hunk, lines, path, number, moved)
        found[path] = "\n".join(lines)
    changed = {path: text for path, text in found.items() if text != texts.get(path)}
    if not changed:
        raise PatchError(said("The diff changes nothing."))
    for path, text in changed.items():
        _must_be_python(path, text)
    return changed


# --- read ---------------------------------------------------------------------------------------


@dataclass
class _Hunk:
    """Its lines with their signs; `line` is where it says that it belongs, from 1, None if it does
    not say."""

    line: int | None
    body: list[str] = field(default_factory=list)

    @property
    def old(self) -> list[str]:
        return [each[1:] for each in self.body if each[0] in " -"]

    @property
    def new(self) -> list[str]:
        return [each[1:] for each in self.body if each[0] in " +"]


@dataclass
class _Part:
    """What a diff says of one file, which it calls `before` and `after`."""

    before: str
    after: str
    hunks: list[_Hunk] = field(default_factory=list)


def _parts(diff: str) -> Sequence[_Part]:
    parts = list(_read([line.removesuffix("\r") for line in diff.split("\n")]))
    if not parts:
        raise PatchError(
            said(
                "This is no unified diff: a file's changes begin with `--- FILE`, `+++ FILE` and "
                "`@@`."
            )
        )
    for part in parts:
        if not any(each[0] in "+-" for hunk in part.hunks for each in hunk.body):
            raise PatchError(
                said("The diff says nothing of what changes in {file}.", file=_of(part))
            )
    return parts


def _read(lines: list[str]) -> Iterator[_Part]:
    """The files of a diff; what stands around them, a mail or a fence, is passed over."""
    part: _Part | None = None
    hunk: _Hunk | None = None
    old_left = 0  # lines of the file that the hunk's head promises still
    for number, line in enumerate(lines):
        follows, then = (*lines[number + 1 : number + 3], "", "")[:2]
        if line.startswith(("GIT binary patch", "Binary files ")):
            raise PatchError(said("The diff changes a file that is no text."))
        heads = line.startswith("--- ") and follows.startswith("+++ ")
        if heads and (old_left <= 0 or then.startswith("@@")):  # else such lines are taken away
            if part is not None:
                yield part
            part, hunk = _Part(_named(line), _named(follows)), None
        elif line.startswith("@@") and part is not None:
            head = _HUNK.match(line)
            hunk = _Hunk(int(head[1]) if head else None)
            old_left = int(head[2] or 1) if head else 0
            part.hunks.append(hunk)
        elif line == "-- " and old_left <= 0:
            hunk = None  # a mail's signature follows
        elif hunk is not None and line[:1] in (" ", "-", "+"):
            hunk.body.append(line)
            old_left -= line[0] != "+"
        elif hunk is not None and not line and (old_left > 0 or follows[:1] in (" ", "-", "+")):
            hunk.body.append(" ")  # an editor has taken the blank away
            old_left -= 1
        elif not line.startswith("\\"):
            hunk = None
    if part is not None:
        yield part


def _named(line: str) -> str:
    return line[4:].partition("\t")[0].strip().strip('"')


def _of(part: _Part) -> str:
    return part.before if part.after == _NOWHERE else part.after


# --- made ---------------------------------------------------------------------------------------


def _path(part: _Part, texts: Mapping[str, str]) -> str:
    """The file that a part of a diff is about."""
    if part.after == _NOWHERE:
        raise PatchError(
            said("The diff removes {file}: change files, or add some.", file=part.before)
        )
    if part.before == _NOWHERE:
        path = part.after.removeprefix("b/")
        if path in texts:
            raise PatchError(said("The diff adds {file}, which is there already.", file=path))
        if path.startswith("/") or ".." in path.split("/") or not path.endswith(".py"):
            raise PatchError(
                said("The diff adds {file}: add files of Python beside the others.", file=path)
            )
        return path
    for name in (part.after, part.before):
        bare = name.removeprefix("./")
        short = bare.partition("/")[2] if bare.startswith(("a/", "b/")) else bare
        whole = [path for path in texts if name.endswith(f"/{path}")]
        whole = whole if len(whole) == 1 else []
        for path in [bare, short, *whole]:
            if path in texts:
                return path
    raise PatchError(
        said(
            "The diff changes {file}, and the program has no such file; it has {known}.",
            file=part.after,
            known=tuple(sorted(path for path in texts if path.endswith(".py"))[:6]),
        )
    )


def _make(hunk: _Hunk, lines: list[str], path: str, number: int, moved: int) -> int:
    """Make one hunk in the lines of a file, and return how many more it then has."""
    old = hunk.old
    places = _places(old, lines)
    words = {"number": number, "file": path}
    if not places and (missing := next((each for each in old if each not in lines), None)):
        raise PatchError(
            said(
                "Hunk {number} of {file} does not fit: the file has no line `{line}`.",
                **words,
                line=missing.strip(),
            )
        )
    if not places:
        raise PatchError(
            said(
                "Hunk {number} of {file} does not fit: its lines do not stand there in this order.",
                **words,
            )
        )
    if hunk.line is None and len(places) > 1:
        raise PatchError(
            said(
                "Hunk {number} of {file} may belong to several places: give the lines around, or "
                "its number.",
                **words,
            )
        )
    # Where nothing stands around what is added, the number is of the line before.
    named = (hunk.line or 0) + moved - bool(old)
    at = min(places, key=lambda place: abs(place - named))
    lines[at : at + len(old)] = hunk.new
    return len(hunk.new) - len(old)


def _places(old: list[str], lines: list[str]) -> list[int]:
    """Where these lines stand, from 0; anywhere where there are none."""
    if not old:
        return list(range(len(lines)))
    starts = (at for at, each in enumerate(lines) if each == old[0])
    return [at for at in starts if lines[at : at + len(old)] == old]


def _must_be_python(path: str, text: str) -> None:
    if not path.endswith(".py"):
        return
    try:
        parsed(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise PatchError(
            said(
                "With the diff {file} is no Python, in line {line}: {error}.",
                file=path,
                line=line,
                error=getattr(error, "msg", str(error)),
            )
            if line is not None
            else said("With the diff {file} is no Python: {error}.", file=path, error=str(error))
        ) from error
