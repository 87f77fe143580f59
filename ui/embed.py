"""A lesson in the frame of another page, `?embed=1`: the player alone, and what to put into that
page for it."""

from __future__ import annotations

from html import escape
from urllib.parse import parse_qs

import streamlit as st

from ui import access
from ui.address import page as address_of
from ui.language import link, say
from ui.view import View, to_query

HEIGHT = "100dvh"
"""Of the player: the frame has nothing else."""


def is_asked() -> bool:
    """Whether the address asks for it.  Streamlit keeps this parameter from its own `query_params`,
    since `embed=true` is one of its own: then its header is left out by the browser."""
    context = st.runtime.scriptrunner.get_script_run_ctx()
    query = parse_qs(context.query_string) if context is not None else {}
    return query.get("embed", [""])[-1] in ("1", "true")


def snippet(view: View) -> None:
    """A button that opens what a page takes to show this lesson at its present settings."""
    with st.popover(say("Embed"), icon=":material/frame_source:"):
        address = escape(address_of("Walkthrough", to_query(view) | link() | {"embed": "1"}))
        st.code(
            f'<iframe src="{address}" width="100%" height="640" title="Shapewalk"></iframe>',
            language="html",
            wrap_lines=True,
        )
        named = " ".join(access.frames())
        st.caption(
            say("Pages of {sites} may show it in a frame.", sites=f"`{named}`")
            if named
            else say(
                "Other pages may show it in a frame where this server's operator names them: "
                "{setting}.",
                setting="`SHAPEWALK_FRAMES=https://course.example.org`",
            )
        )
