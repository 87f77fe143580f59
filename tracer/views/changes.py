"""What each step did to the shapes, in words, and which dimension is which.

A dimension is followed through the run as a product of *atoms*.  An input's dimension is one
atom; `view` puts atoms side by side (`H·W`) or splits one (`C` into `h` and `d`, and back); what
is added, multiplied, compared or contracted shares its atoms from then on.  Letters are given
once the run is over:

* inputs take the letters of `dims`, else those of their rank (`B C H W`); a dimension of size 1
  that an operation made is `1`, an input's own keeps its letter;
* a channel mix (conv, linear) that keeps the size keeps the letter; one that returns to a size
  that the same dimension had before returns to its letter; else a letter of the sequence
  K, M, D..., the same for equal sizes made from the same dimension (θ, φ and g share theirs);
* a resized, strided or sliced dimension takes primes (`H′`, `H″`), again one per source and size;
* a concatenation is a sum (`H+W`) where its parts are single letters, and its parts come back
  when it is split at the same places.

Two dimensions with the same label have the same size.  Where shapes and recorded arguments do not
determine what happened, the words only compare shapes and the letters are new ones.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tracer.document import Step, TensorNote, Trace


@dataclass(frozen=True)
class Explanation:
    """`summary` says what one step did in a sentence; `changes` has a line for each dimension
    that changed; `inputs` and `outputs` hold one label per dimension of each tensor."""

    summary: str
    changes: tuple[str, ...]
    inputs: tuple[tuple[str, ...], ...]
    outputs: tuple[tuple[str, ...], ...]
    children: tuple[Explanation, ...]


def explain(trace: Trace, dims: Mapping[str, str] | None = None) -> tuple[Explanation, ...]:
    """One explanation for each of `trace.steps`.

    `dims` names the dimensions of inputs, as `{"x": "B C H W"}`.
    """
    walk = _walked(trace, dims)
    names = walk.atoms.names(walk.known.values())
    return tuple(_finished(draft, walk, names) for draft in walk.drafts)


def labels(trace: Trace, dims: Mapping[str, str] | None = None) -> dict[int, tuple[str, ...]]:
    """The labels of every tensor that a step used or made and of every input, by note id."""
    walk = _walked(trace, dims)
    names = walk.atoms.names(walk.known.values())
    return {
        note: tuple(walk.atoms.label(dim, names) for dim in dims)
        for note, dims in walk.known.items()
    }


# --- which dimension is which -----------------------------------------------------------------

Shape = tuple[int, ...]
Dim = tuple[int, ...]
"""The atoms of one dimension, outermost first; `()` is a dimension of size 1 that is nothing."""
Dims = tuple[Dim, ...]

_BY_RANK = {1: "N", 2: "B C", 3: "B N C", 4: "B C H W", 5: "B C T H W"}
_SEQUENCE = "KMDEFGPQRSUVYZLJOAXI"
_PLACES = frozenset("B N H W T S L".split())
_PRIMES = ("′", "″", "‴")
_DECLARED = -1


@dataclass
class _Atom:
    """`owners` are the inputs it is a dimension of: two dimensions of one input are never one."""

    size: int
    hint: str = ""
    kind: str = ""
    late: bool = False
    owners: frozenset[int] = frozenset()
    source: int | None = None
    factors: Dim = ()
    alias: Dim = ()
    wholes: tuple[tuple[int, int], ...] = ()
    parts: Dims = ()
    offspring: dict[tuple[int, str], int] = field(default_factory=dict)


class _Atoms:
    """Every atom of a run, which of them are the same, and at the end their names."""

    def __init__(self) -> None:
        self.atoms: list[_Atom] = []
        self.parent: list[int] = []
        self.totals: dict[tuple[Dim, ...], int] = {}
        self.roles: dict[tuple[str, int], int] = {}

    def add(self, atom: _Atom) -> int:
        self.atoms.append(atom)
        self.parent.append(len(self.parent))
        return self.parent[-1]

    def new(self, size: int, hint: str = "", kind: str = "", late: bool = False) -> Dim:
        return () if size == 1 else (self.add(_Atom(size, hint, kind, late)),)

    def role(self, name: str, size: int) -> Dim:
        """A dimension that is known by what it does, such as a kernel's height."""
        if size == 1:
            return ()
        key = (name, size)
        if key not in self.roles:
            self.roles[key] = self.add(_Atom(size, name, "role", late=True))
        return (self.roles[key],)

    def find(self, atom: int) -> int:
        while self.parent[atom] != atom:
            self.parent[atom] = self.parent[self.parent[atom]]
            atom = self.parent[atom]
        return atom

    def size(self, dim: Dim) -> int:
        return math.prod(self.atoms[atom].size for atom in dim)

    def leaves(self, dim: Dim) -> list[int]:
        """The atoms of `dim` that are not split further."""
        found: list[int] = []
        stack = list(reversed(dim))
        while stack:
            atom = self.find(stack.pop())
            inner = self.atoms[atom].alias or self.atoms[atom].factors
            if inner:
                stack.extend(reversed(inner))
            else:
                found.append(atom)
        return found

    def contracted(self, dim: Dim) -> Dim:
        """`dim` with split atoms put together again where all their factors are there."""
        atoms = self.leaves(dim)
        if any(self.atoms[atom].size != 1 for atom in atoms):
            atoms = [atom for atom in atoms if self.atoms[atom].size != 1]
        again = True
        while again:
            again = False
            for position, atom in enumerate(atoms):
                whole = self._whole(atoms, position, atom)
                if whole is not None:
                    count = len(self.atoms[whole].factors)
                    atoms[position : position + count] = [whole]
                    again = True
                    break
        return tuple(atoms)

    def _whole(self, atoms: list[int], position: int, atom: int) -> int | None:
        for whole, place in sorted(self.atoms[atom].wholes):
            factors = [self.find(factor) for factor in self.atoms[whole].factors]
            if place == 0 and atoms[position : position + len(factors)] == factors:
                return whole
        return None

    def single(self, dim: Dim) -> int | None:
        whole = self.contracted(dim)
        return whole[0] if len(whole) == 1 else None

    # --- the same dimension ---

    def same(self, first: Dim, second: Dim) -> None:
        """Two dimensions of equal size turn out to be one."""
        work = [(first, second)]
        while work:
            a, b = (
                [atom for atom in self.leaves(dim) if self.atoms[atom].size != 1]
                for dim in work.pop()
            )
            if a != b and self.size(tuple(a)) == self.size(tuple(b)):
                work.extend(self._align(a, b))

    def _align(self, a: list[int], b: list[int]) -> Iterator[tuple[Dim, Dim]]:
        while a and b:
            x, y = self.find(a[0]), self.find(b[0])
            if self.atoms[x].size == self.atoms[y].size:
                yield from self._join(x, y)
                a, b = a[1:], b[1:]
                continue
            if self.atoms[x].size < self.atoms[y].size:
                x, a, b = y, b, a
            run = next(
                (b[:n] for n in range(2, len(b) + 1) if self.size(tuple(b[:n])) == self.size((x,))),
                None,
            )
            if run is None:
                return
            # A letter that an input declared is not to be replaced by a product.
            if not self.atoms[x].owners and self.leaves((x,)) == [x]:
                self.atoms[x].alias = tuple(run)
            a, b = a[1:], b[len(run) :]

    def _join(self, x: int, y: int) -> Iterator[tuple[Dim, Dim]]:
        if x == y or self.atoms[x].owners & self.atoms[y].owners:
            return
        kept, gone = self.atoms[min(x, y)], self.atoms[max(x, y)]
        self.parent[max(x, y)] = min(x, y)
        if gone.owners and not kept.owners:
            kept.hint, kept.kind = gone.hint, gone.kind
        kept.owners |= gone.owners
        kept.late &= gone.late
        kept.wholes += gone.wholes
        kept.parts = kept.parts or gone.parts
        for key, child in gone.offspring.items():
            if key in kept.offspring:
                yield (kept.offspring[key],), (child,)
            else:
                kept.offspring[key] = child

    # --- dimensions made of others ---

    def derive(self, dim: Dim, size: int, kind: str) -> Dim:
        """The dimension of another size that a mix, a resize or a slice makes of `dim`."""
        if size == 1:
            return ()
        if size == self.size(dim):
            return dim
        source = self.single(dim)
        if source is None:
            return self.new(size, kind=kind)
        ancestor = self.atoms[source].source
        while ancestor is not None:
            ancestor = self.find(ancestor)
            if self.atoms[ancestor].size == size:
                return (ancestor,)
            ancestor = self.atoms[ancestor].source
        offspring = self.atoms[source].offspring
        if (size, kind) not in offspring:
            offspring[size, kind] = self.add(_Atom(size, kind=kind, source=source))
        return (offspring[size, kind],)

    def total(self, parts: Sequence[Dim]) -> Dim:
        """The dimension in which `parts` follow each other."""
        parts = [self.contracted(part) for part in parts]
        size = sum(self.size(part) for part in parts)
        if len(parts) == 1 or size == 1:
            return parts[0] if len(parts) == 1 else ()
        key = tuple(parts)
        if key not in self.totals:
            self.totals[key] = self.add(_Atom(size, parts=key))
        return (self.totals[key],)

    def piece(self, dim: Dim, start: int, stop: int) -> Dim:
        """Positions `start` to `stop` of `dim`."""
        if (start, stop) == (0, self.size(dim)):
            return dim
        atom = self.single(dim)
        if atom is not None and self.atoms[atom].parts:
            parts, offset = self.atoms[atom].parts, 0
            offsets = [0]
            for part in parts:
                offset += self.size(part)
                offsets.append(offset)
            if start in offsets and stop in offsets and start < stop:
                return self.total(parts[offsets.index(start) : offsets.index(stop)])
        return self.derive(dim, stop - start, "piece")

    def regroup(self, dims: Sequence[Dim], sizes: Sequence[int]) -> list[Dim] | None:
        """The same elements in row-major order, grouped into `sizes`; None if atoms straddle."""
        atoms = [a for dim in dims for a in self.leaves(dim) if self.atoms[a].size != 1]
        if len(atoms) == 1 and len(sizes) > 1:
            return [(part,) for part in self._split(atoms[0], sizes)]
        stack = list(reversed(atoms))
        found: list[Dim] = []
        for size in sizes:
            dim: list[int] = []
            need = size
            while need > 1:
                atom = stack.pop()
                own = self.atoms[atom].size
                if need % own == 0:
                    dim.append(atom)
                    need //= own
                elif own % need == 0:
                    front, rest = self._split(atom, (need, own // need))
                    dim.append(front)
                    stack.append(rest)
                    need = 1
                else:
                    return None
            found.append(tuple(dim))
        return found

    def _split(self, atom: int, sizes: Sequence[int]) -> Dim:
        kind = self.atoms[atom].kind
        hints: tuple[str, ...] = ("",) * len(sizes)
        if kind == "channel" and len(sizes) == 2:
            hints = ("h", "d")
        elif kind == "channel" and len(sizes) == 3 and sizes[0] == 3:
            hints = ("s", "h", "d")
        self.atoms[atom].factors = tuple(
            self.add(_Atom(size, hint, kind, wholes=((atom, place),)))
            for place, (size, hint) in enumerate(zip(sizes, hints, strict=True))
        )
        return self.atoms[atom].factors

    # --- names ---

    def names(self, shown: Iterable[Dims]) -> dict[int, str]:
        """A name for every atom that the dimensions in `shown` need."""
        used = {
            atom for dims in shown for dim in dims for atom in self.contracted(dim)
        }
        namer = _Namer(self)
        for late in (False, True):
            for atom in sorted(used):
                if self.atoms[atom].owners and not late:
                    namer.name(atom)
            for atom in sorted(used):
                if self.atoms[atom].late == late:
                    namer.name(atom)
        return namer.names

    def label(self, dim: Dim, names: Mapping[int, str]) -> str:
        texts = [names[atom] for atom in self.contracted(dim)]
        if len(texts) > 1:
            texts = [f"({text})" if "+" in text else text for text in texts]
        return "·".join(texts) or "1"


class _Namer:
    def __init__(self, atoms: _Atoms) -> None:
        self.atoms = atoms
        self.names: dict[int, str] = {}
        self.taken: dict[str, int] = {}

    def name(self, atom: int, depth: int = 0) -> str:
        atom = self.atoms.find(atom)
        if atom not in self.names:
            text = self._choose(atom, depth)
            if atom in self.names:  # named on the way, by a source that is named after it
                return self.names[atom]
            self.names[atom] = text
            self.taken[text] = self.atoms.atoms[atom].size
        return self.names[atom]

    def _choose(self, atom: int, depth: int) -> str:
        it = self.atoms.atoms[atom]
        if it.hint:
            if it.hint not in self.taken:
                return it.hint
            if it.kind == "role" or it.hint.islower() or _DECLARED in it.owners:
                return self._numbered(it.hint, 2)
        elif depth < 20:
            if it.parts:
                text = self._sum(it, depth)
                if text and self.taken.get(text, it.size) == it.size:
                    return text
            if it.wholes:
                whole, place = min(it.wholes)
                text = self.name(whole, depth + 1) + _subscript(place + 1)
                if len(text) <= 4 and text not in self.taken:
                    return text
            if it.source is not None and it.kind != "channel":
                text = self._primed(it.source, depth)
                if text:
                    return text
        return self._fresh()

    def _sum(self, it: _Atom, depth: int) -> str:
        if len(it.parts) > 4 or any(len(part) > 1 for part in it.parts):
            return ""
        texts = [self.name(part[0], depth + 1) if part else "1" for part in it.parts]
        if len(set(texts)) == 1 and texts[0] != "1" and "+" not in texts[0]:
            text = f"{len(texts)}{texts[0]}"
        elif len(set(texts)) == 1:
            return ""
        else:
            text = "+".join(texts)
        return text if len(text) <= 7 else ""

    def _primed(self, source: int, depth: int) -> str:
        base = self.atoms.find(source)
        seen = {base}
        while True:
            it = self.atoms.atoms[base]
            if it.source is None or it.kind == "channel" or it.hint:
                break
            base = self.atoms.find(it.source)
            if base in seen:
                return ""
            seen.add(base)
        text = self.name(base, depth + 1)
        if len(text) > 2:
            return ""
        for prime in _PRIMES:
            if text + prime not in self.taken:
                return text + prime
        return self._numbered(text, 4)

    def _numbered(self, text: str, first: int) -> str:
        number = first
        while text + _subscript(number) in self.taken:
            number += 1
        return text + _subscript(number)

    def _fresh(self) -> str:
        for letter in _SEQUENCE:
            if letter not in self.taken:
                return letter
        number = 2
        while True:
            for letter in _SEQUENCE:
                text = letter + _subscript(number)
                if text not in self.taken:
                    return text
            number += 1


def _subscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
