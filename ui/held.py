"""Controls that show a value which the page owns, and which code may change as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ui.lost import LIFE


def held(name: str, value: Any, change: Callable[[Any], None]) -> dict[str, Any]:
    """The `key` and `on_change` of the control `name`, which shows `value`; `change` is called with
    what the reader chooses instead.  `value` is to be given to the control as its default,
    which is said with each drawing; what is assigned is said once, and may be lost on the way.

    A control that code gives another value (a preset, another lesson, the back button) becomes
    another control, with a key of its own.  For the browser sends the values of all its controls
    with whatever it asks, and until it has drawn the new value it still sends the old one: of the
    same control this would be a change by the reader's hand, and undo what code has chosen.
    """
    key = _key(name)
    if key in st.session_state and st.session_state[key] != value:
        counts = st.session_state["renewed"]
        counts[name] = counts.get(name, 0) + 1
        key = _key(name)

    def changed() -> None:
        if key == _key(name):
            change(st.session_state[key])

    return {"key": key, "on_change": changed}


def _key(name: str) -> str:
    count = st.session_state.setdefault("renewed", {}).get(name, 0)
    parts = [name, str(count) if count else "", st.session_state.get(LIFE, "")]
    return "/".join(filter(None, parts))
