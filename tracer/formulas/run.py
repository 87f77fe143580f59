"""A run in which sizes are symbols: what each dimension is in terms of what a user chooses, what
the run demands of these sizes, and what it costs.

The module is built and run once with torch's own symbolic integers on tensors without storage.
Everything that this needs of torch's internals is here and nowhere else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import numbers
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

import sympy
import torch
from torch import Tensor, nn
from torch._dispatch.python import enable_python_dispatcher
from torch._dynamo.source import ConstantSource
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv
from torch.overrides import TorchFunctionMode

from tracer import document
from tracer.formulas.answers import Answers, author
from tracer.formulas.writing import symbol
from tracer.ops.table import bind, flops
from tracer.record.bind import number
from tracer.record.drafts import Draft
from tracer.record.freezing import frozen
from tracer.record.isolation import in_mode, storage, unmade
from tracer.record.live import live_call
from tracer.record.mode import Recorder
from tracer.source.sites import SourceReader

# torch's symbols are integers, but say so to nobody: a LayerNorm takes one for a sequence of sizes.
numbers.Integral.register(torch.SymInt)

Sizes = Mapping[str, int]
Build = Callable[[Mapping[str, Any]], nn.Module]
Watch = Callable[[int], None]
Inputs = Callable[[Mapping[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]


MOST_TERMS = 400_000
"""Terms of the expressions that a run may ask about, where a long one counts for more than it has
(some grow without end)..."""

LONG = 100
"""...from so many terms on for more than twice as much: sympy compares each with each..."""

OPERATION = 100
"""...and each operation for so many, since it asks in many ways."""


class TooLarge(Exception):  # noqa: N818 - says what happened, as Cancelled does
    """A symbolic run was given up; what it had asked until then is kept."""


@dataclasses.dataclass(frozen=True)
class Demand:
    """A condition on the sizes that the run relied on; `step` as in `document.Constraint`."""

    condition: sympy.Basic
    step: int | None


@dataclasses.dataclass(frozen=True)
class Number:
    """Python asked for a number where the symbols had `expression` (`int(...)`, `math.log(...)`),
    and went on with `value`.  `place` is what the author wrote there."""

    expression: sympy.Expr
    value: sympy.Expr
    place: document.Place


@dataclasses.dataclass(frozen=True)
class Symbolic:
    """What one symbolic run found.  `trace` has the shapes at the sizes that it was run with;
    `shapes` an expression for each dimension, by the id of the tensor's note; `flops` one for each
    step; `parameters` the number of the module's parameter elements; `fresh` are the ids of the
    tensors that are new memory and no view of an operand."""

    trace: document.Trace
    sizes: dict[str, int]
    shapes: dict[int, tuple[sympy.Expr, ...]]
    fresh: frozenset[int]
    flops: tuple[sympy.Expr, ...]
    parameters: sympy.Expr
    demands: tuple[Demand, ...]
    numbers: tuple[Number, ...]
    aliases: dict[str, sympy.Expr]
    error: Exception | None


# long: one run, from its symbols to what it gives
def run_with_symbols(
    build: Build,
    inputs: Inputs,
    sizes: Sizes,
    *,
    training: bool = False,
    reader: SourceReader | None = None,
    answers: Answers | None = None,
    watch: Watch | None = None,
) -> Symbolic:
    """Build and run a module with a symbol in the place of each size.

    Args:
        build: makes the module from the sizes, by name.
        inputs: makes its arguments (positional, keyword) from the sizes.
        sizes: the integer that each symbol stands for when Python asks for one.  Ones are taken
            for symbols as well, but a dimension of 1 broadcasts: choose 2 or more.
        training: the module's mode.
        reader: knows the source already, where several runs follow each other.
        answers: what to answer where values are asked for.
        watch: see `tracer.trace`.

    Raises:
        Exception: whatever `build` or `inputs` raises; what the forward raises is in `error`.
    """
    reader = reader or SourceReader()
    env = _Environment(reader)
    names_read = _Names()
    with (
        enable_python_dispatcher(),
        torch.device("meta"),
        torch.no_grad(),
        _replaying(answers),
        _Scalars(),
        _Rules() as rules,  # the innermost: it looks at who calls
    ):
        own, names = {}, {}
        for name, size in sizes.items():
            source = ConstantSource(name)
            made = env.create_symbol(
                size, source, DimDynamic.DYNAMIC, None, do_not_specialize_zero_one=True
            )
            own[name] = env.create_symintnode(made, hint=size, source=source)
            names[made] = symbol(name)
        rules.building = names_read
        model = in_mode(build(own), training)
        rules.building = None
        args, kwargs = inputs(own)
        recorder = _SymbolicRecorder(model, env, names_read, watch)
        recorder.reader = reader
        with recorder.hooks():
            recorder.run(args, kwargs)
        trace = frozen(recorder, type(model).__name__)
        parameters = sum(
            (_expression(p.numel()) for p in model.parameters() if not unmade(p)), sympy.Integer(0)
        )

    @functools.cache
    def named(expression: sympy.Basic) -> sympy.Basic:
        return expression.xreplace(names)

    shapes = {note: tuple(named(size) for size in shape) for note, shape in recorder.shapes.items()}
    return Symbolic(
        trace=trace,
        sizes=dict(sizes),
        shapes=shapes,
        fresh=frozenset(recorder.fresh),
        flops=tuple(_flops(step, shapes) for step in trace.steps),
        parameters=named(parameters),
        demands=tuple(Demand(named(condition), step) for condition, step in recorder.demands()),
        numbers=tuple(Number(named(n.expression), n.value, n.place) for n in env.numbers.values()),
        aliases={name: named(value) for name, value in names_read.found.items()},
        error=recorder.error,
    )


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one run with plain sizes found: `flops` for each step, and what the forward raised."""

    trace: document.Trace
    flops: tuple[int, ...]
    error: Exception | None


def measure(
    build: Build,
    inputs: Inputs,
    settings: Mapping[str, Any],
    *,
    training: bool = False,
    reader: SourceReader | None = None,
    answers: Answers | None = None,
    watch: Watch | None = None,
) -> Measured:
    """Build and run a module on tensors without storage, at these sizes.

    Raises:
        Exception: whatever `build` or `inputs` raises; what the forward raises is in `error`.
    """
    with (
        torch.device("meta"),
        torch.no_grad(),
        _replaying(answers),
        _Scalars(),
        _Uninitialised(),
    ):
        model = in_mode(build(settings), training)
        args, kwargs = inputs(settings)
        recorder = Recorder(model, False, watch, None, None)
        recorder.reader = reader or recorder.reader
        with recorder.hooks():
            recorder.run(args, kwargs)
        trace = frozen(recorder, type(model).__name__)
    return Measured(trace, flops_of(trace), recorder.error)


def flops_of(trace: document.Trace) -> tuple[int, ...]:
    """What each step of a run with plain sizes costs."""
    return tuple(flops(step) or 0 for step in trace.steps)


def _flops(step: document.Step, shapes: Mapping[int, tuple[sympy.Expr, ...]]) -> sympy.Expr:
    """What the operation costs; a number, where symbols do not say."""
    found = flops(step, shapes)
    return sympy.sympify(flops(step) or 0 if found is None else found)


def _expression(size: Any) -> sympy.Expr:
    """What torch knows of an integer."""
    if isinstance(size, torch.SymInt):
        return size.node.expr
    return sympy.Integer(int(size))


def _value(size: Any) -> int:
    """The integer that a symbolic one stands for, without making it that integer."""
    if isinstance(size, torch.SymInt):
        return int(size.node.hint)
    return int(size)


class _Environment(ShapeEnv):
    """Answers every question with the sizes that the symbols stand for, and writes it down.

    torch's own would draw conclusions from the answers: H = W at one place would make them one
    symbol everywhere, though it says of this run's sizes alone."""

    def __init__(self, reader: SourceReader) -> None:
        super().__init__(duck_shape=False, specialize_zero_one=False)
        self.reader = reader
        self.terms = 0
        self._terms: dict[sympy.Basic, int] = {}
        self.asked: list[sympy.Basic] = []
        self.numbers: dict[sympy.Basic, Number] = {}

    def evaluate_expr(
        self,
        orig_expr: sympy.Basic,
        hint: int | bool | float | None = None,
        fx_node: Any = None,
        size_oblivious: bool = False,
        fallback_value: bool | None = None,
        *,
        forcing_spec: bool = False,
    ) -> sympy.Basic:
        if not orig_expr.free_symbols:
            return orig_expr
        terms = self._count(orig_expr)
        self.spend(terms + terms * terms // LONG)
        if hint is None:
            if not orig_expr.free_symbols <= self.backed_var_to_val.keys():
                return super().evaluate_expr(
                    orig_expr, hint, fx_node, size_oblivious, fallback_value
                )
            answer = orig_expr.xreplace(self.backed_var_to_val)
        else:
            answer = sympy.sympify(hint)
        if answer == sympy.true:
            self.asked.append(orig_expr)
        elif answer == sympy.false:
            self.asked.append(sympy.Not(orig_expr, evaluate=False))
        else:
            self.asked.append(sympy.Eq(orig_expr, answer, evaluate=False))
            if orig_expr not in self.numbers:
                frame = author()
                if frame is not None:
                    site = self.reader.site(frame.f_code, frame.f_lasti)
                    self.numbers[orig_expr] = Number(orig_expr, answer, site.place)
        return answer

    def spend(self, terms: int) -> None:
        self.terms += terms
        if self.terms > MOST_TERMS:
            raise TooLarge("the formulas grow too large")

    def _count(self, expression: sympy.Basic) -> int:
        """Its terms, written out: what is shared inside it counts wherever it stands."""
        if expression not in self._terms:
            self._terms[expression] = 1 + sum(map(self._count, expression.args))
        return self._terms[expression]


class _Names:
    """Names to which the author's code has assigned a size; `found` has what each stands for."""

    def __init__(self) -> None:
        self.found: dict[str, sympy.Expr] = {}
        self.conflicts: set[str] = set()

    def read(self, frame: FrameType) -> None:
        code = frame.f_code
        # What a function assigns, not what it is given.
        given = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
        for name, value in frame.f_locals.items():
            if name in given:
                continue
            if isinstance(value, torch.SymInt) and name not in self.conflicts:
                expression = _expression(value)
                if self.found.setdefault(name, expression) != expression:
                    # One name for several sizes is no name.
                    self.conflicts.add(name)
                    del self.found[name]


class _SymbolicRecorder(Recorder):
    """Records as always, and keeps the expressions beside."""

    def __init__(
        self, model: nn.Module, env: _Environment, names: _Names, watch: Watch | None
    ) -> None:
        super().__init__(model, False, watch, None, None)
        self.env = env
        self.names = names
        self.shapes: dict[int, tuple[sympy.Expr, ...]] = {}
        self.fresh: set[int] = set()
        self._seen: list[tuple[int, int | None]] = [(len(env.guards), None)]

    def number(self, value: Any) -> int | float:
        if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
            # What it stands for, without asking: a question would be a demand.
            return value.node.hint  # type: ignore[no-any-return]
        return super().number(value)

    def shape_of(self, tensor: Tensor) -> tuple[int, ...]:
        # The note that is being made is the last one numbered.
        self.shapes[self.next_note - 1] = tuple(_expression(size) for size in tensor.shape)
        return tuple(_value(size) for size in tensor.shape)

    def result_of(
        self, draft: Any, tensor: Tensor, operands: list[Tensor], index: int | None
    ) -> Any:
        made = self.next_note
        noted = super().result_of(draft, tensor, operands, index)
        if noted.id >= made and all(storage(tensor) != storage(each) for each in operands):
            self.fresh.add(noted.id)
        return noted

    def tick(self) -> None:
        super().tick()
        self.env.spend(OPERATION)
        self._seen.append((len(self.env.asked), self.current_step()))

    def begin_operation(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType
    ) -> tuple[Draft, list[Tensor], Any]:
        if not self.inside_step():
            self.names.read(frame)
        return super().begin_operation(func, args, kwargs, frame)

    def demands(self) -> Iterator[tuple[sympy.Basic, int | None]]:
        """Each condition that torch or Python asked about and got, once, with the step that asked
        first."""
        found: dict[sympy.Basic, int | None] = {}
        moments = [*self._seen[1:], (len(self.env.asked), None)]
        for (start, step), (stop, _) in zip(self._seen, moments, strict=True):
            for condition in self.env.asked[start:stop]:
                found.setdefault(condition, step)
        yield from found.items()


def _replaying(answers: Answers | None) -> AbstractContextManager[Any]:
    return contextlib.nullcontext() if answers is None else answers.replaying(_shapes_by_table)


def _shapes_by_table(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[Any, ...]] | None:
    """The shapes that the operation table gives; None where it has none, or refuses the call."""
    try:
        call, _ = live_call(func, args, kwargs, number=_as_it_is)
        found = bind(call)
    except Exception:  # noqa: BLE001 - arguments that the table cannot read
        return None
    return None if found is None or found.violation is not None else list(found.shapes)


# --- sizes that go through tensors --------------------------------------------------------------

_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floor_divide": operator.floordiv,
    "__add__": operator.add,
    "__radd__": operator.add,
    "__sub__": operator.sub,
    "__rsub__": lambda own, other: other - own,
    "__mul__": operator.mul,
    "__rmul__": operator.mul,
    "__floordiv__": operator.floordiv,
}
_DIVISIONS = frozenset(["floor_divide", "__floordiv__"])
_SAME = frozenset(["tensor", "as_tensor", "scalar_tensor", "clone", "detach", "to", "long", "int"])
_READ = frozenset(["item", "tolist", "__int__", "__index__"])
_TAKES_SIZES = frozenset(
    [
        *("view", "reshape", "expand", "repeat", "unflatten", "narrow", "split", "chunk"),
        *("zeros", "ones", "empty", "full", "arange", "__getitem__", "__setitem__", "unfold"),
        *("new_zeros", "new_ones", "new_empty", "new_full", "as_strided", "tile", "roll"),
    ]
)


class _Scalars(TorchFunctionMode):
    """Keeps what tensors of one whole number are worth that were made of sizes:
    `torch.div(length, 2, rounding_mode="trunc")` is a tensor, and a size again where a shape is
    written with it."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _READ and args and (known := _worth(args[0])) is not None:
            return known if name in ("item", "tolist") else int(known)
        if name in _TAKES_SIZES:
            # The first is what is viewed, where it is a tensor of its own.
            own = args[:1] if args and _worth(args[0]) is None else ()
            args = (*own, *(_as_size(each) for each in args[len(own) :]))
            kwargs = {key: _as_size(each) for key, each in kwargs.items()}
            return func(*args, **kwargs)
        found = _made_of_sizes(name, args, kwargs)
        if found is None:
            return func(*args, **kwargs)
        result = func(
            *(_value(each) if isinstance(each, torch.SymInt) else each for each in args), **kwargs
        )
        if isinstance(result, Tensor) and not result.dim() and not result.is_floating_point():
            result._worth = found, result._version  # type: ignore[attr-defined]
        return result


def _made_of_sizes(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an operation on whole numbers gives; None of another."""
    if not args or not (name in _SAME or name == "div" or name in _ARITHMETIC):
        return None
    numbers = [_whole(each) for each in args[:2]]
    if name in _SAME:
        return numbers[0]
    if len(args) != 2 or None in numbers:
        return None
    if name == "div":
        # Sizes are not negative: both ways of rounding are one.
        rounds = kwargs.keys() == {"rounding_mode"} and kwargs["rounding_mode"] is not None
        return numbers[0] // numbers[1] if rounds and numbers[1] else None
    if kwargs or (name in _DIVISIONS and not numbers[1]):
        return None
    return _ARITHMETIC[name](*numbers)


def _whole(value: Any) -> Any:
    """A whole number, or what a tensor is worth; None of what is neither."""
    if isinstance(value, torch.SymInt) or type(value) is int:
        return value
    return _worth(value)


def _worth(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return None
    known, version = getattr(value, "_worth", (None, 0))
    return known if version == value._version else None


def _as_size(value: Any) -> Any:
    if isinstance(value, Tensor):
        known = _worth(value)
        return value if known is None else known
    if type(value) in (tuple, list, torch.Size):
        return type(value)(map(_as_size, value)) if type(value) is not torch.Size else value
    if isinstance(value, slice):
        return slice(*map(_as_size, (value.start, value.stop, value.step)))
    return value


# --- operations that take no symbols ------------------------------------------------------------


class _Uninitialised(TorchFunctionMode):
    """Skips the initialisation of parameters, which have no values here, and what takes long only
    for its shape."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if getattr(func, "__name__", "") == "grid_sampler":
            made = _by_table(func, args, kwargs or {})
            if made is not NotImplemented:
                return made
        return func(*args, **kwargs or {})


class _Rules(TorchFunctionMode):
    """Gives the result's shape in the place of operations that would turn symbols into numbers.
    While a module is being built, `building` reads the names that its constructors use."""

    building: _Names | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.building is not None:
            frame = author()
            if frame is not None:
                self.building.read(frame)
        name = getattr(func, "__name__", "")
        module = getattr(func, "__module__", "") or ""
        if module == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if sys._getframe(1).f_code.co_filename.endswith("nn/init.py"):
            # Parameters have no values here; what initialisation asks of sizes is no demand.
            if name.endswith("_") and not name.endswith("__"):
                return args[0]
            result = func(*args, **kwargs)
            if isinstance(result, torch.Size):
                return torch.Size(map(_value, result))
            return _value(result) if isinstance(result, torch.SymInt) else result
        if _takes_no_symbols(name, args, kwargs):
            made = _by_table(func, args, kwargs)
            if made is not NotImplemented:
                return made
        return func(*args, **kwargs)


def _symbolic(value: Any) -> bool:
    if isinstance(value, torch.SymInt):
        return True
    if isinstance(value, Tensor):
        return any(isinstance(size, torch.SymInt) for size in value.shape)
    if isinstance(value, list | tuple):
        return any(_symbolic(item) for item in value)
    if isinstance(value, dict):
        return any(_symbolic(item) for item in value.values())
    return False


# Of these torch makes numbers even where only the tensors' sizes are symbols.
_ALWAYS = frozenset(
    [f"adaptive_{kind}_pool{n}d" for kind in ("avg", "max") for n in (1, 2, 3)]
    + [f"adaptive_max_pool{n}d_with_indices" for n in (1, 2, 3)]
    + ["affine_grid_generator", "grid_sampler", "rand", "randn", "randint"]
)
# And of these where an argument is one.
_BY_ARGUMENT = frozenset(
    [f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)]
    + [f"max_pool{n}d_with_indices" for n in (1, 2, 3)]
    + ["interpolate", "pad"]
)


def _takes_no_symbols(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    if name in _ALWAYS:
        return _symbolic((args, kwargs))
    given = [value for value in (*args, *kwargs.values()) if not isinstance(value, Tensor)]
    return name in _BY_ARGUMENT and _symbolic(given)


def _as_it_is(value: Any) -> Any:
    return value if isinstance(value, torch.SymInt) else number(value)


def _by_table(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an operation gives, as far as the operation table knows its shapes: tensors without
    values.  `NotImplemented` where it does not, or where the call is refused."""
    call, tensors = live_call(func, args, kwargs, number=_as_it_is)
    found = bind(call)
    if found is None or found.violation is not None:
        return NotImplemented
    dtype = call.arguments.get("dtype")
    first = (
        tensors[0] if tensors else torch.empty((), dtype=getattr(torch, dtype) if dtype else None)
    )
    made = [first.new_empty(shape) for shape in found.shapes]
    # Beside the values stand their places.
    made[1:] = [each.to(torch.int64) for each in made[1:]]
    return made[0] if len(made) == 1 else tuple(made)
