"""A call of torch as it stands, with its live tensors, as a call of the operation table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from tracer.ops.call import Call, Operand
from tracer.ops.names import is_in_place, op_name
from tracer.ops.steps import layer_op
from tracer.record.bind import bind, bind_layer, number, plain
from tracer.record.tensors import tensors_in


def live_call(
    function: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    results: Any = (),
    op: str = "",
    number: Callable[[Any], Any] = number,
) -> tuple[Call, list[Tensor]]:
    """`function(*args, **kwargs)` as a call, and the tensors that are its operands, in order.

    Args:
        op: the operation's short name where the function's own is not it.
        number: makes a size of what is no whole number of Python; one that hands symbols on keeps
            them, as those of the tensors' shapes are kept.
    """
    bound = bind(function, args, kwargs)
    tensors = tensors_in(bound)
    name = getattr(function, "__name__", "")
    if name == "__get__":  # of a property: `Tensor.T`
        name = getattr(function.__self__, "__name__", "")
    return (
        Call(
            op or op_name(name),
            tuple(map(operand, tensors)),
            plain(bound, tensors, number),
            tuple(map(operand, tensors_in(results))),
            in_place=is_in_place(name),
        ),
        tensors,
    )


def live_layer_call(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Call, list[Tensor]]:
    """The call of a module of torch.nn as a whole, its own parameters and buffers among the
    operands, and the tensors that these are, in order."""
    bound = bind_layer(module, args, kwargs)
    tensors = tensors_in(bound)
    layer = type(module).__name__
    return Call(
        layer_op(layer), tuple(map(operand, tensors)), plain(bound, tensors), (), layer
    ), tensors


def operand(tensor: Tensor) -> Operand:
    strides = tuple(tensor.stride()) if tensor.layout == torch.strided else None
    kind = "parameter" if isinstance(tensor, torch.nn.Parameter) else "made"
    values = None if tensor.is_meta else LiveValues(tensor)
    dtype = str(tensor.dtype).removeprefix("torch.")
    return Operand(tuple(tensor.shape), dtype, kind, strides, "", str(tensor.device), values)


class LiveValues:
    """What a rule may ask of a tensor's entries (`tracer.ops.call.Values`)."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def span(self, but: int | None = None) -> tuple[Any, Any] | None:
        entries = self.tensor.detach()
        if but is not None:
            entries = entries[entries != but]
        return (entries.min().item(), entries.max().item()) if entries.numel() else None

    def total(self) -> Any:
        return self.tensor.sum().item()

    def whole(self) -> bool:
        if not self.tensor.is_floating_point():
            return True
        return bool((self.tensor == self.tensor.round()).all())
