"""The walkthrough of one lesson: player, and under it graph, table, inspector, claims, source."""

import streamlit as st

from ui import embed, language, player
from ui.controls import current_view, sidebar
from ui.details import details
from ui.frame import frame, read
from ui.language import say
from ui.shipped import lesson
from ui.view import to_query
from ui.work import shown

arrived = frame("Walkthrough", "walkthrough", reads=True)
view = current_view(arrived)
read("walkthrough")
sidebar(view)
chosen = lesson(view.lesson)

if embed.is_asked():
    with st.container(key="embedded"):
        run = shown(view)
        if run is not None:
            player.show(run, to_query(view) | language.link(), height=embed.HEIGHT)
    st.stop()

with st.container(key="title", horizontal=True, vertical_alignment="bottom", gap="small"):
    st.title(say(chosen.title), anchor=False, width="content")
    st.caption(say(chosen.teaches), width="content")

run = shown(view)
if run is not None:
    height = player.HEIGHT if run.trace.failure is None else player.LOWER
    player.show(run, to_query(view) | language.link(), height=height, tour=True)
    details(run, view)
