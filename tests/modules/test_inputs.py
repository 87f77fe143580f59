"""The drawn inputs: right shape, finite, the same every time, and of something."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.inputs import (
    feature_map,
    frame_mask,
    groups,
    noise,
    picture,
    ramp,
    scene,
    sequence,
    signs,
)
from tests.effort import TIMES
from tests.together import together

few = settings(max_examples=20 * TIMES, deadline=None)
dimension = st.integers(1, 40)
seeds = st.integers(0, 2**31 - 1)


@few
@given(st.integers(1, 4), dimension, dimension, dimension, seeds)
def test_pictures_of_any_size(
    batch: int, channels: int, height: int, width: int, seed: int
) -> None:
    x = picture(channels, height, width, batch, seed)
    assert x.shape == (batch, channels, height, width)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert x.isfinite().all()
    assert torch.equal(x, picture(channels, height, width, batch, seed))


@few
@given(st.integers(1, 4), dimension, dimension, seeds)
def test_sequences_of_any_size(batch: int, length: int, channels: int, seed: int) -> None:
    x = signs(channels, length, batch, seed)
    assert x.shape == (batch, length, channels)
    assert x.dtype == torch.float32
    assert x.isfinite().all()
    assert torch.equal(x, signs(channels, length, batch, seed))


@pytest.mark.parametrize("kind", ["picture", "noise"])
def test_another_seed_draws_another_input(kind: str) -> None:
    shape = (2, 8, 14, 14)
    assert not torch.equal(feature_map(kind, shape, 0), feature_map(kind, shape, 1))
    assert not torch.equal(sequence(kind, shape[:3], 0), sequence(kind, shape[:3], 1))


@together(
    "make",
    [
        lambda: picture(8, 14, 14, 2, 0),
        lambda: signs(50, 23, 4, 0),
        lambda: noise((3, 4), 0),
        lambda: ramp((3, 4)),
        lambda: frame_mask("padded", 4, 10, 0),
        lambda: feature_map("shape", (2, 3, 4, 5), 0),
    ],
)
def test_the_global_random_state_is_left_alone(make: Callable[[], object]) -> None:
    before = torch.get_rng_state()
    make()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("height", "width"), [(100, 148), (200, 272), (14, 14), (12, 16)])
def test_a_picture_is_normalised(height: int, width: int) -> None:
    x = picture(64, height, width, 2, 0)
    assert (x.flatten(2).var(dim=2).mean(dim=1) - 1).abs().max() < 1e-2
    assert x.mean(dim=(1, 2, 3)).abs().max() < 0.2


def test_images_have_means_of_their_own() -> None:
    """A module that asks the whole image is answered otherwise by each."""
    means = picture(32, 14, 20, 3, 0).mean(dim=(2, 3))
    assert means.abs().mean(dim=1).min() > 0.1
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert (means[one] - means[other]).abs().mean() > 0.1


def test_an_image_does_not_depend_on_those_beside_it() -> None:
    alone, together = picture(8, 14, 20, 1, 3), picture(8, 14, 20, 4, 3)
    torch.testing.assert_close(alone[0], together[0])


@pytest.mark.parametrize(("height", "width"), [(100, 148), (200, 272), (14, 14)])
def test_the_horse_stands_out(height: int, width: int) -> None:
    """What attention over the picture shows: the horses respond more than the sky above them."""
    canvas = scene(height, width, 2, 0)
    energy = picture(64, height, width, 2, 0).abs().mean(dim=1)
    horse = canvas.mean(dim=1) < 0.2
    assert 0.05 < horse.float().mean() < 0.4
    assert energy[horse].mean() > 2 * energy[~horse].mean()


def test_the_scene_is_drawn_without_stairs() -> None:
    """A small drawing is nearly the large one averaged: its edges are covered in part."""
    large = scene(160, 224, 1, 3)
    small = scene(20, 28, 1, 3)
    averaged = torch.nn.functional.avg_pool2d(large, 8)
    assert (small - averaged).abs().mean() < 0.03
    assert large.min() >= 0
    assert large.max() <= 1


def test_images_of_a_batch_differ() -> None:
    canvas = scene(40, 60, 3, 0)
    assert not torch.equal(canvas[0], canvas[2])
    # Every other one is mirrored: the sun is on the other side.
    sun = (canvas[:, 0] > 0.9).float().sum(dim=1).argmax(dim=1)
    assert sun[0] > 30
    assert sun[1] < 30


def test_channels_answer_to_different_directions() -> None:
    x = picture(12, 48, 64, 1, 0)[0].flatten(1)
    similar = torch.corrcoef(x).fill_diagonal_(0).abs()
    assert similar.max() < 0.999


@few
@given(st.integers(1, 200))
def test_groups_cover_the_channels(channels: int) -> None:
    ends = [0]
    for _, start, end in groups(channels):
        assert start == ends[-1]
        assert end >= start
        ends.append(end)
    assert ends[-1] == channels


def test_neighbours_within_a_group_move_together_and_others_do_not() -> None:
    x = signs(118, 200, 8, 0)
    first = {start for _, start, _ in groups(118)}
    for sample in x:
        close = torch.corrcoef(sample.T).diagonal(1).abs()
        inside = [float(close[c - 1]) for c in range(1, 118) if c not in first]
        assert sum(inside) / len(inside) > 0.8
    border = torch.stack([torch.corrcoef(s.T).diagonal(1)[min(first - {0}) - 1] for s in x])
    assert border.abs().mean() < 0.7


@few
@given(st.integers(1, 6), st.integers(1, 30), seeds)
def test_masks_keep_the_beginning(batch: int, length: int, seed: int) -> None:
    mask = frame_mask("padded", batch, length, seed)
    assert mask is not None
    assert mask.shape == (batch, length)
    assert mask.dtype == torch.bool
    kept = mask.sum(dim=1)
    assert (kept >= (length + 1) // 2).all()
    assert torch.equal(mask, torch.arange(length) < kept[:, None])


def test_mask_kinds() -> None:
    assert frame_mask("none", 3, 5, 0) is None
    empty = frame_mask("one empty", 3, 5, 0)
    assert empty is not None
    assert not empty[0].any()
    assert empty[1:].any(dim=1).all()
    with pytest.raises(ValueError, match="There is no mask 'all': use none, padded or one empty"):
        frame_mask("all", 3, 5, 0)


def test_a_ramp_counts() -> None:
    x = ramp((2, 3, 4))
    assert x.shape == (2, 3, 4)
    assert x[1, 2, 3] == 23
    assert x.view(-1)[17] == 17


def test_noise_is_normal() -> None:
    x = noise((100, 100), 0)
    assert abs(x.mean().item()) < 0.05
    assert abs(x.std().item() - 1) < 0.05


@pytest.mark.parametrize("make", [feature_map, sequence])
def test_the_shape_kind_has_no_values(make: Callable[..., Tensor]) -> None:
    x = make("shape", (1024, 1024, 1024, 1024), 0)
    assert x.device.type == "meta"


@pytest.mark.parametrize("make", [feature_map, sequence])
def test_an_unknown_kind_gets_a_sentence(make: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match="There is no input kind 'photo': use picture, noise"):
        make("photo", (1, 1, 1, 1), 0)
