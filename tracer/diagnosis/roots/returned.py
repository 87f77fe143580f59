"""Where the values of the failing expression were handed over: the `return`s of the functions that
gave them, and the calls that they were passed in."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import nn

from tracer.diagnosis.roots.places import Search
from tracer.document import Place
from tracer.source.built import assigned_to_self, default_of, of_user
from tracer.source.names import given_to, settled
from tracer.source.text import Text, called, definition, passed, text_of

MOST = 500  # expressions that are looked at
FARTHEST = 5  # functions that a value came out of or was passed into
_INNER = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>", "<lambda>")
_REORDERED = ("reversed", "list", "tuple", "sorted", "iter")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Handed:
    """A statement that handed a value over: the one that says what the function `by` gives back
    (`kind` is `return`), or a `call` that passes it to `by`.  `depth` counts the functions between
    it and the failing expression, `length` the statements of the function that it stands in."""

    place: Place
    module: str
    depth: int
    kind: str
    by: str
    length: int


@dataclass(frozen=True)
class _Here:
    """A function that ran, with what its names stood for as far as that is known, the path of its
    `self`, and the call that led there with where that stands."""

    text: Text
    node: ast.AST | None
    scope: Mapping[str, Any]
    module: str
    function: str
    call: ast.Call | None = None
    above: _Here | None = None


def handed_over(s: Search) -> list[Handed]:
    """The statements that handed over what the failing expression reads, the nearest first."""
    found: dict[tuple[str, int], Handed] = {}
    for each in _Way(s).walk():
        span = each.place.statement_span
        assert span is not None
        found.setdefault((each.place.file, span.line), each)
    return list(found.values())


class _Way:
    def __init__(self, s: Search) -> None:
        self.paths = {id(module): path for path, module in s.crash.model.named_modules()}
        self.heap: list[tuple[int, int, ast.AST, _Here, int | None]] = []
        self.number = count()
        self.seen: set[tuple[ast.AST, int | None]] = set()
        here: _Here | None = None
        span = None
        for frame in s.crash.frames:
            text = text_of(frame.place.file)
            if text is None:
                continue
            names = frame.code.co_name, frame.code.co_qualname
            if here is not None and names[0] in _INNER:
                here = dataclasses.replace(here, scope={**here.scope, **frame.scope})
            else:
                call = here.text.at(span) if here is not None else None
                call = call if isinstance(call, ast.Call) else None
                scope = {**frame.globals, **frame.scope}
                node = text.definition(frame.code)
                here = _Here(text, node, scope, frame.module or "", names[1], call, here)
            span = frame.place.span
        self.began = here
        self.makers = _makers(s)
        self.sized = _sized(s)
        at = here.text.at(s.failure.place.span or span) if here is not None else None
        if here is not None and at is not None:
            self.push(0, at, here)

    def push(self, depth: int, node: ast.AST | None, here: _Here, item: int | None = None) -> None:
        if node is not None and (node, item) not in self.seen and depth <= FARTHEST:
            heappush(self.heap, (depth, next(self.number), node, here, item))

    def walk(self) -> Iterator[Handed]:
        for module in self.makers:
            forward = inspect.unwrap(type(module).forward)
            known = isinstance(forward, FunctionType) and of_user(forward.__code__.co_filename)
            if known and self.began is not None:
                yield from self.returned(0, forward, module, None, self.began, None)
        while self.heap and len(self.seen) < MOST:
            depth, _, node, here, item = heappop(self.heap)
            if (node, item) not in self.seen:
                self.seen.add((node, item))
                yield from self.visit(depth, node, here, item)

    def visit(self, depth: int, node: ast.AST, here: _Here, item: int | None) -> Iterator[Handed]:
        """What an expression, or the item of it that is meant, was made of."""
        if isinstance(node, ast.Tuple | ast.List) and item is not None and item < len(node.elts):
            self.push(depth, node.elts[item], here)
        elif isinstance(node, ast.Name):
            yield from self.name(depth, node, here, item)
        elif isinstance(node, ast.Attribute):
            yield from self.attribute(depth, node, here, item)
        elif isinstance(node, ast.Call):
            yield from self.called(depth, node, here, item)
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.comprehension):
                    self.push(depth, child.iter, here)
                elif isinstance(child, ast.expr | ast.keyword | ast.slice):
                    self.push(depth, child, here)

    # --- names ---

    def name(self, depth: int, node: ast.Name, here: _Here, item: int | None) -> Iterator[Handed]:
        function = here.text.function(node)
        while function is not None:
            found = list(given_to(function, node.id))
            found.sort(key=lambda each: (each[0].lineno > node.lineno, -each[0].lineno))
            for value, position in found:
                self.push(depth, value, here, item if position is None else position)
            if isinstance(function, ast.FunctionDef) and node.id in _arguments(function):
                if function is here.node:
                    yield from self.argument(depth, function, node.id, here, item)
                return
            if found:
                return
            function = here.text.function(function)

    def argument(
        self, depth: int, function: ast.FunctionDef, name: str, here: _Here, item: int | None
    ) -> Iterator[Handed]:
        """What the caller passed for it, else its default."""
        value = _passed(here.call, function, name) if here.call is not None else None
        if value is None or here.above is None or here.call is None:
            self.push(depth, default_of(function, name), here, item)
            return
        yield _handed(here.above, here.call, depth + 1, "call", function.name)
        self.push(depth + 1, value, here.above, item)

    def attribute(
        self, depth: int, node: ast.Attribute, here: _Here, item: int | None
    ) -> Iterator[Handed]:
        """What a property gives, and what the constructor assigned to `self.name`."""
        base = self.value(node.value, here)
        own = inspect.getattr_static(type(base), node.attr, None)
        if isinstance(own, property) and isinstance(own.fget, FunctionType):
            yield from self.returned(depth, own.fget, base, None, here, item)
            return
        if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            self.push(depth, node.value, here, item)
            return
        for cls in type(base).__mro__:
            made = vars(cls).get("__init__")
            found = definition(made) if isinstance(made, FunctionType) else None
            if not isinstance(made, FunctionType) or found is None or not of_user(found[0].file):
                continue
            text, function = found
            inside = self.inside(text, function, inspect.unwrap(made), base, None, here)
            for value in assigned_to_self(function, node.attr):
                self.push(depth + 1, value, inside, item)

    # --- calls ---

    def called(self, depth: int, node: ast.Call, here: _Here, item: int | None) -> Iterator[Handed]:
        if self.paths.get(id(self.value(node.func, here))) in self.sized:
            self.push(depth, node.func, here)
            return
        function, owner = self.function(node.func, here)
        if function is not None:
            yield from self.returned(depth, function, owner, node, here, item)
            return
        name = called(node)
        if item is not None and name == "zip" and item < len(node.args):
            self.push(depth, node.args[item], here)
        elif item is not None and name == "enumerate" and node.args:
            self.push(depth, node.args[0] if item else None, here)
        elif name in _REORDERED and len(node.args) == 1:
            self.push(depth, node.args[0], here, item)
        else:
            for child in (*node.args, *node.keywords, node.func):
                self.push(depth, child, here)

    def returned(
        self,
        depth: int,
        function: FunctionType,
        owner: object,
        call: ast.Call | None,
        here: _Here,
        item: int | None,
    ) -> Iterator[Handed]:
        """What a function of the author's gives back, or the item of it that is meant."""
        found = definition(function)
        if found is None:
            return
        text, node = found
        inside = self.inside(text, node, inspect.unwrap(function), owner, call, here)
        if isinstance(node, ast.Lambda):
            self.push(depth, node.body, inside, item)
            return
        for each in ast.walk(node):
            if not isinstance(each, ast.Return | ast.Yield) or each.value is None:
                continue
            if text.function(each) is not node:
                continue
            value, inner = each.value, item
            if isinstance(value, ast.Tuple) and item is not None and item < len(value.elts):
                value, inner = value.elts[item], None
            said_in = settled(node, value, each.lineno) or each.value
            if not self.makes_a_module(value, inside):
                yield _handed(inside, said_in, depth + 1, "return", node.name)
            self.push(depth + 1, value, inside, inner)

    def inside(
        self,
        text: Text,
        node: ast.AST,
        function: FunctionType,
        owner: object,
        call: ast.Call | None,
        here: _Here,
    ) -> _Here:
        scope = {**function.__globals__, "self": owner}
        path = self.paths.get(id(owner), here.module)
        return _Here(text, node, scope, path, function.__qualname__, call, here if call else None)

    # --- what is known ---

    def function(self, node: ast.expr, here: _Here) -> tuple[FunctionType | None, object]:
        """The author's function that is called, and its `self`."""
        found = self.value(node, here)
        if isinstance(found, nn.Module):
            found = MethodType(type(found).forward, found)
        elif not isinstance(found, FunctionType | MethodType | type | None):
            inner = vars(type(found)).get("__call__")
            found = MethodType(inner, found) if isinstance(inner, FunctionType) else None
        owner = found.__self__ if isinstance(found, MethodType) else None
        function = found.__func__ if isinstance(found, MethodType) else found
        function = inspect.unwrap(function) if isinstance(function, FunctionType) else None
        if not isinstance(function, FunctionType) or not of_user(function.__code__.co_filename):
            return None, None
        return function, owner

    def makes_a_module(self, node: ast.expr, here: _Here) -> bool:
        """Whether a function builds a module here, which is neither a size nor a tensor."""
        made = self.value(node.func, here) if isinstance(node, ast.Call) else None
        return isinstance(made, type) and issubclass(made, nn.Module)

    def value(self, node: ast.AST | None, here: _Here) -> Any:
        """What an expression stood for; None where that is not known."""
        if isinstance(node, ast.Name):
            if node.id in here.scope:
                return here.scope[node.id]
            function = here.node
            if isinstance(function, ast.FunctionDef) and node.id in _arguments(function):
                return self.value(default_of(function, node.id), here)
        elif isinstance(node, ast.Attribute):
            return _attribute(self.value(node.value, here), node.attr)
        elif isinstance(node, ast.Subscript):
            return _item(self.value(node.value, here), self.value(node.slice, here))
        elif isinstance(node, ast.Constant):
            return node.value
        return None


def _makers(s: Search) -> list[nn.Module]:
    """The modules that returned an operand as it is."""
    ids = {operand.note.id for operand in s.failure.operands}
    paths = [call.module for call in s.trace.calls[1:] if ids & {each.id for each in call.outputs}]
    return [s.crash.model.get_submodule(path) for path in dict.fromkeys(paths)]


def _sized(s: Search) -> set[str]:
    """The layers that gave an operand the size at odds: whatever they are given, it would be the
    same."""
    terms = [term for history in s.failure.histories for term in history.term.walk()]
    made = (part for term in terms if term.step is not None for part in term.parts)
    return {part.module for part in made if part.kind == "layer"} - {s.failure.module, ""}


def _attribute(base: Any, name: str) -> Any:
    """As `getattr` gives it, where that runs nothing."""
    if base is None:
        return None
    if isinstance(base, ModuleType):
        return vars(base).get(name)
    own = getattr(base, "__dict__", {})
    for table in (own, *(own.get(key, {}) for key in ("_modules", "_parameters", "_buffers"))):
        if name in table:
            return table[name]
    found = inspect.getattr_static(type(base), name, None)
    if isinstance(found, staticmethod):
        return found.__func__
    if isinstance(found, FunctionType):
        return MethodType(found, base)
    return found if isinstance(found, type | nn.Module) else None


def _item(base: Any, key: Any) -> Any:
    plain = isinstance(base, list | tuple | dict | nn.ModuleList | nn.ModuleDict | nn.Sequential)
    if not plain or not isinstance(key, int | str):
        return None
    try:
        return base[key]
    except (LookupError, TypeError):
        return None


def _arguments(function: ast.FunctionDef) -> list[str]:
    of = function.args
    names = [each.arg for each in (*of.posonlyargs, *of.args, *of.kwonlyargs)]
    return names + [each.arg for each in (of.vararg, of.kwarg) if each is not None]


def _passed(call: ast.Call, function: ast.FunctionDef, name: str) -> ast.expr | None:
    """What a call has for an argument, `*values` where it stands in these."""
    of = function.args
    names = [each.arg for each in (*of.posonlyargs, *of.args)]
    if names[:1] in (["self"], ["cls"]):
        names = names[1:]
    position = names.index(name) if name in names else len(names)
    return passed(call, name, position)


def _handed(here: _Here, node: ast.expr, depth: int, kind: str, by: str) -> Handed:
    statement = here.text.statement(node)
    assert statement is not None
    place = here.text.place(node, statement, here.function)
    function = here.text.function(node)
    inside = ast.walk(function) if function is not None else ()
    length = sum(isinstance(each, ast.stmt) for each in inside) - 1
    return Handed(place, here.module, depth, kind, by, length)
