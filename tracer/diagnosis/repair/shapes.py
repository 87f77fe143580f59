"""Runs on shapes alone, in which each call of torch is worked out once however many programs make
it.

On the device `meta` a tensor is its shape, strides and dtype, and so a call depends on nothing
else: what it gave is remembered and given again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import global_decomposition_table
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from tracer.diagnosis.budget import CALL, OPERATION, PER_ELEMENT, SHAPED, Budget, Watch, price
from tracer.record.functions import SETTINGS

META = torch.device("meta")
_MOST = 20_000_000  # elements of the operands of an operation that is run on zeros
_SMALL = 1_000_000  # elements that are set to zero
_KNOWN = 200_000  # calls that are remembered


class Shapes(Watch):
    """Counts the calls of torch, as a `Watch` does, and remembers what they gave in `memory`, which
    all runs of one bench share.

    `worth` is what the same calls would cost with values.
    """

    def __init__(self, budget: Budget, limit: float, memory: dict[Any, Any]) -> None:
        super().__init__(budget, limit)
        self.memory = memory
        self.worth = 0.0
        self.zeros = OnZeros(self)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in SETTINGS:
            return func(*args, **kwargs)
        self.count()
        if func in _NO_TENSOR:
            return func(*args, **kwargs)
        self.last = args, kwargs
        result = self._result(func, args, kwargs)
        if self.follow is not None:
            self.follow(func, args, kwargs, result)
        return result

    def _result(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if func in _device_constructors() or "device" in kwargs:
            kwargs = {**kwargs, "device": META}
        elif func is Tensor.to:
            args = [META if type(each) in (str, torch.device) else each for each in args]
        elif func in _MOVES or (func in _FILLS and args[0].is_meta):
            return args[0]
        elif func in _INITIALISES and kwargs["tensor"].is_meta:
            return kwargs["tensor"]
        key = _key(func, args, kwargs)
        found = self.memory.get(key) if key is not None else None
        if found is not None:
            known, worth = found
            self.worth += worth
            return _again(known, args)
        before = self.zeros.worth
        with self.zeros:
            result = func(*args, **kwargs)
        worth = CALL + self.zeros.worth - before
        self.worth += worth
        if key is not None and len(self.memory) < _KNOWN:
            known = _known(result, args) if _key(func, args, kwargs) == key else None
            if known is not None:
                self.memory[key] = known, worth
        return result


class OnZeros(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs on zeros what torch works out on shapes in Python.

    The first of these operations imports the whole compiler, and each takes longer than the
    operation itself on tensors of a usual size.
    """

    def __init__(self, watch: Watch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.watch = watch
        self.worth = 0.0  # of what it was asked for, with values

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else the first call imports it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.watch.spend(SHAPED)
        result = self._result(func, args, kwargs)
        self.worth += OPERATION + price(func, args, kwargs, result)
        return result

    def _result(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func not in _IN_PYTHON:
            return func(*args, **kwargs)
        if func in _PRODUCTS:  # a product costs too much
            made = _PRODUCTS[func](*args[1:3])
            torch.broadcast_shapes(args[0].shape, made.shape)  # type: ignore[no-untyped-call]
            return made
        tensors: list[Tensor] = []
        _mapped((args, kwargs), tensors.append)
        elements = sum(tensor.numel() for tensor in tensors)
        if not tensors or elements > _MOST or any(t.layout != torch.strided for t in tensors):
            return func(*args, **kwargs)
        self.watch.spend(PER_ELEMENT * elements)
        twins = {id(tensor): _zeros(tensor) for tensor in tensors}
        back = {id(twin): tensor for tensor in tensors if (twin := twins[id(tensor)]) is not tensor}
        given = _mapped((args, kwargs), lambda tensor: twins[id(tensor)])
        result = func(*given[0], **given[1])

        def shaped(tensor: Tensor) -> Tensor:
            known = back.get(id(tensor))
            return known if known is not None else tensor.to(META)

        return _mapped(result, shaped)


def _mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The operands or the results of an operation with something else for each tensor, as
    `tree_map_only` gives it: thousands are looked through in a search."""
    if isinstance(value, Tensor):
        return change(value)
    kind = type(value)
    if kind is tuple or kind is list:
        return kind([_mapped(each, change) for each in value])
    if kind is dict:
        return {name: _mapped(each, change) for name, each in value.items()}
    return tree_map_only(Tensor, change, value) if isinstance(value, tuple) else value


def _zeros(tensor: Tensor) -> Tensor:
    if not tensor.is_meta:
        return tensor
    made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
    # Whole numbers may be indices, and a loss looks at small targets; of a weight any will do.
    return made if made.is_floating_point() and made.numel() > _SMALL else made.zero_()


def _in_python() -> set[Any]:
    """Operations whose shapes torch works out with the references of its compiler: those that
    `torch._meta_registrations.activate_meta` enters."""
    unclear = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
    tables = global_decomposition_table
    found = set(tables["post_autograd"]) | set(tables["pre_autograd"])
    return {
        operation
        for operation in found - set(tables["meta"])
        if isinstance(operation, torch._ops.OpOverload)
        and not operation.is_view
        and not _is_composite(operation)
        and not any(tag in operation.tags for tag in unclear)
        and str(operation).split(".")[1] not in ("clone", "_to_copy", "constant_pad_nd")
    }


def _is_composite(operation: Any) -> bool:
    key = "CompositeImplicitAutograd"
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(operation.name(), key))


_PRODUCTS = {
    torch.ops.aten.addmm.default: torch.ops.aten.mm.default,
    torch.ops.aten.baddbmm.default: torch.ops.aten.bmm.default,
}
_IN_PYTHON = _in_python()
_NO_TENSOR = {
    getattr(Tensor, name).__get__ for name in ("shape", "ndim", "dtype", "device", "is_meta")
} | {
    Tensor.size,
    Tensor.dim,
    Tensor.stride,
    Tensor.numel,
    Tensor.is_floating_point,
    Tensor.requires_grad.__get__,  # type: ignore[attr-defined]
    Tensor.is_contiguous,
    Tensor.__len__,
    Tensor.__hash__,
}
_MOVES = {Tensor.cpu, Tensor.cuda}
_FILLS = {
    Tensor.uniform_,
    Tensor.normal_,
    Tensor.zero_,
    Tensor.fill_,
    Tensor.bernoulli_,
    Tensor.random_,
}
_INITIALISES = {nn.init.uniform_, nn.init.normal_, nn.init.constant_}
"""The same of torch.nn.init, which names the tensor."""


# --- what is remembered ------------------------------------------------------------------------

_PLAIN = (int, float, str, bool, type(None), torch.dtype, torch.device, torch.layout)
_ATOMS = frozenset([*_PLAIN, torch.memory_format, type(...), complex])


_LONG = 60  # items of a list that is given to an operation, from which on it is made anew


def _key(func: Any, args: Any, kwargs: Any) -> Any:
    """What the outcome of a call depends on; None where that is more than shapes."""
    try:
        return (func, _part(args), _part(kwargs))
    except _Unkeyed:
        return None


class _Unkeyed(Exception):  # noqa: N818
    pass


def _part(value: Any) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        return (kind, value)
    if isinstance(value, Tensor):
        if not value.is_meta or value.layout != torch.strided:
            raise _Unkeyed
        return (value.shape, value.stride(), value.dtype)
    if kind is tuple or kind is list or kind is torch.Size:
        if len(value) > _LONG:
            raise _Unkeyed
        return (kind, *map(_part, value))
    if kind is dict:
        return (kind, *[(name, _part(item)) for name, item in value.items()])
    if kind is slice:
        return (kind, _part(value.start), _part(value.stop), _part(value.step))
    raise _Unkeyed


def _known(result: Any, args: Any) -> Any:
    """How to make the result again: for each of its leaves a tensor's form, the number of the
    argument that it is, or None.  What gives nothing is called for what it does, and is not
    remembered."""
    leaves, form = tree_flatten(result)
    if all(leaf is None for leaf in leaves):
        return None
    parts: list[Any] = []
    for leaf in leaves:
        place = next((i for i, each in enumerate(args) if each is leaf), None)
        if leaf is None or place is not None:
            parts.append(place)
        elif isinstance(leaf, Tensor) and leaf.is_meta and leaf.layout == torch.strided:
            parts.append((tuple(leaf.shape), leaf.stride(), leaf.dtype))
        else:
            return None
    return (None if parts and result is leaves[0] else form), parts


def _again(found: Any, args: Any) -> Any:
    form, parts = found
    made = [
        torch.empty_strided(part[0], part[1], dtype=part[2], device=META)
        if type(part) is tuple
        else None
        if part is None
        else args[part]
        for part in parts
    ]
    return made[0] if form is None else tree_unflatten(made, form)
