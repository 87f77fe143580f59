"""The file that ran with its shapes as comments: the same program, whatever is written in it."""

from __future__ import annotations

import ast
import importlib.util
import sys
import tokenize
from io import StringIO
from pathlib import Path

import pytest
import torch

from tracer import Trace, trace
from tracer.views.text import file_of, program
from ui import shipped

TEXT = '''#!/usr/bin/env python
import torch
from torch import nn


class Net(nn.Module):
    """Of
    several lines."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        a = self.fc(x); b = """
   text""" and x.t()
        y = a + \\
            a
        z = (torch.cat([y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y], 1)
             .sum(1))  # known
        return z, f"""{b.sum(0)
        }"""
'''


def run(folder: Path, text: str) -> Trace:
    """A run of `Net` of a file with this text."""
    file = folder / "net_of_comments.py"
    file.write_text(text, encoding="utf-8", newline="")
    spec = importlib.util.spec_from_file_location("net_of_comments", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["net_of_comments"] = module
    try:
        spec.loader.exec_module(module)
        return trace(module.Net(), torch.ones(2, 4))
    finally:
        del sys.modules["net_of_comments"]


def code(text: str) -> list[tuple[int, str]]:
    """Its tokens without comments and empty lines."""
    tokens = tokenize.generate_tokens(StringIO(text).readline)
    return [
        (token.type, token.string)
        for token in tokens
        if token.type not in (tokenize.COMMENT, tokenize.NL)
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_it_is_the_same_program(tmp_path: Path, end: str) -> None:
    text = TEXT.replace("\n", end)
    made = run(tmp_path, text)
    shown = program(made, text)
    assert shown is not None
    assert shown.startswith("#!/usr/bin/env python")
    assert code(shown) == code(text)
    assert ast.dump(ast.parse(shown)) == ast.dump(ast.parse(text))
    comments = [
        token.string
        for token in tokenize.generate_tokens(StringIO(shown).readline)
        if token.type == tokenize.COMMENT
    ]
    for said in ("(2, 4) → (2, 3)", "(2, 3), (2, 3) → (2, 3)", "(2, 69) → (2,)", "(4, 2) → (2,)"):
        assert any(said in each for each in comments), said
    # What it makes, it makes as before.
    again = run(tmp_path, shown)
    assert [step.expression for step in again.steps] == [step.expression for step in made.steps]


def test_of_another_text_there_is_none(tmp_path: Path) -> None:
    made = run(tmp_path, TEXT)
    assert file_of(made, TEXT.replace("a + ", "a - ")) is None
    assert program(made, "") is None


@pytest.mark.parametrize("lesson", [each.key for each in shipped.LESSONS])
def test_every_lesson_has_one(lesson: str) -> None:
    made, text = shipped.default(lesson), shipped.source(lesson).read_text(encoding="utf-8")
    assert made is not None
    shown = program(made, text)
    assert shown is not None
    assert code(shown) == code(text)
    assert len(shown.split("\n")) > len(text.split("\n"))
    formulas = program(made, text, symbols=True)
    assert formulas is not None
    assert code(formulas) == code(text)
    assert made.symbols
    (first, *_) = made.symbols
    assert f"{first.name} = {first.value}" in formulas
    assert formulas != shown
