"""Figures of a tensor's values."""

from __future__ import annotations

import numpy as np
import pytest

from tests.together import together
from tracer.views.colours import ONE_SIDED, SIGNED
from tracer.views.figures import histogram, slice_figure


def heat(values, **more):
    return slice_figure(np.array(values, dtype=float), rows="dim 0", columns="dim 1", **more)


def test_what_differs_by_rounding_alone_is_not_stretched() -> None:
    heatmap = heat([[-3e-7, 3e-7]], level=True).data[0]
    assert heatmap.zmin < -0.9
    assert heatmap.zmax > 0.9
    assert not heatmap.showscale


def test_each_element_is_one_cell_in_float32() -> None:
    figure = heat([[1, 2, 3], [4, 5, 6]])
    assert figure.data[0].z.dtype == np.float32
    assert figure.data[0].z.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert figure.layout.yaxis.autorange == "reversed"
    assert figure.layout.xaxis.title.text == "dim 1"
    assert len(figure.data) == 1


@together(
    ("values", "low", "high", "scale"),
    [
        ([[-1, 3]], -3, 3, SIGNED),
        ([[-5, 3]], -5, 5, SIGNED),
        ([[1, 3]], 1, 3, ONE_SIDED),
        ([[-4, -2]], -4, -2, ONE_SIDED),
        ([[0, 2]], 0, 2, ONE_SIDED),
        ([[7, 7]], 7, 7, ONE_SIDED),
    ],
)
def test_signed_values_have_a_scale_centred_on_zero(values, low, high, scale) -> None:
    layer = heat(values).data[0]
    assert (layer.zmin, layer.zmax) == (low, high)
    assert tuple(colour for _, colour in layer.colorscale) == scale


def test_nan_and_infinity_are_shown_and_do_not_touch_the_scale() -> None:
    figure = heat([[1.0, np.nan, 2.0], [np.inf, -np.inf, np.nan]])
    first = figure.data[0]
    assert (first.zmin, first.zmax) == (1, 2)
    layers = [layer for layer in figure.data[1:] if layer.type == "heatmap"]
    assert [np.isfinite(layer.z).tolist() for layer in layers] == [
        [[False, True, False], [False, False, True]],
        [[False, False, False], [True, False, False]],
        [[False, False, False], [False, True, False]],
    ]
    names = [layer.name for layer in figure.data if layer.type == "scatter"]
    assert names == ["NaN: 2", "+∞: 1", "−∞: 1"]


def test_a_slice_without_a_finite_value() -> None:
    figure = heat([[np.nan, np.nan]])
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 0)


def test_a_window_keeps_the_tensor_s_own_indices() -> None:
    layer = heat([[1, 2]], first_row=100, first_column=7).data[0]
    assert (layer.y0, layer.x0, layer.dy, layer.dx) == (100, 7, 1, 1)


def test_proportions_are_kept_unless_the_slice_is_a_ribbon() -> None:
    assert heat(np.zeros((3, 4))).layout.yaxis.scaleanchor == "x"
    assert heat(np.zeros((1, 400))).layout.yaxis.scaleanchor is None


def test_a_slice_has_two_dimensions() -> None:
    with pytest.raises(ValueError, match="2 dimensions, not 1"):
        heat([1, 2])


def test_the_bars_of_a_histogram_stand_over_their_bins() -> None:
    figure = histogram([1, 0, 3, 2], -2.0, 2.0)
    bars = figure.data[0]
    assert bars.x.tolist() == [-1.5, -0.5, 0.5, 1.5]
    assert list(bars.y) == [1, 0, 3, 2]
    assert bars.customdata[0] == "-2 to -1"
    assert figure.layout.xaxis.title.text == "value"
    assert len(figure.layout.shapes) == 1
    assert len(histogram([1], 0.0, 1.0).layout.shapes) == 0
