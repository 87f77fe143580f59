"""The token of a server's start, which who may run code there has: it is in the address that the
server prints, and a cookie afterwards."""

from __future__ import annotations

import hmac
import os
import secrets
from urllib.parse import urlsplit

VARIABLE = "SHAPEWALK_TOKEN"
"""The environment variable that holds it: one that its operator has set stays the same."""


def made() -> str:
    """The token, made unless there is one."""
    if not os.environ.get(VARIABLE):
        os.environ[VARIABLE] = secrets.token_urlsafe(24)
    return os.environ[VARIABLE]


def is_it(told: str) -> bool:
    token = os.environ.get(VARIABLE, "")
    return bool(token) and hmac.compare_digest(told.encode(), token.encode())


def cookie(host: str) -> str:
    """What the cookie is called on a server of this `Host`: browsers keep one set of cookies for
    all ports of a machine."""
    try:
        return f"shapewalk-token-{urlsplit(f'//{host}').port or 0}"
    except ValueError:
        return "shapewalk-token-0"
