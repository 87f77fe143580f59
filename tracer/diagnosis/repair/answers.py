"""What a search found, as the fixes of a document."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from tracer.diagnosis.repair import rank
from tracer.diagnosis.repair.bench import rounded
from tracer.diagnosis.repair.draft import Draft
from tracer.diagnosis.repair.edited import original
from tracer.diagnosis.repair.proof import QUIET, Proof
from tracer.diagnosis.repair.search import Found, Repair
from tracer.document import Edit, Fix
from tracer.sentences import Said, render, said
from tracer.source.edits import between


def answers(found: Found) -> tuple[Fix, ...]:
    """The repairs that ran, the likeliest first; those that passed every check come before the
    others, of which each says which check it did not pass.  Of those that compute the same, and
    change the source as the others do or the inputs, there is the likeliest."""
    alike: dict[tuple[object, bool], list[Repair]] = {}
    for repair in found.repairs:
        # Several changes that did not pass are no more than a guess.
        shown = repair.passed or len(repair.parts) == 1
        if shown and repair.proof is not None and repair.proof.check("runs").passed:
            key = rounded(repair.print), _is_of_inputs(repair)
            alike.setdefault(key, []).append(repair)
    # What comes to the same in the model and in its inputs stands together.
    meanings: dict[object, list[Repair]] = {}
    for (print_, _), each in alike.items():
        meanings.setdefault((print_, each[0].verified), []).append(_plainest(each))
    return tuple(
        fix_of(each, again=number > 0)
        for same in meanings.values()
        for number, each in enumerate(same)
    )


def _is_of_inputs(repair: Repair) -> bool:
    """Whether it has the caller bring other inputs."""
    return any(part.inputs for part in repair.parts)


def _plainest(alike: list[Repair]) -> Repair:
    """Of repairs that compute the same the likeliest that writes no number where a name serves, and
    does for larger inputs and for as many other numbers of a config as any of them.  Of these the
    one with the likeliest's number, in whatever names, comes first."""
    wanted = _numbers(alike[0])

    def holds(repair: Repair) -> tuple[bool, float, bool, bool]:
        if repair.proof is None:
            return False, 0.0, False, False
        numbers = repair.proof.check("numbers").share
        named = not any(_new_numbers(part) for part in repair.parts)
        same = _numbers(repair) == wanted
        return not repair.proof.failed, 1.0 if numbers is None else numbers, named, same

    return max([each for each in alike if each.verified is alike[0].verified], key=holds)


def _numbers(repair: Repair) -> list[int | None]:
    return [part.number for part in repair.parts]


def _new_numbers(draft: Draft) -> set[str]:
    """The numbers that an edit writes, but for 0 and 1, which say where and not how many."""
    return {*_NUMBER.findall(draft.new)} - {*_NUMBER.findall(draft.old), "0", "1"}


_NUMBER = re.compile(r"(?<!-)\b\d+\b")


def cut_off(found: Found) -> Said | None:
    """What of the search was cut off, in one sentence; None if nothing was."""
    if found.ended and found.in_time and found.tried >= found.drafted:
        return said(
            "The search for changes ended at its limit of work, behind {ran} of them.",
            ran=found.tried,
        )
    if found.ended and found.in_time:
        return said(
            "The search for changes has a limit of work: {ran} of about {found} were tried.",
            ran=found.tried,
            found=found.drafted,
        )
    if found.ended:
        return said(
            "The search for changes has a limit of time: {ran} of about {found} were tried.",
            ran=found.tried,
            found=found.drafted,
        )
    if found.costly:
        return said(
            "{given_up} of {ran} changes cost too much to be run to the end.",
            given_up=found.costly,
            ran=found.tried,
        )
    return None


def fix_of(repair: Repair, again: bool = False) -> Fix:
    """A repair as a document keeps it; `again` where the one before does the same, of the model
    for its inputs or the other way round."""
    run = repair.run if repair.proof is None else repair.proof.run
    return Fix(
        says=_says(repair),
        edits=_edits(repair),
        verified=repair.verified,
        output_shapes=run.shapes,
        notes=tuple(dict.fromkeys(_notes(repair, again))),
        inputs=tuple(pair for part in repair.parts for pair in part.inputs),
    )


def _says(repair: Repair) -> Said:
    first, *others = (part.summary for part in repair.parts)
    for other in others:
        first = said("{first}; and with it: {second}", first=first, second=other)
    return said("{what}.", what=first)


def told_apart(fixes: Sequence[Fix]) -> tuple[Fix, ...]:
    """The fixes with their places where two of them would be told in the same words."""
    words = Counter(render(fix.says) for fix in fixes)
    return tuple(_with_place(fix) if words[render(fix.says)] > 1 else fix for fix in fixes)


def _with_place(fix: Fix) -> Fix:
    """Lines, columns where a line has several places, and what is written there."""
    lines = tuple(dict.fromkeys(edit.span.line for edit in fix.edits))
    columns = tuple(edit.span.column + 1 for edit in fix.edits)
    values = {
        "what": fix.says,
        "line": lines,
        "column": columns,
        "new": "`, `".join(" ".join(edit.replacement.split()) for edit in fix.edits),
    }
    if not fix.edits:
        return fix
    told = said("{what} In line {line}, column {column}: `{new}`.", **values)
    return dataclasses.replace(fix, says=told)


def _edits(repair: Repair) -> tuple[Edit, ...]:
    if len(repair.parts) == 1:
        return repair.parts[0].edits
    return tuple(
        edit
        for file, new in repair.program.sources
        for edit in between(file, original(file).text, new)
    )


def _notes(repair: Repair, again: bool) -> Iterator[Said]:
    """What speaks against it, and what of it was not seen."""
    for part in repair.parts:
        yield from part.notes
    if repair.proof is not None:
        yield from _of_the_proof(repair, repair.proof)
    if again:
        yield said(
            "It comes to the same as the change before it: choose by whether the model is wrong or "
            "what it is given."
        )


def _of_the_proof(repair: Repair, proof: Proof) -> Iterator[Said]:
    if repair.rivals:
        yield said(
            "Another change that computes something else passes every check as well: choose by "
            "what is meant."
        )
    elif repair.verified and not rank.is_likely(repair.score):
        yield said("It passes every check; whether it is what is meant, no check tells.")
    for each in proof.checks:
        if each.said is not None and not each.passed and each.name not in QUIET:
            yield each.said
    batches = proof.check("batches")
    if batches.passed is False and batches.said is None:
        yield said("It runs for these inputs, and not for every batch size.")
    if not proof.whole:
        yield said("The search ended before all was tried that a repair has to show.")
    if not proof.run.executed:
        yield said(
            "The edited constructor was not run, since its arguments are not known: the layer "
            "was changed in a copy of the model instead."
        )
    apart = proof.check("independent").passed
    if not proof.run.computed and apart is None and repair.program.batches:
        yield said(
            "Only shapes were run: whether each sample's result is independent of the others "
            "was not checked."
        )
