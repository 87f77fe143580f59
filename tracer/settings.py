"""Objects and dictionaries of settings that a constructor takes, `cfg.dim` and `cfg["dim"]`, made
of what it reads of them.  They are texts as all arguments are, `SimpleNamespace(dim=64)` and
`{'dim': 64}`, whose single values are changed as other arguments are."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from types import FrameType, FunctionType
from typing import Any

from torch import nn

from tracer.reading import OF_TABLES, Reads, Scope, is_of_self, reads
from tracer.record.tensors import modules_in
from tracer.source.text import Text, definition, text_of
from tracer.source.values import Unknown, value_of
from tracer.syntax import parsed

OBJECT, TABLE = "SimpleNamespace()", "{}"

DEPTH = 4
"""Constructors through which settings are handed on, and settings within settings."""

MOST_PARTS = 80

Way = tuple[str, ...]
"""Where a single value stands: the argument, and in settings the names down to it."""

_OBJECTS = ("SimpleNamespace", "Namespace")
_NAME = re.compile(
    r"^(\w+_)?(cfg|config|conf|configs|args|opts?|options|params|hparams|hps?|settings)$"
)
_NO_MAPPING = re.compile(r"must be a mapping|not subscriptable|not iterable|not a container")
_LACKING = re.compile(r"missing \d+ required (?:positional|keyword-only) arguments?: (.*)$")

_SWITCH = re.compile(r"^(use|is|has|with|do|no|add|enable|return|learn)_|(^|_)(bias|causal|flash)$")
_SHARE = re.compile(r"drop|prob|(^|_)p$|eps|slope|momentum|alpha|temperature|smoothing|std$")
_KIND = re.compile(r"(^|_)(act|activation|nonlin|nonlinearity|act_fn)$")


# --- their texts --------------------------------------------------------------------------------


def slots(texts: Mapping[str, str]) -> dict[Way, str]:
    """The single values of these arguments, those of settings one by one."""
    found: dict[Way, str] = {}
    for name, text in texts.items():
        found |= _within((name,), text)
    return found


def is_made_up(text: str) -> bool:
    """Whether a text is of settings that were made here."""
    return bool(_members(text))


def _within(way: Way, text: str) -> dict[Way, str]:
    members = _members(text)
    if members is None:
        return {way: text}
    found: dict[Way, str] = {}
    for name, inner in members.items():
        found |= _within((*way, name), inner)
    return found


def put(texts: Mapping[str, str], way: Way, text: str) -> dict[str, str]:
    """The arguments with another text at one place."""
    name, *rest = way
    return {**texts, name: _put(texts.get(name, OBJECT), tuple(rest), text)}


def _put(whole: str, way: Way, text: str) -> str:
    if not way:
        return text
    name, *rest = way
    members = _members(whole) or {}
    members[name] = _put(members.get(name, OBJECT), tuple(rest), text)
    return _joined(whole, members)


def _joined(whole: str, members: Mapping[str, str]) -> str:
    if whole.startswith("{"):
        return "{" + ", ".join(f"{name!r}: {text}" for name, text in members.items()) + "}"
    parts = ", ".join(f"{name}={text}" for name, text in members.items())
    return f"{whole.partition('(')[0]}({parts})"


def _members(text: str) -> dict[str, str] | None:
    """What is in a text of settings by its names; None of any other text."""
    if not text.startswith("{") and "Namespace(" not in text:
        return None
    try:
        node = parsed(text.strip(), "eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if isinstance(node, ast.Dict):
        keys = [each.value if isinstance(each, ast.Constant) else None for each in node.keys]
        if all(isinstance(each, str) for each in keys):
            return {
                str(key): ast.unparse(value) for key, value in zip(keys, node.values, strict=True)
            }
    elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _OBJECTS:
        return {str(each.arg): ast.unparse(each.value) for each in node.keywords}
    return None


def _holders(texts: Mapping[str, str]) -> dict[Way, dict[str, str]]:
    """All settings, those within others among them, by where they stand."""
    found: dict[Way, dict[str, str]] = {}
    pending: list[tuple[Way, str]] = [((name,), text) for name, text in texts.items()]
    while pending:
        way, text = pending.pop(0)
        members = _members(text)
        if members is not None:
            found[way] = members
            pending += [((*way, name), inner) for name, inner in members.items()]
    return found


def _text_at(texts: Mapping[str, str], way: Way) -> str:
    name, *rest = way
    text = texts.get(name, "")
    for each in rest:
        text = (_members(text) or {}).get(each, "")
    return text


# --- what is read of them -----------------------------------------------------------------------


def _reads(made: Callable[..., Any], name: str) -> Reads:
    """What a constructor, the methods of its class, and what it hands it on to, read of the
    argument of that name."""
    found = reads(_scope(made), name)
    found.is_called = found.is_called or bool(found.methods)
    return found


def _scope(made: Any) -> Scope:
    def called(call: ast.Call) -> Scope | None:
        takes: Any = None
        if isinstance(call.func, ast.Name):
            takes = _own_names(made).get(call.func.id)
        elif is_of_self(call.func) and isinstance(made, type):
            takes = getattr(made, call.func.attr, None)  # type: ignore[attr-defined]
        elif ast.unparse(call.func) == "super().__init__" and isinstance(made, type):
            takes = next((each for each in made.__mro__[1:] if "__init__" in vars(each)), None)
        if takes is None or takes is nn.Module or not callable(takes):
            return None
        inner = _scope(takes)
        return dataclasses.replace(inner, bound=inner.bound or is_of_self(call.func))

    return Scope(_constructor(made), called, tuple(_methods(made)), isinstance(made, type))


def _constructor(made: Any) -> Any:
    own = getattr(made, "__init__", made) if isinstance(made, type) else made
    return inspect.unwrap(own)


def _methods(made: Any) -> Iterator[FunctionType]:
    for kind in made.__mro__ if isinstance(made, type) else ():
        if not kind.__module__.startswith("torch."):
            yield from (each for each in vars(kind).values() if isinstance(each, FunctionType))


# --- what they are made of ----------------------------------------------------------------------

Guess = Callable[[str], str]
"""The text of a single value, by its name."""


def may_be(kind: Any) -> bool:
    """Whether an annotation leaves it open what is in an argument."""
    named = isinstance(kind, type) and kind.__name__ in _OBJECTS
    return named or kind in (inspect.Parameter.empty, Any, object) or is_table(kind)


def is_table(kind: Any) -> bool:
    """Whether an annotation says that it is a dictionary."""
    plain = typing.get_origin(kind) or kind
    return typing.is_typeddict(plain) or (isinstance(plain, type) and issubclass(plain, Mapping))


def start(made: Callable[..., Any], parameter: inspect.Parameter) -> str | None:
    """The text of settings without anything in them, where an argument of which its annotation does
    not say what it is seems to be such; the name of what has all that is read of it, where the text
    has that."""
    found = _reads(made, parameter.name)
    if found.is_called:
        return None
    if found.items or found.is_table or is_table(parameter.annotation):
        return _beside(made, lambda value: _is_with_items(value, found.items)) or TABLE
    if found.attributes:
        return _beside(made, lambda value: _is_with(value, found.attributes)) or OBJECT
    return OBJECT if _NAME.match(parameter.name) else None


def class_of(made: Callable[..., Any], name: str) -> type | None:
    """The class beside a constructor whose instances have all that is read of that argument."""
    found = _reads(made, name)
    if not found.attributes or found.is_called or found.items:
        return None
    return having(_own_names(made), getattr(made, "__module__", ""), found.attributes)


def having(names: Mapping[str, Any], module: str, parts: Mapping[str, None]) -> type | None:
    """The first class of these names, written in that module and none of modules, whose instances
    have all of these parts."""
    kinds = [each for each in names.values() if isinstance(each, type)]
    own = [each for each in kinds if each.__module__ == module and not issubclass(each, nn.Module)]
    return next((each for each in own if _has(each, parts)), None)


def _has(kind: type, names: Mapping[str, None]) -> bool:
    known = {name for each in kind.__mro__ for name in (*vars(each), *_annotated(each))}
    known |= set(_set_on_self(kind))
    return known.issuperset(names)


def _annotated(kind: type) -> Mapping[str, Any]:
    found: Mapping[str, Any] = vars(kind).get("__annotations__", {})
    return found


def _set_on_self(kind: type) -> Iterator[str]:
    known = definition(_constructor(kind))
    for node in ast.walk(known[1]) if known is not None else ():
        if isinstance(node, ast.Attribute) and is_of_self(node) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _beside(made: Callable[..., Any], fits: Callable[[Any], bool]) -> str | None:
    """The name of the first value beside a constructor that fits."""
    return next((name for name, each in _own_names(made).items() if fits(each)), None)


def _own_names(made: Callable[..., Any]) -> dict[str, Any]:
    names: dict[str, Any] = getattr(_constructor(made), "__globals__", {})
    return {name: each for name, each in names.items() if not name.startswith("__")}


def _is_with(value: Any, names: Mapping[str, None]) -> bool:
    if isinstance(value, type | types.ModuleType | nn.Module) or callable(value):
        return False
    held = getattr(value, "__dict__", {})
    return bool(held) and all(each in held or hasattr(type(value), each) for each in names)


def _is_with_items(value: Any, names: Mapping[str, None]) -> bool:
    return isinstance(value, dict) and bool(names) and all(each in value for each in names)


# --- what a constructor finds to be lacking -----------------------------------------------------


def more(
    made: Callable[..., Any], texts: Mapping[str, str], error: BaseException, guess: Guess
) -> dict[str, str] | None:
    """The arguments with what of settings the error says is lacking, or with settings in the place
    of a number of which a part is read; None if it says nothing of the kind."""
    holders = _holders(texts)
    if sum(map(len, holders.values())) > MOST_PARTS or not holders:
        return None
    where = _where(error)
    file = where[0].f_code.co_filename if where is not None else ""
    value = _guessing(made, file, guess)
    if isinstance(error, AttributeError) and isinstance(error.name, str):
        return _with_attribute(texts, holders, error, where, value)
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        way = _lacking(holders, texts, error.args[0], where)
        return None if way is None else put(texts, (*way, error.args[0]), value(error.args[0]))
    if isinstance(error, TypeError):
        return _as_table(texts, holders, str(error), where, value)
    return None


def _guessing(made: Callable[..., Any], file: str, guess: Guess) -> Guess:
    return lambda name: _value(made, file, name) or guess(name)


def _with_attribute(
    texts: Mapping[str, str],
    holders: Mapping[Way, dict[str, str]],
    error: AttributeError,
    where: tuple[FrameType, ast.expr] | None,
    value: Guess,
) -> dict[str, str] | None:
    name = str(error.name)
    if type(error.obj).__name__ in _OBJECTS:
        way = _held(holders, vars(error.obj), where)
        if way is None:
            return None
        if name in OF_TABLES:
            return put(texts, way, _joined(TABLE, holders[way]))
        return put(texts, (*way, name), value(name))
    if type(error.obj) in (int, float, str, bool):
        way = _number(texts, holders, *_whole(where))
        if way is not None:
            return put(texts, way, _joined(OBJECT, {name: value(name)}))
    return None


def _as_table(
    texts: Mapping[str, str],
    holders: Mapping[Way, dict[str, str]],
    words: str,
    where: tuple[FrameType, ast.expr] | None,
    value: Guess,
) -> dict[str, str] | None:
    lacking = _LACKING.search(words)
    if lacking is not None and where is not None and isinstance(where[1], ast.Call):
        spread = [each.value for each in where[1].keywords if each.arg is None]
        for node in spread:
            way = _held(holders, _worth(node, where[0]), where)
            if way is not None:
                for name in re.findall(r"'(\w+)'", lacking[1]):
                    texts = put(texts, (*way, name), value(name))
                return dict(texts)
    if not _NO_MAPPING.search(words) or where is None:
        return None
    if isinstance(where[1], ast.Call):
        for each in (keyword.value for keyword in where[1].keywords if keyword.arg is None):
            way = _number(texts, holders, where[0], each)
            if way is not None:
                return put(texts, way, TABLE)
    if any(each in words for each in _OBJECTS):
        inner = [_worth(node, where[0]) for node in _operands(where[1])]
        for each in inner:
            way = _held(holders, vars(each), where) if type(each).__name__ in _OBJECTS else None
            if way is not None:
                return put(texts, way, _joined(TABLE, holders[way]))
    node = where[1]
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        key = node.slice.value
        way = _number(texts, holders, *_whole(where))
        if isinstance(key, str) and way is not None:
            return put(texts, way, _joined(TABLE, {key: value(key)}))
    return None


def _operands(node: ast.expr) -> Iterator[ast.expr]:
    yield from (each for each in ast.walk(node) if isinstance(each, ast.Name | ast.Attribute))


def _held(
    holders: Mapping[Way, dict[str, str]],
    held: Any,
    where: tuple[FrameType, ast.expr] | None,
) -> Way | None:
    """Which settings these are: those of which all is there, the most; of those alike the one that
    is called so where it is read."""
    if not isinstance(held, dict):
        return None
    fitting = [way for way, members in holders.items() if members.keys() <= held.keys()]
    named = set(_called(where)) if where is not None else set()
    fitting.sort(key=lambda way: (-len(holders[way]), way[-1] not in named))
    return next(iter(fitting), None)


def _lacking(
    holders: Mapping[Way, dict[str, str]],
    texts: Mapping[str, str],
    key: str,
    where: tuple[FrameType, ast.expr] | None,
) -> Way | None:
    """The table that lacks a key."""
    tables = {
        way: members
        for way, members in holders.items()
        if key not in members and _text_at(texts, way).startswith("{")
    }
    node = where[1] if where is not None else None
    held = None
    if where is not None and isinstance(node, ast.Subscript):
        held = _worth(node.value, where[0])
    return _held(tables, held, where) or next(iter(tables), None)


def _whole(where: tuple[FrameType, ast.expr] | None) -> tuple[FrameType | None, ast.expr | None]:
    """The frame, and the expression of which the failing one reads a part."""
    node = where[1] if where is not None else None
    if where is None or not isinstance(node, ast.Attribute | ast.Subscript):
        return None, None
    return where[0], node.value


def _number(
    texts: Mapping[str, str],
    holders: Mapping[Way, dict[str, str]],
    frame: FrameType | None,
    node: ast.expr | None,
) -> Way | None:
    """The single value of settings that an expression is, by what it is called there."""
    if frame is None or node is None:
        return None
    ways = [way for way in slots(texts) if way[:-1] in holders or len(way) == 1]
    named = [way for name in _called((frame, node)) for way in ways if way[-1] == name]
    return next(iter(named), None)


def _called(where: tuple[FrameType, ast.expr]) -> Iterator[str]:
    """The names by which an expression calls what it reads, and what these were given in the
    function: `model` of `cfg.model`, and of `m` where that says `m = cfg.model`."""
    frame, node = where
    yield from _last_names(node)
    text = text_of(frame.f_code.co_filename)
    function = text.definition(frame.f_code) if text is not None else None
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    for each in ast.walk(function) if function is not None else ():
        if isinstance(each, ast.Assign) and getattr(each.targets[0], "id", "") in names:
            yield from _last_names(each.value)


def _last_names(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute):
            yield each.attr
        elif isinstance(each, ast.Subscript) and isinstance(each.slice, ast.Constant):
            yield str(each.slice.value)
        elif isinstance(each, ast.Name):
            yield each.id


def _worth(node: ast.expr, frame: FrameType) -> Any:
    try:
        return value_of(node, frame.f_locals, frame.f_globals)
    except Unknown:
        return None


def _where(error: BaseException) -> tuple[FrameType, ast.expr] | None:
    """The innermost expression, with its frame, at which it was raised."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return None
    code = last.tb_frame.f_code
    (where, *_) = itertools.islice(code.co_positions(), last.tb_lasti // 2, None)
    text = text_of(code.co_filename)
    line, end, column, end_column = where
    if text is None or line is None or end is None or column is None or end_column is None:
        return None
    node = text.at(text.span((line, column, end, end_column)))
    return (last.tb_frame, node) if isinstance(node, ast.expr) else None


# --- a single value -----------------------------------------------------------------------------


def _value(made: Callable[..., Any], file: str, name: str) -> str | None:
    """What a part of settings is probably meant to be: by what it is compared with, looked up in,
    asked or given to, wherever the file of the constructor, or this one, reads it; then by its
    name; None if nothing says it."""
    own = getattr(_constructor(made), "__code__", None)
    files = dict.fromkeys((file, own.co_filename if own is not None else ""))
    names = _own_names(made)
    for text in filter(None, (text_of(each) for each in files if each)):
        for node in text.nodes:
            if _is_part(node, name):
                found = _meant(node, text, names)
                if found is not None:
                    return found
    if _SWITCH.search(name):
        return "False"
    if _KIND.search(name):
        return "'relu'"
    return "0.1" if _SHARE.search(name) else None


def _is_part(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == name and not is_of_self(node)
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and node.slice.value == name
    )


def _meant(node: ast.AST, text: Text, names: Mapping[str, Any]) -> str | None:
    parent = text.parents.get(node)
    if isinstance(parent, ast.Compare) and parent.left is node:
        inner = ast.walk(parent.comparators[0])
        words = [each.value for each in inner if isinstance(each, ast.Constant)]
        return next((repr(each) for each in words if isinstance(each, str)), None)
    if isinstance(parent, ast.Subscript) and parent.slice is node:
        return _first_key(parent.value, names)
    tests = (ast.If, ast.IfExp, ast.While)
    negated = isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not)
    above = text.parents.get(parent) if negated and parent is not None else parent
    if isinstance(above, tests) and above.test in (node, parent):
        return "False"
    if isinstance(parent, ast.Call | ast.keyword):
        return _of_parameter(node, parent, text, names)
    return None


def _first_key(table: ast.expr, names: Mapping[str, Any]) -> str | None:
    if isinstance(table, ast.Dict):
        keys = [each.value for each in table.keys if isinstance(each, ast.Constant)]
    else:
        found = names.get(table.id) if isinstance(table, ast.Name) else None
        keys = list(found) if isinstance(found, dict) else []
    return next((repr(each) for each in keys if isinstance(each, str)), None)


def _of_parameter(
    node: ast.AST, parent: ast.Call | ast.keyword, text: Text, names: Mapping[str, Any]
) -> str | None:
    """What the parameter has by default that a part of settings is given to; the name of a layer or
    a function that is looked up."""
    call = text.parents.get(parent) if isinstance(parent, ast.keyword) else parent
    if not isinstance(call, ast.Call):
        return None
    try:
        takes = value_of(call.func, names)
    except Unknown:
        takes = None
    if isinstance(call.func, ast.Name) and call.func.id == "getattr" and call.args[1:2] == [node]:
        return "'ReLU'" if ast.unparse(call.args[0]).endswith("nn") else "'relu'"
    try:
        parameters = list(inspect.signature(takes).parameters.values())
    except (TypeError, ValueError):
        return None
    if isinstance(parent, ast.keyword):
        meant = [each for each in parameters if each.name == parent.arg]
    else:
        place = call.args.index(node) if node in call.args else len(parameters)
        meant = parameters[place : place + 1]
    default = meant[0].default if meant else inspect.Parameter.empty
    return repr(default) if type(default) in (bool, int, float, str) else None


# --- what is read later -------------------------------------------------------------------------


def read_later(
    made: Callable[..., Any], model: nn.Module, texts: Mapping[str, str], guess: Guess
) -> dict[str, str]:
    """The arguments with what methods of the modules read of settings that these keep, `self.cfg`
    in a forward."""
    holders = _holders(texts)
    found = dict(texts)
    for module in modules_in(model) if holders else ():
        kept = {name: held for name, value in vars(module).items() if (held := _parts_of(value))}
        for node, text in _reads_of_self(type(module)) if kept else ():
            name, held = _part_name(node), kept.get(getattr(node.value, "attr", ""))
            if held is None or name is None or name in held:
                continue
            way = _held(holders, held, None)
            if way is not None and (*way, name) not in slots(found):
                found = put(found, (*way, name), _guessing(made, text.file, guess)(name))
    return found


def _parts_of(value: Any) -> dict[str, Any] | None:
    """What is in settings, a table or an object of them; None of all else."""
    if type(value).__name__ in _OBJECTS:
        return dict(vars(value))
    return dict(value) if type(value) is dict else None


def _reads_of_self(kind: type) -> Iterator[tuple[ast.Attribute | ast.Subscript, Text]]:
    """The parts that the methods of a class read of what is kept on `self`, without what is asked
    for as a method."""
    for method in _methods(kind):
        known = definition(method)
        for node in ast.walk(known[1]) if known is not None else ():
            if not isinstance(node, ast.Attribute | ast.Subscript) or not is_of_self(node.value):
                continue
            above = known[0].parents.get(node) if known is not None else None
            is_method = isinstance(above, ast.Call) and above.func is node
            if known is not None and isinstance(node.ctx, ast.Load) and not is_method:
                yield node, known[0]


def _part_name(node: ast.Attribute | ast.Subscript) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    key = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return key if isinstance(key, str) else None
