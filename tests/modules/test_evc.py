"""The codebook and the blocks around it against their mathematics, written a second time with
numpy."""

from __future__ import annotations

import math
import re
from typing import TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modules.evc import (
    CODES,
    ENCODING,
    EVC,
    LIGHT_MLP,
    LVC,
    DropPath,
    Encoding,
    EVCBlock,
    LightMLPBlock,
    LVCBlock,
)
from modules.lesson import Lesson, run, tensor
from tests.effort import TIMES
from tests.together import together

LESSONS = (ENCODING, LVC, LIGHT_MLP, EVC)
few = settings(max_examples=25 * TIMES, deadline=None)
Weights = dict[str, np.ndarray]
Module = TypeVar("Module", bound=nn.Module)


def draw(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def redraw(model: Module, seed: int = 0) -> Module:
    """New weights and running statistics, in float64.  Factors that start near 0, as those of
    the MLP's branches do, would hide what they multiply."""
    generator = torch.Generator().manual_seed(seed)
    model.double()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.5
                value.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return model


# --- the mathematics, once more ---------------------------------------------------------------


class Mathematics:
    """The formulas over a module's weights; `training` takes the statistics of the batch."""

    def __init__(self, model: nn.Module) -> None:
        self.w = {name: value.detach().numpy() for name, value in model.state_dict().items()}
        self.training = model.training

    def norm(self, name: str, x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
        shape = (1, -1, *[1] * (x.ndim - 2))
        if self.training:
            axes = (0, *range(2, x.ndim))
            mean, variance = x.mean(axis=axes), x.var(axis=axes)
        else:
            mean, variance = self.w[f"{name}.running_mean"], self.w[f"{name}.running_var"]
        x = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + eps)
        return x * self.w[f"{name}.weight"].reshape(shape) + self.w[f"{name}.bias"].reshape(shape)

    def group_norm(self, name: str, x: np.ndarray) -> np.ndarray:
        mean = x.mean(axis=(1, 2, 3), keepdims=True)
        x = (x - mean) / np.sqrt(x.var(axis=(1, 2, 3), keepdims=True) + 1e-5)
        return x * self.w[f"{name}.weight"][:, None, None] + self.w[f"{name}.bias"][:, None, None]

    def conv(self, name: str, x: np.ndarray) -> np.ndarray:
        weight = self.w[f"{name}.weight"]
        k = weight.shape[2]
        padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
        out = np.einsum("ocij,bchwij->bohw", weight, windows, optimize=True)
        bias = self.w.get(f"{name}.bias")
        return out if bias is None else out + bias[:, None, None]

    def encoding(self, prefix: str, x: np.ndarray) -> np.ndarray:
        """By products, without the differences: s(‖x‖² - 2x·c + ‖c‖²) and aᵀx - (Σa)c."""
        c, s = self.w[f"{prefix}codewords"], self.w[f"{prefix}scale"]
        rows = x.reshape(*x.shape[:2], -1)
        distance = (rows**2).sum(axis=1)[:, :, None] + (c**2).sum(axis=1)
        distance = distance - 2 * np.einsum("bcn,kc->bnk", rows, c)
        score = s * distance
        a = np.exp(score - score.max(axis=2, keepdims=True))
        a = a / a.sum(axis=2, keepdims=True)
        return np.einsum("bnk,bcn->bkc", a, rows) - a.sum(axis=1)[:, :, None] * c

    def lvc(self, p: str, x: np.ndarray) -> np.ndarray:
        z = x
        for number in "123":
            z = self.norm(f"{p}conv_1.bn{number}", self.conv(f"{p}conv_1.conv{number}", z), 1e-6)
            z = np.maximum(z, 0) if number != "3" else z
        around = self.conv(f"{p}conv_1.residual_conv", x)
        z = np.maximum(z + self.norm(f"{p}conv_1.residual_bn", around, 1e-6), 0)
        u = np.maximum(self.norm(f"{p}LVC.1", self.conv(f"{p}LVC.0", z)), 0)
        e = np.maximum(self.norm(f"{p}LVC.4", self.encoding(f"{p}LVC.3.", u)), 0)
        score = e.mean(axis=1) @ self.w[f"{p}fc.0.weight"].T + self.w[f"{p}fc.0.bias"]
        return np.maximum(z * (1 + sigmoid(score)[:, :, None, None]), 0)

    def light_mlp(self, p: str, x: np.ndarray) -> np.ndarray:
        one = self.w.get(f"{p}layer_scale_1", np.ones(1))[:, None, None]
        two = self.w.get(f"{p}layer_scale_2", np.ones(1))[:, None, None]
        d = self.group_norm(f"{p}norm1", x) * self.w[f"{p}dw.dconv.conv.weight"].reshape(-1, 1, 1)
        d = silu(self.norm(f"{p}dw.dconv.bn", d))
        d = silu(self.norm(f"{p}dw.pconv.bn", self.conv(f"{p}dw.pconv.conv", d)))
        u = x + one * d
        hidden = self.conv(f"{p}mlp.fc1", self.group_norm(f"{p}norm2", u))
        hidden = hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2
        return u + two * self.conv(f"{p}mlp.fc2", hidden)

    def evc(self, x: np.ndarray) -> np.ndarray:
        stem = np.maximum(self.norm("bn1", self.conv("conv1", x)), 0)
        padded = np.pad(stem, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
        x1 = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3)).max(axis=(4, 5))
        branches = [self.lvc("lvc.", x1), self.light_mlp("l_MLP.", x1)]
        return self.conv("cnv1", np.concatenate(branches, axis=1))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def silu(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(x)


def expected(model: nn.Module, x: Tensor) -> np.ndarray:
    mathematics, values = Mathematics(model), x.detach().numpy()
    if isinstance(model, Encoding):
        return mathematics.encoding("", values)
    if isinstance(model, LVCBlock):
        return mathematics.lvc("", values)
    if isinstance(model, LightMLPBlock):
        return mathematics.light_mlp("", values)
    return mathematics.evc(values)


# --- parity -----------------------------------------------------------------------------------

MODELS = {
    "encoding": lambda C: Encoding(C, 64),
    "lvc": lambda C: LVCBlock(C, C, 64),
    "light-mlp": lambda C: LightMLPBlock(C, C),
    "light-mlp-unscaled": lambda C: LightMLPBlock(C, C, mlp_ratio=1.5, use_layer_scale=False),
    "evc": lambda C: EVCBlock(C, C),
}


@together("training", [False, True])
@together("shape", [(2, 5, 7, 4), (3, 8, 1, 5), (2, 4, 3, 3), (1, 9, 5, 6)])
@together("name", MODELS)
def test_outputs_are_the_formula(name: str, shape: tuple[int, ...], training: bool) -> None:
    model = redraw(MODELS[name](shape[1])).train(training)
    x = draw(*shape)
    wanted = expected(model, x)
    np.testing.assert_allclose(model(x).detach().numpy(), wanted, rtol=1e-8, atol=1e-9)


@together("training", [False, True])
@together("name", MODELS)
def test_input_gradients_are_those_of_the_formula(name: str, training: bool) -> None:
    """Against differences of the second implementation."""
    model = redraw(MODELS[name](4)).train(training)
    x = draw(2, 4, 3, 5).requires_grad_()
    out = model(x)
    cotangent, direction = draw(*out.shape, seed=2), draw(*x.shape, seed=3)
    (gradient,) = torch.autograd.grad(out, x, cotangent)
    step = 1e-6 * direction
    difference = expected(model, x + step) - expected(model, x - step)
    slope = float((difference * cotangent.numpy()).sum() / 2e-6)
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("each", LESSONS, ids=lambda each: each.key)
def test_float32_agrees_at_the_presets_sizes(each: Lesson) -> None:
    for preset in each.presets:
        if preset.breaks is None and preset.values and not preset.name.startswith("CFP-s"):
            chosen = each.settings(preset.name)
            (x,), _ = each.inputs(chosen, "picture", 0)
            model = redraw(each.build(chosen)).eval()
            with torch.no_grad():
                wanted = expected(model, x.double())
                got = model.float()(x).double().numpy()
            assert np.abs(got - wanted).max() / np.abs(wanted).max() < 1e-5


@together("name", MODELS)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = redraw(MODELS[name](6)).train()
    model(draw(3, 6, 5, 4)).square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


# --- invariants -------------------------------------------------------------------------------

sizes = st.tuples(
    st.integers(1, 3), st.integers(4, 7), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99)
)


@few
@given(sizes)
def test_the_codebook_does_not_see_the_order_of_places(size: tuple[int, ...]) -> None:
    b, c, h, w, seed = size
    model = redraw(Encoding(c, 64), seed)
    x = draw(b, c, h, w, seed=seed)
    order = torch.randperm(h * w, generator=torch.Generator().manual_seed(seed))
    shuffled = x.flatten(2)[:, :, order].view_as(x)
    assert model(x).shape == (b, CODES, c)
    torch.testing.assert_close(model(shuffled), model(x))


@few
@given(sizes)
def test_shares_sum_to_one(size: tuple[int, ...]) -> None:
    """Moved by the same vector, places and codewords, the arrows stay; moved alone, the arrows
    of all codewords together move by as much for every place."""
    b, c, h, w, seed = size
    model = redraw(Encoding(c, 64), seed)
    x = draw(b, c, h, w, seed=seed)
    move = draw(c, seed=seed + 1)
    before = model(x)
    with torch.no_grad():
        model.codewords += move
    torch.testing.assert_close(model(x + move[:, None, None]), before, rtol=1e-7, atol=1e-7)
    # With one codeword for all, the shares are the only thing that can make the sum N (x - c).
    with torch.no_grad():
        model.codewords.copy_(move.expand(CODES, c))
    total = (x - move[:, None, None]).sum(dim=(2, 3))
    torch.testing.assert_close(model(x).sum(dim=1), total, rtol=1e-8, atol=1e-8)


@few
@given(sizes)
def test_lvc_amplifies_each_channel_by_one_to_two(size: tuple[int, ...]) -> None:
    b, c, h, w, seed = size
    model = redraw(LVCBlock(c, c, 64), seed).eval()
    x = draw(b, c, h, w, seed=seed)
    z, out = model.conv_1(x), model(x)
    assert (out >= z).all()
    assert (out <= 2 * z).all()
    for image in range(b):
        for channel in range(c):
            there = z[image, channel] > 1e-9
            factor = out[image, channel][there] / z[image, channel][there]
            if len(factor):
                torch.testing.assert_close(factor, factor[0].expand_as(factor))


@few
@given(sizes, st.sampled_from(sorted(MODELS)))
def test_images_do_not_see_each_other(size: tuple[int, ...], name: str) -> None:
    b, c, h, w, seed = size
    model = redraw(MODELS[name](c), seed).eval()
    x = draw(b + 1, c, h, w, seed=seed)
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=1e-8, atol=1e-8)


@few
@given(sizes)
def test_the_mlp_ignores_weights_of_linear(size: tuple[int, ...]) -> None:
    b, c, h, w, seed = size
    source = redraw(LightMLPBlock(c, c), seed).eval()
    state = source.state_dict()
    with_linear = {
        **state,
        "linear.weight": draw(c, c, seed=seed),
        "linear.bias": draw(c, seed=seed),
    }
    model = LightMLPBlock(c, c).double().eval()
    model.load_state_dict(with_linear)
    x = draw(b, c, h, w, seed=seed)
    assert torch.equal(model(x), source(x))


@few
@given(sizes, st.booleans())
def test_a_fresh_mlp_block_nearly_returns_its_input(size: tuple[int, ...], training: bool) -> None:
    b, c, h, w, seed = size
    model = LightMLPBlock(c, c).double().train(training)
    x = draw(b + 1, c, h, w, seed=seed)
    assert (model(x) - x).abs().max() < 1e-3
    assert not torch.equal(model(x), x)


# --- arguments and layout -----------------------------------------------------------------------

Layout = list[tuple[str, tuple[int, ...]]]


def norm_layout(name: str, c: int) -> Layout:
    parts = ("weight", "bias", "running_mean", "running_var")
    return [*((f"{name}.{part}", (c,)) for part in parts), (f"{name}.num_batches_tracked", ())]


def lvc_layout(p: str, c: int) -> Layout:
    q = c // 4
    return [
        (f"{p}conv_1.conv1.weight", (q, c, 1, 1)),
        *norm_layout(f"{p}conv_1.bn1", q),
        (f"{p}conv_1.conv2.weight", (q, q, 3, 3)),
        *norm_layout(f"{p}conv_1.bn2", q),
        (f"{p}conv_1.conv3.weight", (c, q, 1, 1)),
        *norm_layout(f"{p}conv_1.bn3", c),
        (f"{p}conv_1.residual_conv.weight", (c, c, 1, 1)),
        *norm_layout(f"{p}conv_1.residual_bn", c),
        (f"{p}LVC.0.weight", (c, c, 1, 1)),
        *norm_layout(f"{p}LVC.1", c),
        (f"{p}LVC.3.codewords", (64, c)),
        (f"{p}LVC.3.scale", (64,)),
        *norm_layout(f"{p}LVC.4", 64),
        (f"{p}fc.0.weight", (c, c)),
        (f"{p}fc.0.bias", (c,)),
    ]


def mlp_layout(p: str, c: int, linear: bool) -> Layout:
    return [
        (f"{p}layer_scale_1", (c,)),
        (f"{p}layer_scale_2", (c,)),
        (f"{p}dw.dconv.conv.weight", (c, 1, 1, 1)),
        *norm_layout(f"{p}dw.dconv.bn", c),
        (f"{p}dw.pconv.conv.weight", (c, c, 1, 1)),
        *norm_layout(f"{p}dw.pconv.bn", c),
        *([(f"{p}linear.weight", (c, c)), (f"{p}linear.bias", (c,))] if linear else []),
        (f"{p}norm1.weight", (c,)),
        (f"{p}norm1.bias", (c,)),
        (f"{p}norm2.weight", (c,)),
        (f"{p}norm2.bias", (c,)),
        (f"{p}mlp.fc1.weight", (4 * c, c, 1, 1)),
        (f"{p}mlp.fc1.bias", (4 * c,)),
        (f"{p}mlp.fc2.weight", (c, 4 * c, 1, 1)),
        (f"{p}mlp.fc2.bias", (c,)),
    ]


def evc_layout(c: int, linear: bool) -> Layout:
    return [
        ("conv1.weight", (c, c, 7, 7)),
        *norm_layout("bn1", c),
        *lvc_layout("lvc.", c),
        *mlp_layout("l_MLP.", c, linear),
        ("cnv1.weight", (c, 2 * c, 1, 1)),
        ("cnv1.bias", (c,)),
    ]


LAYOUTS = [
    (Encoding(8, 64), [("codewords", (64, 8)), ("scale", (64,))], None),
    (LVCBlock(8, 8, 64), lvc_layout("", 8), None),
    (LightMLPBlock(8, 8), mlp_layout("", 8, False), mlp_layout("", 8, True)),
    (EVCBlock(8, 8), evc_layout(8, False), evc_layout(8, True)),
]


@together(("model", "wanted", "original"), LAYOUTS)
def test_state_dicts_are_laid_out_as_the_originals_and_load(
    model: nn.Module, wanted: Layout, original: Layout | None
) -> None:
    assert [(name, tuple(v.shape)) for name, v in model.state_dict().items()] == wanted
    generator = torch.Generator().manual_seed(5)
    state = {
        name: torch.randn(shape, generator=generator).abs() for name, shape in original or wanted
    }
    model.load_state_dict(state)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, state[name]), name


def test_a_missing_weight_is_still_reported() -> None:
    state = EVCBlock(8, 8).state_dict()
    del state["l_MLP.norm1.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*l_MLP\.norm1\.weight"):
        EVCBlock(8, 8).load_state_dict(state)


def test_parameter_counts_are_those_of_the_original() -> None:
    def count(model: nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    assert count(Encoding(3, 64)) == 256
    # The original's, less the linear layer that it never calls.
    assert count(EVCBlock(128, 128)) == 1077952 - (128 * 128 + 128)


def test_the_number_of_codewords_is_that_of_the_original() -> None:
    assert Encoding(3, 32).codewords.shape == (64, 3)
    assert LVCBlock(8, 8, 16).LVC[3].codewords.shape == (64, 8)


def test_fresh_weights_are_drawn_as_the_original_draws_them() -> None:
    codebook = Encoding(16, 64)
    assert codebook.codewords.abs().max() <= 1 / 32
    assert codebook.codewords.abs().max() > 0.9 / 32
    assert ((codebook.scale >= -1) & (codebook.scale <= 0)).all()
    block = LightMLPBlock(64, 64)
    assert (block.layer_scale_1 == 1e-5).all()
    assert (block.layer_scale_2 == 1e-5).all()
    assert block.layer_scale_1 is not block.layer_scale_2
    assert abs(block.mlp.fc1.weight.std().item() - 0.02) < 1e-3
    assert block.mlp.fc2.bias is not None
    assert not block.mlp.fc2.bias.any()
    eps = {
        name: module.eps
        for name, module in EVCBlock(8, 8).named_modules()
        if hasattr(module, "eps")
    }
    assert {name for name, value in eps.items() if value == 1e-6} == {
        f"lvc.conv_1.{name}" for name in ("bn1", "bn2", "bn3", "residual_bn")
    }
    assert set(eps.values()) == {1e-6, 1e-5}


def test_arguments_that_the_original_does_not_use_change_nothing() -> None:
    x = draw(2, 8, 5, 5)
    one = redraw(LightMLPBlock(8, 8)).eval()
    other = redraw(LightMLPBlock(8, 8, 3, 2, "relu", act_layer=nn.ReLU)).eval()
    assert torch.equal(one(x), other(x))
    block, same = redraw(EVCBlock(8, 8)).eval(), redraw(EVCBlock(8, 8, 2, 4)).eval()
    assert torch.equal(block(x), same(x))


def test_the_norm_can_be_chosen() -> None:
    block = LightMLPBlock(8, 8, norm_layer=nn.BatchNorm2d)
    assert isinstance(block.norm1, nn.BatchNorm2d)
    assert block(draw(2, 8, 3, 3).float()).shape == (2, 8, 3, 3)


def test_dropping_branches() -> None:
    x = torch.ones(400, 2, 3, 3)
    path = DropPath(0.25)
    torch.default_generator.manual_seed(3)
    out = path(x)
    per_image = out.flatten(1)
    # Each image keeps all of it, made larger, or nothing.
    assert (per_image == per_image[:, :1]).all()
    torch.testing.assert_close(per_image[:, 0].unique(), torch.tensor([0.0, 4 / 3]))
    assert abs(float(out.mean()) - 1) < 0.1
    assert path.eval()(x) is x
    assert not DropPath(1.0)(x).any()
    block = LightMLPBlock(4, 4, drop_path=1.0, drop=0.5).train()
    y = torch.randn(3, 4, 2, 2)
    assert torch.equal(block(y), y)
    assert not torch.equal(block.eval()(y), y)


@together(
    ("make", "message"),
    [
        (lambda: Encoding(0, 64), "in_channels is 0: use 1 or more."),
        (lambda: Encoding(3, 0), "num_codes is 0: use 1 or more."),
        (lambda: LightMLPBlock(4, 0), "out_channels is 0: use 1 or more."),
        (lambda: LightMLPBlock(4, 4, mlp_ratio=0.1), "mlp_ratio is 0.1 and leaves no hidden"),
        (lambda: LightMLPBlock(4, 4, drop=1.5), "drop is 1.5: a probability is from 0 to 1."),
        (lambda: LightMLPBlock(4, 4, drop_path=-1), "drop_path is -1: a probability is from 0"),
        (lambda: LVCBlock(3, 3, 64)(torch.zeros(1, 3, 2, 2)), "C is 3: the bottleneck has C // 4"),
        (lambda: Encoding(3, 64)(torch.zeros(2, 6, 2, 2)), "x is (2, 6, 2, 2): this module wants"),
        (lambda: Encoding(3, 64)(torch.zeros(3, 2, 2)), "x is (3, 2, 2): this module wants (B, 3,"),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_bad_arguments_get_a_sentence(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()  # type: ignore[operator]


# --- lessons ------------------------------------------------------------------------------------


def codebook_shapes(B: int, C: int, N: int) -> dict[str, tuple[int, ...]]:
    return {
        "x_flat": (B, C, N),
        "x_rows": (B, N, C),
        "x_column": (B, N, 1, C),
        "x_expanded": (B, N, 64, C),
        "codewords": (1, 1, 64, C),
        "scale": (1, 1, 64),
        "difference": (B, N, 64, C),
        "squares": (B, N, 64, C),
        "distance": (B, N, 64),
        "assignment": (B, N, 64),
        "share": (B, N, 64, 1),
        "arrows": (B, N, 64, C),
    }


BLOCK = {
    "stem": (2, 128, 40, 40),
    "x1": (2, 128, 40, 40),
    "squeezed": (2, 32, 40, 40),
    "seen": (2, 32, 40, 40),
    "z": (2, 128, 40, 40),
    "e": (2, 64, 128),
    "e_normed": (2, 64, 128),
    "en": (2, 128),
    "gam": (2, 128),
    "gate": (2, 128, 1, 1),
    "weighed": (2, 128, 40, 40),
    "scale_1": (128, 1, 1),
    "u": (2, 128, 40, 40),
    "hidden": (2, 512, 40, 40),
    "active": (2, 512, 40, 40),
    "both": (2, 256, 40, 40),
}


@pytest.mark.parametrize(
    ("each", "preset", "wanted", "out"),
    [
        (ENCODING, "Post's size", codebook_shapes(6, 3, 100), (6, 64, 3)),
        (ENCODING, "32 codewords asked for", codebook_shapes(6, 3, 100), (6, 64, 3)),
        (
            EVC,
            "CFP-s, 640 pixels",
            codebook_shapes(2, 128, 1600) | BLOCK,
            (2, 128, 40, 40),
        ),
    ],
)
def test_shapes_are_those_recorded_of_the_original(
    each: Lesson, preset: str, wanted: dict[str, tuple[int, ...]], out: tuple[int, ...]
) -> None:
    trace = run(each, each.settings(preset), values=False)
    assert {name: tensor(trace, name).shape for name in wanted} == wanted
    assert [note.shape for note in trace.outputs] == [out]


@pytest.mark.parametrize(
    ("each", "preset", "unit"),
    [
        (ENCODING, "Large map", "GB"),
        (LVC, "Large map", "GB"),
        (EVC, "Large map", "GB"),
        (EVC, "CFP-s, 640 pixels", "MB"),
    ],
)
def test_the_notes_of_presets_state_what_the_run_shows(
    each: Lesson, preset: str, unit: str
) -> None:
    shape = tensor(run(each, each.settings(preset), values=False), "difference").shape
    stated = re.search(rf"(\([\d, ]+\)) take ([\d.]+) {unit}", each.preset(preset).note)
    assert stated is not None
    assert stated[1] == str(shape)
    size = 4 * np.prod(shape, dtype=float) / {"GB": 1e9, "MB": 1e6}[unit]
    assert float(stated[2]) == pytest.approx(size, rel=0.01)
    assert each.preset(preset).values == (unit == "MB")


@pytest.mark.parametrize(
    ("each", "preset", "expression", "module"),
    [
        (LVC, "Breaks: 3 channels", "raise ValueError", "conv_1"),
        (LVC, "Breaks: one value to normalise", "self.bn1(squeezed)", "conv_1.bn1"),
        (LIGHT_MLP, "Breaks: out_channels is not C", "x + mixed", ""),
        (EVC, "Breaks: out_channels is not C", "x + mixed", "l_MLP"),
        (EVC, "Breaks: 3 channels", "raise ValueError", "lvc.conv_1"),
        (EVC, "Breaks: one value to normalise", "self.bn1(stem)", "bn1"),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
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
        assert trace.failure.expression.startswith(expression)
        assert trace.failure.module == module


@together("scaled", [False, True])
@together("ratio", [0.5, 1.0, 4.0])
def test_the_mlp_has_notes_with_every_option(scaled: bool, ratio: float) -> None:
    options = {"use_layer_scale": scaled, "mlp_ratio": ratio}
    trace = run(LIGHT_MLP, {**LIGHT_MLP.settings(), **options}, values=False)
    assert tensor(trace, "hidden").shape[1] == int(16 * ratio)
    for step in trace.steps:
        if step.outputs[0].shape != step.inputs[0].shape:
            assert step.note, step.expression


def test_verdicts() -> None:
    found = {each.key: [claim.verdict for claim in each.claims] for each in LESSONS}
    assert found["evc-encoding"].count("agrees") >= 4
    assert "depends" in found["evc-encoding"]
    assert "slip" in found["evc"]


def test_the_shapes_claimed_are_looked_up_in_the_run() -> None:
    trace = run(ENCODING, {**ENCODING.settings(), "C": 5, "H": 3}, values=False)
    claims = [claim for claim in ENCODING.claims if " is (" in claim.says]
    assert len(claims) == 2
    assert not any(claim.holds(trace) for claim in claims)
