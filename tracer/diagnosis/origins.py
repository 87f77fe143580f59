"""The way of a wrong size once repairs were sought: which statements it most probably comes from,
by all that speaks for them, the weights fitted by `benchmarks/fit_origins.py` and kept in
`origins.json`."""

from __future__ import annotations

import ast
import functools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tracer.diagnosis.chain import (
    BESIDES,
    Candidate,
    Statement,
    candidates,
    links,
    marked,
    statement_of,
)
from tracer.diagnosis.roots.handed import qualified
from tracer.diagnosis.roots.places import Search, code
from tracer.document import Failure, Fix, Place, Root
from tracer.sentences import Said, said
from tracer.source.text import Text, header_extent, text_of

WEIGHTS = Path(__file__).with_name("origins.json")
LIKELIER = 1.0  # in the score: nearly three times as likely

Signs = dict[str, float]
"""What speaks for a statement, by name; what is not there is 0."""


@functools.cache
def weights() -> Mapping[str, float]:
    found: dict[str, float] = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return found


@dataclass
class Origin:
    """A statement that the wrong size may come from: what speaks for it, and what is told of it."""

    signs: Signs
    root: Root
    told: float = 0.0  # how much speaks for what is told

    @property
    def statement(self) -> Statement:
        return statement_of(self.root)

    def score(self) -> float:
        return sum(weights().get(name, 0.0) * value for name, value in self.signs.items())

    def enter(self, signs: Signs, root: Root | None = None, told: float = 0.0) -> None:
        for name, value in signs.items():
            self.signs[name] = max(self.signs.get(name, value), value)
        if root is not None and told > self.told:
            self.root, self.told = root, told


def judged(s: Search) -> Failure:
    """The failure with what is known of its origin once repairs were sought.

    The links of the chain are the root, which the way leads from, and the statements that most
    speaks for, first those that the histories do not mark anyway; the root says which other line it
    may be, if one is far likelier.
    """
    known, failing = marked(s), s.failure.chain[-1]
    found = sorted(origins(s).values(), key=Origin.score, reverse=True)
    besides = [each for each in found if each.statement != statement_of(failing)]
    besides.sort(key=lambda each: each.statement in known)
    root = s.failure.root
    kept = [each.root for each in besides[:BESIDES]]
    kept[:0] = [each.root for each in besides[BESIDES:] if each.root is root]
    chain = links(s, kept, failing)
    return replace(s.failure, chain=chain, root=_doubted(root, found))


def _doubted(root: Root | None, found: list[Origin]) -> Root | None:
    """The root, with the statement that is far likelier if there is one: of the failing expression
    that need not be told."""
    best = found[0]
    own = next((o for o in found if root is not None and o.statement == statement_of(root)), None)
    if root is None or own is None or best.root.kind == "failure":
        return root
    likelier = best.score() - own.score() > LIKELIER
    return with_another(root, best.root) if likelier else root


def with_another(root: Root, other: Root) -> Root:
    """The root with the line that it may rather be."""
    values = {"why": root.because, "line": other.line, "file": Path(other.file).name}
    told = (
        said("{why} It may as well begin in line {line}.", **values)
        if other.file == root.file
        else said("{why} It may as well begin in line {line} of {file}.", **values)
    )
    return replace(root, because=told)


def origins(s: Search) -> dict[Statement, Origin]:
    """Every statement that something speaks for."""
    found: dict[Statement, Origin] = {}

    def enter(at: Statement, signs: Signs, root: Root, told: float = 0.0) -> None:
        found.setdefault(at, Origin({}, root)).enter(signs, root, told)

    for each in candidates(s):
        if each.link.line:
            told = math.inf if each.link is s.failure.root else each.score
            enter(statement_of(each.link), _found(s, each), each.link, told)
    for number, link in enumerate(s.failure.chain[:-1]):
        enter(statement_of(link), {"linked": 1.0, "linked first": float(not number)}, link)
    failing = s.failure.chain[-1]
    enter(statement_of(failing), {"failing": 1.0, f"failing of {s.finding.kind}": 1.0}, failing)
    for text, statement, signs in _of_fixes(s.failure):
        root = _written(s, text, statement)
        enter(statement_of(root), signs | _as_written(text, statement), root)
    for at in marked(s):
        if at in found:
            found[at].enter({"marked": 1.0})
    return found


def _found(s: Search, each: Candidate) -> Signs:
    """What was found before any repair was sought."""
    link, root = each.link, s.failure.root
    signs = {"found": each.score / 100, f"found {link.kind}": 1.0}
    if each.name:
        signs[each.name] = 1.0
    if root is not None and link is root:
        signs |= {f"root {link.kind}": 1.0, f"root of {s.finding.kind}": 1.0}
    return signs


# --- what the repairs change ------------------------------------------------------------------


def _of_fixes(failure: Failure) -> Iterator[tuple[Text, ast.stmt, Signs]]:
    """By the repairs that are shown."""
    for number, fix in enumerate(failure.fixes):
        changed = _changed(fix)
        plain = fix.verified and not fix.notes
        signs = {
            "mends": 1.0,
            "mends first": float(number == 0),
            "mends second": float(number == 1),
            "mends verified": float(fix.verified),
            "mends plainly": float(plain),
            "mends first verified": float(number == 0 and fix.verified),
            "mends first plainly": float(number == 0 and plain),
            "mends alone": float(len(changed) == 1),
        }
        for text, statement in changed:
            yield text, statement, signs


def _changed(fix: Fix) -> list[tuple[Text, ast.stmt]]:
    return _statements({(edit.file, edit.span.line) for edit in fix.edits})


def _statements(lines: set[tuple[str, int]]) -> list[tuple[Text, ast.stmt]]:
    found = {}
    for file, line in sorted(lines):
        text = text_of(file)
        statement = text.statement_on(line) if text is not None else None
        if text is not None and statement is not None:
            found[statement] = text
    return [(text, statement) for statement, text in found.items()]


def _as_written(text: Text, statement: ast.stmt) -> Signs:
    value = getattr(statement, "value", None)
    kind = type(statement).__name__
    if isinstance(value, ast.Call):
        kind += " call"
    return {f"is {kind}": 1.0}


# --- what is told of it -----------------------------------------------------------------------


def _written(s: Search, text: Text, statement: ast.stmt) -> Root:
    """A statement of which nothing is known but that it has a part in what failed."""
    header = text.span(header_extent(statement, text))
    written = text.cut(header)
    function = qualified(text, statement)
    place = Place(text.file, header.line, function, None, header, written, written, header)
    made = _steps(s).get((text.file, header.line))
    if made is not None:
        return Root("step", place, s.trace.steps[made].module, made, _stands(s, text, statement))
    around = text.function(statement)
    inside = isinstance(around, ast.FunctionDef)
    kind = "constructor" if inside and around.name == "__init__" else "call" if inside else "number"
    return Root(kind, place, "", None, _stands(s, text, statement))


def _stands(s: Search, text: Text, statement: ast.stmt) -> Said:
    """What is sure of it: that a change of it lets the forward run, or what is written."""
    written = code(text.cut(text.span(header_extent(statement, text))))
    for fix in s.failure.fixes:
        ran = fix.verified or fix.output_shapes
        if ran and [each for _, each in _changed(fix)] == [statement]:
            return said("With a change of `{code}` the forward runs.", code=written)
    return said("`{code}` is written here.", code=written)


def _steps(s: Search) -> dict[Statement, int]:
    """The first step of each statement."""
    found: dict[Statement, int] = {}
    for step in s.trace.steps:
        span = step.place.statement_span or step.place.span
        if span is not None:
            found.setdefault((step.file, span.line), step.index)
    return found
