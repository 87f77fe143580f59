"""Diagonals against torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.together import together
from tests.tracer.ops.against_torch import check_permuted, check_resized
from tests.tracer.ops.samples import Draw, Sample, calls, entries, refusals
from tracer.ops.call import At


def diag(draw: Draw) -> tuple[Any, ...]:
    return torch.diag, draw.tensor(*draw.sizes(0 if draw.maybe(0.1) else 1, 2)), draw.randint(-3, 3)


def diag_embed(draw: Draw) -> tuple[Any, ...]:
    shape = draw.sizes(0 if draw.maybe(0.1) else 1, 3)
    rank = len(shape) + 1
    settings: dict[str, Any] = {"offset": draw.randint(-2, 2)} if draw.maybe() else {}
    if draw.maybe():
        settings |= {"dim1": draw.randint(-rank, rank), "dim2": draw.randint(-rank, rank - 1)}
    return torch.diag_embed, draw.tensor(*shape), settings


def diagflat(draw: Draw) -> tuple[Any, ...]:
    return torch.diagflat, draw.tensor(*draw.sizes(0, 3)), draw.randint(-2, 2)


def fill(draw: Draw) -> tuple[Any, ...]:
    rank = draw.randint(1, 3)
    shape = [draw.size()] * rank if rank > 2 else [draw.size() for _ in range(rank)]
    return Tensor.fill_diagonal_, draw.tensor(*shape), 1.0


def scatter(draw: Draw) -> tuple[Any, ...]:
    shape = draw.sizes(2, 4)
    dims = draw.sample(range(len(shape)), 2)
    offset = draw.randint(-1, 1)
    source = torch.diagonal(torch.zeros(shape), offset, *dims).shape
    return torch.diagonal_scatter, draw.tensor(*shape), draw.tensor(*source), offset, *dims


def blocks(draw: Draw) -> tuple[Any, ...]:
    return torch.block_diag, *(
        draw.tensor(*draw.sizes(0, 3 if draw.maybe(0.05) else 2)) for _ in range(draw.randint(1, 3))
    )


SAMPLES: dict[str, Sample] = {
    "diag": diag,
    "diag_embed": diag_embed,
    "diagflat": diagflat,
    "fill_diagonal": fill,
    "diagonal_scatter": scatter,
    "block_diag": blocks,
}


def test_every_entry_has_samples() -> None:
    assert set(entries("diagonal")) == SAMPLES.keys()


@together("name", SAMPLES)
def test_as_torch(name: str) -> None:
    refused = refusals(name, SAMPLES[name], 100)
    assert refused >= 3 or name == "diagflat"


@together("name", SAMPLES)
def test_flows(name: str) -> None:
    permuted = resized = 0
    for function, args, kwargs in calls(SAMPLES[name], 20, wrong=0):
        ordered = [At(1, args[1].dim() - 1)] if name == "diagonal_scatter" else []
        permuted += check_permuted(function, *args, ordered=ordered, **kwargs)
        resized += check_resized(function, *args, on="cpu", **kwargs)
    assert permuted >= 5 or name in ("diag", "diagflat", "block_diag", "fill_diagonal")
    assert resized >= 6
