"""What torch's functions are called, with which arguments, and what they write."""

from __future__ import annotations

import functools
import inspect
import itertools
import types
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import resolve_name

from tracer.ops.names import op_name
from tracer.record.tensors import (
    ONE_TENSOR,
    tensors_in,
)

_NORMALISING = (torch.batch_norm, torch.instance_norm)

# Ask for facts and make no tensor: not worth a look.
_PROPERTIES = """shape dtype device requires_grad ndim is_cuda layout is_leaf grad_fn is_meta
    is_sparse is_quantized is_nested is_mps is_xpu is_cpu _version output_nr itemsize nbytes"""
_METHODS = """size dim stride numel is_contiguous is_floating_point is_complex element_size
    storage_offset data_ptr get_device ndimension is_inference __len__ __hash__ __repr__
    untyped_storage dim_order is_same_size is_pinned __format__"""
FACTS: frozenset[Any] = frozenset(
    [getattr(Tensor, name).__get__ for name in _PROPERTIES.split()]
    + [getattr(Tensor, name) for name in _METHODS.split()]
)

SETTINGS: frozenset[Any] = frozenset(
    [torch._C._set_grad_enabled, torch._C._set_multithreading_enabled]
)
"""What such as `torch.no_grad` call when they are entered and left: no operations, and who ended a
run in one of them would leave gradients off."""


_QUIET: dict[str, Any] = {
    name: (lambda *args, **kwargs: False)
    for name in (
        "has_torch_function",
        "has_torch_function_unary",
        "has_torch_function_variadic",
    )
}


class Opened:
    """Opened copies of the Python functions of torch.nn.functional, as these are in one trace."""

    def __init__(self) -> None:
        self._twins: dict[Any, Any] = {}

    def twin(self, function: Any) -> Any:
        """A copy of the function that does not hand itself to the mode again, so that the
        operations inside it are seen; None if it is no Python function of torch.nn.functional."""
        if (
            type(function) is not types.FunctionType
            or function.__globals__ is not F.__dict__
            or function.__closure__ is not None
        ):
            return None
        found = self._twins.get(function)
        if found is None:
            found = self._twins[function] = types.FunctionType(
                function.__code__, self._quiet, function.__name__, function.__defaults__
            )
            found.__kwdefaults__ = function.__kwdefaults__
        return found

    @functools.cached_property
    def _quiet(self) -> dict[str, Any]:
        return {**F.__dict__, **_QUIET}


_op_names: dict[Any, str] = {}


def full_name(function: Any) -> str:
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


def writes_in_place(function: Any, kwargs: dict[str, Any]) -> bool:
    if kwargs and kwargs.get("out") is not None:
        return True
    return _named_in_place(getattr(function, "__name__", ""))


@functools.cache
def _named_in_place(name: str) -> bool:
    return (
        name == "__setitem__"
        or name == "__set__"
        or (name.endswith("_") and not name.endswith("__"))
        or (name.startswith("__i") and name not in ("__init__", "__invert__", "__index__"))
    )


def written_silently(function: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands written without a raised version: by normalisation in training (input, weight,
    bias, running_mean, running_var, training, ...), and by `x.data = ...`."""
    if len(args) > 5 and function in _NORMALISING and args[5]:
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


_LONGEST = 80


def text_of_value(value: Any) -> str:
    """A non-tensor argument as one would write it, in at most 80 characters."""
    text = ""
    for piece in _pieces(value, ()):
        text += piece
        if len(text) > _LONGEST:  # what holds itself, or a million numbers, is not read to its end
            return text[: _LONGEST - 3] + "..."
    return text


def _pieces(value: Any, around: tuple[int, ...]) -> Iterator[str]:
    """The text of a value from its beginning, a piece at a time; `around` are the ids of what it
    is within."""
    if isinstance(value, slice):
        parts = [value.start, value.stop, value.step]
        for position, part in enumerate(parts if value.step is not None else parts[:2]):
            yield ":" if position else ""
            yield from () if part is None else _pieces(part, around)
    elif value is Ellipsis:
        yield "..."
    elif isinstance(value, Tensor):
        yield "tensor"
    elif isinstance(value, list | tuple) or type(value) is dict:
        left, right = "{}" if type(value) is dict else "[]" if isinstance(value, list) else "()"
        yield left
        if id(value) in around:
            yield "..."
        else:
            yield from _items(value, (*around, id(value)))
        yield f",{right}" if len(value) == 1 and right == ")" else right
    else:
        try:
            yield repr(value)
        except Exception:  # noqa: BLE001 - a user's __repr__ must not end the trace
            yield f"<{type(value).__name__}>"


def _items(value: Any, around: tuple[int, ...]) -> Iterator[str]:
    for position, item in enumerate(value):
        if position:
            yield ", "
        yield from _pieces(item, around)
        if type(value) is dict:
            yield ": "
            yield from _pieces(value[item], around)


def arguments_text(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
    """The arguments that hold no tensor: `dim=1` where the name is known, else the value alone."""
    if getattr(function, "__name__", "") in ("__getitem__", "__setitem__"):
        index = text_of_value(args[1])
        if isinstance(args[1], tuple):
            index = index[1:-1].removesuffix(",")
        return (
            f"[{index}]",
            *(text_of_value(value) for value in args[2:] if not tensors_in(value)),
        )
    names, defaults = _signature(function)
    found = []
    for position, value in enumerate(args):
        if type(value) not in ONE_TENSOR and not tensors_in(value):
            name = names[position] if position < len(names) else None
            if name is None:
                found.append(text_of_value(value))
            elif name not in defaults or not _same(value, defaults[name]):
                found.append(f"{name}={text_of_value(value)}")
    for name, value in kwargs.items():
        if not tensors_in(value) and not (name in defaults and _same(value, defaults[name])):
            found.append(f"{name}={text_of_value(value)}")
    return tuple(found)


def _same(value: Any, default: Any) -> bool:
    """torch's Python functions hand on every argument: what was left at its default is no news."""
    simple = (bool, int, float, str, tuple, type(None))
    return type(value) is type(default) and isinstance(value, simple) and bool(value == default)


def short_name(function: Any) -> str:
    """`add` of `Tensor.__iadd__`, `Tensor.add_` and `torch.add`."""
    if function is None:
        return ""
    # Its own name: torch has some under several (`mm` is `spmm`).
    name = getattr(function, "__name__", "__get__")
    return op_name(full_name(function) if name in ("__get__", "__set__") else name)


@functools.lru_cache(maxsize=4096)
def split_text(text: str) -> tuple[str, ...]:
    """`3, 64, kernel_size=(3, 3)` at its outer commas."""
    parts: list[str] = []
    depth, start = 0, 0
    for position, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    if text[start:].strip():
        parts.append(text[start:].strip())
    return tuple(parts)


def short_text(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def message(error: BaseException) -> str:
    try:
        return short_text(str(error).strip(), 4000)
    except Exception:  # noqa: BLE001 - its __str__ is the user's
        return "(the exception has no readable message)"


def error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {message(error)}"
