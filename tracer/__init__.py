"""Run a PyTorch module and keep, for every operation, the shapes, the pictures and the source.

from tracer import trace

t = trace(model, x)
for step in t.steps:
    print(step.expression, [note.shape for note in step.outputs])
"""

import tracer.views  # noqa: F401 - they enter themselves as renderers
from tracer.api import compute, trace
from tracer.document import (
    Call,
    Failure,
    Heatmap,
    Operand,
    Stats,
    Step,
    TensorNote,
    Trace,
    TraceFileError,
    load,
)
from tracer.explain import explain
from tracer.record.construction import recording_construction
from tracer.record.run import Cancelled

__all__ = [
    "Call",
    "Cancelled",
    "Failure",
    "Heatmap",
    "Operand",
    "Stats",
    "Step",
    "TensorNote",
    "Trace",
    "TraceFileError",
    "compute",
    "explain",
    "load",
    "recording_construction",
    "trace",
]
