"""What of torch has an entry in the table, and what has none, by name and reason."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import nn
from torch.overrides import get_overridable_functions

from tracer.ops.names import op_name
from tracer.ops.steps import LAYERS
from tracer.ops.table import TABLE

# Each is rare in models; its steps are shown with the shapes that were recorded.
WITHOUT: dict[str, dict[str, str]] = {
    "torch.nn.functional": {
        "its parts are recorded one by one": "triplet_margin_with_distance_loss",
        "new in torch 2.13, and made of linear and cross_entropy": "linear_cross_entropy",
        "a layout of old": "conv_tbc",
    },
    "torch.fft": {},
    "torch.linalg": {
        "factors for a solver that hands them on": (
            "householder_product ldl_factor ldl_factor_ex ldl_solve lu_factor_ex lu_solve solve_ex"
        ),
        "equations of tensors": "tensorinv tensorsolve",
        "a matrix of powers": "vander",
    },
}
LAYERS_WITHOUT = {
    "hold other modules": "Container DataParallel ModuleDict ModuleList ParameterDict "
    "ParameterList Sequential",
    "stand for others": "LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyInstanceNorm1d "
    "LazyInstanceNorm2d LazyInstanceNorm3d Module RNNBase RNNCellBase NLLLoss2d",
    "their parts are recorded one by one": "AdaptiveLogSoftmaxWithLoss CrossMapLRN2d "
    "TripletMarginWithDistanceLoss LinearCrossEntropyLoss",
    "are no modules": "Buffer Parameter UninitializedBuffer UninitializedParameter "
    "LinearCrossEntropyOptions",
}


def named(functions: dict[str, str]) -> set[str]:
    return {name for names in functions.values() for name in names.split()}


@pytest.mark.parametrize("package", WITHOUT)
def test_every_function_has_an_entry_or_a_reason(package: str) -> None:
    known = get_overridable_functions()[_package(package)]
    names = {op_name(function.__name__) for function in known}
    missing = {name for name in names if name not in TABLE and not name.startswith("_")}
    assert missing == named(WITHOUT[package]) & names
    assert not named(WITHOUT[package]) & TABLE.keys()


def _package(name: str) -> ModuleType:
    found: ModuleType = torch
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found


def test_every_layer_has_an_entry_or_a_reason() -> None:
    layers = {name for name in dir(nn) if isinstance(getattr(nn, name), type)}
    missing = {name for name in layers if name not in LAYERS and name not in TABLE}
    assert missing == named(LAYERS_WITHOUT) & layers
