"""An exception with the frames that it passed, and what is said of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from tracer.document import Edit, Failure, Fix, Operand, Place, TensorNote, Trace, Violation
from tracer.record.frames import OWNERS, Whose
from tracer.record.functions import message
from tracer.record.names import FrameScope, resolve
from tracer.record.scripts import failing, frames_of
from tracer.sentences import Said, said
from tracer.source.built import of_user
from tracer.source.sites import SourceReader
from tracer.source.text import Text, text_of
from tracer.strict import tolerant


@dataclass(frozen=True)
class Shown:
    """A tensor that an answer shows: its name, itself, and its dimensions at odds."""

    name: str
    tensor: Tensor
    marks: tuple[int, ...] = ()
    parameter: bool = False


@dataclass(frozen=True)
class Answer:
    """What is said of an exception: `kind` is one of `tracer.ops.kinds`.  Operands in the
    sentences count `shown`.  `check` is what to do where there is no fix; `place` is given where
    the frames do not tell it."""

    kind: str
    rule: Said
    because: tuple[Said, ...]
    check: Said | None = None
    shown: tuple[Shown, ...] = ()
    fixes: tuple[Fix, ...] = ()
    place: Place | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Raised:
    """`frames` are those that the exception passed, outermost first, each with its last
    instruction."""

    error: BaseException
    words: str
    frames: tuple[tuple[FrameType, int], ...]

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        return cls(error, message(error), tuple(frames_of(error.__traceback__)))

    def inside(self, file: str, *functions: str) -> Mapping[str, Any] | None:
        """The local names of the innermost frame of one of these functions, in a file whose path
        has this part."""
        for frame, _ in reversed(self.frames):
            code = frame.f_code
            if file in code.co_filename and (not functions or code.co_name in functions):
                return frame.f_locals
        return None

    @property
    def authors(self) -> tuple[FrameType, int] | None:
        """The innermost frame of the author's code."""
        for frame, lasti in reversed(self.frames):
            file = frame.f_code.co_filename
            generated = file.startswith(("<eval_with_key>", "<string>"))
            if OWNERS[file] is Whose.AUTHOR and of_user(file) and not generated:
                return frame, lasti
        return None

    @property
    def written(self) -> tuple[Text, ast.stmt, ast.expr | None] | None:
        """The text, the statement and the expression of the author's that raised."""
        found = self.authors
        if found is None:
            return None
        code = found[0].f_code
        text = text_of(code.co_filename)
        if text is None or not text.contains(code):
            return None
        statement, node = failing(text, code, found[1])
        return (text, statement, node) if statement is not None else None

    @property
    def call(self) -> tuple[Text, ast.Call] | None:
        """The author's call that raised."""
        found = self.written
        node = found[2] if found is not None else None
        return (found[0], node) if found is not None and isinstance(node, ast.Call) else None

    def place(self) -> Place:
        found = self.authors
        if found is None:
            return Place("", 0, "", None, None, "", "", None)
        frame, lasti = found
        return SourceReader().site(frame.f_code, lasti).place

    def modules(self) -> list[tuple[str, nn.Module]]:
        """The modules that the author's names stand for, inner frames first."""
        return [(name, value) for name, value in self._names() if isinstance(value, nn.Module)]

    def name_of(self, wanted: Any) -> str:
        """What the author calls this object: a name, a parameter's path; empty if nothing."""
        for name, value in self._names():
            if value is wanted:
                return name
        for name, module in self.modules():
            for path, parameter in module.named_parameters():
                if parameter is wanted:
                    return f"{name}.{path}"
        return ""

    def _names(self) -> Iterable[tuple[str, Any]]:
        for frame, _ in reversed(self.frames):
            file = frame.f_code.co_filename
            if OWNERS[file] is Whose.AUTHOR and of_user(file):
                yield from list(frame.f_locals.items())
                own = frame.f_locals.get("self")
                for name, value in list(getattr(own, "__dict__", {}).items()):
                    yield f"self.{name}", value
        found = self.authors
        if found is not None:
            yield from list(found[0].f_globals.items())


Rule: TypeAlias = Callable[[Raised], Answer | None]

RULES: list[Rule] = []


def raised_rule(function: Rule) -> Rule:
    """Enter a rule; the first that has something to say is heard."""
    RULES.append(function)
    return function


def answer(raised: Raised) -> Answer | None:
    for rule in RULES:
        found = None
        with tolerant():
            found = rule(raised)
        if found is not None:
            return found
    return None


_SIZES = re.compile(r"\b(sizes?|shapes?|dim(ension)?s?|mat1|broadcast|batch2|numel|stack)\b")


def unknown(raised: Raised, ran: bool) -> Answer | None:
    """One line where a size is wrong and nothing is known of it; None of other errors.

    `ran` says that the failing call was run again, and did not fail as before.
    """
    found = raised.authors
    if found is None or raised.written is None or not _SIZES.search(raised.words):
        return None
    statement = raised.written[1]
    last = raised.frames[-1][0]
    torchs = OWNERS[last.f_code.co_filename] is not Whose.AUTHOR
    if isinstance(statement, ast.Raise | ast.Assert) or not (torchs or last is found[0]):
        return None
    if not isinstance(raised.error, RuntimeError | ValueError | IndexError):
        return None
    if torchs and last.f_code.co_name == "__init__":
        return None  # numbers that a layer cannot be built with
    site = SourceReader().site(found[0].f_code, found[1])
    scope = FrameScope(found[0])
    shown: dict[str, Tensor] = {}
    for chain in site.used:
        resolved = resolve(chain, scope)
        if resolved is not None and isinstance(resolved[1], Tensor):
            shown[resolved[0]] = resolved[1]
    first = " ".join(raised.words.split()).split(". ")[0][:300].rstrip(".")
    return Answer(
        "other",
        said("{error}: {words}", error=type(raised.error).__name__, words=first),
        (
            said(
                "Nothing is known of where this size comes from: run again, `{code}` does not fail "
                "in this way."
                if ran
                else "Nothing is known of where this size comes from: `{code}` was not run again, "
                "since it may do more than compute.",
                code=" ".join(site.place.expression.split())[:80],
            ),
        ),
        shown=tuple(Shown(name, tensor) for name, tensor in shown.items()),
    )


def told(raised: Raised, answered: Answer) -> Trace:
    """The answer as a trace without steps."""
    place = answered.place or raised.place()
    check = (answered.check,) if answered.check is not None and not answered.fixes else ()
    failure = Failure(
        type=type(raised.error).__name__,
        message=raised.words,
        step=None,
        place=place,
        module="",
        operands=tuple(_operand(number, each) for number, each in enumerate(answered.shown)),
        violation=Violation(answered.kind, answered.rule, (*answered.because, *check)),
        fixes=answered.fixes,
    )
    return Trace(
        name=place.function or type(raised.error).__name__,
        steps=(),
        calls=(),
        inputs=(),
        outputs=(),
        failure=failure,
        sources=(),
        remarks=(),
        values=False,
        training=False,
        parameters=0,
        seconds=0.0,
        torch=str(torch.__version__),
    )


def _operand(number: int, shown: Shown) -> Operand:
    tensor = shown.tensor
    note = TensorNote(
        id=number,
        name=shown.name,
        shape=tuple(map(int, tensor.shape)),
        dtype=str(tensor.dtype).removeprefix("torch."),
        device=str(tensor.device),
        kind="parameter" if shown.parameter or isinstance(tensor, nn.Parameter) else "input",
        stats=None,
        heatmap=None,
        born=None,
    )
    return Operand(note, "", "", None, shown.marks)


def fix(edits: tuple[Edit, ...], summary: Said, verified: bool) -> Fix:
    return Fix(said("{what}.", what=summary), edits, verified, ())
