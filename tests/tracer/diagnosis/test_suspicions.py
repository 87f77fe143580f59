"""Warnings of runs that succeed: each kind in several shapes, and what looks alike and is meant."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modules import LESSONS
from modules.lesson import Lesson, Preset, prepare
from tests.cells import run_cell
from tests.models import MODELS, Model
from tests.together import together
from tracer import Trace, trace
from tracer.diagnosis import suspicions
from tracer.document import Warning
from tracer.language import translator
from tracer.views.player import payload


def warned(
    model: nn.Module, *args: Any, **kwargs: Any
) -> tuple[Trace, tuple[Warning, ...], list[str]]:
    """The trace, its warnings, and the expressions they point at."""
    found = trace(model, *args, values=False, diagnose=False, **kwargs)
    assert found.failure is None

    def rerun(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Trace:
        return trace(model, *args, values=False, device="meta", diagnose=False, **kwargs)

    warnings = suspicions.warnings(found, model, args, kwargs, rerun)
    return found, warnings, [found.steps[warning.step].expression for warning in warnings]


def cell(body: str, setup: str = "", arguments: str = "x, y=None", **names: Any) -> nn.Module:
    """A module with this forward, `setup` at the end of its constructor."""
    lines = ["class Net(nn.Module):", "    def __init__(self):", "        super().__init__()"]
    lines += [f"        {line}" for line in setup.splitlines()]
    lines += [f"    def forward(self, {arguments}):"]
    lines += [f"        {line}" for line in body.splitlines()]
    torch.default_generator.manual_seed(0)
    module: nn.Module = run_cell("\n".join(lines), **names)["Net"]()
    return module


FC = "self.fc = nn.Linear(8, 1)"
COLUMN, ROW = torch.randn(4, 8), torch.randn(4)
MASK = torch.tensor([[True, True, False, False]]).repeat(4, 1)


@together(
    ("body", "expression"),
    [
        ("return ((self.fc(x) - y) ** 2).mean()", "self.fc(x) - y"),
        ("p = self.fc(x)\nreturn torch.abs(y - p).mean()", "y - p"),
        ("p = torch.sigmoid(self.fc(x))\nreturn ((p > 0.5) == (y > 0)).float().mean()", None),
        ("p = self.fc(x)\np = p * 2\nreturn torch.sub(p, y).sum()", "torch.sub(p, y)"),
        ("return (x[:, :1] * y).sum()", "x[:, :1] * y"),
        ("return torch.hypot(self.fc(x), y).mean()", "torch.hypot(self.fc(x), y)"),
        ("return torch.where(self.fc(x) > 0, 1, 0) * y", None),
        ("return F.mse_loss(self.fc(x), y)", "F.mse_loss(self.fc(x), y)"),
        ("return F.smooth_l1_loss(y, self.fc(x))", "F.smooth_l1_loss(y, self.fc(x))"),
        ("return nn.L1Loss()(self.fc(x), y)", "nn.L1Loss()(self.fc(x), y)"),
    ],
)
def test_a_column_meets_a_row(body: str, expression: str | None) -> None:
    _, warnings, expressions = warned(cell(body, FC), COLUMN, ROW)
    assert [warning.kind for warning in warnings] == ["broadcast"]
    assert "(4, 1)" in warnings[0].reason
    assert "(4,)" in warnings[0].reason
    if expression is not None:
        assert expressions == [expression]


@together(
    "body",
    [
        "return ((self.fc(x).squeeze(1) - y) ** 2).mean()",
        "return ((self.fc(x) - y.unsqueeze(1)) ** 2).mean()",
        "return F.mse_loss(self.fc(x), y[:, None])",
        "return (y[:, None] - y).abs().mean()",
        "return y.unsqueeze(1) * y",
        "return y.view(-1, 1) < y",
        "n = x.pow(2).sum(1, keepdim=True)\nreturn n + x.pow(2).sum(1) - 2 * x @ x.T",
        "n = x.pow(2).sum(1, True)\nreturn n + x.pow(2).sum(1)",
        "return self.fc(x) * torch.arange(4.0)",
        "return self.fc(x) * self.freqs",
        "return self.fc(x) + y[0]",
        "return self.fc(x) + y.sum()",
    ],
)
def test_an_outer_sum_that_was_written_so(body: str) -> None:
    model = cell(body, f"{FC}\nself.register_buffer('freqs', torch.rand(4))")
    assert warned(model, COLUMN, ROW)[1] == ()


@together(
    ("body", "expression", "inputs"),
    [
        # As many tokens as samples: the mask of the samples lands on the queries.
        (
            "return x.masked_fill(y, -1e9).softmax(-1)",
            "x.masked_fill(y, -1e9)",
            (torch.randn(4, 2, 4, 4), MASK),
        ),
        ("return x * y", "x * y", (torch.randn(4, 4, 4), MASK)),
        ("g = x.mean((2, 3))\nreturn x * g", "x * g", (torch.randn(4, 4, 4, 4),)),
        ("g = x.amax(2)\nx = x * 1\nx *= g\nreturn x", "x *= g", (torch.randn(4, 4, 4),)),
    ],
)
def test_axes_that_agree_by_chance(body: str, expression: str, inputs: tuple[Tensor, ...]) -> None:
    _, warnings, expressions = warned(cell(body), *inputs)
    assert [warning.kind for warning in warnings] == ["broadcast"]
    assert expressions == [expression]
    assert "batch of 8 fails" in warnings[0].reason


@together(
    ("body", "inputs"),
    [
        ("return x.masked_fill(y[:, None, None], -1e9)", (torch.randn(4, 2, 4, 4), MASK)),
        ("return x * y.unsqueeze(-1)", (torch.randn(4, 4, 4), MASK)),
        ("return x + self.pos", (torch.randn(4, 4, 6),)),
        ("return x * x.mean((2, 3), keepdim=True)", (torch.randn(4, 4, 4, 4),)),
        ("return x + x.mean(0)", (torch.randn(4, 4, 6),)),
        ("t = torch.tril(x.new_ones(4, 4))\nreturn x * t", (torch.randn(4, 4, 4),)),
    ],
)
def test_axes_that_agree_by_rule(body: str, inputs: tuple[Tensor, ...]) -> None:
    model = cell(body, "self.pos = nn.Parameter(torch.zeros(4, 6))")
    assert warned(model, *inputs)[1] == ()


SCORES = torch.randn(2, 3, 5, 5)
PAD = torch.tensor([[False, False, False, True, True], [False] * 5])


@together(
    "body",
    [
        "return x.masked_fill(y[:, None, :, None], -1e9).softmax(-1)",
        "s = x.masked_fill(y[:, None, :, None] == 1, -1e9)\ns = s / 2\nreturn F.softmax(s, dim=3)",
        "x = x.masked_fill_(y[:, None, None, :], -1e9)\nreturn torch.softmax(x, 2)",
        "return nn.Softmax(dim=-1)(x.masked_fill(y.view(-1, 1, 5, 1), -1e9))",
        "return x.mean((1, 2)).unsqueeze(2).masked_fill(y.any(1)[:, None, None], -9.0).softmax(1)",
    ],
)
def test_a_mask_that_hides_whole_rows(body: str) -> None:
    _, warnings, expressions = warned(cell(body), SCORES.clone(), PAD)
    assert [warning.kind for warning in warnings] == ["broadcast"]
    assert "masked_fill" in expressions[0]
    assert "whole rows" in warnings[0].reason


@together(
    "body",
    [
        "return x.masked_fill(y[:, None, None, :], -1e9).softmax(-1)",
        "m = y[:, None, :, None] | y[:, None, None, :]\nreturn x.masked_fill(m, -1e9).softmax(-1)",
        "return x.masked_fill(y[:, None, :, None], -1e9).softmax(2)",
        "return x.softmax(-1).masked_fill(y[:, None, :, None], 0.0)",
        "m = torch.ones(5, 5).triu(1).bool()\nreturn x.masked_fill(m, -1e9).softmax(-1)",
        "s = x.mean((1, 2)).unsqueeze(-1)\nreturn s.masked_fill(y.unsqueeze(-1), -1e9).softmax(1)",
    ],
)
def test_a_mask_along_the_softmax(body: str) -> None:
    assert warned(cell(body), SCORES.clone(), PAD)[1] == ()


POOL = "self.pool = nn.AdaptiveAvgPool2d(1)\nself.fc = nn.Linear(6, 2)"


@together("batch", [1, 3])
@together(
    ("body", "expression"),
    [
        ("return self.fc(self.pool(x).squeeze())", "self.pool(x).squeeze()"),
        ("return self.fc(torch.squeeze(self.pool(x)))", "torch.squeeze(self.pool(x))"),
        ("h = self.pool(x)\nh.squeeze_()\nreturn self.fc(h)", "h.squeeze_()"),
        ("return self.fc(self.pool(x).flatten(1)).squeeze()", None),
    ],
)
def test_a_squeeze_that_drops_a_batch_of_one(body: str, expression: str | None, batch: int) -> None:
    _, warnings, expressions = warned(cell(body, POOL), torch.randn(batch, 6, 5, 5))
    assert [warning.kind for warning in warnings] == ["squeeze"]
    if expression is not None:
        assert expressions == [expression]
    assert "dropped the batch" in warnings[0].reason or "the batch is gone" in warnings[0].reason


@together("batch", [1, 3])
@together(
    "body",
    [
        "return self.fc(self.pool(x).squeeze(-1).squeeze(-1))",
        "return self.fc(self.pool(x).squeeze((2, 3)))",
        "return self.fc(self.pool(x).flatten(1))",
        "return x * self.scale.squeeze()",
        "return self.fc(self.pool(x).flatten(1)).mean().squeeze()",
    ],
)
def test_a_squeeze_of_named_axes(body: str, batch: int) -> None:
    model = cell(body, POOL + "\nself.scale = nn.Parameter(torch.ones(1, 1, 5))")
    assert warned(model, torch.randn(batch, 6, 5, 5))[1] == ()


FIXED = """\
self.conv = nn.Conv1d(3, 6, 3, padding=1)
self.fc = nn.Linear(30, 2)
self.gru = nn.GRU(5, 6, batch_first=True)
self.token = nn.Parameter(torch.zeros(1, 1, 5))
self.batch_size = 4
self.wide = 5"""


@together(
    ("body", "expression"),
    [
        ("return self.fc(self.conv(x).view(4, -1))", "self.conv(x).view(4, -1)"),
        ("return self.fc(self.conv(x).view((4, 30)))", "self.conv(x).view((4, 30))"),
        ("return self.fc(torch.reshape(self.conv(x), (4, 30)))", None),
        ("return self.conv(x).reshape(self.batch_size, -1)", None),
        ("return self.conv(x).reshape(SAMPLES, -1)", "self.conv(x).reshape(SAMPLES, -1)"),
        ("n = 4\nreturn self.fc(self.conv(x).view(n, -1))", "self.conv(x).view(n, -1)"),
        ("n = self.batch_size\nreturn self.fc(self.conv(x).view(n, 30))", None),
        ("h = torch.zeros(1, 4, 6)\nreturn self.gru(x, h)[0]", "torch.zeros(1, 4, 6)"),
        ("h = x.new_zeros((1, self.batch_size, 6))\nreturn self.gru(x, h)[0]", None),
        ("return torch.cat([self.token.expand(4, -1, -1), x], 1)", None),
        ("return torch.cat([self.token.repeat(4, 1, 1), x], 1)", None),
        ("return self.conv(x).view(4 * 6, 5).sum(1)", "self.conv(x).view(4 * 6, 5)"),
    ],
)
def test_a_batch_size_in_the_code(body: str, expression: str | None) -> None:
    model = cell(body, FIXED, SAMPLES=4)
    found, warnings, expressions = warned(model, torch.randn(4, 3, 5))
    assert [warning.kind for warning in warnings] == ["batch"]
    if expression is not None:
        assert expressions == [expression]
    assert "batch size 4" in warnings[0].reason
    assert found.steps[warnings[0].step].expression


@together(
    "body",
    [
        "return self.fc(self.conv(x).view(x.size(0), -1))",
        "b, c, t = x.shape\nreturn self.fc(self.conv(x).view(b, 6 * t))",
        "h = torch.zeros(1, len(x), 6)\nreturn self.gru(x, h)[0]",
        # Four of something else.
        "y = self.conv(x).repeat(1, 2, 1).view(x.size(0), 4, 3, 5)\nreturn y.sum(1)",
        "y = torch.zeros(4, 5)\nreturn (x.mean(1) @ y.T) @ y",
        "y = x.repeat(4, 1, 1).view(4, x.size(0), 3, 5)\nreturn y.mean(0)",
        "return torch.cat([self.token.expand(len(x), -1, -1), x], 1)",
        "return self.fc(self.conv(x).view(-1, 30))",
    ],
)
def test_a_batch_size_from_the_input(body: str) -> None:
    assert warned(cell(body, FIXED), torch.randn(4, 3, 5))[1] == ()


@together(
    ("body", "shape"),
    [
        ("return x.view(-1, 400)", (4, 16, 10, 10)),
        ("return x.reshape((-1, 16 * 5 * 5))", (4, 16, 10, 10)),
        ("return F.relu(x).view(-1, 32)", (2, 8, 4, 4)),
        ("b, t, c = x.shape\nreturn x.view(b, c, t)", (4, 5, 6)),
        ("b, c, h, w = x.shape\nreturn x.reshape(b, h, w, c)", (2, 3, 4, 5)),
        ("return x.view(x.shape[1], x.shape[0], -1)", (5, 3, 6)),
    ],
)
def test_a_view_that_cuts_across_samples(body: str, shape: tuple[int, ...]) -> None:
    _, warnings, expressions = warned(cell(body), torch.randn(shape))
    assert [warning.kind for warning in warnings] == ["view"]
    assert "view" in expressions[0] or "reshape" in expressions[0]


@together(
    ("body", "shape"),
    [
        ("return x.view(-1, 1600)", (4, 16, 10, 10)),
        ("return x.view(-1, 10)", (4, 16, 10, 10)),
        ("return x.view(-1, 5)", (4, 16, 10, 10)),
        ("return x.view(-1, 100)", (4, 16, 10, 10)),
        ("return x.flatten(2).transpose(1, 2).reshape(-1, 16)", (4, 16, 10, 10)),
        ("b, c, h, w = x.shape\nreturn x.reshape(b * c // 2, 2, h * w)", (4, 16, 10, 10)),
        ("b, c, h, w = x.shape\nreturn x.view(b, 2, c // 2, h, w)", (4, 16, 10, 10)),
        ("b, c, h, w = x.shape\nreturn x.view(b, c, h // 2, 2, w // 2, 2)", (4, 16, 10, 10)),
        ("return x.view(-1, 1, 10)", (4, 10)),
        ("return x.unsqueeze(1).view(-1, 10, 1)", (4, 10)),
        # Transformer-XL's relative shift.
        (
            "b, h, q, k = x.shape\ny = F.pad(x, (1, 0)).view(b, h, k + 1, q)\n"
            "return y[:, :, 1:].view(b, h, q, k)",
            (2, 3, 5, 6),
        ),
    ],
)
def test_a_view_of_whole_axes(body: str, shape: tuple[int, ...]) -> None:
    assert warned(cell(body), torch.randn(shape))[1] == ()


@pytest.mark.parametrize("kind", ["1d", "2d"])
def test_batchnorm_of_one_sample(kind: str) -> None:
    layers = [f"nn.Conv{kind}(3, 4, 3)", f"nn.BatchNorm{kind}(4)", "nn.ReLU()"]
    setup = f"self.net = nn.Sequential({', '.join(layers * 1)})"
    model = cell("return self.net(x)", setup)
    shape = (3, 9, 9)[: int(kind[0]) + 1]
    one, two = torch.randn(1, *shape), torch.randn(2, *shape)
    _, warnings, expressions = warned(model, one)
    assert [warning.kind for warning in warnings] == ["batchnorm"]
    assert "net.1" in warnings[0].reason
    assert expressions == ["self.net(x)"]
    assert warned(model, two)[1] == ()
    assert warned(model.eval(), one)[1] == ()


def test_one_warning_for_a_line_in_a_loop() -> None:
    model = cell("for _ in range(3):\n    x = x.view(x.shape[0], 6, 5).view(-1, 5, 6)\nreturn x")
    _, warnings, _ = warned(model, torch.randn(2, 5, 6))
    assert [warning.kind for warning in warnings] == ["view", "view"]


def test_the_model_runs_again_only_for_a_reason() -> None:
    def runs(body: str) -> int:
        model = cell(body, FIXED)
        args = (torch.randn(4, 3, 5),)
        calls = 0

        def rerun(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Trace:
            nonlocal calls
            calls += 1
            return trace(model, *args, values=False, device="meta", diagnose=False, **kwargs)

        suspicions.warnings(trace(model, *args, diagnose=False), model, args, {}, rerun)
        return calls

    assert runs("return self.fc(self.conv(x).view(x.size(0), -1))") == 0
    assert runs("return self.gru(x)[0]") == 0
    assert runs("return self.fc(self.conv(x).view(4, -1))") == 2


def test_a_module_that_meta_cannot_run_is_not_accused() -> None:
    model = cell("y = self.conv(x).view(4, -1)\nreturn y * y.sum().item()", FIXED)
    assert warned(model, torch.randn(4, 3, 5))[1] == ()


def test_a_failed_run_has_no_warnings() -> None:
    model = cell("y = x.view(-1, 400)\nreturn y.view(7)")
    found = trace(model, torch.randn(4, 16, 10, 10), diagnose=False)
    assert found.failure is not None
    assert suspicions.warnings(found, model, (), {}) == ()


def test_keyword_and_nested_inputs() -> None:
    model = cell(
        "return torch.cat([x, y['a'][0]], 1).squeeze(), y['b']", arguments="x, y, scale=1.0"
    )
    nested: Mapping[str, Any] = {"a": [torch.randn(3, 2, 1)], "b": torch.zeros(())}
    _, warnings, _ = warned(model, torch.randn(3, 4, 1), y=nested, scale=2.0)
    assert [warning.kind for warning in warnings] == ["squeeze"]


# --- false alarms -----------------------------------------------------------------------------


@together("model", MODELS, ids=lambda model: model.key)
def test_no_false_alarm_on_the_models(model: Model) -> None:
    args, kwargs = model.arguments()
    assert warned(model.make(), *args, **kwargs)[1] == ()


RUNS = [
    (each, preset)
    for each in LESSONS
    for preset in (None, *each.presets)
    if preset is None or preset.breaks is None
]


@pytest.mark.parametrize(
    ("each", "preset"), RUNS, ids=lambda part: getattr(part, "key", getattr(part, "name", "-"))
)
def test_no_false_alarm_on_the_lessons(each: Lesson, preset: Preset | None) -> None:
    settings = each.settings(preset.name if preset is not None else None)
    training = preset is not None and preset.training
    model, args, kwargs = prepare(each, settings, values=False, training=training)
    found = warned(model, *args, **kwargs)[1]
    if preset is not None and preset.name == "Batch of one in training":
        # The preset is there to show it.
        assert [warning.kind for warning in found] == ["batchnorm"]
    else:
        assert found == ()


SUSPICIOUS: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
    "broadcast": (cell("return ((self.fc(x) - y) ** 2).mean()", FC), (COLUMN, ROW)),
    "view": (cell("return x.view(x.size(0), 3, 8)"), (torch.randn(4, 8, 3),)),
    "squeeze": (cell("return self.fc(x).squeeze()", FC), (COLUMN[:1],)),
}


@pytest.mark.parametrize("kind", SUSPICIOUS)
def test_warnings_are_told_in_chinese(kind: str) -> None:
    model, args = SUSPICIOUS[kind]
    found = trace(model, *args, values=False)
    (warning,) = found.warnings
    told = warning.told(translator("zh"))
    assert warning.kind == kind
    assert re.search("[\u4e00-\u9fff]", told)
    assert not re.search("[\u4e00-\u9fff]", warning.reason)
    (packed,) = payload(found, language="zh")["trace"]["warnings"]
    name = packed.pop("name")
    assert packed == {"kind": kind, "step": warning.step, "reason": told}
    assert re.search("[\u4e00-\u9fff]", name)


def test_a_warning_of_an_older_file_keeps_its_words() -> None:
    model, args = SUSPICIOUS["view"]
    found = trace(model, *args, values=False)
    assert Trace.from_json(found.to_json()) == found
    body = json.loads(found.to_json())
    body["schema"] = 5
    (packed,) = body["trace"]["warnings"]
    del packed["because"]
    packed["reason"] = "It is {odd}."
    (older,) = Trace.from_json(json.dumps(body)).warnings
    assert older.reason == older.told(translator("zh")) == "It is {odd}."
