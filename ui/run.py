"""Runs of lessons: traced in the background, one at a time, within the machine's memory, kept.

What the pages show comes from a `Run`: a trace with what is needed to show it.  That of a lesson at
its defaults is shipped.  Of any other view the shapes (its outline) are at hand within
milliseconds, for any size, because they are traced on the `meta` device; the values follow when
they fit into memory.  Torch is loaded with the first of these runs.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from modules import lesson
from modules.chinese import in_chinese
from modules.lesson import Size, known_solution, prepare
from modules.lesson import run as run_lesson
from modules.lesson import with_formulas as find_formulas
from tracer import TensorNote, Trace
from tracer.language import translator
from tracer.ops.table import shares_memory
from tracer.sentences import Said, ToldError, as_written, said
from tracer.views import graph
from tracer.views.changes import labels
from tracer.views.graph import shape_text
from tracer.views.player import payload
from ui import apart, metrics, shipped
from ui.language import say
from ui.own import Taken
from ui.share import Kept, Line, free_memory
from ui.view import View, default_view, option_text

if TYPE_CHECKING:
    from torch import Tensor

    from modules.lesson import Lesson
    from tracer.formulas.proof import Solution

BUDGET_SHARE = 0.4
"""The share of the free memory that one run may take."""

ADVICE_TRIES = 60
"""Smaller settings of which the shapes are traced to give advice; a reader waits for it."""

KEPT_BYTES = 96 * 2**20
"""Of all runs that are kept for the next who asks, of each kind."""

KEPT_NEEDS = 4096
KEPT_TENSOR = 64 * 2**20

_WIDTHS = {"64": 8, "32": 4, "16": 2, "8": 1, "bool": 1, "complex64": 8, "complex128": 16}


class CannotRun(ToldError):  # noqa: N818 - says what happened, as Cancelled does
    """A view cannot be run at all; its sentence is for the reader."""


@dataclass(frozen=True)
class Run:
    """A trace, ready to be shown. `stands_in` is true of an outline, which shows what a run on the
    CPU would be like, and `timed` unless its times are another machine's. `language` is what the
    notes and the sentences of a failure are told in.
    `own` says what was done to files of the reader's."""

    trace: Trace
    stands_in: bool = False
    timed: bool = True
    language: str = "en"
    own: tuple[Said, ...] = ()
    _once: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)
    _made: list[bytes] = field(default_factory=list, compare=False, repr=False)
    _graphs: dict[int | None, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def payload(self) -> bytes:
        """What the player draws, as JSON; made once, however many ask."""
        with self._once:
            if not self._made:
                self._made.append(self._payload())
            return self._made[0]

    def _payload(self) -> bytes:
        body = payload(self.trace, language=self.language)
        if self.stands_in:
            for tensor in body["tensors"]:
                # "meta" beside every name would only tell how we came by the shapes.
                tensor["device"] = "cpu"
        if not self.timed:
            _forget_times([body["trace"]])
        return json.dumps(body, allow_nan=False).encode()

    def dot(self, level: int | None) -> str:
        """The graph of all steps, or of one call, in Graphviz's language."""
        if level not in self._graphs:
            self._graphs[level] = graph.dot(self.trace, level, translate=translator(self.language))
        return self._graphs[level]

    @cached_property
    def letters(self) -> dict[int, tuple[str, ...]]:
        """Of each tensor, by its id, what the player calls its dimensions."""
        return labels(self.trace)

    def told_in(self, language: str) -> Run:
        """The same run with its notes in that language, as far as they are translated."""
        return self._chinese if language == "zh" else self

    @cached_property
    def _chinese(self) -> Run:
        chinese = in_chinese(self.trace)
        return Run(chinese, self.stands_in, self.timed, "zh", self.own)


@dataclass(frozen=True)
class Forecast:
    """What a run with values would need: `bytes` is an upper bound of the tensors that it makes,
    `largest` the biggest of them, `fits` whether that is within `budget`."""

    bytes: int
    largest: TensorNote | None
    budget: int

    @property
    def fits(self) -> bool:
        return self.bytes <= self.budget


def _forget_times(items: list[dict[str, Any]]) -> None:
    for item in items:
        del item["seconds"]
        for inside in ("steps", "calls", "children"):
            _forget_times(item.get(inside, []))


# --- tracing ----------------------------------------------------------------------------------


def _trace(
    view: View,
    values: bool,
    watch: Callable[[int], None] | None = None,
    diagnose: bool = True,
    mend: bool = False,
    own: Taken | None = None,
) -> Trace:
    try:
        with metrics.timed("values" if values else "shapes"):
            return run_lesson(
                lesson(view.lesson),
                dict(view.settings),
                view.kind,
                view.seed,
                values=values,
                training=view.training,
                diagnose=diagnose,
                mend=mend,
                watch=watch,
                own=own,
            )
    except ToldError as error:
        if _is_of_a_file(error):
            raise CannotRun(error.sentence) from error
        raise _refused(view, error.sentence) from error


def _is_of_a_file(error: ToldError) -> bool:
    from tracer.given import GivenError

    return isinstance(error, GivenError)


def _refused(view: View, problem: Said) -> CannotRun:
    shown = ", ".join(f"{name}={option_text(value)}" for name, value in view.settings)
    # What the module's own constructor says is code to whoever reads it in another language.
    words = str(problem)
    problem = as_written(f"`{words}`") if problem == as_written(words) else problem
    return CannotRun(
        said(
            "{title} cannot be built with {settings}. {problem} Change a size or choose a preset.",
            title=Said(shipped.lesson(view.lesson).title),
            settings=f"`{shown}`",
            problem=problem,
        )
    )


@contextlib.contextmanager
def _seeded(view: View) -> Iterator[None]:
    """Dropout draws from torch's global generator: the same numbers in every run of a view."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(view.seed)
        yield


# --- what is kept -----------------------------------------------------------------------------


def weight(run: Run) -> int:
    """Bytes that a run takes in memory, its payload included: about, as measured."""
    pictures = sum(
        len(note.heatmap.cells) for note in run.trace.tensors().values() if note.heatmap is not None
    )
    return 5 * pictures + 6_000 * sum(1 for _ in run.trace.walk())


def _weight_of_tensor(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


_shipped: Kept[View, Run] = Kept(KEPT_BYTES, weight)
_outlines: Kept[View, Run] = Kept(KEPT_BYTES, weight)
_needs: Kept[View, float] = Kept(KEPT_NEEDS, lambda _: 1)
_formulated: Kept[tuple[View, bool], Run] = Kept(KEPT_BYTES, weight)
_runs: Kept[View, Run] = Kept(KEPT_BYTES, weight)
_tensors: Kept[tuple[View, int], Tensor] = Kept(KEPT_TENSOR, _weight_of_tensor)

_line = Line()
"""Of the runs that compute values. One at a time, so that two runs that each fit the memory cannot
exceed it together, and so that seeding torch's global generator disturbs nobody."""


def at_default(view: View) -> Run | None:
    """The view's run with formulas as it is shipped: None at other settings than the lesson's
    defaults, and when what is shipped is not what would be made now."""
    if view != default_view(view.lesson):
        return None
    if shipped.outdated():
        return None

    def read() -> Run:
        trace = shipped.default(view.lesson)
        assert trace is not None
        return Run(trace, stands_in=not view.values, timed=False)

    return _shipped.made(view, read)


def outline(view: View) -> Run:
    """The shapes of the view's run, for any size.

    Raises:
        CannotRun: the module cannot be built with these settings.
    """
    return _outlines.made(view, lambda: Run(_trace(view, False), stands_in=True))


def values(
    view: View,
    watch: Callable[[int], None] | None = None,
    waits: Callable[[int], None] | None = None,
) -> Run:
    """The view's run with values.  `waits` is told how many other runs come first.

    Raises:
        CannotRun: the module cannot be built with these settings, or memory ran out.
        Cancelled: `watch` or `waits` raised it.
    """
    kept = _runs.get(view)
    if kept is not None:
        return kept
    with _line.turn(waits):
        try:
            return _runs.made(view, lambda: _computed(view, watch))
        except MemoryError as error:
            raise CannotRun(_out_of_memory()) from error
        except RuntimeError as error:
            if "not enough memory" not in str(error):
                raise
            raise CannotRun(_out_of_memory()) from error


def _computed(view: View, watch: Callable[[int], None] | None) -> Run:
    own = Taken(view)
    with _seeded(view):
        return Run(_trace(view, True, watch, own=own), own=tuple(own.notes))


def comes_at_once(view: View, run: Run) -> bool:
    """Whether `with_formulas` needs no other process: somebody has asked for them before."""
    known = known_solution(lesson(view.lesson), dict(view.settings), view.training)
    return known is not None and run.trace.failure is None


def formulated(view: View, run: Run) -> Run | None:
    """The view's run with formulas, if they have been found."""
    return _formulated.get((view, run.stands_in))


def with_formulas(view: View, run: Run, watch: Callable[[], None] = lambda: None) -> Run:
    """The view's run with formulas for its sizes, and of one that fails with what mends it; the
    first of a lesson takes seconds of another process, once `watch` lets it.

    Raises:
        Cancelled: `watch` raised it.
        OSError: the process was killed.
    """

    def solve(of: Lesson, settings: Mapping[str, Any], training: bool) -> Solution:
        found: Solution = apart.ask(apart.solved, of.key, dict(settings), training, watch=watch)
        return found

    def find() -> Run:
        settings = dict(view.settings)
        trace = run.trace if run.trace.failure is None else _mended(view, run, watch)
        with metrics.timed("formulas"):
            trace = find_formulas(lesson(view.lesson), trace, settings, view.training, solve)
        return Run(trace, run.stands_in, run.timed, run.language, run.own)

    return _formulated.made((view, run.stands_in), find)


def _mended(view: View, run: Run, watch: Callable[[], None]) -> Trace:
    if view.own:
        # What a reader has brought along is here alone.
        watch()
        with _seeded(view):
            return _trace(view, not run.stands_in, mend=True, own=Taken(view))
    with metrics.timed("repairs"):
        found: Trace = apart.ask(
            apart.mended,
            view.lesson,
            dict(view.settings),
            view.kind,
            view.seed,
            view.training,
            not run.stands_in,
            watch=watch,
        )
    return found


def tensor(view: View, note_id: int) -> Tensor:
    """One tensor of the view's run at full size, computed again. The latest one is kept."""
    import torch

    from tracer import compute

    kept = _tensors.get((view, note_id))
    if kept is not None:
        return kept
    with _line.turn(), _seeded(view), torch.no_grad():
        model, args, kwargs = prepare(
            lesson(view.lesson),
            dict(view.settings),
            view.kind,
            view.seed,
            training=view.training,
            own=Taken(view),
        )
        return _tensors.put((view, note_id), compute(note_id, model, *args, **kwargs))


def waiting() -> int:
    """How many runs with values wait or are computed now."""
    return len(_line)


def kept_bytes() -> dict[str, float]:
    """Bytes that are kept, by what they are of."""
    return {
        "shipped": _shipped.taken,
        "shapes": _outlines.taken,
        "values": _runs.taken,
        "formulas": _formulated.taken,
        "tensors": _tensors.taken,
    }


def _out_of_memory() -> Said:
    return said(
        "The run needed more memory than the machine would give, so only shapes are shown: "
        "reduce a size to see values."
    )


# --- memory -----------------------------------------------------------------------------------


def size_of(note: TensorNote) -> int:
    """Bytes of a tensor of this shape and type."""
    count = 1
    for size in note.shape:
        count *= size
    dtype = note.dtype.removeprefix("torch.")
    for ending, width in sorted(_WIDTHS.items(), key=lambda item: -len(item[0])):
        if dtype.endswith(ending):
            return count * width
    return count * 8


def forecast(trace: Trace, budget: int | None = None) -> Forecast:
    """What a run with these shapes would take: everything it makes that is no view, as if nothing
    were freed on the way, and its inputs and parameters.  The largest tensor counts once more,
    for the copy that measuring it may need."""
    made: dict[int, TensorNote] = {}
    for step in trace.walk():
        looks = shares_memory(step)
        for note in (*step.inputs, *step.outputs):
            if note.kind != "made" or not looks:
                made.setdefault(note.id, note)
        if looks or step.writes:
            for note in step.outputs:
                if note.id not in {each.id for each in step.inputs}:
                    made.pop(note.id, None)
    for note in trace.inputs:
        made.setdefault(note.id, note)
    largest = max(made.values(), key=size_of, default=None)
    total = sum(map(size_of, made.values())) + (size_of(largest) if largest else 0)
    budget = int(free_memory() * BUDGET_SHARE) if budget is None else budget
    return Forecast(total, largest, budget)


def advice(view: View, forecast: Forecast) -> str:
    """Why the values are not computed, and what to reduce: found by tracing the shapes again with
    smaller sizes, taking the one that needs to shrink least."""
    needed = {"total": in_bytes(forecast.bytes), "budget": in_bytes(forecast.budget)}
    if forecast.largest is None:
        sentence = say(
            "Shapes only: the tensors would take {total}, more than the {budget} that a run may "
            "use here.",
            **needed,
        )
    else:
        note = forecast.largest
        sentence = say(
            "Shapes only: {name} alone takes {bytes}; all tensors would take {total}, more than "
            "the {budget} that a run may use here.",
            name=(f"`{note.name}` " if note.name else "") + shape_text(note),
            bytes=in_bytes(size_of(note)),
            **needed,
        )
    ways = list(_reductions(view))
    least = {size.name: smaller for size, _, smaller in ways}  # the last of each
    tried, cut, hopeless = 0, False, set[str]()
    for size, value, smaller in ways:
        cut = tried == ADVICE_TRIES
        if cut:
            break
        if size.name in hopeless:
            continue
        tried += 1
        if _needed(view.with_settings({size.name: smaller})) <= forecast.budget:
            remedy = say(
                "Reduce {size} from {value} to {smaller} to see values.",
                size=size.name,
                value=f"{value:,}",
                smaller=f"{smaller:,}",
            )
            return f"{sentence} {remedy}"
        if forecast.budget < _needed(view.with_settings({size.name: least[size.name]})) < math.inf:
            hopeless.add(size.name)  # where the smallest is too large the others are so too
    remedy = say("Reduce several sizes to see values.")
    if cut:
        remedy = say(
            "Reduce several sizes to see values: of one alone, {tried} of {all} reductions were "
            "tried.",
            tried=tried,
            all=len(ways),
        )
    return f"{sentence} {remedy}"


def _reductions(view: View) -> Iterator[tuple[Size, int, int]]:
    """Each size halved, then each halved twice, and so on: sizes are mostly powers of two and
    their multiples, so that halving meets the divisors they need."""
    settings = dict(view.settings)
    for halvings in range(1, 32):
        for size in shipped.lesson(view.lesson).sizes:
            smaller = settings[size.name] >> halvings
            if smaller >= size.low:
                yield size, settings[size.name], smaller


def _needed(view: View) -> float:
    """Bytes that a run of the view would take; without end where it cannot be run."""
    kept = _needs.get(view)
    if kept is not None:
        return kept
    try:
        trace = _trace(view, False, diagnose=False)
    except CannotRun:
        return _needs.put(view, math.inf)
    return _needs.put(view, math.inf if trace.failure else forecast(trace, 0).bytes)


def in_bytes(count: float) -> str:
    """`23.7 GB`"""
    return in_units(count, (say("bytes"), "kB", "MB", "GB", "TB"))


def in_flops(count: float) -> str:
    """`13.7 GFLOP`"""
    return in_units(count, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"))


def times(factor: float | None) -> str:
    """`× 2`; in words where a step has no formula for what it costs."""
    return say("not known") if factor is None else f"× {factor:.3g}"


def in_units(count: float, units: tuple[str, ...]) -> str:
    """In the first of `units`, each a thousand of the one before, that keeps it below 1000."""
    for unit in units:
        if count < 1000 or unit == units[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == units[0] else f"{count:.3g} {unit}"


# --- in the background ------------------------------------------------------------------------


_threads: weakref.WeakSet[Background] = weakref.WeakSet()


class Background:
    """Work in a thread of its own, which can be waited for and cancelled."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        _threads.add(self)
        self._thread.start()

    def _work(self) -> None:
        raise NotImplementedError

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ends the work before its next operation."""
        self._cancelled.set()

    def wait(self, seconds: float | None) -> bool:
        """Whether it has ended, after waiting for it at most so long."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


@atexit.register
def _end() -> None:
    """Python ends threads wherever they are, which torch answers by aborting the process."""
    running = list(_threads)
    for each in running:
        each.cancel()
    apart.stop()
    for each in running:
        each.wait(None)


def _always() -> bool:
    return True


class Job(Background):
    """A run with values, which can be watched: `before` other runs come first, then `done` of
    `total` steps.  It ends before its next operation when it is no longer `wanted`."""

    def __init__(self, view: View, total: int, wanted: Callable[[], bool] = _always) -> None:
        self.view = view
        self.total = total
        self.began = time.monotonic()
        self.before = 0
        self.done = 0
        self.run: Run | None = None
        self.problem: Said | None = None
        self._wanted = wanted
        super().__init__()

    def _watch(self, done: int) -> None:
        self.before, self.done = 0, done
        self._go_on()

    def _waits(self, before: int) -> None:
        self.before = before
        self._go_on()

    def _go_on(self) -> None:
        from tracer import Cancelled

        if not self._wanted():
            self.cancel()
        if self.cancelled:
            raise Cancelled

    def _work(self) -> None:
        from tracer import Cancelled

        try:
            self.run = values(self.view, self._watch, self._waits)
        except Cancelled:
            pass
        except CannotRun as error:
            self.problem = error.sentence
        except Exception as error:  # noqa: BLE001 - shown to the reader, who can act on it
            self.problem = said(
                "The run stopped: {error}", error=f"`{type(error).__name__}: {error}`"
            )


class FormulaJob(Background):
    """Formulas for a run, found after it, so that the numbers are there first."""

    def __init__(self, view: View, run: Run, wanted: Callable[[], bool] = _always) -> None:
        self.view = view
        self.run = run
        self._wanted = wanted
        super().__init__()

    @property
    def stands_in(self) -> bool:
        return self.run.stands_in

    def _go_on(self) -> None:
        from tracer import Cancelled

        if self.cancelled or not self._wanted():
            raise Cancelled

    def _work(self) -> None:
        from tracer import Cancelled

        try:
            self._go_on()
            with_formulas(self.view, self.run, self._go_on)
        except Cancelled:
            pass
        except Exception:
            if self.cancelled:  # so its process may have been ended
                return
            # The numbers stand; what is missing are formulas.
            logging.getLogger(__name__).exception("No formulas for %s", self.view.lesson)
