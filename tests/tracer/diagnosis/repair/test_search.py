"""Edits that are tried where no known repair is proven: found far from where it fails."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from tests.broken.case import Case
from tests.tracer.diagnosis.test_corpus import agree, outcome
from tracer import Failure, trace
from tracer.diagnosis.repair.answers import TRIED

CASES = (
    Case(
        name="skips_in_the_order_in_which_they_were_made",
        source="""
        class Down(nn.Module):
            def __init__(self, cin, cout):
                super().__init__()
                self.conv = nn.Conv2d(cin, cout, 3, padding=1)

            def forward(self, x):
                kept = self.conv(x).relu()
                return nn.functional.max_pool2d(kept, 2), kept


        class Up(nn.Module):
            def __init__(self, cin, cout):
                super().__init__()
                self.up = nn.ConvTranspose2d(cin, cout, 2, stride=2)
                self.conv = nn.Conv2d(2 * cout, cout, 3, padding=1)

            def forward(self, x, skip):
                return self.conv(torch.cat([self.up(x), skip], dim=1)).relu()


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.downs = nn.ModuleList([Down(1, 4), Down(4, 8)])
                self.middle = nn.Conv2d(8, 16, 3, padding=1)
                self.ups = nn.ModuleList([Up(16, 8), Up(8, 4)])

            def forward(self, x):
                skips = []
                for down in self.downs:
                    x, kept = down(x)
                    skips.append(kept)
                x = self.middle(x)
                for up, skip in zip(self.ups, skips):
                    x = up(x, skip)
                return x
        """,
        inputs="torch.randn(B, 1, 16, 16)",
        expression="torch.cat([self.up(x), skip], dim=1)",
        operands=(),
        fixed=({"zip(self.ups, skips)": "zip(self.ups, skips[::-1])"},),
    ),
    Case(
        name="positions_counted_along_the_batch",
        source="""
        class Positions(nn.Module):
            def __init__(self, width, longest):
                super().__init__()
                self.table = nn.Parameter(torch.randn(1, longest, width))

            def forward(self, x):
                return x + self.table[:, :x.size(0)]


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Linear(3, 8)
                self.positions = Positions(8, 32)
                self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

            def forward(self, x):
                return self.layer(self.positions(self.embed(x)))
        """,
        inputs="torch.randn(B, 9, 3)",
        expression="x + self.table[:, :x.size(0)]",
        operands=(),
        fixed=({"x.size(0)": "x.size(1)"},),
    ),
)


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def answered(case: Case, folder: Path) -> tuple[Failure, str]:
    program = case.load(folder)
    failure = trace(program.build(), *program.inputs(), build=program.build).failure
    assert failure is not None
    assert failure.expression == case.expression
    return failure, str(program.path)


def test_the_authors_repair_is_among_those_shown(case: Case, tmp_path: Path) -> None:
    failure, path = answered(case, tmp_path)
    (change,) = case.fixed
    right = case.load(tmp_path, case.changed(change))
    weights = right.build()
    wanted = outcome(right, weights)
    mended = [case.load(tmp_path, fix.apply(case.text, path)) for fix in failure.fixes]
    assert any(agree(outcome(each, weights), wanted) for each in mended)


def test_what_was_tried_says_so_and_no_two_say_the_same(case: Case, tmp_path: Path) -> None:
    failure, _ = answered(case, tmp_path)
    assert failure.fixes
    assert all(TRIED in fix.notes for fix in failure.fixes)
    assert len({fix.summary for fix in failure.fixes}) == len(failure.fixes)
    assert all(fix.verified for fix in failure.fixes[:1])


def test_a_search_leaves_the_model_as_it_was(case: Case, tmp_path: Path) -> None:
    program = case.load(tmp_path)
    model = program.build()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    inputs = program.inputs()
    torch.set_rng_state(state)
    trace(model, *inputs, build=program.build)
    assert torch.equal(torch.get_rng_state(), state)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
