"""An end to loops that an edit made long: calls are counted, in Python as in torch."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from tracer.diagnosis.budget import TooCostly
from tracer.diagnosis.repair.edited import original_name

LEAST = 100_000  # calls that any run may make


_WITH = ("__enter__", "__exit__")


@contextlib.contextmanager
def at_most(calls: int, files: frozenset[str]) -> Iterator[None]:
    """Within, more calls than this raise a TooCostly where the code of `files`, which may have
    been edited, calls next: what tries and records that code is never broken off, nor is the
    leaving of a `with`.  Another profiler is not disturbed: then nothing is counted."""
    if sys.getprofile() is not None:
        yield
        return
    left = calls

    def count(frame: FrameType, event: str, called: Any) -> None:
        nonlocal left
        if event not in ("call", "c_call"):
            return
        left -= 1
        if left >= 0:
            return
        name = frame.f_code.co_name if event == "call" else called.__name__
        caller = frame.f_back if event == "call" else frame
        if caller is None or name in _WITH:
            return
        if original_name(caller.f_code.co_filename) in files:
            raise TooCostly

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)
