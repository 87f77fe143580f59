"""What the repairs share: the failing expression with its live values, and the edits they make."""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rebuild import local_numbers
from tracer.diagnosis.repair.bench import CannotRunError, Change
from tracer.document import Edit, Failure, Place, Step
from tracer.record.crash import Crash
from tracer.record.tensors import tensors_in
from tracer.sentences import Said, said
from tracer.source.built import Built, assigned_to_self, constructor, default_of, parameters_of
from tracer.source.text import Text, called, given, text_of

Made = tuple[tuple[Edit, ...], Change | None]
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Candidate:
    """An edit that may mend a failure.

    `rank` says how sound the repair is before it has run, 0 best: under 10 what the code itself
    asks for, under 30 a usual reading, under 60 another reading, above that a doubtful one.
    `change` stands in for edits in a constructor, see `Program`.  `batches` is false where the
    repair gives the inputs the batch dimension that they lacked.
    """

    summary: Said
    edits: tuple[Edit, ...]
    rank: int
    caveat: Said | None = None
    change: Change | None = None
    batches: bool = True


Repair = Callable[["Scene"], Iterable[Candidate]]
REPAIRS: list[tuple[frozenset[str], Repair]] = []


def repair(*kinds: str) -> Callable[[Repair], Repair]:
    """Enter a source of candidates for operations (`matmul`), layers (`nn.Linear`) and kinds of
    finding (`kind:numel`); with no name it is asked about every failure."""

    def enter(function: Repair) -> Repair:
        REPAIRS.append((frozenset(kinds), function))
        return function

    return enter


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    return tuple(int(size) for size in tensor.shape)


class Scene:
    """One failure, as the repairs look at it."""

    def __init__(self, crash: Crash, finding: Finding, failure: Failure) -> None:
        self.crash = crash
        self.finding = finding
        self.failure = failure
        self.model = crash.model
        self.op = crash.op
        frame = crash.frames[-1] if crash.frames else None
        place: Place = frame.place if frame is not None else failure.place
        self.place = place
        self.scope: dict[str, Any] = dict(frame.scope) if frame is not None else {}
        self.text = text_of(place.file)
        self.node = self.text.at(place.span) if self.text is not None else None
        running = crash.running[-1] if crash.running else None
        library = running is not None and type(running.layer).__module__.startswith("torch.nn")
        self.running = running
        self.layer: nn.Module | None = None
        self.path = ""
        if library and running is not None and not isinstance(running.layer, CONTAINERS):
            # Of a layer of torch that is made of layers, the outermost is the author's.
            for each in crash.running:
                if type(each.layer).__module__.startswith("torch.nn") and not isinstance(
                    each.layer, CONTAINERS
                ):
                    running = each
                    break
            self.running = running
            self.layer, self.path = running.layer, running.path
        self.inputs = tensors_in((crash.args, crash.kwargs))
        first = next((tensor for tensor in self.inputs if tensor.dim()), None)
        self.batch = int(first.shape[0]) if first is not None else None

    # --- values ---

    @property
    def operands(self) -> list[Tensor]:
        """The tensors that the operation was called with, in order."""
        found = tensors_in((self.crash.call_args, self.crash.call_kwargs))
        return found or list(self.crash.operands)

    @property
    def tensors(self) -> list[Tensor]:
        """What failed was given: the layer's input first, then the operands, each once."""
        first = [self.layer_input] if self.layer is not None else []
        everything = [t for t in (*first, *self.operands, *self.crash.operands) if t is not None]
        return list({id(tensor): tensor for tensor in everything}.values())

    @property
    def layer_input(self) -> Tensor | None:
        if self.running is None:
            return None
        found = tensors_in((self.running.args, self.running.kwargs))
        return found[0] if found else None

    def value(self, node: ast.AST | None) -> Any:
        """What a simple expression stood for when the run failed; raises LookupError."""
        return evaluate(node, self.scope)

    def known(self, node: ast.AST | None) -> Any:
        try:
            return self.value(node)
        except (LookupError, ArithmeticError, TypeError, ValueError, AttributeError):
            return None

    def step_of(self, tensor: Tensor) -> Step | None:
        """The recorded step that made a tensor."""
        for operand, live in zip(self.failure.operands, self.crash.operands, strict=False):
            if live is tensor and operand.note.born is not None:
                return self.crash.trace.steps[operand.note.born]
        # Layers may pass a copy on: the name that the author used was assigned somewhere.
        node = self.use(tensor, steps=False)
        if isinstance(node, ast.Name):
            for step in reversed(self.crash.trace.steps):
                shapes = [note.shape for note in step.outputs]
                if node.id in step.targets and shape_of(tensor) in shapes:
                    return step
        return None

    def lineage(self, tensor: Tensor, limit: int = 8) -> list[Step]:
        """The steps that led to a tensor, the last first, along the operand they changed."""
        found: list[Step] = []
        step = self.step_of(tensor)
        while step is not None and len(found) < limit:
            found.append(step)
            source = next((n for n in step.inputs if n.kind not in ("parameter", "buffer")), None)
            born = source.born if source is not None else None
            step = self.crash.trace.steps[born] if born is not None and born < step.index else None
        return found

    def kind(self, tensor: Tensor) -> str:
        for operand, live in zip(self.failure.operands, self.crash.operands, strict=False):
            if live is tensor:
                return operand.note.kind
        return ""

    # --- where it is written ---

    def use(self, tensor: Tensor, steps: bool = True) -> ast.expr | None:
        """The part of the failing expression that stands for a tensor."""
        if self.node is None or self.text is None:
            return None
        nodes = [node for node in ast.walk(self.node) if isinstance(node, ast.expr)]
        for node in nodes:
            if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and not _stored(node):
                found = self.known(node)
                if found is tensor:
                    return node
        step = self.step_of(tensor) if steps else None
        if step is not None and step.file == self.place.file and step.place.span is not None:
            for node in nodes:
                if node is not self.node and self.text.span(node) == step.place.span:
                    return node
        return self._by_position(tensor)

    def _by_position(self, tensor: Tensor) -> ast.expr | None:
        node = self.node
        args = list(self.crash.call_args)
        if self.layer is not None:
            if isinstance(node, ast.Call) and self.known(node.func) is self.layer:
                given_args = list(self.running.args) if self.running is not None else []
                for item, value in zip(node.args, given_args, strict=False):
                    if value is tensor:
                        return item
            return None
        if isinstance(node, ast.BinOp):
            for side, value in zip((node.left, node.right), args, strict=False):
                if value is tensor:
                    return side
        elif isinstance(node, ast.AugAssign):
            if len(args) > 1 and args[1] is tensor:
                return node.value
        elif isinstance(node, ast.Call):
            places: list[ast.expr] = list(node.args)
            if isinstance(node.func, ast.Attribute) and not isinstance(
                self.known(node.func.value), type(torch)
            ):
                places = [node.func.value, *places]
            for item, value in zip(places, args, strict=False):
                if value is tensor:
                    return item
                if isinstance(value, list | tuple) and isinstance(item, ast.List | ast.Tuple):
                    for part, inner in zip(item.elts, value, strict=False):
                        if inner is tensor:
                            return part
        elif isinstance(node, ast.Subscript) and args and args[0] is tensor:
            return node.value
        return None

    def call_node(self) -> ast.Call | None:
        return self.node if isinstance(self.node, ast.Call) else None

    def call_of(self, step: Step) -> tuple[Text, ast.Call] | None:
        """The call by which a step is written; None when it is an operator."""
        found = self.node_of(step)
        return (found[0], found[1]) if found and isinstance(found[1], ast.Call) else None

    def beside(self, text: Text, node: ast.AST) -> bool:
        """Whether a node is in the function that holds the failing expression."""
        if text is not self.text or self.node is None:
            return False
        return text.function(node) is text.function(self.node)

    def node_of(self, step: Step) -> tuple[Text, ast.AST] | None:
        text = text_of(step.file)
        node = text.at(step.place.span) if text is not None else None
        return (text, node) if text is not None and node is not None else None

    def named(self, tensor: Tensor) -> str | Said:
        """How the author calls a tensor, for a sentence."""
        node = self.use(tensor)
        if node is not None and self.text is not None:
            written = " ".join(self.text.of(node).split())
            if len(written) <= 40:
                return f"`{written}`"
        return said("the input")

    def simple(self, node: ast.AST | None) -> str | None:
        """The text of a name or attribute chain: it can be written twice and runs nothing."""
        if node is None or self.text is None:
            return None
        inner = node
        while isinstance(inner, ast.Attribute):
            inner = inner.value
        return self.text.of(node) if isinstance(inner, ast.Name) else None

    # --- aliases ---

    def alias(self, module: Any, file: str | None = None) -> str | None:
        """How a file calls a module such as torch.nn.functional: `F`."""
        text = text_of(file) if file is not None else self.text
        names = self.globals(file or self.place.file)
        for name, value in names.items():
            if value is module:
                return name
        written = {
            "torch": torch,
            "torch.nn": nn,
            "torch.nn.functional": F,
        }
        if text is not None:
            for node in text.nodes:
                if isinstance(node, ast.Import):
                    for item in node.names:
                        if written.get(item.name) is module and (item.asname or item.name):
                            return item.asname or item.name
                elif isinstance(node, ast.ImportFrom):
                    for item in node.names:
                        if written.get(f"{node.module}.{item.name}") is module:
                            return item.asname or item.name
        if module is F:
            base = self.alias(nn, file)
            return f"{base}.functional" if base else None
        if module is nn:
            base = self.alias(torch, file)
            return f"{base}.nn" if base else None
        return None

    def globals(self, file: str) -> dict[str, Any]:
        """The global names that functions of a file see."""
        for module in self.model.modules():
            for cls in type(module).__mro__:
                for value in vars(cls).values():
                    if isinstance(value, FunctionType) and value.__code__.co_filename == file:
                        return value.__globals__
        return {}

    # --- edits ---

    def wrapped(self, tensor: Tensor, suffix: str) -> Edit | None:
        """The failing expression with `suffix` behind this operand."""
        if self.text is None:
            return None
        node = self.use(tensor)
        if node is not None:
            return self.text.after(node, suffix)
        changed = self.crash.call_args[0] if self.crash.call_args else None
        if isinstance(self.node, ast.AugAssign) and changed is tensor:
            target, value = self.text.of(self.node.target), self.text.of(self.node.value)
            sign = SIGNS.get(type(self.node.op))
            if sign is not None:
                return self.text.replace(self.node, f"{target} = {target}{suffix} {sign} {value}")
        return None

    def second(self, tensor: Tensor, suffix: str) -> Made | None:
        """As `transform`, of the last place in the expression that stands for the tensor."""
        if self.node is None or self.text is None:
            return None
        places = [
            node
            for node in ast.walk(self.node)
            if isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
            and not _stored(node)
            and self.known(node) is tensor
        ]
        if len(places) < 2:
            return None
        last = max(places, key=lambda n: (n.end_lineno or 0, n.end_col_offset or 0))
        return (self.text.after(last, suffix),), None

    def transform(self, tensor: Tensor, suffix: str, module: str | None = None) -> Made | None:
        """Change an operand before its use: behind its name in the failing expression, or, when it
        lives inside an nn.Sequential, by one more layer in front of the one that failed."""
        edit = self.wrapped(tensor, suffix)
        if edit is not None:
            return (edit,), None
        if module is not None and self.layer is not None:
            return self.inserted(self.path, module)
        return None

    def inserted(self, path: str, layers: str) -> Made | None:
        """Write layers in front of the one at `path` in its nn.Sequential: `Flatten()`."""
        parent_path, _, name = path.rpartition(".")
        parent = self.model.get_submodule(parent_path)
        if not isinstance(parent, nn.Sequential) or not name:
            return None
        built = constructor(self.model, path)
        if built is None:
            return None
        prefix = self.alias(nn, built.text.file)
        if prefix is None:
            return None
        texts = [f"{prefix}.{layer}" for layer in layers.split("; ")]
        edit: Edit | None = None
        above = built.text.parents.get(built.call)
        if isinstance(above, ast.Call | ast.List) or built.within is not None:
            edit = built.text.before(built.call, ", ".join(texts) + ", ")
            if isinstance(above, ast.Call) and called(above) == "append":
                lines = "".join(
                    f"{built.text.of(above.func)}({text})\n{' ' * _indent(built.text, above)}"
                    for text in texts
                )
                edit = built.text.before(above, lines)
        if edit is None:
            return None

        def change(model: nn.Module) -> None:
            made = [eval(text, {prefix.split(".")[0]: _namespace(prefix)}) for text in texts]
            found = model.get_submodule(parent_path)
            items = list(found._modules.items())
            place = [key for key, _ in items].index(name)
            children = [child for _, child in items]
            children[place:place] = made
            found._modules.clear()
            for number, child in enumerate(children):
                found.add_module(str(number), child)

        return (edit,), change

    # --- constructors ---

    def built(self, path: str) -> Built | None:
        return constructor(self.model, path)

    def variants(self, path: str, values: dict[str, Any]) -> list[tuple[Made, int]]:
        """The ways to give the layer at `path` other constructor arguments, each with what it adds
        to a candidate's rank: in the constructor's own names, where the number comes from, and as
        a number in the call itself."""
        built = self.built(path)
        if built is None:
            return []
        paths = dict.fromkeys([path, *self._siblings(built)])

        def change(model: nn.Module) -> None:
            for other in paths:
                replace_module(model, other, remade(model.get_submodule(other), values))

        choices: list[list[tuple[Edit, int]]] = []
        for name, value in values.items():
            found = list(self._choices(built, name, value))
            if not found:
                return []
            choices.append(found)
        made: list[tuple[Made, int]] = []
        for number in range(max(map(len, choices))):
            picked = [options[min(number, len(options) - 1)] for options in choices]
            edits = tuple(dict.fromkeys(edit for edit, _ in picked))
            made.append(((edits, change), max(extra for _, extra in picked)))
        return made

    def constructor_edit(self, path: str, values: dict[str, Any]) -> Made | None:
        """The first of the variants."""
        found = self.variants(path, values)
        return found[0][0] if found else None

    def _siblings(self, built: Built) -> Iterator[str]:
        """Other layers that the same call makes, as in a loop."""
        for path, module in self.model.named_modules():
            if path != built.path and type(module) is built.type:
                other = constructor(self.model, path)
                same = other is not None and (other.call, other.owner, other.via)
                if same == (built.call, built.owner, built.via):
                    yield path

    def _choices(self, built: Built, name: str, value: Any) -> Iterator[tuple[Edit, int]]:
        node = built.given(name)
        if node is None or _number(node) is not None or type(value) is not int:
            yield built.edit(name, repr(value)), 0
            return
        function = built.text.function(built.call)
        shared = self._shared(built)
        others = [getattr(self.model.get_submodule(p), name, None) for p in self._siblings(built)]
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            # One of several sizes in a list: `dims[0]` in a loop over i.
            loop = built.text.around(built.call, (ast.For, ast.ListComp))
            target = getattr(loop, "target", None) or getattr(
                next(iter(getattr(loop, "generators", [])), None), "target", None
            )
            if isinstance(target, ast.Name) and self.crash.build is not None:
                for index in (target.id, f"{target.id} + 1", f"{target.id} - 1"):
                    edit = built.text.replace(node.slice, index)
                    if edit.replacement != built.text.of(node.slice):
                        yield edit, 0
        if any(other != getattr(self.model.get_submodule(built.path), name) for other in others):
            return  # one number would not do for all layers of the loop
        written = self.written(built.text, function, built.owner, node, value)
        if written.isidentifier():
            yield built.edit(name, written), 0
        elif written != str(value):
            yield built.edit(name, written), 3 if shared else 1
        origin = self._origin(built, node)
        if origin is not None:
            text, place, inside, owner = origin
            number = self.written(text, inside, owner, place, value)
            yield text.replace(place, number), 1 if shared else 2
        if not shared or self.crash.build is not None:
            yield built.edit(name, str(value)), 10 if shared else 6

    def _shared(self, built: Built) -> bool:
        """Whether the same line builds layers of other modules too."""
        if built.via:
            return True
        if not built.owner:
            return False
        owner = self.model.get_submodule(built.owner)
        return sum(type(module) is type(owner) for module in self.model.modules()) > 1

    def _origin(self, built: Built, node: ast.expr) -> tuple[Text, ast.expr, ast.AST, str] | None:
        """What a name in a constructor stands for, where it is written: a local name, an attribute,
        an argument of the caller, or a default.  With the function and the module it is in."""
        text, function, via, owner = built.text, built.text.function(built.call), built.via, built
        start = node
        for _ in range(12):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found = next(assigned_to_self(function, node.attr), None)
                if found is None:
                    return None
                node = found
                continue
            if not isinstance(node, ast.Name) or not isinstance(function, ast.FunctionDef):
                return None if node is start else (text, node, function, owner.owner)
            name = node.id
            assigned = [
                item.value
                for item in ast.walk(function)
                if isinstance(item, ast.Assign)
                and any(isinstance(t, ast.Name) and t.id == name for t in item.targets)
            ]
            if assigned:
                if len(assigned) > 1:
                    return None
                node = assigned[0]
                continue
            names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
            if name not in names and name not in [a.arg for a in function.args.kwonlyargs]:
                return None
            position = names.index(name) if name in names else None
            if names[:1] == ["self"] and position is not None:
                position -= 1
            default = default_of(function, name)
            if via:
                passed, function, via = (
                    given(via[0], name, position),
                    text.function(via[0]),
                    via[1:],
                )
            else:
                above = self.built(owner.owner) if owner.owner else None
                passed = above.given(name) if above is not None else None
                if above is not None and passed is not None:
                    owner, text, via = above, above.text, above.via
                    function = text.function(above.call)
            if passed is None:
                return (text, default, function, owner.owner) if default is not None else None
            node = passed
        return None

    def written(
        self, text: Text, function: ast.AST | None, owner: str, old: ast.expr, value: int
    ) -> str:
        """A value in the constructor's own names where these are used there."""
        if not any(isinstance(node, ast.Name) for node in ast.walk(old)):
            return str(value)
        names = self.names(text, function, owner)
        for name, known in names.items():
            if known == value:
                return name
        for name, known in names.items():
            if known > 1 and value % known == 0 and value // known in (2, 3, 4):
                return f"{name} * {value // known}"
            if value > 1 and known % value == 0 and known // value in (2, 4, 8):
                return f"{name} // {known // value}"
        for name, known in names.items():
            for other, factor in names.items():
                if name != other and known * factor == value and known > 1 and factor > 1:
                    return f"{name} * {other}"
        return str(value)

    def names(self, text: Text, function: Any, path: str) -> dict[str, int]:
        """Whole numbers that names in a constructor stood for, as far as the layers show it."""
        return local_numbers(self.model, path, function)

    def layer_class(self, path: str, name: str, arguments: dict[str, Any]) -> Made | None:
        """Make the layer at `path` of another class of torch.nn: BatchNorm2d for BatchNorm1d."""
        built = self.built(path)
        if built is None or not isinstance(built.call.func, ast.Attribute | ast.Name):
            return None
        func = built.call.func
        if isinstance(func, ast.Attribute):
            edit = built.text.replace(func, f"{built.text.of(func.value)}.{name}")
        else:
            prefix = self.alias(nn, built.text.file)
            if prefix is None:
                return None
            edit = built.text.replace(func, f"{prefix}.{name}")
        cls = getattr(nn, name)

        def change(model: nn.Module) -> None:
            replace_module(model, path, _fresh(cls, model.get_submodule(path), arguments))

        return (edit,), change


# --- values of expressions ---------------------------------------------------------------------


SIGNS: dict[type, str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.MatMult: "@",
    ast.Pow: "**",
}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


def evaluate(node: ast.AST | None, scope: dict[str, Any]) -> Any:
    """The value of names, attributes, items, sizes and whole-number arithmetic.  Nothing that could
    run the user's code is run.

    Raises:
        LookupError: it is another kind of expression, or the name is unknown.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return scope[node.id]
    if isinstance(node, ast.Attribute):
        value = evaluate(node.value, scope)
        if isinstance(value, Tensor):
            if node.attr in ("shape", "dtype", "device", "ndim"):
                return getattr(value, node.attr)
            raise LookupError(node.attr)
        own = getattr(value, "__dict__", {})
        tables = [own]
        if isinstance(value, nn.Module):
            tables += [own.get(key, {}) for key in ("_parameters", "_buffers", "_modules")]
        for table in tables:
            if node.attr in table:
                return table[node.attr]
        raise LookupError(node.attr)
    if isinstance(node, ast.Subscript):
        value, key = evaluate(node.value, scope), evaluate(node.slice, scope)
        if isinstance(value, list | tuple | dict | nn.ModuleList | nn.Sequential | nn.ModuleDict):
            return value[key]
        raise LookupError("item")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -evaluate(node.operand, scope)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = evaluate(node.left, scope), evaluate(node.right, scope)
        if isinstance(left, int | float) and isinstance(right, int | float):
            return _ARITHMETIC[type(node.op)](left, right)
    if isinstance(node, ast.Call) and not node.keywords:
        name = called(node)
        if isinstance(node.func, ast.Attribute) and name in ("size", "dim", "numel"):
            value = evaluate(node.func.value, scope)
            if isinstance(value, Tensor):
                return getattr(value, name)(*(evaluate(item, scope) for item in node.args))
        if isinstance(node.func, ast.Name) and name in ("len", "int") and len(node.args) == 1:
            value = evaluate(node.args[0], scope)
            if isinstance(value, Tensor):
                return len(value) if name == "len" and value.dim() else None
            return getattr(builtins, name)(value)
    raise LookupError("this expression is not looked at")


def _number(node: ast.AST | None) -> int | None:
    try:
        value = evaluate(node, {})
    except (LookupError, ArithmeticError, TypeError, ValueError):
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _stored(node: ast.AST) -> bool:
    return isinstance(getattr(node, "ctx", None), ast.Store)


def _indent(text: Text, node: ast.AST) -> int:
    line = text.lines[text.span(node).line - 1]
    return len(line) - len(line.lstrip())


def _namespace(prefix: str) -> Any:
    """What `eval` needs to read `prefix.Flatten()`."""
    parts = prefix.split(".")
    if len(parts) == 1:
        return nn
    return torch


# --- layers ------------------------------------------------------------------------------------


def settings(layer: nn.Module) -> dict[str, Any]:
    """The constructor arguments that a layer of torch still shows."""
    found: dict[str, Any] = {}
    for name in parameters_of(type(layer)):
        if name in ("device", "dtype", "_weight", "_freeze", "_bias"):
            continue
        if name == "bias" and not isinstance(vars(layer).get("bias"), bool):
            own = layer._parameters.get("bias", layer._parameters.get("in_proj_bias"))
            found[name] = own is not None
        elif hasattr(layer, name):
            found[name] = getattr(layer, name)
    if isinstance(layer, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        found["d_model"] = layer.self_attn.embed_dim
        found["nhead"] = layer.self_attn.num_heads
        found["dim_feedforward"] = layer.linear1.out_features
        found["batch_first"] = layer.self_attn.batch_first
        found.pop("dropout", None)
        found.pop("activation", None)
        found.pop("bias", None)
    return found


def _fresh(cls: type[nn.Module], layer: nn.Module, arguments: dict[str, Any]) -> nn.Module:
    accepted = parameters_of(cls)
    known = {name: value for name, value in settings(layer).items() if name in accepted}
    made = cls(**{**known, **arguments})
    old = next(layer.parameters(), None)
    if old is not None:
        made = made.to(device=old.device, dtype=old.dtype)
    for name, parameter in layer._parameters.items():
        mine = made._parameters.get(name)
        if parameter is not None and mine is not None and mine.shape == parameter.shape:
            made._parameters[name] = parameter
    made.train(layer.training)
    return made


def remade(layer: nn.Module, arguments: dict[str, Any]) -> nn.Module:
    """A layer of torch made anew with other arguments; weights that still fit are kept."""
    if not type(layer).__module__.startswith("torch.nn"):
        raise CannotRunError("only layers of torch are made anew")
    return _fresh(type(layer), layer, arguments)


def replace_module(model: nn.Module, path: str, made: nn.Module) -> None:
    owner, _, name = path.rpartition(".")
    model.get_submodule(owner)._modules[name] = made


def joined(*parts: Made | None) -> Made | None:
    """Several edits as one."""
    edits: list[Edit] = []
    changes: list[Change] = []
    for part in parts:
        if part is None:
            return None
        edits += part[0]
        if part[1] is not None:
            changes.append(part[1])

    def change(model: nn.Module) -> None:
        for each in changes:
            each(model)

    return tuple(edits), change if changes else None


def rebuilt(
    scene: Scene,
    path: str,
    values: dict[str, Any],
    rank: int,
    summary: Said,
    caveat: Said | None = None,
    beside: Made | None = ((), None),
) -> Iterator[Candidate]:
    """Candidates that give the layer at `path` other constructor arguments, with further edits
    `beside` them."""
    for made, extra in scene.variants(path, values):
        yield from candidate(joined(beside, made), rank + extra, summary, caveat)


def candidate(
    made: Made | None, rank: int, summary: Said, caveat: Said | None = None, batches: bool = True
) -> Iterator[Candidate]:
    """The candidate, if its edit could be written."""
    if made is not None and made[0]:
        yield Candidate(summary, made[0], rank, caveat, made[1], batches)
