"""A failed run as it was: its live objects, which the recorder hands on to a diagnosis."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from torch import Tensor, nn

from tracer.document import Place, Trace


@dataclass(frozen=True)
class Frame:
    """One frame outside torch that the exception passed.

    `scope` is a copy of its local names, `module` the qualified path of its `self` when that is a
    module of the model, None otherwise.  `globals` are the names of its file, empty where they are
    not known.
    """

    code: CodeType
    place: Place
    scope: Mapping[str, Any]
    module: str | None
    globals: Mapping[str, Any] = field(default_factory=dict)


class _Gone:
    def __repr__(self) -> str:
        return "GONE"


GONE = _Gone()
"""Stands in arguments for what was not kept alive."""


@dataclass(frozen=True)
class Construction:
    """The call that constructed the module at `path`: `cls(*args, **kwargs)`.

    Arguments that were left to their default are left out.  `frames` are the author's that led to
    the call, outermost first (`build()` or a script's own line); the last one holds the call, its
    `scope` the names as they were then.  A frame in another module's constructor has that one's
    path as `module`.  `direct` is false where torch's own code made the module, inside the one that
    the last frame constructs.  `exact` is false where `build()` would not make the same: something
    in the arguments is `GONE`, or one of those in `uncertain` may have been changed by the
    constructor before it was noted.
    """

    path: str
    cls: type
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    frames: tuple[Frame, ...]
    direct: bool = True
    exact: bool = True
    uncertain: tuple[str, ...] = ()

    @property
    def place(self) -> Place | None:
        """Where the call is written; `place.span` is that of the call expression."""
        return self.frames[-1].place if self.frames else None

    @property
    def call(self) -> functools.partial[Any]:
        """The call itself: calling it makes the module anew."""
        return functools.partial(self.cls, *self.args, **self.kwargs)


@dataclass(frozen=True)
class Running:
    """A module that was running when the exception passed: `layer(*args, **kwargs)`."""

    path: str
    layer: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Crash:
    """The live objects of a failed run.

    `model(*args, **kwargs)` raised `error`; `trace` is the run up to there, its `failure` still
    plain.  `function(*call_args, **call_kwargs)` is the innermost operation that raised, as torch
    saw it (`torch.conv2d(input, weight, ...)`), None when it was no operation of torch.  `op` is
    its short name, the same for a function, a method, an operator, in place or not: `linear`,
    `conv2d`, `matmul`, `add`, `view`; empty when `function` is None.  `running` are the modules
    that were running, outermost first: torch.nn's own checks in Python raise in the last of them.
    `operands` are the live tensors of `trace.failure.operands`, in that order.  `frames` are the
    author's, outermost first; the last one holds the failing expression.  `build` makes the model
    anew, None where nobody knows how.  `constructions` say how its modules were constructed, by
    path, as far as they were constructed under `recording_construction`, or `build` is known.
    """

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    error: BaseException
    trace: Trace
    op: str
    function: Callable[..., Any] | None
    call_args: tuple[Any, ...]
    call_kwargs: dict[str, Any]
    running: tuple[Running, ...]
    operands: tuple[Tensor, ...]
    frames: tuple[Frame, ...]
    build: Callable[[], nn.Module] | None = None
    constructions: Mapping[str, Construction] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """What the exception says; its own `__str__` may be the author's, and raise."""
        failure = self.trace.failure
        return "" if failure is None else failure.message


Mend = bool | Callable[[Crash], None]
"""Whether what mends a crash is searched for; or what is done with it in the place of that."""
