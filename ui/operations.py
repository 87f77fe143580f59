"""The page of operations: one call of each over small tensors, walked by the player at the sizes,
numbers and arguments that a reader gives; its rule as a formula, what goes wrong, and where the
lessons use it."""

from __future__ import annotations

import ast
import linecache
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import streamlit as st

from tracer import TensorNote, Trace
from tracer.language import translator
from tracer.ops.examples import EXAMPLES, Example, Small, mistakes
from tracer.ops.spec import TABLE, Form
from tracer.ops.steps import call_of
from tracer.sentences import Said, ToldError, render, said
from tracer.syntax import parsed
from ui import errors, language, loading, player, shipped
from ui.held import held
from ui.language import say, told
from ui.run import Run, weight
from ui.share import Kept
from ui.text import code, escaped, label, prose

if TYPE_CHECKING:
    from torch import Tensor

HEIGHT = "30rem"
"""Of the player: of one step, with what goes wrong in sight below it."""

FIRST = "matmul"
"""What is shown where nothing was asked for."""

LARGEST = 64
MOST_DIMENSIONS = 6
MOST_ELEMENTS = 4096
"""Of a tensor that a reader gives; a result may have 16 times as many."""

MOST_NUMBERS = 256
NUMBERS = ".numbers"
"""Behind a tensor's name: the field of what it is filled with."""

FIELD = "with."
"""Before a field's name in the address, where other names have other meanings."""

_KEPT_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Shown:
    """An operation's example with what a reader has written into its fields, by their names."""

    op: str = FIRST
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def example(self) -> Example:
        return EXAMPLES[self.op]

    def text(self, name: str) -> str:
        """What stands in a field: what was written, else the example's own."""
        return self.fields.get(name, _own(self.example)[name])

    def with_fields(self, changes: Mapping[str, str]) -> Shown:
        """With these fields written; what says the same as the example is not kept."""
        own = _own(self.example)
        fields = {**self.fields, **changes}
        return Shown(self.op, {k: v for k, v in fields.items() if v != own[k]})


def _own(example: Example) -> dict[str, str]:
    """The fields of an example as it is."""
    found = {}
    for tensor in example.tensors:
        found[tensor.name] = ", ".join(map(str, tensor.shape))
        found[tensor.name + NUMBERS] = " ".join(f"{number:g}" for number in tensor.numbers)
    return found | {name: repr(value) for name, value in example.arguments.items()}


# --- the address ---------------------------------------------------------------------------------


def from_query(query: Mapping[str, str]) -> tuple[Shown, list[Said]]:
    """What an address asks for, and a sentence for an operation that has no example."""
    asked = query.get("op", FIRST)
    if asked not in EXAMPLES:
        text = said("There is no example of {name}; {shown} is shown.", name=asked, shown=FIRST)
        return Shown(), [text]
    written = {name: query[FIELD + name] for name in _own(EXAMPLES[asked]) if FIELD + name in query}
    return Shown(asked).with_fields(written), []


def to_query(shown: Shown) -> dict[str, str]:
    """The shortest query that `from_query` reads back."""
    return {"op": shown.op, **{FIELD + name: text for name, text in shown.fields.items()}}


def arrive(query: Mapping[str, str]) -> None:
    """Take from the address what is shown."""
    if "op" in query or "operation" not in st.session_state:
        st.session_state["operation"], st.session_state["operation-complaints"] = from_query(query)


def current() -> Shown:
    """What is on screen."""
    found: Shown = st.session_state.setdefault("operation", Shown())
    return found


def _show(shown: Shown) -> None:
    st.session_state["operation"] = shown
    st.session_state["operation-complaints"] = []


# --- what was written ----------------------------------------------------------------------------


class FieldError(ToldError):
    """A field holds what cannot be taken; the message is one sentence for the reader."""


def _sizes(name: str, text: str) -> tuple[int, ...]:
    words = text.strip().strip("()[]（）").replace("，", ",").split(",")
    words = [word.strip() for word in words if word.strip()]
    fits = all(word.isascii() and word.isdecimal() and len(word) < 4 for word in words)
    shape = tuple(map(int, words)) if fits else ()
    if not fits or len(shape) > MOST_DIMENSIONS or any(size > LARGEST for size in shape):
        raise FieldError(
            said(
                "{name} takes sizes such as 2, 3, 4: at most {rank}, each a whole number from 0 to "
                "{most}.",
                name=f"`{name}`",
                rank=MOST_DIMENSIONS,
                most=LARGEST,
            )
        )
    if math.prod(shape) > MOST_ELEMENTS:
        raise FieldError(
            said(
                "{name} would have {count} elements: this page is for small tensors, of at most "
                "{most}.",
                name=f"`{name}`",
                count=f"{math.prod(shape):,}",
                most=f"{MOST_ELEMENTS:,}",
            )
        )
    return shape


def _numbers(name: str, text: str) -> tuple[float, ...]:
    words = text.replace(",", " ").replace("，", " ").split()
    try:
        numbers = tuple(float(word) for word in words[:MOST_NUMBERS])
    except ValueError:
        numbers = (math.nan,)
    if len(words) > MOST_NUMBERS or not all(map(math.isfinite, numbers)):
        raise FieldError(
            said(
                "The numbers of {name} are written as 1 2 0.5: at most {most} of them, which are "
                "taken over and over again.",
                name=f"`{name}`",
                most=MOST_NUMBERS,
            )
        )
    return numbers


def _argument(name: str, text: str) -> Any:
    """A number, True, False, None or a tuple of these."""
    try:
        value = ast.literal_eval(parsed(text.strip(), "eval"))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        value = text
    value = tuple(value) if isinstance(value, list) else value
    parts = value if isinstance(value, tuple) else (value,)
    plain = all(
        each is None or (isinstance(each, bool | int | float) and abs(each) <= LARGEST)
        for each in parts
    )
    if not plain or len(parts) > 2 * MOST_DIMENSIONS:
        raise FieldError(
            said(
                "{name} takes a number such as 2, or several such as (2, 3): none above {most}.",
                name=f"`{name}`",
                most=LARGEST,
            )
        )
    return value


# --- the run -------------------------------------------------------------------------------------

_runs: Kept[tuple[str, str], Run] = Kept(_KEPT_BYTES, weight)
_running = threading.Lock()
"""The text of one example at a time is where Python looks for it."""


def run_of(shown: Shown) -> Run:
    """The call, walked at what its fields say.

    Raises:
        FieldError: a field holds what cannot be taken, or the result would be too large.
    """
    small = {}
    for tensor in shown.example.tensors:
        shape = _sizes(tensor.name, shown.text(tensor.name))
        numbers = _numbers(tensor.name, shown.text(tensor.name + NUMBERS))
        small[tensor.name] = Small(tensor.name, tensor.letters, shape, numbers, tensor.dtype)
    arguments = {name: _argument(name, shown.text(name)) for name in shown.example.arguments}
    key = (shown.op, repr((small, arguments)))
    return _runs.made(key, lambda: _traced(shown.example, small, arguments))


def _traced(example: Example, small: Mapping[str, Small], arguments: Mapping[str, Any]) -> Run:
    import torch

    from tracer.api import traced

    text = f"def {example.op}({', '.join(small)}):\n    return {example.written(arguments)}\n"
    path = f"<{example.op}>"
    space: dict[str, Any] = {"torch": torch, "F": torch.nn.functional}
    exec(compile(text, path, "exec"), space)
    given = {name: _tensor(each) for name, each in small.items()}
    dims = _letters(small)
    how: dict[str, Any] = {"mend": False, "name": example.op}
    with _running, torch.random.fork_rng(devices=[]), torch.no_grad():
        linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
        try:
            torch.manual_seed(0)
            forecast = traced(space[example.op], (), given, values=False, device="meta", **how)
            _is_small(forecast)
            found = traced(space[example.op], (), given, dims=dims, **how)
        finally:
            del linecache.cache[path]
    return Run(found)


def _is_small(forecast: Trace) -> None:
    """
    Raises:
        FieldError: a result would be too large.
    """
    largest = max((math.prod(n.shape) for s in forecast.steps for n in s.outputs), default=0)
    if largest > 16 * MOST_ELEMENTS:
        raise FieldError(
            said(
                "The result would have {count} elements: this page is for small tensors.",
                count=f"{largest:,}",
            )
        )


def _tensor(small: Small) -> Tensor:
    import torch

    count = math.prod(small.shape)
    numbers = small.numbers or tuple(range(count))
    filled = [numbers[place % len(numbers)] for place in range(count)]
    return torch.tensor(filled).to(getattr(torch, small.dtype)).reshape(small.shape)


def _letters(small: Mapping[str, Small]) -> dict[str, str]:
    """What the dimensions are called, as `tracer.trace(dims=...)` takes it: by the example's
    letters where there are as many, and one letter is one size."""
    known: dict[str, int] = {}
    found = {}
    for name, tensor in small.items():
        letters = tensor.letters if len(tensor.letters) == len(tensor.shape) else ()
        words = []
        for letter, size in zip(letters, tensor.shape, strict=False):
            is_its = bool(letter) and known.setdefault(letter, size) == size
            words.append(letter if is_its else str(size))
        if letters:
            found[name] = " ".join(words)
    return found


# --- the page ------------------------------------------------------------------------------------


def page() -> None:
    """The choice, the fields, the rule, the player, and what there is to know besides."""
    for complaint in st.session_state.get("operation-complaints", ()):
        st.warning(prose(told(complaint)), icon=":material/link_off:")
    shown = current()
    with st.container(key="operation-fields"):
        _chooser(shown)
        for tensor in shown.example.tensors:
            _tensor_fields(shown, tensor)
        for name in shown.example.arguments:
            _field(shown, name, label(name))
    loading.now()
    try:
        run = run_of(shown).told_in(language.language())
    except FieldError as problem:
        st.error(prose(problem.told(_translate)), icon=":material/block:")
        silent = dict.fromkeys((FIELD + name for name in _own(shown.example)), "")
        player.keep_in_link(silent | to_query(shown) | language.link())
        return
    _rule(shown, run.trace)
    player.show(run, to_query(shown) | language.link(), height=HEIGHT)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _wrong(shown)
    with right:
        _elsewhere(shown)
    _all(shown)


def _translate(text: str) -> str:
    found = say(text)
    return translator(language.language())(text) if found == text else found


def _chooser(shown: Shown) -> None:
    names = sorted(EXAMPLES)

    def take(op: str) -> None:
        _show(Shown(op))

    st.selectbox(
        say("Operation"), names, names.index(shown.op), **held("operation/chosen", shown.op, take)
    )


def _tensor_fields(shown: Shown, tensor: Small) -> None:
    letters = ", ".join(letter or str(size) for letter, size in _paired(tensor))
    _field(
        shown,
        tensor.name,
        say("Sizes of {name}: {letters}", name=label(tensor.name), letters=letters),
    )
    counted = say("0 1 2 3 …")
    _field(shown, tensor.name + NUMBERS, say("Numbers of {name}", name=label(tensor.name)), counted)


def _paired(tensor: Small) -> Iterator[tuple[str, int]]:
    return zip(tensor.letters, tensor.shape, strict=True)


def _field(shown: Shown, name: str, words: str, placeholder: str = "") -> None:
    def take(text: str) -> None:
        _show(current().with_fields({name: text}))

    value = shown.text(name)
    control = held(f"operation/{shown.op}/{name}", value, take)
    st.text_input(words, value, placeholder=placeholder, **control)


def _rule(shown: Shown, trace: Trace) -> None:
    """What becomes of the letters, and what is demanded of them."""
    step = trace.steps[-1] if trace.steps else None
    if step is None or step.error is not None:
        return
    names = {note.name: note for note in step.inputs}
    taken = [f"{tensor.name} {_formula(names[tensor.name])}" for tensor in shown.example.tensors]
    given = ", ".join(map(_formula, step.outputs))
    lines = [f'<p class="formula" translate="no">{escape(", ".join(taken))} → {escape(given)}</p>']
    lines += [
        f'<p class="demand">{escape(render(each.says, translator(language.language())))}</p>'
        for each in trace.constraints
    ]
    forms = list(_forms(TABLE[shown.op].forms))
    if forms:
        words = say("As the operation table reads it, where *b is any number of dimensions:")
        lines.append(f'<p class="demand">{escape(words)}</p>')
    lines += [f'<p class="forms" translate="no">{form}</p>' for form in forms]
    with st.container(key="operation-rule"):
        st.html("".join(lines))


def _formula(note: TensorNote) -> str:
    sizes = [formula.text for formula in note.dims] or [str(size) for size in note.shape]
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"


def _forms(forms: tuple[Form, ...]) -> Iterator[str]:
    """The patterns of letters by which the operation table reads the operation."""
    for each in forms:
        taken = ", ".join(f"{p.argument} ({' '.join(p.words)})" for p in each.operands)
        given = ", ".join(f"({' '.join(words)})" for words in each.gives)
        yield escape(f"{taken} → {given}")


def _wrong(shown: Shown) -> None:
    """What breaks it: each rule with a change that does, to be tried."""
    st.header(say("What goes wrong"), anchor=False)
    own = run_of(Shown(shown.op)).trace.steps[-1]
    call = call_of(own)
    found = mistakes(shown.example, call) if call is not None else []
    if not found:
        st.markdown(
            say(
                "No size that is larger by one, no dimension less and no other number of an "
                "argument makes it fail."
            )
        )
    for each in found:
        with st.container(key=f"mistake-{each.code}", horizontal=True, vertical_alignment="center"):
            st.markdown(prose(render(each.rule, translator(language.language()))), width="stretch")
            changes = {name: ", ".join(map(str, shape)) for name, shape in each.shapes.items()}
            changes |= {name: repr(value) for name, value in each.arguments.items()}
            named = ", ".join(f"{name} = {text}" for name, text in changes.items())
            st.button(
                say("Try {change}", change=code(named)),
                key=f"try-{shown.op}-{each.code}",
                on_click=_show,
                args=(Shown(shown.op).with_fields(changes),),
            )
            errors.page(each.code)
    if shown.fields:
        st.button(
            say("As it was"),
            icon=":material/undo:",
            key="operation-back",
            on_click=_show,
            args=(Shown(shown.op),),
        )


def _elsewhere(shown: Shown) -> None:
    """The lessons that use it, and torch's own page."""
    st.header(say("Lessons that use it"), anchor=False)
    for each, step in shipped.uses(shown.op):
        st.page_link(
            "pages/1_Walkthrough.py",
            label=say("{title}, step {step}", title=escaped(say(each.title)), step=step + 1),
            query_params={"lesson": each.key, "step": str(step + 1), **language.link()},
        )
    name, address = documentation(run_of(Shown(shown.op)).trace.steps[-1].op)
    words = say("In torch's documentation: {name}", name=escaped(name))
    st.page_link(address, label=words, icon=":material/open_in_new:")


_DOCS = "https://docs.pytorch.org/docs/stable"
_HEADS = {"F": "torch.nn.functional", "nn": "torch.nn", "Tensor": "torch.Tensor"}


def documentation(op: str) -> tuple[str, str]:
    """What torch calls a recorded operation, and the address of its page there."""
    head, _, name = op.rpartition(".")
    whole = f"{_HEADS.get(head, head)}.{name}"
    if name.startswith("__"):  # an operator has no page of its own
        return whole, f"{_DOCS}/tensors.html"
    return whole, f"{_DOCS}/generated/{whole}.html"


def _all(shown: Shown) -> None:
    """Every operation that is shown here, by how it works."""
    st.header(say("By how they work"), anchor=False)
    kinds: dict[str, list[str]] = {}
    for op in EXAMPLES:
        kinds.setdefault(TABLE[op].scene.kind, []).append(op)
    rows = []
    for kind, ops in kinds.items():
        links = " ".join(
            f'<a href="Operations?{escape(urlencode({"op": op, **language.link()}))}" '
            f'target="_self" translate="no"{" aria-current=page" if op == shown.op else ""}>'
            f"{escape(op)}</a>"
            for op in ops
        )
        rows.append(f"<dt>{escape(_kinds()[kind])}</dt><dd>{links}</dd>")
    with st.container(key="operation-list"):
        st.html(f"<dl>{''.join(rows)}</dl>")


def _kinds() -> dict[str, str]:
    return {
        "each": say("Cell by cell"),
        "product": say("A row meets a column"),
        "window": say("A window slides"),
        "order": say("Read in another order"),
        "collapse": say("An axis collapses"),
        "copy": say("Cells are copied"),
        "join": say("Cut and joined"),
        "share": say("Shared out and measured"),
        "lookup": say("Looked up by place"),
        "whole": say("All cells may count"),
    }
