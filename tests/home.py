"""Home as a test without a browser sees it."""

from __future__ import annotations

from html import unescape

from streamlit.testing.v1 import AppTest


def families(app: AppTest) -> str:
    """What home says of its lessons, family by family, as HTML."""
    known = [each.proto for each in app.get("bidi_component")]
    written = [each.bytes for each in known if each.component_name == "shapewalk.family"]
    return unescape("\n".join(each.decode() for each in written))
