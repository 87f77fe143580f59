"""What the forward of a module can be called with, found by running its shapes.

The names and annotations of parameters give a first guess.  A run on the meta device then succeeds,
or breaks a rule that says which size was wanted of which dimension, and that dimension is followed
back to the input that it came from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import itertools
import math
import re
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from tracer import arguments, checks, gathered, holding, inputs, settings
from tracer.diagnosis import rules
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.roots.lineage import birth
from tracer.document import TensorNote, Trace
from tracer.holding import Holder, Part
from tracer.ops.names import BY_RANK, op_name
from tracer.ops.space import over_space
from tracer.record.crash import Crash
from tracer.record.isolation import moved, tensors_on
from tracer.record.run import Recording, record
from tracer.record.tensors import modules_in

MOST_RUNS = 60
"""Runs of one forward."""

FEW_RUNS = 15
"""Those of a module that is itself a guess."""

MOST_WORK = 60_000
"""Of one search, as `Fitted` counts it: with more of it nothing else is tried."""

LARGEST_INPUT = 16_000_000
"""Elements of an input: what asks for more was not meant so."""

MOST_PAIRS = 4
"""Of an argument and a letter, of which it is tried whether they go together."""

MOST_STEPS = 2_000
"""Of a forward that is run once more for the sake of its arguments' letters."""

MOST_OPTIONAL = 6
"""Parameters with a default of which it is tried whether they are needed after all."""

_SIZES = {"B": 2, "N": 10, "L": 10, "T": 4}
_CHANNELS = 8
_LONG = 1024
_SPACE = ((32, 48), (32, 32), (64, 64), (224, 224), (35, 35))
"""Heights and widths that are tried."""

_FORMS = {1: "B C L", 2: "B C H W", 3: "B C T H W"}
_TOKENS = "B N C"
_SPARE = "DEFGKMPQRSUVXYZ"

_IDS = re.compile(r"(^|_)(ids?|tokens?|idx|indices|index|labels?)$")
_MEANT: tuple[tuple[str, str], ...] = (
    (r"(^|_)masks?$", "B,N"),
    (r"(^|_)len(gth)?s?$", "B:int64<10"),
    (r"_(id|idx|index)$|(^|_)(label|target)s?$", "B:int64<2"),
    (r"(^|_)(images?|img|pixels?|pixel_values|pictures?|photos?|rgb)$", "B,C,H,W"),
)
"""What tensors that a batch holds are usually, by their names."""

_MOMENT = re.compile(r"^(t|time|times|timestep|timesteps|sigma|noise_level)$")
_IS_MISSING = re.compile(r"None|\b(specify|provide|either|required)\b")
_EMPTY = re.compile(r"shape '\[(-?\d+, )*0\b")
_NUMBER = re.compile(r"(?<![\w.])\d{1,5}(?![\w.]*\w)")
_MOST_NUMBERS = 4
_UNPACKED = re.compile(r"values to unpack \(expected (?:at least )?(\d)")
_NO_NUMBER = re.compile(
    r"(?i)tensor.*\b(integer|index|int|number)\b|\b(integer|number|int)\b.*tensor"
)
_STEP, _LAYER, _ELEMENTS = 4, 5, 20_000
"""Units of work: of a step, of a layer that is built, and how many elements are one."""

_META = torch.device("meta")


@dataclass(frozen=True)
class Fitted:
    """Inputs as `tracer.inputs.make` takes them, and what their letters stand for; `runs` says
    whether the forward ran with them, else they are what brought it furthest, to two sizes at
    `odds` or something else.  It took so many `steps`.  `work` is what all runs of the search took:
    one for each of the layers and `_STEP` for each step."""

    texts: tuple[str, ...]
    sizes: dict[str, int]
    runs: bool
    odds: tuple[int, ...] = ()
    steps: int = 0
    guess: _Guess | None = field(default=None, compare=False, repr=False)
    work: int = field(default=0, compare=False)


@dataclass(frozen=True)
class _Input:
    """A tensor of which the forward is to be given `count`, several as a tuple or a list."""

    name: str
    letters: tuple[str, ...]
    below: int | None = None  # of whole numbers: less than this
    is_share: bool = False  # of real numbers: from 0 to 1
    count: int = 1
    brackets: str = "()"
    by_place: bool = False
    value: str = ""  # in the place of a tensor
    holder: Holder | None = None
    place: int = 0  # in its holder

    @property
    def called(self) -> str:
        """How a trace calls it."""
        return self.name if self.holder is None else self.holder.called(self.name, self.place)

    @property
    def text(self) -> str:
        if self.value:
            return f"{self.name}:={self.value}"
        shape = ",".join(self.letters)
        if self.below is not None:
            shape += f":int64<{self.below}"
        elif self.is_share:
            shape += ":<1"
        if self.count > 1:
            shape = self.brackets[0] + "; ".join([shape] * self.count) + self.brackets[1]
        by_place = self.by_place or (self.holder is not None and self.holder.head == "(")
        return shape if by_place else f"{self.name}={shape}"


@dataclass(frozen=True)
class _Guess:
    """What is tried.  `fixed` are the letters of which a run has demanded their size."""

    given: tuple[str, ...]
    inputs: tuple[_Input, ...]
    values: tuple[str, ...]
    sizes: tuple[tuple[str, int], ...]
    fixed: frozenset[str] = frozenset()

    @property
    def texts(self) -> tuple[str, ...]:
        own = [each.text for each in self.inputs if each.holder is None]
        held: dict[Holder, list[str]] = {}
        for each in self.inputs:
            if each.holder is not None:
                held.setdefault(each.holder, []).append(each.text)
        whole = [holder.written(parts) for holder, parts in held.items()]
        return (*self.given, *own, *whole, *self.values)

    def used(self) -> dict[str, int]:
        sizes = dict(self.sizes)
        return {letter: sizes[letter] for letter in inputs.letters(self.texts) if letter in sizes}


def fitted(
    model: nn.Module,
    given: tuple[str, ...] = (),
    sizes: Mapping[str, int] | None = None,
    most: int = MOST_RUNS,
    first: Fitted | None = None,
) -> Fitted | None:
    """Inputs with which the forward runs, those `given` among them (texts as for
    `tracer.inputs.make`, with the `sizes` of their letters); None when no more are needed.  The
    letters of what is found stand for sizes of their own.  The forward runs at most so often; what
    was found `first`, for a module like this one, is tried first.

    Raises:
        tracer.inputs.InputError: what is given describes no input.
    """
    sizes = {
        letter: (sizes or {})[letter] for letter in inputs.letters(given) if letter in (sizes or {})
    }
    args, kwargs = inputs.make(given, sizes, kinds=holding.names_of(model))
    try:
        inspect.signature(model.forward).bind_partial(*args, **kwargs)
    except (TypeError, ValueError):
        return None  # what is given is too much, or has a wrong name
    taken = [*arguments.parameters(model.forward), *gathered.parameters(model)]
    required, optional = _missing(taken[len(args) :], kwargs)
    held = [holding.parts(model, each) or [each] for each in required]
    required = [part for parts in held for part in parts]
    if given and not required:
        return None
    search = _Search(model, min(most, MOST_RUNS))
    pending = list(_choices(required, optional[:MOST_OPTIONAL]))
    if not required:
        alone = search.run(_Guess((), (), (), ()))
        if alone.runs:
            return None
        pending.insert(0, [each for each in optional if each.name in alone.reads])
    before = search.run(first.guess) if first is not None and first.guess is not None else None
    if before is not None and before.runs:
        return _of(before, search)

    def starts(chosen: list[inspect.Parameter]) -> Iterator[_Guess]:
        return _starts(model, chosen, given, sizes)

    best = _best(search, pending, optional, starts, bool(required), before)
    return None if best is None else _of(best, search)


def built(model: nn.Module) -> int:
    """The work that it was to build a module, as `Fitted` counts it."""
    elements = sum(each.numel() for each in model.parameters() if not is_lazy(each))
    return _LAYER * len(modules_in(model)) + elements // _ELEMENTS


def _best(
    search: _Search,
    pending: list[list[inspect.Parameter]],
    optional: list[inspect.Parameter],
    starts: Callable[[list[inspect.Parameter]], Iterator[_Guess]],
    required: bool,
    best: _Tried | None,
) -> _Tried | None:
    """What comes furthest where these parameters are given, each choice after the other; those
    first that a failing statement has read in vain."""
    seen: set[tuple[str, ...]] = set()
    while pending and search.left > 0:
        chosen = pending.pop(0)
        if not chosen:
            continue
        seen.add(tuple(each.name for each in chosen))
        for start in starts(chosen):
            tried = search.run(start)
            if best is None or (tried.runs, tried.steps) > (best.runs, best.steps):
                best = tried
            asked = [each for each in optional if each.name in tried.reads and each not in chosen]
            more = [*chosen, *asked]
            if asked and tuple(each.name for each in more) not in seen:
                pending.insert(0, more)
                break
            # What is optional is given as well when the forward cannot do without.
            if tried.runs or search.left <= 0 or (tried.needs_more and optional):
                break
        if best is not None and best.runs:
            break
        if best is not None and required and not (pending and best.needs_more):
            break
    return best


def _of(tried: _Tried, search: _Search) -> Fitted:
    guess = tried.guess
    sizes = guess.used()
    return Fitted(guess.texts, sizes, tried.runs, tried.odds, tried.steps, guess, search.work)


def _choices(
    required: list[inspect.Parameter], optional: list[inspect.Parameter]
) -> Iterator[list[inspect.Parameter]]:
    """Which parameters are given: those required, then one optional besides, then two."""
    if required:
        yield required
    for each in optional:
        yield [*required, each]
    for first, second in itertools.combinations(optional, 2):
        yield [*required, first, second]


def _missing(
    parameters: list[inspect.Parameter], kwargs: Mapping[str, Any]
) -> tuple[list[inspect.Parameter], list[inspect.Parameter]]:
    """Those parameters that are not given: what is needed, and tensors that may be given."""
    rest = [each for each in parameters if each.name not in kwargs]
    required = [each for each in rest if arguments.is_required(each)]
    optional = [each for each in rest if each.default is None and _may_be_a_tensor(each)]
    return required, optional


def _may_be_a_tensor(parameter: inspect.Parameter) -> bool:
    return parameter.annotation is parameter.empty or "Tensor" in str(parameter.annotation)


def _starts(
    model: nn.Module,
    missing: list[inspect.Parameter],
    given: tuple[str, ...],
    sizes: dict[str, int],
) -> Iterator[_Guess]:
    """First guesses, the likeliest form first."""
    widths = _widths(model)
    for number, form in enumerate(_forms(model)):
        if number == 1:
            yield from _rare(missing, given, sizes, widths[0])
        held = any(isinstance(each, Part) and each.holder.head != "(" for each in missing)
        order = (_TOKENS, form, "B C") if held else (form, "B C", _TOKENS)
        forms = dict.fromkeys(order if len(missing) > 1 else (form,))
        for high, wide in _SPACE if "H" in form else _SPACE[:1]:
            for other in forms:
                for found, values in _made(missing, form, other):
                    for width in widths if "C" in form else widths[:1]:
                        start = _SIZES | {"C": width, "H": high, "W": wide} | sizes
                        guess = _Guess(given, found, values, tuple(start.items()), frozenset(sizes))
                        if _elements(guess) <= LARGEST_INPUT:
                            yield guess


def _made(
    missing: list[inspect.Parameter], form: str, other: str
) -> list[tuple[tuple[_Input, ...], tuple[str, ...]]]:
    """The tensors and the values for these parameters, the first of that form and the rest of
    another; as their annotations say, and with one tensor where these say several."""
    forms = [form, *[other] * (len(missing) - 1)]
    pairs = zip(missing, forms, strict=True)
    made = [_part(each, _guessed(each, tuple(f.split()))) for each, f in pairs]
    values = tuple(each for each in made if isinstance(each, str))
    tensors = tuple(each for each in made if isinstance(each, _Input))
    alone = tuple(dataclasses.replace(each, count=1) for each in tensors)
    return [(found, values) for found in dict.fromkeys((tensors, alone))]


def _rare(
    missing: list[inspect.Parameter], given: tuple[str, ...], sizes: dict[str, int], width: int
) -> Iterator[_Guess]:
    """What few modules take: a long row, and numbers of classes beside scores."""
    high, wide = _SPACE[0]
    start = _SIZES | {"L": _LONG, "C": width, "H": high, "W": wide} | sizes
    if not missing:
        return
    first, *rest = missing
    long = [_guessed(each, tuple(_FORMS[1].split())) for each in missing]
    classes = [
        _guessed(first, ("B", "C")),
        *(_Input(each.name, ("B",), below=2) for each in rest),
    ]
    pairs = [
        *(_guessed(each, ("B", "C")) for each in missing[:-1]),
        _Input(missing[-1].name, ("B",)),
    ]
    for kinds in (long, classes, pairs) if rest else (long,):
        made = [_part(each, kind) for each, kind in zip(missing, kinds, strict=True)]
        values = tuple(each for each in made if isinstance(each, str))
        tensors = tuple(each for each in made if isinstance(each, _Input))
        yield _Guess(given, tensors, values, tuple(start.items()), frozenset(sizes))


def _widths(model: nn.Module) -> list[int]:
    """Channels that are tried: the sizes that most of the parameters' dimensions have, and the
    three of a picture."""
    made = [each for each in model.parameters() if not is_lazy(each)]
    counted = Counter(size for each in made for size in each.shape if size > 1)
    common = [size for size, _ in counted.most_common(2)]
    return list(dict.fromkeys([*(common or [_CHANNELS]), 3]))


def _forms(model: nn.Module) -> list[str]:
    """The forms that an input may have: first that of the first layer which knows one."""
    kinds = [type(each).__name__ for each in model.modules()]
    known = next((count for kind in kinds if (count := over_space(kind))), None)
    first = [_FORMS[known]] if known is not None else []
    tokens = _TOKENS
    orders: list[Any] = [getattr(each, "batch_first", None) for each in model.modules()]
    if next((each for each in orders if each is not None), True) is False:
        tokens = "L B C"
    return list(dict.fromkeys([*first, tokens, "B C H W", "B C", "B C L", "B C T H W", "N"]))


def _guessed(parameter: inspect.Parameter, letters: tuple[str, ...]) -> _Input | str:
    kind, name = arguments.one_of(parameter.annotation), parameter.name
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return _Input(name, letters, by_place=True)
    if kind in (int, float, bool, str):
        value = {bool: "False", float: "0.5", str: "''"}.get(kind)
        return f"{name}:={value or arguments.number(name, _SIZES['N'])}"
    if _MOMENT.match(name):
        return _Input(name, ("B",))
    if _IDS.search(name) or "LongTensor" in str(kind):
        return _Input(name, ("B", "N"), below=2)
    if typing.get_origin(kind) is tuple and set(typing.get_args(kind)) <= {int, Ellipsis}:
        return f"{name}:=({_SPACE[1][0]}, {_SPACE[1][1]})"
    if typing.get_origin(kind) in (tuple, list):
        parts = [each for each in typing.get_args(kind) if each is not Ellipsis]
        brackets = "()" if typing.get_origin(kind) is tuple else "[]"
        return _Input(name, letters, count=max(2, len(parts)), brackets=brackets)
    return _Input(name, letters)


def _part(parameter: inspect.Parameter, made: _Input | str) -> _Input | str:
    """The input in what holds it."""
    if not isinstance(parameter, Part):
        return made
    if isinstance(made, str):
        made = _Input(parameter.name, (), value=made.partition(":=")[2])
    elif made.count == 1:
        form = next((form for words, form in _MEANT if re.search(words, parameter.name)), None)
        made = made if form is None else _of_form(parameter.name, form)
    return dataclasses.replace(made, holder=parameter.holder, place=parameter.place)


def _of_form(name: str, form: str) -> _Input:
    """An input as a text says it, `B,N:int64<2`."""
    shape, _, bound = form.partition("<")
    letters = tuple(shape.partition(":")[0].split(","))
    return _Input(name, letters, below=int(bound) if bound else None)


@dataclass(frozen=True)
class _Tried:
    """What came of a guess: whether it runs, and how many steps it took; `needs_more` when
    something of it was used that was not given, and `reads` are the names that had none."""

    runs: bool
    steps: int
    guess: _Guess
    needs_more: bool = False
    reads: frozenset[str] = frozenset()
    odds: tuple[int, ...] = ()


class _Search:
    """Runs of one module's shapes, at most `MOST_RUNS`."""

    def __init__(self, model: nn.Module, most: int) -> None:
        self.model = model
        self.on_meta: nn.Module | None = None
        self.layers = len(modules_in(model))
        parameters = arguments.parameters(model.forward)
        self.switches = frozenset(e.name for e in parameters if e.default in (None, True))
        self.kinds = holding.names_of(model)
        self.runs_left, self.work = most, 0
        self.seen: set[_Guess] = set()
        try:
            self.on_meta, _, _ = moved(model, (), {}, _META)
        except Exception:  # noqa: BLE001 - it cannot be copied: it is run as it is
            self.on_meta = None

    @property
    def left(self) -> int:
        """Runs that may still be made."""
        return self.runs_left if self.work < MOST_WORK else 0

    def run(self, guess: _Guess) -> _Tried:
        """Mend the guess for as long as a run says what it wants; where it may be meant of several
        inputs or of one, first of all of them."""
        best = _Tried(False, -1, guess)
        guesses = [guess]
        while guesses and self.left > 0:
            guess = guesses.pop()
            if guess in self.seen:
                continue
            self.seen.add(guess)
            self.runs_left -= 1
            found = self._recorded(guess)
            if found is None:
                continue
            is_of_values = self.on_meta is None
            if found.error is None and self.on_meta is not None:
                is_of_values = True
                # With values: of these some kernels ask more.
                found = self._once(self.model, guess)
                if found is None:
                    continue
            if is_of_values:
                guesses += _of_shares(guess, found.error)
            count = len(found.trace.steps)
            if found.error is None:
                guess = _with_bounds(guess, found.trace)
                runs = count > 0 and not _is_unbatched(found.trace)
                return _Tried(runs, count, guess)
            needs_more = best.needs_more or _IS_MISSING.search(str(found.error)) is not None
            if count > best.steps:
                best = _Tried(False, count, guess, odds=_odds(found))
            reads = best.reads | _absent(found)
            best = dataclasses.replace(best, needs_more=needs_more, reads=reads)
            guesses += (
                _told(guess, found.error) + self._asked(guess, found) + _demanded(guess, found)
            )
        return best

    def _asked(self, guess: _Guess, found: Recording) -> list[_Guess]:
        """The guess as the failing statement asks for it: with as many dimensions as it takes
        apart, with several tensors, with a plain value, without what it says yes to by itself, or
        with the sizes that a check compares; the likeliest last."""
        if found.crash is None:
            return []
        made: list[_Guess] = []
        words = str(found.error)
        parts = _UNPACKED.search(words)
        if parts is not None:
            made += _taken_apart(guess, found.crash, int(parts[1]))
        elif "Boolean value of Tensor" in words:
            made += _plain(guess, found.crash, "False")
        elif isinstance(found.error, TypeError) and _NO_NUMBER.search(words):
            made += _plain(guess, found.crash, "")
        elif isinstance(found.error, ValueError | AssertionError | RuntimeError):
            made += _denied(guess, found.crash, self.switches)
            made += _of_none(guess, found.crash, words)
            for pair in reversed(checks.at_odds(found.crash)):
                made += _of_sizes(guess, *pair)
        return [each for each in made if _elements(each) <= LARGEST_INPUT]

    def _recorded(self, guess: _Guess) -> Recording | None:
        if self.on_meta is not None:
            found = self._once(self.on_meta, guess, on_meta=True)
            if found is None or not _is_of_meta(found.error):
                return found
            self.on_meta = None
        return self._once(self.model, guess)

    def _once(self, model: nn.Module, guess: _Guess, on_meta: bool = False) -> Recording | None:
        self.work += self.layers
        with _META if on_meta else contextlib.nullcontext():
            args, kwargs = inputs.make(guess.texts, dict(guess.sizes), kinds=self.kinds)
        if on_meta:
            args, kwargs = tensors_on(_META, args), tensors_on(_META, kwargs)
        try:
            with torch.no_grad():
                found = record(model, args, kwargs)
        except Exception:  # noqa: BLE001 - somebody's module may refuse to be looked at
            return None
        self.work += _STEP * len(found.trace.steps)
        return found


def _is_of_meta(error: BaseException | None) -> bool:
    """Whether it failed since there are no values."""
    return error is not None and (isinstance(error, NotImplementedError) or "meta" in str(error))


def _is_unbatched(trace: Trace) -> bool:
    """Whether some layer over space took the input for one sample without a batch."""
    for step in trace.steps:
        count = over_space(op_name(step.op))
        if count and step.inputs and len(step.inputs[0].shape) == count + 1:
            return True
    return False


def _odds(found: Recording) -> tuple[int, ...]:
    """The two sizes that a failed run found at odds."""
    failure = found.trace.failure
    if found.crash is None or failure is None:
        return ()
    for mark in rules.explain(found.crash).marks:
        if mark.wanted is not None and mark.operand < len(failure.operands):
            shape = failure.operands[mark.operand].note.shape
            if -len(shape) <= mark.dim < len(shape):
                return shape[mark.dim], mark.wanted
    return ()


def _told(guess: _Guess, error: BaseException) -> list[_Guess]:
    """What a module's own check may mean: the numbers that it names as sizes, and none of an input
    of which it has asked what no tensor has; the likeliest last."""
    found = []
    if isinstance(error, AttributeError | TypeError):
        found += [_without(guess, place) for place in range(1, len(guess.inputs))]
    if isinstance(error, ValueError | AssertionError):
        sizes = dict(guess.sizes)
        numbers = [int(each) for each in _NUMBER.findall(str(error))]
        own = {0, *(sizes[letter] for each in guess.inputs for letter in each.letters)}
        named = [each for each in dict.fromkeys(numbers) if each not in own][:_MOST_NUMBERS]
        for number in reversed(named):
            for letter in guess.inputs[0].letters if guess.inputs else ():
                if letter not in guess.fixed | {"B"}:
                    changed = tuple((sizes | {letter: number}).items())
                    fixed = guess.fixed | {letter}
                    found.append(dataclasses.replace(guess, sizes=changed, fixed=fixed))
    return [each for each in found if _elements(each) <= LARGEST_INPUT]


def _absent(found: Recording) -> frozenset[str]:
    """The names that the failing statement reads and that are None, if it wants none of them."""
    if found.crash is None or not _IS_MISSING.search(str(found.error)):
        return frozenset()
    read = checks.names_read(found.crash)
    return frozenset(name for name, value in read.items() if value is None)


def _taken_apart(guess: _Guess, crash: Crash, count: int) -> list[_Guess]:
    whole = checks.unpacks(crash)
    read = checks.names_read(crash)
    found = []
    for place, each in sorted(enumerate(guess.inputs), key=lambda pair: pair[1].name in read):
        if isinstance(whole, torch.Tensor) and each.name in read:
            several = dataclasses.replace(each, count=count)
            found.append(_with_input(guess, place, several))
        elif not isinstance(whole, torch.Tensor) and len(each.letters) != count:
            letters = tuple(BY_RANK.get(count, _TOKENS).split())
            found.append(_with_input(guess, place, dataclasses.replace(each, letters=letters)))
    return found


def _plain(guess: _Guess, crash: Crash, value: str) -> list[_Guess]:
    """With this value, or the number that its name means, in the place of one of the tensors that
    the failing statement reads."""
    read = checks.names_read(crash)
    found = []
    for place, each in enumerate(guess.inputs):
        if each.name in read and len(guess.inputs) > 1:
            number = str(arguments.number(each.name, _SIZES["N"]))
            found.append(_without(guess, place, value or number))
    return found


def _denied(guess: _Guess, crash: Crash, switches: frozenset[str]) -> list[_Guess]:
    """With no for what has a default and is true where the failing statement reads it."""
    read = checks.names_read(crash)
    return [
        dataclasses.replace(guess, values=(*guess.values, f"{name}:=False"))
        for name, value in read.items()
        if value is True and name in switches and not _names(guess, name)
    ]


def _of_none(guess: _Guess, crash: Crash, words: str) -> list[_Guess]:
    """With one for a plain number, or a size, by which another is divided so that nothing is left
    of it in the shape that the failing statement asks for."""
    if not _EMPTY.search(words):
        return []
    sizes = dict(guess.sizes)
    found = []
    for name, value in checks.names_read(crash).items():
        if type(value) is not int or value < 2:
            continue
        written = f"{name}:={value}"
        if written in guess.values:
            values = tuple(f"{name}:=1" if each == written else each for each in guess.values)
            found.append(dataclasses.replace(guess, values=values))
        for letter in dict.fromkeys(each for i in guess.inputs for each in i.letters):
            if sizes[letter] == value and letter not in guess.fixed:
                changed = tuple((sizes | {letter: 1}).items())
                fixed = guess.fixed | {letter}
                found.append(dataclasses.replace(guess, sizes=changed, fixed=fixed))
    return found


def _of_shares(guess: _Guess, error: BaseException | None) -> list[_Guess]:
    """With all real inputs from 0 to 1 where it is their values that are refused."""
    if not isinstance(error, ValueError | RuntimeError | AssertionError):
        return []
    within = tuple(dataclasses.replace(each, is_share=True) for each in guess.inputs)
    return [dataclasses.replace(guess, inputs=within)]


def _names(guess: _Guess, name: str) -> bool:
    return any(re.match(rf"{name}:?=", text) for text in guess.texts)


def _of_sizes(guess: _Guess, one: int, other: int) -> list[_Guess]:
    """With a letter that has one of two sizes that should be the same at the other, or in the same
    ratio; the likeliest last."""
    sizes = dict(guess.sizes)
    found = []
    for has, wants in ((other, one), (one, other)):
        for letter in reversed(dict.fromkeys(each for i in guess.inputs for each in i.letters)):
            size = sizes[letter]
            if letter in guess.fixed | {"B"} or has <= 0 or wants <= 0:
                continue
            if size == has or (size % has == 0 and size > has):
                changed = tuple((sizes | {letter: size // has * wants}).items())
                fixed = guess.fixed | {letter}
                found.append(dataclasses.replace(guess, sizes=changed, fixed=fixed))
    return found


def _without(guess: _Guess, place: int, value: str = "None") -> _Guess:
    """The guess with a plain value in the place of a tensor."""
    was = guess.inputs[place]
    if was.holder is not None:
        return _with_input(guess, place, dataclasses.replace(was, value=value, letters=()))
    name = was.name
    rest = (*guess.inputs[:place], *guess.inputs[place + 1 :])
    return dataclasses.replace(guess, inputs=rest, values=(*guess.values, f"{name}:={value}"))


def _demanded(guess: _Guess, found: Recording) -> list[_Guess]:
    """The guess with the one size, or the one type, that the broken rule asks for; the likeliest
    comes last."""
    failure = found.trace.failure
    if found.crash is None or failure is None:
        return []
    finding = rules.explain(found.crash)
    operands = failure.operands
    places = _places(guess, found.trace)
    if finding.kind in ("rank", "target"):
        return _of_other_rank(guess, found, finding, places)
    if finding.kind == "dtype":
        wrong = [places[each.note.id] for each in operands if each.note.id in places]
        return [_of_other_type(guess, place) for place in wrong[:1]]
    wishes = []
    for mark in finding.marks:
        if mark.wanted is None or mark.operand >= len(operands):
            continue
        born = birth(found.trace, operands[mark.operand].note, mark.dim)
        place = places.get(born.note.id)
        if place is not None and born.last is None:
            letter = guess.inputs[place].letters[born.dim]
            wishes.append((letter in guess.fixed, place, born.dim, mark.wanted))
    wishes = wishes or _of_elements(guess, found, finding, places)
    if not wishes:
        return _in_ratio(guess, *_odds(found))
    is_fixed, place, dim, wanted = min(wishes)
    letter = guess.inputs[place].letters[dim]
    alone = _sized(_with_own_letter(guess, place, dim), place, dim, wanted)
    same = [
        _with_letter(guess, other, at, letter)
        for fixed, other, at, _ in wishes
        if fixed
        and not is_fixed
        and other != place
        and guess.inputs[other].letters.count(letter) == 1
    ]
    shared = sum(letter in each.letters for each in guess.inputs) > 1
    together = _sized(guess, place, dim, wanted)
    mended = [alone] if is_fixed else [alone, together] if shared else [together]
    mended += same
    return [each for each in mended if _elements(each) <= LARGEST_INPUT]


def _of_other_rank(
    guess: _Guess, found: Recording, finding: Finding, places: Mapping[int, int]
) -> list[_Guess]:
    """The guess with as many dimensions of an input as the layer, or the loss, takes that it comes
    to first."""
    failure, facts = found.trace.failure, finding.facts
    at = finding.marks[0].operand if finding.marks else None
    if failure is None or at is None or at >= len(failure.operands):
        return []
    place = places.get(failure.operands[at].note.id)
    if place is None:
        return []
    was = guess.inputs[place]
    if finding.kind == "target":
        count = len(facts["wanted"]) if isinstance(facts.get("wanted"), tuple) else 0
        letters = was.letters[:count]
    else:
        asked = facts.get("ranks") or (facts.get("rank"),)
        count = max((each for each in asked if each in BY_RANK), default=0)
        letters = tuple(BY_RANK[count].split()) if was.below is None else ()
    if not letters or letters == was.letters:
        return []
    return [_with_input(guess, place, dataclasses.replace(was, letters=letters))]


def _in_ratio(guess: _Guess, has: int = 0, wants: int = 0) -> list[_Guess]:
    """The guess with another size for the letter of which a size may be a multiple that comes of no
    one input: that of tensors which were joined."""
    sizes = dict(guess.sizes)
    found = []
    for letter in dict.fromkeys(each for i in guess.inputs for each in i.letters):
        size = sizes[letter]
        times, rest = divmod(has, size) if size > 1 else (0, 1)
        if letter not in guess.fixed | {"B"} and not rest and times > 1 and not wants % times:
            changed = tuple((sizes | {letter: wants // times}).items())
            found.append(dataclasses.replace(guess, sizes=changed, fixed=guess.fixed | {letter}))
    return found or _by_difference(guess, has, wants)


def _by_difference(guess: _Guess, has: int, wants: int) -> list[_Guess]:
    """The guess with a last dimension by so much larger or smaller as a size is that comes of
    several, joined one behind the other."""
    sizes = dict(guess.sizes)
    found = []
    for letter in dict.fromkeys(each.letters[-1] for each in guess.inputs if each.letters):
        size = sizes[letter] + wants - has
        if letter not in guess.fixed | {"B"} and wants != has and size > 0:
            changed = tuple((sizes | {letter: size}).items())
            found.append(dataclasses.replace(guess, sizes=changed, fixed=guess.fixed | {letter}))
    return found


def _of_elements(
    guess: _Guess, found: Recording, finding: Finding, places: Mapping[int, int]
) -> list[tuple[bool, int, int, int]]:
    """Of a tensor with another number of elements than is wanted: the dimensions of an input that
    would have to be another, with whether they are fixed."""
    failure = found.trace.failure
    wanted = finding.facts.get("product")
    if type(wanted) is not int or failure is None:
        return []
    notes = [each.note for each in failure.operands[:1] if 0 not in each.note.shape]
    wishes = []
    for note, dim in ((each, dim) for each in notes for dim in range(len(each.shape))):
        size, count = note.shape[dim], math.prod(note.shape)
        born = birth(found.trace, note, dim)
        place = places.get(born.note.id)
        if place is None or born.last is not None or (size * wanted) % count:
            continue
        letter = guess.inputs[place].letters[born.dim]
        if letter != "B":
            wishes.append((letter in guess.fixed, place, born.dim, size * wanted // count))
    return wishes


def _elements(guess: _Guess) -> int:
    """Of the largest input."""
    sizes = dict(guess.sizes)
    counts = (math.prod(sizes[letter] for letter in each.letters) for each in guess.inputs)
    return max(counts, default=0)


def _of_other_type(guess: _Guess, place: int) -> _Guess:
    """Whole numbers, one for each place of a sequence, instead of real ones, and back."""
    was = guess.inputs[place]
    if was.below is None:
        return _with_input(guess, place, dataclasses.replace(was, below=2, letters=("B", "N")))
    return _with_input(guess, place, dataclasses.replace(was, below=None))


def _places(guess: _Guess, trace: Trace) -> dict[int, int]:
    """Of each of the trace's inputs, by its id, which of the guess it is."""
    names = {each.called: place for place, each in enumerate(guess.inputs)}
    found: dict[int, int] = {}
    for note in trace.inputs:
        # The second of `*args` is `args[1]`, and `args_1` as a parameter.
        by_place = note.name.replace("[", "_").removesuffix("]")
        own = note.name, by_place, note.name.partition("[")[0]
        place = next((names[each] for each in own if each in names), None)
        if place is not None:
            found[note.id] = place
    return found


def _sized(guess: _Guess, place: int, dim: int, wanted: int) -> _Guess:
    letter = guess.inputs[place].letters[dim]
    sizes = dict(guess.sizes) | {letter: wanted}
    return dataclasses.replace(guess, sizes=tuple(sizes.items()), fixed=guess.fixed | {letter})


def _with_own_letter(guess: _Guess, place: int, dim: int) -> _Guess:
    """The dimension under a letter that no other has."""
    known = set(inputs.letters(guess.texts))
    spare = (*_SPARE, *(f"{letter}{number}" for number in range(2, 20) for letter in _SPARE))
    return _with_letter(guess, place, dim, next(each for each in spare if each not in known))


def _with_letter(guess: _Guess, place: int, dim: int, letter: str) -> _Guess:
    """The dimension under this letter."""
    was = guess.inputs[place]
    letters = (*was.letters[:dim], letter, *was.letters[dim + 1 :])
    return _with_input(guess, place, dataclasses.replace(was, letters=letters))


def _with_input(guess: _Guess, place: int, changed: _Input) -> _Guess:
    found = (*guess.inputs[:place], changed, *guess.inputs[place + 1 :])
    return dataclasses.replace(guess, inputs=found)


def _with_bounds(guess: _Guess, trace: Trace) -> _Guess:
    """Whole numbers as large as the tables allow in which they are looked up."""
    places = _places(guess, trace)
    for step in trace.walk():
        if op_name(step.op).casefold() not in ("embedding", "embedding_bag"):
            continue
        rows = _rows(step.inputs)
        for note in step.inputs:
            born = birth(trace, note, 0).note if note.shape else note
            place = places.get(born.id)
            if place is not None and guess.inputs[place].below is not None and rows:
                changed = dataclasses.replace(guess.inputs[place], below=rows)
                guess = _with_input(guess, place, changed)
    return guess


def _rows(operands: Iterable[TensorNote]) -> int:
    """Rows of the table among the operands of an embedding."""
    tables = [each.shape[0] for each in operands if each.kind == "parameter" and each.shape]
    return min(tables, default=0)


# --- letters that arguments and inputs share ----------------------------------------------------


def shared(
    build: Callable[[Mapping[str, str]], nn.Module],
    texts: Mapping[str, str],
    given: Mapping[str, str],
    found: Fitted,
) -> dict[str, str]:
    """The constructor's arguments (`texts`) with the letter of an input in the place of a number
    that was found, where they go together: with twice the number and the size the module runs, and
    with twice the size alone it does not.  Of a long run it is not tried."""
    shown = dict(texts)
    if found.steps > MOST_STEPS:
        return shown
    pairs = (
        (way, letter)
        for way, text in settings.slots(texts).items()
        for letter, size in found.sizes.items()
        if way[0] not in given and text == str(size)
    )
    own, lettered = build(texts), set[settings.Way]()
    for way, letter in itertools.islice(pairs, MOST_PAIRS):
        size = found.sizes[letter]
        sizes = found.sizes | {letter: 2 * size}
        try:
            other = build(settings.put(texts, way, str(2 * size)))
        except Exception:  # noqa: BLE001 - another number is no argument
            continue
        if way not in lettered and _runs(other, found, sizes) and not _runs(own, found, sizes):
            shown = settings.put(shown, way, letter)
            lettered.add(way)
    return shown


def _runs(model: nn.Module, found: Fitted, sizes: Mapping[str, int]) -> bool:
    search = _Search(model, 1)
    guess = _Guess(found.texts, (), (), tuple(sizes.items()))
    tried = search._recorded(guess)
    return tried is not None and tried.error is None
