"""The page of two runs side by side, as Streamlit runs it."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
import torch
from streamlit.testing.v1 import AppTest

from tests.apps import enough_memory as enough_memory
from tests.apps import page
from tests.test_pages import said, small_trace
from tracer import trace
from ui import comparing
from ui.debug import Desk
from ui.run import Run

pytestmark = pytest.mark.usefixtures("enough_memory")


def comparison(**query: str) -> AppTest:
    return page("pages/4_Compare.py", **query)


def finished(app: AppTest) -> AppTest:
    """Until all that is computed for the page is on it."""
    for _ in range(4):
        for job in app.session_state["comparing-jobs"].values():
            assert job.wait(600)
        app.run()
    return app


def totals(app: AppTest) -> list[list[str]]:
    """The table below, row by row."""
    (text,) = [each.value for each in app.markdown if each.value.startswith("| Run |")]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()]
    return [[cell.replace("\\", "").strip() for cell in row] for row in rows]


def shown(app: AppTest) -> list[str]:
    """What the two sides are, as keys of lessons or of what stands in their place."""
    return [side.key for side in app.session_state["compared"].values()]


def test_it_opens_with_two_lessons_and_runs_nothing() -> None:
    app = comparison()
    assert not app.exception
    assert shown(app) == ["squeeze-excite", "eca-image"]
    assert app.session_state["comparing-jobs"] == {}
    table = totals(app)
    assert table[0][-2:] == ["SE, squeeze and excitation", "ECA for images"]
    assert table[2:5] == [
        ["Steps", "9", "9"],
        ["Parameters", "512", "3"],
        ["Floating-point operations", "2.05 kFLOP", "768 FLOP"],
    ]
    # The kernel of ECA has no formula, so that nothing is said of its operations.
    assert ["Twice the C: memory, operations", "× 2, × 4", "× 2, not known"] in table


@pytest.mark.parametrize("number", range(len(comparing.PAIRS)))
def test_each_pair_that_is_offered(number: int) -> None:
    _, one, other = comparing.PAIRS[number]
    app = finished(comparison(one=urlencode(one), other=urlencode(other)))
    assert not app.exception
    assert said(app) == ""
    assert shown(app) == [one["lesson"], other["lesson"]]
    settings = [dict(side.view.settings) for side in app.session_state["compared"].values()]
    for query, found in zip((one, other), settings, strict=True):
        assert {name: value for name, value in query.items() if name != "lesson"}.items() <= {
            name: str(value) for name, value in found.items()
        }.items()


def test_sizes_of_one_side_are_its_own_and_named() -> None:
    app = comparison(one="lesson=squeeze-excite", other="lesson=squeeze-excite")
    (size,) = [box for box in app.number_input if box.key == "comparing/other/squeeze-excite/C"]
    size.set_value(32).run()
    finished(app)
    assert not app.exception
    assert totals(app)[0][-2:] == [
        "SE, squeeze and excitation · C=64",
        "SE, squeeze and excitation · C=32",
    ]
    views = [side.view for side in app.session_state["compared"].values()]
    assert [dict(view.settings)["C"] for view in views] == [64, 32]


def test_another_lesson_is_chosen_from_the_list() -> None:
    app = comparison()
    (box,) = [each for each in app.selectbox if each.key == "comparing/one/en"]
    box.set_value("coordatt").run()
    assert shown(app) == ["coordatt", "eca-image"]
    assert not app.exception


def test_sizes_that_cannot_be_built_are_one_sentence() -> None:
    query = {"lesson": "non-local", "inter_channels": "1", "C": "3"}
    app = comparison(one=urlencode(query), other=urlencode({"lesson": "squeeze-excite", "C": "x"}))
    assert not app.exception
    assert "C=x` is not a whole number" in said(app)


def upload(app: AppTest, content: bytes, name: str = "t.json") -> AppTest:
    app.file_uploader[0].set_value((name, content, "application/json"))
    return app.run()


def choose(app: AppTest, side: str, key: str) -> AppTest:
    pattern = re.compile(rf"comparing/{side}/en(/\d+)?")
    (box,) = [each for each in app.selectbox if each.key and pattern.fullmatch(each.key)]
    box.set_value(key)
    return app.run()


def test_a_saved_trace_beside_a_lesson() -> None:
    app = choose(comparison(), "other", comparing.FILE)
    assert "Choose a file" in said(app)
    upload(app, b"{}", "damaged.json")
    assert not app.exception
    assert "damaged.json" in said(app)
    upload(app, small_trace())
    assert not app.exception
    assert shown(app) == ["squeeze-excite", comparing.KEPT]
    assert totals(app)[0][-1] == "ECA for images"


class Net(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        return out


def test_one_s_own_module_before_and_after_a_change() -> None:
    app = comparison()
    before, after = (Run(trace(Net(width), torch.randn(2, 4))) for width in (3, 5))
    app.session_state["desk"] = Desk(run=before, count=1)
    choose(app.run(), "one", comparing.MODULE)
    app.session_state["desk"] = Desk(run=after, count=2)
    choose(app.run(), "other", comparing.MODULE)
    assert not app.exception
    assert [side.run for side in app.session_state["compared"].values()] == [before, after]
    assert totals(app)[3] == ["Parameters", "15", "25"]


def test_the_way_here_from_another_page_names_its_run() -> None:
    app = comparison()
    app.session_state["opened"] = Run(trace(Net(3), torch.randn(2, 4)))
    app.session_state["page"] = "open"
    app.query_params["one"] = comparing.OPENED
    app.run()
    assert not app.exception
    assert totals(app)[0] == ["Run", "Net", "ECA for images"]


def test_a_run_without_steps() -> None:
    empty = Run(trace(torch.nn.Identity(), torch.randn(2)))
    app = comparison()
    app.session_state["compared"] = {name: comparing.Side(run=empty) for name in comparing.SIDES}
    app.run()
    assert not app.exception
    assert "Neither of these runs has a step." in said(app)


def test_what_the_browser_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    def keep(*, data: bytes, key: str) -> None:
        given.append(json.loads(data.split(b"\n", 1)[1]))

    monkeypatch.setattr(comparing, "_component", keep)
    comparison()
    (body,) = given
    assert body["names"] == ["SE, squeeze and excitation", "ECA for images"]
    for pair in body["pairs"]:
        for which, steps in (("one", body["one"]), ("other", body["other"])):
            assert pair[which] is None or 0 <= pair[which] < len(steps["trace"]["steps"])
