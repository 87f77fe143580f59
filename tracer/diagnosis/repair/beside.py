"""Edits that use what stands beside and is left unused: a function that did not run, an argument
that nothing reads, a parameter left to its default; and what is done to the tensor beside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tracer.diagnosis.repair.calls import parameters
from tracer.diagnosis.repair.draft import Draft, bracketed, instead, written_with
from tracer.diagnosis.repair.names import entries
from tracer.diagnosis.repair.numbers import expressions, related
from tracer.diagnosis.repair.places import Spot
from tracer.diagnosis.repair.tensors import partners
from tracer.diagnosis.repair.world import World, local_names, walk
from tracer.document import Edit
from tracer.sentences import said
from tracer.source.built import default_of
from tracer.source.names import given_to
from tracer.source.text import Text, called, definition

MOST_CALLS = 6  # calls beside one expression that are done to it too
MOST_FUNCTIONS = 8  # of those that did not run
_OF_THE_BATCH = ("batch", "batch_size", "b", "bs", "n", "size", "length")


@dataclass(frozen=True)
class Unused:
    """A function that did not run; of a method its class is `owner`."""

    name: str
    node: ast.FunctionDef
    owner: str


def beside(world: World, spot: Spot) -> Iterator[Draft]:
    node = spot.node
    if isinstance(node, ast.Call):
        yield from arguments_left_out(world, spot, node)
    if spot.constructs or not isinstance(node, ast.Name | ast.Attribute | ast.Call):
        return
    if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
        return
    above = spot.text.parents.get(node)
    if isinstance(above, ast.Attribute) or (isinstance(above, ast.Call) and above.func is node):
        return
    if isinstance(node, ast.Call):
        yield from folded_around(world, spot, node)
    own = world.tensor(spot.text, node)
    known = own is not None
    if own is not None:
        yield from as_the_other(world, spot, node)
        yield from applied_unused(world, spot, node)
        yield from picked(world, spot, node, own)
    if known or (isinstance(node, ast.Call) and isinstance(above, ast.Return)):
        yield from through_unused(world, spot, node)


def as_the_other(world: World, spot: Spot, node: ast.expr) -> Iterator[Draft]:
    """The function that another tensor goes through beside, `main = interpolate(main, size)`, for
    this one as well."""
    text, function = spot.text, spot.text.function(node)
    own, left = text.of(node), MOST_CALLS
    for call in walk(function) if function is not None else ():
        if not isinstance(call, ast.Call) or left == 0 or any(e is node for e in walk(call)):
            continue
        first = _first_given(world, text, call)
        if first is None or text.of(first) == own:
            continue
        # A layer has weights for the one tensor.
        layer = isinstance(world.value(text, call.func), nn.Module)
        made, other = world.tensor(text, call), world.tensor(text, first)
        if layer or made is None or other is None or made.shape == other.shape:
            continue
        left -= 1
        inside = [each for each in walk(call) if _alike(text, each, first)]
        new = written_with(text, call, inside, own)
        yield instead(spot, "twin_call", said("Do what is done to another tensor"), new)


def _first_given(world: World, text: Text, call: ast.Call) -> ast.expr | None:
    """The tensor that a function is given first, `[x, x]` for the same twice, or whose method it
    is."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if owner is not None and world.tensor(text, owner) is not None:
        return owner if isinstance(owner, ast.Name | ast.Attribute) else None
    first = call.args[0] if call.args else None
    if isinstance(first, ast.List | ast.Tuple):
        first = _the_only(text, first.elts)
    return first if isinstance(first, ast.Name | ast.Attribute) else None


def _the_only(text: Text, items: list[ast.expr]) -> ast.expr | None:
    """What all of a list's items are: `x` of `[x, x]`."""
    return items[0] if items and len({text.of(each) for each in items}) == 1 else None


def _alike(text: Text, one: ast.AST, other: ast.expr) -> bool:
    return type(one) is type(other) and text.of(one) == text.of(other)


def applied_unused(world: World, spot: Spot, node: ast.expr) -> Iterator[Draft]:
    """The value through a layer that the module has and that no text reads."""
    text, owner = spot.text, world.scope(spot.text, spot.node).get("self")
    cls = text.around(node, ast.ClassDef)
    if not isinstance(owner, nn.Module) or cls is None:
        return
    read = {
        each.attr
        for each in walk(cls)
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Load)
    }
    for name, layer in owner._modules.items():
        if layer is not None and name not in read and not name.startswith("_"):
            what = said("Use a layer that is made and never applied")
            yield instead(spot, "use_layer", what, f"self.{name}({text.of(node)})")


def picked(world: World, spot: Spot, node: ast.expr, own: Tensor) -> Iterator[Draft]:
    """The rows that numbers or a mask at hand name: `state[batch]`, `attributes[kept]`."""
    text, what = spot.text, said("Take the rows that are named here")
    written = bracketed(text, node)
    wanted = world.swaps.get(int(own.shape[0]), ()) if own.dim() else ()
    for name, other in partners(world, spot):
        whole = other.dtype in (torch.int64, torch.int32) and other.dim() == 1
        mask = other.dtype == torch.bool and own.shape[:1] == other.shape
        if name == written or not wanted or not (mask or (whole and len(other) in wanted)):
            continue
        yield instead(spot, "picked", what, f"{written}[{name}]")


def folded_around(world: World, spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """The first two dimensions of an argument written as one for a call, and the result's as two
    again: frames in a batch, for a layer that knows pictures alone."""
    if not node.args or isinstance(node.args[0], ast.Starred):
        return
    text, layer = spot.text, world.value(spot.text, node.func)
    given = world.tensor(text, node.args[0])
    if not isinstance(layer, nn.Module) or given is None or given.dim() < 3:
        return
    inner, old = bracketed(text, node.args[0]), text.of(node)
    edits = (
        text.replace(node.args[0], f"{inner}.flatten(0, 1)"),
        text.after(node, f".unflatten(0, {inner}.shape[:2])"),
    )
    what = said("Write two dimensions as one for this call and as two again")
    new = f"{text.of(node.func)}({inner}.flatten(0, 1)).unflatten(0, {inner}.shape[:2])"
    yield Draft("fold_around", what, edits, spot, old, new)


# --- what did not run ----------------------------------------------------------------------------


def unused(world: World) -> list[Unused]:
    """The author's functions that did not run."""
    known: list[Unused] | None = world.unused
    if known is not None:
        return known
    found = []
    for text in world.texts:
        for top in text.tree.body:
            inside = top.body if isinstance(top, ast.ClassDef) else [top]
            for each in inside:
                if isinstance(each, ast.FunctionDef) and not world.ran(text, each):
                    owner = top.name if isinstance(top, ast.ClassDef) else ""
                    hidden = each.name.startswith("_") or each.name == "forward"
                    if not hidden and not each.decorator_list:
                        found.append(Unused(each.name, each, owner))
    world.unused = found[:MOST_FUNCTIONS]
    return world.unused


def through_unused(world: World, spot: Spot, node: ast.expr) -> Iterator[Draft]:
    """The value through a function that did not run."""
    text, function = spot.text, spot.text.function(node)
    own = text.of(node)
    for each in unused(world):
        if each.node is function:
            continue
        names = [argument.arg for argument in each.node.args.args]
        names = names[1:] if each.owner else names
        if not names or not all(default_of(each.node, name) is None for name in names[:1]):
            continue
        for callee in _callees(world, spot, each):
            for rest in _rest(world, spot, each, names[1:]):
                what = said("Use a function that did not run")
                new = f"{callee}({', '.join([own, *rest])})"
                yield instead(spot, "use_function", what, new)


def _callees(world: World, spot: Spot, each: Unused) -> Iterator[str]:
    """How a function is written where the spot is."""
    if not each.owner:
        yield each.name
        return
    owner = world.scope(spot.text, spot.node).get("self")
    for path, value in _parts(owner):
        if any(cls.__name__ == each.owner for cls in type(value).__mro__):
            yield f"self{path}.{each.name}"


def _parts(owner: Any) -> Iterator[tuple[str, Any]]:
    """An object and what its attributes are."""
    if owner is None:
        return
    yield "", owner
    table = dict(getattr(owner, "__dict__", {}))
    table |= table.get("_modules", {})
    for name, value in table.items():
        if isinstance(name, str) and not name.startswith("_") and hasattr(value, "__dict__"):
            yield f".{name}", value


def _rest(world: World, spot: Spot, each: Unused, names: list[str]) -> Iterator[list[str]]:
    """What a function is given besides: names at hand that are called like its arguments, the
    batch's size where one is called so."""
    scope = world.scope(spot.text, spot.node)
    function = spot.text.function(spot.node)
    local = local_names(function) if function is not None else frozenset()
    found: list[str] = []
    asked = ""
    for name in names:
        if default_of(each.node, name) is not None:
            continue
        if name in local and name in scope:
            found.append(name)
        elif name in _OF_THE_BATCH and not asked:
            asked = name
            found.append(asked)
        else:
            return
    if not asked:
        yield found
        return
    tensors = [name for name in local if isinstance(scope.get(name), Tensor)]
    for name in sorted(tensors)[:4]:
        yield [f"len({name})" if part == asked else part for part in found]


def calls_of_unused(world: World, spot: Spot) -> Iterator[Draft]:
    """A method that did not run and that takes nothing, `self.core.reset()`, at the entry of a
    function that ran."""
    owner = world.scope(spot.text, spot.node).get("self")
    if not isinstance(owner, nn.Module):
        return
    for each in unused(world):
        if not each.owner or len(each.node.args.args) != 1:
            continue
        paths = [
            path
            for path, module in owner.named_modules()
            if any(cls.__name__ == each.owner for cls in type(module).__mro__)
        ]
        for _, _, start, indent in list(entries(world, spot))[:1] if len(paths) == 1 else ():
            dotted = f".{paths[0]}" if paths[0] else ""
            new = f"self{dotted}.{each.name}()"
            edit = Edit(spot.text.file, start, f"{new}\n{indent}")
            yield Draft(
                "use_method", said("Call a method that did not run"), (edit,), spot, "", new
            )


# --- arguments that are left out ----------------------------------------------------------------


def arguments_left_out(world: World, spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """A parameter that a call leaves to its default: given a name that nothing reads, or the number
    that is wanted of it."""
    text, function = spot.text, spot.text.function(node)
    if any(isinstance(each, ast.Starred) for each in node.args):
        return
    target = _defined(world, text, node)
    if target is None:
        return
    names = parameters(world, spot, node)
    known = {each.arg for each in node.keywords} | set(names[: len(node.args)])
    old = text.of(node)
    opened = old[:-1].rstrip().removesuffix(",")
    comma = "" if opened.endswith("(") else ", "
    for name in names:
        default = default_of(target, name)
        if name in known or default is None:
            continue
        ways = _unread(text, function) if _is_none(default) else []
        if isinstance(default, ast.Constant) and type(default.value) is int:
            for want in list(dict.fromkeys(related(world.swaps, default.value)))[:4]:
                ways += expressions(world, text, node, want)[:2]
        for way in dict.fromkeys(ways):
            edit = text.argument(node, name, None, way)
            what = said("Pass on what is at hand")
            new = f"{opened}{comma}{name}={way})"
            yield Draft("passed_on", what, (edit,), spot, old, new)


def _defined(world: World, text: Text, node: ast.Call) -> ast.FunctionDef | None:
    """The author's function, or constructor, that is called."""
    value = world.value(text, node.func)
    value = getattr(value, "__init__" if isinstance(value, type) else "forward", value)
    try:
        found = definition(value) if callable(value) else None
    except (TypeError, ValueError):
        return None
    own = found[1] if found is not None else None
    if isinstance(own, ast.FunctionDef):
        return own
    for other in world.texts if isinstance(node.func, ast.Name) else ():
        for each in other.tree.body:
            if isinstance(each, ast.FunctionDef) and each.name == called(node):
                return each
    return None


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _unread(text: Text, function: ast.AST | None) -> list[str]:
    """The names that a function is given, or gives values, and never reads."""
    if not isinstance(function, ast.FunctionDef):
        return []
    read = {
        each.id
        for each in walk(function)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
    }
    names = [each.arg for each in (*function.args.args, *function.args.kwonlyargs)]
    names += [
        each.id
        for each in walk(function)
        if isinstance(each, ast.Name) and given_to(function, each.id)
    ]
    return [name for name in dict.fromkeys(names) if name not in read and name != "self"][:3]
