"""From a running frame to what was written: file, line, the exact expression, the names that the
statement assigns, and the note above it."""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from types import CodeType
from typing import Any

from tracer.document import Comment, Place, Source, Span, Trace

Pattern = str | tuple["Pattern", ...]
"""What a statement assigns to: a name or attribute, or a tuple of such for unpacking.  A starred
name keeps its star."""

Extent = tuple[int, int, int, int]
"""Line, column, end line, end column as ast and co_positions have them: columns in UTF-8 bytes."""


@dataclass(frozen=True)
class Site:
    """A place in the source with what follows from the syntax alone.

    `patterns` are the assignment targets if the expression is the statement's whole value,
    `returned` is true if it is a return statement's whole value, `each` if the statement is a loop
    over the expression.  `names` are the attribute chains in the statement, `used` those within
    the expression.
    """

    place: Place
    patterns: tuple[Pattern, ...]
    returned: bool
    each: bool
    note: str
    names: tuple[tuple[str, ...], ...]
    used: tuple[tuple[str, ...], ...]


class SourceReader:
    """Finds sites and collects the `Source` table of one trace; not shared between threads."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self._files: dict[str, File | None] = {}
        self._positions: dict[CodeType, tuple[Any, ...]] = {}
        self._sites: dict[tuple[CodeType, int], Site] = {}
        self._functions: dict[tuple[str, int], int] = {}

    def site(self, code: CodeType, lasti: int, fallback_line: int | None) -> Site:
        key = (code, lasti)
        found = self._sites.get(key)
        if found is None:
            found = self._sites[key] = self._find(code, lasti, fallback_line)
        return found

    def _find(self, code: CodeType, lasti: int, fallback_line: int | None) -> Site:
        positions = self._positions.get(code)
        if positions is None:
            positions = self._positions[code] = tuple(code.co_positions())
        line, end_line, column, end_column = (
            positions[lasti // 2] if 0 <= lasti // 2 < len(positions) else (None,) * 4
        )
        line = line or fallback_line or code.co_firstlineno
        file = self._file(code.co_filename)
        if file is None or not file.contains(code):
            return _bare(code, line)
        if end_line is None or column is None or end_column is None:
            statement = file.statement_on(line)
            if statement is None:
                return _bare(code, line)
            node: ast.AST = statement
        else:
            extent = (line, column, end_line, end_column)
            statement = file.statement_at(extent)
            if statement is None:
                return _bare(code, line)
            node = file.expression_at(extent, statement)
        return self._describe(file, code, statement, node)

    def _describe(self, file: File, code: CodeType, statement: ast.stmt, node: ast.AST) -> Site:
        header = header_extent(statement, file)
        if isinstance(statement, ast.Assign) and any(node is t for t in statement.targets):
            node = statement  # writing through `x[...] = v` is all of the statement
        extent = header if node is statement else extent_of(node)
        span = file.span(extent)
        place = Place(
            file=code.co_filename,
            line=span.line,
            function=code.co_qualname,
            source=self._source(file, code, statement),
            span=span,
            expression=file.text(extent),
            statement=file.text(header),
            statement_span=file.span(header),
        )
        patterns, returned, each = _assigned(statement, node)
        chains = tuple(_chains(statement))
        within = [(extent_of(inner), chain) for inner, chain in chains]
        used = dict.fromkeys(chain for at, chain in sorted(within) if _inside(at, extent))
        return Site(
            place=place,
            patterns=patterns,
            returned=returned,
            each=each,
            note=file.note_above(statement),
            names=tuple({chain for _, chain in chains}),
            used=tuple(used),
        )

    def _file(self, name: str) -> File | None:
        if name not in self._files:
            self._files[name] = parsed(name)
        return self._files[name]

    def _source(self, file: File, code: CodeType, statement: ast.stmt) -> int:
        first, last = file.enclosing(statement)
        key = (code.co_filename, first)
        if key not in self._functions:
            function = code.co_qualname.split(".<locals>")[0]
            self._functions[key] = len(self.sources)
            self.sources.append(
                Source(
                    file=code.co_filename,
                    function=function,
                    first=first,
                    text="".join(file.lines[first - 1 : last]).rstrip("\n"),
                    comments=tuple(file.comments(first, last)),
                )
            )
        return self._functions[key]


_PRAGMA = re.compile(r"(noqa|type|mypy|pyright|pyrefly|pylint|ruff|fmt|isort|pragma|flake8)\b *:")


class File:
    """One source file, parsed once."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.tree = ast.parse("".join(lines))

    @cached_property
    def _statements(self) -> list[ast.stmt]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.stmt)]

    @cached_property
    def _by_line(self) -> dict[int, list[ast.stmt]]:
        """The statements whose header covers a line, innermost last."""
        found: dict[int, list[ast.stmt]] = {}
        for statement in self._statements:
            extent = header_extent(statement, self)
            for line in range(extent[0], extent[2] + 1):
                found.setdefault(line, []).append(statement)
        return found

    @cached_property
    def _functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        return [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]

    @cached_property
    def _definitions(self) -> set[tuple[int, str]]:
        """(first line, name) of everything that compiles to a code object of its own."""
        found: set[tuple[int, str]] = {(1, "<module>"), (0, "<module>")}
        comprehensions = {
            ast.ListComp: "<listcomp>",
            ast.SetComp: "<setcomp>",
            ast.DictComp: "<dictcomp>",
            ast.GeneratorExp: "<genexpr>",
            ast.Lambda: "<lambda>",
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found.add((first, node.name))
            elif type(node) in comprehensions:
                found.add((node.lineno, comprehensions[type(node)]))  # type: ignore[attr-defined]
        return found

    def contains(self, code: CodeType) -> bool:
        """False when the file has changed since the code was compiled."""
        return (code.co_firstlineno, code.co_name) in self._definitions

    def statement_on(self, line: int) -> ast.stmt | None:
        found = self._by_line.get(line)
        return found[-1] if found else None

    def statement_at(self, extent: Extent) -> ast.stmt | None:
        best = None
        for statement in self._by_line.get(extent[0], ()):
            header = header_extent(statement, self)
            if _inside(extent, header) and (
                best is None or _inside(header, header_extent(best, self))
            ):
                best = statement
        return best or self.statement_on(extent[0])

    def expression_at(self, extent: Extent, statement: ast.stmt) -> ast.AST:
        """The node that the instruction's position names.

        A call or attribute whose name is on a later line than its object is positioned from that
        name on: such a one is found by its end.
        """
        by_end: ast.AST | None = None
        for node in ast.walk(statement):
            if not isinstance(node, ast.expr):
                continue
            found = extent_of(node)
            if found == extent:
                return node
            if found[2:] == extent[2:] and found[:2] < extent[:2]:
                attribute = node.func if isinstance(node, ast.Call) else node
                if (
                    isinstance(attribute, ast.Attribute)
                    and extent_of(attribute.value)[2:] <= extent[:2]
                ):
                    by_end = node
        return by_end or statement

    def enclosing(self, statement: ast.stmt) -> tuple[int, int]:
        """First and last line of the outermost function around the statement, or of the
        module-level statement itself."""
        best: tuple[int, int] | None = None
        for node in self._functions:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
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
        for statement in sorted(self._statements, key=lambda s: (s.lineno, s.col_offset)):
            if first < statement.lineno <= last and statement.lineno not in seen:
                seen.add(statement.lineno)
                comment = self._comment(statement)
                if comment is not None and comment.first > first:
                    yield comment

    def span(self, extent: Extent) -> Span:
        line, column, end_line, end_column = extent
        return Span(
            line, self._characters(line, column), end_line, self._characters(end_line, end_column)
        )

    def _characters(self, line: int, column: int) -> int:
        text = self.lines[line - 1]
        if text.isascii():
            return column
        return len(text.encode()[:column].decode(errors="replace"))

    def text(self, extent: Extent) -> str:
        span = self.span(extent)
        lines = self.lines[span.line - 1 : span.end_line]
        if not lines:
            return ""
        lines = [*lines[:-1], lines[-1][: span.end_column]]
        lines[0] = lines[0][span.column :]
        return "".join(lines)


_parsed_files: dict[str, tuple[list[str], File | None]] = {}


def parsed(name: str) -> File | None:
    """The parsed file, kept while linecache keeps the same lines: torch's own are long."""
    linecache.checkcache(name)
    lines = linecache.getlines(name)
    if not lines:
        return None
    known = _parsed_files.get(name)
    if known is not None and known[0] is lines:
        return known[1]
    try:
        file = File(lines)
    except (SyntaxError, ValueError, RecursionError):
        file = None
    _parsed_files[name] = (lines, file)
    return file


def _bare(code: CodeType, line: int) -> Site:
    """A site of code that has no text, or whose text has changed."""
    place = Place(code.co_filename, line, code.co_qualname, None, None, "", "", None)
    return Site(place, (), False, False, "", (), ())


def definition(code: CodeType) -> Place | None:
    """The first line of a function."""
    file = parsed(code.co_filename)
    if file is None or not file.contains(code):
        return None
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno:
                extent = (node.lineno, *header_extent(node, file)[1:])
                text, span = file.text(extent), file.span(extent)
                name = code.co_qualname
                return Place(code.co_filename, span.line, name, None, span, text, text, span)
    return None


def place(file: File, node: ast.expr, statement: ast.stmt, function: str, name: str) -> Place:
    extent = extent_of(node)
    span = file.span(extent)
    whole = extent_of(statement)
    return Place(
        file=name,
        line=span.line,
        function=function,
        source=None,
        span=span,
        expression=file.text(extent),
        statement=file.text(whole),
        statement_span=file.span(whole),
    )


def extent_of(node: Any) -> Extent:
    return (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)


def _inside(inner: Extent, outer: Extent) -> bool:
    return outer[:2] <= inner[:2] and inner[2:] <= outer[2:]


def header_extent(statement: ast.stmt, file: File) -> Extent:
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
    line, end = start[0], file.lines[start[0] - 1].encode()[: start[1]].decode(errors="replace")
    while line > extent[0] and (not end.strip() or end.strip().startswith(("#", "@", "case"))):
        line -= 1
        end = file.lines[line - 1]
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


def _values(node: ast.expr | None) -> Iterator[ast.expr]:
    """The expressions that can become the value of `node`: itself, and a conditional's branches."""
    if node is None:
        return
    yield node
    if isinstance(node, ast.IfExp):
        yield from _values(node.body)
        yield from _values(node.orelse)
    elif isinstance(node, ast.NamedExpr | ast.Await):
        yield from _values(node.value)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _values(value)


def _pattern(target: ast.expr) -> Pattern:
    if isinstance(target, ast.Tuple | ast.List):
        return tuple(_pattern(item) for item in target.elts)
    if isinstance(target, ast.Starred):
        inner = _pattern(target.value)
        return f"*{inner}" if isinstance(inner, str) else inner
    if isinstance(target, ast.Subscript):
        return _pattern(target.value)
    return ast.unparse(target)


def _assigned(statement: ast.stmt, node: Any) -> tuple[tuple[Pattern, ...], bool, bool]:
    """(targets, is the returned value, is looped over) of the expression `node`."""
    for inner in ast.walk(statement) if node is not statement else ():
        if isinstance(inner, ast.NamedExpr) and node in _values(inner.value):
            return (_pattern(inner.target),), False, False
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            # Writing through `x[...] = v`, and unpacking `a, b = tensor`, happen at the target.
            if node is target:
                return (_pattern(target),), False, False
            pairs = _pairs(target, statement.value)
            for part, value in pairs:
                if node in _values(value):
                    return (_pattern(part),), False, False
        if node is statement or node in _values(statement.value):
            return tuple(_pattern(target) for target in statement.targets), False, False
    elif isinstance(statement, ast.AugAssign):
        if node is statement or node is statement.target:
            return (_pattern(statement.target),), False, False
    elif isinstance(statement, ast.AnnAssign):
        if node is statement or node in _values(statement.value):
            return (_pattern(statement.target),), False, False
    elif isinstance(statement, ast.Return):
        if node is statement or node in _values(statement.value):
            return (), True, False
    elif isinstance(statement, ast.For | ast.AsyncFor) and node is statement.iter:
        return (_pattern(statement.target),), False, True
    return (), False, False


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """`a, b = f(x), g(x)` pairs each name with its expression."""
    if (
        isinstance(target, ast.Tuple)
        and isinstance(value, ast.Tuple)
        and len(target.elts) == len(value.elts)
        and not any(isinstance(item, ast.Starred) for item in (*target.elts, *value.elts))
    ):
        for part, item in zip(target.elts, value.elts, strict=True):
            yield part, item
            yield from _pairs(part, item)


def _chains(statement: ast.stmt) -> Iterator[tuple[ast.expr, tuple[str, ...]]]:
    """The names and attribute chains that a statement's header reads: `x`, `self.conv.weight`."""
    fields = [
        value
        for name, value in ast.iter_fields(statement)
        if name not in ("body", "orelse", "finalbody", "handlers", "cases")
    ]
    stack: list[Any] = fields
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, ast.AST):
            stored = isinstance(getattr(node, "ctx", None), ast.Store)
            if stored and not isinstance(statement, ast.AugAssign):
                stack.extend(ast.iter_child_nodes(node))
                continue
            chain = _chain(node)
            if chain is not None:
                yield node, chain  # type: ignore[misc]
            else:
                stack.extend(ast.iter_child_nodes(node))


def _chain(node: ast.AST) -> tuple[str, ...] | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return (node.id, *reversed(parts))


# --- notes ------------------------------------------------------------------------------------

_FORMULA = re.compile(r"(\$\$.+?\$\$|\$.+?\$)", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{([^\W\d]\w*(?:\.[^\W\d]\w*)*)((?:\[-?\d+\])?)\}")


def placeholders(note: str) -> dict[str, tuple[tuple[str, ...], int | None]]:
    """What a note asks of the run: `{x.shape[1]}` gives ("x", "shape") and 1.  Braces inside
    `$...$` belong to the formula."""
    wanted: dict[str, tuple[tuple[str, ...], int | None]] = {}
    for part in _FORMULA.split(note):
        if not part.startswith("$"):
            for match in _PLACEHOLDER.finditer(part):
                index = match[2]
                wanted[match[0]] = (tuple(match[1].split(".")), int(index[1:-1]) if index else None)
    return wanted


def filled(note: str, values: dict[str, str]) -> str:
    """The note with each placeholder that has a value replaced by it."""
    if not values:
        return note
    return "".join(
        part
        if part.startswith("$")
        else _PLACEHOLDER.sub(lambda match: values.get(match[0], match[0]), part)
        for part in _FORMULA.split(note)
    )


# --- for fixes ------------------------------------------------------------------------------------


def with_edited_lines(found: Trace) -> Trace:
    """The trace with the text of functions that did not run and that a fix edits (`__init__`), so
    that a fix can be shown with its lines wherever the trace is read."""
    added: list[Source] = []
    for fix in found.failure.fixes if found.failure is not None else ():
        for edit in fix.edits:
            known = (
                source.file == edit.file
                and source.first <= edit.span.line <= source.first + source.text.count("\n")
                for source in (*found.sources, *added)
            )
            file = parsed(edit.file)
            if any(known) or file is None:
                continue
            line = min(edit.span.line, len(file.lines))
            statement = file.statement_on(line)
            first, last = file.enclosing(statement) if statement is not None else (line, line)
            text = "".join(file.lines[first - 1 : last]).rstrip("\n")
            added.append(Source(edit.file, "", first, text, ()))
    return replace(found, sources=(*found.sources, *added))
