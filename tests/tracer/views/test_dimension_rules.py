"""What a prediction is judged by: where each dimension of a result comes from, as data."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from modules import LESSONS
from modules.lesson import Lesson
from tests import traces
from tests.cells import forward_cell
from tests.together import together
from tracer import trace
from tracer.ops.table import bound_step
from tracer.views.rules import rules

X = torch.zeros(2, 3, 5, 7)


def rule_of(body: str) -> dict[str, Any]:
    """Of the last step of a forward that takes (2, 3, 5, 7)."""
    found = rules(trace(forward_cell("x", body), X))[-1]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("body", "dims"),
    [
        (
            "return x.flatten(2)",
            [
                {"size": 2, "how": "same", "sources": [[0, 0]]},
                {"size": 3, "how": "same", "sources": [[0, 1]]},
                {"size": 35, "how": "grouped", "sources": [[0, 2], [0, 3]], "group": [35]},
            ],
        ),
        ("return x.sum()", []),
        (
            "return x[0, 0] + x[0, 0, :, :1]",
            [
                {"size": 5, "how": "same", "sources": [[0, 0], [1, 0]]},
                {"size": 7, "how": "same", "sources": [[0, 1]], "stretched": [[1, 1]]},
            ],
        ),
    ],
)
def test_each_dimension_is_said_as_the_table_has_it(body: str, dims: list[Any]) -> None:
    assert rule_of(body)["dims"] == dims


def test_a_window_is_said_with_its_settings() -> None:
    *_, height, width = rule_of("return F.max_pool2d(x, (3, 2), stride=2, padding=1)")["dims"]
    settings = {"stride": 2, "padding": 1, "dilation": 1, "ceil": False, "extra": 0, "back": False}
    assert height["window"] == {"kernel": 3, **settings}
    assert width["window"] == {"kernel": 2, **settings}


def test_what_does_not_live_on_is_told_apart_from_what_is_summed_over() -> None:
    assert rule_of("return x.mean((1, 3))")["gone"] == [[0, 1], [0, 3]]
    product = rule_of("return x @ torch.zeros(7, 4)")
    assert (product["met"], product["gone"]) == ([[0, 3, 1, 0]], [])
    assert rule_of("return torch.cat([x, x], 1)")["gone"] == []


@together(
    ("body", "plain"),
    [
        ("return x.relu()", True),
        ("return nn.BatchNorm2d(3)(x)", True),
        ("return x + x", True),
        ("return x + torch.zeros(7)", False),
        ("return x.transpose(0, 1)", False),
        ("return x[:, :, :5, :5].transpose(2, 3)", False),
        ("return nn.Linear(7, 7)(x)", False),
        ("return torch.zeros(2)", False),
    ],
)
def test_plain_is_what_hands_its_shape_on(body: str, plain: bool) -> None:
    assert rule_of(body)["plain"] is plain


def test_what_the_table_does_not_know_or_what_failed_is_not_asked() -> None:
    failed = trace(forward_cell("x", "return x.flatten(1) @ x"), X)
    assert [rule is None for rule in rules(failed)] == [False, True]


@together("each", LESSONS, ids=lambda each: each.key)
def test_every_rule_of_a_lesson_is_that_of_the_table_and_plain_json(each: Lesson) -> None:
    run = traces.of_lesson(each)
    found = rules(run)
    assert json.loads(json.dumps(found)) == found
    for step, rule in zip(run.steps, found, strict=True):
        assert rule is not None
        bound = bound_step(step)
        assert bound is not None
        assert [dim["size"] for dim in rule["dims"]] == list(step.outputs[0].shape)
        assert [dim["how"] for dim in rule["dims"]] == [dim.how for dim in bound.results[0]]
