"""The explicit visual centre (post 004): a codebook sums a feature map up, a small MLP goes along.

Quan, Zhang, Zhang, Tang, Centralized Feature Pyramid for Object Detection, IEEE TIP 32, 2023,
arXiv 2210.02093.  The codebook is that of Zhang, Xue, Dana, Deep TEN: Texture Encoding Network,
CVPR 2017, arXiv 1612.02844.
"""

# ruff: noqa: RUF059 - the paper's letters, and a shape unpacked whole is read at once

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.inputs import feature_map
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
from tracer import Step, TensorNote, Trace
from tracer.ops.names import op_name
from tracer.sentences import Said, said

CODES = 64
"""Codewords of every codebook: the original sets this number, whatever it is asked for."""


class Encoding(nn.Module):
    """The places of a map, summed up around the codewords: (B, C, H, W) → (B, K, C).

    Args:
        in_channels: C.
        num_codes: accepted and not used, as in the original: K is always `CODES`.

    Raises:
        ValueError: an argument is below 1, or x does not have C channels.
    """

    def __init__(self, in_channels: int, num_codes: int) -> None:
        super().__init__()
        _positive(in_channels=in_channels, num_codes=num_codes)
        self.in_channels = in_channels
        self.num_codes = num_codes
        reach = 1 / (CODES * in_channels) ** 0.5
        self.codewords = nn.Parameter(torch.empty(CODES, in_channels).uniform_(-reach, reach))
        self.scale = nn.Parameter(torch.empty(CODES).uniform_(-1, 0))

    def forward(self, x: Tensor) -> Tensor:
        _has_channels(x, self.in_channels)
        B, C, H, W = x.shape
        K = self.codewords.shape[0]

        # Where a place lies no longer matters: {H} × {W} places in a line. No number moves.
        x_flat = x.view(B, C, -1)

        # Places and channels change sides, as in the non-local block: each row is *one place*,
        # the vector $x_i$ of its {C} values.
        x_rows = x_flat.transpose(1, 2)
        N = x_rows.shape[1]

        # Each place will meet each codeword. A 1 makes room for them...
        x_column = x_rows.unsqueeze(2)

        # ...and is stretched to {K} without copying: the same place is read {K} times.
        x_expanded = x_column.expand(B, N, K, C)

        # **The codebook**: {K} learned vectors $c_k$, the same for all images and places. Two 1s
        # stand for those.
        codewords = self.codewords.view(1, 1, K, C)

        # Every codeword has a factor $s_k$, how far around it reaches.
        scale = self.scale.view(1, 1, K)

        # $x_i-c_k$: from each codeword to each place, an arrow of {C} numbers. Here the copies are
        # made, $B\cdot N\cdot K\cdot C$ numbers: this is the tensor that fills the memory.
        difference = x_expanded - codewords
        squares = difference.pow(2)

        # $\|x_i-c_k\|^2$: the {C} channels are summed away, one distance for each pair of place
        # and codeword remains. Written out it contains the inner product $x_i^{\top}c_k$.
        distance = squares.sum(dim=3)

        # The factors start below 0, so that a small distance gives a large score.
        score = scale * distance

        # $a_{ik}=\mathrm{softmax}_k(s_k\|x_i-c_k\|^2)$: each place divides itself among the {K}
        # codewords. (A comment in the original has the shape of this wrong.)
        assignment = F.softmax(score, dim=2)

        # A 1 at the end, so that the share multiplies all {C} numbers of the arrow.
        share = assignment.unsqueeze(3)

        # $a_{ik}(x_i-c_k)$: the arrow counts as much as the place belongs to the codeword.
        arrows = share * difference

        # $e_k=\sum_ia_{ik}(x_i-c_k)$: all {N} places are summed away. For each codeword one vector
        # remains, to which side of it the image lies.
        return arrows.sum(dim=1)


class ConvBlock(nn.Module):
    """A bottleneck, C → C // 4 → C, with a convolution on the way around it:
    (B, in_channels, H, W) → (B, out_channels, H, W).

    Its batch norms have an eps of 1e-6, all others of the block 1e-5.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        c = out_channels // 4
        self.conv1 = nn.Conv2d(in_channels, c, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c, eps=1e-6)
        self.conv2 = nn.Conv2d(c, c, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c, eps=1e-6)
        self.conv3 = nn.Conv2d(c, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels, eps=1e-6)
        self.residual_conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.residual_bn = nn.BatchNorm2d(out_channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        C = x.shape[1]
        if self.conv1.out_channels == 0:
            raise ValueError(f"C is {C}: the bottleneck has C // 4 = 0 channels, use 4 or more.")

        # A quarter of the channels, so that the 3 × 3 that follows costs a sixteenth.
        squeezed = self.conv1(x)
        squeezed_active = F.relu(self.bn1(squeezed))

        # Only here places see their neighbours.
        seen = self.conv2(squeezed_active)
        seen_active = F.relu(self.bn2(seen))

        # Back to all channels...
        restored = self.conv3(seen_active)
        restored_normed = self.bn3(restored)

        # ...and the short way around, here a convolution too.
        residual = self.residual_conv(x)
        residual_normed = self.residual_bn(residual)

        # What the bottleneck found is added to what the shortcut brought.
        return F.relu(restored_normed + residual_normed)


class LVCBlock(nn.Module):
    """The codebook decides which channels count: (B, C, H, W) → (B, C, H, W).

    Args:
        in_channels: C, at least 4: with fewer the forward fails, since C // 4 is 0.
        out_channels, num_codes: kept, and not used, as in the original.
        channel_ratio, base_channel: accepted, and not used, as in the original.

    Raises:
        ValueError: in_channels or num_codes is below 1, or x does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_codes: int,
        channel_ratio: float = 0.25,
        base_channel: int = 64,
    ) -> None:
        super().__init__()
        _positive(in_channels=in_channels, num_codes=num_codes)
        self.out_channels = out_channels
        self.num_codes = num_codes
        self.conv_1 = ConvBlock(in_channels, in_channels)
        self.LVC = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            Encoding(in_channels, CODES),
            nn.BatchNorm1d(CODES),
            nn.ReLU(),
        )
        self.fc = nn.Sequential(nn.Linear(in_channels, in_channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape

        # **First a look around**: a bottleneck with a 3 × 3 convolution.
        z = self.conv_1(x)

        # The features that the codebook is to see, from a convolution of their own.
        u = self.LVC[0](z)
        u_normed = self.LVC[1](u)
        u_rectified = self.LVC[2](u_normed)

        # **What is in the image?** For each codeword one vector; the {H} × {W} places are summed
        # away.
        e = self.LVC[3](u_rectified)

        # The batch norm takes the {e.shape[1]} codewords for channels: each has one mean and one
        # variance, in training those of the batch and its {e.shape[2]} numbers.
        e_normed = self.LVC[4](e)
        e_rectified = self.LVC[5](e_normed)

        # The mean over the {e.shape[1]} codewords: one number per channel remains.
        en = torch.mean(e_rectified, dim=1)

        # From what the image holds follows which channels count...
        score = self.fc[0](en)

        # ...$\gamma=\sigma(W\,\cdot)$, between 0 and 1.
        gam = self.fc[1](score)

        # Two 1s stand for height and width.
        gate = gam.view(B, C, 1, 1)

        # One weight for all {H} × {W} places of a channel.
        weighed = z * gate

        # $\mathrm{ReLU}(z+z\cdot\gamma)$: since `z` is added, no channel is lost; each is
        # multiplied by a factor from 1 to 2. `z` is not negative, so ReLU changes nothing here.
        return F.relu(z + weighed)


class GroupNorm(nn.GroupNorm):
    """One group: mean and variance over all channels and places of each image."""

    def __init__(self, num_channels: int) -> None:
        super().__init__(1, num_channels)


class BaseConv(nn.Module):
    """A 1×1 convolution without bias, its batch norm and SiLU, under the original's names.

    It has no forward: the block calls the parts one by one, so that each shows its shape.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.act = nn.SiLU()


class DWConv(nn.Module):
    """A convolution within each channel and one across them: (B, C, H, W) → (B, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.dconv = BaseConv(in_channels, in_channels, groups=in_channels)
        self.pconv = BaseConv(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        # "Depthwise": each channel by itself. As the kernel is 1 × 1, each is only multiplied by
        # a number of its own.
        d = self.dconv.conv(x)
        d_normed = self.dconv.bn(d)
        d_active = self.dconv.act(d_normed)

        # "Pointwise": at each place all {x.shape[1]} channels are mixed. A 1 × 1 convolution reads
        # a place's vector where it lies, so nothing has to be permuted.
        p = self.pconv.conv(d_active)
        p_normed = self.pconv.bn(p)
        p_active: Tensor = self.pconv.act(p_normed)
        return p_active


class Mlp(nn.Module):
    """Two layers for each place by itself, as 1×1 convolutions: (B, C, H, W) → the same."""

    def __init__(self, in_features: int, hidden_features: int, drop: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(in_features, hidden_features, kernel_size=1)
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(hidden_features, in_features, kernel_size=1)
        self.drop = nn.Dropout(drop)
        for conv in (self.fc1, self.fc2):
            nn.init.trunc_normal_(conv.weight, std=0.02)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        # The {x.shape[1]} channels are spread out to {hidden.shape[1]}...
        hidden = self.fc1(x)
        active = self.act(hidden)
        kept = self.drop(active)

        # ...and gathered again: room for combinations, at every place the same ones.
        out = self.fc2(kept)
        dropped: Tensor = self.drop(out)
        return dropped


class DropPath(nn.Module):
    """In training, leaves a branch out for some images of the batch and makes up for it in the
    others (stochastic depth)."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = 1 - self.drop_prob
        # One draw per image.
        drawn = torch.empty_like(x[:, :1, :1, :1]).bernoulli_(keep)
        # What is kept grows, so that the mean stays; where nothing is ever kept, 0 stays 0.
        return x * (drawn / max(keep, 1e-12))


class LightMLPBlock(nn.Module):
    """Two branches that are added in very small doses: (B, C, H, W) → (B, C, H, W).

    Args:
        in_channels, out_channels: both C.  Others can be built and not be run.
        ksize, stride, act, act_layer: accepted and not used, as in the original, where kernels
            are 1×1 with stride 1 and activations are SiLU and GELU.
        mlp_ratio: the hidden layer of the MLP has int(C * mlp_ratio) channels.
        drop: dropout in the MLP.
        use_layer_scale, layer_scale_init_value: whether each branch is multiplied by a learned
            factor per channel, and where that starts.
        drop_path: how often a branch is left out in training.
        norm_layer: makes a norm for a number of channels.

    The original registers a `linear` ("learnable position embedding") and never calls it. It is
    left out here; weights for it are accepted when a state dict is loaded, and dropped.

    Raises:
        ValueError: a number is out of its range, or x does not have C channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ksize: int = 1,
        stride: int = 1,
        act: str = "silu",
        mlp_ratio: float = 4.0,
        drop: float = 0.0,
        act_layer: Callable[[], nn.Module] = nn.GELU,
        use_layer_scale: bool = True,
        layer_scale_init_value: float = 1e-5,
        drop_path: float = 0.0,
        norm_layer: Callable[[int], nn.Module] = GroupNorm,
    ) -> None:
        super().__init__()
        _positive(in_channels=in_channels, out_channels=out_channels)
        hidden = int(in_channels * mlp_ratio)
        if hidden < 1:
            raise ValueError(
                f"mlp_ratio is {mlp_ratio} and leaves no hidden channel of {in_channels}: use "
                f"{1 / in_channels:.3g} or more."
            )
        for name, value in (("drop", drop), ("drop_path", drop_path)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}: a probability is from 0 to 1.")
        self.in_channels = in_channels
        self.dw = DWConv(in_channels, out_channels)
        self.norm1 = norm_layer(in_channels)
        self.norm2 = norm_layer(in_channels)
        self.mlp = Mlp(in_channels, hidden, drop)
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()
        self.use_layer_scale = use_layer_scale
        if use_layer_scale:
            start = torch.full((out_channels,), layer_scale_init_value)
            self.layer_scale_1 = nn.Parameter(start)
            self.layer_scale_2 = nn.Parameter(start.clone())

    def forward(self, x: Tensor) -> Tensor:
        _has_channels(x, self.in_channels)
        # Each image's numbers are brought to mean 0 and variance 1, all channels together.
        x_normed = self.norm1(x)
        mixed: Tensor = self.dw(x_normed)
        if self.use_layer_scale:
            # Two 1s at the end: one factor per channel...
            scale_1 = self.layer_scale_1.unsqueeze(-1).unsqueeze(-1)

            # ...for all images and places. It starts close to 0: at first the branch hardly counts.
            mixed = scale_1 * mixed
        mixed = self.drop_path(mixed)

        # $u=x+\lambda_1\odot\mathrm{DW}(\mathrm{GN}(x))$: what comes in goes on.
        u = x + mixed
        u_normed = self.norm2(u)
        thought: Tensor = self.mlp(u_normed)
        if self.use_layer_scale:
            # The same for the second branch: two 1s...
            scale_2 = self.layer_scale_2.unsqueeze(-1).unsqueeze(-1)

            # ...and a small dose.
            thought = scale_2 * thought
        thought = self.drop_path(thought)

        # $v=u+\lambda_2\odot\mathrm{MLP}(\mathrm{GN}(u))$.
        return u + thought

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for name in ("linear.weight", "linear.bias"):
            state_dict.pop(prefix + name, None)
        super()._load_from_state_dict(state_dict, prefix, *args)


class EVCBlock(nn.Module):
    """Codebook and MLP side by side on the same map: (B, C, H, W) → (B, C, H, W).

    Args:
        in_channels, out_channels: both C, at least 4.  Others can be built and not be run.
        channel_ratio, base_channel: accepted, and not used, as in the original.

    Raises:
        ValueError: in_channels or out_channels is below 1, or x does not fit.
    """

    def __init__(
        self, in_channels: int, out_channels: int, channel_ratio: int = 4, base_channel: int = 16
    ) -> None:
        super().__init__()
        _positive(in_channels=in_channels, out_channels=out_channels)
        self.conv1 = nn.Conv2d(in_channels, in_channels, kernel_size=7, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.act1 = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
        self.lvc = LVCBlock(in_channels, out_channels, num_codes=CODES)
        self.l_MLP = LightMLPBlock(in_channels, out_channels)
        self.cnv1 = nn.Conv2d(2 * out_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        # The stem: every place sees what is up to three places away...
        stem = self.conv1(x)
        stem_normed = self.bn1(stem)
        stem_rectified = self.act1(stem_normed)

        # ...and takes the strongest of its neighbourhood. With stride 1 no place is lost.
        x1 = self.maxpool(stem_rectified)

        # **The codebook's branch**: which channels count, given all that is in the image.
        x_lvc = self.lvc(x1)

        # **The MLP's branch**, on the same map: each place for itself.
        x_lmlp = self.l_MLP(x1)

        # Side by side along the channels, {x_lvc.shape[1]} and {x_lmlp.shape[1]}...
        both = torch.cat((x_lvc, x_lmlp), dim=1)

        # ...and mixed down to {out.shape[1]}.
        out: Tensor = self.cnv1(both)
        return out


def _positive(**arguments: int) -> None:
    for name, value in arguments.items():
        if value < 1:
            raise ValueError(f"{name} is {value}: use 1 or more.")


def _has_channels(x: Tensor, channels: int) -> None:
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(f"x is {tuple(x.shape)}: this module wants (B, {channels}, H, W).")


# --- the lessons ----------------------------------------------------------------------------

PAPER = Paper(
    title="Centralized Feature Pyramid for Object Detection",
    authors="Yu Quan, Dong Zhang, Liyan Zhang, Jinhui Tang",
    venue="IEEE Transactions on Image Processing",
    year=2023,
    link="https://arxiv.org/abs/2210.02093",
)
DEEP_TEN = Paper(
    title="Deep TEN: Texture Encoding Network",
    authors="Hang Zhang, Jia Xue, Kristin Dana",
    venue="CVPR",
    year=2017,
    link="https://arxiv.org/abs/1612.02844",
)
SOURCE = "https://github.com/QY1994-0919/CFPNet/blob/main/cfp/models/evc_blocks.py"
POST = "Post's size"
NECK = "Small neck"
CFP = "CFP-s, 640 pixels"
OUT: dict[str, Callable[[int], int]] = {
    "same as C": lambda C: C,
    "half of C": lambda C: max(C // 2, 1),
    "twice C": lambda C: 2 * C,
}
Inputs = tuple[tuple[Tensor, ...], dict[str, Any]]


def _encoding(settings: Settings) -> nn.Module:
    return with_fixed_weights(lambda: Encoding(settings["C"], settings["num_codes"]))


def _lvc(settings: Settings) -> nn.Module:
    return with_fixed_weights(lambda: LVCBlock(settings["C"], settings["C"], settings["num_codes"]))


def _light_mlp(settings: Settings) -> nn.Module:
    C = settings["C"]
    names = ("mlp_ratio", "use_layer_scale", "layer_scale_init_value")
    arguments = {name: settings[name] for name in names}
    return with_fixed_weights(
        lambda: LightMLPBlock(C, OUT[settings["out_channels"]](C), **arguments)
    )


def _evc(settings: Settings) -> nn.Module:
    C = settings["C"]
    return with_fixed_weights(lambda: EVCBlock(C, OUT[settings["out_channels"]](C)))


def _inputs(settings: Settings, kind: InputKind, seed: int) -> Inputs:
    return (feature_map(kind, [settings[name] for name in "BCHW"], seed),), {}


def _sizes(B: int, C: int, H: int, W: int) -> tuple[Size, ...]:
    return (
        Size("B", "images", B, 1, 32),
        Size("C", "channels", C, 1, 1024),
        Size("H", "height", H, 1, 512),
        Size("W", "width", W, 1, 512),
    )


CODEBOOK = Size("num_codes", "codewords asked for; there are 64 in any case", CODES, 1, 256)
OUT_OPTION = Option(
    "out_channels",
    "channels that the block is told to give",
    "same as C",
    tuple(OUT),
    in_words=True,
)


def _shaped(B: int, C: int, H: int, W: int, **others: Any) -> dict[str, Any]:
    return {"B": B, "C": C, "H": H, "W": W, **others}


LARGE = (
    "6400 places meet 64 codewords: the differences (8, 6400, 64, 256) take 3.36 GB, and their "
    "squares as much, so only shapes are computed. To see values make H and W smaller: half of "
    "both takes a quarter. (Written out as ‖x‖² - 2x·c + ‖c‖² they would not be needed.)"
)
FEW = (
    "The bottleneck has C // 4 channels, and of 3 none is left. So the post's example of 3 "
    "channels fits the codebook alone, not the block around it. Use 4 channels or more."
)
UNEVEN = (
    "A branch that is added to x must have the channels of x. The original takes out_channels and "
    "only works if it is the same as in_channels."
)

# --- what post 004 says ---------------------------------------------------------------------


def _claim(
    quote: str,
    says: str,
    preset: str,
    holds: Callable[[Trace], bool],
    found: Callable[[Trace], str | Said],
    verdict: Verdict = "agrees",
    why: str = "",
) -> Claim:
    return Claim("004", quote, says, preset, holds, found, verdict, why)


def _parameters(trace: Trace) -> list[TensorNote]:
    return [note for step in trace.steps for note in step.inputs if note.kind == "parameter"]


def _codebook(trace: Trace) -> TensorNote:
    (note,) = (note for note in _parameters(trace) if note.name.endswith("codewords"))
    return note


def _products(trace: Trace, after: str) -> list[Step]:
    """The matrix products behind the step that made the tensor."""
    last = maker(trace, tensor(trace, after)).index
    return [step for step in trace.steps[last:] if op_name(step.op) in ("matmul", "bmm")]


def _swap(trace: Trace) -> bool:
    """Whether the codebook is given one row for each place of a map with C channels."""
    B, C, N = tensor(trace, "x_flat").shape
    return tensor(trace, "x_rows").shape == (B, N, C)


def _mixes_channels_in_place(trace: Trace) -> bool:
    """Whether a 1×1 convolution reads, at each place, all channels of it."""
    step = maker(trace, tensor(trace, "p"))
    weight = step.inputs[1].shape
    return weight[1:] == (tensor(trace, "d_active").shape[1], 1, 1)


def _swap_claim(preset: str) -> Claim:
    return _claim(
        "这里我们(无论是evcblock中想要获取边缘特征用到的lvc代码之中还是none local的操作的代码当中)"
        "都把HW这一维度和in_channel相转换了。",
        "places and channels change sides in the code of LVC",
        preset,
        _swap,
        lambda trace: (
            f"{shown(tensor(trace, 'x_flat').shape)} → {shown(tensor(trace, 'x_rows').shape)}"
        ),
    )


def _codebook_claim(preset: str) -> Claim:
    return _claim(
        "但是额外加入了一个码本",
        "a codebook is added",
        preset,
        lambda trace: (
            _codebook(trace).shape
            == (tensor(trace, "assignment").shape[2], tensor(trace, "x_rows").shape[2])
        ),
        lambda trace: f"{_codebook(trace).name} {shown(_codebook(trace).shape)}",
    )


ENCODING_CLAIMS = (
    shape_claim("(6,3,10,10)", "x", (6, 3, 10, 10), post="004", preset=POST),
    shape_claim(
        "最终变成(6,100,3)",
        "x_rows",
        (6, 100, 3),
        post="004",
        preset=POST,
        why="The post says this of the non-local block; the codebook does the same, and without a "
        "convolution the 3 channels are sure.",
    ),
    _swap_claim(POST),
    _codebook_claim(POST),
    _claim(
        "同理,在evc中虽然没有做内积",
        "no inner product is taken",
        POST,
        lambda trace: not _products(trace, "x_rows"),
        lambda trace: (
            f"distance = {maker(trace, tensor(trace, 'distance')).expression}, of "
            f"{maker(trace, tensor(trace, 'difference')).expression}"
        ),
        "depends",
        "On how it is written: squared distances are taken, and ‖x - c‖² is ‖x‖² - 2x·c + ‖c‖², "
        "which holds the inner product of every place with every codeword.",
    ),
)

LVC_CLAIMS = (_swap_claim(NECK), _codebook_claim(NECK))

LIGHT_MLP_CLAIMS = (
    _claim(
        "把像素点在每个通道对应的值进行组合就可以表征这个像素点本身的特征向量(即编码)",
        "the values of a place in all channels are combined",
        NECK,
        _mixes_channels_in_place,
        lambda trace: said(
            "{code} with weights {shape}",
            code=maker(trace, tensor(trace, "p")).expression,
            shape=shown(maker(trace, tensor(trace, "p")).inputs[1].shape),
        ),
        "agrees",
        "Here without a permute: a 1 × 1 convolution reads the vector of a place where it lies.",
    ),
)

EVC_CLAIMS = (
    _swap_claim(NECK),
    _codebook_claim(NECK),
    _claim(
        "self attention-none local block与evcblock中的通用方法解释",
        "EVCBlock too is self-attention: places are compared with places",
        NECK,
        lambda trace: any(
            step.outputs[0].shape[1:] == (tensor(trace, "x_rows").shape[1],) * 2
            for step in trace.steps
        ),
        lambda trace: said(
            "assignment {shape}, places and codewords; no tensor of places and places",
            shape=shown(tensor(trace, "assignment").shape),
        ),
        "slip",
        "What both have in common is one row per place. The codebook compares places with "
        "codewords, and the result weighs channels, not places.",
    ),
)

# --- declarations -----------------------------------------------------------------------------

ENCODING = Lesson(
    key="evc-encoding",
    title="Codebook encoding",
    family="Codebook",
    teaches="Every place meets every codeword, and the image is summed up as one arrow for each.",
    about="However large an image is, it is to be summed up in a fixed number of vectors. Each "
    "place divides itself among learned codewords, by how near it is to them: "
    r"$a_{ik}=\mathrm{softmax}_k(s_k\|x_i-c_k\|^2)$, "
    r"and for each codeword the arrows from it to the places are summed: "
    r"$e_k=\sum_ia_{ik}(x_i-c_k)$. "
    "The order of the places has no say. The codewords are random and lie close together around "
    "0, so the shares differ by the factors $s_k$ and by how strong a place is, and not yet by "
    "what it shows.",
    post="004",
    paper=DEEP_TEN,
    source="https://github.com/QY1994-0919/CFPNet/blob/main/cfp/models/Functions.py",
    sizes=(*_sizes(6, 3, 10, 10), CODEBOOK),
    options=(),
    presets=(
        Preset(
            POST,
            _shaped(6, 3, 10, 10, num_codes=64),
            "The size of the post's example. Images of 300 numbers are summed up in 192.",
        ),
        Preset(
            "Horses",
            _shaped(2, 16, 20, 28, num_codes=64),
            "More places, so that one sees which of them differ.",
        ),
        Preset(
            "32 codewords asked for",
            _shaped(6, 3, 10, 10, num_codes=32),
            "The original overwrites num_codes by 64, so weights for 32 codewords cannot be loaded "
            "into it. Here as there: look at the codebook.",
        ),
        Preset(
            "Large map",
            _shaped(8, 256, 80, 80, num_codes=64),
            LARGE,
            values=False,
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="assignment",
    build=_encoding,
    inputs=_inputs,
    plot=Plot(
        place="Inside the codebook's branch of EVCBlock. It comes from Deep TEN, a network that "
        "recognises textures, and serves wherever an image of any size has to become a table of "
        "fixed size.",
        look="The places meet the codewords in `difference`; no tensor of the run is larger. In "
        "`assignment` each row is a place and shares out 1. At the end all places are summed "
        "away.",
        parts=(
            Part("Places as rows", lines=("x_flat = ",)),
            Part("Places meet codewords", lines=("x_column = ",)),
            Part("Shares", lines=("distance = ",)),
            Part("Summed arrows", lines=("share = ",)),
        ),
        seen=(
            "Each of the {places} places divided itself among {codes} codewords by its distance to "
            "them.",
            "For each codeword the arrows to the places were added up by these shares: {codes} "
            "vectors of {channels} numbers, however large the map is.",
            "The order of the places has no influence on the result.",
        ),
        leads=("evc-lvc", "non-local"),
        numbers=lambda trace: {
            "places": tensor(trace, "assignment").shape[1],
            "codes": tensor(trace, "assignment").shape[2],
            "channels": trace.inputs[0].shape[1],
        },
    ),
    claims=ENCODING_CLAIMS,
)

LVC = Lesson(
    key="evc-lvc",
    title="LVC: a codebook weighs channels",
    family="Codebook",
    teaches="From an image to codewords to one weight per channel, and back onto the image.",
    about="The learnable visual centre: a codebook sums the image up, the mean over the codewords "
    "becomes one weight per channel, "
    r"$\gamma=\sigma(W\,\mathrm{mean}_k\,\mathrm{ReLU}(\mathrm{BN}(e)))$, "
    r"and the image is amplified by it: $\mathrm{ReLU}(z+z\odot\gamma)$. "
    "It is SE with a codebook in place of the mean. The weights are random: which channels are "
    "amplified has not been learned.",
    post="004",
    paper=PAPER,
    source=SOURCE,
    sizes=(*_sizes(2, 16, 20, 28), CODEBOOK),
    options=(),
    presets=(
        Preset(
            NECK,
            _shaped(2, 16, 20, 28, num_codes=64),
            "A small map, such as the neck of a detector hands on.",
        ),
        Preset("Least channels", _shaped(1, 4, 6, 9, num_codes=64), "4 → 1 → 4 in the bottleneck."),
        Preset(
            "Batch of one in training",
            _shaped(1, 16, 20, 28, num_codes=64),
            "The batch norm over codewords has 16 numbers for each, its channels, even with one "
            "image.",
            training=True,
        ),
        Preset("Large map", _shaped(8, 256, 80, 80, num_codes=64), LARGE, values=False),
        Preset(
            "Breaks: 3 channels",
            _shaped(6, 3, 10, 10, num_codes=64),
            FEW,
            breaks="ValueError",
        ),
        Preset(
            "Breaks: one value to normalise",
            _shaped(1, 16, 1, 1, num_codes=64),
            "In training, batch norm takes mean and variance over B·H·W values per channel. Of one "
            "value there is no variance. Use two images or a larger one.",
            breaks="ValueError",
            training=True,
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="weighed",
    build=_lvc,
    inputs=_inputs,
    plot=Plot(
        place="One of the two branches of EVCBlock, behind its stem: the branch that sees the "
        "image as a whole.",
        look="The map is summed up as `e`, one row per codeword, then as `gam`, one number per "
        "channel. Compare `z` and `weighed`: each channel fades as much as its number says.",
        parts=(
            Part("A look around", module="conv_1"),
            Part("What the codebook sees", lines=("u = self.LVC[0](",)),
            Part("Codebook", lines=("x_flat = ",)),
            Part("One weight per channel", lines=("e_normed = ",)),
            Part("Back onto the map", lines=("weighed = ",)),
        ),
        seen=(
            "The map was summed up around {codes} codewords, and from the mean over these came "
            "one weight for each of the {channels} channels.",
            "The batch norm behind the codebook takes the codewords for channels.",
            "The weighed map was added to the map itself: each channel is multiplied by a factor "
            "between 1 and 2, and none is lost.",
        ),
        leads=("evc-light-mlp", "squeeze-excite"),
        numbers=lambda trace: {
            "codes": tensor(trace, "e").shape[1],
            "channels": trace.inputs[0].shape[1],
        },
    ),
    claims=LVC_CLAIMS,
)

LIGHT_MLP = Lesson(
    key="evc-light-mlp",
    title="LightMLP: two branches in small doses",
    family="Codebook",
    teaches="1 × 1 convolutions treat every place alike, and a factor per channel starts near 0.",
    about="An MLP for each place, with two branches that are added to what comes in: "
    r"$u=x+\lambda_1\odot\mathrm{DW}(\mathrm{GN}(x))$, "
    r"$v=u+\lambda_2\odot\mathrm{MLP}(\mathrm{GN}(u))$. "
    r"Both $\lambda$ start at 0.00001, so a fresh block nearly returns its input. What is called "
    "depthwise is a 1 × 1 convolution. The original registers a position embedding, `linear`, and "
    "never calls it; it is left out here, and its weights are passed over when a state dict is "
    "loaded. The weights are random.",
    post="004",
    paper=PAPER,
    source=SOURCE,
    sizes=_sizes(2, 16, 20, 28),
    options=(
        OUT_OPTION,
        Option("mlp_ratio", "hidden channels of the MLP for each channel", 4.0, (0.5, 1.0, 4.0)),
        Option("use_layer_scale", "a factor per channel for each branch", True, (True, False)),
        Option("layer_scale_init_value", "where the factors start", 1e-5, (1e-5, 0.1, 1.0)),
    ),
    presets=(
        Preset(
            NECK,
            _shaped(2, 16, 20, 28, out_channels="same as C", mlp_ratio=4.0)
            | {"use_layer_scale": True, "layer_scale_init_value": 1e-5},
            "The branches are there, in a dose of 0.00001.",
        ),
        Preset(
            "Full dose",
            _shaped(2, 16, 20, 28, out_channels="same as C", mlp_ratio=4.0)
            | {"use_layer_scale": False, "layer_scale_init_value": 1e-5},
            "Without the factors both branches count in full.",
        ),
        Preset(
            "Breaks: out_channels is not C",
            _shaped(2, 16, 20, 28, out_channels="half of C", mlp_ratio=4.0)
            | {"use_layer_scale": True, "layer_scale_init_value": 1e-5},
            UNEVEN,
            breaks="RuntimeError",
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="mixed",
    build=_light_mlp,
    inputs=_inputs,
    plot=Plot(
        place="The other branch of EVCBlock, beside the codebook: the branch whose convolutions "
        "treat each place by itself.",
        look="No step changes height or width. Compare `mixed` before and after it is multiplied "
        "by `scale_1`: with the default the branch is there in a very small dose.",
        parts=(
            Part("First branch", module="norm1"),
            Part("Second branch", module="norm2"),
        ),
        seen=(
            "Two branches were added to what came in, one after the other.",
            "Every convolution is 1 × 1: in none of them does a place look at another. Only "
            "norms compute with all places of an image.",
            "With `use_layer_scale` each branch is multiplied by one learned factor per channel "
            "before it is added.",
        ),
        leads=("evc", "evc-lvc"),
    ),
    claims=LIGHT_MLP_CLAIMS,
)

EVC = Lesson(
    key="evc",
    title="EVCBlock",
    family="Codebook",
    teaches="Two branches on one map, joined along the channels: one sees all, one each place.",
    about="The explicit visual centre of a centralized feature pyramid. After a stem two branches "
    "read the same map: a codebook, which sees the image as a whole and weighs channels, and a "
    "small MLP, which sees each place by itself: "
    r"$\mathrm{EVC}=W[\mathrm{LVC}(x_1);\mathrm{LMLP}(x_1)]$. "
    "The post praises the code and does not show it. The weights are random: what the branches "
    "single out has not been learned.",
    post="004",
    paper=PAPER,
    source=SOURCE,
    sizes=_sizes(2, 16, 20, 28),
    options=(OUT_OPTION,),
    presets=(
        Preset(
            NECK,
            _shaped(2, 16, 20, 28, out_channels="same as C"),
            "A small map, such as the neck of a detector hands on.",
        ),
        Preset(
            CFP,
            _shaped(2, 128, 40, 40, out_channels="same as C"),
            "As CFP-s uses it for images of 640 × 640. The differences of places and codewords "
            "(2, 1600, 64, 128) take 105 MB, and their squares as much again.",
        ),
        Preset(
            "Large map",
            _shaped(8, 256, 80, 80, out_channels="same as C"),
            LARGE,
            values=False,
        ),
        Preset(
            "Breaks: out_channels is not C",
            _shaped(2, 16, 20, 28, out_channels="half of C"),
            UNEVEN,
            breaks="RuntimeError",
        ),
        Preset(
            "Breaks: 3 channels",
            _shaped(6, 3, 10, 10, out_channels="same as C"),
            FEW,
            breaks="ValueError",
        ),
        Preset(
            "Breaks: one value to normalise",
            _shaped(1, 16, 1, 1, out_channels="same as C"),
            "In training, batch norm takes mean and variance over B·H·W values per channel. Of one "
            "value there is no variance. Use two images or a larger one.",
            breaks="ValueError",
            training=True,
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="x_lvc",
    build=_evc,
    inputs=_inputs,
    plot=Plot(
        place="In the neck of a detector, on the deepest level of the feature pyramid. What it "
        "finds is used to regulate the levels with larger maps.",
        look="Behind the stem both branches start from the same `x1`. Compare `x_lvc` and "
        "`x_lmlp`, which `both` puts side by side.",
        parts=(
            Part("Stem", module="conv1"),
            Part("Codebook's branch", module="lvc"),
            Part("MLP's branch", module="l_MLP"),
            Part("Together", lines=("both = ",)),
        ),
        seen=(
            "Behind the stem two branches read the same map.",
            "One summed the image up around {codes} codewords to weigh the channels, the other "
            "has only 1 × 1 convolutions and treats all places alike.",
            "Side by side they have {both} channels, which a 1 × 1 convolution mixed down to "
            "{out}.",
        ),
        leads=("non-local", "evc-encoding"),
        numbers=lambda trace: {
            "codes": tensor(trace, "e").shape[1],
            "both": tensor(trace, "both").shape[1],
            "out": trace.outputs[0].shape[1],
        },
    ),
    claims=EVC_CLAIMS,
)
