"""Where each dimension of a step's result comes from, as data: what a prediction is judged by."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tracer.document import Step, Trace
from tracer.ops.bound import SAME, Bound, Dim, Window
from tracer.ops.call import At
from tracer.ops.table import bound_step

_NOTHING = Dim(0, "")
_OWNED = ("parameter", "buffer")
_MOST = 12  # dimensions that anybody would be asked for


def rules(trace: Trace) -> list[dict[str, Any] | None]:
    """For each of `trace.steps` the rule of its first result; None where there is nothing to ask:
    the operation table does not know the step, it failed, or it gives no tensor.

    A rule has the `op`, whether its result is `plain` (every dimension handed on at its place, so
    that nobody would learn from being asked), its `dims` as `tracer.ops.bound.Dim` has them without
    what is empty, `gone`, the operands' dimensions that do not live on, and `met`, pairs of these
    over which a product sums.  A dimension of an operand is `[operand, dim]`.
    """
    return [_rule(step) for step in trace.steps]


def _rule(step: Step) -> dict[str, Any] | None:
    bound = bound_step(step) if step.error is None else None
    if bound is None or not bound.results or len(bound.results[0]) > _MOST:
        return None
    dims = bound.results[0]
    gone = _gone(bound)
    met = [[*a, *b] for a, b in bound.ties if a in gone and b in gone]
    if any(bound.call.operands[at.operand].kind not in _OWNED for at in _kept(bound) if at.operand):
        gone = []  # of several operands each gives some: what one lacks another may have
    return {
        "op": bound.call.op,
        "plain": _is_plain(bound),
        "dims": [_dim(dim) for dim in dims],
        "gone": [list(at) for at in gone],
        "met": met,
    }


def _is_plain(bound: Bound) -> bool:
    """Whether one operand hands on every dimension, and nothing is stretched or put elsewhere."""
    dims = bound.results[0]
    through = (
        set.intersection(*({at.operand for at in dim.sources} for dim in dims)) if dims else ()
    )
    return (
        bool(through)
        and all(dim.how == SAME and not dim.stretched for dim in dims)
        and all(at.dim == place for place, dim in enumerate(dims) for at in dim.sources)
        and any(bound.call.operands[operand].rank == len(dims) for operand in through)
    )


def _gone(bound: Bound) -> list[At]:
    """The dimensions of what is worked on that are in no dimension of the result."""
    kept = _kept(bound)
    # What is tied to a dimension that lives on is the same dimension.
    for one, other in bound.ties:
        if one in kept or other in kept:
            kept |= {one, other}
    return [
        At(number, dim)
        for number, operand in enumerate(bound.call.operands)
        if operand.kind not in _OWNED
        for dim in range(operand.rank)
        if At(number, dim) not in kept
    ]


def _kept(bound: Bound) -> set[At]:
    """The dimensions of operands that are in a dimension of the result, or have made way for it."""
    kept = {at for dim in bound.results[0] for at in (*dim.sources, *dim.stretched)}
    return kept | {dim.replaces for dim in bound.results[0] if dim.replaces is not None}


def _dim(dim: Dim) -> dict[str, Any]:
    """What is not as in a dimension of which nothing is known; its size always."""
    found = {
        each.name: getattr(dim, each.name)
        for each in fields(dim)
        if getattr(dim, each.name) != getattr(_NOTHING, each.name)
    }
    if isinstance(dim.window, Window):
        found["window"] = {each.name: getattr(dim.window, each.name) for each in fields(dim.window)}
    return {"size": dim.size, **{name: _plain(value) for name, value in found.items()}}


def _plain(value: Any) -> Any:
    """Tuples as the lists that they are in JSON."""
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
