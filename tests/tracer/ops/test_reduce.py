"""Operations along dimensions against torch."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import sympy
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.effort import TIMES
from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.random_calls import axis, sizes, tensor, to_lay
from tracer.document import TensorAt
from tracer.ops.call import Call, Operand
from tracer.ops.table import TABLE, bind

NAMES = sorted(n for n, e in TABLE.items() if e.bind and e.bind.__module__.endswith("ops.reduce"))

Sample = Callable[[random.Random], tuple[tuple[Any, ...], dict[str, Any]]]


def _x(draw: random.Random, empty: bool = True) -> Tensor:
    shape = sizes(draw)
    if empty and shape and draw.random() < 0.1:
        shape[draw.randrange(len(shape))] = 0
    return tensor(draw, shape)


def _along_one(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = _x(draw)
    return (x, axis(draw, x.dim())), {}


def _along_one_filled(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = _x(draw, empty=False)
    return (x, axis(draw, x.dim())), {}


def _named_one(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = _x(draw)
    return (x,), {"dim": axis(draw, x.dim())}


def _named_several(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    while True:
        args, kwargs = _maybe_several(draw)
        if kwargs.get("dim"):
            return args, kwargs


def _counted(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args, kwargs = _maybe_several(draw)
    kwargs.pop("keepdim", None)
    return args, kwargs


def _at_most_two(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    while True:
        args, kwargs = _maybe_several(draw)
        if len(kwargs.get("dim", ())) < 3:
            return args, kwargs


def _maybe_one(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = _x(draw)
    if draw.random() < 0.3:
        return (x,), {}
    keep = {"keepdim": True} if draw.random() < 0.4 else {}
    return (x,), {"dim": axis(draw, x.dim()), **keep}


def _maybe_several(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = _x(draw)
    which = draw.random()
    if which < 0.2:
        return (x,), {}
    keep = {"keepdim": True} if draw.random() < 0.4 else {}
    if which < 0.3:
        return (x,), {"dim": (), **keep}
    count = draw.randint(1, max(x.dim(), 1))
    if which < 0.55:
        dims = [axis(draw, x.dim()) for _ in range(count)]
    else:
        dims = draw.sample(range(max(x.dim(), 1)), count)
    return (x,), {"dim": tuple(dims), **keep}


def _with_other(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if draw.random() < 0.7:
        return _maybe_one(draw)
    x = _x(draw, empty=False)
    return (x, tensor(draw, to_lay(draw, list(x.shape)))), {}


def _some(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = _x(draw, empty=False)
    dim = axis(draw, x.dim())
    size = x.shape[dim] if -x.dim() <= dim < x.dim() else 1
    k = draw.randint(0, size) if draw.random() < 0.8 else draw.randint(-1, 6)
    return (x, k), {} if dim == -1 else {"dim": dim}


def _plain(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (_x(draw),), {}


def _shortened(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = tensor(draw, sizes(draw, least=2))
    return (x, 2, axis(draw, x.dim()), 1.0), {}


def _even(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = [size * 2 if draw.random() < 0.8 else size for size in sizes(draw)]
    return (tensor(draw, shape), axis(draw, len(shape))), {}


def _two(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = sizes(draw, least=1)
    return (tensor(draw, shape), tensor(draw, to_lay(draw, shape))), {}


def _two_along(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    (a, b), _ = _two(draw)
    return (a, b), {"dim": axis(draw, a.dim())}


def _two_keeping(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return _two(draw)[0], {"keepdim": draw.random() < 0.5}


# Left out, since torch is of two minds or refuses what has nothing to do with sizes:
# - logsumexp along no dimension, which the real kernel refuses and the one on meta takes
# - norm over three dimensions, which its default p has no meaning for
# - cummax and cummin of nothing, which do not look at `dim`
def _steps(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = _x(draw)
    return (x, draw.randint(1, 3), axis(draw, x.dim())), {}


# Left out, since torch is of two minds or refuses what has nothing to do with sizes:
# - logsumexp along no dimension, which the real kernel refuses and the one on meta takes
# - norm over three dimensions, which its default p has no meaning for
# - cummax and cummin of nothing, which do not look at `dim`
def _steps(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = _x(draw)
    return (x, draw.randint(1, 3), axis(draw, x.dim())), {}


def _vectors(draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = sizes(draw, least=1)
    dim = axis(draw, len(shape))
    if -len(shape) <= dim < len(shape) and draw.random() < 0.8:
        shape[dim] = 3
    other = [1 if draw.random() < 0.2 else size for size in shape]
    if -len(shape) <= dim < len(shape) and draw.random() < 0.8:
        other[dim] = 3
    return (tensor(draw, shape), tensor(draw, other[draw.random() < 0.1 :])), {"dim": dim}


SEVERAL = "sum mean nansum nanmean amax amin std var std_mean var_mean"
ONE = "argmax argmin prod aminmax any all"
SAMPLES: dict[str, list[tuple[Callable[..., Any], Sample]]] = {
    **{name: [(getattr(torch, name), _maybe_several)] for name in SEVERAL.split()},
    **{name: [(getattr(torch, name), _maybe_one)] for name in ONE.split()},
    "any": [(torch.any, _maybe_several), (Tensor.any, _maybe_several)],
    "all": [(torch.all, _maybe_several)],
    "logsumexp": [(torch.logsumexp, _named_several)],
    "count_nonzero": [(torch.count_nonzero, _counted)],
    "norm": [(torch.norm, _at_most_two)],
    "vector_norm": [(torch.linalg.vector_norm, _maybe_several)],
    "max": [(torch.max, _with_other), (Tensor.max, _with_other)],
    "min": [(torch.min, _with_other)],
    "median": [(torch.median, _maybe_one)],
    "nanmedian": [(torch.nanmedian, _maybe_one)],
    "mode": [(torch.mode, _maybe_one)],
    "topk": [(torch.topk, _some), (Tensor.topk, _some)],
    "kthvalue": [(torch.kthvalue, _some)],
    "sort": [(torch.sort, _along_one), (Tensor.sort, _plain)],
    "argsort": [(torch.argsort, _along_one)],
    "msort": [(torch.msort, _plain)],
    **{
        name: [(getattr(torch, name), _along_one), (getattr(Tensor, name), _along_one)]
        for name in ("cumsum", "cumprod", "logcumsumexp")
    },
    "cummax": [(torch.cummax, _along_one_filled)],
    "cummin": [(torch.cummin, _along_one_filled)],
    "renorm": [(torch.renorm, _shortened)],
    "tril": [(torch.tril, _plain), (Tensor.tril_, _plain)],
    "triu": [(torch.triu, _plain)],
    "trace": [(torch.trace, _plain)],
    **{name: [(getattr(F, name), _along_one)] for name in ("softmax", "softmin", "log_softmax")},
    "gumbel_softmax": [(F.gumbel_softmax, _named_one)],
    "Softmax2d": [],
    "glu": [(F.glu, _even)],
    "normalize": [(F.normalize, _named_one)],
    "cosine_similarity": [(F.cosine_similarity, _two), (F.cosine_similarity, _two_along)],
    "pairwise_distance": [(F.pairwise_distance, _two), (F.pairwise_distance, _two_keeping)],
    "diff": [(torch.diff, _steps)],
    "dist": [(torch.dist, _two)],
    # How many values differ is known from a recorded run alone.
    "unique": [],
    "unique_consecutive": [],
}
NEVER_REFUSED = {"msort", "unique", "unique_consecutive", "Softmax2d"}


@together("name", SAMPLES)
@pytest.mark.filterwarnings("ignore")
def test_shapes_and_refusals(name: str) -> None:
    draw = random.Random(name)
    refused = 0
    for function, sample in SAMPLES[name]:
        for _ in range(80 * TIMES):
            args, kwargs = sample(draw)
            refused += check(function, *args, on="cpu", **kwargs).violation is not None
    assert refused or name in NEVER_REFUSED


def test_every_entry_is_called() -> None:
    assert set(SAMPLES) == set(NAMES)


# --- where dimensions come from ------------------------------------------------------------------

X = torch.rand(3, 4, 5, dtype=torch.float64)


@together(
    ("function", "arguments", "permuted", "resized"),
    [
        (torch.sum, {"dim": 1}, 3, 3),
        (torch.sum, {}, 3, 3),
        (torch.amax, {"dim": (0, 2), "keepdim": True}, 3, 3),
        (torch.max, {"dim": 1}, 2, 3),
        (torch.var_mean, {"dim": 0}, 3, 3),
        (torch.argmax, {"dim": 1}, 2, 3),
        (torch.topk, {"k": 2, "dim": 1}, 2, 3),
        (torch.sort, {"dim": 2}, 2, 3),
        (torch.cumsum, {"dim": 0}, 2, 3),
        (torch.tril, {}, 1, 3),
        (F.softmax, {"dim": 1}, 3, 3),
        (F.normalize, {"dim": 2}, 3, 3),
        (F.glu, {"dim": 1}, 2, 2),
    ],
)
def test_flows(
    function: Callable[..., Any], arguments: dict[str, Any], permuted: int, resized: int
) -> None:
    # The position of the largest changes with the order that it is looked for in.
    along = {"max": X.amin(1, keepdim=True), "argmax": X}.get(function.__name__)
    assert along is not None or check_permuted(function, X, **arguments) == permuted
    assert check_resized(function, X, **arguments) == resized


def test_pairs_of_rows() -> None:
    a, b = torch.rand(2, 1, 4).double(), torch.rand(3, 4).double()
    assert check_permuted(F.cosine_similarity, a, b, dim=-1) == 3
    assert check_resized(F.pairwise_distance, a, b) >= 3


# --- sizes that are symbols ----------------------------------------------------------------------

B, C, H = sympy.symbols("B C H", positive=True, integer=True)


@together(
    ("op", "shapes", "arguments", "result"),
    [
        ("sum", [(B, C, H)], {"dim": (1,), "keepdim": True}, (B, 1, H)),
        ("max", [(B, C)], {"dim": 1}, (B,)),
        ("topk", [(B, C)], {"k": C // 2}, (B, C // 2)),
        ("glu", [(B, 2 * C)], {"dim": 1}, (B, C)),
        ("diff", [(B, C)], {}, (B, C - 1)),
        ("add", [(B, 1, H), (C, H)], {"other": TensorAt(1)}, (B, C, H)),
        ("prelu", [(B, C, H), (C,)], {"weight": TensorAt(1)}, (B, C, H)),
        ("group_norm", [(B, 4 * C, H)], {"num_groups": C}, (B, 4 * C, H)),
        ("layer_norm", [(B, H), (H,)], {"normalized_shape": (H,), "weight": TensorAt(1)}, (B, H)),
    ],
)
def test_sizes_may_be_symbols(
    op: str, shapes: list[tuple[Any, ...]], arguments: dict[str, Any], result: tuple[Any, ...]
) -> None:
    call = Call(op, tuple(map(Operand, shapes)), {"input": TensorAt(0), **arguments})
    found = bind(call)
    assert found is not None
    assert found.shapes[0] == result


def test_symbols_that_differ_for_sure_are_refused() -> None:
    operands = (Operand((B, C)), Operand((B, C + 1)))
    found = bind(Call("add", operands, {"input": TensorAt(0), "other": TensorAt(1)}))
    assert found is not None
    assert found.violation is not None
    assert found.violation.facts["wanted"] == C + 1
