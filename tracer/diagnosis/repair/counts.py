"""Edits of what is counted: how often a loop runs, how many of a list there are, what the first of
several is built with, and which way a division is rounded."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from tracer.diagnosis.repair.draft import Draft, instead
from tracer.diagnosis.repair.numbers import expressions, related
from tracer.diagnosis.repair.places import Spot
from tracer.diagnosis.repair.world import World, walk
from tracer.document import Edit, Span
from tracer.sentences import said
from tracer.source.text import Text, called

FAR = 5.0


def counts(world: World, spot: Spot) -> Iterator[Draft]:
    if isinstance(spot.node, ast.expr) and spot.distance < FAR:
        yield from one_more(spot)
        yield from rounded_up(spot)
        if spot.constructs and isinstance(spot.node, ast.Name | ast.Attribute):
            yield from first_alone(world, spot)
        if spot.constructs and isinstance(spot.node, ast.Call):
            yield from carried(spot, spot.node)


def one_more(spot: Spot) -> Iterator[Draft]:
    """One more or one less where something is counted: `range(blocks + 1)`, `len(r) + 1`."""
    node, text = spot.node, spot.text
    above = text.parents.get(node)
    counted = isinstance(node, ast.Call) and called(node) == "len"
    if isinstance(above, ast.Call) and called(above) == "range" and node in above.args:
        counted = counted or isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
    if isinstance(above, ast.Return):
        counted = counted or isinstance(node, ast.Attribute)
    if not counted or not isinstance(node, ast.expr):
        return
    own = text.of(node)
    inside = isinstance(above, ast.BinOp | ast.UnaryOp | ast.Attribute)
    for new in (f"{own} + 1", f"{own} - 1"):
        written = f"({new})" if inside else new
        yield instead(spot, "count_step", said("Count one more or one less"), written)


def rounded_up(spot: Spot) -> Iterator[Draft]:
    """What a statement divides and rounds down, rounded up: `-(-height // stride)`."""
    node, text = spot.node, spot.text
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.FloorDiv):
        return
    statement = text.statement(node)
    found = [
        each
        for each in (walk(statement) if isinstance(statement, ast.stmt) else ())
        if isinstance(each, ast.BinOp) and isinstance(each.op, ast.FloorDiv)
        if text.statement(each) is statement
    ]
    if not found or found[0] is not node or isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return
    outer = [each for each in found if not any(each in walk(o) and each is not o for o in found)]
    edits = tuple(_up(text, each) for each in outer)
    new = ", ".join(edit.replacement for edit in edits)
    yield Draft("rounded_up", said("Round up instead of down"), edits, spot, text.of(node), new)


def _up(text: Text, node: ast.BinOp) -> Edit:
    left, right = text.of(node.left), text.of(node.right)
    left = f"({left})" if isinstance(node.left, ast.BinOp) else left
    return text.replace(node, f"-(-{left} // {right})")


def first_alone(world: World, spot: Spot) -> Iterator[Draft]:
    """What a loop builds each layer with, for the first or the last alone, the others with the
    number that is wanted: `Block(width_in if i == 0 else width)`."""
    node, text = spot.node, spot.text
    loop = text.around(node, (ast.ListComp, ast.GeneratorExp, ast.For))
    if isinstance(loop, ast.ListComp | ast.GeneratorExp):
        target, rounds = loop.generators[0].target, loop.generators[0].iter
    elif isinstance(loop, ast.For):
        target, rounds = loop.target, loop.iter
    else:
        return
    plain = isinstance(rounds, ast.Call) and called(rounds) == "range" and len(rounds.args) == 1
    if not plain or not isinstance(target, ast.Name) or any(each is node for each in walk(rounds)):
        return
    assert isinstance(rounds, ast.Call)
    number = "i" if target.id.startswith("_") else target.id
    renamed = (text.replace(target, number),) if number != target.id else ()
    own, last = text.of(node), f"{text.of(rounds.args[0])} - 1"
    what = said("Build the first or the last with another number than the others")
    for value in [v for v in world.values(text, node) if type(v) is int][:1]:
        wants = dict.fromkeys(related(world.swaps, value))
        names = [each for want in wants for each in expressions(world, text, node, want)[:1]]
        for name in dict.fromkeys((*_given_too(world, spot, value), *names)):
            if name != text.of(rounds.args[0]):
                for new in (
                    f"({own} if {number} == 0 else {name})",
                    f"({name} if {number} == 0 else {own})",
                    f"({name} if {number} == {last} else {own})",
                ):
                    edits = (*renamed, text.replace(node, new))
                    yield Draft("first_alone", what, edits, spot, own, new)


def carried(spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """What a loop builds each layer with and never changes, `Linear(width, out)`, given what its
    round has, `width = out`, for the next one."""
    text = spot.text
    loop = text.around(node, ast.For)
    if not isinstance(loop, ast.For) or text.function(loop) is not text.function(node):
        return
    names = [each for each in walk(loop) if isinstance(each, ast.Name)]
    given = {each.id for each in names if isinstance(each.ctx, ast.Store)}
    own = [e for e in node.args if isinstance(e, ast.Name) and e.id not in given]
    new = [
        each
        for each in node.args
        if given & {inner.id for inner in ast.walk(each) if isinstance(inner, ast.Name)}
    ]
    last = text.span(loop.body[-1])
    end = Span(last.end_line, last.end_column, last.end_line, last.end_column)
    indent = " " * text.span(loop.body[0]).column
    what = said("Give the next round what this one has")
    for name, other in itertools.product(own, new):
        statement = f"{name.id} = {text.of(other)}"
        edit = Edit(text.file, end, f"\n{indent}{statement}")
        yield Draft("carried", what, (edit,), spot, "", statement)


def _given_too(world: World, spot: Spot, value: int) -> list[str]:
    """What else the constructor is given that is another number."""
    text, above = spot.text, spot.text.parents.get(spot.node)
    items = above.args if isinstance(above, ast.Call) else []
    found = []
    for each in items:
        other = world.value(text, each) if isinstance(each, ast.Name | ast.Attribute) else None
        if type(other) is int and other != value:
            found.append(text.of(each))
    return found
