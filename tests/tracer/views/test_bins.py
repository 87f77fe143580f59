"""What is said of adaptive pooling, where one side may be pooled over the whole."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.together import together
from tracer import trace
from tracer.views.changes import explain


class Pooled(nn.Module):
    def __init__(self, *size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(x, self.size)


@together(
    ("shape", "size", "said"),
    [
        ((14, 20), (14, 1), "Width 20 → 1: the values averaged over the whole width"),
        ((14, 20), (1, 20), "Height 14 → 1: the values averaged over the whole height"),
        (
            (28, 20),
            (14, 1),
            "Height 28 → 14, width 20 → 1: the values averaged over the whole width, in 14 bins "
            "along the height",
        ),
        ((1, 20), (1, 5), "Width 20 → 5: the values averaged in 1×5 bins"),
        (
            (28, 20),
            (1, 1),
            "Height 28 → 1, width 20 → 1: the values averaged over each whole channel",
        ),
    ],
)
def test_a_side_pooled_over_the_whole(
    shape: tuple[int, int], size: tuple[int, int], said: str
) -> None:
    (told,) = explain(trace(Pooled(*size), torch.randn(2, 3, *shape)))
    assert told.summary == said


def test_a_window_as_large_as_the_map_is_told_as_the_whole() -> None:
    (told,) = explain(trace(nn.AvgPool2d((14, 20)), torch.randn(2, 3, 14, 20)))
    assert (
        told.summary == "Height 14 → 1, width 20 → 1: the values averaged over each whole channel"
    )
    (told,) = explain(trace(nn.MaxPool2d(2), torch.randn(2, 3, 2, 20)))
    assert told.summary == "Height 2 → 1, width 20 → 10: the largest of every window of 2×2 kept"


def test_a_side_whose_formula_changes_is_told_in_formulas_whatever_its_number() -> None:
    class Fitted(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return F.interpolate(x, size=y.shape[-1])

    found = trace(Fitted(), torch.randn(2, 3, 8), torch.randn(8), dims={"x": "B C T", "y": "U"})
    (told,) = explain(found)
    assert told.summary == "Shape kept: every channel resized (nearest)"
    (told,) = explain(found, symbols=True)
    assert told.summary == "Length T → U: every channel resized (nearest)"
