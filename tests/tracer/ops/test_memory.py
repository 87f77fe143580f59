"""The same memory seen otherwise, against torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import Draw, calls
from tracer.ops.memory import BYTES

DTYPES = [torch.int8, torch.float16, torch.int32, torch.float32, torch.float64, torch.complex128]


def as_dtype(draw: Draw) -> tuple[Any, ...]:
    shape = draw.sizes(0 if draw.maybe(0.1) else 1, 3)
    if shape and draw.maybe(0.7):
        shape[-1] = 8
    x = torch.zeros(shape, dtype=draw.choice(DTYPES))
    if draw.maybe(0.2) and x.dim() > 1:
        x = x.transpose(*draw.sample(range(x.dim()), 2))
    if draw.maybe(0.1) and x.dim() > 1:
        x = torch.zeros(*shape[:-1], shape[-1] + 1, dtype=x.dtype)[..., : shape[-1]]
    return Tensor.view, x, draw.choice(DTYPES)


def as_strided(draw: Draw) -> tuple[Any, ...]:
    count = draw.randint(0, 3)
    sizes = [draw.randint(1, 3) for _ in range(count)]
    strides = [draw.randint(0, 3) for _ in range(count + draw.maybe(0.05))]
    if strides and draw.maybe(0.05):
        strides[0] = -1
    if sizes and draw.maybe(0.05):
        sizes[0] = -1
    return torch.as_strided, torch.zeros(30), sizes, strides


def test_numbers_of_another_type() -> None:
    refused = 0
    for function, args, _ in calls(as_dtype, 300):
        refused += check(function, *args, on="cpu").violation is not None
    assert refused > 20


def test_strides_that_are_given() -> None:
    refused = 0
    for function, args, _ in calls(as_strided, 100):
        refused += check(function, *args, on="cpu").violation is not None
    assert refused > 3


def test_the_bytes_of_each_type() -> None:
    for name, count in BYTES.items():
        assert getattr(torch, name).itemsize == count


@pytest.mark.parametrize("dtype", [torch.int8, torch.float32, torch.complex64])
def test_all_but_the_last_dimension_are_handed_on(dtype: torch.dtype) -> None:
    x = torch.randn(3, 4, 8)
    bound = check(Tensor.view, x, dtype, on="cpu")
    assert [dim.how for dim in bound.results[0][:2]] == ["same", "same"]
    assert check_resized(Tensor.view, x, dtype, on="cpu") >= 2
    if dtype == torch.float32:
        assert check_permuted(Tensor.view, x, dtype) == 3
