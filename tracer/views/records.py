"""A run as a table for programs: one record for each step."""

from __future__ import annotations

from typing import Any

from tracer.document import Trace
from tracer.ops.table import flops
from tracer.views.summary import new_bytes


def records(trace: Trace) -> list[dict[str, Any]]:
    """Plain values alone, under the same names for every step: `formulas` are the outputs' shapes
    in the letters of `dims`, empty without; `flops` is None where it is not known."""
    return [
        {
            "step": step.index,
            "module": step.module,
            "op": step.op,
            "expression": " ".join(step.expression.split()),
            "file": step.file,
            "line": step.line,
            "function": step.function,
            "inputs": tuple(note.name for note in step.inputs),
            "input_shapes": tuple(note.shape for note in step.inputs),
            "outputs": tuple(note.name for note in step.outputs),
            "output_shapes": tuple(note.shape for note in step.outputs),
            "dtypes": tuple(note.dtype for note in step.outputs),
            "formulas": tuple(tuple(dim.text for dim in note.dims) for note in step.outputs),
            "flops": flops(step),
            "bytes": new_bytes(step),
            "seconds": step.seconds,
        }
        for step in trace.steps
    ]


def dataframe(trace: Trace) -> Any:
    """The records as a `pandas.DataFrame`.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "to_dataframe needs pandas: pip install pandas, or take Trace.records(), plain "
            "dictionaries."
        ) from error
    return pandas.DataFrame(records(trace)).set_index("step")
