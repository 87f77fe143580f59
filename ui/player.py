"""The player in a Streamlit page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import streamlit as st

from tracer.views.player import script, style
from ui.run import Run

_HERE = Path(__file__).parent

# The fonts that Streamlit brings along, for notes and code as for the page around.
FONTS = """
.shapewalk {
  --serif: "Source Serif", Georgia, serif;
  --mono: "Source Code Pro", ui-monospace, Menlo, Consolas, monospace;
}
"""

_player = st.components.v2.component(
    "shapewalk.player",
    html='<div class="place"></div>',
    css=style() + FONTS,
    js=script((_HERE / "mount.js").read_text(encoding="utf-8")),
)

_bridge = st.components.v2.component(
    "shapewalk.bridge",
    html='<div class="place"></div>',
    js=(_HERE / "bridge.js").read_text(encoding="utf-8"),
)


HEIGHT = "max(34rem, calc(100dvh - 8.8rem))"
"""As high as the window lets it be under the page's title, with the tabs below in sight."""

LOWER = "max(30rem, calc(100dvh - 12.2rem))"
"""The same where more than a title stands above, and the transport is to be the last in sight."""


def show(
    run: Run,
    query: Mapping[str, str] | None,
    start: tuple[str, int] | None = None,
    on_fix: Callable[[int], None] | None = None,
    height: str = HEIGHT,
    tour: bool = False,
) -> None:
    """Draw the player. `query` is what the address shall say besides the step; None when the page
    has no address of its own for what it shows.  `start` is the path of the step to begin at, and
    a count that tells one run from the next.  `on_fix` is called with the index of a fix that is
    to be applied; without it fixes are only shown.  With `tour` who is here for the first time is
    told what there is to do."""

    def fixed() -> None:
        index = st.session_state["player"].get("fix")
        if on_fix is not None and isinstance(index, int):
            on_fix(index)

    head: dict[str, Any] = {"query": query and dict(query), "height": height, "start": start}
    head |= {"fixes": on_fix is not None, "tour": tour}
    head["read"] = st.session_state.get("read", (0, ""))  # how often the address was, and which
    data = json.dumps(head).encode() + b"\n" + run.payload
    _player(data=data, key="player", on_fix_change=fixed)


def go_to(path: str, request: str) -> None:
    """Send the player to a step, once for each `request`: a text that no other has (`uuid`), also
    of a server that the page comes to later."""
    _bridge(data={"role": "goto", "path": path, "request": request}, key="go-to")


def reveal(container: str, count: int, writing: bool) -> None:
    """Bring the container of that key into view if it is not, and the keyboard from the editor to
    it unless the reader is `writing` on there. `count` tells one request from the next."""
    data = {"role": "reveal", "within": container, "count": count, "writing": writing}
    _bridge(data=data, key="reveal")


def focus(container: str, count: int) -> None:
    """Put the cursor into the field of the container of that key. `count` as in `reveal`."""
    _bridge(data={"role": "focus", "within": container, "count": count}, key="focus")


def followed_step() -> str | None:
    """The path of the step on screen: the page, or the fragment around, is drawn again when the
    reader comes to rest at another.  None before the browser has said which it is."""
    result: Any = _bridge(data={"role": "follow"}, key="follow", on_step_change=lambda: None)
    return result.step if isinstance(result.step, str) else None


def kept_by_player() -> dict[str, str]:
    """What the player has written into the address by now: the step, and how sizes are written.
    The fragment around is drawn again once the browser has said it."""
    result: Any = _bridge(data={"role": "asked"}, key="asked", on_search_change=lambda: None)
    said = result.search if isinstance(result.search, str) else None
    now = dict(parse_qsl(said.lstrip("?"))) if said is not None else st.query_params.to_dict()
    return {name: now[name] for name in ("step", "dims") if now.get(name)}


def keep_in_link(query: Mapping[str, str]) -> None:
    """Keep these parameters in the address of a page without a player of its own.  Streamlit's
    own way would add an entry to the browser's history, and the way back would end there."""
    # Of a dict Streamlit asks whether it is a data frame, for which it loads pandas.
    _bridge(data={"role": "address", "query": tuple(query.items())}, key="address")


def ask_when_back() -> None:
    """Draw the page again when the browser has come back to the server."""
    _bridge(data={"role": "again"}, key="when-back", on_back_change=lambda: None)


def tie_graph(container: str) -> None:
    """Let the graph in the container of that key mark the current step and obey clicks."""
    _bridge(data={"role": "graph", "within": container}, key="graph-tie")
