"""`ctc_loss`: sequences of symbols against scores over time, at the best of all paces."""

from __future__ import annotations

from typing import Any, NamedTuple

from tracer.ops.algebra import below, differ, product
from tracer.ops.bound import SAME, Bound, Dim, all_marks, mark, refuse
from tracer.ops.call import At, Call, Size, Unclear
from tracer.ops.refusal import Count, Refusal, Report, said
from tracer.ops.say import (
    Spoken,
    Told,
    loss_told,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layers


class _Lengths(NamedTuple):
    """How many lengths there are, the largest and their sum, None where these are not known."""

    count: Size
    longest: int | None
    total: int | None


def _lengths(call: Call, name: str) -> _Lengths:
    index = call.tensor(name)
    if index is None:
        given = call.sizes(name)
        if given is None:
            raise Unclear
        return _Lengths(len(given), max(given, default=0), sum(given))
    operand = call.operands[index]
    if operand.values is None:
        return _Lengths(product(operand.shape), None, None)
    span = operand.values.span()
    return _Lengths(product(operand.shape), span[1] if span else 0, operand.values.total())


def _bind(call: Call) -> Bound:
    x, targets = call.tensor("log_probs"), call.tensor("targets")
    if x is None or targets is None:
        raise Unclear
    scores, symbols = call.operands[x], call.operands[targets]
    if scores.rank not in (2, 3):
        raise refuse("rank", *all_marks(call, x), rank=3, ranks=(2, 3), at=x)
    frames, wanted = _lengths(call, "input_lengths"), _lengths(call, "target_lengths")
    batch = scores.shape[1] if scores.rank == 3 else 1
    if differ(batch, frames.count) or differ(batch, wanted.count):
        first = mark(call, At(x, 1), frames.count) if scores.rank == 3 else mark(call, At(x, 0))
        raise refuse(
            "target",
            first,
            wanted=(batch,),
            found=(frames.count,),
            counts=(frames.count, wanted.count),
            layout="batch_first" if frames.count == wanted.count == scores.shape[0] else "",
        )
    if frames.longest is not None and below(scores.shape[0], frames.longest):
        raise refuse("range", mark(call, At(x, 0), frames.longest), longest=frames.longest)
    have = symbols.shape[-1] if symbols.rank == 2 else product(symbols.shape)
    need = wanted.longest if symbols.rank == 2 else wanted.total
    padded = symbols.rank == 2  # else they follow each other, and all are used
    if need is not None and (below(have, need) or (not padded and differ(have, need))):
        marks = (mark(call, At(targets, symbols.rank - 1), need),) if symbols.rank else ()
        raise refuse("range", *marks, need=need, have=have)
    blank: Size = call.whole("blank", default=0)
    if below(blank, 0) or not below(blank, scores.shape[-1]):
        raise refuse(
            "range",
            mark(call, At(x, scores.rank - 1), blank + 1),
            blank=blank,
            wanted=blank + 1,
            found=scores.shape[-1],
        )
    each = (Dim(batch, SAME, (At(x, 1),)),) if scores.rank == 3 else ()
    apart = call.get("reduction", default="mean") in ("none", 0)
    return Bound(call, (each if apart else (),))


def _words(step: Spoken) -> Told:
    return loss_told(step, said("how badly the symbols fit, at the best of all paces"))


# long: one text for each way in which the call is wrong
def _report(refusal: Refusal) -> Report | None:
    call, facts = refusal.call, refusal.facts
    x, targets = call.tensor("log_probs") or 0, call.tensor("targets") or 0
    scores = call.operands[x]
    values: dict[str, Any] = {
        "x": refusal.name(x, "log_probs"),
        "y": refusal.name(targets, said("the targets")),
        "shape": refusal.shape(x),
        "shape_y": refusal.shape(targets),
        **{name: value for name, value in facts.items() if name not in ("wanted", "found")},
    }
    if refusal.violation.kind == "rank":
        return Report(
            said(
                "ctc_loss needs log-probabilities (T, N, C): {x} {shape} has {has}.",
                **values,
                has=Count(scores.rank, "dimension"),
            ),
            (said("T is time, N the batch, C the classes with the blank among them."),),
        )
    if refusal.violation.kind == "target":
        return _count_report(refusal, values)
    values["time"], values["classes"] = scores.shape[0], scores.shape[-1]
    if "longest" in facts:
        return Report(
            said(
                "ctc_loss needs input lengths of at most {time}, the steps there are: one is "
                "{longest}.",
                **values,
            ),
            (
                said(
                    "{x} {shape} is (T, N, C) with {time} steps. Layers with a stride or pooling "
                    "make fewer steps of the input's: its lengths shrink with it.",
                    **values,
                ),
            ),
            said("Divide the lengths as the layers before divided the time."),
        )
    if "need" in facts:
        padded = call.operands[targets].rank == 2
        few = not below(facts["need"], facts["have"])
        return Report(
            said(
                "ctc_loss needs targets for the lengths that are given: {need} > {have}."
                if few
                else "ctc_loss needs as many targets as the lengths add up to: {have} ≠ {need}.",
                **values,
            ),
            (
                said(
                    "{y} {shape_y} holds {have} numbers for each sample."
                    if padded
                    else "{y} {shape_y} holds {have} numbers in all.",
                    **values,
                ),
            ),
        )
    return Report(
        said(
            "ctc_loss needs a blank from 0 to {last}: it is {blank}.",
            **values,
            last=scores.shape[-1] - 1,
        ),
        (said("{x} {shape} has scores for {classes} classes, the blank among them.", **values),),
    )


def _count_report(refusal: Refusal, values: dict[str, Any]) -> Report:
    first, second = refusal.facts["counts"]
    (batch,) = refusal.facts["wanted"]
    values |= {
        "time": values["shape"].shape[0],
        "batch": batch,
        "first": first,
        "second": second,
        "odd": first if batch != first else second,
    }
    reason = [
        said(
            "{x} {shape} is read as (T, N, C): {time} steps of {batch} samples, and {first} and "
            "{second} lengths are given.",
            **values,
        )
    ]
    if refusal.facts["layout"]:
        reason.append(
            said(
                "The batch of {time} stands first in {x}: `{x}.transpose(0, 1)`.",
                **values,
            )
        )
    return Report(
        said(
            "ctc_loss needs one input length and one target length for each sample of (T, N, C): "
            "{batch} ≠ {odd}.",
            **values,
        ),
        tuple(reason),
        said("See which dimension counts the samples."),
    )


operation("ctc_loss", bind=_bind, words=_words, report=_report)
layers(ctc_loss="CTCLoss")
