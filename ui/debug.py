"""The page of one's own module: a run of somebody's code or of an installed class, what came of it,
and the fixes to take."""

from __future__ import annotations

import functools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import streamlit as st

from tracer import Failure, Step, Trace, inputs, installed, sandbox, worker
from tracer import outline as outlines
from tracer.document import Fix, Root
from tracer.language import translator
from tracer.sentences import render, said
from tracer.views.graph import shape_text
from tracer.worker import Answer, Job, Limits, Problem
from ui import access, changed, debug_form, editor, errors, handed, opened, player, push
from ui.details import details
from ui.examples import Example, examples, working
from ui.held import chosen
from ui.language import language, link, say
from ui.run import BUDGET_SHARE, Run, in_bytes
from ui.share import free_memory
from ui.text import code, escaped, prose

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

PATIENCE = 1.2
"""Seconds that the page waits for a run before it shows that one is on its way."""

LIMITS = Limits()
MATCHES = 8
"""Classes that are offered for what is typed."""

AT_ONCE = 2
"""Runs at the same time, for all sessions together."""


def limits() -> Limits:
    """Those of one run; all at once may take as much memory as one run of a lesson."""
    share = int(free_memory() * BUDGET_SHARE / AT_ONCE)
    return replace(LIMITS, memory=min(LIMITS.memory, share))


_slots = threading.BoundedSemaphore(AT_ONCE)
_warmed = threading.Lock()


class Task:
    """A job in a thread of this process, which waits for it to be run in another."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.answer: Answer | None = None
        self.began: float | None = None
        self.dropped = False  # nobody waits for it any more
        self._reads = push.reader()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        with _slots:
            if self._wanted():
                self.began = time.monotonic()
                try:
                    self.answer = worker.run(self.job, limits(), self._wanted)
                except Exception:
                    # Else the page would ask for an answer for ever.
                    logging.getLogger(__name__).exception("No answer")
                    lost = said("The process that runs code gave no answer.")
                    self.answer = Answer(None, Problem("worker", lost), "", 0.0)

    def _wanted(self) -> bool:
        return not self.dropped and self._reads()

    def wait(self, seconds: float | None) -> bool:
        """Whether it has ended, after waiting for it at most so long."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


@dataclass
class Desk:
    """What a session has on its desk. `count` numbers the answers, `before` are the texts that
    fixes have replaced, `formulas` finds those of the run that is shown, `unfound` is why there are
    none.  `tensor` is the last that was looked into: of which answer, which one, and its values."""

    task: Task | None = None
    formulas: Task | None = None
    unfound: Problem | None = None
    job: Job | None = None
    answer: Answer | None = None
    run: Run | None = None
    count: int = 0
    before: list[Job] = field(default_factory=list)
    tensor: tuple[int, int, np.ndarray] | None = None

    def start(self, job: Job) -> None:
        for old in (self.task, self.formulas):
            if old is not None:
                old.dropped = True
        self.task, self.formulas = Task(job), None

    def take(self) -> None:
        """The answer of the task that has ended, and of that which finds formulas for it."""
        if self.task is not None and self.task.answer is not None:
            self.job, self.answer, self.task = self.task.job, self.task.answer, None
            trace = self.answer.trace
            self.run = _named(self.answer, trace) if trace is not None else None
            self.count += 1
            self.unfound = None
            if trace is not None and trace.failure is None and self.job.name:
                self.formulas = Task(replace(self.job, formulas=True))
        if self.formulas is not None and self.formulas.answer is not None:
            answer, self.formulas = self.formulas.answer, None
            self.unfound = answer.problem
            if answer.trace is not None and answer.trace.failure is None:
                self.run = _named(answer, answer.trace)


def _named(answer: Answer, trace: Trace) -> Run:
    """The run, whose dimensions have the letters of its inputs."""
    used, form = answer.used, answer.form
    if used is None or form is None:
        return Run(trace)
    dims = inputs.dims(used.inputs, [each.name for each in form.inputs])
    return Run(replace(trace, letters=tuple(dims.items())))


def desk() -> Desk:
    found: Desk = st.session_state.setdefault("desk", Desk())
    return found


def warm() -> None:
    """Let the process that runs code be there before it is asked for."""
    if _warmed.acquire(blocking=False):
        threading.Thread(target=worker.warm, daemon=True).start()


# --- what to run ------------------------------------------------------------------------------


def arrive(query: Mapping[str, str]) -> None:
    """Take over what the address hands on.  Nothing of it is run before the reader asks for it."""
    if query.get("class") == "":
        st.session_state["debug-from"] = "class"
        st.session_state["debug-searches"] = st.session_state.get("debug-searches", 0) + 1
    try:
        job = handed.from_query(query)
        if job is not None:
            _show(job)
            st.session_state["debug-handed"] = True
    except handed.HandedError:
        st.session_state["debug-damaged"] = True


def _show(job: Job) -> None:
    debug_form.fill_in(job)
    st.session_state["debug-from"] = "code" if job.source else "class"
    if job.source and job.name not in ("", *_names(job.source)):
        st.session_state["debug-damaged"] = True


def _names(source: str) -> list[str]:
    try:
        found = outlines.outline(source)
    except outlines.SourceError:
        return []
    return [*(each.name for each in found.classes), *found.instances]


def address() -> dict[str, str]:
    """What an address says of what was run here, with empty texts for what it shall not say;
    nothing before, when it says what was handed on."""
    job = desk().job
    return dict.fromkeys(handed.NAMES, "") | handed.to_query(job) if job is not None else {}


def workbench() -> None:
    """The editor, or the class, and the form; on a served address what there is instead."""
    warm()
    state = desk()
    if state.task is not None and state.task.wait(0):
        state.take()
    if st.session_state.pop("debug-damaged", False):
        st.warning(
            say("The link is damaged: something in it was lost on the way."),
            icon=":material/link_off:",
        )
    if st.session_state.get("debug-handed"):
        st.info(
            say("This came with the address, and nothing of it has run: read it, then press Run."),
            icon=":material/link:",
        )
    if not access.runs_code():
        _closed(state)
        if not access.packages():
            return

    def told(source: str, name: str) -> debug_form.Known:
        return debug_form.known(state.job, state.answer, source, name)

    _origins()
    with st.container(key="debug-bench"):
        left = st.container(key="debug-text", gap="xsmall")
        right = st.container(key="debug-form", gap="small")
        if _origin() == "class":
            with left:
                name = _class(state)
            with right:
                training = debug_form.mode()
            with left:
                job = debug_form.class_job(name, training, told)
            editor.ace()  # the browser may still be fetching it
        else:
            with left:
                try:
                    opened.ways_in()
                except opened.Saved as saved:
                    _show(saved.job)
                    st.rerun()  # a class has another form
                _editor(state)
            with right:
                job = debug_form.files_job(told)
        with right:
            opened.tensors(state.answer.notes if state.answer is not None else (), job)
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
        _start(state, job)


def _editor(state: Desk) -> None:
    shown = state.run is not None and not _changed(state)
    trace = state.run.trace if shown and state.run is not None else None
    text = str(debug_form.written(debug_form.CODE))
    write = functools.partial(debug_form.write, debug_form.CODE)
    program = editor.Program(
        debug_form.others(), debug_form.main(), debug_form.shown(), debug_form.take
    )
    offer = _offer(state) if trace is not None else None
    ran = state.job.source if state.job is not None else ""
    editor.show(text, write, trace, debug_form.shown(), state.count, ran, program, offer, _apply)


def _offer(state: Desk) -> editor.Offer | None:
    """The first fix that can be taken, if it changes the file in the editor."""
    failure = state.run.trace.failure if state.run is not None else None
    if state.job is None or failure is None:
        return None
    for number, fix in enumerate(failure.fixes):
        mended = opened.mended(state.job, fix)
        if mended is not None:
            texts = {path: after for path, _, after in _changes(state.job, mended)}
            words, _ = fix.told(translator(language()))
            text = texts.get(debug_form.shown())
            return None if text is None else editor.Offer(number, words, text)
    return None


def _start(state: Desk, job: Job) -> None:
    state.before.clear()
    st.session_state.pop("debug-handed", None)
    state.start(replace(job, literal=not job.source and not access.runs_code()))


def _origin() -> str:
    """Whether the reader brings `code`, or names a `class` that is installed."""
    return str(st.session_state.get("debug-from", "code")) if access.runs_code() else "class"


def _origins() -> None:
    if access.runs_code():
        names = {"code": say("Your code"), "class": say("An installed class")}
        chosen(say("What to run"), names, "debug-from", f"debug-origin/{language()}")


def _class(state: Desk) -> str:
    """The field for a class, and those that are meant by what is in it."""
    typed, control = debug_form.field(debug_form.CLASS)
    name = st.text_input(
        say("Class"),
        typed,
        placeholder="torch.nn.MultiheadAttention",
        icon=":material/search:",
        live=True,
        **control,
    )
    if st.session_state.get("debug-searches"):
        player.focus("debug-text", st.session_state["debug-searches"])
    name = (name or "").strip()
    packages = access.packages()
    package = name.partition(".")[0]
    allowed = access.runs_code() or package in packages
    if name and (state.job is None or state.job.name != name):
        found = installed.matching(name, packages, MATCHES)
        if not allowed and "." in name:
            words = say(
                "This server runs classes of {packages}, as its operator allows, and none of "
                "{package}.",
                packages=", ".join(packages),
                package=code(package),
            )
            st.warning(words, icon=":material/lock:")
        elif not found:
            st.caption(say("No class of {packages} is called so.", packages=", ".join(packages)))
        with st.container(key="debug-matches", gap="xxsmall"):
            for each in found:
                st.button(
                    code(each),
                    key=f"debug-match/{each}",
                    type="tertiary",
                    icon=":material/play_arrow:",
                    on_click=_open_class,
                    args=(each,),
                )
    elif not name:
        st.caption(say("Installed here: {packages}.", packages=", ".join(packages)))
    return name if allowed else ""


def _open_class(name: str) -> None:
    _open(Job("", name))


def _protections() -> None:
    with st.expander(say("What protects this machine"), icon=":material/shield:"):
        st.caption(
            say(
                "The code runs in a process of its own, computes at most {seconds} s and waits at "
                "most {clock} s, with {memory} of memory, in an empty folder, and is ended with "
                "all that it started.",
                seconds=f"{LIMITS.seconds:g}",
                clock=f"{LIMITS.clock:g}",
                memory=in_bytes(limits().memory),
            )
        )
        translate = translator(language())
        for sentence in sandbox.protections():
            st.caption(f"- {escaped(render(sentence, translate))}")


def _closed(state: Desk) -> None:
    """Here code comes from this program alone: the examples and what fixes made of them."""
    if access.would_run_code():
        why = say(
            "Code runs here for who comes with this server's token: open the address that it "
            "printed when it started, which ends in {token}. What was typed into the editor "
            "stays in this browser and is there again. The examples below work without.",
            token="`?token=…`",
        )
    else:
        why = say(
            "This server can be reached from elsewhere, so it runs nobody's code. Trace your model "
            "where it lives and open the file here, which executes nothing. The examples below "
            "work. The operator can allow code with {setting}.",
            setting=f"`{access.VARIABLE}=1`",
        )
    st.info(why, icon=":material/lock:")
    st.code("python -m tracer model.py:Net --input 2,3,224,224 --save trace.json", language="bash")
    st.page_link("pages/2_Open_a_trace.py", label=say("Open a trace"), icon=":material/file_open:")
    if state.job is not None and state.job.source:
        with st.expander(say("The example's code"), expanded=True):
            st.code(state.job.source, line_numbers=True, height=320)


# --- what came of it --------------------------------------------------------------------------


def outcome() -> None:
    """The answer of the latest run, the way to it, or the examples."""
    state = desk()
    if state.formulas is not None and state.formulas.wait(0):
        state.take()
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
        if _changed(state):
            st.info(
                say("This was the code before your change: run it to see what the new one does."),
                icon=":material/history:",
            )
        _verdict(state, state.answer)
    player.reveal("verdict", state.count, _changed(state))
    if state.run is not None:
        run = state.run.told_in(language())
        path = _first_to_see(run.trace)
        start = (path, state.count) if path is not None else None
        said = {name: value for name, value in address().items() if value}
        player.show(run, said | link(), start, _apply)
        _formulas(state, run.trace)
        source = state.job.source if state.job is not None else ""
        details(run, None, functools.partial(_tensor, state), said, source)
        if state.formulas is not None:
            push.when(_ended(state.formulas))
    st.divider()
    gallery()


def _formulas(state: Desk, trace: Trace) -> None:
    """Whether the sizes have formulas, in one line from the first: nothing moves when they come."""
    why = state.unfound
    if state.formulas is not None:
        words = say("Looking for the formulas of the sizes, and what the steps cost …")
    elif trace.costs:
        words = say("The sizes have formulas: the player shows them with the key F.")
    elif why is None:
        return
    elif why.kind == "time":
        words = say(
            "The sizes stay numbers: to find their formulas takes more than the {seconds} s that a "
            "run may compute.",
            seconds=f"{LIMITS.seconds:g}",
        )
    else:
        reason = prose(render(why.says, translator(language())))
        words = say("The sizes stay numbers, for no formulas were found: {reason}", reason=reason)
    st.caption(f":material/info: {words}")


def _tensor(state: Desk, number: int) -> Tensor:
    """One tensor of the run that is shown, made again where the run was; the latest is kept.

    Raises:
        RuntimeError: it cannot be made again, with the reason.
    """
    import torch

    assert state.job is not None
    if state.tensor is None or state.tensor[:2] != (state.count, number):
        task = Task(replace(state.job, tensor=number))
        task.wait(None)
        assert task.answer is not None
        if task.answer.tensor is None:
            problem = task.answer.problem
            raise RuntimeError(render(problem.says, translator(language())) if problem else "")
        state.tensor = (state.count, number, task.answer.tensor)
    return torch.from_numpy(state.tensor[2])


def _ended(task: Task) -> Callable[[], bool]:
    return lambda: task.wait(0)


@st.fragment
def _progress(state: Desk) -> None:
    task = state.task
    if task is None or task.wait(0):
        st.rerun()
    began = task.began
    # What it says changes once a second: each look would draw it ten times as often.
    then = time.monotonic() + 1
    push.when(lambda: task.wait(0) or task.began != began or time.monotonic() >= then)
    with st.container(key="progress", horizontal=True, vertical_alignment="center"):
        if task.began is None:
            words = say("Waiting for the runs of others")
        else:
            # Nothing here knows how much of the time was computing, so there is no bar.
            words = say(
                "Running for {passed} s: at most {most} s of computing, {clock} s of waiting",
                passed=f"{time.monotonic() - task.began:.0f}",
                most=f"{LIMITS.seconds:g}",
                clock=f"{LIMITS.clock:g}",
            )
        st.caption(f":material/hourglass_top: {words}")
        if st.button(say("Cancel"), key="cancel"):
            task.dropped = True
            state.task = None
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
        broken = trace.failure.violation
        errors.page("" if broken is None else broken.code)
        _fixes(state, trace.failure)
    elif trace is not None and answer.problem is None:
        made = ", ".join(map(shape_text, trace.outputs))
        values = {
            "name": f"**{escaped(trace.name)}**",
            "shapes": escaped(made) if made else say("nothing"),
        }
        values["count"] = f"{len(trace.steps):,}"
        st.success(
            say("{name} runs: {count} steps, and {shapes} come out.", **values)
            if len(trace.outputs) > 1
            else say("{name} runs: {count} steps, and {shapes} comes out.", **values),
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
        if state.job is not None and (state.job.source or state.job.arguments):
            st.download_button(
                say("Save this module"),
                functools.partial(handed.to_file, state.job),
                f"{state.job.name or 'script'}.json",
                "application/json",
                icon=":material/download:",
                on_click="ignore",
                key="debug-save",
            )
        if answer.printed:
            with st.popover(say("What it printed"), icon=":material/terminal:"):
                st.code(answer.printed, language=None, height=300)


def _problem(problem: Problem) -> None:
    words = prose(render(problem.says, translator(language())))
    if problem.kind == "nothing":
        st.warning(words, icon=":material/visibility_off:")
    else:
        st.error(words, icon=":material/block:")
    if problem.caret:
        st.code(problem.caret, language=None)


def _stopped(failure: Failure) -> str:
    told, _ = failure.told(translator(language()))
    rule = prose(told) if told else code(f"{failure.type}: {failure.message}")
    if not failure.expression:
        return rule
    where = say(
        "Stops at {expression}, line {line}.",
        expression=f"**{code(failure.expression)}**",
        line=failure.line,
    )
    return f"{where} {rule}"


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
        player.go_to(str(step.index), uuid.uuid4().hex)


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
    if not state.job.source:
        return
    mended = {number: opened.mended(state.job, fix) for number, fix in enumerate(failure.fixes)}
    if not any(mended.values()):
        st.info(
            say(
                "No change of the code was found that is sound. {reason}",
                reason=prose(failure.told(translator(language()))[1]),
            ),
            icon=":material/lightbulb:",
        )
    usable = [number for number, fix in enumerate(failure.fixes) if mended[number] or fix.inputs]
    if not usable:
        return
    first, *others = usable
    _fix(state, first, failure.fixes[first], mended[first])
    if others:
        with st.expander(say("Other ways ({count})", count=len(others))):
            for number in others:
                _fix(state, number, failure.fixes[number], mended[number])


def _fix(state: Desk, number: int, fix: Fix, mended: Job | None) -> None:
    """A fix with what it changes; one of the inputs, which are the reader's, is only told."""
    assert state.job is not None
    with st.container(border=True, key=f"fix-{number}", gap="small"):
        summary, caveat = fix.told(translator(language()))
        st.markdown(f":material/build: {prose(summary)}")
        if caveat:
            st.caption(f":material/warning: {prose(caveat)}")
        for path, before, after in _changes(state.job, mended) if mended is not None else ():
            if state.job.files:
                st.caption(code(path))
            st.html(changed.shown(before, after))
        edited = _changed(state)
        with st.container(horizontal=True, vertical_alignment="center"):
            if mended is not None:
                st.button(
                    say("Apply and run again"),
                    type="primary" if number == 0 else "secondary",
                    icon=":material/auto_fix_high:",
                    on_click=_apply,
                    args=(number,),
                    key=f"apply-{number}",
                    disabled=edited,
                    help=_run_again() if edited else None,
                )
            if fix.verified:
                made = ", ".join(str(tuple(shape)) for shape in fix.output_shapes)
                tried = say(
                    "Tried: the whole forward runs, here and with another batch size, and gives "
                    "{shapes}.",
                    shapes=escaped(made),
                )
                st.caption(f":green[:material/check:] {tried}", width="content")


def _changes(before: Job, after: Job) -> Iterator[tuple[str, str, str]]:
    """The path of each file that differs, with its two texts."""
    old, new = (job.files | {job.file: job.source} for job in (before, after))
    for path, text in new.items():
        if text != old[path]:
            yield path, old[path], text


def _changed(state: Desk) -> bool:
    """Whether the text in the editor is another than the one that was run."""
    if not access.runs_code() or state.job is None or not state.job.source:
        return False
    return debug_form.texts() != state.job.files | {state.job.file: state.job.source}


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
    mended = opened.mended(state.job, failure.fixes[number])
    if mended is None:
        return
    state.before.append(state.job)
    _exchange(state, mended)


def _undo() -> None:
    state = desk()
    if state.before:
        _exchange(state, state.before.pop())


def _exchange(state: Desk, job: Job) -> None:
    paths = [path for path, _, _ in _changes(state.job, job)] if state.job is not None else []
    files = job.files | {job.file: job.source}
    debug_form.take(files, job.file, paths[0] if paths else "")
    state.start(job)


# --- the examples -----------------------------------------------------------------------------


def gallery() -> None:
    """Models to begin with: those that run, then those that break."""
    st.header(say("Twelve models to walk through"), anchor=False)
    _cards("working", working())
    st.header(say("Twelve broken models to learn from"), anchor=False)
    _cards("broken", examples())


def _cards(kind: str, shown: tuple[Example, ...]) -> None:
    with st.container(key=f"cards-{kind}"):
        for example in shown:
            with st.container(border=True, key=f"sample-{example.key}", gap="xsmall"):
                st.button(
                    escaped(example.title),
                    key=f"example-{example.key}",
                    type="tertiary",
                    icon=":material/play_circle:",
                    on_click=_open,
                    args=(example.job,),
                )
                st.caption(prose(example.tells))


def _open(job: Job) -> None:
    _show(job)
    _start(desk(), job)
