"""Which cells of the operands a cell of a result is made of, index by index, and how they become
it: what is drawn of an operation, and what a cell is followed by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from tracer.ops.algebra import differ, known, product
from tracer.ops.bound import JOINED, MIXED, PIECE, REDUCED, RESIZED, SAME, Bound, Dim, Window
from tracer.ops.call import At, Size, need

SCENES = (
    "each",  # cell by cell
    "product",  # a row meets a column
    "window",  # a window slides
    "order",  # the same elements in another order
    "collapse",  # an axis collapses
    "copy",  # an axis is copied
    "join",  # pieces are cut and joined
    "share",  # a row is shared out
    "lookup",  # a table is looked up
    "whole",  # every cell may count
)
HOWS = ("line", "whole", "wrap", "part", "back", "taps", "untaps", "bins", "until", "named")


@dataclass(frozen=True)
class Along:
    """The indices along one dimension of an operand that index `i` along dimension `dim` of a
    result depends on; of no dimension (None) `i` is 0.  `how` is one of:

    - `line`: `start + step·i`, and `count` places from there on, every `spread`-th
    - `whole`: all
    - `wrap`: `start + i`, counted round and round
    - `part`: the `count` places from `count·⌊i / over⌋` on
    - `back`: of a window that a place is spread over (`start` is what is cut off in front, `step`
      the stride): the places that reach `i`
    - `taps`, `untaps`: the places of the kernel itself, of a `line` or of a `back` over `size`
    - `bins`: one of `over` bins
    - `until`: all up to `i`
    - `named`: what a cell of the operand number `by` says

    Places that are not there are left out.
    """

    how: str = "line"
    dim: int | None = None
    start: Size = 0
    step: Size = 1
    count: Size = 1
    spread: Size = 1
    over: Size = 1
    size: Size = 0
    by: int | None = None


WHOLE = Along("whole")


@dataclass(frozen=True)
class Reach:
    """The cells of one operand: those at every combination of the indices along its dimensions, or
    with `order` the one at the same place of all, read row by row.  Of a result's cell that is not
    at `only` (a dimension and its index) there are none.  Where it is not `exact` these are the
    most that can count."""

    axes: tuple[Along, ...] = ()
    order: bool = False
    only: tuple[int, int] | None = None
    exact: bool = True


@dataclass(frozen=True)
class Cells:
    """What one result's cells are made of: for each operand its reach, None where no cell of it
    counts.  `met` are dimensions of operands that are gone through together, such as those that a
    product sums over: their places, in order, belong to each other."""

    reaches: tuple[Reach | None, ...]
    met: tuple[tuple[At, ...], ...] = ()


Read = Callable[[Bound, int], Cells]


def by_dims(
    bound: Bound,
    number: int = 0,
    other: Mapping[At, Along] | None = None,
    pairs: Iterable[tuple[At, At]] = (),
) -> Cells:
    """As the dimensions of result `number` say, where a dimension that is handed on leaves every
    entry at its place.  What is in no dimension of the result is summed over.

    Args:
        other: dimensions of which it is not as it seems.
        pairs: further dimensions that are gone through together.
    """
    call = bound.call
    found: dict[At, Along] = {}
    loose: set[int] = set()
    for place, dim in enumerate(bound.results[number]):
        for at, along in _followed(bound, place, dim):
            if at in found and found[at] != along:
                along = WHOLE
                loose.add(at.operand)
            if along == WHOLE and dim.how not in (REDUCED, MIXED):
                loose.add(at.operand)
            found[at] = along
    for one, two in bound.ties:
        for a, b in ((one, two), (two, one)):
            if a in found and b not in found and not differ(_size(bound, a), _size(bound, b)):
                found[b] = found[a]
    for at, along in (other or {}).items():
        found[at] = along
        loose.discard(at.operand)
    every = [At(o, d) for o, each in enumerate(call.operands) for d in range(each.rank)]
    axes = {at: found.get(at, WHOLE) for at in every}
    reaches = tuple(
        Reach(
            tuple(axes[At(index, dim)] for dim in range(operand.rank)),
            exact=index not in loose,
        )
        for index, operand in enumerate(call.operands)
    )
    return Cells(reaches, _met(axes, [*bound.ties, *pairs, *_windows(bound, number)]))


def _size(bound: Bound, at: At) -> Size:
    return bound.call.operands[at.operand].shape[at.dim]


def _followed(bound: Bound, place: int, dim: Dim) -> Iterable[tuple[At, Along]]:
    """The dimensions of operands that one of the result follows."""
    if dim.how in (SAME, MIXED):
        yield from ((at, WHOLE if dim.moved else Along(dim=place)) for at in dim.sources)
        yield from ((at, Along()) for at in dim.stretched)
        if dim.replaces is not None:
            yield dim.replaces, WHOLE
    elif dim.how == PIECE and not dim.moved:
        yield from ((at, Along(dim=place, start=dim.start, step=dim.step)) for at in dim.sources)
    elif dim.how == RESIZED and dim.window is not None:
        at, *kernel = dim.sources
        yield at, window_along(place, dim.window)
        taps = "untaps" if dim.window.back else "taps"
        size = _size(bound, at)
        for each in kernel:
            yield each, replace(window_along(place, dim.window), how=taps, size=size)
    elif dim.how == JOINED:
        offset: Size = 0
        for at in dim.sources:
            yield at, Along(dim=place, start=-offset)
            offset = offset + _size(bound, at)
    else:
        yield from ((at, WHOLE) for at in dim.sources)


def window_along(place: int, window: Window) -> Along:
    """Along the dimension that a window goes over."""
    start = window.padding if window.back else -window.padding
    how = "back" if window.back else "line"
    return Along(how, place, start, window.stride, window.kernel, window.dilation)


def _windows(bound: Bound, number: int) -> Iterable[tuple[At, At]]:
    for dim in bound.results[number]:
        if dim.window is not None and len(dim.sources) > 1:
            yield dim.sources[0], dim.sources[1]


def _met(axes: Mapping[At, Along], pairs: Iterable[tuple[At, At]]) -> tuple[tuple[At, ...], ...]:
    """Dimensions with several places for a cell of the result, those together that are tied."""
    groups = [{at} for at, along in axes.items() if along.how in _SEVERAL or along.count != 1]
    for one, two in pairs:
        touched = [group for group in groups if one in group or two in group]
        if len(touched) == 2:
            groups.remove(touched[1])
            touched[0] |= touched[1]
    return tuple(tuple(sorted(group)) for group in groups)


_SEVERAL = frozenset(["whole", "back", "taps", "untaps", "bins", "until"])


# --- ways to read it -----------------------------------------------------------------------------


def in_order(bound: Bound, number: int) -> Cells:
    """The same elements, read row by row."""
    need(len(bound.call.operands) > 0)
    first, *rest = bound.call.operands
    same = product(first.shape) == product(bound.shapes[number])
    need(known(same) or bool(same))
    return Cells((Reach(order=True), *(None for _ in rest)))


def everything(bound: Bound, number: int) -> Cells:
    """Every cell of every operand may count: what is true of any operation."""
    reaches = (Reach((WHOLE,) * each.rank, exact=False) for each in bound.call.operands)
    return Cells(tuple(reaches))


def loosely(read: Read) -> Read:
    """The same cells, not all of which need count."""

    def found(bound: Bound, number: int) -> Cells:
        cells = read(bound, number)
        return replace(
            cells, reaches=tuple(each and replace(each, exact=False) for each in cells.reaches)
        )

    return found


@dataclass(frozen=True)
class Scene:
    """How an operation is drawn: one of `SCENES`; `becomes` says what is made of the cells that
    come together, one of `sum`, `mean`, `max`, `min`, `prod`, `add`, `sub`, `mul`, `div`, `exp`
    (each one's share of the sum of exponentials), empty where the cells alone are shown."""

    kind: str
    becomes: str = ""
    cells: Read = by_dims


EVERYTHING = Scene("whole", cells=everything)
EACH = Scene("each")
SUMS = Scene("product", "sum")


__all__ = [
    "EACH",
    "EVERYTHING",
    "SCENES",
    "SUMS",
    "WHOLE",
    "Along",
    "Cells",
    "Reach",
    "Read",
    "Scene",
    "by_dims",
    "everything",
    "in_order",
    "loosely",
    "window_along",
]
