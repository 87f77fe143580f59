"""Copies of functions and classes, to which edited source is lent."""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tracer.diagnosis.repair.edited import CannotRunError, Edited, Sources, first_line
from tracer.syntax import silently

_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
_TABLES = frozenset(nn.Module().__dict__)
_MOST = 50  # items of a container that are looked at
_DEPTH = 4  # of values in the attributes of a module


class Twins:
    """Copies of the functions and classes of some files.

    A copy of a function has copied globals, in which the functions and classes of the same files
    are copies too: an edited helper is reached from wherever it is called, and the user's own
    objects are not touched.  The copies are made once; `edited` gives them other code and takes it
    away again.
    """

    def __init__(self, files: frozenset[str]) -> None:
        self.files = files
        self._memo: dict[int, Any] = {}
        self._keep: list[Any] = []  # what is known by id must live
        self._pending: list[Callable[[], None]] = []
        self._functions: dict[str, list[tuple[FunctionType, FunctionType]]] = {}
        self._classes: list[tuple[type, type]] = []
        self._names: dict[str, dict[str, Any]] = {}  # the copied globals of each file
        self._edited: dict[str, Edited] = {}
        self._replaced: dict[int, tuple[Any, Any]] = {}

    # --- copies ---

    def inhabit(self, model: nn.Module) -> None:
        """Give every module of a copied model its copied class, and copied functions and classes
        to what its attributes hold."""
        for module in model.modules():
            cls = self.of(type(module))
            if cls is not type(module):
                try:
                    module.__class__ = cls
                except TypeError as error:
                    raise CannotRunError(str(error)) from error
            for name, value in list(vars(module).items()):
                if not name.startswith("_") or name not in _TABLES:
                    other = self._inhabited(value, _DEPTH)
                    if other is not value:
                        vars(module)[name] = other

    def _inhabited(self, value: Any, depth: int) -> Any:
        """The copy of a function or class; an object of a copied class changes its class."""
        if isinstance(value, FunctionType | type | functools.partial | MethodType):
            return self.of(value)
        if isinstance(value, Tensor | nn.Module | ModuleType) or not depth:
            return value
        if type(value) in (list, tuple) and len(value) <= _MOST:
            items = [self._inhabited(item, depth - 1) for item in value]
            same = all(a is b for a, b in zip(items, value, strict=True))
            return value if same else type(value)(items)
        if type(value) is dict and len(value) <= _MOST:
            for key, item in list(value.items()):
                other = self._inhabited(item, depth - 1)
                if other is not item:
                    value[key] = other
            return value
        twin = self._memo.get(id(type(value)))
        if twin is not None and twin is not type(value):
            with contextlib.suppress(TypeError):
                value.__class__ = twin
        return value

    def of(self, value: Any) -> Any:
        """The copy that stands for a function, class or module; anything else is itself."""
        found = self._of(value)
        while self._pending:
            self._pending.pop()()
        return found

    def _of(self, value: Any) -> Any:
        if id(value) in self._memo:
            return self._memo[id(value)]
        if isinstance(value, FunctionType):
            return self._function(value) if self._ours(value) else value
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, staticmethod | classmethod):
            inner = self._of(value.__func__)
            return value if inner is value.__func__ else type(value)(inner)
        if isinstance(value, property):
            parts = [self._of(part) for part in (value.fget, value.fset, value.fdel)]
            return property(parts[0], parts[1], parts[2], value.__doc__)
        if isinstance(value, functools.partial):
            inner = self._of(value.func)
            same = inner is value.func
            return value if same else functools.partial(inner, *value.args, **value.keywords)
        if isinstance(value, MethodType):
            inner = self._of(value.__func__)
            owner = self._of(value.__self__) if isinstance(value.__self__, type) else value.__self__
            return value if inner is value.__func__ else MethodType(inner, owner)
        if isinstance(value, ModuleType):
            return self._module(value)
        if type(value) in (list, tuple) and len(value) <= _MOST:
            items = [self._of(item) for item in value]
            same = all(a is b for a, b in zip(items, value, strict=True))
            return value if same else type(value)(items)
        if type(value) is dict and "__builtins__" in value:
            return self._globals(value)
        if type(value) is dict and len(value) <= _MOST:
            table = {key: self._of(item) for key, item in value.items()}
            same = all(table[key] is item for key, item in value.items())
            return value if same else table
        return value

    def _remember(self, value: Any, twin: Any) -> Any:
        self._keep.append(value)
        self._memo[id(value)] = twin
        return twin

    def _function(self, function: FunctionType) -> FunctionType:
        file = function.__code__.co_filename
        edited = self._edited.get(file)
        code = _code(function, edited) if edited is not None else function.__code__
        old = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        cells = tuple(self._cell(old.get(name), name) for name in code.co_freevars)
        names = function.__globals__
        ours = file in self.files
        twin = FunctionType(
            code,
            self._globals(names) if ours else names,
            function.__name__,
            function.__defaults__,
            cells or None,
        )
        self._remember(function, twin)
        if ours:
            self._functions.setdefault(file, []).append((function, twin))
            self._names.setdefault(file, twin.__globals__)
        twin.__kwdefaults__ = function.__kwdefaults__
        self._pending.append(lambda: self._default(function, twin))
        twin.__qualname__ = function.__qualname__
        twin.__module__ = function.__module__
        twin.__dict__.update({k: self._of(v) for k, v in function.__dict__.items()})
        return twin

    def _default(self, function: FunctionType, twin: FunctionType) -> None:
        """What an argument is by default may be a class or a function: `block=Block`."""
        twin.__defaults__ = self._of(function.__defaults__)
        twin.__kwdefaults__ = self._of(function.__kwdefaults__)

    def _cell(self, cell: CellType | None, name: str) -> CellType:
        if cell is None:
            raise CannotRunError(f"the edit uses {name}, which its function does not see")
        if id(cell) in self._memo:
            found: CellType = self._memo[id(cell)]
            return found
        twin: CellType = self._remember(cell, CellType())

        def fill() -> None:
            with contextlib.suppress(ValueError):  # an empty cell stays empty
                twin.cell_contents = self._of(cell.cell_contents)

        self._pending.append(fill)
        return twin

    def _globals(self, names: dict[str, Any]) -> dict[str, Any]:
        if id(names) in self._memo:
            known: dict[str, Any] = self._memo[id(names)]
            return known
        twin: dict[str, Any] = self._remember(names, dict(names))
        kinds = (FunctionType, type, ModuleType, functools.partial, dict, list, tuple)

        def fill() -> None:
            for name, value in names.items():
                if isinstance(value, kinds):
                    twin[name] = self._of(value)

        self._pending.append(fill)
        return twin

    def _class(self, cls: type) -> type:
        functions = [value for value in vars(cls).values() if self._ours(value)]
        bases = tuple(self._of(base) for base in cls.__bases__)
        torchs = issubclass(cls, nn.Module | torch.autograd.Function)
        plain = type(cls) is type and "__slots__" not in vars(cls)
        if (not functions and bases == cls.__bases__) or not (torchs or plain):
            return self._remember(cls, cls)  # type: ignore[no-any-return]
        table = {
            name: self._of(value)
            for name, value in vars(cls).items()
            if name not in ("__dict__", "__weakref__")
        }
        try:
            twin = type(cls)(cls.__name__, bases, table)
        except Exception as error:
            if not torchs:
                return self._remember(cls, cls)  # type: ignore[no-any-return]
            raise CannotRunError(f"the class {cls.__name__} cannot be copied: {error}") from error
        twin.__qualname__ = cls.__qualname__
        self._classes.append((cls, twin))
        return self._remember(cls, twin)  # type: ignore[no-any-return]

    def _ours(self, value: Any) -> bool:
        inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        # A decorator's wrapper is written elsewhere: it holds the function in a cell.
        return any(
            isinstance(each, FunctionType) and each.__code__.co_filename in self.files
            for each in (inner, unwrapped(inner))
        )

    def _module(self, module: ModuleType) -> ModuleType:
        if getattr(module, "__file__", None) not in self.files:
            return module
        twin = ModuleType(module.__name__)
        self._remember(module, twin)
        table = self._globals(vars(module))
        self._names.setdefault(str(module.__file__), table)

        def name_of(name: str) -> Any:
            if name not in table:
                raise AttributeError(name)
            return table[name]

        # Its names are its functions' globals: what an edit puts there is seen from both.
        vars(twin)["__getattr__"] = name_of
        return twin

    # --- edits ---

    @contextlib.contextmanager
    def edited(self, sources: Sources, make: Callable[[], Any] = lambda: None) -> Iterator[Any]:
        """The copies run the edited text inside; `make` may have copies made from it, and what it
        returns is handed on.

        Raises:
            CannotRunError: the texts do not make a program.
            NeedsNewTwinsError: these copies cannot take that code, fresh ones can.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self._edited.clear)
            undo.callback(self._replaced.clear)
            for value in (value for names in self._names.values() for value in names.values()):
                _held(value, _DEPTH, undo)
            for file, text in sources:
                if file not in self.files:
                    raise NeedsNewTwinsError(file)
                edited = Edited(file, text)
                self._edited[file] = edited
            made = make()
            for file, edited in self._edited.items():
                names = self._names.get(file, {})
                for each in edited.added:
                    self._execute(each, edited, names, undo)
                self._recode(edited, undo)
                self._restate(edited, names, undo)
            yield made

    def replaced(self, value: Any) -> Any:
        """What stands for an object that an edited statement made anew, a config for example."""
        if id(value) in self._replaced:
            return self._replaced[id(value)][1]
        if type(value) in (list, tuple):
            return type(value)(map(self.replaced, value))
        if type(value) is dict:
            return {key: self.replaced(item) for key, item in value.items()}
        return value

    def _recode(self, edited: Edited, undo: contextlib.ExitStack) -> None:
        for function, twin in self._functions.get(edited.file, ()):
            code = _code(function, edited)
            if code is twin.__code__:
                continue
            if code.co_freevars != twin.__code__.co_freevars:
                raise NeedsNewTwinsError(function.__qualname__)
            undo.callback(setattr, twin, "__code__", twin.__code__)
            twin.__code__ = code

    def _restate(self, edited: Edited, names: dict[str, Any], undo: contextlib.ExitStack) -> None:
        """What was worked out when the file was loaded: constants, a config, defaults, attributes
        of classes; and what was worked out from these."""
        fresh: set[str] = set()
        changed = {id(now) for _, now in edited.changed}
        for now in edited.statements:
            touched = id(now) in changed
            if not touched and not fresh:
                continue
            used = _used(now) if fresh else frozenset()
            if isinstance(now, ast.Assign | ast.AnnAssign | ast.AugAssign):
                made = _bound(now)
                plain = all(name in names and not _costly(names[name]) for name in made)
                if plain and (touched or used & fresh):
                    self._execute(now, edited, names, undo)
                    fresh |= made
            elif isinstance(now, ast.ClassDef) and touched:
                fresh |= self._class_body(now, edited, names, undo)
            if touched or used & fresh:
                for node in now.body if isinstance(now, ast.ClassDef) else [now]:
                    if isinstance(node, _FUNCTIONS):
                        self._defaults(node, edited, names, undo)

    def _execute(
        self, now: ast.stmt, edited: Edited, names: dict[str, Any], undo: contextlib.ExitStack
    ) -> None:
        before = {name: names[name] for name in _bound(now) if name in names}
        if not isinstance(now, ast.ClassDef):
            # What a statement changes in place is the user's own.
            names.update({name: _apart(value) for name, value in before.items()})
        edited.publish()
        try:
            exec(silently(ast.Module([now], []), edited.name), names)
        except Exception as error:
            names.update(before)
            raise CannotRunError(f"the edited statement raised {error}") from error
        for name in _bound(now):
            if name in before:
                undo.callback(names.__setitem__, name, before[name])
                self._replace(before[name], names[name], 3)
            else:
                undo.callback(names.pop, name, None)

    def _replace(self, old: Any, new: Any, depth: int) -> None:
        """Remember what stands for an object and for what it holds."""
        if old is new or isinstance(old, int | float | str | bytes | None | Tensor) or not depth:
            return
        self._replaced[id(old)] = old, new
        inside = old if type(old) is dict else getattr(old, "__dict__", {})
        other = new if type(new) is dict else getattr(new, "__dict__", {})
        for name, value in inside.items():
            if name in other:
                self._replace(value, other[name], depth - 1)

    def _class_body(
        self, now: ast.ClassDef, edited: Edited, names: dict[str, Any], undo: contextlib.ExitStack
    ) -> set[str]:
        """Take over what the body of a class says besides its functions; the class's name where it
        was made anew, as one with a generated constructor is."""
        was = next(old for old, new in edited.changed if new is now)
        assert isinstance(was, ast.ClassDef)
        statements = [each for each in now.body if isinstance(each, ast.Assign | ast.AnnAssign)]
        known = {
            ast.dump(each) for each in was.body if isinstance(each, ast.Assign | ast.AnnAssign)
        }
        changed = [each for each in statements if ast.dump(each) not in known]
        twin = names.get(now.name)
        if isinstance(twin, type):
            self._new_methods(was, now, twin, edited, names, undo)
        if not changed or not isinstance(twin, type):
            return set()
        if not issubclass(twin, nn.Module):
            self._execute(now, edited, names, undo)
            return {now.name}
        for each in changed:
            space = {**names, **vars(twin)}
            self._execute(each, edited, space, contextlib.ExitStack())
            for name in _bound(each):
                if name in vars(twin):
                    undo.callback(setattr, twin, name, vars(twin)[name])
                setattr(twin, name, space[name])
        return set()

    def _new_methods(
        self,
        was: ast.ClassDef,
        now: ast.ClassDef,
        twin: type,
        edited: Edited,
        names: dict[str, Any],
        undo: contextlib.ExitStack,
    ) -> None:
        """Give a copied class the methods that its text has now and had not."""
        known = {each.name for each in was.body if isinstance(each, _FUNCTIONS)}
        for each in now.body:
            if not isinstance(each, _FUNCTIONS) or each.name in known:
                continue
            if any(isinstance(node, ast.Name) and node.id == "super" for node in ast.walk(each)):
                raise CannotRunError(f"the new method {each.name} calls super()")
            edited.publish()
            made: dict[str, Any] = {}
            try:
                exec(silently(ast.Module([each], []), edited.name), names, made)
            except Exception as error:
                raise CannotRunError(f"the new method {each.name} raised {error}") from error
            method = made[each.name]
            if isinstance(method, FunctionType):
                method.__qualname__ = f"{twin.__qualname__}.{each.name}"
            undo.callback(delattr, twin, each.name)
            setattr(twin, each.name, method)

    def _defaults(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef,
        edited: Edited,
        names: dict[str, Any],
        undo: contextlib.ExitStack,
    ) -> None:
        """A default value may be what was edited: `def __init__(self, width=400)`."""
        if not node.args.defaults and not any(node.args.kw_defaults):
            return
        for _, twin in self._functions.get(edited.file, ()):
            if twin.__name__ != node.name or twin.__code__.co_firstlineno != first_line(node):
                continue
            positional = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
            written = dict(zip(reversed(positional), reversed(node.args.defaults), strict=False))
            only = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            keywords = {each.arg: value for each, value in only if value is not None}
            parameters = inspect.signature(twin).parameters
            undo.callback(setattr, twin, "__defaults__", twin.__defaults__)
            undo.callback(setattr, twin, "__kwdefaults__", twin.__kwdefaults__)
            twin.__defaults__ = tuple(
                _evaluated(written[name], names, parameters[name].default)
                for name in positional
                if name in written
            )
            if keywords:
                twin.__kwdefaults__ = {
                    name: _evaluated(value, names, parameters[name].default)
                    for name, value in keywords.items()
                }


def _code(function: FunctionType, edited: Edited) -> CodeType:
    part = function.__dict__.get("part")  # of a slice of a script
    return edited.code(function.__code__) if part is None else edited.part(part)


class NeedsNewTwinsError(Exception):
    """Edited code closes over other names, or stands in a file without copies."""


def _evaluated(node: ast.expr, names: dict[str, Any], otherwise: Any) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        pass
    try:
        # A name of the file: what is called there may have effects.
        if not any(isinstance(each, ast.Call) for each in ast.walk(node)):
            return eval(compile(ast.Expression(node), "<default>", "eval"), names)
    except Exception:  # noqa: BLE001 - of a class body's own names nothing is known here
        return otherwise
    return otherwise


@functools.lru_cache(maxsize=1024)
def _used(statement: ast.stmt) -> frozenset[str]:
    return frozenset(each.id for each in ast.walk(statement) if isinstance(each, ast.Name))


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement at the top of a file binds or changes."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(each.asname or each.name).partition(".")[0] for each in statement.names}
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    else:
        return set()
    return {name for target in targets for name in _names_of(target)}


def _names_of(target: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Tuple | ast.List):
        for each in target.elts:
            yield from _names_of(each)
    while isinstance(target, ast.Subscript | ast.Attribute | ast.Starred):
        target = target.value
    if isinstance(target, ast.Name):
        yield target.id


def _apart(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - then it is no plain value
        return value


def _held(value: Any, depth: int, undo: contextlib.ExitStack) -> None:
    """Let a list or dict, a config for example, hold again what it holds now: it is the user's own,
    and an edit may leave out what copied it before it was changed."""
    if type(value) not in (dict, list) or not depth or len(value) > _MOST:
        return
    kept = value.copy()
    for inside in kept.values() if type(kept) is dict else kept:
        _held(inside, depth - 1, undo)

    def again() -> None:
        if _alike(value, kept):
            return
        value.clear()
        value.update(kept) if type(value) is dict else value.extend(kept)

    undo.callback(again)


def _alike(value: Any, kept: Any) -> bool:
    """Whether two lists, or two dicts, hold the very same."""
    if len(value) != len(kept):
        return False
    if type(value) is dict:
        return all(name in value and value[name] is kept[name] for name in kept)
    return all(a is b for a, b in zip(value, kept, strict=True))


def _costly(value: Any) -> bool:
    """What is not made anew for an edit above it."""
    return isinstance(value, nn.Module | Tensor)


def unwrapped(value: Any) -> Any:
    try:
        return inspect.unwrap(value)
    except ValueError:  # a cycle of wrappers
        return value
