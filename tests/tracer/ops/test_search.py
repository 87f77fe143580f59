"""Places among sorted numbers, counts and draws against torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import Draw, Sample, calls, entries, refusals
from tracer.ops.call import At


def searchsorted(draw: Draw) -> tuple[Any, ...]:
    batch, n = draw.sizes(0, 2), draw.size()
    rows = draw.tensor(*(batch if draw.maybe() else []), n)
    settings: dict[str, Any] = {}
    if draw.maybe(0.1):
        settings["sorter"] = torch.zeros_like(draw.tensor(*rows.shape)).long()
    if draw.maybe(0.1):
        return torch.searchsorted, rows, 0.5, settings
    values = draw.tensor(*batch, draw.size())
    if draw.maybe(0.05):
        values = values.float()
    return torch.searchsorted, rows, values, settings


def bucketize(draw: Draw) -> tuple[Any, ...]:
    boundaries = draw.tensor(draw.size())
    if draw.maybe(0.1):
        return torch.bucketize, 0.5, boundaries
    return torch.bucketize, draw.tensor(*draw.sizes(0, 3)), boundaries


def isin(draw: Draw) -> tuple[Any, ...]:
    one, two = draw.tensor(*draw.sizes(0, 3)), draw.tensor(*draw.sizes(0, 2))
    return torch.isin, *draw.choice([(one, two), (one, two), (one, 0.5), (0.5, two)])


def take(draw: Draw) -> tuple[Any, ...]:
    x = draw.tensor(*draw.sizes(0, 3))
    index = torch.zeros_like(draw.tensor(*draw.sizes(0, 3))).long()
    if index.numel():
        index.view(-1)[0] = draw.choice([0, -1, x.numel() - 1, -x.numel(), x.numel()])
    return torch.take, x, index if draw.maybe(0.95) else index.int()


def unravel_index(draw: Draw) -> tuple[Any, ...]:
    return torch.unravel_index, torch.zeros(draw.sizes(0, 2)).long(), tuple(draw.sizes(1, 3))


def bincount(draw: Draw) -> tuple[Any, ...]:
    n = draw.size()
    x = (draw.tensor(n) * 2).abs().long()
    if draw.maybe(0.1):
        x = x - 2
    settings: dict[str, Any] = {"minlength": draw.randint(-1, 6)} if draw.maybe() else {}
    if draw.maybe(0.3):
        settings["weights"] = draw.tensor(n)
    return torch.bincount, x if draw.maybe(0.95) else x.double(), settings


def histc(draw: Draw) -> tuple[Any, ...]:
    return torch.histc, draw.tensor(*draw.sizes(0, 3)), draw.randint(0, 5)


def multinomial(draw: Draw) -> tuple[Any, ...]:
    rows = [draw.size()] * draw.maybe()
    x = draw.tensor(*rows, draw.size()).abs() + 0.1
    x = x if draw.maybe(0.95) else x.long() + 1
    return torch.multinomial, x, draw.randint(0, 5), {"replacement": draw.maybe()}


SAMPLES: dict[str, Sample] = {
    "searchsorted": searchsorted,
    "bucketize": bucketize,
    "isin": isin,
    "take": take,
    "unravel_index": unravel_index,
    "bincount": bincount,
    "histc": histc,
    "multinomial": multinomial,
}
NEVER_REFUSED = ("isin", "unravel_index")


def test_every_entry_has_samples() -> None:
    assert set(entries("search")) == SAMPLES.keys()


@pytest.mark.filterwarnings("ignore")
@together("name", SAMPLES)
def test_as_torch(name: str) -> None:
    refused = refusals(name, SAMPLES[name], 100)
    assert refused >= 3 or name in NEVER_REFUSED


# The order of these says something.
ORDERED = {"searchsorted": 0, "bucketize": 1}
BY_VALUE = ("bincount", "take")


@pytest.mark.filterwarnings("ignore")
@together("name", sorted(SAMPLES.keys() - {"multinomial"}))
def test_flows(name: str) -> None:
    permuted = resized = 0
    for function, args, kwargs in calls(SAMPLES[name], 20, wrong=0):
        if name not in BY_VALUE:
            ordered = [At(0, args[ORDERED[name]].dim() - 1)] if name == "searchsorted" else []
            ordered += [At(1, 0), At(0, 0)] if name == "bucketize" else []
            permuted += check_permuted(function, *args, ordered=ordered, **kwargs)
        if name not in BY_VALUE:
            resized += check_resized(function, *args, on="cpu", **kwargs)
    assert permuted >= 3 or name in BY_VALUE
    assert resized >= 5 or name in BY_VALUE


def test_each_row_of_weights_draws_its_own() -> None:
    bound = check(torch.multinomial, torch.ones(3, 5), 2, on="cpu")
    assert [(dim.how, dim.sources) for dim in bound.results[0]] == [
        ("same", (At(0, 0),)),
        ("new", ()),
    ]
