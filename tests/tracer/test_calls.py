"""Calls that are looked up are told as they would be if each were the first, layers as they are."""

from __future__ import annotations

import gc
import itertools
import weakref
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.together import together
from tracer.record.bind import bind, bind_layer, number, plain
from tracer.record.calls import CallText, call_text, layer_text
from tracer.record.functions import arguments_text, full_name, split_text
from tracer.record.tensors import tensors_in

X, Y, W = torch.zeros(2, 3), torch.ones(2, 3), nn.Parameter(torch.ones(2, 3))


def anew(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallText:
    return CallText(
        full_name(function),
        arguments_text(function, args, kwargs),
        plain(bind(function, args, kwargs), tensors_in((args, kwargs))),
    )


# Python takes many of these for equal.
ALIKE: dict[str, list[tuple[Any, tuple[Any, ...], dict[str, Any]]]] = {
    "numbers": [(torch.mul, (X, n), {}) for n in (1, True, 1.0, 0, False, 0.0, -0.0)],
    "sequences": [(torch.Tensor.view, (X, s), {}) for s in ([3, 2], (3, 2), torch.Size([3, 2]))],
    "one by one": [(torch.Tensor.view, args, {}) for args in ((X, 3, 2), (X, (3, 2)), (X, 6))],
    "nested": [
        (torch.Tensor.__getitem__, (X, index), {})
        for index in (0, (0,), (0, 1), slice(0, 1), (slice(0, 1),), (slice(0), 1), None, ...)
    ],
    "tensors": [(torch.add, args, {}) for args in ((X, Y), (Y, X), (X, X), (X, W), (W, W), (X, 1))],
    "lists of tensors": [
        (torch.cat, (several,), kwargs)
        for several in ([X, Y], [X, X], (X, Y), [X], [X, Y, X])
        for kwargs in ({}, {"dim": 1}, {"dim": 0}, {"axis": 1})
    ],
    "names": [
        (F.softmax, (X,), {"dim": 1}),
        (F.softmax, (X, 1), {}),
        (F.softmax, (X, 1, 3), {}),
        (F.softmax, (X,), {"dim": 1, "dtype": torch.float64}),
        (F.softmax, (X,), {"dim": 1, "dtype": torch.float32}),
    ],
    "same tensor in two places": [
        (F.scaled_dot_product_attention, args, {}) for args in ((X, X, X), (X, Y, X), (X, Y, W))
    ],
}


@together("kind", ALIKE)
def test_a_call_is_told_as_if_it_were_the_first(kind: str) -> None:
    for first, second in itertools.permutations(ALIKE[kind], 2):
        for function, args, kwargs in (first, second):
            found, operands = call_text(function, args, kwargs, number)
            wanted = anew(function, args, kwargs)
            assert repr(replace(found, in_place=False, only_reads=False)) == repr(wanted)
            assert list(map(id, operands)) == list(map(id, tensors_in((args, kwargs))))


def test_a_call_that_was_made_before_is_known() -> None:
    calls = [call_text(torch.cat, ([X, y],), {"dim": 1}, number)[0] for y in (Y, Y.clone())]
    assert calls[0] is calls[1]


def test_a_value_whose_text_may_change_is_read_each_time() -> None:
    class Named:
        name = "a"

        def __repr__(self) -> str:
            return self.name

    value = Named()
    before = call_text(torch.add, (X, value), {}, number)[0]
    value.name = "b"
    after = call_text(torch.add, (X, value), {}, number)[0]
    assert [text.rpartition("=")[2] for (text,) in (before.arguments, after.arguments)] == [
        "a",
        "b",
    ]


def test_what_a_call_writes_is_not_said_to_be_only_read() -> None:
    """Each function of the table that writes, as torch's own versions of the operands tell."""
    for function, args, kwargs in (
        (Tensor.add_, (X.clone(), 1), {}),
        (Tensor.__iadd__, (X.clone(), 1), {}),
        (Tensor.__setitem__, (X.clone(), 0, 1.0), {}),
        (torch.relu_, (X.clone(),), {}),
        (torch.add, (X, 1), {"out": X.clone()}),
        (F.relu, (X.clone(), True), {}),
        (torch.embedding_renorm_, (W.detach().clone(), torch.tensor([0]), 0.1, 2.0), {}),
        (torch.rrelu_, (X.clone(), 0.1, 0.3, True), {}),
    ):
        text, operands = call_text(function, args, kwargs, number)
        before = [each._version for each in operands]
        function(*args, **kwargs)
        assert [each._version for each in operands] != before
        assert not text.only_reads, function


def test_what_torch_says_to_be_only_read_is() -> None:
    for function, args in (
        (torch.add, (X, Y)),
        (Tensor.__add__, (X, Y)),
        (Tensor.view, (X, 3, 2)),
        (Tensor.__getitem__, (X, 0)),
        (torch._C._nn.linear, (X, W)),
        (torch.relu, (X,)),
    ):
        assert call_text(function, args, {}, number)[0].only_reads, function
    silently = torch.batch_norm, (X, None, None, X[0].clone(), X[0].clone(), True, 0.1, 1e-5, True)
    assert not call_text(*silently, {}, number)[0].only_reads


# --- layers ------------------------------------------------------------------------------------


def told(layer: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    text = layer_text(layer, args, kwargs, number)[0]
    return text.arguments, dict(text.bound)


def told_anew(
    layer: nn.Module, *args: Any, **kwargs: Any
) -> tuple[tuple[str, ...], dict[str, Any]]:
    bound = plain(bind_layer(layer, args, kwargs), tensors_in((args, kwargs)))
    return split_text(layer.extra_repr()), dict(bound)


def _other_stride(layer: nn.Module) -> None:
    layer.stride = (2, 2)  # type: ignore[assignment]


def _other_kind_of_number(layer: nn.Module) -> None:
    layer.groups = True  # type: ignore[assignment]


def _no_bias(layer: nn.Module) -> None:
    layer.bias = None


def _evaluating(layer: nn.Module) -> None:
    layer.eval()


def _own_words(layer: nn.Module) -> None:
    layer.extra_repr = lambda: "mine"  # type: ignore[method-assign]


@together("change", [_other_stride, _other_kind_of_number, _no_bias, _evaluating, _own_words])
def test_a_layer_that_was_changed_is_told_anew(change: Any) -> None:
    layer, image = nn.Conv2d(2, 2, 3), torch.zeros(1, 2, 5, 5)
    before = told(layer, image)
    assert before == told_anew(layer, image)
    change(layer)
    after = told(layer, image)
    assert repr(after) == repr(told_anew(layer, image)) != repr(before)


def test_a_setting_that_changes_in_place_is_read_each_time() -> None:
    layer, image = nn.AdaptiveAvgPool2d([1, 2]), torch.zeros(1, 2, 5, 5)  # type: ignore[arg-type]
    assert told(layer, image)[1]["output_size"] == (1, 2)
    layer.output_size[0] = 3  # type: ignore[index]
    assert told(layer, image)[1]["output_size"] == (3, 2)


def test_a_layer_called_with_its_own_weight_is_told_so() -> None:
    layer = nn.Linear(3, 3)
    assert told(layer, torch.zeros(3, 3)) == told_anew(layer, torch.zeros(3, 3))
    assert told(layer, layer.weight) == told_anew(layer, layer.weight)


def test_a_layer_that_was_told_is_not_kept() -> None:
    layer = nn.Linear(3, 3)
    layer.register_forward_hook(lambda *_, kept=layer: None)  # what it holds may hold it
    told(layer, X)
    alive = weakref.ref(layer)
    del layer
    gc.collect()
    assert alive() is None
