"""Operations along dimensions: reductions, running sums, order, softmax and its kin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracer.ops.algebra import below, known
from tracer.ops.axes import axes_in, axis_in
from tracer.ops.bound import (
    ANY_MORE,
    PIECE,
    Bound,
    Dim,
    Dims,
    all_marks,
    broadcast,
    kept,
    mark,
    moved,
    new,
    reduced,
    refuse,
    resized,
)
from tracer.ops.call import At, Call, Size, Unclear, need
from tracer.ops.cells import WHOLE, Along, Cells, Scene, by_dims, everything, loosely
from tracer.ops.elementwise import PAIRS, alone, effect, laid, pair_words, stretched_lines
from tracer.ops.refusal import Refusal, Report, said
from tracer.ops.say import (
    KEPT,
    Spoken,
    Told,
    Words,
    by_text,
    count_text,
    dims_text,
    size_changed,
    told,
    with_values,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layers
from tracer.sentences import Filling, Said, ShapeOf

# --- reductions ----------------------------------------------------------------------------------

# One along no dimension in particular leaves them all as they are.
_KEEP_WITHOUT = frozenset(["any", "all"])
# There is no largest of nothing.
_OF_SOMETHING = frozenset(
    [
        *("max", "min", "amax", "amin", "aminmax", "argmax", "argmin"),
        *("median", "nanmedian", "mode", "kthvalue"),
    ]
)
_ONE_OF_ALL = frozenset(["median", "nanmedian"])  # NaN where there is none
_WITH_POSITION = frozenset(["max", "min", "median", "nanmedian", "mode"])
_WHOLE = frozenset(["argmax", "argmin", "count_nonzero", "argsort"])
_TWO = frozenset(["aminmax", "std_mean", "var_mean"])
# They take the last dimension where none is named.
_LAST = frozenset(["mode", "kthvalue"])


def along(call: Call) -> Bound:
    """Along `dim` (all where it is missing), which goes away or, with `keepdim`, shrinks to 1.

    Raises:
        Refused: kind `axis` of a dimension that is not there, `other` of the largest of nothing.
    """
    if call.op in ("max", "min") and call.tensor("other") is not None:
        return laid(call)
    rank = call.operands[0].rank if call.operands else 0
    need(bool(call.operands))
    axes = _axes(call)
    _of_something(call, axes)
    gone = range(rank) if axes is None else axes
    keep = call.flag("keepdim")
    dims = tuple(
        reduced(*dim.sources) if axis in gone else dim
        for axis, dim in enumerate(kept(call))
        if keep or axis not in gone
    )
    given = call.get("dim") is not None or call.op in _LAST
    two = call.op in _TWO or (call.op in _WITH_POSITION and given)
    return Bound(call, (dims,) * (1 + two))


def _axes(call: Call) -> tuple[int, ...] | None:
    """The dimensions that are reduced, None for all."""
    value = call.get("dim", default=-1 if call.op in _LAST else None)
    if value is None:
        return None
    if value == ():
        return () if call.op in _KEEP_WITHOUT else None
    return axes_in(call, value)


def _of_something(call: Call, axes: Sequence[int] | None) -> None:
    shape = call.operands[0].shape
    if call.op not in _OF_SOMETHING or (axes is None and call.op in _ONE_OF_ALL):
        return
    empty = [a for a in (range(len(shape)) if axes is None else axes) if a < len(shape)]
    empty = [axis for axis in empty if known(shape[axis]) and shape[axis] == 0]
    if empty:
        raise refuse("other", *(mark(call, At(0, axis)) for axis in empty), empty=empty[0])


def along_report(refusal: Refusal) -> Report | None:
    if "empty" not in refusal.facts:
        return None
    values = {
        "op": refusal.call.op,
        "x": refusal.name(0),
        "shape": refusal.shape(0),
        "dim": refusal.facts["empty"],
    }
    return Report(
        said("{op} needs at least 1 value: dimension {dim} of {x} {shape} is 0.", **values),
        (said("Of no values there is no largest, smallest or middle one.", **values),),
        said("See why {x} is empty there.", **values),
    )


def _reduce_words(what: Said) -> Words:
    return lambda step: _reduced_told(step, what)


def _reduced_told(step: Spoken, what: Said, **values: Filling) -> Told:
    """`what` was made of `{values}`."""
    if step.call.tensor("other") is not None and step.name in ("max", "min"):
        return pair_words(step, PAIRS["maximum fmax" if step.name == "max" else "minimum fmin"])
    shape, keep = step.x, step.call.flag("keepdim")
    axes = _axes(step.call)
    if axes == ():
        return Told(told(KEPT, with_values(what, values=said("every value alone"), **values)))
    if axes is None or not shape:
        each = said("all {n} values", n=count_text(shape))
        return Told(said("One number left: {what}", what=with_values(what, values=each, **values)))
    axes = tuple(sorted(axes))
    each = said("every {sizes} values", sizes=by_text(shape[axis] for axis in axes))
    how = with_values(what, values=each, **values)
    if len(step.outs) == 2 and step.name in _WITH_POSITION:
        how = said("{how}, with its position", how=how)
    single = len(axes) == 1
    if keep:
        effect = said(
            "{dims} shrinks to 1" if single else "{dims} shrink to 1", dims=dims_text(axes)
        )
    else:
        effect = said("{dims} goes away" if single else "{dims} go away", dims=dims_text(axes))
    return Told(told(effect, how))


_REDUCTIONS: dict[str, Said] = {
    "mean": said("{values} averaged"),
    "nanmean": said("{values} averaged, NaN left out"),
    "sum": said("{values} summed"),
    "nansum": said("{values} summed, NaN left out"),
    "prod": said("{values} multiplied together"),
    "max amax": said("the largest of {values} kept"),
    "min amin": said("the smallest of {values} kept"),
    "argmax": said("the position of the largest of {values} found"),
    "argmin": said("the position of the smallest of {values} found"),
    "aminmax": said("the smallest and the largest of {values} kept"),
    "all": said("True if {values} are true"),
    "any": said("True if any of {values} is true"),
    "std": said("the standard deviation of {values} taken"),
    "var": said("the variance of {values} taken"),
    "std_mean": said("the standard deviation and the mean of {values} taken"),
    "var_mean": said("the variance and the mean of {values} taken"),
    "median nanmedian": said("the median of {values} kept"),
    "mode": said("the most frequent of {values} kept"),
    "logsumexp": said("the log of the sum of exponentials of {values} taken"),
    "norm vector_norm": said("the norm of {values} taken"),
    "count_nonzero": said("the non-zero ones of {values} counted"),
}
_BECOME = ("mean", "sum", "prod", "amax", "amin")


def _becomes(names: str) -> str:
    found = next((name for name in _BECOME if name in names.split()), "")
    return found.removeprefix("a")


for _names, _text in _REDUCTIONS.items():
    operation(
        _names,
        bind=along,
        words=_reduce_words(_text),
        report=along_report,
        whole=_names in _WHOLE,
        scene=Scene("collapse", _becomes(_names)),
    )

# --- the k-th, and the first k -------------------------------------------------------------------


def _choose(call: Call) -> Axis:
    """The dimension that is chosen from, its size and `k`.

    Raises:
        Refused: kind `range`, there are not that many entries.
    """
    need(bool(call.operands))
    axis = axis_in(call, call.get("dim", default=-1))
    size = call.operands[0].shape[axis] if call.operands[0].rank else 1
    k = call.whole("k")
    if k is None:
        raise Unclear
    least = 1 if call.op == "kthvalue" else 0
    if below(size, k) or below(k, least):
        marks = [mark(call, At(0, axis))] if call.operands[0].rank else []
        raise refuse("range", *marks, wanted=k, found=size, dim=call.get("dim", default=-1))
    return axis, size, k


Axis = tuple[int, Size, Size]


def _choose_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "range":
        return None
    axis = refusal.violation.marks[0].dim if refusal.violation.marks else 0
    values = {
        "op": refusal.call.op,
        "k": refusal.facts["wanted"],
        "size": refusal.facts["found"],
        "dim": axis,
        "given": refusal.facts["dim"],
        "x": refusal.name(0),
        "shape": refusal.shape(0),
    }
    if known(values["k"]) and values["k"] < 1:
        return Report(
            said("{op} takes at least 1 of dimension {dim}: {k} < 1.", **values),
            (said("{op} counts from 1: the smallest is the first.", **values),),
        )
    return Report(
        said("{op} takes {k} of dimension {dim}, which has {size}: {k} > {size}.", **values),
        (
            said(
                "{x} is {shape}, so there are only {size} entries to choose from.",
                **values,
            ),
        ),
        said("Ask for at most {size}: `min(k, {x}.size({given}))`.", **values),
    )


def _topk(call: Call) -> Bound:
    axis, _, k = _choose(call)
    dims = list(kept(call))
    if dims:
        whole = dims[axis]
        dims[axis] = moved(Dim(k, PIECE, whole.sources, start=0, stop=k))
    return Bound(call, (tuple(dims),) * 2)


def _topk_words(step: Spoken) -> Told:
    if not step.x:
        return Told(said("Shape kept: the one value there is, with its position"))
    axis = axis_in(step.call, step.call.get("dim", default=-1))
    return Told(
        said(
            "{change}, the smallest kept, with their positions"
            if step.call.get("largest") is False
            else "{change}, the largest kept, with their positions",
            change=size_changed(axis, step.x, step.out),
        )
    )


operation("topk", bind=_topk, words=_topk_words, report=_choose_report)


def _kth(call: Call) -> Bound:
    _choose(call)
    found = along(call)
    return replace(found, results=found.results[:1] * 2)


def _kth_words(step: Spoken) -> Told:
    what = said("number {k} of {values} in rising order kept, with its position")
    return _reduced_told(step, what, k=step.call.get("k"))


operation("kthvalue", bind=_kth, words=_kth_words, report=_choose_report)

# --- in order, and one after the other -----------------------------------------------------------

_ORDERED: dict[str, Said] = {
    "sort msort": said("sorted"),
    "argsort": said("the order that would sort it"),
    "cumsum": said("each value the sum of itself and all before it"),
    "cumprod": said("each value the product of itself and all before it"),
    "cummax": said("each value the largest so far"),
    "cummin": said("each value the smallest so far"),
    "logcumsumexp": said("the log of the running sum of exponentials"),
    "renorm": said("rows shortened to a largest norm"),
}


def _ordered(call: Call) -> Bound:
    """The entries change places along `dim`, or are added up in their order there."""
    need(bool(call.operands))
    dims = list(kept(call))
    if call.op == "renorm":
        axis_in(call, call.get("dim"))
        need(len(dims) > 1)
        return Bound(call, (tuple(dims),))
    default = 0 if call.op == "msort" else -1 if call.op in ("sort", "argsort") else None
    axis = axis_in(call, call.get("dim", default=default))
    if dims:
        dims[axis] = moved(dims[axis])
    return Bound(call, (tuple(dims),) * (2 if call.op in ("sort", "cummax", "cummin") else 1))


def _ordered_words(what: Said) -> Words:
    def words(step: Spoken) -> Told:
        if step.name in ("msort", "renorm") or not step.x:
            return Told(told(KEPT, what))
        axis = axis_in(step.call, step.call.get("dim", default=-1))
        return Told(told(KEPT, said("{what} along dim {axis}", what=what, axis=axis)))

    return words


def _ordered_cells(bound: Bound, number: int) -> Cells:
    """Of what is added up all before it, of what is sorted the whole row."""
    call = bound.call
    if call.op == "renorm":
        return everything(bound, number)
    if not call.op.removeprefix("log").startswith("cum"):
        return by_dims(bound, number)
    axis = axis_in(call, call.get("dim")) if call.operands[0].rank else 0
    found = {At(0, axis): Along("until", axis)} if call.operands[0].rank else {}
    return by_dims(bound, number, found)


for _names, _text in _ORDERED.items():
    operation(
        _names,
        bind=_ordered,
        words=_ordered_words(_text),
        whole=_names in _WHOLE,
        scene=Scene("whole", cells=_ordered_cells),
    )


def _triangle(call: Call) -> Bound:
    """The last two dimensions are rows and columns, whose order counts.

    Raises:
        Refused: kind `rank`, there are no two.
    """
    need(bool(call.operands))
    if call.operands[0].rank < 2:
        raise refuse("rank", *all_marks(call, 0), rank=2, ranks=tuple(range(2, ANY_MORE + 1)), at=0)
    dims = kept(call)
    return Bound(call, ((*dims[:-2], moved(dims[-2]), moved(dims[-1])),))


def _triangle_words(what: Said) -> Words:
    return lambda step: Told(told(KEPT, what))


def _triangle_cells(bound: Bound, number: int) -> Cells:
    """Each place its own, where it is kept."""
    rank = bound.call.operands[0].rank
    own = {At(0, axis): Along(dim=axis) for axis in (rank - 2, rank - 1)}
    return loosely(lambda found, _: by_dims(found, number, own))(bound, number)


_TRIANGLE = Scene("each", cells=_triangle_cells)

operation(
    "tril",
    bind=_triangle,
    words=_triangle_words(said("everything above a diagonal set to 0")),
    scene=_TRIANGLE,
)
operation(
    "triu",
    bind=_triangle,
    words=_triangle_words(said("everything below a diagonal set to 0")),
    scene=_TRIANGLE,
)


def _trace(call: Call) -> Bound:
    """Raises:
    Refused: kind `rank`, it is no matrix."""
    need(bool(call.operands))
    if call.operands[0].rank != 2:
        raise refuse("rank", *all_marks(call, 0), rank=2, ranks=(2,), at=0)
    return Bound(call, ((),))


def _trace_words(step: Spoken) -> Told:
    return Told(said("One number left: the values of the diagonal summed"))


operation("trace", bind=_trace, words=_trace_words)

# --- weights that sum to 1 -----------------------------------------------------------------------


def _softmax(call: Call) -> Bound:
    need(bool(call.operands))
    value = call.get("dim")
    if value is not None:
        axis_in(call, value)
    return alone(call)


def _softmax_words(weights: Said) -> Words:
    def words(step: Spoken) -> Told:
        value = step.call.get("dim")
        if value is None:
            return Told(said("Shape kept: rows turned into {weights}", weights=weights))
        axis = axis_in(step.call, value)
        return Told(
            said(
                "Shape kept: every {n} values along dim {axis} turned into {weights}",
                n=step.x[axis] if step.x else 1,
                axis=axis,
                weights=weights,
            )
        )

    return words


_WEIGHTS = said("weights that sum to 1")


def _shared_cells(bound: Bound, number: int) -> Cells:
    """All along the dimension that is shared out."""
    value, rank = bound.call.get("dim"), bound.call.operands[0].rank
    if value is None:
        return everything(bound, number)
    axes = axes_in(bound.call, value) if rank else ()
    return by_dims(bound, number, {At(0, axis): WHOLE for axis in axes})


_SHARE = Scene("share", "exp", _shared_cells)

operation("softmax", bind=_softmax, words=_softmax_words(_WEIGHTS), scene=_SHARE)
operation(
    "softmin",
    bind=_softmax,
    words=_softmax_words(_WEIGHTS),
    scene=Scene("share", cells=_shared_cells),
)
operation(
    "log_softmax",
    bind=_softmax,
    words=_softmax_words(said("logs of weights that sum to 1")),
    scene=Scene("share", cells=_shared_cells),
)
operation(
    "gumbel_softmax",
    bind=_softmax,
    words=lambda step: Told(said("Shape kept: random weights that sum to 1")),
)
layers(softmax="Softmax", softmin="Softmin", log_softmax="LogSoftmax", Softmax2d="Softmax2d")


def _softmax_2d(call: Call) -> Bound:
    """Raises:
    Refused: kind `rank`, it is no image."""
    need(bool(call.operands))
    if call.operands[0].rank not in (3, 4):
        raise refuse("rank", *all_marks(call, 0), rank=4, ranks=(3, 4), at=0)
    return alone(call)


operation(
    "Softmax2d",
    bind=_softmax_2d,
    words=lambda step: Told(
        said("Shape kept: at every place the channels turned into weights that sum to 1")
    ),
)


def _glu(call: Call) -> Bound:
    """Half of a dimension is left, gated by the other half.

    Raises:
        Refused: kind `axis`, or `divide` of a dimension that has no halves.
    """
    need(bool(call.operands))
    axis = axis_in(call, call.get("dim", default=-1))
    dims = list(kept(call))
    size = dims[axis].size if dims else 1
    if known(size) and size % 2:
        marks = [mark(call, At(0, axis))] if dims else []
        raise refuse("divide", *marks, parts=2, size=size, dim=axis)
    half = size // 2
    dims[axis] = Dim(half, PIECE, dims[axis].sources, start=0, stop=half)
    return Bound(call, (tuple(dims),))


def _glu_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.get("dim", default=-1))
    change = size_changed(axis, step.x, step.out)
    return Told(said("{change}, one half gated by the sigmoid of the other", change=change))


def _glu_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "divide":
        return None
    values = {
        "who": refusal.who,
        "dim": refusal.facts["dim"],
        "size": refusal.facts["size"],
        "x": refusal.name(0),
        "shape": refusal.shape(0),
    }
    return Report(
        said("{who} needs an even number in dimension {dim}: {size} % 2 = 1.", **values),
        (
            said(
                "One half of dimension {dim} of {x} {shape} is multiplied by the sigmoid of the "
                "other, and {size} has no halves.",
                **values,
            ),
        ),
    )


def _glu_cells(bound: Bound, number: int) -> Cells:
    """The one of each half."""
    axis = axis_in(bound.call, bound.call.get("dim", default=-1))
    dim = bound.results[number][axis]
    return by_dims(bound, number, {At(0, axis): Along(dim=axis, count=2, spread=dim.size)})


operation(
    "glu",
    bind=_glu,
    words=_glu_words,
    report=_glu_report,
    scene=Scene("join", cells=_glu_cells),
)
layers(glu="GLU")

# --- lengths and distances -----------------------------------------------------------------------


def _normalize(call: Call) -> Bound:
    need(bool(call.operands))
    axes_in(call, call.get("dim", default=1))
    return alone(call)


def _normalize_words(step: Spoken) -> Told:
    axes = sorted(axes_in(step.call, step.call.get("dim", default=1)))
    how = said("every row along {dims} divided by its norm", dims=dims_text(axes))
    return Told(told(effect(step), how))


def _normalized_cells(bound: Bound, number: int) -> Cells:
    call = bound.call
    axes = axes_in(call, call.get("dim", default=1)) if call.operands[0].rank else ()
    return by_dims(bound, number, {At(0, axis): WHOLE for axis in axes})


operation(
    "normalize",
    bind=_normalize,
    words=_normalize_words,
    scene=Scene("share", cells=_normalized_cells),
)


def _pair(call: Call) -> tuple[Dims, tuple[tuple[At, At], ...]]:
    one, two = call.tensor("x1", "input"), call.tensor("x2", "other")
    if one is None or two is None:
        raise Unclear
    return broadcast(call, (one, two))


def _without(dims: Dims, axis: int, keep: bool = False) -> Dims:
    gone = (reduced(*dims[axis].sources),) if keep else ()
    return (*dims[:axis], *gone, *dims[axis + 1 :])


def _similarity(call: Call) -> Bound:
    """Raises:
    Refused: kind `broadcast`, or `axis`."""
    dims, ties = _pair(call)
    value = call.get("dim", default=1)
    wide = max(range(len(call.operands)), key=lambda index: call.operands[index].rank)
    axis = axis_in(call, value, wide)
    return Bound(call, (_without(dims, axis) if dims else (),), ties)


def _along_words(what: Said, default: int) -> Words:
    def words(step: Spoken) -> Told:
        ins = step.ins[:2]
        wide = max(ins, key=len)
        value = step.call.get("dim", default=default)
        axis = value % len(wide) if wide else 0
        size = max(shape[axis - len(wide)] for shape in ins if len(shape) >= len(wide) - axis)
        return Told(
            said(
                "{first} and {second} → {after}: {what} of every two rows of {size} along dim "
                "{axis}",
                first=ShapeOf(ins[0]),
                second=ShapeOf(ins[1]),
                after=ShapeOf(step.out),
                what=what,
                size=size,
                axis=axis,
            ),
            stretched_lines(ins, wide) if len(set(ins)) > 1 else [],
        )

    return words


operation(
    "cosine_similarity",
    bind=_similarity,
    words=_along_words(said("the cosine of the angle"), 1),
    scene=Scene("product"),
)


def _distance(call: Call) -> Bound:
    """Raises:
    Refused: kind `broadcast`."""
    dims, ties = _pair(call)
    need(bool(dims))
    return Bound(call, (_without(dims, len(dims) - 1, call.flag("keepdim")),), ties)


operation(
    "pairwise_distance",
    bind=_distance,
    words=_along_words(said("the distance"), -1),
    scene=Scene("product"),
)
layers(cosine_similarity="CosineSimilarity", pairwise_distance="PairwiseDistance")


def _dist(call: Call) -> Bound:
    return Bound(call, ((),), _pair(call)[1])


operation(
    "dist",
    bind=_dist,
    words=lambda step: Told(said("One number left: the norm of the difference of the two")),
    scene=Scene("product"),
)

# --- between neighbours --------------------------------------------------------------------------


def _differences(call: Call) -> Bound:
    """`n` places fewer along `dim`, after what is put in front and behind.

    Raises:
        Refused: kind `axis`, or `rank` of a single number.
    """
    need(bool(call.operands))
    if not call.operands[0].rank:
        raise refuse("rank", rank=1, ranks=tuple(range(1, ANY_MORE + 1)), at=0)
    axis = axis_in(call, call.get("dim", default=-1))
    need(len(call.operands) == 1)
    n = call.whole("n", default=1)
    dims = list(kept(call))
    size = dims[axis].size
    dims[axis] = resized(call, At(0, axis), max(size - n, 0) if known(size) else size - n)
    return Bound(call, (tuple(dims),))


def _differences_words(step: Spoken) -> Told:
    axis = axis_in(step.call, step.call.get("dim", default=-1))
    change = size_changed(axis, step.x, step.out)
    return Told(said("{change}, each value minus the one before it", change=change))


def _difference_cells(bound: Bound, number: int) -> Cells:
    """`n` more than one, side by side."""
    call = bound.call
    axis = axis_in(call, call.get("dim", default=-1))
    count = (call.whole("n", default=1) or 0) + 1
    return by_dims(bound, number, {At(0, axis): Along(dim=axis, count=count)})


operation(
    "diff",
    bind=_differences,
    words=_differences_words,
    scene=Scene("window", cells=_difference_cells),
)


# --- the different ones --------------------------------------------------------------------------


def _unique(call: Call) -> Bound:
    """How many differ a run alone can say: the sizes are those recorded."""
    need(bool(call.results) and bool(call.operands))
    return Bound(call, tuple(tuple(map(new, result.shape)) for result in call.results))


def _unique_words(step: Spoken) -> Told:
    return Told(said("{arrow}: each value that occurs, once", arrow=step.arrow))


operation("unique unique_consecutive", bind=_unique, words=_unique_words)
