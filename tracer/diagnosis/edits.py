"""Where something is written, and the edits that change it: exact spans on the source text."""

from __future__ import annotations

import ast
import difflib
import inspect
import itertools
import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import nn

from tracer.document import Edit, Span

TORCH = str(Path(torch.__file__).parent) + "/"

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.List, ast.ListComp)


class Text:
    """One source file, parsed.  Columns are characters, as `Span` counts them."""

    def __init__(self, file: str, lines: list[str]) -> None:
        self.file = file
        self.lines = lines
        self.text = "".join(lines)
        self.tree = ast.parse(self.text)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def expressions(self) -> list[ast.expr]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.expr)]

    def _character(self, line: int, column: int) -> int:
        text = self.lines[line - 1]
        return column if text.isascii() else len(text.encode()[:column].decode(errors="replace"))

    def span(self, node: Any) -> Span:
        return Span(
            node.lineno,
            self._character(node.lineno, node.col_offset),
            node.end_lineno,
            self._character(node.end_lineno, node.end_col_offset),
        )

    def of(self, node: ast.AST) -> str:
        """The text of a node as it is written."""
        return self.cut(self.span(node))

    def cut(self, span: Span) -> str:
        lines = self.lines[span.line - 1 : span.end_line]
        if not lines:
            return ""
        lines = [*lines[:-1], lines[-1][: span.end_column]]
        lines[0] = lines[0][span.column :]
        return "".join(lines)

    def at(self, span: Span | None) -> ast.AST | None:
        """The expression, else the statement, that covers exactly this span."""
        if span is None:
            return None
        found: ast.AST | None = None
        for node in ast.walk(self.tree):
            if getattr(node, "lineno", None) == span.line and self.span(node) == span:
                if isinstance(node, ast.expr):
                    return node
                found = found or node
        return found

    def around(self, node: ast.AST, kinds: Any) -> Any:
        """The nearest node of one of these classes that contains `node`."""
        above = self.parents.get(node)
        while above is not None and not isinstance(above, kinds):
            above = self.parents.get(above)
        return above

    def statement(self, node: ast.AST) -> ast.stmt | None:
        found = node if isinstance(node, ast.stmt) else self.around(node, ast.stmt)
        return found if isinstance(found, ast.stmt) else None

    def function(self, node: ast.AST) -> Any:
        return self.around(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))

    # --- edits ---

    def replace(self, node: ast.AST, text: str) -> Edit:
        return Edit(self.file, self.span(node), text)

    def after(self, node: ast.AST, text: str) -> Edit:
        """Write behind a node, which is put in parentheses where its precedence asks for them."""
        if isinstance(node, _ATOMS) or self._in_parentheses(node):
            span = self.span(node)
            if self._in_parentheses(node) and not isinstance(node, _ATOMS):
                span = self._parenthesised(span)
            end = Span(span.end_line, span.end_column, span.end_line, span.end_column)
            return Edit(self.file, end, text)
        return self.replace(node, f"({self.of(node)}){text}")

    def _parenthesised(self, span: Span) -> Span:
        """The span with the parentheses that stand directly around it on its lines."""
        before = self.lines[span.line - 1][: span.column].rstrip()
        line = self.lines[span.end_line - 1]
        behind = line[span.end_column :]
        gap = len(behind) - len(behind.lstrip())
        return Span(span.line, len(before) - 1, span.end_line, span.end_column + gap + 1)

    def _in_parentheses(self, node: ast.AST) -> bool:
        """`(a + b)`, where the brackets are no call's."""
        span = self.span(node)
        before = self.lines[span.line - 1][: span.column].rstrip()
        behind = self.lines[span.end_line - 1][span.end_column :].lstrip()
        if not (before.endswith("(") and behind.startswith(")")):
            return False
        outer = before[:-1].rstrip()
        return not (outer[-1:].isalnum() or outer[-1:] in ("_", ")", "]", "'", '"')) or (
            outer.split()[-1:] != [] and outer.split()[-1] in ("return", "in", "and", "or", "not")
        )

    def before(self, node: ast.AST, text: str) -> Edit:
        span = self.span(node)
        return Edit(self.file, Span(span.line, span.column, span.line, span.column), text)

    def argument(self, call: ast.Call, name: str, position: int | None, text: str) -> Edit:
        """Give `call` this argument: in place of the one it has, else as a further keyword."""
        found = given(call, name, position)
        if found is not None:
            return self.replace(found, text)
        span = self.span(call)
        end = Span(span.end_line, span.end_column - 1, span.end_line, span.end_column - 1)
        last = max(
            (self.span(item) for item in (*call.args, *(k.value for k in call.keywords))),
            key=lambda s: (s.end_line, s.end_column),
            default=None,
        )
        if last is not None:
            end = Span(last.end_line, last.end_column, last.end_line, last.end_column)
            tail = self.cut(Span(end.line, end.column, span.end_line, span.end_column))
            if tail.strip().startswith(")") and tail.strip() != ")":
                # The last argument stands in brackets of its own.
                line, column = span.end_line, span.end_column - 1
                end = Span(line, column, line, column)
        return Edit(self.file, end, f", {name}={text}" if last is not None else f"{name}={text}")


def given(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """The expression that a call passes for this parameter."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    if position is not None and 0 <= position < len(call.args):
        if any(isinstance(item, ast.Starred) for item in call.args[: position + 1]):
            return None
        return call.args[position]
    return None


_texts: dict[str, tuple[list[str], Text | None]] = {}


def text_of(file: str) -> Text | None:
    """The parsed file; None when there is no text or it does not parse."""
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    if not lines:
        return None
    known = _texts.get(file)
    if known is not None and known[0] is lines:
        return known[1]
    try:
        parsed = Text(file, lines)
    except (SyntaxError, ValueError, RecursionError):
        parsed = None
    if len(_texts) > 200:
        _texts.clear()
    _texts[file] = (lines, parsed)
    return parsed


def applied(text: str, edits: tuple[Edit, ...]) -> str:
    """The text of one file with its edits made, the last first.

    Raises:
        ValueError: two edits overlap, or one lies outside the text.
    """
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def offset(line: int, column: int) -> int:
        if (line, column) == (len(lines) + 1, 0):
            return len(text)
        if not 1 <= line <= len(lines) or column > len(lines[line - 1]):
            raise ValueError(f"The text has no column {column} in line {line}.")
        return starts[line - 1] + column

    stretches = sorted(
        (
            offset(edit.span.line, edit.span.column),
            offset(edit.span.end_line, edit.span.end_column),
            edit.replacement,
        )
        for edit in dict.fromkeys(edits)
    )
    for (_, end, _), (start, _, _) in itertools.pairwise(stretches):
        if start < end:
            raise ValueError("Two edits change the same text.")
    for start, end, replacement in reversed(stretches):
        text = text[:start] + replacement + text[end:]
    return text


def between(file: str, old: str, new: str) -> tuple[Edit, ...]:
    """Edits that turn `old` into `new`, as few characters as lines allow."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    found: list[Edit] = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            continue
        if tag == "replace" and j - i == m - k:
            for row in range(j - i):
                found.append(_line_edit(file, i + row, before[i + row], after[k + row]))
        else:
            column = 0
            start = Span(i + 1, column, j + 1, 0)
            if j == len(before) and before:
                start = Span(i + 1, 0, len(before), len(before[-1])) if i < j else start
            found.append(Edit(file, start, "".join(after[k:m])))
    return tuple(found)


def _line_edit(file: str, row: int, old: str, new: str) -> Edit:
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    stop = 0
    while stop < min(len(old), len(new)) - start and old[-1 - stop] == new[-1 - stop]:
        stop += 1
    return Edit(file, Span(row + 1, start, row + 1, len(old) - stop), new[start : len(new) - stop])


# --- constructors -----------------------------------------------------------------------------


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
    try:
        return dict(inspect.signature(of).parameters)
    except (ValueError, TypeError):
        return {}


def of_user(file: str) -> bool:
    return not file.startswith(TORCH) and "site-packages" not in file and bool(file)


def initialisers(module: nn.Module) -> Iterator[tuple[Text, ast.FunctionDef]]:
    """The `__init__` functions that made a module, its own class first, where their text is known.
    Those of torch are left out."""
    for cls in type(module).__mro__:
        function = vars(cls).get("__init__")
        if isinstance(function, FunctionType) and of_user(function.__code__.co_filename):
            found = definition(function)
            if found is not None and isinstance(found[1], ast.FunctionDef):
                yield found[0], found[1]


def definition(function: Any) -> tuple[Text, Function] | None:
    """The text and the node of a live function."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    text = text_of(code.co_filename) if code is not None else None
    if code is None or text is None:
        return None
    for node in ast.walk(text.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno and node.name == code.co_name:
                return text, node
        elif (
            isinstance(node, ast.Lambda)
            and code.co_name == "<lambda>"
            and node.lineno == code.co_firstlineno
        ):
            return text, node
    return None


def constructor(model: nn.Module, path: str) -> Built | None:
    """The call in some `__init__` that made the module at `path`; None when it cannot be told."""
    try:
        module = model.get_submodule(path)
    except AttributeError:
        return None
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


def called(node: ast.AST) -> str:
    """The last name of what is called: `Linear` of `nn.Linear(...)`."""
    func = node.func if isinstance(node, ast.Call) else node
    return getattr(func, "attr", None) or getattr(func, "id", None) or ""


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
