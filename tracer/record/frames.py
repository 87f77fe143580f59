"""Whose code a frame runs: the author's, torch's, or what only passes a call on."""

from __future__ import annotations

import enum
from pathlib import Path

import torch
from torch import nn
from torch.overrides import handle_torch_function

from tracer import document
from tracer.source.sites import Site

TORCH = str(Path(torch.__file__).parent) + "/"
HERE = str(Path(document.__file__).parent) + "/"
# Frames that only pass a call on: the code that wrote an operation is beyond them.
PLUMBING = tuple(
    TORCH + part
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
HAND_OVER = handle_torch_function.__code__
# Its functions stand for torch's: `rearrange(x, ...)` is what the author wrote.
EINOPS = "/einops/"


class Whose(enum.Enum):
    """Whose code a file is.  `PLUMBING` is torch's that only passes a call on, and ours."""

    AUTHOR = enum.auto()
    TORCH = enum.auto()
    PLUMBING = enum.auto()


class _Owners(dict[str, Whose]):
    def __missing__(self, file: str) -> Whose:
        if file.startswith((*PLUMBING, HERE)):
            owner = Whose.PLUMBING
        elif file.startswith(TORCH) or EINOPS in file:
            owner = Whose.TORCH
        else:
            owner = Whose.AUTHOR
        self[file] = owner
        return owner


OWNERS = _Owners()
"""Whose code each file is, by its name."""


OVERRIDES = ("__torch_function__", "__torch_dispatch__")


def nowhere(model: nn.Module) -> Site:
    """The place of the root's call: it is the caller's, outside the trace."""
    place = document.Place("", 0, type(model).__name__, None, None, "", "", None)
    return Site(place, (), False, False, "", (), ())
