"""Repairs of layers that were given another tensor than they were built for."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tracer.diagnosis.fixes_scene import (
    Candidate,
    Scene,
    candidate,
    rebuilt,
    repair,
    settings,
    shape_of,
)
from tracer.document import Step
from tracer.ops.names import op_name, shape_text
from tracer.sentences import Said, said
from tracer.source.text import called

_CONVS = (nn.modules.conv._ConvNd,)
_RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)


def wanted(layer: nn.Module) -> tuple[str, int] | None:
    """The constructor argument that fixes the size of a layer's input, and its value."""
    for name in ("in_features", "in_channels", "num_features", "num_channels", "input_size"):
        value = getattr(layer, name, None)
        if isinstance(value, int):
            return name, value
    if isinstance(layer, nn.MultiheadAttention):
        return "embed_dim", layer.embed_dim
    return None


def permutation(rank: int, axis: int, to: int) -> str:
    """Move one axis: as a transpose where that says the same."""
    order = [n for n in range(rank) if n != axis]
    order.insert(to % rank, axis)
    moved = [n for n in range(rank) if order[n] != n]
    if len(moved) == 2:
        return f".transpose({moved[0]}, {moved[1]})"
    return f".permute({', '.join(map(str, order))})"


def channels_first(scene: Scene, x: Tensor) -> bool:
    """The tensor comes out of a convolution or pooling, whose channels are dimension 1."""
    for step in scene.lineage(x):
        if step.op.startswith(("nn.Conv", "F.conv", "torch.conv", "nn.MaxPool", "nn.AvgPool")):
            return True
        if step.op.startswith(("nn.BatchNorm2d", "nn.BatchNorm1d", "nn.Adaptive", "F.max_pool")):
            return True
        name = op_name(step.op)
        if name in ("permute", "transpose", "movedim", "mT", "T"):
            return False
        if name in ("view", "reshape", "flatten"):
            before, after = step.inputs[0].shape, step.outputs[0].shape
            if len(after) < 3 or before[:2] != after[:2]:
                return False
    return False


def _square(number: int) -> int | None:
    root = math.isqrt(number)
    return root if root * root == number and root > 1 else None


# long: one branch for each way in which the call goes wrong
@repair("nn.Linear", "linear")
def linear(scene: Scene) -> Iterator[Candidate]:
    """The last dimension is not in_features."""
    layer, x = scene.layer, scene.layer_input
    if not isinstance(layer, nn.Linear) or x is None:
        return
    if x.dtype != layer.weight.dtype:
        return
    shape, k = shape_of(x), layer.in_features
    rank = len(shape)
    if rank == 0 or shape[-1] == k:
        return
    who = scene.named(x)
    for axis in range(1, rank - 1):
        if math.prod(shape[axis:]) == k:
            suffix = f".flatten({axis})"
            layers = "Flatten()" if axis == 1 else f"Flatten({axis})"
            yield from candidate(
                scene.transform(x, suffix, layers),
                axis - 1,
                said(
                    "Flatten {who} to {shape} before the linear layer",
                    who=who,
                    shape=shape_text((*shape[:axis], k)),
                ),
            )
    if rank == 4 and shape[1] * shape[3] == k and shape[1] < shape[2] * shape[3]:
        yield from candidate(
            scene.transform(x, ".transpose(1, 2).flatten(2)"),
            2,
            said(
                "Put the {size} heads beside each other: {shape}",
                size=shape[1],
                shape=shape_text((shape[0], shape[2], k)),
            ),
            said("It reads dimension 1 as heads."),
        )
    if rank == 4 and shape[1] == k:
        yield from candidate(
            scene.transform(x, ".mean((2, 3))", "AdaptiveAvgPool2d(1); Flatten()"),
            4,
            said(
                "Average over the {size} × {size_2} positions, which leaves {k} channels",
                size=shape[2],
                size_2=shape[3],
                k=k,
            ),
            said(
                "It averages the positions before the layer. If the layer "
                "should see each position, move the channels to the end "
                "instead."
            ),
        )
    for axis in range(1, rank - 1):
        if shape[axis] == k:
            yield from candidate(
                scene.transform(x, permutation(rank, axis, -1)),
                6 if rank == 3 else 12,
                said("Move dimension {axis}, which has {k} features, to the end", axis=axis, k=k),
                said(
                    "It reads dimension {axis} as the features and applies the "
                    "layer at each of the {size} positions.",
                    axis=axis,
                    size=math.prod(shape[1:]) // k,
                ),
            )
    if rank == 2 and shape[0] == k and scene.batch not in (None, k):
        yield from candidate(
            scene.transform(x, ".T"),
            45,
            said("Swap the two dimensions"),
            said("It reads the rows as features."),
        )
    if rank == 2 and shape[1] == 1 and k == 1:
        return
    if rank == 1 and k == 1:
        yield from candidate(
            scene.transform(x, ".unsqueeze(1)", "Unflatten(0, (-1, 1))"),
            1,
            said("Give each of the {size} samples its one feature", size=shape[0]),
        )
    if rank == 2 and k == 1:
        yield from candidate(
            scene.transform(x, ".unsqueeze(-1)"),
            20,
            said("Treat every number as a sample of one feature"),
            said("It applies the layer to every single number."),
        )
    yield from _pool_before_flatten(scene, x, k)
    yield from _size(scene, "in_features", shape[-1], _picture(scene, x, rank))
    if rank >= 3:
        total = math.prod(shape[1:])
        pictures = rank >= 4 and channels_first(scene, x)
        if total == k:
            return
        yield from rebuilt(
            scene,
            scene.path,
            {"in_features": total},
            8 if pictures else 35,
            said("Flatten {who} and build the layer for {total} features", who=who, total=total),
            said("The number of features then depends on the size of the input."),
            beside=scene.transform(x, ".flatten(1)", "Flatten()"),
        )
    if scene.batch is not None and shape[0] != scene.batch and rank == 2:
        # An earlier view put samples and features together.
        yield from _swallowed(scene, x)


def _picture(scene: Scene, x: Tensor, rank: int) -> int:
    """How doubtful it is to change a layer's width to the last size: for a picture that is its
    width in pixels."""
    if rank == 4 and channels_first(scene, x):
        return 55
    if rank == 3 and channels_first(scene, x):
        return 40
    return 0


def _size(scene: Scene, name: str, value: int, doubt: int) -> Iterator[Candidate]:
    """Build the layer for what it is given; or what made it, for what the layer wants."""
    if value < 1 or scene.layer is None:
        return
    old = getattr(scene.layer, name)
    caveat = None
    flat = scene.layer_input is not None and math.prod(shape_of(scene.layer_input)[1:]) == old
    if doubt or (flat and name == "in_features"):
        caveat = said(
            "{value} is the size of a dimension that may not be the "
            "features: check what the last dimension means.",
            value=value,
        )
    x = scene.layer_input
    if x is not None and x.dim() and scene.batch == value and shape_of(x)[-1] != value:
        doubt = max(doubt, 60)
    of_features = name in ("in_features", "input_size")
    what = type(scene.layer).__name__
    yield from rebuilt(
        scene,
        scene.path,
        {name: value},
        10 + doubt,
        said(
            "Build the {what} for {value} features, as it is given, instead of {old}"
            if of_features
            else "Build the {what} for {value} channels, as it is given, instead of {old}",
            what=what,
            value=value,
            old=old,
        ),
        caveat,
    )
    if x is None:
        return
    yield from producer(scene, x, value, old, 16 + doubt)


def producer(scene: Scene, x: Tensor, value: int, old: int, rank: int) -> Iterator[Candidate]:
    """The layer that made the features, built for what the failing one wants."""
    for step in scene.lineage(x, 8):
        if not step.op.startswith("nn.") or not step.module:
            if op_name(step.op) in ("view", "reshape", "flatten", "cat", "permute"):
                break
            continue
        try:
            maker = scene.model.get_submodule(step.module)
        except AttributeError:
            break
        for output in ("out_features", "out_channels", "embedding_dim", "hidden_size"):
            if getattr(maker, output, None) == value and step.module != scene.path:
                yield from rebuilt(
                    scene,
                    step.module,
                    {output: old},
                    rank,
                    said(
                        "Let {module} make {old} instead of {value}, as {path} wants",
                        module=step.module,
                        old=old,
                        value=value,
                        path=scene.path or said("the layer"),
                    ),
                    said(
                        "It changes the layer before: {module} gets another size.",
                        module=step.module,
                    ),
                )
                return
        if any(hasattr(maker, o) for o in ("out_features", "out_channels", "hidden_size")):
            return


def _pool_before_flatten(scene: Scene, x: Tensor, k: int) -> Iterator[Candidate]:
    """`flatten` of a feature map whose channels alone are what the layer wants."""
    for step in scene.lineage(x, 4):
        name = op_name(step.op)
        if name not in ("flatten", "view", "reshape", "Flatten"):
            continue
        source = next((n for n in step.inputs if n.kind not in ("parameter", "buffer")), None)
        if source is None or len(source.shape) != 4:
            return
        if source.shape[1] != k:
            yield from _pool_to(scene, step, source.shape, k)
            return
        height, width = source.shape[2:]
        summary = said(
            "Average the {height} × {width} positions before flattening: {k} channels stay",
            height=height,
            width=width,
            k=k,
        )
        caveat = said("It adds a global average pooling that the code does not have yet.")
        if name == "Flatten":
            yield from candidate(
                scene.inserted(step.module, "AdaptiveAvgPool2d(1)"), 5, summary, caveat
            )
            return
        found = scene.call_of(step)
        if found is None:
            return
        text, node = found
        if isinstance(node, ast.Call):
            inner = (
                node.func.value
                if step.op.startswith("Tensor.") and isinstance(node.func, ast.Attribute)
                else (node.args[0] if node.args else None)
            )
            if inner is not None:
                edit = text.after(inner, ".mean((2, 3), keepdim=True)")
                yield from candidate(((edit,), None), 5, summary, caveat)
        return


def _pool_to(scene: Scene, step: Step, shape: tuple[int, ...], k: int) -> Iterator[Candidate]:
    """The layer was built for a map of another size: `nn.Linear(64 * 7 * 7, ...)`."""
    side = _square(k // shape[1]) if k % shape[1] == 0 else None
    found = scene.call_of(step)
    if side is None or found is None or side >= shape[2] or side >= shape[3]:
        return
    text, node = found
    alias = scene.alias(nn.functional, text.file)
    method = step.op.startswith("Tensor.") and isinstance(node.func, ast.Attribute)
    inner = node.func.value if method and isinstance(node.func, ast.Attribute) else None
    inner = inner or (node.args[0] if node.args and not method else None)
    if alias is None or inner is None or step.op.startswith("nn."):
        return
    edit = text.replace(inner, f"{alias}.adaptive_avg_pool2d({text.of(inner)}, {side})")
    yield from candidate(
        ((edit,), None),
        14,
        said(
            "Pool the {size} × {size_2} positions to the {side} × {side} of "
            "the layer: {k} = {size_3} · {side} · {side}",
            size=shape[2],
            size_2=shape[3],
            side=side,
            k=k,
            size_3=shape[1],
        ),
        said(
            "It assumes that the layer was built for smaller pictures, and "
            "takes any size from now on."
        ),
    )


def _swallowed(scene: Scene, x: Tensor) -> Iterator[Candidate]:
    """A view whose -1 took part of the features into the batch."""
    for step in scene.lineage(x, 5):
        if op_name(step.op) not in ("view", "reshape"):
            continue
        source = next((n for n in step.inputs), None)
        found = scene.call_of(step)
        if found is None or source is None or not source.shape:
            return
        text, node = found
        if source.shape[0] != scene.batch or not isinstance(node, ast.Call):
            return
        if not isinstance(node.func, ast.Attribute) or not step.op.startswith("Tensor."):
            return
        total = math.prod(source.shape[1:])
        edit = text.replace(node, f"{text.of(node.func.value)}.flatten(1)")
        summary = said(
            "Keep the {batch} samples apart: flatten each to {total} features",
            batch=scene.batch,
            total=total,
        )
        if scene.layer is not None and getattr(scene.layer, "in_features", None) == total:
            yield from candidate(((edit,), None), 0, summary)
        else:
            yield from rebuilt(
                scene,
                scene.path,
                {"in_features": total},
                2,
                said("{summary}, and build the layer for them", summary=summary),
                beside=((edit,), None),
            )
        return


# long: one branch for each way in which the call goes wrong
@repair("nn.Conv1d", "nn.Conv2d", "nn.Conv3d", "kind:channels", "kind:rank", "conv1d", "conv2d")
@repair("nn.ConvTranspose1d", "nn.ConvTranspose2d", "nn.ConvTranspose3d", "conv3d")
def convolution(scene: Scene) -> Iterator[Candidate]:
    """Another number of channels, or another number of dimensions, than the layer was built for."""
    layer, x = scene.layer, scene.layer_input
    if not isinstance(layer, _CONVS) or x is None or x.dtype != layer.weight.dtype:
        return
    n = len(layer.kernel_size)
    shape, c = shape_of(x), layer.in_channels
    rank = len(shape)
    who = scene.named(x)
    if rank == n + 2 and shape[1] != c:
        first = channels_first(scene, x)
        if shape[-1] == c:
            yield from candidate(
                scene.transform(x, permutation(rank, rank - 1, 1)),
                40 if first else 1,
                said("Move the {c} channels of {who} from the end to dimension 1", c=c, who=who),
            )
        for axis in range(2, rank - 1):
            if shape[axis] == c:
                yield from candidate(
                    scene.transform(x, permutation(rank, axis, 1)),
                    30,
                    said(
                        "Move dimension {axis}, which has size {c}, to the channels", axis=axis, c=c
                    ),
                    said("It reads dimension {axis} as the channels.", axis=axis),
                )
        doubt = 45 if c in shape[2:] or (shape[-1] in (1, 3, 4) and n == 2) else 0
        if layer.groups > 1 and layer.groups == c:
            values = {"in_channels": shape[1], "groups": shape[1]}
            if layer.out_channels == c:
                values["out_channels"] = shape[1]
            yield from rebuilt(
                scene,
                scene.path,
                values,
                11 + doubt,
                said("Build the depthwise convolution for {size} channels", size=shape[1]),
            )
        yield from _size(scene, "in_channels", shape[1], doubt)
        if x is not None and any(x is tensor for tensor in scene.inputs):
            yield from _input_channels(scene, x, c)
    elif rank == n + 1:
        # torch reads this as one sample without a batch; its first dimension is then the channels.
        if c == 1 and shape[0] != 1:
            yield from candidate(
                scene.transform(x, ".unsqueeze(1)", _unflatten(shape, 1)),
                0,
                said(
                    "Give {who} its one channel: {shape}",
                    who=who,
                    shape=shape_text((shape[0], 1, *shape[1:])),
                ),
            )
        if shape[-1] == c and shape[0] != c:
            yield from candidate(
                scene.transform(x, permutation(rank, rank - 1, 0) + ".unsqueeze(0)"),
                6,
                said("Move the {c} channels to the front and add a batch of one", c=c),
                said("It reads the input as one sample without a batch."),
                batches=False,
            )
        if n == 1 and rank == 2 and shape[1] == c:
            yield from candidate(
                scene.transform(x, ".unsqueeze(2)", f"Unflatten(1, ({c}, 1))"),
                8,
                said("Give {who} a length of one: {shape}", who=who, shape=shape_text((*shape, 1))),
                said("It reads the features as channels of a signal of length one."),
            )
        if shape[0] != c:
            first = scene.batch == shape[0]
            yield from _size(scene, "in_channels", shape[0], 65 if first else 30)
    elif rank == n:
        if c == 1:
            yield from candidate(
                scene.transform(x, "[None, None]"),
                4,
                said("Add the batch and the channel: {shape}", shape=shape_text((1, 1, *shape))),
                said("It reads the input as one sample with one channel."),
                batches=False,
            )
        if n == 2 and shape[0] == scene.batch and shape[1] % c == 0:
            side = _square(shape[1] // c)
            if side is not None:
                yield from candidate(
                    scene.transform(
                        x,
                        f".unflatten(1, ({c}, {side}, {side}))",
                        f"Unflatten(1, ({c}, {side}, {side}))",
                    ),
                    2,
                    said(
                        "Turn each row of {size} into a picture {shape}",
                        size=shape[1],
                        shape=shape_text((c, side, side)),
                    ),
                    said("It assumes square pictures of {side} × {side}.", side=side),
                )
    if rank == 2 and n > 1 and shape[1] == c:
        ones = ", ".join(["None"] * n)
        yield from candidate(
            scene.transform(x, f"[:, :, {ones}]", f"Unflatten(1, ({c}{', 1' * n}))"),
            1,
            said(
                "Give {who} {n} dimensions of one: {shape}",
                who=who,
                n=n,
                shape=shape_text((*shape, *[1] * n)),
            ),
        )
    if rank == n + 3:
        if 1 in shape[1:]:
            axis = shape.index(1, 1)
            yield from candidate(
                scene.transform(x, f".squeeze({axis})"),
                5,
                said("Drop dimension {axis}, which has size 1", axis=axis),
            )
        yield from candidate(
            scene.transform(x, ".flatten(0, 1)", "Flatten(0, 1)"),
            18,
            said("Treat the {size} frames of each sample as samples of their own", size=shape[1]),
            said("The frames come out as further samples: put them apart again behind the layer."),
        )
    if rank == n + 2 and shape[0] == 1 and shape[1] == c:
        return


def _unflatten(shape: tuple[int, ...], axis: int) -> str:
    return f"Unflatten({axis}, (1, {shape[axis]}))" if axis < len(shape) else ""


def _input_channels(scene: Scene, x: Tensor, c: int) -> Iterator[Candidate]:
    """Gray pictures for a network of colour pictures, and the other way."""
    shape = shape_of(x)
    if shape[1] == 1 and c > 1 and len(shape) == 4:
        yield from candidate(
            scene.transform(x, f".expand(-1, {c}, -1, -1)"),
            24,
            said("Show the one channel to the layer {c} times", c=c),
            said("The layer's weights stay as they are, as pretrained weights ask for."),
        )
    if shape[1] == 3 and c == 1 and len(shape) == 4:
        yield from candidate(
            scene.transform(x, ".mean(1, keepdim=True)"),
            26,
            said("Average the three colours into one channel"),
            said("The colours are lost."),
        )


@repair("kind:kernel", "conv1d", "conv2d", "conv3d", "max_pool2d", "avg_pool2d", "max_pool1d")
@repair("nn.Conv1d", "nn.Conv2d", "nn.MaxPool2d", "nn.AvgPool2d", "nn.MaxPool1d", "nn.AvgPool1d")
def kernel(scene: Scene) -> Iterator[Candidate]:
    """A window larger than what is left of the input."""
    layer, x = scene.layer, scene.layer_input
    if layer is None or x is None:
        return
    words = scene.crash.words
    if not any(word in words for word in ("larger than", "greater than", "too small")):
        return
    sizes = shape_of(x)
    if isinstance(layer, _CONVS):
        half = [k // 2 for k in layer.kernel_size]
        if all(k % 2 for k in layer.kernel_size):
            value: Any = half[0] if len(set(half)) == 1 else tuple(half)
            yield from rebuilt(
                scene,
                scene.path,
                {"padding": value},
                14,
                said(
                    "Pad by {value}, so that the convolution keeps the size of its input",
                    value=value,
                ),
                said(
                    "The input of this layer is only {sizes} large: check whether "
                    "the pictures should be larger, or pooled less often.",
                    sizes=" × ".join(map(str, sizes[2:])),
                ),
            )
        yield from _unpooled(scene, x)
    elif isinstance(layer, nn.AvgPool2d | nn.AvgPool1d | nn.MaxPool2d | nn.MaxPool1d):
        name = "Adaptive" + type(layer).__name__
        head = isinstance(layer, nn.AvgPool2d | nn.AvgPool1d)
        built = scene.built(scene.path)
        if built is not None:
            alias = scene.alias(nn, built.text.file)
            func = built.call.func
            prefix = built.text.of(func.value) if isinstance(func, ast.Attribute) else alias
            if prefix is not None:
                path = scene.path

                def change(model: nn.Module) -> None:
                    owner, _, last = path.rpartition(".")
                    model.get_submodule(owner)._modules[last] = getattr(nn, name)(1)

                edit = built.text.replace(built.call, f"{prefix}.{name}(1)")
                yield from candidate(
                    ((edit,), change),
                    6 if head else 20,
                    said("Pool over whatever size is left"),
                    said(
                        "Its window is larger than the {sizes} that is left: the inputs "
                        "may be smaller than the model was made for.",
                        sizes=" × ".join(map(str, sizes[2:])),
                    ),
                )
        yield from _unpooled(scene, x)


def _unpooled(scene: Scene, x: Tensor) -> Iterator[Candidate]:
    """Leave out the pooling that made the input too small."""
    for step in scene.lineage(x, 6):
        if step.op not in ("nn.MaxPool2d", "nn.AvgPool2d", "nn.MaxPool1d", "nn.AvgPool1d"):
            continue
        found = scene.call_of(step)
        if found is None or len(found[1].args) != 1:
            return
        text, node = found
        assert isinstance(node, ast.Call)
        yield from candidate(
            ((text.replace(node, text.of(node.args[0])),), None),
            34,
            said("Leave out the pooling `{code}`", code=" ".join(text.of(node).split())),
            said("The model then sees the pictures at a higher resolution behind it."),
        )
        return


@repair("nn.BatchNorm1d", "nn.BatchNorm2d", "nn.BatchNorm3d", "nn.InstanceNorm2d", "nn.GroupNorm")
@repair("nn.InstanceNorm1d", "nn.PReLU")
def normalisation(scene: Scene) -> Iterator[Candidate]:
    layer, x = scene.layer, scene.layer_input
    found = wanted(layer) if layer is not None else None
    if layer is None or x is None or found is None:
        return
    name, c = found
    shape = shape_of(x)
    rank = len(shape)
    ranks = {"1d": (2, 3), "2d": (4,), "3d": (5,)}.get(type(layer).__name__[-2:])
    if ranks is not None and rank not in ranks:
        suffix = {2: "1d", 3: "1d", 4: "2d", 5: "3d"}.get(rank)
        if suffix is not None:
            other = type(layer).__name__[:-2] + suffix
            values = {"num_features": shape[1]} if shape[1] != c else {}
            if not values:
                yield from candidate(
                    scene.layer_class(scene.path, other, {}),
                    2,
                    said(
                        "Use {other}, which takes a tensor of {rank} dimensions",
                        other=other,
                        rank=rank,
                    ),
                )
        if rank == 3 and shape[-1] == c and suffix is not None:
            pass
        return
    if rank >= 2 and shape[1] != c:
        if rank >= 3 and shape[-1] == c:
            back = permutation(rank, 1, -1)
            there = permutation(rank, rank - 1, 1)
            yield from candidate(
                _around(scene, x, there, back),
                40 if channels_first(scene, x) else 2,
                said(
                    "Show the layer the {c} features as dimension 1, and turn the result back", c=c
                ),
            )
        if rank == 2 and shape[0] == c and scene.batch != shape[0]:
            pass
        doubt = 45 if c in shape[2:] and not channels_first(scene, x) else 0
        yield from _size(scene, name, shape[1], doubt)


def _around(scene: Scene, x: Tensor, there: str, back: str) -> Any:
    """`self.norm(x)` → `self.norm(x.transpose(1, 2)).transpose(1, 2)`."""
    node = scene.node
    if scene.text is None or not isinstance(node, ast.Call):
        return None
    if scene.known(node.func) is not scene.layer:
        return None
    first = scene.wrapped(x, there)
    if first is None:
        return None
    return (first, scene.text.after(node, back)), None


@repair("nn.LayerNorm")
def layer_norm(scene: Scene) -> Iterator[Candidate]:
    layer, x = scene.layer, scene.layer_input
    if not isinstance(layer, nn.LayerNorm) or x is None:
        return
    shape, want = shape_of(x), tuple(layer.normalized_shape)
    rank = len(shape)
    if len(want) == 1:
        for axis in range(1, rank - 1):
            if shape[axis] == want[0]:
                there, back = permutation(rank, axis, -1), permutation(rank, rank - 1, axis)
                yield from candidate(
                    _around(scene, x, there, back),
                    2 + axis,
                    said(
                        "Put dimension {axis}, which has {size} features, last for the "
                        "layer, and turn the result back",
                        axis=axis,
                        size=want[0],
                    ),
                )
        if math.prod(shape[1:]) == want[0]:
            yield from candidate(
                scene.transform(x, ".flatten(1)", "Flatten()"),
                3,
                said("Flatten before normalising"),
            )
    built = scene.built(scene.path)
    if built is not None and rank >= len(want):
        new = shape[rank - len(want) :]
        single = len(want) == 1
        doubt = 45 if single and (want[0] in shape[1:-1] or channels_first(scene, x)) else 0
        value = new[0] if single else list(new)
        if single and isinstance(built.given("normalized_shape"), ast.List | ast.Tuple):
            value = list(new)
        yield from rebuilt(
            scene,
            scene.path,
            {"normalized_shape": value},
            10 + doubt,
            said(
                "Normalise over the last size {value}"
                if single
                else "Normalise over the last sizes {value}",
                value=str(value),
            ),
            said("Check that the last dimension is what should be normalised.") if doubt else None,
        )


# long: one branch for each way in which the call goes wrong
@repair("nn.RNN", "nn.LSTM", "nn.GRU", "nn.RNNCell", "nn.LSTMCell", "nn.GRUCell")
def recurrent(scene: Scene) -> Iterator[Candidate]:
    """Input size, rank, and the initial state."""
    layer, x = scene.layer, scene.layer_input
    if layer is None or x is None or scene.running is None:
        return
    size = int(getattr(layer, "input_size", 0))
    shape, who = shape_of(x), scene.named(x)
    rank = len(shape)
    if not shape:
        return
    if rank in (2, 3) and shape[-1] != size:
        if rank == 2 and size == 1:
            yield from candidate(
                scene.transform(x, ".unsqueeze(-1)"),
                1,
                said(
                    "Give each of the {size} time steps its one feature: {shape}",
                    size=shape[1],
                    shape=shape_text((*shape, 1)),
                ),
            )
        if rank == 3 and shape[1] == size:
            yield from candidate(
                scene.transform(x, ".transpose(1, 2)"),
                3,
                said("Move the {size} features of {who} to the end", size=size, who=who),
            )
        if rank == 3 and shape[0] == size:
            yield from candidate(
                scene.transform(x, ".permute(1, 2, 0)"),
                40,
                said("Move the first dimension to the end"),
                said("It reads the first dimension, which is usually the batch, as the features."),
            )
        doubt = 45 if size in shape[1:-1] or (rank == 3 and channels_first(scene, x)) else 0
        if rank == 2 and not isinstance(layer, nn.RNNCellBase):
            doubt = max(doubt, 20)
        yield from _size(scene, "input_size", shape[-1], doubt)
    state = _state(scene)
    first = state[0] if isinstance(state, tuple | list) and state else state
    if rank == 2 and isinstance(first, Tensor) and first.dim() == 3 and shape[-1] == size:
        place = 1 if getattr(layer, "batch_first", False) else 0
        step = scene.transform(x, f".unsqueeze({place})")
        text, call = scene.text, scene.node
        back = text.behind_first(call, f".squeeze({place})") if text and call else None
        if step is not None and back is not None:
            yield from candidate(
                ((*step[0], back), step[1]),
                1,
                said("Give {who} its one time step, and take it off the result", who=who),
            )
        yield from candidate(
            step,
            1,
            said(
                "Give {who} its one time step: {shape}",
                who=who,
                shape=shape_text((*shape[:place], 1, *shape[place:])),
            ),
        )
    if rank == 4:
        if (
            shape[2] * shape[3] == size
            or shape[1] * shape[2] == size
            or shape[1] * shape[3] == size
        ):
            if shape[1] * shape[2] == size:
                yield from candidate(
                    scene.transform(x, ".flatten(1, 2).transpose(1, 2)"),
                    6,
                    said(
                        "Join channels and height into {size} features and walk along the width",
                        size=size,
                    ),
                    said("It reads the width as time."),
                )
            if shape[1] * shape[3] == size:
                yield from candidate(
                    scene.transform(x, ".transpose(1, 2).flatten(2)"),
                    12,
                    said(
                        "Join channels and width into {size} features and walk along the height",
                        size=size,
                    ),
                    said("It reads the height as time."),
                )
            if shape[2] * shape[3] == size:
                yield from candidate(
                    scene.transform(x, ".flatten(2)"),
                    14,
                    said(
                        "Flatten each channel to {size} features and walk along the channels",
                        size=size,
                    ),
                    said("It reads the channels as time."),
                )
        if shape[1] == size:
            yield from candidate(
                scene.transform(x, ".flatten(2).transpose(1, 2)"),
                8,
                said(
                    "Read the {size} × {size_2} positions as time, with {size_3} features each",
                    size=shape[2],
                    size_2=shape[3],
                    size_3=size,
                ),
                said("It reads the positions, row by row, as time."),
            )
        if 1 in shape[1:3]:
            axis = shape.index(1, 1)
            yield from candidate(
                scene.transform(x, f".squeeze({axis})"),
                2,
                said("Drop dimension {axis} of size 1", axis=axis),
            )
    state = _state(scene)
    if isinstance(layer, nn.RNNCellBase) and rank == 2 and state is not None:
        states = list(state) if isinstance(state, tuple | list) else [state]
        kept = [item for item in states if isinstance(item, Tensor)]
        want = (shape[0], layer.hidden_size)
        if scene.batch == shape[0] and any(shape_of(item) != want for item in kept):
            yield from remake_tensors(scene, kept, want, 4, said("the state"), x)
    if state is not None and isinstance(layer, _RECURRENT):
        yield from _hidden(scene, layer, x, state)


def _state(scene: Scene) -> Any:
    if scene.running is None:
        return None
    args = scene.running.args
    return args[1] if len(args) > 1 else scene.running.kwargs.get("hx")


def _hidden(scene: Scene, layer: Any, x: Tensor, state: Any) -> Iterator[Candidate]:
    states = list(state) if isinstance(state, tuple | list) else [state]
    states = [item for item in states if isinstance(item, Tensor)]
    shape = shape_of(x)
    if not states:
        return
    directions = 2 if layer.bidirectional else 1
    if isinstance(layer, nn.LSTM) and isinstance(state, Tensor):
        node = scene.use(state)
        if node is not None and scene.text is not None:
            written = scene.text.of(node)
            edit = scene.text.replace(node, f"({written}, torch.zeros_like({written}))")
            alias = scene.alias(torch)
            if alias is not None:
                edit = scene.text.replace(node, f"({written}, {alias}.zeros_like({written}))")
                yield from candidate(
                    ((edit,), None),
                    3,
                    said("Give the LSTM its cell state, zeros, beside the hidden one"),
                )
    if len(shape) == 3:
        batch = shape[0] if layer.batch_first else shape[1]
        length = shape[1] if layer.batch_first else shape[0]
        want = (layer.num_layers * directions, batch, layer.proj_size or layer.hidden_size)
        have = {shape_of(item) for item in states}
        if have == {(want[0], length, want[2])} and length != batch:
            first = not layer.batch_first
            yield from rebuilt(
                scene,
                scene.path,
                {"batch_first": first},
                1,
                said(
                    "Tell the layer that the batch is dimension {dim}: the state "
                    "is made for a batch of {length}",
                    dim=0 if first else 1,
                    length=length,
                ),
            )
        if len(have) == 1 and len(next(iter(have))) == 2 and next(iter(have)) == want[1:]:
            edits = [scene.wrapped(item, ".unsqueeze(0)") for item in states]
            found = tuple(edit for edit in edits if edit is not None)
            if want[0] == 1 and len(found) == len(states):
                yield from candidate(
                    (found, None), 2, said("Give the state its dimension for layers and directions")
                )
        if have == {(batch, want[0], want[2])}:
            edits = [scene.wrapped(item, ".transpose(0, 1).contiguous()") for item in states]
            found = tuple(edit for edit in edits if edit is not None)
            if len(found) == len(states):
                yield from candidate(
                    (found, None),
                    4,
                    said("Put the {size} layers of the state before its batch", size=want[0]),
                )
        yield from remake_tensors(scene, states, want, 4, said("the state"), x)


def remake_tensors(
    scene: Scene,
    tensors: list[Tensor],
    want: tuple[int, ...],
    rank: int,
    what: str | Said,
    like: Tensor | None = None,
) -> Iterator[Candidate]:
    """Tensors made in the forward by `torch.zeros(...)` and its like, made with other sizes."""
    edits = []
    for tensor in tensors:
        chain = scene.lineage(tensor, 4)
        step = next((s for s in chain if s.op.rpartition(".")[2] in MAKERS), None)
        found = scene.call_of(step) if step is not None else None
        if step is None or found is None:
            return
        text, node = found
        assert isinstance(node, ast.Call)
        args = list(node.args)
        packed = bool(args) and isinstance(args[0], ast.Tuple | ast.List)
        sizes = list(args[0].elts) if packed else args  # type: ignore[attr-defined]
        made = step.outputs[0].shape
        if len(sizes) != len(made) or len(made) != len(want):
            return
        for item, old, new in zip(sizes, made, want, strict=True):
            if old != new:
                edits.append(text.replace(item, _size_text(scene, text, node, item, new, like)))
    if edits:
        yield from candidate(
            (tuple(edits), None),
            rank,
            said("Make {what} of the sizes {shape}", what=what, shape=shape_text(want)),
            said("Its sizes are what the layer and its input ask for."),
        )


MAKERS = frozenset(
    [
        "zeros",
        "ones",
        "randn",
        "rand",
        "empty",
        "full",
        "new_zeros",
        "new_ones",
        "new_empty",
        "randint",
        "eye",
        "arange",
    ]
)


def _size_text(
    scene: Scene, text: Any, node: ast.AST, item: ast.expr, size: int, like: Tensor | None
) -> str:
    """A size in the names of the function in which it is written: `x.size(0)`."""
    inside = scene.beside(text, node)
    names: dict[str, Any] = dict(scene.scope) if inside else {}
    if like is not None:
        for name, value in names.items():
            if value is like:
                for axis in range(like.dim()):
                    if like.shape[axis] == size and axis < 2:
                        return f"{name}.size({axis})"
    if isinstance(item, ast.BinOp | ast.Attribute):
        # `self.layers` for two directions becomes `self.layers * 2`.
        value = scene.known(item)
        if isinstance(value, int) and value and size % value == 0 and size // value > 1:
            return f"{text.of(item)} * {size // value}"
    for name, value in names.items():
        if isinstance(value, Tensor) and any(value is t for t in scene.inputs):
            for axis in range(min(2, value.dim())):
                if value.shape[axis] == size:
                    return f"{name}.size({axis})"
    if isinstance(item, ast.Name):
        value = scene.known(item)
        if isinstance(value, int) and value and size % value == 0 and size // value > 1:
            return f"{item.id} * {size // value}"
    return str(size)


# long: one branch for each way in which the call goes wrong
@repair("nn.MultiheadAttention", "nn.TransformerEncoderLayer", "nn.TransformerDecoderLayer")
@repair("nn.Transformer", "nn.TransformerEncoder", "nn.TransformerDecoder")
def attention(scene: Scene) -> Iterator[Candidate]:
    layer, x = scene.layer, scene.layer_input
    if layer is None or x is None or scene.running is None:
        return
    inner = (
        layer
        if isinstance(layer, nn.MultiheadAttention)
        else next((m for m in layer.modules() if isinstance(m, nn.MultiheadAttention)), None)
    )
    if inner is None:
        return
    shape, size = shape_of(x), inner.embed_dim
    tensors = [*scene.running.args, *scene.running.kwargs.values()]
    tensors = [item for item in tensors if isinstance(item, Tensor)]
    if len(shape) == 3 and shape[-1] == size and not inner.batch_first:
        key = "batch_first"
        path = scene.path
        if isinstance(layer, nn.TransformerEncoder | nn.TransformerDecoder):
            path = ""
        if path:
            yield from rebuilt(
                scene,
                path,
                {key: True},
                3,
                said("Tell the layer that the batch is dimension 0"),
            )
        else:
            yield from _batch_first_of_encoder(scene, layer)
    if len(shape) == 3 and shape[-1] != size:
        if shape[1] == size:
            yield from candidate(
                scene.transform(x, ".transpose(1, 2)"),
                3,
                said("Move the {size} features to the end", size=size),
            )
        if isinstance(layer, nn.MultiheadAttention) and shape[-1] % layer.num_heads == 0:
            yield from rebuilt(
                scene,
                scene.path,
                {"embed_dim": shape[-1]},
                10 + (30 if shape[1] == size else 0),
                said(
                    "Build the attention for {size} features instead of {size_2}",
                    size=shape[-1],
                    size_2=size,
                ),
            )
        yield from producer(scene, x, shape[-1], size, 12)
        if "d_model" in settings(layer):
            yield from rebuilt(
                scene,
                scene.path,
                {"d_model": shape[-1]},
                10,
                said(
                    "Build the layer for {size} features instead of {size_2}",
                    size=shape[-1],
                    size_2=size,
                ),
            )
    if len(shape) == 4 and shape[1] == size:
        edits = []
        for tensor in {id(t): t for t in tensors if t.dim() == 4}.values():
            edits.append(scene.wrapped(tensor, ".flatten(2).transpose(1, 2)"))
        # The same name may stand several times: every use is changed.
        found = _every_use(scene, x, ".flatten(2).transpose(1, 2)")
        if found:
            yield from candidate(
                (found, None),
                6,
                said(
                    "Read the {size} × {size_2} positions as a sequence of {size_3} features",
                    size=shape[2],
                    size_2=shape[3],
                    size_3=size,
                ),
                said("The result is a sequence too: turn it back into a picture where it goes on."),
            )
    if len(tensors) > 1 and len(shape) == 3 and tensors[1].dim() == 3:
        place = 0 if inner.batch_first else 1
        batch = tensors[1].shape[place]
        if shape[place] != batch == shape[1 - place] and tensors[1] is not x:
            yield from candidate(
                scene.transform(x, ".transpose(0, 1)"),
                4,
                said(
                    "Swap the first two dimensions of {x}: the batch of {batch} is "
                    "dimension {place}",
                    x=scene.named(x),
                    batch=batch,
                    place=place,
                ),
            )
    masks = [
        value
        for name, value in scene.running.kwargs.items()
        if "mask" in name and isinstance(value, Tensor)
    ]
    if len(shape) == 3:
        length = shape[1] if inner.batch_first else shape[0]
        for mask in masks:
            if mask.dim() == 2 and mask.shape[0] == mask.shape[1] != length:
                yield from remake_tensors(
                    scene, [mask], (length, length), 3, said("the mask"), scene.layer_input
                )
    for tensor in tensors[1:]:
        if tensor.dim() == 2 and tensor.shape == tuple(reversed(shape[:2])):
            yield from candidate(
                scene.transform(tensor, ".T"),
                22,
                said("Swap the mask's dimensions to (batch, positions)"),
            )
        if tensor.dtype in (torch.int64, torch.int32, torch.uint8):
            yield from candidate(
                scene.transform(tensor, ".bool()"), 2, said("Make the mask of `True` and `False`")
            )


def _every_use(scene: Scene, x: Tensor, suffix: str) -> tuple[Any, ...]:
    if scene.node is None or scene.text is None:
        return ()
    return tuple(
        scene.text.after(node, suffix)
        for node in ast.walk(scene.node)
        if isinstance(node, ast.Name | ast.Attribute) and scene.known(node) is x
    )


def _batch_first_of_encoder(scene: Scene, layer: nn.Module) -> Iterator[Candidate]:
    """The encoder layer is written apart: `layer = nn.TransformerEncoderLayer(d, h)`."""
    for cls in ("TransformerEncoderLayer", "TransformerDecoderLayer"):
        for text in {scene.text} - {None}:
            assert text is not None
            calls = [
                node for node in text.nodes if isinstance(node, ast.Call) and called(node) == cls
            ]
            if len(calls) == 1:
                edit = text.argument(calls[0], "batch_first", None, "True")

                def change(model: nn.Module) -> None:
                    for module in model.modules():
                        if isinstance(module, nn.MultiheadAttention):
                            module.batch_first = True
                        if hasattr(module, "batch_first"):
                            module.batch_first = True  # type: ignore[assignment]

                yield from candidate(
                    ((edit,), change), 3, said("Tell the layer that the batch is dimension 0")
                )


@repair("nn.Embedding", "embedding", "kind:range")
def embedding(scene: Scene) -> Iterator[Candidate]:
    layer, x = scene.layer, scene.layer_input
    if not isinstance(layer, nn.Embedding) or x is None:
        return
    if x.dtype.is_floating_point:
        yield from candidate(
            scene.transform(x, ".long()"),
            1,
            said("Make the indices {x} whole numbers", x=scene.named(x)),
            said("It cuts off decimals: the values must be indices already."),
        )
        return
    if x.is_meta or not x.numel():
        return
    low, high = int(x.min()), int(x.max())
    if low >= 0 and high >= layer.num_embeddings:
        note = said(
            "{size} is the least that fits this input: put the real size of the vocabulary.",
            size=high + 1,
        )
        if high == layer.num_embeddings:
            yield from candidate(
                scene.transform(x, " - 1") if low >= 1 else None,
                32,
                said("Count the indices from 0"),
                said("It assumes that the indices count from 1."),
            )
        yield from rebuilt(
            scene,
            scene.path,
            {"num_embeddings": high + 1},
            10,
            said("Build the embedding for at least {size} entries", size=high + 1),
            note,
        )


@repair("nn.PixelShuffle", "pixel_shuffle")
def pixel_shuffle(scene: Scene) -> Iterator[Candidate]:
    """The layer before makes another number of channels than the square of the factor divides."""
    x = next(iter(scene.operands), None)
    factor = getattr(scene.layer, "upscale_factor", None)
    if factor is None and len(scene.crash.call_args) > 1:
        factor = scene.crash.call_args[1]
    if x is None or x.dim() < 3 or not isinstance(factor, int) or factor < 2:
        return
    channels = x.shape[-3]
    fewest = factor * factor * max(1, -(-channels // (factor * factor)))
    step = next((each for each in scene.lineage(x, 3) if each.op == "nn.Conv2d"), None)
    if step is None:
        return
    assumed = said("It assumes that as few channels as possible are to be left.")
    found: list[tuple[int, int, Said | None]] = [(6, fewest, assumed)]
    if _multiplied_by(scene, channels, factor):
        found = [(6, channels * factor, None), (30, fewest, assumed)]
    for rank, wanted_, caveat in found:
        what = said(
            "Let {module} make {wanted} instead of {channels} channels: "
            "{factor} · {factor} for each channel that is left",
            module=step.module,
            wanted=wanted_,
            channels=channels,
            factor=factor,
        )
        yield from rebuilt(scene, step.module, {"out_channels": wanted_}, rank, what, caveat)


def _multiplied_by(scene: Scene, size: int, factor: int) -> bool:
    """Whether a size is written as a product with this factor, which is meant twice."""
    terms = (term for history in scene.failure.histories for term in history.term.walk())
    return any(
        term.kind == "product"
        and term.value == size
        and [part.value for part in term.operands].count(factor) == 1
        for term in terms
    )


@repair("nn.ConvTranspose1d", "nn.ConvTranspose2d", "nn.ConvTranspose3d")
def output_padding(scene: Scene) -> Iterator[Candidate]:
    layer = scene.layer
    if layer is None or "output padding" not in scene.crash.words:
        return
    stride = getattr(layer, "stride", (1,))
    most = min(stride) - 1
    yield from rebuilt(
        scene,
        scene.path,
        {"output_padding": most},
        6,
        said(
            "Use the output padding {most}, which is smaller than the stride {min}",
            most=most,
            min=min(stride),
        ),
        said("The output becomes smaller by the difference."),
    )
    padding = max(getattr(layer, "output_padding", (0,)))
    if most == 0 and padding:
        yield from rebuilt(
            scene,
            scene.path,
            {"stride": padding + 1},
            4,
            said(
                "Enlarge by a stride of {size}, for which `output_padding` {padding} is meant",
                size=padding + 1,
                padding=padding,
            ),
        )
