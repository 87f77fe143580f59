"""What all tests share: golden files, rewritten by `pytest --rewrite-golden`."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.effort import TIMES
from tracer.strict import SWITCH

os.environ[SWITCH] = "1"
# Before torch is loaded, which the process that only hands tests out need not do at all.
os.environ["OMP_NUM_THREADS"] = "1"
# On GitHub the command line says more; the tests that are about that say so.
os.environ.pop("GITHUB_ACTIONS", None)

# What fails today failed yesterday; new examples are drawn where many are.
settings.register_profile("shapewalk", derandomize=TIMES == 1, deadline=None)
settings.load_profile("shapewalk")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits runs first, while the tests in the browser use the processor beside it."""
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)


def pytest_collection_finish() -> None:
    """What was imported and collected is no garbage: Python's collector need not walk through it
    again and again."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many calls of the operation table were compared with torch, by all processes."""
    number: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        number.update(
            {kind: n for kind, n in report.user_properties if kind in ("taken", "refused")}
        )
    if number:
        terminalreporter.write_line(
            f"{number.total():,} calls of operations as torch has them: {number['taken']:,} taken, "
            f"{number['refused']:,} refused."
        )


@pytest.fixture(autouse=True)
def torchs_modes_stay() -> Iterator[None]:
    """What a test turns on in torch it turns off again: else the tests after it fail."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None:
        assert torch.is_grad_enabled()
        assert torch._C._len_torch_function_stack() == 0
        assert torch._C._len_torch_dispatch_stack() == 0


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with `golden/NAME` beside the test file."""
    folder = Path(request.path).parent / "golden"

    def check(name: str, text: str) -> None:
        path = folder / name
        if request.config.getoption("--rewrite-golden"):
            folder.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden file {path.name}: run pytest --rewrite-golden"
        assert text == path.read_text(encoding="utf-8")

    return check
