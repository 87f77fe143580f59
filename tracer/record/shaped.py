"""What an operation that only reads gives on the device `meta`, worked out once: there nothing but
the forms of its operands decides, and torch works many of them out in Python."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tracer.record.isolation import storage
from tracer.record.tensors import ONE_TENSOR

Form = tuple[torch.Size, tuple[int, ...], torch.dtype]
"""Shape, strides and type of a tensor."""

_NUMBERS = frozenset([int])  # a size may be a symbol
_META = torch.device("meta")


def forms_of(operands: list[Tensor]) -> tuple[Any, ...] | None:
    """What decides on the result of a call besides its other arguments; None where that is more
    than the forms of its operands: values, a graph of gradients, a transform or mode of torch's."""
    if (
        not operands
        or torch._C._len_torch_dispatch_stack()
        or torch._C._functorch.peek_interpreter_stack() is not None
    ):
        return None
    gradients = torch.is_grad_enabled()
    forms: list[Any] = [torch.get_default_dtype()]
    for each in operands:
        if (
            type(each) not in ONE_TENSOR
            or not each.is_meta
            or each.layout is not torch.strided
            or each.is_nested
            or (gradients and each.requires_grad)
        ):
            return None
        forms.append((each.shape, each.stride(), each.dtype))
        if not _NUMBERS.issuperset(map(type, (*each.shape, *each.stride()))):
            return None
    return tuple(forms)


def form_of(result: Any, operands: list[Tensor]) -> Form | None:
    """How to make the result again; None of anything but one tensor with a memory of its own."""
    if (
        type(result) is not Tensor
        or not result.is_meta
        or result.layout is not torch.strided
        or result.requires_grad
        or result.dtype.is_complex
        or result.storage_offset()
        or storage(result) in map(storage, operands)
    ):
        return None
    return result.shape, result.stride(), result.dtype


def made(form: Form) -> Tensor:
    return torch.empty_strided(form[0], form[1], dtype=form[2], device=_META)
