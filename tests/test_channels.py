"""All channels as one picture: which dimension they are, what weighs them, in which order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from modules import lesson
from modules.lesson import prepare
from tests.apps import enough_memory as enough_memory
from tests.apps import page
from tests.test_pages import said
from tracer import compute, trace
from tracer.views.figures import montage_figure
from ui import shipped
from ui.channels import Cut, _planes, _weights, channel_axes, cut, gates, likely


def test_which_dimension_is_the_channels() -> None:
    assert channel_axes((2, 64, 14, 20)) == [1, 2, 3]
    assert channel_axes((3, 4)) == []
    assert channel_axes((2, 1, 1, 1)) == []
    assert likely((2, 64, 14, 20), ("B", "C", "H", "W")) == 1
    assert likely((2, 14, 20, 64), ("B", "H", "W", "C")) == 3
    assert likely((2, 64, 14, 20), ()) == 1
    assert likely((3, 8, 9), ()) == 0
    assert likely((3, 8, 9), ("B", "T", "D")) == 1
    assert cut(4, 1) == Cut(1, (2, 3), (0,))
    assert cut(4, 3) == Cut(3, (1, 2), (0,))
    assert cut(5, 1) == Cut(1, (3, 4), (0, 2))
    assert cut(3, 0) == Cut(0, (1, 2), ())
    assert cut(3, 2) == Cut(2, (1,), (0,))


def test_planes_are_those_of_the_tensor() -> None:
    values = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    assert np.array_equal(_planes(values, cut(4, 1), {0: 1}), values[1].numpy())
    last = _planes(values, cut(4, 3), {0: 1})
    assert np.array_equal(last, values[1].permute(2, 0, 1).numpy())
    rows = _planes(values[0], cut(3, 2), {0: 2})
    assert np.array_equal(rows, values[0, 2].T[:, None, :].numpy())


def two_gates(x: Tensor, score: Tensor) -> Tensor:
    gate = torch.sigmoid(score)
    row = torch.softmax(x, dim=3)
    weighed = gate * x
    return weighed * row


def test_weights_are_what_the_run_multiplies_with() -> None:
    inputs = torch.randn(2, 3, 4, 5), torch.tensor([0.0, 2.0, -2.0]).reshape(3, 1, 1)
    found = trace(two_gates, *inputs)
    by_name = {note.name: note for note in found.tensors().values()}
    weighed, out = by_name["weighed"], found.steps[3].outputs[0]
    assert [each.name for each in gates(found, by_name["x"], 1)] == ["gate", "row"]
    assert [each.name for each in gates(found, weighed, 1)] == ["gate"]
    assert [each.name for each in gates(found, out, 1)] == ["gate", "row"]
    assert gates(found, found.steps[0].outputs[0], 0) == []

    def made(number: int) -> Tensor:
        return compute(number, two_gates, *inputs)

    weights = _weights(made(weighed.id), gates(found, weighed, 1), cut(4, 1), {}, made)
    assert weights == pytest.approx(torch.sigmoid(inputs[1]).flatten().numpy())


def test_the_gate_of_a_lesson_is_found_where_it_is_applied() -> None:
    found = shipped.default("squeeze-excite")
    assert found is not None
    by_name = {note.name: note for note in found.tensors().values()}
    (gate,) = gates(found, by_name["x"], 1)
    assert gate.name == "gate"
    assert gates(found, by_name["weighed"], 1) == [gate]
    assert gates(found, by_name["pooled"], 1) == []
    # What is taken for attention is what squeezes the channels, applied to each of their places.
    chosen = lesson("squeeze-excite")
    model, args, kwargs = prepare(chosen, chosen.settings(), "picture", 0)
    with torch.no_grad():
        values = compute(gate.id, model, *args, **kwargs)
    assert (values == values[:, :, :1, :1]).all()


def test_a_montage_holds_every_number_with_gaps_between() -> None:
    planes = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3)
    figure = montage_figure(planes, across=2, names=list("abcde"), chosen=3)
    whole = np.asarray(figure.data[0].z)
    assert whole.shape == (3 * 3 - 1, 2 * 4 - 1)
    assert np.array_equal(whole[3:5, 4:7], planes[3])
    assert np.isnan(whole[2]).all()
    assert np.isnan(whole[:, 3]).all()
    assert np.isfinite(whole).sum() == planes.size
    assert figure.data[0].text[3, 4] == "d"
    (frame,) = figure.layout.shapes
    assert frame.x0 < 4 < 6 < frame.x1
    assert frame.y0 < 3 < 4 < frame.y1


@pytest.mark.usefixtures("enough_memory")
def test_the_inspector_shows_them() -> None:
    app = page("pages/1_Walkthrough.py", lesson="squeeze-excite", lang="en")
    app.session_state["open-tab"] = "Inspector"
    app.session_state["inspects-channels"] = True
    app.run()
    assert not app.exception
    assert said(app) == ""
    shown = [each.value for each in app.markdown if each.value.startswith("Weight")]
    assert len(shown) == 1
    assert "number 1 of 64" in shown[0], "the first in its order is the one with most attention"
    (toggle,) = app.toggle
    toggle.set_value(False).run()
    assert not app.exception
    (channel,) = [box for box in app.number_input if box.label == "Channel (0 to 63)"]
    assert channel.value == 0
