"""Long work on lessons in processes of their own, which draw no page: formulas, and the search of
what mends a failure.

A page is drawn by one core alone, as Python has it; whoever waits for a page would wait for these
as well.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import LifoQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.lesson import InputKind
    from tracer import Trace
    from tracer.formulas.proof import Solution

ROOT = Path(__file__).resolve().parent.parent
MOST = 2
"""Processes; each takes about 350 MB."""

BEHIND = 5
"""How much these come behind the pages, as `nice` counts it."""


class EndedError(OSError):
    """The process has ended without an answer: it was killed, for want of memory perhaps."""


class Process:
    """One, which is started when it is first asked, and again where it has ended."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[bytes] | None = None

    def ask(self, question: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self._running is None or self._running.poll() is not None:
            self._running = subprocess.Popen(
                [sys.executable, "-m", "ui.apart"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        running = self._running
        assert running.stdin is not None
        assert running.stdout is not None
        try:
            pickle.dump((question.__name__, arguments), running.stdin)
            running.stdin.flush()
            answer, error = pickle.load(running.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as problem:
            self.end()
            raise EndedError(str(problem)) from problem
        if error is not None:
            raise error
        return answer

    def end(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.kill()
            running.wait()
            for stream in (running.stdin, running.stdout):
                with contextlib.suppress(OSError):
                    assert stream is not None
                    stream.close()


_all = [Process() for _ in range(max(1, min(MOST, (os.cpu_count() or 1) // 2)))]
_free: LifoQueue[Process] = LifoQueue()
for _each in _all:
    _free.put(_each)


def ask(
    question: Callable[..., Any], *arguments: Any, watch: Callable[[], None] = lambda: None
) -> Any:
    """What one of the functions below gives, from a process; waits until one is free, and asks
    `watch` then.

    Raises:
        EndedError: the process was killed.
        Cancelled: `watch` raised it.
        Exception: what the function raises.
    """
    process = _free.get()
    try:
        watch()
        return process.ask(question, arguments)
    finally:
        _free.put(process)


@atexit.register
def stop() -> None:
    """Ends the processes; who asks again starts new ones."""
    for each in _all:
        each.end()


# --- what is asked ----------------------------------------------------------------------------


def ready() -> None:
    """Loads what the others need."""
    import modules
    import tracer.formulas.proof  # noqa: F401 - with sympy

    assert modules.LESSONS


def mended(
    key: str, settings: Mapping[str, Any], kind: InputKind, seed: int, training: bool, values: bool
) -> Trace:
    """The lesson's run as `modules.lesson.run` has it, with what mends its failure."""
    import torch

    from modules import lesson
    from modules.lesson import run

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return run(lesson(key), settings, kind, seed, values=values, training=training)


def solved(key: str, settings: Mapping[str, Any], training: bool) -> Solution:
    """As `modules.lesson.solution` has it."""
    from modules import lesson
    from modules.lesson import solution

    return solution(lesson(key), settings, training)


# --- the process ------------------------------------------------------------------------------


def main() -> None:
    """Answers until whoever asks is gone."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what somebody prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # that is for the server, which ends its own
    if hasattr(os, "nice"):
        os.nice(BEHIND)
    with contextlib.suppress(EOFError, BrokenPipeError, pickle.UnpicklingError):
        while True:
            pickle.dump(_answer(*pickle.load(sys.stdin.buffer)), answers)
            answers.flush()
    os._exit(0)  # what could not be sent is not to be sent at the end


def _answer(name: str, arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    questions = {each.__name__: each for each in (ready, mended, solved)}
    try:
        return questions[name](*arguments), None
    except Exception as error:  # noqa: BLE001 - whoever asked is told
        return None, RuntimeError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
