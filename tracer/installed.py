"""Which classes of modules the installed packages offer, found by reading their files and never by
running them."""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_CLASS = re.compile(r"^class[ \t]+(\w+)[ \t]*\(([^)]*)\)[ \t]*:", re.MULTILINE)
_GENERATED = re.compile(r"generated from\s+(?:\S*/)?(\w+\.py)\b")
_ROOTS = frozenset(("Module", "ModuleList", "ModuleDict", "Sequential"))
_APART = frozenset(("test", "tests", "testing", "examples", "benchmarks", "_dynamo", "_inductor"))
"""Folders of a package that hold no modules for its users."""


@functools.cache
def packages() -> tuple[str, ...]:
    """Torch, and the packages that say that they need it, by the names by which they are
    imported."""
    found = {"torch"}
    for package, distributions in importlib.metadata.packages_distributions().items():
        if package.isidentifier() and any(map(_needs_torch, distributions)):
            found.add(package)
    return tuple(sorted(found))


@functools.cache
def _needs_torch(distribution: str) -> bool:
    try:
        needed = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return False
    return any(re.match(r"torch\b(?!\w|-)", each) for each in needed)


@functools.cache
def classes(package: str) -> tuple[str, ...]:
    """The dotted names of the classes of modules in a package; public ones, in the order of their
    names.  Bases are known by their names, wherever in the package they are written."""
    bases: dict[str, set[str]] = {}
    places: list[tuple[str, str, set[str]]] = []
    texts = {
        path: (module, path.read_text(encoding="utf-8", errors="replace"))
        for path, module in _files(package)
    }
    drafts = {path.parent / name for path, (_, text) in texts.items() for name in _made_from(text)}
    for module, text in (told for path, told in texts.items() if path not in drafts):
        for name, written in _CLASS.findall(text):
            names = {each.partition("[")[0].strip() for each in written.split(",")}
            above = {each.rpartition(".")[2] for each in names}
            bases.setdefault(name, set()).update(above)
            places.append((module, name, above))
    known = _descendants(bases)
    return tuple(
        sorted(
            f"{module}.{name}"
            for module, name, above in places
            # Another class of the same name, such as one that stands in for it, may be no module.
            if above & (known | _ROOTS) and not name.startswith("_")
        )
    )


def _made_from(text: str) -> list[str]:
    """The files beside it from which, as it says at its head, a program has made this one: they
    are its drafts, and what is run is this."""
    head = re.match(r"(?:[ \t]*(?:#.*)?\n)*", text)
    return _GENERATED.findall(head[0]) if head is not None else []


def _files(package: str) -> Iterator[tuple[Path, str]]:
    """The files of a package, and the names by which they are imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return
    if not spec.submodule_search_locations:
        yield Path(spec.origin), package
        return
    for folder in map(Path, spec.submodule_search_locations):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if not _APART & set(parts) and all(map(str.isidentifier, parts)):
                inner = parts[:-1] if parts[-1] == "__init__" else parts
                yield path, ".".join((package, *inner))


def _descendants(bases: dict[str, set[str]]) -> set[str]:
    known = set(_ROOTS)
    while True:
        more = {name for name, above in bases.items() if above & known} - known
        if not more:
            return known - _ROOTS
        known |= more


def matching(words: str, within: Iterable[str], most: int) -> tuple[str, ...]:
    """At most so many classes of these packages in whose names every word occurs: the likest
    first, whole names before parts of names, short ones before long ones.  Where there is none,
    those whose names are nearest."""
    wanted = re.split(r"[\s.]+", words.casefold().strip())
    names = [name for package in within for name in classes(package)]
    last = wanted[-1]

    def rank(name: str) -> tuple[bool, bool, int, str]:
        short = name.rpartition(".")[2].casefold()
        return short != last, not short.startswith(last), len(name), name

    found = [name for name in names if all(word in name.casefold() for word in wanted)]
    if found or not last:
        return tuple(sorted(found, key=rank)[:most])
    shorts: dict[str, str] = {}
    for name in sorted(names, key=len):
        shorts.setdefault(name.rpartition(".")[2].casefold(), name)
    near = difflib.get_close_matches(last, shorts, most, 0.6)
    return tuple(shorts[each] for each in near)
