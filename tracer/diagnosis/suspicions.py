"""Steps of a run that succeeded and that probably do not do what was meant.

Most are seen in the trace alone.  What agrees only because of the batch size shows when the module
runs again with twice as many samples, on the meta device, where nothing is computed; it runs again
only if a step of the trace gives a reason to.
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from tracer.document import Step, TensorNote, Trace, Warning
from tracer.ops.call import At
from tracer.ops.names import op_name, shape_text
from tracer.ops.steps import LAYERS, operation_of
from tracer.ops.table import bound_step
from tracer.ops.texts import bound_of, index_of
from tracer.sentences import Count, Said, ShapeOf, said
from tracer.strict import tolerant
from tracer.syntax import parsed


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


Rerun = Callable[[tuple[Any, ...], dict[str, Any]], Trace]
"""Runs the same module with other inputs, on the meta device, and gives the trace."""


def warnings(
    trace: Trace,
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    rerun: Rerun | None = None,
) -> tuple[Warning, ...]:
    """What is suspicious in `trace`, the run of `model(*args, **kwargs)`, in the steps' order.

    Never raises.  Without `rerun`, only what the trace shows by itself.
    """
    if trace.failure is not None:
        return ()
    found: list[Warning] = []
    with tolerant():
        run = _Run(trace, model)
        found = [
            *_outer_sums(run),
            *_losses(run),
            *_masks(run),
            *_views(run),
            *_single_statistics(run),
            *(_with_other_batch(run, args, kwargs, rerun) if rerun is not None else ()),
        ]
    first = {(warning.kind, warning.step): warning for warning in reversed(found)}
    # A loop passes a line many times: it is said once.
    places = {(w.kind, trace.steps[w.step].place): w for w in reversed(list(first.values()))}
    return tuple(sorted(places.values(), key=lambda warning: warning.step))


@dataclass(frozen=True)
class _Run:
    trace: Trace
    model: nn.Module

    @functools.cached_property
    def batch(self) -> int | None:
        """The size that all inputs begin with."""
        sizes = {note.shape[0] for note in self.trace.inputs if note.shape}
        return sizes.pop() if len(sizes) == 1 else None

    @functools.cached_property
    def _by_name(self) -> dict[str, list[Step]]:
        found: dict[str, list[Step]] = {}
        for step in self.trace.steps:
            found.setdefault(op_name(step.op), []).append(step)
        return found

    def called(self, names: frozenset[str]) -> list[Step]:
        """The steps of the operations and layers of these names, in their order."""
        found = [each for name in self._by_name.keys() & names for each in self._by_name[name]]
        return sorted(found, key=lambda step: step.index)

    @functools.cached_property
    def from_inputs(self) -> set[int]:
        """The notes that depend on what the module was given."""
        found = {note.id for note in self.trace.inputs}
        for step in self.trace.steps:
            if not found.isdisjoint([note.id for note in step.inputs]):
                found.update([note.id for note in step.outputs])
        return found


def _data(step: Step) -> tuple[TensorNote, ...]:
    return tuple([note for note in step.inputs if note.kind not in ("parameter", "buffer")])


def _shown(note: TensorNote) -> str:
    return f"{note.name} {shape_text(note.shape)}".lstrip()


# --- a sum of a column and a row, a loss of two shapes ------------------------------------------

_LOSSES = _words("mse_loss l1_loss smooth_l1_loss huber_loss MSELoss L1Loss SmoothL1Loss HuberLoss")
# Who writes one of these has thought of the shape.
_SHAPING = _words(
    "unsqueeze view reshape view_as reshape_as expand expand_as broadcast_to unflatten permute "
    "transpose movedim swapaxes t T mT H mH outer meshgrid tile repeat einsum rearrange"
)


def _laid(step: Step) -> bool:
    """Whether the step lays two tensors against each other from the right, as an addition does."""
    bound = bound_step(step) if len(step.inputs) == 2 else None
    if bound is None or len(bound.results) != 1:
        return False

    def back(at: At) -> int:
        return len(step.inputs[at.operand].shape) - at.dim

    (dims,) = bound.results
    return all(
        dim.how == "same" and all(back(at) == len(dims) - axis for at in dim.sources)
        for axis, dim in enumerate(dims)
    ) and all(back(one) == back(other) for one, other in bound.ties)


def columns_against_rows(trace: Trace, model: nn.Module) -> Iterator[tuple[Step, TensorNote]]:
    """The steps in which (B, 1) and (B,) make (B, B), each with the first of the two."""
    for step, column, _ in _crossed(_Run(trace, model)):
        yield step, column


def _crossed(run: _Run) -> Iterator[tuple[Step, TensorNote, TensorNote]]:
    for step in run.trace.steps:
        if len(step.inputs) != 2 or len(step.outputs) != 1:
            continue
        (result,) = step.outputs
        for column, row in (step.inputs, step.inputs[::-1]):
            if (
                column.shape == (*row.shape, 1)
                and math.prod(result.shape) > math.prod(column.shape)
                and {column.id, row.id} <= run.from_inputs
                and _laid(step)
                and not _was_shaped(run.trace, column)
            ):
                yield step, column, row


def _outer_sums(run: _Run) -> Iterator[Warning]:
    """(B, 1) and (B,) make (B, B)."""
    for step, column, row in _crossed(run):
        yield Warning(
            "broadcast",
            step.index,
            said(
                "{column} and {row} hold {count} each, and `{code}` pairs each with every "
                "other: {result}. If one of each was meant for one of the other, "
                "squeeze(-1) the first or unsqueeze(-1) the second.",
                column=_shown(column),
                row=_shown(row),
                count=Count(math.prod(row.shape), "number"),
                code=_short(step),
                result=_shown(step.outputs[0]),
            ),
        )


def _was_shaped(trace: Trace, note: TensorNote) -> bool:
    """Whether the last step that changed the shape on the way to `note` was written for it."""
    while note.born is not None:
        step = trace.steps[note.born]
        if op_name(step.op) in _SHAPING or bound_of(step).get("keepdim") is True:
            return True
        if op_name(step.op) == "getitem":
            return any(entry is None for entry in index_of(step))
        same = [source for source in _data(step) if source.shape == note.shape]
        if not same:
            return False
        note = same[0]
    return note.kind in ("parameter", "buffer")


def _losses(run: _Run) -> Iterator[Warning]:
    for step in run.called(_LOSSES):
        notes = _data(step)
        if len(notes) == 2 and notes[0].shape != notes[1].shape:
            yield Warning(
                "broadcast",
                step.index,
                said(
                    "The loss compares {a} with {b}: the shapes differ, so that elements are "
                    "compared that do not belong together. Give both the same shape first.",
                    a=_shown(notes[0]),
                    b=_shown(notes[1]),
                ),
            )


_SOFTMAX = ("softmax", "log_softmax")
_SOFTMAX_STEPS = frozenset([*_SOFTMAX, *(each for each in LAYERS if LAYERS[each] in _SOFTMAX)])


def _masks(run: _Run) -> Iterator[Warning]:
    """A mask of (B, 1, T, 1) in front of a softmax over the last axis: it hides whole rows."""
    for step in run.called(_SOFTMAX_STEPS):
        dim = _softmax_dim(step)
        if dim is None or not _data(step):
            continue
        note = _data(step)[0]
        axis = dim % len(note.shape) - len(note.shape)
        masked = _masked(run.trace, note)
        if masked is None or note.shape[axis] == 1:
            continue
        mask = masked.inputs[1]
        if math.prod(mask.shape) > 1 and (len(mask.shape) < -axis or mask.shape[axis] == 1):
            yield Warning(
                "broadcast",
                masked.index,
                said(
                    "{mask} has one entry for all {size} along the axis that the softmax of "
                    "`{code}` runs over: it hides whole rows, whose weights come out equal or "
                    "NaN, and no single entry. Put the mask along that axis.",
                    mask=_shown(mask),
                    size=note.shape[axis],
                    code=_short(step),
                ),
            )


def _softmax_dim(step: Step) -> int | None:
    if operation_of(step.op) not in _SOFTMAX:
        return None
    dim = bound_of(step).get("dim")
    return dim if type(dim) is int else None


def _masked(trace: Trace, note: TensorNote) -> Step | None:
    """The step that masked the tensor, if nothing but its shape-keeping successors came after."""
    shape = note.shape
    for _ in range(4):
        if note.born is None:
            return None
        step = trace.steps[note.born]
        if op_name(step.op) == "masked_fill" and len(step.inputs) == 2:
            return step
        if len(_data(step)) != 1 or _data(step)[0].shape != shape:
            return None
        note = _data(step)[0]
    return None


# --- a view that cuts across axes ---------------------------------------------------------------

_VIEWS = _words("view reshape")


def _views(run: _Run) -> Iterator[Warning]:
    for step in run.called(_VIEWS):
        if not step.outputs or len(_data(step)) != 1:
            continue
        (before,), after = _data(step), step.outputs[0]
        if before.id not in run.from_inputs or _was_padded(run.trace, before):
            continue
        because = _recut(before, after) or _swallowed(before, after, step)
        if because is not None:
            yield Warning("view", step.index, because)


def _recut(before: TensorNote, after: TensorNote) -> Said | None:
    """A view to the same sizes in another order: it was taken for a transpose."""
    old = [size for size in before.shape if size != 1]
    new = [size for size in after.shape if size != 1]
    if old == new or sorted(old) != sorted(new):
        return None
    return said(
        "A view from {before} to {after} does not swap axes: it reads the elements in the same "
        "order and cuts them elsewhere, so that rows are mixed. Use transpose or permute.",
        before=_shown(before),
        after=ShapeOf(after.shape),
    )


def _swallowed(before: TensorNote, after: TensorNote, step: Step) -> Said | None:
    """`view(-1, 400)` of (4, 16, 10, 10), where a sample has 1600 numbers."""
    if len(after.shape) != 2 or len(before.shape) < 3 or not _leaves_the_first_size(step):
        return None
    width, sample = after.shape[1], math.prod(before.shape[1:])
    inner = 1
    for size in reversed(before.shape[1:]):
        if width == inner * size or (inner == 1 and size % width == 0):
            return None  # whole axes, or a part of the last one
        inner *= size
    if width in (1, sample) or after.shape[0] == before.shape[0]:
        return None
    return said(
        "{before} holds {samples} of {numbers}; rows of {width} make {rows} of them, so a row is "
        "no longer one sample. Use view({name}.size(0), -1), or flatten(1), and a layer for that "
        "width.",
        before=_shown(before),
        samples=Count(before.shape[0], "sample"),
        numbers=Count(sample, "number"),
        width=width,
        rows=after.shape[0],
        name=_called(before),
    )


def _called(note: TensorNote) -> str:
    return note.name if note.name.isidentifier() else "x"


def _leaves_the_first_size(step: Step) -> bool:
    bound = bound_of(step)
    sizes = bound.get("size", bound.get("shape"))
    return isinstance(sizes, tuple) and sizes[:1] == (-1,)


def _was_padded(trace: Trace, note: TensorNote) -> bool:
    """Padding and then cutting elsewhere skews a matrix on purpose, as relative positions do."""
    for _ in range(3):
        if note.born is None:
            return False
        step = trace.steps[note.born]
        if op_name(step.op) in ("pad", "cat", "concat", "concatenate"):
            return True
        if not _data(step):
            return False
        note = _data(step)[0]
    return False


# --- batch normalisation of one sample ----------------------------------------------------------


_BATCH_NORMS = _words("BatchNorm1d BatchNorm2d BatchNorm3d")


def _single_statistics(run: _Run) -> Iterator[Warning]:
    """Said of the first such layer: the others of the model are no news."""
    for step in run.called(_BATCH_NORMS):
        if not _data(step):
            continue
        note = _data(step)[0]
        if note.shape[0] == 1 and bound_of(step).get("training") is True:
            yield Warning(
                "batchnorm",
                step.index,
                said(
                    "In training, {module} normalises {x} by the mean and variance of this one "
                    "sample ({values} a channel), and moves its running statistics towards them. "
                    "Use a larger batch, or model.eval() if this is no training.",
                    module=step.module,
                    x=_shown(note),
                    values=Count(math.prod(note.shape[2:]), "value"),
                ),
            )
            return


# --- what another batch size shows --------------------------------------------------------------

# They take sizes, where a batch size may be written down.
_SIZED = _words(
    "view reshape expand repeat broadcast_to tile zeros ones empty full randn rand "
    "new_zeros new_ones new_full new_empty"
)
_SQUEEZE = _words("squeeze")


def _with_other_batch(
    run: _Run, args: tuple[Any, ...], kwargs: dict[str, Any], rerun: Rerun
) -> Iterator[Warning]:
    batch = run.batch
    if not batch:
        return
    written = {step.index for step in run.called(_SIZED) if _writes_batch(run, step, batch)}
    squeezes = {step.index for step in run.called(_SQUEEZE) if _squeezes(run, step, batch)}
    chances = {step.index for step in run.trace.steps if _meets_batch(run, step, batch)}
    if not (written or squeezes or chances):
        return

    def again(times: int) -> Trace:
        def longer(tensor: Tensor) -> Tensor:
            shape = tensor.shape
            longer = (shape[0] * times, *shape[1:]) if shape else shape
            return torch.empty(longer, dtype=tensor.dtype, device="meta")

        return rerun(tree_map_only(Tensor, longer, args), tree_map_only(Tensor, longer, kwargs))

    second = again(2)
    common = _common_steps(run.trace, second)
    for index in sorted(squeezes):
        if index < common:
            yield from _squeezed(run.trace.steps[index], second.steps[index], batch)
    culprit, chance = _culprits(run.trace, second, common, written, chances, batch)
    # A module that the meta device cannot run fails there with any batch.
    if (culprit is None and chance is None) or again(1).failure is not None:
        return
    if culprit is not None:
        step = run.trace.steps[culprit]
        yield Warning(
            "batch",
            culprit,
            said(
                "`{code}` has the batch size {batch} written into it: a batch of another size "
                "({tried} was tried) fails or comes out wrong. Take it from the input, as in "
                "x.size(0).",
                code=_short(step),
                batch=batch,
                tried=2 * batch,
            ),
        )
    if chance is not None:
        yield _met_by_chance(run.trace.steps[chance], batch)


def _met_by_chance(step: Step, batch: int) -> Warning:
    wide, narrow = _wide_and_narrow(step)
    return Warning(
        "broadcast",
        step.index,
        said(
            "`{code}` lines up the batch of {narrow} with axis {axis} of {wide}: the sizes agree "
            "only because both are {batch}, and a batch of {tried} fails. Unsqueeze the axes that "
            "are missing behind the batch.",
            code=_short(step),
            narrow=_shown(narrow),
            axis=len(wide.shape) - len(narrow.shape),
            wide=_shown(wide),
            batch=batch,
            tried=2 * batch,
        ),
    )


def _common_steps(first: Trace, second: Trace) -> int:
    """How many steps the two runs have in common from the start."""
    pairs = zip(first.steps, second.steps, strict=False)
    return next(
        (i for i, (a, b) in enumerate(pairs) if (a.op, a.place) != (b.op, b.place)),
        min(len(first.steps), len(second.steps)),
    )


def _culprits(
    first: Trace, second: Trace, common: int, written: set[int], chances: set[int], batch: int
) -> tuple[int | None, int | None]:
    """The step with a batch size in it, or the one that met the batch by chance, that the second
    run came to grief over."""
    failure = second.failure
    if failure is None:
        if _scales(first, second, batch):
            return None, None
        return _latest(second, second.outputs, written, common), None
    if failure.step is None:
        notes = tuple(operand.note for operand in failure.operands)
        return _latest(second, notes, written, common), None
    stopped = failure.step.index
    if stopped >= common:
        return None, None
    if stopped in chances:
        return None, stopped
    if stopped in written:
        return stopped, None
    return _latest(second, failure.step.inputs, written, common), None


def _scales(first: Trace, second: Trace, batch: int) -> bool:
    """Whether every output that began with the batch grew with it."""
    pairs = list(zip(first.outputs, second.outputs, strict=False))
    return all(b.shape[:1] != a.shape[:1] for a, b in pairs if a.shape[:1] == (batch,))


def _latest(
    trace: Trace, notes: tuple[TensorNote, ...], wanted: set[int], common: int
) -> int | None:
    """The latest of the steps `wanted` that `notes` descend from."""
    pending, seen = [note.born for note in notes], set[int]()
    while pending:
        index = pending.pop()
        if index is not None and index not in seen:
            seen.add(index)
            pending += [note.born for note in trace.steps[index].inputs]
    return max((index for index in seen & wanted if index < common), default=None)


def _squeezes(run: _Run, step: Step, batch: int) -> bool:
    """A `squeeze()` of all axes, on something that may begin with the batch."""
    return (
        bound_of(step).get("dim") is None
        and bool(step.inputs)
        and step.inputs[0].shape[:1] == (batch,)
        and step.inputs[0].id in run.from_inputs
    )


def _squeezed(step: Step, again: Step, batch: int) -> Iterator[Warning]:
    note, after = step.inputs[0], step.outputs[0]
    if again.inputs[0].shape[:1] != (2 * batch,) or not again.outputs:
        return
    one = tuple(size for size in note.shape[1:] if size != 1)
    because = said(
        "`{code}` dropped the batch too: {x} became {after}. Name the axes to drop, as in "
        "squeeze(-1), or use flatten(1)."
        if batch == 1
        else "`{code}` keeps the batch of {batch}, but of one sample it makes {one}: the batch is "
        "gone. Name the axes to drop, as in squeeze(-1), or use flatten(1).",
        code=_short(step),
        x=_shown(note),
        after=ShapeOf(after.shape),
        batch=batch,
        one=ShapeOf(one),
    )
    yield Warning("squeeze", step.index, because)


def _wide_and_narrow(step: Step) -> tuple[TensorNote, TensorNote]:
    wide, narrow = sorted(step.inputs[:2], key=lambda note: -len(note.shape))
    return wide, narrow


def _meets_batch(run: _Run, step: Step, batch: int) -> bool:
    """A tensor of fewer axes, whose first one may be the batch, meets another axis of its size."""
    if batch == 1 or len(step.inputs) != 2:
        return False
    wide, narrow = _wide_and_narrow(step)
    axis = len(wide.shape) - len(narrow.shape)
    return (
        axis > 0
        and narrow.shape[:1] == (batch,)
        and wide.shape[axis] == batch
        and narrow.id in run.from_inputs
        and _laid(step)
    )


# --- a batch size in the source -----------------------------------------------------------------


def _writes_batch(run: _Run, step: Step, batch: int) -> bool:
    """Whether the first size that can be the batch's is written as a number, as an attribute of the
    module or as a global name."""
    if not step.outputs:
        return False
    call = _parsed(step.expression)
    if not isinstance(call, ast.Call):
        return False
    sizes = [node for argument in call.args for node in _items(argument)]
    sizes += [n for k in call.keywords if k.arg in ("size", "shape") for n in _items(k.value)]
    shape = step.outputs[0].shape
    # `torch.reshape(x, (32, -1))` names its tensor first, `new_full(sizes, 0)` its value last.
    if step.op.startswith("torch.") and step.inputs:
        sizes = sizes[1:]
    if op_name(step.op) in _VIEWS and step.inputs[0].id not in run.from_inputs:
        return False  # a parameter given another shape
    for node, size in zip(sizes, shape, strict=False):
        if any(_fixed(run, step, factor) == batch for factor in _factors(node)):
            return True
        if size == batch:
            return False
    return False


def _items(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple | ast.List) else [node]


def _factors(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        yield from _factors(node.left)
        yield from _factors(node.right)
    else:
        yield node


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> ast.expr | None:
    try:
        return parsed(text.strip(), "eval").body
    except (SyntaxError, ValueError):
        return None


def _fixed(run: _Run, step: Step, node: ast.expr) -> int | None:
    """The value of an expression that does not depend on the inputs, where that is easily seen."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    owner = run.model.get_submodule(run.trace.calls[step.call].module)
    if isinstance(node, ast.Name):
        assigned = _assigned(_text(run.trace, step), node.id)
        if assigned is not None:
            return None if isinstance(assigned, ast.Name) else _fixed(run, step, assigned)
        forward = inspect.unwrap(type(owner).forward)
        known = getattr(forward, "__globals__", {}).get(node.id)
        return known if type(known) is int else None
    chain: list[str] = []
    while isinstance(node, ast.Attribute):
        chain.append(node.attr)
        node = node.value
    if not (chain and isinstance(node, ast.Name) and node.id == "self"):
        return None
    value: Any = owner
    for part in reversed(chain):
        # Without running a property.
        own = vars(value) if hasattr(value, "__dict__") else {}
        value = own.get(part, own.get("_modules", {}).get(part))
    return value if type(value) is int else None


def _text(trace: Trace, step: Step) -> str:
    return trace.sources[step.place.source].text if step.place.source is not None else ""


@functools.lru_cache(maxsize=1024)
def _assigned(text: str, name: str) -> ast.expr | None:
    """What a function's text assigns to `name`: the value, or the name itself where that cannot be
    told (an argument, several assignments, a tuple).  None if it is no local name."""
    try:
        tree = parsed(textwrap.dedent(text))
    except (SyntaxError, ValueError):
        return ast.Name(name)
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    found.append(node.value)
        named = (isinstance(node, ast.arg) and node.arg == name) or (
            isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name
        )
        if named:
            found.append(ast.Name(name))
    if not found:
        return None
    # A plain assignment is found twice: as its value, and as the name that is stored.
    return found[0] if len(found) == 2 and not isinstance(found[0], ast.Name) else ast.Name(name)


def _short(step: Step) -> str:
    text = " ".join(step.expression.split()) or op_name(step.op)
    return text if len(text) <= 60 else text[:57] + "..."
