"""An installed copy, used from another folder: the command, the import, the app, the plugin.

The environment is an empty one; what Shapewalk itself needs it finds in the one that tests."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, free_port, serving

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, 5)
    def forward(self, x):
        return self.fc(x).relu()
"""


class Installed:
    """An environment with the package, and a folder of a user who has names of his own."""

    def __init__(self, folder: Path) -> None:
        self.environment = folder / "environment"
        self.bin = self.environment / "bin"
        self.folder = folder / "work"
        venv.create(self.environment)
        wheels = folder / "wheels"
        quiet = ("--quiet", "--no-deps", "--no-index")
        build = ("--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT))
        pip(sys.executable, "wheel", *quiet, *build)
        pip(str(self.bin / "python"), "install", *quiet, *map(str, wheels.glob("*.whl")))
        (library,) = self.environment.glob("lib/python*/site-packages")
        (library / "tested.pth").write_text(sysconfig.get_paths()["purelib"])
        self.folder.mkdir()
        (self.folder / "net.py").write_text(NET)
        for name in ("ui", "modules", "pages"):
            (self.folder / f"{name}.py").write_text(f"MINE = {name!r}\n")

    def run(self, *command: str, status: int = 0) -> str:
        """What a command of the environment prints, run in the user's folder."""
        found = subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=self.folder,
            env=bare(),
            capture_output=True,
            text=True,
        )
        assert found.returncode == status, found.stdout + found.stderr
        return found.stdout + found.stderr


def bare() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}


def pip(python: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", python, *arguments]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


def test_the_command(installed: Installed) -> None:
    told = installed.run("shapewalk", "net.py:Net", "--input", "2,12")
    assert "return self.fc(x).relu()  # (2, 12) → (2, 5) → (2, 5)" in told
    assert installed.run("shapewalk", "--version").startswith("shapewalk 0.")
    wrong = installed.run("shapewalk", "net.py:Other", "--input", "2,12", status=2)
    assert wrong == "shapewalk: net.py has no Other; its modules are: Net.\n"


def test_both_names_are_the_same_and_a_users_modules_stay_his(installed: Installed) -> None:
    code = """
import sys, shapewalk, tracer
assert "torch" not in sys.modules and "streamlit" not in sys.modules
assert shapewalk.trace is tracer.trace and set(tracer.__all__) <= set(dir(shapewalk))
assert shapewalk.__version__ == tracer.__version__
from shapewalk import trace
from net import Net
import torch, ui, modules, pages
print(trace(Net(), torch.zeros(3, 12)).outputs[0].shape, ui.MINE, modules.MINE, pages.MINE)
"""
    assert installed.run("python", "-c", code) == "(3, 5) ui modules pages\n"
    gone = "import os; os.chdir('/'); import importlib.util as u;"
    gone += "print([u.find_spec(n) for n in ('ui', 'modules', 'pages', 'app')])"
    assert installed.run("python", "-P", "-c", gone) == "[None, None, None, None]\n"


def test_the_app_starts_in_any_folder_and_shows_a_lesson(
    installed: Installed, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    port = free_port()
    command = [str(installed.bin / "shapewalk"), "app", "--port", str(port)]
    with serving(port, tmp_path / "log.txt", command, installed.folder):
        page = open_page()
        page.goto(f"http://127.0.0.1:{port}/Walkthrough?lesson=squeeze-excite")
        expect(page.locator(".shapewalk .transport")).to_contain_text("introduction")
        expect(page.locator(".shapewalk .figures canvas").first).to_be_visible()
        # What there is to read on a rule is in the copy too.
        page.goto(f"http://127.0.0.1:{port}/Your_module")
        page.get_by_role("button", name="A residual that shrinks").click()
        page.get_by_role("button", name="More on SW-broadcast").click()
        expect(page.get_by_role("heading", name="SW-broadcast")).to_be_visible()


TESTS = """
import sys

def test_plain():
    assert "torch" not in sys.modules

def test_net():
    import torch
    from net import Net
    Net()(torch.zeros(2, 7))
"""


def test_pytest_loads_the_plugin_by_itself_and_once_and_that_loads_no_torch(
    installed: Installed,
) -> None:
    (installed.folder / "test_net.py").write_text(TESTS)
    # Who asks for it gets torch with it.
    asked = ("-p", "tracer.pytest_plugin", "-k", "not plain")
    for arguments, end in (((), "1 failed, 1 passed"), (asked, "1 failed, 1 deselected")):
        told = installed.run("python", "-m", "pytest", "-q", *arguments, "test_net.py", status=1)
        assert end in told
        assert told.count("Shapewalk explains") == 1
        assert "fc needs the last size of its input to be 12: 7 ≠ 12" in told
