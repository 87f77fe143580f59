"""What is to be typed instead, where a module cannot be built or its text not be read in: one
sentence by what was raised; nothing where the exception's own words say it."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from tracer.sentences import Said, said
from tracer.syntax import parsed

_SIZE = re.compile(r"(?:must be tuple of ints, ?but got|type must be tuple of ints,but got) (\w+)")
_BELOW = re.compile(r"negative dimension (-\d+)")
_NO_GPU = re.compile(r"(?i)not compiled with CUDA|no NVIDIA driver|No CUDA GPUs|CUDA driver")
_UNHASHED = re.compile(r"unhashable type: '(\w+)'")
_UNKNOWN = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
_NO_NAME = re.compile(r"name '(\w+)' is not defined")
_WITHOUT = re.compile(r"'[\w.]+' object has no attribute '(\w+)'")
_NO_ITEMS = re.compile(r"'\w+' object is not subscriptable")
_TYPICAL = 8
"""A size that is small and that most numbers of heads divide."""


@dataclass(frozen=True)
class Unbuilt:
    """What was raised in a text: its `words`, the `line` of the text that it passed last, and the
    texts of the arguments that were `given`."""

    error: BaseException
    words: str
    source: str
    line: int | None
    given: Mapping[str, str]

    @property
    def statement(self) -> ast.stmt | None:
        """The innermost statement on that line."""
        found = None
        for node in ast.walk(_tree(self.source)):
            if isinstance(node, ast.stmt) and self.is_in(node):
                found = node
        return found

    def is_in(self, node: ast.stmt) -> bool:
        """Whether the line is one of the node's."""
        return self.line is not None and node.lineno <= self.line <= (node.end_lineno or 0)


def wanted(found: Unbuilt) -> Said | None:
    """What is wrong and what to type, as the end of a sentence."""
    return next(filter(None, (rule(found) for rule in _RULES)), None)


def _super(found: Unbuilt) -> Said | None:
    if "before Module.__init__() call" not in found.words:
        return None
    return said(
        "nothing can be set on a module before `super().__init__()`: write that line first in its "
        "`__init__`, or in the `__post_init__` of a dataclass"
    )


def _hash(found: Unbuilt) -> Said | None:
    name = _UNHASHED.search(found.words)
    classes = {
        node.name for node in ast.walk(_tree(found.source)) if isinstance(node, ast.ClassDef)
    }
    if name is None or name[1] not in classes:
        return None
    return said(
        "torch tells modules apart by their hash, and a class with an `__eq__` of its own, as "
        "`@dataclass` writes it, has none: write `@dataclass(eq=False)` above {name}",
        name=name[1],
    )


def _size(found: Unbuilt) -> Said | None:
    kind = _SIZE.search(found.words)
    if kind is None:
        return None
    if kind[1] == "float":
        return said("a layer's size is a whole number, and this one has a fraction: write // for /")
    texts = [name for name, text in found.given.items() if _is_text(text)]
    if kind[1] == "str" and texts:
        return said(
            "a layer's size is a whole number, and {name} is a text: type one, such as {size}, "
            "into its field",
            name=texts[0],
            size=_TYPICAL,
        )
    return said("a layer's size is a whole number, and this one is of type {type}", type=kind[1])


def _below(found: Unbuilt) -> Said | None:
    size = _BELOW.search(found.words)
    if size is None:
        return None
    names = [name for name, text in found.given.items() if text.strip() == size[1]]
    if names:
        return said(
            "a layer's size is 0 or more, and {name} is {size}", name=names[0], size=size[1]
        )
    return said("a layer's size is 0 or more, and this one comes to {size}", size=size[1])


def _gpu(found: Unbuilt) -> Said | None:
    if not _NO_GPU.search(found.words):
        return None
    return said("it asks for a GPU, and here is none: leave out `.cuda()` and `device='cuda'`")


def _keyword(found: Unbuilt) -> Said | None:
    names = _UNKNOWN.search(found.words)
    layer = getattr(nn, names[1], None) if names is not None else None
    if names is None or not isinstance(layer, type):
        return None
    known = list(inspect.signature(layer).parameters)
    near = difflib.get_close_matches(names[2], known, 1)
    return said(
        "nn.{layer} has no argument {name}: write {near}"
        if near
        else "nn.{layer} has no argument {name}; it has {known}",
        layer=names[1],
        name=names[2],
        near=near[0] if near else "",
        known=", ".join(known),
    )


def _name(found: Unbuilt) -> Said | None:
    name = _NO_NAME.search(found.words) if isinstance(found.error, NameError) else None
    if name is None:
        return None
    return said(
        "nothing is called {name} there: import it, or write `{name} = …` above", name=name[1]
    )


def _file(found: Unbuilt) -> Said | None:
    if not isinstance(found.error, FileNotFoundError):
        return None
    return said(
        "it reads the file {file}, and the code runs in an empty folder: leave that line out; "
        "weights are opened beside the form",
        file=str(found.error.filename or found.words),
    )


def _check(found: Unbuilt) -> Said | None:
    """A check of one's own that says nothing."""
    statement = found.statement
    if not isinstance(found.error, AssertionError) or not isinstance(statement, ast.Assert):
        return None
    if found.words:
        return None
    read = dict.fromkeys(node.id for node in ast.walk(statement.test) if isinstance(node, ast.Name))
    names = tuple(name for name in read if name in _parameters(found))
    return said(
        "the check `{test}` does not hold: choose {names} so that it does"
        if names
        else "the check `{test}` does not hold",
        test=ast.unparse(statement.test),
        names=names,
    )


def _settings(found: Unbuilt) -> Said | None:
    """An argument of which parts are read, for which a number was tried."""
    reads = _WITHOUT.search(found.words), _NO_ITEMS.search(found.words)
    statement = found.statement
    if not any(reads) or statement is None:
        return None
    for name in _parameters(found):
        if name in found.given:
            continue
        parts = dict.fromkeys(_parts(_tree(found.source), name))
        if parts and any(_parts(statement, name)):
            items = reads[0] is None
            pairs = [f"'{each}': {_TYPICAL}" if items else f"{each}={_TYPICAL}" for each in parts]
            text = ", ".join(pairs)
            return said(
                "it reads parts of {name}: type such as `{text}` into its field",
                name=name,
                text=f"{{{text}}}" if items else f"SimpleNamespace({text})",
            )
    return None


def _parameters(found: Unbuilt) -> Iterator[str]:
    """Those of the constructor that the line is in."""
    for node in ast.walk(_tree(found.source)):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__" and found.is_in(node):
            yield from (each.arg for each in (*node.args.args[1:], *node.args.kwonlyargs))


def _parts(tree: ast.AST, name: str) -> Iterator[str]:
    """What is read of the object or the dictionary of that name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute | ast.Subscript):
            continue
        if not isinstance(node.value, ast.Name) or node.value.id != name:
            continue
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            yield node.slice.value


def _is_text(text: str) -> bool:
    text = text.strip()
    return text[:1] in ("'", '"') or (text.isidentifier() and text not in ("True", "False", "None"))


def _tree(source: str) -> ast.AST:
    try:
        return parsed(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


_RULES: tuple[Callable[[Unbuilt], Said | None], ...] = (
    _super,
    _hash,
    _size,
    _below,
    _gpu,
    _keyword,
    _name,
    _file,
    _check,
    _settings,
)
