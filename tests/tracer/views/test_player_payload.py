"""What the player is given: plain JSON, in parallel to the steps, with formulas made safe."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.cells import forward_cell, run_cell
from tests.together import together
from tracer import Trace, trace
from tracer.document import Chapter, Edit, Fix, Slip, Span, Story
from tracer.sentences import as_written, said
from tracer.views import player
from tracer.views.player import MathNode, mathml, payload

LETTERS = {"x": "B C H W"}


@pytest.fixture(scope="module")
def attention() -> Trace:
    cell = run_cell(
        r"""
        class Gate(nn.Module):
            def forward(self, x):
                # Cost is `$5`, not math; the gate is $\sigma(x)$.
                return torch.sigmoid(x)

        class Attention(nn.Module):
            def __init__(self):
                super().__init__()
                self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
                self.gate = Gate()

            def forward(self, x):
                # $$y = \mathrm{softmax}\Big(\frac{QK^\top}{\sqrt{d}}\Big)V$$
                y, weights = self.attend(x, x, x)
                # A formula that nobody can read: $\frac{1$.
                z = self.gate(y)
                if z.ndim == 9:
                    # Never run: $\alpha$.
                    z = z + 1
                return z
        """
    )
    return trace(cell["Attention"](), torch.randn(2, 5, 4))


def test_is_plain_json_that_survives_the_way_to_the_browser(attention: Trace) -> None:
    body = payload(attention, LETTERS)
    assert json.loads(json.dumps(body, allow_nan=False)) == body


def test_holds_the_trace_unchanged(attention: Trace) -> None:
    body = payload(attention)
    assert Trace.from_json(json.dumps(body)) == attention


def test_explanations_are_parallel_to_steps_and_children(attention: Trace) -> None:
    def same(steps: list[Any], explanations: list[Any]) -> int:
        assert len(steps) == len(explanations)
        count = len(steps)
        for step, explanation in zip(steps, explanations, strict=True):
            assert len(explanation["inputs"]) == len(step["inputs"])
            assert len(explanation["outputs"]) == len(step["outputs"])
            count += same(step["children"], explanation["children"])
        return count

    body = payload(attention)
    count = same(body["trace"]["steps"], body["explanations"])
    assert count == len(list(attention.walk())) > len(attention.steps)


def test_the_inputs_take_the_given_letters() -> None:
    run = trace(forward_cell("x", "return x.mean(1)"), torch.randn(2, 3, 4, 5))
    (explanation,) = payload(run, {"x": "B R H S"})["explanations"]
    assert explanation["inputs"][0] == ["B", "R", "H", "S"]
    assert explanation["outputs"][0] == ["B", "H", "S"]


def test_formulas_of_notes_of_steps_calls_and_comments_that_never_ran(attention: Trace) -> None:
    math_ = payload(attention)["math"]
    assert set(math_) == {
        r"$\sigma(x)$",
        r"$$y = \mathrm{softmax}\Big(\frac{QK^\top}{\sqrt{d}}\Big)V$$",
        r"$\alpha$",
    }


def _walk(node: Any) -> Iterator[list[Any]]:
    yield node
    for child in node[2]:
        if not isinstance(child, str):
            yield from _walk(child)


def test_lines_of_a_formula_stand_below_each_other() -> None:
    tree = mathml(r"$$\begin{aligned}a&=b\\c&=d\end{aligned}$$")
    assert tree is not None
    tags, words = [], []

    def read(node: MathNode) -> None:
        tags.append(node[0])
        for child in node[2]:
            words.append(child) if isinstance(child, str) else read(child)

    read(tree)
    assert tags.count("mtr") == 2
    assert "".join(words) == "a=bc=d"


def test_a_formula_becomes_mathml() -> None:
    tree = mathml(r"$\frac{1}{2}$")
    assert tree is not None
    fraction = next(node for node in _walk(tree) if node[0] == "mfrac")
    assert ["mn", {}, ["1"]] in list(_walk(fraction))
    assert tree[:2] == ["math", {"display": "inline"}]
    block = mathml("$$x$$")
    assert block is not None
    assert block[1] == {"display": "block"}


def test_an_upright_word_is_one_identifier_in_its_place() -> None:
    tree = mathml(r"$a\,\mathrm{softmax}\,b$")
    assert tree is not None
    words = ["".join(node[2]) for node in _walk(tree) if node[0] == "mi"]
    assert words == ["a", "softmax", "b"]


@together("formula", ["$$", "$ $", r"$\frac{1$", r"$x^1^2$", r"$\left($", r"$\what x$"])
def test_a_formula_that_cannot_be_read_is_left_to_the_reader(formula: str) -> None:
    assert mathml(formula) is None


@together(
    "formula",
    [
        r"$\href{javascript:alert(1)}{x}$",
        r"$\style{background:url(//evil)}{x}$",
        r"$\class{evil}{x}$",
        r"$\text{<script>alert(1)</script>}$",
        r"$\color{red}x$",
    ],
)
def test_only_what_draws_is_let_through(formula: str) -> None:
    tree = mathml(formula)
    assert tree is not None
    for tag, attributes, _ in _walk(tree):
        assert tag in player._TAGS.split()
        assert not attributes.keys() & {"href", "style", "class", "mathcolor", "id"}


PIECES = r"""\frac \sqrt { } ^ _ x 1 \left( \right) \begin{matrix} \end{matrix} & \\ \text \sum
    \limits \over \href \style \hspace{9em} \rule{1em}{2em} \genfrac \substack \binom \not \middle
    | < > ' % # ~ \hline \mathrm \operatorname \Big \phantom \hat \unknown"""


@given(st.lists(st.sampled_from(PIECES.split()), max_size=30))
def test_no_formula_breaks_the_reading(parts: list[str]) -> None:
    tree = mathml("$" + " ".join(parts) + "$")
    for tag, attributes, _ in _walk(tree) if tree is not None else ():
        assert tag in player._TAGS.split()
        assert all(name in player._ATTRIBUTES.split() for name in attributes)
        assert all(player._VALUE.fullmatch(value) for value in attributes.values())


@together("text", ["{" * 240, "}" * 490, r"\sqrt{" * 80 + "}" * 80, "x^" * 240])
def test_a_monstrous_formula_stays_small(text: str) -> None:
    """It is read in time that grows with it: `benchmarks/answers.py` measures that."""
    tree = mathml(f"${text}$")
    assert tree is None or sum(1 for _ in _walk(tree)) < 10 * len(text)


def test_a_space_cannot_push_the_page_away() -> None:
    tree = mathml(r"$a\hspace{99999em}b$")
    assert tree is not None
    assert [node[1] for node in _walk(tree) if node[0] == "mspace"] == [{}]


def test_shapes_alone_and_values_that_json_cannot_hold() -> None:
    model = forward_cell("x", "return x / 0")
    body = payload(trace(model, torch.tensor([0.0, 1.0, -1.0])))
    (result,) = [note for note in body["tensors"] if note["kind"] == "made"]
    assert (result["stats"]["nan"], result["stats"]["inf"]) == (1, 2)
    assert result["stats"]["mean"] is None
    shapes = payload(trace(model, torch.randn(3), values=False))
    assert all(note["heatmap"] is None for note in shapes["tensors"])


def test_the_lines_that_each_fix_changes() -> None:
    model = forward_cell("x", "y = x.view(3, 7)\nreturn y + 1")
    run = trace(model, torch.randn(2, 6))
    assert run.failure is not None
    given = Fix(
        as_written("Keep the batch."),
        (
            Edit(run.failure.file, Span(3, 19, 3, 23), "2, 6"),
            Edit(run.failure.file, Span(4, 0, 4, 0), "        y = y.abs()\n"),
            Edit("elsewhere.py", Span(4, 3, 4, 5), "7"),
        ),
        False,
        (),
    )
    failure = dataclasses.replace(run.failure, fixes=(given,) * 30)
    body = payload(dataclasses.replace(run, failure=failure))
    here, there = {"file": run.failure.file}, {"file": "elsewhere.py"}
    assert body["diffs"] == 8 * [
        [
            {
                **here,
                "line": 3,
                "column": None,
                "old": ["        y = x.view(3, 7)"],
                "new": ["        y = x.view(2, 6)"],
            },
            {**here, "line": 4, "column": None, "old": [], "new": ["        y = y.abs()"]},
            {**there, "line": 4, "column": 3, "old": [], "new": ["7"]},
        ]
    ]
    assert json.loads(json.dumps(body)) == body


def test_without_fixes_there_are_no_diffs() -> None:
    assert "diffs" not in payload(trace(nn.Identity(), torch.randn(2)))


def test_a_run_without_operations_and_a_failed_one() -> None:
    assert payload(trace(nn.Identity(), torch.randn(2)))["explanations"] == []
    failed = payload(trace(forward_cell("x", "return x @ x"), torch.randn(2, 3)))
    assert failed["trace"]["failure"]["message"]
    assert len(failed["explanations"]) == len(failed["trace"]["steps"]) == 1
    assert math.isfinite(failed["trace"]["seconds"])


# --- a lesson's story -------------------------------------------------------------------------


def test_a_story_is_told_in_words_and_its_loops_are_folded() -> None:
    body = "x = x + 1\nfor turn in range(3):\n    x = x * 2\nreturn x"
    run = trace(forward_cell("x", body), torch.randn(2, 3))
    assert payload(run)["rounds"] == []
    assert payload(run)["trace"]["story"] is None
    story = Story(
        title="Doubling",
        about="$2^n$ and more",
        place="anywhere",
        look="at `x`",
        paper="",
        post="",
        author="",
        seen=(said("{n} rounds", n=3),),
        slip=Slip("四倍", "four times", "It is eight times."),
    )
    chapters = (Chapter("All", 0, 4),)
    told = payload(dataclasses.replace(run, story=story, chapters=chapters))
    assert told["trace"]["story"]["seen"] == ["3 rounds"]
    assert told["trace"]["story"]["slip"]["why"] == "It is eight times."
    assert "$2^n$" in told["math"]
    ((start, length, count),) = [(r["start"], r["length"], r["count"]) for r in told["rounds"]]
    assert (start, length, count) == (1, 1, 3)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
