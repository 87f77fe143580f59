"""New tensors: filled, counted, drawn at random or given."""

from __future__ import annotations

import math
from typing import Any

from tracer.ops.algebra import differ, known
from tracer.ops.bound import Bound, kept, new, refuse, too_small
from tracer.ops.call import Call, Shape, Size, Unclear, need
from tracer.ops.refusal import Refusal, Report, ShapeOf, said
from tracer.ops.say import (
    Spoken,
    Told,
)
from tracer.ops.spec import operation

_WORDS = {
    "zeros new_zeros": said("zeros"),
    "ones new_ones": said("ones"),
    "full new_full": said("one value"),
    "empty new_empty empty_strided new_empty_strided": said("whatever was in memory"),
    "rand": said("uniform random numbers"),
    "randn": said("normal random numbers"),
    "randint": said("random whole numbers"),
    "randperm": said("whole numbers in random order"),
    "arange range linspace": said("evenly spaced numbers"),
    "logspace": said("numbers evenly spaced on a log scale"),
    "eye": said("ones on the diagonal, zeros elsewhere"),
    "tensor as_tensor from_numpy new_tensor scalar_tensor asarray": said("the given numbers"),
    "tril_indices triu_indices": said("positions of a triangle"),
    "hann_window hamming_window": said("a smooth window"),
}
_FILLED = {name: words for names, words in _WORDS.items() for name in names.split()}

_SINGLE = {
    "zeros": said("A new single number, 0"),
    "ones": said("A new single number, 1"),
    "tensor": said("A new single number, as it is given"),
}


def _made(call: Call, *shape: Size) -> Bound:
    negative = next((size for size in shape if known(size) and size < 0), None)
    if negative is not None:
        raise too_small("size", negative, 0)
    return Bound(call, (tuple(map(new, shape)),))


def _words(step: Spoken) -> Told:
    if step.ins and step.name in ("tensor", "as_tensor", "new_tensor", "asarray"):
        return Told(said("Shape kept: the same values"))
    what = _FILLED[step.name]
    if not step.out:
        return Told(_SINGLE.get(step.name, said("A new single number")))
    return Told(said("A new tensor {shape}: {what}", shape=ShapeOf(step.out), what=what))


def _sized(call: Call) -> Bound:
    size = call.sizes("size")
    if size is None:
        raise Unclear
    return _made(call, *size)


operation(
    "zeros new_zeros ones new_ones full new_full empty new_empty empty_strided new_empty_strided "
    "rand randn randint",
    bind=_sized,
    words=_words,
)


def _counted(call: Call) -> Bound:
    return _made(call, call.size("n", "steps", "window_length"))


operation(
    "randperm linspace logspace hann_window hamming_window",
    bind=_counted,
    words=_words,
)


def _arange(call: Call) -> Bound:
    start, stop, step = (call.get(name, default=d) for name, d in _ENDS)
    ends = (start, stop, step)
    need(all(type(end) in (int, float) and abs(end) < _MOST for end in ends))
    if not step or (stop - start) * step < 0:
        raise refuse("arguments", start=start, stop=stop, step=step)
    if call.op == "range":  # the end is one of its numbers
        return _made(call, math.floor((stop - start) / step) + 1)
    if all(type(end) is int for end in ends):
        return _made(call, -((start - stop) // step))
    return _made(call, math.ceil((stop - start) / step))


_MOST = 2**53  # beyond, a float is no whole number any more
_MOST_ROWS = 100_000
_ENDS = (("start", 0), ("end", 0), ("step", 1))


def _arange_report(refusal: Refusal) -> Report | None:
    if "step" not in refusal.facts:
        return None
    return Report(
        said(
            "{op} cannot get from {start} to {stop} in steps of {step}.",
            op=refusal.call.op,
            **refusal.facts,
        ),
        (said("The step must not be 0, and must have the sign of the way."),),
    )


operation("arange range", bind=_arange, words=_words, report=_arange_report)


def _eye(call: Call) -> Bound:
    rows = call.size("n")
    return _made(call, rows, call.whole("m", default=rows))


operation("eye", bind=_eye, words=_words)


def _triangle(call: Call) -> Bound:
    rows, columns = call.size("row"), call.size("col")
    offset: Size = call.whole("offset", default=0)
    need(all(map(known, (rows, columns, offset))) and rows <= _MOST_ROWS)
    if rows < 0 or columns < 0:
        raise too_small("row" if rows < 0 else "col", min(rows, columns), 0)
    below = sum(min(max(row + offset + 1, 0), columns) for row in range(rows))
    if call.op == "tril_indices":
        return _made(call, 2, below)
    return _made(call, 2, sum(min(max(columns - row - offset, 0), columns) for row in range(rows)))


operation("tril_indices triu_indices", bind=_triangle, words=_words)


def _given(call: Call) -> Bound:
    data = call.tensor("data", "obj")
    if data is not None:
        return Bound(call, (kept(call, data),))
    if call.results:
        return _made(call, *call.results[0].shape)
    if call.op == "scalar_tensor":
        return _made(call)
    return _made(call, *_nested(call.arguments.get("data", call.arguments.get("obj"))))


def _nested(value: Any) -> Shape:
    """The shape of numbers in tuples.

    Raises:
        Refused: they form no rectangle.
        Unclear: it is something else, such as an array.
    """
    if isinstance(value, bool | int | float):
        return ()
    need(isinstance(value, tuple))
    inner = [_nested(part) for part in value]
    if any(len(a) != len(inner[0]) or any(map(differ, a, inner[0])) for a in inner[1:]):
        raise refuse("arguments", shapes=tuple(inner))
    return (len(value), *(inner[0] if inner else ()))


def _given_report(refusal: Refusal) -> Report | None:
    shapes = refusal.facts.get("shapes")
    if shapes is None:
        return None
    first = shapes[0]
    other = next(shape for shape in shapes if shape != first)
    return Report(
        said(
            "{op} needs lists of one length: {first} and {other}.",
            op=refusal.call.op,
            first=ShapeOf(first),
            other=ShapeOf(other),
        ),
        (said("Numbers in lists make a tensor only if they fill all its rows."),),
    )


operation(
    "tensor as_tensor from_numpy new_tensor scalar_tensor asarray",
    bind=_given,
    words=_words,
    report=_given_report,
)
