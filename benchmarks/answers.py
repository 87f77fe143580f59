"""What answers cost that must come at once.

    python benchmarks/answers.py

Printed is the processor time of each in milliseconds, the least of five; of a run of pasted code,
which another process computes, the time that passes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tracer import trace, worker
from tracer.views.player import mathml


def deep_failure() -> Any:
    blocks = (nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()) for _ in range(100))
    return trace(nn.Sequential(*blocks, nn.Conv2d(4, 8, 3)), torch.zeros(1, 8, 8, 8)).failure


PASTED = worker.Job(
    "from torch import nn\n\n\nclass Net(nn.Linear):\n    pass\n",
    "Net",
    {"in_features": "4", "out_features": "2"},
    ("2,4",),
)
CASES: dict[str, Callable[[], Any]] = {
    "a failure behind 200 steps": deep_failure,
    "a formula of 240 braces": lambda: mathml("$" + "{" * 240 + "$"),
    "a formula of 80 roots": lambda: mathml("$" + r"\sqrt{" * 80 + "}" * 80 + "$"),
    "a formula of 240 powers": lambda: mathml("$" + "x^" * 240 + "$"),
}


def cost(case: Callable[[], Any]) -> float:
    began = time.process_time()
    case()
    return time.process_time() - began


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, case in CASES.items():
        print(f"{min(cost(case) for _ in range(5)) * 1000:9.1f} ms  {name}")
    worker.warm()
    took = min(worker.run(PASTED).seconds for _ in range(5))
    print(f"{took * 1000:9.1f} ms  a run of pasted code")
