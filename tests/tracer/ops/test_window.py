"""Convolutions against torch."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.effort import TIMES
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import entries
from tests.tracer.ops.spatial_calls import Draw, Sample, near, one_or_each
from tracer.ops.call import Call
from tracer.ops.table import bind
from tracer.record.live import live_call


def conv(draw: Draw, n: int) -> Sample:
    groups, inner, outer = draw.randint(1, 2), draw.randint(1, 3), draw.randint(1, 3)
    sizes = [draw.randint(1, 9) for _ in range(n)]
    kernel = [draw.randint(1, 4) for _ in range(n)]
    batch = [draw.randint(0, 2)] if draw.random() < 0.8 else []
    x = near(draw, *batch, groups * inner, *sizes)
    weight = near(draw, groups * outer, inner, *kernel)
    bias = near(draw, groups * outer) if draw.random() < 0.4 else None
    named: dict[str, Any] = {"groups": groups}
    if draw.random() < 0.6:
        named["stride"] = one_or_each(draw, n, 1 if draw.random() < 0.95 else 0, 3)
    if draw.random() < 0.6:
        named["padding"] = draw.choice(
            ["same", "valid", one_or_each(draw, n, 0 if draw.random() < 0.95 else -1, 2)]
        )
    if draw.random() < 0.4:
        named["dilation"] = one_or_each(draw, n, 1, 2)
    return getattr(F, f"conv{n}d"), (x, weight, bias), named


def conv_transpose(draw: Draw, n: int) -> Sample:
    groups, inner, outer = draw.randint(1, 2), draw.randint(1, 3), draw.randint(1, 3)
    sizes = [draw.randint(1, 6) for _ in range(n)]
    kernel = [draw.randint(1, 4) for _ in range(n)]
    batch = [draw.randint(1, 2)] if draw.random() < 0.8 else []
    x = near(draw, *batch, groups * inner, *sizes)
    weight = near(draw, groups * inner, outer, *kernel)
    named: dict[str, Any] = {"groups": groups, "stride": one_or_each(draw, n, 1, 3)}
    if draw.random() < 0.6:
        named["padding"] = one_or_each(draw, n, 0, 2)
    if draw.random() < 0.4:
        named["output_padding"] = one_or_each(draw, n, 0, 2)
    if draw.random() < 0.4:
        named["dilation"] = one_or_each(draw, n, 1, 2)
    return getattr(F, f"conv_transpose{n}d"), (x, weight), named


def sliding(draw: Draw) -> Sample:
    x = torch.empty([draw.randint(0, 6) for _ in range(draw.randint(0, 3))])
    rank = max(x.dim(), 1)
    axis = draw.randint(-rank - (draw.random() < 0.1), rank - (draw.random() < 0.9))
    return torch.Tensor.unfold, (x, axis, draw.randint(0, 4), draw.randint(0, 3)), {}


def columns(draw: Draw) -> Sample:
    batch = [draw.randint(0, 2)] if draw.random() < 0.8 else []
    x = near(draw, *batch, draw.randint(1, 3), draw.randint(1, 8), draw.randint(1, 8))
    settings = {
        "dilation": one_or_each(draw, 2, 1, 2),
        "padding": one_or_each(draw, 2, 0, 2),
        "stride": one_or_each(draw, 2, 1, 3),
    }
    chosen = {name: value for name, value in settings.items() if draw.random() < 0.5}
    return F.unfold, (x, one_or_each(draw, 2, 1, 4)), chosen


def unfold(draw: Draw) -> Sample:
    return (sliding if draw.random() < 0.5 else columns)(draw)


def fold(draw: Draw) -> Sample:
    function, (x, kernel), named = columns(draw)
    try:
        columned = function(x, kernel, **named)
    except (RuntimeError, IndexError):
        columned = torch.empty(2, 12, 9)
    size = tuple(x.shape[-2:]) if x.dim() > 2 else (4, 4)
    return F.fold, (near(draw, *columned.shape), size, kernel), named


SAMPLES: dict[str, Callable[[Draw], Sample]] = {
    **{f"conv{n}d": lambda draw, n=n: conv(draw, n) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": lambda draw, n=n: conv_transpose(draw, n) for n in (1, 2, 3)},
    "unfold": unfold,
    "fold": fold,
}
# The same under the name that torch has for its inside.
ALSO = {"im2col", "col2im"}


def test_every_operation_of_the_family_is_tried() -> None:
    assert set(entries("convolution", "patches")) == {*SAMPLES, *ALSO}


@pytest.mark.parametrize("name", SAMPLES)
def test_against_torch(name: str) -> None:
    for seed in range(80 * TIMES):
        draw = random.Random(f"{name} {seed}")
        function, args, named = SAMPLES[name](draw)
        if not _undecided(live_call(function, args, named)[0]):
            check(function, *args, on="cpu", **named)


def _undecided(call: Call) -> bool:
    """Of torch's own kernels for a transposed convolution some leave a result of size 0 standing,
    others, its meta kernel among them, refuse it."""
    found = bind(call)
    violation = found.violation if found is not None else None
    return violation is not None and violation.facts.get("size") == 0


def test_convolutions_flow() -> None:
    x, weight, bias = torch.randn(2, 3, 6, 7), torch.randn(4, 3, 2, 3), torch.randn(4)
    whole = [t.double() for t in (x, weight, bias)]
    assert check_permuted(F.conv2d, *whole) == 3
    assert check_resized(F.conv2d, *whole, stride=2, padding=1) == 7
    turned = torch.randn(3, 4, 2, 3).double()
    assert check_permuted(F.conv_transpose2d, whole[0], turned, whole[2]) == 3
    assert check_resized(F.conv_transpose2d, whole[0], turned, whole[2], stride=2) == 7


def test_windows_written_out_flow() -> None:
    x = torch.randn(2, 3, 6, 7).double()
    assert check_permuted(F.unfold, x, 2) == 1
    assert check_resized(F.unfold, x, (2, 3), stride=2) == 4
    assert check_permuted(torch.Tensor.unfold, x, 2, 3, 2) == 3
    assert check_resized(torch.Tensor.unfold, x, 2, 3, 1) == 4
    columns = torch.randn(2, 12, 9).double()
    assert check_permuted(F.fold, columns, (6, 6), 2, stride=2) == 1
    assert check_resized(F.fold, columns, (6, 6), 2, stride=2) == 1
