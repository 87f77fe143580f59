"""What the player is given in Chinese has no English in it but code and names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import sympy
import torch

from modules import LESSONS
from modules.chinese import in_chinese
from modules.lesson import Lesson, run, with_formulas
from tests.cells import run_cell
from tests.chinese import english
from tests.effort import one_of_each
from tests.together import together
from tracer import Trace, language, trace
from tracer.formulas import writing
from tracer.formulas.writing import symbol
from tracer.language import translator
from tracer.sentences import render
from tracer.views import text
from tracer.views.player import payload


def texts(told: Any) -> Iterator[str]:
    """Every text in what is told of steps, but for the letters of dimensions."""
    for one in told:
        yield one["summary"]
        yield from one["changes"]
        yield from texts(one["children"])


def code_of(found: Trace) -> list[str]:
    """All that is code or a name in a run, the texts of its files but for their comments."""
    notes = [text for note in found.tensors().values() for text in (note.name, note.dtype)]
    steps = [text for step in found.walk() for text in (step.op, step.expression, *step.arguments)]
    places = [
        text
        for each in (*found.steps, *found.calls)
        for text in (each.file, each.function, each.statement, each.module)
    ]
    calls = [text for call in found.calls for text in (call.type, call.settings)]
    histories = found.failure.histories if found.failure is not None else ()
    terms = [term.text for history in histories for term in history.term.walk()]
    symbols = [symbol.name for symbol in found.symbols]
    return [*notes, *steps, *places, *calls, *terms, *symbols]


@pytest.mark.parametrize(
    "lesson", one_of_each(LESSONS, lambda each: each.key), ids=lambda lesson: lesson.key
)
def test_no_english_is_said_of_a_step(lesson: Lesson) -> None:
    found = run(lesson, lesson.settings(), values=False)
    told = list(texts(payload(found, dict(lesson.dims), "zh")["explanations"]))
    known = [text for step in found.walk() for text in (step.op, step.expression, *step.arguments)]
    assert told
    assert english(told, known) == {}


@pytest.mark.parametrize("key", ["squeeze-excite", "eca-image", "evc"])
def test_no_english_is_said_of_what_a_run_demands(key: str) -> None:
    lesson = next(each for each in LESSONS if each.key == key)
    found = with_formulas(lesson, run(lesson, lesson.settings(), values=False), lesson.settings())
    told = payload(found, dict(lesson.dims), "zh")["trace"]
    sentences = [each["words"] for each in told["constraints"]] + told["remarks"]
    assert sentences
    assert english(sentences, code_of(found)) == {}


RELATIONS = {
    "C must be even.": sympy.Eq(writing.Mod(symbol("C"), 2), 0),
    "C must be odd.": sympy.Ne(writing.Mod(symbol("C"), 2), 0),
    "C must be divisible by r.": sympy.Eq(writing.Mod(symbol("C"), symbol("r")), 0),
    "C must not be divisible by r.": sympy.Ne(writing.Mod(symbol("C"), symbol("r")), 0),
    "C must equal 3.": sympy.Eq(symbol("C"), 3),
    "C must not be 3.": sympy.Ne(symbol("C"), 3),
    "C must be at least r.": sympy.Ge(symbol("C"), symbol("r")),
    "C must be larger than r.": sympy.Gt(symbol("C"), symbol("r")),
    "C must be at most 3.": sympy.Le(symbol("C"), 3),
    "C must be smaller than r.": sympy.Lt(symbol("C"), symbol("r")),
}


@together("words", RELATIONS)
def test_a_demand_is_told_in_both_languages(words: str) -> None:
    formula, says = writing.demanded(RELATIONS[words], ("C", "r"))
    assert str(says) == words
    assert english([render(says, translator("zh"))], ["C", "r"]) == {}
    assert not english([formula.text], ["C", "r", "mod"])


def test_demands_that_belong_together_are_one_sentence() -> None:
    parts = (RELATIONS["C must be even."], RELATIONS["C must equal 3."])
    formula, says = writing.demanded(sympy.Or(*parts), ("C", "r"))
    assert set(formula.text.split(" ∨ ")) == {"C mod 2 = 0", "C = 3"}
    assert "，或者 C" in render(says, translator("zh"))


BROKEN = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(20, 4)

    def forward(self, x):
        y = x.flatten(1).relu_()
        z = torch.log(y * 0)
        a, b = y.split(8, 1)
        return self.fc(y)
"""


def test_the_annotated_source_and_the_table_have_no_english() -> None:
    failed = trace(run_cell(BROKEN)["Net"](), torch.ones(2, 4, 4))
    whole = run(LESSONS[0], LESSONS[0].settings("Small, the whole relation"), values=False)
    whole = with_formulas(LESSONS[0], whole, LESSONS[0].settings("Small, the whole relation"))
    chinese = translator("zh")
    for found in (failed, whole):
        lines = [
            *text.annotated(in_chinese(found), translate=chinese).split("\n"),
            *text.annotated(in_chinese(found), symbols=True, translate=chinese).split("\n"),
            *text.markdown(found, chinese).split("\n"),
        ]
        sources = [source.text for source in found.sources]
        message = [] if found.failure is None else [found.failure.type, found.failure.message]
        known = [*code_of(found), *sources, *message, "torch docs errors SW width md", found.name]
        assert english(lines, known) == {}


def test_a_dimension_is_named_in_one_way() -> None:
    numbered = re.compile(r"(?<!个)维度 [{\d]")
    files = (language.FILE, language.PLAYER)
    told = [text for each in files for text in language.translations(language.read(each)).values()]
    assert told
    assert [text for text in told if numbered.search(text)] == []
