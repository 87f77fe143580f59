"""The floating-point operations that entries declare, against torch's own counter."""

from __future__ import annotations

import functools
import importlib
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sympy
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.cells import forward_cell
from tests.tracer.ops.against_torch import meta
from tests.tracer.ops.samples import calls
from tracer import trace
from tracer.ops.table import TABLE, Bound, bind, flops
from tracer.record.live import live_call, live_layer_call

FAMILIES = {
    "samples": "product linear einsum attention recurrent matrices margin spectral",
    "spatial": "window pool loss embedding resize",
}
# Products with a vector, which torch's counter leaves out where its kernels take them as they are.
WITH_VECTORS = {
    *("matmul", "mv", "dot", "vdot", "inner", "addmv", "tensordot", "einsum", "linear"),
}
LEFT_OUT = {"addbmm", "bilinear", "vecdot"}  # and products that have kernels of their own
# Their layers are opened: what they cost is what the steps inside cost.
OPENED = {"transformer", "transformer_encoder", "transformer_decoder"}


def samples(family: str, kind: str) -> Iterator[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    found = importlib.import_module(f"tests.tracer.ops.test_{family}").SAMPLES
    for name, sample in found.items():
        if kind == "samples":
            for function, args, kwargs in calls(sample, 20, wrong=0):
                yield function, tuple(args), kwargs
            continue
        for seed in range(20) if callable(sample) else ():
            yield sample(random.Random(f"{name} {seed}"))


def counted(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Bound, int] | None:
    """The call as the table reads it, and what torch counts; None of a call that is illegal."""
    layer = isinstance(function, nn.Module)
    if layer:
        function = function.to("meta")
    args = tuple(meta(arg) for arg in args)
    kwargs = {name: meta(value) for name, value in kwargs.items()}
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            function(*args, **kwargs)
    except Exception:  # noqa: BLE001 - whatever torch has against it
        return None
    bound = bind((live_layer_call if layer else live_call)(function, args, kwargs)[0])
    if bound is None or bound.violation is not None:
        return None
    return bound, counter.get_total_flops()


@functools.cache
def legal(family: str, kind: str) -> list[tuple[Bound, int]]:
    """All samples of a family that are legal."""
    found = [counted(*sample) for sample in samples(family, kind)]
    return [each for each in found if each is not None]


def of(bound: Bound) -> Any:
    declared = TABLE[bound.call.op].flops
    return declared(bound) if declared is not None else 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("family", "kind"), [(f, kind) for kind, names in FAMILIES.items() for f in names.split()]
)
def test_as_torch_counts(family: str, kind: str) -> None:
    tried = 0
    for bound, torchs in legal(family, kind):
        if bound.call.op in OPENED:
            continue
        mine, op = of(bound), bound.call.op
        if torchs == 0 and mine:
            vector = any(o.rank < 2 or 1 in o.shape for o in bound.call.operands)
            vector |= bound.shapes == ((),)  # of all dimensions, which is the product of two
            assert op in LEFT_OUT or (op in WITH_VECTORS and vector), bound.call
        else:
            assert mine == torchs, bound.call
        tried += 1
    assert tried > 20


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["product", "linear", "einsum", "attention", "recurrent"])
def test_symbols_count_as_their_numbers(family: str) -> None:
    tried = 0
    for found in legal(family, "samples"):
        if found[0].call.op in ("multi_dot", "chain_matmul", *OPENED):
            continue  # which order is the cheapest, numbers alone say
        values: dict[Any, int] = {}
        operands = []
        for index, operand in enumerate(found[0].call.operands):
            names = [sympy.Symbol(f"s{index}_{d}", positive=True) for d in range(operand.rank)]
            shape = tuple(n if s > 1 else s for n, s in zip(names, operand.shape, strict=True))
            values |= dict(zip(names, operand.shape, strict=True))
            operands.append(replace(operand, shape=shape))
        symbolic = bind(replace(found[0].call, operands=tuple(operands)))
        if symbolic is None or symbolic.violation is not None:
            continue
        assert sympy.sympify(of(symbolic)).xreplace(values) == of(found[0]), found[0].call
        tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    ("first", "second", "dims", "torchs"),
    [
        ((2, 1, 5), (4, 1, 1, 5), ((0, 2), (2, 3)), 40),
        ((5, 4), (1,), 1, 10),
        ((5, 4), (4, 3), 1, 120),
    ],
)
def test_what_is_stretched_is_not_multiplied(
    first: tuple[int, ...], second: tuple[int, ...], dims: Any, torchs: int
) -> None:
    found = counted(torch.tensordot, (torch.ones(first), torch.ones(second), dims), {})
    assert found is not None
    assert of(found[0]) == found[1] == torchs


def test_what_is_opened_costs_what_is_inside() -> None:
    model = forward_cell("x", "return self.layer(x)")
    model.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    found = trace(model, torch.randn(3, 5, 8), values=False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.to("meta")(torch.empty(3, 5, 8, device="meta"))
    assert sum(flops(step) or 0 for step in found.steps) == counter.get_total_flops() > 0


def test_a_failing_step_costs_nothing() -> None:
    found = trace(forward_cell("x", "return x @ x"), torch.ones(2, 3), values=False)
    assert [flops(step) for step in found.steps] == [0]
