"""Formulas on traces: they give the sizes of every real run, what is said to be demanded is what
runs fail without, and what cannot be had is said."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from modules import LESSONS, lesson
from modules.lesson import (
    Lesson,
    known_solution,
    prepare,
    symbol_choices,
    with_formulas,
)
from modules.lesson import run as run_lesson
from tests.cells import forward_cell
from tests.effort import TIMES, one_of_each
from tracer import Trace, trace
from tracer.formulas.proof import allowed, attached, solve
from tracer.formulas.run import measure
from tracer.formulas.writing import evaluate
from tracer.symbolic import trace_symbolic


def dims(found: Trace, name: str) -> tuple[str, ...]:
    (note, *_) = [note for note in found.tensors().values() if note.name == name]
    return tuple(formula.text for formula in note.dims)


def words(found: Trace) -> list[str]:
    return [constraint.words for constraint in found.constraints]


SETTINGS = 4 * TIMES
"""At which the formulas of each lesson are held against a run."""

# --- lessons ------------------------------------------------------------------------------------


def settings_at_random(each: Lesson, draw: random.Random) -> dict[str, Any]:
    """Any setting that the sidebar can show; half of the time one of moderate size."""
    chosen = each.settings()
    for name, values in symbol_choices(each, chosen).items():
        if draw.random() < 0.7:
            chosen[name] = draw.choice(values)
            if isinstance(values, range) and draw.random() < 0.5:
                chosen[name] = min(chosen[name], draw.choice((40, 80, 200)))
    if "H_t" in chosen and draw.random() < 0.7:
        # The loss compares maps of one size.
        chosen["H_t"], chosen["W_t"] = chosen["H"], chosen["W"]
    return chosen


@pytest.mark.parametrize(
    "each", one_of_each(LESSONS, lambda each: each.key), ids=lambda each: each.key
)
def test_every_formula_holds_at_other_settings(each: Lesson) -> None:
    """Not one dimension of one step disagrees with a real run, a setting is called a violation
    exactly when it does not run, and FLOPs are what torch counts."""
    base = each.settings()
    with_formulas(each, run_lesson(each, base, values=False), base)
    solution = known_solution(each, base)
    assert solution is not None
    draw = random.Random(11)
    checked = 0
    for _ in range(40 * SETTINGS):
        settings = settings_at_random(each, draw)
        sizes = {name: settings[name] for name in symbol_choices(each, settings)}
        violated = solution.violated(settings)
        if each.problems(settings) is not None:
            assert violated, settings
            continue
        real = run_lesson(each, settings, values=False, diagnose=False)
        assert (real.failure is not None) == bool(violated), (settings, violated)
        if violated:
            continue
        found = attached(
            real,
            solution,
            sizes,
            lambda: measure(each.build, lambda s: each.inputs(s, "shape", 0), settings).flops,  # noqa: B023
        )
        assert found is not None, settings
        for note in found.tensors().values():
            assert len(note.dims) == len(note.shape)
        for made, true in zip(solution.like.walk(), real.walk(), strict=True):
            for one, other in zip(made.outputs, true.outputs, strict=True):
                for expression, size in zip(solution.shapes[one.id], other.shape, strict=True):
                    if expression is not None:
                        assert evaluate(expression, settings) == size, (made.expression, settings)
        if checked % 8 == 0:
            model, args, kwargs = prepare(each, settings, values=False)
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                model(*args, **kwargs)
            assert sum(cost.flops for cost in found.costs) == counter.get_total_flops()
        checked += 1
        if checked == SETTINGS:
            break
    assert checked == SETTINGS


@pytest.mark.parametrize(
    "each", one_of_each(LESSONS, lambda each: each.key), ids=lambda each: each.key
)
def test_numbers_remain_only_where_they_must(each: Lesson) -> None:
    """All sizes of all lessons have formulas but for the width that ECA computes by a logarithm."""
    settings = each.settings()
    found = with_formulas(each, run_lesson(each, settings, values=False), settings)
    solution = known_solution(each, settings)
    assert solution is not None
    unknown = {
        found.steps[note.born].expression if note.born is not None else note.name
        for id, shape in solution.shapes.items()
        for note in [solution.like.tensors()[id]]
        if None in shape
    }
    assert unknown == ({"conv.weight"} if each.key == "eca-image" else set()), each.key
    if unknown:
        (remark,) = solution.remarks
        assert "math.log2(channel)" in str(remark)
    else:
        assert solution.remarks == ()


def formulas_of(key: str, **changes: Any) -> Trace:
    each = lesson(key)
    settings = {**each.settings(), **changes}
    return with_formulas(each, run_lesson(each, settings, values=False), settings)


def test_the_formulas_that_a_reader_expects() -> None:
    student = formulas_of("fbkd-student")
    assert dims(student, "x") == ("B", "C", "H", "W")
    shapes = {tuple(f.text for f in note.dims) for note in student.tensors().values()}
    assert ("B", "H·W", "⌊H/maxpool_stride⌋·⌊W/maxpool_stride⌋") in shapes
    excited = formulas_of("squeeze-excite")
    assert ("B", "⌊C/reduction⌋") in {
        tuple(f.text for f in note.dims) for note in excited.tensors().values()
    }
    assert words(excited) == ["C must be at least reduction."]
    channel = formulas_of("hacnn-channel")
    assert words(channel) == ["C must be divisible by reduction_rate."]
    assert ("B", "C/reduction_rate", "1", "1") in {
        tuple(f.text for f in note.dims) for note in channel.tensors().values()
    }


def test_a_branch_is_a_maximum() -> None:
    """`max(8, C // r)` takes one branch in each run; the formula has both, under the name that
    the source gives it."""
    found = formulas_of("coordatt")
    every = {f for note in found.tensors().values() for f in note.dims}
    (both,) = [f for f in every if f.text == "max(8, ⌊C/reduction⌋)"]
    assert both.aliases == ("mip",)


def test_coincidences_are_not_identities() -> None:
    found = formulas_of("non-local", C=64, H=8, W=8, inter_channels=64)
    assert dims(found, "x") == ("B", "C", "H", "W")
    pairwise = [note for note in found.tensors().values() if note.shape[1:] == (64, 64)]
    assert {tuple(f.text for f in note.dims[1:]) for note in pairwise} >= {("H·W", "H·W")}


def test_a_setting_that_fails_says_which_constraint_it_violates() -> None:
    each = lesson("fbkd-student")
    settings = {**each.settings(), "H": 3}
    real = run_lesson(each, settings, values=False, mend=False)
    assert real.failure is not None
    found = with_formulas(each, real, settings)
    (broken,) = [constraint for constraint in found.constraints if not constraint.holds]
    assert broken.words == "H must be at least maxpool_stride."
    assert broken.step == len(found.steps) - 1
    assert Trace.from_json(found.to_json()) == found
    # What was made until then has its formulas.
    assert all(note.dims for step in found.steps for note in step.outputs if note.shape)
    solution = known_solution(each, settings)
    assert solution is not None
    assert solution.violated(settings) == (broken.says,)
    assert allowed(solution, settings, "H", range(1, 9)) == [4, 5, 6, 7, 8]


def test_costs() -> None:
    found = formulas_of("non-local")
    (pairwise,) = [c for c in found.costs if c.elements_formula and c.flops and "H²" in
                   c.elements_formula.text]  # fmt: skip
    assert pairwise.elements_formula is not None
    assert pairwise.elements_formula.text == "B·H²·W²"
    assert pairwise.bytes == 4 * pairwise.elements == 4 * 6 * 100 * 100
    assert pairwise.memory_growth is not None
    assert pairwise.memory_growth.text == "B·H²·W²"
    assert pairwise.flops_formula is not None
    assert pairwise.flops_formula.text == "2·B·C·H²·W²"
    views = [cost for cost, step in zip(found.costs, found.steps, strict=True)
             if step.op in ("Tensor.view", "Tensor.permute")]  # fmt: skip
    assert views
    assert {cost.elements for cost in views} == {0}


# --- one's own module ---------------------------------------------------------------------------


class Attention(nn.Module):
    """A module as people write them, its hyper-parameters in the constructor."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)

    def forward(self, x: Tensor) -> Tensor:
        B, N, D = x.shape
        head_dim = D // self.heads
        qkv = self.qkv(x).view(B, N, 3, self.heads, head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1)).softmax(-1)
        return (weights @ v).transpose(1, 2).reshape(B, N, D)


def attention_inputs(sizes: Any) -> Any:
    return (torch.zeros(sizes["B"], sizes["N"], sizes["D"]),), {}


def test_hyper_parameters_are_symbols_as_well() -> None:
    found = trace_symbolic(
        lambda sizes: Attention(sizes["D"], sizes["heads"]),
        attention_inputs,
        {"B": 2, "N": 5, "D": 12, "heads": 3},
    )
    assert dims(found, "weights") == ("B", "heads", "N", "N")
    assert dims(found, "q") == ("B", "heads", "N", "D/heads")
    assert words(found) == ["D must be divisible by heads."]
    assert found.constraints[0].step == 1
    assert found.values
    # The name that the source gives.
    (q,) = [note for note in found.tensors().values() if note.name == "q"]
    assert q.dims[3].aliases == ("head_dim",)
    assert found.remarks == ()


@pytest.mark.parametrize(
    ("layer", "expected", "numbers"),
    [
        # torch takes a symbol for a sequence of sizes unless it is known as an integer.
        (lambda sizes: nn.LayerNorm(sizes["D"]), ("B", "N", "D"), None),
        (lambda sizes: nn.RMSNorm(sizes["D"]), ("B", "N", "D"), None),
        # It refuses what is not Python's own integer.
        (lambda sizes: nn.RNN(sizes["D"], 2 * sizes["D"]), ("B", "N", "24"), "D"),
        (lambda sizes: nn.LSTM(sizes["D"], sizes["E"]), ("B", "N", "7"), "D, E"),
    ],
)
def test_layers_that_want_numbers_leave_the_others_their_formulas(
    layer: Callable[[dict[str, Any]], nn.Module], expected: tuple[str, ...], numbers: str | None
) -> None:
    found = trace_symbolic(
        layer,
        lambda sizes: ((torch.randn(sizes["B"], sizes["N"], sizes["D"]),), {}),
        {"B": 2, "N": 5, "D": 12, "E": 7},
    )
    assert dims(found, found.outputs[0].name) == expected
    told = [str(remark).split(":")[0] for remark in found.remarks]
    assert told == ([] if numbers is None else [f"No formula names {numbers}"])


def test_dims_of_a_module_with_weights() -> None:
    model = Attention(12, 3).eval()
    found = trace(model, torch.randn(1, 5, 12), dims={"x": "B N D"})
    # The weights fix D: it is a number, and a constraint says so.
    assert dims(found, "x") == ("B", "N", "12")
    assert dims(found, "weights") == ("B", "3", "N", "N")
    assert words(found) == ["D must equal 12."]
    assert found.constraints[0].step == 0
    assert {symbol.name: symbol.value for symbol in found.symbols} == {"B": 1, "N": 5, "D": 12}


def test_a_convolution_rounds() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.MaxPool2d(2), nn.Flatten(2))
    found = trace(model, torch.randn(2, 3, 17, 21), dims={"input": "B _ H W"})
    assert [tuple(f.text for f in step.outputs[0].dims) for step in found.steps] == [
        ("B", "8", "⌈H/2⌉", "⌈W/2⌉"),
        ("B", "8", "⌊⌈H/2⌉/2⌋", "⌊⌈W/2⌉/2⌋"),
        ("B", "8", "⌊⌈H/2⌉/2⌋·⌊⌈W/2⌉/2⌋"),
    ]
    assert sorted(words(found)) == ["H must be at least 3.", "W must be at least 3."]


def test_sizes_must_agree_where_they_are_added() -> None:
    """Down by half and up again fits even sizes alone."""

    class Skip(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            small = F.avg_pool2d(x, 2)
            return x + small.repeat_interleave(2, 2).repeat_interleave(2, 3)

    found = trace(Skip(), torch.randn(2, 3, 8, 12), dims={"x": "B C H W"})
    assert sorted(words(found)) == ["H must be even.", "W must be even."]
    assert {constraint.step for constraint in found.constraints} == {3}


@pytest.mark.parametrize(
    ("body", "expression"),
    [
        ("n = (x > 0).sum().item()\nreturn x[:n]", "(x > 0).sum().item()"),
        ("return x[x.nonzero()[:, 0]]", "x.nonzero()"),
        ("if x.sum() > 0:\n    return x + 1\nreturn x - 1", "x.sum() > 0"),
    ],
)
def test_what_needs_values_is_assumed_and_says_where(body: str, expression: str) -> None:
    model = forward_cell("x", body)
    found = trace(model, torch.ones(4, 3), dims={"x": "N M"})
    assert found.failure is None
    (remark,) = [remark for remark in found.remarks if "Assumed" in str(remark)]
    assert expression in str(remark)
    assert "``" not in str(remark)
    assert [each.text for each in found.inputs[0].dims] == ["N", "M"]


def test_a_number_in_the_code_is_named() -> None:
    """`int(...)` of a float leaves a number where no formula fits; the rest has formulas."""
    body = "import math\nn = int(math.log2(x.shape[0])) + 1\nreturn x[:n], x.T"
    found = trace(forward_cell("x", body), torch.ones(8, 3), dims={"x": "N M"})
    first, second = found.outputs
    assert tuple(f.text for f in first.dims) == ("4", "M")
    assert tuple(f.text for f in second.dims) == ("M", "N")
    (remark,) = found.remarks
    assert "math.log2" in str(remark)


GROWING = """
for _ in range(60):
    x = torch.cat([x, x[:, : x.shape[1] // 2 + 1]], 1)
    x = x[:, : x.shape[1] // 2 + x.shape[1] // 3]
return x
"""


def test_formulas_that_grow_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer.formulas.run.MOST_TERMS", 1_000)
    x = torch.ones(2, 30)
    found = trace(forward_cell("x", GROWING), x, values=False, device="meta", dims={"x": "B N"})
    (remark,) = found.remarks
    assert "the formulas grow too large" in str(remark)


def test_a_run_of_many_steps_is_checked_by_fewer_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = "return x.flatten(2).transpose(1, 2) @ x.flatten(2)"
    found = trace(forward_cell("x", body), torch.ones(2, 3, 4, 5), dims={"x": "B C H W"})
    assert found.remarks == ()
    monkeypatch.setattr("tracer.formulas.proof.MOST_STEPS", 9)
    found = trace(forward_cell("x", body), torch.ones(2, 3, 4, 5), dims={"x": "B C H W"})
    (remark,) = found.remarks
    assert str(remark).startswith(
        "The formulas were checked by 5 runs at other sizes and not by 32"
    )
    assert tuple(f.text for f in found.outputs[0].dims) == ("B", "H·W", "H·W")


def test_a_failing_run_has_formulas_until_it_fails() -> None:
    model = nn.Sequential(nn.Flatten(1), nn.Linear(100, 4))
    found = trace(model, torch.ones(2, 3, 5, 7), dims={"input": "B C H W"})
    assert found.failure is not None
    flat, weight = found.failure.operands[:2]
    assert tuple(f.text for f in flat.note.dims) == ("B", "C·H·W")
    assert tuple(f.text for f in weight.note.dims) == ("4", "100")
    assert found.failure.reason.endswith("In the inputs' sizes, 105 is C·H·W.")
    assert Trace.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y": "A B"}, "dims names the input 'y', but the inputs are x."),
        ({"x": "A"}, r"dims gives x 1 names \(A\), but it has 2 dimensions: \(4, 3\)."),
        ({"x": "A A"}, "dims uses A for two sizes, 4 and 3"),
        ({"x": "A 5"}, "the name '5': use letters, or 3 or _"),
        ({"x": "A b-c"}, "the name 'b-c'"),
    ],
)
def test_dims_that_do_not_fit(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trace(forward_cell("x", "return x"), torch.ones(4, 3), dims=given)


def test_dims_may_leave_sizes_out() -> None:
    model = forward_cell("x", "return x.flatten(1)")
    found = trace(model, torch.ones(4, 3, 5, 6), dims={"x": "B, ..., W"})
    assert tuple(f.text for f in found.outputs[0].dims) == ("B", "15·W")
    assert trace(model, torch.ones(4, 3, 5), dims={}).outputs[0].dims[0].text == "4"


def test_the_model_is_left_alone() -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)
            self.last: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            self.last = self.norm(x)
            return self.last

    model = Caching()
    x = torch.randn(4, 3)
    state = torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trace(model, x, dims={"x": "B C"})
    assert model.last is None
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_what_the_module_raises_is_the_callers_to_see() -> None:
    with pytest.raises(RuntimeError, match="invalid for input"):
        solve(
            lambda sizes: Attention(sizes["D"], sizes["heads"]),
            attention_inputs,
            {"B": 2, "N": 5, "D": 12, "heads": 5},
        )


class Pairs(nn.Module):
    """Half of the channels, at least one, of every place with those of every other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv1d(channels, max(1, channels // 2), 1)

    def forward(self, x: Tensor) -> Tensor:
        half = self.narrow(x)
        return torch.matmul(torch.matmul(half.permute(0, 2, 1), half), half.permute(0, 2, 1))


def test_operations_of_another_branch_keep_the_sizes_that_are_one_in_the_run() -> None:
    def inputs(sizes: dict[str, int]) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
        return (torch.empty(sizes["B"], sizes["C"], sizes["T"]),), {}

    def build(sizes: dict[str, int]) -> nn.Module:
        return Pairs(sizes["C"])

    found = solve(build, inputs, {"B": 1, "C": 12, "T": 5})
    for sizes in ({"B": 3, "C": 1, "T": 7}, {"B": 3, "C": 8, "T": 7}, {"B": 1, "C": 1, "T": 2}):
        counted = [each and evaluate(each, sizes) for each in found.flops]
        assert counted == list(measure(build, inputs, sizes).flops)
