"""What trying edits may cost, in work and never in time, so that a busy machine answers as an idle
one does.

A unit of work is about a microsecond of one idle core: a torch operation costs some however small
it is, and the numbers that it reads, writes and multiplies cost more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import flop_registry

from tracer.record.functions import SETTINGS

SEARCH = 3_500_000
"""Work that all trials of one failure may take."""

TIMES = 2.5
"""Of a large model, how many times the work of the forward that failed a search may take."""

LEAST = 600_000  # that it may take all the same

CALL = 10  # each function of torch
STEP = 4  # each row of what a recurrent network is given
OPERATION = 40  # each operation that it consists of
SHAPED = 120  # the same on shapes alone, which torch works out in Python
PER_ELEMENT = 1 / 2_000
PER_FLOP = 1 / 60_000
RECORDED = 400  # an operation that is recorded as well

TRIAL = 800  # edited code, and what it takes to run it
MODULE = 10  # each module that is put back
INITIALISED = 1 / 150  # each parameter element that a constructor draws

SAFETY = 120.0
"""Seconds of computing after which a search ends all the same, and says so: only a forward that
computes outside torch, where no work is counted, takes so long."""

PATIENCE = 1_200.0
"""The same by the clock, for a forward that waits: on a busy machine too nothing else takes so
long."""


LOOK = 0.1
"""Seconds after which it is asked again how long a search has taken."""


RECURRENT = frozenset(["lstm", "gru", "rnn_tanh", "rnn_relu"])


class OutOfBudget(BaseException):
    """The budget for trying edits is used up."""


class TooCostly(OutOfBudget):
    """One run costs so much that the budget allows but few of them."""


class Budget:
    """Work that is left for trials. `in_time` is false when the search had to end for its time."""

    def __init__(self, work: float | None = None) -> None:
        self.total = self.left = float(SEARCH if work is None else work)
        self.in_time = True
        self._computed = time.thread_time() + SAFETY
        self._clock = time.monotonic() + PATIENCE
        self._look = 0.0

    def cap(self, work: float) -> None:
        """Let no more than this be taken, counting what was taken already."""
        taken = self.total - self.left
        self.total = min(self.total, max(work, taken))
        self.left = self.total - taken

    def spend(self, work: float) -> None:
        """
        Raises:
            OutOfBudget: there is no work left, or the search takes too long.
        """
        self.left -= work
        now = time.monotonic()
        if now > self._look:  # what was computed is dear to ask for
            self._look = now + LOOK
            self.in_time = self.in_time and time.thread_time() < self._computed
            self.in_time = self.in_time and now < self._clock
        if self.left <= 0 or not self.in_time:
            raise OutOfBudget


class Watch(TorchFunctionMode):
    """Counts the calls of torch in one run as `steps` and takes their work from the budget.
    `follow`, if set, is told of each call and its result; `last` are the arguments of the last one.
    `random` says that random numbers were drawn, where a `Meter` looks.

    Raises:
        OutOfBudget: from an operation, when the budget is used up.
        TooCostly: when this run alone has taken more than `limit`.
    """

    def __init__(self, budget: Budget, limit: float) -> None:
        super().__init__()
        self.budget = budget
        self.limit = limit
        self.steps = 0
        self.work = 0.0
        self.follow: Callable[[Any, Any, Any, Any], None] | None = None
        self.last: tuple[Any, Any] = (), {}
        self.random = False

    def spend(self, work: float) -> None:
        self.work += work
        self.budget.spend(work)
        if self.work > self.limit:
            raise TooCostly

    def count(self) -> None:
        """One call of torch."""
        self.steps += 1
        self.spend(CALL)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in SETTINGS:
            return func(*args, **(kwargs or {}))
        self.count()
        self.last = args, kwargs
        whole = getattr(func, "__name__", "") in RECURRENT
        with self._as_one(args) if whole else contextlib.nullcontext():
            result = func(*args, **(kwargs or {}))
        if self.follow is not None:
            self.follow(func, args, kwargs or {}, result)
        return result

    @contextlib.contextmanager
    def _as_one(self, args: Any) -> Iterator[None]:
        """A recurrent network as one operation: a `Meter` would be told of thousands, each of which
        costs less than to be told."""
        given = [tensor for tensor in tree_flatten(args)[0] if isinstance(tensor, Tensor)]
        rows = given[0].numel() // max(given[0].shape[-1], 1)
        weights = sum(tensor.numel() for tensor in given[1:])
        self.spend(OPERATION + STEP * rows + 2 * PER_FLOP * rows * weights)
        dropout = next((place for place, each in enumerate(args) if type(each) is float), None)
        if dropout is not None and args[dropout] > 0 and args[dropout + 1] is True:  # in training
            self.random = True
        with torch._C._DisableTorchDispatch():
            yield


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tells a `Watch` what the operations inside its calls cost, and `about_to_write` which tensors
    they are about to change."""

    def __init__(
        self,
        watch: Watch,
        about_to_write: Callable[[Tensor], None] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.watch = watch
        self.about_to_write = about_to_write

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else the first call imports it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.watch.spend(OPERATION)
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.watch.random = True
        if self.about_to_write is not None and func._schema.is_mutable:
            for argument, value in zip(func._schema.arguments, args, strict=False):
                written = argument.alias_info is not None and argument.alias_info.is_write
                if written and isinstance(value, Tensor):
                    self.about_to_write(value)
        result = func(*args, **kwargs)
        self.watch.spend(price(func, args, kwargs, result))
        return result


def price(func: Any, args: Any, kwargs: Any, result: Any) -> float:
    """What the numbers of one operation cost, beside the operation itself."""
    work = 0.0 if func.is_view else PER_ELEMENT * (_elements(args) + _elements(result))
    count = flop_registry.get(func._overloadpacket)
    if count is not None:
        with contextlib.suppress(Exception):  # torch's formulas do not know every layout
            work += PER_FLOP * int(count(*args, **kwargs, out_val=result))
    return work


def _elements(values: Any) -> int:
    """Of the tensors among them, on whichever device."""
    if isinstance(values, Tensor):
        return 0 if values.layout != torch.strided else values.numel()
    return sum(map(_elements, values)) if isinstance(values, list | tuple) else 0
