"""Each test reports how many calls it compared with torch; `tests/conftest.py` adds them up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tracer.ops.against_torch import CALLS


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = CALLS.copy()
    yield
    item.user_properties.extend((CALLS - before).items())
