"""Calls that are looked up are told as they would be if each were the first."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tracer.record.bind import bind, number, plain
from tracer.record.calls import CallText, call_text
from tracer.record.functions import arguments_text, full_name
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


@pytest.mark.parametrize("kind", ALIKE)
def test_a_call_is_told_as_if_it_were_the_first(kind: str) -> None:
    for first, second in itertools.permutations(ALIKE[kind], 2):
        for function, args, kwargs in (first, second):
            found = call_text(function, args, kwargs, tensors_in((args, kwargs)), number)
            wanted = anew(function, args, kwargs)
            assert repr(found) == repr(wanted)


def test_a_call_that_was_made_before_is_known() -> None:
    calls = [call_text(torch.cat, ([X, y],), {"dim": 1}, [X, y], number) for y in (Y, Y.clone())]
    assert calls[0] is calls[1]


def test_a_value_whose_text_may_change_is_read_each_time() -> None:
    class Named:
        name = "a"

        def __repr__(self) -> str:
            return self.name

    value = Named()
    before = call_text(torch.add, (X, value), {}, [X], number)
    value.name = "b"
    after = call_text(torch.add, (X, value), {}, [X], number)
    assert [text.rpartition("=")[2] for (text,) in (before.arguments, after.arguments)] == [
        "a",
        "b",
    ]
