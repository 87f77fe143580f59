"""Products that contract dimensions: matmul and its kin, linear, outer, distances, einsum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer.ops.algebra import product
from tracer.ops.bound import Bound, Violation
from tracer.ops.call import Call, Size, Unclear
from tracer.ops.names import shape_text
from tracer.ops.refusal import Count, Refusal, Report, Said, SizeAt, said
from tracer.ops.say import Spoken, Told, many, ordinal
from tracer.ops.spec import form, operation

# --- matmul and its kin --------------------------------------------------------------------------


def _product_words(step: Spoken) -> Told:
    first, second = _factors(step.bound)
    a, b = step.call.operands[first].shape, step.call.operands[second].shape
    inner = a[-1]
    rank = max(len(a), len(b)) - 2
    lines = []
    for axis in range(max(rank, 0)):
        for position, shape in enumerate((a, b)):
            at = axis - rank + len(shape) - 2
            if at < 0:
                lines.append(f"dim {axis}: missing in the {ordinal(position)} (broadcast)")
            elif shape[at] != step.out[axis]:
                lines.append(
                    f"dim {axis}: 1 stretched to {step.out[axis]} "
                    f"(broadcast, {ordinal(position)} operand)"
                )
    of_first = "last of the first" if len(a) > 1 else "the first's only one"
    of_second = "last but one of the second" if len(b) > 1 else "the second's only one"
    lines.insert(0, f"contracted over {inner} ({of_first}, {of_second})")
    text = f"{shape_text(a)} · {shape_text(b)} → {shape_text(step.out)}: "
    text += f"each value sums {many(inner, 'product')}"
    if step.name.startswith(("addm", "badd")):
        scaled = any(step.call.get(name, default=1) != 1 for name in ("alpha", "beta"))
        text += f", then the first operand is added{' (scaled)' * scaled}"
    return Told(text, lines)


def _factors(bound: Bound) -> tuple[int, int]:
    """The two operands that are multiplied."""
    call = bound.call
    pairs = (("mat1", "mat2"), ("batch1", "batch2"), ("mat", "vec"))
    for left, right in (*pairs, ("input", ["other", "mat2", "vec", "tensor", "vec2", "x2"])):
        first, second = call.tensor(left), call.tensor(*([right] if type(right) is str else right))
        if first is not None and second is not None:
            return first, second
    raise Unclear


def _product_flops(bound: Bound) -> Size:
    """Two for each product: it is multiplied and added."""
    first, _ = _factors(bound)
    return 2 * product(bound.shapes[0]) * bound.call.operands[first].shape[-1]


def _product_clues(call: Call, violation: Violation) -> Mapping[str, Any]:
    """`transposed`: the second would fit with its last two dimensions swapped."""
    if violation.kind != "matmul":
        return {}
    found, against = violation.marks[:2]
    other = call.operands[against.operand].shape
    return {"transposed": len(other) > 1 and other[-1] == found.size}


def _product_report(refusal: Refusal) -> Report | None:
    writers = {"matmul": _inner_report, "batch": _batch_report, "rank": _rank_report}
    writer = writers.get(refusal.violation.kind)
    return writer(refusal) if writer is not None else None


def _inner_report(refusal: Refusal) -> Report:
    i, j = (m.operand for m in refusal.violation.marks[:2])
    a, b = refusal.call.operands[i], refusal.call.operands[j]
    last, first = (SizeAt(m.operand, m.dim, m.size) for m in refusal.violation.marks[:2])
    names = {"a": refusal.name(i, "the first"), "b": refusal.name(j, "the second")}
    shapes = {"shape_a": refusal.shape(i), "shape_b": refusal.shape(j)}
    strict = refusal.call.op != "matmul"
    where = "the last but one of the second" if b.rank > 1 else "the size of the second"
    if strict and b.rank < 2:
        where = "the second's"
    reason: list[Said] = []
    if strict:
        reason.append(
            said(
                "Each row of {a} {shape_a} has {last} numbers, and {b} {shape_b} has {first} to "
                "multiply them with.",
                **names,
                **shapes,
                last=last,
                first=first,
            )
        )
    else:
        reason.append(
            said(
                "Each row of {a} {shape_a} has {last} numbers, and each column of {b} {shape_b} "
                "has {first}, so they cannot be multiplied pair by pair.",
                **names,
                **shapes,
                last=last,
                first=first,
            )
        )
    if b.rank > 1 and b.shape[-1] == last.size:
        hint = "The size {last} is there, as the last one of {b}"
        hint += ": it may need a transpose." if strict else "."
        reason.append(said(hint, last=last, b=names["b"]))
    elif a.rank > 1 and a.shape[-2] == first.size and not strict:
        reason.append(
            said("The size {first} is there, as the last but one of {a}.", first=first, **names)
        )
    return Report(
        said(
            "{op} needs the last size of the first to equal " + where + ": {last} ≠ {first}.",
            op=refusal.call.op,
            last=last,
            first=first,
        ),
        tuple(reason),
        said(
            "See which of {last} and {first} is meant, and where the other one comes from.",
            last=last,
            first=first,
        ),
    )


def _batch_report(refusal: Refusal) -> Report:
    i, j = (m.operand for m in refusal.violation.marks[:2])
    one, two = (SizeAt(m.operand, m.dim, m.size) for m in refusal.violation.marks[:2])
    return Report(
        said(
            "{op} needs the sizes before the last two to be equal or 1: {one} ≠ {two}.",
            op=refusal.call.op,
            one=one,
            two=two,
        ),
        (
            said(
                "Only the last two dimensions are multiplied; those before them count matrices. "
                "{a} {shape_a} has {one} of them in dimension {dim_a} and {b} {shape_b} has {two} "
                "in dimension {dim_b}.",
                a=refusal.name(i, "the first"),
                b=refusal.name(j, "the second"),
                shape_a=refusal.shape(i),
                shape_b=refusal.shape(j),
                one=one,
                two=two,
                dim_a=one.dim,
                dim_b=two.dim,
            ),
        ),
    )


def _rank_report(refusal: Refusal) -> Report:
    index = refusal.facts["at"]
    few = refusal.call.operands[index]
    which = refusal.name(index, "the first" if index == 0 else "the second")
    if few.rank == 0:
        return Report(
            said(
                "matmul needs at least 1 dimension on both sides: {which} has none.",
                which=which,
            ),
            (
                said(
                    "{which} is a single number. Multiply by a number with `*` instead of `@`.",
                    which=which,
                ),
            ),
        )
    rank = refusal.facts["rank"]
    return Report(
        said(
            "{op} needs {wanted} in {which} {shape}, which has {rank}.",
            op=refusal.call.op,
            wanted=Count(rank, "dimension"),
            which=which,
            shape=refusal.shape(index),
            rank=few.rank,
        ),
        (
            said(
                "{op} takes exactly {wanted} and does not broadcast. `torch.matmul` (`@`) takes "
                "any number of them.",
                op=refusal.call.op,
                wanted=Count(rank, "dimension"),
            ),
        ),
    )


_KINDS = {"k": "matmul", "*b": "batch", "b": "batch"}

operation(
    "matmul",
    forms=(
        form("input: *b m k", "other: *b k n", gives="*b m n"),
        form("input: k", "other: *b k n", gives="*b n"),
        form("input: *b m k", "other: k", gives="*b m"),
        form("input: k", "other: k", gives=""),
    ),
    kinds=_KINDS,
    words=_product_words,
    clues=_product_clues,
    report=_product_report,
    flops=_product_flops,
)
operation(
    "mm",
    forms=[form("input: m k", "mat2: k n", gives="m n")],
    kinds=_KINDS,
    words=_product_words,
    clues=_product_clues,
    report=_product_report,
    flops=_product_flops,
)
operation(
    "bmm",
    forms=[form("input: b m k", "mat2: b k n", gives="b m n")],
    kinds=_KINDS,
    words=_product_words,
    clues=_product_clues,
    report=_product_report,
    flops=_product_flops,
)
