"""Copies of a model that share its weights, or have none."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from tracer.diagnosis.repair.shapes import META


def on_meta(tensor: Tensor) -> Tensor:
    """Its shape, strides and dtype."""
    made = tensor.detach().to(META)
    return made.requires_grad_(tensor.requires_grad) if tensor.requires_grad else made


def elements(model: nn.Module) -> int:
    """Of its parameters."""
    return sum(p.numel() for p in model.parameters() if _is_made(p))


def copied(model: nn.Module, device: torch.device | None = None) -> nn.Module:
    """A copy of the module.  Its parameters share their memory with the module's, or are on
    `device`; buffers, which a forward may write to, are its own."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None and _is_made(parameter):
                # Through `data`: what is written to it does not disturb the user's graphs.
                data = parameter.data if device is None else parameter.data.to(device)
                memo[id(parameter)] = nn.Parameter(data, parameter.requires_grad)
        plain = (value for value in vars(module).values() if isinstance(value, Tensor))
        for tensor in (*module._buffers.values(), *plain):
            if tensor is not None and _is_made(tensor):
                made = tensor.detach()
                memo[id(tensor)] = made.clone() if device is None else made.to(device)
    return copy.deepcopy(model, memo)


def is_on_meta(model: nn.Module) -> bool:
    """Whether none of its tensors has values."""
    return all(
        value.is_meta
        for module in model.modules()
        for table in (module._parameters, module._buffers, vars(module))
        for value in table.values()
        if isinstance(value, Tensor)
    )


def take_weights(made: nn.Module, base: nn.Module) -> None:
    """Give a module built anew the parameters and buffers of `base` that fit it."""
    for old in ("_parameters", "_buffers"):
        for path, module in base.named_modules():
            for name, tensor in getattr(module, old).items():
                with contextlib.suppress(AttributeError):
                    table = getattr(made.get_submodule(path), old)
                    mine = table.get(name)
                    if tensor is None or mine is None or not _is_made(mine):
                        continue
                    if mine.shape == tensor.shape:
                        table[name] = tensor if old == "_parameters" else tensor.clone()
                    elif mine.dtype != tensor.dtype and old == "_parameters":
                        data = mine.detach().to(tensor.device, tensor.dtype)
                        table[name] = nn.Parameter(data, mine.requires_grad)


def with_values(made: nn.Module, base: nn.Module) -> None:
    """Small numbers for those parameters of a module that have none, and a half for buffers."""
    device = next((p.device for p in base.parameters() if not p.is_meta), torch.device("cpu"))
    for module in made.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_meta:
                data = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                filled = data.normal_(0, 0.02) if data.is_floating_point() else data.zero_()
                module._parameters[name] = nn.Parameter(filled, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_meta:
                value = 0.5 if buffer.is_floating_point() else 0
                module._buffers[name] = torch.full(
                    buffer.shape, value, dtype=buffer.dtype, device=device
                )


def take_modes(made: nn.Module, base: nn.Module) -> None:
    """What is trained and what is evaluated, as in `base`."""
    modes = {path: module.training for path, module in base.named_modules()}
    for path, module in made.named_modules():
        module.training = modes.get(path, base.training)


def keeps_shapes(made: nn.Module, base: nn.Module) -> bool:
    """Whether every parameter of `base` is there in its shape."""
    own = dict(made.named_parameters(remove_duplicate=False))
    return all(
        name in own and _is_made(own[name]) and own[name].shape == parameter.shape
        for name, parameter in base.named_parameters(remove_duplicate=False)
        if _is_made(parameter)
    )


def _is_made(tensor: Tensor) -> bool:
    return not isinstance(tensor, UninitializedTensorMixin)
