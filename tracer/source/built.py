"""Which call built which layer: from a live module to the expression in some `__init__`."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType

import torch
from torch import nn

from tracer.document import Edit
from tracer.source.sites import SourceReader
from tracer.source.text import Text, called, definition, given, text_of

TORCH = str(Path(torch.__file__).parent) + "/"
OWN = str(Path(__file__).parents[1]) + "/"
"""This package, which calls what it records and builds anew what it is given."""


Calls = Sequence[tuple[CodeType, int, nn.Module | None]]
"""The calls that led to a module, the innermost first: a frame's code and instruction, and the
module whose method or constructor it runs."""

seen: list[Callable[[nn.Module], Calls]] = []
"""What has watched modules being constructed is asked first; it knows none, or all calls."""


@dataclass(frozen=True)
class Built:
    """The call that made a module: `self.fc = nn.Linear(400, 120)`.  `path` is the module's,
    `owner` the path of the module in whose `__init__` it is written."""

    path: str
    owner: str
    text: Text
    call: ast.Call
    type: type
    within: ast.Call | None = None  # the nn.Sequential it is an item of
    # The calls of helper functions that led there from `__init__`, the innermost first.
    via: tuple[ast.Call, ...] = ()

    def parameters(self) -> list[str]:
        return parameters_of(self.type)

    def given(self, name: str) -> ast.expr | None:
        names = self.parameters()
        return given(self.call, name, names.index(name) if name in names else None)

    def edit(self, name: str, value: str) -> Edit:
        names = self.parameters()
        return self.text.argument(
            self.call, name, names.index(name) if name in names else None, value
        )


_RECURRENT = "input_size hidden_size num_layers bias batch_first dropout bidirectional proj_size"


def parameters_of(cls: type) -> list[str]:
    """The names of a constructor's arguments, in order."""
    names = [name for name in _signature(cls) if name != "self"]
    if issubclass(cls, nn.RNNBase) and "input_size" not in names:
        # torch writes these constructors with *args.
        names = _RECURRENT.split()
        if issubclass(cls, nn.RNN):
            names.insert(3, "nonlinearity")
    return names


def _signature(of: type) -> dict[str, inspect.Parameter]:
    # What torch has is asked for again and again, and does not change.
    return _torchs_signature(of) if of.__module__.startswith("torch.") else _read_signature(of)


def _read_signature(of: type) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(of).parameters)
    except (ValueError, TypeError):
        return {}


_torchs_signature = functools.lru_cache(maxsize=500)(_read_signature)


def of_user(file: str) -> bool:
    return bool(file) and not file.startswith((TORCH, OWN)) and "site-packages" not in file


def initialisers(module: nn.Module) -> Iterator[tuple[Text, ast.FunctionDef]]:
    """The `__init__` functions that made a module, its own class first, where their text is known.
    Those of torch are left out."""
    for cls in type(module).__mro__:
        function = inspect.unwrap(vars(cls).get("__init__", cls))
        if isinstance(function, FunctionType) and of_user(function.__code__.co_filename):
            found = definition(function)
            if found is not None and isinstance(found[1], ast.FunctionDef):
                yield found[0], found[1]


def constructor(model: nn.Module, path: str) -> Built | None:
    """The call in some `__init__` that made the module at `path`, as it was seen, or else as the
    text lets it be found; None when it cannot be told."""
    try:
        module = model.get_submodule(path)
    except AttributeError:
        return None
    watched = _watched(model, path, module)
    if watched is not None:
        return watched
    parts = path.split(".") if path else []
    for depth in range(len(parts) - 1, -1, -1):
        owner = ".".join(parts[:depth])
        for text, function in initialisers(model.get_submodule(owner)):
            search = _Search(text, function, type(module).__name__, _class_of(text, function))
            for number, (call, within) in enumerate(search.attribute(parts[depth:])):
                via = tuple(reversed(search.helpers))
                built = Built(path, owner, text, call, type(module), within, via)
                if _agrees(built, module):
                    return built
                if number > 50:
                    break
    return None


def _watched(model: nn.Module, path: str, module: nn.Module) -> Built | None:
    """The call that was seen to make a module, and whose constructor above it that belongs to."""
    reader = SourceReader()
    parts = path.split(".")
    above = [".".join(parts[:depth]) for depth in range(len(parts) - 1, -1, -1)]
    calls: list[tuple[Text, ast.Call]] = []
    for code, instruction, owner in next((found for each in seen if (found := each(module))), ()):
        text = text_of(code.co_filename)
        node = text.at(reader.site(code, instruction).place.span) if text is not None else None
        if text is None or not isinstance(node, ast.Call):
            return None
        calls.append((text, node))
        own = next((p for p in above if model.get_submodule(p) is owner), None)
        if own is not None:
            (text, call), *helpers = calls
            via = tuple(each for _, each in helpers)
            return Built(path, own, text, call, type(module), _within(text, call), via)
        if owner is not None:
            return None
    return None


def _within(text: Text, call: ast.Call) -> ast.Call | None:
    """The call that a call is an item of."""
    above = text.parents.get(call)
    return above if isinstance(above, ast.Call) and call in above.args else None


def _agrees(built: Built, module: nn.Module) -> bool:
    """The numbers that are written are those that the module has."""
    for name in built.parameters():
        node = built.given(name)
        if isinstance(node, ast.Constant) and type(node.value) is int:
            live = getattr(module, name, node.value)
            if type(live) is int and live != node.value:
                return False
    return True


def parameter(model: nn.Module, path: str) -> tuple[Text, ast.expr] | None:
    """The expression that `__init__` assigns to a parameter or buffer: `self.pos = <this>`."""
    owner, _, name = path.rpartition(".")
    try:
        module = model.get_submodule(owner)
    except AttributeError:
        return None
    for text, function in initialisers(module):
        for value in assigned_to_self(function, name):
            return text, value
    return None


def default_of(function: ast.FunctionDef, name: str) -> ast.expr | None:
    """The default that a function gives to an argument."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    table = dict(zip(reversed(names), reversed(function.args.defaults), strict=False))
    for argument, value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=False):
        if value is not None:
            table[argument.arg] = value
    return table.get(name)


def _class_of(text: Text, function: ast.AST) -> ast.ClassDef | None:
    found = text.parents.get(function)
    return found if isinstance(found, ast.ClassDef) else None


def assigned_to_self(function: ast.AST, name: str) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if _is_self(target, name) and node.value is not None:
                    yield node.value
                elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    for part, value in zip(target.elts, node.value.elts, strict=False):
                        if _is_self(part, name):
                            yield value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("add_module", "register_module", "register_buffer")
            and len(node.args) > 1
            and isinstance(node.args[0], ast.Constant)
            and node.args[0].value == name
        ):
            yield node.args[1]


def _is_self(node: ast.AST, name: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == name
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


_Found = tuple[ast.Call, ast.Call | None]


class _Search:
    """Follows what an `__init__` assigns to `self.NAME` down to the call that made a module."""

    def __init__(
        self, text: Text, function: ast.AST, wanted: str, within: ast.ClassDef | None
    ) -> None:
        self.text = text
        self.function = function
        self.wanted = wanted
        self.within = within
        self.depth = 0
        self.helpers: list[ast.Call] = []

    def attribute(self, parts: list[str]) -> Iterator[_Found]:
        name, rest = parts[0], parts[1:]
        for value in reversed(list(assigned_to_self(self.function, name))):
            yield from self.value(value, rest, self.function, None)
        # class Net(nn.Sequential): super().__init__(nn.Conv2d(...), ...)
        for node in ast.walk(self.function):
            if (
                isinstance(node, ast.Call)
                and called(node) == "__init__"
                and (name.isdigit() or node.args)
            ):
                yield from self.item(node, parts, self.function)
        # self.layers = nn.ModuleList(); self.layers.append(nn.Linear(...))
        if rest and rest[0].isdigit():
            items = [
                node.args[0]
                for node in ast.walk(self.function)
                if isinstance(node, ast.Call)
                and called(node) in ("append", "add_module")
                and isinstance(node.func, ast.Attribute)
                and _is_self(node.func.value, name)
                and node.args
            ]
            for item in items:
                yield from self.value(item, rest[1:], self.function, None)

    def value(
        self, node: ast.expr, rest: list[str], function: ast.AST, within: ast.Call | None
    ) -> Iterator[_Found]:
        self.depth += 1
        if self.depth > 200:
            return
        if isinstance(node, ast.IfExp):
            yield from self.value(node.body, rest, function, within)
            yield from self.value(node.orelse, rest, function, within)
        elif isinstance(node, ast.NamedExpr | ast.Starred):
            yield from self.value(node.value, rest, function, within)
        elif isinstance(node, ast.Name):
            yield from self.name(node.id, rest, function)
        elif isinstance(node, ast.List | ast.Tuple):
            yield from self.pick(list(node.elts), rest, function, None)
        elif isinstance(node, ast.ListComp | ast.GeneratorExp):
            yield from self.value(node.elt, rest[1:], function, None)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if rest and isinstance(key, ast.Constant) and str(key.value) == rest[0]:
                    yield from self.value(value, rest[1:], function, None)
        elif isinstance(node, ast.Call):
            yield from self.call(node, rest, function, within)

    def call(
        self, node: ast.Call, rest: list[str], function: ast.AST, within: ast.Call | None
    ) -> Iterator[_Found]:
        name = called(node)
        if not rest and name == self.wanted:
            yield node, within
        if rest:
            yield from self.item(node, rest, function)
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call):
            yield from self.value(node.func.value, rest, function, within)  # .to(device)
        if name in ("weight_norm", "spectral_norm") and node.args:
            yield from self.value(node.args[0], rest, function, within)
        made = self.helper(node, name)
        if made is not None and made is not function:
            self.helpers.append(node)
            for inner in ast.walk(made):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    yield from self.value(inner.value, rest, made, None)
            self.helpers.pop()

    def item(self, node: ast.Call, rest: list[str], function: ast.AST) -> Iterator[_Found]:
        if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
            argument = node.args[0]
            if isinstance(argument, ast.Call) and called(argument) == "OrderedDict":
                if argument.args and isinstance(argument.args[0], ast.List):
                    for pair in argument.args[0].elts:
                        if (
                            isinstance(pair, ast.Tuple)
                            and isinstance(pair.elts[0], ast.Constant)
                            and str(pair.elts[0].value) == rest[0]
                        ):
                            yield from self.value(pair.elts[1], rest[1:], function, None)
                return
            if not isinstance(argument, ast.Call):
                yield from self.value(argument, rest, function, None)
                return
        yield from self.pick(list(node.args), rest, function, node)

    def pick(
        self, items: list[ast.expr], rest: list[str], function: ast.AST, within: ast.Call | None
    ) -> Iterator[_Found]:
        """The item that `rest[0]` numbers; where a star or a loop hides the count, the items of
        the wanted class, if there is one such expression alone."""
        if not rest or not rest[0].isdigit():
            return
        flat: list[ast.expr] = []
        counted = True
        for item in items:
            inner = item.value if isinstance(item, ast.Starred) else item
            if isinstance(item, ast.Starred):
                if isinstance(inner, ast.Name):
                    elements, known = self.elements(inner.id, function)
                    flat += elements
                    counted = counted and known
                elif isinstance(inner, ast.List):
                    flat += inner.elts
                elif isinstance(inner, ast.ListComp | ast.GeneratorExp):
                    flat.append(inner.elt)
                    counted = False
                else:
                    counted = False
            else:
                flat.append(inner)
                counted = counted and self._once(inner, function)
        number = int(rest[0])
        if counted and number < len(flat):
            yield from self.value(flat[number], rest[1:], function, within)
        elif not counted:
            found = [pair for item in flat for pair in self.value(item, rest[1:], function, within)]
            if len({id(call) for call, _ in found}) == 1:
                yield found[0]

    def name(self, name: str, rest: list[str], function: ast.AST) -> Iterator[_Found]:
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == name for target in node.targets
            ):
                if isinstance(node.value, ast.List):
                    continue
                yield from self.value(node.value, rest, function, None)
        elements, counted = self.elements(name, function)
        if rest and rest[0].isdigit() and elements:
            if counted:
                if int(rest[0]) < len(elements):
                    yield from self.value(elements[int(rest[0])], rest[1:], function, None)
            else:
                found = [
                    pair for item in elements for pair in self.value(item, rest[1:], function, None)
                ]
                if len({id(call) for call, _ in found}) == 1:
                    yield found[0]

    def elements(self, name: str, function: ast.AST) -> tuple[list[ast.expr], bool]:
        """What a list variable is filled with, in order, and whether each item once."""
        found: list[tuple[int, list[ast.expr]]] = []
        once = True
        for node in ast.walk(function):
            values: list[ast.expr] = []
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == name for target in node.targets
            ):
                value = node.value
                if isinstance(value, ast.List):
                    values = list(value.elts)
                elif isinstance(value, ast.ListComp):
                    values, once = [value.elt], False
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                if node.target.id == name and isinstance(node.value, ast.List | ast.Tuple):
                    values = list(node.value.elts)
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == name
                and node.args
            ):
                if node.func.attr == "append":
                    values = [node.args[0]]
                elif node.func.attr == "extend" and isinstance(node.args[0], ast.List | ast.Tuple):
                    values = list(node.args[0].elts)
            if values:
                once = once and self._once(values[0], function)
                found.append((node.lineno, values))  # type: ignore[attr-defined]
        return [item for _, items in sorted(found, key=lambda f: f[0]) for item in items], once

    def _once(self, node: ast.AST, function: ast.AST) -> bool:
        above = self.text.parents.get(node)
        while above is not None and above is not function:
            if isinstance(above, ast.For | ast.While | ast.If | ast.ListComp):
                return False
            above = self.text.parents.get(above)
        return True

    def helper(self, node: ast.Call, name: str) -> ast.AST | None:
        """A function of the same file, or method of the same class, that is called here."""
        method = isinstance(node.func, ast.Attribute)
        body = self.within.body if method and self.within is not None else self.text.tree.body
        for item in body:
            if isinstance(item, ast.FunctionDef) and item.name == name:
                return item
        return None
