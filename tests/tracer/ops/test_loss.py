"""Losses against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.effort import TIMES
from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import entries
from tests.tracer.ops.spatial_calls import Draw, Sample, near
from tracer.ops.call import At

COMPARED = (
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "soft_margin_loss"),
    *("poisson_nll_loss", "hinge_embedding_loss"),
)


def reduction(draw: Draw) -> dict[str, Any]:
    return {"reduction": draw.choice(["mean", "sum", "none"])}


def compared(draw: Draw, name: str) -> Sample:
    sizes = [draw.randint(1, 4) for _ in range(draw.randint(0, 3))]
    other = [1 if draw.random() < 0.2 else size for size in sizes[draw.randint(0, 1) :]]
    return getattr(F, name), (near(draw, *sizes), near(draw, *other)), reduction(draw)


def yes_or_no(draw: Draw, name: str) -> Sample:
    sizes = [draw.randint(1, 4) for _ in range(draw.randint(0, 3))]
    x, target = near(draw, *sizes).fill_(0.5), near(draw, *sizes).fill_(1)
    if draw.random() < 0.1:
        target = target.long()
    if draw.random() < 0.1:
        x.fill_(2)
    return getattr(F, name), (x, target), reduction(draw)


def triple(draw: Draw, name: str) -> Sample:
    sizes = [draw.randint(1, 4) for _ in range(draw.randint(0, 3))]
    three = (near(draw, *(1 if draw.random() < 0.1 else size for size in sizes)) for _ in range(3))
    return getattr(F, name), tuple(three), reduction(draw)


def classes(draw: Draw, name: str) -> Sample:
    count = draw.randint(1, 4)
    batch = [draw.randint(1, 3)] if draw.random() < 0.9 else []
    places = [draw.randint(1, 3) for _ in range(draw.randint(0, 2))] if batch else []
    x = near(draw, *batch, count, *places)
    if draw.random() < 0.05:
        x = x.long()
    high = count + (draw.random() < 0.1)
    target = torch.zeros_like(near(draw, *batch, *places)).long()
    if target.numel():
        target.view(-1)[-1] = high - 1 if draw.random() < 0.9 else -1
    if draw.random() < 0.1:
        target = target.float() if draw.random() < 0.5 else target.int()
    if draw.random() < 0.2:
        target = torch.full(x.shape, 0.5)
    named = reduction(draw)
    if draw.random() < 0.3:
        named["weight"] = near(draw, count)
    return getattr(F, name), (x, target), named


SAMPLES: dict[str, Callable[[Draw], Sample]] = {
    **{name: lambda draw, name=name: compared(draw, name) for name in COMPARED},
    **{
        name: lambda draw, name=name: yes_or_no(draw, name)
        for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits")
    },
    **{
        name: lambda draw, name=name: triple(draw, name)
        for name in ("margin_ranking_loss", "triplet_margin_loss")
    },
    **{name: lambda draw, name=name: classes(draw, name) for name in ("cross_entropy", "nll_loss")},
}
# The same under the names that torch has for its inside.
ALSO = {"cross_entropy_loss", "nll_loss_nd", "nll_loss2d"}


def test_every_operation_of_the_family_is_tried() -> None:
    assert set(entries("loss")) == {*SAMPLES, *ALSO}


@pytest.mark.filterwarnings("ignore::UserWarning")
@together("name", SAMPLES)
def test_against_torch(name: str) -> None:
    for seed in range(120 * TIMES):
        function, args, named = SAMPLES[name](Draw(f"{name} {seed}"))
        check(function, *args, on="cpu", **named)


@together("function", [F.cross_entropy, F.nll_loss])
@together("weight", [(), (1,), (3,), (1, 1), (3, 1), (1, 3), (2, 2)])
@together("scores", [(2, 1), (2, 1, 4), (2, 1, 4, 4), (2, 3, 4, 4), (3,), (1,)])
def test_weights_of_any_shape(function: Any, weight: Any, scores: tuple[int, ...]) -> None:
    x = torch.rand(scores)
    target = torch.zeros(scores[:1] * (len(scores) > 1) + scores[2:]).long()
    check(function, x, target, torch.ones(weight), on="cpu")
    if function is F.cross_entropy:
        check(function, x, torch.full(scores, 0.5), torch.ones(weight), on="cpu")


def test_losses_flow() -> None:
    x, y, apart = torch.rand(3, 4, 5).double(), torch.rand(3, 4, 5).double(), {"reduction": "none"}
    for function in (F.mse_loss, F.binary_cross_entropy):
        assert check_permuted(function, x, y, **apart) == 3
        assert check_resized(function, *(t.to("meta") for t in (x, y)), **apart) == 3
    z = torch.rand(3, 4, 5).double()
    assert check_permuted(F.margin_ranking_loss, x, y, z, **apart) == 3
    assert check_permuted(F.triplet_margin_loss, x, y, z, **apart) == 3
    named = torch.randint(0, 4, (3, 5))
    assert check_permuted(F.cross_entropy, x, named, ordered=[At(0, 1)], **apart) == 2
    assert check_permuted(F.cross_entropy, x, y, **apart) == 3
    assert check_resized(F.cross_entropy, x.to("meta"), named.to("meta"), **apart) == 3
