"""The connectors of feature-based knowledge distillation (post 000).

A large detector, the teacher, helps to train a small one, the student, by showing it what to
look at.  A connector turns a feature map of either into what the distillation loss compares: two
attention masks, pooled features, and a map in which every place has seen every other.
"""

# ruff: noqa: RUF059 - the paper's letters, and a shape unpacked whole is read at once

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
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
from tracer import Step, Trace
from tracer.sentences import Said, said

MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation")
CONV2D: Mapping[str, Any] = MappingProxyType({"type": "Conv2d"})
BN: Mapping[str, Any] = MappingProxyType({"type": "BN"})


def spatial_mask(x: Tensor, T: float) -> Tensor:
    """How much each place matters: (B, C, H, W) → (B, 1, H, W), mean 1 over the places."""
    B, C, H, W = x.shape

    # A strong response matters whatever its sign. In a plain mean, $+3$ and $-3$ would cancel
    # and a lively place would look as dull as an empty one.
    magnitude = torch.abs(x)

    # $G^s_{ij}=\frac1C\sum_{c}|x_{c,ij}|$: all {C} channels give way to one number per place.
    # `keepdim` leaves a 1 where the channels were, so that the mask can be laid over `x` later.
    s = torch.mean(magnitude, dim=1, keepdim=True)

    # The softmax below compares along one dimension, but the places are spread over two. So
    # the {H} × {W} map is read out as one row of {s_row.shape[1]} places: no number moves.
    s_row = s.view(B, -1)

    # The temperature: dividing by {T} stretches differences if it is below 1 and softens them
    # if above.
    s_sharp = s_row / T

    # Now the {s_row.shape[1]} places compete: what one gains, the others lose. The shares sum
    # to 1.
    s_share = torch.softmax(s_sharp, dim=1)

    # Among {s_row.shape[1]} places a share is tiny. Times $HW$, the mask has mean 1, so that
    # 1 means "as important as the average place" in a map of any size:
    # $M^s=HW\cdot\mathrm{softmax}_{ij}(G^s_{ij}/T)$.
    s_scaled = s_share * (H * W)

    # The row becomes a map again, with one channel.
    return s_scaled.view(B, 1, H, W)


def channel_mask(x: Tensor, T: float) -> Tensor:
    """How much each channel matters: (B, C, H, W) → (B, C, 1, 1), mean 1 over the channels."""
    B, C, H, W = x.shape

    # The same question turned around: not where, but which kind of feature. Again the sign
    # does not matter.
    magnitude = torch.abs(x)

    # $G^c_{c}=\frac1{HW}\sum_{ij}|x_{c,ij}|$: now the {H} × {W} places give way to one number
    # per channel.
    c = torch.mean(magnitude, dim=(2, 3), keepdim=True)

    # The two 1s carry nothing: one row of {C} channels is what the softmax wants.
    c_row = c.view(B, -1)

    # Divided by a temperature of its own, {T}.
    c_sharp = c_row / T

    # Now the {C} channels compete.
    c_share = torch.softmax(c_sharp, dim=1)

    # $M^c=C\cdot\mathrm{softmax}_{c}(G^c_{c}/T)$, so that here too the mean is 1.
    c_scaled = c_share * C

    # Two 1s at the end let one weight per channel meet all places of `x` by broadcasting.
    return c_scaled.view(B, C, 1, 1)


class ConvModule(nn.Module):
    """A 1×1 convolution and, if wanted, its batch norm, under the names that mmcv gives them.

    It has no forward: the block calls the parts one by one, so that each shows its shape.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=bias)
        if norm:
            self.bn = nn.BatchNorm2d(out_channels)


class NonLocal2dMaxpoolNstride(nn.Module):
    """Every place looks at every other: $z = x + \\mathrm{BN}(W_z y)$, (B, C, H, W) in and out.

    Args:
        in_channels: C.
        reduction: g, θ and φ work with C // reduction channels.
        mode: how two places are compared, one of `MODES`.
        sub_sample: whether the places that are looked at are first pooled to a coarser grid.
        maxpool_stride: window and stride of that pooling.
        zeros_init: start with the batch norm's weight at 0, so that the block returns its input.
        use_scale: divide by the square root of the channels in mode `embedded_gaussian`.

    Parameters are registered in the order of mmcv's NonLocal2d (g, conv_out, theta, phi) and bear
    its names.  Wang, Girshick, Gupta, He, Non-local Neural Networks, CVPR 2018, arXiv 1711.07971.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        in_channels: int,
        reduction: int = 2,
        mode: str = "dot_product",
        sub_sample: bool = False,
        maxpool_stride: int = 2,
        zeros_init: bool = True,
        use_scale: bool = True,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}: use one of {', '.join(MODES)}.")
        if not 1 <= reduction <= in_channels:
            raise ValueError(
                f"reduction is {reduction} and leaves no channel of {in_channels}: use a number "
                f"from 1 to {in_channels}."
            )
        if maxpool_stride < 1:
            raise ValueError(f"maxpool_stride is {maxpool_stride}: use 1 or more.")
        self.inter_channels = in_channels // reduction
        self.mode = mode
        self.sub_sample = sub_sample
        self.use_scale = use_scale

        self.g = ConvModule(in_channels, self.inter_channels, bias=True, norm=False)
        self.conv_out = ConvModule(self.inter_channels, in_channels, bias=False, norm=True)
        if mode != "gaussian":
            self.theta = ConvModule(in_channels, self.inter_channels, bias=True, norm=False)
            self.phi = ConvModule(in_channels, self.inter_channels, bias=True, norm=False)
        if mode == "concatenation":
            self.concat_project = ConvModule(2 * self.inter_channels, 1, bias=False, norm=False)
        if sub_sample:
            self.pool = nn.MaxPool2d(maxpool_stride)

        for name in ("g", "theta", "phi"):
            if hasattr(self, name):
                conv = getattr(self, name).conv
                nn.init.normal_(conv.weight, std=0.01)
                nn.init.zeros_(conv.bias)
        if zeros_init:
            nn.init.zeros_(self.conv_out.bn.weight)
        else:
            nn.init.normal_(self.conv_out.bn.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape

        # What a place tells the others: $g(x)=W_g x$, with {self.inter_channels} instead of {C}
        # channels, because all that follows costs in proportion to them.
        g_map = self.g.conv(x)
        if self.sub_sample:
            # What is looked at is pooled to a coarser grid, one cell for a window of places: the
            # matrix of pairs shrinks with it. Pooled once, as the authors do; another public copy
            # inherits a further 2 × 2 pooling and is left with about a quarter of these cells.
            g_map = self.pool(g_map)

        # Where a place lies no longer matters, only that there are {g_flat.shape[2]} of them.
        g_flat = g_map.view(B, self.inter_channels, -1)

        # One row per place, so that the product below mixes rows.
        g_x = g_flat.permute(0, 2, 1)

        compare = getattr(self, self.mode)
        f = compare(x)

        # $y_i=\sum_j f(x_i,x_j)\,g(x_j)$: each place gathers what {f.shape[2]} others tell,
        # weighted by how much it has to do with them. The long dimension is summed away.
        y_rows = torch.matmul(f, g_x)

        # Channels first again...
        y_flat = y_rows.permute(0, 2, 1)

        # ...and the {y_rows.shape[1]} places back to {H} × {W}. One dimension becomes two: for
        # that no number has to move, not even after a permute.
        y = y_flat.reshape(B, self.inter_channels, H, W)

        # $W_z$ brings the {self.inter_channels} channels back to {C}, or the sum below could
        # not be taken.
        W_y = self.conv_out.conv(y)

        # With `zeros_init` the weight here starts at 0, and all that was computed above is
        # multiplied away: a fresh block returns its input, bit for bit, and learns to look
        # around only as far as that helps.
        normed: Tensor = self.conv_out.bn(W_y)

        # $z=x+\mathrm{BN}(W_z y)$: what was seen elsewhere is added to what is here.
        return x + normed

    def embed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The two sides of the comparison: θ (B, N, C'), φ (B, C', N')."""
        B, C, H, W = x.shape

        # $\theta(x)=W_\theta x$: what a place is looking for.
        theta_map = self.theta.conv(x)

        # As for `g`: {theta_flat.shape[2]} places in a line...
        theta_flat = theta_map.view(B, self.inter_channels, -1)

        # ...and one row for each, since all of them look: this side is never pooled.
        theta_x = theta_flat.permute(0, 2, 1)

        # $\phi(x)=W_\phi x$: what a place has to offer.
        phi_map = self.phi.conv(x)
        if self.sub_sample:
            # The same pooling as for `g`: cell $j$ must be the same cell in both.
            phi_map = self.pool(phi_map)

        # One column per place that is looked at, {phi_x.shape[2]} in all.
        phi_x = phi_map.view(B, self.inter_channels, -1)
        return theta_x, phi_x

    def dot_product(self, x: Tensor) -> Tensor:
        theta_x, phi_x = self.embed(x)

        # $\theta(x_i)^{\top}\phi(x_j)$ for all pairs at once: {theta_x.shape[1]} places that
        # look × {phi_x.shape[2]} that are looked at. This is the matrix that fills the memory.
        scores = torch.matmul(theta_x, phi_x)

        # $f=\frac1{N}\theta^{\top}\phi$, $N$ the {scores.shape[2]} places that are looked at:
        # a mean over them, not a softmax, so a weight may be negative.
        return scores / scores.shape[2]

    def embedded_gaussian(self, x: Tensor) -> Tensor:
        theta_x, phi_x = self.embed(x)

        # $\theta(x_i)^{\top}\phi(x_j)$ for all pairs: {theta_x.shape[1]} × {phi_x.shape[2]}.
        scores = torch.matmul(theta_x, phi_x)
        if self.use_scale:
            # A sum of {self.inter_channels} products grows with the root of their number.
            scores = scores / self.inter_channels**0.5

        # $f=\mathrm{softmax}_j$: each row shares out 1, as in self-attention.
        return torch.softmax(scores, dim=2)

    def gaussian(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape

        # No learned embedding: the features themselves are compared, {x_flat.shape[2]} places in
        # a line...
        x_flat = x.view(B, C, -1)

        # ...with one row for each that looks.
        theta_x = x_flat.permute(0, 2, 1)
        x_map = x
        if self.sub_sample:
            # The same pooling as for `g`: cell $j$ must be the same cell in both.
            x_map = self.pool(x)

        # One column per place that is looked at, {phi_x.shape[2]} in all.
        phi_x = x_map.view(B, C, -1)

        # $x_i^{\top}x_j$ for all pairs: {theta_x.shape[1]} × {phi_x.shape[2]}.
        scores = torch.matmul(theta_x, phi_x)

        # $f=\mathrm{softmax}_j$: each row shares out 1.
        return torch.softmax(scores, dim=2)

    def concatenation(self, x: Tensor) -> Tensor:
        theta_x, phi_x = self.embed(x)
        B, N, K = theta_x.shape[0], theta_x.shape[1], phi_x.shape[2]

        # Two features are put side by side instead of multiplied. So each of the {N} that look is
        # repeated for each of the {K} that are looked at (`expand` copies nothing yet)...
        theta_pairs = theta_x.permute(0, 2, 1).unsqueeze(3).expand(-1, -1, -1, K)

        # ...and the other way round.
        phi_pairs = phi_x.unsqueeze(2).expand(-1, -1, N, -1)

        # $[\theta(x_i),\phi(x_j)]$: here the copy is made, {pairs.shape[1]} numbers per pair.
        pairs = torch.cat([theta_pairs, phi_pairs], dim=1)

        # $w_f^{\top}[\theta(x_i),\phi(x_j)]$: one learned vector turns each pair into one number.
        scores = self.concat_project.conv(pairs)
        positive = F.relu(scores)

        # The channel that is left is only a 1.
        matrix = positive.view(B, N, K)

        # $f=\frac1{N}\mathrm{ReLU}(w_f^{\top}[\theta,\phi])$.
        return matrix / K

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        # Where others pool, g and φ sit in one nn.Sequential with the pool, or in two:
        # `g.0.conv.weight`, `g.0.0.conv.weight`.
        nested = re.compile(rf"({re.escape(prefix)}(?:g|phi)\.)(?:0\.)+")
        for key in list(state_dict):
            match = nested.match(key)
            if match:
                state_dict[match[1] + key[match.end() :]] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _check(
    conv_cfg: Mapping[str, Any],
    norm_cfg: Mapping[str, Any],
    init_cfg: Mapping[str, Any] | None,
    spatial_T: float,
    channel_T: float,
) -> None:
    """The arguments that only mmcv could make use of must be their defaults."""
    if conv_cfg != CONV2D:
        raise ValueError(f"conv_cfg is {conv_cfg!r}: only {dict(CONV2D)!r} is known here.")
    if norm_cfg != BN:
        raise ValueError(f"norm_cfg is {norm_cfg!r}: only {dict(BN)!r} is known here.")
    if init_cfg is not None:
        raise ValueError(f"init_cfg is {init_cfg!r}: only None is known here.")
    for name, value in (("spatial_T", spatial_T), ("channel_T", channel_T)):
        if not value > 0:
            raise ValueError(f"{name} is {value}: a temperature is above 0.")


class FBKDStudentConnector(nn.Module):
    """The student's side: (B, C, H, W) → six tensors for the loss.

    Args:
        in_channels: C.
        conv_cfg, norm_cfg, init_cfg: accepted for the original's signature, defaults only.
        spatial_T, channel_T: temperatures of the two masks.
        reduction, mode, sub_sample, maxpool_stride, zeros_init, use_scale: see
            `NonLocal2dMaxpoolNstride`.

    Returns, in this order: s_spatial_mask (B, 1, H, W), s_channel_mask (B, C, 1, 1),
    s_channel_pool_adapt (B, C), s_spatial_pool_adapt (B, 1, H, W), s_relation_adapt and
    s_feat_adapt (B, C, H, W).

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        in_channels: int,
        reduction: int = 2,
        conv_cfg: Mapping[str, Any] = CONV2D,
        norm_cfg: Mapping[str, Any] = BN,
        mode: str = "dot_product",
        sub_sample: bool = False,
        maxpool_stride: int = 2,
        zeros_init: bool = True,
        spatial_T: float = 0.5,
        channel_T: float = 0.5,
        init_cfg: Mapping[str, Any] | None = None,
        *,
        use_scale: bool = True,
    ) -> None:
        super().__init__()
        _check(conv_cfg, norm_cfg, init_cfg, spatial_T, channel_T)
        self.channel_wise_adaptation = nn.Linear(in_channels, in_channels)
        self.spatial_wise_adaptation = nn.Conv2d(1, 1, kernel_size=3, padding=1)
        self.adaptation_layers = nn.Conv2d(in_channels, in_channels, kernel_size=1)
        self.student_non_local = NonLocal2dMaxpoolNstride(
            in_channels, reduction, mode, sub_sample, maxpool_stride, zeros_init, use_scale
        )
        self.non_local_adaptation = nn.Conv2d(in_channels, in_channels, kernel_size=1)
        self.spatial_T = spatial_T
        self.channel_T = channel_T

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        B, C, H, W = x.shape

        # **Where** does the student look? One weight per place.
        s_spatial_mask = spatial_mask(x, self.spatial_T)

        # **Which features** does it look for? One weight per channel.
        s_channel_mask = channel_mask(x, self.channel_T)

        # The student speaks a language of its own. A 1 × 1 convolution, the same change of
        # basis at every place, learns to translate its {C} channels into the teacher's.
        s_feat_adapt = self.adaptation_layers(x)

        # What is in the image, regardless of where: the mean over {H} × {W} places. Without
        # the absolute value, since this is a feature to be matched and not an importance.
        s_channel_pool = torch.mean(x, dim=(2, 3))

        # The pooled channels have no places left, so their translation is a plain matrix.
        s_channel_pool_adapt = self.channel_wise_adaptation(s_channel_pool)

        # Where something is, regardless of what: the mean over the {C} channels.
        s_average = torch.mean(x, dim=1)

        # The convolution below wants a channel dimension: the mean dropped it, a 1 brings it
        # back.
        s_spatial_pool = s_average.view(B, 1, H, W)

        # One channel in and out; 3 × 3, because the translation of a map may shift and smooth.
        s_spatial_pool_adapt = self.spatial_wise_adaptation(s_spatial_pool)

        # **What has to do with what?** Despite its name the relation is a feature map like
        # `x`, in which each place has gathered from all others; the matrix of pairs is inside.
        s_relation = self.student_non_local(x)

        # And the translation of that.
        s_relation_adapt = self.non_local_adaptation(s_relation)

        return (
            s_spatial_mask,
            s_channel_mask,
            s_channel_pool_adapt,
            s_spatial_pool_adapt,
            s_relation_adapt,
            s_feat_adapt,
        )


class FBKDTeacherConnector(nn.Module):
    """The teacher's side: (B, C, H, W) → five tensors for the loss.

    The arguments are the student's.  Nothing is adapted: the student has to come to the teacher.

    Returns, in this order: t_spatial_mask (B, 1, H, W), t_channel_mask (B, C, 1, 1),
    t_spatial_pool (B, 1, H, W), t_relation and x itself (B, C, H, W).

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        in_channels: int,
        reduction: int = 2,
        conv_cfg: Mapping[str, Any] = CONV2D,
        norm_cfg: Mapping[str, Any] = BN,
        mode: str = "dot_product",
        sub_sample: bool = False,
        maxpool_stride: int = 2,
        zeros_init: bool = True,
        spatial_T: float = 0.5,
        channel_T: float = 0.5,
        init_cfg: Mapping[str, Any] | None = None,
        *,
        use_scale: bool = True,
    ) -> None:
        super().__init__()
        _check(conv_cfg, norm_cfg, init_cfg, spatial_T, channel_T)
        self.teacher_non_local = NonLocal2dMaxpoolNstride(
            in_channels, reduction, mode, sub_sample, maxpool_stride, zeros_init, use_scale
        )
        self.spatial_T = spatial_T
        self.channel_T = channel_T

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        B, C, H, W = x.shape

        # **Where** does the teacher look? The loss will lean on these places.
        t_spatial_mask = spatial_mask(x, self.spatial_T)

        # **Which features** does it look for?
        t_channel_mask = channel_mask(x, self.channel_T)

        # Where something is, regardless of what: the mean over the {C} channels.
        t_average = torch.mean(x, dim=1)

        # The mean dropped the channel dimension, a 1 brings it back: the student's map, which
        # this one is compared with, comes out of a convolution and has it. No adaptation here:
        # the teacher stays as it is.
        t_spatial_pool = t_average.view(B, 1, H, W)

        # **What has to do with what?** The same block as the student's, with weights of its own.
        t_relation = self.teacher_non_local(x)

        return t_spatial_mask, t_channel_mask, t_spatial_pool, t_relation, x


class FBKDLoss(nn.Module):
    """How far the student is from the teacher, as one number: six and five tensors → ().

    Args:
        mask_l2_weight: of the distance of the features, where the masks look.
        channel_weight: of the distance of the features pooled over the places.
        spatial_weight: of the distance of the features pooled over the channels.
        nonloacl_weight: of the distance of the relations (the original's spelling).
        loss_weight: of all four together.

    `s_input` and `t_input` are what the two connectors return.  The original also computes a
    common channel mask and makes no use of it; here it is left out.
    """

    def __init__(
        self,
        mask_l2_weight: float = 7e-5,
        channel_weight: float = 4e-3,
        spatial_weight: float = 4e-3,
        nonloacl_weight: float = 7e-5,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.mask_l2_weight = mask_l2_weight
        self.channel_weight = channel_weight
        self.spatial_weight = spatial_weight
        self.nonloacl_weight = nonloacl_weight
        self.loss_weight = loss_weight

    def forward(self, s_input: tuple[Tensor, ...], t_input: tuple[Tensor, ...]) -> Tensor:
        s_mask, _, s_channel_pool_adapt, s_spatial_pool_adapt, s_relation_adapt, s_feat_adapt = (
            s_input
        )
        t_mask, _, t_spatial_pool, t_relation, t_feat = t_input

        # $M^s=\frac12(M^s_T+M^s_S)$: what either of the two attends to shall count. Here the
        # student's {s_mask.shape[2]} × {s_mask.shape[3]} places meet the teacher's
        # {t_mask.shape[2]} × {t_mask.shape[3]} for the first time.
        both_masks = (t_mask + s_mask) / 2

        # The masks are scales to weigh with. Without `detach` the student could make the loss
        # small by looking away.
        M_s = both_masks.detach()

        # $F^T-A(F^S)$, squared: how far apart each of the numbers is...
        apart = (t_feat - s_feat_adapt) ** 2

        # ...more where the masks look. The mask's one channel is read for all {apart.shape[1]}.
        weighed = apart * M_s

        # $\sqrt{\sum M^s\,(F^T-A(F^S))^2}$: a distance, one number for the whole batch. It is a
        # sum and no mean, so it grows with the size of the map; hence the small weights.
        feat_loss = torch.sum(weighed) ** 0.5

        # What is in the image: the teacher's connector has no such mean, so it is taken here,
        # over {t_feat.shape[2]} × {t_feat.shape[3]} places.
        t_channel_pool = torch.mean(t_feat, dim=(2, 3))

        # $\lVert\cdot\rVert_2$ of the difference: {t_channel_pool.shape[0]} ×
        # {t_channel_pool.shape[1]} numbers on each side become one.
        channel_loss = torch.dist(t_channel_pool, s_channel_pool_adapt)

        # Where something is: two maps become one number. `dist` broadcasts as `+` does: a
        # teacher of a single row would be compared with every row, and nothing raised.
        spatial_loss = torch.dist(t_spatial_pool, s_spatial_pool_adapt)

        # What has to do with what: {t_relation.shape[1]} channels at every place of both become
        # one number.
        nonlocal_loss = torch.dist(t_relation, s_relation_adapt)

        # Four distances of very different sizes are made comparable and added.
        losses = (
            self.mask_l2_weight * feat_loss
            + self.channel_weight * channel_loss
            + self.spatial_weight * spatial_loss
            + self.nonloacl_weight * nonlocal_loss
        )

        # One number for whoever adds this to the detector's own loss.
        loss = self.loss_weight * losses
        return loss


class FBKDPair(nn.Module):
    """A student and a teacher and how far they are apart: s_x and t_x → ().

    s_x (B, C, H, W) and t_x (B, C, H_t, W_t) are the feature maps of two networks at the same
    level; they have to be of one size.
    """

    def __init__(
        self, student: FBKDStudentConnector, teacher: FBKDTeacherConnector, loss: FBKDLoss
    ) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher
        self.loss = loss

    def forward(self, s_x: Tensor, t_x: Tensor) -> Tensor:
        # Six tensors from the student...
        s_input = self.student(s_x)

        # ...five from the teacher, a network that has been trained before.
        t_input = self.teacher(t_x)

        # All of it becomes one number.
        loss: Tensor = self.loss(s_input, t_input)
        return loss


# --- the lessons ----------------------------------------------------------------------------

PAPER = Paper(
    title="Improve Object Detection with Feature-based Knowledge Distillation: "
    "Towards Accurate and Efficient Detectors",
    authors="Linfeng Zhang, Kaisheng Ma",
    venue="ICLR",
    year=2021,
    link="https://openreview.net/forum?id=uKhGRvM8QNH",
)
SOURCE = (
    "https://github.com/open-mmlab/mmrazor/blob/main/"
    "mmrazor/models/architectures/connectors/fbkd_connector.py"
)
WEIGHTS = (
    "The weights are random, as the class initialises them, so the relation means nothing yet. "
    "The masks have no weights: what they show is in the picture."
)
POST = "Post's size"
DEFAULTS = "Class defaults"
SMALL = "Small, the whole relation"
TEMPERATURES = (0.1, 0.25, 0.5, 1.0, 2.0)


def _sizes(H: int, W: int, maxpool_stride: int) -> tuple[Size, ...]:
    return (
        Size("B", "images", 2, 1, 16),
        Size("C", "channels", 256, 1, 1024),
        Size("H", "height", H, 1, 512),
        Size("W", "width", W, 1, 512),
        Size("reduction", "the non-local block has C // reduction channels", 4, 1, 64),
        Size("maxpool_stride", "window and stride of the pooling", maxpool_stride, 1, 32),
    )


OPTIONS = (
    Option("sub_sample", "pool the places that are looked at", True, (False, True)),
    Option("mode", "how two places are compared", "dot_product", MODES),
    Option("zeros_init", "start as if the block were not there", True, (False, True)),
    Option("spatial_T", "temperature of the spatial mask", 0.5, TEMPERATURES),
    Option("channel_T", "temperature of the channel mask", 0.5, TEMPERATURES),
)


def _arguments(settings: Settings) -> dict[str, Any]:
    names = ("reduction", "maxpool_stride", *(option.name for option in OPTIONS))
    return {"in_channels": settings["C"], **{name: settings[name] for name in names}}


def _student(settings: Settings) -> nn.Module:
    return with_fixed_weights(lambda: FBKDStudentConnector(**_arguments(settings)))


def _teacher(settings: Settings) -> nn.Module:
    return with_fixed_weights(lambda: FBKDTeacherConnector(**_arguments(settings)))


def _inputs(
    settings: Settings, kind: InputKind, seed: int
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    shape = [settings[name] for name in "BCHW"]
    return (feature_map(kind, shape, seed),), {}


def _presets(H: int, W: int, maxpool_stride: int) -> tuple[Preset, ...]:
    N, cells = H * W, (H // maxpool_stride) * (W // maxpool_stride)
    gigabytes, megabytes = 2 * N * N * 4 / 1e9, 2 * N * cells * 4 / 1e6
    return (
        Preset(
            POST,
            {
                **{"B": 2, "C": 256, "H": H, "W": W},
                **{"reduction": 4, "sub_sample": True, "maxpool_stride": maxpool_stride},
            },
            "The post prints no hyper-parameter. This is the public configuration for a map of "
            f"this size: {cells} pooled cells are looked at, and the matrix of pairs "
            f"(2, {N}, {cells}) takes {megabytes:.0f} MB.",
        ),
        Preset(
            DEFAULTS,
            {
                **{"B": 2, "C": 256, "H": H, "W": W},
                **{"reduction": 2, "sub_sample": False, "maxpool_stride": 2},
            },
            f"Without sub_sample every place looks at every other: the matrix of pairs (2, {N}, "
            f"{N}) alone takes {gigabytes:.3g} GB, so only shapes are computed. To see values, "
            "switch sub_sample on or make H and W smaller: half of both takes a sixteenth.",
            values=False,
        ),
        Preset(
            SMALL,
            {
                **{"B": 2, "C": 32, "H": 12, "W": 16},
                **{"reduction": 2, "sub_sample": False, "maxpool_stride": 2},
                "zeros_init": False,
            },
            "Small enough to look at the matrix of all pairs of places. zeros_init is off, so "
            "that the relation differs a little from x.",
        ),
        Preset(
            "Breaks: smaller than its pooling window",
            {
                **{"B": 2, "C": 32, "H": 6, "W": 8},
                **{"reduction": 4, "sub_sample": True, "maxpool_stride": 8},
            },
            "Not one whole 8 × 8 window fits on a 6 × 8 map, so pooling leaves no cell to look at. "
            "That is why the public configuration has a smaller stride for smaller maps.",
            breaks="RuntimeError",
        ),
        Preset(
            "Breaks: one value to normalise",
            {
                **{"B": 1, "C": 32, "H": 1, "W": 1},
                **{"reduction": 4, "sub_sample": False, "maxpool_stride": 2},
            },
            "In training, batch norm takes mean and variance over B·H·W values per channel. Of "
            "one value there is no variance.",
            breaks="ValueError",
            training=True,
        ),
    )


# --- what post 000 says ---------------------------------------------------------------------


def _shape(
    quote: str,
    name: str,
    shape: tuple[int, ...],
    verdict: Verdict = "agrees",
    why: str = "",
    output: int | None = None,
) -> Claim:
    return shape_claim(
        quote, name, shape, post="000", preset=POST, verdict=verdict, why=why, output=output
    )


def _path(trace: Trace, name: str) -> list[Step]:
    """The steps from an input to the tensor, each taking the one before as its first operand."""
    steps: list[Step] = []
    note = tensor(trace, name)
    while note.born is not None:
        steps.insert(0, maker(trace, note))
        note = steps[0].inputs[0]
    return steps


def _formula(trace: Trace, name: str) -> str:
    """How the tensor was made from the input, as `mean(abs(x))`."""
    text = _path(trace, name)[0].inputs[0].name
    for step in _path(trace, name):
        text = f"{step.op.rpartition('.')[2].strip('_')}({text})"
    return text


def _parameters(trace: Trace, name: str) -> list[str]:
    """The parameters that the tensor was made with."""
    operands = [operand for step in _path(trace, name) for operand in step.inputs]
    return [operand.name for operand in operands if operand.kind == "parameter"]


def _sees_one_map(trace: Trace) -> bool:
    return len(trace.inputs) == 1


def _is_mean_of_x(trace: Trace) -> bool:
    step = maker(trace, tensor(trace, "s"))
    return step.op == "torch.mean" and step.inputs[0].id == trace.inputs[0].id


def _keeps_dim_0(trace: Trace) -> bool:
    step = maker(trace, tensor(trace, "s_row"))
    before, after = step.inputs[0].shape, step.outputs[0].shape
    return step.op == "Tensor.view" and len(after) == 2 and after[0] == before[0]


RELATION = (
    "The shape is right, the name misleads: this is a feature map like x. The relation between "
    "places, the matrix f, stays inside the non-local block."
)

STUDENT_CLAIMS = (
    _shape("这里x的第零维是2,第一维是256,第二维是100,第三维是148", "x", (2, 256, 100, 148)),
    _shape("代码执行后s(2,1,100,148)", "s", (2, 1, 100, 148)),
    Claim(
        "000",
        "在x的第一维(256)上求平均值,保持维度。",
        "s is the mean of x over dimension 1, which is kept",
        POST,
        _is_mean_of_x,
        lambda trace: f"s = {_formula(trace, 's')}, {shown(tensor(trace, 's').shape)}",
        "slip",
        "The mean is taken of |x|, not of x: otherwise strong responses of opposite sign would "
        "cancel. The plain mean over dimension 1 is another tensor, s_spatial_pool.",
    ),
    _shape("(2)记录得到的学生空间注意力图的维度(2,1,100,148)", "s", (2, 1, 100, 148)),
    _shape("代码执行后s:(2,14800)", "s_row", (2, 14800)),
    Claim(
        "000",
        "该段代码将s的维度保持第零维不变,剩下自动计算,生成二维向量。",
        "view keeps dimension 0 and works out the other of two",
        POST,
        _keeps_dim_0,
        lambda trace: f"{shown(tensor(trace, 's').shape)} → {shown(tensor(trace, 's_row').shape)}",
        "agrees",
    ),
    _shape("代码执行后s(2,14800)", "s_scaled", (2, 14800)),
    Claim(
        "000",
        "这里没有计算teacher的空间注意力图",
        "the student's mask is computed without the teacher's",
        POST,
        _sees_one_map,
        lambda trace: said(
            "one input, {name}" if len(trace.inputs) == 1 else "{count} inputs, the first {name}",
            count=len(trace.inputs),
            name=trace.inputs[0].name,
        ),
        "agrees",
    ),
    _shape("代码执行后s(2,1,100,148)", "s_spatial_mask", (2, 1, 100, 148)),
    _shape("运行后得到s(2,256)", "c_row", (2, 256)),
    _shape("运行后得到s(2,256,1,1)", "s_channel_mask", (2, 256, 1, 1)),
    _shape("s_feat_adapt=(2,256,100,148)", "s_feat_adapt", (2, 256, 100, 148)),
    _shape("s_channel_pool_adapt=(2,256)", "s_channel_pool_adapt", (2, 256)),
    _shape("s_spatial_pool=(2,1,100,148)", "s_spatial_pool", (2, 1, 100, 148)),
    _shape("s_spatial_pool_adapt=(2,1,100,148)", "s_spatial_pool_adapt", (2, 1, 100, 148)),
    _shape("s_relation=(2,256,100,148)", "s_relation", (2, 256, 100, 148), why=RELATION),
    _shape("s_relation_adapt=(2,256,100,148)", "s_relation_adapt", (2, 256, 100, 148)),
    _shape("s_spatial_mask((2,1,100,148)", "s_spatial_mask", (2, 1, 100, 148), output=0),
    _shape("s_channel_mask((2,256,1,1)", "s_channel_mask", (2, 256, 1, 1), output=1),
    _shape("s_channel_pool_adapt(2,256)", "s_channel_pool_adapt", (2, 256), output=2),
    _shape("s_spatial_pool_adapt(2,1,100,148)", "s_spatial_pool_adapt", (2, 1, 100, 148), output=3),
    _shape("s_relation_adapt(2,256,100,148)", "s_relation_adapt", (2, 256, 100, 148), output=4),
    _shape("s_feat_adapt(2,256,100,148)", "s_feat_adapt", (2, 256, 100, 148), output=5),
)

PLACES = "200 · 272 = 54400. 25400 would be 200 · 127, and no width of 127 occurs in the post."

TEACHER_CLAIMS = (
    _shape("代码运行前x(2,256,200,272)", "x", (2, 256, 200, 272)),
    _shape("代码运行后t_spatial_mask=(2,1,200,272)", "s", (2, 1, 200, 272)),
    _shape("t_spatial_mask=(2,25400)", "s_row", (2, 25400), "slip", PLACES),
    _shape("代码运行前t_spatial_mask=(2,25400)", "s_scaled", (2, 25400), "slip", PLACES),
    _shape("代码运行后t_spatial_mask=(2,1,200,272)", "t_spatial_mask", (2, 1, 200, 272)),
    _shape("代码运行后t_channel_mask=(2,256,1,1)", "c", (2, 256, 1, 1)),
    _shape("t_channel_mask=(2,256)", "c_row", (2, 256)),
    _shape("代码运行前t_channel_mask=(2,256)", "c_scaled", (2, 256)),
    _shape("代码运行后t_channel_mask=(2,256,1,1)", "t_channel_mask", (2, 256, 1, 1)),
    Claim(
        "000",
        "4.通过空间自适应和池化学生特征。",
        "the pooled map is adapted, and it is the student's",
        POST,
        lambda trace: bool(_parameters(trace, "t_spatial_pool")),
        lambda trace: (
            f"t_spatial_pool = {_formula(trace, 't_spatial_pool')}, "
            f"parameters: {', '.join(_parameters(trace, 't_spatial_pool')) or 'none'}"
        ),
        "slip",
        "The heading is copied from the student. Here the teacher's own feature is pooled, and "
        "nothing is adapted: the student's own layers adapt its feature.",
    ),
    _shape("运行后维度t_spatial_pool=(2,1,200,272)", "t_spatial_pool", (2, 1, 200, 272)),
    _shape("运行后维度t_relation=(2,256,200,272)", "t_relation", (2, 256, 200, 272), why=RELATION),
    _shape("t_spatial_mask(2,1,200,272)", "t_spatial_mask", (2, 1, 200, 272), output=0),
    _shape("t_channel_mask(2,256,1,1)", "t_channel_mask", (2, 256, 1, 1), output=1),
    _shape("t_spatial_pool(2,1,200,272)", "t_spatial_pool", (2, 1, 200, 272), output=2),
    _shape("t_relation(2,256,200,272)", "t_relation", (2, 256, 200, 272), output=3),
    _shape("x(2,256,200,272)", "x", (2, 256, 200, 272), output=4),
)


def _numbers(trace: Trace) -> dict[str, int]:
    (_, places), (_, channels) = (tensor(trace, name).shape for name in ("s_row", "c_row"))
    _, looking, looked_at = tensor(trace, "f").shape
    sizes = {"places": places, "channels": channels}
    return {**sizes, "looking": looking, "looked_at": looked_at}


STUDENT = Lesson(
    key="fbkd-student",
    title="FBKD student connector",
    family="Distillation",
    teaches="One feature map, summed away in two directions, says where and what to attend to.",
    about="A small detector learns from a large one by being compared with it: where it looks, "
    "which channels it uses, what is left of its features when places or channels are averaged "
    "away, and what every place has to do with every other. All but the masks pass through an "
    "adaptation layer, which learns to translate the student's features into the teacher's. "
    f"{WEIGHTS}",
    post="000",
    paper=PAPER,
    source=SOURCE,
    sizes=_sizes(100, 148, 4),
    options=OPTIONS,
    presets=_presets(100, 148, 4),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="s_spatial_mask",
    build=_student,
    inputs=_inputs,
    plot=Plot(
        place="Used in training only. A large detector, already trained, and a small one see "
        "the same image; behind each level of both feature pyramids stands a connector, and a "
        "loss compares what the two connectors give. Once the small detector is trained, the "
        "connectors are thrown away.",
        look="The first two chapters sum `x` away in two directions: one channel is left in "
        "`s_spatial_mask`, one place in `s_channel_mask`. On the drawn picture the first is "
        "bright where there is something to see. In the last chapter compare the two sides of "
        "`f`: every place looks, and with `sub_sample` few are looked at.",
        parts=(
            Part("Spatial mask", lines=("def spatial_mask(",)),
            Part("Channel mask", lines=("def channel_mask(",)),
            Part("Adaptation", module="adaptation_layers"),
            Part("Non-local relation", module="student_non_local"),
        ),
        seen=(
            "Two masks were made of one map, without any weights: a number for each of the "
            "{places} places and one for each of the {channels} channels, both with mean 1.",
            "The features, what was pooled of them and the relation went through adaptation "
            "layers, the masks did not: only features have to be translated for the teacher.",
            "The relation has the shape of the features. The matrix of pairs, in which {looking} "
            "places look at {looked_at}, stays inside the non-local block.",
        ),
        leads=("fbkd-teacher", "non-local"),
        numbers=_numbers,
    ),
    claims=STUDENT_CLAIMS,
)

TEACHER = Lesson(
    key="fbkd-teacher",
    title="FBKD teacher connector",
    family="Distillation",
    teaches="The same masks on a larger map, and why all pairs of places do not fit into memory.",
    about="The teacher's features are the target, so nothing is adapted: masks, the mean over "
    "the channels, the relation and the features themselves. At this size the matrix of all pairs "
    "of places would not fit into most computers, which is what pooling the places that are looked "
    f"at is for. {WEIGHTS}",
    post="000",
    paper=PAPER,
    source=SOURCE,
    sizes=_sizes(200, 272, 8),
    options=OPTIONS,
    presets=_presets(200, 272, 8),
    kinds=("picture", "noise", "ramp"),
    dims={"x": "B C H W"},
    map="t_spatial_mask",
    build=_teacher,
    inputs=_inputs,
    plot=Plot(
        place="Behind each level of the large detector's feature pyramid, while the small one is "
        "trained. The large detector itself is not trained any more: it only shows what it looks "
        "at.",
        look="The map is larger than in the student's lesson, and the two masks are the same. "
        "Then look at `f`: choose the preset “Class defaults” to see the matrix of pairs that "
        "does not fit into memory.",
        parts=(
            Part("Spatial mask", lines=("def spatial_mask(",)),
            Part("Channel mask", lines=("def channel_mask(",)),
            Part("Pooled map", lines=("t_average = ",)),
            Part("Non-local relation", module="teacher_non_local"),
        ),
        seen=(
            "The teacher's masks are made as the student's are: weights for the {places} places "
            "and the {channels} channels of its own map, both with mean 1.",
            "Nothing was adapted: the only layers with weights are those of the non-local block.",
            "In the matrix of pairs {looking} places look at {looked_at}. The matrix grows with "
            "both numbers, and only pooling makes the second smaller than the first.",
        ),
        leads=("fbkd-loss", "non-local"),
        numbers=_numbers,
    ),
    claims=TEACHER_CLAIMS,
)

# --- the loss -------------------------------------------------------------------------------

ONE_LEVEL = "One level of both networks"
TWO_LEVELS = "Breaks: the post's two sizes"
LOSS_SOURCE = "https://github.com/open-mmlab/mmrazor/blob/main/mmrazor/models/losses/fbkd_loss.py"


def _pair(settings: Settings) -> nn.Module:
    arguments = _arguments(settings)

    def build() -> nn.Module:
        student, teacher = FBKDStudentConnector(**arguments), FBKDTeacherConnector(**arguments)
        return FBKDPair(student, teacher, FBKDLoss())

    return with_fixed_weights(build)


def _pair_inputs(
    settings: Settings, kind: InputKind, seed: int
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    B, C, H, W, H_t, W_t = (settings[name] for name in ("B", "C", "H", "W", "H_t", "W_t"))
    s_x, t_x = feature_map(kind, (B, C, H, W), seed), feature_map(kind, (B, C, H_t, W_t), seed)
    if kind == "picture":
        # Both see the same scene, the small network less sharply.
        s_x = F.avg_pool2d(s_x, 5, stride=1, padding=2, count_include_pad=False)
    elif kind == "noise":
        s_x = feature_map(kind, (B, C, H, W), seed + 1)
    return (s_x, t_x), {}


def _at(B: int, C: int, H: int, W: int, H_t: int, W_t: int) -> dict[str, int]:
    return {"B": B, "C": C, "H": H, "W": W, "H_t": H_t, "W_t": W_t}


def _loss_claim(
    quote: str,
    says: str,
    preset: str,
    holds: Callable[[Trace], bool],
    found: Callable[[Trace], str | Said],
    verdict: Verdict = "agrees",
    why: str = "",
) -> Claim:
    return Claim("000", quote, says, preset, holds, found, verdict, why)


def _meet(*names: str) -> Callable[[Trace], bool]:
    """Whether these tensors are of one shape and are operands of one step."""

    def holds(trace: Trace) -> bool:
        notes = [tensor(trace, name) for name in names]
        wanted = {note.id for note in notes}
        together = any(wanted <= {note.id for note in step.inputs} for step in trace.steps)
        return together and len({note.shape for note in notes}) == 1

    return holds


def _pair_of(*names: str) -> Callable[[Trace], str]:
    return lambda trace: ", ".join(f"{name} {shown(tensor(trace, name).shape)}" for name in names)


def _uses(trace: Trace, name: str) -> list[str]:
    """The expressions that the tensor is an operand of, in the loss."""
    wanted = tensor(trace, name).id
    return [
        step.expression
        for step in trace.steps
        if step.module == "loss" and wanted in {note.id for note in step.inputs}
    ]


EQUAL_SIZES = (
    "Only if both maps have one height and width, as here. Those that the post prints have not: "
    "100×148 and 200×272."
)

LOSS_CLAIMS = (
    _loss_claim(
        "这里没有计算teacher的空间注意力图",
        "the student's mask is computed without the teacher's",
        ONE_LEVEL,
        lambda trace: _path(trace, "s_spatial_mask")[0].inputs[0].name == "s_x",
        lambda trace: said(
            "s_spatial_mask comes from {source}; both_masks = {code}",
            source=_path(trace, "s_spatial_mask")[0].inputs[0].name,
            code=maker(trace, tensor(trace, "both_masks")).expression,
        ),
        "agrees",
        "The two meet in the loss, which is not in the post: their mean weighs the features.",
    ),
    _loss_claim(
        "t_spatial_mask(2,1,200,272)",
        "it is the teacher's half of one loss, with the student's of (2,1,100,148)",
        TWO_LEVELS,
        lambda trace: trace.failure is None,
        lambda trace: said(
            "{code} fails: {pair}" if trace.failure else "nothing fails: {pair}",
            code=trace.failure.expression if trace.failure else "",
            pair=_pair_of("t_spatial_mask", "s_spatial_mask")(trace),
        ),
        "slip",
        "Each list is right by itself, but they are of two different maps, and no loss can compare "
        "them. They look like two levels of the pyramid: an eighth of 800×1184 and a fourth of "
        "800×1088.",
    ),
    _loss_claim(
        "s_channel_mask((2,256,1,1)",
        "the loss uses what the student returns, the channel mask too",
        ONE_LEVEL,
        lambda trace: bool(_uses(trace, "s_channel_mask")),
        lambda trace: said(
            "uses of s_channel_mask: {uses}",
            uses=", ".join(_uses(trace, "s_channel_mask")) or 0,
        ),
        "slip",
        "It is returned and not used: only the spatial mask weighs the features. The original "
        "averages both channel masks and lets the result lie.",
    ),
    _loss_claim(
        "s_channel_pool_adapt(2,256)",
        "it is compared with as many numbers of the teacher",
        ONE_LEVEL,
        _meet("s_channel_pool_adapt", "t_channel_pool"),
        _pair_of("s_channel_pool_adapt", "t_channel_pool"),
        "agrees",
        "The teacher does not return them. The loss takes the mean itself, and since no place is "
        "left in it, this is the one part that would work with maps of two sizes.",
    ),
    _loss_claim(
        "s_spatial_pool_adapt(2,1,100,148)",
        "it is compared with t_spatial_pool",
        ONE_LEVEL,
        _meet("s_spatial_pool_adapt", "t_spatial_pool"),
        _pair_of("s_spatial_pool_adapt", "t_spatial_pool"),
        "depends",
        EQUAL_SIZES,
    ),
    _loss_claim(
        "s_relation_adapt(2,256,100,148)",
        "it is compared with t_relation",
        ONE_LEVEL,
        _meet("s_relation_adapt", "t_relation"),
        _pair_of("s_relation_adapt", "t_relation"),
        "depends",
        EQUAL_SIZES,
    ),
    _loss_claim(
        "s_feat_adapt(2,256,100,148)",
        "it is compared with the teacher's x",
        ONE_LEVEL,
        _meet("s_feat_adapt", "t_x"),
        _pair_of("s_feat_adapt", "t_x"),
        "depends",
        EQUAL_SIZES,
    ),
)

LOSS = Lesson(
    key="fbkd-loss",
    title="FBKD loss",
    family="Distillation",
    teaches="Eleven tensors of two networks become one number, if their maps are of one size.",
    about="What the connectors are for. The student's features, translated, are compared with the "
    "teacher's, most where either of them looks; so are what is left of them without places or "
    "without channels, and the relations. Both networks see the same scene here, the student less "
    "sharply. The weights are random, as the classes initialise them: the number means nothing, "
    "the mask M_s has no weights and does.",
    post="000",
    paper=PAPER,
    source=LOSS_SOURCE,
    sizes=(
        Size("B", "images", 2, 1, 16),
        Size("C", "channels", 256, 1, 1024),
        Size("H", "height of the student's map", 100, 1, 512),
        Size("W", "width of the student's map", 148, 1, 512),
        Size("H_t", "height of the teacher's map", 100, 1, 512),
        Size("W_t", "width of the teacher's map", 148, 1, 512),
        Size("reduction", "the non-local blocks have C // reduction channels", 4, 1, 64),
        Size("maxpool_stride", "window and stride of their pooling", 4, 1, 32),
    ),
    options=OPTIONS,
    presets=(
        Preset(
            ONE_LEVEL,
            {**_at(2, 256, 100, 148, 100, 148), "reduction": 4, "maxpool_stride": 4},
            "The post's student with a teacher of the same height and width: every tensor of one "
            "finds its partner.",
        ),
        Preset(
            TWO_LEVELS,
            {**_at(2, 256, 100, 148, 200, 272), "reduction": 4, "maxpool_stride": 4},
            "The student of 100×148 and the teacher of 200×272 that the post prints. Neither "
            "connector minds; where the masks meet, 148 columns cannot be added to 272. Give both "
            "the same level of the pyramid. Shapes alone show it.",
            values=False,
            breaks="RuntimeError",
        ),
        Preset(
            "Small",
            {**_at(2, 32, 12, 16, 12, 16), "reduction": 2, "maxpool_stride": 2},
            "Small enough to see where the masks look and where the features differ.",
        ),
        Preset(
            "Runs, but should not",
            {**_at(2, 32, 12, 16, 1, 16), "reduction": 2, "maxpool_stride": 1},
            "A teacher of a single row is compared with every row of the student: broadcasting "
            "takes it for what is meant. A number comes out and nothing is raised.",
        ),
    ),
    kinds=("picture", "noise", "ramp"),
    dims={"s_x": "B C H W", "t_x": "B C H_t W_t"},
    map="M_s",
    build=_pair,
    inputs=_pair_inputs,
    plot=Plot(
        place="At the very end of training: what the two connectors of one level give goes in, one "
        "number comes out and is added to the small detector's own loss. Public training code has "
        "four of them, one for each of four levels.",
        look="In the first two chapters both connectors run. In the third watch how the two "
        "spatial masks become one and weigh the squared differences. Each of the three other "
        "distances ends in a scalar.",
        parts=(
            Part("Student", module="student"),
            Part("Teacher", module="teacher"),
            Part("Features under the masks", module="loss"),
            Part("Three more distances", lines=("t_channel_pool = torch.mean(t_feat",)),
            Part("One number", lines=("losses = (",)),
        ),
        seen=(
            "Six tensors of the student and five of the teacher became one number.",
            "The mean of both spatial masks weighs the differences of the features; it is "
            "detached, so that the student learns from the features and not by changing the mask.",
            "The pooled channels could be compared whatever the sizes of the two maps; "
            "features, pooled maps and relations belong to maps of the same height and width.",
        ),
        leads=("non-local", "eca-sequence"),
    ),
    claims=LOSS_CLAIMS,
)
