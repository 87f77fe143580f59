"""Edits of source: made, compared, and found for what a constructor built."""

from __future__ import annotations

import textwrap
from types import FunctionType

import pytest
from torch import nn

from tests.cells import run_cell
from tests.together import together
from tracer.document import Edit, Span, with_edits
from tracer.source.built import constructor
from tracer.source.edits import between
from tracer.source.text import code_of, text_of


def test_edits_are_made_from_the_end_and_must_not_overlap() -> None:
    text = "a = b\nc = d\n"
    edits = (
        Edit("f", Span(1, 4, 1, 5), "(b)"),
        Edit("f", Span(2, 4, 2, 5), "e\n# more"),
        Edit("f", Span(1, 0, 1, 0), "# first\n"),
    )
    new = with_edits(text, edits)
    assert new == "# first\na = (b)\nc = e\n# more\n"
    assert with_edits(text, between("f", text, new)) == new
    with pytest.raises(ValueError, match="same text"):
        with_edits(text, (Edit("f", Span(1, 0, 1, 5), "x"), Edit("f", Span(1, 4, 2, 1), "y")))
    with pytest.raises(ValueError, match="column"):
        with_edits(text, (Edit("f", Span(9, 0, 9, 1), "x"),))


@together(
    ("old", "new"),
    [
        ("", "x\n"),
        ("x\n", ""),
        ("a\nb\nc\n", "a\nc\n"),
        ("a\nb\n", "a\nnew\nb\n"),
        ("a", "a\nb"),
        ("one\ntwo", "ONE\nthree\ntwo"),
        ("é = 1\nü = 2\n", "é = 11\nü = 22\n"),
    ],
)
def test_the_difference_of_two_texts_as_edits(old: str, new: str) -> None:
    assert with_edits(old, between("f", old, new)) == new


@together(
    ("expression", "wanted"),
    [
        ("x", "x.T"),
        ("x + y", "(x + y).T"),
        ("(x + y)", "(x + y).T"),
        ("-x", "(-x).T"),
        ("x @ y", "(x @ y).T"),
        ("f(x)", "f(x).T"),
        ("f(x).g", "f(x).g.T"),
        ("x[0]", "x[0].T"),
        ("x if y else f", "(x if y else f).T"),
        ("f(x + y)", "f(x + y).T"),
        ("lambda: x", "(lambda: x).T"),
        ("2", "(2).T"),
    ],
)
def test_what_is_written_behind_an_expression_keeps_its_meaning(
    expression: str, wanted: str
) -> None:
    cell = run_cell(f"def f(x, y=0):\n    return {expression}\n")
    text = text_of(cell["f"].__code__.co_filename)
    assert text is not None
    value = text.tree.body[0].body[0].value  # type: ignore[attr-defined]
    made = with_edits(text.text, (text.after(value, ".T"),))
    assert made.splitlines()[1].strip() in (f"return {wanted}", f"return ({expression}).T")


@together(
    ("build", "paths"),
    [
        ("self.a = nn.Linear(1, 2)", {"a": "nn.Linear(1, 2)"}),
        ("self.a = nn.Sequential(nn.ReLU(), nn.Linear(1, 2))", {"a.1": "nn.Linear(1, 2)"}),
        ("self.a = nn.Sequential(*[nn.ReLU(), nn.Linear(1, 2)])", {"a.1": "nn.Linear(1, 2)"}),
        (
            "self.a = nn.ModuleList([nn.Linear(n, 2) for n in (1, 2)])",
            {"a.0": "nn.Linear(n, 2)", "a.1": "nn.Linear(n, 2)"},
        ),
        (
            "self.a = nn.ModuleList([nn.Linear(1, 2)])\nself.a.append(nn.Linear(3, 4))",
            {"a.0": "nn.Linear(1, 2)", "a.1": "nn.Linear(3, 4)"},
        ),
        (
            "m = [nn.Linear(1, 2), nn.ReLU()]\nm += [nn.Linear(3, 4)]\nm.append(nn.Linear(5, 6))\n"
            "self.a = nn.Sequential(*m)",
            {"a.0": "nn.Linear(1, 2)", "a.2": "nn.Linear(3, 4)", "a.3": "nn.Linear(5, 6)"},
        ),
        (
            "from collections import OrderedDict\n"
            "self.a = nn.Sequential(OrderedDict([('x', nn.ReLU()), ('y', nn.Linear(1, 2))]))",
            {"a.y": "nn.Linear(1, 2)"},
        ),
        ("self.a = nn.ModuleDict({'p': nn.Linear(1, 2)})", {"a.p": "nn.Linear(1, 2)"}),
        ("self.add_module('a', nn.Linear(1, 2))", {"a": "nn.Linear(1, 2)"}),
        ("def make(n):\n    return nn.Sequential(nn.ReLU(), nn.Linear(n, 2))\nself.a = self.h(3)",
         {"a.1": "nn.Linear(n, 4)"}),
        ("self.a, self.b = nn.Linear(1, 2), nn.Linear(3, 4)",
         {"a": "nn.Linear(1, 2)", "b": "nn.Linear(3, 4)"}),
        ("self.a = nn.utils.parametrizations.weight_norm(nn.Linear(1, 2))", {}),
    ],
)  # fmt: skip
def test_the_call_that_made_a_layer(build: str, paths: dict[str, str]) -> None:
    body = textwrap.indent(build, " " * 8)
    cell = run_cell(
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n" + body
        + "\n\n    def h(self, n):\n        return nn.Sequential(nn.ReLU(), nn.Linear(n, 4))\n"
    )  # fmt: skip
    model = cell["Net"]()
    for path, wanted in paths.items():
        found = constructor(model, path)
        assert found is not None, path
        assert found.text.of(found.call) == wanted
        assert found.owner == ""


def test_an_argument_is_replaced_or_added() -> None:
    cell = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Conv2d(3, 8, kernel_size=3)
                self.b = nn.LSTM(
                    4, 5,
                )
    """)
    model = cell["Net"]()
    for path, name, value, wanted in (
        ("a", "in_channels", "1", "nn.Conv2d(1, 8, kernel_size=3)"),
        ("a", "kernel_size", "5", "nn.Conv2d(3, 8, kernel_size=5)"),
        ("a", "padding", "1", "nn.Conv2d(3, 8, kernel_size=3, padding=1)"),
        ("b", "hidden_size", "6", "nn.LSTM(\n            4, 6,\n        )"),
        ("b", "batch_first", "True", "nn.LSTM(\n            4, 5, batch_first=True,\n        )"),
    ):
        built = constructor(model, path)
        assert built is not None
        assert wanted in with_edits(built.text.text, (built.edit(name, value),))


def test_only_what_has_code_of_its_own_is_code() -> None:
    assert code_of(code_of) is code_of.__code__
    for other in (FunctionType, len, nn.Linear, nn.Linear(1, 1), None):
        assert code_of(other) is None
