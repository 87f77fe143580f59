"""Quantiles, areas and slopes against torch."""

from __future__ import annotations

from typing import Any

import torch

from tests.together import together
from tests.tracer.ops.against_torch import check_permuted, check_resized
from tests.tracer.ops.samples import Draw, Sample, calls, entries, refusals
from tracer.ops.call import At


def quantile(name: str) -> Sample:
    def sample(draw: Draw) -> tuple[Any, ...]:
        shape = draw.sizes(0, 3)
        x = draw.tensor(*shape)
        q: Any = draw.choice([0.5, 0.5, 0.0, 1.5])
        if draw.maybe():
            q = draw.tensor(*draw.sizes(0, 1)).abs().clamp(0, 1 if draw.maybe(0.9) else 3)
        settings: dict[str, Any] = {"keepdim": draw.maybe()}
        if draw.maybe():
            settings["dim"] = draw.randint(-len(shape) - draw.maybe(0.1), max(len(shape) - 1, 0))
        return getattr(torch, name), x if draw.maybe(0.95) else x.long(), q, settings

    return sample


def area(name: str) -> Sample:
    def sample(draw: Draw) -> tuple[Any, ...]:
        shape = draw.sizes(0 if draw.maybe(0.1) else 1, 3)
        dim = draw.randint(-len(shape) - draw.maybe(0.1), max(len(shape) - 1, 0))
        y = draw.tensor(*shape)
        if draw.maybe(0.4):
            there = -y.dim() <= dim < y.dim()
            x = draw.tensor(y.shape[dim] if there else 2)
            return getattr(torch, name), y, x if x.dim() == 1 else y, {"dim": dim}
        return getattr(torch, name), y, {"dim": dim}

    return sample


def gradient(draw: Draw) -> tuple[Any, ...]:
    shape = [draw.randint(1 if draw.maybe(0.1) else 2, 5) for _ in range(draw.randint(1, 3))]
    settings: dict[str, Any] = {}
    if draw.maybe():
        settings["dim"] = draw.sample(range(len(shape)), draw.randint(1, len(shape)))
        if draw.maybe():
            settings["spacing"] = [2.0] * (len(settings["dim"]) + draw.maybe(0.1))
    return torch.gradient, draw.tensor(*shape), settings


SAMPLES: dict[str, Sample] = {
    "quantile": quantile("quantile"),
    "nanquantile": quantile("nanquantile"),
    **{name: area(name) for name in ("trapezoid", "trapz", "cumulative_trapezoid")},
    "gradient": gradient,
}


def test_every_entry_has_samples() -> None:
    assert set(entries("statistics")) == SAMPLES.keys()


@together("name", SAMPLES)
def test_as_torch(name: str) -> None:
    refused = refusals(name, SAMPLES[name], 120)
    assert refused >= 5


@together("name", SAMPLES)
def test_flows(name: str) -> None:
    permuted = resized = 0
    for function, args, kwargs in calls(SAMPLES[name], 25, wrong=0):
        # What lies between neighbours depends on their order.
        dim = kwargs.get("dim", -1)
        along = [At(0, dim % args[0].dim())] if "trap" in name and args[0].dim() else []
        permuted += check_permuted(function, *args, ordered=along, **kwargs)
        resized += check_resized(function, *args, on="cpu", **kwargs)
    assert permuted >= 8 or name == "gradient"
    assert resized >= 10
