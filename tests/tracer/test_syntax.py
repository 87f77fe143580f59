"""Text is parsed from many threads at once."""

from __future__ import annotations

import ast
import gc
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import tracer
from tracer.syntax import parsed, silently


class Held:
    """Garbage that only the collector finds, and that runs Python when it does."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        for _ in range(30):
            pass


@pytest.fixture
def _many_switches() -> Iterator[None]:
    """The collector and other threads come as often as can be."""
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(50)
    sys.setswitchinterval(1e-6)
    yield
    gc.set_threshold(*threshold)
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_many_switches")
def test_many_threads_parse_at_once() -> None:
    texts = [path.read_text("utf-8") for path in sorted(Path(tracer.__file__).parent.glob("*.py"))]
    failed: list[Exception] = []

    def parse() -> None:
        for text in texts[:6] * 8:
            for _ in range(5):
                Held()
            try:
                parsed(text)
            except Exception as error:  # noqa: BLE001 - a thread's error is looked at below
                failed.append(error)

    threads = [threading.Thread(target=parse) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert gc.isenabled()


def test_what_does_not_parse_raises_as_before() -> None:
    with pytest.raises(SyntaxError):
        parsed("x = (")
    assert gc.isenabled()
    assert isinstance(parsed("a + 1", "eval").body, ast.BinOp)


@pytest.mark.usefixtures("_many_switches")
def test_many_threads_leave_the_filters_of_warnings_as_they_were() -> None:
    before = list(warnings.filters)

    def compile_all() -> None:
        for _ in range(200):
            silently("x = (1)[0, 1]", "tried.py")

    threads = [threading.Thread(target=compile_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
