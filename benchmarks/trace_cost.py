"""What a trace costs beside the plain forward, for every lesson at its first preset.

    python benchmarks/trace_cost.py [--repeat 5]

The runs are interleaved, so that a noisy machine disturbs all alike; printed are medians, and the
ratio to the plain forward of the same run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from modules import LESSONS
from tracer import Trace, trace


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    print(f"{'lesson':16} {'steps':>5} {'plain':>9} {'shapes':>15} {'values':>15} {'meta':>9} JSON")
    for lesson in LESSONS:
        settings = lesson.settings(lesson.presets[0].name)
        model = lesson.build(settings).eval()
        args, kwargs = lesson.inputs(settings, lesson.kinds[0], 0)
        runs: dict[str, Callable[[], object]] = {
            "plain": lambda m=model, a=args, k=kwargs: m(*a, **k),
            "shapes": lambda m=model, a=args, k=kwargs: trace(m, *a, values=False, **k),
            "values": lambda m=model, a=args, k=kwargs: trace(m, *a, **k),
            "meta": lambda m=model, a=args, k=kwargs: trace(
                m, *a, values=False, device="meta", **k
            ),
        }
        with torch.no_grad():
            times: dict[str, list[float]] = {name: [] for name in runs}
            for turn in range(repeat + 1):
                for name, run in runs.items():
                    took = seconds(run)
                    if turn:  # the first turn warms up
                        times[name].append(took)
            t = runs["values"]()
        assert isinstance(t, Trace)
        median = {name: statistics.median(values) * 1000 for name, values in times.items()}
        ratio = {name: value / median["plain"] for name, value in median.items()}
        print(
            f"{lesson.key:16} {len(t.steps):5} {median['plain']:6.1f} ms"
            f" {median['shapes']:6.1f} ms {ratio['shapes']:4.2f}×"
            f" {median['values']:6.1f} ms {ratio['values']:4.2f}×"
            f" {median['meta']:6.1f} ms {len(t.to_json()) / 1e6:.2f} MB"
        )


if __name__ == "__main__":
    main()
