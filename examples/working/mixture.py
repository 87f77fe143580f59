import torch
import torch.nn as nn


class Mixture(nn.Module):
    def __init__(self, width=32, experts=4, inner=48):
        super().__init__()
        self.choose = nn.Linear(width, experts)
        self.up = nn.Parameter(torch.randn(experts, width, inner))
        self.down = nn.Parameter(torch.randn(experts, inner, width))

    def forward(self, x):
        share = self.choose(x).softmax(-1)
        inner = torch.einsum("btc,eci->btei", x, self.up).relu()
        found = torch.einsum("btei,eic->btec", inner, self.down)
        return (share[..., None] * found).sum(2)


if __name__ == "__main__":
    print(Mixture()(torch.randn(2, 10, 32)).shape)
