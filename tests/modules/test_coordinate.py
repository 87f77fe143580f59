"""Coordinate attention and DyCAConv against their mathematics, written a second time with numpy."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modules.coordinate import (
    COORDATT,
    DYCACONV,
    DYCACONV_MAX,
    CoordAtt,
    DyCAConv,
    DyCAConvMax,
    HSwish,
)
from modules.lesson import Lesson, run, tensor
from tests.effort import TIMES
from tests.together import together

few = settings(max_examples=25 * TIMES, deadline=None)
Weights = dict[str, np.ndarray]
Module = TypeVar("Module", bound=nn.Module)


def draw(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def redraw(model: Module, seed: int = 0) -> Module:
    """New weights and running statistics, in float64."""
    generator = torch.Generator().manual_seed(seed)
    model.double()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.5
                value.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return model


def weights(model: nn.Module) -> Weights:
    return {name: value.detach().clone().numpy() for name, value in model.state_dict().items()}


# --- the mathematics, once more ---------------------------------------------------------------


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def normalise(w: Weights, name: str, x: np.ndarray, training: bool) -> np.ndarray:
    """Batch norm of (B, C, ...)."""
    shape = (1, -1, *[1] * (x.ndim - 2))
    if training:
        axes = (0, *range(2, x.ndim))
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
    else:
        mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    x = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 1e-5)
    return x * w[f"{name}.weight"].reshape(shape) + w[f"{name}.bias"].reshape(shape)


def expected_gates(
    w: Weights, x: np.ndarray, training: bool, maxima: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(B, C', H) and (B, C', W)."""
    strips = [x.mean(axis=3), x.mean(axis=2)]
    if maxima:
        strips = [strips[0] + x.max(axis=3), strips[1] + x.max(axis=2)]
    # One list of H + W positions, as the batch norm is taken over both strips together.
    y = np.concatenate(strips, axis=2)
    y = np.einsum("mc,bcp->bmp", w["conv1.weight"][:, :, 0, 0], y) + w["conv1.bias"][:, None]
    y = normalise(w, "bn1", y, training)
    f = np.where(y <= -3, 0, np.where(y >= 3, y, y * (y + 3) / 6))
    H = x.shape[2]
    gates = []
    for name, part in (("conv_h", f[:, :, :H]), ("conv_w", f[:, :, H:])):
        score = np.einsum("cm,bmp->bcp", w[f"{name}.weight"][:, :, 0, 0], part)
        gates.append(sigmoid(score + w[f"{name}.bias"][:, None]))
    return gates[0], gates[1]


def expected_conv(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, stride: int) -> np.ndarray:
    k = weight.shape[2]
    B, C, H, W = x.shape
    padded = np.zeros((B, C, H + 2 * (k // 2), W + 2 * (k // 2)))
    padded[:, :, k // 2 : k // 2 + H, k // 2 : k // 2 + W] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return np.einsum("ocij,bchwij->bohw", weight, windows) + bias[:, None, None]


def expected(model: CoordAtt, x: Tensor) -> np.ndarray:
    w, values, training = weights(model), x.detach().numpy(), model.training
    a_h, a_w = expected_gates(w, values, training, isinstance(model, DyCAConvMax))
    if not isinstance(model, DyCAConv):
        return np.einsum("bchw,bch,bcw->bchw", values, a_h, a_w)
    logits = values.mean(axis=(2, 3)) @ w["dynamic_weight_fc.0.weight"].T
    logits = np.exp(logits + w["dynamic_weight_fc.0.bias"])
    share = logits / logits.sum(axis=1, keepdims=True)
    gate = np.einsum("b,bcw->bcw", share[:, 0], a_w)[:, :, None, :]
    gate = gate + np.einsum("b,bch->bch", share[:, 1], a_h)[:, :, :, None]
    y = expected_conv(w["conv.0.weight"], w["conv.0.bias"], values * gate, model.conv[0].stride[0])
    y = normalise(w, "conv.1", y, training)
    return y * sigmoid(y)


# --- parity -----------------------------------------------------------------------------------

MODELS = {
    "coordatt": lambda C: CoordAtt(C, C),
    "coordatt-wide": lambda C: CoordAtt(C, C, reduction=1),
    "dycaconv": lambda C: DyCAConv(C, 5, 3, 1),
    "dycaconv-stride": lambda C: DyCAConv(C, 7, 5, 2, reduction=1),
    "dycaconv-even": lambda C: DyCAConv(C, 4, 4, 1),
    "max": lambda C: DyCAConvMax(C, 5, 3, 1),
}


@together("training", [False, True])
@together("shape", [(2, 12, 7, 10), (3, 9, 1, 5), (2, 4, 6, 1), (1, 16, 5, 3)])
@together("name", MODELS)
def test_outputs_are_the_formula(name: str, shape: tuple[int, ...], training: bool) -> None:
    model = redraw(MODELS[name](shape[1])).train(training)
    x = draw(*shape)
    # The statistics that the batch norms keep are not what a training forward uses.
    wanted = expected(model, x)
    np.testing.assert_allclose(model(x).detach().numpy(), wanted, rtol=1e-10, atol=1e-12)


@together("training", [False, True])
@together("name", MODELS)
def test_input_gradients_are_those_of_the_formula(name: str, training: bool) -> None:
    """Against differences of the second implementation."""
    model = redraw(MODELS[name](3)).train(training)
    x = draw(2, 3, 4, 5).requires_grad_()
    out = model(x)
    cotangent = draw(*out.shape, seed=2)
    (gradient,) = torch.autograd.grad(out, x, cotangent)
    direction = draw(2, 3, 4, 5, seed=3)
    step = 1e-6 * direction
    ahead, behind = expected(model, x + step), expected(model, x - step)
    slope = float(((ahead - behind) * cotangent.numpy()).sum() / 2e-6)
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("each", [COORDATT, DYCACONV, DYCACONV_MAX], ids=lambda each: each.key)
def test_float32_agrees_at_the_presets_sizes(each: Lesson) -> None:
    for preset in each.presets:
        if preset.breaks is None:
            chosen = each.settings(preset.name)
            (x,), _ = each.inputs(chosen, "picture", 0)
            model = each.build(chosen).eval()
            with torch.no_grad():
                got = model(x).double().numpy()
                wanted = expected(model.double(), x.double())  # type: ignore[arg-type]
            assert np.abs(got - wanted).max() / np.abs(wanted).max() < 1e-5


def test_hswish_is_torchs() -> None:
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    torch.testing.assert_close(HSwish()(x), nn.functional.hardswish(x))


# --- invariants -------------------------------------------------------------------------------

sizes = st.tuples(
    st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99)
)


@few
@given(sizes)
def test_each_gate_is_constant_along_the_other_direction(size: tuple[int, ...]) -> None:
    b, c, h, w, seed = size
    model = redraw(CoordAtt(c, c), seed).eval()
    x = draw(b, c, h, w, seed=seed)
    a_h, a_w = model.gates(x)
    assert a_h.shape == (b, c, h, 1)
    assert a_w.shape == (b, c, 1, w)
    for gate in (a_h, a_w):
        assert ((gate > 0) & (gate < 1)).all()
    # What is left of x is a product of a row's and a column's factor: of rank one.
    ratio = model(x) / x
    torch.testing.assert_close(ratio, ratio[:, :, :, :1] * ratio[:, :, :1] / ratio[:, :, :1, :1])


@few
@given(sizes)
def test_a_height_gate_does_not_see_the_order_of_columns(size: tuple[int, ...]) -> None:
    b, c, h, w, seed = size
    model = redraw(CoordAtt(c, c), seed).eval()
    x = draw(b, c, h, w, seed=seed)
    order = torch.randperm(w, generator=torch.Generator().manual_seed(seed))
    a_h, a_w = model.gates(x)
    moved_h, moved_w = model.gates(x[:, :, :, order])
    torch.testing.assert_close(moved_h, a_h)
    torch.testing.assert_close(moved_w, a_w[:, :, :, order])


@few
@given(sizes, st.booleans())
def test_the_shares_sum_to_one_and_the_gate_stays_between_its_two(
    size: tuple[int, ...], maxima: bool
) -> None:
    b, c, h, w, seed = size
    model = redraw((DyCAConvMax if maxima else DyCAConv)(c, 2, 1, 1), seed).eval()
    x = draw(b, c, h, w, seed=seed)
    shares = model.dynamic_weight_fc(x.mean(dim=(2, 3)))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(b, dtype=torch.float64))
    seen = []
    model.conv[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(x)
    gate = seen[0] / x
    a_h, a_w = model.gates(x)
    low, high = torch.minimum(a_h, a_w), torch.maximum(a_h, a_w)
    assert ((gate >= low - 1e-9) & (gate <= high + 1e-9)).all()


@few
@given(sizes)
def test_images_do_not_see_each_other(size: tuple[int, ...]) -> None:
    b, c, h, w, seed = size
    for model in (CoordAtt(c, c), DyCAConv(c, 3, 3, 1), DyCAConvMax(c, 3, 3, 1)):
        redraw(model, seed).eval()
        x = draw(b + 1, c, h, w, seed=seed)
        torch.testing.assert_close(model(x)[1:2], model(x[1:2]))


def test_maxima_see_what_means_hardly_notice() -> None:
    x = torch.zeros(1, 4, 6, 40, dtype=torch.float64)
    x[0, 1, 2, 5] = 10.0
    average_h, _ = DyCAConv(4, 4, 3, 1).strips(x)
    h, w = DyCAConvMax(4, 4, 3, 1).strips(x)
    assert average_h[0, 1, 2, 0] == 10 / 40
    assert h[0, 1, 2, 0] == 10 / 40 + 10
    assert w[0, 1, 0, 5] == 10 / 6 + 10
    assert h.sum() == h[0, 1, 2, 0]


# --- arguments and layout -----------------------------------------------------------------------


def norm_layout(name: str, c: int) -> list[tuple[str, tuple[int, ...]]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return [*((f"{name}.{part}", (c,)) for part in parts), (f"{name}.num_batches_tracked", ())]


def gate_layout(inp: int, mip: int, oup: int) -> list[tuple[str, tuple[int, ...]]]:
    return [
        ("conv1.weight", (mip, inp, 1, 1)),
        ("conv1.bias", (mip,)),
        *norm_layout("bn1", mip),
        ("conv_h.weight", (oup, mip, 1, 1)),
        ("conv_h.bias", (oup,)),
        ("conv_w.weight", (oup, mip, 1, 1)),
        ("conv_w.bias", (oup,)),
    ]


def shapes(model: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(value.shape)) for name, value in model.state_dict().items()]


def test_state_dicts_are_laid_out_as_the_originals() -> None:
    assert shapes(CoordAtt(512, 512)) == gate_layout(512, 16, 512)
    assert shapes(CoordAtt(64, 32)) == gate_layout(64, 8, 32)
    head = [
        ("conv.0.weight", (48, 32, 3, 3)),
        ("conv.0.bias", (48,)),
        *norm_layout("conv.1", 48),
        ("dynamic_weight_fc.0.weight", (2, 32)),
        ("dynamic_weight_fc.0.bias", (2,)),
    ]
    for kind in (DyCAConv, DyCAConvMax):
        assert shapes(kind(32, 48, 3, 1)) == [*gate_layout(32, 8, 32), *head]


@pytest.mark.parametrize(
    ("model", "source"),
    [
        (CoordAtt(16, 16), CoordAtt(16, 16)),
        (DyCAConv(16, 8, 3, 1), DyCAConv(16, 8, 3, 1)),
        (DyCAConvMax(16, 8, 3, 1), DyCAConv(16, 8, 3, 1)),
    ],
)
def test_weights_load(model: nn.Module, source: nn.Module) -> None:
    state = redraw(source, 7).state_dict()
    model.double().load_state_dict(state)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (CoordAtt(64, 64), 1688),
        (DyCAConv(32, 48, 3, 1), 14890),
        (DyCAConvMax(32, 48, 3, 1), 14890),
    ],
)
def test_parameter_counts_are_those_of_the_originals(model: nn.Module, count: int) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(("inp", "reduction", "mip"), [(64, 32, 8), (288, 32, 9), (40, 4, 10)])
def test_hidden_channels(inp: int, reduction: int, mip: int) -> None:
    assert CoordAtt(inp, inp, reduction).conv1.out_channels == mip


def test_bad_arguments_get_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"^reduction is 0: use 1 or more\.$"):
        CoordAtt(8, 8, 0)
    with pytest.raises(ValueError, match=r"^oup is 0: use 1 or more\.$"):
        DyCAConv(8, 0, 3, 1)
    with pytest.raises(ValueError, match="kernel_size is 0: use"):
        DyCAConvMax(8, 8, 0, 1)
    with pytest.raises(ValueError, match="stride is -1: use"):
        DyCAConv(8, 8, 3, -1)


# --- lessons ------------------------------------------------------------------------------------

GATES = {
    "x_column": (20, 1),
    "y": (34, 1),
    "y_small": (34, 1),
    "f": (34, 1),
    "f_h": (14, 1),
    "f_column": (20, 1),
    "f_w": (1, 20),
    "score_h": (14, 1),
    "a_h": (14, 1),
    "score_w": (1, 20),
    "a_w": (1, 20),
}
STRIPS = {"x_h": (14, 1), "x_w": (1, 20)}
HEAD = {
    "x_avg_pool": (2, 32, 1, 1),
    "x_avg_flat": (2, 32),
    "dynamic_weights": (2, 2),
    "share_w": (2,),
    "w_0": (2, 1, 1, 1),
    "share_h": (2,),
    "w_1": (2, 1, 1, 1),
    "part_w": (2, 32, 1, 20),
    "part_h": (2, 32, 14, 1),
    "gate": (2, 32, 14, 20),
    "weighed": (2, 32, 14, 20),
    "out": (2, 48, 14, 20),
}
NARROW = ("y_small", "f", "f_h", "f_column", "f_w")


def gate_shapes(C: int) -> dict[str, tuple[int, ...]]:
    return {name: (2, 8 if name in NARROW else C, *shape) for name, shape in GATES.items()}


@pytest.mark.parametrize(
    ("each", "wanted", "out"),
    [
        (COORDATT, gate_shapes(64) | {k: (2, 64, *v) for k, v in STRIPS.items()}, 64),
        (DYCACONV, gate_shapes(32) | {k: (2, 32, *v) for k, v in STRIPS.items()} | HEAD, 48),
        (
            DYCACONV_MAX,
            gate_shapes(32)
            | dict.fromkeys(("max_h", "x_h"), (2, 32, 14, 1))
            | dict.fromkeys(("max_w", "x_w"), (2, 32, 1, 20))
            | HEAD,
            48,
        ),
    ],
    ids=lambda value: value.key if isinstance(value, Lesson) else "",
)
def test_shapes_are_those_recorded_of_the_original(
    each: Lesson, wanted: dict[str, tuple[int, ...]], out: int
) -> None:
    trace = run(each, each.settings(), values=False)
    assert {name: tensor(trace, name).shape for name in wanted} == wanted
    assert [note.shape for note in trace.outputs] == [(2, out, 14, 20)]


@pytest.mark.parametrize(
    ("each", "preset", "expression", "module"),
    [
        (COORDATT, "Breaks: oup is not C", "x * a_w", ""),
        (DYCACONV, "Breaks: one value to normalise", "self.conv[1](out)", "conv.1"),
        (DYCACONV_MAX, "Breaks: nn.MaxPool2d((1, None))", "self.pool_w1(x)", "pool_w1"),
    ],
    ids=lambda value: value.key if isinstance(value, Lesson) else "",
)
def test_breaking_presets_stop_at_the_expression(
    each: Lesson, preset: str, expression: str, module: str
) -> None:
    chosen = each.preset(preset)
    for values in (False, True):
        trace = run(
            each, each.settings(preset), values=values, training=chosen.training, diagnose=False
        )
        assert trace.failure is not None
        assert trace.failure.type == chosen.breaks
        assert trace.failure.expression == expression
        assert trace.failure.module == module


def test_max_pool_with_none_can_be_built_but_not_run() -> None:
    model = DyCAConvMax(4, 4, 3, 1, max_pool=nn.MaxPool2d)
    with pytest.raises(TypeError):
        model(draw(1, 4, 5, 5).float())


def test_even_kernels_grow_the_map_and_stride_halves_it() -> None:
    outputs = {
        preset.name: run(DYCACONV, DYCACONV.settings(preset.name), values=False).outputs
        for preset in DYCACONV.presets
    }
    assert outputs["Even kernel"][0].shape == (2, 48, 6, 7)
    assert outputs["Stride 2"][0].shape == (2, 64, 8, 11)


@together(
    ("each", "settings", "says"),
    [
        (DYCACONV, {"kernel_size": 4}, "the convolution brings the channels to oup"),
        (DYCACONV, {"C": 128}, "the strips have C / reduction channels"),
        (DYCACONV_MAX, {"max_pool": "MaxPool2d"}, "to be of use they are applied"),
        (DYCACONV, {"H": 14, "W": 14}, None),
    ],
)
def test_rules_are_checked_on_the_run(
    each: Lesson, settings: dict[str, object], says: str | None
) -> None:
    trace = run(each, {**each.settings(), **settings}, values=False, diagnose=False)
    for claim in each.claims:
        if says is not None and claim.says.startswith(says):
            assert not claim.holds(trace)
        elif says is None and claim.verdict == "slip":
            # A square map makes none of the slips true.
            assert not claim.holds(trace)


def test_the_formulas_stand_side_by_side() -> None:
    # Streamlit takes a formula over several lines only if its dollars have lines of their own.
    fences = [line for line in DYCACONV.about.split("\n") if "$$" in line]
    assert fences == ["$$"] * 4
    for number in range(1, 7):
        # Marked in both formulas, explained below them.
        assert DYCACONV.about.count(f"({number})") >= 2
        assert f"\n{number}. " in DYCACONV.about
