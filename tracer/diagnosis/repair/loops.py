"""An end to loops that an edit made long: calls are counted, in Python as in torch."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

LEAST = 100_000  # calls that any run may make


class EndlessError(Exception):
    """A run made many times as many calls as the failed one."""


@contextlib.contextmanager
def at_most(calls: int) -> Iterator[None]:
    """Within, more calls than this raise an EndlessError where they are made.  Another profiler is
    not disturbed: then nothing is counted."""
    if sys.getprofile() is not None:
        yield
        return
    left = calls

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        if event in ("call", "c_call"):
            left -= 1
            if left < 0:
                raise EndlessError(f"more than {calls} calls")

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)
