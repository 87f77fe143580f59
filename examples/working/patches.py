import torch
import torch.nn as nn


class Patches(nn.Module):
    def __init__(self, width=64, side=8):
        super().__init__()
        self.cut = nn.Conv2d(3, width, side, stride=side)
        self.start = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, images):
        maps = self.cut(images)
        tokens = maps.flatten(2).transpose(1, 2)
        start = self.start.expand(len(images), -1, -1)
        return torch.cat([start, tokens], dim=1)


if __name__ == "__main__":
    print(Patches()(torch.randn(2, 3, 32, 48)).shape)
