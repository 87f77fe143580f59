"""Shapes without torch's compiler.

Torch works out the shapes of many operations in Python, in functions that its compiler is not to
look into; the first call of one imports the compiler to tell it so, which takes as long as to
import torch.  As long as nobody else has imported it, there is nobody to tell.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import torch
from torch._decomp import global_decomposition_table as TABLES

_KEPT = "__dynamo_disable"
"""Where torch keeps what its compiler makes of such a function, once it has."""


@functools.cache
def spare_compiler() -> None:
    """From now on these functions import the compiler no more, and tell it of themselves when it is
    there.  A torch that keeps them otherwise is left as it is."""
    shut_out = getattr(torch, "_disable_dynamo", None)
    code = shut_out and getattr(shut_out(_nothing), "__code__", None)
    for function in _functions():
        if function.__code__ is code:
            for inner in _within(function):
                if not hasattr(inner, _KEPT):
                    setattr(inner, _KEPT, _once_there(inner))


def _nothing() -> None:
    pass


def _functions() -> Iterator[FunctionType]:
    """What works out shapes in Python, with all that it wraps."""
    refs = [module for name, module in sys.modules.items() if name.startswith("torch._refs")]
    homes: list[dict[Any, Any]] = [*map(vars, refs), *TABLES.values()]
    pending = [each for home in homes for each in home.values()]
    seen = set()
    while pending:
        function = pending.pop()
        if isinstance(function, FunctionType) and function not in seen:
            seen.add(function)
            yield function
            pending += _within(function)


def _within(function: FunctionType) -> list[FunctionType]:
    found = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # an empty one
            found.append(cell.cell_contents)
    return [each for each in found if isinstance(each, FunctionType)]


def _once_there(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        made: Callable[..., Any]
        made = torch._dynamo.disable(function, recursive=True, wrapping=False)  # type: ignore[no-untyped-call]
        setattr(function, _KEPT, made)
        return made(*args, **kwargs)

    return call
