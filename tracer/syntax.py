"""Reads Python text into its tree, from any thread."""

from __future__ import annotations

import ast
import gc
import threading
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
