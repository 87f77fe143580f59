"""SE against its mathematics, written a second time with numpy, and beside ECA."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.eca import ECALayer
from modules.lesson import prepare, run, tensor
from modules.squeeze_excite import LESSON, SEBesideECA, SELayer
from tests.effort import TIMES
from tests.together import together
from tests.traces import claims

few = settings(max_examples=25 * TIMES, deadline=None)


def draw(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def se(channel: int, reduction: int, seed: int = 3) -> SELayer:
    model = SELayer(channel, reduction).double()
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + number))
    return model


def gate_of(model: SELayer, x: Tensor) -> Tensor:
    return (model(x) / x)[:, :, 0, 0]


# --- parity -----------------------------------------------------------------------------------


@together("training", [False, True])
@together("reduction", [1, 4, 7, 16])
@together("shape", [(2, 16, 5, 7), (1, 33, 1, 1), (3, 64, 14, 14)])
def test_output_is_the_formula(shape: tuple[int, ...], reduction: int, training: bool) -> None:
    model = se(shape[1], reduction).train(training)
    first, second = (parameter.detach().numpy() for parameter in model.parameters())
    x = draw(*shape)
    z = x.numpy().sum(axis=(2, 3)) / (shape[2] * shape[3])
    score = np.maximum(z @ first.T, 0) @ second.T
    expected = x.numpy() / (1 + np.exp(-score))[:, :, None, None]
    np.testing.assert_allclose(model(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_input_gradients_are_those_of_the_formula() -> None:
    model = se(12, 3)
    first, second = (parameter.detach() for parameter in model.parameters())
    x = draw(2, 12, 3, 5).requires_grad_()
    cotangent = draw(2, 12, 3, 5, seed=2)
    z = torch.einsum("bchw->bc", x) / 15
    hidden = torch.einsum("hc,bc->bh", first, z)
    score = torch.einsum("ch,bh->bc", second, hidden * (hidden > 0))
    expected = torch.einsum("bchw,bc->bchw", x, 1 / (1 + torch.exp(-score)))
    (wanted,) = torch.autograd.grad(expected, x, cotangent)
    (got,) = torch.autograd.grad(model(x), x, cotangent)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def test_every_parameter_gets_a_gradient() -> None:
    model = se(16, 4)
    (model(draw(2, 16, 4, 4)) * draw(2, 16, 4, 4, seed=5)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_float32_agrees() -> None:
    model = se(64, 16)
    x = draw(2, 64, 14, 14)
    with torch.no_grad():
        wanted = model(x)
        got = model.float()(x.float())
    assert (got - wanted).abs().max() / wanted.abs().max() < 1e-5


# --- invariants -------------------------------------------------------------------------------

sizes = st.tuples(
    st.integers(1, 3), st.integers(2, 12), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99)
)


@few
@given(sizes, st.integers(1, 12))
def test_gates_lie_between_zero_and_one_and_do_not_see_where(
    size: tuple[int, ...], reduction: int
) -> None:
    b, c, h, w, seed = size
    model = se(c, min(reduction, c), seed)
    x = draw(b, c, h, w, seed=seed).abs() + 0.5
    gate = gate_of(model, x)
    assert (gate > 0).all()
    assert (gate < 1).all()
    order = torch.randperm(h * w, generator=torch.Generator().manual_seed(seed))
    shuffled = x.flatten(2)[:, :, order].view_as(x)
    torch.testing.assert_close(gate_of(model, shuffled), gate, rtol=1e-9, atol=1e-9)


@few
@given(st.integers(2, 12), st.integers(0, 11), st.integers(0, 99))
def test_a_gate_depends_on_all_channels(channels: int, changed: int, seed: int) -> None:
    """With positive weights the ReLU lets all pass: whichever channel changes, all gates do."""
    model = se(channels, 1, seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_().add_(0.1).div_(channels)
    x = torch.full((1, channels, 2, 3), 0.2, dtype=torch.float64)
    other = x.clone()
    other[:, changed % channels] = 0.5
    assert ((gate_of(model, x) - gate_of(model, other)).abs() > 1e-9).all()


def test_images_of_a_batch_do_not_see_each_other() -> None:
    model = se(8, 2)
    x = draw(3, 8, 4, 5)
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]))


def test_the_input_is_left_alone() -> None:
    x = draw(2, 8, 4, 4)
    before = x.clone()
    se(8, 2)(x)
    assert torch.equal(x, before)


# --- state dict -------------------------------------------------------------------------------


def test_state_dict_is_laid_out_and_loads_as_the_original() -> None:
    layout = {"fc.0.weight": (4, 64), "fc.2.weight": (64, 4)}
    model = SELayer(64)
    assert {name: tuple(v.shape) for name, v in model.state_dict().items()} == layout
    assert list(model.state_dict()) == list(layout)
    state = {name: torch.randn(shape) for name, shape in layout.items()}
    model.load_state_dict(state)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert sum(parameter.numel() for parameter in model.parameters()) == 512


# --- the lesson ---------------------------------------------------------------------------------


def test_shapes_are_those_of_the_reference() -> None:
    trace = run(LESSON, LESSON.settings(), values=False)
    assert [note.shape for step in trace.steps for note in step.outputs] == [
        (2, 64, 1, 1),
        (2, 64),
        (2, 4),
        (2, 4),
        (2, 64),
        (2, 64),
        (2, 64, 1, 1),
        (2, 64, 14, 14),
        (2, 64, 14, 14),
    ]


def test_the_breaking_preset_stops_where_the_reason_is() -> None:
    failure = run(LESSON, LESSON.settings("Breaks: made for other channels"), mend=False).failure
    assert failure is not None
    assert failure.expression == "reduce(z)"
    assert "2x64 and 32x2" in failure.message


def test_the_comparison_runs_both_on_the_same_input() -> None:
    model, (x,), _ = prepare(LESSON, LESSON.settings("Beside ECA"))
    assert isinstance(model, SEBesideECA)
    assert isinstance(model.eca, ECALayer)
    by_se, by_eca = model(x)
    torch.testing.assert_close(by_se, model.se(x))
    torch.testing.assert_close(by_eca, model.eca(x))
    assert not torch.allclose(by_se, by_eca)


@pytest.mark.parametrize("name", ["Beside ECA", "Wide"])
def test_the_comparison_counts_the_weights(name: str) -> None:
    model, _, _ = prepare(LESSON, LESSON.settings(name), values=False)
    stated = [int(number) for number in re.findall(r"\d+", LESSON.preset(name).note)]
    for part in (model.se, model.eca):
        assert sum(parameter.numel() for parameter in part.parameters()) in stated


def test_the_picture_has_something_to_squeeze() -> None:
    trace = run(LESSON, LESSON.settings())
    z = tensor(trace, "z").stats
    assert z is not None
    assert z.minimum > 0
    assert z.std > 0.05


def test_what_is_found_of_a_claim_is_said_in_numbers() -> None:
    found = {checked.claim.says: str(checked.found) for checked in claims(LESSON)}
    assert found["ECA relates neighbouring channels instead of all"] == (
        "a weight depends on 64 channels in SE, on 3 in ECA"
    )


def test_a_claim_is_checked_on_the_run() -> None:
    fewer = next(claim for claim in LESSON.claims if "made fewer" in claim.says)
    wide = run(LESSON, {**LESSON.settings(), "reduction": 1}, values=False)
    assert not fewer.holds(wide)
    neighbours = next(claim for claim in LESSON.claims if "neighbouring" in claim.says)
    few_channels = {**LESSON.settings("Beside ECA"), "C": 2, "reduction": 1}
    assert not neighbours.holds(run(LESSON, few_channels, values=False))


def test_quotations_are_verbatim() -> None:
    posts = list((Path(__file__).parents[3] / "shared" / "posts").glob("001_*.txt"))
    if not posts:
        pytest.skip("the posts are not beside the project")
    lines = posts[0].read_text(encoding="utf-8").split("\n")
    for claim in LESSON.claims:
        assert any(claim.quote in line for line in lines), claim.quote


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "channel is 0: use 1 or more"),
        ((8,), "reduction is 16 and leaves no channel of 8: use a number from 1 to 8"),
        ((8, 0), "reduction is 0"),
    ],
)
def test_a_bad_argument_gets_a_sentence(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SELayer(*arguments)
