"""Edited programs are run on shapes alone and with values."""

from __future__ import annotations

import torch

from tests.cells import run_cell
from tests.tracer.diagnosis.test_verify import edited
from tracer.diagnosis.repair.bench import Bench, Program
from tracer.diagnosis.repair.proof import prove

VIEW = """
    class Net(nn.Module):
        def forward(self, x):
            return x.view(5, 5)
"""


def test_a_program_is_run_on_shapes_and_with_values() -> None:
    model = run_cell(VIEW)["Net"]()
    bench = Bench(model, (torch.randn(4, 6),), {})
    assert bench.plain.error is not None
    program = Program.of([edited(model, "x.view(5, 5)", "x.view(x.size(0), 6)")])
    for run in (bench.shapes(program), bench.values(program)):
        assert run.ran
        assert run.shapes == ((4, 6),)
    assert prove(bench, program).verified
    mixing = Program.of([edited(model, "x.view(5, 5)", "x.softmax(0)")])
    assert [check.name for check in prove(bench, mixing).failed] == ["independent"]
