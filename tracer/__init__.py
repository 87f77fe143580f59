"""Run a PyTorch module and keep, for every operation, the shapes, the pictures and the source.

from tracer import trace

t = trace(model, x)
for step in t.steps:
    print(step.expression, [note.shape for note in step.outputs])

What runs a module needs torch, which takes seconds to load.  It is loaded when it is first asked
for, so that a saved trace is read and shown without.
"""

import importlib
from typing import TYPE_CHECKING, Any

import tracer.views  # noqa: F401 - they enter themselves as renderers
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

if TYPE_CHECKING:
    from tracer.api import compute, trace
    from tracer.asserting import assert_shapes
    from tracer.explaining import explain
    from tracer.record.construction import recording_construction
    from tracer.record.run import Cancelled
    from tracer.views.compare import compare

__version__ = "0.1.0"

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
    "assert_shapes",
    "compare",
    "compute",
    "explain",
    "load",
    "recording_construction",
    "trace",
]

_LATER = {
    "Cancelled": "tracer.record.run",
    "assert_shapes": "tracer.asserting",
    "compare": "tracer.views.compare",
    "compute": "tracer.api",
    "explain": "tracer.explaining",
    "load_ipython_extension": "tracer.notebook",
    "recording_construction": "tracer.record.construction",
    "trace": "tracer.api",
    "unload_ipython_extension": "tracer.notebook",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "symbolic":
            return importlib.import_module("tracer.symbolic")
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
