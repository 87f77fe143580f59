"""`pytest -p tracer.pytest_plugin`, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TESTS = """
import pytest, torch, tracer
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(400, 10)
    def forward(self, x):
        flat = x.flatten(1)
        return self.fc(flat)

@pytest.fixture
def scores():
    return Net()(torch.randn(2, 3, 4, 4))

def test_shape():
    assert Net()(torch.randn(2, 3, 8, 8)).shape == (2, 10)

def test_fixture(scores): ...

def test_told_already():
    with tracer.explain():
        Net()(torch.randn(2, 3, 5, 5))

def test_plain_assertion():
    x = torch.ones(3)
    assert x.sum() == 4

def test_expected():
    with pytest.raises(RuntimeError):
        Net()(torch.randn(2, 3, 6, 6))

def test_other_error():
    open("/no/such/file")

@pytest.mark.xfail
def test_known():
    Net()(torch.randn(2, 3, 7, 7))
"""


SHAPES = """
import torch
from torch import nn

def test_shapes(shapes):
    found = shapes(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), torch.ones(2, 3, 5, 5))
    assert found.steps[0].outputs[0].shape == (2, 4, 3, 3)
    assert found.outputs[0].shape == (2, 35)
"""


def ran(tmp_path: Path, *arguments: str, **files: str) -> str:
    """What pytest prints of these files of tests."""
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rN"]
    found = subprocess.run(
        [*command, *arguments, *(f"{name}.py" for name in files)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    return found.stdout


def test_failing_tests_are_explained_and_the_fixture_prints_its_traces(tmp_path: Path) -> None:
    told = ran(tmp_path, "-p", "tracer.pytest_plugin", test_net=TESTS, test_shapes=SHAPES)
    assert "5 failed, 1 passed, 1 xfailed, 1 error" in told
    text, _, shapes = told.partition(" test_shapes ")
    assert text.count("Shapewalk explains") == 3
    parts = text.split("Stopped at test_net.py:")
    assert len(parts) == 4
    for part in parts[1:]:
        assert part.startswith("11, in Net.forward, module fc\n")
        assert "    return self.fc(flat)" in part
        assert "from test_net.py:10: x.flatten(1)" in part
    for shape in ("(2, 48)", "( 2, 192)", "(2, 75)"):
        assert shape.replace(" ", "") in text.replace(" ", "")
    assert "(2, 36) == (2, 35)" in shapes
    assert "Shapes of Sequential" in shapes
    assert "(2, 4, 3, 3)" in shapes.split("Shapes of Sequential")[1]


def test_without_the_plugin_nothing_is_added(tmp_path: Path) -> None:
    told = ran(tmp_path, "-k", "test_shape or test_fixture", test_net=TESTS)
    assert "1 failed, 5 deselected, 1 error" in told
    assert "Shapewalk" not in told
