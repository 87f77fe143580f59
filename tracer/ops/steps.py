"""A recorded step as a call of its operation, and the names by which modules of torch.nn go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracer.document import Step, TensorNote
from tracer.ops.call import Call, Operand
from tracer.ops.names import is_in_place, op_name
from tracer.ops.texts import bound_of

LAYERS: dict[str, str] = {}
"""A module of torch.nn recorded as one step → the operation that it is; each family enters its
own."""


def layers(**names: str) -> None:
    """`layers(conv2d="Conv2d LazyConv2d")`: which modules are which operation."""
    for operation, classes in names.items():
        for each in classes.split():
            assert each not in LAYERS, f"nn.{each} has an operation already"
            LAYERS[each] = operation


@dataclass(frozen=True)
class SizeArguments:
    """The arguments of a layer's constructor that say how large its input must be, and how large
    its result is; empty where it has none."""

    reads: str = ""
    makes: str = ""


_SIZES: dict[str, SizeArguments] = {}


def layer_sizes(classes: str, reads: str = "", makes: str = "") -> None:
    """`layer_sizes("Linear LazyLinear", reads="in_features", makes="out_features")`"""
    for each in classes.split():
        assert each not in _SIZES, f"the sizes of nn.{each} are known already"
        _SIZES[each] = SizeArguments(reads, makes)


def sizes_of(classes: Iterable[str]) -> SizeArguments:
    """Those of the first of these classes, a layer's own and those that it is made from, that is
    known."""
    return next((_SIZES[each] for each in classes if each in _SIZES), SizeArguments())


def layer_op(layer: str) -> str:
    """The operation that a module of torch.nn is: `conv2d` for `Conv2d`."""
    return LAYERS.get(layer, f"nn.{layer}")


# Where operations of these names are torch's own; others may have namesakes elsewhere.
_HEADS = frozenset(
    ["torch", "Tensor", "F", "nn"]
    + [f"torch.{name}" for name in ("linalg", "special", "fft", "nn.functional", "functional")]
)


def operation_of(op: str) -> str | None:
    """The entry of the table that a recorded `Step.op` goes by: `add` of `Tensor.add_`, `conv2d` of
    `nn.Conv2d`; None when it is no operation of torch."""
    head, _, name = op.rpartition(".")
    if head not in _HEADS:
        return None
    return layer_op(name) if head == "nn" else op_name(op)


def call_of(step: Step) -> Call | None:
    """The call that a step recorded, its results with it; None when it is no operation of torch."""
    operation = operation_of(step.op)
    if operation is None:
        return None
    head, _, name = step.op.rpartition(".")
    return Call(
        operation,
        tuple(map(_operand, step.inputs)),
        bound_of(step),
        tuple(map(_operand, step.outputs)),
        name if head == "nn" else "",
        is_in_place(step.op),
    )


def _operand(note: TensorNote) -> Operand:
    return Operand(
        note.shape, note.dtype.removeprefix("torch."), note.kind, None, note.name, note.device
    )
