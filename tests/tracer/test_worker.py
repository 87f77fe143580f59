"""Code of others in its own process: its trace comes back, and nothing it does harms the caller."""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.together import together
from tracer import sandbox, worker
from tracer.worker import Answer, Job, Limits, run

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.skipif(not worker.available(), reason="needs fork"),
    pytest.mark.waits,
]
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
landlock = pytest.mark.skipif(sandbox._landlock_version() < 1, reason="needs Landlock")
seccomp = pytest.mark.skipif(not sandbox._seccomp_available(), reason="needs seccomp")

# Of the clock so much that a busy machine comes to the end of what ends.
SHORT = Limits(seconds=1, clock=300)
LONG = Limits(clock=300)
WAITING = Limits(clock=3)

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4, act=nn.ReLU, mode="a"):
        super().__init__()
        self.fc = nn.Linear(width, 2)
        self.act = act()
        self.mode = mode

    def forward(self, x):
        return self.act(self.fc(x))
"""


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    os.environ["SHAPEWALK_TEST_TOKEN"] = "a-secret-of-the-server"
    worker.stop()
    worker.warm()
    yield
    worker.stop()
    del os.environ["SHAPEWALK_TEST_TOKEN"]


def net(body: str, init: str = "pass") -> str:
    """A module with this forward; its first line is line 10."""
    head = (
        "import ctypes, os, subprocess, sys, threading, time\nimport torch\nfrom torch import nn\n"
    )
    lines = "\n".join(f"        {line}" for line in textwrap.dedent(body).strip().splitlines())
    return (
        f"{head}\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        {init}\n    def forward(self, x):\n{lines}\n"
    )


def answered(source: str, name: str = "Net", *inputs: str, limits: Limits = SHORT) -> Answer:
    found = run(Job(source, name, inputs=inputs or ("2,4",)), limits)
    # Whatever it was, the next one is served.
    assert worker._server().process.poll() is None
    return found


GATE = """\
from torch import nn
from ..sizes import WIDTH


class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Linear(channels, WIDTH)

    def forward(self, x):
        return x * self.fc(x).sigmoid()
"""

PACKAGED = """\
from torch import nn
from .blocks import Gate


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = Gate(8)

    def forward(self, x):
        return self.gate(x).mean(1)
"""

FILES = {
    "net/__init__.py": "from .model import Net\n",
    "net/blocks/__init__.py": "from .gate import Gate\n",
    "net/blocks/gate.py": GATE,
    "net/sizes.py": "WIDTH = 9\n",
}


def problem(found: Answer, kind: str, *words: str) -> worker.Problem:
    assert found.problem is not None
    assert found.problem.kind == kind, found.problem
    for word in words:
        assert word in found.problem.sentence
    assert found.problem.sentence.endswith(".")
    assert "\n" not in found.problem.sentence
    return found.problem


# --- what runs ----------------------------------------------------------------------------------


def test_a_picture_fits_what_the_module_wants_and_weights_are_taken() -> None:
    picture = io.BytesIO()
    Image.new("RGB", (60, 40), (255, 0, 0)).save(picture, "JPEG")
    weights = io.BytesIO()
    torch.save({"weight": torch.ones(4, 3, 1, 1), "bias": torch.zeros(4)}, weights)
    data = {"red.jpg": picture.getvalue(), "ones.pt": weights.getvalue()}
    arguments = {"in_channels": "3", "out_channels": "4", "kernel_size": "1"}
    job = Job("", "torch.nn.Conv2d", arguments, ("@red.jpg",), data=data, weights="ones.pt")
    found = run(job)
    assert found.problem is None
    assert found.used is not None
    (text,) = found.used.inputs
    assert text.startswith("input=B,C,H,W")
    assert text.endswith("@red.jpg")
    assert found.trace is not None
    (step,) = found.trace.steps
    stats = step.outputs[0].stats
    assert stats is not None
    assert (round(stats.minimum or 0, 1), round(stats.maximum or 0, 1)) == (1.0, 1.0)
    assert [str(note).partition(" ")[0] for note in found.notes] == ["ones.pt", "red.jpg"]
    for bad, name in (
        ({"red.jpg": b"GIF", "ones.pt": data["ones.pt"]}, "red.jpg"),
        ({"ones.pt": b"PK"}, "ones.pt"),
        ({}, "ones.pt"),
    ):
        problem(run(dataclasses.replace(job, data=bad)), "inputs", name)
    problem(run(dataclasses.replace(job, data={"a": b"0" * 100_000_001})), "files", "100 MB")


@pytest.mark.parametrize("inputs", [("2,4",), ()], ids=["given", "found"])
def test_a_tensor_of_a_run_is_made_again(inputs: tuple[str, ...]) -> None:
    source = NET.replace("self.fc(x)", "torch.dropout(self.fc(x), 0.5, True)")
    assert source != NET
    job = Job(source, "Net", inputs=inputs)
    trace = run(job).trace
    assert trace is not None
    for note in trace.tensors().values():
        again = run(dataclasses.replace(job, tensor=note.id))
        assert again.trace is None
        assert again.tensor is not None
        assert again.tensor.shape == note.shape
        assert note.stats is not None
        assert note.stats.mean == pytest.approx(float(again.tensor.mean()), abs=1e-6)
    missing = run(dataclasses.replace(job, tensor=10**6))
    assert missing.tensor is None
    assert missing.problem is not None


def test_a_package_runs_from_its_archive_and_a_failure_is_mended_in_the_file_where_it_is() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in (FILES | {"net/model.py": PACKAGED}).items():
            archive.writestr(f"repo/src/{path}", text)
    files = worker.unpacked("repo.zip", packed.getvalue())
    assert files == FILES | {"net/model.py": PACKAGED}
    job = Job(files.pop("net/model.py"), "Net", inputs=("2,8",), file="net/model.py", files=files)
    failed = run(job).trace
    assert failed is not None
    assert failed.failure is not None
    assert (failed.failure.file, failed.failure.line) == ("net/blocks/gate.py", 11)
    fix = failed.failure.fixes[0]
    mended = {path: fix.apply(text, path) for path, text in files.items()}
    assert mended != files
    found = run(dataclasses.replace(job, files=mended)).trace
    assert found is not None
    assert found.failure is None
    assert [step.place.file for step in found.steps] == [*["net/blocks/gate.py"] * 3, job.file]


def test_a_bad_archive_is_one_sentence_and_the_server_lives() -> None:
    pid = worker._server().process.pid
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.py", "0" * 300_000_000)
    for content, words in (
        (bomb.getvalue(), "a.py has more than 1 MB"),
        (b"PK", "x.zip is damaged, or no zip archive."),
        (b"0" * 20_000_001, "x.zip has more than 20 MB"),
    ):
        found = worker.unpacked("x.zip", content)
        assert isinstance(found, worker.Problem)
        assert found.sentence.startswith(words)
    assert worker._server().process.pid == pid


def test_a_trace_comes_back() -> None:
    found = run(Job(NET, "Net", {"width": "3 + 1"}, ("B,W",), {"B": 5, "W": 4}))
    assert found.problem is None
    assert found.trace is not None
    assert [step.op for step in found.trace.steps] == ["nn.Linear", "nn.ReLU"]
    assert [note.shape for note in found.trace.outputs] == [(5, 2)]
    assert found.trace.steps[0].file == "model.py"
    assert found.trace.steps[0].expression == "self.fc(x)"
    assert found.trace.values
    assert found.trace.outputs[0].stats is not None


def test_a_failing_forward_is_a_trace_with_its_diagnosis() -> None:
    found = run(Job(NET, "Net", {"width": "5"}, ("2,4",)))
    assert found.problem is None
    assert found.trace is not None
    failure = found.trace.failure
    assert failure is not None
    assert (failure.expression, failure.module, failure.file) == ("self.fc(x)", "fc", "model.py")
    assert failure.line == NET.splitlines().index("        return self.act(self.fc(x))") + 1
    assert failure.rule


def test_constructor_arguments_are_python_among_the_names_of_the_code() -> None:
    settings = {"act": "nn.GELU", "mode": "bilinear"}
    found = run(Job(f"{NET}\nNet.forward_mode = None\n", "Net", settings, ("2,4",)))
    assert found.trace is not None
    assert [step.op for step in found.trace.steps] == ["nn.Linear", "nn.GELU"]


def test_what_is_not_given_is_found_and_told() -> None:
    found = run(Job(NET, "Net", {"width": "6"}))
    assert found.trace is not None
    assert found.trace.failure is None
    assert found.used is not None
    assert found.used.arguments == {"width": "6"}
    assert found.used.inputs == ("x=B,N,C",)
    assert found.trace.inputs[0].shape == (2, 10, 6)
    assert found.form is not None
    assert [each.name for each in found.form.constructor] == ["width", "act", "mode"]
    assert [each.name for each in found.form.forward] == ["x"]
    sized = run(Job(NET, "Net", {"width": "6"}, sizes={"N": 3}))
    assert sized.trace is not None
    assert sized.trace.inputs[0].shape == (2, 3, 6)


def test_an_installed_class_is_run_by_its_name() -> None:
    found = run(Job("", "torch.nn.Bilinear", {"in2_features": "5"}, formulas=True))
    assert found.problem is None
    assert found.trace is not None
    assert found.used is not None
    assert found.used.arguments == {
        "in1_features": "D",  # the last size of its input, and changed along with it
        "in2_features": "5",
        "out_features": "64",
    }
    assert found.used.sizes["D"] == 64
    shapes = {note.name: note.shape for note in found.trace.inputs}
    assert shapes == {"input1": (2, 10, 64), "input2": (2, 10, 5)}
    assert [each.text for each in found.trace.outputs[0].dims] == ["B", "N", "64"]


def test_an_installed_class_that_fails_is_told_and_not_edited() -> None:
    found = run(Job("", "torch.nn.Linear", {"in_features": "5"}, ("2,4",)))
    assert found.problem is None
    assert found.trace is not None
    assert found.trace.failure is not None
    assert found.trace.failure.violation is not None
    assert found.trace.failure.fixes == ()


@linux
def test_inputs_that_take_too_much_memory_are_told_as_such() -> None:
    found = run(Job(NET, "Net", inputs=("100000,100000,4",)))
    problem(found, "memory", "160 GB of memory at once", "4 GB")


@together(
    ("name", "words"),
    [
        ("torch.nn.MultiheadAtention", ("torch.nn has no MultiheadAtention", "MultiheadAttention")),
        ("torch.nn.functional.relu", ("torch.nn.functional.relu is no class of modules",)),
        ("no_such_package.Net", ("No package no_such_package is installed here",)),
        ("Net", ("No package Net is installed here",)),
    ],
)
def test_names_of_no_installed_class(name: str, words: tuple[str, ...]) -> None:
    problem(run(Job("", name)), "module", *words)


def test_an_installed_class_whose_file_imports_what_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy").mkdir()
    (tmp_path / "needy" / "__init__.py").write_text("")
    (tmp_path / "needy" / "layers.py").write_text("import no_such_vision.ops\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(worker._Stopped) as stopped:
        worker._installed("needy.layers.Gate")
    found = Answer(None, stopped.value.problem, "", 0.0)
    problem(
        found, "import", "needy.layers imports the package no_such_vision, which is not installed"
    )


def test_plain_values_alone_where_no_more_is_allowed() -> None:
    given = {"in_channels": "3", "out_channels": "2 ** 3", "kernel_size": "3"}
    found = run(Job("", "torch.nn.Conv2d", given, literal=True))
    problem(found, "arguments", "out_channels = 2 ** 3 cannot be used", "plain values")
    given["out_channels"], given["padding"] = "8", "same"
    found = run(Job("", "torch.nn.Conv2d", given, literal=True))
    assert found.trace is not None
    assert found.trace.outputs[0].shape == (2, 8, 32, 48)


def test_instances_and_functions_give_modules_too() -> None:
    source = f"{NET}\nready = nn.Sequential(Net(), nn.Linear(2, 7))\ndef make(n): return Net(n)\n"
    for name, arguments, shape in (("ready", {}, (2, 7)), ("make", {"n": "4"}, (2, 2))):
        found = run(Job(source, name, arguments, ("2,4",)))
        assert found.trace is not None
        assert found.trace.outputs[0].shape == shape


def test_a_script_that_fails_is_traced_where_it_fails() -> None:
    found = run(Job(f"{NET}\nfor n in (4, 6):\n    print(Net(n)(torch.ones(2, 4)).shape)\n"))
    assert found.problem is None
    assert found.trace is not None
    assert found.trace.failure is not None
    assert found.trace.failure.expression == "self.fc(x)"
    assert found.printed == "torch.Size([2, 2])\n"


def test_a_script_that_does_not_fail_asks_for_a_module() -> None:
    problem(run(Job(f"{NET}\nNet()(torch.ones(2, 4))\n")), "module", "without a failure")


def test_a_constructor_in_which_a_module_fails_is_traced() -> None:
    source = net("return x", "nn.Sequential(nn.Flatten(), nn.Linear(5, 2))(torch.ones(2, 4))")
    found = answered(source)
    assert found.trace is not None
    assert found.trace.failure is not None
    assert found.trace.failure.operands[0].note.shape == (2, 4)
    problem(found, "constructor", "Net cannot be built at line 8", "cannot be multiplied")


def test_what_it_prints_comes_back() -> None:
    found = answered(net("print('é', x.shape)\nprint('err', file=sys.stderr)\nreturn x + 1"))
    assert found.problem is None
    assert found.printed.splitlines() == ["é torch.Size([2, 4])", "err"]


def test_runs_go_beside_each_other() -> None:
    def one(number: int) -> tuple[int, ...]:
        found = run(Job(NET, "Net", inputs=(f"{number},4",)))
        assert found.trace is not None
        return found.trace.outputs[0].shape

    with ThreadPoolExecutor(6) as pool:
        slow = pool.submit(answered, net("time.sleep(60)"), limits=WAITING)
        assert list(pool.map(one, range(1, 9))) == [(number, 2) for number in range(1, 9)]
        problem(slow.result(), "time")


def test_the_same_seed_gives_the_same_values() -> None:
    def maximum(seed: int) -> float | None:
        found = run(Job(NET, "Net", inputs=("2,4",), seed=seed))
        assert found.trace is not None
        stats = found.trace.steps[0].outputs[0].stats
        assert stats is not None
        return stats.maximum

    assert maximum(1) == maximum(1) != maximum(2)


# --- bad input ----------------------------------------------------------------------------------


@together(
    ("source", "line", "caret"),
    [
        ("x = f(1, (2, 3)\ny = 4\n", 1, "x = f(1, (2, 3)\n     ^"),
        ("x = 1\n  y = 2\n", 2, None),
        ("x = 1\nreturn x\n", 2, "return x\n^"),
        ("x = (\n" * 300, None, None),
        ("x = '\0'", None, None),
        ("def f():\n\tx = 1\n        y = 2\n", 3, None),
    ],
)
def test_code_that_does_not_parse(source: str, line: int | None, caret: str | None) -> None:
    found = problem(run(Job(source, "Net")), "parse", "is not Python")
    if line is not None:
        assert found.line == line
        assert found.sentence.startswith(f"Line {line} ")
        assert found.text == source.splitlines()[line - 1]
    if caret is not None:
        assert found.caret == caret


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("```python", "Line 1 is not Python: it is one of Markdown's marks"),
        (">>> x = 1", "`>>>` is the prompt of a console"),
        ("!pip install timm", "a command for a notebook"),
        ("%matplotlib inline", "a command for a notebook"),
    ],
)
def test_what_was_pasted_along_with_the_code_is_named(line: str, words: str) -> None:
    problem(run(Job(f"{line}\n{NET}", "Net")), "parse", words)


@pytest.mark.parametrize(
    ("source", "name", "words"),
    [
        (net("yield x"), "Net", "has `yield` or is `async`"),
        (net("return x"), "Net", "Net runs and computes nothing: no operation"),
        (
            "",
            "torch.nn.Sequential",
            "Sequential runs and computes nothing, since it holds no layers",
        ),
    ],
)
def test_a_run_without_a_step_says_why(source: str, name: str, words: str) -> None:
    found = run(Job(source, name))
    assert found.trace is not None
    problem(Answer(None, found.problem, "", 0.0), "nothing", words)


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        (
            "from .layers import Gate\n",
            "import",
            "line 1: it imports from a file beside it, so open the whole package",
        ),
        ("width = int(input())\n", "import", "line 1: it waits for something to be typed"),
        (
            "try:\n    open('/etc/made', 'w')\nexcept OSError:\n    raise ValueError('no cache')\n",
            "refused",
            "The code tried to write to /etc/made",
        ),
    ],
)
def test_a_file_that_is_not_read_in_says_what_it_lacks(source: str, kind: str, words: str) -> None:
    problem(run(Job(source, "Net")), kind, words)


@together(
    ("source", "name", "words"),
    [
        ("x = 1\n", "Net", ("no Net and no class of modules at all", "nn.Module")),
        (NET, "Nett", ("no Nett", "its modules are Net.")),
        (f"{NET}\nclass Other: pass\n", "Other", ("Other is a class, but no nn.Module",)),
        (f"{NET}\nnumber = 7\n", "number", ("number is of type int",)),
        (f"{NET}\ndef make(): return 3\n", "make", ("make gives a int",)),
    ],
)
def test_no_module_in_it(source: str, name: str, words: tuple[str, ...]) -> None:
    problem(answered(source, name), "module", *words)


def test_a_constructor_that_raises() -> None:
    found = problem(
        answered(net("return x", "raise ValueError('heads must divide 64')")),
        "constructor",
        "Net cannot be built at line 8: ValueError: heads must divide 64",
    )
    assert (found.line, found.text) == (8, "        raise ValueError('heads must divide 64')")


@together(
    ("arguments", "words"),
    [
        ({"widht": "4"}, ("Net(width=4", "'widht'")),
        ({"width": "4 +"}, ("width = 4 + cannot be used", "not Python")),
        ({"width": "size + 1"}, ("a name that the code has not",)),
        ({"width": "1 / 0"}, ("ZeroDivisionError",)),
        ({"width": "10**10**9"}, ("width = 10**10**9 cannot", "more than 10,000 digits")),
        ({"width": "[" * 9_000}, (f"width = {'[' * 80}… cannot be used: it is not Python",)),
    ],
)
def test_wrong_constructor_arguments(arguments: dict[str, str], words: tuple[str, ...]) -> None:
    problem(run(Job(NET, "Net", arguments, ("2,4",))), "arguments", *words)


def test_a_module_whose_own_train_gives_nothing_back_is_run() -> None:
    source = (
        net("return x + 1") + "\n    def train(self, mode=True):\n        super().train(mode)\n"
    )
    assert run(Job(source, "Net")).problem is None


def test_an_argument_of_which_nothing_is_known_is_asked_for() -> None:
    source = net("return x").replace(
        "__init__(self)", "__init__(self, width, norm: str, way: bytes)"
    )
    found = problem(run(Job(source, "Net")), "arguments", "Net needs `norm`, `way`, and nothing")
    assert found.sentence.endswith("type it into its field, as Python.")


@together(
    ("inputs", "words"),
    [
        (("2,4", "2,4"), ("Net.forward(x) cannot take 2 inputs", "too many")),
        (("y=2,4",), ("cannot take 1 input:", "'x'")),
        (("2,x",), ("x has no size",)),
        (("2,?",), ("should be sizes such as",)),
        (("2,4:flot32",), ("no dtype",)),
    ],
)
def test_inputs_of_the_wrong_number_or_kind(
    inputs: tuple[str, ...], words: tuple[str, ...]
) -> None:
    problem(run(Job(NET, "Net", inputs=inputs)), "inputs", *words)


@pytest.mark.parametrize(
    "body",
    [  # `while True: pass` alone is told with its line below
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "x.new_ones(6000, 6000).matrix_power(10**6 + 1)",
        "signal = __import__('signal')\n"
        "for each in (signal.SIGPROF, signal.SIGXCPU): signal.signal(each, signal.SIG_IGN)\n"
        "while True: pass",
    ],
)
def test_endless_loops(body: str) -> None:
    found = answered(net(body))
    problem(found, "time", "after 1 s of computing in the forward", "look for a loop")


def test_what_waits_is_ended_by_the_clock() -> None:
    on_and_on = "while True:\n    try: time.sleep(1000)\n    except BaseException: pass"
    for body in ("time.sleep(1000)", on_and_on):
        found = answered(net(body), limits=WAITING)
        problem(found, "time", "has waited for 3 s ", "look for what it waits for")


@linux
def test_what_computes_is_not_ended_by_the_clock() -> None:
    body = "end = time.process_time() + 2\nwhile time.process_time() < end: pass\nreturn x + 1"
    assert answered(net(body), limits=Limits(clock=1)).problem is None


def test_an_endless_loop_is_told_with_its_line() -> None:
    assert problem(answered(net("a = 1\nwhile True: pass")), "time", "at line 11").line == 11
    assert problem(answered("while True: pass"), "time", "read in at line 1").line == 1


@linux
@pytest.mark.parametrize(
    ("body", "init", "words"),
    [
        ("return torch.zeros(25_000_000_000)", "pass", ("100 GB of memory at once", "4 GB")),
        ("pass", "self.x = torch.zeros(25_000_000_000)", ("100 GB of memory at once", "4 GB")),
        ("return bytearray(10**11)", "pass", ("more memory than the 4 GB",)),
    ],
)
def test_allocations_of_100_gb(body: str, init: str, words: tuple[str, ...]) -> None:
    found = problem(answered(net(body, init), limits=LONG), "memory", *words)
    assert found.line in (8, 10)


@linux
def test_memory_that_grows() -> None:
    source = net("k = [x]\nwhile True: k.append(torch.ones(10**7))")
    found = answered(source, limits=Limits(clock=300, memory=500_000_000))
    assert problem(found, "memory", "40 MB of memory at once", "500 MB").line == 11


@pytest.mark.parametrize(
    "body",
    [
        "while True: os.fork()",
        "while True:\n    try: os.fork()\n    except Exception: pass",
        "subprocess.run(['sleep', '1000'])",
        "os.system('sleep 1000')",
        "os.posix_spawn('/bin/sleep', ['sleep', '1000'], {})",
        pytest.param("while True: ctypes.CDLL(None).fork()", marks=seccomp),
        pytest.param("while True: ctypes.CDLL(None).vfork()", marks=seccomp),
    ],
)
def test_fork_bombs_start_nothing(body: str) -> None:
    before = processes()
    found = answered(net(body))
    assert found.problem is not None
    assert found.problem.kind in ("refused", "time")
    if found.problem.kind == "refused":
        assert found.problem.sentence.startswith("The code tried to start another process")
    assert processes() <= before


def processes() -> int:
    """How many descendants the fork server has, once it is at rest."""
    if sys.platform != "linux":
        return 0
    for _ in range(6_000):
        pids = descendants(worker._server().process.pid)
        if not pids:
            return 0
        time.sleep(0.02)
    return len(pids)


def descendants(pid: int) -> list[int]:
    try:
        direct = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [each for child in direct for each in (child, *descendants(child))]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (net("sys.exit(3)"), "called exit at line 10"),
        (net("return x", "exit()"), "called exit at line 8"),
        ("import sys\nsys.exit()\n", "called exit at line 2"),
        (net("os._exit(0)"), "ended its own process (with status 0) in the forward"),
        (net("os._exit(7)"), "(with status 7)"),
        ("import os\nos._exit(0)\n", "while being read in"),
    ],
)
def test_calls_of_exit(source: str, words: str) -> None:
    problem(answered(source), "exit", words)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
        ("os.abort()", "SIGABRT"),
    ],
)
def test_crashes_of_its_process(body: str, name: str) -> None:
    problem(answered(net(body)), "crash", name, "in the forward")


@pytest.mark.parametrize(
    "body",
    [
        "while True: print('flood')",
        "while True: os.write(1, b'flood' * 999)",
        "while True: print('flood', file=sys.stderr)",
        "print('x' * 10**9)",
    ],
)
def test_output_floods(body: str) -> None:
    found = answered(net(body), limits=LONG)
    problem(found, "output", "printed more than 1 MB")
    assert 1000 < len(found.printed) <= 100_000


def test_a_flooded_result() -> None:
    found = answered(net("while True: os.write(3, b'x' * 99999)"), limits=LONG)
    problem(found, "worker", "larger than 64 MB")


@together(
    "text", [r"answer {\"kind\": 3}\n", r"answer 7\n", r"answer null\ntrace {}\n", r"\xff\xfe\n"]
)
def test_a_result_that_the_code_writes_itself(text: str) -> None:
    found = answered(net(f'os.write(3, b"{text}")\nos._exit(0)'))
    assert found.trace is None
    assert found.problem is not None
    assert found.problem.kind in ("worker", "exit")


@pytest.mark.parametrize("where", ["absolute", "above", "link"])
@pytest.mark.parametrize(
    "how",
    [
        "open(path, 'w').write('x')",
        "open(path, 'ab')",
        "os.open(path, os.O_WRONLY | os.O_CREAT)",
        "os.mkdir(path)",
        "os.symlink('x', path)",
        "torch.save(x, path)",
        "import shutil; open('mine', 'w').close(); shutil.move('mine', path)",
        pytest.param("ctypes.CDLL(None).creat(path.encode(), 0o666)", marks=landlock),
        pytest.param("ctypes.CDLL(None).mkdir(path.encode(), 0o777)", marks=landlock),
    ],
)
def test_writes_outside_the_scratch_folder(tmp_path: Path, how: str, where: str) -> None:
    target = tmp_path / "written"
    path = {
        "absolute": f"{str(target)!r}",
        "above": f"os.path.relpath({str(target)!r})",
        "link": f"(os.symlink({str(tmp_path)!r}, 'link'), 'link/written')[1]",
    }[where]
    found = answered(net(f"path = {path}\n{how}\nreturn x"))
    assert not target.exists()
    assert not list(tmp_path.iterdir())
    if not how.startswith("ctypes"):
        problem(found, "refused", "scratch folder")


@pytest.mark.parametrize(
    "how",
    ["os.remove(path)", "os.truncate(path, 0)", "os.chmod(path, 0)", "os.rename(path, 'mine')"]
    + [
        pytest.param(f"ctypes.CDLL(None).{call}(path.encode(), 0)", marks=[landlock, seccomp])
        for call in ("unlink", "truncate", "chmod")
    ],
)
def test_a_file_outside_stays_as_it_is(tmp_path: Path, how: str) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    mode = kept.stat().st_mode
    answered(net(f"path = {str(kept)!r}\n{how}\nreturn x"))
    assert kept.read_text() == "kept"
    assert kept.stat().st_mode == mode


def test_the_scratch_folder_can_be_used_and_is_removed() -> None:
    found = answered(
        net(
            "torch.save(x, 'a.pt')\nos.mkdir('d', 0)\nprint(os.getcwd())\nreturn torch.load('a.pt')"
        )
    )
    assert found.problem is None
    assert found.trace is not None
    folder = Path(found.printed.strip())
    assert folder.parent == worker._server().folder
    assert not folder.exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("f = open('big', 'wb')\nwhile True: f.write(bytes(10**7))", "file of more than 64 MB"),
        (
            "for i in range(10**6):\n    with open(str(i), 'wb') as f: f.write(bytes(10**7))",
            "more than 256 MB",
        ),
        ("for i in range(10**7): open(str(i), 'w').close()", "10,000 files"),
    ],
)
def test_large_files(body: str, words: str) -> None:
    problem(answered(net(body), limits=LONG), "files", words)


DEEP = """
    libc = ctypes.CDLL(None)
    for _ in range(1500):
        libc.mkdir(b"d" * 200, 0o700)
        libc.chdir(b"d" * 200)
"""


@linux
def test_folders_within_folders_without_end() -> None:
    found = answered(net(DEEP + "    time.sleep(60)"), limits=LONG)
    problem(found, "files", "folders within folders")
    assert not list(worker._server().folder.iterdir())
    assert answered(NET).trace is not None


@linux
def test_a_deep_folder_that_is_left_behind_is_removed() -> None:
    found = answered(net(DEEP + "    os._exit(3)"), limits=LONG)
    assert found.problem is not None
    assert not list(worker._server().folder.iterdir())


@linux
def test_files_that_have_no_name_any_more_count() -> None:
    body = """
        kept = []
        for i in range(200):
            f = open(str(i), "wb")
            os.unlink(str(i))
            f.write(bytes(6 * 10**7))
            f.flush()
            kept.append(f)
            time.sleep(0.05)
    """
    problem(answered(net(body), limits=LONG), "files", "more than 256 MB")


@linux
def test_threads_without_end() -> None:
    body = """
        threading.stack_size(32 * 1024)
        for i in range(6000):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        time.sleep(60)
    """
    problem(answered(net(body), limits=LONG), "refused", "more than 512 threads")


@seccomp
def test_a_run_can_neither_outlive_its_supervisor_nor_hide_its_files() -> None:
    body = """
        prctl = ctypes.CDLL(None).prctl
        print(prctl(1, 0), prctl(4, 0), prctl(15, b"a name"))
        return x
    """
    assert answered(net(body)).printed == "-1 -1 0\n"


@linux
def test_no_secret_in_the_environment() -> None:
    found = answered(
        net("print(dict(os.environ))\nprint(open('/proc/self/environ').read())\nreturn x + 1")
    )
    assert found.problem is None
    assert "PATH" in found.printed
    assert "a-secret-of-the-server" not in found.printed
    assert "SHAPEWALK_TEST_TOKEN" not in found.printed


@landlock
@pytest.mark.parametrize("whose", [f"{os.getpid()}", "{os.getppid()}"], ids=["ours", "its parent"])
def test_no_look_into_other_processes(whose: str) -> None:
    found = answered(net(f"print(open(f'/proc/{whose}/environ').read())\nreturn x"))
    problem(found, "refused", "Permission denied")
    assert found.printed == ""


@landlock
def test_files_of_the_operator_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a-secret-of-the-server")
    found = answered(net(f"print(open({str(tmp_path / 'secret')!r}).read())\nreturn x"))
    problem(found, "refused", "Permission denied")
    problem(answered(net(f"os.listdir({str(ROOT)!r})")), "refused")


@seccomp
def test_no_signal_reaches_another_process() -> None:
    body = f"""
        libc = ctypes.CDLL(None)
        print([libc.kill(pid, 9) for pid in (os.getppid(), {os.getpid()}, -1)])
        return x
    """
    assert answered(net(body)).printed == "[-1, -1, -1]\n"


def test_no_network() -> None:
    body = "import socket; socket.create_connection(('127.0.0.1', 80))"
    problem(answered(net(body)), "refused")


@seccomp
def test_no_socket_at_all() -> None:
    found = answered(net("print(ctypes.CDLL(None).socket(2, 1, 0))\nreturn x"))
    assert found.printed == "-1\n"


def test_threads_are_allowed() -> None:
    body = """
        t = threading.Thread(target=print, args=('a thread',))
        t.start()
        t.join()
        return x + 1
    """
    found = answered(net(body))
    if sandbox._seccomp_available():
        assert (found.printed, found.problem) == ("a thread\n", None)


def test_what_cannot_be_imported() -> None:
    found = problem(answered("import no_such_package_x\n"), "import", "no_such_package_x", "line 1")
    assert found.line == 1


# --- the caller lives on ------------------------------------------------------------------------


def test_a_server_is_waited_for_while_it_lives_and_no_longer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wait, pair = socket.socket.settimeout, socket.socketpair
    held = []

    def pair_held_open() -> tuple[socket.socket, socket.socket]:
        ours, theirs = pair()
        held.append(theirs.dup())  # the end of the process does not close it
        return ours, theirs

    # Any time at all is over at once.
    monkeypatch.setattr(socket.socket, "settimeout", lambda each, _: wait(each, 0.001))
    monkeypatch.setattr(socket, "socketpair", pair_held_open)
    server = worker._Server(formulas=False)
    assert server.process.poll() is None
    held.pop().close()
    server.close()
    dies = tmp_path / "python"
    dies.write_text("#!/bin/sh\nexit 1\n")
    dies.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dies))
    with pytest.raises(worker._WorkerLost):
        worker._Server(formulas=False)
    held.pop().close()


def test_a_server_that_died_is_started_anew() -> None:
    server = worker._server()
    server.process.kill()
    server.process.wait()
    assert answered(NET).trace is not None
    assert worker._server() is not server
    assert not server.folder.exists()


def test_a_server_that_dies_during_a_run() -> None:
    server = worker._server()
    killer = threading.Timer(0.5, server.process.kill)
    killer.start()
    found = run(Job(net("time.sleep(60)"), "Net", inputs=("2,4",)), WAITING)
    assert found.trace is None
    assert found.problem is not None
    assert found.problem.kind in ("worker", "time")
    assert answered(NET).trace is not None


@linux
def test_a_run_that_nobody_wants_any_more_is_ended() -> None:
    there = threading.Event()
    there.set()
    server = worker._server().process.pid
    before = set(descendants(server))
    found: list[Answer] = []
    job = Job(net("while True: pass"), "Net", inputs=("2,4",))
    limits = Limits(600, 600)
    caller = threading.Thread(target=lambda: found.append(run(job, limits, there.is_set)))
    caller.start()
    eventually(lambda: len(set(descendants(server)) - before) == 2)
    pids = set(descendants(server)) - before
    there.clear()
    caller.join(600)
    problem(found[0], "worker", "Nobody waits")
    eventually(lambda: not any(alive(pid) for pid in pids))


@linux
def test_a_caller_that_dies_takes_its_runs_along() -> None:
    text = """
        import sys
        from tracer import worker
        worker.warm()
        print(worker._server().process.pid, worker._server().folder, flush=True)
        head = "from torch import nn\\nclass Net(nn.Module):\\n"
        loop = head + "    def forward(self, x):\\n        while True: pass"
        worker.run(worker.Job(loop, "Net", inputs=("2",)), worker.Limits(600, 600))
    """
    caller = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert caller.stdout is not None
    pid, folder = caller.stdout.readline().split()
    server = int(pid)
    eventually(lambda: len(descendants(server)) == 2)
    pids = [server, *descendants(server)]
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    eventually(lambda: not any(alive(pid) for pid in pids))
    assert not Path(folder).exists()


@linux
def test_what_a_run_leaves_behind_is_ended_too() -> None:
    """Where nothing refuses new processes: a grandchild in a session of its own."""
    text = """
        import os, time
        from tracer import sandbox, worker
        sandbox.adopts_orphans()
        child = os.fork()
        if child == 0:
            os.setsid()
            for _ in range(3):
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        os.setsid()
                    while True:
                        time.sleep(60)
            os._exit(0)
        time.sleep(0.5)
        found = worker._children()
        assert found
        worker._end_all(child)
        assert not worker._children()
        print("ended")
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert found.stdout == "ended\n", found.stderr


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_says_what_is_guaranteed() -> None:
    told = sandbox.protections()
    assert len(told) == 2
    assert ("Landlock) refuses writes" in str(told[0])) == (sandbox._landlock_version() > 0)


@pytest.mark.parametrize(
    "attempt",
    [
        "open(outside, 'w')",
        "os.mkdir(outside)",
        "os.rename('inside', outside)",
        "os.fork()",
        "subprocess.run(['true'])",
        "os.kill(os.getppid(), 0)",
        "socket.socket().connect(('127.0.0.1', 9))",
    ],
)
def test_without_help_of_the_kernel_python_refuses(tmp_path: Path, attempt: str) -> None:
    """What stands in where there is neither Landlock nor seccomp."""
    text = f"""
        import os, socket, subprocess, sys
        from pathlib import Path
        from tracer.sandbox import Refused, _Watch
        os.chdir({str(tmp_path)!r})
        os.mkdir("scratch")
        os.chdir("scratch")
        outside = {str(tmp_path / "outside")!r}
        sys.addaudithook(_Watch(Path.cwd()))
        open("inside", "w").close()
        try:
            {attempt}
        except Refused as error:
            print(error)
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert found.stdout.startswith("The code tried to "), found.stderr
    assert not (tmp_path / "outside").exists()
