"""Tables of rows against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.effort import TIMES
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import entries
from tests.tracer.ops.spatial_calls import Draw, Sample, near
from tracer import trace
from tracer.ops.call import At
from tracer.views.changes import explain


def numbers(draw: Draw, *sizes: int, below: int) -> torch.Tensor:
    """Of rows that are there, now and then one that is not."""
    high = below + (draw.random() < 0.1)
    low = -1 if draw.random() < 0.05 else 0
    generator = torch.Generator().manual_seed(draw.randint(0, 999))
    made = torch.randint(low, max(high, low + 1), sizes, generator=generator)
    return made.double() if draw.random() < 0.05 else made


def looked_up(draw: Draw) -> Sample:
    rows, columns = draw.randint(1, 5), draw.randint(1, 4)
    sizes = [draw.randint(1, 4) for _ in range(draw.randint(0, 3))]
    return F.embedding, (numbers(draw, *sizes, below=rows), near(draw, rows, columns)), {}


def bagged(draw: Draw) -> Sample:
    rows, columns = draw.randint(1, 5), draw.randint(1, 4)
    named: dict[str, Any] = {"mode": draw.choice(["sum", "mean", "max"])}
    if draw.random() < 0.5:
        index = numbers(draw, draw.randint(1, 4), draw.randint(1, 4), below=rows)
        if draw.random() < 0.1:
            named["offsets"] = torch.tensor([0])
    else:
        index = numbers(draw, draw.randint(2, 6), below=rows)
        named["offsets"] = torch.tensor([0, 1, 2][: draw.randint(2, 3)])
        if draw.random() < 0.3:  # the last one is where the last bag ends
            named["offsets"] = torch.tensor([0, 1, len(index)])
            named["include_last_offset"] = True
    if named["mode"] == "sum" and draw.random() < 0.4:
        named["per_sample_weights"] = near(draw, *index.shape)
    return F.embedding_bag, (index, near(draw, rows, columns)), named


def hot(draw: Draw) -> Sample:
    classes = draw.randint(1, 5)
    sizes = [draw.randint(1, 4) for _ in range(draw.randint(0, 3))]
    index = numbers(draw, *sizes, below=classes)
    return F.one_hot, (index, *((classes,) if draw.random() < 0.7 else ())), {}


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_a_bag_is_told_inside_its_class_too(mode: str) -> None:
    run = trace(nn.EmbeddingBag(10, 3, mode=mode), torch.tensor([[1, 2], [3, 4]]))
    (outer,) = run.steps
    inner = outer.children[-1]
    assert inner.op == "torch.embedding_bag"
    assert len(inner.outputs) == 4
    said, beneath = explain(run)[0], explain(run)[0].children[-1]
    assert str(beneath.summary) == str(said.summary)


SAMPLES: dict[str, Callable[[Draw], Sample]] = {
    "embedding": looked_up,
    "embedding_bag": bagged,
    "one_hot": hot,
}


def test_every_operation_of_the_family_is_tried() -> None:
    assert set(entries("embedding")) == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_against_torch(name: str) -> None:
    for seed in range(200 * TIMES):
        function, args, named = SAMPLES[name](Draw(f"{name} {seed}"))
        check(function, *args, on="cpu", **named)


def test_rows_flow() -> None:
    index, table = torch.tensor([[0, 3, 1], [2, 2, 0]]), torch.randn(4, 5).double()
    assert check_permuted(F.embedding, index, table, ordered=[At(1, 0)]) == 3
    assert check_resized(F.embedding, torch.zeros_like(index).to("meta"), table.to("meta")) == 4
    assert check_permuted(F.embedding_bag, index, table, ordered=[At(1, 0)]) == 3
    assert check_permuted(F.one_hot, index, 4) == 2
    assert check_resized(F.one_hot, index.to("meta"), 4) == 2
