"""`shapewalk mcp` as an agent meets it: started by the SDK's own client, over its own pipes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mcp.client import Client

ROOT = Path(__file__).parents[1]

BLOCK = """\
from torch import nn


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.heads = heads

    def forward(self, x):
        print('{"jsonrpc": "2.0"}', flush=True)
        B, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1)).softmax(-1)
        return (attention @ v).transpose(1, 2).reshape(B, N, C)
"""

NET = """\
from torch import nn

from .blocks.core import Block


class Net(nn.Module):
    def __init__(self, dim=12, depth=3, out=8):
        super().__init__()
        self.blocks = nn.ModuleList([Block(dim, 3) for _ in range(depth)])
        self.head = nn.Linear(out, 5)

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean(1))
"""

SCRIPT = """\
import torch
from models.net import Net

Net(dim=12, out=12)(torch.ones(2, 7, 6))
"""


RIGHT = """\
--- a/models/net.py
+++ b/models/net.py
@@ -11 +11 @@
-        self.head = nn.Linear(out, 5)
+        self.head = nn.Linear(dim, 5)
"""

ONE_SAMPLE = """\
--- models/net.py
+++ models/net.py
@@ -16 +16 @@
-        return self.head(x.mean(1))
+        return self.head(x.reshape(-1, 8)[:2])
"""

IN_A_HELPER = """\
--- models/net.py
+++ models/net.py
@@ ... @@
+
+
+def pooled(x, width):
+    return x.mean(1)[:, :width]
+
+
 class Net(nn.Module):
@@ ... @@
-        return self.head(x.mean(1))
+        return self._told(pooled(x, self.head.in_features))
+
+    def _told(self, x):
+        return self.head(x)
"""

STILL_WRONG = RIGHT.replace("nn.Linear(dim, 5)", "nn.Linear(depth, 5)")

IN_A_SCRIPT = """\
--- train.py
+++ train.py
@@ -4 +4 @@
-Net(dim=12, out=12)(torch.ones(2, 7, 6))
+Net(dim=12, out=12)(torch.ones(2, 7, 12))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "models" / "blocks").mkdir(parents=True)
    (folder / "models" / "net.py").write_text(NET)
    (folder / "models" / "blocks" / "core.py").write_text(BLOCK)
    (folder / "train.py").write_text(SCRIPT)
    (folder / "broken.py").write_text("def f(:\n")
    return folder


def served(folder: Path, what: Callable[[Client], Awaitable[Any]]) -> Any:
    # Here, since every process that runs tests loads this file, and the SDK is large.
    from mcp.client import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    async def connected() -> Any:
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-m", "shapewalk", "mcp"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        async with Client(stdio_client(parameters)) as client:
            return await what(client)

    return asyncio.run(connected())


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "explained": ("explain_failure", {"target": "models/net.py:Net", "inputs": ["2,7,12"]}),
    "runs": (
        "explain_failure",
        {"target": "models/net.py:Net", "inputs": ["2,7,12"], "arguments": {"out": "12"}},
    ),
    "found inputs": ("shapes", {"target": "models/net.py:Net", "arguments": {"out": "12"}}),
    "script": ("explain_failure", {"target": "train.py"}),
    "formulas": (
        "shapes",
        {
            "target": "models/net.py:Net",
            "inputs": ["B,N,C"],
            "sizes": {"B": 2, "N": 7, "C": 12},
            "arguments": {"out": "12"},
            "symbols": True,
            "module": "blocks.1",
        },
    ),
    "no such module": (
        "shapes",
        {"target": "models/net.py:Net", "arguments": {"out": "12"}, "module": "stem"},
    ),
    "second page": (
        "shapes",
        {
            "target": "models/net.py:Net",
            "inputs": ["2,7,12"],
            "arguments": {"out": "12", "depth": "12"},
            "page": 2,
        },
    ),
    "demands": (
        "demands",
        {
            "target": "models/net.py:Net",
            "inputs": ["B,N,C"],
            "sizes": {"B": 2, "N": 7, "C": 12},
            "arguments": {"out": "12"},
        },
    ),
    "installed": ("shapes", {"target": "torch.nn.Bilinear", "arguments": {"in1_features": "4"}}),
    **{
        name: ("check_fix", {"target": "models/net.py:Net", "inputs": ["2,7,12"], "diff": diff})
        for name, diff in (
            ("a right change", RIGHT),
            ("a change for one sample", ONE_SAMPLE),
            ("a change in a helper", IN_A_HELPER),
            ("a change that fails", STILL_WRONG),
            ("no diff", "self.head = nn.Linear(dim, 5)"),
            ("a diff of another text", RIGHT.replace("out, 5", "out, 6")),
        )
    },
    "a changed script": ("check_fix", {"target": "train.py", "diff": IN_A_SCRIPT}),
    "nothing fails": (
        "check_fix",
        {
            "target": "models/net.py:Net",
            "inputs": ["2,7,12"],
            "arguments": {"out": "12"},
            "diff": RIGHT,
        },
    ),
    "installed is no text": ("check_fix", {"target": "torch.nn.Linear", "diff": RIGHT}),
    "no file": ("shapes", {"target": "gone.py:Net"}),
    "no Python": ("shapes", {"target": "broken.py:Net"}),
    "no class": ("shapes", {"target": "models/net.py:Nett", "inputs": ["2"]}),
    "outside": ("shapes", {"target": "../elsewhere.py:Net"}),
    "bad inputs": ("shapes", {"target": "models/net.py:Net", "inputs": ["two"]}),
}


@pytest.fixture(scope="module")
def answers(project: Path) -> dict[str, Any]:
    """What one server answers to all these calls."""

    async def asked(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = {"tools": (await client.list_tools()).tools}
        for name, (tool, arguments) in CALLS.items():
            found[name] = await client.call_tool(tool, arguments)
        return found

    return dict(served(project, asked))


def test_its_tools_only_read(answers: dict[str, Any], project: Path) -> None:
    named = [tool.name for tool in answers["tools"]]
    assert named == ["explain_failure", "shapes", "check_fix", "demands"]
    for tool in answers["tools"]:
        assert tool.annotations.read_only_hint
        assert tool.output_schema
    left = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert left == {"models/net.py", "models/blocks/core.py", "train.py", "broken.py"}


def test_every_answer_is_small_and_typed(answers: dict[str, Any]) -> None:
    from shapewalk.agents import LARGEST_ANSWER

    for name in CALLS:
        assert not answers[name].is_error, name
        assert len(json.dumps(answers[name].structured_content)) <= LARGEST_ANSWER, name


def told(answers: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(answers[name].structured_content)


def test_a_failure_is_explained_with_a_diff_that_was_run(answers: dict[str, Any]) -> None:
    found = told(answers, "explained")
    assert (found["ran"], found["code"], found["module"]) == (False, "SW-width", "head")
    assert found["place"] == "models/net.py:15:16"
    assert found["expression"] == "self.head(x.mean(1))"
    assert "12 ≠ 8" in found["rule"]
    assert found["operands"][:2] == ["x.mean(1) (2, 12) float32", "head.weight (5, 8) float32"]
    assert found["root"].startswith("models/net.py:10:")
    fix = found["fixes"][0]
    assert fix["verified"]
    assert fix["diff"].startswith("--- models/net.py\n+++ models/net.py\n")


def checks(told: list[str]) -> set[str]:
    return {each.partition(":")[0] for each in told}


def test_a_change_of_its_own_is_proven(answers: dict[str, Any]) -> None:
    found = told(answers, "a right change")
    assert (found["verified"], found["ran"], found["problem"]) == (True, True, "")
    assert found["before"].startswith("models/net.py:15:16: head needs")
    assert found["outputs"] == ["output (2, 5) float32"]
    wanted = {"runs", "batches", "sizes", "independent", "permuted", "gradients", "used", "numbers"}
    assert checks(found["passed"]) >= wanted
    assert found["failed"] == []


def test_a_change_that_runs_and_is_no_repair_says_which_check_it_fails(
    answers: dict[str, Any],
) -> None:
    found = told(answers, "a change for one sample")
    assert (found["verified"], found["ran"]) == (False, True)
    assert found["failed"] == ["batches: It runs, but its output does not grow with the batch."]


def test_a_change_may_add_functions_and_methods(answers: dict[str, Any]) -> None:
    found = told(answers, "a change in a helper")
    assert (found["verified"], found["problem"], found["failed"]) == (True, "", [])


def test_a_change_that_fails_says_how(answers: dict[str, Any]) -> None:
    found = told(answers, "a change that fails")
    assert (found["verified"], found["ran"]) == (False, False)
    assert found["place"] == "models/net.py:15:16"
    assert "to be 3: 12 ≠ 3" in found["rule"]


def test_what_of_a_change_cannot_be_proven_is_said(answers: dict[str, Any]) -> None:
    found = told(answers, "a changed script")
    assert (found["verified"], found["ran"]) == (False, True)
    assert "could not be proven. The call that failed" in found["problem"]
    found = told(answers, "nothing fails")
    assert (found["verified"], found["ran"]) == (False, True)
    assert found["problem"].startswith("Without the change nothing fails")


def test_the_command_answers_as_the_tool_does(
    answers: dict[str, Any],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from shapewalk.checking import main
    from tracer import worker

    monkeypatch.chdir(project)
    # Where pytest has put a file of ours on the path that is called as the project's folder is.
    monkeypatch.setattr(sys, "path", [each for each in sys.path if Path(each) != ROOT / "tests"])
    worker.stop()
    for name in ("a right change", "a change for one sample"):
        diff = CALLS[name][1]["diff"]
        monkeypatch.setattr(sys, "stdin", io.StringIO(diff))
        asked = ["models/net.py:Net", "-", "--input", "2,7,12"]
        status = main([*asked, "--json"])
        assert json.loads(capsys.readouterr().out) == told(answers, name)
        assert status == (0 if name == "a right change" else 1)
    worker.stop()
    assert main(["models/net.py:Net", "gone.diff"]) == 2
    assert "gone.diff cannot be read" in capsys.readouterr().err


def test_a_target_that_runs_says_so(answers: dict[str, Any]) -> None:
    found = told(answers, "runs")
    assert (found["ran"], found["outputs"]) == (True, ["output (2, 5) float32"])
    assert (found["problem"], found["fixes"]) == ("", [])
    assert told(answers, "found inputs")["failed"] is False


def test_a_script_is_run_and_its_failure_explained(answers: dict[str, Any]) -> None:
    found = told(answers, "script")
    assert found["place"].startswith("models/blocks/core.py:13:")
    assert "to be 12: 6 ≠ 12" in found["rule"]


def test_shapes_as_formulas_inside_one_module(answers: dict[str, Any]) -> None:
    found = told(answers, "formulas")
    assert found["inputs"] == ["x (B, N, 12)"]
    assert all(line.startswith("models/blocks/core.py:") for line in found["steps"])
    assert any(line.endswith("softmax(-1)  (B, 3, N, N)") for line in found["steps"])
    assert "there is blocks" in told(answers, "no such module")["problem"]


def test_long_runs_come_in_pages(answers: dict[str, Any]) -> None:
    found = told(answers, "second page")
    assert found["page"] == 2
    assert found["pages"] > 2
    assert found["steps"]


def test_what_is_demanded_of_the_sizes(answers: dict[str, Any]) -> None:
    found = told(answers, "demands")
    assert found["symbols"] == {"B": 2, "N": 7, "C": 12}
    assert len(found["demands"]) == 1
    assert found["demands"][0].startswith("C = 12: ")


def test_an_installed_class_by_its_name(answers: dict[str, Any]) -> None:
    found = told(answers, "installed")
    assert found["outputs"]
    assert found["steps"][0].startswith("torch/nn/modules/linear.py:")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no file", "gone.py:Net cannot be read"),
        ("no Python", "broken.py:1: "),
        ("no class", "Nett"),
        ("outside", "outside the folder"),
        ("bad inputs", "two"),
        ("no diff", "This is no unified diff"),
        ("a diff of another text", "the file has no line `self.head = nn.Linear(out, 6)`"),
        ("installed is no text", "a diff changes files of this folder"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(answers: dict[str, Any], name: str, words: str) -> None:
    assert words in told(answers, name)["problem"]


def test_it_ends_when_the_agent_is_gone(project: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "shapewalk", "mcp"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, _ = process.communicate(timeout=300)
    assert (process.returncode, out) == (0, b"")
