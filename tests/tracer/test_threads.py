"""Ten threads trace at once, on one module and on many, and each gets exactly its own run."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.cells import forward_cell
from tests.models import BY_KEY
from tracer import Trace, trace

THREADS = 10


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """Run all of `work` in threads that start together; an exception of any is raised."""
    barrier = threading.Barrier(len(work))

    def start(task: Callable[[], Any]) -> Any:
        barrier.wait(timeout=600)
        return task()

    with ThreadPoolExecutor(len(work)) as pool:
        running = [pool.submit(start, task) for task in work]
        return [task.result(timeout=600) for task in running]


def timeless(found: Trace) -> str:
    return re.sub(r'"seconds":[0-9.e-]+', '"seconds":0', found.to_json())


# Without dropout, since torch has one random generator for all threads.
EXACT = ("resnet_cbam_training", "unet", "vit", "swin", "rotary", "experts", "seq2seq")


@pytest.mark.parametrize("key", ["resnet_cbam_training", "swin", "seq2seq"])
def test_on_one_shared_module(key: str) -> None:
    model = BY_KEY[key]
    module = model.make()
    args, kwargs = model.arguments()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    expected = timeless(trace(module, *args, **kwargs))
    found = at_once(*[lambda: timeless(trace(module, *args, **kwargs))] * THREADS)
    assert set(found) == {expected}
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_on_separate_modules() -> None:
    keys = [EXACT[number % len(EXACT)] for number in range(THREADS)]
    modules = [BY_KEY[key].make() for key in keys]
    inputs = [BY_KEY[key].arguments() for key in keys]

    def run(number: int) -> str:
        args, kwargs = inputs[number]
        return timeless(trace(modules[number], *args, **kwargs))

    expected = [run(number) for number in range(THREADS)]
    work = [lambda number=number: run(number) for number in range(THREADS)]
    for _ in range(3):
        assert at_once(*work) == expected


def test_modules_that_share_a_part() -> None:
    """Two models that use one block, each seen as if it were alone."""
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU())
    models = [nn.Sequential(nn.Linear(4, 4), block).train() for _ in range(THREADS)]
    x = torch.randn(6, 4)
    expected = [timeless(trace(model, x)) for model in models]
    found = at_once(*[lambda model=model: timeless(trace(model, x)) for model in models])
    assert found == expected
    assert int(block[1].num_batches_tracked) == 0


def test_each_sees_its_own_inputs() -> None:
    model = forward_cell("x", "y = x * 2\nz = y.sum()\nreturn z")

    def run(number: int) -> list[Any]:
        found = trace(model, torch.full((number + 1,), float(number)))
        return [(n.shape, n.stats and n.stats.maximum) for s in found.steps for n in s.outputs]

    found = at_once(*[lambda number=number: run(number) for number in range(THREADS)])
    assert found == [
        [((number + 1,), 2.0 * number), ((), 2.0 * number * (number + 1))]
        for number in range(THREADS)
    ]


def test_plain_runs_beside_a_trace_are_plain() -> None:
    """Runs of the same module in other threads leave nothing in the trace, nor it in them."""
    model = BY_KEY["vit"]
    module = model.make()
    args, kwargs = model.arguments()
    with torch.no_grad():
        result = module(*args, **kwargs)
    expected = timeless(trace(module, *args, **kwargs))

    def plain() -> Tensor:
        with torch.no_grad():
            return [module(*args, **kwargs) for _ in range(20)][-1]

    def traced() -> str:
        return [timeless(trace(module, *args, **kwargs)) for _ in range(3)][-1]

    found = at_once(*[plain, traced] * (THREADS // 2))
    assert all(torch.equal(value, result) for value in found[::2])
    assert set(found[1::2]) == {expected}


def test_failures_stay_in_their_thread() -> None:
    good, bad = nn.Sequential(nn.Linear(3, 3)), nn.Sequential(nn.Linear(4, 3))
    x = torch.randn(2, 3)
    found = at_once(*[lambda: trace(good, x), lambda: trace(bad, x)] * (THREADS // 2))
    assert [each.failure is None for each in found] == [True, False] * (THREADS // 2)
    assert {each.failure.module for each in found[1::2]} == {"0"}
    assert not any(m._forward_hooks for model in (good, bad) for m in model.modules())


def test_the_random_state_is_as_before() -> None:
    model = forward_cell("x", "return torch.nn.functional.dropout(x, 0.5) + torch.randn(2)")
    torch.manual_seed(11)
    before = torch.get_rng_state()
    at_once(*[lambda: trace(model, torch.ones(2))] * THREADS)
    assert torch.equal(torch.get_rng_state(), before)
    separate = [forward_cell("x", "return x + torch.randn(2)") for _ in range(THREADS)]
    at_once(*[lambda model=model: trace(model, torch.ones(2)) for model in separate])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_thread_started_by_the_forward_is_not_lost_in_it() -> None:
    """What another thread does is not recorded, and does not disturb what is."""
    body = """
    worker = threading.Thread(target=lambda: [other(x) for _ in range(20)])
    worker.start()
    y = x * 2
    worker.join()
    return y + 1
    """
    other = nn.Linear(2, 2)
    model = forward_cell("x", body, threading=threading, other=other)
    model.add_module("other", other)
    found = trace(model, torch.ones(2))
    assert found.failure is None
    assert [step.expression for step in found.steps] == ["x * 2", "y + 1"]


def test_one_after_another_in_one_thread_share_nothing() -> None:
    model = forward_cell("x", "return x + 1")
    first = trace(model, torch.ones(2))
    second = trace(model, torch.ones(3))
    assert [note.id for note in first.tensors().values()] == [
        note.id for note in second.tensors().values()
    ]
    assert (first.outputs[0].shape, second.outputs[0].shape) == ((2,), (3,))
