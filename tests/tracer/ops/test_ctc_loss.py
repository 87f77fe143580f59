"""`ctc_loss` against torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.effort import TIMES
from tests.tracer.ops.against_torch import check
from tests.tracer.ops.spatial_calls import Draw


def lengths(draw: Draw, count: int, most: int) -> torch.Tensor:
    """One for each sample, now and then one too many or too long."""
    count += draw.random() < 0.05
    high = most + (draw.random() < 0.1)
    return torch.tensor([draw.randint(1, high) for _ in range(count)])


def test_against_torch() -> None:
    for seed in range(200 * TIMES):
        draw = Draw(seed)
        time, batch, classes, long = (draw.randint(2, 5) for _ in range(4))
        scores = torch.zeros(time, batch, classes).log_softmax(-1)
        targets = torch.ones(batch, long, dtype=torch.int64)
        frames, wanted = lengths(draw, batch, time), lengths(draw, batch, long)
        if draw.random() < 0.3:
            targets = targets.flatten()
        named = {"reduction": draw.choice(["none", "mean"])}
        blank = draw.choice([0, 0, 0, classes, -1])
        check(F.ctc_loss, scores, targets, frames, wanted, blank, on="cpu", **named)
