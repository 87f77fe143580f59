"""Formulas written onto a recorded run by hand: known sizes get known formulas, so that what the
views make of formulas is tested apart from how these are found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tracer import TensorNote, Trace
from tracer.document import Constraint, Cost, Formula, Symbol


def formula(text: str, *aliases: str) -> Formula:
    return Formula(text, text.replace("·", r"\cdot "), aliases)


def with_formulas(
    trace: Trace,
    symbols: Mapping[str, int],
    sizes: Mapping[int, Formula | str],
    constraints: tuple[Constraint, ...] = (),
    costs: tuple[Cost, ...] = (),
) -> Trace:
    """`trace` with one formula for each dimension: that of its size, else the number."""

    def dims(note: TensorNote) -> TensorNote:
        found = [sizes.get(size, str(size)) for size in note.shape]
        formulas = [formula(each) if isinstance(each, str) else each for each in found]
        return dataclasses.replace(note, dims=tuple(formulas))

    def rewritten(value: Any) -> Any:
        if isinstance(value, TensorNote):
            return dims(value)
        if isinstance(value, tuple):
            return tuple(rewritten(item) for item in value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return dataclasses.replace(
                value, **{field.name: rewritten(getattr(value, field.name)) for field in fields}
            )
        return value

    return dataclasses.replace(
        rewritten(trace),
        symbols=tuple(Symbol(name, value) for name, value in symbols.items()),
        constraints=constraints,
        costs=costs,
    )
