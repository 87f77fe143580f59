"""`affine_grid` against torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.effort import TIMES
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.spatial_calls import Draw, near
from tracer import trace
from tracer.ops.call import At
from tracer.views.changes import explain


def test_against_torch() -> None:
    for seed in range(150 * TIMES):
        draw = Draw(seed)
        n = draw.randint(2, 3)
        size = [draw.randint(1, 4) for _ in range(n + 2)]
        theta = near(draw, size[0], n, n + 1)
        if draw.random() < 0.1:
            size[draw.randrange(len(size))] = 0
        if draw.random() < 0.05:
            size.pop()
        check(F.affine_grid, theta, size, on="cpu", align_corners=False)


def test_it_flows() -> None:
    theta = torch.randn(2, 2, 3).double()
    given, ordered = ((2, 3, 4, 5), False), (At(0, 1), At(0, 2))
    assert check_permuted(F.affine_grid, theta, *given, ordered=ordered) == 1
    assert check_resized(F.affine_grid, theta, *given) == 0  # all its sizes are given


class Grid(torch.nn.Module):
    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        return F.affine_grid(theta, [2, 3, 4, 5], align_corners=False)


def test_it_is_told() -> None:
    (told,) = explain(trace(Grid(), torch.randn(2, 2, 3)))
    assert told.summary == (
        "(2, 2, 3) → (2, 4, 5, 2): for every place of a picture, where its affine map points"
    )
    assert told.changes == (
        "dim 1: new, the height of the picture",
        "dim 2: new, the width of the picture",
        "dim 3: new, the 2 coordinates of a point",
    )


def test_a_map_of_another_size_is_explained() -> None:
    found = trace(Grid(), torch.randn(2, 3, 3)).failure
    assert found is not None
    assert found.rule == (
        "affine_grid needs maps (2, 2, 3) for a picture (2, 3, 4, 5): theta is (2, 3, 3)."
    )
