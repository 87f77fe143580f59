"""The form of one's own module: a text and which module of it, or an installed class; its arguments
and its inputs."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from tracer import inputs
from tracer import outline as outlines
from tracer.endings import is_state
from tracer.language import translator
from tracer.outline import Argument, ModuleClass, Outline, SourceError
from tracer.syntax import parsed
from tracer.worker import Answer, Job
from ui.held import held
from ui.language import language, say
from ui.text import code, label, prose

CODE = "debug/code"
CLASS = "debug/class"
_SHOWN = "debug/shown"
_OTHERS = "debug/others"
_MAIN = "debug/main"
_DATA = "debug/data"
_WEIGHTS = "debug/weights"
SCRIPT = ""
_NAME = "debug/name"
_TRAINING = "debug/training"
_SIZES = {"B": 2, "N": 2, "C": 3, "H": 32, "W": 32, "T": 16, "L": 16, "S": 16}
_LARGEST = 1_000_000


def fill_in(job: Job) -> None:
    """Show a job in the form.  To be called before the form is drawn."""
    own = (CODE, CLASS, _SHOWN, _OTHERS, _MAIN, _DATA)
    kept = {key: text for key, text in _written().items() if key in own}
    written = st.session_state["written"] = kept
    if job.source:
        take(job.files | {job.file: job.source}, job.file)
        written[_NAME] = job.name
    else:
        written[CLASS] = job.name
    for name, text in job.arguments.items():
        written[_argument_key(job.name, name)] = text
    chosen = _module(job)
    names = [each.name for each in chosen.forward] if chosen is not None else []
    for place, text in enumerate(job.inputs):
        name, equals, rest = text.partition("=")
        named = bool(equals) and name.rstrip(":").isidentifier()
        field = name.rstrip(":") if named else (names[place : place + 1] or ["*"])[0]
        value = (":=" if named and name.endswith(":") else "") + rest if named else text
        written[_input_key(job.name, field)] = value
    written |= {f"debug/size/{letter}": size for letter, size in job.sizes.items()}
    written[_TRAINING] = job.training


# What is written in the form belongs to the page, and its controls show it (`held`): a link, an
# example or a fix writes there too.


def _written() -> dict[str, Any]:
    found: dict[str, Any] = st.session_state.setdefault("written", {})
    return found


def written(key: str, default: Any = "") -> Any:
    """What is written in the field of that key."""
    return _written().get(key, default)


def write(key: str, value: Any) -> None:
    """Write into the field of that key, before it is drawn."""
    _written()[key] = value


def field(key: str, default: Any = "") -> tuple[Any, dict[str, Any]]:
    """What a field shows, and what its control is to be drawn with."""
    value = written(key, default)

    def change(chosen: Any) -> None:
        write(key, default if chosen is None else chosen)

    return value, held(key, value, change)


def shown() -> str:
    """The path of the file in the editor."""
    return str(written(_SHOWN, Job("").file))


def others() -> dict[str, str]:
    """The other files of the program, by their paths."""
    found: dict[str, str] = written(_OTHERS, {})
    return found


def texts() -> dict[str, str]:
    """All files, by their paths."""
    return others() | {shown(): str(written(CODE))}


def take(files: dict[str, str], main: str, show: str = "") -> None:
    """Take these files in the place of those that are there; `main` is the path of the one whose
    module is run, and `show` of that in the editor, the same if it says nothing."""
    show = show or main
    write(CODE, files[show])
    write(_SHOWN, show)
    write(_MAIN, main)
    write(_OTHERS, {path: text for path, text in files.items() if path != show})


def show(path: str) -> None:
    """Put another file into the editor."""
    if path in others():
        take(texts(), main(), path)


def main() -> str:
    """The path of the file whose module is run."""
    return str(written(_MAIN, Job("").file)) if others() else shown()


def data() -> tuple[dict[str, bytes], str]:
    """Pictures, arrays and weights by their names, and which of them the weights are taken
    from."""
    found: dict[str, bytes] = written(_DATA, {})
    weights = written(_WEIGHTS)
    return found, weights if weights in found else ""


def weigh(name: str) -> None:
    """Take the weights from the file of that name, from none if it is empty."""
    write(_WEIGHTS, name)


def give(found: dict[str, bytes]) -> None:
    """Take these pictures, arrays and weights in the place of those that are there."""
    write(_DATA, found)
    states = [name for name in found if is_state(name)]
    weigh(states[0] if states else "")


def _module(job: Job) -> ModuleClass | None:
    """What the text of a job says that its module takes."""
    try:
        classes = outlines.outline(job.source).classes
    except SourceError:
        return None
    return next((each for each in classes if each.name == job.name), None)


@dataclass(frozen=True)
class Known:
    """What the latest run has told of a module: what it takes, and what was found for it; `chosen`
    are the letters whose sizes the reader gave."""

    form: ModuleClass | None = None
    arguments: dict[str, str] = dataclasses.field(default_factory=dict)
    inputs: dict[str, str] = dataclasses.field(default_factory=dict)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    chosen: frozenset[str] = frozenset()


def known(job: Job | None, answer: Answer | None, source: str, name: str) -> Known:
    """What an answer has told of this module."""
    if job is None or answer is None or (job.source, job.name) != (source, name):
        return Known()
    used = answer.used
    if used is None:
        return Known(answer.form)
    named = (text.partition("=") for text in used.inputs if text not in job.inputs)
    return Known(
        answer.form,
        {
            key: text
            for key, text in used.arguments.items()
            if key not in job.arguments or job.sizes.keys() & _names_in(text)
        },
        {name: text for name, equals, text in named if equals},
        used.sizes,
        frozenset(job.sizes),
    )


def files_job(told: Callable[[str, str], Known]) -> Job | None:
    """Draw the form for the text in the editor, or for one of several files; what is filled in, or
    None when it offers nothing to run.  `told(source, name)` is what is known of a module."""
    if not others():
        return _job_of(str(written(CODE)), told)
    run, files = main(), texts()
    paths = sorted(path for path in files if path.endswith(".py"))
    chosen = st.selectbox(
        say("Module from"),
        paths,
        paths.index(run),
        **held(_MAIN, run, lambda path: write(_MAIN, path)),
    )
    source = files.pop(chosen)
    job = _job_of(source, told)
    return None if job is None else replace(job, file=chosen, files=files)


def _job_of(source: str, told: Callable[[str, str], Known]) -> Job | None:
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
        st.error(prose(error.told(translator(language()))), icon=":material/code_off:")
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
    job = _filled(source, name, chosen, guesses, told(source, name))
    return replace(job, training=mode())


def _input_file() -> str:
    """What gives the first input: the first of the files that are no weights."""
    found, weights = data()
    others = [name for name in found if name != weights]
    return f"@{others[0]}" if others else ""


def _with_data(job: Job) -> Job:
    """With the files that it speaks of."""
    found, weights = data()
    used = {
        name: content
        for name, content in found.items()
        if name == weights or any(f"@{name}" in text for text in job.inputs)
    }
    return replace(job, data=used, weights=weights)


def class_job(name: str, training: bool, told: Callable[[str, str], Known]) -> Job | None:
    """Draw the form for an installed class, as far as a run has told what it takes."""
    if not name:
        st.caption(
            say(
                "Type a class of an installed package, or a part of its name. What its constructor "
                "and its forward need is found by trying, and can be changed here afterwards."
            )
        )
        return None
    known = told("", name)
    if known.form is None:
        file = _input_file()
        return _with_data(Job("", name, inputs=(file,) if file else (), training=training))
    return replace(_filled("", name, known.form, [], known), training=training)


def _filled(
    source: str, name: str, chosen: ModuleClass | None, guesses: list[str], known: Known
) -> Job:
    arguments = _arguments(name, chosen, known) if chosen is not None else {}
    texts = _inputs(name, chosen, guesses, known)
    # Where an argument is written out, the size that it went along with is found anew.
    freed = {letter for each in arguments for letter in _names_in(known.arguments.get(each, ""))}
    changed = _found_letters(name, texts, known.sizes, known.chosen - freed)
    sizes = _letters(texts) | changed
    # An argument that is the size of an input goes along with it.
    for each, argument in known.arguments.items():
        if changed.keys() & _names_in(argument):
            arguments.setdefault(each, argument)
    return _with_data(Job(source, name, arguments, texts, sizes))


def _names_in(text: str) -> set[str]:
    """The names in an argument, as Python."""
    try:
        nodes = ast.walk(parsed(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _choice(found: Outline, names: list[str], guesses: list[str]) -> str:
    lines = {each.name: each.line for each in found.classes}
    best = found.best or SCRIPT
    options = [*names, SCRIPT] if found.runs else names
    if written(_NAME, None) not in options:
        # A text that calls its own model knows the inputs, unless they can be read off it.
        write(_NAME, SCRIPT if found.runs and not guesses else best)

    def label(name: str) -> str:
        if name == SCRIPT:
            return say("The whole text, as a script")
        if name in lines:
            return say("{name} · line {line}", name=name, line=lines[name])
        return say("{name} · built already", name=name)

    value, control = field(_NAME)
    index = options.index(value)
    return str(st.selectbox(say("Module"), options, index, format_func=label, **control))


def _arguments(name: str, chosen: ModuleClass, known: Known) -> dict[str, str]:
    """What differs from the constructor's own defaults, and from what was found for it; these stand
    grey in their fields."""
    fields = [each for each in chosen.constructor if each.kind in ("", "=")]
    if not fields:
        return {}
    st.caption(say("Arguments of {name}, as Python", name=f"`{chosen.name}`"))
    given = {}
    with st.container(key="debug-arguments", height=240 if len(fields) > 8 else "content"):
        for each in fields:
            found = known.arguments.get(each.name, each.default)
            value, control = field(_argument_key(name, each.name))
            text = st.text_input(
                label(each.name),
                value,
                placeholder=found if found is not None else say("found by trying"),
                help=code(each.annotation) if each.annotation else None,
                **control,
            )
            if text and text.strip():
                given[each.name] = text.strip()
    return given


def _argument_key(name: str, field: str) -> str:
    return f"debug/argument/{name}/{field}"


def _inputs(
    name: str, chosen: ModuleClass | None, guesses: list[str], known: Known
) -> tuple[str, ...]:
    fields = chosen.forward if chosen is not None else ()
    plain = chosen.inputs if chosen is not None else ()
    st.caption(
        say("Inputs: sizes such as {sizes}", sizes="`2,3,224,224:float32`, `B,C,H,W`"),
        help=say(
            "`2,10:int64<100` are whole numbers below 100, `2,10:bool` a mask, "
            "`[1,8,4,4; 1,8,2,2]` a list of two tensors, {table} a dictionary, "
            "`:=True` a Python value, `1,3,H,W@cat.png` an opened picture. Letters get their "
            "sizes below. What is left empty and needed is found by trying.",
            table="`{x=2,8; y=2:int64}`",
        ),
    )
    texts, by_name = [], False
    file = _input_file()
    if file and not any("@" in written(_input_key(name, each.name)) for each in plain):
        guesses = [file, *guesses[1:]]
    with st.container(key="debug-inputs"):
        for place, each in enumerate(plain):
            guess = guesses[place] if place < len(guesses) and each.default is None else ""
            value, control = field(_input_key(name, each.name))
            text = st.text_input(
                label(each.name),
                value,
                placeholder=guess or known.inputs.get(each.name) or _hint(each),
                **control,
            )
            text = (text or "").strip() or guess
            by_name = by_name or each.kind == "=" or not text
            if text:
                texts.append(_named(each, text) if by_name or each.default else text)
        if not plain or any(each.kind in ("*", "**") for each in fields):
            value, control = field(_input_key(name, "*"))
            lines = st.text_area(
                say("Inputs, one a line"), value, height=68, placeholder="2,3,32,32", **control
            )
            own = [line.strip() for line in (lines or "").splitlines() if line.strip()]
            texts += own or (guesses[:1] if not plain else [])
    return tuple(texts)


def _input_key(name: str, field: str) -> str:
    return f"debug/input/{name}/{field}"


def _hint(field: Argument) -> str:
    return field.default if field.default is not None else say("found by trying")


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
            value, control = field(key, _SIZES.get(letter[0].upper(), 8))
            sizes[letter] = int(st.number_input(letter, 0, _LARGEST, value, step=1, **control))
    return sizes


def _found_letters(
    name: str, texts: tuple[str, ...], found: dict[str, int], kept: frozenset[str]
) -> dict[str, int]:
    """The sizes that the reader changes of those that were found, and has changed before."""
    own = set(inputs.letters(texts))
    changed = {}
    with st.container(key="debug-found-sizes"):
        for letter, size in found.items():
            if letter in own or size > _LARGEST:
                continue
            # Where another size is found, it is another control.
            shown, control = field(f"debug/size/{name}/{letter}/{size}", size)
            value = st.number_input(letter, 0, _LARGEST, shown, 1, **control)
            if value != size or letter in kept:
                changed[letter] = int(value)
    return changed


def mode() -> bool:
    """The control that chooses between eval and train: whether it is train."""
    training, control = field(_TRAINING, default=False)
    return bool(
        st.segmented_control(
            say("Mode"),
            [False, True],
            default=training,
            format_func=lambda training: "train" if training else "eval",
            required=True,
            **control,
        )
    )


def _guesses(source: str) -> list[str]:
    """Inputs that the text itself makes outside its classes: `torch.randn(2, 3, 32, 32)`."""
    tree = parsed(source)
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
