"""Squeeze and excitation: the channel attention that post 001 compares ECA with.

Each channel gets a weight between 0 and 1 that depends on the means of all channels, through a
bottleneck.  Hu, Shen, Sun, Squeeze-and-Excitation Networks, CVPR 2018, arXiv 1709.01507.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from modules.eca import ECALayer
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
    shown,
    tensor,
    with_fixed_weights,
)
from modules.story import Part, Plot
from tracer import Step, Trace
from tracer.ops.names import op_name
from tracer.sentences import said


class SELayer(nn.Module):
    """Channel attention: x (B, C, H, W) → (B, C, H, W).

    Args:
        channel: C.
        reduction: C // reduction channels are left in the middle.

    Raises:
        ValueError: channel or reduction is below 1, or no channel would be left.  (The original
            builds such a layer, with a warning of torch: it halves whatever it is given.)
    """

    def __init__(self, channel: int, reduction: int = 16) -> None:
        super().__init__()
        if channel < 1:
            raise ValueError(f"channel is {channel}: use 1 or more.")
        if not 1 <= reduction <= channel:
            raise ValueError(
                f"reduction is {reduction} and leaves no channel of {channel}: use a number "
                f"from 1 to {channel}."
            )
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channel, channel // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channel // reduction, channel, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        B, C, _, _ = x.shape
        reduce, relu, expand, sigmoid = self.fc

        # **Squeeze**: $z_c=\frac1{HW}\sum_{ij}x_{c,ij}$. Of {x.shape[2]} × {x.shape[3]} places
        # one number per channel is left: how strong it is, not where.
        pooled = self.avg_pool(x)

        # The two 1s carry nothing. A Linear layer wants the {C} channels last.
        z = pooled.view(B, C)

        # **Excitation**, first half: $W_1z$ reduces {z.shape[1]} channels to {reduce.out_features}.
        # Each of these is a mixture of *all* channels; there is too little room to keep them
        # apart, and that is what ECA does without.
        hidden = reduce(z)

        # What speaks against a mixture is 0 from here on.
        active = relu(hidden)

        # Second half: $W_2$ expands {active.shape[1]} to {score.shape[1]}, one score per channel.
        score = expand(active)

        # $\omega=\sigma(W_2\,\mathrm{ReLU}(W_1z))$: a weight between 0 and 1 for each channel.
        # They do not compete, as they would in a softmax.
        omega = sigmoid(score)

        # The two 1s return, so that a weight can meet all places of its channel.
        weights = omega.view(B, C, 1, 1)

        # Read again for all {x.shape[2]} × {x.shape[3]} places; nothing is copied.
        gate = weights.expand_as(x)

        # Strong channels pass, weak ones fade.
        weighed: Tensor = x * gate
        return weighed


class SEBesideECA(nn.Module):
    """Both channel attentions on the same x (B, C, H, W): two results of its size."""

    def __init__(self, channel: int, reduction: int = 16) -> None:
        super().__init__()
        self.se = SELayer(channel, reduction)
        self.eca = ECALayer(channel)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # Two matrices, through a bottleneck: each weight depends on **all** {x.shape[1]} channels.
        by_se = self.se(x)

        # One small kernel along the channels: each weight depends on its **neighbours**.
        by_eca = self.eca(x)
        return by_se, by_eca


# --- the lesson -----------------------------------------------------------------------------

PAPER = Paper(
    title="Squeeze-and-Excitation Networks",
    authors="Jie Hu, Li Shen, Gang Sun",
    venue="CVPR",
    year=2018,
    link="https://arxiv.org/abs/1709.01507",
)
FEATURES = "Feature map"
BESIDE = "Beside ECA"


def _build(settings: Settings) -> nn.Module:
    channel = settings["C"] if settings["channel"] == "C" else settings["channel"]
    block = SEBesideECA if settings["beside_eca"] else SELayer
    return with_fixed_weights(lambda: block(channel, settings["reduction"]))


def _inputs(
    settings: Settings, kind: InputKind, seed: int
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    shape = [settings[name] for name in "BCHW"]
    x = feature_map(kind, shape, seed)
    # What a block before passes on has been through a ReLU: what a channel answers to is there or
    # not, and its mean says how much of it there is.
    return (torch.relu(x) if kind == "picture" else x,), {}


# --- what post 001 says ---------------------------------------------------------------------


def _computing(trace: Trace, module: str) -> list[Step]:
    """The steps of one of the two layers, without those that only reshape."""
    reshaping = ("view", "squeeze", "unsqueeze", "transpose", "expand_as")
    return [
        step
        for step in trace.steps
        if step.module.split(".")[0] == module and _name(step) not in reshaping
    ]


def _name(step: Step) -> str:
    return op_name(step.op).lower()


def _weights(steps: list[Step]) -> list[tuple[int, ...]]:
    """The shapes of the steps' parameters."""
    return [note.shape for step in steps for note in step.inputs if note.kind == "parameter"]


def _mixes_all(trace: Trace) -> bool:
    """Whether each weight is computed from every channel."""
    C = trace.inputs[0].shape[1]
    (hidden, first), (last, _) = _weights(list(trace.steps))
    return first == C and last == C and hidden > 0


def _same_but_the_middle(trace: Trace) -> bool:
    se, eca = ([_name(step) for step in _computing(trace, part)] for part in ("se", "eca"))
    return se[0] == eca[0] and se[-2:] == eca[-2:] and se[1:-2] != eca[1:-2]


def _neighbours(trace: Trace) -> tuple[int, int]:
    """Of how many channels a weight of SE depends, and of how many one of ECA."""
    return _weights(_computing(trace, "se"))[0][1], _weights(_computing(trace, "eca"))[0][-1]


CLAIMS = (
    Claim(
        "001",
        "普通的 C A CA CA是对通道先进行降采样,然后进行上采样",
        "the channels are first made fewer, then as many as before",
        FEATURES,
        lambda trace: (
            tensor(trace, "hidden").shape[1] < tensor(trace, "z").shape[1]
            and tensor(trace, "score").shape == tensor(trace, "z").shape
        ),
        lambda trace: " → ".join(
            f"{name} {shown(tensor(trace, name).shape)}" for name in ("z", "hidden", "score")
        ),
        "agrees",
        "Sampling is a figure of speech: no channel is dropped or repeated, two matrices mix them.",
    ),
    Claim(
        "001",
        "作者认为这种做法学不到通道之间的关系",
        "this way no relation between channels can be learned",
        FEATURES,
        lambda trace: not _mixes_all(trace),
        lambda trace: said(
            "weights {shapes}: each of {count} depends on all",
            shapes=", ".join(shown(shape) for shape in _weights(list(trace.steps))),
            count=tensor(trace, "omega").shape[1],
        ),
        "slip",
        "SE relates every channel to every other, but through a bottleneck. What ECA's authors say "
        "is that avoiding this reduction of dimension matters, and that neighbours suffice.",
    ),
    Claim(
        "001",
        "而应该转为学习邻居通道之间的关系",
        "ECA relates neighbouring channels instead of all",
        BESIDE,
        lambda trace: 1 < _neighbours(trace)[1] < _neighbours(trace)[0],
        lambda trace: said(
            "a weight depends on {all} channels in SE, on {some} in ECA",
            all=_neighbours(trace)[0],
            some=_neighbours(trace)[1],
        ),
        "agrees",
    ),
    Claim(
        "001",
        "不同的地方在于",
        "the two differ in how the channels are mixed, and in nothing else",
        BESIDE,
        _same_but_the_middle,
        lambda trace: "; ".join(
            f"{part}: {', '.join(_name(step) for step in _computing(trace, part))}"
            for part in ("se", "eca")
        ),
        "agrees",
    ),
)

LESSON = Lesson(
    key="squeeze-excite",
    title="SE, squeeze and excitation",
    family="Channel",
    teaches="Places are averaged away, channels squeezed through a bottleneck and weighed.",
    about="The channel attention that ECA wants to improve on. Every channel's weight depends on "
    "the means of all channels, but these have to pass through a few numbers. Beside it ECA can "
    "be run on the same input, a drawn picture as a block before would pass it on. The weights are "
    "random: what is amplified here has not been learned.",
    post="001",
    paper=PAPER,
    source="https://github.com/moskomule/senet.pytorch/blob/master/senet/se_module.py",
    sizes=(
        Size("B", "images", 2, 1, 64),
        Size("C", "channels", 64, 1, 2048),
        Size("H", "height", 14, 1, 512),
        Size("W", "width", 14, 1, 512),
        Size("reduction", "C // reduction channels are left in the middle", 16, 1, 1024),
    ),
    options=(
        Option("channel", "channels that the layer is made for", "C", ("C", 32, 64, 256)),
        Option("beside_eca", "run ECA on the same input", False, (False, True)),
    ),
    presets=(
        Preset(
            FEATURES,
            {
                **{"B": 2, "C": 64, "H": 14, "W": 14},
                **{"reduction": 16, "channel": "C", "beside_eca": False},
            },
            "A late feature map of a small network: 64 channels through a bottleneck of 4.",
        ),
        Preset(
            BESIDE,
            {
                **{"B": 2, "C": 64, "H": 14, "W": 14},
                **{"reduction": 16, "channel": "C", "beside_eca": True},
            },
            "512 weights in SE and 3 in ECA, on the same input. Both end in one weight per "
            "channel; compare the two called omega.",
        ),
        Preset(
            "Wide",
            {
                **{"B": 2, "C": 2048, "H": 7, "W": 7},
                **{"reduction": 16, "channel": "C", "beside_eca": True},
            },
            "The last map of a ResNet-50: here SE takes 524288 weights and ECA 7.",
        ),
        Preset(
            "Small",
            {
                **{"B": 1, "C": 8, "H": 4, "W": 4},
                **{"reduction": 4, "channel": "C", "beside_eca": False},
            },
            "Eight channels through two: few enough to follow each number.",
        ),
        Preset(
            "Breaks: made for other channels",
            {
                **{"B": 2, "C": 64, "H": 14, "W": 14},
                **{"reduction": 16, "channel": 32, "beside_eca": False},
            },
            "The layer is made for 32 channels and gets 64. Pooling does not mind; the first "
            "matrix has 32 columns and cannot be multiplied with 64 numbers.",
            breaks="RuntimeError",
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="omega",
    build=_build,
    inputs=_inputs,
    plot=Plot(
        place="At the end of a residual block, behind its last convolution and before the "
        "shortcut is added. It changes no shape, so that any block can have it.",
        look="The channels narrow down and open again: all of them in `z`, few in `hidden`, all "
        "in `omega`. With the preset “Beside ECA” compare the two tensors called `omega`.",
        parts=(
            Part("Squeeze", lines=("pooled = ",)),
            Part("Excitation", lines=("hidden = ",)),
            Part("Scale", lines=("weights = ",)),
            Part("ECA on the same input", module="eca", optional=True),
        ),
        seen=(
            "{height} × {width} places gave way to one mean per channel.",
            "{channels} numbers passed through {hidden} and came back as {channels} weights "
            "between 0 and 1, each of which depends on all channels.",
            "Each weight multiplied all places of its channel alike: channels are preferred to "
            "others, places are not.",
        ),
        leads=("hacnn-channel", "coordatt"),
        numbers=lambda trace: {
            "channels": trace.inputs[0].shape[1],
            "height": trace.inputs[0].shape[2],
            "width": trace.inputs[0].shape[3],
            "hidden": tensor(trace, "hidden").shape[1],
        },
    ),
    claims=CLAIMS,
)
