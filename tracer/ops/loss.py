"""Losses: what is compared with what, and the number that is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tracer.document import TensorAt
from tracer.ops.algebra import differ, known, product
from tracer.ops.bound import SAME, Bound, Dim, Dims, all_marks, broadcast, kept, mark, refuse
from tracer.ops.call import At, Call, Shape, Unclear, need
from tracer.ops.embedding import is_whole
from tracer.ops.refusal import Refusal, Report, Said, ShapeOf, SizeAt, said
from tracer.ops.say import (
    Spoken,
    Told,
    loss_told,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layers

_FLOATS = ("float32", "float64", "float16", "bfloat16")


def left(call: Call, dims: Dims) -> tuple[Dims]:
    """One number, or one for each of `dims` where they are not to be put together."""
    apart = call.get("reduction", default="mean") in ("none", 0)
    return (dims if apart or call.get("reduce") is False else (),)


def scores_and_target(call: Call) -> tuple[int, int]:
    x, target = call.tensor("input"), call.tensor("target")
    if x is None or target is None:
        raise Unclear
    return x, target


_WORDS = (
    (said("how far from right the order of the pairs is"), "margin_ranking_loss"),
    (said("how much nearer the wrong one is than the right one"), "triplet_margin_loss"),
    (said("how badly the scores fit the classes"), "cross_entropy nll_loss"),
    (said("how large the squared differences are"), "mse_loss"),
    (said("how large the differences are"), "l1_loss smooth_l1_loss huber_loss"),
    (
        said("how badly the scores fit yes or no"),
        "binary_cross_entropy binary_cross_entropy_with_logits soft_margin_loss",
    ),
    (said("how far one distribution is from the other"), "kl_div"),
    (said("how badly the rates fit the counts"), "poisson_nll_loss"),
    (said("how far the distances are from near and far"), "hinge_embedding_loss"),
)


def _words(step: Spoken) -> Told:
    return loss_told(step, next(what for what, names in _WORDS if step.name in names.split()))


# --- differences, entry by entry -----------------------------------------------------------------


def _compared(call: Call) -> Bound:
    x, target = scores_and_target(call)
    need(call.tensor("weight") is None)
    dims, ties = broadcast(call, (x, target))
    grown = tuple(dim.size for dim in dims)
    if call.op == "soft_margin_loss" and grown != call.operands[x].shape:
        # It writes into a tensor of the input's shape.
        raise refuse("broadcast", in_place=True, target=x, other=target, grown=grown)
    return Bound(call, left(call, dims), ties)


operation(
    "mse_loss l1_loss smooth_l1_loss huber_loss kl_div soft_margin_loss poisson_nll_loss "
    "hinge_embedding_loss",
    bind=_compared,
    words=_words,
)

# --- pairs and triples ---------------------------------------------------------------------------


def _ranked(call: Call) -> Bound:
    """`margin_ranking_loss`: three tensors of one number of dimensions."""
    three = _three(call, "input1", "input2", "target")
    ranks = {call.operands[each].rank for each in three}
    if len(ranks) > 1:
        odd = next(n for n in three[1:] if call.operands[n].rank != call.operands[three[0]].rank)
        rank = call.operands[three[0]].rank
        raise refuse("rank", *all_marks(call, odd), rank=rank, ranks=(rank,), at=odd)
    dims, ties = broadcast(call, three)
    return Bound(call, left(call, dims), ties)


def _triple(call: Call) -> Bound:
    """`triplet_margin_loss`: the distances go along the last dimension."""
    three = _three(call, "anchor", "positive", "negative")
    rank = call.operands[three[0]].rank
    for each in three[1:]:
        if call.operands[each].rank != rank:
            raise refuse("rank", *all_marks(call, each), rank=rank, ranks=(rank,), at=each)
    for each in three[1:]:
        broadcast(call, (three[0], each))
    cut = tuple(replace(operand, shape=operand.shape[:-1]) for operand in call.operands)
    dims, ties = broadcast(replace(call, operands=cut), three)
    along = At(three[0], rank - 1)
    ties += tuple((along, At(each, rank - 1)) for each in three[1:] if rank)
    return Bound(call, left(call, dims), ties)


def _three(call: Call, *names: str) -> tuple[int, int, int]:
    first, second, third = (call.tensor(name) for name in names)
    if first is None or second is None or third is None:
        raise Unclear
    return first, second, third


operation("margin_ranking_loss", bind=_ranked, words=_words)
operation("triplet_margin_loss", bind=_triple, words=_words)
layers(margin_ranking_loss="MarginRankingLoss", triplet_margin_loss="TripletMarginLoss")

# --- yes or no -----------------------------------------------------------------------------------


def _yes_or_no(call: Call) -> Bound:
    x, target = scores_and_target(call)
    first, second = call.operands[x], call.operands[target]
    alike = first.rank == second.rank
    odd = [d for d in range(first.rank) if alike and differ(first.shape[d], second.shape[d])]
    if not alike or odd:
        marks = [mark(call, At(target, d), first.shape[d]) for d in odd]
        marks += [mark(call, At(x, d), second.shape[d]) for d in odd]
        raise refuse(
            "target",
            *(marks if alike else all_marks(call, target)),
            wanted=first.shape,
            found=second.shape,
            layout=_layout(first.shape, second.shape),
        )
    if second.dtype not in _FLOATS:
        raise refuse(
            "dtype",
            wanted_dtype=first.dtype,
            found_dtype=second.dtype,
            target=True,
            operand=TensorAt(target),
        )
    span = first.values.span() if first.values is not None else None
    if call.op == "binary_cross_entropy" and span is not None and (span[0] < 0 or span[1] > 1):
        raise refuse("range", low=span[0], high=span[1])
    for name in ("weight", "pos_weight"):
        more = call.tensor(name)
        if more is not None:
            broadcast(call, (target, more))
    ties = tuple((At(x, dim), At(target, dim)) for dim in range(first.rank))
    return Bound(call, left(call, kept(call, x)), ties)


def _layout(x: Shape, target: Shape) -> str:
    """How the two shapes miss each other: by a dimension of 1, or one of them was flattened."""
    if _extra(x, target) is not None:
        return "extra"
    alike = x[:1] == target[:1] and not differ(product(x), product(target))
    return "same_numbers" if alike else ""


def _extra(x: Shape, target: Shape) -> int | None:
    """The dimension of 1 that one of the two has and the other lacks."""
    few, many = (target, x) if len(target) < len(x) else (x, target)
    if len(few) + 1 != len(many):
        return None
    places = (d for d in reversed(range(len(many))) if many[d] == 1)
    return next((d for d in places if (*many[:d], *many[d + 1 :]) == few), None)


def _yes_or_no_report(refusal: Refusal) -> Report | None:
    kind, facts = refusal.violation.kind, refusal.facts
    x, target = scores_and_target(refusal.call)
    values: dict[str, Any] = {
        "op": refusal.call.op,
        "x": refusal.name(x, said("the input")),
        "y": refusal.name(target, said("the target")),
        "shape": refusal.shape(x),
        "have": refusal.shape(target),
    }
    if kind == "dtype":
        values["dtype"] = facts["found_dtype"]
        return Report(
            said("{op} needs a target of floats: {y} is {dtype}.", **values),
            (
                said(
                    "Targets here are probabilities between 0 and 1; `{y}.float()` makes them so.",
                    **values,
                ),
            ),
        )
    if kind == "range":
        values |= {"low": f"{facts['low']:.3g}", "high": f"{facts['high']:.3g}"}
        return Report(
            said("{op} needs inputs between 0 and 1: {x} goes from {low} to {high}.", **values),
            (
                said(
                    "It wants probabilities. If {x} holds raw scores, a sigmoid is missing, or "
                    "binary_cross_entropy_with_logits is meant.",
                    **values,
                ),
            ),
        )
    if kind != "target":
        return None
    reason = [
        said(
            "Each number of {x} {shape} is compared with one of {y} {have}, without broadcasting.",
            **values,
        ),
        *_missed(refusal, x, target),
    ]
    return Report(
        said("{op} needs a target of the input's shape: {have} ≠ {shape}.", **values),
        tuple(reason),
    )


def _missed(refusal: Refusal, x: int, target: int) -> tuple[Said, ...]:
    first, second = (refusal.call.operands[at].shape for at in (x, target))
    at = _extra(first, second)
    if at is not None:
        few, many = (target, x) if len(second) < len(first) else (x, target)
        return (
            said(
                "{few} lacks the dimension of 1 that {many} has: `.unsqueeze({at})` adds it to "
                "one, `.squeeze({at})` takes it from the other.",
                few=refusal.name(few),
                many=refusal.name(many),
                at=at,
            ),
        )
    if refusal.facts["layout"] != "same_numbers":
        return ()
    each = product(first) // max(first[0] if first else 1, 1)
    return (
        said(
            "Both hold {each} numbers for each sample: one of them was flattened, and the other "
            "was not.",
            each=each,
        ),
    )


operation(
    "binary_cross_entropy binary_cross_entropy_with_logits",
    bind=_yes_or_no,
    words=_words,
    report=_yes_or_no_report,
)

# --- classes -------------------------------------------------------------------------------------


def _classes(call: Call) -> Bound:
    x, target = scores_and_target(call)
    scores, classes_of = call.operands[x], call.operands[target]
    if scores.dtype not in _FLOATS:
        raise refuse("dtype", found_dtype=scores.dtype, wanted_dtype="float32", operand=TensorAt(x))
    if scores.rank == 0:
        raise refuse("rank", rank=2, ranks=(1, 2), at=x)
    at = 1 if scores.rank > 1 else 0
    likely = classes_of.dtype in _FLOATS and "nll" not in call.op
    if classes_of.dtype in _FLOATS and not (likely and classes_of.shape == scores.shape):
        raise refuse(
            "dtype" if is_whole(classes_of) else "target",
            wanted_dtype="int64",
            found_dtype=classes_of.dtype,
            whole=is_whole(classes_of),
            target=True,
            operand=TensorAt(target),
        )
    others = [dim for dim in range(scores.rank) if dim != at]
    if not likely:
        _check_target(call, x, target, others)
        _check_names(call, x, target, at)
    _check_weight(call, At(x, at), any_shape=scores.rank > 2 and not likely)
    dims = tuple(
        Dim(scores.shape[d], SAME, (At(x, d), At(target, d if likely else n)))
        for n, d in enumerate(others)
    )
    ties = tuple((dim.sources[0], dim.sources[1]) for dim in dims)
    if likely:
        ties += ((At(x, at), At(target, at)),)
    return Bound(call, left(call, dims), ties)


def _check_target(call: Call, x: int, target: int, others: list[int]) -> None:
    """Whether there is one class for each vector of scores."""
    scores, have = call.operands[x].shape, call.operands[target].shape
    wanted = tuple(scores[dim] for dim in others)
    same = len(have) == len(wanted)
    odd = [n for n in range(len(have)) if not same or differ(have[n], wanted[n])]
    # One sample may have its class in a list, unless that has the shape of probabilities.
    alone = len(scores) == 1 and have == (1,) and ("nll" in call.op or have != scores)
    if alone or (same and not odd):
        return
    marks = [mark(call, At(target, n), wanted[n] if same else None) for n in odd]
    marks += [mark(call, At(x, others[n]), have[n]) for n in odd if same]
    layout = ""
    if len(scores) > 2 and have == scores[:-1]:
        layout = "classes_last"
    elif len(have) == len(wanted) + 1 and 1 in have:
        layout = "extra"
    elif have == scores:
        layout = "one_hot"
    raise refuse("target", *marks, wanted=wanted, found=have, layout=layout)


def _check_names(call: Call, x: int, target: int, at: int) -> None:
    """Whether the target names classes that there are."""
    named, classes = call.operands[target], call.operands[x].shape[at]
    if named.dtype not in ("int64", "uint8"):
        raise refuse(
            "dtype",
            wanted_dtype="int64",
            found_dtype=named.dtype,
            whole=is_whole(named),
            target=True,
            operand=TensorAt(target),
        )
    ignored = call.whole("ignore_index", default=-100)
    span = named.values.span(but=ignored) if named.values is not None else None
    if span is not None and known(classes) and (span[0] < 0 or span[1] >= classes):
        low, high = span
        raise refuse(
            "range",
            mark(call, At(x, at), high + 1 if high >= classes else None),
            wanted=high + 1,
            found=classes,
            index=high if high >= classes else low,
            low=low,
            high=high,
        )


def _check_weight(call: Call, classes: At, any_shape: bool) -> None:
    """Whether there is one weight for each class; for pictures of classes torch counts them alone.

    Raises:
        Refused: kind `features`.
    """
    weight = call.tensor("weight")
    if weight is None:
        return
    shape, count = call.operands[weight].shape, call.operands[classes.operand].shape[classes.dim]
    if any_shape and not differ(product(shape), count):
        return
    if len(shape) != 1 or differ(shape[0], count):
        marks = (mark(call, At(weight, 0), count),) if len(shape) == 1 else ()
        found = shape[0] if len(shape) == 1 else None
        raise refuse("features", *marks, mark(call, classes, found), weight=weight)


def _classes_report(refusal: Refusal) -> Report | None:
    facts, call = refusal.facts, refusal.call
    x, target = scores_and_target(call)
    at = 1 if call.operands[x].rank > 1 else 0
    values: dict[str, Any] = {
        "op": "nll_loss" if "nll" in call.op else "cross_entropy",
        "x": refusal.name(x, said("the input")),
        "y": refusal.name(target, said("the target")),
        "shape": refusal.shape(x),
        "have": refusal.shape(target),
        "at": at,
        "dtype": facts.get("found_dtype"),
    }
    if call.operands[x].rank:
        values["classes"] = refusal.size(At(x, at))
    kind = refusal.violation.kind
    if kind in ("dtype", "target") and facts.get("target"):
        return _target_dtype_report(refusal, values)
    if kind == "target":
        return _target_report(refusal, values)
    writers = {
        "dtype": _scores_report,
        "rank": _no_scores_report,
        "range": _range_report,
        "features": _weight_report,
    }
    return writers[kind](refusal, values) if kind in writers else None


def _scores_report(refusal: Refusal, values: dict[str, Any]) -> Report:
    return Report(
        said("{op} needs scores, one float for each class: {x} is {dtype}.", **values),
        (
            said(
                "{x} {shape} holds whole numbers. If it comes from argmax, the scores are gone: "
                "the loss takes what argmax was given.",
                **values,
            ),
        ),
        said("Give the loss the scores, before argmax."),
    )


def _no_scores_report(refusal: Refusal, values: dict[str, Any]) -> Report:
    return Report(
        said("{op} needs an input (N, C): {x} has no dimensions.", **values),
        (said("{x} is a single number, not one score for each class.", **values),),
    )


def _target_dtype_report(refusal: Refusal, values: dict[str, Any]) -> Report:
    if refusal.call.operands[scores_and_target(refusal.call)[1]].dtype not in _FLOATS:
        return Report(
            said("{op} needs class numbers of int64: {y} is {dtype}.", **values),
            (said("{y} names the right class of each sample, counted from 0.", **values),),
        )
    return Report(
        said(
            "{op} needs a target of class numbers (int64), or of probabilities with the input's "
            "shape {shape}: {y} is {dtype} {have}.",
            **values,
        ),
        (
            said(
                "{y} is {dtype}, so it is read as probabilities. If it holds class numbers, "
                "`.long()` says so.",
                **values,
            ),
        ),
    )


def _target_report(refusal: Refusal, values: dict[str, Any]) -> Report:
    facts = refusal.facts
    wanted, have = facts["wanted"], facts["found"]
    scores = refusal.call.operands[scores_and_target(refusal.call)[0]].shape
    values |= {"wanted": ShapeOf(wanted), "last": scores[-1]}
    reason = [
        said(
            "For scores (N, C, ...) the target has one class number for each score vector: {x} "
            "{shape} has its classes in dimension {at}, so {y} must be {wanted}, and it is {have}.",
            **values,
        )
    ]
    more = {
        "classes_last": said(
            "Without the last dimension of {x}, {last}, it fits: the classes are last, as in "
            "(N, T, C), and torch wants them second.",
            **values,
        ),
        "extra": said("A dimension of 1 is too many."),
        "one_hot": said("It has the shape of the scores, as one-hot vectors have."),
    }.get(facts["layout"])
    if more is not None:
        reason.append(more)
    elif have[:1] != wanted[:1] and have and wanted:
        reason.append(
            said("They do not count the same samples: {one} and {two}.", one=wanted[0], two=have[0])
        )
    return Report(
        said("{op} needs a target of {wanted} for scores {shape}: {y} is {have}.", **values),
        tuple(reason),
    )


def _range_report(refusal: Refusal, values: dict[str, Any]) -> Report:
    facts = refusal.facts
    values |= {
        "last": facts["found"] - 1,
        "bad": facts["index"],
        "low": facts["low"],
        "high": facts["high"],
    }
    reason = [
        said(
            "{x} {shape} has scores for {classes} classes, and {y} holds numbers from {low} to "
            "{high}.",
            **values,
        )
    ]
    if facts["high"] == facts["found"]:
        reason.append(said("Classes are counted from 0."))
    return Report(said("{op} has classes 0 to {last}: {y} holds {bad}.", **values), tuple(reason))


def _weight_report(refusal: Refusal, values: dict[str, Any]) -> Report:
    weight = refusal.call.operands[refusal.facts["weight"]]
    values["weight"] = refusal.shape(refusal.facts["weight"])
    if weight.rank == 1:
        values["weight"] = SizeAt(refusal.facts["weight"], 0, weight.shape[0])
    return Report(
        said("{op} needs one weight for each class: {weight} ≠ {classes}.", **values),
        (said("{x} {shape} has scores for {classes} classes in dimension {at}.", **values),),
    )


operation(
    "cross_entropy cross_entropy_loss nll_loss nll_loss_nd nll_loss2d",
    bind=_classes,
    words=_words,
    report=_classes_report,
)

layers(
    cross_entropy="CrossEntropyLoss",
    nll_loss="NLLLoss",
    mse_loss="MSELoss",
    l1_loss="L1Loss",
    smooth_l1_loss="SmoothL1Loss",
    huber_loss="HuberLoss",
    binary_cross_entropy="BCELoss",
    binary_cross_entropy_with_logits="BCEWithLogitsLoss",
    kl_div="KLDivLoss",
    soft_margin_loss="SoftMarginLoss",
    poisson_nll_loss="PoissonNLLLoss",
    hinge_embedding_loss="HingeEmbeddingLoss",
)
