"""One's own module: code, or a class of an installed package, run apart; what runs is walked, what
fails is explained."""

import streamlit as st

from ui import debug, language, player
from ui.frame import frame, heading, read
from ui.language import say

if frame("Your module", "debug", reads=True):
    debug.arrive(st.query_params.to_dict())
    read("debug")

heading(
    say("Your module"),
    say(
        "Your own code, or a class of an installed package. What runs is walked step by step. What "
        "breaks is explained: the expression that fails, the sizes that are at odds, where the "
        "wrong one was born, and a change that was tried and works."
    ),
)
debug.workbench()
debug.outcome()
player.keep_in_link(debug.address() | language.link())
