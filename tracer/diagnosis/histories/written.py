"""Numbers as they are written: an expression in a constructor, unfolded over names, attributes,
configs and the calls that led there, to what somebody typed."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from tracer.diagnosis.rebuild import guessed, local_numbers
from tracer.document import Place, Term
from tracer.record.crash import Construction, Crash, Frame
from tracer.source.built import assigned_to_self, default_of, parameters_of
from tracer.source.names import settled
from tracer.source.text import Extent, Text, called, extent_of, first_line, given, text_of
from tracer.source.values import Unknown, value_of

_DEEPEST = 14
_LISTS = (ast.List, ast.Tuple, ast.Dict, ast.ListComp, ast.Set)
_SIGNS: dict[type, str] = {ast.Add: "sum", ast.Mult: "product"}
_LOOPS = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)

_COPIES = ("dict", "copy", "deepcopy", "OrderedDict", "SimpleNamespace", "Namespace")
_REORDERED = ("reversed", "list", "tuple", "sorted", "iter")

Frames = tuple[Frame, ...]
"""Where an expression stands: the last of these frames, which the others led to."""


@dataclass(frozen=True)
class Written:
    """An expression in a frame."""

    node: ast.expr
    frames: Frames
    text: Text
    loose: bool = False  # one of its items is meant, and which is not known

    @property
    def frame(self) -> Frame:
        return self.frames[-1]

    def value(self) -> Any:
        """
        Raises:
            Unknown: it cannot be worked out.
        """
        return value_of(self.node, self.frame.scope, self.frame.globals)

    def number(self) -> int | None:
        """Its value where that is a whole number."""
        try:
            found = self.value()
        except Unknown:
            return None
        if isinstance(found, tuple | list) and len(set(map(str, found))) == 1:
            found = found[0]  # kernel_size=(3, 3)
        if isinstance(found, float) and found.is_integer():
            return int(found)
        return found if type(found) is int else None

    def to(self, node: ast.expr) -> Written:
        return Written(node, self.frames, self.text)

    def place(self) -> Place:
        statement = self.text.statement(self.node) or self.text.statement_at(extent_of(self.node))
        assert statement is not None
        place = self.text.place(self.node, statement, self.frame.code.co_qualname)
        default = _default_around(self.node, self.text)
        if default is not None:
            # Of a whole header `width=64` alone.
            span = self.text.span(default)
            text = self.text.of(default)
            return dataclasses.replace(place, statement=text, statement_span=span)
        return place


class Numbers:
    """Unfolds expressions of one failed run's constructors."""

    def __init__(self, crash: Crash) -> None:
        self.crash = crash
        self.guesses: dict[str, Construction | None] = {}

    def construction(self, path: str) -> Construction | None:
        """How a module was constructed, as it was noted, else as it can be guessed."""
        found = self.crash.constructions.get(path)
        if found is None and path not in self.guesses:
            self.guesses[path] = guessed(self.crash.model, path)
        return found or self.guesses.get(path)

    # --- terms ---

    def term(self, here: Written, depth: int = 0) -> Term:
        """Where an expression's value comes from."""
        node, value = here.node, here.number()
        if depth > _DEEPEST:
            return self.leaf("written", here, value)
        if isinstance(node, ast.IfExp):
            try:
                test = here.to(node.test).value()
            except Unknown:
                return self.leaf("written", here, value)
            return self.term(here.to(node.body if test else node.orelse), depth)
        if isinstance(node, ast.Constant | ast.List | ast.Tuple | ast.Dict) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)
        ):
            return self.leaf("number", here, value)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            return self.leaf("written", here, value, (self.term(here.to(node.value), depth + 1),))
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
            found = self.unpacked(here) or self.defined(here)
            if found is None or _same(found, here):
                return self.leaf("name", here, value)
            inner = self.term(found, depth + 1)
            if inner.value is None and value is not None:
                return self.leaf("name", here, value, (inner,))
            if value is None:  # a name of a helper that has returned
                value = inner.value
            return self.leaf("name", here, value, (inner,) if inner.value == value else ())
        if isinstance(node, ast.BinOp):
            kind = _SIGNS.get(type(node.op), "written")
            parts = tuple(self.term(each, depth + 1) for each in self.operands(here))
            return self.leaf(kind, here, value, parts)
        if isinstance(node, ast.UnaryOp):
            return self.leaf("name", here, value, (self.term(here.to(node.operand), depth + 1),))
        if isinstance(node, ast.Call) and called(node) == "len" and len(node.args) == 1:
            of = self.term(here.to(node.args[0]), depth + 1)
            return self.leaf("count", here, value, (of,))
        if isinstance(node, ast.Call):
            given_to = [self.term(here.to(each), depth + 1) for each in node.args[:4]]
            parts = tuple(each for each in given_to if each.kind != "written")
            return self.leaf("written", here, value, (*parts, *self.worked_out(here, depth)))
        return self.leaf("written", here, value)

    def worked_out(self, here: Written, depth: int) -> Iterator[Term]:
        """Where a function of the author's works a number out: its `return`, and those of the
        functions that it calls in turn."""
        for each in self.returns(here) if depth < _DEEPEST else ():
            function = each.text.function(each.node)
            made = settled(function, each.node, each.node.lineno)
            calls = [each.to(node) for node in ast.walk(function) if isinstance(node, ast.Call)]
            inner = [call for call in calls if self.function(call) is not None]
            parts = [part for call in inner[:1] for part in self.worked_out(call, depth + 4)]
            yield self.leaf("written", each if made is None else each.to(made), None, tuple(parts))

    def leaf(
        self, kind: str, here: Written, value: int | None, parts: tuple[Term, ...] = ()
    ) -> Term:
        text = " ".join(here.text.of(here.node).split())
        place = here.place()
        return Term(kind, value, text, place, here.frame.module or "", None, parts)

    def operands(self, here: Written) -> Iterator[Written]:
        """Those of a sum or product, however it is put together; the two of another operation."""
        node = here.node
        assert isinstance(node, ast.BinOp)
        for side in (node.left, node.right):
            same = isinstance(side, ast.BinOp) and type(side.op) is type(node.op)
            if same and type(node.op) in _SIGNS:
                yield from self.operands(here.to(side))
            else:
                yield here.to(side)

    # --- what a name stands for ---

    def unpacked(self, here: Written) -> Written | None:
        """Of a target in `layer, size = made(config)` what the function gives back for it."""
        target, statement = here.text.parents.get(here.node), here.text.statement(here.node)
        if not isinstance(target, ast.Tuple) or not isinstance(statement, ast.Assign):
            return None
        if target not in statement.targets or not isinstance(statement.value, ast.Call):
            return None
        position, wanted = target.elts.index(here.node), here.number()
        for each in self.returns(here.to(statement.value)):
            if isinstance(each.node, ast.Tuple) and len(each.node.elts) == len(target.elts):
                found = each.to(each.node.elts[position])
                if wanted is None or found.number() in (wanted, None):
                    return found
        return None

    def followed(self, here: Written) -> Written:
        """The expression that is no name any more."""
        for _ in range(_DEEPEST):
            if not isinstance(here.node, ast.Name | ast.Attribute | ast.Subscript):
                break
            found = self.defined(here)
            if found is None or _same(found, here):
                break
            here = found
        return here

    def defined(self, here: Written) -> Written | None:
        """The expression that gave a name, an attribute or an item its value."""
        node = here.node
        if isinstance(node, ast.Name):
            return self.name(here, node.id)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                return self.of_self(here, node.attr)
            return self.member(self.followed(here.to(node.value)), node.attr, here)
        if isinstance(node, ast.Subscript):
            base = here.to(node.value)
            try:
                key = here.to(node.slice).value()
            except Unknown:
                return None
            if isinstance(key, int | str):
                return self.member(self.followed(base), key, here)
        return None

    def name(self, here: Written, name: str) -> Written | None:
        function = here.text.definition(here.frame.code)
        bound = _looped(here, name)
        if bound is not None:
            return self.item(bound, here)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for value in _assignments(function, name, here):
                found = here.to(value)
                if value is here.node:
                    return None
                number = found.number()
                worked_out = number is None and any(
                    isinstance(n, ast.Call) for n in ast.walk(value)
                )
                if number == here.number() or worked_out:
                    return found
            arguments = function.args
            names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
            if name in names or name in [a.arg for a in arguments.kwonlyargs]:
                return self.argument(here, function, names, name)
        if name not in here.frame.scope or here.frame.code.co_name == "<module>":
            for value in reversed(list(_assigned(here.text.tree, name))):
                code = compile("", here.text.file, "exec")
                module = Frame(code, here.frame.place, {}, None, here.frame.globals)
                return Written(value, (module,), here.text)
        return None

    def argument(self, here: Written, function: Any, names: list[str], name: str) -> Written | None:
        """What the caller passed for a parameter, else its default."""
        above = here.frames[:-1]
        method = isinstance(here.text.parents.get(function), ast.ClassDef)
        if above:
            text = text_of(above[-1].code.co_filename)
            call = text.at(above[-1].place.span) if text is not None else None
            if text is not None and isinstance(call, ast.Call):
                passed = names[1:] if method else names
                position = passed.index(name) if name in passed else None
                value = given(call, name, position)
                if value is not None:
                    return Written(value, above, text)
                spread = self.spread(Written(call, above, text), name, position)
                if spread is not None:
                    return spread
        default = default_of(function, name)
        return Written(default, here.frames, here.text) if default is not None else None

    def spread(self, call: Written, name: str, position: int | None) -> Written | None:
        """An argument that stands in `**options` or `*sizes`."""
        assert isinstance(call.node, ast.Call)
        for keyword in call.node.keywords:
            if keyword.arg is None:
                found = self.member(self.followed(call.to(keyword.value)), name, call)
                if found is not None:
                    return found
        for index, each in enumerate(call.node.args):
            if isinstance(each, ast.Starred) and position is not None and position >= index:
                items = self.followed(call.to(each.value))
                if isinstance(items.node, ast.Call):
                    return call.to(each.value)
                return self.member(items, position - index, call)
        return None

    def of_self(self, here: Written, name: str) -> Written | None:
        """`self.name`: what the constructor assigned to it."""
        path = here.frame.module
        if path is None:
            return None
        for frames, text, function in self.initialisers(path):
            for value in reversed(list(assigned_to_self(function, name))):
                return Written(value, frames, text)
        return None

    def initialisers(self, path: str) -> Iterator[tuple[Frames, Text, ast.FunctionDef]]:
        """The constructors of a module as frames: their names as they were when they made a layer,
        else their arguments."""
        made = self.construction(path)
        module = self.crash.model.get_submodule(path)
        for cls in (made.cls if made is not None else type(module)).__mro__:
            function = inspect.unwrap(vars(cls).get("__init__", cls))
            if not isinstance(function, FunctionType) or cls.__module__.startswith("torch."):
                continue
            text = text_of(function.__code__.co_filename)
            node = text.definition(function.__code__) if text is not None else None
            if text is not None and isinstance(node, ast.FunctionDef):
                frames = self.inside(made, path, function, node)
                if frames:
                    yield frames, text, node

    def inside(
        self, made: Construction | None, path: str, function: FunctionType, node: ast.FunctionDef
    ) -> Frames:
        prefix = f"{path}." if path else ""
        for other in self.crash.constructions:
            if other.startswith(prefix) and other != path:
                inner = self.crash.constructions[other].frames
                for position, frame in enumerate(inner):
                    if frame.code is function.__code__ and frame.module == path:
                        return inner[: position + 1]
        line = first_line(function.__code__)
        if line is None:
            return ()
        if made is None or not made.exact:
            scope: dict[str, Any] = dict(local_numbers(self.crash.model, path, node))
        else:
            names = list(inspect.signature(function).parameters.values())[1:]
            defaults = {p.name: p.default for p in names if p.default is not p.empty}
            given_to = {p.name: value for p, value in zip(names, made.args, strict=False)}
            scope = {**defaults, **given_to, **made.kwargs}
        frames = made.frames if made is not None else ()
        return (*frames, Frame(function.__code__, line, scope, path, function.__globals__))

    # --- configs and lists ---

    def member(self, base: Written, key: int | str, asked: Written) -> Written | None:
        """The expression that stands for an item or attribute in what `base` constructs."""
        node = base.node
        if base.loose:
            return None
        if isinstance(node, ast.Dict):
            for each, value in zip(node.keys, node.values, strict=True):
                if isinstance(each, ast.Constant) and each.value == key:
                    return base.to(value)
                if each is None:
                    found = self.member(self.followed(base.to(value)), key, asked)
                    if found is not None:
                        return found
        if isinstance(node, ast.List | ast.Tuple) and isinstance(key, int):
            spread = any(isinstance(each, ast.Starred) for each in node.elts)
            inside = -len(node.elts) <= key < len(node.elts) and not spread
            return base.to(node.elts[key]) if inside else None
        if isinstance(node, ast.Call):
            return self.constructed(base, node, key, asked)
        return None

    def constructed(
        self, base: Written, call: ast.Call, key: int | str, asked: Written
    ) -> Written | None:
        """`Config(width=64)`, `dict(width=64)`, a function that returns one of these."""
        for keyword in call.keywords:
            if keyword.arg == key:
                return base.to(keyword.value)
        for keyword in call.keywords:
            if keyword.arg is None:
                found = self.member(self.followed(base.to(keyword.value)), key, asked)
                if found is not None:
                    return found
        if called(call) in _COPIES:
            owner = call.func.value if isinstance(call.func, ast.Attribute) else None
            copied = call.args[0] if call.args else owner
            if copied is not None:
                return self.member(self.followed(base.to(copied)), key, asked)
        try:
            made = value_of(call.func, base.frame.scope, base.frame.globals)
        except Unknown:
            return None
        if isinstance(made, type) and isinstance(key, str) and not issubclass(made, dict):
            return self.field(base, call, made, key)
        if isinstance(made, FunctionType):
            return self.returned(base, made, key, asked)
        return None

    def field(self, base: Written, call: ast.Call, cls: type, key: str) -> Written | None:
        names = parameters_of(cls)
        if key in names and names.index(key) < len(call.args):
            return base.to(call.args[names.index(key)])
        for each in cls.__mro__:
            text, node = _class(each, base)
            if text is None or node is None:
                continue
            for value in _assigned(node, key):
                if isinstance(value, ast.Call) and called(value) == "field":
                    value = given(value, "default") or _factory(value)
                return Written(value, base.frames, text)
            init = vars(each).get("__init__")
            if isinstance(init, FunctionType):
                function = text.definition(init.__code__)
                for value in assigned_to_self(function, key) if function is not None else ():
                    frame = Frame(init.__code__, base.place(), {}, None, init.__globals__)
                    above = (*base.frames[:-1], _calling(base.frame, base.place()))
                    return Written(value, (*above, frame), text)
        return None

    def returned(
        self, base: Written, function: FunctionType, key: int | str, asked: Written
    ) -> Written | None:
        """What a function of the author's returns for a key or position, where one of its returns
        has the value."""
        wanted = _value(asked)
        for each in self.returns(base, function):
            found = self.member(self.followed(each), key, asked)
            if found is not None and (wanted is Unknown or _value(found) in (wanted, Unknown)):
                return found
        return None

    def returns(self, base: Written, function: FunctionType | None = None) -> Iterator[Written]:
        """What a call of a function of the author's gives back, as its `return`s have it."""
        if function is None and isinstance(base.node, ast.Call):
            function = self.function(base)
        text = text_of(function.__code__.co_filename) if function is not None else None
        node = text.definition(function.__code__) if function is not None and text else None
        if function is None or text is None or node is None:
            return
        frame = Frame(function.__code__, base.place(), {}, None, function.__globals__)
        above = (*base.frames[:-1], _calling(base.frame, base.place()))
        for each in ast.walk(node):
            if isinstance(each, ast.Return) and each.value is not None:
                yield Written(each.value, (*above, frame), text)

    def function(self, base: Written) -> FunctionType | None:
        """The author's function that a call calls; None of anything else."""
        assert isinstance(base.node, ast.Call)
        name = base.to(base.node.func)
        found = _value(name)
        if found is Unknown:
            found = self.method(name)
        if found is Unknown and isinstance(name.node, ast.Name):
            found = _value(self.followed(name))  # a function that is an argument
        found = getattr(found, "__func__", found)
        if not isinstance(found, FunctionType):
            return None
        package = (found.__module__ or "").partition(".")[0]
        return None if package == "torch" or package in sys.stdlib_module_names else found

    def method(self, here: Written) -> Any:
        """`self.name` where the class has it."""
        node, path = here.node, here.frame.module
        own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if not own or path is None or not isinstance(node, ast.Attribute):
            return Unknown
        assert isinstance(node.value, ast.Name)
        if node.value.id != "self":
            return Unknown
        cls = type(self.crash.model.get_submodule(path))
        return inspect.getattr_static(cls, node.attr, Unknown)

    def item(self, bound: tuple[ast.expr, ast.expr], here: Written) -> Written | None:
        """What a loop's name is an item of: the item where it can be told, else the list."""
        target, over = bound
        assert isinstance(here.node, ast.Name)
        while isinstance(over, ast.Call) and called(over) in _REORDERED and over.args:
            over = over.args[0]
        if isinstance(over, ast.Call) and called(over) in ("enumerate", "zip"):
            if not isinstance(target, ast.Tuple):
                return None
            names = [each.id if isinstance(each, ast.Name) else "" for each in target.elts]
            position = names.index(here.node.id) if here.node.id in names else 0
            position -= called(over) == "enumerate"
            if not 0 <= position < len(over.args):
                return None
            over, target = over.args[position], here.node
        items, wanted = here.to(over), _value(here)
        equal = [
            (each, each.to(part))
            for each in self.elements(items)
            if (part := _part(each.node, target, here.node.id)) is not None
            and _value(each.to(part)) == wanted
        ]
        if len(equal) > 1:  # rows that differ in what the loop's other names stand for
            equal = [pair for pair in equal if _fits(pair[0], target, here)]
        if len(equal) == 1:
            return equal[0][1]
        items = self.followed(items)
        return Written(items.node, items.frames, items.text, True)

    def elements(self, items: Written, depth: int = 0) -> list[Written]:
        """The expressions that stand for the elements of a list, as far as they are written."""
        items = self.followed(items)
        node = items.node
        if depth > 4:
            return []
        if isinstance(node, ast.List | ast.Tuple):
            return [items.to(each) for each in node.elts]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left = self.elements(items.to(node.left), depth + 1)
            return left + self.elements(items.to(node.right), depth + 1)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            return self.elements(items.to(node.left), depth + 1)
        if isinstance(node, ast.Call) and called(node) in _REORDERED and node.args:
            return self.elements(items.to(node.args[0]), depth + 1)
        if isinstance(node, ast.Call):
            given_back = list(self.returns(items))
            return self.elements(given_back[0], depth + 1) if len(given_back) == 1 else []
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            found = self.elements(items.to(node.value), depth + 1)
            ends = (node.slice.lower, node.slice.upper, node.slice.step)
            try:
                cut = slice(*(None if each is None else items.to(each).value() for each in ends))
            except Unknown:
                return found
            return found[cut]
        return []


def _factory(field: ast.Call) -> ast.expr:
    """`[1, 2]` of `field(default_factory=lambda: [1, 2])`."""
    made = given(field, "default_factory")
    return made.body if isinstance(made, ast.Lambda) else field


def _fits(row: Written, target: ast.expr, here: Written) -> bool:
    """Whether a row of a table is the one that the loop's names stand for."""
    for name in _names(target):
        part = _part(row.node, target, name)
        held = here.frame.scope.get(name, Unknown)
        value = _value(row.to(part)) if part is not None else Unknown
        if value is not Unknown and held is not Unknown and value != held:
            return False
    return True


def _part(item: ast.expr, target: ast.expr, name: str) -> ast.expr | None:
    """What `target = item` gives to a name."""
    return next(_given_to(target, item, name), None)


def _default_around(node: ast.AST, text: Text) -> Extent | None:
    """The extent of `name=default` in a function's header that an expression is part of."""
    above = text.parents.get(node)
    while above is not None and not isinstance(above, ast.arguments | ast.stmt):
        node, above = above, text.parents.get(above)
    if not isinstance(above, ast.arguments):
        return None
    names = [*above.posonlyargs, *above.args]
    pairs = list(zip(reversed(names), reversed(above.defaults), strict=False))
    pairs += [(n, v) for n, v in zip(above.kwonlyargs, above.kw_defaults, strict=True) if v]
    for name, value in pairs:
        if value is node:
            return (*extent_of(name)[:2], *extent_of(value)[2:])
    return None


def _same(left: Written, right: Written) -> bool:
    return left.node is right.node and len(left.frames) == len(right.frames)


def _value(here: Written) -> Any:
    try:
        return here.value()
    except Unknown:
        return Unknown


def _calling(frame: Frame, place: Place) -> Frame:
    return Frame(frame.code, place, frame.scope, frame.module, frame.globals)


def _class(cls: type, base: Written) -> tuple[Text | None, ast.ClassDef | None]:
    """The text of a class of the author's."""
    try:
        file = inspect.getsourcefile(cls)
    except (TypeError, OSError):
        file = None
    for name in (file, base.frame.code.co_filename):
        text = text_of(name) if name else None
        for node in text.nodes if text is not None else ():
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                return text, node
    return None, None


def _looped(here: Written, name: str) -> tuple[ast.expr, ast.expr] | None:
    """The (target, list) of the loop around an expression whose name this is."""
    node: ast.AST | None = here.node
    while node is not None:
        node = here.text.parents.get(node)
        if isinstance(node, ast.For) and name in _names(node.target):
            return node.target, node.iter
        for one in getattr(node, "generators", ()):
            if name in _names(one.target):
                return one.target, one.iter
    return None


def _names(target: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def _assigned(scope: ast.AST, name: str) -> Iterator[ast.expr]:
    """What the statements directly in a module give to a name."""
    for node in getattr(scope, "body", ()):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from _given_to(target, node.value, name)


def _given_to(target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
    if isinstance(target, ast.Name) and target.id == name:
        yield value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for part, each in zip(target.elts, value.elts, strict=False):
            yield from _given_to(part, each, name)
    elif isinstance(target, ast.Tuple):
        for part in target.elts:
            if isinstance(part, ast.Name) and part.id == name:
                yield part  # `b, c = x.shape`: what it is given has no text of its own


def _assignments(function: Any, name: str, here: Written) -> Iterator[ast.expr]:
    """What a function gives to a name, that before an expression first and the nearest first."""
    line = here.node.lineno
    found: list[tuple[int, ast.expr]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                found += [(node.lineno, each) for each in _given_to(target, node.value, name)]
        elif isinstance(node, ast.NamedExpr) and node.target.id == name:
            found.append((node.lineno, node.value))
    before = sorted((f for f in found if f[0] < line), key=lambda f: -f[0])
    behind = sorted((f for f in found if f[0] > line), key=lambda f: -f[0])
    for _, value in (*before, *behind):
        yield value
