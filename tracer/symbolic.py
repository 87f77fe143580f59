"""A module that is made from sizes, traced with every shape as a formula in these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracer.api import traced
from tracer.document import Trace
from tracer.formulas.proof import with_symbols
from tracer.formulas.run import Build, Inputs
from tracer.formulas.values import Made, Values
from tracer.record.isolation import in_mode


def trace_symbolic(
    build: Build,
    inputs: Inputs,
    sizes: Mapping[str, int],
    *,
    values: bool = True,
    training: bool = False,
    ranges: Mapping[str, Sequence[int]] | None = None,
    order: Sequence[str] = (),
    name: str | None = None,
) -> Trace:
    """Trace a module at these sizes, every shape with its formula.

    Args:
        build: makes the module from the sizes by name; called with other sizes and with symbols
            as well, as `inputs` is.
        inputs: makes its (positional, keyword) arguments from the sizes.
        sizes: a value for each size, at which the module runs.
        values: as for `tracer.trace`.
        training: the module's mode.
        ranges: the values of each size that are of interest, in ascending order.
        order: the names in the order in which formulas are written.
        name: as for `tracer.trace`.

    Raises:
        Exception: what `build` or `inputs` raises at these sizes.
    """
    model = in_mode(build(sizes), training)
    args, kwargs = inputs(sizes)
    recorded = traced(model, args, kwargs, values=values, name=name)

    def make(at: Mapping[str, Any]) -> Made:
        return in_mode(build(at), training), *inputs(at)

    return with_symbols(
        recorded, build, inputs, sizes, training=training, ranges=ranges, order=order,
        values=Values(make, sizes),
    )  # fmt: skip
