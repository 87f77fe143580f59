"""Operations on single values against torch."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.effort import TIMES
from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.random_calls import sizes, tensor, to_lay
from tracer.ops.elementwise import PAIRS
from tracer.ops.table import TABLE

NAMES = sorted(n for n, e in TABLE.items() if e.bind and e.bind.__module__.endswith("elementwise"))

Sample = Callable[[random.Random], tuple[Any, ...]]

MORE_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "threshold": (0.1, 2.0),
    "full_like": (3.0,),
    "randint_like": (7,),
    "fill": (2.0,),
    "type": (torch.float32,),
    "to": (torch.float16,),
    **dict.fromkeys(("dropout", "alpha_dropout", "feature_dropout"), (0.5, True)),
    "feature_alpha_dropout": (0.5, True),
    **dict.fromkeys(("mvlgamma", "multigammaln"), (1,)),
    "geometric": (0.5,),
}
WHOLE = ("gcd", "lcm", "bitwise_left_shift", "bitwise_right_shift")
DTYPES = {
    **dict.fromkeys(WHOLE, torch.int64),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"), torch.int64),
    **dict.fromkeys(("angle", "conj"), torch.complex128),
}
# They need what is not here, or are no call of their own.
NO_CALL = {
    *("pin_memory", "cuda", "expit", "requires_grad", "Identity", "alias", "real", "imag", "data"),
    *("log_sigmoid", "_threshold", "mod", "truediv", "floordiv", "and", "or", "xor", "invert"),
    *("lshift", "rshift"),
}
OPERATORS = {
    "add": ("add",),
    "sub": ("sub",),
    "mul": ("mul",),
    "div": ("truediv",),
    "floor_divide": ("floordiv",),
    "remainder": ("mod",),
    "pow": ("pow",),
    "bitwise_and": ("and",),
    "bitwise_or": ("or",),
    "bitwise_xor": ("xor",),
    "bitwise_not": ("invert",),
    "bitwise_left_shift": ("lshift",),
    "bitwise_right_shift": ("rshift",),
}


def functions(name: str) -> list[Callable[..., Any]]:
    """The ways of calling an operation: as a function, as a method, as an operator, in place."""
    found = [getattr(home, name, None) for home in (torch, F, Tensor)]
    if name in ("normal", "uniform", "zero", "copy", "fill", "bernoulli"):
        found = []
    if name in ("half", "float", "double", "int", "long", "short", "bool", "char", "byte"):
        found = [getattr(Tensor, name)]
    found += [getattr(Tensor, f"{name}_", None), getattr(torch.special, name, None)]
    if name == "polygamma":  # of the method the tensor comes first
        found = [torch.polygamma]
    for operator in OPERATORS.get(name, ()):
        found += [getattr(Tensor, f"__{operator}__"), getattr(Tensor, f"__i{operator}__", None)]
    unique = list(dict.fromkeys(function for function in found if callable(function)))
    assert unique, name
    return unique


def arguments(draw: random.Random, name: str) -> tuple[Any, ...]:
    """Operands of an operation that stands for others like it."""
    shape = sizes(draw)
    dtype = DTYPES.get(name, torch.float64)
    x = tensor(draw, shape, dtype)
    if name in PAIRED:
        other: Any = tensor(draw, to_lay(draw, shape), dtype)
        if name not in TWO_TENSORS and draw.random() < 0.15:
            other = 2
        third = tensor(draw, to_lay(draw, shape), dtype)
        if name in ("addcmul", "addcdiv") or (name == "lerp" and draw.random() < 0.7):
            return x, other, third
        return (x, other, 0.5) if name == "lerp" else (x, other)
    return (1, x) if name == "polygamma" else (x, *MORE_ARGUMENTS.get(name, ()))


PAIRED = {name for names in PAIRS for name in names.split()} | {"copy", "type_as"}
TWO_TENSORS = {
    *("atan2", "arctan2", "hypot", "complex", "polar", "isclose", "maximum", "minimum", "fmax"),
    *("fmin", "logical_and", "logical_or", "logical_xor", "logaddexp", "lerp", "addcmul"),
    *("addcdiv", "rsub", "type_as", "logaddexp2", "heaviside", "gcd", "lcm", "nextafter", "igamma"),
    *("igammac", "gammainc", "gammaincc", "ldexp"),
}
OWN = {
    *("clamp", "clip", "clamp_min", "clamp_max", "where", "masked_fill", "masked_scatter"),
    *("prelu", "allclose", "broadcast_tensors"),
}


@together("name", sorted(set(NAMES) - NO_CALL - OWN))
@pytest.mark.filterwarnings("ignore")
def test_shapes_and_refusals(name: str) -> None:
    draw = random.Random(name)
    refused = 0
    for function in functions(name):
        for _ in range(TIMES * (60 if name in PAIRED else 12 if "dropout" in name else 4)):
            refused += check(function, *arguments(draw, name), on="cpu").violation is not None
    assert name not in PAIRED - {"type_as"} or refused


def _bounds(draw: random.Random) -> tuple[Any, ...]:
    shape = sizes(draw)
    low = tensor(draw, to_lay(draw, shape))
    return (
        tensor(draw, shape),
        low,
        tensor(draw, to_lay(draw, shape)) if draw.random() < 0.5 else (None),
    )


def _one_bound(draw: random.Random) -> tuple[Any, ...]:
    return _bounds(draw)[:2]


def _choice(draw: random.Random) -> tuple[Any, ...]:
    shape = sizes(draw)
    condition = tensor(draw, to_lay(draw, shape), torch.bool)
    return condition, tensor(draw, shape), tensor(draw, to_lay(draw, shape))


def _masked(draw: random.Random) -> tuple[Any, ...]:
    shape = sizes(draw)
    mask = tensor(draw, to_lay(draw, shape), torch.bool if draw.random() < 0.9 else torch.int64)
    return tensor(draw, shape), mask


def _filled(draw: random.Random) -> tuple[Any, ...]:
    return *_masked(draw), 0.0 if draw.random() < 0.5 else torch.tensor(0.0, dtype=torch.float64)


def _scattered(draw: random.Random) -> tuple[Any, ...]:
    return *_masked(draw), tensor(draw, [1000])


def _slopes(draw: random.Random) -> tuple[Any, ...]:
    shape = sizes(draw)
    count = draw.choice((1, draw.randint(1, 5), *shape[1:2] * 3))
    return tensor(draw, shape), tensor(draw, [count] if draw.random() < 0.9 else [count, 1])


def _several(draw: random.Random) -> tuple[Any, ...]:
    shape = sizes(draw)
    return tuple(tensor(draw, to_lay(draw, shape)) for _ in range(draw.randint(1, 3)))


SAMPLES: dict[str, list[tuple[Callable[..., Any], Sample]]] = {
    "clamp": [(torch.clamp, _bounds), (Tensor.clamp_, _bounds)],
    "clip": [(torch.clip, _bounds)],
    "clamp_min": [(torch.clamp_min, _one_bound)],
    "clamp_max": [(torch.clamp_max, _one_bound)],
    "where": [(torch.where, _choice)],
    "masked_fill": [(torch.masked_fill, _filled), (Tensor.masked_fill_, _filled)],
    "masked_scatter": [
        (torch.masked_scatter, _scattered),
        (Tensor.masked_scatter_, _scattered),
    ],
    "prelu": [(F.prelu, _slopes)],
    "allclose": [(torch.allclose, lambda draw: _several(draw)[:2] * 2)],
    "broadcast_tensors": [(torch.broadcast_tensors, _several)],
}


@together("name", SAMPLES)
def test_calls_of_their_own(name: str) -> None:
    draw = random.Random(name)
    refused = 0
    for function, sample in SAMPLES[name]:
        for _ in range(60 * TIMES):
            arguments = sample(draw)
            if name == "allclose":
                arguments = arguments[:2]
            refused += check(function, *arguments, on="cpu").violation is not None
    assert refused


def test_every_entry_is_called() -> None:
    assert set(SAMPLES) == OWN
    assert set(NAMES) >= OWN | NO_CALL
    for name in set(NAMES) - NO_CALL - OWN:
        assert functions(name)


# --- where dimensions come from ------------------------------------------------------------------


def test_what_meets_is_one_dimension() -> None:
    a, b = torch.randn(2, 1, 4).double(), torch.randn(3, 4).double()
    assert check_permuted(torch.add, a, b) == 3
    assert check_resized(torch.add, a, b) >= 3
    condition = torch.rand(2, 1, 4) > 0.5
    assert check_permuted(torch.where, condition, b, a) == 3


def test_slopes_belong_to_channels() -> None:
    x, slopes = torch.randn(2, 3, 4).double(), torch.randn(3).double()
    assert check_permuted(F.prelu, x, slopes) == 3
    assert check_resized(F.prelu, x, slopes) == 3


def test_values_alone_keep_every_dimension() -> None:
    x = torch.randn(2, 3, 4).double()
    assert check_permuted(torch.tanh, x) == 3
    assert check_resized(torch.tanh, x) == 3


def test_an_operation_in_place_holds_what_it_writes_to() -> None:
    x, y = torch.randn(3), torch.randn(2, 3)
    found = check(Tensor.__iadd__, x, y, on="cpu").violation
    assert found is not None
    assert (found.kind, found.facts["in_place"], found.facts["grown"]) == (
        "broadcast",
        True,
        (2, 3),
    )
    assert check(Tensor.add, x, y, on="cpu").violation is None
