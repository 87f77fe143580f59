"""`load_state_dict` of a module: which layers differ, and what one change explains all of it."""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from tracer.diagnosis.outside.raised import Answer, Raised, Shown, fix, raised_rule
from tracer.document import Edit, Fix
from tracer.record.construction import Constructions
from tracer.record.crash import Construction
from tracer.record.eager import eager
from tracer.record.isolation import random_state
from tracer.sentences import Count, Said, said
from tracer.source.text import Text, given, text_of

_SHOWN = 4
_WRAPPERS = {
    "module.": said(
        "nn.DataParallel and DistributedDataParallel put it there: they hold the model "
        "under that name."
    ),
    "_orig_mod.": said("torch.compile puts it there: it holds the model under that name."),
}


@dataclass(frozen=True)
class Loading:
    """The sizes that a module has, and those that a checkpoint has, by key."""

    module: nn.Module
    saved: Mapping[str, Any]

    @cached_property
    def own(self) -> dict[str, Any]:
        return dict(self.module.state_dict())

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        return {key: value for key, value in self.saved.items() if isinstance(value, Tensor)}

    @cached_property
    def different(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        """Of each key that has two: the module's shape and the checkpoint's."""
        pairs = {
            key: (tuple(value.shape), tuple(self.tensors[key].shape))
            for key, value in self.own.items()
            if key in self.tensors and isinstance(value, Tensor)
        }
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}

    @property
    def missing(self) -> list[str]:
        return [key for key in self.own if key not in self.saved]

    @property
    def unexpected(self) -> list[str]:
        return [key for key in self.saved if key not in self.own]

    def fits(self, saved: Mapping[str, Any], strict: bool = True) -> bool:
        """Whether a module of these sizes loads: tried on a copy without values."""
        with torch.device("meta"), random_state():
            memo: dict[int, Any] = {}
            for tensor in (*self.module.parameters(), *self.module.buffers()):
                memo[id(tensor)] = (
                    nn.Parameter(tensor.detach().to("meta"), tensor.requires_grad)
                    if isinstance(tensor, nn.Parameter)
                    else tensor.detach().to("meta")
                )
            bare = copy.deepcopy(self.module, memo)
            shapes = {
                key: value.detach().to("meta") if isinstance(value, Tensor) else value
                for key, value in saved.items()
            }
            try:
                bare.load_state_dict(shapes, strict=strict)
            except Exception:  # noqa: BLE001 - then it does not load
                return False
        return True


@raised_rule
def checkpoint(raised: Raised) -> Answer | None:
    names = raised.inside("torch/nn/modules/module.py", "load_state_dict")
    if names is None or not isinstance(names.get("self"), nn.Module):
        return None
    module, saved = names["self"], names.get("state_dict")
    module, saved = _unwrapped(module, saved)
    if not isinstance(saved, Mapping):
        return Answer(
            "checkpoint",
            said(
                "load_state_dict needs a dict of tensors: it is given {given}.", given=_what(saved)
            ),
            (
                said(
                    "`torch.load(...)` gives what was saved; `model.state_dict()` is what to save."
                ),
            ),
        )
    loading = Loading(module, saved)
    return (
        _nested(raised, loading)
        or _renamed(raised, loading)
        or _sizes(raised, loading)
        or _other_keys(loading)
    )


def _unwrapped(module: nn.Module, saved: Any) -> tuple[nn.Module, Any]:
    """A wrapped model and a checkpoint of such a one, without what the wrapper puts before the
    names."""
    inner = eager(module)
    front = next((name for name, each in module.named_modules() if each is inner), "")
    if not front or not isinstance(saved, Mapping):
        return module, saved
    if not all(isinstance(key, str) and key.startswith(f"{front}.") for key in saved):
        return module, saved
    return inner, {key.removeprefix(f"{front}."): value for key, value in saved.items()}


def _what(value: Any) -> str:
    return "None" if value is None else type(value).__name__


# --- other names --------------------------------------------------------------------------------


def _nested(raised: Raised, loading: Loading) -> Answer | None:
    """The weights lie one level deeper, beside the epoch and the optimizer's state."""
    if any(key in loading.own for key in loading.saved):
        return None
    for key, value in loading.saved.items():
        if isinstance(value, Mapping) and any(inner in loading.own for inner in value):
            others = ", ".join(repr(each) for each in loading.saved if each != key)
            return Answer(
                "checkpoint",
                said(
                    "The weights are one level deeper: the checkpoint holds them under {key}.",
                    key=repr(key),
                ),
                (said("Beside {key} it has {others}.", key=repr(key), others=others),)
                if others
                else (),
                fixes=_argument(
                    raised,
                    f"[{key!r}]",
                    loading.fits(value),
                    said("Load what lies under `{key}`", key=repr(key)),
                ),
            )
    return None


def _renamed(raised: Raised, loading: Loading) -> Answer | None:
    """All keys of one side have something in front that those of the other lack."""
    own, saved = loading.missing, loading.unexpected
    if not own or not saved:
        return None
    fronts: Counter[str] = Counter()
    wanted = set(own)
    for key in saved:
        for cut in (i + 1 for i, letter in enumerate(key) if letter == "."):
            if key[cut:] in wanted:
                fronts[key[:cut]] += 1
    backs: Counter[str] = Counter()
    have = set(saved)
    for key in own:
        for cut in (i + 1 for i, letter in enumerate(key) if letter == "."):
            if key[cut:] in have:
                backs[key[:cut]] += 1
    longer, shorter = fronts.most_common(1), backs.most_common(1)
    if longer and longer[0][1] >= max(1, len(own) // 2):
        front = longer[0][0]
        new = {key.removeprefix(front): value for key, value in loading.saved.items()}
        return Answer(
            "checkpoint",
            said(
                "The checkpoint's keys begin with '{front}', the model's do not: '{key}'.",
                front=front,
                key=next(key for key in saved if key.startswith(front)),
            ),
            (_why_front(front),),
            fixes=_argument(
                raised,
                "{key.removeprefix(" + repr(front) + "): value for key, value in ARGUMENT.items()}",
                loading.fits(new),
                said("Take `{front}` off the keys", front=repr(front)),
                whole=True,
            ),
        )
    if shorter and shorter[0][1] >= max(1, len(saved) // 2):
        front = shorter[0][0]
        new = {front + key: value for key, value in loading.saved.items()}
        return Answer(
            "checkpoint",
            said(
                "The model's keys begin with '{front}', the checkpoint's do not: '{key}'.",
                front=front,
                key=next(key for key in own if key.startswith(front)),
            ),
            (_why_front(front),),
            fixes=(
                *_inner_module(raised, loading, front),
                *_argument(
                    raised,
                    "{" + repr(front) + " + key: value for key, value in ARGUMENT.items()}",
                    loading.fits(new),
                    said("Put `{front}` before the keys", front=repr(front)),
                    whole=True,
                ),
            ),
        )
    return None


def _why_front(front: str) -> Said:
    for known, why in _WRAPPERS.items():
        if front == known:
            return why
    if front.replace("module.", "").replace("_orig_mod.", "") == "":
        return said("nn.DataParallel puts 'module.' there and torch.compile '_orig_mod.'.")
    return said("One was saved from a module that holds the other under that name.")


def _inner_module(raised: Raised, loading: Loading, front: str) -> tuple[Fix, ...]:
    """Load into the part that the checkpoint is of: `model.module.load_state_dict(...)`."""
    call = raised.call
    path = front.rstrip(".")
    if call is None or not isinstance(call[1].func, ast.Attribute):
        return ()
    try:
        inner = loading.module.get_submodule(path)
    except AttributeError:
        return ()
    text, node = call
    owner = node.func.value  # type: ignore[attr-defined]
    verified = Loading(inner, loading.saved).fits(loading.saved)
    return (
        fix(
            (text.after(owner, f".{path}"),), said("Load into `{path}` of it", path=path), verified
        ),
    )


def _argument(
    raised: Raised,
    new: str,
    verified: bool,
    summary: Said,
    whole: bool = False,
    strict: bool = True,
) -> tuple[Fix, ...]:
    """The call with another checkpoint: `new` is written behind it, or as a `whole` around it."""
    call = raised.call
    found = given(call[1], "state_dict", 0) if call is not None else None
    if call is None or found is None:
        return ()
    text, node = call
    written = text.of(found)
    if whole:
        edits = [text.replace(found, new.replace("ARGUMENT", written))]
    else:
        edits = [text.after(found, new)]
    if not strict:
        edits.append(text.argument(node, "strict", 1, "False"))
    return (fix(tuple(edits), summary, verified),)


# --- other sizes ------------------------------------------------------------------------------


def _sizes(raised: Raised, loading: Loading) -> Answer | None:
    if not loading.different:
        return None
    layers = _layers(loading)
    lines = tuple(_layer_sentence(loading, path) for path in layers[:_SHOWN])
    rest = len(layers) - _SHOWN
    if rest > 0:
        lines = (*lines, said("And {layers} more.", layers=Count(rest, "layer")))
    one = _arguments(loading)
    head = _head(raised, loading, layers)
    because: list[Said] = list(lines)
    fixes: tuple[Fix, ...] = ()
    for found in (head, one):
        if found is not None:
            because.append(found[0])
            fixes += found[1]
    if one is None and head is None:
        because.append(said("No number of the constructor explains all of it."))
    return Answer(
        "checkpoint",
        said(
            "The checkpoint's sizes are not the model's, in {layers}: {names}.",
            layers=Count(len(layers), "layer"),
            names=tuple(path or type(loading.module).__name__ for path in layers[:_SHOWN]),
        ),
        tuple(because),
        check=said(
            "Build the model as it was when it was saved, or leave out of the checkpoint what is "
            "meant to be new."
        ),
        shown=tuple(
            shown
            for key, (own, saved) in list(loading.different.items())[:_SHOWN]
            for shown in (
                Shown(key, loading.own[key], _at_odds(own, saved), parameter=True),
                Shown(f"{key} of the checkpoint", loading.tensors[key], _at_odds(saved, own)),
            )
        ),
        fixes=fixes,
        facts={"layers": tuple(layers)},
    )


def _at_odds(own: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    if len(own) != len(other):
        return tuple(range(len(own)))
    return tuple(dim for dim, (a, b) in enumerate(zip(own, other, strict=True)) if a != b)


def _layers(loading: Loading) -> list[str]:
    return list(dict.fromkeys(key.rpartition(".")[0] for key in loading.different))


_ARGUMENTS: dict[type, tuple[tuple[str, str, int], ...]] = {
    nn.Linear: (("out_features", "weight", 0), ("in_features", "weight", 1)),
    nn.Embedding: (("num_embeddings", "weight", 0), ("embedding_dim", "weight", 1)),
    nn.modules.conv._ConvNd: (
        *(("out_channels", "weight", 0), ("in_channels", "weight", 1)),
        *(("kernel_size", "weight", 2), ("kernel_size", "weight", 3)),
    ),
    nn.modules.batchnorm._NormBase: (
        ("num_features", "running_mean", 0),
        ("num_features", "weight", 0),
    ),
    nn.LayerNorm: (("normalized_shape", "weight", 0),),
    nn.GroupNorm: (("num_channels", "weight", 0),),
}


def _layer_sentence(loading: Loading, path: str) -> Said:
    """What the layer was saved with and is built with, by the names of its arguments."""
    layer = loading.module.get_submodule(path) if path else loading.module
    told: dict[str, tuple[int, int]] = {}
    for kind, arguments in _ARGUMENTS.items():
        if isinstance(layer, kind) and not getattr(layer, "transposed", False):
            for name, tensor, dim in arguments:
                own, saved = loading.different.get(f"{path}.{tensor}".lstrip("."), ((), ()))
                if dim < min(len(own), len(saved)) and own[dim] != saved[dim]:
                    told.setdefault(name, (saved[dim], own[dim]))
    name = path or type(layer).__name__
    if told:
        return said(
            "{name} (nn.{kind}) was saved with {saved} and is built with {own}.",
            name=name,
            kind=type(layer).__name__,
            saved=tuple(f"{argument} = {pair[0]}" for argument, pair in told.items()),
            own=tuple(str(pair[1]) for pair in told.values()),
        )
    key = next(key for key in loading.different if key.rpartition(".")[0] == path)
    own, saved = loading.different[key]
    return said(
        "{key} was saved as {saved} and is {own} here.", key=key, saved=_text(saved), own=_text(own)
    )


def _text(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def _pairs(loading: Loading) -> set[tuple[int, int]]:
    """The sizes at odds: (the module's, the checkpoint's)."""
    return {
        (a, b)
        for own, saved in loading.different.values()
        if len(own) == len(saved)
        for a, b in zip(own, saved, strict=True)
        if a != b
    } | set(_counts(loading))


def _counts(loading: Loading) -> Iterator[tuple[int, int]]:
    """How many numbered parts there are on each side: `layers.0` to `layers.5`."""

    def numbers(keys: Any) -> dict[str, int]:
        found: dict[str, int] = {}
        for key in keys:
            for match in re.finditer(r"(?:^|\.)(\d+)\.", key):
                front = key[: match.start(1)]
                found[front] = max(found.get(front, 0), int(match[1]) + 1)
        return found

    own, saved = numbers(loading.own), numbers(loading.saved)
    for front, count in own.items():
        if front in saved and saved[front] != count:
            yield count, saved[front]


def _arguments(loading: Loading) -> tuple[Said, tuple[Fix, ...]] | None:
    """The numbers among the constructor's arguments that make the model of the checkpoint's
    sizes: each candidate is built without values.  One is looked for first, then several."""
    known = Constructions(loading.module).get("")
    if known is None:
        return None
    pairs = _pairs(loading)
    numbers = list(_numbers(known))
    builds = _Builds(known, loading)
    one = ({each: new} for each in numbers for new in _candidates(each.value, pairs))
    equal = {each: b for each in numbers for a, b in sorted(pairs) if a == each.value}
    searched = (found for each in numbers if (found := builds.searched(each)) is not None)
    for changes in itertools.chain(one, [equal] if len(equal) > 1 else [], searched):
        if builds.fit(changes):
            return _explained(known, changes)
    return None


def _explained(known: Construction, changes: dict[_Number, int]) -> tuple[Said, tuple[Fix, ...]]:
    cls = known.cls.__name__
    was = tuple(f"{each.written} = {each.value}" for each in changes)
    saved = tuple(f"{each.written} = {new}" for each, new in changes.items())
    sentence = said(
        "One number explains all of it: {cls} is built with {was}, and was saved with {saved}."
        if len(changes) == 1
        else "{count} numbers explain all of it: {cls} is built with {was}, and was saved with "
        "{saved}.",
        count=len(changes),
        cls=cls,
        was=was,
        saved=saved,
    )
    edits = [_construction_edit(known, each, new) for each, new in changes.items()]
    text = text_of(known.place.file) if known.place is not None else None
    made = tuple(edit for edit in edits if edit is not None)
    if text is None or len(made) < len(edits):
        return sentence, ()
    summary = said("Build {cls} as it was saved: {numbers}", cls=cls, numbers=", ".join(saved))
    return sentence, (fix(made, summary, True),)


@dataclass(frozen=True)
class _Number:
    """A whole number that a constructor was given: of the argument `name`, or of the entry `key`
    of the config that this is."""

    name: str
    key: str
    value: int

    @property
    def written(self) -> str:
        return f"{self.name}.{self.key}" if self.key else self.name


class _Builds:
    """Models with other arguments, built without values; so many and no more."""

    MOST = 80

    def __init__(self, known: Construction, loading: Loading) -> None:
        self.known = known
        self.left = self.MOST
        self.saved = {key: tuple(value.shape) for key, value in loading.tensors.items()}
        self.key = next(iter(loading.different))
        own, saved = loading.different[self.key]
        dims = _at_odds(own, saved) if len(own) == len(saved) else ()
        self.dim = dims[0] if dims else None
        self._known: dict[tuple[tuple[_Number, int], ...], dict[str, tuple[int, ...]] | None] = {}

    def shapes(self, changes: dict[_Number, int]) -> dict[str, tuple[int, ...]] | None:
        key = tuple(changes.items())
        if key not in self._known:
            if self.left <= 0:
                return None
            self.left -= 1
            self._known[key] = _built(self.known, changes)
        return self._known[key]

    def fit(self, changes: dict[_Number, int]) -> bool:
        return self.shapes(changes) == self.saved

    def searched(self, number: _Number) -> dict[_Number, int] | None:
        """The value of a number for which the first size at odds is the checkpoint's, where it
        grows with the number in whatever way: `(image // patch) ** 2 + 1`."""
        dim = self.dim
        if dim is None or number.value < 2:
            return None
        wanted = self.saved[self.key][dim]

        def size(value: int) -> int | None:
            shapes = self.shapes({number: value})
            shape = shapes.get(self.key) if shapes is not None else None
            return shape[dim] if shape is not None and dim < len(shape) else None

        here = size(number.value)
        if here is None or here == wanted:
            return None
        low, high = (number.value, 8 * number.value) if here < wanted else (1, number.value)
        while low < high:
            middle = (low + high) // 2
            found = size(middle)
            if found is None:
                return None
            low, high = (low, middle) if found >= wanted else (middle + 1, high)
        return {number: self._round(number, low, size, wanted)}

    def _round(self, number: _Number, first: int, size: Any, wanted: int) -> int:
        """Of the values from the first on that give the same size the roundest one."""
        for unit in (32, 16, 8, 4, 2):
            value = -(-first // unit) * unit
            if (value != first and size(value) == wanted) or value == first:
                return value
        return first


def _numbers(known: Construction) -> Iterator[_Number]:
    """The whole numbers that a constructor was given, in a config too."""
    try:
        bound = inspect.signature(known.cls).bind(*known.args, **known.kwargs)
    except (TypeError, ValueError):
        return
    bound.apply_defaults()
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            yield from (_Number(key, "", each) for key, each in value.items() if type(each) is int)
        elif type(value) is int:
            yield _Number(name, "", value)
        elif isinstance(value, Mapping):
            yield from (_Number(name, key, v) for key, v in value.items() if type(v) is int)
        elif hasattr(value, "__dict__") and not isinstance(value, nn.Module | Tensor | type):
            yield from (_Number(name, key, v) for key, v in vars(value).items() if type(v) is int)


def _candidates(value: int, pairs: set[tuple[int, int]]) -> Iterator[int]:
    for a, b in sorted(pairs):
        if a == value:
            yield b
    for a, b in sorted(pairs):
        if a and (value * b) % a == 0 and value * b != value * a:
            yield value * b // a
        yield value + b - a


def _built(known: Construction, changes: dict[_Number, int]) -> dict[str, tuple[int, ...]] | None:
    """The shapes of the model with other numbers, None where it does not take them."""
    try:
        bound = inspect.signature(known.cls).bind(*known.args, **known.kwargs)
        bound.apply_defaults()
        extra: dict[str, int] = {}
        for number, new in changes.items():
            if number.key:
                config = bound.arguments[number.name]
                bound.arguments[number.name] = _replaced(config, number.key, new)
            elif number.name in bound.arguments:
                bound.arguments[number.name] = new
            else:
                extra[number.name] = new
        with torch.device("meta"), random_state():
            made = known.cls(*bound.args, **{**bound.kwargs, **extra})
    except Exception:  # noqa: BLE001 - numbers that it does not take
        return None
    return {key: tuple(value.shape) for key, value in made.state_dict().items()}


def _replaced(config: Any, key: str, new: int) -> Any:
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return dataclasses.replace(config, **{key: new})
    other = copy.copy(config)
    if isinstance(other, dict):
        other[key] = new
    else:
        setattr(other, key, new)
    return other


def _construction_edit(known: Construction, number: _Number, new: int) -> Edit | None:
    """The number where the constructor is called; None where it is written elsewhere."""
    place = known.place
    text = text_of(place.file) if place is not None else None
    node = text.at(place.span) if text is not None and place is not None else None
    if number.key or text is None or not isinstance(node, ast.Call):
        return None
    names = list(inspect.signature(known.cls).parameters)
    position = names.index(number.name) if number.name in names else None
    written = given(node, number.name, position)
    if isinstance(written, ast.Constant) or written is None:
        return text.argument(node, number.name, position, str(new))
    if isinstance(written, ast.Name):
        known_as = _definition(text, written, number.value, new)
        return known_as or text.replace(written, str(new))
    return None


def _definition(text: Text, name: ast.Name, value: int, new: int) -> Edit | None:
    """Where a name is given this number, if that is one place of the file."""
    found = [
        node.value
        for node in text.nodes
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and node.value.value == value
        and any(isinstance(each, ast.Name) and each.id == name.id for each in node.targets)
    ]
    return text.replace(found[0], str(new)) if len(found) == 1 else None


def _head(
    raised: Raised, loading: Loading, layers: list[str]
) -> tuple[Said, tuple[Fix, ...]] | None:
    """Only the last layer differs, in what it gives out: a head for other classes."""
    if len(layers) != 1 or not layers[0] or loading.unexpected:
        return None
    (path,) = layers
    last = [key.rpartition(".")[0] for key in loading.own][-1:]
    first = all(
        own[1:] == saved[1:] and own and saved and own[0] != saved[0]
        for own, saved in loading.different.values()
    )
    if last != [path] or not first:
        return None
    own, saved = next(iter(loading.different.values()))
    kept = {k: v for k, v in loading.saved.items() if not k.startswith(f"{path}.")}
    sentence = said(
        "Only the last layer differs, {path}: the checkpoint's head gives {saved}, this one {own}. "
        "If it is meant to be new, load all but it.",
        path=path,
        saved=saved[0],
        own=own[0],
    )
    new = (
        "{key: value for key, value in ARGUMENT.items() if not key.startswith("
        + repr(f"{path}.")
        + ")}"
    )
    verified = loading.fits(kept, strict=False)
    return sentence, _argument(
        raised,
        new,
        verified,
        said("Load all but {path}, which stays as it was initialised", path=path),
        whole=True,
        strict=False,
    )


def _other_keys(loading: Loading) -> Answer | None:
    missing, unexpected = loading.missing, loading.unexpected
    if not missing and not unexpected:
        return None
    because = []
    if missing:
        because.append(_listed_missing(missing))
    if unexpected:
        because.append(
            said(
                "The checkpoint has {keys} that the model lacks: {names}.",
                keys=Count(len(unexpected), "key"),
                names=_few(unexpected),
            )
        )
    because += [
        said("{own} numbered parts here, {saved} in the checkpoint: another depth.", own=a, saved=b)
        for a, b in list(_counts(loading))[:1]
    ]
    return Answer(
        "checkpoint",
        said("The checkpoint's keys are not the model's."),
        tuple(because),
        check=said(
            "`strict=False` loads what both have; see first that nothing is missing that matters."
        ),
    )


def _listed_missing(missing: list[str]) -> Said:
    return said(
        "The model has {keys} that the checkpoint lacks: {names}.",
        keys=Count(len(missing), "key"),
        names=_few(missing),
    )


def _few(keys: list[str]) -> tuple[str, ...]:
    few = tuple(f"'{key}'" for key in keys[:_SHOWN])
    return few if len(keys) <= _SHOWN else (*few, "…")
