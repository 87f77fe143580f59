"""Runs behind the pages: outlines, values, memory, jobs."""

from __future__ import annotations

import gc
import json
import threading
import tracemalloc
from dataclasses import replace

import pytest
import torch
from torch import nn

from modules import LESSONS, lesson
from tests.effort import one_of_each
from tests.models import small_settings
from tests.together import together
from tracer import Cancelled, trace
from tracer.ops.table import shares_memory
from ui import apart, metrics
from ui import run as runs
from ui.run import CannotRun, FormulaJob, Job, forecast
from ui.view import View, default_view, preset_view

KEYS = [each.key for each in LESSONS]
SMALL = {"B": 2, "C": 8, "H": 6, "W": 8}


def small(**changes: int) -> View:
    return default_view("fbkd-student").with_settings({**SMALL, "reduction": 2, **changes})


@pytest.mark.parametrize("key", one_of_each(KEYS, every=2))
def test_the_shapes_of_every_preset_are_at_hand(key: str) -> None:
    for preset in lesson(key).presets:
        run = runs.outline(preset_view(default_view(key), preset.name))
        failure = run.trace.failure
        assert (failure and failure.type) == preset.breaks
        assert not run.trace.values
        body = json.loads(run.payload)
        assert len(body["trace"]["steps"]) == len(run.trace.steps)


@pytest.mark.parametrize("key", one_of_each(KEYS, every=2))
def test_no_size_kills_the_app(key: str) -> None:
    """The largest that the controls allow: shapes, a forecast and a word of advice, no memory."""
    view = default_view(key)
    huge = view.with_settings({size.name: size.high for size in lesson(key).sizes})
    expected = forecast(runs.outline(huge).trace)
    if not expected.fits:
        assert runs.advice(huge, expected).startswith("Shapes only: ")


def test_values_follow_the_same_steps_as_the_outline() -> None:
    view = small()
    shapes, full = runs.outline(view).trace, runs.values(view).trace
    assert full.values
    assert [s.op for s in shapes.steps] == [s.op for s in full.steps]
    for before, after in zip(shapes.steps, full.steps, strict=True):
        assert [n.shape for n in before.outputs] == [n.shape for n in after.outputs]


def test_a_view_is_run_once() -> None:
    view = small(H=7)
    assert runs.values(view) is runs.values(view)
    assert runs.outline(view) is runs.outline(view)


def test_a_seed_changes_the_input_and_nothing_else() -> None:
    first, again = runs.values(small(H=9)), runs.values(small(H=9))
    other = runs.values(View(**{**vars(small(H=9)), "seed": 5}))
    assert first.trace.inputs[0].stats == again.trace.inputs[0].stats
    assert first.trace.inputs[0].stats != other.trace.inputs[0].stats
    assert [n.stats for n in _parameters(first)] == [n.stats for n in _parameters(other)]


def _parameters(run: runs.Run) -> list:
    return [n for n in run.trace.tensors().values() if n.kind == "parameter"]


def test_running_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    runs.values(small(H=11))
    assert torch.equal(before, torch.get_rng_state())


def test_a_module_that_cannot_be_built_says_why_in_one_sentence() -> None:
    view = small(C=1, reduction=4)
    with pytest.raises(CannotRun, match="cannot be built with `B=2, C=1") as caught:
        runs.outline(view)
    assert "reduction" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("key", KEYS)
def test_a_tensor_is_computed_again_exactly(key: str) -> None:
    view = default_view(key).with_settings(small_settings(lesson(key), lesson(key).presets[0].name))
    trace = runs.values(view).trace
    for note in (trace.inputs[0], trace.steps[2].outputs[0], trace.steps[-1].outputs[0]):
        tensor = runs.tensor(view, note.id)
        assert tuple(tensor.shape) == note.shape
        assert note.stats is not None
        assert tensor.min().item() == note.stats.minimum
        assert tensor.max().item() == note.stats.maximum


def test_a_tensor_of_a_run_in_training_is_the_same_tensor() -> None:
    view = View(**{**vars(small()), "training": True})
    note = runs.values(view).trace.outputs[-1]
    assert note.stats is not None
    tensor = runs.tensor(view, note.id)
    assert tensor.max().item() == note.stats.maximum


# --- memory -----------------------------------------------------------------------------------


def test_the_teacher_at_the_class_s_defaults_is_forecast() -> None:
    view = preset_view(default_view("fbkd-teacher"), "Class defaults")
    trace = runs.outline(view).trace
    expected = forecast(trace, budget=8 * 2**30)
    assert not expected.fits
    assert expected.largest is not None
    assert expected.largest.shape == (2, 54400, 54400)
    # The post's own figure: 2 · 54400² · 4 bytes.
    assert runs.size_of(expected.largest) == 23_674_880_000
    assert runs.in_bytes(23_674_880_000) == "23.7 GB"


def test_the_forecast_covers_what_a_run_really_makes() -> None:
    view = small(H=32, W=32, C=32)
    trace = runs.values(view).trace
    made = {}
    for step in trace.steps:
        for note in step.outputs:
            if not shares_memory(step):
                made[note.id] = runs.size_of(note)
    expected = forecast(runs.outline(view).trace)
    assert sum(made.values()) <= expected.bytes <= 3 * sum(made.values())


def test_the_advice_is_followed_with_success() -> None:
    view = preset_view(default_view("fbkd-teacher"), "Class defaults")
    budget = 4 * 10**9
    expected = forecast(runs.outline(view).trace, budget)
    sentence = runs.advice(view, expected)
    assert "(2, 54400, 54400) alone takes 23.7 GB" in sentence
    name, value = sentence.split("Reduce ")[1].split(" from ")
    smaller = int(value.split(" to ")[1].split(" to see")[0].replace(",", ""))
    followed = runs.outline(view.with_settings({name: smaller})).trace
    assert forecast(followed, budget).fits


def test_advice_says_how_many_ways_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    view = small(H=32, W=32, C=32)
    nothing_fits = replace(forecast(runs.outline(view).trace), budget=0)
    assert runs.advice(view, nothing_fits).endswith("Reduce several sizes to see values.")
    monkeypatch.setattr(runs, "ADVICE_TRIES", 3)
    ways = len(list(runs._reductions(view)))
    assert ways > 3
    told = f"of one alone, 3 of {ways} reductions were tried."
    assert runs.advice(view, nothing_fits).endswith(told)


def test_advice_keeps_nothing_in_the_place_of_what_readers_look_at() -> None:
    view = small(H=31, W=32, C=32)
    runs.advice(view, replace(forecast(runs.outline(view).trace), budget=0))
    tried = [view.with_settings({size.name: less}) for size, _, less in runs._reductions(view)]
    assert tried
    assert not any(each in runs._outlines.items for each in tried)


def test_a_view_of_a_tensor_costs_nothing() -> None:
    view = small()
    trace = runs.outline(view).trace
    spent = forecast(trace).bytes
    without = sum(
        runs.size_of(note) for step in trace.steps if shares_memory(step) for note in step.outputs
    )
    assert without > 0
    everything = sum(runs.size_of(note) for note in trace.tensors().values())
    assert spent < everything + runs.size_of(max(trace.tensors().values(), key=runs.size_of))


@together(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (3e15, "3e+03 TB")]
)
def test_sizes_in_words(count: float, text: str) -> None:
    assert runs.in_bytes(count) == text


def test_free_memory_is_some_but_not_more_than_there_is() -> None:
    assert 2**20 < runs.free_memory() < 2**50


# --- jobs -------------------------------------------------------------------------------------


def test_a_job_ends_with_its_run() -> None:
    view = small(H=13)
    job = Job(view, len(runs.outline(view).trace.steps))
    assert job.wait(600)
    assert job.run is not None
    assert job.run.trace.values
    assert job.problem is None
    assert job.done == job.total


def test_a_cancelled_job_ends_without_a_run_and_frees_the_way() -> None:
    first, second = small(H=15), small(H=16)
    with runs._line.turn():
        job = Job(first, 10)
        assert not job.wait(0.3)
        job.cancel()
        assert job.wait(600)
    assert job.run is None
    assert job.problem is None
    assert runs._runs.get(first) is None
    after = Job(second, 10)
    assert after.wait(600)
    assert after.run is not None


def test_cancelling_stops_before_the_next_operation() -> None:
    steps: list[int] = []

    def watch(done: int) -> None:
        steps.append(done)
        if done >= 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        runs.values(small(H=17), watch)
    assert max(steps) == 3
    assert runs._line.empty


def test_a_job_that_nobody_wants_any_more_ends_where_it_is() -> None:
    steps: list[int] = []

    def wanted() -> bool:
        steps.append(1)
        return len(steps) < 4

    view = small(H=18)
    job = Job(view, 100, wanted)
    assert job.wait(600)
    assert job.run is None
    assert len(steps) == 4
    assert runs._runs.get(view) is None
    assert runs._line.empty


def test_runs_are_counted_for_the_operator() -> None:
    def counted(name: str, kind: str) -> float:
        return metrics.figures()[name][kind]

    names = ("shapewalk_runs_total", "shapewalk_runs_failed_total")
    done, failed = (counted(name, "values") for name in names)
    kept = counted("shapewalk_kept_bytes", "values")
    view = small(H=22)
    for _ in range(2):  # the second is kept
        runs.values(view)
    with pytest.raises(Cancelled):
        runs.values(small(H=23), lambda _: (_ for _ in ()).throw(Cancelled))
    assert [counted(name, "values") for name in names] == [done + 1, failed + 1]
    assert counted("shapewalk_kept_bytes", "values") == kept + runs.weight(runs.values(view))
    assert counted("shapewalk_runs_waiting", "") == 0


def test_a_job_that_waits_knows_how_many_come_first_and_ends_when_it_is_left() -> None:
    there = True
    with runs._line.turn():
        job = Job(small(H=14), 10, lambda: there)
        while job.before != 1:
            assert not job.wait(0.01)
        there = False
        assert job.wait(600)
    assert job.run is None


def test_formulas_that_nobody_waits_for_are_not_looked_for() -> None:
    view = default_view("squeeze-excite").with_settings({"C": 56})
    job = FormulaJob(view, runs.outline(view), lambda: False)
    assert job.wait(600)
    assert runs.formulated(view, job.run) is None


def test_what_a_run_weighs_is_about_what_it_takes() -> None:
    view = small(H=12)
    runs._trace(view, True)  # what is kept once for all runs is not this run's
    gc.collect()
    tracemalloc.start()
    try:
        run = runs.Run(runs._trace(view, True))
        assert run.payload
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken / 2 < runs.weight(run) < taken * 2


def test_a_job_that_cannot_run_says_so() -> None:
    job = Job(small(C=1, reduction=4), 1)
    assert job.wait(600)
    assert job.run is None
    assert "cannot be built" in str(job.problem)


def test_many_readers_of_one_view_share_one_run() -> None:
    view = small(H=19)
    found: list[runs.Run] = []
    threads = [threading.Thread(target=lambda: found.append(runs.values(view))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    assert len(found) == 8
    assert len({id(run) for run in found}) == 1


def test_shapes_do_not_wait_for_values() -> None:
    with runs._line.turn():  # held: whoever waited for it would wait for ever
        runs.outline(small(H=21))


# --- formulas -----------------------------------------------------------------------------------


def test_formulas_come_after_the_numbers_and_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    view = default_view("squeeze-excite").with_settings({"C": 48})
    run = runs.outline(view)
    assert not run.trace.symbols
    assert runs.formulated(view, run) is None
    job = FormulaJob(view, run)
    assert job.wait(600)
    found = runs.formulated(view, run)
    assert found is not None
    assert found.stands_in
    assert {symbol.name: symbol.value for symbol in found.trace.symbols}["C"] == 48
    assert "said" in json.loads(found.payload)
    # At other sizes they need no search, and no process to find them.
    other = view.with_settings({"C": 32})
    assert runs.comes_at_once(other, runs.outline(other))
    monkeypatch.setattr(apart, "ask", None)
    job = FormulaJob(other, runs.outline(other))
    assert job.wait(600)
    assert runs.formulated(other, runs.outline(other)) is not None


def test_formulas_of_the_same_view_with_values_are_others() -> None:
    view = small(H=9)
    full = runs.with_formulas(view, runs.values(view))
    assert full.trace.values
    assert runs.formulated(view, runs.values(view)) is full
    assert runs.formulated(view, runs.outline(view)) is None


def test_what_is_handed_on_as_it_is_counts_once() -> None:
    def spent(*after: nn.Module) -> int:
        model = nn.Sequential(nn.Linear(4, 1000), *after)
        return forecast(trace(model, torch.randn(8, 4), values=False)).bytes

    alone = spent()
    assert spent(nn.Identity()) == alone
    assert spent(nn.Flatten()) == alone
    assert spent(nn.Tanh()) == alone + 8 * 1000 * 4
