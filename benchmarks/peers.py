"""Shapewalk beside torchinfo and torchlens: parameters and FLOPs of ten models, what is counted and
what is not, time and memory.

    python -m venv peers && peers/bin/pip install -r benchmarks/requirements.txt
    python -m benchmarks.peers --peers peers/bin/python [NAME ...]

Each tool runs each model in a process of its own, which has loaded torch and the tool.
Multiply-adds are those of matrix products and convolutions; the first row of each model has them
worked out by hand, since torch's own counter (`FlopCounterMode`) knows no fused encoder and no
LSTM.  Times are of the processor, the first and the
median of three more; memory is what the process has grown by at its peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("torch", "shapewalk", "torchinfo", "torchlens")
REPEATED = 3


# --- ten models, one difficulty each --------------------------------------------------------------


class Residual(nn.Module):
    """Convolutions, some in groups."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.point = nn.Conv2d(width, width, 1)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.norm(self.point(self.deep(x))).relu()
        return self.head(x.mean((2, 3)))


class Bare(nn.Module):
    """Its products are no layers: parameters used by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, 32) / 8)
        self.kernel = nn.Parameter(torch.randn(16, 4, 3) / 8)

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight)  # (B, N, 64)
        return F.conv1d(x.unflatten(2, (4, 16)).flatten(0, 1), self.kernel)


class Attention(nn.Module):
    """Products of tensors that are no parameters."""

    def __init__(self, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        a = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        return self.out(a.transpose(1, 2).reshape(b, n, c))


class Shared(nn.Module):
    """One layer that is called three times, and a weight that two layers have."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 32)
        self.block = nn.Linear(32, 32)
        self.head = nn.Linear(32, 100, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.table(x)
        for _ in range(3):
            h = self.block(h).relu()
        return self.head(h)


class Unused(nn.Module):
    """A layer that does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.spare = nn.Linear(32, 32), nn.Linear(32, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Upwards(nn.Module):
    """Down and up again, by a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.last = nn.Conv2d(11, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([self.up(self.down(x).relu()), x], 1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(24, 48, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(96, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


class Bilinear(nn.Module):
    """einsum and a bilinear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Bilinear(16, 16, 8)
        self.core = nn.Parameter(torch.randn(8, 8) / 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x, x)
        return torch.einsum("bni,ij,bmj->bnm", y, self.core, y)


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.LayerNorm(256), nn.Linear(256, 10))


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor], int]] = {
    "perceptron": (perceptron, lambda: torch.randn(8, 64), 8 * (64 * 256 + 256 * 10)),
    "residual": (
        Residual,
        lambda: torch.randn(2, 3, 64, 64),
        2 * (32 * 32 * 32 * (3 * 9 + 9 + 32) + 32 * 10),
    ),
    "upwards": (
        Upwards,
        lambda: torch.randn(2, 3, 64, 64),
        2 * (32 * 32 * 16 * 3 * 9 + 32 * 32 * 16 * 8 * 4 + 64 * 64 * 11),
    ),
    "bare": (Bare, lambda: torch.randn(2, 10, 32), 20 * 32 * 64 + 20 * 16 * 14 * 4 * 3),
    "attention": (
        Attention,
        lambda: torch.randn(2, 50, 64),
        100 * 64 * (192 + 64) + 2 * 2 * 50 * 50 * 64,
    ),
    "encoder": (
        encoder,
        lambda: torch.randn(2, 50, 64),
        2 * (100 * 64 * (192 + 64 + 128 + 128) + 2 * 2 * 50 * 50 * 64),
    ),
    "recurrent": (
        Recurrent,
        lambda: torch.randn(2, 20, 24),
        40 * (2 * 4 * 48 * (24 + 48 + 96 + 48) + 96 * 5),
    ),
    "shared": (Shared, lambda: torch.randint(0, 100, (2, 20)), 40 * 32 * (3 * 32 + 100)),
    "unused": (Unused, lambda: torch.randn(8, 32), 8 * 32 * 32),
    # Each term of a bilinear layer is two products and a sum, which is not written here.
    "bilinear": (Bilinear, lambda: torch.randn(2, 12, 16), 2 * 12 * (8 * 16 * 16 + 8 * 8 + 12 * 8)),
}
"""What makes each, its input, and by hand its multiply-adds: rows times columns times what is
summed."""


# --- one tool, one model, one process -------------------------------------------------------------


def by_torch(model: nn.Module, x: Tensor) -> dict[str, Any]:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(x)
    return {
        "parameters": sum(each.numel() for each in model.parameters()),
        "products": counter.get_total_flops() // 2,
    }


def by_shapewalk(model: nn.Module, x: Tensor) -> dict[str, Any]:
    import tracer

    found = tracer.trace(model, x, values=False).summary()
    return {
        "parameters": found.parameters,
        "flops": found.flops,
        "products": found.flops // 2,
        "lines": _lines(found),
    }


def by_torchinfo(model: nn.Module, x: Tensor) -> dict[str, Any]:
    import torchinfo

    found = torchinfo.summary(model, input_data=(x,), verbose=0)
    return {
        "parameters": found.total_params,
        "products": found.total_mult_adds,
        "lines": _lines(found),
    }


def by_torchlens(model: nn.Module, x: Tensor) -> dict[str, Any]:
    import torchlens

    found = torchlens.trace(model, x)
    return {
        "parameters": found.num_params,
        "flops": found.total_flops_forward,
        "products": found.total_macs_forward,
    }


def _lines(found: Any) -> int:
    return str(found).count("\n") + 1


ASKED = {
    "torch": by_torch,
    "shapewalk": by_shapewalk,
    "torchinfo": by_torchinfo,
    "torchlens": by_torchlens,
}


def alone(tool: str, name: str) -> dict[str, Any]:
    """What a tool says of a model, and what that takes."""
    torch.set_num_threads(1)
    make, given, _ = MODELS[name]
    ask = ASKED[tool]
    with torch.no_grad():
        ask(nn.Sequential(nn.Linear(2, 2)), torch.ones(1, 2))  # what it loads
    torch.default_generator.manual_seed(0)
    model, x = make().eval(), given()
    with torch.no_grad():
        model(x)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        taken = []
        for _ in range(1 + REPEATED):
            start = time.process_time()
            found = ask(model, x)
            taken.append(time.process_time() - start)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found | {
        "first_seconds": taken[0],
        "seconds": statistics.median(taken[1:]),
        "megabytes": (after - before) / 1024,
    }


# --- all together ---------------------------------------------------------------------------------


def compared(python: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """By model and tool, what was found; `error` where a tool failed."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        for tool in TOOLS:
            ran = subprocess.run(
                [python, "-m", "benchmarks.peers", "--alone", tool, name],
                cwd=ROOT, capture_output=True, text=True,
            )  # fmt: skip
            last = (ran.stdout.strip() or "{}").splitlines()[-1]
            error = ran.stderr.strip().splitlines()[-1:] or ["no answer"]
            told = json.loads(last) if ran.returncode == 0 else {"error": error[0]}
            found.setdefault(name, {})[tool] = told
    return found


def table(found: dict[str, dict[str, Any]]) -> str:
    rows = [
        "| model | tool | parameters | multiply-adds | FLOPs | first, again (ms) | MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, tools in found.items():
        rows.append(f"| {name} | by hand | | {MODELS[name][2]:,} | | | |")
        for tool, told in tools.items():
            if "error" in told:
                rows.append(f"| {name} | {tool} | {told['error']} | | | | |")
                continue
            numbers = [
                f"{told[key]:,}" if key in told else ""
                for key in ("parameters", "products", "flops")
            ]
            times = f"{told['first_seconds'] * 1000:.0f}, {told['seconds'] * 1000:.1f}"
            row = [name, tool, *numbers, times, f"{told['megabytes']:.0f}"]
            rows.append(f"| {' | '.join(row)} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--peers", default=sys.executable, help="a Python that has the peers")
    parser.add_argument("--alone", choices=TOOLS, help="one tool, in this process")
    parser.add_argument("--json", type=Path, help="write all of it")
    options = parser.parse_args()
    if options.alone is not None:
        print(json.dumps(alone(options.alone, options.names[0])))
        return
    found = compared(options.peers, options.names or list(MODELS))
    print(table(found))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
