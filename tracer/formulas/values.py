"""Runs with values, beside those of shapes: what they are answered, and what they give at other
sizes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tracer.formulas.answers import Answers
from tracer.formulas.run import Measured, Sizes, Watch, flops_of
from tracer.record.isolation import replaced
from tracer.record.run import record
from tracer.record.tensors import tensors_in

Made = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]
"""A module with its arguments."""


@dataclasses.dataclass
class Values:
    """`make` gives a module and its arguments with values, at these sizes; `sizes` are those of the
    run that formulas are for.  `answers` are what that is answered, once it was listened to."""

    make: Callable[[Mapping[str, Any]], Made]
    sizes: Sizes
    answers: Answers | None = None

    def heard(self) -> Answers:
        """What the run is answered; it is made when first asked for."""
        if self.answers is None:
            answers = Answers()
            with answers.listening():
                model, args, kwargs = self.make(self.sizes)
                tensors = itertools.chain(tensors_in((args, kwargs)), model.parameters())
                answers.device = next((each.device for each in tensors), None)
                record(model, args, kwargs)
            self.answers = answers
        return self.answers

    def measured(self, sizes: Sizes, watch: Watch | None) -> Measured:
        """A run at these sizes, those that are not named being as they are.

        Raises:
            Exception: whatever `make` raises; what the forward raises is in `error`.
        """
        with torch.no_grad():
            model, args, kwargs = self.make({**self.sizes, **sizes})
            found = record(model, args, kwargs, values=False, watch=watch)
        error = found.error
        if error is not None and not isinstance(error, Exception):
            raise error
        return Measured(found.trace, flops_of(found.trace), error)


def repeated(value: Any, sized: Callable[[Tensor], tuple[int, ...]]) -> Any:
    """Arguments whose tensors have the sizes that `sized` says: what is larger has its own values
    again, so that whole numbers stay in their range and a mask is one."""

    def again(tensor: Tensor) -> Tensor:
        for dim, size in enumerate(sized(tensor)):
            if size != tensor.shape[dim]:
                index = torch.arange(size, device=tensor.device) % max(tensor.shape[dim], 1)
                tensor = tensor.index_select(dim, index)
        return tensor

    return replaced(value, again)
