"""The app as a test without a browser sees it."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

APP = Path(__file__).parents[1] / "app.py"


@pytest.fixture
def enough_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the same runs, whatever else the machine is busy with."""
    monkeypatch.setattr("ui.run.free_memory", lambda: 8 * 2**30)


def page(path: str | None = None, **query: str) -> AppTest:
    """The page of that file, home without one, at an address that says this."""
    app = AppTest.from_file(str(APP), default_timeout=600)
    if path is not None:
        app.switch_page(path)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def families(app: AppTest) -> str:
    """What home says of its lessons, family by family, as HTML."""
    known = [each.proto for each in app.get("bidi_component")]
    written = [each.bytes for each in known if each.component_name == "shapewalk.family"]
    return unescape("\n".join(each.decode() for each in written))
