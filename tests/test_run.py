"""`make test`: both parts run, whatever becomes of the other, and the end says which failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import run


@pytest.mark.parametrize("failing", [set(), {"computed"}, {"in the browser"}])
def test_both_parts_run_and_the_end_says_which_failed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    failing: set[str],
) -> None:
    parts = {}
    for number, name in enumerate(run.PARTS):
        file = tmp_path / f"test_{number}.py"
        file.write_text(f"def test_it():\n    assert {name not in failing}\n")
        parts[name] = [str(file), "-p", "no:cacheprovider", "-c", "/dev/null"]
    monkeypatch.setattr(run, "PARTS", parts)
    assert run.main([]) == int(bool(failing))
    printed = capfd.readouterr().out
    assert printed.count("1 passed") == 2 - len(failing)
    for line, name in zip(printed.splitlines()[-2:], parts, strict=True):
        assert line == f"Tests {name}: {'FAILED' if name in failing else 'passed'}."
