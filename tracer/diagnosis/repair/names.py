"""Edits of names and statements: another name at hand, a value that is at hand and unused, two
statements the other way round."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tracer.diagnosis.repair.draft import Draft, bracketed, instead
from tracer.diagnosis.repair.places import Spot
from tracer.diagnosis.repair.world import World, blank, local_names, walk
from tracer.document import Span
from tracer.record.scripts import Lines
from tracer.sentences import said
from tracer.source.names import definitions
from tracer.source.text import Text

MOST_NAMES = 8


def name_edits(world: World, spot: Spot) -> Iterator[Draft]:
    node = spot.node
    number = isinstance(node, ast.Subscript) and type(world.value(spot.text, node)) is int
    worked_out = isinstance(node, ast.BinOp) and spot.constructs
    if isinstance(node, ast.Name | ast.Attribute) or worked_out or (number and spot.constructs):
        yield from other_names(world, spot)
    if isinstance(node, ast.Tuple):
        yield from thrown_away(world, spot, node)
    yield from unused_values(world, spot)


def _plain(spot: Spot) -> bool:
    node = spot.node
    return not isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)


def other_names(world: World, spot: Spot) -> Iterator[Draft]:
    """Names of the same kind of thing: another tensor, number, layer or list."""
    node, text = spot.node, spot.text
    if not _plain(spot):
        return
    own = world.value(text, node)
    tensor = world.tensor(text, node)
    if own is None and tensor is None:
        return
    scope = world.scope(text, node)
    what = said("Use another value that is at hand")
    written = text.of(node)
    found: list[tuple[int, str]] = []
    for name, value in choices(scope, node, world, text):
        if name == written:
            continue
        if _exchangeable(world, own, tensor, value):
            found.append((unlike(name, written), name))
    if type(own) is int and spot.constructs:
        found += [(unlike(each, written), each) for each in _worked_out(world, spot, own)]
    found.sort(key=lambda item: item[0])
    layer = "layer" if isinstance(own, nn.Module) else type(own).__name__
    kind = "name_tensor" if tensor is not None else f"name_{layer}"
    above = text.parents.get(node)
    if tensor is not None and isinstance(above, ast.Attribute) and above.attr == "shape":
        kind = "name_sizes"  # its sizes alone are read
    for _, name in found[:MOST_NAMES]:
        yield instead(spot, kind, what, name)


def _worked_out(world: World, spot: Spot, own: int) -> Iterator[str]:
    """Other numbers that the function works out: `(kernel - 1) * dilation` for `kernel - 1`."""
    text, function = spot.text, spot.text.function(spot.node)
    found: dict[str, None] = {}
    for node in walk(function) if function is not None else ():
        if isinstance(node, ast.BinOp) and not any(each is spot.node for each in walk(node)):
            values = [v for v in world.values(text, node) if type(v) is int]
            if values and values != [own]:
                found[text.of(node)] = None
    yield from list(found)[:MOST_NAMES]


def _exchangeable(world: World, own: Any, tensor: Tensor | None, value: Any) -> bool:
    """Whether one value may be meant where another is written."""
    if tensor is not None:
        alike = isinstance(value, Tensor) and tuple(value.shape) == tuple(tensor.shape)
        by_values = world.finding.kind in ("range", "dtype", "index")
        return isinstance(value, Tensor) and (not alike or by_values)
    kinds = (nn.Module, int, list, tuple, str, float)
    return isinstance(own, kinds) and type(value) is type(own) and _differ(value, own)


def _differ(one: Any, other: Any) -> bool:
    try:
        return bool(one is not other and one != other)
    except (RuntimeError, ValueError):  # tensors in lists
        return True


def choices(scope: Any, node: ast.AST, world: World, text: Text) -> Iterator[tuple[str, Any]]:
    """Names that can be read where a node is: local ones, and fields beside the one it reads."""
    function = text.function(node)
    local = local_names(function) if function is not None else frozenset()
    for name, value in scope.items():
        if name in local and name != "self":
            yield name, value
    base = node.value if isinstance(node, ast.Attribute) else None
    owners = [("self", scope.get("self"))] if scope.get("self") is not None else []
    if base is not None and text.of(base) != "self":
        owners.insert(0, (text.of(base), world.value(text, base)))
    for name, owner in owners:
        table = dict(vars(owner)) if hasattr(owner, "__dict__") else {}
        if isinstance(owner, nn.Module):
            table |= {**owner._modules, **owner._parameters, **owner._buffers}
        for key, value in list(table.items())[:80]:
            if not key.startswith("_"):
                yield f"{name}.{key}", value


def unlike(name: str, written: str) -> int:
    """How unlike two names are: letters that are not common at both ends."""
    front = len(list(itertools.takewhile(lambda p: p[0] == p[1], zip(name, written, strict=False))))
    back = len(
        list(
            itertools.takewhile(
                lambda p: p[0] == p[1], zip(reversed(name), reversed(written), strict=False)
            )
        )
    )
    return max(len(name), len(written)) - max(front, back)


def thrown_away(world: World, spot: Spot, node: ast.Tuple) -> Iterator[Draft]:
    """`x, _, _ = f(x)`: what is thrown away takes the names that are read below."""
    text = spot.text
    if not isinstance(node.ctx, ast.Store):
        return
    blanks = [e for e in node.elts if isinstance(e, ast.Name) and e.id.startswith("_")]
    function = text.function(node)
    if not blanks or function is None:
        return
    names = [
        n.id
        for n in walk(function)
        if isinstance(n, ast.Name)
        and isinstance(n.ctx, ast.Load)
        and n.lineno > node.lineno
        and not n.id.startswith("_")
    ]
    kept = {e.id for e in node.elts if isinstance(e, ast.Name)}
    order = [name for name in dict.fromkeys(names) if name not in kept and name != "self"]
    what = said("Keep what is thrown away")
    for start in range(len(order)):
        chosen = order[start : start + len(blanks)]
        if len(chosen) == len(blanks):
            edits = tuple(
                text.replace(blank, name) for blank, name in zip(blanks, chosen, strict=True)
            )
            given = iter(chosen)
            new = ", ".join(next(given) if e in blanks else text.of(e) for e in node.elts)
            yield Draft("thrown_away", what, edits, spot, text.of(node), new)


def unused_values(world: World, spot: Spot) -> Iterator[Draft]:
    """A tensor that the function has and does not use, joined or added here."""
    node, text = spot.node, spot.text
    if not isinstance(node, ast.expr) or not _plain(spot) or spot.constructs:
        return
    if isinstance(node, ast.Constant) or not isinstance(node, ast.Name | ast.Call | ast.Attribute):
        return
    above = text.parents.get(node)
    if isinstance(above, ast.Call) and above.func is node:
        return
    tensor = world.tensor(text, node)
    function = text.function(node)
    if tensor is None or function is None or tensor.dim() < 2:
        return
    scope = world.scope(text, node)
    prefix = next((name for name, value in scope.items() if value is torch), "")
    written = text.of(node)
    for name in _unused(text, function, scope):
        other = scope.get(name)
        candidates = [(name, other)]
        if isinstance(other, list | tuple) and other and isinstance(other[-1], Tensor):
            candidates = [(f"{name}[-1]", other[-1]), (f"{name}.pop()", other[-1])]
        for label, value in candidates:
            if not isinstance(value, Tensor) or name == written:
                continue
            if prefix and value.dim() == tensor.dim():
                for axis in range(tensor.dim()):
                    rest = [n for n in range(tensor.dim()) if n != axis]
                    if axis and all(value.shape[n] == tensor.shape[n] for n in rest):
                        joined = said("Join the value that is not used yet")
                        ways = (f"[{written}, {label}]", f"[{label}, {written}]")
                        for both in ways:
                            yield instead(
                                spot, "use_joined", joined, f"{prefix}.cat({both}, {axis})"
                            )
            if tuple(value.shape) == tuple(tensor.shape):
                added = said("Add the value that is not used yet")
                yield instead(spot, "use_added", added, f"({bracketed(text, node)} + {label})")


def _unused(text: Text, function: ast.AST, scope: Any) -> list[str]:
    """Names that are given and never read."""
    read: dict[str, int] = {}
    for node in walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            above = text.parents.get(node)
            if isinstance(above, ast.Attribute) and above.attr in ("append", "shape", "size"):
                continue
            read[node.id] = read.get(node.id, 0) + 1
    return [name for name in scope if name not in read and (_defined(function, name))]


def _defined(function: ast.AST, name: str) -> bool:
    if definitions(function, name):
        return True
    return any(a.arg == name for a in walk(function) if isinstance(a, ast.arg))


# --- statements ---------------------------------------------------------------------------------


def statement_edits(world: World, statements: list[tuple[Spot, ast.stmt]]) -> Iterator[Draft]:
    """Neighbouring statements the other way round; one left out."""
    seen: set[ast.AST] = set()
    for spot, statement in statements:
        if statement in seen or isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Return):
            continue
        seen.add(statement)
        text = spot.text
        above = text.parents.get(statement)
        block = next(
            (
                own
                for name in ("body", "orelse")
                if isinstance(own := getattr(above, name, None), list) and statement in own
            ),
            [],
        )
        place = block.index(statement) if block else -1
        for other in (place - 1, place + 1):
            if 0 <= other < len(block) and _simple(block[other]) and _simple(statement):
                first, second = sorted((statement, block[other]), key=lambda s: s.lineno)
                if not _depend(first, second) or not _may_run(world, text, block[other]):
                    continue
                edits = (text.replace(first, text.of(second)), text.replace(second, text.of(first)))
                yield Draft(
                    "swap_statements",
                    said("Put two statements the other way round"),
                    edits,
                    spot,
                    f"{text.of(first)}; {text.of(second)}",
                    f"{text.of(second)}; {text.of(first)}",
                )
        if _reassigns(statement) and len(block) > 1 and not spot.constructs:
            written = text.of(statement)
            yield Draft(
                "drop_statement",
                said("Leave a statement out"),
                (text.replace(statement, "pass"),),
                spot,
                written,
                "",
            )


def _depend(first: ast.stmt, second: ast.stmt) -> bool:
    """Whether it matters which of two statements runs first: one gives a name that the other has,
    or changes what both have."""
    names = [{n.id for n in walk(each) if isinstance(n, ast.Name)} for each in (first, second)]
    given = {
        n.id
        for each in (first, second)
        for n in walk(each)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    changes = isinstance(first, ast.Expr) or isinstance(second, ast.Expr)
    return bool(names[0] & names[1] & (names[0] if changes else given))


def _may_run(world: World, text: Text, statement: ast.stmt) -> bool:
    """Whether a statement may be run once more: of a script only what led to its failure is known
    to leave things as they are."""
    return not isinstance(world.crash.model, Lines) or world.runs(text, statement)


def _simple(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr | ast.AnnAssign)


def _reassigns(statement: ast.stmt) -> bool:
    """It gives a name a value that is made of the name's own."""
    if isinstance(statement, ast.AugAssign):
        return True
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return False
    target = statement.targets[0]
    if not isinstance(target, ast.Name):
        return False
    return any(isinstance(n, ast.Name) and n.id == target.id for n in walk(statement.value))


def entries(world: World, spot: Spot) -> Iterator[tuple[str, Tensor, Span, str]]:
    """The tensors that a running function is given: name, shape, where a statement can be put
    first, and how far it is indented."""
    text = spot.text
    function = text.function(spot.node)
    if not isinstance(function, ast.FunctionDef):
        return
    body = function.body
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(body) > 1:
        first = body[1]
    if first.lineno == function.lineno:
        return
    at = text.span(first)
    start = Span(at.line, at.column, at.line, at.column)
    scope = world.scope(text, first)
    for argument in function.args.args:
        value = scope.get(argument.arg)
        if isinstance(value, Tensor):
            yield argument.arg, blank(value.shape, value.dtype), start, " " * at.column
