"""`torch.vmap`: which dimension of which argument it runs over."""

from __future__ import annotations

import ast
import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from tracer.diagnosis.outside.raised import Answer, Raised, Shown, fix, raised_rule
from tracer.document import Fix
from tracer.record.isolation import random_state, unobserved
from tracer.record.scripts import Effects
from tracer.record.tensors import tensors_in
from tracer.sentences import Count, Said, ShapeOf, said
from tracer.source.text import called

_VMAP = "torch/_functorch/vmap.py"


@raised_rule
def in_dims(raised: Raised) -> Answer | None:
    names = raised.inside(_VMAP, "_process_batched_inputs")
    if names is None or "vmap" not in raised.words:
        return None
    args: tuple[Any, ...] = tuple(names.get("args", ()))
    dims = names.get("in_dims")
    if "same size in the mapped dimension" in raised.words:
        return _sizes(raised, args, dims)
    if "expected in_dim to satisfy" in raised.words:
        return _no_dimension(raised, args, dims)
    if "structure" in raised.words or "expected `in_dims`" in raised.words:
        return Answer(
            "mapped",
            said(
                "in_dims has one entry for each argument: it is {dims}, and vmap is given "
                "{arguments}.",
                dims=str(dims),
                arguments=Count(len(args), "argument"),
            ),
            (
                said(
                    "A number says which dimension is mapped, None that the argument is the same "
                    "for all; one number alone holds for all arguments."
                ),
            ),
            shown=_shown(raised, args),
        )
    return None


def _per_argument(args: tuple[Any, ...], dims: Any) -> list[Any]:
    if isinstance(dims, int) or dims is None:
        return [dims if tensors_in(each) else None for each in args]
    found = list(dims)
    return found if len(found) == len(args) else [None] * len(args)


def _sizes(raised: Raised, args: tuple[Any, ...], dims: Any) -> Answer:
    each = _per_argument(args, dims)
    mapped = {
        number: int(first.shape[dim])
        for number, (value, dim) in enumerate(zip(args, each, strict=True))
        for first in tensors_in(value)[:1]
        if isinstance(dim, int) and -first.dim() <= dim < first.dim()
    }
    because: list[Said] = []
    for number, size in mapped.items():
        because.append(
            said(
                "{name} {shape} is mapped over dimension {dim}, of {size}.",
                name=_name(raised, args[number], number),
                shape=ShapeOf(tuple(tensors_in(args[number])[0].shape)),
                dim=each[number],
                size=size,
            )
        )
    found = next(_running(raised, args, each, mapped), None)
    if found is not None:
        because.append(
            said(
                "With in_dims = {dims} it runs, and gives {shape}.",
                dims=_text(found[0]),
                shape=ShapeOf(found[1]),
            )
        )
    return Answer(
        "mapped",
        said(
            "vmap needs one size in the mapped dimensions: {sizes}.",
            sizes=tuple(map(str, mapped.values())) or raised.words.rpartition("sizes ")[2],
        ),
        tuple(because),
        check=said(
            "`in_dims` says for each argument which dimension is mapped, or None where it is the "
            "same for all."
        ),
        shown=_shown(raised, args, {n: each[n] for n in mapped}),
        fixes=_in_dims(raised, found[0] if found is not None else None, True),
    )


def _running(
    raised: Raised, args: tuple[Any, ...], dims: list[Any], mapped: dict[int, int]
) -> Iterator[tuple[list[Any], tuple[int, ...]]]:
    """Other `in_dims` with which the call runs, the nearest first, each with the shape that it
    gives: one argument over another dimension of the size that is usual, or the same for all."""
    names = raised.inside(_VMAP, "_process_batched_inputs") or {}
    function: Any = names.get("func")
    if not Effects({}, {}).is_repeatable(function):
        return
    votes = Counter(mapped.values())
    changes: list[tuple[int, int | None]] = []
    for number, size in mapped.items():
        others = {other for n, other in mapped.items() if n != number}
        shape = args[number].shape if isinstance(args[number], Tensor) else ()
        changes += [(number, d) for d, s in enumerate(shape) if s in others and s != size]
    rare = sorted(mapped, key=lambda number: votes[mapped[number]])
    changes += [(number, None) for number in rare]
    for number, new in changes:
        tried = list(dims)
        tried[number] = new
        with contextlib.suppress(Exception), unobserved(), random_state():
            result = torch.vmap(function, in_dims=tuple(tried))(*args)
            for first in tensors_in(result)[:1]:
                yield tried, tuple(map(int, first.shape))


def _in_dims(raised: Raised, new: list[Any] | None, verified: bool) -> tuple[Fix, ...]:
    """`in_dims` where vmap is called in the failing expression itself."""
    call = raised.call
    inner = call[1].func if call is not None else None
    if call is None or new is None or not isinstance(inner, ast.Call) or called(inner) != "vmap":
        return ()
    text = call[0]
    edit = text.argument(inner, "in_dims", 1, _text(new))
    return (fix((edit,), said("Map over `in_dims = {dims}`", dims=_text(new)), verified),)


def _text(dims: list[Any]) -> str:
    return f"({', '.join(map(str, dims))}{',' * (len(dims) == 1)})"


def _no_dimension(raised: Raised, args: tuple[Any, ...], dims: Any) -> Answer:
    each = _per_argument(args, dims)
    odd = [
        (number, value, dim)
        for number, (value, dim) in enumerate(zip(args, each, strict=True))
        if isinstance(value, Tensor)
        and isinstance(dim, int)
        and not -value.dim() <= dim < value.dim()
    ]
    if not odd:
        return Answer("mapped", said("vmap is given an in_dim that an argument lacks."), ())
    number, value, dim = odd[0]
    name = _name(raised, value, number)
    return Answer(
        "mapped",
        said(
            "vmap is to run over dimension {dim} of {name}, which has {dimensions}.",
            dim=dim,
            name=name,
            dimensions=Count(value.dim(), "dimension"),
        ),
        (
            said("A single number has no dimension: None in `in_dims` passes it on as it is.")
            if value.dim() == 0
            else said("{name} is {shape}.", name=name, shape=ShapeOf(tuple(value.shape))),
        ),
        check=said(
            "`in_dims` says for each argument which dimension is mapped, or None where it is the "
            "same for all."
        ),
        shown=_shown(raised, args),
        fixes=_in_dims(raised, _shared(each, number), False),
    )


def _shared(dims: list[Any], number: int) -> list[Any] | None:
    """With this argument the same for all; None where none is left to map over."""
    new = [None if position == number else dim for position, dim in enumerate(dims)]
    return new if any(dim is not None for dim in new) else None


def _name(raised: Raised, value: Any, number: int) -> str | Said:
    return raised.name_of(value) or said("argument {number}", number=number)


def _shown(
    raised: Raised, args: tuple[Any, ...], marks: dict[int, int] | None = None
) -> tuple[Shown, ...]:
    found = []
    for number, value in enumerate(args):
        for tensor in tree_flatten(value)[0]:
            if isinstance(tensor, Tensor):
                mark = (marks or {}).get(number)
                marked = (mark % tensor.dim(),) if mark is not None and tensor.dim() else ()
                found.append(Shown(str(_name(raised, tensor, number)), tensor, marked))
    return tuple(found)
