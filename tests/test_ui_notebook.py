"""A lesson's notebook runs, and gives the run that was on screen."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from tests.together import together
from tracer import Trace
from ui import shipped
from ui.notebook import notebook
from ui.view import default_view, preset_view

KEYS = [each.key for each in shipped.LESSONS]


def executed(book: dict[str, Any]) -> dict[str, Any]:
    """What the code cells leave behind, run one after the other as a notebook does."""
    left: dict[str, Any] = {}
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "cell", "exec"), left)
    return left


@together("key", KEYS)
def test_it_is_a_notebook_whose_cells_are_python(key: str) -> None:
    book = json.loads(notebook(default_view(key)))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    kinds = [cell["cell_type"] for cell in book["cells"]]
    assert set(kinds) == {"markdown", "code"}
    assert kinds[0] == "markdown"
    assert len({cell["id"] for cell in book["cells"]}) == len(kinds)
    for cell in book["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            ast.parse("".join(cell["source"]))
            assert (cell["execution_count"], cell["outputs"]) == (None, [])


@pytest.mark.parametrize(("key", "preset"), [("squeeze-excite", "Small"), ("non-local", None)])
def test_it_runs_what_was_on_screen(
    key: str, preset: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    view = default_view(key)
    if preset is not None:
        view = preset_view(view, preset)
    found: Trace = executed(json.loads(notebook(view)))["run"]
    assert found.story is not None
    shown = found.inputs[0].shape
    sizes = dict(view.settings)
    assert shown == tuple(sizes[name] for name in ("B", "C", "H", "W"))
    assert str(shown) in capsys.readouterr().out
    known = shipped.default(key)
    assert known is not None
    assert [step.expression for step in found.steps] == [step.expression for step in known.steps]
    if preset is None:
        made = [[step.outputs[0].shape for step in each.steps] for each in (found, known)]
        assert made[0] == made[1]
        given = [each.inputs[0].heatmap for each in (found, known)]
        assert given[0] is not None
        assert given[1] is not None
        assert given[0].low == pytest.approx(given[1].low)
        assert given[0].high == pytest.approx(given[1].high)
