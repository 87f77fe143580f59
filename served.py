"""The app as it is served: `streamlit run served.py`, which `python -m ui.serve` does. Around the
pages stand what a browser is told and who may connect."""

import os

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Route

from ui import token
from ui.guard import Guard, say_little
from ui.metrics import metrics

if not os.environ.get(token.VARIABLE):
    print(f"Code runs for who adds this to the address: ?token={token.made()}", flush=True)

app = st.App(
    "app.py",
    routes=[Route("/metrics", metrics)],
    middleware=[Middleware(Guard)],
    on_script_error=say_little,
)
