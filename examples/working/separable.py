import torch
import torch.nn as nn


class Separable(nn.Module):
    def __init__(self, width=32, out=64):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.pointwise = nn.Conv2d(width, out, 1)

    def forward(self, x):
        x = self.depthwise(x)
        return self.pointwise(x).relu()


if __name__ == "__main__":
    print(Separable()(torch.randn(2, 32, 24, 36)).shape)
