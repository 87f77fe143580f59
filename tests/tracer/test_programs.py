"""Random programs: whatever is written, the trace and the independent count agree."""

from __future__ import annotations

import random

import pytest
import torch
from test_independent import account, compare
from torch import Tensor, nn

from tests.cells import run_cell
from tests.models import unsettled
from tracer import Trace, trace

# `{a}` and `{b}` are (4, 6) tensors made before, `{v}` is the one that is made, `{w}` another name.
STATEMENTS = """
{v} = {a} + {b}
{v} = {a} * 2 - {b}
{v} = ({a} @ {b}.T) @ {b}
{v} = -{a}.abs().sqrt()
{v} = {a}; {v} = {v} + 0
{v} = {a}.clone(); {v} += {b}
{v} = {a}.clone(); {v}[0] = {b}[1]
{v} = {a}.clone(); {v}[{b} > 0] = 0.5
{v} = {a}.clone(); {v}.T[1:3] *= 2
{v} = {a}.clone(); {w} = {v}[1]; {w} *= 3
{v} = {a}.clone(); {v}.select(0, 1).fill_(2)
{v} = {a}.clone().mul_({b}).add_(1)
{v} = torch.zeros_like({a}); {v}.copy_({b})
{v}, {w} = {a}.split(3, dim=1); {v} = torch.cat([{w}, {v}], 1)
{v} = {a}.max(0).values + {a}.max(1, keepdim=True)[0]
{v} = torch.chunk({a}, 2)[1].repeat(2, 1)
{v} = torch.stack([row * 2 for row in {a}])
{v} = torch.cat([{a}[:2], {b}[2:]])
{v} = torch.einsum('ij,kj->ik', {a}, {b}) @ {b}
{v} = torch.where({a} > {b}, {a}, {b})
{v} = {a}.gather(1, {b}.argsort(1))
{v} = {a}.masked_fill({b} > 0, 1.0)
{v} = {a}.t().contiguous().t()
{v} = {a}.view(2, 12).view(4, 6)
{v} = {a}.reshape(↵    6, 4↵).reshape(4, 6)
{v} = (({a} - {a}.mean(1, keepdim=True)) /↵     {a}.std(1, keepdim=True))
{v} = {a}.unflatten(1, (2, 3)).permute(1, 0, 2).flatten(1).view(4, 6)
{v} = {a}.expand(2, 4, 6).mean(0)
{v} = {a}.to(torch.float64).float()
{v} = {a}.round().int().float()
{v} = {a}.data * 1
{v} = torch.complex({a}, {b}).abs()
{v} = torch.fft.fft({a}).real
{v} = torch.addcmul({a}, {b}, {b})
{v} = F.softmax({a}, dim=-1)
{v} = F.normalize({a}, dim=1)
{v} = F.layer_norm({a}, (6,))
{v} = F.dropout({a}, 0.5)
{v} = {a} + torch.randn(4, 6)
{v} = (lambda q: q.relu() + {b})({a})
{v} = helper({a})
{v} = torch.utils.checkpoint.checkpoint(helper, {a}, use_reentrant=False)
{v} = {a} if {a}.sum() > 0 else -{a}
if ({v} := {a}.exp().clamp(max=3)).mean() > 0: {v} = {v} * 1.5
for _ in range(2): {v} = {a} = {a} * 0.5
with torch.no_grad(): {v} = {a} / ({b}.abs() + 1)
{v} = sum([{a}, {b}, {a}])
{v} = {{'k': {a} - 1}}['k']
{v} = self.linear({a})
{v} = self.stack({a})
{v} = self.block({a}, {b})
{v} = self.several[0](self.several[1]({a}))
{v} = self.norm({a})
{v} = self.attention({a}[None], {b}[None], {b}[None])[0][0]
{v} = self.gru({a}[None])[0][0]
""".strip().split("\n")


def helper(q: Tensor) -> Tensor:
    half = q * 0.5
    return half.tanh()


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(6))
        self.register_buffer("shift", torch.ones(4, 1))

    def forward(self, q: Tensor, r: Tensor) -> Tensor:
        z = q * self.gain
        return z + r * self.shift


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        inner = nn.Sequential(nn.Identity(), nn.LayerNorm(6))
        self.linear = nn.Linear(6, 6)
        self.stack = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), inner)
        self.block = Block()
        self.several = nn.ModuleList([nn.Linear(6, 6), nn.Tanh()])
        self.norm = nn.BatchNorm1d(6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.gru = nn.GRU(6, 6, batch_first=True)


def program(chance: random.Random) -> str:
    names, lines = ["x", "y"], []
    for number in range(chance.randint(3, 9)):
        new = chance.choice([f"v{number}", chance.choice(names)])
        a, b = chance.choice(names), chance.choice(names)
        lines += chance.choice(STATEMENTS).format(v=new, w=f"w{number}", a=a, b=b).split("↵")
        names.append(new)
    lines.append(f"return {chance.choice(names)}, {{'other': {chance.choice(names)}}}")
    body = "".join(f"        {line}\n" for line in lines)
    return f"class Program(Parts):\n    def forward(self, x, y):\n{body}"


@pytest.mark.parametrize("seed", range(40))
def test_a_random_program(seed: int) -> None:
    chance = random.Random(seed)
    text = program(chance)
    model = run_cell(text, Parts=Parts, helper=helper)["Program"]()
    torch.default_generator.manual_seed(seed)
    model = unsettled(model).train(chance.random() < 0.5)
    inputs = torch.randn(4, 6), torch.randn(4, 6)

    torch.default_generator.manual_seed(seed)
    found = trace(model, *inputs)
    torch.default_generator.manual_seed(seed)
    counted = account(model, inputs, {})
    assert found.failure is None, text
    compare(found, counted)
    assert Trace.from_json(found.to_json()) == found
