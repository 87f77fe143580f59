"""The trace against an independent count.

A plain `TorchDispatchMode` sees every tensor that torch makes, below everything the recorder
looks at.  Each of its events is put down to the expression of the author's code, or the call of a
torch.nn module, that was running: the frame, and the number of opcodes that frame had executed
(by `sys.settrace`, so that two passes of a loop differ).  Then both accounts must agree: the same
expressions in the same order, and every tensor that enters or leaves an expression in the trace,
with its shape, dtype and values.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import itertools
import linecache
import math
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
import torch._dynamo  # a first dispatch would import it, slowly while every call is watched
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modules import LESSONS
from modules.lesson import Lesson, Preset
from tests.effort import MECHANISMS, TIMES
from tests.models import BY_KEY, MODELS, Model, small_settings, unsettled
from tracer import Step, TensorNote, Trace, trace

LIBRARIES = (str(Path(torch.__file__).parent), sysconfig.get_path("stdlib"))
TORCH_NN = str(Path(nn.__file__).parent)
FROM_PYTHON = ("aten::lift_fresh", "aten::index.Tensor")  # of lists of numbers
PLUMBING = ("_python_dispatch.py", "_ops.py", "nn/modules/module.py")
CALL_IMPL = nn.Module._call_impl.__code__  # the frame in which a module's forward is called


# --- the plain recorder ---------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What identifies a tensor's content without keeping it."""

    shape: tuple[int, ...]
    dtype: str
    minimum: float | None
    maximum: float | None
    mean: float | None
    zeros: float
    nan: int
    inf: int
    filled: bool = True  # False of what torch.empty returns: nobody knows what is in it

    @classmethod
    def of(cls, tensor: Tensor, filled: bool = True) -> Figures:
        tensor = tensor.detach()
        exact = (tensor.abs() if tensor.is_complex() else tensor).double().flatten()
        finite = exact[exact.isfinite()]
        return cls(
            tuple(tensor.shape),
            str(tensor.dtype).removeprefix("torch."),
            finite.min().item() if len(finite) else None,
            finite.max().item() if len(finite) else None,
            finite.mean().item() if len(finite) else None,
            (exact == 0).double().mean().item() if len(exact) else 0.0,
            int(exact.isnan().sum()),
            int(exact.isinf().sum()),
            filled,
        )

    def describes(self, note: TensorNote) -> bool:
        if note.shape != self.shape or note.dtype.removeprefix("torch.") != self.dtype:
            return False
        if not self.filled:
            return True
        stats = note.stats
        assert stats is not None, f"{note.name} {note.shape} has no figures"
        largest = max(abs(self.minimum or 0.0), abs(self.maximum or 0.0))

        def close(a: float | None, b: float | None, tolerance: float) -> bool:
            if a is None or b is None:
                return a is b
            return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance * largest)

        return (
            (stats.nan, stats.inf, stats.count) == (self.nan, self.inf, math.prod(self.shape))
            and close(stats.minimum, self.minimum, 1e-6)
            and close(stats.maximum, self.maximum, 1e-6)
            and close(stats.mean, self.mean, 1e-5)
            and math.isclose(stats.zeros, self.zeros, abs_tol=1e-6)
        )


Key = tuple[Any, ...]


def storage_key(tensor: Tensor) -> Key:
    """Equal for two Python objects that are the same elements (every tensor is kept alive)."""
    return (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)


@dataclass
class Inner:
    """One evaluation of one expression of torch's own Python code inside an `Expression`."""

    entered: set[Key] = field(default_factory=set)
    made: dict[Key, Figures] = field(default_factory=dict)


@dataclass
class Expression:
    """One evaluation of one expression, with every tensor that went into and came out of it."""

    file: str
    extent: tuple[int, int]
    text: str
    module: str
    operator: str
    in_python: bool = False  # by a Python function of torch, which may be several steps
    entered: dict[Key, Figures] = field(default_factory=dict)
    made: dict[Key, list[Figures]] = field(default_factory=dict)
    live: dict[Key, Tensor] = field(default_factory=dict)
    numbers: set[Key] = field(default_factory=set)  # Python numbers that torch made tensors of
    inner: dict[Key, Inner] = field(default_factory=dict)
    old: dict[Key, Figures] = field(default_factory=dict)  # what was made here and elsewhere before

    @property
    def where(self) -> Key:
        return self.file, self.extent, self.text, self.module, self.operator


@dataclass
class Account:
    expressions: list[Expression]
    outputs: list[Figures]
    returned: list[Key]
    owned: set[Key]  # the parameters and buffers
    known: dict[Key, list[Figures]]  # by shape and dtype


def written(file: str) -> bool:
    """True when the file is neither torch, nor the standard library, nor this recorder."""
    return not file.startswith((*LIBRARIES, "<frozen")) and file != __file__


def position(frame: FrameType) -> tuple[tuple[int, int], str]:
    """Line and column where the expression that a frame is at ends, and its text as the
    interpreter marks it: of `a\\n.b()` on two lines only `b()`, of `x[i] = y` only `x[i]`."""
    marks = [*frame.f_code.co_positions()][frame.f_lasti // 2]
    line, end_line, column, end_column = (mark if mark is not None else -1 for mark in marks)
    assert min(line, end_line, column, end_column) >= 0
    raw = [text.encode() for text in linecache.getlines(frame.f_code.co_filename)]
    part = raw[line - 1 : end_line]
    part[-1] = part[-1][:end_column]
    end = len(part[-1].decode())
    part[0] = part[0][column:]
    return (end_line, end), b"".join(part).decode()


class Plain(TorchDispatchMode):
    def __init__(self, model: nn.Module, inputs: list[Tensor], outermost: FrameType) -> None:
        super().__init__()
        self.seen = {storage_key(tensor): Figures.of(tensor) for tensor in inputs}
        self.sharing: dict[int, dict[Key, Tensor]] = {}
        for tensor in inputs:
            self.share(tensor)
        self.unfilled: set[Key] = set()
        self.names = {id(module): name for name, module in reversed([*model.named_modules()])}
        self.outermost = outermost
        self.opcodes: dict[FrameType, int] = {}
        self.expressions: dict[Key, Expression] = {}
        self.kept: list[object] = []
        self.everything: list[Figures] = []

    def forget(self) -> None:
        """Let go of every tensor and frame: they hold this recorder in turn, and what lies in such
        a circle takes memory until Python happens to look for it."""
        for expression in self.expressions.values():
            expression.live.clear()
        for held in (self.sharing, self.opcodes, self.expressions, self.kept):
            held.clear()
        del self.outermost

    def share(self, tensor: Tensor) -> None:
        memory = tensor.untyped_storage().data_ptr()
        self.sharing.setdefault(memory, {})[storage_key(tensor)] = tensor

    # One opcode is one evaluation: a loop that comes back to it has executed others in between.
    def watch(self, frame: FrameType, event: str, _: object) -> Any:
        if not written(frame.f_code.co_filename):
            return None
        if event == "call":
            frame.f_trace_opcodes = True
            self.opcodes.setdefault(frame, 0)
        elif event == "opcode":
            self.opcodes[frame] += 1
        return self.watch

    def running(self) -> Expression:
        """The expression that the innermost frame of the author's code is evaluating."""
        frames: list[FrameType] = []
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame is not self.outermost:
            frames.append(frame)
            frame = frame.f_back
        module, author, call, in_python = "", None, None, False
        for frame in reversed(frames):
            if written(frame.f_code.co_filename):
                author, call, in_python = frame, None, False
            elif frame.f_code is CALL_IMPL and id(frame.f_locals["self"]) in self.names:
                owner = frame.f_locals["self"]
                module = self.names[id(owner)]
                theirs = type(owner).__module__.startswith("torch.nn")
                if theirs and not isinstance(owner, nn.Sequential):
                    call = frame
                    break
            else:
                in_python |= not frame.f_code.co_filename.endswith(PLUMBING)
        key = (author, self.opcodes[author] if author else 0, call)
        if key not in self.expressions:
            file = author.f_code.co_filename if author else ""
            extent, text = position(author) if author else ((0, 0), "")
            operator = f"nn.{type(call.f_locals['self']).__name__}" if call else ""
            self.expressions[key] = Expression(file, extent, text, module, operator)
        self.expressions[key].in_python |= in_python
        return self.expressions[key]

    def running_inside(self) -> Key:
        """The expression of torch.nn's Python code that is evaluated, if any."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and not frame.f_code.co_filename.startswith(TORCH_NN):
            frame = frame.f_back if frame is not self.outermost else None
        return (frame, frame.f_lasti if frame is not None else 0)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        where = self.running()
        inner = where.inner.setdefault(self.running_inside(), Inner())
        taken = tensors((args, kwargs))
        for tensor in taken:
            key = storage_key(tensor)
            inner.entered.add(key)
            if key not in where.made and key not in where.entered:
                where.entered[key] = Figures.of(tensor, key not in self.unfilled)
                where.live[key] = tensor
                made_of_numbers = tensor.dim() == 0 or func.name() in FROM_PYTHON
                if tensor.numel() == 0 or (made_of_numbers and key not in self.seen):
                    where.numbers.add(key)
                self.everything.append(where.entered[key])
                self.share(tensor)
        result = func(*args, **(kwargs or {}))
        empty = func.name().startswith(("aten::empty", "aten::new_empty"))
        for tensor in tensors(result):
            view = storage_key(tensor) in self.unfilled and not func._schema.is_mutable
            filled = not (empty or view)
            figures = Figures.of(tensor, filled)
            key = storage_key(tensor)
            if key in self.seen and key not in where.made:
                where.old[key] = self.seen[key]
            versions = where.made.setdefault(key, [])
            if figures not in versions[-1:]:
                versions.append(figures)
            inner.made[key] = figures
            (self.unfilled.discard if filled else self.unfilled.add)(key)
            self.seen[key] = figures
            self.share(tensor)
            self.everything.append(figures)
        # What is written shows in everything that shares its memory.
        if func._schema.is_mutable:
            for storage in {tensor.untyped_storage().data_ptr() for tensor in taken}:
                for key, tensor in self.sharing.get(storage, {}).items():
                    figures = Figures.of(tensor, key not in self.unfilled)
                    if figures == self.seen.get(key):
                        continue
                    self.seen[key] = figures
                    self.everything.append(figures)
                    if key in where.live:
                        where.made.setdefault(key, []).append(figures)
        self.kept += [taken, result]
        return result


def account(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Account:
    """Run the model once with no recorder but this one."""
    given = [*model.parameters(), *model.buffers(), *tensors((args, kwargs))]
    plain = Plain(model, given, sys._getframe())
    before = [Figures.of(tensor) for tensor in given]
    previous = sys.gettrace()
    sys.settrace(plain.watch)
    try:
        with plain:
            result = model(*args, **kwargs)
    finally:
        sys.settrace(previous)
    outputs = tensors(result)
    known: dict[Key, list[Figures]] = {}
    for figures in (*before, *plain.everything):
        known.setdefault((figures.shape, figures.dtype), []).append(figures)
    counted = Account(
        [item for item in plain.expressions.values() if item.made],
        [Figures.of(tensor) for tensor in outputs],
        [storage_key(tensor) for tensor in outputs],
        {storage_key(tensor) for tensor in (*model.parameters(), *model.buffers())},
        known,
    )
    plain.forget()
    return counted


def tensors(value: Any) -> list[Tensor]:
    return [item for item in tree_leaves(value) if isinstance(item, Tensor)]


# --- both accounts side by side -------------------------------------------------------------


def matches(step: Step, where: Key) -> bool:
    """Whether a step is at the place of an independent `Expression.where`."""
    file, end, text, module, operator = where
    if (step.file, step.module) != (file, module) or (operator and step.op != operator):
        return False
    if not file:  # a child of a Sequential that is itself the root: nobody wrote a call
        return True
    span = step.place.span
    assert span is not None
    if step.op == "Tensor.__setitem__" or f"{text} = " in step.expression:
        return step.expression.startswith(text) and span.end_line >= end[0]
    if (span.end_line, span.end_column) != end or not step.expression.endswith(text):
        return False
    before = step.expression.removesuffix(text).rstrip()
    if "\n" in before and before.endswith("."):  # a method on a later line than its object
        whole = ast.parse(f"({step.expression})", mode="eval").body
        return isinstance(whole, ast.Call | ast.Attribute)
    return not before


def changes_nothing(step: Step) -> bool:
    """True for what returns its operand, such as `x.contiguous()` of a contiguous tensor."""
    return {note.id for note in step.outputs} <= {note.id for note in step.inputs}


def runs(expressions: list[Expression]) -> Iterator[list[Expression]]:
    for _, same in itertools.groupby(expressions, key=lambda item: item.where):
        yield list(same)


def compare(found: Trace, counted: Account) -> None:
    """Fail unless each tensor that the plain recorder saw is accounted for by the trace."""
    steps = list(found.steps)
    used_later: list[set[Key]] = []
    used: set[Key] = set(counted.returned)
    for one in reversed(counted.expressions):
        # What a module counts in a buffer of its own is no result of its call.
        used_later.insert(0, used - counted.owned if one.operator else set(used))
        used -= one.made.keys()
        used |= one.entered.keys()

    number = cursor = 0
    for same in runs(counted.expressions):
        where = same[0].where
        while cursor < len(steps) and not matches(steps[cursor], where):
            assert changes_nothing(steps[cursor]), f"{told(steps[cursor])} was never evaluated"
            cursor += 1
        mine: list[Step] = []
        while cursor < len(steps):
            if matches(steps[cursor], where):
                mine.append(steps[cursor])
            elif not (changes_nothing(steps[cursor]) and len(mine) < len(same)):
                break
            cursor += 1
        busy = [step for step in mine if not changes_nothing(step)]
        if len(same) == 1 and len(busy) > 1:
            assert same[0].in_python, f"{where}: evaluated once, {len(busy)} steps"
            shares = [mine]
        else:
            chosen = mine if len(mine) == len(same) else busy
            assert len(chosen) == len(same), f"{where}: {len(same)} times, {len(mine)} steps"
            shares = [[step] for step in chosen]
        for one, share in zip(same, shares, strict=True):
            check_step(one, share, used_later[number])
            check_inside(one, share)
            number += 1
    for step in steps[cursor:]:
        assert changes_nothing(step), f"{told(step)} was never evaluated"

    assert [note.shape for note in found.outputs] == [item.shape for item in counted.outputs]
    for note, figures in zip(found.outputs, counted.outputs, strict=True):
        assert figures.describes(note), f"output {short(note)}: {figures}"
    for note in found.tensors().values():
        candidates = counted.known.get((note.shape, note.dtype), [])
        assert any(item.describes(note) for item in candidates), f"{short(note)} never was"


def check_step(one: Expression, steps: list[Step], used_later: set[Key]) -> None:
    """What goes in and what comes out of one evaluation, which is mostly one step."""
    given = [note for step in steps for note in step.inputs]
    results = [note for step in steps for note in step.outputs]
    assert results, f"{one.where} has no result"
    unclaimed = [versions[-1] for versions in one.made.values()]
    earlier = [figures for versions in one.made.values() for figures in versions[:-1]]
    for step in steps:
        # What is written may hold what it held before.
        spare = [*earlier, *(one.entered.values() if step.writes else ())]
        for note in step.outputs:
            claimed = [item for item in unclaimed if item.describes(note)]
            if claimed:
                unclaimed.remove(claimed[0])
            elif note not in step.inputs:
                assert any(item.describes(note) for item in spare), (
                    f"{one.where}: {short(note)} was not made here"
                )
    for key, figures in one.entered.items():
        assert key in one.numbers or any(figures.describes(note) for note in given), (
            f"{one.where}: {figures} went in, the trace has {[short(note) for note in given]}"
        )
    for key in one.made.keys() & used_later:
        if key in one.old and one.made[key] == [one.old[key]]:
            continue  # a view that shows what another tensor showed before
        assert any(one.made[key][-1].describes(note) for note in results), (
            f"{one.where}: {one.made[key][-1]} came out, not {[short(note) for note in results]}"
        )


def check_inside(one: Expression, steps: list[Step]) -> None:
    """The steps inside show every tensor that passes between expressions of torch's own code."""
    inside = [leaf for step in steps for leaf in leaves(step)]
    given = [note for leaf in inside for note in leaf.inputs]
    shown = [note for leaf in inside for note in leaf.outputs if note not in leaf.inputs]
    made = [figures for versions in one.made.values() for figures in versions]
    for note in shown:
        assert any(item.describes(note) for item in (*made, *one.entered.values())), (
            f"{one.where}: {short(note)} was not made inside"
        )
    inner = list(one.inner.values())
    passed: dict[Key, Figures] = {}
    for number, part in enumerate(inner):
        entered_later = set().union(*(other.entered for other in inner[number + 1 :]))
        passed |= {
            key: part.made[key]
            for key in part.made.keys() & entered_later
            if part.made[key] != one.old.get(key)
        }
    for notes, word in ((shown, "result"), (given, "operand")):
        unclaimed = {note.id: note for note in notes}
        for figures in passed.values():
            claimed = [number for number, note in unclaimed.items() if figures.describes(note)]
            assert claimed, f"{one.where}: {figures} passes inside and is no {word} of a step"
            del unclaimed[claimed[0]]


def leaves(step: Step) -> Iterator[Step]:
    for child in step.children:
        yield from leaves(child)
    if not step.children:
        yield step


def told(step: Step) -> str:
    return f"{step.index} {step.op} {step.expression!r} in {step.module!r}"


def short(note: TensorNote) -> str:
    return f"{note.name or note.id} {note.shape} {note.dtype} {note.stats}"


# --- the checks -----------------------------------------------------------------------------


def both(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Trace, Account]:
    """The trace and the plain account of two runs from the same random state."""
    torch.default_generator.manual_seed(3)
    found = trace(model, *args, **kwargs)
    torch.default_generator.manual_seed(3)
    return found, account(model, args, kwargs)


@functools.cache
def both_of(key: str) -> tuple[Trace, Account]:
    """Of a model, once: what is damaged are copies."""
    return both(BY_KEY[key].make(), *BY_KEY[key].arguments())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)
def test_every_tensor_of_the_larger_models(model: Model) -> None:
    found, counted = both_of(model.key)
    assert len(counted.expressions) >= 3
    compare(found, counted)


@pytest.mark.parametrize(
    ("lesson", "preset"),
    [
        pytest.param(lesson, preset, id=f"{lesson.key}-{preset.name}", marks=marks)
        for lesson in LESSONS
        for number, preset in enumerate(each for each in lesson.presets if each.breaks is None)
        # Of most lessons the first preset stands for the others.
        for marks in [[] if number == 0 or lesson.key in MECHANISMS else [pytest.mark.deep]]
    ],
)
def test_every_tensor_of_the_lessons(lesson: Lesson, preset: Preset) -> None:
    settings = small_settings(lesson, preset.name)
    torch.default_generator.manual_seed(0)
    module = unsettled(lesson.build(settings)).train(preset.training)
    # What is drawn matters to the figures alone: one preset is looked at on every input.
    every = preset is lesson.presets[0] or TIMES > 1
    for kind in lesson.kinds if every else lesson.kinds[:1]:
        found, counted = both(module, *lesson.inputs(settings, kind, 0))
        assert found.failure is None
        compare(found, counted)


Damage = Callable[[Step], list[Step]]
"""What takes a step's place."""


def first_output(step: Step, **changes: Any) -> Step:
    note = dataclasses.replace(step.outputs[0], **changes)
    return dataclasses.replace(step, outputs=(note, *step.outputs[1:]))


def moved(stats: Any) -> Any:
    return dataclasses.replace(stats, mean=(stats.mean or 0.0) * 1.01 + 1e-3)


DAMAGES: dict[str, Damage] = {
    "lost": lambda step: [],
    "doubled": lambda step: [step, step],
    "longer": lambda step: [first_output(step, shape=(*step.outputs[0].shape, 1))],
    "other size": lambda step: [first_output(step, shape=(*step.outputs[0].shape[:-1], 77))],
    "other dtype": lambda step: [first_output(step, dtype="float16")],
    "other values": lambda step: [first_output(step, stats=moved(step.outputs[0].stats))],
    "no result": lambda step: [dataclasses.replace(step, outputs=())],
    "no operand": lambda step: [dataclasses.replace(step, inputs=step.inputs[1:])],
    "other module": lambda step: [dataclasses.replace(step, module=step.module + "x")],
    "other text": lambda step: [
        dataclasses.replace(
            step, place=dataclasses.replace(step.place, expression=step.expression + " ")
        )
    ],
    "inner step lost": lambda step: [dataclasses.replace(step, children=step.children[:-2])],
}


@pytest.mark.parametrize("key", ["experts", "transformer"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_trace_is_noticed(damage: str, key: str) -> None:
    """The comparison above would see a lost, doubled, misplaced or misshapen step anywhere."""
    found, counted = both_of(key)
    unseen = []
    tried = 0
    for step in found.steps:
        if changes_nothing(step) or (damage == "no operand" and not step.inputs):
            continue
        if damage == "inner step lost" and not step.children:
            continue
        tried += 1
        steps = (*found.steps[: step.index], *DAMAGES[damage](step), *found.steps[step.index + 1 :])
        try:
            compare(dataclasses.replace(found, steps=steps), counted)
        except AssertionError:
            continue
        unseen.append(told(step))
    assert unseen == []
    assert tried or damage == "inner step lost"


def test_two_steps_in_the_wrong_order_are_noticed() -> None:
    found, counted = both_of("vit")
    for position in range(len(found.steps) - 1):
        steps = list(found.steps)
        steps[position : position + 2] = reversed(steps[position : position + 2])
        if any(changes_nothing(step) for step in steps[position : position + 2]):
            continue
        with pytest.raises(AssertionError):
            compare(dataclasses.replace(found, steps=tuple(steps)), counted)


def test_an_inner_step_anywhere_is_noticed() -> None:
    found, counted = both_of("transformer")
    opened = [step for step in found.steps if step.children]
    assert opened
    unseen = []
    for step in opened:
        for leaf in leaves(step):
            if changes_nothing(leaf):
                continue
            damaged = without(step, leaf)
            steps = [damaged if other is step else other for other in found.steps]
            try:
                compare(dataclasses.replace(found, steps=tuple(steps)), counted)
            except AssertionError:
                continue
            unseen.append(told(leaf))
    assert unseen == []


def without(step: Step, lost: Step) -> Step:
    kept = tuple(without(child, lost) for child in step.children if child is not lost)
    return dataclasses.replace(step, children=kept)
