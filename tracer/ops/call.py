"""An operation as it was called: its operands' shapes and its named arguments, without torch.

A call is made from live tensors, from a recorded step, or from sizes that are symbols; what is
known of an operation (`tracer.ops.spec`) reads nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from tracer.document import TensorAt
from tracer.sentences import Said

Size = Any
"""A whole number, or an expression that takes `+ - * //`: sizes are never compared but by
`algebra`, so that one rule serves numbers and symbols."""
Shape = tuple[Size, ...]


class At(NamedTuple):
    """Dimension `dim` (from 0) of operand number `operand`."""

    operand: int
    dim: int


class Values(Protocol):
    """The entries of a live tensor, looked at only when asked."""

    def span(self, but: int | None = None) -> tuple[Any, Any] | None:
        """The least and the largest entry, those equal to `but` left out; None if there is none."""

    def total(self) -> Any:
        """The sum of the entries."""

    def whole(self) -> bool:
        """Whether all entries are whole numbers."""


@dataclass(frozen=True)
class Operand:
    """A tensor as an operation sees it.

    `dtype` is torch's name without `torch.`; `kind` that of a `TensorNote`; `strides` are None
    where they are not known, as in a saved run, and so are `values`; `name` is what a reader calls
    it.
    """

    shape: Shape
    dtype: str = "float32"
    kind: str = "made"
    strides: tuple[int, ...] | None = None
    name: str | Said = ""
    device: str = ""
    values: Values | None = field(default=None, compare=False, repr=False)

    @property
    def rank(self) -> int:
        return len(self.shape)


class Unclear(Exception):  # noqa: N818 - no error: the call cannot be read, so nothing is said
    pass


def need(condition: bool) -> None:
    if not condition:
        raise Unclear


@dataclass(frozen=True)
class Call:
    """`op` is the short name (`tracer.ops.names.op_name`), `layer` the class name when a module
    of torch.nn was recorded as one step (`Conv2d`), else empty.

    `arguments` are named as torch's schemas name them, the first tensor `input`; tensors are
    `TensorAt`, several of them a tuple of these.  `results` are those of a recorded step.
    `in_place` says that the result is written into the first operand.
    """

    op: str
    operands: tuple[Operand, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    results: tuple[Operand, ...] = ()
    layer: str = ""
    in_place: bool = False

    # --- tensors ---

    def tensors(self, *names: str) -> tuple[int, ...]:
        """The operands given under the first of `names` that holds any, in order.

        Raises:
            Unclear: an argument names an operand that is not there, as in a damaged file.
        """
        for name in names:
            found = tuple(_tensors(self.arguments.get(name)))
            if found:
                need(max(found) < len(self.operands))
                return found
        return ()

    def tensor(self, *names: str) -> int | None:
        """The operand given under the first of `names` that holds one.

        Raises:
            Unclear: several tensors are given where one is meant.
        """
        found = self.tensors(*names)
        need(not any(isinstance(self.arguments.get(name), tuple) for name in names if found))
        return next(iter(found), None)

    @property
    def first(self) -> Operand:
        """The operand that is worked on, `input`.

        Raises:
            Unclear: it is not the first.
        """
        need(self.tensor("input") == 0)
        return self.operands[0]

    def position(self, *names: str) -> int:
        """Which operand the one tensor under these names is.

        Raises:
            Unclear: there is none.
        """
        index = self.tensor(*names)
        if index is None:
            raise Unclear
        return index

    def shape(self, *names: str) -> Shape:
        """The shape of the one tensor under these names.

        Raises:
            Unclear: there is none.
        """
        return self.operands[self.position(*names)].shape

    # --- other arguments ---

    def get(self, *names: str, default: Any = None) -> Any:
        """The value under the first of `names` that was given and is not None."""
        for name in names:
            value = self.arguments.get(name)
            if value is not None and not _tensors(value):
                return value
        return default

    def whole(self, *names: str, default: Size | None = None) -> Size | None:
        value = self.get(*names, default=default)
        need(value is None or is_size(value))
        return value

    def size(self, *names: str) -> Size:
        """A whole number.

        Raises:
            Unclear: none was given.
        """
        value = self.whole(*names)
        if value is None:
            raise Unclear
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.get(name, default=default)
        need(isinstance(value, bool))
        return bool(value)

    def sizes(self, *names: str) -> tuple[Size, ...] | None:
        """Whole numbers given as one or several, None if none were."""
        value = self.get(*names)
        if value is None:
            return None
        if is_size(value):
            return (value,)
        need(isinstance(value, tuple | list) and all(map(is_size, value)))
        return tuple(value)

    def each(self, name: str, count: int, default: Size | None = None) -> tuple[Size, ...] | None:
        """One whole number for each of `count` dimensions."""
        found = self.sizes(name)
        if found is None or found == ():
            return None if default is None else (default,) * count
        need(len(found) in (1, count))
        return found * count if len(found) == 1 else found


def is_size(value: Any) -> bool:
    """A whole number or a symbol for one."""
    if isinstance(value, bool | float | str | tuple | list | dict) or value is None:
        return False
    return isinstance(value, int) or hasattr(value, "__floordiv__")


def _tensors(value: Any) -> list[int]:
    if isinstance(value, TensorAt):
        return [] if value.index is None else [value.index]
    if isinstance(value, tuple | list):
        return [index for item in value for index in _tensors(item)]
    return []
