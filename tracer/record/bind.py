"""The arguments of an operation under their names, as torch itself would match them.

`bind` gives every call, however it was written, the same names, and fills in what was left at its
default.  The names follow one convention:

* They are those of torch's operator schemas (`aten::`); of Python functions (torch.functional,
  torch.nn.functional), those of their signature.
* What the schemas call `self` is `input`, for functions, methods and operators alike; a function
  whose first tensor has a name of its own keeps it (`tensors` of cat, `condition` of where,
  `query` of attention).
* Numpy's spellings become torch's: `axis` is `dim`, `keepdims` is `keepdim`.
* Sizes and dimensions written one by one (`x.view(2, -1)`, `x.permute(0, 2, 1)`) are one tuple
  under the schema's name, and so are tensors (`torch.meshgrid(a, b)`, `torch.einsum(eq, a, b)`).
* `x[...]` has `index`: always a tuple, one entry for each thing between the brackets.
* A reflected operator has its operands in the order of mathematics: `1 - x` is `input=1`,
  `other=x`.
* A layer of torch.nn has the parameters of its constructor and its mode (`training`), and the
  arguments of its forward.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._jit_internal import boolean_dispatched

from tracer.document import Bound, Slice, TensorAt, Value

_REFLECTED = re.compile(r"rsub|__r(?!shift)\w+__")

# What the schemas do not know: the methods' and functions' names, and their arguments.
_BY_HAND = {
    name: arguments
    for names, arguments in {
        "tensor": "data dtype=None device=None requires_grad=False",
        "as_tensor": "data dtype=None device=None",
        "asarray": "obj dtype=None device=None copy=None requires_grad=False",
        "new_tensor": "input data dtype=None device=None requires_grad=False",
        "type": "input dtype=None non_blocking=False",
        "__get__": "input",
        "__set__": "input value",
        "__getitem__": "input index",
        "__setitem__": "input index value",
        "bfloat16 bool byte cdouble cfloat char double float half int long short": (
            "input memory_format=None"
        ),
        "cpu cuda ipu mtia xpu": "input device=None memory_format=None",
        "apply_": "input callable",
        "map_": "input other callable",
        "map2_": "input x y callable",
    }.items()
    for name in names.split()
}

# Operators that torch has under another name.
_SAME_AS = {
    "truediv": "div",
    "truediv_": "div_",
    "floordiv": "floor_divide",
    "floordiv_": "floor_divide_",
    "mod": "remainder",
    "mod_": "remainder_",
    "invert": "bitwise_not",
    "dsmm": "mm",
    "hsmm": "hspmm",
    "spmm": "mm",
    "saddmm": "sspaddmm",
}

# Names by which the same argument goes elsewhere.
_ALIASES = {"self": "input", "axis": "dim", "axis0": "dim0", "axis1": "dim1", "keepdims": "keepdim"}
_FUNCTION_ALIASES = {
    "split": {
        "tensor": "input",
        "split_size_or_sections": "split_size",
        "split_sizes": "split_size",
    },
    "tensordot": {"a": "input", "b": "other"},
}

_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class _Form:
    """How one way of calling a function names its arguments.

    `positional` are the names in order; the one at `rest` takes all that follow as one tuple.
    `template` has every name in the order of the signature, with its default or `_MISSING`;
    `defaults` are those that have one.
    """

    positional: tuple[str, ...]
    rest: int | None
    template: Mapping[str, Any]
    aliases: Mapping[str, str]
    types: Mapping[str, str]
    defaults: tuple[tuple[str, Any], ...]
    then: Callable[[dict[str, Any]], None] | None = None

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        names = self.positional
        if self.rest is not None and len(args) > self.rest:
            args = (*args[: self.rest], tuple(args[self.rest :]))
        bound = dict(zip(names, args, strict=False))
        for position in range(len(names), len(args)):
            bound[f"argument {position}"] = args[position]
        for name, value in kwargs.items():
            bound[self.canonical(name)] = value
        for name, value in self.defaults:
            if name not in bound:
                bound[name] = value
        return bound

    def canonical(self, name: str) -> str:
        return self.aliases.get(name, _ALIASES.get(name, name))


def _made(
    positional: Sequence[str],
    rest: int | None,
    template: Mapping[str, Any],
    aliases: Mapping[str, str],
    types: Mapping[str, str],
) -> _Form:
    defaults = tuple([(name, each) for name, each in template.items() if each is not _MISSING])
    return _Form(tuple(positional), rest, template, aliases, types, defaults)


# --- finding the form ------------------------------------------------------------------------


def bind(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `function(*args, **kwargs)` by name, tensors and all, defaults filled in.

    Args:
        function: what a `TorchFunctionMode` is given: a function of torch, a method or property of
            Tensor, an operator in any form, or a Python function with a signature.

    A call that torch refuses is bound as far as it fits; what has no name is `argument 0`, ...
    """
    key = (function, *map(_kind, args), *((name, _kind(v)) for name, v in kwargs.items()))
    form = _forms.get(key)
    if form is None:
        if len(_forms) > 20_000:
            _forms.clear()
        form = _forms[key] = _form(function, args, kwargs)
    bound = form.named(args, kwargs)
    if form.then is not None:
        form.then(bound)
    return bound


_forms: dict[Any, _Form] = {}
_candidates: dict[Any, list[_Form]] = {}


def _kind(value: Any) -> Any:
    """What of a value decides which form of a function is called."""
    kind = type(value)
    if kind is tuple or kind is list or kind is torch.Size:
        return (kind, *{type(item) for item in value})
    return kind


def _form(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Form:
    if function not in _candidates:
        name = getattr(function, "__name__", "")
        then = _reflected if _REFLECTED.fullmatch(name) else _AFTERWARDS.get(name)
        known = list(_known_forms(function)) or [_hand_form("input")]
        _candidates[function] = [replace(form, then=then) for form in known]
    candidates = _candidates[function]
    for fits in (_exactly, _nearly, _by_count):
        for form in candidates:
            if _accepts(form, args, kwargs, fits):
                return form
    # None takes these arguments: the one with the most names says most of them.
    return max(candidates, key=lambda form: len(form.positional))


def _accepts(
    form: _Form,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    fits: Callable[[str, Any], bool],
) -> bool:
    given = form.positional[: len(args)]
    if any(form.canonical(name) in given for name in kwargs):
        return False
    bound = form.named(args, kwargs)
    bound.pop("out", None)
    return all(
        name in form.template and (name not in form.types or fits(form.types[name], value))
        for name, value in bound.items()
    ) and all(name in bound for name, default in form.template.items() if default is _MISSING)


def _known_forms(function: Any) -> Iterator[_Form]:
    name = getattr(function, "__name__", "")
    if isinstance(function, torch._ops.OpOverload):
        yield from _schema_forms([function._schema], False, name)
        return
    if isinstance(function, torch._ops.OpOverloadPacket):
        yield from _schema_forms(list(function._schemas.values()), False, name)
        return
    method = type(function).__name__ in ("method_descriptor", "wrapper_descriptor")
    if name in _BY_HAND and not inspect.isfunction(function):
        yield _hand_form(_BY_HAND[name])
        return
    while function in boolean_dispatched:
        function = boolean_dispatched[function]["if_false"]
    if inspect.isfunction(function) or inspect.ismethod(function):
        signature = _signature(function)
        if signature is not None and name != "einsum":
            yield _signature_form(signature, _FUNCTION_ALIASES.get(name, {}))
            return
    found = list(_schema_forms(_schemas(name), method, name))
    yield from found
    if not found:
        signature = _signature(function)
        if signature is not None:
            yield _signature_form(signature, {})


def _schemas(name: str) -> list[Any]:
    """The schemas of the operator that a function or method of this name calls."""
    names = [name]
    if _REFLECTED.fullmatch(name) and name.startswith("__"):
        names = [f"__{name[3:]}", name[3:-2]]
    elif name.startswith("__i"):
        names += [f"{name[3:-2]}_", name[2:-2]]
    elif name.startswith("__"):
        names += [name[2:-2]]
    for each in names:
        found = torch._C._jit_get_schemas_for_operator(f"aten::{_SAME_AS.get(each, each)}")
        if found:
            return list(found)
    return []


def only_reads(function: Any) -> bool:
    """Whether the schemas say of a function of torch's own (not of one written in Python) that it
    writes into nothing but what it is given as `out`."""
    if inspect.isfunction(function) or inspect.ismethod(function):
        return False
    found = [
        schema.is_mutable
        for schema in _schemas(getattr(function, "__name__", ""))
        if not any(argument.is_out for argument in schema.arguments)
    ]
    return bool(found) and not any(found)


def _schema_forms(schemas: Sequence[Any], method: bool, function: str) -> Iterator[_Form]:
    """The forms of an operator that can be called from Python; a method's tensor comes first."""
    for schema in schemas:
        arguments = [each for each in schema.arguments if not each.is_out]
        if len(arguments) < len(schema.arguments) or _of_script(arguments):
            continue
        if method:
            arguments.sort(key=lambda each: each.name != "self")
        names = {each.name: _canonical(each.name, function) for each in arguments}
        free = [each for each in arguments if not each.kwarg_only]
        own = int(bool(free) and free[0].name == "self")
        last = free[own:]
        many = len(last) == 1 and str(last[0].real_type) in _LISTS
        positional = tuple(names[each.name] for each in free)
        aliases = {**names, **_FUNCTION_ALIASES.get(function, {})}
        template = {names[each.name]: _default(each) for each in arguments}
        types = {names[each.name]: _type(each) for each in arguments}
        yield _made(positional, None, template, aliases, types)
        if many or function == "einsum":
            yield _made(positional, own if many else 1, template, aliases, types)


_LISTS = frozenset(["List[int]", "List[Tensor]"])


def _of_script(arguments: Sequence[Any]) -> bool:
    """Operators on TorchScript's own lists, dictionaries and classes."""
    return any(
        str(each.real_type).startswith(
            ("t", "List[t]", "Dict", "RRef", "Future", "Any", "List[Any]")
        )
        for each in arguments
    )


def _canonical(name: str, function: str) -> str:
    return _FUNCTION_ALIASES.get(function, {}).get(name, _ALIASES.get(name, name))


def _default(argument: Any) -> Any:
    if not argument.has_default_value():
        return _MISSING
    value = argument.default_value
    if type(value) is int and "ScalarType" in str(argument.real_type):
        return torch.int64  # the only one that schemas write: `dtype=long`
    if type(value) is int and "MemoryFormat" in str(argument.real_type):
        return torch.contiguous_format
    return tuple(value) if isinstance(value, list) else value


def _type(argument: Any) -> str:
    """The type as the schemas name it; `List[int]?1` takes a number for the list."""
    text = str(argument.real_type)
    return f"{text}*" if argument.N is not None else text


def _hand_form(text: str) -> _Form:
    literals = {"None": None, "False": False}
    pairs = [word.partition("=")[::2] for word in text.split()]
    template = {name: literals[value] if value else _MISSING for name, value in pairs}
    return _made(tuple(template), None, template, {}, {})


def _signature(function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        return None


def _signature_form(signature: inspect.Signature, aliases: Mapping[str, str]) -> _Form:
    positional: list[str] = []
    rest = None
    template: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        name = aliases.get(parameter.name, _ALIASES.get(parameter.name, parameter.name))
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = len(positional)
        if parameter.kind is not parameter.KEYWORD_ONLY:
            positional.append(name)
        given = parameter.default is not parameter.empty
        template[name] = parameter.default if given else _MISSING
        if parameter.kind is parameter.VAR_POSITIONAL:
            template[name] = ()
    return _made(positional, rest, template, aliases, {})


# --- which values torch takes for which type ---------------------------------------------------


def _whole(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool | Tensor)


def _real(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, Tensor)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "Tensor": lambda value: isinstance(value, Tensor),
    "int": _whole,
    "float": lambda value: _real(value) and not isinstance(value, bool),
    "number": lambda value: _real(value) or isinstance(value, complex),
    "complex": lambda value: isinstance(value, complex) or _real(value),
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "Device": lambda value: isinstance(value, torch.device | str),
    "ScalarType": lambda value: isinstance(value, torch.dtype) or value in (float, int, bool),
    "Layout": lambda value: isinstance(value, torch.layout),
    "MemoryFormat": lambda value: isinstance(value, torch.memory_format),
    "Generator": lambda value: isinstance(value, torch.Generator),
}


def _exactly(kind: str, value: Any) -> bool:
    sized = kind.endswith("*")
    kind = kind.removesuffix("*")
    if kind.startswith("Optional["):
        if value is None:
            return True
        kind = kind[len("Optional[") : -1]
    if kind.startswith("List["):
        inner = kind[len("List[") : -1]
        if isinstance(value, list | tuple):
            # An element of a list of sizes may be a tensor without dimensions.
            loose = inner == "int"
            return all(_exactly(inner, i) or (loose and _scalar(i)) for i in value)
        return sized and _exactly(inner, value)
    check = _CHECKS.get(kind)
    return check is None or check(value)


def _scalar(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 0


def _nearly(kind: str, value: Any) -> bool:
    """As torch goes on when nothing fits: numbers for tensors, tensors without dimensions for
    numbers."""
    if _exactly(kind, value):
        return True
    core = kind.removesuffix("*").removeprefix("Optional[").removesuffix("]")
    if core == "Tensor":
        return _CHECKS["number"](value)
    return core in ("number", "int", "float", "bool") and _scalar(value)


def _by_count(kind: str, value: Any) -> bool:
    return True


# --- particular functions and layers -----------------------------------------------------------


def _reflected(bound: dict[str, Any]) -> None:
    if "input" in bound and "other" in bound:
        bound["input"], bound["other"] = bound["other"], bound["input"]


def _index(bound: dict[str, Any]) -> None:
    index = bound.get("index")
    bound["index"] = index if type(index) is tuple else (index,)


def _einsum(bound: dict[str, Any]) -> None:
    """`einsum(a, [0, 1], b, [1, 2], [0, 2])` as `einsum("AB,BC->AC", a, b)`."""
    first, rest = bound.get("equation"), bound.get("tensors", ())
    if isinstance(first, str):
        if len(rest) == 1 and isinstance(rest[0], list | tuple):
            bound["tensors"] = tuple(rest[0])
        return
    if not isinstance(first, Tensor):
        return
    parts = [first, *rest]
    tensors, lists = parts[::2], parts[1::2]
    if len(parts) % 2:
        tensors.pop()
        lists.append(parts[-1])
    try:
        words = ["".join(_letter(part) for part in each) for each in lists]
    except (TypeError, ValueError):
        return
    count = len(tensors)
    bound["equation"] = ",".join(words[:count]) + (f"->{words[-1]}" if len(parts) % 2 else "")
    bound["tensors"] = tuple(tensors)


def _letter(part: Any) -> str:
    if part is Ellipsis:
        return "..."
    number = operator.index(part)
    return chr(ord("A") + number) if number < 26 else chr(ord("a") + number - 26)


_AFTERWARDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "__getitem__": _index,
    "__setitem__": _index,
    "einsum": _einsum,
}

_settings: dict[type, tuple[str, ...]] = {}


def bind_layer(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a layer, named as its constructor's parameters, and what it was called with.

    Its own parameters and buffers are there under their names (`weight`, `bias`).
    """
    kind = type(module)
    if kind not in _settings:
        _settings[kind] = tuple(_constructor_names(kind))
    forward = kind.forward
    form = _forms.get(forward)
    if form is None:
        signature = _signature(forward)
        form = (
            _hand_form("self input")
            if signature is None
            else _signature_form(signature, {"self": "self"})
        )
        _forms[forward] = form
    bound = form.named((None, *args), kwargs)
    bound.pop("self", None)
    # Its own last: an argument of the forward may be called as a setting is (`output_size`).
    bound.setdefault("training", module.training)
    for own in (module._parameters, module._buffers):
        for name, tensor in own.items():
            bound.setdefault(name, tensor)
    settings = module.__dict__
    for name in _settings[kind]:
        if name in settings:
            bound.setdefault(name, settings[name])
    return bound


def _constructor_names(kind: type) -> Iterator[str]:
    for each in kind.__mro__:
        if each is nn.Module:
            return
        signature = _signature(each.__init__) if "__init__" in each.__dict__ else None  # type: ignore[misc]
        for parameter in signature.parameters.values() if signature is not None else ():
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                yield parameter.name


# --- plain values --------------------------------------------------------------------------------

# Exact types first: they are told faster than by asking for each class.
_AS_THEY_ARE = frozenset([type(None), bool, int])
_MOSTLY = frozenset([Tensor, nn.Parameter, tuple, list, torch.Size, float, str, slice])
_NAMED = (torch.dtype, torch.device, torch.layout, torch.memory_format)
# As a dtype, `float` is torch's double.
_PYTHON_TYPES = {float: "float64", int: "int64", bool: "bool", complex: "complex128"}
_LONGEST = 1000
_DEEPEST = 8
_MOST = 10_000
"""So many values of one call are kept."""


def number(value: Any) -> int | float:
    """A number of Python, of whatever kind `value` is.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        # One object: NaN is equal to itself alone.
        return math.nan if math.isnan(value) else float(value)
    return operator.index(value)


def plain(
    bound: Mapping[str, Any],
    tensors: Sequence[Tensor],
    number: Callable[[Any], int | float] = number,
) -> Bound:
    """`bound` as a document keeps it: each of the `tensors` by its position, other values as plain
    data, without what is no data (functions, modules, generators) and torch's own (`_stacklevel`).
    `number` makes numbers of what is neither of Python's nor text.
    """
    maker = _Plain(tensors, number)
    pairs: list[tuple[str, Value]] = []
    for name, value in bound.items():
        kind = type(value)
        if name[0] == "_":
            continue
        if kind in _AS_THEY_ARE:
            if value is not None or name != "out":
                pairs.append((name, value))
        elif kind in _MOSTLY:
            pairs.append((name, maker.value(value)))
        elif isinstance(value, type) and value in _PYTHON_TYPES:
            pairs.append((name, _PYTHON_TYPES[value]))
        elif isinstance(value, Tensor) or not (
            callable(value) or isinstance(value, torch.Generator)
        ):
            pairs.append((name, maker.value(value)))
    return Bound(tuple(pairs))


_WITH_TENSORS = frozenset([TensorAt, tuple])


@functools.cache
def _at(index: int | None) -> TensorAt:
    return TensorAt(index)


def moved_operands(bound: Bound, positions: Sequence[int], own: Mapping[str, int]) -> Bound:
    """`bound` where operand i is now at `positions[i]`, and what was none has a place of its `own`
    by name."""

    def moved(name: str, value: Value) -> Value:
        if isinstance(value, TensorAt):
            return _at(own.get(name) if value.index is None else positions[value.index])
        if type(value) is tuple and not _AS_THEY_ARE.issuperset(map(type, value)):
            return tuple([moved(name, item) for item in value])
        return value

    if not own and all(map(operator.eq, positions, range(len(positions)))):
        return bound
    return Bound(
        tuple([(p[0], moved(*p)) if type(p[1]) in _WITH_TENSORS else p for p in bound.pairs])
    )


class _Plain:
    """Makes plain data of the values of one call."""

    def __init__(self, tensors: Sequence[Tensor], number: Callable[[Any], int | float]) -> None:
        self.number = number
        self.tensors = tensors
        self.positions = {id(tensor): position for position, tensor in enumerate(tensors)}
        self.twice: dict[int, int] = {}
        self.left = _MOST

    def value(self, value: Any, depth: int = 0) -> Value:
        kind = type(value)
        as_it_is: Value = value
        if kind in _AS_THEY_ARE or (kind is float and value == value):
            return as_it_is
        if kind is tuple and len(value) <= _LONGEST and _AS_THEY_ARE.issuperset(map(type, value)):
            return as_it_is
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, str):
            return value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "..."
        if isinstance(value, list | tuple):
            if depth > _DEEPEST or len(value) > min(_LONGEST, self.left):
                return f"<{len(value)} values>"
            self.left -= len(value)
            return tuple([self.value(item, depth + 1) for item in value])
        return as_it_is if value is Ellipsis else self.other(value, depth)

    def other(self, value: Any, depth: int) -> Value:
        if isinstance(value, slice):
            return Slice(*(self.value(p, depth + 1) for p in (value.start, value.stop, value.step)))
        if isinstance(value, _NAMED):
            return str(value).removeprefix("torch.")
        try:
            return self.number(value)
        except (TypeError, ValueError, OverflowError):
            return _text(value)

    def tensor(self, tensor: Tensor) -> TensorAt:
        position = self.positions.get(id(tensor))
        if len(self.positions) < len(self.tensors) and position is not None:
            # One that is given twice stands in the operands twice.
            places = [place for place, each in enumerate(self.tensors) if each is tensor]
            time = self.twice.get(position, 0)
            self.twice[position] = time + 1
            position = places[min(time, len(places) - 1)]
        return _at(position)


def _text(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a user's __repr__ must not end the trace
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else text[:77] + "..."
