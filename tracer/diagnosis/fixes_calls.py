"""Repairs of what is called with the wrong thing: types, devices, tuples, missing arguments."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tracer.diagnosis.fixes_layers import MAKERS
from tracer.diagnosis.fixes_scene import Candidate, Scene, candidate, repair
from tracer.diagnosis.fixes_tensors import LOSSES, sizes_of, values_of
from tracer.document import Edit, Span
from tracer.ops.names import op_name, shape_text
from tracer.sentences import said
from tracer.source.built import parameter
from tracer.source.text import Text, called, definition, given, text_of

# --- types -------------------------------------------------------------------------------------


@repair("kind:dtype")
def dtype(scene: Scene) -> Iterator[Candidate]:
    yield from casts(scene)


# long: one branch for each way in which the call goes wrong
def casts(scene: Scene) -> Iterator[Candidate]:
    """Floats of two kinds, or whole numbers where floats are needed, or the other way."""
    tensors = {id(t): t for t in scene.operands}
    layer_input = scene.layer_input
    if layer_input is not None:
        tensors.setdefault(id(layer_input), layer_input)
    words = scene.crash.words
    weight = next(
        (t for t in tensors.values() if scene.kind(t) == "parameter" and t.is_floating_point()),
        next(iter(scene.layer.parameters()), None) if scene.layer is not None else None,
    )
    names = {
        torch.float32: ".float()",
        torch.float64: ".double()",
        torch.float16: ".half()",
        torch.bfloat16: ".bfloat16()",
        torch.int64: ".long()",
        torch.bool: ".bool()",
    }
    for tensor in tensors.values():
        if scene.op in LOSSES and tensor is scene.operands[0]:
            continue  # the scores are not what has the wrong type
        if scene.kind(tensor) == "parameter" or tensor.is_complex():
            continue  # which real number stands for a complex one, the author alone knows
        if (
            weight is not None
            and tensor.dtype != weight.dtype
            and not isinstance(scene.layer, nn.Embedding)
        ):
            suffix = names.get(weight.dtype)
            if suffix is not None:
                kind = str(tensor.dtype).removeprefix("torch.")
                yield from candidate(
                    scene.transform(tensor, suffix),
                    1,
                    said(
                        "Make {tensor} of the type of the weights, {dtype} instead of {kind}",
                        tensor=scene.named(tensor),
                        dtype=str(weight.dtype).removeprefix("torch."),
                        kind=kind,
                    ),
                )
                yield from _made_with(scene, tensor, weight.dtype)
        if weight is None:
            for other in tensors.values():
                if other.dtype != tensor.dtype and other is not tensor:
                    suffix = names.get(other.dtype)
                    lower = tensor.dtype == torch.float64 or not tensor.is_floating_point()
                    if suffix is not None and scene.op not in ("gather", "scatter", "index_select"):
                        yield from candidate(
                            scene.transform(tensor, suffix),
                            2 if lower and other.is_floating_point() else 25,
                            said(
                                "Make {tensor} {dtype}",
                                tensor=scene.named(tensor),
                                dtype=str(other.dtype).removeprefix("torch."),
                            ),
                        )
        for dtype_, word in ((torch.int64, "long"), (torch.bool, "bool"), (torch.float32, "float")):
            alike = word in words.lower() or (word == "long" and "int64" in words)
            if tensor.dtype != dtype_ and alike:
                doubt = 0
                index = scene.op in ("gather", "scatter", "index_select", "getitem", "one_hot")
                if index and tensor is scene.operands[0]:
                    continue
                if word == "long" and tensor.dtype == torch.bool:
                    doubt = 20
                yield from candidate(
                    scene.transform(tensor, names[dtype_]),
                    (3 if index and word == "long" else 9) + doubt,
                    said(
                        "Make {tensor} {dtype}",
                        tensor=scene.named(tensor),
                        dtype=str(dtype_).removeprefix("torch."),
                    ),
                    said("It cuts off decimals.")
                    if word == "long" and tensor.is_floating_point()
                    else None,
                )
        if (
            not tensor.is_floating_point()
            and not tensor.is_complex()
            and ("floating point" in words or "not implemented for 'Long'" in words)
        ):
            yield from candidate(
                scene.transform(tensor, ".float()"),
                1,
                said("Make {tensor} floating point", tensor=scene.named(tensor)),
            )


def _made_with(scene: Scene, tensor: Tensor, want: torch.dtype) -> Iterator[Candidate]:
    """`torch.zeros(..., dtype=torch.float64)` in the forward itself."""
    for step in scene.lineage(tensor, 3):
        found = scene.call_of(step)
        if found is None:
            return
        text, node = found
        written = given(node, "dtype")
        if written is not None and scene.alias(torch) is not None:
            yield from candidate(
                ((text.replace(written, f"{scene.alias(torch)}.{str(want)[6:]}"),), None),
                0,
                said("Make it as {size} from the beginning", size=str(want)[6:]),
            )
            return
        if called(node) == "double":
            inner = node.func.value if isinstance(node.func, ast.Attribute) else None
            if inner is not None:
                yield from candidate(
                    ((text.replace(node, text.of(inner)),), None), 2, said("Leave out `.double()`")
                )
            return


@repair("kind:device")
def device(scene: Scene) -> Iterator[Candidate]:
    tensors = list({id(t): t for t in scene.operands}.values())
    places = {t.device for t in tensors}
    if len(places) < 2:
        return
    home = next((t.device for t in tensors if scene.kind(t) == "parameter"), None)
    home = home or next(iter(scene.inputs), tensors[0]).device
    anchor = next((t for t in tensors if t.device == home), None)
    name = scene.simple(scene.use(anchor)) if anchor is not None else None
    for tensor in tensors:
        if tensor.device == home:
            continue
        for step in scene.lineage(tensor, 3):
            if op_name(step.op) in MAKERS:
                found = scene.call_of(step)
                source = next(
                    (
                        key
                        for key, value in scene.scope.items()
                        if isinstance(value, Tensor) and value.device == home
                    ),
                    None,
                )
                if found is not None and source is not None:
                    text, node = found
                    yield from candidate(
                        ((text.argument(node, "device", None, f"{source}.device"),), None),
                        0,
                        said("Make it on the device of {source}", source=source),
                    )
        yield from _placed_in_the_constructor(scene, tensor, home)
        if name is not None and not tensor.is_meta:
            yield from candidate(
                scene.transform(tensor, f".to({name}.device)"),
                3,
                said(
                    "Bring {tensor} to the device of {name}", tensor=scene.named(tensor), name=name
                ),
            )


def _placed_in_the_constructor(
    scene: Scene, tensor: Tensor, home: torch.device
) -> Iterator[Candidate]:
    """`self.table = torch.arange(n, device="cuda")` in `__init__`."""
    node = scene.use(tensor)
    owner = scene.scope.get("self")
    if not isinstance(node, ast.Attribute) or not isinstance(owner, nn.Module):
        return
    path = next((name for name, module in scene.model.named_modules() if module is owner), None)
    if path is None:
        return
    last = node.attr
    found = parameter(scene.model, f"{path}.{last}".strip("."))
    if found is None:
        return
    text, value = found
    for call in ast.walk(value):
        keyword = (
            next((k for k in call.keywords if k.arg == "device"), None)
            if isinstance(call, ast.Call)
            else None
        )
        if keyword is None:
            continue

        def change(model: nn.Module) -> None:
            module = model.get_submodule(path)
            made = torch.zeros(tensor.shape, dtype=tensor.dtype, device=home)
            if last in module._parameters:
                module._parameters[last] = nn.Parameter(made)
            else:
                setattr(module, last, made)

        yield from candidate(
            ((text.replace(keyword.value, repr(str(home))),), change),
            2,
            said("Make `self.{last}` on the device of the rest, {home}", last=last, home=home),
        )


# --- not a tensor ------------------------------------------------------------------------------


@repair()
def tuples(scene: Scene) -> Iterator[Candidate]:
    """A layer that returns (output, state), used as if it returned the output alone."""
    text = scene.text
    if text is None or scene.node is None:
        return
    for node in ast.walk(scene.node):
        if not isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
            continue
        value = scene.known(node) if not isinstance(node, ast.Call) else None
        direct = False
        if isinstance(node, ast.Call) and node is not scene.node:
            layer = scene.known(node.func)
            direct = isinstance(layer, nn.RNNBase | nn.MultiheadAttention)
        if not direct and not (isinstance(value, tuple) and value and isinstance(value[0], Tensor)):
            continue
        if isinstance(value, torch.Size):
            continue
        above = text.parents.get(node)
        if isinstance(above, ast.Subscript | ast.Starred):
            continue
        if isinstance(above, ast.Attribute) and hasattr(value, above.attr):
            continue
        maker = _assignment(scene, node)
        if maker is not None:
            yield from candidate(
                ((text.after(maker, "[0]"),), None),
                0,
                said("Take the output of the pair that is returned: (output, state)"),
            )
        yield from candidate(
            ((text.after(node, "[0]"),), None),
            1,
            said("Take the first of the values that are returned"),
            None
            if direct or (isinstance(value, tuple) and len(value) == 2)
            else said("There are several."),
        )
        last = value[1] if isinstance(value, tuple) and len(value) == 2 else None
        hidden = last[0] if isinstance(last, tuple) else last
        if isinstance(hidden, Tensor):
            yield from candidate(
                ((text.after(node, "[1][0][-1]" if isinstance(last, tuple) else "[1][-1]"),), None),
                20,
                said("Take the last hidden state"),
                said("It reads the state after the last step, not the outputs of all steps."),
            )


@repair("kind:type", "kind:attribute", "kind:arguments", "kind:other")
def handed_over(scene: Scene) -> Iterator[Candidate]:
    """A function was given a pair by its caller; or nothing, since what made it returns nothing."""
    frames = scene.crash.frames
    text, node = scene.text, scene.node
    if text is None or node is None:
        return
    names = [item for item in ast.walk(node) if isinstance(item, ast.Name)]
    for item in names:
        value = scene.scope.get(item.id, _MISSING)
        if value is None:
            yield from _returns_nothing(scene, item)
        if not (isinstance(value, tuple) and value and isinstance(value[0], Tensor)):
            continue
        if isinstance(value, torch.Size) or len(frames) < 2:
            continue
        function = text.function(node)
        arguments = [a.arg for a in function.args.args] if function is not None else []
        if item.id not in arguments:
            continue
        above = frames[-2].place
        other = text_of(above.file)
        call = other.at(above.span) if other is not None else None
        if other is None or not isinstance(call, ast.Call):
            continue
        loop = other.statement(call)
        position = arguments.index(item.id) - (arguments[0] == "self")
        passed = given(call, item.id, position)
        again = isinstance(loop, ast.Assign) and getattr(loop.targets[0], "id", None)
        if passed is not None and again and again == getattr(passed, "id", None):
            assert isinstance(loop, ast.Assign)
            yield from candidate(
                ((other.after(loop.value, "[0]"),), None),
                1,
                said(
                    "Keep the first of the {count} values that are returned there", count=len(value)
                ),
            )
        if passed is not None:
            yield from candidate(
                ((other.after(passed, "[0]"),), None),
                3,
                said("Pass the first of the {count} values", count=len(value)),
            )


_MISSING = object()


def _returns_nothing(scene: Scene, item: ast.Name) -> Iterator[Candidate]:
    """A forward that computes and does not return."""
    maker = _assignment(scene, item)
    if not isinstance(maker, ast.Call):
        return
    target = scene.known(maker.func)
    function = type(target).forward if isinstance(target, nn.Module) else target
    found = definition(function) if callable(function) else None
    if found is None or not isinstance(found[1], ast.FunctionDef):
        return
    text, written = found[0], found[1]
    if any(isinstance(n, ast.Return) and n.value is not None for n in ast.walk(written)):
        return
    last = written.body[-1]
    if isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
        span = text.span(last)
        end = Span(span.end_line, span.end_column, span.end_line, span.end_column)
        line = f"\n{' ' * span.column}return {last.targets[0].id}"
        edits = (Edit(text.file, end, line),)
    elif isinstance(last, ast.Expr):
        edits = (text.before(last, "return "),)
    else:
        return
    yield from candidate((edits, None), 0, said("Return what {name} computes", name=written.name))


@repair("kind:type", "kind:other", "kind:arguments")
def lists(scene: Scene) -> Iterator[Candidate]:
    """A list of tensors where one tensor was meant."""
    node, text = scene.node, scene.text
    if not isinstance(node, ast.Call) or text is None:
        return
    for item in node.args:
        value = scene.known(item)
        if not isinstance(value, list) or not value or not isinstance(value[0], Tensor):
            continue
        alias = scene.alias(torch)
        if alias is None or not all(isinstance(each, Tensor) for each in value):
            continue
        for word, rank, what in (
            (f"{alias}.cat({{}}, dim=1)", 6, said("Join them along dimension 1")),
            (f"{alias}.cat({{}}, dim=-1)", 8, said("Join them along the last dimension")),
            (f"{alias}.stack({{}}, dim=1)", 12, said("Stack them at dimension 1")),
            ("{}[-1]", 26, said("Take the last of them")),
        ):
            yield from candidate(
                ((text.replace(item, word.format(text.of(item))),), None),
                rank,
                said(
                    "{what}: it is a list of {count} tensors {shape}",
                    what=what,
                    count=len(value),
                    shape=shape_text(value[0].shape),
                ),
                said("Check how the parts should come together."),
            )


def _assignment(scene: Scene, node: ast.AST) -> ast.expr | None:
    """The call that a name was last assigned from, in the same function, if it is used as a tensor
    there alone."""
    text = scene.text
    if text is None or not isinstance(node, ast.Name) or scene.node is None:
        return None
    function = text.function(scene.node)
    if function is None:
        return None
    line = text.span(scene.node).line
    found: ast.expr | None = None
    for item in ast.walk(function):
        if (
            isinstance(item, ast.Assign)
            and len(item.targets) == 1
            and isinstance(item.targets[0], ast.Name)
            and item.targets[0].id == node.id
            and item.lineno < line
            and isinstance(item.value, ast.Call)
        ):
            found = item.value
    return found


@repair("kind:arguments", "kind:type", "kind:unpack", "kind:other")
def arguments(scene: Scene) -> Iterator[Candidate]:
    """A call with one argument too many, of a module of the same model."""
    node, text = scene.node, scene.text
    if (
        text is None
        or not isinstance(node, ast.Call)
        or not isinstance(scene.crash.error, TypeError)
    ):
        return
    target = scene.known(node.func)
    if not isinstance(target, nn.Module):
        return
    try:
        parameters = list(inspect.signature(target.forward).parameters.values())
    except (TypeError, ValueError):
        return
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        return
    most = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    least = sum(
        p.default is p.empty
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)
    )
    if len(node.args) > most and most and not node.keywords:
        kept = ", ".join(text.of(item) for item in node.args[:most])
        edit = text.replace(node, f"{text.of(node.func)}({kept})")
        yield from candidate(
            ((edit,), None),
            20,
            said("Pass {most} instead of {count} arguments", most=most, count=len(node.args)),
            said("It leaves out what the called module does not take."),
        )
    names = [p.name for p in parameters if p.default is p.empty]
    passed = len(node.args) + len(node.keywords)
    if passed < least:
        lacking = [n for n in names[len(node.args) :] if n not in {k.arg for k in node.keywords}]
        yield from _lacking(scene, text, node, lacking)
    if len(node.args) == 1 and least > 1:
        value = scene.known(node.args[0])
        if isinstance(value, tuple | list) and least <= len(value) <= most:
            yield from candidate(
                ((text.before(node.args[0], "*"),), None),
                1,
                said("Pass the {count} values one by one", count=len(value)),
            )


def _lacking(scene: Scene, text: Text, node: ast.Call, lacking: list[str]) -> Iterator[Candidate]:
    """An argument that was forgotten, for which a tensor of that name is at hand, or of any name
    that nothing has used so far."""
    function = text.function(node)
    if function is None or len(lacking) != 1:
        return
    used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    known = [
        name
        for name, value in scene.scope.items()
        if isinstance(value, Tensor) and name not in used and name != "self"
    ]
    last = text.span(node)
    for name in sorted(known, key=lambda n: (n != lacking[0], n)):
        same = name == lacking[0]
        tail = f", {name}" if node.args or node.keywords else name
        end = Span(last.end_line, last.end_column - 1, last.end_line, last.end_column - 1)
        yield from candidate(
            ((Edit(text.file, end, tail),), None),
            1 if same else 9,
            said(
                "Pass {name} as {size}, which the called forward needs", name=name, size=lacking[0]
            ),
            None
            if same
            else said("It takes {name} to be what {size} stands for.", name=name, size=lacking[0]),
        )


# long: one candidate after another, each with what is said of it
@repair()
def unpacked(scene: Scene) -> Iterator[Candidate]:
    """`q, k, v = qkv.chunk(2)`: the number of parts is not the number of names."""
    if not isinstance(scene.crash.error, ValueError) or "values to unpack" not in str(
        scene.crash.error
    ):
        return
    text = scene.text
    if text is None or scene.node is None:
        return
    statement = text.statement(scene.node)
    if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Tuple):
        return
    names = len(statement.targets[0].elts)
    value = statement.value
    if isinstance(value, ast.Call) and called(value) == "chunk":
        position = 0 if not text.of(value.func).startswith("torch.") else 1
        count = given(value, "chunks", position)
        if count is not None:
            yield from candidate(
                ((text.replace(count, str(names)),), None),
                2,
                said("Make {names} parts, one for each name", names=names),
            )
    if isinstance(value, ast.Call) and called(value) in ("split", "chunk", "unbind"):
        yield from _split_elsewhere(scene, text, value, names)
    shape = None
    if isinstance(value, ast.Attribute) and value.attr == "shape":
        shape = scene.known(value)
    if isinstance(value, ast.Call) and called(value) == "size" and not value.args:
        shape = scene.known(value.func.value) if isinstance(value.func, ast.Attribute) else None
        shape = shape.shape if isinstance(shape, Tensor) else None
    if shape is not None:
        inner = value.func if isinstance(value, ast.Call) else value
        tensor_node = inner.value if isinstance(inner, ast.Attribute) else None
        tensor = scene.known(tensor_node)
        if isinstance(tensor, Tensor) and len(shape) == names - 1:
            name = scene.simple(tensor_node)
            sizes = shape_text(shape)
            if name is not None and isinstance(tensor_node, ast.Name):
                indent = " " * text.span(statement).column
                for place in (0, 1):
                    edit = text.before(statement, f"{name} = {name}.unsqueeze({place})\n{indent}")
                    first = any(tensor is t for t in scene.inputs) and place == 0
                    yield from candidate(
                        ((edit,), None),
                        20 + place,
                        said(
                            "Give {name} {sizes} a batch of one"
                            if place == 0
                            else "Give {name} {sizes} a dimension of one behind the batch",
                            name=name,
                            sizes=sizes,
                        ),
                        said(
                            "It reads {sizes} as {size} of {names} sizes that the code names.",
                            sizes=sizes,
                            size=names - 1,
                            names=names,
                        ),
                        batches=not first,
                    )


def _split_elsewhere(scene: Scene, text: Text, value: ast.Call, names: int) -> Iterator[Candidate]:
    """The parts are of another dimension than was meant."""
    step = next((s for s in reversed(scene.crash.trace.steps) if s.outputs), None)
    if step is None or not step.inputs or op_name(step.op) != called(value):
        return
    shape = step.inputs[0].shape
    method = step.op.startswith("Tensor.")
    count = given(value, "split_size", 0 if method else 1)
    each = scene.known(count)
    for place in range(1, len(shape)):
        if called(value) == "split":
            fits = isinstance(each, int) and each > 0 and shape[place] == each * names
        elif called(value) == "unbind":
            fits = shape[place] == names
        else:
            continue
        if fits:
            position = {"unbind": 0}.get(called(value), 1) + (not method)
            dim = "-1" if place == len(shape) - 1 else str(place)
            yield from candidate(
                ((text.argument(value, "dim", position, dim),), None),
                1,
                said(
                    "Split dimension {place}, which has {size}: {names} parts",
                    place=place,
                    size=shape[place],
                    names=names,
                ),
            )


@repair("kind:rank", "kind:axis", "kind:other", "kind:permute", "permute", "transpose")
def missing_batch(scene: Scene) -> Iterator[Candidate]:
    """The model was given one sample without its batch dimension."""
    if scene.op != "permute":
        return
    args = scene.crash.call_args
    if not args or not isinstance(args[0], Tensor):
        return
    x = args[0]
    dims = values_of(args[1:])
    if len(dims) == x.dim() + 1 and any(x is t for t in scene.inputs):
        yield from candidate(
            scene.transform(x, ".unsqueeze(0)"),
            12,
            said(
                "Add the batch of one that {x} {shape} lacks",
                x=scene.named(x),
                shape=shape_text(x.shape),
            ),
            said("It reads the input as one sample without a batch."),
            batches=False,
        )
    if len(dims) == 3 and x.dim() == 4 and sorted(dims) == [0, 1, 2]:
        yield from candidate(
            scene.transform(x, ".flatten(2)"),
            1,
            said(
                "Flatten the {size} × {size_2} positions first: {shape}",
                size=x.shape[2],
                size_2=x.shape[3],
                shape=shape_text((*x.shape[:2], x.shape[2] * x.shape[3])),
            ),
            said("It reads the positions, row by row, as one sequence."),
        )
    node, text = scene.call_node(), scene.text
    if node is not None and text is not None and len(dims) != x.dim() and x.dim() >= 2:
        sizes = sizes_of(node, isinstance(node.func, ast.Attribute) and len(node.args) == len(dims))
        inner = [d for d in dims if 0 <= d < x.dim()]
        if (
            len(sizes) == len(dims)
            and len(dims) == x.dim() + 1
            and sorted(inner) == list(range(x.dim()))
        ):
            kept = ", ".join(
                text.of(item) for item, d in zip(sizes, dims, strict=True) if d in inner
            )
            if isinstance(node.func, ast.Attribute):
                edit = text.replace(node, f"{text.of(node.func)}({kept})")
                yield from candidate(
                    ((edit,), None), 15, said("Permute the {dim} dimensions it has", dim=x.dim())
                )
