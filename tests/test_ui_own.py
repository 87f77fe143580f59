"""A reader's own picture, array and weights in a lesson."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import Tensor

from modules import lesson
from tests.test_pages import finished, plain
from tests.tracer.test_given import huge_png, png
from tracer import worker
from ui import run as runs

pytestmark = pytest.mark.waits


@pytest.fixture(scope="module", autouse=True)
def _worker() -> Iterator[None]:
    yield
    worker.stop()


def page(key: str, *files: tuple[str, bytes], **sizes: int) -> AppTest:
    app = AppTest.from_file("../app.py", default_timeout=600)
    app.switch_page("pages/1_Walkthrough.py")
    app.query_params["lesson"] = key
    for name, size in sizes.items():
        app.query_params[name] = str(size)
    app.run()
    return opened(app, *files)


def opened(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    given = [(name, content, "application/octet-stream") for name, content in files]
    return finished(app.file_uploader(key="own-data").set_value(given).run())


def said(app: AppTest) -> str:
    assert not app.exception
    return "\n".join(plain(each.value) for each in (*app.error, *app.warning, *app.caption))


def first_input(app: AppTest) -> Tensor:
    view = app.session_state["view"]
    return runs.tensor(view, runs.values(view).trace.inputs[0].id)


def npy(values: Tensor) -> bytes:
    written = io.BytesIO()
    np.save(written, values.numpy())
    return written.getvalue()


def pt(state: dict[str, Tensor]) -> bytes:
    written = io.BytesIO()
    torch.save(state, written)
    return written.getvalue()


def test_a_picture_is_the_input_of_a_lesson() -> None:
    app = page("squeeze-excite", ("my cat.png", png((40, 20))))
    told = said(app)
    assert "my_cat.png (40×20) is given as numbers from 0 to 1, resized to 14×14, its 3" in told
    assert first_input(app)[1, :4, 3, 5].tolist() == pytest.approx([1, 0.2, 0, 1], abs=0.003)
    app.number_input(key="squeeze-excite/C").set_value(32)
    finished(app.run())
    assert first_input(app).shape == (2, 32, 14, 14)
    assert "its 3 channels repeated to 32" in said(app)
    opened(app)
    assert "my_cat.png" not in said(app)
    assert first_input(app).std() > 0.1


def test_an_array_and_a_state_dict_of_a_lesson() -> None:
    each = lesson("squeeze-excite")
    state = {
        name: torch.full_like(value, 0.5)
        for name, value in each.build(each.settings()).state_dict().items()
    }
    x = torch.arange(2 * 64 * 14 * 14.0).reshape(2, 64, 14, 14)
    app = page(
        each.key, ("x.npy", npy(x)), ("w.pt", pt({"state_dict": state, "epoch": torch.ones(())}))
    )
    assert torch.equal(first_input(app), x)
    told = said(app)
    assert "w.pt gives 2 of the module's 2 tensors." in told
    view = app.session_state["view"]
    weights = [
        note
        for step in runs.values(view).trace.walk()
        for note in step.inputs
        if note.kind == "parameter"
    ]
    assert {note.stats.mean for note in weights if note.stats} == {0.5}


def test_files_are_still_open_when_one_comes_back_to_a_page() -> None:
    each = lesson("squeeze-excite")
    weights = pt(dict(each.build(each.settings()).state_dict()))
    app = page(each.key, ("a.png", png((40, 20))), ("w.pt", weights))
    before = said(app)
    app.switch_page("pages/2_Open_a_trace.py").run()
    finished(app.switch_page("pages/1_Walkthrough.py").run())
    assert "a.png (40×20)" in said(app)
    assert said(app) == before
    opened(app, ("b.png", png((4, 4), (0, 0, 255))))
    assert first_input(app)[0, :3, 0, 0].tolist() == pytest.approx([0, 0, 1], abs=0.003)
    for name in ("a.png", "w.pt"):
        (button,) = [each for each in app.button if each.label == f"Close `{name}`"]
        finished(button.click().run())
    assert "a.png" not in said(app)
    assert "b.png (4×4)" in said(app)
    assert not [each for each in app.button if each.label.startswith("Close")]


BAD = {
    "huge": (("x.png", huge_png()), "more than the 50 million that are read"),
    "damaged": (("x.png", b"GIF89a"), "x.png cannot be read: it is damaged, or no PNG file."),
    "size": (
        ("x.npy", npy(torch.ones(1, 3, 4, 4))),
        "x.npy has the shape (1, 3, 4, 4), and x has (2, 64, 14, 14) at these sizes",
    ),
    "objects": (
        ("x.pt", pt({"w": io.BytesIO})),  # type: ignore[dict-item]
        "x.pt holds Python objects, which are not read since reading them runs code",
    ),
    "weights": (
        ("w.pt", pt({"conv.weight": torch.ones(3)})),
        "Nothing of w.pt fits the module: it has conv.weight, and the module",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_sentence_and_the_shapes_stay(kind: str) -> None:
    file, words = BAD[kind]
    app = page("squeeze-excite", file)
    (error,) = app.error
    assert words in plain(error.value)
    assert not app.exception
    assert "Graph" in [option for each in app.segmented_control for option in each.options]
    if kind == "huge":
        app.session_state["language"] = "zh"
        app.run()
        assert "超过可读取的 5000 万" in plain(app.error[0].value)
        app.session_state["language"] = "en"
    opened(app)
    assert not app.error


def test_a_picture_is_for_inputs_that_are_pictures() -> None:
    app = page("non-local-1d", ("cat.png", png((40, 20))))
    assert "cat.png is a picture, and x has the dimensions B C T" in said(app)


def test_of_two_files_for_one_input_the_later_counts() -> None:
    app = page("squeeze-excite", ("a.png", png((40, 20))), ("b.png", png((4, 4), (0, 0, 255))))
    assert first_input(app)[0, :3, 0, 0].tolist() == pytest.approx([0, 0, 1], abs=0.003)
    assert "a.png (" not in said(app)


def test_of_several_inputs_one_is_chosen() -> None:
    app = page("hacnn-regions", ("cat.png", png((40, 20))), B=2, H=64, W=32, U=64, V=32)
    (role,) = [box for box in app.selectbox if "cat.png" in box.label]
    assert role.value == "x"
    assert list(role.options) == ["Input x", "Input source"]
    finished(role.set_value("source").run())
    view = app.session_state["view"]
    assert [each.role for each in view.own] == ["source"]
    source = runs.tensor(view, runs.values(view).trace.inputs[1].id)
    assert source[:, 2].abs().max() < 0.01
