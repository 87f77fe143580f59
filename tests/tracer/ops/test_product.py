"""Products against torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import Draw, Sample, calls, entries


def matmul(draw: Draw) -> tuple[Any, ...]:
    m, k, n = (draw.size() for _ in range(3))
    batch = draw.sizes(0, 2)
    a = (*draw.stretched(batch), m, k) if draw.maybe(0.8) else (k,)
    b = (*draw.stretched(batch), k, n) if draw.maybe(0.8) else (k,)
    function = draw.choice([torch.matmul, torch.linalg.matmul, torch.Tensor.__rmatmul__])
    if function is torch.Tensor.__rmatmul__:
        return function, draw.tensor(*b), draw.tensor(*a)
    return function, draw.tensor(*a), draw.tensor(*b)


def fixed(function: Any, first: str, second: str, added: str = "") -> Sample:
    """A product of operands with these letters."""

    def sample(draw: Draw) -> tuple[Any, ...]:
        size = {letter: draw.size() for letter in first + second}
        factors = [draw.tensor(*(size[letter] for letter in word)) for word in (first, second)]
        if not added:
            return function, *factors
        onto = [size[letter] for letter in added.strip("-")]
        scale = {"alpha": 2, "beta": 0.5} if draw.maybe(0.2) else {}
        return function, draw.tensor(*draw.stretched(onto)), *factors, scale

    return sample


def inner(draw: Draw) -> tuple[Any, ...]:
    k = draw.size()
    a, b = ((*draw.sizes(0, 2), k) if draw.maybe(0.9) else () for _ in range(2))
    return torch.inner, draw.tensor(*a), draw.tensor(*b)


def multi_dot(draw: Draw) -> tuple[Any, ...]:
    sizes = [draw.size() for _ in range(draw.randint(3, 5))]
    shapes = [sizes[i : i + 2] for i in range(len(sizes) - 1)]
    if draw.maybe(0.3):
        shapes[0] = shapes[0][1:]
    if draw.maybe(0.3):
        shapes[-1] = shapes[-1][:1]
    return torch.linalg.multi_dot, [draw.tensor(*shape) for shape in shapes]


def chain_matmul(draw: Draw) -> tuple[Any, ...]:
    sizes = [draw.size() for _ in range(draw.randint(2, 4))]
    return torch.chain_matmul, *(draw.tensor(*sizes[i : i + 2]) for i in range(len(sizes) - 1))


def solve(draw: Draw) -> tuple[Any, ...]:
    n, k, batch = draw.size(), draw.size(), draw.sizes(0, 2)
    a = (*draw.stretched(batch), n, n)
    left = draw.maybe(0.7)
    if left and draw.maybe(0.4):
        b = (*a[:-2], n) if draw.maybe() else (n,)
    else:
        b = (*draw.stretched(batch), *((n, k) if left else (k, n)))
    return torch.linalg.solve, draw.tensor(*a), draw.tensor(*b), {"left": left}


SAMPLES: dict[str, Sample] = {
    "matmul": matmul,
    "mm": fixed(torch.mm, "mk", "kn"),
    "bmm": fixed(torch.bmm, "bmk", "bkn"),
    "mv": fixed(torch.mv, "mk", "k"),
    "dot": fixed(torch.dot, "k", "k"),
    "vdot": fixed(torch.vdot, "k", "k"),
    "inner": inner,
    "addmm": fixed(torch.addmm, "mk", "kn", "mn"),
    "baddbmm": fixed(torch.baddbmm, "bmk", "bkn", "bmn"),
    "addbmm": fixed(torch.addbmm, "bmk", "bkn", "mn"),
    "addmv": fixed(torch.addmv, "mk", "k", "m"),
    "addr": fixed(torch.addr, "m", "n", "mn"),
    "multi_dot": multi_dot,
    "chain_matmul": chain_matmul,
    "solve": solve,
}

# The meta kernel takes an input with more dimensions than the product has (addmm, addmv); its real
# one does not.
_ON = {"addmm": "cpu", "addmv": "cpu", "baddbmm": "cpu", "addbmm": "cpu", "addr": "cpu"}


def test_every_entry_has_samples() -> None:
    assert set(entries("product")) == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_as_torch(name: str) -> None:
    refused, tried = 0, 0
    for function, args, kwargs in calls(SAMPLES[name], 100):
        found = check(function, *args, on=_ON.get(name, "meta"), **kwargs)
        refused += found.violation is not None
        tried += 1
        assert found.call.op == name
    assert 0.05 <= refused / tried <= 0.7


@together("name", SAMPLES)
def test_flows(name: str) -> None:
    permuted = resized = 0
    for function, args, kwargs in calls(SAMPLES[name], 12, wrong=0):
        permuted += check_permuted(function, *args, tolerance=1e-6, **kwargs)
        resized += check_resized(function, *args, **kwargs)
    assert permuted >= 6
    assert resized >= 6


def test_the_places_where_sizes_of_one_are_stretched() -> None:
    a, b = torch.randn(2, 1, 3, 4).double(), torch.randn(5, 4, 6).double()
    assert check_permuted(torch.matmul, a, b) == 5
    assert check_resized(torch.matmul, a, b) >= 4
