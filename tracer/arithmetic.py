"""What a formula of sizes is worth, worked out exactly from its text."""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from tracer.syntax import parsed

_LONGEST = 2000
_DEEPEST = 60
_LARGEST_POWER = 12

_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_AS_PYTHON = {
    "·": "*",
    "−": "-",
    "⌊": "floor(",
    "⌋": ")",
    "⌈": "ceil(",
    "⌉": ")",
    **{digit: f"**{number}" for number, digit in enumerate(_RAISED)},
}
_FUNCTIONS: dict[str, Callable[..., Fraction]] = {
    "floor": lambda x: Fraction(math.floor(x)),
    "ceil": lambda x: Fraction(math.ceil(x)),
    "max": max,
    "min": min,
}
_OPERATORS: dict[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Mod: lambda a, b: a % b,
}


def value(formula: str, sizes: Mapping[str, int]) -> Fraction:
    """The exact value of a formula's text, as `Formula.text` is written.

    Raises:
        ValueError: it is no such formula, or has a name without a size.
    """
    tree = _tree(formula)

    def of(node: ast.AST, depth: int) -> Fraction:
        if depth > _DEEPEST:
            raise ValueError("The formula is nested too deeply.")
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return Fraction(node.value)
        if isinstance(node, ast.Name) and node.id in sizes:
            return Fraction(sizes[node.id])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -of(node.operand, depth + 1)
        if isinstance(node, ast.BinOp):
            left, right = of(node.left, depth + 1), of(node.right, depth + 1)
            if isinstance(node.op, ast.Pow) and 0 <= right <= _LARGEST_POWER:
                return left ** int(right)
            if type(node.op) in _OPERATORS:
                return _OPERATORS[type(node.op)](left, right)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            function = _FUNCTIONS.get(node.func.id)
            if function is not None and node.args:
                return function(*(of(arg, depth + 1) for arg in node.args))
        raise ValueError(f"{formula} is no formula of sizes.")

    try:
        return of(tree.body, 0)
    except (ZeroDivisionError, TypeError) as error:
        raise ValueError(f"The formula {formula} has no value here.") from error


@functools.lru_cache(maxsize=2048)
def _tree(formula: str) -> ast.Expression:
    if len(formula) > _LONGEST:
        raise ValueError("The formula is too long to be read.")
    text = "".join(_AS_PYTHON.get(letter, letter) for letter in formula).replace(" mod ", " % ")
    try:
        return parsed(text, "eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{formula} is no formula of sizes.") from error
