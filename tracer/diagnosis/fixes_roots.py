"""Repairs at the step where a wrong size was born, found along the steps that led to an operand."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from tracer.diagnosis.fixes_scene import (
    Candidate,
    Made,
    Scene,
    candidate,
    joined,
    rebuilt,
    repair,
    shape_of,
)
from tracer.document import Step
from tracer.ops.names import op_name, shape_text
from tracer.sentences import said
from tracer.source.text import Text, called, given

SEQUENCES = ("nn.RNN", "nn.LSTM", "nn.GRU", "nn.MultiheadAttention")
_SIZES = [
    "matmul",
    "batch",
    "broadcast",
    "join",
    "hidden",
    "mask",
    "target",
    "features",
    "width",
    "numel",
]


@repair()
def squeezes(scene: Scene) -> Iterator[Candidate]:
    for tensor in scene.tensors:
        yield from squeezed(scene, tensor)


def squeezed(scene: Scene, tensor: Tensor) -> Iterator[Candidate]:
    """A `squeeze()` without a dimension, which dropped the batch or a dimension still needed."""
    for step in scene.lineage(tensor, 5):
        if op_name(step.op) != "squeeze":
            continue
        found = scene.call_of(step)
        source = next(iter(step.inputs), None)
        if found is None or source is None:
            continue
        text, node = found
        method = step.op.startswith("Tensor.")
        if len(node.args) > (0 if method else 1) or node.keywords:
            continue
        rank = len(source.shape)
        ones = [n for n, size in enumerate(source.shape) if size == 1 and n > 0]
        choices: list[tuple[int, ...]] = [(n,) for n in ones]
        if len(ones) > 1:
            choices.insert(0, tuple(ones))
        for dims in choices:
            negative = [n - rank for n in dims]
            dim = str(negative[0]) if len(dims) == 1 else str(tuple(negative))
            yield from candidate(
                ((text.argument(node, "dim", 0 if method else 1, dim),), None),
                1 if dims == tuple(ones) else 12,
                said("Squeeze dimension {dim} alone, so that a batch of one stays", dim=dim),
            )
        if ones:
            inner = node.func.value if method and isinstance(node.func, ast.Attribute) else None
            inner = inner or (node.args[0] if node.args else None)
            if inner is not None:
                yield from candidate(
                    ((text.replace(node, text.of(inner)),), None), 15, said("Leave out the squeeze")
                )
        return


@repair()
def joined_along_the_batch(scene: Scene) -> Iterator[Candidate]:
    """`torch.cat([x, skip])` joins along dimension 0: twice the batch, not twice the channels."""
    for tensor in scene.tensors:
        for step in scene.lineage(tensor, 10):
            if step.op not in ("torch.cat", "torch.concat", "torch.concatenate"):
                continue
            shapes = {note.shape for note in step.inputs}
            out = step.outputs[0].shape
            if len(shapes) != 1 or not out or out[0] == next(iter(shapes))[0]:
                break
            found = scene.call_of(step)
            if found is None or len(out) < 2:
                break
            text, node = found
            yield from candidate(
                ((text.argument(node, "dim", 1, "1"),), None),
                1,
                said(
                    "Join along dimension 1: along dimension 0 the batch became {size}", size=out[0]
                ),
            )
            if len(out) == 3:
                yield from candidate(
                    ((text.argument(node, "dim", 1, "-1"),), None),
                    2,
                    said(
                        "Join along the last dimension: along dimension 0 the batch became {size}",
                        size=out[0],
                    ),
                )
            break


@repair()
def stacked_in_front_of_the_batch(scene: Scene) -> Iterator[Candidate]:
    """`torch.stack(steps)` puts the steps in front of the batch."""
    for tensor in scene.tensors:
        for step in scene.lineage(tensor, 5):
            if step.op != "torch.stack":
                continue
            out = step.outputs[0].shape
            found = scene.call_of(step)
            each = {note.shape for note in step.inputs}
            if found is None or len(each) != 1 or len(out) < 2 or out[1] != scene.batch:
                break
            if given(found[1], "dim", 1) is not None:
                break
            text, node = found
            yield from candidate(
                ((text.argument(node, "dim", 1, "1"),), None),
                2,
                said("Stack the {size} steps at dimension 1, behind the batch", size=out[0]),
            )
            break


@repair()
def last_layers_state(scene: Scene) -> Iterator[Candidate]:
    """`h.squeeze(0)` of the states of several layers: nothing to squeeze."""
    for tensor in scene.tensors:
        chain = scene.lineage(tensor, 6)
        for step, before in itertools.pairwise(chain):
            source = next(iter(step.inputs), None)
            found = scene.call_of(step)
            if source is None or found is None or step.op != "Tensor.squeeze":
                continue
            text, node = found
            if before.op not in ("nn.GRU", "nn.LSTM", "nn.RNN") or source.shape[0] == 1:
                continue
            if isinstance(node.func, ast.Attribute) and len(source.shape) == 3:
                yield from candidate(
                    ((text.replace(node, f"{text.of(node.func.value)}[-1]"),), None),
                    3,
                    said("Take the last of the {size} layers' states", size=source.shape[0]),
                )


@repair(*(f"kind:{kind}" for kind in _SIZES))
def sequence_first(scene: Scene) -> Iterator[Candidate]:
    """A recurrent layer or an attention that reads the batch as time, since batch_first is not
    set."""
    if scene.batch is None:
        return
    seen: set[str] = set()
    for step in scene.crash.trace.steps:
        if step.op not in SEQUENCES or not step.module or step.module in seen:
            continue
        if step is scene.failure.step or step.error is not None:
            continue
        seen.add(step.module)
        layer = scene.model.get_submodule(step.module)
        source = next(iter(step.inputs), None)
        if getattr(layer, "batch_first", True) or source is None or len(source.shape) != 3:
            continue
        if source.shape[0] != scene.batch:
            continue
        yield from rebuilt(
            scene,
            step.module,
            {"batch_first": True},
            9,
            said("Tell {module} that the batch is dimension 0", module=step.module),
        )
        found = scene.call_of(step)
        if found is not None and found[1].args:
            text, node = found
            turned = tuple(
                text.after(item, ".transpose(0, 1)")
                for item in node.args[: 3 if step.op == "nn.MultiheadAttention" else 1]
                if isinstance(item, ast.Name | ast.Attribute | ast.Call)
            )
            yield from candidate(
                (turned, None),
                11,
                said("Give {module} the time first, as it was built", module=step.module),
            )


@repair()
def one_sample(scene: Scene) -> Iterator[Candidate]:
    """A picture without its batch: torch reads it as one sample, and what flattens behind does
    not."""
    ranks = {"1d": 2, "2d": 3, "3d": 4}
    notes = {note.id: note for note in scene.crash.trace.inputs}
    for step in scene.crash.trace.steps:
        if step.error is not None or not step.op.startswith(
            ("nn.Conv", "nn.MaxPool", "nn.AvgPool", "nn.Adaptive", "F.conv", "torch.conv")
        ):
            continue
        source = next((n for n in step.inputs if n.kind not in ("parameter", "buffer")), None)
        if source is None or ranks.get(step.op[-2:]) != len(source.shape):
            continue
        if source.id not in notes:
            return
        found = scene.call_of(step)
        if found is None or not found[1].args:
            return
        text, node = found
        yield from candidate(
            ((text.after(node.args[0], ".unsqueeze(0)"),), None),
            3,
            said(
                "Give the input {shape} a batch of one: {shape_2}",
                shape=shape_text(source.shape),
                shape_2=shape_text((1, *source.shape)),
            ),
            said("It reads the input as one sample. Better pass it with its batch dimension."),
            batches=False,
        )
        return


@repair("kind:target", "kind:broadcast", "kind:join", "kind:other")
def transposed_convolutions(scene: Scene) -> Iterator[Candidate]:
    """Transposed convolutions with a stride lose a row of odd sizes."""
    for tensor, other in itertools.permutations(scene.tensors[:3], 2):
        shape, want = shape_of(tensor), shape_of(other)
        if len(shape) != len(want) or len(shape) not in (3, 4, 5) or shape[2:] == want[2:]:
            continue
        if any(a > b for a, b in zip(shape[2:], want[2:], strict=True)):
            continue
        layers: list[str] = []
        for step in scene.lineage(tensor, 40):
            if step.op.startswith("nn.ConvTranspose") and step.module:
                layers.append(step.module)
        for number in range(1, min(3, len(layers)) + 1):
            for chosen in itertools.combinations(layers[:4], number):
                made = _padded(scene, chosen, layers, shape, want)
                if made is not None:
                    yield from candidate(
                        made,
                        4 + number,
                        said(
                            "Let {layers} add a row and a column: {shape} instead of {shape_2}",
                            layers=tuple(reversed(chosen)),
                            shape=shape_text(want[2:]),
                            shape_2=shape_text(shape[2:]),
                        ),
                    )
        if layers:
            return


def _padded(
    scene: Scene,
    chosen: tuple[str, ...],
    layers: list[str],
    shape: tuple[int, ...],
    want: tuple[int, ...],
) -> Made | None:
    """What output_padding=1 adds in front is enlarged by the layers behind."""
    gain = 0
    for name in chosen:
        layer = scene.model.get_submodule(name)
        stride = getattr(layer, "stride", (1,))[0]
        if stride < 2 or any(getattr(layer, "output_padding", (1,))):
            return None
        growth = 1
        for behind in layers[: layers.index(name)]:
            growth *= getattr(scene.model.get_submodule(behind), "stride", (1,))[0]
        gain += growth
    if any(a + gain != b for a, b in zip(shape[2:], want[2:], strict=True)):
        return None
    return joined(*(scene.constructor_edit(name, {"output_padding": 1}) for name in chosen))


@repair("kind:width", "kind:channels", "kind:features", "kind:broadcast", "kind:numel", "kind:join")
def another_step(scene: Scene) -> Iterator[Candidate]:
    """A mean over the wrong dimension, a class token that is still there."""
    for tensor in scene.tensors[:3]:
        for step in scene.lineage(tensor, 3):
            name = op_name(step.op)
            found = scene.call_of(step)
            source = next(iter(step.inputs), None)
            if found is None or source is None or name not in ("mean", "sum", "amax", "max"):
                continue
            text, node = found
            yield from _other_axis(scene, step, text, node, len(source.shape))
            break


def _other_axis(
    scene: Scene, step: Step, text: Text, node: ast.Call, rank: int
) -> Iterator[Candidate]:
    dim = given(node, "dim", 0 if step.op.startswith("Tensor.") else 1)
    layer = scene.layer
    want = getattr(layer, "in_features", getattr(layer, "input_size", None))
    source, made = step.inputs[0].shape, step.outputs[0].shape
    if dim is None or rank < 3 or not isinstance(want, int) or len(made) != rank - 1:
        return
    for axis in range(1, rank):
        left = [size for place, size in enumerate(source) if place != axis]
        if left[-1] == want and math.prod(made[1:]) != want:
            yield from candidate(
                ((text.replace(dim, str(axis)),), None),
                2,
                said(
                    "Take the `{called}` over the {size} positions, so that the {want} "
                    "features stay",
                    called=called(node),
                    size=source[axis],
                    want=want,
                ),
            )


_READ = frozenset(("repeat", "expand", "zeros", "ones", "full", "arange", "randn", "view"))


@repair("kind:broadcast", "kind:join", "kind:batch", "kind:hidden", "kind:numel")
def size_of_another_axis(scene: Scene) -> Iterator[Candidate]:
    """A tensor was made with a size that was read from the wrong dimension of another:
    `n = x.shape[1]`, where the dimension 0 of x has the size that is needed."""
    wanted = {
        (mark.operand, mark.size): other.size
        for mark in scene.finding.marks
        for other in scene.finding.marks
        if other.operand != mark.operand and other.size != mark.size
    }
    for (operand, size), want in wanted.items():
        if operand >= len(scene.crash.operands):
            continue
        for step in scene.lineage(scene.crash.operands[operand], 3):
            found = scene.call_of(step)
            if found is None or op_name(step.op) not in _READ:
                continue
            yield from _read_elsewhere(scene, *found, size, want)


def _read_elsewhere(
    scene: Scene, text: Text, call: ast.Call, size: int, want: int
) -> Iterator[Candidate]:
    function = text.function(call)
    if function is None or not scene.beside(text, call):
        return
    names = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
    places: list[ast.AST] = [call]
    places += [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id in names for target in node.targets)
    ]
    for node in (inner for place in places for inner in ast.walk(place)):
        index, source = _size_read(node)
        tensor = scene.known(source) if source is not None else None
        if index is None or not isinstance(source, ast.Name):
            continue
        shapes = [shape_of(tensor)] if isinstance(tensor, Tensor) else []
        # The name may have been given to another tensor since.
        shapes += [
            note.shape
            for step in scene.crash.trace.steps
            for name, number in step.names
            for note in step.inputs
            if name == source.id and note.id == number
        ]
        for shape in dict.fromkeys(shapes):
            at = scene.known(index)
            if isinstance(at, int) and -len(shape) <= at < len(shape) and shape[at] == size:
                for axis in (n for n, each in enumerate(shape) if each == want):
                    yield from candidate(
                        ((text.replace(index, str(axis)),), None),
                        6,
                        said(
                            "Read the size from dimension {axis} of `{id}`: {want} instead "
                            "of {size}",
                            axis=axis,
                            id=source.id,
                            want=want,
                            size=size,
                        ),
                    )


def _size_read(node: ast.AST) -> tuple[ast.expr | None, ast.expr | None]:
    """`x.shape[1]` and `x.size(1)`: the index, and x."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
        return (node.slice, node.value.value) if node.value.attr == "shape" else (None, None)
    if isinstance(node, ast.Call) and called(node) == "size" and len(node.args) == 1:
        return node.args[0], getattr(node.func, "value", None)
    return None, None


@repair("kind:mask", "kind:broadcast", "masked_fill", "where")
def square_mask_cut(scene: Scene) -> Iterator[Candidate]:
    """A square mask for the greatest length, cut to the length of the input in one dimension or in
    none: `self.mask` and `self.mask[:T]`, where `self.mask[:T, :T]` is meant."""
    if scene.node is None or scene.text is None:
        return
    sizes = {int(size) for tensor in scene.tensors for size in tensor.shape}
    x = scene.layer_input
    name = scene.simple(scene.use(x)) if x is not None else None
    statement = scene.text.statement(scene.node)
    if statement is None:
        return
    for node in ast.walk(statement):
        if not isinstance(node, ast.Attribute):
            continue
        mask = scene.known(node)
        if not isinstance(mask, Tensor) or mask.dim() != 2 or mask.shape[0] != mask.shape[1]:
            continue
        above = scene.text.parents.get(node)
        if isinstance(above, ast.Subscript) and above.value is node:
            cut = above.slice
            if isinstance(cut, ast.Slice) and cut.upper is not None and cut.lower is None:
                upper = scene.text.of(cut.upper)
                yield from candidate(
                    ((scene.text.replace(cut, f":{upper}, :{upper}"),), None),
                    2,
                    said(
                        "Cut both dimensions of `{code}` to {upper}",
                        code=scene.text.of(node),
                        upper=upper,
                    ),
                )
        elif x is not None and x.dim() == 3 and name is not None:
            axis = 1 if getattr(scene.layer, "batch_first", False) else 0
            length = int(x.shape[axis])
            if length < mask.shape[0] and length in sizes:
                cut_text = f"[:{name}.size({axis}), :{name}.size({axis})]"
                yield from candidate(
                    ((scene.text.after(node, cut_text),), None),
                    2,
                    said(
                        "Cut `{code}` to the {length} positions of `{name}`",
                        code=scene.text.of(node),
                        length=length,
                        name=name,
                    ),
                )


@repair("kind:numel")
def class_token(scene: Scene) -> Iterator[Candidate]:
    """One token too many for a grid: the class token in front of the patches."""
    args = scene.crash.call_args
    if not args or not isinstance(args[0], Tensor):
        return
    cuts = [s for s in scene.lineage(args[0], 4) if s.op in ("torch.cat", "Tensor.transpose")]
    shape = shape_of(args[0])
    numbers = [a for item in args[1:] for a in (item if isinstance(item, list | tuple) else [item])]
    sizes = [n for n in numbers if isinstance(n, int) and n > 1]
    grid = {a * b for a, b in itertools.combinations(sizes, 2)}
    if len(shape) != 3 or not cuts:
        return
    for axis in (1, 2):
        if shape[axis] - 1 not in grid:
            continue
        index = "[:, 1:]" if axis == 1 else "[:, :, 1:]"
        yield from candidate(
            scene.transform(args[0], index),
            3,
            said(
                "Leave out the first of the {size} tokens: {size_2} make the grid",
                size=shape[axis],
                size_2=shape[axis] - 1,
            ),
            said("It takes the first token to be the class token."),
        )


@repair("linear", "nn.Linear", "matmul", "cat", "add", "kind:target")
def swallowed(scene: Scene) -> Iterator[Candidate]:
    """`x.flatten()` or `torch.flatten(x)` without a start, or `x.view(-1)`: the batch is gone."""
    tensors = scene.operands if scene.layer is None else [scene.layer_input]
    for tensor in tensors:
        if tensor is None:
            continue
        for step in scene.lineage(tensor, 5):
            name = op_name(step.op)
            source = next(iter(step.inputs), None)
            found = scene.call_of(step)
            if source is None or found is None:
                continue
            text, node = found
            if len(source.shape) < 2 or len(step.outputs[0].shape) != 1:
                continue
            if name not in ("flatten", "view", "reshape", "ravel"):
                continue
            method = step.op.startswith("Tensor.") and isinstance(node.func, ast.Attribute)
            inner = node.func.value if method else node.args[0]  # type: ignore[attr-defined]
            edit = text.replace(node, f"{text.of(inner)}.flatten(1)")
            if name == "flatten" and not method:
                edit = text.argument(node, "start_dim", 1, "1")
            total = math.prod(source.shape[1:])
            layer = scene.layer
            made: Any = ((edit,), None)
            summary = said(
                "Keep the {size} samples apart: flatten from dimension 1 on", size=source.shape[0]
            )
            if isinstance(layer, nn.Linear) and layer.in_features != total:
                yield from candidate(
                    joined(made, scene.constructor_edit(scene.path, {"in_features": total})),
                    3,
                    said(
                        "{summary}, and build the layer for {total} features",
                        summary=summary,
                        total=total,
                    ),
                )
            else:
                yield from candidate(made, 0, summary)
            return


@repair()
def batch_taken_along(scene: Scene) -> Iterator[Candidate]:
    """`x.transpose(0, 1)` where the dimensions behind the batch were meant."""
    node, text = scene.node, scene.text
    statement = text.statement(node) if text is not None and node is not None else None
    if text is None or statement is None or scene.batch is None:
        return
    calls: dict[tuple[int, int], list[ast.Call]] = {}
    for item in ast.walk(statement):
        if isinstance(item, ast.Call) and called(item) in ("transpose", "swapaxes"):
            pair = tuple(scene.known(arg) for arg in item.args[-2:])
            if len(pair) == 2 and all(type(n) is int for n in pair):
                calls.setdefault((pair[0], pair[1]), []).append(item)
    for pair, items in calls.items():
        for new in ((1, 2), (-2, -1)):
            if set(new) == set(pair):
                continue
            edits = tuple(
                text.replace(arg, str(n))
                for item in items
                for arg, n in zip(item.args[-2:], new, strict=True)
            )
            moved = 0 in pair
            yield from candidate(
                (edits, None),
                4 if moved else 12,
                said(
                    "Swap dimensions {size} and {size_2} instead of {size_3} and {size_4}",
                    size=new[0],
                    size_2=new[1],
                    size_3=pair[0],
                    size_4=pair[1],
                ),
                None if moved else said("Check which dimensions should change places."),
            )


@repair()
def one_sample_for_one_step(scene: Scene) -> Iterator[Candidate]:
    """`x[t]` in a loop over time takes sample t: the batch comes first."""
    node, text = scene.node, scene.text
    if node is None or text is None:
        return
    for item in ast.walk(node):
        if not isinstance(item, ast.Subscript) or not isinstance(item.slice, ast.Name):
            continue
        value, index = scene.known(item.value), scene.known(item.slice)
        if not isinstance(value, Tensor) or type(index) is not int or value.dim() < 2:
            continue
        if value.shape[0] != scene.batch or index >= value.shape[1]:
            continue
        yield from candidate(
            ((text.replace(item.slice, f":, {text.of(item.slice)}"),), None),
            5,
            said(
                "Take step `{code}` of all samples: dimension 0 is the batch",
                code=text.of(item.slice),
            ),
        )


@repair()
def swallowed_by_a_view(scene: Scene) -> Iterator[Candidate]:
    """A view whose -1 took part of each sample into the batch, whatever failed behind it."""
    for tensor in scene.tensors:
        for step in scene.lineage(tensor, 8):
            source = next(iter(step.inputs), None)
            out = step.outputs[0].shape
            if step.op not in ("Tensor.view", "Tensor.reshape") or source is None:
                continue
            if not source.shape or source.shape[0] != scene.batch or len(out) != 2:
                continue
            found = scene.call_of(step)
            if out[0] == scene.batch or found is None:
                continue
            text, node = found
            if isinstance(node.func, ast.Attribute):
                edit = text.replace(node, f"{text.of(node.func.value)}.flatten(1)")
                yield from candidate(
                    ((edit,), None),
                    3,
                    said(
                        "Keep the {batch} samples apart: the view made {size} rows of them",
                        batch=scene.batch,
                        size=out[0],
                    ),
                )
            break


@repair("interpolate")
def interpolation(scene: Scene) -> Iterator[Candidate]:
    """Modes and sizes are for a number of spatial dimensions."""
    node, text = scene.node, scene.text
    x = next(iter(scene.tensors), None)
    if not isinstance(node, ast.Call) or text is None or x is None:
        return
    mode = given(node, "mode", 3)
    fitting = {3: "linear", 4: "bilinear", 5: "trilinear"}.get(x.dim())
    if fitting is not None and scene.known(mode) in ("linear", "bilinear", "trilinear", "bicubic"):
        assert mode is not None
        yield from candidate(
            ((text.replace(mode, f'"{fitting}"'),), None),
            2,
            said(
                "Use the mode {fitting}, which is for {size} spatial dimensions",
                fitting=repr(fitting),
                size=x.dim() - 2,
            ),
        )
    size = given(node, "size", 1)
    value = next((v for v in scene.crash.call_kwargs.values() if isinstance(v, tuple | list)), None)
    value = value or next((v for v in scene.crash.call_args if isinstance(v, tuple | list)), None)
    if size is not None and value is not None and len(value) > x.dim() - 2 > 0:
        yield from candidate(
            ((text.after(size, f"[-{x.dim() - 2}:]"),), None),
            2,
            said(
                "Pass the sizes alone, {size} for {shape}, without batch and channels",
                size=x.dim() - 2,
                shape=shape_text(x.shape),
            ),
        )


@repair("conv1d", "conv2d", "conv3d")
def functional_weight(scene: Scene) -> Iterator[Candidate]:
    """`F.conv2d(x, weight)` wants the weight as (out, in, ...)."""
    if scene.layer is not None or len(scene.operands) < 2:
        return
    x, weight = scene.operands[:2]
    if x.dim() == weight.dim() >= 3 and x.shape[1] == weight.shape[0] != weight.shape[1]:
        yield from candidate(
            scene.transform(weight, ".transpose(0, 1)"),
            3,
            said(
                "Swap the weight's first two dimensions {shape}: (out, in, ...)",
                shape=shape_text(weight.shape),
            ),
        )
