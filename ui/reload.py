"""For those who edit lessons or pages: a key that reads them anew.

Nothing watches the files (`fileWatcherType` in `.streamlit/config.toml`), since looking at all that
torch imports takes longer than most reruns.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import streamlit as st

from ui import apart
from ui.language import say
from ui.serve import EDIT

_ROOT = Path(__file__).resolve().parents[1]
_OWN = (_ROOT / "modules", _ROOT / "ui")


def button() -> None:
    """The button with the key, where the app was started for this."""
    if os.environ.get(EDIT) == "1":
        help = say("Reads lessons and pages anew; a change of `tracer/` needs a restart.")
        st.button(say("Reload"), key="reload", shortcut="L", help=help, on_click=_forget)


def _forget() -> None:
    """Forget the code of lessons and pages, with all that was made of it: what the page shows is
    read from its address again, as for a reader who arrives."""
    apart.stop()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and any(Path(file).is_relative_to(each) for each in _OWN):
            del sys.modules[name]
    importlib.invalidate_caches()
    st.session_state.clear()
