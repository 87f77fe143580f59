"""The models that a project names: checked, and their shapes kept."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tracer import __main__ as command
from tracer import trace
from tracer.views import snapshot

ROOT = Path(__file__).parents[2]

NET = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))


class Pair(nn.Module):
    def forward(self, x, y):
        return x - y
"""

PROJECT = """\
[tool.shapewalk]
entries = ["net.py:Net --input 2,3,9,9", "net.py:Pair --input 8,1 --input 8"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")  # the project is found from within
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = command.main(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def edit(folder: Path, before: str, after: str) -> None:
    file = folder / "net.py"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


# --- check --------------------------------------------------------------------------------------


def test_what_is_suspicious_is_found_with_its_code(folder, capsys):
    status, out, err = said(capsys, "check")
    assert (status, err) == (1, "")
    first, second, finding = out.splitlines()
    assert first == "ok     net.py:Net --input 2,3,9,9"
    assert second == "not ok net.py:Pair --input 8,1 --input 8"
    assert finding.startswith("net.py:17:16: warning: ")
    assert finding.endswith(" [SW-silent-broadcast]")


def test_a_failure_is_found_with_its_code(folder, capsys):
    status, out, _ = said(capsys, "check", f"{folder}/net.py:Net --input 2,3,9,9 --arg width=4")
    assert status == 1
    assert "error: " in out
    assert "[SW-width]" in out


def test_what_a_comment_ignores_is_good(folder, capsys):
    edit(folder, "return x - y", "return x - y  # shapewalk: ignore[SW-silent-broadcast]")
    assert said(capsys, "check")[0] == 0


@pytest.mark.parametrize("codes", ["SW-matmul", "SW-silent-broadcast, SW-matmul"])
def test_a_comment_that_ignores_nothing_is_found(folder, capsys, codes):
    edit(folder, "return x - y", f"return x - y  # shapewalk: ignore[{codes}]")
    status, out, _ = said(capsys, "check")
    assert status == 1
    assert "net.py:17:1: warning: SW-matmul is ignored here and was not found" in out
    assert "[SW-unused-ignore]" in out
    assert ("[SW-silent-broadcast]" in out) == (codes == "SW-matmul")


def test_a_comment_that_one_entry_needs_is_used_for_all(folder, capsys):
    edit(folder, "return x - y", "return x - y  # shapewalk: ignore[SW-silent-broadcast]")
    other = "net.py:Pair --input 8,1 --input 8,1"
    text = (folder / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(
        text.replace("8,1 --input 8", '8,1 --input 8", "' + other)
    )
    assert said(capsys, "check")[0] == 0


def test_text_that_looks_like_a_comment_ignores_nothing(folder, capsys):
    edit(folder, "return x - y", "return x - y, '# shapewalk: ignore[SW-silent-broadcast]'")
    assert "[SW-silent-broadcast]" in said(capsys, "check")[1]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("gone.py:Net --input 2", "There is no file gone.py."),
        ("net.py:Nott --input 2", "net.py has no Nott; its modules are: Net, Pair."),
        ("net.py:Net", "Give the size of each input"),
        (
            "net.py:Net --inputs 2 --odd",
            "no arguments of the command line: unrecognized arguments: --inputs",
        ),
        ("net.py:Net '", "No closing quotation"),
    ],
)
def test_an_entry_that_cannot_begin_is_one_sentence_and_others_go_on(folder, capsys, entry, words):
    good = "net.py:Net --input 1,3,5,5"
    (folder / "pyproject.toml").write_text(f"[tool.shapewalk]\nentries = [{entry!r}, {good!r}]\n")
    status, out, _ = said(capsys, "check")
    assert status == 1
    assert f"not ok {entry}" in out
    assert words in out
    assert f"ok     {good}" in out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.other]\n", "names models"),
        ("[tool.shapewalk]\nentries = 'net.py'\n", "should be a list of texts"),
        ("[tool.shapewalk\n", "cannot be read"),
    ],
)
def test_a_project_that_names_no_models(folder, capsys, text, words):
    (folder / "pyproject.toml").write_text(text)
    status, _, err = said(capsys, "check")
    assert status == 2
    assert words in err


def test_findings_are_told_in_chinese(folder, capsys):
    edit(folder, "return x - y", "return x - y  # shapewalk: ignore[SW-matmul]")
    _, out, _ = said(capsys, "check", "--language", "zh")
    assert "was not found" not in out
    assert "SW-matmul" in out


# --- snapshot -----------------------------------------------------------------------------------


def test_shapes_are_kept_and_a_change_is_seen_side_by_side(folder, capsys):
    status, out, _ = said(capsys, "snapshot")
    assert (status, out) == (0, "shapes.snapshot is written: 2 entries.\n")
    kept = (folder / "shapes.snapshot").read_text()
    assert "net.py:Net --input 2,3,9,9\n" in kept
    assert "  Net  (2, 3, 9, 9) → (2, 10)\n    conv Conv2d  (2, 3, 9, 9) → (2, 8, 7, 7)\n" in kept
    assert said(capsys, "snapshot")[:2] == (0, "The shapes are those of shapes.snapshot.\n")

    edit(folder, "width, 3)", "width, 3, padding=1)")
    status, out, _ = said(capsys, "snapshot")
    assert status == 1
    assert out.splitlines()[:3] == [
        "net.py:Net --input 2,3,9,9",
        "  was    conv Conv2d  (2, 3, 9, 9) → (2, 8, 7, 7)",
        "  is     conv Conv2d  (2, 3, 9, 9) → (2, 8, 9, 9)",
    ]
    assert (folder / "shapes.snapshot").read_text() == kept
    assert said(capsys, "snapshot", "--update")[0] == 0
    assert said(capsys, "snapshot")[0] == 0


def test_an_entry_that_came_or_went_is_a_change(folder, capsys):
    said(capsys, "snapshot")
    (folder / "pyproject.toml").write_text(PROJECT.replace("2,3,9,9", "2,3,8,8"))
    status, out, _ = said(capsys, "snapshot")
    assert status == 1
    assert "  was  Net  (2, 3, 9, 9) → (2, 10)\n  is   (nothing)" in out


def test_nothing_is_kept_of_what_fails(folder, capsys):
    edit(folder, "width=8", "width=4")
    status, _, err = said(capsys, "snapshot")
    assert status == 2
    assert "fails" in err
    assert not (folder / "shapes.snapshot").exists()


@pytest.mark.parametrize("command_name", ["check", "snapshot"])
def test_the_hook_of_pre_commit_runs_as_it_is_written(folder, command_name):
    hooks = (ROOT / ".pre-commit-hooks.yaml").read_text()
    entry = re.search(rf"- id: shapewalk-{command_name}\n(?:  .*\n)*?  entry: (.*)\n", hooks)
    assert entry is not None
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}

    def committed() -> int:
        return subprocess.run(shlex.split(entry[1]), cwd=folder, env=environment).returncode

    assert committed() == (1 if command_name == "check" else 0)  # Pair is suspicious
    edit(folder, "x - y", "x.squeeze(1) - y")
    assert committed() == (0 if command_name == "check" else 1)


def test_what_repeats_is_one_line():
    layers = [nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(5)]
    lines = snapshot.lines(trace(nn.Sequential(*layers, nn.Linear(4, 2)), torch.ones(1, 4)))
    assert lines == [
        "Sequential  (1, 4) → (1, 2)",
        "  0 Sequential  (1, 4) → (1, 4)  × 5, to 4",
        "    0 Linear  (1, 4) → (1, 4)",
        "    1 ReLU  (1, 4) → (1, 4)",
        "  5 Linear  (1, 4) → (1, 2)",
    ]
