"""Edits of an expression that stands for a tensor: turned, reshaped, cut, joined, cast."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_map_only

from tracer.diagnosis.repair.draft import Draft, behind, instead, same_calls
from tracer.diagnosis.repair.places import Spot
from tracer.diagnosis.repair.world import SMALL, World, blank, walk
from tracer.document import Edit
from tracer.sentences import Said, said
from tracer.source.text import called

Suffixed = tuple[str, Said, str]
"""A production's name, what it is for, and what is written behind the expression."""

MOST_TENSORS = 22  # expressions that are edited so
NEAR = 1.3
AT_THE_FAILURE = frozenset(
    [
        "select",
        "sum",
        "cut_one",
        "argmax",
        "mean_kept",
        "add_axes",
        "repeat",
        "shift",
        "cut",
        "cut_last",
    ]
)
"""What is done to a tensor where it is used rather than where it is made."""


def value_edits(world: World, spot: Spot) -> Iterator[Draft]:
    """All edits of one tensor expression."""
    node = spot.node
    if not isinstance(node, ast.expr) or not _stands_alone(spot):
        return
    tensor = world.tensor(spot.text, node)
    if tensor is None and isinstance(node, ast.Call):  # what failed gave none
        yield from axis_around(world, spot, node)
    if tensor is None or tensor.dim() > 6:
        return
    if isinstance(node, ast.Call) and gives_several(world, spot):
        yield from turned_around(world, spot, node)
        yield from axis_around(world, spot, node)
        return
    check = _checker(world, spot, tensor)
    far = spot.distance > NEAR
    for kind, what, suffix in suffixes(world, spot, tensor):
        fits = check(suffix)
        at_the_failure = kind in AT_THE_FAILURE and not fits
        if far and at_the_failure and not (kind == "repeat" and called_twice(spot)):
            continue
        if fits is False or (fits is None and kind == "add_axes"):
            continue
        own = suffix == ".unsqueeze(0)" and world.lacks_batch(spot.text, node, spot.text.of(node))
        yield behind(spot, kind, what, suffix, fits=fits, batches=not own)
    for kind, what, new in (
        *wrappings(world, spot, tensor),
        *indices(world, spot, tensor),
        *both_directions(world, spot, tensor),
    ):
        yield instead(spot, kind, what, new)
    if isinstance(node, ast.Call):
        yield from turned_around(world, spot, node)
        yield from axis_around(world, spot, node)
        yield from sized(world, spot)


def gives_several(world: World, spot: Spot) -> bool:
    """Whether it is a call that gives several tensors, of which nothing can be asked as one."""
    step = world.steps.get((spot.text.file, spot.text.span(spot.node)))
    return step is not None and len(step.outputs) > 1


def called_twice(spot: Spot) -> bool:
    """Whether the statement calls the same function for another value too: `split(k), split(v)`."""
    return isinstance(spot.node, ast.Call) and len(same_calls(spot.text, spot.node)) > 1


def _stands_alone(spot: Spot) -> bool:
    """Not the called part of a call, nor a name that is assigned, nor inside a text."""
    above = spot.text.parents.get(spot.node)
    if isinstance(above, ast.Call) and above.func is spot.node:
        return False
    if isinstance(above, ast.Attribute) and above.attr in ("shape", "size", "device", "dtype"):
        return False
    if isinstance(getattr(spot.node, "ctx", None), ast.Store | ast.Del):
        return False
    return spot.text.around(spot.node, ast.JoinedStr) is None


def suffixes(world: World, spot: Spot, tensor: Tensor) -> Iterator[Suffixed]:
    shape = tuple(tensor.shape)
    yield from turns(shape)
    yield from axes(shape, max((len(o.note.shape) for o in world.failure.operands), default=0))
    yield from groupings(world, spot, shape)
    yield from reductions(shape)
    yield from cuts(world, spot, shape)
    yield from spread(world, spot, shape)
    yield from casts(tensor, asks_for_flags(world))
    yield from classes(world, spot, tensor)
    yield from as_beside(spot, shape)


# --- one family each ----------------------------------------------------------------------------


def turns(shape: tuple[int, ...]) -> Iterator[Suffixed]:
    rank = len(shape)
    for i, j in itertools.combinations(range(rank), 2):
        if shape[i] != shape[j]:
            yield "turn", said("Swap two dimensions"), f".transpose({i}, {j})"
    orders = set()
    for start in (0, 1, 2):
        if rank - start >= 3:
            inner = list(range(start, rank))
            orders.add((*range(start), *inner[1:], inner[0]))
            orders.add((*range(start), inner[-1], *inner[:-1]))
    for order in sorted(orders):
        if tuple(shape[axis] for axis in order) != shape:
            written = ", ".join(map(str, order))
            yield "turn", said("Put the dimensions in another order"), f".permute({written})"


def axes(shape: tuple[int, ...], most: int = 0) -> Iterator[Suffixed]:
    """
    Args:
        most: the largest number of dimensions that an operand of the failing operation has.
    """
    rank = len(shape)
    if rank <= 4:
        for axis in range(rank + 1):
            at = -1 if axis == rank and rank > 1 else axis
            yield "add_axis", said("Give it a dimension of size 1"), f".unsqueeze({at})"
    if rank <= 3:
        for i, j in itertools.combinations(range(rank + 2), 2):
            parts = iter([":"] * rank)
            written = ", ".join("None" if n in (i, j) else next(parts) for n in range(rank + 2))
            while written.endswith(", :"):
                written = written[:-3]
            yield "add_axes", said("Give it two dimensions of size 1"), f"[{written}]"
    new = most - rank
    if new > 2:
        for place in range(1, rank + 1):
            written = ", ".join([*[":"] * place, *["None"] * new])
            what = said("Give it {count} dimensions of size 1", count=new)
            yield "add_axes", what, f"[{written}]"
    for axis, size in enumerate(shape):
        if size == 1:
            yield "drop_axis", said("Drop a dimension of size 1"), f".squeeze({axis})"


def groupings(world: World, spot: Spot, shape: tuple[int, ...]) -> Iterator[Suffixed]:
    rank = len(shape)
    for i, j in itertools.combinations(range(rank), 2):
        end = "" if j == rank - 1 else f", {j}"
        if shape[i] * shape[j] > max(shape[i], shape[j]) or j - i > 1:
            yield "flatten", said("Write dimensions as one"), f".flatten({i}{end})"
    what = said("Write one dimension as two")
    factors = _numbers(world, spot)
    for axis, size in enumerate(shape[:5]):
        for name, value in factors:
            if 1 < value < size and size % value == 0:
                yield "unflatten", what, f".unflatten({axis}, ({name}, -1))"
                yield "unflatten", what, f".unflatten({axis}, (-1, {name}))"
                if axis == 2 and rank == 3:
                    yield "unflatten", what, f".unflatten(2, ({name}, -1)).transpose(1, 2)"
    doubled = rank == 3 and shape[0] == 2 and 2 * shape[2] in _at_odds(world)
    if doubled:
        joined = said("Put what the directions gave side by side")
        yield "directions", joined, ".transpose(0, 1).flatten(1).unsqueeze(0)"
    if rank == 4:
        joined = said("Put two dimensions side by side")
        yield "regroup", joined, ".transpose(1, 2).flatten(2)"
        yield "regroup", joined, ".flatten(2).transpose(1, 2)"


def _at_odds(world: World) -> set[int]:
    return {*world.swaps, *itertools.chain.from_iterable(world.swaps.values())}


def reductions(shape: tuple[int, ...]) -> Iterator[Suffixed]:
    rank = len(shape)
    for axis in range(rank):
        if rank > 1:
            yield "mean", said("Average over a dimension"), f".mean({axis})"
            yield "sum", said("Sum over a dimension"), f".sum({axis})"
            if shape[axis] > 1:
                keep = f".mean({axis}, keepdim=True)"
                yield "mean_kept", said("Average over a dimension, which stays"), keep
    if rank >= 4:
        over = ", ".join(map(str, range(2, rank)))
        yield "mean", said("Average over all places"), f".mean(({over}))"
        yield (
            "mean_kept",
            said("Average over all places, which stay as one"),
            f".mean(({over}), keepdim=True)",
        )
    for axis in range(min(rank, 4)):
        if rank > 1:
            front = ":, " * axis
            for at in (0, -1):
                yield "select", said("Take one entry of a dimension"), f"[{front}{at}]"


def as_beside(spot: Spot, shape: tuple[int, ...]) -> Iterator[Suffixed]:
    """What the function does to another tensor, `.flatten(2).permute(2, 0, 1)`, done to this
    one."""
    text, function = spot.text, spot.text.function(spot.node)
    found: dict[str, None] = {}
    for node in walk(function) if function is not None else ():
        above = text.parents.get(node)
        if isinstance(above, ast.Attribute) or not isinstance(node, ast.Call):
            continue
        base: ast.expr = node
        calls = 0
        while isinstance(base, ast.Call) and isinstance(base.func, ast.Attribute):
            if base.func.attr not in _SHAPING:
                break
            base = base.func.value
            calls += 1
            suffix = text.of(node)[len(text.of(base)) :]
            # One alone is found without an example.
            if base is not spot.node and suffix.startswith(".") and calls > 1:
                found[suffix] = None
    for suffix in list(found)[:6]:
        yield "twin", said("Do what is done to another tensor"), suffix


_SHAPING = frozenset(
    [
        *("view", "reshape", "flatten", "unflatten", "permute", "transpose", "movedim", "squeeze"),
        *("unsqueeze", "expand", "repeat", "contiguous", "mean", "swapaxes", "t", "detach"),
    ]
)


def cuts(world: World, spot: Spot, shape: tuple[int, ...]) -> Iterator[Suffixed]:
    what = said("Cut a dimension to the size of the other")
    kept = said("Keep the last entries of a dimension, as many as the other has")
    swaps = world.swaps
    made_once = isinstance(world.value(spot.text, spot.node), torch.nn.Parameter)
    for axis, size in enumerate(shape):
        front = ":, " * axis
        for want in swaps.get(size, ()):
            if want < size:
                names = _written(world, spot, want, 8)
                own = [name for name in names if not _of_another(name, axis)][:2]
                if spot.distance < NEAR and not made_once:
                    last = f"({own[0]})" if " " in own[0] else own[0]
                    yield "cut_last", kept, f"[{front}-{last}:]"
                for name in own:
                    yield "cut", what, f"[{front}:{name}]"
                    if axis and shape[axis - 1] == size:  # a square, of which a corner is used
                        inner = ":, " * (axis - 1)
                        yield "cut", what, f"[{inner}:{name}, :{name}]"
        for want in swaps.get(size, ()):
            if axis and 1 < want < size and size % want == 0 and not made_once:
                each = said("Take each of so many entries")
                for name in _written(world, spot, size // want):
                    if ".shape" not in name and " " not in name:
                        yield "strided", each, f"[{front}::{name}]"
        if size > 1:
            yield "cut_one", said("Cut one entry off a dimension"), f"[{front}:-1]"
            yield "cut_one", said("Cut one entry off a dimension"), f"[{front}1:]"


def _of_another(name: str, axis: int) -> bool:
    """Whether it is the size of another dimension, which is as large by chance."""
    found = re.search(r"\.shape\[(\d)\]$", name)
    return found is not None and int(found[1]) != axis


def spread(world: World, spot: Spot, shape: tuple[int, ...]) -> Iterator[Suffixed]:
    """Repeated over the batch or another size."""
    marked = [mark.size for mark in world.finding.marks]
    what = said("Repeat it along a dimension")
    for axis, size in enumerate(shape):
        kept = ["-1"] * len(shape)
        wants = dict.fromkeys((*world.swaps.get(size, ())[:3], *(marked if size == 1 else ())))
        for want in wants:
            if size == 1 and want > 1:
                for name in _written(world, spot, want)[:2]:
                    kept[axis] = name
                    yield "expand", what, f".expand({', '.join(kept)})"
            elif size and want > size and want % size == 0:
                for name in _written(world, spot, want // size)[:2]:
                    yield "repeat", what, f".repeat_interleave({name}, {axis})"
                    times = ["1"] * len(shape)
                    times[axis] = name
                    yield "repeat", what, f".repeat({', '.join(times)})"
    for want in dict.fromkeys((*marked[:2], _batch(world))):
        if want > 1 and len(shape) <= 3:
            for name in _written(world, spot, want)[:1]:
                rest = ", -1" * len(shape)
                each = said("Repeat it for each sample")
                yield "expand_batch", each, f".unsqueeze(0).expand({name}{rest})"
                if len(shape) == 2:
                    yield "expand_batch", each, f".unsqueeze(1).expand(-1, {name}, -1)"


def asks_for_flags(world: World) -> bool:
    """Whether what failed speaks of True and False, or of types at all: of sizes at odds none is
    mended by forgetting what the numbers were."""
    return "type" in world.finding.kind or "bool" in world.crash.words.lower()


def casts(tensor: Tensor, flags: bool) -> Iterator[Suffixed]:
    what = said("Give it another type")
    if tensor.dtype.is_floating_point:  # whether its values are whole those see who know casts
        if tensor.dtype != torch.float32:
            yield "cast", what, ".float()"
    else:
        yield "cast", what, ".float()"
        if tensor.dtype != torch.int64:
            yield "cast", what, ".long()"
        if flags and tensor.dtype != torch.bool:
            yield "cast", what, ".bool()"


def classes(world: World, spot: Spot, tensor: Tensor) -> Iterator[Suffixed]:
    rank = tensor.dim()
    if tensor.dtype.is_floating_point:
        for axis in range(1, rank):
            yield "argmax", said("Take the number of the largest"), f".argmax({axis})"
    else:
        yield "shift", said("Count from zero"), " - 1"
        yield "shift", said("Count one more"), " + 1"


def wrappings(world: World, spot: Spot, tensor: Tensor) -> Iterator[tuple[str, Said, str]]:
    """Functions around the expression that ask for other tensors at hand."""
    text, node = spot.text, spot.node
    written = text.of(node)
    alias = function_prefix(world, spot)
    scope = world.scope(text, node)
    shape = tuple(tensor.shape)
    if alias is None or isinstance(node, ast.Constant):
        return
    if not tensor.dtype.is_floating_point and tensor.dtype != torch.bool:
        counted = [f"{name}.shape[1]" for name, other in partners(world, spot) if _scores(other)]
        for size in (*counted[:3], *(name for name, _ in _numbers(world, spot, least=1)[:4])):
            hot = f"{alias}.one_hot({written}, {size})"
            what = said("Write class numbers as one plane for each class")
            yield "one_hot", what, f"{hot}.movedim(-1, 1).float()"
            yield "one_hot", what, f"{hot}.float()"
    if len(shape) < 3 or not tensor.dtype.is_floating_point:
        return
    del scope
    for name, other in partners(world, spot):
        if other.dim() < 3 or name == written:
            continue
        sizes = tuple(other.shape[2:])
        if other.dim() != len(shape) or sizes == shape[2:]:
            continue
        resized = said("Resize it to the other's size")
        yield "resize", resized, f"{alias}.interpolate({written}, size={name}.shape[2:])"
        if len(shape) == 4:
            linear = 'mode="bilinear", align_corners=False'
            yield (
                "resize_linear",
                resized,
                f"{alias}.interpolate({written}, size={name}.shape[2:], {linear})",
            )
        if all(a <= b for a, b in zip(shape[2:], sizes, strict=True)):
            pads = []
            base = written if isinstance(node, ast.Name) else None
            for axis in range(len(shape) - 1, 1, -1):
                gap = sizes[axis - 2] - shape[axis]
                if base:
                    pads += ["0", f"{name}.shape[{axis}] - {base}.shape[{axis}]" if gap else "0"]
                else:
                    pads += ["0", str(gap)]
            padded = f"{alias}.pad({written}, ({', '.join(pads)}))"
            yield "pad", said("Pad it to the other's size"), padded
        if all(a >= b for a, b in zip(shape[2:], sizes, strict=True)):
            cut = ", ".join(f":{name}.shape[{axis}]" for axis in range(2, len(shape)))
            yield "crop", said("Crop it to the other's size"), f"{written}[..., {cut}]"


def _scores(tensor: Tensor) -> bool:
    """Whether these may be the scores of classes, (B, C, …)."""
    return tensor.dim() > 1 and tensor.dtype.is_floating_point


def axis_around(world: World, spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """An argument given a dimension of size 1 for the call, which the result loses again."""
    if called(node) not in ("gather", "take_along_dim", "bmm", "matmul", "scatter", "scatter_add"):
        layer = world.value(spot.text, node.func)
        if not isinstance(layer, torch.nn.Module):
            return
    text, old = spot.text, spot.text.of(node)
    what = said("Give an argument a dimension for this call and drop it from the result")
    for item in node.args[:4]:
        given = world.tensor(text, item)
        if given is None or given.dim() > 4:
            continue
        inner = text.of(item)
        plain = inner if isinstance(item, ast.Name | ast.Attribute | ast.Call) else f"({inner})"
        for axis in range(given.dim() + 1):
            there, back = f"{plain}.unsqueeze({axis})", f".squeeze({axis})"
            outward = _back(world, spot, node, back)
            if outward is not None:
                edits = (text.replace(item, there), outward)
                new = old.replace(inner, there, 1) + back
                yield Draft("axis_around", what, edits, spot, old, new)


def _back(world: World, spot: Spot, node: ast.Call, suffix: str) -> Edit | None:
    """What is done to a call's result; of several to the first, under the name that it gets."""
    text, above = spot.text, spot.text.parents.get(node)
    if not isinstance(world.value(text, node.func), torch.nn.RNNBase):
        return text.after(node, suffix)
    if isinstance(above, ast.Subscript):
        return text.after(above, suffix)
    return text.behind_first(node, suffix)


def indices(world: World, spot: Spot, tensor: Tensor) -> Iterator[tuple[str, Said, str]]:
    """Numbers of rows, spread over all that each row holds."""
    if tensor.dtype != torch.int64:
        return
    written = spot.text.of(spot.node)
    what = said("Let the index reach over the whole of each row")
    for name, other in partners(world, spot):
        if other.dim() == tensor.dim() + 1 and other.shape[: tensor.dim()] == tensor.shape:
            yield "spread_index", what, f"{written}.unsqueeze(-1).expand_as({name})"
        if other.dim() == tensor.dim() + 1 and other.dtype.is_floating_point:
            rest = ", ".join(["-1"] * tensor.dim())
            size = f"{name}.shape[-1]"
            yield "spread_index", what, f"{written}.unsqueeze(-1).expand({rest}, {size})"


def both_directions(world: World, spot: Spot, tensor: Tensor) -> Iterator[tuple[str, Said, str]]:
    """The last two states of several, (layers · directions, B, H), side by side for the last."""
    node, text = spot.node, spot.text
    prefix = next((n for n, v in world.scope(text, node).items() if v is torch), None)
    if not isinstance(node, ast.Subscript) or prefix is None or tensor.dim() != 2:
        return
    states = world.tensor(text, node.value)
    doubled = 2 * tensor.shape[-1] in _at_odds(world)
    if states is not None and states.dim() == 3 and states.shape[0] % 2 == 0 and doubled:
        own = text.of(node.value)
        if text.of(node) == f"{own}[-1]":
            what = said("Put what the directions gave side by side")
            yield "directions", what, f"{prefix}.cat([{own}[-2], {own}[-1]], dim=-1)"


def partners(world: World, spot: Spot) -> list[tuple[str, Tensor]]:
    """Other tensors that the function's text names where the spot is: `skip`, `laterals[i]`."""
    text = spot.text
    function = text.function(spot.node)
    key = (text.file, text.statement(spot.node))
    if key in world.partners:
        return world.partners[key]
    found: dict[str, Tensor] = {}
    for name, value in world.scope(text, spot.node).items():
        if isinstance(value, Tensor):
            found[name] = value
    for node in walk(function) if function is not None else ():
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Load):
            written = text.of(node)
            if written in found or len(written) > 40 or "(" in written or ":" in written:
                continue
            value = world.at(text, spot.node, node)
            if isinstance(value, Tensor):
                found[written] = value
    world.partners[key] = list(found.items())[:10]
    return world.partners[key]


def sized(world: World, spot: Spot) -> Iterator[Draft]:
    """A resize by a factor that asks for another tensor's size instead."""
    node, text = spot.node, spot.text
    if not isinstance(node, ast.Call) or spot.constructs:
        return
    own = world.tensor(text, node)
    what = said("Ask for the other's size")
    by_factor = [k for k in node.keywords if k.arg == "scale_factor"]
    layer = world.value(text, node.func)
    grows = isinstance(layer, torch.nn.modules.conv._ConvTransposeNd) and len(node.args) == 1
    if own is None or own.dim() < 3 or not (by_factor or grows):
        return
    for name, other in partners(world, spot):
        if other.dim() != own.dim() or other.shape[2:] == own.shape[2:]:
            continue
        if by_factor:
            edit = text.replace(by_factor[0], f"size={name}.shape[2:]")
            yield Draft("sized", what, (edit,), spot, text.of(by_factor[0]), edit.replacement)
        else:
            edit = text.argument(node, "output_size", None, f"{name}.shape[2:]")
            new = text.of(node)[:-1] + edit.replacement + ")"
            yield Draft("sized", what, (edit,), spot, text.of(node), new)


def turned_around(world: World, spot: Spot, node: ast.Call) -> Iterator[Draft]:
    """The argument of a layer turned before the call, and its result turned back."""
    if len(node.args) < 1:
        return
    text = spot.text
    given = world.tensor(text, node.args[0])
    if given is None or not 3 <= given.dim() <= 5:
        return
    rank = given.dim()
    inner = text.of(node.args[0])
    plain = inner if isinstance(node.args[0], ast.Name | ast.Attribute | ast.Call) else f"({inner})"
    ways = [(".transpose(1, 2)", ".transpose(1, 2)")]
    if rank == 3:
        ways += [(".transpose(0, 1)", ".transpose(0, 1)")]
    else:
        last = ", ".join(map(str, range(2, rank)))
        first = ", ".join(map(str, range(1, rank - 1)))
        to_last, to_first = f".permute(0, {last}, 1)", f".permute(0, {rank - 1}, {first})"
        ways = [(to_last, to_first), (to_first, to_last), *ways]
    old = text.of(node)
    for there, back in ways:
        edit_in = text.replace(node.args[0], plain + there)
        edit_out = text.after(node, back)
        new = old.replace(inner, plain + there, 1) + back
        yield Draft(
            "turn_around",
            said("Turn the dimensions for this call and back again"),
            (edit_in, edit_out),
            spot,
            old,
            new,
        )


# --- what is at hand ----------------------------------------------------------------------------


def function_prefix(world: World, spot: Spot) -> str | None:
    """How the file calls torch.nn.functional."""
    scope = world.scope(spot.text, spot.node)
    for name, value in scope.items():
        if value is F:
            return name
    for name, value in scope.items():
        if value is torch.nn:
            return f"{name}.functional"
    for name, value in scope.items():
        if value is torch:
            return f"{name}.nn.functional"
    return None


def _batch(world: World) -> int:
    for value in (*world.crash.args, *world.crash.kwargs.values()):
        if isinstance(value, Tensor) and value.dim():
            return int(value.shape[0])
    return 0


def _numbers(world: World, spot: Spot, least: int = 2) -> list[tuple[str, int]]:
    """Short expressions for whole numbers that are no tensor's sizes: `self.heads`."""
    from tracer.diagnosis.repair.numbers import at_hand

    table = at_hand(world, spot.text, spot.node)
    found: dict[int, str] = {}
    for name, value in table.items():
        plain = not any(sign in name for sign in (".shape", "(", "["))
        shorter = value not in found or len(name) < len(found[value])
        if value >= least and plain and shorter:
            found[value] = name
    return [(name, value) for value, name in found.items()][:8]


def _written(world: World, spot: Spot, value: int, most: int = 2) -> list[str]:
    """Ways to write a number here, the best first, the number itself last."""
    from tracer.diagnosis.repair.numbers import expressions

    return [*expressions(world, spot.text, spot.node, value)[:most], str(value)]


def _checker(world: World, spot: Spot, tensor: Tensor) -> Callable[[str], bool | None]:
    """Whether the failing operation alone would take the operand with a suffix behind it."""
    crash = world.crash
    live = world.live(spot.text, spot.node) if spot.role == "failing" else None
    if live is None:
        step = world.steps.get((spot.text.file, spot.text.span(spot.node)))
        made = {note.id for note in step.outputs} if step is not None else set()
        for operand, value in zip(world.failure.operands, crash.operands, strict=False):
            if operand.note.id in made:
                live = value
    function = crash.function
    given = (crash.call_args, crash.call_kwargs)
    flat = [t for t in _tensors(given) if t is live]
    scope = world.scope(spot.text, spot.node)

    def check(suffix: str) -> bool | None:
        try:
            made = eval(f"_x{suffix}", {**scope, "_x": tensor})
        except Exception:  # noqa: BLE001 - the suffix is none for this tensor
            return False
        changes = suffix.startswith((".transpose", ".permute", ".flatten"))
        if changes and made.shape == tensor.shape:
            return False
        if function is None or not flat or live is None:
            return None

        def small(other: Tensor) -> Tensor:
            return _zeros(made if other is live else other)

        if made.numel() > SMALL or any(t.numel() > SMALL for t in _tensors(given)):
            return None
        try:
            args, kwargs = tree_map_only(Tensor, small, given)
            with torch.no_grad():
                function(*args, **kwargs)
        except NotImplementedError:
            return None
        except Exception:  # noqa: BLE001 - the operation refuses it
            return False
        return True

    return check


def _zeros(tensor: Tensor) -> Tensor:
    return blank(tensor.shape, tensor.dtype)


def _tensors(value: Any) -> list[Tensor]:
    from torch.utils._pytree import tree_flatten

    return [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, Tensor)]
