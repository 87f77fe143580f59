"""The non-local block (post 004): every place gathers from all others what has to do with it.

Wang, Girshick, Gupta, He, Non-local Neural Networks, CVPR 2018, arXiv 1711.07971.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.inputs import feature_map, picture, sequence, signs
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
from tracer.sentences import Said

MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation")

CONVOLUTIONS: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMS: dict[int, Callable[[int], nn.Module]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
# In a film the frames are not pooled: time is the dimension that the block is there to bridge.
POOLS: dict[int, Callable[[], nn.Module]] = {
    1: lambda: nn.MaxPool1d(2),
    2: lambda: nn.MaxPool2d((2, 2)),
    3: lambda: nn.MaxPool3d((1, 2, 2)),
}


class NonLocalBlock(nn.Module):
    """$z=W_zy+x$ with $y_i=\\frac1{\\mathcal C}\\sum_jf(x_i,x_j)\\,g(x_j)$, the shape of x kept.

    x is (B, C, L), (B, C, H, W) or (B, C, T, H, W), by `dimension` 1, 2 or 3.  Below, N is the
    number of its places, N' of those that are looked at, and C' is `inter_channels`.

    Args:
        in_channels: C.
        inter_channels: C', channels of g, θ and φ; None takes half of C, and at least 1.
        dimension: how many dimensions the places have.
        mode: how two places are compared, one of `MODES`.
        sub_sample: whether the places that are looked at are pooled, two by two.
        bn_layer: whether a batch norm follows $W_z$.

    A fresh block returns its input: what follows $W_z$, or $W_z$ itself, starts at 0.  Called with
    `return_nl_map` it returns the matrix of pairs too, (B, N, N').

    Raises:
        ValueError: an argument is out of its range, or x does not fit them.
    """

    def __init__(
        self,
        in_channels: int,
        inter_channels: int | None = None,
        dimension: int = 2,
        mode: str = "gaussian",
        sub_sample: bool = True,
        bn_layer: bool = True,
    ) -> None:
        super().__init__()
        if dimension not in CONVOLUTIONS:
            raise ValueError(f"dimension is {dimension}: use 1, 2 or 3.")
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}: use one of {', '.join(MODES)}.")
        if in_channels < 1:
            raise ValueError(f"in_channels is {in_channels}: use 1 or more.")
        if inter_channels is None:
            inter_channels = max(in_channels // 2, 1)
        if inter_channels < 1:
            raise ValueError(f"inter_channels is {inter_channels}: use 1 or more, or None.")
        self.in_channels = in_channels
        self.inter_channels = inter_channels
        self.dimension = dimension
        self.mode = mode
        conv, norm, pool = CONVOLUTIONS[dimension], NORMS[dimension], POOLS[dimension]

        def looked_at(layer: nn.Module) -> nn.Module:
            return nn.Sequential(layer, pool()) if sub_sample else layer

        self.g = looked_at(conv(in_channels, inter_channels, kernel_size=1))
        self.W = conv(inter_channels, in_channels, kernel_size=1)
        if bn_layer:
            self.W = nn.Sequential(self.W, norm(in_channels))
        last = layers(self.W)[-1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        if mode != "gaussian":
            self.theta = conv(in_channels, inter_channels, kernel_size=1)
            self.phi = looked_at(conv(in_channels, inter_channels, kernel_size=1))
        elif sub_sample:
            self.phi = pool()
        if mode == "concatenation":
            self.concat_project = nn.Sequential(
                nn.Conv2d(2 * inter_channels, 1, kernel_size=1, bias=False), nn.ReLU()
            )
        self.sub_sample = sub_sample

    def forward(self, x: Tensor, return_nl_map: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        if x.dim() != self.dimension + 2 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x is {tuple(x.shape)}: a block of dimension {self.dimension} wants (B, "
                f"{self.in_channels}) and {self.dimension} more."
            )
        B = x.shape[0]
        g, *pools = layers(self.g)

        # **What does each place have to tell?** $g(x_j)=W_gx_j$: {self.inter_channels} numbers,
        # made of the {self.in_channels} that it has.
        g_map = g(x)
        for pool in pools:
            # Two neighbours, or in a picture two by two, give way to their maximum: fewer places
            # are looked at, though every place goes on looking.
            g_map = pool(g_map)

        # Where a place lies no longer matters, only that there are {g_flat.shape[2]} of them.
        # No number moves.
        g_flat = g_map.view(B, self.inter_channels, -1)

        # Places and channels change sides: each row is now *one place*, its numbers in all
        # channels, its vector.
        g_x = g_flat.permute(0, 2, 1)

        # **What has to do with what?** One number for each pair of places.
        compare = getattr(self, self.mode)
        f_div_C: Tensor = compare(x)

        # $y_i=\sum_jf_{ij}\,g(x_j)$: each place gathers what the {f_div_C.shape[2]} tell, by how
        # much it has to do with them. It is `g(x)` that is gathered, not `x`.
        y_rows = torch.matmul(f_div_C, g_x)

        # Channels first again: so far only the order of reading. `contiguous` lays the numbers out
        # in it, which a `view` that merges dimensions would need; the one below merges none.
        y_flat = y_rows.permute(0, 2, 1).contiguous()

        # The {y_flat.shape[2]} places go back to where they were.
        y = y_flat.view(B, self.inter_channels, *x.shape[2:])

        W, *norms = layers(self.W)

        # $W_zy$: as many channels as `x` has, {self.in_channels}, made of {self.inter_channels},
        # so that the sum below can be taken.
        W_y: Tensor = W(y)
        for norm in norms:
            # Weight and bias start at 0. All that was computed above is multiplied away, and a
            # fresh block returns its input.
            W_y = norm(W_y)

        # $z=W_zy+x$: what was seen elsewhere is added to what is here. So the block can be put
        # into a trained network without disturbing it, and learns from there.
        z = W_y + x
        if return_nl_map:
            return z, f_div_C
        return z

    def gaussian(self, x: Tensor) -> Tensor:
        """$f=\\mathrm{softmax}_j(x_i^{\\top}x_j)$, without weights: (B, N, N')."""
        B, C = x.shape[:2]

        # The features themselves are compared: all {x_flat.shape[2]} places in a line...
        x_flat = x.view(B, C, -1)

        # ...and one row for each, its vector.
        theta_x = x_flat.permute(0, 2, 1)
        x_map = x
        if self.sub_sample:
            # The same pooling as for `g`, so that column $j$ below and row $j$ of `g_x` are the
            # same place.
            x_map = self.phi(x)

        # The other side of the product wants one *column* per place. That is how the map lies in
        # memory: nothing to permute.
        phi_x = x_map.view(B, C, -1)

        # $x_i^{\top}x_j$ for all pairs at once: {theta_x.shape[1]} that look × {phi_x.shape[2]}
        # that are looked at. Vectors of like direction give a large number. This is the matrix
        # that fills the memory.
        f = torch.matmul(theta_x, phi_x)

        # $e^{x_i^{\top}x_j}$, divided by the sum over $j$: each row shares out 1.
        return F.softmax(f, dim=-1)

    def embedded_gaussian(self, x: Tensor) -> Tensor:
        """$f=\\mathrm{softmax}_j(\\theta_i^{\\top}\\phi_j)$: (B, N, N')."""
        theta_x, phi_x = self.embed(x)

        # $\theta_i^{\top}\phi_j$ for all pairs: {theta_x.shape[1]} × {phi_x.shape[2]}.
        f = torch.matmul(theta_x, phi_x)

        # Each row shares out 1, as in self-attention, though there the products are first divided
        # by $\sqrt{C'}$. A constant added to a whole row cancels: that is why the bias of $\phi$
        # has no effect.
        return F.softmax(f, dim=-1)

    def dot_product(self, x: Tensor) -> Tensor:
        """$f=\\theta_i^{\\top}\\phi_j/N'$: (B, N, N')."""
        theta_x, phi_x = self.embed(x)

        # $\theta_i^{\top}\phi_j$ for all pairs: {theta_x.shape[1]} × {phi_x.shape[2]}.
        f = torch.matmul(theta_x, phi_x)

        # Divided by the {f.shape[2]} places that are looked at: a mean, not a softmax. Weights may
        # be negative, and a row need not sum to 1.
        return f / f.shape[2]

    def concatenation(self, x: Tensor) -> Tensor:
        """$f=\\mathrm{ReLU}(w_f^{\\top}[\\theta_i,\\phi_j])/N'$: (B, N, N')."""
        B = x.shape[0]
        theta_map, phi_map = self.projections(x)

        # Two vectors are put side by side instead of multiplied. The {theta_x.shape[2]} that look
        # stand upright...
        theta_x = theta_map.view(B, self.inter_channels, -1, 1)

        # ...and the {phi_x.shape[3]} that are looked at lie down.
        phi_x = phi_map.view(B, self.inter_channels, 1, -1)

        # Each that looks is repeated for each that is looked at...
        theta_pairs = theta_x.repeat(1, 1, 1, phi_x.shape[3])

        # ...and the other way round.
        phi_pairs = phi_x.repeat(1, 1, theta_x.shape[2], 1)

        # $[\theta_i,\phi_j]$: {concat_feature.shape[1]} numbers for every pair. No other mode
        # needs as much memory.
        concat_feature = torch.cat([theta_pairs, phi_pairs], dim=1)

        # $w_f^{\top}[\theta_i,\phi_j]$: the matrix of pairs is read as a picture, and one learned
        # vector turns each pair into one number.
        f_map = self.concat_project[0](concat_feature)
        positive: Tensor = self.concat_project[1](f_map)

        # The 1 has done its work.
        f = positive.view(B, theta_x.shape[2], phi_x.shape[3])

        # As in `dot_product`: a mean over the {f.shape[2]}, not a softmax.
        return f / f.shape[2]

    def embed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """θ as rows (B, N, C') and φ as columns (B, C', N')."""
        B = x.shape[0]
        theta_map, phi_map = self.projections(x)

        # The {theta_flat.shape[2]} places in a line...
        theta_flat = theta_map.view(B, self.inter_channels, -1)

        # ...and one row for each: all of them look, this side is never pooled.
        theta_x = theta_flat.permute(0, 2, 1)

        # One column for each of the {phi_x.shape[2]} that are looked at.
        phi_x = phi_map.view(B, self.inter_channels, -1)
        return theta_x, phi_x

    def projections(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """θ and φ as maps, φ pooled with `sub_sample`."""
        # $\theta(x)=W_\theta x$: what a place is looking for.
        theta_map = self.theta(x)
        phi, *pools = layers(self.phi)

        # $\phi(x)=W_\phi x$: what it has to offer.
        phi_map = phi(x)
        for pool in pools:
            # The same pooling as for `g`: place $j$ must be the same in both.
            phi_map = pool(phi_map)
        return theta_map, phi_map


def layers(module: nn.Module) -> tuple[nn.Module, ...]:
    """The layers of a Sequential, or the one layer.

    The original wraps a convolution only if something follows it, and names its weights so.
    """
    return tuple(module) if isinstance(module, nn.Sequential) else (module,)


# --- the lessons ----------------------------------------------------------------------------

PAPER = Paper(
    title="Non-local Neural Networks",
    authors="Xiaolong Wang, Ross Girshick, Abhinav Gupta, Kaiming He",
    venue="CVPR",
    year=2018,
    link="https://arxiv.org/abs/1711.07971",
)
SOURCE = "https://github.com/AlexHex7/Non-local_pytorch/blob/master/lib/non_local_gaussian.py"
WEIGHTS = (
    "In mode gaussian the matrix of pairs has no weights: what it shows is in the input. All "
    "weights are random, and those behind the sum start at 0, so that a fresh block returns its "
    "input."
)
POST = "Post's size"
DEFAULTS = "Class defaults"
HALF = "half of C"


def _block(dimension: int) -> Callable[[Settings], nn.Module]:
    def build(settings: Settings) -> nn.Module:
        inter = settings["inter_channels"]
        return with_fixed_weights(
            lambda: NonLocalBlock(
                settings["C"],
                None if inter == HALF else inter,
                dimension,
                settings["mode"],
                settings["sub_sample"],
                settings["bn_layer"],
            )
        )

    return build


Inputs = tuple[tuple[Tensor, ...], dict[str, Any]]


def _image(settings: Settings, kind: InputKind, seed: int) -> Inputs:
    return (feature_map(kind, [settings[name] for name in "BCHW"], seed),), {}


def _sequence(settings: Settings, kind: InputKind, seed: int) -> Inputs:
    B, C, T = (settings[name] for name in "BCT")
    if kind == "picture":
        # The signer's channels come last, those of a convolution first.
        return (signs(C, T, B, seed).transpose(1, 2).contiguous(),), {}
    return (sequence(kind, (B, C, T), seed),), {}


def _film(settings: Settings, kind: InputKind, seed: int) -> Inputs:
    B, C, T, H, W = (settings[name] for name in "BCTHW")
    if kind == "picture":
        # A camera that pans over one wide picture, by an eighth of its own width a frame.
        step = max(W // 8, 1)
        wide = picture(C, H, W + (T - 1) * step, B, seed)
        frames = [wide[..., t * step : t * step + W] for t in range(T)]
        return (torch.stack(frames, dim=2),), {}
    return (feature_map(kind, (B, C, T, H, W), seed),), {}


def _options(inter_channels: int | str, sub_sample: bool) -> tuple[Option, ...]:
    choices = (HALF, 1, 2, 3, 4, 8, 16, 32, 64, 128)
    return (
        Option("mode", "how two places are compared", "gaussian", MODES),
        Option("inter_channels", "channels of g, θ and φ", inter_channels, choices, in_words=True),
        Option("sub_sample", "pool the places that are looked at", sub_sample, (False, True)),
        Option("bn_layer", "a batch norm behind W", True, (True, False)),
    )


def _at(
    shape: dict[str, int],
    mode: str = "gaussian",
    inter: int | str = HALF,
    sub_sample: bool = True,
    bn_layer: bool = True,
) -> dict[str, Any]:
    return {
        **shape,
        "mode": mode,
        "inter_channels": inter,
        "sub_sample": sub_sample,
        "bn_layer": bn_layer,
    }


IMAGE = {"B": 6, "C": 3, "H": 10, "W": 10}
NORMALISE = (
    "In training, batch norm takes mean and variance over all places of the batch. Of one value "
    "per channel there is no variance. Use two images, a larger one, or bn_layer off."
)

# --- what post 004 says ---------------------------------------------------------------------


def _claim(
    quote: str,
    says: str,
    holds: Callable[[Trace], bool],
    found: Callable[[Trace], str | Said],
    verdict: Verdict = "agrees",
    why: str = "",
    preset: str = POST,
) -> Claim:
    return Claim("004", quote, says, preset, holds, found, verdict, why)


def _shape(
    quote: str,
    name: str,
    shape: tuple[int, ...],
    verdict: Verdict = "agrees",
    why: str = "",
    preset: str = POST,
) -> Claim:
    return shape_claim(quote, name, shape, post="004", preset=preset, verdict=verdict, why=why)


def _named(trace: Trace, *names: str) -> str:
    return ", ".join(f"{name} {shown(tensor(trace, name).shape)}" for name in names)


def _matrix(trace: Trace, name: str) -> TensorNote:
    """What the product of this name was taken of, the left side."""
    return maker(trace, tensor(trace, name)).inputs[0]


def _steps_to(trace: Trace, note: TensorNote) -> list[Step]:
    """The steps from an input to the tensor, each taking the one before as its first operand."""
    steps: list[Step] = []
    while note.born is not None:
        steps.insert(0, maker(trace, note))
        note = steps[0].inputs[0]
    return steps


def _only_reshaped(trace: Trace, note: TensorNote) -> bool:
    """Whether the tensor holds the numbers of x and nothing else."""
    return all(step.op in ("Tensor.view", "Tensor.permute") for step in _steps_to(trace, note))


def _ops_to(trace: Trace, note: TensorNote) -> str:
    return " → ".join(["x", *(op_name(step.op) for step in _steps_to(trace, note))])


def _gathered(trace: Trace) -> TensorNote:
    """What the matrix of pairs is multiplied with."""
    return maker(trace, tensor(trace, "y_rows")).inputs[1]


def _swapped(trace: Trace) -> bool:
    """Whether places and channels change sides, in the left side of the comparison."""
    before = maker(trace, tensor(trace, "theta_x")).inputs[0].shape
    B, N, C = tensor(trace, "theta_x").shape
    return before == (B, C, N) and trace.inputs[0].shape[:2] == (B, C)


INTER = (
    "On inter_channels, which the post does not give: its shapes hold for 3. The class default is "
    "half of in_channels, here 1, and g_x would be (6,100,1)."
)
SIDES = (
    "phi_x is (6,3,100), one column per place. It is theta_x, permuted, that is (6,100,3); of two "
    "tensors of (6,100,3) no product could be taken."
)
FIVE = (
    "In the repository the docstring stands in the block for any dimension. (b, c, t, h, w) is its "
    "3D form; the example of the post has no time and is (b, c, h, w)."
)


def _residual(preset: str) -> Claim:
    return _claim(
        "z = W_y + x",
        "x itself is added to what was gathered, so the shape of x is kept",
        lambda trace: (
            maker(trace, trace.outputs[0]).inputs[1].id == trace.inputs[0].id
            and trace.outputs[0].shape == trace.inputs[0].shape
        ),
        lambda trace: (
            f"{maker(trace, trace.outputs[0]).expression}, {shown(trace.outputs[0].shape)}"
        ),
        preset=preset,
    )


def _vectors(preset: str) -> Claim:
    return _claim(
        "我们直接进行一个pemute,把像素点在每个通道对应的值进行组合就可以表征这个像素点本身的特征向量",
        "a permute makes of each place the vector of its values in all channels",
        lambda trace: (
            _swapped(trace) and maker(trace, tensor(trace, "theta_x")).op == "Tensor.permute"
        ),
        lambda trace: (
            f"{shown(maker(trace, tensor(trace, 'theta_x')).inputs[0].shape)} → "
            f"{shown(tensor(trace, 'theta_x').shape)}"
        ),
        preset=preset,
    )


def _multiplied(preset: str) -> Claim:
    return _claim(
        "再用于与原图相乘得到非局部操作后的图像",
        "the matrix of pairs is multiplied with the original image",
        lambda trace: _only_reshaped(trace, _gathered(trace)),
        lambda trace: f"{_gathered(trace).name}: {_ops_to(trace, _gathered(trace))}",
        "slip",
        "It is multiplied with g(x), which is x after a learned convolution, and before that each "
        "row is normalised. x itself is added at the end.",
        preset=preset,
    )


IMAGE_CLAIMS = (
    _shape("#(6,3,10,10)", "x", (6, 3, 10, 10)),
    _shape("#-》(6,3,100)", "g_flat", (6, 3, 100), "depends", INTER),
    _shape("#-》(6,100,3)", "g_x", (6, 100, 3), "depends", INTER),
    _shape(
        "这里我们对于一个特征图,尺寸比如是(6,3,10,10)最终变成(6,100,3)",
        "g_x",
        (6, 100, 3),
        "depends",
        INTER,
    ),
    _shape("这组张量变化后尺寸也是(6,100,3)", "phi_x", (6, 100, 3), "slip", SIDES),
    _claim(
        "(其中 phi_x 不变化是为了得到转置的结果)",
        "phi_x is not permuted, so that it is theta_x transposed",
        lambda trace: (
            "Tensor.permute" not in [s.op for s in _steps_to(trace, tensor(trace, "phi_x"))]
            and _only_reshaped(trace, tensor(trace, "phi_x"))
            and _only_reshaped(trace, tensor(trace, "theta_x"))
        ),
        lambda trace: (
            f"theta_x: {_ops_to(trace, tensor(trace, 'theta_x'))}; "
            f"phi_x: {_ops_to(trace, tensor(trace, 'phi_x'))}"
        ),
        "depends",
        "On sub_sample being off. With it, which is the default, phi_x is pooled and smaller than "
        "theta_x transposed.",
    ),
    _claim(
        "T=(batch,HW,in_channels)",
        "T, theta_x in the code, is (batch, HW, in_channels)",
        _swapped,
        lambda trace: _named(trace, "x", "theta_x"),
    ),
    _claim(
        "T’=(batch,in_channels,HW)",
        "T', phi_x in the code, is (batch, in_channels, HW)",
        lambda trace: (
            tensor(trace, "phi_x").shape
            == (*trace.inputs[0].shape[:2], tensor(trace, "theta_x").shape[1])
        ),
        lambda trace: _named(trace, "x", "phi_x"),
        "depends",
        "On sub_sample being off: with it, a quarter of the places is left in T'.",
    ),
    _claim(
        "这里使T与T’相乘(这两个张量之间相乘就相当于任意一个像素点与其他所有的像素点的特征向量进行内积组合而成的一个新张量)",
        "the product holds the inner product of every place with every place",
        lambda trace: (
            tensor(trace, "f").shape[1:] == (tensor(trace, "theta_x").shape[1],) * 2
            and _matrix(trace, "f").id == tensor(trace, "theta_x").id
        ),
        lambda trace: _named(trace, "theta_x", "phi_x", "f"),
        "depends",
        "On the mode and on sub_sample. In concatenation no inner product is taken, and with "
        "sub_sample only a quarter of the places is looked at.",
    ),
    _claim(
        "f_div_C = F.softmax(f, dim=-1)",
        "each row of the matrix of pairs becomes shares that sum to 1",
        lambda trace: (
            maker(trace, tensor(trace, "f_div_C")).op == "F.softmax"
            and "dim=-1" in maker(trace, tensor(trace, "f_div_C")).arguments
        ),
        lambda trace: maker(trace, tensor(trace, "f_div_C")).expression,
        "depends",
        "On the mode: in dot_product and concatenation it is divided by the number of places that "
        "are looked at.",
    ),
    _multiplied(POST),
    _claim(
        "y = y.view(batch_size, self.inter_channels, *x.size()[2:])",
        "the places go back to where they were",
        lambda trace: tensor(trace, "y").shape[2:] == trace.inputs[0].shape[2:],
        lambda trace: _named(trace, "y_flat", "y"),
    ),
    _residual(POST),
    _claim(
        ":param x: (b, c, t, h, w)",
        "x has five dimensions",
        lambda trace: len(trace.inputs[0].shape) == 5,
        lambda trace: _named(trace, "x"),
        "slip",
        FIVE,
    ),
    _vectors(POST),
    _claim(
        "这个编码用于表示像素点本身的信息(信息包括我特征是啥,位置是啥等等",
        "a place's vector holds what x knows of it, and with it where it is",
        lambda trace: _only_reshaped(trace, tensor(trace, "theta_x")),
        lambda trace: f"theta_x: {_ops_to(trace, tensor(trace, 'theta_x'))}",
        "depends",
        "On x. The block adds nothing about where a place is: without pooling, shuffled places "
        "give the same result shuffled. Only what earlier layers have put into x can tell.",
    ),
    _claim(
        "phi_x = self.phi(x).view(batch_size, self.in_channels, -1)",
        "with sub_sample the shapes still fit: fewer columns in phi_x, as many rows in g_x",
        lambda trace: (
            tensor(trace, "phi_x").shape[2]
            == tensor(trace, "g_x").shape[1]
            < tensor(trace, "theta_x").shape[1]
        ),
        lambda trace: _named(trace, "theta_x", "phi_x", "f", "g_x", "y"),
        preset=DEFAULTS,
    ),
    _claim(
        "self attention-none local block与evcblock中的通用方法解释",
        "the block is self-attention: what is compared are learned projections of x",
        lambda trace: not _only_reshaped(trace, tensor(trace, "theta_x")),
        lambda trace: f"theta_x: {_ops_to(trace, tensor(trace, 'theta_x'))}",
        "slip",
        "The code shown is the Gaussian form, which compares x with itself. Self-attention with "
        "learned queries and keys is the embedded Gaussian. And the name is non-local.",
    ),
)

SEQUENCE_CLAIMS = (
    _vectors("Signers"),
    _claim(
        "y = y.view(batch_size, self.inter_channels, *x.size()[2:])",
        "the places go back to where they were, whatever dimensions they have",
        lambda trace: tensor(trace, "y").shape[2:] == trace.inputs[0].shape[2:],
        lambda trace: _named(trace, "y_flat", "y"),
        preset="Signers",
    ),
    _multiplied("Signers"),
    _residual("Signers"),
)

FILM_CLAIMS = (
    _claim(
        ":param x: (b, c, t, h, w)",
        "x has five dimensions",
        lambda trace: len(trace.inputs[0].shape) == 5,
        lambda trace: _named(trace, "x"),
        "depends",
        "On the dimension: this is the 3D block. The example of the post is an image, with four.",
        "Camera pan",
    ),
    _vectors("Camera pan"),
    _claim(
        "y = y.view(batch_size, self.inter_channels, *x.size()[2:])",
        "the places go back to where they were, whatever dimensions they have",
        lambda trace: tensor(trace, "y").shape[2:] == trace.inputs[0].shape[2:],
        lambda trace: _named(trace, "y_flat", "y"),
        preset="Camera pan",
    ),
    _multiplied("Camera pan"),
    _residual("Camera pan"),
)

# --- declarations -----------------------------------------------------------------------------

ABOUT = (
    "A convolution sees its neighbourhood. Here every place compares itself with every other, and "
    "gathers from those that have to do with it: "
    r"$z_i=W_z\,\frac{1}{\mathcal{C}(x)}\sum_jf(x_i,x_j)\,g(x_j)+x_i$. "
)


def _plot(place: str, look: str, leads: tuple[str, ...]) -> Plot:
    return Plot(
        place=place,
        look=look,
        parts=(
            Part("What each place tells", lines=("g_map = ",)),
            Part(
                "Who looks at whom", lines=tuple(f"def {name}(" for name in (*MODES, "projections"))
            ),
            Part("Gathered", lines=("y_rows = ",)),
            Part("Added to the input", lines=("W_y: Tensor = ",)),
        ),
        seen=(
            "A view and a permute made one row of each place; no number was changed by them.",
            "Every pair was compared: {looking} places looked at {looked_at}.",
            "What was gathered is `g(x)`. In a fresh block the last layer turns it into zeros, "
            "so that `x`, to which it is added, comes out as it went in.",
        ),
        leads=leads,
        numbers=lambda trace: {
            "looking": tensor(trace, "f_div_C").shape[1],
            "looked_at": tensor(trace, "f_div_C").shape[2],
        },
    )


NON_LOCAL = Lesson(
    key="non-local",
    title="Non-local block",
    family="Non-local",
    teaches="Places become rows, channels columns, and one product compares every pair of places.",
    about=f"{ABOUT}Row $i$ of the matrix of pairs says where place $i$ looks. {WEIGHTS}",
    post="004",
    paper=PAPER,
    source=SOURCE,
    sizes=(
        Size("B", "images", 6, 1, 64),
        Size("C", "channels", 3, 1, 1024),
        Size("H", "height", 10, 1, 512),
        Size("W", "width", 10, 1, 512),
    ),
    options=_options(3, False),
    presets=(
        Preset(
            POST,
            _at(IMAGE, inter=3, sub_sample=False),
            "The post's shapes hold for inter_channels = 3 and without sub_sample. 100 places look "
            "at 100.",
        ),
        Preset(
            DEFAULTS,
            _at(IMAGE),
            "Half of 3 channels is 1, and the places that are looked at are pooled: 100 look at "
            "25.",
        ),
        Preset(
            "Embedded Gaussian",
            _at(IMAGE, "embedded_gaussian", inter=3, sub_sample=False),
            "Learned projections are compared: self-attention, without the division by √C'.",
        ),
        Preset(
            "Dot product",
            _at(IMAGE, "dot_product", sub_sample=False),
            "No softmax: weights may be negative.",
        ),
        Preset(
            "Concatenation",
            _at(IMAGE, "concatenation", inter=3, sub_sample=False),
            "Every pair is written out, 6 numbers each: (6, 6, 100, 100), 1.44 MB for images of "
            "10 × 10.",
        ),
        Preset(
            "Horses",
            _at({"B": 2, "C": 24, "H": 20, "W": 28}, sub_sample=False),
            "More places and channels, so that one sees where each place looks. The product of 24 "
            "numbers is large where responses are strong: many places look at themselves alone.",
        ),
        Preset(
            "Large map",
            _at({"B": 32, "C": 16, "H": 256, "W": 128}, sub_sample=False),
            "32768 places: the matrix of pairs (32, 32768, 32768) alone takes 137 GB, so only "
            "shapes are computed. To see values make H and W smaller: half of both takes a "
            "sixteenth. sub_sample takes a quarter.",
            values=False,
        ),
        Preset(
            "Breaks: sub_sample on one row",
            _at({"B": 6, "C": 3, "H": 1, "W": 10}),
            "A window of 2 × 2 does not fit on a map of 1 × 10, so no place would be left to look "
            "at. Make H at least 2 or switch sub_sample off.",
            breaks="RuntimeError",
        ),
        Preset(
            "Breaks: one value to normalise",
            _at({"B": 1, "C": 3, "H": 1, "W": 1}, sub_sample=False),
            NORMALISE,
            breaks="ValueError",
            training=True,
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="f_div_C",
    build=_block(2),
    inputs=_image,
    plot=_plot(
        "In the middle stages of a residual network, behind one of its blocks; the paper adds "
        "one, five or ten. A fresh one returns its input, so it can be put into a network that "
        "is already trained.",
        "One row of `f_div_C` says where one place looks. Before that, watch places and "
        "channels change sides in `theta_x` and not in `phi_x`: that is how one product "
        "compares all pairs of places.",
        ("non-local-1d", "fbkd-student"),
    ),
    claims=IMAGE_CLAIMS,
)

NON_LOCAL_1D = Lesson(
    key="non-local-1d",
    title="Non-local block on a sequence",
    family="Non-local",
    teaches="The same block in one dimension: every frame looks at every other.",
    about=f"{ABOUT}The input is people who sign, drawn as landmarks that move: frames of the same "
    f"posture find each other, however far apart they are. {WEIGHTS}",
    post="004",
    paper=PAPER,
    source=SOURCE,
    sizes=(
        Size("B", "sequences", 2, 1, 64),
        Size("C", "channels", 24, 1, 1024),
        Size("T", "frames", 46, 1, 4096),
    ),
    options=_options(HALF, False),
    presets=(
        Preset(
            "Signers",
            _at({"B": 2, "C": 24, "T": 46}, sub_sample=False),
            "46 frames look at 46.",
        ),
        Preset(
            "Class defaults",
            _at({"B": 2, "C": 24, "T": 46}),
            "Two neighbouring frames give way to their maximum: 46 look at 23.",
        ),
        Preset(
            "Embedded Gaussian, odd length",
            _at({"B": 2, "C": 6, "T": 11}, "embedded_gaussian", inter=3),
            "The last of 11 frames has no partner and is not looked at: 11 look at 5.",
        ),
        Preset(
            "Breaks: sub_sample on one frame",
            _at({"B": 2, "C": 24, "T": 1}),
            "There is no pair of frames to pool. Use two frames or more, or switch sub_sample off.",
            breaks="RuntimeError",
        ),
        Preset(
            "Breaks: one value to normalise",
            _at({"B": 1, "C": 24, "T": 1}, sub_sample=False),
            NORMALISE,
            breaks="ValueError",
            training=True,
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C T"},
    map="f_div_C",
    build=_block(1),
    inputs=_sequence,
    plot=_plot(
        "Between two layers of a network that reads a sequence in which frames far apart have "
        "to do with each other. A fresh one returns its input, so it can be put into a network "
        "that is already trained.",
        "Each row and each column of `f_div_C` is a frame. A bright cell away from the "
        "diagonal: this frame gathers from another one.",
        ("non-local-3d", "non-local"),
    ),
    claims=SEQUENCE_CLAIMS,
)

NON_LOCAL_3D = Lesson(
    key="non-local-3d",
    title="Non-local block on a film",
    family="Non-local",
    teaches="The same block in space and time: a place looks at all places of all frames.",
    about=f"{ABOUT}The input is a camera that pans over the drawn scene, so that what a place "
    "shows is found a little to the left in the next frame. Pooling leaves time alone. "
    f"The paper uses the block so, on films. {WEIGHTS}",
    post="004",
    paper=PAPER,
    source=SOURCE,
    sizes=(
        Size("B", "films", 1, 1, 16),
        Size("C", "channels", 12, 1, 1024),
        Size("T", "frames", 4, 1, 64),
        Size("H", "height", 10, 1, 256),
        Size("W", "width", 14, 1, 256),
    ),
    options=_options(HALF, True),
    presets=(
        Preset(
            "Camera pan",
            _at({"B": 1, "C": 12, "T": 4, "H": 10, "W": 14}),
            "560 places in 4 frames look at 140: pooled in height and width, not in time.",
        ),
        Preset(
            "Without pooling",
            _at({"B": 2, "C": 6, "T": 3, "H": 6, "W": 5}, "embedded_gaussian", 3, False),
            "All 90 places look at all 90.",
        ),
        Preset(
            "Odd sizes",
            _at({"B": 2, "C": 6, "T": 3, "H": 6, "W": 5}, "embedded_gaussian", 3),
            "The last column of 5 has no partner: 90 places look at 18.",
        ),
        Preset(
            "Late map of a film network",
            _at({"B": 8, "C": 512, "T": 16, "H": 56, "W": 56}),
            "50176 places look at 12544: the matrix of pairs (8, 50176, 12544) alone takes "
            "20.1 GB, so only shapes are computed. To see values make T, H or W smaller: half of "
            "one takes a quarter.",
            values=False,
        ),
        Preset(
            "Breaks: sub_sample on one row",
            _at({"B": 1, "C": 12, "T": 4, "H": 1, "W": 14}),
            "A window of 2 × 2 does not fit on frames of 1 × 14. Make H at least 2 or switch "
            "sub_sample off.",
            breaks="RuntimeError",
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C T H W"},
    map="f_div_C",
    build=_block(3),
    inputs=_film,
    plot=_plot(
        "In a network for videos, between two blocks of its middle stages: there a place can "
        "look at what is seen in other frames, before and after.",
        "The places of all frames stand in one line, so `f_div_C` consists of blocks, one for "
        "each pair of frames.",
        ("evc-encoding", "non-local"),
    ),
    claims=FILM_CLAIMS,
)
