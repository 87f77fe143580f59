"""How many classes, drawn at random from the packages that are installed here, are walked with
nothing given but their names.

    python -m benchmarks.classes --seed 1 --each 15 torch.nn timm transformers diffusers

Each runs as on the page, with its limits; only the clock, which a busy machine stops too early, is
wider.  Abstract classes and those that stand in for what is not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import random
from collections import Counter
from collections.abc import Iterator

from torch import nn

from tracer import installed, worker
from tracer.worker import Job, Limits

CLOCK = 600.0


def drawn(package: str, seed: str, count: int) -> Iterator[str]:
    """So many classes of a package, or of a part of it."""
    names = [
        name for name in installed.classes(package.split(".")[0]) if name.startswith(f"{package}.")
    ]
    random.Random(f"{seed}/{package}").shuffle(names)
    found = 0
    for name in names:
        if found == count:
            return
        if _can_be_run(name):
            found += 1
            yield name


def _can_be_run(name: str) -> bool:
    module, _, last = name.rpartition(".")
    if "dummy_" in module or last.endswith("PreTrainedModel"):
        return False
    try:
        made = getattr(importlib.import_module(module), last)
    except Exception:  # noqa: BLE001 - it needs what is not installed
        return False
    if not isinstance(made, type) or not issubclass(made, nn.Module) or inspect.isabstract(made):
        return False
    return made.forward is not nn.Module.forward and not _only_raises(made)


def _only_raises(made: type[nn.Module]) -> bool:
    if made.forward.__name__ == "_forward_unimplemented":
        return True
    try:
        text = inspect.getsource(made.forward)
    except OSError:
        return False
    return "NotImplementedError" in text and text.count("\n") < 8


def outcome(name: str) -> tuple[str, str]:
    """`walked`, `fails` or `no run`, and why."""
    answer = worker.run(Job("", name), Limits(clock=CLOCK))
    trace = answer.trace
    if trace is not None and trace.failure is not None:
        return "fails", f"{trace.failure.type}: {trace.failure.message}"
    if trace is None or answer.problem is not None or not trace.steps:
        return "no run", answer.problem.sentence if answer.problem else "no step"
    return "walked", f"{sum(1 for _ in trace.walk())} steps"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--each", type=int, default=15)
    parser.add_argument("--json")
    parser.add_argument("packages", nargs="*", default=["torch.nn"])
    asked = parser.parse_args()
    found: dict[str, tuple[str, str]] = {}
    for package in asked.packages:
        names = list(drawn(package, asked.seed, asked.each))
        for name in names:
            found[name] = outcome(name)
            print(f"{found[name][0]:7} {name}  {found[name][1][:120]!r}", flush=True)
        counted = Counter(found[name][0] for name in names)
        print(package, dict(counted), flush=True)
    worker.stop()
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
