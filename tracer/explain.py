"""What went wrong, told when it goes wrong: nothing is recorded until a module raises.

The failing call is then run once more under the tracer, with the objects that the traceback still
holds, and the explanation becomes a note of the very exception that was raised.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import dataclasses
import inspect
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.utils._pytree import tree_map_only

from tracer.api import trace
from tracer.document import Failure, Place, Trace
from tracer.record.construction import recording_construction
from tracer.record.names import resolve
from tracer.record.run import Cancelled
from tracer.source.text import text_of
from tracer.views.text import failure_text

HEADING = "Shapewalk explains:"
MOST_STEPS = 200_000
"""Operations after which running the failing call again is given up: it may loop without end where
what it consumes is gone."""

_TORCH = str(Path(torch.__file__).parent) + "/"
_HERE = str(Path(__file__).parent) + "/"
_CALLS: frozenset[CodeType] = frozenset(
    function.__code__
    for function in (nn.Module._wrapped_call_impl, nn.Module._call_impl)
    if hasattr(function, "__code__")
)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_ACROSS_PROCESSES = ("torch.distributed", "torch.nn.parallel.distributed")
_NOT_AGAIN = (MemoryError, torch.OutOfMemoryError)
_OWN_NAMES = frozenset(inspect.signature(trace).parameters)


def explain() -> Explaining:
    """Explain what raises inside.

        with tracer.explain():
            loss = criterion(model(x), y)
            loss.backward()

    Until it fails nothing is slower but the construction of modules, whose arguments are noted, by
    some microseconds each.  Then the exception is the same one, with the explanation as
    its note (`__notes__`, which Python prints below the message): the outermost module call that
    raised is run once more on copies of its inputs, under the tracer; modules and the random state
    are left as they were.  Also a decorator: `@tracer.explain()`.

    The object that `as` gives holds the `trace` of that run afterwards, None when there was none.
    """
    return Explaining()


class Explaining(contextlib.ContextDecorator):
    """The context of `explain`."""

    def __init__(self) -> None:
        self.trace: Trace | None = None
        self._recording = contextlib.ExitStack()

    def __enter__(self) -> Explaining:
        self._recording.enter_context(recording_construction())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._recording.close()
        if error is not None and not told(error):
            self.trace = explained(error)
            text = note(self.trace)
            if text:
                error.add_note(text)


def told(error: BaseException) -> bool:
    """Whether the exception carries an explanation already."""
    return any(str(each).startswith(HEADING) for each in getattr(error, "__notes__", ()))


def note(found: Trace | None) -> str:
    """The explanation as a note; empty when there is none."""
    if found is None or found.failure is None:
        return ""
    return f"{HEADING}\n{failure_text(found.failure, sources=found.sources)}"


def explained(error: BaseException) -> Trace | None:
    """The trace of the call that raised `error`, run again; None when no call of a module or
    operation of torch raised it, or when it cannot be run again.  Never raises.  That the second
    run was given up becomes the error's note."""
    if not isinstance(error, Exception) or isinstance(error, _NOT_AGAIN):
        return None
    try:
        for again in _attempts(error):
            # What the code prints and warns of was seen the first time.
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                found = again()
            if found is not None and found.failure is not None:
                return found
    except Cancelled:
        given_up = f"Running the failing call again was given up after {MOST_STEPS:,} operations."
        error.add_note(f"{HEADING}\n{given_up}")
    except Exception:  # noqa: BLE001 - an explanation must never take the place of the error
        pass
    return None


def traced(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    values: bool = True,
    name: str | None = None,
    build: Callable[[], nn.Module] | None = None,
    most: int | None = None,
) -> Trace:
    """`trace(model, *args, **kwargs)` where `kwargs` may hold names that `trace` itself has.

    Raises:
        Cancelled: it took more than `most` steps.
    """
    if kwargs.keys() & _OWN_NAMES:
        with contextlib.suppress(TypeError, ValueError):
            bound = inspect.signature(model.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs

    def watch(steps: int) -> None:
        if most is not None and steps > most:
            raise Cancelled

    return trace(model, *args, values=values, name=name, build=build, watch=watch, **kwargs)


# --- what is run again --------------------------------------------------------------------------


def _attempts(error: Exception) -> Iterator[Callable[[], Trace | None]]:
    """Ways to run the failing call again, the one that tells most first."""
    frames = list(_frames(error.__traceback__))
    position = next((i for i, (f, _) in enumerate(frames) if f.f_code in _CALLS), None)
    if position is None:
        own = [i for i, (f, _) in enumerate(frames) if not f.f_code.co_filename.startswith(_TORCH)]
        if own:
            yield lambda: _expression_again(*frames[own[-1]], error)
        return
    called = frames[position][0].f_locals
    module = called["self"]
    args, kwargs = tuple(called["args"]), dict(called["kwargs"])
    while isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        module = module.module
    if type(module).__module__.startswith(_ACROSS_PROCESSES):
        return  # its other processes would not answer a second time
    if _is_torchs(module) and position > 0:
        # Alone it would tell nothing of the line that calls it.
        yield lambda: _expression_again(*frames[position - 1], error)
    yield lambda: _call_again(module, args, kwargs)


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    """The frames that the exception passed, outermost first, each with its last instruction."""
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(_HERE):
            yield traceback.tb_frame, traceback.tb_lasti
        traceback = traceback.tb_next


def _is_torchs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn") and not isinstance(module, _CONTAINERS)


def _call_again(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Trace:
    args, kwargs = tree_map_only(Tensor, _copy, (args, kwargs))
    return traced(module, args, kwargs, values=False, most=MOST_STEPS)


def _copy(tensor: Tensor) -> Tensor:
    """The failing forward may write into its inputs, once more."""
    if isinstance(tensor, UninitializedTensorMixin | nn.Parameter):
        return tensor
    if tensor.requires_grad and not tensor.is_leaf:
        return tensor.clone()
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


# --- an expression that stands in no module -------------------------------------------------------


class _Expression(nn.Module):
    """What a line of a script computes, as a module: it runs where the line ran.  The tensors that
    it names are its inputs and the modules its children."""

    compute: Callable[[dict[str, Any]], Any]

    def __init__(
        self, code: CodeType, scope: dict[str, Any], modules: dict[str, nn.Module]
    ) -> None:
        super().__init__()
        # Not as attributes: the scope is no state of this module, nor to be copied with it.
        self.compute = lambda names: eval(code, {**scope, **names})
        for chain, module in modules.items():
            self.add_module(chain.replace(".", "_"), module)

    def forward(self, **tensors: Tensor) -> Any:
        return self.compute({**dict(self.named_children()), **tensors})


def _expression_again(frame: FrameType, lasti: int, error: Exception) -> Trace | None:
    """The failing expression of a frame once more, if that can do nothing but compute."""
    code = frame.f_code
    node = _node(code, lasti)
    if node is None:
        return None
    scope = {**frame.f_globals, **frame.f_locals}
    if not _only_computes(node, scope):
        return None
    compiled = (
        compile(ast.Expression(node), code.co_filename, "eval", dont_inherit=True)
        if isinstance(node, ast.expr)
        else compile(ast.Module([node], []), code.co_filename, "exec", dont_inherit=True)
    )
    compiled = compiled.replace(co_qualname=code.co_qualname)
    called = {each.func for each in ast.walk(node) if isinstance(each, ast.Call)}
    found = {ast.unparse(each): _value(each, scope) for each in called}
    modules = {chain: value for chain, value in found.items() if isinstance(value, nn.Module)}
    names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
    read = dict.fromkeys(each.id for each in sorted(names, key=lambda n: (n.lineno, n.col_offset)))
    tensors = {
        name: _copy(scope[name])
        for name in read
        if isinstance(scope.get(name), Tensor) and name not in _OWN_NAMES
    }
    again = _Expression(compiled, scope, modules)
    result = traced(again, (), tensors, values=False, name=code.co_name, most=MOST_STEPS)
    failure = result.failure
    if failure is None or failure.type != type(error).__name__:
        return None
    if failure.step is None or not failure.operands:
        return None  # without a tensor there is nothing to tell beyond the exception's own words
    return dataclasses.replace(result, failure=_without_us(failure))


def _without_us(failure: Failure) -> Failure:
    """What names the forward above, which stands for the script, names nothing."""
    root = failure.root
    if root is not None and root.file == __file__:
        root = dataclasses.replace(root, place=Place("", 0, "", None, None, "", "", None))
    fixes = tuple(f for f in failure.fixes if all(edit.file != __file__ for edit in f.edits))
    return dataclasses.replace(failure, root=root, fixes=fixes)


_PURE = (
    *(ast.Name, ast.Attribute, ast.Constant, ast.Subscript, ast.Slice, ast.Starred),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Tuple, ast.List, ast.Dict),
    *(ast.keyword, ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
    *(ast.JoinedStr, ast.FormattedValue),
)
_PLAIN_CALLS = (len, int, float, bool, min, max, sum, abs, range, list, tuple, zip, enumerate)


def _only_computes(node: ast.AST, scope: dict[str, Any]) -> bool:
    """Whether evaluating it a second time changes nothing: names, operators, and calls of torch's
    functions, of tensors' methods and of modules."""
    if isinstance(node, ast.AugAssign):
        return _only_computes(node.target, scope) and _only_computes(node.value, scope)
    if isinstance(node, ast.Assign):
        return all(
            isinstance(target, ast.Subscript) and _only_computes(target, scope)
            for target in node.targets
        ) and _only_computes(node.value, scope)
    if isinstance(node, ast.Call):
        return _is_harmless(node.func, scope) and all(
            _only_computes(part, scope) for part in (*node.args, *node.keywords)
        )
    return isinstance(node, _PURE) and all(
        _only_computes(part, scope) for part in ast.iter_child_nodes(node)
    )


def _is_harmless(function: ast.expr, scope: dict[str, Any]) -> bool:
    value = _value(function, scope)
    if isinstance(value, nn.Module):
        return True
    if value is not None:
        home = getattr(value, "__module__", None) or ""
        return value in _PLAIN_CALLS or home.split(".")[0] in ("torch", "einops")
    if not isinstance(function, ast.Attribute) or not _only_computes(function.value, scope):
        return False
    named = isinstance(function.value, ast.Name | ast.Attribute)
    if named and not isinstance(_value(function.value, scope), Tensor):
        return False
    name = function.attr
    return hasattr(Tensor, name) and name not in ("backward", "register_hook", "share_memory_")


def _value(node: ast.expr, scope: dict[str, Any]) -> Any:
    """What a name or attribute chain stands for, found without running a property; else None."""
    chain = tuple(ast.unparse(node).split("."))
    if not all(part.isidentifier() for part in chain):
        return None
    if len(chain) == 1 and chain[0] not in scope:
        return getattr(builtins, chain[0], None)
    found = resolve(chain, scope)
    return found[1] if found is not None and found[0] == ".".join(chain) else None


def _node(code: CodeType, lasti: int) -> ast.expr | ast.stmt | None:
    """What an instruction stands for in the source, None when that cannot be told."""
    line, end_line, column, end_column = (*code.co_positions(),)[lasti // 2]
    file = text_of(code.co_filename)
    if file is None or not file.contains(code):
        return None
    if line is None or end_line is None or column is None or end_column is None:
        return None
    extent = (line, column, end_line, end_column)
    statement = file.statement_at(extent)
    if statement is None:
        return None
    node = file.expression_at(extent, statement)
    # Writing through `x[...] = v` is all of the statement.
    whole = isinstance(statement, ast.Assign) and any(node is each for each in statement.targets)
    return node if isinstance(node, ast.expr) and not whole else statement
