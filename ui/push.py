"""A page is drawn anew when the server has something new for it, without the browser asking.

Streamlit's own timer (`run_every`) asks from the browser, and what the reader does at that moment
is lost to it: with each question the browser sends the page and the controls that it still shows,
and of two requests that meet, the later one names the page.  A question on its way while the
reader goes back undoes the way back.  Here the server starts the run by itself, and only while it
has nothing else to do for this reader.

All that this needs of Streamlit's inner parts is here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime import Runtime
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState
from streamlit.runtime.session_manager import SessionManager

POLL = 0.1
"""Seconds between looks."""


@dataclass(eq=False)
class _Waiting:
    ready: Callable[[], bool]
    fragment: str | None


_waiting: dict[str, _Waiting] = {}
"""By session: what its page, as it was drawn last, waits for."""


def nothing() -> None:
    """The page is drawn anew: what it waited for does not matter any more."""
    context = get_script_run_ctx()
    if context is not None:
        _waiting.pop(context.session_id, None)


def sessions() -> SessionManager | None:
    """Those of the server that draws the page; None where a test stands in for a server."""
    if get_script_run_ctx() is None or not st.runtime.exists():
        return None
    return getattr(st.runtime.get_instance(), "_session_mgr", None)


def reader() -> Callable[[], bool]:
    """Whether the browser that the page is drawn for is still connected: may be asked by any thread
    at any time.  One that comes back draws the page anew."""
    context, known = get_script_run_ctx(), sessions()
    if context is None or known is None:
        return lambda: True
    session = context.session_id
    return lambda: known.get_active_session_info(session) is not None


def when(ready: Callable[[], bool]) -> None:
    """Run the page again, or in a fragment this fragment, as soon as `ready` says so.  It is asked
    again and again, by the server's own thread, and must answer at once."""
    context = get_script_run_ctx()
    if context is None or not st.runtime.exists():
        return  # run by a test, which runs it again by itself
    runtime = st.runtime.get_instance()
    session = context.session_id
    waiting = _waiting[session] = _Waiting(ready, ThreadState.get().fragment_id)
    loop = runtime._get_async_objs().eventloop

    def look() -> None:
        if _waiting.get(session) is waiting and not _drawn(runtime, session, waiting):
            loop.call_later(POLL, look)

    with contextlib.suppress(RuntimeError):  # the server has ended while the page was drawn
        loop.call_soon_threadsafe(loop.call_later, POLL, look)


def _drawn(runtime: Runtime, session_id: str, waiting: _Waiting) -> bool:
    """Whether the wait is over: the page is being drawn, or there is no reader any more."""
    found = runtime._session_mgr.get_active_session_info(session_id)
    if found is None:
        _waiting.pop(session_id, None)
        return True
    session = found.session
    if session._scriptrunner is not None or not waiting.ready():
        return False
    _waiting.pop(session_id, None)
    run_again(session, waiting.fragment)
    return True


def run_again(session: AppSession, fragment: str | None = None) -> None:
    """Draw the session's page, or a fragment of it, at the page and the address of its last run;
    the controls are as the server knows them."""
    state = ClientState()
    state.CopyFrom(session._client_state)
    state.fragment_id = fragment or ""
    session.request_rerun(state)
