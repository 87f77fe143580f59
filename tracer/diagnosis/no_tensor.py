"""What is no tensor where one is meant: a tuple, None, a module, a float for a size."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rules import (
    Case,
    any_rule,
)
from tracer.ops.names import shape_text
from tracer.sentences import Said, said
from tracer.syntax import parsed


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
        found = not_a_tensor(case, value)
        if found is not None:
            return found
    return None


_ONE_TENSOR_TEXT = """
    view reshape permute transpose flatten relu softmax sum mean max size
    expand repeat squeeze unsqueeze layer_norm max_pool2d avg_pool2d
    adaptive_avg_pool2d dropout tanh sigmoid gelu interpolate pad log_softmax
    pow"""
_ONE_TENSOR = frozenset(_ONE_TENSOR_TEXT.split())


def not_a_tensor(case: Case, value: Any, who: str | Said = "") -> Finding | None:
    """What a value is that stands where a tensor is meant, None if it may stand there."""
    who = who or case.who() or said("the operation")
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
        return _several(case, value, who) if value else None
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


def _collection(value: tuple[Any, ...] | list[Any]) -> str | Said:
    if type(value).__module__ != "torch.return_types":
        return type(value).__name__
    return said("pair") if len(value) == 2 else "tuple"


def _several(case: Case, value: tuple[Any, ...] | list[Any], who: str | Said) -> Finding:
    parts = [
        said("a tensor {shape}", shape=shape_text(part))
        if isinstance(part, Tensor)
        else type(part).__name__
        for part in value
    ]
    kind = type(value).__name__
    reason = said(
        "The call before this gave back several things, as a recurrent layer gives "
        "(output, state) and attention (output, weights). The tensor that is meant must be "
        "taken out first: `out, _ = …`, or `[0]`."
    )
    if type(value).__module__ == "torch.return_types":
        fields = ", ".join(getattr(value, "_fields", ())) or "values, indices"
        reason = said(
            "torch.{kind} along a dimension gives ({fields}), not one tensor. Take the one "
            "that is meant: `[0]`, or `.{first}`.",
            kind=kind,
            fields=fields,
            first=fields.split(",")[0],
        )
    return case.found(
        "type",
        said(
            "{who} needs a tensor: it is given a {kind} of {count} ({listed}).",
            who=who,
            kind=_collection(value),
            count=len(value),
            listed=tuple(parts[:4]),
        ),
        reason,
        check=said("See which of the parts is meant."),
        given=kind,
        parts=tuple(
            tuple(map(int, part.shape)) if isinstance(part, Tensor) else None for part in value
        ),
    )


@any_rule
def a_class_was_called(case: Case) -> Finding | None:
    """`nn.Dropout(x)`: the layer is built with the tensor as its setting."""
    failure = case.crash.trace.failure
    if failure is None or not case.crash.frames:
        return None
    statement = statement_of(failure.expression)
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
    text = case.crash.words
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
    statement = statement_of(failure.expression)
    call = statement.value if isinstance(statement, ast.Expr) else None
    element = re.search(r"expected Tensor as element (\d+) in argument 0, but got", crash.words)
    if element is not None and isinstance(call, ast.Call) and call.args:
        return _element(case, call, scope, int(element[1]))
    match = re.search(r"must be (?:a )?Tensor\w*,? not (\w+)", crash.words)
    if match is None:
        return None
    for arg in (
        [*call.args, *(k.value for k in call.keywords)] if isinstance(call, ast.Call) else []
    ):
        value = scope.get(arg.id) if isinstance(arg, ast.Name) else None
        if type(value).__name__ == match[1]:
            found = not_a_tensor(case, value)
            if found is not None:
                return found
    given = "None" if match[1] == "NoneType" else match[1]
    name = ast.unparse(call.func) if isinstance(call, ast.Call) else said("the operation")
    return case.found(
        "type",
        said(
            "{who} needs a tensor: it is given None."
            if given == "None"
            else "{who} needs a tensor: it is given a {given}.",
            who=name,
            given=given,
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
    first, op = call.args[0], ast.unparse(call.func)
    value: Any = None
    name = said("{op}", op=op)
    if isinstance(first, ast.List | ast.Tuple) and position < len(first.elts):
        item = first.elts[position]
        value = scope.get(item.id) if isinstance(item, ast.Name) else None
        name = said("{op} with `{code}`", op=op, code=ast.unparse(item))
    elif isinstance(first, ast.Name) and isinstance(scope.get(first.id), list | tuple):
        value = scope[first.id][position]
        name = said("{op} with `{code}`", op=op, code=f"{first.id}[{position}]")
    if value is None or isinstance(value, Tensor):
        given = case.crash.words.rpartition("but got ")[2]
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
    return not_a_tensor(case, value, name)


def statement_of(text: str) -> ast.stmt | None:
    try:
        body = parsed(text.strip()).body
    except (SyntaxError, ValueError):
        return None
    return body[0] if body else None
