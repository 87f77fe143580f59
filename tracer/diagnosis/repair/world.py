"""What is known of a failed run at each place of its source: the values of names, the shapes of
expressions, which statements ran, and the numbers that are at odds."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import math
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tracer.diagnosis.finding import Finding
from tracer.diagnosis.fixes_scene import evaluate
from tracer.diagnosis.repair.watched import Scope, Watched
from tracer.diagnosis.roots import lineage
from tracer.document import Failure, Place, Span, Step, TensorNote, Term
from tracer.record.crash import Crash, Frame
from tracer.record.tensors import tensors_in
from tracer.source.built import of_user
from tracer.source.text import Text, called, code_of, text_of
from tracer.source.values import Unknown, value_of

_LOST = (LookupError, ArithmeticError, TypeError, ValueError, AttributeError, RuntimeError)


class World:
    """One failure with all that can be looked up about it."""

    def __init__(
        self, crash: Crash, finding: Finding, failure: Failure, built: Watched, run: Watched
    ) -> None:
        self.crash = crash
        self.finding = finding
        self.failure = failure
        self.built = built
        self.run = run
        self.steps: dict[tuple[str, Any], Step] = {}
        self.notes: dict[int, TensorNote] = {}
        for step in crash.trace.steps:
            self._enter(step)
        self.numbers: dict[object, dict[str, int]] = {}  # at hand at a statement
        self.tables: dict[object, list[dict[str, int]]] = {}  # the same, each time that it ran
        self.partners: dict[object, list[tuple[str, Tensor]]] = {}
        self.unused: list[Any] | None = None  # functions that did not run
        self._scopes: dict[object, Scope] = {}
        self._values: dict[ast.AST, list[Any]] = {}
        self._spans: dict[str, dict[Any, ast.AST]] = {}
        self.texts = [
            text
            for file in dict.fromkeys([*sorted(files_of(crash)), *run.files, *built.files])
            if (text := text_of(file)) is not None
        ]

    def _enter(self, step: Step) -> None:
        self.steps[step.file, step.place.span] = step
        for note in (*step.inputs, *step.outputs):
            self.notes[note.id] = note
        for child in step.children:
            self._enter(child)

    # --- values ---

    def scopes(self, text: Text, node: ast.AST) -> Iterator[Scope]:
        """What names stood for where a node is written, the likeliest first."""
        frame = self.frame_of(text, node)
        if frame is not None and frame.place.span is not None:
            statement = text.statement(node)
            if statement is not None and statement.lineno <= frame.place.line:
                spanned = frame.place.statement_span
                if spanned is not None and spanned.line == statement.lineno:
                    below = next(self.run.scopes(text, node), self.run.module(text))
                    yield {**below, **frame.scope}
        yield from self.run.scopes(text, node)
        if frame is not None:
            yield frame.scope
        yield from self.built.scopes(text, node)
        yield {**self.built.module(text), **self.run.module(text)}

    def scope(self, text: Text, node: ast.AST) -> Scope:
        """The likeliest scope that has names of its own."""
        statement = text.statement(node)
        inner = text.around(node, (ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.Lambda))
        key = (text.file, statement, inner)
        if key not in self._scopes:
            self._scopes[key] = next(self.scopes(text, node), {})
        return self._scopes[key]

    def values(self, text: Text, node: ast.AST) -> list[Any]:
        """What an expression stood for, the likeliest first, each once where it is a number."""
        found = self._values.get(node)
        if found is None:
            found = self._values[node] = self._looked_up(text, node)
        return found

    def _looked_up(self, text: Text, node: ast.AST) -> list[Any]:
        found: list[Any] = []
        for scope in self.scopes(text, node):
            try:
                value = evaluate(node, dict(scope))
            except _LOST:
                value = _reckoned(node, scope)
                if value is None:
                    continue
            if not any(value is other or _equal(value, other) for other in found):
                found.append(value)
        return found

    def value(self, text: Text, node: ast.AST) -> Any:
        """The likeliest; None when it is not known."""
        return next(iter(self.values(text, node)), None)

    def at(self, text: Text, place: ast.AST, node: ast.AST) -> Any:
        """What an expression would stand for at another place; None when it is not known."""
        try:
            return evaluate(node, dict(self.scope(text, place)))
        except _LOST:
            return None

    def tensor(self, text: Text, node: ast.AST) -> Tensor | None:
        """A blank tensor of the shape and dtype that an expression had when it last ran."""
        if isinstance(node, ast.expr):
            step = self.steps.get((text.file, text.span(node)))
            if step is not None and step.outputs:
                return _empty(step.outputs[0])
            noted = self._named(text, node)
            if noted is not None:
                return _empty(noted)
        value = self.value(text, node)
        if isinstance(value, Tensor):
            return blank(value.shape, value.dtype)
        return None

    def live(self, text: Text, node: ast.AST) -> Tensor | None:
        """The very tensor of the failed run, for a name in a frame that the error passed."""
        frame = self.frame_of(text, node)
        if frame is None:
            return None
        try:
            value = evaluate(node, dict(frame.scope))
        except _LOST:
            return None
        return value if isinstance(value, Tensor) else None

    @functools.cached_property
    def given(self) -> list[Tensor]:
        """The tensors that the model was called with."""
        return tensors_in((self.crash.args, self.crash.kwargs))

    def lacks_batch(self, text: Text, node: ast.AST, name: str) -> bool:
        """Whether a name is the one tensor that the model was called with: a dimension in front of
        it is the batch that it lacked."""
        frame = self.frame_of(text, node)
        value = frame.scope.get(name) if frame is not None else None
        return len(self.given) == 1 and value is self.given[0]

    def _named(self, text: Text, node: ast.expr) -> TensorNote | None:
        """Of a name or attribute that a recorded statement reads."""
        if not isinstance(node, ast.Name | ast.Attribute):
            return None
        for step in self._by_statement.get((text.file, _line(text, node)), ()):
            for name, note in step.names:
                if name == text.of(node) and note in self.notes:
                    return self.notes[note]
        return None

    @functools.cached_property
    def _by_statement(self) -> dict[tuple[str, int], list[Step]]:
        found: dict[tuple[str, int], list[Step]] = {}
        for step in reversed(self.crash.trace.steps):
            span = step.place.statement_span
            if span is not None:
                found.setdefault((step.file, span.line), []).append(step)
        return found

    @functools.cached_property
    def calls(self) -> dict[str, list[tuple[Text, ast.Call]]]:
        """The calls in the texts, by the name of what is called, `map(f, …)` with those of f."""
        found: dict[str, list[tuple[Text, ast.Call]]] = {}
        for text in self.texts:
            for node in walk(text.tree):
                if isinstance(node, ast.Call):
                    name = called(node)
                    first = node.args[0] if node.args else None
                    if name in ("map", "partial") and isinstance(first, ast.Name):
                        name = first.id
                    found.setdefault(name, []).append((text, node))
        return found

    @functools.cached_property
    def read(self) -> frozenset[str]:
        """The attributes that the texts read somewhere."""
        nodes = [node for text in self.texts for node in walk(text.tree)]
        return frozenset(
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
        )

    # --- frames and functions ---

    @functools.cached_property
    def frames(self) -> list[tuple[Text, ast.AST, Frame]]:
        """The failing expression of each frame, the innermost first."""
        found = []
        for frame in reversed(self.crash.frames):
            text = text_of(frame.place.file)
            node = text.at(frame.place.span) if text is not None else None
            if text is not None and node is not None:
                found.append((text, node, frame))
        return found

    def frame_of(self, text: Text, node: ast.AST) -> Frame | None:
        """The frame in whose function a node is written."""
        function = text.function(node)
        if function is None:
            return None
        for other, failing, frame in self.frames:
            if other is text and other.function(failing) is function:
                return frame
        return None

    def runs(self, text: Text, node: ast.AST) -> bool:
        """Whether a statement is known to have run, or nothing is known of its function."""
        if self.run.executed(text, node) or self.built.executed(text, node):
            return True
        function = text.function(node)
        if function is None:
            return True
        lines = {line for file, line in self.run.ran | self.built.ran if file == text.file}
        first, last = function.lineno, function.end_lineno or function.lineno
        inside = any(first < line <= last for line in lines)
        return not inside

    def ran(self, text: Text, function: ast.FunctionDef) -> bool:
        """Whether a function is known to have run."""
        return any(
            self.run.executed(text, each) or self.built.executed(text, each)
            for each in function.body
        )

    def constructs(self, text: Text, node: ast.AST) -> bool:
        """Whether a node runs while the model is built, so that an edit asks to build it anew."""
        function = text.function(node)
        if function is None:
            return True
        if any(item is node for item in walk(function.args)):  # a default
            return True
        return function not in self._running

    @functools.cached_property
    def _running(self) -> set[ast.AST]:
        """The functions that ran in the failed call and not while the model was built."""
        found: set[ast.AST] = set()
        for step in self.crash.trace.steps:
            text = text_of(step.file)
            node = text.statement_on(step.line) if text is not None else None
            if text is not None and node is not None:
                found.add(text.function(node))
        for where, failing, _ in self.frames:
            found.add(where.function(failing))
        return (found | _functions_on(self.run.ran)) - _functions_on(self.built.ran) - {None}

    @functools.cached_property
    def pointed(self) -> dict[str, frozenset[tuple[str, int]]]:
        """The lines, by file and number, that other parts of the diagnosis point at."""
        failure = self.failure
        partings = [each.parting for each in failure.histories]
        terms = [term for each in failure.histories for term in _terms(each.term)]
        links: dict[str, list[Place]] = {}
        for link in failure.chain:
            links.setdefault(f"at the {link.kind} of the chain", []).append(link.place)
        return {
            **{name: _lines(places) for name, places in links.items()},
            "at the root": _lines([failure.root.place] if failure.root is not None else []),
            "in the chain": _lines([link.place for link in failure.chain]),
            "at the parting": _lines([term.place for term in partings if term is not None]),
            "in the histories": _lines([term.place for term in terms]),
        }

    @functools.cached_property
    def wrong_inputs(self) -> frozenset[str]:
        """The inputs in which the sizes at odds begin."""
        found = set()
        trace, operands = self.crash.trace, self.failure.operands
        for mark in self.finding.marks:
            if mark.operand < len(operands) and mark.dim < len(operands[mark.operand].note.shape):
                note = operands[mark.operand].note
                for hop in lineage.back(trace, note, mark.dim):
                    note = hop.sources[0][0] if hop.sources else hop.note
                if note.kind == "input":
                    found.add(note.name)
        return frozenset(found)

    @functools.cached_property
    def told(self) -> dict[tuple[str, Span | None], None]:
        """The expressions on the chain and where the histories part, by file and span."""
        partings = [each.parting for each in self.failure.histories]
        places = [link.place for link in self.failure.chain]
        places += [term.place for term in partings if term is not None]
        return {(place.file, place.span): None for place in places}

    # --- numbers ---

    @functools.cached_property
    def swaps(self) -> dict[int, tuple[int, ...]]:
        """Numbers that are at odds: each with those that may stand in its place, the numbers
        that the broken rule names first."""
        found: dict[int, dict[int, None]] = {}

        def enter(have: int, want: int) -> None:
            if have != want and want > 0:
                found.setdefault(have, {})[want] = None

        for mark in self.finding.marks:
            if mark.wanted is not None:
                enter(mark.wanted, mark.size)
                enter(mark.size, mark.wanted)
        for have, want in _facts(self.finding):
            enter(have, want)
        for have, want in self._asked():
            enter(have, want)
        sizes = [mark.size for mark in self.finding.marks]
        for one in sizes:
            for other in sizes:
                enter(one, other)
        return {have: tuple(wants) for have, wants in found.items()}

    def _asked(self) -> Iterator[tuple[int, int]]:
        """Where a tensor has more or fewer elements than a shape that is asked for: for each size
        of the two that with which they would be as many."""
        asked = self.finding.facts.get("shape")
        if self.finding.kind not in ("numel", "heads") or not isinstance(asked, tuple):
            return
        if not self.failure.operands:
            return
        given = self.failure.operands[0].note.shape
        there = math.prod(given)
        fixed = math.prod(size for size in asked if isinstance(size, int) and size > 0)
        if not there or not fixed:
            return
        if -1 not in asked:
            for size in given:
                if size * fixed % there == 0:
                    yield size, size * fixed // there
            for size in asked:
                if size > 0 and size * there % fixed == 0:
                    yield size, size * there // fixed
            return
        for size in asked:
            if size > 1:
                for other in given:
                    if there % (fixed // size * other) == 0:
                        yield size, other
        for size in given:
            for times in (1, 2):
                if times * fixed * size % there == 0:
                    yield size, times * fixed * size // there


def _facts(finding: Finding) -> Iterator[tuple[int, int]]:
    """Pairs of a number and one that may have to stand in its place, as the rule's facts have
    them."""
    facts = {k: v for k, v in finding.facts.items() if type(v) is int}
    if "found" in facts and "wanted" in facts:
        yield facts["found"], facts["wanted"]
        yield facts["wanted"], facts["found"]
    if "high" in facts and "found" not in facts:
        for size in (mark.size for mark in finding.marks):
            yield size, facts["high"] + 1
    size, parts = facts.get("size", 0), facts.get("parts", 0)
    if size > 0 and parts > 1 and size % parts:
        near = sorted(
            (n for n in range(1, size + 1) if size % n == 0), key=lambda n: abs(n - parts)
        )
        for count in near[:4]:
            yield parts, count
        yield size, -(-size // parts) * parts
        yield size, size // parts * parts


def _lines(places: list[Place]) -> frozenset[tuple[str, int]]:
    found = {(place.file, place.line) for place in places}
    for place in places:
        if place.span is not None:
            found |= {(place.file, n) for n in range(place.span.line, place.span.end_line + 1)}
    return frozenset(found)


def _terms(term: Term) -> Iterator[Term]:
    yield term
    for part in term.parts:
        yield from _terms(part)


def _functions_on(lines: set[tuple[str, int]]) -> set[ast.AST]:
    found: set[ast.AST] = set()
    for file, line in lines:
        text = text_of(file)
        node = text.statement_on(line) if text is not None else None
        if text is not None and node is not None:
            found.add(text.function(node))
    return found


def files_of(crash: Crash) -> frozenset[str]:
    """The author's files that take part: those of the frames, the model's classes and `build`."""
    found = {frame.place.file for frame in crash.frames if frame.place.file}
    for module in crash.model.modules():
        for cls in type(module).__mro__:
            if cls is nn.Module or not issubclass(cls, nn.Module):
                continue
            for value in vars(cls).values():
                if isinstance(value, FunctionType) and of_user(value.__code__.co_filename):
                    found.add(value.__code__.co_filename)
    build = crash.build
    code = code_of(getattr(build, "func", build))
    if code is not None:
        found.add(code.co_filename)
    return frozenset(file for file in found if of_user(file))


@functools.lru_cache(maxsize=2000)
def walk(node: ast.AST) -> tuple[ast.AST, ...]:
    """The nodes below one, itself the first."""
    return tuple(ast.walk(node))


@functools.lru_cache(maxsize=500)
def local_names(function: ast.AST) -> frozenset[str]:
    """The names that a function's text speaks of."""
    nodes = walk(function)
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return frozenset(names | {node.arg for node in nodes if isinstance(node, ast.arg)})


def _reckoned(node: ast.AST, scope: Scope) -> Any:
    """The number that is worked out with functions such as `max`; None where it is none."""
    if not isinstance(node, ast.BinOp | ast.Call):
        return None
    try:
        found = value_of(node, scope, scope)
    except Unknown:
        return None
    return found if type(found) is int else None


def _equal(a: Any, b: Any) -> bool:
    plain = (int, float, str, bool)
    return isinstance(a, plain) and type(a) is type(b) and a == b


def _empty(note: TensorNote) -> Tensor:
    dtype = getattr(torch, note.dtype.removeprefix("torch."), None)
    return blank(note.shape, dtype)


SMALL = 300_000
"""Elements of a tensor that is made to see what an operation does to its shape; of a larger one
there is the shape alone, for which torch works in Python and loads its whole compiler."""


def blank(shape: tuple[int, ...], dtype: torch.dtype | None) -> Tensor:
    if math.prod(shape) <= SMALL:
        return torch.zeros(shape, dtype=dtype)
    return torch.empty(shape, dtype=dtype, device="meta")


def _line(text: Text, node: ast.AST) -> int:
    statement = text.statement(node)
    return statement.lineno if statement is not None else 0


def _of_a_library(value: Any) -> bool:
    """Whether a value is a module that is none of the user's files: its numbers (a version, a
    constant) are no sizes of theirs."""
    if not isinstance(value, ModuleType):
        return False
    known = value.__name__.partition(".")[0] in sys.stdlib_module_names
    return known or not of_user(getattr(value, "__file__", None) or "")


def integers(scope: Mapping[str, Any]) -> dict[str, int]:
    """The whole numbers that can be written with the names of a scope: names, fields of configs,
    numbers that modules keep, items of short lists, sizes of tensors."""
    found: dict[str, int] = {}

    def enter(text: str, value: Any) -> None:
        if type(value) is int and 0 < value < 10**7 and text not in found:
            found[text] = value

    for name, value in scope.items():
        if name.startswith("__") or _of_a_library(value):
            continue
        enter(name, value)
        if isinstance(value, Tensor):
            for axis, size in enumerate(value.shape[:5]):
                enter(f"{name}.shape[{axis}]", int(size))
        elif isinstance(value, list | tuple) and 0 < len(value) <= 8:
            if all(type(item) is int for item in value):
                for place, item in enumerate(value):
                    enter(f"{name}[{place}]", item)
                enter(f"{name}[-1]", value[-1])
                enter(f"sum({name})", sum(value))
                if scope.get("math") is math:
                    enter(f"math.prod({name})", math.prod(value))
            enter(f"len({name})", len(value))
        elif type(value) is dict and len(value) <= 30:
            for key, item in value.items():
                if isinstance(key, str):
                    enter(f'{name}["{key}"]', item)
        elif not isinstance(value, type | FunctionType) and hasattr(value, "__dict__"):
            for key, item in list(vars(value).items())[:60]:
                if not key.startswith("_") and key != "training":
                    enter(f"{name}.{key}", item)
                    if isinstance(item, list | tuple) and 0 < len(item) <= 8:
                        enter(f"len({name}.{key})", len(item))
                        enter(f"{name}.{key}[0]", item[0])
                        enter(f"{name}.{key}[-1]", item[-1])
                        if scope.get("math") is math and all(type(i) is int for i in item):
                            enter(f"math.prod({name}.{key})", math.prod(item))
            if dataclasses.is_dataclass(value):
                for key, own in vars(type(value)).items():
                    if isinstance(own, property):
                        with contextlib.suppress(Exception):
                            enter(f"{name}.{key}", getattr(value, key))
            if isinstance(value, nn.Module):
                for key, layer in list(value._modules.items())[:20]:
                    for field in ("in_features", "out_features", "in_channels", "out_channels"):
                        enter(f"{name}.{key}.{field}", getattr(layer, field, None))
    return found
