"""What a script computed outside any module, as a module: the failing statement with those that
led to it, run again on copies, where that can do nothing but compute."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodType, TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.utils._pytree import tree_map_only

from tracer.record.construction import Constructions
from tracer.record.eager import eager, eager_function
from tracer.record.names import resolve
from tracer.record.tensors import tensors_in
from tracer.source.built import of_user
from tracer.source.slices import CHANGES, Slice, chain_text, sliced, way_inside
from tracer.source.text import Text, code_of, text_of

Scope = Mapping[str, Any]


class Lines(nn.Module):
    """Lines of a script: its forward is a function that stands in the script's own file, its
    children are the modules that the lines call."""


@dataclass(frozen=True)
class Script:
    """`module(*args)` does again what the lines of the function `name` did."""

    module: Lines
    args: tuple[Any, ...]
    name: str


def frames_of(traceback: TracebackType | None) -> list[tuple[FrameType, int]]:
    """The frames that an exception passed, outermost first, each with its last instruction."""
    found = []
    while traceback is not None:
        found.append((traceback.tb_frame, traceback.tb_lasti))
        traceback = traceback.tb_next
    return found


def scripts(frames: list[tuple[FrameType, int]]) -> Iterator[Script]:
    """What does again what failed in these frames, that which begins farther out first.  Of the
    innermost frame comes at last the failing expression alone."""
    running = {frame.f_code: frame for frame, _ in frames}
    own = [(frame, lasti) for frame, lasti in frames if of_user(frame.f_code.co_filename)]
    for frame, lasti in own:
        found = _script(frame, lasti, running, whole=True)
        if found is not None:
            yield found
    if own:
        found = _script(*own[-1], running, whole=False)
        if found is not None:
            yield found


def build_of(lines: Lines) -> Callable[[], nn.Module] | None:
    """Makes a script's module anew, where it is known how its modules were constructed."""
    makers: dict[str, functools.partial[Any]] = {}
    for name, module in lines.named_children():
        known = Constructions(module, None).get("")
        if known is not None and known.exact:
            makers[name] = known.call
        elif next(module.parameters(), None) is not None:
            return None
        else:
            makers[name] = functools.partial(getattr, lines, name)
    cls = type(lines)

    def build() -> nn.Module:
        made = cls()
        for name, make in makers.items():
            made.add_module(name, make())
        return made

    return build


# --- the slice -------------------------------------------------------------------------------


def _script(
    frame: FrameType, lasti: int, running: Mapping[CodeType, FrameType], whole: bool
) -> Script | None:
    code = frame.f_code
    text = text_of(code.co_filename)
    if text is None or not text.contains(code):
        return None
    statement, node = failing(text, code, lasti)
    if statement is None:
        return None
    scope = {**frame.f_globals, **frame.f_locals}
    scope = {name: eager_function(value) for name, value in scope.items()}
    effects = Effects(scope, running)
    last: ast.expr | None = None
    if not whole or not isinstance(statement, _SIMPLE) or not effects.computes(statement):
        last = _part(statement, node, effects)
        if last is None:
            return None
    modules = _modules(text, scope)
    names = {chain for chain in modules if chain.isidentifier()}
    found = sliced(
        text,
        statement,
        last,
        effects.computes if whole else lambda _: False,
        effects.holds,
        names,
    )
    if found is None:
        return None
    levels, read = found
    inner = way_inside(statement, last) if last is not None else ()
    inputs = {name: scope[name] for name in read if _is_given(scope.get(name))}
    part = Slice(text, code, levels, inner or (), tuple(inputs), modules)
    try:
        args = tree_map_only(Tensor, copied, tuple(inputs.values()))
    except RuntimeError:  # of a transform that has ended
        return None
    return Script(_module(part, frame, scope), args, code.co_name)


def _part(statement: ast.stmt, node: ast.expr | None, effects: Effects) -> ast.expr | None:
    """The largest expression around the failing one that does nothing but compute."""
    best: ast.expr | None = None
    if node is not None and effects.computes(node):
        way = way_inside(statement, node) or ()
        outer: Any = statement
        for field, index in way:
            outer = getattr(outer, field)
            outer = outer if index is None else outer[index]
            plain = isinstance(outer, ast.expr) and isinstance(
                getattr(outer, "ctx", ast.Load()), ast.Load
            )
            if plain and best is None and effects.computes(outer):
                best = outer
    return best


def _module(part: Slice, frame: FrameType, scope: dict[str, Any]) -> Lines:
    function = FunctionType(part.compiled(), scope, frame.f_code.co_name)
    function.__dict__["part"] = part  # by which an edited text finds it
    made: Lines = type("Lines", (Lines,), {"forward": function, "__module__": __name__})()
    for chain, name in part.modules.items():
        if name not in made._modules:
            made.add_module(name, eager(_value_of(chain, scope)))
    trained = next((m for m in made.children() if any(True for _ in m.parameters())), None)
    made.training = trained.training if trained is not None else True
    return made


def _modules(text: Text, scope: Scope) -> dict[str, str]:
    """The chains of names in a file that stand for modules now, and a name for each."""
    found: dict[str, str] = {}
    taken: dict[str, int] = {}
    for node in text.expressions:
        chain = chain_text(node) if isinstance(node, ast.Name | ast.Attribute) else None
        if chain is None or chain in found or not isinstance(node.ctx, ast.Load):  # type: ignore[attr-defined]
            continue
        value = _value_of(chain, scope)
        if not isinstance(value, nn.Module) or any(
            isinstance(_value_of(front, scope), nn.Module) for front in _fronts(chain)
        ):
            continue
        last = chain.rpartition(".")[2]
        taken[last] = taken.get(last, 0) + 1
        found[chain] = last if taken[last] == 1 else f"{last}_{taken[last]}"
    return found


def _fronts(chain: str) -> Iterator[str]:
    parts = chain.split(".")
    for length in range(1, len(parts)):
        yield ".".join(parts[:length])


def _is_given(value: Any) -> bool:
    """Whether it is an input of the slice; the rest it finds as the script did."""
    if isinstance(value, Tensor):
        return not isinstance(value, UninitializedTensorMixin)
    return type(value) in (list, tuple, dict) and (not value or bool(tensors_in(value)))


def copied(tensor: Tensor) -> Tensor:
    """The failing statements may write into their inputs, once more."""
    if isinstance(tensor, UninitializedTensorMixin | nn.Parameter):
        return tensor
    if tensor.requires_grad and not tensor.is_leaf:
        return tensor.clone()
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def failing(text: Text, code: CodeType, lasti: int) -> tuple[ast.stmt | None, ast.expr | None]:
    """The statement and the expression that an instruction stands for."""
    line, end_line, column, end_column = (*code.co_positions(),)[lasti // 2]
    if line is None or end_line is None or column is None or end_column is None:
        return None, None
    extent = (line, column, end_line, end_column)
    statement = text.statement_at(extent)
    if statement is None:
        return None, None
    node = text.expression_at(extent, statement)
    return statement, node if isinstance(node, ast.expr) else None


# --- what running it again would do -----------------------------------------------------------

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return, ast.Assert)
_PURE = (
    *(ast.Name, ast.Attribute, ast.Constant, ast.Subscript, ast.Slice, ast.Starred),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Tuple, ast.List, ast.Dict),
    *(ast.keyword, ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
    *(ast.JoinedStr, ast.FormattedValue, ast.ListComp, ast.GeneratorExp, ast.DictComp),
    *(ast.comprehension, ast.NamedExpr, ast.Set),
)
_BLOCKS = (ast.If, ast.For, ast.Pass, ast.Break, ast.Continue, *_SIMPLE)
_PLAIN_CALLS = (
    *(len, int, float, bool, str, min, max, sum, abs, range, list, tuple, dict, zip, enumerate),
    *(isinstance, reversed, sorted, set, any, all, round, print, getattr, hasattr, type),
)
_LIBRARIES = ("torch", "einops", "math", "numpy")
_ACTS = (
    *("torch.serialization", "torch.distributed", "torch.multiprocessing", "torch.optim"),
    *("torch.hub", "torch.onnx", "torch.utils"),
)
_FILES = ("save", "load", "write", "fromfile", "tofile", "memmap", "genfromtxt")
_LASTING = frozenset(["backward", "register_hook", "share_memory_", "put", "set_", "add", "write"])
_ASKED = frozenset(["parameters", "named_parameters", "modules", "children", "state_dict"])
_DEEP = 6


class Effects:
    """Whether code that ran once may run again: it reads names, uses operators, and calls torch's
    functions, tensors' methods, modules, and functions of which the same is true.

    `running` are the frames that the exception passed: their names are known.
    """

    def __init__(self, scope: Scope, running: Mapping[CodeType, FrameType], depth: int = 0) -> None:
        self.scope = scope
        self.running = running
        self.depth = depth
        # Of a function: its names, and those of the lists and dicts that it makes itself.
        self.local: set[str] | None = None
        self.made: set[str] = set()

    def computes(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            plain = all(self._stores(each) for target in targets for each in _stored(target))
            return plain and node.value is not None and self.computes(node.value)
        if isinstance(node, ast.With):
            return self.holds(node) and all(map(self.computes, node.body))
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call):
            return self.is_harmless(node.func) and all(
                self.computes(part) for part in (*node.args, *node.keywords)
            )
        return isinstance(node, (*_PURE, *_BLOCKS)) and all(
            self.computes(part) for part in ast.iter_child_nodes(node)
        )

    def _stores(self, target: ast.expr) -> bool:
        """Whether writing there changes nothing that lasts: a name, an element of a copy."""
        if not isinstance(target, ast.Subscript):
            return isinstance(target, ast.Name | ast.Tuple | ast.List | ast.Starred)
        base = target.value
        while isinstance(base, ast.Subscript):
            base = base.value
        if not isinstance(base, ast.Name):
            return False
        return base.id in self.local if self.local is not None else _is_given(self.value(base))

    def holds(self, node: ast.AST) -> bool:
        """Whether it is a `with` of torch's that only says how to compute: no_grad, autocast."""
        return isinstance(node, ast.With) and all(
            item.optional_vars is None
            and isinstance(item.context_expr, ast.Call)
            and self.is_harmless(item.context_expr.func)
            and self.computes(item.context_expr)
            for item in node.items
        )

    def is_harmless(self, function: ast.expr) -> bool:
        """Whether calling it changes nothing that lasts."""
        value = self.value(function)
        if isinstance(value, nn.Module):
            return True
        if value is not None:
            return self._called(value)
        if isinstance(function, ast.Call):
            made = self.value(function.func)
            home = getattr(made, "__module__", None) or ""
            if home.startswith("torch.func") and function.args:  # torch.vmap(f)(x)
                return self._is_pure(function.args[0])
            # nn.CrossEntropyLoss()(scores, labels)
            return isinstance(made, type) and home.startswith("torch.") and self.computes(function)
        if not isinstance(function, ast.Attribute) or not self.computes(function.value):
            return False
        return self._method(self.value(function.value), function.value, function.attr)

    def _is_pure(self, function: ast.expr) -> bool:
        """The same of a function that another one is given."""
        if not isinstance(function, ast.Lambda):
            return self.is_harmless(function)
        arguments = function.args
        names = [each.arg for each in (*arguments.args, *arguments.kwonlyargs)]
        inner = Effects({**self.scope, **dict.fromkeys(names)}, self.running, self.depth)
        inner.local = set(names)
        return inner.computes(function.body)

    def is_repeatable(self, value: Any) -> bool:
        """Whether calling this changes nothing that lasts."""
        return isinstance(value, nn.Module) or (value is not None and self._called(value))

    def _called(self, value: Any) -> bool:
        home = getattr(value, "__module__", None) or ""
        if isinstance(value, BuiltinFunctionType | type) and value in _PLAIN_CALLS:
            return True
        if home.startswith(_ACTS) and not isinstance(value, type):
            return False
        if home.split(".")[0] in _LIBRARIES:
            return not getattr(value, "__name__", "").startswith(_FILES)
        if isinstance(value, MethodType):
            return self.function_computes(value.__func__)
        if isinstance(value, FunctionType):
            return self.function_computes(value)
        if isinstance(value, type):
            return issubclass(value, Exception)
        call = inspect.getattr_static(type(value), "__call__", None)
        return isinstance(call, FunctionType) and self.function_computes(call)

    def _method(self, owner: Any, written: ast.expr, name: str) -> bool:
        if isinstance(owner, Tensor):
            return hasattr(Tensor, name) and name not in _LASTING
        if isinstance(owner, list | dict | tuple | str | torch.Size):
            return hasattr(type(owner), name) and (
                name not in CHANGES or (isinstance(written, ast.Name) and self._owns(written.id))
            )
        if owner is None and isinstance(written, ast.Name) and written.id in self.made:
            return hasattr(list, name) or hasattr(dict, name) or hasattr(Tensor, name)
        if owner is None:
            unknown = not isinstance(written, ast.Name | ast.Attribute) or self.is_local(written)
            return unknown and hasattr(Tensor, name) and name not in _LASTING
        if isinstance(owner, nn.Module) and name in _ASKED:
            return True
        method = inspect.getattr_static(type(owner), name, None)
        method = method.__func__ if isinstance(method, staticmethod) else method
        return isinstance(method, FunctionType) and self.function_computes(method)

    def _owns(self, name: str) -> bool:
        """Whether the list or dict of this name is a copy, or made by the function itself."""
        return name in self.made if self.local is not None else _is_given(self.scope.get(name))

    def function_computes(self, function: Any) -> bool:
        """The same of all that a function of the user's does; torch's own functions compute."""
        function = inspect.unwrap(function)
        code = code_of(function)
        if code is None or self.depth >= _DEEP or not of_user(code.co_filename):
            return False
        text = text_of(code.co_filename)
        node = text.definition(code) if text is not None and text.contains(code) else None
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            return False
        frame = self.running.get(code)
        known = dict(frame.f_locals) if frame is not None else {}
        hidden = dict.fromkeys(set(code.co_varnames) - set(known), None)
        inner = Effects({**function.__globals__, **hidden, **known}, self.running, self.depth + 1)
        inner.local, inner.made = set(code.co_varnames), _made(node)
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        return all(map(inner.computes, body))

    def is_local(self, node: ast.expr) -> bool:
        """A name whose value is not known: one that a comprehension or a function gives it."""
        chain = chain_text(node)
        name = chain.split(".")[0] if chain else ""
        return self.scope.get(name) is None and not hasattr(builtins, name)

    def value(self, node: ast.expr) -> Any:
        """What a name or attribute chain stands for, found without running a property."""
        chain = chain_text(node)
        return None if chain is None else _value_of(chain, self.scope)


def _made(function: ast.AST) -> set[str]:
    """The names to which a function gives nothing but lists and dicts that it writes down."""
    fresh: set[str] = set()
    other: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            other.add(node.arg)
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            paired = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            pairs = (
                list(zip(target.elts, node.value.elts, strict=False))  # type: ignore[attr-defined]
                if paired
                else [(target, node.value)]
            )
            for each, value in pairs:
                if isinstance(each, ast.Name):
                    literal = isinstance(value, ast.List | ast.Dict | ast.ListComp | ast.DictComp)
                    (fresh if literal else other).add(each.id)
    return fresh - other


def _stored(target: ast.expr) -> Iterator[ast.expr]:
    yield target
    if isinstance(target, ast.Tuple | ast.List):
        for each in target.elts:
            yield from _stored(each)


def _value_of(chain: str, scope: Scope) -> Any:
    parts = tuple(chain.split("."))
    if len(parts) == 1 and parts[0] not in scope:
        return getattr(builtins, parts[0], None)
    found = resolve(parts, scope)
    return found[1] if found is not None and found[0] == chain else None
