"""The rules that a call can break: a closed list, each with a stable code and general words.

A violation names its kind; the code (`SW-matmul`) stands in answers and names the page that
explains the rule (`docs/errors/SW-matmul.md`).  The words serve operations that say nothing more
particular.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracer.document import code_of
from tracer.ops.bound import Mark
from tracer.ops.refusal import Refusal, Report, Said, SizeAt, said


@dataclass(frozen=True)
class Kind:
    """`rule` is what `{who}` needs, a sentence without its full stop; `check` is what to look at
    where no change of the program is found that mends it."""

    name: str
    rule: Said
    check: Said

    @property
    def code(self) -> str:
        return code_of(self.name)


_SHAPES = said("Compare the shapes of the operands with what the call expects.")
_SIZES = said("See which of the two sizes is meant, and where the other one comes from.")
_ORDER = said("See in which order the dimensions come to this line.")
_CALL = said("Compare the call with its documentation.")

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        # sizes of two tensors
        Kind(
            "matmul", said("{who} needs sizes that are multiplied and summed to be equal"), _SIZES
        ),
        Kind("batch", said("{who} needs its operands to hold equally many samples"), _SIZES),
        Kind(
            "broadcast",
            said("{who} needs sizes that meet to be equal or 1"),
            _SIZES,
        ),
        Kind("join", said("{who} needs all sizes but the joined one to be equal"), _SIZES),
        Kind("einsum", said("{who} needs one size for each letter of its equation"), _SIZES),
        Kind("hidden", said("{who} needs a state that fits its layers, batch and width"), _SIZES),
        Kind("mask", said("{who} needs a mask that fits what it hides"), _SIZES),
        Kind("target", said("{who} needs a target that fits its input"), _SIZES),
        Kind("index", said("{who} needs an index that fits what it points into"), _ORDER),
        # one tensor and what is asked of it
        Kind("channels", said("{who} needs as many channels as it was made for"), _SIZES),
        Kind("features", said("{who} needs the features it was made for"), _SIZES),
        Kind("width", said("{who} needs the last size that it was made for"), _SIZES),
        Kind("rank", said("{who} needs another number of dimensions"), _ORDER),
        Kind("kernel", said("{who} needs its window to fit into its padded input"), _SHAPES),
        Kind("padding", said("{who} needs padding that its input allows"), _SHAPES),
        Kind("single", said("{who} needs several values for each channel in training"), _SHAPES),
        Kind("heads", said("{who} needs a width that divides by its heads"), _SIZES),
        Kind("square", said("{who} needs a matrix with as many rows as columns"), _SIZES),
        Kind("divide", said("{who} needs a size that divides without remainder"), _SIZES),
        Kind("split", said("{who} needs sizes that add up to what is split"), _SIZES),
        Kind("numel", said("{who} needs as many elements after as before"), _SIZES),
        Kind("stride", said("{who} needs its tensor to lie in memory in this order"), _SHAPES),
        Kind("axis", said("{who} needs a dimension that is there"), _ORDER),
        Kind("permute", said("{who} needs each dimension just once"), _ORDER),
        Kind("range", said("{who} needs numbers within its range"), _SHAPES),
        # what is no size
        Kind("dtype", said("{who} needs values of another type"), _CALL),
        Kind("device", said("{who} needs its tensors on one device"), _CALL),
        Kind("arguments", said("{who} needs other arguments"), _CALL),
        Kind("type", said("{who} needs a tensor where something else is given"), _CALL),
        Kind("unpack", said("{who} gives another number of values than there are names"), _CALL),
        Kind("attribute", said("{who} has no such attribute"), _CALL),
        Kind("item", said("{who} needs a tensor of one number"), _ORDER),
        # outside any forward
        Kind("checkpoint", said("{who} needs a checkpoint of its own keys and sizes"), _SIZES),
        Kind("optimizer", said("{who} needs a state of the parameters that it has"), _SIZES),
        Kind("collate", said("{who} needs samples of one form"), _SIZES),
        Kind("backward", said("{who} needs one number to begin at"), _CALL),
        Kind("mapped", said("{who} needs one size in the dimensions that it maps over"), _SIZES),
        Kind("pattern", said("{who} needs a tensor that fits its pattern"), _SIZES),
        Kind("exported", said("{who} needs the sizes that it was exported for"), _SIZES),
        Kind("processes", said("{who} needs tensors that all processes agree on"), _SIZES),
        Kind("other", said("{who} refuses this call"), _CALL),
    )
}


def general_report(refusal: Refusal) -> Report:
    """What can be said of any violation from its kind and the dimensions that it marks."""
    kind = KINDS[refusal.violation.kind]
    marks = refusal.violation.marks
    at_odds = next((mark for mark in marks if mark.wanted is not None), None)
    needs = Said(kind.rule.text, (("who", refusal.who),))
    if at_odds is None:
        rule = said("{needs}.", needs=needs)
    else:
        found = SizeAt(at_odds.operand, at_odds.dim, at_odds.size)
        rule = said("{needs}: {found} ≠ {wanted}.", needs=needs, found=found, wanted=at_odds.wanted)
    shown = tuple(_marked(refusal, mark) for mark in marks[:3])
    return Report(rule, shown or (said("No size of its operands is at odds."),), kind.check)


def _marked(refusal: Refusal, mark: Mark) -> Said:
    values = {
        "dim": mark.dim,
        "name": refusal.name(mark.operand),
        "shape": refusal.shape(mark.operand),
        "size": SizeAt(mark.operand, mark.dim, mark.size),
        "wanted": mark.wanted,
    }
    if mark.wanted is None:
        return said("Dimension {dim} of {name} {shape} is {size}.", **values)
    return said("Dimension {dim} of {name} {shape} is {size}, where {wanted} would do.", **values)
