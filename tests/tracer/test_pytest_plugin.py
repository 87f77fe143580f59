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


def report(tmp_path: Path, *arguments: str) -> str:
    found = ran(tmp_path, "test_net.py", TESTS, *arguments)
    assert "4 failed, 1 passed, 1 xfailed, 1 error" in found
    return found


def ran(tmp_path: Path, name: str, text: str, *arguments: str) -> str:
    """What pytest prints of a file with these tests."""
    (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rN"]
    found = subprocess.run(
        [*command, *arguments, name],
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


def test_failing_tests_are_explained(tmp_path: Path) -> None:
    text = report(tmp_path, "-p", "tracer.pytest_plugin")
    assert text.count("Shapewalk explains") == 3
    parts = text.split("Stopped at test_net.py:")
    assert len(parts) == 4
    for part in parts[1:]:
        assert part.startswith("11, in Net.forward, module fc\n")
        assert "    return self.fc(flat)" in part
        assert "from test_net.py:10: x.flatten(1)" in part
    for shape in ("(2, 48)", "( 2, 192)", "(2, 75)"):
        assert shape.replace(" ", "") in text.replace(" ", "")


def test_without_the_plugin_nothing_is_added(tmp_path: Path) -> None:
    assert report(tmp_path).count("Shapewalk explains") == 1


SHAPES = """
import torch
from torch import nn

def test_shapes(shapes):
    found = shapes(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), torch.ones(2, 3, 5, 5))
    assert found.steps[0].outputs[0].shape == (2, 4, 3, 3)
    assert found.outputs[0].shape == (2, 35)
"""


def test_the_fixture_prints_its_traces_where_the_test_fails(tmp_path: Path) -> None:
    found = ran(tmp_path, "test_shapes.py", SHAPES, "-p", "tracer.pytest_plugin")
    assert "(2, 36) == (2, 35)" in found
    assert "Shapes of Sequential" in found
    assert "(2, 4, 3, 3)" in found.split("Shapes of Sequential")[1]
