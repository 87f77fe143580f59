"""How the heatmap of a tensor is drawn as PNG, and those of a run."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from tracer import Heatmap, Stats, TensorNote, trace
from tracer.views.png import pictures, png


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def note(cells: list[list[float]], shape: tuple[int, ...]) -> TensorNote:
    array = np.array(cells, dtype="<f4")
    known = array[np.isfinite(array)]
    low, high = (float(known.min()), float(known.max())) if known.size else (None, None)
    heatmap = Heatmap(
        rows=array.shape[0],
        columns=array.shape[1],
        cells=array.tobytes(),
        row_axis=len(shape) - 2,
        column_axis=len(shape) - 1,
        low=low,
        high=high,
        signed=low is not None and low < 0 < high,
        text="",
    )
    stats = Stats(low, high, None, None, 0.0, 0, 0, array.size)
    return TensorNote(0, "m", shape, "float32", "cpu", "made", stats, heatmap, 0)


def test_what_differs_by_rounding_alone_has_one_colour() -> None:
    tensor = note([[-3e-7, 0.0], [1e-7, 3e-7]], (2, 2))
    assert len(np.unique(_pixels(png(tensor)).reshape(-1, 3), axis=0)) > 1
    assert len(np.unique(_pixels(png(tensor, level=True)).reshape(-1, 3), axis=0)) == 1


def pixels(tensor: TensorNote) -> np.ndarray:
    return _pixels(png(tensor))


def test_a_picture_keeps_the_proportions_of_the_tensor() -> None:
    height, width, _ = pixels(note([[0, 1], [2, 3]], (1, 1, 100, 150))).shape
    assert width / height == pytest.approx(1.5, rel=0.02)
    height, width, _ = pixels(note([[0, 1], [2, 3]], (300, 100))).shape
    assert width / height == pytest.approx(1 / 3, rel=0.02)
    height, width, _ = pixels(note([[0, 1, 2]], (1, 5000))).shape
    assert width / height == pytest.approx(4, rel=0.02)


def test_low_is_dark_and_high_is_light() -> None:
    image = pixels(note([[0.0, 1.0]], (10, 20)))
    assert image[5, 5].sum() < 250
    assert image[5, -5].sum() > 500


def test_zero_is_white_between_blue_and_red() -> None:
    image = pixels(note([[-1.0, 0.0, 4.0]], (10, 30)))
    middle = image.shape[1] // 2
    assert image[5, middle].min() > 240
    assert image[5, 5, 2] > image[5, 5, 0]
    assert image[5, -5, 0] > image[5, -5, 2]


def test_nan_is_seen() -> None:
    image = pixels(note([[0.0, float("nan"), 1.0]], (10, 30)))
    assert tuple(image[5, image.shape[1] // 2]) == (0xE6, 0x00, 0xA0)


def test_a_constant_and_a_tensor_without_a_finite_value_can_be_drawn() -> None:
    assert pixels(note([[2.0, 2.0]], (2, 2))).shape[0] > 0
    assert pixels(note([[float("inf"), float("nan")]], (2, 2))).shape[0] > 0


def test_the_png_is_a_png() -> None:
    data = png(note([[0.0, 1.0]], (10, 20)))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (480, 240)


def test_the_pictures_of_a_run_are_one_archive_with_a_name_for_each() -> None:
    def twice(x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            y = x * 2
        return torch.relu(y)

    run = trace(twice, torch.randn(3, 4))
    data = pictures(run)
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.namelist() == ["00-x.png", "01-y.png", "02-y.png", "03-output.png"]
    assert all(archive.read(name)[:4] == b"\x89PNG" for name in archive.namelist())
    assert data == pictures(run)
    shapes = trace(twice, torch.randn(3, 4), values=False)
    assert zipfile.ZipFile(io.BytesIO(pictures(shapes))).namelist() == []
