"""Controls that show a value which the page owns, and which code may change as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import streamlit as st

from ui.lost import LIFE

Way = TypeVar("Way")


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


def segments(
    label: str,
    ways: Mapping[Any, str],
    name: str,
    value: Any,
    change: Callable[[Any], None],
    **look: Any,
) -> None:
    """A row of `ways`, each shown by its words, of which `value` is chosen: the control `name`, as
    of `held`.  `look` is handed to Streamlit's `segmented_control`."""
    st.segmented_control(
        label,
        list(ways),
        format_func=ways.__getitem__,
        default=value,
        required=True,
        **look,
        **held(name, value, change),
    )


def chosen(label: str, ways: Mapping[Way, str], kept: str, name: str) -> Way:
    """Which of the `ways` the reader has chosen, each shown by its words: the first before any.

    Args:
        label: what is chosen, for those who do not see it.
        kept: where the session has the choice.
        name: the control's, as of `held`.
    """

    def choose(way: Way) -> None:
        st.session_state[kept] = way

    shown: Any = st.session_state.get(kept)
    if shown not in ways:
        shown = next(iter(ways))
    segments(label, ways, name, shown, choose, label_visibility="collapsed")
    way: Way = shown
    return way


def _key(name: str) -> str:
    count = st.session_state.setdefault("renewed", {}).get(name, 0)
    parts = [name, str(count) if count else "", st.session_state.get(LIFE, "")]
    return "/".join(filter(None, parts))
