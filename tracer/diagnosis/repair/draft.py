"""One edit that may mend a failure, before anything of it has run."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from tracer.diagnosis.repair.bench import Change
from tracer.diagnosis.repair.places import Spot
from tracer.diagnosis.repair.world import walk
from tracer.document import Edit, Span, with_edits
from tracer.sentences import Said, said
from tracer.source.text import Text

_CALLS = re.compile(r"\.shape\b|[\w\])]\(|[\w\])]\[| [-+*/@%&|]+ ")
"""What may be a call of torch: a size that is read, a call, an index, an operator."""

InputChange = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]


@dataclass(frozen=True)
class Draft:
    """An edit of the source, or of the inputs.

    `kind` is the production of the grammar that made it, `what` says what it is for; `old` and
    `new` are what it takes away and writes.  `fits` says whether the failing operation alone would
    take the edited operand, None where that cannot be told.  `inputs` are pairs of an argument's
    name and the expression that stands in its place, `change` does that to a call's arguments.
    Of a `group` the first that runs is enough.  `stand_in` does to a model what edits of its
    constructors do, see `Program.change`.  `recipe` is how sound those who know the kind of
    program hold it, 0 best, None where they do not know it, see `Candidate.rank`; `source` is
    which of them, `place` how many he holds for sounder; `notes` are what they say of it.
    `number` is the whole number that it writes, as a literal or in names.
    """

    kind: str
    what: Said
    edits: tuple[Edit, ...]
    spot: Spot
    old: str
    new: str
    fits: bool | None = None
    inputs: tuple[tuple[str, str], ...] = ()
    change: InputChange | None = field(default=None, compare=False)
    batches: bool = True
    constructs: bool | None = None
    stand_in: Change | None = field(default=None, compare=False)
    group: str = ""
    recipe: int | None = None
    source: str = ""
    place: int = 0
    notes: tuple[Said, ...] = ()
    number: int | None = None

    @property
    def rebuilds(self) -> bool:
        return self.spot.constructs if self.constructs is None else self.constructs

    @property
    def line(self) -> int:
        return self.edits[0].span.line if self.edits else 0

    @property
    def lines(self) -> set[tuple[str, int]]:
        """Of the text as it is, each with its file."""
        return {
            (edit.file, line)
            for edit in self.edits
            for line in range(edit.span.line, edit.span.end_line + 1)
        }

    @property
    def inputs_named(self) -> tuple[str, ...]:
        """The arguments that it changes before anything else is done."""
        if self.kind.startswith("entry_"):
            return (self.new.partition(" = ")[0],)
        return tuple(name for name, _ in self.inputs)

    @property
    def calls(self) -> int:
        """How many calls of torch it adds at most, each time that it runs."""
        added = Counter(_CALLS.findall(self.new)) - Counter(_CALLS.findall(self.old))
        return added.total() * max(1, len(self.edits))

    @property
    def summary(self) -> Said:
        if self.recipe is not None:
            return self.what
        if not self.edits:
            names = tuple(f"{name} = {text}" for name, text in self.inputs)
            return said("{what}: call the model with `{new}`", what=self.what, new=", ".join(names))
        old, new = _short(self.old), _short(self.new)
        values = {"what": self.what, "new": new, "old": old, "line": self.line}
        if not self.old:
            return said("{what}: `{new}` in line {line}", **values)
        if not self.new:
            return said("{what}: without `{old}` in line {line}", **values)
        if len(self.edits) > 1:
            lines = tuple(dict.fromkeys(edit.span.line for edit in self.edits))
            values["line"] = lines
            if len(lines) > 1:
                return said("{what}: `{new}` in the place of `{old}` in lines {line}", **values)
        return said("{what}: `{new}` in the place of `{old}` in line {line}", **values)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 90 else flat[:60] + " … " + flat[-25:]


def instead(
    spot: Spot, kind: str, what: Said, new: str, node: ast.AST | None = None, **more: Any
) -> Draft:
    """`new` in the place of a node, the spot's own if none is given."""
    text = spot.text
    node = spot.node if node is None else node
    return Draft(kind, what, (text.replace(node, new),), spot, text.of(node), new, **more)


def behind(spot: Spot, kind: str, what: Said, suffix: str, **more: Any) -> Draft:
    """The spot's expression with a suffix such as `.mean(1)`."""
    text = spot.text
    written = text.of(spot.node)
    edit = text.after(spot.node, suffix)
    bare = edit.replacement == suffix
    new = f"{written}{suffix}" if bare else edit.replacement
    return Draft(kind, what, (edit,), spot, written, new, **more)


def beside_too(draft: Draft) -> Draft | None:
    """The same behind each call of the same function in the statement, `split(k), split(v)`; None
    where there is no other."""
    text, node = draft.spot.text, draft.spot.node
    follows = bool(draft.old) and draft.new.startswith((f"{draft.old}.", f"{draft.old}["))
    if not isinstance(node, ast.Call) or len(draft.edits) != 1 or not follows:
        return None
    calls = same_calls(text, node)
    if len(calls) < 2:
        return None
    edits = tuple(text.after(each, draft.new[len(draft.old) :]) for each in calls)
    return replace(draft, kind=f"{draft.kind}_beside", edits=edits, fits=None)


def from_here_on(draft: Draft) -> Draft | None:
    """The same of a name for all that follows, `batch = batch[kept]`, as a statement before the
    spot's own; None where nothing else reads the name."""
    text, node = draft.spot.text, draft.spot.node
    statement, function = text.statement(node), text.function(node)
    if not isinstance(node, ast.Name) or len(draft.edits) != 1 or draft.old != node.id:
        return None
    if not isinstance(statement, ast.stmt) or function is None:
        return None
    inside = walk(statement)
    if not any(
        isinstance(each, ast.Name) and each.id == node.id and each not in inside
        for each in walk(function)
    ):
        return None
    at = text.span(statement)
    if text.lines[at.line - 1][: at.column].strip():  # behind another on its line
        return None
    new = f"{node.id} = {draft.new}"
    start = Span(at.line, at.column, at.line, at.column)
    edit = Edit(text.file, start, f"{new}\n{' ' * at.column}")
    return replace(draft, kind=f"{draft.kind}_kept", edits=(edit,), old="", new=new, fits=None)


def same_calls(text: Text, node: ast.Call) -> list[ast.Call]:
    """The calls of the same function in a call's statement, itself among them."""
    statement, func = text.statement(node), text.of(node.func)
    return [
        each
        for each in (walk(statement) if statement is not None else ())
        if isinstance(each, ast.Call) and text.of(each.func) == func
    ]


def written_with(text: Text, outer: ast.expr, nodes: Iterable[ast.AST], new: str) -> str:
    """The text of an expression with `new` in the place of each of these nodes in it."""
    around = text.span(outer)
    edits = []
    for node in nodes:
        at = text.span(node)
        first, last = at.line == around.line, at.end_line == around.line
        span = Span(
            at.line - around.line + 1,
            at.column - around.column * first,
            at.end_line - around.line + 1,
            at.end_column - around.column * last,
        )
        edits.append(Edit(text.file, span, new))
    return with_edits(text.of(outer), edits)


def bracketed(text: Text, node: ast.AST) -> str:
    """A node's text as it can stand before a `.` or an operator."""
    written = text.of(node)
    if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant):
        return written
    return f"({written})"


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def everywhere(draft: Draft) -> Draft | None:
    """The same edit wherever its function writes the same expression; None when it is once."""
    text, node = draft.spot.text, draft.spot.node
    function = text.function(node)
    if function is None or len(draft.edits) != 1 or not draft.old:
        return None
    written = text.of(node)
    own = text.span(node)
    if draft.old != written:
        return None
    edits = []
    for other in walk(function):
        if type(other) is type(node) and isinstance(other, ast.expr):
            stored = isinstance(getattr(other, "ctx", None), ast.Store)
            if not stored and text.of(other) == written:
                edits.append(text.replace(other, draft.new))
    if len(edits) < 2 or not any(edit.span == own for edit in edits):
        return None
    return Draft(
        draft.kind + "_all",
        draft.what,
        tuple(edits),
        draft.spot,
        draft.old,
        draft.new,
        constructs=draft.constructs,
        number=draft.number,
    )
