"""Changes that mend a failure, each proven by running it, the likeliest first."""

from __future__ import annotations

import ast
import dataclasses
import re

from tracer.diagnosis import (
    fixes_calls,
    fixes_indices,
    fixes_layers,
    fixes_roots,
    fixes_tensors,
)
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.fixes_scene import REPAIRS, Candidate, Scene
from tracer.diagnosis.repair.answers import answers, cut_off
from tracer.diagnosis.repair.draft import Draft
from tracer.diagnosis.repair.places import Spot
from tracer.diagnosis.repair.search import Repair, Search
from tracer.diagnosis.repair.world import World
from tracer.document import Edit, Failure, Fix, Span, with_edits
from tracer.record.crash import Crash
from tracer.sentences import Said, said
from tracer.source.text import Text, called, text_of
from tracer.strict import tolerant, tolerated

# Each enters its repairs.
SOURCES = (fixes_roots, fixes_layers, fixes_tensors, fixes_indices, fixes_calls)

MOST = 4  # fixes that are shown


def find(crash: Crash, finding: Finding, failure: Failure) -> tuple[tuple[Fix, ...], Said | None]:
    """The fixes of a failure, best first, none when there is nothing sound; and a sentence on what
    was not tried.

    Raises nothing: what goes wrong here leaves the failure without fixes.
    """
    with tolerant():
        found = Search(crash, finding, failure, known).search()
        repairs = tuple(_noted(finding, each) for each in found.repairs)
        return answers(dataclasses.replace(found, repairs=repairs))[:MOST], cut_off(found)
    return (), None


def _noted(finding: Finding, repair: Repair) -> Repair:
    """A repair with what is to be said of its edits, whoever came to them."""
    parts = []
    for part in repair.parts:
        said_ = (
            _number_for_a_name(part.rebuilds, part.old, part.new),
            _by_a_factor(finding, part.new),
        )
        notes = (*part.notes, *(note for note in said_ if note is not None))
        parts.append(dataclasses.replace(part, notes=tuple(dict.fromkeys(notes))))
    return dataclasses.replace(repair, parts=tuple(parts))


def known(world: World) -> list[Draft]:
    """The edits of those who know a program, as drafts."""
    scene = Scene(world.crash, world.finding, world.failure)
    drafts = []
    for source, place, each in candidates(scene):
        text = text_of(each.edits[0].file)
        node = text.statement_on(each.edits[0].span.line) if text is not None else None
        if text is not None and node is not None:
            draft = _draft(scene, each, text, node)
            drafts.append(dataclasses.replace(draft, source=source, place=place))
    return drafts


def _draft(scene: Scene, each: Candidate, text: Text, node: ast.AST) -> Draft:
    old, new = _shown(text, each.edits)
    constructs = each.change is not None
    spot = Spot(
        text,
        node,
        1.0 if constructs else 0.0,
        "constructor" if constructs else "failing",
        constructs,
    )
    notes = (
        each.caveat,
        _beside_the_root(scene, each),
        _number_for_a_name(constructs, old, new),
        _by_a_factor(scene.finding, new),
    )
    return Draft(
        "recipe",
        each.summary,
        each.edits,
        spot,
        old,
        new,
        batches=each.batches,
        stand_in=each.change,
        recipe=each.rank,
        notes=tuple(note for note in notes if note is not None),
    )


def _beside_the_root(scene: Scene, each: Candidate) -> Said | None:
    """A layer that is rebuilt for a size which an earlier step of the forward got wrong makes the
    forward run, and leaves the mistake where it is."""
    root = scene.failure.root
    if each.change is None or root is None or root.kind != "step":
        return None
    span = root.place.statement_span or root.place.span
    if span is None or (root.file, root.line) == (scene.failure.file, scene.failure.line):
        return None
    for edit in each.edits:
        if edit.file == root.file and span.line <= edit.span.line <= span.end_line:
            return None
    return said(
        "The size comes from line {line}, which it leaves as it is: check that one first.",
        line=root.line,
    )


def _number_for_a_name(constructs: bool, old: str, new: str) -> Said | None:
    """A constructor that gets a number where an expression stood."""
    if not constructs or not new.strip().isdigit() or not re.search(r"[^\W\d]", old):
        return None
    return said(
        "It writes a number where `{old}` stood: what that is worked out from may be what is "
        "wrong.",
        old=" ".join(old.split()),
    )


def _by_a_factor(finding: Finding, new: str) -> Said | None:
    """A size that is resized to a multiple or a fraction: not the rounding of an odd one."""
    sizes = sorted(mark.size for mark in finding.marks[:2])
    if "interpolate(" not in new or finding.kind not in ("join", "broadcast"):
        return None
    if len(sizes) < 2 or sizes[0] < 2 or sizes[1] == sizes[0] or sizes[1] % sizes[0]:
        return None
    return said(
        "{large} is {factor} times {small}: a stride, or the order of the levels, may be what is "
        "wrong.",
        large=sizes[1],
        factor=sizes[1] // sizes[0],
        small=sizes[0],
    )


def _shown(text: Text, edits: tuple[Edit, ...]) -> tuple[str, str]:
    """The smallest expression around the edits of one line, as it is and as it will be."""
    line = edits[0].span.line
    own = [edit for edit in edits if edit.span.line == line and edit.file == text.file]
    start, end = min(e.span.column for e in own), max(e.span.end_column for e in own)
    around = [
        node
        for node in text.expressions
        if (span := text.span(node)).line == span.end_line == line
        and span.column <= start
        and end <= span.end_column
    ]
    best = min(around, key=lambda node: len(text.of(node)), default=text.statement_on(line))
    if best is None:
        return "", own[0].replacement
    span, old = text.span(best), text.of(best)

    def moved(edit: Edit) -> Edit:
        first, last = edit.span.line == span.line, edit.span.end_line == span.line
        inside = Span(
            edit.span.line - span.line + 1,
            edit.span.column - span.column * first,
            edit.span.end_line - span.line + 1,
            edit.span.end_column - span.column * last,
        )
        return dataclasses.replace(edit, span=inside)

    try:
        return old, with_edits(old, [moved(edit) for edit in own])
    except ValueError:
        return "", own[0].replacement


def candidates(scene: Scene) -> list[tuple[str, int, Candidate]]:
    """What might mend a failure, the soundest first, with who knows it and how many he holds for
    sounder; nothing of it has run."""
    kinds = {scene.op, f"kind:{scene.finding.kind}"} - {""}
    if scene.layer is not None:
        kinds.add(f"nn.{type(scene.layer).__name__}")
    if isinstance(scene.node, ast.Call):
        kinds.add(called(scene.node))  # `mm` may have failed as another operation inside
    found: dict[tuple[Edit, ...], tuple[str, int, Candidate]] = {}
    types = "type" in scene.finding.kind or scene.finding.kind in ("dtype", "device")
    for names, source in REPAIRS:
        if names and not names & kinds:
            continue
        own = sorted(tolerated(source(scene)), key=lambda each: each.rank)
        for place, each in enumerate(own):
            if each.edits not in found or each.rank < found[each.edits][2].rank:
                found[each.edits] = source.__name__, place, each
    if not types and ("dtype" in scene.crash.words or "expected scalar type" in scene.crash.words):
        for each in tolerated(fixes_calls.casts(scene)):
            found.setdefault(each.edits, ("casts", 0, each))
    return sorted(found.values(), key=lambda item: item[2].rank)
