"""The best fix computes what a hand-made one does; a tempting wrong one never comes first.

Each model is written as a notebook cell.  Beside it stand the right change, as a person would make
it, and changes that make the forward run and compute the wrong thing.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.cells import run_cell
from tests.effort import spread
from tracer import trace
from tracer.diagnosis.repair.answers import cut_off
from tracer.diagnosis.repair.search import Found
from tracer.document import Failure, Fix

Change = Mapping[str, str]


@dataclass(frozen=True)
class Broken:
    """`right` are the changes that mend it, one of which the best fix must equal in what it
    computes; `wrong` those that only make it run."""

    name: str
    source: str
    inputs: str
    right: tuple[Change, ...]
    wrong: tuple[Change, ...] = field(default=())

    @property
    def text(self) -> str:
        return textwrap.dedent(self.source).strip("\n") + "\n"

    def changed(self, change: Change) -> str:
        text = self.text
        for old, new in change.items():
            assert text.count(old) == 1, (self.name, old, text.count(old))
            text = text.replace(old, new)
        return text

    def given(self, batch: int) -> tuple[Any, ...]:
        torch.default_generator.manual_seed(3)
        made: tuple[Any, ...] = eval(f"({self.inputs},)", {"torch": torch, "B": batch})
        return made


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [tensor for item in value for tensor in flat(item)]


def computed(case: Broken, text: str, weights: nn.Module, batch: int) -> list[Tensor] | None:
    """What a text's model gives with the weights that fit it; None when it raises."""
    torch.default_generator.manual_seed(11)
    model: nn.Module = run_cell(text)["Net"]()
    own = model.state_dict()
    fit = {k: v for k, v in weights.state_dict().items() if k in own and own[k].shape == v.shape}
    model.load_state_dict(fit, strict=False)
    try:
        with torch.no_grad():
            return flat(model.eval()(*case.given(batch)))
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        return None


def equal(left: list[Tensor] | None, right: list[Tensor] | None) -> bool:
    if left is None or right is None:
        return left is right
    return len(left) == len(right) and all(
        a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=1e-4, atol=1e-5)
        for a, b in zip(left, right, strict=True)
    )


def like(case: Broken, text: str, change: Change, weights: nn.Module) -> bool:
    """Whether a text computes what a change does, for the batch that failed and for another."""
    return all(
        equal(
            computed(case, text, weights, batch),
            computed(case, case.changed(change), weights, batch),
        )
        for batch in (4, 6)
    )


def answered(case: Broken) -> tuple[nn.Module, tuple[Fix, ...]]:
    """Searched for once, however many tests look at it."""
    known = _answered.get(case.name)
    if known is None:
        known = _answered[case.name] = _answer(case)
    return known


_answered: dict[str, tuple[nn.Module, tuple[Fix, ...]]] = {}


def _answer(case: Broken) -> tuple[nn.Module, tuple[Fix, ...]]:
    torch.default_generator.manual_seed(5)
    model: nn.Module = run_cell(case.text)["Net"]()
    failure = trace(model, *case.given(4)).failure
    assert failure is not None, "the model does not fail"
    return model, failure.fixes


LAYERS = (
    Broken(
        "linear_after_a_larger_picture",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1 = nn.Conv2d(3, 6, 5)
                self.pool = nn.MaxPool2d(2, 2)
                self.conv2 = nn.Conv2d(6, 16, 5)
                self.fc1 = nn.Linear(16 * 5 * 5, 30)
                self.fc2 = nn.Linear(30, 10)

            def forward(self, x):
                x = self.pool(F.relu(self.conv1(x)))
                x = self.pool(F.relu(self.conv2(x)))
                x = torch.flatten(x, 1)
                x = F.relu(self.fc1(x))
                return self.fc2(x)
        """,
        "torch.randn(B, 3, 44, 44)",
        ({"16 * 5 * 5": "16 * 8 * 8"},),
        (
            {"F.relu(self.fc1(x))": "F.relu(self.fc1(x[:, :400]))"},
            {"torch.flatten(x, 1)": "x[:, :, :5, :5].flatten(1)"},
        ),
    ),
    Broken(
        "view_of_minus_one_swallows_the_batch",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(1, 8, 3)
                self.fc = nn.Linear(8 * 13 * 13, 10)

            def forward(self, x):
                x = F.max_pool2d(F.relu(self.conv(x)), 2)
                x = x.view(-1, 8 * 12 * 12)
                return self.fc(x)
        """,
        "torch.randn(B, 1, 28, 28)",
        ({"x.view(-1, 8 * 12 * 12)": "x.view(x.size(0), -1)"},),
        ({"x.view(-1, 8 * 12 * 12)": "x.reshape(-1)[: 4 * 8 * 13 * 13].view(-1, 8 * 13 * 13)"},),
    ),
    Broken(
        "gray_pictures_without_their_channel",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.features = nn.Sequential(
                    nn.Conv2d(1, 4, 3, padding=1),
                    nn.ReLU(),
                    nn.AdaptiveAvgPool2d(2),
                )
                self.head = nn.Linear(16, 3)

            def forward(self, images):
                x = self.features(images)
                return self.head(x.flatten(1))
        """,
        "torch.randn(B, 14, 14)",
        ({"self.features(images)": "self.features(images.unsqueeze(1))"},),
        (
            {"nn.Conv2d(1, 4, 3": "nn.Conv2d(4, 4, 3", "x.flatten(1)": "x.flatten()"},
            {"self.features(images)": "self.features(images.unsqueeze(0).mean(1, keepdim=True))"},
        ),
    ),
    Broken(
        "channels_last_pictures",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = nn.Conv2d(3, 8, 3, padding=1)
                self.head = nn.Linear(8, 5)

            def forward(self, image):
                x = F.relu(self.stem(image))
                return self.head(x.mean(dim=(2, 3)))
        """,
        "torch.randn(B, 12, 10, 3)",
        ({"self.stem(image)": "self.stem(image.permute(0, 3, 1, 2))"},),
        (
            {"nn.Conv2d(3, 8": "nn.Conv2d(12, 8"},
            {"self.stem(image)": "self.stem(image.reshape(-1, 3, 12, 10))"},
            {"self.stem(image)": "self.stem(image.transpose(1, 3))"},
        ),
    ),
    Broken(
        "conv1d_over_the_wrong_axis",
        """
        class Net(nn.Module):
            def __init__(self, features=6):
                super().__init__()
                self.conv = nn.Conv1d(features, 12, kernel_size=3, padding=1)
                self.out = nn.Linear(12, 2)

            def forward(self, x):
                h = torch.relu(self.conv(x))
                return self.out(h.mean(dim=2))
        """,
        "torch.randn(B, 20, 6)",
        ({"self.conv(x)": "self.conv(x.transpose(1, 2))"},),
        (
            {"features=6": "features=20"},
            {"self.conv(x)": "self.conv(x.reshape(x.size(0), 6, 20))"},
            {"self.conv(x)": "self.conv(x.reshape(-1, 6, 20))"},
        ),
    ),
    Broken(
        "missing_global_pooling",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.backbone = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU())
                self.fc = nn.Linear(32, 4)

            def forward(self, x):
                x = self.backbone(x)
                x = torch.flatten(x, 1)
                return self.fc(x)
        """,
        "torch.randn(B, 3, 16, 16)",
        ({"torch.flatten(x, 1)": "x.mean((2, 3))"},),
        (
            {"self.fc(x)": "self.fc(x[:, :32])"},
            {"torch.flatten(x, 1)": "x.reshape(-1, 32)"},
        ),
    ),
    Broken(
        "two_linears_that_do_not_meet",
        """
        class Net(nn.Module):
            def __init__(self, hidden=24):
                super().__init__()
                self.body = nn.Sequential(
                    nn.Linear(10, hidden),
                    nn.ReLU(),
                    nn.Linear(16, 3),
                )

            def forward(self, x):
                return self.body(x)
        """,
        "torch.randn(B, 10)",
        ({"nn.Linear(16, 3)": "nn.Linear(24, 3)"}, {"hidden=24": "hidden=16"}),
        ({"return self.body(x)": "return self.body[2](self.body[:2](x)[:, :16])"},),
    ),
    Broken(
        "flatten_missing_in_a_sequential",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(
                    nn.Conv2d(1, 4, 3, stride=2),
                    nn.ReLU(),
                    nn.Linear(4 * 6 * 6, 10),
                )

            def forward(self, x):
                return self.net(x)
        """,
        "torch.randn(B, 1, 14, 14)",
        ({"nn.Linear(4 * 6 * 6, 10),": "nn.Flatten(), nn.Linear(4 * 6 * 6, 10),"},),
        ({"nn.Linear(4 * 6 * 6, 10)": "nn.Linear(6, 10)"},),
    ),
    Broken(
        "batchnorm_of_the_block_before",
        """
        class Block(nn.Module):
            def __init__(self, cin, cout):
                super().__init__()
                self.conv = nn.Conv2d(cin, cout, 3, padding=1)
                self.bn = nn.BatchNorm2d(cin)

            def forward(self, x):
                return F.relu(self.bn(self.conv(x)))


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.ModuleList([Block(3, 8), Block(8, 8), Block(8, 16)])

            def forward(self, x):
                for layer in self.layers:
                    x = layer(x)
                return x.mean((2, 3))
        """,
        "torch.randn(B, 3, 8, 8)",
        ({"nn.BatchNorm2d(cin)": "nn.BatchNorm2d(cout)"},),
        ({"nn.BatchNorm2d(cin)": "nn.BatchNorm2d(8)", "Block(8, 16)": "Block(8, 8)"},),
    ),
    Broken(
        "layernorm_over_channels",
        """
        class Net(nn.Module):
            def __init__(self, dim=8):
                super().__init__()
                self.proj = nn.Conv2d(3, dim, 2, stride=2)
                self.norm = nn.LayerNorm(dim)

            def forward(self, x):
                x = self.proj(x)
                x = self.norm(x)
                return x
        """,
        "torch.randn(B, 3, 10, 14)",
        ({"self.norm(x)": "self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)"},),
        ({"nn.LayerNorm(dim)": "nn.LayerNorm(7)"}, {"nn.LayerNorm(dim)": "nn.LayerNorm([5, 7])"}),
    ),
    Broken(
        "bidirectional_lstm",
        """
        class Net(nn.Module):
            def __init__(self, vocab=30, emb=12, hidden=10):
                super().__init__()
                self.emb = nn.Embedding(vocab, emb)
                self.rnn = nn.LSTM(emb, hidden, batch_first=True, bidirectional=True)
                self.fc = nn.Linear(hidden, 2)

            def forward(self, tokens):
                out, _ = self.rnn(self.emb(tokens))
                return self.fc(out[:, -1])
        """,
        "torch.randint(0, 30, (B, 7))",
        ({"nn.Linear(hidden, 2)": "nn.Linear(hidden * 2, 2)"},),
        (
            {"self.fc(out[:, -1])": "self.fc(out[:, -1, :10])"},
            {"self.fc(out[:, -1])": "self.fc(out[:, -1].view(-1, 10))"},
        ),
    ),
    Broken(
        "hidden_state_for_time_instead_of_batch",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.gru = nn.GRU(5, 9)
                self.out = nn.Linear(9, 1)

            def forward(self, x):
                h0 = torch.zeros(1, x.size(0), 9)
                y, _ = self.gru(x, h0)
                return self.out(y[:, -1])
        """,
        "torch.randn(B, 11, 5)",
        ({"nn.GRU(5, 9)": "nn.GRU(5, 9, batch_first=True)"},),
        (
            {"torch.zeros(1, x.size(0), 9)": "torch.zeros(1, x.size(1), 9)"},
            {"self.gru(x, h0)": "self.gru(x.reshape(11, -1, 5), h0)"},
        ),
    ),
    Broken(
        "lstm_output_as_a_tensor",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.lstm = nn.LSTM(6, 8, batch_first=True)
                self.fc = nn.Linear(8, 3)

            def forward(self, x):
                h = self.lstm(x)
                return self.fc(h)
        """,
        "torch.randn(B, 5, 6)",
        ({"h = self.lstm(x)": "h, _ = self.lstm(x)"},),
        ({"self.fc(h)": "self.fc(h[1][0])"},),
    ),
    Broken(
        "series_without_a_feature_dimension",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.lstm = nn.LSTM(input_size=1, hidden_size=6, batch_first=True)
                self.fc = nn.Linear(6, 1)

            def forward(self, x):
                out, _ = self.lstm(x)
                return self.fc(out[:, -1, :])
        """,
        "torch.randn(B, 12)",
        ({"self.lstm(x)": "self.lstm(x.unsqueeze(-1))"},),
        (
            {"input_size=1": "input_size=12", "self.lstm(x)": "self.lstm(x.unsqueeze(0))"},
            {"self.lstm(x)": "self.lstm(x.reshape(1, -1, 1))"},
        ),
    ),
)

TENSORS = (
    Broken(
        "attention_scores_without_transpose",
        """
        class Net(nn.Module):
            def __init__(self, dim=8):
                super().__init__()
                self.q = nn.Linear(dim, dim)
                self.k = nn.Linear(dim, dim)
                self.v = nn.Linear(dim, dim)

            def forward(self, x):
                q, k, v = self.q(x), self.k(x), self.v(x)
                scores = torch.matmul(q, k) / q.size(-1) ** 0.5
                return torch.matmul(scores.softmax(-1), v)
        """,
        "torch.randn(B, 6, 8)",
        ({"torch.matmul(q, k)": "torch.matmul(q, k.transpose(-2, -1))"},),
        (
            {
                "matmul(q, k) /": "matmul(q.transpose(-2, -1), k) /",
                "scores.softmax(-1), v)": "v, scores)",
            },
            {"torch.matmul(q, k)": "torch.matmul(q, k.reshape(k.size(0), 8, 6))"},
        ),
    ),
    Broken(
        "gate_without_its_positions",
        """
        class Gate(nn.Module):
            def __init__(self, channels):
                super().__init__()
                self.fc = nn.Sequential(
                    nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels), nn.Sigmoid()
                )

            def forward(self, x):
                gate = self.fc(x.mean((2, 3)))
                return x * gate


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3, padding=1)
                self.gate = Gate(8)

            def forward(self, x):
                return self.gate(self.conv(x))
        """,
        "torch.randn(B, 3, 9, 10)",
        ({"x * gate": "x * gate[:, :, None, None]"},),
        (
            {"x * gate": "x * gate.mean()"},
            {"x * gate": "x * gate.t()[None, :, :1, None]"},
        ),
    ),
    Broken(
        "gate_on_a_square_picture",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 4, 3, padding=1)

            def forward(self, x):
                y = self.conv(x)
                weight = y.mean(dim=(2, 3)).sigmoid()
                return y * weight
        """,
        "torch.randn(B, 3, 7, 7)",
        ({"y * weight": "y * weight[:, :, None, None]"},),
        ({"y * weight": "y * weight.t()[:, :, None, None]"},),
    ),
    Broken(
        "mean_that_dropped_its_dimension",
        """
        class Net(nn.Module):
            def forward(self, x):
                centre = x - x.mean(dim=1)
                return centre / x.std(dim=1, keepdim=True)
        """,
        "torch.randn(B, 9)",
        ({"x.mean(dim=1)": "x.mean(dim=1, keepdim=True)"},),
        ({"x.mean(dim=1)": "x.mean(dim=0)"}, {"x.mean(dim=1)": "x.mean()"}),
    ),
    Broken(
        "residual_of_a_convolution_without_padding",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1 = nn.Conv2d(4, 4, 3)
                self.conv2 = nn.Conv2d(4, 4, 3)

            def forward(self, x):
                out = self.conv2(F.relu(self.conv1(x)))
                out += x
                return out
        """,
        "torch.randn(B, 4, 10, 10)",
        (
            {
                "self.conv1 = nn.Conv2d(4, 4, 3)": "self.conv1 = nn.Conv2d(4, 4, 3, padding=1)",
                "self.conv2 = nn.Conv2d(4, 4, 3)": "self.conv2 = nn.Conv2d(4, 4, 3, padding=1)",
            },
        ),
        (
            {"out += x": "out += x[:, :, :6, :6]"},
            {"out += x": "out += F.interpolate(x, size=out.shape[2:])"},
        ),
    ),
    Broken(
        "shortcut_that_was_forgotten",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Conv2d(4, 8, 3, stride=2, padding=1)
                self.downsample = nn.Conv2d(4, 8, 1, stride=2)

            def forward(self, x):
                identity = x
                out = self.body(x)
                return F.relu(out + identity)
        """,
        "torch.randn(B, 4, 8, 8)",
        ({"out + identity": "out + self.downsample(identity)"},),
        (
            {"out + identity": "out + identity[:, :, ::2, ::2].repeat(1, 2, 1, 1)"},
            {"out + identity": "out[:, :4] + identity[:, :, :4, :4]"},
        ),
    ),
    Broken(
        "unet_of_odd_pictures",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.enc = nn.Conv2d(1, 4, 3, padding=1)
                self.down = nn.Conv2d(4, 8, 3, stride=2, padding=1)
                self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
                self.out = nn.Conv2d(8, 1, 1)

            def forward(self, x):
                skip = self.enc(x)
                deep = self.down(skip)
                deep = self.up(deep[:, :, :7, :7])
                return self.out(torch.cat([deep, skip], dim=1))
        """,
        "torch.randn(B, 1, 15, 15)",
        ({"self.up(deep[:, :, :7, :7])": "self.up(deep[:, :, :7, :7], output_size=[15, 15])"},),
        ({"[deep, skip]": "[deep, skip[:, :, :14, :14]]"},),
    ),
    Broken(
        "pyramid_of_odd_sizes",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.c1 = nn.Conv2d(3, 6, 3, stride=2, padding=1)
                self.c2 = nn.Conv2d(6, 6, 3, stride=2, padding=1)

            def forward(self, x):
                low = self.c1(x)
                high = self.c2(low)
                return low + F.interpolate(high, scale_factor=2, mode="bilinear")
        """,
        "torch.randn(B, 3, 26, 26)",
        ({"scale_factor=2": "size=low.shape[2:]"},),
        ({'mode="bilinear")': 'mode="bilinear")[..., :13, :13]'},),
    ),
    Broken(
        "skip_joined_along_the_batch",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(6, 5)
                self.b = nn.Linear(6, 3)
                self.out = nn.Linear(8, 2)

            def forward(self, x):
                return self.out(torch.cat((self.a(x), self.b(x))))
        """,
        "torch.randn(B, 6)",
        ({"torch.cat((self.a(x), self.b(x)))": "torch.cat((self.a(x), self.b(x)), 1)"},),
        ({"nn.Linear(6, 5)": "nn.Linear(6, 3)", "nn.Linear(8, 2)": "nn.Linear(3, 2)"},),
    ),
    Broken(
        "class_token_of_a_batch_of_one",
        """
        class Net(nn.Module):
            def __init__(self, dim=6):
                super().__init__()
                self.token = nn.Parameter(torch.randn(1, 1, dim))
                self.mix = nn.Linear(dim, dim)

            def forward(self, x):
                x = torch.cat([self.token, x], dim=1)
                return self.mix(x)[:, 0]
        """,
        "torch.randn(B, 5, 6)",
        ({"[self.token, x]": "[self.token.expand(x.size(0), -1, -1), x]"},),
        (
            {"[self.token, x]": "[self.token, x[:1]]"},
            {"[self.token, x], dim=1": "[self.token, x.reshape(1, -1, 6)], dim=1"},
        ),
    ),
    Broken(
        "view_of_a_transposed_tensor",
        """
        class Net(nn.Module):
            def forward(self, x):
                b, n, d = x.shape
                heads = x.view(b, n, 2, d // 2).transpose(1, 2)
                heads = torch.matmul(heads, torch.ones(d // 2, d // 2).tril())
                return heads.transpose(1, 2).view(b, n, d)
        """,
        "torch.randn(B, 5, 6)",
        ({"heads.transpose(1, 2).view(b, n, d)": "heads.transpose(1, 2).reshape(b, n, d)"},),
        ({"heads.transpose(1, 2).view(b, n, d)": "heads.reshape(b, n, d)"},),
    ),
    Broken(
        "written_batch_size",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(12, 2)

            def forward(self, x):
                x = x.view(32, -1)
                return self.fc(x)
        """,
        "torch.randn(B, 3, 4)",
        ({"x.view(32, -1)": "x.view(x.size(0), -1)"},),
        ({"x.view(32, -1)": "x.repeat(8, 1, 1).view(32, -1)"}, {"x.view(32, -1)": "x.view(4, -1)"}),
    ),
    Broken(
        "squeeze_of_everything",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3, padding=1)
                self.fc = nn.Linear(8, 2)

            def forward(self, x):
                x = F.adaptive_avg_pool2d(self.conv(x[:1]), 1)
                x = x.squeeze()
                return F.log_softmax(self.fc(x), dim=1)
        """,
        "torch.randn(B, 3, 6, 6)",
        ({"x.squeeze()": "x.squeeze((2, 3))"},),
    ),
    Broken(
        "positions_for_more_tokens",
        """
        class Net(nn.Module):
            def __init__(self, longest=20, dim=6):
                super().__init__()
                self.pos = nn.Parameter(torch.randn(1, longest, dim))

            def forward(self, x):
                return x + self.pos
        """,
        "torch.randn(B, 7, 6)",
        ({"x + self.pos": "x + self.pos[:, : x.size(1)]"},),
        ({"x + self.pos": "x + self.pos.mean(1, keepdim=True)"},),
    ),
    Broken(
        "cross_entropy_of_a_sequence",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(6, 5)

            def forward(self, x, y):
                return F.cross_entropy(self.fc(x), y)
        """,
        "torch.randn(B, 7, 6), torch.randint(0, 5, (B, 7))",
        ({"self.fc(x), y": "self.fc(x).transpose(1, 2), y"},),
        (
            {"self.fc(x), y": "self.fc(x).reshape(x.size(0), 5, 7), y"},
            {"self.fc(x), y": "self.fc(x)[:, -1], y[:, -1]"},
        ),
    ),
    Broken(
        "mask_over_the_keys",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.q = nn.Linear(6, 6)

            def forward(self, x, mask):
                scores = self.q(x) @ x.transpose(1, 2)
                scores = scores.masked_fill(mask, -1e9)
                return scores.softmax(-1) @ x
        """,
        "torch.randn(B, 7, 6), torch.rand(B, 7) > 0.6",
        ({"masked_fill(mask,": "masked_fill(mask[:, None, :],"},),
        (
            {"masked_fill(mask,": "masked_fill(mask[:, :, None],"},
            {"masked_fill(mask,": "masked_fill(mask[0],"},
        ),
    ),
    Broken(
        "doubles_from_numpy",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(4, 2)

            def forward(self, x):
                return self.fc(x)
        """,
        "torch.randn(B, 4).double()",
        ({"self.fc(x)": "self.fc(x.float())"},),
        ({"self.fc(x)": "self.fc(x.long().float())"},),
    ),
    Broken(
        "an_error_in_a_helper",
        """
        def merge(a, b):
            return a * b


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.score = nn.Linear(6, 1)

            def forward(self, x):
                weight = self.score(x).squeeze(-1).softmax(1)
                return merge(x, weight).sum(1)
        """,
        "torch.randn(B, 5, 6)",
        ({"a * b": "a * b.unsqueeze(-1)"},),
        ({"a * b": "a * b.mean()"}, {"a * b": "a[..., :5] * b.unsqueeze(1)"}),
    ),
    Broken(
        "two_mistakes",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3, stride=2)
                self.bn = nn.BatchNorm2d(16)
                self.fc = nn.Linear(16 * 7 * 7, 10)

            def forward(self, x):
                x = F.relu(self.bn(self.conv(x)))
                return self.fc(x.flatten(1))
        """,
        "torch.randn(B, 3, 16, 16)",
        (
            {"nn.Conv2d(3, 8,": "nn.Conv2d(3, 16,"},
            {"BatchNorm2d(16)": "BatchNorm2d(8)", "16 * 7 * 7": "8 * 7 * 7"},
        ),
    ),
)

ROOTS = (
    Broken(
        "shortcut_without_the_stride",
        """
        class Block(nn.Module):
            def __init__(self, cin, cout, stride):
                super().__init__()
                self.main = nn.Conv2d(cin, cout, 3, stride=stride, padding=1)
                self.skip = nn.Sequential(nn.Conv2d(cin, cout, 1), nn.BatchNorm2d(cout))

            def forward(self, x):
                return self.main(x) + self.skip(x)

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.block = Block(3, 6, 2)

            def forward(self, x):
                return self.block(x)
        """,
        "torch.randn(B, 3, 10, 10)",
        ({"nn.Conv2d(cin, cout, 1)": "nn.Conv2d(cin, cout, 1, stride=stride)"},),
        ({"3, stride=stride": "3, stride=1"},),
    ),
    Broken(
        "maximum_over_the_features",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.point = nn.Conv1d(3, 16, 1)
                self.fc = nn.Linear(16, 2)

            def forward(self, x):
                x = torch.max(self.point(x), 1)[0]
                return self.fc(x)
        """,
        "torch.randn(B, 3, 9)",
        ({"(x), 1)": "(x), 2)"},),
        ({"nn.Linear(16, 2)": "nn.Linear(9, 2)"},),
    ),
    Broken(
        "length_read_from_the_features",
        """
        class Net(nn.Module):
            def forward(self, h, seq):
                n = seq.size(2)
                h = h.unsqueeze(1).repeat(1, n, 1)
                return torch.cat([h, seq], dim=2)
        """,
        "torch.randn(B, 5), torch.randn(B, 9, 7)",
        ({"seq.size(2)": "seq.size(1)"},),
    ),
    Broken(
        "causal_mask_cut_once",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("mask", torch.triu(torch.ones(16, 16), 1).bool())

            def forward(self, scores):
                n = scores.size(-1)
                return scores.masked_fill(self.mask[:n], -1e9).softmax(-1)
        """,
        "torch.randn(B, 6, 6)",
        ({"self.mask[:n]": "self.mask[:n, :n]"},),
    ),
    Broken(
        "pictures_against_flat_pixels",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(12, 12)

            def forward(self, x):
                y = torch.sigmoid(self.fc(x.flatten(1)))
                return F.binary_cross_entropy(y, x)
        """,
        "torch.rand(B, 3, 2, 2)",
        ({"(y, x)": "(y, x.flatten(1))"}, {"(y, x)": "(y.view_as(x), x)"}),
    ),
    Broken(
        "layer_that_another_method_calls",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.mean = nn.Linear(8, 3)
                self.spread = nn.Linear(8, 8)

            def encode(self, x):
                return self.mean(x), self.spread(x)

            def forward(self, x):
                mean, spread = self.encode(x)
                return mean + spread
        """,
        "torch.randn(B, 8)",
        ({"nn.Linear(8, 8)": "nn.Linear(8, 3)"},),
        ({"mean + spread": "mean + self.mean(spread)"},),
    ),
)

ALL = (*LAYERS, *TENSORS, *ROOTS)
TEMPTED = [case for case in ALL if case.wrong]


# Models of the kind that `test_corpus.py` has more of.
@pytest.mark.parametrize("case", spread(ALL, every=3), ids=lambda case: case.name)
def test_the_best_fix_computes_what_a_person_would_and_not_what_tempts(case: Broken) -> None:
    model, fixes = answered(case)
    assert fixes
    best = fixes[0]
    assert best.verified
    text = best.apply(case.text)
    assert any(like(case, text, change, model) for change in case.right), best
    made = computed(case, text, model, 4)
    assert made is not None
    assert tuple(tuple(tensor.shape) for tensor in made) == best.output_shapes
    for change in case.wrong:
        # It is tempting because it runs.
        assert computed(case, case.changed(change), model, 4) is not None
        assert not like(case, text, change, model), best


def test_there_are_enough_temptations() -> None:
    assert len(TEMPTED) >= 15


NOTHING_SOUND = {
    "which real number stands for a complex one": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(6, 2)

            def forward(self, x):
                return self.fc(torch.fft.fft(x))
        """,
        "torch.randn(B, 6)",
    ),
    "sequences of unlike length": (
        """
        class Net(nn.Module):
            def forward(self, x, y):
                return x @ y
        """,
        "torch.randn(B, 3, 5), torch.randn(B, 7, 2)",
    ),
    "one value for each channel in training": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.bn = nn.BatchNorm1d(6)

            def forward(self, x):
                return self.bn(x[:1])
        """,
        "torch.randn(B, 6)",
    ),
}


@pytest.mark.parametrize("name", NOTHING_SOUND)
def test_no_fix_is_better_than_a_guess(name: str) -> None:
    source, inputs = NOTHING_SOUND[name]
    model = run_cell(source)["Net"]()
    failure = trace(model, *Broken(name, source, inputs, ()).given(4)).failure
    assert failure is not None
    # What was found by trying may be shown, and says so.
    assert not any(fix.verified and not fix.caveat for fix in failure.fixes)
    proven = [fix for fix in failure.fixes if fix.verified]
    assert all(0 not in shape for fix in proven for shape in fix.output_shapes)
    assert failure.reason


def test_two_readings_are_both_shown_with_what_they_assume() -> None:
    case = next(case for case in TENSORS if case.name == "mask_over_the_keys")
    _, fixes = answered(case)
    texts = [fix.apply(case.text) for fix in fixes]
    assert ["mask.unsqueeze(1)" in text for text in texts[:2]] == [True, False]
    assert "2 ways" in fixes[0].caveat
    assert fixes[1].caveat


def test_what_only_runs_for_this_batch_is_not_called_verified() -> None:
    source = """
        class Net(nn.Module):
            def forward(self, x):
                y = x.view(5, 6)
                return y + torch.zeros(4, 6)
    """
    model = run_cell(source)["Net"]()
    failure = trace(model, torch.randn(4, 6)).failure
    assert failure is not None
    for fix in failure.fixes:
        assert not fix.verified
        assert "not for another batch size" in fix.caveat


def test_a_model_built_by_a_closure_or_by_name() -> None:
    case = next(case for case in LAYERS if case.name == "batchnorm_of_the_block_before")
    cell = run_cell(case.text)
    found, settings = cell["Net"], {}

    def closure() -> nn.Module:
        model: nn.Module = found(**settings)
        return model.train()

    def by_name() -> nn.Module:
        model: nn.Module = cell["Net"]()
        return model

    for build in (closure, by_name, found):
        failure = trace(build(), *case.given(4), build=build).failure
        assert failure is not None
        assert "nn.BatchNorm2d(cout)" in failure.fixes[0].apply(case.text)


def test_values_are_checked_even_where_the_user_prints_and_keeps_state(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(12, 2)
                self.seen = []

            def forward(self, x):
                print("forward")
                self.seen.append(x)
                return self.fc(x)
    """)["Net"]()
    failure = trace(model, torch.randn(4, 3, 4)).failure
    assert failure is not None
    assert failure.fixes[0].verified
    assert capsys.readouterr().out == "forward\n"
    assert model.seen == []


UNTOLD = """
    class Net(nn.Module):
        def __init__(self, widths):
            super().__init__()
            self.first = nn.Linear(6, max(widths))
            self.fc = nn.Linear(12, 2)

        def forward(self, x):
            return self.fc(self.first(x))
"""


def test_a_constructor_that_was_not_run_is_not_called_verified() -> None:
    cell = run_cell(UNTOLD)
    model = cell["Net"]({5, 8})
    # Where it is known what it was built with, it is told by the name that stands for it.
    for build, ran, width in (
        (None, False, "8"),
        (lambda: cell["Net"]({5, 8}), True, "self.first.out_features"),
    ):
        failure = trace(model, torch.randn(4, 6), build=build).failure
        assert failure is not None
        fix = failure.fixes[0]
        mended = fix.apply(textwrap.dedent(UNTOLD).strip("\n"))
        assert mended.count(f"nn.Linear({width}, 2)") == 1
        assert fix.verified is ran
        assert ("was not run" in fix.caveat) is not ran


def test_where_shapes_alone_were_run_the_caveat_says_so() -> None:
    cell = run_cell(UNTOLD)

    def build() -> nn.Module:
        model: nn.Module = cell["Net"]({5, 8})
        return model

    x = torch.randn(4, 6)
    failure = trace(build().to("meta"), x.to("meta"), build=build).failure
    assert failure is not None
    assert failure.fixes[0].verified
    assert "Only shapes were run" in failure.fixes[0].caveat
    failure = trace(build(), x, build=build).failure
    assert failure is not None
    assert "Only shapes were run" not in failure.fixes[0].caveat


LONG = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(12, 2)

        def slow(self, x):
            for _ in range(AGAIN if x.size(-1) == SIZE and (x.is_cpu or SHAPES) else 1):
                x = x + 1
            return x

        def forward(self, x):
            return self.slow(self.fc(self.slow(x)))
"""


def long(where: str, shapes: bool, again: int = 1_000) -> Failure:
    """The failure of a model that takes many operations before it, or only when it is mended."""
    net = run_cell(LONG)["Net"]
    size = 6 if where == "before" else 2
    net.forward.__globals__.update({"SIZE": size, "SHAPES": shapes, "AGAIN": again})
    failure = trace(net(), torch.randn(4, 6), build=net).failure
    assert failure is not None
    return failure


@pytest.mark.parametrize("where", ["before", "behind"])
def test_of_a_model_of_many_operations_shapes_alone_are_run(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.diagnosis.budget.SEARCH", 200_000)
    failure = long(where, shapes=False)
    assert failure.fixes
    assert all("Only shapes were run" in fix.caveat for fix in failure.fixes)


def test_a_search_that_was_cut_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer.diagnosis.budget.SEARCH", 400_000)
    reason = long("before", shapes=True, again=1_000).reason
    limit = r"The search for changes has a limit of work: \d+ of about \d+ were tried\.$"
    assert re.search(limit, reason)
    costly = cut_off(Found((), drafted=9, tried=7, costly=2, ended=False, in_time=True))
    assert str(costly) == "2 of 7 changes cost too much to be run to the end."


def test_a_forward_that_waits_ends_the_search_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tracer.diagnosis.budget.PATIENCE", -1.0)
    reason = long("before", shapes=False, again=1).reason
    assert "The search for changes has a limit of time: 0 of about " in reason


def test_a_forward_that_computes_outside_torch_ends_the_search_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tracer.diagnosis.budget.SAFETY", -1.0)
    reason = long("before", shapes=False, again=1).reason
    assert "The search for changes has a limit of time: 0 of about " in reason
