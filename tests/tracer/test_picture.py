"""Figures and heatmaps of tensors, against torch's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import TIMES
from tests.together import together
from tracer.record import picture

SHAPES = st.lists(st.integers(1, 70), min_size=0, max_size=4)


def cells(heatmap) -> np.ndarray:
    return np.frombuffer(heatmap.cells, "<f4").reshape(heatmap.rows, heatmap.columns)


def test_stats_agree_with_torch():
    x = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1)).relu()
    found = picture.stats(x)
    assert (found.minimum, found.maximum) == (float(x.min()), float(x.max()))
    assert found.mean == pytest.approx(float(x.double().mean()), rel=1e-5)
    assert found.std == pytest.approx(float(x.double().std(correction=0)), rel=1e-4)
    assert found.zeros == float((x == 0).double().mean())
    assert (found.nan, found.inf, found.count) == (0, 0, 105)


def test_stats_of_what_is_read_in_parts():
    count = 3 * picture._PART + 5
    x = torch.randn(count, generator=torch.Generator().manual_seed(1)).relu() + 100
    x[-7:] = 0
    found = picture.stats(x)
    assert (found.minimum, found.maximum) == (0.0, float(x.max()))
    assert found.mean == pytest.approx(float(x.double().mean()), rel=1e-6)
    assert found.std == pytest.approx(float(x.double().std(correction=0)), rel=1e-3)
    assert (found.zeros, found.count) == (7 / count, count)
    x[0], x[-1], x[picture._PART] = math.nan, math.inf, -math.inf
    found = picture.stats(x)
    assert (found.minimum, found.maximum) == (0.0, float(x[torch.isfinite(x)].max()))
    assert (found.nan, found.inf, found.zeros) == (1, 2, 6 / count)


def test_values_whose_squares_are_too_large_for_a_number():
    found = picture.stats(torch.full((2, 3), 1e300, dtype=torch.float64))
    assert (found.minimum, found.mean) == (1e300, 1e300)
    assert picture.heatmap(torch.full((2, 3), 1e300, dtype=torch.float64)) is not None


@pytest.mark.parametrize("offset", [1e4, 1e7, -3e8])
def test_std_where_the_mean_dominates(offset):
    x = torch.randn(10_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = picture.stats((x + offset).double())
    assert found.std == pytest.approx(float(x.std(correction=0)), rel=1e-3)


def test_stats_of_a_transposed_tensor_are_those_of_its_elements():
    x = torch.arange(24.0).view(2, 3, 4).permute(2, 0, 1)
    assert picture.stats(x) == picture.stats(x.contiguous())
    odd = torch.arange(24.0).view(4, 6)[:, ::2]
    assert picture.stats(odd) == picture.stats(odd.contiguous())


def test_nan_and_inf_are_counted_and_left_out_of_the_range():
    x = torch.tensor([1.0, math.nan, math.inf, -math.inf, 3.0])
    found = picture.stats(x)
    assert (found.minimum, found.maximum, found.mean) == (1.0, 3.0, 2.0)
    assert (found.nan, found.inf) == (1, 2)
    nothing = picture.stats(torch.full((3,), math.nan))
    assert (nothing.minimum, nothing.std, nothing.nan) == (None, None, 3)


@together(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.complex64]
)
def test_every_dtype_has_a_picture(dtype):
    x = torch.tensor([[0, 1], [1, 1]]).to(dtype)
    found = picture.stats(x)
    assert (found.minimum, found.maximum, found.mean) == (0.0, 1.0, 0.75)
    assert cells(picture.heatmap(x)).tolist() == [[0, 1], [1, 1]]


def test_empty_and_single_tensors():
    assert picture.heatmap(torch.empty(0, 3)) is None
    assert picture.stats(torch.empty(0, 3)).count == 0
    single = picture.heatmap(torch.tensor(5.0))
    assert (single.rows, single.columns, single.row_axis, single.column_axis) == (1, 1, None, None)
    assert "single" in single.text


def test_axes_and_words():
    x = torch.randn(2, 8, 100, 148)
    found = picture.heatmap(x)
    assert (found.row_axis, found.column_axis) == (2, 3)
    assert (found.rows, found.columns) == (64, 64)
    assert "dim 0: index 0 of 2" in found.text
    assert "dim 1: mean over 8" in found.text
    pooled = torch.nn.functional.adaptive_avg_pool2d(x[:1].mean(1), (64, 64))[0]
    np.testing.assert_allclose(cells(found), pooled.numpy(), rtol=1e-4, atol=1e-6)


def test_a_row_of_channels_is_a_strip():
    found = picture.heatmap(torch.arange(200.0).view(1, 200, 1, 1))
    assert (found.rows, found.columns, found.column_axis) == (1, 200, 1)
    assert cells(found)[0].tolist() == list(range(200))


def test_one_nan_shows_in_its_cell_and_nowhere_else():
    x = torch.zeros(128, 128)
    x[10, 20] = math.nan
    x[100, 100] = math.inf
    found = cells(picture.heatmap(x))
    assert np.isnan(found).sum() == 1
    assert np.isnan(found[5, 10])
    assert np.isinf(found[50, 50])


def test_large_finite_values_do_not_turn_into_infinity():
    for x in (torch.full((100, 100), 1e300, dtype=torch.float64), torch.full((100, 100), 3e38)):
        found = picture.heatmap(x)
        assert np.isfinite(cells(found)).all()
        assert picture.stats(x).inf == 0


@settings(max_examples=60 * TIMES, deadline=None)
@given(shape=SHAPES, order=st.randoms(use_true_random=False))
def test_any_shape_and_any_order_of_memory(shape, order):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    axes = list(range(len(shape)))
    order.shuffle(axes)
    view = x.permute(axes) if axes else x
    found = picture.heatmap(view)
    assert found.rows <= picture.SIDE
    assert found.columns <= picture.STRIP
    assert len(found.cells) == 4 * found.rows * found.columns
    same = picture.heatmap(view.contiguous())
    assert same.text == found.text
    np.testing.assert_allclose(cells(found), cells(same), rtol=1e-4, atol=1e-5)
    # Every axis is spoken for.
    long = [axis for axis, size in enumerate(view.shape) if size > 1]
    assert all(f"dim {axis}" in found.text for axis in long)
