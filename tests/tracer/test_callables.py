"""What `trace` takes: the model's own keywords, and whatever can be called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.together import together
from tracer import compute, trace


class Attention(nn.Module):
    def forward(self, values: Tensor, keys: Tensor, query: Tensor) -> Tensor:
        return (query @ keys.transpose(-1, -2)).softmax(-1) @ values


class Named(nn.Module):
    def forward(self, x: Tensor, name: str = "a", device: Any = None) -> Tensor:
        return x if name == "a" else x + 1


def test_a_forward_has_its_own_keywords() -> None:
    v, k, q = torch.randn(5, 3), torch.randn(5, 4), torch.randn(2, 4)
    t = trace(Attention(), values=v, keys=k, query=q)
    assert t.failure is None
    assert [note.name for note in t.inputs] == ["values", "keys", "query"]
    assert t.outputs[0].shape == (2, 3)
    again = trace(Attention(), args=(v, k), kwargs={"query": q}, values=False, name="whole")
    assert (again.name, again.values, again.outputs[0].shape) == ("whole", False, (2, 3))


def test_a_keyword_that_both_have_is_the_models() -> None:
    x = torch.zeros(2)
    assert len(trace(Named(), x, name="b", values=False)) == 1
    assert len(trace(Named(), x, values=False)) == 0
    assert trace(Named(), args=(x,), name="mine").name == "mine"


def test_options_work_as_they_did() -> None:
    t = trace(nn.Linear(3, 2), torch.zeros(4, 3), values=False, name="one", device="meta")
    assert (t.name, t.values, t.outputs[0].device) == ("one", False, "meta")


def test_an_option_that_there_is_not() -> None:
    with pytest.raises(TypeError, match="trace has no option 'valeus'"):
        trace(nn.Linear(3, 2), args=(torch.zeros(4, 3),), valeus=False)


class Coder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.outer = nn.Linear(2, 3)

    def encode(self, x: Tensor) -> Tensor:
        return self.inner(x).relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.encode(x))


def test_a_method_of_a_module() -> None:
    model = Coder()
    seen: list[Any] = []
    model.register_forward_hook(lambda *_: seen.append(1))
    x = torch.randn(4, 3)
    t = trace(model.encode, x, dims={"x": "B 3"})
    assert t.name == "Coder.encode"
    assert [(step.module, step.op) for step in t] == [("inner", "nn.Linear"), ("", "Tensor.relu")]
    assert [dim.text for dim in t.outputs[0].dims] == ["B", "2"]
    assert torch.equal(compute(t.outputs[0].id, model.encode, x), model.encode(x))
    assert "forward" not in vars(model)
    assert not seen  # the hook waits for the forward, which has not run


def test_a_method_is_the_forward() -> None:
    model = Coder()
    assert trace(model.forward, torch.zeros(4, 3)).name == "Coder"


class Holder:
    """No module, but it has one."""

    def __init__(self) -> None:
        self.net = nn.Linear(3, 2)

    def __call__(self, x: Tensor) -> Tensor:
        return self.net(x)

    def twice(self, x: Tensor) -> Tensor:
        return self(x) * 2


LAYER = nn.Linear(3, 2)


def with_global(x: Tensor) -> Tensor:
    return LAYER(x).relu()


def closure() -> Callable[[Tensor], Tensor]:
    layer = nn.Linear(3, 2)

    def run(x: Tensor) -> Tensor:
        return layer(x)

    return run


@together(
    ("target", "name", "module"),
    [
        (with_global, "with_global", "LAYER"),
        (closure(), "run", "layer"),
        (lambda x: LAYER(x), "<lambda>", "LAYER"),
        (Holder(), "Holder", "net"),
        (Holder().twice, "twice", "net"),
        (functools.partial(F := closure()), "run", "layer"),
    ],
    ids=["global", "closure", "lambda", "object", "method", "partial"],
)
def test_functions_and_what_is_called_like_one(
    target: Callable[..., Any], name: str, module: str
) -> None:
    x = torch.randn(4, 3)
    before = LAYER.weight.clone()
    t = trace(target, x, dims={"x": "B 3"})
    assert t.failure is None
    assert t.name == name
    assert t.parameters == 8
    assert t[module].outputs[0].shape == (4, 2)
    assert [dim.text for dim in t.outputs[0].dims] == ["B", "2"]
    assert trace(target, x, device="meta").outputs[0].device == "meta"
    assert torch.equal(compute(t.outputs[0].id, target, x), target(x))
    assert torch.equal(LAYER.weight, before)


def test_a_partial_gives_arguments() -> None:
    attend = functools.partial(Attention(), torch.randn(5, 3), query=torch.randn(2, 4))
    assert trace(attend, keys=torch.randn(5, 4)).outputs[0].shape == (2, 3)


def test_the_failure_of_a_function_is_explained() -> None:
    found = trace(with_global, torch.zeros(4, 7)).failure
    assert found is not None
    assert (
        found.rule
        == "LAYER needs the last size of its input to be 3: 7 ≠ 3 (x (4, 7), weight (2, 3))."
    )


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (3, "trace needs a torch.nn.Module or another callable, not int."),
        (Coder, "trace needs a torch.nn.Module, and Coder is a class: build one, Coder(...)."),
    ],
)
def test_what_cannot_be_traced(target: Any, words: str) -> None:
    with pytest.raises(TypeError) as raised:
        trace(target, torch.zeros(1))
    assert str(raised.value) == words
