"""Programs are run within a budget, their weights the user's own."""

from __future__ import annotations

import contextlib

import pytest
import torch

from tests.cells import run_cell
from tests.tracer.diagnosis.repair.editing import bench_of, edited, program
from tracer.diagnosis.budget import OutOfBudget, TooCostly
from tracer.diagnosis.repair.bench import CannotRunError, Program

VIEW = """
    class Net(nn.Module):
        def forward(self, x):
            return x.view(5, 5)
"""


def test_a_program_is_run_on_shapes_and_with_values() -> None:
    model = run_cell(VIEW)["Net"]()
    bench = bench_of(model, (torch.randn(4, 6),))
    assert bench.plain.error is not None
    made = program(model, "x.view(5, 5)", "x.view(x.size(0), 6)")
    for run, computed in ((bench.shapes(made), False), (bench.values(made), True)):
        assert run.ran
        assert run.computed is computed
        assert run.kept
        assert run.shapes == ((4, 6),)


def test_edits_are_made_on_top_of_others() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def forward(self, x):
                y = x.view(5, 5)
                return y.view(3, 3)
    """)["Net"]()
    bench = bench_of(model, (torch.randn(4, 6),))
    first = program(model, "x.view(5, 5)", "x.view(-1, 6)")
    assert bench.shapes(first).steps > bench.plain.steps
    crash = bench.crash(first)
    assert crash is not None
    assert crash.trace.failure is not None
    assert crash.trace.failure.expression == "y.view(3, 3)"
    second = Program.of([edited(model, "y.view(3, 3)", "y")], first)
    assert bench.shapes(second).ran
    assert bench.crash(second) is None
    with pytest.raises(CannotRunError, match="same text"):
        Program.of([edited(model, "y = x.view(5, 5)", "y = x")], first)


def test_the_caller_may_change_the_inputs_and_the_script_the_model() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(6, 2)

            def forward(self, x):
                return self.fc(x), torch.full((2,), self.training)
    """)["Net"]()
    bench = bench_of(model, (torch.randn(4, 6, 3),))
    turned = Program(
        inputs=lambda args, kwargs: ((args[0].transpose(1, 2),), kwargs),
        prepare=lambda model: model.eval() and None,
    )
    assert bench.shapes(turned).shapes == ((4, 3, 2), (2,))
    with bench.open(turned, True) as live:
        assert not live.call(bench.inputs(turned, True)).result[1].any()
    assert bench.values(Program()).error is not None
    assert model.training


def test_the_weights_are_not_copied() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Linear(6, 6), nn.Linear(9, 2)

            def forward(self, x):
                with torch.no_grad():
                    self.a.weight.mul_(2)
                return self.b(self.a(x))
    """)["Net"]()
    before = model.a.weight.detach().clone()
    bench = bench_of(model, (torch.randn(4, 6),), build=type(model))
    for made in (Program(), program(model, "(9, 2)", "(6, 2)", constructs=True)):
        with bench.open(made, True) as live:
            assert live.model.a.weight.data_ptr() == model.a.weight.data_ptr()  # type: ignore[union-attr, operator]
            live.call(bench.given)
        with bench.open(made, False) as live:
            assert all(parameter.is_meta for parameter in live.model.parameters())
    assert torch.equal(model.a.weight, before)
    assert model.a.weight.grad is None


def test_the_budget_ends_an_endless_loop() -> None:
    model = run_cell(VIEW)["Net"]()
    for values in (False, True):
        bench = bench_of(model, (torch.randn(4, 6),), work=50_000)
        endless = program(model, "return x", "while True: x = x + 1\n        return x")
        with pytest.raises(TooCostly):
            bench.values(endless) if values else bench.shapes(endless)
        while bench.budget.left > 0:
            with contextlib.suppress(OutOfBudget):
                bench.shapes(endless)
        with pytest.raises(OutOfBudget):
            bench.shapes(Program())


def test_an_exit_is_an_error_of_the_run() -> None:
    model = run_cell("""
        import sys

        class Net(nn.Module):
            def forward(self, x):
                return x.view(5, 5)
    """)["Net"]()
    bench = bench_of(model, (torch.randn(4, 6),))
    run = bench.shapes(program(model, "x.view(5, 5)", "sys.exit(3)"))
    assert "sys.exit(3)" in str(run.error)


def test_a_model_on_meta_is_run_on_shapes_alone() -> None:
    model = run_cell(VIEW)["Net"]()
    bench = bench_of(model, (torch.randn(4, 6, device="meta"),))
    run = bench.values(program(model, "x.view(5, 5)", "x"))
    assert run.ran
    assert not run.computed


def test_a_layer_that_is_built_anew_has_the_same_weights_whenever_it_is() -> None:
    net = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(5, 2)

            def forward(self, x):
                return self.fc(x)
    """)["Net"]
    model = net()
    bench = bench_of(model, (torch.randn(4, 6),), net)
    made = program(model, "nn.Linear(5, 2)", "nn.Linear(6, 2)", constructs=True)
    weights = []
    for seed in (1, 2):
        torch.default_generator.manual_seed(seed)
        with bench.open(made, True) as live:
            weights.append(live.model.get_parameter("fc.weight").detach().clone())
    assert torch.equal(*weights)


def test_changed_inputs_have_values_where_values_are_run() -> None:
    """Else a table is read wherever memory happens to point."""
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.table = nn.Embedding(4, 3)

            def forward(self, x):
                return self.table(x)
    """)["Net"]()
    bench = bench_of(model, (torch.tensor([4, 7]),))
    for change, error in ((1, IndexError), (4, type(None))):
        made = Program(inputs=lambda args, kwargs, by=change: ((args[0] - by,), kwargs))
        assert type(bench.values(made).error) is error
