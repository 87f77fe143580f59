"""Sizes as they were made: a dimension of a tensor, unfolded over the steps of the forward to the
inputs' sizes and to the numbers that layers were constructed with."""

from __future__ import annotations

import ast
import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import replace
from types import FunctionType

from torch import nn

from tracer.diagnosis.histories.written import Numbers, Written
from tracer.diagnosis.roots.constructors import SIZED
from tracer.diagnosis.roots.handed import caller, helper
from tracer.diagnosis.roots.lineage import Hop, back, size_at
from tracer.diagnosis.roots.places import size_arguments
from tracer.document import Place, Step, TensorNote, Term
from tracer.ops.bound import GROUPED, JOINED, MIXED, PIECE, RESIZED
from tracer.ops.flow import permutes
from tracer.record.crash import Construction, Crash, Frame
from tracer.source.built import parameter, parameters_of
from tracer.source.text import called, code_of, first_line, given, text_of

_DEEPEST = 12
MOST_TERMS = 300
"""Dimensions that are unfolded for one failure; beyond these a step is not looked into."""
_SETTINGS = ("kernel_size", "padding", "dilation", "output_size", "scale_factor", "stride")
"""Of a layer that makes another number of places, what changes it most last."""


class Sizes:
    """Unfolds the dimensions of one failed run's tensors."""

    def __init__(self, crash: Crash) -> None:
        self.crash = crash
        self.numbers = Numbers(crash)
        self.left = MOST_TERMS
        self.known: dict[tuple[int, int], Term] = {}

    def term(self, note: TensorNote, dim: int, depth: int = 0) -> Term:
        """Where a size comes from."""
        key = note.id, dim
        if key not in self.known:
            self.known[key] = self.unfolded(note, dim, depth)
        return self.known[key]

    def unfolded(self, note: TensorNote, dim: int, depth: int) -> Term:
        self.left -= 1
        hop: Hop | None = None
        for hop in back(self.crash.trace, note, dim):
            moved = bool(hop.sources) and permutes(hop.bound) and hop.sources[0][1] != hop.dim
            if not hop.kept or moved or enlarges(hop.step):
                break
            note, dim = hop.sources[0]
        else:
            return self.origin(note, dim)
        if depth > _DEEPEST or self.left < 0 or not hop.sources:
            return self.fresh(hop)
        if hop.kept:
            chosen = self.settings(hop) if enlarges(hop.step) else ()
            return self.step(hop, (self.term(*hop.sources[0], depth + 1), *chosen))
        if hop.how == JOINED:
            return self.joined(hop, depth)
        if hop.merged:
            parts = tuple(self.term(*source, depth + 1) for source in hop.sources)
            if all(part.value is not None for part in parts) and len(parts) > 1:
                return self.step(hop, parts, "product")
            return self.step(hop, parts)
        if hop.how == MIXED:
            return self.mixed(hop, depth)
        sources = hop.sources if hop.how == GROUPED else hop.sources[:1]
        before = [self.term(*source, depth + 1) for source in sources]
        return self.step(hop, (*before, *self.settings(hop)))

    def joined(self, hop: Hop, depth: int) -> Term:
        parts = [self.term(*source, depth + 1) for source in hop.sources]
        if sum(map(size_at, hop.sources)) != hop.size or len(parts) < 2:
            return self.step(hop, tuple(parts))
        over = self.joined_from(hop.step)
        if over is not None:
            text = " ".join(over.text.of(over.node).split())
            of = self.numbers.term(over)
            module, count = hop.step.module, len(parts)
            parts.append(Term("count", count, text, over.place(), module, None, of.parts))
        return self.step(hop, tuple(parts), "sum")

    def joined_from(self, step: Step) -> Written | None:
        """What the tensors that a step joins were made from, one for each: the list of a loop."""
        here = self.expression(step)
        if here is None or not isinstance(here.node, ast.Call) or not here.node.args:
            return None
        found = self.numbers.followed(here.to(here.node.args[0]))
        match found.node:
            case ast.ListComp(generators=[ast.comprehension(iter=over, ifs=[])]):
                return found.to(over)
            case ast.List(elts=[]):
                loops = _loops_that_append(here)
                return here.to(loops[0].iter) if len(loops) == 1 else None
        return None

    def mixed(self, hop: Hop, depth: int) -> Term:
        """A size that a layer, or a weight, has by itself."""
        source = hop.sources[0]
        if source[0].kind in ("parameter", "buffer"):
            return self.step(hop, (self.origin(*source),))
        return self.step(hop, (self.term(*source, depth + 1),))

    def step(self, hop: Hop, parts: tuple[Term, ...], kind: str = "step") -> Term:
        step = hop.step
        text = " ".join(step.expression.split())
        return Term(kind, hop.size, text, step.place, step.module, step.index, parts)

    def fresh(self, hop: Hop) -> Term:
        """A size that a step chose: by its layer's constructor, or by an argument."""
        made = self.of_layer(hop.step.module, hop.size) if hop.how == MIXED else None
        if made is not None:
            return self.step(hop, (made,))
        return self.step(hop, self.settings(hop))

    # --- numbers in the forward ---

    def settings(self, hop: Hop) -> tuple[Term, ...]:
        """The numbers that a step was given: in its own call, or in its layer's constructor."""
        step = hop.step
        if step.op.startswith("nn."):
            return tuple(self.layer_settings(step))
        here = self.expression(step)
        if here is None or not isinstance(here.node, ast.Call | ast.Subscript):
            return ()
        found = []
        for each in self.numbers_in(here, hop):
            term = self.of_tensor(each.node, step) or self.numbers.term(each)
            if (term.value or 0) > 0 or term.kind == "name":
                found.append(term)
        return tuple(found)

    def of_tensor(self, node: ast.expr, step: Step) -> Term | None:
        """`x.size(0)`, `x.shape[1]` or `len(x)` of a tensor that the step's statement names."""
        owner, dim = _asked_of(node)
        names = dict(step.names)
        if owner is None or dim is None or owner not in names:
            return None
        note = self.crash.trace.tensors().get(names[owner])
        if note is None or not -len(note.shape) <= dim < len(note.shape):
            return None
        return self.term(note, dim % len(note.shape), 3)

    def numbers_in(self, here: Written, hop: Hop) -> Iterator[Written]:
        """The expressions in a call or an index that say the size of a hop's dimension."""
        node = here.node
        if isinstance(node, ast.Subscript):
            for item in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
                if isinstance(item, ast.Slice):
                    yield from (here.to(e) for e in (item.lower, item.upper, item.step) if e)
            return
        assert isinstance(node, ast.Call)
        if hop.how in (RESIZED, PIECE):
            settings = [k.value for k in node.keywords if k.arg not in ("dim", "mode")]
            yield from map(here.to, [*node.args[_tensors_before(node) :], *settings])
            return
        sizes = [here.to(each) for each in node.args]
        for position, each in enumerate(sizes):
            inner = self.numbers.followed(each)
            if isinstance(inner.node, ast.Tuple | ast.List):
                sizes[position : position + 1] = [inner.to(item) for item in inner.node.elts]
                break
        if len(sizes) == len(hop.note.shape) and not _is_rest(sizes[hop.dim].node):
            yield sizes[hop.dim]
            return
        equal = [each for each in sizes if each.number() == hop.size]
        yield from equal or [each for each in sizes if not isinstance(each.node, ast.Constant)]

    def layer_settings(self, step: Step) -> Iterator[Term]:
        made = self.numbers.construction(step.module)
        layer = self.layer(step.module)
        if made is None or layer is None:
            return
        for name in _SETTINGS:
            if name in made.kwargs and (here := self.argument(made, name)) is not None:
                term = self.numbers.term(here)
                if term.kind != "number":
                    yield term

    def expression(self, step: Step) -> Written | None:
        """What a step's expression is, with the names that are known of the frame where it ran."""
        text = text_of(step.file)
        node = text.at(step.place.span) if text is not None else None
        if text is None or not isinstance(node, ast.expr):
            return None
        module = self.layer(step.module)
        if module is None:
            return None
        name = helper(step.place) or step.place.function.rpartition(".")[2]
        names = getattr(inspect.unwrap(type(module).forward), "__globals__", {})
        function = getattr(type(module), name, names.get(name))
        function = inspect.unwrap(function) if function is not None else None
        if not isinstance(function, FunctionType):
            return None
        scope = {"self": module} if hasattr(type(module), name) else {}
        frame = Frame(function.__code__, step.place, scope, step.module, function.__globals__)
        return Written(node, (*self.above(step.place, module, step.module), frame), text)

    def above(self, place: Place, module: nn.Module, path: str) -> tuple[Frame, ...]:
        """The frame that called the helper that a place is in."""
        found = caller(self.crash, place)
        if found is None:
            return ()
        where, _ = found
        name = where.function.rpartition(".")[2]
        function = inspect.unwrap(getattr(type(module), name, None) or (lambda: None))
        if where.file != place.file or not isinstance(function, FunctionType):
            return ()
        return (Frame(function.__code__, where, {"self": module}, path, function.__globals__),)

    def layer(self, path: str) -> nn.Module | None:
        with contextlib.suppress(AttributeError):
            return self.crash.model.get_submodule(path)
        return None

    # --- where no step made it ---

    def origin(self, note: TensorNote, dim: int) -> Term:
        """The size of an input, a parameter, or of what else the forward found."""
        value = note.shape[dim]
        if note.kind in ("parameter", "buffer"):
            found = self.of_parameter(note, dim)
            if found is not None:
                return found
        kind = "input" if note.kind == "input" else "data"
        return Term(kind, value, f"{note.name or '?'}.shape[{dim}]", self.forward(note.name))

    def forward(self, name: str) -> Place:
        function = inspect.unwrap(type(self.crash.model).forward)
        code = code_of(function)
        place = first_line(code) if code is not None else None
        if place is None:
            return Place("", 0, type(self.crash.model).__name__, None, None, name, "", None)
        return place

    def of_parameter(self, note: TensorNote, dim: int) -> Term | None:
        path, _, leaf = note.name.rpartition(".")
        owner = self.layer(path)
        if owner is None:
            return None
        if type(owner).__module__.startswith("torch.nn"):
            return self.of_layer(path, note.shape[dim], leaf, dim)
        found = parameter(self.crash.model, note.name)
        if found is None:
            return None
        text, value = found
        for frames, inside, _ in self.numbers.initialisers(path):
            if inside is text and frames:
                here = self.numbers.followed(Written(value, frames, text))
                for size in (*_sizes_of(here.node, dim), *_arguments_of(here.node)):
                    part = self.numbers.term(here.to(size))
                    if part.value == note.shape[dim]:
                        return Term(
                            "layer", note.shape[dim], note.name, here.place(), path, None, (part,)
                        )
                return Term("layer", note.shape[dim], note.name, here.place(), path)
        return None

    def of_layer(self, path: str, size: int, leaf: str = "", dim: int = 0) -> Term | None:
        """The size of a layer of torch.nn: the argument of its constructor that says it."""
        made = self.numbers.construction(path)
        layer = self.layer(path)
        if made is None or layer is None or made.place is None:
            return None
        for name in _arguments(layer, leaf, dim):
            own = getattr(layer, name, made.kwargs.get(name))
            own = own[0] if isinstance(own, tuple | list) and own else own
            if type(own) is not int or own not in (size, size // 2, size // 3, size // 4):
                continue
            here = self.argument(made, name)
            parts = [self.numbers.term(here)] if here is not None else []
            # What a function of the author's works out is known by what it was.
            parts = [p if p.value is not None else replace(p, value=own) for p in parts]
            text = " ".join(made.place.expression.split())
            return Term("layer", size, text, made.place, path, None, tuple(parts))
        return Term("layer", size, " ".join(made.place.expression.split()), made.place, path)

    def setting(self, path: str, value: int) -> Term | None:
        """The argument of a layer's constructor that has this value."""
        made, layer = self.numbers.construction(path), self.layer(path)
        if made is None or layer is None or not type(layer).__module__.startswith("torch.nn"):
            return None
        for name, given_to in made.kwargs.items():
            here = self.argument(made, name) if given_to == value else None
            if here is not None:
                return self.numbers.term(here)
        return None

    def states(self, path: str) -> Term | None:
        """How many states a recurrent layer has: its layers times its directions."""
        made, layer = self.numbers.construction(path), self.layer(path)
        if made is None or made.place is None or not isinstance(layer, nn.RNNBase):
            return None
        text = " ".join(made.place.expression.split())
        parts = []
        for name, value in (("num_layers", layer.num_layers), ("bidirectional", None)):
            here = self.argument(made, name)
            if here is not None:
                parts.append(self.numbers.term(here))
            elif value is not None:
                parts.append(Term("number", value, f"{name}={value}", made.place, path))
        count = layer.num_layers * (1 + layer.bidirectional)
        return Term("layer", count, text, made.place, path, None, tuple(parts))

    def argument(self, made: Construction, name: str) -> Written | None:
        """What a constructor's call has for an argument."""
        place = made.place
        text = text_of(place.file) if place is not None else None
        call = text.at(place.span) if text is not None and place is not None else None
        if text is None or not isinstance(call, ast.Call):
            return None
        here = Written(call, made.frames, text)
        names = parameters_of(made.cls)
        position = names.index(name) if name in names else None
        value = given(call, name, position)
        if value is not None:
            return here.to(value)
        return self.numbers.spread(here, name, position)


def _arguments(layer: nn.Module, leaf: str, dim: int) -> list[str]:
    """The constructor's arguments that may say this size, the likeliest first."""
    sizes = size_arguments(layer)
    names = [sizes.makes, sizes.reads]
    transposed = isinstance(layer, nn.modules.conv._ConvTransposeNd)
    table = isinstance(layer, nn.Embedding)
    if leaf == "weight" and (dim == 1) is not (transposed or table):
        names.reverse()
    if leaf.startswith("weight_ih") and dim == 1:
        names.reverse()
    if dim >= 2:
        names = ["kernel_size"]
    return [name for name in names if name]


def _sizes_of(node: ast.expr, dim: int) -> Iterator[ast.expr]:
    """The size of a dimension in `torch.randn(1, patches, width)`, wherever it stands."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and called(each) in SIZED:
            sizes = list(each.args)
            if sizes and isinstance(sizes[0], ast.Tuple | ast.List):
                sizes = list(sizes[0].elts)
            if dim < len(sizes) and not any(isinstance(size, ast.Starred) for size in sizes):
                yield sizes[dim]


def _arguments_of(node: ast.expr) -> Iterator[ast.expr]:
    """What a function of the author's is given that makes a tensor."""
    if isinstance(node, ast.Call):
        yield from (*node.args, *(keyword.value for keyword in node.keywords))


def enlarges(step: Step) -> bool:
    """Whether a step is there to make pictures larger: that it keeps a size is a choice."""
    return step.op.startswith(("nn.ConvTranspose", "nn.Upsample"))


def _loops_that_append(call: Written) -> list[ast.For]:
    """The loops that append to the name that a call is given first."""
    assert isinstance(call.node, ast.Call)
    function, name = call.text.function(call.node), call.node.args[0]
    if function is None or not isinstance(name, ast.Name):
        return []
    appends = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "append"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == name.id
    ]
    loops = [call.text.around(node, ast.For) for node in appends]
    return [loop for loop in loops if loop is not None] if all(loops) else []


def _is_rest(node: ast.expr) -> bool:
    """`-1` for a size that is worked out."""
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def _tensors_before(call: ast.Call) -> int:
    """How many arguments of a function are what it works on: one of `F.pad(x, ...)`."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    module = isinstance(owner, ast.Name) and owner.id in ("F", "torch", "nn", "functional")
    return int(module or owner is None or ast.unparse(owner).endswith("functional"))


def _asked_of(node: ast.expr) -> tuple[str | None, int | None]:
    """The tensor and the dimension that `x.size(0)`, `x.shape[1]` or `len(x)` ask for."""
    owner: ast.expr | None = None
    dim: ast.expr | int | None = None
    match node:
        case ast.Call(func=ast.Attribute(value=owner, attr="size"), args=[dim]):
            pass
        case ast.Subscript(value=ast.Attribute(value=owner, attr="shape"), slice=dim):
            pass
        case ast.Call(func=ast.Name(id="len"), args=[owner]):
            dim = 0
    if owner is None or dim is None:
        return None, None
    try:
        number = dim if isinstance(dim, int) else ast.literal_eval(dim)
    except ValueError:
        return None, None
    return ast.unparse(owner), number if type(number) is int else None
