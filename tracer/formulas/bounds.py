"""How small a size may be: each bound is run at its value, where it works, and one below, where it
fails.

A run asks for less than it needs: an unpadded convolution asks for a result that is not negative,
and refuses one that is empty.  And what a second layer needs, the first does not ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sympy

from tracer.formulas import writing
from tracer.formulas.writing import Condition, symbol

Sizes = Mapping[str, int]
Constraints = dict[Condition, int | None]
_LARGE = 1_000_000
_BELOW = 4
"""Runs below an edge where something else is demanded of the size as well: does none work there?"""

Works = Callable[[Sizes], bool | None]
"""Whether a module runs at these sizes; None where no more runs are to be had."""


def bounded(
    constraints: Mapping[Condition, int | None],
    sizes: Sizes,
    legal: Callable[[str], Sequence[int]],
    works: Works,
    step_of: Callable[[Sizes], int | None],
) -> Constraints:
    """The constraints; those on how small a single size may be say what runs have shown.

    Args:
        constraints: conditions with the step that demands each.
        sizes: where the module runs.
        legal: the values that a size may have, in ascending order.
        works: whether it runs at other sizes.
        step_of: the step that failed at these sizes.
    """
    found: Constraints = {}
    for condition, step in constraints.items():
        parts = condition.args if isinstance(condition, sympy.And) else (condition,)
        found |= {part: found.get(part, step) for part in parts}
    for name, size in sizes.items():
        own = [each for each in found if _is_bound(each, name)]
        line = _Line(name, sizes, [each for each in found if each not in own], works)
        values = [value for value in legal(name) if value <= size and line.meets(value)]
        asked = [n for n, value in enumerate(values) if all(holds(c, line.at(value)) for c in own)]
        edge = line.edge(values, asked[0] if asked else 0)
        if edge is None:
            continue
        lowest, below = edge
        under = [value for value in values if value < lowest]
        said = [each for each in own if below is not None and line.parts(each, under, lowest)]
        for each in own:
            # What is met from the edge on is said by the bound.
            if each not in said[:1] and all(holds(each, line.at(v)) for v in values if v >= lowest):
                del found[each]
        if below is not None and not said and line.stands_alone(lowest, below):
            steps = [step_of(line.at(below)), *(found.get(each) for each in own)]
            asks = next((step for step in steps if step is not None), None)
            found[sympy.Ge(symbol(name), lowest)] = asks
    for condition, step in constraints.items():
        if isinstance(condition, sympy.And) and found.keys() >= set(condition.args):
            found = {c: s for c, s in found.items() if c not in condition.args} | {condition: step}
    return found


def holds(condition: Condition, sizes: Sizes) -> bool:
    """Whether it is met; what cannot be said at these sizes (a division by zero) is not."""
    try:
        return bool(writing.evaluate(condition, sizes))
    except ValueError:
        return False


def _is_bound(condition: Condition, name: str) -> bool:
    """Whether it says of this size alone how small it may be, or that it is no certain number."""
    own = symbol(name)
    if isinstance(condition, sympy.Ne):
        return condition.lhs == own and bool(condition.rhs.is_Integer)
    return (
        condition.free_symbols == {own}
        and isinstance(condition, sympy.GreaterThan | sympy.StrictGreaterThan)
        and holds(condition, {name: _LARGE})
    )


class _SpentError(Exception):
    """No more runs are to be had."""


class _Line:
    """The runs at which one size varies, and with it those that have to be equal to it."""

    def __init__(self, name: str, sizes: Sizes, rest: Sequence[Condition], works: Works) -> None:
        self.sizes, self.rest, self.works = dict(sizes), rest, works
        own = symbol(name)
        equal = [c for c in rest if isinstance(c, sympy.Eq) and own in (c.lhs, c.rhs)]
        joined = {side.name for c in equal for side in (c.lhs, c.rhs) if side.is_Symbol}
        self.names = {name, *joined} & sizes.keys()

        symbols = set(map(symbol, self.names))
        self.rest_on_it = [each for each in rest if each.free_symbols & symbols]

    def at(self, value: int) -> Sizes:
        return {**self.sizes, **dict.fromkeys(self.names, value)}

    def meets(self, value: int) -> bool:
        """Whether all else that is demanded of the size is met."""
        return all(holds(each, self.at(value)) for each in self.rest_on_it)

    def edge(self, values: Sequence[int], asked: int) -> tuple[int, int | None] | None:
        """The smallest value from which on it works, and the one below it, at which it fails (None
        if there is none).  None where that is not found out.

        The run's own size is the last of `values`; at `asked` is what the run has asked for."""
        if len(values) < 2:
            return None
        low, high = -1, len(values) - 1

        def probe(position: int) -> None:
            nonlocal low, high
            if low < position < high:
                able = self.works(self.at(values[position]))
                if able is None:
                    raise _SpentError
                low, high = (low, position) if able else (position, high)

        try:
            for position in (0, asked, asked - 1):
                probe(position)
            far = 1
            while high - low > 1:
                # What a run needs is often a little more than what it asks for.
                probe(min(low + far, (low + high) // 2))
                far *= 2
        except _SpentError:
            return None
        # Where it fails above the edge, that is told: see `_Search.unexplained`.
        self.works(self.at(values[(high + len(values) - 1) // 2]))
        if self.rest_on_it and any(
            self.works(self.at(value)) for value in values[: max(low, 0) : max(1, low // _BELOW)]
        ):
            return None
        return values[high], values[low] if low >= 0 else None

    def parts(self, condition: Condition, under: Sequence[int], lowest: int) -> bool:
        """Whether it is met at the edge, and nowhere under it."""
        at_ends = (under[0], under[-1])
        return holds(condition, self.at(lowest)) and not any(
            holds(condition, self.at(value)) for value in at_ends
        )

    def stands_alone(self, lowest: int, below: int) -> bool:
        """Whether the edge is where it is at other sizes of the rest, too."""
        doubled = {name: 2 * size for name, size in self.sizes.items()}
        other = _Line(next(iter(self.names)), doubled, self.rest, self.works)
        if not all(holds(c, other.at(lowest)) for c in self.rest):
            return True
        return self.works(other.at(lowest)) is not False and self.works(other.at(below)) is not True
