"""The reader's language: what the link says, else what was chosen, else the browser's.

`python -m ui.language` brings `zh.po`, the pages' own texts, up to date with the calls of `say`
and `said`.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from modules import chinese
from tracer.language import extracted, read, translations, translator, update
from tracer.sentences import Said, agreeing, render
from ui.held import segments

LANGUAGES = {"en": "English", "zh": "中文"}

ROOT = Path(__file__).parents[1]
FILE = ROOT / "ui" / "zh.po"
PARAMETER = "lang"
"""Of the address."""

_CHOSEN = "language"

_found = threading.local()
"""The language of the page that this thread draws: `of` a drawing, `language`."""


def language() -> str:
    """A key of `LANGUAGES`."""
    context = get_script_run_ctx()
    if context is None:
        return _chosen()
    # A page says a hundred texts; Streamlit begins each drawing with cursors of its own.
    if getattr(_found, "of", None) is not context.cursors:
        _found.language, _found.of = _chosen(), context.cursors
    return str(_found.language)


def _choose(chosen: str | None) -> None:
    st.session_state[_CHOSEN] = chosen
    _found.of = None


def _chosen() -> str:
    chosen = st.session_state.get(_CHOSEN)
    if chosen is not None:
        return str(chosen)
    preferred = (st.context.locale or "").lower()
    return "zh" if preferred.split("-")[0] == "zh" else "en"


def say(text: str, /, **values: Any) -> str:
    """A text of a page or of a lesson in the reader's language; `{name}` in it are filled in, and
    English nouns agree with the numbers before them."""
    if language() == "zh":
        text = _page_texts().get(text) or chinese.chinese(text) or text
    return agreeing(text, values).format(**values) if values else text


def told(sentence: Said) -> str:
    """A sentence of a page, of a lesson or of the tracer in the reader's language."""
    known = translator(language())

    def translate(text: str) -> str:
        found = say(text)
        return known(text) if found == text else found

    return render(sentence, translate)


@functools.cache
def _page_texts() -> dict[str, str]:
    return translations(read(FILE))


# --- the address -----------------------------------------------------------------------------


def read_link(went_back: bool) -> None:
    """Take the language from the address at which the reader has just arrived.  The way from page
    to page says nothing of it; the way back in the browser's history does, by silence too."""
    asked = st.query_params.get(PARAMETER)
    if asked in LANGUAGES:
        _choose(asked)
    elif went_back:
        _choose(None)


def link() -> dict[str, str]:
    """What a link to the current page says of the language: nothing, unless it was chosen."""
    chosen = st.session_state.get(_CHOSEN)
    return {} if chosen is None else {PARAMETER: chosen}


def switch() -> None:
    """The control by which a reader chooses."""
    look = {"label_visibility": "collapsed"}
    segments("Language · 语言", LANGUAGES, "choose/language", language(), _choose, **look)


def name() -> None:
    """Tell the browser which language the page is in: by it a page is spoken and hyphenated."""
    told = f"<script>document.documentElement.lang = {json.dumps(language())}</script>"
    st.html(told, unsafe_allow_javascript=True)


# --- what there is to translate ---------------------------------------------------------------


def texts() -> Mapping[str, str]:
    """Every text that a page says: {text: where it is}."""
    paths = sorted([ROOT / "app.py", *ROOT.glob("pages/*.py"), *ROOT.glob("ui/*.py")])
    return extracted(paths, ["say", "said", "frame"], ROOT)


if __name__ == "__main__":
    update(FILE, texts())
