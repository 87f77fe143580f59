"""A call that was seen to be one operation is not looked into again, and no trace differs by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.cells import forward_cell
from tests.models import MODELS, GRUTagger, Model
from tests.together import together
from tracer import trace
from tracer.record import calls
from tracer.record.mode import Recorder


@pytest.fixture
def passed_over(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations of the calls that were not looked into; nothing is known at first."""
    forget()
    found: list[str] = []
    as_it_is = Recorder._pass_over

    def noted(self: Recorder, draft: Any, whole: Any) -> None:
        found.append(draft.op)
        as_it_is(self, draft, whole)

    monkeypatch.setattr(Recorder, "_pass_over", noted)
    return found


def forget() -> None:
    calls._known.clear()
    calls._layers.clear()
    calls._alike.clear()


def recorded(model: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """The document, without how long it took."""

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if k != "seconds"}
        return [timeless(each) for each in value] if isinstance(value, list) else value

    return timeless(json.loads(trace(model, *args, **kwargs).to_json())["trace"])


@pytest.mark.parametrize("model", MODELS, ids=lambda each: each.key)
@pytest.mark.parametrize("how", ["shapes", "values", "meta"])
def test_a_model_again_and_again(model: Model, how: str, passed_over: list[str]) -> None:
    # What mends a model that cannot run on meta is looked at elsewhere.
    options: dict[str, Any] = {"values": how == "values", "mend": False}
    if how == "meta":
        options["device"] = "meta"
    if model.build is GRUTagger:
        options["values"] = False  # what packs its sequences is filled after it was made
    made = model.make()
    args, kwargs = model.arguments()
    with torch.set_grad_enabled(how != "meta"):
        first = recorded(made, *args, **options, **kwargs)
        for _ in range(2):
            assert recorded(made, *args, **options, **kwargs) == first


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], bool]] = {
    "conv": (lambda: nn.Conv2d(2, 3, 3), (1, 2, 5, 5), True),
    "conv without bias": (lambda: nn.Conv2d(2, 3, 3, bias=False), (1, 2, 5, 5), True),
    "linear": (lambda: nn.Linear(4, 3), (2, 4), True),
    "relu": (nn.ReLU, (2, 3), True),
    "norm": (lambda: nn.BatchNorm2d(2).eval(), (2, 2, 4, 4), True),
    "layer norm": (lambda: nn.LayerNorm(4), (2, 4), True),
    "dropout": (lambda: nn.Dropout().eval(), (2, 3), True),
    "softmax": (lambda: nn.Softmax(dim=1), (2, 3), True),
    "flatten": (nn.Flatten, (2, 3, 4), True),
    "pool": (lambda: nn.AdaptiveAvgPool2d(1), (2, 3, 4, 4), True),
    "writes": (lambda: nn.ReLU(inplace=True), (2, 3), False),
    "pads first": (lambda: nn.Conv1d(2, 2, 3, 1, 1, 1, 1, True, "circular"), (1, 2, 5), False),
    "counts": (lambda: nn.BatchNorm2d(2), (2, 2, 4, 4), False),
    "leaves one out": (lambda: nn.AdaptiveMaxPool2d(2), (2, 3, 4, 4), False),
    "several layers": (lambda: nn.MultiheadAttention(4, 2), (3, 1, 4), False),
}  # fmt: skip
"""Each with the shape of its input, and whether it is one operation that only reads."""


class Around(nn.Module):
    """A layer between operations of an author."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        x = x + 1
        attends = isinstance(self.layer, nn.MultiheadAttention)
        y = self.layer(x, x, x)[0] if attends else self.layer(x)
        return F.silu(y) * 2


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_torch(name: str, values: bool, passed_over: list[str]) -> None:
    build, shape, alone = LAYERS[name]
    model, x = Around(build()), torch.randn(shape)
    first = recorded(model, x, values=values)
    assert not passed_over
    assert recorded(model, x, values=values) == first
    op = f"nn.{type(model.layer).__name__}"
    assert passed_over == [*([op] if alone else []), "F.silu"]


@together("name", LAYERS)
def test_a_layer_on_meta(name: str) -> None:
    """What an operation gave there it gives again, where nothing else decides."""
    forget()
    build, shape, _ = LAYERS[name]
    model, x = Around(build()), torch.randn(shape)
    with torch.no_grad():
        first = recorded(model, x, values=False, device="meta")
        assert any(text.shaped for text in calls._known.values())
        assert recorded(model, x, values=False, device="meta") == first
        longer = torch.randn(3 * shape[0], *shape[1:])
        again = recorded(model, longer, values=False, device="meta")
        forget()
        assert recorded(model, longer, values=False, device="meta") == again


def test_strides_gradients_and_types_on_meta(passed_over: list[str]) -> None:
    class Asks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            y = x.exp() * self.scale
            asked.append((y.stride(), y.requires_grad, y.dtype, y[0]._base is y))
            y.add_(1)
            return y.exp()

    asked: list[Any] = []
    model, x = Asks(), torch.randn(2, 3, 4, 4)
    for each in (x, x.to(memory_format=torch.channels_last), x):
        trace(model, each, values=False, device="meta")
        for _ in range(2):
            with torch.no_grad():
                trace(model, each, values=False, device="meta")
    plain, last = (48, 16, 4, 1), (48, 1, 12, 3)
    assert asked[0] == (plain, True, torch.float32, True)
    assert asked[1] == asked[2] == (plain, False, torch.float32, True)
    assert asked[3] == (last, True, torch.float32, True)
    assert asked[4] == asked[5] == (last, False, torch.float32, True)
    assert asked[6:] == asked[:3]


def test_layers_that_are_alike_are_looked_into_once(passed_over: list[str]) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4).double().float())
    model.append(nn.Linear(4, 4, bias=False))
    x = torch.randn(2, 4)
    first = recorded(model, x)
    assert passed_over == ["nn.Linear"] * 2
    assert recorded(model, x) == first
    assert passed_over == ["nn.Linear"] * 6


def test_other_shapes_are_looked_into(passed_over: list[str]) -> None:
    model = Around(nn.Linear(4, 3))
    recorded(model, torch.randn(2, 4), values=False)
    first = recorded(model, torch.randn(5, 4), values=False)
    assert not passed_over
    forget()
    assert recorded(model, torch.randn(5, 4), values=False) == first


def test_a_hook_that_came_later_is_seen(passed_over: list[str]) -> None:
    model, x = Around(nn.Linear(4, 3)), torch.randn(2, 4)
    recorded(model, x)
    model.layer.register_forward_hook(lambda _, __, result: result.sin())
    again = recorded(model, x)
    assert "nn.Linear" not in passed_over
    forget()
    assert recorded(model, x) == again
    assert [each["op"] for each in again["steps"][1]["children"]] == ["F.linear", "Tensor.sin"]


@pytest.mark.parametrize("bound", [False, True])
def test_a_failure_is_seen_from_within(bound: bool, passed_over: list[str]) -> None:
    """What decides whether it fails are the values, which nothing was learned of."""
    table = nn.Embedding(4, 3)
    model: nn.Module = table if bound else forward_cell("x w", "return F.embedding(x, w)")
    model = nn.Sequential(nn.Identity(), table) if bound else model
    more = () if bound else (torch.randn(4, 3),)
    for _ in range(2):
        recorded(model, torch.tensor([1, 3]), *more)
    assert passed_over
    failed = recorded(model, torch.tensor([1, 7]), *more)
    forget()
    assert failed["failure"] is not None
    assert recorded(model, torch.tensor([1, 7]), *more) == failed
