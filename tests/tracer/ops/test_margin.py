"""Losses with margins, labels and variances against torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import Draw, Sample, calls, entries, refusals


def reduction(draw: Draw) -> dict[str, Any]:
    return {"reduction": draw.choice(["mean", "sum", "none"])}


def cosine(draw: Draw) -> tuple[Any, ...]:
    n, d = draw.size(), draw.size()
    front = [n] if draw.maybe(0.8) else []
    rows = draw.tensor(*front, d), draw.tensor(*draw.stretched([*front, d])[-len(front) - 1 :])
    return F.cosine_embedding_loss, *rows, draw.tensor(*front).sign(), reduction(draw)


def multi_margin(draw: Draw) -> tuple[Any, ...]:
    n, c = draw.size(), draw.size()
    front = [n] if draw.maybe(0.8) else []
    x = draw.tensor(*front, c)
    target = torch.zeros_like(draw.tensor(*front)).long()
    if target.numel() and draw.maybe(0.2):
        target.view(-1)[0] = c
    settings = {"weight": draw.tensor(c), **reduction(draw)} if draw.maybe(0.3) else reduction(draw)
    return F.multi_margin_loss, x, target, settings


def multi_label(draw: Draw) -> tuple[Any, ...]:
    shape = [draw.size()] * draw.maybe(0.8) + [draw.size()]
    target = torch.zeros_like(draw.tensor(*shape)).long()
    if target.numel():
        target.view(-1)[-1] = draw.choice([-1, 0, shape[-1]])
    return F.multilabel_margin_loss, draw.tensor(*shape), target, reduction(draw)


def soft_margin(draw: Draw) -> tuple[Any, ...]:
    shape = draw.sizes(1, 3)
    x, target = draw.tensor(*shape), draw.tensor(*draw.stretched(shape))
    settings = reduction(draw)
    if draw.maybe(0.3):
        settings["weight"] = draw.tensor(*draw.stretched(shape))
    return F.multilabel_soft_margin_loss, x, target, settings


def gaussian(draw: Draw) -> tuple[Any, ...]:
    shape = draw.sizes(0, 3)
    variance = list(shape)
    if shape and draw.maybe(0.3):
        variance[draw.randrange(len(shape))] = 1
    elif draw.maybe(0.3):
        variance = variance[:-1]
    x, target = draw.tensor(*shape), draw.tensor(*draw.stretched(shape))
    given: Any = draw.tensor(*variance).abs() if draw.maybe(0.9) else 0.5
    return F.gaussian_nll_loss, x, target, given, reduction(draw)


SAMPLES: dict[str, Sample] = {
    "cosine_embedding_loss": cosine,
    "multi_margin_loss": multi_margin,
    "multilabel_margin_loss": multi_label,
    "multilabel_soft_margin_loss": soft_margin,
    "gaussian_nll_loss": gaussian,
}


def test_every_entry_has_samples() -> None:
    assert set(entries("margin")) == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_as_torch(name: str) -> None:
    refused = refusals(name, SAMPLES[name], 120)
    assert refused >= 5


@together("shape", [(), (1,), (1, 1), (2,)])
def test_weights_of_classes_are_a_vector(shape: tuple[int, ...]) -> None:
    x, target = torch.zeros(2, 1), torch.zeros(2, dtype=torch.long)
    found = check(F.multi_margin_loss, x, target, weight=torch.ones(shape), on="cpu")
    assert (found.violation is None) == (shape == (1,))


@together("name", SAMPLES)
def test_flows(name: str) -> None:
    permuted = resized = 0
    for function, args, kwargs in calls(SAMPLES[name], 30, wrong=0):
        if not name.startswith(("multi_", "multilabel_margin")):  # classes are named by number
            permuted += check_permuted(function, *args, **kwargs)
        resized += check_resized(function, *args, on="cpu", **kwargs)
    assert permuted >= 20 or name.startswith(("multi_", "multilabel_margin"))
    assert resized >= 10
