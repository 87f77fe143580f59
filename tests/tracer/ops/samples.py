"""Random calls of operations: legal ones, and by a wrong size or number of dimensions illegal
ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tests.effort import TIMES
from tests.tracer.ops.against_torch import check
from tracer.ops.table import TABLE

Sample = Callable[["Draw"], tuple[Any, ...]]
"""Gives (function, *args); keyword arguments are a dictionary at the end."""


class Draw(random.Random):
    """Sizes and tensors, now and then not those that were asked for."""

    def __init__(self, seed: int, wrong: float = 0.07) -> None:
        super().__init__(seed)
        self.wrong = wrong

    def size(self, least: int = 1, most: int = 5) -> int:
        return self.randint(least, most)

    def sizes(self, least: int, most: int) -> list[int]:
        return [self.size() for _ in range(self.randint(least, most))]

    def maybe(self, chance: float = 0.5) -> bool:
        return self.random() < chance

    def tensor(self, *sizes: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Of these sizes, or one of them wrong, or one too many or too few."""
        shape = [s if self.random() >= self.wrong else self.randint(1, 6) for s in sizes]
        if self.random() < self.wrong / 2:
            shape.insert(self.randint(0, len(shape)), self.size())
        if shape and self.random() < self.wrong / 2:
            shape.pop(self.randint(0, len(shape) - 1))
        generator = torch.Generator().manual_seed(self.randint(0, 999))
        return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)

    def stretched(self, sizes: list[int]) -> list[int]:
        """Sizes that broadcast to these: some in front left out, some of them 1."""
        start = self.randint(0, len(sizes)) if self.maybe() else 0
        return [1 if self.random() < 0.2 else size for size in sizes[start:]]


def calls(sample: Sample, count: int, wrong: float = 0.07) -> Iterator[tuple[Any, Any, Any]]:
    """(function, arguments, keyword arguments), `count` times as deep as is asked for."""
    for seed in range(count * TIMES):
        function, *args = sample(Draw(seed, wrong))
        kwargs = args.pop() if args and isinstance(args[-1], dict) else {}
        yield function, args, kwargs


def entries(*families: str, table: Mapping[str, Any] = TABLE) -> list[str]:
    """The operations that these families' files enter."""
    homes = {f"tracer.ops.{family}" for family in families}

    def home(name: str) -> bool:
        entry = table[name]
        made = (entry.words, entry.bind, entry.report)
        return any(f is not None and f.__module__ in homes for f in made)

    return [name for name in table if home(name)]


def refusals(name: str, sample: Sample, count: int) -> int:
    """Of `count` calls of an operation, each checked on the processor, how many are refused."""
    refused = 0
    for function, args, kwargs in calls(sample, count):
        found = check(function, *args, on="cpu", **kwargs)
        refused += found.violation is not None
        assert found.call.op == name
    return refused
