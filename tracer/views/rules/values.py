"""Rules for operations on single values and along dimensions: arithmetic, activations,
reductions, order, normalisation, new tensors, dtypes."""

from __future__ import annotations

from tracer.views.rules.case import (
    Case,
    Told,
    need,
    tells_words,
)

_LOSSES: dict[str, str] = {
    "cross_entropy nll_loss": "how badly the scores fit the classes",
    "mse_loss": "how large the squared differences are",
    "l1_loss smooth_l1_loss huber_loss": "how large the differences are",
    "binary_cross_entropy binary_cross_entropy_with_logits": "how badly the scores fit yes or no",
    "kl_div": "how far one distribution is from the other",
}


@tells_words(_LOSSES)
def _loss(case: Case) -> Told:
    need(len(case.outs) == 1 and case.out == ())
    return Told(f"One number left: {case.words[0]}", (), [()])
