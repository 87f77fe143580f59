"""Torch and the lessons' code: loaded when something is run first, or while lessons are read."""

from __future__ import annotations

import gc
import os
import threading

import streamlit as st

from ui import apart, push
from ui.language import say

VARIABLE = "SHAPEWALK_LOAD"
"""The environment variable that is `asked` where torch is to be loaded when something is run, and
not before."""

_loaded = threading.Event()
_loading = threading.Lock()
_begun = threading.Event()


def now() -> None:
    """Load what a run needs; while that takes its time, the page says so."""
    if _loaded.is_set():
        return
    with st.spinner(say("Loading PyTorch …")):
        _load()


def soon() -> None:
    """Load it beside the page, which needs none of it: whoever reads a lesson is about to change
    something."""
    if _begun.is_set() or push.sessions() is None or os.environ.get(VARIABLE) == "asked":
        return
    _begun.set()

    def load() -> None:
        _load()
        apart.ask(apart.ready)

    threading.Thread(target=load).start()


def _load() -> None:
    with _loading:
        if _loaded.is_set():
            return
        import torch

        import modules  # noqa: F401 - with all that they import
        import tracer.formulas.proof  # noqa: F401 - with sympy
        from tracer import trace

        # A first run loads much of torch's own Python.
        trace(torch.nn.Linear(2, 2), torch.ones(1, 2), values=False)
        # Walking through what torch has imported makes Python's collector slow, and none of it is
        # ever garbage.
        gc.collect()
        gc.freeze()
        _loaded.set()
