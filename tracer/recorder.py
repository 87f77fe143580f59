"""Runs a module once and records every operation: forward hooks give the tree of module calls, a
`TorchFunctionMode` the operations as they were written.  The only part that runs torch.

Nothing of torch is patched, and the module, its buffers, its hooks and the random state are left
as they were.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import inspect
import itertools
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.overrides import TorchFunctionMode, handle_torch_function, resolve_name

from tracer import document, picture
from tracer.bind import bind, bind_layer, moved_operands, number, plain
from tracer.crash import Crash, Frame, Running
from tracer.isolation import State, exclusive, moved, random_state, storage, unobserved, version
from tracer.ops.names import op_name
from tracer.source.notes import filled
from tracer.source.sites import Pattern, Site, SourceReader
from tracer.source.text import first_line


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
) -> Recording:
    """Run `model(*args, **kwargs)` once; arguments as for `tracer.trace`.

    `capture` is the id of a note whose tensor is wanted.

    Raises:
        TypeError: `model` is not a module.
        Cancelled: `watch` raised it.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"trace needs a torch.nn.Module, not {type(model).__name__}.")
    if device is not None:
        model, args, kwargs = moved(model, args, kwargs, torch.device(device))
    with contextlib.ExitStack() as stack:
        stack.enter_context(exclusive(model))
        stack.enter_context(random_state())
        before = State(model) if restore else None
        if before is not None:
            stack.callback(before.restore)
        if device is not None:
            stack.enter_context(torch.device(device))
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        recorder = Recorder(model, values, watch, capture, before)
        stack.enter_context(recorder.hooks())
        recorder.run(args, kwargs)
    trace = recorder.finish(name or type(model).__name__)
    crash = None
    if recorder.error is not None:
        with contextlib.suppress(Exception):  # then the failure stays as plain as it is
            crash = recorder.crash(trace, recorder.error, args, kwargs, build)
    return Recording(trace, recorder.error, recorder.captured, crash)


# --- reading tensors -------------------------------------------------------------------------


def _flatten(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a nested value, each with how one would write it behind the value's name."""
    if isinstance(value, Tensor):
        if not isinstance(value, UninitializedTensorMixin):
            yield path, value
    elif depth > 8:
        return
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for field in value._fields:
            yield from _flatten(getattr(value, field), f"{path}.{field}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _flatten(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _flatten(item, f"{path}[{key!r}]", depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for member in dataclasses.fields(value):
            yield from _flatten(getattr(value, member.name, None), f"{path}.{member.name}", depth)


# Most arguments are one of these; an exact type is told faster than by asking for each class.
_ONE_TENSOR = frozenset([Tensor, nn.Parameter])
_NO_TENSOR = frozenset(
    [type(None), bool, int, float, str, slice, type(...), torch.Size, torch.dtype, torch.device]
)


def _tensors(value: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _collect(value, found, 0)
    return found


def _collect(value: Any, found: list[Tensor], depth: int) -> None:
    """`_flatten` without the paths."""
    kind = type(value)
    if kind in _ONE_TENSOR:
        found.append(value)
    elif kind is tuple or kind is list:
        if depth <= 8:
            for item in value:
                _collect(item, found, depth + 1)
    elif kind is dict:
        if depth <= 8:
            for item in value.values():
                _collect(item, found, depth + 1)
    elif kind not in _NO_TENSOR:
        found += [tensor for _, tensor in _flatten(value, "", depth)]


def _named(pattern: Pattern, value: Any) -> Iterator[tuple[str, Tensor]]:
    """The names that assigning `value` to `pattern` gives to tensors."""
    if isinstance(pattern, str):
        name = pattern.removeprefix("*")
        for path, tensor in _flatten(value):
            yield name + path, tensor
    elif isinstance(value, list | tuple):
        items = list(value)
        star = next(
            (i for i, p in enumerate(pattern) if isinstance(p, str) and p.startswith("*")), None
        )
        if star is not None:
            behind = len(pattern) - star - 1
            stop = len(items) - behind
            items = [*items[:star], items[star:stop], *items[stop:]]
        for part, item in zip(pattern, items, strict=False):
            yield from _named(part, item)


def _names(pattern: Pattern) -> Iterator[str]:
    if isinstance(pattern, str):
        yield pattern.removeprefix("*")
    else:
        for part in pattern:
            yield from _names(part)


Scope = Mapping[str, Any]


class _FrameScope(Mapping[str, Any]):
    """The names a frame sees.  Its locals are copied once, not at each look."""

    __slots__ = ("frames_own", "of_module")

    def __init__(self, frame: FrameType) -> None:
        self.frames_own = frame.f_locals
        self.of_module = frame.f_globals

    def __getitem__(self, name: str) -> Any:
        own = self.frames_own
        return own[name] if name in own else self.of_module[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.of_module, **self.frames_own})

    def __len__(self) -> int:
        return len({**self.of_module, **self.frames_own})


def resolve(chain: tuple[str, ...], scope: Scope) -> tuple[str, Any] | None:
    """The first tensor along an attribute chain, or the chain's value; runs no property."""
    try:
        value = scope[chain[0]]
    except KeyError:
        return None
    if len(chain) == 1:
        return chain[0], value
    for position, part in enumerate(chain[1:], start=1):
        if type(value) is types.ModuleType and part in value.__dict__:
            value = value.__dict__[part]
            continue
        if isinstance(value, Tensor):
            return ".".join(chain[:position]), value
        if isinstance(value, tuple) and part in getattr(value, "_fields", ()):
            value = getattr(value, part)
            continue
        own = getattr(value, "__dict__", None)
        if not isinstance(own, dict):
            return None
        tables = [own]
        if isinstance(value, nn.Module):
            tables += [own.get("_parameters", {}), own.get("_buffers", {}), own.get("_modules", {})]
        for table in tables:
            if part in table:
                value = table[part]
                break
        else:
            return None
    return ".".join(chain), value


# --- what is recorded while the module runs ---------------------------------------------------


_UNBOUND = document.Bound()


@dataclasses.dataclass(slots=True, eq=False)
class _Draft:
    """A step, or a call of a user's module (`module_call`), while it is being recorded."""

    op: str
    module: str
    site: Site
    frame: int
    call: int
    inputs: list[_Noted]
    names: dict[str, _Noted]
    arguments: tuple[str, ...] = ()
    bound: document.Bound = _UNBOUND
    outputs: list[_Noted] = dataclasses.field(default_factory=list)
    targets: tuple[str, ...] = ()
    children: list[_Draft] = dataclasses.field(default_factory=list)
    fill: dict[str, str] = dataclasses.field(default_factory=dict)
    writes: bool = False
    seconds: float = 0.0
    raised: BaseException | None = None
    # Of calls only:
    parent: int | None = None
    type: str = ""
    settings: str = ""
    start: int = 0
    stop: int = 0
    parameters: int = 0
    # While it is open:
    began: float = 0.0
    first_note: int = 0
    indirect: bool = False  # run by torch's own Python code on behalf of what is written
    of: nn.Module | None = None
    given: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    pending: BaseException | None = None


@dataclasses.dataclass(slots=True, eq=False)
class Operation:
    """What is known of an operation before it runs. `twin` is its opened copy, if it has one."""

    draft: _Draft
    siblings: list[_Draft]
    operands: list[Tensor]
    versions: list[int]
    in_place: bool
    silent: tuple[Any, ...]
    twin: Any


@dataclasses.dataclass(slots=True, eq=False)
class _Noted:
    """A TensorNote whose name may still come: the first assignment gives it."""

    id: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    kind: str
    stats: document.Stats | None
    heatmap: document.Heatmap | None
    born: int | None
    site: Site | None
    inner: bool = True  # named by code inside torch: the author's name replaces it

    def frozen(self) -> document.TensorNote:
        return document.TensorNote(
            self.id,
            self.name,
            self.shape,
            self.dtype,
            self.device,
            self.kind,
            self.stats,
            self.heatmap,
            self.born,
        )


_TORCH = str(Path(torch.__file__).parent) + "/"
_HERE = str(Path(__file__).parent) + "/"
# Frames that only pass a call on: the code that wrote an operation is beyond them.
_PLUMBING = tuple(
    _TORCH + part
    for part in (
        "nn/modules/module.py",
        "overrides.py",
        "_tensor.py",
        "_jit_internal.py",
        "_compile.py",
        "functional.py",
        "utils/",
        "autograd/",
        "_dynamo/",
        "amp/",
    )
)
_HAND_OVER = handle_torch_function.__code__
# Its functions stand for torch's: `rearrange(x, ...)` is what the author wrote.
_EINOPS = "/einops/"


class _Whose(enum.Enum):
    """Whose code a file is.  `PLUMBING` is torch's that only passes a call on, and ours."""

    AUTHOR = enum.auto()
    TORCH = enum.auto()
    PLUMBING = enum.auto()


@functools.cache
def _whose(file: str) -> _Whose:
    if file.startswith((*_PLUMBING, _HERE)):
        return _Whose.PLUMBING
    return _Whose.TORCH if file.startswith(_TORCH) or _EINOPS in file else _Whose.AUTHOR


_OVERRIDES = ("__torch_function__", "__torch_dispatch__")
_NORMALISING = (torch.batch_norm, torch.instance_norm)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

# Ask for facts and make no tensor: not worth a look.
_PROPERTIES = """shape dtype device requires_grad ndim is_cuda layout is_leaf grad_fn is_meta
    is_sparse is_quantized is_nested is_mps is_xpu is_cpu _version output_nr itemsize nbytes"""
_METHODS = """size dim stride numel is_contiguous is_floating_point is_complex element_size
    storage_offset data_ptr get_device ndimension is_inference __len__ __hash__ __repr__
    untyped_storage dim_order is_same_size is_pinned __format__"""
_FACTS: frozenset[Any] = frozenset(
    [getattr(Tensor, name).__get__ for name in _PROPERTIES.split()]
    + [getattr(Tensor, name) for name in _METHODS.split()]
)

_QUIET: dict[str, Any] = {
    name: (lambda *args, **kwargs: False)
    for name in (
        "has_torch_function",
        "has_torch_function_unary",
        "has_torch_function_variadic",
    )
}


def _opened(function: Any) -> Any:
    """A copy of a Python function of torch.nn.functional that does not hand itself to the mode
    again, so that the operations inside it are seen; None if `function` is no such function."""
    if not (
        isinstance(function, types.FunctionType)
        and function.__globals__ is F.__dict__
        and function.__closure__ is None
    ):
        return None
    twin = types.FunctionType(
        function.__code__, {**F.__dict__, **_QUIET}, function.__name__, function.__defaults__
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


_op_names: dict[Any, str] = {}


def _op_name(function: Any) -> str:
    """`torch.matmul`, `Tensor.view`, `F.softmax`: torch's own name, shortened as it is imported."""
    try:
        if function in _op_names:
            return _op_names[function]
    except TypeError:
        return str(getattr(function, "__name__", "?"))
    plain = f"{function.__module__}." if getattr(function, "__module__", None) else ""
    name: str = resolve_name(function) or plain + getattr(function, "__name__", repr(function))
    name = name.removesuffix(".__get__").removesuffix(".__set__")
    for long, short in (
        ("torch.nn.functional.", "F."),
        ("torch.functional.", "torch."),
        ("torch.Tensor.", "Tensor."),
    ):
        if name.startswith(long):
            name = short + name[len(long) :]
            break
    _op_names[function] = name
    return name


def _writes_in_place(function: Any, kwargs: dict[str, Any]) -> bool:
    return kwargs.get("out") is not None or _named_in_place(getattr(function, "__name__", ""))


@functools.cache
def _named_in_place(name: str) -> bool:
    return (
        name == "__setitem__"
        or name == "__set__"
        or (name.endswith("_") and not name.endswith("__"))
        or (name.startswith("__i") and name not in ("__init__", "__invert__", "__index__"))
    )


def _written_silently(function: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands written without a raised version: by normalisation in training (input, weight,
    bias, running_mean, running_var, training, ...), and by `x.data = ...`."""
    if function in _NORMALISING and len(args) > 5 and args[5]:
        return args[3:5]
    return args[:1] if getattr(function, "__name__", "") == "__set__" else ()


_signatures: dict[Any, tuple[tuple[str, ...], dict[str, Any]]] = {}


def _signature(function: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names of a function's positional parameters, and its defaults; of many nothing is
    known."""
    if function not in _signatures:
        try:
            parameters = inspect.signature(function).parameters.values()
        except (ValueError, TypeError):
            parameters = {}.values()
        named = itertools.takewhile(
            lambda p: p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD), parameters
        )
        names = tuple(parameter.name for parameter in named)
        _signatures[function] = names, {p.name: p.default for p in parameters}
    return _signatures[function]


def _text(value: Any) -> str:
    """A non-tensor argument as one would write it, in at most 80 characters."""
    if isinstance(value, torch.Size):
        value = tuple(value)
    if isinstance(value, slice):
        parts = ["" if v is None else _text(v) for v in (value.start, value.stop)]
        return ":".join(parts) + (f":{_text(value.step)}" if value.step is not None else "")
    if value is Ellipsis:
        return "..."
    if isinstance(value, Tensor):
        return "tensor"
    if isinstance(value, list | tuple):
        inner = ", ".join(_text(item) for item in value)
        text = f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
    else:
        try:
            text = repr(value)
        except Exception:  # noqa: BLE001 - a user's __repr__ must not end the trace
            text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else text[:77] + "..."


def _arguments(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
    """The arguments that hold no tensor: `dim=1` where the name is known, else the value alone."""
    if getattr(function, "__name__", "") in ("__getitem__", "__setitem__"):
        index = _text(args[1])
        if isinstance(args[1], tuple):
            index = index[1:-1].removesuffix(",")
        return (f"[{index}]", *(_text(value) for value in args[2:] if not _tensors(value)))
    names, defaults = _signature(function)
    found = []
    for position, value in enumerate(args):
        if type(value) not in _ONE_TENSOR and not _tensors(value):
            name = names[position] if position < len(names) else None
            if name is None:
                found.append(_text(value))
            elif name not in defaults or not _same(value, defaults[name]):
                found.append(f"{name}={_text(value)}")
    for name, value in kwargs.items():
        if not _tensors(value) and not (name in defaults and _same(value, defaults[name])):
            found.append(f"{name}={_text(value)}")
    return tuple(found)


def _same(value: Any, default: Any) -> bool:
    """torch's Python functions hand on every argument: what was left at its default is no news."""
    simple = (bool, int, float, str, tuple, type(None))
    return type(value) is type(default) and isinstance(value, simple) and bool(value == default)


class Recorder(TorchFunctionMode):
    """Builds the drafts of one run.  Belongs to the thread that made it."""

    def __init__(
        self,
        model: nn.Module,
        values: bool,
        watch: Callable[[int], None] | None,
        capture: int | None,
        state: State | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.values = values
        self.watch = watch
        self.capture = capture
        self.captured: Tensor | None = None
        self.state = state
        self.thread = threading.get_ident()
        self.reader = SourceReader()
        self.steps: list[_Draft] = []
        self.calls: list[_Draft] = []
        self.stack: list[_Draft] = []
        self.inputs: list[_Noted] = []
        self.outputs: list[_Noted] = []
        self.remarks: dict[str, None] = {}
        self.error: Exception | None = None
        self.failed: tuple[BaseException, str] | None = None
        self.refused: tuple[BaseException, Any, tuple[Any, ...], dict[str, Any]] | None = None
        self.running: tuple[BaseException, list[_Draft]] | None = None
        self.seconds = 0.0
        self._notes: dict[int, tuple[weakref.ref[Tensor], tuple[int, int], _Noted]] = {}
        self._next_note = 0
        self._written: dict[int, tuple[int | None, Site | None, int]] = {}
        self._writes = itertools.count(1)
        self._twins: dict[Any, Any] = {}
        self._boundary: FrameType | None = None
        self._paths: dict[int, list[str]] = {}
        self._owned: dict[int, tuple[str, str]] = {}
        buffers: dict[int, tuple[str, str]] = {}
        for path, module in model.named_modules(remove_duplicate=False):
            self._paths.setdefault(id(module), []).append(path)
            prefix = f"{path}." if path else ""
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    self._owned.setdefault(id(parameter), (prefix + name, "parameter"))
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    buffers.setdefault(id(buffer), (prefix + name, "buffer"))
        self._owned = {**buffers, **self._owned} if buffers else self._owned
        self._order: dict[str, int] = {}
        for kind in ("parameter", "buffer"):
            for path, of in self._owned.values():
                if of == kind:
                    self._order.setdefault(path, len(self._order))

    # --- running ---

    @contextlib.contextmanager
    def hooks(self) -> Iterator[None]:
        handles = []
        try:
            for module in self.model.modules():
                if isinstance(module, torch.jit.ScriptModule):
                    self.remarks["A scripted module runs outside Python: it shows no steps."] = None
                    continue
                handles.append(
                    module.register_forward_pre_hook(self._enter, prepend=True, with_kwargs=True)
                )
                handles.append(
                    module.register_forward_hook(self._leave, with_kwargs=True, always_call=True)
                )
            yield
        finally:
            for handle in handles:
                handle.remove()

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._boundary = sys._getframe()
        for name, tensor in flatten_arguments(self.model, args, kwargs):
            self.inputs.append(self._note(tensor, name, "input"))
        began = time.perf_counter()
        try:
            with self:
                result = self.model(*args, **kwargs)
            self.outputs = [self._named_note(*pair) for pair in _flatten(result)]
        except Exception as error:  # noqa: BLE001 - the model's own error is the trace's subject
            self.error = error
        finally:
            self.seconds = time.perf_counter() - began
            self._boundary = None
        if self.error is not None:
            self._close_open(self.error)

    def _named_note(self, path: str, tensor: Tensor) -> _Noted:
        noted = self._note(tensor)
        if not noted.name:
            noted.name = f"output{path}"
        return noted

    def _close_open(self, error: BaseException) -> None:
        while self.stack:
            self._close(self.stack[-1], error)

    # --- calls of modules ---

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if threading.get_ident() != self.thread or self._boundary is None:
            return
        with torch._C.DisableTorchFunction():
            draft = self._begin_module(module, args, kwargs)
        draft.pending = sys.exc_info()[1]
        draft.given = (args, kwargs)
        self.stack.append(draft)
        draft.began = time.perf_counter()

    def _begin_module(self, module: nn.Module, args: Any, kwargs: Any) -> _Draft:
        path = self._path(module)
        library = type(module).__module__.startswith("torch.nn")
        is_step = bool(self.calls) and library and not isinstance(module, _CONTAINERS)
        frame = self._frame(inner=self._inside_step())[0] if self.calls else None
        site = self._site(frame)
        scope: Scope = _FrameScope(frame) if frame is not None else {}
        operands = _tensors((args, kwargs))
        inputs = [self._note(tensor) for tensor in operands]
        draft = _Draft(
            op=f"nn.{type(module).__name__}" if library else type(module).__name__,
            module=path,
            site=site,
            frame=id(frame),
            call=self._call(),
            inputs=inputs,
            names=self._names(site, scope),
            fill=self._fill(site, scope),
            of=module,
            first_note=self._next_note,
        )
        if is_step:
            draft.arguments = tuple(_split(module.extra_repr()))
            draft.bound = plain(bind_layer(module, args, kwargs), operands, self._number)
            self._tick()
            self._siblings().append(draft)
        else:
            draft.type = type(module).__name__
            draft.parent = self._call() if self.calls else None
            draft.settings = _short(module.extra_repr())
            draft.start = len(self.steps)
            draft.parameters = _count_parameters(module)
            draft.call = len(self.calls)
            self.calls.append(draft)
        return draft

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        if threading.get_ident() != self.thread or self._boundary is None:
            return
        position = next(
            (i for i in reversed(range(len(self.stack))) if self.stack[i].of is module), None
        )
        if position is None:
            return
        draft = self.stack[position]
        error = sys.exc_info()[1]
        if error is draft.pending:
            error = None
        with torch._C.DisableTorchFunction():
            while len(self.stack) > position + 1:
                self._close(self.stack[-1], error)
            if error is None:
                frame, _ = self._frame(inner=self._inside_step(but=draft))
                draft.outputs = _unique(
                    self._note_output(draft, tensor) for tensor in _tensors(result)
                )
                self._assign(draft, result, frame)
                self._made_by(draft)
            self._close(draft, error)

    def _note_output(self, draft: _Draft, tensor: Tensor) -> _Noted:
        """An output that no recorded operation made, such as a custom C++ function's."""
        known = self._known(tensor)
        if known is not None:
            return known
        if draft.type and draft.start == len(self.steps):
            return self._make(tensor, "", "constant", None, draft.site)
        return self._make(tensor, "", "made", self._index(), draft.site)

    def _made_by(self, draft: _Draft) -> None:
        """What was made inside a step was made, for the author, where the step is written."""
        if not draft.type:
            for noted in draft.outputs:
                if noted.born == self._index() and noted.kind == "made":
                    noted.site = draft.site
                    if noted.inner and not self._inside_step(but=draft):
                        noted.name = ""

    def _close(self, draft: _Draft, error: BaseException | None) -> None:
        self.stack.remove(draft)
        draft.seconds = time.perf_counter() - draft.began
        if error is not None and (self.failed is None or self.failed[0] is not error):
            self.failed = (error, draft.module)
        if error is None:
            draft.given = None
        elif draft.of is not None:
            if self.running is None or self.running[0] is not error:
                self.running = (error, [])
            self.running[1].append(draft)
        if draft.type:
            draft.stop = len(self.steps)
            return
        draft.raised = error
        own = [
            noted
            for leaf in _leaves(draft)
            for noted in leaf.inputs
            if noted.kind in ("parameter", "buffer")
        ]
        if error is not None and draft.of is not None and not own:
            # It refused before it used its weights.
            weights = [p for name, p in draft.of.named_parameters() if "weight" in name]
            own = [self._note(weight) for weight in _tensors(weights)[:2]]
            own = [noted for noted in own if noted.name in self._order]
        given = draft.inputs
        draft.inputs = _unique(given + sorted(own, key=lambda n: self._order[n.name]))
        draft.bound = self._rebound(draft, given)
        # A module that is one operation says nothing more when opened.
        while len(draft.children) == 1:
            draft.children = draft.children[0].children

    def _rebound(self, draft: _Draft, given: list[_Noted]) -> document.Bound:
        """The arguments of a step whose operands `given` have become `draft.inputs`, a layer's own
        weights among them."""
        positions = {noted.id: position for position, noted in enumerate(draft.inputs)}
        own: dict[str, int] = {}
        if draft.of is not None:
            named = {noted.name: noted.id for noted in draft.inputs if noted.name in self._order}
            for name, tensor in (*draft.of._parameters.items(), *draft.of._buffers.items()):
                path, _ = self._owned.get(id(tensor), ("", ""))
                if path in named:
                    own[name] = positions[named[path]]
        return moved_operands(draft.bound, [positions[noted.id] for noted in given], own)

    # --- operations ---

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FACTS or self._boundary is None:
            return func(*args, **kwargs)
        frame, indirect = self._frame(inner=self._inside_step())
        if frame is None:
            return func(*args, **kwargs)
        with torch._C.DisableTorchFunction():
            operation = self._begin(func, args, kwargs, frame)
        draft = operation.draft
        draft.indirect = indirect
        draft.began = time.perf_counter()
        try:
            if operation.twin is not None:
                self.stack.append(draft)
                with self:
                    result = operation.twin(*args, **kwargs)
            else:
                result = func(*args, **kwargs)
        except BaseException as error:
            draft.seconds = time.perf_counter() - draft.began
            while draft in self.stack:
                self._close(self.stack[-1], error)
            draft.raised = error
            if self.failed is None or self.failed[0] is not error:
                self.failed = (error, draft.module)
            if self.refused is None or self.refused[0] is not error:
                self.refused = (error, func, args, kwargs)
            raise
        draft.seconds = time.perf_counter() - draft.began
        with torch._C.DisableTorchFunction():
            if operation.twin is not None:
                self._close(draft, None)
            self._end(operation, result, frame)
        return result

    def _begin(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType
    ) -> Operation:
        if func not in self._twins:
            self._twins[func] = _opened(func)
        operands = _tensors((args, kwargs))
        in_place = _writes_in_place(func, kwargs)
        if self.state is not None and in_place and operands:
            self.state.about_to_write(operands[0])
        site = self._site(frame)
        scope = _FrameScope(frame)
        draft = _Draft(
            op=_op_name(func),
            module=self.stack[-1].module if self.stack else "",
            site=site,
            frame=id(frame),
            call=self._call(),
            inputs=[],
            names=self._names(site, scope),
            arguments=_arguments(func, args, kwargs),
            bound=plain(bind(func, args, kwargs), operands, self._number),
            fill=self._fill(site, scope),
            first_note=self._next_note,
        )
        draft.inputs = [self._note(tensor) for tensor in operands]
        siblings = self._siblings()
        siblings.append(draft)
        self._tick()
        return Operation(
            draft,
            siblings,
            operands,
            [version(tensor) for tensor in operands],
            in_place,
            _written_silently(func, args),
            self._twins[func],
        )

    def _end(self, operation: Operation, result: Any, frame: FrameType) -> None:
        draft, operands = operation.draft, operation.operands
        changed = [
            tensor
            for tensor, before in zip(operands, operation.versions, strict=True)
            if version(tensor) != before
            or (operation.in_place and tensor is operands[0] and tensor.is_inference())
        ]
        if operation.silent:
            changed += [tensor for tensor in operation.silent if isinstance(tensor, Tensor)]
        index = self._index()
        for tensor in changed:
            self._written[storage(tensor)] = (index, draft.site, next(self._writes))
        outputs = _tensors(result)
        if not outputs and changed:
            # Writing through `x[...] = v` returns nothing: the tensor written to is the result.
            result = changed[0]
            outputs = [result]
        if not outputs:
            operation.siblings.remove(draft)
            return
        draft.writes = any(out is tensor for out in outputs for tensor in changed)
        draft.outputs = _unique(self._result(draft, out, operands, index) for out in outputs)
        self._assign(draft, result, frame)
        self._made_by(draft)

    def _result(
        self, draft: _Draft, tensor: Tensor, operands: list[Tensor], index: int | None
    ) -> _Noted:
        if any(tensor is operand for operand in operands):
            # Written in place, or returned as it was (dropout in eval, contiguous of contiguous).
            return self._note(tensor)
        known = self._known(tensor)
        if known is not None:
            return known
        figures = None
        if self.values:
            shared = (self._same_elements(tensor, operand) for operand in operands)
            figures = next((found for found in shared if found is not None), None)
        return self._make(tensor, "", "made", index, draft.site, figures)

    def _same_elements(self, view: Tensor, base: Tensor) -> document.Stats | None:
        """The figures of `base` if `view` shows exactly the same elements in another shape."""
        if (
            view.dtype != base.dtype
            or view.numel() != base.numel()
            or view.layout != torch.strided
            or base.layout != torch.strided
            or storage(view) != storage(base)
            or view.storage_offset() != base.storage_offset()
            or not (picture.dense(view) and picture.dense(base))
            or view.is_conj() != base.is_conj()
            or view.is_neg() != base.is_neg()
        ):
            return None
        known = self._known(base)
        return known.stats if known is not None else None

    # --- where ---

    def _path(self, module: nn.Module) -> str:
        paths = self._paths.get(id(module), [""])
        within = self.stack[-1].module if self.stack else ""
        return next((p for p in paths if not within or p.startswith(within + ".")), paths[0])

    def _call(self) -> int:
        for draft in reversed(self.stack):
            if draft.type:
                return draft.call
        return 0

    def _siblings(self) -> list[_Draft]:
        """Where a new step belongs: inside the open step, or at the author's level."""
        for draft in reversed(self.stack):
            if not draft.type:
                return draft.children
        return self.steps

    def _inside_step(self, but: _Draft | None = None) -> bool:
        return any(not draft.type and draft is not but for draft in self.stack)

    def _opened_at(self) -> int:
        """The first note made inside the author's step that is open: torch's own names are not
        given to what was there before."""
        return next((draft.first_note for draft in self.stack if not draft.type), 0)

    def _index(self) -> int | None:
        """The author's step that is running: the last one begun."""
        return len(self.steps) - 1 if self.steps else None

    def _tick(self) -> None:
        if self.watch is not None:
            self.watch(len(self.steps))

    def _frame(self, inner: bool) -> tuple[FrameType | None, bool]:
        """The frame that wrote what is running: the first outside torch, and for steps inside
        torch the first that does more than pass on.  And whether code of torch stands between."""
        frame: FrameType | None = sys._getframe(1)
        torchs: FrameType | None = None
        while frame is not None and frame is not self._boundary:
            code = frame.f_code
            whose = _whose(code.co_filename)
            if code is _HAND_OVER:
                # The frame behind is the function itself, handing its own call to the mode.
                frame = frame.f_back
            elif whose is _Whose.TORCH:
                if torchs is None:
                    if inner:
                        return frame, False
                    torchs = frame
            elif whose is _Whose.AUTHOR and code.co_name not in _OVERRIDES:
                return frame, torchs is not None
            frame = frame.f_back if frame is not None else None
        return torchs, False

    def _site(self, frame: FrameType | None) -> Site:
        if frame is None:
            return _nowhere(self.model)
        return self.reader.site(frame.f_code, frame.f_lasti, frame.f_lineno)

    def _names(self, site: Site, scope: Scope) -> dict[str, _Noted]:
        found: dict[str, _Noted] = {}
        for chain in site.names:
            resolved = resolve(chain, scope)
            if resolved is None:
                continue
            text, tensor = resolved
            if type(tensor) in _ONE_TENSOR or (
                isinstance(tensor, Tensor) and not isinstance(tensor, UninitializedTensorMixin)
            ):
                noted = found[text] = self._note(tensor, text)
                if not noted.name and noted.id >= self._opened_at():
                    noted.name, noted.inner = text, self._inside_step()
        return found

    def _assign(self, draft: _Draft, result: Any, frame: FrameType | None) -> None:
        """Give the outputs the names that the statement assigns them to; a helper's returned value
        takes the name that its caller gives it."""
        site = draft.site
        if any(o.site is site and o.frame == draft.frame for o in self.stack if o is not draft):
            return  # written as one expression with the call around it, which takes the names
        if draft.indirect:
            return
        inner = self._inside_step(but=draft)
        draft.targets = tuple(dict.fromkeys(n for p in site.patterns for n in _names(p)))
        while site.returned and frame is not None and frame.f_back is not None:
            frame = frame.f_back
            file = frame.f_code.co_filename
            if frame is self._boundary or file.startswith((_TORCH, _HERE)):
                break
            site = self._site(frame)
        for pattern in site.patterns:
            pairs = (
                [pair for tensor in _tensors(result) for pair in _named(pattern, tensor)]
                if site.each
                else list(_named(pattern, result))
            )
            for name, tensor in pairs:
                noted = self._known(tensor)
                if noted is not None and (not noted.name or (noted.inner and not inner)):
                    noted.name, noted.inner = name, inner
        if draft.targets and site is draft.site:
            named = {
                name: tensor
                for pattern in site.patterns
                for name, tensor in _named(pattern, result)
            }
            # A name that the statement both reads and assigns stands for what it reads: the note
            # is above it.
            read = {chain[0] for chain in site.names}
            for key, (chain, item) in site.asks.items():
                if chain[0] in named and chain[0] not in read:
                    value = _walk(named[chain[0]], chain[1:], item)
                    if value is not None:
                        draft.fill[key] = value

    def _fill(self, site: Site, scope: Scope) -> dict[str, str]:
        values: dict[str, str] = {}
        if site.asks:
            for key, (chain, item) in site.asks.items():
                end = len(chain) - 1 if chain[-1] == "shape" and len(chain) > 1 else len(chain)
                resolved = resolve(chain[:end], scope)
                value = _walk(resolved[1], chain[end:], item) if resolved is not None else None
                if value is not None:
                    values[key] = value
        return values

    # --- tensors ---

    def _known(self, tensor: Tensor) -> _Noted | None:
        """The note of this tensor object as it is now."""
        entry = self._notes.get(id(tensor))
        if entry is not None and entry[0]() is tensor and entry[1] == self._moment(tensor):
            return entry[2]
        return None

    def _moment(self, tensor: Tensor) -> tuple[int, int]:
        """Changes whenever the tensor is written to.  The version alone does not tell: inference
        tensors have none, and some kernels write without raising it."""
        written = self._written.get(storage(tensor)) if self._written else None
        return version(tensor), written[2] if written is not None else 0

    def _note(self, tensor: Tensor, name: str = "", kind: str = "constant") -> _Noted:
        known = self._known(tensor)
        if known is not None:
            return known
        entry = self._notes.get(id(tensor))
        if entry is not None and entry[0]() is tensor:
            was = entry[2]
            born, site, _ = self._written.get(storage(tensor), (was.born, was.site, 0))
            kind = "made" if born is not None and was.kind == "constant" else was.kind
            noted = self._make(tensor, was.name, kind, born, site)
            noted.inner = was.inner
            return noted
        owned = self._owned.get(id(tensor))
        if owned is not None:
            return self._make(tensor, owned[0], owned[1], None, None)
        return self._make(tensor, name, kind, None, None)

    def _make(
        self,
        tensor: Tensor,
        name: str,
        kind: str,
        born: int | None,
        site: Site | None,
        figures: document.Stats | None = None,
    ) -> _Noted:
        number, self._next_note = self._next_note, self._next_note + 1
        looks = self.values or number == self.capture or torch._C._len_torch_dispatch_stack()
        with unobserved() if looks else contextlib.nullcontext():
            stats, heatmap = self._looked_at(tensor, number, figures) if looks else (None, None)
            noted = _Noted(
                id=number,
                name=name,
                shape=self._shape(tensor),
                dtype=_dtype_text(tensor.dtype),
                device=_device_text(tensor.device),
                kind=kind,
                stats=stats,
                heatmap=heatmap,
                born=born,
                site=site,
                inner=not name,
            )
            self._notes[id(tensor)] = (weakref.ref(tensor), self._moment(tensor), noted)
        return noted

    def _looked_at(
        self, tensor: Tensor, number: int, figures: document.Stats | None
    ) -> tuple[document.Stats | None, document.Heatmap | None]:
        if number == self.capture:
            self.captured = tensor.detach().clone()
        if self.values and picture.measurable(tensor):
            side = picture.SIDE if number < 400 else picture.SIDE // (2 if number < 1500 else 4)
            try:
                stats = figures if figures is not None else picture.stats(tensor)
                return stats, picture.heatmap(tensor, side)
            except (RuntimeError, NotImplementedError):
                # Tensors inside vmap and the like have shapes but no elements to look at.
                self.remarks["Some tensors could not be measured: only shapes are shown."] = None
        return None, None

    def _number(self, value: Any) -> int | float:
        return number(value)

    def _shape(self, tensor: Tensor) -> tuple[int, ...]:
        if tensor.is_nested:
            self.remarks["A nested tensor has no one shape: its number of tensors is shown."] = None
            return (tensor.size(0),)
        return tuple(int(size) for size in tensor.shape)

    # --- the finished document ---

    def finish(self, name: str) -> document.Trace:
        frozen: dict[int, document.TensorNote] = {}

        drafts = [draft for each in self.steps for draft in (each, *_leaves(each))]
        noted = itertools.chain.from_iterable(
            (*draft.inputs, *draft.outputs) for draft in (*drafts, *self.calls)
        )
        seen = {each.id for each in (*noted, *self.inputs, *self.outputs)}

        def notes(items: list[_Noted]) -> tuple[document.TensorNote, ...]:
            for item in items:
                if item.id not in frozen:
                    frozen[item.id] = item.frozen()
            return tuple(frozen[item.id] for item in items)

        def step(index: int, draft: _Draft) -> document.Step:
            return document.Step(
                index=index,
                op=draft.op,
                module=draft.module,
                place=draft.site.place,
                targets=draft.targets,
                note=filled(draft.site.note, draft.fill),
                inputs=notes(draft.inputs),
                outputs=notes(draft.outputs),
                arguments=draft.arguments,
                bound=draft.bound,
                # A name may stand for a tensor at a moment that no step saw.
                names=tuple((text, n.id) for text, n in draft.names.items() if n.id in seen),
                children=freeze(draft.children),
                call=draft.call,
                writes=draft.writes,
                seconds=draft.seconds,
                error=_error_text(draft.raised) if draft.raised is not None else None,
            )

        def freeze(drafts: list[_Draft]) -> tuple[document.Step, ...]:
            _share_fill(drafts)
            return tuple(step(index, draft) for index, draft in enumerate(drafts))

        def call(index: int, draft: _Draft) -> document.Call:
            return document.Call(
                index=index,
                parent=draft.parent,
                module=draft.module,
                type=draft.type,
                settings=draft.settings,
                place=draft.site.place,
                targets=draft.targets,
                note=filled(draft.site.note, draft.fill),
                inputs=notes(draft.inputs),
                outputs=notes(draft.outputs),
                start=draft.start,
                stop=draft.stop,
                parameters=draft.parameters,
                seconds=draft.seconds,
            )

        steps = freeze(self.steps)
        # A module that cannot be called at all (wrong number of inputs) still has its root call.
        calls = self.calls or [self._begin_module(self.model, (), {})]
        failure = self._failure(steps, notes) if self.error is not None else None
        return document.Trace(
            name=name,
            steps=steps,
            calls=tuple(call(index, draft) for index, draft in enumerate(calls)),
            inputs=notes(self.inputs),
            outputs=notes(self.outputs),
            failure=failure,
            sources=tuple(self.reader.sources),
            remarks=tuple(self.remarks),
            values=self.values,
            training=self.model.training,
            parameters=_count_parameters(self.model),
            seconds=self.seconds,
            torch=torch.__version__,
        )

    def _failure(
        self,
        steps: tuple[document.Step, ...],
        notes: Callable[[list[_Noted]], tuple[document.TensorNote, ...]],
    ) -> document.Failure:
        error = self.error
        assert error is not None
        module = self.failed[1] if self.failed is not None and self.failed[0] is error else ""
        last = self.steps[-1] if self.steps else None
        found = None
        if last is not None and last.raised is error:
            site, operands, found = last.site, last.inputs, steps[-1]
        else:
            site, operands = self._raised_at(error.__traceback__)
        spoken = self._spoken(site, error.__traceback__)
        return document.Failure(
            type=type(error).__name__,
            message=_message(error),
            step=found,
            place=site.place,
            module=module,
            operands=tuple(
                self._operand(noted, note, spoken.get(noted.id, ""))
                for noted, note in zip(operands, notes(operands), strict=True)
            ),
        )

    def _spoken(self, site: Site, traceback: TracebackType | None) -> dict[int, str]:
        """What the failing expression calls tensors that no step made: `self.hidden[0]`."""
        frame = None
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == site.place.file:
                frame = traceback.tb_frame
            traceback = traceback.tb_next
        spoken: dict[int, str] = {}
        if frame is None:
            return spoken
        for chain in site.used:
            resolved = resolve(chain, _FrameScope(frame))
            for path, tensor in _flatten(resolved[1]) if resolved is not None else ():
                known = self._known(tensor)
                if known is not None and resolved is not None:
                    spoken.setdefault(known.id, resolved[0] + path)
        return spoken

    def _operand(self, noted: _Noted, note: document.TensorNote, spoken: str) -> document.Operand:
        if noted.site is None:
            return document.Operand(note, noted.name or spoken, "", None)
        place = noted.site.place
        return document.Operand(note, place.expression, place.file, place.line)

    def _raised_at(self, traceback: TracebackType | None) -> tuple[Site, list[_Noted]]:
        """The innermost place outside torch that the exception passed, and the tensors its
        expression names; torch's own place when it passed no other."""
        own: TracebackType | None = None
        torchs: TracebackType | None = None
        while traceback is not None:
            whose = _whose(traceback.tb_frame.f_code.co_filename)
            if whose is _Whose.TORCH:
                torchs = traceback
            elif whose is _Whose.AUTHOR:
                own = traceback
            traceback = traceback.tb_next
        found = own or torchs
        if found is None:
            return self._forward_site(), []
        site = self.reader.site(found.tb_frame.f_code, found.tb_lasti, found.tb_lineno)
        scope = _FrameScope(found.tb_frame)
        operands: list[_Noted] = []
        for chain in site.used:
            resolved = resolve(chain, scope)
            if resolved is not None:
                operands += [self._note(tensor, resolved[0]) for tensor in _tensors(resolved[1])]
        return site, _unique(operands)

    def _forward_site(self) -> Site:
        """The first line of the model's forward, for a call that never got into it."""
        code = getattr(inspect.unwrap(type(self.model).forward), "__code__", None)
        if code is None or code.co_filename.startswith(_TORCH):
            return _nowhere(self.model)
        place = first_line(code)
        if place is None:
            return _nowhere(self.model)
        return Site(place, (), False, False, "", (), ())

    def crash(
        self,
        trace: document.Trace,
        error: BaseException,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        build: Callable[[], nn.Module] | None,
    ) -> Crash:
        """What a diagnosis needs of a failed run, beside the trace: its live objects."""
        assert trace.failure is not None
        function, call_args = None, ()
        call_kwargs: dict[str, Any] = {}
        if self.refused is not None and self.refused[0] is error:
            _, function, call_args, call_kwargs = self.refused
        running = self.running[1] if self.running is not None and self.running[0] is error else []
        alive = {noted.id: tensor() for tensor, _, noted in self._notes.values()}
        return Crash(
            model=self.model,
            args=args,
            kwargs=kwargs,
            error=error,
            trace=trace,
            op=_short_name(function),
            function=function,
            call_args=call_args,
            call_kwargs=call_kwargs,
            running=tuple(
                Running(draft.module, draft.of, *draft.given)
                for draft in reversed(running)
                if draft.of is not None and draft.given is not None
            ),
            operands=tuple(
                _live(alive.get(operand.note.id), operand.note)
                for operand in trace.failure.operands
            ),
            frames=tuple(self._frames(error.__traceback__)),
            build=build,
        )

    def _frames(self, traceback: TracebackType | None) -> Iterator[Frame]:
        while traceback is not None:
            frame = traceback.tb_frame
            if _whose(frame.f_code.co_filename) is _Whose.AUTHOR:
                scope = dict(frame.f_locals)
                path = self._paths.get(id(scope.get("self")))
                site = self.reader.site(frame.f_code, traceback.tb_lasti, traceback.tb_lineno)
                yield Frame(frame.f_code, site.place, scope, path[0] if path else None)
            traceback = traceback.tb_next


def _short_name(function: Any) -> str:
    """`add` of `Tensor.__iadd__`, `Tensor.add_` and `torch.add`."""
    if function is None:
        return ""
    # Its own name: torch has some under several (`mm` is `spmm`).
    name = getattr(function, "__name__", "__get__")
    return op_name(_op_name(function) if name in ("__get__", "__set__") else name)


def _live(tensor: Tensor | None, note: document.TensorNote) -> Tensor:
    """The tensor of a note, or one of its shape when it is gone."""
    if tensor is not None:
        return tensor
    return torch.empty(note.shape, dtype=getattr(torch, note.dtype, None), device="meta")


@functools.cache
def _dtype_text(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@functools.cache
def _device_text(device: torch.device) -> str:
    return str(device)


def _unique(notes: Iterable[_Noted]) -> list[_Noted]:
    return list({noted.id: noted for noted in notes}.values())


def _leaves(draft: _Draft) -> Iterator[_Draft]:
    for child in draft.children:
        yield child
        yield from _leaves(child)


def _share_fill(drafts: list[_Draft]) -> None:
    """The steps of one pass over a statement share what its note could be filled with: only the
    last of a chain knows what the statement assigned."""
    shared: dict[str, str] = {}
    statement: Any = None
    seen: set[Any] = set()
    for draft in drafts:
        place = draft.site.place
        key = (draft.frame, draft.call, place.file, place.statement_span)
        if key != statement or place.span in seen:
            shared, statement, seen = {}, key, set()
        seen.add(place.span)
        shared.update(draft.fill)
        draft.fill = shared


def _walk(value: Any, rest: tuple[str, ...], item: int | None) -> str | None:
    if rest == ("shape",) and isinstance(value, Tensor):
        value = tuple(value.shape)
    elif rest:
        return None
    if item is not None:
        try:
            value = value[item]
        except (TypeError, IndexError, KeyError):
            return None
    if isinstance(value, bool | int | str) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple) and all(isinstance(part, int) for part in value):
        return _text(value)
    return None


def _nowhere(model: nn.Module) -> Site:
    """The place of the root's call: it is the caller's, outside the trace."""
    place = document.Place("", 0, type(model).__name__, None, None, "", "", None)
    return Site(place, (), False, False, "", (), ())


def _split(text: str) -> Iterator[str]:
    """`3, 64, kernel_size=(3, 3)` at its outer commas."""
    depth, start = 0, 0
    for position, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            yield text[start:position].strip()
            start = position + 1
    if text[start:].strip():
        yield text[start:].strip()


def _short(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _message(error: BaseException) -> str:
    try:
        return _short(str(error).strip(), 4000)
    except Exception:  # noqa: BLE001 - its __str__ is the user's
        return "(the exception has no readable message)"


def _error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {_message(error)}"


def _count_parameters(module: nn.Module) -> int:
    return sum(
        parameter.numel()
        for parameter in module.parameters()
        if not isinstance(parameter, UninitializedTensorMixin)
    )


def flatten_arguments(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[str, Tensor]]:
    """The input tensors, named as the forward's signature names them."""
    try:
        bound = inspect.signature(model.forward).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return [*_flatten(args, "args"), *_flatten(kwargs, "kwargs")]
    found: list[tuple[str, Tensor]] = []
    for name, value in bound.arguments.items():
        if bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            for key, item in value.items():
                found += _flatten(item, key)
        else:
            found += _flatten(value, name)
    return found
