"""Every operation that the lessons use, live: one call of it over small tensors, to be changed."""

import streamlit as st

from ui import operations
from ui.frame import frame, heading, read
from ui.language import say

if frame("All operations", "operations", reads=True):
    operations.arrive(st.query_params.to_dict())
    read("operations")

heading(
    say("All operations"),
    say(
        "Each operation that the lessons use, as one call over small tensors. Change a size, a "
        "number or an argument: the call runs again, and what it makes, or why it fails, is shown."
    ),
)
operations.page()
