"""What a lost connection has swallowed is made good when the browser comes back.

It comes back to the same session, and Streamlit goes on as if nothing had been lost:

- The browser, when it was not told which page it is on, asks for the first one.
- The server sends the rest of the run whose beginning was lost.  The browser cannot place it and
  leaves a white page.  So nothing is sent before a run begins anew.
- A control's value that code has chosen is sent once.  The browser that never heard it draws the
  control at its own default, another value than the page has.  So each control whose value the
  browser does not send by itself is given its value anew, until it does.

Or it comes back to a server that knows nothing of it, since it was started anew or has forgotten
the session: then the page is drawn as its address says, and its controls are others than those of
the session before (`held`), whose values the browser still sends.

All that this needs of Streamlit's inner parts is here and in `push`.
"""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import Runtime
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.state.session_state import SessionState

from ui import push

SETTABLE = frozenset(
    {
        "bool_value",
        "int_value",
        "double_value",
        "string_value",
        "int_array_value",
        "double_array_value",
        "string_array_value",
    }
)
"""Kinds of values that code may assign to a control: no buttons, no files."""

_CONNECTION, _UNHEARD = "connection", "unheard"

LIFE = "life"
"""What tells the controls of a session from those that its browser has from an earlier one."""


def make_good() -> bool:
    """To be called before the first control of a page is drawn.  Whether the browser has just come,
    or come back: then its address says where it is, even if it asks for another page."""
    context = get_script_run_ctx()
    if context is None or not st.runtime.exists():
        return False
    runtime = st.runtime.get_instance()
    sessions = getattr(runtime, "_session_mgr", None)  # None where a test stands in for a server
    known = None if sessions is None else sessions.get_active_session_info(context.session_id)
    if known is None:
        return False
    connection: _Connection | None = st.session_state.get(_CONNECTION)
    if connection is None:
        connection = st.session_state[_CONNECTION] = _Connection(runtime, known.session)
        had = context.session_state._state._new_widget_state.states
        st.session_state[LIFE] = context.session_id[:8] if had else ""
    state = context.session_state._state
    came = connection.heard is not known.client
    if came and connection.heard is not None:
        st.session_state[_UNHEARD] = _settable(state)
    connection.heard = known.client
    unheard: set[str] = st.session_state.get(_UNHEARD, set())
    for key in list(unheard):
        if state._get_widget_id(key) in state._new_widget_state.states:
            unheard.discard(key)
        elif key in st.session_state:
            st.session_state[key] = st.session_state[key]  # which sends it
    return came


def _settable(state: SessionState) -> set[str]:
    """Every key to which code may assign a value, also where its control was not drawn yet."""
    fixed = set()
    for widget, key in state._key_id_mapper.id_key_mapping.items():
        metadata = state._new_widget_state.widget_metadata.get(widget)
        if metadata is None or metadata.value_type not in SETTABLE:
            fixed.add(key)
    return {str(key) for key in st.session_state} - fixed


class _Connection:
    """What a session sends, without the rest of a run whose beginning another connection lost.

    `heard` is the connection for which the page was drawn last, `sent` the one that was last sent
    something.
    """

    def __init__(self, runtime: Runtime, session: AppSession) -> None:
        self.heard: Any = None
        self.sent: Any = None
        self.torn = False
        self._runtime = runtime
        self._session = session
        self._flush = session.flush_browser_queue
        session.flush_browser_queue = self._whole  # type: ignore[method-assign]

    def _whole(self) -> list[ForwardMsg]:
        messages = self._flush()
        known = self._runtime._session_mgr.get_active_session_info(self._session.id)
        client = None if known is None else known.client
        if client is not self.sent:
            self.torn = self.sent is not None
            self.sent = client
        if not self.torn or not messages:
            return messages
        for index, message in enumerate(messages):
            if message.WhichOneof("type") == "new_session":
                self.torn = False
                return messages[index:]
        if self._session._scriptrunner is None:
            # The browser did not know that a run had begun, and has not asked for another.
            push.run_again(self._session)
        return []
