"""What a search found, as the fixes of a document."""

from __future__ import annotations

from tracer.diagnosis.repair.edited import original
from tracer.diagnosis.repair.proof import WEAK
from tracer.diagnosis.repair.search import Found, Repair
from tracer.document import Fix
from tracer.sentences import Said, said
from tracer.source.edits import between

TRIED = said("It was found by trying edits: see whether it is what is meant.")
"""The note of each."""


def answers(found: Found) -> tuple[Fix, ...]:
    """The repairs that were proven, the likeliest first: those that passed every check, else the
    others, of which each says which check it did not pass."""
    fixes: dict[object, Fix] = {}
    for repair in found.repairs:
        if repair.proof is not None and repair.proof.check("runs").passed:
            fix = _fix(repair)
            fixes.setdefault((fix.edits, fix.inputs), fix)
    return tuple(fixes.values())


def cut_off(found: Found) -> Said | None:
    """What of the search was cut off, in one sentence; None if nothing was."""
    if not found.ended:
        return None
    return said(
        "The search for changes has a limit of work: {ran} of about {found} were tried.",
        ran=found.tried,
        found=found.drafted,
    )


def _fix(repair: Repair) -> Fix:
    proof = repair.proof
    assert proof is not None
    notes = [TRIED]
    notes += [each.said for each in proof.failed if each.said and each.name not in WEAK]
    batches = proof.check("batches")
    if batches.passed is False and batches.said is None:
        notes.append(said("It runs for these inputs, and not for every batch size."))
    edits = repair.parts[0].edits
    says = said("{what}.", what=repair.parts[0].summary)
    if len(repair.parts) > 1:
        edits = tuple(
            edit
            for file, new in repair.program.sources
            for edit in between(file, original(file).text, new)
        )
        first, second = (part.summary for part in repair.parts)
        says = said("{first}; and with it: {second}.", first=first, second=second)
    return Fix(
        says=says,
        edits=edits,
        verified=proof.verified,
        output_shapes=proof.run.shapes,
        notes=tuple(dict.fromkeys(notes)),
        inputs=tuple(pair for part in repair.parts for pair in part.inputs),
    )
