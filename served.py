"""The app as it is served: `streamlit run served.py`, which `python -m ui.serve` does. Around the
pages stand what a browser is told and who may connect."""

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Route

from ui.guard import Guard, say_little
from ui.metrics import metrics

app = st.App(
    "app.py",
    routes=[Route("/metrics", metrics)],
    middleware=[Middleware(Guard)],
    on_script_error=say_little,
)
