import torch
import torch.nn as nn


class GroupedAttention(nn.Module):
    def __init__(self, width=64, heads=8, groups=2):
        super().__init__()
        self.heads, self.groups = heads, groups
        each = width // heads
        self.q = nn.Linear(width, heads * each)
        self.k = nn.Linear(width, groups * each)
        self.v = nn.Linear(width, groups * each)

    def forward(self, x):
        q = self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k = self.k(x).unflatten(-1, (self.groups, -1)).transpose(1, 2)
        v = self.v(x).unflatten(-1, (self.groups, -1)).transpose(1, 2)
        k = k.repeat_interleave(self.heads // self.groups, dim=1)
        v = v.repeat_interleave(self.heads // self.groups, dim=1)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).flatten(2)


if __name__ == "__main__":
    print(GroupedAttention()(torch.randn(2, 10, 64)).shape)
