"""Sizes as symbols: the expressions agree with the numbers, here and at other sizes."""

from __future__ import annotations

import inspect
import random
from pathlib import Path
from typing import Any

import pytest
import sympy
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import tracer.formulas.run
from modules import LESSONS, lesson
from modules.lesson import Lesson, prepare
from modules.lesson import run as run_lesson
from tracer.formulas.run import Symbolic, measure, run_with_symbols
from tracer.formulas.writing import evaluate, symbol

B, C, H, W = map(symbol, "BCHW")


def sizes_of(settings: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in settings.items() if type(value) is int}


def symbolic(each: Lesson, **changes: int) -> Symbolic:
    settings = {**each.settings(), **changes}
    return run_with_symbols(
        lambda sizes: each.build({**settings, **sizes}),
        lambda sizes: each.inputs({**settings, **sizes}, "shape", 0),
        sizes_of(settings),
    )


def at(expression: sympy.Expr, sizes: dict[str, int]) -> int:
    return int(evaluate(expression, sizes))


SAMPLE = random.Random(4).sample(LESSONS, 8)


@pytest.mark.parametrize("each", SAMPLE, ids=lambda each: each.key)
def test_expressions_give_the_shapes_of_the_run(each: Lesson) -> None:
    found = symbolic(each)
    assert found.error is None
    real = run_lesson(each, each.settings(), values=False)
    assert [step.op for step in found.trace.steps] == [step.op for step in real.steps]
    for made, step in zip(found.trace.steps, real.steps, strict=True):
        for note, true in zip(made.outputs, step.outputs, strict=True):
            assert note.shape == true.shape
            assert tuple(at(size, found.sizes) for size in found.shapes[note.id]) == true.shape
    assert at(found.parameters, found.sizes) == real.parameters


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("squeeze-excite", {"B": 3, "C": 96, "H": 5, "W": 9, "reduction": 7}),
        ("eca-sequence", {"B": 5, "T": 11, "C": 30, "kernel_size": 6}),
        ("fbkd-student", {"B": 3, "C": 40, "H": 17, "W": 21, "reduction": 5}),
        ("non-local", {"B": 3, "C": 24, "H": 9, "W": 10}),
        ("evc-encoding", {"B": 3, "C": 24, "H": 9, "W": 10, "num_codes": 12}),
    ],
)
def test_expressions_hold_at_other_sizes(key: str, changes: dict[str, int]) -> None:
    each = lesson(key)
    found = symbolic(each)
    settings = {**each.settings(), **changes}
    other = run_lesson(each, settings, values=False)
    for made, step in zip(found.trace.steps, other.steps, strict=True):
        for note, true in zip(made.outputs, step.outputs, strict=True):
            shape = found.shapes[note.id]
            assert tuple(at(size, sizes_of(settings)) for size in shape) == true.shape, made.op


def test_a_pairwise_matrix() -> None:
    found = symbolic(lesson("non-local"))
    shapes = [found.shapes[note.id] for step in found.trace.steps for note in step.outputs]
    assert (B, H * W, H * W) in shapes


def test_what_the_run_relied_on_and_where() -> None:
    found = symbolic(lesson("hacnn-channel"), C=48)
    conditions = {str(demand.condition): demand.step for demand in found.demands}
    # The constructor's own check comes before any step.
    assert conditions["Eq(Mod(C, reduction_rate), 0)"] is None


def test_names_of_the_source() -> None:
    assert symbolic(lesson("evc-encoding")).aliases["N"] == H * W


@pytest.mark.parametrize("key", ["fbkd-student", "non-local", "dycaconv", "evc"])
def test_flops_are_those_of_torchs_counter(key: str) -> None:
    each = lesson(key)
    found = symbolic(each)
    model, args, kwargs = prepare(each, each.settings(), values=False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*args, **kwargs)
    assert sum(at(flops, found.sizes) for flops in found.flops) == counter.get_total_flops()


def test_a_size_that_breaks_ends_the_run_where_it_breaks() -> None:
    each = lesson("hacnn-spatial")
    found = symbolic(each, H=15)
    real = run_lesson(each, {**each.settings(), "H": 15}, values=False)
    assert (found.error is None) == (real.failure is None)
    assert len(found.trace.steps) == len(real.steps)


def test_questions_are_not_taken_for_identities() -> None:
    """C = H here, and torch asks whether they are equal: they stay two."""

    class Both(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + x.transpose(0, 1)

    def inputs(sizes: Any) -> Any:
        return (torch.empty(sizes["C"], sizes["H"]),), {}

    found = run_with_symbols(lambda sizes: Both(), inputs, {"C": 6, "H": 6})
    (note,) = found.trace.inputs
    assert [str(size) for size in found.shapes[note.id]] == ["C", "H"]
    assert "Eq(C, H)" in {str(demand.condition) for demand in found.demands}


def test_a_number_that_python_asks_for_is_kept_with_its_place() -> None:
    found = symbolic(lesson("evc-light-mlp"))
    (number,) = found.numbers
    assert (str(number.expression), int(number.value)) == ("TruncToInt(4.0*ToFloat(C))", 64)
    assert number.place.statement.startswith("hidden") or "int(" in number.place.expression


def test_what_is_new_memory() -> None:
    class Views(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.view(-1)
            z = y * 2
            z += 1
            return z.reshape(x.shape)

    def inputs(sizes: Any) -> Any:
        return (torch.empty(sizes["B"], sizes["C"]),), {}

    found = run_with_symbols(lambda sizes: Views(), inputs, {"B": 4, "C": 6})
    made = [note.id in found.fresh for step in found.trace.steps for note in step.outputs]
    assert made == [False, True, False, False]


def test_measuring_counts_what_torch_counts() -> None:
    each = lesson("dycaconv")
    settings = each.settings()
    found = measure(each.build, lambda s: each.inputs(s, "shape", 0), settings)
    assert found.error is None
    assert sum(found.flops) == sum(at(flops, sizes_of(settings)) for flops in symbolic(each).flops)


def test_torch_has_what_this_needs() -> None:
    """The names below are torch's own business and may change: then `tracer/formulas/run.py` has to
    follow, and only it."""
    env = torch.fx.experimental.symbolic_shapes.ShapeEnv(
        duck_shape=False, specialize_zero_one=False
    )
    for name in ("create_symbol", "create_symintnode", "evaluate_expr", "backed_var_to_val"):
        assert hasattr(env, name), f"torch {torch.__version__} has no ShapeEnv.{name} any more"
    asked = inspect.signature(type(env).evaluate_expr).parameters
    ours = inspect.signature(tracer.formulas.run._Environment.evaluate_expr).parameters
    assert list(asked) == list(ours), f"torch {torch.__version__} asks ShapeEnv otherwise"
    assert hasattr(torch._dispatch.python, "enable_python_dispatcher")


def test_nobody_else_uses_torchs_internals() -> None:
    internal = ("symbolic_shapes", "fake_tensor", "torch._dispatch", "SymInt")
    users = {
        path.name
        for path in Path(tracer.__file__).parent.rglob("*.py")
        if any(name in path.read_text(encoding="utf-8") for name in internal)
    }
    assert users <= {"run.py"}
