"""Python's own errors: arguments of a call, names to unpack into, attributes."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from tracer.diagnosis import tensor_kinds  # noqa: F401 - its rules are asked first
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.no_tensor import not_a_tensor, statement_of
from tracer.diagnosis.rules import (
    CONTAINERS,
    Case,
    any_rule,
)
from tracer.sentences import Count, Said, said


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
        except TypeError:
            return _arguments(case, last.layer, last.path, signature, last.args, last.kwargs)
    if case.crash.function is None and not case.crash.running:
        layer = case.crash.model
        try:
            signature = inspect.signature(layer.forward)
            signature.bind(*case.crash.args, **case.crash.kwargs)
        except TypeError:
            return _arguments(case, layer, "", signature, case.crash.args, case.crash.kwargs)
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
) -> Finding:
    takes = [
        p
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)
    ]
    wanted = [p.name for p in takes]
    needed = [p.name for p in takes if p.default is p.empty]
    given = len(args) + len(kwargs)
    missing = [n for i, n in enumerate(wanted) if n in needed and i >= len(args)]
    missing = [n for n in missing if n not in kwargs]
    unknown = [n for n in kwargs if n not in signature.parameters]
    head = said(
        "{name}.forward takes {inputs} ({wanted})",
        name=path or type(layer).__name__,
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
    reason = list(_why_not(args, wanted, needed, missing, unknown, given))
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


def _why_not(
    args: tuple[Any, ...],
    wanted: list[str],
    needed: list[str],
    missing: list[str],
    unknown: list[str],
    given: int,
) -> Iterator[Said]:
    if missing:
        yield said("Missing: {missing}.", missing=", ".join(missing))
        first = args[0] if args else None
        if len(args) == 1 and isinstance(first, tuple | list) and len(first) == len(needed):
            yield said(
                "It is given one {kind} of {count}, which would fit with a star: `model(*inputs)`.",
                kind=type(first).__name__,
                count=len(first),
            )
    elif unknown:
        yield said(
            "The keyword '{name}' is not among its inputs: {wanted}.",
            name=unknown[0],
            wanted=", ".join(wanted),
        )
    else:
        yield said("{count} too many are passed.", count=given - len(wanted))


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
    x = case.name(tensor, said("the tensor"))
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
    if "unpack" not in case.crash.words:
        return None
    statement = statement_of(failure.statement)
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    if not isinstance(target, ast.Tuple | ast.List) or not isinstance(statement, ast.Assign):
        return None
    names, written = len(target.elts), ast.unparse(statement.value)
    tensor = case.crash.operands[0] if len(case.crash.operands) == 1 else None
    if written.endswith((".shape", ".size()")) and tensor is not None:
        return _shape_unpacked(case, tensor, target)
    if tensor is not None:
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
                x=case.name(tensor, said("the tensor")),
                shape=case.shape(tensor),
            ),
            names=names,
        )
    return case.found(
        "unpack",
        said(
            "{names} on the left for what {written} gives: {words}.",
            names=Count(names, "name"),
            written=written,
            words=" ".join(case.crash.words.split()),
        ),
        said("The call gives back another number of things than the line takes apart."),
        names=names,
    )


def _shape_unpacked(case: Case, tensor: Tensor, target: ast.Tuple | ast.List) -> Finding:
    x, names = case.name(tensor, said("the tensor")), len(target.elts)
    less = names > tensor.dim()
    reason = [
        said(
            "The line expects {x} to be {target}; it has {dimensions} fewer than that."
            if less
            else "The line expects {x} to be {target}; it has {dimensions} more than that.",
            x=x,
            target=ast.unparse(target),
            dimensions=Count(abs(names - tensor.dim()), "dimension"),
        )
    ]
    if names - tensor.dim() == 1:
        reason.append(
            said("If the batch is what is missing, `x.unsqueeze(0)` makes a batch of one.")
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
        tuple(reason),
        *((tensor, d, None) for d in range(tensor.dim())),
        check=said("See whether {x} lacks its batch dimension.", x=x),
        names=names,
        rank=names,
    )


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
        found = not_a_tensor(case, value)
        if found is not None:
            what = (
                said("a {kind} of {count}", kind=type(value).__name__, count=len(value))
                if value is not None
                else "None"
            )
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
    if isinstance(value, nn.Module) or (
        value is None and "object has no attribute" in case.crash.words
    ):
        owner: str | Said = type(value).__name__ if value is not None else said("the module")
        match = re.match(r"'(\w+)' object has no attribute '(\w+)'", case.crash.words)
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
    if "forward" not in case.crash.words:
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
