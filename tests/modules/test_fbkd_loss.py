"""FBKDLoss against its formula, written a second time, on a pair of connectors."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modules.fbkd import LOSS, FBKDLoss, FBKDPair, FBKDStudentConnector, FBKDTeacherConnector
from modules.lesson import prepare, run, tensor
from tests.effort import TIMES
from tests.together import together

few = settings(max_examples=20 * TIMES, deadline=None)


def draw(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def redraw(model: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.5
                value.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return model


def pair(channels: int, seed: int = 0) -> FBKDPair:
    model = FBKDPair(
        FBKDStudentConnector(channels), FBKDTeacherConnector(channels), FBKDLoss()
    ).double()
    redraw(model, seed)
    return model


def outputs(b: int, c: int, h: int, w: int, seed: int = 0) -> tuple[tuple[Tensor, ...], ...]:
    """Something of the shapes that the student and the teacher return."""
    student = ((b, 1, h, w), (b, c, 1, 1), (b, c), (b, 1, h, w), (b, c, h, w), (b, c, h, w))
    teacher = ((b, 1, h, w), (b, c, 1, 1), (b, 1, h, w), (b, c, h, w), (b, c, h, w))
    made = [draw(*shape, seed=20 * seed + i) for i, shape in enumerate((*student, *teacher))]
    made[0], made[6] = made[0].abs(), made[6].abs()
    return tuple(made[:6]), tuple(made[6:])


def expected(
    s: tuple[Tensor, ...],
    t: tuple[Tensor, ...],
    weights: tuple[float, float, float, float, float] = (7e-5, 4e-3, 4e-3, 7e-5, 1.0),
) -> Tensor:
    s_mask, _, s_channel, s_spatial, s_relation, s_feat = s
    t_mask, _, t_spatial, t_relation, t_feat = t
    mask = 0.5 * s_mask[:, 0].detach() + 0.5 * t_mask[:, 0].detach()
    d = t_feat - s_feat
    feat = torch.einsum("bhw,bchw,bchw->", mask, d, d).sqrt()
    c = torch.einsum("bchw->bc", t_feat) / (t_feat.shape[2] * t_feat.shape[3]) - s_channel
    channel = torch.einsum("bc,bc->", c, c).sqrt()
    p, r = t_spatial - s_spatial, t_relation - s_relation
    spatial, relation = (p * p).sum().sqrt(), (r * r).sum().sqrt()
    a, b, e, n, whole = weights
    return whole * (a * feat + b * channel + e * spatial + n * relation)


# --- parity -----------------------------------------------------------------------------------


@together("shape", [(2, 5, 7, 3), (1, 4, 6, 8), (3, 2, 1, 1)])
@together("weights", [None, (2.0, 0.5, 3.0, 1.5, 0.7)])
def test_the_loss_and_its_gradients_are_the_formula(
    shape: tuple[int, int, int, int], weights: tuple[float, ...] | None
) -> None:
    s, t = outputs(*shape)
    for value in (*s, *t):
        value.requires_grad_()
    model = FBKDLoss() if weights is None else FBKDLoss(*weights)
    got = model(s, t)
    wanted = expected(s, t) if weights is None else expected(s, t, weights)  # type: ignore[arg-type]
    assert got.shape == ()
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    operands = [s[2], s[3], s[4], s[5], t[2], t[3], t[4]]
    for one, other in zip(
        torch.autograd.grad(got, operands), torch.autograd.grad(wanted, operands), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-14)


@together("training", [False, True])
@together("shape", [(2, 8, 7, 5), (3, 8, 6, 10)])
def test_the_pair_is_loss_of_connectors(shape: tuple[int, ...], training: bool) -> None:
    model = pair(8).train(training)
    s_x, t_x = draw(*shape).requires_grad_(), draw(*shape, seed=2)
    got = model(s_x, t_x)
    wanted = expected(model.student(s_x), model.teacher(t_x))
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    (one,), (other,) = torch.autograd.grad(got, s_x), torch.autograd.grad(wanted, s_x)
    torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-14)
    assert one.abs().sum() > 0


def test_float32_agrees() -> None:
    model = pair(16)
    s_x, t_x = draw(2, 16, 25, 37), draw(2, 16, 25, 37, seed=2)
    with torch.no_grad():
        wanted = model(s_x, t_x)
        got = model.float()(s_x.float(), t_x.float())
    assert abs(float(got - wanted)) / float(wanted) < 1e-5


def test_the_arguments_are_the_originals() -> None:
    parameters = inspect.signature(FBKDLoss).parameters
    assert {name: p.default for name, p in parameters.items()} == {
        "mask_l2_weight": 7e-5,
        "channel_weight": 4e-3,
        "spatial_weight": 4e-3,
        "nonloacl_weight": 7e-5,
        "loss_weight": 1.0,
    }
    assert not FBKDLoss().state_dict()


# --- invariants -------------------------------------------------------------------------------

sizes = st.tuples(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.integers(0, 50)
)


@few
@given(sizes)
def test_masks_weigh_and_do_not_learn(size: tuple[int, int, int, int, int]) -> None:
    s, t = outputs(*size[:4], seed=size[4])
    for value in (*s, *t):
        value.requires_grad_()
    FBKDLoss()(s, t).backward()
    for unused in (s[0], s[1], t[0], t[1]):
        assert unused.grad is None
    for used in (*s[2:], *t[2:]):
        assert used.grad is not None


@few
@given(sizes)
def test_the_channel_masks_do_not_matter(size: tuple[int, int, int, int, int]) -> None:
    s, t = outputs(*size[:4], seed=size[4])
    before = FBKDLoss()(s, t)
    s, t = (s[0], s[1] + 5, *s[2:]), (t[0], t[1] * -3, *t[2:])
    assert torch.equal(FBKDLoss()(s, t), before)


@few
@given(sizes)
def test_who_equals_the_teacher_has_no_loss(size: tuple[int, int, int, int, int]) -> None:
    _, t = outputs(*size[:4], seed=size[4])
    s = (t[0], t[1], t[4].mean(dim=(2, 3)), t[2], t[3], t[4])
    assert FBKDLoss()(s, t) == 0
    assert FBKDLoss()((*s[:5], s[5] + 0.1), t) > 0


@few
@given(sizes, st.floats(0.1, 9.0))
def test_the_loss_grows_with_the_distance(
    size: tuple[int, int, int, int, int], factor: float
) -> None:
    s, t = outputs(*size[:4], seed=size[4])
    scaled = (
        tuple(v if i < 2 else v * factor for i, v in enumerate(s)),
        tuple(v if i < 2 else v * factor for i, v in enumerate(t)),
    )
    torch.testing.assert_close(FBKDLoss()(*scaled), FBKDLoss()(s, t) * factor)


# --- the lesson ---------------------------------------------------------------------------------


def test_shapes() -> None:
    trace = run(LOSS, LOSS.settings(), values=False)
    wanted = {
        "s_spatial_mask": (2, 1, 100, 148),
        "t_spatial_mask": (2, 1, 100, 148),
        "M_s": (2, 1, 100, 148),
        "apart": (2, 256, 100, 148),
        "weighed": (2, 256, 100, 148),
        "feat_loss": (),
        "t_channel_pool": (2, 256),
        "channel_loss": (),
        "spatial_loss": (),
        "nonlocal_loss": (),
        "losses": (),
        "loss": (),
    }
    assert {name: tensor(trace, name).shape for name in wanted} == wanted
    assert [note.shape for note in trace.outputs] == [()]


def test_the_sizes_of_the_post_stop_where_the_masks_meet() -> None:
    chosen = LOSS.settings("Breaks: the post's two sizes")
    assert [chosen[name] for name in ("H", "W", "H_t", "W_t")] == [100, 148, 200, 272]
    shapes = run(LOSS, chosen, values=False, diagnose=False)
    assert shapes.failure is not None
    assert shapes.failure.expression == "t_mask + s_mask"
    # With values the sentence is the one that users know. Smaller channels, the same places.
    failure = run(LOSS, {**chosen, "B": 1, "C": 4, "maxpool_stride": 16}, diagnose=False).failure
    assert failure is not None
    assert failure.expression == "t_mask + s_mask"
    assert "(272) must match the size of tensor b (148)" in failure.message


def test_a_teacher_of_one_row_is_taken_for_any_row() -> None:
    model, (s_x, t_x), _ = prepare(LOSS, LOSS.settings("Runs, but should not"))
    assert t_x.shape[2] == 1
    with torch.no_grad():
        assert torch.isfinite(model(s_x, t_x))


def test_student_and_teacher_see_the_same_scene() -> None:
    larger = {"C": 8, "H": 50, "W": 74, "H_t": 50, "W_t": 74}
    _, (s_x, t_x), _ = prepare(LOSS, {**LOSS.settings("Small"), **larger})
    together = torch.corrcoef(torch.stack([s_x.flatten(), t_x.flatten()]))[0, 1]
    assert 0.5 < together < 0.99


def test_pairs_hold_only_for_maps_of_one_size() -> None:
    one_row = run(LOSS, LOSS.settings("Runs, but should not"), values=False)
    assert one_row.failure is None
    claims = [claim for claim in LOSS.claims if claim.verdict == "depends"]
    assert len(claims) == 3
    for claim in claims:
        assert not claim.holds(one_row)


def test_quotations_are_verbatim() -> None:
    posts = list((Path(__file__).parents[3] / "shared" / "posts").glob("000_*.txt"))
    if not posts:
        pytest.skip("the posts are not beside the project")
    lines = posts[0].read_text(encoding="utf-8").split("\n")
    for claim in LOSS.claims:
        assert any(claim.quote in line for line in lines), claim.quote
