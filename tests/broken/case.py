"""A broken model as somebody might post it, and what a good engineer would answer."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

HEADER = """\
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

"""

# A hand-made change of a source: each text occurs once and gives way to another.
Change = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """One broken model.

    `source` stands below the usual imports.  `model` and `inputs` are expressions; `B` in them is
    the batch size, `batch` in the run that fails.
    `expression` is what fails and `module` the path of the deepest module it fails in.
    `operands` are written `x: 4, 400*`: a name (or the expression that made a nameless tensor),
    its shape, and a star behind each size that is at odds.  Parameters that are not at odds, such
    as a bias, may be left out.
    `root` lists what may be given as the place where the wrong size was born: a kind and a text in
    its line.  Empty, the failing line itself is to blame.
    `fixed` lists the right changes: the best fix computes what one of them does.  Empty, none is
    known that is sound: whatever is offered first then carries a caveat.
    `tempting` are changes that make the forward run and are wrong.
    """

    name: str
    source: str
    inputs: str
    expression: str
    operands: tuple[str, ...]
    module: str = ""
    root: tuple[tuple[str, str], ...] = ()
    fixed: tuple[Change, ...] = ()
    tempting: tuple[Change, ...] = ()
    model: str = "Net()"
    batch: int = 4

    @property
    def text(self) -> str:
        return HEADER + "\n" + textwrap.dedent(self.source).strip("\n") + "\n"

    def changed(self, change: Change) -> str:
        text = self.text
        for old, new in change.items():
            if text.count(old) != 1:
                raise ValueError(f"{self.name}: {old!r} occurs {text.count(old)} times.")
            text = text.replace(old, new)
        return text

    def load(self, folder: Path, text: str | None = None) -> Program:
        """The source as a module of its own, imported from a file in `folder`."""
        number = sum(1 for _ in folder.iterdir())
        path = folder / f"{self.name}_{number}.py"
        path.write_text(self.text if text is None else text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(f"broken_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return Program(self, path, module)


@dataclass(frozen=True)
class Program:
    """A case's source, or a changed one, as code that can be run; `given` are arguments of the
    forward with expressions that stand in their places."""

    case: Case
    path: Path
    module: ModuleType
    given: tuple[tuple[str, str], ...] = ()

    def build(self, seed: int = 0) -> nn.Module:
        torch.default_generator.manual_seed(seed)
        model: nn.Module = eval(self.case.model, vars(self.module))  # the tests' own text
        return model

    def inputs(self, batch: int | None = None) -> tuple[Any, ...]:
        torch.default_generator.manual_seed(1)
        names = {**vars(self.module), "B": self.case.batch if batch is None else batch}
        return tuple(eval(f"({self.case.inputs},)", names))

    def like(self, weights: nn.Module) -> nn.Module:
        """The model with the parameters of `weights` where they fit, and others where not."""
        model = self.build(seed=7)
        take_weights(model, weights)
        for module in model.modules():
            if not isinstance(module, nn.modules.batchnorm._NormBase):
                module.training = False  # without dropout; what normalises stays as it is
        return model

    def outputs(self, model: nn.Module, batch: int | None = None) -> list[Tensor]:
        torch.default_generator.manual_seed(2)
        with torch.no_grad():
            bound = inspect.signature(model.forward).bind(*self.inputs(batch))
            for name, text in self.given:
                bound.arguments[name] = eval(text, vars(self.module) | bound.arguments)
            return _tensors(model(*bound.args))


def take_weights(model: nn.Module, weights: nn.Module) -> None:
    """Copies the parameters and buffers of `weights` that `model` has too, in the same shape."""
    own = model.state_dict()
    fit = {
        name: value
        for name, value in weights.state_dict().items()
        if name in own and own[name].shape == value.shape
    }
    model.load_state_dict(fit, strict=False)


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    """Whether two runs gave the same tensors: shapes and numbers."""
    return len(left) == len(right) and all(
        a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=1e-4, atol=1e-5)
        for a, b in zip(left, right, strict=True)
    )


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    return [t for item in value for t in _tensors(item)] if isinstance(value, tuple | list) else []
