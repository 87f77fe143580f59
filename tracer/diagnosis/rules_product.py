"""Products: linear, matmul and its kin, einsum."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rules import (
    Case,
    broadcast_break,
    counted,
    dims,
    rule,
)
from tracer.ops.names import shape_text


@rule("linear")
def linear(case: Case, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Finding | None:
    layer = case.layer
    x = case.name(input, "the input")
    if input.dim() == 0:
        return case.found(
            "rank",
            f"{case.who()} needs an input with at least 1 dimension: {x} has none.",
            f"{x} is a single number without dimensions, so there is no row to multiply.",
        )
    wanted, found = int(weight.shape[-1]), int(input.shape[-1])
    if wanted == found:
        if bias is not None and bias.shape[-1] not in (1, weight.shape[0]):
            return case.found(
                "broadcast",
                f"linear adds a bias of one number for each of its {weight.shape[0]} outputs: the "
                f"bias has {bias.shape[-1]}.",
                f"The weight {shape_text(weight)} gives {weight.shape[0]} outputs, and the bias "
                f"{shape_text(bias)} does not fit them.",
                (bias, -1, int(weight.shape[0])),
                (weight, 0, None),
            )
        return None
    marks = ((input, -1, wanted), (weight, weight.dim() - 1, found))
    who = case.who("linear")
    built = case.built() if isinstance(layer, nn.Linear) else ""
    rule_text = (
        f"{who} needs the last size of its input to be {wanted}: {found} ≠ {wanted} "
        f"({x} {shape_text(input)}, weight {shape_text(weight)})."
    )
    size = f"{x} has {counted(found, 'number')} in its last dimension"
    made = f"{case.is_built()}, made for {wanted}" if built else f"the weight is made for {wanted}"
    reason = f"A linear layer multiplies the last dimension of its input; {made}, but {size}."
    if input.dim() == 1:
        reason += f" {x} has no batch dimension: all of its {found} numbers are taken as one row."
    elif wanted in input.shape[:-1]:
        at = list(input.shape).index(wanted)
        reason += f" The size {wanted} is there, but in dimension {at}."
    elif input.dim() > 2:
        last = product_of(input.shape[1:])
        reason += (
            f" With the batch kept, {shape_text(input)} flattened has {last} numbers for each "
            "sample, which is what the layer was made for: a flatten is missing."
            if last == wanted
            else f" The sizes {shape_text(input.shape[:-1])} before it only count rows."
        )
    return case.found(
        "width",
        rule_text,
        reason,
        *marks,
        check=f"See whether {x} should have {wanted} features, or {who} should take {found}.",
        wanted=wanted,
        found=found,
        layout="axis" if wanted in input.shape[1:-1] else "",
    )


def product_of(sizes: Any) -> int:
    total = 1
    for size in sizes:
        total *= int(size)
    return total


@rule("bilinear")
def bilinear(
    case: Case, input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Finding | None:
    for number, (tensor, wanted) in enumerate(
        ((input1, int(weight.shape[1])), (input2, int(weight.shape[2]))), start=1
    ):
        if tensor.shape[-1] != wanted:
            name = case.name(tensor, f"input {number}")
            return case.found(
                "width",
                f"{case.who('bilinear')} needs the last size of input {number} to be {wanted}: "
                f"{tensor.shape[-1]} ≠ {wanted}.",
                f"{name} {shape_text(tensor)} has {tensor.shape[-1]} features in its last "
                f"dimension, and the weight was made for {wanted}.",
                (tensor, -1, wanted),
                (weight, number, None),
                wanted=wanted,
                found=int(tensor.shape[-1]),
            )
    return None


@rule("matmul")
def matmul(case: Case, input: Tensor, other: Tensor, **_: Any) -> Finding | None:
    a, b = case.name(input, "the first"), case.name(other, "the second")
    for tensor, name in ((input, a), (other, b)):
        if tensor.dim() == 0:
            return case.found(
                "rank",
                f"matmul needs at least 1 dimension on both sides: {name} has none.",
                f"{name} is a single number. Multiply by a number with `*` instead of `@`.",
            )
    dim = other.dim() - 2 if other.dim() > 1 else 0
    last, first = int(input.shape[-1]), int(other.shape[dim])
    if last != first:
        where = "the last but one of the second" if other.dim() > 1 else "the size of the second"
        reason = (
            f"Each row of {a} {shape_text(input)} has {last} numbers, and each column of {b} "
            f"{shape_text(other)} has {first}, so they cannot be multiplied pair by pair."
        )
        if other.dim() > 1 and other.shape[-1] == last:
            reason += f" The size {last} is there, as the last one of {b}."
        elif input.dim() > 1 and input.shape[-2] == first:
            reason += f" The size {first} is there, as the last but one of {a}."
        return case.found(
            "matmul",
            f"matmul needs the last size of the first to equal {where}: {last} ≠ {first}.",
            reason,
            (input, -1, first),
            (other, dim, last),
            check=f"See which of {last} and {first} is meant, and where the other one comes from.",
            wanted=first,
            found=last,
            transposed=_transposable(input, other),
        )
    return _batches(case, input, other, a, b)


def _transposable(input: Tensor, other: Tensor) -> bool:
    """Whether the product would go with the last two dimensions of one side swapped."""
    return other.dim() > 1 and int(other.shape[-1]) == int(input.shape[-1])


def _batches(case: Case, input: Tensor, other: Tensor, a: str, b: str) -> Finding | None:
    broken = broadcast_break(tuple(input.shape[:-2]), tuple(other.shape[:-2]))
    if broken is None:
        return None
    dim_a, size_a, dim_b, size_b = broken
    return case.found(
        "batch",
        f"matmul needs the sizes before the last two to be equal or 1: {size_a} ≠ {size_b}.",
        f"Only the last two dimensions are multiplied; those before them count matrices. {a} "
        f"{shape_text(input)} has {size_a} of them in dimension {dim_a} and {b} "
        f"{shape_text(other)} has {size_b} in dimension {dim_b}.",
        (input, dim_a, size_b),
        (other, dim_b, size_a),
        wanted=size_b,
        found=size_a,
    )


@rule("mm", "bmm", "mv", "dot", "inner", "vdot")
def strict_product(case: Case, input: Tensor, mat2: Tensor, **_: Any) -> Finding | None:
    ranks = {"mm": (2, 2), "bmm": (3, 3), "mv": (2, 1), "dot": (1, 1), "vdot": (1, 1)}
    op = case.crash.op
    if op in ranks:
        for tensor, rank, which in zip(
            (input, mat2), ranks[op], ("the first", "the second"), strict=True
        ):
            if tensor.dim() != rank:
                name = case.name(tensor, which)
                return case.found(
                    "rank",
                    f"{op} needs {dims(rank)} in {which}: {name} {shape_text(tensor)} has "
                    f"{tensor.dim()}.",
                    f"{op} takes exactly {dims(rank)} and does not broadcast. `torch.matmul` (`@`) "
                    "takes any number of them.",
                    *((tensor, dim, None) for dim in range(tensor.dim())),
                    rank=rank,
                )
    a, b = case.name(input, "the first"), case.name(mat2, "the second")
    if op == "bmm" and input.shape[0] != mat2.shape[0]:
        return case.found(
            "batch",
            f"bmm needs the same number of matrices on both sides: {input.shape[0]} ≠ "
            f"{mat2.shape[0]}.",
            f"The first dimension counts matrices: {a} {shape_text(input)} has {input.shape[0]} of "
            f"them and {b} {shape_text(mat2)} has {mat2.shape[0]}.",
            (input, 0, int(mat2.shape[0])),
            (mat2, 0, int(input.shape[0])),
            wanted=int(mat2.shape[0]),
            found=int(input.shape[0]),
        )
    dim = mat2.dim() - 1 if op == "inner" else max(mat2.dim() - 2, 0)
    last, first = int(input.shape[-1]), int(mat2.shape[dim])
    if last == first:
        return None
    reason = (
        f"Each row of {a} {shape_text(input)} has {last} numbers, and {b} {shape_text(mat2)} has "
        f"{first} to multiply them with."
    )
    if mat2.dim() > 1 and mat2.shape[-1] == last:
        reason += f" The size {last} is there, as the last one of {b}: it may need a transpose."
    where = "the last but one of the second" if mat2.dim() > 1 and op != "inner" else "the second's"
    return case.found(
        "matmul",
        f"{op} needs the last size of the first to equal {where}: {last} ≠ {first}.",
        reason,
        (input, -1, first),
        (mat2, dim, last),
        check=f"See which of {last} and {first} is meant, and where the other one comes from.",
        wanted=first,
        found=last,
        transposed=_transposable(input, mat2),
    )


@rule("addmm", "baddbmm", "addbmm", "addmv")
def added_product(
    case: Case, input: Tensor, mat1: Tensor, mat2: Tensor, **_: Any
) -> Finding | None:
    inner = {"addmm": "mm", "baddbmm": "bmm", "addbmm": "bmm", "addmv": "mv"}[case.crash.op]
    rank = {"mm": 2, "bmm": 3, "mv": 2}[inner]
    op = case.crash.op
    if mat1.dim() != rank:
        return case.found(
            "rank",
            f"{op} needs {dims(rank)} in its first matrix: {case.sized(mat1)} has {mat1.dim()}.",
            f"{op} does not broadcast its matrices: each must have exactly {dims(rank)}.",
            *((mat1, dim, None) for dim in range(mat1.dim())),
            rank=rank,
        )
    dim = max(mat2.dim() - 2, 0)
    last, first = int(mat1.shape[-1]), int(mat2.shape[dim])
    a, b = case.name(mat1, "the first matrix"), case.name(mat2, "the second")
    if last != first:
        return case.found(
            "matmul",
            f"{op} needs the last size of the first matrix to equal the last but one of the "
            f"second: {last} ≠ {first}.",
            f"Each row of {a} {shape_text(mat1)} has {last} numbers, and each column of {b} "
            f"{shape_text(mat2)} has {first}.",
            (mat1, -1, first),
            (mat2, dim, last),
            wanted=first,
            found=last,
        )
    result = (*mat1.shape[:-1], *((mat2.shape[-1],) if mat2.dim() > 1 else ()))
    broken = broadcast_break(tuple(input.shape), tuple(map(int, result)))
    if broken is not None:
        at, size, against = broken[0], broken[1], broken[3]
        return case.found(
            "broadcast",
            f"{op} adds its first argument to the product {shape_text(result)}: {size} ≠ "
            f"{against}.",
            f"{case.sized(input, 'the first argument')} does not stretch to the product's "
            f"{shape_text(result)}.",
            (input, at, against),
        )
    return None


@rule("cdist")
def distances(case: Case, x1: Tensor, x2: Tensor, *_: Any, **__: Any) -> Finding | None:
    a, b = case.name(x1, "the first"), case.name(x2, "the second")
    if x1.dim() < 2 or x2.dim() < 2:
        few, name = (x1, a) if x1.dim() < 2 else (x2, b)
        return case.found(
            "rank",
            f"cdist needs at least 2 dimensions on both sides: {name} has {few.dim()}.",
            f"{name} {shape_text(few)} is one point; `{name}[None]` makes a list of one.",
            *((few, d, None) for d in range(few.dim())),
            rank=2,
        )
    if x1.shape[-1] != x2.shape[-1]:
        return case.found(
            "width",
            f"cdist needs points with as many coordinates on both sides: {x1.shape[-1]} ≠ "
            f"{x2.shape[-1]}.",
            f"The last dimension holds the coordinates: {a} {shape_text(x1)}, {b} "
            f"{shape_text(x2)}.",
            (x1, -1, int(x2.shape[-1])),
            (x2, -1, int(x1.shape[-1])),
            wanted=int(x2.shape[-1]),
            found=int(x1.shape[-1]),
        )
    return _batches(case, x1, x2, a, b)


@rule("outer", "ger")
def outer(case: Case, input: Tensor, vec2: Tensor, **_: Any) -> Finding | None:
    for tensor in (input, vec2):
        if tensor.dim() != 1:
            return case.found(
                "rank",
                f"outer needs two vectors: {case.sized(tensor)} has {dims(tensor.dim())}.",
                "It multiplies each number of one list with each of the other. For batches, "
                "`a[..., :, None] * b[..., None, :]` does so.",
                *((tensor, d, None) for d in range(tensor.dim())),
                rank=1,
            )
    return None


@rule("tensordot")
def tensordot(case: Case, a: Tensor, b: Tensor, dims: Any = 2, **_: Any) -> Finding | None:
    if isinstance(dims, int):
        left, right = list(range(a.dim() - dims, a.dim())), list(range(dims))
    else:
        left, right = (
            [int(d) for d in ([each] if isinstance(each, int) else each)] for each in dims
        )
    x, y = case.name(a, "the first"), case.name(b, "the second")
    for i, j in zip(left, right, strict=False):
        if a.shape[i] != b.shape[j]:
            return case.found(
                "matmul",
                f"tensordot multiplies dimension {i} of the first with dimension {j} of the "
                f"second: {a.shape[i]} ≠ {b.shape[j]}.",
                f"{x} is {shape_text(a)} and {y} is {shape_text(b)}; dimensions that are summed "
                "over must have one size.",
                (a, i, int(b.shape[j])),
                (b, j, int(a.shape[i])),
                wanted=int(b.shape[j]),
                found=int(a.shape[i]),
            )
    return None


@rule("einsum")
def einsum(case: Case, equation: str, *operands: Any) -> Finding | None:
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    left = equation.split("->")[0]
    terms = [term.strip().replace(" ", "") for term in left.split(",")]
    if len(terms) != len(operands):
        return case.found(
            "einsum",
            f"einsum '{equation}' names {counted(len(terms), 'operand')}, and is given "
            f"{len(operands)}.",
            "Each comma in the equation separates the letters of one operand.",
        )
    sizes: dict[str, tuple[int, Tensor, int, str]] = {}
    for number, (term, tensor) in enumerate(zip(terms, operands, strict=True), start=1):
        name = case.name(tensor, f"operand {number}")
        letters = term.replace("...", "")
        rank = tensor.dim()
        if len(letters) > rank or ("..." not in term and len(letters) != rank):
            return case.found(
                "einsum",
                f"einsum '{equation}' gives operand {number} {counted(len(letters), 'letter')} "
                f"('{term}'): {name} {shape_text(tensor)} has {dims(rank)}.",
                f"Each letter stands for one dimension. '{term}' has {len(letters)} of them, and "
                f"{name} has {dims(rank)}: {_one_too(len(letters) - rank)}.",
                *((tensor, dim, None) for dim in range(rank)),
                letters=term,
                operand=number - 1,
            )
        before, dots, after = term.partition("...")
        axes = list(enumerate(before))
        if dots:
            axes += [(rank - len(after) + i, letter) for i, letter in enumerate(after)]
        for dim, letter in axes:
            size = int(tensor.shape[dim])
            if letter not in sizes or sizes[letter][0] == 1:
                sizes[letter] = (size, tensor, dim, name)
            elif size not in (1, sizes[letter][0]):
                known, first, at, first_name = sizes[letter]
                return case.found(
                    "einsum",
                    f"einsum '{equation}' needs one size for the letter {letter}: {known} ≠ "
                    f"{size}.",
                    f"The letter {letter} stands for dimension {at} of {first_name} "
                    f"{shape_text(first)}, which is {known}, and for dimension {dim} of {name} "
                    f"{shape_text(tensor)}, which is {size}.",
                    (first, at, size),
                    (tensor, dim, known),
                    letter=letter,
                    wanted=known,
                    found=size,
                    reordered=_reordered(terms, operands),
                )
    right = equation.split("->")[1].strip() if "->" in equation else ""
    for letter in right.replace(".", "").replace(" ", ""):
        if letter not in sizes:
            return case.found(
                "einsum",
                f"einsum '{equation}' asks for the letter {letter} in its result, which no operand "
                "has.",
                f"The result can only have letters of the operands: {', '.join(sizes)}.",
            )
    return None


def _reordered(terms: list[str], operands: Sequence[Any]) -> bool:
    """Whether the letters of one operand, in another order, would give each one size."""
    if any("." in term or len(term) > 6 for term in terms):
        return False
    for changed in range(len(terms)):
        sizes: dict[str, int] = {}
        for number, (term, tensor) in enumerate(zip(terms, operands, strict=True)):
            if number != changed:
                for letter, size in zip(term, tensor.shape, strict=False):
                    sizes[letter] = int(size)
        shape = tuple(operands[changed].shape)
        if any(
            all(sizes.get(letter, size) == size for letter, size in zip(order, shape, strict=False))
            for order in itertools.permutations(terms[changed])
        ):
            return True
    return False


def _one_too(over: int) -> str:
    return f"{abs(over)} too {'many letters' if over > 0 else 'few letters'}"
