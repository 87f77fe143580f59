"""Dimensions named by an argument."""

from __future__ import annotations

from typing import Any

from tracer.ops.algebra import known
from tracer.ops.bound import all_marks, refuse
from tracer.ops.call import Call, need


def axis_in(call: Call, value: Any, operand: int = 0, extra: int = 0) -> int:
    """Dimension `value` of an operand, counted from either end, as one from the front.

    Args:
        extra: how many more may be named than the operand has, as by unsqueeze.

    Raises:
        Refused: kind `axis`, there is no such dimension.
    """
    need(known(value) and not isinstance(value, bool) and operand < len(call.operands))
    rank = call.operands[operand].rank + extra
    if not -max(rank, 1) <= value < max(rank, 1):
        raise refuse("axis", *all_marks(call, operand), dim=value, rank=rank, at=operand)
    return int(value) % max(rank, 1)


def axes_in(call: Call, values: Any, operand: int = 0) -> tuple[int, ...]:
    """Several dimensions in the order given, or the one.

    Raises:
        Refused: kind `axis`, one is not there, or is named twice.
    """
    given = values if isinstance(values, tuple | list) else (values,)
    found = tuple(axis_in(call, value, operand) for value in given)
    twice = next((n for n, axis in enumerate(found) if axis in found[:n]), None)
    if twice is not None:
        raise refuse("axis", *all_marks(call, operand), twice=found[twice], at=operand)
    return found
