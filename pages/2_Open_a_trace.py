"""A saved trace, opened: nothing is run, and the code that it came from is not needed."""

import streamlit as st

from tracer import Trace, TraceFileError
from tracer.language import translator
from ui import language, player
from ui.details import details
from ui.frame import frame, heading
from ui.language import say
from ui.run import Run
from ui.text import code, escaped, prose

LARGEST = 64
WRITTEN_BY_PYTHON = 'tracer.trace(model, x).save("trace.json")'
WRITTEN_BY_COMMAND = "python -m tracer net.py:Net --input 2,3,12,12 --save trace.json"

frame("Open a trace", "open")

heading(
    say("Open a trace"),
    say(
        "A run that was saved as a file, wherever that was. Nothing in it is executed, and the "
        "code that it came from is not needed."
    ),
)
with st.container(key="open-file"):
    file = st.file_uploader(
        say("Trace file"), type="json", max_upload_size=LARGEST, label_visibility="collapsed"
    )
if file is not None and st.session_state.get("opened-file") != file.file_id:
    st.session_state["opened-file"] = file.file_id
    st.session_state["unreadable"] = None
    try:
        st.session_state["opened"] = Run(Trace.from_json(file.getvalue()))
    except TraceFileError as error:
        st.session_state["unreadable"] = (file.name, error)

problem = st.session_state.get("unreadable")
run = st.session_state.get("opened")
if problem is not None:
    name, refusal = problem
    why = f"{code(name)}: {prose(refusal.told(translator(language.language())))}"
    kept = ""
    if run is not None:
        kept = say(" {name}, opened before, is still here.", name=escaped(run.trace.name))
    st.error(f"{why}{kept}", icon=":material/block:")
if run is None:
    st.caption(say("Such a file is written by one line of Python, or by one in a terminal:"))
    st.code(WRITTEN_BY_PYTHON, language=None, wrap_lines=True)
    st.code(WRITTEN_BY_COMMAND, language=None, wrap_lines=True)
else:
    run = run.told_in(language.language())
    player.show(run, None, height=player.LOWER)
    details(run, None)
player.keep_in_link(language.link())
