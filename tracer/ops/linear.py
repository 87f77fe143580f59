"""What multiplies and sums the last dimension: linear layers, bilinear ones, distances; and pairs
of vectors: outer and cross products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer.ops.algebra import differ, is_one, known, product
from tracer.ops.axes import axis_in
from tracer.ops.bound import (
    ANY_MORE,
    Bound,
    Violation,
    added,
    all_marks,
    broadcast,
    laid_on,
    mark,
    moved,
    new,
    refuse,
)
from tracer.ops.call import At, Call, Size, need
from tracer.ops.cells import SUMS, Scene
from tracer.ops.product import batch_report
from tracer.ops.refusal import Count, Refusal, Report, Said, ShapeOf, SizeAt, said
from tracer.ops.say import (
    LAST_DIM,
    Spoken,
    Told,
    effect_text,
    pair_arrow,
    product_arrow,
    told,
)
from tracer.ops.spec import Op, by_pattern, form, operation
from tracer.ops.steps import layer_sizes, layers

# --- linear --------------------------------------------------------------------------------------

_LINEAR = Op(
    ("linear",),
    forms=(
        form("input: *b i", "weight: o i", gives="*b o"),
        form("input: *b i", "weight: i", gives="*b"),
    ),
    mixed={"o": "i"},
    kinds={"i": "width"},
)


def _linear(call: Call) -> Bound:
    found = by_pattern(_LINEAR, call)
    bias = call.tensor("bias")
    if bias is None:
        return found
    weight = call.position("weight")
    alone = call.operands[bias].rank == 0 and call.operands[call.position("input")].rank != 2
    if call.operands[weight].rank < 2 and not alone:  # torch adds a single number, but to no matrix
        raise refuse("rank", *all_marks(call, weight), rank=2, at=weight)
    ties = laid_on(call, bias, found.results[0])
    return Bound(call, found.results, found.ties + ties, letters=found.letters)


def _linear_words(step: Spoken) -> Told:
    x, out = step.call.shape("input"), step.out
    if len(step.call.shape("weight")) == 1:
        return Told(
            said(
                "{arrow}: each result is a weighted sum of the {n} values of a row",
                arrow=step.arrow,
                n=x[-1],
            ),
            [said("contracted over {n} (last dim and weights)", n=x[-1])],
        )
    how = said(
        "the result is a weighted sum of the {n} values of a row"
        if out[-1] == 1
        else "each of the {results} results is a weighted sum of the {n} values of a row",
        results=out[-1],
        n=x[-1],
    )
    return Told(told(effect_text(x[-1:], out[-1:], (LAST_DIM,)), how))


def _linear_flops(bound: Bound) -> Size:
    return 2 * product(bound.shapes[0]) * bound.letters["i"]


def _linear_clues(call: Call, violation: Violation) -> Mapping[str, Any]:
    """`layout` is `axis` where the wanted size stands in another dimension."""
    if violation.kind != "width":
        return {}
    between = call.shape("input")[1:-1]
    return {"layout": "axis" if violation.facts["wanted"] in between else ""}


def _linear_report(refusal: Refusal) -> Report | None:
    kind = refusal.violation.kind
    if kind == "width":
        return _width_report(refusal)
    if kind == "rank":
        return _linear_rank_report(refusal)
    return _bias_report(refusal) if kind == "broadcast" else None


# long: one text for each way in which the call is wrong
def _width_report(refusal: Refusal) -> Report:
    input, weight = (refusal.call.tensor(name) or 0 for name in ("input", "weight"))
    shape = refusal.call.operands[input].shape
    wanted, found = (refusal.facts[name] for name in ("wanted", "found"))
    values: dict[str, Any] = {
        "who": refusal.who,
        "x": refusal.name(input, said("the input")),
        "shape": refusal.shape(input),
        "weight": refusal.shape(weight),
        "wanted": SizeAt(weight, refusal.call.operands[weight].rank - 1, wanted),
        "found": SizeAt(input, len(shape) - 1, found),
        "numbers": Count(found, "number"),
        "built": refusal.is_built(),
    }
    reason: list[Said] = [
        said(
            "A linear layer multiplies the last dimension of its input; {built}, made for "
            "{wanted}, but {x} has {numbers} in its last dimension.",
            **values,
        )
        if refusal.built.startswith("nn.Linear(")
        else said(
            "A linear layer multiplies the last dimension of its input; the weight is made for "
            "{wanted}, but {x} has {numbers} in its last dimension.",
            **values,
        )
    ]
    flat = product(shape[1:])
    if len(shape) == 1:
        reason.append(
            said(
                "{x} has no batch dimension: all of its {found} numbers are taken as one row.",
                **values,
            )
        )
    elif wanted in shape[:-1]:
        values["at"] = shape.index(wanted)
        reason.append(said("The size {wanted} is there, but in dimension {at}.", **values))
    elif len(shape) > 2 and flat == wanted:
        reason.append(
            said(
                "With the batch kept, {shape} flattened has {flat} numbers for each sample, which "
                "is what the layer was made for: a flatten is missing.",
                **values,
                flat=flat,
            )
        )
    elif len(shape) > 2:
        rows = ShapeOf(shape[:-1])
        reason.append(said("The sizes {rows} before it only count rows.", rows=rows))
    return Report(
        said(
            "{who} needs the last size of its input to be {wanted}: {found} ≠ {wanted} ({x} "
            "{shape}, weight {weight}).",
            **values,
        ),
        tuple(reason),
        said(
            "See whether {x} should have {wanted} features, or {who} should take {found}.", **values
        ),
    )


def _linear_rank_report(refusal: Refusal) -> Report | None:
    index = refusal.facts["at"]
    if index != refusal.call.tensor("input"):
        return None
    values = {"who": refusal.who, "x": refusal.name(index, said("the input"))}
    return Report(
        said("{who} needs an input with at least 1 dimension: {x} has none.", **values),
        (
            said(
                "{x} is a single number without dimensions, so there is no row to multiply.",
                **values,
            ),
        ),
    )


def _bias_report(refusal: Refusal) -> Report:
    bias, weight = (refusal.call.tensor(name) or 0 for name in ("bias", "weight"))
    outputs = refusal.call.operands[weight].shape[0]
    values: dict[str, Any] = {
        "outputs": SizeAt(weight, 0, outputs),
        "count": refusal.call.operands[bias].shape[-1],
        "weight": refusal.shape(weight),
        "bias": refusal.shape(bias),
    }
    return Report(
        said(
            "linear adds a bias of one number for each of its {outputs} outputs: the bias has "
            "{count}.",
            **values,
        ),
        (
            said(
                "The weight {weight} gives {outputs} outputs, and the bias {bias} does not fit "
                "them.",
                **values,
            ),
        ),
    )


operation(
    "linear",
    bind=_linear,
    words=_linear_words,
    clues=_linear_clues,
    report=_linear_report,
    flops=_linear_flops,
    scene=SUMS,
)
layers(linear="Linear LazyLinear NonDynamicallyQuantizableLinear")
layer_sizes("Linear LazyLinear", reads="in_features", makes="out_features")


# --- bilinear ------------------------------------------------------------------------------------

_BILINEAR = Op(
    ("bilinear",),
    forms=(form("input1: *b i", "input2: *b j", "weight: o i j", gives="*b o"),),
    mixed={"o": "i"},
    kinds={"i": "width", "j": "width", "o": "channels"},
)


def _bilinear(call: Call) -> Bound:
    """Unlike most, it stretches no batch."""
    first, second = call.position("input1"), call.position("input2")
    a, b = call.operands[first].shape, call.operands[second].shape
    if len(a) != len(b):
        raise refuse("rank", *all_marks(call, second), rank=len(a), at=second)
    for dim, (one, two) in enumerate(zip(a[:-1], b[:-1], strict=True)):
        if differ(one, two):
            marks = mark(call, At(first, dim), two), mark(call, At(second, dim), one)
            raise refuse("batch", *marks, wanted=two, found=one)
    found = by_pattern(_BILINEAR, call)
    bias = call.tensor("bias")
    if bias is None:
        return found
    if not call.operands[bias].rank:
        raise refuse("rank", rank=1, ranks=(1,), at=bias)
    have, made = call.operands[bias].shape[0], found.results[0][-1]
    if differ(have, made.size):
        weight = At(call.position("weight"), 0)
        marks = mark(call, At(bias, 0), made.size), mark(call, weight, have)
        raise refuse("channels", *marks, wanted=made.size, found=have)
    dims, ties = added(call, found.results[0], bias)
    return Bound(call, (dims,), found.ties + ties, letters=found.letters)


def _bilinear_words(step: Spoken) -> Told:
    a, b = step.call.shape("input1"), step.call.shape("input2")
    return Told(
        said(
            "Last dims {first} and {second} → {after}: every pair of values weighted and summed",
            first=a[-1],
            second=b[-1],
            after=step.out[-1],
        )
    )


def _bilinear_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "width":
        return None
    at = refusal.violation.marks[0]
    number = 1 if at.operand == refusal.call.tensor("input1") else 2
    values = {
        "who": refusal.who,
        "number": number,
        "wanted": refusal.facts["wanted"],
        "found": SizeAt(at.operand, at.dim, at.size),
        "name": refusal.name(
            at.operand, said("the first input" if number == 1 else "the second input")
        ),
        "shape": refusal.shape(at.operand),
    }
    return Report(
        said(
            "{who} needs the last size of input {number} to be {wanted}: {found} ≠ {wanted}.",
            **values,
        ),
        (
            said(
                "{name} {shape} has {found} features in its last dimension, and the weight was "
                "made for {wanted}.",
                **values,
            ),
        ),
    )


def _bilinear_flops(bound: Bound) -> Size:
    return 3 * product(bound.shapes[0]) * bound.letters["i"] * bound.letters["j"]


operation(
    "bilinear",
    bind=_bilinear,
    words=_bilinear_words,
    report=_bilinear_report,
    flops=_bilinear_flops,
    scene=SUMS,
)
layers(bilinear="Bilinear")
layer_sizes("Bilinear", makes="out_features")


# --- distances -----------------------------------------------------------------------------------


def _cdist_words(step: Spoken) -> Told:
    a, b = step.call.shape("x1"), step.call.shape("x2")
    return Told(
        said("{arrow}: the distance of every pair of rows", arrow=pair_arrow(a, b, step.out)),
        [said("contracted over {n} (last of both)", n=a[-1])],
    )


def _cdist_report(refusal: Refusal) -> Report | None:
    kind = refusal.violation.kind
    if kind == "rank":
        index = refusal.facts["at"]
        first = index == refusal.call.tensor("x1")
        values: dict[str, Any] = {
            "name": refusal.name(index, said("the first" if first else "the second")),
            "shape": refusal.shape(index),
            "found": refusal.call.operands[index].rank,
        }
        return Report(
            said("cdist needs at least 2 dimensions on both sides: {name} has {found}.", **values),
            (said("{name} {shape} is one point; `{name}[None]` makes a list of one.", **values),),
        )
    if kind == "batch":
        return batch_report(refusal)
    values = refusal.pair()
    return Report(
        said("cdist needs points with as many coordinates on both sides: {one} ≠ {two}.", **values),
        (
            said(
                "The last dimension holds the coordinates: {a} {shape_a}, {b} {shape_b}.", **values
            ),
        ),
    )


operation(
    "cdist",
    forms=[form("x1: *b p c", "x2: *b r c", gives="*b p r")],
    kinds={"c": "width", "*b": "batch"},
    words=_cdist_words,
    report=_cdist_report,
    scene=Scene("product"),
)


def _pdist(call: Call) -> Bound:
    rank = call.first.rank
    if rank != 2:
        raise refuse("rank", *all_marks(call, 0), rank=2, ranks=(2,), at=0)
    rows = call.first.shape[0]
    return Bound(call, ((new(rows * (rows - 1) // 2, sources=[At(0, 0)]),),))


operation(
    "pdist",
    bind=_pdist,
    words=lambda step: Told(
        said("{arrow}: the distance of every two different rows, once", arrow=step.arrow)
    ),
)


# --- pairs of vectors ----------------------------------------------------------------------------


def _outer_words(step: Spoken) -> Told:
    a, b = step.call.shape("input"), step.call.shape("vec2")
    how = said("every value of the first times every value of the second")
    return Told(
        told(pair_arrow(a, b, step.out), how),
        [said("dim 0: from the first"), said("dim 1: from the second")],
    )


def _outer_report(refusal: Refusal) -> Report:
    index = refusal.facts["at"]
    return Report(
        said(
            "outer needs two vectors: {name} {shape} has {count}.",
            name=refusal.name(index),
            shape=refusal.shape(index),
            count=Count(refusal.call.operands[index].rank, "dimension"),
        ),
        (
            said(
                "It multiplies each number of one list with each of the other. For batches, "
                "`a[..., :, None] * b[..., None, :]` does so."
            ),
        ),
    )


operation(
    "outer ger",
    forms=[form("input: m", "vec2: n", gives="m n")],
    words=_outer_words,
    report=_outer_report,
    scene=SUMS,
)


def _kron(call: Call) -> Bound:
    """Each size is the product of the two; what one lacks in front is 1."""
    first, second = call.position("input"), call.position("other")
    a, b = call.operands[first].shape, call.operands[second].shape
    dims = []
    for back in range(max(len(a), len(b)), 0, -1):
        sizes, sources = [], []
        for operand, shape in ((first, a), (second, b)):
            if back <= len(shape):
                sizes.append(shape[-back])
                sources.append(At(operand, len(shape) - back))
        dims.append(new(product(sizes), sources=sources))
    return Bound(call, (tuple(dims),))


def _kron_words(step: Spoken) -> Told:
    a, b = step.call.shape("input"), step.call.shape("other")
    how = said("every value of the first times the whole of the second")
    return Told(told(pair_arrow(a, b, step.out), how))


operation("kron", bind=_kron, words=_kron_words)


def _cross(call: Call) -> Bound:
    """Of vectors of 3 numbers along `dim`; without it, along the first dimension of
    `input` that has 3."""
    first, second = call.position("input"), call.position("other")
    a, b = call.operands[first], call.operands[second]
    if a.rank != b.rank:
        raise refuse("rank", *all_marks(call, second), rank=a.rank, at=second)
    if not a.rank:
        raise refuse("rank", rank=1, ranks=(1, ANY_MORE), at=first)
    given = call.get("dim")
    if given is None:
        given = next((dim for dim, size in enumerate(a.shape) if size == 3), None)
        if given is None:
            need(all(map(known, a.shape)))
            raise refuse("width", *all_marks(call, first), wanted=3)
    axis = axis_in(call, given, first)
    for index in (first, second):
        found = call.operands[index].shape[axis]
        if differ(found, 3) or is_one(found):
            raise refuse("width", mark(call, At(index, axis), 3), wanted=3, found=found)
    dims, ties = broadcast(call, (first, second))
    turned = [moved(dim) if d == axis else dim for d, dim in enumerate(dims)]
    return Bound(call, (tuple(turned),), ties)


def _cross_words(step: Spoken) -> Told:
    how = said("the vector at right angles to each pair of vectors of 3 numbers")
    return Told(told(pair_arrow(step.ins[0], step.ins[-1], step.out), how))


operation("cross", bind=_cross, words=_cross_words)


def _vecdot(call: Call) -> Bound:
    first, second = call.position("x"), call.position("y")
    a, b = call.operands[first].shape, call.operands[second].shape
    alone = len(a) == len(b) == 1  # of two vectors none is stretched, and no dimension is asked for
    if alone and differ(a[0], b[0]):
        marks = mark(call, At(first, 0), b[0]), mark(call, At(second, 0), a[0])
        raise refuse("matmul", *marks, wanted=b[0], found=a[0])
    dims, ties = broadcast(call, (first, second))
    fuller = first if len(a) >= len(b) else second
    axis = 0 if alone else axis_in(call, call.get("dim", default=-1), fuller)
    inner = dims[axis].size if dims else 1
    return Bound(call, (dims[:axis] + dims[axis + 1 :],), ties, letters={"k": inner})


def _vecdot_words(step: Spoken) -> Told:
    how = said("each value sums {n} products", n=step.bound.letters["k"])
    return Told(told(product_arrow(step.ins[0], step.ins[-1], step.out), how))


operation(
    "vecdot",
    bind=_vecdot,
    words=_vecdot_words,
    flops=lambda bound: 2 * product(bound.shapes[0]) * bound.letters["k"],
    scene=SUMS,
)
