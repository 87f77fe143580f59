"""The command line, run as a user runs it."""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tracer
from tracer import __main__ as command
from tracer.views import github
from tracer.views.answer import findings

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
    sheet, graph = tmp_path / "w.html", tmp_path / "g.svg"
    options = ["--save", str(saved), "--html", str(page), "--worksheet", str(sheet)]
    deck = tmp_path / "s.html"
    options += ["--svg", str(graph), "--slides", str(deck)]
    assert run(capsys, f"{net}:ready", "--input", "1,3,2,2", *options)[0] == 0
    assert tracer.load(saved).steps[0].op == "nn.Conv2d"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sheet.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert deck.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert graph.read_text(encoding="utf-8").startswith("<svg")


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
        (["NET:ready", "--input", "2,x"], "x in --input has no size: add --size x=2"),
        (["NET:ready", "--input", "2,?"], "should be sizes such as"),
        (["NET:ready", "--input", "B", "--size", "B"], "--size 'B' should be NAME=NUMBER"),
        (["NET:ready", "--input", "B", "--size", "B=-2"], "should be NAME=NUMBER"),
        (["run"], "Give the script to run"),
        (["run", "nothing.py"], "There is no file nothing.py"),
        (["run", "--colour", "NET"], "unrecognized arguments"),
        (["run", "-m", "no_such_module_x"], "There is no module no_such_module_x"),
        (["run", "-m", "no_such_package.x"], "cannot be run"),
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


@pytest.mark.parametrize("folder", ["", "inner"])
def test_a_file_of_a_package_has_its_neighbours(tmp_path, capsys, monkeypatch, folder):
    package = tmp_path / "mine_apart"
    place = package / folder
    place.mkdir(parents=True)
    for each in {package, place}:
        (each / "__init__.py").write_text("")
    (package / "layers.py").write_text("from torch import nn\nLayer = nn.Linear\n")
    dots = "..layers" if folder else ".layers"
    text = f"from {dots} import Layer\ndef make():\n    return Layer(3, 2)\n"
    (place / "net.py").write_text(text)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = [n for n in sys.modules if n.startswith("mine_apart")]
    for name in names:
        monkeypatch.delitem(sys.modules, name)
    assert command.main([f"{place / 'net.py'}:make", "--input", "4,3"]) == 0
    assert "output (4, 2) float32" in capsys.readouterr().out


def test_a_module_that_fails_while_it_is_built_or_imported(tmp_path, capsys):
    head = "import torch\nfrom torch import nn\n"
    call = "nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 6))(torch.ones(2, 3))"
    path = tmp_path / "early.py"
    for text, words in (
        (f"{head}class Net(nn.Module):\n  def __init__(self):\n    {call}\n", "cannot be built"),
        (f"{head}{call}\n", "cannot be imported"),
    ):
        path.write_text(text)
        status, out, err = run(capsys, f"{path}:Net", "--input", "1")
        assert (status, out) == (2, "")
        first, *rest = err.splitlines()
        assert words in first
        assert rest[0] == "Shapewalk explains:"
        assert "module 1" in rest[1]


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


# --- failures: the fix, the answer for programs, the line for editors ---------------------------

SMALL = """\
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.fc = nn.Linear(width, 10)

    def forward(self, x):
        y = self.conv(x).relu()
        return self.fc(y.flatten(1))  # 8 · 5 · 5
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "small.py"
    path.write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path


FAILING = ("small.py:Small", "--input", "B,3,5,5", "--size", "B=2")


def test_a_failure_is_explained_with_a_line_for_editors(small, capsys):
    status, out, err = run(capsys, *FAILING)
    assert (status, err) == (1, "")
    told = out.split("Stopped at")[1]
    for head in ("Rule:", "Why:", "Root:", "Fix 1:"):
        assert head in told
    assert re.search(r"^small\.py:13:16: error: .*200 ≠ 32", out, re.MULTILINE)
    assert "small.py:9" in told
    assert "+++" not in out


def test_the_fix_as_a_diff(small, capsys):
    status, out, _ = run(capsys, *FAILING, "--fix")
    assert status == 1
    diff = out[out.index("--- small.py") :]
    assert small.read_text(encoding="utf-8") == SMALL
    run(capsys, *FAILING, "--apply")
    texts = [text.splitlines(keepends=True) for text in (SMALL, small.read_text(encoding="utf-8"))]
    assert diff == "".join(difflib.unified_diff(*texts, "small.py", "small.py"))
    assert diff


def test_a_fix_that_is_applied_runs(small, capsys):
    small.write_bytes(SMALL.replace("\n", "\r\n").encode())
    small.chmod(0o640)
    before = small.read_bytes()
    assert run(capsys, *FAILING)[0] == 1
    status, out, _ = run(capsys, *FAILING, "--apply")
    assert status == 1
    assert "small.py is changed; as it was it is small.py.orig." in out
    assert Path("small.py.orig").read_bytes() == before
    assert small.stat().st_mode & 0o777 == 0o640
    assert small.read_bytes().count(b"\r\n") == before.count(b"\r\n")
    assert run(capsys, *FAILING)[0] == 0


def test_an_older_original_is_not_lost(small, capsys):
    Path("small.py.orig").write_text("older")
    assert "small.py.orig.2." in run(capsys, *FAILING, "--apply")[1]
    assert Path("small.py.orig").read_text() == "older"
    assert Path("small.py.orig.2").read_text(encoding="utf-8") == SMALL


def test_the_answer_as_json(small, capsys):
    status, out, err = run(capsys, *FAILING, "--json")
    assert (status, err) == (1, "")
    answer = json.loads(out)
    failure = answer["failure"]
    assert (failure["file"], failure["line"], failure["column"]) == (str(small), 13, 16)
    assert failure["expression"] == "self.fc(y.flatten(1))"
    assert failure["module"] == "fc"
    assert [operand["shape"] for operand in failure["operands"][:2]] == [[2, 200], [10, 32]]
    assert failure["root"]["line"] == 9
    assert failure["fixes"][0]["verified"] is True
    assert failure["fixes"][0]["output_shapes"] == [[2, 10]]
    assert failure["fixes"][0]["diff"].startswith("--- small.py\n+++ small.py\n")
    assert answer["inputs"][0]["shape"] == [2, 3, 5, 5]


def test_json_of_a_good_run(small, capsys):
    status, out, _ = run(capsys, "small.py:Small", "--input", "1,3,2,2", "--json")
    answer = json.loads(out)
    assert (status, answer["failure"]) == (0, None)
    assert answer["outputs"] == [
        {"name": "output", "shape": [1, 10], "dtype": "float32", "kind": "made"}
    ]


def test_where_no_fix_is_found(small, capsys):
    small.write_text(SMALL.replace("return self.fc", "raise OSError('no')\n        return self.fc"))
    status, out, _ = run(capsys, *FAILING, "--fix", "--apply")
    assert status == 1
    assert "No fix was found that runs" in out
    assert not Path("small.py.orig").exists()


# --- GitHub Actions -----------------------------------------------------------------------------


@pytest.fixture
def on_github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    return page


def commands(out: str) -> list[tuple[str, dict[str, str], str]]:
    """The commands of an output: kind, settings and message, read as the runner reads them."""
    found = []
    for line in out.splitlines():
        if match := re.fullmatch(r"::(\w+) (\S.*?)::(.*)", line):
            kind, settings, message = match.groups()
            pairs = (each.split("=", 1) for each in settings.split(","))
            found.append((kind, {name: decoded(text) for name, text in pairs}, decoded(message)))
    return found


def decoded(text: str) -> str:
    for sign, code in ((",", "%2C"), (":", "%3A"), ("\n", "%0A"), ("\r", "%0D"), ("%", "%25")):
        text = text.replace(code, sign)
    return text


def test_github_marks_the_place_of_a_failure(small, capsys, on_github):
    status, out, err = run(capsys, *FAILING)
    assert (status, err) == (1, "")
    [(kind, settings, message)] = commands(out)
    assert kind == "error"
    assert settings == {
        "file": "small.py", "line": "13", "col": "16", "endColumn": "37", "title": "SW-width",
    }  # fmt: skip
    assert "200 ≠ 32" in message
    assert "\n" in message  # the rule, and why
    assert "Stopped at" in out  # the text stays
    page = on_github.read_text(encoding="utf-8")
    assert page.startswith("before\n### Small\n")
    assert "self.conv = nn.Conv2d" in page or "y = self.conv(x)" in page


def test_github_is_told_of_warnings(tmp_path, capsys, on_github):
    (tmp_path / "pair, 50%.py").write_text(
        "from torch import nn\nclass Pair(nn.Module):\n"
        "    def forward(self, x, y):\n        return x - y\n"
    )
    target = f"{tmp_path / 'pair, 50%.py'}:Pair"
    status, out, _ = run(capsys, target, "--input", "8,1", "--input", "8")
    assert status == 0
    [(kind, settings, message)] = commands(out)
    assert (kind, settings["title"], settings["line"]) == ("warning", "SW-silent-broadcast", "4")
    assert settings["file"].endswith("pair, 50%.py")
    assert "(8, 8)" in message


def test_elsewhere_nothing_is_said_to_github(small, capsys):
    assert commands(run(capsys, *FAILING)[1]) == []
    assert len(commands(run(capsys, *FAILING, "--format", "github")[1])) == 1


def test_a_summary_that_cannot_be_written_is_said(small, capsys, on_github, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(on_github.parent))
    status, _, err = run(capsys, *FAILING)
    assert status == 2
    assert "cannot be written" in err


def test_text_of_a_trace_begins_no_command_and_closes_no_fence():
    def forward(x):
        raise ValueError("a\n::warning::b\r\n```\n# c")

    module = type("Odd", (torch.nn.Module,), {"forward": lambda self, x: forward(x)})()
    found = tracer.trace(module, torch.ones(2), name="<b>`x`\n# y")
    [finding] = findings(found)
    line = github.command(finding)
    assert "::b" in decoded(line)
    assert "\n" not in line
    assert "\r" not in line
    head, _, fence, *rest = github.summary(found).splitlines()
    assert head == r"### \<b\>\`x\` \# y"
    assert rest.count(fence.removesuffix("python")) == 1


def test_a_summary_that_is_too_long_is_left_out(monkeypatch):
    monkeypatch.setattr(github, "LARGEST_SUMMARY", 10)
    assert "too long" in github.summary(tracer.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)))


# --- run: a whole script ------------------------------------------------------------------------

TRAIN = """\
import sys

import torch

from small import Small

print("arguments", sys.argv[1:], __name__)
model = Small(72)
for side in (3, 5):
    out = model(torch.randn(4, 3, side, side))
    print("done", side, flush=True)
"""


def script(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tracer", "run", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )


@pytest.fixture
def here(capsys, monkeypatch):
    """Runs a script in this process, which is as it was before."""
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("small", None)
    yield lambda *arguments: run(capsys, "run", *arguments)
    sys.modules.pop("small", None)


def test_a_script_runs_as_python_runs_it(small):
    path = small.parent / "train.py"
    path.write_text(TRAIN.replace("(3, 5)", "(3,)"))
    found = script("train.py", "--lr", "-3", "--json", "-m", cwd=small.parent)
    assert found.returncode == 0
    assert found.stderr == ""
    assert found.stdout == "arguments ['--lr', '-3', '--json', '-m'] __main__\ndone 3\n"


@pytest.mark.parametrize("how", [["sub/train.py"], ["-m", "sub.train"]])
def test_a_script_that_fails_is_explained(small, how):
    folder = small.parent / "sub"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "small.py").write_text(SMALL)
    found = script("--fix", *how, "5", cwd=small.parent)
    assert found.returncode == 1
    assert found.stdout.startswith("arguments ['5'] __main__\ndone 3\n")
    lines = found.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{folder / "train.py"}", line 10, in <module>'
    assert "Shapewalk explains:" in lines
    assert "tracer/" not in found.stderr
    where = "sub/small.py" if how[0] != "-m" else "small.py"
    assert re.search(rf"^{where}:13:16: error: ", found.stdout, re.MULTILINE)
    assert f"--- {where}" in found.stdout


def test_the_fix_of_a_script_is_applied(small, here):
    (small.parent / "train.py").write_text(TRAIN)
    assert here("--apply", "train.py")[0] == 1
    assert Path("small.py.orig").read_text(encoding="utf-8") == SMALL
    assert small.read_text(encoding="utf-8") != SMALL


def test_options_with_a_value_stand_before_the_script(small, here):
    (small.parent / "train.py").write_text(TRAIN)
    _, out, err = here("--language", "zh", "--format", "text", "train.py", "--language", "en")
    assert "arguments ['--language', 'en']" in out
    assert "规则：" in err
    assert "Rule:" not in err


def test_the_answer_of_a_script_as_json(small, here):
    (small.parent / "train.py").write_text(TRAIN)
    _, out, _ = here("--json", "train.py")
    answer = json.loads(out[out.index("{") :])
    assert answer["failure"]["file"] == str(small)


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("import sys\nsys.exit(5)\n", 5, ""),
        ("raise KeyError('k')\n", 1, "KeyError: 'k'"),
        ("x = (\n", 2, "bad.py is not Python: line 1"),
    ],
)
def test_scripts_that_end_otherwise(small, here, text, status, words):
    (small.parent / "bad.py").write_text(text)
    ended, _, err = here("bad.py")
    assert ended == status
    assert words in err
    assert "Shapewalk" not in err


# --- symbols ------------------------------------------------------------------------------------

ATTEND = """
from torch import nn


class Attend(nn.Module):
    def __init__(self, dim, heads, bias=True):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)

    def forward(self, x):
        B, N, D = x.shape
        head_dim = D // self.heads
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        attn = (q @ k.transpose(-2, -1)).softmax(-1)
        return (attn @ v).transpose(1, 2).reshape(B, N, D)
"""


@pytest.fixture
def attend(tmp_path: Path) -> str:
    (tmp_path / "attend.py").write_text(ATTEND)
    return f"{tmp_path / 'attend.py'}:Attend"


def test_symbols_of_inputs_and_constructor(attend, capsys):
    """The constructor's whole numbers give the inputs their sizes, and formulas their names."""
    code, out, _ = run(
        capsys, attend, "--input", "B,N,dim", "--size", "B=2", "--size", "N=5",
        "--arg", "dim=12", "--arg", "heads=3", "--symbols",
    )  # fmt: skip
    assert code == 0
    assert "sizes       B = 2, N = 5, dim = 12, heads = 3" in out
    assert "✓ dim mod heads = 0  dim must be divisible by heads." in out.replace("\u00a0", " ")
    assert "(B, heads, N, N)" in out
    assert "head_dim = dim/heads" in out.replace("\u00a0", " ")


def test_symbols_where_the_input_is_given_in_numbers(attend, capsys):
    code, out, _ = run(
        capsys, attend, "--input", "2,5,12", "--arg", "dim=12", "--arg", "heads=3", "--symbols"
    )
    assert code == 0
    assert "(B, heads, N, N)" in out


def test_symbols_of_a_run_that_fails(attend, capsys):
    code, out, _ = run(
        capsys, attend, "--input", "B,N,7", "--size", "B=2", "--size", "N=5",
        "--arg", "dim=12", "--arg", "heads=3", "--symbols",
    )  # fmt: skip
    assert code == 1
    assert "(B, N, 7)" in out


def test_symbols_in_what_is_saved(attend, capsys, tmp_path):
    run(
        capsys, attend, "--input", "B,N,dim", "--size", "B=2", "--size", "N=5", "--arg", "dim=12",
        "--arg", "heads=3", "--symbols", "--save", str(tmp_path / "t.json"),
    )  # fmt: skip
    found = tracer.load(tmp_path / "t.json")
    assert [symbol.name for symbol in found.symbols] == ["B", "N", "dim", "heads"]


DEEP = '''
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
    def forward(
        self,
        x,
        y=None,
        z=None,
        w=None,
    ):
        """Adds.

        And more of it.
        """
        return self.fc(x) + x

class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Block() for _ in range(3))
        self.head = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x)
'''


def test_less_of_a_deep_model(tmp_path, capsys):
    (tmp_path / "deep.py").write_text(DEEP)
    target = f"{tmp_path}/deep.py:Deep"

    def shown(*arguments: str) -> str:
        code, out, err = run(capsys, target, "--input", "2,4", *arguments)
        assert code == 0, err
        return out

    whole = shown()
    assert "def forward(self, x, y, …):" in whole
    assert '"""Adds. …"""' in whole
    assert "And more of it." not in whole
    assert "self.fc(x) + x  # (2, 4) → (2, 4)" in whole
    assert "Block.forward" not in shown("--depth", "0")
    assert "x = layer(x)" in shown("--depth", "0")
    assert "layers.2 · Block.forward" in shown("--module", "layers.2")
    assert "Deep.forward" not in shown("--module", "layers.2")
    assert "fc: Linear(in_features=4" in shown("--module", "layers.1.fc")
    assert "0: Linear(" in shown("--module", "head")
    code, _, err = run(capsys, target, "--input", "2,4", "--module", "layer.2")
    assert code == 2
    assert "No module 'layer.2' ran; near it are 'layers.2'" in err
    code, _, err = run(capsys, target, "--input", "2,4", "--depth", "deep")
    assert code == 2
    assert "give a whole number, such as 1" in err
