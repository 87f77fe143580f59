"""Edited texts of source files, and the code that stands in them for the code that ran."""

from __future__ import annotations

import ast
import functools
import itertools
import linecache
from collections.abc import Iterator
from types import CodeType

from tracer import syntax
from tracer.document import Edit, with_edits
from tracer.source.edits import between, shared
from tracer.source.slices import Slice
from tracer.source.text import Text, text_of

Sources = tuple[tuple[str, str], ...]
"""(file, whole new text) of each edited file."""


class CannotRunError(Exception):
    """An edit cannot be executed: it does not parse, or its function cannot be rebuilt."""


def composed(sources: Sources, edits: tuple[Edit, ...]) -> Sources:
    """The edited texts with further edits made, which may name the edited file or the original.

    Raises:
        CannotRunError: two overlap, or a file has no text.
    """
    texts = dict(sources)
    for name in dict.fromkeys(edit.file for edit in edits):
        own = tuple(edit for edit in edits if edit.file == name)
        file = original_name(name)
        try:
            if name != file:
                current = text_of(name)
                if current is None or current.text != texts.get(file):
                    raise CannotRunError(f"{name} is another text")
                texts[file] = with_edits(texts[file], own)
            elif file not in texts:
                texts[file] = with_edits(original(file).text, own)
            else:
                text = original(file).text
                texts[file] = with_edits(text, (*between(file, text, texts[file]), *own))
        except ValueError as error:
            raise CannotRunError(str(error)) from error
    return tuple(texts.items())


def original(file: str) -> Text:
    """
    Raises:
        CannotRunError: the file has no text.
    """
    text = text_of(file)
    if text is None:
        raise CannotRunError(f"{file} has no text")
    return text


class Edited:
    """One edited file beside the file as it is.

    Its statements at the top are those of the original, some of them with another text, and
    imports, functions and classes that were added.  `changed` pairs the old with the new ones,
    `statements` are all as they are now, and `added` those that were added.
    """

    def __init__(self, file: str, text: str) -> None:
        """
        Raises:
            CannotRunError: it does not parse.
        """
        self.file = file
        self.text = text
        self.old = original(file)
        self.name = f"{file}{_MARK}{next(_numbers)})"
        self._now = _lines(text)
        body = self.old.tree.body
        start, stop, first, last = _differing(self.old.lines, self._now, body)
        before = body[start:stop]
        # Only what differs is parsed, where it stands.
        after = parsed("\n" * (first - 1) + "".join(self._now[first - 1 : last]))
        known = {ast.dump(each) for each in before if isinstance(each, _IMPORTS)}
        names = {each.name for each in body if isinstance(each, _DEFINITIONS)}
        self.added = [
            each
            for each in after.body
            if (isinstance(each, _IMPORTS) and ast.dump(each) not in known)
            or (isinstance(each, _DEFINITIONS) and each.name not in names)
        ]
        rest = [each for each in after.body if each not in self.added]
        if len(rest) < len(before):  # one has another name now: it was not added
            self.added = [each for each in self.added if isinstance(each, _IMPORTS)]
            rest = [each for each in after.body if each not in self.added]
        # Of a script statements may come and go; no function is found among those any more.
        self._lost = before if len(rest) != len(before) else []
        self.changed = [
            (was, now)
            for was, now in zip(before, rest, strict=False)
            if not self._lost and self._written(was) != self._written(now, True)
        ]
        self.statements = [*body[:start], *(before if self._lost else rest), *body[stop:]]
        self._tree = ast.Module([*body[:start], *after.body, *body[stop:]], [])
        # What follows the edit stands at its old lines in this tree.
        self._sound = len(body) if len(self._now) == len(self.old.lines) else stop

    def _written(self, statement: ast.stmt, now: bool = False) -> str:
        lines = self._now if now else self.old.lines
        return "".join(lines[first_line(statement) - 1 : statement.end_lineno])

    def code(self, code: CodeType) -> CodeType:
        """What stands for this code of the original file; the same where nothing was changed.

        Raises:
            CannotRunError: it is there no longer.
        """
        for each in self._lost:
            if first_line(each) <= code.co_firstlineno <= (each.end_lineno or each.lineno):
                raise CannotRunError("the edit changes the outline of the file")
        for was, now in self.changed:
            if not first_line(was) <= code.co_firstlineno <= (was.end_lineno or was.lineno):
                continue
            flags = code.co_flags & _FUTURE
            text, new = self._written(was), self._written(now, True)
            before = _numbered(_compiled(text, first_line(was), self.file, flags))
            after = _numbered(_compiled(new, first_line(now), self.name, flags))
            # An enclosing notebook or exec may give the code another qualified name.
            same = {
                key: found
                for key, found in before.items()
                if found.co_name == code.co_name
                and found.co_firstlineno == code.co_firstlineno
                and key in after
            }
            exact = [key for key, found in same.items() if found.co_code == code.co_code]
            for key in (*exact, *same):
                self.publish()
                return after[key]
            raise CannotRunError(f"the edited {code.co_qualname} was not found")
        return code

    def part(self, part: Slice) -> CodeType:
        """The code of a slice of a script, which is no function in its file.

        Raises:
            CannotRunError: its statements are there no longer.
        """
        sound = part.levels[0].index < self._sound
        try:
            code = part.compiled(self._tree if sound else parsed(self.text), self.name)
        except (SyntaxError, ValueError) as error:
            raise CannotRunError(str(error)) from error
        self.publish()
        return code

    def publish(self) -> None:
        """Tracebacks and the recorder read the edited text where Python reads all source."""
        if self.name not in linecache.cache:
            lines = self.text.splitlines(keepends=True)
            linecache.cache[self.name] = (len(self.text), None, lines, self.name)
            _published.append(self.name)
            while len(_published) > 150:
                linecache.cache.pop(_published.pop(0), None)


_MARK = " (edited "
_IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FUTURE = annotations.compiler_flag  # of what can be asked from the future, only this is left
_numbers = itertools.count(1)  # no name stands for two texts, in whatever thread
_published: list[str] = []


def original_name(file: str) -> str:
    """The file in which the code that runs as `file`, edited or not, is written."""
    return file.partition(_MARK)[0]


@functools.lru_cache(maxsize=64)
def parsed(text: str) -> ast.Module:
    """
    Raises:
        CannotRunError: the text does not parse.
    """
    try:
        return syntax.parsed(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise CannotRunError(f"the edited text does not parse: {error}") from error


def first_line(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", [])
    return int(min([statement.lineno, *(each.lineno for each in decorators)]))


def _differing(old: list[str], new: list[str], body: list[ast.stmt]) -> tuple[int, int, int, int]:
    """Which statements differ (from, up to), and the lines of the new text that stand for them."""
    head, tail = shared(old, new)
    first, last = head + 1, len(old) - tail
    start = sum((each.end_lineno or each.lineno) < first for each in body)
    stop = max(start, sum(first_line(each) <= last for each in body))
    if start == stop and start > 0:
        start -= 1  # what was put behind a statement may belong to it
    if start < stop:
        first = min(first, first_line(body[start]))
        last = max(last, body[stop - 1].end_lineno or 0)
    return start, stop, first, last + len(new) - len(old)


@functools.lru_cache(maxsize=64)
def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _numbered(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """Code objects by qualified name and which of that name it is."""
    seen: dict[str, int] = {}
    found: dict[tuple[str, int], CodeType] = {}
    for each in _codes(code):
        number = seen[each.co_qualname] = seen.get(each.co_qualname, -1) + 1
        found[each.co_qualname, number] = each
    return found


@functools.lru_cache(maxsize=128)
def _compiled(text: str, line: int, file: str, flags: int) -> CodeType:
    try:
        return syntax.silently("\n" * (line - 1) + text, file, flags)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise CannotRunError(f"the edited text does not compile: {error}") from error
