"""The walkthrough and the page that opens traces, as Streamlit runs them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from modules import LESSONS, lesson
from modules.lesson import run
from tests.apps import enough_memory as enough_memory
from tests.apps import page
from tests.effort import TIMES, one_of_each
from tests.together import together
from tracer.document import SCHEMA
from ui.run import Run, at_default, forecast, formulated, outline, values
from ui.view import default_view, preset_view, to_query

KEYS = [each.key for each in LESSONS]
PAGES = sorted((Path(__file__).parent.parent / "pages").glob("*.py"))


pytestmark = pytest.mark.usefixtures("enough_memory")


def walkthrough(**query: str) -> AppTest:
    return page("pages/1_Walkthrough.py", **query)


def finished(app: AppTest) -> AppTest:
    """Until the values are there, and on the page."""
    if "job" in app.session_state and (job := app.session_state["job"]) is not None:
        assert job.wait(600), "the run does not end"
        app.run()
    return app


def control(app: AppTest, name: str):
    """The number of this name, which has another key when code has changed it (`ui/held.py`)."""
    (found,) = [box for box in app.number_input if re.fullmatch(rf"{name}(/\d+)?", box.key)]
    return found


def view_of(app: AppTest):
    return app.session_state["view"]


def run_of(app: AppTest) -> Run:
    return at_default(view_of(app)) or app.session_state["job"].run


def plain(markdown: str) -> str:
    return re.sub(r"\\(.)", r"\1", markdown)


def said(app: AppTest) -> str:
    return "\n".join(plain(box.value) for box in (*app.warning, *app.error, *app.info))


def with_formulas(app: AppTest) -> AppTest:
    """Until the formulas are there as well."""
    for _ in range(6_000):
        view = view_of(app)
        if at_default(view) is not None:
            return app
        if formulated(view, outline(view)) or formulated(view, values(view)):
            return app.run()
        time.sleep(0.1)
        app.run()
    raise AssertionError("no formulas come")


@together("page", PAGES, ids=lambda page: page.stem)
def test_pages_are_thin(page: Path) -> None:
    assert len(page.read_text().splitlines()) < 80


@pytest.mark.parametrize("key", one_of_each(KEYS, every=3))
def test_every_lesson_opens(key: str) -> None:
    app = finished(walkthrough(lesson=key))
    assert not app.exception
    assert not app.error
    assert app.title[0].value == lesson(key).title
    assert view_of(app) == default_view(key)
    assert "job" not in app.session_state, "nothing was run"
    assert at_default(view_of(app)) is not None


def test_another_input_is_run_and_the_way_back_is_not() -> None:
    app = walkthrough(lesson="squeeze-excite")
    control(app, "squeeze-excite/seed").set_value(1).run()
    assert view_of(finished(app)).seed == 1
    assert not app.exception
    job = app.session_state["job"]
    assert job.view == view_of(app)
    assert job.run.trace.values
    control(app, "squeeze-excite/seed").set_value(0).run()
    assert not app.exception
    assert view_of(app) == default_view("squeeze-excite")
    assert app.session_state["job"] is None


@pytest.mark.parametrize("key", one_of_each(KEYS, every=3))
def test_every_preset_can_be_chosen(key: str) -> None:
    # From sizes of one's own, so that each preset is a change.
    size = lesson(key).sizes[0]
    app = walkthrough(lesson=key, show="shapes", **{size.name: str(size.high)})
    presets = lesson(key).presets
    # In tests/test_ui_run.py the shapes of all of them are at hand.
    runs = [preset for preset in presets if preset.breaks is None]
    for preset in presets if TIMES > 1 else (runs[-1], presets[0]):
        # With values each is run in `tests/modules/test_lessons.py`.
        app.session_state["unwanted"] = preset_view(default_view(key), preset.name)
        app.selectbox(key=f"choose/{key}/preset/en").set_value(preset.name).run()
        assert not app.exception
        assert view_of(app) == preset_view(default_view(key), preset.name)
        for size in lesson(key).sizes:
            shown = control(app, f"{key}/{size.name}").value
            assert shown == lesson(key).settings(preset.name)[size.name]


def test_a_link_without_a_lesson_opens_the_first() -> None:
    assert view_of(walkthrough(show="shapes")).lesson == KEYS[0]


# What is said of other links, `tests/test_ui_view.py` asks without a page.
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"lesson": "<script>alert(1)</script>"}, "There is no lesson"),
        ({"lesson": "fbkd-student", "B": "999999999"}, "`B=999,999,999` is outside 1 to"),
        ({"lesson": "fbkd-student", "show": "all"}, "`show=all` is not one of `values`, `shapes`"),
    ],
)
def test_a_broken_link_shows_something_and_says_what_is_wrong(
    query: dict[str, str], says: str
) -> None:
    app = walkthrough(**{"show": "shapes", "C": "8", **query})
    assert not app.exception
    assert says in said(app)
    assert app.title[0].value


def test_a_complaint_about_the_link_goes_with_the_next_change() -> None:
    app = walkthrough(lesson="fbkd-student", B="-3", show="shapes")
    assert "B=-3" in said(app)
    app.number_input(key="fbkd-student/H").set_value(20).run()
    assert said(app) == ""
    assert dict(view_of(app).settings)["H"] == 20
    assert dict(view_of(app).settings)["B"] == 1


@pytest.mark.parametrize("step", ["banana", "999999", ""])
def test_a_junk_step_is_the_player_s_to_ignore(step: str) -> None:
    app = walkthrough(lesson="fbkd-student", step=step, show="shapes")
    assert not app.exception
    assert said(app) == ""


def test_what_cannot_be_built_is_said_and_the_way_back_works() -> None:
    app = walkthrough(lesson="fbkd-student", C="1", show="shapes")
    assert not app.exception
    assert "cannot be built with" in app.error[0].value
    app.number_input(key="fbkd-student/C").set_value(16).run()
    assert not app.error


def test_what_does_not_fit_is_shown_as_shapes_with_advice() -> None:
    app = walkthrough(lesson="fbkd-teacher", B="16", reduction="2", sub_sample="false")
    assert not app.exception
    (warning,) = app.warning
    assert "54400" in warning.value
    assert "Reduce" in warning.value
    assert "job" not in app.session_state


def test_changing_every_control_in_turn() -> None:
    app = finished(walkthrough(lesson="fbkd-student", C="16", H="8", W="8"))
    app.segmented_control(key="fbkd-student/kind/en").set_value("ramp").run()
    assert view_of(finished(app)).kind == "ramp"
    app.segmented_control(key="fbkd-student/training/en").set_value(True).run()
    assert view_of(finished(app)).training
    app.number_input(key="fbkd-student/seed").set_value(12).run()
    assert view_of(finished(app)).seed == 12
    app.segmented_control(key="fbkd-student/values/en").set_value(False).run()
    assert not view_of(finished(app)).values
    app.selectbox(key="choose/fbkd-student/mode/en").set_value("gaussian").run()
    assert dict(view_of(app).settings)["mode"] == "gaussian"
    app.selectbox(key="choose/lesson/en").set_value("eca-image").run()
    assert view_of(finished(app)) == default_view("eca-image")
    assert not app.exception


def test_formulas_of_a_view_that_was_left_are_not_looked_for() -> None:
    app = walkthrough(lesson="eca-image", C="44", show="shapes")
    left = app.session_state["formulas"]
    app.number_input(key="eca-image/C").set_value(52).run()
    assert left.cancelled
    assert app.session_state["formulas"].view == view_of(app)
    assert not app.session_state["formulas"].cancelled


def test_a_cancelled_run_leaves_the_shapes_and_can_be_taken_up_again() -> None:
    app = walkthrough(lesson="eca-image", C="8", H="8", W="8")
    app.session_state["unwanted"] = view_of(app)
    app.run()
    assert "cancelled" in said(app)
    app.button(key="again").click().run()
    finished(app)
    assert said(app) == ""
    assert app.session_state["job"].run.trace.values


TABS = ("Graph", "Table", "Inspector", "Claims", "Source")


def of_lessons(tab: str) -> list[Any]:
    """Every lesson with a tab; in everyday tests one tab of each, and each tab of several."""
    here = TABS.index(tab)
    return [
        pytest.param(tab, key, marks=() if here == n % len(TABS) else pytest.mark.deep)
        for n, key in enumerate(KEYS)
    ]


@pytest.mark.parametrize(("tab", "key"), [each for tab in TABS for each in of_lessons(tab)])
def test_every_tab_of_every_lesson(tab: str, key: str) -> None:
    cheapest = min(
        (p for p in lesson(key).presets if p.values and p.breaks is None),
        key=lambda p: forecast(outline(preset_view(default_view(key), p.name)).trace).bytes,
    )
    app = AppTest.from_file("../app.py", default_timeout=600)
    app.switch_page("pages/1_Walkthrough.py")
    app.session_state["open-tab"] = tab
    for name, value in to_query(preset_view(default_view(key), cheapest.name)).items():
        app.query_params[name] = value
    finished(app.run())
    assert not app.exception
    assert not app.error
    expected = {"Graph": "Level", "Inspector": "Tensor"}
    if tab in expected:
        assert expected[tab] in {box.label for box in app.selectbox}
    if tab == "Source":
        assert any(lesson(key).paper.link in words.value for words in app.markdown)
    if tab == "Table":
        assert len(app.dataframe[0].value) == len(run_of(app).trace.steps)
    if tab == "Claims" and lesson(key).claims:
        assert any("checked against a run" in words.value for words in app.markdown)


# --- opening a trace --------------------------------------------------------------------------


def opening() -> AppTest:
    return page("pages/2_Open_a_trace.py")


def upload(app: AppTest, name: str, content: bytes) -> AppTest:
    app.file_uploader[0].set_value((name, content, "application/json"))
    return app.run()


def small_trace() -> bytes:
    settings = {**lesson("eca-image").settings(), "B": 1, "C": 4, "H": 3, "W": 3}
    return run(lesson("eca-image"), settings).to_json().encode()


def test_a_saved_trace_opens() -> None:
    app = upload(opening(), "t.json", small_trace())
    assert not app.exception
    assert not app.error
    opened = app.session_state["opened"].trace
    assert opened.to_json().encode() == app.session_state["opened"].trace.to_json().encode()
    assert opened.values


def hostile() -> bytes:
    body = json.loads(small_trace())
    script = "<script>alert(1)</script><img src=x onerror=alert(1)>"

    def poison(value: object) -> object:
        if isinstance(value, dict):
            return {k: poison(v) for k, v in value.items()}
        if isinstance(value, list):
            return [poison(v) for v in value]
        return value

    for step in body["trace"]["steps"]:
        step.update(op=script, module=script, note=script, targets=[script], arguments=[script])
        step["place"].update(expression=script, statement=script, file=script, function=script)
    body["trace"]["name"] = script
    for tensor in body["tensors"]:
        tensor["name"] = script
    return json.dumps(poison(body)).encode()


def newer() -> bytes:
    return small_trace().replace(f'"schema":{SCHEMA}'.encode(), b'"schema":99', 1)


def wrong_types() -> bytes:
    body = json.loads(small_trace())
    body["trace"]["steps"][0]["line"] = {}
    body["trace"]["steps"][0]["seconds"] = "soon"
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a trace file"),
        (b"\xff\xfe\x00", "not a trace file"),
        (b"{}", "not a trace file"),
        (b"[[[[[[" * 20_000, "not a trace file"),
        (small_trace()[:-40], "not a trace file"),
        (newer(), "schema 99, newer than"),
        (wrong_types(), "should be a finite number"),
    ],
    ids=["empty", "bytes", "object", "deep", "cut", "newer", "types"],
)
def test_a_bad_file_gets_one_sentence_and_loses_nothing(content: bytes, says: str) -> None:
    app = upload(opening(), "good.json", small_trace())
    good = app.session_state["opened"]
    upload(app, "bad.json", content)
    assert not app.exception
    (error,) = app.error
    assert "bad.json" in plain(error.value)
    assert says in plain(error.value)
    assert len(error.value) < 400
    assert app.session_state["opened"] is good
    upload(app, "again.json", small_trace())
    assert not app.error


def test_script_in_every_text_is_only_text() -> None:
    app = upload(opening(), "hostile.json", hostile())
    assert not app.exception
    assert not app.error
    for element in (*app.markdown, *app.caption):
        assert not (element.allow_html and "alert(1)" in element.value)


# --- formulas -----------------------------------------------------------------------------------


def test_a_setting_that_violates_a_constraint_says_which() -> None:
    app = with_formulas(finished(walkthrough(lesson="fbkd-student", B="1", C="8", H="8", W="8")))
    assert "must be" not in said(app)
    (control,) = [each for each in app.number_input if each.label == "H"]
    assert "With the other sizes as they are: 4 to 512." in control.help
    control.set_value(3).run()
    assert "H must be at least maxpool_stride." in said(app)


def test_what_doubling_a_size_does() -> None:
    app = with_formulas(finished(walkthrough(lesson="non-local")))
    app.session_state["open-tab"] = "Cost"
    app.run()
    assert not app.exception
    texts = [plain(box.value) for box in app.markdown]
    (doubled,) = [text for text in texts if text.startswith("Doubling")]
    assert re.fullmatch(
        r"Doubling \*\*[HW]\*\* from 10 to 20: memory × .*, operations × .*", doubled
    )
    assert [metric.label for metric in app.metric] == [
        "Memory of all results",
        "Floating-point operations",
        "Parameters",
    ]
