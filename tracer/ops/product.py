"""Products of vectors and matrices: matmul and its kin, chains of them, systems of equations."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from tracer.ops.algebra import differ, known, product
from tracer.ops.bound import Bound, Violation, all_marks, laid_on, mark, refuse, same
from tracer.ops.call import At, Call, Size, Unclear, need
from tracer.ops.cells import SUMS
from tracer.ops.refusal import Count, Refusal, Report, ShapeOf, SizeAt, said
from tracer.ops.say import (
    Spoken,
    Told,
    arrow,
    ordinal,
    pair_arrow,
    product_arrow,
    told,
)
from tracer.ops.spec import Form, Op, by_pattern, form, operation
from tracer.sentences import Said

# --- what is said --------------------------------------------------------------------------------


def _words(step: Spoken) -> Told:
    first, second = _factors(step.call)
    a, b = step.call.operands[first].shape, step.call.operands[second].shape
    of_first = said("last of the first" if len(a) > 1 else "the first's only one")
    of_second = said("last but one of the second" if len(b) > 1 else "the second's only one")
    if step.name == "inner" and len(b) > 1:
        of_second = said("last of the second")
    lines = [
        said(
            "contracted over {n} ({of_first}, {of_second})",
            n=a[-1] if a else 1,
            of_first=of_first,
            of_second=of_second,
        )
    ]
    if step.name == "matmul":
        lines += _stretched(a, b, step.out)
    how = said("each value sums {n} products", n=_summed(step.bound))
    if step.call.tensor("mat1", "batch1", "mat", "vec1") is not None:
        scaled = any(step.call.get(name, default=1) != 1 for name in ("alpha", "beta"))
        how = said(
            "{how}, then the first operand is added (scaled)"
            if scaled
            else "{how}, then the first operand is added",
            how=how,
        )
    return Told(told(product_arrow(a, b, step.out), how), lines)


def _stretched(a: tuple[int, ...], b: tuple[int, ...], out: tuple[int, ...]) -> list[Said]:
    """A line for each dimension before the last two that one of the matrices lacks or repeats."""
    lines = []
    rank = max(len(a), len(b)) - 2
    for axis in range(max(rank, 0)):
        for position, shape in enumerate((a, b)):
            at, which = axis - rank + len(shape) - 2, ordinal(position)
            if at < 0:
                lines.append(
                    said("dim {axis}: missing in the {which} (broadcast)", axis=axis, which=which)
                )
            elif shape[at] != out[axis]:
                lines.append(
                    said(
                        "dim {axis}: 1 stretched to {size} (broadcast, {which} operand)",
                        axis=axis,
                        size=out[axis],
                        which=which,
                    )
                )
    return lines


def _factors(call: Call) -> tuple[int, int]:
    """The two operands that are multiplied."""
    pairs = (("mat1", "mat2"), ("batch1", "batch2"), ("mat", "vec"), ("vec1", "vec2"))
    others = tuple(("input", name) for name in ("other", "mat2", "vec", "tensor", "vec2"))
    for left, right in (*pairs, *others):
        first, second = call.tensor(left), call.tensor(right)
        if first is not None and second is not None:
            return first, second
    raise Unclear


def _summed(bound: Bound) -> Size:
    """How many products each value of the result sums."""
    first, _ = _factors(bound.call)
    shape = bound.call.operands[first].shape
    over = shape[-1] if shape and bound.call.op != "addr" else 1
    return over * shape[0] if bound.call.op == "addbmm" else over


def _flops(bound: Bound) -> Size:
    """Two for each product that is summed: it is multiplied and added.  Where nothing is, none."""
    if not bound.ties or bound.call.op == "addr":
        return 0
    return 2 * product(bound.shapes[0]) * _summed(bound)


# --- why a call is refused -----------------------------------------------------------------------


def _clues(call: Call, violation: Violation) -> Mapping[str, Any]:
    """`transposed`: the second would fit with its last two dimensions swapped."""
    if violation.kind != "matmul":
        return {}
    found, against = violation.marks[:2]
    other = call.operands[against.operand].shape
    return {"transposed": len(other) > 1 and other[-1] == found.size}


def _report(refusal: Refusal) -> Report | None:
    writers = {"matmul": _inner_report, "batch": batch_report, "rank": _rank_report}
    writer = writers.get(refusal.violation.kind)
    return writer(refusal) if writer is not None else None


def _inner_report(refusal: Refusal) -> Report:
    values = refusal.pair()
    a, b = (refusal.call.operands[values[name].operand] for name in ("one", "two"))
    strict = refusal.call.op != "matmul"
    if b.rank > 1 and refusal.call.op != "inner":
        rule = said(
            "{op} needs the last size of the first to equal the last but one of the second: "
            "{one} ≠ {two}.",
            **values,
        )
    elif strict:
        rule = said(
            "{op} needs the last size of the first to equal the second's: {one} ≠ {two}.", **values
        )
    else:
        rule = said(
            "{op} needs the last size of the first to equal the size of the second: {one} ≠ {two}.",
            **values,
        )
    if strict:
        reason = [
            said(
                "Each row of {a} {shape_a} has {one} numbers, and {b} {shape_b} has {two} to "
                "multiply them with.",
                **values,
            )
        ]
    else:
        reason = [
            said(
                "Each row of {a} {shape_a} has {one} numbers, and each column of {b} {shape_b} has "
                "{two}, so they cannot be multiplied pair by pair.",
                **values,
            )
        ]
    if refusal.facts["transposed"] and strict:
        reason.append(
            said(
                "The size {one} is there, as the last one of {b}: it may need a transpose.",
                **values,
            )
        )
    elif refusal.facts["transposed"]:
        reason.append(said("The size {one} is there, as the last one of {b}.", **values))
    elif a.rank > 1 and a.shape[-2] == values["two"].size and not strict:
        reason.append(said("The size {two} is there, as the last but one of {a}.", **values))
    return Report(
        rule,
        tuple(reason),
        said(
            "See which of {one} and {two} is meant, and where the other one comes from.", **values
        ),
    )


def batch_report(refusal: Refusal) -> Report:
    values = refusal.pair()
    if refusal.call.op == "matmul":
        return Report(
            said(
                "{op} needs the sizes before the last two to be equal or 1: {one} ≠ {two}.",
                **values,
            ),
            (
                said(
                    "Only the last two dimensions are multiplied; those before them count "
                    "matrices. {a} {shape_a} has {one} of them in dimension {dim_a} and {b} "
                    "{shape_b} has {two} in dimension {dim_b}.",
                    **values,
                ),
            ),
        )
    return Report(
        said("{op} needs the same number of matrices on both sides: {one} ≠ {two}.", **values),
        (
            said(
                "The first dimension counts matrices: {a} {shape_a} has {one} of them and {b} "
                "{shape_b} has {two}.",
                **values,
            ),
        ),
    )


def _rank_report(refusal: Refusal) -> Report:
    index = refusal.facts["at"]
    few = refusal.call.operands[index]
    second = index != _factors(refusal.call)[0]
    values = {
        "op": refusal.call.op,
        "name": refusal.name(index, said("the second" if second else "the first")),
        "shape": refusal.shape(index),
        "wanted": Count(refusal.facts["rank"], "dimension"),
        "found": few.rank,
    }
    if few.rank == 0 and refusal.call.op == "matmul":
        return Report(
            said("matmul needs at least 1 dimension on both sides: {name} has none.", **values),
            (
                said(
                    "{name} is a single number. Multiply by a number with `*` instead of `@`.",
                    **values,
                ),
            ),
        )
    return Report(
        said("{op} needs {wanted} in the second: {name} {shape} has {found}.", **values)
        if second
        else said("{op} needs {wanted} in the first: {name} {shape} has {found}.", **values),
        (
            said(
                "{op} takes exactly {wanted} and does not broadcast. `torch.matmul` (`@`) takes "
                "any number of them.",
                **values,
            ),
        ),
    )


# --- matmul and those that do not broadcast ------------------------------------------------------

_KINDS = {"k": "matmul", "*b": "batch", "b": "batch"}


def _product(names: str, *forms: Form) -> None:
    operation(
        names,
        forms=forms,
        kinds=_KINDS,
        words=_words,
        clues=_clues,
        report=_report,
        flops=_flops,
        scene=SUMS,
    )


_product(
    "matmul",
    form("input: *b m k", "other: *b k n", gives="*b m n"),
    form("input: k", "other: *b k n", gives="*b n"),
    form("input: *b m k", "other: k", gives="*b m"),
    form("input: k", "other: k", gives=""),
)
_product("mm", form("input: m k", "mat2: k n", gives="m n"))
_product("bmm", form("input: b m k", "mat2: b k n", gives="b m n"))
_product("mv", form("input: m k", "vec: k", gives="m"))
_product("dot", form("input: k", "tensor: k", gives=""))
_product("vdot", form("input: k", "other: k", gives=""))
_product(
    "inner",
    form("input:", "other: *c", gives="*c"),
    form("input: *a", "other:", gives="*a"),
    form("input: *a k", "other: *c k", gives="*a *c"),
)


# --- products that are added to something --------------------------------------------------------


def _added(name: str, pattern: Form) -> None:
    """`name(input, *factors)`: the input is stretched to the product and added."""
    inner = Op((name,), forms=(pattern,), kinds=_KINDS)

    def bind(call: Call) -> Bound:
        found = by_pattern(inner, call)
        ties = laid_on(call, call.position("input"), found.results[0])
        return Bound(call, found.results, found.ties + ties, letters=found.letters)

    operation(
        name,
        bind=bind,
        words=_words,
        clues=_clues,
        report=_added_report,
        flops=_flops,
        scene=SUMS,
    )


def _added_report(refusal: Refusal) -> Report | None:
    kind = refusal.violation.kind
    if kind == "matmul":
        values = refusal.pair()
        return Report(
            said(
                "{op} needs the last size of the first matrix to equal the last but one of the "
                "second: {one} ≠ {two}.",
                **values | {"a": refusal.name(values["one"].operand, said("the first matrix"))},
            ),
            (
                said(
                    "Each row of {a} {shape_a} has {one} numbers, and each column of {b} {shape_b} "
                    "has {two}.",
                    **values | {"a": refusal.name(values["one"].operand, said("the first matrix"))},
                ),
            ),
        )
    if kind == "rank":
        index = refusal.facts["at"]
        second = index != _factors(refusal.call)[0]
        values = {
            "op": refusal.call.op,
            "name": refusal.name(index),
            "shape": refusal.shape(index),
            "wanted": Count(refusal.facts["rank"], "dimension"),
            "found": refusal.call.operands[index].rank,
        }
        return Report(
            said("{op} needs {wanted} in its second matrix: {name} {shape} has {found}.", **values)
            if second
            else said(
                "{op} needs {wanted} in its first matrix: {name} {shape} has {found}.", **values
            ),
            (
                said(
                    "{op} does not broadcast its matrices: each must have exactly {wanted}.",
                    **values,
                ),
            ),
        )
    return batch_report(refusal) if kind == "batch" else _addend_report(refusal)


def _addend_report(refusal: Refusal) -> Report:
    index = refusal.violation.marks[0].operand
    values: dict[str, Any] = {
        "op": refusal.call.op,
        "name": refusal.name(index, said("the first argument")),
        "shape": refusal.shape(index),
        "onto": ShapeOf(refusal.facts["onto"]),
    }
    if "wanted" in refusal.facts:
        first = refusal.violation.marks[0]
        values |= {"found": SizeAt(first.operand, first.dim, first.size), "wanted": first.wanted}
        rule = said(
            "{op} adds its first argument to the product {onto}: {found} ≠ {wanted}.", **values
        )
    else:
        rule = said("{op} adds its first argument to the product {onto}: it is {shape}.", **values)
    return Report(
        rule, (said("{name} {shape} does not stretch to the product's {onto}.", **values),)
    )


_added("addmm", form("mat1: m k", "mat2: k n", gives="m n"))
_added("baddbmm", form("batch1: b m k", "batch2: b k n", gives="b m n"))
_added("addbmm", form("batch1: b m k", "batch2: b k n", gives="m n"))
_added("addmv", form("mat: m k", "vec: k", gives="m"))
_added("addr", form("vec1: m", "vec2: n", gives="m n"))


# --- chains of matrices --------------------------------------------------------------------------


def _chain(call: Call) -> Bound:
    """The first and the last may be vectors (not in chain_matmul), all others are matrices."""
    factors = call.tensors("tensors", "matrices")
    need(len(factors) >= 1 and (call.op == "chain_matmul" or len(factors) >= 2))
    for position, index in enumerate(factors):
        rank = call.operands[index].rank
        ends = position in (0, len(factors) - 1) and call.op == "multi_dot"
        if rank != 2 and not (ends and rank == 1):
            raise refuse("rank", *all_marks(call, index), rank=2, at=index)
    ties: list[tuple[At, At]] = []
    for left, right in itertools.pairwise(factors):
        one = At(left, call.operands[left].rank - 1)
        two = At(right, 0)
        found, wanted = (call.operands[at.operand].shape[at.dim] for at in (one, two))
        if differ(found, wanted):
            marks = mark(call, one, wanted), mark(call, two, found)
            raise refuse("matmul", *marks, wanted=wanted, found=found)
        ties.append((one, two))
    first, last = factors[0], factors[-1]
    kept = [At(first, 0)] if call.operands[first].rank == 2 else []
    kept += [At(last, 1)] if call.operands[last].rank == 2 else []
    return Bound(call, (tuple(same(call, at) for at in kept),), tuple(ties))


def _chain_words(step: Spoken) -> Told:
    inner = tuple(step.ins[first.operand][first.dim] for first, _ in step.bound.ties)
    factors: Said = said("{part}", part=ShapeOf(step.ins[0]))
    for shape in step.ins[1:]:
        factors = said("{first} · {second}", first=factors, second=ShapeOf(shape))
    line = said("contracted over {sizes} (the last of each and the first of the next)", sizes=inner)
    return Told(
        told(arrow(factors, ShapeOf(step.out)), said("multiplied in the order that is cheapest")),
        [line] if inner else [],
    )


def _chain_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind == "matmul":
        return _inner_report(refusal)
    index = refusal.facts["at"]
    return Report(
        said(
            "{op} needs matrices, with 2 dimensions: {name} {shape} has {found}.",
            op=refusal.call.op,
            name=refusal.name(index),
            shape=refusal.shape(index),
            found=refusal.call.operands[index].rank,
        ),
        (said("In a chain only the first and the last may be vectors."),),
    )


def _chain_flops(bound: Bound) -> Size:
    """Of the cheapest order of the products."""
    call = bound.call
    shapes = [call.operands[i].shape for i in call.tensors("tensors", "matrices")]
    sizes = [shapes[0][0] if len(shapes[0]) == 2 else 1]
    sizes += [shape[-1] if len(shape) == 2 else shape[0] for shape in shapes]
    if len(shapes[-1]) == 1:
        sizes[-1] = 1
    need(all(map(known, sizes)) or len(shapes) == 2)
    cost: dict[tuple[int, int], Size] = {(i, i): 0 for i in range(len(shapes))}
    for length in range(1, len(shapes)):
        for i in range(len(shapes) - length):
            j = i + length
            cost[i, j] = min(
                cost[i, k] + cost[k + 1, j] + 2 * sizes[i] * sizes[k + 1] * sizes[j + 1]
                for k in range(i, j)
            )
    return cost[0, len(shapes) - 1]


operation(
    "multi_dot chain_matmul",
    bind=_chain,
    words=_chain_words,
    clues=_clues,
    report=_chain_report,
    flops=_chain_flops,
)


# --- systems of equations ------------------------------------------------------------------------

_SOLVE_KINDS = {"n": "matmul", "*b": "batch"}
_SYSTEMS = {
    ("vector", True): form("A: *b n n", "B: *b n", gives="*b n"),
    ("matrix", True): form("A: *b n n", "B: *b n k", gives="*b n k"),
    ("matrix", False): form("A: *b n n", "B: *b k n", gives="*b k n"),
}


def _solve(call: Call) -> Bound:
    """A · X = B, or X · A = B with `left=False`.  B holds vectors where it is one, or has A's shape
    but for the last dimension; else matrices."""
    first, second = call.position("A"), call.position("B")
    a, b = call.operands[first].shape, call.operands[second].shape
    if len(a) < 2:
        raise refuse("rank", *all_marks(call, first), rank=2, at=first)
    if not b:
        raise refuse("rank", *all_marks(call, second), rank=1, at=second)
    rows, columns = At(first, len(a) - 2), At(first, len(a) - 1)
    if differ(a[-2], a[-1]):
        raise refuse("square", mark(call, rows, a[-1]), mark(call, columns, a[-2]))
    vector = len(b) == 1 or b == a[:-1]  # equal for sure: symbols that may be equal are matrices
    left = call.flag("left", True)
    if vector and not left:
        raise refuse("rank", *all_marks(call, second), rank=2, at=second)
    chosen = _SYSTEMS["vector" if vector else "matrix", left]
    return by_pattern(Op(("solve",), forms=(chosen,), kinds=_SOLVE_KINDS), call)


def _solve_words(step: Spoken) -> Told:
    a, b = (step.call.shape(name) for name in ("A", "B"))
    vector = len(b) < 2 or len(b) == len(a) - 1
    how = said(
        "{n} unknowns from {n} equations"
        if vector
        else "{n} unknowns from {n} equations, for each of {sides} right sides",
        n=a[-1],
        sides=b[-1] if b else 1,
    )
    return Told(told(pair_arrow(a, b, step.out), how))


def _solve_report(refusal: Refusal) -> Report | None:
    kind = refusal.violation.kind
    if kind == "square":
        at = refusal.violation.marks[0].operand
        values: dict[str, Any] = {"a": refusal.name(at, "A"), "shape": refusal.shape(at)}
        values |= {"rows": refusal.size(At(at, len(values["shape"].shape) - 2))}
        values |= {"columns": refusal.size(At(at, len(values["shape"].shape) - 1))}
        return Report(
            said("solve needs a square matrix: {rows} ≠ {columns} ({a} {shape}).", **values),
            (
                said(
                    "{a} has {rows} equations for {columns} unknowns. `torch.linalg.lstsq` solves "
                    "as well as can be where these numbers differ.",
                    **values,
                ),
            ),
        )
    if kind != "matmul":
        return None
    return Report(
        said("solve needs one right side for each equation: {two} ≠ {one}.", **refusal.pair()),
        (
            said(
                "{a} {shape_a} is {one} equations, and {b} {shape_b} has {two} numbers on their "
                "right sides, in dimension {dim_b}.",
                **refusal.pair(),
            ),
        ),
        said("See whether {b} needs a transpose, or a last dimension of 1.", **refusal.pair()),
    )


operation("solve", bind=_solve, words=_solve_words, report=_solve_report)
