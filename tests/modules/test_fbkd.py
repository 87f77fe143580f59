"""The FBKD connectors against their mathematics, written a second time with einsum."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modules import lesson
from modules.fbkd import (
    MODES,
    FBKDStudentConnector,
    FBKDTeacherConnector,
    NonLocal2dMaxpoolNstride,
    channel_mask,
    spatial_mask,
)
from modules.lesson import _shapes as shapes_of_preset
from modules.lesson import run, tensor
from tests.effort import TIMES
from tests.together import together

few = settings(max_examples=25 * TIMES, deadline=None)


def redraw(model: nn.Module, seed: int = 0) -> nn.Module:
    """New weights and running statistics: a fresh non-local block returns its input, and a test
    on that would prove nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.5
                value.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return model


def draw(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


# --- the mathematics, once more ---------------------------------------------------------------


def expected_masks(x: Tensor, spatial_t: float, channel_t: float) -> tuple[Tensor, Tensor]:
    c, h, w = x.shape[1:]
    places = torch.einsum("bchw->bhw", x.abs()) / c / spatial_t
    spatial = places.exp() / places.exp().sum(dim=(1, 2), keepdim=True) * (h * w)
    kinds = torch.einsum("bchw->bc", x.abs()) / (h * w) / channel_t
    channel = kinds.exp() / kinds.exp().sum(dim=1, keepdim=True) * c
    return spatial[:, None], channel[:, :, None, None]


def project(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    out = torch.einsum("oc,bchw->bohw", state[f"{name}.weight"][:, :, 0, 0], x)
    bias = state.get(f"{name}.bias")
    return out if bias is None else out + bias[:, None, None]


def pool(x: Tensor, stride: int) -> Tensor:
    b, c, h, w = x.shape
    rows, columns = h // stride, w // stride
    x = x[:, :, : rows * stride, : columns * stride]
    return x.reshape(b, c, rows, stride, columns, stride).amax(dim=(3, 5))


def expected_relation(
    state: dict[str, Tensor], x: Tensor, mode: str, stride: int | None, training: bool
) -> Tensor:
    b, _, h, w = x.shape

    def keys(value: Tensor) -> Tensor:
        return (value if stride is None else pool(value, stride)).flatten(2)

    g = keys(project(state, "g.conv", x))
    if mode == "gaussian":
        theta, phi = x.flatten(2), keys(x)
    else:
        theta = project(state, "theta.conv", x).flatten(2)
        phi = keys(project(state, "phi.conv", x))
    if mode == "concatenation":
        weight = state["concat_project.conv.weight"].flatten()
        half = len(weight) // 2
        left = torch.einsum("c,bcn->bn", weight[:half], theta)
        right = torch.einsum("c,bck->bk", weight[half:], phi)
        f = (left[:, :, None] + right[:, None, :]).clamp_min(0) / phi.shape[2]
    else:
        f = torch.einsum("bcn,bck->bnk", theta, phi)
        if mode == "dot_product":
            f = f / phi.shape[2]
        else:
            if mode == "embedded_gaussian":
                f = f / theta.shape[1] ** 0.5
            f = (f - f.amax(dim=2, keepdim=True)).exp()
            f = f / f.sum(dim=2, keepdim=True)
    y = torch.einsum("bnk,bck->bcn", f, g).reshape(b, -1, h, w)
    out = project(state, "conv_out.conv", y)
    if training:
        mean = out.mean(dim=(0, 2, 3))
        variance = ((out - mean[:, None, None]) ** 2).mean(dim=(0, 2, 3))
    else:
        mean, variance = state["conv_out.bn.running_mean"], state["conv_out.bn.running_var"]
    out = (out - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    return (
        x
        + out * state["conv_out.bn.weight"][:, None, None]
        + (state["conv_out.bn.bias"][:, None, None])
    )


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


# --- parity -----------------------------------------------------------------------------------

CASES = [
    pytest.param(mode, stride, training, id=f"{mode}-{stride}-{'train' if training else 'eval'}")
    for mode in MODES
    for stride in (None, 2, 3)
    for training in (False, True)
]


@together(("mode", "stride", "training"), CASES)
def test_relation_and_its_gradients_are_the_formula(
    mode: str, stride: int | None, training: bool
) -> None:
    model = NonLocal2dMaxpoolNstride(
        6, reduction=2, mode=mode, sub_sample=stride is not None, maxpool_stride=stride or 2
    )
    model = redraw(model.double().train(training))
    state = {name: value.clone().detach() for name, value in weights(model).items()}
    x = draw(2, 6, 7, 5).requires_grad_()
    cotangent = draw(2, 6, 7, 5, seed=2)

    got = model(x)
    expected = expected_relation(state, x, mode, stride, training)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    assert (got - x).abs().mean() > 0.05

    (gradient,) = torch.autograd.grad(got, x, cotangent)
    (wanted,) = torch.autograd.grad(expected, x, cotangent)
    torch.testing.assert_close(gradient, wanted, rtol=1e-8, atol=1e-8)


@together("training", [False, True])
@together("shape", [(2, 8, 7, 5), (3, 8, 6, 10), (1, 8, 1, 9)])
def test_student_outputs_are_the_formulas(shape: tuple[int, ...], training: bool) -> None:
    model = FBKDStudentConnector(8, reduction=4, spatial_T=0.3, channel_T=0.7)
    model = redraw(model.double().train(training))
    state = {name: value.clone().detach() for name, value in weights(model).items()}
    x = draw(*shape)
    spatial, channel = expected_masks(x, 0.3, 0.7)
    relation = expected_relation(
        part(state, "student_non_local."), x, "dot_product", None, training
    )
    average = torch.einsum("bchw->bhw", x)[:, None] / 8
    padded = torch.zeros(shape[0], 1, shape[2] + 2, shape[3] + 2, dtype=torch.float64)
    padded[:, :, 1:-1, 1:-1] = average
    smoothed = state["spatial_wise_adaptation.bias"] + sum(
        state["spatial_wise_adaptation.weight"][0, 0, i, j]
        * padded[:, :, i : i + shape[2], j : j + shape[3]]
        for i in range(3)
        for j in range(3)
    )
    pooled = torch.einsum("bchw->bc", x) / (shape[2] * shape[3])
    expected = (
        spatial,
        channel,
        torch.einsum("oc,bc->bo", state["channel_wise_adaptation.weight"], pooled)
        + state["channel_wise_adaptation.bias"],
        smoothed,
        project(state, "non_local_adaptation", relation),
        project(state, "adaptation_layers", x),
    )
    for got, wanted in zip(model(x), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("training", [False, True])
def test_teacher_outputs_are_the_formulas(training: bool) -> None:
    model = FBKDTeacherConnector(
        8, reduction=2, sub_sample=True, maxpool_stride=3, spatial_T=2.0, channel_T=0.1
    )
    model = redraw(model.double().train(training))
    state = {name: value.clone().detach() for name, value in weights(model).items()}
    x = draw(2, 8, 10, 7)
    spatial, channel = expected_masks(x, 2.0, 0.1)
    relation = expected_relation(part(state, "teacher_non_local."), x, "dot_product", 3, training)
    expected = (spatial, channel, torch.einsum("bchw->bhw", x)[:, None] / 8, relation, x)
    got = model(x)
    for one, wanted in zip(got, expected, strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-9, atol=1e-9)
    assert got[4] is x


@together("connector", [FBKDStudentConnector, FBKDTeacherConnector])
@together("mode", MODES)
def test_every_parameter_gets_a_gradient(connector: type[nn.Module], mode: str) -> None:
    model = redraw(connector(4, mode=mode, sub_sample=True).train())
    sum(out.square().sum() for out in model(draw(2, 4, 6, 6).float())).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_the_post_size_agrees_in_float32() -> None:
    model = redraw(FBKDStudentConnector(32, reduction=4, sub_sample=True, maxpool_stride=4)).eval()
    x = draw(2, 32, 50, 74).float()
    with torch.no_grad():
        got = model(x)
        model.double()
        wanted = model(x.double())
    for one, other in zip(got, wanted, strict=True):
        error = (one - other).abs().max() / other.abs().max()
        assert error < 1e-5


# --- invariants -------------------------------------------------------------------------------

sizes = st.tuples(
    st.integers(1, 3), st.integers(2, 9), st.integers(1, 7), st.integers(1, 7), st.integers(0, 99)
)


@few
@given(sizes, st.sampled_from([0.1, 0.5, 1.0, 3.0]))
def test_masks_are_positive_with_mean_one(size: tuple[int, ...], temperature: float) -> None:
    *shape, seed = size
    x = draw(*shape, seed=seed)
    spatial, channel = spatial_mask(x, temperature), channel_mask(x, temperature)
    assert (spatial > 0).all()
    assert (channel > 0).all()
    ones = torch.ones(shape[0], dtype=torch.float64)
    torch.testing.assert_close(spatial.mean(dim=(1, 2, 3)), ones)
    torch.testing.assert_close(channel.mean(dim=(1, 2, 3)), ones)


@few
@given(sizes)
def test_masks_do_not_see_signs(size: tuple[int, ...]) -> None:
    *shape, seed = size
    x = draw(*shape, seed=seed)
    flipped = x * draw(*shape, seed=seed + 1).sign()
    torch.testing.assert_close(spatial_mask(x, 0.5), spatial_mask(flipped, 0.5))
    torch.testing.assert_close(channel_mask(x, 0.5), channel_mask(flipped, 0.5))


@few
@given(sizes, st.sampled_from(MODES), st.booleans())
def test_a_fresh_block_returns_its_input(size: tuple[int, ...], mode: str, training: bool) -> None:
    b, c, h, w, seed = size
    model = NonLocal2dMaxpoolNstride(c, mode=mode).double().train(training)
    x = draw(b + 1, c, h, w, seed=seed)
    assert torch.equal(model(x), x)


def test_without_zeros_init_the_block_does_something() -> None:
    model = NonLocal2dMaxpoolNstride(8, zeros_init=False).train()
    x = draw(2, 8, 5, 5).float()
    assert not torch.equal(model(x), x)


@few
@given(sizes, st.sampled_from(MODES))
def test_without_pooling_the_relation_follows_a_permutation_of_places(
    size: tuple[int, ...], mode: str
) -> None:
    b, c, h, w, seed = size
    model = redraw(NonLocal2dMaxpoolNstride(c, mode=mode).double().eval(), seed)
    x = draw(b, c, h, w, seed=seed)
    order = torch.randperm(h * w, generator=torch.Generator().manual_seed(seed))

    def shuffled(value: Tensor) -> Tensor:
        return value.flatten(2)[:, :, order].view_as(value)

    torch.testing.assert_close(model(shuffled(x)), shuffled(model(x)), rtol=1e-8, atol=1e-8)


def test_images_of_a_batch_do_not_see_each_other() -> None:
    model = redraw(FBKDStudentConnector(4, sub_sample=True).double().eval())
    x = draw(3, 4, 6, 8)
    for whole, alone in zip(model(x), model(x[1:2]), strict=True):
        torch.testing.assert_close(whole[1:2], alone)


# --- state dict -------------------------------------------------------------------------------


def layout(prefix: str, c: int, inner: int) -> list[tuple[str, tuple[int, ...]]]:
    return [
        (f"{prefix}g.conv.weight", (inner, c, 1, 1)),
        (f"{prefix}g.conv.bias", (inner,)),
        (f"{prefix}conv_out.conv.weight", (c, inner, 1, 1)),
        (f"{prefix}conv_out.bn.weight", (c,)),
        (f"{prefix}conv_out.bn.bias", (c,)),
        (f"{prefix}conv_out.bn.running_mean", (c,)),
        (f"{prefix}conv_out.bn.running_var", (c,)),
        (f"{prefix}conv_out.bn.num_batches_tracked", ()),
        (f"{prefix}theta.conv.weight", (inner, c, 1, 1)),
        (f"{prefix}theta.conv.bias", (inner,)),
        (f"{prefix}phi.conv.weight", (inner, c, 1, 1)),
        (f"{prefix}phi.conv.bias", (inner,)),
    ]


STUDENT_LAYOUT = [
    ("channel_wise_adaptation.weight", (8, 8)),
    ("channel_wise_adaptation.bias", (8,)),
    ("spatial_wise_adaptation.weight", (1, 1, 3, 3)),
    ("spatial_wise_adaptation.bias", (1,)),
    ("adaptation_layers.weight", (8, 8, 1, 1)),
    ("adaptation_layers.bias", (8,)),
    *layout("student_non_local.", 8, 2),
    ("non_local_adaptation.weight", (8, 8, 1, 1)),
    ("non_local_adaptation.bias", (8,)),
]


def shapes(model: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(value.shape)) for name, value in model.state_dict().items()]


@pytest.mark.parametrize("sub_sample", [False, True])
def test_state_dicts_are_laid_out_as_the_original(sub_sample: bool) -> None:
    student = FBKDStudentConnector(8, reduction=4, sub_sample=sub_sample)
    assert shapes(student) == STUDENT_LAYOUT
    teacher = FBKDTeacherConnector(8, reduction=4, sub_sample=sub_sample)
    assert shapes(teacher) == layout("teacher_non_local.", 8, 2)


def test_modes_have_the_projections_that_they_use() -> None:
    gaussian = shapes(NonLocal2dMaxpoolNstride(8, reduction=4, mode="gaussian"))
    assert gaussian == layout("", 8, 2)[:8]
    concatenation = shapes(NonLocal2dMaxpoolNstride(8, reduction=4, mode="concatenation"))
    assert concatenation == [*layout("", 8, 2), ("concat_project.conv.weight", (1, 4, 1, 1))]


@pytest.mark.parametrize("nesting", ["", "0.", "0.0."])
def test_weights_load_by_name_however_the_pool_was_nested(nesting: str) -> None:
    source = redraw(FBKDStudentConnector(8, sub_sample=True))
    state = {
        name.replace("non_local.g.", f"non_local.g.{nesting}").replace(
            "non_local.phi.", f"non_local.phi.{nesting}"
        ): value
        for name, value in source.state_dict().items()
    }
    target = FBKDStudentConnector(8, sub_sample=True)
    target.load_state_dict(state)
    for name, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name
    assert any(nesting and f".g.{nesting}" in name for name in state) == bool(nesting)


def test_a_missing_weight_is_still_reported() -> None:
    state = FBKDStudentConnector(8).state_dict()
    del state["student_non_local.g.conv.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*student_non_local\.g\.conv\.weight"):
        FBKDStudentConnector(8).load_state_dict(state)


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (FBKDStudentConnector(256), 329354),
        (FBKDStudentConnector(256, reduction=4, sub_sample=True, maxpool_stride=4), 263626),
        (FBKDTeacherConnector(256, reduction=4, sub_sample=True, maxpool_stride=8), 66240),
    ],
)
def test_parameter_counts_are_those_of_the_original(model: nn.Module, count: int) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_fresh_weights_are_drawn_as_the_original_draws_them() -> None:
    block = NonLocal2dMaxpoolNstride(256)
    for part_ in (block.g, block.theta, block.phi):
        assert abs(part_.conv.weight.std().item() - 0.01) < 5e-4
        assert part_.conv.bias is not None
        assert not part_.conv.bias.any()
    assert not block.conv_out.bn.weight.any()
    drawn = NonLocal2dMaxpoolNstride(256, zeros_init=False).conv_out.bn.weight
    assert abs(drawn.std().item() - 0.01) < 3e-3


# --- shapes at the post's size ------------------------------------------------------------------


def student_shapes(inner: int, keys: int, pooled: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    return {
        "s": (2, 1, 100, 148),
        "s_row": (2, 14800),
        "s_scaled": (2, 14800),
        "s_spatial_mask": (2, 1, 100, 148),
        "c": (2, 256, 1, 1),
        "c_row": (2, 256),
        "s_channel_mask": (2, 256, 1, 1),
        "s_feat_adapt": (2, 256, 100, 148),
        "s_channel_pool": (2, 256),
        "s_channel_pool_adapt": (2, 256),
        "s_average": (2, 100, 148),
        "s_spatial_pool": (2, 1, 100, 148),
        "s_spatial_pool_adapt": (2, 1, 100, 148),
        "g_map": (2, inner, *pooled),
        "g_flat": (2, inner, keys),
        "g_x": (2, keys, inner),
        "theta_map": (2, inner, 100, 148),
        "theta_x": (2, 14800, inner),
        "phi_map": (2, inner, *pooled),
        "phi_x": (2, inner, keys),
        "scores": (2, 14800, keys),
        "f": (2, 14800, keys),
        "y_rows": (2, 14800, inner),
        "y_flat": (2, inner, 14800),
        "y": (2, inner, 100, 148),
        "W_y": (2, 256, 100, 148),
        "s_relation": (2, 256, 100, 148),
        "s_relation_adapt": (2, 256, 100, 148),
    }


@pytest.mark.parametrize(
    ("preset", "wanted"),
    [
        ("Post's size", student_shapes(64, 25 * 37, (25, 37))),
        ("Class defaults", student_shapes(128, 14800, (100, 148))),
    ],
)
def test_student_shapes(preset: str, wanted: dict[str, tuple[int, ...]]) -> None:
    student = lesson("fbkd-student")
    trace = run(student, student.settings(preset), values=False)
    assert {name: tensor(trace, name).shape for name in wanted} == wanted
    assert [note.shape for note in trace.outputs] == [
        (2, 1, 100, 148),
        (2, 256, 1, 1),
        (2, 256),
        (2, 1, 100, 148),
        (2, 256, 100, 148),
        (2, 256, 100, 148),
    ]


@pytest.mark.parametrize(
    ("preset", "pairs"),
    [("Post's size", (2, 54400, 25 * 34)), ("Class defaults", (2, 54400, 54400))],
)
def test_teacher_shapes(preset: str, pairs: tuple[int, ...]) -> None:
    teacher = lesson("fbkd-teacher")
    trace = run(teacher, teacher.settings(preset), values=False)
    assert tensor(trace, "f").shape == pairs
    assert tensor(trace, "s_row").shape == (2, 54400)
    assert [note.shape for note in trace.outputs] == [
        (2, 1, 200, 272),
        (2, 256, 1, 1),
        (2, 1, 200, 272),
        (2, 256, 200, 272),
        (2, 256, 200, 272),
    ]


# --- bad arguments ------------------------------------------------------------------------------


@together(
    ("arguments", "message"),
    [
        ({"mode": "cosine"}, "mode is 'cosine': use one of gaussian"),
        ({"reduction": 9}, "reduction is 9 and leaves no channel of 8"),
        ({"reduction": 0}, "reduction is 0"),
        ({"maxpool_stride": 0}, "maxpool_stride is 0: use 1 or more"),
        ({"spatial_T": 0.0}, "spatial_T is 0.0: a temperature is above 0"),
        ({"channel_T": -1.0}, "channel_T is -1.0: a temperature is above 0"),
        ({"conv_cfg": {"type": "Conv1d"}}, "conv_cfg is .*: only .*Conv2d"),
        ({"norm_cfg": {"type": "GN"}}, "norm_cfg is .*: only .*BN"),
        ({"init_cfg": {"type": "Normal"}}, "init_cfg is .*: only None"),
    ],
)
@together("connector", [FBKDStudentConnector, FBKDTeacherConnector])
def test_a_bad_argument_gets_a_sentence(
    connector: type[nn.Module], arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        connector(8, **arguments)


def test_the_configuration_of_the_original_is_accepted() -> None:
    FBKDStudentConnector(8, 2, {"type": "Conv2d"}, {"type": "BN"}, "dot_product", False, 2, True)


def test_claims_are_held_against_where_a_run_fails_and_not_how_that_is_mended() -> None:
    """Else whoever opens the lesson first waits for a search of repairs."""
    each = lesson("fbkd-loss")
    preset = next(c.preset for c in each.claims if c.verdict == "slip")
    failure = shapes_of_preset(each, preset).failure
    assert failure is not None
    assert not failure.fixes
