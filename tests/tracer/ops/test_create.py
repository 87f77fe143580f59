"""New tensors against torch."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.effort import TIMES
from tests.together import together
from tests.tracer.ops.against_torch import check
from tests.tracer.ops.samples import entries
from tracer.document import TensorAt
from tracer.ops.call import Call, Operand
from tracer.ops.table import bind

Draw = random.Random
Sample = tuple[Any, ...]
"""A function and its arguments; named ones are a dictionary at the end."""


def sizes(draw: Draw) -> tuple[int, ...]:
    return tuple(
        draw.randint(-1 if draw.random() < 0.03 else 0, 5) for _ in range(draw.randint(0, 4))
    )


def filled(draw: Draw) -> Sample:
    name = draw.choice(("zeros", "ones", "empty", "rand", "randn", "full", "randint"))
    size = sizes(draw)
    if name == "full":
        return torch.full, size, 3.0
    if name == "randint":
        return torch.randint, 7, size
    if draw.random() < 0.5 and size:
        return getattr(torch, name), *size
    return getattr(torch, name), size


def strided(draw: Draw) -> Sample:
    size = tuple(abs(n) for n in sizes(draw))
    if draw.random() < 0.5:
        return Tensor.new_empty_strided, torch.empty(2), size, (1,) * len(size)
    return torch.empty_strided, size, (1,) * len(size)


def like(draw: Draw) -> Sample:
    name = draw.choice(("new_zeros", "new_ones", "new_empty", "new_full"))
    return getattr(Tensor, name), torch.empty(2), sizes(draw), *([2.0] * (name == "new_full"))


def counted(draw: Draw) -> Sample:
    name = draw.choice(("randperm", "linspace", "logspace", "hann_window", "hamming_window"))
    count = draw.randint(-1 if draw.random() < 0.1 else 0, 9)
    if name in ("linspace", "logspace"):
        return getattr(torch, name), 0.0, 2.0, count
    return getattr(torch, name), count


def arange(draw: Draw) -> Sample:
    def number() -> float:
        whole = draw.randint(-9, 9)
        return whole if draw.random() < 0.6 else whole / 4

    if draw.random() < 0.3:
        return torch.arange, number()
    if draw.random() < 0.4:
        return torch.range, number(), number(), number()
    return torch.arange, number(), number(), *([number()] * (draw.random() < 0.7))


def eye(draw: Draw) -> Sample:
    return torch.eye, draw.randint(-1, 5), *([draw.randint(-1, 5)] * (draw.random() < 0.5))


def triangle(draw: Draw) -> Sample:
    function = draw.choice((torch.tril_indices, torch.triu_indices))
    return function, draw.randint(-1, 6), draw.randint(-1, 6), draw.randint(-7, 7)


def given(draw: Draw) -> Sample:
    def nested(shape: tuple[int, ...]) -> Any:
        if not shape:
            return draw.choice((1, 2.0, True))
        short = shape[1:-1] if spoiled and draw.random() < 0.2 else shape[1:]
        return [nested(shape[1:] if n else short) for n in range(shape[0])]

    shape = tuple(abs(n) for n in sizes(draw))
    # Beside empty lists torch takes a number that stands for no list.
    spoiled = 0 not in shape and draw.random() < 0.2
    data = nested(shape)
    function = draw.choice((torch.tensor, torch.as_tensor, torch.asarray))
    if draw.random() < 0.2:
        return function, torch.rand(2, 3)
    if draw.random() < 0.2:
        return Tensor.new_tensor, torch.empty(1), data
    return function, data


SAMPLES: dict[str, Callable[[Draw], Sample]] = {
    "zeros ones empty rand randn full randint": filled,
    "empty_strided new_empty_strided": strided,
    "new_zeros new_ones new_empty new_full": like,
    "randperm linspace logspace hann_window hamming_window": counted,
    "arange range": arange,
    "eye": eye,
    "tril_indices triu_indices": triangle,
    "tensor as_tensor asarray new_tensor": given,
}
BY_HAND = {"from_numpy", "scalar_tensor"}  # below


def test_every_entry_has_samples() -> None:
    assert set(entries("create")) == {n for names in SAMPLES for n in names.split()} | BY_HAND


@pytest.mark.filterwarnings("ignore")
@together("names", SAMPLES)
def test_shapes_and_refusals(names: str) -> None:
    for seed in range(80 * TIMES):
        function, *args = SAMPLES[names](Draw(f"{names} {seed}"))
        check(function, *args, on="cpu")


def test_a_single_number() -> None:
    assert check(torch.scalar_tensor, 3.0, on="cpu").shapes == ((),)


def test_of_an_array_the_run_tells_the_shape() -> None:
    call = Call("from_numpy", (), {"data": repr(np.zeros((2, 3)))})
    assert bind(call) is None
    known = bind(Call("from_numpy", (), call.arguments, (Operand((2, 3)),)))
    assert known is not None
    assert known.shapes == ((2, 3),)


def test_a_copy_keeps_its_dimensions() -> None:
    bound = bind(Call("tensor", (Operand((2, 3)),), {"data": TensorAt(0)}))
    assert bound is not None
    assert [dim.how for dim in bound.results[0]] == ["same", "same"]
