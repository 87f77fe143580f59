"""A repair of a large model is proven for little more than the forward that failed, and without a
copy of its weights."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from tests.cells import run_cell
from tests.tracer.diagnosis.repair.editing import bench_of, program
from tracer.diagnosis.budget import TIMES
from tracer.diagnosis.repair.copies import elements
from tracer.diagnosis.repair.proof import prove

TRANSFORMER = """
    class Block(nn.Module):
        def __init__(self, cfg):
            super().__init__()
            d = cfg["dim"]
            self.heads = cfg["heads"]
            self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x):
            b, t, d = x.shape
            q, k, v = self.qkv(self.n1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            weights = (q @ k.transpose(-1, -2) / q.size(-1) ** 0.5).softmax(-1)
            x = x + self.proj((weights @ v).transpose(1, 2).reshape(b, t, d))
            return x + self.down(F.gelu(self.up(self.n2(x))))

    class Net(nn.Module):
        def __init__(self, cfg):
            super().__init__()
            self.embed = nn.Embedding(cfg["vocab"], cfg["dim"])
            self.blocks = nn.ModuleList([Block(cfg) for _ in range(cfg["layers"])])
            self.norm = nn.LayerNorm(cfg["dim"])
            self.head = nn.Linear(cfg["width"], cfg["vocab"])

        def forward(self, tokens):
            x = self.embed(tokens)
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    def build():
        return Net(dict(vocab=20_000, dim=768, heads=12, layers=12, width=512))
"""


@cache
def transformer() -> tuple[nn.Module, Any]:
    cell = run_cell(TRANSFORMER)
    return cell["build"](), cell["build"]


def test_what_a_proof_costs() -> None:
    model, build = transformer()
    assert elements(model) > 100_000_000
    bench = bench_of(model, (torch.randint(0, 9, (2, 48)),), build)
    assert bench.plain.error is not None
    assert bench.work is not None
    right = program(model, "width=512", "width=768", constructs=True)
    layer = program(model, 'cfg["width"], cfg', 'cfg["dim"], cfg', constructs=True)
    cut = program(model, "self.head(self.norm(x))", "self.head(self.norm(x)[..., :512])")
    tried = [right, layer, cut]
    assert all(bench.shapes(each).ran for each in tried)
    proof = prove(bench, right)
    assert proof.verified
    assert proof.check("independent").passed
    assert bench.budget.total - bench.budget.left < TIMES * bench.work
    before = bench.budget.left
    for each in tried * 3:
        bench.shapes(each)
    assert before - bench.budget.left < bench.work / 3  # what is known costs little


def test_no_weight_is_copied() -> None:
    model, build = transformer()
    bench = bench_of(model, (torch.randint(0, 9, (2, 48)),), build)
    mine = {name: parameter.data_ptr() for name, parameter in model.named_parameters()}
    for made in (
        program(model, "self.norm(x))", "self.norm(x)[..., :512])"),
        program(model, "width=512", "width=768", constructs=True),
    ):
        with bench.open(made, True) as live:
            other = {name: each.data_ptr() for name, each in live.model.named_parameters()}
            changed = {name for name in mine if other[name] != mine[name]}
            assert changed == ({"head.weight"} if made.constructs else set())
        with bench.open(made, False) as live:
            assert all(parameter.is_meta for parameter in live.model.parameters())
