"""Inputs from a line of text: `2,3,224,224:float32`, `B,C,H,W` with sizes for the letters."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tracer.ops.names import BY_RANK
from tracer.sentences import ToldError, said
from tracer.syntax import parsed

_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_NAMED = re.compile(r"\s*(\w*)\s*(:=|=)(.*)", re.DOTALL)
_HELD = re.compile(r"\s*([^\W\d][\w.]*)?\s*([\[({])(.*)([\])}])\s*", re.DOTALL)
_LARGEST = 2**62
_WIDE = str.maketrans(
    {chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F)} | {"、": ",", "\u3000": " "}
)
"""Signs and digits as a Chinese keyboard writes them."""
_OPERATIONS: dict[type, Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
}


class InputError(ToldError):
    """The text describes no input; the message is one sentence for the user."""


def make(
    texts: Iterable[str],
    sizes: Mapping[str, int] | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    opened: Callable[[str, list[int] | None], Tensor] | None = None,
    kinds: Mapping[str, Any] | None = None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and keyword arguments that these texts describe.

    Args:
        texts: each `[NAME=]SIZES[:DTYPE]`.  `SIZES` are whole numbers, letters of `sizes` or
            products such as `H*W`; `[1,8,4,4; 1,8,2,2]` is a list of two tensors, `(...; ...)` a
            tuple, `{x=1,8; y=1:int64<2}` a dictionary, and `Batch(x=1,8; y=1)` an object of one of
            the `kinds`.  A bound may be named: `2,10:int64<1000` holds 0 to 999, and `2,10:<1` real
            numbers from 0 to 1.
            `NAME:=VALUE` and `:=VALUE` give a Python value that is no tensor, and
            `1,3,H,W@cat.png` or `@x.npy` what `opened` makes of a file of that name.
        sizes: what the letters stand for.
        dtype: of tensors whose text names none.
        opened: gives the tensor of a file, in the shape that is asked for or in its own.
        kinds: classes of which objects are made, by their names.
        seed: of the values: normal noise; whole numbers 0 and 1, legal in any embedding of two
            rows; bools at random.

    Raises:
        InputError: a text is none of these.
    """
    generator = torch.Generator().manual_seed(seed)
    making = _Making(sizes or {}, dtype, generator, opened, kinds or {})
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in texts:
        name, value = making.one(text)
        if not name:
            args.append(value)
        elif name in kwargs:
            raise InputError(said("{name} is given twice.", name=name))
        else:
            kwargs[name] = value
    return tuple(args), kwargs


def letters(texts: Iterable[str]) -> tuple[str, ...]:
    """The names in these texts that need a size, each once."""
    found: dict[str, None] = {}
    for text in texts:
        for _, part in _leaves(text):
            found |= dict.fromkeys(re.findall(r"[^\W\d]\w*", _shape_of(part)))
    return tuple(found)


def is_holding(text: str) -> bool:
    """Whether a text describes what holds tensors by names: a dictionary or an object."""
    _, rest, literal = _halves(text)
    held = None if literal else _held(rest)
    return held is not None and (bool(held[0]) or held[1] == "{")


def named(text: str) -> str:
    """The name that a text gives to its input, or nothing."""
    return _halves(text)[0]


def with_file(text: str, file: str) -> str:
    """The text of an input that takes a file; of what holds several tensors the first that may be
    a picture takes it, else the first."""
    name, rest, _ = _halves(text)
    held = _held(rest)
    if held is None:
        return f"{text}@{file}"
    head, bracket, inside = held
    parts = list(_items(inside))
    ranks = [_shape_of(_halves(each)[1]).count(",") + 1 for each in parts]
    place = ranks.index(4) if 4 in ranks else 0
    parts[place : place + 1] = [f"{each}@{file}" for each in parts[place : place + 1]]
    whole = f"{head}{bracket}{'; '.join(parts)}{_BRACKETS[bracket]}"
    return f"{name}={whole}" if name else whole


def dims(texts: Iterable[str], parameters: Iterable[str]) -> dict[str, str]:
    """The names of the inputs' dimensions, as `tracer.trace(dims=...)` takes them: the letters of
    `B,C,H,W`.  Where no text has letters the first tensor takes the usual names.

    `parameters` are what the forward calls its positional inputs.
    """
    found: dict[str, str] = {}
    plain: list[tuple[str, int]] = []
    names = iter(parameters)
    for text in texts:
        name = _halves(text)[0] or next(names, "")
        for way, part in _leaves(text, name) if name else ():
            items = [item.strip() for item in _shape_of(part).split(",") if item.strip()]
            if way == name:
                plain.append((name, len(items)))
            if any(item.isidentifier() for item in items):
                found[way] = " ".join(item if item.isidentifier() else "_" for item in items)
    if not found and plain and BY_RANK.get(plain[0][1]):
        name, rank = plain[0]
        found[name] = BY_RANK[rank]
    return found


def _shape_of(part: str) -> str:
    return part.partition("@")[0].partition(":")[0]


def dtype_of(name: str) -> torch.dtype:
    """`float32` or `torch.float32` as torch has it."""
    dtype = getattr(torch, name.strip().removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise InputError(
            said("{name} is no dtype of torch: give one such as float32 or int64.", name=repr(name))
        )
    return dtype


def _no_sizes(text: str) -> InputError:
    return InputError(
        said(
            "{text} should be sizes such as 2,3,224,224, optionally NAME= before and :DTYPE "
            "behind.",
            text=repr(text),
        )
    )


def _halves(text: str) -> tuple[str, str, bool]:
    """Name, what it is, and whether that is a Python value."""
    plain = text.translate(_WIDE)
    found = _NAMED.match(plain)
    if found is None:
        return "", plain.strip(), False
    name, sign, rest = found.groups()
    if sign == "=" and not name:
        raise _no_sizes(text)
    return (name, text[found.start(3) :], True) if sign == ":=" else (name, rest.strip(), False)


@dataclass(frozen=True)
class _Making:
    """What values are made with; see `make`."""

    sizes: Mapping[str, int]
    dtype: torch.dtype
    generator: torch.Generator
    opened: Callable[[str, list[int] | None], Tensor] | None
    kinds: Mapping[str, Any]

    def one(self, text: str) -> tuple[str, Any]:
        """The name in a text and what it describes."""
        name, rest, literal = _halves(text)
        if name and not name.isidentifier():
            raise _no_sizes(text)
        if literal:
            try:
                return name, ast.literal_eval(parsed(rest.strip(), "eval"))
            except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
                raise InputError(
                    said("{text} is no Python value such as 3 or (7, 7).", text=repr(rest.strip()))
                ) from error
        held = _held(rest)
        if held is not None:
            return name, self.holding(text, *held)
        head, at, file = rest.partition("@")
        if at and self.opened is not None:
            return name, _of_file(head, file.strip(), text, self.sizes, self.dtype, self.opened)
        return name, _tensor(rest, text, self.sizes, self.dtype, self.generator)

    def holding(self, text: str, head: str, bracket: str, inside: str) -> Any:
        """What holds the values of the texts between two brackets."""
        parts = [self.one(each) for each in _items(inside)]
        if not head and bracket != "{":
            values = [value for _, value in parts]
            return values if bracket == "[" else tuple(values)
        named = dict(parts)
        if bracket == "[" or len(named) < len(parts) or "" in named:
            raise _no_sizes(text)
        if not head:
            return named
        kind = self.kinds.get(head)
        if not isinstance(kind, type):
            raise InputError(said("{text}: nothing is called {head} here.", text=text, head=head))
        try:
            return kind(**named)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(
                said("{text} cannot be made: {first}.", text=repr(text), first=reason)
            ) from error


def _held(rest: str) -> tuple[str, str, str] | None:
    """Of a text with others between brackets what stands before them, the bracket, and what is
    between."""
    found = _HELD.fullmatch(rest)
    if found is None or _BRACKETS[found[2]] != found[4]:
        return None
    return found[1] or "", found[2], found[3]


def _items(inside: str) -> Iterator[str]:
    """The texts between brackets, which may have brackets themselves."""
    depth, item = 0, ""
    for letter in inside:
        depth += (letter in "[({") - (letter in "])}")
        if letter == ";" and not depth:
            if item.strip():
                yield item.strip()
            item = ""
        else:
            item += letter
    if item.strip():
        yield item.strip()


def _leaves(text: str, name: str = "") -> Iterator[tuple[str, str]]:
    """The texts of the single tensors in a text, each with what it is called behind that name."""
    own, rest, literal = _halves(text)
    held = None if literal else _held(rest)
    if held is None:
        if not literal:
            yield name or own, rest
        return
    head, bracket, inside = held
    for place, item in enumerate(_items(inside)):
        part = _halves(item)[0]
        way = f"[{part!r}]" if bracket == "{" else f".{part}" if head else f"[{place}]"
        whole = name or own
        yield from _leaves(item, f"{whole}{way}" if whole else way)


def _tensor(
    part: str,
    text: str,
    sizes: Mapping[str, int],
    dtype: torch.dtype,
    generator: torch.Generator,
) -> Tensor:
    shape_text, _, dtype_text = part.partition(":")
    dtype_text, below, bound_text = dtype_text.partition("<")
    shape = [_size(item, text, sizes) for item in shape_text.split(",") if item.strip()]
    if dtype_text.strip():
        dtype = dtype_of(dtype_text)
    bound = _size(bound_text, text, sizes) if below else None
    try:
        return _random(shape, dtype, bound, generator)
    except RuntimeError as error:
        first = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(
            said("{text} cannot be made: {first}.", text=repr(text), first=first)
        ) from error


def _of_file(
    head: str,
    file: str,
    text: str,
    sizes: Mapping[str, int],
    dtype: torch.dtype,
    opened: Callable[[str, list[int] | None], Tensor],
) -> Tensor:
    """What a file gives: of the type that the text names, else real numbers of the `dtype`."""
    shape_text, _, dtype_text = head.partition(":")
    shape = [_size(item, text, sizes) for item in shape_text.split(",") if item.strip()]
    found = opened(file, shape or None)
    named = dtype_text.partition("<")[0].strip()
    if named:
        return found.to(dtype_of(named))
    return found.to(dtype) if found.dtype.is_floating_point else found


def _size(item: str, text: str, sizes: Mapping[str, int]) -> int:
    try:
        size = _value(parsed(item.strip(), "eval").body, sizes)
    except InputError:
        raise
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        size = -1
    if not 0 <= size <= _LARGEST:
        raise _no_sizes(text)
    return size


def _value(node: ast.expr, sizes: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in sizes:
            raise InputError(said("{id} has no size: say what it is, such as {id}=2.", id=node.id))
        return sizes[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _value(node.left, sizes), _value(node.right, sizes)
        return int(_OPERATIONS[type(node.op)](left, right))
    raise ValueError("no size")


def _random(
    shape: list[int], dtype: torch.dtype, bound: int | None, generator: torch.Generator
) -> Tensor:
    if dtype.is_floating_point and bound is not None:
        return (bound * torch.rand(shape, generator=generator)).to(dtype)
    if dtype.is_floating_point or dtype.is_complex:
        kind = dtype if dtype in (torch.float64, torch.complex64, torch.complex128) else None
        return torch.randn(shape, generator=generator, dtype=kind).to(dtype)
    most = 2 if bound is None else bound
    return torch.randint(0, max(most, 1), shape, generator=generator).to(dtype)
