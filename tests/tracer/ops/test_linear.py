"""Linear and bilinear layers, distances and pairs of vectors against torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import Draw, Sample, calls, entries


def linear(draw: Draw) -> tuple[Any, ...]:
    i, o = draw.size(), draw.size()
    x = draw.tensor(*draw.sizes(0, 3), i)
    bias = draw.tensor(*draw.choice([(o,), (o,), (1,)])) if draw.maybe() else None
    if draw.maybe(0.1):
        return F.linear, x, draw.tensor(i)
    if draw.maybe(0.2):
        return nn.Linear(i, o, draw.maybe(), "cpu", torch.float64), x
    return F.linear, x, draw.tensor(o, i), bias


def bilinear(draw: Draw) -> tuple[Any, ...]:
    i, j, o = (draw.size() for _ in range(3))
    batch = draw.sizes(0, 2)
    x, y = draw.tensor(*batch, i), draw.tensor(*batch, j)
    if draw.maybe(0.3):
        return nn.Bilinear(i, j, o, draw.maybe(), "cpu", torch.float64), x, y
    return F.bilinear, x, y, draw.tensor(o, i, j), draw.tensor(o) if draw.maybe() else None


def cdist(draw: Draw) -> tuple[Any, ...]:
    p, r, c, batch = draw.size(), draw.size(), draw.size(), draw.sizes(0, 2)
    a = draw.tensor(*draw.stretched(batch), p, c)
    return torch.cdist, a, draw.tensor(*draw.stretched(batch), r, c)


def outer(function: Any) -> Sample:
    return lambda draw: (function, draw.tensor(draw.size()), draw.tensor(draw.size()))


def kron(draw: Draw) -> tuple[Any, ...]:
    return torch.kron, draw.tensor(*draw.sizes(0, 3)), draw.tensor(*draw.sizes(0, 3))


def cross(draw: Draw) -> tuple[Any, ...]:
    shape = draw.sizes(1, 3)
    axis = draw.randint(0, len(shape) - 1)
    shape[axis] = 3
    other = [1 if size != 3 and draw.maybe(0.2) else size for size in shape]
    if draw.maybe(0.2):
        return torch.cross, draw.tensor(*shape), draw.tensor(*shape)
    function = draw.choice([torch.cross, torch.linalg.cross])
    dim = axis - len(shape) if draw.maybe() else axis
    return function, draw.tensor(*shape), draw.tensor(*other), {"dim": dim}


def vecdot(draw: Draw) -> tuple[Any, ...]:
    shape = draw.sizes(1, 3)
    dim = {"dim": draw.randint(-len(shape), len(shape) - 1)} if draw.maybe() else {}
    return torch.linalg.vecdot, draw.tensor(*shape), draw.tensor(*draw.stretched(shape)), dim


def pdist(draw: Draw) -> tuple[Any, ...]:
    return F.pdist, draw.tensor(draw.size(), draw.size())


SAMPLES: dict[str, Sample] = {
    "pdist": pdist,
    "linear": linear,
    "bilinear": bilinear,
    "cdist": cdist,
    "outer": outer(torch.outer),
    "ger": outer(torch.ger),
    "kron": kron,
    "cross": cross,
    "vecdot": vecdot,
}


def test_every_entry_has_samples() -> None:
    assert set(entries("linear")) == SAMPLES.keys()


@pytest.mark.filterwarnings("ignore:Using torch.cross")
@pytest.mark.parametrize("name", SAMPLES)
def test_as_torch(name: str) -> None:
    refused = 0
    for function, args, kwargs in calls(SAMPLES[name], 100):
        # The meta kernels of linear stretch the product to a wider bias; the real ones do not.
        found = check(function, *args, on="cpu" if name == "linear" else "meta", **kwargs)
        refused += found.violation is not None
        assert found.call.op == name
    assert refused >= 5 or name == "kron"


def zeros(*sizes: int) -> torch.Tensor:
    return torch.zeros(sizes, dtype=torch.float64)


@together(
    ("function", "args"),
    [
        *[
            (F.linear, (zeros(*x), zeros(3), zeros(*bias)))
            for x in ((3,), (2, 3), (4, 2, 3))
            for bias in ((), (1,), (2,))
        ],
        *[
            (F.bilinear, (zeros(*front, 3), zeros(*front, 4), zeros(o, 3, 4), zeros(*bias)))
            for front in ((), (1,), (5,))
            for o in (1, 2, 5)
            for bias in ((), (o,), (o, o), (o, 1), (o, 3), (3,), (o, 1, o))
        ],
        *[(torch.linalg.cross, (zeros(), zeros(), dim)) for dim in (-1, 0, 2)],
        *[
            (torch.linalg.vecdot, (zeros(*x), zeros(*y), dim))
            for x, y in (((3,), (3,)), ((), ()), ((2, 3), (3,)), ((3,), ()), ((3,), (1,)))
            for dim in (-3, -2, -1, 0, 1)
        ],
    ],
)
def test_corners(function: Any, args: tuple[Any, ...]) -> None:
    settings = {"dim": args[2]} if function in (torch.linalg.cross, torch.linalg.vecdot) else {}
    check(function, *args[: 2 if settings else None], on="cpu", **settings)


@pytest.mark.filterwarnings("ignore:Using torch.cross")
@pytest.mark.filterwarnings("ignore")
@together(
    ("first", "second"), [((3, 3), (1, 3)), ((3, 3), (3, 1)), ((1, 3), (3, 3)), ((2, 1), (2, 3))]
)
def test_a_cross_product_without_a_dimension(first: tuple[int, ...], second: Any) -> None:
    found = check(torch.cross, zeros(*first), zeros(*second), on="cpu")
    assert (found.violation is None) == (first == (1, 3) or second == (3, 1))


@together("name", SAMPLES)
def test_flows(name: str) -> None:
    permuted = resized = 0
    for function, args, kwargs in calls(SAMPLES[name], 12, wrong=0):
        if not isinstance(function, nn.Module):
            permuted += check_permuted(function, *args, tolerance=1e-6, **kwargs)
            resized += check_resized(function, *args, **kwargs)
    assert permuted >= (0 if name in ("kron", "pdist") else 6)
    assert resized >= 6
