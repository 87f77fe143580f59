"""The parts of Streamlit's browser side that pages draw with, asked for with the page itself: by
themselves they are asked for one behind the other, once the page's first elements have come."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import streamlit

STATIC = Path(streamlit.__file__).parent / "static"
PARTS = ("BidiComponent", "ButtonGroup", "Html", "PageLink", "TextInput")
"""The elements of home that Streamlit loads when one is first drawn, by the names of its files; the
other pages have all but the last."""

_IMPORTED = re.compile(r'(?:from|import)"\./([\w.-]+\.js)"')
_LOADED = re.compile(r'"\./static/js/([\w.-]+\.js)"')


@cache
def files() -> tuple[str, ...]:
    """These parts and what they are made of, without what the page names itself."""
    folder = STATIC / "static" / "js"
    known = set(_LOADED.findall((STATIC / "index.html").read_text(encoding="utf-8")))
    wanted = [file.name for part in PARTS for file in sorted(folder.glob(f"{part}.*.js"))]
    found: dict[str, None] = {}
    while wanted:
        name = wanted.pop()
        if name not in known and name not in found:
            found[name] = None
            wanted += _IMPORTED.findall((folder / name).read_text(encoding="utf-8"))
    return tuple(found)


@cache
def header() -> tuple[bytes, bytes]:
    """What a browser is told with a page, whatever path the server stands at."""
    links = (f"<./static/js/{name}>; rel=modulepreload; crossorigin" for name in files())
    return b"link", ", ".join(links).encode("ascii")
