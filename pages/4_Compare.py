"""Two runs side by side: two lessons, two settings, two saved traces, one's own module before and
after a change."""

import streamlit as st

from ui import comparing, language, player
from ui.frame import frame, heading, read
from ui.language import say

arrived = frame("Compare", "compare", reads=True)
if arrived:
    comparing.arrive(st.query_params.to_dict())
    read("compare")

heading(
    say("Compare"),
    say(
        "Two runs side by side, stepped through together: steps of the same operation stand beside "
        "each other, and dimensions that differ are marked."
    ),
)
comparing.choices()
comparing.both()
player.keep_in_link(comparing.address() | language.link())
