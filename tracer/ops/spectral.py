"""Signals and their spectra: the Fourier transforms of torch.fft, stft and istft."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.ops.algebra import below, differ, is_open
from tracer.ops.axes import axes_in, axis_in
from tracer.ops.bound import (
    ANY_MORE,
    RESIZED,
    Bound,
    Dim,
    all_marks,
    kept,
    mark,
    moved,
    new,
    other_dtype,
    refuse,
    too_small,
)
from tracer.ops.call import At, Call, Size, need
from tracer.ops.refusal import Refusal, Report, said
from tracer.ops.say import (
    Spoken,
    Told,
    Words,
    dims_text,
)
from tracer.ops.spec import operation
from tracer.sentences import Said

# Of a real signal half of the spectrum says all: n values have n // 2 + 1 frequencies.
_HALVING = ("rfft", "rfft2", "rfftn", "ihfft", "ihfft2", "ihfftn")
_DOUBLING = ("irfft", "irfft2", "irfftn", "hfft", "hfft2", "hfftn")
_ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
_REAL = ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")

# --- torch.fft -----------------------------------------------------------------------------------


def _transform(call: Call) -> Bound:
    """Along each dimension that is transformed every value is made of all; the last of them is
    halved or doubled where a spectrum is that of a real signal.

    Raises:
        Refused: kinds `axis`, `dtype`, `rank`, or `arguments` where no signal would be left.
    """
    need(bool(call.operands))
    if call.op in _HALVING and call.operands[0].dtype not in _REAL:
        raise other_dtype(call, 0, "float32")
    axes, sizes = _along(call)
    if not axes and call.op not in ("fftn", "ifftn"):
        raise refuse("rank", *all_marks(call, 0), rank=1, ranks=(1, ANY_MORE), at=0)
    dims = list(kept(call))
    for axis, asked in zip(axes, sizes, strict=True):
        at, last = At(0, axis), axis == axes[-1]
        size = call.operands[0].shape[axis] if asked is None else asked
        if last and call.op in _DOUBLING and asked is None:
            size = 2 * (size - 1)
        if below(size, 1):
            raise refuse("arguments", mark(call, at), argument="n", value=size, least=1)
        halved = last and call.op in _HALVING
        if halved or (last and call.op in _DOUBLING) or asked is not None:
            made = size // 2 + 1 if halved else size
            dims[axis] = Dim(made, RESIZED, (at,), given=asked is not None, moved=True)
        else:
            dims[axis] = moved(dims[axis])
    return Bound(call, (tuple(dims),))


def _along(call: Call) -> tuple[tuple[int, ...], Sequence[Size | None]]:
    """The dimensions that are transformed, the last one last, and the sizes asked for."""
    rank = call.operands[0].rank
    if call.op in _ONE:
        if not rank:
            raise refuse("rank", rank=1, ranks=(1, ANY_MORE), at=0)
        return (axis_in(call, call.get("dim", default=-1)),), (call.whole("n"),)
    sizes, given = call.sizes("s"), call.get("dim")
    if given is None and call.op.endswith("2"):
        given = (-2, -1)
    if given is None and sizes is not None:
        if len(sizes) > rank:
            raise refuse("rank", *all_marks(call, 0), rank=len(sizes), at=0)
        axes = tuple(range(rank - len(sizes), rank))
    else:
        axes = tuple(range(rank)) if given is None else axes_in(call, given)
        if given is not None and not rank and axes:
            raise refuse("rank", rank=len(axes), at=0)
    if sizes is not None and len(sizes) != len(axes):
        raise refuse("arguments", argument="s", given=sizes, count=len(axes))
    return axes, [None if is_open(size) else size for size in sizes or [None] * len(axes)]


def _transform_words(what: Said) -> Words:
    def words(step: Spoken) -> Told:
        dims = dims_text(_along(step.call)[0])
        return Told(said("{arrow}: {what} along {dims}", arrow=step.arrow, what=what, dims=dims))

    return words


for _names, _text in {
    "fft fft2 fftn": said("the spectrum"),
    "ifft ifft2 ifftn": said("the signal of a spectrum"),
    "rfft rfft2 rfftn": said("the spectrum of a real signal, one half of it,"),
    "irfft irfft2 irfftn": said("the real signal of one half of its spectrum"),
    "hfft hfft2 hfftn": said("the real spectrum of one half of its signal"),
    "ihfft ihfft2 ihfftn": said("one half of the signal of a real spectrum"),
}.items():
    operation(_names, bind=_transform, words=_transform_words(_text))


def _shift(call: Call) -> Bound:
    need(bool(call.operands))
    value = call.get("dim")
    if not call.operands[0].rank:
        raise refuse("rank", rank=1, ranks=(1, ANY_MORE), at=0)
    axes = range(call.operands[0].rank) if value is None else axes_in(call, value)
    return Bound(call, (tuple(moved(d) if n in axes else d for n, d in enumerate(kept(call))),))


operation(
    "fftshift ifftshift",
    bind=_shift,
    words=lambda step: Told(
        said("Shape kept: the frequencies turned round, so that 0 is elsewhere")
    ),
)


def _frequencies(call: Call) -> Bound:
    n = call.size("n")
    return Bound(call, ((new(n // 2 + 1 if call.op == "rfftfreq" else n),),))


operation(
    "fftfreq rfftfreq",
    bind=_frequencies,
    words=lambda step: Told(said("{n} frequencies of a spectrum", n=step.out[0])),
)

# --- spectra of windows --------------------------------------------------------------------------


def _stft(call: Call) -> Bound:
    """(B, L), or (L,), becomes (B, frequencies, windows); with `center` half a window is put before
    and behind."""
    x, n, hop = call.first, call.size("n_fft"), _hop(call)
    if x.rank not in (1, 2):
        raise refuse("rank", *all_marks(call, 0), rank=1, ranks=(1, 2), at=0)
    at = At(0, x.rank - 1)
    length = x.shape[-1]
    if call.flag("center"):
        if call.get("pad_mode", default="reflect") == "reflect" and below(length, n // 2 + 1):
            raise refuse("padding", mark(call, at), amount=n // 2, mode="reflect")
        length = length + 2 * (n // 2)
    if below(length, n) or below(n, 1):
        raise refuse("kernel", mark(call, at), span=n, room=length, padding=0)
    if below(hop, 1):
        raise too_small("hop_length", hop, 1)
    _check_window(call, n)
    heights = new(n // 2 + 1 if _one_sided(call) else n)
    windows = Dim((length - n) // hop + 1, RESIZED, (at,), kind="place")
    parts = () if call.flag("return_complex") else (new(2),)
    return Bound(call, ((*kept(call)[:-1], heights, windows, *parts),))


def _hop(call: Call) -> Size:
    return call.whole("hop_length", default=call.size("n_fft") // 4)


def _one_sided(call: Call) -> bool:
    complex_ = any(operand.dtype.startswith("complex") for operand in call.operands)
    return call.flag("onesided", default=not complex_)


def _check_window(call: Call, n: Size) -> None:
    """Raises:
    Refused: kind `index`, the window has not the length that it was said to have."""
    length, window = call.whole("win_length", default=n), call.tensor("window")
    if below(length, 1) or below(n, length):
        raise refuse("arguments", argument="win_length", value=length, least=1)
    if window is None:
        return
    shape = call.operands[window].shape
    if len(shape) != 1:
        raise refuse("rank", *all_marks(call, window), rank=1, at=window)
    if differ(shape[0], length):
        raise refuse("index", mark(call, At(window, 0), length), wanted=length, found=shape[0])


def _stft_words(step: Spoken) -> Told:
    n, hop = step.call.size("n_fft"), _hop(step.call)
    place = len(step.x) - 1
    return Told(
        said(
            "{arrow}: the spectrum of every window of {size}, one every {hop}",
            arrow=step.arrow,
            size=n,
            hop=hop,
        ),
        [
            said("dim {axis}: new, {n} frequencies", axis=place, n=step.out[place]),
            said(
                "dim {axis}: {before} → {n} windows",
                axis=place + 1,
                before=step.x[-1],
                n=step.out[place + 1],
            ),
        ],
    )


def _istft(call: Call) -> Bound:
    """(B, frequencies, windows) becomes (B, L) again."""
    x, n, hop = call.first, call.size("n_fft"), _hop(call)
    if x.rank not in (2, 3):
        raise refuse("rank", *all_marks(call, 0), rank=2, ranks=(2, 3), at=0)
    if not x.dtype.startswith("complex"):
        raise other_dtype(call, 0, "complex64")
    # Unless it is said, spectra with all frequencies are taken for whole ones.
    heights = n // 2 + 1 if call.flag("onesided", default=x.shape[-2] != n) else n
    rows, windows = At(0, x.rank - 2), At(0, x.rank - 1)
    if differ(x.shape[-2], heights):
        raise refuse("width", mark(call, rows, heights), wanted=heights, found=x.shape[-2])
    if below(hop, 1):
        raise too_small("hop_length", hop, 1)
    _check_window(call, n)
    given = call.whole("length")
    whole = n + hop * (x.shape[-1] - 1)
    made = given if given is not None else whole - 2 * (n // 2) * call.flag("center", True)
    if below(made, 1):
        raise refuse("arguments", mark(call, windows), argument="length", value=made, least=1)
    length = Dim(made, RESIZED, (windows,), kind="place", given=given is not None)
    return Bound(call, ((*kept(call)[:-2], length),))


def _spectrum_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "kernel":
        return None
    values = {
        "op": refusal.call.op,
        "n": refusal.facts["span"],
        "room": refusal.facts["room"],
        "x": refusal.name(0),
        "shape": refusal.shape(0),
    }
    return Report(
        said("{op} needs a signal of at least one window: {room} < {n}.", **values),
        (said("The last dimension of {x} {shape} is time, and a window is {n} long.", **values),),
    )


operation("stft", bind=_stft, words=_stft_words, report=_spectrum_report)
operation(
    "istft",
    bind=_istft,
    words=lambda step: Told(
        said("{arrow}: the signal whose windows have these spectra", arrow=step.arrow)
    ),
    report=_spectrum_report,
)
