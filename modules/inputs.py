"""The inputs of the lessons, drawn by code.

Attention over noise shows noise.  So the usual input is a picture in which there is something to
attend to (two horses, a sun, a fence), lifted to as many channels as the module wants by fixed
oriented filters, as the first layers of a trained network would.  Everything is deterministic
and leaves torch's global random state alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from modules.lesson import InputKind

SKY = (0.60, 0.75, 0.92)
GRASS = (0.46, 0.66, 0.36)
SUN = (1.00, 0.88, 0.30)
FENCE = (0.78, 0.76, 0.62)
BROWN = (0.27, 0.13, 0.05)
GREY = (0.33, 0.27, 0.25)

# Coordinates within the box of a horse that looks to the right: x from 0 (tail) to 1 (nose),
# y from 0 (ears) to 1 (hooves).  A stroke is x, y, x, y, thickness.
STROKES = (
    (0.26, 0.45, 0.60, 0.45, 0.150),  # trunk
    (0.62, 0.40, 0.80, 0.16, 0.085),  # neck
    (0.80, 0.16, 0.96, 0.28, 0.062),  # head
    (0.79, 0.12, 0.80, 0.03, 0.022),  # ear
    (0.22, 0.50, 0.18, 0.74, 0.055),  # hind leg, upper
    (0.18, 0.74, 0.22, 0.97, 0.034),
    (0.32, 0.55, 0.36, 0.97, 0.036),  # the other hind leg
    (0.60, 0.52, 0.56, 0.97, 0.038),  # fore leg
    (0.67, 0.52, 0.76, 0.72, 0.042),  # the other fore leg, lifted
    (0.76, 0.72, 0.70, 0.86, 0.030),
    (0.13, 0.42, 0.02, 0.72, 0.035),  # tail
)

AVERAGE = (0.50, 0.62, 0.58)
"""The colour of an average scene, which is taken off as that of a data set is."""

SCALES = (0.8, 1.6, 3.2)
"""Widths of the filters, in pixels."""

GROUPS = (("eyes", 32), ("nose", 8), ("lips", 36), ("left hand", 21), ("right hand", 21))
"""The parts of a signer that post 001 lists, with the share of the channels that each has."""


def feature_map(kind: InputKind, shape: Sequence[int], seed: int) -> Tensor:
    """The input of an image module: (B, C, H, W), float32.

    `kind` is one of `picture`, `noise`, `ramp`, and `shape` for a meta tensor without values.
    """
    if kind == "picture":
        B, C, H, W = shape
        return picture(C, H, W, B, seed)
    return _plain(kind, shape, seed)


def sequence(kind: InputKind, shape: Sequence[int], seed: int) -> Tensor:
    """The input of a sequence module: (B, T, C), float32; `picture` is the drawn signer."""
    if kind == "picture":
        B, T, C = shape
        return signs(C, T, B, seed)
    return _plain(kind, shape, seed)


def _plain(kind: InputKind, shape: Sequence[int], seed: int) -> Tensor:
    if kind == "noise":
        return noise(shape, seed)
    if kind == "ramp":
        return ramp(shape)
    if kind == "shape":
        return torch.empty(tuple(shape), device="meta")
    raise ValueError(f"There is no input kind {kind!r}: use picture, noise, ramp or shape.")


def noise(shape: Sequence[int], seed: int) -> Tensor:
    """Independent normal numbers of mean 0 and standard deviation 1."""
    return torch.randn(tuple(shape), generator=_generator(seed))


def ramp(shape: Sequence[int]) -> Tensor:
    """Each element holds its own flat index, so that one can follow it through view and permute.

    float32 counts exactly up to 2**24; beyond, neighbours may share a value.
    """
    return torch.arange(math.prod(shape), dtype=torch.float32).view(tuple(shape))


def picture(channels: int, height: int, width: int, batch: int, seed: int) -> Tensor:
    """A scene as a network would see it: (batch, channels, height, width).

    Channel c answers to edges (even c) or lines (odd c) of one direction at one of three widths,
    and to one colour, as far as that differs from an average scene's.  So each image keeps means of
    its own: no two stand in one light.  The numbers have standard deviation 1 over each image,
    taken about the channels' means.
    """
    scenes = scene(height, width, batch, seed) * _light(batch, seed)
    responses = _responses(scenes)
    responses[:, -3:] -= torch.tensor(AVERAGE).view(1, 3, 1, 1)
    # Each channel is a fixed mixture of a few responses, since derivatives of a Gaussian in any
    # direction are mixtures of those along the axes (Freeman and Adelson, 1991).
    mixing = _mixing(channels)
    rows = responses.flatten(2)
    # With centred rows the variance of all channels together is that of the mixtures' covariance.
    centred = rows - rows.mean(dim=2, keepdim=True)
    covariance = centred @ centred.mT / rows.shape[2]
    variance = ((mixing @ covariance) * mixing).sum(dim=2).mean(dim=1)
    scale = variance.clamp_min(1e-12).rsqrt().view(batch, 1, 1)
    return torch.matmul(mixing, rows * scale).view(batch, channels, height, width)


def _light(batch: int, seed: int) -> Tensor:
    """How much of each colour reaches each image, (batch, 3, 1, 1): all of it the first, and the
    others something between morning and dusk."""
    light = 0.7 + 0.3 * torch.rand(batch, 3, 1, 1, generator=_generator(seed + 1))
    light[:1] = 1
    return light


def scene(height: int, width: int, batch: int, seed: int) -> Tensor:
    """The scene in colour: (batch, 3, height, width), values from 0 to 1.

    A meadow with a fence, the sun, a brown horse and far behind it a small grey one.  Each image
    of the batch places them differently, every other one is mirrored.
    """
    jitter = torch.rand(batch, 5, 1, 1, generator=_generator(seed))
    pixel = 1 / height
    y = ((torch.arange(height) + 0.5) * pixel).view(1, height, 1)
    x = ((torch.arange(width) + 0.5) / width).view(1, 1, width).expand(batch, 1, width).clone()
    x[1::2] = 1 - x[1::2]
    stretch = width / height

    def paint(canvas: Tensor, colour: tuple[float, float, float], distance: Tensor) -> Tensor:
        # A pixel through which the outline runs is covered in part, whatever the resolution.
        cover = (0.5 - distance / pixel).clamp(0, 1).unsqueeze(1)
        return canvas + cover * (torch.tensor(colour).view(1, 3, 1, 1) - canvas)

    ground = 0.62
    canvas = torch.tensor(SKY).view(1, 3, 1, 1).expand(batch, 3, height, width)
    sun = torch.hypot((x - 0.84 + 0.05 * jitter[:, 0]) * stretch, y - 0.17) - 0.11
    canvas = paint(canvas, SUN, sun)
    canvas = paint(canvas, GRASS, (ground - y).expand(batch, height, width))
    post = (torch.remainder(x * 12, 1) - 0.5).abs() / 12 * stretch - 0.015 * stretch
    canvas = paint(canvas, FENCE, torch.maximum(post, (y - 0.62).abs() - 0.09))
    canvas = paint(canvas, FENCE, ((y - 0.59).abs() - 0.014).expand(batch, height, width))
    far = _horse(x, y, stretch, left=0.68 + 0.05 * jitter[:, 1], top=0.42, size=0.26)
    canvas = paint(canvas, GREY, far)
    size = 0.66 + 0.06 * jitter[:, 2]
    near = _horse(x, y, stretch, left=0.06 + 0.08 * jitter[:, 3], top=0.94 - size, size=size)
    return paint(canvas, BROWN, near)


def _horse(
    x: Tensor,
    y: Tensor,
    stretch: float,
    *,
    left: Tensor,
    top: Tensor | float,
    size: Tensor | float,
) -> Tensor:
    """Distance to the outline of a horse, negative inside, in heights of the image."""
    # A horse is wider than high: its box is 1.2 by 1, and narrower in a narrow picture.
    wide = 1.2 * min(stretch, 1.4) / 1.4
    u = (x - left) * stretch / size / wide
    v = (y - top) / size
    distance: Tensor | None = None
    for x1, y1, x2, y2, thickness in STROKES:
        along_x, along_y = x2 - x1, y2 - y1
        length = along_x**2 + along_y**2
        t = (((u - x1) * along_x + (v - y1) * along_y) / length).clamp(0, 1)
        stroke = torch.hypot(u - x1 - t * along_x, v - y1 - t * along_y) - thickness
        distance = stroke if distance is None else torch.minimum(distance, stroke)
    assert distance is not None
    return distance * size


def _responses(scenes: Tensor) -> Tensor:
    """Derivatives of Gaussians of the grey scene, five per scale, then the three colours:
    (B, 18, H, W)."""
    grey = scenes.mean(dim=1, keepdim=True)
    found = []
    for sigma in SCALES:
        reach = math.ceil(3 * sigma)
        t = torch.arange(-reach, reach + 1, dtype=torch.float32) / sigma
        bell = torch.exp(-t * t / 2)
        bell = bell / bell.sum()
        slope, bend = -t * bell, (t * t - 1) * bell
        padded = F.pad(grey, (reach,) * 4, mode="replicate")
        # Every filter is a column times a row, so two thin passes do for one square one.
        rows = torch.stack([bell, slope, bend]).view(3, 1, 1, -1)
        across = F.conv2d(padded, rows)
        columns = torch.stack([bell, bell, slope, bell, slope, bend]).view(6, 1, -1, 1)
        along = F.conv2d(across[:, [0, 1, 0, 2, 1, 0]], columns, groups=6)
        found.append(along[:, 1:])
    return torch.cat([*found, scenes], dim=1)


def _mixing(channels: int) -> Tensor:
    """Which mixture of the responses each channel is: (channels, 18)."""
    c = torch.arange(channels)
    # The golden angle spreads the directions evenly for any number of channels.
    angle = c * math.pi * (math.sqrt(5) - 1) / 2
    cos, sin = torch.cos(angle), torch.sin(angle)
    line = (c % 2).float()
    edge = 1 - line
    mixture = torch.stack(
        [edge * cos, edge * sin, line * cos**2, 2 * line * cos * sin, line * sin**2], dim=1
    )
    scale = F.one_hot(c // 2 % len(SCALES), len(SCALES)).float()
    colour = F.one_hot(c % 3, 3).float() * (0.45 * torch.cos(c * 2.4)).unsqueeze(1)
    return torch.cat([(scale.unsqueeze(2) * mixture.unsqueeze(1)).flatten(1), colour], dim=1)


def groups(channels: int) -> tuple[tuple[str, int, int], ...]:
    """The groups that `signs` divides the channels into: (name, first channel, end)."""
    total = sum(share for _, share in GROUPS)
    found, start, shares = [], 0, 0
    for name, share in GROUPS:
        shares += share
        end = channels * shares // total
        found.append((name, start, end))
        start = end
    return tuple(found)


def signs(channels: int, length: int, batch: int, seed: int) -> Tensor:
    """Signers as sequences of landmarks: (batch, length, channels).

    The channels come in groups (`groups`), and neighbours within a group move together: that is
    what makes a convolution along the channels sensible.  The hands move most, the nose least.
    """
    generator = _generator(seed)
    waves = 3
    c = torch.arange(channels, dtype=torch.float32)
    profiles = torch.zeros(len(GROUPS) * waves, channels)
    for number, (_, start, end) in enumerate(groups(channels)):
        place = (c[start:end] - start + 0.5) / max(end - start, 1)
        for wave in range(waves):
            profiles[number * waves + wave, start:end] = torch.cos(math.pi * wave * place)
    lively = torch.tensor([0.6, 0.3, 0.8, 1.2, 1.6]).repeat_interleave(waves)
    level = 0.8 * lively * torch.randn(batch, 1, len(lively), generator=generator)
    phase = 2 * math.pi * torch.rand(batch, 1, len(lively), generator=generator)
    speed = 0.5 + torch.rand(batch, 1, len(lively), generator=generator)
    time = torch.arange(length, dtype=torch.float32).view(1, length, 1) * 2 * math.pi / 23
    motion = level + lively * torch.sin(speed * time + phase)
    return torch.matmul(motion, profiles)


def frame_mask(kind: str, batch: int, length: int, seed: int) -> Tensor | None:
    """Which frames are real, as (batch, length) bool; the others are padding at the end.

    `kind` is `none` (no mask at all), `padded` (each sequence keeps between half and all of its
    frames) or `one empty` (as `padded`, and the first sequence keeps none).
    """
    if kind == "none":
        return None
    if kind not in ("padded", "one empty"):
        raise ValueError(f"There is no mask {kind!r}: use none, padded or one empty.")
    fewest = (length + 1) // 2
    kept = torch.randint(fewest, length + 1, (batch, 1), generator=_generator(seed + 1))
    if kind == "one empty":
        kept[0] = 0
    return torch.arange(length).view(1, length) < kept


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
