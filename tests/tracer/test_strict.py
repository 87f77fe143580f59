"""What goes wrong inside an explanation costs that part of it, and is raised in the tests."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tracer import Failure, trace
from tracer.diagnosis import rules
from tracer.strict import SWITCH


def broken(*_: Any) -> None:
    raise ZeroDivisionError("a mistake in a rule")


def failure() -> Failure:
    found = trace(nn.Linear(6, 2), torch.zeros(4, 5)).failure
    assert found is not None
    return found


def test_a_rule_that_fails_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    told = failure().rule
    monkeypatch.setattr(rules, "LAST", [broken, *rules.LAST])
    monkeypatch.setattr(rules, "by_table", broken)
    monkeypatch.setenv(SWITCH, "0")
    assert failure().rule == told


def test_where_the_switch_is_on_it_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "layer_by_table", broken)
    with pytest.raises(ZeroDivisionError, match="a mistake in a rule"):
        failure()
