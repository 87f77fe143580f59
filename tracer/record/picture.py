"""A tensor as figures and as a small heatmap: what a trace keeps instead of its elements."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from tracer.document import Corner, Heatmap, Stats

SIDE = 64
STRIP = 256
CORNER = 256
"""So many elements of a corner are kept."""
_LIMIT = float(np.finfo(np.float32).max)  # a float64 stays finite in these bounds
_PART = 1 << 18
"""So many elements are read at a time: they stay in the cache while all is found of them."""


def measurable(tensor: Tensor) -> bool:
    """Whether the tensor has elements to look at: not on meta, not fake, sparse or quantized."""
    return (
        tensor.layout == torch.strided
        and tensor.device.type != "meta"
        and not tensor.is_quantized
        and not tensor.is_nested
        and not torch._is_functional_tensor(tensor)
        and type(tensor).__name__ != "FakeTensor"
    )


def _real(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        return tensor.abs()
    if tensor.dtype in (torch.float32, torch.float64):
        return tensor
    return tensor.to(torch.float64 if tensor.dtype == torch.int64 else torch.float32)


def dense(tensor: Tensor) -> bool:
    """Whether the elements fill their stretch of memory without gap or overlap."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(
        (stride, size) for stride, size in zip(tensor.stride(), tensor.shape, strict=True)
    ):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def _stored(tensor: Tensor) -> tuple[Tensor, int]:
    """The tensor without its repetitions, and how often each element is there: an expanded tensor
    has one element in memory for many."""
    times = 1
    for axis, stride in enumerate(tensor.stride()):
        if stride == 0 and tensor.shape[axis] > 1:
            times *= tensor.shape[axis]
            tensor = tensor.narrow(axis, 0, 1)
    return tensor, times


def stats(tensor: Tensor) -> Stats:
    """Figures of a tensor of any shape and dtype; complex ones by magnitude.

    The standard deviation is the population's.  It comes from the vector norm and the mean, an
    order of magnitude quicker than `torch.var_mean`, and from the centred values where the mean
    dominates and the difference of squares would cancel.
    """
    count = tensor.numel()
    if count == 0:
        return Stats(None, None, None, None, 0.0, 0, 0, 0)
    values, times = _stored(tensor.detach())
    count = values.numel()
    if dense(values):
        # In the order of memory: a transposed tensor is read ten times slower.
        values = values.as_strided((count,), (1,))
    found = _read(values)
    zeros = (count - found.nonzero) / count
    nan = inf = 0
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        values = _real(values)
        finite = torch.isfinite(values)
        nan = int(torch.isnan(values).sum())
        inf = count - nan - int(finite.sum())
        values = values[finite]
        if values.numel() == 0:
            return Stats(None, None, None, None, zeros, nan * times, inf * times, count * times)
        found = _read(values)
    mean, std = _mean_std(values, found)
    return Stats(found.low, found.high, mean, std, zeros, nan * times, inf * times, count * times)


@dataclass(frozen=True, slots=True)
class _Sums:
    """What one reading of values gives: `square` is the mean of their squares; `low` or `high` is
    not finite where one of the values is not."""

    nonzero: int
    low: float
    high: float
    mean: float
    square: float


def _read(values: Tensor) -> _Sums:
    """A vector in parts, each of which is read from memory once."""
    number = values.numel()
    if number <= _PART:
        parts: tuple[Tensor, ...] = (values.reshape(-1),)
    elif values.dim() == 1:
        parts = values.chunk(-(-number // _PART))
    else:
        parts = (values,)
    nonzero, total, squares = 0, 0.0, 0.0
    bounds: list[float] = []
    for part in map(_real, parts):
        low, high, count = _bounds(part)
        nonzero += count
        bounds += (low, high)
        total += float(part.sum())
        squares += _squares(part)
    mean, square = total / number, squares / number
    if not all(map(math.isfinite, bounds)):
        return _Sums(nonzero, math.nan, math.nan, mean, square)
    return _Sums(nonzero, min(bounds), max(bounds), mean, square)


def _bounds(values: Tensor) -> tuple[float, float, int]:
    """The least and the greatest value, NaN where one is NaN, and how many are not 0.

    Numpy reads twice as fast as `torch.aminmax`.  `torch.count_nonzero` has a branch for every
    element, which costs up to seventy times as much where zeros lie here and there, as they do
    behind a ReLU.
    """
    if values.device.type != "cpu":
        low, high = map(float, torch.aminmax(values))
        return low, high, int(torch.count_nonzero(values))
    array = values.resolve_neg().numpy()
    low, high = float(array.min()), float(array.max())
    if low > 0 or high < 0:
        return low, high, array.size
    return low, high, int(np.count_nonzero(array != 0))


def _squares(values: Tensor) -> float:
    """The sum of the squares."""
    if values.dim() == 1:
        return float(torch.dot(values, values))
    norm = float(torch.linalg.vector_norm(values))
    return norm * norm


def _mean_std(values: Tensor, found: _Sums) -> tuple[float | None, float | None]:
    """Mean and population standard deviation; None where float64 itself overflows."""
    mean, square = found.mean, found.square
    variance = square - mean * mean
    if not math.isfinite(variance) or variance < 1e-4 * square:
        values = _real(values).double()
        mean = float(values.mean())
        norm = float(torch.linalg.vector_norm(values - mean))
        variance = norm * norm / values.numel()
    return (
        mean if math.isfinite(mean) else None,
        math.sqrt(max(variance, 0.0)) if math.isfinite(variance) else None,
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a shape is drawn: the axes of rows and columns with their sizes and cells, the axes that
    are averaged, whether the first is taken at index 0, and all of this in words."""

    axes: tuple[int | None, int | None]
    sizes: tuple[int, int]
    cells: tuple[int, int]
    average: list[int]
    first: bool
    text: str


@functools.lru_cache(maxsize=4096)
def _layout(shape: tuple[int, ...], side: int) -> _Layout:
    row_axis, column_axis = _axes(shape)
    average, first = [], False
    words: list[str] = []
    for axis, size in enumerate(shape):
        if axis in (row_axis, column_axis) or size == 1:
            continue
        if axis == 0:
            first = True
            words.append(f"dim 0: index 0 of {size}")
        else:
            average.append(axis)
            words.append(f"dim {axis}: mean over {size}")
    rows = shape[row_axis] if row_axis is not None else 1
    columns = shape[column_axis] if column_axis is not None else 1
    limit = (side, side) if row_axis is not None else (1, min(STRIP, 4 * side))
    cells = (min(rows, limit[0]), min(columns, limit[1]))
    axes = []
    if row_axis is not None:
        axes.append(f"rows: dim {row_axis} ({rows}{_plural(rows, cells[0])})")
    if column_axis is not None:
        axes.append(f"columns: dim {column_axis} ({columns}{_plural(columns, cells[1])})")
    text = "; ".join((axes or ["a single value"]) + words)
    return _Layout((row_axis, column_axis), (rows, columns), cells, average, first, text)


def _axes(shape: tuple[int, ...]) -> tuple[int | None, int | None]:
    """The axes shown as rows and columns: the last two that are longer than 1."""
    long = [axis for axis, size in enumerate(shape) if size > 1]
    if len(long) >= 2:
        return long[-2], long[-1]
    if long:
        return None, long[0]
    return None, (len(shape) - 1 if shape else None)


def _plural(size: int, limit: int) -> str:
    return f", means over {size} in {limit} cells" if size > limit else ""


def _array(picture: Tensor) -> npt.NDArray[np.floating[Any]]:
    """The cells one after the other."""
    return picture.resolve_neg().reshape(-1).cpu().numpy()


def _reduced(
    picture: Tensor, average: list[int], size: tuple[int, int], cells: tuple[int, int]
) -> Tensor:
    """Means over the axes `average` and over equal windows, read in the order of memory."""
    if average:
        picture = picture.mean(average, keepdim=True)
    picture = picture.reshape(1, *size)
    if cells == size:
        return picture
    if picture.stride(1) < picture.stride(2):
        return F.adaptive_avg_pool2d(picture.mT, cells[::-1]).mT
    return F.adaptive_avg_pool2d(picture, cells)


def _drawn(
    picture: Tensor, average: list[int], held: tuple[int, int], cells: tuple[int, int]
) -> tuple[npt.NDArray[np.floating[Any]], float | None, float | None]:
    """The cells as float32, one after the other, and the least and the greatest finite one.  `held`
    are the rows and columns that are in memory, of which an expanded tensor has one for many."""
    inner = min(cells[0], held[0]), min(cells[1], held[1])

    def draw(values: Tensor) -> npt.NDArray[np.floating[Any]]:
        found = _array(_reduced(values, average, held, inner))
        return found if inner == cells else np.broadcast_to(found.reshape(inner), cells).reshape(-1)

    drawn = draw(picture)
    low, high = float(drawn.min()), float(drawn.max())
    if math.isfinite(low) and math.isfinite(high):
        if drawn.dtype == np.float32:
            return drawn.astype("<f4", copy=False), low, high
    else:
        # Either the tensor has NaN or Inf, or a float32 sum has overflowed: float64 tells.
        drawn = draw(picture.double())
    drawn = _narrowed(drawn)
    shown = drawn[np.isfinite(drawn)]
    return drawn, *((float(shown.min()), float(shown.max())) if shown.size else (None, None))


def _narrowed(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """As float32, in which what is finite stays so."""
    if values.dtype != np.float32:
        finite = np.isfinite(values)
        values = np.where(finite, np.clip(values, -_LIMIT, _LIMIT), values)
    return values.astype("<f4", copy=False)


def heatmap(tensor: Tensor, side: int = SIDE) -> Heatmap | None:
    """A picture of at most `side` × `side` cells (a vector: 1 × 256); None for an empty tensor.

    Rows and columns are the last two axes longer than 1.  Of the others the first axis (the batch)
    is taken at index 0 and the rest are averaged.  An axis longer than the picture is averaged
    over equal windows, so one NaN or Inf in a window shows in its cell.
    """
    if tensor.numel() == 0:
        return None
    layout = _layout(tuple(tensor.shape), side)
    picture = tensor.detach()
    if layout.first:
        picture = picture.narrow(0, 0, 1)
    picture = _real(_stored(picture)[0])
    held = tuple([1 if axis is None else picture.shape[axis] for axis in layout.axes])
    drawn, low, high = _drawn(picture, layout.average, (held[0], held[1]), layout.cells)
    return Heatmap(
        rows=layout.cells[0],
        columns=layout.cells[1],
        cells=drawn.tobytes(),
        row_axis=layout.axes[0],
        column_axis=layout.axes[1],
        low=low,
        high=high,
        signed=low is not None and high is not None and low < 0 < high,
        text=layout.text + ("; magnitude of complex values" if tensor.is_complex() else ""),
    )


def corner(tensor: Tensor, drawn: Heatmap | None, most: int = CORNER) -> Corner | None:
    """The first elements along every dimension, at most `most` of them: as many of the one as of
    the other, so that they are the same ones after the dimensions are put in another order.  None
    of an empty tensor, of complex numbers, and where the heatmap `drawn` holds every element."""
    count = tensor.numel()
    if count == 0 or tensor.is_complex():
        return None
    if drawn is not None and drawn.rows * drawn.columns == count:
        return None
    part = tensor.detach()
    if count > most:
        side = _side(tuple(tensor.shape), most)
        part = part[tuple([slice(side)] * part.dim())]
    cells = _narrowed(_real(part.resolve_neg()).cpu().numpy())
    return Corner(tuple(part.shape), cells.tobytes())


@functools.lru_cache(maxsize=4096)
def _side(shape: tuple[int, ...], most: int) -> int:
    """So many along every dimension, or all that there are, make at most `most` elements."""
    side = 1
    while math.prod(min(size, side + 1) for size in shape) <= most:
        side += 1
    return side
