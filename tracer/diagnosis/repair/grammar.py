"""The grammar of edits: every production applied at every place of a failure."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from tracer.diagnosis.repair import beside, calls, counts, inputs, names, numbers, tensors
from tracer.diagnosis.repair.bench import Bench
from tracer.diagnosis.repair.draft import Draft, beside_too, everywhere, from_here_on
from tracer.diagnosis.repair.places import Spot, spots
from tracer.diagnosis.repair.solved import solved
from tracer.diagnosis.repair.world import World
from tracer.strict import tolerated

Production = Callable[[World, Spot], Iterator[Draft]]

ANYWHERE: tuple[Production, ...] = (
    calls.call_edits,
    calls.layers,
    calls.tuple_result,
    numbers.number_edits,
    numbers.flags,
    counts.counts,
    names.name_edits,
    beside.beside,
)
EVERYWHERE = ("one_hot", "cast", "add_axis", "drop_axis", "turn", "shift")
"""What is done to a tensor wherever the failing function names it."""
KEPT = ("picked", "twin_call", "use_function", "repeat")
"""What is done to a name that others read as well, for these too."""
MOST_ENTRIES = 4  # functions whose arguments are changed at their entry


def drafts(world: World, bench: Bench | None = None) -> list[Draft]:
    """What might mend a failure, each edit once.

    Args:
        bench: runs what failed with other numbers, to find those with which sizes agree; without
            it nothing has run.
    """
    found: dict[object, Draft] = {}
    places = spots(world)
    exact = tolerated(solved(bench, world, places)) if bench is not None else ()
    for draft in (*exact, *_all(world, places)):
        key = _key(world, draft)
        if key is not None:
            found.setdefault(key, draft)
    return list(found.values())


def _all(world: World, places: list[Spot]) -> Iterator[Draft]:
    valued, told = 0, world.told
    for spot in places:
        expression = isinstance(spot.node, ast.expr)
        named = expression and (spot.text.file, spot.text.span(spot.node)) in told
        if not spot.constructs and (valued < tensors.MOST_TENSORS or named):
            before = valued
            for draft in tolerated(tensors.value_edits(world, spot)):
                valued = before + 1
                yield draft
                same = everywhere(draft) if draft.kind in EVERYWHERE else None
                if same is not None and spot.distance < 1:
                    yield same
                along = beside_too(draft)
                if along is not None:
                    yield along
        for production in ANYWHERE:
            for draft in tolerated(production(world, spot)):
                yield draft
                same = everywhere(draft)
                if same is not None:
                    yield same
                kept = from_here_on(draft) if draft.kind in KEPT else None
                if kept is not None:
                    yield kept
    yield from tolerated(names.statement_edits(world, _statements(world, places)))
    entered: set[ast.AST] = set()
    for spot in places:
        function = spot.text.function(spot.node)
        if spot.constructs or function is None or function in entered:
            continue
        if len(entered) >= MOST_ENTRIES:
            break
        entered.add(function)
        yield from tolerated(inputs.entry_edits(world, spot))
        yield from tolerated(inputs.padded_and_cropped(world, spot))
        yield from tolerated(beside.calls_of_unused(world, spot))
    if places:
        yield from tolerated(inputs.input_changes(world, places[0]))


def _statements(world: World, places: list[Spot]) -> list[tuple[Spot, ast.stmt]]:
    """The statements of the places, the nearest first."""
    found: list[tuple[Spot, ast.stmt]] = []
    for spot in places:
        statement = spot.text.statement(spot.node)
        if statement is not None:
            found.append((spot, statement))
    return found


def _key(world: World, draft: Draft) -> object | None:
    """What an edit does to the text; None when it does nothing."""
    if not draft.edits:
        return draft.inputs
    pairs = []
    for edit in draft.edits:
        text = next((t for t in world.texts if t.file == edit.file), None)
        if text is None:
            text = draft.spot.text
        old = text.cut(edit.span)
        if old == edit.replacement:
            return None
        new = edit.replacement
        while new.startswith("(") and new.endswith(")") and new.count("(") == 1:
            new = new[1:-1]
        pairs.append((edit.file, edit.span, new))
    return tuple(sorted(pairs, key=repr))
