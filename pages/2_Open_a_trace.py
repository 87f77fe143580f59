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
FILE = "trace-file"

frame("Open a trace", "open")


def _read() -> None:
    """Take over the file that was chosen."""
    file = st.session_state[FILE]
    st.session_state["unreadable"] = None
    if file is None:
        return
    try:
        st.session_state["opened"] = Run(Trace.from_json(file.getvalue()))
    except TraceFileError as error:
        st.session_state["unreadable"] = (file.name, error)


def _field(kept: Run | None) -> None:
    """Where a file is chosen, with what was wrong with the last."""
    with st.container(key="open-file"):
        st.file_uploader(
            say("Trace file"),
            type="json",
            max_upload_size=LARGEST,
            label_visibility="collapsed",
            key=FILE,
            on_change=_read,
        )
        problem = st.session_state.get("unreadable")
        if problem is None:
            return
        name, refusal = problem
        why = f"{code(name)}: {prose(refusal.told(translator(language.language())))}"
        if kept is not None:
            before = kept.told_in(language.language()).trace.name
            why += say(" {name}, opened before, is still here.", name=escaped(before))
        st.error(why, icon=":material/block:")


run = st.session_state.get("opened")
if run is None:
    heading(
        say("Open a trace"),
        say(
            "A run that was saved as a file, wherever that was. Nothing in it is executed, and the "
            "code that it came from is not needed."
        ),
    )
    _field(None)
    st.caption(say("Such a file is written by one line of Python, or by one in a terminal:"))
    st.code(WRITTEN_BY_PYTHON, language=None, wrap_lines=True)
    st.code(WRITTEN_BY_COMMAND, language=None, wrap_lines=True)
else:
    with st.container(key="title", horizontal=True, vertical_alignment="center", gap="small"):
        st.title(say("Open a trace"), anchor=False, width="content")
        with st.popover(say("Another file"), icon=":material/upload_file:"):
            _field(run)
    run = run.told_in(language.language())
    player.show(run, None)
    details(run, None)
player.keep_in_link(language.link())
