"""Sentences that are data, put into words: in a language, with numbers or formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tracer.ops.names import shape_text
from tracer.ops.refusal import Count, Said, ShapeOf, SizeAt

Translate = Callable[[str], str]


def render(
    sentence: Said,
    translate: Translate = str,
    formulas: Mapping[tuple[int, int], str] | None = None,
) -> str:
    """The sentence with its gaps filled.

    Args:
        translate: the sentence's text in another language, the text itself where it has none.
        formulas: (operand, dim) → the formula to write in the place of the number.
    """
    values = {
        name: _written(value, translate, formulas or {}) for name, value in sentence.values.items()
    }
    return translate(sentence.text).format(**values)


def _written(value: Any, translate: Translate, formulas: Mapping[tuple[int, int], str]) -> str:
    if isinstance(value, Said):
        return render(value, translate, formulas)
    if isinstance(value, SizeAt):
        return formulas.get((value.operand, value.dim), str(value.size))
    if isinstance(value, ShapeOf):
        return shape_text(
            [
                size if value.operand is None else formulas.get((value.operand, dim), size)
                for dim, size in enumerate(value.shape)
            ]
        )
    if isinstance(value, Count):
        many = value.thing if value.number == 1 else f"{value.thing}s"
        return f"{value.number} {translate(many)}"
    if isinstance(value, tuple):
        return ", ".join(_written(item, translate, formulas) for item in value)
    return str(value)
