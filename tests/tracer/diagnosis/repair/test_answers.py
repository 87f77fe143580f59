"""What a search found, in words."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from tracer import trace
from tracer.diagnosis.repair.answers import told_apart
from tracer.document import Edit, Fix, Span
from tracer.sentences import said


def fix(says: str, line: int, column: int = 0, new: str = ".long()") -> Fix:
    edit = Edit("model.py", Span(line, column, line, column), new)
    return Fix(said("{what}.", what=says), (edit,), True, ())


def test_two_different_edits_never_share_a_sentence() -> None:
    fixes = (fix("Cast it", 3), fix("Cast it", 9), fix("Cast it", 9, 12), fix("Turn it", 4))
    told = [each.summary for each in told_apart(fixes)]
    assert len(set(told)) == 4
    assert told[0] == "Cast it. In line 3, column 1: `.long()`."
    assert told[3] == "Turn it."


MODEL = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 2)

    def forward(self, x):
        if x.dim() is 2:
            x = x.transpose(0, 1)
        return self.fc(x)
"""


def loaded(file: Path, text: str = MODEL) -> Any:
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        spec.loader.exec_module(module)
    return module


def test_what_python_warns_of_in_a_text_is_not_told_again_when_edits_are_tried(
    tmp_path: Path,
) -> None:
    module = loaded(tmp_path / "warned_of.py")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", SyntaxWarning)
        found = trace(module.Net(), torch.ones(5, 6), build=module.Net, values=False)
    assert found.failure is not None
    assert any(fix.verified for fix in found.failure.fixes)
    assert [str(each.message) for each in told if each.category is SyntaxWarning] == []


PRESET = """
import torch
from torch import nn


def preset():
    return dict(widths=(3, 5), head_in=7, classes=2)


class Net(nn.Module):
    def __init__(self, widths, head_in, classes):
        super().__init__()
        self.paths = nn.ModuleList([nn.Conv2d(1, wide, 1) for wide in widths])
        self.head = nn.Sequential(nn.Conv2d(head_in, head_in, 1), nn.Conv2d(head_in, classes, 1))

    def forward(self, x):
        return self.head(torch.cat([path(x) for path in self.paths], dim=1))


def build():
    return Net(**preset())
"""


def test_names_come_before_a_number_in_the_place_of_a_name(tmp_path: Path) -> None:
    file = tmp_path / "preset_of_another.py"
    module = loaded(file, PRESET)
    found = trace(module.build(), torch.ones(2, 1, 4, 4), build=module.build, values=False).failure
    assert found is not None
    first = found.fixes[0]
    assert "sum(widths)" in first.summary
    assert "where `head_in` stood" not in first.caveat


SKIPS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ConvTranspose2d(2, 2, 2, 2)

    def forward(self, x):
        skips = []
        for _ in range(2):
            x = self.pool(x)
            skips.append(x)
        x = self.up(x)
        return torch.cat([skips.pop(), x], dim=1)
"""


def test_a_resize_by_a_whole_factor_says_that_something_else_may_be_wrong(tmp_path: Path) -> None:
    module = loaded(tmp_path / "skips_after_pooling.py", SKIPS)
    model = module.Net()
    found = trace(model, torch.ones(2, 2, 16, 16), build=module.Net, values=False).failure
    assert found is not None
    resized = [fix for fix in found.fixes if "Resize" in fix.summary]
    assert "8 is 2 times 4" in resized[0].caveat
