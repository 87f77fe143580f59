"""Coordinate attention and the dynamic convolution built on it (post 003).

A feature map is averaged along its rows and along its columns, so that what is left still knows
how high and how far to the side it was.  Hou, Zhou, Feng, Coordinate Attention for Efficient
Mobile Network Design, CVPR 2021, arXiv 2103.02907.
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
    shown,
    tensor,
    with_fixed_weights,
)
from modules.story import Part, Plot
from tracer import Step, TensorNote, Trace
from tracer.sentences import Said, said


class HSwish(nn.Module):
    """$x\\cdot\\mathrm{ReLU6}(x+3)/6$, in any shape: a sigmoid's bend made of straight lines."""

    def forward(self, x: Tensor) -> Tensor:
        # The share that passes: 0 where `x` is below $-3$, 1 above $3$, a straight line between.
        share = F.relu6(x + 3) / 6
        return x * share


class CoordAtt(nn.Module):
    """Two gates, one along the height and one along the width: (B, C, H, W) → (B, C, H, W).

    Args:
        inp: C.
        oup: channels of the gates.  They are laid over x, so only oup = inp goes through (or 1,
            which broadcasts); the original leaves it open, and so does this.
        reduction: between the strips and the gates there are max(8, inp // reduction) channels.

    Raises:
        ValueError: an argument is below 1.
    """

    def __init__(self, inp: int, oup: int, reduction: int = 32) -> None:
        super().__init__()
        _positive(inp=inp, oup=oup, reduction=reduction)
        self.pool_h = nn.AdaptiveAvgPool2d((None, 1))
        self.pool_w = nn.AdaptiveAvgPool2d((1, None))
        mip = max(8, inp // reduction)
        self.conv1 = nn.Conv2d(inp, mip, kernel_size=1)
        self.bn1 = nn.BatchNorm2d(mip)
        self.act = HSwish()
        self.conv_h = nn.Conv2d(mip, oup, kernel_size=1)
        self.conv_w = nn.Conv2d(mip, oup, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        # **How much does each row matter, and how much each column?**
        a_h, a_w = self.gates(x)

        # The 1 where the rows were repeats the same weight down each of the {x.shape[3]} columns...
        gated_w = x * a_w

        # ...and the other 1 repeats along each row. Together
        # $y_c(i,j)=x_c(i,j)\cdot a^h_c(i)\cdot a^w_c(j)$: a place passes where its row *and* its
        # column are wanted.
        return gated_w * a_h

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A weight for each channel and row, and for each channel and column:
        a_h (B, oup, H, 1), a_w (B, oup, 1, W)."""
        B, C, H, W = x.shape

        # **Two strips** instead of one number per channel, as SE would take.
        x_h, x_w = self.strips(x)

        # The lying strip is stood upright, so that both are columns. Only the order in which the
        # {W} numbers are addressed changes.
        x_column = x_w.permute(0, 1, 3, 2)

        # End to end along the *height*, dimension 2, not along the channels: {H} rows and {W}
        # columns make {y.shape[2]} positions, and every position has all {C} channels.
        y = torch.cat([x_h, x_column], dim=2)

        # So one convolution serves both strips with the same weights: at each position {C}
        # channels become {y_small.shape[1]}, which is $\max(8,\lfloor C/r\rfloor)$.
        y_small = self.conv1(y)
        y_normed = self.bn1(y_small)

        # $f=\delta(\mathrm{BN}(W_1[x^h;x^w]))$, where $\delta$ is h-swish.
        f = self.act(y_normed)

        # The strips part again: the first {H} positions were rows, the other {W} columns.
        f_h, f_column = torch.split(f, [H, W], dim=2)

        # The second lies down again, where the width is.
        f_w = f_column.permute(0, 1, 3, 2)

        # Back to one number per channel, with weights of its own for each direction...
        score_h = self.conv_h(f_h)

        # ...as $a^h=\sigma(W_hf^h)$, between 0 and 1.
        a_h = torch.sigmoid(score_h)

        # The same for the width...
        score_w = self.conv_w(f_w)

        # ...$a^w=\sigma(W_wf^w)$.
        a_w = torch.sigmoid(score_w)
        return a_h, a_w

    def strips(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is left of x along the height, (B, C, H, 1), and along the width, (B, C, 1, W)."""
        # $x^h_c(i)=\frac1W\sum_jx_c(i,j)$: each row gives way to its mean. What height it was at
        # is still there, {x_h.shape[2]} numbers per channel.
        x_h = self.pool_h(x)

        # $x^w_c(j)=\frac1H\sum_ix_c(i,j)$: the same for each of the {x_w.shape[3]} columns.
        x_w = self.pool_w(x)
        return x_h, x_w


class DyCAConv(CoordAtt):
    """The same gates, added in shares that the image chooses, and a convolution behind them:
    (B, inp, H, W) → (B, oup, H', W').

    Args:
        inp, oup: channels in and out.
        kernel_size, stride: of the convolution, padded by kernel_size // 2: with an odd
            kernel_size and stride 1, H' = H and W' = W.
        reduction: see `CoordAtt`.

    Raises:
        ValueError: an argument is below 1.
    """

    def __init__(
        self, inp: int, oup: int, kernel_size: int, stride: int, reduction: int = 32
    ) -> None:
        super().__init__(inp, inp, reduction)
        _positive(oup=oup, kernel_size=kernel_size, stride=stride)
        self.conv = nn.Sequential(
            nn.Conv2d(inp, oup, kernel_size, padding=kernel_size // 2, stride=stride),
            nn.BatchNorm2d(oup),
            nn.SiLU(),
        )
        self.dynamic_weight_fc = nn.Sequential(nn.Linear(inp, 2), nn.Softmax(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape

        # **How much does each row matter, and how much each column?** As in coordinate attention.
        a_h, a_w = self.gates(x)

        # **Which of the two should count?** That is asked of the whole image: its {H} × {W}
        # places give way to one mean per channel.
        x_avg_pool = F.adaptive_avg_pool2d(x, 1)

        # The two 1s go, since a linear layer wants the {C} channels last.
        x_avg_flat = x_avg_pool.view(B, -1)

        # Two scores per image, one for each direction...
        logits = self.dynamic_weight_fc[0](x_avg_flat)

        # ...and a softmax over the two: $w_0+w_1=1$.
        dynamic_weights = self.dynamic_weight_fc[1](logits)

        # The share of the width: one number per image.
        share_w = dynamic_weights[:, 0]

        # Three 1s, so that the one number meets channels, rows and columns alike.
        w_0 = share_w.view(-1, 1, 1, 1)

        # The share of the height...
        share_h = dynamic_weights[:, 1]

        # ...in the same form.
        w_1 = share_h.view(-1, 1, 1, 1)

        # $w_0a^w$: a strip times a number.
        part_w = w_0 * a_w

        # $w_1a^h$: the other strip.
        part_h = w_1 * a_h

        # A lying strip plus an upright one is a whole map: each is repeated where it has a 1. As
        # the shares sum to 1, the gate too lies between 0 and 1. Coordinate attention multiplies
        # the two instead.
        gate = part_w + part_h

        # The gate is laid over `x` itself, not over what it was computed from.
        weighed = x * gate

        # Only now a real convolution, {C} channels to {out.shape[1]}. What the gate has
        # turned down, it hardly sees.
        out = self.conv[0](weighed)
        normed = self.conv[1](out)
        activated: Tensor = self.conv[2](normed)
        return activated


class DyCAConvMax(DyCAConv):
    """`DyCAConv` whose strips are the mean plus the maximum of each row and column.

    It has the parameters of `DyCAConv`, so its weights load.

    Args:
        max_pool: the layer that takes the maxima.  nn.MaxPool2d can be built and not be run.
        inp, oup, kernel_size, stride, reduction: see `DyCAConv`.
    """

    def __init__(
        self,
        inp: int,
        oup: int,
        kernel_size: int,
        stride: int,
        reduction: int = 32,
        max_pool: Callable[[Any], nn.Module] = nn.AdaptiveMaxPool2d,
    ) -> None:
        super().__init__(inp, oup, kernel_size, stride, reduction)
        self.pool_w1 = max_pool((1, None))
        self.pool_h1 = max_pool((None, 1))

    def strips(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # **The means**, as before.
        average_h, average_w = super().strips(x)

        # **The maxima**: the strongest response in each of the {x.shape[3]} columns. A mean
        # over {x.shape[2]} places hardly notices something small; the maximum sees nothing else.
        max_w = self.pool_w1(x)

        # The strongest response in each of the {x.shape[2]} rows.
        max_h = self.pool_h1(x)

        # Added before the shared convolution, so that all that follows, and all parameters, are
        # the same.
        x_h = average_h + max_h
        x_w = average_w + max_w
        return x_h, x_w


def _positive(**arguments: int) -> None:
    for name, value in arguments.items():
        if value < 1:
            raise ValueError(f"{name} is {value}: use 1 or more.")


# --- the lessons ----------------------------------------------------------------------------

PAPER = Paper(
    title="Coordinate Attention for Efficient Mobile Network Design",
    authors="Qibin Hou, Daquan Zhou, Jiashi Feng",
    venue="CVPR",
    year=2021,
    link="https://arxiv.org/abs/2103.02907",
)
WEIGHTS = (
    "The weights are random, so which rows and columns pass has not been learned. The strips have "
    "no weights: what they show is in the picture."
)
POST = "Feature map"
WIDE = "Wide"
LITERAL = "Breaks: nn.MaxPool2d((1, None))"
OUP: dict[str, Callable[[int], int]] = {
    "same as C": lambda C: C,
    "half of C": lambda C: C // 2,
    "twice C": lambda C: 2 * C,
}
MAX_POOLS: dict[str, Callable[[Any], nn.Module]] = {
    "AdaptiveMaxPool2d": nn.AdaptiveMaxPool2d,
    "MaxPool2d": nn.MaxPool2d,
}


def _coordatt(settings: Settings) -> nn.Module:
    C = settings["C"]
    return with_fixed_weights(
        lambda: CoordAtt(C, OUP[settings["oup"]](C), reduction=settings["reduction"])
    )


def _dycaconv(settings: Settings) -> nn.Module:
    return with_fixed_weights(lambda: DyCAConv(**_arguments(settings)))


def _dycaconv_max(settings: Settings) -> nn.Module:
    max_pool = MAX_POOLS[settings["max_pool"]]
    return with_fixed_weights(lambda: DyCAConvMax(**_arguments(settings), max_pool=max_pool))


def _arguments(settings: Settings) -> dict[str, Any]:
    names = ("oup", "kernel_size", "stride", "reduction")
    return {"inp": settings["C"], **{name: settings[name] for name in names}}


def _inputs(
    settings: Settings, kind: InputKind, seed: int
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    shape = [settings[name] for name in "BCHW"]
    return (feature_map(kind, shape, seed),), {}


def _sizes(C: int) -> tuple[Size, ...]:
    return (
        Size("B", "images", 2, 1, 64),
        Size("C", "channels, `inp` in the code", C, 1, 2048),
        Size("H", "height", 14, 1, 512),
        Size("W", "width", 20, 1, 512),
    )


REDUCTION = Size("reduction", "the strips have C // reduction channels, at least 8", 32, 1, 64)
CONVOLUTION = (
    Size("oup", "channels of the result", 48, 1, 2048),
    Size("kernel_size", "of the last convolution", 3, 1, 15),
    Size("stride", "of the last convolution", 1, 1, 8),
    REDUCTION,
)


def _at(B: int, C: int, H: int, W: int, oup: Any, k: int = 3, s: int = 1) -> dict[str, Any]:
    shape = {"B": B, "C": C, "H": H, "W": W}
    return {**shape, "oup": oup, "kernel_size": k, "stride": s, "reduction": 32}


# --- what post 003 says ---------------------------------------------------------------------


def _claim(
    quote: str,
    says: str,
    holds: Callable[[Trace], bool],
    found: Callable[[Trace], str | Said],
    verdict: Verdict = "agrees",
    why: str = "",
    preset: str = POST,
) -> Claim:
    return Claim("003", quote, says, preset, holds, found, verdict, why)


def _is(trace: Trace, *names: str) -> str:
    """How the tensors were made and their shapes, as `y = torch.cat(...), (2,32,34,1)`."""
    return "; ".join(
        f"{name} = {maker(trace, tensor(trace, name)).expression}, "
        f"{shown(tensor(trace, name).shape)}"
        for name in names
    )


def _joined_along_channels(trace: Trace) -> bool:
    step = maker(trace, tensor(trace, "y"))
    return tensor(trace, "y").shape[1] == sum(note.shape[1] for note in step.inputs)


def _global(note: TensorNote) -> bool:
    return note.shape[2:] == (1, 1)


def _after(trace: Trace, name: str) -> list[str]:
    """The operations behind the step that made the tensor."""
    return [step.op for step in trace.steps[maker(trace, tensor(trace, name)).index + 1 :]]


def _reached_by(trace: Trace, note: TensorNote) -> set[int]:
    """The ids of all tensors that it was made from, itself included."""
    found, waiting = {note.id}, [note]
    while waiting:
        born = waiting.pop().born
        if born is not None:
            fresh = [one for one in trace.steps[born].inputs if one.id not in found]
            found.update(one.id for one in fresh)
            waiting.extend(fresh)
    return found


def _ops(trace: Trace, name: str) -> list[Step]:
    return [step for step in trace.steps if name in step.op]


def _on_x(trace: Trace, name: str) -> bool:
    """Whether there are such layers and all are applied to the input."""
    steps = _ops(trace, name)
    return bool(steps) and all(step.inputs[0].id == trace.inputs[0].id for step in steps)


DIM_2 = (
    "They are joined along dimension 2, the height: H + W positions with all channels each, so "
    "that one convolution with C inputs serves both. Along the channels they could not even be "
    "joined unless H = W, and conv1, which expects C channels, would then be given 2C."
)
STRIPS = (
    "Only the pooling for the dynamic weights is global. The strips come from two different "
    "layers: (None, 1) keeps the height, (1, None) the width. With two global means there would be "
    "nothing to tell rows and columns apart."
)
DIRECTIONS = (
    "The attention along the height has one weight per row and is constant along each row; the one "
    "along the width has one per column. Horizontal and vertical are the directions in which the "
    "mean was taken."
)
ADAPTIVE = (
    "nn.MaxPool2d has a window of fixed size and nothing adaptive. It can be built with None, "
    "which is found out only when it is called. nn.AdaptiveMaxPool2d((1, None)) is what is meant."
)

# What the gates of coordinate attention share with DyCAConv, whose code the post gives.
GATE_CLAIMS = (
    _claim(
        "y = torch.cat([x_h, x_w], dim=2)",
        "the strips are joined along dimension 2",
        lambda trace: (
            tensor(trace, "y").shape[2]
            == tensor(trace, "x_h").shape[2] + tensor(trace, "x_column").shape[2]
        ),
        lambda trace: _is(trace, "y"),
    ),
    _claim(
        "x_h, x_w = torch.split(y, [h, w], dim=2)",
        "they are parted again at the height",
        lambda trace: (
            [tensor(trace, name).shape[2] for name in ("f_h", "f_column")]
            == list(trace.inputs[0].shape[2:])
        ),
        lambda trace: (
            f"{shown(tensor(trace, 'f').shape)} → {shown(tensor(trace, 'f_h').shape)}, "
            f"{shown(tensor(trace, 'f_column').shape)}"
        ),
    ),
    _claim(
        "分别是对输入图片的高和宽进行自适应池化的层",
        "pool_h pools for the height, pool_w for the width",
        lambda trace: (
            tensor(trace, "x_h").shape[2:] == (trace.inputs[0].shape[2], 1)
            and tensor(trace, "x_w").shape[2:] == (1, trace.inputs[0].shape[3])
        ),
        lambda trace: _is(trace, "x_h", "x_w"),
        "depends",
        "On what one calls pooling the height: pool_h keeps the height and averages the width "
        "away.",
    ),
    _claim(
        "`reduction` 是通道缩减系数",
        "the strips have C / reduction channels",
        lambda trace: (
            tensor(trace, "y_small").shape[1] * REDUCTION.default == trace.inputs[0].shape[1]
        ),
        lambda trace: said(
            "{many} → {few} channels",
            many=trace.inputs[0].shape[1],
            few=tensor(trace, "y_small").shape[1],
        ),
        "depends",
        "Never fewer than 8: below 8 · reduction channels, 256 with the default of 32, reduction "
        "has no say.",
        WIDE,
    ),
    _claim(
        "将两个经过池化的结果在通道维度上拼接起来",
        "the strips are joined along the channels",
        _joined_along_channels,
        lambda trace: _is(trace, "y"),
        "slip",
        DIM_2,
    ),
    _claim(
        "在通道维度上合并起来",
        "Concat joins along the channels",
        _joined_along_channels,
        lambda trace: _is(trace, "y"),
        "slip",
        DIM_2,
    ),
    _claim(
        "- $\\text{ReLU}$:激活函数",
        "the activation behind the shared convolution is ReLU",
        lambda trace: any(step.op in ("F.relu", "nn.ReLU") for step in trace.steps),
        lambda trace: (
            "the shared convolution is followed by "
            + ", ".join(step.op for step in trace.steps if step.module == "act")
        ),
        "slip",
        "It is h-swish, x · ReLU6(x + 3) / 6, which lets small negative numbers through.",
    ),
    _claim(
        "- $a_h$:水平方向上的注意力矩阵",
        "a_h varies along the width",
        lambda trace: tensor(trace, "a_h").shape[3] > 1,
        lambda trace: _is(trace, "a_h"),
        "slip",
        DIRECTIONS,
    ),
    _claim(
        "- $a_w$:垂直方向上的注意力矩阵",
        "a_w varies along the height",
        lambda trace: tensor(trace, "a_w").shape[2] > 1,
        lambda trace: _is(trace, "a_w"),
        "slip",
        DIRECTIONS,
    ),
)

COORDATT_CLAIMS = (
    *GATE_CLAIMS,
    _claim(
        "a_h = self.conv_h(x_h).sigmoid()",
        "one weight per channel and row",
        lambda trace: tensor(trace, "a_h").shape == (*trace.inputs[0].shape[:3], 1),
        lambda trace: _is(trace, "a_h"),
    ),
    _claim(
        "a_w = self.conv_w(x_w).sigmoid()",
        "one weight per channel and column",
        lambda trace: (
            tensor(trace, "a_w").shape == (*trace.inputs[0].shape[:2], 1, trace.inputs[0].shape[3])
        ),
        lambda trace: _is(trace, "a_w"),
    ),
)

DYCACONV_CLAIMS = (
    *GATE_CLAIMS,
    _claim(
        "对输入特征图进行自适应平均池化,得到全局平均特征向量",
        "AdaptiveAvgPool2d(x), which the formula joins, is the global mean",
        lambda trace: all(_global(tensor(trace, name)) for name in ("x_h", "x_w")),
        lambda trace: _is(trace, "x_h", "x_w", "x_avg_pool"),
        "slip",
        STRIPS,
    ),
    _claim(
        "a_h = self.conv_h(x_h).sigmoid()",
        "a_h comes through a convolution of its own and a sigmoid",
        lambda trace: (
            maker(trace, tensor(trace, "a_h")).op == "torch.sigmoid"
            and maker(trace, tensor(trace, "score_h")).module == "conv_h"
        ),
        lambda trace: _is(trace, "score_h", "a_h"),
        "agrees",
        "The formula leaves out both, for a_h and for a_w.",
    ),
    _claim(
        "然后对输入张量进行自适应平均池化操作,并将结果展平成二维张量",
        "the pooled input is flattened to two dimensions",
        lambda trace: (
            tensor(trace, "x_avg_flat").shape == trace.inputs[0].shape[:2]
            and maker(trace, tensor(trace, "x_avg_pool")).inputs[0].id == trace.inputs[0].id
        ),
        lambda trace: (
            f"{shown(trace.inputs[0].shape)} → {shown(tensor(trace, 'x_avg_pool').shape)} → "
            f"{shown(tensor(trace, 'x_avg_flat').shape)}"
        ),
    ),
    _claim(
        "nn.Linear(inp, 2), nn.Softmax(dim=1)",
        "two weights per image, which compete",
        lambda trace: (
            tensor(trace, "dynamic_weights").shape == (trace.inputs[0].shape[0], 2)
            and maker(trace, tensor(trace, "dynamic_weights")).op == "nn.Softmax"
        ),
        lambda trace: _is(trace, "dynamic_weights"),
    ),
    _claim(
        "用于加权不同的通道信息",
        "the dynamic weights weigh the channels",
        lambda trace: tensor(trace, "dynamic_weights").shape[1] == trace.inputs[0].shape[1],
        lambda trace: said(
            "dynamic_weights {shape} for {count} channels",
            shape=shown(tensor(trace, "dynamic_weights").shape),
            count=trace.inputs[0].shape[1],
        ),
        "slip",
        "There are two per image: they weigh the two directions against each other. The channels "
        "are weighed in a_h and a_w.",
    ),
    _claim(
        "其中每个位置的值都是输入张量和对应位置的动态权重的乘积之和",
        "there is a dynamic weight for each position",
        lambda trace: tensor(trace, "dynamic_weights").shape[2:] == trace.inputs[0].shape[2:],
        lambda trace: _is(trace, "w_0", "w_1", "gate"),
        "slip",
        "The dynamic weights are the same for all positions of an image. What differs from "
        "position to position is the gate, through a_h and a_w.",
    ),
    _claim(
        "并将其扩展为与输入特征图相同的维度",
        "the views bring each weight to as many dimensions as x has",
        lambda trace: (
            len(tensor(trace, "w_0").shape) == len(trace.inputs[0].shape)
            and len(tensor(trace, "w_1").shape) == len(trace.inputs[0].shape)
        ),
        lambda trace: _is(trace, "w_0", "w_1"),
        "depends",
        "On the reading: to the same number of dimensions, not to the same sizes. view makes "
        "three 1s, and broadcasting repeats them.",
    ),
    _claim(
        "dynamic_weights[:, 0].view(-1, 1, 1, 1) * a_w + "
        "dynamic_weights[:, 1].view(-1, 1, 1, 1) * a_h",
        "a strip along the width and one along the height add up to a whole map",
        lambda trace: (
            maker(trace, tensor(trace, "gate")).op == "Tensor.add"
            and tensor(trace, "gate").shape == trace.inputs[0].shape
        ),
        lambda trace: (
            f"{shown(tensor(trace, 'part_w').shape)} + {shown(tensor(trace, 'part_h').shape)} → "
            f"{shown(tensor(trace, 'gate').shape)}"
        ),
    ),
    _claim(
        "$$\\text{DyCAConv}(x) = \\text{Conv}\\left(\\text{ReLU}\\left(\\text{BN}\\left("
        "\\text{Conv}\\left(\\text{Concat}",
        "the gate is multiplied with what the convolutions made of the strips",
        lambda trace: (
            tensor(trace, "f").id
            in _reached_by(trace, maker(trace, tensor(trace, "weighed")).inputs[0])
        ),
        lambda trace: _is(trace, "weighed"),
        "slip",
        "The gate is multiplied with the input x. The convolution over the strips is what a_h and "
        "a_w are computed from, and occurs nowhere else.",
    ),
    _claim(
        "\\cdot a_h\\right)$$",
        "the product with the gate is the result",
        lambda trace: not _after(trace, "weighed"),
        lambda trace: "the product is followed by " + ", ".join(_after(trace, "weighed")),
        "slip",
        "The formula leaves out the convolution that gives the module its name, with its "
        "kernel_size, stride, batch norm and SiLU.",
    ),
    _claim(
        "动态通道注意力卷积(Dynamic Channel Attention Convolution)",
        "the gate is one of channels, alike at all places",
        lambda trace: _global(tensor(trace, "gate")),
        lambda trace: _is(trace, "gate"),
        "slip",
        "It differs from place to place: this is coordinate attention, whose two branches are "
        "weighed dynamically.",
    ),
    _claim(
        "return self.conv(out)",
        "the convolution brings the channels to oup and, with stride 1, keeps the places",
        lambda trace: (
            trace.outputs[0].shape[2:] == trace.inputs[0].shape[2:]
            and trace.outputs[0].shape[1] == CONVOLUTION[0].default
        ),
        lambda trace: f"{shown(trace.inputs[0].shape)} → {shown(trace.outputs[0].shape)}",
        "depends",
        "On an odd kernel_size: the padding of kernel_size // 2 at each side makes the map grow by "
        "one if it is even.",
    ),
)

MAX_CLAIMS = (
    _claim(
        "self.pool_w1 = nn.MaxPool2d((1, None)) self.pool_h1 = nn.MaxPool2d((None, 1))",
        "nn.MaxPool2d takes the maximum of each row and column",
        lambda trace: trace.failure is None,
        lambda trace: (
            "it runs"
            if trace.failure is None
            else f"{trace.failure.expression} raises {trace.failure.type}"
        ),
        "slip",
        ADAPTIVE,
        LITERAL,
    ),
    _claim(
        "添加了两个新的自适应池化层 `pool_h1` 和 `pool_w1`",
        "pool_h1 and pool_w1, as proposed, are adaptive",
        lambda trace: bool(_ops(trace, "AdaptiveMaxPool2d")) and trace.failure is None,
        lambda trace: (
            said("it runs")
            if trace.failure is None or trace.failure.step is None
            else said(
                "{code} is {op}, and raises {error}",
                code=trace.failure.expression,
                op=trace.failure.step.op,
                error=trace.failure.type,
            )
        ),
        "slip",
        ADAPTIVE,
        LITERAL,
    ),
    _claim(
        "应该在 `forward` 方法中将其应用到输入图片上",
        "to be of use they are applied to the input in forward",
        lambda trace: _on_x(trace, "AdaptiveMaxPool2d"),
        lambda trace: ", ".join(
            f"{step.expression} {shown(step.outputs[0].shape)}"
            for step in _ops(trace, "AdaptiveMaxPool2d")
        ),
        "agrees",
        "How they are to be joined with the means the post does not say. Here both are added, "
        "so that the parameters stay those of DyCAConv.",
    ),
)


# --- declarations -----------------------------------------------------------------------------

FORMULAS = r"""

**The post's formula**, with $P$ for AdaptiveAvgPool2d:

$$
\begin{aligned}
y&=\overset{(1)}{\mathrm{Conv}}(\overset{(2)}{\mathrm{ReLU}}(\mathrm{BN}(\mathrm{Conv}(\\
&\quad\overset{(3)}{\mathrm{Concat}}(\overset{(4)}{P(x)},\overset{(4)}{P(x)^{\top}})))))\\
&\quad\cdot(w_0\,\overset{(5)}{a_w}+w_1\,\overset{(5)}{a_h})\;\overset{(6)}{\phantom{x}}\\
(w_0,w_1)&=\mathrm{softmax}(\mathrm{Linear}(P(x)))
\end{aligned}
$$

**What the code computes**, with the differences at the same numbers:

$$
\begin{aligned}
f&=\overset{(2)}{\mathrm{hswish}}(\mathrm{BN}(W_1\\
&\quad\overset{(3)}{\mathrm{cat}_2}(
\overset{(4)}{\mathrm{mean}_w(x)},\overset{(4)}{\mathrm{mean}_h(x)^{\top}})))\\
a_h&=\overset{(5)}{\sigma}(W_hf_h)\\
a_w&=\overset{(5)}{\sigma}(W_wf_w)\\
(w_0,w_1)&=\mathrm{softmax}(\mathrm{Linear}(\mathrm{mean}_{hw}(x)))\\
y&=\overset{(6)}{\mathrm{SiLU}}(\mathrm{BN}(\mathrm{Conv}_{k,s}(\\
&\quad\overset{(1)}{x}\odot(w_0\,a_w+w_1\,a_h))))
\end{aligned}
$$

1. The gate multiplies $x$, not the convolution over the strips.
2. h-swish, not ReLU.
3. Joined along the height, dimension 2, not along the channels.
4. Two strips, pooled in different directions, not twice the global mean. In $w_0,w_1$ it is
   global.
5. Each gate has a convolution and a sigmoid of its own.
6. Convolution, batch norm and SiLU at the end.

"""


def _strip_sizes(trace: Trace) -> dict[str, int]:
    return {
        "height": tensor(trace, "x_h").shape[2],
        "width": tensor(trace, "x_w").shape[3],
        "positions": tensor(trace, "y").shape[2],
        "channels": tensor(trace, "y").shape[1],
        "small": tensor(trace, "y_small").shape[1],
    }


def _convolution_sizes(trace: Trace) -> dict[str, int]:
    return {"channels": trace.inputs[0].shape[1], "out": trace.outputs[0].shape[1]}


COORDATT = Lesson(
    key="coordatt",
    title="Coordinate attention",
    family="Coordinate",
    teaches="Average along rows and along columns, and attention remembers where things are.",
    about="SE averages a channel over the whole map and forgets where anything was. Here a channel "
    "is averaged over each row and over each column, so that two strips are left. One shared "
    "convolution reads both, two more make a gate of each, and multiplied they single out the "
    f"places where a wanted row crosses a wanted column. {WEIGHTS}",
    post="003",
    paper=PAPER,
    source="https://github.com/houqb/CoordAttention/blob/main/coordatt.py",
    sizes=(*_sizes(64), REDUCTION),
    options=(Option("oup", "channels of the gates", "same as C", tuple(OUP), in_words=True),),
    presets=(
        Preset(
            POST,
            {"B": 2, "C": 64, "H": 14, "W": 20, "oup": "same as C", "reduction": 32},
            "A late feature map of a small network. 64 // 32 would leave 2 channels for the "
            "strips, so there are 8, the least.",
        ),
        Preset(
            WIDE,
            {"B": 2, "C": 256, "H": 28, "W": 40, "oup": "same as C", "reduction": 32},
            "From 256 channels on, reduction decides how many channels the strips have.",
        ),
        Preset(
            "Small",
            {"B": 1, "C": 4, "H": 6, "W": 9, "oup": "same as C", "reduction": 32},
            "Few enough numbers to read. Fewer channels than the strips have in between: 4 → 8 → "
            "4.",
        ),
        Preset(
            "Breaks: oup is not C",
            {"B": 2, "C": 64, "H": 14, "W": 20, "oup": "half of C", "reduction": 32},
            "The original lets one ask for 32 gates, but they are multiplied with the 64 channels "
            "of x. Only oup = inp goes through; to change the channels, put a convolution behind.",
            breaks="RuntimeError",
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="gated_w",
    build=_coordatt,
    inputs=_inputs,
    plot=Plot(
        place="In the blocks of a mobile network: behind the depthwise convolution, before the 1 "
        "× 1 convolution that makes the channels fewer again. It takes the place of SE and "
        "changes no shape.",
        look="Averaging leaves two strips of the map, `x_h` and `x_w`. In `y` they stand end to "
        "end, then they part again and become `a_h`, constant along each row, and `a_w`, "
        "constant along each column.",
        parts=(
            Part("Two strips", lines=("x_h = self.pool_h(",)),
            Part("One convolution for both", lines=("x_column = ",)),
            Part("Two gates", lines=("f_h, f_column = ",)),
            Part("Onto the input", lines=("gated_w = ",)),
        ),
        seen=(
            "The map was averaged twice, and each channel kept {height} means that know the row "
            "and {width} that know the column.",
            "End to end they made {positions} positions, and one convolution with the same "
            "weights for all took {channels} channels to {small}.",
            "The input was multiplied by both gates: a place passes as far as both its row and "
            "its column do.",
        ),
        leads=("dycaconv", "squeeze-excite"),
        numbers=_strip_sizes,
    ),
    claims=COORDATT_CLAIMS,
)

_DYCACONV_PRESETS = (
    Preset(
        POST,
        _at(2, 32, 14, 20, 48),
        "The post gives no sizes. Unlike coordinate attention, the module may change the channels: "
        "32 → 48.",
    ),
    Preset(
        WIDE,
        _at(2, 256, 28, 40, 256),
        "From 256 channels on, reduction decides how many channels the strips have.",
    ),
    Preset(
        "Stride 2",
        _at(2, 32, 15, 21, 64, s=2),
        "The gate is computed at full size, and the convolution leaves every other place out.",
    ),
    Preset(
        "Even kernel",
        _at(2, 32, 5, 6, 48, k=4),
        "The padding is k // 2 at each side, so a kernel of 4 makes the map grow by one: 5 × 6 → "
        "6 × 7.",
    ),
    Preset(
        "Breaks: one value to normalise",
        _at(1, 32, 1, 1, 48),
        "In training, batch norm takes mean and variance over B·H·W values per channel. The "
        "strips have two positions together and pass; of the one place of the result there is no "
        "variance. Use two images or a larger one.",
        breaks="ValueError",
        training=True,
    ),
)

DYCACONV = Lesson(
    key="dycaconv",
    title="DyCAConv",
    family="Coordinate",
    teaches="An upright strip plus a lying strip is a whole map, in shares that the image chooses.",
    about="Coordinate attention multiplies its two gates. DyCAConv adds them, in shares that a "
    "softmax computes from the image itself, lays the sum over the input and convolves. No paper "
    "of it was found: its parent, CAConv, is in the repository RFAConv, and its gates are those "
    f"of the paper on coordinate attention. {WEIGHTS}{FORMULAS}",
    post="003",
    paper=PAPER,
    source="https://github.com/Liuchen1997/RFAConv",
    sizes=(*_sizes(32), *CONVOLUTION),
    options=(),
    presets=_DYCACONV_PRESETS,
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="gate",
    build=_dycaconv,
    inputs=_inputs,
    plot=Plot(
        place="Where a network has a convolution with a kernel and a stride: this one weighs its "
        "input first and then convolves it.",
        look="Look at `dynamic_weights`: one row for each image, two shares that sum to 1. In "
        "`gate` an upright strip and a lying one make a whole map.",
        parts=(
            Part("Two strips", lines=("x_h = self.pool_h(",)),
            Part("Two gates", lines=("x_column = ",)),
            Part("Shares", lines=("x_avg_pool = ",)),
            Part("One gate", lines=("part_w = ",)),
            Part("Convolution", module="conv"),
        ),
        seen=(
            "The two gates are those of coordinate attention: a weight for each channel and row, "
            "and one for each channel and column.",
            "A softmax over two scores gave each image its shares of the two, and the shares sum "
            "to 1.",
            "The gates were added in these shares and multiplied with the input; only then did "
            "a convolution take {channels} channels to {out}.",
        ),
        leads=("dycaconv-max", "coordatt"),
        numbers=_convolution_sizes,
    ),
    claims=DYCACONV_CLAIMS,
)

DYCACONV_MAX = Lesson(
    key="dycaconv-max",
    title="DyCAConv with maxima",
    family="Coordinate",
    teaches="How a maximum of each row is taken: adaptively, and not with None as a window.",
    about="A reader of the post wants to add max pooling, and the answer leaves it at that. Here "
    "it is done: the maximum of each row and column is added to its mean, before the convolution "
    "that both strips share. Another reading would send means and maxima through that convolution "
    "side by side and add them afterwards; both keep the parameters of DyCAConv. Choose MaxPool2d "
    f"to see what the layers that the reader proposes do. {WEIGHTS}",
    post="003",
    paper=PAPER,
    source="https://github.com/Liuchen1997/RFAConv",
    sizes=(*_sizes(32), *CONVOLUTION),
    options=(
        Option(
            "max_pool", "the layer that takes the maxima", "AdaptiveMaxPool2d", tuple(MAX_POOLS)
        ),
    ),
    presets=(
        Preset(
            POST,
            {**_at(2, 32, 14, 20, 48), "max_pool": "AdaptiveMaxPool2d"},
            "The sizes of the lesson on DyCAConv, to compare the strips.",
        ),
        Preset(
            "Small",
            {**_at(1, 4, 6, 9, 4), "max_pool": "AdaptiveMaxPool2d"},
            "Few enough numbers to find each maximum.",
        ),
        Preset(
            LITERAL,
            {**_at(2, 32, 14, 20, 48), "max_pool": "MaxPool2d"},
            "As the reader writes it. The window of nn.MaxPool2d has a fixed size, and None is no "
            "size; that it means 'as large as the input' is a rule of the adaptive layers. Use "
            "nn.AdaptiveMaxPool2d((1, None)).",
            breaks="TypeError",
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="max_h",
    build=_dycaconv_max,
    inputs=_inputs,
    plot=Plot(
        place="Where DyCAConv would be, in the place of a convolution. It has the same "
        "parameters, so weights trained for the one can be loaded into the other.",
        look="Compare what the first two chapters make: the mean of a row hardly notices "
        "something small, the maximum sees only the strongest place. All that follows is made "
        "of their sums, `x_h` and `x_w`.",
        parts=(
            Part("Means", lines=("x_h = self.pool_h(",)),
            Part("Maxima", lines=("max_w = ",)),
            Part("Two gates", lines=("x_column = ",)),
            Part("Shares", lines=("x_avg_pool = ",)),
            Part("One gate", lines=("part_w = ",)),
            Part("Convolution", module="conv"),
        ),
        seen=(
            "Each strip is the sum of the means and the maxima along the other direction.",
            "An adaptive layer reads None as “as large as the input”; `nn.MaxPool2d` can be built "
            "with None and stops when it is called.",
            "All that follows is DyCAConv with the same parameters: {channels} channels became "
            "{out}.",
        ),
        leads=("dycaconv", "non-local"),
        numbers=_convolution_sizes,
    ),
    claims=MAX_CLAIMS,
)
