"""The form of the page Debug: a text, which module of it, its arguments and its inputs."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

import streamlit as st

from tracer import Failure, inputs
from tracer import outline as outlines
from tracer.outline import Argument, ModuleClass, Outline, SourceError
from tracer.views import colours
from tracer.worker import Job
from ui.language import language, say
from ui.text import escaped

CODE = "debug/code"
HEIGHT = 430
LINE = 20
"""Pixels from one line of the editor to the next."""

NUMBERED = 1000
"""Lines of the editor that have a number; a picture of more would be too high for a browser."""

SCRIPT = ""
_NAME = "debug/name"
_SIZES = {"B": 2, "N": 2, "C": 3, "H": 32, "W": 32, "T": 16, "L": 16, "S": 16}
_LARGEST = 1_000_000


def fill_in(job: Job) -> None:
    """Show a job in the form.  To be called before the form is drawn."""
    for key in list(st.session_state):
        if str(key).startswith(("debug/argument/", "debug/input/", "debug/size/")):
            del st.session_state[key]
    st.session_state[CODE] = job.source
    st.session_state[_NAME] = job.name
    (chosen,) = (each for each in outlines.outline(job.source).classes if each.name == job.name)
    for argument, text in zip(chosen.forward, job.inputs, strict=False):
        st.session_state[_input_key(job.name, argument.name)] = text
    for letter, size in job.sizes.items():
        st.session_state[f"debug/size/{letter}"] = size
    st.session_state[f"debug/training/{language()}"] = job.training


def editor(marks: dict[int, str]) -> str:
    """The text area, with the numbers of its lines and some of them marked by a colour."""
    source: str = st.session_state.get(CODE) or ""
    st.html(f"<style>{_numbers(source.count(chr(10)) + 1, marks)}</style>")
    text = st.text_area(
        say("Code"),
        key=CODE,
        height=HEIGHT,
        label_visibility="collapsed",
        persist_state="session",
        placeholder=say("Paste a file with your nn.Module here, imports included."),
    )
    return (text or "").replace("\r\n", "\n")


def _numbers(lines: int, marks: dict[int, str]) -> str:
    """The lines' numbers as a background that scrolls with the text."""
    count = min(NUMBERED, math.ceil((lines + 30) / 50) * 50)
    high = count * LINE
    rows = "".join(
        f"%3Ctext x='38' y='{LINE * line - 6}'%3E{line}%3C/text%3E" for line in range(1, count + 1)
    )
    bars = "".join(
        f"%3Crect y='{LINE * (line - 1)}' width='4000' height='{LINE}' "
        f"fill='{colour.replace('#', '%23')}' fill-opacity='.2'/%3E"
        for line, colour in marks.items()
        if 0 < line <= count
    )
    picture = (
        f"%3Csvg xmlns='http://www.w3.org/2000/svg' width='4000' height='{high}'%3E{bars}"
        f"%3Cg fill='%238a8a86' font-family='monospace' font-size='11' text-anchor='end'%3E{rows}"
        "%3C/g%3E%3C/svg%3E"
    )
    return f'.st-key-debug-code textarea{{background-image:url("data:image/svg+xml,{picture}")}}'


def job_of(source: str) -> Job | None:
    """Draw the form for a text; what is filled in, or None when the text offers nothing to run."""
    if not source.strip():
        st.caption(
            say(
                "Paste code, open a file, or take one of the examples below. It is read first "
                "and not run: its modules and their arguments appear here."
            )
        )
        return None
    try:
        found = outlines.outline(source)
    except SourceError as error:
        st.error(escaped(str(error)), icon=":material/code_off:")
        if error.caret:
            st.code(error.caret, language=None)
        return None
    names = [each.name for each in found.classes] + list(found.instances)
    if not names and not found.runs:
        st.error(
            say(
                "There is no module in this code: write a class that inherits from nn.Module, "
                "with a forward."
            ),
            icon=":material/search_off:",
        )
        return None
    guesses = _guesses(source)
    name = _choice(found, names, guesses)
    chosen = next((each for each in found.classes if each.name == name), None)
    if name == SCRIPT:
        st.caption(
            say("Runs from the first line to the last; the call of a module that fails is shown.")
        )
        return Job(source)
    arguments = _arguments(chosen) if chosen is not None else {}
    texts = _inputs(name, chosen, guesses)
    sizes = _letters(texts)
    training = _mode()
    return Job(source, name, arguments, texts, sizes, training=training)


def _choice(found: Outline, names: list[str], guesses: list[str]) -> str:
    lines = {each.name: each.line for each in found.classes}
    best = found.best or SCRIPT
    options = [*names, SCRIPT] if found.runs else names
    if st.session_state.get(_NAME) not in options:
        # A text that calls its own model knows the inputs, unless they can be read off it.
        st.session_state[_NAME] = SCRIPT if found.runs and not guesses else best

    def label(name: str) -> str:
        if name == SCRIPT:
            return say("The whole text, as a script")
        if name in lines:
            return say("{name} · line {line}", name=name, line=lines[name])
        return say("{name} · built already", name=name)

    return st.selectbox(
        say("Module"), options, key=_NAME, format_func=label, persist_state="session"
    )


def _arguments(chosen: ModuleClass) -> dict[str, str]:
    """What differs from the constructor's own defaults; these stand grey in their fields."""
    fields = [each for each in chosen.constructor if each.kind in ("", "=")]
    if not fields:
        return {}
    st.caption(say("Arguments of {name}, as Python", name=f"`{chosen.name}`"))
    given = {}
    with st.container(key="debug-arguments", height=240 if len(fields) > 8 else "content"):
        for field in fields:
            text = st.text_input(
                escaped(field.name),
                key=f"debug/argument/{chosen.name}/{field.name}",
                placeholder=field.default if field.default is not None else say("needed"),
                help=f"`{field.annotation}`" if field.annotation else None,
                persist_state="session",
            )
            if text and text.strip():
                given[field.name] = text.strip()
    return given


def _inputs(name: str, chosen: ModuleClass | None, guesses: list[str]) -> tuple[str, ...]:
    fields = chosen.forward if chosen is not None else ()
    known = [each for each in fields if each.kind in ("", "=")]
    st.caption(
        say("Inputs: sizes such as {sizes}", sizes="`2,3,224,224:float32`, `B,C,H,W`"),
        help=say(
            "`2,10:int64<100` are whole numbers below 100, `2,10:bool` a mask, "
            "`[1,8,4,4; 1,8,2,2]` a list of two tensors, `:=True` a Python value. Letters get "
            "their sizes below."
        ),
    )
    texts, by_name = [], False
    with st.container(key="debug-inputs"):
        for place, field in enumerate(known):
            guess = guesses[place] if place < len(guesses) and field.default is None else ""
            text = st.text_input(
                escaped(field.name),
                key=_input_key(name, field.name),
                placeholder=guess or _hint(field),
                persist_state="session",
            )
            text = (text or "").strip() or guess
            by_name = by_name or field.kind == "=" or not text
            if text:
                texts.append(_named(field, text) if by_name or field.default else text)
        if not known or any(each.kind in ("*", "**") for each in fields):
            lines = st.text_area(
                say("Inputs, one a line"),
                key=_input_key(name, "*"),
                height=68,
                placeholder="2,3,32,32",
                persist_state="session",
            )
            own = [line.strip() for line in (lines or "").splitlines() if line.strip()]
            texts += own or (guesses[:1] if not known else [])
    return tuple(texts)


def _input_key(name: str, field: str) -> str:
    return f"debug/input/{name}/{field}"


def _hint(field: Argument) -> str:
    return field.default if field.default is not None else say("such as {sizes}", sizes="B,C,H,W")


def _named(field: Argument, text: str) -> str:
    """An input given by name; what its default or annotation says is no tensor is a value."""
    head = text.partition("=")[0].rstrip(": ")
    if head == field.name:
        return text
    if text.startswith(":="):
        return field.name + text
    plain = field.annotation in ("bool", "int", "float", "str") or _is_plain(field.default)
    return f"{field.name}:={text}" if plain else f"{field.name}={text}"


def _is_plain(default: str | None) -> bool:
    return default is not None and default != "None"


def _letters(texts: tuple[str, ...]) -> dict[str, int]:
    letters = [
        letter for letter in inputs.letters(texts) if letter.isidentifier() and len(letter) < 30
    ]
    sizes = {}
    with st.container(key="debug-sizes"):
        for letter in letters[:12]:
            key = f"debug/size/{letter}"
            st.session_state.setdefault(key, _SIZES.get(letter[0].upper(), 8))
            sizes[letter] = int(
                st.number_input(letter, 0, _LARGEST, step=1, key=key, persist_state="session")
            )
    return sizes


def _mode() -> bool:
    key = f"debug/training/{language()}"
    if st.session_state.get(key) is None:
        st.session_state[key] = False
    return bool(
        st.segmented_control(
            say("Mode"),
            [False, True],
            key=key,
            format_func=lambda training: "train" if training else "eval",
            required=True,
        )
    )


def _guesses(source: str) -> list[str]:
    """Inputs that the text itself makes outside its classes: `torch.randn(2, 3, 32, 32)`."""
    tree = ast.parse(source)
    body = [
        node
        for node in tree.body
        if not isinstance(node, ast.ClassDef | ast.FunctionDef)
        or (isinstance(node, ast.FunctionDef) and node.name.startswith(("main", "test")))
    ]
    calls = [node for item in body for node in ast.walk(item) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    return list(_made(calls))


def _made(calls: list[ast.Call]) -> Iterator[str]:
    for call in calls:
        head, _, maker = ast.unparse(call.func).rpartition(".")
        if head != "torch" or maker not in ("randn", "rand", "zeros", "ones", "randint"):
            continue
        try:
            values = [ast.literal_eval(argument) for argument in call.args]
        except ValueError:
            continue
        bound = ""
        if maker == "randint" and values:
            bound = f":int64<{values[-2] if len(values) > 1 else 2}"
            values = list(values[-1:])
        if len(values) == 1 and isinstance(values[0], tuple | list):
            values = list(values[0])
        if values and all(type(size) is int and size >= 0 for size in values):
            yield ",".join(map(str, values)) + bound


def marks(failure: Failure | None) -> dict[int, str]:
    """Which lines of the editor a failure speaks of: where it was born, where it shows."""
    found: dict[int, str] = {}
    if failure is not None and failure.file == Job("").file:
        for link in failure.chain:
            if link.file == failure.file:
                found[link.line] = colours.WAY
        if failure.root is not None and failure.root.file == failure.file:
            found[failure.root.line] = colours.ROOT
        found[failure.line] = colours.FAILED
    return found
