"""Tensors of the wrong kind: dtypes, devices, leaves of autograd, and many numbers for one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tracer.diagnosis import no_tensor  # noqa: F401 - its rules are asked first
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rules import (
    Case,
    any_rule,
    kind_of,
)
from tracer.record.tensors import tensors_in
from tracer.sentences import said


@any_rule
def devices(case: Case) -> Finding | None:
    tensors = tensors_in([*case.crash.call_args, case.crash.call_kwargs]) or list(
        case.crash.operands
    )
    placed: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.dim() or tensor.device.type != "cpu":  # single numbers of the CPU may be anywhere
            placed.setdefault(str(tensor.device), tensor)
    if len(placed) < 2:
        return None
    (first, a), (second, b) = list(placed.items())[:2]
    x, y = case.name(a, said("one tensor")), case.name(b, said("the other"))
    return case.found(
        "device",
        said(
            "{who} needs all tensors on one device: {x} is on {first}, {y} on {second}.",
            who=case.who() or said("the operation"),
            x=x,
            first=first,
            y=y,
            second=second,
        ),
        said(
            "Tensors made in a forward (`torch.zeros(...)`), kept in a plain attribute or in a "
            "list do not move with `model.to(device)`. Make them with `device=x.device`, or "
            "register them as a buffer."
        ),
        devices=tuple(placed),
    )


# They want one dtype of all their tensors and convert none.
_STRICT_TEXT = """
    linear matmul mm bmm mv dot addmm baddbmm bilinear conv1d conv2d conv3d
    conv_transpose1d conv_transpose2d conv_transpose3d einsum lstm gru
    rnn_tanh rnn_relu lstm_cell gru_cell batch_norm layer_norm group_norm
    instance_norm scaled_dot_product_attention cdist mse_loss
    cross_entropy_loss tensordot prelu grid_sample rms_norm
    multi_head_attention_forward _native_multi_head_attention
    _transformer_encoder_layer_fwd index_add scatter_add scatter"""
_STRICT = frozenset(_STRICT_TEXT.split())


@any_rule
def dtypes(case: Case) -> Finding | None:
    crash = case.crash
    if crash.function is None and case.running is None:
        return None
    tensors = tensors_in([*crash.call_args, crash.call_kwargs]) or list(crash.operands)
    if not tensors:
        return None
    kinds: dict[torch.dtype, Tensor] = {}
    for tensor in tensors if crash.op in _STRICT else ():
        if not (crash.op == "scatter" and tensor is crash.call_args[-1]):
            kinds.setdefault(tensor.dtype, tensor)
    if crash.op in ("scatter", "scatter_add", "index_add"):
        kinds.pop(torch.int64, None)
    if len(kinds) > 1:
        return _two_dtypes(case, list(kinds.values()))
    name = getattr(crash.function, "__name__", "")
    in_place = name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))
    if in_place and len(tensors) > 1 and not torch.can_cast(tensors[1].dtype, tensors[0].dtype):
        return _in_place(case, tensors[0], tensors[1])
    floats = any(t.is_floating_point() or t.is_complex() for t in tensors)
    return None if floats or not _runs_on_floats(case) else _no_floats(case, tensors[0])


def _two_dtypes(case: Case, tensors: list[Tensor]) -> Finding:
    """One tensor of each dtype: the parameters' is the one that is meant, and else the one that
    most have."""
    owned = {id(p): p.dtype for p in case.crash.model.parameters()}
    usual = set(owned.values()) or {torch.get_default_dtype()}
    ranked = sorted(tensors, key=lambda t: (id(t) not in owned, t.dtype not in usual))
    want, have = ranked[0], ranked[-1]
    names = {
        "x": case.name(have, said("one tensor")),
        "w": case.name(want, "the weight" if id(want) in owned else "the other"),
        "have": kind_of(have.dtype),
        "want": kind_of(want.dtype),
    }
    if have.dtype == torch.float64:
        more = said("NumPy arrays are float64, and torch.from_numpy keeps that: `.float()`.")
    elif not have.is_floating_point():
        more = said("Whole numbers must be turned into {want} first.", want=names["want"])
    else:
        more = said("`.to({w}.dtype)` converts.", w=names["w"])
    return case.found(
        "dtype",
        said(
            "{who} needs one dtype: {x} is {have}, {w} is {want}.",
            who=case.who() or said("the operation"),
            **names,
        ),
        (
            said(
                "{x} {shape} is {have} and {w} {want}; products and layers convert nothing by "
                "themselves.",
                shape=case.shape(have),
                **names,
            ),
            more,
        ),
        check=said("See where {x} became {have}.", x=names["x"], have=names["have"]),
        wanted_dtype=names["want"],
        found_dtype=names["have"],
        operand=case.position(have),
    )


def _in_place(case: Case, left: Tensor, right: Tensor) -> Finding:
    names = {
        "x": case.name(left, said("the left side")),
        "have": kind_of(left.dtype),
        "given": kind_of(right.dtype),
    }
    return case.found(
        "dtype",
        said(
            "An operation in place keeps the dtype: {given} does not go into {x}, which is {have}.",
            **names,
        ),
        said(
            "{x} holds {have} and {y} {given}; the result would be {both}.",
            y=case.name(right, said("the right side")),
            both=kind_of(torch.result_type(left, right)),
            **names,
        ),
        wanted_dtype=names["given"],
        found_dtype=names["have"],
        operand=case.position(left),
    )


def _no_floats(case: Case, have: Tensor) -> Finding:
    x, kind = case.name(have, said("the input")), kind_of(have.dtype)
    return case.found(
        "dtype",
        said(
            "{who} needs floating-point numbers: {x} is {kind}.",
            who=case.who(case.crash.op),
            x=x,
            kind=kind,
        ),
        said(
            "{x} {shape} holds {kind}, for which torch has no {op}. With `.float()` it runs.",
            x=x,
            shape=case.shape(have),
            kind=kind,
            op=case.crash.op,
        ),
        check=said("See whether {x} is meant to hold class numbers, or measurements.", x=x),
        wanted_dtype="float32",
        found_dtype=kind,
        operand=case.position(have),
    )


def _runs_on_floats(case: Case) -> bool:
    """Tried, since torch has no table of which operation takes which dtype."""
    crash = case.crash
    if crash.function is None or sum(t.numel() for t in tensors_in([*crash.call_args])) > 1_000_000:
        return False

    def cast(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.detach().float()
        if type(value) in (list, tuple):
            return type(value)(cast(item) for item in value)
        return value

    try:
        crash.function(
            *(cast(v) for v in crash.call_args),
            **{key: cast(v) for key, v in crash.call_kwargs.items()},
        )
    except Exception:  # noqa: BLE001 - whatever it says, it is not the dtype alone
        return False
    return True


@any_rule
def leaf_in_place(case: Case) -> Finding | None:
    name = getattr(case.crash.function, "__name__", "")
    in_place = name in ("__setitem__",) or name.startswith("__i") or name.endswith("_")
    target = next(iter(tensors_in(list(case.crash.call_args))), None)
    if in_place and target is not None and target.is_leaf and target.requires_grad:
        x = case.name(target, said("it"))
        return case.found(
            "other",
            said("{x} is a leaf that requires grad: it cannot be changed in place.", x=x),
            said(
                "Autograd must keep the value of a parameter as it was for the backward pass. "
                "Work on a copy, `{x}.clone()`, or write the operation without in-place.",
                x=x,
            ),
        )
    return None


@any_rule
def one_number(case: Case) -> Finding | None:
    """`if x > 0`, `int(x)`, `x.item()` of many elements, and `.numpy()` with a gradient."""
    op = case.crash.op
    tensor = next(iter(tensors_in(list(case.crash.call_args))), None)
    if tensor is None:
        return None
    x = case.name(tensor, said("the tensor"))
    if op in ("item", "bool", "int", "float", "index", "tolist") and tensor.numel() != 1:
        return case.found(
            "item",
            said(
                "Only a tensor of one element becomes a plain number: {x} {shape} has {value}.",
                x=x,
                shape=case.shape(tensor),
                value=tensor.numel(),
            ),
            said(
                "An `if`, `int()`, `float()` or `.item()` asks {x} for one answer. `.any()`, "
                "`.all()`, `.mean()` make one of many.",
                x=x,
            ),
        )
    if op == "numpy" and tensor.requires_grad:
        return case.found(
            "item",
            said("numpy needs a tensor without gradient: {x} requires one.", x=x),
            said("`{x}.detach().numpy()` gives the numbers alone.", x=x),
        )
    return None
