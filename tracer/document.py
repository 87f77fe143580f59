"""The trace as plain, immutable data, and its JSON form.

A `Trace` holds what happened in one forward pass: the steps, the module calls, the tensors (as
pictures and figures, never as data) and the source text they came from.  It needs neither torch
nor the traced code to be read back.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import difflib
import fnmatch
import functools
import importlib
import io
import itertools
import json
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType, NoneType
from typing import Any, TypeAlias, Union

from tracer import arithmetic
from tracer.sentences import (
    Count,
    Filling,
    Said,
    ShapeOf,
    SizeAt,
    ToldError,
    Translate,
    as_written,
    gaps,
    render,
    said,
    shape_text,
)

SCHEMA = 10
FORMAT = "shapewalk-trace"

MAX_STEPS = 200_000
MAX_DEPTH = 40
MAX_SIDE = 4096


class TraceFileError(ToldError):
    """A trace file cannot be read; the message is one sentence that says why."""


@dataclass(frozen=True)
class Stats:
    """Figures of one tensor. `minimum`, `maximum`, `mean` and `std` are taken over the finite
    elements and are None when there is none; complex tensors are measured by magnitude."""

    minimum: float | None
    maximum: float | None
    mean: float | None
    std: float | None
    zeros: float
    nan: int
    inf: int
    count: int


@dataclass(frozen=True)
class Heatmap:
    """A picture of one tensor, at most 64 cells to a side.

    `cells` is `rows * columns` little-endian float32 values, row by row; NaN and Inf are kept.
    `low` and `high` bound the finite cells (None when there is none); `signed` is true when the
    tensor has values on both sides of zero.  `text` says which axes became rows and columns and
    what happened to the others.
    """

    rows: int
    columns: int
    cells: bytes = dataclasses.field(repr=False)
    row_axis: int | None
    column_axis: int | None
    low: float | None
    high: float | None
    signed: bool
    text: str


@dataclass(frozen=True)
class Corner:
    """The first few elements along every dimension of one tensor, `shape` of them: little-endian
    float32 values in `cells`, row by row.  Of a tensor all of whose elements are cells of its
    heatmap there is none."""

    shape: tuple[int, ...]
    cells: bytes = dataclasses.field(repr=False)


@dataclass(frozen=True)
class Formula:
    """A number as a function of the sizes that a user chooses, written as a person writes it:
    `⌊H/2⌋·⌊W/2⌋`.  `latex` is the same, without dollars.  `aliases` are names that the source
    itself gives to this number (`N` after `N = H * W`)."""

    text: str
    latex: str
    aliases: tuple[str, ...] = ()

    def at(self, **sizes: int) -> int | float:
        """What it is worth at these sizes: a whole number where it is one.

        Raises:
            ValueError: it has a name without a size.
        """
        found = arithmetic.value(self.text, sizes)
        return int(found) if found.denominator == 1 else float(found)


@dataclass(frozen=True)
class Symbol:
    """A size or hyper-parameter that formulas are written in, and its value in this run."""

    name: str
    value: int


@dataclass(frozen=True)
class Constraint:
    """What the run demands of the sizes: `D % heads = 0`, and in `says` as one sentence.  `step`
    indexes `Trace.steps`; it is None where the constructor demands it, or the tracer cannot say
    who does.  `holds` is false when this run's own sizes violate it."""

    formula: Formula
    says: Said
    step: int | None
    holds: bool = True

    @property
    def words(self) -> str:
        """The sentence in English."""
        return str(self.says)


@dataclass(frozen=True)
class Cost:
    """What a step takes: the elements and bytes of its outputs that are new memory (a view has
    none), and its floating-point operations, two for each product that is summed, children
    included.  Each with its formula, and how that grows (`B·H²·W²`), None where it is unknown."""

    elements: int
    bytes: int
    flops: int
    elements_formula: Formula | None = None
    bytes_formula: Formula | None = None
    flops_formula: Formula | None = None
    memory_growth: Formula | None = None
    flops_growth: Formula | None = None


@dataclass(frozen=True)
class TensorNote:
    """What is kept of one tensor at one moment: an in-place operation makes a new note.

    `born` is the index in `Trace.steps` of the step that made it, None for inputs, parameters,
    buffers and tensors made where the tracer could not see.  `kind` is one of `input`,
    `parameter`, `buffer`, `made` (by a step) and `constant` (everything else).  `dims` holds one
    formula for each dimension, or nothing when the sizes are known as numbers alone.  `corner` is
    None in files older than schema 9.
    """

    id: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    kind: str
    stats: Stats | None
    heatmap: Heatmap | None
    born: int | None
    dims: tuple[Formula, ...] = ()
    corner: Corner | None = None

    def __repr__(self) -> str:
        return f"TensorNote {self.name or 'without a name'} {shape_text(self.shape)} {self.dtype}"


@dataclass(frozen=True)
class Span:
    """A stretch of source: 1-based lines, 0-based columns in characters, end exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class Comment:
    """The comment block `first`..`last` (lines) above the statement that begins at `line`."""

    first: int
    last: int
    line: int
    text: str


@dataclass(frozen=True)
class Source:
    """The text of one function that was executed; `first` is the number of its first line."""

    file: str
    function: str
    first: int
    text: str = dataclasses.field(repr=False)
    comments: tuple[Comment, ...] = dataclasses.field(repr=False)


@dataclass(frozen=True)
class Place:
    """Where something was written. `source` indexes `Trace.sources` (None when there is no text);
    `expression` and `statement` are exact source text, `span` and `statement_span` their extent."""

    file: str
    line: int
    function: str
    source: int | None
    span: Span | None
    expression: str
    statement: str
    statement_span: Span | None


class _Placed:
    """Reads through to `place`, so that `step.line` is short for `step.place.line`."""

    place: Place

    @property
    def file(self) -> str:
        return self.place.file

    @property
    def line(self) -> int:
        return self.place.line

    @property
    def function(self) -> str:
        return self.place.function

    @property
    def expression(self) -> str:
        return self.place.expression

    @property
    def statement(self) -> str:
        return self.place.statement


@dataclass(frozen=True)
class TensorAt:
    """A tensor among the arguments: its position in the step's `inputs`, None when it is none of
    them."""

    index: int | None


@dataclass(frozen=True)
class Slice:
    """`start:stop:step` inside `x[...]`."""

    start: Value
    stop: Value
    step: Value


Value: TypeAlias = Union[  # noqa: UP007 - it names itself
    bool, int, float, str, EllipsisType, TensorAt, Slice, tuple["Value", ...], None
]
"""What an argument can be: lists are tuples, a dtype or device is its name (`float32`)."""


@dataclass(frozen=True)
class Bound(Mapping[str, Value]):
    """The arguments of a step by name, in the order of the signature, defaults filled in; the names
    are those of torch's operator schemas, with `input` for `self` (see `tracer.record.bind`)."""

    pairs: tuple[tuple[str, Value], ...] = ()

    def __getitem__(self, name: str) -> Value:
        for each, value in self.pairs:
            if each == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self.pairs])

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True)
class Step(_Placed):
    """One operation, or one call of a torch.nn module.

    `index` is its position in `Trace.steps`, or in its parent's `children`.  `module` is the
    qualified path of the innermost module that ran it.  `targets` are the names that the statement
    assigned the outputs to.  `note` is the comment above the statement with its `{...}` filled in.
    `names` maps each name or attribute chain in the statement that was a tensor to that tensor's
    note id.  `children` are the steps inside an operation of torch that was opened.
    `arguments` are those that hold no tensor, as one would write them; `bound` are all by name,
    empty in files older than schema 4.
    `call` indexes `Trace.calls`.  `writes` is true when the operation changed an operand in place.
    `seconds` is wall time, children included.  `error` is the exception text of a step that raised.
    """

    index: int
    op: str
    module: str
    place: Place
    targets: tuple[str, ...]
    note: str
    inputs: tuple[TensorNote, ...]
    outputs: tuple[TensorNote, ...]
    arguments: tuple[str, ...]
    names: tuple[tuple[str, int], ...]
    children: tuple[Step, ...]
    call: int
    writes: bool
    seconds: float
    error: str | None
    bound: Bound = Bound()

    def __repr__(self) -> str:
        where = f" in {self.module}" if self.module else ""
        place = f"{Path(self.file).name}:{self.line}" if self.line > 0 else self.file
        found = (
            _shapes(self.outputs) if self.error is None else f"failed, {_first_line(self.error)}"
        )
        return f"Step {self.index} {self.op}{where}, {place}: {_shapes(self.inputs)} → {found}"


@dataclass(frozen=True)
class Call(_Placed):
    """One call of a module's forward.  `steps[start:stop]` of the trace ran inside it.

    `module` is the qualified path (`''` for the root), `type` the class name, `settings` what the
    module prints of itself (`in_channels=3, ...`), `parameters` the number of its parameter
    elements, those of its children included.  `place` says where the call was written; the root
    call has none.
    """

    index: int
    parent: int | None
    module: str
    type: str
    settings: str
    place: Place
    targets: tuple[str, ...]
    note: str
    inputs: tuple[TensorNote, ...]
    outputs: tuple[TensorNote, ...]
    start: int
    stop: int
    parameters: int
    seconds: float

    def __repr__(self) -> str:
        ran = f"steps {self.start} to {self.stop - 1}" if self.stop > self.start else "no steps"
        shapes = f"{_shapes(self.inputs)} → {_shapes(self.outputs)}"
        return f"Call {self.module or 'of the root,'} {self.type}: {ran}, {shapes}"


def _shapes(notes: tuple[TensorNote, ...]) -> str:
    """The shapes of a few, in one line."""
    given = [note for note in notes if note.kind not in ("parameter", "buffer")] or notes
    more = f" and {len(given) - 3} more" if len(given) > 3 else ""
    return (", ".join(shape_text(note.shape) for note in given[:3]) or "nothing") + more


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0][:200]


@dataclass(frozen=True)
class Operand:
    """A tensor that a failing expression used, with the expression and line that made it.
    `marks` are the dimensions that are at odds with another operand or with the rule."""

    note: TensorNote
    expression: str
    file: str
    line: int | None
    marks: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return self.note.shape


@dataclass(frozen=True)
class Root(_Placed):
    """Where the wrong size was born, or a link of the chain that led there.  `kind` is `step` (an
    expression of the forward, `step` is its index), `constructor` (an argument in `__init__`),
    `call` (the caller that passed the tensor) or `input` (what the model was given); of links also
    `number` (written outside of a constructor: in `build()`, a config, a default) and `failure`
    (the failing expression).

    `because` says in a sentence or two what went wrong; `operand` in it counts `tensors`, those
    that it speaks of.
    """

    kind: str
    place: Place
    module: str
    step: int | None
    because: Said
    tensors: tuple[TensorNote, ...] = ()

    @property
    def why(self) -> str:
        """What went wrong, in plain English with numbers."""
        return self.told()

    def told(self, translate: Translate = str, formulas: bool = False) -> str:
        """What went wrong, in words (see `Failure.told`)."""
        known = _known_formulas(self.tensors) if formulas else None
        return render(self.because, translate, known)


def _known_formulas(tensors: Iterable[TensorNote]) -> dict[tuple[int, int], str]:
    return {
        (number, dim): formula.text
        for number, note in enumerate(tensors)
        for dim, formula in enumerate(note.dims)
    }


@dataclass(frozen=True)
class Term(_Placed):
    """What a size, or a number that it is worked out from, comes from.

    `value` is the number, None where it is none; `text` what is written or what it is called.
    `parts` are the terms that it is made of, and `kind` how:

    - `sum` and `product`: of the parts, as tensors are joined and flattened, or as it is written;
      where tensors are joined a last part may be the `count` of what they come from
    - `written`: any other expression of numbers, of the parts
    - `count`: `len(...)` of what the part is
    - `name`: a name, an attribute or an item; the part says what it was given
    - `layer`: a module of torch has this size, the part says from which argument of its constructor
    - `step`: an operation of the forward made it of the part (a window, a slice, a split), the
      parts after the first are its settings
    - `input`, `number` and `data` are made of nothing: an input's size, a number (or a list of
      them) that is written down, what only the run's values say

    `module` is the qualified path of the module that the place belongs to, `step` indexes
    `Trace.steps` where one made it.
    """

    kind: str
    value: int | None
    text: str
    place: Place
    module: str = ""
    step: int | None = None
    parts: tuple[Term, ...] = ()

    @property
    def operands(self) -> tuple[Term, ...]:
        """The parts that a sum or product is worked out from."""
        joined = self.kind == "sum" and self.step is not None
        return tuple(part for part in self.parts if not (joined and part.kind == "count"))

    def walk(self) -> Iterator[Term]:
        """This term and all that it is made of, each before its parts."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def at(self, path: Iterable[int]) -> Term:
        """The part of the part ... that `path` counts."""
        found = self
        for number in path:
            found = found.parts[number]
        return found


@dataclass(frozen=True)
class History:
    """Where one of the sizes at odds comes from.  It is that of dimension `dim` of operand number
    `operand` of the failure (None: of all its elements), both None where it is what the failing
    expression asks for.  `apart`
    is the path (see `Term.at`) to the first term that differs from the other history's, None where
    that cannot be told."""

    term: Term
    operand: int | None
    dim: int | None
    apart: tuple[int, ...] | None = None

    @property
    def parting(self) -> Term | None:
        """The term where it parts from the other history."""
        return None if self.apart is None else self.term.at(self.apart)


@dataclass(frozen=True)
class Edit:
    """Replace the text at `span` of `file` by `replacement`; an empty span inserts."""

    file: str
    span: Span
    replacement: str


@dataclass(frozen=True)
class Fix:
    """A change that mends the failure: of the source, or of what the model is called with.

    `says` is what changes, `notes` what the reader must know before taking it (that it changes
    what is computed, which reading it assumes, or which of the following it fails).  `verified`
    means that the edited source was executed: the whole forward ran on the same inputs and gave
    `output_shapes`, and held for other batches and sizes, for single samples and for what else the
    edited lines do, as far as that could be run.  `inputs` are pairs of an argument of the forward
    and the expression to give in its place, for an answer that changes no source.
    """

    says: Said
    edits: tuple[Edit, ...]
    verified: bool
    output_shapes: tuple[tuple[int, ...], ...]
    notes: tuple[Said, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()

    @property
    def summary(self) -> str:
        """What changes, in one plain English sentence."""
        return self.told()[0]

    @property
    def caveat(self) -> str:
        """What to know before taking it, in plain English; empty where there is nothing."""
        return self.told()[1]

    def told(self, translate: Translate = str) -> tuple[str, str]:
        """What changes, and what to know of it, in words."""
        notes = " ".join(render(note, translate) for note in self.notes)
        return render(self.says, translate), notes.replace("。 ", "。")

    def apply(self, source: str, file: str | None = None) -> str:
        """`source` with the edits of `file` made (of the only file that the fix edits, if None).

        Raises:
            ValueError: an edit lies outside the text, two overlap, or `file` is None and there are
                several.
        """
        files = {edit.file for edit in self.edits}
        if file is None and len(files) > 1:
            raise ValueError(f"This fix edits {len(files)} files: say which one this is.")
        return with_edits(source, [edit for edit in self.edits if file in (None, edit.file)])


def with_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text of one file with the edits made; one that is given twice is made once.

    Raises:
        ValueError: two edits overlap, or one lies outside the text.
    """
    # Lines as Python's parser counts them: str.splitlines would end them at a form feed as well.
    lines = io.StringIO(text, newline="").readlines()
    starts = [0, *itertools.accumulate(map(len, lines))]

    def offset(line: int, column: int) -> int:
        length = len(lines[line - 1]) if 1 <= line <= len(lines) else 0
        if not 1 <= line <= len(lines) + 1 or not 0 <= column <= length:
            raise ValueError(f"The text has no column {column} in line {line}.")
        return starts[line - 1] + column

    stretches = sorted(
        (
            offset(edit.span.line, edit.span.column),
            offset(edit.span.end_line, edit.span.end_column),
            edit.replacement,
        )
        for edit in set(edits)
    )
    if any(end < start for start, end, _ in stretches):
        raise ValueError("An edit ends before it starts.")
    for (_, end, _), (start, _, _) in itertools.pairwise(stretches):
        if start < end:
            raise ValueError("Two edits change the same text.")
    for start, end, replacement in reversed(stretches):
        text = text[:start] + replacement + text[end:]
    return text


def code_of(kind: str) -> str:
    """The stable code of a kind of violation: `SW-matmul`."""
    return f"SW-{kind}"


@dataclass(frozen=True)
class Violation:
    """The rule that is broken.  `kind` is one of `tracer.ops.kinds`, empty in what is read from a
    file older than schema 4.

    `says` is the rule with its numbers, in one sentence, `because` what that means here in a few
    plain ones.  `operand` in them counts `Failure.operands`.
    """

    kind: str
    says: Said
    because: tuple[Said, ...]

    @property
    def code(self) -> str:
        """The kind's stable code, `SW-matmul`, under which `docs/errors` explains the rule."""
        return code_of(self.kind) if self.kind else ""


@dataclass(frozen=True)
class Failure(_Placed):
    """Why and where the forward stopped.  `step` is None when no torch operation had begun, as
    when a module checks its arguments in Python.

    `violation` is the rule that is broken, `root` where the wrong size was born when that is not
    here, and `fixes` are the changes that mend it, best first; empty where they are not known.
    `histories` are those of the two sizes at odds, where there are two.  `chain` is the way of the
    wrong size: from where a number was written, over constructors and steps, to this expression,
    which is its last link.  `root` is what follows from the broken rule; where repairs were sought
    the links are the likeliest places by all that is known, and `root` says which is likelier.
    """

    type: str
    message: str
    step: Step | None
    place: Place
    module: str
    operands: tuple[Operand, ...]
    violation: Violation | None = None
    root: Root | None = None
    fixes: tuple[Fix, ...] = ()
    histories: tuple[History, ...] = ()
    chain: tuple[Root, ...] = ()

    def __repr__(self) -> str:
        where = f"{Path(self.file).name}:{self.line}, in {self.function}"
        return f"Failure at {where}: {self.type}: {_first_line(self.message)}"

    @property
    def rule(self) -> str:
        """The rule that is broken, in one English sentence with numbers; empty if not known."""
        return self.told()[0]

    @property
    def reason(self) -> str:
        """What that means here, in plain English; empty if not known."""
        return self.told()[1]

    def told(self, translate: Translate = str, formulas: bool = False) -> tuple[str, str]:
        """The rule and the reason in words.

        Args:
            translate: gives a sentence's text in another language (`tracer.language`).
            formulas: write sizes as formulas of the inputs' sizes, where they have one.
        """
        if self.violation is None:
            return "", ""
        notes = [operand.note for operand in self.operands] if formulas else []
        known = _known_formulas(notes)
        rule, *reason = (
            render(each, translate, known)
            for each in (self.violation.says, *self.violation.because)
        )
        return rule, " ".join(reason).replace("。 ", "。")  # that stop has its own space


@dataclass(frozen=True)
class Warning:
    """A step that ran and probably does not do what was meant.  `kind` is one of `broadcast`,
    `squeeze`, `batch` (a batch size written into the code), `view` (sizes agree by chance) and
    `batchnorm`; `because` says it in a sentence or two."""

    kind: str
    step: int
    because: Said

    @property
    def code(self) -> str:
        """The stable name of its page in `docs/errors/`."""
        return f"SW-silent-{self.kind}"

    @property
    def reason(self) -> str:
        """`because` in plain English."""
        return self.told()

    def told(self, translate: Translate = str) -> str:
        """`because` in the reader's language (`tracer.language`)."""
        return render(self.because, translate)


@dataclass(frozen=True)
class Chapter:
    """A part of the run that has a name: `steps[start:stop]` of the trace, at least one."""

    title: str
    start: int
    stop: int


@dataclass(frozen=True)
class Slip:
    """What a text about the module says in its own words (`quote`), what that means (`says`), and
    what is right instead (`why`)."""

    quote: str
    says: str
    why: str


@dataclass(frozen=True)
class Lead:
    """What to open next: the key of a lesson, its title and what it teaches."""

    lesson: str
    title: str
    teaches: str


@dataclass(frozen=True)
class Story:
    """What is told around a run, as Markdown where it is no `Said`.

    Before the first step: what the module is for (`about`), where it sits in a network (`place`)
    and what to look at (`look`); `paper` and `post` are what it is read beside, the post's `author`
    empty where it names none.  After the last:
    what was `seen` in the run, empty where it stopped on the way, the `slip` of the post, and what
    to open next.
    """

    title: str
    about: str
    place: str
    look: str
    paper: str
    post: str
    author: str
    seen: tuple[Said, ...] = ()
    slip: Slip | None = None
    leads: tuple[Lead, ...] = ()


@dataclass(frozen=True)
class Trace:
    """One forward pass.  `values` is false when only shapes were recorded.  `remarks` are
    sentences about the recording that a reader should know.  `symbols`, `constraints` and `costs`
    (in parallel to the steps) belong to the formulas of `TensorNote.dims`; without these they are
    empty.  `warnings` are the steps that ran and are suspicious.  `chapters` follow each other
    without a gap; they and the `story` are those of a lesson.  `letters` are what the dimensions
    of inputs are called, as `("x", "B C H W")`, of those of which somebody said it."""

    name: str
    steps: tuple[Step, ...]
    calls: tuple[Call, ...]
    inputs: tuple[TensorNote, ...]
    outputs: tuple[TensorNote, ...]
    failure: Failure | None
    sources: tuple[Source, ...]
    remarks: tuple[Said, ...]
    values: bool
    training: bool
    parameters: int
    seconds: float
    torch: str
    symbols: tuple[Symbol, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    costs: tuple[Cost, ...] = ()
    warnings: tuple[Warning, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    story: Story | None = None
    letters: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        count = len(self.steps)
        steps = f"{count:,} step{'s' * (count != 1)}"
        if self.failure is not None:
            error = f"{self.failure.type}: {_first_line(self.failure.message)}"
            return f"Trace {self.name}: {steps}, {_shapes(self.inputs)} → failed, {error}"
        return f"Trace {self.name}: {steps}, {_shapes(self.inputs)} → {_shapes(self.outputs)}"

    def __str__(self) -> str:
        return self.text()

    def __bool__(self) -> bool:
        return True  # also of a run without steps

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    @typing.overload
    def __getitem__(self, key: int) -> Step: ...
    @typing.overload
    def __getitem__(self, key: slice) -> tuple[Step, ...]: ...
    @typing.overload
    def __getitem__(self, key: str) -> Call | Step: ...
    def __getitem__(self, key: int | slice | str) -> Call | Step | tuple[Step, ...]:
        """A step by its number, several by a slice; by its qualified name the first call of a
        module (a layer of torch.nn is one step), by `name:2` the second.

        Raises:
            IndexError: there is no such step.
            KeyError: no module of this name ran, or not so often; names like it are given.
        """
        if not isinstance(key, str):
            return self.steps[key]
        name, colon, number = key.rpartition(":")
        if not (colon and number.isdecimal()):
            name, number = key, "1"
        found = self._runs(name)
        if 1 <= int(number) <= len(found):
            return found[int(number) - 1]
        if found:
            raise KeyError(f"{name!r} ran {len(found)} times: {number} is none of them.")
        known = list(dict.fromkeys([*(c.module for c in self.calls), *(s.module for s in self)]))
        close = (
            difflib.get_close_matches(name, known, 3, 0.5)
            or [each for each in known if name in each][:3]
        )
        near = f"; near it are {', '.join(map(repr, close))}" if close else ""
        raise KeyError(f"No module {name!r} ran{near}.")

    def _runs(self, name: str) -> list[Call | Step]:
        """The calls of a module, or the steps that are calls of a layer of torch.nn."""
        calls: list[Call | Step] = [call for call in self.calls if call.module == name]
        return calls or [s for s in self.steps if s.module == name and s.op.startswith("nn.")]

    def filter(self, op: str | None = None, module: str | None = None) -> tuple[Step, ...]:
        """The steps of these operations and modules.

        Args:
            op: `torch.matmul`, `matmul` or a pattern such as `*pool*`.
            module: a module's qualified name, which stands for all inside it too, or a pattern
                such as `layers.*.attn`.
        """

        def fits(step: Step) -> bool:
            names = (step.op, step.op.rpartition(".")[2])
            path = step.module.split(".")
            outer = [".".join(path[:end]) for end in range(len(path) + 1)]
            return (op is None or any(fnmatch.fnmatchcase(n, op) for n in names)) and (
                module is None or any(fnmatch.fnmatchcase(n, module) for n in outer)
            )

        return tuple(step for step in self.steps if fits(step))

    def text(self, symbols: bool = False, width: int = 100) -> str:
        """The source of all that ran with every shape beside it; formulas with `symbols`."""
        return str(_rendered("text", self, symbols=symbols, width=width))

    def markdown(self) -> str:
        """The steps as a Markdown table."""
        return str(_rendered("markdown", self))

    def mermaid(self, call: int | None = None) -> str:
        """The graph of the run, or of the inside of one call, for Mermaid.

        Raises:
            IndexError: there is no such call.
            ValueError: it is too large to be drawn.
        """
        return str(_rendered("mermaid", self, call=call))

    def summary(self, depth: int | None = None) -> Any:
        """The modules as a tree with shapes, parameters, FLOPs and bytes, down to `depth`, and the
        totals: see `tracer.views.summary.Summary`."""
        return _rendered("summary", self, depth=depth)

    def records(self) -> list[dict[str, Any]]:
        """One dictionary of plain values for each step."""
        found: list[dict[str, Any]] = _rendered("records", self)
        return found

    def to_dataframe(self) -> Any:
        """The records as a `pandas.DataFrame`.

        Raises:
            ImportError: pandas is not installed.
        """
        return _rendered("dataframe", self)

    def walk(self) -> Iterator[Step]:
        """Every step, each before its children."""
        stack = list(reversed(self.steps))
        while stack:
            step = stack.pop()
            yield step
            stack.extend(reversed(step.children))

    def tensors(self) -> dict[int, TensorNote]:
        """Every tensor that the trace mentions, by id."""
        found: dict[int, TensorNote] = {}

        def keep(notes: tuple[TensorNote, ...]) -> None:
            for note in notes:
                found.setdefault(note.id, note)

        keep(self.inputs)
        for call in self.calls:
            keep(call.inputs)
        for step in self.walk():
            keep(step.inputs)
            keep(step.outputs)
        for call in self.calls:
            keep(call.outputs)
        keep(self.outputs)
        if self.failure is not None:
            if self.failure.step is not None:
                keep(self.failure.step.inputs)
            keep(tuple(operand.note for operand in self.failure.operands))
            if self.failure.root is not None:
                keep(self.failure.root.tensors)
            for link in self.failure.chain:
                keep(link.tensors)
        return found

    def to_json(self) -> str:
        """The trace as one JSON document; `Trace.from_json` reads it back unchanged."""
        body = {
            "format": FORMAT,
            "schema": SCHEMA,
            "tensors": [_pack_fields(note) for note in self.tensors().values()],
            "trace": _pack_fields(self),
        }
        # ASCII, since a name or a message may hold a lone surrogate, which no encoding takes.
        return json.dumps(body, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Trace:
        """Read what `to_json` wrote.

        Raises:
            TraceFileError: the text is no trace, is damaged, or has a newer schema.
        """
        try:
            body = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise TraceFileError(
                said("This is not a trace file: it is not JSON (`{error}`).", error=_short(error))
            ) from error
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise TraceFileError(
                said('This is not a trace file: it has no `"format": "{format}"`.', format=FORMAT)
            )
        schema = body.get("schema")
        if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
            raise TraceFileError(
                said("The trace file is damaged: its schema is `{short}`.", short=_short(schema))
            )
        if schema > SCHEMA:
            raise TraceFileError(
                said(
                    "The trace file has schema {schema}, newer than the {known} "
                    "that this version reads: update Shapewalk to open it.",
                    schema=schema,
                    known=SCHEMA,
                )
            )
        return _Reader(schema).trace(body)

    def save(self, path: str | Path) -> None:
        """Write the trace to `path` as JSON (UTF-8)."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    def to_html(self, language: str = "en") -> str:
        """The trace with its player as one self-contained HTML page, told in that language.

        Raises:
            ValueError: it is none of `tracer.language.LANGUAGES`.
        """
        return str(_rendered("page", self, language=language))

    def _repr_html_(self) -> str:
        return str(_rendered("notebook", self))


RENDERERS: dict[str, str] = {}
"""Who draws a trace as what: `module:function`, loaded when it is first asked for.  The views enter
themselves, so that this file knows none of them."""


def _rendered(what: str, trace: Trace, **how: Any) -> Any:
    module, _, function = RENDERERS[what].partition(":")
    return getattr(importlib.import_module(module), function)(trace, **how)


def with_notes(trace: Trace, notes: Mapping[int, TensorNote]) -> Trace:
    """The trace with the tensors of these ids replaced."""

    def renewed(value: Any) -> Any:
        if isinstance(value, TensorNote):
            return notes.get(value.id, value)
        if isinstance(value, tuple):
            return tuple(renewed(item) for item in value)
        if isinstance(value, Trace | Step | Call | Failure | Operand | Root):
            holders = (tuple, TensorNote, Step, Failure, Root)
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return dataclasses.replace(
                value,
                **{
                    name: renewed(each)
                    for name, each in fields.items()
                    if isinstance(each, holders)
                },
            )
        return value

    changed: Trace = renewed(trace)
    return changed


def load(path: str | Path) -> Trace:
    """Read a trace that `Trace.save` wrote.

    Raises:
        TraceFileError: the file is missing, damaged, no trace, or of a newer schema.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TraceFileError(said("There is no file {path}.", path=str(path))) from error
    except (OSError, ValueError) as error:
        raise TraceFileError(
            said("{path} cannot be read as text: {error}.", path=str(path), error=str(error))
        ) from error
    return Trace.from_json(text)


# --- JSON -----------------------------------------------------------------------------------


_PLAIN = frozenset({int, float, str, bool, NoneType})


def _pack(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple:
        return [_pack(item) for item in value]
    if isinstance(value, TensorNote):
        return value.id
    if isinstance(value, Bound):
        return [[name, _pack_value(each)] for name, each in value.pairs]
    if isinstance(value, Said):
        return _pack_said(value)
    if dataclasses.is_dataclass(value):
        return _pack_fields(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


def _pack_fields(value: Any) -> dict[str, Any]:
    kind: Any = type(value)
    return {name: _pack(getattr(value, name)) for name in _names(kind)}


@functools.cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(each.name for each in dataclasses.fields(kind))


def _pack_value(value: Value) -> Any:
    """An argument: what JSON has no word for is an object with one key."""
    if isinstance(value, tuple):
        return [_pack_value(item) for item in value]
    if isinstance(value, TensorAt):
        return {"tensor": value.index}
    if isinstance(value, Slice):
        return {"slice": [_pack_value(part) for part in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": None}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def _pack_said(sentence: Said) -> Any:
    return [sentence.text, {name: _pack_filling(value) for name, value in sentence.values}]


def said_to_json(sentence: Said) -> Any:
    """A sentence as JSON has it; `said_from_json` reads it back."""
    return _pack_said(sentence)


def said_from_json(value: Any) -> Said:
    """Read what `said_to_json` wrote.

    Raises:
        TraceFileError: it is no sentence.
    """
    return _Reader(SCHEMA).read_said(value, "the sentence", 0)


def _pack_filling(value: Filling) -> Any:
    """What goes into a sentence: what is no number and no text is an object with one key."""
    if isinstance(value, SizeAt):
        return {"size": [value.operand, value.dim, value.size]}
    if isinstance(value, ShapeOf):
        return {"shape": [value.operand, *value.shape]}
    if isinstance(value, Count):
        return {"count": [value.number, value.thing]}
    if isinstance(value, Said):
        return {"said": _pack_said(value)}
    if isinstance(value, tuple):
        return [_pack_filling(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _short(value: object) -> str:
    try:
        text = str(value) if isinstance(value, Exception) else repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = "a very large number"
    return text if len(text) <= 60 else text[:57] + "..."


def _told_before(failure: dict[str, Any]) -> dict[str, Any]:
    """What files older than schema 4 had written out in words."""
    rule, reason = (str(failure.get(name, "")) for name in ("rule", "reason"))
    return {
        "kind": "",
        "says": _pack_said(as_written(rule)),
        "because": [_pack_said(as_written(reason))] if reason else [],
    }


def _fix_before(fix: dict[str, Any]) -> dict[str, Any]:
    """Files older than schema 5 had a fix written out in words."""
    caveat = fix.get("caveat")
    says = _pack_said(as_written(str(fix.get("summary", ""))))
    notes = [_pack_said(as_written(str(caveat)))] if caveat else []
    return {**fix, "says": says, "notes": notes, "inputs": []}


# One object each: NaN is equal to itself alone.
_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_HINTS: dict[type, dict[str, Any]] = {}


def _hints(cls: type) -> dict[str, Any]:
    if cls not in _HINTS:
        hints = typing.get_type_hints(cls)
        _HINTS[cls] = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    return _HINTS[cls]


def _references(value: Bound | Value) -> Iterator[int | None]:
    """The tensors that an argument points to."""
    if isinstance(value, TensorAt):
        yield value.index
    elif isinstance(value, Bound):
        for _, each in value.pairs:
            yield from _references(each)
    elif isinstance(value, tuple | Slice):
        parts = value if isinstance(value, tuple) else (value.start, value.stop, value.step)
        for part in parts:
            yield from _references(part)


class _Reader:
    """Checks every value of a file against the type hints above while it builds the objects."""

    def __init__(self, schema: int) -> None:
        self.schema = schema
        self.notes: dict[int, TensorNote] = {}

    def trace(self, body: dict[str, Any]) -> Trace:
        tensors = body.get("tensors")
        if not isinstance(tensors, list):
            self.fail("tensors", said("a list"), tensors)
        for position, item in enumerate(tensors):
            note = self.fields(TensorNote, item, f"tensors[{position}]", 0)
            self.check_heatmap(note.heatmap, f"tensors[{position}].heatmap")
            self.check_corner(note, f"tensors[{position}].corner")
            if any(size < 0 for size in note.shape):
                raise TraceFileError(
                    said(
                        "The trace file is damaged: tensors[{position}].shape is {shape}.",
                        position=position,
                        shape=str(note.shape),
                    )
                )
            if len(note.dims) not in (0, len(note.shape)):
                raise TraceFileError(
                    said(
                        "The trace file is damaged: tensors[{position}] has {count} "
                        "formulas for {count_2} dimensions.",
                        position=position,
                        count=len(note.dims),
                        count_2=len(note.shape),
                    )
                )
            self.notes[note.id] = note
        self.check_size(body.get("trace"))
        trace: Trace = self.fields(Trace, body.get("trace"), "trace", 0)
        self.check_references(trace)
        return trace

    def check_size(self, trace: object) -> None:
        """Counts the steps before anything is built of them."""
        pending, count = [trace], 0
        while pending:
            item = pending.pop()
            if isinstance(item, dict):
                for key in ("steps", "children"):
                    inner = item.get(key)
                    if isinstance(inner, list):
                        count += len(inner)
                        pending.extend(inner)
            if count > MAX_STEPS:
                raise TraceFileError(
                    said(
                        "The trace file has more than {most} steps, the limit of this version.",
                        most=f"{MAX_STEPS:,}",
                    )
                )

    def fail(self, where: str, wanted: Said, found: object) -> typing.NoReturn:
        raise TraceFileError(
            said(
                "The trace file is damaged: {where} should be {wanted}, found {short}.",
                where=where,
                wanted=wanted,
                short=_short(found),
            )
        )

    def fields(self, cls: type, value: object, where: str, depth: int) -> Any:
        if not isinstance(value, dict):
            self.fail(where, said("an object"), value)
        if depth > MAX_DEPTH:
            raise TraceFileError(
                said("The trace file is damaged: its steps are nested too deeply.")
            )
        hints = _hints(cls)
        if self.schema < SCHEMA:
            # What a later schema added has a default.
            hints = {
                field.name: hints[field.name]
                for field in dataclasses.fields(cls)
                if field.name in value or field.default is dataclasses.MISSING
            }
        if cls is Failure and self.schema < 4 and value.get("rule"):
            value = {**value, "violation": _told_before(value)}
            hints["violation"] = Violation
        if cls is Constraint and self.schema < 8:
            value = {**value, "says": _pack_said(as_written(str(value.get("words", ""))))}
        if cls is Trace and self.schema < 8 and isinstance(value.get("remarks"), list):
            remarks = [_pack_said(as_written(str(each))) for each in value["remarks"]]
            value = {**value, "remarks": remarks}
        if cls is Warning and self.schema < 6:
            value = {**value, "because": _pack_said(as_written(str(value.get("reason", ""))))}
        if cls is Root and self.schema < 4:
            value = {**value, "because": _pack_said(as_written(str(value.get("why", ""))))}
        if cls is Fix and self.schema < 5:
            value = _fix_before(value)
            hints = _hints(cls)
        missing = hints.keys() - value.keys()
        if missing:
            raise TraceFileError(
                said(
                    "The trace file is damaged: {where} has no {names}.",
                    where=where,
                    names=", ".join(sorted(missing)),
                )
            )
        return cls(
            **{
                name: self.read(hint, value[name], f"{where}.{name}", depth + 1)
                for name, hint in hints.items()
            }
        )

    def read(self, hint: Any, value: Any, where: str, depth: int) -> Any:
        if hint is TensorNote:
            if type(value) is not int or value not in self.notes:
                self.fail(where, said("the id of a tensor"), value)
            return self.notes[value]
        if hint is object:
            return value
        if hint is Bound:
            return self.read_bound(value, where, depth)
        if hint is Said:
            return self.read_said(value, where, depth)
        if dataclasses.is_dataclass(hint):
            return self.fields(typing.cast(type, hint), value, where, depth)
        origin = typing.get_origin(hint)
        if origin in (typing.Union, types.UnionType):
            if value is None:
                return None
            (only,) = [part for part in typing.get_args(hint) if part is not type(None)]
            return self.read(only, value, where, depth)
        if origin is tuple:
            return self.read_tuple(typing.get_args(hint), value, where, depth)
        if hint is bytes:
            if not isinstance(value, str):
                self.fail(where, said("text"), value)
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                self.fail(where, said("base64 text"), value)
        if hint is float:
            try:
                number = float(value) if type(value) in (int, float) else math.nan
            except OverflowError:
                number = math.nan
            if not math.isfinite(number):
                self.fail(where, said("a finite number"), value)
            return number
        if type(value) is not hint:
            wanted = {
                int: said("a whole number"),
                str: said("text"),
                bool: said("true or false"),
            }[hint]
            self.fail(where, wanted, value)
        return value

    def read_said(self, value: Any, where: str, depth: int) -> Said:
        if depth > MAX_DEPTH:
            raise TraceFileError(
                said("The trace file is damaged: {where} is nested too deeply.", where=where)
            )
        if not isinstance(value, list) or [type(part) for part in value] != [str, dict]:
            self.fail(where, said("a sentence: a text and what goes into it"), value)
        text, values = value
        try:
            missing = gaps(text) - values.keys()
        except ValueError:
            self.fail(where, said("a sentence whose braces match"), text)
        if missing:
            raise TraceFileError(
                said(
                    "The trace file is damaged: {where} has no {names}.",
                    where=where,
                    names=", ".join(sorted(missing)),
                )
            )
        return Said(
            text,
            tuple(
                (name, self.read_filling(item, f"{where}.{name}", depth + 1))
                for name, item in values.items()
            ),
        )

    def read_filling(self, value: Any, where: str, depth: int) -> Filling:
        if value is None or type(value) in (bool, int, float, str):
            return value  # type: ignore[no-any-return]
        if isinstance(value, list) and depth <= MAX_DEPTH:
            return tuple(self.read_filling(item, where, depth + 1) for item in value)
        if isinstance(value, dict) and len(value) == 1:
            ((kind, parts),) = value.items()
            types = [type(part) for part in parts] if isinstance(parts, list) else []
            if kind == "size" and types == [int, int, int]:
                return SizeAt(*parts)
            if kind == "count" and types == [int, str]:
                return Count(number=parts[0], thing=parts[1])
            whole = bool(types) and set(types[1:]) <= {int} and types[0] in (int, type(None))
            if kind == "shape" and whole:
                return ShapeOf(tuple(parts[1:]), parts[0])
            if kind == "said":
                return self.read_said(parts, where, depth)
        self.fail(
            where, said("a number, a text, or an object with size, shape, count or said"), value
        )

    def read_bound(self, value: Any, where: str, depth: int) -> Bound:
        pairs = self.read_tuple((tuple[str, object], Ellipsis), value, where, depth)
        return Bound(
            tuple([(name, self.read_value(v, f"{where}.{name}", depth)) for name, v in pairs])
        )

    def read_value(self, value: Any, where: str, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise TraceFileError(
                said("The trace file is damaged: {where} is nested too deeply.", where=where)
            )
        if value is None or type(value) in (bool, int, float, str):
            if type(value) is float and not math.isfinite(value):
                self.fail(where, said("a finite number"), value)
            return value  # type: ignore[no-any-return]
        if isinstance(value, list):
            return tuple(
                self.read_value(item, f"{where}[{position}]", depth + 1)
                for position, item in enumerate(value)
            )
        if isinstance(value, dict):
            index = value.get("tensor", ...)
            if index is None or type(index) is int:
                return TensorAt(index)
            parts = value.get("slice")
            if isinstance(parts, list) and len(parts) == 3:
                return Slice(*(self.read_value(part, where, depth + 1) for part in parts))
            if "ellipsis" in value:
                return Ellipsis
            number = value.get("float")
            if isinstance(number, str) and number in _NOT_FINITE:
                return _NOT_FINITE[number]
        self.fail(
            where, said("an argument (or an object with tensor, slice, ellipsis or float)"), value
        )

    def read_tuple(self, parts: tuple[Any, ...], value: Any, where: str, depth: int) -> Any:
        if not isinstance(value, list):
            self.fail(where, said("a list"), value)
        if len(parts) == 2 and parts[1] is Ellipsis:
            parts = (parts[0],) * len(value)
        if len(parts) != len(value):
            self.fail(where, said("a list of {count}", count=len(parts)), value)
        return tuple(
            self.read(part, item, f"{where}[{position}]", depth)
            for position, (part, item) in enumerate(zip(parts, value, strict=True))
        )

    def check_heatmap(self, heatmap: Heatmap | None, where: str) -> None:
        if heatmap is None:
            return
        inside = 0 <= heatmap.rows <= MAX_SIDE and 0 <= heatmap.columns <= MAX_SIDE
        if not inside or len(heatmap.cells) != 4 * heatmap.rows * heatmap.columns:
            raise TraceFileError(
                said(
                    "The trace file is damaged: {where} has {count} bytes for "
                    "{rows} × {columns} cells.",
                    where=where,
                    count=len(heatmap.cells),
                    rows=heatmap.rows,
                    columns=heatmap.columns,
                )
            )

    def check_corner(self, note: TensorNote, where: str) -> None:
        corner = note.corner
        if corner is None:
            return
        inside = len(corner.shape) == len(note.shape) and all(own > 0 for own in corner.shape)
        if not inside or len(corner.cells) != 4 * math.prod(corner.shape):
            raise TraceFileError(
                said(
                    "The trace file is damaged: {where} has {count} bytes for the first {shape} of "
                    "{whole}.",
                    where=where,
                    count=len(corner.cells),
                    shape=str(corner.shape),
                    whole=str(note.shape),
                )
            )

    # long: one check for each kind of reference that a file may hold
    def check_references(self, trace: Trace) -> None:
        def inside(number: int | None, count: int, where: str) -> None:
            if number is not None and not 0 <= number < count:
                raise TraceFileError(
                    said(
                        "The trace file is damaged: {where} is {number}, outside 0 to {size}.",
                        where=where,
                        number=number,
                        size=count - 1,
                    )
                )

        def place(place: Place, where: str) -> None:
            inside(place.source, len(trace.sources), f"{where}.source")

        if not trace.calls:
            raise TraceFileError(said("The trace file is damaged: it has no calls."))
        for position, step in enumerate(trace.steps):
            if step.index != position:
                raise TraceFileError(
                    said(
                        "The trace file is damaged: steps[{position}].index is {index}.",
                        position=position,
                        index=step.index,
                    )
                )
        for step in trace.walk():
            place(step.place, "step.place")
            inside(step.call, len(trace.calls), "step.call")
            for child, inner in enumerate(step.children):
                if inner.index != child:
                    raise TraceFileError(
                        said(
                            "The trace file is damaged: a child's index is {index}.",
                            index=inner.index,
                        )
                    )
            for index in _references(step.bound):
                inside(index, len(step.inputs), "step.bound")
            for _, note in step.names:
                if note not in self.notes:
                    self.fail("step.names", said("the id of a tensor"), note)
        for position, call in enumerate(trace.calls):
            place(call.place, f"calls[{position}].place")
            if call.index != position:
                raise TraceFileError(
                    said(
                        "The trace file is damaged: calls[{position}].index is {index}.",
                        position=position,
                        index=call.index,
                    )
                )
            if call.parent is not None and not 0 <= call.parent < position:
                raise TraceFileError(
                    said(
                        "The trace file is damaged: calls[{position}].parent is {parent}.",
                        position=position,
                        parent=call.parent,
                    )
                )
            if not 0 <= call.start <= call.stop <= len(trace.steps):
                raise TraceFileError(
                    said(
                        "The trace file is damaged: calls[{position}] spans steps "
                        "{start} to {stop}.",
                        position=position,
                        start=call.start,
                        stop=call.stop,
                    )
                )
        if len(trace.costs) not in (0, len(trace.steps)):
            raise TraceFileError(
                said(
                    "The trace file is damaged: it has {count} costs for {count_2} steps.",
                    count=len(trace.costs),
                    count_2=len(trace.steps),
                )
            )
        for position, constraint in enumerate(trace.constraints):
            inside(constraint.step, len(trace.steps), f"constraints[{position}].step")
        for noted in self.notes.values():
            inside(noted.born, len(trace.steps), f"tensor {noted.id}.born")
        for position, warning in enumerate(trace.warnings):
            inside(warning.step, len(trace.steps), f"warnings[{position}].step")
        reached = 0
        for position, chapter in enumerate(trace.chapters):
            if not reached <= chapter.start < chapter.stop <= len(trace.steps):
                raise TraceFileError(
                    said(
                        "The trace file is damaged: chapters[{position}] spans steps "
                        "{start} to {stop}.",
                        position=position,
                        start=chapter.start,
                        stop=chapter.stop,
                    )
                )
            reached = chapter.stop
        if trace.failure is not None:
            place(trace.failure.place, "failure.place")
            if trace.failure.root is not None:
                place(trace.failure.root.place, "failure.root.place")
                inside(trace.failure.root.step, len(trace.steps), "failure.root.step")
            for link in trace.failure.chain:
                place(link.place, "failure.chain.place")
                inside(link.step, len(trace.steps), "failure.chain.step")
            for history in trace.failure.histories:
                for term in history.term.walk():
                    place(term.place, "failure.histories.place")
                    inside(term.step, len(trace.steps), "failure.histories.step")
                try:
                    history.term.at(history.apart or ())
                except IndexError as error:
                    raise TraceFileError(
                        said("The trace file is damaged: a history parts where it has no term.")
                    ) from error
            if trace.failure.step is not None and trace.failure.step not in trace.steps[-1:]:
                raise TraceFileError(
                    said("The trace file is damaged: its failure is not its last step.")
                )
