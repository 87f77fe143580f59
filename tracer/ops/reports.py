"""What is said of violations that many operations share, by their kind."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.ops.bound import ANY_MORE
from tracer.ops.refusal import Count, Refusal, Report, Reports, Said, ShapeOf, said


def broadcast_report(refusal: Refusal) -> Report | None:
    """Of violations of kind `broadcast`; nothing where no two operands are at odds."""
    if refusal.facts.get("in_place"):
        return _cannot_grow_report(refusal)
    if len(refusal.violation.marks) < 2 or "onto" in refusal.facts:
        return None
    values = refusal.pair() | {"op": refusal.written or refusal.call.op}
    i, j = values["one"].operand, values["two"].operand
    first, second = refusal.call.operands[i], refusal.call.operands[j]
    reason: list[Said] = [
        said(
            "Shapes are compared from the right. {a} {shape_a} has {one} in dimension {dim_a}, and "
            "{b} {shape_b} has {two} in dimension {dim_b}; only equal sizes go together, or a size "
            "of 1, which is repeated.",
            **values,
        )
    ]
    if first.rank != second.rank:
        few, many = (i, j) if first.rank < second.rank else (j, i)
        reason.append(
            said(
                "{few} has {count} and {many} {more}: torch puts the missing ones on the left.",
                few=refusal.name(few, said("one")),
                many=refusal.name(many, said("the other")),
                count=Count(refusal.call.operands[few].rank, "dimension"),
                more=refusal.call.operands[many].rank,
            )
        )
    elif sorted(first.shape) == sorted(second.shape):
        reason.append(said("Both have the same sizes in another order."))
    return Report(
        said(
            "{op} needs sizes that are equal or 1: {one} ≠ {two} ({shape_a} and {shape_b}).",
            **values,
        ),
        tuple(reason),
        said("See why {a} has {one} and {b} has {two} there.", **values),
    )


def _cannot_grow_report(refusal: Refusal) -> Report:
    target, other = refusal.facts["target"], refusal.facts["other"]
    values = {
        "name": refusal.name(target, said("the left side")),
        "value": refusal.name(other, said("the right side")),
        "have": refusal.shape(target),
        "given": refusal.shape(other),
        "grown": ShapeOf(refusal.facts["grown"]),
    }
    return Report(
        said(
            "An operation in place cannot change the shape of what it writes to: the result would "
            "be {grown}, and {name} is {have}.",
            **values,
        ),
        (
            said(
                "{value} {given} would stretch {name} {have} to {grown}. Written in place there is "
                "no room for that.",
                **values,
            ),
        ),
        said("Write `{name} = {name} + …` if the larger result is meant.", **values),
    )


def axis_report(refusal: Refusal) -> Report:
    index = refusal.facts["at"]
    x, shape = refusal.name(index), refusal.shape(index)
    op = refusal.call.op
    if "twice" in refusal.facts:
        return Report(
            said("{op} names dimension {dim} twice.", op=op, dim=refusal.facts["twice"]),
            (said("Each dimension of {x} {shape} can be taken once.", x=x, shape=shape),),
        )
    rank = refusal.facts["rank"]
    values = {
        "op": op,
        "dim": refusal.facts["dim"],
        "x": x,
        "shape": shape,
        "count": Count(len(shape.shape), "dimension"),
        "low": -rank,
        "high": rank - 1,
    }
    return Report(
        said(
            "{op} asks for dimension {dim}, and {x} {shape} has {count}: legal are {low} to {high}."
            if rank
            else "{op} asks for dimension {dim}, and {x} {shape} has {count}: legal are none.",
            **values,
        ),
        (
            said(
                "Dimensions are counted from 0, so the last one of {x} is {high} (or -1). A "
                "dimension is missing that was there when this line was thought of, or the number "
                "is one too high.",
                **values,
            ),
        ),
        said("See whether {x} lost a dimension before this line.", x=x),
    )


def rank_report(refusal: Refusal) -> Report:
    """Of violations of kind `rank`: `at` has none of the numbers of dimensions in `ranks`."""
    index, ranks = refusal.facts["at"], refusal.facts.get("ranks") or (refusal.facts["rank"],)
    values = {
        "who": refusal.who,
        "x": refusal.name(index),
        "shape": refusal.shape(index),
        "have": refusal.call.operands[index].rank,
        "least": Count(min(ranks), "dimension"),
        "few": min(ranks),
        "many": max(ranks),
    }
    return Report(
        said(
            "{who} needs {least} in {x} {shape}, which has {have}."
            if len(ranks) == 1
            else "{who} needs at least {least}: {x} {shape} has {have}."
            if max(ranks) == ANY_MORE
            else "{who} needs {few} or {many} dimensions: {x} {shape} has {have}."
            if len(ranks) == 2
            else "{who} needs {few} to {many} dimensions: {x} {shape} has {have}.",
            **values,
        ),
        (
            said(
                "A dimension is missing that was there when this line was thought of."
                if values["have"] < min(ranks)
                else "There is a dimension more than this line was thought for."
            ),
        ),
        said("See where {x} got its {have} dimensions.", **values),
    )


def setting_report(refusal: Refusal) -> Report | None:
    """Of violations of kind `arguments`: a stride, a number of parts and the like that is too small
    to mean anything."""
    facts = refusal.facts
    if "least" not in facts:
        return None
    return Report(
        said(
            "{who} needs {argument} of at least {least}: {value} < {least}.",
            who=refusal.who,
            **facts,
        ),
        (said("There is nothing that {argument} = {value} could mean here.", **facts),),
    )


def dtype_report(refusal: Refusal) -> Report | None:
    """Of violations of kind `dtype`: `operand` is not `wanted_dtype`."""
    operand, wanted = refusal.facts.get("operand"), refusal.facts.get("wanted_dtype")
    if operand is None or wanted is None:
        return None
    values = {
        "who": refusal.who,
        "x": refusal.name(operand.index),
        "wanted": wanted,
        "found": refusal.facts["found_dtype"],
    }
    return Report(
        said("{who} needs {x} to be {wanted}: it is {found}.", **values),
        (said("`{x}.to(torch.{wanted})` turns it into that.", **values),),
    )


SHARED: Mapping[str, Reports] = {
    "arguments": setting_report,
    "axis": axis_report,
    "broadcast": broadcast_report,
    "dtype": dtype_report,
    "rank": rank_report,
}
"""For entries that have no report of their own, or none of this kind."""
