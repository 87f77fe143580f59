"""The attention of HA-CNN (post 002): soft weighs every pixel, hard picks regions.

Soft attention multiplies a map of places with a list of channels.  Hard attention predicts where
four regions lie, and `Regions` cuts them out.  Li, Zhu, Gong, Harmonious Attention Network for
Person Re-Identification, CVPR 2018, arXiv 1802.08122.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.inputs import feature_map, scene
from modules.lesson import (
    Claim,
    InputKind,
    Lesson,
    Option,
    Paper,
    Preset,
    Settings,
    Size,
    Verdict,
    maker,
    shape_claim,
    shown,
    tensor,
    with_fixed_weights,
)
from modules.story import Part, Plot
from tracer import Trace
from tracer.ops.names import op_name
from tracer.sentences import said

REGIONS = 4


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU: (B, in_c, H, W) → (B, out_c, H', W')."""

    def __init__(self, in_c: int, out_c: int, k: int, s: int = 1, p: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_c, out_c, k, stride=s, padding=p)
        self.bn = nn.BatchNorm2d(out_c)

    def forward(self, x: Tensor) -> Tensor:
        # Kernel {self.conv.kernel_size[0]} × {self.conv.kernel_size[1]}, stride
        # {self.conv.stride[0]}: channels {x.shape[1]} → {z.shape[1]}, places
        # {x.shape[2]} × {x.shape[3]} → {z.shape[2]} × {z.shape[3]}.
        z = self.conv(x)

        # In training each channel gets mean 0 and variance 1 over all {z.shape[0]} images and
        # their places. That takes more than one value per channel.
        normed = self.bn(z)

        # What is negative becomes 0: from here on nothing argues against, there is only more or
        # less in favour.
        return F.relu(normed)


class SpatialAttn(nn.Module):
    """How much each place matters: (B, C, H, W) → (B, 1, H, W), at least 0.

    An odd H or W comes out one larger: halved it is rounded up, and then doubled.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBlock(1, 1, 3, s=2, p=1)
        self.conv2 = ConvBlock(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        # $\bar x_{ij}=\frac1C\sum_c x_{c,ij}$: *where* is asked, not *what*, so {x.shape[1]}
        # channels give way to their mean. Nothing is learned yet; that is why any number of
        # channels will do.
        s = torch.mean(x, dim=1, keepdim=True)

        # Every second place is enough to say roughly where, each from a window that
        # overlaps the next: $\lceil\frac{H}{2}\rceil\times\lceil\frac{W}{2}\rceil$ places,
        # a quarter of the work.
        s_half = self.conv1(s)
        H, W = s_half.shape[2:]

        # Back to full size, between {H} × {W} known values along straight lines. Doubling undoes
        # the halving only if the height and the width were even: an odd side comes back one
        # larger.
        s_full = F.interpolate(s_half, size=(2 * H, 2 * W), mode="bilinear", align_corners=True)

        # One weight and one bias: how loud this map shall be beside that of the channels.
        y_spatial: Tensor = self.conv2(s_full)
        return y_spatial


class ChannelAttn(nn.Module):
    """How much each channel matters: (B, C, H, W) → (B, C, 1, 1), at least 0.

    Args:
        in_channels: C.
        reduction_rate: the block between has C // reduction_rate channels.

    Raises:
        ValueError: C is not a multiple of reduction_rate.
    """

    def __init__(self, in_channels: int, reduction_rate: int = 16) -> None:
        super().__init__()
        if reduction_rate < 1:
            raise ValueError(f"reduction_rate is {reduction_rate}: use 1 or more.")
        if in_channels < 1 or in_channels % reduction_rate:
            raise ValueError(
                f"in_channels is {in_channels}, not a multiple of the reduction rate "
                f"{reduction_rate}: use {reduction_rate}, {2 * reduction_rate}, "
                f"{3 * reduction_rate} and so on."
            )
        self.conv1 = ConvBlock(in_channels, in_channels // reduction_rate, 1)
        self.conv2 = ConvBlock(in_channels // reduction_rate, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        # **Squeeze**: $p_c=\frac1{HW}\sum_{ij}x_{c,ij}$. A window as large as the map itself
        # leaves one place.
        p = F.avg_pool2d(x, x.shape[2:])

        # **Excitation**, first half: {p.shape[1]} channels have to say what matters in
        # {hidden.shape[1]}. On a single place a convolution is a plain matrix.
        hidden = self.conv1(p)

        # Second half: and from that each of the {y_channel.shape[1]} gets its weight.
        y_channel: Tensor = self.conv2(hidden)
        return y_channel


class SoftAttn(nn.Module):
    """One weight per pixel and channel: (B, C, H, W) → (B, C, H, W), from 0.5 to below 1.

    H and W should be even, see `SpatialAttn`; C a multiple of 16, see `ChannelAttn`.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.spatial_attn = SpatialAttn()
        self.channel_attn = ChannelAttn(in_channels)
        self.conv = ConvBlock(in_channels, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        # **Where?** One map for all channels.
        y_spatial = self.spatial_attn(x)

        # **Which features?** One number for all places.
        y_channel = self.channel_attn(x)

        # $y_{c,ij}=s_{ij}\,k_c$: broadcasting lays the {y_spatial.shape[2]} × {y_spatial.shape[3]}
        # map over each of the {y_channel.shape[1]} numbers. So many weights from so few is a
        # product of two small ones: each channel sees the same map, louder or softer.
        y = y_spatial * y_channel

        # A product knows no exceptions. This mixes the channels at each place, so that the two
        # answers can depend on each other.
        mixed = self.conv(y)

        # $\sigma$ makes a weight of it. But a ReLU came before, and $\sigma(0)=\frac12$: no
        # weight falls below one half, nothing can be switched off.
        y_soft_attn = torch.sigmoid(mixed)
        return y_soft_attn


class HardAttn(nn.Module):
    """Where four regions lie: (B, C, H, W) → θ (B, 4, 2), each between -1 and 1.

    θ[:, i] is the centre (x, y) of region i, 0 being the middle of the map and ±1 its borders.  A
    fresh layer ignores its input and puts four strips one below the other.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, REGIONS * 2)
        self.init_params()

    def init_params(self) -> None:
        nn.init.zeros_(self.fc.weight)
        with torch.no_grad():
            self.fc.bias.copy_(torch.tensor([0.0, -0.75, 0.0, -0.25, 0.0, 0.25, 0.0, 0.75]))

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape

        # $p_c=\frac1{HW}\sum_{ij}x_{c,ij}$: one place is left of {H} × {W}. *Where* is to be
        # answered from a sum in which no place is left: only from what there is.
        pooled = F.avg_pool2d(x, (H, W))

        # Without the two 1s: one row of {C} numbers per image.
        p = pooled.view(B, C)

        # $Wp+b$: an x and a y for each of the regions. $W$ starts at 0 and $b$ at
        # $(0,-0.75,\;0,-0.25,\;0,0.25,\;0,0.75)$.
        offsets = self.fc(p)

        # $\tanh$ keeps the centres within the map. It also moves the strips of a fresh layer
        # together, from $\pm0.75$ to $\pm0.64$: they overlap a little and miss both borders.
        inside = torch.tanh(offsets)

        # {inside.shape[1]} numbers in a row are pairs, one for each region.
        theta = inside.view(-1, REGIONS, 2)
        return theta


class HarmAttn(nn.Module):
    """Soft and hard attention of one map: (B, C, H, W) → (B, C, H, W) and θ (B, 4, 2)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.soft_attn = SoftAttn(in_channels)
        self.hard_attn = HardAttn(in_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # **Pixels**: a weight for every number of `x`.
        y_soft_attn = self.soft_attn(x)

        # **Regions**: for the whole of `x` no more than four points.
        theta = self.hard_attn(x)
        return y_soft_attn, theta


class Regions(nn.Module):
    """What HA-CNN does with θ: four regions, predicted from one map and cut out of another.

    Args:
        in_channels: C of the map that θ is predicted from.
        size: height and width of a region in the end.

    x (B, C, H, W) and source (B, K, U, V) → regions (B, 4, K, *size), and a picture
    (B, 1, U, V) of the source with the regions' frames.
    """

    scale: Tensor
    still: Tensor

    def __init__(self, in_channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.hard_attn = HardAttn(in_channels)
        self.size = size
        # As wide as the map, a quarter as high. Fixed, so it is no weight to be loaded.
        self.register_buffer("scale", torch.tensor([[1.0, 0.0], [0.0, 0.25]]), persistent=False)
        self.register_buffer("still", torch.eye(2, 3), persistent=False)

    def forward(self, x: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        # From {x.shape[1]} × {x.shape[2]} × {x.shape[3]} numbers to the centres of the regions.
        theta = self.hard_attn(x)
        cut = []
        for i in range(REGIONS):
            # Centre $(t_x,t_y)$ of one region, for each image of the batch.
            centre = theta[:, i, :]

            # $A=\begin{pmatrix}1&0&t_x\\0&\frac14&t_y\end{pmatrix}$: of the six numbers of an
            # affine map only the last column is predicted, the size is given. A 1 makes a column
            # of each centre, and the same scale is read for every image.
            A = torch.cat([self.scale.expand(len(x), 2, 2), centre.unsqueeze(2)], dim=2)

            # For each of {source.shape[2]} × {source.shape[3]} places of the *result*: from which
            # point (x, y) of the source shall it be taken? $A$ times the place. Coordinates run
            # from -1 to 1 whatever the size, so the map that θ came from may be smaller.
            grid = F.affine_grid(A, list(source.shape), align_corners=False)

            # Such a point lies between four pixels: their mean, weighted by nearness. Not a
            # slice, whose borders would be whole numbers: this has a gradient, so that θ can
            # learn. Beyond the border there are zeros.
            strip = F.grid_sample(source, grid, align_corners=False)

            # The strip was stretched to the full height. Now it becomes as small as the next
            # layer wants it.
            region = F.interpolate(strip, size=self.size, mode="bilinear", align_corners=True)
            cut.append(region)

        # A dimension for the {theta.shape[1]} regions, after that of the images.
        regions = torch.stack(cut, dim=1)
        return regions, framed(source, theta, self.scale, self.still)


def framed(source: Tensor, theta: Tensor, scale: Tensor, still: Tensor) -> Tensor:
    """The source in grey with a frame around each region: (B, 1, U, V).  Nothing of this is in
    the network; it is here to be looked at."""
    # The {source.shape[1]} channels together are a grey picture.
    grey = torch.mean(source, dim=1, keepdim=True)

    # The affine map that moves nothing, read again for each of the images...
    here = still.expand(len(grey), 2, 3)

    # ...gives the coordinates (x, y) of every place.
    places = F.affine_grid(here, list(grey.shape), align_corners=False)

    # How far is each place from each centre? The places need a dimension for the regions, the
    # centres two for the places; then broadcasting pairs them all.
    offset = places.unsqueeze(1) - theta[:, :, None, None, :]

    # Half the width and half the height of a region stand on the diagonal.
    beyond = offset.abs() - torch.diagonal(scale)

    # A place is outside as soon as it is outside in one direction: the larger of the two.
    outside = torch.amax(beyond, dim=4)

    # 0 is the border itself. One frame for each region...
    frames = outside.abs() < 0.012

    # ...and all of them in one picture.
    frame = torch.any(frames, dim=1, keepdim=True)

    # The brightest value there is, a single number, draws the frames on a darkened picture.
    drawn = torch.where(frame, grey.amax(), 0.6 * grey)
    return drawn


class Weighed(nn.Module):
    """The use of a map of weights: x · attention(x).  Their sizes have to agree."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        # The weights, computed from what is to be weighed.
        weights = self.attention(x)

        # Number by number: what matters passes, what does not fades.
        weighed: Tensor = x * weights
        return weighed


# --- the lessons ----------------------------------------------------------------------------

TRAINED = Path(__file__).with_name("hacnn.json")
"""The weights that `python -m modules.train_hacnn` has found."""


def seen(kind: InputKind, shape: tuple[int, ...], seed: int) -> Tensor:
    """The input of a block: (B, C, H, W).

    Three channels are the colours of the scene.  More are the scene as a block before would pass
    it on: lifted to C channels, and only what is positive, as every `ConvBlock` ends.
    """
    if kind != "picture":
        return feature_map(kind, shape, seed)
    B, C, H, W = shape
    return scene(H, W, B, seed) if C == 3 else feature_map(kind, shape, seed).relu()


@functools.cache
def _stored(part: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = json.loads(TRAINED.read_text(encoding="utf-8"))[part]
    return found


def _with_trained(model: nn.Module, settings: Settings, part: str, prefix: str) -> nn.Module:
    """The model with the stored weights if they are wanted and fit, else as it was."""
    stored = _stored(part)
    state = model.state_dict()
    numbers = {key: stored.get(prefix + key) for key in state if not key.endswith("_tracked")}
    fit = all(found and len(found) == state[key].numel() for key, found in numbers.items())
    on_meta = next(model.parameters()).is_meta
    if settings["weights"] == "trained" and fit and not on_meta:
        for key, found in numbers.items():
            state[key] = torch.tensor(found).view_as(state[key])
        model.load_state_dict(state)
    return model


def _applied(attention: nn.Module, settings: Settings) -> nn.Module:
    return Weighed(attention) if settings["times_x"] else attention


def _build_spatial(settings: Settings) -> nn.Module:
    model = with_fixed_weights(SpatialAttn)
    if settings["C"] == 3:
        model = _with_trained(model, settings, "spatial", "")
    else:
        model = _with_trained(model, settings, "harmonious", "soft_attn.spatial_attn.")
    return _applied(model, settings)


def _build_channel(settings: Settings) -> nn.Module:
    model = with_fixed_weights(lambda: ChannelAttn(settings["C"], settings["reduction_rate"]))
    return _with_trained(model, settings, "harmonious", "soft_attn.channel_attn.")


def _build_soft(settings: Settings) -> nn.Module:
    model = with_fixed_weights(lambda: SoftAttn(settings["C"]))
    return _applied(_with_trained(model, settings, "harmonious", "soft_attn."), settings)


def _build_harm(settings: Settings) -> nn.Module:
    model = with_fixed_weights(lambda: HarmAttn(settings["C"]))
    return _with_trained(model, settings, "harmonious", "")


def _build_regions(settings: Settings) -> nn.Module:
    in_channels = settings["C"] if settings["in_channels"] == "C" else settings["in_channels"]
    size = (settings["region_H"], settings["region_W"])
    model = with_fixed_weights(lambda: Regions(in_channels, size))
    return _with_trained(model, settings, "harmonious", "")


def _inputs(
    settings: Settings, kind: InputKind, seed: int
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    B, C, H, W = (settings[name] for name in "BCHW")
    return (seen(kind, (B, C, H, W), seed),), {}


def _regions_inputs(
    settings: Settings, kind: InputKind, seed: int
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    B, K, U, V = (settings[name] for name in "BKUV")
    (x,), _ = _inputs(settings, kind, seed)
    return (x, seen(kind, (B, K, U, V), seed)), {}


PAPER = Paper(
    title="Harmonious Attention Network for Person Re-Identification",
    authors="Wei Li, Xiatian Zhu, Shaogang Gong",
    venue="CVPR",
    year=2018,
    link="https://arxiv.org/abs/1802.08122",
)
SOURCE = "https://github.com/KaiyangZhou/deep-person-reid/blob/master/torchreid/models/hacnn.py"
POST = "Post's size"
IN_TRAINING = "Breaks: one image in training"
ODD_TIMES_X = "Breaks: odd height, times x"
FRESH = "Not trained"
WEIGHTS = (
    "The weights were trained for a minute on drawn pictures of 256 × 128, with which "
    "`python -m modules.train_hacnn` does it again; {fits} they are random and mean nothing."
)
SIXTEEN = WEIGHTS.format(fits="for other than 16 channels")
WEIGHTS_OPTION = Option(
    "weights",
    "trained ones, where they fit, or random ones",
    "trained",
    ("trained", "random"),
    in_words=True,
)
TIMES_X = Option(
    "times_x", "multiply x with its weights, as the network does", False, (False, True)
)


def _sizes(C: int, low: int) -> tuple[Size, ...]:
    return (
        Size("B", "images", 32, 1, 64),
        Size("C", "channels", C, low, 2048),
        Size("H", "height", 256, 1, 512),
        Size("W", "width", 128, 1, 512),
    )


def _at(B: int, C: int, H: int, W: int) -> dict[str, int]:
    return {"B": B, "C": C, "H": H, "W": W}


# --- what post 002 says ---------------------------------------------------------------------


def _code(line: str) -> str:
    """The post's code has no-break spaces."""
    return line.replace(" ", "\u00a0")


def _shape(
    quote: str,
    name: str,
    shape: tuple[int, ...],
    verdict: Verdict = "agrees",
    why: str = "",
    output: int | None = None,
) -> Claim:
    return shape_claim(
        quote, name, shape, post="002", preset=POST, verdict=verdict, why=why, output=output
    )


def _rule(
    quote: str,
    says: str,
    holds: Any,
    found: Any,
    verdict: Verdict = "agrees",
    why: str = "",
) -> Claim:
    return Claim("002", quote, says, POST, holds, found, verdict, why)


def _made(trace: Trace, name: str) -> str:
    step = maker(trace, tensor(trace, name))
    return f"{name} = {step.expression}, {shown(step.outputs[0].shape)}"


def _mean(trace: Trace) -> tuple[str, ...]:
    return maker(trace, tensor(trace, "s")).arguments


def _kernels(trace: Trace) -> list[tuple[int, ...]]:
    """The shapes of the weights of all convolutions, in the order of the run."""
    convolutions = [step for step in trace.steps if step.op == "nn.Conv2d"]
    return [
        next(note.shape for note in step.inputs if note.kind == "parameter" and len(note.shape) > 1)
        for step in convolutions
    ]


def _ops(trace: Trace) -> list[str]:
    return [op_name(step.op) for step in trace.steps]


def _learned_in(trace: Trace, name: str) -> list[str]:
    """The parameters of the step that made the tensor."""
    step = maker(trace, tensor(trace, name))
    return [note.name for note in step.inputs if note.kind == "parameter"]


def _weights(trace: Trace) -> str:
    return ", ".join(shown(kernel) for kernel in _kernels(trace))


def _both_sides(trace: Trace, small: str, large: str, factor: int) -> bool:
    pairs = zip(tensor(trace, small).shape[2:], tensor(trace, large).shape[2:], strict=True)
    return all(factor * a == b for a, b in pairs)


def _change(trace: Trace, *names: str) -> str:
    return " → ".join(f"{name} {shown(tensor(trace, name).shape)}" for name in names)


SPATIAL_CLAIMS = (
    _shape("输入x.shape=(32,3,256,128)", "x", (32, 3, 256, 128)),
    _rule(
        "对第三维度通道求mean",
        "the mean is taken over the third dimension",
        lambda trace: "dim=2" in _mean(trace),
        lambda trace: said("torch.mean with {arguments}", arguments=", ".join(_mean(trace))),
        "slip",
        "Dimension 1, the second one, holds the channels. The third is the height; its mean would "
        "be (32,3,1,128).",
    ),
    _shape("x.mean.shape按照通道求均值=(32,1,256,128)", "s", (32, 1, 256, 128)),
    _rule(
        "空间注意力是对64个通道进行mean的一个操作",
        "the channels, 64 of them, give way to their mean",
        lambda trace: (
            tensor(trace, "s").shape[1] == 1
            and maker(trace, tensor(trace, "s")).inputs[0].id == trace.inputs[0].id
        ),
        lambda trace: _change(trace, "x", "s"),
        "depends",
        "Any number does: 3 in the comment of the code, 16 where SoftAttn calls it, 64 in the "
        "text. The mean is only the first step; two convolutions follow.",
    ),
    _rule(
        "得到一个(w x h)的权重",
        "the map of weights is W × H",
        lambda trace: tensor(trace, "y_spatial").shape[2:] == trace.inputs[0].shape[:1:-1],
        lambda trace: _change(trace, "y_spatial"),
        "slip",
        "Height first: the map is (H, W), as its picture is. It has a batch dimension too, each "
        "image its own map.",
    ),
    _rule(
        "mean的操作就学到了所有通道的整体分布",
        "the mean learns how all channels are distributed",
        lambda trace: bool(_learned_in(trace, "s")),
        lambda trace: (
            f"{_made(trace, 's')}, parameters: {', '.join(_learned_in(trace, 's')) or 'none'}"
        ),
        "slip",
        "A mean has nothing to learn, and of a distribution it keeps one number. What is learned "
        "are the 16 numbers of the two convolutions and their batch norms.",
    ),
    _rule(
        "而抛弃了奇异的通道",
        "channels unlike the others are left out",
        lambda trace: (
            maker(trace, tensor(trace, "s")).inputs[0].shape[1] < trace.inputs[0].shape[1]
        ),
        lambda trace: said(
            "{some} of {all} channels enter the mean",
            some=maker(trace, tensor(trace, "s")).inputs[0].shape[1],
            all=trace.inputs[0].shape[1],
        ),
        "slip",
        "All channels count alike, one with large numbers even more than the others.",
    ),
    _rule(
        _code("self.conv1 = ConvBlock(1, 1, 3, s=2, p=1)"),
        "a 3 × 3 convolution from one channel to one",
        lambda trace: _kernels(trace)[0] == (1, 1, 3, 3),
        lambda trace: said(
            "weights {shapes}; {ops}", shapes=_weights(trace), ops=", ".join(_ops(trace)[1:4])
        ),
        "agrees",
        "The post does not print ConvBlock: a convolution, batch norm and ReLU.",
    ),
    _rule(
        "一个卷积照片缩小一半",
        "a convolution makes the picture half as large",
        lambda trace: _both_sides(trace, "s_half", "s", 2),
        lambda trace: _change(trace, "s", "s_half"),
        "agrees",
        "Both sides are halved, a quarter of the places is left.",
    ),
    _shape(_code("# x.shape=(32,1,128,64)"), "s_half", (32, 1, 128, 64)),
    _rule(
        _code("(x.size(2) * 2, x.size(3) * 2), mode='bilinear', align_corners=True)"),
        "both sides are doubled",
        lambda trace: _both_sides(trace, "s_half", "s_full", 2),
        lambda trace: _change(trace, "s_half", "s_full"),
        "agrees",
        "F.upsample is deprecated; F.interpolate with the same arguments does the same.",
    ),
    _rule(
        "upsample恢复",
        "upsampling restores the size of x",
        lambda trace: tensor(trace, "s_full").shape[2:] == trace.inputs[0].shape[2:],
        lambda trace: _change(trace, "x", "s_half", "s_full"),
        "depends",
        "On even sizes. Of 15 rows the stride leaves 8, and twice 8 is 16: see the preset with "
        "odd sizes.",
    ),
    _shape(_code("# x.shape=(32,1,256,128)#"), "s_full", (32, 1, 256, 128)),
    _rule(
        _code("再经过1x1 conv"),
        "a 1 × 1 convolution comes last",
        lambda trace: _kernels(trace)[-1] == (1, 1, 1, 1),
        lambda trace: said("weights {shapes}", shapes=_weights(trace)),
    ),
    _shape(_code("# x.shape=(32,1,256,128)return"), "y_spatial", (32, 1, 256, 128), output=0),
)

CHANNEL_CLAIMS = (
    _rule(
        "就是对于每个channel赋予不同的权重",
        "each channel gets a weight of its own",
        lambda trace: tensor(trace, "y_channel").shape[1:] == (trace.inputs[0].shape[1], 1, 1),
        lambda trace: _change(trace, "x", "y_channel"),
    ),
    _rule(
        "对1,2通道的权重比较大,3,4处权重小",
        "channels that show the horse get larger weights",
        lambda trace: len(_kernels(trace)) == 2,
        lambda trace: said(
            "weights {shapes} from {source}", shapes=_weights(trace), source=_change(trace, "p")
        ),
        "depends",
        "On training, and on what the mean over all places tells of a channel: where the horse is "
        "has been summed away.",
    ),
    _rule(
        _code("assert in_channels % reduction_rate == 0"),
        "the reduction divides the channels without remainder",
        lambda trace: (
            tensor(trace, "p").shape[1] % tensor(trace, "hidden").shape[1] == 0
            and tensor(trace, "p").shape[1] // tensor(trace, "hidden").shape[1] == 16
        ),
        lambda trace: _change(trace, "p", "hidden"),
    ),
    _rule(
        _code("# squeeze operation (global average pooling)"),
        "one place is left",
        lambda trace: tensor(trace, "p").shape[2:] == (1, 1),
        lambda trace: _made(trace, "p"),
    ),
    _shape(_code("# x.shape=(32, 16, 256, 128)"), "x", (32, 16, 256, 128)),
    _shape("#torch.size([32,16,1,1])#", "p", (32, 16, 1, 1)),
    _rule(
        _code("# excitation operation (2 conv layers)"),
        "two convolutions, to fewer channels and back",
        lambda trace: (
            [k[2:] for k in _kernels(trace)] == [(1, 1)] * 2
            and _kernels(trace)[0][:2] == _kernels(trace)[1][1::-1]
        ),
        lambda trace: said("weights {shapes}", shapes=_weights(trace)),
        "agrees",
        "On maps of one place they are plain matrices, the Linear layers of an SE block with a "
        "batch norm after each.",
    ),
    _shape(
        "#torch.size([32,1,1,1])",
        "hidden",
        (32, 1, 1, 1),
        "depends",
        "The first 1 is 16 // 16, in_channels by reduction_rate. With 32 channels it would be "
        "(32,2,1,1).",
    ),
    _shape("#torch.size([32,16,1,1])return", "y_channel", (32, 16, 1, 1), output=0),
)


def _gives_regions(trace: Trace) -> bool:
    return any(note.shape[1:] == (REGIONS, 2) for note in trace.outputs)


def _product(trace: Trace) -> bool:
    """Whether the result itself is the product of the two attentions."""
    step = maker(trace, trace.outputs[0])
    wanted = {tensor(trace, name).id for name in ("y_spatial", "y_channel")}
    return {note.id for note in step.inputs} == wanted


def _after_product(trace: Trace) -> list[str]:
    ops = _ops(trace)
    return ops[maker(trace, tensor(trace, "y")).index :]


SOFT_CLAIMS = (
    _shape("#x.shape(32,16,256,128)", "x", (32, 16, 256, 128)),
    _shape("#32,1,256,128", "y_spatial", (32, 1, 256, 128)),
    _shape("#32,16,1,1", "y_channel", (32, 16, 1, 1)),
    _shape(_code("y_spatial * y_channel#32,16,256,128"), "y", (32, 16, 256, 128)),
    _rule(
        "得到的w x h权值共享后,给了3,4一定的权值描述",
        "one map of places is shared by all channels",
        lambda trace: (
            tensor(trace, "y_spatial").shape[1] == 1
            and tensor(trace, "y").shape[1] == trace.inputs[0].shape[1]
        ),
        lambda trace: _change(trace, "y_spatial", "y_channel", "y"),
        "agrees",
        "By broadcasting: the 1 where the channels are is read again for each of them.",
    ),
    _rule(
        "软注意力(32,16,256,128)=空间注意力的输出(32,1,256,128)乘上通道注意力(32,16,1,1)",
        "soft attention is the product of the two",
        _product,
        lambda trace: said("soft attention = {ops}", ops=" → ".join(_after_product(trace))),
        "slip",
        "The shapes are right. But a 1 × 1 convolution, batch norm, ReLU and sigmoid come after "
        "the product, as the code says: the convolution lets the two depend on each other.",
    ),
    _rule(
        _code("y = F.sigmoid(self.conv(y))"),
        "the sigmoid is taken of what the last ConvBlock gives",
        lambda trace: _ops(trace)[-4:] == ["Conv2d", "BatchNorm2d", "relu", "sigmoid"],
        lambda trace: " → ".join(_ops(trace)[-4:]),
        "agrees",
        "Because of the ReLU in it, every weight lies in [0.5, 1). The current spelling is "
        "torch.sigmoid.",
    ),
    _rule(
        "软注意学习的目的是选择细粒度的重要像素点,它们是pixel级",
        "it decides pixel by pixel",
        lambda trace: trace.outputs[0].shape == trace.inputs[0].shape,
        lambda trace: said(
            "x {shape}, weights {weights}",
            shape=shown(trace.inputs[0].shape),
            weights=shown(trace.outputs[0].shape),
        ),
        "depends",
        "On what is called to choose: no weight is below 0.5, so an unimportant pixel fades to "
        "half and is never switched off.",
    ),
    _shape(_code("#torch.Size([32, 16, 256, 128])"), "y_soft_attn", (32, 16, 256, 128), output=0),
    _rule(
        "下面讲解空间注意力、通道注意力、local 注意力的生成",
        "the code that follows makes local attention too",
        _gives_regions,
        lambda trace: said(
            "results of SoftAttn: {shapes}",
            shapes=", ".join(shown(note.shape) for note in trace.outputs),
        ),
        "slip",
        "The post prints SpatialAttn, ChannelAttn and SoftAttn, and none gives a region. Local "
        "attention is HardAttn, whose θ is (32,4,2), and the grid that cuts the regions out.",
    ),
)


HARM_CLAIMS = (
    _rule(
        "soft attention(包括空间注意力、通道注意力)",
        "soft attention is made of a spatial and a channel attention",
        lambda trace: (
            {note.id for note in maker(trace, tensor(trace, "y")).inputs}
            == {tensor(trace, name).id for name in ("y_spatial", "y_channel")}
        ),
        lambda trace: _change(trace, "y_spatial", "y_channel", "y"),
    ),
    _rule(
        "它们是pixel级",
        "soft attention is one weight per pixel",
        lambda trace: trace.outputs[0].shape == trace.inputs[0].shape,
        lambda trace: said(
            "result {number} {shape}", number=1, shape=shown(trace.outputs[0].shape)
        ),
        "agrees",
        "Even one per pixel and channel.",
    ),
    _rule(
        "它们是region级",
        "hard attention is about regions",
        _gives_regions,
        lambda trace: said(
            "result {number} {shape}", number=2, shape=shown(trace.outputs[1].shape)
        ),
        "agrees",
        "Two numbers for each of four regions, whatever the size of the map.",
    ),
    _rule(
        "他们的结合使用可以提高模型的性能",
        "the two are used together",
        lambda trace: len(trace.outputs) == 2,
        lambda trace: " and ".join(shown(note.shape) for note in trace.outputs),
        "depends",
        "That both come from the same map is what the run shows. That it helps is the paper's "
        "finding for the re-identification of persons, after training.",
    ),
)


def _slid(trace: Trace) -> bool:
    """Whether all that is predicted of a region is where it lies, not how large it is."""
    return tensor(trace, "theta").shape[1:] == (REGIONS, 2) and tensor(trace, "A").shape[1:] == (
        2,
        3,
    )


REGIONS_CLAIMS = (
    _rule(
        "hard attention( local 注意力)",
        "hard attention and local attention are the same",
        lambda trace: tensor(trace, "regions").shape[1] == tensor(trace, "theta").shape[1],
        lambda trace: _change(trace, "theta", "regions"),
        "agrees",
        "θ says where, the regions are what a local branch then looks at.",
    ),
    _rule(
        "硬注意学习则致力于搜索粗糙的潜在判别区域,它们是region级",
        "coarse regions are searched for",
        _slid,
        lambda trace: said(
            "{part} of A {shape} is predicted",
            part=_change(trace, "theta"),
            shape=shown(tensor(trace, "A").shape),
        ),
        "depends",
        "On training: a fresh layer puts four fixed strips one below the other. And only their "
        "centres are searched for, their size is given.",
    ),
)


def _soft_sizes(trace: Trace) -> dict[str, int]:
    _, channels, height, width = tensor(trace, "y").shape
    return {"channels": channels, "height": height, "width": width}


SPATIAL = Lesson(
    key="hacnn-spatial",
    title="Spatial attention of HA-CNN",
    family="Spatial",
    teaches="Where to look: channels averaged away, a map at half size, and back to full size.",
    about="One map for all channels says which places matter. Two horses, a large and a small one, "
    "are to be found by 16 numbers: two convolutions with their batch norms. The input is the "
    "photo itself if there are three channels, else the photo as a block before would see it. "
    + WEIGHTS.format(fits="on maps of another size they mean little, and as `random` weights"),
    post="002",
    paper=PAPER,
    source=SOURCE,
    sizes=_sizes(3, 1),
    options=(WEIGHTS_OPTION, TIMES_X),
    presets=(
        Preset(
            POST,
            {**_at(32, 3, 256, 128), "weights": "trained", "times_x": False},
            "The photo in its three colours, as the comments of the post have it.",
        ),
        Preset(
            "Sixty-four channels",
            {**_at(2, 64, 256, 128), "weights": "trained", "times_x": False},
            "As in the post's text. The shapes after the mean are the same, and so are the 16 "
            "numbers that are learned.",
        ),
        Preset(
            FRESH,
            {**_at(4, 3, 256, 128), "weights": "random", "times_x": False},
            "Random weights, as the class initialises them. With this draw the first ReLU lets "
            "nothing pass and the map is one constant: a single channel has no other to fall back "
            "on. In training the batch norm brings it back to life: switch the mode.",
        ),
        Preset(
            "Small",
            {**_at(1, 3, 16, 8), "weights": "trained", "times_x": False},
            "Few enough places to follow each number through halving and doubling.",
        ),
        Preset(
            "Odd sizes",
            {**_at(2, 16, 15, 9), "weights": "trained", "times_x": False},
            "15 × 9 places are halved to 8 × 5 and doubled to 16 × 10: the map is larger than x. "
            "Nothing is raised here.",
        ),
        Preset(
            ODD_TIMES_X,
            {**_at(2, 16, 15, 8), "weights": "trained", "times_x": True},
            "The stride leaves 8 of 15 rows, doubled they are 16: a map of 16 rows cannot weigh an "
            "x of 15. Use an even height, or resize to the size of x instead of doubling.",
            breaks="RuntimeError",
        ),
        Preset(
            "Breaks: one value to normalise",
            {**_at(1, 3, 2, 2), "weights": "trained", "times_x": False},
            "The stride leaves one place, and one image has one value there. In training batch "
            "norm needs more than one for a variance.",
            breaks="ValueError",
            training=True,
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="y_spatial",
    build=_build_spatial,
    inputs=_inputs,
    plot=Plot(
        place="One half of HA-CNN's soft attention, beside the attention for channels. The network "
        "has it behind each of its blocks, on the map that the block gives.",
        look="Watch the size halve and double while one channel stays: `s`, `s_half`, `s_full`. "
        "With trained weights the two horses are bright in `y_spatial`.",
        parts=(
            Part("Mean over the channels", lines=("s = torch.mean(x",)),
            Part("Half the size", lines=("z = self.conv(",)),
            Part("Back to full size", lines=("s_full = ",)),
            Part("Use", lines=("weighed: Tensor = ",), optional=True),
        ),
        seen=(
            "The mean over {channels} channels left one map: it asks where, not what.",
            "A stride halved the map to {h} × {w}, and interpolation doubled it again.",
            "All this takes {parameters} learned numbers, however many channels the input has.",
        ),
        leads=("hacnn-channel", "hacnn-soft"),
        numbers=lambda trace: {
            "channels": trace.inputs[0].shape[1],
            "h": tensor(trace, "s_half").shape[2],
            "w": tensor(trace, "s_half").shape[3],
            "parameters": trace.parameters,
        },
    ),
    claims=SPATIAL_CLAIMS,
)

CHANNEL = Lesson(
    key="hacnn-channel",
    title="Channel attention of HA-CNN",
    family="Channel",
    teaches="Which features to look for: all places averaged away, through a bottleneck and back.",
    about="One number for each channel, the same at all places: squeeze and excitation, built of "
    "1 × 1 convolutions with batch norm. Sixteen channels pass through a bottleneck of one, so "
    "one number moves all the weights. " + SIXTEEN,
    post="002",
    paper=PAPER,
    source=SOURCE,
    sizes=_sizes(16, 16),
    options=(
        Option(
            "reduction_rate", "the channels between are C // reduction_rate", 16, (1, 2, 4, 8, 16)
        ),
        WEIGHTS_OPTION,
    ),
    presets=(
        Preset(
            POST,
            {**_at(32, 16, 256, 128), "reduction_rate": 16, "weights": "trained"},
            "Sixteen channels by a rate of sixteen: one channel is left between the convolutions.",
        ),
        Preset(
            "Thirty-two channels",
            {**_at(4, 32, 64, 32), "reduction_rate": 16, "weights": "trained"},
            "Now two channels are left between, where the post's comment has one.",
        ),
        Preset(
            "Small",
            {**_at(2, 16, 8, 4), "reduction_rate": 4, "weights": "trained"},
            "A wider bottleneck: four channels, so that weights can differ in four ways.",
        ),
        Preset(
            IN_TRAINING,
            {**_at(1, 16, 64, 32), "reduction_rate": 16, "weights": "trained"},
            "Pooling leaves one place, so one image has one value per channel, and of one value "
            "there is no variance. In training use two images or more.",
            breaks="ValueError",
            training=True,
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="y_channel",
    build=_build_channel,
    inputs=_inputs,
    plot=Plot(
        place="The other half of HA-CNN's soft attention. It has the same input as the spatial "
        "half, and only at the end are the two multiplied.",
        look="In `p` there is one place per image. From there on a convolution is a plain "
        "matrix: follow the number of channels through `hidden` to `y_channel`.",
        parts=(
            Part("Squeeze", lines=("p = F.avg_pool2d(",)),
            Part("Excitation", module="conv1"),
            Part("Back to all channels", module="conv2"),
        ),
        seen=(
            "A window as large as the map left one number for each of the {channels} channels.",
            "Two convolutions on a single place took them to {hidden} and back to {channels}.",
            "Each ends with batch norm and ReLU: no weight is below 0, and nothing bounds it "
            "above.",
        ),
        leads=("hacnn-soft", "squeeze-excite"),
        numbers=lambda trace: {
            "channels": tensor(trace, "p").shape[1],
            "hidden": tensor(trace, "hidden").shape[1],
        },
    ),
    claims=CHANNEL_CLAIMS,
)

SOFT = Lesson(
    key="hacnn-soft",
    title="Soft attention of HA-CNN",
    family="Soft and hard",
    teaches="A map times a list is a weight for every pixel of every channel.",
    about="The map of places, (B, 1, H, W), and the list of channels, (B, C, 1, 1), are multiplied "
    "by broadcasting and mixed. Both horses stay, all else fades to half: the sigmoid of what is "
    "never negative does not go lower. " + SIXTEEN,
    post="002",
    paper=PAPER,
    source=SOURCE,
    sizes=_sizes(16, 16),
    options=(WEIGHTS_OPTION, TIMES_X),
    presets=(
        Preset(
            POST,
            {**_at(32, 16, 256, 128), "weights": "trained", "times_x": False},
            "As in the post's comments.",
        ),
        Preset(
            FRESH,
            {**_at(4, 16, 256, 128), "weights": "random", "times_x": False},
            "Random weights, as the class initialises them.",
        ),
        Preset(
            "Small",
            {**_at(2, 16, 8, 6), "weights": "trained", "times_x": False},
            "Few enough places to see the product of a map and a list.",
        ),
        Preset(
            "Odd sizes",
            {**_at(2, 16, 15, 9), "weights": "trained", "times_x": False},
            "For 15 × 9 places come 16 × 10 weights. Nothing is raised here.",
        ),
        Preset(
            ODD_TIMES_X,
            {**_at(2, 16, 15, 8), "weights": "trained", "times_x": True},
            "The spatial map has 16 rows for the 15 of x, and so have the weights: they cannot be "
            "multiplied. Use an even height, or resize to the size of x instead of doubling.",
            breaks="RuntimeError",
        ),
        Preset(
            IN_TRAINING,
            {**_at(1, 16, 64, 32), "weights": "trained", "times_x": False},
            "The spatial half could be trained with one image, the channel half cannot: pooling "
            "leaves it one value per channel, and of one value there is no variance.",
            breaks="ValueError",
            training=True,
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="y_soft_attn",
    build=_build_soft,
    inputs=_inputs,
    plot=Plot(
        place="Behind each block of HA-CNN: its result says how much each number of the block's "
        "map counts, and multiplies it.",
        look="Two small tensors become a large one: a map in `y_spatial`, a list in `y_channel`, "
        "and their product `y`. Then look at the smallest value of `y_soft_attn`.",
        parts=(
            Part("Where", lines=("s = torch.mean(x",)),
            Part("Which features", lines=("p = F.avg_pool2d(",)),
            Part("Together", lines=("y = y_spatial * y_channel",)),
            Part("Use", lines=("weighed: Tensor = ",), optional=True),
        ),
        seen=(
            "A map of {height} × {width} places and a list of {channels} channels were multiplied "
            "into a weight for each place of each channel.",
            "In the product every channel has the same map, louder or softer; the 1 × 1 "
            "convolution behind it mixes the channels at each place.",
            "Before the sigmoid comes a ReLU, so no weight is below one half: nothing is switched "
            "off.",
        ),
        leads=("hacnn-harmonious", "hacnn-regions"),
        numbers=_soft_sizes,
    ),
    claims=SOFT_CLAIMS,
)

HARM = Lesson(
    key="hacnn-harmonious",
    title="Harmonious attention",
    family="Soft and hard",
    teaches="Two answers from one map: a weight for every pixel, and four points.",
    about="Soft attention keeps the size of its input, hard attention says in eight numbers where "
    "four regions lie. What becomes of them is the next lesson. " + SIXTEEN,
    post="002",
    paper=PAPER,
    source=SOURCE,
    sizes=_sizes(16, 16),
    options=(WEIGHTS_OPTION,),
    presets=(
        Preset(
            POST,
            {**_at(32, 16, 256, 128), "weights": "trained"},
            "The size of the post's soft attention; the post has no code for the hard one.",
        ),
        Preset(
            FRESH,
            {**_at(4, 16, 256, 128), "weights": "random"},
            "A fresh HardAttn ignores its input: its weight is 0, and its bias puts four strips "
            "one below the other.",
        ),
        Preset(
            "HA-CNN, first block",
            {**_at(2, 128, 40, 16), "weights": "random"},
            "The map of the network's first block, for pictures of 160 × 64.",
        ),
        Preset(
            IN_TRAINING,
            {**_at(1, 16, 64, 32), "weights": "trained"},
            "The channel attention in it needs two images or more: pooling leaves one value per "
            "image and channel.",
            breaks="ValueError",
            training=True,
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="y_soft_attn",
    build=_build_harm,
    inputs=_inputs,
    plot=Plot(
        place="Behind each block of HA-CNN. The weights go to the block's map at once; the four "
        "points go to a second branch, which looks at regions.",
        look="Compare the two results: `y_soft_attn` is as large as a map, `theta` has eight "
        "numbers for each image. Both are made of `x`, and neither knows of the other.",
        parts=(
            Part("Soft: where", module="soft_attn.spatial_attn"),
            Part("Soft: which features", module="soft_attn.channel_attn"),
            Part("Soft: together", lines=("y = y_spatial * y_channel",)),
            Part("Hard: four points", module="hard_attn"),
        ),
        seen=(
            "Soft attention gave {height} × {width} weights for each of the {channels} channels, "
            "none below one half.",
            "Hard attention gave an x and a y for each of four regions, from means in which no "
            "place is left.",
            "The two have nothing but their input in common; what becomes of the four points is "
            "shown by the lesson on regions.",
        ),
        leads=("hacnn-regions", "coordatt"),
        numbers=_soft_sizes,
    ),
    claims=HARM_CLAIMS,
)

LOCAL = Lesson(
    key="hacnn-regions",
    title="Hard attention: regions from θ",
    family="Soft and hard",
    teaches="A pair of numbers becomes a grid of points, and the grid cuts a region out.",
    about="How local attention is made: θ is predicted from the features, an affine grid says "
    "which points to look at, sampling reads them, with a gradient for θ. The regions are cut out "
    "of the photo itself, so that one sees them, and `drawn` has their frames. The four were "
    "taught to lie on the sun, the far horse, the near horse and its legs. " + SIXTEEN,
    post="002",
    paper=PAPER,
    source=SOURCE,
    sizes=(
        *_sizes(16, 1),
        Size("K", "channels of the source, 3 for the photo", 3, 1, 1024),
        Size("U", "height of the source", 256, 1, 512),
        Size("V", "width of the source", 128, 1, 512),
        Size("region_H", "height of a region in the end", 64, 1, 512),
        Size("region_W", "width of a region in the end", 128, 1, 512),
    ),
    options=(
        Option("in_channels", "channels that θ's layer is made for", "C", ("C", 128)),
        WEIGHTS_OPTION,
    ),
    presets=(
        Preset(
            POST,
            {
                **_at(32, 16, 256, 128),
                **{"K": 3, "U": 256, "V": 128, "region_H": 64, "region_W": 128},
                **{"in_channels": "C", "weights": "trained"},
            },
            "Features of the post's size, regions cut out of a photo of the same height and width.",
        ),
        Preset(
            FRESH,
            {
                **_at(4, 16, 256, 128),
                **{"K": 3, "U": 256, "V": 128, "region_H": 64, "region_W": 128},
                **{"in_channels": "C", "weights": "random"},
            },
            "Four strips, the same for every picture. Their centres are tanh(±0.75) and "
            "tanh(±0.25), so they overlap, and a little of the picture is in none of them.",
        ),
        Preset(
            "HA-CNN, first block",
            {
                **_at(2, 128, 40, 16),
                **{"K": 32, "U": 80, "V": 32, "region_H": 24, "region_W": 28},
                **{"in_channels": "C", "weights": "random"},
            },
            "In the network θ comes from a block's result, and the regions are cut out of the "
            "block's input, twice as high and wide and with other channels.",
        ),
        Preset(
            "Breaks: θ from the block's input",
            {
                **_at(2, 32, 80, 32),
                **{"K": 32, "U": 80, "V": 32, "region_H": 24, "region_W": 28},
                **{"in_channels": 128, "weights": "random"},
            },
            "The regions are cut out of the block's input, but θ is predicted from its result: the "
            "layer is made for the 128 channels of that, and the input has 32.",
            breaks="RuntimeError",
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W", "source": "B K U V"},
    map="drawn",
    build=_build_regions,
    inputs=_regions_inputs,
    plot=Plot(
        place="In HA-CNN's local branch: the points are predicted from a block's result, and "
        "the regions are cut out of that block's input. The branch then looks at the regions "
        "instead of the whole map.",
        look="Four times a pair of numbers of `theta` becomes a matrix `A`, a `grid` of points "
        "and the `region` that is read there. At the end look at `drawn`: where are the four "
        "frames?",
        parts=(
            Part("Four points", module="hard_attn"),
            Part("Cut out four regions", lines=("centre = ",)),
            Part("Stack", lines=("regions = ",)),
            Part("Drawn to be looked at", lines=("def framed(",)),
        ),
        seen=(
            "Eight numbers for each image said where four regions lie; how large they are was "
            "given.",
            "Each round of the loop made a grid of {height} × {width} points from one centre "
            "and read the source there. No index is rounded, so that θ can be learned.",
            "The frames in `drawn` are no part of the network: they only show where the regions "
            "lie.",
        ),
        leads=("coordatt", "non-local"),
        numbers=lambda trace: {
            "height": tensor(trace, "grid").shape[1],
            "width": tensor(trace, "grid").shape[2],
        },
    ),
    claims=REGIONS_CLAIMS,
)

LESSONS = (SPATIAL, CHANNEL, SOFT, HARM, LOCAL)
