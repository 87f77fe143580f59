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
