"""Two runs side by side: which they are, and what is drawn of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from modules.lesson import Size
from tracer import Trace, TraceFileError
from tracer.language import translator
from tracer.sentences import Said, said
from tracer.views.compare import Comparison, Growth, compare
from tracer.views.player import script, style
from ui import loading, player, push
from ui import run as runs
from ui.controls import CUSTOM
from ui.held import held
from ui.language import language, link, say, told
from ui.run import FormulaJob, Job, Run, in_bytes, in_flops, times
from ui.shipped import LESSONS, lesson
from ui.text import code, escaped, prose
from ui.view import (
    View,
    default_view,
    from_query,
    matching_preset,
    option_text,
    preset_view,
    to_query,
)
from ui.work import AT_ONCE

LARGEST = 64
"""Megabytes of a trace that is opened here."""

HEIGHT = "max(30rem, calc(100dvh - 17rem))"
"""As high as the window lets it be under the choice of the two, with its transport in sight."""

SIDES = ("one", "other")
MODULE, OPENED, FILE, KEPT = "module", "opened", "file", "kept"
"""What stands in the place of a lesson's key: the run of one's own module as it is now, the trace
that is open on its page, a file, and a run that was chosen before and is kept as it was."""

PAIRS: tuple[tuple[Said, Mapping[str, str], Mapping[str, str]], ...] = (
    (said("SE and ECA"), {"lesson": "squeeze-excite"}, {"lesson": "eca-image"}),
    (said("Coordinate attention and DyCAConv"), {"lesson": "coordatt"}, {"lesson": "dycaconv"}),
    (
        said("Gaussian and embedded Gaussian"),
        {"lesson": "non-local", "mode": "gaussian"},
        {"lesson": "non-local", "mode": "embedded_gaussian"},
    ),
)
"""What is worth a look beside each other, as two addresses of lessons."""

_HERE = Path(__file__).parent

_component = st.components.v2.component(
    "shapewalk.compare",
    html='<div class="place"></div>',
    css=style() + player.FONTS,
    js=script((_HERE / "compare.js").read_text(encoding="utf-8")),
)


@dataclass(frozen=True)
class Side:
    """One of the two: a lesson's `view`, or a `run` from elsewhere, or a file still to be named."""

    view: View | None = None
    run: Run | None = None

    @property
    def key(self) -> str:
        if self.view is not None:
            return self.view.lesson
        return FILE if self.run is None else KEPT


# --- which they are ----------------------------------------------------------------------------


def _sides() -> dict[str, Side]:
    first = dict(zip(SIDES, PAIRS[0][1:], strict=True))
    found: dict[str, Side] = st.session_state.setdefault(
        "compared", {name: Side(from_query(query)[0]) for name, query in first.items()}
    )
    return found


def _at_hand() -> dict[str, Run]:
    """Runs of other pages, as they are now."""
    desk = st.session_state.get("desk")
    found = {MODULE: desk.run if desk is not None else None}
    found[OPENED] = st.session_state.get("opened")
    return {key: run for key, run in found.items() if run is not None}


def arrive(query: Mapping[str, str]) -> None:
    """Take from the address which runs to compare."""
    sides, complaints = _sides(), list[Said]()
    for name in SIDES:
        asked = query.get(name)
        if asked is None:
            continue
        if asked in (MODULE, OPENED):
            run = _at_hand().get(asked)
            sides[name] = Side(run=run) if run is not None else sides[name]
        else:
            view, wrong = from_query(dict(parse_qsl(asked)))
            sides[name] = Side(view)
            complaints += wrong
    st.session_state["comparing-complaints"] = complaints


def address() -> dict[str, str]:
    """What the address says of both; nothing of a run that no address names."""
    return {
        name: "" if side.view is None else urlencode(to_query(side.view))
        for name, side in _sides().items()
    }


def choices() -> None:
    """The controls: what stands on the left and on the right."""
    for complaint in st.session_state.get("comparing-complaints", ()):
        st.warning(prose(told(complaint)), icon=":material/link_off:")
    with st.container(key="comparing-pairs", horizontal=True, gap="small"):
        for title, one, other in PAIRS:
            query = {"one": urlencode(one), "other": urlencode(other), **link()}
            st.page_link("pages/4_Compare.py", label=told(title), query_params=query)
    for column, name in zip(st.columns(2, gap="medium"), SIDES, strict=True):
        with column, st.container(key=f"comparing-{name}"):
            _chooser(name, _sides()[name])


def _chooser(name: str, side: Side) -> None:
    titles = {each.key: say(each.title) for each in LESSONS}
    words = {
        MODULE: say("Your module, as it is now: {name}"),
        OPENED: say("The trace that is open: {name}"),
    }
    for key, run in _at_hand().items():
        titles[key] = words[key].format(name=run.trace.name)
    if side.run is not None:
        titles[KEPT] = say("{name}, as it was", name=side.run.trace.name)
    titles[FILE] = say("A saved trace")
    label = say("On the left") if name == SIDES[0] else say("On the right")

    def take(key: str) -> None:
        at_hand = _at_hand()
        if key == KEPT:
            return
        _put(name, Side(run=at_hand[key]) if key in at_hand else _lesson_or_file(key))

    keys = list(titles)
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.selectbox(
            label,
            keys,
            keys.index(side.key),
            format_func=titles.__getitem__,
            **held(f"comparing/{name}/{language()}", side.key, take),
        )
        if side.view is not None:
            _settings(name, side.view)
    if side.key == FILE:
        _file(name)


def _lesson_or_file(key: str) -> Side:
    return Side() if key == FILE else Side(default_view(key))


def _put(name: str, side: Side) -> None:
    _sides()[name] = side
    st.session_state["comparing-complaints"] = []


def _settings(name: str, view: View) -> None:
    chosen = lesson(view.lesson)
    preset = matching_preset(view)
    names = {each.name: say(each.name) for each in chosen.presets}
    if preset is None:
        names = {CUSTOM: say("Own sizes"), **names}

    def take(wanted: str) -> None:
        if wanted != CUSTOM:
            _put(name, Side(preset_view(view, wanted)))

    keys = list(names)
    with st.popover(names[preset or CUSTOM], icon=":material/tune:", help=say("Preset and sizes")):
        st.selectbox(
            say("Preset"),
            keys,
            keys.index(preset or CUSTOM),
            format_func=names.__getitem__,
            **held(f"comparing/{name}/{view.lesson}/preset/{language()}", preset or CUSTOM, take),
        )
        for size in chosen.sizes:
            _size(name, view, size)
        for option in chosen.options:
            _option(name, view, option.name, option.choices)


def _size(name: str, view: View, size: Size) -> None:
    value = dict(view.settings)[size.name]

    def take(number: int | None) -> None:
        if number is not None:
            _change(name, {size.name: number})

    control = held(f"comparing/{name}/{view.lesson}/{size.name}", value, take)
    st.number_input(size.name, size.low, size.high, value, 1, help=say(size.meaning), **control)


def _option(name: str, view: View, option: str, values: tuple[Any, ...]) -> None:
    value = dict(view.settings)[option]

    def take(chosen: Any) -> None:
        _change(name, {option: chosen})

    control = held(f"comparing/{name}/{view.lesson}/{option}", value, take)
    st.selectbox(option, values, values.index(value), format_func=option_text, **control)


def _change(name: str, changes: Mapping[str, Any]) -> None:
    view = _sides()[name].view
    if view is not None:
        _put(name, Side(view.with_settings(changes)))


def _file(name: str) -> None:
    opened = st.file_uploader(
        say("Trace file"),
        type="json",
        max_upload_size=LARGEST,
        label_visibility="collapsed",
        key=f"comparing-{name}-file",
    )
    if opened is None:
        return
    try:
        side = Side(run=Run(Trace.from_json(opened.getvalue())))
    except TraceFileError as error:
        why = prose(error.told(translator(language())))
        st.error(f"{code(opened.name)}: {why}", icon=":material/block:")
    else:
        _put(name, side)
        st.rerun()


# --- what is drawn of them -----------------------------------------------------------------------


def both() -> None:
    """The two runs and what each takes, as soon as both are there."""
    waiting: list[Job | FormulaJob] = []
    found = [_run(side, waiting) for side in _sides().values()]
    _forget(waiting)
    if waiting:
        push.when(lambda: any(job.wait(0) for job in waiting))
    one, other = found
    if one is None or other is None:
        if any(side.key == FILE for side in _sides().values()):
            st.info(say("Choose a file, and both runs are shown."), icon=":material/upload_file:")
        return
    names = _names(one, other)
    aligned = compare(one.trace, other.trace)
    if aligned.pairs:
        _draw(one, other, aligned, names)
    else:
        st.info(say("Neither of these runs has a step."))
    _takes(aligned, names)


def _run(side: Side, waiting: list[Job | FormulaJob]) -> Run | None:
    """The best run that there is now; what will be better is among those `waiting`."""
    if side.run is not None:
        return side.run.told_in(language())
    if side.view is None:
        return None
    run = runs.at_default(side.view)
    if run is None:
        loading.now()
        try:
            run = _computed(side.view, waiting)
        except runs.CannotRun as problem:
            st.error(prose(told(problem.sentence)), icon=":material/block:")
            return None
    return run.told_in(language())


def _computed(view: View, waiting: list[Job | FormulaJob]) -> Run:
    run = runs.outline(view)
    forecast = runs.forecast(run.trace)
    if view.values and not forecast.fits:
        st.warning(runs.advice(view, forecast), icon=":material/memory:")
    elif view.values:
        job = _job((view, "values"), lambda: Job(view, len(run.trace.steps), push.reader()))
        if not job.wait(AT_ONCE):
            waiting.append(job)
            return run
        if job.problem is not None:
            st.error(prose(told(job.problem)), icon=":material/block:")
        run = job.run or run
    found = runs.formulated(view, run)
    if found is not None:
        return found
    seeker = _job((view, run.stands_in), lambda: FormulaJob(view, run, push.reader()))
    if not seeker.wait(AT_ONCE if runs.comes_at_once(view, run) else 0):
        waiting.append(seeker)
    return runs.formulated(view, run) or run


def _job(key: tuple[View, object], begin: Any) -> Any:
    """The session's work of that key, begun if it is not at it."""
    jobs = st.session_state.setdefault("comparing-jobs", {})
    if key not in jobs or jobs[key].cancelled:
        jobs[key] = begin()
    return jobs[key]


def _forget(waiting: list[Job | FormulaJob]) -> None:
    """What nobody waits for any more is ended."""
    jobs: dict[Any, Job | FormulaJob] = st.session_state.setdefault("comparing-jobs", {})
    shown = {side.view for side in _sides().values()}
    for key in [key for key in jobs if key[0] not in shown]:
        jobs.pop(key).cancel()


def _names(one: Run, other: Run) -> tuple[str, str]:
    """What the two are called: where that is one name, with the settings in which they differ."""
    left, right = (side.view for side in _sides().values())
    titles = (
        one.trace.name if left is None else say(lesson(left.lesson).title),
        other.trace.name if right is None else say(lesson(right.lesson).title),
    )
    if left is None or right is None or left.lesson != right.lesson:
        return titles
    pairs = zip(left.settings, right.settings, strict=True)
    found = [(a, b) for a, b in pairs if a != b]
    return (_called(titles[0], [a for a, _ in found]), _called(titles[1], [b for _, b in found]))


def _called(title: str, settings: list[tuple[str, Any]]) -> str:
    shown = ", ".join(f"{name}={option_text(value)}" for name, value in settings)
    return f"{title} · {shown}" if shown else title


def _draw(one: Run, other: Run, aligned: Comparison, names: tuple[str, str]) -> None:
    pairs = [
        {
            "one": None if pair.one is None else pair.one.index,
            "other": None if pair.other is None else pair.other.index,
            "outputs": [None if found is None else list(found) for found in pair.outputs],
        }
        for pair in aligned.pairs
    ]
    parts = {
        "one": one.payload,
        "other": other.payload,
        "pairs": json.dumps(pairs).encode(),
        "names": json.dumps(names).encode(),
    }
    body = b",".join(json.dumps(key).encode() + b":" + part for key, part in parts.items())
    head = json.dumps({"height": HEIGHT}).encode()
    _component(data=head + b"\n{" + body + b"}", key="comparing")


def _takes(aligned: Comparison, names: tuple[str, str]) -> None:
    """What each of the runs takes, as a table."""
    totals = aligned.totals
    rows: list[tuple[str, list[str]]] = [
        (say("Steps"), [f"{each.steps:,}" for each in totals]),
        (say("Parameters"), [f"{each.parameters:,}" for each in totals]),
        (say("Floating-point operations"), [in_flops(each.flops) for each in totals]),
        (say("Memory of all results"), [in_bytes(each.bytes) for each in totals]),
        (say("Most memory at once"), [in_bytes(each.peak) for each in totals]),
    ]
    grown = [{growth.size: growth for growth in each.growth} for each in totals]
    for size in dict.fromkeys(name for each in grown for name in each):
        cells = [_grows(each.get(size)) for each in grown]
        rows.append((say("Twice the {size}: memory, operations", size=escaped(size)), cells))
    lines = [[say("Run"), *map(escaped, names)], ["---", "---:", "---:"]]
    lines += [[title, *map(escaped, cells)] for title, cells in rows]
    with st.container(key="comparing-totals"):
        st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))
        st.caption(
            say(
                "Most memory at once: if each result is freed behind the last step that reads it. "
                "Nothing of inputs and parameters is counted."
            )
        )


def _grows(growth: Growth | None) -> str:
    return "–" if growth is None else f"{times(growth.bytes)}, {times(growth.flops)}"
