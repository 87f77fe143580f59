"""Run a PyTorch module and keep, for every operation, the shapes, the pictures and the source.

from tracer import trace

t = trace(model, x)
for step in t.steps:
    print(step.expression, [note.shape for note in step.outputs])
"""

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
from tracer.recorder import Cancelled, compute, trace

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
    "trace",
]
