"""Products against torch."""

from __future__ import annotations

import random

import pytest
import torch

from tests.tracer.ops.against_torch import check, check_permuted, check_resized

ROUNDS = 150


def shape(draw: random.Random, *sizes: int) -> torch.Tensor:
    """Of these sizes, now and then another one."""
    return torch.empty([s if draw.random() < 0.9 else draw.randint(1, 5) for s in sizes])


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_matmul(seed: int) -> None:
    draw = random.Random(seed)
    m, k, n, *batch = (draw.randint(1, 5) for _ in range(3 + draw.randint(0, 2)))
    a = shape(draw, *batch[draw.randint(0, 2) :], *((m, k) if draw.random() < 0.8 else (k,)))
    b = shape(draw, *batch[draw.randint(0, 2) :], *((k, n) if draw.random() < 0.8 else (k,)))
    check(torch.matmul, a, b)


def test_matmul_flows() -> None:
    a, b = torch.randn(2, 1, 3, 4).double(), torch.randn(5, 4, 6).double()
    assert check_permuted(torch.matmul, a, b) == 5
    assert check_resized(torch.matmul, a, b) >= 4
