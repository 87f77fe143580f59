"""An end to loops that an edit made long: calls are counted, in Python as in torch, and the lines
of the code that may have been edited, since a loop of plain arithmetic calls nothing."""

from __future__ import annotations

import contextlib
import linecache
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from tracer.diagnosis.budget import TooCostly
from tracer.diagnosis.repair.edited import original_name

LEAST = 100_000  # calls that any run may make
LINES = 10  # lines of the author's code for each such call

_WITH = ("__enter__", "__exit__")


@contextlib.contextmanager
def at_most(calls: int, files: frozenset[str]) -> Iterator[None]:
    """Within, more calls than this, or `LINES` times as many lines of `files`, raise a TooCostly
    where the code of `files`, which may have been edited, goes on: what tries and records that code
    is never broken off, nor is the leaving of a `with`.  Another profiler is not disturbed: then no
    calls are counted, nor lines where a debugger is."""
    with _calls_at_most(calls, files), lines_at_most(LINES * calls, files):
        yield


@contextlib.contextmanager
def lines_at_most(lines: int, files: frozenset[str]) -> Iterator[None]:
    """The same of lines alone, where calls are watched by another."""
    if sys.gettrace() is not None:
        yield
        return
    left = lines

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        left -= event == "line"
        if left < 0 and not _enters(frame):
            raise TooCostly
        return count

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        return count if original_name(frame.f_code.co_filename) in files else None

    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(None)


@contextlib.contextmanager
def _calls_at_most(calls: int, files: frozenset[str]) -> Iterator[None]:
    if sys.getprofile() is not None:
        yield
        return
    left = 2 * calls  # a call and its return

    def count(frame: FrameType, event: str, called: Any) -> None:
        nonlocal left
        left -= 1
        if left >= 0 or event not in ("call", "c_call"):
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


def _enters(frame: FrameType) -> bool:
    """Whether the line is that of a `with`, which may be about to be left."""
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return line.lstrip().startswith(("with ", "async with "))
