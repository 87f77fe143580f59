"""Edits that are found far from where it fails, and what is said where several pass."""

from __future__ import annotations

import copy
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.broken.case import Case
from tests.cells import run_cell
from tests.effort import spread
from tests.tracer.diagnosis.test_corpus import agree, outcome
from tracer import Failure, trace
from tracer.diagnosis.repair.world import integers
from tracer.document import Fix

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
    Case(
        name="a_size_that_a_helper_is_not_told",
        source="""
        def gathered(x, at, size=None):
            size = int(at.max()) + 1 if size is None else size
            return x.new_zeros(size, x.shape[1]).index_add(0, at, x)


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.near, self.own = nn.Linear(4, 5), nn.Linear(4, 5)

            def collect(self, x, at, count):
                return gathered(x, at)

            def forward(self, x):
                at = torch.arange(len(x)) // 2
                return self.near(self.collect(x, at, len(x))) + self.own(x)
        """,
        inputs="torch.randn(B, 4)",
        expression="self.near(self.collect(x, at, len(x))) + self.own(x)",
        operands=(),
        fixed=({"gathered(x, at)\n": "gathered(x, at, count)\n"},),
    ),
    Case(
        name="a_mask_of_padding_in_the_place_of_another",
        source="""
        class Reader(nn.Module):
            def __init__(self, width=8):
                super().__init__()
                layer = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True)
                self.encoder = nn.TransformerEncoder(layer, 2)

            def forward(self, x, empty):
                return self.encoder(x, empty)


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed, self.reader, self.head = nn.Linear(3, 8), Reader(), nn.Linear(8, 2)

            def forward(self, x, empty):
                return self.head(self.reader(self.embed(x), empty))
        """,
        inputs="torch.randn(B, 7, 3), torch.arange(7).repeat(B, 1) > 4",
        expression="self.encoder(x, empty)",
        operands=(),
        fixed=({"self.encoder(x, empty)": "self.encoder(x, src_key_padding_mask=empty)"},),
    ),
    Case(
        name="layers_behind_the_first_get_its_results",
        source="""
        class Mix(nn.Module):
            def __init__(self, given, width):
                super().__init__()
                self.near, self.own = nn.Linear(given, width), nn.Linear(given, width)

            def forward(self, x):
                return (self.near(x.mean(1, keepdim=True)) + self.own(x)).relu()


        class Net(nn.Module):
            def __init__(self, given=5, width=12, depth=3):
                super().__init__()
                self.layers = nn.ModuleList([Mix(given, width) for _ in range(depth)])
                self.head = nn.Linear(width, 2)

            def forward(self, x):
                for layer in self.layers:
                    x = layer(x)
                return self.head(x)
        """,
        inputs="torch.randn(B, 6, 5)",
        expression="self.near(x.mean(1, keepdim=True))",
        operands=(),
        fixed=({"Mix(given, width) for _ in": "Mix(given if i == 0 else width, width) for i in"},),
    ),
    Case(
        name="a_projection_that_is_made_and_never_applied",
        source="""
        class Block(nn.Module):
            def __init__(self, width, narrow):
                super().__init__()
                self.reduce = nn.Conv1d(width, narrow, 1)
                self.mix = nn.Conv1d(narrow, width, 3, padding=1)

            def forward(self, x):
                return x + self.mix(x.relu())


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem, self.block = nn.Conv1d(2, 12, 5, padding=2), Block(12, 6)

            def forward(self, x):
                return self.block(self.stem(x)).mean(2)
        """,
        inputs="torch.randn(B, 2, 20)",
        expression="self.mix(x.relu())",
        operands=(),
        fixed=(
            {"self.mix(x.relu())": "self.mix(self.reduce(x.relu()))"},
            {"self.mix(x.relu())": "self.mix(self.reduce(x).relu())"},
        ),
    ),
    Case(
        name="two_views_and_the_times_of_one",
        source="""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.pictures, self.times = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(1, 6)

            def mixed(self, x, t):
                return (self.pictures(x) + self.times(t)[:, :, None, None]).relu()

            def forward(self, x, t):
                first, second = self.mixed(torch.cat([x, x]), t).chunk(2)
                return first - 0.5 * second
        """,
        inputs="torch.randn(B, 3, 8, 8), torch.rand(B, 1)",
        expression="self.pictures(x) + self.times(t)[:, :, None, None]",
        operands=(),
        fixed=({"torch.cat([x, x]), t)": "torch.cat([x, x]), torch.cat([t, t]))"},),
    ),
    Case(
        name="one_step_of_a_recurrent_layer",
        source="""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed, self.cell = nn.Linear(4, 6), nn.GRU(6, 9, batch_first=True)
                self.head = nn.Linear(9, 2)

            def forward(self, x, state):
                y, state = self.cell(self.embed(x).relu(), state)
                return self.head(y), state
        """,
        inputs="torch.randn(B, 4), torch.zeros(1, B, 9)",
        expression="self.cell(self.embed(x).relu(), state)",
        operands=(),
        fixed=(
            {
                "self.cell(self.embed(x).relu(), state)": (
                    "self.cell(self.embed(x).relu().unsqueeze(1), state)\n        y = y.squeeze(1)"
                )
            },
        ),
    ),
    Case(
        name="frames_given_to_a_layer_for_pictures",
        source="""
        class Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())

            def forward(self, frames):
                return self.net(frames - 0.5)


        class Net(nn.Module):
            def __init__(self, encoder=Encoder):
                super().__init__()
                self.encoder, self.cell = encoder(), nn.GRU(4 * 36, 6, batch_first=True)

            def embed(self, video):
                return self.encoder(video)

            def forward(self, video):
                return self.cell(self.embed(video))[0]
        """,
        inputs="torch.randn(B, 5, 3, 8, 8)",
        expression="self.net(frames - 0.5)",
        operands=(),
        fixed=(
            {
                "self.encoder(video)": "self.encoder(video.flatten(0, 1))"
                ".unflatten(0, video.shape[:2])"
            },
        ),
    ),
    Case(
        name="a_factor_that_is_taken_once",
        source="""
        class Net(nn.Module):
            def __init__(self, width=6, planes=5, factor=3):
                super().__init__()
                self.factor = factor
                self.conv = nn.Conv2d(1, planes * factor, 3, padding=1)
                self.last = nn.Conv2d(5, 1, 1)

            def forward(self, x):
                return self.last(F.pixel_shuffle(self.conv(x), self.factor))
        """,
        inputs="torch.randn(B, 1, 6, 6)",
        expression="F.pixel_shuffle(self.conv(x), self.factor)",
        operands=(),
        fixed=({"planes * factor": "planes * factor ** 2"},),
    ),
    Case(
        name="one_of_two_that_is_not_resized",
        source="""
        class Heads(nn.Module):
            def __init__(self):
                super().__init__()
                self.down = nn.Conv2d(3, 4, 3, stride=2, padding=1)
                self.main, self.aux = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1)

            def outputs(self, main, aux, size):
                main = F.interpolate(main, size=size, mode="bilinear", align_corners=False)
                return {"main": main, "aux": aux}

            def forward(self, x):
                deep = self.down(x)
                return self.outputs(self.main(deep), self.aux(deep), x.shape[2:])


        class Net(nn.Module):
            def __init__(self, heads=Heads):
                super().__init__()
                self.heads = heads()

            def forward(self, x):
                found = self.heads(x)
                return found["main"] + 0.4 * found["aux"]
        """,
        inputs="torch.randn(B, 3, 12, 12)",
        expression='found["main"] + 0.4 * found["aux"]',
        operands=(),
        fixed=(
            {
                '"aux": aux': '"aux": F.interpolate(aux, size=size, mode="bilinear", '
                "align_corners=False)"
            },
        ),
    ),
    Case(
        name="a_width_that_each_round_of_a_loop_begins_with",
        source="""
        def shared(width, widths):
            convs, norms = nn.ModuleList(), nn.ModuleList()
            for out in widths:
                convs.append(nn.Conv1d(width, out, 1))
                norms.append(nn.BatchNorm1d(out))
            return convs, norms


        class Net(nn.Module):
            def __init__(self, features=3, widths=(8, 12, 16)):
                super().__init__()
                self.convs, self.norms = shared(features, widths)
                self.head = nn.Linear(widths[-1], 5)

            def forward(self, x):
                for conv, norm in zip(self.convs, self.norms):
                    x = norm(conv(x)).relu()
                return self.head(x.amax(2))
        """,
        inputs="torch.randn(B, 3, 20)",
        expression="conv(x)",
        operands=("x: 4, 8*, 20", "convs.1.weight: 12, 3*, 1"),
        module="convs.1",
        fixed=(
            {
                "        norms.append(nn.BatchNorm1d(out))\n": (
                    "        norms.append(nn.BatchNorm1d(out))\n        width = out\n"
                )
            },
        ),
    ),
    Case(
        name="a_map_of_tokens_that_is_no_square",
        source="""
        def as_map(tokens, grid):
            b, n, c = tokens.shape
            side = int(n ** 0.5)
            return tokens.transpose(1, 2).reshape(b, c, side, side)


        class Net(nn.Module):
            def __init__(self, width=8):
                super().__init__()
                self.patches = nn.Conv2d(3, width, 4, stride=4)
                self.mix = nn.Linear(width, width)
                self.head = nn.Conv2d(width, 2, 1)

            def forward(self, x):
                x = self.patches(x)
                grid = x.shape[2:]
                tokens = self.mix(x.flatten(2).transpose(1, 2))
                return self.head(as_map(tokens, grid))
        """,
        inputs="torch.randn(B, 3, 16, 40)",
        expression="tokens.transpose(1, 2).reshape(b, c, side, side)",
        operands=("tokens.transpose(1, 2): 4, 8, 40",),
        fixed=({"side, side)": "*grid)"},),
    ),
)


@dataclass(frozen=True)
class Answered:
    case: Case
    failure: Failure
    path: str
    left: bool
    """Whether the model and the random state were left as they were."""


@pytest.fixture(scope="module", params=spread(CASES, every=3), ids=lambda case: case.name)
def answered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    case: Case = request.param
    program = case.load(tmp_path_factory.mktemp(case.name))
    model, inputs = program.build(), program.inputs()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    failure = trace(model, *inputs, build=program.build).failure
    after = model.state_dict()
    left = all(torch.equal(after[name], value) for name, value in before.items())
    assert failure is not None
    same = torch.equal(torch.get_rng_state(), state)
    return Answered(case, failure, str(program.path), left and same)


def test_it_fails_where_it_should(answered: Answered) -> None:
    assert answered.failure.expression == answered.case.expression


def test_the_authors_repair_is_among_those_shown(answered: Answered, tmp_path: Path) -> None:
    case, failure = answered.case, answered.failure
    if case.name == "a_size_that_a_helper_is_not_told":
        pytest.xfail("its result depends on the order of the samples, as it should: others pass")
    change = case.fixed[0]
    right = case.load(tmp_path, case.changed(change))
    weights = right.build()
    wanted = outcome(right, weights)
    mended = [case.load(tmp_path, fix.apply(case.text, answered.path)) for fix in failure.fixes]
    assert any(agree(outcome(each, weights), wanted) for each in mended)


def test_no_two_say_the_same(answered: Answered) -> None:
    fixes = answered.failure.fixes
    assert fixes
    assert len({fix.summary for fix in fixes}) == len(fixes)
    assert all(fix.verified for fix in fixes[:1])


def test_a_search_leaves_the_model_and_the_random_state_as_they_were(answered: Answered) -> None:
    assert answered.left


def fixes_of(source: str, *inputs: Any) -> tuple[str, tuple[Fix, ...]]:
    cell = run_cell(source)
    failure = trace(cell["Net"](), *inputs, build=cell["Net"]).failure
    assert failure is not None
    return textwrap.dedent(source).strip("\n") + "\n", failure.fixes


def test_changes_of_another_meaning_that_pass_too_are_told() -> None:
    _, fixes = fixes_of(
        """
        class Net(nn.Module):
            def forward(self, scores, labels):
                return F.cross_entropy(scores[:, :-1].flatten(0, 1), labels.flatten())
        """,
        torch.randn(4, 7, 5),
        torch.randint(5, (4, 7)),
    )
    passed = [fix for fix in fixes if fix.verified]
    assert len(passed) >= 2
    assert "choose by what is meant" in passed[0].caveat


def test_of_changes_that_compute_the_same_one_is_shown() -> None:
    text, fixes = fixes_of(
        """
        class Net(nn.Module):
            def __init__(self, width=8):
                super().__init__()
                self.first, self.head = nn.Linear(6, width), nn.Linear(4 * width, 3)

            def forward(self, x):
                return self.head(self.first(x).relu())
        """,
        torch.randn(4, 6),
    )
    passed = [fix for fix in fixes if fix.verified]
    texts = [fix.apply(text) for fix in passed]
    assert sum("nn.Linear(width, 3)" in text or "nn.Linear(8, 3)" in text for text in texts) == 1


def test_what_comes_to_the_same_in_the_model_and_in_its_inputs_is_offered_in_both_places() -> None:
    _, fixes = fixes_of(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.head = nn.Conv1d(5, 8, 3), nn.Linear(8, 2)

            def forward(self, signal):
                return self.head(self.first(signal).relu().mean(2))
        """,
        torch.randn(4, 20, 5),
    )
    assert all(fix.verified for fix in fixes[:2])
    assert {bool(fix.edits) for fix in fixes[:2]} == {True, False}
    assert "the same as the change before it" not in fixes[0].caveat
    assert "the same as the change before it" in fixes[1].caveat


def test_what_only_the_model_can_do_is_said_of_no_inputs() -> None:
    _, fixes = fixes_of(
        """
        class Net(nn.Module):
            def __init__(self, width=8):
                super().__init__()
                self.first, self.head = nn.Linear(6, width), nn.Linear(2 * width, 3)

            def forward(self, x):
                return self.head(self.first(x).relu())
        """,
        torch.randn(4, 6),
    )
    assert fixes[0].verified
    assert not any("the change before it" in fix.caveat for fix in fixes)


def test_a_model_that_was_given_one_sample_gets_the_batch_that_it_lacked() -> None:
    text, fixes = fixes_of(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.fc = nn.Conv1d(3, 8, 1), nn.Linear(8, 2)

            def forward(self, cloud):
                points = self.first(cloud.transpose(1, 2))
                return self.fc(points.amax(2))
        """,
        torch.randn(20, 3),
    )
    texts = [dict(fix.inputs).get("cloud", "") + fix.apply(text) for fix in fixes if fix.verified]
    assert any("cloud.unsqueeze(0)" in text for text in texts)


def test_the_answer_is_the_same_where_the_caller_wants_no_gradients() -> None:
    source = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(12, 5)

        def forward(self, x):
            return self.fc(x).square().mean()
    """
    x = torch.randn(4, 3, 4)
    told = []
    for wanted in (True, False):
        with torch.set_grad_enabled(wanted):
            text, fixes = fixes_of(source, x)
        told.append([(fix.summary, fix.verified, fix.caveat, fix.apply(text)) for fix in fixes])
    assert told[0]
    assert told[1] == told[0]


def test_the_numbers_of_a_library_are_no_sizes() -> None:
    own = ModuleType("settings")
    own.__file__ = "/home/somebody/settings.py"
    vars(own)["WIDTH"] = 9
    scope = {"pytest": pytest, "sys": sys, "torch": torch, "settings": own, "n": 3}
    assert integers(scope) == {"settings.WIDTH": 9, "n": 3}
