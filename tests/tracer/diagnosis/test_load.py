"""An answer is the same, word for word, on an idle machine and on a busy one."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.broken import CASES
from tests.effort import TIMES

ROOT = Path(__file__).resolve().parents[3]
BUSY = 4
SAMPLE = sorted(case.name for case in random.Random(0).sample(CASES, min(8 * TIMES, len(CASES))))

ANSWERS = """
import sys, tempfile
from pathlib import Path
import torch
from tests.broken import CASES
from tracer import trace
from tracer.views.text import failure_text

torch.set_num_threads(1)
folder = Path(tempfile.mkdtemp())
cases = {case.name: case for case in CASES}
for name in sys.argv[1:]:
    program = cases[name].load(folder)
    failure = trace(program.build(), *program.inputs(), name=name).failure
    print("#", name)
    print(f"{failure_text(failure)} {failure.fixes}".replace(str(folder), ""))
"""


def answers() -> str:
    command = [sys.executable, "-W", "ignore", "-c", ANSWERS, *SAMPLE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    told = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    return told.stdout


@contextlib.contextmanager
def busy() -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def test_a_busy_machine_answers_word_for_word_as_an_idle_one() -> None:
    idle = answers()
    assert idle.count("Fix 1") > len(SAMPLE) // 2
    with busy():
        assert answers() == idle
