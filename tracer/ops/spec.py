"""How an operation is declared: patterns of letters for its operands and results, what must hold,
and where each dimension of a result comes from.

    operation("matmul", forms=(form("input: *b m k", "other: *b k n", gives="*b m n"),),
              kinds={"k": "matmul", "*b": "batch"})

A pattern names an argument and its dimensions.  One letter is one size wherever it stands, `*b`
is any number of dimensions that broadcast against each other, `?N` a dimension that may be
missing, a number a size that must be just that.  An argument ending in `?` may be left out.
`*: ...` stands for every operand.  Where letters do not reach, an entry has a function `bind` of
its own, which raises `Refused` for what torch refuses and `Unclear` for what it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tracer.ops.algebra import differ, is_one, known
from tracer.ops.bound import (
    ANY_MORE,
    MIXED,
    RESIZED,
    SAME,
    Bound,
    Dim,
    Dims,
    Mark,
    Refused,
    Violation,
    all_marks,
    mark,
    refuse,
)
from tracer.ops.call import At, Call, Size, Unclear, need
from tracer.ops.cells import EVERYTHING, Scene
from tracer.ops.refusal import Reports
from tracer.ops.say import (
    Told,
    Words,
)

# --- patterns ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    argument: str
    optional: bool
    words: tuple[str, ...]

    @property
    def fixed(self) -> int:
        return sum(word[0] not in "*?" for word in self.words)

    def fits(self, rank: int) -> bool:
        if any(word[0] == "*" for word in self.words):
            return rank >= self.fixed
        return self.fixed <= rank <= len(self.words)

    def spelled(self, rank: int) -> list[str]:
        """One letter for each dimension: what `*b` stands for is `b.2 b.1 b.0`, counted from the
        right, so that equal ones broadcast."""
        spare = rank - self.fixed
        letters: list[str] = []
        for word in self.words:
            if word[0] == "*":
                letters += [f"{word}.{k}" for k in range(spare - 1, -1, -1)]
            elif word[0] == "?":
                letters += [word[1:]] * (spare > 0)
                spare -= spare > 0
            else:
                letters.append(word)
        return letters


@dataclass(frozen=True)
class Form:
    """One way to call an operation: the operands' patterns, and each result's letters."""

    operands: tuple[Pattern, ...]
    gives: tuple[tuple[str, ...], ...]


def form(*operands: str, gives: str | Sequence[str]) -> Form:
    patterns = []
    for text in operands:
        argument, _, words = text.partition(":")
        patterns.append(
            Pattern(argument.rstrip("? "), argument.endswith("?"), tuple(words.split()))
        )
    results = (gives,) if isinstance(gives, str) else gives
    return Form(tuple(patterns), tuple(tuple(words.split()) for words in results))


class Env(Mapping[str, Size]):
    """The sizes of a call by the letters of its pattern, and where each letter stands."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.sizes: dict[str, Size] = {}
        self.places: dict[str, list[At]] = {}

    def __getitem__(self, letter: str) -> Size:
        return self.sizes[letter]

    def __iter__(self) -> Iterable[str]:  # type: ignore[override]
        return iter(self.sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def at(self, letter: str) -> At:
        return self.places[letter][0]


Expression = Callable[[Env], Size]


@dataclass(frozen=True)
class Must:
    """What must hold besides equal letters: `left` (a letter) stands in `relation` to `right`.

    `relation` is `=`, `divides` (left is divided by right without remainder), `fits` (left is at
    least right).  `also` are letters at odds with it, marked beside it.
    """

    kind: str
    left: str
    relation: str
    right: Expression
    also: tuple[str, ...] = ()

    def check(self, env: Env) -> list[tuple[At, At]]:
        """What turns out to be one dimension.

        Raises:
            Refused: it does not hold.
        """
        if self.left not in env:
            return []
        left, right = env[self.left], self.right(env)
        broken = (
            differ(left, right)
            if self.relation == "="
            else known(left) and known(right) and _breaks(self.relation, left, right)
        )
        if broken:
            wanted = right if self.relation == "=" else None
            raise refuse(
                self.kind,
                mark(env.call, env.at(self.left), wanted),
                *(mark(env.call, env.at(letter)) for letter in self.also if letter in env),
                wanted=right,
                found=left,
            )
        others = [env.at(letter) for letter in self.also if letter in env]
        equal = [at for at in others if env.call.operands[at.operand].shape[at.dim] == left]
        return [(env.at(self.left), at) for at in equal] if self.relation == "=" else []


def _breaks(relation: str, left: int, right: int) -> bool:
    if relation == "divides":
        return right == 0 or left % right != 0
    return left < right


# --- entries -------------------------------------------------------------------------------------

Made = Callable[[Env], Dim]
Clues = Callable[[Call, Violation], Mapping[str, Any]]


@dataclass(frozen=True)
class Op:
    """One entry of the table.

    Args:
        names: short names of the operation (`tracer.ops.names.op_name`); modules of torch.nn that
            are recorded as one step go by their function's (`tracer.ops.LAYERS`).
        forms: its patterns; the first that fits the operands' numbers of dimensions is taken.
        made: a result's letter → the dimension, for what is no letter of an operand.
        mixed: a result's letter, a weight's → the letter of the dimension that it replaces.
        kinds: a letter → the kind of violation when it stands for two sizes.
        must: what else must hold.
        roles: letters of weights that are known by what they do, such as a kernel's height `kh`.
        bind: reads a call where letters do not reach, instead of `forms`.
        words: what is said of a step (`tracer.ops.say`).
        clues: what the refused call suggests was meant (`transposed`, `layout`), beside the facts
            of the violation.
        report: why a call was refused, in words (`tracer.ops.refusal`); without one, and where it
            gives None, what is said of its kind anyway (`tracer.ops.reports`, `tracer.ops.kinds`).
        flops: floating-point operations of a call, two for each product that is summed; without it
            there are none.
        shares: the result is (nearly always) another look at the operand's memory.
        whole: the result holds positions, classes or counts: whole numbers, whatever is given.
        returns: the parts of what a call hands back, where that is no tensor: `output, state`.
        scene: how it is drawn, and which cells of the operands a cell of a result is made of.
    """

    names: tuple[str, ...]
    forms: tuple[Form, ...] = ()
    made: Mapping[str, Made] = field(default_factory=dict)
    mixed: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    must: tuple[Must, ...] = ()
    roles: frozenset[str] = frozenset()
    bind: Callable[[Call], Bound] | None = None
    words: Words | None = None
    clues: Clues | None = None
    report: Reports | None = None
    flops: Callable[[Bound], Size] | None = None
    shares: bool = False
    whole: bool = False
    returns: str = ""
    scene: Scene = EVERYTHING


TABLE: dict[str, Op] = {}


def operation(
    names: str,
    *,
    forms: Sequence[Form] = (),
    made: Mapping[str, Made] | None = None,
    mixed: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    must: Sequence[Must] = (),
    roles: str = "",
    bind: Callable[[Call], Bound] | None = None,
    words: Words | None = None,
    clues: Clues | None = None,
    report: Reports | None = None,
    flops: Callable[[Bound], Size] | None = None,
    shares: bool = False,
    whole: bool = False,
    returns: str = "",
    scene: Scene = EVERYTHING,
) -> Op:
    """Enter an operation under each of its `names`, separated by blanks (see `Op`)."""
    entry = Op(
        tuple(names.split()),
        tuple(forms),
        made or {},
        mixed or {},
        kinds or {},
        tuple(must),
        frozenset(roles.split()),
        bind,
        words,
        clues,
        report,
        flops,
        shares,
        whole,
        returns,
        scene,
    )
    for name in entry.names:
        assert name not in TABLE, f"{name} has an entry already"
        TABLE[name] = entry
    return entry


def bind(call: Call) -> Bound | None:
    """What the operation makes of the call, with `violation` set where it refuses; None where the
    table has no entry for it or the call cannot be read."""
    entry = TABLE.get(call.op)
    if entry is None:
        return None
    try:
        return entry.bind(call) if entry.bind is not None else by_pattern(entry, call)
    except Refused as refused:
        violation = refused.violation
        if entry.clues is not None:
            facts = {**violation.facts, **entry.clues(call, violation)}
            violation = replace(violation, facts=facts)
        return Bound(call, violation=violation)
    except (Unclear, IndexError):  # an operand of a damaged file may lack a dimension
        return None


def by_pattern(entry: Op, call: Call) -> Bound:
    """What an entry's forms make of a call; also for a `bind` of its own that looks further.

    Raises:
        Refused, Unclear: as `Op.bind`.
    """
    chosen = next((f for f in entry.forms if _fits(f, call)), None)
    if chosen is None:
        raise _wrong_rank(entry, call)
    env = Env(call)
    ties: list[tuple[At, At]] = []
    for pattern in chosen.operands:
        for index in _given(pattern, call):
            ties += _read(entry, env, pattern, index)
    for must in entry.must:
        ties += must.check(env)
    results = tuple(
        tuple(dim for word in words for dim in _result(entry, env, word)) for words in chosen.gives
    )
    roles = {at: letter for letter in entry.roles for at in env.places.get(letter, ())}
    return Bound(call, results, tuple(ties), roles, dict(env.sizes))


def _given(pattern: Pattern, call: Call) -> tuple[int, ...]:
    if pattern.argument == "*":
        return tuple(range(len(call.operands)))
    index = call.tensor(pattern.argument)
    return () if index is None else (index,)


def _fits(one: Form, call: Call, but: int | None = None) -> bool:
    """Whether the operands, but for one, have the numbers of dimensions of a form."""
    for pattern in one.operands:
        given = _given(pattern, call)
        if not given and not pattern.optional:
            return False
        ranks = [call.operands[index].rank for index in given if index != but]
        if not all(map(pattern.fits, ranks)):
            return False
    return True


def _wrong_rank(entry: Op, call: Call) -> Exception:
    """The operand whose number of dimensions fits no form that the others fit; `rank` is the least
    that would do."""
    for one in entry.forms:
        need(all(_given(p, call) or p.optional for p in one.operands))
    given = sorted({i for one in entry.forms for p in one.operands for i in _given(p, call)})
    for index in given:
        others = [one for one in entry.forms if _fits(one, call, but=index)]
        wanted = [p for one in others for p in one.operands if index in _given(p, call)]
        if wanted:
            ranks = tuple(r for r in range(ANY_MORE + 1) if any(p.fits(r) for p in wanted))
            return refuse("rank", *all_marks(call, index), rank=ranks[0], ranks=ranks, at=index)
    index = given[0]
    ranks = tuple(r for r in range(ANY_MORE + 1) if entry.forms[0].operands[0].fits(r))
    return refuse("rank", *all_marks(call, index), rank=ranks[0], ranks=ranks, at=index)


def _read(entry: Op, env: Env, pattern: Pattern, index: int) -> list[tuple[At, At]]:
    """Give each dimension of the operand its letter; what one letter ties together.

    Raises:
        Refused: a letter stands for two sizes.
    """
    call = env.call
    shape = call.operands[index].shape
    ties: list[tuple[At, At]] = []
    for dim, letter in enumerate(pattern.spelled(len(shape))):
        at, size = At(index, dim), shape[dim]
        if letter.isdecimal():
            if differ(size, int(letter)):
                kind = entry.kinds.get(letter, "width")
                raise refuse(kind, mark(call, at, int(letter)), wanted=int(letter), found=size)
            continue
        before = env.sizes.get(letter)
        stretches = letter[0] == "*"
        if before is not None and not (stretches and (is_one(before) or is_one(size))):
            if differ(before, size):
                first = env.at(letter)
                kind = entry.kinds.get(letter.partition(".")[0], "broadcast")
                raise refuse(
                    kind,
                    mark(call, first, size),
                    mark(call, at, before),
                    wanted=size,
                    found=before,
                )
            ties.append((env.at(letter), at))
        if before is None or (stretches and is_one(before)):
            env.sizes[letter] = size
            env.places.setdefault(letter, []).insert(0, at)
        else:
            env.places[letter].append(at)
    return ties


def _result(entry: Op, env: Env, word: str) -> Dims:
    if word[0] == "*":
        mine = [letter for letter in env.sizes if letter.partition(".")[0] == word]
        mine.sort(key=lambda letter: -int(letter.rpartition(".")[2]))
        return tuple(_handed(env, letter) for letter in mine)
    if word[0] == "?":
        return (_handed(env, word[1:]),) if word[1:] in env.sizes else ()
    if word in entry.made:
        return (entry.made[word](env),)
    if word in entry.mixed:
        replaced = env.at(entry.mixed[word])
        return (Dim(env[word], MIXED, tuple(env.places[word]), replaces=replaced),)
    return (_handed(env, word),)


def _handed(env: Env, letter: str) -> Dim:
    size = env[letter]
    met = env.places[letter]
    shapes = env.call.operands
    full = tuple(
        at
        for at in met
        if shapes[at.operand].shape[at.dim] is size
        or not differ(shapes[at.operand].shape[at.dim], size)
    )
    return Dim(size, SAME, full or tuple(met))


def resize(letter: str, size: Expression, kind: str = "place") -> Made:
    """A result's dimension with another number of places than the operand's `letter`."""

    def made(env: Env) -> Dim:
        return Dim(size(env), RESIZED, (env.at(letter),), kind=kind)

    return made


__all__ = [
    "TABLE",
    "Bound",
    "Dim",
    "Env",
    "Form",
    "Mark",
    "Must",
    "Op",
    "Told",
    "bind",
    "by_pattern",
    "form",
    "operation",
    "resize",
]
