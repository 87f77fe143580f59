"""What every page begins with."""

from __future__ import annotations

import gc
from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
_frozen = False


def frame(title: str, page: str) -> bool:
    """Set up the page: its title, its look and the way to the others. Returns whether the reader
    has just arrived here: the address is to be read then, and at no other time."""
    _freeze()
    st.set_page_config(
        page_title=f"{title} · Shapewalk",
        page_icon=(_HERE / "icon.svg").read_text(encoding="utf-8"),
        layout="wide",
        initial_sidebar_state="auto",
        menu_items={"About": "Shapewalk: walk through the shapes of a real PyTorch forward pass."},
    )
    st.html(_HERE / "style.css")
    with st.sidebar, st.container(key="ways", gap="xxsmall"):
        st.page_link("app.py", label="Shapewalk", icon=":material/grid_view:")
        st.page_link(
            "pages/1_Walkthrough.py", label="Walkthrough", icon=":material/directions_walk:"
        )
        st.page_link("pages/2_Open_a_trace.py", label="Open a trace", icon=":material/file_open:")
    arrived = st.session_state.get("page") != page
    st.session_state["page"] = page
    return arrived or _went_back()


def _went_back() -> bool:
    """Whether this run was started by the browser's back or forward button."""
    context = st.runtime.scriptrunner.get_script_run_ctx()
    return context is not None and context.is_history_navigation


def _freeze() -> None:
    """Streamlit collects garbage after every run of a script; walking through all that torch has
    imported makes this slow, and none of it is ever garbage."""
    global _frozen
    if not _frozen:
        gc.collect()
        gc.freeze()
        _frozen = True
