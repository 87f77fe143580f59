"""One reduction in many spellings: however it is written, the wrong size is followed through it to
the convolution that made it."""

from __future__ import annotations

import pytest
import torch

from tests.cells import run_cell
from tracer import trace

# `h` is (b, t, d): from a strided convolution t is 17, where a linear layer wants 20.
SPELLINGS = [
    "h.mean(-1)",
    "h.sum(2)",
    "h.norm(dim=-1)",
    "F.linear(h, self.v[None])[..., 0]",
    "torch.einsum('btd,d->bt', h, self.v)",
    "h.unfold(2, 16, 16)[:, :, 0, 0]",
    "h.movedim(2, 0)[0]",
    "h @ self.v",
    "torch.matmul(h, self.v)",
    "torch.einsum('...d,d->...', h, self.v)",
    "torch.tensordot(h, self.v, dims=1)",
    "torch.aminmax(h, dim=-1).max",
    "F.cosine_similarity(h, self.v[None, None], dim=-1)",
    "torch.linalg.vecdot(h, self.v)",
]


NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 16, 3, stride=2)
        self.v = nn.Parameter(torch.randn(16))
        self.fc = nn.Linear(20, 4)

    def forward(self, x):
        h = self.conv(x).transpose(1, 2)
        h = {spelling}
        return self.fc(h)
"""


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_convolution_is_named(spelling: str) -> None:
    model = run_cell(NET.format(spelling=spelling))["Net"]()
    failure = trace(model, torch.randn(2, 3, 36), mend=False).failure
    assert failure is not None
    assert failure.root is not None
    assert "gets 17 from conv (nn.Conv1d(3, 16" in failure.root.why
