"""einops: what a pattern says of a tensor, against the tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tracer.diagnosis.outside.raised import Answer, Raised, Shown, raised_rule
from tracer.sentences import Count, Said, ShapeOf, said


@dataclass(frozen=True)
class Side:
    """One side of a pattern: for each dimension the names of its axes, `("h", "d")` of `(h d)`; of
    `...` the one name "..."."""

    dimensions: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> list[str]:
        return [name for dimension in self.dimensions for name in dimension]

    @property
    def open(self) -> bool:
        """Whether it has an ellipsis."""
        return any("..." in each for each in self.dimensions)


def side(text: str) -> Side | None:
    """The side of a pattern, None where its parentheses do not match."""
    spaced = text.replace("…", "...").replace("(", " ( ").replace(")", " ) ")
    found: list[tuple[str, ...]] = []
    group: list[str] | None = None
    for word in spaced.split():
        if word == "(":
            if group is not None:
                return None
            group = []
        elif word == ")":
            if group is None:
                return None
            found.append(tuple(group))
            group = None
        elif group is not None:
            group.append(word)
        else:
            found.append((word,))
    return None if group is not None else Side(tuple(found))


@dataclass(frozen=True)
class Use:
    """One call: `name(tensor, pattern, **sizes)`."""

    name: str
    pattern: str
    tensor: Tensor
    sizes: Mapping[str, int]
    called: str

    @property
    def shape(self) -> ShapeOf:
        return ShapeOf(tuple(self.tensor.shape), 0)

    def answer(
        self,
        rule: Said,
        *because: Said,
        marks: tuple[int, ...] = (),
        check: Said | None = None,
        **facts: Any,
    ) -> Answer:
        shown = (Shown(self.called, self.tensor, marks),)
        return Answer("pattern", rule, because, check=check, shown=shown, facts=facts)


@raised_rule
def pattern(raised: Raised) -> Answer | None:
    if type(raised.error).__name__ != "EinopsError":
        return None
    use = _use(raised)
    if use is None:
        return None
    left_text, arrow, right_text = use.pattern.partition("->")
    left, right = side(left_text), side(right_text)
    if not arrow or left is None or right is None:
        return use.answer(
            said("'{pattern}' is no pattern.", pattern=use.pattern),
            said(
                "It has an arrow, `before -> after`, with one name for each axis and matching "
                "parentheses around those that are one dimension."
            ),
        )
    return (
        _names(use, left, right)
        or _rank(use, left)
        or _lengths(use, left)
        or use.answer(
            said(
                "einops refuses '{pattern}' for {name} {shape}: {words}",
                pattern=use.pattern,
                name=use.called,
                shape=use.shape,
                words=raised.words.strip().splitlines()[-1],
            ),
        )
    )


def _use(raised: Raised) -> Use | None:
    names = raised.inside("/einops/einops.py", "reduce")
    layer = raised.inside("/einops/layers/", "forward")
    if names is not None:
        tensor, text = names.get("tensor"), names.get("pattern")
        reduction, sizes = names.get("reduction"), names.get("axes_lengths", {})
        name = reduction if reduction in ("rearrange", "repeat") else "reduce"
    elif layer is not None:
        own = layer.get("self")
        tensor = next((each for each in layer.values() if isinstance(each, Tensor)), None)
        text, sizes = getattr(own, "pattern", None), getattr(own, "axes_lengths", {})
        name = type(own).__name__
    else:
        return None
    if isinstance(tensor, list) and tensor and isinstance(tensor[0], Tensor):
        tensor = tensor[0].expand(len(tensor), *tensor[0].shape)
    if not isinstance(tensor, Tensor) or not isinstance(text, str):
        return None
    sizes = {key: int(value) for key, value in dict(sizes).items()}
    return Use(name, text, tensor, sizes, raised.name_of(tensor) or "the tensor")


def _names(use: Use, left: Side, right: Side) -> Answer | None:
    """Names on one side alone, twice on one side, or with a size and on no side."""
    for given in (left, right):
        twice = [n for n in given.names if given.names.count(n) > 1 and n not in ("1", "...")]
        if twice:
            return use.answer(
                said(
                    "'{pattern}' names {axis} twice on one side.",
                    pattern=use.pattern,
                    axis=twice[0],
                ),
                said("Each axis has a name of its own."),
            )
    before = {name for name in left.names if not name.isdecimal()}
    after = {name for name in right.names if not name.isdecimal()}
    unused = [name for name in use.sizes if name not in before | after]
    if unused:
        return use.answer(
            said(
                "'{pattern}' has no axis {axis}, for which {size} is given.",
                pattern=use.pattern,
                axis=unused[0],
                size=use.sizes[unused[0]],
            ),
            said("Its axes are {axes}.", axes=tuple(sorted(before | after))),
        )
    gone, new = sorted(before - after), sorted(after - before)
    if use.name in ("rearrange", "Rearrange") and (gone or new):
        because = [said("rearrange keeps every axis: both sides have the same names.")]
        if gone:
            because.append(said("`reduce` takes an axis away: {axes}.", axes=tuple(gone)))
        if new:
            because.append(said("`repeat` adds one, with its size: {axes}.", axes=tuple(new)))
        return use.answer(
            said(
                "'{pattern}' has {axes} on one side alone.",
                pattern=use.pattern,
                axes=tuple(gone + new),
            ),
            *because,
            axes=tuple(gone + new),
        )
    sizeless = [name for name in new if name not in use.sizes]
    if sizeless:
        return use.answer(
            said(
                "'{pattern}' adds {axes}, whose size is not given.",
                pattern=use.pattern,
                axes=tuple(sizeless),
            ),
            said("repeat takes it by name: `{axis}=…`.", axis=sizeless[0]),
            axes=tuple(sizeless),
        )
    return None


def _rank(use: Use, left: Side) -> Answer | None:
    named, rank = len(left.dimensions), use.tensor.dim()
    if named == rank or (left.open and named - 1 <= rank):
        return None
    less = rank < named
    return use.answer(
        said(
            "'{pattern}' names {named}: {name} {shape} has {rank}.",
            pattern=use.pattern,
            named=Count(named, "dimension"),
            name=use.called,
            shape=use.shape,
            rank=rank,
        ),
        said(
            "{count} too few: one was dropped before this line, or the batch is missing.",
            count=named - rank,
        )
        if less
        else said(
            "{count} too many: '...' in the pattern stands for any number of them.",
            count=rank - named,
        ),
        marks=tuple(range(rank)),
        check=said("See which dimensions {name} has here.", name=use.called),
        rank=named,
    )


def _lengths(use: Use, left: Side) -> Answer | None:
    """The sizes of the axes that one dimension is made of."""
    for dim, axes in _dimensions(left, use.tensor.dim()).items():
        found = _length(use, dim, axes)
        if found is not None:
            return found
    return None


def _length(use: Use, dim: int, axes: tuple[str, ...]) -> Answer | None:
    length = int(use.tensor.shape[dim])
    sizes = {axis: _size(axis, use.sizes) for axis in axes}
    product = math.prod(size for size in sizes.values() if size is not None)
    unknown = [axis for axis, size in sizes.items() if size is None]
    known: dict[str, Any] = {
        "pattern": use.pattern,
        "name": use.called,
        "dim": dim,
        "length": length,
        "known": product,
        "group": " ".join(axes),
        "given": tuple(f"{axis} = {size}" for axis, size in sizes.items() if size is not None),
    }
    if len(unknown) > 1:
        return use.answer(
            said(
                "'{pattern}' cannot tell {axes} apart: dimension {dim} of {name} is {length}.",
                axes=tuple(unknown),
                **known,
            ),
            said(
                "All but one of the axes in ({group}) need their size: `{axis}=…`.",
                axis=unknown[0],
                **known,
            ),
            marks=(dim,),
            axes=tuple(unknown),
        )
    if unknown and product and length % product:
        return use.answer(
            said(
                "'{pattern}' takes dimension {dim} of {name} apart as ({group}): {length} is no "
                "multiple of {known}, with {given}.",
                **known,
            ),
            _divisors(length, sizes),
            marks=(dim,),
            **{key: known[key] for key in ("dim", "length", "known")},
        )
    if not unknown and product != length:
        return use.answer(
            said(
                "'{pattern}' takes dimension {dim} of {name} as ({group}), which is {known}: it is "
                "{length}.",
                **known,
            ),
            said("{given} make {known}.", **known)
            if known["given"] and len(axes) > 1
            else said("The pattern fixes this size."),
            marks=(dim,),
            **{key: known[key] for key in ("dim", "length", "known")},
        )
    return None


def _divisors(length: int, sizes: Mapping[str, int | None]) -> Said:
    known = [axis for axis, size in sizes.items() if size is not None]
    near = [size for size in range(1, length + 1) if length % size == 0]
    if len(known) == 1:
        value = sizes[known[0]] or 1
        closest = sorted(sorted(near, key=lambda size: abs(size - value))[:4])
        up = -(-length // value) * value
        return said(
            "{axis} may be {sizes}; or the dimension is padded to {up} or cut to {down}.",
            axis=known[0],
            sizes=tuple(map(str, closest)),
            up=up,
            down=length // value * value,
        )
    return said("The product of the given sizes must divide it.")


def _dimensions(left: Side, rank: int) -> dict[int, tuple[str, ...]]:
    """The axes of each dimension of the tensor, those under the ellipsis left out."""
    found: dict[int, tuple[str, ...]] = {}
    at = 0
    for axes in left.dimensions:
        if "..." in axes:
            at += rank - (len(left.dimensions) - 1)
            continue
        found[at] = axes
        at += 1
    return found


def _size(axis: str, sizes: Mapping[str, int]) -> int | None:
    return int(axis) if axis.isdecimal() else sizes.get(axis)
