"""What an edit changes in the text: functions, names that are read no longer, new numbers."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tracer.diagnosis.repair.edited import Edited, Sources, first_line

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class ChangedFunction:
    """A function of a file before and after; `name` is qualified as its code's is."""

    file: str
    name: str
    before: Function
    after: Function

    @property
    def first(self) -> int:
        return first_line(self.before)

    def lost(self) -> frozenset[str]:
        """Names, and attributes of `self` as `self.x`, that it reads no longer."""
        return frozenset(read(self.before)) - frozenset(read(self.after))


def changed_functions(sources: Sources) -> list[ChangedFunction]:
    """
    Raises:
        CannotRunError: a text does not parse.
    """
    found: list[ChangedFunction] = []
    for file, text in sources:
        for was, now in Edited(file, text).changed:
            after = dict(_functions(now, ""))
            for name, node in _functions(was, ""):
                other = after.get(name)
                if other is not None and ast.dump(node) != ast.dump(other):
                    found.append(ChangedFunction(file, name, node, other))
    return found


def _functions(node: ast.AST, owner: str) -> Iterator[tuple[str, Function]]:
    """Functions by qualified name; those inside others are part of these."""
    if isinstance(node, Function):
        yield owner + node.name, node
        if _builds_classes(node):
            for each in node.body:
                yield from _functions(each, f"{owner}{node.name}.<locals>.")
    elif isinstance(node, ast.ClassDef):
        for each in node.body:
            yield from _functions(each, f"{owner}{node.name}.")


def _builds_classes(node: Function) -> bool:
    return any(isinstance(each, ast.ClassDef) for each in node.body)


def read(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
            yield each.id
        elif (
            isinstance(each, ast.Attribute)
            and isinstance(each.ctx, ast.Load)
            and isinstance(each.value, ast.Name)
            and each.value.id == "self"
        ):
            yield f"self.{each.attr}"


def new_numbers(changed: ChangedFunction) -> list[int]:
    """Whole numbers above one that are written in the new text and were not in the old."""
    added = Counter(_numbers(changed.after)) - Counter(_numbers(changed.before))
    return sorted(added)


def new_numbers_at_the_top(sources: Sources) -> list[int]:
    """The same of what stands in no function: a config, the fields of a class."""
    added: Counter[int] = Counter()
    for was, now in changes_at_the_top(sources):
        added += Counter(_numbers(now)) - Counter(_numbers(was))
    return sorted(added)


def read_in_new_functions(sources: Sources) -> frozenset[str]:
    """What functions read that an edit has added, to a file or to a class."""
    found: set[str] = set()
    for file, text in sources:
        edited = Edited(file, text)
        new: list[ast.AST] = [each for each in edited.added if isinstance(each, Function)]
        for was, now in edited.changed:
            before = dict(_functions(was, ""))
            new += [node for name, node in _functions(now, "") if name not in before]
        for each in new:
            found |= set(read(each))
    return frozenset(found)


def changes_at_the_top(sources: Sources) -> list[tuple[ast.stmt, ast.stmt]]:
    """The statements of files, as they were and are, that differ in what stands in no function."""
    return [
        (was, now)
        for file, text in sources
        for was, now in Edited(file, text).changed
        if ast.dump(was) != ast.dump(now) and _inside(was) == _inside(now)
    ]


def _inside(node: ast.AST) -> list[str]:
    """The functions below a node, each as it is written."""
    return [ast.dump(each) for each in ast.walk(node) if isinstance(each, Function)]


def _numbers(node: ast.AST) -> list[int]:
    return [
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and type(each.value) is int and each.value > 1
    ]


def new_lines(sources: Sources) -> frozenset[str]:
    """The lines, without their indentation, that the edits wrote or moved."""
    found: set[str] = set()
    for file, text in sources:
        edited = Edited(file, text)
        known = Counter(line.strip() for line in edited.old.lines)
        found |= set(Counter(line.strip() for line in text.splitlines()) - known)
    return frozenset(found)


_GIVEN_ONE = re.compile(r"\.unsqueeze\((-?\d)\)")


def widened(sources: Sources) -> Sources:
    """The same texts, where each dimension of size 1 that a new line gives is one of size 2."""
    return tuple((file, _widened(file, text)) for file, text in sources)


def _widened(file: str, text: str) -> str:
    old = Edited(file, text).old.text
    if len(_GIVEN_ONE.findall(text)) <= len(_GIVEN_ONE.findall(old)):
        return text
    new = new_lines(((file, text),))
    wide = r".unsqueeze(\1).repeat_interleave(2, \1)"
    lines = text.splitlines(keepends=True)
    return "".join(_GIVEN_ONE.sub(wide, e) if e.strip() in new else e for e in lines)
