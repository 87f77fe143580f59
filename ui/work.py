"""Between a page and its runs: what to show now, and how the values are coming along."""

from __future__ import annotations

import time

import streamlit as st

from tracer import Failure
from ui import loading, metrics, own, push
from ui import run as runs
from ui.language import language, say, told
from ui.run import FormulaJob, Job, Run
from ui.text import code, prose
from ui.view import View

AT_ONCE = 0.15
"""Seconds that a page with new shapes waits for their values, and for formulas that are known
already, so that it need not be drawn again."""

PATIENCE = 0.8
"""Seconds after which a reader is told how far a run has come..."""

AGAIN = 0.4
"""...and seconds until he is told again, if it has come further."""


def shown(view: View) -> Run | None:
    """The best run of the view that there is now: that of the defaults as it is shipped; else with
    values when they are at hand, the shapes alone while they are computed or when they do not fit;
    with its notes in the reader's language.  Says on the page which, and why; None when the module
    cannot be built."""
    notices = st.container(key="notices", gap="xxsmall")
    with notices:
        for complaint in st.session_state.get("complaints", ()):
            st.warning(prose(told(complaint)), icon=":material/link_off:")
        run = runs.at_default(view)
        if run is not None:
            _stop_old(None)
            loading.soon()
        else:
            loading.now()
            run = _run(view)
        if run is None:
            return None
        if run.trace.failure is not None:
            st.error(stopped(run.trace.failure), icon=":material/report:")
        own.told(run.own)
        return run.told_in(language())


def _run(view: View) -> Run | None:
    try:
        shapes = runs.outline(view)
    except runs.CannotRun as problem:
        _stop_old(None)
        st.error(prose(told(problem.sentence)), icon=":material/block:")
        return None
    run = shapes
    if view.values:
        run = _with_values(view, shapes) or shapes
    else:
        _stop_old(None)
    if st.session_state.get("job") is None or run is not shapes:
        run = _with_formulas(view, run)
    return run


def stopped(failure: Failure) -> str:
    """Where and why a forward stopped, as one line of Markdown."""
    error = code(f"{failure.type}: {failure.message}")
    if not failure.expression:
        return say("The forward stops: {error}", error=error)
    return say(
        "The forward stops at {expression}, line {line}: {error}",
        expression=code(failure.expression),
        line=failure.line,
        error=error,
    )


def _with_values(view: View, shapes: Run) -> Run | None:
    if st.session_state.get("unwanted") == view:
        _stop_old(None)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.info(
                say("The run was cancelled: these are the shapes alone."),
                icon=":material/cancel:",
            )
            if st.button(say("Compute the values"), key="again"):
                st.session_state["unwanted"] = None
                st.rerun()
        return None
    forecast = runs.forecast(shapes.trace)
    if not forecast.fits:
        _stop_old(None)
        metrics.count("shapewalk_runs_refused_total", "values")
        st.warning(runs.advice(view, forecast), icon=":material/memory:")
        return None
    job = _stop_old(view) or Job(view, len(shapes.trace.steps), push.reader())
    st.session_state["job"] = job
    if not job.wait(AT_ONCE):
        _progress(job, fails=shapes.trace.failure is not None)
        return None
    if job.problem is not None:
        st.error(prose(told(job.problem)), icon=":material/block:")
    return job.run


def _stop_old(view: View | None) -> Job | None:
    """The session's job if it is for `view`; any other is cancelled."""
    job: Job | None = st.session_state.get("job")
    if job is None or (job.view == view and not job.cancelled):
        return job
    job.cancel()
    st.session_state["job"] = None
    return None


def _with_formulas(view: View, run: Run) -> Run:
    """The run with its formulas if they are known or come at once; else as it is, and the page
    shows them when they are found."""
    found = runs.formulated(view, run)
    if found is not None:
        return found
    job: FormulaJob | None = st.session_state.get("formulas")
    if job is None or (job.view, job.stands_in) != (view, run.stands_in):
        if job is not None:
            job.cancel()  # of a view that is no longer shown
        job = st.session_state["formulas"] = FormulaJob(view, run, push.reader())
    if job.wait(AT_ONCE if runs.comes_at_once(view, run) else 0):
        return runs.formulated(view, run) or run
    push.when(lambda: job.wait(0))
    return run


def _far(job: Job) -> tuple[int, int, int]:
    """How far it has come: what is said of it changes with this alone."""
    return job.done, job.total, job.before


@st.fragment
def _progress(job: Job, fails: bool) -> None:
    if job.wait(0):
        st.rerun()
    now = time.monotonic()
    is_told = now >= job.began + PATIENCE
    then = max(now + AGAIN, job.began + PATIENCE)
    far = _far(job) if is_told else None
    push.when(lambda: job.wait(0) or (time.monotonic() >= then and _far(job) != far))
    if not is_told:
        return
    with st.container(key="progress", horizontal=True, vertical_alignment="center"):
        done, total = job.done, max(job.total, job.done, 1)
        text = say("Computing the values: {done} of {total} steps", done=done, total=total)
        if fails and done >= total:
            text = say("Looking for what mends it")
        if job.before:
            text = say("Waiting for {count} other runs to end", count=job.before)
        st.progress(done / total, text=text)
        if st.button(say("Cancel"), key="cancel"):
            job.cancel()
            st.session_state["unwanted"] = job.view
            st.rerun()
