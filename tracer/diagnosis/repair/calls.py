"""Edits of a call: its arguments in another order, another dimension, an option, no call."""

from __future__ import annotations

import ast
import inspect
import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tracer.diagnosis.repair.draft import Draft, behind, bracketed, instead, written_with
from tracer.diagnosis.repair.places import Spot
from tracer.diagnosis.repair.world import World, local_names
from tracer.document import Edit, Span
from tracer.sentences import said
from tracer.source.built import parameters_of
from tracer.source.text import called, code_of

_REDUCING = "mean sum amax amin max min norm logsumexp prod std var any all"
_ALONG = """
    cat stack concat softmax log_softmax flatten squeeze unsqueeze transpose chunk split select
    argmax argmin cumsum permute movedim unflatten narrow index_select repeat_interleave unbind
    topk sort gather scatter scatter_add index_add flip roll normalize glu tile expand repeat
    view reshape Flatten Unflatten Softmax size
"""
REDUCING = frozenset(_REDUCING.split())
ALONG = frozenset(_ALONG.split()) | REDUCING

_TWINS = {
    "view": ("reshape",),
    "cat": ("stack",),
    "stack": ("cat",),
    "bmm": ("matmul",),
    "mm": ("matmul",),
    "dot": ("matmul",),
    "chunk": ("split",),
    "split": ("chunk",),
}


def call_edits(world: World, spot: Spot) -> Iterator[Draft]:
    node = spot.node
    if isinstance(node, ast.Call):
        yield from swapped_arguments(spot, node)
        yield from dropped(world, spot, node)
        yield from kept_dimension(spot, node)
        yield from squeezed(world, spot, node)
        yield from another_function(world, spot, node)
        yield from joined_along(spot, node)
        yield from passed_on(world, spot, node)
        yield from by_name(world, spot, node)
        yield from of_all_dimensions(world, spot, node)
        yield from sizes_given(world, spot, node)
    if isinstance(node, ast.Starred):
        backwards = f"*{bracketed(spot.text, node.value)}[::-1]"
        yield instead(spot, "reverse", said("Put the items in reverse order"), backwards)
    if isinstance(node, ast.Tuple | ast.List):
        yield from swapped_items(spot, node)
    yield from dimensions(world, spot)
    yield from patterns(spot)
    yield from products(world, spot)
    yield from items(spot)


def swapped_arguments(spot: Spot, node: ast.Call) -> Iterator[Draft]:
    args = node.args
    if not 2 <= len(args) <= 7 or any(isinstance(item, ast.Starred) for item in args):
        return
    what = said("Give the arguments in another order")
    pairs = itertools.combinations(range(len(args)), 2)
    for i, j in sorted(pairs, key=lambda pair: pair[1] - pair[0]):
        yield from _exchanged(spot, "swap_arguments", what, node, args[i], args[j])


def _exchanged(spot, kind, what, node, left, right) -> Iterator[Draft]:  # type: ignore[no-untyped-def]
    text = spot.text
    one, other = text.of(left), text.of(right)
    if one == other:
        return
    edits = (text.replace(left, other), text.replace(right, one))
    old = text.of(node)
    first, second = text.span(left), text.span(right)
    new = f"… {other}, {one} …"
    whole = text.span(node)
    if whole.line == whole.end_line:
        start = whole.column
        new = (
            old[: first.column - start]
            + other
            + old[first.end_column - start : second.column - start]
            + one
            + old[second.end_column - start :]
        )
    yield Draft(kind, what, edits, spot, old, new)


def swapped_items(spot: Spot, node: ast.Tuple | ast.List) -> Iterator[Draft]:
    if isinstance(node.ctx, ast.Store) and len(node.elts) > 5:
        return
    what = said("Put two items in another order")
    if len(node.elts) <= 8:
        pairs = itertools.combinations(range(len(node.elts)), 2)
        for i, j in sorted(pairs, key=lambda pair: pair[1] - pair[0])[:12]:
            yield from _exchanged(spot, "swap_items", what, node, node.elts[i], node.elts[j])
    sizes = all(isinstance(each, ast.Constant | ast.Name) for each in node.elts)
    if isinstance(node.ctx, ast.Load) and len(node.elts) == 3 and sizes:
        first, second, third = map(spot.text.of, node.elts)
        opened, closed = ("[", "]") if isinstance(node, ast.List) else ("(", ")")
        for order in ((third, first, second), (second, third, first)):
            yield instead(spot, "turn_items", what, f"{opened}{', '.join(order)}{closed}")
    if isinstance(node.ctx, ast.Load) and 2 <= len(node.elts) <= 8:
        for place in range(len(node.elts)):
            rest = [spot.text.of(e) for n, e in enumerate(node.elts) if n != place]
            opened, closed = ("[", "]") if isinstance(node, ast.List) else ("(", ")")
            comma = "," if isinstance(node, ast.Tuple) and len(rest) == 1 else ""
            new = f"{opened}{', '.join(rest)}{comma}{closed}"
            written = spot.text.of(node)
            if isinstance(node, ast.Tuple) and not written.startswith("("):
                new = ", ".join(rest) + comma
            yield instead(spot, "drop_item", said("Leave an item out"), new)


def dropped(world: World, spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """The value without what the call does to it."""
    what = said("Leave a call out")
    func = node.func
    if isinstance(func, ast.Attribute):
        base = world.tensor(spot.text, func.value)
        if base is not None or isinstance(func.value, ast.Call):
            yield instead(spot, "drop_call", what, bracketed(spot.text, func.value))
            return
    if node.args and isinstance(node.args[0], ast.expr) and not spot.constructs:
        if isinstance(node.args[0], ast.List | ast.Tuple):
            for item in node.args[0].elts[:3]:
                yield instead(spot, "drop_call", what, spot.text.of(item))
        elif not isinstance(node.args[0], ast.Starred):
            yield instead(spot, "drop_call", what, bracketed(spot.text, node.args[0]))


def kept_dimension(spot: Spot, node: ast.Call) -> Iterator[Draft]:
    text = spot.text
    for keyword in node.keywords:
        if keyword.arg == "keepdim" and isinstance(keyword.value, ast.Constant):
            return  # a flag, turned over as such
    if called(node) in REDUCING and (node.args or node.keywords):
        edit = text.argument(node, "keepdim", None, "True")
        old = text.of(node)
        what = said("Keep the dimension that is reduced")
        yield Draft("keepdim", what, (edit,), spot, old, old[:-1] + ", keepdim=True)")


def squeezed(world: World, spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """`squeeze()` of one dimension alone."""
    if called(node) != "squeeze" or not isinstance(node.func, ast.Attribute):
        return
    text = spot.text
    if node.args and not isinstance(world.value(text, node.func.value), type(torch)):
        return
    base = text.of(node.func)
    what = said("Keep the batch")
    yield instead(spot, "squeeze_flat", what, f"{text.of(node.func.value)}.flatten(1)")
    what = said("Drop one dimension alone")
    for axis in (-1, 1, 2, 3, 0):
        yield instead(spot, "squeeze_one", what, f"{base}({axis})")


def another_function(world: World, spot: Spot, node: ast.Call) -> Iterator[Draft]:
    func = node.func
    listed = len(node.args) == 1 and isinstance(node.args[0], ast.ListComp | ast.Name)
    torch_ = _torch(world, spot) if called(node) == "stack" and listed else ""
    if torch_:
        what = said("Pad each to the longest")
        padded = (
            f"{torch_}.nn.utils.rnn.pad_sequence({spot.text.of(node.args[0])}, batch_first=True)"
        )
        yield instead(spot, "ragged", what, padded)
    for name in _TWINS.get(called(node), ()):
        new = f"{spot.text.of(func.value)}.{name}" if isinstance(func, ast.Attribute) else name
        yield instead(spot, "function", said("Call the related function"), new, func)


def joined_along(spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """Another dimension where none is given."""
    given = len(node.args) > 1 or any(k.arg in ("dim", "axis") for k in node.keywords)
    if called(node) not in ("cat", "stack", "concat", "concatenate") or given or not node.args:
        return
    old = spot.text.of(node)
    for dim in (1, -1, 2):
        edit = spot.text.argument(node, "dim", None, str(dim))
        new = f"{old[:-1]}, dim={dim})"
        yield Draft("join_dim", said("Join along another dimension"), (edit,), spot, old, new)


def passed_on(world: World, spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """An argument that the called has and does not get, where a name at hand is called like it."""
    text, function = spot.text, spot.text.function(node)
    if function is None:
        return
    wanted = parameters(world, spot, node)
    known = {k.arg for k in node.keywords} | set(wanted[: len(node.args)])
    old = text.of(node)
    names = local_names(function)
    for name in wanted:
        if name in known or name == "self":
            continue
        owner = "cfg." if f"cfg.{name}" in text.of(function) else ""
        if not owner and name not in names:
            continue
        edit = text.argument(node, name, None, f"{owner}{name}")
        new = f"{old[:-1]}, {name}={owner}{name})"
        what = said("Pass on what is at hand")
        yield Draft("passed_on", what, (edit,), spot, old, new)


def by_name(world: World, spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """What a call gives by its place, given for another of the arguments that may be left out:
    `layer(x, src_key_padding_mask=pad)`."""
    text = spot.text
    layer, known = world.value(text, node.func), {k.arg for k in node.keywords}
    plain = not any(isinstance(item, ast.Starred) for item in node.args)
    if len(node.args) < 2 or not plain or not isinstance(layer, nn.Module):
        return
    last, old = node.args[-1], text.of(node)
    wanted = list(inspect.signature(layer.forward).parameters.values())
    left_out = [each.name for each in wanted if each.default is None]
    names = [each.name for each in wanted[: len(node.args)]]
    if world.tensor(text, last) is None or not names or names[-1] not in left_out:
        return
    for name in left_out:
        if name not in known and name not in names:
            edit = text.replace(last, f"{name}={text.of(last)}")
            what = said("Give it for another argument, by name")
            new = written_with(text, node, [last], edit.replacement)
            yield Draft("by_name", what, (edit,), spot, old, new)


def of_all_dimensions(world: World, spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """A `permute` that was written for tensors of fewer or more dimensions."""
    func, text = node.func, spot.text
    if called(node) != "permute" or not isinstance(func, ast.Attribute):
        return
    base = world.tensor(text, func.value)
    rank = base.dim() if base is not None else 0
    inside = len(node.args) > 1
    if not 3 <= rank <= 6 or (inside and len(node.args) == rank):
        return
    what = said("Put as many dimensions in order as there are")
    own = text.of(func)
    ahead, behind_ = [0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1]
    for order in (ahead, behind_, [rank - 1, *range(rank - 1)], [*range(1, rank), 0]):
        yield instead(spot, "of_all", what, f"{own}({', '.join(map(str, order))})")


def sizes_given(world: World, spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """Sizes of a new shape in the place of those that are written, where several are at hand
    together: `view(b, c, *size)`."""
    text, func = spot.text, node.func
    if called(node) not in ("view", "reshape", "unflatten") or not isinstance(func, ast.Attribute):
        return
    base = world.tensor(text, func.value)
    several = next((each for each in node.args if isinstance(each, ast.Tuple | ast.List)), None)
    split = called(node) == "unflatten"
    items = several.elts if several is not None else [] if split else node.args
    if base is None or not items or any(isinstance(each, ast.Starred) for each in items):
        return
    axis = world.value(text, node.args[0]) if split else None
    total = base.shape[axis] if type(axis) is int else base.numel()
    values = [world.value(text, each) for each in items]
    what = said("Write the sizes that are at hand")
    for name, sizes in _sizes(world, spot):
        for start in range(len(items) - len(sizes) + 1):
            rest = [*values[:start], *values[start + len(sizes) :]]
            if not _can_be(total, [*rest, *sizes]) or sizes == tuple(
                values[start : start + len(sizes)]
            ):
                continue
            if several is not None and len(sizes) == len(items):
                yield instead(spot, "sizes_given", what, name, several)
                continue
            first, last = (text.span(items[n]) for n in (start, start + len(sizes) - 1))
            span = Span(first.line, first.column, last.end_line, last.end_column)
            edit = Edit(text.file, span, f"*{name}")
            yield Draft("sizes_given", what, (edit,), spot, text.cut(span), f"*{name}")


def _sizes(world: World, spot: Spot) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Two or three whole numbers under one name, and what is behind the channels of a tensor."""
    scope = world.scope(spot.text, spot.node)
    owner = scope.get("self")
    own = vars(owner).items() if isinstance(owner, nn.Module) else ()
    named = [*scope.items(), *((f"self.{name}", value) for name, value in own)]
    for name, value in named:
        if isinstance(value, Tensor):
            name, value = f"{name}.shape[2:]", tuple(value.shape[2:])
        whole = isinstance(value, tuple | list) and all(type(each) is int for each in value)
        if whole and 2 <= len(value) <= 3:
            yield name, tuple(value)


def _can_be(total: int, sizes: list[Any]) -> bool:
    """Whether a tensor of so many elements can have these sizes, one of which may be -1."""
    if any(type(each) is not int for each in sizes) or sizes.count(-1) > 1:
        return False
    known = math.prod(each for each in sizes if each != -1)
    return known == total or (-1 in sizes and known > 0 and total % known == 0)


def parameters(world: World, spot: Spot, node: ast.Call) -> list[str]:
    """The names of the arguments of what is called."""
    value = world.value(spot.text, node.func)
    if value is None and isinstance(node.func, ast.Attribute):
        value = getattr(nn, node.func.attr, None)
    if isinstance(value, type):
        return parameters_of(value)
    function = getattr(value, "forward", value)
    code = code_of(function)
    if code is None:
        return []
    names = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    return names[1:] if names[:1] == ["self"] else names


def dimensions(world: World, spot: Spot) -> Iterator[Draft]:
    """Another dimension for an argument that names one."""
    node, text = spot.node, spot.text
    number = _literal(node)
    if number is None or not -6 <= number <= 6:
        return
    above = text.parents.get(node)
    inside = above
    if isinstance(above, ast.keyword):
        if above.arg not in ("dim", "axis", "start_dim", "end_dim", "dims", "dim0", "dim1"):
            return
        inside = text.parents.get(above)
    elif isinstance(above, ast.Tuple | ast.List):
        inside = text.parents.get(above)
        inside = text.parents.get(inside) if isinstance(inside, ast.keyword) else inside
    elif isinstance(above, ast.UnaryOp):
        return
    if isinstance(inside, ast.Subscript):
        return
    if not isinstance(inside, ast.Call) or called(inside) not in ALONG:
        return
    what = said("Take another dimension")
    rank = 4
    if isinstance(inside.func, ast.Attribute):
        base = world.tensor(text, inside.func.value)
        if base is not None:
            rank = base.dim()
    highest = rank + (called(inside) in ("unsqueeze", "stack"))
    for other in [*range(highest), -1, -2]:
        if other != number and (other >= 0 or number < 0 or other == -1):
            yield instead(spot, "dim", what, str(other))


def _literal(node: ast.AST) -> int | None:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _literal(node.operand)
        return None if inner is None else -inner
    return None


def items(spot: Spot) -> Iterator[Draft]:
    """The item beside, of what is indexed by a number or a name; a slice one longer or shorter."""
    node, text = spot.node, spot.text
    if not isinstance(node, ast.Subscript) or isinstance(node.ctx, ast.Del):
        return
    what = said("Take another item")
    index = node.slice
    if isinstance(index, ast.Name | ast.BinOp | ast.Constant | ast.UnaryOp):
        written = text.of(index)
        number = _literal(index)
        if number is not None:
            for other in dict.fromkeys((number + 1, number - 1, -1 - number, 0, -1, -2)):
                if other != number:
                    yield instead(spot, "item", what, str(other), index)
        elif not (isinstance(index, ast.Constant)):
            for new in (f"{written} + 1", f"{written} - 1", f"-1 - {written}", f"-{written} - 1"):
                yield instead(spot, "item", what, new, index)
            if isinstance(index, ast.BinOp):
                yield instead(spot, "item", what, text.of(index.left), index)
    if isinstance(index, ast.Slice) and not isinstance(node.ctx, ast.Store):
        base = text.of(node.value)
        yield instead(spot, "no_slice", said("Take all items"), base)
        for bound in (index.lower, index.upper):
            number = _literal(bound) if bound is not None else None
            if number is not None and bound is not None:
                for other in (number + 1, number - 1):
                    yield instead(spot, "slice", what, str(other) if other else "None", bound)


def patterns(spot: Spot) -> Iterator[Draft]:
    """Letters of an einsum or einops pattern."""
    node, text = spot.node, spot.text
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return
    above = text.parents.get(node)
    if not isinstance(above, ast.Call) or called(above) not in (
        "einsum",
        "rearrange",
        "repeat",
        "reduce",
        "Rearrange",
    ):
        return
    equation = node.value
    if called(above) != "einsum" or "\n" in text.of(node):
        return
    quote = text.of(node)[0]
    what = said("Other letters in the pattern")
    letters = [n for n, sign in enumerate(equation) if sign.isalpha()]
    made: dict[str, None] = {}
    terms = re.split(r"(,|->)", equation)
    for place, term in enumerate(terms):
        if term.isalpha() and len(term) <= 4:
            for order in itertools.permutations(term):
                made["".join([*terms[:place], *order, *terms[place + 1 :]])] = None
    for i, j in itertools.pairwise(letters):
        if j == i + 1:
            made[equation[:i] + equation[j] + equation[i] + equation[j + 1 :]] = None
    known = sorted(set(filter(str.isalpha, equation)))
    for n in letters:
        for other in known:
            if other != equation[n]:
                made[equation[:n] + other + equation[n + 1 :]] = None
    for n in letters:
        made[equation[:n] + equation[n + 1 :]] = None
    for new in list(made)[:150]:
        if new != equation:
            yield instead(spot, "einsum", what, f"{quote}{new}{quote}")


def products(world: World, spot: Spot) -> Iterator[Draft]:
    """Operands of a product or an addition: the other way round, turned, or multiplied by
    elements."""
    node, text = spot.node, spot.text
    if not isinstance(node, ast.BinOp) or world.tensor(text, node.left) is None:
        return
    left, right = bracketed(text, node.left), bracketed(text, node.right)
    if isinstance(node.op, ast.MatMult):
        what = said("Multiply in another order")
        yield instead(spot, "matmul_order", what, f"{right} @ {left}")
        yield instead(
            spot, "matmul_elements", said("Multiply element by element"), f"{left} * {right}"
        )
    elif isinstance(node.op, ast.Mult):
        yield instead(spot, "matmul", said("Multiply as matrices"), f"{left} @ {right}")
    if isinstance(node.op, ast.Add):
        alias = _torch(world, spot)
        if alias:
            what = said("Join the two instead of adding them")
            for dim in (1, -1):
                yield instead(spot, "join", what, f"{alias}.cat([{left}, {right}], {dim})")


def _torch(world: World, spot: Spot) -> str:
    for name, value in world.scope(spot.text, spot.node).items():
        if value is torch:
            return name
    return ""


def layers(world: World, spot: Spot) -> Iterator[Draft]:
    """A layer put in or taken out where an nn.Sequential is written."""
    node, text = spot.node, spot.text
    if not isinstance(node, ast.Call) or not spot.constructs:
        return
    above = text.parents.get(node)
    prefix = next((name for name, value in world.scope(text, node).items() if value is nn), "")
    listed = isinstance(above, ast.List) or (
        isinstance(above, ast.Call) and called(above) == "Sequential" and node in above.args
    )
    if not listed or not prefix:
        return
    own = text.of(node)
    what = said("Put a layer in front of this one")
    for layer in ("Flatten()", "Flatten(2)", "AdaptiveAvgPool2d(1)"):
        new = f"{prefix}.{layer}, {own}"
        span = text.span(node)
        edit = text.before(node, f"{prefix}.{layer}, ")
        assert isinstance(span, Span)
        yield Draft("insert_layer", what, (edit,), spot, own, new)
    pooled = f"{prefix}.AdaptiveAvgPool2d(1), {prefix}.Flatten(), "
    yield Draft("insert_layer", what, (text.before(node, pooled),), spot, own, pooled + own)
    for rank in _ranks(world) if called(node) == "Flatten" else ():
        pool = f"{prefix}.AdaptiveAvgPool{rank}d(1), "
        yield Draft("insert_pool", what, (text.before(node, pool),), spot, own, pool + own)


def _ranks(world: World) -> list[int]:
    """How many dimensions the model's convolutions go along."""
    kinds = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
    return [
        n for n, kind in kinds.items() if any(type(m) is kind for m in world.crash.model.modules())
    ]


def _several(world: World, spot: Spot) -> Iterator[Draft]:
    value = world.value(spot.text, spot.node)
    if isinstance(value, list | tuple) and len(value) > 1:
        yield behind(spot, "reverse", said("Put the items in reverse order"), "[::-1]")
        if not spot.constructs:  # a model with a part less runs nearly always
            yield behind(spot, "fewer", said("Leave an item out"), "[1:]")
            yield behind(spot, "fewer", said("Leave an item out"), "[:-1]")


def tuple_result(world: World, spot: Spot) -> Iterator[Draft]:
    """The first of several results; several in another order, or fewer."""
    node = spot.node
    if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
        yield from _several(world, spot)
    if not isinstance(node, ast.Call | ast.Name) or spot.constructs:
        return
    if isinstance(getattr(node, "ctx", None), ast.Store):
        return
    above = spot.text.parents.get(node)
    if isinstance(above, ast.Call) and above.func is node:
        return
    value = world.value(spot.text, node) if isinstance(node, ast.Name) else None
    made = isinstance(node, ast.Call) and isinstance(
        world.value(spot.text, node.func), nn.RNNBase | nn.MultiheadAttention
    )
    if made or (isinstance(value, tuple) and any(isinstance(v, Tensor) for v in value)):
        for n in (0, 1, -1):
            yield behind(spot, "tuple", said("Take one of several results"), f"[{n}]")
