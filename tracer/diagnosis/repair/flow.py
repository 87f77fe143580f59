"""What the tensors of a run depend on: parameters and inputs by gradients and otherwise, and
whole numbers that are no quantities."""

from __future__ import annotations

import linecache
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tracer.diagnosis.repair.edited import original_name
from tracer.diagnosis.repair.samples import input_tensors
from tracer.ops.names import op_name

_NAME = "_depends_on"


@dataclass(frozen=True)
class Depends:
    """Sets as bits.  `grad`: parameters and inputs from which a gradient comes back; `used`: these
    and all others that were read; `numbers`: class numbers and indices that it is, in whatever
    shape or type."""

    grad: int = 0
    used: int = 0
    numbers: int = 0


NOTHING = Depends()


@dataclass(frozen=True)
class Quantity:
    """A class number or an index that was reckoned with, at a line of the source: `numbers` are
    those it may be, `plainly` says that the other operand has its shape and an axis for the
    classes."""

    file: str
    line: int
    numbers: int
    plainly: bool


def depends(tensor: Tensor) -> Depends:
    found: Depends = getattr(tensor, _NAME, NOTHING)
    return found


class Flow:
    """Follows one run.

    Args:
        bits: the number of each parameter and input, by name; further ones are added as they turn
            up.
        labels: the inputs that hold class numbers or indices, by number, with whether that is sure.
        files: where the author's lines are.
    """

    def __init__(
        self, bits: dict[str, int], labels: Mapping[int, bool], files: frozenset[str]
    ) -> None:
        self.bits = bits
        self.labels = labels
        self.files = files
        self.parameters: set[str] = set()
        self.inputs = 0
        self.sure = 0
        self.quantities: list[Quantity] = []
        self.halved = False  # a cast dropped the imaginary part of complex numbers
        self.paired: set[str] = set()  # lines on which a column of the inputs met a row of them
        self.across: set[str] = set()  # lines on which each entry of one met every other of another
        self.flattened: set[str] = set()  # lines on which class numbers became True and False
        self.read = 0  # what anything was computed of, as bits
        self.stretched = 0  # how often one entry along a dimension met several

    def bit(self, name: str) -> int:
        return 1 << self.bits.setdefault(name, len(self.bits))

    def begin(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for name, parameter in model.named_parameters(remove_duplicate=False):
            bit = self.bit(name)
            self.parameters.add(name)
            grad = bit if parameter.requires_grad else 0
            setattr(parameter, _NAME, Depends(grad, bit))
        for number, tensor in enumerate(input_tensors((args, kwargs))):
            bit = self.bit(f"input {number}")
            self.inputs |= bit
            numbers = self.bit(f"numbers {number}") if number in self.labels else 0
            if self.labels.get(number):
                self.sure |= numbers
            setattr(tensor, _NAME, Depends(bit * tensor.is_floating_point(), bit, numbers))

    def __call__(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        given = list(_tensors((args, tuple(kwargs.values()))))
        known = [depends(tensor) for tensor in given]
        grad = used = 0
        for each in known:
            grad, used = grad | each.grad, used | each.used
        self.read |= used
        raw = getattr(func, "__name__", "")
        name = op_name(raw)
        if raw == "__get__":
            name = getattr(func.__self__, "__name__", "")
        if name in _CUTS:
            grad = 0
        if raw == "__setitem__":
            setattr(args[0], _NAME, Depends(grad, used))
            return
        if name in _ENTRY_BY_ENTRY and len(given) == 2:
            self.stretched += _stretches(*given)
        met = name in _ENTRY_BY_ENTRY and len(given) == 2 and _crossed(*given)
        if met and all(each.used & self.inputs for each in known):
            self.paired.add(linecache.getline(*self._place(2)).strip())
        if name in _ENTRY_BY_ENTRY and len(given) == 2 and _across(*given):
            self.across.add(linecache.getline(*self._place(2)).strip())
        if name in _CASTS and known and known[0].numbers and _is_bool(result):
            self.flattened.add(linecache.getline(*self._place(2)).strip())
        if name in _CASTS and given and given[0].is_complex():
            self.halved |= not any(tensor.is_complex() for tensor in _tensors((result,)))
        numbers = self._numbers(name, given, known)
        for place, tensor in enumerate(_tensors((result,))):
            floating = tensor.is_floating_point() or tensor.is_complex()
            own = numbers if tensor.dtype != torch.bool else 0
            if name in _PICKS and not floating:
                own |= self._picked(name, place)
            setattr(tensor, _NAME, Depends(grad if floating else 0, used, own))

    def _picked(self, name: str, place: int) -> int:
        if name in ("max", "min") and place == 0:
            return 0
        bit = self.bit(f"numbers of {name}")
        self.sure |= bit
        return bit

    def _numbers(self, name: str, given: list[Tensor], known: list[Depends]) -> int:
        """The class numbers that a result still is, after noting what is done with them."""
        every = 0
        # What a row is looked up by is no part of what stands in it.
        for each in known[:1] if name in _LOOKS_UP else known:
            every |= each.numbers
        if not every:
            return 0
        if name in _AS_INDEX:
            for tensor, each in zip(given, known, strict=True):
                if not tensor.is_floating_point():
                    self.sure |= each.numbers
        elif name in _TOTALS and not given[0].is_floating_point() and known[0].numbers:
            self.quantities.append(Quantity(*self._place(), known[0].numbers, False))
        elif name in _RECKONS:
            for tensor, each in zip(given, known, strict=True):
                others = [t for t, k in zip(given, known, strict=True) if not k.numbers]
                if each.numbers and any(other.is_floating_point() for other in others):
                    file, line = self._place()
                    plainly = any(_spreads(tensor, other) for other in others)
                    self.quantities.append(Quantity(file, line, each.numbers, plainly))
        return every if name in _SAME_NUMBERS else 0

    def _place(self, depth: int = 3) -> tuple[str, int]:
        frame = sys._getframe(depth)
        while frame.f_back is not None:
            file = frame.f_code.co_filename
            if original_name(file) in self.files:
                return file, frame.f_lineno
            frame = frame.f_back
        return "", 0


def _spreads(tensor: Tensor, other: Tensor) -> bool:
    """Whether one number for each place of a map meets all its channels."""
    if tensor.dim() != other.dim() or tensor.dim() < 3:
        return False
    axes = list(zip(tensor.shape, other.shape, strict=True))
    same = sum(a == b and a > 1 for a, b in axes)
    return same == tensor.dim() - 1 and any(a == 1 and b > 1 for a, b in axes)


def _stretches(one: Tensor, other: Tensor) -> bool:
    """Whether (B, 1, H, W) meets (B, C, H, W): of as many dimensions, and one alone is repeated."""
    if one.dim() != other.dim() or one.dim() < 3:
        return False
    return sum(1 in (a, b) and a != b for a, b in zip(one.shape, other.shape, strict=True)) == 1


def _crossed(one: Tensor, other: Tensor) -> bool:
    """Whether (B, 1) meets (B,), which makes (B, B): each sample meets every other."""
    short, long = sorted((tuple(one.shape), tuple(other.shape)), key=len)
    return len(short) > 0 and long == (*short, 1) and math.prod(short) > 1


def _across(one: Tensor, other: Tensor) -> bool:
    """Whether (B, N, 1, 2) meets (M, 2), which makes (B, N, M, 2): what they share is no reason for
    each of the N to meet every one of the M."""
    rank = max(one.dim(), other.dim())
    sizes = [(1,) * (rank - t.dim()) + tuple(t.shape) for t in (one, other)]
    pairs = list(zip(*sizes, strict=True))
    shared = any(a == b > 1 for a, b in pairs)
    return shared and any(a > 1 == b for a, b in pairs) and any(b > 1 == a for a, b in pairs)


def _is_bool(result: Any) -> bool:
    return isinstance(result, Tensor) and result.dtype == torch.bool


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)
        elif isinstance(value, dict):
            yield from _tensors(value.values())


_CASTS = frozenset(
    [
        *("to", "type", "type_as", "float", "double", "half", "bfloat16"),
        *("int", "long", "short", "char", "byte", "bool"),
    ]
)
_ENTRY_BY_ENTRY = frozenset(
    [
        *("add", "sub", "rsub", "mul", "div", "eq", "ne", "lt", "le", "gt", "ge", "where"),
        *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "maximum", "minimum"),
    ]
)
_LOOKS_UP = frozenset(["getitem", "__getitem__"])
_CUTS = frozenset(["detach", "data", "one_hot", "bernoulli"])
_PICKS = frozenset(
    [
        *("argmax", "argmin", "argsort", "topk", "sort", "max", "min", "multinomial"),
        *("randint", "randperm"),
    ]
)
_AS_INDEX = frozenset(
    [
        *("one_hot", "cross_entropy", "nll_loss", "embedding", "embedding_bag", "gather"),
        *("index_select", "scatter", "scatter_add", "take_along_dim", "take"),
    ]
)
_TOTALS = frozenset(["sum", "mean", "cumsum", "prod", "var", "std"])
_RECKONS = frozenset(
    [
        *("add", "sub", "rsub", "mul", "matmul", "mm", "bmm", "linear", "einsum", "addmm"),
        *("conv1d", "conv2d", "conv3d", "lstm", "gru", "rnn_tanh", "mse_loss", "l1_loss"),
    ]
)
_SAME_NUMBERS = frozenset(
    [
        *("view", "reshape", "unsqueeze", "squeeze", "expand", "repeat", "permute", "transpose"),
        *("flatten", "unflatten", "getitem", "clone", "contiguous", "to", "long", "int", "float"),
        *("double", "half", "type_as", "type", "cat", "stack", "movedim", "T", "mT", "flip"),
        *("expand_as", "view_as", "swapaxes", "__getitem__", "detach", "split", "chunk"),
    ]
)
