"""The same failure with other numbers: a config's field, a default or an argument of `build()`
changed, and the inputs with it where they have that size."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from tracer.diagnosis.repair.bench import Bench, CannotRunError, Given, Program, Run
from tracer.diagnosis.repair.edited import Sources, composed, original
from tracer.diagnosis.repair.samples import input_tensors, with_sizes
from tracer.document import Edit
from tracer.source.built import default_of
from tracer.source.edits import between
from tracer.source.text import Text, code_of, text_of

MOST_TRIED = 24  # numbers that are changed to see what comes of it
MOST = 4  # of which the failure then is another one


@dataclass(frozen=True)
class Variant:
    """A number changed, the inputs that go with it, and what the program as it is then comes to:
    another failure of the same call, or an end."""

    edit: Edit
    given: Given
    before: Run
    name: str  # what the number is written for


def variants(bench: Bench, given: Given, values: bool) -> tuple[Variant, ...]:
    """Those that a repair has something to do with: the program gets as far with them, and what
    happens there is not what happened."""
    if bench.build is None:
        return ()
    found: list[Variant] = []
    settled: set[Edit] = set()
    for name, edit, inputs in itertools.islice(_changes(bench, given), MOST_TRIED):
        if edit in settled:
            continue
        try:
            program = Program.of([edit], constructs=True)
            before = bench.run(program, values, inputs)
        except CannotRunError:
            continue
        if not before.ran and before.steps < bench.plain.steps:
            continue
        settled.add(edit)
        if str(before.error) != str(bench.plain.error):
            found.append(Variant(edit, inputs, before, name))
            if len(found) == MOST:
                break
    return tuple(found)


def with_variant(program: Program, variant: Variant) -> Program | None:
    """An edited program with the number changed too; None where it has edited that number."""
    own: list[Edit] = []
    for file, text in program.sources:
        own += between(file, original(file).text, text)
    try:
        sources: Sources = composed((), (*own, variant.edit))
    except CannotRunError:
        return None
    return Program(sources, constructs=True, inputs=program.inputs, batches=program.batches)


def _changes(bench: Bench, given: Given) -> Iterator[tuple[str, Edit, Given]]:
    """Each number made twice as large, and one larger, those with inputs of that size first."""
    places = [place for file in sorted(bench.files) for place in _numbers(bench, file)]
    tensors = input_tensors(given)
    for more in (_doubled, _one_more):
        for text, node, name in places:
            number = node.value
            assert isinstance(number, int)
            edit = text.replace(node, str(more(number)))
            sized = tuple(
                (n, dim)
                for n, t in enumerate(tensors)
                for dim, s in enumerate(t.shape)
                if s == number
            )
            if sized and number > 1:
                yield name, edit, with_sizes(given, sized, more)
            yield name, edit, given


def _doubled(number: int) -> int:
    return 2 * number


def _one_more(number: int) -> int:
    return number + 1


def _numbers(bench: Bench, file: str) -> Iterator[tuple[Text, ast.Constant, str]]:
    """The whole numbers of a file that somebody chose: values of fields and of names at the top,
    defaults, and what `build` writes."""
    text = text_of(file)
    if text is None:
        return
    code = code_of(getattr(bench.build, "func", bench.build))
    build = text.definition(code) if code is not None and code.co_filename == file else None
    read = _read(text)
    for node in text.nodes:
        if not isinstance(node, ast.Constant) or type(node.value) is not int or node.value < 2:
            continue
        if (name := _chosen(text, node, build, read)) is not None:
            yield text, node, name


def _read(text: Text) -> frozenset[str]:
    """Names and attributes that are read within functions."""
    inside = [
        node for top in text.nodes if isinstance(top, ast.FunctionDef) for node in ast.walk(top)
    ]
    names = {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    fields = {n.attr for n in inside if isinstance(n, ast.Attribute)}
    keys = {n.value for n in inside if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return frozenset(names | fields | keys)


def _chosen(
    text: Text, node: ast.Constant, build: ast.AST | None, read: frozenset[str]
) -> str | None:
    """The name for which a number is written; None where it is no setting."""
    function = text.function(node)
    if function is not None and function is build:
        return _key_of(text, node) or text.of(node)
    if isinstance(function, ast.FunctionDef):
        if function.name != "__init__":
            return None
        names = [each.arg for each in (*function.args.args, *function.args.kwonlyargs)]
        defaults = ((name, default_of(function, name)) for name in names)
        return next((n for n, value in defaults if value and node in ast.walk(value)), None)
    statement = text.statement(node)
    if function is not None or not isinstance(statement, ast.Assign | ast.AnnAssign):
        return None
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    name = text.of(target)
    return _key_of(text, node) or name if name in read else None


def _key_of(text: Text, node: ast.AST) -> str:
    """The key or the keyword that a number is written for, if it has one."""
    above = text.parents.get(node)
    while isinstance(above, ast.Tuple | ast.List):
        node, above = above, text.parents.get(above)
    if isinstance(above, ast.keyword):
        return above.arg or ""
    if isinstance(above, ast.Dict) and node in above.values:
        key = above.keys[above.values.index(node)]
        return str(key.value) if isinstance(key, ast.Constant) else ""
    return ""
