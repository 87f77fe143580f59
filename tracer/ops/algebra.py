"""Sizes, whether numbers or symbols: equality, broadcasting, windows, row-major grouping."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tracer.ops.call import Shape, Size, is_size, need


def known(size: Size) -> bool:
    return isinstance(size, int)


def differ(a: Size, b: Size) -> bool:
    """Whether two sizes cannot be equal.  Two symbols are taken to be equal as far as the run
    went: what is demanded of them is another question."""
    if known(a) and known(b):
        return bool(a != b)
    gap = getattr(a - b, "is_zero", None)
    return gap is False and not getattr(a - b, "free_symbols", ())


def below(size: Size, least: Size) -> bool:
    """Whether a size is certainly less than another.  A symbol that is live in torch is asked, and
    the answer becomes what the run demands of it; of other symbols nothing is certain.

    Raises:
        Unclear: one is no size, as in a damaged file.
    """
    need(is_size(size) and is_size(least))
    answer = size < least
    if isinstance(answer, bool) or hasattr(answer, "node"):
        return bool(answer)
    return bool(answer == True)  # noqa: E712 - a relation of symbols is equal to True only if so


def is_one(size: Size) -> bool:
    return known(size) and size == 1


def is_open(size: Size) -> bool:
    """Whether a size is to be worked out from the others, or kept: it is given as -1."""
    return known(size) and size == -1


def product(sizes: Iterable[Size]) -> Size:
    return math.prod(sizes)


def quotient(whole: Size, part: Size) -> Size:
    """How often `part`, which divides `whole`, goes into it."""
    symbolic = any(hasattr(size, "free_symbols") for size in (whole, part))
    return whole / part if symbolic else whole // part


def ceil_div(size: Size, by: Size) -> Size:
    return -(-size // by)


def window(
    size: Size, kernel: Size, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> Size:
    """How many windows fit: ⌊(size + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1 (the
    documentation of torch.nn.Conv2d)."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


Block = tuple[list[int], list[int]]


def blocks(before: Shape, after: Shape) -> list[Block] | None:
    """The smallest groups of dimensions, those of size 1 left out, that hold the same elements
    before and after a row-major reshape; None where the numbers of elements differ, or are 0."""
    found: list[Block] = []
    sources = [axis for axis, size in enumerate(before) if not is_one(size)]
    targets = [axis for axis, size in enumerate(after) if not is_one(size)]
    i = j = 0
    while i < len(sources) and j < len(targets):
        left, right = before[sources[i]], after[targets[j]]
        block: Block = ([sources[i]], [targets[j]])
        i, j = i + 1, j + 1
        while left != right:
            grow_left = _smaller(left, right, i < len(sources), j < len(targets))
            if grow_left is None:
                return None
            if grow_left:
                left *= before[sources[i]]
                block[0].append(sources[i])
                i += 1
            else:
                right *= after[targets[j]]
                block[1].append(targets[j])
                j += 1
        found.append(block)
    return found if i == len(sources) and j == len(targets) else None


def _smaller(left: Size, right: Size, more_left: bool, more_right: bool) -> bool | None:
    """Whether the left product has to grow, None where neither can; of symbols the left grows
    first as long as it divides the right."""
    if known(left) and known(right):
        if left < right:
            return True if more_left else None
        return False if more_right else None
    divides = getattr(right / left, "is_polynomial", lambda: False)()
    if divides and more_left:
        return True
    return False if more_right else (True if more_left else None)


def leftover(
    before: Shape, after: Shape, wild: int | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The dimensions of two shapes that are left when equal sizes at both ends are struck out;
    `wild` in `after` is equal to any."""

    def alike(a: Size, b: Size) -> bool:
        return not differ(a, b) or (wild is not None and known(b) and b == wild)

    short = min(len(before), len(after))
    front = 0
    while front < short and alike(before[front], after[front]):
        front += 1
    back = 0
    while back < short - front and alike(before[-1 - back], after[-1 - back]):
        back += 1
    return tuple(range(front, len(before) - back)), tuple(range(front, len(after) - back))


def clash(first: Sequence[Size], second: Sequence[Size]) -> tuple[int, int] | None:
    """The last place where two shapes do not broadcast: (dim of first, dim of second)."""
    for back in range(1, min(len(first), len(second)) + 1):
        a, b = first[-back], second[-back]
        if differ(a, b) and not is_one(a) and not is_one(b):
            return len(first) - back, len(second) - back
    return None
