"""What a module can be constructed with, found by constructing it.

The names and annotations of parameters give a first guess, the next ones change one argument at a
time: for as long as the constructor comes further, and after that for as long as a forward is left
with sizes at odds.  All is counted in attempts.
"""

from __future__ import annotations

import ast
import enum
import inspect
import itertools
import linecache
import re
import sys
import traceback
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from tracer import settings
from tracer.configurations import (
    FEW_LAYERS,
    LARGE,
    NARROW,
    SMALL,
    candidates,
    has_sizes,
    is_configuration,
    part_with,
    shrunk,
    usual,
)
from tracer.outline import Argument, ModuleClass
from tracer.source.text import definition

WIDTHS = (64, 32, 16, 96, 256)
"""What is tried for channels and features that a constructor needs, in turn."""

MOST_CONFIGURATIONS = 3
MOST_WIDTH = 4096

MOST_ATTEMPTS = 60
"""Calls of a constructor that fails."""

MOST_OTHERS = 12
"""Other arguments for a forward that fails."""

LARGEST_MODEL = 60_000_000
"""Elements of the parameters of a module that is made without its sizes being given."""

LARGEST_OWN = 250_000_000
"""The same of one's own module, whose configuration has the sizes that its author gave it."""

DEPTH = 3
"""Objects within objects that are made for an argument."""

_NUMBERS: tuple[tuple[str, int], ...] = (
    (r"heads?$|groups", 4),
    (r"kernel|window|patch", 4),
    (r"idx|index|padding|offset|start", 0),
    (r"dilation", 1),
    (
        r"depth|layers?$|layers|blocks|repeat|times|scale|stride|factor|ratio|rates|expan|upscale|levels|n_stages",
        2,
    ),
    (r"class|outputs", 10),
    (r"vocab|num_embeddings|tokens|length|max_", 100),
    (r"size|resolution", 16),
)
"""What a whole number is probably meant to be, by the name of its parameter; else a width."""

_LAYERS = re.compile(r"layer|depth|block")

_KINDS_OF_LAYERS: tuple[tuple[str, str], ...] = (
    (r"conv", "nn.Conv2d"),
    (r"norm|bn", "nn.BatchNorm2d"),
    (r"pool|downsample", "nn.AvgPool2d"),
    (r"linear|proj|fc", "nn.Linear"),
    (r"", "nn.ReLU"),
)
"""What a class of layers is probably meant to be, by the name of its parameter."""


# --- what it takes ------------------------------------------------------------------------------


def form_of(made: Callable[..., Any], forward: Callable[..., Any]) -> ModuleClass:
    """What the constructor and the forward of a live class take, in the form in which
    `tracer.outline` tells it of a text."""
    return ModuleClass(
        name=getattr(made, "__name__", ""),
        line=0,
        constructor=tuple(_told(each) for each in parameters(made)),
        forward=tuple(_told(each) for each in parameters(forward)),
        used=False,
    )


def _told(parameter: inspect.Parameter) -> Argument:
    kinds: dict[Any, str] = {
        parameter.VAR_POSITIONAL: "*",
        parameter.VAR_KEYWORD: "**",
        parameter.KEYWORD_ONLY: "=",
    }
    annotation, default = parameter.annotation, parameter.default
    return Argument(
        name=parameter.name,
        annotation="" if annotation is parameter.empty else _annotation_text(annotation),
        default=None if default is parameter.empty else _default_text(default),
        kind=kinds.get(parameter.kind, ""),
    )


def _annotation_text(annotation: Any) -> str:
    plain = isinstance(annotation, type) and not typing.get_args(annotation)
    return str(annotation.__name__) if plain else inspect.formatannotation(annotation)


def _default_text(default: object) -> str:
    text = getattr(default, "__name__", None) or repr(default)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- what can be constructed --------------------------------------------------------------------

Build = Callable[[Mapping[str, str]], nn.Module]


def built(
    made: Callable[..., Any], given: Mapping[str, str], build: Build, small: bool = False
) -> tuple[nn.Module, dict[str, str]]:
    """The first module that `build` makes of arguments for `made`, and these: what is `given`, and
    what is found for the rest.

    Raises:
        Exception: the first that `build` has raised, if nothing can be built.
    """
    search = _Construction(made, given, build, small)
    for texts in guessed(made, given, small):
        found, error = search.completed(texts)
        if found is not None:
            return found
        assert error is not None
        if texts == dict(given) and not (small and _needs_more(made, texts, error)):
            raise error
    improves = search.first is not None
    while improves and search.attempts < MOST_ATTEMPTS:
        improves = False
        for texts in (*search.several, *_changed(made, search.furthest, given)):
            before = search.line
            found, _ = search.completed(texts)
            if found is not None:
                return found
            improves = search.line > before
            if improves or search.attempts >= MOST_ATTEMPTS:
                break
    if search.first is not None:
        raise search.first
    known = _known(made, given, small)
    return build(known), known


class _Construction:
    """Calls of one constructor: the `first` error, the `line` of it that was reached and the
    arguments that came so far."""

    def __init__(
        self, made: Callable[..., Any], given: Mapping[str, str], build: Build, small: bool
    ) -> None:
        self.made, self.build, self.small, self.given = made, build, small, given
        self.first: Exception | None = None
        self.line, self.furthest = -1, dict(given)
        self.several: list[dict[str, str]] = []
        self.attempts = 0

    def tried(
        self, texts: dict[str, str]
    ) -> tuple[tuple[nn.Module, dict[str, str]] | None, Exception | None]:
        """The module of these arguments and them, or the error."""
        self.attempts += 1
        try:
            return self._kept(*_of_a_size(self.made, texts, self.build, self.small)), None
        except Exception as error:  # noqa: BLE001 - the next may do
            line = _line(self.made, _emptied(error))
            if line > self.line:
                self.line, self.furthest = line, texts
                self.several = [
                    *_as_given(self.made, texts, error),
                    *_as_several(self.made, texts, error),
                ]
            return None, error

    def completed(
        self, texts: dict[str, str]
    ) -> tuple[tuple[nn.Module, dict[str, str]] | None, Exception | None]:
        """The same of the arguments with what of configurations and settings they turn out to
        lack."""
        found, error = self.tried(texts)
        while error is not None:
            rest = _of_a_part(texts, error) or self.with_settings(texts, error)
            if rest is None:
                self.first = self.first or error
                break
            texts = rest
            found, error = self.tried(texts)
        return found, error

    def with_settings(self, texts: Mapping[str, str], error: Exception) -> dict[str, str] | None:
        """The arguments with what of settings the error says is lacking."""
        own = {name: text for name, text in texts.items() if name not in self.given}
        found = settings.more(self.made, own, error, self._part)
        return None if found is None else {**texts, **found}

    def _kept(self, model: nn.Module, texts: dict[str, str]) -> tuple[nn.Module, dict[str, str]]:
        """The module with settings that have what its forwards read of them."""
        own = {name: text for name, text in texts.items() if name not in self.given}
        more = {**texts, **settings.read_later(self.made, model, own, self._part)}
        return (model, texts) if more == texts else (self.build(more), more)

    def _part(self, name: str) -> str:
        return _usual(self.made, name) or str(number(name, WIDTHS[0]))


def _of_a_part(texts: dict[str, str], error: Exception) -> dict[str, str] | None:
    """The arguments with the part of a configuration that has what the whole lacks; None if there
    is none."""
    path = part_with(error)
    kind = type(getattr(error, "obj", None)).__name__
    for name, text in texts.items():
        if path and text.partition("(")[0].rpartition(".")[2] == kind and path not in text:
            return {**texts, name: text + path}
    return None


def _needs_more(made: Callable[..., Any], texts: Mapping[str, str], error: Exception) -> bool:
    """Whether a constructor to which nothing was left to find may want what has a default."""
    wants = isinstance(error, TypeError | AttributeError) and _WANTS_MORE.search(str(error))
    return bool(wants) or next(_configured(made, texts), None) is not None


def _left_out(made: Callable[..., Any], texts: Mapping[str, str]) -> list[inspect.Parameter]:
    """The parameters that are not given and have a default of None."""
    return [each for each in parameters(made) if each.default is None and each.name not in texts]


def _configured(made: Callable[..., Any], texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Small configurations for those parameters that may have one, by name."""
    for each in _left_out(made, texts):
        if is_configuration(one_of(each.annotation)):
            text = _argument(made, each, _Taste(WIDTHS[0], SMALL, 0), 0)
            if text is not None:
                yield each.name, text


def _emptied(error: Exception) -> Exception:
    """The error; where memory ran out without what its frames hold, half a large module."""
    if isinstance(error, MemoryError) or "memory" in str(error):
        traceback.clear_frames(error.__traceback__)
    return error


def _line(made: Callable[..., Any], error: Exception) -> int:
    """The line of the constructor that it has reached, 0 before the first."""
    own = getattr(_constructor(made), "__code__", None)
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code is own]
    return max(lines, default=0)


def _read_in_vain(
    made: Callable[..., Any], error: Exception
) -> Iterator[tuple[inspect.Parameter, Any]]:
    """The parameters, with their values, that the line of the constructor reads which fails."""
    own = getattr(_constructor(made), "__code__", None)
    frames = [each for each in traceback.walk_tb(error.__traceback__) if each[0].f_code is own]
    if own is None or not frames:
        return
    read = re.findall(r"\w+", linecache.getline(own.co_filename, frames[-1][1]))
    for each in parameters(made):
        if each.name in read:
            yield each, frames[-1][0].f_locals.get(each.name)


def _as_given(
    made: Callable[..., Any], texts: Mapping[str, str], error: Exception
) -> Iterator[dict[str, str]]:
    """The arguments with those as well that the line which fails reads and finds to be None."""
    found = {}
    for each, value in _read_in_vain(made, error):
        if value is None and each.name not in texts and "None" in str(error):
            text = _argument(made, each, _Taste(WIDTHS[0], SMALL, 0), 0)
            if text is not None:
                found[each.name] = text
    if found:
        yield {**texts, **found}


def _as_several(
    made: Callable[..., Any], texts: Mapping[str, str], error: Exception
) -> Iterator[dict[str, str]]:
    """The arguments with several in the place of the one number, found or by default, that the line
    of the constructor which fails reads, where it fails since it wants several."""
    if not _WANTS_SEVERAL.search(str(error)):
        return
    for each, value in _read_in_vain(made, error):
        plain = type(value) in (int, float) and each.default is not each.empty
        if plain and not any(_allowed(each)):
            for count in _LENGTHS:
                yield {**texts, each.name: f"[{value!r}] * {count}"}


def _changed(
    made: Callable[..., Any], texts: Mapping[str, str], given: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    """The arguments with one of those that are not given changed, those found before those that
    have a default of None."""
    unset = [each.name for each in _left_out(made, texts)]
    yield from ({**texts, name: text} for name, text in _configured(made, texts))
    for each in parameters(made):
        if each.name not in given:
            for kind in _allowed(each):
                for text in _several(each.name, kind, WIDTHS[0]):
                    yield {**texts, each.name: text}
    own = settings.slots({name: text for name, text in texts.items() if name not in given})
    for way in own:
        yield from (settings.put(texts, way, repr(word)) for word in words(made, way[-1]))
    for literal in ("[{0}] * 4", "({0}, {0})", "None", "1", "3", "nn.Identity()", "{1}"):
        for way, text in own.items():
            yield settings.put(texts, way, literal.format(text, _layer(way[-1])))
    for literal in ("2", str(WIDTHS[0]), "{0}"):
        for name in unset:
            if name not in given:
                yield {**texts, name: literal.format(_usual(made, name) or _layer(name))}


def words(made: Callable[..., Any], name: str) -> list[str]:
    """The texts with which the constructor compares the parameter of that name."""
    found = definition(_constructor(made))
    if found is None:
        return []
    _, function = found
    known: dict[str, None] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and getattr(node.left, "id", "") == name:
            for each in ast.walk(node.comparators[0]):
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    known[each.value] = None
    return list(known)


def _layer(name: str) -> str:
    return next(text for pattern, text in _KINDS_OF_LAYERS if re.search(pattern, name))


def others(
    made: Callable[..., Any],
    texts: Mapping[str, str],
    given: Mapping[str, str],
    odds: Sequence[int] = (),
) -> Iterator[dict[str, str]]:
    """Other arguments than those found (`texts`), for a forward that fails, at most `MOST_OTHERS`:
    each of the whole numbers in the ratio of the two sizes at `odds`, then configurations and other
    words, then small numbers, then what else has a default of None."""
    own = settings.slots({name: text for name, text in texts.items() if name not in given})
    numbers = {way: int(text) for way, text in own.items() if text.isdecimal()}
    whole = (*_configured(made, texts), *_reconfigured(made, texts, given))
    found: dict[tuple[settings.Way, str], None] = {((name,), text): None for name, text in whole}
    if len(odds) == 2 and min(odds) > 0:
        for way, number in numbers.items():
            for above, below in (odds, tuple(reversed(odds))):
                times, rest = divmod(number * above, below)
                if not rest and 0 < times <= MOST_WIDTH:
                    found[way, str(times)] = None
    for way, text in own.items():
        if text[:1] in "'\"":
            found |= dict.fromkeys((way, repr(word)) for word in words(made, way[-1]))
    for small in ("3", "1"):
        found |= dict.fromkeys((way, small) for way, number in numbers.items() if number < 32)
    found |= {(way, "1"): None for way in numbers if way[-1] in ("dim", "axis")}
    found |= dict.fromkeys(((each.name,), "2") for each in _left_out(made, texts))
    for way, text in itertools.islice(found, MOST_OTHERS):
        if own.get(way) != text:
            yield settings.put(texts, way, text)


def _reconfigured(
    made: Callable[..., Any], texts: Mapping[str, str], given: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Other configurations than those found, by name: with all of its layers, as what is wanted
    may be in one of them alone, with the sizes that it has by itself, as some go together, and of
    the class that is likeliest after it."""
    for each in parameters(made):
        found = each.name in texts and each.name not in given
        means = is_configuration(one_of(each.annotation)) or each.name in ("config", "cfg")
        if means and found and is_required(each):
            for how, choice in ((NARROW, 0), (FEW_LAYERS, 0), (SMALL, 1)):
                text = _argument(made, each, _Taste(WIDTHS[0], how, choice), 0)
                if text is not None:
                    yield each.name, text


def _of_a_size(
    made: Callable[..., Any], texts: dict[str, str], build: Build, small: bool
) -> tuple[nn.Module, dict[str, str]]:
    """The module of these arguments; where it may be made `small` and is large, with fewer of its
    layers, heads or channels than the usual."""
    size = elements(build, texts) if small else 0
    if size <= LARGEST_MODEL:
        return build(texts), texts
    counts = [
        each.name
        for each in parameters(made)
        if type(each.default) is int and each.default > 2 and each.name not in texts
    ]
    counts.sort(key=lambda name: not _LAYERS.search(name))
    for name in counts[:MOST_OTHERS]:
        fewer = {**texts, name: "2"}
        after = elements(build, fewer)
        if 0 < after < size * 0.6:
            texts, size = fewer, after
        if size <= LARGEST_MODEL:
            break
    return build(texts), texts


class _Unset(TorchFunctionMode):
    """Parameters are not set to anything."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") in ("uniform_", "normal_") and args:
            return args[0]
        return func(*args, **(kwargs or {}))


def elements(build: Build, texts: Mapping[str, str]) -> int:
    """Of the parameters; 0 where that is not known without making them."""
    try:
        with torch.device("meta"), _Unset():
            return sum(each.numel() for each in build(texts).parameters())
    except Exception:  # noqa: BLE001 - it may need values, or refuse
        return 0


def is_large(made: Callable[..., Any], given: Mapping[str, str], build: Build) -> bool:
    """Whether a configuration makes more of a module by its own sizes than can be run here."""
    texts = next(guessed(made, given), {})
    configured = any(text.endswith("()") for name, text in texts.items() if name not in given)
    return configured and elements(build, texts) > LARGEST_OWN


# --- constructors -------------------------------------------------------------------------------


def guessed(
    made: Callable[..., Any], given: Mapping[str, str] = {}, small: bool = False
) -> Iterator[dict[str, str]]:
    """What `made` may be called with, as Python text by name, the likeliest first: what is `given`,
    and something for each parameter without a default.  Nothing where a parameter is of a kind of
    which nothing is known.

    The texts use the names of the file in which `made` is written, and of its package.
    Configurations of large models are made `small`.
    """
    seen = []
    for choice in range(MOST_CONFIGURATIONS):
        for width in WIDTHS:
            for how in (SMALL, FEW_LAYERS, LARGE) if small else (LARGE,):
                found = _arguments(made, given, _Taste(width, how, choice), 0)
                if found is None:
                    return
                if found not in seen:
                    seen.append(found)
                    yield found


@dataclass(frozen=True)
class _Taste:
    """What is chosen where there is a choice: for a width, of configurations how far they are
    made small, and the which-most likely class of them."""

    width: int
    how: int
    choice: int


def _arguments(
    made: Callable[..., Any], given: Mapping[str, str], taste: _Taste, depth: int
) -> dict[str, str] | None:
    found = dict(given)
    for parameter in parameters(made):
        if parameter.name in found or not is_required(parameter):
            continue
        value = _argument(made, parameter, taste, depth)
        if value is None:
            return None
        found[parameter.name] = value
    return found


def _known(made: Callable[..., Any], given: Mapping[str, str], small: bool) -> dict[str, str]:
    """What is given, and what is guessed where one parameter at least is of no known kind."""
    taste = _Taste(WIDTHS[0], SMALL if small else LARGE, 0)
    needed = [each for each in parameters(made) if is_required(each) and each.name not in given]
    texts = {each.name: _argument(made, each, taste, 0) for each in needed}
    return dict(given) | {name: text for name, text in texts.items() if text is not None}


def parameters(made: Callable[..., Any]) -> list[inspect.Parameter]:
    """With the annotations that can be resolved, the inherited ones where a class has none; of what
    is overloaded those of the first form, and of what only hands them on those of the class
    above."""
    made, function = _taking(made), _constructor(made)
    forms = typing.get_overloads(function) if inspect.isfunction(function) else []
    try:
        found = list(inspect.signature(forms[0] if forms else made).parameters.values())
    except (ValueError, TypeError):
        return []
    if forms and found and found[0].name == "self":
        del found[0]
    hints = _hints(function)
    if isinstance(made, type):
        for above in made.__mro__[1:]:
            if "__init__" in vars(above) and above is not nn.Module and above is not object:
                hints = _hints(vars(above)["__init__"]) | hints
    return [each.replace(annotation=hints.get(each.name, each.annotation)) for each in found]


def _taking(made: Callable[..., Any]) -> Callable[..., Any]:
    """What takes the arguments: of a class that only hands them on, the one above it."""
    takes: Any = inspect.unwrap(getattr(made, "__init__", made))
    code = getattr(takes, "__code__", None)
    if not isinstance(made, type) or code is None or made.__mro__[1] in (nn.Module, object):
        return made
    takes_any = code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    names_none = code.co_argcount + code.co_kwonlyargcount == 1
    hands_on = takes_any and names_none and not typing.get_overloads(takes)
    return _taking(made.__mro__[1]) if hands_on else made


def _constructor(made: Callable[..., Any]) -> Any:
    taking = _taking(made)
    own = getattr(taking, "__init__", taking) if isinstance(taking, type) else taking
    return inspect.unwrap(own)  # what a decorator has wrapped has the lines and the names


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - names of other people's annotations may not exist
        return {}


_WANTS_SEVERAL = re.compile(r"subscriptable|iterable|unpack|has no len")
_WANTS_MORE = re.compile(rf"None|{_WANTS_SEVERAL.pattern}")
"""What is said of a number in the place of several, and of a value that stands for none."""

_LENGTHS = (4, 2, 3)
"""Of lists of which nothing says how long they are."""

_HANDED_ON = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def is_required(parameter: inspect.Parameter) -> bool:
    return parameter.kind not in _HANDED_ON and parameter.default is parameter.empty


def _argument(
    made: Callable[..., Any], parameter: inspect.Parameter, taste: _Taste, depth: int
) -> str | None:
    options = [each for each in typing.get_args(parameter.annotation) if each is not type(None)]
    if _is_union(parameter.annotation) and len(options) > 1:
        each_of = (parameter.replace(annotation=each) for each in options)
        made_of = (_argument(made, each, taste, depth) for each in each_of)
        return next((text for text in made_of if text is not None), None)
    kind: Any = one_of(parameter.annotation)
    if dict in (kind, typing.get_origin(kind)) and (text := _table(made, parameter.name)):
        return text
    named = parameter.name in ("config", "cfg") and not settings.is_table(kind)
    if is_configuration(kind) or named:
        known = candidates(made, kind)
        kind = known[min(taste.choice, len(known) - 1)] if known else kind
    if settings.may_be(kind):
        kind = settings.class_of(made, parameter.name) or kind
        text = settings.start(made, parameter) if settings.may_be(kind) else None
        if text is not None:
            return text
    if kind is bool:
        return "False"
    if kind is float:
        return "0.5"
    if kind in (int, parameter.empty, Any):
        asked = _word(made, parameter.name)
        return asked or str(number(parameter.name, taste.width))
    if kind is str:
        text = _word(made, parameter.name) or _usual(made, parameter.name)
        return text or _plain(usual(made, parameter.name), {}) or _key(made, parameter.name)
    if typing.get_origin(kind) is typing.Literal:
        return repr(typing.get_args(kind)[0])
    if several(kind):
        parts = [each for each in typing.get_args(kind) if each is not Ellipsis]
        if len(parts) == 1 and isinstance(parts[0], type) and issubclass(parts[0], nn.Module):
            one = _argument(made, parameter.replace(annotation=parts[0]), taste, depth)
            return one and f"[{one}, {one}]"
        return next(_several(parameter.name, kind, taste.width))
    if typing.get_origin(kind) is type or kind is type:
        return _usual(made, parameter.name) or _layer(parameter.name)
    if kind is nn.Module:
        return "nn.Identity()"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _member(made, kind)
    if isinstance(kind, type) and kind.__module__ != "builtins" and depth < DEPTH:
        return _object(made, kind, taste, depth) or _usual(made, parameter.name)
    return _usual(made, parameter.name)


def several(kind: Any) -> bool:
    """Whether it is a tuple or a list."""
    plain = typing.get_origin(kind) or kind
    return isinstance(plain, type) and issubclass(plain, tuple | list)


def _allowed(parameter: inspect.Parameter) -> Iterator[Any]:
    """The tuples and lists that its annotation allows."""
    return filter(several, (parameter.annotation, *typing.get_args(parameter.annotation)))


def _several(name: str, kind: Any, width: int) -> Iterator[str]:
    """A tuple or a list of what the annotation says, as long as it says; else of several lengths,
    the usual first."""
    parts = [each for each in typing.get_args(kind) if each is not Ellipsis]
    known: dict[Any, str] = {float: "0.5", bool: "False"}
    one = known.get(parts[0] if parts else int, str(number(name, width)))
    if issubclass(typing.get_origin(kind) or kind, tuple):
        for count in (len(parts),) if len(parts) > 1 else (2, 3):
            yield f"({', '.join([one] * count)})"
    else:
        yield from (f"[{one}] * {count}" for count in _LENGTHS)


def _table(made: Callable[..., Any], name: str) -> str | None:
    """A table of the file of `made` that is called like the parameter, `cfg_cls` for `cfg`; the
    first that is in it if it is one of tables."""
    for other, value in names_beside(made).items():
        if isinstance(value, dict) and value and re.match(rf"{name}(s|_|$)", other):
            first, within = next(iter(value.items()))
            return f"{other}[{first!r}]" if isinstance(within, dict) else other
    return None


def _word(made: Callable[..., Any], name: str) -> str | None:
    """One of the texts that the constructor compares a parameter with: the one that it usually
    has, if that is among them."""
    known = [repr(each) for each in words(made, name)]
    usual = _usual(made, name) if known else None
    return usual if usual in known else next(iter(known), None)


def _key(made: Callable[..., Any], name: str) -> str | None:
    """The first key of the table of the file of `made` in which the constructor looks that
    parameter up, `ACT2FN[hidden_act]`."""
    _, function = definition(_constructor(made)) or (None, None)
    beside = names_beside(made)
    for node in ast.walk(function) if function is not None else ():
        if isinstance(node, ast.Subscript) and getattr(node.slice, "id", "") == name:
            table = beside.get(getattr(node.value, "id", ""))
            first = next(iter(table), None) if isinstance(table, dict) else None
            if isinstance(first, str):
                return repr(first)
    return None


def _member(made: Callable[..., Any], kind: type[enum.Enum]) -> str | None:
    text, first = written(made, kind), next(iter(kind), None)
    return None if text is None or first is None else f"{text}.{first.name}"


def _object(made: Callable[..., Any], kind: type, taste: _Taste, depth: int) -> str | None:
    text = written(made, kind)
    small = shrunk(kind, taste.how, lambda part: written(made, part)) if has_sizes(kind) else {}
    inner = _arguments(kind, small, taste, depth + 1)
    if inner is None or text is None:
        return None
    return f"{text}({', '.join(f'{name}={value}' for name, value in inner.items())})"


def written(made: Callable[..., Any], kind: type) -> str | None:
    """How a class is named in the file of `made`: as it is there, else by its package; None if
    neither does."""
    name = kind.__name__
    if names_beside(made).get(name) is kind:
        return name
    module = sys.modules.get(kind.__module__)
    return f"{kind.__module__}.{name}" if getattr(module, name, None) is kind else None


def _usual(made: Callable[..., Any], name: str) -> str | None:
    """What a parameter of that name is by default elsewhere in the file of `made`, where that can
    be written there; the commonest."""
    beside = names_beside(made)
    counted: Counter[str] = Counter()
    for other in beside.values():
        if not callable(other) or getattr(other, "__module__", "") != made.__module__:
            continue
        for parameter in parameters(other):
            text = _plain(parameter.default, beside) if parameter.name == name else None
            if text is not None:
                counted[text] += 1
    return next((text for text, _ in counted.most_common(1)), None)


def _plain(value: object, names: Mapping[str, Any]) -> str | None:
    """A plain value, or a class of torch.nn or of these names, as Python; None of all else."""
    if value is inspect.Parameter.empty:
        return None
    if isinstance(value, type):
        name: str = value.__name__
        if names.get(name) is value:
            return name
        return f"nn.{name}" if names.get("nn") is nn and vars(nn).get(name) is value else None
    plain = isinstance(value, int | float | str | tuple)
    return repr(value) if plain else None


def one_of(kind: Any) -> Any:
    """`int` of `int | None`; of other unions the tensor, or what stands first."""
    options = [each for each in typing.get_args(kind) if each is not type(None)]
    if not options or not _is_union(kind):
        return kind
    tensor = next((each for each in options if "Tensor" in str(each)), None)
    return tensor or one_of(options[0])


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def number(name: str, width: int) -> int:
    return next((number for words, number in _NUMBERS if re.search(words, name)), width)


def names_beside(made: Callable[..., Any]) -> dict[str, Any]:
    """The names of the file in which `made` is written, and those of its package and of torch."""
    module = sys.modules.get(getattr(made, "__module__", ""))
    package = getattr(made, "__module__", "").partition(".")[0]
    outside = {"torch": torch, "nn": nn} | (
        {package: sys.modules[package]} if package in sys.modules else {}
    )
    return outside | (dict(vars(module)) if module is not None else {})
