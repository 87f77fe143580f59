"""Configurations of large models: which class is meant, and arguments that make it small."""

from __future__ import annotations

import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

LARGE, FEW_LAYERS, SMALL, NARROW = range(4)
"""How far a configuration is made small: not at all, in its layers, in its sizes too, in its sizes
alone."""

DEPTH = 3
"""Configurations within configurations."""

_NAME = re.compile(r"(Config|Configuration)$")
_SIZED = re.compile(rf"{_NAME.pattern}|(Args|Arguments|Params|HParams|Settings|Options)$")
_MOST_PARTS = 60

_LAYERS = (r"(^|_)(num_|n_)?(\w+_)?layers?$|(^|_)depth$", 2)
_VOCABULARY = 100
_SMALL: tuple[tuple[str, int], ...] = (
    _LAYERS,
    (r"(key_value|kv)_heads$", 2),
    (r"heads?$|^n_head$", 4),
    (r"(^|_)head_dim$|^d_kv$", 16),
    (r"moe_intermediate_size$", 32),
    (r"intermediate_size$|ffn_dim$|^d_ff$|^hidden_dim$|mlp_dim$", 128),
    (r"(^|_)(hidden_size|d_model|n_embd|dim|embed_dim|embedding_size)$", 64),
    (r"vocab(ulary)?_size$", _VOCABULARY),
    (r"image_size$", 32),
    (r"patch_size$", 8),
)
"""What large models' configurations are made small by, by the ends of their parameters' names."""

_IDS = re.compile(r"_(id|index)$")
"""Of parameters that are places in a vocabulary."""


def is_configuration(kind: Any) -> bool:
    return isinstance(kind, type) and _NAME.search(kind.__name__) is not None


def has_sizes(kind: type) -> bool:
    """Whether a class is called as one that has the sizes of a model."""
    return _SIZED.search(kind.__name__) is not None


def candidates(made: Callable[..., Any], annotation: Any) -> list[type]:
    """The classes of which the configuration of `made` may be: what its annotation says and its
    `config_class`, then those beside it and beside its bases, called most like it; before a class
    those derived from it."""
    found: dict[type, None] = {}
    for kind in (annotation, getattr(made, "config_class", None)):
        if isinstance(kind, type) and is_configuration(kind):
            found[kind] = None
    name = getattr(made, "__name__", "")
    for above in getattr(made, "__mro__", (made,)):
        beside = vars(sys.modules.get(getattr(above, "__module__", ""), sys)).values()
        known = [each for each in beside if is_configuration(each)]
        found |= dict.fromkeys(sorted(known, key=lambda each: -_alike(each.__name__, name)))
    above_others = {each for each in found for other in found if each in other.__mro__[1:]}
    return sorted(found, key=lambda each: each in above_others)


def _alike(one: str, other: str) -> int:
    """With how many letters both begin."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)


def shrunk(kind: type, how: int, write: Callable[[type], str | None]) -> dict[str, str]:
    """Arguments that make a configuration small, as Python text; those that it consists of as
    well, whose classes are written by `write`."""
    return _shrunk(kind, how, write, DEPTH) if how else {}


def _shrunk(
    kind: type, how: int, write: Callable[[type], str | None], depth: int
) -> dict[str, str]:
    rules = {SMALL: _SMALL, NARROW: _SMALL[1:]}.get(how, _SMALL[:1])
    found = {}
    for name, default in _defaults(kind):
        small = next((size for words, size in rules if re.search(words, name)), None)
        if type(default) is not int:
            continue
        if small is not None and default > small:
            found[name] = str(small)
        elif how in (SMALL, NARROW) and _IDS.search(name) and default >= _VOCABULARY:
            found[name] = "1"
    for name, part in _parts(kind) if depth else ():
        inner = _shrunk(type(part), how, write, depth - 1)
        text = write(type(part))
        if inner and text is not None:
            found[name] = f"{text}({', '.join(f'{each}={value}' for each, value in inner.items())})"
    return found


def _defaults(kind: type) -> list[tuple[str, Any]]:
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (ValueError, TypeError):
        return []
    return [(each.name, each.default) for each in parameters]


def _parts(kind: type) -> list[tuple[str, Any]]:
    """The configurations that one of this class consists of, by the parameters that take them."""
    try:
        held = getattr(kind(), "__dict__", {})
    except Exception:  # noqa: BLE001 - somebody's class may want more
        held = {}
    names = [name for name, _ in _defaults(kind)]
    known = {name: held[name] for name in names if is_configuration(type(held.get(name)))}
    return list((known or _exemplary(kind, names)).items())


def _exemplary(kind: type, names: list[str]) -> dict[str, Any]:
    """The parts that a configuration is made of in the example of its description: where it is
    made of any others, it has none by itself."""
    text = kind.__doc__ or ""
    made = re.search(rf"\b{kind.__name__}\(([^()]*)\)", text)
    variables = dict(re.findall(r"(\w+) = (\w+)\(\)", text))
    places = [
        sys.modules.get(each) for each in (kind.__module__, kind.__module__.partition(".")[0])
    ]
    found = {}
    for name, variable in re.findall(r"(\w+)=(\w+)", made[1] if made else ""):
        called = variables.get(variable, "")
        part: Any = next((getattr(each, called) for each in places if hasattr(each, called)), None)
        if name in names and is_configuration(part) and part is not kind:
            try:
                found[name] = part()
            except Exception:  # noqa: BLE001 - as above
                continue
    return found


def usual(made: Callable[..., Any], name: str) -> Any:
    """What a configuration of `made` has by that name where nothing is said; None if there is
    none."""
    tables = [dict(_defaults(each)) for each in candidates(made, None)]
    return next((each[name] for each in tables if name in each), None)


def part_with(error: BaseException) -> str:
    """What is to be written behind a configuration that lacks an attribute, as the error says, to
    have the part of it that does not: `.text_config`; nothing if there is none."""
    whole, name = getattr(error, "obj", None), getattr(error, "name", None)
    if not isinstance(error, AttributeError) or not isinstance(name, str):
        return ""
    inside = itertools.islice(_inside(whole, ""), _MOST_PARTS) if whole is not None else ()
    return next((path for path, part in inside if hasattr(part, name)), "")


def _inside(whole: object, path: str) -> Iterator[tuple[str, object]]:
    """The objects in an object, with the way to them; those that are near first."""
    held: Mapping[str, Any] = getattr(whole, "__dict__", {})
    parts = [
        (f"{path}.{name}", part)
        for name, part in held.items()
        if hasattr(part, "__dict__") and not isinstance(part, type) and not name.startswith("_")
    ]
    yield from parts
    for name, part in parts:
        if name.count(".") < DEPTH:
            yield from _inside(part, name)
