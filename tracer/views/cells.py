"""Which cells of its operands each cell of a step's results is made of, as data: what the player
draws as scenes, and by which it follows a cell through the run."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from tracer.document import Step, Trace
from tracer.ops.bound import Bound, Refused
from tracer.ops.call import Unclear
from tracer.ops.cells import Along, Cells, Reach, Scene, everything
from tracer.ops.table import bound_step, entry_of

_MOST_RESULTS = 64
_PLAIN = Along()


def cells(trace: Trace) -> dict[str, Any]:
    """`kinds`, the rules of the run, each once, and `of`, for every step in the order of
    `Trace.walk` which one is its own; null where it has none, because it failed.

    A rule has the `scene` it is drawn as, what its cells `become`, and `results`: for each the
    `reaches`, one for every operand (null where no cell of it counts), and what is `met`.  Of an
    operation that the table does not know every cell of every operand may count.
    """
    kinds: dict[str, int] = {}
    of: list[int | None] = []
    for step in trace.walk():
        rule = _rule(step)
        if rule is None:
            of.append(None)
            continue
        text = json.dumps(rule, separators=(",", ":"), sort_keys=True)
        of.append(kinds.setdefault(text, len(kinds)))
    return {"kinds": [json.loads(text) for text in kinds], "of": of}


def _rule(step: Step) -> dict[str, Any] | None:
    if step.error is not None or not step.outputs:
        return None
    bound = bound_step(step)
    entry = entry_of(step)
    if bound is None or entry is None:
        return _written(Scene("whole"), [_unknown(step)] * min(len(step.outputs), _MOST_RESULTS))
    count = min(len(bound.results), _MOST_RESULTS)
    found = [_read(entry.scene, bound, number) for number in range(count)]
    return _written(entry.scene, found)


def _read(scene: Scene, bound: Bound, number: int) -> Cells:
    """As the entry says; every cell, where it cannot read the call."""
    try:
        return scene.cells(bound, number)
    except (Unclear, Refused, ArithmeticError, LookupError, TypeError):
        # A damaged file may hold anything in the place of an argument.
        return everything(bound, number)


def _unknown(step: Step) -> Cells:
    whole = (Reach((Along("whole"),) * len(note.shape), exact=False) for note in step.inputs)
    return Cells(tuple(whole))


def _written(scene: Scene, results: list[Cells]) -> dict[str, Any]:
    return {
        "scene": scene.kind,
        "becomes": scene.becomes,
        "results": [
            {
                "reaches": [each and _reach(each) for each in found.reaches],
                "met": [[list(at) for at in group] for group in found.met],
            }
            for found in results
        ],
    }


def _reach(reach: Reach) -> dict[str, Any]:
    told: dict[str, Any] = {"exact": reach.exact}
    if reach.only is not None:
        told["only"] = list(reach.only)
    return {**told, "order": True} if reach.order else {**told, "axes": [*map(_axis, reach.axes)]}


def _axis(along: Along) -> dict[str, Any]:
    """What is not as in the same index along the first dimension of all; `how` and `dim` always."""
    rest = {
        each.name: getattr(along, each.name)
        for each in fields(along)
        if getattr(along, each.name) != getattr(_PLAIN, each.name)
    }
    return {"how": along.how, "dim": along.dim, **rest}
