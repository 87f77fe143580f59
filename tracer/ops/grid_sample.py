"""`grid_sample`: every place of a grid takes its value from where it points."""

from __future__ import annotations

from tracer.ops.refusal import Refusal, Report, said
from tracer.ops.say import (
    Spoken,
    Told,
    effect_text,
    told,
)
from tracer.ops.space import NAMES
from tracer.ops.spec import Must, form, operation


def _words(step: Spoken) -> Told:
    x, out = step.x, step.out
    how = said("every place of the grid takes its value from where it points")
    return Told(told(effect_text(x[2:], out[2:], NAMES[len(x) - 2]), how))


def _report(refusal: Refusal) -> Report | None:
    x, grid = refusal.call.tensor("input") or 0, refusal.call.tensor("grid") or 1
    values = {
        "x": refusal.name(x, said("the input")),
        "g": refusal.name(grid, said("the grid")),
        "shape": refusal.shape(x),
        "grid": refusal.shape(grid),
    }
    if refusal.violation.kind == "batch":
        one, two = (refusal.call.operands[at].shape[0] for at in (grid, x))
        return Report(
            said("grid_sample needs one grid for each sample: {one} ≠ {two}.", one=one, two=two),
            (said("{x} is {shape} and {g} is {grid}.", **values),),
        )
    if refusal.violation.kind == "rank":
        return Report(
            said(
                "grid_sample needs a grid (N, H, W, 2) for an input (N, C, H, W): {grid} and "
                "{shape}.",
                **values,
            ),
            (
                said(
                    "The last dimension of {g} holds the coordinates of a point in {x}; it must be "
                    "{coordinates}.",
                    **values,
                    coordinates=refusal.call.operands[x].rank - 2,
                ),
            ),
        )
    return None


operation(
    "grid_sample grid_sampler",
    forms=(
        form("input: n c h w", "grid: n p q 2", gives="n c p q"),
        form("input: n c d h w", "grid: n o p q 3", gives="n c o p q"),
    ),
    must=[Must("kernel", letter, "fits", lambda _: 1) for letter in "dhw"],
    kinds={"n": "batch", "2": "rank", "3": "rank"},
    words=_words,
    report=_report,
)
