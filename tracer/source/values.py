"""What an expression of the source is worth, found without running anybody's code: numbers, names,
attributes, items, arithmetic, and the few functions that numbers are worked out with."""

from __future__ import annotations

import ast
import inspect
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any


class Unknown(Exception):  # noqa: N818 - says what is the case
    """The expression cannot be worked out from what is known."""


_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (len, sum, min, max, int, float, bool, abs, round, range, list)},
    **{f.__name__: f for f in (tuple, dict, sorted, reversed, zip, enumerate, pow, divmod)},
    **{f.__name__: f for f in (math.prod, math.ceil, math.floor, math.sqrt, math.gcd)},
}
_METHODS = {dict: ("get", "keys", "values", "items"), list: ("index", "count"), str: ("lower",)}
_NUMBERS = (int, float, str, bool, tuple, list, type(None))
_LARGEST = 10**18
_MOST_ITEMS = 10_000


def value_of(
    node: ast.expr, scope: Mapping[str, Any], names: Mapping[str, Any] | None = None
) -> Any:
    """What `node` is worth where names are those of `scope`, then those of `names`.

    Raises:
        Unknown: it calls what is not known to be harmless, or uses a name that has no value here.
    """
    try:
        return _Reading(scope, names or {}).value(node)
    except Unknown:
        raise
    except Exception as error:
        raise Unknown(str(error)) from error


class _Reading:
    def __init__(self, scope: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        self.scope = scope
        self.names = names

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self.name(node.id)
            case ast.Attribute():
                return attribute(self.value(node.value), node.attr)
            case ast.Subscript(slice=ast.Slice(lower=a, upper=b, step=c)):
                parts = [None if each is None else self.value(each) for each in (a, b, c)]
                return self.value(node.value)[slice(*parts)]
            case ast.Subscript():
                return self.value(node.value)[self.value(node.slice)]
            case ast.Tuple():
                return tuple(self.items(node.elts))
            case ast.List():
                return self.items(node.elts)
            case ast.Dict():
                return {
                    self.value(key): self.value(value)
                    for key, value in zip(node.keys, node.values, strict=True)
                    if key is not None
                }
            case ast.BinOp() if type(node.op) in _BINARY:
                return self.binary(node)
            case ast.UnaryOp() if type(node.op) in _UNARY:
                return _UNARY[type(node.op)](self.value(node.operand))
            case ast.BoolOp():
                found: Any = None
                for each in node.values:
                    found = self.value(each)
                    if bool(found) is isinstance(node.op, ast.Or):
                        break
                return found
            case ast.Compare(ops=[op]) if type(op) in _COMPARE:
                left, right = self.value(node.left), self.value(node.comparators[0])
                return _COMPARE[type(op)](left, right)
            case ast.IfExp():
                return self.value(node.body if self.value(node.test) else node.orelse)
            case ast.Call():
                return self.call(node)
            case ast.ListComp(generators=[one]) | ast.GeneratorExp(generators=[one]):
                return self.each(node.elt, one)
            case ast.JoinedStr():
                return "".join(str(self.value(each)) for each in node.values)
            case ast.FormattedValue(conversion=-1, format_spec=None):
                return self.value(node.value)
        raise Unknown(type(node).__name__)

    def name(self, name: str) -> Any:
        for table in (self.scope, self.names):
            if name in table:
                return table[name]
        raise Unknown(name)

    def items(self, nodes: list[ast.expr]) -> list[Any]:
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                found += list(self.value(node.value))[:_MOST_ITEMS]
            else:
                found.append(self.value(node))
        return found

    def binary(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if not isinstance(left, _NUMBERS) or not isinstance(right, _NUMBERS):
            raise Unknown("arithmetic of objects")
        if isinstance(node.op, ast.Pow | ast.LShift) and not (
            isinstance(right, int | float) and abs(right) <= 64
        ):
            raise Unknown("a large power")
        found = _BINARY[type(node.op)](left, right)
        if isinstance(found, int | float) and abs(found) > _LARGEST:
            raise Unknown("a large number")
        return found

    def call(self, node: ast.Call) -> Any:
        arguments = [self.value(each) for each in node.args]
        keywords = {each.arg: self.value(each.value) for each in node.keywords if each.arg}
        if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            function = FUNCTIONS[node.func.id]
            named = node.func.id in self.scope or node.func.id in self.names
            if named and self.name(node.func.id) is not function:
                raise Unknown(node.func.id)
            return function(*arguments, **keywords)
        if isinstance(node.func, ast.Attribute):
            home = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if home in ("math", "np") and node.func.attr in FUNCTIONS:
                return FUNCTIONS[node.func.attr](*arguments, **keywords)
            owner = self.value(node.func.value)
            for kind, methods in _METHODS.items():
                if isinstance(owner, kind) and node.func.attr in methods:
                    return getattr(owner, node.func.attr)(*arguments, **keywords)
        raise Unknown("a call")

    def each(self, element: ast.expr, one: ast.comprehension) -> list[Any]:
        found: list[Any] = []
        for item in list(self.value(one.iter))[:_MOST_ITEMS]:
            inner = _Reading({**self.scope, **unpacked(one.target, item)}, self.names)
            if all(inner.value(test) for test in one.ifs):
                found.append(inner.value(element))
        return found


def unpacked(target: ast.expr, value: Any) -> dict[str, Any]:
    """The names that `target = value` gives.

    Raises:
        Unknown: it assigns to something else than names.
    """
    if isinstance(target, ast.Name):
        return {target.id: value}
    if isinstance(target, ast.Tuple | ast.List):
        parts = list(value)
        if len(parts) == len(target.elts):
            found: dict[str, Any] = {}
            for each, part in zip(target.elts, parts, strict=True):
                found |= unpacked(each, part)
            return found
    raise Unknown("what is assigned to")


def attribute(owner: Any, name: str) -> Any:
    """`owner.name` where that runs no code of anybody's.

    Raises:
        Unknown: it is a property, or not there.
    """
    found = inspect.getattr_static(owner, name, Unknown)
    if found is Unknown and isinstance(owner, Mapping) and name in owner:
        return owner[name]
    if found is Unknown:
        # Parameters, buffers and submodules of a module.
        for table in ("_modules", "_parameters", "_buffers"):
            held = getattr(owner, "__dict__", {}).get(table)
            if isinstance(held, dict) and name in held:
                return held[name]
        raise Unknown(name)
    if isinstance(found, property) or (
        hasattr(type(found), "__get__") and not isinstance(found, int | float | str | tuple)
    ):
        if type(owner).__module__.startswith("torch"):
            return getattr(owner, name)
        if type(found).__name__ in ("member_descriptor", "_tuplegetter", "getset_descriptor"):
            return getattr(owner, name)
        if not isinstance(found, property):
            return getattr(owner, name)
        raise Unknown(f"{name} is a property")
    return found
