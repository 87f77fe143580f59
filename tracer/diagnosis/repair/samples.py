"""Inputs of other sizes, and what their samples have to do with each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from tracer.record.isolation import unobserved
from tracer.record.tensors import tensors_in


@dataclass(frozen=True)
class Axes:
    """Dimensions of the inputs that have one `size` together: (number of the tensor, dimension)."""

    size: int
    places: tuple[tuple[int, int], ...]

    def of(self, number: int) -> tuple[int, ...]:
        return tuple(dim for tensor, dim in self.places if tensor == number)


def batch_axes(tensors: Sequence[Tensor]) -> Iterator[Axes]:
    """What may be the batch, the likeliest first: a size that many of the inputs have in one of
    their first two dimensions, as far in front as may be."""
    sized = {n: tensor for n, tensor in enumerate(tensors) if tensor.dim()}
    found: dict[Axes, tuple[int, int]] = {}
    for size in {int(size) for tensor in sized.values() for size in tensor.shape[:2] if size}:
        firsts = [(n, tuple(t.shape).index(size)) for n, t in sized.items() if size in t.shape]
        if any(dim == 0 for _, dim in firsts) or len(firsts) == len(sized):
            rank = (-sum(dim < 2 for _, dim in firsts), sum(dim for _, dim in firsts))
            found[Axes(size, tuple(firsts))] = rank
            every = tuple(
                (n, dim) for n, t in sized.items() for dim, s in enumerate(t.shape) if s == size
            )
            found.setdefault(Axes(size, every), (rank[0], rank[1] + 100))
    yield from sorted(found, key=lambda axes: found[axes])


Places = tuple[tuple[int, int], ...]
"""Dimensions of the inputs: (number of the tensor, dimension)."""


def pictures(tensors: Sequence[Tensor], batch: Axes | None) -> Places:
    """Width and height of what is a picture or a volume, (B, C, H, W), and of what goes with it."""
    own = [(n, dim) for n, t in enumerate(tensors) if t.dim() > 3 for dim in range(2, t.dim())]
    return _alike(tensors, batch, own, 4)


def lengths(
    tensors: Sequence[Tensor], batch: Axes | None, dims: tuple[int, ...] = (0, 1)
) -> Places:
    """The length of what is a sequence, (B, T, C) or (B, T) of whole numbers, and of what goes with
    it.

    Args:
        dims: where the length may be; 2 for (B, C, T).
    """
    taken = set(pictures(tensors, batch)) | set(batch.places if batch is not None else ())
    own: list[tuple[int, int]] = []
    for n, t in enumerate(tensors):
        if t.dim() == 3 or (t.dim() == 2 and not t.is_floating_point()):
            own += [(n, dim) for dim in dims if dim < t.dim() and (n, dim) not in taken][:1]
    return _alike(tensors, batch, [place for place in own if not _in_picture(place, taken)], 3)


def _in_picture(place: tuple[int, int], taken: set[tuple[int, int]]) -> bool:
    """Whether the tensor has the width or the height of a picture."""
    return sum(n == place[0] for n, _ in taken) > 1


def _alike(
    tensors: Sequence[Tensor], batch: Axes | None, own: list[tuple[int, int]], rank: int
) -> Places:
    """These dimensions, and those with their sizes of tensors of a lower rank."""
    taken = batch.places if batch is not None else ()
    own = [(n, dim) for n, dim in own if (n, dim) not in taken and tensors[n].shape[dim] > 1]
    sizes = {int(tensors[n].shape[dim]) for n, dim in own}
    others = [
        (n, dim)
        for n, t in enumerate(tensors)
        if t.dim() < rank
        for dim in range(t.dim())
        if int(t.shape[dim]) in sizes and (n, dim) not in taken
    ]
    return tuple(dict.fromkeys((*own, *others)))


def with_sizes(value: Any, places: Places, size: Callable[[int], int]) -> Any:
    """The inputs with other sizes in these dimensions, by repeating or leaving out.

    Args:
        size: the new size of a dimension by its old one.
    """

    def resize(number: int, tensor: Tensor) -> Tensor:
        made = tensor.detach()
        dims = {dim for n, dim in places if n == number}
        if made.is_meta:
            return made.new_empty([size(s) if d in dims else s for d, s in enumerate(made.shape)])
        for dim in dims:
            index = torch.arange(size(made.shape[dim]), device=made.device) % made.shape[dim]
            made = made.index_select(dim, index)
        return made

    return _mapped(value, resize)


def other_sizes(size: int, tensors: Sequence[Tensor]) -> Iterator[int]:
    """Two batch sizes that no dimension has, so that no sizes agree by chance."""
    used = {int(s) for tensor in tensors for s in tensor.shape}
    first = next(n for n in itertools.count(size + 2) if n not in used)
    yield first
    yield next(n for n in itertools.count(2) if n not in (size, first) and n not in used)


def resized(value: Any, axes: Axes, size: int) -> Any:
    """The inputs with that size in those dimensions."""
    return with_sizes(value, axes.places, lambda _: size)


def changed(value: Any, axes: Axes) -> Any:
    """The first sample gets other content; everything else is left."""

    def change(number: int, tensor: Tensor) -> Tensor:
        made = tensor.detach().clone()
        for dim in axes.of(number):
            sample = made.select(dim, 0)
            if made.dtype.is_floating_point or made.dtype.is_complex:
                sample.copy_(sample.flip(tuple(range(sample.dim()))) * 1.5 + 0.25)
            elif sample.numel() > 1 and made.dtype != torch.bool:
                # Whole numbers may be indices: only those that occur are sure to be valid.
                sample.copy_(sample.flatten().roll(1).view(sample.shape))
        return made

    return _mapped(value, change)


def permuted(value: Any, axes: Axes) -> Any:
    """The samples in reverse order."""

    def turn(number: int, tensor: Tensor) -> Tensor:
        return tensor.detach().flip(axes.of(number))

    return _mapped(value, turn)


def _mapped(value: Any, function: Callable[[int, Tensor], Tensor]) -> Any:
    """The value with each of its tensors, numbered in order, exchanged."""
    leaves, form = tree_flatten(value)
    number = itertools.count()
    with unobserved():
        made = [
            function(next(number), leaf).requires_grad_(leaf.requires_grad)
            if isinstance(leaf, Tensor)
            else leaf
            for leaf in leaves
        ]
    return tree_unflatten(made, form)


def input_tensors(given: Any) -> list[Tensor]:
    """The tensors that `Axes` count."""
    return [leaf for leaf in tree_flatten(given)[0] if isinstance(leaf, Tensor)]


class Reached:
    """Sees in one run whether a gradient comes back from some samples of an input and not from
    others, which are `left_out`."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.inputs: list[Tensor] = []
        self.left_out = False

    def begin(self, model: Any, args: Any, kwargs: Any) -> None:
        self.inputs = input_tensors((args, kwargs))
        for tensor in self.inputs:
            if tensor.is_floating_point() and tensor.is_leaf:
                tensor.requires_grad_(True)

    def __call__(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        pass

    def look(self, called: Any) -> None:
        """Before the model is put back."""
        results = [t for t in tensors_in(called.result) if t.requires_grad and t.numel()]
        places = [(n, t) for n, t in enumerate(self.inputs) if t.requires_grad and t.numel()]
        if called.error is not None or not results or not places:
            return
        with torch.enable_grad():  # whatever the caller's mode is
            total = torch.stack([_weighed(tensor) for tensor in results]).sum()
        found = torch.autograd.grad(total, [t for _, t in places], allow_unused=True)
        for (number, _), slope in zip(places, found, strict=True):
            for dim in self.axes.of(number) if slope is not None else ():
                rows = slope.movedim(dim, 0).reshape(slope.shape[dim], -1).abs().amax(1)
                self.left_out |= bool((rows > 0).any()) and not bool((rows > 0).all())


def _weighed(tensor: Tensor) -> Tensor:
    """A sum in which each entry counts otherwise, so that none cancel."""
    flat = tensor.flatten().double() if not tensor.is_complex() else tensor.abs().flatten().double()
    return (flat * torch.linspace(0.5, 1.5, flat.numel(), dtype=torch.float64)).sum()


# --- outputs -----------------------------------------------------------------------------------


def grown(first: Tensor, second: Tensor, size: int, other: int) -> list[int]:
    """The dimensions that grew as the batch did: two where samples are compared with each other."""
    if first.dim() != second.dim():
        return []
    return [
        axis
        for axis, (a, b) in enumerate(zip(first.shape, second.shape, strict=True))
        if a * other == b * size and a != b
    ]


def one_of(found: list[int]) -> int | None:
    """The only one."""
    return found[0] if len(found) == 1 else None


def pairs(first: Any, second: Any) -> list[tuple[Tensor, Tensor]] | None:
    """The tensors of two results side by side; None where their numbers differ."""
    left, right = tensors_in(first), tensors_in(second)
    return list(zip(left, right, strict=True)) if len(left) == len(right) else None


def follows(first: Any, second: Any, size: int, other: int) -> bool:
    """Whether each output that is no single number follows the batch in a dimension."""
    both = pairs(first, second)
    return both is not None and all(
        a.dim() == b.dim() and (a.numel() <= 1 or bool(grown(a, b, size, other))) for a, b in both
    )


def mixes(base: Any, moved: Any, dims: Sequence[int | None], other: int) -> bool | None:
    """Whether more than one sample's share of a result moved when one sample was changed; None
    where no result has a batch.

    Args:
        base, moved: results before and after.
        dims: the batch's dimension in each of their tensors.
        other: the size of the batch.
    """
    told: bool | None = None
    for (a, b), dim in zip(pairs(base, moved) or (), dims, strict=False):
        if dim is not None and a.shape == b.shape and a.numel() and not a.is_meta:
            rows = int(_differ(a, b, dim).sum())
            told = bool(told) or rows > a.shape[dim] // other
    return told


def turned(base: Any, moved: Any, dims: Sequence[int | None], other: int) -> bool | None:
    """Whether the results of a batch in reverse order are the results in reverse order."""
    told: bool | None = None
    for (a, b), dim in zip(pairs(base, moved) or (), dims, strict=False):
        if dim is not None and a.shape == b.shape and a.shape[dim] == other and not a.is_meta:
            same = not bool(_differ(a, b.flip(dim), dim, 1e-3).any())
            told = same if told is None else told and same
    return told


def _differ(a: Tensor, b: Tensor, dim: int, tolerance: float = 1e-4) -> Tensor:
    """Which rows of a dimension differ."""
    if not a.numel():
        return torch.zeros(a.shape[dim], dtype=torch.bool)
    with unobserved():
        left = a.detach().movedim(dim, 0).reshape(a.shape[dim], -1)
        right = b.detach().movedim(dim, 0).reshape(a.shape[dim], -1)
        if left.dtype.is_floating_point or left.dtype.is_complex:
            limit = tolerance * float(left.abs().nan_to_num(0, 0, 0).max()) + 1e-7
            return ((left - right).abs() > limit).any(1)
        return (left != right).any(1)
