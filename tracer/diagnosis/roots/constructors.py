"""Where in the source a module of the model was built, and with which arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from tracer.document import Place, Span
from tracer.source.built import constructor, parameters_of
from tracer.source.text import Text, called, code_of, extent_of, text_of
from tracer.syntax import parsed


@dataclass(frozen=True)
class ConstructorCall:
    """The call that built the module at `path`, in `owner.__init__` or what that calls.

    `arguments` maps the names of the built class's arguments to the text and span of what was
    written for them; `parameters` are the names that the enclosing function itself takes.
    """

    path: str
    place: Place
    arguments: dict[str, tuple[str, Span]]
    parameters: tuple[str, ...]
    owner: str


def constructor_call(model: nn.Module, path: str) -> ConstructorCall | None:
    """The call that built `path`; None when it cannot be told which one it was."""
    made = constructor(model, path)
    if made is not None:
        call = made.call
        if made.via and made.text.around(call, ast.ClassDef) is None:
            call = made.via[-1]  # built by a function: the call of that function
        around = made.text.around(call, ast.ClassDef), made.text.function(call)
        where = ".".join(node.name for node in around if node is not None)
        return _described((made.text, call, where), path, made.owner, model.get_submodule(path))
    names = path.split(".") if path else []
    chain = [model]
    for name in names:
        chain.append(getattr(chain[-1], name) if name in chain[-1]._modules else nn.Module())
    target = chain[-1]
    # The innermost module above it that someone wrote a class for.
    for depth in range(len(names) - 1, -1, -1):
        owner = chain[depth]
        if not type(owner).__module__.startswith("torch."):
            found = _within(owner, names[depth:], target)
            if found is not None:
                return _described(found, path, ".".join(names[:depth]), target)
            return None
    return None


def attribute(owner: nn.Module, name: str) -> Place | None:
    """Where `self.name = ...` stands in the owner's class."""
    for file, scope in _classes(owner):
        for function, statement in _statements(scope):
            value = _assigned_to(statement, name)
            if value is not None:
                return file.place(value, statement, f"{scope.name}.{function.name}")
    return None


def default(owner: nn.Module, name: str) -> Place | None:
    """`heads=8` in the first line of the owner's `__init__`."""
    for file, scope in _classes(owner):
        for function in scope.body:
            if not isinstance(function, ast.FunctionDef) or function.name != "__init__":
                continue
            args = [*function.args.posonlyargs, *function.args.args]
            given = list(zip(reversed(args), reversed(function.args.defaults), strict=False))
            given += [
                (arg, value)
                for arg, value in zip(
                    function.args.kwonlyargs, function.args.kw_defaults, strict=True
                )
                if value is not None
            ]
            for arg, value in given:
                if arg.arg == name:
                    extent = (*extent_of(arg)[:2], *extent_of(value)[2:])
                    text, span = file.of(extent), file.span(extent)
                    where = f"{scope.name}.__init__"
                    return Place(file.file, span.line, where, None, span, text, text, span)
    return None


def _classes(owner: nn.Module) -> Iterator[tuple[Text, ast.ClassDef]]:
    """The classes of a module that were written outside torch, with their text."""
    for cls in type(owner).__mro__:
        if cls.__module__.startswith("torch") or cls is object:
            return
        own = [vars(cls).get(name) for name in ("__init__", "forward")]
        code = next((code_of(each) for each in own if each is not None), None)
        if code is None:
            continue
        file = text_of(code.co_filename)
        if file is None or not file.contains(code):
            continue
        inside = [
            node
            for node in file.nodes
            if isinstance(node, ast.ClassDef)
            and node.name == cls.__name__
            and node.lineno <= code.co_firstlineno <= (node.end_lineno or 0)
        ]
        if inside:
            yield file, max(inside, key=lambda node: node.lineno)


_Found = tuple[Text, ast.Call, str]  # the text, the call, its function
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _statements(scope: ast.ClassDef) -> Iterator[tuple[_Function, ast.stmt]]:
    for function in scope.body:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.stmt) and node is not function:
                    yield function, node


def _assigned_to(statement: ast.stmt, name: str) -> ast.expr | None:
    """The value that the statement gives to `self.name`, or registers under it."""
    if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            if isinstance(target, ast.Attribute) and target.attr == name:
                return statement.value
            if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
                for part, value in zip(target.elts, statement.value.elts, strict=False):
                    if isinstance(part, ast.Attribute) and part.attr == name:
                        return value
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        if (
            isinstance(call.func, ast.Attribute)
            and call.func.attr in ("register_buffer", "register_parameter", "add_module")
            and len(call.args) > 1
            and isinstance(call.args[0], ast.Constant)
            and call.args[0].value == name
        ):
            return call.args[1]
    return None


def _within(owner: nn.Module, names: list[str], target: nn.Module) -> _Found | None:
    """The call for `owner.<names>` in the owner's class."""
    kind = type(target).__name__
    for file, scope in _classes(owner):
        values = [
            (function, value)
            for function, statement in _statements(scope)
            if (value := _assigned_to(statement, names[0])) is not None
        ]
        for function, value in values:
            value = _spelled(value, function)
            node = _stacked(value, names[1:], function)
            if node is not None:
                return file, node, f"{scope.name}.{function.name}"
        # Appended to a list in a loop, or built by another method: by what it was built with.
        everywhere = [
            (function.name, node)
            for function in scope.body
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Call) and called(node) == kind
        ]
        everywhere = [pair for pair in everywhere if _agrees(pair[1], target)]
        if len(everywhere) == 1:
            return file, everywhere[0][1], f"{scope.name}.{everywhere[0][0]}"
        # Built by a function: the call of that function.
        if len(values) == 1 and len(names) > 1:
            function, value = values[0]
            if isinstance(value, ast.Call) and called(value) not in _CONTAINERS:
                return file, value, f"{scope.name}.{function.name}"
    return None


_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
_STACKS = ("TransformerEncoder", "TransformerDecoder")


def _spelled(value: ast.expr, function: _Function) -> ast.expr:
    """What a local name was given: `layer = nn.Linear(8, 8); self.layer = layer`."""
    if not isinstance(value, ast.Name):
        return value
    given = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == value.id for t in node.targets)
    ]
    return given[0] if len(given) == 1 else value


def _stacked(value: ast.expr, names: list[str], function: _Function) -> ast.Call | None:
    """The layer that `nn.TransformerEncoder(layer, 6)` copies."""
    if not isinstance(value, ast.Call) or called(value) not in _STACKS or names[:1] != ["layers"]:
        return None
    first = next(iter([*value.args, *(k.value for k in value.keywords)]), None)
    layer = _spelled(first, function) if first is not None else None
    return layer if isinstance(layer, ast.Call) else None


def _agrees(call: ast.Call, module: nn.Module) -> bool:
    """No literal of the call differs from what the module holds under that name."""
    for name, node in _named(call, type(module)).items():
        held = getattr(module, name, None)
        if isinstance(held, tuple) and len(set(held)) == 1:
            held = held[0]
        if isinstance(node, ast.Constant) and isinstance(held, int) and node.value != held:
            return False
    return True


def _named(call: ast.Call, kind: type) -> dict[str, ast.expr]:
    names = parameters_of(kind)
    found: dict[str, ast.expr] = {}
    for name, arg in zip(names, call.args, strict=False):
        if isinstance(arg, ast.Starred):
            break
        found[name] = arg
    found |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    return found


def _described(found: _Found, path: str, owner: str, target: nn.Module) -> ConstructorCall:
    file, node, function = found
    statement = file.statement_at(extent_of(node)) or file.tree.body[0]
    enclosing = [
        f
        for f in file.nodes
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)
        and f.lineno <= node.lineno <= (f.end_lineno or 0)
    ]
    inner = max(enclosing, key=lambda f: f.lineno, default=None)
    taken: tuple[str, ...] = ()
    if inner is not None:
        taken = tuple(
            a.arg for a in (*inner.args.posonlyargs, *inner.args.args, *inner.args.kwonlyargs)
        )
    return ConstructorCall(
        path=path,
        place=file.place(node, statement, function),
        arguments={
            name: (file.of(value), file.span(value))
            for name, value in _named(node, type(target)).items()
        },
        parameters=taken,
        owner=owner,
    )


def followed(
    model: nn.Module, path: str, argument: str, inside: str | None = None
) -> tuple[ConstructorCall, str] | None:
    """The call where the size was written, and its argument: from `nn.Linear(dim, 10)` on to
    `Block(64)` when `dim` is only handed on, unless the module `inside`, which it is at odds with,
    was built in the same place."""
    here = constructor_call(model, path)
    if here is None:
        return None
    for _ in range(8):
        text = here.arguments.get(argument, ("", None))[0]
        if (
            not here.owner
            or text not in here.parameters
            or not here.place.function.endswith("__init__")
        ):
            break
        if inside is not None and inside.startswith(f"{here.owner}."):
            break
        above = constructor_call(model, here.owner)
        if above is None or text not in above.arguments:
            break
        here, argument = above, text
    return here, argument


SIZED = ("randn", "rand", "zeros", "ones", "empty", "full", "Tensor", "FloatTensor")


def handed_on(
    model: nn.Module, path: str, value: Place, dim: int
) -> tuple[ConstructorCall, str] | None:
    """The call that built the module at `path`, and its argument, when size `dim` of the parameter
    that `value` makes is just that argument: `nn.Parameter(torch.randn(d_in, d_out))`."""
    above = constructor_call(model, path) if path else None
    if above is None:
        return None
    try:
        tree = parsed(value.expression, "eval")
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or called(node) not in SIZED:
            continue
        sizes = list(node.args)
        if sizes and isinstance(sizes[0], ast.Tuple | ast.List):
            sizes = list(sizes[0].elts)
        if dim < len(sizes) and not any(isinstance(size, ast.Starred) for size in sizes):
            name = ast.unparse(sizes[dim]).removeprefix("self.")
            return (above, name) if name in above.arguments else None
    return None
