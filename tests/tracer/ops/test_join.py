"""Joining, taking apart and repeating against torch."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import sympy
import torch
from torch import Tensor

from tests.effort import TIMES
from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import entries
from tracer.document import TensorAt
from tracer.ops.call import Call, Operand
from tracer.ops.table import bind

Draw = random.Random
Sample = tuple[Any, ...]
"""A function and its arguments; named ones are a dictionary at the end."""


def shape(draw: Draw, least: int = 0, most: int = 4) -> list[int]:
    return [draw.choice((1, 2, 2, 3, 4, 5)) for _ in range(draw.randint(least, most))]


def tensor(draw: Draw, sizes: list[int]) -> Tensor:
    """Of these sizes, now and then one of them wrong, or one more."""
    sizes = [draw.randint(0, 5) if draw.random() < 0.04 else size for size in sizes]
    if draw.random() < 0.04:
        sizes = [*sizes, 2]
    return torch.rand(sizes, generator=torch.Generator().manual_seed(draw.randint(0, 99))).double()


def axis(draw: Draw, rank: int) -> int:
    """A dimension, now and then one that is not there."""
    rank = max(rank, 1)
    return draw.randint(-rank - 1, rank) if draw.random() < 0.1 else draw.randrange(-rank, rank)


def parts(draw: Draw, sizes: list[int], along: int | None) -> list[Tensor]:
    """One to four tensors that agree in all but one dimension, now and then an empty one."""
    found = []
    for _ in range(draw.randint(1, 4)):
        own = list(sizes)
        if along is not None and own and -len(own) <= along < len(own):
            own[along] = draw.randint(1, 4)
        found.append(torch.empty(0).double() if draw.random() < 0.05 else tensor(draw, own))
    return [] if draw.random() < 0.02 else found


def cat(draw: Draw) -> Sample:
    sizes = shape(draw, least=0 if draw.random() < 0.1 else 1)
    dim = axis(draw, len(sizes))
    found = parts(draw, sizes, dim)
    if all(part.shape == (0,) for part in found):
        dim = 0  # of empty rows alone, torch takes any dimension
    return draw.choice((torch.cat, torch.concat, torch.concatenate)), found, dim


def stacked(draw: Draw) -> Sample:
    name = draw.choice(("hstack", "vstack", "row_stack", "dstack", "column_stack"))
    sizes = shape(draw)
    along = {"hstack": min(len(sizes) - 1, 1), "dstack": 2, "column_stack": 1}.get(name, 0)
    found = parts(draw, sizes, along if draw.random() < 0.8 else None)
    if draw.random() < 0.1 and found:  # of another rank, but alike when lifted
        found[0] = found[0].unsqueeze(0)
    return getattr(torch, name), found


def stack(draw: Draw) -> Sample:
    sizes = shape(draw)
    return torch.stack, parts(draw, sizes, None), axis(draw, len(sizes) + 1)


def split(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw))
    dim = axis(draw, x.dim())
    size = x.shape[dim] if -x.dim() <= dim < x.dim() else 3
    if draw.random() < 0.4:
        return draw.choice((torch.split, Tensor.split)), x, draw.randint(-1, 5), dim
    sizes = []
    while sum(sizes) < size:
        sizes.append(draw.randint(1, size - sum(sizes)))
    if sizes and draw.random() < 0.15:
        sizes[0] += draw.choice((-1, 1))
    return draw.choice((torch.split, torch.split_with_sizes)), x, sizes, dim


def chunk(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw))
    return (
        draw.choice((torch.chunk, torch.unsafe_chunk)),
        x,
        draw.randint(0, 6),
        axis(draw, x.dim()),
    )


def unsafe(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw))
    dim = axis(draw, x.dim())
    if draw.random() < 0.5:
        return torch.unsafe_split, x, draw.randint(1, 4), dim
    sizes = [x.shape[dim]] if -x.dim() <= dim < x.dim() else [3]
    return torch.unsafe_split_with_sizes, x, sizes, dim


def tensor_split(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw))
    cuts: Any = draw.randint(0, 6)
    if draw.random() < 0.5:
        cuts = tuple(draw.randint(-4, 6) for _ in range(draw.randint(0, 3)))
    return torch.tensor_split, x, cuts, axis(draw, x.dim())


def unbind(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw))
    return torch.unbind, x, axis(draw, x.dim())


def repeat(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw))
    count = max(x.dim() + draw.choice((0, 0, 0, 1, 2, -1)), 0)
    times = tuple(draw.choice((1, 1, 2, 3, 6, 0)) for _ in range(count))
    if times and draw.random() < 0.05:
        times = (-1, *times[1:])
    return draw.choice((Tensor.repeat, torch.tile)), x, times


def repeat_interleave(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw))
    # Of a single number torch takes a dimension with a tensor of repeats, and refuses it with one.
    dim = None if draw.random() < 0.3 or not x.dim() else axis(draw, x.dim())
    repeats: Any = draw.randint(-1, 4)
    if draw.random() < 0.5:
        there = dim is not None and -x.dim() <= dim < x.dim()
        size = x.numel() if dim is None else (x.shape[dim] if there else 1)
        size = draw.choice((size, size, size, size, 1, size + 1))
        repeats = torch.tensor([draw.randint(0, 3) for _ in range(size)], dtype=torch.int64)
        if draw.random() < 0.1:
            repeats = draw.choice((repeats.double(), repeats.unsqueeze(0)))
    return torch.repeat_interleave, x, repeats, {"dim": dim}


def meshgrid(draw: Draw) -> Sample:
    found = [tensor(draw, shape(draw, most=1)) for _ in range(draw.randint(1, 4))]
    if draw.random() < 0.1:
        found[0] = found[0].float()
    return torch.meshgrid, *found, {"indexing": draw.choice(("ij", "xy"))}


def along_a_name(draw: Draw) -> Sample:
    least = draw.choice((1, 2, 3))
    name = {1: "hsplit", 2: "vsplit", 3: "dsplit"}[least]
    x = tensor(draw, shape(draw, least=least if draw.random() < 0.9 else 0))
    asked: Any = draw.randint(0 if draw.random() < 0.1 else 1, 3)
    if draw.random() < 0.4:
        asked = tuple(sorted(draw.randint(-2, 6) for _ in range(draw.randint(0, 3))))
    return getattr(draw.choice((torch, Tensor)), name), x, asked


def choices(draw: Draw) -> Sample:
    if draw.random() < 0.5:
        rank = 1 if draw.random() < 0.9 else 2
        parts = (tensor(draw, shape(draw, least=rank, most=rank)) for _ in range(3))
        return torch.cartesian_prod, *list(parts)[: draw.randint(1, 3)]
    x = tensor(draw, shape(draw, least=1, most=1 if draw.random() < 0.9 else 2))
    r, again = draw.randint(-1 if draw.random() < 0.1 else 0, 4), draw.random() < 0.5
    return torch.combinations, x, {"r": r, "with_replacement": again}


def sum_to_size(draw: Draw) -> Sample:
    x = tensor(draw, shape(draw))
    sizes = [1 if draw.random() < 0.4 else size for size in x.shape]
    sizes = sizes[draw.randint(0, len(sizes)) :] if draw.random() < 0.5 else sizes
    if draw.random() < 0.1:
        sizes = [7, *sizes]
    return Tensor.sum_to_size, x, tuple(sizes)


SAMPLES: dict[str, Callable[[Draw], Sample]] = {
    "hsplit vsplit dsplit": along_a_name,
    "cartesian_prod combinations": choices,
    "sum_to_size": sum_to_size,
    "cat concat concatenate": cat,
    "hstack vstack row_stack dstack column_stack": stacked,
    "stack": stack,
    "split split_with_sizes": split,
    "chunk unsafe_chunk": chunk,
    "unsafe_split unsafe_split_with_sizes": unsafe,
    "tensor_split": tensor_split,
    "unbind": unbind,
    "repeat tile": repeat,
    "repeat_interleave": repeat_interleave,
    "meshgrid": meshgrid,
}
STRETCHED = {"expand", "expand_as", "broadcast_to"}  # in test_reshape
BY_HAND = {"iter"}  # a generator: below


def call(names: str, seed: Any) -> tuple[Any, list[Any], dict[str, Any]]:
    function, *args = SAMPLES[names](Draw(f"{names} {seed}"))
    kwargs = args.pop() if args and isinstance(args[-1], dict) else {}
    return function, args, kwargs


def test_every_entry_has_samples() -> None:
    known = {*entries("join"), *entries("split"), *entries("repeat")} - STRETCHED
    assert known == {n for names in SAMPLES for n in names.split()} | BY_HAND


@pytest.mark.filterwarnings("ignore")
@together("names", SAMPLES)
def test_shapes_and_refusals(names: str) -> None:
    for seed in range(110 * TIMES):
        function, args, kwargs = call(names, seed)
        check(function, *args, on="cpu", **kwargs)


@pytest.mark.filterwarnings("ignore")
@together("names", SAMPLES)
def test_flow(names: str) -> None:
    permuted = resized = 0
    for seed in range(14):
        function, args, kwargs = call(names, f"flow {seed}")
        bound = check(function, *args, on="cpu", **kwargs)
        # An empty row among the parts is no part, and with an entry more it is one.
        if bound.violation is not None or any(o.shape == (0,) for o in bound.call.operands):
            continue
        if names != "unbind":  # in another order its results are exchanged
            permuted += check_permuted(function, *args, **kwargs)
        # Combinations have no meta kernel.
        if names not in OTHER_PIECES and not needs_values(args) and function != torch.combinations:
            resized += check_resized(function, *args, **kwargs)
    assert permuted > 0 or names in ("unbind", "cartesian_prod combinations")
    assert resized > 0 or names in OTHER_PIECES


def needs_values(args: list[Any]) -> bool:
    """How often each entry is repeated says a tensor of numbers."""
    return any(isinstance(arg, Tensor) and arg.dtype == torch.int64 for arg in args)


# Of another size they give another number of pieces.
OTHER_PIECES = (
    "split split_with_sizes",
    "chunk unsafe_chunk",
    "unsafe_split unsafe_split_with_sizes",
    "tensor_split",
    "unbind",
    "hsplit vsplit dsplit",
)


def test_a_loop_over_a_tensor() -> None:
    call = Call("iter", (Operand((3, 2, 1)),), {"input": TensorAt(0)})
    bound = bind(call)
    assert bound is not None
    assert bound.shapes == ((2, 1),) * 3
    alone = bind(Call("iter", (Operand(()),), {"input": TensorAt(0)}))
    assert alone is not None
    assert alone.violation is not None


def test_a_joined_dimension_is_the_sum_of_its_parts() -> None:
    n, c, d = sympy.symbols("N C D", positive=True, integer=True)
    tensors = (TensorAt(0), TensorAt(1))
    call = Call("cat", (Operand((n, c)), Operand((n, d))), {"tensors": tensors, "dim": -1})
    bound = bind(call)
    assert bound is not None
    assert bound.shapes == ((n, c + d),)
