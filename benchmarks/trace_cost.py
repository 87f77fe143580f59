"""What a trace costs beside the plain forward.

    python -m benchmarks.trace_cost [NAME ...] [--repeat 15] [--clock cpu] [--json FILE]
                                    [--profile CASE]

The cases are blocks as people trace them (CBAM, a non-local block, an encoder layer), a CBAM so
small that nothing but the tracing is measured, 100 and 10,000 operations in a row, and every lesson
at its first preset; NAME keeps to some.  Everything runs in one process on one thread and
interleaved, so that a noisy machine disturbs all alike.  Printed are the median and the minimum of
the plain forward, and for each kind of trace the ratio of its median and of its minimum to these:

    floor     the plain forward under an empty mode and empty hooks: what no recorder can undercut
    shapes    `trace(..., values=False)`, with its warnings
    bare      the same without diagnosis: what recording alone costs
    values    with statistics and heatmaps
    meta      shapes without computing

The plain forward of an encoder layer takes torch's fused path, which torch leaves whenever a mode
or a hook is there; what tracing alone adds is the row `encoder_unfused`, whose plain forward is
kept off that path too.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from modules import LESSONS
from modules.non_local import NonLocalBlock
from tracer import trace

KINDS: dict[str, dict[str, Any]] = {
    "shapes": {"values": False},
    "bare": {"values": False, "diagnose": False},
    "values": {},
    "meta": {"values": False, "device": "meta"},
}


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., ECCV 2018): (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, channels: int, reduction: int = 16, kernel: int = 7) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // reduction, channels, 1, bias=False),
        )
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        average = self.mlp(nn.functional.adaptive_avg_pool2d(x, 1))
        highest = self.mlp(nn.functional.adaptive_max_pool2d(x, 1))
        x = x * torch.sigmoid(average + highest)
        mean = torch.mean(x, dim=1, keepdim=True)
        top, _ = torch.max(x, dim=1, keepdim=True)
        gate = torch.sigmoid(self.conv(torch.cat([mean, top], dim=1)))
        return x * gate


class Row(nn.Module):
    """So many operations, every other one a layer's."""

    def __init__(self, operations: int) -> None:
        super().__init__()
        self.pairs = operations // 2
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.pairs):
            x = self.layer(x + 1)
        return x


class Empty(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return func(*args, **kwargs or {})


def floor(model: nn.Module, *args: Any, **kwargs: Any) -> None:
    handles = []
    for module in model.modules():
        handles.append(module.register_forward_pre_hook(lambda *_: None, with_kwargs=True))
        handles.append(module.register_forward_hook(lambda *_: None, with_kwargs=True))
    with Empty():
        model(*args, **kwargs)
    for handle in handles:
        handle.remove()


@dataclass(frozen=True)
class Case:
    name: str
    model: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    fused: bool = True


def cases() -> Iterator[tuple[str, Callable[[], Case]]]:
    def of(name: str, build: Callable[[], nn.Module], *shape: int) -> tuple[str, Any]:
        return name, lambda: Case(name, build().eval(), (torch.randn(shape),), {})

    yield of("cbam", lambda: CBAM(256), 2, 256, 100, 148)
    yield of("non_local", lambda: NonLocalBlock(64, mode="embedded_gaussian"), 6, 64, 32, 32)
    yield of(
        "encoder_layer", lambda: nn.TransformerEncoderLayer(256, 8, batch_first=True), 4, 128, 256
    )
    yield "encoder_unfused", lambda: replace(dict(cases())["encoder_layer"](), fused=False)
    yield of("cbam_tiny", lambda: CBAM(32), 1, 32, 8, 8)
    yield of("row_100", lambda: Row(100), 2, 2)
    yield of("row_10000", lambda: Row(10_000), 2, 2)
    for lesson in LESSONS:

        def build(lesson: Any = lesson) -> Case:
            settings = lesson.settings(lesson.presets[0].name)
            args, kwargs = lesson.inputs(settings, lesson.kinds[0], 0)
            return Case(lesson.key, lesson.build(settings).eval(), args, kwargs)

        yield f"lesson {lesson.key}", build


def measured(
    runs: dict[str, Callable[[], object]], repeat: int, clock: Callable[[], float]
) -> dict[str, tuple[float, float]]:
    """Median and minimum of each, in milliseconds; the first turn warms up.  Their order changes,
    since what runs after a large one finds other memory."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    shuffle = random.Random(0).shuffle
    order = list(runs)
    for turn in range(repeat + 1):
        shuffle(order)
        for name in order:
            began = clock()
            runs[name]()
            took = clock() - began
            if turn:
                times[name].append(took * 1000)
    return {name: (statistics.median(each), min(each)) for name, each in times.items()}


@dataclass(frozen=True)
class Found:
    """One case: median and minimum of the plain forward in milliseconds, and for each kind of trace
    the ratios of its median and of its minimum to these."""

    case: str
    steps: int
    plain: tuple[float, float]
    ratios: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        ratios = "".join(f"{median:7.2f}× {least:6.2f}×" for median, least in self.ratios.values())
        median, least = self.plain
        return f"{self.case:24} {self.steps:5} {median:7.2f} {least:6.2f} ms  {ratios}"


def row(name: str, case: Case, repeat: int, clock: Callable[[], float]) -> Found:
    runs: dict[str, Callable[[], object]] = {
        "plain": partial(case.model, *case.args, **case.kwargs),
        "floor": partial(floor, case.model, *case.args, **case.kwargs),
    }
    for kind, how in KINDS.items():
        runs[kind] = partial(trace, case.model, *case.args, **how, **case.kwargs)
    torch.backends.mha.set_fastpath_enabled(case.fused)
    with torch.no_grad():
        steps = len(trace(case.model, *case.args, values=False, **case.kwargs).steps)
        found = measured(runs, repeat, clock)
    median, least = plain = found.pop("plain")
    return Found(
        name, steps, plain, {k: (m / median, low / least) for k, (m, low) in found.items()}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    parser.add_argument("--profile", metavar="CASE", help="profile shapes-only traces of one case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clock = time.perf_counter if options.clock == "wall" else time.thread_time
    if options.profile:
        profile(dict(cases())[options.profile](), options.repeat)
        return
    print(
        f"{'case':24} {'steps':>5} {'plain':>17}  " + "".join(f"{k:>16}" for k in ("floor", *KINDS))
    )
    rows = []
    for name, build in cases():
        if not options.names or name in options.names:
            rows.append(row(name, build(), options.repeat, clock))
            print(rows[-1], flush=True)
    if options.json:
        how = {"clock": options.clock, "repeat": options.repeat, "torch": torch.__version__}
        found = {"threads": 1, **how, "rows": [asdict(each) for each in rows]}
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def profile(case: Case, repeat: int) -> None:
    with torch.no_grad():
        trace(case.model, *case.args, values=False, **case.kwargs)
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(repeat):
            trace(case.model, *case.args, values=False, **case.kwargs)
        profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
