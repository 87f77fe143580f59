"""The part of a file that led to one statement, cut out as a function of its own: the statements
before it that made what it reads, each at its own place in the text."""

from __future__ import annotations

import ast
import copy
import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any, TypeAlias

from tracer.document import Place
from tracer.source.text import CUT_OUT, Text, header_extent
from tracer.syntax import silently

SELF = "_script"
"""The slice's first parameter, which holds its modules."""

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True)
class Level:
    """One block on the way from the file down to the statement: the list in `field` of the node
    above.  The way goes on at `index`; `kept` are the statements before it that belong to the
    slice, and `context` says that the one at `index` is a `with` that holds for what follows."""

    field: str
    index: int
    kept: tuple[int, ...] = ()
    context: bool = False


@dataclass(frozen=True)
class Slice:
    """The statements that lead to one statement, and it.

    Args:
        text: the file.
        code: that of the frame in which they stand, which the slice's own takes the place of.
        levels: where they are.
        inner: the way to the expression that is all of the last statement that counts; empty for
            the whole of it.
        names: what is given to the slice, beside its modules.
        modules: what the slice's text calls a module → its name among the slice's modules.
    """

    text: Text
    code: CodeType
    levels: tuple[Level, ...]
    inner: tuple[tuple[str, int | None], ...]
    names: tuple[str, ...]
    modules: Mapping[str, str]

    def compiled(self, edited: ast.Module | None = None, file: str = "") -> CodeType:
        """The code of a function `(_script, *names)`; with the file's `edited` tree, that of its
        edited form under the name `file`.

        Raises:
            ValueError: the edited text does not have the statements any more.
        """
        tree = self.text.tree if edited is None else edited
        body = _body(self.text.tree, tree, self.levels)
        body[-1:] = _returning(_expression(body[-1], self.inner))
        named = _Modules(self.modules)
        statements = [named.visit(copy.deepcopy(each)) for each in _nested(body)]
        made = _function(self.code, statements, self.names, file or self.code.co_filename)
        if not file:
            CUT_OUT.add(made)
        return made

    def written(self, name: str) -> Place | None:
        """The statement before the slice that gave a name its value; None of a parameter."""
        node: Any = self.text.tree
        best: ast.stmt | None = None
        for level in self.levels:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                best = None
            block = getattr(node, level.field)
            for each in block[: level.index]:
                best = each if name in writes(each) else best
            node = block[level.index]
            if isinstance(node, ast.For) and name in _targets(node.target):
                best = node
        if best is None:
            return None
        extent = header_extent(best, self.text)
        written, span = self.text.of(extent), self.text.span(extent)
        function = self.code.co_qualname
        return Place(self.text.file, span.line, function, None, span, written, written, span)


def _function(code: CodeType, body: list[Any], names: tuple[str, ...], file: str) -> CodeType:
    first = max(code.co_firstlineno, 1)
    at: dict[str, Any] = {
        "lineno": first,
        "col_offset": 0,
        "end_lineno": first,
        "end_col_offset": 0,
    }
    arguments = [ast.arg(name, **at) for name in (SELF, *names)]
    function = ast.FunctionDef(
        name=code.co_name,
        args=ast.arguments([], arguments, None, [], [], None, []),
        body=body,
        decorator_list=[],
        **at,
    )
    flags = code.co_flags & annotations.compiler_flag
    made = silently(ast.Module([function], []), file, flags)
    found = next(each for each in made.co_consts if isinstance(each, CodeType))
    return found.replace(co_qualname=code.co_qualname)


# --- from the levels to statements ----------------------------------------------------------------


@dataclass
class _Context:
    """A `with`, whose body is what follows."""

    node: Any


def _body(old: Any, new: Any, levels: tuple[Level, ...]) -> list[Any]:
    """The statements and contexts of a slice, in the tree `new` that was `old`."""
    found: list[Any] = []
    for level in levels:
        before, after = getattr(old, level.field), getattr(new, level.field)
        if not isinstance(after, list):
            raise ValueError("the edit changes the outline of the file")
        now, added = _aligned(before, after)
        if level.index not in now:
            raise ValueError("the edit removes the statement")
        at = now[level.index]
        kept = {now[index] for index in level.kept if index in now}
        if level.kept or level is levels[-1]:
            kept |= {index for index in added if index < at}
        found += [after[index] for index in sorted(kept)]
        old, new = before[level.index], after[at]
        if level.context:
            found.append(_Context(new))
    found.append(new)
    return found


def _aligned(old: list[Any], new: list[Any]) -> tuple[dict[int, int], set[int]]:
    """Where each statement of a block is after an edit, and which were added."""
    if len(old) == len(new):
        return {index: index for index in range(len(old))}, set()
    before, after = ([ast.dump(each) for each in block] for block in (old, new))
    found: dict[int, int] = {}
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for _, i, j, k, m in matcher.get_opcodes():
        for back in range(1, min(j - i, m - k) + 1):
            found[j - back] = m - back
    return found, set(range(len(new))) - set(found.values())


def _expression(statement: Any, inner: tuple[tuple[str, int | None], ...]) -> Any:
    """
    Raises:
        ValueError: an edit has made another expression of it.
    """
    node = statement
    try:
        for field, index in inner:
            node = getattr(node, field)
            node = node if index is None else node[index]
    except (AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"the statement has no such part any more: {error}") from error
    return node


def _returning(node: Any) -> list[Any]:
    """The last statement gives back what it computes."""
    if isinstance(node, ast.Return):
        return [node]
    if isinstance(node, ast.expr):
        return [ast.copy_location(ast.Return(node), node)]
    if isinstance(node, ast.Expr):
        return [ast.copy_location(ast.Return(node.value), node)]
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if all(isinstance(target, ast.Name) for target in targets):
            return [ast.copy_location(ast.Return(node.value), node)]
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        result = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
        return [node, ast.copy_location(ast.Return(result), node)]
    return [node]


def _nested(body: list[Any]) -> list[Any]:
    found: list[Any] = []
    for position, each in enumerate(body):
        if isinstance(each, _Context):
            node = copy.copy(each.node)
            node.body = _nested(body[position + 1 :])
            return [*found, node]
        found.append(each)
    return found


class _Modules(ast.NodeTransformer):
    """Modules are reached through the slice's own parameter: a copy of it has copies of them."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self.modules = modules

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            name = self.modules.get(chain_text(node) or "")
            if name is not None:
                own = ast.copy_location(ast.Name(SELF, ast.Load()), node)
                return ast.copy_location(ast.Attribute(own, name, ast.Load()), node)
        return self.generic_visit(node)


def chain_text(node: ast.AST) -> str | None:
    """`self.model` of such a chain of names, None of any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


# --- which statements -------------------------------------------------------------------------


Computes: TypeAlias = Callable[[ast.AST], bool]


def sliced(
    text: Text,
    statement: ast.stmt,
    node: ast.expr | None,
    computes: Computes,
    holds: Computes,
    given: Collection[str],
) -> tuple[tuple[Level, ...], tuple[str, ...]] | None:
    """The statements that lead to `statement`, as far as they can be run again, and the names that
    they read and do not make.

    A name that they read has now the value that it had before them: where it was written since,
    they begin later.

    Args:
        node: the part of the statement that counts; None for all of it.
        computes: whether a statement does nothing but compute.
        holds: whether a `with` is one to keep around what follows.
        given: names that need not be made: modules.

    Returns None where the statement stands in no block.
    """
    way = _way(text, statement)
    if way is None:
        return None
    walk = _Walk(set(), set())
    banned: set[ast.AST] = set()
    for _ in range(_MOST_BANNED):
        walk = _Walk(reads(node or statement) - set(given), set(given))
        _walked(walk, way, computes, banned)
        if not walk.unlike:
            break
        banned |= walk.unlike
    levels = tuple(
        Level(
            field,
            index,
            walk.found[depth],
            context=depth < len(way) - 1 and holds(getattr(above, field)[index]),
        )
        for depth, (above, field, index) in enumerate(way)
    )
    return levels, tuple(sorted(walk.inputs))


_MOST_BANNED = 20


def _parameters(node: ast.AST) -> set[str]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return set()
    return {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}


def _walked(
    walk: _Walk, way: list[tuple[Any, str, int]], computes: Computes, banned: set[ast.AST]
) -> None:
    kept: list[list[int]] = [[] for _ in way]
    walk.settled([()] * len(way))
    for depth in reversed(range(len(way))):
        above, field, index = way[depth]
        block = getattr(above, field)
        if isinstance(above, ast.ClassDef):
            break
        for position in reversed(range(index)):
            each = block[position]
            if walk.back(each, lambda node: node not in banned and computes(node)):
                kept[depth].insert(0, position)
                walk.settled([tuple(each) for each in kept])
        if isinstance(above, _SCOPES):
            break
        walk.leave(above)
    walk.begin(_parameters(above))
    walk.settled([tuple(each) for each in kept])


class _Walk:
    """Backwards through statements: what is still to be made, and what was written on the way.

    `unlike` are statements that read a name whose value is not to be had any more: it was written
    since, by what is not run again.
    """

    def __init__(self, needed: set[str], given: set[str]) -> None:
        self.needed = needed
        self.given = given
        self.fixed: set[str] = set()  # made by what cannot be run again, and the same since
        self.changed: set[str] = set()
        self.asked: dict[str, ast.AST] = {}  # by which statement a name was last needed
        self.unlike: set[ast.AST] = set()
        self.found: list[tuple[int, ...]] = []
        self.inputs: set[str] = set()

    def settled(self, kept: list[tuple[int, ...]]) -> None:
        """If what is needed now was not written since, the slice may begin here."""
        if not self.unlike and not self.needed & self.changed:
            self.found, self.inputs = kept, self.needed | self.fixed

    def back(self, statement: Any, computes: Computes) -> bool:
        """Whether the statement belongs to the slice."""
        written = writes(statement)
        keep = bool(written & self.needed) and computes(statement)
        if keep:
            asked = reads(statement) - self.given
            self.needed = (self.needed - assigned(statement)) | asked
            self.asked.update(dict.fromkeys(asked, statement))
        else:
            self.fix(written)
        self.changed |= written
        return keep

    def leave(self, above: Any) -> None:
        """Before a loop, what it writes is not what it is now."""
        if isinstance(above, ast.For | ast.AsyncFor | ast.While):
            self.fix(writes(above))
            self.changed |= writes(above)
        elif isinstance(above, ast.With | ast.AsyncWith):
            variables = [each.optional_vars for each in above.items if each.optional_vars]
            written = {name for each in variables for name in _targets(each)}
            self.fix(written)
            self.changed |= written

    def begin(self, parameters: set[str]) -> None:
        """At the first statement only parameters have a value: others are written before they are
        read."""
        for name in self.needed & self.changed & parameters:
            self.lose(name)
        self.needed = self.needed - (self.changed - parameters)

    def fix(self, written: set[str]) -> None:
        wanted = written & self.needed
        for name in wanted & self.changed:
            self.lose(name)
        self.fixed |= wanted
        self.needed = self.needed - wanted

    def lose(self, name: str) -> None:
        if name in self.asked:
            self.unlike.add(self.asked[name])


def _way(text: Text, statement: ast.stmt) -> list[tuple[Any, str, int]] | None:
    """(node, field, index) of each block on the way down to the statement."""
    found: list[tuple[Any, str, int]] = []
    node: ast.AST = statement
    while not isinstance(node, ast.Module):
        above = text.parents.get(node)
        if above is None:
            return None
        for field, value in ast.iter_fields(above):
            if isinstance(value, list) and any(each is node for each in value):
                found.insert(0, (above, field, next(i for i, e in enumerate(value) if e is node)))
                break
        else:
            return None
        node = above
    return found


def way_inside(statement: ast.AST, node: ast.AST) -> tuple[tuple[str, int | None], ...] | None:
    """The way from a statement down to an expression in it."""
    if statement is node:
        return ()
    for field, value in ast.iter_fields(statement):
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, each in items:
            if isinstance(each, ast.AST):
                rest = way_inside(each, node)
                if rest is not None:
                    return ((field, index), *rest)
    return None


def reads(node: ast.AST) -> set[str]:
    """The names that are read; those of a comprehension are its own."""
    own = {
        name
        for inner in ast.walk(node)
        if isinstance(inner, ast.comprehension)
        for name in _targets(inner.target)
    }
    found = {
        inner.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load)
    }
    if isinstance(node, ast.AugAssign):
        found |= {_base(node.target)} - {""}
    return found - own


def assigned(node: ast.AST) -> set[str]:
    """The names that a statement surely gives another value."""
    if isinstance(node, ast.With):
        return {name for each in node.body for name in assigned(each)}
    if isinstance(node, ast.Assign):
        return {
            name
            for target in node.targets
            if isinstance(target, ast.Name | ast.Tuple | ast.List)
            for name in _targets(target)
        }
    if isinstance(node, ast.AnnAssign):
        return set(_targets(node.target)) if isinstance(node.target, ast.Name) else set()
    return set()


def writes(node: ast.AST) -> set[str]:
    """The names that a statement may write: what it assigns to, and what it asks to change."""
    found: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name | ast.Attribute | ast.Subscript):
            if isinstance(inner.ctx, ast.Store | ast.Del):
                found.add(_base(inner))
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            if inner.func.attr.endswith("_") or inner.func.attr in CHANGES:
                found.add(_base(inner.func))
        elif isinstance(inner, ast.FunctionDef | ast.ClassDef):
            found.add(inner.name)
    return found - {""}


CHANGES = frozenset(["append", "extend", "insert", "pop", "update", "clear", "remove", "sort"])
"""Methods that change a list or a dict."""


def _base(node: Any) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _targets(target: ast.AST) -> Iterator[str]:
    for inner in ast.walk(target):
        if isinstance(inner, ast.Name):
            yield inner.id
