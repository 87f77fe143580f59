"""What a run costs at other sizes: bytes and floating-point operations, from the formulas of its
steps.  Needs nothing but the trace, so that a saved one tells as much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from tracer.arithmetic import value
from tracer.document import Cost, Formula, Step, Trace

What = Literal["bytes", "flops"]


@dataclass(frozen=True)
class Curve:
    """Bytes of all tensors made, and floating-point operations, at each of `sizes` of one symbol,
    the others being as in the run; empty where a step costs something and has no formula for it,
    so that the whole is not known."""

    sizes: tuple[int, ...]
    bytes: tuple[int, ...]
    flops: tuple[int, ...]


def curve(trace: Trace, name: str, sizes: Sequence[int]) -> Curve:
    """What the run would cost at other values of one symbol.  Sizes at which a formula has no value
    are left out."""
    here = {symbol.name: symbol.value for symbol in trace.symbols}
    kinds: tuple[What, What] = ("bytes", "flops")
    known = [_is_known(trace.costs, what) for what in kinds]
    points = []
    for size in sizes:
        at = {**here, name: size}
        try:
            points.append((size, [_sum(trace.costs, at, what) for what in kinds]))
        except ValueError:
            continue
    bytes_, flops = (
        tuple(sums[column] for _, sums in points) if known[column] else () for column in (0, 1)
    )
    return Curve(tuple(size for size, _ in points), bytes_, flops)


def _formula(cost: Cost, what: What) -> Formula | None:
    return cost.bytes_formula if what == "bytes" else cost.flops_formula


def _is_known(costs: Sequence[Cost], what: What) -> bool:
    return all(_formula(cost, what) is not None or not getattr(cost, what) for cost in costs)


def unknown(trace: Trace, what: What) -> list[Step]:
    """The steps that cost something and have no formula for it."""
    pairs = zip(trace.steps, trace.costs, strict=False)
    return [step for step, cost in pairs if getattr(cost, what) and _formula(cost, what) is None]


def _sum(costs: Sequence[Cost], at: Mapping[str, int], what: What) -> int:
    total = Fraction(0)
    for cost in costs:
        formula = _formula(cost, what)
        total += getattr(cost, what) if formula is None else value(formula.text, at)
    return max(0, int(total))


def doubled(trace: Trace, name: str) -> tuple[float | None, float | None] | None:
    """By how much bytes and floating-point operations are multiplied when this size is doubled,
    each None where it is not known; None where the formulas have no value there."""
    here = next(symbol.value for symbol in trace.symbols if symbol.name == name)
    found = curve(trace, name, (here, 2 * here))
    if len(found.sizes) < 2:
        return None
    return _ratio(found.bytes), _ratio(found.flops)


def _ratio(values: Sequence[int]) -> float | None:
    """None where it is not known, or something grew out of nothing."""
    if not values:
        return None
    before, after = values
    return after / before if before else 1.0 if after == before else None


def ranked(trace: Trace) -> list[tuple[str, float | None, float | None]]:
    """The symbols on which the costs depend, the one on which they depend most first, each with
    what `doubled` says of it."""
    found = []
    for symbol in trace.symbols:
        grown = doubled(trace, symbol.name)
        if grown is not None and not set(grown) <= {1.0, None}:
            found.append((symbol.name, *grown))
    return sorted(found, key=lambda each: -sum(factor or 0.0 for factor in each[1:]))


def choices(trace: Trace) -> list[str]:
    """The symbols of `ranked`."""
    return [name for name, _, _ in ranked(trace)]
