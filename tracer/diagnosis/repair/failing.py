"""What the run that failed shows of a program: the values that were still needed, the batch, and
what the calls that came to an end gave."""

from __future__ import annotations

import ast
import contextlib
import functools
import itertools
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from torch import Tensor, nn

from tracer.diagnosis.repair.bench import (
    Bench,
    Called,
    Given,
    Print,
    Program,
    ShapeList,
    print_of,
    shapes_of,
)
from tracer.diagnosis.repair.edited import original_name
from tracer.diagnosis.repair.flow import Depends, Flow, depends
from tracer.diagnosis.repair.samples import (
    Axes,
    batch_axes,
    changed,
    grown,
    input_tensors,
    lengths,
    mixes,
    one_of,
    other_sizes,
    pictures,
    resized,
    with_sizes,
)
from tracer.diagnosis.repair.variants import Variant, variants
from tracer.record.frames import HERE, TORCH
from tracer.record.tensors import tensors_in
from tracer.source.text import text_of

PLAIN = Program()
_SHAPES = (HERE, TORCH + "_")
"""Where it is worked out what an operation does to shapes: no layer's own code."""


@dataclass(frozen=True)
class Stopped:
    """A frame of the author as the failure passed it."""

    file: str
    name: str  # qualified, of its function
    first: int  # its function's first line
    line: int
    names: Mapping[str, Any]


@dataclass(frozen=True)
class Stop:
    """Where a run failed: the author's frames, outermost first, the tensors that the failing call
    was given, those of its layer among them, and what the tensors depend on that were still
    needed: these, and those that the functions on the stack read afterwards.  `paired` are the
    lines on which a column had met a row."""

    frames: tuple[Stopped, ...]
    operands: tuple[Tensor, ...]
    needed: Depends
    paired: frozenset[str]


@dataclass(frozen=True)
class Probe:
    """Inputs of another batch `size`, with values; and `sized`, the same for shapes, in that size
    and in `other`."""

    given: Given
    sized: tuple[Given, Given]
    size: int
    other: int


@dataclass(frozen=True)
class Larger:
    """Inputs twice as `large` or twice as `long` with which the program gets as far, and what it
    then gives, None where it fails again."""

    kind: str
    given: Given
    shapes: ShapeList | None


@dataclass(frozen=True)
class Ended:
    """What one call of a function gave: a print of its results, and the bit that marks them."""

    print: Print
    bit: int


@dataclass
class Calls:
    """Counts the calls of some functions in a run, and what they gave, by qualified name."""

    names: frozenset[str]
    files: frozenset[str]
    flow: Flow
    values: bool
    ended: dict[str, list[Ended]] = field(default_factory=dict)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        if sys.getprofile() is not None:  # somebody else's, which cannot always be put back
            yield
            return
        sys.setprofile(self._told)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _told(self, frame: FrameType, event: str, result: Any) -> None:
        if event != "return" or not self._ours(frame.f_code) or result is None:
            return
        name = frame.f_code.co_qualname
        known = self.ended.setdefault(name, [])
        bit = self.flow.bit(f"call {len(known)} of {name}")
        found = tensors_in(result)
        made = print_of(found, self.values)  # before the mark: nothing of the author's reads it
        for tensor in found:
            was = depends(tensor)
            tensor._depends_on = Depends(was.grad, was.used | bit, was.numbers)  # type: ignore[attr-defined]
        known.append(Ended(made, bit))

    def _ours(self, code: CodeType) -> bool:
        file = original_name(code.co_filename)
        return code.co_qualname in self.names and file in self.files


class Failing:
    """The failing run of a bench, with values or on shapes alone; what it shows is worked out when
    asked for, once."""

    def __init__(self, bench: Bench, values: bool) -> None:
        self.bench = bench
        self.values = values
        self.inputs = input_tensors(bench.given)
        self.bits: dict[str, int] = {}

    def given(self, axes: Axes | None = None, size: int = 0, values: bool | None = None) -> Given:
        """The inputs, resized, with values where shapes do not lead through."""
        values = self.values if values is None else values
        given = self.bench.given if values else self.bench.on_meta
        return given if axes is None else resized(given, axes, size)

    def look(self) -> None:
        """Work out all that a proof asks for."""
        _ = self.stopped
        for axes in self.batches:
            self.keeps(axes)
            self.probe(axes)
            self.larger(axes)
        self.larger(None)
        _ = self.variants

    # --- what was still needed ---

    @functools.cached_property
    def stopped(self) -> Stop:
        """Where the run failed, and what was still needed there."""
        flow = Flow(self.bits, {}, self.bench.files)
        with self.bench.open(PLAIN, self.values) as live:
            called = live.call(self.given(), follow=flow)
        frames = tuple(_frames(called.error, self.bench.files))
        operands = _operands(called, self.bench.files)
        grad = used = 0
        for tensor in (*operands, *_read_later(frames)):
            found = depends(tensor)
            grad, used = grad | found.grad, used | found.used
        _let_go(called)
        return Stop(frames, tuple(operands), Depends(grad, used), frozenset(flow.paired))

    # --- the batch ---

    @functools.cached_property
    def batches(self) -> tuple[Axes, ...]:
        """What the batch may be, the likeliest first: the inputs' dimensions that can be resized
        together as far as the run got.  The second counts where samples along the first are mixed
        before the failure: a sequence whose batch does not come first."""
        possible = (
            axes
            for axes in batch_axes(self.inputs)
            if all(self.reaches(axes, size) for size in other_sizes(axes.size, self.inputs))
        )
        return tuple(itertools.islice(possible, 2))

    def reaches(self, axes: Axes, size: int) -> bool:
        """Whether the program gets as far with inputs of another size."""
        key = axes, size
        if key not in self._reached:
            self._reached[key] = self._gets_as_far(self.given(axes, size))
        return self._reached[key]

    def larger(self, batch: Axes | None) -> tuple[Larger, ...]:
        """The inputs twice as large, and twice as long, where the run gets as far with them."""
        if batch not in self._larger:
            ways = [
                ("large", pictures(self.inputs, batch)),
                *(("long", lengths(self.inputs, batch, dims)) for dims in ((0, 1), (2,))),
            ]
            found: dict[str, Larger] = {}
            for kind, places in ways:
                if places and kind not in found:
                    given = with_sizes(self.given(), places, lambda size: 2 * size)
                    called = self._called(given)
                    if called.steps >= self.bench.plain.steps:
                        shapes = shapes_of(called.result) if called.error is None else None
                        found[kind] = Larger(kind, given, shapes)
            self._larger[batch] = tuple(found.values())
        return self._larger[batch]

    @functools.cached_property
    def _larger(self) -> dict[Axes | None, tuple[Larger, ...]]:
        return {}

    @functools.cached_property
    def variants(self) -> tuple[Variant, ...]:
        """The failure with other numbers in its configs."""
        return variants(self.bench, self.given(), self.values)

    def _gets_as_far(self, given: Given) -> bool:
        return self._called(given).steps >= self.bench.plain.steps

    def _called(self, given: Given) -> Called:
        with self.bench.open(PLAIN, self.values) as live:
            called = live.call(given)
        _let_go(called)
        return called

    @functools.cached_property
    def _reached(self) -> dict[tuple[Axes, int], bool]:
        return {}

    def keeps(self, axes: Axes) -> bool:
        """Whether the failing call was still given something that grows with the batch."""
        if axes not in self._keeping:
            size = next(other_sizes(axes.size, self.inputs))
            with self.bench.open(PLAIN, self.values) as live:
                called = live.call(self.given(axes, size))
            found = _operands(called, self.bench.files)
            _let_go(called)
            same = len(found) == len(self.stopped.operands)
            both = zip(self.stopped.operands, found, strict=False)
            self._keeping[axes] = not same or any(grown(a, b, axes.size, size) for a, b in both)
        return self._keeping[axes]

    @functools.cached_property
    def _keeping(self) -> dict[Axes, bool]:
        return {}

    def mixing(self, axes: Axes) -> bool:
        """Whether one sample's values depend on another's in the part that ran."""
        if axes not in self._mixing:
            self._mixing[axes] = self.bench.valued and self._mixes(axes)
        return self._mixing[axes]

    @functools.cached_property
    def _mixing(self) -> dict[Axes, bool]:
        return {}

    def _mixes(self, axes: Axes) -> bool:
        probe = self.probe(axes)
        sizes = [self._state(given, self.values) for given in probe.sized]
        first, second = (
            self._state(given, True) for given in (probe.given, changed(probe.given, axes))
        )
        if len({len(run) for run in (*sizes, first, second)}) > 1:
            return False
        both = [grown(a, b, probe.size, probe.other) for a, b in zip(*sizes, strict=True)]
        if any(len(found) > 1 for found in both):
            return True  # samples are compared with each other
        return bool(mixes(first, second, [one_of(found) for found in both], probe.size))

    def _state(self, given: Given, values: bool) -> list[Tensor]:
        """The tensors that were there when the run failed."""
        with self.bench.open(PLAIN, values) as live:
            called = live.call(given, evaluated=True)
            own = {id(tensor) for tensor in live.model.parameters()}
        frames = tuple(_frames(called.error, self.bench.files))
        found = [*_operands(called, self.bench.files), *_read_later(frames)]
        _let_go(called)
        return [tensor for tensor in found if id(tensor) not in own]

    def probe(self, axes: Axes) -> Probe:
        """The inputs for runs with values: where these are costly, few samples that are short."""
        if axes not in self._probes:
            given, shaped = self.bench.given, self.given()
            size, other = other_sizes(axes.size, self.inputs)
            if self.bench.costly:
                size, other = 2, 3
                for places in (lengths(self.inputs, axes), pictures(self.inputs, axes)):
                    if places and self._gets_as_far(with_sizes(shaped, places, _short)):
                        given = with_sizes(given, places, _short)
                        shaped = with_sizes(shaped, places, _short)
            sized = resized(shaped, axes, size), resized(shaped, axes, other)
            self._probes[axes] = Probe(resized(given, axes, size), sized, size, other)
        return self._probes[axes]

    @functools.cached_property
    def _probes(self) -> dict[Axes, Probe]:
        return {}

    # --- other calls ---

    def ended(self, names: frozenset[str], values: bool) -> list[tuple[str, int, Print]]:
        """The calls of these functions that came to an end and that a repair leaves as they were,
        as name, number and what they gave.

        What led to the failure may be what was wrong: of a function that failed itself at last
        that is its last result, of any other each that the failing call was given something of;
        and of what nothing was computed of yet nobody knows whether it was right, unless the same
        function failed later.
        """
        key = names, values
        if key not in self._ended:
            flow = Flow(self.bits, {}, self.bench.files)
            calls = Calls(names, self.bench.files, flow, values)
            with self.bench.open(PLAIN, values) as live, calls.watching():
                called = live.call(self.given(values=values), follow=flow)
            used = 0
            for tensor in _operands(called, self.bench.files):
                used |= depends(tensor).used
            _let_go(called)
            stack = {frame.name for frame in self.stopped.frames}
            self._ended[key] = [
                (name, number, call.print)
                for name, ended in calls.ended.items()
                for number, call in enumerate(ended)
                if (not used & call.bit and (name in stack or flow.read & call.bit))
                or (name in stack and number < len(ended) - 1)
            ]
        return self._ended[key]

    @functools.cached_property
    def _ended(self) -> dict[tuple[frozenset[str], bool], list[tuple[str, int, Print]]]:
        return {}


def failing_of(bench: Bench, values: bool | None = None) -> Failing:
    """The failing run of this bench, worked out once; with values where shapes do not lead as far,
    or where it is asked for so."""
    values = not bench.by_shapes if values is None else values
    found: Failing = bench.failing.setdefault(values, Failing(bench, values))
    return found


def _short(size: int) -> int:
    return min(size, max(8, size // 8))


# --- frames --------------------------------------------------------------------------------------


def _let_go(called: Called) -> None:
    """A traceback keeps its frames, and these what made it: let that not wait for the collector."""
    if called.error is not None:
        called.error.__traceback__ = None


def _walk(error: Exception | None) -> Iterator[tuple[FrameType, int]]:
    traceback = error.__traceback__ if error is not None else None
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _frames(error: Exception | None, files: frozenset[str]) -> Iterator[Stopped]:
    for frame, line in _walk(error):
        code = frame.f_code
        if original_name(code.co_filename) in files:
            names = dict(frame.f_locals)
            yield Stopped(code.co_filename, code.co_qualname, code.co_firstlineno, line, names)


def _operands(called: Called, files: frozenset[str]) -> list[Tensor]:
    found = list(tensors_in(called.last))
    inner: list[FrameType] = []
    for frame, _ in _walk(called.error):
        ours = original_name(frame.f_code.co_filename) in files
        inner = [] if ours else [*inner, frame]
    for frame in inner:
        if frame.f_code.co_filename.startswith(_SHAPES):
            continue
        for value in frame.f_locals.values():
            found += [value] if isinstance(value, Tensor) else []
            if isinstance(value, nn.Module) and not list(value.children()):
                found += value.parameters()
    return list({id(tensor): tensor for tensor in found}.values())


def _read_later(frames: tuple[Stopped, ...]) -> list[Tensor]:
    """The tensors in names that a function on the stack reads from the failing statement on."""
    found: list[Tensor] = []
    for frame in frames:
        later = _later_names(frame.file, frame.first, frame.line)
        for name, value in frame.names.items():
            if name in later and not isinstance(value, nn.Module):
                found += tensors_in(value)
    return found


@functools.lru_cache(maxsize=256)
def _later_names(file: str, first: int, line: int) -> frozenset[str]:
    text = text_of(file)
    if text is None:
        return frozenset()
    for node in text.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if start == first:
                break
    else:
        return frozenset()
    loops = [
        each
        for each in ast.walk(node)
        if isinstance(each, ast.For | ast.While) and each.lineno <= line <= (each.end_lineno or 0)
    ]
    statement = text.statement_on(line)
    since = min([line, statement.lineno if statement else line, *(each.lineno for each in loops)])
    return frozenset(
        each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.lineno >= since
    )
