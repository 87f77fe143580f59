"""Calls whose sizes are symbols give the shapes that their numbers give, family by family; sizes
that are equal are one symbol, and what depends on which is the larger is not said."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sympy
from torch import nn

from tests.tracer.ops.samples import calls
from tracer.ops.call import Call
from tracer.ops.table import bind
from tracer.record.live import live_call, live_layer_call

DRAWN = [
    *("product", "linear", "einsum", "attention", "recurrent", "matrices", "margin", "spectral"),
    *("diagonal", "search", "statistics"),
]
SPATIAL = ["window", "loss", "embedding", "resize"]


def of_family(family: str) -> Iterator[Call]:
    found = importlib.import_module(f"tests.tracer.ops.test_{family}").SAMPLES
    for name, sample in found.items():
        if family in DRAWN:
            drawn: Any = calls(sample, 10, wrong=0)
        else:
            drawn = (_split(sample(random.Random(f"{name} {seed}"))) for seed in range(10))
        for function, args, kwargs in drawn:
            layer = isinstance(function, nn.Module)
            yield (live_layer_call if layer else live_call)(function, tuple(args), kwargs)[0]


def _split(sample: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """(function, args, kwargs) is written as such, or as one row with a dictionary at the end."""
    if len(sample) == 3 and isinstance(sample[1], tuple) and isinstance(sample[2], dict):
        return sample
    function, *args = sample
    kwargs = args.pop() if args and isinstance(args[-1], dict) else {}
    return function, tuple(args), kwargs


def _symbol(size: int) -> sympy.Symbol:
    return sympy.Symbol(f"n{size}", positive=True, integer=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", [*DRAWN, *SPATIAL])
def test_shapes_in_symbols(family: str) -> None:
    tried = read = 0
    for call in of_family(family):
        found = bind(call)
        if found is None or found.violation is not None:
            continue
        values: dict[Any, int] = {}
        operands = []
        for operand in call.operands:
            shape = tuple(_symbol(size) if size > 1 else size for size in operand.shape)
            values |= dict(zip(shape, operand.shape, strict=True))
            operands.append(replace(operand, shape=shape, strides=None))
        symbolic = bind(replace(call, operands=tuple(operands)))
        tried += 1
        if symbolic is None:  # numbers alone say what is given
            continue
        assert symbolic.violation is None, (call, symbolic.violation)
        for mine, true in zip(symbolic.shapes, found.shapes, strict=True):
            sizes = tuple(sympy.sympify(size).xreplace(values) for size in mine)
            assert sizes == true, (call, mine)
        read += 1
    assert read > tried // 2
