"""An entry of the operation table against torch itself: shapes, refusals, and where dimensions
come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor

from tracer.ops.bound import Bound, Violation
from tracer.ops.call import At, Call
from tracer.ops.refusal import Refusal
from tracer.ops.table import bind, report_on
from tracer.record.live import live_call, live_layer_call
from tracer.record.tensors import tensors_in
from tracer.sentences import gaps, render

Function = Callable[..., Any]

CALLS: Counter[str] = Counter()
"""How many calls were compared, those that both take and those that both refuse: `conftest.py`
reports them."""


def meta(value: Any) -> Any:
    """The same nest with tensors that have no values."""
    if isinstance(value, Tensor):
        return value.to("meta")
    if isinstance(value, list | tuple):
        return type(value)(meta(item) for item in value)
    return value


def check(function: Function, *args: Any, on: str = "meta", **kwargs: Any) -> Bound:
    """The table gives the shapes that torch gives, and refuses just what torch refuses.

    `function` may be a layer of torch.nn.  `on` is `cpu` where torch's meta kernels check less
    than its real ones; a layer runs where its parameters are.
    """
    layer = isinstance(function, torch.nn.Module)
    if on == "meta" and not layer:
        args = tuple(meta(arg) for arg in args)
        kwargs = {name: meta(value) for name, value in kwargs.items()}
    call, _ = (live_layer_call if layer else live_call)(function, args, kwargs)  # type: ignore[arg-type]
    found = bind(call)
    assert found is not None, f"not read: {call}"
    result, error = attempt(function, args, kwargs)
    if error is not None:
        assert found.violation is not None, f"missed: {error}\n{call}"
        check_told(call, found.violation)
        CALLS["refused"] += 1
        return found
    assert found.violation is None, f"false alarm: {found.violation}\n{call}"
    assert found.shapes == tuple(tuple(t.shape) for t in tensors_in(result)), call
    CALLS["taken"] += 1
    return found


def check_told(call: Call, violation: Violation) -> None:
    """What a call breaks can be put into words."""
    report = report_on(Refusal(call, violation, call.op))
    for sentence in (report.rule, *report.reason, *([report.check] if report.check else [])):
        assert gaps(sentence.text) == {name for name, _ in sentence.values}, sentence
        assert "{" not in render(sentence)


def attempt(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, Exception | None]:
    """What a call gives, and what torch has against it."""
    try:
        return function(*args, **kwargs), None
    except Exception as error:  # noqa: BLE001 - whatever torch has against it
        return None, error


# --- where dimensions come from ------------------------------------------------------------------


def classes(bound: Bound) -> list[set[At]]:
    """The operands' dimensions, those together that are one."""
    found: list[set[At]] = []
    every = [At(i, d) for i, operand in enumerate(bound.call.operands) for d in range(operand.rank)]
    ties = [*bound.ties, *(p for dims in bound.results for dim in dims for p in _met(dim))]
    for at in every:
        group = {at}
        for first, second in ties:
            if group & {first, second}:
                group |= {first, second}
        for other in [each for each in found if each & group]:
            group |= other
            found.remove(other)
        found.append(group)
    return found


def _met(dim: Any) -> Iterator[tuple[At, At]]:
    if dim.how in ("same", "mixed"):
        for other in dim.sources[1:]:
            yield dim.sources[0], other


def check_permuted(
    function: Function,
    *args: Any,
    tolerance: float = 1e-9,
    ordered: Collection[At] = (),
    **kwargs: Any,
) -> int:
    """Entries of an operand put into another order along a dimension appear in that order along
    the result's dimensions that come from it, and change nothing else.  For operations that treat
    all entries alike; dimensions that are resized, cut, regrouped or stacked are left out, weights
    of a layer, and those that are `ordered`, along which an entry's place means something.  Returns
    how many were tried; of a call that is refused, none."""
    bound = check(function, *args, on="cpu", **kwargs)
    if bound.violation is not None:
        return 0
    layer = isinstance(function, torch.nn.Module)
    _, tensors = (live_layer_call if layer else live_call)(function, args, kwargs)  # type: ignore[arg-type]
    own = {id(weight) for weight in function.parameters()} if layer else set()  # type: ignore[attr-defined]
    tried = 0
    before = tensors_in(function(*args, **kwargs))
    for group in classes(bound):
        dims = [(r, d, dim) for r, dims in enumerate(bound.results) for d, dim in enumerate(dims)]
        touched = [(r, d, dim) for r, d, dim in dims if group & set(dim.sources)]
        if any(dim.how not in ("same", "mixed", "reduced") or dim.moved for _, _, dim in touched):
            continue
        if any(id(tensors[at.operand]) in own for at in group):
            continue
        size = max(bound.call.operands[at.operand].shape[at.dim] for at in group)
        if size < 2 or group & set(ordered) or group & bound.stacked.keys():
            continue
        order = torch.randperm(size, generator=torch.Generator().manual_seed(size))
        turned = {
            at.operand: _turned(tensors[at.operand], group, at.operand, order) for at in group
        }
        replaced = {id(tensors[index]): tensor for index, tensor in turned.items()}
        new_args, new_kwargs = _replaced(args, replaced), _replaced(kwargs, replaced)
        after = tensors_in(function(*new_args, **new_kwargs))
        for r, (old, now) in enumerate(zip(before, after, strict=True)):
            for result, d, dim in touched:
                if result == r and dim.how != "reduced":
                    old = old.index_select(d, order)
            assert torch.allclose(
                old.to(torch.float64), now.to(torch.float64), atol=tolerance, equal_nan=True
            ), (bound.call, group)
        tried += 1
    return tried


def _turned(tensor: Tensor, group: set[At], operand: int, order: Tensor) -> Tensor:
    for at in group:
        if at.operand == operand and tensor.shape[at.dim] == len(order):
            tensor = tensor.index_select(at.dim, order)
    return tensor


def _replaced(value: Any, tensors: dict[int, Tensor]) -> Any:
    if isinstance(value, Tensor):
        return tensors.get(id(value), value)
    if isinstance(value, dict):
        return {name: _replaced(item, tensors) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(item, tensors) for item in value)
    return value


def check_resized(function: Function, *args: Any, on: str = "meta", **kwargs: Any) -> int:
    """One entry more along a dimension of the operands changes the size of just those dimensions of
    the result that come from it.  A call that is illegal, or is so with one more, is left out.
    Returns how many dimensions were tried."""
    bound = check(function, *args, on=on, **kwargs)
    if bound.violation is not None:
        return 0
    _, tensors = live_call(function, args, kwargs)
    tried = 0
    for group in classes(bound):
        # A size of 1 is a case of its own: it is stretched, squeezed, left out of a view.
        if all(bound.call.operands[at.operand].shape[at.dim] == 1 for at in group):
            continue
        grown = {}
        for at in group:
            tensor = grown.get(id(tensors[at.operand]), tensors[at.operand])
            shape = list(tensor.shape)
            shape[at.dim] += shape[at.dim] != 1
            grown[id(tensors[at.operand])] = tensor.new_zeros(shape)
        try:
            after = tensors_in(function(*_replaced(args, grown), **_replaced(kwargs, grown)))
        except Exception:  # noqa: BLE001 - illegal, whatever the reason
            continue
        for dims, result in zip(bound.results, after, strict=True):
            for dim, size in zip(dims, result.shape, strict=True):
                follows = bool(group & set(dim.sources)) and dim.how != "reduced"
                assert follows or dim.size == size, (bound.call, group, dim)
                if follows and dim.how in ("same", "joined", "mixed"):
                    assert dim.size != size, (bound.call, group, dim)
        tried += 1
    return tried
