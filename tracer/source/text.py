"""One source file, parsed once: its statements, expressions, functions and comments."""

from __future__ import annotations

import ast
import inspect
import linecache
import os
import re
import sys
import sysconfig
import time
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import CodeType
from typing import Any

from tracer.document import Comment, Edit, Place, Source, Span
from tracer.syntax import parsed, silently

Extent = tuple[int, int, int, int]
"""Line, column, end line, end column as ast and co_positions have them: columns in UTF-8 bytes."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_PRAGMA = re.compile(r"(noqa|type|mypy|pyright|pyrefly|pylint|ruff|fmt|isort|pragma|flake8)\b *:")
_UNNAMED: dict[type[ast.AST], str] = {
    ast.ListComp: "<listcomp>",
    ast.SetComp: "<setcomp>",
    ast.DictComp: "<dictcomp>",
    ast.GeneratorExp: "<genexpr>",
    ast.Lambda: "<lambda>",
}
_ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.List, ast.ListComp)


class Text:
    """One source file, parsed.  Columns are characters, as `Span` counts them, where an `Extent`
    counts bytes."""

    def __init__(self, file: str, lines: list[str]) -> None:
        self.file = file
        self.lines = lines
        self.text = "".join(lines)
        self.tree = parsed(self.text)
        self._sources: dict[tuple[str, int], Source] = {}
        self._places: dict[ast.stmt, dict[Extent, ast.expr]] = {}
        self._lines: dict[tuple[int, int], list[ast.AST]] = {}

    @cached_property
    def _walked(self) -> tuple[list[ast.AST], dict[ast.AST, ast.AST]]:
        nodes: list[ast.AST] = [self.tree]
        parents: dict[ast.AST, ast.AST] = {}
        for node in nodes:
            for child in ast.iter_child_nodes(node):
                parents[child] = node
                nodes.append(child)
        return nodes, parents

    @property
    def nodes(self) -> list[ast.AST]:
        """Every node, the outer before the inner, as `ast.walk` finds them."""
        return self._walked[0]

    @property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return self._walked[1]

    @cached_property
    def expressions(self) -> list[ast.expr]:
        return [node for node in self.nodes if isinstance(node, ast.expr)]

    def _character(self, line: int, column: int) -> int:
        text = self.lines[line - 1]
        return column if text.isascii() else len(text.encode()[:column].decode(errors="replace"))

    def span(self, what: ast.AST | Extent) -> Span:
        line, column, end, end_column = what if isinstance(what, tuple) else extent_of(what)
        return Span(line, self._character(line, column), end, self._character(end, end_column))

    def of(self, what: ast.AST | Extent) -> str:
        """The text of a node as it is written."""
        return self.cut(self.span(what))

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
        for node in self._starting.get(span.line, ()):
            if self.span(node) == span:
                if isinstance(node, ast.expr):
                    return node
                found = found or node
        return found

    @cached_property
    def _starting(self) -> dict[int, list[ast.AST]]:
        """The nodes by the line in which they start."""
        found: dict[int, list[ast.AST]] = {}
        for node in self.nodes:
            if hasattr(node, "lineno"):
                found.setdefault(node.lineno, []).append(node)
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

    # --- places ---

    def _on(self, first: int, last: int) -> list[ast.AST]:
        """The nodes that reach into these lines, the outer before the inner, as `nodes` has them:
        what stands elsewhere is not walked through, for a text may be read for one function."""
        found = self._lines.get((first, last))
        if found is None:
            found = self._lines[first, last] = [self.tree]
            for node in found:
                found += [
                    child for child in ast.iter_child_nodes(node) if _reaches(child, first, last)
                ]
        return found

    def _statements_on(self, line: int) -> Iterator[ast.stmt]:
        """The statements whose header covers a line, innermost last."""
        for node in self._on(line, line):
            if isinstance(node, ast.stmt):
                extent = header_extent(node, self)
                if extent[0] <= line <= extent[2]:
                    yield node

    def _definition(self, code: CodeType) -> ast.AST | None:
        """The outermost of what compiles to a code object of this first line and name."""
        if code.co_name == "<module>":
            return self.tree if code.co_firstlineno in (0, 1) else None
        for node in self._on(code.co_firstlineno, code.co_firstlineno):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first, name = _begins(node), node.name
            elif type(node) in _UNNAMED:
                first, name = node.lineno, _UNNAMED[type(node)]  # type: ignore[attr-defined]
            else:
                continue
            if (first, name) == (code.co_firstlineno, code.co_name):
                return node
        return None

    def definition(self, code: CodeType) -> Function | None:
        """The function that was compiled to `code`; None when the file has changed since."""
        found = self._definition(code)
        return found if isinstance(found, Function) else None

    def contains(self, code: CodeType) -> bool:
        """False when the file has changed since the code was compiled."""
        if self._definition(code) is None:
            return False
        key = code.co_firstlineno, code.co_name
        if not self._is_new or code in CUT_OUT:
            return True
        return any(_same(code, each) for each in self._compiled.get(key, ()))

    @cached_property
    def _is_new(self) -> bool:
        """Whether the file was written after this process began, and so perhaps after the code was
        read from it.  Of others it is not asked, for what reads them in may change their code."""
        try:
            return os.stat(self.file).st_mtime > _BEGAN
        except (OSError, ValueError):
            return False

    @cached_property
    def _compiled(self) -> dict[tuple[int, str], list[CodeType]]:
        """The code of the text as it is now, by first line and name."""
        found: dict[tuple[int, str], list[CodeType]] = {}
        pending = [silently(self.text, self.file)]
        while pending:
            code = pending.pop()
            found.setdefault((code.co_firstlineno, code.co_name), []).append(code)
            pending += [each for each in code.co_consts if isinstance(each, CodeType)]
        return found

    def statement_on(self, line: int) -> ast.stmt | None:
        found = list(self._statements_on(line))
        return found[-1] if found else None

    def statement_at(self, extent: Extent) -> ast.stmt | None:
        best = None
        for statement in self._statements_on(extent[0]):
            header = header_extent(statement, self)
            if inside(extent, header) and (
                best is None or inside(header, header_extent(best, self))
            ):
                best = statement
        return best or self.statement_on(extent[0])

    def expression_at(self, extent: Extent, statement: ast.stmt) -> ast.AST:
        """The node that the instruction's position names.

        A call or attribute whose name is on a later line than its object is positioned from that
        name on: such a one is found by its end.
        """
        places = self._expressions(statement)
        if extent in places:
            return places[extent]
        by_end: ast.AST | None = None
        for found, node in places.items():
            if found[2:] == extent[2:] and found[:2] < extent[:2]:
                attribute = node.func if isinstance(node, ast.Call) else node
                if (
                    isinstance(attribute, ast.Attribute)
                    and extent_of(attribute.value)[2:] <= extent[:2]
                ):
                    by_end = node
        return by_end or statement

    def _expressions(self, statement: ast.stmt) -> dict[Extent, ast.expr]:
        """Those within a statement by their places, the outer before the inner; of several at one
        place the outermost."""
        known = self._places.get(statement)
        if known is None:
            known = self._places[statement] = {}
            for node in ast.walk(statement):
                if isinstance(node, ast.expr):
                    known.setdefault(extent_of(node), node)
        return known

    def enclosing(self, statement: ast.stmt) -> tuple[int, int]:
        """First and last line of the outermost function around the statement that is in its
        innermost class, or of the statement itself where there is none."""
        best: tuple[int, int] | None = None
        for node in self._on(statement.lineno, statement.lineno):
            if isinstance(node, ast.ClassDef) and _begins(node) < statement.lineno:
                best = None
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            first = _begins(node)
            last = node.end_lineno or node.lineno
            inside = first <= statement.lineno and (statement.end_lineno or 0) <= last
            if inside and (best is None or first < best[0]):
                best = (first, last)
        return best or (statement.lineno, statement.end_lineno or statement.lineno)

    def note_above(self, statement: ast.stmt) -> str:
        comment = self._comment(statement)
        return comment.text if comment is not None else ""

    def _comment(self, statement: ast.stmt) -> Comment | None:
        decorators = getattr(statement, "decorator_list", [])
        line = min([statement.lineno, *(d.lineno for d in decorators)])
        first = line
        while first > 1 and self.lines[first - 2].lstrip().startswith("#"):
            first -= 1
        if first == line or self.lines[line - 1][: statement.col_offset].strip():
            return None
        words = (
            raw.strip().lstrip("#").removeprefix(" ") for raw in self.lines[first - 1 : line - 1]
        )
        text = "\n".join(line for line in words if not _PRAGMA.match(line)).strip()
        if not text:
            return None
        return Comment(first=first, last=line - 1, line=statement.lineno, text=text)

    def comments(self, first: int, last: int) -> Iterator[Comment]:
        seen: set[int] = set()
        statements = [node for node in self._on(first, last) if isinstance(node, ast.stmt)]
        for statement in sorted(statements, key=lambda s: (s.lineno, s.col_offset)):
            if first < statement.lineno <= last and statement.lineno not in seen:
                seen.add(statement.lineno)
                comment = self._comment(statement)
                if comment is not None and comment.first > first:
                    yield comment

    def source(self, function: str, first: int, last: int) -> Source:
        """The lines of a function as a trace keeps them."""
        key = function, first
        if key not in self._sources:
            self._sources[key] = Source(
                file=self.file,
                function=function,
                first=first,
                text="".join(self.lines[first - 1 : last]).rstrip("\n"),
                comments=tuple(self.comments(first, last)),
            )
        return self._sources[key]

    def place(self, node: ast.expr, statement: ast.stmt, function: str) -> Place:
        span = self.span(node)
        return Place(
            file=self.file,
            line=span.line,
            function=function,
            source=None,
            span=span,
            expression=self.of(node),
            statement=self.of(statement),
            statement_span=self.span(statement),
        )

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

    def behind_first(self, call: ast.AST, suffix: str) -> Edit | None:
        """A statement behind the one that unpacks a call's results, which does this to the first of
        them, under its name; None where no such name is."""
        above = self.parents.get(call)
        target = above.targets[0] if isinstance(above, ast.Assign) else None
        first = target.elts[0] if isinstance(target, ast.Tuple) and target.elts else None
        if above is None or not isinstance(first, ast.Name):
            return None
        indent = " " * self.span(above).column
        return self.after(call, f"\n{indent}{first.id} = {first.id}{suffix}")

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


# torch's own files do not change while it runs; others are edited, even where they are installed.
_TORCH = str(Path(sysconfig.get_path("platlib"), "torch")) + "/"
_texts: dict[str, tuple[list[str], Text | None]] = {}
_MOST_TEXTS = 1000
_BEGAN = time.time()

CUT_OUT: weakref.WeakSet[CodeType] = weakref.WeakSet()
"""Code that was made of some statements of a text as it was then, and stands at their places."""


def _same(code: CodeType, other: CodeType) -> bool:
    """Whether two codes do the same, but for what is defined within them."""
    if any(name.startswith("@py") for name in code.co_names):
        return True  # pytest has written its assertions anew

    def told(each: CodeType) -> tuple[Any, ...]:
        constants = [
            sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
            for value in each.co_consts
            if not isinstance(value, CodeType)
        ]
        return each.co_code, each.co_names, each.co_varnames, each.co_freevars, constants

    return told(code) == told(other)


def text_of(file: str) -> Text | None:
    """The parsed file, kept while linecache keeps the same lines; None when there is no text or it
    does not parse."""
    if file not in _texts or not file.startswith(_TORCH):
        linecache.checkcache(file)
    lines = linecache.getlines(file) or _lines_of_loader(file)
    if not lines:
        return None
    known = _texts.get(file)
    if known is not None and known[0] is lines:
        return known[1]
    try:
        text = Text(file, lines)
    except (SyntaxError, ValueError, RecursionError):
        text = None
    if len(_texts) >= _MOST_TEXTS:
        _texts.clear()
    _texts[file] = (lines, text)
    return text


def _lines_of_loader(file: str) -> list[str]:
    """The text of what was imported from a zip, which its loader has."""
    if not file.endswith(".py") or os.path.exists(file):
        return []
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == file:
            return linecache.getlines(file, vars(module))
    return []


def code_of(value: object) -> CodeType | None:
    """The code of a function or method; None of anything else. (The class of all functions has an
    attribute of that name too, which is no code.)"""
    code = getattr(value, "__code__", None)
    return code if isinstance(code, CodeType) else None


def definition(function: Any) -> tuple[Text, Function] | None:
    """The text and the node of a live function."""
    code = code_of(inspect.unwrap(function))
    text = text_of(code.co_filename) if code is not None else None
    node = text.definition(code) if text is not None and code is not None else None
    return (text, node) if text is not None and node is not None else None


def first_line(code: CodeType) -> Place | None:
    """The place of a function: its first line."""
    text = text_of(code.co_filename)
    node = text.definition(code) if text is not None else None
    if text is None or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    extent = (node.lineno, *header_extent(node, text)[1:])
    written, span = text.of(extent), text.span(extent)
    return Place(text.file, span.line, code.co_qualname, None, span, written, written, span)


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


def passed(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """The same, or the `*values` or `**values` that may hold it."""
    found = given(call, name, position)
    if found is None:
        starred = [each.value for each in call.args if isinstance(each, ast.Starred)]
        doubled = [each.value for each in call.keywords if each.arg is None]
        found = next(iter((*starred, *doubled)), None)
    return found


def called(node: ast.AST) -> str:
    """The last name of what is called: `Linear` of `nn.Linear(...)`."""
    func = node.func if isinstance(node, ast.Call) else node
    return getattr(func, "attr", None) or getattr(func, "id", None) or ""


def extent_of(node: Any) -> Extent:
    return (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)


def inside(inner: Extent, outer: Extent) -> bool:
    return outer[:2] <= inner[:2] and inner[2:] <= outer[2:]


def _begins(node: ast.AST) -> int:
    """Where a node that stands in a text begins: a definition with the first of its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    lines: list[int] = [each.lineno for each in (node, *decorators)]  # type: ignore[attr-defined]
    return min(lines)


def _reaches(node: ast.AST, first: int, last: int) -> bool:
    """Whether a node has text in these lines; what has no place of its own may hold what has."""
    end: int | None = getattr(node, "end_lineno", None)
    return end is None or (first <= end and _begins(node) <= last)


def header_extent(statement: ast.stmt, text: Text) -> Extent:
    """The whole of a simple statement; of a compound one the part before its body."""
    extent = extent_of(statement)
    body = getattr(statement, "body", None) or getattr(statement, "cases", None)
    if not body:
        return extent
    first = body[0]
    pattern = getattr(first, "pattern", None)
    start = extent_of(pattern if pattern is not None else first)
    for decorator in getattr(first, "decorator_list", []):
        start = min(start, extent_of(decorator))
    line, end = start[0], text.lines[start[0] - 1].encode()[: start[1]].decode(errors="replace")
    while line > extent[0] and (not end.strip() or end.strip().startswith(("#", "@", "case"))):
        line -= 1
        end = text.lines[line - 1]
    end = _without_comment(end)
    return (extent[0], extent[1], line, len(end.encode()))


def _without_comment(line: str) -> str:
    """A header's last line up to its colon, without a comment behind it."""
    text = line.rstrip()
    if not text.endswith(":"):
        before, hash_sign, _ = text.partition("#")
        if hash_sign and before.rstrip().endswith(":"):
            text = before.rstrip()
    return text
