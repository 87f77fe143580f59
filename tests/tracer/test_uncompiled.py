"""Torch's compiler is not imported for shapes, and where it is, it is told as it always is."""

from __future__ import annotations

import subprocess
import sys

SHAPES = """
import sys, torch
from torch import nn
from tracer import trace
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                    nn.Flatten(), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 8), nn.Sigmoid(),
                    nn.Softmax(-1), nn.Dropout())
found = trace(net, torch.randn(2, 3, 4, 4), values=False, device="meta")
assert found.failure is None and len(found.steps) == 11
"""

NOT_THERE = 'assert "torch._dynamo" not in sys.modules\n'

COMPILED = """
import torch._dynamo
code = torch._disable_dynamo(print).__code__
(inner,) = {
    each
    for function in _functions()
    if function.__name__ == "relu" and function.__code__ is code
    for each in _within(function)
    if "__dynamo_disable" in vars(each)
}
before = vars(inner)["__dynamo_disable"]
x = torch.ones(2, 3, device="meta")
assert x.relu().shape == (2, 3)
assert vars(inner)["__dynamo_disable"] is not before
made = torch.compile(lambda y: y.relu() + 1, backend="eager", fullgraph=True)
assert made(torch.zeros(2)).tolist() == [1, 1]
assert made(x).shape == (2, 3)
"""


def test_shapes_need_no_compiler_and_one_that_comes_later_is_told_what_not_to_look_into() -> None:
    names = "from tracer.record.uncompiled import _functions, _within\n"
    program = SHAPES + NOT_THERE + names + COMPILED
    subprocess.run([sys.executable, "-c", program], check=True)
