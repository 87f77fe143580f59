"""Reads Python text into its tree and its code, from any thread."""

from __future__ import annotations

import ast
import gc
import threading
import warnings
from types import CodeType
from typing import Literal, overload

_reading = threading.Lock()


@overload
def parsed(text: str, mode: Literal["exec"] = "exec") -> ast.Module: ...


@overload
def parsed(text: str, mode: Literal["eval"]) -> ast.Expression: ...


def parsed(text: str, mode: Literal["exec", "eval"] = "exec") -> ast.AST:
    """`ast.parse`, which is not safe with threads: CPython counts the depth of the tree in one
    place for all of them, and raises SystemError ("AST constructor recursion depth mismatch") where
    the collector lets another thread parse meanwhile.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as `ast.parse` does.
    """
    with _reading:
        collects = gc.isenabled()
        gc.disable()
        try:
            return ast.parse(text, mode=mode)
        finally:
            if collects:
                gc.enable()


def silently(what: str | ast.Module, file: str, flags: int = 0) -> CodeType:
    """The code of a text that Python has warned of when it was compiled first, or that is compiled
    only to be tried: its SyntaxWarnings are not told.  Python has one list of filters for all
    threads, and two that put it back in another order would leave it changed.

    Raises:
        SyntaxError, ValueError, RecursionError: it does not compile.
    """
    with _reading, warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        made: CodeType = compile(what, file, "exec", flags=flags, dont_inherit=True)
    return made
