"""The same memory seen otherwise: with other strides, or as numbers of another type."""

from __future__ import annotations

from tracer.ops.algebra import known
from tracer.ops.bound import RESIZED, Bound, Dim, kept, mark, new, refuse, too_small
from tracer.ops.call import At, Call, Unclear
from tracer.ops.say import (
    Spoken,
    Told,
)
from tracer.ops.spec import operation
from tracer.sentences import said

BYTES = {
    **dict.fromkeys(("bool", "uint8", "int8", "float8_e4m3fn", "float8_e5m2"), 1),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 2),
    **dict.fromkeys(("int32", "uint32", "float32", "complex32"), 4),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 8),
    "complex128": 16,
}


def as_dtype(call: Call) -> Bound:
    """`x.view(dtype)`: the last dimension holds more numbers where they are smaller, and fewer
    where they are larger.

    Raises:
        Refused: kind `rank` of a single number, `divide` where they do not fill the larger ones,
            `stride` where they do not lie side by side.
    """
    x, old, made = call.first, BYTES.get(call.first.dtype), BYTES.get(str(call.get("dtype")))
    if old is None or made is None:
        raise Unclear
    if old == made:
        return Bound(call, (kept(call),))
    if not x.rank:
        raise refuse("rank", rank=1, at=0)
    at, size = At(0, x.rank - 1), x.shape[-1]
    if x.strides is not None and x.strides[-1] != 1:
        raise refuse("stride", shape=x.shape)
    parts = made // old
    if made > old and known(size) and size % parts:
        raise refuse("divide", mark(call, at), parts=parts, size=size, dim=at.dim)
    if made > old and x.strides is not None and any(each % parts for each in x.strides[:-1]):
        raise refuse("stride", shape=x.shape)
    count = size // parts if made > old else size * (old // made)
    return Bound(call, ((*kept(call)[:-1], Dim(count, RESIZED, (at,))),))


def _as_strided(call: Call) -> Bound:
    """Sizes and strides are given: which entries are seen the shape of the operand does not say.

    Raises:
        Refused: kind `arguments`.
    """
    sizes, strides = call.sizes("size"), call.sizes("stride")
    if sizes is None or strides is None:
        raise Unclear
    if len(sizes) != len(strides):
        raise refuse("arguments", argument="stride", given=strides, count=len(sizes))
    for name, values in (("size", sizes), ("stride", strides)):
        least = min((each for each in values if known(each)), default=0)
        if least < 0:
            raise too_small(name, least, 0)
    return Bound(call, (tuple(map(new, sizes)),))


def _words(step: Spoken) -> Told:
    return Told(said("{arrow}: the same memory, walked through with other steps", arrow=step.arrow))


operation("as_strided", bind=_as_strided, words=_words, shares=True)
