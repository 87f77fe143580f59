"""Views, permutations, expansion and flips against torch."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import sympy
import torch
from torch import Tensor

from tests.effort import TIMES
from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import entries
from tracer.document import TensorAt
from tracer.ops.algebra import blocks
from tracer.ops.call import Call, Operand
from tracer.ops.table import bind
from tracer.record.live import live_layer_call

Draw = random.Random
Sample = tuple[Any, ...]
"""A function and its arguments."""


def shape(draw: Draw, least: int = 0, most: int = 4) -> list[int]:
    return [draw.choice((1, 1, 2, 2, 3, 4, 6)) for _ in range(draw.randint(least, most))]


def tensor(draw: Draw, least: int = 0, most: int = 4) -> Tensor:
    """Of any shape, now and then without elements or with its dimensions in another order in
    memory."""
    sizes = shape(draw, least, most)
    if sizes and draw.random() < 0.05:
        sizes[draw.randrange(len(sizes))] = 0
    made = torch.arange(math.prod(sizes)).reshape(sizes).double()
    if draw.random() < 0.3 and len(sizes) > 1:
        made = made.transpose(*draw.sample(range(len(sizes)), 2))
    if draw.random() < 0.1 and made.dim():
        made = made[..., : max(made.shape[-1] - 1, 1)]
    return made


def axis(draw: Draw, rank: int) -> int:
    """A dimension, now and then one that is not there."""
    rank = max(rank, 1)
    return draw.randint(-rank - 1, rank) if draw.random() < 0.1 else draw.randrange(-rank, rank)


def regrouped(draw: Draw, number: int) -> tuple[int, ...]:
    """Sizes with this product, now and then one of them open or wrong."""
    sizes = []
    while number > 1 and draw.random() < 0.8:
        part = draw.choice([n for n in range(1, number + 1) if number % n == 0])
        sizes.append(part)
        number //= part
    sizes.append(number)
    draw.shuffle(sizes)
    for _ in range(2):
        if draw.random() < 0.25:
            sizes[draw.randrange(len(sizes))] = draw.choice((-1, -1, -1, -2, 0, 5))
    return tuple(sizes)


def view(draw: Draw) -> Sample:
    x = tensor(draw)
    function = draw.choice((Tensor.view, Tensor.reshape, torch.reshape))
    return function, x, regrouped(draw, x.numel())


def view_as(draw: Draw) -> Sample:
    x = tensor(draw)
    sizes = [max(size, 0) for size in regrouped(draw, x.numel())]
    return draw.choice((Tensor.view_as, Tensor.reshape_as)), x, torch.empty(sizes)


def flatten(draw: Draw) -> Sample:
    x = tensor(draw)
    if draw.random() < 0.2:
        return torch.ravel, x
    return torch.flatten, x, axis(draw, x.dim()), axis(draw, x.dim())


def unflatten(draw: Draw) -> Sample:
    x = tensor(draw, least=1)
    dim = axis(draw, x.dim())
    size = x.shape[dim] if -x.dim() <= dim < x.dim() else 6
    return draw.choice((Tensor.unflatten, torch.unflatten)), x, dim, regrouped(draw, size)


def squeeze(draw: Draw) -> Sample:
    x = tensor(draw)
    if draw.random() < 0.3:
        return torch.squeeze, x
    if draw.random() < 0.3:
        return torch.squeeze, x, tuple(axis(draw, x.dim()) for _ in range(2))
    return torch.squeeze, x, axis(draw, x.dim())


def unsqueeze(draw: Draw) -> Sample:
    x = tensor(draw)
    return torch.unsqueeze, x, axis(draw, x.dim() + 1)


def permute(draw: Draw) -> Sample:
    x = tensor(draw)
    order = draw.sample(range(x.dim()), x.dim())
    order = [dim - x.dim() * draw.randint(0, 1) for dim in order]
    if draw.random() < 0.1:
        order.append(draw.randint(0, 2))
    if draw.random() < 0.1 and order:
        order[0] = draw.randint(-4, 4)
    return torch.permute, x, tuple(order)


def transpose(draw: Draw) -> Sample:
    x = tensor(draw)
    function = draw.choice((torch.transpose, torch.swapaxes, torch.swapdims))
    return function, x, axis(draw, x.dim()), axis(draw, x.dim())


def turned(draw: Draw) -> Sample:
    name = draw.choice(("T", "mT", "H", "mH", "t", "adjoint"))
    held = getattr(Tensor, name)
    return (held.__get__ if name in ("T", "mT", "H", "mH") else held), tensor(draw)


def movedim(draw: Draw) -> Sample:
    x = tensor(draw)
    count = draw.randint(0, x.dim())
    ends = [draw.sample(range(x.dim()), count) for _ in range(2)]
    if draw.random() < 0.1:
        ends[0] = [*ends[0], draw.randint(-2, 3)]
    if draw.random() < 0.3:
        return torch.moveaxis, x, axis(draw, x.dim()), axis(draw, x.dim())
    return torch.movedim, x, tuple(ends[0]), tuple(ends[1])


def expand(draw: Draw) -> Sample:
    x = tensor(draw)
    sizes = [draw.choice((-1, size, size, 4)) if size == 1 else size for size in x.shape]
    sizes = [draw.choice((2, 3, -1 if draw.random() < 0.2 else 1)) for _ in range(2)] + sizes
    sizes = sizes[draw.randint(0, 3) :]
    if sizes and draw.random() < 0.15:
        sizes[draw.randrange(len(sizes))] = draw.randint(-2, 5)
    if draw.random() < 0.3:
        return Tensor.expand_as, x, torch.empty([max(size, 0) for size in sizes])
    return draw.choice((Tensor.expand, torch.broadcast_to)), x, tuple(sizes)


def as_complex(draw: Draw) -> Sample:
    x = tensor(draw)
    if draw.random() < 0.7:
        x = torch.stack([x, x], -1)
    if draw.random() < 0.1:
        x = x.long()
    if draw.random() < 0.4:
        return torch.view_as_real, x.to(torch.complex64) if draw.random() < 0.8 else x
    return torch.view_as_complex, x


def flip(draw: Draw) -> Sample:
    x = tensor(draw)
    if draw.random() < 0.3:
        return draw.choice((torch.flipud, torch.fliplr)), x
    return torch.flip, x, tuple(axis(draw, x.dim()) for _ in range(draw.randint(0, 2)))


def roll(draw: Draw) -> Sample:
    x = tensor(draw)
    if draw.random() < 0.2:
        return torch.roll, x, draw.randint(-3, 3)
    count = draw.randint(1, 2)
    shifts = tuple(draw.randint(-3, 3) for _ in range(count + (draw.random() < 0.1)))
    return torch.roll, x, shifts, tuple(axis(draw, x.dim()) for _ in range(count))


def rot90(draw: Draw) -> Sample:
    x = tensor(draw)
    dims = tuple(axis(draw, x.dim()) for _ in range(2 + (draw.random() < 0.05)))
    return torch.rot90, x, draw.randint(-3, 5), dims


def diagonal(draw: Draw) -> Sample:
    x = tensor(draw)
    if draw.random() < 0.3:
        return torch.diagonal, x
    return torch.diagonal, x, draw.randint(-3, 3), axis(draw, x.dim()), axis(draw, x.dim())


def at_least(draw: Draw) -> Sample:
    function = draw.choice((torch.atleast_1d, torch.atleast_2d, torch.atleast_3d))
    return function, *(tensor(draw) for _ in range(draw.randint(1, 3)))


SAMPLES: dict[str, Callable[[Draw], Sample]] = {
    "atleast_1d atleast_2d atleast_3d": at_least,
    "view reshape": view,
    "view_as reshape_as": view_as,
    "flatten ravel": flatten,
    "unflatten": unflatten,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "permute": permute,
    "transpose swapaxes swapdims": transpose,
    "T t mT H mH adjoint": turned,
    "movedim moveaxis": movedim,
    "expand expand_as broadcast_to": expand,
    "view_as_complex view_as_real": as_complex,
    "flip flipud fliplr": flip,
    "roll": roll,
    "rot90": rot90,
    "diagonal": diagonal,
}
BY_HAND = {"_unsafe_view", "size", "stride"}  # torch's own, and questions without a tensor


def test_every_entry_has_samples() -> None:
    known = {*entries("reshape"), *entries("permute"), "expand", "expand_as", "broadcast_to"}
    assert known == {n for names in SAMPLES for n in names.split()} | BY_HAND


@together("names", SAMPLES)
def test_shapes_and_refusals(names: str) -> None:
    for seed in range(90 * TIMES):
        function, *args = SAMPLES[names](Draw(f"{names} {seed}"))
        check(function, *args, on="cpu")


@together("names", SAMPLES)
def test_flow(names: str) -> None:
    permuted = resized = 0
    for seed in range(12):
        function, *args = SAMPLES[names](Draw(f"{names} flow {seed}"))
        if check(function, *args, on="cpu").violation is None:
            permuted += check_permuted(function, *args)
            resized += check_resized(function, *args)
    assert permuted > 0
    assert resized > 0 or names in ("view_as reshape_as",)


def test_a_flipped_dimension_is_moved() -> None:
    bound = check(torch.flip, torch.empty(2, 3), (1,))
    assert [dim.moved for dim in bound.results[0]] == [False, True]
    bound = check(torch.rot90, torch.empty(2, 3), 1, (0, 1))
    assert [(dim.sources[0].dim, dim.moved) for dim in bound.results[0]] == [(1, True), (0, False)]
    x = torch.arange(6).reshape(2, 3)
    assert torch.equal(torch.rot90(x), x.flip(1).T)


@together("seed", range(40))
def test_layers(seed: int) -> None:
    draw = Draw(seed)
    x = tensor(draw, least=1)
    layer = torch.nn.Flatten(axis(draw, x.dim()), axis(draw, x.dim()))
    if draw.random() < 0.5:
        dim = draw.randrange(x.dim())
        layer = torch.nn.Unflatten(dim, regrouped(draw, x.shape[dim]))
    bound = bind(live_layer_call(layer, (x,), {})[0])
    assert bound is not None
    try:
        expected = layer(x).shape
    except (RuntimeError, IndexError, ValueError):
        assert bound.violation is not None, (layer, x.shape)
        return
    assert bound.shapes == (tuple(expected),), (layer, x.shape)


def test_sizes_may_be_symbols() -> None:
    b, c, h = sympy.symbols("B C H", positive=True, integer=True)
    x = Operand((b, c, h, 2 * h))
    bound = bind(Call("view", (x,), {"input": TensorAt(0), "size": (b, -1)}))
    assert bound is not None
    assert bound.shapes == ((b, 2 * c * h**2),)
    flat = bind(Call("flatten", (x,), {"input": TensorAt(0), "start_dim": 2}))
    assert flat is not None
    assert [dim.how for dim in flat.results[0]] == ["same", "same", "grouped"]


@together(
    ("before", "after", "expected"),
    [
        ((4, 16, 5, 5), (4, 400), [([0], [0]), ([1, 2, 3], [1])]),
        ((4, 16, 5, 5), (16, 100), [([0, 1, 2, 3], [0, 1])]),
        ((2, 9, 64), (2, 9, 8, 8), [([0], [0]), ([1], [1]), ([2], [2, 3])]),
        ((6,), (2, 3), [([0], [0, 1])]),
        ((1, 6, 1), (1, 1, 2, 3), [([1], [2, 3])]),
        ((4, 3), (5,), None),
        ((2, 0), (0, 2), None),
    ],
)
def test_blocks_of_a_view(
    before: tuple[int, ...], after: tuple[int, ...], expected: list[Any] | None
) -> None:
    assert blocks(before, after) == expected
