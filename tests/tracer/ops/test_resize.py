"""Interpolation, shuffling and padding against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from tests.effort import TIMES
from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import entries
from tests.tracer.ops.spatial_calls import Draw, Sample, near, one_or_each

MODES = ("nearest", "nearest-exact", "area", "linear", "bilinear", "bicubic", "trilinear")
RANKS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


def interpolate(draw: Draw) -> Sample:
    mode = draw.choice(MODES)
    n = RANKS.get(mode, draw.randint(1, 3))
    x = near(draw, draw.randint(0, 2), draw.randint(1, 3), *(draw.randint(1, 6) for _ in range(n)))
    named: dict[str, Any] = {"mode": mode}
    if draw.random() < 0.5:
        named["size"] = one_or_each(draw, n if draw.random() < 0.9 else n + 1, 0, 7)
    if draw.random() < 0.55:
        factors = tuple(draw.choice([0.3, 0.5, 1.5, 2, 2.0, 3]) for _ in range(n))
        named["scale_factor"] = factors if draw.random() < 0.5 else factors[0]
    if draw.random() < 0.15:
        named["align_corners"] = draw.random() < 0.5
    return F.interpolate, (x,), named


def pixels(draw: Draw, function: Callable[..., Any], down: bool) -> Sample:
    r = draw.randint(1, 3)
    sizes = [draw.randint(1, 3) for _ in range(3)]
    sizes = [sizes[0], sizes[1] * r, sizes[2] * r] if down else [sizes[0] * r * r, *sizes[1:]]
    return function, (near(draw, *[2] * draw.randint(0, 2), *sizes), r), {}


def channels(draw: Draw) -> Sample:
    groups = draw.randint(1, 3)
    sizes = [draw.randint(1, 3) for _ in range(draw.randint(1, 3))]
    return F.channel_shuffle, (near(draw, 2, groups * draw.randint(1, 3), *sizes), groups), {}


def pad(draw: Draw) -> Sample:
    mode = draw.choice(["constant", "constant", "reflect", "replicate", "circular"])
    n = draw.randint(1, 3)
    x = near(draw, *(draw.randint(0 if draw.random() < 0.05 else 1, 4) for _ in range(n + 1)))
    if draw.random() < 0.6:
        x = x[None]
    pairs = n if draw.random() < 0.9 else draw.randint(1, 5)
    # Where padding with what is there also cuts, torch's kernels do not agree: circular may write
    # where it reads, and reflection in three dimensions may leave nothing.
    least = -1 if mode == "constant" and draw.random() < 0.2 else 0
    amounts = [draw.randint(least, 3) for _ in range(2 * pairs)]
    return F.pad, (x, amounts if draw.random() < 0.97 else amounts[1:]), {"mode": mode}


SAMPLES: dict[str, Callable[[Draw], Sample]] = {
    "interpolate": interpolate,
    "pixel_shuffle": lambda draw: pixels(draw, F.pixel_shuffle, down=False),
    "pixel_unshuffle": lambda draw: pixels(draw, F.pixel_unshuffle, down=True),
    "channel_shuffle": channels,
    "pad": pad,
}
# Other names of the same.
ALSO = {"upsample", "upsample_nearest", "upsample_bilinear", "native_channel_shuffle"}


def test_every_operation_of_the_family_is_tried() -> None:
    assert set(entries("resize")) == {*SAMPLES, *ALSO}


@together("name", SAMPLES)
def test_against_torch(name: str) -> None:
    for seed in range(250 * TIMES):
        function, args, named = SAMPLES[name](Draw(f"{name} {seed}"))
        check(function, *args, on="cpu", **named)


@together("shape", [(2, 3, 0), (0, 3, 4), (2, 0, 4), (2, 0, 0), (3, 0)])
@together("amounts", [(0, 0), (1, 0), (0, 2)])
def test_a_circle_of_nothing(shape: tuple[int, ...], amounts: tuple[int, int]) -> None:
    check(F.pad, torch.zeros(shape), amounts, "circular", on="cpu")


def test_they_flow() -> None:
    x = torch.randn(2, 8, 4, 6).double()
    for function, args, named in (
        (F.interpolate, (), {"scale_factor": 2}),
        (F.interpolate, ((3, 5),), {"mode": "bilinear"}),
        (F.pad, ((1, 2, 0, 1),), {}),
    ):
        assert check_permuted(function, x, *args, **named) >= 2
        assert check_resized(function, x, *args, **named) == 4
    for function, args in ((F.pixel_shuffle, (2,)), (F.pixel_unshuffle, (2,))):
        assert check_permuted(function, x, *args) == 1
        assert check_resized(function, x, *args) >= 1
    assert check_permuted(F.channel_shuffle, x, 2) == 3
    assert check_resized(F.channel_shuffle, x, 2) == 3
