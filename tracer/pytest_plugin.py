"""A test in which a module fails prints why: pytest loads it where Shapewalk is installed, and
`pytest -p tracer.pytest_plugin` does elsewhere.  The fixture `shapes` gives the trace of a module,
which a failing test prints.

Tests that never import torch do not load it for this.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest

NAME = "tracer.pytest_plugin"
_recording = pytest.StashKey[contextlib.ExitStack]()
_traces = pytest.StashKey[list[Any]]()


def pytest_configure(config: Any) -> None:
    _record(config, NAME in (config.option.plugins or ()))


def pytest_collection_finish(session: Any) -> None:
    _record(session.config)


def _record(config: Any, asked: bool = False) -> None:
    """Note how the modules of the tests are constructed: an explanation reads it.  Where nobody
    has asked for the plugin, that begins when the tests have imported torch."""
    if _recording in config.stash or not (asked or "torch" in sys.modules):
        return
    from tracer.record.construction import recording_construction

    config.stash[_recording] = recording = contextlib.ExitStack()
    recording.enter_context(recording_construction())
    config.add_cleanup(recording.close)


@pytest.fixture
def shapes(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`shapes(model, *args, **kwargs)` is the trace of that call, with shapes alone.  Where the
    test fails, its annotated source stands in the report."""
    kept = request.node.stash.setdefault(_traces, [])

    def traced(model: Any, *args: Any, **kwargs: Any) -> Any:
        from tracer import explaining

        kept.append(explaining.traced(model, args, kwargs, values=False))
        return kept[-1]

    return traced


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, None]:
    """Run the failing call once more, while its frames are alive, and add what was found."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed or call.excinfo is None or "torch" not in sys.modules:
        return
    from tracer.explaining import explained, told
    from tracer.views.text import annotated, failure_text

    for trace in item.stash.get(_traces, ()):
        report.sections.append((f"Shapes of {trace.name}", annotated(trace)))
    if told(call.excinfo.value):
        return
    found = explained(call.excinfo.value)
    if found is not None and found.failure is not None:
        text = failure_text(found.failure, sources=found.sources)
        report.sections.append(("Shapewalk explains", text))
