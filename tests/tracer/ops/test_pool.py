"""Pooling against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from tests.effort import TIMES
from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized, meta
from tests.tracer.ops.samples import entries
from tests.tracer.ops.spatial_calls import Draw, Sample, near, one_or_each

ALL = (1, 2, 3)


def pictures(draw: Draw, n: int, most: int = 8) -> torch.Tensor:
    batch = [draw.randint(0, 2)] if draw.random() < 0.8 else []
    return near(draw, *batch, draw.randint(1, 3), *(draw.randint(1, most) for _ in range(n)))


def window(draw: Draw, kind: str, n: int) -> Sample:
    x = pictures(draw, n)
    kernel = one_or_each(draw, n, 1, 4)
    if (kind, n) == ("lp", 1) and isinstance(kernel, tuple):  # it multiplies by the kernel
        kernel = kernel[0]
    named: dict[str, Any] = {}
    if draw.random() < 0.6:
        named["stride"] = one_or_each(draw, n, 0 if draw.random() < 0.1 else 1, 3)
    if draw.random() < 0.5:
        named["ceil_mode"] = draw.random() < 0.7
    if kind != "lp" and draw.random() < 0.6:
        named["padding"] = one_or_each(draw, n, 0, 2)
    if kind == "max":
        if draw.random() < 0.4:
            named["dilation"] = one_or_each(draw, n, 1, 2)
        if draw.random() < 0.3:
            named["return_indices"] = True
    given = (2.0, kernel) if kind == "lp" else (kernel,)
    return getattr(F, f"{kind}_pool{n}d"), (x, *given), named


def adaptive(draw: Draw, kind: str, n: int) -> Sample:
    sizes = [draw.randint(1, 5) for _ in range(n)]
    size: Any = sizes[0] if draw.random() < 0.4 else tuple(sizes)
    if isinstance(size, tuple) and n > 1 and draw.random() < 0.4:
        size = (None, *size[1:])
    named = {"return_indices": True} if kind == "max" and draw.random() < 0.4 else {}
    return getattr(F, f"adaptive_{kind}_pool{n}d"), (pictures(draw, n), size), named


def fractional(draw: Draw, n: int) -> Sample:
    x = pictures(draw, n)
    kernel = one_or_each(draw, n, 1, 3)
    named: dict[str, Any] = {"output_size": one_or_each(draw, n, 1, 5)}
    if draw.random() < 0.5:
        named = {"output_ratio": tuple(draw.choice([0.3, 0.5, 0.75]) for _ in range(n))}
    return getattr(F, f"fractional_max_pool{n}d"), (x, kernel), named


def unpool(draw: Draw, n: int) -> Sample:
    x = pictures(draw, n, 4)
    indices = torch.zeros(x.shape if draw.random() < 0.9 else (1,) * x.dim(), dtype=torch.int64)
    named: dict[str, Any] = {}
    if draw.random() < 0.6:
        named["stride"] = one_or_each(draw, n, 1, 3)
    if draw.random() < 0.4:
        named["padding"] = one_or_each(draw, n, 0, 1)
    if draw.random() < 0.4:
        named["output_size"] = tuple(2 * size + draw.randint(-2, 2) for size in x.shape[-n:])
    return getattr(F, f"max_unpool{n}d"), (x, indices, one_or_each(draw, n, 1, 3)), named


SAMPLES: dict[str, Callable[[Draw], Sample]] = {
    **{
        f"{kind}_pool{n}d": lambda draw, kind=kind, n=n: window(draw, kind, n)
        for kind in ("max", "avg", "lp")
        for n in ALL
    },
    **{
        f"adaptive_{kind}_pool{n}d": lambda draw, kind=kind, n=n: adaptive(draw, kind, n)
        for kind in ("max", "avg")
        for n in ALL
    },
    **{f"fractional_max_pool{n}d": lambda draw, n=n: fractional(draw, n) for n in (2, 3)},
    **{f"max_unpool{n}d": lambda draw, n=n: unpool(draw, n) for n in ALL},
}
# What the functions above go by when the places of the largest are asked for.
ALSO = {f"{kind}_pool{n}d_with_indices" for kind in ("max", "adaptive_max") for n in ALL}
ALSO |= {f"fractional_max_pool{n}d_with_indices" for n in (2, 3)}


def test_every_operation_of_the_family_is_tried() -> None:
    assert set(entries("pool")) == {*SAMPLES, *ALSO}


@together("name", SAMPLES)
def test_against_torch(name: str) -> None:
    for seed in range(60 * TIMES):
        function, args, named = SAMPLES[name](Draw(f"{name} {seed}"))
        check(function, *args, on="cpu", **named)


@together("shape", [(3,), (3, 3), (2, 0, 3), (2, 3, 0), (2, 0, 1, 1, 7), (1, 2, 3, 4, 5, 6)])
@together("size", [1, (1, 1), (None, 1), 2])
def test_one_bin_is_a_mean_of_any_number_of_dimensions(shape: tuple[int, ...], size: Any) -> None:
    found = check(F.adaptive_avg_pool2d, torch.ones(shape), size, on="cpu")
    assert (found.violation is None) == (len(shape) > 1) or size != 1
    check(F.adaptive_avg_pool3d, torch.ones(shape), 1 if size == 1 else (1, 1, 1), on="cpu")


def test_pools_flow() -> None:
    x = torch.randn(2, 3, 6, 9).double()
    for function, args in (
        (F.max_pool2d, (2,)),
        (F.avg_pool2d, (2, 1)),
        (F.lp_pool2d, (2.0, 3)),
        (F.adaptive_avg_pool2d, ((3, 1),)),
        (F.max_unpool2d, (torch.arange(54).expand(2, 3, 54).view(2, 3, 6, 9), 2)),
    ):
        assert check_permuted(function, x, *args) == 2
        assert check_resized(function, *meta([x, *args])) >= 2
