"""The traced run is the user's run: same results, and afterwards everything is as it was."""

from __future__ import annotations

import copy
import gc
import random
import re
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves

from tests.cells import forward_cell, shapes
from tests.models import BY_KEY, MODELS, Model
from tests.together import together
from tracer import Trace, compute, trace

ALL = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)


def tensors(value: Any) -> list[Tensor]:
    return [item for item in tree_leaves(value) if isinstance(item, Tensor)]


def same_bits(a: Tensor, b: Tensor) -> bool:
    if (a.shape, a.dtype, a.stride()) != (b.shape, b.dtype, b.stride()):
        return False
    return bool(((a == b) | ((a != a) & (b != b))).all())


class Snapshot:
    """All that a module, and the process around it, must still hold afterwards."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.state = {k: v.clone() for k, v in module.state_dict().items()}
        self.tensors = {id(v) for v in [*module.parameters(), *module.buffers()]}
        self.attributes = [
            {
                key: copy.copy(value) if isinstance(value, dict | list | set) else value
                for key, value in vars(part).items()
            }
            for part in module.modules()
        ]
        self.training = [part.training for part in module.modules()]
        self.needs_grad = [p.requires_grad for p in module.parameters()]
        self.grads = [p.grad for p in module.parameters()]
        self.random = (torch.get_rng_state(), random.getstate(), np.random.get_state())
        self.modes = self.process()

    @staticmethod
    def process() -> tuple[Any, ...]:
        return (
            torch.overrides._len_torch_function_stack(),
            torch._C._len_torch_dispatch_stack(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.Tensor.__add__,
            torch.nn.functional.softmax,
            nn.Module.__call__,
        )

    def check(self, state: dict[str, Tensor] | None = None) -> None:
        expected = self.state if state is None else state
        now = self.module.state_dict()
        assert list(now) == list(expected)
        for key, value in expected.items():
            assert same_bits(now[key], value), key
        assert {id(v) for v in [*self.module.parameters(), *self.module.buffers()]} == self.tensors
        for part, attributes in zip(self.module.modules(), self.attributes, strict=True):
            assert vars(part).keys() == attributes.keys()
            for key, was in attributes.items():
                value = vars(part)[key]
                same = value == was if isinstance(was, dict | list | set) else value is was
                assert same, (type(part).__name__, key)
        assert [part.training for part in self.module.modules()] == self.training
        assert [p.requires_grad for p in self.module.parameters()] == self.needs_grad
        assert all(p.grad is g for p, g in zip(self.module.parameters(), self.grads, strict=True))
        self.check_process()

    def check_process(self) -> None:
        torchs, plain, (kind, keys, *rest) = self.random
        assert torch.equal(torch.get_rng_state(), torchs)
        assert random.getstate() == plain
        now = np.random.get_state()
        assert (now[0], *now[2:]) == (kind, *rest)
        assert (now[1] == keys).all()
        assert self.process() == self.modes


@contextmanager
def outputs_of(module: nn.Module) -> Iterator[list[Any]]:
    """What the module's forward returned, seen by the user's own hook."""
    seen: list[Any] = []
    handle = module.register_forward_hook(lambda _module, _inputs, result: seen.append(result))
    try:
        yield seen
    finally:
        handle.remove()


# --- results --------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_the_outputs_are_bit_identical(model: Model, mode: Any) -> None:
    args, kwargs = model.arguments()
    with mode():
        torch.manual_seed(5)
        expected = model.make()(*args, **kwargs)
        module = model.make()
        torch.manual_seed(5)
        with outputs_of(module) as seen:
            found = trace(module, *args, **kwargs)
    (result,) = seen
    assert tree_flatten(result)[1] == tree_flatten(expected)[1]
    for a, b in zip(tensors(result), tensors(expected), strict=True):
        assert same_bits(a, b)
        assert type(a.grad_fn) is type(b.grad_fn)
        assert a.requires_grad == b.requires_grad
    assert shapes(found.outputs) == [tuple(a.shape) for a in tensors(expected)]


@ALL
def test_the_inputs_are_not_written(model: Model) -> None:
    args, kwargs = model.arguments()
    before = [(value.clone(), value._version) for value in tensors((args, kwargs))]
    trace(model.make(), *args, **kwargs)
    for value, (was, version) in zip(tensors((args, kwargs)), before, strict=True):
        assert same_bits(value, was)
        assert value._version == version


@pytest.mark.parametrize("key", ["resnet_cbam_training", "transformer", "swin", "experts"])
def test_gradients_of_a_traced_run_are_those_of_a_plain_one(key: str) -> None:
    model = BY_KEY[key]
    args, kwargs = model.arguments()
    plain, traced = model.make(), model.make()
    torch.manual_seed(5)
    torch.stack([t.float().sum() for t in tensors(plain(*args, **kwargs))]).sum().backward()
    torch.manual_seed(5)
    with outputs_of(traced) as seen:
        trace(traced, *args, **kwargs)
    torch.stack([t.float().sum() for t in tensors(seen[0])]).sum().backward()
    for (name, a), (_, b) in zip(plain.named_parameters(), traced.named_parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        assert a.grad is None or same_bits(a.grad, b.grad), name


def test_a_graph_from_before_the_trace_can_still_run_backward() -> None:
    model = BY_KEY["resnet_cbam_training"]
    (image,), _ = model.arguments()
    module = model.make()
    loss = module(image).square().sum()
    trace(module, image)
    loss.backward()
    plain = model.make()
    plain(image).square().sum().backward()
    for a, b in zip(module.parameters(), plain.parameters(), strict=True):
        assert same_bits(a.grad, b.grad)


@pytest.mark.parametrize("key", ["resnet_cbam", "swin", "rotary", "experts", "transformer"])
def test_a_tensor_computed_again_is_the_one_that_was_noted(key: str) -> None:
    model = BY_KEY[key]
    args, kwargs = model.arguments()
    module = model.make()
    torch.manual_seed(2)
    found = trace(module, *args, **kwargs)
    before = Snapshot(module)
    notes = [*found.tensors().values()]
    for note in notes[:: max(1, len(notes) // 25)]:
        torch.manual_seed(2)
        again = compute(note.id, module, *args, **kwargs)
        assert tuple(again.shape) == note.shape
        assert not again.requires_grad
        exact = (again.abs() if again.is_complex() else again).double().flatten()
        exact = exact[exact.isfinite()]
        assert note.stats is not None
        if len(exact):
            assert note.stats.minimum == pytest.approx(exact.min().item(), rel=1e-6)
            assert note.stats.mean == pytest.approx(exact.mean().item(), rel=1e-4, abs=1e-5)
    torch.manual_seed(2)
    last = compute(found.outputs[0].id, module, *args, **kwargs)
    torch.manual_seed(2)
    assert same_bits(last, tensors(model.make()(*args, **kwargs))[0].detach())
    before.random = Snapshot(module).random
    before.check()
    with pytest.raises(LookupError):
        compute(10**9, module, *args, **kwargs)


@ALL
def test_two_traces_of_one_run_are_equal(model: Model) -> None:
    args, kwargs = model.arguments()
    module = model.make()

    def timeless(found: Trace) -> str:
        return re.sub(r'"seconds":[0-9.e-]+', '"seconds":0', found.to_json())

    # torch's own code for packed sequences makes an empty tensor, whose content is chance.
    values = "tagger" not in model.key
    torch.manual_seed(1)
    first = timeless(trace(module, *args, values=values, **kwargs))
    torch.manual_seed(1)
    assert timeless(trace(module, *args, values=values, **kwargs)) == first


# --- state ----------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("values", [True, False])
def test_everything_is_as_before(model: Model, values: bool) -> None:
    args, kwargs = model.arguments()
    module = model.make()
    module.register_forward_pre_hook(lambda module, inputs: None)
    next(module.parameters()).requires_grad_(False)
    before = Snapshot(module)
    trace(module, *args, values=values, **kwargs)
    before.check()


@ALL
def test_without_restoring_the_buffers_are_as_after_a_plain_run(model: Model) -> None:
    args, kwargs = model.arguments()
    plain, traced = model.make(), model.make()
    plain(*args, **kwargs)
    before = Snapshot(traced)
    trace(traced, *args, restore=False, **kwargs)
    before.check(plain.state_dict())


def test_batch_norm_in_training() -> None:
    """Its kernel writes the running statistics without telling anybody."""
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=None), nn.BatchNorm1d(3)).train()
    x = torch.randn(9, 3) * 2 + 5
    before = Snapshot(model)
    found = trace(model, x)
    before.check()
    assert found.training
    kept = trace(model, x, restore=False)
    assert kept.steps[0].outputs[0].stats == found.steps[0].outputs[0].stats
    assert int(model[0].num_batches_tracked) == 1
    assert torch.allclose(model[0].running_mean, x.mean(0))


def test_a_second_call_sees_the_statistics_of_the_first() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.norm(x)
            return self.norm(y)

    x = torch.randn(9, 3) + 4
    first, second = trace(Twice().train(), x).steps
    means = [
        note.stats.mean
        for step in (first, second)
        for note in step.inputs
        if note.name == "norm.running_mean" and note.stats
    ]
    assert means[0] == 0.0
    assert means[1] == pytest.approx(0.1 * x.mean().item(), rel=1e-4)


class Busy(nn.Module):
    """Changes whatever a forward can change, then perhaps fails."""

    count: Tensor

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("count", torch.zeros(()))
        self.calls = 0
        self.last: Tensor | None = None
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.count += 1
        self.fresh = x * 2
        self.last = self.norm(self.lin(x))
        with torch.no_grad():
            self.lin.weight.mul_(2)
            self.lin.bias.data.zero_()
        self.lin.bias.requires_grad  # noqa: B018
        torch.manual_seed(99)
        random.random()
        np.random.rand()
        y = self.last + torch.randn(3)
        if self.error is not None:
            raise self.error
        return y


@together("values", [True, False])
@together("reraise", [True, False])
@together("error", [None, ValueError("no"), KeyboardInterrupt(), SystemExit()], ids=repr)
def test_a_forward_that_changes_everything(
    error: BaseException | None, reraise: bool, values: bool
) -> None:
    model = Busy(error).train()
    x = torch.randn(5, 3)
    before = Snapshot(model)
    passes = error is not None and (reraise or not isinstance(error, Exception))
    with pytest.raises(type(error)) if passes else nullcontext() as raised:  # type: ignore[arg-type]
        found = trace(model, x, reraise=reraise, values=values)
        assert (found.failure is None) == (error is None)
    before.check()
    if passes:
        assert raised is not None
        assert raised.value is error


def test_containers_that_a_forward_fills() -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cache: list[Tensor] = []
            self.table: dict[str, Tensor] = {}

        def forward(self, x: Tensor) -> Tensor:
            self.cache.append(x)
            self.table["x"] = x
            return torch.cat(self.cache)

    model = Caching()
    found = [trace(model, torch.ones(2)) for _ in range(2)]
    assert [shapes(each.outputs) for each in found] == [[(2,)], [(2,)]]
    assert (model.cache, model.table) == ([], {})


def test_modules_that_a_forward_adds_or_replaces() -> None:
    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.extra = nn.Linear(2, 2)
            self.lin = nn.Linear(2, 4)
            self.register_buffer("mask", torch.ones(2))
            return self.lin(self.extra(x))

    model = Growing()
    before = Snapshot(model)
    found = trace(model, torch.ones(1, 2))
    before.check()
    assert found.failure is None
    assert shapes(found.outputs) == [(1, 4)]


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrized_weights(wrap: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(wrap(nn.Linear(3, 4)), nn.ReLU()).train()
    twin = copy.deepcopy(model)
    x = torch.randn(2, 3)
    before = Snapshot(model)
    with outputs_of(model) as seen:
        found = trace(model, x)
    before.check()
    assert found.failure is None
    assert same_bits(seen[0], twin(x))
    assert shapes(found.outputs) == [(2, 4)]


def test_nothing_is_kept_alive() -> None:
    model = BY_KEY["vit"].make()
    (image,), _ = BY_KEY["vit"].arguments()
    found = trace(model, image)
    alive = [weakref.ref(model), weakref.ref(image), weakref.ref(next(model.parameters()))]
    del model, image
    gc.collect()
    assert [ref() for ref in alive] == [None] * 3
    assert len(found.steps) > 10


def test_random_numbers_that_nobody_loaded_are_not_loaded() -> None:
    """They have no state to be kept, and loading them would take as long as many traces."""
    code = (
        "import sys, torch, tracer\n"
        "tracer.trace(torch.nn.ReLU(), torch.zeros(2), values=False)\n"
        "sys.exit('numpy.random' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_failed_run_is_not_kept_alive() -> None:
    model = forward_cell("x", "y = x * 2\nreturn y.view(7)")
    x = torch.ones(3)
    found = trace(model, x)
    alive = [weakref.ref(model), weakref.ref(x)]
    del model, x
    gc.collect()
    assert [ref() for ref in alive] == [None] * 2
    assert found.failure is not None


# --- inside other things --------------------------------------------------------------------


class TestHooks:
    def test_the_users_hooks_run_as_before(self) -> None:
        log: list[str] = []
        model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        model[0].register_forward_pre_hook(lambda m, i: log.append("before"))
        model[0].register_forward_hook(lambda m, i, o: log.append("after"))
        model.register_forward_hook(lambda m, i, o: log.append("root"))
        handles = [dict(m._forward_hooks) for m in model.modules()]
        trace(model, torch.ones(1, 2))
        assert log == ["before", "after", "root"]
        assert [dict(m._forward_hooks) for m in model.modules()] == handles

    def test_a_hook_that_changes_the_result(self) -> None:
        model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        model[0].register_forward_hook(lambda m, i, o: o[:, :1] * 0 + 5)
        found = trace(model, torch.ones(1, 2))
        assert shapes(found.outputs) == [(1, 1)]
        assert found.outputs[0].stats is not None
        assert found.outputs[0].stats.mean == 5.0
        assert shapes(found.steps[-1].outputs) == [(1, 1)]

    def test_a_hook_that_changes_the_input(self) -> None:
        model = nn.Sequential(nn.Linear(2, 3))
        model[0].register_forward_pre_hook(lambda m, i: (i[0] * 0,))
        with torch.no_grad():
            model[0].bias.zero_()
        found = trace(model, torch.ones(1, 2))
        assert found.outputs[0].stats is not None
        assert found.outputs[0].stats.zeros == 1.0


class Counting(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(getattr(func, "__name__", "?"))
        return func(*args, **(kwargs or {}))


class CountingKernels(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(func.name())
        return func(*args, **(kwargs or {}))


class TestInside:
    def test_a_users_function_mode(self) -> None:
        model = forward_cell("x", "y = x.sin() + 1\nreturn torch.cat([y, y])")
        x = torch.ones(2)
        plain, traced = Counting(), Counting()
        with plain:
            model(x)
        with traced:
            found = trace(model, x)
        assert len(found.steps) == 3
        assert [name for name in traced.seen if name in ("sin", "add", "cat")] == [
            "sin",
            "add",
            "cat",
        ]
        assert set(plain.seen) <= set(traced.seen)

    def test_a_users_dispatch_mode_sees_the_models_kernels_alone(self) -> None:
        model = BY_KEY["unet"].make()
        args, kwargs = BY_KEY["unet"].arguments()
        plain, traced = CountingKernels(), CountingKernels()
        with plain:
            model(*args, **kwargs)
        with traced:
            found = trace(model, *args, **kwargs)
        model_kernels = [name for name in traced.seen if name in set(plain.seen)]
        assert model_kernels[: len(plain.seen)] == plain.seen or traced.seen == plain.seen
        assert found.failure is None

    def test_a_mode_inside_the_forward(self) -> None:
        mode = Counting()
        model = forward_cell("x", "with mode:\n    y = x * 2\nreturn y + 1", mode=mode)
        found = trace(model, torch.ones(2))
        assert [step.expression for step in found.steps] == ["x * 2", "y + 1"]
        assert "mul" in mode.seen

    def test_autocast(self) -> None:
        model = BY_KEY["vit"].make()
        args, _ = BY_KEY["vit"].arguments()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            expected = model(*args)
            with outputs_of(model) as seen:
                found = trace(model, *args)
        assert same_bits(seen[0], expected)
        assert found.outputs[0].dtype == "bfloat16"

    def test_another_trace(self) -> None:
        inner = forward_cell("x", "return x * 2 + 1")
        kept: list[Trace] = []
        model = forward_cell(
            "x",
            "kept.append(trace(inner, x))\nreturn x - 1",
            kept=kept,
            trace=trace,
            inner=inner,
        )
        found = trace(model, torch.ones(2))
        assert found.failure is None
        assert [step.expression for step in kept[0].steps] == ["x * 2", "x * 2 + 1"]
        assert found.steps[-1].expression == "x - 1"
        assert found.outputs[0].stats is not None
        assert found.outputs[0].stats.mean == 0.0

    def test_a_trace_of_itself(self) -> None:
        kept: list[Trace] = []

        class Selfish(nn.Module):
            def forward(self, x: Tensor, deep: bool = True) -> Tensor:
                if deep:
                    kept.append(trace(self, x, deep=False))
                return x * 3

        found = trace(Selfish(), torch.ones(2))
        assert [step.expression for step in kept[0].steps] == ["x * 3"]
        assert found.failure is None
        assert found.outputs == found.steps[-1].outputs
        assert found.steps[-1].expression == "x * 3"

    def test_a_gradient_inside_the_forward(self) -> None:
        body = """
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad((z ** 3).sum(), z)
        return slope
        """
        found = trace(forward_cell("x", body), torch.full((2,), 2.0))
        assert found.failure is None
        assert found.outputs[0].stats is not None
        assert found.outputs[0].stats.mean == 12.0
        assert found.outputs[0].name == "slope"

    def test_vmap_and_functional_call(self) -> None:
        body = """
        y = torch.vmap(lambda row: row * row.sum())(x)
        return y + 1
        """
        x = torch.randn(3, 4)
        model = forward_cell("x", body)
        with outputs_of(model) as seen:
            found = trace(model, x)
        assert found.failure is None
        assert torch.equal(seen[0], x * x.sum(1, keepdim=True) + 1)
        assert found.steps[-1].expression == "y + 1"
        assert shapes(found.outputs) == [(3, 4)]

    def test_a_custom_autograd_function(self) -> None:
        class Double(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor) -> Tensor:
                return x * 2

            @staticmethod
            def backward(ctx: Any, grad: Tensor) -> Tensor:
                return grad * 2

        model = forward_cell("x", "y = Double.apply(x)\nreturn y + 1", Double=Double)
        x = torch.ones(2, requires_grad=True)
        with outputs_of(model) as seen:
            found = trace(model, x)
        assert found.failure is None
        assert found.steps[-1].expression == "y + 1"
        assert found.outputs[0].stats is not None
        assert found.outputs[0].stats.mean == 3.0
        seen[0].sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [2.0, 2.0]

    def test_the_default_device_and_dtype(self) -> None:
        model = forward_cell("x", "return x + torch.zeros(2)")
        torch.set_default_dtype(torch.float64)
        try:
            before = Snapshot(model)
            found = trace(model, torch.ones(2))
            before.check()
        finally:
            torch.set_default_dtype(torch.float32)
        assert found.steps[0].outputs[0].dtype == "float64"


class Circle:
    """Only the garbage collector frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("sizes", [(2, 3), (7, 7)])
def test_garbage_is_looked_for_among_what_is_new(sizes: tuple[int, ...]) -> None:
    """While a trace runs, whether it succeeds or fails; afterwards as it was set."""
    seen: list[Any] = []

    class Littering(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            circles = [weakref.ref(Circle()) for _ in range(5000)]
            seen.extend([gc.get_threshold(), circles[0]() is None])
            return x.view(sizes)

    before = gc.get_threshold()
    found = trace(Littering(), torch.ones(2, 3), values=False, diagnose=False)
    assert (found.failure is None) == (sizes == (2, 3))
    assert gc.get_threshold() == before
    assert seen[0][:2] == before[:2]
    assert seen[0][2] > before[2]
    assert seen[1]
