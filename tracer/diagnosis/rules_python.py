"""What is wrong before any sizes are: dtypes and devices, arguments, and Python's own errors."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rules import (
    CONTAINERS,
    Case,
    any_rule,
    kind_of,
    tensors_of,
)
from tracer.ops.names import shape_text
from tracer.sentences import Count, said


@any_rule
def no_tensor(case: Case) -> Finding | None:
    """A tuple, a list or None handed to an operation that takes a tensor."""
    crash = case.crash
    given: list[Any] = list(crash.call_args[:2]) if crash.function is not None else []
    if crash.op in ("cat", "stack", "hstack", "vstack", "getitem", "setitem", "einsum", "where"):
        given = []
    if crash.op in _ONE_TENSOR:
        given = given[:1]
    inner = case.running
    if inner is not None and crash.function is None:
        given += [*inner.args[:1]]
        if isinstance(inner.layer, nn.LSTM | nn.GRU | nn.RNN):
            given = given[:1]
    if not isinstance(crash.error, TypeError | AttributeError):
        return None
    for value in given:
        found = _not_a_tensor(case, value)
        if found is not None:
            return found
    return None


_ONE_TENSOR_TEXT = """
    view reshape permute transpose flatten relu softmax sum mean max size
    expand repeat squeeze unsqueeze layer_norm max_pool2d avg_pool2d
    adaptive_avg_pool2d dropout tanh sigmoid gelu interpolate pad log_softmax
    pow"""
_ONE_TENSOR = frozenset(_ONE_TENSOR_TEXT.split())


def _not_a_tensor(case: Case, value: Any, who: str = "") -> Finding | None:
    who = who or case.who(case.crash.op or "the operation")
    if value is None:
        return case.found(
            "type",
            said("{who} needs a tensor: it is given None.", who=who),
            said(
                "A function or module before this line gave nothing back; a forward without a "
                "`return` does so, and so does assigning the result of an in-place list method."
            ),
            check=said("Look for a missing `return` where the value comes from."),
            given="None",
        )
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        parts = [
            f"a tensor {shape_text(part)}" if isinstance(part, Tensor) else type(part).__name__
            for part in value
        ]
        if not parts:
            return None
        kind = type(value).__name__
        reason = said(
            "The call before this gave back several things, as a recurrent layer gives "
            "(output, state) and attention (output, weights). The tensor that is meant must be "
            "taken out first: `out, _ = …`, or `[0]`."
        )
        fields = ", ".join(getattr(value, "_fields", ())) or "values, indices"
        if type(value).__module__ == "torch.return_types":
            reason = said(
                "torch.{kind} along a dimension gives ({fields}), not one tensor. Take the one "
                "that is meant: `[0]`, or `.{first}`.",
                kind=kind,
                fields=fields,
                first=fields.split(",")[0],
            )
            kind = "pair" if len(value) == 2 else "tuple"
        return case.found(
            "type",
            said(
                "{who} needs a tensor: it is given a {kind} of {count} ({listed}).",
                who=who,
                kind=kind,
                count=len(value),
                listed=", ".join(parts[:4]),
            ),
            reason,
            check=said("See which of the parts is meant."),
            given=kind,
            parts=tuple(
                tuple(map(int, part.shape)) if isinstance(part, Tensor) else None for part in value
            ),
        )
    if isinstance(value, dict):
        keys = ", ".join(repr(key) for key in list(value)[:6])
        return case.found(
            "type",
            said("{who} needs a tensor: it is given a dict with {keys}.", who=who, keys=keys),
            said("The tensor that is meant must be taken out of it by its key."),
            given="dict",
        )
    if isinstance(value, nn.Module):
        return case.found(
            "type",
            said(
                "{who} needs a tensor: it is given a module, {name}.",
                who=who,
                name=type(value).__name__,
            ),
            said(
                "The module itself was passed, not what it computes: it was built in the forward, "
                "or its call is missing."
            ),
            given="module",
        )
    return None


@any_rule
def a_class_was_called(case: Case) -> Finding | None:
    """`nn.Dropout(x)`: the layer is built with the tensor as its setting."""
    failure = case.crash.trace.failure
    if failure is None or not case.crash.frames:
        return None
    statement = _statement(failure.expression)
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or not case.crash.operands:
        return None
    frame = case.crash.frames[-1]
    traceback, names = case.crash.error.__traceback__, dict[str, Any]()
    while traceback is not None:
        if traceback.tb_frame.f_code is frame.code:
            names = {**traceback.tb_frame.f_globals, **frame.scope}
        traceback = traceback.tb_next
    value: Any = None
    match call.func:
        case ast.Name(id=name):
            value = names.get(name)
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            value = vars(names[owner]).get(name) if hasattr(names.get(owner), "__dict__") else None
    if not (isinstance(value, type) and issubclass(value, nn.Module)):
        return None
    written = ast.unparse(call.func)
    return case.found(
        "type",
        said(
            "{written} is a class: calling it builds a layer, and is given a tensor as its "
            "setting.",
            written=written,
        ),
        said(
            "A layer is built once, in `__init__`, with its settings, and called in the forward "
            "with tensors. `{listed}` builds one in the forward.",
            listed=" ".join(failure.expression.split()),
        ),
        check=said(
            "Build it first: `{written}(...)(x)`, or `self.layer = {written}(...)` in `__init__`.",
            written=written,
        ),
        given="class",
    )


@any_rule
def float_sizes(case: Case) -> Finding | None:
    """`x.view(n, d / 2)`: torch refuses it while it reads the arguments."""
    error, failure = case.crash.error, case.crash.trace.failure
    text = str(error)
    if not isinstance(error, TypeError) or failure is None or "float" not in text:
        return None
    if "got float" not in text and "cannot be interpreted as an integer" not in text:
        return None
    if "/" not in failure.statement.replace("//", ""):
        return case.found(
            "type",
            said("A size must be a whole number: one of these is a float."),
            said(
                "`{listed}` takes sizes, positions or counts, and is given a float. `int(...)` "
                "makes a whole number of it.",
                listed=" ".join(failure.expression.split()),
            ),
            sizes="float",
        )
    return case.found(
        "type",
        said(
            "A size must be a whole number: a division with `/` gives a float, even when it comes "
            "out even."
        ),
        said(
            "`{listed}` takes whole numbers. `//` divides to a whole number.",
            listed=" ".join(failure.expression.split()),
        ),
        check=said("Divide with `//`."),
        sizes="float",
    )


@any_rule
def refused_by_the_parser(case: Case) -> Finding | None:
    """torch reads the arguments of its functions before the recorder sees the call: what was
    handed over is looked up by the names in the failing expression."""
    crash, failure = case.crash, case.crash.trace.failure
    if not isinstance(crash.error, TypeError) or failure is None or not crash.frames:
        return None
    scope = crash.frames[-1].scope
    statement = _statement(failure.expression)
    call = statement.value if isinstance(statement, ast.Expr) else None
    element = re.search(
        r"expected Tensor as element (\d+) in argument 0, but got", str(crash.error)
    )
    if element is not None and isinstance(call, ast.Call) and call.args:
        return _element(case, call, scope, int(element[1]))
    match = re.search(r"must be (?:a )?Tensor\w*,? not (\w+)", str(crash.error))
    if match is None:
        return None
    for arg in (
        [*call.args, *(k.value for k in call.keywords)] if isinstance(call, ast.Call) else []
    ):
        value = scope.get(arg.id) if isinstance(arg, ast.Name) else None
        if type(value).__name__ == match[1]:
            found = _not_a_tensor(case, value)
            if found is not None:
                return found
    given = "None" if match[1] == "NoneType" else match[1]
    name = ast.unparse(call.func) if isinstance(call, ast.Call) else "the operation"
    return case.found(
        "type",
        said(
            "{name} needs a tensor: it is given {value}.",
            name=name,
            value=given if given == "None" else "a " + given,
        ),
        said(
            "One of the arguments of `{expression}` is no tensor but a {given}. A {given} of "
            "tensors must be joined with `torch.stack` or `torch.cat`, or the one that is meant "
            "taken out of it.",
            expression=" ".join(failure.expression.split()),
            given=given,
        )
        if given in ("list", "tuple")
        else said(
            "One of the arguments of `{expression}` is {given}.",
            expression=" ".join(failure.expression.split()),
            given=given,
        ),
        check=said("See where that argument comes from."),
        given=given,
    )


def _element(case: Case, call: ast.Call, scope: Mapping[str, Any], position: int) -> Finding | None:
    """What stands at `position` in the list that `torch.cat` or `torch.stack` was given."""
    first, name = call.args[0], ast.unparse(call.func)
    value: Any = None
    if isinstance(first, ast.List | ast.Tuple) and position < len(first.elts):
        item = first.elts[position]
        value = scope.get(item.id) if isinstance(item, ast.Name) else None
        name += f" with `{ast.unparse(item)}`"
    elif isinstance(first, ast.Name) and isinstance(scope.get(first.id), list | tuple):
        value = scope[first.id][position]
        name += f" with `{first.id}[{position}]`"
    if value is None or isinstance(value, Tensor):
        given = str(case.crash.error).rpartition("but got ")[2]
        return case.found(
            "type",
            said(
                "{written} joins tensors: element {position} of its list is {given}.",
                written=ast.unparse(call.func),
                position=position,
                given=given,
            ),
            said(
                "Each part must be a tensor. A call that gives several things, a number or None "
                "cannot stand there."
            ),
            check=said("See what element {position} is made by.", position=position),
            given=given,
        )
    if isinstance(value, int | float):
        return case.found(
            "type",
            said("{name} needs a tensor: it is given the number {value}.", name=name, value=value),
            said(
                "Numbers are not joined: `torch.tensor(...)` makes a tensor of them, and "
                "`.item()` or `.tolist()` before this line would have made a number of a tensor."
            ),
            given=type(value).__name__,
        )
    return _not_a_tensor(case, value, name)


@any_rule
def devices(case: Case) -> Finding | None:
    tensors = tensors_of([*case.crash.call_args, case.crash.call_kwargs]) or list(
        case.crash.operands
    )
    placed: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.dim() or tensor.device.type != "cpu":  # single numbers of the CPU may be anywhere
            placed.setdefault(str(tensor.device), tensor)
    if len(placed) < 2:
        return None
    (first, a), (second, b) = list(placed.items())[:2]
    x, y = case.name(a, "one tensor"), case.name(b, "the other")
    return case.found(
        "device",
        said(
            "{who} needs all tensors on one device: {x} is on {first}, {y} on {second}.",
            who=case.who(case.crash.op or "the operation"),
            x=x,
            first=first,
            y=y,
            second=second,
        ),
        said(
            "Tensors made in a forward (`torch.zeros(...)`), kept in a plain attribute or in a "
            "list do not move with `model.to(device)`. Make them with `device=x.device`, or "
            "register them as a buffer."
        ),
        devices=tuple(placed),
    )


# They want one dtype of all their tensors and convert none.
_STRICT_TEXT = """
    linear matmul mm bmm mv dot addmm baddbmm bilinear conv1d conv2d conv3d
    conv_transpose1d conv_transpose2d conv_transpose3d einsum lstm gru
    rnn_tanh rnn_relu lstm_cell gru_cell batch_norm layer_norm group_norm
    instance_norm scaled_dot_product_attention cdist mse_loss
    cross_entropy_loss tensordot prelu grid_sample rms_norm
    multi_head_attention_forward _native_multi_head_attention
    _transformer_encoder_layer_fwd index_add scatter_add scatter"""
_STRICT = frozenset(_STRICT_TEXT.split())


@any_rule
def dtypes(case: Case) -> Finding | None:
    crash = case.crash
    if crash.function is None and case.running is None:
        return None
    tensors = tensors_of([*crash.call_args, crash.call_kwargs]) or list(crash.operands)
    if not tensors:
        return None
    strict = crash.op in _STRICT
    floats = [t for t in tensors if t.is_floating_point() or t.is_complex()]
    kinds: dict[torch.dtype, Tensor] = {}
    for tensor in tensors if strict else ():
        if not (crash.op == "scatter" and tensor is crash.call_args[-1]):
            kinds.setdefault(tensor.dtype, tensor)
    if crash.op in ("scatter", "scatter_add", "index_add"):
        kinds.pop(torch.int64, None)
    if len(kinds) > 1:
        # The parameters' dtype is the one that is meant, and else the one that most have.
        owned = {id(p): p.dtype for p in crash.model.parameters()}
        usual = set(owned.values()) or {torch.get_default_dtype()}
        ranked = sorted(kinds.values(), key=lambda t: (id(t) not in owned, t.dtype not in usual))
        want, have = ranked[0], ranked[-1]
        x = case.name(have, "one tensor")
        w = case.name(want, "the weight" if id(want) in owned else "the other")
        who = case.who(case.crash.op or "the operation")
        reason = said(
            "{x} {shape} is {have} and {w} {want}; products and layers convert nothing by "
            "themselves.",
            x=x,
            shape=case.shape(have),
            have=kind_of(have.dtype),
            w=w,
            want=kind_of(want.dtype),
        )
        if have.dtype == torch.float64:
            more = said("NumPy arrays are float64, and torch.from_numpy keeps that: `.float()`.")
        elif not have.is_floating_point():
            more = said("Whole numbers must be turned into {want} first.", want=kind_of(want.dtype))
        else:
            more = said("`.to({w}.dtype)` converts.", w=w)
        return case.found(
            "dtype",
            said(
                "{who} needs one dtype: {x} is {kind}, {w} is {kind_2}.",
                who=who,
                x=x,
                kind=kind_of(have.dtype),
                w=w,
                kind_2=kind_of(want.dtype),
            ),
            (reason, more),
            check=said("See where {x} became {kind}.", x=x, kind=kind_of(have.dtype)),
            wanted_dtype=kind_of(want.dtype),
            found_dtype=kind_of(have.dtype),
            operand=case.position(have),
        )
    name = getattr(crash.function, "__name__", "")
    in_place = name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))
    if in_place and len(tensors) > 1 and not torch.can_cast(tensors[1].dtype, tensors[0].dtype):
        x, y = case.name(tensors[0], "the left side"), case.name(tensors[1], "the right side")
        return case.found(
            "dtype",
            said(
                "An operation in place keeps the dtype: {kind} does not go into {x}, which is "
                "{kind_2}.",
                kind=kind_of(tensors[1].dtype),
                x=x,
                kind_2=kind_of(tensors[0].dtype),
            ),
            said(
                "{x} holds {kind} and {y} {kind_2}; the result would be {kind_3}.",
                x=x,
                kind=kind_of(tensors[0].dtype),
                y=y,
                kind_2=kind_of(tensors[1].dtype),
                kind_3=kind_of(torch.result_type(tensors[0], tensors[1])),
            ),
            wanted_dtype=kind_of(tensors[1].dtype),
            found_dtype=kind_of(tensors[0].dtype),
            operand=case.position(tensors[0]),
        )
    if not floats and _runs_on_floats(case):
        have = tensors[0]
        x = case.name(have, "the input")
        return case.found(
            "dtype",
            said(
                "{who} needs floating-point numbers: {x} is {kind}.",
                who=case.who(crash.op),
                x=x,
                kind=kind_of(have.dtype),
            ),
            said(
                "{x} {shape} holds {kind}, for which torch has no {op}. With `.float()` it runs.",
                x=x,
                shape=case.shape(have),
                kind=kind_of(have.dtype),
                op=crash.op,
            ),
            check=said("See whether {x} is meant to hold class numbers, or measurements.", x=x),
            wanted_dtype="float32",
            found_dtype=kind_of(have.dtype),
            operand=case.position(have),
        )
    return None


def _runs_on_floats(case: Case) -> bool:
    """Tried, since torch has no table of which operation takes which dtype."""
    crash = case.crash
    if crash.function is None or sum(t.numel() for t in tensors_of([*crash.call_args])) > 1_000_000:
        return False

    def cast(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.detach().float()
        if type(value) in (list, tuple):
            return type(value)(cast(item) for item in value)
        return value

    try:
        crash.function(
            *(cast(v) for v in crash.call_args),
            **{key: cast(v) for key, v in crash.call_kwargs.items()},
        )
    except Exception:  # noqa: BLE001 - whatever it says, it is not the dtype alone
        return False
    return True


@any_rule
def leaf_in_place(case: Case) -> Finding | None:
    name = getattr(case.crash.function, "__name__", "")
    in_place = name in ("__setitem__",) or name.startswith("__i") or name.endswith("_")
    target = next(iter(tensors_of(list(case.crash.call_args))), None)
    if in_place and target is not None and target.is_leaf and target.requires_grad:
        x = case.name(target, "it")
        return case.found(
            "other",
            said("{x} is a leaf that requires grad: it cannot be changed in place.", x=x),
            said(
                "Autograd must keep the value of a parameter as it was for the backward pass. "
                "Work on a copy, `{x}.clone()`, or write the operation without in-place.",
                x=x,
            ),
        )
    return None


@any_rule
def one_number(case: Case) -> Finding | None:
    """`if x > 0`, `int(x)`, `x.item()` of many elements, and `.numpy()` with a gradient."""
    op = case.crash.op
    tensor = next(iter(tensors_of(list(case.crash.call_args))), None)
    if tensor is None:
        return None
    x = case.name(tensor, "the tensor")
    if op in ("item", "bool", "int", "float", "index", "tolist") and tensor.numel() != 1:
        return case.found(
            "item",
            said(
                "Only a tensor of one element becomes a plain number: {x} {shape} has {value}.",
                x=x,
                shape=case.shape(tensor),
                value=tensor.numel(),
            ),
            said(
                "An `if`, `int()`, `float()` or `.item()` asks {x} for one answer. `.any()`, "
                "`.all()`, `.mean()` make one of many.",
                x=x,
            ),
        )
    if op == "numpy" and tensor.requires_grad:
        return case.found(
            "item",
            said("numpy needs a tensor without gradient: {x} requires one.", x=x),
            said("`{x}.detach().numpy()` gives the numbers alone.", x=x),
        )
    return None


@any_rule
def wrong_call(case: Case) -> Finding | None:
    """A forward or a function that is given too few, too many or misnamed arguments."""
    error = case.crash.error
    if not isinstance(error, TypeError):
        return None
    last = case.crash.running[-1] if case.crash.running else None
    if case.crash.function is None and last is not None and not isinstance(last.layer, CONTAINERS):
        try:
            signature = inspect.signature(last.layer.forward)
        except (TypeError, ValueError):
            return None
        try:
            signature.bind(*last.args, **last.kwargs)
        except TypeError as problem:
            return _arguments(
                case, last.layer, last.path, signature, last.args, last.kwargs, problem
            )
    if case.crash.function is None and not case.crash.running:
        layer = case.crash.model
        try:
            signature = inspect.signature(layer.forward)
            signature.bind(*case.crash.args, **case.crash.kwargs)
        except TypeError as problem:
            return _arguments(
                case, layer, "", signature, case.crash.args, case.crash.kwargs, problem
            )
        except ValueError:
            return None
    return None


def _arguments(
    case: Case,
    layer: nn.Module,
    path: str,
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    problem: TypeError,
) -> Finding:
    name = path or type(layer).__name__
    wanted = [
        p.name
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)
    ]
    needed = [
        p.name
        for p in signature.parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)
    ]
    given = len(args) + len(kwargs)
    missing = [
        n for i, n in enumerate(wanted) if n in needed and i >= len(args) and n not in kwargs
    ]
    unknown = [n for n in kwargs if n not in signature.parameters]
    head = said(
        "{name}.forward takes {inputs} ({wanted})",
        name=name,
        inputs=Count(len(wanted), "input"),
        wanted=", ".join(wanted),
    )
    if len(needed) != len(wanted):
        head = said("{head}, {needed} of them needed", head=head, needed=len(needed))
    rule = (
        said("{head}: it has no '{name}'.", head=head, name=unknown[0])
        if unknown
        else said("{head}: it is given {given}.", head=head, given=given)
    )
    first = args[0] if args else None
    if missing:
        reason = [said("Missing: {missing}.", missing=", ".join(missing))]
        if len(args) == 1 and isinstance(first, tuple | list) and len(first) == len(needed):
            reason.append(
                said(
                    "It is given one {kind} of {count}, which would fit with a star: "
                    "`model(*inputs)`.",
                    kind=type(first).__name__,
                    count=len(first),
                )
            )
    elif unknown:
        reason = [
            said(
                "The keyword '{name}' is not among its inputs: {wanted}.",
                name=unknown[0],
                wanted=", ".join(wanted),
            )
        ]
    else:
        reason = [said("{count} too many are passed.", count=given - len(wanted))]
    if path and type(layer).__module__.startswith("torch.nn"):
        reason.append(said("{path} is nn.{layer}.", path=path, layer=type(layer).__name__))
    return case.found(
        "arguments",
        rule,
        tuple(reason),
        check=said("Compare the call with the first line of the forward."),
        missing=tuple(missing),
        unknown=tuple(unknown),
        given=given,
        wanted=len(wanted),
        path=path,
    )


@any_rule
def size_of_no_dimension(case: Case) -> Finding | None:
    """`x.shape[3]` and `x.size(3)` of a tensor with fewer dimensions."""
    if not isinstance(case.crash.error, IndexError) or case.crash.trace.failure is None:
        return None
    text = case.crash.trace.failure.expression
    match = re.search(r"(?:\.shape\[|\.size\()\s*(-?\d+)\s*[\])]", text)
    if match is None or len(case.crash.operands) != 1:
        return None
    tensor, dim = case.crash.operands[0], int(match[1])
    if -tensor.dim() <= dim < tensor.dim():
        return None
    x = case.name(tensor, "the tensor")
    return case.found(
        "axis",
        said(
            "{x} {shape} has {dimensions}: there is no dimension {dim}.",
            x=x,
            shape=case.shape(tensor),
            dimensions=Count(tensor.dim(), "dimension"),
            dim=dim,
        ),
        said(
            "Dimensions are counted from 0, so the last one of {x} is {value}. A dimension is "
            "missing that was there when this line was thought of.",
            x=x,
            value=tensor.dim() - 1,
        ),
        *((tensor, d, None) for d in range(tensor.dim())),
        dim=dim,
        rank=tensor.dim(),
    )


@any_rule
def unpacking(case: Case) -> Finding | None:
    """`b, c, h, w = x.shape` of a tensor with three dimensions, and `out, h = layer(x)`."""
    failure = case.crash.trace.failure
    if not isinstance(case.crash.error, ValueError | TypeError) or failure is None:
        return None
    if "unpack" not in str(case.crash.error):
        return None
    statement = _statement(failure.statement)
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    if not isinstance(target, ast.Tuple | ast.List) or not isinstance(statement, ast.Assign):
        return None
    names, value = len(target.elts), statement.value
    written = ast.unparse(value)
    tensor = case.crash.operands[0] if len(case.crash.operands) == 1 else None
    if written.endswith((".shape", ".size()")) and tensor is not None:
        x = case.name(tensor, "the tensor")
        less = names > tensor.dim()
        one_less = (
            [said("If the batch is what is missing, `x.unsqueeze(0)` makes a batch of one.")]
            if names - tensor.dim() == 1
            else []
        )
        return case.found(
            "unpack",
            said(
                "{names} for {dimensions}: {x} is {shape}.",
                names=Count(names, "name"),
                dimensions=Count(tensor.dim(), "dimension"),
                x=x,
                shape=case.shape(tensor),
            ),
            (
                said(
                    "The line expects {x} to be {target}; it has {dimensions} fewer than that."
                    if less
                    else "The line expects {x} to be {target}; it has {dimensions} more than that.",
                    x=x,
                    target=ast.unparse(target),
                    dimensions=Count(abs(names - tensor.dim()), "dimension"),
                ),
                *one_less,
            ),
            *((tensor, d, None) for d in range(tensor.dim())),
            check=said("See whether {x} lacks its batch dimension.", x=x),
            names=names,
            rank=names,
        )
    if tensor is not None:
        x = case.name(tensor, "the tensor")
        return case.found(
            "unpack",
            said(
                "{names} on the left for {written}, which gives another number of parts.",
                names=Count(names, "name"),
                written=written,
            ),
            said(
                "Taking a tensor apart goes along its first dimension; {x} is {shape}. A layer "
                "that gives one tensor is not a pair.",
                x=x,
                shape=case.shape(tensor),
            ),
            names=names,
        )
    words = " ".join(str(case.crash.error).split())
    return case.found(
        "unpack",
        said(
            "{names} on the left for what {written} gives: {words}.",
            names=Count(names, "name"),
            written=written,
            words=words,
        ),
        said("The call gives back another number of things than the line takes apart."),
        names=names,
    )


def _statement(text: str) -> ast.stmt | None:
    try:
        body = ast.parse(text.strip()).body
    except (SyntaxError, ValueError):
        return None
    return body[0] if body else None


@any_rule
def attribute(case: Case) -> Finding | None:
    """A method of tensors asked of a tuple; an attribute that was never set."""
    error = case.crash.error
    if not isinstance(error, AttributeError):
        return None
    name, value = getattr(error, "name", None) or "?", getattr(error, "obj", None)
    failure = case.crash.trace.failure
    text = " ".join(failure.expression.split()) if failure is not None else ""
    if isinstance(value, tuple | list | dict | type(None)) and hasattr(Tensor, name):
        found = _not_a_tensor(case, value)
        if found is not None:
            what = "None" if value is None else f"a {type(value).__name__} of {len(value)}"
            return case.found(
                "type",
                said(
                    "`.{name}` belongs to a tensor: here it is asked of {what}.",
                    name=name,
                    what=what,
                ),
                found.report.reason,
                check=found.report.check or "",
                **found.facts,
            )
    if isinstance(value, nn.Module) or (value is None and "object has no attribute" in str(error)):
        owner = type(value).__name__ if value is not None else "the module"
        match = re.match(r"'(\w+)' object has no attribute '(\w+)'", str(error))
        if match is not None:
            owner, name = match[1], match[2]
        near = _nearest(name, value)
        return case.found(
            "attribute",
            said("{owner} has no attribute '{name}'.", owner=owner, name=name),
            said(
                "`{text}` asks for it; it was not set in `__init__`. There is '{near}'.",
                text=text or name,
                near=near,
            )
            if near
            else said(
                "`{text}` asks for it; it was not set in `__init__`, or under another name.",
                text=text or name,
            ),
            near=near,
        )
    if isinstance(value, Tensor):
        return case.found(
            "attribute",
            said("A tensor has no attribute '{name}'.", name=name),
            said("`{text}` asks a tensor {shape} for it.", text=text, shape=case.shape(value)),
        )
    return None


def _nearest(name: str, value: Any) -> str:
    import difflib

    names = dir(value) if value is not None else []
    return next(iter(difflib.get_close_matches(name, names, 1, 0.7)), "")


@any_rule
def not_implemented(case: Case) -> Finding | None:
    if not isinstance(case.crash.error, NotImplementedError):
        return None
    if "forward" not in str(case.crash.error):
        return None
    layer = case.crash.running[-1].layer if case.crash.running else case.crash.model
    what = type(layer).__name__
    return case.found(
        "attribute",
        said("{what} has no forward.", what=what),
        said(
            "{what} holds modules and cannot be called itself: call its parts, one after the "
            "other. A forward that is misspelt or indented into `__init__` is not found either.",
            what=what,
        ),
    )
