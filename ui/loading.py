"""Torch and the lessons' code: loaded when something is run first."""

from __future__ import annotations

import gc
import threading

import streamlit as st

from ui.language import say

_loaded = threading.Event()


def now() -> None:
    """Load what a run needs; while that takes its time, the page says so."""
    if _loaded.is_set():
        return
    with st.spinner(say("Loading PyTorch …")):
        from modules import LESSONS  # noqa: F401 - with all that they import

        # Walking through what torch has imported makes Python's collector slow, and none of it is
        # ever garbage.
        gc.collect()
        gc.freeze()
    _loaded.set()
