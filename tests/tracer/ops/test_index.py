"""Indexing, gathering and scattering against torch."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.effort import TIMES
from tests.together import together
from tests.tracer.ops.against_torch import check, check_resized
from tests.tracer.ops.samples import entries
from tracer.document import Slice, TensorAt
from tracer.ops.call import Call, Operand
from tracer.ops.table import bind
from tracer.record.live import live_call

Draw = random.Random
Sample = tuple[Any, ...]
"""A function and its arguments; named ones are a dictionary at the end."""


def shape(draw: Draw, least: int = 0, most: int = 4) -> list[int]:
    return [draw.choice((1, 2, 3, 4, 5)) for _ in range(draw.randint(least, most))]


def generator(draw: Draw) -> torch.Generator:
    return torch.Generator().manual_seed(draw.randint(0, 999))


def tensor(draw: Draw, sizes: list[int], wrong: float = 0.03) -> Tensor:
    """Of these sizes, now and then one of them wrong, or one more."""
    sizes = [draw.randint(0, 5) if draw.random() < wrong else size for size in sizes]
    if draw.random() < wrong:
        sizes = [*sizes, 2]
    return torch.rand(sizes, generator=generator(draw)).double()


def positions(draw: Draw, sizes: list[int], below: int, least: int = 0) -> Tensor:
    """Whole numbers for places of a dimension, now and then one outside, or of another dtype."""
    low, high = (least, max(below, 1)) if draw.random() > 0.05 else (-below - 1, below + 1)
    found = torch.randint(low, max(high, low + 1), sizes, generator=generator(draw))
    if draw.random() < 0.05:
        return found.to(draw.choice((torch.float64, torch.int32, torch.int16)))
    return found


def mask(draw: Draw, sizes: list[int]) -> Tensor:
    return tensor(draw, sizes) > 0.4


def axis(draw: Draw, rank: int) -> int:
    """A dimension, now and then one that is not there."""
    rank = max(rank, 1)
    return draw.randint(-rank - 1, rank) if draw.random() < 0.1 else draw.randrange(-rank, rank)


# --- x[...] --------------------------------------------------------------------------------------


def entry(draw: Draw, sizes: list[int], picked: list[int]) -> tuple[Any, int]:
    """One thing between the brackets, and how many of the dimensions it stands for."""
    size = sizes[0]
    kind = draw.choice(("all", "all", "slice", "number", "picks", "mask", "list", "none", "flag"))
    if kind == "none":
        return None, 0
    if kind == "flag" and draw.random() < 0.2:
        return draw.random() < 0.5, 0
    if kind == "slice":
        ends = [draw.choice((None, draw.randint(-size - 1, size + 1))) for _ in range(2)]
        return slice(*ends, draw.choice((None, 1, 2, 0 if draw.random() < 0.1 else 1))), 1
    if kind == "number":
        number = draw.randrange(-size, size) if draw.random() > 0.05 and size else size
        return (torch.tensor(number), 1) if draw.random() < 0.1 else (number, 1)
    if kind == "picks":
        return positions(draw, picked[draw.randint(0, len(picked)) :], size, -size), 1
    if kind == "mask":
        count = draw.randint(1, min(2, len(sizes)))
        return mask(draw, sizes[:count]), count
    if kind == "list":
        return [draw.randrange(-size, size) for _ in range(picked[-1])] if size else [], 1
    return slice(None), 1


def index(draw: Draw, sizes: list[int]) -> tuple[Any, ...]:
    picked = shape(draw, least=1, most=2)
    left, found = list(sizes), []
    while left and draw.random() < 0.8:
        each, count = entry(draw, left, picked)
        found.append(each)
        left = left[count:]
    if draw.random() < 0.2:
        found.insert(draw.randint(0, len(found)), ...)
    if draw.random() < 0.03:
        found += [0] * (len(left) + 1)
    return tuple(found)


def getitem(draw: Draw) -> Sample:
    sizes = shape(draw)
    found = index(draw, sizes)
    return Tensor.__getitem__, tensor(draw, sizes, 0), found[0] if len(found) == 1 else found


def setitem(draw: Draw) -> Sample:
    _, x, key = getitem(draw)
    try:
        place = list(x[key].shape)
    except (IndexError, RuntimeError, TypeError, ValueError):
        place = shape(draw)
    place = [1 if draw.random() < 0.2 else size for size in place[draw.randint(0, 1) :]]
    value = tensor(draw, [1, *place] if draw.random() < 0.2 else place)
    return Tensor.__setitem__, x, key, draw.choice((1.0, value, value))


def index_put(draw: Draw) -> Sample:
    sizes = shape(draw, least=1)
    x = tensor(draw, sizes, 0)
    picked = shape(draw, most=2)
    count = draw.randint(1, len(sizes))
    found = tuple(positions(draw, picked, size, -size).long() for size in sizes[:count])
    return Tensor.index_put, x, found, tensor(draw, [*picked, *sizes[count:]][draw.randint(0, 1) :])


# --- one dimension -------------------------------------------------------------------------------


def narrow(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw))
    return torch.narrow, x, axis(draw, x.dim()), draw.randint(-3, 4), draw.randint(-1, 4)


def select(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw))
    return torch.select, x, axis(draw, x.dim()), draw.randint(-5, 4)


def row(draw: Draw, x: Tensor, dim: int, least: int = 0) -> Tensor:
    size = x.shape[dim] if -x.dim() <= dim < x.dim() else 1
    sizes = draw.choice(([], [1], [2], [3], [4]) if draw.random() > 0.05 else ([2, 2],))
    return positions(draw, sizes, size, least)


def index_select(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw), 0)
    dim = axis(draw, x.dim())
    return torch.index_select, x, dim, row(draw, x, dim)


def index_write(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw, least=1), 0)
    dim = axis(draw, x.dim())
    found = row(draw, x, dim)
    if draw.random() < 0.3:
        return Tensor.index_fill, x, dim, row(draw, x, dim), 0.0
    sizes = list(x.shape)
    if -x.dim() <= dim < x.dim():
        sizes[dim] = found.numel()
    source = tensor(draw, sizes)
    if draw.random() < 0.03:
        source = source.float()
    function = draw.choice((Tensor.index_add, Tensor.index_copy, Tensor.index_reduce))
    more = ("mean",) if function is Tensor.index_reduce else ()
    return function, x, dim, found, source, *more


def rewritten(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw, least=1), 0)
    dim = axis(draw, x.dim())
    sizes, there = list(x.shape), -x.dim() <= dim < x.dim()
    if draw.random() < 0.5:
        if there:
            del sizes[dim]
        index = draw.randint(-4, 3)
        return torch.select_scatter, x, tensor(draw, sizes), dim, index
    start, end, step = draw.randint(-3, 3), draw.randint(-3, 6), draw.randint(1, 2)
    if there:
        sizes[dim] = len(range(x.shape[dim])[start:end:step])
    return torch.slice_scatter, x, tensor(draw, sizes), dim, start, end, step


# --- an index for each place ---------------------------------------------------------------------


def gathered(draw: Draw) -> tuple[Tensor, int, Tensor]:
    x = tensor(draw, shape(draw), 0)
    dim = axis(draw, x.dim())
    sizes = [draw.randint(0 if draw.random() < 0.05 else 1, size) for size in x.shape]
    there = -x.dim() <= dim < x.dim()
    if there:
        sizes[dim] = draw.randint(1, 6)
    if draw.random() < 0.06 and sizes:
        sizes[draw.randrange(len(sizes))] += 2
    if draw.random() < 0.04:
        sizes = sizes[1:]
    return x, dim, positions(draw, sizes, x.shape[dim] if there else 1)


def gather(draw: Draw) -> Sample:
    return torch.gather, *gathered(draw)


def take_along_dim(draw: Draw) -> Sample:
    x, dim, found = gathered(draw)
    found = found.clamp(min=0)
    if draw.random() < 0.2 and x.numel():
        return torch.take_along_dim, x, positions(draw, shape(draw), x.numel())
    if draw.random() < 0.5 and found.dim() == x.dim() and -x.dim() <= dim < x.dim():
        keep = [
            1 if d != dim % x.dim() and draw.random() < 0.5 else n for d, n in enumerate(x.shape)
        ]
        found = positions(draw, keep, x.shape[dim])
    return torch.take_along_dim, x, found, dim


def scatter(draw: Draw) -> Sample:
    x, dim, found = gathered(draw)
    if draw.random() < 0.3:
        return Tensor.scatter, x, dim, found, 1.0
    source = tensor(draw, [size + draw.choice((0, 0, 1)) for size in found.shape], 0.05)
    if draw.random() < 0.03:
        source = source.float()
    function = draw.choice((Tensor.scatter, Tensor.scatter_add, Tensor.scatter_reduce))
    more = ("sum",) if function is Tensor.scatter_reduce else ()
    return function, x, dim, found, source, *more


def put(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw), 0)
    sizes = shape(draw)
    source = tensor(draw, sizes)
    return Tensor.put, x, positions(draw, sizes, x.numel(), -x.numel()), source


# --- masks ---------------------------------------------------------------------------------------


def masked_select(draw: Draw) -> Sample:
    sizes = shape(draw)
    mine = [1 if draw.random() < 0.2 else size for size in sizes[draw.randint(0, len(sizes)) :]]
    chosen: Tensor = mask(draw, mine)
    return (
        torch.masked_select,
        tensor(draw, sizes),
        chosen if draw.random() > 0.05 else chosen.int(),
    )


def nonzero(draw: Draw) -> Sample:
    chosen = mask(draw, shape(draw))
    if draw.random() < 0.3:
        return torch.argwhere, chosen
    return torch.nonzero, chosen, {"as_tuple": draw.random() < 0.5}


SAMPLES: dict[str, Callable[[Draw], Sample]] = {
    "getitem": getitem,
    "narrow": narrow,
    "select": select,
    "index_select": index_select,
    "index_add index_copy index_fill index_reduce": index_write,
    "select_scatter slice_scatter": rewritten,
    "index_put": index_put,
    "gather": gather,
    "take_along_dim": take_along_dim,
    "scatter scatter_add scatter_reduce": scatter,
    "put": put,
    "masked_select": masked_select,
    "nonzero argwhere": nonzero,
}
BY_HAND = {"setitem"}  # it gives nothing back: below


def call(names: str, seed: Any) -> tuple[Any, list[Any], dict[str, Any]]:
    function, *args = SAMPLES[names](Draw(f"{names} {seed}"))
    kwargs = args.pop() if args and isinstance(args[-1], dict) else {}
    return function, args, kwargs


def test_every_entry_has_samples() -> None:
    known = {*entries("index"), *entries("gather")}
    assert known == {n for names in SAMPLES for n in names.split()} | BY_HAND


@pytest.mark.filterwarnings("ignore")
@together("names", SAMPLES)
def test_shapes_and_refusals(names: str) -> None:
    for seed in range((600 if names == "getitem" else 110) * TIMES):
        function, args, kwargs = call(names, seed)
        check(function, *args, on="cpu", **kwargs)


@pytest.mark.filterwarnings("ignore")
def test_assignment() -> None:
    for seed in range(400 * TIMES):
        function, x, key, value = setitem(Draw(f"setitem {seed}"))
        found = bind(live_call(function, (x, key, value), {})[0])
        assert found is not None
        try:
            x[key] = value
            error = None
        except (IndexError, RuntimeError, TypeError, ValueError) as raised:
            error = raised
        assert (found.violation is None) == (error is None), (found, error)
        assert found.violation is not None or found.shapes == (tuple(x.shape),)


# What a mask chooses depends on the order of the entries, and a position on what stands there.
EQUIVARIANT = {
    "getitem",
    "narrow",
    "select",
    "index_select",
    "gather",
    "take_along_dim",
}


@pytest.mark.filterwarnings("ignore")
@together("names", sorted(EQUIVARIANT))
def test_flow(names: str) -> None:
    tried = 0
    for seed in range(30):
        function, args, kwargs = call(names, f"flow {seed}")
        bound = check(function, *args, on="cpu", **kwargs)
        # A mask has to be counted, a number read.
        read = any(o.dtype == "bool" or not o.rank for o in bound.call.operands)
        if bound.violation is None and not read:
            tried += check_resized(function, *args, **kwargs)
    assert tried > 0


def test_picks_take_the_order_of_their_index() -> None:
    x, rows = torch.randn(4, 3), torch.tensor([[0, 1], [2, 0], [3, 3]])
    bound = check(Tensor.__getitem__, x, rows, on="cpu")
    assert [(dim.how, dim.sources) for dim in bound.results[0]] == [
        ("same", ((1, 0),)),
        ("same", ((1, 1),)),
        ("same", ((0, 1),)),
    ]
    apart = check(Tensor.__getitem__, torch.randn(4, 3, 4), (rows[:, 0], slice(None), rows[:, 1]))
    assert apart.shapes == ((3, 3),)


def test_a_stretch_says_which_positions_it_takes() -> None:
    call = Call(
        "getitem", (Operand((2, 9)),), {"input": TensorAt(0), "index": (..., Slice(1, None, 3))}
    )
    bound = bind(call)
    assert bound is not None
    cut = bound.results[0][1]
    assert (cut.how, cut.size, cut.start, cut.stop, cut.step) == ("piece", 3, 1, 9, 3)
