"""What kind of operation it is, read from the dimensions that it makes: what it is called does not
matter."""

from __future__ import annotations

from tracer.ops.bound import JOINED, MIXED, NEW, SAME, Bound
from tracer.ops.call import Size


def permutes(bound: Bound | None) -> bool:
    """The dimensions of one operand in another order, and nothing else."""
    if bound is None or len(bound.results) != 1 or len(bound.call.operands) != 1:
        return False
    order = [
        dim.sources[0].dim
        for dim in bound.results[0]
        if dim.how == SAME and len(dim.sources) == 1 and not dim.moved
    ]
    before, after = bound.call.operands[0].rank, len(bound.results[0])
    return sorted(order) == list(range(before)) and len(order) == after and order != sorted(order)


def joins(bound: Bound | None) -> bool:
    """Several operands one after the other along a dimension."""
    return bound is not None and any(
        dim.how == JOINED and len({at.operand for at in dim.sources}) > 1
        for dims in bound.results
        for dim in dims
    )


def contracts(bound: Bound | None) -> bool:
    """A product of two tensors, neither of which is a weight: it sums over a dimension of both."""
    if bound is None:
        return False
    kept = {at for dims in bound.results for dim in dims for at in dim.sources}
    kinds = [operand.kind for operand in bound.call.operands]
    return any(
        not {one, other} & kept
        and not {kinds[one.operand], kinds[other.operand]} & {"parameter", "buffer"}
        for one, other in bound.ties
    )


def looks_up(bound: Bound | None) -> bool:
    """Rows of a table, by their numbers."""
    return bound is not None and any(
        dim.how == MIXED and dim.replaces is None for dims in bound.results for dim in dims
    )


def adds_dimension(bound: Bound | None) -> bool:
    """A new dimension of size 1."""
    return bound is not None and any(
        dim.how == NEW and not dim.sources and dim.size == 1
        for dims in bound.results
        for dim in dims
    )


def kernel(bound: Bound | None) -> tuple[Size, ...]:
    """The size of a convolution's kernel, empty of all else."""
    if bound is None:
        return ()
    return tuple(bound.call.operands[at.operand].shape[at.dim] for at in sorted(bound.roles))


def strides(bound: Bound | None) -> tuple[Size, ...]:
    """By how much a window moves along each dimension, or all; empty where none does."""
    if bound is None:
        return ()
    value = bound.call.get("stride") or bound.call.get("kernel_size") or ()
    return tuple(value) if isinstance(value, tuple | list) else (value,)
