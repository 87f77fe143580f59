"""What of a run is rounding: what was made of large numbers and is next to nothing beside them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import tracer
from tests.together import together
from tracer import Trace
from tracer.views.player import payload
from tracer.views.rounding import level


def centred() -> Tensor:
    """Numbers whose mean over each channel is zero, and is computed as what rounding leaves."""
    x = torch.randn(2, 3, 20, 30, generator=torch.Generator().manual_seed(0)) + 0.1
    return x - x.mean(dim=(2, 3), keepdim=True)


class Does(nn.Module):
    def __init__(self, what: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> Tensor:
        return self.what(x)


def run(what: Callable[[Tensor], Tensor], x: Tensor | None = None) -> Trace:
    return tracer.trace(Does(what), centred() if x is None else x)


def last_is_level(trace: Trace) -> bool:
    return trace.outputs[0].id in level(trace)


@together(
    "what",
    [
        lambda x: x.mean(dim=(2, 3)),
        lambda x: nn.functional.adaptive_avg_pool2d(x, 1),
        lambda x: nn.functional.avg_pool2d(x, (20, 30)),
        lambda x: (x + 5) - 5 - x,
        # What is done with rounding is rounding.
        lambda x: x.mean(dim=(2, 3)).unsqueeze(-1).expand(2, 3, 4),
        lambda x: torch.tanh(x.mean(dim=(2, 3))) * 0.1,
        lambda x: x.mean(dim=(2, 3)) @ torch.ones(3, 5),
        # About another value than zero it is so too.
        lambda x: torch.sigmoid(x.mean(dim=(2, 3))),
        lambda x: torch.softmax(x.mean(dim=(2, 3)), dim=1),
        # The picture takes the mean over what it cannot show.
        lambda x: x.reshape(2, 3, 600).mT.unsqueeze(3).expand(2, 600, 3, 5),
    ],
)
def test_what_rounding_leaves_is_level(what: Callable[[Tensor], Tensor]) -> None:
    assert last_is_level(run(what))


@together(
    "what",
    [
        lambda x: x,
        lambda x: x.mean(dim=1),
        # Small, and no rounding.
        lambda x: 1e-9 * x,
        lambda x: (1e-9 * x).mean(dim=1),
        lambda x: torch.exp(10 * x - 40),
        lambda x: torch.softmax(x.reshape(2, 1800), dim=1) / 1e5,
        lambda x: x.clamp(0, 1e-7),
        # Brought to full size it is a value like others: what comes of it is to be seen.
        lambda x: torch.sigmoid(1e7 * x.mean(dim=(2, 3))),
    ],
)
def test_what_is_small_for_another_reason_is_shown(what: Callable[[Tensor], Tensor]) -> None:
    assert not last_is_level(run(what))


def test_whole_numbers_are_exact() -> None:
    large = torch.tensor([[10_000_000, 10_000_001]])
    assert not last_is_level(run(lambda x: x, large))
    assert last_is_level(run(lambda x: x * 0, large))


def test_what_is_not_finite_is_shown() -> None:
    assert not last_is_level(run(lambda x: x, torch.tensor([[1.0, 1.0, float("nan")]])))
    assert not last_is_level(run(lambda x: x, torch.tensor([[1.0]])))


def test_the_player_is_told() -> None:
    trace = run(lambda x: x.mean(dim=(2, 3)))
    found = {
        note["id"]: note["heatmap"]["level"]
        for note in payload(trace)["tensors"]
        if note["heatmap"] is not None
    }
    assert {note for note, is_level in found.items() if is_level} == level(trace)
    assert not found[trace.inputs[0].id]
    assert found[trace.outputs[0].id]
