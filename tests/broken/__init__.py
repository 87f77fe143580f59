"""Broken models over the causes of shape errors, one file per family of causes."""

from __future__ import annotations

from tests.broken import arithmetic, calls, convolutions, forum, losses, products, sequences, views
from tests.broken.case import Case

FAMILIES: dict[str, tuple[Case, ...]] = {
    "products": products.CASES,
    "arithmetic": arithmetic.CASES,
    "views": views.CASES,
    "convolutions": convolutions.CASES,
    "sequences": sequences.CASES,
    "losses": losses.CASES,
    "calls": calls.CASES,
    "forum": forum.CASES,
}
CASES: tuple[Case, ...] = tuple(case for cases in FAMILIES.values() for case in cases)

__all__ = ["CASES", "FAMILIES", "Case"]
