"""Efficient channel attention (post 001), for sequences and for images.

Each channel gets a weight between 0 and 1 that depends on its own mean and on those of its
nearest neighbours.  Wang, Wu, Zhu, Li, Zuo, Hu, ECA-Net, CVPR 2020, arXiv 1910.03151.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.inputs import feature_map, frame_mask, sequence
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


class ECA(nn.Module):
    """Channel attention for sequences: inputs (B, T, C), mask (B, T) or None → (B, T, C).

    Args:
        kernel_size: how many neighbouring channels a weight depends on, odd or even.

    `mask` is true where a frame is real; the others do not count in the mean.  A sequence without
    any real frame has no mean and comes out as NaN, as in Keras.

    The Keras original stores its kernel as (kernel_size, 1, 1), here it is (1, 1, kernel_size).

    Raises:
        ValueError: kernel_size is below 1.
    """

    def __init__(self, kernel_size: int = 5) -> None:
        super().__init__()
        if kernel_size < 1:
            raise ValueError(f"kernel_size is {kernel_size}: use 1 or more.")
        self.kernel_size = kernel_size
        self.conv = nn.Conv1d(1, 1, kernel_size, bias=False)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            # $y_c=\frac1T\sum_t x_{t,c}$: the {inputs.shape[1]} frames give way to one number per
            # channel, how strong it was over the whole sequence.
            y = torch.mean(inputs, dim=1)
        else:
            # The mask says which frames are real. As numbers it can be multiplied with...
            kept = mask.to(inputs.dtype)

            # ...and with a 1 at the end one number per frame meets all {inputs.shape[2]} channels.
            weight = kept.unsqueeze(2)

            # Padded frames become 0...
            real = inputs * weight

            # ...and add nothing to the sum over the {inputs.shape[1]} frames.
            total = torch.sum(real, dim=1)

            # They must not count either: divide by the number of real frames, not by
            # {inputs.shape[1]}.
            count = torch.sum(weight, dim=1)

            # $y_c=\frac{\sum_t m_t\,x_{t,c}}{\sum_t m_t}$: one number per channel.
            y = total / count

        # To convolve *along the channels*, they have to be read as a line of {y.shape[1]} points
        # with one feature each: a 1 at the end makes the feature.
        column = y.unsqueeze(-1)

        # Keras wants that feature last, torch's `Conv1d` wants it before the line.
        line = column.transpose(1, 2)

        left = (self.kernel_size - 1) // 2
        right = self.kernel_size - 1 - left

        # The outermost channels lack neighbours: zeros stand in for them, {left} at the left and
        # {right} at the right, $k-1$ in all, so that as many points come out as went in. With an
        # even $k$ the odd one goes to the right, as in Keras's `same`.
        padded = F.pad(line, (left, right))

        # $\sum_{j=0}^{k-1}w_j\,y_{c+j-\ell}$, where $\ell$ is the number of zeros at the left: the
        # same {self.kernel_size} weights slide along all channels, and they are all that is
        # learned. An SE block would first squeeze the channels into fewer; here each keeps its own
        # number.
        mixed = self.conv(padded)

        # Back to Keras's order...
        scores = mixed.transpose(1, 2)

        # ...and the 1 has done its work.
        score = scores.squeeze(-1)

        # $\omega=\sigma(\cdot)$: each channel gets its own weight between 0 and 1. They do not
        # compete, as they would in a softmax.
        omega = torch.sigmoid(score)

        # A 1 where the {inputs.shape[1]} frames were: one weight per channel, for all frames alike.
        gate = omega[:, None, :]

        # Broadcasting repeats the 1 along the frames. Strong channels pass, weak ones fade.
        return inputs * gate


def adaptive_kernel_size(channel: int, gamma: float = 2, b: float = 1) -> int:
    r"""How many neighbours the paper lets a channel see.

    $k=|\log_2(C)/\gamma+b/\gamma|_{odd}$: the whole part, and one more if that is even.
    """
    t = int(abs((math.log2(channel) + b) / gamma))
    return t if t % 2 else t + 1


class ECALayer(nn.Module):
    """Channel attention for images: x (B, C, H, W) → (B, C, H, W).

    Args:
        channel: C; only the adaptive kernel size depends on it.
        k_size: how many neighbouring channels a weight depends on; None takes
            `adaptive_kernel_size(channel)`.  As in the original the padding suits odd numbers
            only: with an even one the forward fails.

    Raises:
        ValueError: channel or k_size is below 1.
    """

    def __init__(self, channel: int, k_size: int | None = None) -> None:
        super().__init__()
        if channel < 1:
            raise ValueError(f"channel is {channel}: use 1 or more.")
        if k_size is None:
            k_size = adaptive_kernel_size(channel)
        if k_size < 1:
            raise ValueError(f"k_size is {k_size}: use 1 or more, odd, or None.")
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv1d(1, 1, k_size, padding=(k_size - 1) // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # $y_c=\frac1{HW}\sum_{ij}x_{c,ij}$: {x.shape[2]} × {x.shape[3]} places give way to one
        # number per channel.
        y = self.avg_pool(x)

        # One of the two 1s goes...
        column = y.squeeze(-1)

        # ...and the other becomes the feature of a line of {column.shape[1]} points, the channels,
        # because a `Conv1d` slides along the last dimension.
        line = column.transpose(-1, -2)

        # The same few weights slide along all channels: each one's score depends on its nearest
        # neighbours. The padding of $\lfloor\frac{k-1}{2}\rfloor$ at both ends keeps the length if
        # $k$ is odd.
        mixed = self.conv(line)

        # The way back: channels where they belong...
        scores = mixed.transpose(-1, -2)

        # ...and a 1 for each of height and width.
        score = scores.unsqueeze(-1)

        # $\omega=\sigma(\cdot)$: each channel's weight, between 0 and 1.
        omega = torch.sigmoid(score)

        # One weight for all {x.shape[2]} × {x.shape[3]} places of its channel. `expand_as` copies
        # nothing: it only reads the same number again and again.
        gate = omega.expand_as(x)

        # Strong channels pass, weak ones fade.
        return x * gate


# --- the lessons ----------------------------------------------------------------------------

PAPER = Paper(
    title="ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks",
    authors="Qilong Wang, Banggu Wu, Pengfei Zhu, Peihua Li, Wangmeng Zuo, Qinghua Hu",
    venue="CVPR",
    year=2020,
    link="https://arxiv.org/abs/1910.03151",
)
WEIGHTS = "The weights are random: what is amplified here has not been learned."
POST = "Post's size"


def _build_sequence(settings: Settings) -> nn.Module:
    return with_fixed_weights(lambda: ECA(settings["kernel_size"]))


def _sequence_inputs(
    settings: Settings, kind: InputKind, seed: int
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    B, T, C = (settings[name] for name in "BTC")
    mask = frame_mask(settings["mask"], B, T, seed)
    if mask is not None and kind == "shape":
        mask = mask.to("meta")
    return (sequence(kind, (B, T, C), seed),), {"mask": mask}


def _build_image(settings: Settings) -> nn.Module:
    k_size = settings["k_size"]
    return with_fixed_weights(
        lambda: ECALayer(settings["C"], None if k_size == "adaptive" else k_size)
    )


def _image_inputs(
    settings: Settings, kind: InputKind, seed: int
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    shape = [settings[name] for name in "BCHW"]
    x = feature_map(kind, shape, seed)
    # What a block before passes on has been through a ReLU: what a channel answers to is there or
    # not, and its mean says how much of it there is.
    return (torch.relu(x) if kind == "picture" else x,), {}


# --- what post 001 says ---------------------------------------------------------------------


def _shape(
    quote: str,
    name: str,
    shape: tuple[int, ...],
    verdict: Verdict = "agrees",
    why: str = "",
    output: int | None = None,
) -> Claim:
    return shape_claim(
        quote, name, shape, post="001", preset=POST, verdict=verdict, why=why, output=output
    )


def _kernels(trace: Trace) -> list[tuple[int, ...]]:
    """The shapes of the convolution's parameters."""
    (conv,) = (step for step in trace.steps if step.op == "nn.Conv1d")
    return [note.shape for note in conv.inputs if note.kind == "parameter"]


def _divisor(trace: Trace) -> tuple[str, str]:
    """The name of what the sum over time is divided by, and of the input that it is made from."""
    note = divisor = maker(trace, tensor(trace, "y")).inputs[-1]
    while note.born is not None:
        note = maker(trace, note).inputs[0]
    return divisor.name, note.name


def _scores_are_the_gate(trace: Trace) -> bool:
    """Whether the inputs are multiplied with what the convolution gave, only reshaped."""
    note = maker(trace, trace.outputs[0]).inputs[1]
    while (step := maker(trace, note)).op in ("Tensor.__getitem__", "Tensor.squeeze"):
        note = step.inputs[0]
    return note.name in ("scores", "mixed")


def _order(trace: Trace) -> bool:
    steps = [maker(trace, tensor(trace, name)).index for name in ("score", "omega", "gate")]
    return steps == sorted(steps)


def _neighbours(trace: Trace) -> tuple[int, int]:
    """How many channels a weight depends on, and how many there are."""
    return _kernels(trace)[0][-1], tensor(trace, "y").shape[1]


LAYOUT = (
    "In Keras, whose Conv1D has features last. torch's Conv1d slides along the last dimension, so "
    "the lesson transposes before and after."
)

SEQUENCE_CLAIMS = (
    _shape("[ 1024 , 23 , 708 ] [1024,23,708] [1024,23,708]", "inputs", (1024, 23, 708)),
    _shape(
        "首先经过一个全局池化层,则张量 [ 1024 , 23 , 708 ] [1024,23,708] [1024,23,708]的形状变为",
        "y",
        (1024, 708),
    ),
    Claim(
        "001",
        "nn = tf.keras.layers.GlobalAveragePooling1D()(inputs, mask=mask)",
        "the mean over time knows of the mask",
        POST,
        lambda trace: _divisor(trace)[1] == "mask",
        lambda trace: said(
            "y = {code}, where {divisor} is made from {source}",
            code=maker(trace, tensor(trace, "y")).expression,
            divisor=_divisor(trace)[0],
            source=_divisor(trace)[1],
        ),
        "agrees",
        "The post does not say what the mask does: the mean is taken over the real frames only.",
    ),
    _shape("也就是张量的形状变成 [ 1024 , 708 , 1 ]", "column", (1024, 708, 1)),
    Claim(
        "001",
        'tf.keras.layers.Conv1D(1,kernel_size=kernel_size,strides=1,padding="same",use_bias=False)',
        "one filter over one feature, no bias, as many points out as in",
        POST,
        lambda trace: (
            [kernel[:2] for kernel in _kernels(trace)] == [(1, 1)]
            and tensor(trace, "scores").shape == tensor(trace, "column").shape
        ),
        lambda trace: (
            f"parameters {', '.join(shown(kernel) for kernel in _kernels(trace))}; "
            f"{shown(tensor(trace, 'column').shape)} → {shown(tensor(trace, 'scores').shape)}"
        ),
        "agrees",
        "kernel_size is not given in the post; the notebook that the code comes from has 5.",
    ),
    _shape("由于这块做了等维的 p a d pad pad,所以张量的形状变成了", "scores", (1024, 708, 1)),
    Claim(
        "001",
        "注意是对倒数第 2 2 2个进行卷积",
        "the convolution runs along the last dimension but one",
        POST,
        lambda trace: tensor(trace, "column").shape[-2] == tensor(trace, "y").shape[1],
        lambda trace: said(
            "along {size} in {column}, the last in {line}",
            size=tensor(trace, "column").shape[-2],
            column=shown(tensor(trace, "column").shape),
            line=shown(tensor(trace, "line").shape),
        ),
        "depends",
        LAYOUT,
    ),
    Claim(
        "001",
        "到这块其实注意力权重就已经算出来了",
        "what the convolution gives are the attention weights",
        POST,
        _scores_are_the_gate,
        lambda trace: said(
            "gate comes from omega = {code}",
            code=maker(trace, tensor(trace, "omega")).expression,
        ),
        "slip",
        "They are scores of any sign. Only the sigmoid makes weights between 0 and 1 of them, as "
        "the post adds at its end.",
    ),
    Claim(
        "001",
        "接下来需要把最后一维的 1 1 1放到第 2 2 2维上(按照索引来说应该是第 1 1 1维)",
        "the 1 at the end goes to index 1",
        POST,
        lambda trace: (
            tensor(trace, "scores").shape[-1] == 1
            and tensor(trace, "gate").shape[1] == 1
            and len(tensor(trace, "gate").shape) == 3
        ),
        lambda trace: (
            f"{shown(tensor(trace, 'scores').shape)} → {shown(tensor(trace, 'gate').shape)}"
        ),
        "agrees",
    ),
    _shape("TensorShape([1024, 708])", "score", (1024, 708)),
    _shape("TensorShape([1024, 1, 708])", "gate", (1024, 1, 708)),
    Claim(
        "001",
        "nn = tf.nn.sigmoid(nn)",
        "squeeze, then sigmoid, then [:,None,:]",
        POST,
        _order,
        lambda trace: " → ".join(
            maker(trace, tensor(trace, name)).expression for name in ("score", "omega", "gate")
        ),
        "agrees",
        "The prose mentions the sigmoid after the new dimension. For the shapes it is all one.",
    ),
    Claim(
        "001",
        "相邻特征之间学习起来更合理",
        "neighbouring channels belong together",
        POST,
        lambda trace: 1 < _neighbours(trace)[0] < _neighbours(trace)[1],
        lambda trace: said(
            "a weight depends on {some} of {all} channels",
            some=_neighbours(trace)[0],
            all=_neighbours(trace)[1],
        ),
        "depends",
        "A convolution along channels sees neighbours in the order in which the features were "
        "concatenated. That they belong together is up to whoever orders them, and holds for "
        "landmarks of eyes, nose, lips and hands kept in groups.",
    ),
)


def _principle(trace: Trace) -> list[str]:
    """The operations that compute, without those that only reshape."""
    ops = [op_name(step.op) for step in trace.steps]
    reshaping = ("squeeze", "unsqueeze", "transpose", "expand_as")
    return [op for op in ops if op not in reshaping]


IMAGE_CLAIMS = (
    Claim(
        "001",
        "与原论文代码原理相同但并不完全一样,主要是输入张量的形状不同",
        "the paper's own code does the same to an input of another shape",
        "Feature map",
        lambda trace: (
            _principle(trace) == ["AdaptiveAvgPool2d", "Conv1d", "sigmoid", "mul"]
            and len(trace.inputs[0].shape) == 4
        ),
        lambda trace: said(
            "{ops} on {shape}",
            ops=", ".join(_principle(trace)),
            shape=shown(trace.inputs[0].shape),
        ),
        "agrees",
    ),
)

SEQUENCE = Lesson(
    key="eca-sequence",
    title="ECA for sequences",
    family="Channel",
    teaches="Channels are weighed with a handful of numbers, by a convolution along the channels.",
    about="How loud should each of the channels be? Its mean over time says how strong it was, and "
    "a tiny convolution along the channels lets neighbours have a say. That makes sense where "
    "neighbours belong together, as the landmarks of eyes, nose, lips and hands do that are drawn "
    f"here. {WEIGHTS}",
    post="001",
    paper=PAPER,
    source="https://github.com/hoyso48/Google---Isolated-Sign-Language-Recognition-1st-place-"
    "solution",
    sizes=(
        Size("B", "sequences", 1024, 1, 4096),
        Size("T", "frames", 23, 1, 512),
        Size("C", "channels", 708, 1, 4096),
        Size("kernel_size", "neighbouring channels that a weight depends on", 5, 1, 63),
    ),
    options=(
        Option(
            "mask",
            "which frames are real",
            "padded",
            ("none", "padded", "one empty"),
            in_words=True,
        ),
    ),
    presets=(
        Preset(
            POST,
            {"B": 1024, "T": 23, "C": 708, "kernel_size": 5, "mask": "padded"},
            "Each sequence keeps between half and all of its frames. The kernel size is that of "
            "the notebook which the post's code comes from.",
        ),
        Preset(
            "Without a mask",
            {"B": 1024, "T": 23, "C": 708, "kernel_size": 5, "mask": "none"},
            "All frames are real, and the mean is a plain one.",
        ),
        Preset(
            "Even kernel",
            {"B": 8, "T": 23, "C": 708, "kernel_size": 4, "mask": "padded"},
            "With four neighbours the middle lies between two channels: Keras puts one zero at the "
            "left and two at the right.",
        ),
        Preset(
            "Small",
            {"B": 2, "T": 5, "C": 12, "kernel_size": 3, "mask": "padded"},
            "Few enough channels to follow each number.",
        ),
        Preset(
            "A sequence without a frame",
            {"B": 8, "T": 23, "C": 708, "kernel_size": 5, "mask": "one empty"},
            "The first sequence has no real frame. Its mean is 0 divided by 0, and NaN reaches the "
            "output in all its channels. Nothing is raised: look for it in the heatmaps.",
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"inputs": "B T C", "mask": "B T"},
    map="omega",
    build=_build_sequence,
    inputs=_sequence_inputs,
    plot=Plot(
        place="In the notebook that the code comes from: inside a block for sequences, where "
        "the channels have been expanded, before the layer that reduces them again. It changes "
        "no shape, so it can be put behind any layer.",
        look="Follow the channels: in `line` they become a line of points, and the convolution "
        "slides along them, not along time. `omega` is what comes of it, one weight for each "
        "channel.",
        parts=(
            Part("Mean over time", lines=("kept = ", "y = torch.mean(")),
            Part("Channels as a line", lines=("column = ",)),
            Part("Neighbours mix", module="conv"),
            Part("Gate", lines=("scores = ",)),
        ),
        seen=(
            "Each of the {channels} channels was summed up as one number, its mean over time; "
            "with a mask only the real frames count.",
            "One kernel of size {k}, all the weights there are, slid along the channels.",
            "The sigmoid made one weight for each channel of each sequence, and it multiplies "
            "all frames of the sequence alike.",
        ),
        leads=("eca-image", "squeeze-excite"),
        numbers=lambda trace: {
            "channels": tensor(trace, "y").shape[1],
            "k": _kernels(trace)[0][-1],
        },
    ),
    claims=SEQUENCE_CLAIMS,
)

IMAGE = Lesson(
    key="eca-image",
    title="ECA for images",
    family="Channel",
    teaches="Pool, transpose, convolve, undo: the channels become a line and turn back.",
    about="The form in the paper's own code. A feature map's channels are averaged over all "
    "places, read as a line, convolved with a few weights, and turned into one factor per channel. "
    f"{WEIGHTS}",
    post="001",
    paper=PAPER,
    source="https://github.com/BangguWu/ECANet/blob/master/models/eca_module.py",
    sizes=(
        Size("B", "images", 2, 1, 64),
        Size("C", "channels", 64, 1, 2048),
        Size("H", "height", 14, 1, 512),
        Size("W", "width", 14, 1, 512),
    ),
    options=(
        Option(
            "k_size",
            "neighbouring channels that a weight depends on",
            "adaptive",
            ("adaptive", 1, 2, 3, 4, 5, 7, 9),
            in_words=True,
        ),
    ),
    presets=(
        Preset(
            "Feature map",
            {"B": 2, "C": 64, "H": 14, "W": 14, "k_size": "adaptive"},
            "A late feature map of a small network; the kernel size follows from the channels.",
        ),
        Preset(
            "Wide",
            {"B": 2, "C": 2048, "H": 7, "W": 7, "k_size": "adaptive"},
            "The last map of a ResNet-50. More channels, more neighbours: 7 of them.",
        ),
        Preset(
            "Breaks: even kernel",
            {"B": 2, "C": 64, "H": 14, "W": 14, "k_size": 4},
            "The padding (k - 1) // 2 is the same at both ends, so with an even k one channel is "
            "lost: 63 weights cannot be expanded to 64 channels. Use an odd k.",
            breaks="RuntimeError",
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="omega",
    build=_build_image,
    inputs=_image_inputs,
    plot=Plot(
        place="At the end of a residual block, behind its last convolution and before the "
        "shortcut is added: there it says which of the block's channels count. SE stands at the "
        "same place.",
        look="Only one step in the middle mixes neighbouring channels, `self.conv`. The steps "
        "around it only turn the channels into a line and back. Compare `y` and `omega`.",
        parts=(
            Part("Mean over the places", module="avg_pool"),
            Part("Channels as a line", lines=("column = ",)),
            Part("Neighbours mix", module="conv"),
            Part("Gate", lines=("scores = ",)),
        ),
        seen=(
            "{height} × {width} places gave way to one mean per channel: how strong it is, not "
            "where.",
            "One kernel of size {k}, all the weights there are, slid along the line of {channels} "
            "channels.",
            "Squeezing and transposing changed no number: they only turned the channels into a "
            "line and back.",
        ),
        leads=("squeeze-excite", "hacnn-spatial"),
        numbers=lambda trace: {
            "channels": trace.inputs[0].shape[1],
            "height": trace.inputs[0].shape[2],
            "width": trace.inputs[0].shape[3],
            "k": _kernels(trace)[0][-1],
        },
    ),
    claims=IMAGE_CLAIMS,
)
