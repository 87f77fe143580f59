"""The rules that a call can break: a closed list, each with a stable code and general words.

A violation names its kind; the code (`SW-matmul`) stands in answers and names the page that
explains the rule (`docs/errors/SW-matmul.md`).  The words serve operations that say nothing more
particular.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracer.ops.bound import Mark
from tracer.ops.refusal import Refusal, Report, Said, SizeAt, said


@dataclass(frozen=True)
class Kind:
    """`rule` is what `{who}` needs, a sentence without its full stop; `check` is what to look at
    where no change of the program is found that mends it."""

    name: str
    rule: str
    check: str = "Compare the shapes of the operands with what the call expects."

    @property
    def code(self) -> str:
        return f"SW-{self.name}"


_SIZES = "See which of the two sizes is meant, and where the other one comes from."
_ORDER = "See in which order the dimensions come to this line."
_CALL = "Compare the call with its documentation."

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        # sizes of two tensors
        Kind("matmul", "{who} needs sizes that are multiplied and added up to be equal", _SIZES),
        Kind("batch", "{who} needs its operands to hold equally many samples", _SIZES),
        Kind("broadcast", "{who} needs sizes that stand above each other to be equal or 1", _SIZES),
        Kind("join", "{who} needs all sizes but the one that is joined to be equal", _SIZES),
        Kind("einsum", "{who} needs one size for each letter of its equation", _SIZES),
        Kind("hidden", "{who} needs a state that fits its layers, batch and width", _SIZES),
        Kind("mask", "{who} needs a mask that fits what it hides", _SIZES),
        Kind("target", "{who} needs a target that fits its input", _SIZES),
        Kind("index", "{who} needs an index that fits what it points into", _ORDER),
        # one tensor and what is asked of it
        Kind("channels", "{who} needs as many channels as it was made for", _SIZES),
        Kind("features", "{who} needs the features it was made for", _SIZES),
        Kind("width", "{who} needs the last size that it was made for", _SIZES),
        Kind("rank", "{who} needs another number of dimensions", _ORDER),
        Kind("kernel", "{who} needs its window to fit into its padded input"),
        Kind("padding", "{who} needs padding that its input allows"),
        Kind("single", "{who} needs more than one value for each channel in training"),
        Kind("heads", "{who} needs a width that divides by its heads", _SIZES),
        Kind("divide", "{who} needs a size that divides without remainder", _SIZES),
        Kind("split", "{who} needs sizes that add up to what is split", _SIZES),
        Kind("numel", "{who} needs as many elements after as before", _SIZES),
        Kind("stride", "{who} needs its tensor to lie in memory in this order"),
        Kind("axis", "{who} needs a dimension that is there", _ORDER),
        Kind("permute", "{who} needs each dimension just once", _ORDER),
        Kind("range", "{who} needs numbers within its range"),
        # what is no size
        Kind("dtype", "{who} needs values of another type", _CALL),
        Kind("device", "{who} needs its tensors on one device", _CALL),
        Kind("arguments", "{who} needs other arguments", _CALL),
        Kind("type", "{who} needs a tensor where something else is given", _CALL),
        Kind("unpack", "{who} gives another number of values than there are names", _CALL),
        Kind("attribute", "{who} has no such attribute", _CALL),
        Kind("item", "{who} needs a tensor of one number", _ORDER),
        Kind("other", "{who} refuses this call", _CALL),
    )
}


def code_of(kind: str) -> str:
    """The stable code of a kind of violation: `SW-matmul`.

    Raises:
        KeyError: there is no such kind.
    """
    return KINDS[kind].code


def general_report(refusal: Refusal) -> Report:
    """What can be said of any violation from its kind and the dimensions that it marks."""
    kind = KINDS[refusal.violation.kind]
    marks = refusal.violation.marks
    at_odds = next((mark for mark in marks if mark.wanted is not None), None)
    if at_odds is None:
        rule = said(f"{kind.rule}.", who=refusal.who)
    else:
        found = SizeAt(at_odds.operand, at_odds.dim, at_odds.size)
        rule = said(
            f"{kind.rule}: {{found}} ≠ {{wanted}}.",
            who=refusal.who,
            found=found,
            wanted=at_odds.wanted,
        )
    shown = tuple(_marked(refusal, mark) for mark in marks[:3])
    return Report(rule, shown or (said("No size of its operands is at odds."),), said(kind.check))


def _marked(refusal: Refusal, mark: Mark) -> Said:
    text = "Dimension {dim} of {name} {shape} is {size}."
    if mark.wanted is not None:
        text = "Dimension {dim} of {name} {shape} is {size}, where {wanted} would do."
    return said(
        text,
        dim=mark.dim,
        name=refusal.name(mark.operand),
        shape=refusal.shape(mark.operand),
        size=SizeAt(mark.operand, mark.dim, mark.size),
        wanted=mark.wanted,
    )
