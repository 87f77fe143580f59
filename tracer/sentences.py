"""Sentences that are data: a text with gaps and what goes into them, put into words when somebody
reads them, in his language and with numbers or formulas."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, Union

Translate = Callable[[str], str]
"""A text in the reader's language, the text itself where it has none in that language."""

Formulas = Mapping[tuple[int, int], str]
"""(operand, dimension) → the formula to write in the place of its size."""


@dataclass(frozen=True)
class SizeAt:
    """The size of dimension `dim` of operand number `operand`."""

    operand: int
    dim: int
    size: int


@dataclass(frozen=True)
class ShapeOf:
    """A shape such as (4, 784); that of operand number `operand`, where it is one's."""

    shape: tuple[int, ...]
    operand: int | None = None


@dataclass(frozen=True)
class Count:
    """`3 channels`, `1 channel`: `thing` is the English singular."""

    number: int
    thing: str


Filling: TypeAlias = Union[
    bool, int, float, str, SizeAt, ShapeOf, Count, "Said", tuple["Filling", ...], None
]


@dataclass(frozen=True)
class Said:
    """`text` has `{name}` for each of `values`; it is also the key of its translations."""

    text: str
    values: tuple[tuple[str, Filling], ...] = ()

    def __str__(self) -> str:
        return render(self)


def said(text: str, /, **values: Any) -> Said:
    """A sentence whose gaps are filled with numbers, texts, sizes, shapes, counts or sentences;
    what the text has no gap for is left out."""
    wanted = gaps(text)
    return Said(text, tuple((name, value) for name, value in values.items() if name in wanted))


def as_written(text: str) -> Said:
    """Words that are somebody else's, an exception's or an older file's."""
    return Said("{words}", (("words", text),))


class ToldError(ValueError):
    """An error whose message is a sentence: in English by itself, in the reader's language when it
    is told."""

    def __init__(self, sentence: Said) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def told(self, translate: Translate = str) -> str:
        return render(self.sentence, translate)


def render(sentence: Said, translate: Translate = str, formulas: Formulas | None = None) -> str:
    """The sentence with its gaps filled."""
    values = {name: _written(value, translate, formulas or {}) for name, value in sentence.values}
    try:
        text = agreeing(translate(sentence.text), values)
        return _SPACE_AT_STOPS.sub("", text.format(**values))
    except (LookupError, ValueError):  # a damaged file, or a translation with another gap
        return sentence.text


_SPACE_AT_STOPS = re.compile(
    "(?<=[，。：；、（）]) | (?=[，。：；、（）])|(?<=[一-鿿]) (?=[一-鿿])"
)
"""Chinese stops have their own space, and Chinese words none between them."""


def gaps(text: str) -> set[str]:
    """The names of what is filled into a text.

    Raises:
        ValueError: its braces do not match.
    """
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def _written(value: Filling, translate: Translate, formulas: Formulas) -> str:
    if isinstance(value, Said):
        return render(value, translate, formulas)
    if isinstance(value, SizeAt):
        return formulas.get((value.operand, value.dim), str(value.size))
    if isinstance(value, ShapeOf):
        operand = value.operand
        sizes = [
            str(size) if operand is None else formulas.get((operand, dim), str(size))
            for dim, size in enumerate(value.shape)
        ]
        return shape_text(sizes)
    if isinstance(value, Count):
        noun = value.thing if value.number == 1 else plural(value.thing)
        return translate(f"{{n}} {noun}").replace("{n}", str(value.number))
    if isinstance(value, tuple):
        return listed([_written(item, translate, formulas) for item in value], translate)
    return str(value)


def at_operands(sentence: Said, positions: Mapping[int, int]) -> Said:
    """The sentence where operand number i is now `positions[i]`; of one that is not there any more
    the numbers stay."""

    def moved(value: Filling) -> Filling:
        if isinstance(value, Said):
            return at_operands(value, positions)
        if isinstance(value, tuple):
            return tuple(moved(item) for item in value)
        if isinstance(value, SizeAt):
            operand = positions.get(value.operand)
            return value.size if operand is None else replace(value, operand=operand)
        if isinstance(value, ShapeOf) and value.operand is not None:
            return replace(value, operand=positions.get(value.operand))
        return value

    return Said(sentence.text, tuple((name, moved(value)) for name, value in sentence.values))


def operands_of(sentence: Said) -> list[int]:
    """The operands whose sizes and shapes the sentence speaks of, in its order."""

    def found(value: Filling) -> list[int]:
        if isinstance(value, Said):
            return operands_of(value)
        if isinstance(value, tuple):
            return [operand for item in value for operand in found(item)]
        operand = value.operand if isinstance(value, SizeAt | ShapeOf) else None
        return [] if operand is None else [operand]

    return [operand for _, value in sentence.values for operand in found(value)]


# --- numbers and nouns ---------------------------------------------------------------------------

_NOUNS = (
    "argument bag bin block channel class column coordinate copy dimension element entry equation "
    "feature filter frequency group head input key layer matrix number output pair part place "
    "position product query result row sample score sequence size step tensor time unknown value "
    "vector window"
)


def plural(noun: str) -> str:
    """`rows` of `row`, also `entries`, `classes` and `matrices`."""
    if noun.endswith("trix"):
        return f"{noun[:-1]}ces"
    if noun[-1] == "y" and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun[-1] in "sx" else f"{noun}s"


_SINGULAR = {plural(noun): noun for noun in _NOUNS.split()}
_COUNTED = re.compile(r"(\b(?:Each of |each of )?(?:The|the) )?\{(\w+)\} ([a-z]+)")


def agreeing(text: str, values: Mapping[str, object]) -> str:
    """An English text whose nouns agree with the numbers that go before them: `{n} rows`, and
    `{n} row` where `n` is 1; (each of) `the {n} rows`, and `the one row`."""

    def agreed(found: re.Match[str]) -> str:
        the, name, noun = found.groups()
        if noun not in _SINGULAR or str(values.get(name)) != "1":
            return found[0]
        if not the:
            return f"{{{name}}} {_SINGULAR[noun]}"
        return f"{'The' if the[0].isupper() else 'the'} one {_SINGULAR[noun]}"

    return _COUNTED.sub(agreed, text)


# --- small texts ---------------------------------------------------------------------------------


def listed(texts: Iterable[object], translate: Translate = str) -> str:
    """`a, b and c`"""
    *front, last = [str(text) for text in texts] or [""]
    return f"{translate(', ').join(front)}{translate(' and ')}{last}" if front else last


class _Shaped(Protocol):
    @property
    def shape(self) -> Iterable[object]: ...


def shape_text(shape: Iterable[object] | _Shaped) -> str:
    """`(2, 64)`, and `(64,)` of a single dimension.  Takes the sizes, or what has a `shape`."""
    sizes = shape if isinstance(shape, Iterable) and not hasattr(shape, "shape") else shape.shape
    words = [str(size) for size in sizes]
    return f"({', '.join(words)}{',' * (len(words) == 1)})"
