"""Where the wrong size was born, when that is not where the run stopped: by the way of the
offending dimension, to a step, an argument in `__init__`, the caller or the input."""

from __future__ import annotations

from collections.abc import Callable

from tracer.diagnosis.finding import Finding
from tracer.diagnosis.roots.batches import of_batch, of_state, of_target
from tracer.diagnosis.roots.layers import of_layer
from tracer.diagnosis.roots.others import (
    of_arguments,
    of_device,
    of_divide,
    of_dtype,
    of_kernel,
    of_padding,
    of_range,
    of_stride,
    of_type,
)
from tracer.diagnosis.roots.pairs import most_suspicious
from tracer.diagnosis.roots.places import Search, finished
from tracer.diagnosis.roots.ranks import of_rank
from tracer.diagnosis.roots.written import of_number
from tracer.document import Failure, Root
from tracer.record.crash import Crash


def root(crash: Crash, finding: Finding, failure: Failure) -> Root | None:
    """The birth of the wrong size; None when it is the failing expression itself, or not known."""
    seek = _SEEKERS.get(finding.kind)
    found = seek(Search(crash, finding, failure)) if seek is not None else None
    if found is None:
        return None
    here = (found.place.file, found.place.span) == (failure.place.file, failure.place.span)
    return None if found.kind == "step" and here else finished(crash.trace, found)


_Seeker = Callable[[Search], Root | None]
_SEEKERS: dict[str, _Seeker] = {
    **dict.fromkeys(("width", "channels", "features"), of_layer),
    **dict.fromkeys(
        ("matmul", "square", "einsum", "broadcast", "join", "index", "split"), most_suspicious
    ),
    "single": most_suspicious,
    **dict.fromkeys(("rank", "axis", "permute", "unpack"), of_rank),
    **dict.fromkeys(("numel", "heads"), of_number),
    **dict.fromkeys(("batch", "mask"), of_batch),
    "hidden": of_state,
    "target": of_target,
    "kernel": of_kernel,
    "dtype": of_dtype,
    "device": of_device,
    "range": of_range,
    "type": of_type,
    "stride": of_stride,
    "divide": of_divide,
    "padding": of_padding,
    "arguments": of_arguments,
}
