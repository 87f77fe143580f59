"""The sidebar of the walkthrough: which lesson, at which sizes, on which input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from modules.lesson import InputKind, Option, Size, known_solution
from tracer.language import translator
from tracer.sentences import render
from ui import own, shipped
from ui.held import held, segments
from ui.language import language, say
from ui.shipped import LESSONS, lesson
from ui.text import escaped
from ui.view import (
    MAX_SEED,
    View,
    default_view,
    from_query,
    matching_preset,
    option_text,
    preset_view,
)

if TYPE_CHECKING:
    from tracer.formulas.proof import Solution

CUSTOM = "Own sizes"

MOST_VALUES = 4096
"""Values of one size of which it is looked up which are allowed."""


def _kinds() -> dict[InputKind, str]:
    return {"picture": say("Picture"), "noise": say("Noise"), "ramp": say("Ramp")}


def _kinds_help() -> str:
    return say(
        "**Picture**: drawn by code and lifted to all channels by fixed filters. "
        "**Noise**: normal numbers. "
        "**Ramp**: each element holds its flat index, so that you can follow it through "
        "`view` and `permute`."
    )


def current_view(arrived: bool) -> View:
    """The view on screen. The address decides when the reader arrives with one; after that what
    was chosen, also when coming back from another page."""
    query = {name: st.query_params[name] for name in st.query_params}
    known: View | None = st.session_state.get("view")
    if known is not None and not (arrived and "lesson" in query):
        return known
    view, complaints = from_query(query)
    st.session_state["view"] = view
    st.session_state["complaints"] = complaints
    return view


def sidebar(view: View) -> None:
    """Draw the controls for `view`; what is changed there is the view of the next run."""
    chosen = lesson(view.lesson)
    with st.sidebar:
        titles = {each.key: say(each.title) for each in LESSONS}
        _select(say("Lesson"), "lesson", view.lesson, titles, lambda _, key: default_view(key))
        preset = matching_preset(view)
        names = {each.name: say(each.name) for each in chosen.presets}
        if preset is None:
            names = {CUSTOM: say("Own sizes"), **names}
        _select(say("Preset"), "preset", preset or CUSTOM, names, preset_view)
        if preset is not None:
            st.caption(say(chosen.preset(preset).note))

        solution = known_solution(chosen, dict(view.settings), view.training)
        with st.container(key="sizes"):
            for size in chosen.sizes:
                value = dict(view.settings)[size.name]
                help = say(size.meaning) + say(".") + _range(size, _legal(view, size, solution))
                _number(size.name, size.name, value, size.low, size.high, help)
        with st.container(key="options"):
            for option in chosen.options:
                _option(option, dict(view.settings)[option.name])
        if solution is not None:
            _violations(view, solution)
        st.divider()
        kinds = {kind: _kinds()[kind] for kind in chosen.kinds}
        _segments(say("Input"), "kind", view.kind, kinds, help=_kinds_help())
        given = own.given(view)
        _segments(say("Mode"), "training", view.training, {False: "eval", True: "train"})
        _segments(
            say("Compute"),
            "values",
            view.values,
            {True: say("Values"), False: say("Shapes only")},
            help=say("Shapes alone cost nothing at any size; values need memory and time."),
        )
        help = say("Another seed draws another input.")
        _number(say("Seed"), "seed", view.seed, 0, MAX_SEED, help)
    if given != view.own:
        st.session_state["view"] = replace(view, own=given)
        st.rerun()


def _violations(view: View, solution: Solution) -> None:
    """What these settings violate, with values that do not."""
    translate = translator(language())
    for sentence in solution.violated(dict(view.settings)):
        st.warning(escaped(render(sentence, translate)), icon=":material/rule:")


def _legal(view: View, size: Size, solution: Solution | None) -> Sequence[int] | None:
    """The values of the size that the formulas' constraints allow, the other sizes being as they
    are; None where all are, as far as it is known."""
    if view == default_view(view.lesson) and not shipped.outdated():
        return shipped.legal(view.lesson).get(size.name)
    return None if solution is None else legal_values(view, size, solution)


def legal_values(view: View, size: Size, solution: Solution) -> Sequence[int] | None:
    """As `_legal` says."""
    from tracer.formulas.proof import allowed

    values = range(size.low, min(size.high, size.low + MOST_VALUES) + 1)
    legal = allowed(solution, dict(view.settings), size.name, values)
    return None if len(legal) == len(values) else legal


def _range(size: Size, legal: Sequence[int] | None) -> str:
    """Which values go with the other sizes, in words; nothing where all do."""
    if legal is None:
        return ""
    if not legal:
        return say(" None fits the other sizes as they are.")
    step = legal[1] - legal[0] if len(legal) > 1 else 1
    if len(legal) > 4 and list(legal) == list(range(legal[0], legal[-1] + 1, step)):
        if step == 1:
            high = size.high if legal[-1] == size.low + MOST_VALUES else legal[-1]
            text = say("{low} to {high}", low=f"{legal[0]:,}", high=f"{high:,}")
        else:
            text = say("{low}, {next}, {third}, …", low=legal[0], next=legal[1], third=legal[2])
    else:
        text = ", ".join(map(str, legal[:8])) + ("" if len(legal) <= 8 else ", …")
    return say(" With the other sizes as they are: {values}.", values=text)


# A control is a picture of the view (`held`); what a reader chooses there changes the view.


def _set(view: View) -> None:
    st.session_state["view"] = view
    st.session_state["complaints"] = []


def _number(label: str, name: str, value: int, low: int, high: int, help: str) -> None:
    def change(number: int | None) -> None:
        view: View = st.session_state["view"]
        if number is not None:
            own = name == "seed"
            _set(replace(view, seed=number) if own else view.with_settings({name: number}))

    control = held(f"{st.session_state['view'].lesson}/{name}", value, change)
    help += say(" {low} to {high}.", low=f"{low:,}", high=f"{high:,}")
    st.number_input(label, low, high, value, step=1, help=help, **control)


def _select(
    label: str,
    name: str,
    value: Any,
    choices: dict[Any, str],
    then: Callable[[View, Any], View],
    help: str | None = None,
) -> None:
    def change(chosen: Any) -> None:
        if chosen != CUSTOM:
            _set(then(st.session_state["view"], chosen))

    scope = "" if name == "lesson" else f"{st.session_state['view'].lesson}/"
    # Its choices are known by their labels: in another language it is another control.
    control = held(f"choose/{scope}{name}/{language()}", value, change)
    keys = list(choices)
    index = keys.index(value)
    st.selectbox(label, keys, index, format_func=choices.__getitem__, help=help, **control)


def _option(option: Option, value: Any) -> None:
    def choose(view: View, chosen: Any) -> View:
        return view.with_settings({option.name: chosen})

    texts = {choice: option_text(choice) for choice in option.choices}
    if option.in_words:
        texts = {choice: say(text) for choice, text in texts.items()}
    width = "wide" if max(map(len, texts.values())) > 8 else "narrow"
    with st.container(key=f"{width}-{option.name}"):
        _select(option.name, option.name, value, texts, choose, help=say(option.meaning) + say("."))


def _segments(
    label: str, name: str, value: Any, choices: dict[Any, str], help: str | None = None
) -> None:
    def change(chosen: Any) -> None:
        _set(replace(st.session_state["view"], **{name: chosen}))

    own = f"{st.session_state['view'].lesson}/{name}/{language()}"
    segments(label, choices, own, value, change, help=help)
