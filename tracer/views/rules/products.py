"""Rules for products that contract dimensions."""

from __future__ import annotations

import re

from tracer.ops.names import shape_text
from tracer.views.dimensions import Dim
from tracer.views.rules.case import (
    Case,
    Told,
    Unclear,
    dtype_of,
    effect_text,
    listed,
    many,
    need,
    ordinal,
    tells,
)


@tells("matmul mm bmm mv dot inner addmm addbmm baddbmm addmv")
def _matmul(case: Case) -> Told:
    added = case.name in {"addmm", "addbmm", "baddbmm", "addmv"}
    need(case.name != "addbmm")  # sums over the batch as well
    first = 1 if added else 0
    need(len(case.ins) in ((3,) if added else (1, 2)))
    second = min(first + 1, len(case.ins) - 1)  # x @ x is recorded as one operand
    if case.reflected:
        first, second = second, first
    a, b = case.ins[first], case.ins[second]
    need(len(a) >= 1 and len(b) >= 1)
    if case.name == "inner":
        need(len(a) == len(b) == 1)
    inner = b[-2] if len(b) > 1 else b[0]
    need(a[-1] == inner)
    left, right = a[:-2], b[:-2]
    rank = max(len(left), len(right))
    lines: list[str] = []
    sizes: list[int] = []
    dims: list[Dim] = []
    a_dims, b_dims = case.dims(first), case.dims(second)
    case.atoms.same(a_dims[-1], b_dims[-2] if len(b) > 1 else b_dims[0])
    for back in range(rank, 0, -1):
        options = [
            (shape[-back], found[-back - 2])
            for shape, found in ((left, a_dims), (right, b_dims))
            if len(shape) >= back
        ]
        size = next((own for own, _ in options if own != 1), 1)
        need(all(own in (size, 1) for own, _ in options))
        sizes.append(size)
        found = [dim for own, dim in options if own == size]
        dims.append(next((dim for dim in found if dim), ()))
        for dim in found[1:]:
            case.atoms.same(found[0], dim)
        for position, shape in enumerate((left, right)):
            if back > len(shape):
                lines.append(f"dim {rank - back}: missing in the {ordinal(position)} (broadcast)")
            elif shape[-back] != size:
                lines.append(
                    f"dim {rank - back}: 1 stretched to {size} "
                    f"(broadcast, {ordinal(position)} operand)"
                )
    if len(a) > 1:
        sizes.append(a[-2])
        dims.append(a_dims[-2])
    if len(b) > 1:
        sizes.append(b[-1])
        dims.append(b_dims[-1])
    need(case.out == tuple(sizes))
    of_first = "last of the first" if len(a) > 1 else "the first's only one"
    of_second = "last but one of the second" if len(b) > 1 else "the second's only one"
    lines.insert(0, f"contracted over {inner} ({of_first}, {of_second})")
    text = f"{shape_text(a)} · {shape_text(b)} → {shape_text(case.out)}: "
    text += f"each value sums {many(inner, 'product')}"
    if added:
        scaled = " (scaled)" if {"alpha", "beta"} & case.args.named.keys() else ""
        text += f", then the first operand is added{scaled}"
    return Told(text, lines, [tuple(dims)])


@tells("linear")
def _linear(case: Case) -> Told:
    x, out = case.x, case.out
    need(len(x) > 0 and len(out) == len(x) and out[:-1] == x[:-1])
    dims = case.dims()
    dim = case.atoms.derive(dims[-1], out[-1], "channel")
    weight = case.operand(2)
    if weight is not None:
        need(case.ins[weight] == (out[-1], x[-1]))
        case.role(weight, (dim, dims[-1]))
        if weight + 1 < len(case.ins) and case.ins[weight + 1] == (out[-1],):
            case.role(weight + 1, (dim,))
    each = f"each of the {out[-1]} results" if out[-1] != 1 else "the result"
    text = f"{each} is a weighted sum of the {x[-1]} values of a row"
    effect = effect_text(x[-1:], out[-1:], ("last dim",))
    lines = [f"dim {len(x) - 1}: {x[-1]} → {out[-1]}, mixed by {many(out[-1], 'row')} of weights"]
    return Told(f"{effect}: {text}", lines if x != out else (), [(*dims[:-1], dim)])


@tells("bilinear")
def _bilinear(case: Case) -> Told:
    x, out = case.x, case.out
    need(len(x) > 0 and len(out) == len(x) and out[:-1] == x[:-1])
    need(case.shape(1)[:-1] == x[:-1])
    return Told(
        f"Last dims {x[-1]} and {case.shape(1)[-1]} → {out[-1]}: "
        "every pair of values weighted and summed",
        [f"dim {len(x) - 1}: {out[-1]} results of {x[-1]} × {case.shape(1)[-1]} weighted pairs"],
        [(*case.dims()[:-1], case.atoms.derive(case.dims()[-1], out[-1], "channel"))],
    )


@tells("outer ger")
def _outer(case: Case) -> Told:
    second = min(1, len(case.ins) - 1)
    need(bool(case.ins) and len(case.x) == len(case.ins[second]) == 1)
    need(case.out == (*case.x, *case.ins[second]))
    return Told(
        f"{shape_text(case.x)}, {shape_text(case.ins[second])} → {shape_text(case.out)}: "
        "every value of the first times every value of the second",
        ["dim 0: from the first", "dim 1: from the second"],
        [(*case.dims(), *case.dims(second))],
    )


@tells("cdist")
def _cdist(case: Case) -> Told:
    second = min(1, len(case.ins) - 1)
    a, b = case.x, case.shape(second)
    need(len(a) == len(b) >= 2 and a[:-2] == b[:-2] and a[-1] == b[-1])
    need(case.out == (*a[:-1], b[-2]))
    case.atoms.same(case.dims()[-1], case.dims(second)[-1])
    return Told(
        f"{shape_text(a)}, {shape_text(b)} → {shape_text(case.out)}: "
        "the distance of every pair of rows",
        [f"contracted over {a[-1]} (last of both)"],
        [(*case.dims()[:-1], case.dims(second)[-2])],
    )


_EQUATION = re.compile(r"[A-Za-z., ]+(->[A-Za-z. ]*)?")


@tells("einsum", "equation")
def _einsum(case: Case) -> Told:
    equation = case.args.get("equation")
    if not isinstance(equation, str) or not _EQUATION.fullmatch(equation):
        raise Unclear
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    need(len(case.ins) in (1, len(terms)))
    # One tensor for several terms is recorded once.
    places = range(len(terms)) if len(case.ins) == len(terms) else [0] * len(terms)
    sizes: dict[str, int] = {}
    dims: dict[str, Dim] = {}
    for term, place in zip(terms, places, strict=True):
        shape = case.ins[place]
        letters = _spelled(term, len(shape))
        for letter, size, dim in zip(letters, shape, case.dims(place), strict=True):
            known = sizes.get(letter, 1)
            need(known == size or 1 in (known, size))
            if known == size and letter in dims:
                case.atoms.same(dims[letter], dim)
            if known == 1:
                sizes[letter], dims[letter] = size, dim
    if not arrow:
        once = sorted(c for c in set(left) - set(".,") if left.count(c) == 1)
        right = ("..." if "..." in left else "") + "".join(once)
    free = sum(letter.isdigit() for letter in sizes) if "..." in right else 0
    target = _spelled(right, len(right.replace("...", "")) + free)
    need(set(target) <= sizes.keys() and len(set(target)) == len(target))
    need(case.out == tuple(sizes[letter] for letter in target))
    summed = [letter for letter in sizes if letter not in target and not letter.isdigit()]
    shown = f"{left}->{right}" if arrow else left
    words = f"summed over {listed(summed)}" if summed else "nothing summed"
    shapes = ", ".join(shape_text(shape) for shape in case.ins)
    return Told(
        f"{shapes} → {shape_text(case.out)}: {shown}, {words}",
        [f"contracted over {letter} ({sizes[letter]})" for letter in summed],
        [tuple(dims[letter] for letter in target)],
    )


def _spelled(term: str, rank: int) -> list[str]:
    """One letter per dimension; what `...` stands for is counted from the right: 2, 1, 0."""
    front, dots, back = term.partition("...")
    need("." not in front + back)
    if not dots:
        need(len(front) == rank)
        return list(front)
    free = rank - len(front) - len(back)
    need(0 <= free <= 9)
    return [*front, *(str(free - 1 - k) for k in range(free)), *back]


@tells("scaled_dot_product_attention")
def _attention(case: Case) -> Told:
    real = [i for i, note in enumerate(case.step.inputs) if dtype_of(note) != "bool"]
    need(len(case.ins) == 1 or len(real) >= 3)  # with two, which one came twice is not recorded
    q, k, v = (0, 0, 0) if len(case.ins) == 1 else real[:3]
    query, key, value = case.ins[q], case.ins[k], case.ins[v]
    need(len(query) == len(key) == len(value) >= 2)
    need(query[-1] == key[-1] and key[-2] == value[-2])
    need(case.out == (*query[:-1], value[-1]))
    case.atoms.same(case.dims(q)[-1], case.dims(k)[-1])
    case.atoms.same(case.dims(k)[-2], case.dims(v)[-2])
    for axis in range(len(query) - 2):
        for other in (k, v):
            if case.ins[other][axis] == query[axis]:
                case.atoms.same(case.dims(q)[axis], case.dims(other)[axis])
    return Told(
        f"{'Shape kept' if case.out == query else case.arrow}: "
        f"each of {query[-2]} queries takes an average of {key[-2]} values, "
        "weighted by how well the keys match",
        [
            f"contracted over {query[-1]} (last of query and key), then over {key[-2]} "
            "(keys and values)"
        ],
        [(*case.dims(q)[:-1], case.dims(v)[-1])],
    )
