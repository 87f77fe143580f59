"""What there is to read on a rule that was broken: the page of its code."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ui.language import language, say

PAGES = Path(__file__).parents[1] / "docs" / "errors"


def page(rule: str) -> None:
    """A button that opens the page of a code such as `SW-matmul`; nothing where there is none."""
    path = PAGES / f"{rule}.md"
    if rule.removeprefix("SW-").isalpha() and path.is_file():
        with st.popover(say("More on {rule}", rule=rule), icon=":material/menu_book:"):
            if language() != "en":
                st.caption(say("This page is in English."))
            # Its own language is named to whoever hears it; the file is this program's own.
            text = path.read_text(encoding="utf-8")
            st.markdown(f'<div lang="en">\n\n{text}\n\n</div>', unsafe_allow_html=True)
