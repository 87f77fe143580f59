"""An answer is the same, word for word, on a fast machine and on a slow or busy one.

Nothing is kept busy for it: to what is asked a slow machine is one whose clocks go fast."""

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
SLOWER = 5
SAMPLE = sorted(case.name for case in random.Random(0).sample(CASES, min(2 * TIMES, len(CASES))))

ANSWERS = """
import json, multiprocessing, sys, tempfile, time
from pathlib import Path
import torch
from tests.broken import CASES
from tracer import trace
from tracer.views.text import failure_text

SLOWER = int(sys.argv[1])
torch.set_num_threads(1)
cases = {case.name: case for case in CASES}

def answers():
    folder, told = Path(tempfile.mkdtemp()), []
    for name in sys.argv[2:]:
        program = cases[name].load(folder)
        failure = trace(program.build(), *program.inputs(), name=name).failure
        told += ["# " + name, f"{failure_text(failure)} {failure.fixes}"]
    return "\\n".join(told).replace(str(folder), "")

def slowly():
    # As a machine sees it that is so many times slower.
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        setattr(time, name, slower(getattr(time, name)))
    return answers()

def slower(clock):
    began = clock()
    return lambda: began + SLOWER * (clock() - began)

def apart(function):
    # In a process of its own, which knows nothing of what was asked before.
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(function)

print(json.dumps([apart(answers), apart(slowly)]))
"""


def test_a_slow_machine_answers_word_for_word_as_a_fast_one() -> None:
    command = [sys.executable, "-W", "ignore", "-c", ANSWERS, str(SLOWER), *SAMPLE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    told = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    quick, slow = json.loads(told.stdout)
    assert quick.count("Fix 1") > len(SAMPLE) // 2
    assert slow == quick
