"""The Python behind what was compiled, scripted or wrapped: it runs the same, and can be seen."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import nn


def eager(module: nn.Module) -> nn.Module:
    """The module that a wrapper calls, under its own names: of nn.DataParallel, of torch.compile;
    of a scripted or traced one a module of its Python class with the same parameters."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif "torch._dynamo" in sys.modules and isinstance(
            module, torch._dynamo.eval_frame.OptimizedModule
        ):
            module = module._orig_mod
        elif isinstance(module, torch.jit.ScriptModule):
            return _unscripted(module) or module
        else:
            return module


def eager_function(value: Any) -> Any:
    """The function that torch.compile or torch.jit.script was given; anything else as it is."""
    if isinstance(value, torch.jit.ScriptFunction):
        return getattr(value, "_torchdynamo_inline", value)
    return getattr(value, "_torchdynamo_orig_callable", value) if callable(value) else value


def _unscripted(module: Any) -> nn.Module | None:
    """None where nothing is known of its class."""
    kind = getattr(module, "_concrete_type", None)
    cls = getattr(kind, "py_class", None)
    if not isinstance(cls, type) or not issubclass(cls, nn.Module):
        return None
    made = cls.__new__(cls)
    nn.Module.__init__(made)
    for name in (*kind.get_attributes(), *kind.get_constants()):  # type: ignore[union-attr]
        if hasattr(module, name) and name not in ("training", "_is_full_backward_hook"):
            made.__dict__[name] = getattr(module, name)
    for name, parameter in module.named_parameters(recurse=False):
        made.__dict__.pop(name, None)
        made.register_parameter(name, parameter)
    for name, buffer in module.named_buffers(recurse=False):
        made.__dict__.pop(name, None)
        made.register_buffer(name, buffer)
    for name, child in module.named_children():
        inner = _unscripted(child)
        if inner is None:
            return None
        made.add_module(name, inner)
    made.training = module.training
    return made
