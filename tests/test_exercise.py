"""An exercise as text, what is handed in, and the table of who missed what."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from tests.apps import page
from tests.test_marked_texts import MARK, shows_marked
from ui import shipped
from ui.exercise import STATES, Handed, asked, codes, exercise_text, handed, packed


def test_steps_that_only_hand_on_are_not_asked() -> None:
    trace = shipped.default("squeeze-excite")
    assert trace is not None
    found = [step.expression for step in asked(trace)]
    assert "pooled.view(B, C)" in found
    assert "relu(hidden)" not in found


def test_what_is_handed_in_is_read() -> None:
    steps = [[3, "later", ["a rule"], "so"], [1, "first", [], ""]]
    text = packed({"exercise": "abc", "name": "Ada", "steps": steps})
    assert handed(text) == Handed(
        "abc", "Ada", {3: ("later", ("a rule",), "so"), 1: ("first", (), "")}
    )


@pytest.mark.parametrize(
    "text",
    ["", "x", "!", "ÿ", packed([]), packed({"steps": 3}), "W" * 300_000, packed(None), "[" * 999],
)
def test_a_damaged_code_is_none(text: str) -> None:
    assert handed(text) is None


def test_strange_entries_of_a_code_are_left_out() -> None:
    steps = [[1, "won", [], ""], ["1", "first", [], ""], [1], 1, [2, "none", {}, ""]]
    found = handed(packed({"steps": [*steps, [4, "none", [], ""]], "name": 5}))
    assert found == Handed("", "5", {4: ("none", (), "")})
    assert [*codes("a\n b\tc ")] == ["a", "b", "c"]


def dialog() -> None:
    from ui.exercise import shown
    from ui.run import at_default
    from ui.view import default_view

    run = at_default(default_view("squeeze-excite"))
    assert run is not None
    shown(run, {"lesson": "squeeze-excite"})


def test_the_page_of_a_lesson_has_the_way_to_it() -> None:
    app = page("pages/1_Walkthrough.py", lesson="squeeze-excite", lang="en")
    (button,) = [each for each in app.button if each.label == "Exercise"]
    assert not button.click().run().exception


def test_the_link_holds_the_exercise_and_codes_become_a_table() -> None:
    app = AppTest.from_function(dialog, default_timeout=600).run()
    assert not app.exception
    (link,) = [each.value for each in app.code if "exercise=" in each.value]
    text = link.partition("exercise=")[2].partition("&")[0]
    trace = shipped.default("squeeze-excite")
    assert trace is not None
    first = [step.index for step in asked(trace)[:3]]
    assert text == exercise_text("Exercise", [(index, "", "") for index in first])
    steps = [[index, state, [MARK], MARK] for index, state in zip(first, STATES, strict=False)]
    code = packed({"exercise": text[-12:], "name": MARK, "steps": steps})
    (box,) = app.text_area
    box.set_value(f"{code}\nbroken").run()
    assert not app.exception
    assert [each.value for each in app.warning] == ["Damaged codes, which are left out: 1."]
    (table,) = [each.value for each in app.markdown if each.value.startswith("| name |")]
    assert "right at first" in table
    assert not shows_marked(table)
    assert not app.info
    other = packed({"exercise": "another", "name": "Bo", "steps": steps})
    app.text_area[0].set_value(f"{code}\n{other}").run()
    assert "another exercise" in app.info[-1].value
    assert len(table.splitlines()) == 3
