"""Home: the gallery of lessons."""

import streamlit as st

from ui.frame import frame
from ui.gallery import gallery
from ui.language import link
from ui.player import keep_in_link

frame("Lessons", "home")
with st.sidebar:
    keep_in_link(link())
gallery()
