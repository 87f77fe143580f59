"""Work in processes of their own."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading

import pytest

from modules import lesson
from modules.lesson import run
from tracer import Cancelled
from ui import apart
from ui import run as runs
from ui.run import FormulaJob
from ui.view import default_view, preset_view

pytestmark = pytest.mark.waits


def test_a_failure_is_understood_at_once_and_mended_by_another_process() -> None:
    key, preset = "squeeze-excite", "Breaks: made for other channels"
    view = preset_view(default_view(key), preset)
    first = runs.outline(view)
    failure = first.trace.failure
    assert failure is not None
    assert failure.violation is not None
    assert failure.violation.kind == "width"
    assert failure.root is not None
    assert not failure.fixes
    job = FormulaJob(view, first)
    assert job.wait(600)
    found = runs.formulated(view, first)
    assert found is not None
    assert found.trace.failure is not None
    here = run(lesson(key), lesson(key).settings(preset), values=False).failure
    assert here is not None
    assert here.fixes
    assert [each.says for each in found.trace.failure.fixes] == [each.says for each in here.fixes]


def test_what_a_process_raises_is_told_and_one_that_is_killed_is_started_again() -> None:
    process = apart.Process()
    with pytest.raises(RuntimeError, match="LookupError: There is no lesson 'none'"):
        process.ask(apart.solved, ("none", {}, False))
    assert process.ask(apart.ready, ()) is None
    asked: list[Exception] = []

    def ask() -> None:
        try:
            process.ask(apart.solved, ("non-local", lesson("non-local").settings(), False))
        except apart.EndedError as error:
            asked.append(error)

    waiting = threading.Thread(target=ask)
    waiting.start()
    assert process._running is not None
    process._running.kill()
    waiting.join(600)
    assert len(asked) == 1
    assert process.ask(apart.ready, ()) is None
    process.end()


def test_a_process_whose_server_has_gone_ends_without_a_word() -> None:
    """While it reads, and while it answers."""
    asked = pickle.dumps(("none", ()))  # which is answered without loading torch
    for question in (b"", asked[:-3], asked):
        with subprocess.Popen(
            [sys.executable, "-m", "ui.apart"],
            cwd=apart.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            process.stdin.write(question)
            process.stdin.close()
            assert process.stderr.read() == b""
            assert process.wait(600) == 0


def test_formulas_are_not_lost_when_their_process_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = default_view("squeeze-excite").with_settings({"C": 24, "B": 3})
    shapes = runs.outline(view)
    # Whoever came before may have found them.
    monkeypatch.setattr(sys.modules["modules.lesson"], "_solutions", {})

    def killed(*_: object, **__: object) -> None:
        raise apart.EndedError

    with monkeypatch.context() as patched:
        patched.setattr(apart, "ask", killed)
        with pytest.raises(apart.EndedError):
            runs.with_formulas(view, shapes)
    assert runs.formulated(view, shapes) is None
    assert runs.with_formulas(view, shapes).trace.symbols


def test_who_has_left_is_not_waited_for() -> None:
    def left() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        apart.ask(apart.ready, watch=left)
