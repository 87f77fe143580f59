"""Home, as Streamlit runs it."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from modules import LESSONS
from tests.apps import families


def home() -> AppTest:
    return AppTest.from_file("../app.py", default_timeout=600).run()


def text(app: AppTest) -> str:
    return "\n".join(each.value for each in app.title) + families(app)


def test_home_shows_every_lesson_with_its_paper_and_what_it_teaches() -> None:
    app = home()
    assert not app.exception
    shown = text(app)
    for lesson in LESSONS:
        assert lesson.teaches in shown
        assert lesson.paper.title in shown
    assert app.title[0].value == "Shapewalk"


def test_search_narrows_the_lessons() -> None:
    app = home()
    app.text_input[0].set_value("knowledge student").run()
    assert not app.exception
    shown = text(app)
    assert LESSONS[0].teaches in shown
    assert LESSONS[-1].teaches not in shown


def test_a_search_in_vain_says_so_and_the_next_one_works() -> None:
    app = home()
    app.text_input[0].set_value("*zebra*").run()
    assert "No lesson mentions" in app.info[0].value
    app.text_input[0].set_value("").run()
    assert not app.info
    assert LESSONS[-1].teaches in text(app)


def test_families() -> None:
    app = home()
    family = LESSONS[-1].family
    app.pills[0].set_value(family).run()
    shown = text(app)
    for lesson in LESSONS:
        assert (lesson.teaches in shown) == (lesson.family == family)
