"""`pytest -p tracer.pytest_plugin`: a test in which a module fails prints why."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import pytest

from tracer.explaining import explained, told
from tracer.record.construction import recording_construction
from tracer.views.text import failure_text


def pytest_configure(config: Any) -> None:
    """Note how the modules of the tests are constructed: an explanation reads it."""
    recording = contextlib.ExitStack()
    recording.enter_context(recording_construction())
    config.add_cleanup(recording.close)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, None]:
    """Run the failing call once more, while its frames are alive, and add what was found."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed or call.excinfo is None or told(call.excinfo.value):
        return
    found = explained(call.excinfo.value)
    if found is not None and found.failure is not None:
        text = failure_text(found.failure, sources=found.sources)
        report.sections.append(("Shapewalk explains", text))
