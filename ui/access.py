"""Whether this server runs code that a reader gives it.

It does for a reader who came by the address that the server printed when it started, which holds a
token of this start, while nobody but this machine reaches it.  On a served address it does not,
unless its operator says so by the environment variable `SHAPEWALK_RUN_CODE=1`; `0` forbids it
everywhere.  `SHAPEWALK_TOKEN` gives a token that stays, as several servers of one site need it.
Without it readers may run the classes of the packages that `SHAPEWALK_PACKAGES=torch,timm` names,
with plain values as arguments.  Where the pages of other sites may show the app in a frame
(`SHAPEWALK_FRAMES`), no code is run.
"""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

import streamlit as st
from streamlit.runtime import Runtime

from ui import token

VARIABLE = "SHAPEWALK_RUN_CODE"
PACKAGES = "SHAPEWALK_PACKAGES"
FRAMES = "SHAPEWALK_FRAMES"

# What a browser itself sends when it opens a page's connection; its `Sec-…` come besides.  Whatever
# else there is, a proxy has added, which passes on the request of somebody else.
_OF_BROWSERS = frozenset(
    [
        *("host", "connection", "upgrade", "origin", "user-agent", "cookie", "referer"),
        *("accept", "accept-encoding", "accept-language", "cache-control", "pragma", "priority"),
        *("content-length", "dnt", "te"),
    ]
)


def runs_code() -> bool:
    """Whether code that is pasted may be run: never for another page of this machine that a browser
    shows, which may connect here as well, and never without the token."""
    return would_run_code() and has_token()


def would_run_code() -> bool:
    """Whether nothing but the token may be missing."""
    asked = os.environ.get(VARIABLE, "").strip()
    if _is_of_another_page() or frames():
        return False
    if asked:
        return asked == "1"
    return listens_here_alone() and not _is_passed_on()


def listens_here_alone() -> bool:
    """Whether nobody but this machine reaches the server, unless something passes others on."""
    return _is_local(st.get_option("server.address") or "")


def has_token() -> bool:
    """Whether the page's reader came with the token.  Of one who has left in the meantime nothing
    is known; where no server runs, but a test, the page has no reader."""
    if not st.runtime.exists() or type(st.runtime.get_instance()) is not Runtime:
        return True
    cookie = token.cookie(st.context.headers.get("Host") or "")
    return token.is_it(st.context.cookies.get(cookie) or "")


def frames() -> tuple[str, ...]:
    """The sites whose pages may show this app in a frame, besides its own."""
    return tuple(
        each
        for each in os.environ.get(FRAMES, "").split()
        if "," not in each and ";" not in each and each.isascii()
    )


def packages() -> tuple[str, ...]:
    """The packages whose classes may be run: all that need torch where code may be run, else those
    that the operator names."""
    from tracer import installed

    if runs_code():
        return installed.packages()
    named = os.environ.get(PACKAGES, "").replace(",", " ").split()
    return tuple(dict.fromkeys(named))


def _is_passed_on() -> bool:
    """Whether a proxy stands between, or the page was opened under another name than this
    machine's own: a tunnel, or a name on the network that leads here."""
    headers = st.context.headers
    host, origin = headers.get("Host"), headers.get("Origin")
    known = all(name.lower() in _OF_BROWSERS or name.lower().startswith("sec-") for name in headers)
    return (
        not known
        or (host is not None and not is_own(host))
        or (origin is not None and not _is_local(_host(origin)))
    )


def _is_of_another_page() -> bool:
    """Whether the connection was opened by a page of another server of this machine."""
    headers = st.context.headers
    host, origin = headers.get("Host"), headers.get("Origin")
    if host is None or origin is None or not _is_local(_host(origin)):
        return False
    return urlsplit(origin).netloc != host


def is_own(host: str) -> bool:
    """Whether a request's `Host` is a name that this machine alone answers to."""
    return _is_local(_host(f"//{host}"))


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
