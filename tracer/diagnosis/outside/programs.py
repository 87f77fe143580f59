"""Programs that run outside Python: the sizes that they were exported for, and what a scripted or
traced one says of its place."""

from __future__ import annotations

import re

from torch import Tensor

from tracer.diagnosis.outside.raised import Answer, Raised, Shown, raised_rule
from tracer.document import Place
from tracer.record.tensors import tensors_in
from tracer.sentences import ShapeOf, as_written, said
from tracer.source.built import of_user
from tracer.source.text import text_of


@raised_rule
def exported(raised: Raised) -> Answer | None:
    match = re.search(r"Guard failed: (\w+)\.size\(\)\[(\d+)\] (==|<=|>=|!=) (\d+)", raised.words)
    if match is None:
        return None
    name, dim, relation, wanted = match[1], int(match[2]), match[3], int(match[4])
    tensor = _given(raised, name, dim, wanted)
    rule = (
        said(
            "The exported program takes {name} with {wanted} in dimension {dim}: it is given "
            "{shape}.",
            name=name,
            wanted=wanted,
            dim=dim,
            shape=ShapeOf(tuple(tensor.shape), 0) if tensor is not None else "?",
        )
        if relation == "=="
        else said(
            "The exported program takes {name} with dimension {dim} {relation} {wanted}.",
            name=name,
            dim=dim,
            relation=relation,
            wanted=wanted,
        )
    )
    return Answer(
        "exported",
        rule,
        (
            said(
                "A program is exported for the sizes of its example inputs; a dimension is free "
                "only where `dynamic_shapes` says so."
            ),
        ),
        check=said(
            "Export with `dynamic_shapes={{'{name}': {{{dim}: torch.export.Dim.AUTO}}}}`, or give "
            "it that size.",
            name=name,
            dim=dim,
        ),
        shown=(Shown(name, tensor, (dim,)),) if tensor is not None else (),
        facts={"dim": dim, "wanted": wanted},
    )


def _given(raised: Raised, name: str, dim: int, wanted: int) -> Tensor | None:
    """The input that the guard is about."""
    for frame, _ in raised.frames:
        if frame.f_code.co_name == "_call_impl":
            names = frame.f_locals
            kwargs = names.get("kwargs") or {}
            if isinstance(kwargs.get(name), Tensor):
                found: Tensor = kwargs[name]
                return found
            for each in tensors_in(names.get("args")):
                if each.dim() > dim and each.shape[dim] != wanted:
                    return each
    return None


@raised_rule
def scripted(raised: Raised) -> Answer | None:
    """A scripted or traced program whose Python is not known: its message names the lines."""
    if "failed in the TorchScript interpreter" not in raised.words:
        return None
    lines = [
        *re.findall(r'File "([^"]+)", line (\d+)', raised.words),
        *reversed(re.findall(r"^(/[^\n(]+\.py)\((\d+)\): ", raised.words, re.MULTILINE)),
    ]
    own = [(file, int(line)) for file, line in lines if of_user(file)]
    traced = not re.search(r'File "', raised.words)
    if traced:  # the lines of the trace come after those that called it
        own = own[-1:]
    last = str(raised.error).strip().splitlines()[-1]  # its words may be cut short
    place = _place(*own[-1]) if own else None
    return Answer(
        "other",
        as_written(last),
        (
            said(
                "The traced program has no Python any more: this is the line that was traced, and "
                "the sizes in it are those of the example input."
            )
            if traced
            else said("The scripted program runs outside Python: its operands are not seen."),
        ),
        check=said("Call the module that was traced or scripted itself: it fails there too."),
        place=place,
    )


def _place(file: str, line: int) -> Place | None:
    text = text_of(file)
    statement = text.statement_on(line) if text is not None else None
    if text is None or statement is None:
        return None
    written, span = text.of(statement), text.span(statement)
    function = text.function(statement)
    name = getattr(function, "name", "<module>")
    return Place(file, line, name, None, span, written, written, span)
