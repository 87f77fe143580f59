"""HA-CNN's attention against its mathematics, written a second time with einsum and matrices."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modules.hacnn import (
    CHANNEL,
    HARM,
    LESSONS,
    LOCAL,
    SOFT,
    SPATIAL,
    TRAINED,
    ChannelAttn,
    HardAttn,
    HarmAttn,
    Regions,
    SoftAttn,
    SpatialAttn,
    Weighed,
)
from modules.inputs import scene
from modules.lesson import Lesson, prepare, run, tensor
from modules.train_hacnn import centres, horses
from tests.effort import TIMES
from tests.together import together

few = settings(max_examples=20 * TIMES, deadline=None)
State = dict[str, Tensor]


def redraw(model: nn.Module, seed: int = 0) -> nn.Module:
    """New weights and running statistics, so that nothing rests on how a fresh layer begins."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.7
                # Above 0 more often than below, or a ReLU would leave nothing to compare.
                shift = 0.4 if name.endswith("bn.bias") else 0.0
                value.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn + shift)
    return model


def draw(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def weights(model: nn.Module) -> State:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def part(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}


# --- the mathematics, once more ---------------------------------------------------------------


def expected_block(
    state: State, x: Tensor, training: bool, stride: int = 1, pad: int = 0
) -> Tensor:
    weight = state["conv.weight"]
    b, c, h, w = x.shape
    k = weight.shape[2]
    padded = x.new_zeros(b, c, h + 2 * pad, w + 2 * pad)
    padded[:, :, pad : pad + h, pad : pad + w] = x
    rows, columns = (h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1
    z = state["conv.bias"][:, None, None].expand(b, -1, rows, columns)
    for i in range(k):
        for j in range(k):
            seen = padded[:, :, i : i + stride * rows : stride, j : j + stride * columns : stride]
            z = z + torch.einsum("oc,bchw->bohw", weight[:, :, i, j], seen[:, :, :rows, :columns])
    if training:
        mean = z.mean(dim=(0, 2, 3))
        variance = ((z - mean[:, None, None]) ** 2).mean(dim=(0, 2, 3))
    else:
        mean, variance = state["bn.running_mean"], state["bn.running_var"]
    z = (z - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    return (z * state["bn.weight"][:, None, None] + state["bn.bias"][:, None, None]).clamp_min(0)


def stretching(small: int, large: int) -> Tensor:
    """Linear interpolation with the ends at the ends, as a (large, small) matrix."""
    where = torch.arange(large, dtype=torch.float64) * (small - 1) / max(large - 1, 1)
    return (1 - (where[:, None] - torch.arange(small)).abs()).clamp_min(0)


def resized(x: Tensor, rows: int, columns: int) -> Tensor:
    down, across = stretching(x.shape[2], rows), stretching(x.shape[3], columns)
    return torch.einsum("ih,bchw,jw->bcij", down, x, across)


def expected_spatial(state: State, x: Tensor, training: bool) -> Tensor:
    s = torch.einsum("bchw->bhw", x)[:, None] / x.shape[1]
    half = expected_block(part(state, "conv1."), s, training, stride=2, pad=1)
    full = resized(half, 2 * half.shape[2], 2 * half.shape[3])
    return expected_block(part(state, "conv2."), full, training)


def expected_channel(state: State, x: Tensor, training: bool) -> Tensor:
    p = torch.einsum("bchw->bc", x)[:, :, None, None] / (x.shape[2] * x.shape[3])
    hidden = expected_block(part(state, "conv1."), p, training)
    return expected_block(part(state, "conv2."), hidden, training)


def expected_soft(state: State, x: Tensor, training: bool) -> Tensor:
    spatial = expected_spatial(part(state, "spatial_attn."), x, training)
    channel = expected_channel(part(state, "channel_attn."), x, training)
    y = torch.einsum("bhw,bc->bchw", spatial[:, 0], channel[:, :, 0, 0])
    return 1 / (1 + torch.exp(-expected_block(part(state, "conv."), y, training)))


def expected_theta(state: State, x: Tensor) -> Tensor:
    p = torch.einsum("bchw->bc", x) / (x.shape[2] * x.shape[3])
    offsets = torch.einsum("oc,bc->bo", state["fc.weight"], p) + state["fc.bias"]
    e = torch.exp(2 * offsets)
    return ((e - 1) / (e + 1)).reshape(len(x), 4, 2)


def reading(size: int, scale: float, centre: Tensor) -> Tensor:
    """Which pixels each place of a region reads, (B, size, size).  Pixel j lies at
    (2j + 1) / size - 1 and fades linearly to its neighbours; beyond the border there is none."""
    place = (2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1
    point = scale * place + centre[:, None]
    pixel = ((point + 1) * size - 1) / 2
    return (1 - (pixel[:, :, None] - torch.arange(size)).abs()).clamp_min(0)


def expected_regions(theta: Tensor, source: Tensor, size: tuple[int, int]) -> Tensor:
    cut = []
    for i in range(4):
        across = reading(source.shape[3], 1.0, theta[:, i, 0])
        down = reading(source.shape[2], 0.25, theta[:, i, 1])
        cut.append(resized(torch.einsum("biu,bkuv,bjv->bkij", down, source, across), *size))
    return torch.stack(cut, dim=1)


# --- parity -----------------------------------------------------------------------------------

SHAPES = [(2, 16, 8, 6), (3, 16, 15, 9), (2, 32, 1, 5), (4, 16, 7, 12)]


def agree(got: Tensor, wanted: Tensor, x: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)
    cotangent = draw(*got.shape, seed=9)
    (gradient,) = torch.autograd.grad(got, x, cotangent, retain_graph=True)
    (expected,) = torch.autograd.grad(wanted, x, cotangent)
    torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-8)
    assert gradient.abs().sum() > 0


@together("training", [False, True])
@together("shape", SHAPES)
def test_spatial_is_the_formula(shape: tuple[int, ...], training: bool) -> None:
    model = redraw(SpatialAttn(), seed=5).double().train(training)
    state = weights(model)
    x = draw(*shape).requires_grad_()
    agree(model(x), expected_spatial(state, x, training), x)


@together("training", [False, True])
@together("rate", [16, 4])
@together("shape", SHAPES)
def test_channel_is_the_formula(shape: tuple[int, ...], rate: int, training: bool) -> None:
    model = redraw(ChannelAttn(shape[1], rate), seed=2).double().train(training)
    state = weights(model)
    x = draw(*shape).requires_grad_()
    agree(model(x), expected_channel(state, x, training), x)


@together("training", [False, True])
@together("shape", SHAPES)
def test_harmonious_is_the_formula(shape: tuple[int, ...], training: bool) -> None:
    model = redraw(HarmAttn(shape[1]), seed=5).double().train(training)
    state = weights(model)
    x = draw(*shape).requires_grad_()
    soft, theta = model(x)
    agree(soft, expected_soft(part(state, "soft_attn."), x, training), x)
    agree(theta, expected_theta(part(state, "hard_attn."), x), x)


@together("shape", [(2, 16, 8, 6), (3, 5, 15, 9)])
@together(("source_shape", "size"), [((6, 12, 10), (5, 7)), ((1, 9, 7), (1, 3))])
def test_regions_are_the_formula(
    shape: tuple[int, ...], source_shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    model = redraw(Regions(shape[1], size), seed=4).double()
    state = weights(model)
    x = draw(*shape).requires_grad_()
    source = draw(shape[0], *source_shape, seed=3)
    regions, _ = model(x, source)
    theta = expected_theta(part(state, "hard_attn."), x)
    # The gradient reaches x through the grid: that is what the sampling is for.
    agree(regions, expected_regions(theta, source, size), x)


@pytest.mark.parametrize("training", [False, True])
def test_the_post_size_agrees_in_float32(training: bool) -> None:
    model = redraw(HarmAttn(16), seed=5).train(training)
    x = draw(2, 16, 256, 128).float()
    with torch.no_grad():
        got = model(x)
        wanted = redraw(HarmAttn(16), seed=5).double().train(training)(x.double())
    for one, other in zip(got, wanted, strict=True):
        assert (one - other).abs().max() / other.abs().max() < 1e-5


@pytest.mark.parametrize("shape", [(2, 16, 16, 8), (3, 16, 9, 7)])
def test_every_parameter_gets_a_gradient(shape: tuple[int, ...]) -> None:
    model = redraw(HarmAttn(16), seed=5).double().train()
    soft, theta = model(draw(*shape))
    ((soft * draw(*soft.shape, seed=8)).sum() + (theta**2).sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


# --- invariants -------------------------------------------------------------------------------

sizes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))


@few
@given(sizes, st.booleans())
def test_soft_attention_never_falls_below_one_half(size: tuple[int, ...], training: bool) -> None:
    b, h, w, seed = size
    model = redraw(SoftAttn(16), seed).double().train(training)
    y = model(draw(b + 1, 16, h + 2, w + 2, seed=seed))
    assert (y >= 0.5).all()
    assert (y <= 1).all()


@few
@given(sizes, st.integers(1, 40))
def test_theta_lies_within_the_map(size: tuple[int, ...], channels: int) -> None:
    b, h, w, seed = size
    theta = redraw(HardAttn(channels), seed).double()(draw(b, channels, h, w, seed=seed))
    assert theta.shape == (b, 4, 2)
    assert (theta.abs() <= 1).all()  # tanh of much is 1 in any precision


@few
@given(sizes, st.integers(1, 5))
def test_the_spatial_map_is_rounded_up_to_even_sizes(size: tuple[int, ...], channels: int) -> None:
    b, h, w, seed = size
    model = redraw(SpatialAttn(), seed).double().eval()
    got = model(draw(b, channels, h, w, seed=seed))
    assert got.shape == (b, 1, h + h % 2, w + w % 2)
    assert (got >= 0).all()


@few
@given(sizes)
def test_channel_and_hard_attention_do_not_see_where(size: tuple[int, ...]) -> None:
    b, h, w, seed = size
    x = draw(b, 16, h, w, seed=seed)
    order = torch.randperm(h * w, generator=torch.Generator().manual_seed(seed))
    shuffled = x.flatten(2)[:, :, order].view_as(x)
    for model in (ChannelAttn(16), HardAttn(16)):
        model = redraw(model, seed).double().eval()
        torch.testing.assert_close(model(shuffled), model(x), rtol=1e-9, atol=1e-9)


@few
@given(sizes)
def test_spatial_attention_does_not_see_which_channel(size: tuple[int, ...]) -> None:
    b, h, w, seed = size
    model = redraw(SpatialAttn(), seed).double().eval()
    x = draw(b, 7, h, w, seed=seed)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(model(x[:, order]), model(x), rtol=1e-9, atol=1e-9)


def test_images_of_a_batch_do_not_see_each_other() -> None:
    model = redraw(HarmAttn(16), seed=5).double().eval()
    x = draw(3, 16, 6, 8)
    for whole, alone in zip(model(x), model(x[1:2]), strict=True):
        torch.testing.assert_close(whole[1:2], alone)


def test_a_fresh_hard_attention_puts_four_strips_whatever_it_sees() -> None:
    model = HardAttn(16).double()
    theta = model(draw(3, 16, 4, 4))
    assert torch.equal(theta[0], theta[2])
    wanted = torch.tensor([[0, -0.75], [0, -0.25], [0, 0.25], [0, 0.75]]).double().tanh()
    torch.testing.assert_close(theta[0], wanted)
    # As the note says: from ±0.75 to ±0.64.  Neighbours overlap, and both borders are missed.
    tops, bottoms = theta[0, :, 1] - 0.25, theta[0, :, 1] + 0.25
    assert (tops[1:] < bottoms[:-1]).all()
    assert -0.9 < tops[0] < -0.88
    assert 0.88 < bottoms[-1] < 0.9
    assert round(theta[0, 3, 1].item(), 2) == 0.64


def test_beyond_the_border_there_are_zeros() -> None:
    model = Regions(4, (8, 10)).double()
    with torch.no_grad():
        model.hard_attn.fc.bias.copy_(torch.tensor([9.0, 0.0] * 4))
    regions, _ = model(draw(1, 4, 5, 5), torch.ones(1, 1, 10, 10, dtype=torch.float64))
    # Moved by half its width to the right, the right half of the region sees nothing.
    assert (regions[..., 6:] == 0).all()
    torch.testing.assert_close(regions[..., :4], torch.ones_like(regions[..., :4]))


def test_frames_are_drawn_where_the_regions_lie() -> None:
    model = Regions(4, (8, 8)).double()
    theta = model.hard_attn(draw(1, 4, 3, 3))
    _, drawn = model(draw(1, 4, 3, 3), torch.ones(1, 3, 200, 100, dtype=torch.float64))
    lines = {row for row in range(200) if drawn[0, 0, row, 50] == 1}
    borders = [y + side for y in theta[0, :, 1].tolist() for side in (-0.25, 0.25)]
    for row in range(200):
        place = (2 * row + 1) / 200 - 1
        near = min(abs(place - border) for border in borders)
        assert (row in lines) == (near < 0.012)
    assert len(lines) >= 8
    assert set(drawn.flatten().tolist()) == {0.6, 1.0}


# --- state dict -------------------------------------------------------------------------------


def block_layout(prefix: str, in_c: int, out_c: int, k: int) -> list[tuple[str, tuple[int, ...]]]:
    return [
        (f"{prefix}conv.weight", (out_c, in_c, k, k)),
        (f"{prefix}conv.bias", (out_c,)),
        (f"{prefix}bn.weight", (out_c,)),
        (f"{prefix}bn.bias", (out_c,)),
        (f"{prefix}bn.running_mean", (out_c,)),
        (f"{prefix}bn.running_var", (out_c,)),
        (f"{prefix}bn.num_batches_tracked", ()),
    ]


SPATIAL_LAYOUT = [*block_layout("conv1.", 1, 1, 3), *block_layout("conv2.", 1, 1, 1)]
CHANNEL_LAYOUT = [*block_layout("conv1.", 32, 2, 1), *block_layout("conv2.", 2, 32, 1)]
SOFT_LAYOUT = [
    *((f"spatial_attn.{name}", shape) for name, shape in SPATIAL_LAYOUT),
    *((f"channel_attn.{name}", shape) for name, shape in CHANNEL_LAYOUT),
    *block_layout("conv.", 32, 32, 1),
]
HARD_LAYOUT = [("fc.weight", (8, 32)), ("fc.bias", (8,))]
HARM_LAYOUT = [
    *((f"soft_attn.{name}", shape) for name, shape in SOFT_LAYOUT),
    *((f"hard_attn.{name}", shape) for name, shape in HARD_LAYOUT),
]


@together(
    ("model", "layout"),
    [
        (SpatialAttn(), SPATIAL_LAYOUT),
        (ChannelAttn(32), CHANNEL_LAYOUT),
        (SoftAttn(32), SOFT_LAYOUT),
        (HardAttn(32), HARD_LAYOUT),
        (HarmAttn(32), HARM_LAYOUT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_state_dicts_are_laid_out_and_load_as_the_original(
    model: nn.Module, layout: list[tuple[str, tuple[int, ...]]]
) -> None:
    assert [(name, tuple(v.shape)) for name, v in model.state_dict().items()] == layout
    state = {name: torch.randn(shape).abs() for name, shape in layout}
    model.load_state_dict(state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name].to(value.dtype)), name


@together(
    ("model", "count"),
    [
        (SpatialAttn(), 16),
        (ChannelAttn(16), 83),
        (SoftAttn(16), 403),
        (HardAttn(16), 136),
        (HarmAttn(16), 539),
    ],
)
def test_parameter_counts_are_those_of_the_original(model: nn.Module, count: int) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_what_the_regions_add_is_not_in_the_state_dict() -> None:
    assert list(Regions(16, (4, 4)).state_dict()) == ["hard_attn.fc.weight", "hard_attn.fc.bias"]


# --- shapes of the reference tables ---------------------------------------------------------------


def recorded(each: Lesson, preset: str = "Post's size") -> list[tuple[int, ...]]:
    trace = run(each, each.settings(preset), values=False)
    return [note.shape for step in trace.steps for note in step.outputs]


FULL, HALF = (32, 1, 256, 128), (32, 1, 128, 64)
SPATIAL_TABLE = [FULL, HALF, HALF, HALF, FULL, FULL, FULL, FULL]
CHANNEL_TABLE = [(32, 16, 1, 1), *[(32, 1, 1, 1)] * 3, *[(32, 16, 1, 1)] * 3]
SOFT_TABLE = [*SPATIAL_TABLE, *CHANNEL_TABLE, *[(32, 16, 256, 128)] * 5]
HARD_TABLE = [(32, 16, 1, 1), (32, 16), (32, 8), (32, 8), (32, 4, 2)]


@pytest.mark.parametrize(
    ("each", "table"),
    [
        (SPATIAL, SPATIAL_TABLE),
        (CHANNEL, CHANNEL_TABLE),
        (SOFT, SOFT_TABLE),
        (HARM, [*SOFT_TABLE, *HARD_TABLE]),
    ],
    ids=["spatial", "channel", "soft", "harmonious"],
)
def test_shapes_at_the_post_size(each: Lesson, table: list[tuple[int, ...]]) -> None:
    assert recorded(each) == table


def test_shapes_of_the_first_block_of_the_network() -> None:
    trace = run(LOCAL, LOCAL.settings("HA-CNN, first block"), values=False)
    wanted = {
        "theta": (2, 4, 2),
        "centre": (2, 2),
        "A": (2, 2, 3),
        "grid": (2, 80, 32, 2),
        "strip": (2, 32, 80, 32),
        "region": (2, 32, 24, 28),
        "regions": (2, 4, 32, 24, 28),
        "drawn": (2, 1, 80, 32),
    }
    assert {name: tensor(trace, name).shape for name in wanted} == wanted


# --- the lessons --------------------------------------------------------------------------------


@together(
    ("each", "name", "expression", "message"),
    [
        (SPATIAL, "Breaks: odd height, times x", "x * weights", r"\(15\).*\(16\)"),
        (SOFT, "Breaks: odd height, times x", "x * weights", r"\(15\).*\(16\)"),
        (SPATIAL, "Breaks: one value to normalise", "self.bn(z)", "more than 1 value"),
        (CHANNEL, "Breaks: one image in training", "self.bn(z)", "more than 1 value"),
        (SOFT, "Breaks: one image in training", "self.bn(z)", "more than 1 value"),
        (HARM, "Breaks: one image in training", "self.bn(z)", "more than 1 value"),
        (LOCAL, "Breaks: θ from the block's input", "self.fc(p)", "2x32 and 128x8"),
    ],
)
def test_breaking_presets_stop_where_the_reason_is(
    each: Lesson, name: str, expression: str, message: str
) -> None:
    preset = each.preset(name)
    settings = each.settings(name)
    failure = run(each, settings, training=preset.training, diagnose=False).failure
    assert failure is not None
    assert failure.expression == expression
    assert re.search(message, failure.message), failure.message


@pytest.mark.parametrize("each", [SPATIAL, SOFT], ids=lambda each: each.key)
def test_odd_sizes_make_a_larger_map_and_raise_nothing(each: Lesson) -> None:
    trace = run(each, each.settings("Odd sizes"))
    assert trace.inputs[0].shape[2:] == (15, 9)
    assert trace.outputs[0].shape[2:] == (16, 10)
    assert "15 × 9" in each.preset("Odd sizes").note
    assert "16 × 10" in each.preset("Odd sizes").note


@pytest.mark.parametrize(
    ("each", "change", "says"),
    [
        (SPATIAL, {"H": 255}, "upsampling restores"),
        (SPATIAL, {"H": 255}, "half as large"),
        (CHANNEL, {"C": 32}, "hidden is"),
        (CHANNEL, {"reduction_rate": 8}, "the reduction divides"),
        (SOFT, {"W": 127}, "pixel by pixel"),
        (HARM, {"H": 255}, "one weight per pixel"),
    ],
)
def test_claims_fail_on_a_run_that_contradicts_them(
    each: Lesson, change: dict[str, int], says: str
) -> None:
    (claim,) = (claim for claim in each.claims if says in claim.says)
    assert claim.holds(run(each, each.settings(), values=False))
    assert not claim.holds(run(each, {**each.settings(), **change}, values=False))


@together("each", LESSONS, ids=lambda each: each.key)
def test_quotations_are_verbatim(each: Lesson) -> None:
    posts = list((Path(__file__).parents[3] / "shared" / "posts").glob("002_*.txt"))
    if not posts:
        pytest.skip("the posts are not beside the project")
    lines = posts[0].read_text(encoding="utf-8").split("\n")
    for claim in each.claims:
        assert any(claim.quote in line for line in lines), claim.quote


# --- trained weights ------------------------------------------------------------------------------


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def result(each: Lesson, seed: int, **change: object) -> tuple[Tensor, Tensor]:
    """What the lesson's module gives for its own picture, and the horses in that picture."""
    chosen = {**each.settings(), "B": 4, **change}
    model, args, _ = prepare(each, chosen, seed=seed)
    with torch.no_grad():
        found = model(*args)
    photo = scene(256, 128, 4, seed)
    return (found[0] if isinstance(found, tuple) else found), horses(photo)


@pytest.mark.parametrize("seed", [0, 7])
def test_trained_maps_are_high_on_both_horses(seed: int) -> None:
    spatial, wanted = result(SPATIAL, seed)
    assert correlation(spatial, wanted) > 0.9
    soft, wanted = result(SOFT, seed)
    assert correlation(soft.mean(dim=1, keepdim=True), wanted) > 0.9
    # The small horse too, on its side of the picture.
    half = slice(64, 128)
    far = wanted[0, 0, 100:170, half] > 0
    assert soft[0, :, 100:170, half].mean(dim=0)[far].mean() > 0.75
    assert soft[0, :, :40].mean() < 0.55


@pytest.mark.parametrize("seed", [0, 7])
def test_trained_regions_lie_near_what_they_were_taught(seed: int) -> None:
    chosen = {**HARM.settings(), "B": 4}
    model, args, _ = prepare(HARM, chosen, seed=seed)
    with torch.no_grad():
        _, theta = model(*args)
    wanted = centres(scene(256, 128, 4, seed))
    apart = (theta - wanted).abs()
    assert apart[..., 1].max() < 0.05
    assert apart[..., 0].max() < 0.35
    # In a mirrored picture the sun is on the other side, and its region too.
    assert (theta[:, 0, 0].sign() == wanted[:, 0, 0].sign()).all()


def test_an_untrained_map_says_nothing_as_its_preset_says() -> None:
    preset = "Not trained"
    trace = run(SPATIAL, SPATIAL.settings(preset))
    stats = tensor(trace, "y_spatial").stats
    assert stats is not None
    assert stats.minimum == stats.maximum
    alive = tensor(run(SPATIAL, SPATIAL.settings(preset), training=True), "y_spatial").stats
    assert alive is not None
    assert alive.minimum != alive.maximum


def test_weights_are_random_where_the_trained_ones_do_not_fit() -> None:
    trained = SOFT.build({**SOFT.settings(), "C": 16}).state_dict()
    untrained = SOFT.build({**SOFT.settings(), "C": 16, "weights": "random"}).state_dict()
    assert not torch.equal(trained["conv.conv.weight"], untrained["conv.conv.weight"])
    for weights_option in ("trained", "random"):
        other = SOFT.build({**SOFT.settings(), "C": 32, "weights": weights_option})
        assert other.state_dict()["conv.conv.weight"].shape == (32, 32, 1, 1)
    rate = {**CHANNEL.settings(), "reduction_rate": 8}
    same = [CHANNEL.build({**rate, "weights": w}).state_dict() for w in ("trained", "random")]
    assert all(torch.equal(value, same[1][name]) for name, value in same[0].items())


def test_stored_weights_are_small() -> None:
    assert TRAINED.stat().st_size < 200_000


# --- bad arguments --------------------------------------------------------------------------------


@together(
    ("make", "message"),
    [
        (lambda: ChannelAttn(17), "in_channels is 17, not a multiple of the reduction rate 16"),
        (lambda: ChannelAttn(8), "in_channels is 8, not a multiple"),
        (lambda: ChannelAttn(0), "in_channels is 0, not a multiple"),
        (lambda: ChannelAttn(16, 0), "reduction_rate is 0: use 1 or more"),
        (lambda: SoftAttn(24), "in_channels is 24"),
    ],
)
def test_a_bad_argument_gets_a_sentence(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_settings_that_do_not_go_together_are_a_problem() -> None:
    problem = SOFT.problems({**SOFT.settings(), "C": 24})
    assert str(problem) == (
        "in_channels is 24, not a multiple of the reduction rate 16: use 16, 32, 48 and so on."
    )


def test_weighed_multiplies() -> None:
    model = Weighed(redraw(SoftAttn(16), seed=5)).double().eval()
    x = draw(2, 16, 4, 6)
    torch.testing.assert_close(model(x), x * model.attention(x))
