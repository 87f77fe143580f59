"""Shapes are run as torch runs them, once for each call that differs."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.cells import run_cell
from tests.together import together
from tests.tracer.diagnosis.repair.editing import bench_of, program
from tracer.diagnosis.budget import CALL, Budget, OutOfBudget, Watch
from tracer.diagnosis.repair.shapes import OnZeros, Shapes

ELEMENTWISE: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "broadcast": lambda x, y: x[:, :1] * y[:1],
    "integer division": lambda x, y: (x.long() / 2, x.long() // 2, x.long() * 1.5),
    "comparison": lambda x, y: (x > y, x == 0, ~(x > 0)),
    "promotion": lambda x, y: (x.half() + y, x.double() * y, x.bool() & y.bool()),
    "turned": lambda x, y: (x.T.relu(), x.T + y.T, x.T.exp().contiguous(), x.T.clone()),
    "format": lambda x, y: x.view(1, 3, 2, 2).contiguous(memory_format=torch.channels_last) + 1,
    "in place": lambda x, y: x.clone().add_(y).mul_(2).clamp_(0, 1),
    "random": lambda x, y: x.clone().normal_().uniform_(0, 1),
    "where": lambda x, y: torch.where(x > 0, x, 0.0),
    "numbers": lambda x, y: (x**2, 2 / (x + 3), x.masked_fill(y > 0, -1e9)),
    "cast": lambda x, y: (x.to(torch.int32), x.type_as(y.long())),
    "batch norm": lambda x, y: F.batch_norm(x, y[0].abs(), y[1].abs(), training=True),
    "batch norm, evaluated": lambda x, y: F.batch_norm(x, y[0], y[1].abs(), x[0], x[1]),
    "batch norm of another size": lambda x, y: F.batch_norm(x, y[0, :3], y[1, :3]),
    "layer norm": lambda x, y: F.layer_norm(x.view(2, 2, 3), (2, 3), y.view(2, 2, 3)[0]),
    "layer norm of another size": lambda x, y: F.layer_norm(x, (3,)),
    "linear": lambda x, y: F.linear(x, y, x[:, 0]),
    "linear of another size": lambda x, y: F.linear(x, y[:, :3], x[:, 0]),
    "mean": lambda x, y: (x.mean(1), x.mean((0, 1), keepdim=True), x.mean(), x.mean(-1, True)),
    "mean of another axis": lambda x, y: x.mean(2),
    "wrong sizes": lambda x, y: x + y[:, :3],
    "in place, grown": lambda x, y: x[:, :1].add_(y),
    "in place, another type": lambda x, y: x.long().add_(y),
}


@together("name", ELEMENTWISE)
def test_operations_on_shapes_are_those_of_torch(name: str) -> None:
    x, y = torch.randn(3, 4), torch.randn(3, 4)

    def told(mode: Any, a: torch.Tensor, b: torch.Tensor) -> Any:
        try:
            with mode, torch.no_grad():
                found = ELEMENTWISE[name](a, b)
        except (RuntimeError, IndexError):
            return "raises"
        found = found if isinstance(found, tuple) else (found,)
        return [(each.shape, each.dtype, each.stride()) for each in found]

    wanted = told(nullcontext(), x, y)
    on_zeros = OnZeros(Watch(Budget(), 1e9))
    assert told(on_zeros, x.to("meta"), y.to("meta")) == wanted
    memory: dict[Any, Any] = {}
    for _ in range(2):  # the second time from memory
        assert told(Shapes(Budget(), 1e9, memory), x.to("meta"), y.to("meta")) == wanted


def test_a_call_that_was_made_costs_little_the_second_time() -> None:
    x = torch.empty(3, 4, device="meta")
    memory: dict[Any, Any] = {}
    work = []
    for _ in range(2):
        watch = Shapes(Budget(), 1e9, memory)
        with watch:
            F.layer_norm(x, (4,)).softmax(-1).sum(1)
        work.append(watch.work)
    assert work[1] == 3 * CALL < work[0]


def test_what_changes_its_operand_is_not_remembered() -> None:
    memory: dict[Any, Any] = {}
    for _ in range(2):
        x = torch.empty(3, 4, device="meta")
        with Shapes(Budget(), 1e9, memory):
            x.t_()
            y = x.add_(1)
            x[0] = 1
        assert y is x
        assert x.shape == (4, 3)


def test_a_program_that_asks_for_values_gets_them() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def forward(self, x):
                if x.sum().item() > 1e9:
                    return x
                return x.view(5, 5)
    """)["Net"]()
    bench = bench_of(model, (torch.randn(4, 6),))
    run = bench.shapes(program(model, "x.view(5, 5)", "x.view(-1, 6)"))
    assert run.ran
    assert run.computed


def test_shapes_are_run_without_the_compiler() -> None:
    """Importing it takes longer than all trials together."""
    text = """
import sys, torch
from torch import nn
from tracer.diagnosis.repair.bench import Bench, Program
from tracer.diagnosis.repair.failing import failing_of
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(),
                    nn.Linear(16, 8), nn.LayerNorm(8), nn.GELU(), nn.Softmax(-1), nn.Linear(9, 3))
bench = Bench(net, (torch.randn(2, 3, 4, 4),), {})
assert bench.by_shapes
assert bench.plain.error is not None
failing_of(bench).look()
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", text], check=True, timeout=600)


def test_gradients_go_off_and_on_again_each_time() -> None:
    with Shapes(Budget(), math.inf, {}):
        for _ in range(2):  # what was remembered would not be done
            with torch.no_grad():
                assert not torch.is_grad_enabled()
            assert torch.is_grad_enabled()


@pytest.mark.parametrize("kind", [Watch, lambda *given: Shapes(*given, {})])
def test_a_budget_that_ends_where_gradients_are_off_leaves_them_on(kind: Any) -> None:
    budget = Budget(CALL * 3 / 2)

    def twice() -> None:
        with kind(budget, math.inf), torch.no_grad():
            torch.empty(2, device="meta")
            torch.empty(2, device="meta")

    with pytest.raises(OutOfBudget):
        twice()
    assert budget.left < 0
    assert torch.is_grad_enabled()
