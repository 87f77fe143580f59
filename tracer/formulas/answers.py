"""What a run asked of values and was answered, kept to be answered again: a run of shapes has no
values to ask.

`x.sum() > 0`, `lengths.tolist()` and `torch.nonzero(mask)` stop a run on tensors without storage.
A plain run is listened to, call by call; where a run of shapes is refused what the plain run was
given, it gets the shape that the operation table knows, else the plain run's own answer.  Such an
answer stands at every size: that is an assumption, and is said.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import sympy
import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.overrides import TorchFunctionMode

from tracer import document
from tracer.record.functions import FACTS, SETTINGS, Opened, text_of_value, writes_in_place
from tracer.sentences import Count, Said, said
from tracer.source.sites import SourceReader

Key = tuple[CodeType, int, str]
"""The instruction that the author wrote, and the name of the function that it came to."""

Shapes = Callable[[Any, tuple[Any, ...], dict[str, Any]], list[tuple[Any, ...]] | None]
"""The shapes that an operation gives, as far as they follow from those of its operands."""

NOT_AUTHORS = tuple(
    str(Path(file).parent) + "/"
    for file in (torch.__file__, sympy.__file__, document.__file__)
    if file
)


def author() -> FrameType | None:
    """The innermost frame outside torch, sympy and this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(NOT_AUTHORS):
        frame = frame.f_back
    return frame


_DEVICE = Tensor.device.__get__
_ON_META = torch.device("meta")
_PLAIN = (bool, int, float, complex, str, type(None))
_MOST_TOLD = 6
_SHORT = 40


@dataclasses.dataclass(frozen=True)
class _Like:
    """A tensor of an answer: a new one, or the operand of this number itself."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    operand: int | None


class _Nothing:
    """Stands for what cannot be given again, such as an exception."""


_NOTHING = _Nothing()


class Answers:
    """The answers of one plain run, in order, and the calls that runs of shapes were refused.

    `device` is where the plain run was: code that asks for it takes the same way again."""

    def __init__(self) -> None:
        self._given: dict[Key, list[Any]] = defaultdict(list)
        self._refused: dict[Key, tuple[str, int, str]] = {}  # file, line and expression
        self._assumed: dict[Key, None] = {}
        self._reader = SourceReader()
        self.device: torch.device | None = None
        self._untabled: set[Key] = set()
        self._compared = False
        self.learning = False

    @property
    def refused(self) -> int:
        """How many calls runs of shapes cannot make."""
        return len(self._refused)

    def listening(self) -> TorchFunctionMode:
        """Hears what the run inside is answered."""
        return _Listening(self)

    def replaying(self, shapes: Shapes) -> TorchFunctionMode:
        """Answers in the run inside what it is refused: calls that are known to be, and others
        while it is `learned` which these are."""
        return _Replaying(self, shapes)

    @contextlib.contextmanager
    def learned(self, same_sizes: bool) -> Iterator[None]:
        """Runs inside ought to succeed: what they are refused is for the want of values.  At the
        `same_sizes` as the plain run the table is believed only where it says what that gave."""
        self.learning, self._compared = True, same_sizes
        try:
            yield
        finally:
            self.learning = self._compared = False

    def remarks(self) -> tuple[Said, ...]:
        """What is assumed of values, with its place."""
        found: dict[Said, None] = {}
        for key in self._assumed:
            file, line, code = self._refused[key]
            where = {"code": code, "file": file, "line": line}
            told = {self._told(each) for each in self._given[key]}
            if len(told) == 1 and None not in told:
                found[
                    said(
                        "Assumed at every size, for it depends on values: `{code}` "
                        "({file}:{line}) gives {answer}, as in this run.",
                        **where,
                        answer=told.pop(),
                    )
                ] = None
            else:
                found[
                    said(
                        "Assumed at every size, for it depends on values: `{code}` "
                        "({file}:{line}) gives what it gave in this run.",
                        **where,
                    )
                ] = None
        first = tuple(found)[:_MOST_TOLD]
        if len(found) > _MOST_TOLD:
            more = Count(len(found) - _MOST_TOLD, "further answer")
            return (*first, said("Assumed as well: {more}.", more=more))
        return first

    @staticmethod
    def _told(answer: Any) -> str | None:
        if isinstance(answer, _Like):
            return f"{answer.shape}"
        if isinstance(answer, tuple) and answer and all(isinstance(a, _Like) for a in answer):
            return ", ".join(f"{each.shape}" for each in answer)
        if not isinstance(answer, (*_PLAIN, list)) or list(_tensors(answer)):
            return None
        text = text_of_value(answer)
        return text if len(text) <= _SHORT else None

    # --- what the modes below keep and read ---

    def keep(self, key: Key, result: Any, operands: list[Any]) -> None:
        self._given[key].append(_kept(result, operands))

    def has(self, key: Key, number: int) -> bool:
        given = self._given.get(key, ())
        return number < len(given) and given[number] is not _NOTHING

    def is_refused(self, key: Key) -> bool:
        return key in self._refused

    def refuse(self, key: Key) -> None:
        where, instruction, asked = key
        place = self._reader.site(where, instruction).place
        written, statement = place.expression or place.statement, place.statement
        if asked == "__bool__:" and statement not in (f"if {written}:", f"while {written}:"):
            written = statement  # Python does not say which part of a condition it asks
        # Where there is no source, what was asked has a name at least.
        code = " ".join(written.split()) or f"{asked.split(':')[0].strip('_')}(…)"
        self._refused[key] = place.file.rsplit("/", 1)[-1], place.line, code

    def given(self, key: Key, number: int) -> Any:
        """The answer of this number, the last one beyond these; what a list or an array has is
        the caller's own."""
        answers = self._given[key]
        return answers[min(number, len(answers) - 1)]

    def follows(self, key: Key, found: list[tuple[Any, ...]] | None, like: list[_Like]) -> bool:
        """Whether the shapes of an answer are those that the table has `found`; if not, they are
        assumed."""
        if self._compared and found != [each.shape for each in like]:
            self._untabled.add(key)
        if found is None or len(found) != len(like) or key in self._untabled:
            if any(each.operand is None for each in like) or not like:
                self._assumed.setdefault(key)
            return False
        return True


def _kept(result: Any, operands: list[Any]) -> Any:
    if isinstance(result, Tensor):
        same = next((i for i, each in enumerate(operands) if each is result), None)
        return _Like(tuple(result.shape), result.dtype, same)
    if isinstance(result, tuple | list):
        within = [_kept(each, operands) for each in result]
        if any(each is _NOTHING for each in within):
            return _NOTHING
        return within if isinstance(result, list) else _tuple(type(result), within)
    if isinstance(result, _PLAIN):
        return result
    return result.copy() if type(result).__module__ == "numpy" else _NOTHING


def _tuple(kind: type[Any], items: list[Any]) -> Any:
    if kind.__module__ == "torch.return_types":
        return kind(items)
    return kind(*items) if hasattr(kind, "_fields") else tuple(items)


def _made(answer: Any, operands: list[Any], shapes: Iterator[tuple[Any, ...]] | None) -> Any:
    """The answer once more, its tensors without values: of these shapes, else of its own."""
    if isinstance(answer, _Like):
        if answer.operand is not None:
            return operands[answer.operand]
        own = answer.shape if shapes is None else next(shapes)
        return torch.empty(own, dtype=answer.dtype, device="meta")
    if isinstance(answer, list):
        return [_made(each, operands, shapes) for each in answer]
    if isinstance(answer, tuple):
        return _tuple(type(answer), [_made(each, operands, shapes) for each in answer])
    return answer if isinstance(answer, _PLAIN) else answer.copy()


def _tensors(answer: Any) -> Iterator[_Like]:
    if isinstance(answer, _Like):
        yield answer
    elif isinstance(answer, list | tuple):
        for each in answer:
            yield from _tensors(each)


class _Mode(TorchFunctionMode):
    """Sees each call of torch; Python functions of torch are opened, in both runs alike."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self.answers = answers
        self._opened = Opened()
        self._counts: Counter[Key] = Counter()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in FACTS or func in SETTINGS:
            return self.fact(func, args, kwargs)
        twin = self._opened.twin(func) if type(func) is FunctionType else None
        if twin is not None:
            with self:
                return twin(*args, **kwargs)
        frame = author()
        if frame is None:
            return func(*args, **kwargs)
        key = frame.f_code, frame.f_lasti, _name(func)
        number = self._counts[key]
        self._counts[key] += 1
        return self.call(key, number, func, args, kwargs)

    def fact(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a call is answered that makes no tensor."""
        return func(*args, **kwargs)

    def call(
        self, key: Key, number: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The call of this number at its place."""
        raise NotImplementedError


def _name(func: Any) -> str:
    name = getattr(func, "__name__", "")
    owner = getattr(func, "__self__", None) if name in ("__get__", "__set__") else None
    return f"{name}:{getattr(owner, '__name__', '')}"


class _Listening(_Mode):
    def call(
        self, key: Key, number: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result: Any = _NOTHING
        try:
            result = func(*args, **kwargs)
        finally:
            self.answers.keep(key, result, [*args, *kwargs.values()])
        return result


class _Replaying(_Mode):
    def __init__(self, answers: Answers, shapes: Shapes) -> None:
        super().__init__(answers)
        self.shapes = shapes

    def fact(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func == _DEVICE and self.answers.device is not None:
            return self.answers.device
        return func(*args, **kwargs)

    def call(
        self, key: Key, number: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        answers = self.answers
        args = tuple([_ON_META if isinstance(each, torch.device) else each for each in args])
        if kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": _ON_META}
        if not answers.is_refused(key):
            if not answers.learning or not answers.has(key, number):
                return func(*args, **kwargs)
            try:
                return func(*args, **kwargs)
            except Exception:  # noqa: BLE001 - the plain run was given an answer
                answers.refuse(key)
        given = answers.given(key, number)
        operands = [*args, *kwargs.values()]
        like = list(_tensors(given))
        found = self.shapes(func, args, kwargs) if like else None
        if writes_in_place(func, kwargs) and isinstance(args[0], Tensor):
            increment_version(args[0])  # what watches the run is to see that it was written to
        follows = answers.follows(key, found, like)
        return _made(given, operands, iter(found) if follows and found is not None else None)
