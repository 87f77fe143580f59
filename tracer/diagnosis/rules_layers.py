"""Layers: normalisation, pooling, recurrent networks, attention, embedding, losses."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rules import (
    Case,
    dims,
    rule,
)
from tracer.ops.names import shape_text


def _whole(tensor: Tensor) -> bool:
    if tensor.is_meta or not tensor.is_floating_point():
        return True
    return bool((tensor == tensor.round()).all())


# --- losses --------------------------------------------------------------------------------------


@rule("ctc_loss")
def ctc(
    case: Case,
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    *_: Any,
    **__: Any,
) -> Finding | None:
    x, y = case.name(log_probs, "log_probs"), case.name(targets, "the targets")
    if log_probs.dim() not in (2, 3):
        return case.found(
            "rank",
            f"ctc_loss needs log-probabilities (T, N, C): {x} {shape_text(log_probs)} has "
            f"{dims(log_probs.dim())}.",
            "T is time, N the batch, C the classes with the blank among them.",
            *((log_probs, dim, None) for dim in range(log_probs.dim())),
            rank=3,
        )
    lengths = [
        [int(size) for size in (given.flatten() if isinstance(given, Tensor) else given)]
        for given in (input_lengths, target_lengths)
    ]
    time, classes = int(log_probs.shape[0]), int(log_probs.shape[-1])
    batch = int(log_probs.shape[1]) if log_probs.dim() == 3 else 1
    first, second = len(lengths[0]), len(lengths[1])
    if batch != first or batch != second:
        turned = first == second == time
        reason = f"{x} {shape_text(log_probs)} is read as (T, N, C): {time} steps of {batch} "
        reason += f"samples, and {first} and {second} lengths are given."
        if turned:
            reason += f" The batch of {time} stands first in {x}: `{x}.transpose(0, 1)`."
        return case.found(
            "target",
            "ctc_loss needs one input length and one target length for each sample of "
            f"(T, N, C): {batch} ≠ {first if batch != first else second}.",
            reason,
            (log_probs, 1, first) if log_probs.dim() == 3 else (log_probs, 0, None),
            check="See which dimension counts the samples.",
            wanted=(batch,),
            found=(first,),
            layout="batch_first" if turned else "",
        )
    if max(lengths[0], default=0) > time:
        return case.found(
            "range",
            f"ctc_loss needs input lengths of at most {time}, the steps there are: one is "
            f"{max(lengths[0])}.",
            f"{x} {shape_text(log_probs)} is (T, N, C) with {time} steps. Layers with a stride or "
            "pooling make fewer steps of the input's: its lengths shrink with it.",
            (log_probs, 0, max(lengths[0])),
            check="Divide the lengths as the layers before divided the time.",
        )
    longest = int(targets.shape[-1]) if targets.dim() == 2 else int(targets.numel())
    need = max(lengths[1], default=0) if targets.dim() == 2 else sum(lengths[1])
    if need > longest:
        return case.found(
            "range",
            f"ctc_loss needs targets for the lengths that are given: {need} > {longest}.",
            f"{y} {shape_text(targets)} holds {longest} numbers "
            + ("for each sample." if targets.dim() == 2 else "in all."),
            (targets, targets.dim() - 1, need),
        )
    if not 0 <= blank < classes:
        return case.found(
            "range",
            f"ctc_loss needs a blank from 0 to {classes - 1}: it is {blank}.",
            f"{x} {shape_text(log_probs)} has scores for {classes} classes, the blank among them.",
            (log_probs, log_probs.dim() - 1, blank + 1),
            wanted=blank + 1,
            found=classes,
        )
    return None
