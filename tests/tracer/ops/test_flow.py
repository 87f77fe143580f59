"""What kind of operation it is, read from the dimensions that it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.cells import forward_cell
from tests.together import together
from tracer import trace
from tracer.ops.flow import adds_dimension, contracts, joins, kernel, looks_up, permutes, strides
from tracer.ops.table import Bound, bound_step

X = torch.randn(2, 3, 5)


def bound(expression: str, *args: Any) -> Bound:
    names = ["x", "y"][: len(args)]
    (step,) = trace(forward_cell(" ".join(names), f"return {expression}"), *args).steps
    found = bound_step(step)
    assert found is not None
    return found


def of_layer(layer: nn.Module, *args: Any) -> Bound:
    (step,) = trace(layer, *args).steps
    found = bound_step(step)
    assert found is not None
    return found


@together(
    ("kind", "yes", "no"),
    [
        (permutes, ["x.permute(2, 0, 1)", "x.mT", "torch.movedim(x, 0, 1)"], ["x.flip(0)", "x[0]"]),
        (permutes, ["torch.einsum('abc->cab', x)"], ["x.unsqueeze(0)", "x.view(5, 2, 3)", "x + x"]),
        (joins, ["torch.cat([x, x])", "torch.hstack([x, x])"], ["x.repeat(2, 1, 1)", "x + x"]),
        (contracts, ["x @ x.new_ones(5, 4)"], ["x * x", "x.sum(1)"]),
        (adds_dimension, ["x.unsqueeze(1)", "x[:, None]"], ["x.squeeze()", "torch.stack([x, x])"]),
    ],
)
def test_kinds_of_operations(
    kind: Callable[[Bound | None], bool], yes: list[str], no: list[str]
) -> None:
    for expressions, wanted in ((yes, True), (no, False)):
        for expression in expressions:
            found = trace(forward_cell("x", f"return {expression}"), X).steps[-1]
            assert bound_step(found) is not None, expression
            assert kind(bound_step(found)) == wanted, expression
    assert not kind(None)


def test_a_product_with_a_weight_contracts_nothing() -> None:
    assert not contracts(of_layer(nn.Linear(5, 4), X))
    assert not contracts(of_layer(nn.Conv1d(3, 4, 2), X))


def test_a_table_is_looked_up() -> None:
    assert looks_up(of_layer(nn.Embedding(9, 4), torch.zeros(2, 3).long()))
    assert not looks_up(of_layer(nn.Linear(5, 4), X))
    assert not looks_up(None)


def test_kernels_and_strides() -> None:
    image = torch.randn(1, 3, 8, 9)
    assert kernel(of_layer(nn.Conv2d(3, 4, (2, 3), stride=2), image)) == (2, 3)
    assert strides(of_layer(nn.Conv2d(3, 4, (2, 3), stride=2), image)) == (2, 2)
    assert (kernel(of_layer(nn.MaxPool2d(2), image)), kernel(None)) == ((), ())
    assert set(strides(of_layer(nn.MaxPool2d(2), image))) == {2}
    assert set(strides(bound("F.max_pool2d(x, 2, stride=1)", image))) == {1}
    assert (strides(bound("x * 2", X)), strides(None)) == ((), ())
