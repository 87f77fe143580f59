"""Why does my model break? Code of one's own, run apart, and where its shapes go wrong."""

import streamlit as st

from ui import debug, language, player
from ui.frame import frame
from ui.language import say

frame("Debug", "debug")

with st.container(key="title"):
    st.title(say("Debug"), anchor=False)
st.caption(
    say(
        "Why does my model break? The expression that fails, the sizes that are at odds, where "
        "the wrong one was born, and a change of the code that was tried and works."
    )
)
debug.workbench()
debug.outcome()
player.keep_in_link(language.link())
