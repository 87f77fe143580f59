"""`affine_grid`: where every place of a picture points, under one affine map for each sample."""

from __future__ import annotations

from tracer.ops.algebra import below, differ
from tracer.ops.bound import NEW, Bound, Dim, all_marks, mark, refuse
from tracer.ops.call import At, Call, Unclear
from tracer.ops.refusal import Refusal, Report, ShapeOf, said
from tracer.ops.say import (
    Spoken,
    Told,
)
from tracer.ops.space import NAMES, handed
from tracer.ops.spec import operation


def _bind(call: Call) -> Bound:
    theta, size = call.tensor("theta", "input"), call.sizes("size")
    if theta is None or size is None:
        raise Unclear
    if len(size) not in (4, 5) or any(below(each, 1) for each in size):
        raise refuse("arguments", argument="size", size=size)
    n = len(size) - 2
    shape = call.operands[theta].shape
    if len(shape) != 3:
        raise refuse("rank", *all_marks(call, theta), rank=3, ranks=(3,), at=theta)
    for dim, wanted in ((1, n), (2, n + 1)):
        if differ(shape[dim], wanted):
            raise refuse("width", mark(call, At(theta, dim), wanted), wanted=wanted)
    if differ(shape[0], size[0]):
        raise refuse("batch", mark(call, At(theta, 0), size[0]), wanted=size[0], found=shape[0])
    places = tuple(Dim(each, NEW, kind="place") for each in size[2:])
    return Bound(call, ((*handed(call, theta, 1), *places, Dim(n, NEW)),))


def _words(step: Spoken) -> Told:
    n = len(step.out) - 2
    lines = [
        said("dim {axis}: new, the {name} of the picture", axis=1 + k, name=name)
        for k, name in enumerate(NAMES[n])
    ]
    lines.append(said("dim {axis}: new, the {n} coordinates of a point", axis=n + 1, n=n))
    return Told(
        said(
            "{arrow}: for every place of a picture, where its affine map points", arrow=step.arrow
        ),
        lines,
    )


def _report(refusal: Refusal) -> Report | None:
    size = refusal.call.sizes("size") or ()
    theta = refusal.call.tensor("theta", "input")
    if refusal.violation.kind == "arguments" or theta is None:
        return Report(
            said(
                "affine_grid needs the size (N, C, H, W) of a picture: it is {size}.",
                size=ShapeOf(size),
            ),
            (said("Each of these numbers counts something, so it is 1 or more."),),
        )
    n = len(size) - 2
    values = {
        "theta": refusal.name(theta, "theta"),
        "shape": refusal.shape(theta),
        "wanted": ShapeOf((size[0], n, n + 1)),
        "size": ShapeOf(size),
    }
    return Report(
        said("affine_grid needs maps {wanted} for a picture {size}: {theta} is {shape}.", **values),
        (
            said(
                "There is one map for each sample: a row for each coordinate of a point, and in it "
                "a number for each coordinate and one to move by.",
                **values,
            ),
        ),
    )


operation("affine_grid affine_grid_generator", bind=_bind, words=_words, report=_report)
