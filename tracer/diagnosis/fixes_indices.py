"""Repairs of losses, indices, splits, einsum, expand and attention on plain tensors."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tracer.diagnosis.fixes_layers import MAKERS, remake_tensors
from tracer.diagnosis.fixes_roots import squeezed
from tracer.diagnosis.fixes_scene import (
    Candidate,
    Scene,
    candidate,
    joined,
    rebuilt,
    repair,
    shape_of,
)
from tracer.diagnosis.fixes_tensors import (
    LOSSES,
    align,
    alignments,
    indexed,
    maker_width,
    reductions,
    same_rank,
    sizes_of,
    unused_layers,
    values_of,
)
from tracer.ops.names import op_name, shape_text
from tracer.sentences import said

# --- indices, splits, losses ---------------------------------------------------------------------


@repair("gather", "scatter", "scatter_add", "index_select", "take_along_dim")
def gathered(scene: Scene) -> Iterator[Candidate]:
    tensors = scene.operands
    if len(tensors) < 2:
        return
    x, index = tensors[0], tensors[1]
    args = scene.crash.call_args
    dim = scene.crash.call_kwargs.get("dim", args[1] if len(args) > 1 else 0)
    if index.dtype != torch.int64 and index.dtype != torch.int32:
        yield from candidate(
            scene.transform(index, ".long()"),
            1,
            said("Make the index {index} whole numbers", index=scene.named(index)),
        )
    if isinstance(dim, int) and index.dim() == x.dim() - 1:
        place = dim % x.dim() if x.dim() else 0
        without = tuple(size for n, size in enumerate(shape_of(x)) if n != place)
        exact = shape_of(index) == without
        yield from candidate(
            scene.transform(index, f".unsqueeze({dim})"),
            1 if exact else 20,
            said("Give the index the dimension {dim} along which it picks", dim=dim),
            None if exact else said("It picks another feature for each index."),
        )
        if place < x.dim() - 1:
            name = scene.simple(scene.use(x))
            last = f"{name}.size(-1)" if name else str(int(x.shape[-1]))
            sizes = ["-1"] * (x.dim() - 1) + [last]
            yield from candidate(
                scene.transform(index, f".unsqueeze(-1).expand({', '.join(sizes)})"),
                12 if exact else 2,
                said("Pick the same for every feature: repeat the index along the last dimension"),
            )
    if isinstance(dim, int) and index.dim() == 1 and x.dim() == 3 and scene.op == "gather":
        name = scene.simple(scene.use(x))
        if name:
            yield from candidate(
                scene.transform(index, f".view(-1, 1, 1).expand(-1, 1, {name}.size(2))"),
                3,
                said("Pick one position for each sample, with all its features"),
            )
    if scene.op == "index_select" and index.dim() > 1:
        yield from candidate(scene.transform(index, ".flatten()"), 12, said("Flatten the index"))
    if scene.op == "index_select" and index.dim() == 0:
        yield from candidate(
            scene.transform(index, ".unsqueeze(0)"), 3, said("Make the index a list")
        )


@repair("split", "split_with_sizes", "chunk", "tensor_split")
def split(scene: Scene) -> Iterator[Candidate]:
    node, text = scene.call_node(), scene.text
    x = next(iter(scene.operands), None)
    if node is None or text is None or x is None:
        return
    sizes = next(
        (item for item in (*node.args, *(k.value for k in node.keywords))
         if isinstance(item, ast.List | ast.Tuple)),
        None,
    )  # fmt: skip
    args = [a for a in scene.crash.call_args if not isinstance(a, Tensor)]
    values = next((list(a) for a in args if isinstance(a, list | tuple)), None)
    dim = scene.crash.call_kwargs.get("dim", 0)
    dim = next((a for a in args if isinstance(a, int)), dim)
    if sizes is None or values is None or not isinstance(dim, int):
        return
    have = int(x.shape[dim]) if -x.dim() <= dim < x.dim() else 0
    fits = [n for n in range(x.dim()) if n and int(x.shape[n]) == sum(values)]
    for place in fits:
        yield from candidate(
            ((text.argument(node, "dim", 2 if text.of(node.func).startswith("torch") else 1,
                            "-1" if place == x.dim() - 1 else str(place)),), None),
            2,
            said("Split dimension {place}, whose size is {sum}", place=place, sum=sum(values)),
        )  # fmt: skip
    for place in range(len(values)):
        rest = have - sum(v for n, v in enumerate(values) if n != place)
        if rest > 0 and place == len(values) - 1:
            yield from candidate(
                ((text.replace(sizes.elts[place], str(rest)),), None),
                24,
                said(
                    "Let the last part take the rest: {rest} instead of {size}",
                    rest=rest,
                    size=values[place],
                ),
                said("Check where the parts should end."),
            )
    if len(set(values)) == 1 and have % len(values) == 0:
        each = have // len(values)
        edits = tuple(text.replace(item, str(each)) for item in sizes.elts)
        yield from candidate(
            (edits, None),
            14,
            said(
                "Make {count} equal parts of {each} of the {have}",
                count=len(values),
                each=each,
                have=have,
            ),
        )
    yield from maker_width(scene, x, sum(values), 13)


# long: one branch for each way in which the call goes wrong
@repair(*LOSSES)
def loss(scene: Scene) -> Iterator[Candidate]:
    tensors = scene.operands
    if len(tensors) < 2:
        return
    score, target = tensors[0], tensors[1]
    a, b = shape_of(score), shape_of(target)
    if scene.op == "ctc_loss" and len(a) == 3 and a[0] == scene.batch != a[1]:
        yield from candidate(
            scene.transform(score, ".transpose(0, 1)"),
            1,
            said(
                "Put the {size} time steps first: `ctc_loss` takes (time, batch, classes)",
                size=a[1],
            ),
        )
        return
    if len(a) == 2 and len(b) > 2 and a[0] == b[0] and math.prod(a) == math.prod(b):
        yield from candidate(
            scene.transform(target, ".flatten(1)"),
            1,
            said("Flatten the target as the scores are: {shape}", shape=shape_text(a)),
        )
    elif len(b) == 2 and len(a) > 2 and a[0] == b[0] and math.prod(a) == math.prod(b):
        yield from candidate(
            scene.transform(score, ".flatten(1)"),
            1,
            said("Flatten the scores as the target is: {shape}", shape=shape_text(b)),
        )
    classes = scene.op in ("cross_entropy", "cross_entropy_loss", "nll_loss", "nll_loss_nd")
    whole = not target.is_floating_point()
    if classes:
        if target.is_floating_point() and a != b:
            yield from candidate(
                scene.transform(target, ".long()"),
                6,
                said("Make the target class numbers"),
                said("It cuts off decimals: the target must hold class numbers."),
            )
        if len(a) == 3 and b == a[:2]:
            yield from candidate(
                scene.transform(score, ".transpose(1, 2)"),
                1,
                said(
                    "Put the {size} classes at dimension 1, where cross-entropy looks for them",
                    size=a[2],
                ),
            )
            yield from candidate(
                joined(
                    scene.transform(score, ".flatten(0, 1)"), scene.transform(target, ".flatten()")
                ),
                5,
                said("Treat every position as a sample"),
            )
        elif len(a) == 4 and b == a[:3]:
            yield from candidate(
                scene.transform(score, ".permute(0, 3, 1, 2)"),
                1,
                said(
                    "Put the {size} classes at dimension 1, where cross-entropy looks for them",
                    size=a[3],
                ),
            )
        elif len(a) == 3 and (a[1], a[0]) == b:
            yield from candidate(
                scene.transform(target, ".T"), 35, said("Swap the target's two dimensions"),
            )  # fmt: skip
        if len(b) == len(a) and len(b) > 1 and b[1] == 1 and (b[0], *b[2:]) == (a[0], *a[2:]):
            cast = ".long()" if target.is_floating_point() else ""
            yield from candidate(
                scene.transform(target, f".squeeze(1){cast}"),
                1,
                said(
                    "Drop the target's dimension of one: {shape}", shape=shape_text((b[0], *b[2:]))
                ),
            )
        if len(b) == len(a) and b == a and whole:
            yield from candidate(
                scene.transform(target, ".argmax(1)"),
                4,
                said("Turn the one-hot target into class numbers"),
                said("It assumes that each row marks one class."),
            )
            yield from candidate(
                scene.transform(target, ".float()"),
                6,
                said("Read the target as probabilities of the classes"),
            )
        if len(a) == 2 and len(b) > 1 and math.prod(b) == a[0]:
            yield from candidate(
                scene.transform(target, ".flatten()"),
                1,
                said("Flatten the target as the scores are: {shape}", shape=shape_text((a[0],))),
            )
        if len(a) == 2 and len(b) == 1 and a[0] != b[0]:
            yield from squeezed(scene, score)
            for step in scene.lineage(score, 6):
                source = next(iter(step.inputs), None)
                if op_name(step.op) not in ("view", "reshape") or source is None:
                    continue
                if not source.shape or source.shape[0] != b[0]:
                    continue
                found = scene.call_of(step)
                if found is not None:
                    text, node = found
                    if isinstance(node.func, ast.Attribute):
                        edit = text.replace(node, f"{text.of(node.func.value)}.flatten(1)")
                        yield from candidate(
                            ((edit,), None),
                            2,
                            said("Keep the {size} samples apart: `flatten(1)`", size=b[0]),
                        )
                break
        if len(a) == 3 and len(b) == 1 and a[0] == b[0]:
            yield from candidate(
                scene.transform(score, "[:, -1]"),
                20,
                said("Use the scores of the last step"),
                said("It reads the last position as the answer."),
            )
            yield from candidate(
                scene.transform(score, ".mean(1)"),
                21,
                said("Average the scores over the steps"),
                said("It averages over the positions."),
            )
        alias = scene.alias(F)
        if len(a) == 4 and len(b) == 3 and a[0] == b[0] and a[2:] != b[1:] and alias is not None:
            used = scene.use(score)
            name = scene.simple(scene.use(target))
            if used is not None and scene.text is not None:
                size = f"{name}.shape[-2:]" if name else str(b[1:])
                edit = scene.text.replace(
                    used, f"{alias}.interpolate({scene.text.of(used)}, size={size})"
                )
                yield from candidate(
                    ((edit,), None),
                    5,
                    said(
                        "Enlarge the scores to the target's size {shape}", shape=shape_text(b[1:])
                    ),
                    said("It takes the nearest score for each pixel."),
                )
        if whole and target.numel() and not target.is_meta and len(a) > 1:
            yield from _classes(scene, score, target)
    else:
        kind = score.dtype
        if len(a) == len(b) and a != b:
            differ = [n for n in range(len(a)) if a[n] != b[n]]
            if differ == [len(a) - 1]:
                yield from maker_width(scene, score, b[-1], 10)
        cast = ".float()" if target.dtype != kind and kind == torch.float32 else ""
        if a != b:
            for tensor, shape, want in ((target, b, a), (score, a, b)):
                if len(shape) == len(want) - 1:
                    for axis_ in range(1, len(want)):
                        if want[axis_] == 1 and (*shape[:axis_], 1, *shape[axis_:]) == want:
                            extra = cast if tensor is target else ""
                            yield from candidate(
                                scene.transform(tensor, f".unsqueeze({axis_}){extra}"),
                                1 if tensor is target else 4,
                                said(
                                    "Give {tensor} {shape} the dimension of one that {shape_2} has",
                                    tensor=scene.named(tensor),
                                    shape=shape_text(shape),
                                    shape_2=shape_text(want),
                                ),
                            )
                if len(shape) == len(want) + 1:
                    for axis_ in range(1, len(shape)):
                        if shape[axis_] == 1 and (*shape[:axis_], *shape[axis_ + 1 :]) == want:
                            yield from candidate(
                                scene.transform(tensor, f".squeeze({axis_})"),
                                3,
                                said(
                                    "Drop the dimension of one of {tensor}",
                                    tensor=scene.named(tensor),
                                ),
                            )
            yield from squeezed(scene, score)
        if cast:
            yield from candidate(
                scene.transform(target, cast),
                2,
                said("Make the target floating point as the scores are"),
            )


def _classes(scene: Scene, score: Tensor, target: Tensor) -> Iterator[Candidate]:
    """A class number that the scores do not have."""
    high, low, have = int(target.max()), int(target.min()), int(score.shape[1])
    if high < have:
        return
    yield from maker_width(scene, score, high + 1, 10)
    if low >= 1 and high == have:
        yield from candidate(
            scene.transform(target, " - 1"),
            13,
            said("Count the classes from 0"),
            said("It assumes that the classes count from 1 in all the data."),
        )


@repair("getitem", "kind:range", "select")
def outside(scene: Scene) -> Iterator[Candidate]:
    """A number of a list of tensors, layers or steps that is not there."""
    node, text = scene.node, scene.text
    args = scene.crash.call_args
    if not isinstance(node, ast.Subscript) or text is None or not args:
        return
    x = args[0]
    if not isinstance(x, Tensor) or scene.op != "getitem":
        return
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    axis_ = 0
    for item in items:
        value = scene.known(item)
        if isinstance(item, ast.Slice):
            axis_ += 1
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            return
        if axis_ < x.dim() and not -x.shape[axis_] <= value < x.shape[axis_]:
            if value < 0:
                yield from _one_way(scene, x)
            last = int(x.shape[axis_]) - 1
            yield from candidate(
                ((text.replace(item, str(last) if value > 0 else "0"),), None),
                22,
                said("Take the last one there is, {last}", last=last)
                if value > 0
                else said("Take the first one"),
                said(
                    "Dimension {axis} has only {size}: check which one is meant.",
                    axis=axis_,
                    size=last + 1,
                ),
            )
        axis_ += 1


@repair("getitem", "masked_select")
def mask_of_tokens(scene: Scene) -> Iterator[Candidate]:
    """A mask of the tokens, where a token was put in front of them."""
    tensors = scene.operands
    if len(tensors) != 2 or tensors[1].dtype != torch.bool:
        return
    x, mask = tensors
    if mask.dim() != 2 or x.dim() < 2 or x.shape[0] != mask.shape[0]:
        return
    more = int(x.shape[1] - mask.shape[1])
    joined_here = any(step.op in ("torch.cat", "torch.concat") for step in scene.lineage(x, 3))
    if 0 < more <= 2 and joined_here:
        yield from candidate(
            scene.transform(x, f"[:, {more}:]"),
            8,
            said(
                "Leave out the first {more} of the {size} positions, for which {mask} has none",
                more=more,
                size=x.shape[1],
                mask=scene.named(mask),
            ),
            said("It assumes that what was joined to the tokens stands in front of them."),
        )


def _one_way(scene: Scene, x: Tensor) -> Iterator[Candidate]:
    """`hidden[-2]` and `hidden[-1]` are the two directions of a bidirectional layer."""
    step = scene.step_of(x)
    if step is None or step.op not in ("nn.LSTM", "nn.GRU", "nn.RNN") or not step.module:
        return
    layer = scene.model.get_submodule(step.module)
    if not getattr(layer, "bidirectional", True):
        yield from rebuilt(
            scene,
            step.module,
            {"bidirectional": True},
            4,
            said(
                "Make {module} bidirectional: the code reads its two directions", module=step.module
            ),
        )


@repair("expand", "expand_as", "broadcast_to", "repeat")
def expand(scene: Scene) -> Iterator[Candidate]:
    node, text = scene.call_node(), scene.text
    args = scene.crash.call_args
    if node is None or text is None or not args or not isinstance(args[0], Tensor):
        return
    x = args[0]
    shape = shape_of(x)
    if scene.op == "expand_as" and len(args) > 1 and isinstance(args[1], Tensor):
        yield from align(scene, x, args[1])
        yield from reductions(scene, x, args[1])
        yield from same_rank(scene, x, args[1])
        yield from squeezed(scene, x)
        return
    values, sizes = values_of(args[1:]), sizes_of(node, True)
    if not values:
        return
    want = tuple(values)
    if len(want) < len(shape) and len(sizes) == len(want):
        missing = ", -1" * (len(shape) - len(want))
        yield from candidate(
            ((text.replace(sizes[-1], text.of(sizes[-1]) + missing),), None),
            1,
            said(
                "Name all {count} dimensions of {shape}", count=len(shape), shape=shape_text(shape)
            ),
        )
    if len(want) > len(shape):
        found = list(alignments(shape, want))
        proper = [p for p in found if all(shape[i] == want[q] for i, q in enumerate(p))] or found
        if "mask" in text.of(node).lower():
            proper = sorted(proper, key=lambda p: (p[-1] != len(want) - 1, 2 in p))
        for order, places in enumerate(proper):
            suffix = indexed(places, len(want))
            if suffix:
                keeps = shape[:1] != want[:1] or places[0] == 0
                yield from candidate(
                    scene.transform(x, suffix),
                    (2 if order == 0 else 25) if keeps else 50,
                    said(
                        "Line {shape} up with dimension {dims}",
                        shape=shape_text(shape),
                        dims=", ".join(map(str, places)),
                    ),
                )
    if len(sizes) == len(values) and len(values) >= len(shape):
        edits = []
        for back in range(1, len(shape) + 1):
            if values[-back] not in (-1, shape[-back]) and shape[-back] != 1:
                edits.append(text.replace(sizes[-back], "-1"))
        if edits and len(edits) <= 2:
            yield from candidate(
                (tuple(edits), None), 7, said("Leave the sizes that are not one as they are: -1")
            )
    yield from unused_layers(scene, x)


# long: one candidate after another, each with what is said of it
@repair("setitem")
def assigned(scene: Scene) -> Iterator[Candidate]:
    """`out[:, i] = value`: the value must have the shape of the place."""
    tensors = scene.operands
    args = scene.crash.call_args
    if len(args) < 3 or not isinstance(args[2], Tensor) or not isinstance(args[0], Tensor):
        return
    value = args[2]
    try:
        place = args[0][args[1]]
    except (IndexError, TypeError, RuntimeError):
        return
    if value.dtype != place.dtype:
        return
    text = scene.text
    node = scene.node
    if text is None or not isinstance(node, ast.Assign):
        return
    small, want = shape_of(value), shape_of(place)
    target = node.targets[0]
    whole = shape_of(args[0])
    if isinstance(target, ast.Subscript) and isinstance(args[1], int):
        for axis_ in range(1, len(whole)):
            rest = (*whole[:axis_], *whole[axis_ + 1 :])
            if rest == small and abs(args[1]) < whole[axis_]:
                index = ", ".join([":"] * axis_ + [text.of(target.slice)])
                yield from candidate(
                    ((text.replace(target.slice, index),), None),
                    1,
                    said(
                        "Write along dimension {axis}: dimension 0 has the {size} samples",
                        axis=axis_,
                        size=whole[0],
                    ),
                )
    ones = [n for n, s in enumerate(small) if s == 1]
    for axis_ in ones:
        if (*small[:axis_], *small[axis_ + 1 :]) == want:
            edit = text.after(node.value, f".squeeze({axis_})")
            yield from candidate(
                ((edit,), None), 2, said("Drop dimension {axis} of one", axis=axis_)
            )
    if len(small) < len(want):
        for places in alignments(small, want):
            suffix = indexed(places, len(want))
            if suffix:
                yield from candidate(
                    ((text.after(node.value, suffix),), None),
                    3,
                    said(
                        "Line {shape} up with {shape_2}",
                        shape=shape_text(small),
                        shape_2=shape_text(want),
                    ),
                )
    if sorted(small) == sorted(want) and len(small) == 2:
        yield from candidate(
            ((text.after(node.value, ".T"),), None), 14, said("Transpose what is written there")
        )
    if len(tensors) > 1:
        buffer = args[0]
        chain = scene.lineage(buffer, 1)
        if chain and op_name(chain[0].op) in MAKERS and small:
            full = list(shape_of(buffer))
            if len(want) == len(small):
                for n in range(1, len(small) + 1):
                    full[-n] = small[-n] if full[-n] == want[-n] else full[-n]
                yield from remake_tensors(
                    scene, [buffer], tuple(full), 4, scene.named(buffer), value
                )


# long: one branch for each way in which the call goes wrong
@repair("einsum")
def einsum(scene: Scene) -> Iterator[Candidate]:
    node, text = scene.call_node(), scene.text
    args = scene.crash.call_args
    if node is None or text is None or not args or not isinstance(args[0], str):
        return
    equation = args[0].replace(" ", "")
    literal = next(
        (item for item in node.args if isinstance(item, ast.Constant) and item.value == args[0]),
        None,
    )
    if literal is None or "." in equation:
        return
    inputs, arrow, output = equation.partition("->")
    terms = inputs.split(",")
    tensors = scene.operands
    if len(terms) != len(tensors):
        return
    for number, (term, tensor) in enumerate(zip(terms, tensors, strict=True)):
        known = {
            letter: int(size)
            for t, x in zip(terms, tensors, strict=True)
            if t is not term and len(t) == x.dim()
            for letter, size in zip(t, x.shape, strict=True)
        }
        if tensor.dim() > len(term) >= 1:
            shape = shape_of(tensor)
            if all(size == 1 for size in shape[len(term) :]):
                yield from candidate(
                    scene.transform(tensor, f".flatten({len(term) - 1})"),
                    1,
                    said(
                        "Drop the dimensions of one of operand {number}: {shape}",
                        number=number,
                        shape=shape_text(shape[: len(term)]),
                    ),
                )
            elif scene.op == "einsum" and math.prod(shape[len(term) - 1 :]) in known.values():
                yield from candidate(
                    scene.transform(tensor, f".flatten({len(term) - 1})"),
                    4,
                    said(
                        "Flatten operand {number} from dimension {size} on",
                        number=number,
                        size=len(term) - 1,
                    ),
                )
        if tensor.dim() == len(term) - 1:
            for axis_ in range(1, len(term)):
                yield from candidate(
                    scene.transform(tensor, f".unsqueeze({axis_})"),
                    14,
                    said(
                        "Give operand {number} a dimension of one for {size}",
                        number=number,
                        size=repr(term[axis_]),
                    ),
                )
        if len(term) != tensor.dim():
            continue
        for order in itertools.permutations(term):
            if "".join(order) == term:
                continue
            if all(
                known.get(letter, int(size)) == int(size)
                for letter, size in zip(order, tensor.shape, strict=True)
            ):
                made = [*terms[:number], "".join(order), *terms[number + 1 :]]
                quoted = text.of(literal)[0]
                edit = text.replace(literal, f"{quoted}{','.join(made)}{arrow}{output}{quoted}")
                keeps = order[0] == term[0]
                first = next(iter(scene.inputs), None)
                named = dict(zip(order, shape_of(tensor), strict=True))
                # Heads are not as many as the sequence is long.
                length = first is not None and first.dim() == 3 and int(first.shape[1])
                heads = 10 if named.get("h", 0) == length else 0
                yield from candidate(
                    ((edit,), None),
                    (4 if number else 6) + heads if keeps else 40,
                    said(
                        "Name the dimensions of operand {number} `{letters}`: it is {shape}",
                        number=number,
                        letters="".join(order),
                        shape=shape_text(tensor.shape),
                    ),
                    said("Check that each letter stands for what is meant."),
                )


@repair("scaled_dot_product_attention")
def dot_product(scene: Scene) -> Iterator[Candidate]:
    bound = inspect_call(scene, ("query", "key", "value", "attn_mask"))
    q, k, mask = bound.get("query"), bound.get("key"), bound.get("attn_mask")
    if not isinstance(q, Tensor) or not isinstance(k, Tensor):
        return
    if isinstance(mask, Tensor):
        want = (*shape_of(q)[:-1], int(k.shape[-2]))
        if mask.dtype in (torch.int64, torch.int32, torch.uint8):
            yield from candidate(
                scene.transform(mask, ".bool()"), 1, said("Make the mask of `True` and `False`")
            )
        small = shape_of(mask)
        if len(small) < len(want):
            found = list(alignments(small, want))
            for places in sorted(found, key=lambda p: (p[0] != 0, -p[-1])):
                suffix = indexed(places, len(want))
                if suffix:
                    last = places[-1] == len(want) - 1
                    cast = "" if mask.dtype == torch.bool or mask.is_floating_point() else ".bool()"
                    yield from candidate(
                        scene.transform(mask, suffix + cast),
                        2 if places[0] == 0 and last else 40,
                        said(
                            "Line the mask {shape} up with {shape_2}",
                            shape=shape_text(small),
                            shape_2=shape_text(want),
                        ),
                        None if last else said("It hides queries instead of keys."),
                    )
        if small[:-2] == want[:-2] and (small[-1], small[-2]) == (want[-2], want[-1]):
            yield from candidate(
                scene.transform(mask, ".transpose(-2, -1)"),
                8,
                said("Swap the mask's last two dimensions"),
            )
    if q.shape[-1] != k.shape[-1]:
        yield from maker_width(scene, k, int(q.shape[-1]), 10)
        yield from maker_width(scene, q, int(k.shape[-1]), 18)
    if q.dim() == 4 and q.shape[-1] != k.shape[-1] and q.shape[-1] == k.shape[-2]:
        yield from candidate(
            scene.transform(k, ".transpose(-2, -1)"),
            3,
            said("Pass the keys as they are, features last"),
        )


def inspect_call(scene: Scene, names: Sequence[str]) -> dict[str, Any]:
    found = dict(zip(names, scene.crash.call_args, strict=False))
    found.update(scene.crash.call_kwargs)
    return found
