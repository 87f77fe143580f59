"""One run of a module, recorded.

Nothing that torch does is patched, and the module, its buffers, its hooks and the random state are
left as they were.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from tracer import document
from tracer.record.construction import Constructions
from tracer.record.crash import Crash
from tracer.record.failing import crash_of
from tracer.record.freezing import frozen
from tracer.record.isolation import (
    State,
    exclusive,
    moved,
    random_state,
    young_garbage,
)
from tracer.record.mode import Recorder
from tracer.strict import tolerant


class Cancelled(BaseException):
    """Raise it in `watch` to stop a trace, which cleans up and passes it on."""


@dataclasses.dataclass(frozen=True)
class Recording:
    """One run as it was recorded; nothing is said about it yet.

    `error` is what the forward raised, `captured` a detached copy of the tensor that was asked
    for, `crash` what a diagnosis of the error needs, None where there is none to be had.
    """

    trace: document.Trace
    error: Exception | None
    captured: Tensor | None
    crash: Crash | None


def _device(device: str | torch.device | None) -> AbstractContextManager[Any]:
    return torch.device(device) if device is not None else _AS_IT_IS


def _eagerly() -> AbstractContextManager[Any]:
    if "torch._dynamo" in sys.modules:
        return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return]
    return _AS_IT_IS


_AS_IT_IS = contextlib.nullcontext()


def record(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    values: bool = False,
    name: str | None = None,
    restore: bool = True,
    device: str | torch.device | None = None,
    watch: Callable[[int], None] | None = None,
    capture: int | None = None,
    build: Callable[[], nn.Module] | None = None,
    everywhere: bool = False,
) -> Recording:
    """Run `model(*args, **kwargs)` once; arguments as for `tracer.trace`.

    `capture` is the id of a note whose tensor is wanted.  `everywhere` sees calls of modules that
    are no part of the model, too, which are built while it runs.

    Raises:
        TypeError: `model` is not a module.
        Cancelled: `watch` raised it.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"trace needs a torch.nn.Module, not {type(model).__name__}.")
    constructions = Constructions(model, build)  # a copy has none
    if device is not None:
        model, args, kwargs = moved(model, args, kwargs, torch.device(device))
    with young_garbage():
        with exclusive(model) as modules, random_state():
            before = State(modules) if restore else None
            try:
                with _device(device), _eagerly():
                    recorder = Recorder(model, values, watch, capture, before)
                    with recorder.hooks(everywhere):
                        recorder.run(args, kwargs)
            finally:
                if before is not None:
                    before.restore()
        trace = frozen(recorder, name or type(model).__name__)
    crash = None
    if recorder.error is not None:
        with tolerant():  # else the failure stays as plain as it is
            crash = crash_of(recorder, trace, recorder.error, args, kwargs, build, constructions)
    return Recording(trace, recorder.error, recorder.captured, crash)
