"""What names stood for at each line, while a model was built and while it ran."""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from tracer.source.text import Text

Scope = Mapping[str, Any]

MOST_LINES = 60_000  # that are watched in one run
MOST_SCOPES = 12  # that are kept of one line: the last ones

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
_INNER = frozenset(["<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>"])


class Watched:
    """Scopes by file and line, of code in `files`; the last that was seen comes last."""

    def __init__(self, files: frozenset[str]) -> None:
        self.files = files
        self.left = MOST_LINES
        self.ran: set[tuple[str, int]] = set()  # lines that were executed
        self._outer: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self._inner: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self._globals: dict[str, Scope] = {}

    def run(self, function: Callable[[], Any]) -> Any:
        """Call a function and keep what names stand for, line by line; what it raises is passed
        on.  Another tool's own tracing is not disturbed: then nothing is kept."""
        if sys.gettrace() is not None:
            return function()
        thread = threading.get_ident()

        def follow(frame: FrameType, event: str, argument: Any) -> Any:
            if threading.get_ident() != thread or self.left <= 0:
                return None
            file = frame.f_code.co_filename
            if file not in self.files:
                return None
            if event == "line":
                self.left -= 1
                self._keep(file, frame)
            return follow

        sys.settrace(follow)
        try:
            return function()
        finally:
            sys.settrace(None)

    def _keep(self, file: str, frame: FrameType) -> None:
        self._globals.setdefault(file, frame.f_globals)
        self.ran.add((file, frame.f_lineno))
        inner = frame.f_code.co_name in _INNER
        table = self._inner if inner else self._outer
        kept = table.setdefault((file, frame.f_lineno), [])
        # A list is filled later on: what it held here is kept.
        kept.append({k: list(v) if type(v) is list else v for k, v in frame.f_locals.items()})
        if len(kept) > MOST_SCOPES:
            del kept[0]

    def scopes(self, text: Text, node: ast.AST) -> Iterator[Scope]:
        """What names stood for where a node is written, the latest first; nothing where that did
        not run."""
        statement = text.statement(node)
        below = self.module(text)
        if statement is None:
            return
        outer = self._outer.get((text.file, statement.lineno), [])
        inner: list[dict[str, Any]] = []
        if text.around(node, _COMPREHENSIONS) is not None:
            for line in range(getattr(node, "lineno", 0), statement.lineno - 1, -1):
                inner = self._inner.get((text.file, line), [])
                if inner:
                    break
        nothing: list[dict[str, Any]] = [{}]
        for scope in reversed(outer[-MOST_SCOPES:] or nothing[: len(inner)]):
            for part in reversed(inner or nothing):
                yield {**below, **scope, **part}

    def module(self, text: Text) -> Scope:
        """The names of a file's module."""
        return self._globals.get(text.file, {})

    def executed(self, text: Text, node: ast.AST) -> bool:
        """Whether the line on which the node's statement begins was executed."""
        statement = text.statement(node)
        return statement is not None and (text.file, statement.lineno) in self.ran
