"""The link of what is on screen, to copy, and as a QR code for a projector."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode, urlsplit

import streamlit as st

from tracer.views.colours import BLACK, WHITE
from ui import access, player
from ui.language import link, say


def page(name: str, query: Mapping[str, str]) -> str:
    """The address of a page of this server, as this reader's browser knows the server."""
    base = (st.context.url or "").split("?")[0].rpartition("/")[0]
    return f"{base}/{name}?{urlencode(query)}"


def button(name: str, query: Mapping[str, str], without: bool = False) -> None:
    """Opens the address of the page of that name with `query`, language and the step on screen;
    it says so where a file of the reader's is `without` it."""
    if st.button(say("Link"), icon=":material/qr_code_2:"):
        st.dialog(say("Link"), width="medium")(_shown)(name, {**query, **link()}, without)


def _shown(name: str, query: Mapping[str, str], without: bool) -> None:
    address = page(name, {**query, **player.kept_by_player()})
    picture = qr_code(address)
    if picture is None:
        st.info(say("This link is too long for a QR code. It can be copied all the same."))
    else:
        named = escape(say("QR code of the link"), quote=True)
        st.html(f'<img class="qr-code" alt="{named}" src="{escape(picture, quote=True)}">')
    st.code(address, language=None, wrap_lines=True)
    if without:
        st.caption(say("A file of your own is not in the link."))
    if access.is_own(urlsplit(address).netloc):
        st.caption(say("This address is known to this machine alone: no other can open it."))


def qr_code(text: str) -> str | None:
    """The text as a QR code, an SVG in a `data:` address; None where it is longer than one holds.
    It is black on white with its margin, which cameras need, in dark pages too."""
    import segno

    try:
        code = segno.make(text, error="l", micro=False)
    except segno.DataOverflowError:
        return None
    return str(code.svg_data_uri(border=4, dark=BLACK, light=WHITE, omitsize=True))
