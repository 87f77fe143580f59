"""The modules of a text and their signatures, found without running it."""

from __future__ import annotations

import pytest

from tests.together import together
from tracer.outline import Outline, SourceError, main, outline, parse

TEXT = """
import torch
from torch import nn
from torch.nn import Module, Sequential
from somewhere import Base

raise SystemExit("this text is never run")

class Block(nn.Module):
    def __init__(self, dim: int, *, heads: int = 8, **rest):
        super().__init__()
    def forward(self, x, mask: "Tensor | None" = None):
        return x

class Net(Module):
    def __init__(self, depth=2, act=nn.ReLU(inplace=True), *layers):
        super().__init__()
        self.blocks = nn.ModuleList([Block(4) for _ in range(depth)])
    def forward(self, x: torch.Tensor, /, y: torch.Tensor) -> torch.Tensor:
        return x

class Wide(Net):
    def forward(self, pair):
        return pair

class Imported(Base):
    def forward(self, z): ...

class Stack(Sequential): ...
class Loss(nn.CrossEntropyLoss): ...

class Config:
    size: int = 3

class Data(torch.utils.data.Dataset):
    def __init__(self, path): ...

def train(model): ...

model = Net(3).to("cuda")
head, other = nn.Linear(3, 4), 3
head = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
count = 3
"""


@pytest.fixture
def found() -> Outline:
    return outline(TEXT)


def test_which_classes_are_modules(found: Outline) -> None:
    names = [each.name for each in found.classes]
    assert names == ["Block", "Net", "Wide", "Imported", "Stack", "Loss"]
    for each in found.classes:
        assert TEXT.splitlines()[each.line - 1].startswith(f"class {each.name}")


def test_signatures(found: Outline) -> None:
    block, net, wide, *_ = found.classes
    assert [(a.name, a.annotation, a.default, a.kind) for a in block.constructor] == [
        ("dim", "int", None, ""),
        ("heads", "int", "8", "="),
        ("rest", "", None, "**"),
    ]
    assert [a.name for a in block.constructor if a.required] == ["dim"]
    assert [(a.name, a.annotation, a.default) for a in block.forward] == [
        ("x", "", None),
        ("mask", "'Tensor | None'", "None"),
    ]
    assert [(a.name, a.default, a.kind) for a in net.constructor] == [
        ("depth", "2", ""),
        ("act", "nn.ReLU(inplace=True)", ""),
        ("layers", None, "*"),
    ]
    assert [a.name for a in net.forward] == ["x", "y"]
    assert wide.constructor == net.constructor
    assert [a.name for a in wide.forward] == ["pair"]


def test_parts_and_wholes(found: Outline) -> None:
    assert {each.name for each in found.classes if each.used} == {"Block", "Net"}
    assert outline(TEXT.split("class Imported")[0]).best == "Wide"
    assert outline("model = nn.Sequential(nn.Linear(3, 4))").best == "model"
    assert outline("x = 1").best is None


def test_ready_made_modules(found: Outline) -> None:
    assert found.instances == ("model", "head")
    assert not found.runs
    assert outline(f"{TEXT}\nprint(model(torch.ones(3)))").runs
    assert outline("class N(nn.Module): ...\nN()(1)").runs


def test_classes_that_inherit_in_a_circle_end() -> None:
    assert outline("class A(B): ...\nclass B(A): ...\n").classes == ()


@together(
    ("text", "line", "column"),
    [
        ("x = f(1,\n", 1, 6),
        ("if True:\nx = 1\n", 2, 1),
        ("await x\n", 1, 1),
        ("a = 1\n\nbreak\n", 3, 1),
        ("((((((" * 1000, None, None),
        ("-" * 100_000 + "1", None, None),
        ("\0", None, None),
        ("x" * 2_000_000, None, None),
    ],
)
def test_texts_that_do_not_parse(text: str, line: int | None, column: int | None) -> None:
    with pytest.raises(SourceError) as raised:
        parse(text)
    error = raised.value
    assert "\n" not in str(error)
    if line is not None:
        assert (error.line, error.column) == (line, column)
        assert error.caret == f"{text.splitlines()[line - 1]}\n{' ' * (column - 1)}^"


def test_of_several_files_the_one_is_meant_that_needs_the_others() -> None:
    net = "class Net(nn.Module):\n    def forward(self, x): ..."
    files = {
        "net/__init__.py": "from .model import Net\n",
        "net/blocks/__init__.py": "from .gate import Gate\n",
        "net/blocks/gate.py": f"from ..sizes import WIDTH\n{net}\n",
        "net/sizes.py": "WIDTH = 8\n",
        "net/model.py": f"from .blocks import Gate\n{net}\n",
        "setup.py": "import setuptools\n",
        "broken.py": "def",
    }
    assert main(files) == "net/model.py"
    assert main({"broken.py": "def", "b.py": ""}) == "broken.py"
