"""Which dimension is which: each dimension of a run followed through it, and its letter.

A dimension is a product of *atoms*.  An input's dimension is one atom; `view` puts atoms side by
side (`H·W`) or splits one (`C` into `h` and `d`, and back); dimensions that are added, multiplied,
compared or contracted share their atoms from then on.  Letters are given once the run is over:

* what a formula calls by one symbol is called so here as well, and nothing else is;
* inputs take the letters they are given, else those of their rank (`B C H W`); a dimension of
  size 1 that an operation made is `1`, an input's own keeps its letter if no other has it;
* a channel mix (conv, linear) that keeps the size keeps the letter; one that returns to a size
  that the same dimension had before returns to its letter; else a letter of the sequence
  K, M, D..., the same letter for equal sizes made from the same dimension (θ, φ and g);
* a resized, strided or sliced dimension takes primes (`H′`, `H″`), again one per source and size,
  and by itself where its formula is another;
* what one expression makes anew in the rounds of a loop has one letter in all;
* a concatenation is a sum (`H+W`) where its parts are single letters, and its parts come back
  when it is split at the same places.

Two dimensions with the same label have the same size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tracer.document import Step, TensorNote, Trace
from tracer.ops import bound as ops
from tracer.ops.bound import Bound
from tracer.ops.call import At
from tracer.ops.names import BY_RANK

Shape = tuple[int, ...]
Dim = tuple[int, ...]
"""The atoms of one dimension, outermost first; `()` is a dimension of size 1 that is nothing."""
Dims = tuple[Dim, ...]

_COUNTING = frozenset(["int64", "int32", "bool"])  # word numbers and masks: B N, not B C
_SEQUENCE = "KMDEFGPQRSUVYZLJOAXI"
_PLACE_SEQUENCE = "NLTSPQ"
_PLACES = frozenset("BNHWTSL")
_PRIMES = ("′", "″", "‴")
DECLARED = -1
_LONGEST = 60  # how far a dimension is followed back through resizes
_MOST_WHOLES = 12  # of how many split dimensions one is remembered to be a factor
_DEEPEST = 20  # how far a name is looked for in the names it is made of


@dataclass
class Atom:
    """`owners` are the inputs it is a dimension of: two dimensions of one input are never one.
    `site` says where it was made of nothing: by which expression, as which dimension of it.
    `formula` is empty where none is known."""

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
    site: tuple[str, int] | None = None
    formula: str = ""


class Atoms:
    """Every atom of a run, which of them are the same, and at the end their names."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self.parent: list[int] = []
        self.totals: dict[tuple[Dim, ...], int] = {}
        self.roles: dict[tuple[str, int], int] = {}
        self.given: dict[tuple[str, int], int] = {}

    def add(self, atom: Atom) -> int:
        self.atoms.append(atom)
        self.parent.append(len(self.parent))
        return self.parent[-1]

    def new(self, size: int, hint: str = "", kind: str = "", late: bool = False) -> Dim:
        return () if size == 1 else (self.add(Atom(size, hint, kind, late)),)

    def start(self, sizes: Iterable[int], names: Iterable[_Name], owner: int) -> Dims:
        """The dimensions of input number `owner`; one letter and size is one dimension in all
        inputs."""
        return tuple(
            self._given(name, size, frozenset({owner, DECLARED} if name.declared else {owner}))
            for name, size in zip(names, sizes, strict=True)
        )

    def _given(self, name: _Name, size: int, owners: frozenset[int]) -> Dim:
        if name.word == "1" and size == 1:
            return ()
        atom = self.given.get((name.word, size))
        if atom is None or not name.word:
            made = Atom(size, name.word, name.kind, formula=name.formula)
            atom = self.given[name.word, size] = self.add(made)
        self.atoms[atom].owners |= owners
        return (atom,)

    def role(self, name: str, size: int) -> Dim:
        """A dimension that is known by what it does, such as a kernel's height."""
        if size == 1:
            return ()
        key = (name, size)
        if key not in self.roles:
            self.roles[key] = self.add(Atom(size, name, "role", late=True))
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
        found: list[int] = []
        position = 0
        while position < len(atoms):
            whole, length = self._whole(atoms, position)
            found.append(whole)
            position += length
        return tuple(found)

    def _whole(self, atoms: list[int], position: int) -> tuple[int, int]:
        """The longest run from `position` that is one split atom, the oldest such; and how long."""
        best = (1, -atoms[position])
        seen = set()
        stack = [atoms[position]]
        while stack:
            for whole, place in self.atoms[stack.pop()].wholes:
                whole = self.find(whole)
                if place != 0 or whole in seen:
                    continue
                seen.add(whole)
                stack.append(whole)
                run = self.leaves((whole,))
                if atoms[position : position + len(run)] == run:
                    best = max(best, (len(run), -whole))
        return -best[1], best[0]

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
                if self.leaves((x,)) == [x] and self.leaves((y,)) == [y]:
                    yield from self._join(x, y)
                else:  # a product since an earlier pair of this very dimension
                    yield (x,), (y,)
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
            if self.leaves((x,)) == [x]:
                yield from self._equate(x, tuple(run))
            a, b = a[1:], b[len(run) :]

    def _equate(self, atom: int, product: Dim) -> Iterator[tuple[Dim, Dim]]:
        """The older one keeps its name: a letter that was split and put together again, or the
        product of letters that were there before."""
        whole = self.single(product)
        if whole is not None:
            yield from self._join(atom, whole)
        elif atom < min(product) and not self.atoms[atom].late:
            self.atoms[atom].factors = product
            for place, factor in enumerate(product):
                self.atoms[factor].wholes += ((atom, place),)
        elif not self.atoms[atom].owners:
            self.atoms[atom].alias = product
            self.atoms[product[0]].wholes += tuple(
                (whole, place) for whole, place in self.atoms[atom].wholes if place == 0
            )

    def _join(self, x: int, y: int) -> Iterator[tuple[Dim, Dim]]:
        """At most one of the two is split."""
        if x == y or self.atoms[x].owners & self.atoms[y].owners:
            return
        kept, gone = self.atoms[min(x, y)], self.atoms[max(x, y)]
        self.parent[max(x, y)] = min(x, y)
        if (gone.owners and not kept.owners) or (kept.late and not gone.late):
            kept.hint, kept.kind, kept.source = gone.hint, gone.kind, gone.source
        kept.owners |= gone.owners
        kept.late &= gone.late
        wholes = {(self.find(whole), place) for whole, place in kept.wholes + gone.wholes}
        kept.wholes = tuple(sorted(wholes)[:_MOST_WHOLES])
        kept.factors = kept.factors or gone.factors
        kept.alias = kept.alias or gone.alias
        kept.parts = kept.parts or gone.parts
        for key, child in gone.offspring.items():
            if key in kept.offspring:
                yield (kept.offspring[key],), (child,)
            else:
                kept.offspring[key] = child

    # --- dimensions made of others ---

    def derive(self, dim: Dim, size: int, kind: str, formula: str = "") -> Dim:
        """The dimension of another size that a mix, a resize or a slice makes of `dim`; one whose
        `formula` is another, though its number may be the same, is another."""
        source = self.single(dim)
        if size == self.size(dim) and (source is None or self._may_be(source, formula)):
            return dim
        if size == 1:
            return ()
        if source is None:
            return self.new(size, kind=kind)
        for ancestor in self.ancestors(source):
            if self.atoms[ancestor].size == size and self._may_be(ancestor, formula):
                return (ancestor,)
        if kind == "channel":  # two mixes make two dimensions, though they share a letter
            return (self.add(Atom(size, kind=kind, formula=formula, source=source)),)
        offspring = self.atoms[source].offspring
        if (size, kind + formula) not in offspring:
            made = Atom(size, kind=kind, formula=formula, source=source)
            offspring[size, kind + formula] = self.add(made)
        return (offspring[size, kind + formula],)

    def _may_be(self, atom: int, formula: str) -> bool:
        own = self.atoms[atom].formula
        return not own or not formula or own == formula

    def ancestors(self, atom: int) -> Iterator[int]:
        for _ in range(_LONGEST):
            source = self.atoms[atom].source
            if source is None:
                return
            atom = self.find(source)
            yield atom

    def total(self, parts: Sequence[Dim]) -> Dim:
        """The dimension in which `parts` follow each other."""
        parts = [self.contracted(part) for part in parts]
        size = sum(self.size(part) for part in parts)
        if len(parts) == 1 or size == 1:
            return parts[0] if len(parts) == 1 else ()
        key = tuple(parts)
        if key not in self.totals:
            kinds = [self.atoms[atom].kind for part in parts for atom in self.leaves(part)]
            self.totals[key] = self.add(Atom(size, kind=max(kinds, default=""), parts=key))
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
                atom, *inner = self.leaves((stack.pop(),))
                stack.extend(reversed(inner))
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
            self.add(Atom(size, hint, kind, wholes=((atom, place),)))
            for place, (size, hint) in enumerate(zip(sizes, hints, strict=True))
        )
        return self.atoms[atom].factors

    # --- names ---

    def labels(
        self, shown: Iterable[Dims], called: Mapping[Dim, str], symbols: Mapping[str, int]
    ) -> dict[Dim, str]:
        """The label of every dimension in `shown`: some are `called` by one of the `symbols`, by
        which no other goes."""
        leaves = {dim: tuple(self.leaves(dim)) for dims in shown for dim in dims}
        together = {dim: self.contracted(dim) for dim in set(leaves.values())}
        whole = {dim: together[atoms] for dim, atoms in leaves.items()}
        used = sorted({atom for atoms in whole.values() for atom in atoms})
        # Where inputs disagree about a letter, the one of size 1 can do without.
        owned = [atom for atom in used if self.atoms[atom].owners]
        owned.sort(key=lambda atom: self.atoms[atom].size == 1)
        early = [atom for atom in used if not self.atoms[atom].late]
        namer = _Namer(self, symbols)
        for dim, symbol in called.items():
            if len(whole[dim]) == 1:
                namer.names.setdefault(whole[dim][0], symbol)
        for atom in (*owned, *early, *used):
            namer.name(atom)
        return {
            dim: _product([namer.names[atom] for atom in atoms]) for dim, atoms in whole.items()
        }


def _product(texts: Sequence[str]) -> str:
    if len(texts) > 1:
        texts = [f"({text})" if "+" in text else text for text in texts]
    return "·".join(texts) or "1"


@dataclass(frozen=True)
class _Name:
    """What a dimension of an input is called: as somebody `declared`, or as is usual."""

    word: str
    kind: str
    declared: bool = False
    formula: str = ""


class Known:
    """The dimensions of every tensor of a trace, as far as its steps have been read.

    `letters` name those of inputs, separated by blanks or commas: `_` in the place of a letter, or
    a number, takes the usual one, as do letters of another number than there are dimensions.
    Without any those of the trace do.
    """

    def __init__(self, trace: Trace, letters: Mapping[str, str] | None = None) -> None:
        letters = dict(trace.letters) if letters is None else letters
        self.atoms = Atoms()
        self.found: dict[tuple[int, Shape], Dims] = {}
        self.symbols = {symbol.name: symbol.value for symbol in trace.symbols}
        self.called = {
            (note.id, note.shape): tuple(
                formula.text if formula.text in self.symbols else "" for formula in note.dims
            )
            for note in trace.tensors().values()
            if note.dims
        }
        for owner, note in enumerate(trace.inputs):
            key = note.id, note.shape
            if key not in self.found:
                given = _declared(letters.get(note.name, ""), len(note.shape))
                self.found[key] = self.atoms.start(note.shape, self._names(note, given), owner)

    def _names(self, note: TensorNote, given: Sequence[str]) -> Iterator[_Name]:
        """What an input's dimensions are called: by their formulas, as they are given, else as is
        usual, unless a formula says that this is another."""
        counts = note.dtype.removeprefix("torch.") in _COUNTING and len(note.shape) == 2
        usual = "B N" if counts else BY_RANK.get(len(note.shape), "")
        formulas = self.called.get((note.id, note.shape), ())
        for formula, word, guess in itertools.zip_longest(formulas, given, usual.split()):
            name = formula or word
            kind = "place" if (name or guess or "")[:1] in _PLACES else "channel"
            if name:
                yield _Name(name, kind, declared=True, formula=formula or "")
            else:
                yield _Name("" if guess in self.symbols else guess or "", kind)

    def __contains__(self, note: TensorNote) -> bool:
        return (note.id, note.shape) in self.found

    def settle(self, note: TensorNote, dims: Sequence[Dim]) -> None:
        """The tensor's dimensions are `dims`, as far as its sizes agree."""
        if len(dims) != len(note.shape):
            return
        fitting = tuple(
            dim if self.atoms.size(dim) == size else self.atoms.new(size)
            for dim, size in zip(dims, note.shape, strict=True)
        )
        known = self.found.setdefault((note.id, note.shape), fitting)
        for old, new in zip(known, fitting, strict=True):
            self.atoms.same(old, new)

    def dims(self, note: TensorNote) -> Dims:
        """The tensor's dimensions, new ones if nothing is known of it yet."""
        if note not in self:
            self.found[note.id, note.shape] = self.fresh(note.shape, late=True)
        return self.found[note.id, note.shape]

    def follow(self, bound: Bound, step: Step) -> list[Dims]:
        """The dimensions of the results of a step's call; what the call says of its operands' own
        (which are one, which are a weight's) is settled on the way."""
        return _Follower(self, bound, step).results()

    def fresh(self, shape: Iterable[int], late: bool = False) -> Dims:
        return tuple(self.atoms.new(size, late=late) for size in shape)

    def labels(self) -> dict[tuple[int, Shape], tuple[str, ...]]:
        called: dict[Dim, str] = {}
        for key, names in self.called.items():
            for dim, name in zip(self.found.get(key, ()), names, strict=False):
                if name:
                    called.setdefault(dim, name)
        texts = self.atoms.labels(self.found.values(), called, self.symbols)
        return {
            key: tuple(
                name or texts[dim]
                for dim, name in itertools.zip_longest(dims, self.called.get(key, ()))
            )
            for key, dims in self.found.items()
        }


def _declared(letters: str, count: int) -> list[str]:
    """A name for each of `count` dimensions, an empty one where none is given."""
    words = letters.replace(",", " ").split()
    if len(words) != count:
        return [""] * count
    return ["" if word == "_" or (word.isdigit() and word != "1") else word for word in words]


class _Follower:
    """Turns where a call's dimensions come from into atoms."""

    def __init__(self, known: Known, bound: Bound, step: Step) -> None:
        self.known = known
        self.atoms = known.atoms
        self.bound = bound
        self.step = step
        inputs = self.inputs = step.inputs
        self.unseen = frozenset(n for n, note in enumerate(inputs) if note not in known)
        self.weights: dict[At, Dim] = {}
        self.groups: dict[tuple[tuple[At, ...], tuple[int, ...]], list[Dim] | None] = {}
        self.mixes: dict[tuple[tuple[At, ...], At | None, int], Dim] = {}

    def results(self) -> list[Dims]:
        results = [
            tuple(self._made(dim, At(number, place)) for place, dim in enumerate(dims))
            for number, dims in enumerate(self.bound.results)
        ]
        for at, letter in self.bound.roles.items():
            self.weights[at] = self.atoms.role(letter, self.inputs[at.operand].shape[at.dim])
        for at, (made, times) in self.bound.stacked.items():
            self.weights[at] = self._several(self._made(made, None), times)
        for first, second in self.bound.ties:
            if second.operand in self.unseen and first.operand not in self.unseen:
                self.weights.setdefault(second, self._dim(first))
        for index in {at.operand for at in self.weights}:
            self._settle(index)
        for first, second in self.bound.ties:
            self.atoms.same(self._dim(first), self._dim(second))
        return results

    def _dim(self, at: At) -> Dim:
        return self.known.dims(self.inputs[at.operand])[at.dim]

    def _settle(self, index: int) -> None:
        note = self.inputs[index]
        self.known.settle(
            note,
            [
                self.weights[At(index, dim)]
                if At(index, dim) in self.weights
                else self.atoms.new(size, late=True)
                for dim, size in enumerate(note.shape)
            ],
        )

    def _made(self, dim: ops.Dim, at: At | None) -> Dim:
        """The atoms of a dimension, which is that of the results `at` that place."""
        size = dim.size
        if dim.how == "same":
            found = [self._dim(at) for at in dim.sources if self._size(at) == size]
            for other in found[1:]:
                self.atoms.same(found[0], other)
            return next((each for each in found if each), ())
        if dim.how == "mixed":
            return self._mixed(dim)
        if dim.how == "resized":
            kind, formula = dim.kind or "place", self._formula(at)
            return self.atoms.derive(self._dim(dim.sources[0]), size, kind, formula)
        if dim.how == "piece":
            whole = self._dim(dim.sources[0])
            if dim.step == 1:
                return self.atoms.piece(whole, dim.start, dim.stop)
            return self.atoms.derive(whole, size, "piece")
        if dim.how == "joined":
            return self.atoms.total([self._dim(at) for at in dim.sources])
        if dim.how == "grouped":
            return self._grouped(dim)
        if dim.how == "reduced" or size == 1:
            return ()
        return (self.atoms.add(Atom(size, dim.hint, dim.kind, site=self._site(at))),)

    def _formula(self, at: At | None) -> str:
        notes = self.step.outputs
        if at is None or at.operand >= len(notes):
            return ""
        formulas = notes[at.operand].dims
        return formulas[at.dim].text if at.dim < len(formulas) else ""

    def _site(self, at: At | None) -> tuple[str, int] | None:
        """Where a dimension is made: in the rounds of a loop it has one letter."""
        place = self.step.place
        if at is None or place.span is None:
            return None
        written = f"{place.file}:{place.span}:{self.step.op}:{at.operand}"
        return written, at.dim

    def _size(self, at: At) -> int:
        return self.inputs[at.operand].shape[at.dim]

    def _mixed(self, dim: ops.Dim) -> Dim:
        size = dim.size // dim.times
        key = dim.sources, dim.replaces, size
        if key not in self.mixes or not dim.sources:
            self.mixes[key] = (
                self.atoms.derive(self._dim(dim.replaces), size, "channel")
                if dim.replaces is not None
                else self.atoms.new(size, dim.hint, dim.kind or "channel")
            )
            self.weights |= dict.fromkeys(dim.sources, self.mixes[key])
        return self._several(self.mixes[key], dim.times)

    def _several(self, dim: Dim, times: int) -> Dim:
        return self.atoms.total([dim] * times) if times > 1 else dim

    def _grouped(self, dim: ops.Dim) -> Dim:
        key = dim.sources, dim.group
        if key not in self.groups:
            read = [self._dim(at) for at in dim.sources]
            read += [self.atoms.role(name, size) for name, size in dim.inner]
            self.groups[key] = self.atoms.regroup(read, dim.group)
        found = self.groups[key]
        return found[dim.place] if found is not None else self.atoms.new(dim.size)


class _Namer:
    def __init__(self, atoms: Atoms, symbols: Mapping[str, int]) -> None:
        self.atoms = atoms
        self.names: dict[int, str] = {}
        self.taken = dict(symbols)
        self.kin: dict[tuple[str, int, int], str] = {}
        self.numbers: dict[str, int] = {}
        self.letters = _letters()

    def name(self, atom: int, depth: int = 0) -> str:
        atom = self.atoms.find(atom)
        if atom not in self.names:
            it = self.atoms.atoms[atom]
            kin = self._kin(it, depth)
            text = self.kin.get(kin) if kin else None
            if text is None:
                text = self._choose(it, depth)
            if atom in self.names:  # named on the way, by what it was made of
                return self.names[atom]
            self.names[atom] = text
            self.taken[text] = it.size
            if kin:
                self.kin.setdefault(kin, text)
        return self.names[atom]

    def _kin(self, it: Atom, depth: int) -> tuple[str, int, int] | None:
        """What is made in the same way of dimensions with the same letter shares a letter."""
        if it.owners or it.parts or depth >= _DEEPEST:
            return None
        if it.site is not None and it.source is None and not it.wholes:
            written, dim = it.site
            return written, it.size, dim
        if it.wholes:
            whole, place = min(it.wholes)
            return self.name(whole, depth + 1), it.size, place
        if it.source is not None and it.kind == "channel":
            return self.name(it.source, depth + 1), it.size, -1
        return None

    def _choose(self, it: Atom, depth: int) -> str:
        if it.hint:
            if it.hint not in self.taken:
                return it.hint
            if it.size == 1:
                return "1"
            if it.kind == "role" or it.hint.islower() or DECLARED in it.owners:
                return self._numbered(it.hint, 2)
        elif depth < _DEEPEST:
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
        return self._fresh(it.kind)

    def _sum(self, it: Atom, depth: int) -> str:
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
        for ancestor in self.atoms.ancestors(base):
            it = self.atoms.atoms[base]
            if it.kind == "channel" or it.hint:
                break
            base = ancestor
        text = self.name(base, depth + 1)
        if len(text) > 2:
            return ""
        for prime in _PRIMES:
            if text + prime not in self.taken:
                return text + prime
        return self._numbered(text, len(_PRIMES) + 1)

    def _numbered(self, text: str, first: int) -> str:
        number = self.numbers.get(text, first)
        while text + _subscript(number) in self.taken:
            number += 1
        self.numbers[text] = number
        return text + _subscript(number)

    def _fresh(self, kind: str) -> str:
        if kind == "place":
            for letter in _PLACE_SEQUENCE:
                if letter not in self.taken:
                    return letter
        return next(text for text in self.letters if text not in self.taken)


def _letters() -> Iterator[str]:
    yield from _SEQUENCE
    for number in itertools.count(2):
        for letter in _SEQUENCE:
            yield letter + _subscript(number)


def _subscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
