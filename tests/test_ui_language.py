"""The pages in Chinese: complete, chosen by link, browser or switch, and kept in the link."""

from __future__ import annotations

import re
from string import Formatter

import pytest
from streamlit.testing.v1 import AppTest

from modules import LESSONS, chinese, lesson
from tests.apps import families, page
from tracer.language import read, translations
from ui import language


def shown(app: AppTest) -> str:
    known = (*app.markdown, *app.caption, *app.title)
    return "\n".join(str(element.value) for element in known) + families(app)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_every_text_of_the_pages_is_translated() -> None:
    translated = translations(read(language.FILE))
    assert sorted(translated) == sorted(language.texts())
    for text, translation in translated.items():
        assert fields(text) == fields(translation), translation
        assert text.count("`") == translation.count("`"), translation
        if re.search("[a-z]{2}", re.sub(r"\{\w+\}", "", text)):
            assert re.search("[\u4e00-\u9fff]", translation), translation


def test_without_a_wish_the_page_is_english() -> None:
    app = page()
    assert LESSONS[0].teaches in shown(app)
    assert "lang" not in app.query_params


def test_home_in_chinese() -> None:
    app = page(lang="zh")
    assert not app.exception
    for each in LESSONS:
        assert (chinese.chinese(each.teaches) or "none") in shown(app)
        assert each.teaches not in shown(app)


def test_an_unknown_language_is_none() -> None:
    app = page(lang="tlh")
    assert not app.exception
    assert LESSONS[0].teaches in shown(app)


def test_search_finds_words_of_both_languages() -> None:
    app = page(lang="zh")
    for words in ("knowledge", "蒸馏"):
        app.text_input[0].set_value(words).run()
        assert (chinese.chinese(lesson("fbkd-loss").teaches) or "none") in shown(app)
        assert (chinese.chinese(lesson("evc").teaches) or "none") not in shown(app)


@pytest.mark.parametrize("key", ["squeeze-excite", "eca-image"])
def test_a_walkthrough_switches_and_keeps_the_view(key: str) -> None:
    app = page("pages/1_Walkthrough.py", lesson=key, show="shapes", B="3")
    assert app.title[0].value == lesson(key).title
    app.session_state["choose/language"] = "zh"
    app.session_state["language"] = "zh"
    app.run()
    assert not app.exception
    assert app.title[0].value == chinese.chinese(lesson(key).title)
    assert app.session_state["view"].values is False
    assert dict(app.session_state["view"].settings)["B"] == 3
    presets = next(box for box in app.selectbox if box.key == f"choose/{key}/preset/zh")
    assert presets.label == "预设"


def test_a_saved_trace_page_in_chinese() -> None:
    app = page("pages/2_Open_a_trace.py", lang="zh")
    assert app.title[0].value == "打开轨迹"
