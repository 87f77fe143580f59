import torch
import torch.nn as nn
import torch.nn.functional as F


class SingleHead(nn.Module):
    def __init__(self, width=48, inner=32):
        super().__init__()
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(width, inner)
        self.value = nn.Linear(width, inner)
        self.scale = inner**-0.5

    def forward(self, tokens):
        q = self.query(tokens)
        k = self.key(tokens)
        v = self.value(tokens)
        scores = torch.matmul(q, k) * self.scale
        weights = scores.softmax(dim=-1)
        return torch.matmul(weights, v)


if __name__ == "__main__":
    print(SingleHead()(torch.randn(2, 10, 48)))
