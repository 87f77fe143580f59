"""What a source text offers, found by parsing it and never by running it: its modules, and the
arguments of their constructors and forwards."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tracer.sentences import Said, ToldError, said
from tracer.syntax import parsed

_LONGEST = 1_000_000


class SourceError(ToldError):
    """The text is no Python; the message is one sentence.  `line` and `column` (from 1) say where,
    `text` is that line; all None when it cannot be told."""

    def __init__(
        self,
        sentence: Said,
        line: int | None = None,
        column: int | None = None,
        text: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self.line = line
        self.column = column
        self.text = text

    @property
    def caret(self) -> str:
        """The line with a caret under the place, or nothing."""
        return caret(self.text, self.column)


def caret(text: str | None, column: int | None) -> str:
    if not text:
        return ""
    shown = text.rstrip().replace("\t", " ")
    if column is None:
        return shown
    return f"{shown}\n{' ' * (max(1, column) - 1)}^"


@dataclass(frozen=True)
class Argument:
    """One argument as it is written; `default` is None when there is none.  `kind` is `*` or `**`
    for those that collect the rest, `=` for one that can only be given by name, else empty."""

    name: str
    annotation: str
    default: str | None
    kind: str

    @property
    def required(self) -> bool:
        return self.default is None and self.kind in ("", "=")


@dataclass(frozen=True)
class ModuleClass:
    """A class of modules: what its constructor and its forward take, `self` left out.  `used` is
    true when other code of the file makes one, so that it is probably a part of something."""

    name: str
    line: int
    constructor: tuple[Argument, ...]
    forward: tuple[Argument, ...]
    used: bool

    @property
    def inputs(self) -> tuple[Argument, ...]:
        """What the forward takes one by one: without those arguments that collect the rest."""
        return tuple(each for each in self.forward if not each.kind.startswith("*"))


@dataclass(frozen=True)
class Outline:
    """The modules of a text: its classes, and the names that it gives to ready-made ones
    (`model = nn.Sequential(...)`).  `runs` is true when the text calls a module itself."""

    classes: tuple[ModuleClass, ...]
    instances: tuple[str, ...]
    runs: bool

    @property
    def best(self) -> str | None:
        """What the author most probably means: the last class that nothing else is made of."""
        whole = [each.name for each in self.classes if not each.used]
        if whole:
            return whole[-1]
        if self.instances:
            return self.instances[-1]
        return self.classes[-1].name if self.classes else None


def parse(source: str, file: str = "the code") -> ast.Module:
    """The syntax tree of a text.

    Raises:
        SourceError: it does not parse.
    """
    if len(source) > _LONGEST:
        raise SourceError(
            said(
                "The code has {count} characters, more than the {most} that are read.",
                count=f"{len(source):,}",
                most=f"{_LONGEST:,}",
            )
        )
    try:
        # Compiled too (not run): `return` outside a function parses and is no Python.
        compile(source, file, "exec", dont_inherit=True)
        return parsed(source)
    except SyntaxError as error:
        lines = source.splitlines()
        inside = error.lineno is not None and 0 < error.lineno <= len(lines)
        line = lines[error.lineno - 1] if inside and error.lineno else None
        sentence = said(
            "Line {line} is not Python: {reason}."
            if error.lineno
            else "The code is not Python: {reason}.",
            line=error.lineno,
            reason=_pasted_along(line or "") or f"`{error.msg}`",
        )
        raise SourceError(sentence, error.lineno, error.offset, line) from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        reason = f"`{error}`" if str(error) else said("it is nested too deeply")
        raise SourceError(said("The code is not Python: {reason}.", reason=reason)) from error


def _pasted_along(line: str) -> Said | None:
    """What a line is that was pasted along with code, and is none."""
    text = line.strip()
    if text.startswith("```"):
        return said("it is one of Markdown's marks around code, so leave both marks out")
    if text.startswith((">>>", "...")):
        return said("`{text}` is the prompt of a console, so leave prompts out", text=text[:3])
    if text.startswith(("!", "%")):
        return said("it is a command for a notebook, so leave it out")
    return None


def outline(source: str) -> Outline:
    """The modules of a text, in the order in which they are written.

    Raises:
        SourceError: it does not parse.
    """
    tree = parse(source)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    modules = {name: node for name, node in classes.items() if _is_module(node, classes)}
    made = {name for name in modules if _made_elsewhere(name, tree, modules[name])}
    return Outline(
        classes=tuple(
            ModuleClass(
                name=name,
                line=node.lineno,
                constructor=_arguments(_method(node, "__init__", classes)),
                forward=_arguments(_method(node, "forward", classes)),
                used=name in made,
            )
            for name, node in modules.items()
        ),
        instances=tuple(dict.fromkeys(_instances(tree, modules))),
        runs=_runs(tree, modules),
    )


def main(texts: Mapping[str, str]) -> str:
    """Which of several files, by their paths, is probably meant: one with modules that the others
    do not import, and of these the one that needs most of them."""
    stems: dict[str, str] = {}
    modules: dict[str, int] = {}
    needs: dict[str, set[str]] = {}
    for path, text in texts.items():
        if not path.endswith(".py"):
            continue
        stems[path] = path.removesuffix("/__init__.py").rpartition("/")[2].removesuffix(".py")
        try:
            found = outline(text)
        except SourceError:
            modules[path] = 0
            continue
        modules[path] = len(found.classes) + len(found.instances) + found.runs
        needs.setdefault(stems[path], set()).update(_imported(parsed(text)))
    only_hands_on = {stem for path, stem in stems.items() if path.endswith("__init__.py")}
    imported = {
        name for stem, names in needs.items() if stem not in only_hands_on for name in names
    }

    def rank(path: str) -> tuple[bool, bool, int, int]:
        reached, pending = set[str](), [stems[path]]
        while pending:
            more = (needs.get(pending.pop(), set()) & needs.keys()) - reached
            reached |= more
            pending += more
        return modules[path] > 0, stems[path] not in imported, len(reached), modules[path]

    return max(stems, key=rank)


def _imported(tree: ast.Module) -> set[str]:
    """The last names of the modules that a file may import."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").rpartition(".")[2])
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {each.name.rpartition(".")[2] for each in node.names}
    return found


def _base_names(node: ast.ClassDef) -> Iterator[str]:
    for base in node.bases:
        target = base.value if isinstance(base, ast.Subscript) else base
        yield ast.unparse(target)


def _is_module(
    node: ast.ClassDef, classes: dict[str, ast.ClassDef], above: tuple[str, ...] = ()
) -> bool:
    for name in _base_names(node):
        last = name.rpartition(".")[2]
        if last.endswith("Module") or name.startswith(("nn.", "torch.nn.")):
            return True
        if name in classes and name not in (*above, node.name):
            if _is_module(classes[name], classes, (*above, node.name)):
                return True
        elif name not in classes and _own(node, "forward") is not None:
            return True  # a base from elsewhere, and a forward of its own
        elif last in ("Sequential", "ModuleList", "ModuleDict"):
            return True
    return False


def _own(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    found = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == name]
    return found[-1] if found else None


def _method(
    node: ast.ClassDef, name: str, classes: dict[str, ast.ClassDef], depth: int = 0
) -> ast.FunctionDef | None:
    found = _own(node, name)
    if found is not None or depth > 20:
        return found
    for base in _base_names(node):
        if base in classes and classes[base] is not node:
            inherited = _method(classes[base], name, classes, depth + 1)
            if inherited is not None:
                return inherited
    return None


def _arguments(function: ast.FunctionDef | None) -> tuple[Argument, ...]:
    if function is None:
        return ()
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    blank: list[ast.expr | None] = [None] * (len(plain) - len(given.defaults))
    static = any(
        isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in function.decorator_list
    )
    pairs = [*zip(plain, [*blank, *given.defaults], strict=True)][0 if static else 1 :]
    found = [_argument(node, default, "") for node, default in pairs]
    if given.vararg is not None:
        found.append(_argument(given.vararg, None, "*"))
    found += [
        _argument(node, default, "=")
        for node, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    if given.kwarg is not None:
        found.append(_argument(given.kwarg, None, "**"))
    return tuple(found)


def _argument(node: ast.arg, default: ast.expr | None, kind: str) -> Argument:
    return Argument(
        name=node.arg,
        annotation=ast.unparse(node.annotation) if node.annotation is not None else "",
        default=ast.unparse(default) if default is not None else None,
        kind=kind,
    )


def _made_elsewhere(name: str, tree: ast.Module, own: ast.ClassDef) -> bool:
    """Some class or function of the file, other than itself, speaks of this class."""
    return any(
        isinstance(node, ast.Name) and node.id == name
        for item in tree.body
        if item is not own and isinstance(item, ast.ClassDef | ast.FunctionDef)
        for node in ast.walk(item)
    )


def _is_built(value: ast.AST, modules: dict[str, ast.ClassDef]) -> bool:
    if not isinstance(value, ast.Call):
        return False
    function = ast.unparse(value.func)
    if function.rpartition(".")[2] in ("to", "cuda", "cpu", "eval", "train", "float", "double"):
        return isinstance(value.func, ast.Attribute) and _is_built(value.func.value, modules)
    head, _, last = function.rpartition(".")
    is_torch = head.rpartition(".")[2] == "nn" and last[:1].isupper() and last != "Parameter"
    return function in modules or is_torch or function == "Sequential"


def _instances(tree: ast.Module, modules: dict[str, ast.ClassDef]) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and _is_built(node.value, modules):
            for target in node.targets:
                if isinstance(target, ast.Name) and not ast.unparse(node.value).endswith("Loss()"):
                    yield target.id


def _runs(tree: ast.Module, modules: dict[str, ast.ClassDef]) -> bool:
    names = set(_instances(tree, modules))
    return any(
        isinstance(inner, ast.Call)
        and (
            (isinstance(inner.func, ast.Name) and inner.func.id in names)
            or _is_built(inner.func, modules)
        )
        for node in tree.body
        if not isinstance(node, ast.ClassDef | ast.FunctionDef)
        for inner in ast.walk(node)
    )
