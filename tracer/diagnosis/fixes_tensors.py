"""Repairs of operations on tensors, and of what is called with the wrong thing."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracer.diagnosis.fixes_layers import MAKERS, channels_first, permutation, remake_tensors
from tracer.diagnosis.fixes_roots import squeezed
from tracer.diagnosis.fixes_scene import (
    SIGNS,
    Candidate,
    Made,
    Scene,
    candidate,
    joined,
    rebuilt,
    repair,
    shape_of,
)
from tracer.document import Edit, Span
from tracer.ops.names import op_name, shape_text
from tracer.sentences import Said, said
from tracer.source.built import assigned_to_self, initialisers, parameter
from tracer.source.text import Text, called, given

ELEMENTWISE = (
    "add",
    "sub",
    "mul",
    "div",
    "pow",
    "floordiv",
    "mod",
    "and",
    "or",
    "xor",
    "where",
    "masked_fill",
    "maximum",
    "minimum",
    "eq",
    "ne",
    "lt",
    "gt",
    "le",
    "ge",
    "addcmul",
    "lerp",
    "rsub",
)
LOSSES = (
    "cross_entropy",
    "cross_entropy_loss",
    "nll_loss",
    "nll_loss_nd",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "kl_div",
    "huber_loss",
    "ctc_loss",
)


# --- products ----------------------------------------------------------------------------------


# long: one branch for each way in which the call goes wrong
@repair("matmul", "bmm", "mm", "baddbmm", "rmatmul", "mv", "dot", "addmm", "addbmm")
def product(scene: Scene) -> Iterator[Candidate]:
    tensors = scene.operands[-2:] if scene.op.startswith("add") else scene.operands[:2]
    if len(tensors) < 2:
        return
    a, b = tensors
    if scene.op == "rmatmul":
        a, b = b, a
    left, right = shape_of(a), shape_of(b)
    if a.dtype != b.dtype or a.device != b.device:
        return
    yield from _vectors(scene, a, b)
    # A picture's positions last and its channels before them: products over the channels.
    maps = channels_first(scene, a) and channels_first(scene, b)
    inner_b = right[-2] if len(right) > 1 else right[-1]
    if left[-1] != inner_b and len(left) >= 1 and len(right) >= 1:
        if a is b and len(left) >= 2:
            yield from candidate(
                scene.second(b, ".transpose(-2, -1)" if len(right) > 2 else ".T"),
                1,
                said(
                    "Transpose the second: the products then run over the {size} features",
                    size=left[-1],
                ),
            )
        if len(right) >= 2 and right[-1] == left[-1]:
            yield from candidate(
                scene.transform(b, ".transpose(-2, -1)" if len(right) > 2 else ".T"),
                9 if maps else 1,
                said(
                    "Transpose {b}: the products then run over the {size} features "
                    "that both have last",
                    b=scene.named(b),
                    size=left[-1],
                ),
            )
        if len(left) >= 2 and left[-2] == inner_b:
            shared = len(right) >= 2 and right[-1] == left[-1]
            weight = scene.kind(a) in ("parameter", "buffer")
            yield from candidate(
                scene.transform(a, ".transpose(-2, -1)" if len(left) > 2 else ".T"),
                (2 if maps else 30) if shared else 8 if not weight else 5,
                said(
                    "Transpose {a}: the products then run over its {size} rows",
                    a=scene.named(a),
                    size=left[-2],
                ),
                said("It sums over the rows, not over the features.")
                if shared and not maps
                else None,
            )
        if len(left) >= 2 and len(right) >= 2 and right[-1] == left[-2]:
            yield from _swapped(scene, a, b)
        if len(left) >= 2 and len(right) >= 2 and left[-2] == right[-1] != left[-1]:
            yield from candidate(
                _both(scene, a, b),
                40,
                said("Transpose both"),
                said("It computes another product than the one that is written."),
            )
        for axis in range(1, len(left) - 1):
            if math.prod(left[axis:]) == inner_b:
                yield from candidate(
                    scene.transform(a, f".flatten({axis})"),
                    2,
                    said("Flatten {a} from dimension {axis} on", a=scene.named(a), axis=axis),
                )
        for axis in range(max(0, len(right) - 3)):
            if right[axis] == left[-1] and axis:
                yield from candidate(
                    scene.transform(b, permutation(len(right), axis, -2)),
                    20,
                    said(
                        "Move dimension {axis} of {b} to where the products run",
                        axis=axis,
                        b=scene.named(b),
                    ),
                )
        for tensor, other, place in ((b, left[-1], -2), (a, inner_b, -1)):
            if scene.kind(tensor) == "parameter":
                yield from parameter_size(scene, tensor, tensor.dim() + place, other, 11)
        for tensor, size in ((a, inner_b), (b, left[-1])):
            yield from maker_width(scene, tensor, size, 18)
    else:
        yield from _batches_of_products(scene, a, b)
    name = called(scene.node) if scene.node is not None else ""
    if name in ("bmm", "mm", "baddbmm", "mv"):
        call = scene.call_node()
        if call is not None and scene.text is not None:
            func = call.func
            if isinstance(func, ast.Attribute) and left[-1] == inner_b:
                yield from candidate(
                    ((scene.text.replace(func, f"{scene.text.of(func.value)}.matmul"),), None),
                    3,
                    said(
                        "Use `matmul`, which takes {shape} and {shape_2}",
                        shape=shape_text(left),
                        shape_2=shape_text(right),
                    ),
                )


def _vectors(scene: Scene, a: Tensor, b: Tensor) -> Iterator[Candidate]:
    """A batch of matrices by a batch of vectors: (B, T, H) with (B, H)."""
    left, right = shape_of(a), shape_of(b)
    if len(left) == 3 and len(right) == 2 and left[0] == right[0]:
        if left[2] == right[1]:
            yield from candidate(
                scene.transform(b, ".unsqueeze(2)"),
                0,
                said(
                    "Make each of the {size} vectors a column: {shape}",
                    size=right[0],
                    shape=shape_text((*right, 1)),
                ),
            )
        elif left[1] == right[1]:
            yield from candidate(
                joined(scene.transform(a, ".transpose(1, 2)"), scene.transform(b, ".unsqueeze(2)")),
                3,
                said("Sum over the {size} rows with one weight each", size=left[1]),
            )
    if len(left) == len(right) == 3 and right[0] == 1 and right[1:] == (left[0], left[2]):
        yield from candidate(
            scene.transform(b, ".permute(1, 2, 0)"),
            0,
            said(
                "Make the state {shape} one column for each sample: {shape_2}",
                shape=shape_text(right),
                shape_2=shape_text((right[1], right[2], 1)),
            ),
        )
    if len(right) == 3 and len(left) == 2 and left[0] == right[0]:
        if right[1] == left[1]:
            yield from candidate(
                scene.transform(a, ".unsqueeze(1)"),
                0,
                said(
                    "Make each of the {size} vectors a row: {shape}",
                    size=left[0],
                    shape=shape_text((left[0], 1, left[1])),
                ),
            )
        elif right[2] == left[1]:
            yield from candidate(
                joined(scene.transform(a, ".unsqueeze(1)"), scene.transform(b, ".transpose(1, 2)")),
                4,
                said("Make each vector a row, and let the products run over the features"),
            )


@repair("linear")
def functional_linear(scene: Scene) -> Iterator[Candidate]:
    """`F.linear(x, weight)` wants the weight as (out, in)."""
    if scene.layer is not None or len(scene.operands) < 2:
        return
    x, weight = scene.operands[:2]
    if x.dim() and weight.dim() == 2 and x.dtype == weight.dtype:
        if x.shape[-1] == weight.shape[0] != weight.shape[1]:
            yield from candidate(
                scene.transform(weight, ".t()"),
                1,
                said(
                    "Transpose the weight {shape}: `F.linear` takes it as (out, in)",
                    shape=shape_text(weight.shape),
                ),
            )
        if x.shape[-1] != weight.shape[1]:
            yield from parameter_size(scene, weight, 1, int(x.shape[-1]), 14)


def _swapped(scene: Scene, a: Tensor, b: Tensor) -> Iterator[Candidate]:
    one, two = scene.use(a), scene.use(b)
    if one is None or two is None or scene.text is None:
        return
    edits = (
        scene.text.replace(one, scene.text.of(two)),
        scene.text.replace(two, scene.text.of(one)),
    )
    weight = scene.kind(a) == "parameter" and scene.kind(b) != "parameter"
    yield from candidate(
        (edits, None),
        4 if weight else 14,
        said(
            "Multiply in the other order: {shape} by {shape_2}",
            shape=shape_text(b.shape),
            shape_2=shape_text(a.shape),
        ),
        None if weight else said("The order decides over what the sums run: check which is meant."),
    )


def _both(scene: Scene, a: Tensor, b: Tensor) -> Any:
    return joined(
        scene.transform(a, ".transpose(-2, -1)"), scene.transform(b, ".transpose(-2, -1)")
    )


def _batches_of_products(scene: Scene, a: Tensor, b: Tensor) -> Iterator[Candidate]:
    """The inner sizes agree, those in front of them do not."""
    left, right = shape_of(a), shape_of(b)
    for x, y in ((a, b), (b, a)):
        short, long = shape_of(x), shape_of(y)
        if len(short) < len(long):
            for axis in range(1, len(short) - 1):
                yield from candidate(
                    scene.transform(x, f".unsqueeze({axis})"),
                    6,
                    said(
                        "Give {x} {shape} a dimension of one at {axis}",
                        x=scene.named(x),
                        shape=shape_text(short),
                        axis=axis,
                    ),
                )
            if len(short) == 2 and len(long) == 3 and short[0] == long[0]:
                yield from candidate(
                    scene.transform(x, ".unsqueeze(1)" if x is a else ".unsqueeze(2)"),
                    6,
                    said(
                        "Give {x} {shape} a dimension of one",
                        x=scene.named(x),
                        shape=shape_text(short),
                    ),
                )
        if len(short) == len(long) == 4 and (short[2], short[1]) == (long[1], short[1]):
            yield from candidate(
                scene.transform(x, ".transpose(1, 2)"),
                8,
                said("Swap dimensions 1 and 2 of {x}", x=scene.named(x)),
            )
    if len(left) == len(right) == 3 and left[1] == right[0]:
        yield from candidate(
            scene.transform(b, ".transpose(0, 1)"),
            30,
            said("Swap the first two dimensions of {b}", b=scene.named(b)),
            said("It swaps what may be batch and positions."),
        )


def maker_width(scene: Scene, tensor: Tensor, size: int, rank: int) -> Iterator[Candidate]:
    """The layer that made an operand's last dimension, built for another size."""
    step = scene.step_of(tensor)
    for step in scene.lineage(tensor, 5):
        if not step.op.startswith("nn.") or not step.module:
            continue
        try:
            layer = scene.model.get_submodule(step.module)
        except AttributeError:
            return
        for name in ("out_features", "out_channels", "embedding_dim"):
            value = getattr(layer, name, None)
            if isinstance(value, int) and value != size and value in shape_of(tensor):
                yield from rebuilt(
                    scene,
                    step.module,
                    {name: size},
                    rank,
                    said(
                        "Let {module} make {size} instead of {value}",
                        module=step.module,
                        size=size,
                        value=value,
                    ),
                    said(
                        "It changes what {module} computes: check which of the two sizes is meant.",
                        module=step.module,
                    ),
                )
                return
        if hasattr(layer, "in_features") or hasattr(layer, "in_channels"):
            return


def _owned(scene: Scene, tensor: Tensor) -> str:
    """The parameter that a tensor of the same shape was computed from: `self.log_std.exp()`."""
    for step in scene.lineage(tensor, 3):
        for note in step.inputs:
            if note.kind == "parameter" and note.shape == shape_of(tensor):
                return note.name
    return ""


def parameter_size(
    scene: Scene, tensor: Tensor, axis: int, size: int, rank: int
) -> Iterator[Candidate]:
    """A parameter made with a wrong size: `self.pos = nn.Parameter(torch.zeros(1, 196, 64))`."""
    name = _owned(scene, tensor) or next(
        (
            operand.note.name
            for operand, live in zip(scene.failure.operands, scene.crash.operands, strict=False)
            if live is tensor
        ),
        "",
    )
    found = parameter(scene.model, name) if name else None
    if found is None:
        return
    text, value = found
    old = int(tensor.shape[axis])
    maker = next(
        (node for node in ast.walk(value) if isinstance(node, ast.Call) and called(node) in MAKERS),
        None,
    )
    if maker is None:
        return
    sizes: list[ast.expr] = list(maker.args)
    if len(sizes) == 1 and isinstance(sizes[0], ast.Tuple | ast.List):
        sizes = list(sizes[0].elts)
    if len(sizes) != tensor.dim():
        return
    edit = text.replace(sizes[axis], str(size))
    shape = [int(s) for s in tensor.shape]
    shape[axis] = size

    def change(model: nn.Module) -> None:
        owner, _, last = name.rpartition(".")
        module = model.get_submodule(owner)
        made = torch.randn(shape, dtype=tensor.dtype, device=tensor.device)
        if last in module._parameters:
            module._parameters[last] = nn.Parameter(made)
        else:
            module._buffers[last] = made

    yield from candidate(
        ((edit,), change),
        rank,
        said(
            "Make {name} with {size} instead of {old} in dimension {axis}: {shape}",
            name=name,
            size=size,
            old=old,
            axis=axis,
            shape=shape_text(shape),
        ),
        said("It then fits inputs of this size alone.")
        if axis and axis < tensor.dim() - 1
        else None,
    )


# --- broadcasting ------------------------------------------------------------------------------


def alignments(short: Sequence[int], long: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Where the dimensions of `short` can stand in `long`, order kept, sizes equal or one."""
    for places in itertools.combinations(range(len(long)), len(short)):
        if all(
            a in (1, long[place]) or long[place] == 1
            for a, place in zip(short, places, strict=True)
        ):
            yield places


def indexed(places: Sequence[int], rank: int) -> str:
    """`[:, None, None]` for places (0,) in rank 3; leading ones are left to broadcasting."""
    first = min(places) if places else 0
    parts = [":" if n in places else "None" for n in range(first, rank)]
    if all(p == ":" for p in parts):
        return ""
    if len(parts) - parts.count(":") == 1:
        axis = parts.index("None")
        return f".unsqueeze({axis if axis < len(parts) - 1 else -1})"
    if parts[-1] == ":":
        while parts and parts[-1] == ":" and parts.count(":") > 1:
            if "None" not in parts[:-1]:
                break
            if parts[-2] == ":":
                parts.pop()
            else:
                break
    return f"[{', '.join(parts)}]"


@repair(*ELEMENTWISE)
def broadcast(scene: Scene) -> Iterator[Candidate]:
    """Two operands whose sizes are neither equal nor one."""
    tensors = scene.operands
    pairs = [
        (a, b)
        for a, b in itertools.combinations(tensors, 2)
        if not _broadcasts(shape_of(a), shape_of(b))
    ]
    if scene.op in ("masked_fill", "where") and not pairs and len(tensors) > 1:
        pairs = [(tensors[0], tensors[1])]
    for a, b in pairs[:2]:
        yield from align(scene, a, b)
        yield from align(scene, b, a)
        yield from same_rank(scene, a, b)
        for tensor, other in ((a, b), (b, a)):
            yield from reductions(scene, tensor, other)
            yield from _table(scene, tensor, other)
            yield from _turned_table(scene, tensor, other)
            yield from _counted(scene, tensor, other)
            yield from unused_layers(scene, tensor)
            yield from squeezed(scene, tensor)
            yield from _sized_anew(scene, tensor, other)
            yield from resampled(scene, tensor, other)
        yield from spatial(scene, a, b)
        yield from _channels(scene, a, b)


@repair("kind:broadcast", *ELEMENTWISE)
def grown_in_place(scene: Scene) -> Iterator[Candidate]:
    """`h *= gate` keeps the shape of `h`; the product of both would be larger."""
    node, text, args = scene.node, scene.text, scene.crash.call_args
    if not isinstance(node, ast.AugAssign) or text is None or len(args) < 2:
        return
    a, b = args[0], args[1]
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return
    sign = SIGNS.get(type(node.op))
    if sign is not None and _broadcasts(shape_of(a), shape_of(b)):
        target = text.of(node.target)
        value = text.of(node.value)
        if not isinstance(node.value, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            value = f"({value})"
        yield from candidate(
            ((text.replace(node, f"{target} = {target} {sign} {value}"),), None),
            2,
            said(
                "Make a new tensor of the larger shape instead of writing into {target}",
                target=target,
            ),
        )


@repair("sub", "cosine_similarity", "pairwise_distance", "add", "mul", "kind:broadcast")
def pairwise(scene: Scene) -> Iterator[Candidate]:
    """(B, D) beside (K, D): each sample with each of K vectors."""
    tensors = scene.operands[:2]
    if len(tensors) < 2:
        return
    a, b = tensors
    left, right = shape_of(a), shape_of(b)
    if len(left) != 2 or len(right) != 2 or left[1] != right[1] or left[0] == right[0]:
        return
    for x, y in ((a, b), (b, a)):
        if scene.kind(x) == "parameter" or (x is b and scene.kind(b) != scene.kind(a)):
            continue
        if x.shape[0] != scene.batch:
            continue
        yield from candidate(
            scene.transform(x, ".unsqueeze(1)" if x is a else ".unsqueeze(0)"),
            6 if x is a else 26,
            said(
                "Compare each of the {size} rows with each of the {size_2}: {shape}",
                size=x.shape[0],
                size_2=y.shape[0],
                shape=shape_text((left[0], right[0], left[1])),
            ),
            said("The result has one more dimension."),
        )


def _broadcasts(a: Sequence[int], b: Sequence[int]) -> bool:
    return all(x == y or 1 in (x, y) for x, y in zip(reversed(a), reversed(b), strict=False))


def align(scene: Scene, short: Tensor, long: Tensor) -> Iterator[Candidate]:
    """Put dimensions of one into a tensor of fewer dimensions."""
    small, large = shape_of(short), shape_of(long)
    if not small or len(small) >= len(large):
        return
    batched = small[0] == large[0] and small[0] == scene.batch
    words = f"{scene.named(short)} {scene.named(long)}".lower()
    mask = short.dtype == torch.bool or scene.op == "masked_fill" or "mask" in words
    found = list(alignments(small, large))
    proper = [p for p in found if all(small[i] == large[q] for i, q in enumerate(p))] or found
    for places in proper:
        suffix = indexed(places, len(large))
        if not suffix:
            continue
        rank = 2
        caveat = None
        if batched and places[0] != 0:
            rank = 50
            caveat = said("It reads the first dimension as something else than the batch.")
        elif len(proper) > 1:
            meant = [p for p in proper if not batched or p[0] == 0]
            if len(meant) > 1:
                # A mask of (batch, positions) hides keys, which are last; anything else (channels,
                # weights) belongs as far in front as it can.
                best = meant[-1] if mask else meant[0]
                if places != best:
                    rank = 25
                spots = ", ".join(str(p) for p in places)
                caveat = said(
                    "The sizes fit in {count} ways; this one puts {shape} at "
                    "dimension {spots} of {shape_2}.",
                    count=len(meant),
                    shape=shape_text(small),
                    spots=spots,
                    shape_2=shape_text(large),
                )
        where = ", ".join(str(p) for p in places)
        yield from candidate(
            scene.transform(short, suffix),
            rank,
            said(
                "Line {short} {shape} up with dimension {where} of {shape_2}",
                short=scene.named(short),
                shape=shape_text(small),
                where=where,
                shape_2=shape_text(large),
            ),
            caveat,
        )


def _turned_table(scene: Scene, tensor: Tensor, other: Tensor) -> Iterator[Candidate]:
    """(T, 1, D), made for sequences that come first, beside (B, T, D)."""
    shape, want = shape_of(tensor), shape_of(other)
    if len(shape) != 3 or len(want) != 3 or shape[1] != 1 or shape[0] == 1:
        return
    if (shape[0], shape[2]) == want[1:]:
        yield from candidate(
            scene.transform(tensor, ".transpose(0, 1)"),
            3,
            said(
                "Put the {size} positions of {tensor} at dimension 1: {shape}",
                size=shape[0],
                tensor=scene.named(tensor),
                shape=shape_text((1, shape[0], shape[2])),
            ),
        )


def same_rank(scene: Scene, a: Tensor, b: Tensor) -> Iterator[Candidate]:
    left, right = shape_of(a), shape_of(b)
    if len(left) != len(right) or sorted(left) != sorted(right) or left == right:
        return
    for tensor, want in ((b, left), (a, right)):
        shape = shape_of(tensor)
        orders = [
            order
            for order in itertools.permutations(range(len(shape)))
            if tuple(shape[n] for n in order) == want
        ]
        # Those that leave the batch where it is come first.
        for order in sorted(orders, key=lambda o: (o[0] != 0, o)):
            moved = [n for n in range(len(order)) if order[n] != n]
            suffix = (
                f".transpose({moved[0]}, {moved[1]})"
                if len(moved) == 2
                else f".permute({', '.join(map(str, order))})"
            )
            keeps = order[0] == 0
            yield from candidate(
                scene.transform(tensor, suffix),
                (8 if tensor is b else 9) if keeps else 48,
                said(
                    "Put the dimensions of {tensor} in the order of {shape}",
                    tensor=scene.named(tensor),
                    shape=shape_text(want),
                ),
                None
                if keeps
                else said("It moves the first dimension, which is usually the batch."),
            )
            break


def reductions(scene: Scene, tensor: Tensor, other: Tensor) -> Iterator[Candidate]:
    """A mean or sum that dropped the dimension it would need to broadcast."""
    if tensor.dim() >= other.dim():
        return
    for step in scene.lineage(tensor, 3):
        if op_name(step.op) not in (
            "mean", "sum", "max", "min", "amax", "amin", "norm", "std", "var", "prod", "logsumexp",
        ):  # fmt: skip
            continue
        found = scene.call_of(step)
        if found is None:
            return
        text, node = found
        if given(node, "keepdim") is not None or not (len(node.args) or node.keywords):
            return
        edit = text.argument(node, "keepdim", None, "True")
        yield from candidate(
            ((edit,), None),
            1,
            said(
                "Keep the reduced dimension with size 1: `{called}(…, keepdim=True)`",
                called=called(node),
            ),
        )
        return


def _table(scene: Scene, tensor: Tensor, other: Tensor) -> Iterator[Candidate]:
    """A table of positions longer than the sequence: the first rows of it are what is meant."""
    if scene.kind(tensor) not in ("parameter", "buffer") or tensor.dim() not in (2, 3):
        return
    shape, want = shape_of(tensor), shape_of(other)
    node = scene.use(other)
    name = scene.simple(node)
    if len(want) < 3 and len(shape) == 3:
        return
    for axis in range(len(shape) - 1):
        back = len(shape) - axis
        if back > len(want):
            continue
        place = len(want) - back
        if place == 0 and want[0] == scene.batch:
            continue  # a table of classes, not of positions
        if shape[axis] > want[place] > 0 and shape[-1] == want[-1] and shape[axis] != 1:
            size = f"{name}.size({place})" if name else str(want[place])
            index = ", ".join([":"] * axis + [f":{size}"])
            yield from candidate(
                scene.transform(tensor, f"[{index}]"),
                2,
                said(
                    "Take the first {size} of the {size_2} rows of the table",
                    size=want[place],
                    size_2=shape[axis],
                ),
                None if name else said("The length is written as a number."),
            )
        elif shape[axis] < want[place] and shape[axis] != 1 and shape[-1] == want[-1]:
            yield from parameter_size(scene, tensor, axis, want[place], 10)
    # A table (length, 1, features) made for sequences that come first.
    if len(shape) == 3 and shape[1] == 1 and shape[-1] == want[-1] and len(want) == 3:
        length = f"{name}.size(1)" if name else str(want[1])
        yield from candidate(
            scene.transform(tensor, f"[:{length}].transpose(0, 1)"),
            3,
            said("Take {size} rows of the table, and put its batch of one first", size=want[1]),
        )
    if shape[-1] != want[-1] and want[-1] > 1:
        yield from parameter_size(scene, tensor, len(shape) - 1, want[-1], 12)


@repair("kind:broadcast", "kind:range", "kind:join")
def table_length(scene: Scene) -> Iterator[Candidate]:
    """A table that its constructor makes for a greatest length, which the input exceeds:
    `x + self.pe[:, : x.size(1)]`."""
    owner = scene.scope.get("self")
    if not isinstance(owner, nn.Module) or scene.node is None or scene.crash.build is None:
        return
    for node in ast.walk(scene.node):
        if not isinstance(node, ast.Attribute):
            continue
        table = scene.known(node)
        if not isinstance(table, Tensor) or table.dim() < 2:
            continue
        for axis_ in range(table.dim() - 1):
            have = int(table.shape[axis_])
            beside = [t for t in scene.operands if t is not table and t.dim() == 3]
            need = {int(t.shape[axis_ if t.dim() == table.dim() else 1]) for t in beside}
            need -= {have}
            for size in need - {scene.batch} or need:
                if 1 < have < size:
                    yield from number_in_constructor(
                        scene,
                        owner,
                        have,
                        size,
                        8,
                        said(
                            "Make the table for {size} positions; it has {have}",
                            size=size,
                            have=have,
                        ),
                        said("It must be as long as the longest input."),
                    )


def number_in_constructor(
    scene: Scene, owner: nn.Module, old: int, new: int, rank: int, summary: Said, caveat: Said
) -> Iterator[Candidate]:
    """A number that a constructor was given, or has as its default.  What follows from it only a
    model that is built anew shows."""
    path = next((name for name, module in scene.model.named_modules() if module is owner), None)
    if path is None or scene.crash.build is None:
        return
    built = scene.built(path) if path else None
    for text, function in initialisers(owner):
        arguments = function.args.args
        defaults = dict(
            zip(
                (a.arg for a in reversed(arguments)),
                reversed(function.args.defaults),
                strict=False,
            )
        )
        for argument in arguments:
            passed = built.given(argument.arg) if built is not None else None
            if built is not None and passed is not None:
                if isinstance(passed, ast.Constant) and passed.value == old:
                    edit = built.text.replace(passed, str(new))
                    yield from candidate(((edit,), _nothing), rank, summary, caveat)
                continue
            default = defaults.get(argument.arg)
            if isinstance(default, ast.Constant) and default.value == old:
                if built is not None:
                    edit = built.edit(argument.arg, str(new))
                else:
                    edit = text.replace(default, str(new))
                yield from candidate(((edit,), _nothing), rank, summary, caveat)
        return


def _nothing(model: nn.Module) -> None:
    """The model is built anew: there is nothing to do to a copy."""


def unused_layers(scene: Scene, tensor: Tensor) -> Iterator[Candidate]:
    """A layer that `__init__` makes and the forward never calls: `identity = x` where
    `self.downsample(x)` was meant."""
    owner = scene.scope.get("self")
    if not isinstance(owner, nn.Module) or scene.text is None:
        return
    function = scene.text.function(scene.node) if scene.node is not None else None
    if function is None:
        return
    # Another method may call it, or another class that was handed this module.
    path = next((name for name, module in scene.model.named_modules() if module is owner), "")
    ran = {step.module for step in scene.crash.trace.walk()}
    ran |= {call.module for call in scene.crash.trace.calls}
    around = scene.text.around(function, ast.ClassDef) or function
    used = {
        node.attr
        for node in ast.walk(around)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    used |= {name for name, _ in owner.named_children() if f"{path}.{name}".strip(".") in ran}
    node = scene.use(tensor)
    if node is None:
        return
    for name, layer in owner.named_children():
        if name not in used and layer is not None:
            written = scene.text.of(node)
            yield from candidate(
                ((scene.text.replace(node, f"self.{name}({written})"),), None),
                3,
                said(
                    "Send `{code}` through `self.{name}`, which is never used",
                    code=" ".join(written.split()),
                    name=name,
                ),
            )


def _sized_anew(scene: Scene, tensor: Tensor, other: Tensor) -> Iterator[Candidate]:
    """A tensor that the forward makes itself, with numbers for sizes."""
    chain = scene.lineage(tensor, 1)
    if chain and op_name(chain[0].op) in MAKERS and tensor.dim() <= other.dim():
        want = shape_of(other)[other.dim() - tensor.dim() :]
        want = tuple(
            1 if old == 1 else new for old, new in zip(shape_of(tensor), want, strict=True)
        )
        yield from remake_tensors(scene, [tensor], want, 3, scene.named(tensor), other)


def _counted(scene: Scene, tensor: Tensor, other: Tensor) -> Iterator[Candidate]:
    """Positions counted along the batch: `torch.arange(x.size(0))` where x.size(1) was meant."""
    shape, want = shape_of(tensor), shape_of(other)
    if len(want) != 3 or len(shape) < 2 or shape[-2] == want[1]:
        return
    for step in scene.lineage(tensor, 4):
        if step.op != "torch.arange" or step.outputs[0].shape != (shape[-2],):
            continue
        found = scene.call_of(step)
        if found is None or len(found[1].args) != 1:
            return
        text, node = found
        name = scene.simple(scene.use(other)) if scene.beside(text, node) else None
        size = f"{name}.size(1)" if name else str(want[1])
        yield from candidate(
            ((text.replace(node.args[0], size),), None),
            1,
            said(
                "Count the {size} positions, not the {size_2} samples",
                size=want[1],
                size_2=shape[-2],
            ),
        )
        return


# long: one branch for each way in which the call goes wrong
def resampled(scene: Scene, small: Tensor, skip: Tensor) -> Iterator[Candidate]:
    """Something was enlarged by a factor, and the other has an odd size."""
    a, b = shape_of(small), shape_of(skip)
    if len(a) != len(b) or len(a) not in (3, 4, 5) or a[2:] == b[2:]:
        return
    enlarged = any(
        s.op.startswith(("nn.ConvTranspose", "F.interpolate", "nn.Upsample"))
        for s in scene.lineage(small, 6)
    )
    close = all(abs(x - y) <= max(2, y // 4) for x, y in zip(a[2:], b[2:], strict=True))
    times = {y / x for x, y in zip(a[2:], b[2:], strict=True) if x}
    if not close and not enlarged and times != {2.0} and times != {4.0}:
        return
    name = scene.simple(scene.use(skip))
    size = f"{name}.shape[2:]" if name else str(b[2:])
    for step in scene.lineage(small, 4):
        found = scene.call_of(step)
        if found is None:
            continue
        text, node = found
        same = scene.beside(text, node)
        if step.op.startswith("nn.ConvTranspose") and same and step.outputs[0].shape == a:
            yield from candidate(
                ((text.argument(node, "output_size", 1, size),), None),
                0,
                said(
                    "Ask the transposed convolution for the skip's size {shape}",
                    shape=shape_text(b[2:]),
                ),
            )
        if step.op == "F.interpolate" and same:
            scale = given(node, "scale_factor", 2)
            if scale is not None and given(node, "size") is None:
                keyword = next((k for k in node.keywords if k.arg == "scale_factor"), None)
                if keyword is not None:
                    edit = text.replace(keyword, f"size={size}")
                    yield from candidate(
                        ((edit,), None),
                        0,
                        said("Interpolate to the other's size {shape}", shape=shape_text(b[2:])),
                    )
        if step.op == "nn.Upsample" and same and node.args:
            alias = scene.alias(F)
            layer = scene.model.get_submodule(step.module)
            if alias is not None and isinstance(layer, nn.Upsample):
                mode = f", mode={layer.mode!r}" if layer.mode != "nearest" else ""
                corners = (
                    f", align_corners={layer.align_corners}"
                    if layer.align_corners is not None
                    else ""
                )
                edit = text.replace(
                    node,
                    f"{alias}.interpolate({text.of(node.args[0])}, size={size}{mode}{corners})",
                )
                yield from candidate(
                    ((edit,), None),
                    1,
                    said(
                        "Enlarge to the other's size {shape}, not by a factor",
                        shape=shape_text(b[2:]),
                    ),
                )
        if (
            step.op.startswith(("nn.Conv2d", "nn.Conv1d", "nn.MaxPool"))
            and step.outputs[0].shape == a
        ):
            break
    alias = scene.alias(F)
    used = scene.use(small)
    if alias is not None and used is not None and scene.text is not None:
        edit = scene.text.replace(used, f"{alias}.interpolate({scene.text.of(used)}, size={size})")
        yield from candidate(
            ((edit,), None),
            4 if enlarged else 28,
            said("Resize {small} to {shape}", small=scene.named(small), shape=shape_text(b[2:])),
            None if enlarged else said("It computes new values between the pixels."),
        )
    # Cutting the larger one throws pixels away: last.
    if all(x <= y for x, y in zip(a[2:], b[2:], strict=True)):
        inner = scene.simple(used)
        if inner is not None:
            index = ", ".join(f":{inner}.size({n})" for n in range(2, len(a)))
            yield from candidate(
                scene.transform(skip, f"[..., {index}]"),
                64,
                said("Cut {skip} to {shape}", skip=scene.named(skip), shape=shape_text(a[2:])),
                said("It throws away the pixels at the edge."),
            )


def spatial(scene: Scene, a: Tensor, b: Tensor) -> Iterator[Candidate]:
    """A convolution without padding made the feature map smaller than what it is added to."""
    left, right = shape_of(a), shape_of(b)
    if len(left) != len(right) or len(left) not in (3, 4, 5) or left[2:] == right[2:]:
        return
    for tensor, want in ((a, right), (b, left)):
        edits = None
        shape = shape_of(tensor)
        if shape[2] >= want[2]:
            continue
        missing = want[2] - shape[2]
        parts = []
        where = []
        for step in scene.lineage(tensor, 12):
            if not step.op.startswith("nn.Conv") or step.op.startswith("nn.ConvT"):
                continue
            layer = scene.model.get_submodule(step.module)
            if not isinstance(layer, nn.modules.conv._ConvNd):
                break
            kernel, padding, stride = layer.kernel_size, layer.padding, layer.stride
            dilation = layer.dilation
            if isinstance(padding, str) or any(s != 1 for s in stride):
                break
            full = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
            loss = full[0] - 2 * padding[0]
            if loss > 0 and loss % 2 == 0 and missing >= loss:
                half = [f // 2 for f in full]
                value: Any = half[0] if len(set(half)) == 1 else tuple(half)
                made = scene.constructor_edit(step.module, {"padding": value})
                parts.append(_dilated(scene, step.module, made, kernel[0]) or made)
                where.append(step.module)
                missing -= loss
            if missing <= 0:
                break
        if parts and missing == 0 and shape[1] in (want[1], 1):
            edits = joined(*parts)
            yield from candidate(
                edits,
                1,
                said(
                    "Pad {where}, so that the size {shape} stays",
                    where=tuple(reversed(where)),
                    shape=shape_text(want[2:]),
                ),
            )
        elif parts and missing == 0:
            yield from candidate(
                joined(*parts), 7, said("Pad {where}", where=tuple(reversed(where)))
            )
    yield from _strided(scene, a, b)


def _dilated(scene: Scene, path: str, made: Made | None, kernel: int) -> Made | None:
    """The padding in terms of a dilation that the constructor is given by name."""
    built = scene.built(path)
    dilation = built.given("dilation") if built is not None else None
    if built is None or made is None or not isinstance(dilation, ast.Name):
        return None
    text = built.text.of(dilation)
    written = text if kernel == 3 else f"{text} * {kernel // 2}"
    return (built.edit("padding", written),), made[1]


# long: one candidate after another, each with what is said of it
def _strided(scene: Scene, a: Tensor, b: Tensor) -> Iterator[Candidate]:
    """A shortcut beside a branch that makes the picture smaller and the channels more."""
    for small, large in ((a, b), (b, a)):
        s, t = shape_of(small), shape_of(large)
        if not (len(s) == len(t) == 4 and s[0] == t[0]):
            continue
        if not all(0 < x <= y for x, y in zip(s[2:], t[2:], strict=True)) or s == t:
            continue
        if any(
            step.op.startswith(("nn.ConvTranspose", "F.interpolate", "nn.Upsample"))
            for step in scene.lineage(small, 6)
        ):
            continue  # it was to become as large as the other
        factor = -(-t[2] // s[2])
        if factor < 2 or -(-t[2] // factor) != s[2] or -(-t[3] // factor) != s[3]:
            continue
        yield from _projection(scene, large, t[1], s[1], factor)
        for step in scene.lineage(large, 3):
            if step.op == "nn.Conv2d":
                layer = scene.model.get_submodule(step.module)
                if layer.kernel_size == (1, 1) and layer.stride == (1, 1):
                    yield from rebuilt(
                        scene,
                        step.module,
                        {"stride": factor},
                        2,
                        said(
                            "Give {module} the stride {factor} of the other branch",
                            module=step.module,
                            factor=factor,
                        ),
                    )
                break
        alias = scene.alias(F)
        node = scene.use(large)
        if t[1] == s[1] and alias is not None and node is not None and scene.text is not None:
            edit = scene.text.replace(
                node,
                f"{alias}.avg_pool2d({scene.text.of(node)}, {factor}, ceil_mode=True)",
            )
            yield from candidate(
                ((edit,), None),
                22,
                said("Pool {large} by {factor} as well", large=scene.named(large), factor=factor),
                said("It averages the shortcut instead of learning how to make it smaller."),
            )
        for step in scene.lineage(small, 10):
            if step.op.startswith("nn.Conv2d"):
                layer = scene.model.get_submodule(step.module)
                if layer.stride == (factor, factor) and s[1] == t[1]:
                    yield from rebuilt(
                        scene,
                        step.module,
                        {"stride": 1},
                        20,
                        said(
                            "Keep the size in {module}: stride 1 instead of {factor}",
                            module=step.module,
                            factor=factor,
                        ),
                        said("The block then no longer makes the picture smaller."),
                    )
                    break


# long: one branch for each way in which the call goes wrong
def _projection(
    scene: Scene, tensor: Tensor, inner: int, outer: int, stride: int
) -> Iterator[Candidate]:
    """A 1 × 1 convolution on the shortcut, as residual networks have it."""
    owner = scene.scope.get("self")
    node = scene.use(tensor)
    frame = scene.crash.frames[-1] if scene.crash.frames else None
    if not isinstance(owner, nn.Module) or node is None or scene.text is None or frame is None:
        return
    found = next(iter(initialisers(owner)), None)
    if found is None or frame.module is None:
        return
    text, function = found
    alias = scene.alias(nn, text.file)
    if alias is None or hasattr(owner, "shortcut"):
        return
    last = function.body[-1]
    path = frame.module
    inside = scene.text.function(node)
    names = [argument.arg for argument in inside.args.args] if inside is not None else []
    if not any(scene.scope.get(name) is tensor for name in names):
        return  # a shortcut begins at what the block was given
    same = [
        name
        for name, module in scene.model.named_modules()
        if type(module) is type(owner) and name != path
    ]
    indent = " " * text.span(last).column
    call = f"{alias}.Conv2d({inner}, {outer}, 1{f', stride={stride}' if stride > 1 else ''})"
    if same:
        # The class builds blocks of several sizes: only its own names hold for all of them.
        known = scene.names(text, function, path)
        first = next((name for name, value in known.items() if value == inner), None)
        second = next((name for name, value in known.items() if value == outer), None)
        step = next((name for name, value in known.items() if value == stride), None)
        if inner == outer:
            second = first
        if first is None or second is None or (stride > 1 and step is None):
            return
        tests = [f"{first} != {second}"] * (first != second)
        tests += [f"{step} != 1"] * (stride > 1)
        more = f", stride={step}" if stride > 1 else ""
        call = (
            f"(\n{indent}    {alias}.Conv2d({first}, {second}, 1{more})\n"
            f"{indent}    if {' or '.join(tests)}\n{indent}    else {alias}.Identity()\n{indent})"
        )
    line = f"\n{indent}self.shortcut = {call}"

    def change(model: nn.Module) -> None:
        for other in same:
            model.get_submodule(other).add_module("shortcut", nn.Identity())
        made = nn.Conv2d(inner, outer, 1, stride=stride)
        model.get_submodule(path).add_module("shortcut", made.to(tensor.device, tensor.dtype))

    span = text.span(last)
    end = Span(span.end_line, span.end_column, span.end_line, span.end_column)
    edits = (
        Edit(text.file, end, line),
        scene.text.replace(node, f"self.shortcut({scene.text.of(node)})"),
    )
    yield from candidate(
        (edits, change),
        9,
        said(
            "Bring the shortcut to {outer} channels and stride {stride} with a 1 × 1 convolution"
            if stride > 1
            else "Bring the shortcut to {outer} channels with a 1 × 1 convolution",
            outer=outer,
            stride=stride,
        ),
        said(
            "It adds a layer with new weights, as residual networks do "
            "where a block changes its size."
        ),
    )


def _channels(scene: Scene, a: Tensor, b: Tensor) -> Iterator[Candidate]:
    """Two feature maps, or feature vectors, with other numbers of channels."""
    left, right = shape_of(a), shape_of(b)
    if len(left) != len(right):
        return
    differ = [n for n in range(len(left)) if left[n] != right[n] and 1 not in (left[n], right[n])]
    if len(left) == 4 and differ == [1]:
        yield from _projection(scene, b, right[1], left[1], 1)
        yield from _projection(scene, a, left[1], right[1], 1)
    if len(differ) == 1:
        axis = differ[0]
        if axis == 0 and scene.batch is not None:
            return
        for tensor, size in ((b, left[axis]), (a, right[axis])):
            if scene.kind(tensor) == "parameter":
                yield from parameter_size(scene, tensor, axis, size, 8)
            else:
                yield from maker_width(scene, tensor, size, 18)
    elif len(left) == 1 or len(right) == 1:
        return


@repair("add", "sub", "mul", "div", "kind:broadcast")
def parameter_width(scene: Scene) -> Iterator[Candidate]:
    """A bias or scale of another size than the last dimension it meets."""
    tensors = scene.operands
    for tensor in tensors:
        if scene.kind(tensor) not in ("parameter", "buffer") and not _owned(scene, tensor):
            continue
        for other in tensors:
            if other is tensor or _broadcasts(shape_of(tensor), shape_of(other)):
                continue
            for back in range(1, min(tensor.dim(), other.dim()) + 1):
                x, y = int(tensor.shape[-back]), int(other.shape[-back])
                if x != y and 1 not in (x, y):
                    yield from parameter_size(scene, tensor, tensor.dim() - back, y, 12)


# --- views -------------------------------------------------------------------------------------


def sizes_of(node: ast.Call, method: bool) -> list[ast.expr]:
    items = list(node.args if method else node.args[1:])
    if not items:
        keyword = next((k.value for k in node.keywords if k.arg in ("shape", "size")), None)
        items = [keyword] if keyword is not None else []
    if len(items) == 1 and isinstance(items[0], ast.Tuple | ast.List):
        return list(items[0].elts)
    return items


# long: one branch for each way in which the call goes wrong
@repair("view", "reshape", "unflatten", "resize")
def view(scene: Scene) -> Iterator[Candidate]:
    node, text = scene.call_node(), scene.text
    args = scene.crash.call_args
    if node is None or text is None or not args or not isinstance(args[0], Tensor):
        return
    x = args[0]
    shape = shape_of(x)
    method = isinstance(node.func, ast.Attribute) and len(sizes_of(node, True)) == len(
        values_of(args[1:])
    )
    if scene.op == "unflatten":
        return
    sizes, values = sizes_of(node, method), values_of(args[1:])
    receiver = (
        text.of(node.func.value)
        if method and isinstance(node.func, ast.Attribute)
        else (text.of(node.args[0]) if node.args else "")
    )
    if len(values) == 0:
        return
    total = math.prod(shape)
    if (
        not x.is_contiguous()
        and 0 not in values
        and (math.prod(values) == total or (-1 in values and total % -math.prod(values) == 0))
    ):
        if isinstance(node.func, ast.Attribute) and node.func.attr == "view":
            written = text.of(node.func)
            edit = text.replace(node.func, written[: len(written) - 4] + "reshape")
            yield from candidate(
                ((edit,), None), 0, said("Use `reshape`, which copies where a view is not possible")
            )
            inner = node.func.value
            yield from candidate(
                ((text.after(inner, ".contiguous()"),), None), 4, said("Make it contiguous first")
            )
        return
    if len(sizes) != len(values):
        # A star or a shape as a whole: `x.view(*shape)`.
        return
    batch = shape[0] if shape else 1
    simple = scene.simple(node.func.value if isinstance(node.func, ast.Attribute) else node.args[0])
    first = f"{simple}.size(0)" if simple else "-1"
    rest = math.prod(shape[1:])
    if len(values) == 2 and len(shape) >= 2:
        yield from candidate(
            ((text.replace(node, f"{_atom(text, node, receiver)}.flatten(1)"),), None),
            1,
            said(
                "Flatten each of the {batch} samples to {rest}, whatever its size",
                batch=batch,
                rest=rest,
            ),
        )
    for place in range(len(values)):
        others = [v for n, v in enumerate(values) if n != place]
        if -1 in others:
            others = []
        product = math.prod(others) if others else 0
        if product > 0 and total % product == 0:
            size = total // product
            swallowing = place == 0 and size != batch
            built = scene.failure.root is not None and scene.failure.root.kind == "constructor"
            priority, caveat = 6 if place else 5, None
            if built and place and size not in shape:
                # A layer made another number than this line was written for.
                priority, caveat = (
                    30,
                    said(
                        "Everything that reads dimension {place} then sees {size}.",
                        place=place,
                        size=size,
                    ),
                )
            elif swallowing:
                priority, caveat = (
                    55,
                    said(
                        "The first dimension becomes {size}, not the batch of {batch}.",
                        size=size,
                        batch=batch,
                    ),
                )
            yield from candidate(
                ((text.replace(sizes[place], "-1"),), None),
                priority,
                said(
                    "Let dimension {place} follow from the others: {size} instead of {size_2}",
                    place=place,
                    size=size,
                    size_2=values[place],
                ),
                caveat,
            )
    if len(values) >= 2 and values[0] != batch and shape:
        others = values[1:]
        if -1 in others or math.prod(others) == rest:
            yield from candidate(
                ((text.replace(sizes[0], first if simple else str(batch)),), None),
                0 if math.prod(others) == rest or rest % max(1, -math.prod(others)) == 0 else 8,
                said(
                    "Take the batch size from the tensor: {batch} instead of {size}",
                    batch=batch,
                    size=values[0],
                ),
            )
        for place in range(1, len(values)):
            others = [v for n, v in enumerate(values) if n not in (0, place)]
            if -1 not in others and simple and math.prod(others) and rest % math.prod(others) == 0:
                edits = (text.replace(sizes[0], first), text.replace(sizes[place], "-1"))
                yield from candidate(
                    (edits, None),
                    4 + place,
                    said(
                        "Keep the batch of {batch} and let dimension {place} be {size}",
                        batch=batch,
                        place=place,
                        size=rest // math.prod(others),
                    ),
                )
    yield from _square_map(scene, text, sizes, values, shape)
    if len(shape) >= 2 and min(values) > 0 and values[0] == batch:
        # The layer before makes too few or too many channels for what is to be taken apart.
        for axis_ in (1, len(shape) - 1):
            apart = total // shape[axis_] if shape[axis_] else 0
            if apart and math.prod(values) % apart == 0 and math.prod(values) != total:
                yield from maker_width(scene, x, math.prod(values) // apart, 14)
                break
    if values[0] == batch and len(shape) == 2 and math.prod(values[1:]) > 0:
        yield from maker_width(scene, x, math.prod(values[1:]), 16)
    yield from _heads(scene, text, sizes, values, shape)


def _square_map(
    scene: Scene, text: Text, sizes: list[ast.expr], values: list[int], shape: tuple[int, ...]
) -> Iterator[Candidate]:
    """`view(B, C, 8, 8)` of what holds 7 × 7 positions."""
    if len(values) != 4 or values[2] != values[3] or not shape or values[1] < 1:
        return
    rest = math.prod(shape[1:])
    side = math.isqrt(rest // values[1])
    if side and values[1] * side * side == rest:
        edits = (text.replace(sizes[2], str(side)), text.replace(sizes[3], str(side)))
        yield from candidate(
            (edits, None),
            6,
            said(
                "Make the map {side} × {side}: {rest} numbers are {size} × {side} × {side}",
                side=side,
                rest=rest,
                size=values[1],
            ),
        )


def _atom(text: Text, node: ast.Call, receiver: str) -> str:
    inner = node.func.value if isinstance(node.func, ast.Attribute) else None
    method = inner is not None and text.of(inner) == receiver
    plain = (
        isinstance(inner, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
        if method
        else (
            bool(node.args)
            and isinstance(node.args[0], ast.Name | ast.Attribute | ast.Call | ast.Subscript)
        )
    )
    return receiver if plain else f"({receiver})"


def values_of(args: Sequence[Any]) -> list[int]:
    if len(args) == 1 and isinstance(args[0], list | tuple):
        args = args[0]
    return [int(a) for a in args if isinstance(a, int) and not isinstance(a, bool)]


def _heads(
    scene: Scene, text: Text, sizes: list[ast.expr], values: list[int], shape: tuple[int, ...]
) -> Iterator[Candidate]:
    """`view(b, n, heads, dim // heads)` where the heads do not divide the features."""
    if not shape:
        return
    features = shape[-1]
    owner = scene.scope.get("self")
    if not isinstance(owner, nn.Module) or len(values) < 3:
        return
    for item, value in zip(sizes, values, strict=True):
        if value > 1 and features % value and isinstance(item, ast.Attribute):
            lower = next(n for n in range(value, 0, -1) if features % n == 0)
            upper = next(n for n in range(value, features + 1) if features % n == 0)
            for heads in dict.fromkeys((lower, upper)):
                yield from attribute(
                    scene,
                    owner,
                    item.attr,
                    heads,
                    12 if heads == lower else 14,
                    said(
                        "Use {heads} heads, which divide the {features} features; {value} do not",
                        heads=heads,
                        features=features,
                        value=value,
                    ),
                    said(
                        "Another number of heads also works if it divides {features}.",
                        features=features,
                    ),
                )


def attribute(
    scene: Scene, owner: nn.Module, name: str, value: int, rank: int, summary: Said, caveat: Said
) -> Iterator[Candidate]:
    """A plain number that `__init__` keeps: `self.heads = heads`.  It can be tried on a model built
    anew alone, since other numbers may have been computed from it."""
    if scene.crash.build is None:
        return
    for text, function in initialisers(owner):
        for found in assigned_to_self(function, name):
            if isinstance(found, ast.Name):
                for argument, default in zip(
                    reversed(function.args.args), reversed(function.args.defaults), strict=False
                ):
                    if argument.arg == found.id and isinstance(default, ast.Constant):
                        edit = text.replace(default, str(value))
                        yield from candidate(((edit,), _nothing), rank, summary, caveat)
            else:
                edit = text.replace(found, str(value))
                yield from candidate(((edit,), _nothing), rank, summary, caveat)
            return


# --- joining -----------------------------------------------------------------------------------


@repair("cat", "stack", "concat", "concatenate", "hstack", "vstack")
def join(scene: Scene) -> Iterator[Candidate]:
    node, text = scene.call_node(), scene.text
    tensors = scene.operands
    if node is None or text is None or len(tensors) < 2:
        return
    shapes = [shape_of(tensor) for tensor in tensors]
    ranks = {len(shape) for shape in shapes}
    args = scene.crash.call_args
    dim = scene.crash.call_kwargs.get("dim", args[1] if len(args) > 1 else 0)
    dim = scene.crash.call_kwargs.get("axis", dim)
    if not isinstance(dim, int):
        return
    if len(ranks) == 1:
        rank = ranks.pop()
        axis = dim % rank if rank and -rank <= dim < rank else dim
        differ = [n for n in range(rank) if len({shape[n] for shape in shapes}) > 1]
        if scene.op.startswith("cat") or scene.op.startswith("concat"):
            if (len(differ) == 1 and differ[0] != axis) or axis >= rank:
                places = differ if len(differ) == 1 else list(range(1, rank))
                for place in places:
                    pixels = rank == 4 and place >= 2
                    doubt = 50 if pixels else 48 if place == 0 and scene.batch else 0
                    if axis > 0 and place == rank - 1 and rank == 3:
                        doubt = 20  # the channels that are written are rather meant
                    yield from candidate(
                        ((text.argument(node, "dim", 1, str(place)),), None),
                        3 + doubt,
                        said(
                            "Join along dimension {place}, the only one in which they differ",
                            place=place,
                        ),
                        said("It puts the pictures beside each other.") if pixels else None,
                    )
            for a, b in itertools.permutations(tensors[:3], 2):
                yield from resampled(scene, a, b)
            large = max(tensors, key=lambda t: math.prod(shape_of(t)[2:]))
            for small in tensors:
                if small is not large:
                    yield from spatial(scene, small, large)
            yield from _expanded(scene, tensors, axis)
            for a, b in itertools.permutations(tensors[:2], 2):
                yield from unused_layers(scene, a)
                yield from _sized_for_join(scene, a, b, axis)
            for a, b in ((tensors[0], tensors[1]), (tensors[1], tensors[0])):
                if sorted(shape_of(a)) == sorted(shape_of(b)):
                    continue
                yield from _reordered(scene, a, b, axis)
        else:
            yield from _stacked(scene, node, tensors, shapes, dim, differ)
    else:
        yield from _ranks(scene, tensors, shapes, dim)
    for tensor in tensors[:2]:
        yield from squeezed(scene, tensor)


def _reordered(scene: Scene, a: Tensor, b: Tensor, axis: int) -> Iterator[Candidate]:
    """One of them has its channels last."""
    left, right = shape_of(a), shape_of(b)
    if len(left) != len(right) or len(left) < 3:
        return
    want = [n for n in range(len(left)) if n != axis]
    for order in itertools.permutations(range(len(right))):
        if order[0] != 0 or list(order) == list(range(len(right))):
            continue
        turned = [right[n] for n in order]
        if all(turned[n] == left[n] for n in want):
            moved = [n for n in range(len(order)) if order[n] != n]
            suffix = (
                f".transpose({moved[0]}, {moved[1]})"
                if len(moved) == 2
                else f".permute({', '.join(map(str, order))})"
            )
            yield from candidate(
                scene.transform(b, suffix),
                9,
                said(
                    "Put the dimensions of {b} in the order of {shape}",
                    b=scene.named(b),
                    shape=shape_text(left),
                ),
            )
            return


def _expanded(scene: Scene, tensors: list[Tensor], axis: int) -> Iterator[Candidate]:
    """A class token (1, 1, D) beside a batch of tokens (B, N, D)."""
    for tensor in tensors:
        shape = shape_of(tensor)
        other = next((t for t in tensors if t is not tensor), None)
        if other is None or other.dim() != tensor.dim():
            continue
        want = shape_of(other)
        grow = [n for n in range(len(shape)) if n != axis and shape[n] == 1 and want[n] != 1]
        rest = [n for n in range(len(shape)) if n != axis and n not in grow]
        if grow and all(shape[n] == want[n] for n in rest):
            name = scene.simple(scene.use(other))
            sizes = [
                (f"{name}.size({n})" if name else str(want[n])) if n in grow else "-1"
                for n in range(len(shape))
            ]
            pixels = len(shape) >= 4 and min(grow) >= 2
            yield from candidate(
                scene.transform(tensor, f".expand({', '.join(sizes)})"),
                1 if grow == [0] or pixels else 30,
                said(
                    "Repeat {tensor} {shape} along dimension {dims}, as {shape_2} needs",
                    tensor=scene.named(tensor),
                    shape=shape_text(shape),
                    dims=", ".join(map(str, grow)),
                    shape_2=shape_text(want),
                ),
            )


def _sized_for_join(scene: Scene, tensor: Tensor, other: Tensor, axis: int) -> Iterator[Candidate]:
    chain = scene.lineage(tensor, 1)
    if chain and op_name(chain[0].op) in MAKERS and tensor.dim() == other.dim():
        want = tuple(
            old if n == axis else new
            for n, (old, new) in enumerate(zip(shape_of(tensor), shape_of(other), strict=True))
        )
        yield from remake_tensors(scene, [tensor], want, 2, scene.named(tensor), other)


def _stacked(
    scene: Scene,
    node: ast.Call,
    tensors: list[Tensor],
    shapes: list[tuple[int, ...]],
    dim: int,
    differ: list[int],
) -> Iterator[Candidate]:
    """stack wants equal shapes; what differs in one dimension can be joined along it."""
    text = scene.text
    if text is None or len(differ) != 1 or not isinstance(node.func, ast.Attribute):
        return
    place = differ[0]
    edits = (
        text.replace(node.func, f"{text.of(node.func.value)}.cat"),
        text.argument(node, "dim", 1, str(place)),
    )
    yield from candidate(
        (edits, None),
        22,
        said(
            "Join them along dimension {place} with `cat`; `stack` needs equal sizes", place=place
        ),
        said("The result has no new dimension: what was stacked lies side by side."),
    )


def _ranks(
    scene: Scene, tensors: list[Tensor], shapes: list[tuple[int, ...]], dim: int
) -> Iterator[Candidate]:
    """Tensors with other numbers of dimensions."""
    most = max(shapes, key=len)
    large = next(t for t in tensors if shape_of(t) == most)
    name = scene.simple(scene.use(large))
    rank = len(most)
    axis = dim % rank if -rank <= dim < rank else dim
    for tensor in tensors:
        shape = shape_of(tensor)
        if len(shape) == 2 and rank >= 3 and shape[0] == most[0]:
            yield from candidate(
                scene.transform(large, ".flatten(1)"),
                7,
                said(
                    "Flatten {large} {shape} to one row for each sample",
                    large=scene.named(large),
                    shape=shape_text(most),
                ),
            )
        if len(shape) != rank - 1:
            if len(shape) == rank - 2 and rank == 4 and shape[0] == most[0]:
                height, width = _sized(name, most, 2), _sized(name, most, 3)
                grown = f"[:, :, None, None].expand(-1, -1, {height}, {width})"
                yield from candidate(
                    scene.transform(tensor, grown),
                    6,
                    said("Repeat {tensor} at every position", tensor=scene.named(tensor)),
                )
            continue
        for place in range(rank):
            grown_shape = (*shape[:place], 1, *shape[place:])
            fits = all(
                grown_shape[n] == most[n] or n == axis or grown_shape[n] == 1 for n in range(rank)
            )
            if not fits:
                continue
            need = [n for n in range(rank) if n != axis and grown_shape[n] != most[n]]
            suffix = f".unsqueeze({place if place < rank - 1 else -1})"
            if need:
                sizes = [_sized(name, most, n) if n in need else "-1" for n in range(rank)]
                suffix += f".expand({', '.join(sizes)})"
            batched = shape[:1] == most[:1]
            doubt = 45 if batched and place == 0 else 0
            yield from candidate(
                scene.transform(tensor, suffix),
                (12 if need else 2 if place == axis else 6) + doubt,
                said(
                    "Give {tensor} {shape} dimension {place} and repeat it there"
                    if place in need
                    else "Give {tensor} {shape} dimension {place}",
                    tensor=scene.named(tensor),
                    shape=shape_text(shape),
                    place=place,
                ),
            )


def _sized(name: str | None, shape: Sequence[int], axis: int) -> str:
    return f"{name}.size({axis})" if name else str(shape[axis])


# --- dimensions --------------------------------------------------------------------------------


def _positions(
    scene: Scene, text: Text, node: ast.Call, shape: tuple[int, ...], outside: int
) -> Iterator[Candidate]:
    """`x.mean(dim=[2, 3])` for a picture, where (B, N, D) has its positions in dimension 1."""
    dims = next(
        (
            item
            for item in (*node.args, *(k.value for k in node.keywords))
            if isinstance(item, ast.Tuple | ast.List) and len(item.elts) == 2
        ),
        None,
    )
    if dims is None or len(shape) != 3 or not outside:
        return
    for place, rank in ((1, 4), (2, 9)):
        yield from candidate(
            ((text.replace(dims, str(place)),), None),
            rank,
            said(
                "Reduce dimension {place}, of size {size}: {shape} is no picture",
                place=place,
                size=shape[place],
                shape=shape_text(shape),
            ),
            said("It reads dimension 1 as the positions.") if place == 1 else None,
        )


@repair("kind:axis")
def axis(scene: Scene) -> Iterator[Candidate]:
    """A dimension that the tensor does not have."""
    node, text = scene.call_node(), scene.text
    if node is None or text is None:
        return
    tensor = next(iter(scene.operands), None)
    if tensor is None or tensor.dim() == 0:
        return
    shape = shape_of(tensor)
    dims = [
        item
        for each in (*node.args, *(k.value for k in node.keywords if k.arg in ("dim", "axis")))
        for item in (each.elts if isinstance(each, ast.Tuple | ast.List) else [each])
    ]
    outside = [
        item
        for item in dims
        if isinstance(value := scene.known(item), int)
        and not isinstance(value, bool)
        and not -len(shape) <= value < len(shape)
    ]
    known = [scene.known(item) for item in dims if item not in outside]
    others = [value for value in known if isinstance(value, int)]
    yield from _positions(scene, text, node, shape, len(outside))
    method = scene.alias(torch) != text.of(node.func).partition(".")[0]
    reduces = called(node) in ("mean", "sum")
    if outside and method and reduces and isinstance(node.func, ast.Attribute):
        # The receiver alone stays.
        yield from candidate(
            ((text.replace(node, text.of(node.func.value)),), None),
            16,
            said(
                "Leave out the `{called}`: {shape} has no such dimension left",
                called=called(node),
                shape=shape_text(shape),
            ),
            said("It assumes that this dimension was reduced before."),
        )
    for item in outside:
        order = [len(shape) - 1, *range(1, len(shape) - 1)]
        for place in order:
            if place in others or (place == 0 and len(shape) > 1):
                continue
            last = place == len(shape) - 1
            yield from candidate(
                ((text.replace(item, "-1" if last else str(place)),), None),
                8 if last else 18,
                said(
                    "Use dimension {place}, of size {size}: {shape} has no dimension {item}",
                    place=place,
                    size=shape[place],
                    shape=shape_text(shape),
                    item=scene.known(item),
                ),
                said("Check that this is the dimension that is meant.") if len(shape) > 2 else None,
            )
    yield from squeezed(scene, tensor)


@repair("conv1d", "conv2d", "conv3d", "linear", "matmul", "add", "cat", "batch_norm")
@repair("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d")
def forgotten_layer(scene: Scene) -> Iterator[Candidate]:
    """A layer that was built for this very place and is never called."""
    x = scene.layer_input if scene.layer is not None else None
    if x is not None:
        for found in unused_layers(scene, x):
            yield from (Candidate(found.summary, found.edits, 6, found.caveat, found.change),)
