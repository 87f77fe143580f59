"""What an operation makes of a call: the dimensions of its results with where each comes from,
which dimensions of the operands are one, or what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tracer.document import TensorAt
from tracer.ops.algebra import differ, is_one
from tracer.ops.call import At, Call, Shape, Size, need

SAME, MIXED, RESIZED, GROUPED = "same", "mixed", "resized", "grouped"
JOINED, PIECE, REDUCED, NEW = "joined", "piece", "reduced", "new"
ANY_MORE = 8  # the greatest number of dimensions that a violation lists
HOWS = (SAME, MIXED, RESIZED, GROUPED, JOINED, PIECE, REDUCED, NEW)


@dataclass(frozen=True)
class Window:
    """How a window goes over a dimension; `back` undoes one, as a transposed convolution does, with
    `extra` places at the end."""

    kernel: Size
    stride: Size = 1
    padding: Size = 0
    dilation: Size = 1
    ceil: bool = False
    extra: Size = 0
    back: bool = False


@dataclass(frozen=True)
class Dim:
    """One dimension of a result, of `size`, and `how` it came from the `sources`:

    - `same`: handed on, in the same order (of several sources: they met, as in an addition)
    - `mixed`: each entry is made of all entries of `replaces`; the size is that of the sources, a
      weight's (empty where the module recorded shows no weight); a row looked up in a table
      replaces nothing
    - `resized`: another number of places along the first source: a window, a stride, a padding;
      further sources are what else the number is worked out from, such as a kernel's size
    - `piece`: positions `start` to `stop` of the source, every `step`-th
    - `joined`: the sources one after the other
    - `grouped`: part number `place` of `group`, the sizes in which a row-major reshape reads the
      sources, and inside of them new factors by what they do (`inner`: a kernel's height)
    - `reduced`: one value is left of the sources
    - `new`: made by the operation, whether copied, counted or given by an argument

    Mixed dimensions that the same weight makes of the same dimension are one, each `times` times
    over (a state in two directions).
    `hint` is a letter a reader would expect for a new dimension, `kind` whether it holds
    channels or places.  `moved` is true where the entries change places along the dimension (a
    flip, a roll, a sort), so that the size is handed on and the order is not; `given` where an
    argument names the size, whatever that of the sources.  `window` is what counted the places,
    `stretched` are dimensions of size 1 that met the sources.
    """

    size: Size
    how: str
    sources: tuple[At, ...] = ()
    replaces: At | None = None
    group: tuple[Size, ...] = ()
    place: int = 0
    inner: tuple[tuple[str, Size], ...] = ()
    start: Size = 0
    stop: Size = 0
    step: Size = 1
    times: int = 1
    hint: str = ""
    kind: str = ""
    moved: bool = False
    given: bool = False
    window: Window | None = None
    stretched: tuple[At, ...] = ()


Dims = tuple[Dim, ...]


@dataclass(frozen=True)
class Mark:
    """Dimension `dim` of operand `operand` has `size` where `wanted` would do; None where no
    single number would."""

    operand: int
    dim: int
    size: Size
    wanted: Size | None = None


@dataclass(frozen=True)
class Violation:
    """What a call breaks: `kind` names the rule (see `tracer.ops.kinds`), `marks` are the
    dimensions at odds, the offending one first; `facts` are further values by name, an operand
    among them being a `TensorAt`."""

    kind: str
    marks: tuple[Mark, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Refused(Exception):  # noqa: N818 - what torch refuses is no error here
    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.kind)
        self.violation = violation


def refuse(kind: str, *marks: Mark, **facts: Any) -> Refused:
    """To be raised: `raise refuse("matmul", mark(call, At(0, 1), 4))`."""
    return Refused(Violation(kind, marks, facts))


def too_small(argument: str, value: Size, least: int) -> Exception:
    """To be raised: a setting such as a stride means nothing below `least`."""
    return refuse("arguments", argument=argument, value=value, least=least)


def other_dtype(call: Call, operand: int, wanted: str) -> Exception:
    """To be raised: an operand has to be of another dtype."""
    found = call.operands[operand].dtype
    return refuse("dtype", operand=TensorAt(operand), found_dtype=found, wanted_dtype=wanted)


def mark(call: Call, at: At, wanted: Size | None = None) -> Mark:
    return Mark(at.operand, at.dim, call.operands[at.operand].shape[at.dim], wanted)


def all_marks(call: Call, operand: int) -> tuple[Mark, ...]:
    """Every dimension of an operand, for one whose number of dimensions is wrong."""
    return tuple(mark(call, At(operand, dim)) for dim in range(call.operands[operand].rank))


@dataclass(frozen=True)
class Bound:
    """A call understood.

    `results` are the dimensions of each result, empty when `violation` says why there is none.
    `ties` are pairs of operands' dimensions that are one: contracted, added, indexed together.
    `roles` names dimensions of weights that are known by what they do, such as a kernel's height
    (`kh`), `stacked` those that hold a made dimension several times over, as the gates of a
    recurrent layer do.  `letters` are the sizes by the letters of the entry's pattern.
    """

    call: Call
    results: tuple[Dims, ...] = ()
    ties: tuple[tuple[At, At], ...] = ()
    roles: Mapping[At, str] = field(default_factory=dict)
    letters: Mapping[str, Size] = field(default_factory=dict)
    violation: Violation | None = None
    stacked: Mapping[At, tuple[Dim, int]] = field(default_factory=dict)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(tuple(dim.size for dim in dims) for dims in self.results)


# --- making dimensions ---------------------------------------------------------------------------


def kept(call: Call, operand: int = 0) -> Dims:
    """All dimensions of an operand, handed on."""
    need(operand < len(call.operands))
    return tuple(same(call, At(operand, dim)) for dim in range(call.operands[operand].rank))


def same(call: Call, *sources: At) -> Dim:
    """A dimension handed on; of several that met, sizes of 1 having been stretched."""
    size: Size = 1
    for at in sources:
        size = call.operands[at.operand].shape[at.dim]
        if not (isinstance(size, int) and size == 1):
            break
    full = tuple(at for at in sources if call.operands[at.operand].shape[at.dim] == size)
    thin = tuple(at for at in sources if at not in full) if full else ()
    return Dim(size, SAME, full or sources, stretched=thin)


def moved(dim: Dim) -> Dim:
    return replace(dim, moved=True)


def resized(call: Call, at: At, size: Size, kind: str = "place") -> Dim:
    """The same dimension with another number of places; handed on where the number stays."""
    return Dim(size, RESIZED, (at,), kind=kind)


def new(size: Size, hint: str = "", kind: str = "", sources: Sequence[At] = ()) -> Dim:
    return Dim(size, NEW, tuple(sources), hint=hint, kind=kind)


def reduced(*sources: At) -> Dim:
    return Dim(1, REDUCED, sources)


def broadcast(
    call: Call, operands: Sequence[int], but: int = 0, kind: str = "broadcast"
) -> tuple[Dims, tuple[tuple[At, At], ...]]:
    """The operands laid against each other from the right, as torch does; and what is tied.

    Args:
        but: how many dimensions, the last ones, are left out.

    Raises:
        Refused: of this kind, with the two dimensions at odds.
    """
    rank = max((call.operands[index].rank for index in operands), default=0)
    dims: list[Dim] = []
    ties: list[tuple[At, At]] = []
    for back in range(1 + but, rank + 1):
        met = [
            At(index, call.operands[index].rank - back)
            for index in operands
            if call.operands[index].rank >= back
        ]
        sizes = [call.operands[at.operand].shape[at.dim] for at in met]
        wide = [n for n, size in enumerate(sizes) if not is_one(size)] or list(range(len(met)))
        for n in wide[1:]:
            if differ(sizes[wide[0]], sizes[n]):
                a, b = met[wide[0]], met[n]
                one, two = sizes[wide[0]], sizes[n]
                raise refuse(kind, mark(call, a, two), mark(call, b, one), wanted=two, found=one)
            ties.append((met[wide[0]], met[n]))
        thin = tuple(at for n, at in enumerate(met) if n not in wide)
        dims.append(Dim(sizes[wide[0]], SAME, tuple(met[n] for n in wide), stretched=thin))
    return tuple(reversed(dims)), tuple(reversed(ties))


def laid_on(call: Call, operand: int, dims: Dims) -> tuple[tuple[At, At], ...]:
    """What is tied when an operand is stretched to a result's `dims`, which do not grow by it.

    Raises:
        Refused: kind `broadcast`, with the operand's dimension that does not fit, or all of them
            where it has too many; `onto` is the shape it was to be stretched to.
    """
    shape = call.operands[operand].shape
    onto = tuple(dim.size for dim in dims)
    if len(shape) > len(dims):
        raise refuse("broadcast", *all_marks(call, operand), onto=onto)
    ties: list[tuple[At, At]] = []
    for back in range(1, len(shape) + 1):
        at, target = At(operand, len(shape) - back), dims[-back]
        if is_one(call.operands[operand].shape[at.dim]):
            continue
        if differ(shape[at.dim], target.size):
            found = mark(call, at, target.size)
            raise refuse("broadcast", found, wanted=target.size, found=found.size, onto=onto)
        ties += [(source, at) for source in target.sources[:1] if target.how in (SAME, MIXED)]
    return tuple(ties)


def added(call: Call, dims: Dims, operand: int) -> tuple[Dims, tuple[tuple[At, At], ...]]:
    """The dimensions of a sum of a result and an operand, either of which may be stretched; and
    what is tied.

    Raises:
        Refused: kind `broadcast`, with the operand's dimension that does not fit.
    """
    shape = call.operands[operand].shape
    grown = list(dims)
    for back in range(1, min(len(shape), len(dims)) + 1):
        if is_one(dims[-back].size) and not is_one(shape[-back]):
            grown[-back] = same(call, At(operand, len(shape) - back))
    grown[:0] = [same(call, At(operand, dim)) for dim in range(len(shape) - len(dims))]
    ties = laid_on(call, operand, tuple(grown))
    return tuple(grown), tuple((one, two) for one, two in ties if one != two)
