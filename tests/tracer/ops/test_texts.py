"""Files older than schema 4 hold the texts of arguments alone: the names are read from them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from tests.cells import forward_cell
from tests.together import together
from tests.tracer.test_bind import STATEMENTS, operands
from tracer import Trace, trace
from tracer.document import Bound, Slice, Step, TensorAt
from tracer.ops.names import op_name
from tracer.ops.texts import FORMS, bound_of
from tracer.views.changes import explain, labels


def aged(step: Step) -> Bound:
    return bound_of(dataclasses.replace(step, bound=Bound()))


def alike(read: Any, bound: Any) -> bool:
    """The same, where one number stands for one in each dimension."""
    if isinstance(bound, tuple) and not isinstance(read, tuple):
        return all(alike(read, part) for part in bound)
    if isinstance(bound, tuple):
        return len(read) == len(bound) and all(map(alike, read, bound))
    return read == bound or repr(read) == repr(bound)


# What the texts do not tell: which operand is the number, which of several tensors was left out,
# and names of which nothing is said before the whole is written anew.
UNTOLD = frozenset(
    """torch.mul(2, x); torch.pow(2, x); torch.add(x, y, out=p); x.tensor_split((1, 2), dim=0)
    b.tensor_split((1, 2), dim=0); torch.meshgrid([i, i], indexing="xy"); x.max(y); x.std(False)
    F.binary_cross_entropy_with_logits(x, p, pos_weight=p[0]); x.view(torch.int32)
    F.instance_norm(image)""".replace("\n    ", "; ").split("; ")
)
# Only a form with `dim` has them: without, they say what is so.
WITHOUT_DIM = {"keepdim": False, "unbiased": True, "step": 1}


@pytest.mark.filterwarnings("ignore")
@together("statement", [each for each in STATEMENTS if each not in UNTOLD])
def test_what_the_texts_say_is_what_was_bound(statement: str) -> None:
    given = operands()
    found = trace(forward_cell(" ".join(given), f"{statement}\nreturn x"), **given, values=False)
    assert found.steps
    for step in found.steps:
        if not knows(step):
            continue
        read = {n: v for n, v in aged(step).items() if n in step.bound or v != WITHOUT_DIM.get(n)}
        wrong = {
            n: (v, step.bound.get(n)) for n, v in read.items() if not alike(v, step.bound.get(n))
        }
        assert not wrong, (step.op, step.arguments)
        assert tensors(read) == tensors(step.bound), (step.op, step.arguments)


def knows(step: Step) -> bool:
    """Operations without a form of their own take `input` and `other`."""
    return op_name(step.op) in FORMS or set(step.bound) <= {"input", "other", "alpha", "index"}


def tensors(bound: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in bound.items() if isinstance(v, TensorAt)}


@together(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 5, 5)),
        (nn.ConvTranspose1d(4, 6, 3, dilation=2), (2, 4, 5)),
        (nn.Linear(3, 4, bias=False), (2, 3)),
        (nn.BatchNorm2d(3), (2, 3, 4, 4)),
        (nn.LayerNorm((3, 4)), (2, 3, 4)),
        (nn.GroupNorm(2, 4), (2, 4, 3)),
        (nn.LSTM(3, 4, batch_first=True, bidirectional=True), (2, 5, 3)),
        (nn.GRUCell(3, 4), (2, 3)),
        (nn.MaxPool2d(2, ceil_mode=True), (1, 2, 5, 5)),
        (nn.AvgPool1d(3, 1), (1, 2, 5)),
        (nn.AdaptiveAvgPool2d((1, None)), (1, 2, 4, 4)),
        (nn.Flatten(1), (2, 3, 4)),
        (nn.Unflatten(1, (1, 3)), (2, 3)),
        (nn.Softmax(-1), (2, 3)),
        (nn.ZeroPad2d((1, 0, 2, 0)), (1, 2, 4, 4)),
        (nn.Upsample(scale_factor=2), (1, 2, 4, 4)),
        (nn.PixelShuffle(2), (1, 4, 2, 2)),
        (nn.MultiheadAttention(4, 2), (3, 2, 4)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_a_layer_prints_of_itself(layer: nn.Module, shape: Any) -> None:
    given = torch.ones(shape)
    three = isinstance(layer, nn.MultiheadAttention)
    model = forward_cell("x", "return self.layer(x, x, x)" if three else "return self.layer(x)")
    model.layer = layer
    (step,) = trace(model, given, values=False).steps
    read = dict(aged(step))
    same = {"key": TensorAt(0), "value": TensorAt(0)} if three else {}
    assert {**tensors(read), **same}.items() >= tensors(step.bound).items()
    wrong = {n: (v, step.bound.get(n)) for n, v in read.items() if not alike(v, step.bound.get(n))}
    assert not wrong


def test_an_old_file_is_followed_as_a_new_one() -> None:
    """Formats 1 to 3 have no `bound`; what is said of their steps is the same."""
    body = "y = x.view(2, -1).permute(1, 0)[1:, None]\nreturn torch.cat([y, 1 - y], dim=-1).sum(1)"
    found = trace(forward_cell("x", body), torch.ones(2, 3, 4))
    old = json.loads(found.to_json())
    old["schema"] = 3
    for step in old["trace"]["steps"]:
        del step["bound"]
    read = Trace.from_json(json.dumps(old))
    assert not any(step.bound for step in read.steps)
    assert explain(read) == explain(found)
    assert labels(read) == labels(found)


@together(
    ("arguments", "wanted"),
    [
        (("[1:-1:2, None, ...]",), (Slice(1, -1, 2), None, ...)),
        (("[tensor, [0, 1]]",), (TensorAt(1), (0, 1))),
        (("[1:",), None),
        (("[f(x)]",), None),
        (("[" * 100,), None),
    ],
)
def test_an_index(arguments: tuple[str, ...], wanted: Any) -> None:
    step = trace(forward_cell("x i", "return x[i]"), torch.ones(3, 3), torch.tensor([0])).steps[0]
    old = dataclasses.replace(step, bound=Bound(), arguments=arguments)
    assert bound_of(old).get("index") == wanted
