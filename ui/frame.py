"""What every page begins with."""

from __future__ import annotations

import gc
from functools import cache
from pathlib import Path

import streamlit as st

from tracer.views import colours
from ui import language, push, reload
from ui.language import say

_HERE = Path(__file__).parent
_frozen = False


def frame(title: str, page: str) -> bool:
    """Set up the page: its title, its look and the way to the others. Returns whether the reader
    has just arrived here, be it by the browser's back or forward button: the address is to be read
    then, and at no other time."""
    _freeze()
    push.nothing()
    arrived = st.session_state.get("page") != page
    st.session_state["page"] = page
    context = st.runtime.scriptrunner.get_script_run_ctx()
    went_back = context is not None and context.is_history_navigation
    if arrived or went_back:
        count, _ = st.session_state.get("read", (0, ""))
        st.session_state["read"] = (count + 1, "" if context is None else context.query_string)
        language.read_link(went_back)
    st.set_page_config(
        page_title=f"{say(title)} · Shapewalk",
        page_icon=(_HERE / "icon.svg").read_text(encoding="utf-8"),
        layout="wide",
        initial_sidebar_state="auto",
        menu_items={
            "About": say("Shapewalk: walk through the shapes of a real PyTorch forward pass.")
        },
    )
    st.html(f"<style>{_style()}</style>")
    with st.sidebar, st.container(key="ways", gap="xxsmall"):
        for page, label, icon in (
            ("app.py", "Shapewalk", "grid_view"),
            ("pages/1_Walkthrough.py", say("Walkthrough"), "directions_walk"),
            ("pages/2_Open_a_trace.py", say("Open a trace"), "file_open"),
            ("pages/3_Debug.py", say("Debug"), "troubleshoot"),
        ):
            icon = f":material/{icon}:"
            st.page_link(page, label=label, icon=icon)
        language.switch()
        reload.button()
    return arrived or went_back


@cache
def _style() -> str:
    return colours.style(":root") + (_HERE / "style.css").read_text(encoding="utf-8")


def _freeze() -> None:
    """Python collects garbage when enough new objects have come together; walking through all that
    torch has imported makes this slow, and none of it is ever garbage."""
    global _frozen
    if not _frozen:
        gc.collect()
        gc.freeze()
        _frozen = True
