"""The command line, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tracer
from tracer import __main__ as command

ROOT = Path(__file__).resolve().parents[2]

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, in_channels, hidden=8):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, hidden, 3, padding=1)
        self.fc = nn.Linear(hidden * 4, 10)

    def forward(self, x):
        # A feature map {y.shape}.
        y = self.conv(x).relu()
        flat = y.flatten(1)
        return self.fc(flat)

class Masked(nn.Module):
    def forward(self, ids, mask):
        return ids * mask

class Looks(nn.Module):
    def forward(self, x):
        return x * x.sum().item()

class Broken(nn.Module):
    def __init__(self):
        raise OSError("no weights here")

ready = Net(3)
number = 7

def make(hidden: int = 4):
    return Net(3, hidden)
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        status = command.main(list(arguments))
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def test_the_annotated_source_of_a_good_run(net, capsys):
    status, out, err = run(capsys, f"{net}:Net", "--input", "2,3,2,2", "--arg", "in_channels=3")
    assert (status, err) == (0, "")
    assert "y = self.conv(x).relu()  # (2, 3, 2, 2) → (2, 8, 2, 2) → (2, 8, 2, 2)" in out
    assert "# A feature map (2, 8, 2, 2)." in out
    assert "\x1b" not in out


def test_a_failing_forward_names_expression_and_operands(net, capsys):
    status, out, _ = run(capsys, f"{net}:Net", "--input", "2,3,5,5", "--arg", "in_channels=3")
    assert status == 1
    assert "self.fc(flat)" in out
    assert "mat1 and mat2 shapes cannot be multiplied (2x200 and 32x10)" in out
    for operand in ("flat", "fc.weight", "(10, 32)", "y.flatten(1)"):
        assert operand in out.split("Stopped at")[1]


@pytest.mark.parametrize("target", ["ready", "make"])
def test_instances_and_functions_are_modules_too(net, capsys, target):
    assert run(capsys, f"{net}:{target}", "--input", "1,3,2,2")[0] == 0


def test_inputs_by_name_and_dtype(net, capsys):
    status, out, _ = run(
        capsys, f"{net}:Masked", "--input", "ids=2,3:int64", "--input", "mask=2,3:bool"
    )
    assert status == 0
    assert "ids (2, 3) int64" in out
    assert "mask (2, 3) bool" in out


def test_the_dtype_of_module_and_inputs(net, capsys):
    status, out, _ = run(capsys, f"{net}:ready", "--input", "1,3,2,2", "--dtype", "bfloat16")
    assert status == 0
    assert "bfloat16" in out


def test_shapes_only_takes_any_size(net, capsys):
    status, out, _ = run(capsys, f"{net}:ready", "--input", "100000,3,2,2", "--shapes-only")
    assert status == 0
    assert "(100000, 32)" in out


def test_shapes_only_of_code_that_looks_at_values(net, capsys):
    status, out, _ = run(capsys, f"{net}:Looks", "--input", "4,5", "--shapes-only")
    assert status == 0
    assert "(4, 5)" in out


def test_save_and_html(net, capsys, tmp_path):
    saved, page = tmp_path / "t.json", tmp_path / "t.html"
    options = ["--save", str(saved), "--html", str(page)]
    assert run(capsys, f"{net}:ready", "--input", "1,3,2,2", *options)[0] == 0
    assert tracer.load(saved).steps[0].op == "nn.Conv2d"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "FILE.py:NAME"),
        (["nothing.py:Net", "--input", "1"], "There is no file nothing.py"),
        (["NET", "--input", "1"], "write FILE.py:NAME"),
        (["NET:", "--input", "1"], "write FILE.py:NAME"),
        (["NET:Nope", "--input", "1"], "its modules are: Net, Masked, Looks, Broken"),
        (["NET:number", "--input", "1"], "is of type int"),
        (["NET:Broken", "--input", "1"], "cannot be built: OSError: no weights here"),
        (["NET:Net", "--input", "1"], "missing a required argument: 'in_channels'"),
        (["NET:Net", "--input", "1", "--arg", "in_channels=-3"], "cannot be built"),
        (["NET:ready", "--input", "1", "--arg", "hidden=3"], "already built"),
        (["NET:ready", "--input", "1", "--arg", "hidden"], "should be NAME=VALUE"),
        (["NET:ready"], "Give the size of each input"),
        (["NET:ready", "--input", "2,x"], "should be sizes such as"),
        (["NET:ready", "--input", "2,-1"], "should be sizes such as"),
        (["NET:ready", "--input", "99999999999,99999999999"], "cannot be made"),
        (["NET:ready", "--input", "1:flot32"], "is no dtype of torch"),
        (["NET:ready", "--input", "1", "--dtype", "Tensor"], "is no dtype of torch"),
        (["NET:ready", "--input", "1", "--save", "/nowhere/t.json"], "There is no folder /nowhere"),
        (["NET:ready", "--input", "1", "--colour"], "unrecognized arguments"),
        (["no.such.package:Net", "--input", "1"], "cannot be imported"),
    ],
)
def test_wrong_arguments_get_one_sentence(net, capsys, arguments, words):
    status, out, err = run(capsys, *[a.replace("NET", str(net)) for a in arguments])
    assert (status, out) == (2, "")
    assert words in err
    assert len(err.strip().splitlines()) == 1


def test_a_file_that_cannot_be_imported(tmp_path, capsys):
    for text, words in (
        ("def", "line 1"),
        ("import nonsense_xyz", "nonsense_xyz"),
        ("exit(3)", "3"),
    ):
        path = tmp_path / "bad.py"
        path.write_text(text)
        status, _, err = run(capsys, f"{path}:Net", "--input", "1")
        assert (status, words in err) == (2, True)


def test_as_a_program(net):
    found = subprocess.run(
        [sys.executable, "-m", "tracer", f"{net}:ready", "--input", "1,3,3,3"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr == ""
    assert "Stopped at" in found.stdout


def test_colour_on_a_terminal_alone(net, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in run(capsys, f"{net}:ready", "--input", "1,3,2,2")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run(capsys, f"{net}:ready", "--input", "1,3,2,2")[1]
