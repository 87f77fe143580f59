"""Modules that take their sizes from their first inputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from tracer import trace


class Bare(nn.Module):
    """A parameter that never gets a size."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = UninitializedParameter()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Made(nn.Module):
    """One that the forward gives its size."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = UninitializedParameter()

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.weight, UninitializedParameter):
            self.weight.materialize((x.shape[-1], 2))
            nn.init.ones_(self.weight)
        return x @ self.weight


CASES: dict[str, tuple[Any, tuple[int, ...], str]] = {
    "linear": (lambda: nn.Sequential(nn.LazyLinear(5), nn.ReLU()), (3, 4), "B 4"),
    "convolution": (
        lambda: nn.Sequential(
            nn.LazyConv2d(5, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2)
        ),
        (3, 4, 8, 8), "B 4 8 8",
    ),
    "mixed": (lambda: nn.Sequential(nn.Linear(4, 6), nn.LazyLinear(5)), (3, 4), "B 4"),
    "transposed": (lambda: nn.Sequential(nn.LazyConvTranspose1d(5, 3)), (3, 4, 8), "B 4 T"),
    "bare": (Bare, (3, 4), "B 4"),
    "made": (Made, (3, 4), "B 4"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_lazy_module_is_traced_as_after_its_first_call(case: str) -> None:
    build, shape, dims = CASES[case]
    torch.manual_seed(1)
    model = build().eval()
    torch.manual_seed(1)
    plain, x = build().eval(), torch.randn(shape)
    classes = [type(each) for each in model.modules()]
    torch.manual_seed(2)
    wanted = plain(x)
    named = {"input" if isinstance(model, nn.Sequential) else "x": dims}
    every: list[dict[str, Any]] = [{}, {"values": False}, {"device": "meta"}, {"dims": named}]
    for options in every:
        torch.manual_seed(2)
        state = torch.get_rng_state()
        found = trace(model, x, **options)
        assert found.failure is None, options
        assert found.outputs[0].shape == tuple(wanted.shape)
        assert not any("init" in step.op or "uniform" in step.op for step in found.walk())
        if "dims" in options:
            assert found.outputs[0].dims[0].text == "B"
        if found.values and found.outputs[0].device == "cpu":
            stats = found.outputs[0].stats
            assert stats is not None
            assert stats.mean == pytest.approx(wanted.mean().item(), abs=1e-6)
        assert torch.equal(torch.get_rng_state(), state)
        # It waits for its first call as before.
        assert [type(each) for each in model.modules()] == classes
        assert any(isinstance(p, UninitializedParameter) for p in model.parameters())
    torch.manual_seed(2)
    assert torch.equal(model(x), wanted)


def test_one_that_does_not_fit_is_explained() -> None:
    found = trace(nn.Sequential(nn.LazyLinear(5), nn.Linear(4, 2)), torch.zeros(3, 4)).failure
    assert found is not None
    assert found.module == "1"
    assert found.violation is not None
    assert found.violation.kind == "width"
