"""Runs edited source on copies of what failed: the same inputs, a second batch size, and one sample
changed alone.  The user's module, functions, inputs and random state are left as they were."""

from __future__ import annotations

import ast
import contextlib
import copy
import dataclasses
import functools
import inspect
import io
import itertools
import linecache
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from tracer.diagnosis.budget import INITIALISED, MODULE, TRIAL, Budget, Meter, OutOfBudget, Watch
from tracer.diagnosis.rebuild import recoverable, with_modules_of
from tracer.document import Edit, with_edits
from tracer.record.isolation import exclusive, moved, random_state, unobserved
from tracer.source.built import of_user
from tracer.source.slices import Slice
from tracer.source.text import Text, text_of

Shapes = tuple[tuple[int, ...], ...]
Change = Callable[[nn.Module], None]


class CannotRunError(Exception):
    """An edit cannot be executed: it does not parse, or its function cannot be rebuilt."""


class NotRunError(Exception):
    """In the place of a second batch size's own error: the budget ended before it."""


@dataclass(frozen=True)
class Outcome:
    """What became of one edited run.

    `error` is what the run on the same inputs raised, None when it ran; `steps` counts the
    operations until then.  `second` is the error of the second batch size (a NotRunError when
    the budget ended before it), None when it ran or was not tried; `scales` says that the outputs
    follow the batch, `mixes` that one sample's result depends on another sample (None where it
    could not be measured).  `computed` is false when shapes alone were run, `executed` when an
    edited constructor was not: `change` stood in for it.
    `model` is the edited copy.
    """

    error: Exception | None
    steps: int
    shapes: Shapes = ()
    second: Exception | None = None
    scales: bool | None = None
    mixes: bool | None = None
    computed: bool = True
    executed: bool = True
    model: nn.Module | None = None
    sources: tuple[tuple[str, str], ...] = ()

    @property
    def ran(self) -> bool:
        return self.error is None

    @property
    def holds(self) -> bool:
        """It ran, and for a second batch size too."""
        return self.ran and self.second is None


class Bench:
    """Tries edits on copies of one failed call.

    Args:
        model, args, kwargs: what failed.
        build: makes the model anew, for edits in a constructor; None if nobody knows how.
        budget: the work that all trials together may take.
        files: files whose functions may stand between the model and an edit.
    """

    AFFORDABLE = 60_000_000  # elements of parameters that are copied

    def __init__(
        self,
        model: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        build: Callable[[], nn.Module] | None = None,
        budget: Budget | None = None,
        files: frozenset[str] = frozenset(),
        values: bool = True,
    ) -> None:
        self.user = model
        self.build = build
        self.computed = values and _elements(model) <= self.AFFORDABLE
        self.device = None if self.computed else torch.device("meta")
        self.budget = budget or Budget()
        self.limit = self.budget.total / 4  # of one run
        self.overhead = TRIAL + MODULE * sum(1 for _ in model.modules())
        with unobserved(), self.on_device():
            if self.device is not None:
                self.base, self.args, self.kwargs = moved(model, args, kwargs, self.device)
            else:
                with exclusive(model):  # of other threads' traces no hook is to be copied
                    self.base = _copied(model)
                self.args, self.kwargs = _cloned(args), _cloned(kwargs)
        if any(tensor.is_meta for tensor in _tensors((self.args, self.kwargs))):
            self.computed = False
        self.files = files | _files(model) | _files_of(build)
        self.batch = _batch(self.args, self.kwargs)

    def copy(self) -> nn.Module:
        """A copy of the model; its weights are those of the other copies, not the user's."""
        return _copied(self.base, share=True)

    def run(
        self,
        edits: tuple[Edit, ...],
        change: Change | None = None,
        batches: bool = True,
        sources: tuple[tuple[str, str], ...] = (),
    ) -> Outcome:
        """Execute the edited source on the same inputs, and if it runs with other batches.

        Args:
            edits: what is changed; none runs the model as it is.
            change: does to a copy of the model what the edits do in its constructors, and is used
                where the model cannot be built anew.  None if no edit is in a constructor.
            batches: whether to try other batches.
            sources: (file, text) of what was edited before, in place of `edits`.

        Raises:
            CannotRunError: the edits do not make a program.
            OutOfBudget: the budget is used up.
            TooCostly: this run alone takes a good part of it.
        """
        self.budget.spend(self.overhead)
        if not sources:
            files = dict.fromkeys(edit.file for edit in edits)
            sources = tuple(
                (file, _edited(file, tuple(e for e in edits if e.file == file))) for file in files
            )
        with unobserved_output(), random_state(), self.on_device():
            for model, executed in self._models(sources, change):
                error, result, steps = self._once(model, self.args, self.kwargs)
                failed = Outcome(
                    error, steps, (), None, None, None, self.computed, executed, model, sources
                )
                if error is None:
                    shapes = _shapes(result)
                    second, scales, mixes = None, None, None
                    if batches and self.batch is not None:
                        try:
                            second, scales, mixes = self._batches(model, result)
                        except OutOfBudget:
                            second = NotRunError()
                    return dataclasses.replace(
                        failed, shapes=shapes, second=second, scales=scales, mixes=mixes
                    )
        return failed

    def _batches(
        self, model: nn.Module, first: Any
    ) -> tuple[Exception | None, bool | None, bool | None]:
        assert self.batch is not None
        training = {name: module.training for name, module in model.named_modules()}
        size = self.batch
        other = _other_size(size, _tensors((self.args, self.kwargs)))
        args, kwargs = (
            _resized(self.args, size, other, self.kwargs),
            _resized(self.kwargs, size, other, self.args),
        )
        try:
            if not self.computed:
                error, result, _ = self._once(model, args, kwargs)
                if error is not None:
                    return error, None, None
                return None, _scales(first, result, size, other), None
            model.eval()
            error, result, _ = self._once(model, args, kwargs)
            if error is not None:
                return error, None, None
            scales = _scales(first, result, size, other)
            result = _cloned(result)
            changed = _changed(args, other), _changed(kwargs, other)
            error, moved_result, _ = self._once(model, *changed)
            mixes = None if error is not None else _mixes(result, moved_result, first, size, other)
            return None, scales, mixes
        finally:
            for name, module in model.named_modules():
                module.training = training.get(name, module.training)

    def _once(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Exception | None, Any, int]:
        watch = Watch(self.budget, self.limit)
        torch.manual_seed(0)
        with contextlib.ExitStack() as stack:
            if "torch._dynamo" in sys.modules:
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(watch)
            stack.enter_context(Meter(watch, self.computed))
            try:
                return None, model(*_cloned(args), **_cloned(kwargs)), watch.steps
            except Exception as error:  # noqa: BLE001 - the edited model's own error is the outcome
                return error, None, watch.steps
            except SystemExit as error:
                return RuntimeError(f"the forward called sys.exit({error.code})"), None, watch.steps

    def _models(
        self, sources: tuple[tuple[str, str], ...], change: Change | None
    ) -> Iterator[tuple[nn.Module, bool]]:
        """The edited model, and whether its edited constructors were executed: built anew as a
        whole, else those parts of it that can be, else with `change` in their place."""
        twins = _Twins(dict(sources), self.files, next(_numbers))
        if change is not None and self.build is not None:
            made = self._constructed(twins.of(self.build))
            own = type(self.user)
            if type(made) is not own or twins.of(own) is own:
                _take_weights(made, self.base)
                made.train(self.user.training)
                yield made, True
                return
            # It reached the user's own class by a way that copies cannot follow.
        model = self.copy()
        if change is not None and self.parts:
            for path, build in self.parts.items():
                old = model.get_submodule(path)
                made = self._constructed(twins.of(with_modules_of(build, old)))
                _take_weights(made, old)
                made.train(old.training)
                if path:
                    owner, _, name = path.rpartition(".")
                    model.get_submodule(owner)._modules[name] = made
                else:
                    model = made
            twins.inhabit(model)
            yield model, True
            model = self.copy()
        if change is not None:
            try:
                change(model)
            except Exception as error:
                raise CannotRunError(f"the changed layer cannot be made: {error}") from error
            model.train(self.user.training)
        twins.inhabit(model)
        yield model, change is None

    @contextlib.contextmanager
    def on_device(self) -> Iterator[None]:
        """What is made here is made where the trials run."""
        if self.device is None:
            yield
        else:
            with torch.device(self.device), _Elementwise():  # type: ignore[no-untyped-call]
                yield

    def _constructed(self, build: Any) -> nn.Module:
        try:
            made = build()
        except Exception as error:
            raise CannotRunError(f"the edited constructor raised {error}") from error
        if not isinstance(made, nn.Module):
            raise CannotRunError("build made no module")
        if self.computed:
            self.budget.spend(INITIALISED * _elements(made))
        return made

    @functools.cached_property
    def parts(self) -> dict[str, functools.partial[nn.Module]]:
        """What can be built anew where nobody knows how to build the whole."""
        return recoverable(self.base)


# --- copies ------------------------------------------------------------------------------------


def _tensors(value: Any) -> list[Tensor]:
    leaves, _ = tree_flatten(value)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _elements(model: nn.Module) -> int:
    """Of its parameters."""
    return sum(
        parameter.numel()
        for parameter in model.parameters()
        if not isinstance(parameter, UninitializedTensorMixin)
    )


def _shapes(value: Any) -> Shapes:
    return tuple(tuple(int(size) for size in tensor.shape) for tensor in _tensors(value))


def _clone(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def _cloned(value: Any) -> Any:
    return tree_map_only(Tensor, _clone, value)


def _copied(model: nn.Module, share: bool = False) -> nn.Module:
    """A copy of the module; with `share` its parameters are the same objects."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None and not isinstance(parameter, UninitializedTensorMixin):
                memo[id(parameter)] = (
                    parameter
                    if share
                    else nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
                )
        plain = (value for value in vars(module).values() if isinstance(value, Tensor))
        for tensor in (*module._buffers.values(), *plain):
            if tensor is not None and not isinstance(tensor, UninitializedTensorMixin):
                memo[id(tensor)] = tensor.detach().clone()
    return copy.deepcopy(model, memo)


def _take_weights(made: nn.Module, base: nn.Module) -> None:
    """Give a module built anew the weights that fit it."""
    for name, parameter in base.named_parameters(remove_duplicate=False):
        owner, _, last = name.rpartition(".")
        with contextlib.suppress(AttributeError):
            table = made.get_submodule(owner)._parameters
            mine = table.get(last)
            if mine is not None and not isinstance(mine, UninitializedTensorMixin):
                if mine.shape == parameter.shape:
                    table[last] = parameter
                elif mine.dtype != parameter.dtype or mine.device != parameter.device:
                    table[last] = nn.Parameter(
                        mine.detach().to(parameter.device, parameter.dtype), mine.requires_grad
                    )


# --- batches -----------------------------------------------------------------------------------


def _batch(args: Any, kwargs: Any) -> int | None:
    """The inputs' common first size."""
    found = [tensor for tensor in _tensors((args, kwargs)) if tensor.dim()]
    return int(found[0].shape[0]) if found and found[0].shape[0] else None


def _other_size(size: int, tensors: list[Tensor]) -> int:
    """A batch size that no other dimension has, so that no sizes agree by chance."""
    used = {int(s) for tensor in tensors for s in tensor.shape}
    return next(n for n in itertools.count(size + 2) if n not in used)


def _axis(tensor: Tensor, size: int, first: bool) -> int | None:
    if tensor.dim() and tensor.shape[0] == size:
        return 0
    # A recurrent state that is passed in, (layers, B, hidden).
    if not first and tensor.dim() == 3 and tensor.shape[1] == size:
        return 1
    return None


def _resized(value: Any, size: int, other: int, beside: Any) -> Any:
    def resize(tensor: Tensor) -> Tensor:
        axis = _axis(tensor, size, False)
        if axis is None:
            return tensor
        index = torch.arange(other, device=tensor.device) % size
        with unobserved():
            return tensor.detach().index_select(axis, index).requires_grad_(tensor.requires_grad)

    return tree_map_only(Tensor, resize, value)


def _changed(value: Any, size: int) -> Any:
    """The first sample gets other content; everything else is left."""

    def change(tensor: Tensor) -> Tensor:
        axis = _axis(tensor, size, False)
        if axis is None or size < 2:
            return tensor
        with unobserved():
            made = tensor.detach().clone()
            sample = made.select(axis, 0)
            if made.dtype.is_floating_point or made.dtype.is_complex:
                sample.copy_(sample.flip(tuple(range(sample.dim()))) * 1.5 + 0.25)
            elif sample.numel() > 1 and made.dtype != torch.bool:
                # Whole numbers may be indices: only those that occur are sure to be valid.
                sample.copy_(sample.flatten().roll(1).view(sample.shape))
            return made.requires_grad_(tensor.requires_grad)

    return tree_map_only(Tensor, change, value)


def _batched_axis(first: Tensor, second: Tensor, size: int, other: int) -> int | None:
    """The one axis that grew as the batch did."""
    if first.dim() != second.dim():
        return None
    grown = _grown(first, second, size, other)
    return grown[0] if len(grown) == 1 else None


def _grown(first: Tensor, second: Tensor, size: int, other: int) -> list[int]:
    """The axes that grew as the batch did: two where samples are compared with each other."""
    return [
        axis
        for axis, (a, b) in enumerate(zip(first.shape, second.shape, strict=True))
        if a * other == b * size and a != b
    ]


def _scales(first: Any, second: Any, size: int, other: int) -> bool:
    """Every output that is no single number follows the batch in one axis."""
    pairs = list(zip(_tensors(first), _tensors(second), strict=False))
    if not pairs or len(_tensors(first)) != len(_tensors(second)):
        return not _tensors(first) and not _tensors(second)
    return all(
        a.numel() <= 1 or bool(_grown(a, b, size, other)) for a, b in pairs if a.dim() == b.dim()
    ) and all(a.dim() == b.dim() for a, b in pairs)


def _mixes(result: Any, changed: Any, first: Any, size: int, other: int) -> bool | None:
    """Whether more than one sample's share of an output moved when one sample was changed."""
    told: bool | None = None
    for a, b, once in zip(_tensors(result), _tensors(changed), _tensors(first), strict=False):
        axis = _batched_axis(once, a, size, other)
        if axis is None or a.shape != b.shape or not a.numel():
            continue
        with unobserved():
            left = a.detach().movedim(axis, 0).reshape(a.shape[axis], -1)
            right = b.detach().movedim(axis, 0).reshape(a.shape[axis], -1)
            if left.dtype.is_floating_point or left.dtype.is_complex:
                limit = 1e-4 * float(left.abs().nan_to_num(0, 0, 0).max()) + 1e-7
                moved_rows = ((left - right).abs() > limit).any(1)
            else:
                moved_rows = (left != right).any(1)
            share = a.shape[axis] // other
            told = bool(told) or int(moved_rows.sum()) > share
    return told


class _Elementwise(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Elementwise operations on shapes alone.

    Torch runs them through its Python references, the first of which imports the whole compiler:
    that takes longer than all trials together.  Here the operation itself runs on one element for
    its dtype and its complaints.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else the first call imports it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = _tensors((args, kwargs))
        first = tensors[0] if tensors else None
        if first is None:
            return func(*args, **kwargs)
        if not first.is_meta:
            copies = func is torch.ops.aten._to_copy.default
            if copies and kwargs.get("device") == torch.device("meta"):
                return torch.empty_like(first, device="meta", dtype=kwargs.get("dtype"))
            return func(*args, **kwargs)
        changes = bool(func._schema.is_mutable) and args and args[0] is first
        if changes and torch.Tag.nondeterministic_seeded in func.tags:
            return first  # filled with random numbers
        if func is torch.ops.aten.addmm.default:
            # The operation on the dimension that is summed over, of one row and one column.
            bias, left, right = args
            func(_one(bias), _zeros(left[:1]), _zeros(right[:, :1]), **kwargs)
            made = torch.empty((left.shape[0], right.shape[1]), dtype=left.dtype, device="meta")
            torch.broadcast_shapes(bias.shape, made.shape)  # type: ignore[no-untyped-call]
            return made
        if func is torch.ops.aten.mean.dim and first.is_floating_point():
            # A maximum has the same shape, and is none of the references.
            dims = args[1] if len(args) > 1 and args[1] is not None else ()
            kept = args[2] if len(args) > 2 else kwargs.get("keepdim", False)
            if kwargs.get("dtype") is None:
                return torch.ops.aten.amax.default(first, dims, kept)
        few = _normalised(func, args)
        if few is not None:
            rest = tree_map_only(Tensor, _zeros, args[1:])
            found = func(torch.zeros(few, dtype=first.dtype, device="cpu"), *rest)
            return torch.empty_like(first), *(t.to(first.device) for t in found[1:])
        if torch.Tag.pointwise not in func.tags or any(t.dim() and not t.is_meta for t in tensors):
            return func(*args, **kwargs)
        shapes = (tensor.shape for tensor in tensors)
        shape = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
        if changes and shape != first.shape:
            raise RuntimeError(
                f"output with shape {list(first.shape)} doesn't match the broadcast shape "
                f"{list(shape)}"
            )
        layout = kwargs.get("memory_format", torch.preserve_format)
        small = {key: value for key, value in kwargs.items() if key != "memory_format"}
        result = func(*tree_map_only(Tensor, _one, args), **tree_map_only(Tensor, _one, small))
        if not isinstance(result, Tensor) or result.dim() != len(shape):
            return func(*args, **kwargs)
        if changes:
            return first
        like = next((t for t in tensors if t.is_meta and t.shape == shape), None)
        if like is None:
            return torch.empty(shape, dtype=result.dtype, device=first.device)
        return torch.empty_like(like, dtype=result.dtype, memory_format=layout)


def _normalised(func: Any, args: Any) -> tuple[int, ...] | None:
    """The shape of the smallest input for which a normalisation checks its other arguments."""
    shape = tuple(args[0].shape) if args and isinstance(args[0], Tensor) else ()
    if func is torch.ops.aten.native_batch_norm.default and shape:
        return (2, *shape[1:2], *(1 for _ in shape[2:]))
    if func is torch.ops.aten.native_layer_norm.default and len(args[1]) <= len(shape):
        kept = len(shape) - len(args[1])
        return (*(1 for _ in range(kept)), *shape[kept:])
    return None


def _zeros(tensor: Tensor) -> Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu")


def _one(tensor: Tensor) -> Tensor:
    return torch.ones([1] * tensor.dim(), dtype=tensor.dtype, device="cpu")


class _Silent(io.TextIOBase):
    """Swallows what one thread prints and passes on what the others do."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.thread = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self.thread and self.stream is not None:
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        if threading.get_ident() != self.thread and self.stream is not None:
            self.stream.flush()


@contextlib.contextmanager
def unobserved_output() -> Iterator[None]:
    """A forward that prints has printed once: trying it again prints nothing."""
    with (
        contextlib.redirect_stdout(_Silent(sys.stdout)),
        contextlib.redirect_stderr(_Silent(sys.stderr)),
    ):
        yield


# --- edited functions --------------------------------------------------------------------------


def _edited(file: str, edits: tuple[Edit, ...]) -> str:
    text = text_of(file)
    if text is None:
        raise CannotRunError(f"{file} has no text")
    try:
        return with_edits(text.text, edits)
    except ValueError as error:
        raise CannotRunError(str(error)) from error


def _unwrapped(value: Any) -> Any:
    try:
        return inspect.unwrap(value)
    except ValueError:  # a cycle of wrappers
        return value


def _files_of(value: Any) -> frozenset[str]:
    code = getattr(value, "__code__", None)
    return frozenset([code.co_filename]) if code is not None else frozenset()


def _files(model: nn.Module) -> frozenset[str]:
    """The files in which the classes of a model are written, those of torch left out."""
    found: set[str] = set()
    for cls in {cls for module in model.modules() for cls in type(module).__mro__}:
        for value in vars(cls).values():
            function = _unwrapped(value)
            if isinstance(function, FunctionType) and of_user(function.__code__.co_filename):
                found.add(function.__code__.co_filename)
    return frozenset(found)


# Of what can be asked of the compiler from the future, only this is left.
_FUTURE = annotations.compiler_flag


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _numbered(codes: Iterator[CodeType]) -> dict[tuple[str, int], CodeType]:
    """Code objects by qualified name and which of that name it is."""
    seen: dict[str, int] = {}
    found: dict[tuple[str, int], CodeType] = {}
    for code in codes:
        number = seen[code.co_qualname] = seen.get(code.co_qualname, -1) + 1
        found[code.co_qualname, number] = code
    return found


class _Twins:
    """Copies of functions and classes in which the edited source takes the place of the old.

    A copy of a function has copied globals, in which the functions and classes of the same files
    are copies too: an edited helper is reached from wherever it is called, and the user's own
    objects are not touched.
    """

    def __init__(self, sources: dict[str, str], files: frozenset[str], number: int) -> None:
        self.codes: dict[tuple[str, int, str], CodeType] = {}
        self.files = files | frozenset(sources)
        self.sources = sources
        self.number = number
        self._memo: dict[int, Any] = {}
        self._keep: list[Any] = []  # what is known by id must live
        self._pending: list[Callable[[], None]] = []
        self._compiled: dict[tuple[str, int], dict[tuple[int, str], CodeType]] = {}

    def inhabit(self, model: nn.Module) -> None:
        """Give every module of a copied model its edited class, and edited functions in its
        attributes."""
        if not self.sources:
            return
        for module in model.modules():
            cls = self.of(type(module))
            if cls is not type(module):
                try:
                    module.__class__ = cls
                except TypeError as error:
                    raise CannotRunError(str(error)) from error
            for name, value in list(vars(module).items()):
                if name.startswith("_") and name in _TABLES:
                    continue
                other = self.of(value)
                if other is not value:
                    vars(module)[name] = other

    def of(self, value: Any) -> Any:
        """The copy that stands for a function, class or module; anything else is itself."""
        found = self._of(value)
        while self._pending:
            self._pending.pop()()
        return found

    def _of(self, value: Any) -> Any:
        if id(value) in self._memo:
            return self._memo[id(value)]
        if isinstance(value, FunctionType):
            return self._function(value) if self._ours(value) else value
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, staticmethod | classmethod):
            inner = self._of(value.__func__)
            return value if inner is value.__func__ else type(value)(inner)
        if isinstance(value, property):
            parts = [self._of(part) for part in (value.fget, value.fset, value.fdel)]
            return property(parts[0], parts[1], parts[2], value.__doc__)
        if isinstance(value, functools.partial):
            inner = self._of(value.func)
            return (
                value
                if inner is value.func
                else functools.partial(inner, *value.args, **value.keywords)
            )
        if isinstance(value, MethodType):
            inner = self._of(value.__func__)
            return value if inner is value.__func__ else MethodType(inner, value.__self__)
        if isinstance(value, ModuleType):
            return self._module(value)
        if type(value) in (list, tuple) and len(value) <= 50:
            items = [self._of(item) for item in value]
            same = all(a is b for a, b in zip(items, value, strict=True))
            return value if same else type(value)(items)
        if type(value) is dict and "__builtins__" in value:
            return self._globals(value)
        if type(value) is dict and len(value) <= 50:
            table = {key: self._of(item) for key, item in value.items()}
            same = all(table[key] is item for key, item in value.items())
            return value if same else table
        return value

    def _remember(self, value: Any, twin: Any) -> Any:
        self._keep.append(value)
        self._memo[id(value)] = twin
        return twin

    def _function(self, function: FunctionType) -> FunctionType:
        part = function.__dict__.get("part")
        code = self._code(function.__code__) if part is None else self._part(function, part)
        old = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        cells = tuple(self._cell(old.get(name), name) for name in code.co_freevars)
        twin = FunctionType(
            code,
            self._globals(function.__globals__)
            if function.__code__.co_filename in self.files
            else function.__globals__,
            function.__name__,
            function.__defaults__,
            cells or None,
        )
        self._remember(function, twin)
        twin.__kwdefaults__ = function.__kwdefaults__
        twin.__qualname__ = function.__qualname__
        twin.__module__ = function.__module__
        twin.__dict__.update({k: self._of(v) for k, v in function.__dict__.items()})
        if code is not function.__code__:
            self._defaults(function, twin)
        return twin

    def _defaults(self, function: FunctionType, twin: FunctionType) -> None:
        """A default value may be what was edited: `def __init__(self, width=400)`."""
        text = self.sources.get(function.__code__.co_filename)
        first = twin.__code__.co_firstlineno
        if text is None or not function.__defaults__:
            return
        for node in ast.walk(_tree(text)):
            if (
                isinstance(node, ast.FunctionDef)
                and node.name == twin.__name__
                and min([node.lineno, *(d.lineno for d in node.decorator_list)]) == first
            ):
                names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
                written = dict(zip(reversed(names), reversed(node.args.defaults), strict=False))
                parameters = inspect.signature(function).parameters
                values = list(function.__defaults__)
                with_default = [n for n in names if parameters[n].default is not inspect._empty]
                for position, name in enumerate(with_default):
                    value = written.get(name)
                    with contextlib.suppress(ValueError):
                        if value is not None:
                            values[position] = ast.literal_eval(value)
                twin.__defaults__ = tuple(values)

    def _cell(self, cell: CellType | None, name: str) -> CellType:
        if cell is None:
            raise CannotRunError(f"the edit uses {name}, which its function does not see")
        if id(cell) in self._memo:
            found: CellType = self._memo[id(cell)]
            return found
        twin = self._remember(cell, CellType())

        def fill() -> None:
            with contextlib.suppress(ValueError):  # an empty cell stays empty
                twin.cell_contents = self._of(cell.cell_contents)

        self._pending.append(fill)
        made: CellType = twin
        return made

    def _globals(self, names: dict[str, Any]) -> dict[str, Any]:
        if id(names) in self._memo:
            known: dict[str, Any] = self._memo[id(names)]
            return known
        twin: dict[str, Any] = self._remember(names, dict(names))

        def fill() -> None:
            for name, value in names.items():
                if isinstance(
                    value,
                    FunctionType | type | ModuleType | functools.partial | dict | list | tuple,
                ):
                    twin[name] = self._of(value)

        self._pending.append(fill)
        return twin

    def _class(self, cls: type) -> type:
        functions = [value for value in vars(cls).values() if self._ours(value)]
        bases = tuple(self._of(base) for base in cls.__bases__)
        if (not functions and bases == cls.__bases__) or not (
            issubclass(cls, nn.Module | torch.autograd.Function) or self._edits(functions)
        ):
            return self._remember(cls, cls)  # type: ignore[no-any-return]
        table = {
            name: value
            for name, value in vars(cls).items()
            if name not in ("__dict__", "__weakref__")
        }
        table = {name: self._of(value) for name, value in table.items()}
        try:
            twin = type(cls)(cls.__name__, bases, table)
        except Exception as error:
            raise CannotRunError(f"the class {cls.__name__} cannot be copied: {error}") from error
        twin.__qualname__ = cls.__qualname__
        self._remember(cls, twin)
        return twin

    def _ours(self, value: Any) -> bool:
        inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        # A decorator's wrapper is written elsewhere: it holds the function in a cell.
        return any(
            isinstance(each, FunctionType) and each.__code__.co_filename in self.files
            for each in (inner, _unwrapped(inner))
        )

    def _edits(self, functions: list[Any]) -> bool:
        return any(
            getattr(getattr(f, "__func__", f), "__code__", None) is not None
            and getattr(f, "__func__", f).__code__.co_filename in self.sources
            for f in functions
        )

    def _module(self, module: ModuleType) -> ModuleType:
        if getattr(module, "__file__", None) not in self.files:
            return module
        twin = ModuleType(module.__name__)
        self._remember(module, twin)
        names = vars(module)
        table = self._globals(names)

        def fill() -> None:
            twin.__dict__.update(table)

        # After the table itself is filled: the last that waits is served first.
        self._pending.insert(0, fill)
        return twin

    # --- code ---

    def _code(self, code: CodeType) -> CodeType:
        text = self.sources.get(code.co_filename)
        if text is None:
            return code
        old = text_of(code.co_filename)
        if old is None:
            raise CannotRunError(f"{code.co_filename} has no text")
        position = _statement_of(old, code.co_firstlineno)
        if position is None:
            return code
        new = _tree(text)
        body = old.tree.body[position]
        if len(new.body) != len(old.tree.body):
            raise CannotRunError("the edit changes the outline of the file")
        twin_body = new.body[position]
        flags = code.co_flags & _FUTURE
        was, now = _segment(old.text, body), _segment(text, twin_body)
        if was == now and body.lineno == twin_body.lineno:
            return code
        before = _numbered(_codes(_compiled(was, _first_line(body), code.co_filename, flags)))
        name = edited_name(code.co_filename, self.number)
        after = _numbered(_codes(_compiled(now, _first_line(twin_body), name, flags)))
        for key, found in before.items():
            if (
                found.co_qualname == code.co_qualname
                and found.co_firstlineno == code.co_firstlineno
                and found.co_code == code.co_code
                and key in after
            ):
                self._publish(name, text)
                return after[key]
        for key, found in before.items():
            # An enclosing notebook or exec may give the code another qualified name.
            if (
                found.co_name == code.co_name
                and found.co_firstlineno == code.co_firstlineno
                and key in after
            ):
                self._publish(name, text)
                return after[key]
        raise CannotRunError(f"the edited {code.co_qualname} was not found")

    def _part(self, function: FunctionType, part: Slice) -> CodeType:
        """The code of a slice of a script, which is no function in its file."""
        text = self.sources.get(part.text.file)
        if text is None:
            return function.__code__
        name = edited_name(part.text.file, self.number)
        try:
            code = part.compiled(_tree(text), name)
        except (SyntaxError, ValueError) as error:
            raise CannotRunError(str(error)) from error
        self._publish(name, text)
        return code

    def _publish(self, name: str, text: str) -> None:
        """Tracebacks and the recorder read the edited text where Python reads all source."""
        if name not in linecache.cache:
            lines = text.splitlines(keepends=True)
            linecache.cache[name] = (len(text), None, lines, name)
            _published.append(name)
            while len(_published) > 150:
                linecache.cache.pop(_published.pop(0), None)


_numbers = itertools.count(1)  # no name stands for two texts, in whatever thread
_published: list[str] = []
_TABLES = frozenset(nn.Module().__dict__)


def edited_name(file: str, number: int) -> str:
    """The name under which edited source is compiled."""
    return f"{file} (edited {number})"


@functools.lru_cache(maxsize=8)
def _tree(text: str) -> Any:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise CannotRunError(f"the edited text does not parse: {error}") from error


def _first_line(statement: Any) -> int:
    decorators = getattr(statement, "decorator_list", [])
    return int(min([statement.lineno, *(d.lineno for d in decorators)]))


def _statement_of(text: Text, line: int) -> int | None:
    for position, statement in enumerate(text.tree.body):
        if _first_line(statement) <= line <= (statement.end_lineno or statement.lineno):
            return position
    return None


def _segment(text: str, statement: Any) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[_first_line(statement) - 1 : statement.end_lineno])


@functools.lru_cache(maxsize=128)
def _compiled(text: str, line: int, file: str, flags: int) -> CodeType:
    try:
        made: CodeType = compile(
            "\n" * (line - 1) + text, file, "exec", flags=flags, dont_inherit=True
        )
    except (SyntaxError, ValueError, RecursionError) as error:
        raise CannotRunError(f"the edited text does not compile: {error}") from error
    return made
