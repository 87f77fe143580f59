"""einsum and tensordot against torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import Draw, Sample, calls, entries


def einsum(draw: Draw) -> tuple[Any, ...]:
    letters = "ijkAb"[: draw.randint(1, 5)]
    size = {letter: draw.size() for letter in letters}
    dots = draw.sizes(0, 2) if draw.maybe(0.4) else None
    terms, tensors = [], []
    for _ in range(draw.randint(1, 3)):
        term = [draw.choice(letters) for _ in range(draw.randint(0, 3))]
        shape = [1 if draw.maybe(0.1) else size[letter] for letter in term]
        if dots is not None and draw.maybe(0.7):
            at = draw.randint(0, len(term))
            term.insert(at, "...")
            shape[at:at] = draw.stretched(dots)
        terms.append("".join(term))
        tensors.append(draw.tensor(*shape))
    equation = ",".join(terms)
    if draw.maybe(0.7):
        # One of the letters of all may be in no term.
        result = [letter for letter in letters if draw.maybe() and (letter in equation)]
        if draw.maybe(0.05):
            result.append(draw.choice(letters))
        draw.shuffle(result)
        if dots is not None and draw.maybe(0.8):
            result.insert(draw.randint(0, len(result)), "...")
        equation += "->" + "".join(result)
    if draw.maybe(0.05):
        tensors.pop()
    if not tensors or draw.maybe(0.2):
        return torch.einsum, equation, tensors or [draw.tensor(2)]
    return torch.einsum, equation, *tensors


def tensordot(draw: Draw) -> tuple[Any, ...]:
    shared = draw.sizes(0, 2)
    rows, columns = draw.sizes(0, 2), draw.sizes(0, 2)
    if draw.maybe():
        dims = len(shared) + draw.maybe(0.05)
        return torch.tensordot, draw.tensor(*rows, *shared), draw.tensor(*shared, *columns), dims
    a, b = rows + shared, columns + shared
    left = list(range(len(rows), len(a)))
    right = list(range(len(columns), len(b)))
    if draw.maybe(0.2) and left:
        left[-1] = -1
    if draw.maybe(0.05) and left:
        left[0] = draw.randint(-5, 5)
    return torch.tensordot, draw.tensor(*a), draw.tensor(*b), (left, right)


SAMPLES: dict[str, Sample] = {"einsum": einsum, "tensordot": tensordot}


def test_every_entry_has_samples() -> None:
    assert set(entries("einsum")) == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_as_torch(name: str) -> None:
    refused = 0
    for function, args, kwargs in calls(SAMPLES[name], 400):
        found = check(function, *args, **kwargs)
        refused += found.violation is not None
        assert found.call.op == name
    assert refused >= 40


@pytest.mark.parametrize("name", SAMPLES)
def test_flows(name: str) -> None:
    permuted = resized = 0
    for function, args, kwargs in calls(SAMPLES[name], 40, wrong=0):
        if check(function, *args, **kwargs).violation is None:
            permuted += check_permuted(function, *args, tolerance=1e-6, **kwargs)
            resized += check_resized(function, *args, **kwargs)
    assert permuted >= 30
    assert resized >= 30
