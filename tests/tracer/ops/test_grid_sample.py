"""`grid_sample` against torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.effort import TIMES
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.spatial_calls import Draw, near
from tracer.ops.call import At


def test_against_torch() -> None:
    for seed in range(150 * TIMES):
        draw = Draw(seed)
        n, batch, channels = draw.randint(2, 3), draw.randint(0, 2), draw.randint(1, 3)
        sizes = [draw.randint(1, 4) for _ in range(n)]
        places = [draw.randint(1, 4) for _ in range(n)]
        x = near(draw, batch, channels, *sizes)
        check(F.grid_sample, x, near(draw, batch, *places, n), on="cpu", align_corners=False)


def test_it_flows() -> None:
    x, grid = torch.randn(2, 3, 5, 6).double(), torch.rand(2, 4, 7, 2).double()
    places = (At(0, 2), At(0, 3), At(1, 3))  # what the coordinates speak of
    assert check_permuted(F.grid_sample, x, grid, ordered=places, align_corners=False) == 4
    assert check_resized(F.grid_sample, x, grid, align_corners=False) >= 4
