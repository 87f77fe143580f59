"""Random tensors for random calls, most of them legal."""

from __future__ import annotations

import random

import torch
from torch import Tensor


def sizes(draw: random.Random, most: int = 4, least: int = 0) -> list[int]:
    return [draw.choice((1, 2, 2, 3, 4, 5)) for _ in range(draw.randint(least, most))]


def tensor(
    draw: random.Random, shape: list[int] | tuple[int, ...], dtype: torch.dtype = torch.float64
) -> Tensor:
    """Values between 0 and 1, of this dtype."""
    made = torch.rand(list(shape), generator=torch.Generator().manual_seed(draw.randint(0, 999)))
    return (made * (4 if not dtype.is_floating_point else 1)).to(dtype)


def spoiled(draw: random.Random, shape: list[int] | tuple[int, ...], chance: float) -> list[int]:
    """The shape, now and then with another size."""
    return [draw.randint(1, 5) if draw.random() < chance else size for size in shape]


def to_lay(draw: random.Random, shape: list[int]) -> list[int]:
    """A shape that broadcasts to another, or nearly does."""
    mine = [1 if draw.random() < 0.2 else size for size in shape[draw.randint(0, len(shape)) :]]
    return spoiled(draw, mine, 0.15)


def axis(draw: random.Random, rank: int) -> int:
    """A dimension, now and then one that is not there."""
    rank = max(rank, 1)
    return draw.randint(-rank - 1, rank) if draw.random() < 0.25 else draw.randrange(-rank, rank)
