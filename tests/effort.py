"""How much is tried: `make test` draws some examples, `make test-deep` many times as many."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

# tests/tracer/ops says how many calls it compared with torch: with 22 times as many a million.
TIMES = int(os.environ.get("SHAPEWALK_TIMES", "1"))

MECHANISMS = {
    "squeeze-excite": "a gate of channels",
    "eca-image": "a size that has no formula",
    "coordatt": "a branch that is a maximum, directions joined and split",
    "dycaconv": "kernels made of the input",
    "non-local": "every place with every other",
    "evc": "parts nested in parts, the largest map",
    "fbkd-loss": "a loss of two networks",
    "hacnn-regions": "a picture sampled at places that are computed, several inputs",
}
"""Lessons that stand for the others in `make test`, and what each is there for."""


def one_of_each(values: Iterable[T], key: Callable[[T], str] = str, every: int = 1) -> list[Any]:
    """These, for `parametrize`: those of other lessons, which only widen, are for
    `make test-deep`.  Of those that stand for the others it is one of `every` so many, where the
    mechanism makes little of a difference."""
    chosen = list(MECHANISMS)[::every]
    return [
        each if key(each) in chosen else pytest.param(each, marks=pytest.mark.deep)
        for each in values
    ]


def spread(values: Sequence[T], every: int) -> list[Any]:
    """These, for `parametrize`: one of so many, through all of them; the others are for
    `make test-deep`.  A tuple is the values of several arguments."""
    cases = [each if isinstance(each, tuple) else (each,) for each in values]
    return [
        pytest.param(*case, marks=[pytest.mark.deep] if number % every else [])
        for number, case in enumerate(cases)
    ]
