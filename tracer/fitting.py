"""What a module can be called with, found by running its shapes: the arguments that its constructor
needs, and the inputs that its forward takes.

The names and annotations of parameters give a first guess.  A run on the meta device then succeeds,
or breaks a rule that says which size was wanted of which dimension, and that dimension is followed
back to the input that it came from.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import math
import re
import sys
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tracer import inputs
from tracer.diagnosis import rules
from tracer.diagnosis.roots.lineage import birth
from tracer.document import TensorNote, Trace
from tracer.ops.names import op_name
from tracer.outline import Argument, ModuleClass
from tracer.record.isolation import moved, tensors_on
from tracer.record.run import Recording, record

MOST_RUNS = 60
"""Runs of one forward."""

LARGEST_INPUT = 16_000_000
"""Elements of an input: what asks for more was not meant so."""

MOST_OPTIONAL = 6
"""Parameters with a default of which it is tried whether they are needed after all."""

WIDTHS = (64, 32, 16, 96, 256)
"""What is tried for channels and features that a constructor needs, in turn."""

MOST_CONFIGURATIONS = 3
DEPTH = 3
"""Objects within objects that are made for an argument."""

_NUMBERS: tuple[tuple[str, int], ...] = (
    (r"heads?$|groups", 4),
    (r"kernel|window|patch", 4),
    (r"idx|index|padding|offset|start", 0),
    (
        r"depth|layers|blocks|repeat|times|scale|stride|factor|ratio|expan|upscale|levels|n_stages",
        2,
    ),
    (r"class|outputs", 10),
    (r"vocab|num_embeddings|tokens|length|max_", 100),
    (r"size|resolution", 16),
)
"""What a whole number is probably meant to be, by the name of its parameter; else a width."""

_SMALL = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embed_dim"), 64),
    **dict.fromkeys(("intermediate_size", "d_ff", "ffn_dim", "hidden_dim"), 128),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 128),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("head_dim", "d_kv"), 16),
    "num_key_value_heads": 2,
    "moe_intermediate_size": 32,
    "vocab_size": 100,
    "image_size": 32,
    "patch_size": 8,
}
"""What large models' configurations are made small by, where they have such a parameter."""

_SIZES = {"B": 2, "N": 10, "L": 10, "T": 4}
_CHANNELS = 8
_SPACE = ((32, 48), (32, 32), (64, 64), (224, 224))
"""Heights and widths that are tried."""

_FORMS = {1: "B C L", 2: "B C H W", 3: "B C T H W"}
_TOKENS = "B N C"
_SPARE = "DEFGKMPQRSUVXYZ"

_IDS = re.compile(r"(^|_)(ids?|tokens?|idx|indices|index|labels?)$")
_MOMENT = re.compile(r"^(t|time|times|timestep|timesteps|sigma|noise_level)$")
_IS_MISSING = re.compile(r"None|\b(specify|provide|either|required)\b")
_SPATIAL = re.compile(r"([123])d$")
_META = torch.device("meta")


# --- what it takes ------------------------------------------------------------------------------


def form_of(made: Callable[..., Any], forward: Callable[..., Any]) -> ModuleClass:
    """What the constructor and the forward of a live class take, in the form in which
    `tracer.outline` tells it of a text."""
    return ModuleClass(
        name=getattr(made, "__name__", ""),
        line=0,
        constructor=tuple(_told(each) for each in _parameters(made)),
        forward=tuple(_told(each) for each in _parameters(forward)),
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


# --- constructors -------------------------------------------------------------------------------


def arguments(
    made: Callable[..., Any], given: Mapping[str, str] = {}, small: bool = False
) -> Iterator[dict[str, str]]:
    """What `made` may be called with, as Python text by name, the likeliest first: what is `given`,
    and something for each parameter without a default.  Nothing where a parameter is of a kind of
    which nothing is known.

    The texts use the names of the module in which `made` is written.  Configurations of large
    models are made `small`.
    """
    seen = []
    for choice in range(MOST_CONFIGURATIONS):
        for width in WIDTHS:
            for shrinks in (True, False) if small else (False,):
                found = _arguments(made, given, _Taste(width, shrinks, choice), 0)
                if found is None:
                    return
                if found not in seen:
                    seen.append(found)
                    yield found


@dataclass(frozen=True)
class _Taste:
    """What is chosen where there is a choice: for a width, of configurations whether they are
    made small, and the which-most likely class of them."""

    width: int
    shrinks: bool
    choice: int


def _arguments(
    made: Callable[..., Any], given: Mapping[str, str], taste: _Taste, depth: int
) -> dict[str, str] | None:
    found = dict(given)
    for parameter in _parameters(made):
        if parameter.name in found or not _is_required(parameter):
            continue
        value = _argument(made, parameter, taste, depth)
        if value is None:
            return None
        found[parameter.name] = value
    return found


def _parameters(made: Callable[..., Any]) -> list[inspect.Parameter]:
    """With the annotations that can be resolved; of what is overloaded those of the first form."""
    function: Any = getattr(made, "__init__", made) if isinstance(made, type) else made
    forms = typing.get_overloads(function) if inspect.isfunction(function) else []
    try:
        found = list(inspect.signature(forms[0] if forms else made).parameters.values())
    except (ValueError, TypeError):
        return []
    if forms and found and found[0].name == "self":
        del found[0]
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - names of other people's annotations may not exist
        hints = {}
    return [each.replace(annotation=hints.get(each.name, each.annotation)) for each in found]


def _is_required(parameter: inspect.Parameter) -> bool:
    plain = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return plain and parameter.default is parameter.empty


def _argument(
    made: Callable[..., Any], parameter: inspect.Parameter, taste: _Taste, depth: int
) -> str | None:
    kind: Any = _one_of(parameter.annotation)
    if kind is parameter.empty and parameter.name in ("config", "cfg"):
        known = _configurations(made)
        kind = known[min(taste.choice, len(known) - 1)] if known else int
    if kind is bool:
        return "False"
    if kind is float:
        return "0.5"
    if kind in (int, parameter.empty):
        return str(_number(parameter.name, taste.width))
    if typing.get_origin(kind) in (tuple, list):
        number = str(_number(parameter.name, taste.width))
        return f"({number}, {number})" if typing.get_origin(kind) is tuple else f"[{number}] * 4"
    if isinstance(kind, type) and kind.__module__ != "builtins" and depth < DEPTH:
        inner = _arguments(kind, _shrunk(kind) if taste.shrinks else {}, taste, depth + 1)
        name = kind.__name__
        if inner is not None and _names_beside(made).get(name) is kind:
            return f"{name}({', '.join(f'{each}={text}' for each, text in inner.items())})"
    return _usual(made, parameter.name)


def _usual(made: Callable[..., Any], name: str) -> str | None:
    """What a parameter of that name is by default elsewhere in the file of `made`, where that can
    be written there; the commonest."""
    beside = _names_beside(made)
    counted: Counter[str] = Counter()
    for other in beside.values():
        if not callable(other) or getattr(other, "__module__", "") != made.__module__:
            continue
        for parameter in _parameters(other):
            text = _written(parameter.default, beside) if parameter.name == name else None
            if text is not None:
                counted[text] += 1
    return next((text for text, _ in counted.most_common(1)), None)


def _written(value: object, names: Mapping[str, Any]) -> str | None:
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


def _one_of(kind: Any) -> Any:
    """`int` of `int | None`; of other unions the tensor, or what stands first."""
    options = [each for each in typing.get_args(kind) if each is not type(None)]
    if not options or typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    return torch.Tensor if torch.Tensor in options else _one_of(options[0])


def _number(name: str, width: int) -> int:
    return next((number for words, number in _NUMBERS if re.search(words, name)), width)


def _names_beside(made: Callable[..., Any]) -> dict[str, Any]:
    module = sys.modules.get(getattr(made, "__module__", ""))
    return vars(module) if module is not None else {}


def _configurations(made: Callable[..., Any]) -> list[type]:
    """The classes of configurations beside `made`, those first that are called most like it."""
    known = [
        value
        for name, value in _names_beside(made).items()
        if isinstance(value, type) and name.endswith(("Config", "Configuration"))
    ]
    name = getattr(made, "__name__", "")
    return sorted(known, key=lambda each: -_alike(each.__name__, name))


def _alike(one: str, other: str) -> int:
    """With how many letters both begin."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)


def _shrunk(kind: type) -> dict[str, str]:
    names = {each.name for each in _parameters(kind)}
    return {name: str(size) for name, size in _SMALL.items() if name in names}


# --- inputs -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fitted:
    """Inputs as `tracer.inputs.make` takes them, and what their letters stand for; `runs` says
    whether the forward ran with them, else they are what brought it furthest."""

    texts: tuple[str, ...]
    sizes: dict[str, int]
    runs: bool


@dataclass(frozen=True)
class _Input:
    """A tensor of which the forward is to be given `count`, several as a tuple or a list."""

    name: str
    letters: tuple[str, ...]
    below: int | None = None  # of whole numbers: less than this
    count: int = 1
    brackets: str = "()"

    @property
    def text(self) -> str:
        shape = ",".join(self.letters)
        if self.below is not None:
            shape += f":int64<{self.below}"
        if self.count > 1:
            shape = self.brackets[0] + "; ".join([shape] * self.count) + self.brackets[1]
        return f"{self.name}={shape}"


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
        return (*self.given, *(each.text for each in self.inputs), *self.values)

    def used(self) -> dict[str, int]:
        sizes = dict(self.sizes)
        return {letter: sizes[letter] for letter in inputs.letters(self.texts) if letter in sizes}


def fitted(
    model: nn.Module, given: tuple[str, ...] = (), sizes: Mapping[str, int] | None = None
) -> Fitted | None:
    """Inputs with which the forward runs, those `given` among them (texts as for
    `tracer.inputs.make`, with the `sizes` of their letters); None when no more are needed.  The
    letters of what is found stand for sizes of their own.

    Raises:
        tracer.inputs.InputError: what is given describes no input.
    """
    sizes = {
        letter: (sizes or {})[letter] for letter in inputs.letters(given) if letter in (sizes or {})
    }
    args, kwargs = inputs.make(given, sizes)
    try:
        inspect.signature(model.forward).bind_partial(*args, **kwargs)
    except (TypeError, ValueError):
        return None  # what is given is too much, or has a wrong name
    required, optional = _missing(_parameters(model.forward)[len(args) :], kwargs)
    if given and not required:
        return None
    search = _Search(model)
    if not required and search.run(_Guess((), (), (), ())).runs:
        return None
    best: _Tried | None = None
    for chosen in _choices(required, optional):
        for start in _starts(model, chosen, given, sizes):
            tried = search.run(start)
            if best is None or (tried.runs, tried.steps) > (best.runs, best.steps):
                best = tried
            # What is optional is given as well when the forward cannot do without.
            if tried.runs or search.left <= 0 or (tried.needs_more and optional):
                break
        if best is not None and (best.runs or (required and not best.needs_more)):
            break
    return None if best is None else Fitted(best.guess.texts, best.guess.used(), best.runs)


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
    required = [each for each in rest if _is_required(each)]
    optional = [each for each in rest if each.default is None and "Tensor" in str(each.annotation)]
    return required, optional[:MOST_OPTIONAL]


def _starts(
    model: nn.Module,
    missing: list[inspect.Parameter],
    given: tuple[str, ...],
    sizes: dict[str, int],
) -> Iterator[_Guess]:
    """First guesses, the likeliest form first."""
    widths = _widths(model)
    for form in _forms(model):
        for other in dict.fromkeys((form, "B C", _TOKENS) if len(missing) > 1 else (form,)):
            forms = [form, *[other] * (len(missing) - 1)]
            made = [
                _guessed(each, tuple(f.split())) for each, f in zip(missing, forms, strict=True)
            ]
            values = tuple(each for each in made if isinstance(each, str))
            given_inputs = tuple(each for each in made if isinstance(each, _Input))
            # An annotation may say a tuple where one tensor is meant.
            alone = tuple(dataclasses.replace(each, count=1) for each in given_inputs)
            for found in dict.fromkeys((given_inputs, alone)):
                for high, wide in _SPACE if "H" in form else _SPACE[:1]:
                    for width in widths if "C" in form else widths[:1]:
                        start = _SIZES | {"C": width, "H": high, "W": wide} | sizes
                        guess = _Guess(given, found, values, tuple(start.items()), frozenset(sizes))
                        if _elements(guess) <= LARGEST_INPUT:
                            yield guess


def _widths(model: nn.Module) -> list[int]:
    """Channels that are tried: the sizes that most of the parameters' dimensions have, and the
    three of a picture."""
    counted = Counter(size for each in model.parameters() for size in each.shape if size > 1)
    common = [size for size, _ in counted.most_common(2)]
    return list(dict.fromkeys([*(common or [_CHANNELS]), 3]))


def _forms(model: nn.Module) -> list[str]:
    """The forms that an input may have: first that of the first layer which knows one."""
    kinds = [type(each).__name__ for each in model.modules()]
    known = next((int(found[1]) for kind in kinds if (found := _SPATIAL.search(kind))), None)
    first = [_FORMS[known]] if known is not None else []
    tokens = _TOKENS
    orders: list[Any] = [getattr(each, "batch_first", None) for each in model.modules()]
    if next((each for each in orders if each is not None), True) is False:
        tokens = "L B C"
    return list(dict.fromkeys([*first, tokens, "B C H W", "B C", "B C L", "B C T H W", "N"]))


def _guessed(parameter: inspect.Parameter, letters: tuple[str, ...]) -> _Input | str:
    kind, name = _one_of(parameter.annotation), parameter.name
    if kind in (int, float, bool, str):
        value = {bool: "False", float: "0.5", str: "''"}.get(kind)
        return f"{name}:={value or _number(name, _SIZES['N'])}"
    if _IDS.search(name) or "LongTensor" in str(kind):
        return _Input(name, ("B", "N"), below=2)
    if _MOMENT.match(name):
        return _Input(name, ("B",))
    if typing.get_origin(kind) is tuple and set(typing.get_args(kind)) <= {int, Ellipsis}:
        return f"{name}:=({_SPACE[1][0]}, {_SPACE[1][1]})"
    if typing.get_origin(kind) in (tuple, list):
        parts = [each for each in typing.get_args(kind) if each is not Ellipsis]
        brackets = "()" if typing.get_origin(kind) is tuple else "[]"
        return _Input(name, letters, count=max(2, len(parts)), brackets=brackets)
    return _Input(name, letters)


@dataclass(frozen=True)
class _Tried:
    """What came of a guess: whether it runs, and how many steps it took; `needs_more` when
    something of it was used that was not given."""

    runs: bool
    steps: int
    guess: _Guess
    needs_more: bool = False


class _Search:
    """Runs of one module's shapes, at most `MOST_RUNS`."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.on_meta: nn.Module | None = None
        self.left = MOST_RUNS
        try:
            self.on_meta, _, _ = moved(model, (), {}, _META)
        except Exception:  # noqa: BLE001 - it cannot be copied: it is run as it is
            self.on_meta = None

    def run(self, guess: _Guess) -> _Tried:
        """Mend the guess for as long as a run says what it wants; where it may be meant of several
        inputs or of one, first of all of them."""
        seen = set()
        best = _Tried(False, -1, guess)
        guesses = [guess]
        while guesses and self.left > 0:
            guess = guesses.pop()
            if guess in seen:
                continue
            seen.add(guess)
            self.left -= 1
            found = self._recorded(guess)
            if found is None:
                continue
            count = len(found.trace.steps)
            if found.error is None:
                guess = _with_bounds(guess, found.trace)
                runs = count > 0 and not _is_unbatched(found.trace) and self._confirmed(guess)
                return _Tried(runs, count, guess)
            needs_more = best.needs_more or _IS_MISSING.search(str(found.error)) is not None
            if count > best.steps:
                best = _Tried(False, count, guess)
            best = dataclasses.replace(best, needs_more=needs_more)
            guesses += _demanded(guess, found)
        return best

    def _confirmed(self, guess: _Guess) -> bool:
        """Whether it runs with values as well, of which some kernels ask more."""
        if self.on_meta is None:
            return True  # it has just done so
        found = self._once(self.model, guess)
        return found is not None and found.error is None

    def _recorded(self, guess: _Guess) -> Recording | None:
        if self.on_meta is not None:
            found = self._once(self.on_meta, guess, on_meta=True)
            if found is None or not _is_of_meta(found.error):
                return found
            self.on_meta = None
        return self._once(self.model, guess)

    @staticmethod
    def _once(model: nn.Module, guess: _Guess, on_meta: bool = False) -> Recording | None:
        args, kwargs = inputs.make(guess.texts, dict(guess.sizes))
        if on_meta:
            args, kwargs = tensors_on(_META, args), tensors_on(_META, kwargs)
        try:
            with torch.no_grad():
                return record(model, args, kwargs)
        except Exception:  # noqa: BLE001 - somebody's module may refuse to be looked at
            return None


def _is_of_meta(error: BaseException | None) -> bool:
    """Whether it failed since there are no values."""
    return error is not None and (isinstance(error, NotImplementedError) or "meta" in str(error))


def _is_unbatched(trace: Trace) -> bool:
    """Whether some layer over space took the input for one sample without a batch."""
    for step in trace.steps:
        found = _SPATIAL.search(op_name(step.op))
        if found and step.inputs and len(step.inputs[0].shape) == int(found[1]) + 1:
            return True
    return False


def _demanded(guess: _Guess, found: Recording) -> list[_Guess]:
    """The guess with the one size, or the one type, that the broken rule asks for; the likeliest
    comes last."""
    failure = found.trace.failure
    if found.crash is None or failure is None:
        return []
    finding = rules.explain(found.crash)
    operands = failure.operands
    places = _places(guess, found.trace)
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
    if not wishes:
        return []
    is_fixed, place, dim, wanted = min(wishes)
    letter = guess.inputs[place].letters[dim]
    alone = _sized(_with_own_letter(guess, place, dim), place, dim, wanted)
    shared = sum(letter in each.letters for each in guess.inputs) > 1
    together = _sized(guess, place, dim, wanted)
    mended = [alone] if is_fixed else [alone, together] if shared else [together]
    return [each for each in mended if _elements(each) <= LARGEST_INPUT]


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
    names = {each.name: place for place, each in enumerate(guess.inputs)}
    return {
        note.id: names[note.name.partition("[")[0]]
        for note in trace.inputs
        if note.name.partition("[")[0] in names
    }


def _sized(guess: _Guess, place: int, dim: int, wanted: int) -> _Guess:
    letter = guess.inputs[place].letters[dim]
    sizes = dict(guess.sizes) | {letter: wanted}
    return dataclasses.replace(guess, sizes=tuple(sizes.items()), fixed=guess.fixed | {letter})


def _with_own_letter(guess: _Guess, place: int, dim: int) -> _Guess:
    """The dimension under a letter that no other has."""
    was = guess.inputs[place]
    known = set(inputs.letters(guess.texts))
    spare = (*_SPARE, *(f"{letter}{number}" for number in range(2, 20) for letter in _SPARE))
    letter = next(each for each in spare if each not in known)
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
