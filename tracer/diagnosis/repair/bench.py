"""Runs edited programs on the inputs that failed: on shapes alone, and with values for those that
get through.  The user's module, functions, inputs and random state are left as they were."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.utils._pytree import tree_map_only

from tracer.diagnosis.budget import (
    INITIALISED,
    LEAST,
    MODULE,
    RECORDED,
    TIMES,
    TRIAL,
    Budget,
    Meter,
    TooCostly,
    Watch,
)
from tracer.diagnosis.rebuild import recoverable, with_modules_of
from tracer.diagnosis.repair.copies import (
    copied,
    elements,
    is_on_meta,
    keeps_shapes,
    on_meta,
    take_modes,
    take_weights,
    with_values,
)
from tracer.diagnosis.repair.edited import CannotRunError, Sources, composed
from tracer.diagnosis.repair.shapes import META, OnZeros, Shapes
from tracer.diagnosis.repair.twins import NeedsNewTwinsError, Twins, unwrapped
from tracer.document import Edit
from tracer.record.crash import Crash
from tracer.record.isolation import State, exclusive, quiet, random_state, unobserved
from tracer.record.run import record
from tracer.record.tensors import modules_in, tensors_in
from tracer.source.built import of_user
from tracer.source.text import code_of

__all__ = ["Bench", "CannotRunError", "Change", "Live", "Program", "Run"]

Change = Callable[[nn.Module], None]
Inputs = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
Given = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments of a call."""
ShapeList = tuple[tuple[int, ...], ...]
Print = tuple[Any, ...]
"""Shapes of some tensors, with sums where they have values."""

LARGE = 20_000_000  # elements of parameters
SHARE = 1 / 4  # of the budget that one run may take


@dataclass(frozen=True)
class Program:
    """What is run in the place of what failed.

    `sources` has the whole new text of each edited file.  `constructs` says that an edit is in
    code that runs while the model is built; `change` then does to a copy of the model what these
    edits do, for where nobody knows how to build the model.  `inputs` is what a caller does to the
    inputs, those of other batch sizes too; `prepare` what he does to the model before the call
    (`model.eval()`).  `batches` is false where the inputs get the batch that they lacked.
    """

    sources: Sources = ()
    constructs: bool = False
    change: Change | None = None
    inputs: Inputs | None = None
    prepare: Change | None = None
    batches: bool = True

    @classmethod
    def of(cls, edits: Iterable[Edit], after: Program | None = None, **fields: Any) -> Program:
        """The program with the edits made, on top of those of `after`, whose edited text they may
        name as the file.

        Raises:
            CannotRunError: they overlap, or a file has no text.
        """
        sources = composed(after.sources if after is not None else (), tuple(edits))
        return cls(sources, **fields)


@dataclass(frozen=True)
class Run:
    """One run of a program on the inputs that failed.

    `error` is what it raised, None when it ran; `steps` counts the calls of torch until then.
    `shapes` are its outputs', `print` is a print of them where they have values.  `computed` is
    false when shapes alone were run, `executed` when an edited constructor was not and the
    program's `change` stood in for it; `kept` says that every parameter has the shape that it had,
    so that a checkpoint still loads.
    """

    error: Exception | None
    steps: int
    shapes: ShapeList = ()
    computed: bool = True
    executed: bool = True
    kept: bool = True
    print: Print = ()

    @property
    def ran(self) -> bool:
        return self.error is None


@dataclass(frozen=True)
class Called:
    """What one call came to: its outputs, still live, or what it raised.  `last` are the arguments
    of the last call of torch."""

    error: Exception | None
    result: Any
    steps: int
    work: float  # with values
    last: tuple[Any, Any] = ((), {})
    random: bool = False  # a random number was drawn


@dataclass
class _Stand:
    """Copies of functions and of the model that the runs share, and what puts the model back."""

    twins: Twins
    model: nn.Module
    state: State


class Follower(Protocol):
    """Is told of what a program does."""

    def begin(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None: ...

    def __call__(self, func: Any, args: Any, kwargs: Any, result: Any) -> None: ...


class Live:
    """A program that is ready to be called, any number of times.

    `model` is its edited model, which is put back after each call; `built` says that it is not the
    one that all runs share; `executed` and `kept` are those of `Run`.
    """

    def __init__(
        self,
        bench: Bench,
        model: nn.Module,
        state: State,
        *,
        values: bool,
        executed: bool,
        built: bool,
    ) -> None:
        self.bench = bench
        self.built = built
        self.model = model
        self.values = values
        self.executed = executed
        self._state = state

    @property
    def kept(self) -> bool:
        return not self.built or keeps_shapes(self.model, self.bench.user)

    def call(
        self,
        given: Given,
        *,
        evaluated: bool = False,
        follow: Follower | None = None,
        look: Callable[[Called], Any] | None = None,
    ) -> Called:
        """Call it with copies of these arguments.

        Args:
            given: tensors with values where `values` is true, else on meta.
            evaluated: the model is in evaluation mode meanwhile.
            follow: is told of the model and its inputs, and then of each call of torch.
            look: is called with the outcome before the model is put back.
        """
        bench = self.bench
        watch = bench.watch(self.values)
        watch.follow = follow
        bench.budget.spend(MODULE * bench.modules)
        if self.values:
            torch.default_generator.manual_seed(0)
        args, kwargs = _cloned(given)
        if evaluated:
            self.model.eval()
        if follow is not None:
            follow.begin(self.model, args, kwargs)
        error: Exception | None = None
        result: Any = None
        with contextlib.ExitStack() as stack:
            stack.callback(self._state.restore)
            with contextlib.ExitStack() as inner:
                if "torch._dynamo" in sys.modules:
                    inner.enter_context(torch.compiler.set_stance("force_eager"))
                inner.enter_context(torch.set_grad_enabled(self.values))
                inner.enter_context(watch)
                if self.values:
                    inner.enter_context(Meter(watch, self._state.about_to_write))
                try:
                    result = self.model(*args, **kwargs)
                except Exception as raised:  # noqa: BLE001 - the edited model's own error
                    error = raised
                except SystemExit as raised:
                    error = RuntimeError(f"the forward called sys.exit({raised.code})")
            work = watch.worth if isinstance(watch, Shapes) else watch.work
            called = Called(error, result, watch.steps, work, watch.last, watch.random)
            if look is not None:
                look(called)
        return called


class Bench:
    """Runs programs in the place of one failed call `model(*args, **kwargs)`.

    Args:
        build: makes the model anew, for edits in a constructor; None if nobody knows how.
        budget: the work that all runs together may take.
        files: files whose functions may stand between the model and an edit.

    All of its runs raise:
        CannotRunError: the edits do not make a program.
        OutOfBudget: the budget is used up.
        TooCostly: this run alone takes a good part of it.
    """

    def __init__(
        self,
        model: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        build: Callable[[], nn.Module] | None = None,
        budget: Budget | None = None,
        files: frozenset[str] = frozenset(),
    ) -> None:
        self.user = model
        self.build = build
        self.budget = budget or Budget()
        self.files = files | _files(model) | _files_of(build)
        self.modules = sum(1 for _ in model.modules())
        with unobserved():
            self.given: Given = _cloned((args, kwargs))
            self.on_meta: Given = tree_map_only(Tensor, on_meta, (args, kwargs))
        self.has_values = not any(tensor.is_meta for tensor in tensors_in(self.given))
        self._memory: dict[Any, Any] = {}
        self._open = False
        self.failing: dict[bool, Any] = {}  # what proofs keep of the failing run

    # --- runs ---

    @functools.cached_property
    def plain(self) -> Run:
        """The program as it is: how far it gets."""
        return self.shapes(Program())

    def shapes(self, program: Program) -> Run:
        """Run it on shapes alone; with values where shapes do not lead through."""
        if self.by_shapes:
            run = self._run(program, False)
            if run.ran or not _asks_for_values(run.error):
                return run
        return self.values(program)

    def called(self, program: Program) -> Called:
        """What the call of a program comes to, with the arguments of its last call of torch."""
        values = not self.by_shapes and self.valued
        with self.open(program, values) as live:
            return live.call(self.inputs(program, values))

    def values(self, program: Program) -> Run:
        """Run it with values; the weights are the user's own, without a copy."""
        return self._run(program, self.valued)

    def run(self, program: Program, values: bool, given: Given) -> Run:
        """Run it on other inputs, which have values where `values` is true."""
        return self._run(program, values, given)

    def _run(self, program: Program, values: bool, given: Given | None = None) -> Run:
        with self.open(program, values) as live:
            called = live.call(self.inputs(program, values, given))
            found = tensors_in(called.result)
            shapes = shapes_of(called.result)
            error = called.error.with_traceback(None) if called.error is not None else None
            print_ = print_of(found, values) if error is None and values else ()
            return Run(error, called.steps, shapes, values, live.executed, live.kept, print_)

    def crash(self, program: Program) -> Crash | None:
        """The failure of a program, recorded as the first was; None when it runs."""

        def watch(_: int) -> None:
            self.budget.spend(RECORDED)

        values = not self.costly
        with self.open(program, values) as live, contextlib.ExitStack() as stack:
            args, kwargs = self.inputs(program, values)
            if not values:
                stack.enter_context(OnZeros(self.watch(False)))
                stack.enter_context(META)
            return record(live.model, args, kwargs, watch=watch).crash

    def inputs(self, program: Program, values: bool, given: Given | None = None) -> Given:
        """The inputs, or others in their place, as the program's caller hands them over."""
        if given is None:
            given = self.given if values else self.on_meta
        if program.inputs is None:
            return given
        try:
            with torch.no_grad(), contextlib.ExitStack() as stack:
                if not values:
                    stack.enter_context(OnZeros(self.watch(False)))
                return program.inputs(*_cloned(given))
        except Exception as error:
            raise CannotRunError(f"the inputs cannot be changed so: {error}") from error

    def watch(self, values: bool) -> Watch:
        limit = self.budget.total * SHARE
        if values:
            work = self.__dict__.get("work")  # a repair goes a little further
            return Watch(self.budget, max(limit, 1.5 * work) if work else limit)
        return Shapes(self.budget, limit, self._memory)

    @functools.cached_property
    def _failing(self) -> Called | None:
        """The failing call with values; None where it has none, or costs too much."""
        if not self.has_values:
            return None
        try:
            return self._plain_call(True)
        except TooCostly:
            return None

    def _plain_call(self, values: bool) -> Called:
        with self.open(Program(), values) as live:
            called = live.call(self.given if values else self.on_meta)
        if called.error is not None:
            called.error.__traceback__ = None
        return called

    @functools.cached_property
    def _estimated(self) -> Called | None:
        """The failing call of a large model on shapes, where it fails on them: it costs less, and
        tells what a run with values would."""
        if elements(self.user) <= LARGE:
            return None
        called = self._plain_call(False)
        if called.error is None or _asks_for_values(called.error):
            return None
        self.budget.cap(max(TIMES * called.work, LEAST))
        return called

    @functools.cached_property
    def work(self) -> float | None:
        """What the failing call costs with values; None where that is too much."""
        failing = self._estimated or self._failing
        if failing is None or not self.has_values or failing.work > self.budget.total:
            return None
        return failing.work

    @property
    def valued(self) -> bool:
        """Whether runs with values can be had."""
        return self.work is not None

    @functools.cached_property
    def by_shapes(self) -> bool:
        """Whether shapes alone get as far as values do."""
        if self._estimated is not None or self._failing is None:
            return True
        run = self._run(Program(), False)
        failing = self._failing
        return run.steps == failing.steps and (run.error is None) == (failing.error is None)

    @property
    def costly(self) -> bool:
        """Whether the budget allows but few runs with values."""
        return self.work is None or self.work > self.budget.total / 40

    @property
    def affords_values(self) -> bool:
        """Whether the inputs themselves are run with values: not those of a large model, for which
        fewer and shorter samples do, nor where nothing would be left for others."""
        if self._estimated is not None or self.work is None:
            return False
        return self.budget.left > 1.25 * self.work

    # --- edited models ---

    @contextlib.contextmanager
    def open(self, program: Program, values: bool) -> Iterator[Live]:
        """The program, ready to be called; one at a time."""
        assert not self._open, "another program is open"
        self.budget.spend(TRIAL)
        with contextlib.ExitStack() as stack:
            self._open = True
            stack.callback(setattr, self, "_open", False)
            stack.enter_context(quiet())
            stack.enter_context(random_state())
            try:
                stand = self._stand(values)
                stack.enter_context(stand.twins.edited(program.sources))
            except NeedsNewTwinsError:
                twins = Twins(self.files | {file for file, _ in program.sources})
                stand = stack.enter_context(
                    twins.edited(program.sources, lambda: self._made_stand(twins, values))
                )
            model, executed = self._model(program, stand, values)
            built = model is not stand.model
            state = State(modules_in(model)) if built else stand.state
            if program.prepare is not None:
                program.prepare(model)
            try:
                yield Live(self, model, state, values=values, executed=executed, built=built)
            finally:
                if program.prepare is not None:
                    state.restore()

    @functools.cached_property
    def _twins(self) -> Twins:
        return Twins(self.files)

    @functools.cached_property
    def _shaped(self) -> _Stand:
        return self._made_stand(self._twins, False)

    @functools.cached_property
    def _valued(self) -> _Stand:
        return self._made_stand(self._twins, True)

    def _stand(self, values: bool) -> _Stand:
        if any(isinstance(module, LazyModuleMixin) for module in self.user.modules()):
            return self._made_stand(self._twins, values)  # its first call cannot be undone
        return self._valued if values else self._shaped

    def _made_stand(self, twins: Twins, values: bool) -> _Stand:
        with unobserved(), exclusive(self.user):  # of other threads' traces no hook is to be copied
            model = copied(self.user, None if values else META)
        if self.build is not None:
            twins.of(self.build)
        twins.inhabit(model)
        return _Stand(twins, model, State(modules_in(model)))

    def _model(self, program: Program, stand: _Stand, values: bool) -> tuple[nn.Module, bool]:
        """The edited model, and whether its edited constructors were executed: built anew as a
        whole, else those parts of it that can be, else with `change` in their place."""
        if not program.constructs:
            return stand.model, True
        twins = stand.twins
        if self.build is not None:
            made = self._constructed(twins, self.build, stand.model, values)
            own = type(self.user)
            if type(made) is not own or twins.of(own) is own:
                return made, True
            # It reached the user's own class by a way that copies cannot follow.
        model = copied(stand.model)
        for path, build in self._parts.items():
            old = model.get_submodule(path)
            made = self._constructed(twins, with_modules_of(build, old), old, values)
            if not path:
                return made, True
            owner, _, name = path.rpartition(".")
            model.get_submodule(owner)._modules[name] = made
        if self._parts:
            twins.inhabit(model)
            return model, True
        if program.change is None:
            raise CannotRunError("nobody knows how to build the model")
        try:
            with META if not values else contextlib.nullcontext():
                program.change(model)
        except Exception as error:
            raise CannotRunError(f"the changed layer cannot be made: {error}") from error
        take_modes(model, self.user)
        return model, False

    def _constructed(
        self, twins: Twins, build: Callable[[], nn.Module], base: nn.Module, values: bool
    ) -> nn.Module:
        """What `build` makes now, with the weights of `base` that fit."""
        build = twins.of(build)
        if isinstance(build, functools.partial):
            args, kwargs = twins.replaced(build.args), twins.replaced(build.keywords)
            build = functools.partial(build.func, *args, **kwargs)
        whole = values and elements(base) <= LARGE
        made = None
        if not whole:
            try:
                with self.watch(False), torch.no_grad():
                    made = build()
            except Exception as error:
                if not _may_ask_for_values(error):
                    raise CannotRunError(f"the edited constructor raised {error}") from error
        if made is None:
            self.budget.spend(INITIALISED * elements(base))
            torch.default_generator.manual_seed(0)  # what is built alike computes alike
            try:
                made = build()
            except Exception as error:
                raise CannotRunError(f"the edited constructor raised {error}") from error
        if not isinstance(made, nn.Module):
            raise CannotRunError("build made no module")
        if not values and not is_on_meta(made):
            made = copied(made, META)
        take_weights(made, base)
        if values:
            with_values(made, base)
        take_modes(made, base)
        return made

    @functools.cached_property
    def _parts(self) -> dict[str, functools.partial[nn.Module]]:
        """What can be built anew where nobody knows how to build the whole."""
        return recoverable(self.user)


def shapes_of(result: Any) -> ShapeList:
    return tuple(tuple(map(int, tensor.shape)) for tensor in tensors_in(result))


def print_of(tensors: Iterable[Tensor], values: bool) -> Print:
    return tuple(_print(tensor, values) for tensor in tensors)


def _print(tensor: Tensor, values: bool) -> Any:
    shape = tuple(map(int, tensor.shape))
    if not values or tensor.is_meta or not tensor.numel():
        return shape
    flat = tensor.detach().double().flatten()
    places = torch.arange(flat.numel(), device=flat.device) % 1009
    return shape, float((flat * (places + 1)).sum())  # moved entries give another sum


def agree(before: Print, after: Print) -> bool:
    """Whether two prints are the same but for the rounding of sums."""
    if len(before) != len(after):
        return False
    for a, b in zip(before, after, strict=True):
        if a == b:
            continue
        if not (a and b and isinstance(a[-1], float) and isinstance(b[-1], float)):
            return False
        if a[0] != b[0] or abs(a[1] - b[1]) > 1e-4 * max(abs(a[1]), 1e-6):
            return False
    return True


def rounded(print_: Print) -> Print:
    """The same for prints that differ but in the rounding of sums, nearly always."""
    return tuple(
        (a[0], f"{a[1]:.4g}") if len(a) == 2 and isinstance(a[1], float) else a for a in print_
    )


def _may_ask_for_values(error: Exception) -> bool:
    """Whether this may be a complaint about a tensor without values, in whatever words; what Python
    itself raises of arguments and names comes with values as well."""
    plain = isinstance(
        error, ArithmeticError | AttributeError | LookupError | NameError | TypeError
    )
    return not plain or "meta" in str(error).lower()


def _asks_for_values(error: Exception | None) -> bool:
    """Whether this is torch's complaint about a tensor without values."""
    return isinstance(error, RuntimeError) and "meta" in str(error).lower()


def _cloned(value: Any) -> Any:
    def clone(tensor: Tensor) -> Tensor:
        return tensor.detach().clone().requires_grad_(tensor.requires_grad)

    return tree_map_only(Tensor, clone, value)


def _files_of(value: Any) -> frozenset[str]:
    value = value.func if isinstance(value, functools.partial) else value
    code = code_of(value)
    return frozenset([code.co_filename]) if code is not None else frozenset()


def _files(model: nn.Module) -> frozenset[str]:
    """The files in which the classes of a model are written, those of torch left out."""
    found: set[str] = set()
    for cls in {cls for module in model.modules() for cls in type(module).__mro__}:
        for value in vars(cls).values():
            function = unwrapped(value)
            if isinstance(function, FunctionType) and of_user(function.__code__.co_filename):
                found.add(function.__code__.co_filename)
    return frozenset(found)
