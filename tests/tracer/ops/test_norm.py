"""Normalisation against torch: the functions, and the layers as wholes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.effort import TIMES
from tests.together import together
from tests.tracer.ops.against_torch import attempt, check, check_permuted, check_resized
from tests.tracer.ops.random_calls import sizes, spoiled, tensor
from tracer import trace
from tracer.ops.steps import LAYERS
from tracer.ops.table import TABLE, bind
from tracer.record.live import live_layer_call
from tracer.views.changes import explain

NAMES = sorted(n for n, e in TABLE.items() if e.bind and e.bind.__module__.endswith("ops.norm"))

Sample = Callable[[random.Random], tuple[tuple[Any, ...], dict[str, Any]]]


def _x(draw: random.Random) -> Tensor:
    return tensor(draw, sizes(draw, most=5, least=1))


def _vector(draw: random.Random, x: Tensor, channel: int = 1) -> Tensor:
    count = x.shape[channel] if x.dim() > channel else 3
    return tensor(draw, spoiled(draw, [count], 0.05))


def _with_vectors(draw: random.Random, kept: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = _x(draw)
    names = ["running_mean", "running_var"] * (draw.random() < 0.6)
    names += ["weight"] * (draw.random() < 0.6) + ["bias"] * (draw.random() < 0.4)
    vectors = {name: _vector(draw, x) for name in names}
    if "running_mean" not in vectors:
        vectors |= {"running_mean": None, "running_var": None}  # type: ignore[dict-item]
    return (x,), {**vectors, kept: draw.random() < 0.6}


def _batch(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return _with_vectors(draw, "training")


def _instance(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return _with_vectors(draw, "use_input_stats")


def _groups(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = _x(draw)
    channels = x.shape[1] if x.dim() > 1 else 4
    divisors = [n for n in range(1, channels + 1) if channels % n == 0]
    groups = draw.choice(divisors) if draw.random() < 0.8 else draw.randint(1, 5)
    weight = {"weight": _vector(draw, x)} if draw.random() < 0.5 else {}
    return (x, groups), weight


def _last(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = _x(draw)
    count = draw.randint(1, x.dim()) if draw.random() < 0.9 else draw.randint(0, 6)
    shape = list(x.shape[max(x.dim() - count, 0) :])
    if draw.random() < 0.1:
        shape = [2, *shape]
    shape = spoiled(draw, shape, 0.06)
    weight = {"weight": tensor(draw, spoiled(draw, shape, 0.05))} if draw.random() < 0.5 else {}
    return (x, shape), weight


def _neighbours(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (_x(draw), draw.randint(1, 5)), {}


SAMPLES: dict[str, list[tuple[Callable[..., Any], Sample]]] = {
    "batch_norm": [(F.batch_norm, _batch)],
    "instance_norm": [(F.instance_norm, _instance)],
    "group_norm": [(F.group_norm, _groups)],
    "layer_norm": [(F.layer_norm, _last)],
    "rms_norm": [(F.rms_norm, _last)],
    "local_response_norm": [(F.local_response_norm, _neighbours)],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_shapes_and_refusals(name: str) -> None:
    draw = random.Random(name)
    refused = 0
    for function, sample in SAMPLES[name]:
        for _ in range(150 * TIMES):
            args, kwargs = sample(draw)
            refused += check(function, *args, on="cpu", **kwargs).violation is not None
    assert 0 < refused < 120 * TIMES


def test_every_entry_is_called() -> None:
    assert set(SAMPLES) == set(NAMES)


# --- layers --------------------------------------------------------------------------------------


def _layer(draw: random.Random, kind: type[nn.Module]) -> nn.Module:
    name, size = kind.__name__, draw.randint(1, 4)
    if name == "GroupNorm":
        groups = draw.randint(1, 2)
        made = nn.GroupNorm(groups, groups * size, affine=draw.random() < 0.7)
    elif name in ("LayerNorm", "RMSNorm"):
        made = kind([size] * draw.randint(1, 2), elementwise_affine=draw.random() < 0.5)
    elif name == "LocalResponseNorm":
        made = nn.LocalResponseNorm(size)
    else:
        settings = {"affine": draw.random() < 0.5, "track_running_stats": draw.random() < 0.5}
        made = kind(size, **settings)
    return made.double().train(draw.random() < 0.6)


# Of processes, which are not here.
ALONE = {"SyncBatchNorm"}


@together("kind", sorted(k for k, v in LAYERS.items() if v in NAMES))
@pytest.mark.filterwarnings("ignore:input's size at dim")
def test_layers(kind: str) -> None:
    draw = random.Random(kind)
    refused = 0
    for _ in range(80 * TIMES if kind not in ALONE else 0):
        layer = _layer(draw, getattr(nn, kind))
        x = tensor(draw, [draw.choice((1, 2, 3, 4)) for _ in range(draw.randint(1, 5))])
        call, _ = live_layer_call(layer, (x,), {})
        found = bind(call)
        assert found is not None
        result, error = attempt(layer, (x,), {})
        refused += error is not None
        assert (found.violation is None) == (error is None), f"{error}\n{found.violation}\n{call}"
        assert found.shapes == (() if error is not None else (tuple(result.shape),))
    assert refused or kind in ALONE


# --- where dimensions come from ------------------------------------------------------------------


def test_channels_are_those_of_the_vectors() -> None:
    x, vector = torch.randn(4, 6, 5).double(), torch.rand(6).double()
    mean = torch.rand(6).double()
    assert check_permuted(F.batch_norm, x, mean, vector, training=False) == 3
    assert check_resized(F.batch_norm, x, mean, vector, training=False) == 3
    assert check_permuted(F.instance_norm, x, weight=vector) == 3


def test_the_last_dimensions_are_those_of_the_weight() -> None:
    x, weight = torch.randn(3, 4, 5).double(), torch.rand(4, 5).double()
    assert check_permuted(F.layer_norm, x, (4, 5), weight) == 3
    assert check_resized(F.layer_norm, x, (4, 5), weight) == 1


def test_the_order_of_neighbours_counts() -> None:
    x = torch.randn(2, 6, 5).double()
    assert check_permuted(F.local_response_norm, x, 3) == 2
    assert check_resized(F.local_response_norm, x, 3) == 3


@pytest.mark.parametrize(("training", "said"), [(True, "whole batch"), (False, "stored mean")])
def test_a_batch_norm_is_told_as_it_runs(training: bool, said: str) -> None:
    layer = nn.BatchNorm1d(3).train(training)
    (told,) = explain(trace(nn.Sequential(layer), torch.randn(4, 3)))
    assert said in told.summary
    (told,) = explain(trace(nn.Sequential(nn.BatchNorm1d(1).train(training)), torch.randn(4, 1)))
    assert "the one channel" in told.summary
