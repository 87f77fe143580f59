"""Shapes that a test expects, written as `B C H W -> B C H//2 W//2`."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from tracer import syntax
from tracer.explaining import note, traced
from tracer.ops.names import shape_text

_OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def assert_shapes(model: nn.Module, *inputs: Any, **kwargs: Any) -> dict[str, int]:
    """Run `model(*inputs[:-1], **kwargs)` and compare its shapes with the pattern `inputs[-1]`.

        assert_shapes(model, x, "B 3 H W -> B N")
        assert_shapes(model, x, mask, "B N C, B N -> B N C, _")

    Before the arrow stand the tensors among the inputs, behind it those of the output, separated
    by commas, in the order in which they come in nested tuples, lists and dicts.  A dimension is
    a number, a name, or an expression of names without spaces (`H*W`, `H//2`, `2*C+1`); `_` is any
    size and `...` any number of dimensions.  A name is bound where it first stands alone and is
    the same size wherever it is used.

    Returns:
        What the names stand for.

    Raises:
        AssertionError: a shape differs, or the forward failed; the message says where, and of a
            failure why.
        ValueError: the pattern is none.
    """
    *args, pattern = inputs
    before, after = parsed(pattern)
    with torch.no_grad():
        found = traced(model, tuple(args), kwargs, values=False)
    if found.failure is not None:
        failure = found.failure
        raise AssertionError(f"{failure.type}: {failure.message}\n{note(found)}")
    names: dict[str, int] = {}
    for side, patterns, notes in (
        ("input", before, [each for each in found.inputs if each.kind == "input"]),
        ("output", after, found.outputs),
    ):
        if len(patterns) != len(notes):
            shapes = ", ".join(shape_text(each.shape) for each in notes) or "none"
            raise AssertionError(
                f"{pattern!r} names {len(patterns)} {side} tensor{'s' * (len(patterns) != 1)}, and "
                f"there {'is' if len(notes) == 1 else 'are'} {len(notes)}: {shapes}."
            )
        for dims, each in zip(patterns, notes, strict=True):
            name = each.name if len(notes) > 1 or side == "input" else ""
            _compare(f"{side} {name}".strip(), dims, each.shape, names)
    return names


def parsed(pattern: object) -> tuple[list[list[str]], list[list[str]]]:
    """The dimensions of each tensor before the arrow, and behind it.

    Raises:
        ValueError: it is no pattern, which the message says in one sentence.
    """
    if not isinstance(pattern, str) or pattern.count("->") != 1:
        raise ValueError(f'{pattern!r} is no pattern: write one such as "B C H W -> B N".')
    sides = [
        [part.split() for part in side.split(",")] if side.strip() else []
        for side in pattern.split("->")
    ]
    for dims in (dims for side in sides for dims in side):
        if dims.count("...") > 1:
            raise ValueError(f"{' '.join(dims)!r} has ... more than once.")
        for dim in dims:
            if dim not in ("...", "_"):
                _tree(dim)
    return sides[0], sides[1]


def _compare(
    subject: str, dims: Sequence[str], shape: tuple[int, ...], names: dict[str, int]
) -> None:
    expected = " ".join(dims) or "no dimension"
    if "..." in dims:
        place = dims.index("...")
        behind = len(dims) - place - 1
        fits = len(shape) >= len(dims) - 1
        pairs = [*zip(dims[:place], shape, strict=False)]
        pairs += zip(dims[place + 1 :], shape[len(shape) - behind :], strict=False)
    else:
        fits = len(shape) == len(dims)
        pairs = [*zip(dims, shape, strict=False)]
    if not fits:
        raise AssertionError(
            f"{subject} {shape_text(shape)} has {len(shape)} dimensions, not those of {expected}."
        )
    for dim, size in pairs:
        if dim == "_":
            continue
        if dim.isidentifier() and dim not in names:
            names[dim] = size
            continue
        wanted = _value(_tree(dim), dim, names)
        if wanted != size:
            equals = "" if dim.isdecimal() else f" = {wanted}"
            raise AssertionError(
                f"{subject} {shape_text(shape)} should be {expected}: {size} where "
                f"{dim}{equals} is expected."
                + (f" ({', '.join(f'{k} = {v}' for k, v in names.items())})" if names else "")
            )


def _tree(dim: str) -> ast.expr:
    try:
        return syntax.parsed(dim, "eval").body
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{dim!r} is no dimension: write a number, a name, or H//2.") from error


def _value(tree: ast.expr, dim: str, names: dict[str, int]) -> int:
    if isinstance(tree, ast.Constant) and type(tree.value) is int:
        return tree.value
    if isinstance(tree, ast.Name):
        if tree.id not in names:
            raise ValueError(f"{tree.id} in {dim} has no size: it must stand alone before.")
        return names[tree.id]
    if isinstance(tree, ast.BinOp) and type(tree.op) in _OPERATIONS:
        left, right = (_value(each, dim, names) for each in (tree.left, tree.right))
        if right == 0 and isinstance(tree.op, ast.FloorDiv | ast.Mod):
            raise ValueError(f"{dim} divides by zero.")
        return _OPERATIONS[type(tree.op)](left, right)
    raise ValueError(f"{dim!r} is no dimension: write a number, a name, or H//2.")
