"""How modules were constructed: what each constructor was called with, and from where.

Inside `recording_construction()` every module is noted when `nn.Module.__init__` runs for it: the
arguments that its constructor has, and the frames that led there with the plain values that their
names had.  Modules, tensors, functions and classes are held weakly, so that a note keeps nothing
alive; it goes with its module.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import dis
import enum
import functools
import inspect
import io
import os
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from tracer.record.crash import GONE, Construction, Frame
from tracer.record.frames import HERE, TORCH
from tracer.record.isolation import random_state
from tracer.record.tensors import paths_of
from tracer.source.built import Calls, parameters_of, seen
from tracer.source.sites import SourceReader
from tracer.source.text import text_of
from tracer.source.values import Unknown, value_of
from tracer.strict import SWITCH

_STANDARD = sysconfig.get_path("stdlib") + "/"
_MOST_ITEMS = 200  # of a container or an object whose values are copied
_MOST_DEPTH = 4
_MOST_FRAMES = 60
_MOST_ELEMENTS = 20_000_000  # of parameters that are made a second time


@contextlib.contextmanager
def recording_construction() -> Iterator[None]:
    """Note how the modules that are made inside are constructed, in whatever thread."""
    _enter()
    try:
        with _in_this_thread(paused=False):
            yield
    finally:
        _leave()


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """What this thread makes inside is not noted: models that are built to try something."""
    with _in_this_thread(paused=True):
        yield


@contextlib.contextmanager
def _in_this_thread(paused: bool) -> Iterator[None]:
    before = _thread.paused
    _thread.paused = paused
    try:
        yield
    finally:
        _thread.paused = before


# --- notes ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Shot:
    """A frame of the author as it stood; `above` is the one that called it, and `owner` the module
    whose method or constructor it runs."""

    code: CodeType
    lasti: int
    names: dict[str, Any]
    owner: weakref.ref[nn.Module] | None
    above: _Shot | None


@dataclass(slots=True)
class _Note:
    """What is known of one module: `cls` as it was then, the constructor's `code` and where that
    was when it called `nn.Module.__init__`, its arguments, and where it was called.  `direct` is
    false for what torch built inside the module that stands there."""

    cls: weakref.ref[type]
    code: CodeType | None
    lasti: int
    named: dict[str, Any]
    starred: tuple[Any, ...]
    keywords: dict[str, Any]
    shot: _Shot | None
    direct: bool


_notes: dict[int, tuple[weakref.ref[nn.Module], _Note]] = {}
_guard = threading.Lock()
_users = 0


class _Thread(threading.local):
    paused = False


_thread = _Thread()
_init: Callable[..., None] = nn.Module.__init__


@functools.wraps(_init)
def _noting_init(self: nn.Module, *args: Any, **kwargs: Any) -> None:
    if _users and not _thread.paused and not torch.compiler.is_compiling():
        try:
            _note(self, sys._getframe(1), args, kwargs)
        except Exception:
            if os.environ.get(SWITCH) == "1":
                raise
    _init(self, *args, **kwargs)


def _enter() -> None:
    global _users
    with _guard:
        if _users == 0:
            setattr(nn.Module, "__init__", _noting_init)  # noqa: B010 - mypy takes no assignment
        _users += 1


def _leave() -> None:
    global _users
    with _guard:
        _users -= 1
        if _users == 0 and nn.Module.__init__ is _noting_init:
            setattr(nn.Module, "__init__", _init)  # noqa: B010


def _note(
    module: nn.Module, frame: FrameType | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    outer: FrameType | None = None
    names: dict[str, Any] = {}
    own: dict[str, Any] = {}
    while frame is not None:
        names = frame.f_locals  # worked out anew whenever it is asked for
        if _first(frame.f_code, names) is not module:
            break
        outer, own, frame = frame, names, frame.f_back
    shot, direct = _shot(frame, names)
    key = id(module)
    reference = weakref.ref(module, lambda _: _notes.pop(key, None))
    code, lasti, named = None, 0, {}
    if outer is not None:
        code, lasti = outer.f_code, outer.f_lasti
        count = code.co_argcount + code.co_kwonlyargcount
        named = {n: _kept(own[n], True) for n in code.co_varnames[1:count] if n in own}
        rest = list(code.co_varnames[count : count + 2])
        args = own.get(rest.pop(0), ()) if code.co_flags & inspect.CO_VARARGS else ()
        kwargs = own.get(rest.pop(0), {}) if code.co_flags & inspect.CO_VARKEYWORDS else {}
    starred = tuple([_kept(value, True) for value in args])
    keywords = {name: _kept(value, True) for name, value in kwargs.items()}
    cls = weakref.ref(type(module))
    _notes[key] = reference, _Note(cls, code, lasti, named, starred, keywords, shot, direct)


def _first(code: CodeType, names: Mapping[str, Any]) -> Any:
    """A frame's first argument: `self` of a method."""
    return names.get(code.co_varnames[0]) if code.co_argcount else None


def _known(module: Any) -> _Note | None:
    found = _notes.get(id(module))
    return found[1] if found is not None and found[0]() is module else None


def _frames(note: _Note) -> Iterator[list[_Shot]]:
    """The author's frames, the innermost first, each behind the comprehensions in it that led on:
    they are part of the function around them."""
    shot = note.shot
    while shot is not None:
        found = [shot]
        while shot.above is not None and shot.code in shot.above.code.co_consts:
            shot = shot.above
            found.append(shot)
        yield found
        shot = shot.above


def _calls(module: nn.Module) -> Calls:
    """The author's calls that led to a module; none where torch made it for another."""
    note = _known(module)
    if note is None or not note.direct:
        return ()
    return [(each[0].code, each[0].lasti, _owner(each[-1])) for each in _frames(note)]


def _owner(shot: _Shot) -> nn.Module | None:
    return shot.owner() if shot.owner is not None else None


seen.append(_calls)


@functools.cache
def _is_passed_over(file: str) -> bool:
    """Whether a file's frames only lead to the author's: those of torch and of Python."""
    own = "/site-packages/" in file.removeprefix(TORCH)
    return file.startswith((TORCH, _STANDARD, "<frozen")) and not own


def _shot(frame: FrameType | None, names: dict[str, Any]) -> tuple[_Shot | None, bool]:
    """The author's frames from here on up, and whether the first of them is `frame` itself, whose
    locals are `names`.  Those above a module's constructor were kept with that module."""
    found: list[tuple[FrameType, dict[str, Any], nn.Module | None]] = []
    above: _Shot | None = None
    direct = frame is not None and not frame.f_code.co_filename.startswith(TORCH)
    for _ in range(_MOST_FRAMES):
        if frame is None or frame.f_code.co_filename.startswith(HERE):
            break
        code = frame.f_code
        first = _first(code, names)
        owner = first if isinstance(first, nn.Module) else None
        if not _is_passed_over(code.co_filename):
            found.append((frame, names, owner))
        note = _known(owner) if owner is not None else None
        if note is not None and note.code is code:
            above = note.shot
            break
        if code.co_name == "<module>":
            break
        frame = frame.f_back
        names = frame.f_locals if frame is not None else {}
    for each, names, owner in reversed(found):
        by = weakref.ref(owner) if owner is not None else None
        kept = _names(each, names)
        above = _Shot(each.f_code, each.f_lasti, kept, by, above)
    return above, direct


def _names(frame: FrameType, names: dict[str, Any]) -> dict[str, Any]:
    if names is not frame.f_globals:
        return {
            name: value if type(value) in _ATOMS else _kept(value, False)
            for name, value in names.items()
            if name != "__class__"
        }
    # Of a whole module only what its own statements use.
    return {
        name: _kept(names[name], False)
        for name in frame.f_code.co_names
        if name in names and not isinstance(names[name], ModuleType | FunctionType | type)
    }


# --- values --------------------------------------------------------------------------------------

_ATOMS = frozenset(
    [
        *(int, float, str, bool, type(None), complex, bytes, range, slice, type(...)),
        *(torch.dtype, torch.device, torch.Size),
    ]
)
_LIVING = (nn.Module, Tensor, type, ModuleType, BuiltinFunctionType)


@dataclass(slots=True, frozen=True, eq=False)  # by identity, so that a set can hold it
class _Held:
    """An object: itself while it lives, or for good where its values are plain and it was an
    argument, else what its attributes or items were."""

    object: Any
    living: weakref.ref[Any] | None
    kind: weakref.ref[type]
    values: dict[Any, Any]


class _Copy(dict[Any, Any]):
    """What is left of an object: its items or attributes, read as either."""

    def __init__(self, kind: type | None, values: dict[Any, Any]) -> None:
        super().__init__(values)
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        found = getattr(self._kind, name, GONE) if self._kind is not None else GONE
        if type(found) not in _ATOMS and type(found) not in (list, tuple, dict):
            raise AttributeError(name)
        return found


def _kept(value: Any, argument: bool, depth: int = 0) -> Any:
    """A value as a note holds it: nothing in it keeps a module or a tensor alive."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if isinstance(value, _LIVING):
        return weakref.ref(value)
    if kind is FunctionType:
        return value if argument and "<l" in value.__qualname__ else weakref.ref(value)
    if depth > _MOST_DEPTH:
        return GONE
    if kind is list or kind is set or isinstance(value, tuple):
        if len(value) > _MOST_ITEMS:
            return GONE
        parts = [
            each if type(each) in _ATOMS else _kept(each, argument, depth + 1) for each in value
        ]
        return kind._make(parts) if hasattr(kind, "_make") else kind(parts)
    if kind is dict:
        if len(value) > _MOST_ITEMS:
            return GONE
        return {
            key: each if type(each) in _ATOMS else _kept(each, argument, depth + 1)
            for key, each in value.items()
        }
    if isinstance(value, enum.Enum):
        return value
    return _of_object(value, kind, argument, depth)


def _of_object(value: Any, kind: type, argument: bool, depth: int) -> Any:
    own = value if isinstance(value, dict) else getattr(value, "__dict__", None)
    own = own if isinstance(own, dict) and len(own) <= _MOST_ITEMS else {}
    values = {key: _kept(each, False, depth + 1) for key, each in own.items()}
    if kind is functools.partial:
        values = {"args": _kept(value.args, False), "keywords": _kept(value.keywords, False)}
    if argument and values and all(map(_is_plain, values.values())):
        return _Held(value, None, weakref.ref(kind), values)
    try:
        return _Held(None, weakref.ref(value), weakref.ref(kind), values)
    except TypeError:
        return _Held(None, None, weakref.ref(kind), values) if values else GONE


def _is_plain(kept: Any) -> bool:
    if isinstance(kept, dict):
        return all(map(_is_plain, kept.values()))
    if isinstance(kept, list | tuple | set):
        return all(map(_is_plain, kept))
    if isinstance(kept, _Held):
        return all(map(_is_plain, kept.values.values()))
    return kept is not GONE and not isinstance(kept, weakref.ref)


def _now(kept: Any) -> Any:
    """The value that was kept; `GONE` in it for what lives no longer."""
    kind = type(kept)
    if kind in _ATOMS:
        return kept
    if kind is weakref.ref:
        found = kept()
        return GONE if found is None else found
    if kind is _Held:
        found = kept.object if kept.living is None else kept.living()
        if found is None:
            return _Copy(kept.kind(), _now(kept.values)) if kept.values else GONE
        return found
    if isinstance(kept, list | tuple | set):
        parts = [_now(each) for each in kept]
        return kind._make(parts) if hasattr(kind, "_make") else kind(parts)
    if kind is dict:
        return {key: _now(each) for key, each in kept.items()}
    return kept


def _is_whole(value: Any) -> bool:
    """Whether nothing of an argument is gone."""
    if value is GONE or isinstance(value, _Copy):
        return False
    if type(value) is dict:
        return all(map(_is_whole, value.values()))
    return not isinstance(value, list | tuple | set) or all(map(_is_whole, value))


# --- read back -----------------------------------------------------------------------------------


class Constructions(Mapping[str, Construction]):
    """How each module of `model` was constructed, by path; found when asked for.

    Where `model` was made outside of `recording_construction`, `build`, which makes the same model
    anew, is called once under it, if there is one.
    """

    def __init__(self, model: nn.Module, build: Callable[[], nn.Module] | None = None) -> None:
        self._model = model
        self._build = build
        self._found: dict[str, Construction | None] = {}
        self._reader = SourceReader()

    def __getitem__(self, path: str) -> Construction:
        if path not in self._found:
            module = self._modules.get(path)
            note = _known(module) if module is not None else None
            self._found[path] = self._read(path, note) if note is not None else None
        found = self._found[path]
        if found is None:
            raise KeyError(path)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter([path for path, module in self._modules.items() if _known(module)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    @cached_property
    def _modules(self) -> dict[str, nn.Module]:
        model = self._model
        if _known(model) is None and self._build is not None:
            model = _built_again(self._build, _is_large(model)) or model
        return dict(paths_of(model))

    @cached_property
    def _paths(self) -> dict[int, str]:
        return {id(module): path for path, module in reversed(self._modules.items())}

    @cached_property
    def _namespaces(self) -> dict[str, dict[str, Any]]:
        """The globals of the files that the model's classes were written in."""
        classes = {cls for module in self._modules.values() for cls in type(module).__mro__}
        functions = [inspect.unwrap(v) for c in classes for v in vars(c).values() if callable(v)]
        functions.append(getattr(self._build, "func", self._build))
        return {
            function.__code__.co_filename: function.__globals__
            for function in functions
            if isinstance(function, FunctionType)
        }

    def _read(self, path: str, note: _Note) -> Construction:
        frames: list[Frame] = []
        for first, *others in _frames(note):
            frame = self._frame(first)
            for each in others:
                around = self._frame(each)
                frame = dataclasses.replace(
                    around, place=frame.place, scope={**around.scope, **frame.scope}
                )
            frames.append(frame)
        while frames and not _is_the_authors(frames[-1].code.co_filename):
            frames.pop()  # what runs the author's code: a test runner
        args, kwargs, uncertain = _arguments(note)
        cls = note.cls()
        if uncertain and frames and note.direct:
            kwargs, uncertain = _as_written(frames[0], cls, args, kwargs, uncertain)
        return Construction(
            path=path,
            cls=cls if cls is not None else type(self._modules[path]),
            args=args,
            kwargs=kwargs,
            frames=tuple(reversed(frames)),
            direct=note.direct,
            exact=all(map(_is_whole, (*args, *kwargs.values()))) and not uncertain,
            uncertain=uncertain,
        )

    def _frame(self, shot: _Shot) -> Frame:
        owner = _owner(shot)
        return Frame(
            code=shot.code,
            place=self._reader.site(shot.code, shot.lasti).place,
            scope={
                name: value
                for name, kept in shot.names.items()
                if name != ".0" and (value := _now(kept)) is not GONE
            },
            module=self._paths.get(id(owner)) if owner is not None else None,
            globals=self._namespaces.get(shot.code.co_filename, {}),
        )


def _is_the_authors(file: str) -> bool:
    return "/site-packages/" not in file and not file.startswith((_STANDARD, "<frozen"))


def _is_large(model: nn.Module) -> bool:
    elements = sum(
        parameter.numel()
        for parameter in model.parameters()
        if not isinstance(parameter, UninitializedTensorMixin)
    )
    return elements > _MOST_ELEMENTS


def _built_again(build: Callable[[], nn.Module], large: bool) -> nn.Module | None:
    """The model once more, without values where that goes; a large one not with values."""
    for device in ("meta",) if large else ("meta", None):
        with (
            contextlib.suppress(Exception),
            contextlib.redirect_stdout(io.StringIO()),
            random_state(),
            recording_construction(),
            torch._C._EnableTorchFunction(),  # without it the device is not heeded
            torch.device(device) if device is not None else contextlib.nullcontext(),
        ):
            return build()
    return None


def _arguments(note: _Note) -> tuple[tuple[Any, ...], dict[str, Any], tuple[str, ...]]:
    """The arguments as they would be given again, and the names of those that the constructor may
    have changed before they were noted.  Defaults are left to the constructor."""
    keywords = {name: _now(value) for name, value in note.keywords.items()}
    starred = tuple(_now(value) for value in note.starred)
    if note.code is None:
        return starred, keywords, ()
    defaults = _defaults(note)
    positional = note.code.co_varnames[1 : note.code.co_argcount]
    only = note.code.co_posonlyargcount - 1
    args: list[Any] = []
    for position, name in enumerate(positional):
        if name in note.named and (note.starred or position < only):
            args.append(_now(note.named[name]))
    for name, kept in note.named.items():
        value = _now(kept)
        if name in positional[: len(args)] or (name in defaults and defaults[name] is value):
            continue
        keywords[name] = value
    return (*args, *starred), keywords, _changed(note.code, note.lasti)


def _written(call: ast.Call, cls: type) -> dict[str, ast.expr] | None:
    """The arguments of a call by name; None where it hands on what it does not spell out."""
    names = parameters_of(cls)
    spread = any(isinstance(each, ast.Starred) for each in call.args)
    if spread or len(call.args) > len(names) or not all(each.arg for each in call.keywords):
        return None
    return dict(zip(names, call.args, strict=False)) | {
        each.arg: each.value for each in call.keywords if each.arg
    }


def _as_written(
    frame: Frame,
    cls: type | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    uncertain: tuple[str, ...],
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The arguments with those that the constructor may have changed as the call has them."""
    text = text_of(frame.place.file)
    call = text.at(frame.place.span) if text is not None else None
    if args or cls is None or not isinstance(call, ast.Call):
        return kwargs, uncertain
    written = _written(call, cls)
    if written is None:
        return kwargs, uncertain
    kwargs = {name: value for name, value in kwargs.items() if name not in uncertain}
    left: list[str] = []
    for name, node in written.items():
        if name in kwargs:
            continue
        try:
            kwargs[name] = value_of(node, frame.scope, frame.globals)
        except Unknown:
            left.append(name)
    return kwargs, tuple(left)


def _defaults(note: _Note) -> dict[str, Any]:
    cls = note.cls()
    for each in cls.__mro__ if cls is not None else ():
        function = vars(each).get("__init__")
        function = inspect.unwrap(function) if function is not None else None
        if isinstance(function, FunctionType) and function.__code__ is note.code:
            return {
                name: parameter.default
                for name, parameter in inspect.signature(function).parameters.items()
                if parameter.default is not parameter.empty
            }
    return {}


@functools.lru_cache(maxsize=4096)
def _changed(code: CodeType, lasti: int) -> tuple[str, ...]:
    """Arguments that a constructor gave another value, or took parts of, before an instruction."""
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    arguments = set(code.co_varnames[1:count])
    found: dict[str, None] = {}
    before: str | None = None
    for instruction in dis.get_instructions(code):
        if instruction.offset >= lasti:
            break
        name = instruction.argval if instruction.argval in arguments else None
        if name is not None and instruction.opname.startswith(("STORE_", "DELETE_")):
            found[name] = None
        if before is not None and instruction.argval in ("pop", "popitem", "update", "setdefault"):
            found[before] = None
        before = name
    return tuple(found)
