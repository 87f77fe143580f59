"""The non-local block against its mathematics, written a second time with numpy."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modules.lesson import Lesson, run, tensor
from modules.non_local import MODES, NON_LOCAL, NON_LOCAL_1D, NON_LOCAL_3D, NonLocalBlock
from tests.effort import TIMES
from tests.together import together
from tracer.source.notes import placeholders

LESSONS = (NON_LOCAL, NON_LOCAL_1D, NON_LOCAL_3D)
few = settings(max_examples=25 * TIMES, deadline=None)
Weights = dict[str, np.ndarray]


def draw(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def redraw(model: NonLocalBlock, seed: int = 0) -> NonLocalBlock:
    """New weights and running statistics: a fresh block returns its input, and a test on that
    would prove nothing."""
    generator = torch.Generator().manual_seed(seed)
    model.double()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.5
                value.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return model


# --- the mathematics, once more ---------------------------------------------------------------


def pool(x: np.ndarray, dimension: int) -> np.ndarray:
    """The larger of neighbours along the last dimension, and the last but one if there are two
    or more; what has no partner is left out."""
    for axis in (2,) if dimension == 1 else (dimension, dimension + 1):
        x = np.moveaxis(x, axis, 0)
        pairs = len(x) // 2
        x = np.maximum(x[: 2 * pairs : 2], x[1 : 2 * pairs : 2])
        x = np.moveaxis(x, 0, axis)
    return x


def expected(model: NonLocalBlock, x: Tensor) -> np.ndarray:
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    values, dimension = x.detach().numpy(), model.dimension

    def project(name: str, source: np.ndarray) -> np.ndarray:
        if f"{name}.weight" not in state:
            name += ".0"
        weight = state[f"{name}.weight"].reshape(-1, source.shape[1])
        out = np.tensordot(weight, source, axes=(1, 1)).swapaxes(0, 1)
        return out + state[f"{name}.bias"].reshape(1, -1, *[1] * dimension)

    def keys(source: np.ndarray) -> np.ndarray:
        source = pool(source, dimension) if model.sub_sample else source
        return source.reshape(*source.shape[:2], -1)

    def flat(source: np.ndarray) -> np.ndarray:
        return source.reshape(*source.shape[:2], -1)

    if model.mode == "gaussian":
        theta, phi = flat(values), keys(values)
    else:
        theta, phi = flat(project("theta", values)), keys(project("phi", values))
    if model.mode == "concatenation":
        weight = state["concat_project.0.weight"].ravel()
        half = len(weight) // 2
        left = np.einsum("c,bcn->bn", weight[:half], theta)
        right = np.einsum("c,bck->bk", weight[half:], phi)
        f = np.maximum(left[:, :, None] + right[:, None, :], 0) / phi.shape[2]
    else:
        f = np.einsum("bcn,bck->bnk", theta, phi)
        if model.mode == "dot_product":
            f = f / phi.shape[2]
        else:
            f = np.exp(f - f.max(axis=2, keepdims=True))
            f = f / f.sum(axis=2, keepdims=True)
    y = np.einsum("bnk,bck->bcn", f, keys(project("g", values)))
    out = project("W", y.reshape(*y.shape[:2], *values.shape[2:]))
    if "W.1.weight" in state:
        axes = (0, *range(2, out.ndim))
        if model.training:
            mean, variance = out.mean(axis=axes), out.var(axis=axes)
        else:
            mean, variance = state["W.1.running_mean"], state["W.1.running_var"]
        shape = (1, -1, *[1] * dimension)
        out = (out - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 1e-5)
        out = out * state["W.1.weight"].reshape(shape) + state["W.1.bias"].reshape(shape)
    return out + values


# --- parity -----------------------------------------------------------------------------------

SHAPES = {1: (2, 5, 7), 2: (2, 5, 4, 7), 3: (2, 5, 3, 5, 4)}
dimensions = pytest.mark.parametrize("dimension", [1, 2, 3])
modes = pytest.mark.parametrize("mode", MODES)
pooled = pytest.mark.parametrize("sub_sample", [False, True])


@dimensions
@modes
@pooled
@pytest.mark.parametrize("bn_layer", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_outputs_are_the_formula(
    dimension: int, mode: str, sub_sample: bool, bn_layer: bool, training: bool
) -> None:
    model = NonLocalBlock(5, 3, dimension, mode, sub_sample, bn_layer).train(training)
    redraw(model)
    x = draw(*SHAPES[dimension])
    wanted = expected(model, x)
    got = model(x)
    np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=1e-9, atol=1e-10)
    assert (got - x).abs().mean() > 0.05


@modes
@pooled
def test_the_matrix_of_pairs_is_returned_as_the_original_returns_it(
    mode: str, sub_sample: bool
) -> None:
    model = redraw(NonLocalBlock(5, 3, 2, mode, sub_sample))
    x = draw(*SHAPES[2])
    z, pairs = model(x, return_nl_map=True)
    assert torch.equal(z, model(x))
    assert pairs.shape == (2, 4 * 7, 2 * 3 if sub_sample else 4 * 7)
    if mode.endswith("gaussian"):
        assert torch.allclose(pairs.sum(2), torch.ones(2, 4 * 7, dtype=torch.float64))


@dimensions
@modes
@pooled
@pytest.mark.parametrize("training", [False, True])
def test_input_gradients_are_those_of_the_formula(
    dimension: int, mode: str, sub_sample: bool, training: bool
) -> None:
    """Against differences of the second implementation."""
    model = redraw(NonLocalBlock(5, None, dimension, mode, sub_sample).train(training))
    x = draw(*SHAPES[dimension]).requires_grad_()
    cotangent, direction = draw(*x.shape, seed=2), draw(*x.shape, seed=3)
    (gradient,) = torch.autograd.grad(model(x), x, cotangent)
    step = 1e-6 * direction
    difference = expected(model, x + step) - expected(model, x - step)
    slope = float((difference * cotangent.numpy()).sum() / 2e-6)
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("each", LESSONS, ids=lambda each: each.key)
def test_float32_agrees_at_the_presets_sizes(each: Lesson) -> None:
    for preset in each.presets:
        if preset.breaks is None and preset.values:
            chosen = each.settings(preset.name)
            (x,), _ = each.inputs(chosen, "picture", 0)
            model = redraw(each.build(chosen)).eval()  # type: ignore[arg-type]
            with torch.no_grad():
                wanted = expected(model, x.double())
                got = model.float()(x).double().numpy()
            assert np.abs(got - wanted).max() / np.abs(wanted).max() < 1e-5


@modes
def test_every_parameter_gets_a_gradient(mode: str) -> None:
    model = redraw(NonLocalBlock(4, mode=mode).train())
    model(draw(2, 4, 6, 6)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


# --- invariants -------------------------------------------------------------------------------

blocks = st.tuples(
    st.integers(1, 3), st.sampled_from(MODES), st.booleans(), st.booleans(), st.integers(0, 99)
)


@few
@given(blocks, st.booleans(), st.integers(1, 9))
def test_a_fresh_block_returns_its_input(
    block: tuple[int, str, bool, bool, int], training: bool, channels: int
) -> None:
    dimension, mode, sub_sample, bn_layer, seed = block
    model = NonLocalBlock(channels, None, dimension, mode, sub_sample, bn_layer)
    x = draw(2, channels, *SHAPES[dimension][2:], seed=seed).float()
    assert torch.equal(model.train(training)(x), x)


@few
@given(blocks)
def test_a_redrawn_block_keeps_the_shape_and_images_do_not_see_each_other(
    block: tuple[int, str, bool, bool, int],
) -> None:
    dimension, mode, sub_sample, bn_layer, seed = block
    model = redraw(NonLocalBlock(5, None, dimension, mode, sub_sample, bn_layer), seed).eval()
    x = draw(*SHAPES[dimension], seed=seed)
    assert model(x).shape == x.shape
    torch.testing.assert_close(model(x)[1:], model(x[1:]))


@few
@given(blocks)
def test_without_pooling_shuffled_places_give_the_same_shuffled(
    block: tuple[int, str, bool, bool, int],
) -> None:
    dimension, mode, _, bn_layer, seed = block
    model = redraw(NonLocalBlock(5, None, dimension, mode, False, bn_layer), seed).eval()
    x = draw(*SHAPES[dimension], seed=seed)
    order = torch.randperm(x[0, 0].numel(), generator=torch.Generator().manual_seed(seed))

    def shuffled(value: Tensor) -> Tensor:
        return value.flatten(2)[:, :, order].view_as(value)

    torch.testing.assert_close(model(shuffled(x)), shuffled(model(x)), rtol=1e-8, atol=1e-8)


@few
@given(blocks)
def test_rows_sum_to_one_in_the_softmax_modes_only(block: tuple[int, str, bool, bool, int]) -> None:
    dimension, mode, sub_sample, _, seed = block
    model = redraw(NonLocalBlock(5, None, dimension, mode, sub_sample), seed)
    x = draw(*SHAPES[dimension], seed=seed)
    f = getattr(model, mode)(x)
    sums = f.sum(dim=2)
    softmax = mode in ("gaussian", "embedded_gaussian")
    assert torch.allclose(sums, torch.ones_like(sums)) == softmax
    assert (f >= 0).all() or mode == "dot_product"


@few
@given(st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_the_bias_of_phi_cancels_in_the_embedded_gaussian(
    dimension: int, sub_sample: bool, seed: int
) -> None:
    x = draw(*SHAPES[dimension], seed=seed)
    for mode, cancels in (("embedded_gaussian", True), ("dot_product", False)):
        model = redraw(NonLocalBlock(5, None, dimension, mode, sub_sample), seed).eval()
        before = model(x)
        bias = model.state_dict()["phi.0.bias" if sub_sample else "phi.bias"]
        with torch.no_grad():
            bias += 1.0
        assert torch.allclose(model(x), before, rtol=1e-8, atol=1e-8) == cancels


# --- arguments and layout -----------------------------------------------------------------------


def layout(
    mode: str, sub_sample: bool, bn_layer: bool, ones: tuple[int, ...]
) -> list[tuple[str, tuple[int, ...]]]:
    """As the original's files register it, for 6 channels and 3 inside."""
    inside, nested = (3, 6, *ones), ".0" if sub_sample else ""
    found: list[tuple[str, tuple[int, ...]]] = [
        (f"g{nested}.weight", inside),
        (f"g{nested}.bias", (3,)),
    ]
    W = "W.0" if bn_layer else "W"
    found += [(f"{W}.weight", (6, 3, *ones)), (f"{W}.bias", (6,))]
    if bn_layer:
        names = ("weight", "bias", "running_mean", "running_var")
        found += [(f"W.1.{name}", (6,)) for name in names]
        found += [("W.1.num_batches_tracked", ())]
    if mode != "gaussian":
        found += [("theta.weight", inside), ("theta.bias", (3,))]
        found += [(f"phi{nested}.weight", inside), (f"phi{nested}.bias", (3,))]
    if mode == "concatenation":
        found += [("concat_project.0.weight", (1, 6, 1, 1))]
    return found


@dimensions
@modes
@pooled
@pytest.mark.parametrize("bn_layer", [False, True])
def test_state_dicts_are_laid_out_as_the_original(
    dimension: int, mode: str, sub_sample: bool, bn_layer: bool
) -> None:
    model = NonLocalBlock(6, None, dimension, mode, sub_sample, bn_layer)
    wanted = layout(mode, sub_sample, bn_layer, (1,) * dimension)
    # A layer that is replaced by one around it keeps its place.
    assert [(name, tuple(v.shape)) for name, v in model.state_dict().items()] == wanted
    generator = torch.Generator().manual_seed(5)
    state = {name: torch.randn(shape, generator=generator) for name, shape in wanted}
    model.load_state_dict(state)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, state[name])


@together(
    ("model", "count"),
    [
        (NonLocalBlock(3, sub_sample=False), 16),
        (NonLocalBlock(3, 3, sub_sample=False), 30),
        (NonLocalBlock(3, mode="embedded_gaussian"), 24),
        (NonLocalBlock(3, mode="dot_product", sub_sample=False), 24),
        (NonLocalBlock(3, mode="concatenation", sub_sample=False), 26),
    ],
)
def test_parameter_counts_are_those_of_the_original(model: nn.Module, count: int) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_defaults_are_those_of_the_original() -> None:
    model = NonLocalBlock(7)
    assert (model.inter_channels, model.sub_sample, model.dimension) == (3, True, 2)
    assert NonLocalBlock(1).inter_channels == 1
    assert isinstance(model.W, nn.Sequential)
    assert model.mode == "gaussian"


def test_bad_arguments_get_a_sentence() -> None:
    for arguments, message in (
        ({"dimension": 4}, "dimension is 4: use 1, 2 or 3."),
        ({"mode": "cosine"}, "mode is 'cosine': use one of gaussian, embedded_gaussian, dot_"),
        ({"inter_channels": 0}, "inter_channels is 0: use 1 or more, or None."),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            NonLocalBlock(8, **arguments)
    with pytest.raises(ValueError, match="in_channels is 0: use 1 or more"):
        NonLocalBlock(0)


@together("shape", [(2, 4, 8), (2, 8, 4), (2, 4, 2, 2, 2), (4, 6)])
def test_an_input_that_does_not_fit_gets_a_sentence(shape: tuple[int, ...]) -> None:
    """A view would take some of them and mix channels with places."""
    with pytest.raises(ValueError, match=re.escape(f"x is {shape}: a block of dimension 2 wants")):
        NonLocalBlock(4)(torch.zeros(shape))


# --- lessons ------------------------------------------------------------------------------------


def pairs(inter: int, keys: int) -> dict[str, tuple[int, ...]]:
    """The shapes that all modes share, at the post's size."""
    return {
        "g_flat": (6, inter, keys),
        "g_x": (6, keys, inter),
        "f": (6, 100, keys),
        "f_div_C": (6, 100, keys),
        "y_rows": (6, 100, inter),
        "y_flat": (6, inter, 100),
        "y": (6, inter, 10, 10),
        "W_y": (6, 3, 10, 10),
    }


SIDES = {"theta_x": (6, 100, 3), "phi_x": (6, 3, 100)}


@together(
    ("change", "wanted"),
    [
        ({}, pairs(3, 100) | SIDES),
        ({"inter_channels": "half of C"}, pairs(1, 100) | SIDES),
        (
            {"inter_channels": "half of C", "sub_sample": True},
            pairs(1, 25) | SIDES | {"x_map": (6, 3, 5, 5), "phi_x": (6, 3, 25)},
        ),
        (
            {"inter_channels": "half of C", "sub_sample": True, "mode": "embedded_gaussian"},
            pairs(1, 25)
            | {"theta_map": (6, 1, 10, 10), "theta_flat": (6, 1, 100), "theta_x": (6, 100, 1)}
            | {"phi_map": (6, 1, 5, 5), "phi_x": (6, 1, 25)},
        ),
        (
            {"inter_channels": "half of C", "mode": "dot_product"},
            pairs(1, 100) | {"theta_x": (6, 100, 1), "phi_x": (6, 1, 100)},
        ),
        (
            {"inter_channels": "half of C", "mode": "concatenation"},
            pairs(1, 100)
            | {"theta_x": (6, 1, 100, 1), "phi_x": (6, 1, 1, 100)}
            | {"theta_pairs": (6, 1, 100, 100), "phi_pairs": (6, 1, 100, 100)}
            | {"concat_feature": (6, 2, 100, 100), "f_map": (6, 1, 100, 100)},
        ),
    ],
)
def test_shapes_are_those_recorded_of_the_original(
    change: dict[str, object], wanted: dict[str, tuple[int, ...]]
) -> None:
    trace = run(NON_LOCAL, {**NON_LOCAL.settings(), **change}, values=False)
    assert {name: tensor(trace, name).shape for name in wanted} == wanted
    assert [note.shape for note in trace.outputs] == [(6, 3, 10, 10)]


@together(
    ("each", "preset", "shape"),
    [
        (NON_LOCAL, "Large map", (32, 32768, 32768)),
        (NON_LOCAL_1D, "Signers", (2, 46, 46)),
        (NON_LOCAL_1D, "Embedded Gaussian, odd length", (2, 11, 5)),
        (NON_LOCAL_3D, "Camera pan", (1, 560, 140)),
        (NON_LOCAL_3D, "Without pooling", (2, 90, 90)),
        (NON_LOCAL_3D, "Odd sizes", (2, 90, 18)),
        (NON_LOCAL_3D, "Late map of a film network", (8, 50176, 12544)),
    ],
)
def test_the_matrix_of_pairs(each: Lesson, preset: str, shape: tuple[int, ...]) -> None:
    trace = run(each, each.settings(preset), values=False)
    assert tensor(trace, "f_div_C").shape == shape
    note = each.preset(preset).note
    stated = re.search(r"(\([\d, ]+\)) alone takes ([\d.]+) GB", note)
    assert (stated is not None) == (not each.preset(preset).values)
    if stated is not None:
        assert stated[1] == str(shape)
        assert float(stated[2]) == pytest.approx(4 * np.prod(shape, dtype=float) / 1e9, rel=0.01)


@pytest.mark.parametrize("each", LESSONS, ids=lambda each: each.key)
@modes
@pooled
@pytest.mark.parametrize("bn_layer", [False, True])
def test_every_change_of_shape_has_a_note_in_every_mode(
    each: Lesson, mode: str, sub_sample: bool, bn_layer: bool
) -> None:
    options = {"mode": mode, "sub_sample": sub_sample, "bn_layer": bn_layer}
    trace = run(each, {**each.settings(), **options}, values=False)
    assert trace.failure is None
    for step in trace.steps:
        assert not placeholders(step.note), step.note
        if step.outputs[0].shape != step.inputs[0].shape:
            assert step.note, step.expression


@together(
    ("each", "preset", "expression"),
    [
        (NON_LOCAL, "Breaks: sub_sample on one row", "pool(g_map)"),
        (NON_LOCAL, "Breaks: one value to normalise", "norm(W_y)"),
        (NON_LOCAL_1D, "Breaks: sub_sample on one frame", "pool(g_map)"),
        (NON_LOCAL_1D, "Breaks: one value to normalise", "norm(W_y)"),
        (NON_LOCAL_3D, "Breaks: sub_sample on one row", "pool(g_map)"),
    ],
)
def test_breaking_presets_stop_at_the_expression(
    each: Lesson, preset: str, expression: str
) -> None:
    chosen = each.preset(preset)
    for values in (False, True):
        trace = run(
            each, each.settings(preset), values=values, training=chosen.training, diagnose=False
        )
        assert trace.failure is not None
        assert trace.failure.type == chosen.breaks
        assert trace.failure.expression == expression


def test_the_map_of_pairs_shows_the_picture() -> None:
    """Without weights: places look at places like themselves more than at others."""
    trace = run(NON_LOCAL, NON_LOCAL.settings("Horses"))
    stats = tensor(trace, "f_div_C").stats
    assert stats is not None
    assert stats.mean == pytest.approx(1 / (20 * 28), rel=1e-4)
    assert stats.std is not None
    # Even shares would not differ at all.
    assert stats.std > 5 / (20 * 28)


def test_frames_of_the_film_follow_each_other() -> None:
    chosen = NON_LOCAL_3D.settings("Camera pan")
    (x,), _ = NON_LOCAL_3D.inputs(chosen, "picture", 0)
    assert x.shape == (1, 12, 4, 10, 14)
    for t in range(3):
        # The camera moves right, so the scene moves left.
        assert torch.equal(x[:, :, t + 1, :, :-1], x[:, :, t, :, 1:])
        assert not torch.equal(x[:, :, t + 1], x[:, :, t])


@pytest.mark.parametrize("each", LESSONS, ids=lambda each: each.key)
def test_inputs_of_every_kind_fit(each: Lesson) -> None:
    chosen = each.settings()
    shape = tuple(chosen[letter] for letter in each.dims["x"].split())
    for kind in (*each.kinds, "shape"):
        (x,), kwargs = each.inputs(chosen, kind, 3)  # type: ignore[arg-type]
        assert x.shape == shape
        assert x.is_contiguous()
        assert not kwargs
    (ramp,), _ = each.inputs(chosen, "ramp", 0)
    assert torch.equal(ramp.flatten(), torch.arange(ramp.numel(), dtype=torch.float32))


@together(
    ("change", "says"),
    [
        ({"mode": "concatenation"}, "the product holds the inner product"),
        ({"mode": "dot_product"}, "each row of the matrix of pairs becomes shares"),
        ({"sub_sample": True}, "phi_x is not permuted"),
        ({"sub_sample": True}, "T', phi_x in the code"),
        ({"inter_channels": 1}, "g_x is (6,100,3)"),
        ({"sub_sample": False}, "with sub_sample the shapes still fit"),
        ({"mode": "embedded_gaussian"}, "a place's vector holds"),
    ],
)
def test_what_a_claim_depends_on_undoes_it(change: dict[str, object], says: str) -> None:
    trace = run(NON_LOCAL, {**NON_LOCAL.settings(), **change}, values=False)
    (claim, *_) = (claim for claim in NON_LOCAL.claims if claim.says.startswith(says))
    assert not claim.holds(trace)
