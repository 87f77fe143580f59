"""Whether this server runs code that a reader gives it.

It does while nobody but this machine reaches it.  On a served address it does not, unless its
operator says so by the environment variable `SHAPEWALK_RUN_CODE=1`; `0` forbids it everywhere.
There readers may run the classes of the packages that `SHAPEWALK_PACKAGES=torch,timm` names, with
plain values as arguments.
"""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

import streamlit as st

VARIABLE = "SHAPEWALK_RUN_CODE"
PACKAGES = "SHAPEWALK_PACKAGES"

# What a proxy adds when it passes on the request of somebody else.
_PASSED_ON = (
    *("Forwarded", "Via", "X-Real-Ip", "X-Forwarded-For", "X-Forwarded-Host"),
    *("X-Forwarded-Proto", "X-Forwarded-Server", "Cf-Connecting-Ip", "True-Client-Ip"),
)


def runs_code() -> bool:
    """Whether code that is pasted may be run."""
    asked = os.environ.get(VARIABLE, "").strip()
    if asked:
        return asked == "1"
    return _is_local(st.get_option("server.address") or "") and not _is_passed_on()


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
    host = headers.get("Host")
    return any(name in headers for name in _PASSED_ON) or (
        host is not None and not _is_local(urlsplit(f"//{host}").hostname or "")
    )


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
