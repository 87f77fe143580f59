"""Small models whose annotated source is kept in golden files; line numbers are part of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Chains(nn.Module):
    """Chains on one line, several outputs, statements over several lines, and notes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        b, c, h, w = x.shape  # noqa: RUF059 - the note below uses them
        # From {b} images with {c} channels
        # to rows of {h} × {w} places: $N = HW$.
        rows = self.conv(x).view(b, 4, -1).permute(0, 2, 1)

        # A note that stays as it is.
        first, second = rows.chunk(2, dim=-1)
        top, _ = rows.max(dim=1)
        joined = torch.cat(
            [
                first,
                second * 2,
            ],
            dim=-1,
        )
        if self.training:
            joined = joined + torch.randn_like(joined)
        joined *= self.scale
        return F.softmax(joined, dim=1).transpose(1, 2), top


class Inner(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu() + helper(x)


def helper(x: Tensor) -> Tensor:
    return x * 2


class Repeats(nn.Module):
    """Loops, modules that run twice with equal and with different shapes, and a container."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.inner = Inner()
        self.other = Inner()
        self.head = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> list[Tensor]:
        for step in self.steps:
            x = step(x)
        y = x
        while y.shape[0] > 1:
            y = F.avg_pool1d(y.T, 2).T
        pieces = [self.inner(piece) for piece in x.split(2)]
        return [self.head(self.inner(x)), self.other(pieces[0]), y]


class Fails(nn.Module):
    """Stops in an operation inside a module that is called from another."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = Mix()

    def forward(self, x: Tensor) -> Tensor:
        x = x + 1
        return self.mix(x).sum()


class Mix(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.weights = nn.Parameter(torch.ones(5, 2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x).tanh()
        z = 1 - (y @ self.weights).exp()
        return z


class Refuses(nn.Module):
    """Stops in a check that torch.nn makes before any operation."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(x[None, None])
        return out
