"""Who may connect to a served app, who may frame it, and what a stranger is told of its errors.

Streamlit takes connections from any page of this machine's other servers, and looks up the
machine's address on the internet before it refuses one from elsewhere.  Here a page connects to the
server that it came from, unless its operator names others (`server.corsAllowedOrigins`), and is
framed by it alone, unless he names others (`SHAPEWALK_FRAMES=https://example.org`); in a frame no
code is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import streamlit as st

from ui import access
from ui.language import say

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REFUSED = 1008
"""The code by which a connection is closed that breaks a rule."""


class Guard:
    """Stands before the app as ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and not may_connect(_headers(scope)):
            await receive()
            await send({"type": "websocket.close", "code": REFUSED})
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_policy()]
            await send(message)

        await self.app(scope, receive, told if scope["type"] == "http" else send)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def may_connect(headers: dict[str, str]) -> bool:
    """Whether a connection with these headers, their names in small letters, comes from a page of
    this server, or from no page at all."""
    origin = headers.get("origin")
    if origin is None or origin in (st.get_option("server.corsAllowedOrigins") or ()):
        return True
    try:
        return urlsplit(origin).netloc == headers.get("host")
    except ValueError:
        return False


def _policy() -> list[tuple[bytes, bytes]]:
    framing = " ".join(("frame-ancestors 'self'", *access.frames()))
    return [
        (b"content-security-policy", framing.encode("latin-1", "ignore")),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
    ]


def say_little(error: Exception) -> bool:
    """What went wrong in a page is shown to whoever may run code here; to others that something
    did.  It stands in the server's log in both cases."""
    if access.runs_code():
        return False
    st.error(
        say("Something went wrong on the server. Its log says what: reload the page to go on."),
        icon=":material/error:",
    )
    return True
