"""What an edited program has to show before it is called a repair: that it does for other batches,
other sizes, single samples, gradients and other users of the edited line what it should."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import linecache
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tracer.diagnosis.budget import OutOfBudget, TooCostly
from tracer.diagnosis.repair.bench import (
    Bench,
    Called,
    CannotRunError,
    Given,
    Live,
    Program,
    Run,
    agree,
    shapes_of,
)
from tracer.diagnosis.repair.edited import original_name
from tracer.diagnosis.repair.failing import Calls, Larger, Stopped, failing_of
from tracer.diagnosis.repair.flow import Depends, Flow, depends
from tracer.diagnosis.repair.samples import (
    Axes,
    Reached,
    changed,
    follows,
    grown,
    input_tensors,
    mixes,
    one_of,
    other_sizes,
    pairs,
    permuted,
    turned,
)
from tracer.diagnosis.repair.variants import with_variant
from tracer.diagnosis.repair.written import (
    ChangedFunction,
    changed_functions,
    new_lines,
    new_numbers,
    new_numbers_at_the_top,
    read,
    read_in_new_functions,
    widened,
)
from tracer.record.frames import HERE
from tracer.record.tensors import tensors_in
from tracer.sentences import Said, said

CHECKS = {
    "runs": said("it runs on the same inputs"),
    "batches": said(
        "it runs for two further batch sizes, and its output has the batch that the input has"
    ),
    "sizes": said("it runs for another width and height, and another length"),
    "independent": said("one sample changed alone changes its own result alone"),
    "permuted": said("a permuted batch gives a permuted result"),
    "gradients": said("gradients reach every parameter that they reached in the parts that ran"),
    "used": said("every value that was used is still used"),
    "instances": said("what else the edited lines make or compute stays as it was"),
    "kinds": said("no index and no class number serves as a quantity"),
    "literals": said("no number is written where a name serves"),
    "across": said("no entry meets every other where each has its own"),
    "axis": said("a dimension of size 1 that it gives is none of the results'"),
    "larger": said("it does for larger inputs what the program did, or failed to do, there"),
    "numbers": said("it does for other numbers in the config"),
}
"""What an edited program has to show, check by check, in the order in which they are told."""
QUIET = ("literals", "larger", "numbers")  # of which nothing is told
WEAK = (*QUIET, "across", "axis")  # a repair may pass without them


@dataclass(frozen=True)
class Check:
    """`passed` is None where the check does not apply or could not be made; `said` is one sentence
    on what is wrong, or on why it could not be made."""

    name: str
    passed: bool | None
    said: Said | None = None
    share: float | None = None  # of several trials that hold


@dataclass(frozen=True)
class Proof:
    """What a program has shown; `checks` has those of `CHECKS` that were made, in that order: they
    end where one fails.  `whole` is false where the budget ended them; `stretched` counts where
    one entry along a dimension met several; `idle` says that the model has a parameter of which no
    result is made."""

    run: Run
    checks: tuple[Check, ...]
    whole: bool = True
    stretched: int = 0
    idle: bool = False

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def passed(self) -> bool:
        """All checks that were made hold, and all were made."""
        return self.run.ran and self.whole and all(check.name in WEAK for check in self.failed)

    @property
    def verified(self) -> bool:
        """All hold, and what the edits changed was executed."""
        return self.passed and self.run.executed

    def check(self, name: str) -> Check:
        """Of this name; one that was not made has `passed` None."""
        return next((check for check in self.checks if check.name == name), Check(name, None))


def prove(bench: Bench, program: Program) -> Proof:
    """Run what `bench.shapes` let through in all the ways in which a repair has to hold.

    Raises:
        CannotRunError, OutOfBudget, TooCostly: as the bench does, before the first check.
    """
    return _Prover(bench, program).proof()


LABELS = frozenset(
    [
        *("target", "targets", "label", "labels", "classes", "cls", "class_ids", "gt", "y_true"),
        *("tokens", "token_ids", "input_ids", "ids", "idx", "index", "indices", "y"),
    ]
)
"""Names under which whole numbers are class numbers or indices."""


_NOT_FOLLOWED = said("It runs, but its output does not grow with the batch.")

MOST_DIMS = 4  # a number up to this may be an axis, and is no size


@dataclass(frozen=True)
class _Batch:
    """What may be the batch: what is `wrong` where it has another size, and its dimension in each
    of the outputs."""

    axes: Axes
    wrong: Said | None
    dims: list[int | None]


class _Prover:
    def __init__(self, bench: Bench, program: Program) -> None:
        self.bench = bench
        self.program = program
        self.failing = failing_of(bench)
        self.changed = changed_functions(program.sources)
        self.stretched = 0
        self.idle = False

    def proof(self) -> Proof:
        run = self._run()
        why_not = self._why_not(run)
        checks = [Check("runs", why_not is None, why_not)]
        whole = True
        try:
            for check in self._checks() if why_not is None else ():
                checks.append(check)
                if check.passed is False and check.name not in WEAK:
                    break
        except TooCostly:
            raise
        except OutOfBudget:
            whole = False
        order = list(CHECKS)
        checks.sort(key=lambda check: order.index(check.name))
        return Proof(run, tuple(checks), whole, self.stretched, self.idle)

    def _checks(self) -> Iterator[Check]:
        """One after the other, what costs least first."""
        self.failing.look()  # no program is open while another is
        with self.bench.open(self.program, self.failing.values) as live:
            first, used, flow = self._first(live)
            sizes = self._sizes(live, first) if first.error is None else []
            batches = self._batches(live, first) if first.error is None else []
        if not sizes:
            yield from self._checks_with_values(first)
            return
        yield from (self._literals(), *sizes)
        if not self.program.batches and any(
            t.dim() and len(t) != 1 for t in tensors_in(first.result)
        ):
            words = said(
                "It runs for these inputs, and not for another batch size: its output has no batch."
            )
            yield Check("batches", False, words)
        likely = batches[0] if batches else None
        if likely is not None and likely.wrong and not self.failing.mixing(likely.axes):
            yield Check("batches", False, likely.wrong)
        yield from (self._gradients(used, flow), self._used(used, flow), self._kinds(flow))
        if flow.paired - self.failing.stopped.paired:
            words = said("It runs, but lays a column against a row: each entry meets every other.")
            yield Check("independent", False, words)
        yield from self._of_samples(batches)
        yield from (self._across(flow), self._axis(first))
        yield self._instances()
        yield self._numbers()

    def _checks_with_values(self, first: Called) -> Iterator[Check]:
        """The same where shapes alone did not lead through, though they had to the failure."""
        if self.failing.values:
            yield Check(
                "batches",
                False,
                said("It runs once, and not again: {words}.", words=_short(first.error)),
            )
        elif not self.bench.valued:
            words = said(
                "That it runs is all that was checked: more runs with values cost too much."
            )
            yield Check("batches", None, words)
        else:
            self.failing = failing_of(self.bench, values=True)
            yield from self._checks()

    def _why_not(self, run: Run) -> Said | None:
        if not run.ran:
            return said("It does not run: {words}.", words=_short(run.error))
        given = all(tensor.numel() for tensor in self.failing.inputs)
        if given and any(0 in shape for shape in run.shapes):
            return said("It runs, but what it gives is empty.")
        sums = [each[-1] for each in run.print if each and isinstance(each[-1], float)]
        if any(map(math.isnan, sums)) and all(
            bool(torch.isfinite(tensor).all()) for tensor in self.failing.inputs
        ):
            return said("It runs, but gives results that are no numbers (NaN).")
        return None

    def _run(self) -> Run:
        if self.bench.affords_values:
            with contextlib.suppress(TooCostly):
                return self.bench.values(self.program)
        return self.bench.shapes(self.program)

    def _given(self, axes: Axes | None = None, size: int = 0) -> Given:
        values = self.failing.values
        return self.bench.inputs(self.program, values, self.failing.given(axes, size))

    # --- other sizes ---

    def _batches(self, live: Live, first: Called) -> list[_Batch]:
        """What comes of other sizes of what may be the batch."""
        if not self.program.batches:
            return []
        found = [
            _Batch(axes, self._wrong_batch(live, first, axes), self._batch_dims(live, axes))
            for axes in self.failing.batches
        ]
        # A graph has edges and nodes, a search queries and what they ask: inputs that share no
        # tensor with the likeliest may have the batch, and do where the outputs follow them.
        likeliest_lost = bool(found) and found[0].wrong == _NOT_FOLLOWED
        for other in found[1:] if likeliest_lost else ():
            apart = not {n for n, _ in other.axes.places} & {n for n, _ in found[0].axes.places}
            if apart and other.wrong is None and all(dim is not None for dim in other.dims):
                return [other]
        return found

    def _of_samples(self, batches: list[_Batch]) -> list[Check]:
        """The checks of the first of these that holds, else of the likeliest."""
        found: list[list[Check]] = []
        mixing = self.failing.mixing
        for batch in batches:
            if found and (mixing(batch.axes) or not mixing(batches[0].axes)):
                break
            checks = [Check("batches", batch.wrong is None, batch.wrong)]
            checks += self._samples(batch) if batch.wrong is None else []
            if all(check.passed is not False for check in checks):
                return checks
            found.append(checks)
        return found[0] if found else []

    def _wrong_batch(self, live: Live, first: Called, axes: Axes) -> Said | None:
        for size in other_sizes(axes.size, self.failing.inputs):
            other = live.call(self._given(axes, size))
            if other.error is not None:
                return said(
                    "It runs for these inputs, and not for another batch size: {words}.",
                    words=_short(other.error),
                )
            if not self.failing.keeps(axes):
                continue
            if not follows(first.result, other.result, axes.size, size):
                return _NOT_FOLLOWED
            wrong = self._other_batch(first, other, axes, size)
            if wrong is not None:
                return _other_batch(wrong, axes.size)
        return None

    def _other_batch(self, first: Called, other: Called, axes: Axes, size: int) -> int | None:
        """The size of an output's batch where it is a multiple that nothing in the inputs, and
        nothing before the failure, explains.  Where shapes alone do not lead through, values decide
        some sizes, and may explain any."""
        if self.failing.values:
            return None
        for a, b in pairs(first.result, other.result) or ():
            dims = grown(a, b, axes.size, size) if a.numel() > 1 else []
            wrong = [
                int(a.shape[dim])
                for dim in dims
                if a.shape[dim] % axes.size or a.shape[dim] // axes.size not in self._factors
            ]
            if dims and len(wrong) == len(dims):
                return wrong[0]
        return None

    @functools.cached_property
    def _factors(self) -> set[int]:
        """By how much a batch may have been multiplied: places of the inputs laid side by side, or
        sizes that the tensors had when the run failed."""
        sizes = [int(s) for tensor in self.failing.inputs for s in tensor.shape]
        sizes += [int(s) for tensor in self.failing.stopped.operands for s in tensor.shape]
        found = {1, *sizes}
        found |= {a * b for a, b in itertools.combinations(sizes[:40], 2)}
        return found | {max(1, math.prod(t.shape[1:-1])) for t in self.failing.stopped.operands}

    def _sizes(self, live: Live, first: Called) -> list[Check]:
        """Whether it holds where the inputs are larger.  A size that an edit writes down or
        reckons with is its own fault; others may be a layer's."""
        told: list[bool] = []
        sizes = larger = Check("larger", None)
        batch = next(iter(self.failing.batches), None)
        written = {number for each in self.changed for number in new_numbers(each)}
        known = {int(s) for tensor in self.failing.inputs for s in tensor.shape}
        lines = new_lines(self.program.sources)
        fault = bool(written & known) or any(_SIZE.search(line) for line in lines)
        for each in self.failing.larger(batch):
            other = live.call(self.bench.inputs(self.program, self.failing.values, each.given))
            wrong = _LARGER[each.kind](_short(other.error))
            if other.error is None:
                lost = _lost_batch(first, other, batch) if fault else None
                told.append(each.shapes is None or shapes_of(other.result) == each.shapes)
                sizes = Check("sizes", False, lost) if lost is not None else sizes
            else:
                told.append(False)
                if fault and self._is_written(other):
                    sizes = Check("sizes", False, wrong)
            if (lost := self._lost_places(first, each)) is not None:
                sizes = Check("sizes", False, lost)
            if not told[-1]:
                words = wrong if other.error is not None else _OTHERWISE
                larger = Check("larger", False, words)
        if sizes.passed is None:
            sizes = Check("sizes", True in told or None)
        if larger.passed is None:
            larger = Check("larger", True if told else None)
        return [sizes, larger]

    def _lost_places(self, first: Called, larger: Larger) -> Said | None:
        """What is wrong where an output has other height and width than the input, though the model
        gave those that an input has where it ran."""
        before = [tuple(tensor.shape) for tensor in input_tensors(larger.given)]
        now = [tuple(tensor.shape) for tensor in input_tensors(self._given())]
        for made, had in zip(shapes_of(first.result), larger.shapes or (), strict=False):
            for old, new in zip(before, now, strict=False):
                pictures = len(made) == len(had) == len(old) == len(new) >= 4
                if pictures and had[2:] == old[2:] and made[2:] != new[2:]:
                    return said(
                        "It runs, but gives {made} places for {given}: where the model ran it gave "
                        "as many as it got.",
                        made=_by(made[2:]),
                        given=_by(new[2:]),
                    )
        return None

    def _is_written(self, called: Called) -> bool:
        """Whether an edited line fails, and not for a layer's own size."""
        error = called.error
        traceback = error.__traceback__ if error is not None else None
        text, inside = "", True
        while traceback is not None:
            file = traceback.tb_frame.f_code.co_filename
            if original_name(file) in self.bench.files:
                text, inside = linecache.getline(file, traceback.tb_lineno).strip(), False
            elif text and file.startswith(HERE):
                break  # what counts the calls of torch
            elif "/nn/modules/" in file:
                inside = True
            traceback = traceback.tb_next
        layer = any(isinstance(tensor, nn.Parameter) for tensor in tensors_in(called.last))
        return not inside and not layer and text in new_lines(self.program.sources)

    def _numbers(self) -> Check:
        """Whether it holds for other numbers in the config: of two descriptions of one thing it
        may be that only these numbers agree."""
        held: list[bool] = []
        wrong: Said | None = None
        for variant in self.failing.variants:
            program = with_variant(self.program, variant)
            if program is None:
                continue
            try:
                run = self.bench.run(program, self.failing.values, variant.given)
            except CannotRunError:
                continue
            held.append(run.ran and (not variant.before.ran or run.shapes == variant.before.shapes))
            if not held[-1]:
                wrong = said(
                    "It runs for these numbers, and not with {new} for `{name}`.",
                    new=variant.edit.replacement,
                    name=variant.name,
                )
        if not held:
            return Check("numbers", None)
        share = sum(held) / len(held)
        return Check("numbers", all(held), wrong, share)

    # --- samples ---

    def _batch_dims(self, live: Live, axes: Axes) -> list[int | None]:
        """The batch's dimension in each of the outputs."""
        probe = self.failing.probe(axes)
        inputs = [
            self.bench.inputs(self.program, self.failing.values, each) for each in probe.sized
        ]
        first, second = (live.call(each) for each in inputs)
        both = pairs(first.result, second.result) or ()
        return [one_of(grown(a, b, probe.size, probe.other)) for a, b in both]

    def _samples(self, batch: _Batch) -> list[Check]:
        unclear = [Check("independent", None), Check("permuted", None)]
        if not self.failing.keeps(batch.axes) or not self.bench.valued:
            return unclear
        try:
            checks = self._apart(batch)
        except TooCostly:
            why = said("Whether it keeps samples apart was not run: it costs too much.")
            return [Check("independent", None, why), Check("permuted", None, why)]
        # What mixes samples before it fails may go on mixing them.
        apart = all(check.passed is not False for check in checks)
        return checks if apart or not self.failing.mixing(batch.axes) else unclear

    def _apart(self, batch: _Batch) -> list[Check]:
        probe = self.failing.probe(batch.axes)
        given, size, axes, dims = probe.given, probe.size, batch.axes, batch.dims
        with self.bench.open(self.program, True) as live:
            base, other, back = (
                live.call(self.bench.inputs(self.program, True, each), evaluated=True)
                for each in (given, changed(given, axes), permuted(given, axes))
            )
            reached = Reached(axes)
            if all(dim is None for dim in dims):  # else each sample has its own result
                inputs = self.bench.inputs(self.program, True, given)
                live.call(inputs, evaluated=True, follow=reached, look=reached.look)
        mixed = same = None
        if reached.left_out:
            return [Check("independent", False, said("It runs, but leaves samples out."))]
        if base.error is None and other.error is None:
            mixed = mixes(base.result, other.result, dims, size)
        if base.error is None and back.error is None and not base.random:
            same = turned(base.result, back.result, dims, size)
        return [
            Check(
                "independent",
                None if mixed is None else not mixed,
                said("It runs, but mixes samples.") if mixed else None,
            ),
            Check(
                "permuted",
                same,
                said("It runs, but a sample's result depends on its place in the batch.")
                if same is False
                else None,
            ),
        ]

    # --- what is used ---

    def _first(self, live: Live) -> tuple[Called, Depends, Flow]:
        """A run on the same inputs, and what its outputs, and tensors that the model keeps, depend
        on."""
        flow = Flow(self.failing.bits, self._labels, self.bench.files)
        kept: list[Tensor] = []

        def look(called: Called) -> None:
            for module in live.model.modules():
                for name, value in vars(module).items():
                    if name not in _TABLES:
                        kept.extend(tensors_in(value))

        called = live.call(self._given(), follow=flow, look=look)
        self.stretched = flow.stretched
        grad = used = 0
        for tensor in (*tensors_in(called.result), *kept):
            known = depends(tensor)
            grad, used = grad | known.grad, used | known.used
        self.idle = any(not used & flow.bit(name) for name in flow.parameters)
        return called, Depends(grad, used), flow

    def _gradients(self, after: Depends, flow: Flow) -> Check:
        lost = self.failing.stopped.needed.grad & ~after.grad
        names = [name for name, bit in flow.bits.items() if lost >> bit & 1]
        names = [name for name in names if not name.startswith("input ")]
        # A layer that was put in or taken out gives those behind it other names.
        gone = [name for name in names if name not in flow.parameters]
        known = {name for name, _ in self.bench.user.named_parameters(remove_duplicate=False)}
        new = [n for n in flow.parameters - known if after.grad >> flow.bits[n] & 1]
        if len(gone) <= len(new):
            names = [name for name in names if name not in gone]
        if names:
            return Check(
                "gradients",
                False,
                said("It runs, but no gradient reaches `{name}` any more.", name=names[0]),
            )
        return Check("gradients", bool(self.failing.stopped.needed.grad) or None)

    def _used(self, after: Depends, flow: Flow) -> Check:
        lost = self.failing.stopped.needed.used & ~after.used
        for name, bit in flow.bits.items():
            if lost >> bit & 1 and name.startswith("input "):
                number = int(name.split()[1])
                return Check("used", False, _unused(f"{self._input_name(number)}"))
        moved = read_in_new_functions(self.program.sources)
        for each in self.changed:
            for name in sorted(each.lost() - moved):
                if self._matters(each, name):
                    return Check("used", False, _unused(name))
        return Check("used", True)

    def _input_name(self, number: int) -> str:
        frame = self.failing.stopped.frames[0] if self.failing.stopped.frames else None
        shape = self.failing.inputs[number].shape
        for name, value in frame.names.items() if frame is not None else ():
            if isinstance(value, Tensor) and value.shape == shape:
                return name
        return f"input {number + 1}"

    def _matters(self, function: ChangedFunction, name: str) -> bool:
        """Whether a name of a function on the stack, or an attribute of its module, stood for
        tensors or for a layer with parameters."""
        frame = self._frame(function)
        if frame is None:
            return False
        if not name.startswith("self."):
            value = frame.names.get(name)
            others = read(function.after)
            if value is None or any(frame.names.get(each) is value for each in others):
                return False
        else:
            value = getattr(frame.names.get("self"), name.removeprefix("self."), None)
        if isinstance(value, nn.Module):
            return next(value.parameters(), None) is not None
        return any(tensor.dim() for tensor in tensors_in(value))

    def _frame(self, function: ChangedFunction) -> Stopped | None:
        for frame in self.failing.stopped.frames:
            if (frame.file, frame.first) == (function.file, function.first):
                return frame
        return None

    # --- other users of an edited line ---

    def _instances(self) -> Check:
        names = frozenset(self._edited_calls())
        if not names:
            return Check("instances", None)
        values = not self.bench.costly and not self.program.constructs
        known = self.failing.ended(names, values)
        if not known:
            return Check("instances", None)
        flow = Flow(self.failing.bits, {}, self.bench.files)
        calls = Calls(names, self.bench.files, flow, values)
        with self.bench.open(self.program, values) as live, calls.watching():
            live.call(self.bench.inputs(self.program, values), follow=flow)
        for name, number, print_ in known:
            after = calls.ended.get(name, [])
            if number >= len(after) or not agree(print_, after[number].print):
                return Check(
                    "instances",
                    False,
                    said("It runs, but changes what `{name}` gave where it worked.", name=name),
                )
        return Check("instances", True)

    def _edited_calls(self) -> Iterator[str]:
        """The functions whose results an edit may change: itself, or the forward of the modules
        that an edited constructor makes."""
        for each in self.changed:
            owner, _, last = each.name.rpartition(".")
            if last != "__init__":
                yield each.name
                continue
            for module in self.bench.user.modules():
                if any(cls.__qualname__ == owner for cls in type(module).__mro__):
                    yield getattr(type(module).forward, "__qualname__", "")

    # --- what is written ---

    @functools.cached_property
    def _labels(self) -> dict[int, bool]:
        """The inputs that may hold class numbers or indices, with whether their names say so."""
        given = input_tensors(self.bench.given)
        found: dict[int, bool] = {}
        named = {
            tuple(value.shape): name
            for frame in self.failing.stopped.frames
            for name, value in frame.names.items()
            if isinstance(value, Tensor) and not value.is_floating_point() and name in LABELS
        }
        for number, tensor in enumerate(given):
            whole = tensor.dtype in (torch.int64, torch.int32) and tensor.dim() and tensor.numel()
            # Zeros and ones are a mask.
            if whole and (tensor.is_meta or int(tensor.max()) > 1):
                found[number] = tuple(tensor.shape) in named
        return found

    def _kinds(self, flow: Flow) -> Check:
        if flow.halved:
            words = said("It runs, but drops the imaginary part of complex numbers.")
            return Check("kinds", False, words)
        numbers = self._labels or any(name.startswith("numbers of") for name in flow.bits)
        if not numbers:
            return Check("kinds", None)
        lines = self._touched()
        given = input_tensors(self._given())
        bare = any(given[n].dtype == torch.bool for n in self._labels if n < len(given))
        if bare or flow.flattened & set(new_lines(self.program.sources)):
            words = said("It runs, but leaves of whole numbers only whether they are zero.")
            return Check("kinds", False, words)
        for each in flow.quantities:
            sure = each.plainly or each.numbers & flow.sure
            if sure and linecache.getline(each.file, each.line).strip() in lines:
                return Check(
                    "kinds",
                    False,
                    said("It runs, but takes class numbers or indices for quantities."),
                )
        return Check("kinds", True)

    def _touched(self) -> set[str]:
        """The lines that are new, and that which failed."""
        lines = set(new_lines(self.program.sources))
        if self.failing.stopped.frames:
            last = self.failing.stopped.frames[-1]
            lines.add(linecache.getline(last.file, last.line).strip())
        return lines

    def _across(self, flow: Flow) -> Check:
        if self._touched() & flow.across:
            words = said(
                "Each entry of the one meets every entry of the other: see whether it is meant."
            )
            return Check("across", False, words)
        return Check("across", None)

    def _axis(self, first: Called) -> Check:
        """Whether a dimension of size 1 that an edit gives is still there at the end: were it of
        size 2, the results would be of that size too."""
        wide = dataclasses.replace(self.program, sources=widened(self.program.sources))
        if wide.sources == self.program.sources or not self.program.batches:
            return Check("axis", None)
        try:
            run = self.bench.shapes(wide)
        except (CannotRunError, TooCostly):
            return Check("axis", None)
        if not run.ran:
            return Check("axis", None)
        for made, had in zip(run.shapes, shapes_of(first.result), strict=False):
            if len(made) == len(had) and any(
                a == 2 * b == 2 for a, b in zip(made, had, strict=True)
            ):
                shape = ", ".join(map(str, had))
                words = said("The dimension of size 1 that it gives stays: ({shape}).", shape=shape)
                return Check("axis", False, words)
        return Check("axis", True)

    def _literals(self) -> Check:
        for each in self.changed:
            frame = self._frame(each)
            names = frame.names if frame is not None else {}
            for number in (n for n in new_numbers(each) if n > MOST_DIMS):
                serving = [
                    name for name, value in names.items() if type(value) is int and value == number
                ]
                sizes = {int(s) for tensor in self.failing.inputs for s in tensor.shape}
                if serving:
                    return Check(
                        "literals",
                        False,
                        said(
                            "It writes {number} where `{name}` serves.",
                            number=number,
                            name=serving[0],
                        ),
                    )
                if frame is not None and number in sizes:
                    return Check(
                        "literals",
                        False,
                        said("It writes {number}, which is a size of the inputs.", number=number),
                    )
        sizes = {int(s) for tensor in self.failing.inputs for s in tensor.shape}
        for number in new_numbers_at_the_top(self.program.sources):
            if number in sizes and number > MOST_DIMS:
                words = said("It writes {number}, which is a size of the inputs.", number=number)
                return Check("literals", False, words)
        return Check("literals", True)


_OTHERWISE = said("For larger inputs, with which the model ran, it gives other shapes.")
_SIZE = re.compile(r"\.shape\b|\.size\(")
_TABLES = frozenset(nn.Module().__dict__)


def _lost_batch(first: Called, other: Called, batch: Axes | None) -> Said | None:
    """What is wrong where larger inputs change the batch of an output, which came first and was
    that of the inputs."""
    for a, b in pairs(first.result, other.result) or ():
        rows = batch is not None and a.dim() > 1 and b.dim() > 1 and a.shape[0] == batch.size
        if rows and b.shape[0] != a.shape[0]:
            return _other_batch(int(b.shape[0]), int(a.shape[0]))
    return None


def _by(sizes: tuple[int, ...]) -> str:
    return " × ".join(map(str, sizes))


def _other_batch(wrong: int, size: int) -> Said:
    return said(
        "It runs, but makes a batch of {wrong} out of one of {size}.", wrong=wrong, size=size
    )


_LARGER: dict[str, Callable[[str], Said]] = {
    "large": lambda words: said(
        "It runs for these inputs, and not for pictures twice as large: {words}.", words=words
    ),
    "long": lambda words: said(
        "It runs for these inputs, and not for sequences twice as long: {words}.", words=words
    ),
}


def _unused(name: str) -> Said:
    return said("It runs, but no longer uses `{name}`.", name=name)


def _short(error: Exception | None) -> str:
    return " ".join(str(error).split())[:160].rstrip(".")
