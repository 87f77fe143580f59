import torch
import torch.nn as nn


class SelfAttention(nn.Module):
    def __init__(self, width=64, heads=4):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (q, k, v))
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        y = scores.softmax(-1) @ v
        return self.out(y.transpose(1, 2).flatten(2))


if __name__ == "__main__":
    print(SelfAttention()(torch.randn(2, 10, 64)).shape)
