"""An answer is the same, word for word, on an idle machine and on a busy one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from tests.broken import CASES
from tests.effort import TIMES

ROOT = Path(__file__).resolve().parents[3]
BUSY = 4
SAMPLE = sorted(case.name for case in random.Random(0).sample(CASES, min(4 * TIMES, len(CASES))))

ANSWERS = """
import json, multiprocessing, subprocess, sys, tempfile
from pathlib import Path
import torch
from tests.broken import CASES
from tracer import trace
from tracer.views.text import failure_text

torch.set_num_threads(1)
cases = {case.name: case for case in CASES}

def answers():
    folder, told = Path(tempfile.mkdtemp()), []
    for name in sys.argv[2:]:
        program = cases[name].load(folder)
        failure = trace(program.build(), *program.inputs(), name=name).failure
        told += ["# " + name, f"{failure_text(failure)} {failure.fixes}"]
    return "\\n".join(told).replace(str(folder), "")

def apart():
    # In a process of its own, which knows nothing of what was asked before.
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(answers)

idle = apart()
command = [sys.executable, "-c", "while True: pass"]
loops = [subprocess.Popen(command) for _ in range(int(sys.argv[1]))]
try:
    busy = apart()
finally:
    for loop in loops:
        loop.kill()
        loop.wait()
print(json.dumps([idle, busy]))
"""


def test_a_busy_machine_answers_word_for_word_as_an_idle_one() -> None:
    command = [sys.executable, "-W", "ignore", "-c", ANSWERS, str(BUSY), *SAMPLE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    told = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    idle, busy = json.loads(told.stdout)
    assert idle.count("Fix 1") > len(SAMPLE) // 2
    assert busy == idle
