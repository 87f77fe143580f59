"""Who may connect to a served app, who may frame it, and what a stranger is told of its errors.

Streamlit takes connections from any page of this machine's other servers, and looks up the
machine's address on the internet before it refuses one from elsewhere.  Here a page connects to the
server that it came from, unless its operator names others (`server.corsAllowedOrigins`), and is
framed by it alone, unless he names others (`SHAPEWALK_FRAMES=https://example.org`); in a frame no
code is run.  While it listens to this machine alone it answers to this machine's names alone: other
names may have been led here by the page that uses them.  Who comes with the token of this server's
start (`access`) keeps it as a cookie that no script reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import streamlit as st
from starlette.responses import PlainTextResponse, Response

from ui import access, preload, token
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
        app = (_instead(scope) if scope["type"] == "http" else None) or self.app

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_policy(), *_parts(message)]
            await send(message)

        await app(scope, receive, told if scope["type"] == "http" else send)


def _instead(scope: Scope) -> Response | None:
    """What a request is answered without asking the app."""
    host = _headers(scope).get("host", "")
    if not _is_known(host):
        # Not the name itself, which whoever asks has chosen.
        return PlainTextResponse(
            "This server answers to this machine alone. Its operator can name others who reach it: "
            "STREAMLIT_SERVER_ALLOWED_HOSTS=shapes.example.org\n",
            status_code=421,
        )
    asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if not any(name == "token" and token.is_it(value) for name, value in asked):
        return None
    # Without the token, which is to be in no bookmark, picture or log.
    rest = urlencode([(name, value) for name, value in asked if name != "token"])
    place = "./" + quote(scope["path"].rpartition("/")[2]) + (f"?{rest}" if rest else "")
    answer = Response(status_code=303, headers={"location": place, "cache-control": "no-store"})
    answer.set_cookie(token.cookie(host), token.made(), httponly=True, samesite="strict")
    return answer


def _is_known(host: str) -> bool:
    """Whether the server answers to this name: to any where others reach it, and Streamlit itself
    looks at a list of names that its operator gives."""
    listed = st.get_option("server.allowedHosts")
    return bool(listed) or not access.listens_here_alone() or access.is_own(host)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def may_connect(headers: dict[str, str]) -> bool:
    """Whether a connection with these headers, their names in small letters, comes from a page of
    this server, or from no page at all."""
    if not _is_known(headers.get("host", "")):
        return False
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


def _parts(message: Message) -> list[tuple[bytes, bytes]]:
    """What else a page needs, where it is one that is answered with."""
    is_page = dict(message["headers"]).get(b"content-type", b"").startswith(b"text/html")
    return [preload.header()] if is_page else []


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
