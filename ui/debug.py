"""The page Debug: a run of somebody's code, what came of it, and the fixes to take."""

from __future__ import annotations

import difflib
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import streamlit as st

from tracer import Failure, Step, Trace, sandbox, worker
from tracer.document import Fix, Root
from tracer.language import translator
from tracer.views.graph import shape_text
from tracer.worker import Answer, Job, Limits, Problem
from ui import access, debug_form, player, push
from ui.details import details
from ui.examples import Example, examples
from ui.language import language, say
from ui.run import Run, in_bytes
from ui.text import code, escaped, prose

PAGES = Path(__file__).parents[1] / "docs" / "errors"

PATIENCE = 1.2
"""Seconds that the page waits for a run before it shows that one is on its way."""

LIMITS = Limits()
AT_ONCE = 2
"""Runs at the same time, for all sessions together."""

_slots = threading.BoundedSemaphore(AT_ONCE)
_warmed = threading.Lock()


class Task:
    """A job in a thread of this process, which waits for it to be run in another."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.answer: Answer | None = None
        self.began: float | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        with _slots:
            self.began = time.monotonic()
            self.answer = worker.run(self.job, LIMITS)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, after waiting for it at most so long."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


@dataclass
class Desk:
    """What a session has on its desk. `count` numbers the answers, `before` are the texts that
    fixes have replaced, `open` says whether the answer is still to be brought into view."""

    task: Task | None = None
    job: Job | None = None
    answer: Answer | None = None
    run: Run | None = None
    count: int = 0
    before: list[Job] = field(default_factory=list)

    def start(self, job: Job) -> None:
        self.task = Task(job)

    def take(self) -> None:
        """The answer of the task that has ended."""
        if self.task is not None and self.task.answer is not None:
            self.job, self.answer, self.task = self.task.job, self.task.answer, None
            trace = self.answer.trace
            self.run = Run(trace) if trace is not None else None
            self.count += 1


def desk() -> Desk:
    found: Desk = st.session_state.setdefault("desk", Desk())
    return found


def warm() -> None:
    """Let the process that runs code be there before it is asked for."""
    if _warmed.acquire(blocking=False):
        threading.Thread(target=worker.warm, daemon=True).start()


# --- what to run ------------------------------------------------------------------------------


def workbench() -> None:
    """The editor and the form; on a served address what there is instead."""
    warm()
    state = desk()
    if state.task is not None and state.task.wait(0):
        state.take()
    if not access.runs_code():
        _closed(state)
        return
    with st.container(key="debug-bench"):
        with st.container(key="debug-text", gap="xsmall"):
            _ways_in()
            failure = state.run.trace.failure if state.run is not None else None
            if _changed(state):
                failure = None
            source = debug_form.editor(debug_form.marks(failure))
        with st.container(key="debug-form", gap="small"):
            job = debug_form.job_of(source)
            pressed = st.button(
                say("Run"),
                type="primary",
                icon=":material/play_arrow:",
                shortcut="Ctrl+Enter",
                width="stretch",
                key="debug-run",
            )
            _protections()
    if pressed and job is not None:
        state.before.clear()
        state.start(job)


def _ways_in() -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        with st.popover(say("Open a file"), icon=":material/upload_file:"):
            file = st.file_uploader(say("A Python file"), type=["py", "txt"], key="debug-file")
        st.page_link(
            "pages/2_Open_a_trace.py", label=say("Open a trace"), icon=":material/file_open:"
        )
    if file is not None and st.session_state.get("debug-opened") != file.file_id:
        st.session_state["debug-opened"] = file.file_id
        try:
            text = file.getvalue().decode("utf-8-sig")
            st.session_state[debug_form.CODE] = "\n".join(text.splitlines()) + "\n"
        except UnicodeDecodeError:
            st.error(
                say("{name} is no text in UTF-8: open a Python file.", name=escaped(file.name)),
                icon=":material/block:",
            )


def _protections() -> None:
    with st.expander(say("What protects this machine"), icon=":material/shield:"):
        st.caption(
            say(
                "The code runs in a process of its own, computes at most {seconds} s and is there "
                "at most {clock} s, with {memory} of memory, in an empty folder, and is ended with "
                "all that it started.",
                seconds=f"{LIMITS.seconds:g}",
                clock=f"{LIMITS.clock:g}",
                memory=in_bytes(LIMITS.memory),
            )
        )
        for sentence in sandbox.protections():
            st.caption(f"- {escaped(sentence)}")


def _closed(state: Desk) -> None:
    """Here code comes from this program alone: the examples and what fixes made of them."""
    st.info(
        say(
            "This server can be reached from elsewhere, so it runs nobody's code. Trace your model "
            "where it lives and open the file here, which executes nothing. The examples below "
            "work. The operator can allow code with {setting}.",
            setting=f"`{access.VARIABLE}=1`",
        ),
        icon=":material/lock:",
    )
    st.code("python -m tracer model.py:Net --input 2,3,224,224 --save trace.json", language="bash")
    st.page_link("pages/2_Open_a_trace.py", label=say("Open a trace"), icon=":material/file_open:")
    if state.job is not None:
        with st.expander(say("The example's code"), expanded=True):
            st.code(state.job.source, line_numbers=True, height=320)


# --- what came of it --------------------------------------------------------------------------


def outcome() -> None:
    """The answer of the latest run, the way to it, or the examples."""
    state = desk()
    if state.task is not None:
        if state.task.wait(PATIENCE):
            state.take()
            st.rerun()  # the editor marks the lines
        _progress(state)
        return
    if state.answer is None:
        gallery()
        return
    with st.container(key="verdict", gap="small"):
        _verdict(state, state.answer)
    player.reveal("verdict", state.count)
    if state.run is not None:
        run = state.run.told_in(language())
        path = _first_to_see(run.trace)
        start = (path, state.count) if path is not None else None
        player.show(run, None, start, _apply)
        details(run, None)
    st.divider()
    gallery()


@st.fragment
def _progress(state: Desk) -> None:
    task = state.task
    if task is None or task.wait(0):
        st.rerun()
    push.when(lambda: True)
    with st.container(key="progress", horizontal=True, vertical_alignment="center"):
        if task.began is None:
            st.progress(0.0, text=say("Waiting for the runs of others"))
        else:
            passed = time.monotonic() - task.began
            text = say(
                "Running: {passed} s of at most {most} s",
                passed=f"{passed:.0f}",
                most=f"{LIMITS.clock:g}",
            )
            st.progress(min(1.0, passed / LIMITS.clock), text=text)
        if st.button(say("Cancel"), key="cancel"):
            state.task = None  # its process ends by itself, at its limit
            st.rerun()


def _first_to_see(trace: Trace) -> str | None:
    """The path of the step at which something is wrong."""
    broken = [step.index for step in trace.steps if step.error is not None]
    if trace.failure is not None:
        return str(broken[0]) if broken else "failure"
    return str(trace.warnings[0].step) if trace.warnings else None


def _verdict(state: Desk, answer: Answer) -> None:
    trace = answer.trace
    if answer.problem is not None:
        _problem(answer.problem)
    if trace is not None and trace.failure is not None:
        if answer.problem is None:
            st.error(_stopped(trace.failure), icon=":material/report:")
        _root(trace, trace.failure.root)
        _way(trace, trace.failure)
        _page(trace.failure)
        _fixes(state, trace.failure)
    elif trace is not None:
        made = ", ".join(map(shape_text, trace.outputs))
        st.success(
            say(
                "{name} runs: {count} steps, and {shapes} comes out.",
                name=f"**{escaped(trace.name)}**",
                count=len(trace.steps),
                shapes=escaped(made) if made else say("nothing"),
            ),
            icon=":material/check_circle:",
        )
    if trace is not None:
        for number, warning in enumerate(trace.warnings):
            step = trace.steps[warning.step]
            _notice(
                f"warning-{number}", prose(warning.told(translator(language()))), "visibility", step
            )
    with st.container(horizontal=True, gap="small"):
        if state.before:
            st.button(
                say("Undo the change"),
                icon=":material/undo:",
                on_click=_undo,
                key="undo",
            )
        if answer.printed:
            with st.popover(say("What it printed"), icon=":material/terminal:"):
                st.code(answer.printed, language=None, height=300)


def _problem(problem: Problem) -> None:
    st.error(prose(problem.sentence), icon=":material/block:")
    if problem.caret:
        st.code(problem.caret, language=None)


def _stopped(failure: Failure) -> str:
    told, _ = failure.told(translator(language()))
    rule = told or f"{failure.type}: {failure.message}"
    if not failure.expression:
        return prose(rule)
    where = say(
        "Stops at {expression}, line {line}.",
        expression=f"**{code(failure.expression)}**",
        line=failure.line,
    )
    return f"{where} {prose(rule)}"


def _page(failure: Failure) -> None:
    """What there is to read on the rule that is broken."""
    rule = failure.violation.code if failure.violation is not None else ""
    page = PAGES / f"{rule}.md"
    if rule.removeprefix("SW-").isalpha() and page.is_file():
        with st.popover(say("More on {rule}", rule=rule), icon=":material/menu_book:"):
            st.markdown(page.read_text(encoding="utf-8"))


def _notice(key: str, words: str, icon: str, step: Step | None) -> None:
    """A sentence, and beside it the way to the step that it speaks of."""
    with st.container(key=f"notice-{key}", horizontal=True, vertical_alignment="center"):
        st.warning(words, icon=f":material/{icon}:")
        _way_to(key, step)


def _way_to(key: str, step: Step | None) -> None:
    """A button that sends the player to a step, if it is one."""
    if step is not None and st.button(
        say("Go to line {line}", line=step.line),
        key=f"to-{key}",
        icon=":material/my_location:",
    ):
        st.session_state["gone"] = st.session_state.get("gone", 0) + 1
        player.go_to(str(step.index), st.session_state["gone"])


def _root(trace: Trace, root: Root | None) -> None:
    if root is None:
        return
    where = (
        say(
            "It begins at {expression}, line {line}.",
            expression=code(root.expression),
            line=root.line,
        )
        if root.expression and root.kind != "input"
        else say("It begins with the input.")
    )
    step = trace.steps[root.step] if root.step is not None else None
    _notice("root", f"{where} {prose(root.told(translator(language())))}", "trip_origin", step)


def _way(trace: Trace, failure: Failure) -> None:
    """The way of the wrong size, a line for each place, with the way to those that are steps."""
    if len(failure.chain) < 2:
        return
    translate = translator(language())
    with st.expander(say("The way of the wrong size"), icon=":material/route:"):
        for number, link in enumerate(failure.chain, 1):
            with st.container(horizontal=True, vertical_alignment="center"):
                words = prose(link.told(translate))
                st.markdown(f"{number}. {say('Line {line}', line=link.line)}: {words}")
                known = failure.root is not None and link.step == failure.root.step
                if link.step is not None and not known:
                    _way_to(f"way-{number}", trace.steps[link.step])


# --- fixes ------------------------------------------------------------------------------------


def _fixes(state: Desk, failure: Failure) -> None:
    assert state.job is not None
    mended = {number: _mended(state.job, fix) for number, fix in enumerate(failure.fixes)}
    usable = [number for number, text in mended.items() if text is not None]
    if not usable:
        st.info(
            say(
                "No change of the code was found that is sound. {reason}",
                reason=prose(failure.told(translator(language()))[1]),
            ),
            icon=":material/lightbulb:",
        )
        return
    first, *others = usable
    _fix(state, first, failure.fixes[first], mended[first] or "")
    if others:
        with st.expander(say("Other ways ({count})", count=len(others))):
            for number in others:
                _fix(state, number, failure.fixes[number], mended[number] or "")


def _mended(job: Job, fix: Fix) -> str | None:
    """The text with the fix; None when it does not fit, as the code may have forged its result."""
    try:
        text = fix.apply(job.source, job.file)
    except ValueError:
        return None
    return text if text != job.source else None


def _fix(state: Desk, number: int, fix: Fix, mended: str) -> None:
    assert state.job is not None
    with st.container(border=True, key=f"fix-{number}", gap="small"):
        summary, caveat = fix.told(translator(language()))
        st.markdown(f":material/build: {prose(summary)}")
        if caveat:
            st.caption(f":material/warning: {prose(caveat)}")
        st.code(diff(state.job.source, mended), language="diff")
        changed = _changed(state)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                say("Apply and run again"),
                type="primary" if number == 0 else "secondary",
                icon=":material/auto_fix_high:",
                on_click=_apply,
                args=(number,),
                key=f"apply-{number}",
                disabled=changed,
                help=_run_again() if changed else None,
            )
            if fix.verified:
                made = ", ".join(str(tuple(shape)) for shape in fix.output_shapes)
                tried = say(
                    "Tried: the whole forward runs, here and with another batch size, and gives "
                    "{shapes}.",
                    shapes=escaped(made),
                )
                st.caption(f":green[:material/check:] {tried}", width="content")


def diff(before: str, after: str) -> str:
    """The lines that differ, with one line around them, moved to the left as far as they go."""
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), n=1, lineterm="")
    shown = list(lines)[3:]
    margin = min((_indent(line[1:]) for line in shown if _is_code(line)), default=0)
    return "\n".join(
        " ⋮" if line.startswith("@@") else line[0] + " " + line[1 + margin :] for line in shown
    )


def _is_code(line: str) -> bool:
    return line[1:].strip() != "" and not line.startswith("@@")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _changed(state: Desk) -> bool:
    """Whether the text in the editor is another than the one that was run."""
    text = st.session_state.get(debug_form.CODE)
    return access.runs_code() and state.job is not None and text != state.job.source


def _run_again() -> str:
    return say("The code has changed since this run: run it again first.")


def _apply(number: int) -> None:
    """Take a fix over into the text and run that."""
    state = desk()
    failure = state.run.trace.failure if state.run is not None else None
    if state.job is None or failure is None or not 0 <= number < len(failure.fixes):
        return
    if _changed(state):
        st.toast(_run_again(), icon=":material/edit:")
        return
    source = _mended(state.job, failure.fixes[number])
    if source is None:
        return
    state.before.append(state.job)
    _exchange(state, replace(state.job, source=source))


def _undo() -> None:
    state = desk()
    if state.before:
        _exchange(state, state.before.pop())


def _exchange(state: Desk, job: Job) -> None:
    st.session_state[debug_form.CODE] = job.source
    state.start(job)


# --- the examples -----------------------------------------------------------------------------


def gallery() -> None:
    st.header(say("Twelve broken models to learn from"), anchor=False)
    with st.container(key="cards-broken"):
        for example in examples():
            with st.container(border=True, key=f"broken-{example.key}", gap="xsmall"):
                st.button(
                    escaped(example.title),
                    key=f"example-{example.key}",
                    type="tertiary",
                    icon=":material/play_circle:",
                    on_click=_open,
                    args=(example,),
                )
                st.caption(escaped(example.tells))


def _open(example: Example) -> None:
    debug_form.fill_in(example.job)
    state = desk()
    state.before.clear()
    state.start(example.job)
