"""Every text of a document is text on every page: no link, picture, formula, icon or HTML of its
own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from modules import lesson
from modules.lesson import run, with_formulas
from tests.effort import TIMES
from tests.test_pages import upload
from tracer import Trace, TraceFileError, trace
from tracer.views import graph
from tracer.worker import Answer, Job
from ui import debug
from ui.comparing import SIDES, Side
from ui.run import Run

MARK = "![p](http://127.0.0.1:9/p)[l](http://127.0.0.1:9/l)<img src=x>:red[r]$x$**b**"
DANGERS = ("](http", ":red[r]", "$x$", "**b**", "<img")


def shows_marked(body: str) -> bool:
    """Whether Streamlit's Markdown would make something of a mark in this text."""
    left = []
    while body:
        if body[0] == "\\":
            body = body[2:]
            continue
        fence = re.match(r"`+", body)
        end = fence and re.search(rf"(?<!`){fence[0]}(?!`)", body[fence.end() :])
        if fence and end:
            body = body[fence.end() + end.end() :]  # code is shown as it is
            continue
        left.append(body[0])
        body = body[1:]
    return any(danger in "".join(left) for danger in DANGERS)


def test_what_is_looked_for_is_found() -> None:
    assert shows_marked(MARK)
    assert shows_marked(f"`a` {MARK}")
    assert not shows_marked(f"`` {MARK} ``")
    assert not shows_marked(debug.escaped(MARK))
    assert not shows_marked(debug.code(MARK))
    assert not shows_marked(debug.prose(MARK))


# --- a document whose every text is marked ----------------------------------------------------


def texts(value: Any, found: dict[str, list[Callable[[str], None]]]) -> None:
    """Every text of a document, by the name of its field, as a way to write another there."""
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        if isinstance(inner, dict | list):
            texts(inner, found)
        elif isinstance(inner, str):
            place = found.setdefault(str(key) if isinstance(value, dict) else "item", [])
            place.append(lambda text, value=value, key=key: value.__setitem__(key, text))


def readable(body: Any) -> bool:
    try:
        Trace.from_json(json.dumps(body))
    except TraceFileError:
        return False
    return True


def marked(given: Trace) -> Trace:
    """The trace with the mark in every text that may be any."""
    text = given.to_json()
    fields: dict[str, list[Callable[[str], None]]] = {}
    texts(json.loads(text), fields)
    free: set[str] = set()
    for name in fields:
        body = json.loads(text)
        found: dict[str, list[Callable[[str], None]]] = {}
        texts(body, found)
        for write in found[name]:
            write(MARK)
        if readable(body):
            free.add(name)
    assert {"name", "op", "module", "type", "file", "function", "expression"} <= free
    body = json.loads(text)
    found = {}
    texts(body, found)
    for name in free:
        for write in found[name]:
            write(MARK)
    return Trace.from_json(json.dumps(body))


def works() -> Trace:
    settings = {**lesson("eca-image").settings(), "B": 1, "C": 4, "H": 3, "W": 3}
    return with_formulas(lesson("eca-image"), run(lesson("eca-image"), settings), settings)


def fails() -> Trace:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
            self.head = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x))

    return trace(Net(), torch.ones(3, 4))


# --- pages ------------------------------------------------------------------------------------

_MARKDOWN = frozenset(["body", "label", "help", "content", "tooltip", "text", "caption", "delta"])
_PLAIN = frozenset(["code", "text_area", "text_input", "json", "arrow_data_frame", "selectbox"])


def elements(node: Any) -> Iterator[Any]:
    for child in node.children.values() if hasattr(node, "children") else ():
        yield child
        yield from elements(child)


def fields(proto: Any) -> Iterator[tuple[str, str]]:
    for field, value in proto.ListFields():
        many = value if field.is_repeated else [value]
        for each in many:
            if isinstance(each, str):
                yield field.name, each
            elif hasattr(each, "ListFields"):
                yield from fields(each)


def check(app: AppTest) -> None:
    assert not app.exception
    for each in elements(app._tree):
        proto = getattr(each, "proto", None)
        if proto is None or each.type in _PLAIN:
            continue
        if each.type == "html":
            assert "http://127.0.0.1:9" not in proto.body
            continue
        for name, text in fields(proto):
            if name in _MARKDOWN:
                assert not shows_marked(text), (each.type, name, text)


@pytest.fixture(scope="module", params=[works, fails], ids=["that works", "that fails"])
def document(request: pytest.FixtureRequest) -> Trace:
    return marked(request.param())


@pytest.mark.parametrize(
    ("tab", "nodes", "language"),
    [
        ("Graph", 300, "en"),
        ("Graph", 0, "en"),
        ("Table", 300, "en"),
        ("Cost", 300, "en"),
        ("Graph", 300, "zh"),
        *[
            pytest.param(tab, nodes, "zh", marks=pytest.mark.deep)
            for tab, nodes in [("Graph", 0), ("Table", 300), ("Cost", 300)]
        ],
    ],
)
def test_a_trace_that_is_opened(
    monkeypatch: pytest.MonkeyPatch, document: Trace, tab: str, nodes: int, language: str
) -> None:
    monkeypatch.setattr(graph, "MAX_NODES", nodes)
    app = AppTest.from_file("../app.py", default_timeout=600)
    app.switch_page("pages/2_Open_a_trace.py")
    app.session_state["open-tab"] = tab
    app.session_state["language"] = language
    upload(app.run(), f"{MARK}.json", document.to_json().encode())
    check(app)
    assert app.session_state["opened"].trace.name == MARK
    if nodes == 0 and graph.levels(document):
        # So large that it is shown one module at a time, and that one is too large as well.
        assert any("0" in each.value and "](http" not in each.value for each in app.info)
    if tab == "Table":
        check(upload(app, f"{MARK}2.json", b"{}"))


def test_a_run_of_one_s_own_module(document: Trace) -> None:
    app = AppTest.from_file("../app.py", default_timeout=600)
    app.switch_page("pages/3_Your_module.py")
    app.run()
    job = Job(MARK, MARK, {MARK: MARK}, (MARK,))
    answer = Answer(document, None, MARK, 0.0)
    app.session_state["desk"] = debug.Desk(job=job, answer=answer, run=Run(document), count=1)
    check(app.run())
    printed = replace(answer, trace=None)
    app.session_state["desk"] = debug.Desk(job=job, answer=printed, count=2)
    check(app.run())


def test_two_runs_side_by_side(document: Trace) -> None:
    app = AppTest.from_file("../app.py", default_timeout=600)
    app.switch_page("pages/4_Compare.py")
    app.run()
    app.session_state["compared"] = {name: Side(run=Run(document)) for name in SIDES}
    check(app.run())
    assert any(MARK[:5] in each.value.replace("\\", "") for each in app.markdown)


READ = {
    "1_Walkthrough": ("lesson", "C", "input", "seed", "show", "training", "step", "dims"),
    "2_Open_a_trace": ("lesson", "step"),
    "3_Your_module": ("class", "code", "lesson"),
    "4_Compare": ("one", "other"),
    "5_Operations": ("op", "lesson"),
}
"""What each page reads of its address, and one that it does not know."""


@pytest.mark.parametrize("page", READ)
def test_an_address(page: str) -> None:
    names = ("lesson", "C", "input", "seed", "show", "training", "step", "dims", "class", "code")
    names += ("one", "other")
    for name in names if TIMES > 1 else READ[page]:
        app = AppTest.from_file("../app.py", default_timeout=600)
        app.switch_page(f"pages/{page}.py")
        app.query_params["lesson"] = "eca-image"
        app.query_params[name] = MARK
        check(app.run())
