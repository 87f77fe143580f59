"""Edits of whole numbers: by an expression of names at hand before a literal."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tracer.diagnosis.repair.draft import Draft, instead
from tracer.diagnosis.repair.places import Spot
from tracer.diagnosis.repair.world import World, integers, local_names
from tracer.sentences import said
from tracer.source.text import Text, called

FACTORS = (2, 3, 4, 8)
FAR = 3.0  # from there on a literal is changed only to a number that is wanted
MOST_WAYS = 3  # expressions for one number at one place
MOST_SCOPES = 6  # runs of one place whose names are looked up


def at_hand(world: World, text: Text, node: ast.AST) -> dict[str, int]:
    """Whole numbers that can be written at a node; a module's names only at the module's level."""
    statement = text.statement(node)
    inner = text.around(node, (ast.comprehension, ast.ListComp, ast.GeneratorExp, ast.Lambda))
    key = (text.file, statement, inner)
    if key not in world.numbers:
        scope = dict(world.scope(text, node))
        function = text.function(node)
        if function is not None:
            bound = local_names(function) | module_names(text)
        else:
            bound = _names_before(text, node)
        scope = {name: value for name, value in scope.items() if name in bound}
        world.numbers[key] = integers(scope)
    return world.numbers[key]


def _names_before(text: Text, node: ast.AST) -> frozenset[str]:
    """The names of a file that have their values when a statement at its top, or in the body of a
    class, is executed."""
    top = node
    while not isinstance(text.parents.get(top), ast.Module | None):
        top = text.parents[top]
    return module_names(text, getattr(top, "lineno", 0))


def module_names(text: Text, before: int | None = None) -> frozenset[str]:
    """The names that a file gives values at its top, those before a line alone if it is given."""
    return frozenset(
        target.id
        for statement in text.tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        and (before is None or statement.lineno < before)
        for target in (
            statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        )
        if isinstance(target, ast.Name)
    )


def expressions(world: World, text: Text, node: ast.AST, value: int) -> list[str]:
    """Ways to write a number at a node with the names at hand, the shortest first."""
    table = at_hand(world, text, node)
    written = text.of(node)
    found = [name for name, known in table.items() if known == value and name != written]
    found.sort(key=_length)
    if not found and value > 1:  # of another of the layers that run here
        tables = each_at_hand(world, text, node)
        others = {name: None for each in tables for name, known in each.items() if known == value}
        found = sorted((name for name in others if name != written), key=_length)
    if value < 2:  # nothing is worked out, nor read from a tensor or a layer, to come to one
        return [name for name in found if name.count(".") < 2 and "[" not in name][:MOST_WAYS]
    if len(found) >= MOST_WAYS:
        return found[:MOST_WAYS]
    products: list[str] = []
    of_names: list[str] = []
    names = sorted(table.items(), key=lambda item: _length(item[0]))[:24]
    for name, known in names:
        for factor in FACTORS:
            if known * factor == value:
                products.append(f"{name} * {factor}")
            if known == value * factor:
                products.append(f"{name} // {factor}")
        if known + 1 == value:
            products.append(f"{name} + 1")
        if known - 1 == value:
            products.append(f"{name} - 1")
        if known > 1 and known * known == value:
            products.append(f"{name} ** 2")
    for number, (name, known) in enumerate(names):
        for other, extra in names[number + 1 :]:
            if known > 1 and extra > 1 and known * extra == value:
                of_names.append(f"{name} * {other}")
            if known + extra == value:
                of_names.append(f"{name} + {other}")
            if extra > 1 and known == extra * value:
                of_names.append(f"{name} // {other}")
            if known > 1 and extra == known * value:
                of_names.append(f"{other} // {name}")
            if known - extra == value:
                of_names.append(f"{name} - {other}")
    products.sort(key=_length)
    of_names.sort(key=_length)
    # What is worked out from names alone may hold for others too.
    return [*found, *products[:1], *of_names[: MOST_WAYS - 1]]


def _length(text: str) -> tuple[int, int]:
    return sum(text.count(sign) for sign in ".[(+-*/ "), len(text)


def whole_numbers(world: World, spot: Spot) -> list[int] | None:
    """What the spot's expression stood for, the likeliest first; None where it is no number that
    somebody wrote or worked out."""
    node, text = spot.node, spot.text
    if not isinstance(
        node, ast.Attribute | ast.Subscript | ast.Name | ast.Constant | ast.BinOp | ast.Call
    ):
        return None
    if isinstance(getattr(node, "ctx", None), ast.Store):
        return None
    above = text.parents.get(node)
    if isinstance(above, ast.Call) and above.func is node:
        return None
    if isinstance(node, ast.Call) and called(node) not in ("len", "size", "int", "sum"):
        return None
    if isinstance(node, ast.Constant) and type(node.value) is not int:
        return None
    values = [v for v in world.values(text, node) if type(v) is int]
    return values if values or isinstance(node, ast.Constant) else None


def number_edits(world: World, spot: Spot) -> Iterator[Draft]:
    """Other numbers in the place of one, or of an expression that makes one."""
    node = spot.node
    values = whole_numbers(world, spot)
    if values is None:
        return
    wants: dict[int, str] = {}
    for value in values[:4]:
        for want in related(world.swaps, value):
            wants.setdefault(want, "size")
    if isinstance(node, ast.Constant):
        value = _whole(node)
        if spot.distance < FAR or 0 < value < 4:
            for want in (value + 1, value - 1):
                wants.setdefault(want, "step")
        if spot.constructs and value > 1 and spot.distance < FAR:
            for want in (value * 2, value // 2):
                wants.setdefault(want, "double")
        yield from _named(world, spot, node)
    for want, why in wants.items():
        if want in values[:1]:
            continue
        yield from written(world, spot, want, why, values[0] if values else None)
    if isinstance(node, ast.BinOp) and spot.constructs:
        yield from _arithmetic(spot, node)


def _named(world: World, spot: Spot, node: ast.Constant) -> Iterator[Draft]:
    """A name in the place of a literal, which is the same where it worked and another where it
    failed: `3` for `self.k`, of the first of two layers."""
    value, text = _whole(node), spot.text
    if value < 2:
        return
    tables = each_at_hand(world, text, node)
    names = {name for table in tables for name, known in table.items() if known == value}
    also = {name for table in tables for name, known in table.items() if known != value}
    for name in sorted(names & also, key=_length)[:MOST_WAYS]:
        yield instead(spot, "named", said("Use the name that has this value elsewhere"), name)


def each_at_hand(world: World, text: Text, node: ast.AST) -> list[dict[str, int]]:
    """The whole numbers at hand at a node, each time that it ran."""
    function = text.function(node)
    if function is None:
        return []
    key = (text.file, text.statement(node), "each")
    if key not in world.tables:
        bound = local_names(function) | module_names(text)
        scopes = itertools.islice(world.scopes(text, node), MOST_SCOPES)
        world.tables[key] = [
            integers({name: value for name, value in scope.items() if name in bound})
            for scope in scopes
        ]
    return world.tables[key]


def related(swaps: Mapping[int, tuple[int, ...]], value: int) -> Iterator[int]:
    """What a number may have to be when two sizes are at odds that it is, divides or adds to."""
    if value in swaps:
        yield from swaps[value]
    if value < 1:
        return
    for have, wants in swaps.items():
        for want in wants:
            if have % value == 0 and have != value and value > 1:
                share = have // value
                if want % share == 0:
                    yield want // share
            if value % have == 0 and have > 1 and value != have:
                yield value // have * want
            if value + want - have > 0 and abs(want - have) <= value:
                yield value + want - have


def written(world: World, spot: Spot, want: int, why: str, value: int | None) -> Iterator[Draft]:
    """A number in the place of an expression that is `value`: in names, and as a literal."""
    node, text = spot.node, spot.text
    what = said("Use the number that fits")
    for new in _grown(text, node, value, want) if value is not None else ():
        yield instead(spot, f"number_grown_{why}", what, new, number=want)
    if why != "step" or spot.constructs:
        plain = why == "step" or want < 4  # to nearly any two of them such a number is a ratio
        # What is left of an expression when some of it goes is another kind of change, and where
        # names stand no number takes their place.
        parts = {text.of(part) for part in ast.walk(node) if isinstance(part, ast.expr)}
        named = not isinstance(node, ast.Constant)
        for name in expressions(world, text, node, want):
            # A size is none that somebody wrote, nor is a half of it.
            numbered = named and ".shape[" not in name and re.search(r"\b\d", name) is not None
            keeps = named and text.of(node) in name.split()  # it is divided by what it lacked
            if (plain and " " in name and not keeps) or name in parts or numbered:
                continue
            new = f"({name})" if " " in name and _inside_arithmetic(text, node) else name
            kind = "operand_named" if named else "number_name"
            yield instead(spot, f"{kind}_{why}", what, new, number=want)
    yield instead(spot, f"number_{why}", what, str(want), number=want)


def _grown(text: Text, node: ast.AST, value: int, want: int) -> Iterator[str]:
    """The same expression with a small number added or multiplied, so that its names stay."""
    if isinstance(node, ast.Constant):
        return
    own = text.of(node)
    sums = isinstance(node, ast.BinOp)
    tight = f"({own})" if sums else own
    made = []
    if 0 < abs(want - value) <= 3:
        made.append(f"{own} {'+' if want > value else '-'} {abs(want - value)}")
    if value > 0 and want % value == 0 and want // value in FACTORS:
        made.append(f"{tight} * {want // value}")
    if value > 1 and want > 0 and value % want == 0 and value // want in FACTORS:
        made.append(f"{tight} // {value // want}")
    if value > 1 and want == value**2:
        made.append(f"{tight} ** 2")
    for new in made:
        yield f"({new})" if _inside_arithmetic(text, node) else new


def _whole(node: ast.Constant) -> int:
    assert isinstance(node.value, int)
    return node.value


def _inside_arithmetic(text: Text, node: ast.AST) -> bool:
    return isinstance(text.parents.get(node), ast.BinOp | ast.UnaryOp | ast.Attribute)


def _arithmetic(spot: Spot, node: ast.BinOp) -> Iterator[Draft]:
    """One operand alone, or another operator between the two."""
    text = spot.text
    left, right = text.of(node.left), text.of(node.right)
    what = said("Work the number out in another way")
    yield instead(spot, "operand_alone", what, left)
    yield instead(spot, "operand_alone", what, right)
    signs: dict[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//"}
    for kind, sign in signs.items():
        if not isinstance(node.op, kind):
            yield instead(spot, "operator", what, f"{left} {sign} {right}")
    if isinstance(node.op, ast.Mult):
        for name in (left, right):
            if name.isidentifier() or "." in name:
                squared = f"{left} * {right} ** 2" if name == right else f"{left} ** 2 * {right}"
                yield instead(spot, "squared", what, squared)


def flags(world: World, spot: Spot) -> Iterator[Draft]:
    """The other of True and False; a keyword such as `batch_first` that a call leaves out."""
    node, text = spot.node, spot.text
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield instead(spot, "flag", said("Turn a flag over"), str(not node.value))
    if isinstance(node, ast.Call):
        options: dict[str, Any] = {}
        name = called(node)
        if name in _BATCH_FIRST and not any(k.arg == "batch_first" for k in node.keywords):
            options["batch_first"] = True
        if name.startswith("MaxPool") or name.startswith("AvgPool"):
            options["ceil_mode"] = True
        if name.startswith("Conv") and not any(k.arg == "padding" for k in node.keywords):
            options["padding"] = 1
        for key, value in options.items():
            edit = text.argument(node, key, None, repr(value))
            what = said("Set an option of the layer")
            yield Draft("option", what, (edit,), spot, "", f"{key}={value!r}")


_BATCH_FIRST = (
    "LSTM",
    "GRU",
    "RNN",
    "MultiheadAttention",
    "TransformerEncoderLayer",
    "TransformerDecoderLayer",
    "Transformer",
)
