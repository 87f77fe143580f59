"""Every place worth editing: what the failing expression was made of, and by whom, back to the
numbers in the constructors, the configs and the script."""

from __future__ import annotations

import ast
import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from tracer.diagnosis.repair.world import World, walk
from tracer.diagnosis.roots import lineage
from tracer.diagnosis.suspicions import columns_against_rows
from tracer.document import Step
from tracer.source.built import assigned_to_self, constructor, default_of, of_user
from tracer.source.names import definitions
from tracer.source.text import Text, called, code_of, passed, text_of

MOST = 400  # places of one failure
FARTHEST = 14.0
TOLD = 1.3  # the distance of a place on the chain, or where the histories part


@dataclass(frozen=True)
class Spot:
    """A node that may be edited.

    `distance` counts the definitions and calls between it and the failure; `role` is what kind of
    place it is: `failing`, `caller`, `lineage`, `forward`, `constructor`, `default`, `config`.
    `constructs` is true when an edit asks to build the model anew.
    """

    text: Text
    node: ast.AST
    distance: float
    role: str
    constructs: bool


def spots(world: World) -> list[Spot]:
    """The places of a failure, the nearest first."""
    return list(_Slice(world).walk())


class _Slice:
    def __init__(self, world: World) -> None:
        self.world = world
        self.heap: list[tuple[float, int, Text, ast.AST, str]] = []
        self.count = itertools.count()
        self.seen: set[ast.AST] = set()

    def push(self, distance: float, text: Text, node: ast.AST | None, role: str) -> None:
        """Enter a place, unless it stands in an installed package: that is nobody's to edit."""
        if node is None or node in self.seen or not of_user(text.file):
            return
        if distance <= FARTHEST:
            heapq.heappush(self.heap, (distance, next(self.count), text, node, role))

    def walk(self) -> Iterator[Spot]:
        self.seeds()
        found = 0
        while self.heap and found < MOST:
            distance, _, text, node, role = heapq.heappop(self.heap)
            if node in self.seen:
                continue
            self.seen.add(node)
            constructs = self.world.constructs(text, node)
            if constructs and role in ("forward", "lineage"):
                role = "constructor"
            found += 1
            yield Spot(text, node, distance, role, constructs)
            self.visit(distance, text, node, role)
            if constructs and isinstance(node, ast.Call):
                self.loops(distance, text, node, role)

    def seeds(self) -> None:
        world = self.world
        for depth, (text, node, _) in enumerate(world.frames):
            self.push(0.6 * depth, text, node, "failing" if depth == 0 else "caller")
        for number, running in enumerate(reversed(world.crash.running)):
            self.layer(running.path, 0.4 + 0.8 * number)
        for file, span in world.told:
            where = text_of(file)
            at = where.at(span) if where is not None else None
            if where is not None and at is not None:
                self.push(TOLD, where, at, "forward")
        self.makers()
        self.crossed()
        marked = [(m.operand, m.dim) for m in world.finding.marks]
        for number, operand in enumerate(world.failure.operands):
            dims = [dim for which, dim in marked if which == number]
            for dim in dims:
                if dim < len(operand.note.shape):
                    hops = lineage.back(world.crash.trace, operand.note, dim)
                    for place, hop in enumerate(itertools.islice(hops, 14)):
                        self.step(hop.step, 0.8 + 0.5 * place)
            found = lineage.ancestors(world.crash.trace, operand.note)
            for place, (step, _, _) in enumerate(itertools.islice(found, 10)):
                self.step(step, 1.0 + 0.7 * place)

    def crossed(self) -> None:
        """Where a column that met a row, and made a square of both, became a column."""
        trace = self.world.crash.trace
        for step, column in columns_against_rows(trace, self.world.crash.model):
            self.step(step, TOLD)
            hops = lineage.back(trace, column, len(column.shape) - 1)
            for hop in itertools.islice(hops, 6):
                self.step(hop.step, TOLD)

    def makers(self) -> None:
        """What the modules return that made the operands as they are."""
        crash = self.world.crash
        ids = {operand.note.id for operand in self.world.failure.operands}
        for call in crash.trace.calls[1:]:
            if ids & {each.id for each in call.outputs}:
                code = code_of(type(crash.model.get_submodule(call.module)).forward)
                text = text_of(code.co_filename) if code is not None else None
                made = text.definition(code) if text is not None and code is not None else None
                if text is not None and made is not None:
                    self.returns(TOLD, text, made, "forward")

    def step(self, step: Step, distance: float) -> None:
        text = text_of(step.file)
        node = text.at(step.place.span) if text is not None else None
        if text is not None and node is not None:
            self.push(distance, text, node, "lineage")
        if step.op.startswith("nn."):
            self.layer(step.module, distance + 0.2)

    def layer(self, path: str, distance: float) -> None:
        if not path:
            return
        built = constructor(self.world.crash.model, path)
        if built is not None:
            self.push(distance, built.text, built.call, "constructor")
            for number, call in enumerate(built.via):
                self.push(distance + 0.5 * (number + 1), built.text, call, "constructor")
            above = constructor(self.world.crash.model, built.owner) if built.owner else None
            if above is not None:
                self.push(distance + 1.0, above.text, above.call, "constructor")

    # --- what a node was made of ---

    def visit(self, distance: float, text: Text, node: ast.AST, role: str) -> None:
        same = "forward" if role in ("failing", "caller", "lineage") else role
        inner = role if role in ("failing", "caller") else same
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr | ast.keyword | ast.comprehension | ast.slice):
                self.push(distance + 0.01, text, child, inner)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self.name(distance, text, node, same)
        elif isinstance(node, ast.Attribute):
            self.attribute(distance, text, node, same)
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            if isinstance(node.slice.value, str):
                self.field(distance + 1, node.slice.value)
        elif isinstance(node, ast.Call):
            self.call(distance, text, node, same)

    def loops(self, distance: float, text: Text, node: ast.Call, role: str) -> None:
        """How often a loop makes layers."""
        above = text.parents.get(node)
        while above is not None and not isinstance(above, ast.FunctionDef | ast.ClassDef):
            if isinstance(above, ast.For):
                self.push(distance + 0.5, text, above.iter, role)
            for each in getattr(above, "generators", ()):
                self.push(distance + 0.5, text, each.iter, role)
            above = text.parents.get(above)

    def name(self, distance: float, text: Text, node: ast.Name, role: str) -> None:
        function = text.function(node)
        while function is not None:
            found = definitions(function, node.id)
            for value in found:
                if self.world.runs(text, value):
                    self.push(distance + 1, text, value, role)
                    statement = text.parents.get(value)
                    for target in getattr(statement, "targets", ()):
                        if isinstance(target, ast.Tuple):  # it may be unpacked in another order
                            self.push(distance + 1, text, target, role)
            if isinstance(function, ast.FunctionDef) and node.id in _arguments(function):
                self.argument(distance, text, function, node.id, role)
                return
            if found:
                return
            function = text.function(function)
        for statement in text.tree.body:
            if isinstance(statement, ast.Assign | ast.AnnAssign):
                targets = (
                    statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                )
                if any(isinstance(t, ast.Name) and t.id == node.id for t in targets):
                    self.push(distance + 1, text, statement.value, "config")

    def argument(
        self, distance: float, text: Text, function: ast.FunctionDef, name: str, role: str
    ) -> None:
        """What callers give for it, and its default."""
        self.push(distance + 1, text, default_of(function, name), "default")
        names = _arguments(function)
        position = names.index(name)
        if names[:1] in (["self"], ["cls"]):
            position -= 1
        for number, (where, call) in enumerate(self.callers(text, function)):
            if number > 6:
                return
            value = _passed(call, name, position)
            if value is not None:
                self.push(distance + 1, where, value, "caller" if role == "forward" else role)
                if role != "forward":
                    self.push(distance + 1.2, where, call, role)

    def callers(self, text: Text, function: ast.FunctionDef) -> Iterator[tuple[Text, ast.Call]]:
        frames = self.world.frames
        for inner, outer in itertools.pairwise(frames):
            here = inner[0] is text and inner[0].function(inner[1]) is function
            if here and isinstance(outer[1], ast.Call):
                yield outer[0], outer[1]
                return
        if function.name == "forward":
            for call in reversed(self.world.crash.trace.calls):
                where = text_of(call.file) if call.place.span is not None else None
                node = where.at(call.place.span) if where is not None else None
                if where is not None and isinstance(node, ast.Call):
                    try:
                        own = type(self.world.crash.model.get_submodule(call.module))
                    except AttributeError:
                        continue
                    code = code_of(own.forward)
                    if code is not None and text.definition(code) is function:
                        yield where, node
            return
        name = function.name
        above = text.parents.get(function)
        if isinstance(above, ast.ClassDef) and name == "__init__":
            name = above.name
        for other, node in self.world.calls.get(name, ()):
            if self.world.runs(other, node):
                yield other, node

    def attribute(self, distance: float, text: Text, node: ast.Attribute, role: str) -> None:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            cls = text.around(node, ast.ClassDef)
            found = list(self.assigned(text, cls, node.attr)) if cls is not None else []
            for where, value in found:
                self.push(distance + 1, where, value, "constructor")
            if found:
                return
        if node.attr not in ("shape", "T", "dtype", "device", "data", "training"):
            base = self.world.value(text, node.value)
            if not hasattr(base, "named_modules"):
                self.field(distance + 1, node.attr)

    def assigned(
        self, text: Text, cls: ast.ClassDef, name: str, depth: int = 0
    ) -> Iterator[tuple[Text, ast.expr]]:
        found = False
        for value in assigned_to_self(cls, name):
            found = True
            yield text, value
        if found or depth > 3:
            return
        for base in cls.bases:
            for other in self.world.texts:
                for item in other.tree.body:
                    if isinstance(item, ast.ClassDef) and item.name == called(base):
                        yield from self.assigned(other, item, name, depth + 1)

    def field(self, distance: float, name: str) -> None:
        """Where a config's field gets its value: keywords, keys of dicts, fields of dataclasses."""
        for text in self.world.texts:
            for node in walk(text.tree):
                if isinstance(node, ast.keyword) and node.arg == name:
                    if self.world.runs(text, node.value):
                        self.push(distance, text, node.value, "config")
                elif isinstance(node, ast.Dict):
                    for key, value in zip(node.keys, node.values, strict=True):
                        if isinstance(key, ast.Constant) and key.value == name:
                            self.push(distance, text, value, "config")
                elif isinstance(node, ast.ClassDef):
                    for item in node.body:
                        own = isinstance(item, ast.AnnAssign) and text.of(item.target) == name
                        if own and isinstance(item, ast.AnnAssign):
                            self.push(distance + 0.3, text, item.value, "config")

    def call(self, distance: float, text: Text, node: ast.Call, role: str) -> None:
        """What a called module or helper returns."""
        layer = self.world.value(text, node.func)
        forward = getattr(type(layer), "forward", None)
        code = code_of(forward) or code_of(layer)
        if code is not None:
            other = text_of(code.co_filename)
            made = other.definition(code) if other in self.world.texts and other else None
            if other is not None and isinstance(made, ast.FunctionDef):
                self.returns(distance + 1, other, made, role)
            return
        name = called(node)
        for other in self.world.texts:
            for item in walk(other.tree):
                named = isinstance(item, ast.FunctionDef) and item.name == name
                if named and isinstance(item, ast.FunctionDef) and self.world.ran(other, item):
                    self.returns(distance + 1, other, item, role)

    def returns(self, distance: float, text: Text, function: ast.AST, role: str) -> None:
        for node in walk(function):
            if isinstance(node, ast.Return) and self.world.runs(text, node):
                self.push(distance, text, node.value, role)


def _arguments(function: ast.FunctionDef) -> list[str]:
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    names += [a.arg for a in function.args.kwonlyargs]
    if function.args.vararg is not None:
        names.append(function.args.vararg.arg)
    return names


def _passed(call: ast.Call, name: str, position: int) -> ast.expr | None:
    if called(call) in ("map", "partial"):
        position += 1
    return passed(call, name, position)
