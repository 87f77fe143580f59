"""What random calls of operations are made of."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch

Draw = random.Random
Sample = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def near(draw: Draw, *sizes: int) -> torch.Tensor:
    """Of these sizes, now and then another one, or a dimension too few."""
    if draw.random() < 0.06 and sizes:
        sizes = sizes[1:] if draw.random() < 0.5 else (2, *sizes)
    return torch.empty([s if draw.random() < 0.95 else draw.randint(1, 5) for s in sizes])


def one_or_each(draw: Draw, n: int, low: int, high: int) -> Any:
    """A setting, written once or for each dimension."""
    if draw.random() < 0.5:
        return draw.randint(low, high)
    return tuple(draw.randint(low, high) for _ in range(n))
