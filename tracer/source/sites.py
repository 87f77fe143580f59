"""From a running frame to what was written: file, line, the exact expression, the names that the
statement assigns, and the note above it."""

from __future__ import annotations

import ast
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import CodeType
from typing import Any

from tracer.document import Place, Source
from tracer.source.notes import placeholders
from tracer.source.text import Extent, Text, extent_of, header_extent, inside, text_of

Pattern = str | tuple["Pattern", ...]
"""What a statement assigns to: a name or attribute, or a tuple of such for unpacking.  A starred
name keeps its star."""


@dataclass(frozen=True)
class Site:
    """A place in the source with what follows from the syntax alone.

    `patterns` are the assignment targets if the expression is the statement's whole value,
    `returned` is true if it is a return statement's whole value, `each` if the statement is a loop
    over the expression.  `names` are the attribute chains in the statement, `used` those within
    the expression, both in the order of the text; `reads` are the names without what is called
    there (`x` of `x.view(2)`); `asks` is what the note asks of the run (see `placeholders`).
    """

    place: Place
    patterns: tuple[Pattern, ...]
    returned: bool
    each: bool
    note: str
    names: tuple[tuple[str, ...], ...]
    used: tuple[tuple[str, ...], ...]
    reads: tuple[tuple[str, ...], ...] = ()
    asks: Mapping[str, tuple[tuple[str, ...], int | None]] = field(default_factory=dict)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The names in the patterns, each once."""
        return tuple(dict.fromkeys(name for each in self.patterns for name in _names_in(each)))

    @cached_property
    def reading(self) -> tuple[tuple[str, tuple[str, ...] | None], ...]:
        """The first name of each chain in `reads`, with the chain where it has more of them."""
        return tuple([(chain[0], chain if len(chain) > 1 else None) for chain in self.reads])


def _names_in(pattern: Pattern) -> Iterator[str]:
    if isinstance(pattern, str):
        yield pattern.removeprefix("*")
    else:
        for part in pattern:
            yield from _names_in(part)


class SourceReader:
    """Finds sites and collects the `Source` table of one trace; not shared between threads."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self._texts: dict[str, Text | None] = {}
        # By identity: equal code objects may come from different files.  What is looked up by an
        # address is kept alive.
        self._codes: dict[int, tuple[CodeType, _Code | None]] = {}
        self._sites: dict[tuple[int, int], Site] = {}
        self._functions: dict[tuple[str, int], int] = {}

    def site(self, code: CodeType, lasti: int) -> Site:
        key = id(code), lasti
        site = self._sites.get(key)
        if site is None:
            site = self._sites[key] = self._find(code, lasti)
        return site

    def _find(self, code: CodeType, lasti: int) -> Site:
        entry = self._codes.get(id(code))
        if entry is None:
            name = code.co_filename
            if name not in self._texts:
                self._texts[name] = text_of(name)
            text = self._texts[name]
            entry = code, _code(code, text) if text is not None else None
            self._codes[id(code)] = entry
        found = entry[1].found(code, lasti) if entry[1] is not None else None
        if found is None:
            return _bare(code, _line(code, lasti))
        number = self._functions.get(found.function)
        if number is None:
            number = self._functions[found.function] = len(self.sources)
            self.sources.append(found.source)
        return found.numbered.get(number) or found.as_source(number)


class _Found:
    """A site, and the function that it is in; the function's number differs between traces."""

    def __init__(self, site: Site, source: Source) -> None:
        self.source = source
        self.function = source.file, source.first
        self.numbered: dict[int, Site] = {}
        self._site = site

    def as_source(self, number: int) -> Site:
        place = replace(self._site.place, source=number)
        site = self.numbered[number] = replace(self._site, place=place)
        return site


class _Code:
    """What was found of one code object in one text: it holds for every trace."""

    def __init__(self, code: CodeType, text: Text) -> None:
        key = id(code)
        self.code = weakref.ref(code, lambda _: _codes.pop(key, None))
        self.text = text
        self._positions = tuple(code.co_positions()) if text.contains(code) else ()
        self._found: dict[int, _Found | None] = {}

    def found(self, code: CodeType, lasti: int) -> _Found | None:
        """None where the text has nothing to say, as it has changed since."""
        try:
            return self._found[lasti]
        except KeyError:
            found = self._found[lasti] = self._find(code, lasti)
            return found

    def _find(self, code: CodeType, lasti: int) -> _Found | None:
        if not 0 <= lasti // 2 < len(self._positions):
            return None
        line, end_line, column, end_column = self._positions[lasti // 2]
        line = line or _line(code, lasti)
        if end_line is None or column is None or end_column is None:
            statement = self.text.statement_on(line)
            node: ast.AST | None = statement
        else:
            extent = (line, column, end_line, end_column)
            statement = self.text.statement_at(extent)
            node = self.text.expression_at(extent, statement) if statement is not None else None
        if statement is None or node is None:
            return None
        first, last = self.text.enclosing(statement)
        # As `enclosing` has it: a class that is defined in a function stands for itself.
        names = code.co_qualname.split(".<locals>.")
        function = next((name for name in reversed(names) if "." in name), names[0])
        site = _described(self.text, code, statement, node)
        return _Found(site, self.text.source(function, first, last))


_codes: dict[int, _Code] = {}


def _code(code: CodeType, text: Text) -> _Code:
    known = _codes.get(id(code))
    if known is None or known.text is not text or known.code() is not code:
        known = _codes[id(code)] = _Code(code, text)
    return known


def _described(text: Text, code: CodeType, statement: ast.stmt, node: ast.AST) -> Site:
    header = header_extent(statement, text)
    if isinstance(statement, ast.Assign) and any(node is t for t in statement.targets):
        node = statement  # writing through `x[...] = v` is all of the statement
    extent = header if node is statement else extent_of(node)
    span = text.span(extent)
    place = Place(
        file=code.co_filename,
        line=span.line,
        function=code.co_qualname,
        source=None,
        span=span,
        expression=text.of(extent),
        statement=text.of(header),
        statement_span=text.span(header),
    )
    known = _known(text, statement)
    written = known.written
    patterns, returned, each = _assigned(statement, node, known.walrus)
    used = dict.fromkeys(chain for at, chain in written if inside(at, extent))
    note = text.note_above(statement)
    return Site(
        place=place,
        patterns=patterns,
        returned=returned,
        each=each,
        note=note,
        names=known.names,
        used=tuple(used),
        reads=known.reads,
        asks=placeholders(note),
    )


@dataclass(frozen=True)
class _Statement:
    """What is the same for every expression of a statement: the chains that are `written` in it,
    with their places, its `names`, what it `reads`, and its assignments within expressions."""

    written: list[tuple[Extent, tuple[str, ...]]]
    names: tuple[tuple[str, ...], ...]
    reads: tuple[tuple[str, ...], ...]
    walrus: tuple[ast.NamedExpr, ...]


_statements: weakref.WeakKeyDictionary[Text, dict[ast.stmt, _Statement]] = (
    weakref.WeakKeyDictionary()
)


def _known(text: Text, statement: ast.stmt) -> _Statement:
    known = _statements.setdefault(text, {})
    if statement not in known:
        written = sorted((extent_of(inner), chain) for inner, chain in _chains(statement))
        known[statement] = _Statement(
            written,
            tuple(dict.fromkeys(chain for _, chain in written)),
            _reads(statement, written),
            tuple(each for each in ast.walk(statement) if isinstance(each, ast.NamedExpr)),
        )
    return known[statement]


def _reads(
    statement: ast.stmt, written: list[tuple[Extent, tuple[str, ...]]]
) -> tuple[tuple[str, ...], ...]:
    """The chains without their last part where that is called: a function is no tensor."""
    called = {extent_of(node.func) for node in ast.walk(statement) if isinstance(node, ast.Call)}
    chains = [chain[:-1] if at in called else chain for at, chain in written]
    return tuple(dict.fromkeys(chain for chain in chains if chain))


def _line(code: CodeType, lasti: int) -> int:
    for start, stop, line in code.co_lines():
        if start <= lasti < stop and line is not None:
            return line
    return code.co_firstlineno


def _bare(code: CodeType, line: int) -> Site:
    """A site of code that has no text, or whose text has changed."""
    place = Place(code.co_filename, line, code.co_qualname, None, None, "", "", None)
    return Site(place, (), False, False, "", (), ())


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


def _assigned(
    statement: ast.stmt, node: Any, walrus: tuple[ast.NamedExpr, ...]
) -> tuple[tuple[Pattern, ...], bool, bool]:
    """(targets, is the returned value, is looped over) of the expression `node`."""
    for inner in walrus if node is not statement else ():
        if node in _values(inner.value):
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
