"""Larger models for the tests of the recorder: real architectures at sizes that run in a blink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from modules.lesson import Lesson

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


# --- a residual network with channel and spatial attention ----------------------------------


class ChannelAttention(nn.Module):
    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        average = x.mean(dim=(2, 3))
        highest = x.flatten(2).max(dim=2).values
        gate = torch.sigmoid(self.shared(average) + self.shared(highest))
        return x * gate[:, :, None, None]


class SpatialAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        highest, _ = x.max(1, keepdim=True)
        pooled = torch.cat([highest, x.mean(1, keepdim=True)], dim=1)
        return x * self.norm(self.conv(pooled)).sigmoid()


class ResidualBlock(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.channel = ChannelAttention(outer, 4)
        self.spatial = SpatialAttention()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inner != outer:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y = self.spatial(self.channel(y))
        y += self.shortcut(x)
        return F.relu(y)


class ResNetCBAM(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.layers = nn.Sequential(ResidualBlock(8, 8, 1), ResidualBlock(8, 16, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(16, classes)

    def forward(self, image: Tensor) -> Tensor:
        features = self.layers(self.stem(image))
        return self.head(torch.flatten(self.pool(features), 1))


# --- an encoder-decoder with skip connections -----------------------------------------------


class DoubleConv(nn.Sequential):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__(
            nn.Conv2d(inner, outer, 3, padding=1),
            nn.GroupNorm(2, outer),
            nn.SiLU(),
            nn.Conv2d(outer, outer, 3, padding=1),
            nn.SiLU(),
        )


class UNet(nn.Module):
    def __init__(self, widths: tuple[int, ...] = (4, 8, 16)) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            DoubleConv(a, b) for a, b in zip((1, *widths[:-1]), widths, strict=True)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 2, 2)
            for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.merge = nn.ModuleList(DoubleConv(2 * a, a) for a in widths[-2::-1])
        self.out = nn.Conv2d(widths[0], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for position, block in enumerate(self.down):
            x = block(x)
            if position < len(self.down) - 1:
                skips.append(x)
                x = F.max_pool2d(x, 2)
        for up, merge in zip(self.up, self.merge, strict=True):
            skip = skips.pop()
            x = up(x)
            # An odd size loses a row in the pooling, so the upsampled map is padded to the skip's.
            rows, columns = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
            x = F.pad(x, (0, columns, 0, rows))
            x = merge(torch.cat((skip, x), 1))
        return self.out(x)


# --- transformers over patches --------------------------------------------------------------


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * self.scale) @ k.transpose(-2, -1)
        if bias is not None:
            scores = scores + bias
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, dim))


class EncoderBlock(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, size: int = 16, patch: int = 4, dim: int = 24, heads: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, dim))
        self.position = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, dim))
        self.blocks = nn.ModuleList(EncoderBlock(dim, heads) for _ in range(2))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def window_partition(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C) → (B · windows, window², C)."""
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, c)


def window_reverse(windows: Tensor, window: int, h: int, w: int) -> Tensor:
    """(B · windows, window², C) → (B, H, W, C)."""
    x = windows.view(-1, h // window, w // window, window, window, windows.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, h, w, windows.shape[-1])


class SwinBlock(nn.Module):
    """Attention inside windows that are shifted by half a window."""

    index: Tensor

    def __init__(self, dim: int = 16, heads: int = 2, window: int = 4, shift: int = 2) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads))
        cells = torch.cartesian_prod(torch.arange(window), torch.arange(window))
        offset = cells[:, None] - cells[None] + window - 1
        self.register_buffer("index", offset[..., 0] * (2 * window - 1) + offset[..., 1])

    def mask(self, h: int, w: int) -> Tensor:
        """0 between cells that were neighbours before the roll, -100 between others."""
        region = torch.zeros(1, h, w, 1)
        edges = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        count = 0
        for rows in edges:
            for columns in edges:
                region[:, rows, columns] = count
                count += 1
        cells = window_partition(region, self.window).squeeze(-1)
        apart = cells[:, None] != cells[:, :, None]
        return torch.zeros_like(apart, dtype=torch.float32).masked_fill_(apart, -100.0)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, _ = x.shape
        y = torch.roll(self.norm1(x), shifts=(-self.shift, -self.shift), dims=(1, 2))
        windows = window_partition(y, self.window)
        bias = self.table[self.index].permute(2, 0, 1).unsqueeze(0)
        bias = bias + self.mask(h, w).unsqueeze(1).repeat(b, 1, 1, 1)
        y = window_reverse(self.attention(windows, bias), self.window, h, w)
        x = x + y.roll((self.shift, self.shift), (1, 2))
        return x + self.mlp(self.norm2(x))


# --- sequences ------------------------------------------------------------------------------


class AdditiveAttention(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.energy = nn.Linear(hidden, 1, bias=False)

    def forward(self, state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.energy(torch.tanh(self.query(state).unsqueeze(1) + self.key(memory)))
        weights = F.softmax(scores.squeeze(-1), dim=-1)
        return torch.bmm(weights.unsqueeze(1), memory).squeeze(1), weights


class Seq2Seq(nn.Module):
    """A GRU encoder, and a GRU cell that looks back at every encoded word."""

    def __init__(self, words: int = 20, hidden: int = 12) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, hidden)
        self.encoder = nn.GRU(hidden, hidden, batch_first=True)
        self.attention = AdditiveAttention(hidden)
        self.cell = nn.GRUCell(2 * hidden, hidden)
        self.out = nn.Linear(2 * hidden, words)

    def forward(self, source: Tensor, steps: int) -> dict[str, Tensor]:
        memory, state = self.encoder(self.embed(source))
        state = state[-1]
        word = torch.zeros(source.shape[0], dtype=torch.long)
        logits, maps = [], []
        for _ in range(steps):
            context, weights = self.attention(state, memory)
            state = self.cell(torch.cat([self.embed(word), context], -1), state)
            scores = self.out(torch.cat([state, context], -1))
            word = scores.argmax(-1)
            logits.append(scores)
            maps.append(weights)
        return {"logits": torch.stack(logits, 1), "maps": torch.stack(maps, 1)}


class GRUTagger(nn.Module):
    """A label for every word of sentences of different lengths."""

    def __init__(self, words: int = 30, tags: int = 5, hidden: int = 8) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, hidden, padding_idx=0)
        self.dropout = nn.Dropout(0.2)
        self.gru = nn.GRU(hidden, hidden, num_layers=2, batch_first=True, bidirectional=True)
        self.tag = nn.Linear(2 * hidden, tags)

    def forward(self, words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        embedded = self.dropout(self.embed(words))
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = self.gru(packed)
        padded, _ = pad_packed_sequence(hidden, batch_first=True)
        real = torch.arange(padded.shape[1])[None, :] < lengths[:, None]
        scores = self.tag(padded).masked_fill(~real[..., None], float("-inf"))
        scores[~real] = 0.0
        return scores, real


class TorchTransformer(nn.Module):
    """torch's own encoder and decoder layers, which the recorder opens."""

    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(dim, 2, 32, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoderLayer(dim, 4, 32, dropout=0.0, batch_first=True)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.decoder(target, self.encoder(source), tgt_mask=mask)


class RotaryDecoder(nn.Module):
    """A causal decoder with rotary positions as complex numbers and a gated MLP."""

    def __init__(self, words: int = 40, dim: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Embedding(words, dim)
        self.project = nn.ModuleDict({name: nn.Linear(dim, dim, bias=False) for name in "qkvo"})
        self.gate, self.rise = nn.Linear(dim, 24, bias=False), nn.Linear(dim, 24, bias=False)
        self.fall = nn.Linear(24, dim, bias=False)
        self.gain = nn.Parameter(torch.ones(dim))

    def normed(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.gain

    def rotate(self, x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        rate = 10_000.0 ** (-torch.arange(half) / half)
        angle = torch.outer(torch.arange(x.shape[-2]), rate)
        turned = torch.view_as_complex(x.unflatten(-1, (half, 2))) * torch.polar(
            torch.ones_like(angle), angle
        )
        return torch.view_as_real(turned).flatten(-2)

    def forward(self, words: Tensor) -> Tensor:
        x = self.embed(words)
        y = self.normed(x)
        q, k, v = (
            self.project[name](y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in "qkv"
        )
        y = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, is_causal=True)
        x = x + self.project["o"](y.transpose(1, 2).flatten(2))
        y = self.normed(x)
        x = x + self.fall(F.silu(self.gate(y)) * self.rise(y))
        return x @ self.embed.weight.T


class MixtureOfExperts(nn.Module):
    """Each token is sent to its two best experts: sizes depend on the values."""

    def __init__(self, dim: int = 8, experts: int = 4) -> None:
        super().__init__()
        self.router = nn.Linear(dim, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, 16), nn.ReLU(), nn.Linear(16, dim)) for _ in range(experts)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        tokens = x.reshape(-1, x.shape[-1])
        weight, choice = self.router(tokens).softmax(-1).topk(2, dim=-1)
        weight /= weight.sum(-1, keepdim=True)
        mixed = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            row, slot = torch.where(choice == number)
            if len(row):
                mixed.index_add_(0, row, expert(tokens[row]) * weight[row, slot, None])
        load = torch.bincount(choice.flatten(), minlength=len(self.experts))
        return mixed.view_as(x), load


def unsettled(module: nn.Module) -> nn.Module:
    """The module with every parameter moved a little: fresh norms are the identity and fresh biases
    zero, so that a branch that was lost would not show."""
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    return module


@dataclass(frozen=True)
class Model:
    """`make()` builds the module, seeded; `inputs()` its arguments, positional and keyword."""

    key: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    training: bool = False

    def make(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return unsettled(self.build().train(self.training))

    def arguments(self) -> Inputs:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(1)
            return self.inputs()


def _image(*shape: int) -> Callable[[], Inputs]:
    return lambda: ((torch.randn(shape),), {})


def _sentences() -> Inputs:
    words = torch.randint(1, 30, (3, 7))
    lengths = torch.tensor([5, 7, 2])
    words[torch.arange(7) >= lengths[:, None]] = 0
    return (words,), {"lengths": lengths}


MODELS: tuple[Model, ...] = (
    Model("resnet_cbam", ResNetCBAM, _image(2, 3, 12, 12)),
    Model("resnet_cbam_training", ResNetCBAM, _image(2, 3, 12, 12), training=True),
    Model("unet", UNet, _image(2, 1, 18, 22)),
    Model("vit", ViT, _image(2, 3, 16, 16)),
    Model("swin", SwinBlock, _image(2, 8, 12, 16)),
    Model("seq2seq", Seq2Seq, lambda: ((torch.randint(0, 20, (2, 6)),), {"steps": 3})),
    Model("tagger", GRUTagger, _sentences),
    Model("tagger_training", GRUTagger, _sentences, training=True),
    # In training, because in evaluation torch's fused encoder path is not taken under a mode.
    Model(
        "transformer",
        TorchTransformer,
        lambda: ((torch.randn(2, 5, 16), torch.randn(2, 4, 16)), {}),
        training=True,
    ),
    Model("rotary", RotaryDecoder, lambda: ((torch.randint(0, 40, (2, 6)),), {})),
    Model("experts", MixtureOfExperts, _image(2, 6, 8)),
)
BY_KEY = {model.key: model for model in MODELS}


def small_settings(lesson: Lesson, preset: str) -> dict[str, Any]:
    """The preset with its maps and sequences cut to a size that is quick to look at."""
    limits = {"B": 2, "C": 32, "H": 17, "W": 19, "H_t": 17, "W_t": 19, "T": 37, "L": 37}
    settings = lesson.settings(preset)
    if "H" in settings:
        limits["T"] = 5  # frames, each of them a map
    return {name: min(value, limits.get(name, value)) for name, value in settings.items()}
