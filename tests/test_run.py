"""`make test`: all parts run, whatever becomes of the others, and the end says which failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import run

PARTS = ["computed", "in the browser", "style"]


@pytest.mark.parametrize("failing", [set(), {"computed"}, {"in the browser", "style"}])
def test_all_parts_run_and_the_end_says_which_failed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    failing: set[str],
) -> None:
    parts = {}
    for number, name in enumerate(PARTS):
        file = tmp_path / f"test_{number}.py"
        file.write_text(f"def test_it():\n    assert {name not in failing}\n")
        parts[name] = ["pytest", str(file), "-p", "no:cacheprovider", "-c", "/dev/null"]
    monkeypatch.setattr(run, "PARTS", parts)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert run.main([]) == int(bool(failing))
    printed = capfd.readouterr().out
    assert printed.count("1 passed") == len(PARTS) - len(failing)
    assert printed.splitlines()[-len(PARTS) :] == [
        f"{name}: {'FAILED' if name in failing else 'passed'}." for name in PARTS
    ]
