"""What every page begins with."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import streamlit as st

from tracer.views import colours
from ui import language, lost, player, push, reload
from ui.language import say

_HERE = Path(__file__).parent
_frozen = False

PAGES = (
    ("walkthrough", "pages/1_Walkthrough.py", "Walkthrough"),
    ("open", "pages/2_Open_a_trace.py", "Open_a_trace"),
    ("debug", "pages/3_Your_module.py", "Your_module"),
    ("compare", "pages/4_Compare.py", "Compare"),
    ("operations", "pages/5_Operations.py", "Operations"),
)
"""The pages beside home: their names here, their files, and the ends of their addresses."""


def frame(title: str, page: str, reads: bool = False) -> bool:
    """Set up the page: its title, its look and the way to the others. Returns whether the reader
    has just arrived here, be it by the browser's back or forward button: the address is to be read
    then, and at no other time.  A page that `reads` more of it than the language says when it has
    (`read`)."""
    push.nothing()
    context = st.runtime.scriptrunner.get_script_run_ctx()
    went_back = context is not None and context.is_history_navigation
    if went_back:
        read("")
    arrived = st.session_state.get("page") != page
    if arrived:
        count, _ = st.session_state.get("read", (0, ""))
        st.session_state["read"] = (count + 1, "" if context is None else context.query_string)
        language.read_link(went_back)
        if not reads:
            read(page)
    st.set_page_config(
        page_title=f"{say(title)} · Shapewalk",
        page_icon=(_HERE / "icon.svg").read_text(encoding="utf-8"),
        layout="wide",
        initial_sidebar_state="auto",
        menu_items={
            "About": say("Shapewalk: walk through the shapes of a real PyTorch forward pass.")
        },
    )
    # Here a run that has lost its browser has ended.
    if lost.make_good():
        _where_the_address_says(page)
    word = json.dumps(say("Upload"), ensure_ascii=False)
    st.html(f"<style>{_style()}:root {{ --upload: {word}; }}</style>")
    with st.sidebar, st.container(key="ways", gap="xxsmall"):
        st.page_link("app.py", label="Shapewalk", icon=":material/grid_view:")
        for file, label, icon in (
            ("pages/1_Walkthrough.py", say("Walkthrough"), "directions_walk"),
            ("pages/2_Open_a_trace.py", say("Open a trace"), "file_open"),
            ("pages/3_Your_module.py", say("Your module"), "deployed_code"),
            ("pages/4_Compare.py", say("Compare"), "compare_arrows"),
            ("pages/5_Operations.py", say("All operations"), "function"),
        ):
            st.page_link(file, label=label, icon=f":material/{icon}:")
        language.switch()
        reload.button()
        language.name()
        _go_on_without_server()
    return arrived


def heading(title: str, lead: str) -> None:
    """What a page is called and what it is for, both in the reader's language."""
    with st.container(key="title"):
        st.title(title, anchor=False)
    st.caption(lead)


def _go_on_without_server() -> None:
    """What is in the browser works on when the server does not answer, and is told so."""
    words = say(
        "The server does not answer. You can step on; settings can be changed when it is back."
    )
    script = (_HERE / "away.js").read_text(encoding="utf-8").replace("WORDS", json.dumps(words))
    st.html(f"<script type='module'>{script}</script>", unsafe_allow_javascript=True)
    player.ask_when_back()


def _where_the_address_says(page: str) -> None:
    context = st.runtime.scriptrunner.get_script_run_ctx()
    info = None if context is None else context.context_info
    path = "" if info is None else info.url.rstrip("/").rpartition("/")[2]
    for name, file, url in PAGES:
        if name != page and url == path:
            st.switch_page(file, query_params=st.query_params.to_dict())


def read(page: str) -> None:
    """The page has taken from the address what it says.  A run that ends before this, because the
    connection broke, leaves it to the next one."""
    st.session_state["page"] = page


@cache
def _style() -> str:
    return colours.style(":root") + (_HERE / "style.css").read_text(encoding="utf-8")
