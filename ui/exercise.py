"""An exercise: a teacher picks steps to be asked, with notes and questions; all of it is in one
link or one file, and the codes that students hand in become a table of who missed what."""

from __future__ import annotations

import base64
import binascii
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from tracer import Step, Trace
from tracer.views import html
from tracer.views.rules import rules
from ui.address import page as address_of
from ui.language import link, say
from ui.run import Run
from ui.text import code, escaped

MOST_STEPS = 100
MOST_WORDS = 2_000
LARGEST_CODE = 200_000
"""Characters of one code that is read."""

MOST_CODES = 500
STATES = ("first", "later", "missed", "none")


@dataclass(frozen=True)
class Handed:
    """What one student has handed in: of each step its state, one of `STATES`, the rules that were
    missed, in the student's language, and the answer to the question."""

    exercise: str
    name: str
    steps: Mapping[int, tuple[str, tuple[str, ...], str]]


def packed(value: Any) -> str:
    """A value as a text that an address may hold; `exercise.js` reads it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def exercise_text(title: str, steps: Sequence[tuple[int, str, str]]) -> str:
    """What an address says of an exercise: `steps` are their indices, each with a note and a
    question, which may be empty."""
    return packed({"title": title, "steps": [list(each) for each in steps]})


def handed(text: str) -> Handed | None:
    """What a code says; None where it is damaged."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        body = json.loads(raw) if len(text) <= LARGEST_CODE else None
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not isinstance(body.get("steps"), list):
        return None
    found = {}
    for each in body["steps"][:MOST_STEPS]:
        match each:
            case [int(step), str(state), [*missed], str(answer)] if state in STATES:
                names = tuple(str(rule)[:MOST_WORDS] for rule in missed)
                found[step] = (state, names, answer[:MOST_WORDS])
    name, exercise = str(body.get("name", ""))[:120], str(body.get("exercise", ""))[:120]
    return Handed(exercise, name, found)


def codes(text: str) -> Iterator[str]:
    """The codes in what was pasted: whatever stands between blanks."""
    yield from text.split()[:MOST_CODES]


def asked(trace: Trace) -> list[Step]:
    """The steps that may be asked: those that do something to a shape."""
    known = zip(trace.steps, rules(trace), strict=True)
    return [step for step, rule in known if rule is not None and not rule["plain"]]


# --- the page ------------------------------------------------------------------------------------


def button(run: Run, query: Mapping[str, str]) -> None:
    """Opens the exercise of a run; nothing where no step of it can be asked.  `query` is that of a
    lesson's walkthrough: of another run there is the file alone."""
    if asked(run.trace) and st.button(say("Exercise"), icon=":material/school:"):
        st.dialog(say("Exercise"), width="large")(shown)(run, query)


def shown(run: Run, query: Mapping[str, str]) -> None:
    """The exercise of a run, to be made and handed on, and what was handed in."""
    trace = run.trace
    steps = {step.index: step for step in asked(trace)}
    st.markdown(
        say(
            "Choose the steps that are asked, and add a note or a question of your own. The link "
            "or the file has all of it; answers stay on the student's device."
        )
    )
    title = st.text_input(say("Title"), value=say("Exercise"), max_chars=120)
    chosen = st.multiselect(
        say("Steps"),
        list(steps),
        default=list(steps)[:3],
        format_func=lambda index: _called(steps[index]),
        max_selections=MOST_STEPS,
    )
    written = []
    for index in sorted(chosen):
        with st.expander(_called(steps[index]).replace("`", "")):
            note = st.text_input(say("Note"), key=f"exercise/{index}/note", max_chars=MOST_WORDS)
            question = st.text_input(
                say("Question"), key=f"exercise/{index}/question", max_chars=MOST_WORDS
            )
        written.append((index, note, question))
    if not written:
        return
    text = exercise_text(title, written)
    if query:
        address = address_of("Walkthrough", {**query, **link(), "exercise": text})
        st.code(address, language=None, wrap_lines=True)
    st.download_button(
        say("Exercise as a file"),
        functools.partial(html.page, trace, language=run.language, exercise=text),
        "exercise.html",
        "text/html",
        on_click="ignore",
    )
    st.header(say("Handed in"), anchor=False)
    pasted = st.text_area(say("The codes of your students, each in a line"))
    _table(trace, [handed(each) for each in codes(pasted)], text)


def _called(step: Step) -> str:
    expression = " ".join(step.expression.split())
    return f"{step.index + 1} · {expression}"


def _table(trace: Trace, found: Sequence[Handed | None], text: str) -> None:
    """Who missed what: a row for each student, and what was missed most."""
    damaged = sum(each is None for each in found)
    if damaged:
        st.warning(say("Damaged codes, which are left out: {count}.", count=damaged))
    students = [each for each in found if each is not None]
    if not students:
        return
    if any(each.exercise != text[-12:] for each in students):
        st.info(say("Some of these codes are of another exercise than the one above."))
    states = {
        "first": say("right at first"),
        "later": say("right later"),
        "missed": say("missed"),
        "none": say("not answered"),
    }
    indices = sorted({index for each in students for index in each.steps})
    head = [say("name"), *(f"{index + 1}" for index in indices)]
    rows = []
    for each in students:
        cells = []
        for index in indices:
            state, missed, answer = each.steps.get(index, ("none", (), ""))
            parts = [states[state], *missed, *([f"“{answer}”"] if answer else [])]
            cells.append(" · ".join(map(escaped, parts)))
        rows.append([escaped(each.name or say("unnamed")), *cells])
    lines = [head, ["---"] * len(head), *rows]
    st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))
    for index in indices:
        if index < len(trace.steps):
            wrong = sum(each.steps.get(index, ("none",))[0] != "first" for each in students)
            st.caption(
                say(
                    "{step}: {wrong} of {count} not at first.",
                    step=f"{index + 1} {code(trace.steps[index].expression)}",
                    wrong=wrong,
                    count=len(students),
                )
            )
