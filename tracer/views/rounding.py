"""What of a run is the rounding of larger numbers, so that no picture stretches it over a scale."""

from __future__ import annotations

from tracer.document import TensorNote, Trace
from tracer.ops.names import op_name

ROUNDING = 1e-6
"""What is smaller than this share of the largest number that it was made of is their rounding."""

_ADDING = frozenset(
    [
        *("add", "sub", "rsub", "mean", "sum", "nanmean", "nansum", "cumsum"),
        *(f"{pool}{n}d" for pool in ("avg_pool", "adaptive_avg_pool") for n in (1, 2, 3)),
        *(f"{pool}{n}d" for pool in ("AvgPool", "AdaptiveAvgPool") for n in (1, 2, 3)),
    ]
)
"""Operations that add: large numbers may cancel, and their rounding is what is left."""


def scales(trace: Trace) -> dict[int, float]:
    """Of each tensor, by its id, the largest number in it, or in what it was made of where it can
    be no more than the rounding of that."""
    found = {note.id: _largest(note) for note in trace.tensors().values()}
    for step in trace.walk():
        taken = [found[note.id] for note in step.inputs]
        # What was rounding and has not grown is rounding still, whatever was done to it.
        left = [
            found[note.id] for note in step.inputs if _largest(note) <= ROUNDING * found[note.id]
        ]
        adds = op_name(step.op) in _ADDING
        for note in step.outputs:
            for scale in taken if adds else left:
                if _largest(note) <= ROUNDING * scale:
                    found[note.id] = max(found[note.id], scale)
    return found


def _largest(note: TensorNote) -> float:
    stats = note.stats
    ends = () if stats is None else (stats.minimum, stats.maximum)
    return max((abs(end) for end in ends if end is not None), default=0.0)


def is_level(low: float | None, high: float | None, scale: float, dtype: str = "float32") -> bool:
    """Whether values from `low` to `high` of a tensor of this scale differ by rounding alone.

    Whole numbers and truth values are exact, so that they are level only where they are equal.
    """
    if low is None or high is None:
        return False
    if not dtype.startswith(("float", "bfloat", "complex")):
        return low == high
    return high - low <= ROUNDING * scale


def level(trace: Trace) -> frozenset[int]:
    """The ids of the tensors whose pictures have nothing to show: of several cells, all finite, and
    equal but for rounding."""
    known = scales(trace)
    return frozenset(
        note.id
        for note in trace.tensors().values()
        if note.heatmap is not None
        and note.heatmap.rows * note.heatmap.columns > 1
        and note.stats is not None
        and not note.stats.nan + note.stats.inf
        and is_level(note.heatmap.low, note.heatmap.high, known[note.id], note.dtype)
    )
