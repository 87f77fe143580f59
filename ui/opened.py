"""The files of one's own module: how they are opened, which of them is shown, and which is run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from tracer import outline as outlines
from tracer import worker
from tracer.document import Fix
from tracer.endings import is_state, safe_name
from tracer.language import translator
from tracer.sentences import Said, render
from tracer.source import files as several
from tracer.worker import Job
from ui import debug_form, handed, own
from ui.held import held
from ui.language import language, say
from ui.text import code, escaped, prose

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

LARGEST = 25
"""Megabytes of a file that is opened here."""


class Saved(Exception):  # noqa: N818 - says what it is
    """What was opened is a module that was saved here."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.name)
        self.job = job


def ways_in() -> None:
    """What opens files, and the choice of the one that is shown.

    Raises:
        Saved: the file is a module with its inputs, to be shown in the place of all.
    """
    row = st.container(horizontal=True, gap="small", vertical_alignment="center")
    with row, st.popover(say("Open"), icon=":material/upload_file:"):
        chosen = st.file_uploader(
            say("Files of Python, a zip of a package, or a module that was saved here"),
            type=["py", "zip", "txt", "json"],
            accept_multiple_files=True,
            max_upload_size=LARGEST,
            key="debug-files",
        )
        folder = st.file_uploader(
            say("A folder"),
            accept_multiple_files="directory",
            type=["py", "txt", "json", "yaml", "yml", "toml", "cfg", "ini"],
            max_upload_size=LARGEST,
            key="debug-folder",
        )
    for key, uploaded in (("debug-files", chosen), ("debug-folder", folder)):
        ids = [each.file_id for each in uploaded]
        if ids and st.session_state.get(f"{key}-opened") != ids:
            st.session_state[f"{key}-opened"] = ids
            _opened(uploaded)
    with row:
        st.page_link(
            "pages/2_Open_a_trace.py", label=say("Open a trace"), icon=":material/file_open:"
        )
        _shown()


def _shown() -> None:
    """Which of several files the editor shows."""
    shown, others = debug_form.shown(), debug_form.others()
    if not others:
        return
    paths = sorted((shown, *others))
    st.selectbox(
        say("File"),
        paths,
        paths.index(shown),
        label_visibility="collapsed",
        width=260,
        **held("debug/shown", shown, debug_form.show),
    )


def _opened(uploaded: list[UploadedFile]) -> None:
    found: dict[str, str] | worker.Problem
    name = uploaded[0].name if len(uploaded) == 1 else say("What was opened")
    try:
        if len(uploaded) > 1:
            found = several.taken(name, [(each.name, each.getvalue()) for each in uploaded])
        elif name.endswith(".zip"):
            found = worker.unpacked(name, uploaded[0].getvalue())
        elif name.endswith(".json"):
            raise Saved(handed.from_file(uploaded[0].getvalue()))
        else:
            found = {Job("").file: several.plain(uploaded[0].getvalue().decode("utf-8"))}
    except handed.HandedError:
        _refused(say("{name} is no module that was saved here.", name=escaped(name)))
    except UnicodeDecodeError:
        _refused(say("{name} is no text in UTF-8: open a Python file.", name=escaped(name)))
    except several.FilesError as error:
        _refused(prose(error.told(translator(language()))))
    else:
        if isinstance(found, worker.Problem):
            _refused(prose(render(found.says, translator(language()))))
        else:
            debug_form.take(found, outlines.main(found))


def tensors(answer_notes: tuple[Said, ...], job: Job | None) -> None:
    """What opens pictures, arrays and weights, which of them the form's job takes, and what the
    latest run has done to them."""
    data, weights = debug_form.data()
    with st.popover(
        say("Your picture, array or weights"), icon=":material/image:", width="stretch"
    ):
        uploaded = own.uploaded("debug-data")
    ids = [each.file_id for each in uploaded]
    if ids != st.session_state.get("debug-data-opened", []):
        st.session_state["debug-data-opened"] = ids
        debug_form.give({safe_name(each.name): each.content for each in uploaded})
        st.rerun()  # an input has its name
    states = [name for name in data if is_state(name)]
    if states:
        st.selectbox(
            say("Weights from"),
            ["", *states],
            ["", *states].index(weights),
            format_func=lambda name: name or say("none: drawn at random"),
            **held("debug/weights", weights, debug_form.weigh),
        )
    waits = [name for name in data if job is not None and name not in job.data]
    for name in waits:
        st.caption(
            say(
                "{name} is not used: the input that shall take it has {at} in its field.",
                name=escaped(name),
                at=code(f"@{name}"),
            )
        )
    taken = [code(f"@{name}") for name in data if name != weights and name not in waits]
    if taken:
        st.caption(say("As inputs: {names}", names=", ".join(taken)))
    own.told(answer_notes)


def _refused(sentence: str) -> None:
    st.error(sentence, icon=":material/block:")


def mended(job: Job, fix: Fix) -> Job | None:
    """The job with the fix; None when it does not fit, as the code may have forged its result."""
    try:
        source = fix.apply(job.source, job.file)
        files = {path: fix.apply(text, path) for path, text in job.files.items()}
    except ValueError:
        return None
    after = replace(job, source=source, files=files)
    return after if after != job else None
